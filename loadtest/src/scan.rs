//! The little that the tools read of HTTP and JSON: the end of a head, its length fields, and the `id` and `method` of one
//! JSON-RPC object, by spans. Trusting: both ends of a measurement are ours. Not the product's scanner, so that the
//! yardstick does not share the faults of what it measures.

use memchr::{memchr2, memmem};
use std::ops::Range;

/// How a message's body ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    Length(usize),
    Chunked,
    /// Neither field: no body in a request; in an answer the end of the connection.
    Missing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Bytes of the head, the empty line included.
    pub len: usize,
    pub framing: Framing,
    pub close: bool,
}

/// The head at the start of `buf`; `None` while its end is missing.
pub fn head(buf: &[u8]) -> Option<Head> {
    let len = memmem::find(buf, b"\r\n\r\n")? + 4;
    let mut head = Head { len, framing: Framing::Missing, close: false };
    let mut at = memmem::find(buf, b"\r\n")? + 2;
    while at + 2 < len {
        let end = at + memmem::find(&buf[at..len], b"\r\n")?;
        let line = &buf[at..end];
        at = end + 2;
        // The first letter decides whether a line is worth a look.
        match line.first().map(u8::to_ascii_lowercase) {
            Some(b'c') => {
                if let Some(value) = field(line, b"content-length") {
                    head.framing = Framing::Length(decimal(value)?);
                } else if let Some(value) = field(line, b"connection") {
                    head.close = value.eq_ignore_ascii_case(b"close");
                }
            }
            Some(b't') if field(line, b"transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case(b"chunked")) => {
                head.framing = Framing::Chunked;
            }
            _ => {}
        }
    }
    Some(head)
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

pub fn decimal(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Where the values of `id` and `method` of a JSON-RPC object lie (strings: quotes included).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Call {
    pub id: Option<Range<usize>>,
    pub method: Option<Range<usize>>,
}

/// Top-level keys only, so an `id` inside `params` is not taken. `None` when it is no object or ends early.
pub fn call(body: &[u8]) -> Option<Call> {
    let mut found = Call::default();
    let mut at = space(body, 0);
    if body.get(at) != Some(&b'{') {
        return None;
    }
    loop {
        at = space(body, at + 1);
        if body.get(at) == Some(&b'}') {
            return Some(found);
        }
        let key_end = string(body, at)?;
        let key = &body[at..key_end];
        let colon = space(body, key_end);
        if body.get(colon) != Some(&b':') {
            return None;
        }
        let start = space(body, colon + 1);
        let end = value(body, start)?;
        match key {
            b"\"id\"" => found.id = Some(start..end),
            b"\"method\"" => found.method = Some(start..end),
            _ => {}
        }
        at = space(body, end);
        match body.get(at) {
            Some(b',') => {}
            Some(b'}') => return Some(found),
            _ => return None,
        }
    }
}

/// Where the elements of a JSON array lie; `None` when it is no array or ends early.
pub fn items(body: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut found = Vec::new();
    let mut at = space(body, 0);
    if body.get(at) != Some(&b'[') {
        return None;
    }
    loop {
        let start = space(body, at + 1);
        if body.get(start) == Some(&b']') && found.is_empty() {
            return Some(found);
        }
        let end = value(body, start)?;
        found.push(start..end);
        at = space(body, end);
        match body.get(at) {
            Some(b',') => {}
            Some(b']') => return Some(found),
            _ => return None,
        }
    }
}

fn space(body: &[u8], mut at: usize) -> usize {
    while body.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// The end of the string that starts at `at`.
fn string(body: &[u8], at: usize) -> Option<usize> {
    if body.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at += memchr2(b'"', b'\\', body.get(at..)?)?;
        match body[at] {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

/// The end of the value that starts at `at`: nesting is counted, strings are skipped.
fn value(body: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match body.get(at)? {
            b'"' => at = string(body, at)?,
            b'[' | b'{' => {
                depth += 1;
                at += 1;
            }
            b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b',' | b':' if depth > 0 => at += 1,
            c if c.is_ascii_whitespace() => at += 1,
            _ => {
                let rest = body.get(at..)?;
                at += rest.iter().position(|c| b",]} \t\r\n".contains(c))?.max(1);
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let check = |text: &str, want: Option<Head>| assert_eq!(head(text.as_bytes()), want, "{text}");
        let some = |len, framing, close| Some(Head { len, framing, close });
        check("POST / HTTP/1.1\r\nContent-Length: 12\r\n\r\n", some(39, Framing::Length(12), false));
        check("HTTP/1.1 200 OK\r\ncontent-length:7\r\nconnection: Close\r\n\r\nx", some(56, Framing::Length(7), true));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", some(47, Framing::Chunked, false));
        check("HTTP/1.1 200 OK\r\n\r\n", some(19, Framing::Missing, false));
        check("HTTP/1.1 200 OK\r\ncontent-length: no\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n", None);
        check("", None);
    }

    #[test]
    fn calls() {
        let check = |text: &str, id: &str, method: &str| {
            let found = call(text.as_bytes()).expect(text);
            let part = |range: Option<Range<usize>>| range.map_or("", |r| &text[r]);
            assert_eq!((part(found.id), part(found.method)), (id, method), "{text}");
        };
        check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[]}"#, "1", "\"m\"");
        check(r#"{"method":"m","params":[{"id":7,"x":"}\"]"}, [ [] ]],"id":"a\"b"}"#, r#""a\"b""#, "\"m\"");
        check(" { \"id\" : null , \"jsonrpc\":\"2.0\" } ", "null", "");
        check(r#"{"id":-1.5e3}"#, "-1.5e3", "");
        check("{}", "", "");
    }

    #[test]
    fn elements_of_arrays() {
        let check = |text: &str, want: Option<&[&str]>| {
            let found = items(text.as_bytes());
            let texts = found.map(|ranges| ranges.into_iter().map(|range| &text[range]).collect::<Vec<_>>());
            assert_eq!(texts.as_deref(), want, "{text}");
        };
        check("[]", Some(&[]));
        check(r#" [ {"a":[1,"]"]} , 2,"x" ]"#, Some(&[r#"{"a":[1,"]"]}"#, "2", "\"x\""]));
        check("[1,", None);
        check("[1 2]", None);
        check("{}", None);
        check("", None);
    }

    #[test]
    fn cut_off_calls_are_none() {
        let text = r#"{"jsonrpc":"2.0","id":"x\\","method":"m","params":[{"a":[1,2]}]}"#;
        for end in 0..text.len() {
            assert_eq!(call(&text.as_bytes()[..end]), None, "{end}");
        }
        assert!(call(text.as_bytes()).is_some());
        for bad in ["[]", "1", "{1:2}", "{\"a\" 1}", "{\"a\":1]", "{\"a\":}"] {
            assert_eq!(call(bad.as_bytes()), None, "{bad}");
        }
    }
}
