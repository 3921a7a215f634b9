//! The page at `/dashboard` in a real browser (Debian's Chromium, driven by playwright-core): tests/clients/page.mjs does what a
//! person does and judges what a person sees, on `lasso demo` under load. Its screenshots are in target/page, to be looked at.
//!
//! Three runs, one at a time, for a browser takes a whole machine: every state of the page on each screen, dark and light, by
//! keyboard, and while a provider is taken out; its memory over a minute; and a node of ten chains of thirty providers.
//! Ten minutes of memory: `node page.mjs memory URL 600` in target/node-tools/clients.

use crate::clients::{Process, Tools, tools};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

const BROWSER: &str = "/usr/bin/chromium-headless-shell";
static ALONE: Mutex<()> = Mutex::new(());

struct Demo {
    _process: Process,
    url: String,
    tools: Tools,
    _alone: MutexGuard<'static, ()>,
}

/// None where there is no browser, which is a failure in CI.
fn demo() -> Option<Demo> {
    let tools = tools()?;
    if !Path::new(BROWSER).exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{BROWSER} is missing: scripts/check --only node installs it");
        eprintln!("skipped: the page's tests need {BROWSER}; Debian has it as chromium-headless-shell");
        return None;
    }
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(env!("CARGO_BIN_EXE_lasso"));
    let process = Process::start(command.args(["demo", "--listen", "127.0.0.1", "--port", "0", "--log-format", "json"]));
    let ready: serde_json::Value = serde_json::from_str(&process.says(r#"{"event":"node.ready""#)).expect("a line of JSON");
    let url = format!("http://{}", ready["listen"].as_str().expect("its address"));
    Some(Demo { _process: process, url, tools, _alone: alone })
}

/// Runs a mode of the script to its end, which must be a success; it says what it measured.
fn run(mode: &str, argument: &str) {
    let Some(demo) = demo() else { return };
    let said = demo.tools.client("page.mjs", mode, &[&demo.url, argument]).finish(&format!("page.mjs {mode}"));
    println!("{}", said.join("\n"));
    assert!(said.last().is_some_and(|line| line.ends_with(": right")), "{said:#?}");
}

/// A folder of target/page.
fn pictures() -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    target.join("page").display().to_string()
}

#[test]
fn every_state_is_complete_and_reachable_on_every_screen() {
    run("check", &pictures());
}

#[test]
fn memory_stays_flat_over_a_minute_of_events() {
    run("memory", "60");
}

#[test]
fn ten_chains_of_thirty_providers_are_borne() {
    run("scale", &pictures());
}
