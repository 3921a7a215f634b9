//! Clients: patient and impatient, one at a time and pipelined, quick and slow readers. Each watches its own replies.

use super::book::Book;
use super::calls::{Caller, Post, PostExpect};
use super::check::{Sky, Told, check};
use super::http::{self, Read};
use crate::weather::{coin, one_in, pick};
use crate::world::{Sim, SimStream};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::runtime::world::{Closer, Duplex, Duration, Instant, ReadHalf, World};
use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub posts: u64,
    /// Requests that may be unanswered at once.
    pub depth: usize,
    /// Longest wait before a request, in ms.
    pub pause_ms: u64,
    /// Most bytes of a read, and the wait before each, in ms.
    pub sip: usize,
    pub sip_ms: u64,
    /// Sends its end of stream after the last request instead of waiting.
    pub half_close: bool,
    /// Resets or closes after so many ms, whatever is under way.
    pub leave: Option<(u64, Leave)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    Reset,
    Close,
}

impl Manner {
    pub fn draw(draw: &mut Rng) -> Manner {
        let slow = one_in(draw, 6);
        Manner {
            posts: 1 + draw.below(10),
            depth: if one_in(draw, 3) { 1 + draw.below(6) as usize } else { 1 },
            pause_ms: pick(draw, &[0, 10, 3_000]),
            sip: if slow { 1 + draw.below(2_000) as usize } else { 16 * 1024 },
            sip_ms: if slow { pick(draw, &[1, 40]) } else { 0 },
            half_close: one_in(draw, 4),
            leave: one_in(draw, 5).then(|| (draw.below(3_000), if coin(draw) { Leave::Reset } else { Leave::Close })),
        }
    }

    pub const PLAIN: Manner =
        Manner { posts: 6, depth: 1, pause_ms: 500, sip: 16 * 1024, sip_ms: 0, half_close: false, leave: None };
}

/// What all clients of a run share.
pub struct Crowd {
    pub book: Rc<Book>,
    pub sky: Cell<Sky>,
    /// Results, errors, limited requests, connections that ended early with a good excuse.
    pub tally: Cell<CrowdTally>,
    pub left: Cell<u64>,
    /// The next client's, for the story.
    pub number: Cell<u64>,
    /// Worst one-way delay and least bandwidth between clients and node, for the deadline's slack.
    pub link: crate::world::Link,
    /// The limiter's book: (host, sent, answered, cost) of admitted requests.
    pub admitted: RefCell<Vec<(u16, u64, u64, u64)>>,
}

impl Crowd {
    pub fn new(book: Rc<Book>, sky: Sky, link: crate::world::Link) -> Rc<Crowd> {
        let (sky, tally, admitted) = (Cell::new(sky), Cell::default(), RefCell::default());
        Rc::new(Crowd { book, sky, tally, left: Cell::new(0), number: Cell::new(0), link, admitted })
    }
}

#[derive(Clone, Copy, Default, Debug)]
pub struct CrowdTally {
    pub results: u64,
    pub errors: u64,
    pub limited: u64,
    pub excused: u64,
    pub refused_connections: u64,
    pub filters: u64,
    /// Beyond the hold limit.
    pub long_replies: u64,
}

struct Pending {
    post: Post,
    /// Before its first byte was sent.
    began: Instant,
    /// When its last byte was taken.
    written: Instant,
    /// Its last byte was taken by the connection.
    whole: bool,
}

/// What a connection's writer and reader share.
#[derive(Default)]
struct Talk {
    waiting: RefCell<VecDeque<Pending>>,
    sent_all: Cell<bool>,
    left: Cell<bool>,
    writer: RefCell<Option<Waker>>,
    reader: RefCell<Option<Waker>>,
}

impl Talk {
    fn wake(slot: &RefCell<Option<Waker>>) {
        if let Some(waker) = slot.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// One client connection, from connect to close.
pub async fn client(world: Sim, node: SocketAddr, mut caller: Caller, manner: Manner, crowd: Rc<Crowd>) {
    let (mut draw, sim) = (caller.draw.fork(5), world.clone());
    let number = crowd.number.replace(crowd.number.get() + 1);
    world.say(|| format!("client {number} at host {} comes: {manner:?}", world.id().0));
    match world.connect(node).await {
        Ok(stream) => {
            let talk = Rc::new(Talk::default());
            let closer = stream.closer();
            let (read, write) = stream.split();
            if let Some((after, how)) = manner.leave {
                let (timer, talk, at) = (world.clone(), talk.clone(), world.now().plus_ms(after));
                world.spawn("client leaves", async move {
                    timer.sleep_until(at).await;
                    talk.left.set(true);
                    if how == Leave::Reset {
                        closer.abort()
                    } else {
                        closer.close()
                    }
                    Talk::wake(&talk.writer);
                    Talk::wake(&talk.reader);
                });
            }
            let filters = caller.filters.clone();
            let (timer, writers) = (world.clone(), talk.clone());
            world.spawn("client writes", async move { writer(number, timer, write, &mut caller, manner, writers).await });
            let opened = world.now();
            let mut reader = Reader {
                world,
                crowd: crowd.clone(),
                talk,
                manner,
                filters,
                chunks: http::Chunks::default(),
                opened,
                number,
                previous: Instant::ZERO,
            };
            reader.run(read, &mut draw).await;
        }
        Err(_) => crowd.count(|t| t.refused_connections += 1),
    }
    crowd.gone(&sim);
}

impl Crowd {
    /// One less; the last one ends the act.
    pub fn gone(&self, world: &Sim) {
        self.left.set(self.left.get() - 1);
        if self.left.get() == 0 {
            world.stop();
        }
    }

    fn count(&self, change: impl FnOnce(&mut CrowdTally)) {
        let mut tally = self.tally.get();
        change(&mut tally);
        self.tally.set(tally);
    }
}

async fn writer(
    number: u64,
    world: Sim,
    mut write: <SimStream as Duplex>::Write,
    caller: &mut Caller,
    manner: Manner,
    talk: Rc<Talk>,
) {
    for _ in 0..manner.posts {
        poll_fn(|cx| {
            if talk.left.get() || talk.waiting.borrow().len() < manner.depth {
                return Poll::Ready(());
            }
            *talk.writer.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        if manner.pause_ms > 0 {
            world.sleep_until(world.now().plus_ms(caller.draw.below(manner.pause_ms))).await;
        }
        if talk.left.get() {
            break;
        }
        let post = caller.post();
        let last = matches!(post.expect, PostExpect::Hopeless);
        let mut bytes = post.bytes.clone();
        let began = world.now();
        world.say(|| format!("client {number} sends {}", show(&post.bytes)));
        talk.waiting.borrow_mut().push_back(Pending { post, began, written: began, whole: false });
        let mut at = 0;
        while at < bytes.len() {
            let (outcome, slice) = write.write(bytes.slice(at..)).await;
            bytes = slice.into_inner();
            match outcome {
                Ok(n) => at += n,
                Err(_) => return talk.done(),
            }
        }
        if let Some(pending) = talk.waiting.borrow_mut().back_mut() {
            (pending.written, pending.whole) = (world.now(), true);
        }
        if last {
            break;
        }
    }
    if manner.half_close && !talk.left.get() {
        let _ = write.shutdown().await;
    }
    talk.done();
    // The write half lives as long as the reader: dropping both closes.
    poll_fn(|cx| {
        if talk.left.get() {
            return Poll::Ready(());
        }
        *talk.writer.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

impl Talk {
    fn done(&self) {
        self.sent_all.set(true);
        Talk::wake(&self.reader);
    }

    fn is_over(&self) -> bool {
        self.left.get() || (self.sent_all.get() && self.waiting.borrow().is_empty())
    }
}

struct Reader {
    world: Sim,
    crowd: Rc<Crowd>,
    talk: Rc<Talk>,
    manner: Manner,
    filters: Rc<RefCell<Vec<String>>>,
    chunks: http::Chunks,
    opened: Instant,
    number: u64,
    /// When the last reply was whole: later pipelined requests wait for it.
    previous: Instant,
}

impl Reader {
    async fn run(&mut self, mut read: <SimStream as Duplex>::Read, draw: &mut Rng) {
        let mut buf: Vec<u8> = Vec::with_capacity(16 * 1024);
        let mut ended = false;
        while !self.talk.is_over() && !ended {
            if self.manner.sip_ms > 0 {
                self.world.sleep_until(self.world.now().plus_ms(self.manner.sip_ms)).await;
            }
            if !self.wait(&mut read, Instant::NEVER).await {
                continue;
            }
            ended = self.sip(&mut read, &mut buf).await;
            if !self.take_answers(&mut buf, ended) {
                self.talk.left.set(true);
            }
        }
        if ended && !self.talk.left.get() {
            self.world.say(|| format!("client {} sees the end", self.number));
            self.judge_end(&buf);
        }
        if !ended && !self.talk.left.get() {
            // Nothing may follow the last reply.
            let until = self.world.now().plus_ms(draw.below(2_000));
            if self.wait(&mut read, until).await && !self.sip(&mut read, &mut buf).await {
                self.world.violation(format!("bytes after the last reply: {:?}", String::from_utf8_lossy(&buf)));
            }
        }
        self.talk.left.set(true);
        Talk::wake(&self.talk.writer);
    }

    /// Until something can be read; `false` when the client has nothing more to wait for, or `until` is over.
    async fn wait(&self, read: &mut <SimStream as Duplex>::Read, until: Instant) -> bool {
        let (mut readable, mut timer) = (pin!(read.readable()), pin!(self.world.sleep_until(until)));
        let ends_early = until == Instant::NEVER;
        poll_fn(|cx| {
            if readable.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            if (ends_early && self.talk.is_over()) || (!ends_early && timer.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(false);
            }
            *self.talk.reader.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Reads once; `true` at the end.
    async fn sip(&self, read: &mut <SimStream as Duplex>::Read, buf: &mut Vec<u8>) -> bool {
        // A slow reader becomes quick once it has shown its point: a megabyte in sips proves no more.
        let most = if buf.len() < 8_000 { self.manner.sip } else { 256 * 1024 };
        buf.reserve(most);
        let (from, to) = (buf.len(), buf.len() + most);
        let (outcome, slice) = read.read(std::mem::take(buf).slice_mut(from..to)).await;
        *buf = slice.into_inner();
        matches!(outcome, Ok(0) | Err(_))
    }

    /// Judges every whole answer in `buf`; `false` when this connection is beyond judging.
    fn take_answers(&mut self, buf: &mut Vec<u8>, ended: bool) -> bool {
        loop {
            let (answer, n) = match http::read(buf, ended, &mut self.chunks) {
                Read::NeedMore => return true,
                Read::Whole(answer, n) => (answer, n),
                Read::Bad(_) if ended => return true,
                Read::Bad(what) => {
                    self.world.violation(format!("no HTTP answer: {what}"));
                    return false;
                }
            };
            buf.drain(..n);
            self.world.say(|| format!("client {} gets {} {}", self.number, answer.status, show(&answer.body)));
            let pending = self.talk.waiting.borrow_mut().pop_front();
            let Some(pending) = pending else {
                self.world.violation(format!("an answer that nobody asked for: {answer:?}"));
                return false;
            };
            if !pending.whole
                && !matches!(pending.post.expect, PostExpect::Hopeless | PostExpect::Refusal(..))
                && answer.status < 400
            {
                self.world.violation(format!("a reply before the request was whole: {answer:?}"));
                return false;
            }
            self.in_time(&pending, answer.body.len());
            match check(&self.crowd.book, self.crowd.sky.get(), &pending.post, &answer, pending.began) {
                Ok(told) => self.count(&pending, told, answer.body.len()),
                Err(what) => {
                    self.world.violation(what);
                    return false;
                }
            }
            self.previous = self.world.now();
            Talk::wake(&self.talk.writer);
            if answer.closes {
                // What was pipelined behind it is not answered, and the client knows.
                self.talk.waiting.borrow_mut().clear();
                self.talk.done();
            }
        }
    }

    fn count(&self, pending: &Pending, told: Told, bytes: usize) {
        let now = self.world.now();
        self.world.note(told.results << 32 | told.errors);
        self.crowd.count(|t| t.filters += told.filters.len() as u64);
        self.crowd.count(|t| t.long_replies += u64::from(bytes > limits::HOLD_BYTES));
        self.filters.borrow_mut().extend(told.filters);
        if told.limited {
            self.crowd.count(|t| t.limited += 1);
        } else if pending.post.cost > 0 {
            let host = self.world.id().0;
            self.crowd.admitted.borrow_mut().push((host, pending.began.0, now.0, pending.post.cost));
        }
        self.crowd.count(|t| (t.results, t.errors) = (t.results + told.results, t.errors + told.errors));
    }

    /// A reply, or a refusal, by the deadline and the grain (and what the way there and back takes).
    fn in_time(&self, pending: &Pending, reply_bytes: usize) {
        let timeout_ms = match &pending.post.expect {
            PostExpect::Single(item) => item.timeout_ms,
            // Eight at a time, and each one's time begins with its turn.
            PostExpect::Batch(items) => {
                let longest = items.iter().map(|i| i.timeout_ms).max().unwrap_or(0);
                longest * items.len().div_ceil(limits::BATCH_PARALLEL) as u64
            }
            PostExpect::Refusal(..) => 0,
            PostExpect::Hopeless => return,
        };
        if self.manner.sip_ms > 0 || reply_bytes > limits::HOLD_BYTES {
            return;
        }
        let link = self.crowd.link;
        let step_us = link.latency_us + link.jitter_us;
        let bytes = (pending.post.bytes.len() + reply_bytes + 2_000) as u64;
        let trips = 8 + 2 * bytes / link.window as u64;
        let transfer_us = (2 * bytes * 1_000_000).checked_div(link.bandwidth).unwrap_or(0);
        let slack_ms = 200 + (trips * step_us + transfer_us) / 1000;
        let began = pending.written.max(self.previous);
        let took = self.world.now().since(began);
        let stalled = self.world.stalled_since(began);
        if took > Duration::from_millis(timeout_ms + slack_ms) + stalled {
            let what = format!("{} ms for a reply due in {timeout_ms} (+{slack_ms})", took.as_millis());
            self.world.violation(format!("{what}: {}", show(&pending.post.bytes)));
        }
    }

    /// The connection ended: with a reason, or with calls that nobody answered.
    fn judge_end(&self, rest: &[u8]) {
        let waiting = self.talk.waiting.borrow();
        if waiting.is_empty() && rest.is_empty() {
            return;
        }
        let sky = self.crowd.sky.get();
        // A streamed answer whose provider failed is ended without a valid end; it was announced as long, or in chunks.
        let head = http::find(rest, b"\r\n\r\n").map(|end| String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase());
        let length = head.as_deref().and_then(|h| h.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok());
        let streamed = head.is_some_and(|h| h.contains("chunked")) || length.is_some_and(|n: usize| n > limits::HOLD_BYTES);
        // A reset behind it takes with it what a slow client has not read yet.
        let long = |p: &Pending| matches!(&p.post.expect, PostExpect::Single(item) if item.key.0 == "eth_getLogs");
        let streamable = waiting.iter().any(long);
        // A client that takes its reply too slowly is ended by the node: at the write's limit, or idle in the node's view.
        let open_for = self.world.now().since(self.opened);
        let too_slow = self.manner.sip_ms > 0 && open_for >= Duration::from_millis(limits::CLIENT_WRITE_TIMEOUT_MS);
        if self.crowd.link.reset_ppm > 0 || ((streamed || streamable) && !sky.calm) || too_slow {
            return self.crowd.count(|t| t.excused += 1);
        }
        let first = waiting.front().map(|p| show(&p.post.bytes));
        self.world.violation(format!(
            "the connection ended with {} request(s) unanswered and {} bytes of a reply; the first: {first:?}",
            waiting.len(),
            rest.len()
        ));
    }
}

/// The beginning of it, for people.
fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).replace("\r\n", " | ")
}
