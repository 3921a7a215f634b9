//! The program's own lines on standard output: JSON for machines, text for a terminal. Not for the data path.

use crate::cli::options::{LogFormat, LogLevel, Options};
use crate::runtime::uring::wall_now;
use serde_json::{Map, Value};
use std::io::{IsTerminal, Write};

#[derive(Clone, Copy, Debug)]
pub struct Log {
    format: LogFormat,
    level: LogLevel,
}

impl Log {
    pub fn new(options: &Options) -> Log {
        let usual = if std::io::stdout().is_terminal() { LogFormat::Text } else { LogFormat::Json };
        Log { format: options.log_format.unwrap_or(usual), level: options.log_level }
    }

    pub fn format(&self) -> LogFormat {
        self.format
    }

    /// Text for a person at a terminal, as it is.
    pub fn plain(&self, text: &str) {
        // A closed standard output is no reason to stop serving.
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    pub fn info(&self, event: &str, fields: &[(&str, Value)]) {
        self.write(LogLevel::Info, event, fields);
    }

    pub fn warn(&self, event: &str, message: &str) {
        self.write(LogLevel::Warn, event, &[("message", message.into())]);
    }

    pub fn error(&self, event: &str, message: &str) {
        self.write(LogLevel::Error, event, &[("message", message.into())]);
    }

    fn write(&self, level: LogLevel, event: &str, fields: &[(&str, Value)]) {
        if level > self.level {
            return;
        }
        let line = render(self.format, &wall_now().rfc3339(), level, event, fields);
        // A closed standard output is no reason to stop serving.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

fn render(format: LogFormat, timestamp: &str, level: LogLevel, event: &str, fields: &[(&str, Value)]) -> String {
    let word = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    };
    match format {
        LogFormat::Json => {
            let mut line = Map::new();
            line.insert("event".into(), event.into());
            line.extend(fields.iter().map(|(name, value)| ((*name).into(), value.clone())));
            line.insert("level".into(), word.into());
            line.insert("timestamp".into(), timestamp.into());
            Value::Object(line).to_string()
        }
        LogFormat::Text => {
            let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let fields: String = fields
                .iter()
                .map(
                    |(name, value)| {
                        if *name == "message" { format!("  {}", shown(value)) } else { format!("  {name}={}", shown(value)) }
                    },
                )
                .collect();
            format!("{timestamp} {word:5} {event}{fields}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_both_forms() {
        let fields = [("listen", Value::from("127.0.0.1:4000")), ("shards", Value::from(2))];
        let check = |format, want: &str| assert_eq!(render(format, "T", LogLevel::Info, "node.ready", &fields), want);
        check(LogFormat::Json, r#"{"event":"node.ready","listen":"127.0.0.1:4000","shards":2,"level":"info","timestamp":"T"}"#);
        check(LogFormat::Text, "T info  node.ready  listen=127.0.0.1:4000  shards=2");
    }
}
