//! What a provider declares that it cannot do (docs/behaviour/choosing.md#capabilities), checked when the profile is read.

use crate::chain::method::Category;
use crate::config::read::{Fields, Reader, Spot};
use crate::config::schema;
use crate::config::suggest;
use crate::config::topology::{Capabilities, ErrorRule};
use crate::config::yaml::{Kind, Node};

/// The categories an `error_rules` entry may name (docs/behaviour/answers.md#error-rules).
pub const RULE_CATEGORIES: &[&str] = &[
    "rate_limit",
    "capability_violation",
    "server_error",
    "requires_archival",
    "auth_error",
    "network_error",
    "client_error",
    "invalid_params",
    "method_not_found",
    "parse_error",
    "internal_error",
    "unknown_error",
    "method_error",
    "chain_error",
    "user_error",
];

/// A provider's capabilities. Unless the list is given it takes neither what needs keys of its own (`local_only`) nor what
/// operates it (`node_admin`).
pub(super) fn read_capabilities(reader: &mut Reader<'_>, provider: &Fields<'_>) -> Capabilities {
    let mut out =
        Capabilities { unsupported_categories: vec![Category::LocalOnly, Category::NodeAdmin], ..Capabilities::default() };
    let Some(node) = provider.get("capabilities") else { return out };
    let Some(fields) = reader.fields(node, &schema::CAPABILITIES, "capabilities") else { return out };
    if fields.get("unsupported_categories").is_some() {
        out.unsupported_categories = categories(reader, &fields);
    }
    out.unsupported_methods = methods(reader, &fields, "unsupported_methods");
    read_limits(reader, &fields, &mut out);
    for rule in reader.list(&fields, "error_rules").unwrap_or_default() {
        out.error_rules.extend(read_rule(reader, rule));
    }
    out
}

fn categories(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<Category> {
    let mut out = Vec::new();
    for word in reader.texts(fields, "unsupported_categories") {
        match Category::from_word(&word.value) {
            Some(category) if !out.contains(&category) => out.push(category),
            Some(_) => {}
            None => unknown_word(reader, &word, "method category", &Category::ALL.map(Category::word)),
        }
    }
    out
}

pub(super) fn unknown_word(reader: &mut Reader<'_>, word: &Spot<Box<str>>, what: &str, known: &[&'static str]) {
    let shown: String = word.value.chars().take(40).collect();
    let remedy =
        suggest::did_you_mean(&word.value, known.iter().copied()).unwrap_or_else(|| format!("one of {}", known.join(", ")));
    reader.problem(word.at, format!("\"{shown}\" is no {what}"), remedy);
}

/// A list of method names.
pub(super) fn methods(reader: &mut Reader<'_>, fields: &Fields<'_>, name: &str) -> Vec<Box<str>> {
    let mut out: Vec<Box<str>> = Vec::new();
    for method in reader.texts(fields, name) {
        if !is_method(&method.value) {
            reader.problem(method.at, format!("{name} has an entry that is no method name"), "write it like eth_getLogs");
        } else if !out.contains(&method.value) {
            out.push(method.value);
        }
    }
    out
}

/// Letters, digits, `_` and `.`, at most `METHOD_BYTES`.
pub(super) fn is_method(word: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    !word.is_empty() && word.len() <= crate::base::limits::METHOD_BYTES && word.bytes().all(allowed)
}

fn read_limits(reader: &mut Reader<'_>, capabilities: &Fields<'_>, out: &mut Capabilities) {
    let Some(node) = capabilities.get("limits") else { return };
    let Some(fields) = reader.fields(node, &schema::LIMITS, "limits") else { return };
    out.max_block_range = reader.whole(&fields, "max_block_range", 0, u64::MAX);
    out.max_block_age = reader.whole(&fields, "max_block_age", 0, u64::MAX);
    out.block_age_methods = methods(reader, &fields, "block_age_methods");
    let (age, list) = (fields.get("max_block_age").is_some(), fields.get("block_age_methods").is_some());
    if age && !list {
        reader.warning(
            fields.at_key("max_block_age"),
            "max_block_age acts on no method",
            "list the methods in block_age_methods",
        );
    } else if list && !age {
        reader.warning(fields.at_key("block_age_methods"), "block_age_methods does nothing alone", "add max_block_age");
    }
}

fn read_rule(reader: &mut Reader<'_>, node: &Node) -> Option<ErrorRule> {
    let fields = reader.fields(node, &schema::ERROR_RULE, "each item of error_rules")?;
    let code = code(reader, &fields);
    let message_contains = messages(reader, &fields);
    if fields.get("code").is_none() && fields.get("message_contains").is_none() {
        reader.problem(fields.at, "an error rule needs code or message_contains", "add one of them");
    }
    if fields.get("category").is_none() {
        reader.problem(fields.at, "an error rule needs a category", format!("one of {}", RULE_CATEGORIES.join(", ")));
    }
    let word = reader.text(&fields, "category")?;
    let category = Spot::new(Box::<str>::from(word.value.value.as_str()), word.at);
    if !RULE_CATEGORIES.contains(&category.value.as_ref()) {
        unknown_word(reader, &category, "error category", RULE_CATEGORIES);
    }
    Some(ErrorRule { code, message_contains, category: category.value })
}

fn code(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<i64> {
    let node = fields.get("code")?;
    let code = if let Kind::Int(code) = node.kind { i64::try_from(code).ok() } else { None };
    if code.is_none() && !matches!(node.kind, Kind::Broken) {
        reader.problem(node.at, format!("code must be a whole number, not {}", node.kind.describe()), "write it like -32005");
    }
    code
}

fn messages(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<Box<str>> {
    let Some(node) = fields.get("message_contains") else { return Vec::new() };
    let items = match &node.kind {
        Kind::List(items) => {
            if items.is_empty() {
                reader.problem(node.at, "message_contains is an empty list", "give a text or delete the line");
            }
            items.as_slice()
        }
        _ => std::slice::from_ref(node),
    };
    let mut out = Vec::new();
    for item in items {
        if let Some(text) = reader.text_node(item, "message_contains") {
            out.push(text.value.value.to_lowercase().into());
        }
    }
    out
}
