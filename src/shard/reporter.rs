//! A shard's side of the epochs: one tally that everything is recorded in, sent up and exchanged for an empty one.
//!
//! What was recorded survives the shard: when it is dropped, also by unwinding, the last tally goes up as its last
//! report. Only a queue that is full at that very moment, eight epochs behind, loses it.

use crate::base::ids::ChannelId;
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::config::topology::Topology;
use crate::observe::category::Category;
use crate::observe::decision::Decision;
use crate::observe::report::{Event, Load, Report};
use crate::observe::tally::{Attempted, Tally};
use crate::runtime::reports::Lane;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

pub struct Reporter {
    lane: Arc<Lane>,
    producer: u16,
    tally: RefCell<Box<Tally>>,
    /// The number under which what is recorded now will go up.
    epoch: Cell<u64>,
    late_epochs: Cell<u64>,
    /// Attempts recorded since start, for the law that none is lost on the way up.
    recorded: Cell<u64>,
    last_sent: Cell<Instant>,
    /// Calls that ended since start, for the law that each is told of or counted.
    noted: Cell<u64>,
    /// Calls of a kind that one epoch tells people of.
    told_calls: usize,
    entries: usize,
    instances: usize,
}

impl Reporter {
    /// `told_calls_s`: calls of a kind that people are told of in a second.
    pub fn new(lane: Arc<Lane>, producer: u16, topology: &Topology, told_calls_s: u32, now: Instant) -> Reporter {
        let (entries, instances) = (topology.entries.len(), topology.instances.len());
        Reporter {
            tally: RefCell::new(Box::new(Tally::new(entries, instances))),
            epoch: Cell::new(lane.next_epoch()),
            late_epochs: Cell::new(0),
            recorded: Cell::new(0),
            last_sent: Cell::new(now),
            noted: Cell::new(0),
            told_calls: (u64::from(told_calls_s) * limits::EPOCH_MS).div_ceil(1000) as usize,
            lane,
            producer,
            entries,
            instances,
        }
    }

    pub fn record(&self, attempted: &Attempted) {
        self.recorded.set(self.recorded.get() + 1);
        self.tally.borrow_mut().record(attempted);
    }

    pub fn tell(&self, event: Event) {
        self.tally.borrow_mut().tell(event);
    }

    /// Tells people of a call, if this epoch has room for it.
    #[inline]
    pub fn decide(&self, is_trouble: bool, describe: impl FnOnce() -> Decision) {
        if self.told_calls > 0 {
            self.noted.set(self.noted.get() + 1);
            self.tally.borrow_mut().decide(is_trouble, self.told_calls, describe);
        }
    }

    pub fn blame(&self, channel: ChannelId, category: Category) {
        self.tally.borrow_mut().blame(channel, category);
    }

    pub fn suspect(&self, channel: ChannelId, category: Category) {
        self.tally.borrow_mut().suspect(channel, category);
    }

    pub fn refuse(&self, channel: ChannelId) {
        self.tally.borrow_mut().refuse(channel);
    }

    pub fn recorded(&self) -> u64 {
        self.recorded.get()
    }

    pub fn noted(&self) -> u64 {
        self.noted.get()
    }

    /// The epoch in which something that happens now is reported.
    pub fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    pub fn is_due(&self, now: Instant) -> bool {
        now.since(self.last_sent.get()) >= Duration::from_millis(limits::EPOCH_MS)
    }

    /// Sends the tally up and begins the next epoch. With a full queue the epoch goes on.
    pub fn send(&self, now: Instant, load: Load) {
        self.last_sent.set(now);
        if !self.lane.has_room() {
            self.late_epochs.set(self.late_epochs.get() + 1);
            return;
        }
        let empty = self.lane.take_empty().unwrap_or_else(|| Box::new(Tally::new(self.entries, self.instances)));
        let tally = self.tally.replace(empty);
        let load = Load { late_epochs: self.late_epochs.get(), ..load };
        let (producer, epoch) = (self.producer, self.epoch.get());
        let report = Report { producer, epoch, until: now, is_last: false, tally, load };
        if let Err(report) = self.lane.send(report) {
            // Only this producer fills the queue, and it had room.
            self.tally.replace(report.tally);
            return;
        }
        self.epoch.set(self.lane.next_epoch());
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        let tally = self.tally.replace(Box::new(Tally::new(0, 0)));
        let (producer, epoch) = (self.producer, self.epoch.get());
        let report = Report { producer, epoch, until: self.last_sent.get(), is_last: true, tally, load: Load::default() };
        drop(self.lane.send(report));
    }
}
