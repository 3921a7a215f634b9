//! An answer as it arrives from a provider: head, then payload with its framing and compression undone.
//!
//! The payload of the common answer (a length, no gzip) lies where it was read: nothing is copied. Chunks are moved
//! together in place; gzip is inflated beside, a bounded step for each read, however much comes out of little. The connection goes back to its pool by `finish` only, which gives it
//! back when the answer was read to its last byte and the provider keeps it open; dropped anywhere else it is closed,
//! so no later call can read this answer's rest.

use crate::base::limits;
use crate::base::time::Instant;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::buffers::Size;
use crate::shard::deadlines::Watch;
use crate::shard::http2::{Failed, Lane, Stream};
use crate::shard::pool::Slot;
use crate::shard::upstream_http::Upstream;
use crate::wire::gzip::Gunzip;
use crate::wire::http::{self, AnswerFraming, AnswerHead, Chunked, HttpFault, Scan};
use std::ops::Range;

/// Why an answer could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// The connection ended (end of file or an error). `unanswered`: before the first byte.
    Ended { unanswered: bool },
    /// A connection of several calls ended. `is_told`: that says nothing more about the provider.
    Died { is_told: bool },
    /// What came is no HTTP answer that we accept.
    Malformed(HttpFault),
    /// gzip that is corrupt or cut.
    Compression,
    /// The body ended before its framing said so.
    Truncated,
    /// The provider says that it did not look at the call.
    NotTaken,
}

enum Framed {
    Length {
        left: u64,
    },
    Chunked(Chunked),
    UntilClose,
    /// HTTP/2: to the stream's end, with so many more bytes if that was said.
    Stream {
        left: Option<u64>,
    },
}

/// What it comes over.
enum Carrier<W: World> {
    Http1(Upstream<W>, Slot<W>),
    Http2(Box<Stream<W>>),
}

pub struct Incoming<W: World> {
    carrier: Carrier<W>,
    pub head: AnswerHead,
    /// Taken out of the head, whose bytes may move.
    retry_after: Box<[u8]>,
    raw: Vec<u8>,
    /// Payload in `raw`, framing undone.
    body: Range<usize>,
    framed: Framed,
    inflate: Option<Box<Inflate>>,
    /// All of the body is in `raw` or was.
    arrived: bool,
    /// All of the payload was given.
    complete: bool,
    /// Bytes came behind the answer: the connection is of no further use.
    surplus: bool,
}

struct Inflate {
    machine: Gunzip,
    plain: Vec<u8>,
    /// What came so far is a whole stream.
    may_end: bool,
    /// More comes out of what is here.
    has_more: bool,
}

impl<W: World> Incoming<W> {
    /// Reads the head of the answer on `connection`, which has just been sent a call.
    pub async fn start(shard: &Shard<W>, mut connection: Upstream<W>, slot: Slot<W>) -> Result<Incoming<W>, Broken> {
        let mut raw: Option<Vec<u8>> = None;
        let mut seen = 0;
        loop {
            let had = raw.as_ref().map_or(0, Vec::len);
            let next = raw.take().map(|buf| shard.with_room(buf, 0));
            let (result, buf) = connection.read(|| next.unwrap_or_else(|| shard.buffers.take(Size::Upstream))).await;
            if !matches!(result, Ok(1..)) {
                shard.buffers.give(buf);
                return Err(Broken::Ended { unanswered: had == 0 });
            }
            let mut buf = buf;
            let scanned = loop {
                match http::scan_answer(&buf, seen) {
                    // An interim answer; the real one follows.
                    Scan::Done(head) if head.status < 200 => {
                        buf.drain(..head.len);
                        seen = 0;
                    }
                    other => break other,
                }
            };
            match scanned {
                Scan::Done(head) => {
                    let retry_after = head.retry_after.of(&buf).into();
                    return Incoming::with_head(Carrier::Http1(connection, slot), framed(&head), head, retry_after, buf);
                }
                Scan::Bad(fault) => return Err(Broken::Malformed(fault)),
                Scan::NeedMore => seen = buf.len(),
            }
            raw = Some(buf);
        }
    }

    /// Sends a call's body over HTTP/2, with these fields of its own, and waits for the head of its answer.
    pub async fn over_http2(
        shard: &Shard<W>,
        lane: Lane<W>,
        (added, body): (&[(&str, &[u8])], Vec<u8>),
        watch: &Watch<W>,
    ) -> Result<Incoming<W>, Broken> {
        let (stream, head, retry_after) = Stream::call(lane, added, body, watch).await?;
        let left = match head.framing {
            AnswerFraming::Length(length) => Some(length),
            AnswerFraming::None => Some(0),
            AnswerFraming::Chunked | AnswerFraming::UntilClose => None,
        };
        let raw = shard.buffers.take(Size::Upstream);
        Incoming::with_head(Carrier::Http2(Box::new(stream)), Framed::Stream { left }, head, retry_after, raw)
    }

    fn with_head(
        carrier: Carrier<W>,
        framed: Framed,
        head: AnswerHead,
        retry_after: Box<[u8]>,
        raw: Vec<u8>,
    ) -> Result<Incoming<W>, Broken> {
        let inflate =
            head.gzip.then(|| Box::new(Inflate { machine: Gunzip::new(), plain: Vec::new(), may_end: false, has_more: false }));
        let body = head.len..head.len;
        let (arrived, complete, surplus) = (false, false, false);
        let mut incoming = Incoming { carrier, head, retry_after, raw, body, framed, inflate, arrived, complete, surplus };
        incoming.decode()?;
        Ok(incoming)
    }

    /// The payload that is here and has not been consumed.
    pub fn payload(&self) -> &[u8] {
        match &self.inflate {
            Some(inflate) => &inflate.plain,
            None => self.raw.get(self.body.clone()).unwrap_or(&[]),
        }
    }

    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The value of Retry-After; nearly always empty.
    pub fn retry_after(&self) -> Box<[u8]> {
        self.retry_after.clone()
    }

    /// Bytes of payload in all, when the framing says so in advance.
    pub fn total(&self) -> Option<u64> {
        match (&self.framed, &self.inflate) {
            (Framed::Length { left } | Framed::Stream { left: Some(left) }, None) => Some(left + self.body.len() as u64),
            _ => None,
        }
    }

    /// Reads once and decodes. `room` is how large the buffer may grow to take in more at a time. `watch` is the attempt's.
    pub async fn read(&mut self, shard: &Shard<W>, watch: &Watch<W>, room: usize) -> Result<(), Broken> {
        if self.inflate.as_ref().is_some_and(|inflate| inflate.has_more) {
            return self.inflate();
        }
        let raw = std::mem::take(&mut self.raw);
        let wanted = match &self.framed {
            Framed::Length { left } | Framed::Stream { left: Some(left) } => {
                raw.len() + usize::try_from(*left).unwrap_or(usize::MAX).min(room)
            }
            _ if raw.len() == raw.capacity() => raw.len() * 2,
            _ => raw.len() + 1,
        };
        let limit = self.body.start + room.max(limits::UPSTREAM_BUFFER_BYTES);
        let mut raw = shard.with_room(raw, wanted.min(limit));
        let connection = match &mut self.carrier {
            Carrier::Http1(connection, _) => connection,
            Carrier::Http2(stream) => {
                let ended = stream.read(&mut raw, watch).await;
                self.raw = raw;
                return self.streamed(ended?);
            }
        };
        let (result, raw) = connection.read(|| raw).await;
        self.raw = raw;
        match result {
            Ok(0) => self.ended(),
            Ok(_) => self.decode(),
            Err(_) => Err(Broken::Ended { unanswered: false }),
        }
    }

    /// The connection ended: right for a body that lasts until then, a fault for every other.
    fn ended(&mut self) -> Result<(), Broken> {
        if !matches!(self.framed, Framed::UntilClose) {
            return Err(Broken::Truncated);
        }
        self.arrived = true;
        self.surplus = true;
        self.inflate()
    }

    /// More of a stream is here; its end may be.
    fn streamed(&mut self, ended: bool) -> Result<(), Broken> {
        self.arrived = ended;
        self.decode()?;
        let missing = matches!(self.framed, Framed::Stream { left: Some(1..) });
        if ended && missing { Err(Broken::Truncated) } else { Ok(()) }
    }

    fn decode(&mut self) -> Result<(), Broken> {
        match &mut self.framed {
            Framed::Length { left } => {
                let here = (self.raw.len() - self.body.end).min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= here as u64;
                self.body.end += here;
                self.arrived = *left == 0;
                self.surplus = self.raw.len() > self.body.end;
            }
            Framed::Chunked(decoder) => {
                let (end, from) = (self.body.end, self.body.end);
                let step = http::compact(decoder, &mut self.raw, end, from).map_err(Broken::Malformed)?;
                self.body.end = step.payload_end;
                self.arrived = step.done;
                self.surplus = step.rest_start < self.raw.len();
            }
            Framed::UntilClose => self.body.end = self.raw.len(),
            Framed::Stream { left } => {
                let here = (self.raw.len() - self.body.end) as u64;
                if let Some(left) = left {
                    *left = left.checked_sub(here).ok_or(Broken::Truncated)?;
                }
                self.body.end = self.raw.len();
            }
        }
        self.inflate()
    }

    /// One step: what comes out of more is left for the next read.
    fn inflate(&mut self) -> Result<(), Broken> {
        let Some(inflate) = &mut self.inflate else {
            self.complete = self.arrived;
            return Ok(());
        };
        let input = self.raw.get(self.body.clone()).unwrap_or(&[]);
        let step = inflate.machine.feed(input, &mut inflate.plain, limits::HOLD_BYTES).map_err(|_| Broken::Compression)?;
        (inflate.may_end, inflate.has_more) = (step.done, step.full);
        self.raw.drain(self.body.start..self.body.start + step.consumed);
        self.body.end -= step.consumed;
        self.complete = self.arrived && !step.full;
        if self.complete { self.inflated_whole() } else { Ok(()) }
    }

    fn inflated_whole(&self) -> Result<(), Broken> {
        let cut = self.inflate.as_ref().is_some_and(|inflate| !inflate.may_end);
        if cut { Err(Broken::Compression) } else { Ok(()) }
    }

    /// Takes the payload out of the buffer for writing; `put_back` returns the buffer, emptied.
    pub fn take_payload(&mut self) -> (Vec<u8>, Range<usize>) {
        match &mut self.inflate {
            Some(inflate) => {
                let plain = std::mem::take(&mut inflate.plain);
                let all = 0..plain.len();
                (plain, all)
            }
            None => {
                let range = std::mem::replace(&mut self.body, 0..0);
                (std::mem::take(&mut self.raw), range)
            }
        }
    }

    pub fn put_back(&mut self, mut buf: Vec<u8>) {
        buf.clear();
        match &mut self.inflate {
            Some(inflate) => inflate.plain = buf,
            None => self.raw = buf,
        }
    }

    /// Ends reading. The connection goes back to its pool when it may carry another call.
    /// Returns the buffer that holds the payload, and where.
    pub fn finish(mut self, shard: &Shard<W>, now: Instant) -> (Vec<u8>, Range<usize>) {
        let (payload, range) = self.take_payload();
        let reusable = self.complete && !self.surplus && self.head.keep_alive;
        if self.inflate.is_some() {
            shard.buffers.give(std::mem::take(&mut self.raw));
        }
        if reusable && let Carrier::Http1(connection, slot) = self.carrier {
            slot.give_back(connection, shard.buffers.take(Size::Upstream), now);
        }
        (payload, range)
    }
}

fn framed(head: &AnswerHead) -> Framed {
    match head.framing {
        AnswerFraming::None => Framed::Length { left: 0 },
        AnswerFraming::Length(left) => Framed::Length { left },
        AnswerFraming::Chunked => Framed::Chunked(Chunked::new(u64::MAX)),
        AnswerFraming::UntilClose => Framed::UntilClose,
    }
}

impl From<Failed> for Broken {
    fn from(failed: Failed) -> Broken {
        match failed {
            Failed::NotTaken => Broken::NotTaken,
            Failed::Lost => Broken::Ended { unanswered: false },
            Failed::Gone { is_told } => Broken::Died { is_told },
            Failed::Malformed(fault) => Broken::Malformed(fault),
        }
    }
}
