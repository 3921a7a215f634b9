//! A body as HTTP/1.1 on the wire, right or wrong in the way a fault says: a plan of sends and pauses, and how the
//! connection ends. Pure, so that every fault is tested as bytes; `server` only carries plans out.

use super::knobs::{Fault, TooMany};
use crate::base::{rng::Rng, time::Duration};
use crate::wire::http::{write_chunk_end, write_chunk_head, write_decimal, write_status_line};
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

/// One thing to do on a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Send(Vec<u8>),
    Pause(Duration),
}

/// What becomes of the connection after the steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    KeepAlive,
    /// Finished properly: what was sent arrives.
    Close,
    /// Cut off.
    Reset,
    /// Kept open, never used again; ends when the client gives up.
    Silence,
}

/// How one request is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Before the first step.
    pub delay: Duration,
    pub steps: Vec<Step>,
    pub end: End,
}

/// Spaces in a `GzipBomb`.
const BOMB_BYTES: usize = 2 << 20;
const HUGE_HEAD_BYTES: usize = 80 << 10;

/// The answer `body` (JSON) under `fault`. `last`: the connection is to end after it, and says so.
pub fn plan(body: Vec<u8>, fault: Option<Fault>, last: bool, rng: &mut Rng) -> Plan {
    let (bytes, end) = answer(body, fault, last, rng);
    let whole = |bytes: Vec<u8>| if bytes.is_empty() { Vec::new() } else { vec![Step::Send(bytes)] };
    let (steps, end) = match fault {
        Some(Fault::Pieces) => (pieces(&bytes, rng), end),
        Some(Fault::Reset) => (Vec::new(), End::Reset),
        Some(Fault::ResetAt(at)) => (whole(cut(bytes, at)), End::Reset),
        Some(Fault::Silence) => (Vec::new(), End::Silence),
        Some(Fault::StallAt(at)) => (whole(cut(bytes, at)), End::Silence),
        _ => (whole(bytes), end),
    };
    let delay = match fault {
        Some(Fault::Late(ms)) => Duration::from_millis(ms),
        _ => Duration::ZERO,
    };
    Plan { delay, steps, end }
}

fn cut(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes.truncate(at);
    bytes
}

/// Head and body as one run of bytes, and how the connection ends after them.
fn answer(body: Vec<u8>, fault: Option<Fault>, last: bool, rng: &mut Rng) -> (Vec<u8>, End) {
    let end = if last { End::Close } else { End::KeepAlive };
    let mut out = Vec::with_capacity(body.len() + 256);
    match fault {
        Some(Fault::Page(status)) => plain(&mut out, status, "text/html", "", &page(status), last),
        Some(Fault::Bare(status)) => plain(&mut out, status, "text/plain", "", b"", last),
        Some(Fault::EmptyBody) => plain(&mut out, 200, JSON, "", b"", last),
        Some(Fault::PlainText) => plain(&mut out, 200, "text/plain", "", b"upstream connect error", last),
        Some(Fault::StatusAndError(status)) => plain(&mut out, status, JSON, "", &body, last),
        Some(Fault::Moved) => plain(&mut out, 301, "text/html", "Location: http://127.0.0.1:9/\r\n", &page(301), last),
        Some(Fault::TooMany(how)) => too_many(&mut out, how, &body, last),
        Some(Fault::StatusText(status, text)) => plain(&mut out, status, "text/plain", "", text.as_bytes(), last),
        Some(Fault::Gzip | Fault::Zeros { is_gzip: true, .. }) => plain(&mut out, 200, JSON, GZIP, &gzip(&body), last),
        Some(Fault::NotGzip) => plain(&mut out, 200, JSON, GZIP, &body, last),
        Some(Fault::GzipBomb) => plain(&mut out, 200, JSON, GZIP, &gzip(&bomb(&body)), last),
        Some(Fault::Interim) => {
            out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
            plain(&mut out, 200, JSON, "", &body, last);
        }
        Some(Fault::ExtraAnswer) => {
            plain(&mut out, 200, JSON, "", &body, last);
            plain(&mut out, 200, JSON, "", br#"{"jsonrpc":"2.0","id":1,"result":"0xbad"}"#, last);
        }
        Some(Fault::HugeHead) => {
            let field = format!("X-Padding: {}\r\n", "x".repeat(HUGE_HEAD_BYTES));
            plain(&mut out, 200, JSON, &field, &body, last);
        }
        Some(Fault::TwoLengths) => plain(&mut out, 200, JSON, "Content-Length: 5\r\n", &body, last),
        Some(Fault::LengthAndChunked) => plain(&mut out, 200, JSON, CHUNKED, &body, last),
        Some(Fault::CloseAfter) => {
            plain(&mut out, 200, JSON, "", &body, false);
            return (out, End::Close);
        }
        Some(Fault::CutBody) => {
            plain(&mut out, 200, JSON, "", &body, last);
            out.truncate(out.len() - body.len().div_ceil(2));
            return (out, End::Close);
        }
        Some(Fault::UntilClose) => {
            head(&mut out, 200, JSON, "Connection: close\r\n");
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(&body);
            return (out, End::Close);
        }
        Some(Fault::Chunked) => chunked(&mut out, &body, last, rng),
        Some(Fault::CutChunked | Fault::HugeChunk | Fault::BadChunk) => {
            broken_chunks(&mut out, &body, fault);
            return (out, End::Close);
        }
        _ => plain(&mut out, 200, JSON, "", &body, last),
    }
    (out, end)
}

const JSON: &str = "application/json";
const GZIP: &str = "Content-Encoding: gzip\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// Status line and fields; the caller adds the rest and the blank line.
fn head(out: &mut Vec<u8>, status: u16, content_type: &str, fields: &str) {
    write_status_line(out, status);
    out.extend_from_slice(b"Content-Type: ");
    out.extend_from_slice(content_type.as_bytes());
    out.extend_from_slice(b"\r\nServer: model\r\n");
    out.extend_from_slice(fields.as_bytes());
}

/// A whole answer with its length.
fn plain(out: &mut Vec<u8>, status: u16, content_type: &str, fields: &str, body: &[u8], last: bool) {
    head(out, status, content_type, fields);
    if last {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"Content-Length: ");
    write_decimal(out, body.len() as u64);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

fn too_many(out: &mut Vec<u8>, how: TooMany, body: &[u8], last: bool) {
    match how {
        TooMany::Status { retry_after_s } => {
            let hint = retry_after_s.map_or(String::new(), |seconds| format!("Retry-After: {seconds}\r\n"));
            plain(out, 429, "text/html", &hint, &page(429), last);
        }
        TooMany::StatusAndError => plain(out, 429, JSON, "", body, last),
        TooMany::Code(_) | TooMany::InResult => plain(out, 200, JSON, "", body, last),
    }
}

/// Chunks of odd sizes, sizes in several spellings, an extension now and then, a trailer.
fn chunked(out: &mut Vec<u8>, body: &[u8], last: bool, rng: &mut Rng) {
    head(out, 200, JSON, CHUNKED);
    out.extend_from_slice(if last { b"Connection: close\r\n\r\n" } else { b"\r\n" });
    let most = (body.len() as u64 / 40).max(97);
    let mut rest = body;
    while !rest.is_empty() {
        let size = rest.len().min(1 + rng.below(most) as usize);
        let (now, later) = rest.split_at(size);
        match rng.below(4) {
            0 => out.extend_from_slice(format!("{size:X}\r\n").as_bytes()),
            1 => out.extend_from_slice(format!("000{size:x}\r\n").as_bytes()),
            2 => out.extend_from_slice(format!("{size:x};part=\"a;b\"\r\n").as_bytes()),
            _ => write_chunk_head(out, size),
        }
        out.extend_from_slice(now);
        out.extend_from_slice(b"\r\n");
        rest = later;
    }
    out.extend_from_slice(b"0\r\nX-Checked: yes\r\n\r\n");
}

fn broken_chunks(out: &mut Vec<u8>, body: &[u8], fault: Option<Fault>) {
    head(out, 200, JSON, CHUNKED);
    out.extend_from_slice(b"\r\n");
    match fault {
        Some(Fault::HugeChunk) => out.extend_from_slice(b"80000000\r\n"),
        Some(Fault::BadChunk) => out.extend_from_slice(b"0x10\r\n"),
        // No chunk of an empty body: a chunk of 0 bytes would be a right end.
        _ => write_chunk_head(out, body.len().max(1)),
    }
    out.extend_from_slice(body);
    match fault {
        Some(Fault::BadChunk) => write_chunk_end(out),
        Some(Fault::CutChunked) => out.extend_from_slice(b"\r\n"),
        _ => {}
    }
}

/// Two to eight pieces with short pauses between.
fn pieces(bytes: &[u8], rng: &mut Rng) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = bytes;
    for left in (1..2 + rng.below(7)).rev() {
        let (now, later) = rest.split_at((1 + rng.below((2 * rest.len() as u64 / (left + 1)).max(1)) as usize).min(rest.len()));
        steps.push(Step::Send(now.to_vec()));
        steps.push(Step::Pause(Duration::from_micros(rng.below(5_000))));
        rest = later;
    }
    steps.push(Step::Send(rest.to_vec()));
    steps.retain(|step| !matches!(step, Step::Send(bytes) if bytes.is_empty()));
    steps
}

fn page(status: u16) -> Vec<u8> {
    format!("<html>\r\n<head><title>{status}</title></head>\r\n<body><center><h1>{status}</h1></center></body>\r\n</html>\r\n")
        .into_bytes()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail; if it did, the answer would be cut, which a client must survive anyway.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// The same answer with very much white space in front.
fn bomb(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b' '; BOMB_BYTES];
    bytes.extend_from_slice(body);
    bytes
}
