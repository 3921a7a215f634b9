//! RFC 6455 without I/O: bytes of a connection in, messages out, and the frames to send.
//!
//! Reading is tungstenite's, driven in memory: it checks masks, opcodes, fragments, UTF-8 and close codes, joins fragments up
//! to a bound, and answers pings and closes. What we send is framed here: a server's frames are two to ten bytes before the
//! payload, so a provider's answer goes out as it lies in its buffer; a client's are masked while they are copied together,
//! with masks that the caller draws. No extension is offered: JSON-RPC clients do without
//! compression, and it invites bombs. Fails towards closing: whatever breaks the protocol ends with the close code for it.

use crate::base::limits::SOCKET_FRAMES;
use crate::wire::strainer::{Stop, Strainer, frame_length};
use arrayvec::ArrayVec;
use std::io::{self, Read, Write};
use tungstenite::Error;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig, WebSocketContext};

/// What a connection's bytes said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A whole text or binary message.
    Message(Vec<u8>),
    Pong,
    /// A client's side: a message longer than the bound is being skipped, of which these are the first bytes.
    Skipping(Vec<u8>),
    /// It has ended with these.
    Skipped(Vec<u8>),
    /// Nothing more is to be read; what `take_outgoing` gives is the last that is sent.
    End,
}

/// Frames that a server's side owes: pongs, and a close.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Owed {
    pub pongs: Vec<u8>,
    pub close: Vec<u8>,
}

/// Bytes at rest between the connection and tungstenite.
#[derive(Default)]
struct Pipe {
    incoming: Vec<u8>,
    at: usize,
    outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.incoming.get(self.at..).unwrap_or(&[]);
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = rest.len().min(buf.len());
        let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) else { return Ok(0) };
        to.copy_from_slice(from);
        self.at += n;
        if self.at == self.incoming.len() {
            self.incoming.clear();
            self.at = 0;
        }
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What stands before a client's side.
struct Strained {
    strainer: Strainer,
    /// Bytes that wait until what was passed before them is read.
    later: Vec<u8>,
    stopped: Option<Stop>,
    max_message: usize,
}

fn context(role: Role, max_message: usize) -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message));
    WebSocketContext::new(role, Some(config))
}

/// One side of a connection.
pub struct Protocol {
    context: WebSocketContext,
    pipe: Pipe,
    has_ended: bool,
    /// A client's side.
    strained: Option<Strained>,
    frames: Frames,
    /// Payload bytes that messages were made of.
    taken: u64,
    close_code: Option<u16>,
}

impl Protocol {
    /// The server's side. Messages longer than `max_message` bytes end the connection with 1009.
    pub fn server(max_message: usize) -> Protocol {
        Protocol::new(Role::Server, max_message)
    }

    /// The client's side. Longer messages are skipped.
    pub fn client(max_message: usize) -> Protocol {
        let (strainer, later) = (Strainer::new(max_message), Vec::new());
        Protocol {
            strained: Some(Strained { strainer, later, stopped: None, max_message }),
            ..Protocol::new(Role::Client, max_message)
        }
    }

    fn new(role: Role, max_message: usize) -> Protocol {
        Protocol {
            context: context(role, max_message),
            pipe: Pipe::default(),
            has_ended: false,
            strained: None,
            frames: Frames::default(),
            taken: 0,
            close_code: None,
        }
    }

    /// Bytes that came from the peer.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.frames.pass(bytes);
        match &mut self.strained {
            Some(strained) => strained.later.extend_from_slice(bytes),
            None => self.pipe.incoming.extend_from_slice(bytes),
        }
    }

    /// What they said; `None` until more come.
    pub fn event(&mut self) -> Option<Event> {
        if self.has_ended {
            return None;
        }
        let read = self.read();
        let event = if read.is_some() { read } else { self.strain() };
        let is_skipping = self.strained.as_ref().is_some_and(|strained| strained.strainer.is_skipping());
        match event {
            None if self.frames.has_long_control => Some(self.end(&Error::Protocol(ProtocolError::ControlFrameTooBig))),
            None if is_skipping => {
                self.frames.count = 0;
                None
            }
            // Fragments without end, each perhaps empty, are a message that is too long.
            None if self.frames.count > SOCKET_FRAMES => Some(self.end(&too_long())),
            None => None,
            Some(event) => {
                self.frames.count = 0;
                if let Event::Message(message) = &event {
                    self.taken += message.len() as u64;
                }
                Some(event)
            }
        }
    }

    /// On a client's side: passes on what has come, reads it, and tells of what is skipped where that stands.
    fn strain(&mut self) -> Option<Event> {
        loop {
            let strained = self.strained.as_mut()?;
            match strained.stopped.take() {
                Some(Stop::Cut) => self.context = context(Role::Client, strained.max_message),
                Some(Stop::Skipping) => return Some(Event::Skipping(strained.strainer.first().to_vec())),
                Some(Stop::Skipped) => return Some(Event::Skipped(strained.strainer.last().to_vec())),
                Some(Stop::Garbled) => return Some(self.end(&Error::Utf8(NOT_TEXT.into()))),
                None => {}
            }
            let (done, stop) = strained.strainer.pass(&strained.later, &mut self.pipe.incoming);
            strained.later.drain(..done);
            strained.stopped = stop;
            if done == 0 && stop.is_none() {
                return None;
            }
            if let Some(event) = self.read() {
                return Some(event);
            }
        }
    }

    fn read(&mut self) -> Option<Event> {
        loop {
            match self.context.read(&mut self.pipe) {
                Ok(Message::Text(text)) => return Some(Event::Message(tungstenite::Bytes::from(text).into())),
                Ok(Message::Binary(bytes)) => return Some(Event::Message(bytes.into())),
                Ok(Message::Pong(_)) => return Some(Event::Pong),
                Ok(Message::Close(frame)) => {
                    self.close_code = Some(frame.map_or(NO_CODE, |frame| frame.code.into()));
                    // A client's side would wait for the end of the connection; nothing more is said on it.
                    if self.strained.is_some() {
                        let _ = self.context.flush(&mut self.pipe);
                        self.has_ended = true;
                        return Some(Event::End);
                    }
                }
                // tungstenite has queued the answer.
                Ok(Message::Ping(_) | Message::Frame(_)) => {}
                Err(Error::Io(fault)) if fault.kind() == io::ErrorKind::WouldBlock => return None,
                Err(fault) => return Some(self.end(&fault)),
            }
        }
    }

    /// What the peer's close frame said: `NO_CODE` when it said nothing.
    pub fn close_code(&self) -> Option<u16> {
        self.close_code
    }

    fn end(&mut self, fault: &Error) -> Event {
        self.has_ended = true;
        let code = match fault {
            Error::ConnectionClosed | Error::AlreadyClosed => return Event::End,
            Error::Capacity(_) => CloseCode::Size,
            Error::Utf8(_) => CloseCode::Invalid,
            _ => CloseCode::Protocol,
        };
        let frame = CloseFrame { code, reason: fault.to_string().chars().take(100).collect::<String>().into() };
        // Only the pipe is written, which takes everything; a context that is past closing has nothing to say.
        let _ = self.context.close(&mut self.pipe, Some(frame));
        let _ = self.context.flush(&mut self.pipe);
        Event::End
    }

    /// Nothing more is to be read.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Payload bytes that the message which is coming holds here.
    pub fn held(&self) -> usize {
        let held = match &self.strained {
            Some(strained) => strained.strainer.held(),
            None => self.frames.payload.saturating_sub(self.taken),
        };
        held as usize
    }

    /// On a client's side: a message or frame has come in part.
    pub fn is_amid(&self) -> bool {
        self.strained.as_ref().is_some_and(|strained| strained.strainer.is_amid())
    }

    /// What answers the control frames that were read.
    pub fn take_owed(&mut self) -> Owed {
        let (mut owed, out) = (Owed::default(), self.take_outgoing());
        let mut rest = out.as_slice();
        // Control frames of a server's side: two bytes and at most 125.
        while let [first, length, ..] = rest {
            let (frame, next) = rest.split_at((2 + usize::from(length & 0x7f)).min(rest.len()));
            if first & 0x0f == Opcode::Close as u8 {
                owed.close = frame.into()
            } else {
                owed.pongs.extend_from_slice(frame)
            }
            rest = next;
        }
        owed
    }

    /// Frames that answer what was read (pongs, closes), to be sent before anything newer.
    pub fn take_outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pipe.outgoing)
    }

    /// The same of a client's side, masked with `mask` instead of a mask of tungstenite's own drawing, so that a seed replays.
    pub fn take_outgoing_masked(&mut self, mask: [u8; 4]) -> Vec<u8> {
        let mut out = self.take_outgoing();
        let mut rest = out.as_mut_slice();
        // Control frames only: two bytes, the mask, at most 125 bytes.
        while let Some(([_, length, old @ ..], tail)) = rest.split_first_chunk_mut::<6>() {
            let change = [0, 1, 2, 3].map(|i: usize| old.get(i).copied().unwrap_or(0) ^ mask.get(i).copied().unwrap_or(0));
            old.copy_from_slice(&mask);
            let (payload, next) = tail.split_at_mut(usize::from(*length & 0x7f).min(tail.len()));
            payload.iter_mut().zip(change.iter().cycle()).for_each(|(byte, change)| *byte ^= change);
            rest = next;
        }
        out
    }
}

/// Drops the oldest of these control frames until at most so many bytes are left: whoever asks faster than we write may get one
/// pong for several pings, the newest (RFC 6455 §5.5.3).
pub fn keep_newest(frames: &mut Vec<u8>, most: usize) {
    let mut at = 0;
    while frames.len().saturating_sub(at) > most
        && let Some([_, length, ..]) = frames.get(at..)
    {
        at += 2 + usize::from(length & 0x7f);
    }
    frames.drain(..at.min(frames.len()));
}

/// Most that a control frame carries (RFC 6455 §5.5).
const CONTROL_BYTES: u64 = 125;
const NOT_TEXT: &str = "a text message that is not UTF-8";
/// What tungstenite keeps for each connection and fills with zeros before each read: a usual request fits, and for a longer message room is
/// made once.
const READ_BUFFER: usize = 1024;
/// What a close frame without a code means (RFC 6455 §7.1.5).
pub const NO_CODE: u16 = 1005;

fn too_long() -> Error {
    Error::Capacity(tungstenite::error::CapacityError::MessageTooLong { size: SOCKET_FRAMES, max_size: SOCKET_FRAMES })
}

/// Frames as they pass, whatever they carry: tungstenite bounds a message's bytes, but not what its fragments' heads cost.
#[derive(Default)]
struct Frames {
    /// Since the last event. Looked at when bytes run out, so the exact bound depends on how they came.
    count: usize,
    head: ArrayVec<u8, 14>,
    /// Bytes of data frames since the beginning, and whether the current one is such.
    payload: u64,
    is_data: bool,
    /// Of the current frame's payload.
    left: u64,
    /// A control frame announced more than it may carry: tungstenite would wait for all of it, and take what comes next for it.
    has_long_control: bool,
}

impl Frames {
    fn pass(&mut self, mut bytes: &[u8]) {
        loop {
            let skipped = self.left.min(bytes.len() as u64);
            self.left -= skipped;
            self.payload += if self.is_data { skipped } else { 0 };
            bytes = bytes.get(skipped as usize..).unwrap_or(&[]);
            let Some((first, rest)) = bytes.split_first() else { return };
            // A head is at most as long as its place.
            let _ = self.head.try_push(*first);
            bytes = rest;
            if let Some(length) = frame_length(&self.head) {
                (self.left, self.count) = (length, self.count + 1);
                self.is_data = self.head.first().is_some_and(|first| first & 0x08 == 0);
                self.has_long_control |= !self.is_data && length > CONTROL_BYTES;
                self.head.clear();
            }
        }
    }
}

/// What a frame carries, as RFC 6455 §5.2 numbers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opcode {
    Text = 1,
    Close = 8,
    Ping = 9,
}

/// The head of an unmasked, unfragmented frame of `length` bytes.
pub fn write_frame_head(out: &mut Vec<u8>, opcode: Opcode, length: usize) {
    out.push(0x80 | opcode as u8);
    match length {
        0..=125 => out.push(length as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// A whole frame of a client's, its payload the `parts` in a row.
pub fn write_masked_frame(out: &mut Vec<u8>, opcode: Opcode, mask: [u8; 4], parts: &[&[u8]]) {
    let length = parts.iter().map(|part| part.len()).sum();
    out.reserve(length + 14);
    let head = out.len() + 1;
    write_frame_head(out, opcode, length);
    if let Some(byte) = out.get_mut(head) {
        *byte |= 0x80;
    }
    out.extend_from_slice(&mask);
    let mut turn = 0;
    for part in parts {
        let mut mask = mask;
        mask.rotate_left(turn % 4);
        append_masked(out, mask, part);
        turn += part.len();
    }
}

/// Eight bytes at a time; the compiler makes more of it.
fn append_masked(out: &mut Vec<u8>, mask: [u8; 4], part: &[u8]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (blocks, rest) = part.as_chunks::<8>();
    out.extend(blocks.iter().flat_map(|block| (u64::from_ne_bytes(*block) ^ wide).to_ne_bytes()));
    out.extend(rest.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// A client's whole close frame.
pub fn masked_close_frame(mask: [u8; 4], code: u16, reason: &str) -> Vec<u8> {
    let reason: String = reason.chars().filter(char::is_ascii).take(123).collect();
    let mut out = Vec::with_capacity(8 + reason.len());
    write_masked_frame(&mut out, Opcode::Close, mask, &[&code.to_be_bytes(), reason.as_bytes()]);
    out
}

/// A whole close frame; `reason` is cut to what a control frame holds.
pub fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let reason: String = reason.chars().filter(char::is_ascii).take(123).collect();
    let mut out = Vec::with_capacity(4 + reason.len());
    write_frame_head(&mut out, Opcode::Close, 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
    out
}

/// `Sec-WebSocket-Accept` for a client's key; `None` when that is not the base64 of 16 bytes (RFC 6455 §4.2.1).
pub fn accept_key(key: &[u8]) -> Option<String> {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(key).ok()?;
    (decoded.len() == 16).then(|| tungstenite::handshake::derive_accept_key(key))
}

/// A client's key of 16 random bytes, and the `Sec-WebSocket-Accept` that answers it.
pub fn new_key(random: [u8; 16]) -> (String, String) {
    use base64::Engine as _;
    let key = base64::engine::general_purpose::STANDARD.encode(random);
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    (key, accept)
}

#[cfg(test)]
#[path = "websocket_tests.rs"]
mod tests;
