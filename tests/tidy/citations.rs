//! What a comment or a document may point at: files of this repository, and public standards. So whoever has a clone has
//! all that it cites, and a heading that is renamed is noticed where it is cited.
//!
//! Read as plain text, line by line. In Rust only comments are held to the forbidden forms, since a literal may hold anything;
//! links and names of documents are looked for everywhere, because the program prints some. How it fails: a citation in
//! words that name no file and have no section mark is not seen.

use crate::source::Source;
use std::collections::{HashMap, HashSet};

/// Names of documents that a clone does not have, as words of Rust comments. Split, so that this file does not hold them.
const FOREIGN_WORDS: &[(&str, &str)] = &[("L", "B"), ("CONT", "RACT"), ("STA", "CK")];
/// The same as they stand in any text.
const FOREIGN_TEXT: &[(&str, &str)] = &[("seed ", "00"), ("seeds", "/0"), ("shared/", "design"), ("shared/", "reference")];
const SECTION: char = '\u{a7}';
/// What a section mark may belong to: one of these shortly before it, or a title in quotes.
const STANDARDS: &[&str] = &["RFC ", "EIP-", "Yellow Paper", "JSON-RPC 2.0", "WHATWG ", "\""];
/// How far before a section mark its standard may be named, in bytes.
const REACH: usize = 80;

/// What may be cited.
pub struct Library<'a> {
    /// Of a path from the repository's root.
    pub exists: &'a dyn Fn(&str) -> bool,
    /// Of each document by its path: what can stand behind `#`.
    anchors: HashMap<String, HashSet<String>>,
    foreign_words: Vec<String>,
    foreign_text: Vec<String>,
}

impl<'a> Library<'a> {
    pub fn new(documents: &[Source], exists: &'a dyn Fn(&str) -> bool) -> Library<'a> {
        let anchors = documents.iter().map(|document| (document.path.clone(), anchors(&document.text))).collect();
        let whole = |parts: &[(&str, &str)]| parts.iter().map(|(a, b)| format!("{a}{b}")).collect();
        Library { exists, anchors, foreign_words: whole(FOREIGN_WORDS), foreign_text: whole(FOREIGN_TEXT) }
    }

    /// What is wrong with a pointer to a path from the root, with or without an anchor.
    fn fault(&self, path: &str, anchor: Option<&str>) -> Option<String> {
        if !(self.exists)(path) {
            return Some(format!("there is no {path}"));
        }
        let (anchor, known) = (anchor?, self.anchors.get(path)?);
        (!known.contains(anchor)).then(|| format!("{path} has no heading for #{anchor}"))
    }

    /// Foreign documents, and section marks without a standard; `before` is the comment of the line before.
    fn forbidden(&self, before: &str, text: &str) -> Vec<String> {
        let mut out: Vec<String> = self.foreign_text.iter().filter(|word| text.contains(word.as_str())).map(foreign).collect();
        if !text.contains(SECTION) {
            return out;
        }
        let both = format!("{before} {text}");
        let start = both.len() - text.len();
        for (at, _) in both.match_indices(SECTION).filter(|(at, _)| *at >= start) {
            let from = (at.saturating_sub(REACH)..=at).find(|place| both.is_char_boundary(*place)).unwrap_or(at);
            if !STANDARDS.iter().any(|standard| both[from..at].contains(standard)) {
                out.push(foreign(both[at..].chars().take_while(|c| !c.is_whitespace()).collect::<String>()));
            }
        }
        out
    }
}

/// The anchors that GitHub makes of a document's headings: lower case, letters, digits, `-` and `_` kept, spaces become `-`;
/// one that was there before gets a number.
pub fn anchors(text: &str) -> HashSet<String> {
    let mut found: HashMap<String, usize> = HashMap::new();
    let mut all = HashSet::new();
    let mut is_code = false;
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        let hashes = line.len() - line.trim_start_matches('#').len();
        let Some(heading) = line.get(hashes..).and_then(|rest| rest.strip_prefix(' ')).filter(|_| (1..=6).contains(&hashes))
        else {
            continue;
        };
        if is_code {
            continue;
        }
        let kept = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let plain: String = without_targets(heading).trim().to_lowercase().chars().filter(|c| kept(*c)).collect();
        let anchor = plain.replace(' ', "-");
        let nth = found.entry(anchor.clone()).or_default();
        all.insert(if *nth == 0 { anchor } else { format!("{anchor}-{nth}") });
        *nth += 1;
    }
    all
}

/// `[text](target)` becomes `[text]`.
fn without_targets(heading: &str) -> String {
    let mut parts = heading.split("](");
    let first = parts.next().unwrap_or("").to_owned();
    parts.fold(first, |out, part| out + "]" + part.split_once(')').map_or("", |(_, rest)| rest))
}

/// Line (from 1) and what is wrong there.
pub fn faults(source: &Source, library: &Library) -> Vec<(usize, String)> {
    let is_rust = source.path.ends_with(".rs");
    let (mut out, mut at, mut before) = (Vec::new(), 0, "");
    for (index, line) in source.text.split('\n').enumerate() {
        let comment = if is_rust { comment(line, source.code.get(at..at + line.len()).unwrap_or("")) } else { line };
        let mut found = library.forbidden(before, comment);
        if is_rust && !comment.is_empty() {
            found.extend(library.foreign_words.iter().filter(|word| has_word(comment, word)).map(foreign));
            found.extend(documents_named(comment).filter_map(|name| missing(source, library, name)));
        }
        if source.path.ends_with(".md") {
            found.extend(targets(line).filter_map(|target| broken(source, library, target)));
        }
        found.extend(pointers(line).filter_map(|(path, anchor)| library.fault(path, anchor)));
        found.dedup();
        out.extend(found.into_iter().map(|what| (index + 1, what)));
        (at, before) = (at + line.len() + 1, comment);
    }
    out
}

fn foreign(what: impl std::fmt::Display) -> String {
    format!("`{what}` is in no clone: cite docs/, another file of the repository, or a public standard")
}

/// The comment of a line of Rust, or nothing; `code` is the line with comments and literals blanked.
fn comment<'a>(line: &'a str, code: &str) -> &'a str {
    let is_blank = |at: &usize| code.get(*at..).is_some_and(|rest| rest.trim().is_empty());
    let start = line.match_indices("//").map(|(at, _)| at).find(is_blank);
    start.and_then(|at| line.get(at..)).unwrap_or("")
}

fn has_word(text: &str, word: &str) -> bool {
    text.contains(word) && text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|part| part == word)
}

fn is_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-')
}

/// Documents in `docs`, wherever they are named by their path from the root, with or without an anchor.
fn pointers(line: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    line.match_indices("docs/").filter_map(|(at, _)| {
        if line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-')) {
            return None;
        }
        let rest = &line[at..];
        let path = rest.get(..rest.find(".md")? + 3).filter(|path| path.chars().all(is_path))?;
        let anchor = rest[path.len()..].strip_prefix('#');
        Some((path, anchor.map(|anchor| &anchor[..anchor.find(|c: char| !is_anchor(c)).unwrap_or(anchor.len())])))
    })
}

fn is_anchor(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_')
}

/// Words that end with `.md`.
fn documents_named(comment: &str) -> impl Iterator<Item = &str> {
    comment
        .split(|c: char| !is_path(c))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.len() > 3 && word.ends_with(".md"))
}

/// A document that is neither at the root nor beside the file, nor in `docs`.
fn missing(source: &Source, library: &Library, name: &str) -> Option<String> {
    let places = [name.to_owned(), joined(&source.path, name), format!("docs/{name}")];
    let is_there = name.starts_with("docs/") || places.iter().any(|place| (library.exists)(place));
    (!is_there).then(|| foreign(name.to_owned()))
}

/// Targets of a document's links that lead to files.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let all = line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    all.filter(|target| !target.contains("://") && !target.starts_with("mailto:") && !target.contains(' '))
}

fn broken(source: &Source, library: &Library, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let path = if path.is_empty() { source.path.clone() } else { joined(&source.path, path) };
    library.fault(&path, anchor)
}

/// The path from the root of what a file names by `relative`.
fn joined(file: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}
