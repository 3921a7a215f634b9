//! Spans on their way from the shards to the thread that exports them.
//!
//! A bounded queue of fixed places: a shard that finds it full counts and goes on. It is touched for sampled exchanges only.

use crate::base::limits;
use crate::observe::spans::{Sampler, Span};
use crossbeam_queue::ArrayQueue;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub struct Spans {
    pub sampler: Sampler,
    queue: ArrayQueue<Span>,
    dropped: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
}

/// What became of all spans since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Taken by the collector.
    pub exported: u64,
    /// The queue was full.
    pub dropped: u64,
    /// The collector refused them, or could not be reached for too long.
    pub failed: u64,
}

impl Spans {
    pub fn new(sampler: Sampler, capacity: usize) -> Arc<Spans> {
        let queue = ArrayQueue::new(capacity.clamp(1, limits::SPANS_QUEUED_MAX));
        let (dropped, exported, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Spans { sampler, queue, dropped, exported, failed })
    }

    pub fn push(&self, span: Span) {
        if self.queue.push(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// At most `most` of them, the oldest first.
    pub fn take(&self, most: usize) -> Vec<Span> {
        std::iter::from_fn(|| self.queue.pop()).take(most).collect()
    }

    /// The exporter tells what became of a batch.
    pub fn count(&self, exported: u64, failed: u64) {
        self.exported.fetch_add(exported, Ordering::Relaxed);
        self.failed.fetch_add(failed, Ordering::Relaxed);
    }

    pub fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts { exported: of(&self.exported), dropped: of(&self.dropped), failed: of(&self.failed) }
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").field("sampler", &self.sampler).field("counts", &self.counts()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{EntryId, Transport};
    use crate::base::time::Instant;
    use crate::chain::method;
    use crate::observe::spans::{Attempt, What};

    #[test]
    fn a_full_queue_counts_what_it_loses() {
        let spans = Spans::new(Sampler::from_words(Some("always_on"), None).expect("a sampler"), 3);
        let attempt = Attempt { entry: EntryId(0), transport: Transport::Http, status: None, fault: None, is_answer: false };
        let (began, ended, what) = (Instant::ZERO, Instant::ZERO, What::Attempt(attempt));
        for id in 0..5 {
            spans.push(Span { trace: [1; 16], id: [id; 8], parent: None, method: method::UNKNOWN, began, ended, what });
        }
        assert_eq!(spans.take(2).iter().map(|span| span.id[0]).collect::<Vec<_>>(), [0, 1]);
        assert_eq!((spans.waiting(), spans.take(9).len(), spans.take(9).len()), (1, 1, 0));
        spans.count(2, 1);
        assert_eq!(spans.counts(), Counts { exported: 2, dropped: 2, failed: 1 });
    }
}
