//! The way up: each producer has a lane to the aggregator, a bounded queue of filled reports and one of empty tallies that
//! come back.
//!
//! Neither side ever waits. A producer that finds its queue full keeps what it has and goes on counting into it: late,
//! never lost. The numbers of epochs live here and not in the producer, so that they go on when it is started again.

use crate::observe::report::Report;
use crate::observe::tally::Tally;
use crossbeam_queue::ArrayQueue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::limits;

/// One producer's lane.
pub struct Lane {
    filled: ArrayQueue<Report>,
    empty: ArrayQueue<Box<Tally>>,
    epoch: AtomicU64,
}

impl Lane {
    pub fn new() -> Arc<Lane> {
        let filled = ArrayQueue::new(limits::REPORT_QUEUE);
        Arc::new(Lane { filled, empty: ArrayQueue::new(limits::REPORT_QUEUE), epoch: AtomicU64::new(1) })
    }

    /// The number of the producer's next epoch.
    pub fn next_epoch(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::Relaxed)
    }

    /// There is room for a report. Only the producer fills the queue, so it stays true until it sends.
    pub fn has_room(&self) -> bool {
        !self.filled.is_full()
    }

    /// Gives the report back when the queue is full.
    #[expect(clippy::result_large_err, reason = "ten times a second, and hardly ever an error")]
    pub fn send(&self, report: Report) -> Result<(), Report> {
        self.filled.push(report)
    }

    pub fn take_empty(&self) -> Option<Box<Tally>> {
        self.empty.pop()
    }

    /// The aggregator's side: the oldest report.
    pub fn receive(&self) -> Option<Report> {
        self.filled.pop()
    }

    /// Gives an emptied tally back; one too many is dropped.
    pub fn give_back(&self, tally: Box<Tally>) {
        drop(self.empty.push(tally));
    }
}
