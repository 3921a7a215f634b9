//! The node's lines on standard output: JSON for machines, text for a person at a terminal.
//!
//! A line is rendered where it is made and written by a thread of its own (`runtime/journal.rs`), so a reader that stops
//! reading stops nobody. What the aggregator tells of is the same text that `/api/events` carries.

use crate::cli::options::{LogFormat, Options};
use crate::observe::happening::{Happening, Level};
use crate::runtime::journal::{Journal, Losses};
use crate::runtime::uring::wall_now;
use serde_json::{Map, Value};
use std::io::IsTerminal;
use std::sync::Arc;

#[derive(Clone)]
pub struct Log {
    format: LogFormat,
    level: Level,
    /// Calls are told of too.
    with_calls: bool,
    journal: Journal,
}

impl Log {
    /// The error is for people.
    pub fn start(options: &Options) -> Result<Log, String> {
        let usual = if std::io::stdout().is_terminal() { LogFormat::Text } else { LogFormat::Json };
        let format = options.log_format.unwrap_or(usual);
        let on_loss = move |lost: u64| {
            let message = "standard output did not take these lines in time";
            let fields = [("count", lost.into()), ("message", message.into())];
            render(format, &wall_now().rfc3339(), Level::Warn, "log.dropped", &fields)
        };
        let journal = Journal::start(std::io::stdout(), on_loss).map_err(|e| format!("no thread for the log: {e}"))?;
        Ok(Log { format, level: options.log_level, with_calls: true, journal })
    }

    /// The same without a line for each call.
    pub fn without_calls(self) -> Log {
        Log { with_calls: false, ..self }
    }

    pub fn format(&self) -> LogFormat {
        self.format
    }

    pub fn losses(&self) -> Losses {
        self.journal.losses()
    }

    /// Waits for what was written: before the process ends.
    pub fn flush(&self) {
        self.journal.flush();
    }

    /// Text for a person at a terminal, as it is.
    pub fn plain(&self, text: &str) {
        self.journal.write(text.into());
    }

    pub fn info(&self, event: &str, fields: &[(&str, Value)]) {
        self.write(Level::Info, event, fields);
    }

    pub fn warn(&self, event: &str, message: &str) {
        self.write(Level::Warn, event, &[("message", message.into())]);
    }

    pub fn error(&self, event: &str, message: &str) {
        self.write(Level::Error, event, &[("message", message.into())]);
    }

    /// Something that the readers of `/api/events` were told of, as `json`.
    pub fn happened(&self, happening: &Happening, json: Arc<str>) {
        let is_call = happening.event == "rpc.request.completed";
        if happening.level > self.level || (is_call && !self.with_calls) {
            return;
        }
        match self.format {
            LogFormat::Json => self.journal.write(json),
            LogFormat::Text => {
                let time = wall_now().rfc3339();
                let Happening { event, level, fields, .. } = happening;
                let line = match is_call {
                    true => format!("{time} {:5} {event}  {}", level.word(), call_in_words(fields)),
                    false => {
                        let fields: Vec<(&str, Value)> = fields.iter().map(|(name, value)| (&**name, value.clone())).collect();
                        render(LogFormat::Text, &time, *level, event, &fields)
                    }
                };
                self.journal.write(line.into());
            }
        }
    }

    fn write(&self, level: Level, event: &str, fields: &[(&str, Value)]) {
        if level <= self.level {
            self.journal.write(render(self.format, &wall_now().rfc3339(), level, event, fields).into());
        }
    }
}

fn render(format: LogFormat, timestamp: &str, level: Level, event: &str, fields: &[(&str, Value)]) -> String {
    match format {
        LogFormat::Json => {
            let mut line = Map::new();
            line.insert("event".into(), event.into());
            line.extend(fields.iter().map(|(name, value)| ((*name).into(), value.clone())));
            line.insert("level".into(), level.word().into());
            line.insert("timestamp".into(), timestamp.into());
            Value::Object(line).to_string()
        }
        LogFormat::Text => {
            let mut line = format!("{timestamp} {:5} {event}", level.word());
            // What it says comes before the numbers behind it.
            let (said, rest): (Vec<_>, Vec<_>) = fields.iter().partition(|(name, _)| *name == "message");
            said.iter().for_each(|(_, value)| line.push_str(&format!("  {}", shown(value))));
            rest.iter().filter(|(_, value)| !value.is_null()).for_each(|(name, value)| {
                line.push_str(&format!("  {name}={}", shown(value)));
            });
            line
        }
    }
}

/// A value without quotes; the providers of a channel as `profile/chain/id`.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(","),
        Value::Object(members) => members.values().map(shown).collect::<Vec<_>>().join("/"),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// `eth_call on ethereum over http: success from alpha over http in 12.3 ms (upstream 12.1), request 0af7…`
fn call_in_words(fields: &Map<String, Value>) -> String {
    let at = |path: &[&str]| {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(fields.get(*first)?, |value, name| value.get(*name)).filter(|value| !value.is_null()).map(shown)
    };
    let word = |path: &[&str]| at(path).unwrap_or_default();
    let mut line = format!(
        "{} on {} over {}: {}",
        word(&["jsonrpc_method"]),
        word(&["chain"]),
        word(&["transport"]),
        word(&["response", "status"])
    );
    if let Some(code) = at(&["response", "error", "code"]) {
        line.push_str(&format!(" {code}"));
        at(&["response", "error", "category"]).into_iter().for_each(|category| line.push_str(&format!(" ({category})")));
    }
    if let Some(id) = at(&["routing", "selected_provider", "id"]) {
        line.push_str(&format!(" from {id} over {}", word(&["routing", "selected_provider", "protocol"])));
    }
    let timing = |name| word(&["timing", name]);
    line.push_str(&format!(" in {} ms (upstream {})", timing("end_to_end_latency_ms"), timing("upstream_latency_ms")));
    if let Some(retries) = at(&["routing", "retries"]).filter(|retries| retries != "0") {
        line.push_str(&format!(", {retries} retries"));
    }
    line + &format!(", request {}", word(&["request_id"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_in_both_forms() {
        let fields = [("listen", Value::from("127.0.0.1:4000")), ("shards", Value::from(2)), ("cause", Value::Null)];
        let check = |format, want: &str| assert_eq!(render(format, "T", Level::Info, "node.ready", &fields), want);
        check(
            LogFormat::Json,
            r#"{"event":"node.ready","listen":"127.0.0.1:4000","shards":2,"cause":null,"level":"info","timestamp":"T"}"#,
        );
        check(LogFormat::Text, "T info  node.ready  listen=127.0.0.1:4000  shards=2");
    }

    #[test]
    fn what_is_said_comes_first() {
        let providers = json!([{ "profile": "p", "chain": "c", "id": "a" }, { "profile": "q", "chain": "c", "id": "a" }]);
        let fields = [("transport", Value::from("http")), ("providers", providers), ("message", "circuit open".into())];
        let want = "T warn  provider.circuit  circuit open  transport=http  providers=p/c/a,q/c/a";
        assert_eq!(render(LogFormat::Text, "T", Level::Warn, "provider.circuit", &fields), want);
    }

    #[test]
    fn a_call_is_a_sentence() {
        let check = |fields: Value, want: &str| {
            let Value::Object(fields) = fields else { panic!("an object") };
            assert_eq!(call_in_words(&fields), want);
        };
        let timing = json!({ "upstream_latency_ms": 12.1, "end_to_end_latency_ms": 12.345 });
        check(
            json!({
                "request_id": "r1", "chain": "ethereum", "transport": "http", "jsonrpc_method": "eth_call",
                "routing": { "selected_provider": { "id": "alpha", "protocol": "ws" }, "retries": 1 }, "timing": timing,
                "response": { "status": "error", "error": { "code": 3, "category": "execution_reverted" } },
            }),
            "eth_call on ethereum over http: error 3 (execution_reverted) from alpha over ws in 12.345 ms (upstream 12.1), \
             1 retries, request r1",
        );
        check(
            json!({
                "request_id": "r2", "chain": "base", "transport": "ws", "jsonrpc_method": "eth_chainId",
                "routing": { "selected_provider": null, "retries": 0 }, "timing": timing, "response": { "status": "success" },
            }),
            "eth_chainId on base over ws: success in 12.345 ms (upstream 12.1), request r2",
        );
    }
}
