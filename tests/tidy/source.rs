//! Just enough of Rust's grammar to judge a file: which bytes are code, which lines belong to tests, what paths are
//! named, how long functions are.
//!
//! A real parser (`syn`) was rejected: it forgets comments and blank lines, which half of the rules are about, and it
//! would be a heavy dependency for one test. The price: macros are read as plain tokens, which errs on the strict side.

use std::path::{Path, PathBuf};

/// One source file, with everything the rules ask about it.
pub struct Source {
    /// Relative to the repository's root, with `/`.
    pub path: String,
    pub text: String,
    /// `text` with comments and the contents of literals blanked; same length, same lines.
    pub code: String,
    /// For each line (from 0): whether it belongs to an item under `#[cfg(test)]`.
    pub in_test: Vec<bool>,
}

/// A word or a single punctuation byte of `Source::code`.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    pub text: &'a str,
    pub at: usize,
}

impl Source {
    pub fn new(path: String, text: String) -> Source {
        let code = blank_comments_and_literals(&text);
        let in_test = test_lines(&code);
        Source { path, text, code, in_test }
    }

    /// From 1, as editors count.
    pub fn line_of(&self, at: usize) -> usize {
        self.code.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count() + 1
    }

    pub fn is_test_line(&self, line: usize) -> bool {
        self.in_test.get(line - 1).copied().unwrap_or(false)
    }

    /// The first directory below `src/`, or the file's own stem there; `None` outside `src/` and for `lib.rs`, `main.rs`.
    pub fn room(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        let room = rest.split_once('/').map_or_else(|| rest.strip_suffix(".rs").unwrap_or(rest), |(room, _)| room);
        (!matches!(room, "lib" | "main")).then_some(room)
    }

    /// How many modules deep this file is: `src/a.rs` and `src/a/mod.rs` are 1, `src/a/b.rs` is 2.
    pub fn depth(&self) -> usize {
        let rest = self.path.strip_prefix("src/").unwrap_or(&self.path);
        rest.split('/').count() - usize::from(rest.ends_with("/mod.rs"))
    }

    /// Lines that count for the size of a file: all but those of test items.
    pub fn counted_lines(&self) -> usize {
        self.in_test.iter().filter(|test| !**test).count()
    }

    pub fn tokens(&self) -> Vec<Token<'_>> {
        tokens(&self.code)
    }
}

/// Every file below `root` that a person wrote, in path order. Hidden directories and build output are left out.
pub fn walk(root: &Path, keep: &dyn Fn(&str) -> bool) -> Vec<Source> {
    let mut found = Vec::new();
    let mut todo: Vec<PathBuf> = vec![root.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !name.starts_with('.') && !matches!(name.as_str(), "target" | "node_modules" | "corpus" | "artifacts") {
                    todo.push(path);
                }
            } else if let Ok(relative) = path.strip_prefix(root) {
                let relative = relative.to_string_lossy().replace('\\', "/");
                if keep(&relative) {
                    // Files that are not text (an icon) have no words to judge.
                    if let Ok(text) = std::fs::read_to_string(&path) {
                        found.push(Source::new(relative, text));
                    }
                }
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    mark_test_files(&mut found);
    found
}

/// A file that its parent includes under `#[cfg(test)]` is test code from its first line.
fn mark_test_files(files: &mut [Source]) {
    let mut tests: Vec<String> = Vec::new();
    for file in files.iter() {
        let tokens = file.tokens();
        for (i, window) in tokens.windows(3).enumerate() {
            let [keyword, name, end] = window else { continue };
            let included = keyword.text == "mod" && end.text == ";" && file.is_test_line(file.line_of(keyword.at));
            if included {
                let directory = file.path.rsplit_once('/').map_or("", |(directory, _)| directory);
                tests.extend(included_paths(file, directory, name.text, tokens[..i].last().map_or(0, |t| t.at)));
            }
        }
    }
    for file in files.iter_mut().filter(|f| tests.contains(&f.path)) {
        file.in_test.fill(true);
    }
}

/// Where `mod name;` may lie: beside the file, below it, or where the `#[path]` before it says.
fn included_paths(file: &Source, directory: &str, name: &str, before: usize) -> Vec<String> {
    let stem = file.path.strip_suffix(".rs").unwrap_or(&file.path);
    // The attribute stands a line above, or two when the module has a visibility.
    let mut above = file.text[..before].lines().rev().take(2);
    let given = above.find_map(|line| line.trim().strip_prefix("#[path = \"")?.split('"').next());
    let named = given.map(|given| format!("{directory}/{given}"));
    let usual = [format!("{directory}/{name}.rs"), format!("{stem}/{name}.rs"), format!("{directory}/{name}/mod.rs")];
    named.into_iter().chain(usual).collect()
}

/// Words and punctuation with their places; `code` must be blanked already.
pub fn tokens(code: &str) -> Vec<Token<'_>> {
    let bytes = code.as_bytes();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80;
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let start = at;
        at += 1;
        if bytes[start].is_ascii_whitespace() {
            continue;
        }
        if is_word(bytes[start]) {
            while at < bytes.len() && is_word(bytes[at]) {
                at += 1;
            }
        }
        out.push(Token { text: &code[start..at], at: start });
    }
    out
}

/// All paths (`a::b::c`) that the code names, use-trees flattened: `use a::{b, c::d}` gives `a::b` and `a::c::d`.
pub fn paths(source: &Source) -> Vec<(String, usize)> {
    let tokens = source.tokens();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if is_word(tokens[at].text) && !continues_path(&tokens, at) {
            at = path_tree(&tokens, at, &mut Vec::new(), &mut out);
        } else {
            at += 1;
        }
    }
    out
}

/// Whether the word at `at` stands behind `::` that belongs to a word or type before it (`Vec::<u8>::new`).
fn continues_path(tokens: &[Token], at: usize) -> bool {
    let text = |back: usize| at.checked_sub(back).map_or("", |i| tokens[i].text);
    let joined = at >= 2 && tokens[at - 2].at + 1 == tokens[at - 1].at;
    text(1) == ":" && text(2) == ":" && joined && (is_word(text(3)) || text(3) == ">")
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads one path, or a use-tree's braces, from `at`; returns the position behind it.
fn path_tree(tokens: &[Token], mut at: usize, prefix: &mut Vec<String>, out: &mut Vec<(String, usize)>) -> usize {
    let text = |i: usize| tokens.get(i).map_or("", |t| t.text);
    let (depth, start) = (prefix.len(), tokens[at].at);
    loop {
        if text(at) == "{" && depth < prefix.len() {
            at += 1;
            while !matches!(text(at), "}" | "") {
                at = if is_word(text(at)) { path_tree(tokens, at, prefix, out) } else { at + 1 };
            }
            at += 1;
            break;
        }
        if !is_word(text(at)) {
            out.push((prefix.join("::"), start));
            break;
        }
        prefix.push(text(at).to_string());
        at += 1;
        if text(at) == ":" && text(at + 1) == ":" {
            at += 2;
        } else {
            out.push((prefix.join("::"), start));
            break;
        }
    }
    prefix.truncate(depth);
    at
}

/// Name, first line and line count of each function with a body; an outer one includes those inside it.
pub fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let tokens = source.tokens();
    let mut out = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        if token.text != "fn" || !tokens.get(i + 1).is_some_and(|t| is_word(t.text)) {
            continue;
        }
        // The body is the first `{` outside parentheses and brackets; a `;` first means there is none.
        let mut nesting = 0i32;
        let body = tokens[i..].iter().position(|t| {
            match t.text {
                "(" | "[" => nesting += 1,
                ")" | "]" => nesting -= 1,
                _ => {}
            }
            nesting == 0 && matches!(t.text, "{" | ";")
        });
        let Some(open) = body.map(|b| i + b).filter(|&b| tokens[b].text == "{") else { continue };
        let first = source.line_of(token.at);
        let last = source.line_of(tokens[closing(&tokens, open)].at);
        out.push((tokens[i + 1].text.to_string(), first, last - first + 1));
    }
    out
}

/// The index of the brace that closes the one at `open`; the last token when the file ends before.
pub fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0i32;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        depth += i32::from(token.text == "{") - i32::from(token.text == "}");
        if depth == 0 {
            return i;
        }
    }
    tokens.len() - 1
}

/// Marks the lines of each item that follows `#[cfg(test)]`.
fn test_lines(code: &str) -> Vec<bool> {
    let mut marked = vec![false; code.lines().count()];
    let tokens = tokens(code);
    let line = |at: usize| code.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count();
    for i in 0..tokens.len() {
        if !tokens[i..].iter().map(|t| t.text).take(7).eq(["#", "[", "cfg", "(", "test", ")", "]"]) {
            continue;
        }
        let Some(stop) = tokens[i + 7..].iter().position(|t| matches!(t.text, "{" | ";")).map(|p| p + i + 7) else { continue };
        let last = if tokens[stop].text == "{" { closing(&tokens, stop) } else { stop };
        for mark in &mut marked[line(tokens[i].at)..=line(tokens[last].at)] {
            *mark = true;
        }
    }
    marked
}

/// Blanks comments, and what stands between the quotes of literals, with spaces; newlines and lengths stay.
fn blank_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (skip, keep_ends) = if rest.starts_with(b"//") {
            (rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len()), 0)
        } else if rest.starts_with(b"/*") {
            (block_comment(rest), 0)
        } else if let Some(len) = raw_string(bytes, at) {
            (len, 1)
        } else if rest[0] == b'"' {
            (quoted(rest, b'"'), 1)
        } else if rest[0] == b'\'' {
            (char_literal(rest), 1)
        } else {
            (1, 1)
        };
        for byte in out.iter_mut().take((at + skip).saturating_sub(keep_ends)).skip(at + keep_ends) {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += skip.max(1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The length of `r"…"`, `r#"…"#`, `br…` at `at`, when one starts there.
fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let inside_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    let rest = &bytes[at..];
    let lead = usize::from(rest.first() == Some(&b'b'));
    if inside_word || rest.get(lead) != Some(&b'r') {
        return None;
    }
    let hashes = rest[lead + 1..].iter().take_while(|&&b| b == b'#').count();
    let open = lead + 1 + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = rest[open + 1..].windows(end.len()).position(|w| w == end)?;
    Some(open + 1 + body + end.len())
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += 1 + usize::from(rest[at] == b'\\');
    }
    (at + 1).min(rest.len())
}

/// The length of a character literal, or 1 for the quote of a lifetime.
fn char_literal(rest: &[u8]) -> usize {
    let one = std::str::from_utf8(&rest[1..rest.len().min(5)])
        .or_else(|e| std::str::from_utf8(&rest[1..1 + e.valid_up_to()]))
        .ok()
        .and_then(|s| s.chars().next())
        .map_or(1, char::len_utf8);
    if rest.get(1) == Some(&b'\\') {
        quoted(rest, b'\'')
    } else if rest.get(1 + one) == Some(&b'\'') {
        2 + one
    } else {
        1
    }
}
