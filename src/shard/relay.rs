//! A result too long to hold, passed on as it comes.
//!
//! The call is over for every other provider: bytes have left for the client. So what still can go wrong (the framing
//! breaks, the trailing id is another call's, a second outcome follows) must end the client's connection without a valid
//! end of message. That is why the last bytes, everything behind the result, are kept back until the whole answer has
//! been judged: an answer that looks complete is complete.
//!
//! Two ways to write it. When the answer's id and version came first, the body passes as it is, with the client's id in its
//! place, and a known length stays known; an `"error":null` behind the result becomes white space. Else the envelope is
//! written anew around the result's bytes, in chunks.

use crate::base::limits;
use crate::base::span::Span;
use crate::base::time::Instant;
use crate::runtime::gather::{Gather, Piece, write_gather_by_parts};
use crate::runtime::world::{World, WriteHalf};
use crate::shard::Shard;
use crate::shard::call::Outgoing;
use crate::shard::deadlines::Watch;
use crate::shard::incoming::Incoming;
use crate::wire::http::{write_chunk_end, write_chunk_head};
use crate::wire::jsonrpc::{AnswerFault, Prefix, ResultStream};
use std::ops::Range;

/// Why a relayed reply was not completed. The client's connection must be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RelayFault {
    /// The provider's answer broke off, stalled, or is no answer to this call.
    Answer,
    /// The client left or takes nothing.
    Client,
}

pub struct Relay<W: World> {
    incoming: Incoming<W>,
    judge: ResultStream,
    envelope: Envelope,
    /// The result's first byte in the first payload.
    value_start: usize,
    /// What followed the result, kept back.
    tail: Vec<u8>,
    watch: Watch<W>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Envelope {
    /// As it comes; the span is where the client's id replaces ours, if it must.
    Kept(Option<Span>),
    /// Ours, around the result.
    Anew,
}

/// Where the reply's bytes go: with a length said before, or in chunks.
pub struct Reply<'a, T: WriteHalf, W: World> {
    pub writer: &'a mut T,
    pub client: &'a Watch<W>,
    /// The response head up to its framing, which `framing` completes.
    pub head: Vec<u8>,
    pub client_id: &'a [u8],
}

impl<W: World> Relay<W> {
    /// Fails when the id that came first is another call's.
    pub fn new(incoming: Incoming<W>, prefix: &Prefix, sent: &Outgoing, watch: Watch<W>) -> Result<Relay<W>, AnswerFault> {
        let judge = ResultStream::new(prefix, incoming.payload(), &sent.id)?;
        let (value_start, id) = match *prefix {
            Prefix::Result { value_start, id, is_plain, .. } => (value_start, id.filter(|_| is_plain)),
            _ => return Err(AnswerFault::Neither),
        };
        let envelope = match id {
            // The same id may be spelled otherwise (`"\u0061"`): only the client's own bytes pass.
            Some(id) if sent.is_client_id && id.of(incoming.payload()) == sent.id.as_slice() => Envelope::Kept(None),
            Some(id) => Envelope::Kept(Some(id)),
            None => Envelope::Anew,
        };
        Ok(Relay { incoming, judge, envelope, value_start, tail: Vec::new(), watch })
    }

    /// The reply's length, when it is known before its end.
    pub fn length(&self, client_id: &[u8]) -> Option<u64> {
        let total = self.incoming.total()?;
        match self.envelope {
            Envelope::Kept(None) => Some(total),
            Envelope::Kept(Some(id)) => Some(total - id.len() as u64 + client_id.len() as u64),
            Envelope::Anew => None,
        }
    }

    /// Writes the whole reply. `Ok`: the client has a complete message and its connection may go on.
    pub async fn pass_on<T: WriteHalf>(mut self, shard: &Shard<W>, mut reply: Reply<'_, T, W>) -> Result<(), RelayFault> {
        let chunked = self.length(reply.client_id).is_none();
        let mut opening = self.opening(reply.client_id);
        let mut judged_from = self.value_start;
        loop {
            let is_complete = self.incoming.is_complete();
            let (buf, part) = self.incoming.take_payload();
            let mut to_write = part.clone();
            let skipped = (part.start + judged_from).min(part.end);
            let of_result = self.judge.feed(buf.get(skipped..part.end).unwrap_or(&[])).map_err(|_| RelayFault::Answer)?;
            to_write.end = skipped + of_result;
            self.tail.extend_from_slice(buf.get(to_write.end..part.end).unwrap_or(&[]));
            if is_complete {
                // Before its last part is written: with a length said in advance, that part is what completes the reply.
                let null_error = self.judge.finish().map_err(|_| RelayFault::Answer)?;
                let blank = null_error.and_then(|span| self.tail.get_mut(span.range()));
                blank.into_iter().for_each(|place| place.fill(b' '));
            }
            to_write.start = (part.start + opening.skip).min(to_write.end);
            let head = std::mem::take(&mut reply.head);
            let bytes = std::mem::take(&mut opening.bytes);
            // While the client takes its time the provider owes nothing: the client's own deadline bounds the wait.
            self.watch.set_deadline(Instant::NEVER);
            let buf = write_part(shard, &mut reply, head, bytes, buf, to_write, chunked).await?;
            self.incoming.put_back(buf);
            (opening.skip, judged_from) = (0, 0);
            if is_complete {
                return self.end(shard, reply, chunked).await;
            }
            self.watch.set_deadline(shard.world.now().plus_ms(limits::STREAM_STALL_MS));
            self.incoming.read(shard, &self.watch, limits::STREAM_BUFFER_BYTES).await.map_err(|_| RelayFault::Answer)?;
        }
    }

    /// The reply's bytes before the first that passes as it is.
    fn opening(&self, client_id: &[u8]) -> Opening {
        let payload = self.incoming.payload();
        match self.envelope {
            Envelope::Kept(None) => Opening { bytes: Vec::new(), skip: 0 },
            Envelope::Kept(Some(id)) => {
                let before = payload.get(..id.start as usize).unwrap_or(&[]);
                Opening { bytes: [before, client_id].concat(), skip: id.end as usize }
            }
            Envelope::Anew => {
                let bytes = [b"{\"jsonrpc\":\"2.0\",\"id\":", client_id, b",\"result\":"].concat();
                Opening { bytes, skip: self.value_start }
            }
        }
    }

    /// The whole answer is here and was judged: writes what completes the reply.
    async fn end<T: WriteHalf>(self, shard: &Shard<W>, mut reply: Reply<'_, T, W>, chunked: bool) -> Result<(), RelayFault> {
        let mut last = match self.envelope {
            Envelope::Kept(_) => self.tail,
            Envelope::Anew => b"}".to_vec(),
        };
        let all = 0..last.len();
        if chunked {
            let mut framed = Vec::with_capacity(last.len() + 32);
            write_chunk_head(&mut framed, last.len());
            framed.append(&mut last);
            framed.extend_from_slice(b"\r\n");
            write_chunk_end(&mut framed);
            last = framed;
        }
        let all = if chunked { 0..last.len() } else { all };
        write_part(shard, &mut reply, Vec::new(), Vec::new(), last, all, false).await?;
        let (buf, _) = self.incoming.finish(shard, shard.world.now());
        shard.buffers.give(buf);
        Ok(())
    }
}

/// What is written before the payload, and how much of the first payload it stands for.
struct Opening {
    bytes: Vec<u8>,
    skip: usize,
}

/// Writes head, opening and a stretch of `buf` in one go, as one chunk if `chunked`. Returns `buf`.
async fn write_part<T: WriteHalf, W: World>(
    shard: &Shard<W>,
    reply: &mut Reply<'_, T, W>,
    mut head: Vec<u8>,
    opening: Vec<u8>,
    buf: Vec<u8>,
    stretch: Range<usize>,
    chunked: bool,
) -> Result<Vec<u8>, RelayFault> {
    let len = opening.len() + stretch.len();
    if len == 0 && head.is_empty() {
        return Ok(buf);
    }
    let in_chunk = chunked && len > 0;
    if in_chunk {
        write_chunk_head(&mut head, len);
    }
    let mut gather: Gather = shard.gather();
    gather.push(Piece::Owned(head));
    gather.push(Piece::Owned(opening));
    gather.push(Piece::Slice(buf, stretch));
    gather.push(Piece::Static(if in_chunk { b"\r\n" } else { b"" }));
    let client = reply.client;
    let set_deadline = || client.set_deadline(shard.world.now().plus_ms(limits::CLIENT_WRITE_TIMEOUT_MS));
    set_deadline();
    let (result, mut gather) = write_gather_by_parts(reply.writer, gather, set_deadline).await;
    let mut pieces = gather.take().filter_map(Piece::into_buffer);
    if let Some(head) = pieces.next() {
        shard.buffers.give(head);
    }
    let buf = pieces.nth(1).unwrap_or_default();
    drop(pieces);
    shard.give_gather(gather);
    result.map(|()| buf).map_err(|_| RelayFault::Client)
}
