//! Chunked bodies (RFC 9112 §7.1), both directions, without IO.
//!
//! The decoder keeps its place inside a size line or trailer itself, so it consumes every byte it is shown and nothing
//! is ever looked at twice; payload is reported as spans and never copied. Strict: CR LF only, 1 to 16 hex digits, no
//! spaces around them. Extensions and trailers are checked against their grammar, bounded, and dropped.

use super::fault::{self, HttpFault};
use crate::base::limits;
use crate::base::span::Span;

/// What one look at the bytes gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkStep {
    /// Payload (never empty); go on at `span.end`. Framing before it was consumed too.
    Data(Span),
    /// Everything up to this position was framing; go on there.
    Skip(usize),
    /// Nothing left to look at.
    NeedMore,
    /// The body is complete and its last CR LF ends before this position.
    End(usize),
    Bad(HttpFault),
}

/// The decoder of one body.
#[derive(Clone, Debug)]
pub struct Chunked {
    state: State,
    /// Of the chunk: its size while the size line is read, then what is still to come of its data.
    remaining: u64,
    /// Payload announced so far, this chunk aside.
    total: u64,
    max_body: u64,
    /// Bytes of the size line so far.
    line: usize,
    /// Bytes of extensions in this body.
    extensions: usize,
    /// Bytes of the trailer section.
    trailer: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    SizeStart,
    Size {
        digits: u8,
    },
    /// After `;`: a name must follow.
    ExtensionStart,
    ExtensionName,
    /// After `=`: a token or a quote must follow.
    ValueStart,
    ValueToken,
    Quoted,
    /// After a backslash in quotes.
    Escaped,
    QuoteEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
    Failed(HttpFault),
}

impl Chunked {
    /// A body whose payload may have `max_body` bytes; one more is a 413.
    pub fn new(max_body: u64) -> Chunked {
        Chunked { state: State::SizeStart, remaining: 0, total: 0, max_body, line: 0, extensions: 0, trailer: 0 }
    }

    /// Looks at `buf[at..]`, in a loop: at the position each step names. Fed with the next bytes after `NeedMore`, or
    /// whenever the position reaches the end. After `End` or `Bad` it says the same again.
    pub fn step(&mut self, buf: &[u8], at: usize) -> ChunkStep {
        let mut position = at;
        loop {
            match self.state {
                State::Data => return self.data(buf, at, position),
                State::Done => return ChunkStep::End(position),
                State::Failed(fault) => return ChunkStep::Bad(fault),
                _ => {}
            }
            let Some(&byte) = buf.get(position) else { return consumed(at, position) };
            match self.next(byte) {
                Ok(state) => self.state = state,
                Err(fault) => self.state = State::Failed(fault),
            }
            position += 1;
        }
    }

    fn data(&mut self, buf: &[u8], at: usize, position: usize) -> ChunkStep {
        let here = buf.len().saturating_sub(position);
        let take = usize::try_from(self.remaining).map_or(here, |remaining| remaining.min(here));
        if take == 0 {
            return consumed(at, position);
        }
        self.remaining -= take as u64;
        if self.remaining == 0 {
            self.state = State::DataCr;
        }
        ChunkStep::Data(Span::new(position, position + take))
    }

    /// The state after one byte of framing.
    fn next(&mut self, byte: u8) -> Result<State, HttpFault> {
        match self.state {
            State::SizeStart | State::Size { .. } | State::SizeLf => self.size(byte),
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => {
                (self.line, self.remaining) = (0, 0);
                Ok(State::SizeStart)
            }
            State::DataCr | State::DataLf => Err(fault::CHUNK_END),
            State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf | State::EndLf => {
                self.trailer(byte)
            }
            // `step` returns before these; to stay put is the harmless answer.
            State::Data | State::Done | State::Failed(_) => Ok(self.state),
            _ => self.extension(byte),
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, HttpFault> {
        let digits = match self.state {
            State::SizeStart => 0,
            State::Size { digits } => digits,
            _ if byte == b'\n' => return self.size_known(),
            _ => return Err(fault::CHUNK_SIZE),
        };
        if let Some(value) = (byte as char).to_digit(16) {
            if digits >= 16 {
                return Err(fault::CHUNK_SIZE);
            }
            self.remaining = self.remaining << 4 | u64::from(value);
            return Ok(State::Size { digits: digits + 1 });
        }
        match byte {
            b'\r' if digits > 0 => Ok(State::SizeLf),
            b';' if digits > 0 => Ok(State::ExtensionStart),
            _ => Err(fault::CHUNK_SIZE),
        }
    }

    /// The size line has ended.
    fn size_known(&mut self) -> Result<State, HttpFault> {
        let total = self.total.checked_add(self.remaining).ok_or(fault::CHUNK_TOTAL)?;
        if total > self.max_body {
            return Err(fault::CHUNK_TOTAL);
        }
        self.total = total;
        Ok(if self.remaining == 0 { State::TrailerStart } else { State::Data })
    }

    /// `*( ";" name [ "=" ( token / quoted-string ) ] )`, without the spaces that RFC 9112 calls bad.
    fn extension(&mut self, byte: u8) -> Result<State, HttpFault> {
        self.line += 1;
        self.extensions += 1;
        if self.line > limits::CHUNK_LINE_BYTES || self.extensions > limits::CHUNK_EXTENSION_BYTES {
            return Err(fault::CHUNK_EXTENSIONS);
        }
        match (self.state, byte) {
            (State::ExtensionStart | State::ExtensionName, b) if is_token(b) => Ok(State::ExtensionName),
            (State::ValueStart | State::ValueToken, b) if is_token(b) => Ok(State::ValueToken),
            (State::ExtensionName, b'=') => Ok(State::ValueStart),
            (State::ValueStart, b'"') => Ok(State::Quoted),
            (State::Quoted, b'"') => Ok(State::QuoteEnd),
            (State::Quoted, b'\\') => Ok(State::Escaped),
            (State::Quoted | State::Escaped, b) if is_text(b) => Ok(State::Quoted),
            (State::ExtensionName | State::ValueToken | State::QuoteEnd, b';') => Ok(State::ExtensionStart),
            (State::ExtensionName | State::ValueToken | State::QuoteEnd, b'\r') => Ok(State::SizeLf),
            _ => Err(fault::CHUNK_EXTENSION),
        }
    }

    /// `*( name ":" value CR LF ) CR LF`, dropped: no field there may change how the message is read.
    fn trailer(&mut self, byte: u8) -> Result<State, HttpFault> {
        self.trailer += 1;
        if self.trailer > limits::TRAILER_BYTES {
            return Err(fault::TRAILERS);
        }
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::TrailerStart | State::TrailerName, b) if is_token(b) => Ok(State::TrailerName),
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, b) if is_text(b) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::EndLf, b'\n') => Ok(State::Done),
            _ => Err(fault::TRAILER),
        }
    }
}

fn consumed(from: usize, to: usize) -> ChunkStep {
    if to > from { ChunkStep::Skip(to) } else { ChunkStep::NeedMore }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Tab, visible ASCII, space, and bytes from 0x80.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// What `compact` left in the buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compacted {
    /// End of the contiguous payload.
    pub payload_end: usize,
    /// `rest_start..buf.len()` does not belong to what was decoded: after the body's end it is the next message, before
    /// it is empty (`rest_start == payload_end == buf.len()`, so that reads append right there).
    pub rest_start: usize,
    pub done: bool,
}

/// Decodes `buf[read_from..]` in place: payload moves down to `payload_end`, so that a held body is contiguous.
/// `payload_end <= read_from`. When not done, read more bytes to the end of `buf` and call again with both of
/// `Compacted`'s positions.
pub fn compact(decoder: &mut Chunked, buf: &mut Vec<u8>, payload_end: usize, read_from: usize) -> Result<Compacted, HttpFault> {
    debug_assert!(payload_end <= read_from && read_from <= buf.len());
    let (mut end, mut at) = (payload_end, read_from);
    loop {
        match decoder.step(buf, at) {
            ChunkStep::Data(span) => {
                if end != span.start as usize {
                    buf.copy_within(span.range(), end);
                }
                end += span.len();
                at = span.end as usize;
            }
            ChunkStep::Skip(position) => at = position,
            ChunkStep::NeedMore => {
                buf.truncate(end);
                return Ok(Compacted { payload_end: end, rest_start: end, done: false });
            }
            ChunkStep::End(position) => return Ok(Compacted { payload_end: end, rest_start: position, done: true }),
            ChunkStep::Bad(fault) => return Err(fault),
        }
    }
}
