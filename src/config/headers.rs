//! Headers that a provider's configuration adds to every request: `api_key`, `headers`, `auth_headers`, later over
//! earlier, names without regard to case (docs/behaviour/choosing.md#upstreams). Names that would change framing or the
//! connection are refused.

use crate::base::limits;
use crate::config::read::{Fields, Reader};

/// Set by the program from what it really sends; RFC 9110 §7.6.1 and our own body.
const OURS: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Not passed on from clients beside those: they are about the client and this node, or passed on in any case.
const CLIENTS_OWN: &[&str] =
    &["authorization", "cookie", "forwarded", "proxy-authorization", "traceparent", "tracestate", "x-api-key", "x-real-ip"];

/// `forward_headers`: lower-case names of clients' header fields that go upstream.
pub(super) fn read_forward_headers(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<Box<str>> {
    let mut out: Vec<Box<str>> = Vec::new();
    for text in reader.texts(fields, "forward_headers") {
        let name = text.value.to_ascii_lowercase();
        let is_clients_own = CLIENTS_OWN.contains(&name.as_str())
            || ["content-", "x-forwarded-", "x-lasso-", "proxy-"].iter().any(|start| name.starts_with(start));
        let fault = match bad_name(&name) {
            Some((what, _)) => Some(what),
            None if is_clients_own => Some("is never passed on"),
            None => None,
        };
        match fault {
            Some(what) => reader.problem(text.at, format!("the header name \"{}\" {what}", shown(&text.value)), "delete it"),
            None if out.iter().any(|have| **have == *name) => {}
            None => out.push(name.into()),
        }
    }
    if out.len() > limits::FORWARDED_FIELDS {
        let what = format!("forward_headers has more than {} names", limits::FORWARDED_FIELDS);
        reader.problem(fields.at_key("forward_headers"), what, "leave some out");
    }
    out
}

/// Lower-case names and values, in the order given, each name once.
pub(super) fn read_headers(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<(Box<str>, Box<str>)> {
    let mut out: Vec<(Box<str>, Box<str>)> = Vec::new();
    if let Some(key) = reader.text(fields, "api_key") {
        let value = format!("Bearer {}", key.value.value.trim());
        if let Some(what) = bad_value(&value) {
            reader.problem(key.at, format!("api_key {what}"), "correct it");
        }
        out.push(("authorization".into(), value.into()));
    }
    for name in ["headers", "auth_headers"] {
        add_mapping(reader, fields, name, &mut out);
    }
    let bytes: usize = out.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    if out.len() > limits::PROVIDER_HEADERS || bytes > limits::PROVIDER_HEADER_BYTES {
        let what = format!("a provider may add {} headers of {} bytes", limits::PROVIDER_HEADERS, limits::PROVIDER_HEADER_BYTES);
        reader.problem(fields.at_key("headers"), what, "leave some out");
    }
    out
}

fn add_mapping(reader: &mut Reader<'_>, fields: &Fields<'_>, map: &str, out: &mut Vec<(Box<str>, Box<str>)>) {
    let Some(node) = fields.get(map) else { return };
    let mut seen: Vec<String> = Vec::new();
    for (key, value) in reader.entries(node, map).unwrap_or_default() {
        let Some(word) = reader.key_text(key) else { continue };
        let name = word.to_ascii_lowercase();
        if let Some((what, remedy)) = bad_name(&name) {
            reader.problem(key.at, format!("the header name \"{}\" {what}", shown(&word)), remedy);
            continue;
        }
        if seen.contains(&name) {
            reader.problem(key.at, format!("the header {name} is given twice"), "keep one of them");
            continue;
        }
        seen.push(name.clone());
        let Some(text) = reader.text_node(value, &format!("the header {name}")) else { continue };
        if let Some(what) = bad_value(&text.value.value) {
            reader.problem(text.at, format!("the header {name} {what}"), "correct it");
            continue;
        }
        out.retain(|(have, _)| have.as_ref() != name);
        out.push((name.into(), text.value.value.trim().into()));
    }
}

fn shown(word: &str) -> String {
    word.chars().take(60).filter(|c| !c.is_control()).collect()
}

/// RFC 9110 §5.6.2 token, and none of ours.
fn bad_name(name: &str) -> Option<(&'static str, &'static str)> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > limits::NAME_BYTES || !name.bytes().all(token) {
        return Some(("is not allowed in HTTP", "use letters, digits and -"));
    }
    if OURS.contains(&name) || name.starts_with("sec-websocket-") {
        return Some(("is set by lasso itself", "delete it"));
    }
    None
}

fn bad_value(value: &str) -> Option<&'static str> {
    let ok = |b: u8| (0x20..=0x7e).contains(&b);
    if value.bytes().all(ok) { None } else { Some("has a character that a header cannot carry") }
}
