//! A client that sends exact bytes and reads exact answers.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// Framing said that the body is whole.
    pub is_whole: bool,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

pub struct Client {
    pub stream: TcpStream,
    buf: Vec<u8>,
}

/// A call that may be repeated.
pub const READ: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x0000000000000000000000000000000000000001","latest"]}"#;

impl Client {
    pub fn new(at: SocketAddr) -> Client {
        let stream = TcpStream::connect(at).expect("the node accepts");
        stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client { stream, buf: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        // A node that has refused already may have closed: what it said is still read.
        let _ = self.stream.write_all(bytes);
    }

    pub fn post(&mut self, path: &str, body: &str) -> Answer {
        self.post_with(path, "", body)
    }

    /// `fields`: header lines, each ended.
    pub fn post_with(&mut self, path: &str, fields: &str, body: &str) -> Answer {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{fields}content-length: {length}\r\n\r\n"
        );
        self.send(&[head.as_bytes(), body.as_bytes()].concat());
        self.answer().expect("an answer")
    }

    /// The next answer; `None` when the connection ends before one begins.
    pub fn answer(&mut self) -> Option<Answer> {
        let head_end = loop {
            if let Some(at) = self.buf.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill() {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.buf[..head_end]).into_owned();
        self.buf.drain(..head_end);
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: Vec::new(), is_whole: true };
        if answer.field("transfer-encoding") == Some("chunked") {
            self.read_chunks(&mut answer);
        } else {
            let length = answer.field("content-length").map_or(0, |n| n.parse().expect("a length"));
            self.take(length, &mut answer);
        }
        Some(answer)
    }

    /// The next bytes, whatever they are.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buf.len() < count {
            assert!(self.fill(), "the connection ended after {:?}", self.buf);
        }
        self.buf.drain(..count).collect()
    }

    /// Whether the connection has ended, with nothing left to read.
    pub fn is_closed(&mut self) -> bool {
        self.buf.is_empty() && !self.fill()
    }

    fn take(&mut self, length: usize, answer: &mut Answer) {
        while self.buf.len() < length {
            if !self.fill() {
                answer.is_whole = false;
                break;
            }
        }
        answer.body.extend(self.buf.drain(..length.min(self.buf.len())));
    }

    fn read_chunks(&mut self, answer: &mut Answer) {
        loop {
            let line = loop {
                if let Some(at) = self.buf.windows(2).position(|w| w == b"\r\n") {
                    break self.buf.drain(..at + 2).collect::<Vec<u8>>();
                }
                if !self.fill() {
                    answer.is_whole = false;
                    return;
                }
            };
            let size =
                std::str::from_utf8(&line).ok().and_then(|l| usize::from_str_radix(l.trim(), 16).ok()).expect("a chunk size");
            self.take(size, answer);
            let mut end = Answer { status: 0, head: String::new(), body: Vec::new(), is_whole: true };
            self.take(2, &mut end);
            if !end.is_whole || !answer.is_whole {
                answer.is_whole = false;
                return;
            }
            if size == 0 {
                return;
            }
        }
    }

    fn fill(&mut self) -> bool {
        let mut piece = [0; 64 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(n) => {
                self.buf.extend_from_slice(&piece[..n]);
                true
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => panic!("the node says nothing"),
            Err(_) => false,
        }
    }
}

/// One call on a connection of its own.
pub fn post(at: SocketAddr, path: &str, body: &str) -> Answer {
    Client::new(at).post(path, body)
}
