//! HTTP/2 connections to one instance, shared by one shard's calls: few, filled one after the other.
//!
//! A call takes a lane (the right to one stream) of the first connection with room; the surplus ages out. Only one
//! connection is made at a time, or a burst of calls would make one each before the first is there to be shared; the
//! others wait in the pool's queue. Each connection holds one of the pool's slots for as long as it lives, so the
//! instance's bound holds whatever is spoken.
//!
//! What TLS chose is remembered: with HTTP/1.1 everything is as if this were not here. A connection on which a call
//! timed out, and silent since, gets no new ones until it gives a sign of life; without one it is closed.

use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::config::topology::{Endpoint, Http2, Instance};
use crate::route::exchange::ConnectionRule;
use crate::runtime::http2::{self, AnswerFields, CallHead, Driver, Session, StreamFault};
use crate::runtime::world::{Closer, Duplex, World};
use crate::shard::deadlines::{UpstreamCloser, Watch, Watched};
use crate::shard::dial::ConnectFault;
use crate::shard::pool::{Pool, Slot};
use crate::shard::target::call_fields;
use crate::shard::upstream_http::Link;
use crate::wire::http::{AnswerHead, HttpFault, answer_of_fields};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Spoken {
    Unknown,
    Http1,
    Http2,
}

pub struct Lanes<W: World> {
    connections: RefCell<Vec<Rc<Connection<W>>>>,
    /// Retired ones, until they are over.
    leaving: RefCell<Vec<Rc<Connection<W>>>>,
    head: Rc<CallHead>,
    prior_knowledge: bool,
    spoken: Cell<Spoken>,
    connecting: Cell<bool>,
    /// How often a connection could not be made, and why the last time.
    failures: Cell<u64>,
    last_fault: RefCell<Option<ConnectFault>>,
}

struct Connection<W: World> {
    session: Rc<Session>,
    closer: UpstreamCloser<W>,
    pool: Rc<Pool<W>>,
    streams: Cell<usize>,
    /// Streams of ours that were given up.
    resets: Cell<u32>,
    /// Its end was held against the provider, once for whatever it carried.
    is_told: Cell<bool>,
    used_at: Cell<Instant>,
    /// What had arrived when a call timed out.
    doubted: Cell<Option<u64>>,
    /// When a sign of life was asked for, and what had arrived then.
    pinged: Cell<Option<(Instant, u64)>>,
}

/// Whether HTTP/2 may be spoken with this provider. Not by `auto`: against nginx, CPU per call is the same up to answers of
/// 10 KB and 1.5 to 1.7 times HTTP/1.1's at 1 MB (frames are copied once more), and a connection's end ends many calls.
pub fn is_offered(instance: &Instance) -> bool {
    instance.http2 == Http2::On
}

impl<W: World> Lanes<W> {
    /// `None`: nothing but HTTP/1.1 is spoken with this instance.
    pub fn new(instance: &Instance, endpoint: &Endpoint) -> Option<Lanes<W>> {
        if !is_offered(instance) {
            return None;
        }
        let (scheme, fields) = (if endpoint.tls { "https" } else { "http" }, call_fields(endpoint, instance));
        let head = CallHead::new(scheme, &endpoint.authority(), &endpoint.path, fields.into_iter())?;
        Some(Lanes {
            connections: RefCell::default(),
            leaving: RefCell::default(),
            head: Rc::new(head),
            prior_knowledge: !endpoint.tls,
            spoken: Cell::new(if endpoint.tls { Spoken::Unknown } else { Spoken::Http2 }),
            connecting: Cell::new(false),
            failures: Cell::new(0),
            last_fault: RefCell::default(),
        })
    }

    /// A stream on a connection that `rule` allows.
    pub fn take(&self, rule: ConnectionRule, now: Instant) -> Option<Lane<W>> {
        self.sort_out();
        let connections = self.connections.borrow();
        let connection = connections.iter().find(|c| c.has_room() && c.is_fresh(rule, now))?;
        connection.streams.set(connection.streams.get() + 1);
        connection.used_at.set(now);
        let is_reused = rule != ConnectionRule::New;
        Some(Lane { connection: connection.clone(), head: self.head.clone(), is_reused })
    }

    /// Moves away what takes no new calls.
    fn sort_out(&self) {
        let gone = |c: &mut Rc<Connection<W>>| c.resets.get() >= limits::H2_RESETS || !c.session.is_open();
        let gone: Vec<_> = self.connections.borrow_mut().extract_if(.., gone).collect();
        gone.iter().for_each(|c| c.session.retire());
        self.leaving.borrow_mut().extend(gone);
    }

    /// Whether a connection may be made: not while another call makes one, nor when there are enough. For a rule that those
    /// which exist do not meet, the longest silent one makes room.
    pub fn may_connect(&self, pool: &Pool<W>, rule: ConnectionRule) -> bool {
        if self.spoken.get() == Spoken::Http1 {
            return true;
        }
        if self.connecting.get() {
            return false;
        }
        let is_enough = || self.connections.borrow().len() >= limits::H2_CONNECTIONS.min(pool.limit() as usize);
        if is_enough() && rule != ConnectionRule::Pooled {
            self.retire_silent();
        }
        !is_enough()
    }

    fn retire_silent(&self) {
        let mut connections = self.connections.borrow_mut();
        let silent = (0..connections.len()).min_by_key(|i| connections.get(*i).map(|c| c.session.last_arrival()));
        let retired = silent.map(|i| connections.remove(i));
        retired.iter().for_each(|c| c.session.retire());
        self.leaving.borrow_mut().extend(retired);
    }

    /// The turn to make one.
    pub fn turn<'a>(&'a self, pool: &'a Rc<Pool<W>>) -> Turn<'a, W> {
        let counts = self.spoken.get() != Spoken::Http1;
        self.connecting.set(counts);
        Turn { lanes: self, pool, counts }
    }

    pub fn failures(&self) -> u64 {
        self.failures.get()
    }

    /// Why no connection could be made since `failures` were counted: whoever waited for it need not try again.
    pub fn fault_since(&self, failures: u64) -> Option<ConnectFault> {
        if self.failures.get() == failures { None } else { self.last_fault.borrow().clone() }
    }

    /// A fresh connection speaks HTTP/2: by what TLS chose, or because the configuration says so.
    pub fn is_spoken_on(&self, link: &Link<W>) -> bool {
        use crate::runtime::tls::Transport;
        let is_http2 = match link {
            Transport::Plain(_) => self.prior_knowledge,
            Transport::Tls(stream) => stream.is_http2(),
        };
        self.spoken.set(if is_http2 { Spoken::Http2 } else { Spoken::Http1 });
        is_http2
    }

    /// Begins HTTP/2 on `link`, waits for the provider's greeting, and takes the first lane. Until then nothing of a call
    /// was sent, so a provider that speaks something else costs nobody an answer.
    pub async fn begin(&self, world: &W, link: Link<W>, slot: Slot<W>, pool: &Rc<Pool<W>>) -> Result<Lane<W>, ConnectFault> {
        let closer = link.closer();
        let clock = world.clone();
        let (session, driver) = http2::open(link, move || clock.now()).ok_or(ConnectFault::NoHttp2)?;
        let ending = Ending { closer: closer.clone(), is_begun: Cell::new(false) };
        world.spawn("HTTP/2 connection", drive(driver, slot));
        if !session.greeted().await {
            return Err(ConnectFault::NoHttp2);
        }
        ending.is_begun.set(true);
        let (streams, used_at) = (Cell::new(1), Cell::new(world.now()));
        let (resets, is_told) = (Cell::new(0), Cell::new(false));
        let (doubted, pinged, pool) = (Cell::new(None), Cell::new(None), pool.clone());
        let connection = Rc::new(Connection { session, closer, pool, streams, resets, is_told, used_at, doubted, pinged });
        self.connections.borrow_mut().push(connection.clone());
        Ok(Lane { connection, head: self.head.clone(), is_reused: false })
    }

    /// What time asks: signs of life, and the end of what idles or is dead.
    pub fn beat(&self, now: Instant) {
        self.sort_out();
        let idle = Duration::from_millis(limits::UPSTREAM_IDLE_MS);
        let is_idle = |c: &mut Rc<Connection<W>>| c.streams.get() == 0 && now.since(c.used_at.get()) >= idle;
        let retired: Vec<_> = self.connections.borrow_mut().extract_if(.., is_idle).collect();
        retired.iter().for_each(|c| c.session.retire());
        let mut leaving = self.leaving.borrow_mut();
        leaving.extend(retired);
        leaving.retain(|c| !c.session.is_over());
        let connections = self.connections.borrow();
        connections.iter().chain(leaving.iter()).for_each(|c| c.beat(now));
        // Room that came without a call's end: the provider allows more, or gave a sign of life.
        if let Some(roomy) = connections.iter().find(|c| c.has_room()) {
            roomy.pool.call_all();
        }
    }
}

/// The turn to make a connection. When it ends, however it does, those who wait look again.
pub struct Turn<'a, W: World> {
    lanes: &'a Lanes<W>,
    pool: &'a Rc<Pool<W>>,
    counts: bool,
}

impl<W: World> Turn<'_, W> {
    pub fn failed(&self, fault: &ConnectFault) {
        if self.counts && !matches!(fault, ConnectFault::Late | ConnectFault::ClientGone) {
            self.lanes.failures.set(self.lanes.failures.get() + 1);
            *self.lanes.last_fault.borrow_mut() = Some(fault.clone());
        }
    }
}

impl<W: World> Drop for Turn<'_, W> {
    fn drop(&mut self) {
        if self.counts {
            self.lanes.connecting.set(false);
            self.pool.call_all();
        }
    }
}

/// Closes a connection that was given up before it was greeted: its driver would wait for ever.
struct Ending<C: Closer> {
    closer: C,
    is_begun: Cell<bool>,
}

impl<C: Closer> Drop for Ending<C> {
    fn drop(&mut self) {
        if !self.is_begun.get() {
            self.closer.close();
        }
    }
}

/// Holds the connection's slot for as long as it lives.
async fn drive<W: World>(mut driver: Driver, slot: Slot<W>) {
    let in_order = poll_fn(|cx| driver.poll(cx)).await;
    drop((driver, slot));
    assert!(in_order, "the HTTP/2 code panicked; its connection is gone");
}

impl<W: World> Connection<W> {
    fn has_room(&self) -> bool {
        let is_doubted = self.doubted.get().is_some_and(|arrived| arrived == self.session.arrived());
        !is_doubted && self.streams.get() < limits::H2_STREAMS && self.session.has_room(self.streams.get())
    }

    /// Here the age of a connection is how long it has been silent.
    fn is_fresh(&self, rule: ConnectionRule, now: Instant) -> bool {
        let silent = now.since(self.session.last_arrival());
        match rule {
            ConnectionRule::Pooled => true,
            ConnectionRule::RecentlyUsed | ConnectionRule::New => silent < Duration::from_millis(limits::FRESH_IDLE_MS),
        }
    }

    /// A call timed out on it.
    fn doubt(&self) {
        self.doubted.set(Some(self.session.arrived()));
        self.session.ping();
    }

    fn beat(&self, now: Instant) {
        let (arrived, silent) = (self.session.arrived(), now.since(self.session.last_arrival()));
        match self.pinged.get() {
            Some((_, before)) if before != arrived => self.pinged.set(None),
            Some((at, _)) if now.since(at) >= Duration::from_millis(limits::H2_PONG_MS) => self.closer.close(),
            Some(_) => {}
            None if silent >= Duration::from_millis(limits::H2_PING_MS) || self.doubted.get() == Some(arrived) => {
                self.session.ping();
                self.pinged.set(Some((now, arrived)));
            }
            None => {}
        }
    }
}

/// The right to one stream; dropping it gives the right back.
pub struct Lane<W: World> {
    connection: Rc<Connection<W>>,
    head: Rc<CallHead>,
    /// The connection was there, and this is no call that is sent again.
    is_reused: bool,
}

impl<W: World> Drop for Lane<W> {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.streams.set(connection.streams.get() - 1);
        connection.pool.call_next();
    }
}

/// One call on its stream. Dropped before the answer's end, the stream is reset; the connection goes on.
pub struct Stream<W: World> {
    // Before the lane: the stream is over when its place is given on.
    stream: http2::Stream,
    lane: Lane<W>,
    is_done: bool,
}

impl<W: World> Drop for Stream<W> {
    fn drop(&mut self) {
        if !self.is_done {
            let resets = &self.lane.connection.resets;
            resets.set(resets.get().saturating_add(1));
        }
    }
}

/// Why there is no (whole) answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failed {
    /// The provider did not look at the call, or it was not sent.
    NotTaken,
    /// Reset, or the watch ended: that knows.
    Lost,
    /// The connection is gone. `is_told`: that says nothing more about the provider.
    Gone {
        is_told: bool,
    },
    Malformed(HttpFault),
}

impl<W: World> Stream<W> {
    /// Sends `body` and waits for the answer's head and its Retry-After.
    pub async fn call(
        lane: Lane<W>,
        added: &[(&str, &[u8])],
        body: Vec<u8>,
        watch: &Watch<W>,
    ) -> Result<(Stream<W>, AnswerHead, Box<[u8]>), Failed> {
        let stream = lane.connection.session.send(&lane.head, added, body);
        let mut call = Stream { stream: stream.ok_or(Failed::NotTaken)?, lane, is_done: false };
        let fields = watch.bound(call.stream.head()).await;
        // A connection that was there may end just as a call is written, as over HTTP/1.1.
        let fields: AnswerFields = call.seen(fields, call.lane.is_reused)?;
        let head = answer_of_fields(fields.status, fields.iter()).map_err(Failed::Malformed)?;
        let retry_after = fields.iter().find(|(name, _)| *name == b"retry-after").map(|(_, value)| value.into());
        Ok((call, head, retry_after.unwrap_or_default()))
    }

    /// Appends what has come to `buf`, within its capacity; `true`: that was all.
    pub async fn read(&mut self, buf: &mut Vec<u8>, watch: &Watch<W>) -> Result<bool, Failed> {
        let read = watch.bound(self.stream.read(buf)).await;
        let read = self.seen(read, false);
        self.is_done |= read == Ok(true);
        read
    }

    /// `is_excused`: if the connection is gone, that may be anybody's.
    fn seen<T>(&self, got: Result<Result<T, StreamFault>, Watched>, is_excused: bool) -> Result<T, Failed> {
        match got {
            Ok(Ok(got)) => Ok(got),
            Ok(Err(StreamFault::NotTaken)) => Err(Failed::NotTaken),
            Ok(Err(StreamFault::Lost)) => Err(Failed::Lost),
            Ok(Err(StreamFault::Gone)) => Err(Failed::Gone { is_told: is_excused || self.lane.connection.is_told.replace(true) }),
            Err(Watched::Late) => {
                self.lane.connection.doubt();
                Err(Failed::Lost)
            }
            Err(_) => Err(Failed::Lost),
        }
    }
}
