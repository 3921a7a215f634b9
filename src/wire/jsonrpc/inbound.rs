//! What a provider sends on a WebSocket, told apart by a walk over its top-level keys: an answer to one of our calls, an event
//! of a subscription, or an error that belongs to no call.
//!
//! An answer is recognised by its id alone, usually in its first 40 bytes, and judged later by whoever sent the call: so a cut
//! or contradictory answer fails that call and no other. An event is proven here, for its bytes go on to clients.

use crate::base::limits::JSON_DEPTH;
use crate::base::span::Span;
use crate::wire::json::{check_string, check_value, skip_space, skip_value, string_equals};

/// Spans are in the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inbound {
    /// To the call with this id.
    Answer(u64),
    /// `subscription`: its id, without quotes. `result`: the raw value.
    Event { subscription: Span, result: Span },
    /// An error without an id; the raw value.
    Error(Span),
    /// Nothing that we could have asked for.
    Unknown,
}

impl Inbound {
    /// The id of the call that it answers.
    pub fn answer(self) -> Option<u64> {
        match self {
            Inbound::Answer(id) => Some(id),
            Inbound::Event { .. } | Inbound::Error(_) | Inbound::Unknown => None,
        }
    }
}

/// Sorts a whole message.
pub fn sort_inbound(message: &[u8]) -> Inbound {
    sort(message).unwrap_or(Inbound::Unknown)
}

fn sort(message: &[u8]) -> Option<Inbound> {
    let (mut params, mut error, mut is_event) = (None, None, false);
    let mut members = Members::of(message, Span::new(0, message.len()), skip_value_end)?;
    while let Some((key, value)) = members.next()? {
        let raw = value.of(message);
        if string_equals(key.of(message), "id") {
            if let Some(id) = number(raw) {
                return Some(Inbound::Answer(id));
            }
        } else if string_equals(key.of(message), "method") {
            is_event = raw == b"\"eth_subscription\"";
        } else if string_equals(key.of(message), "params") {
            params = Some(value);
        } else if string_equals(key.of(message), "error") {
            error = Some(value);
        }
    }
    if is_event && skip_space(message, members.at) == message.len() {
        return event(message, params?);
    }
    error.filter(|error| error.of(message) != b"null").map(Inbound::Error)
}

fn event(message: &[u8], params: Span) -> Option<Inbound> {
    let (mut subscription, mut result) = (None, None);
    let mut members = Members::of(message, params, check_value_end)?;
    while let Some((key, value)) = members.next()? {
        let place = match key.of(message) {
            b"subscription" => &mut subscription,
            b"result" => &mut result,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    let (subscription, result) = (subscription?, result?);
    let raw = subscription.of(message);
    let unquoted = match raw.first()? {
        b'"' => Span::new(subscription.start as usize + 1, subscription.end as usize - 1),
        b'0'..=b'9' => subscription,
        _ => return None,
    };
    Some(Inbound::Event { subscription: unquoted, result })
}

/// `1*DIGIT` of at most 16 digits: as we send them.
/// The id that ends a message, of which these are the last bytes: where a provider writes it behind the result.
pub fn id_at_end(last: &[u8]) -> Option<u64> {
    let head = last.trim_ascii_end().strip_suffix(b"}")?.trim_ascii_end();
    let digits = head.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (head, digits) = head.split_at(head.len() - digits);
    let head = head.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end().strip_suffix(b"\"id\"")?.trim_ascii_end();
    number(digits).filter(|_| head.ends_with(b","))
}

fn number(raw: &[u8]) -> Option<u64> {
    if raw.is_empty() || raw.len() > 16 {
        return None;
    }
    raw.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

type End = fn(&[u8], usize) -> Option<usize>;

fn skip_value_end(buf: &[u8], at: usize) -> Option<usize> {
    skip_value(buf, at).ok()
}

fn check_value_end(buf: &[u8], at: usize) -> Option<usize> {
    check_value(buf, at, JSON_DEPTH - 2).ok()
}

/// The members of an object, one after the other: `None` when it is none, or no more of it can be read.
struct Members<'a> {
    buf: &'a [u8],
    at: usize,
    is_first: bool,
    end_of: End,
}

impl<'a> Members<'a> {
    fn of(buf: &'a [u8], object: Span, end_of: End) -> Option<Members<'a>> {
        let start = skip_space(buf, object.start as usize);
        (buf.get(start) == Some(&b'{')).then_some(Members { buf, at: start + 1, is_first: true, end_of })
    }

    /// The next key, without quotes, and its value; `Some(None)` at the closing brace, which is then passed.
    fn next(&mut self) -> Option<Option<(Span, Span)>> {
        let mut at = skip_space(self.buf, self.at);
        match (self.buf.get(at)?, self.is_first) {
            (b'}', _) => {
                self.at = at + 1;
                return Some(None);
            }
            (b',', false) => at = skip_space(self.buf, at + 1),
            (b'"', true) => {}
            _ => return None,
        }
        self.is_first = false;
        let key_end = check_string(self.buf, at).ok()?;
        let colon = skip_space(self.buf, key_end);
        if self.buf.get(at) != Some(&b'"') || self.buf.get(colon) != Some(&b':') {
            return None;
        }
        let start = skip_space(self.buf, colon + 1);
        let end = (self.end_of)(self.buf, start)?;
        self.at = end;
        Some(Some((Span::new(at + 1, key_end - 1), Span::new(start, end))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_behind_a_result_is_found_and_one_inside_of_it_is_not() {
        let check = |last: &str, want| assert_eq!(id_at_end(last.as_bytes()), want, "{last}");
        check(r#"..."}],"id":7}"#, Some(7));
        check("...\"}] ,\t\"id\" : 12 } \r\n", Some(12));
        check(r#"..."id":7}}"#, None);
        check(r#"..."x":7}"#, None);
        check(r#"...\"id":7}"#, None);
        check(r#"..."id":}"#, None);
        check(r#"..."id":"7"}"#, None);
        check("7}", None);
        check("", None);
    }

    #[test]
    fn messages_are_told_apart() {
        let check = |message: &str, want: &str| {
            let of = |span: Span| String::from_utf8_lossy(span.of(message.as_bytes())).into_owned();
            let got = match sort_inbound(message.as_bytes()) {
                Inbound::Answer(id) => format!("answer {id}"),
                Inbound::Event { subscription, result } => format!("event {} {}", of(subscription), of(result)),
                Inbound::Error(error) => format!("error {}", of(error)),
                Inbound::Unknown => "unknown".into(),
            };
            assert_eq!(got, want, "{message}");
        };
        check(r#"{"jsonrpc":"2.0","id":7,"result":"0x1"}"#, "answer 7");
        check(r#" { "result" : {"id":9,"a":[1,"}"]} , "id" : 9007199254740991 } "#, "answer 9007199254740991");
        check(r#"{"jsonrpc":"2.0","id":7,"result":{"cut":["#, "answer 7");
        check(r#"{"i\u0064":7}"#, "answer 7");
        check(r#"{"id":"7","result":1}"#, "unknown");
        check(r#"{"id":null,"error":{"code":-32700}}"#, r#"error {"code":-32700}"#);
        check(r#"{"jsonrpc":"2.0","error":{"code":-32701},"result":null}"#, r#"error {"code":-32701}"#);
        check(r#"{"id":null,"error":null}"#, "unknown");
        check(
            r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0xab","result":{"n":[1]}}}"#,
            r#"event 0xab {"n":[1]}"#,
        );
        check(r#"{"params":{"result":null,"x":1,"subscription":12},"method":"eth_subscription"}"#, "event 12 null");
        check(r#"{"method":"eth_subscription","params":{"result":1,"result":2,"subscription":"a"}}"#, "unknown");
        check(r#"{"method":"eth_subscription","params":{"result":nul,"subscription":"a"}}"#, "unknown");
        check(r#"{"method":"eth_subscription","params":{"result":1}}"#, "unknown");
        check(r#"{"method":"eth_subscription","params":["a",1]}"#, "unknown");
        check(r#"{"method":"eth_subscription","params":{"result":1,"subscription":"a"}} x"#, "unknown");
        check(r#"{"method":"other","params":{"result":1,"subscription":"a"}}"#, "unknown");
        for text in
            ["", "hello", "[]", "{", "{]", "null", r#"{"id"}"#, r#"{"id":}"#, r#"{"id":-1}"#, r#"{"id":1.5}"#, r#"{,"id":1}"#]
        {
            check(text, "unknown");
        }
    }
}
