//! Connections to one instance, kept by one shard: the most recently used is taken first, so that the surplus ages out.
//!
//! The bound is the instance's `max_connections` split over the shards. At the bound a call waits its turn (first come,
//! first served) until its attempt's deadline; it is not failed over, because the provider is not at fault. Nothing here
//! is shared between shards.

use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::route::exchange::ConnectionRule;
use crate::runtime::world::World;
use crate::shard::upstream_http::Upstream;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

pub struct Pool<W: World> {
    idle: RefCell<Vec<Upstream<W>>>,
    /// Connections that exist or are being made.
    open: Cell<u32>,
    limit: u32,
    waiting: RefCell<VecDeque<Rc<Turn>>>,
    /// Turns that were called and have not come yet; newcomers wait behind them.
    called: Cell<u32>,
}

/// A place in the queue for a connection.
#[derive(Default)]
struct Turn {
    called: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// The right to one connection of the pool; dropping it gives the right back.
pub struct Slot<W: World> {
    /// `None` once the connection went back to the pool, where it goes on to count.
    pool: Option<Rc<Pool<W>>>,
}

impl<W: World> Pool<W> {
    pub fn new(limit: u32) -> Rc<Pool<W>> {
        let (idle, waiting) = (RefCell::default(), RefCell::default());
        Rc::new(Pool { idle, open: Cell::new(0), limit: limit.max(1), waiting, called: Cell::new(0) })
    }

    /// An idle connection that `rule` allows and that is still quiet, with its slot.
    pub fn take(self: &Rc<Self>, rule: ConnectionRule, now: Instant) -> Option<(Upstream<W>, Slot<W>)> {
        if rule == ConnectionRule::New {
            return None;
        }
        loop {
            let mut candidate = self.idle.borrow_mut().pop()?;
            let idle_for = now.since(candidate.idle_since());
            let too_old = rule == ConnectionRule::RecentlyUsed && idle_for >= Duration::from_millis(limits::FRESH_IDLE_MS);
            if too_old {
                self.idle.borrow_mut().push(candidate);
                return None; // the rest is older still
            }
            if candidate.is_quiet() {
                return Some((candidate, Slot { pool: Some(self.clone()) }));
            }
            self.closed();
        }
    }

    /// The right to make a connection, if the bound allows; an idle one makes room.
    pub fn reserve(self: &Rc<Self>) -> Option<Slot<W>> {
        if self.open.get() >= self.limit {
            let oldest = {
                let mut idle = self.idle.borrow_mut();
                (!idle.is_empty()).then(|| idle.remove(0))
            };
            drop(oldest?);
            self.open.set(self.open.get() - 1);
        }
        self.open.set(self.open.get() + 1);
        Some(Slot { pool: Some(self.clone()) })
    }

    /// Whether others wait already: a newcomer then waits too, so that nobody is overtaken.
    pub fn has_queue(&self) -> bool {
        self.called.get() > 0 || !self.waiting.borrow().is_empty()
    }

    /// Waits for a turn; then a connection is idle or may be made. `false` when too many wait already.
    pub async fn wait(self: &Rc<Self>) -> bool {
        if self.waiting.borrow().len() >= limits::CONNECTION_WAITERS {
            return false;
        }
        let turn = Rc::new(Turn::default());
        self.waiting.borrow_mut().push_back(turn.clone());
        let place = Place { pool: self.clone(), turn };
        poll_fn(|cx| {
            if place.turn.called.get() {
                return Poll::Ready(());
            }
            *place.turn.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        place.come();
        true
    }

    /// Drops connections that ended while idle, or idled too long.
    pub fn sweep(&self, now: Instant) {
        let old = Duration::from_millis(limits::UPSTREAM_IDLE_MS);
        let mut dead = 0;
        self.idle.borrow_mut().retain_mut(|c| {
            let keep = now.since(c.idle_since()) < old && c.is_quiet();
            dead += u32::from(!keep);
            keep
        });
        (0..dead).for_each(|_| self.closed());
    }

    #[cfg(feature = "http2")]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    pub fn open(&self) -> u32 {
        self.open.get()
    }

    /// Calls everybody who waits: a connection has come, or none will.
    #[cfg(feature = "http2")]
    pub fn call_all(&self) {
        let waiting = self.waiting.borrow().len();
        (0..waiting).for_each(|_| self.call_next());
    }

    fn closed(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        self.call_next();
    }

    /// Calls who waits longest, if anybody does.
    pub fn call_next(&self) {
        let Some(turn) = self.waiting.borrow_mut().pop_front() else { return };
        turn.called.set(true);
        self.called.set(self.called.get() + 1);
        if let Some(waker) = turn.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// A turn that is waited for. Dropped before it came, it is passed on.
struct Place<W: World> {
    pool: Rc<Pool<W>>,
    turn: Rc<Turn>,
}

impl<W: World> Place<W> {
    fn come(self) {
        self.pool.called.set(self.pool.called.get() - 1);
        self.turn.called.set(false); // nothing is left to pass on
    }
}

impl<W: World> Drop for Place<W> {
    fn drop(&mut self) {
        if self.turn.called.get() {
            self.pool.called.set(self.pool.called.get() - 1);
            self.pool.call_next();
        } else {
            self.pool.waiting.borrow_mut().retain(|turn| !Rc::ptr_eq(turn, &self.turn));
        }
    }
}

impl<W: World> Slot<W> {
    /// The connection answered in full and may be used again. `buf` is what its next read goes into.
    pub fn give_back(mut self, mut connection: Upstream<W>, buf: Vec<u8>, now: Instant) {
        connection.rest(buf, now);
        if let Some(pool) = self.pool.take() {
            pool.idle.borrow_mut().push(connection);
            pool.call_next();
        }
    }
}

impl<W: World> Drop for Slot<W> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.closed();
        }
    }
}
