//! `traceparent` and `tracestate` as a client sends them, divided by a line end, against naive readings from the W3C's text.
#![no_main]

use lasso::wire::trace_context::{Parent, is_state};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (parent, state) = match data.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[][..]),
    };
    let read = Parent::parse(parent);
    assert_eq!(read.is_some(), is_parent(parent));
    if let Some(read) = read {
        // What is written says the same, in version 00.
        assert_eq!(read.write()[2..], parent[2..55]);
        assert_eq!(Parent::parse(&read.write()), Some(read));
    }
    assert_eq!(is_state(state), lists(state));
});

/// Four parts of lower-case hex digits; later versions may go on behind them.
fn is_parent(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else {
        // Only what follows the four parts of a later version may be of any bytes.
        return value.get(..56).is_some_and(|head| head.is_ascii() && is_parent(head));
    };
    let parts: Vec<&str> = text.splitn(5, '-').collect();
    let hex = |part: &str, digits| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let [version, trace, span, flags, rest @ ..] = parts.as_slice() else { return false };
    let all = [(*version, 2), (*trace, 32), (*span, 16), (*flags, 2)];
    all.iter().all(|(part, digits)| hex(part, *digits))
        && *version != "ff"
        && trace.bytes().any(|b| b != b'0')
        && span.bytes().any(|b| b != b'0')
        && (rest.is_empty() || *version != "00")
}

/// Up to 32 members, 512 bytes; empty ones do not count, but one there must be.
fn lists(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}');
    let members: Vec<&str> =
        text.split(',').map(|member| member.trim_matches(blank)).filter(|member| !member.is_empty()).collect();
    (1..=32).contains(&members.len()) && text.len() <= 512 && members.iter().all(|member| is_member(member))
}

fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let low = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    key.chars().next().is_some_and(low)
        && key.chars().all(|c| low(c) || "_-*/@".contains(c))
        && key.len() <= 256
        && (1..=256).contains(&value.len())
        && value.chars().all(|c| matches!(c, ' '..='~') && c != '=')
}
