//! The mock's answers: everything but the id is rendered once and kept for the life of the process.

use crate::args::{Serve, Shape};
use std::io::Write;

/// Bytes of one chunk of a chunked answer, about what a node's HTTP server writes at a time.
const CHUNK_BYTES: usize = 16 << 10;
/// The shortest logs result: one log with no data.
const ONE_LOG: usize = 2 + LOG_HEAD.len() + LOG_TAIL.len();
const LOG_HEAD: &str = concat!(
    r#"{"address":"0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48","#,
    r#""topics":["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef","#,
    r#""0x00000000000000000000000028c6c06298d514db089934071355e5743bf21d60","#,
    r#""0x000000000000000000000000a9d1e08c7793af67e9d92fe308d5697fb81d3e43"],"data":"0x"#
);
const LOG_TAIL: &str = concat!(
    r#"","blockNumber":"0x12a05f2","transactionHash":"0x5b73e7f1c8b9d0a4e2f6a1b3c5d7e9f00112233445566778899aabbccddeeff0","#,
    r#""transactionIndex":"0x1c","blockHash":"0x8e38b4dbf6b11fcc3b9dee84fb7986e29ca0a02cecd8977c161ff7333329681e","#,
    r#""logIndex":"0x4d","removed":false}"#
);
/// Data bytes of a usual log: one word.
const LOG_DATA_DIGITS: usize = 64;

/// An answer without its id: `lead`, id, `tail`, or, with the id last, `lead`, `tail`, id, `}`.
pub struct Answer {
    chunked: bool,
    id_last: bool,
    /// Bytes of the body beside the id.
    fixed_bytes: usize,
    /// Framed already when chunked.
    pub tail: &'static [u8],
    /// What follows the id in a body with the id first, unframed: for messages and batches.
    pub plain_tail: &'static [u8],
}

impl Answer {
    pub fn new(serve: &Serve, chunked: bool, id_last: bool) -> Result<Answer, String> {
        let result = match serve.shape {
            Shape::Hex => hex(serve.result_bytes)?,
            Shape::Logs => logs(serve.result_bytes)?,
        };
        Ok(Answer::of_result(&result, chunked, id_last))
    }

    pub fn of_result(result: &[u8], chunked: bool, id_last: bool) -> Answer {
        let mut tail = Vec::new();
        if !id_last {
            tail.extend_from_slice(b",\"result\":");
        }
        tail.extend_from_slice(result);
        tail.extend_from_slice(if id_last { b",\"id\":" } else { b"}" });
        let plain_tail = if id_last { [b",\"result\":", result, b"}"].concat() } else { tail.clone() };
        let lead = if id_last { LEAD_ID_LAST.len() + 1 } else { LEAD_ID_FIRST.len() };
        let fixed_bytes = lead + tail.len();
        if chunked {
            tail = tail.chunks(CHUNK_BYTES).flat_map(chunk).collect();
        }
        let plain_tail: &'static [u8] = Vec::leak(plain_tail);
        let tail: &'static [u8] = if chunked || id_last { Vec::leak(tail) } else { plain_tail };
        Answer { chunked, id_last, fixed_bytes, tail, plain_tail }
    }

    /// What comes before `tail`: the head, and the body up to it.
    pub fn write_lead(&self, out: &mut Vec<u8>, id: &[u8]) {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n");
        let (lead, shown_id) = if self.id_last { (LEAD_ID_LAST, &b""[..]) } else { (LEAD_ID_FIRST, id) };
        if self.chunked {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
            out.extend(chunk(&[lead, shown_id].concat()));
        } else {
            // Writing to a Vec does not fail.
            let _ = write!(out, "content-length: {}\r\n\r\n", self.fixed_bytes + id.len());
            out.extend_from_slice(lead);
            out.extend_from_slice(shown_id);
        }
    }

    /// What comes after `tail`.
    pub fn write_end(&self, out: &mut Vec<u8>, id: &[u8]) {
        match (self.id_last, self.chunked) {
            (true, true) => out.extend(chunk(&[id, b"}"].concat())),
            (true, false) => {
                out.extend_from_slice(id);
                out.push(b'}');
            }
            (false, _) => {}
        }
        if self.chunked {
            out.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

pub const LEAD_ID_FIRST: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":";
const LEAD_ID_LAST: &[u8] = b"{\"jsonrpc\":\"2.0\",\"result\":";

/// Bytes of a whole body with the id first, as the load expects it of any proxy: the parts may only change places.
pub fn body_bytes(result_bytes: usize, id_bytes: usize) -> usize {
    LEAD_ID_FIRST.len() + id_bytes + b",\"result\":}".len() + result_bytes
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    out
}

/// `"0x…"` of `bytes` bytes.
fn hex(bytes: usize) -> Result<Vec<u8>, String> {
    let digits = bytes.checked_sub(4).ok_or_else(|| format!("a hex result has at least 4 bytes, not {bytes}"))?;
    let mut out = b"\"0x".to_vec();
    out.extend(digits_from(1).take(digits));
    out.push(b'"');
    Ok(out)
}

/// An array of logs of `bytes` bytes; the last one's data is stretched to fit.
fn logs(bytes: usize) -> Result<Vec<u8>, String> {
    if bytes < ONE_LOG {
        return Err(format!("a logs result has at least {ONE_LOG} bytes, not {bytes}"));
    }
    let usual = ONE_LOG - 2 + LOG_DATA_DIGITS;
    let mut out = b"[".to_vec();
    loop {
        // What is left once this log's frame and the closing bracket are paid for.
        let room = bytes - out.len() - (ONE_LOG - 1);
        let last = room < LOG_DATA_DIGITS + 1 + usual;
        let digits = if last { room } else { LOG_DATA_DIGITS };
        out.extend_from_slice(LOG_HEAD.as_bytes());
        out.extend(digits_from(out.len() as u64).take(digits));
        out.extend_from_slice(LOG_TAIL.as_bytes());
        out.push(if last { b']' } else { b',' });
        if last {
            return Ok(out);
        }
    }
}

/// Hex digits without a visible pattern, the same ones every time.
fn digits_from(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b"0123456789abcdef"[(state >> 60) as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::{Reader, Seen};

    fn serve(result_bytes: usize, shape: Shape) -> Serve {
        Serve { at: ([127, 0, 0, 1], 0).into(), result_bytes, shape }
    }

    #[test]
    fn results_have_the_asked_size_and_are_json() {
        let check = |bytes: usize, shape: Shape| {
            let result = match shape {
                Shape::Hex => hex(bytes),
                Shape::Logs => logs(bytes),
            };
            let result = result.expect("a result");
            assert_eq!(result.len(), bytes, "{shape:?}");
            let value: serde_json::Value = serde_json::from_slice(&result).expect("json");
            assert_eq!(value.is_array(), shape == Shape::Logs);
        };
        for bytes in [4, 5, 100, 10_240, 1 << 20] {
            check(bytes, Shape::Hex);
        }
        for bytes in (ONE_LOG..ONE_LOG * 3).chain([10_240, 1 << 20]) {
            check(bytes, Shape::Logs);
        }
        assert!(hex(3).is_err() && logs(ONE_LOG - 1).is_err());
    }

    #[test]
    fn every_form_is_read_back_whole() {
        for (bytes, shape) in [(100, Shape::Hex), (40_000, Shape::Hex), (40_000, Shape::Logs)] {
            for (chunked, id_last) in [(false, false), (true, false), (false, true), (true, true)] {
                let answer = Answer::new(&serve(bytes, shape), chunked, id_last).expect("an answer");
                let mut out = Vec::new();
                answer.write_lead(&mut out, b"\"seven\"");
                out.extend_from_slice(answer.tail);
                answer.write_end(&mut out, b"\"seven\"");
                let mut reader = Reader::new(false);
                let seen = reader.feed(&out).expect("well formed");
                assert_eq!(seen, Seen::Whole { used: out.len() }, "{chunked} {id_last}");
                assert_eq!(reader.body_bytes(), body_bytes(bytes, 7));
                assert!(reader.echoes(b"\"seven\""), "{chunked} {id_last}");
                assert!(!reader.echoes(b"\"other\""));
            }
        }
    }
}
