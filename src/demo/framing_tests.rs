//! Every fault as the bytes that go out, read by a small reader that shares nothing with the node's own codec but the
//! grammar: httparse for heads, and a chunk decoder that refuses all it does not know.

use super::framing::{End, Plan, Step, plan};
use super::knobs::{Fault, TooMany};
use crate::base::{rng::Rng, time::Duration};
use flate2::read::GzDecoder;
use proptest::prelude::*;
use std::io::Read;

/// An answer as a careful client reads it; `None` when it must not be believed.
#[derive(Debug, PartialEq)]
pub struct Read1 {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Bytes behind it.
    pub rest: usize,
}

impl Read1 {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the first final answer in `bytes`, after which the connection ended.
pub fn read(bytes: &[u8]) -> Option<Read1> {
    let mut space = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Response::new(&mut space);
    let httparse::Status::Complete(length) = head.parse(bytes).ok()? else { return None };
    let status = head.code?;
    if status < 200 {
        return read(&bytes[length..]);
    }
    if length > 64 * 1024 {
        return None;
    }
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let fields: Vec<_> = head.headers.iter().map(|field| (field.name.to_ascii_lowercase(), text(field.value))).collect();
    let count = |name| fields.iter().filter(|(key, _)| key == name).count();
    let find = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let (body, used) = match (count("content-length"), count("transfer-encoding")) {
        (1, 0) => {
            let declared = find("content-length")?.parse::<usize>().ok()?;
            (bytes.get(length..length + declared)?.to_vec(), length + declared)
        }
        (0, 1) => unchunk(bytes, length)?,
        (0, 0) => (bytes[length..].to_vec(), bytes.len()),
        _ => return None,
    };
    let body = if find("content-encoding").as_deref() == Some("gzip") { gunzip(&body)? } else { body };
    Some(Read1 { status, fields, body, rest: bytes.len() - used })
}

fn gunzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    // The ratio of a bomb is what a careful client measures.
    GzDecoder::new(body).take(100 * body.len() as u64 + (1 << 20)).read_to_end(&mut out).ok()?;
    (out.len() < 100 * body.len() + (1 << 20)).then_some(out)
}

fn unchunk(bytes: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    loop {
        let line_end = at + bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&bytes[at..line_end]).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
        at = line_end + 2;
        if size == 0 {
            let end = at + bytes[at..].windows(4).position(|four| four == b"\r\n\r\n").map_or(2, |end| end + 4);
            return Some((body, end.min(bytes.len())));
        }
        body.extend_from_slice(bytes.get(at..at + size)?);
        (bytes.get(at + size..at + size + 2)? == b"\r\n").then_some(())?;
        at += size + 2;
    }
}

/// All that a plan sends.
pub fn bytes_of(plan: &Plan) -> Vec<u8> {
    let sends = plan.steps.iter().filter_map(|step| if let Step::Send(bytes) = step { Some(bytes.clone()) } else { None });
    sends.collect::<Vec<_>>().concat()
}

const BODY: &[u8] = br#"{"jsonrpc":"2.0","id":1,"result":"0x0123456789"}"#;

fn planned(fault: Option<Fault>, last: bool) -> (Plan, Option<Read1>) {
    let plan = plan(BODY.to_vec(), fault, last, &mut Rng::new(11));
    let read = read(&bytes_of(&plan));
    (plan, read)
}

#[test]
fn a_right_answer_is_right_and_says_when_it_is_the_last() {
    let (plan, read) = planned(None, false);
    let read = read.expect("readable");
    assert_eq!((read.status, &read.body[..], read.rest, plan.end), (200, BODY, 0, End::KeepAlive));
    assert_eq!((read.field("content-type"), read.field("connection")), (Some("application/json"), None));
    assert_eq!((plan.delay, plan.steps.len()), (Duration::ZERO, 1));
    let (plan, read) = planned(None, true);
    assert_eq!((plan.end, read.expect("readable").field("connection")), (End::Close, Some("close")));
}

#[test]
fn harmless_framing_carries_the_body_and_broken_framing_does_not() {
    use Fault::*;
    let odd = Dialect(super::knobs::Dialect::NullError);
    let good = [Gzip, Chunked, Pieces, UntilClose, CloseAfter, Interim, ExtraAnswer, Late(5), ExtraKeys, IdLast, Spaced, odd];
    for fault in good {
        for seed in 0..50 {
            let plan = plan(BODY.to_vec(), Some(fault), false, &mut Rng::new(seed));
            let body = read(&bytes_of(&plan)).map(|read| read.body);
            assert_eq!(body.as_deref(), Some(BODY), "{fault:?}, seed {seed}");
        }
    }
    let bad = [
        NotGzip,
        GzipBomb,
        CutBody,
        CutChunked,
        HugeChunk,
        BadChunk,
        TwoLengths,
        LengthAndChunked,
        HugeHead,
        Reset,
        ResetAt(40),
        Silence,
        StallAt(40),
        ResetAt(100),
    ];
    for fault in bad {
        let (plan, read) = planned(Some(fault), false);
        assert_eq!(read, None, "{fault:?}");
        assert!(!fault.is_harmless() && !fault.is_refusal(), "{fault:?}");
        assert_ne!((plan.end, plan.steps.len()), (End::KeepAlive, 0), "{fault:?}");
    }
    let framed = good.iter().chain(&bad).filter(|fault| Fault::ALL.contains(fault)).count();
    assert_eq!(framed, good.len() + bad.len() - 1, "every framing fault but the second ResetAt is in ALL");
    assert_eq!(Fault::ALL.iter().filter(|fault| fault.is_harmless()).count(), good.len());
}

#[test]
fn statuses_pages_and_limits() {
    let check = |fault, status, content_type: &str, body_is_json: bool| {
        let (plan, read) = planned(Some(fault), false);
        let read = read.unwrap_or_else(|| panic!("{fault:?} is readable"));
        assert_eq!((read.status, read.field("content-type")), (status, Some(content_type)), "{fault:?}");
        assert_eq!((read.body == BODY, plan.end), (body_is_json, End::KeepAlive), "{fault:?}");
        read
    };
    assert!(check(Fault::Page(502), 502, "text/html", false).body.starts_with(b"<html>"));
    assert!(check(Fault::Bare(503), 503, "text/plain", false).body.is_empty());
    assert!(check(Fault::EmptyBody, 200, "application/json", false).body.is_empty());
    assert!(!check(Fault::PlainText, 200, "text/plain", false).body.is_empty());
    assert!(check(Fault::Moved, 301, "text/html", false).field("location").is_some());
    check(Fault::StatusAndError(500), 500, "application/json", true);
    let limited = |how, status, content_type, json| {
        check(Fault::TooMany(how), status, content_type, json).field("retry-after").map(String::from)
    };
    let hint = TooMany::Status { retry_after_s: Some(7) };
    assert_eq!(limited(hint, 429, "text/html", false).as_deref(), Some("7"));
    assert_eq!(limited(TooMany::Status { retry_after_s: None }, 429, "text/html", false), None);
    limited(TooMany::StatusAndError, 429, "application/json", true);
    limited(TooMany::Code(-32005), 200, "application/json", true);
    limited(TooMany::InResult, 200, "application/json", true);
}

#[test]
fn each_framing_fault_does_what_its_name_says() {
    let raw = |fault| {
        let (plan, _) = planned(Some(fault), false);
        (String::from_utf8_lossy(&bytes_of(&plan)).into_owned(), plan)
    };
    let ends = |fault| raw(fault).1.end;
    assert!(raw(Fault::Chunked).0.contains("Transfer-Encoding: chunked") && raw(Fault::Chunked).0.contains("X-Checked"));
    assert!(raw(Fault::HugeChunk).0.contains("\r\n80000000\r\n"));
    assert!(raw(Fault::Interim).0.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103"));
    assert!(!raw(Fault::UntilClose).0.contains("Content-Length") && ends(Fault::UntilClose) == End::Close);
    assert!(!raw(Fault::CloseAfter).0.contains("Connection: close") && ends(Fault::CloseAfter) == End::Close);
    assert!(raw(Fault::HugeHead).0.len() > 80 << 10);
    assert_eq!(raw(Fault::ExtraAnswer).0.matches("HTTP/1.1 200 OK").count(), 2);
    assert!(raw(Fault::GzipBomb).0.len() < 64 << 10);
    assert_eq!((raw(Fault::Reset).0.as_str(), ends(Fault::Reset)), ("", End::Reset));
    assert_eq!((raw(Fault::Silence).0.as_str(), ends(Fault::Silence)), ("", End::Silence));
    assert_eq!((raw(Fault::ResetAt(10)).0.as_str(), ends(Fault::ResetAt(10))), ("HTTP/1.1 2", End::Reset));
    assert_eq!((raw(Fault::StallAt(10)).0.as_str(), ends(Fault::StallAt(10))), ("HTTP/1.1 2", End::Silence));
    assert_eq!(raw(Fault::Late(77)).1.delay, Duration::from_millis(77));
    let cut = raw(Fault::CutBody).0;
    assert!(cut.contains(&format!("Content-Length: {}\r\n", BODY.len())) && cut.contains(r#"{"jsonrpc""#));
    assert!(raw(Fault::CutChunked).0.ends_with("\r\n") && !raw(Fault::CutChunked).0.ends_with("0\r\n\r\n"));
    assert_eq!(raw(Fault::TwoLengths).0.matches("Content-Length").count(), 2);
    let pieces = raw(Fault::Pieces).1.steps;
    assert!(pieces.iter().filter(|step| matches!(step, Step::Send(_))).count() >= 2);
    assert!(pieces.iter().any(|step| matches!(step, Step::Pause(_))));
}

proptest! {
    #[test]
    fn any_body_under_any_fault_is_planned(body: Vec<u8>, which in 0..Fault::ALL.len(), last: bool, seed: u64) {
        let fault = Fault::ALL[which];
        let once = plan(body.clone(), Some(fault), last, &mut Rng::new(seed));
        prop_assert_eq!(&once, &plan(body.clone(), Some(fault), last, &mut Rng::new(seed)));
        if fault.is_harmless() {
            prop_assert_eq!(read(&bytes_of(&once)).map(|read| read.body), Some(body));
            prop_assert!(!last || once.end == End::Close);
        }
    }
}
