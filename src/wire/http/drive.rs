//! For tests: reads a whole connection with the codec the way a shell does, in whatever pieces it comes.
//!
//! What is read twice in two ways (chunks by `step` and by `compact`) must agree, so each test checks both.

use super::*;
use crate::base::limits;
use crate::base::span::Span;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// At a border: nothing left over.
    Idle,
    /// Inside a message.
    Waiting,
    /// After a message that ends the connection; what follows is not looked at.
    Closed,
    Refused(HttpFault),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Requests,
    Answers,
}

/// `METHOD path[?query] [body]` or `status [body]` for each complete message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub messages: Vec<String>,
    /// Heads let through, of the messages above or of one whose body is not whole.
    pub heads: usize,
    pub end: End,
}

enum Body {
    Length(u64),
    Chunked { decoder: Chunked, second: Chunked, second_buf: Vec<u8>, second_at: Compacted },
    UntilClose,
}

pub(super) struct Driver {
    side: Side,
    buf: Vec<u8>,
    seen: usize,
    title: String,
    keep_alive: bool,
    body: Option<Body>,
    payload: Vec<u8>,
    messages: Vec<String>,
    heads: usize,
    stop: Option<End>,
}

impl Driver {
    pub(super) fn new(side: Side) -> Driver {
        Driver {
            side,
            buf: Vec::new(),
            seen: 0,
            title: String::new(),
            keep_alive: true,
            body: None,
            payload: Vec::new(),
            messages: Vec::new(),
            heads: 0,
            stop: None,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        if let Some(Body::Chunked { second_buf, .. }) = &mut self.body {
            second_buf.extend_from_slice(bytes);
        }
        while self.stop.is_none() && self.advance() {}
    }

    /// The peer sends no more.
    pub(super) fn finish(mut self) -> Seen {
        if self.stop.is_none() && matches!(self.body, Some(Body::UntilClose)) {
            self.message_done();
        }
        let idle = self.body.is_none() && self.buf.iter().all(|byte| b"\r\n".contains(byte));
        let end = self.stop.unwrap_or(if idle { End::Idle } else { End::Waiting });
        Seen { messages: self.messages, heads: self.heads, end }
    }

    fn message_done(&mut self) {
        let body = std::mem::take(&mut self.payload);
        let space = if body.is_empty() { "" } else { " " };
        self.messages.push(format!("{}{space}{}", self.title, body.escape_ascii()));
        self.body = None;
        if !self.keep_alive {
            self.stop = Some(End::Closed);
        }
    }

    /// Whether there may be more to do without more bytes.
    fn advance(&mut self) -> bool {
        let step = match &mut self.body {
            None if self.side == Side::Requests => return self.request(),
            None => return self.answer(),
            Some(Body::UntilClose) => {
                self.payload.append(&mut self.buf);
                return false;
            }
            Some(Body::Length(left)) => {
                let take = (*left).min(self.buf.len() as u64);
                *left -= take;
                self.payload.extend(self.buf.drain(..take as usize));
                if *left > 0 { ChunkStep::NeedMore } else { ChunkStep::End(0) }
            }
            Some(Body::Chunked { decoder, .. }) => decoder.step(&self.buf, 0),
        };
        match step {
            ChunkStep::NeedMore => return false,
            ChunkStep::Skip(to) => drop(self.buf.drain(..to)),
            ChunkStep::Data(span) => {
                self.payload.extend_from_slice(span.of(&self.buf));
                self.buf.drain(..span.end as usize);
            }
            ChunkStep::End(at) => {
                self.buf.drain(..at);
                self.check_compacted();
                self.message_done();
            }
            ChunkStep::Bad(fault) => {
                self.check_refused(fault);
                self.stop = Some(End::Refused(fault));
            }
        }
        self.compact_too();
        true
    }

    fn compact_too(&mut self) {
        if let Some(Body::Chunked { second, second_buf, second_at, .. }) = &mut self.body
            && !second_at.done
            && let Ok(next) = compact(second, second_buf, second_at.payload_end, second_at.rest_start)
        {
            *second_at = next;
        }
    }

    fn check_compacted(&mut self) {
        self.compact_too();
        if let Some(Body::Chunked { second_buf, second_at, .. }) = &self.body {
            assert!(second_at.done);
            assert_eq!(second_buf[..second_at.payload_end], self.payload[..]);
            assert_eq!(second_buf[second_at.rest_start..], self.buf[..]);
        }
    }

    fn check_refused(&mut self, fault: HttpFault) {
        if let Some(Body::Chunked { second, second_buf, second_at, .. }) = &mut self.body {
            let again = compact(second, second_buf, second_at.payload_end, second_at.rest_start);
            assert_eq!(again, Err(fault));
        }
    }

    fn chunked(&self, rest: usize, max_body: u64) -> Body {
        let decoder = Chunked::new(max_body);
        let second_at = Compacted { payload_end: 0, rest_start: 0, done: false };
        Body::Chunked { second: decoder.clone(), decoder, second_buf: self.buf[rest..].to_vec(), second_at }
    }

    fn request(&mut self) -> bool {
        let head = match scan_request(&self.buf, self.seen) {
            Scan::NeedMore => {
                self.seen = self.buf.len();
                return false;
            }
            Scan::Bad(fault) => {
                self.stop = Some(End::Refused(fault));
                return false;
            }
            Scan::Done(head) => head,
        };
        let method = format!("{:?}", head.method).to_uppercase();
        let mark = if head.query == Span::NONE { "" } else { "?" };
        let (path, query) = (head.path.of(&self.buf).escape_ascii(), head.query.of(&self.buf).escape_ascii());
        self.title = format!("{method} {path}{mark}{query}");
        self.keep_alive = head.keep_alive;
        self.body = Some(match head.framing {
            Framing::None => Body::Length(0),
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => self.chunked(head.len, limits::REQUEST_BODY_BYTES as u64),
        });
        self.start_body(head.len)
    }

    fn answer(&mut self) -> bool {
        let head = match scan_answer(&self.buf, self.seen) {
            Scan::NeedMore => {
                self.seen = self.buf.len();
                return false;
            }
            Scan::Bad(fault) => {
                self.stop = Some(End::Refused(fault));
                return false;
            }
            Scan::Done(head) => head,
        };
        self.title = head.status.to_string();
        self.keep_alive = head.keep_alive;
        self.body = Some(match head.framing {
            AnswerFraming::None => Body::Length(0),
            AnswerFraming::Length(length) => Body::Length(length),
            AnswerFraming::Chunked => self.chunked(head.len, u64::MAX),
            AnswerFraming::UntilClose => Body::UntilClose,
        });
        self.start_body(head.len)
    }

    fn start_body(&mut self, head: usize) -> bool {
        self.buf.drain(..head);
        self.heads += 1;
        self.seen = 0;
        true
    }
}

/// Everything at once.
pub(super) fn read(side: Side, bytes: &[u8]) -> Seen {
    let mut driver = Driver::new(side);
    driver.feed(bytes);
    driver.finish()
}

/// The same result, however it is cut: every single byte alone, and every cut in two.
pub(super) fn read_every_way(side: Side, bytes: &[u8]) -> Seen {
    let whole = read(side, bytes);
    let mut bytewise = Driver::new(side);
    bytes.iter().for_each(|byte| bytewise.feed(std::slice::from_ref(byte)));
    assert_eq!(bytewise.finish(), whole, "byte by byte: {}", bytes.escape_ascii());
    let stride = (bytes.len() / 300).max(1);
    for cut in (0..=bytes.len()).step_by(stride) {
        let mut halves = Driver::new(side);
        halves.feed(&bytes[..cut]);
        halves.feed(&bytes[cut..]);
        assert_eq!(halves.finish(), whole, "cut at {cut}: {}", bytes.escape_ascii());
    }
    whole
}
