//! What a provider answered, judged while it is held whole: one id, exactly one outcome.
//!
//! Every value is proven to be JSON and UTF-8, which costs less than twice finding its end and makes held answers fit to
//! stand in a batch or a text frame. Only one nested deeper than `JSON_DEPTH` (call traces) is skipped instead, up to
//! `ANSWER_DEPTH`. Real nodes leave things out, write `"error":null` beside a result, or an error that is a mere text. What
//! such an answer means is certain, so it is read, marked as not `plain`, and written anew for the client (`repair`). What
//! could be another call's, or two answers in one, is refused: there nothing is certain.

use crate::base::limits::{ANSWER_DEPTH, JSON_DEPTH};
use crate::base::span::Span;
use crate::wire::json::{
    JsonFault, check_string, check_value, skip_space, skip_string, skip_value, skip_value_within, string_equals, string_folds_to,
    strings_equal, unquoted,
};

/// An answer that may be judged; spans are in the scanned body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The raw token; `NONE` when an error came without one.
    pub id: Span,
    pub kind: AnswerKind,
    /// It keeps to the protocol: an id, the version, one outcome only, an error as it should be. Else it is repaired before
    /// a client sees it.
    pub is_plain: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerKind {
    /// The raw value.
    Result(Span),
    /// `message`: raw, between its quotes if it has any. `data`: the raw value, `NONE` when absent.
    Error { whole: Span, code: i64, message: Span, data: Span },
}

/// Why a body is no answer. All of them fail over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerFault {
    NotJson,
    Truncated,
    NotObject,
    /// A result without an id.
    NoId,
    TwoIds,
    /// Seen by the stream, which compares ids itself; for held answers see [`id_matches`].
    OtherId,
    Both,
    Neither,
    /// The error has its code, message or data twice.
    BadError,
    TooDeep,
    /// Something follows the object (or, in a stream, more than `ANSWER_TAIL_BYTES` follow the result).
    TrailingData,
    /// `jsonrpc`, `result` or `error` twice, or a key that is one of the four to a parser that ignores case.
    DuplicateKey,
}

impl From<JsonFault> for AnswerFault {
    fn from(fault: JsonFault) -> Self {
        match fault {
            JsonFault::Truncated => AnswerFault::Truncated,
            JsonFault::Syntax(_) => AnswerFault::NotJson,
            JsonFault::TooDeep => AnswerFault::TooDeep,
        }
    }
}

/// A complete body.
pub fn scan_answer(body: &[u8]) -> Result<Answer, AnswerFault> {
    let at = object_start(body)?;
    let mut members = Members::default();
    let end = match members.walk(body, at, Place::First, false)? {
        Stop::End(end) => end,
        // Cannot be: asked not to stop at keys.
        Stop::Result(_) | Stop::Error => return Err(AnswerFault::NotJson),
    };
    if skip_space(body, end) != body.len() {
        return Err(AnswerFault::TrailingData);
    }
    members.judge(body)
}

/// The position after the opening brace.
pub(super) fn object_start(body: &[u8]) -> Result<usize, AnswerFault> {
    let at = skip_space(body, 0);
    match body.get(at) {
        Some(b'{') => Ok(at + 1),
        Some(_) if skip_value(body, at).is_ok_and(|end| skip_space(body, end) == body.len()) => Err(AnswerFault::NotObject),
        _ => Err(AnswerFault::NotJson),
    }
}

/// Whether the answer is for the call whose id went out as `sent` (the raw token).
pub fn id_matches(body: &[u8], answer: &Answer, sent: &[u8]) -> bool {
    same_id(answer.id.of(body), sent)
}

/// Bytes first; a node may escape a string id otherwise than we did. Numbers are compared by their text: a node that
/// writes `1.0` for `1` would also mix up big ones.
pub(super) fn same_id(got: &[u8], sent: &[u8]) -> bool {
    got == sent || matches!((unquoted(got), unquoted(sent)), (Some(a), Some(b)) if strings_equal(a, b))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Version,
    Id,
    Result,
    Error,
    Other,
}

/// Which key a raw string is. Case variants are a fault: clients in Go would take them for the real ones.
fn key(raw: &[u8]) -> Result<Key, AnswerFault> {
    for (name, key) in [("jsonrpc", Key::Version), ("id", Key::Id), ("result", Key::Result), ("error", Key::Error)] {
        if string_equals(raw, name) {
            return Ok(key);
        }
        if string_folds_to(raw, name) {
            return Err(AnswerFault::DuplicateKey);
        }
    }
    Ok(Key::Other)
}

/// Where a walk begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// After the opening brace.
    First,
    /// After a value.
    AfterValue,
}

/// Where a walk ended.
pub(super) enum Stop {
    /// After the closing brace.
    End(usize),
    /// At a result's value, when asked to stop there; a `null` is walked over, for an error may follow.
    Result(usize),
    /// At an error that is not null, when asked to stop at results.
    Error,
}

/// Top-level members seen so far, as raw values in the buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Members {
    pub version: Option<Span>,
    pub id: Option<Span>,
    pub result: Option<Span>,
    pub error: Option<Span>,
    /// Where the error's key begins.
    pub error_key: usize,
}

impl Members {
    /// Walks the members from `at` on. `stop` ends the walk where the outcome is known.
    #[inline]
    pub fn walk(&mut self, buf: &[u8], mut at: usize, mut place: Place, stop: bool) -> Result<Stop, AnswerFault> {
        loop {
            at = skip_space(buf, at);
            match (byte(buf, at)?, place) {
                (b'}', _) => return Ok(Stop::End(at + 1)),
                (b',', Place::AfterValue) => at = skip_space(buf, at + 1),
                (b'"', Place::First) => {}
                _ => return Err(AnswerFault::NotJson),
            }
            let (key, start) = key_and_colon(buf, at)?;
            let first = byte(buf, start)?;
            if stop && first != b'n' && matches!(key, Key::Result | Key::Error) {
                self.refuse_repeated(key)?;
                return Ok(if key == Key::Result { Stop::Result(start) } else { Stop::Error });
            }
            if key == Key::Error {
                self.error_key = at;
            }
            at = value_end(buf, start)?;
            self.note(key, Span::new(start, at))?;
            place = Place::AfterValue;
        }
    }

    fn refuse_repeated(&self, key: Key) -> Result<(), AnswerFault> {
        match key {
            Key::Version if self.version.is_some() => Err(AnswerFault::DuplicateKey),
            Key::Id if self.id.is_some() => Err(AnswerFault::TwoIds),
            Key::Result if self.result.is_some() => Err(AnswerFault::DuplicateKey),
            Key::Error if self.error.is_some() => Err(AnswerFault::DuplicateKey),
            _ => Ok(()),
        }
    }

    #[inline]
    fn note(&mut self, key: Key, value: Span) -> Result<(), AnswerFault> {
        self.refuse_repeated(key)?;
        match key {
            Key::Version => self.version = Some(value),
            Key::Id => self.id = Some(value),
            Key::Result => self.result = Some(value),
            Key::Error => self.error = Some(value),
            Key::Other => {}
        }
        Ok(())
    }

    #[inline]
    pub fn judge(&self, buf: &[u8]) -> Result<Answer, AnswerFault> {
        let null = |span: &Span| span.of(buf) == b"null";
        let is_framed = self.id.is_some() && self.version.is_some_and(|raw| is_two(raw.of(buf)));
        let (kind, is_single) = match (self.result, self.error.filter(|span| !null(span))) {
            (Some(result), None) => (AnswerKind::Result(result), self.error.is_none()),
            (None, None) => return Err(AnswerFault::Neither),
            (Some(result), Some(_)) if !null(&result) => return Err(AnswerFault::Both),
            (_, Some(error)) => {
                let (kind, is_proper) = error_kind(buf, error)?;
                (kind, is_proper && self.result.is_none())
            }
        };
        if self.id.is_none() && matches!(kind, AnswerKind::Result(_)) {
            return Err(AnswerFault::NoId);
        }
        Ok(Answer { id: self.id.unwrap_or(Span::NONE), kind, is_plain: is_framed && is_single })
    }
}

/// Whether a version's raw value is the one that clients expect.
#[inline]
pub(super) fn is_two(raw: &[u8]) -> bool {
    raw == b"\"2.0\"" || unquoted(raw).is_some_and(|text| string_equals(text, "2.0"))
}

#[inline]
fn byte(buf: &[u8], at: usize) -> Result<u8, AnswerFault> {
    buf.get(at).copied().ok_or(AnswerFault::Truncated)
}

/// The end of a member's value, proven unless it is nested too deep for that.
#[inline]
fn value_end(buf: &[u8], start: usize) -> Result<usize, AnswerFault> {
    match check_value(buf, start, JSON_DEPTH - 1) {
        Err(JsonFault::TooDeep) => Ok(skip_value_within(buf, start, ANSWER_DEPTH - 1)?),
        end => Ok(end?),
    }
}

/// The key at `at` and where its value starts.
#[inline(always)]
fn key_and_colon(buf: &[u8], at: usize) -> Result<(Key, usize), AnswerFault> {
    let rest = buf.get(at..).unwrap_or(&[]);
    let plain: [(&[u8], Key); 4] =
        [(b"\"jsonrpc\":", Key::Version), (b"\"id\":", Key::Id), (b"\"result\":", Key::Result), (b"\"error\":", Key::Error)];
    for (literal, key) in plain {
        if rest.starts_with(literal) {
            return Ok((key, skip_space(buf, at + literal.len())));
        }
    }
    if byte(buf, at)? != b'"' {
        return Err(AnswerFault::NotJson);
    }
    let end = check_string(buf, at)?;
    let colon = skip_space(buf, end);
    if byte(buf, colon)? != b':' {
        return Err(AnswerFault::NotJson);
    }
    Ok((key(buf.get(at + 1..end - 1).unwrap_or(&[]))?, skip_space(buf, colon + 1)))
}

/// An error that is not null, and whether it is as the protocol wants it.
#[cold]
pub(super) fn error_kind(buf: &[u8], whole: Span) -> Result<(AnswerKind, bool), AnswerFault> {
    if let Some(text) = between_quotes(buf, whole) {
        return Ok((AnswerKind::Error { whole, code: UNCODED, message: text, data: Span::NONE }, false));
    }
    let start = whole.start as usize;
    if buf.get(start) != Some(&b'{') {
        return Ok((AnswerKind::Error { whole, code: UNCODED, message: whole, data: Span::NONE }, false));
    }
    let found = ErrorMembers::find(buf, start + 1)?;
    let exact = std::str::from_utf8(found.code.of(buf)).ok().and_then(|text| text.parse::<i64>().ok());
    let spelled = exact.or_else(|| spelled_code(found.code.of(buf)));
    let code = spelled.unwrap_or(UNCODED);
    let said = between_quotes(buf, found.message);
    let message = said.or_else(|| between_quotes(buf, found.details)).unwrap_or(whole);
    let is_proper = exact.is_some() && said.is_some();
    // What has no place of its own is not lost: the whole error becomes the data.
    let has_rest = found.has_more || (spelled.is_none() && found.code != Span::NONE);
    let data = if found.data == Span::NONE && !is_proper && has_rest { whole } else { found.data };
    Ok((AnswerKind::Error { whole, code, message, data }, is_proper))
}

/// The code of an error that has none.
const UNCODED: i64 = -32000;

/// The inside of a raw value that is a string.
fn between_quotes(buf: &[u8], raw: Span) -> Option<Span> {
    unquoted(raw.of(buf)).map(|_| Span::new(raw.start as usize + 1, raw.end as usize - 1))
}

/// An integer written as a text or with a fraction of zero.
fn spelled_code(raw: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(unquoted(raw).unwrap_or(raw)).ok()?.trim();
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
    })
}

/// Raw values of an error object's members.
struct ErrorMembers {
    code: Span,
    message: Span,
    data: Span,
    /// What some nodes say in the place of a message.
    details: Span,
    /// There are others.
    has_more: bool,
}

impl ErrorMembers {
    /// The members of the object whose brace is before `at`; it is known to be JSON.
    fn find(buf: &[u8], mut at: usize) -> Result<ErrorMembers, AnswerFault> {
        let none = Span::NONE;
        let mut found = ErrorMembers { code: none, message: none, data: none, details: none, has_more: false };
        loop {
            at = skip_space(buf, at);
            match byte(buf, at)? {
                b'}' => return Ok(found),
                b',' => at = skip_space(buf, at + 1),
                _ => {}
            }
            let key_end = skip_string(buf, at)?;
            let key = buf.get(at + 1..key_end - 1).unwrap_or(&[]);
            // The colon.
            let start = skip_space(buf, skip_space(buf, key_end) + 1);
            at = skip_value(buf, start)?;
            let is = |name| string_equals(key, name);
            let slot = if is("code") {
                &mut found.code
            } else if is("message") {
                &mut found.message
            } else if is("data") {
                &mut found.data
            } else if found.details == none && (is("details") || is("detail") || is("reason")) {
                &mut found.details
            } else {
                found.has_more = true;
                continue;
            };
            if *slot != none {
                return Err(AnswerFault::BadError);
            }
            *slot = Span::new(start, at);
        }
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
