//! RFC 6455 without I/O: bytes of a connection in, messages out, and the frames to send.
//!
//! Reading is tungstenite's, driven in memory: it checks masks, opcodes, fragments, UTF-8 and close codes, joins fragments up
//! to a bound, and answers pings and closes. What we send is framed here: a server's frames are two to ten bytes before the
//! payload, so a provider's answer goes out as it lies in its buffer. No extension is offered: JSON-RPC clients do without
//! compression, and it invites bombs. Fails towards closing: whatever breaks the protocol ends with the close code for it.

use std::io::{self, Read, Write};
use tungstenite::Error;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig, WebSocketContext};

/// What a connection's bytes said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A whole text or binary message.
    Message(Vec<u8>),
    Pong,
    /// Nothing more is to be read; what `take_outgoing` gives is the last that is sent.
    End,
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

/// The server's side of one connection.
pub struct Protocol {
    context: WebSocketContext,
    pipe: Pipe,
    has_ended: bool,
}

impl Protocol {
    /// Messages longer than `max_message` bytes end the connection with 1009.
    pub fn server(max_message: usize) -> Protocol {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        Protocol { context: WebSocketContext::new(Role::Server, Some(config)), pipe: Pipe::default(), has_ended: false }
    }

    /// Bytes that came from the peer.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.pipe.incoming.extend_from_slice(bytes);
    }

    /// What they said; `None` until more come.
    pub fn event(&mut self) -> Option<Event> {
        if self.has_ended {
            return None;
        }
        loop {
            match self.context.read(&mut self.pipe) {
                Ok(Message::Text(text)) => return Some(Event::Message(tungstenite::Bytes::from(text).into())),
                Ok(Message::Binary(bytes)) => return Some(Event::Message(bytes.into())),
                Ok(Message::Pong(_)) => return Some(Event::Pong),
                // tungstenite has queued the answer.
                Ok(Message::Ping(_) | Message::Close(_) | Message::Frame(_)) => {}
                Err(Error::Io(fault)) if fault.kind() == io::ErrorKind::WouldBlock => return None,
                Err(fault) => return Some(self.end(&fault)),
            }
        }
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

    /// Frames that answer what was read (pongs, closes), to be sent before anything newer.
    pub fn take_outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pipe.outgoing)
    }
}

const READ_BUFFER: usize = 4 * 1024;

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

#[cfg(test)]
#[path = "websocket_tests.rs"]
mod tests;
