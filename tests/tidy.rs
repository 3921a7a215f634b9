//! The rules of the house that a compiler does not know: which room may name which, where the rationed names may stand,
//! how long files and functions may be, what must be explained. Each rule is one test; it lists every breach at once,
//! each with its place and what to do about it.
//!
//! Rules live in tables at the top, so that a change of a rule is a change of one line. They read the text
//! (`tidy/source.rs`), so a rule can be wrong about a macro; then write the code plainer, not the rule cleverer.

#[path = "tidy/citations.rs"]
mod citations;
#[path = "tidy/source.rs"]
mod source;

use citations::Library;
use source::{Source, Token, functions, paths, walk};
use std::collections::{HashMap, HashSet};
use std::path::Path;

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

/// A name, and the rooms (or files) that may use it outside their tests. A path also stands for everything below it.
struct Ration {
    names: &'static [&'static str],
    rooms: &'static [&'static str],
    instead: &'static str,
}

const RATIONED: &[Ration] = &[
    Ration {
        names: &[
            "monoio",
            "io_uring",
            "libc",
            "socket2",
            "signal_hook",
            "rustls",
            "rustls_native_certs",
            "webpki_roots",
            "h2",
            "tokio",
        ],
        rooms: &["runtime"],
        instead: "use the traits of runtime::world, or give runtime a function that does it",
    },
    Ration {
        names: &["std::thread", "std::sync::atomic", "std::sync::mpsc", "AtomicBool", "AtomicU32", "AtomicU64", "AtomicUsize"],
        rooms: &["runtime"],
        instead: "shards share nothing; what threads exchange goes through runtime (publish, mailbox, limiter, budget)",
    },
    Ration {
        names: &["parking_lot", "Mutex", "RwLock", "Condvar", "OnceLock", "LazyLock", "std::sync::Mutex", "std::sync::RwLock"],
        rooms: &["runtime"],
        instead: "no locks outside runtime; a shard's state is Rc and Cell, what is shared is published",
    },
    Ration {
        names: &["std::time::Instant", "std::time::SystemTime", "SystemTime"],
        rooms: &["runtime"],
        instead: "time is an argument: take `now: base::time::Instant`, which a World reads once per wake-up",
    },
    Ration {
        names: &[
            "std::net::TcpStream",
            "std::net::TcpListener",
            "std::net::UdpSocket",
            "std::net::ToSocketAddrs",
            "std::os::unix::net",
        ],
        rooms: &["runtime", "cli"],
        instead: "sockets come from World::connect and World::listen, names from World::addresses",
    },
    Ration {
        names: &["std::fs", "std::env::var", "std::env::vars", "std::process"],
        rooms: &["runtime", "cli", "main"],
        instead: "take the text or a lookup function as an argument; files and the environment are cli's",
    },
    Ration { names: &["serde_yaml"], rooms: &["config"], instead: "only config reads YAML (the crate is archived upstream)" },
];

/// Crates of the seam's other side: no async above it.
const ASYNC_WORDS: &[&str] = &["async", "await", "Future", "Waker"];

const BANNED_MODULES: &[&str] = &["common", "util", "utils", "helper", "helpers", "core", "manager", "misc", "stuff", "types"];

/// Split so that this file does not contain what it looks for.
const BANNED_TEXT: &[(&str, &str, &str)] = &[
    ("to", "do!", "finish it, or leave the feature out of this change"),
    ("unimpl", "emented!", "finish it, or leave the feature out of this change"),
    ("db", "g!", "remove the debugging print"),
    ("allow(dead", "_code)", "delete what nobody uses"),
    ("#[ign", "ore]", "say when and how it runs: `#[ignore = \"…\"]`, or make it fast"),
    ("/wo", "rk/", "no machine's paths: write it relative to the repository"),
    ("/ro", "ot/", "no machine's paths: write it relative to the repository"),
    ("/ho", "me/", "no machine's paths: write it relative to the repository"),
    ("index.cra", "tes.io", "no registry hosts: the user's own cargo configuration decides"),
    ("static.cra", "tes.io", "no registry hosts: the user's own cargo configuration decides"),
    ("registry.np", "mjs.org", "no registry hosts: the user's own npm configuration decides"),
    ("files.python", "hosted.org", "no registry hosts: the user's own pip configuration decides"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs") && ["src/", "tests/", "loadtest/", "benches/"].iter().any(|dir| path.starts_with(dir))
}

fn rust_files() -> Vec<Source> {
    walk(root(), &is_rust)
}

fn product_files() -> Vec<Source> {
    walk(root(), &|path| path.starts_with("src/") && path.ends_with(".rs"))
}

/// Fails with all breaches, sorted as found, or passes when there is none.
fn verdict(rule: &str, breaches: Vec<String>) {
    assert!(breaches.is_empty(), "\n{} breach(es) of: {rule}\n  {}\n", breaches.len(), breaches.join("\n  "));
}

fn place(source: &Source, at: usize) -> String {
    format!("{}:{}", source.path, source.line_of(at))
}

/// The rooms in lib.rs's order, and the position of the seam in it.
fn rooms() -> (Vec<String>, usize) {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs is readable");
    let (mut rooms, mut seam) = (Vec::new(), None);
    for line in lib.lines() {
        if line.contains("the seam:") && line.contains("════") {
            seam = Some(rooms.len());
        }
        if let Some(name) = line.trim().strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            rooms.push(name.to_string());
        }
    }
    let seam = seam.expect("src/lib.rs marks the seam with a line that contains `════ the seam:`");
    (rooms, seam)
}

#[test]
fn a_room_names_only_itself_and_rooms_before_it() {
    let (order, _) = rooms();
    let rank: HashMap<&str, usize> = order.iter().enumerate().map(|(i, room)| (room.as_str(), i)).collect();
    let mut breaches = Vec::new();
    for file in product_files() {
        let Some(room) = file.room() else { continue };
        let Some(&own) = rank.get(room) else {
            breaches.push(format!(
                "{}: room `{room}` is not listed in src/lib.rs; add `pub mod {room};` where it belongs",
                file.path
            ));
            continue;
        };
        for (path, at) in paths(&file) {
            let mut parts = path.split("::");
            let first = parts.next().unwrap_or("");
            let supers = 1 + path.split("::").skip(1).take_while(|p| *p == "super").count();
            if first == "super" && supers >= file.depth() && !file.is_test_line(file.line_of(at)) {
                breaches.push(format!("{}: `{path}` climbs out of its room; write it as `crate::ROOM::…`", place(&file, at)));
            }
            if first != "crate" && first != "lasso" {
                continue;
            }
            let named = parts.next().unwrap_or("");
            if let Some(&other) = rank.get(named).filter(|&&other| other > own) {
                breaches.push(format!(
                    "{}: room `{room}` (place {own} in lib.rs) names `{path}`, but `{named}` comes later (place {other}); \
                     move the code down, or pass what it needs as an argument",
                    place(&file, at)
                ));
            }
        }
    }
    verdict("a file names only its own room and rooms above it in src/lib.rs", breaches);
}

#[test]
fn rationed_names_stay_in_their_rooms() {
    let mut breaches = Vec::new();
    for file in product_files() {
        let room = file.room().unwrap_or(if file.path == "src/main.rs" { "main" } else { "" });
        let mut seen = HashSet::new();
        for (path, at) in paths(&file) {
            let path = path.strip_prefix("core::").map_or(path.clone(), |rest| format!("std::{rest}"));
            let line = file.line_of(at);
            for ration in RATIONED.iter().filter(|r| !r.rooms.contains(&room)) {
                let hit = ration.names.iter().find(|n| path == **n || path.starts_with(&format!("{n}::")));
                // main.rs names the allocator and nothing else of the kind.
                if let Some(name) = hit.filter(|_| !file.is_test_line(line) && seen.insert((line, ration.instead))) {
                    let rooms = ration.rooms.join(", ");
                    breaches.push(format!("{}:{line}: `{name}` belongs to {rooms}: {}", file.path, ration.instead));
                }
            }
        }
    }
    verdict("rationed names stay in the rooms that may use them", breaches);
}

#[test]
fn nothing_above_the_seam_is_async() {
    let (order, seam) = rooms();
    let mut breaches = Vec::new();
    for file in product_files() {
        let above = file.room().is_some_and(|room| order.iter().position(|r| r == room).is_some_and(|place| place < seam));
        for token in file.tokens().iter().filter(|t| above && ASYNC_WORDS.contains(&t.text)) {
            let what = token.text;
            breaches
                .push(format!("{}: `{what}` above the seam; make it a machine: events in, actions out", place(&file, token.at)));
        }
    }
    verdict("nothing above the seam is async", breaches);
}

#[test]
fn unsafe_is_rationed_and_explained() {
    let mut breaches = Vec::new();
    for file in rust_files() {
        let lines: Vec<&str> = file.text.lines().collect();
        let tokens = file.tokens();
        for (i, token) in tokens.iter().enumerate().filter(|(_, t)| t.text == "unsafe") {
            let line = file.line_of(token.at);
            if file.path.starts_with("src/") && file.room() != Some("runtime") {
                breaches.push(format!("{}:{line}: `unsafe` outside runtime", file.path));
            }
            let is_function = tokens.get(i + 1).is_some_and(|t| matches!(t.text, "fn" | "extern"));
            let (mark, where_) = if is_function {
                ("# Safety", "a `# Safety` section in its docs")
            } else {
                ("SAFETY:", "a `// SAFETY:` comment above")
            };
            // A method of an unsafe trait is explained where the trait is.
            let in_impl = is_function && !lines[line - 1].contains("pub ");
            if !in_impl && !explained(&lines, line, mark) {
                breaches.push(format!("{}:{line}: `unsafe` without {where_} that says why it is sound", file.path));
            }
        }
    }
    verdict("unsafe stands in runtime (and tests) only, each use with its reason", breaches);
}

/// Whether `mark` is on the line (from 1), or in the comment above the statement that the line belongs to.
fn explained(lines: &[&str], line: usize, mark: &str) -> bool {
    let mut at = line - 1;
    for step in 0..12 {
        let text = lines[at].trim();
        let comment = text.starts_with("//") || text.starts_with("#[");
        if text.contains(mark) {
            return true;
        }
        // Walk up through comments, and through the beginning of the same statement, but not into the one before.
        if at == 0 || (step > 0 && !comment && (text.ends_with(';') || text.ends_with('}') || text.is_empty())) {
            return false;
        }
        at -= 1;
    }
    false
}

#[test]
fn files_and_functions_are_short() {
    let mut breaches = Vec::new();
    for file in rust_files() {
        // A file of nothing but tests counts whole: it must be readable too.
        let lines = if file.counted_lines() == 0 { file.in_test.len() } else { file.counted_lines() };
        if lines > FILE_LINES {
            breaches.push(format!(
                "{}: {lines} lines without its tests, at most {FILE_LINES}; split it by idea, not by length",
                file.path
            ));
        }
        for (name, first, lines) in functions(&file) {
            if lines > FUNCTION_LINES && !file.is_test_line(first) {
                breaches.push(format!(
                    "{}:{first}: fn {name} has {lines} lines, at most {FUNCTION_LINES}; name its parts",
                    file.path
                ));
            }
        }
    }
    verdict("files and functions are short enough to read", breaches);
}

#[test]
fn names_say_something() {
    let mut breaches = Vec::new();
    for file in rust_files() {
        let path = Path::new(&file.path);
        for part in path.iter().filter_map(|p| p.to_str()) {
            let name = part.strip_suffix(".rs").unwrap_or(part);
            if BANNED_MODULES.contains(&name) {
                breaches.push(format!("{}: `{name}` says nothing; name the file after the idea in it", file.path));
            }
        }
        for pair in file.tokens().windows(2) {
            if pair[0].text == "mod" && BANNED_MODULES.contains(&pair[1].text) {
                breaches.push(format!(
                    "{}: module `{}` says nothing; name it after the idea in it",
                    place(&file, pair[0].at),
                    pair[1].text
                ));
            }
        }
    }
    verdict("no module is named after nothing", breaches);
}

#[test]
fn nothing_unfinished_and_nothing_of_this_machine() {
    let kinds = [".rs", ".toml", ".md", ".yml", ".yaml", ".sh", ".js", ".html", ".css", ".json", ".py", ".mjs"];
    let keep = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        path != "tests/tidy.rs"
            && (kinds.iter().any(|k| name.ends_with(k)) || path.starts_with("scripts/") || !name.contains('.'))
    };
    let mut breaches = Vec::new();
    for file in walk(root(), &keep) {
        for (index, line) in file.text.lines().enumerate() {
            for (a, b, instead) in BANNED_TEXT {
                let word = format!("{a}{b}");
                let hit = line.match_indices(&word).any(|(at, _)| {
                    // A path must begin there: `and/or/…` and `../…` inside a longer one are not this machine's.
                    !word.starts_with('/')
                        || !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | ')'))
                });
                if hit {
                    breaches.push(format!("{}:{}: `{word}`: {instead}", file.path, index + 1));
                }
            }
        }
    }
    verdict("nothing unfinished, nothing of one machine", breaches);
}

#[test]
fn nothing_panics_on_purpose() {
    let mut breaches = Vec::new();
    for file in product_files() {
        let tokens = file.tokens();
        for window in tokens.windows(3) {
            let [dot, name, open] = window else { continue };
            let call = dot.text == "." && matches!(name.text, "unwrap" | "expect") && open.text == "(";
            if call && !file.is_test_line(file.line_of(name.at)) {
                breaches.push(format!(
                    "{}: `.{}(`: return a typed error, or restructure so that the case cannot be written",
                    place(&file, name.at),
                    name.text
                ));
            }
        }
    }
    verdict("no unwrap and no expect outside tests", breaches);
}

#[test]
fn every_file_says_what_it_is() {
    let mut breaches = Vec::new();
    for file in rust_files() {
        if !file.text.starts_with("//!") {
            breaches.push(format!(
                "{}: starts without `//!`: say the idea, why this way, what was rejected, how it fails",
                file.path
            ));
        }
    }
    for file in walk(root(), &|path| path.starts_with("scripts/")) {
        let mut lines = file.text.lines();
        if !(lines.next().unwrap_or("").starts_with("#!") && lines.next().unwrap_or("").starts_with('#')) {
            breaches.push(format!("{}: a script starts with `#!`, then a comment that says what it does", file.path));
        }
    }
    verdict("every file says at its start what it is", breaches);
}

#[test]
fn every_dependency_has_its_reason() {
    let mut breaches = Vec::new();
    for file in walk(root(), &|path| path == "Cargo.toml" || path == "loadtest/Cargo.toml") {
        let (mut inside, mut before) = (false, "");
        for (index, line) in file.text.lines().enumerate() {
            let text = line.trim();
            if text.starts_with('[') {
                inside = text.contains("dependencies");
            } else if inside && text.split_once('=').is_some_and(|(name, _)| !name.trim().is_empty()) && !text.starts_with('#') {
                let beside = text.rsplit_once('#').is_some_and(|(_, reason)| !reason.contains('"'));
                if !beside && !before.starts_with('#') {
                    breaches.push(format!(
                        "{}:{}: `{text}`: say in a comment above or beside it what it is for",
                        file.path,
                        index + 1
                    ));
                }
            }
            before = text;
        }
    }
    verdict("every dependency says what it is for", breaches);
}

#[test]
fn every_limit_is_used() {
    let files = product_files();
    let holds_limits = |file: &Source| file.path.starts_with("src/base/limits");
    let used: HashSet<&str> = files
        .iter()
        .filter(|f| !holds_limits(f))
        .flat_map(|f| {
            f.tokens()
                .into_iter()
                .filter(|t| !f.is_test_line(f.line_of(t.at)))
                .map(|t| &f.code[t.at..t.at + t.text.len()])
                .collect::<Vec<_>>()
        })
        .collect();
    let mut breaches = Vec::new();
    for limits in files.iter().filter(|file| holds_limits(file)) {
        for [keyword, name] in limits.tokens().windows(2).filter_map(|w| <&[Token; 2]>::try_from(w).ok()) {
            if keyword.text == "const" && name.text != "_" && !used.contains(name.text) {
                breaches.push(format!(
                    "{}: `{}` bounds nothing: apply it where it belongs, or delete it",
                    place(limits, name.at),
                    name.text
                ));
            }
        }
    }
    verdict("every limit is applied somewhere", breaches);
}

/// Kinds of files in which citations are looked for; scripts have none.
const TEXTS: &[&str] = &[".rs", ".toml", ".md", ".yml", ".yaml", ".sh", ".js", ".mjs", ".html", ".css", ".py"];

#[test]
fn what_is_cited_is_in_a_clone() {
    let is_text = |path: &str| TEXTS.iter().any(|kind| path.ends_with(kind)) || path.starts_with("scripts/");
    let exists = |path: &str| root().join(path).exists();
    let documents = walk(root(), &|path| path.ends_with(".md"));
    let library = Library::new(&documents, &exists);
    let mut breaches = Vec::new();
    for file in walk(root(), &|path| is_text(path) && path != "tests/tidy.rs") {
        let found = citations::faults(&file, &library).into_iter();
        breaches.extend(found.map(|(line, what)| format!("{}:{line}: {what}", file.path)));
    }
    verdict("comments and documents cite what a clone has, and every link resolves", breaches);
}

/// A citation that leads nowhere is found, and one that leads somewhere is left alone.
#[test]
fn a_citation_that_leads_nowhere_is_found() {
    let page = "# Two words\n\n```sh\n# no heading\n```\n## A `code`, [link](x.md) & more\n## Lag\n### Lag\n";
    let documents = [Source::new("docs/deep/page.md".into(), page.into())];
    let wanted: HashSet<String> = ["two-words", "a-code-link--more", "lag", "lag-1"].map(str::to_owned).into();
    assert_eq!(citations::anchors(page), wanted);

    let exists = |path: &str| matches!(path, "docs/deep/page.md" | "README.md" | "loadtest/README.md" | "config");
    let library = Library::new(&documents, &exists);
    let check = |path: &str, line: &str, count: usize| {
        let found = citations::faults(&Source::new(path.into(), format!("//! First.\n{line}\n")), &library);
        assert_eq!(found.len(), count, "{path}: {line}: {found:?}");
        assert!(found.iter().all(|(at, _)| *at == 2), "{found:?}");
    };
    // The name and the section mark are a breach each.
    check("src/route/a.rs", "/// As before (LB \u{a7}5.3).", 2);
    check("src/route/a.rs", "let a = 1; // CONTRACT \u{a7}5", 2);
    for line in [
        "// --- limits [C \u{a7}6] ---",
        "// see STACK for why",
        "// as seed 004 has it",
        "// defects-3.md tells",
        "// docs/deep/page.md#lagg",
        "// docs/none.md",
        "let text = \"docs/none.md\";",
    ] {
        check("src/route/a.rs", line, 1);
    }
    for line in [
        "// RFC 9110 \u{a7}5.6.7, \u{a7}15.5 and EIP-1474 \u{a7}2",
        "// docs/deep/page.md#lag-1, docs/deep/page.md. README.md",
        "let text = \"LB \u{a7}1, // CONTRACT\"; // plain",
    ] {
        check("loadtest/src/a.rs", line, 0);
    }
    check("docs/a.md", "[here](deep/page.md#lag), [all](../config), [out](https://example.com/x#y)", 0);
    check("docs/a.md", "[gone](deep/none.md), [moved](deep/page.md#lags), [up](../docs/deep/page.md#two-words)", 2);
    check("README.md", "see the text (\u{a7}4), [page](docs/deep/page.md#no)", 2);
}

/// The rules are only as good as the reading: what is code, what is a literal, what is a test.
#[test]
fn the_reader_reads_rust() {
    let text = "use crate::{base::Span, wire::{http, json as j}};\n// unsafe\nfn f<'a>(c: char) -> std::time::Instant {\n    \
                let s = \"a \\\" unsafe // x\"; let r = r#\"\" }\"#; let q = '\"'; let b = b'\\''; /* { /* */ { */\n}\n\
                #[cfg(test)]\nmod tests {\n    fn g() { Vec::<u8>::new(); }\n}\n";
    let file = Source::new("src/route/select.rs".into(), text.into());
    assert_eq!(file.code.len(), text.len());
    assert!(!file.code.contains("unsafe"), "comments and literals are blanked: {}", file.code);
    let names: Vec<String> = paths(&file).into_iter().map(|(path, _)| path).collect();
    for wanted in ["crate::base::Span", "crate::wire::http", "crate::wire::json", "std::time::Instant", "Vec"] {
        assert!(names.iter().any(|n| n == wanted), "{wanted} in {names:?}");
    }
    assert!(!names.iter().any(|n| n == "new"), "{names:?}");
    assert_eq!(functions(&file).iter().map(|f| (f.0.as_str(), f.1, f.2)).collect::<Vec<_>>(), [("f", 3, 3), ("g", 8, 1)]);
    assert_eq!((file.room(), file.depth(), file.counted_lines()), (Some("route"), 2, 5));
    assert!(file.is_test_line(6) && file.is_test_line(9) && !file.is_test_line(5));
}
