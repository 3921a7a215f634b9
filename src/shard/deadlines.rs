//! Deadlines by sweep. Every connection or attempt that must end in time has an entry here; a coarse sweep looks at all
//! of them, marks those whose time is over and shuts their socket down, so that the one pending read or write completes.
//!
//! Why no timer per read: a monoio timer costs 640 bytes and only fires when the shard parks, and a read must never be
//! dropped (world.rs). The price is the grain, `limits::SWEEP_MS`. The sweep runs from a task of its own and, when a
//! busy shard never parks, from the data path too.

use crate::base::limits;
use crate::base::time::Instant;
use crate::runtime::tls::Transport;
use crate::runtime::world::{Closer, Duplex, World};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

pub type ClientCloser<W> = <<W as World>::Stream as Duplex>::Closer;
pub type UpstreamCloser<W> = <Transport<<W as World>::Stream> as Duplex>::Closer;

/// Whoever waits for an attempt's answer.
pub enum Patron<W: World> {
    /// On a connection of one call at a time: a reset means that nobody waits, an end of file does not.
    Http(ClientCloser<W>),
    /// On a WebSocket, which is there until it is not.
    Socket(Rc<Cell<bool>>),
}

impl<W: World> Clone for Patron<W> {
    fn clone(&self) -> Self {
        match self {
            Patron::Http(closer) => Patron::Http(closer.clone()),
            Patron::Socket(is_gone) => Patron::Socket(is_gone.clone()),
        }
    }
}

impl<W: World> Patron<W> {
    fn is_gone(&self) -> bool {
        match self {
            Patron::Http(closer) => closer.is_reset(),
            Patron::Socket(is_gone) => is_gone.get(),
        }
    }

    /// Tells client connections of one shard apart.
    fn id(&self) -> usize {
        match self {
            Patron::Http(closer) => closer.id(),
            Patron::Socket(is_gone) => Rc::as_ptr(is_gone).addr(),
        }
    }
}

/// What became of a watched thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watched {
    Running,
    /// Its deadline passed.
    Late,
    /// The client reset its connection.
    ClientGone,
    /// The node is ending and this was idle.
    Drained,
}

struct Entry<W: World> {
    at: Instant,
    state: Watched,
    /// Waiting for nothing that a client is owed: may be ended when the node drains.
    idle: bool,
    waker: Option<Waker>,
    /// Closed when the deadline passes.
    upstream: Option<UpstreamCloser<W>>,
    client: Option<Patron<W>>,
    role: Role,
    since: Instant,
}

/// Whose time is watched: that decides what is closed when it is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// A client's connection: it is closed.
    Client,
    /// An attempt: its upstream connection is closed, and the client is only looked at for a reset.
    Attempt,
}

/// All watched things of one kind on one shard.
pub struct Deadlines<W: World> {
    entries: RefCell<Slab<Entry<W>>>,
    /// Woken when the first entry appears, so that an idle shard sweeps nothing.
    sweeper: RefCell<Option<Waker>>,
}

impl<W: World> Default for Deadlines<W> {
    fn default() -> Self {
        Deadlines { entries: RefCell::new(Slab::new()), sweeper: RefCell::new(None) }
    }
}

impl<W: World> Deadlines<W> {
    /// Watches a client's connection: `closer` is closed when its deadline passes. Lives as long as the returned `Watch`.
    pub fn watch_client(self: &Rc<Self>, now: Instant, at: Instant, closer: ClientCloser<W>) -> Watch<W> {
        self.insert(now, at, Some(Patron::Http(closer)), Role::Client)
    }

    /// Watches an attempt on behalf of `client`, who may reset meanwhile.
    pub fn watch_attempt(self: &Rc<Self>, now: Instant, at: Instant, client: Option<Patron<W>>) -> Watch<W> {
        self.insert(now, at, client, Role::Attempt)
    }

    fn insert(self: &Rc<Self>, now: Instant, at: Instant, client: Option<Patron<W>>, role: Role) -> Watch<W> {
        let mut entries = self.entries.borrow_mut();
        let first = entries.is_empty();
        let (state, idle, waker, upstream) = (Watched::Running, false, None, None);
        let key = entries.insert(Entry { at, state, idle, waker, upstream, client, role, since: now });
        drop(entries);
        if first && let Some(sweeper) = self.sweeper.borrow_mut().take() {
            sweeper.wake();
        }
        Watch { all: self.clone(), key }
    }

    pub fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// Resolves when there is something to sweep.
    pub async fn until_needed(&self) {
        poll_fn(|cx| {
            if !self.is_empty() {
                return Poll::Ready(());
            }
            *self.sweeper.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Ends what is late. With `resets_before`, also what began before that moment and whose client has reset.
    pub fn sweep(&self, now: Instant, resets_before: Option<Instant>) {
        for (_, entry) in self.entries.borrow_mut().iter_mut() {
            if entry.state != Watched::Running {
                continue;
            }
            if entry.at <= now {
                entry.end(Watched::Late);
            } else if resets_before.is_some_and(|t| entry.since < t) && entry.client.as_ref().is_some_and(Patron::is_gone) {
                entry.end(Watched::ClientGone);
            }
        }
    }

    /// Gives the room of a past peak back.
    pub fn trim(&self) {
        let mut entries = self.entries.borrow_mut();
        if entries.capacity() > 4 * (entries.len() + limits::HOT_SEATS) {
            entries.shrink_to_fit();
        }
    }

    /// Closes what is idle: the node is ending.
    pub fn drain_idle(&self) {
        for (_, entry) in self.entries.borrow_mut().iter_mut() {
            if entry.idle && entry.state == Watched::Running {
                entry.end(Watched::Drained);
            }
        }
    }

    /// Closes every connection here: the drain time is over.
    pub fn close_all(&self) {
        for (_, entry) in self.entries.borrow_mut().iter_mut() {
            entry.end(Watched::Drained);
        }
    }
}

impl<W: World> Entry<W> {
    fn end(&mut self, state: Watched) {
        self.state = state;
        if let Some(upstream) = &self.upstream {
            upstream.close();
        }
        if self.role == Role::Client
            && let Some(Patron::Http(client)) = &self.client
        {
            client.close();
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// One watched thing; dropping it ends the watch.
pub struct Watch<W: World> {
    all: Rc<Deadlines<W>>,
    key: usize,
}

impl<W: World> Watch<W> {
    fn with<R>(&self, f: impl FnOnce(&mut Entry<W>) -> R) -> Option<R> {
        self.all.entries.borrow_mut().get_mut(self.key).map(f)
    }

    pub fn state(&self) -> Watched {
        self.with(|e| e.state).unwrap_or(Watched::Late)
    }

    /// The connection of the client that waits for it, if that is one of this shard.
    pub fn patron_id(&self) -> Option<usize> {
        self.with(|e| e.client.as_ref().map(Patron::id)).flatten()
    }

    pub fn set_deadline(&self, at: Instant) {
        self.with(|e| (e.at, e.idle) = (at, false));
    }

    /// Goes on after one part of the work was late, if the whole is not: false when it is.
    pub fn revive(&self, at: Instant, now: Instant) -> bool {
        let revived = now < at && self.state() == Watched::Late;
        if revived {
            self.with(|e| (e.at, e.state, e.upstream) = (at, Watched::Running, None));
        }
        revived
    }

    /// Waits for a next request until `at`; may be drained meanwhile.
    pub fn set_idle(&self, at: Instant) {
        self.with(|e| (e.at, e.idle) = (at, true));
    }

    /// Closed from now on when the deadline passes; at once when it has.
    pub fn set_upstream(&self, closer: UpstreamCloser<W>) {
        self.with(|e| {
            if e.state != Watched::Running {
                closer.close();
            }
            e.upstream = Some(closer);
        });
    }

    /// Runs `work` until it is done or this watch ends; for work that may be dropped (connecting, waiting).
    pub async fn bound<T>(&self, work: impl Future<Output = T>) -> Result<T, Watched> {
        let mut work = std::pin::pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            let state = self.with(|e| {
                e.waker = Some(cx.waker().clone());
                e.state
            });
            match state {
                Some(Watched::Running) => Poll::Pending,
                ended => Poll::Ready(Err(ended.unwrap_or(Watched::Late))),
            }
        })
        .await
    }
}

impl<W: World> Drop for Watch<W> {
    fn drop(&mut self) {
        self.all.entries.borrow_mut().try_remove(self.key);
    }
}
