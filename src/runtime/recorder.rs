//! Sampled calls on their way from the shards to the thread that writes them to a file.
//!
//! A bounded queue of fixed places, like that of spans: a shard that finds it full counts and goes on. What calls' parameters
//! weigh has a bound of its own. Once the file takes no more, shards stop sampling, which they see by one flag.

use crate::base::limits;
use crate::base::rng::Rng;
use crate::observe::sampled::Sample;
use crate::runtime::flag::Flag;
use crossbeam_queue::ArrayQueue;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub struct Recorder {
    per_million: u64,
    /// Parameters are wanted too.
    pub with_params: bool,
    queue: ArrayQueue<Sample>,
    params_bytes: AtomicU64,
    lost: AtomicU64,
    is_over: Flag,
}

impl Recorder {
    /// `per_million`: so many of a million calls are sampled.
    pub fn new(per_million: u64, with_params: bool) -> Arc<Recorder> {
        let queue = ArrayQueue::new(limits::RECORD_QUEUED);
        let (params_bytes, lost, is_over) = (AtomicU64::new(0), AtomicU64::new(0), Flag::default());
        Arc::new(Recorder { per_million, with_params, queue, params_bytes, lost, is_over })
    }

    /// Whether the next call is one to write down. Where all are, nothing is drawn.
    #[inline]
    pub fn takes(&self, rng: &mut Rng) -> bool {
        !self.is_over.is_raised() && (self.per_million >= 1_000_000 || rng.chance(self.per_million))
    }

    /// Probes are written down while the file takes anything.
    pub fn is_on(&self) -> bool {
        !self.is_over.is_raised()
    }

    pub fn push(&self, sample: Sample) {
        let bytes = sample.params_bytes();
        let waiting = self.params_bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting + bytes > limits::RECORD_QUEUED_BYTES || self.queue.push(sample).is_err() {
            self.params_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// At most `most` of them, the oldest first.
    pub fn take(&self, most: usize) -> Vec<Sample> {
        let taken: Vec<Sample> = std::iter::from_fn(|| self.queue.pop()).take(most).collect();
        let bytes = taken.iter().map(Sample::params_bytes).sum();
        self.params_bytes.fetch_sub(bytes, Ordering::Relaxed);
        taken
    }

    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Those that found no room, since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The file takes no more.
    pub fn end(&self) {
        self.is_over.raise();
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("per_million", &self.per_million).field("lost", &self.lost()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ChannelId;
    use crate::base::time::Instant;
    use crate::observe::sampled::SampledProbe;

    fn sample() -> Sample {
        Sample::Probe(SampledProbe { ended: Instant::ZERO, channel: ChannelId(0), is_behind: false, outcome: Err("timeout") })
    }

    #[test]
    fn a_full_queue_counts_what_it_loses() {
        let recorder = Recorder::new(1_000_000, false);
        (0..limits::RECORD_QUEUED + 3).for_each(|_| recorder.push(sample()));
        assert_eq!((recorder.lost(), recorder.waiting()), (3, limits::RECORD_QUEUED));
        assert_eq!(recorder.take(usize::MAX).len(), limits::RECORD_QUEUED);
        assert_eq!(recorder.waiting(), 0);
    }

    #[test]
    fn a_share_is_taken_until_the_end() {
        let (recorder, mut rng) = (Recorder::new(250_000, false), Rng::new(3));
        let taken = (0..10_000).filter(|_| recorder.takes(&mut rng)).count();
        assert!((2_300..2_700).contains(&taken), "{taken}");
        recorder.end();
        assert!(!recorder.takes(&mut rng) && !recorder.is_on());
    }
}
