//! A provider that costs next to nothing: reads a request's length and id, answers with bytes rendered at the start.
//!
//! Keep-alive and pipelining; a call is answered in the order it came. `eth_chainId` and `eth_blockNumber` get true
//! answers, because a proxy's health probes ask for them. What it cannot read it answers with 400 and closes.

use crate::answer::Answer;
use crate::args::{Mock, Serve};
use crate::gather::{self, Gather};
use crate::scan::{self, Framing};
use crate::{call, ring};
use monoio::io::AsyncWriteRentExt;
use monoio::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Tails longer than this are not copied into the write buffer (STACK: copies of misaligned bytes are slow).
const COPY_BYTES: usize = 2048;
/// A request of more bytes is refused; the proxy's own limit is 8,000,000.
const MAX_REQUEST_BYTES: usize = 16 << 20;
/// The height that `eth_blockNumber` starts at; one block a second from there.
const FIRST_HEIGHT: u64 = 20_000_000;

struct Server {
    answer: Answer,
    options: Rc<Mock>,
    started: Instant,
}

pub fn run(options: Mock) -> Result<(), String> {
    ring::run(options.driver, async |driver| serve_all(Rc::new(options), driver).await)?
}

async fn serve_all(options: Rc<Mock>, driver: &str) -> Result<(), String> {
    let mut listeners = Vec::new();
    let mut ready = Vec::new();
    for serve in &options.serve {
        let listener = ring::listen(serve.at)?;
        let at = listener.local_addr().map_err(|e| e.to_string())?;
        ready.push(serde_json::json!({"listen": at.to_string(), "result_bytes": serve.result_bytes}));
        listeners.push((listener, server(serve, &options)?));
    }
    println!("{}", serde_json::json!({"event": "mock.ready", "driver": driver, "serve": ready}));
    for (listener, server) in listeners {
        monoio::spawn(accept(listener, server));
    }
    std::future::pending().await
}

fn server(serve: &Serve, options: &Rc<Mock>) -> Result<Rc<Server>, String> {
    let answer = Answer::new(serve, options.chunked, options.id_last)?;
    Ok(Rc::new(Server { answer, options: Rc::clone(options), started: Instant::now() }))
}

async fn accept(listener: TcpListener, server: Rc<Server>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                monoio::spawn(converse(stream, Rc::clone(&server)));
            }
            // Out of files: wait for some to come back.
            Err(_) => monoio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Answers one connection until it ends; a dead connection needs no words.
async fn converse(mut stream: TcpStream, server: Rc<Server>) {
    let mut input = Vec::with_capacity(4096);
    let mut out = Vec::with_capacity(4096);
    let mut gather = Gather::new();
    loop {
        let mut at = 0;
        loop {
            let (used, id) = match next_call(&input[at..]) {
                Next::NeedMore => break,
                Next::Call { used, body } => (used, at + body.start..at + body.end),
                Next::Bad => {
                    let _ = stream.write_all(BAD_REQUEST).await;
                    return;
                }
            };
            at += used;
            if !server.options.latency.is_zero() {
                monoio::time::sleep(server.options.latency).await;
            }
            match answer(&server, &input[id], &mut out) {
                Reply::Copied => {}
                Reply::Bad => {
                    let _ = stream.write_all(BAD_REQUEST).await;
                    return;
                }
                Reply::Large { end } => {
                    let (result, back, head) = gather::write(&mut stream, gather, out, server.answer.tail).await;
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
    Call { used: usize, body: std::ops::Range<usize> },
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
        Framing::Chunked | Framing::Missing => Next::Bad,
    }
}

enum Reply {
    /// The whole answer is in the buffer.
    Copied,
    /// The buffer holds what comes before the tail; `end` comes after it.
    Large {
        end: Vec<u8>,
    },
    Bad,
}

fn answer(server: &Server, body: &[u8], out: &mut Vec<u8>) -> Reply {
    let Some(call) = scan::call(body) else { return Reply::Bad };
    let Some(id) = call.id.map(|range| &body[range]) else { return Reply::Bad };
    let special = match call.method.map(|range| &body[range]) {
        Some(b"\"eth_chainId\"") => Some(server.options.chain_number),
        Some(b"\"eth_blockNumber\"") => Some(FIRST_HEIGHT + server.started.elapsed().as_secs()),
        _ => None,
    };
    if let Some(number) = special {
        let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":\"0x{number:x}\"}}", String::from_utf8_lossy(id));
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(body.as_bytes());
        return Reply::Copied;
    }
    server.answer.write_lead(out, id);
    if server.answer.tail.len() <= COPY_BYTES {
        out.extend_from_slice(server.answer.tail);
        server.answer.write_end(out, id);
        return Reply::Copied;
    }
    let mut end = Vec::new();
    server.answer.write_end(&mut end, id);
    Reply::Large { end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Shape;
    use crate::ring::Driver;

    #[test]
    fn requests_are_found_when_whole() {
        let text = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}POST";
        for end in 0..40 {
            assert!(matches!(next_call(&text[..end]), Next::NeedMore), "{end}");
        }
        assert!(matches!(next_call(text), Next::Call { used: 40, body } if body == (38..40)));
        assert!(matches!(next_call(b"POST / HTTP/1.1\r\nhost: x\r\n\r\n"), Next::Bad));
        assert!(matches!(next_call(b"POST / HTTP/1.1\r\ncontent-length: -2\r\n\r\n"), Next::Bad));
    }

    #[test]
    fn probes_get_true_answers() {
        let options = Mock {
            driver: Driver::Auto,
            serve: Vec::new(),
            latency: Duration::ZERO,
            chunked: false,
            id_last: false,
            chain_number: 8453,
        };
        let serve = Serve { at: ([127, 0, 0, 1], 0).into(), result_bytes: 100, shape: Shape::Hex };
        let server = server(&serve, &Rc::new(options)).expect("a server");
        let check = |body: &str, want: &str| {
            let mut out = Vec::new();
            assert!(matches!(answer(&server, body.as_bytes(), &mut out), Reply::Copied), "{body}");
            let text = String::from_utf8(out).expect("text");
            assert!(text.contains(want), "{text}");
        };
        check(r#"{"jsonrpc":"2.0","id":"a","method":"eth_chainId","params":[]}"#, r#""id":"a","result":"0x2105"}"#);
        check(r#"{"method":"eth_blockNumber","id":5}"#, r#""id":5,"result":"0x1312d00"}"#);
        check(r#"{"method":"eth_call","id":5}"#, "content-length: 134\r\n");
        for bad in ["", "[]", r#"{"method":"eth_call"}"#] {
            assert!(matches!(answer(&server, bad.as_bytes(), &mut Vec::new()), Reply::Bad), "{bad}");
        }
    }
}
