//! One connection of the mock, plain or behind TLS: HTTP with keep-alive and pipelining, single calls and batches, and messages
//! once it was upgraded. A call is answered in the order it came. What it cannot read it answers with 400 and closes.

use crate::answer::{Answer, LEAD_ID_FIRST};
use crate::args::Mock;
use crate::frame;
use crate::gather::{self, Gather};
use crate::scan::{self, Framing};
use crate::{call, logs};
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

/// Tails longer than this are not copied into the write buffer (copies of misaligned bytes are slow).
const COPY_BYTES: usize = 2048;
/// A request of more bytes is refused; the proxy's own limit is 8,000,000.
const MAX_REQUEST_BYTES: usize = 16 << 20;
/// The height that `eth_blockNumber` starts at; one block a second from there.
const FIRST_HEIGHT: u64 = 20_000_000;

/// What one listener answers with.
pub struct Server {
    pub answer: Answer,
    /// Other answers, by the method's name in its quotes.
    pub by_method: HashMap<Vec<u8>, Answer>,
    pub options: Rc<Mock>,
    pub counts: Rc<Counts>,
    pub started: Instant,
}

/// What the mock has seen at all of its addresses.
#[derive(Default)]
pub struct Counts {
    /// Calls that were not a probe's; each of a batch counts.
    calls: Cell<u64>,
    probes: Cell<u64>,
    /// Connections with a call, WebSockets among them.
    connections: Cell<u64>,
    handshakes: Cell<u64>,
    resumed: Cell<u64>,
}

impl Counts {
    pub fn shook_hands(&self, is_resumed: bool) {
        self.handshakes.set(self.handshakes.get() + 1);
        self.resumed.set(self.resumed.get() + u64::from(is_resumed));
    }

    fn shown(&self) -> String {
        let Counts { calls, probes, connections, handshakes, resumed } = self;
        serde_json::json!({
            "calls": calls.get(), "probes": probes.get(), "connections": connections.get(), "handshakes": handshakes.get(),
            "resumed": resumed.get(),
        })
        .to_string()
    }
}

/// Answers one connection until it ends; a dead connection needs no words.
pub async fn converse<S: AsyncReadRent + AsyncWriteRent>(mut stream: S, server: Rc<Server>) {
    let mut input = Vec::with_capacity(4096);
    let mut out = Vec::with_capacity(4096);
    let mut gather = Gather::new();
    let mut is_known = false;
    loop {
        let mut at = 0;
        loop {
            let (used, body) = match next_call(&input[at..]) {
                Next::NeedMore => break,
                Next::Call { used, body } => (used, at + body.start..at + body.end),
                Next::Counts { used } => {
                    at += used;
                    write_body(&mut out, &server.counts.shown());
                    continue;
                }
                Next::Upgrade { used } => {
                    let head = String::from_utf8_lossy(&input[at..at + used]).into_owned();
                    let rest = input.split_off(at + used);
                    return talk(stream, &head, rest, &server).await;
                }
                Next::Bad => {
                    let _ = stream.write_all(BAD_REQUEST).await;
                    return;
                }
            };
            at += used;
            server.met(&mut is_known);
            if !server.options.latency.is_zero() {
                monoio::time::sleep(server.options.latency).await;
            }
            match server.answer(&input[body], &mut out) {
                Reply::Copied => {}
                Reply::Bad => {
                    let _ = stream.write_all(BAD_REQUEST).await;
                    return;
                }
                Reply::Large { tail, end } => {
                    let (result, back, head) = gather::write(&mut stream, gather, out, tail).await;
                    (gather, out) = (back, head);
                    out.clear();
                    out.extend_from_slice(&end);
                    if result.is_err() {
                        return;
                    }
                }
            }
        }
        if !out.is_empty() {
            let (result, back) = stream.write_all(out).await;
            out = back;
            out.clear();
            if result.is_err() {
                return;
            }
        }
        input.drain(..at);
        let (result, back) = call::read_more(&mut stream, input).await;
        input = back;
        if !matches!(result, Ok(count) if count > 0) || input.len() > MAX_REQUEST_BYTES {
            return;
        }
    }
}

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

enum Next {
    NeedMore,
    Call { used: usize, body: Range<usize> },
    Counts { used: usize },
    Upgrade { used: usize },
    Bad,
}

/// The first request of `input`, when it is whole.
fn next_call(input: &[u8]) -> Next {
    let Some(head) = scan::head(input) else {
        return if memchr::memmem::find(input, b"\r\n\r\n").is_some() { Next::Bad } else { Next::NeedMore };
    };
    match head.framing {
        Framing::Length(bytes) if bytes > MAX_REQUEST_BYTES => Next::Bad,
        Framing::Length(bytes) if input.len() < head.len + bytes => Next::NeedMore,
        Framing::Length(bytes) => Next::Call { used: head.len + bytes, body: head.len..head.len + bytes },
        Framing::Missing if input.starts_with(b"GET /counts ") => Next::Counts { used: head.len },
        Framing::Missing if frame::key(&input[..head.len]).is_some() => Next::Upgrade { used: head.len },
        Framing::Chunked | Framing::Missing => Next::Bad,
    }
}

fn write_body(out: &mut Vec<u8>, body: &str) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body.as_bytes());
}

enum Reply {
    /// The whole answer is in the buffer.
    Copied,
    /// The buffer holds what comes before the tail; `end` comes after it.
    Large {
        tail: &'static [u8],
        end: Vec<u8>,
    },
    Bad,
}

/// What one call is answered with.
enum Result<'a> {
    Number(u64),
    Fixed(&'a Answer),
}

impl Server {
    fn met(&self, is_known: &mut bool) {
        if !std::mem::replace(is_known, true) {
            self.counts.connections.set(self.counts.connections.get() + 1);
        }
    }

    /// The id of a call and its result.
    fn result<'a>(&'a self, body: &'a [u8]) -> Option<(&'a [u8], Result<'a>)> {
        let call = scan::call(body)?;
        let id = &body[call.id?];
        let method = call.method.map_or(&b""[..], |range| &body[range]);
        let number = match method {
            b"\"eth_chainId\"" => Some(self.options.chain_number),
            b"\"eth_blockNumber\"" => Some(FIRST_HEIGHT + self.started.elapsed().as_secs()),
            _ => None,
        };
        let count = if number.is_some() { &self.counts.probes } else { &self.counts.calls };
        count.set(count.get() + 1);
        let fixed = || Result::Fixed(self.by_method.get(method).unwrap_or(&self.answer));
        Some((id, number.map_or_else(fixed, Result::Number)))
    }

    fn answer(&self, body: &[u8], out: &mut Vec<u8>) -> Reply {
        if body.trim_ascii_start().starts_with(b"[") {
            return self.answer_batch(body, out);
        }
        let Some((id, result)) = self.result(body) else { return Reply::Bad };
        let answer = match result {
            Result::Number(number) => {
                let id = String::from_utf8_lossy(id);
                write_body(out, &format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":\"0x{number:x}\"}}"));
                return Reply::Copied;
            }
            Result::Fixed(answer) => answer,
        };
        answer.write_lead(out, id);
        if answer.tail.len() <= COPY_BYTES {
            out.extend_from_slice(answer.tail);
            answer.write_end(out, id);
            return Reply::Copied;
        }
        let mut end = Vec::new();
        answer.write_end(&mut end, id);
        Reply::Large { tail: answer.tail, end }
    }

    fn answer_batch(&self, body: &[u8], out: &mut Vec<u8>) -> Reply {
        let Some(items) = scan::items(body) else { return Reply::Bad };
        let mut all = vec![b'['];
        for item in items {
            let Some((id, result)) = self.result(&body[item]) else { return Reply::Bad };
            if all.len() > 1 {
                all.push(b',');
            }
            write_plain(&mut all, id, &result);
        }
        all.push(b']');
        write_body(out, &String::from_utf8_lossy(&all));
        Reply::Copied
    }
}

/// A body with its id first.
fn write_plain(out: &mut Vec<u8>, id: &[u8], result: &Result<'_>) {
    out.extend_from_slice(LEAD_ID_FIRST);
    out.extend_from_slice(id);
    match result {
        Result::Number(number) => out.extend_from_slice(format!(",\"result\":\"0x{number:x}\"}}").as_bytes()),
        Result::Fixed(answer) => out.extend_from_slice(answer.plain_tail),
    }
}

/// Messages, until the connection ends or cannot be read.
async fn talk<S: AsyncReadRent + AsyncWriteRent>(mut stream: S, head: &str, mut input: Vec<u8>, server: &Server) {
    let Some(answer) = frame::acceptance(head.as_bytes()) else { return };
    if stream.write_all(answer.into_bytes()).await.0.is_err() {
        return;
    }
    let (mut gather, mut is_known) = (Gather::new(), false);
    loop {
        while let Ok(Some(head)) = frame::head(&input) {
            let end = head.len + head.length;
            let Some(payload) = input.get_mut(head.len..end) else { break };
            frame::mask(payload, head.mask.unwrap_or_default());
            let (out, tail) = match head.opcode {
                frame::TEXT => {
                    server.met(&mut is_known);
                    if !server.options.latency.is_zero() {
                        monoio::time::sleep(server.options.latency).await;
                    }
                    match message(server, &input[head.len..end]) {
                        Some(parts) => parts,
                        None => return,
                    }
                }
                frame::PING => (frame::from_server(frame::PONG, payload), &b""[..]),
                frame::CLOSE => (frame::from_server(frame::CLOSE, payload), &b""[..]),
                _ => (Vec::new(), &b""[..]),
            };
            let (result, back, _) = gather::write(&mut stream, gather, out, tail).await;
            gather = back;
            if result.is_err() || head.opcode == frame::CLOSE {
                return;
            }
            input.drain(..end);
        }
        let (result, back) = call::read_more(&mut stream, input).await;
        input = back;
        if !matches!(result, Ok(1..)) || input.len() > MAX_REQUEST_BYTES {
            return;
        }
    }
}

/// A frame that answers a message: what is copied, and the shared rest. A subscription to heads is confirmed and then silent, as
/// on a chain that stands still.
fn message(server: &Server, body: &[u8]) -> Option<(Vec<u8>, &'static [u8])> {
    let call = scan::call(body)?;
    if call.method.map(|range| &body[range]) == Some(b"\"eth_subscribe\"") {
        let id = String::from_utf8_lossy(&body[call.id?]).into_owned();
        let text = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":\"{}\"}}", logs::word(1));
        return Some((frame::from_server(frame::TEXT, text.as_bytes()), b""));
    }
    let (id, result) = server.result(body)?;
    let mut lead = Vec::with_capacity(64);
    let tail = match result {
        Result::Fixed(answer) => {
            lead.extend_from_slice(LEAD_ID_FIRST);
            lead.extend_from_slice(id);
            answer.plain_tail
        }
        Result::Number(_) => {
            write_plain(&mut lead, id, &result);
            b""
        }
    };
    let mut out = frame::server_head(frame::TEXT, lead.len() + tail.len());
    out.extend_from_slice(&lead);
    if tail.len() <= COPY_BYTES {
        out.extend_from_slice(tail);
        return Some((out, b""));
    }
    Some((out, tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{self, Command};
    use crate::mock;

    fn server(line: &str) -> Rc<Server> {
        let words = format!("loadtest mock --serve 127.0.0.1:0=100 {line}");
        let Ok(Command::Mock(options)) = args::parse(words.split_whitespace().map(Into::into)) else { panic!("{line}") };
        let serve = options.serve[0];
        mock::server(&serve, &Rc::new(options), &Rc::default()).expect("a server")
    }

    #[test]
    fn requests_are_found_when_whole() {
        let text = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}POST";
        for end in 0..40 {
            assert!(matches!(next_call(&text[..end]), Next::NeedMore), "{end}");
        }
        assert!(matches!(next_call(text), Next::Call { used: 40, body } if body == (38..40)));
        assert!(matches!(next_call(b"POST / HTTP/1.1\r\nhost: x\r\n\r\n"), Next::Bad));
        assert!(matches!(next_call(b"POST / HTTP/1.1\r\ncontent-length: -2\r\n\r\n"), Next::Bad));
        assert!(matches!(next_call(b"GET /counts HTTP/1.1\r\nhost: x\r\n\r\n"), Next::Counts { used: 33 }));
        let upgrade = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        assert!(matches!(next_call(upgrade), Next::Upgrade { used } if used == upgrade.len()));
    }

    #[test]
    fn probes_get_true_answers() {
        let server = server("--chain-number 8453 --answer eth_call=200");
        let check = |body: &str, want: &str| {
            let mut out = Vec::new();
            assert!(matches!(server.answer(body.as_bytes(), &mut out), Reply::Copied), "{body}");
            let text = String::from_utf8(out).expect("text");
            assert!(text.contains(want), "{text}");
        };
        check(r#"{"jsonrpc":"2.0","id":"a","method":"eth_chainId","params":[]}"#, r#""id":"a","result":"0x2105"}"#);
        check(r#"{"method":"eth_blockNumber","id":5}"#, r#""id":5,"result":"0x1312d00"}"#);
        check(r#"{"method":"eth_getCode","id":5}"#, "content-length: 134\r\n");
        check(r#"{"method":"eth_call","id":5}"#, "content-length: 234\r\n");
        for bad in ["", r#"{"method":"eth_call"}"#, "[1]", "[{}"] {
            assert!(matches!(server.answer(bad.as_bytes(), &mut Vec::new()), Reply::Bad), "{bad}");
        }
        assert_eq!((server.counts.calls.get(), server.counts.probes.get()), (2, 2));
    }

    #[test]
    fn batches_and_messages_carry_each_id() {
        let server = server("--answer eth_getLogs=40k:logs");
        let mut out = Vec::new();
        let batch = r#"[{"id":1,"method":"eth_call"},{"id":"b","method":"eth_getLogs"},{"id":3,"method":"eth_chainId"}]"#;
        assert!(matches!(server.answer(batch.as_bytes(), &mut out), Reply::Copied));
        let body = &out[scan::head(&out).expect("a head").len..];
        let all: serde_json::Value = serde_json::from_slice(body).expect("json");
        let ids: Vec<String> = all.as_array().expect("an array").iter().map(|one| one["id"].to_string()).collect();
        assert_eq!(ids, ["1", "\"b\"", "3"]);
        for (text, want) in [(r#"{"id":7,"method":"eth_call"}"#, 134), (r#"{"id":7,"method":"eth_getLogs"}"#, 34 + (40 << 10))] {
            let (out, tail) = message(&server, text.as_bytes()).expect("an answer");
            let whole = [&out[..], tail].concat();
            let head = frame::head(&whole).expect("a frame").expect("whole");
            assert_eq!((head.len + head.length, head.length), (whole.len(), want));
            let one: serde_json::Value = serde_json::from_slice(&whole[head.len..]).expect("json");
            assert_eq!(one["id"], 7);
        }
        let (out, _) = message(&server, br#"{"id":7,"method":"eth_subscribe","params":["newHeads"]}"#).expect("a confirmation");
        assert!(String::from_utf8_lossy(&out).contains("\"id\":7,\"result\":\"0x0"));
    }
}
