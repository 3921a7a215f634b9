//! From the tree to typed values, noting every misfit and going on.
//!
//! A getter returns `None` both for "not there" and for "there, but wrong, and reported". What a value was is told only
//! by its kind: a value may be a secret.

use crate::base::limits;
use crate::config::problem::{Findings, Place};
use crate::config::schema::{self, Key, Table};
use crate::config::yaml::{At, Kind, Node, Text};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Spot<T> {
    pub value: T,
    pub at: At,
}

impl<T> Spot<T> {
    pub fn new(value: T, at: At) -> Spot<T> {
        Spot { value, at }
    }
}

/// One file being read.
pub(super) struct Reader<'f> {
    pub file: usize,
    pub findings: &'f mut Findings,
}

/// A mapping whose keys were checked against a table. Only keys with a value are in it (`key:` alone means the default).
pub(super) struct Fields<'n> {
    pub at: At,
    found: Vec<(&'static Key, &'n Node, &'n Node)>,
}

impl<'n> Fields<'n> {
    pub fn get(&self, name: &str) -> Option<&'n Node> {
        self.found.iter().find(|(key, _, _)| key.name == name).map(|(_, _, value)| *value)
    }

    /// Where the key itself stands, else where the mapping starts.
    pub fn at_key(&self, name: &str) -> At {
        self.found.iter().find(|(key, _, _)| key.name == name).map_or(self.at, |(_, key, _)| key.at)
    }
}

impl Reader<'_> {
    pub fn problem(&mut self, at: At, what: impl Into<String>, remedy: impl Into<String>) {
        self.findings.problem(self.file, Place::Node(at), what, remedy);
    }

    pub fn warning(&mut self, at: At, what: impl Into<String>, remedy: impl Into<String>) {
        self.findings.warning(self.file, Place::Node(at), what, remedy);
    }

    /// A mapping's fields; `None` (and a problem) when it is no mapping. `what` names it for people.
    pub fn fields<'n>(&mut self, node: &'n Node, table: &'static Table, what: &str) -> Option<Fields<'n>> {
        let mut fields = Fields { at: node.at, found: Vec::new() };
        for (key, value) in self.entries(node, what)? {
            let Some(word) = self.key_text(key) else { continue };
            self.add_field(&mut fields, table, &word, key, value);
        }
        Some(fields)
    }

    /// The same over several mappings at once (front matter and body).
    pub fn fields_of<'n>(&mut self, nodes: &'n [Node], table: &'static Table, what: &str) -> Option<Fields<'n>> {
        let mut fields = Fields { at: nodes.first().map_or(0, |n| n.at), found: Vec::new() };
        for node in nodes.iter().filter(|node| !matches!(node.kind, Kind::Null)) {
            for (key, value) in self.entries(node, what)? {
                let Some(word) = self.key_text(key) else { continue };
                self.add_field(&mut fields, table, &word, key, value);
            }
        }
        Some(fields)
    }

    fn add_field<'n>(&mut self, fields: &mut Fields<'n>, table: &'static Table, word: &str, key: &'n Node, value: &'n Node) {
        let Some(known) = table.find(word) else {
            return self.unknown_key(table, word, key.at);
        };
        if fields.found.iter().any(|(have, _, _)| have.name == known.name) {
            let what = if known.name == word {
                format!("{word} is given twice")
            } else {
                format!("{word} is another name of {}, which is given too", known.name)
            };
            return self.problem(key.at, what, "keep one of them");
        }
        if !matches!(value.kind, Kind::Null) {
            fields.found.push((known, key, value));
        }
    }

    fn unknown_key(&mut self, table: &'static Table, word: &str, at: At) {
        let tolerated =
            |(place, name): &(&str, &str)| *name == word && table.path == schema::PROVIDER.path && *place == "provider";
        if schema::WITHOUT_EFFECT.iter().any(tolerated) {
            return self.warning(at, format!("{word} has no effect"), "delete it");
        }
        let shown: String = word.chars().take(60).collect();
        self.problem(at, format!("unknown key \"{shown}\""), table.remedy(word));
    }

    /// A mapping's entries, whatever its keys.
    pub fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Node, Node)]> {
        match &node.kind {
            Kind::Map(entries) => Some(entries),
            Kind::Broken => None,
            other => {
                self.problem(
                    node.at,
                    format!("{what} must be a mapping, not {}", other.describe()),
                    "write it as key: value lines",
                );
                None
            }
        }
    }

    /// A mapping's key as text; numbers and true/false count as their text.
    pub fn key_text(&mut self, key: &Node) -> Option<String> {
        match &key.kind {
            Kind::Text(text) => Some(text.value.clone()),
            Kind::Int(number) => Some(number.to_string()),
            Kind::Bool(value) => Some(value.to_string()),
            other => {
                self.problem(key.at, format!("a key must be text, not {}", other.describe()), "put it in quotes");
                None
            }
        }
    }

    fn wrong(&mut self, name: &str, want: &str, node: &Node) {
        let remedy = match node.kind {
            Kind::Int(_) | Kind::Float | Kind::Bool(_) if want.contains("text") => "put it in quotes".to_owned(),
            _ => format!("give {want}"),
        };
        self.problem(node.at, format!("{name} must be {want}, not {}", node.kind.describe()), remedy);
    }

    /// A text that is not blank and has no control characters.
    pub fn text<'n>(&mut self, fields: &Fields<'n>, name: &str) -> Option<Spot<&'n Text>> {
        self.text_node(fields.get(name)?, name)
    }

    pub fn text_node<'n>(&mut self, node: &'n Node, name: &str) -> Option<Spot<&'n Text>> {
        match &node.kind {
            Kind::Text(text) if text.value.trim().is_empty() => {
                self.problem(node.at, format!("{name} is empty"), "give it a value or delete the line");
                None
            }
            Kind::Text(text) if text.value.chars().any(char::is_control) => {
                self.problem(
                    node.at,
                    format!("{name} has a line break or another control character in it"),
                    "write it on one line",
                );
                None
            }
            Kind::Text(text) => Some(Spot::new(text, node.at)),
            Kind::Broken => None,
            _ => {
                self.wrong(name, "a text", node);
                None
            }
        }
    }

    /// A text for people, at most `NAME_BYTES` long.
    pub fn title(&mut self, fields: &Fields<'_>, name: &str) -> Option<Box<str>> {
        let text = self.text(fields, name)?;
        if text.value.value.len() > limits::NAME_BYTES {
            self.problem(text.at, format!("{name} is longer than {} bytes", limits::NAME_BYTES), "shorten it");
            return None;
        }
        Some(text.value.value.as_str().into())
    }

    /// A whole number from `min` to `max`; also a text that a variable made into one.
    pub fn whole(&mut self, fields: &Fields<'_>, name: &str, min: u64, max: u64) -> Option<u64> {
        let node = fields.get(name)?;
        let number = match &node.kind {
            Kind::Int(number) => *number,
            Kind::Text(text) if text.expanded && text.value.trim().parse::<i128>().is_ok() => text.value.trim().parse().ok()?,
            Kind::Broken => return None,
            _ => {
                self.wrong(name, "a whole number", node);
                return None;
            }
        };
        match u64::try_from(number) {
            Ok(value) if (min..=max).contains(&value) => Some(value),
            _ if number > i128::from(max) => {
                self.problem(node.at, format!("{name} is {number}, which is too large"), format!("at most {max}"));
                None
            }
            _ => {
                self.problem(node.at, format!("{name} is {number}, which is too small"), format!("at least {min}"));
                None
            }
        }
    }

    pub fn flag(&mut self, fields: &Fields<'_>, name: &str) -> Option<bool> {
        let node = fields.get(name)?;
        match &node.kind {
            Kind::Bool(value) => Some(*value),
            Kind::Text(text) if text.expanded && matches!(text.value.as_str(), "true" | "false") => Some(text.value == "true"),
            Kind::Broken => None,
            _ => {
                self.wrong(name, "true or false", node);
                None
            }
        }
    }

    /// One of `words`.
    pub fn choice(&mut self, fields: &Fields<'_>, name: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(fields, name)?;
        let found = words.iter().find(|word| **word == text.value.value).copied();
        if found.is_none() {
            let shown: String = text.value.value.chars().take(40).collect();
            self.problem(text.at, format!("{name} is \"{shown}\", which is not known"), format!("one of {}", words.join(", ")));
        }
        found
    }

    pub fn list<'n>(&mut self, fields: &Fields<'n>, name: &str) -> Option<&'n [Node]> {
        let node = fields.get(name)?;
        match &node.kind {
            Kind::List(items) => Some(items),
            Kind::Broken => None,
            _ => {
                self.wrong(name, "a list", node);
                None
            }
        }
    }

    /// A list of texts.
    pub fn texts(&mut self, fields: &Fields<'_>, name: &str) -> Vec<Spot<Box<str>>> {
        let mut out: Vec<Spot<Box<str>>> = Vec::new();
        for item in self.list(fields, name).unwrap_or_default() {
            if let Some(text) = self.text_node(item, &format!("each item of {name}")) {
                out.push(Spot::new(text.value.value.as_str().into(), text.at));
            }
        }
        out
    }
}
