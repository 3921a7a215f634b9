//! How fast letters become events in clients' queues: in slices, with whoever writes them in between, and paced by those who
//! read.
//!
//! A mailbox may hold thousands of letters, and one letter may go to thousands of clients. Taken at one go they would fill
//! the queues of clients that read as fast as they can, before anything was written to them. So after a slice the task that
//! takes letters stands back behind those that were woken by it; and while a client that reads has much waiting, no more
//! letters are taken: the mailbox fills, and the control thread tells no more than fits. Only letters wait; calls on the same
//! connections go on. Who stops reading is not waited for, and closed after some time, or when the queues of the shard have
//! grown to their bound together: the one that has stood still for the longest goes first (`stream::backlog` has the rules).
//! Rejected: a task for each client that fetches what it may take (a wake-up for each client and event is what this shard
//! spends most on anyway, and a slow one would need the history kept).
//! How it fails: while one client is waited for, all others of the shard wait too, some seconds at most.

use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::bell::Bell;
use crate::shard::socket::Socket;
use crate::stream::backlog::Patience;
use futures_util::future::select;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;

pub struct FanOut<W: World> {
    /// For whom much waits.
    crowd: RefCell<Vec<Rc<Socket<W>>>>,
    patience: Cell<Patience>,
    /// One of the crowd has taken most of it.
    eased: Bell,
    /// What all queues hold of events.
    pub held: Rc<Cell<usize>>,
    /// Long writes under way.
    bursts: Cell<usize>,
    /// From the letters' task to the one that stands behind everybody, and back.
    turn_asked: Bell,
    turn_came: Bell,
}

impl<W: World> FanOut<W> {
    pub fn new(now: Instant) -> FanOut<W> {
        FanOut {
            crowd: RefCell::default(),
            patience: Cell::new(Patience::new(now)),
            eased: Bell::default(),
            held: Rc::default(),
            bursts: Cell::default(),
            turn_asked: Bell::default(),
            turn_came: Bell::default(),
        }
    }

    /// Much waits for this one from now on.
    pub fn crowd(&self, socket: Rc<Socket<W>>) {
        self.crowd.borrow_mut().push(socket);
    }

    /// It is gone.
    pub fn forget(&self, socket: &Rc<Socket<W>>) {
        self.crowd.borrow_mut().retain(|one| !Rc::ptr_eq(one, socket));
    }

    /// Something has changed for those who are waited for.
    pub fn ease(&self) {
        self.eased.ring();
    }

    /// Whether one more long write may begin: their buffers have a bound.
    pub fn begin_burst(&self) -> bool {
        let may = self.bursts.get() < limits::POOLED_LONG_BUFFERS;
        self.bursts.set(self.bursts.get() + usize::from(may));
        may
    }

    pub fn end_burst(&self) {
        self.bursts.set(self.bursts.get().saturating_sub(1));
    }

    /// Resolves when every task that was ready has run.
    async fn turn(&self) {
        self.turn_asked.ring();
        self.turn_came.heard().await;
    }

    /// Whether anybody of the crowd is waited for.
    fn has_readers(&self, now: Instant) -> bool {
        let mut crowd = self.crowd.borrow_mut();
        crowd.retain(|socket| {
            let is_eased = socket.outbox.is_eased();
            if is_eased {
                socket.outbox.on_eased();
            }
            !is_eased
        });
        crowd.iter().any(|socket| socket.outbox.is_waited_for(now))
    }

    /// Letters were not taken until now.
    fn count_pause(&self, now: Instant) {
        let mut patience = self.patience.get();
        let time = patience.on_paused(now);
        self.patience.set(patience);
        let crowd = self.crowd.borrow();
        for socket in crowd.iter().filter(|socket| socket.outbox.is_waited_for(now)) {
            // When the shard's patience has ended, so has everybody's of those who used it up.
            let time = if patience.is_spent() { Duration::from_millis(limits::SOCKET_WAITED_MS) } else { time };
            socket.outbox.was_waited_for(time);
        }
    }

    fn is_patient(&self) -> bool {
        !self.patience.get().is_spent()
    }

    fn go_on(&self, now: Instant) {
        let mut patience = self.patience.get();
        patience.on_going(now);
        self.patience.set(patience);
    }
}

/// Stands behind everybody who is ready: a task that woke itself would be run again before the others.
pub async fn take_turns<W: World>(shard: Rc<Shard<W>>) {
    loop {
        shard.fan_out.turn_asked.heard().await;
        shard.fan_out.turn_came.ring();
    }
}

impl<W: World> Shard<W> {
    /// Between two slices of events.
    pub(super) async fn let_write(&self) {
        self.fan_out.turn().await;
        let mut now = self.now();
        self.fan_out.go_on(now);
        while self.must_pause(now) {
            let due = pin!(self.world.sleep_until(now.plus_ms(limits::SWEEP_MS)));
            select(pin!(self.fan_out.eased.heard()), due).await;
            now = self.now();
            self.fan_out.count_pause(now);
        }
    }

    fn must_pause(&self, now: Instant) -> bool {
        let is_full = self.relieve(now);
        (is_full || self.fan_out.has_readers(now)) && self.fan_out.is_patient()
    }

    /// Keeps all queues within their bound together; true while those that fill it are being read.
    fn relieve(&self, now: Instant) -> bool {
        while self.fan_out.held.get() > limits::QUEUES_BYTES {
            let sockets: Vec<Rc<Socket<W>>> = self.sockets.borrow().iter().map(|(_, socket)| socket.clone()).collect();
            let still = sockets.iter().filter_map(|socket| Some((socket.outbox.still(now)?, socket)));
            let Some((still, socket)) = still.max_by_key(|(still, _)| *still) else { return false };
            if still < Duration::from_millis(limits::SOCKET_WAITED_MS) && self.fan_out.is_patient() {
                return true;
            }
            socket.close_slow(now);
        }
        false
    }

    /// A deliberate bug: what we put into a queue is held against the client.
    pub(super) fn counts_bursts(&self) -> bool {
        W::FAULTS && self.fault == super::Fault::BurstIsSlow
    }
}
