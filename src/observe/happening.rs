//! Something that people are told of: one line of the log, one event of `/api/events`.
//!
//! Both say the same words, because both are made of this: a name, how much it matters, when, whom it concerns, and its
//! fields in the order in which they are read. It is rendered once, by the thread that made it.

use crate::base::ids::{ChainId, ProfileId};
use crate::base::limits;
use crate::base::time::{Instant, WallTime};
use serde_json::{Map, Value};

/// From most to least important.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    Error,
    Warn,
    Info,
    /// Too often for a log that somebody reads.
    Debug,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Happening {
    /// `provider.circuit` and its like.
    pub event: &'static str,
    pub level: Level,
    pub at: Instant,
    /// The chains of profiles that it is about; none: the node.
    pub places: Vec<(ProfileId, ChainId)>,
    pub fields: Map<String, Value>,
}

impl Happening {
    /// About the node, or about whom `about` adds.
    pub fn new(event: &'static str, level: Level, at: Instant) -> Happening {
        Happening { event, level, at, places: Vec::new(), fields: Map::new() }
    }

    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Happening {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    pub fn about(mut self, places: impl IntoIterator<Item = (ProfileId, ChainId)>) -> Happening {
        self.places.extend(places);
        self
    }

    /// The same without whom and what exactly, for whoever has no room for all of it.
    pub fn brief(&self) -> Happening {
        let message = self.fields.get_key_value("message").map(|(name, value)| (name.clone(), value.clone()));
        let fields = message.filter(|(_, text)| text.as_str().is_some_and(|text| text.len() < limits::EVENT_MESSAGE_BYTES));
        Happening { fields: fields.into_iter().collect(), places: Vec::new(), ..*self }
    }

    /// The object as text. `wall` is the time for people at `at`.
    pub fn json(&self, wall: WallTime) -> String {
        let mut line = Map::with_capacity(self.fields.len() + 3);
        line.insert("event".to_owned(), self.event.into());
        self.fields.iter().for_each(|(name, value)| {
            line.insert(name.clone(), value.clone());
        });
        line.insert("level".to_owned(), self.level.word().into());
        line.insert("timestamp".to_owned(), wall.rfc3339().into());
        Value::Object(line).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_with_its_name_and_ends_with_its_time() {
        let happening = Happening::new("node.ready", Level::Info, Instant::ZERO).with("shards", 2).with("listen", "a\"b");
        let want = r#"{"event":"node.ready","shards":2,"listen":"a\"b","level":"info","timestamp":"1970-01-01T00:00:00.000Z"}"#;
        assert_eq!(happening.json(WallTime(0)), want);
    }
}
