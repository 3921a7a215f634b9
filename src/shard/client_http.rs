//! One client connection: requests in, replies out, in order.
//!
//! An idle connection is small: it waits for readiness without a buffer, and everything a request needs lives in a boxed
//! future that exists while requests come. A bounded number of connections (`HOT_SEATS`) keep theirs, with a read under
//! way, while they wait: the busy ones then pay neither the box nor the extra operation. Pipelined requests are answered
//! one after another, which is their order.
//!
//! A request that cannot be delimited ends the connection: the refusal is written, our side finished, and what still
//! comes is read away as long as something does, so that the refusal is not lost to a reset. Deadlines count progress: a slow
//! line is no fault, a byte now and then is.

use crate::base::ids::ProfileId;
use crate::base::limits;
use crate::base::time::Instant;
use crate::route::limit::client_address;
use crate::route::resolve::{self, Target};
use crate::runtime::admission::Admission;
use crate::runtime::budget::Permit;
use crate::runtime::bytes_io::{finish_writing, read_more, write_all, write_all_by_parts, write_static};
use crate::runtime::limiter::ClientKey;
use crate::runtime::world::{Closer, Duplex, ReadHalf, World};
use crate::shard::Shard;
use crate::shard::buffers::Size;
use crate::shard::deadlines::{ClientCloser, Watch};
use crate::shard::refusal::RpcRefusal;
use crate::shard::reply::{self, Body, Manner, RequestId};
use crate::shard::socket::{self, Upgrade};
use crate::shard::{local, rpc};
use crate::wire::http::{self, Chunked, Field, Framing, HttpFault, RequestHead, Scan};
use std::net::IpAddr;
use std::ops::Range;
use std::rc::Rc;

pub type ReadOf<W> = <<W as World>::Stream as Duplex>::Read;
pub type WriteOf<W> = <<W as World>::Stream as Duplex>::Write;

pub struct Client<W: World> {
    pub shard: Rc<Shard<W>>,
    read: ReadOf<W>,
    pub write: WriteOf<W>,
    pub watch: Watch<W>,
    pub closer: ClientCloser<W>,
    pub peer: IpAddr,
    /// The limiter's key of the last profile and address, which rarely change on a connection.
    pub limit_key: Option<(ProfileId, IpAddr, ClientKey)>,
    /// The connection's next life, after `Next::Upgrade`.
    pub upgrade: Option<Box<Upgrade>>,
}

/// What a connection does after a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Waits for the next request.
    Continue,
    /// Waits without a buffer.
    Idle,
    /// Ends; what was written last is delivered first.
    Finish,
    /// Goes on as a WebSocket.
    Upgrade,
    /// Ends at once: the client is gone, or must not take what it has for a whole reply.
    Abort,
}

/// A complete request's body.
pub struct ReadBody {
    pub range: Range<usize>,
    /// Where the next request begins.
    pub end: usize,
    /// The charge for a large body, until the reply is written.
    pub _permit: Option<Permit>,
}

enum BodyFault {
    /// The client went away in the middle, or was too slow.
    Gone,
    Http(HttpFault),
    NoRoom,
}

/// `_admission` is given back when the connection ends, in whatever life it does.
pub async fn serve<W: World>(shard: Rc<Shard<W>>, stream: W::Stream, _admission: Admission) {
    let (peer, closer) = (stream.peer().ip(), stream.closer());
    let (read, write) = stream.split();
    let now = shard.now();
    let watch = shard.clients.watch_client(now, now.plus_ms(limits::HEAD_TIMEOUT_MS), closer.clone());
    shard.counters.connections.add(1);
    let mut client = Client { shard, read, write, watch, closer, peer, limit_key: None, upgrade: None };
    loop {
        client.watch.set_idle(client.within(limits::KEEP_ALIVE_MS));
        if client.read.readable().await.is_err() {
            return;
        }
        match Box::pin(client.active()).await {
            Next::Idle | Next::Continue => {}
            Next::Abort => return client.closer.close(),
            Next::Upgrade => {
                let Some(upgrade) = client.upgrade.take() else { return };
                return Box::pin(socket::converse(client, *upgrade)).await;
            }
            // Boxed: it would make every idle connection larger.
            Next::Finish => return Box::pin(client.finish()).await,
        }
    }
}

impl<W: World> Client<W> {
    /// What a connection's next life needs of this one; its deadlines end here.
    pub fn into_halves(self) -> (Rc<Shard<W>>, ReadOf<W>, WriteOf<W>, ClientCloser<W>) {
        (self.shard, self.read, self.write, self.closer)
    }

    /// Whom the client limit counts: the peer, or whom a trusted proxy names.
    pub fn address(&self, head: &RequestHead, buf: &[u8]) -> IpAddr {
        let field = |field| head.field(field).of(buf);
        let trusted = &self.shard.node.settings.trusted_proxies;
        client_address(self.peer, field(Field::ForwardedFor), field(Field::RealIp), trusted)
    }

    pub fn now(&self) -> Instant {
        self.shard.now()
    }

    /// A deadline of seconds from the clock's last reading.
    pub fn within(&self, ms: u64) -> Instant {
        self.shard.recent().plus_ms(ms)
    }

    /// Answers requests until there is none for the moment.
    async fn active(&mut self) -> Next {
        let shard = self.shard.clone();
        let seat = Seat::take(&shard);
        let mut buf = shard.buffers.take(Size::Client);
        loop {
            let head = match self.read_head(&mut buf).await {
                Ok(Some(head)) => head,
                Ok(None) => return shard.give_and(buf, Next::Finish),
                Err(fault) => return Box::pin(self.refuse_http(buf, fault)).await,
            };
            let (rest, next) = self.answer(&head, buf).await;
            buf = rest;
            match next {
                Next::Continue if buf.is_empty() && shard.node.draining.is_raised() => return shard.give_and(buf, Next::Finish),
                Next::Continue if buf.is_empty() && seat.is_none() => return shard.give_and(buf, Next::Idle),
                Next::Continue => {}
                end => return shard.give_and(buf, end),
            }
        }
    }

    /// The next request's head; `None` at the end of the connection.
    async fn read_head(&mut self, buf: &mut Vec<u8>) -> Result<Option<RequestHead>, HttpFault> {
        let mut seen = 0;
        let mut is_timed = false;
        loop {
            if !buf.is_empty() {
                match http::scan_request(buf, seen) {
                    Scan::Done(head) => return Ok(Some(head)),
                    Scan::Bad(fault) => return Err(fault),
                    Scan::NeedMore => seen = buf.len(),
                }
                if !std::mem::replace(&mut is_timed, true) {
                    self.watch.set_deadline(self.within(limits::HEAD_TIMEOUT_MS));
                }
            } else {
                self.watch.set_idle(self.within(limits::KEEP_ALIVE_MS));
            }
            if buf.len() == buf.capacity() {
                buf.reserve(limits::CLIENT_BUFFER_BYTES);
            }
            let (result, more) = read_more(&mut self.read, std::mem::take(buf)).await;
            *buf = more;
            if !matches!(result, Ok(1..)) {
                return Ok(None);
            }
        }
    }

    /// Answers one request; `buf` begins with it and comes back with what follows it.
    async fn answer(&mut self, head: &RequestHead, buf: Vec<u8>) -> (Vec<u8>, Next) {
        let started = self.now();
        let shard = self.shard.clone();
        shard.sweep_if_overdue(started);
        let snapshot = shard.snapshot();
        let target = resolve::resolve(&snapshot.topology, head, &buf);
        let mut buf = buf;
        if target.is_err() && head.expect_continue {
            // Told before the body is sent, which then never comes or cannot be told from a request.
            let manner = self.manner(head, &buf, false);
            let next = Box::pin(local::answer(self, head, &buf, target, manner)).await;
            return (buf, next.and_finish());
        }
        let body = match self.read_body(head, &mut buf).await {
            Ok(body) => body,
            Err(BodyFault::Gone) => return (buf, Next::Abort),
            Err(BodyFault::Http(fault)) => return (Vec::new(), Box::pin(self.refuse_http(buf, fault)).await),
            Err(BodyFault::NoRoom) => {
                let manner = self.manner(head, &buf, false);
                let next = Box::pin(rpc::refuse(self, &RpcRefusal::out_of_memory(), b"null", &manner)).await;
                return (buf, next.and_finish());
            }
        };
        let keep_alive = head.keep_alive && !shard.node.draining.is_raised();
        let manner = self.manner(head, &buf, keep_alive);
        self.watch.set_deadline(Instant::NEVER);
        let end = body.end;
        let (mut buf, next) = match target {
            Ok(Target::Rpc(route)) => {
                let mut asked = rpc::Asked { head, route, snapshot, body, manner, started };
                rpc::answer(self, &mut asked, buf).await
            }
            Ok(Target::Websocket(route)) => {
                let next = Box::pin(local::upgrade(self, route, head, &buf, end, manner)).await;
                (buf, next)
            }
            other => {
                let next = Box::pin(local::answer(self, head, &buf, other, manner)).await;
                (buf, next)
            }
        };
        buf.drain(..end.min(buf.len()));
        (buf, if keep_alive { next } else { next.and_finish() })
    }

    fn manner(&self, head: &RequestHead, buf: &[u8], keep_alive: bool) -> Manner {
        let mut request_id = RequestId::new();
        let asked = head.field(Field::RequestId).of(buf);
        if resolve::request_id::adopt(asked) {
            request_id.extend(asked.iter().copied());
        } else {
            request_id.extend(resolve::request_id::generate(&mut self.shard.rng.borrow_mut()));
        }
        Manner { keep_alive, is_http_10: head.minor == 0, request_id, in_headers: false, meta_header: Vec::new() }
    }

    async fn read_body(&mut self, head: &RequestHead, buf: &mut Vec<u8>) -> Result<ReadBody, BodyFault> {
        let here = buf.len() - head.len;
        match head.framing {
            Framing::None => return Ok(ReadBody { range: head.len..head.len, end: head.len, _permit: None }),
            Framing::Length(length) if length as usize <= here => {
                let end = head.len + length as usize;
                return Ok(ReadBody { range: head.len..end, end, _permit: None });
            }
            _ => {}
        }
        self.watch.set_deadline(self.within(limits::BODY_TIMEOUT_MS));
        if head.expect_continue && here == 0 {
            write_static(&mut self.write, b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| BodyFault::Gone)?;
        }
        // Boxed: bodies that come in several reads are long or slow, and their state would sit in every request.
        match head.framing {
            Framing::Length(length) => Box::pin(self.read_length(head.len, length as usize, buf)).await,
            _ => Box::pin(self.read_chunks(head.len, buf)).await,
        }
    }

    async fn read_length(&mut self, start: usize, length: usize, buf: &mut Vec<u8>) -> Result<ReadBody, BodyFault> {
        let end = start + length;
        let permit = self.charge(length, None)?;
        let mut timed = buf.len();
        while buf.len() < end {
            // Room grows with what has come, not with what was announced.
            let room = (2 * buf.len()).max(limits::UPSTREAM_BUFFER_BYTES).min(end);
            self.read_into(buf, room).await?;
            timed = self.give_time(timed, buf.len());
        }
        Ok(ReadBody { range: start..end, end, _permit: permit })
    }

    async fn read_chunks(&mut self, start: usize, buf: &mut Vec<u8>) -> Result<ReadBody, BodyFault> {
        let mut decoder = Chunked::new(limits::REQUEST_BODY_BYTES as u64);
        let (mut payload_end, mut from) = (start, start);
        let largest = start + limits::REQUEST_BODY_BYTES + limits::UPSTREAM_BUFFER_BYTES;
        let mut permit = None;
        let mut timed = payload_end;
        loop {
            let step = http::compact(&mut decoder, buf, payload_end, from).map_err(BodyFault::Http)?;
            if step.done {
                return Ok(ReadBody { range: start..step.payload_end, end: step.rest_start, _permit: permit });
            }
            (payload_end, from) = (step.payload_end, step.rest_start);
            permit = self.charge(payload_end - start, permit)?;
            timed = self.give_time(timed, payload_end);
            // Never more than the largest body and a piece of framing behind it: the rest was moved down or is refused.
            let room = (2 * buf.len()).max(limits::UPSTREAM_BUFFER_BYTES).min(largest);
            self.read_into(buf, room).await?;
        }
    }

    fn charge(&self, bytes: usize, held: Option<Permit>) -> Result<Option<Permit>, BodyFault> {
        self.shard.charge_body(bytes, held).ok_or(BodyFault::NoRoom)
    }

    /// A body that has grown enough since it was `timed` bytes long may go on; how long it was then.
    fn give_time(&self, timed: usize, bytes: usize) -> usize {
        if bytes < timed + limits::BODY_PROGRESS_BYTES {
            return timed;
        }
        self.watch.set_deadline(self.within(limits::BODY_TIMEOUT_MS));
        bytes
    }

    async fn read_into(&mut self, buf: &mut Vec<u8>, room: usize) -> Result<(), BodyFault> {
        let room = room.max(buf.len() + 1);
        buf.reserve_exact(room.saturating_sub(buf.len()));
        let (result, more) = read_more(&mut self.read, std::mem::take(buf)).await;
        *buf = more;
        if matches!(result, Ok(1..)) { Ok(()) } else { Err(BodyFault::Gone) }
    }

    /// Writes bytes that are a whole reply or part of one; `false` when the client is gone.
    pub async fn send(&mut self, bytes: Vec<u8>) -> bool {
        let (watch, shard) = (&self.watch, &self.shard);
        let set_deadline = || watch.set_deadline(shard.recent().plus_ms(limits::CLIENT_WRITE_TIMEOUT_MS));
        set_deadline();
        let (result, buf) = write_all_by_parts(&mut self.write, bytes, set_deadline).await;
        self.shard.buffers.give(buf);
        result.is_ok()
    }

    async fn refuse_http(&mut self, mut buf: Vec<u8>, fault: HttpFault) -> Next {
        // Of a request that cannot be read at least the path may be there.
        let is_rpc = buf.split(|b| *b == b' ').nth(1).is_some_and(resolve::is_rpc_path);
        buf.clear();
        local::write_http_fault(&self.shard, &mut buf, fault, is_rpc);
        if self.send(buf).await { Next::Finish } else { Next::Abort }
    }

    /// Ends our side and reads away what still comes, as long as something does.
    async fn finish(&mut self) {
        let over = self.within(limits::LINGER_ALL_MS);
        self.watch.set_deadline(self.within(limits::LINGER_MS));
        if finish_writing(&mut self.write).await.is_err() {
            return;
        }
        read_away(&self.shard, &mut self.read, &self.watch, over).await;
    }
}

/// How a connection is closed that was told its last word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parting {
    /// What the client still sends is read away, so that no reset overtakes the word.
    WhenHeard,
    AtOnce,
}

/// Turns a client away that there is no place for. Its request is not waited for: it may never come.
pub async fn refuse<W: World>(shard: Rc<Shard<W>>, stream: W::Stream, parting: Parting) {
    let now = shard.now();
    let over = now.plus_ms(limits::LINGER_MS);
    let watch = shard.clients.watch_client(now, over, stream.closer());
    let (mut read, mut write) = stream.split();
    let refusal = RpcRefusal::too_many_clients(shard.node.admissions.limit());
    let body = Body::of_refusal(&refusal, b"null");
    let mut out = Vec::with_capacity(512);
    http::write_status_line(&mut out, refusal.status);
    out.extend_from_slice(&shard.reply_fields);
    reply::field(&mut out, b"retry-after", b"1");
    reply::field(&mut out, b"connection", b"close");
    reply::end_head(&mut out, Some(body.len() as u64));
    body.append_to(&mut out);
    let is_told = write_all(&mut write, out).await.0.is_ok() && finish_writing(&mut write).await.is_ok();
    if is_told && parting == Parting::WhenHeard {
        read_away(&shard, &mut read, &watch, over).await;
    }
}

/// What a client still sends after our last word, as long as something comes and until `over`, so that the word is not lost to
/// a reset.
async fn read_away<W: World>(shard: &Shard<W>, from: &mut ReadOf<W>, watch: &Watch<W>, over: Instant) {
    let mut left = limits::LINGER_BYTES;
    let mut buf = shard.buffers.take(Size::Upstream);
    while left > 0 {
        buf.clear();
        let (result, more) = read_more(from, buf).await;
        buf = more;
        match result {
            Ok(n @ 1..) => left = left.saturating_sub(n),
            _ => break,
        }
        watch.set_deadline(shard.recent().plus_ms(limits::LINGER_MS).min(over));
    }
    shard.buffers.give(buf);
}

impl Next {
    /// The same, but the connection does not go on.
    pub fn and_finish(self) -> Next {
        match self {
            Next::Abort | Next::Upgrade => self,
            Next::Continue | Next::Idle | Next::Finish => Next::Finish,
        }
    }
}

/// The right to keep a buffer while waiting.
struct Seat<W: World>(Rc<Shard<W>>);

impl<W: World> Seat<W> {
    fn take(shard: &Rc<Shard<W>>) -> Option<Seat<W>> {
        let left = shard.seats.get().checked_sub(1)?;
        shard.seats.set(left);
        Some(Seat(shard.clone()))
    }
}

impl<W: World> Drop for Seat<W> {
    fn drop(&mut self) {
        self.0.seats.set(self.0.seats.get() + 1);
    }
}
