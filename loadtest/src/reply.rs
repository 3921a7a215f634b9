//! Reads one answer as it arrives and keeps only its two ends: enough to prove the id, the length and the closing brace
//! without a megabyte of memory per connection. A wrong answer is an error with a reason, never a shorter measurement.

use crate::frame;
use crate::scan::{self, Framing};

/// Kept of each end of a body. Any id of ours fits with what may surround it.
const KEPT_BYTES: usize = 256;
/// A head that does not end within this is no head.
const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_FRAME_HEAD_BYTES: usize = 14;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// All of the input is taken.
    More,
    /// The answer ended after `used` bytes of the input.
    Whole { used: usize },
    /// A WebSocket's ping did, which wants a pong with `payload`.
    Ping { used: usize },
}

enum State {
    Head,
    /// Body bytes still to come.
    Length(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    Trailer,
    /// The head of a WebSocket frame.
    Frame,
    /// Payload of a frame that is no message, of this opcode.
    Control {
        opcode: u8,
        left: usize,
    },
}

/// One answer; made new, or `reset`, for each.
pub struct Reader {
    state: State,
    over_socket: bool,
    /// An unfinished head, chunk line or control frame.
    line: Vec<u8>,
    first: Vec<u8>,
    last: Vec<u8>,
    body_bytes: usize,
    /// All of the body, where it is asked for.
    whole: Option<Vec<u8>>,
    status: u16,
    close: bool,
}

impl Reader {
    /// Of answers over HTTP, or of messages over a WebSocket, where a message counts as a 200.
    pub fn new(over_socket: bool) -> Reader {
        Reader {
            state: if over_socket { State::Frame } else { State::Head },
            over_socket,
            line: Vec::with_capacity(1024),
            first: Vec::with_capacity(KEPT_BYTES),
            last: Vec::with_capacity(2 * KEPT_BYTES),
            body_bytes: 0,
            whole: None,
            status: 0,
            close: false,
        }
    }

    /// The same, and keeps bodies whole: a batch is more than its ends.
    pub fn keeping(mut self) -> Reader {
        self.whole = Some(Vec::new());
        self
    }

    pub fn reset(&mut self) {
        self.state = if self.over_socket { State::Frame } else { State::Head };
        self.line.clear();
        self.first.clear();
        self.last.clear();
        self.body_bytes = 0;
        if let Some(whole) = &mut self.whole {
            whole.clear();
        }
    }

    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// The other side closes after this answer.
    pub fn close(&self) -> bool {
        self.close
    }

    /// The first bytes of the body, for a person to read.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.first).into_owned()
    }

    /// What the ping that was seen last carried.
    pub fn ping(&self) -> &[u8] {
        &self.line
    }

    /// Whether the body is an array of answers with a result to the ids from `first_id` on, in any order, each of `bytes` bytes
    /// or of any.
    pub fn echoes_all(&self, first_id: u64, calls: u64, bytes: Option<usize>) -> bool {
        let whole = self.whole.as_deref().unwrap_or_default();
        let Some(items) = scan::items(whole) else { return false };
        let mut seen = vec![false; calls as usize];
        for item in items {
            let text = &whole[item];
            let Some(rest) = text.strip_prefix(b"{\"jsonrpc\":\"2.0\",\"id\":") else { return false };
            let digits = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
            let (id, rest) = rest.split_at(digits);
            let place = scan::decimal(id).and_then(|id| id.checked_sub(first_id as usize)).and_then(|place| seen.get_mut(place));
            let is_good = rest.starts_with(b",\"result\":") && bytes.is_none_or(|bytes| bytes == text.len());
            match place {
                Some(place) if is_good && !*place => *place = true,
                _ => return false,
            }
        }
        seen.iter().all(|seen| *seen)
    }

    /// Whether the body is an object that ends in `}` and carries `id` and a result.
    pub fn echoes(&self, id: &[u8]) -> bool {
        let first = self.first.as_slice();
        let last = if self.last.is_empty() { first } else { self.last.as_slice() };
        let id_first = first
            .strip_prefix(b"{\"jsonrpc\":\"2.0\",\"id\":")
            .and_then(|rest| rest.strip_prefix(id))
            .is_some_and(|rest| rest.starts_with(b",\"result\":"));
        let id_last = || {
            first.starts_with(b"{\"jsonrpc\":\"2.0\",\"result\":")
                && last.strip_suffix(b"}").and_then(|rest| rest.strip_suffix(id)).is_some_and(|rest| rest.ends_with(b",\"id\":"))
        };
        last.ends_with(b"}") && (id_first || id_last())
    }

    /// Takes the next bytes of the connection.
    pub fn feed(&mut self, input: &[u8]) -> Result<Seen, String> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.state {
                State::Head => match self.head(rest)? {
                    Some(used) => at += used,
                    None => return Ok(Seen::More),
                },
                State::Length(0) => return Ok(Seen::Whole { used: at }),
                State::Chunk(0) => self.state = State::ChunkEnd,
                State::Control { opcode, left: 0 } => {
                    self.end_control(opcode)?;
                    if opcode == frame::PING {
                        return Ok(Seen::Ping { used: at });
                    }
                }
                _ if rest.is_empty() => return Ok(Seen::More),
                State::Frame => at += self.frame_head(rest)?,
                State::Control { opcode, left } => {
                    let take = left.min(rest.len());
                    self.line.extend_from_slice(&rest[..take]);
                    self.state = State::Control { opcode, left: left - take };
                    at += take;
                }
                State::Length(left) => {
                    let take = left.min(rest.len());
                    self.keep(&rest[..take]);
                    self.state = State::Length(left - take);
                    at += take;
                }
                State::Chunk(left) => {
                    let take = left.min(rest.len());
                    self.keep(&rest[..take]);
                    self.state = State::Chunk(left - take);
                    at += take;
                }
                State::ChunkSize | State::ChunkEnd | State::Trailer => match self.chunk_line(rest)? {
                    (used, true) => return Ok(Seen::Whole { used: at + used }),
                    (used, false) => at += used,
                },
            }
        }
    }

    /// Bytes of `rest` that end the head, once it ends.
    fn head(&mut self, rest: &[u8]) -> Result<Option<usize>, String> {
        let before = self.line.len();
        let found = if before == 0 {
            // The usual case: no copy.
            scan::head(rest).map(|head| (head, self.status_of(rest)))
        } else {
            self.line.extend_from_slice(&rest[..rest.len().min(MAX_HEAD_BYTES)]);
            scan::head(&self.line).map(|head| (head, self.status_of(&self.line)))
        };
        let Some((head, status)) = found else {
            if before == 0 {
                self.line.extend_from_slice(&rest[..rest.len().min(MAX_HEAD_BYTES)]);
            }
            if self.line.len() >= MAX_HEAD_BYTES || memchr::memmem::find(&self.line, b"\r\n\r\n").is_some() {
                return Err("the answer's head is wrong or has no end".into());
            }
            return Ok(None);
        };
        self.line.clear();
        self.status = status?;
        self.close = head.close;
        self.state = match head.framing {
            Framing::Length(bytes) => State::Length(bytes),
            Framing::Chunked => State::ChunkSize,
            Framing::Missing => return Err("the answer has neither content-length nor chunks".into()),
        };
        Ok(Some(head.len - before))
    }

    /// Bytes of `rest` that were taken: of the head, which may arrive in parts.
    fn frame_head(&mut self, rest: &[u8]) -> Result<usize, String> {
        let before = self.line.len();
        self.line.extend_from_slice(&rest[..rest.len().min(MAX_FRAME_HEAD_BYTES)]);
        let Some(head) = frame::head(&self.line)? else { return Ok(self.line.len() - before) };
        self.line.clear();
        self.status = 200;
        self.state = match head.opcode {
            frame::TEXT => State::Length(head.length),
            opcode if head.length <= 125 => State::Control { opcode, left: head.length },
            opcode => return Err(format!("a frame of kind {opcode} with {} bytes", head.length)),
        };
        Ok(head.len - before)
    }

    fn end_control(&mut self, opcode: u8) -> Result<(), String> {
        self.state = State::Frame;
        match opcode {
            frame::PING => Ok(()),
            frame::PONG => {
                self.line.clear();
                Ok(())
            }
            _ => Err(format!("the connection was closed: {}", String::from_utf8_lossy(&self.line))),
        }
    }

    fn status_of(&self, head: &[u8]) -> Result<u16, String> {
        let digits = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(scan::decimal);
        digits.and_then(|status| u16::try_from(status).ok()).ok_or_else(|| "the answer has no HTTP/1.1 status line".into())
    }

    /// One line of the chunked framing, which may arrive in parts. True at the end of the body.
    fn chunk_line(&mut self, rest: &[u8]) -> Result<(usize, bool), String> {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            self.line.extend_from_slice(rest);
            return if self.line.len() > MAX_HEAD_BYTES {
                Err("a chunk line without end".into())
            } else {
                Ok((rest.len(), false))
            };
        };
        self.line.extend_from_slice(&rest[..end]);
        let line = self.line.strip_suffix(b"\r").ok_or("a chunk line that ends without CR")?;
        let mut whole = false;
        self.state = match self.state {
            State::ChunkSize => match hex_size(line)? {
                0 => State::Trailer,
                bytes => State::Chunk(bytes),
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::Trailer => {
                whole = line.is_empty();
                State::Trailer
            }
            _ => return Err("a chunk longer than its size".into()),
        };
        self.line.clear();
        Ok((end + 1, whole))
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.body_bytes += bytes.len();
        if let Some(whole) = &mut self.whole {
            whole.extend_from_slice(bytes);
        }
        let room = KEPT_BYTES - self.first.len();
        let (start, rest) = bytes.split_at(room.min(bytes.len()));
        self.first.extend_from_slice(start);
        if rest.is_empty() {
            return;
        }
        if self.last.is_empty() {
            // The last bytes may begin within the first ones.
            self.last.extend_from_slice(&self.first);
        }
        if rest.len() >= KEPT_BYTES {
            self.last.clear();
        }
        self.last.extend_from_slice(&rest[rest.len().saturating_sub(KEPT_BYTES)..]);
        let surplus = self.last.len().saturating_sub(KEPT_BYTES);
        self.last.drain(..surplus);
    }
}

fn hex_size(line: &[u8]) -> Result<usize, String> {
    let digits = line.split(|c| *c == b';').next().unwrap_or_default().trim_ascii();
    let text = std::str::from_utf8(digits).map_err(|_| "a chunk size that is no number")?;
    usize::from_str_radix(text, 16).map_err(|_| format!("a chunk size that is no number: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"jsonrpc":"2.0","id":7,"result":"0x1"}"#;

    /// At once, in two parts at every byte, and byte by byte: always the same.
    fn check(text: &str, want_bytes: usize) {
        let bytes = text.as_bytes();
        let next = b"HTTP/1.1 500";
        let followed = [bytes, next].concat();
        let mut reader = Reader::new(false);
        assert_eq!(reader.feed(&followed), Ok(Seen::Whole { used: bytes.len() }), "{text}");
        assert_eq!((reader.body_bytes(), reader.status()), (want_bytes, 200));
        assert!(reader.echoes(b"7"));
        for cut in 1..bytes.len() {
            reader.reset();
            assert_eq!(reader.feed(&bytes[..cut]), Ok(Seen::More), "{cut} {text}");
            assert_eq!(reader.feed(&bytes[cut..]), Ok(Seen::Whole { used: bytes.len() - cut }), "{cut} {text}");
            assert!(reader.echoes(b"7") && !reader.echoes(b"8") && reader.body_bytes() == want_bytes, "{cut}");
        }
        reader.reset();
        for (at, byte) in bytes.iter().enumerate() {
            let want = if at + 1 == bytes.len() { Seen::Whole { used: 1 } } else { Seen::More };
            assert_eq!(reader.feed(&[*byte]), Ok(want), "{at} {text}");
        }
        assert!(reader.echoes(b"7"));
    }

    #[test]
    fn lengths_and_chunks() {
        check(&format!("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len()), BODY.len());
        let (a, b) = BODY.split_at(10);
        check(
            &format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nA\r\n{a}\r\n{:x};x=y\r\n{b}\r\n0\r\nT: t\r\n\r\n",
                b.len()
            ),
            BODY.len(),
        );
        let long = format!(r#"{{"jsonrpc":"2.0","result":"{}","id":7}}"#, "0".repeat(3 * KEPT_BYTES));
        check(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{long}", long.len()), long.len());
    }

    #[test]
    fn frames_in_any_pieces_and_pings_between() {
        let (ping, text) = (frame::from_server(frame::PING, b"?"), frame::from_server(frame::TEXT, BODY.as_bytes()));
        let bytes = [&ping[..], &text].concat();
        for size in 1..=bytes.len() {
            let (mut reader, mut pings, mut whole) = (Reader::new(true), 0, 0);
            for piece in bytes.chunks(size) {
                let mut at = 0;
                while at < piece.len() {
                    match reader.feed(&piece[at..]).expect("frames") {
                        Seen::More => break,
                        Seen::Ping { used } => {
                            assert_eq!(reader.ping(), b"?");
                            pings += 1;
                            at += used;
                            reader.reset();
                        }
                        Seen::Whole { used } => {
                            assert!(reader.echoes(b"7") && reader.body_bytes() == BODY.len() && reader.status() == 200);
                            whole += 1;
                            at += used;
                        }
                    }
                }
            }
            assert_eq!((pings, whole), (1, 1), "{size}");
        }
        let closed = frame::from_server(frame::CLOSE, b"\x03\xf0slow");
        assert!(Reader::new(true).feed(&closed).expect_err("it closed").contains("slow"));
    }

    #[test]
    fn faults_are_said() {
        let check = |text: &str, want: &str| {
            let error = Reader::new(false).feed(text.as_bytes()).expect_err(text);
            assert!(error.contains(want), "{text}: {error}");
        };
        check("HTTP/1.1 200 OK\r\n\r\n", "neither");
        check("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n", "status line");
        check("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "head");
        check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "no number");
        check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n", "longer");
        check(&"x".repeat(MAX_HEAD_BYTES), "head");
    }

    #[test]
    fn what_does_not_echo() {
        let check = |body: &str| {
            let mut reader = Reader::new(false);
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            assert!(matches!(reader.feed(text.as_bytes()), Ok(Seen::Whole { .. })));
            assert!(!reader.echoes(b"7"), "{body}");
        };
        check("");
        check(r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"no"}}"#);
        check(r#"{"jsonrpc":"2.0","id":77,"result":"0x1"}"#);
        check(r#"{"jsonrpc":"2.0","id":7,"result":"0x1""#);
        check(r#"{"jsonrpc":"2.0","result":"0x1","id":17}"#);
    }

    #[test]
    fn a_batch_is_checked_call_by_call() {
        let one = |id: u64| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"0x1"}}"#);
        let check = |items: &[String], want: bool| {
            let body = format!("[{}]", items.join(","));
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let mut reader = Reader::new(false).keeping();
            for _ in 0..2 {
                assert!(matches!(reader.feed(text.as_bytes()), Ok(Seen::Whole { .. })));
                assert_eq!(reader.echoes_all(70, 3, Some(one(70).len())), want, "{body}");
                reader.reset();
            }
        };
        check(&[one(70), one(71), one(72)], true);
        check(&[one(72), one(70), one(71)], true);
        check(&[one(70), one(71)], false);
        check(&[one(70), one(71), one(71)], false);
        check(&[one(70), one(71), one(73)], false);
        check(&[one(70), one(71), one(72).replace("0x1", "0x11")], false);
        check(&[one(70), one(71), one(72).replace("result", "error")], false);
        check(&[], false);
    }
}
