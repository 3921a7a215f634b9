//! llhttp's own test vectors (MIT), read with our codec. What llhttp refuses must never come out as a message; what it
//! accepts we accept, or refuse for a reason listed here.
//!
//! The vectors have lost trailing blank lines, and most of their requests have no Host, which would hide every other
//! fault. So each is tried as it is, with its end restored, and with a Host added.

use super::drive::{End, Seen, Side, read_every_way};
use super::fault::*;

#[derive(serde::Deserialize)]
struct Vector {
    kind: String,
    #[serde(rename = "type")]
    mode: String,
    name: String,
    at: String,
    /// Latin-1.
    raw: String,
    error: Option<(i32, String, i32)>,
    bodies: Vec<String>,
}

impl Vector {
    fn side(&self) -> Side {
        if self.kind == "request" { Side::Requests } else { Side::Answers }
    }

    /// As it is, and with its end restored; requests also with a Host.
    fn variants(&self) -> Vec<Vec<u8>> {
        let raw: Vec<u8> = self.raw.chars().map(|letter| letter as u32 as u8).collect();
        let mut starts = vec![raw.clone()];
        let has_host = raw.to_ascii_lowercase().windows(5).any(|part| part == b"host:");
        let blank = raw.len() - raw.trim_ascii_start().len();
        let line_end = raw[blank..].windows(2).position(|pair| pair == b"\r\n");
        if let Some(end) = line_end.filter(|_| self.side() == Side::Requests && !has_host) {
            starts.push([&raw[..blank + end], b"\r\nHost: a", &raw[blank + end..]].concat());
        }
        let ends: [&[u8]; 3] = [b"", b"\r\n", b"\r\n\r\n"];
        starts.iter().flat_map(|start| ends.map(|end| [start, end].concat())).collect()
    }
}

fn vectors() -> Vec<Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors/llhttp.json");
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).expect("llhttp.json has the shape of Vector"),
        Err(_) if std::env::var_os("CI").is_some_and(|value| value == "true") => panic!("{path} is missing"),
        Err(_) => {
            eprintln!("skipped: ../shared/vectors not present");
            Vec::new()
        }
    }
}

/// Refused by llhttp, and yet a message comes out here: why that is right.
fn may_be_read(vector: &Vector) -> Option<&'static str> {
    match vector.error.as_ref()?.1.as_str() {
        "Data after `Connection: close`" => {
            Some("the message before is whole; the codec says keep_alive = false and its reader looks at nothing more")
        }
        "Pause on CONNECT/Upgrade" if vector.side() == Side::Requests => {
            Some("a pause, not an error: an Upgrade is reported and may be ignored (RFC 9110 §7.8); the body is framed as usual")
        }
        _ => None,
    }
}

#[test]
fn what_llhttp_refuses_never_comes_out_as_a_message() {
    let mut refused = 0;
    for vector in vectors().iter().filter(|vector| vector.error.is_some() && may_be_read(vector).is_none()) {
        let side = vector.side();
        for bytes in vector.variants() {
            let seen = read_every_way(side, &bytes);
            let what = format!("{} ({}): {seen:?} of {}", vector.name, vector.at, bytes.escape_ascii());
            assert!(seen.messages.is_empty(), "{what}");
            assert_ne!(seen.end, End::Idle, "{what}");
        }
        // With its end restored it is refused, not merely waited for.
        let last = vector.variants().pop().unwrap_or_default();
        let seen = read_every_way(side, &last);
        assert!(matches!(seen.end, End::Refused(_)), "{}: {seen:?} of {}", vector.name, last.escape_ascii());
        refused += 1;
    }
    assert!(refused == 0 || refused >= 30, "only {refused} vectors were looked at");
}

/// Accepted by llhttp (often only in a lenient mode) and refused here: by which rule. The names are the rule's reason.
fn stricter(vector: &Vector, fault: super::HttpFault) -> Option<&'static str> {
    let lenient = vector.mode.contains("-lenient-");
    Some(match fault {
        _ if lenient => "llhttp accepts it only when asked to be lenient; we never are",
        NO_HOST => "RFC 9112 §3.2: HTTP/1.1 without Host is a 400",
        HOST => "a Host with `=`: no host has one, and proxies disagree about such",
        TARGET => "fragments, user names and `*` with another method than OPTIONS are no request targets (RFC 9112 §3.2)",
        CONNECT => "we are no tunnelling proxy",
        ENCODING => "a coding before `chunked`: we could not read such a body",
        REQUEST_LINE => "RTSP is not HTTP",
        ANSWER_ENCODING => "a Transfer-Encoding other than `chunked` was never asked for",
        ANSWER_LINE => {
            "HTTP/0.9, RTSP, or a blank line before the status line: a provider that speaks HTTP/1.1 sends none of them"
        }
        _ => return None,
    })
}

#[test]
fn what_llhttp_accepts_is_accepted_or_refused_for_a_listed_reason() {
    let (mut accepted, mut refused) = (0, 0);
    for vector in vectors().iter().filter(|vector| vector.error.is_none() || may_be_read(vector).is_some()) {
        let results: Vec<Seen> = vector.variants().iter().map(|bytes| read_every_way(vector.side(), bytes)).collect();
        if results.iter().any(|seen| !seen.messages.is_empty() || (seen.heads > 0 && seen.end == End::Waiting)) {
            accepted += 1;
            check_body(vector, &results);
            continue;
        }
        let fault = results.iter().find_map(|seen| match seen.end {
            End::Refused(fault) if fault != NO_HOST => Some(fault),
            _ => None,
        });
        let reason = fault.and_then(|fault| stricter(vector, fault));
        assert!(reason.is_some(), "{} ({}): {results:?}", vector.name, vector.at);
        refused += 1;
    }
    assert!(accepted + refused == 0 || (accepted >= 50 && refused >= 20), "{accepted} accepted, {refused} refused");
}

/// A vector of one body comes out with exactly that.
fn check_body(vector: &Vector, results: &[Seen]) {
    let [body] = vector.bodies.as_slice() else { return };
    let body: Vec<u8> = body.chars().map(|letter| letter as u32 as u8).collect();
    let want = body.escape_ascii().to_string();
    let complete = results.iter().flat_map(|seen| &seen.messages).collect::<Vec<_>>();
    // Two vectors put a blank line between two answers: we take the first and refuse the rest.
    let blank_between = results.iter().any(|seen| seen.end == End::Refused(ANSWER_LINE));
    if !complete.is_empty() && !blank_between {
        assert!(complete.iter().any(|message| message.ends_with(&want)), "{} ({}): {results:?}", vector.name, vector.at);
    }
}
