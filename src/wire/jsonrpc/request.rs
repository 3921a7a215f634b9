//! What a client asked: one call or a batch of them.
//!
//! The whole body is proven to be JSON in the same pass that finds the four keys, so nothing goes upstream that a node
//! might read otherwise than we did. Nodes match keys after unescaping, and geth's family also without regard to case:
//! `"METHOD"` or `"m\u0065thod"` beside our `"method"` would name one call to our block list and another to the node.
//! Such keys, and any repeated one, are refused rather than guessed at.
//!
//! A body in canonical form may be sent as it is; everything else acceptable is re-emitted from the spans.

use super::batch::{BatchFault, scan_batch};
use crate::base::limits::{BATCH_ITEMS_MAX, ID_BYTES, JSON_DEPTH, METHOD_BYTES, REQUEST_EXTRA_KEYS};
use crate::base::span::Span;
use crate::wire::json::{
    JsonFault, check_string, check_value, skip_space, skip_string, skip_value_within, string_equals, string_folds_to,
    strings_equal, valid,
};
use arrayvec::ArrayVec;

/// What the `id` member was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Id {
    /// A notification: executed, never answered.
    Absent,
    /// `null`: answered with id null.
    Null,
    /// A string or a number.
    Value,
}

/// What `params` was, which decides how it is re-emitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParamsKind {
    /// Absent or null: `[]`.
    None,
    /// As it is.
    Array,
    /// By name: as it is.
    Object,
    /// `[scalar]`.
    Scalar,
}

/// One acceptable call; spans are in the scanned buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    pub id: Id,
    /// The raw token, quotes included; `null` itself for `Id::Null`; `NONE` for `Id::Absent`.
    pub id_span: Span,
    /// Between the quotes: 1 to `METHOD_BYTES` visible ASCII characters without an escape.
    pub method: Span,
    /// The raw value; `NONE` when absent or null.
    pub params: Span,
    pub params_kind: ParamsKind,
    /// May be sent upstream as it came (docs/behaviour/calls.md#canonical-form).
    pub canonical: bool,
    /// `"lasso_meta":"notify"` was there (docs/behaviour/shown.md#metadata); never canonical.
    pub notify_meta: bool,
}

/// A body that is one call or several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    Single(Request),
    /// The items, each proven to be JSON but not yet to be a call: [`scan_item`].
    Batch(Vec<Span>),
}

/// Why a body or item is no call. `id` is what to echo, `NONE` meaning null.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestFault {
    /// -32700: not JSON, not UTF-8, or more than one value.
    Parse,
    /// -32600.
    Invalid { text: &'static str, id: Span },
    /// -32700: nested deeper than `JSON_DEPTH`.
    TooDeep,
}

impl RequestFault {
    /// JSON-RPC error code.
    pub fn code(self) -> i64 {
        match self {
            RequestFault::Parse | RequestFault::TooDeep => -32700,
            RequestFault::Invalid { .. } => -32600,
        }
    }

    /// JSON-RPC error message.
    pub fn message(self) -> &'static str {
        match self {
            RequestFault::Parse => "Parse error: Invalid JSON",
            RequestFault::TooDeep => TOO_DEEP,
            RequestFault::Invalid { text, .. } => text,
        }
    }

    /// The id to echo; `NONE` means null.
    pub fn id(self) -> Span {
        match self {
            RequestFault::Invalid { id, .. } => id,
            RequestFault::Parse | RequestFault::TooDeep => Span::NONE,
        }
    }
}

const TOO_DEEP: &str = "Parse error: nested deeper than 128 levels";
const TOO_LARGE: &str = "Invalid Request: batch too large (never more than 10000 calls)";
const _: () = assert!(JSON_DEPTH == 128 && BATCH_ITEMS_MAX == 10_000, "the texts above name these");

const NO_CALL: &str = "Invalid Request";
const REPEATED: &str = "Invalid Request: a top-level key occurs twice";
const DISGUISED: &str = "Invalid Request: a top-level key equals jsonrpc, id, method or params only after unescaping or ignoring case; \
                         write it plainly";
const TOO_MANY_KEYS: &str = "Invalid Request: too many top-level keys";
const VERSION: &str = "Invalid Request: jsonrpc must be \"2.0\"";
const METHOD_LENGTH: &str = "Invalid Request: method must have 1 to 128 characters";
const _: () = assert!(METHOD_BYTES == 128, "the text above names it");
const METHOD_CHARACTERS: &str = "Invalid Request: method must be visible ASCII without escapes";
const ID_LENGTH: &str = "Invalid Request: id is longer than 4096 bytes";
const _: () = assert!(ID_BYTES == 4096, "the text above names it");
const ID_KIND: &str = "Invalid Request: id must be a string, a number or null";

impl From<JsonFault> for RequestFault {
    fn from(fault: JsonFault) -> Self {
        match fault {
            JsonFault::TooDeep => RequestFault::TooDeep,
            JsonFault::Truncated | JsonFault::Syntax(_) => RequestFault::Parse,
        }
    }
}

/// A whole body. It is proven to be one JSON text before anything else is said about it.
pub fn scan_body(body: &[u8]) -> Result<Body, RequestFault> {
    let at = skip_space(body, 0);
    match body.get(at) {
        Some(b'{') => {
            let (envelope, end) = Envelope::scan::<false>(body, at, JSON_DEPTH - 1)?;
            if skip_space(body, end) != body.len() {
                return Err(RequestFault::Parse);
            }
            envelope.judge(body).map(Body::Single)
        }
        Some(b'[') => scan_batch(body).map(Body::Batch).map_err(|fault| match fault {
            BatchFault::Empty => invalid(NO_CALL),
            BatchFault::TooLarge(_) => invalid(TOO_LARGE),
            BatchFault::Parse => RequestFault::Parse,
            BatchFault::TooDeep => RequestFault::TooDeep,
        }),
        _ if valid(body) => Err(invalid(NO_CALL)),
        _ => Err(RequestFault::Parse),
    }
}

/// One item of a batch that [`scan_body`] or [`scan_batch`] has proven; spans are in `body`.
pub fn scan_item(body: &[u8], item: Span) -> Result<Request, RequestFault> {
    if item.of(body).first() != Some(&b'{') {
        return Err(invalid(NO_CALL));
    }
    let (envelope, _) = Envelope::scan::<true>(body, item.start as usize, JSON_DEPTH - 2)?;
    envelope.judge(body)
}

fn invalid(text: &'static str) -> RequestFault {
    RequestFault::Invalid { text, id: Span::NONE }
}

const KEYS: [&str; 4] = ["jsonrpc", "id", "method", "params"];
const ID_KEY: usize = 1;

enum Key {
    /// A place in `KEYS`.
    Known(usize),
    /// What stands between the quotes.
    Other(Span),
}

/// The key at `at` and where its value starts.
#[inline(always)]
fn key_and_colon<const PROVEN: bool>(buf: &[u8], at: usize) -> Result<(Key, usize), RequestFault> {
    let rest = buf.get(at..).unwrap_or(&[]);
    for (slot, literal) in [&b"\"jsonrpc\":"[..], b"\"id\":", b"\"method\":", b"\"params\":"].into_iter().enumerate() {
        if rest.starts_with(literal) {
            return Ok((Key::Known(slot), skip_space(buf, at + literal.len())));
        }
    }
    if rest.first() != Some(&b'"') {
        return Err(RequestFault::Parse);
    }
    let end = if PROVEN { skip_string(buf, at)? } else { check_string(buf, at)? };
    let colon = skip_space(buf, end);
    if buf.get(colon) != Some(&b':') {
        return Err(RequestFault::Parse);
    }
    let key = Span::new(at + 1, end - 1);
    let slot = KEYS.iter().position(|known| key.of(buf) == known.as_bytes());
    Ok((slot.map_or(Key::Other(key), Key::Known), skip_space(buf, colon + 1)))
}

/// Raw values of the four keys (`NONE`: not there), and what was wrong with the keys.
struct Envelope {
    values: [Span; 4],
    extra: ArrayVec<Span, REQUEST_EXTRA_KEYS>,
    notify_meta: bool,
    fault: Option<&'static str>,
    id_repeated: bool,
}

impl Envelope {
    /// The object at `at` and its end. `PROVEN`: the bytes are known to be JSON, so values are skipped, not checked.
    fn scan<const PROVEN: bool>(buf: &[u8], at: usize, depth: usize) -> Result<(Envelope, usize), RequestFault> {
        let mut envelope =
            Envelope { values: [Span::NONE; 4], extra: ArrayVec::new(), notify_meta: false, fault: None, id_repeated: false };
        let mut at = skip_space(buf, at + 1);
        if buf.get(at) == Some(&b'}') {
            return Ok((envelope, at + 1));
        }
        loop {
            let (key, start) = key_and_colon::<PROVEN>(buf, at)?;
            let end = if PROVEN { skip_value_within(buf, start, depth)? } else { check_value(buf, start, depth)? };
            envelope.note(buf, key, Span::new(start, end));
            at = skip_space(buf, end);
            match buf.get(at) {
                Some(b',') => at = skip_space(buf, at + 1),
                Some(b'}') => return Ok((envelope, at + 1)),
                _ => return Err(RequestFault::Parse),
            }
        }
    }

    #[inline]
    fn note(&mut self, buf: &[u8], key: Key, value: Span) {
        let slot = match key {
            Key::Known(slot) => slot,
            Key::Other(key) => return self.note_extra(buf, key, value),
        };
        match self.values.get_mut(slot) {
            Some(seen) if *seen == Span::NONE => *seen = value,
            _ => {
                self.fault.get_or_insert(REPEATED);
                self.id_repeated |= slot == ID_KEY;
            }
        }
    }

    #[cold]
    fn note_extra(&mut self, buf: &[u8], key: Span, value: Span) {
        let raw = key.of(buf);
        if KEYS.iter().any(|known| string_folds_to(raw, known)) {
            self.fault.get_or_insert(DISGUISED);
            self.id_repeated |= string_folds_to(raw, "id");
        }
        if self.extra.iter().any(|seen| strings_equal(seen.of(buf), raw)) {
            self.fault.get_or_insert(REPEATED);
        } else if self.extra.try_push(key).is_err() {
            self.fault.get_or_insert(TOO_MANY_KEYS);
        }
        self.notify_meta |= string_equals(raw, "lasso_meta") && value.of(buf) == b"\"notify\"";
    }

    fn judge(&self, buf: &[u8]) -> Result<Request, RequestFault> {
        let [version, id_span, method, params] = self.values;
        let id = id_kind(id_span.of(buf));
        let echo = match id {
            IdKind::Odd | IdKind::TooLong => Span::NONE,
            _ if self.id_repeated => Span::NONE,
            _ => id_span,
        };
        if let Some(text) = self.fault.or_else(|| call_fault(buf, version, method)) {
            return Err(RequestFault::Invalid { text, id: echo });
        }
        let (id, plain_id) = match id {
            IdKind::Absent => (Id::Absent, false),
            IdKind::Null => (Id::Null, false),
            IdKind::Value { plain } => (Id::Value, plain),
            IdKind::TooLong => return Err(RequestFault::Invalid { text: ID_LENGTH, id: echo }),
            IdKind::Odd => return Err(RequestFault::Invalid { text: ID_KIND, id: echo }),
        };
        let params_kind = match params.of(buf).first() {
            None | Some(b'n') => ParamsKind::None,
            Some(b'[') => ParamsKind::Array,
            Some(b'{') => ParamsKind::Object,
            Some(_) => ParamsKind::Scalar,
        };
        Ok(Request {
            id,
            id_span,
            method: Span::new(method.start as usize + 1, method.end as usize - 1),
            params: if params_kind == ParamsKind::None { Span::NONE } else { params },
            params_kind,
            canonical: plain_id && version.of(buf) == b"\"2.0\"" && params_kind == ParamsKind::Array && self.extra.is_empty(),
            notify_meta: self.notify_meta,
        })
    }
}

/// What is wrong with the version or the method, if anything.
#[inline]
fn call_fault(buf: &[u8], version: Span, method: Span) -> Option<&'static str> {
    let [b'"', name @ .., b'"'] = method.of(buf) else { return Some(NO_CALL) };
    let means_two = |raw: &[u8]| matches!(raw, [b'"', text @ .., b'"'] if string_equals(text, "2.0"));
    if version != Span::NONE && !means_two(version.of(buf)) {
        Some(VERSION)
    } else if name.is_empty() || name.len() > METHOD_BYTES {
        Some(METHOD_LENGTH)
    } else if !name.iter().all(|b| b.is_ascii_graphic() && *b != b'\\') {
        // Also without space: some nodes trim the name before they look it up.
        Some(METHOD_CHARACTERS)
    } else {
        None
    }
}

enum IdKind {
    Absent,
    Null,
    /// `plain`: within the canonical form's bounds.
    Value {
        plain: bool,
    },
    TooLong,
    /// A boolean, array or object.
    Odd,
}

/// Judges a raw `id` (empty: absent) that is known to be JSON.
#[inline]
fn id_kind(raw: &[u8]) -> IdKind {
    match raw {
        [] => IdKind::Absent,
        b"null" => IdKind::Null,
        [b'{' | b'[' | b't' | b'f', ..] => IdKind::Odd,
        _ if raw.len() > ID_BYTES => IdKind::TooLong,
        [b'"', text @ .., b'"'] => {
            let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
            IdKind::Value { plain: !text.is_empty() && text.iter().all(plain) }
        }
        // Some parsers give 1.0 back as 1 and 1e3 as 1000, so none of them goes upstream.
        _ if raw.iter().any(|b| matches!(b, b'.' | b'e' | b'E')) => IdKind::Value { plain: false },
        _ => IdKind::Value { plain: is_exact_in_a_double(raw) },
    }
}

/// Integers within ±2^53, which every parser keeps. Not `-0`, which some give back as `0`.
fn is_exact_in_a_double(raw: &[u8]) -> bool {
    let digits = raw.strip_prefix(b"-").unwrap_or(raw);
    let value = digits.iter().take(17).fold(0u64, |sum, b| sum * 10 + u64::from(b.wrapping_sub(b'0') & 15));
    digits.len() <= 16 && value <= 1 << 53 && raw != b"-0"
}

#[cfg(test)]
#[path = "request_tests.rs"]
pub(super) mod tests;
