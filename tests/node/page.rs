//! The page at `/dashboard` in a real browser (Debian's Chromium, driven by playwright-core): tests/clients/page.mjs does what a
//! person does and judges what a person sees, on `lasso demo` under load. Its screenshots are in target/page, to be looked at.
//!
//! Three runs: every state of the page on each screen, dark and light, by keyboard, and while a provider is taken out; its memory
//! over a minute; and a node of ten chains of thirty providers. They are one test, so that they follow one another: two browsers
//! at once, beside the other tests, would measure each other.
//! Ten minutes of memory: `node --preserve-symlinks --preserve-symlinks-main clients/page.mjs memory URL 600` in target/node-tools.

use crate::clients::{Process, Tools, tools};
use std::path::Path;
use std::process::Command;

const BROWSER: &str = "/usr/bin/chromium-headless-shell";

/// None where there is no browser, which is a failure in CI.
pub fn browser() -> Option<Tools> {
    let tools = tools()?;
    if Path::new(BROWSER).exists() {
        return Some(tools);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{BROWSER} is missing: scripts/check --only node installs it");
    eprintln!("skipped: the page's tests need {BROWSER}; Debian has it as chromium-headless-shell");
    None
}

fn demo() -> (Process, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lasso"));
    let process = Process::start(command.args(["demo", "--listen", "127.0.0.1", "--port", "0", "--log-format", "json"]));
    let ready: serde_json::Value = serde_json::from_str(&process.says(r#"{"event":"node.ready""#)).expect("a line of JSON");
    let url = format!("http://{}", ready["listen"].as_str().expect("its address"));
    (process, url)
}

#[test]
fn the_page_is_complete_reachable_live_and_light() {
    let Some(tools) = browser() else { return };
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("page").display().to_string();
    for (mode, argument) in [("check", pictures.as_str()), ("memory", "60"), ("scale", pictures.as_str())] {
        let (_node, url) = demo();
        let said = tools.client("page.mjs", mode, &[&url, argument]).finish(&format!("page.mjs {mode}"));
        println!("{}", said.join("\n"));
        assert!(said.last().is_some_and(|line| line.ends_with(": right")), "{mode}: {said:#?}");
    }
}
