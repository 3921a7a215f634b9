//! `lasso explain METHOD`: whom a running node would choose now, in what order, and why not the others, in sentences.
//!
//! The node answers from the rules that route calls; here its answer is only put into words.

use crate::cli::ask::{Client, Fault, part};
use crate::cli::asking::Asking;
use crate::cli::options::{Settings, Usage};
use crate::observe::table::{ms, percent};
use serde_json::Value;
use std::fmt::Write;

#[derive(Clone, Debug)]
pub struct Options {
    pub asking: Asking,
    pub method: String,
    pub chain: String,
    pub json: bool,
    /// Names and values of the question.
    pub query: Vec<(&'static str, String)>,
}

impl Options {
    pub(super) fn read(settings: &Settings, words: &[String]) -> Result<Options, Usage> {
        let [method] = words else {
            return Err(Usage("explain needs a method: lasso explain eth_call --chain CHAIN".to_owned()));
        };
        let asking = Asking::read(settings)?;
        let chain = asking.one_chain("explain")?.to_owned();
        let mut query = Vec::new();
        for name in ["strategy", "transport"] {
            query.extend(settings.choice(name)?.map(|word| (name, word.to_owned())));
        }
        for (name, flag) in [("block", "block"), ("provider", "provider"), ("region", "client-region")] {
            query.extend(settings.text(flag).map(|text| (name, text.to_owned())));
        }
        Ok(Options { method: method.clone(), chain, json: settings.switch("json")?, query, asking })
    }
}

pub fn run(options: &Options) -> Result<String, Fault> {
    let client = Client::new(&options.asking.node);
    let mut path =
        format!("/api/explain/{}/{}/{}", part(options.asking.one_profile()), part(&options.chain), part(&options.method));
    for (index, (name, value)) in options.query.iter().enumerate() {
        let _ = write!(path, "{}{name}={}", if index == 0 { '?' } else { '&' }, part(value));
    }
    let answer = client.get(&path)?;
    Ok(if options.json { format!("{answer}\n") } else { sentences(&answer) })
}

fn text<'a>(json: &'a Value, at: &str) -> &'a str {
    json.pointer(at).and_then(Value::as_str).unwrap_or("")
}

fn is(json: &Value, at: &str) -> bool {
    json.pointer(at).and_then(Value::as_bool).unwrap_or(false)
}

fn number(json: &Value, at: &str) -> Option<f64> {
    json.pointer(at).and_then(Value::as_f64)
}

fn sentences(answer: &Value) -> String {
    let rows = answer.get("providers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (asked, left): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(|row| row.get("turn").is_some_and(Value::is_u64));
    let mut out = format!(
        "{} on {} (profile {}), strategy {}: ",
        text(answer, "/method"),
        text(answer, "/chain"),
        text(answer, "/profile"),
        text(answer, "/strategy")
    );
    out.push_str(&verdict(answer, asked.first().copied()));
    if !is(answer, "/is_known_method") {
        out.push_str("The method is in no table: it is ranked by our probes.\n");
    }
    if is(answer, "/needs_archive") {
        out.push_str("The state asked for is old: archival providers are asked first.\n");
    }
    if !asked.is_empty() {
        out.push_str(if is(answer, "/is_drawn") { "\nA draw; this one came out:\n" } else { "\nIn this order:\n" });
    }
    for (index, row) in asked.iter().enumerate() {
        let _ = writeln!(out, "{:>3}. {}: {}", index + 1, who(row), why(row, is(answer, "/is_drawn")));
    }
    if !left.is_empty() {
        out.push_str("\nNot asked:\n");
    }
    for row in left {
        let _ = writeln!(out, "  -  {}: {}", who(row), text(row, "/reason"));
    }
    out
}

fn verdict(answer: &Value, first: Option<&Value>) -> String {
    match (first, answer.get("is_dark").and_then(Value::as_bool)) {
        (Some(row), Some(true)) => {
            format!("no circuit is closed: calls go one at a time to whoever is least bad, {} first.\n", who(row))
        }
        (Some(row), _) => format!("{} goes first.\n", who(row)),
        (None, _) => "nobody can be asked.\n".to_owned(),
    }
}

fn who(row: &Value) -> String {
    format!("{} over {}", text(row, "/id"), text(row, "/transport"))
}

/// The reason, unless it only says that nothing speaks against it; and what it is ranked by.
fn why(row: &Value, is_drawn: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    if is_drawn {
        parts.push(format!("first in {} of the draws", percent(number(row, "/odds"))));
    }
    parts.push(measured(row));
    let reason = text(row, "/reason");
    if reason != "it may be chosen" && !reason.is_empty() {
        parts.push(reason.to_owned());
    }
    parts.join("; ")
}

fn measured(row: &Value) -> String {
    let priority = number(row, "/priority").unwrap_or(0.0);
    let [latency, kept, probe] =
        ["/evidence/latency_ms", "/evidence/kept_latency_ms", "/evidence/probe_latency_ms"].map(|at| number(row, at));
    let calls = || {
        let good = number(row, "/evidence/successes").unwrap_or(0.0);
        format!("{} ms over {good} good calls, reliability {}", ms(latency), percent(number(row, "/evidence/reliability")))
    };
    let latency = match (latency, kept, probe) {
        (Some(_), None, _) => calls(),
        (Some(_), Some(kept), _) => format!("{} ms before the node's start, since then {}", ms(Some(kept)), calls()),
        (None, Some(kept), _) => format!("{} ms before the node's start, not called since", ms(Some(kept))),
        (None, None, Some(probe)) => format!("no good call of it yet, our probes take {} ms", ms(Some(probe))),
        (None, None, None) => "nothing is known of its speed".to_owned(),
    };
    format!("priority {priority}; {latency}")
}
