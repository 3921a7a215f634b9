//! `${NAME}` and `${NAME:-default}` in every string of a profile (docs/behaviour/node.md#profiles).
//!
//! Works on the tree, after YAML was read, so that a variable's value can never add keys or break syntax. An unset
//! variable is a problem that names file, line and variable. One that is set to nothing is a problem too, because
//! `https://host/v2/${KEY}` with an empty key fails later and less clearly; `${NAME:-}` says that nothing is meant.
//! `$${` stands for a literal `${`.

use crate::config::problem::{Findings, Place};
use crate::config::yaml::{Kind, Node, Text};

/// Looks a variable up.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Fills in every string of the tree. Mapping keys are left alone: they are names.
pub(super) fn expand_tree(node: &mut Node, file: usize, lookup: Lookup<'_>, findings: &mut Findings) {
    let at = node.at;
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(|item| expand_tree(item, file, lookup, findings)),
        Kind::Map(entries) => entries.iter_mut().for_each(|(_, value)| expand_tree(value, file, lookup, findings)),
        Kind::Text(text) if text.value.contains("${") => match expand(&text.value, lookup) {
            Ok(filled) => *text = filled,
            Err(faults) => {
                for fault in faults {
                    let (what, remedy) = fault.words();
                    findings.problem(file, Place::Node(at), what, remedy);
                }
                node.kind = Kind::Broken;
            }
        },
        _ => {}
    }
}

#[derive(Debug, PartialEq)]
enum Fault {
    Unset(String),
    Empty(String),
    Unclosed,
    BadName(String),
}

impl Fault {
    fn words(&self) -> (String, String) {
        match self {
            Fault::Unset(name) => (
                format!("the variable ${{{name}}} is not set"),
                format!("set {name} in the environment or in .env, or write ${{{name}:-default}}"),
            ),
            Fault::Empty(name) => (
                format!("the variable ${{{name}}} is set but empty"),
                format!("give {name} a value, or write ${{{name}:-}} if nothing is meant"),
            ),
            Fault::Unclosed => ("a ${ has no closing }".to_owned(), "write ${NAME}, or $${ for a literal ${".to_owned()),
            Fault::BadName(name) => (
                format!("${{{name}}} does not name a variable"),
                "a name has letters, digits and _, and does not start with a digit".to_owned(),
            ),
        }
    }
}

/// The text with all variables filled in, or everything that is wrong with them.
fn expand(text: &str, lookup: Lookup<'_>) -> Result<Text, Vec<Fault>> {
    let mut out = Text { expanded: true, ..Text::default() };
    let mut faults = Vec::new();
    let mut rest = text;
    while let Some(place) = rest.find("${") {
        let (before, after) = rest.split_at(place);
        let after = after.get(2..).unwrap_or_default();
        if let Some(literal) = before.strip_suffix('$') {
            out.value.push_str(literal);
            out.value.push_str("${");
            rest = after;
            continue;
        }
        out.value.push_str(before);
        let Some((inside, tail)) = after.split_once('}') else {
            faults.push(Fault::Unclosed);
            rest = "";
            break;
        };
        match value_of(inside, lookup) {
            Ok(value) => {
                out.value.push_str(&value);
                out.filled.push(value);
            }
            Err(fault) => faults.push(fault),
        }
        rest = tail;
    }
    out.value.push_str(rest);
    if faults.is_empty() { Ok(out) } else { Err(faults) }
}

fn value_of(inside: &str, lookup: Lookup<'_>) -> Result<String, Fault> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        return Err(Fault::BadName(name.chars().take(40).collect()));
    }
    match (lookup(name), default) {
        (Some(value), _) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (Some(_), None) => Err(Fault::Empty(name.to_owned())),
        (None, None) => Err(Fault::Unset(name.to_owned())),
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands() {
        let lookup = |name: &str| match name {
            "KEY" => Some("abc".to_owned()),
            "EMPTY" => Some(String::new()),
            "ODD" => Some("a${KEY}b".to_owned()),
            _ => None,
        };
        let ok = |text: &str, want: &str| {
            let got = expand(text, &lookup).expect(text);
            assert_eq!(got.value, want, "{text}");
        };
        let bad = |text: &str, want: &[Fault]| assert_eq!(expand(text, &lookup).expect_err(text), want, "{text}");
        ok("x${KEY}y", "xabcy");
        ok("${KEY}${KEY}", "abcabc");
        ok("${NONE:-d}", "d");
        ok("${NONE:-}", "");
        ok("${EMPTY:-d}", "d");
        ok("${KEY:-d}", "abc");
        ok("${NONE:-http://h:1/p}", "http://h:1/p");
        ok("$${KEY}", "${KEY}");
        ok("$KEY $ {KEY}", "$KEY $ {KEY}");
        ok("${ODD}", "a${KEY}b"); // a value is not expanded again
        bad("${NONE}", &[Fault::Unset("NONE".into())]);
        bad("${A}${B}", &[Fault::Unset("A".into()), Fault::Unset("B".into())]);
        bad("${EMPTY}", &[Fault::Empty("EMPTY".into())]);
        bad("${KEY", &[Fault::Unclosed]);
        bad("${}", &[Fault::BadName(String::new())]);
        bad("${1A}", &[Fault::BadName("1A".into())]);
        bad("${A-B}", &[Fault::BadName("A-B".into())]);
    }

    #[test]
    fn remembers_what_was_filled_in() {
        let got = expand("a${X:-secret}b", &|_| None).expect("default");
        assert_eq!(got.filled, ["secret"]);
        assert!(got.expanded);
    }
}
