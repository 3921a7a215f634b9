//! `methods:` of a profile or a chain: what it says of methods by name or by how they begin.
//!
//! The most particular pattern decides each thing that it gives; what it leaves out, a less particular one may. A chain's
//! pattern takes the place of the profile's same one. Whether a method may be sent again is the profile's to say for reads
//! and for unknown ones only: what brings a transaction, and what uses a filter, can never be.

use crate::base::limits;
use crate::chain::method::{self, Category, Safety};
use crate::config::capabilities::{is_method, unknown_word};
use crate::config::read::{Fields, Reader, Spot};
use crate::config::schema;
use crate::config::suggest;
use crate::config::topology::MethodTerms;
use crate::config::yaml::{At, Node};

pub(super) fn read_methods(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<MethodTerms> {
    let mut out: Vec<MethodTerms> = Vec::new();
    let Some(node) = fields.get("methods") else { return out };
    for (key, value) in reader.entries(node, "methods").unwrap_or_default() {
        let Some(pattern) = reader.key_text(key) else { continue };
        if out.len() == limits::METHOD_PATTERNS {
            let what = format!("more than {} patterns", limits::METHOD_PATTERNS);
            reader.problem(key.at, what, "write beginnings that end with *");
            break;
        }
        if out.iter().any(|have| *have.pattern == *pattern) {
            reader.problem(key.at, format!("{pattern} is given twice"), "keep one of them");
            continue;
        }
        out.extend(read_terms(reader, &pattern, key.at, value));
    }
    out
}

fn read_terms(reader: &mut Reader<'_>, pattern: &str, at: At, node: &Node) -> Option<MethodTerms> {
    if !is_method(pattern.strip_suffix('*').filter(|beginning| !beginning.is_empty()).unwrap_or(pattern)) && pattern != "*" {
        let remedy = "write it like eth_getLogs, or like eth_* for all that begin so";
        reader.problem(at, "a key of methods is no method name", remedy);
        return None;
    }
    let fields = reader.fields(node, &schema::METHOD_TERMS, &format!("the entry of {pattern}"))?;
    warn_of_slip(reader, pattern, at);
    let category = read_category(reader, &fields);
    let repeatable = reader.flag(&fields, "repeatable");
    let safety = method::info(method::lookup(pattern.as_bytes())).safety;
    if repeatable == Some(true) && matches!(safety, Safety::RawTransaction | Safety::Filter) {
        let what = format!("{pattern} is never sent again, whatever a profile says");
        reader.problem(fields.at_key("repeatable"), what, "delete the line");
    }
    let timeout_ms = reader.whole(&fields, "timeout_ms", 100, limits::CALL_MAX_MS);
    if ["category", "repeatable", "timeout_ms"].iter().all(|key| fields.get(key).is_none()) {
        reader.problem(at, format!("the entry of {pattern} says nothing"), "give it category, repeatable or timeout_ms");
    }
    Some(MethodTerms { pattern: pattern.into(), category, repeatable, timeout_ms })
}

/// Whoever names a method that nobody knows may mean it; one that is nearly a known one is a slip.
fn warn_of_slip(reader: &mut Reader<'_>, pattern: &str, at: At) {
    let is_known = pattern.ends_with('*') || method::lookup(pattern.as_bytes()) != method::UNKNOWN;
    let known = method::all().map(|(_, info)| info.name);
    if let Some(near) = suggest::did_you_mean(pattern, known).filter(|_| !is_known) {
        reader.warning(at, format!("{pattern} is no method that is known here"), near);
    }
}

fn read_category(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Category> {
    let text = reader.text(fields, "category")?;
    let category = Category::from_word(&text.value.value);
    if category.is_none() {
        let word = Spot::new(text.value.value.as_str().into(), text.at);
        unknown_word(reader, &word, "method category", &Category::ALL.map(Category::word));
    }
    category
}

/// A chain's patterns and those of its profile that it does not have itself, the most particular first.
pub(super) fn of_chain(own: Vec<MethodTerms>, profile: &[MethodTerms]) -> Vec<MethodTerms> {
    let mut all = own;
    let inherited: Vec<MethodTerms> =
        profile.iter().filter(|terms| !all.iter().any(|have| have.pattern == terms.pattern)).cloned().collect();
    all.extend(inherited);
    all.sort_by_key(|terms| (terms.pattern.ends_with('*'), std::cmp::Reverse(terms.pattern.len())));
    all
}
