//! YAML text to a tree whose nodes know where they stand.
//!
//! serde_yaml has no spans, but its errors carry exact locations. So a node remembers only its number in document order,
//! and the line of node N is found, when somebody asks, by reading the text again with a visitor that fails on purpose at
//! node N. That costs one more parse per reported problem and nothing for a good file. Rejected: a second YAML parser (the
//! owner fixed serde_yaml) and guessing lines from indentation (wrong for flow style, block scalars and anchors).
//!
//! It fails as data: bad syntax is a [`Fault`]; aliases that would multiply into millions of nodes are one too.

use crate::base::limits;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

/// A node's number in document order, over all documents of the file.
pub(super) type At = u32;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub at: At,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Int(i128),
    Float,
    Text(Text),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// `!name value`: never meant here.
    Tagged,
    /// A text whose variable could not be resolved; that was reported, so nobody reports it again.
    Broken,
}

/// A string, and what variables put into it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Text {
    pub value: String,
    /// Values of `${…}`, which are secrets wherever they stand in a credential.
    pub filled: Vec<String>,
    pub expanded: bool,
}

/// The text is not YAML, or not within bounds.
#[derive(Debug)]
pub(super) struct Fault {
    pub line: u32,
    pub what: String,
}

impl Kind {
    /// "text", "a list", … for "expected X, found Y".
    pub fn describe(&self) -> &'static str {
        match self {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true/false",
            Kind::Int(_) => "a whole number",
            Kind::Float => "a number with a fraction",
            Kind::Text(_) | Kind::Broken => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
            Kind::Tagged => "a tagged value (!name)",
        }
    }
}

/// Every document of the file.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, Fault> {
    let count = Cell::new(0);
    let mut out = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        out.push(Seed { count: &count, stop: At::MAX }.deserialize(document).map_err(|error| fault(&error))?);
    }
    Ok(out)
}

/// The line (from 1) of the first of these nodes, as many as are shown.
pub(super) fn lines(text: &str, mut nodes: Vec<At>) -> BTreeMap<At, u32> {
    nodes.sort_unstable();
    nodes.dedup();
    let affordable = limits::PROBLEM_LINES_BYTES / text.len().max(1);
    nodes.truncate(limits::PROBLEMS_SHOWN.min(affordable));
    nodes.into_iter().filter_map(|at| line_of(text, at).map(|line| (at, line))).collect()
}

fn line_of(text: &str, at: At) -> Option<u32> {
    let count = Cell::new(0);
    for document in serde_yaml::Deserializer::from_str(text) {
        if let Err(error) = (Seed { count: &count, stop: at }).deserialize(document) {
            return error.location().and_then(|l| u32::try_from(l.line()).ok());
        }
    }
    None
}

/// serde_yaml's words, but never a value out of the file: it may be a secret.
fn fault(error: &serde_yaml::Error) -> Fault {
    let line = error.location().and_then(|l| u32::try_from(l.line()).ok()).unwrap_or(1);
    let said = error.to_string();
    let what = if said.contains(TOO_MANY) {
        format!("more than {} values, counting those that aliases repeat", limits::YAML_NODES)
    } else if said.contains("invalid value") || said.contains("invalid type") {
        "a value does not fit its own tag".to_owned()
    } else {
        format!("not valid YAML: {said}")
    };
    Fault { line, what }
}

const TOO_MANY: &str = "too many nodes";

#[derive(Clone, Copy)]
struct Seed<'c> {
    count: &'c Cell<At>,
    /// Fail at this node, for its location.
    stop: At,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        let at = self.count.get();
        self.count.set(at + 1);
        from.deserialize_any(NodeVisitor { at, seed: self })
    }
}

struct NodeVisitor<'c> {
    at: At,
    seed: Seed<'c>,
}

impl NodeVisitor<'_> {
    fn node<E: Error>(&self, kind: Kind) -> Result<Node, E> {
        self.check()?;
        Ok(Node { at: self.at, kind })
    }

    /// The failure on purpose, and the bound.
    fn check<E: Error>(&self) -> Result<(), E> {
        if self.at == self.seed.stop {
            return Err(E::custom("here"));
        }
        if self.at >= limits::YAML_NODES {
            return Err(E::custom(TOO_MANY));
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for NodeVisitor<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        self.node(Kind::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        self.node(Kind::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        self.node(Kind::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        self.node(Kind::Int(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        self.node(Kind::Int(value.into()))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        self.node(Kind::Int(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        self.node(Kind::Int(value))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Node, E> {
        self.node(Kind::Float)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        self.node(Kind::Text(Text { value: value.to_owned(), ..Text::default() }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        self.check()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self.seed)? {
            items.push(item);
        }
        self.node(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        self.check()?;
        let mut entries = Vec::new();
        while let Some(key) = access.next_key_seed(self.seed)? {
            let mut value = access.next_value_seed(self.seed)?;
            // A mapping or list starts on the line below its key; people look for the key.
            if matches!(value.kind, Kind::Map(_) | Kind::List(_)) {
                value.at = key.at;
            }
            entries.push((key, value));
        }
        self.node(Kind::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Node, A::Error> {
        self.check()?;
        let (serde::de::IgnoredAny, variant) = access.variant::<serde::de::IgnoredAny>()?;
        variant.newtype_variant::<serde::de::IgnoredAny>()?;
        self.node(Kind::Tagged)
    }
}

/// `<<: *other` (also a list of them) takes the entries that the mapping does not have itself.
pub(super) fn merge(node: &mut Node) {
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(merge),
        Kind::Map(entries) => {
            entries.iter_mut().for_each(|(_, value)| merge(value));
            let is_merge = |(key, value): &(Node, Node)| {
                matches!(&key.kind, Kind::Text(t) if t.value == "<<") && matches!(value.kind, Kind::Map(_) | Kind::List(_))
            };
            while let Some(place) = entries.iter().position(is_merge) {
                let (_, source) = entries.remove(place);
                let sources = if let Kind::List(list) = source.kind { list } else { vec![source] };
                for (key, value) in sources.into_iter().filter_map(map_entries).flatten() {
                    if !entries.iter().any(|(have, _)| same_key(have, &key)) {
                        entries.push((key, value));
                    }
                }
            }
        }
        _ => {}
    }
}

fn map_entries(node: Node) -> Option<Vec<(Node, Node)>> {
    if let Kind::Map(entries) = node.kind { Some(entries) } else { None }
}

fn same_key(a: &Node, b: &Node) -> bool {
    matches!((&a.kind, &b.kind), (Kind::Text(x), Kind::Text(y)) if x.value == y.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every scalar of the tree with its line.
    fn walk(text: &str) -> Vec<(String, u32)> {
        let mut nodes = Vec::new();
        for document in documents(text).expect("valid") {
            collect(&document, &mut nodes);
        }
        nodes.into_iter().map(|(word, at)| (word, line_of(text, at).expect("a line"))).collect()
    }

    fn collect(node: &Node, out: &mut Vec<(String, At)>) {
        match &node.kind {
            Kind::Text(t) => out.push((t.value.clone(), node.at)),
            Kind::Int(i) => out.push((i.to_string(), node.at)),
            Kind::List(items) => items.iter().for_each(|item| collect(item, out)),
            Kind::Map(entries) => entries.iter().for_each(|(k, v)| {
                collect(k, out);
                collect(v, out);
            }),
            _ => {}
        }
    }

    #[test]
    fn lines_are_exact_in_every_style() {
        let check = |text: &str, want: &[(&str, u32)]| {
            let got = walk(text);
            let got: Vec<(&str, u32)> = got.iter().map(|(w, l)| (w.as_str(), *l)).collect();
            assert_eq!(got, want, "{text}");
        };
        check("a: 1\nb: 2\n", &[("a", 1), ("1", 1), ("b", 2), ("2", 2)]);
        check("# c\n\n---\na: x\n---\nb:\n  - y\n", &[("a", 4), ("x", 4), ("b", 6), ("y", 7)]);
        check("a: {b: [1,\n  2], c: z}\n", &[("a", 1), ("b", 1), ("1", 1), ("2", 2), ("c", 2), ("z", 2)]);
        check("a: |\n  one\n  two\nb: 3\n", &[("a", 1), ("one\ntwo\n", 1), ("b", 4), ("3", 4)]);
        check("a: &x\n  b: 1\nc: *x\nd: 4\n", &[("a", 1), ("b", 2), ("1", 2), ("c", 3), ("b", 2), ("1", 2), ("d", 4), ("4", 4)]);
        check("a: 'l1\n\n  l2'\r\nb: 5\r\n", &[("a", 1), ("l1\nl2", 1), ("b", 4), ("5", 4)]);
    }

    #[test]
    fn bad_text_is_a_fault_with_a_line() {
        let check = |text: &str, line: u32, part: &str| {
            let fault = documents(text).expect_err(text);
            assert_eq!(fault.line, line, "{text}: {}", fault.what);
            assert!(fault.what.contains(part), "{text}: {}", fault.what);
        };
        check("a: 1\nb: [1\nc: 2\n", 3, "not valid YAML");
        check("a: 1\n\tb: 2\n", 2, "not valid YAML");
        check("a: *nope\n", 1, "anchor");
        check("a: !!int hunter2-secret\n", 1, "tag");
        assert!(!documents("a: !!int hunter2-secret\n").expect_err("bad").what.contains("hunter2"));
    }

    #[test]
    fn aliases_cannot_multiply_without_bound() {
        let mut text = String::from("a: &a [x,x,x,x,x,x,x,x,x,x]\n");
        for (this, last) in ["b", "c", "d", "e", "f", "g"].iter().zip(["a", "b", "c", "d", "e", "f"]) {
            let row = vec![format!("*{last}"); 10].join(",");
            text.push_str(&format!("{this}: &{this} [{row}]\n"));
        }
        assert!(documents(&text).is_err());
        assert!(documents("a: &a [*a]\n").is_err());
    }

    #[test]
    fn merge_takes_what_is_missing() {
        let text = "base: &b {x: 1, y: 2}\nmore: &m {z: 3}\nuse:\n  <<: [*b, *m]\n  y: 9\n";
        let mut root = documents(text).expect("valid").remove(0);
        merge(&mut root);
        let mut out = Vec::new();
        collect(&root, &mut out);
        let tail: Vec<&str> = out.iter().skip(8).map(|(w, _)| w.as_str()).collect();
        assert_eq!(tail, ["use", "y", "9", "x", "1", "z", "3"]);
    }
}
