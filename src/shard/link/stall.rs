//! Whether a message that is under way comes along.
//!
//! Whatever a provider sends afterwards waits behind a message of which a part is still missing, so one that has stopped, or
//! comes in drops, holds up every call on its connection. It must bring so many bytes in each span of time, or end. Calls that
//! share a connection are not asked to wait for long: what is lost there is sent once more on a connection of its own, where
//! the span is that of a streamed answer over HTTP, so an answer that merely pauses is had all the same.
//! Rejected: a bound on the whole message (long answers over slow links are healthy), and any byte as progress (answers to
//! other calls that a stuck message swallows would keep it alive).

use crate::base::limits;
use crate::base::time::Instant;

/// How fast it must come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct MinRate {
    bytes: usize,
    each_ms: u64,
}

impl MinRate {
    /// On a connection that calls share.
    pub const SHARED: MinRate = MinRate { bytes: limits::UPSTREAM_BUFFER_BYTES, each_ms: limits::LINK_STALL_MS };
    /// Where nobody else waits behind it.
    pub const ALONE: MinRate = MinRate { bytes: limits::BODY_PROGRESS_BYTES, each_ms: limits::STREAM_STALL_MS };
}

#[derive(Clone, Copy, Debug)]
pub(super) struct StallTimer {
    rate: MinRate,
    /// A message has come in part: since then it must bring the next of these bytes.
    since: Option<Instant>,
    brought: usize,
    /// It was seen to be late once: what this node has not read yet may still be there.
    is_doubted: bool,
}

impl StallTimer {
    pub fn new(rate: MinRate) -> StallTimer {
        StallTimer { rate, since: None, brought: 0, is_doubted: false }
    }

    /// Holds for the message that is coming too.
    pub fn set_rate(&mut self, rate: MinRate) {
        self.rate = rate;
    }

    /// No message is under way.
    pub fn rest(&mut self) {
        self.since = None;
    }

    /// A message is under way of which `bytes` have just come; `is_new`: one has ended or nothing was read meanwhile, so its
    /// time begins now.
    pub fn on_bytes(&mut self, bytes: usize, is_new: bool, now: Instant) {
        self.brought += bytes;
        if is_new || self.since.is_none() || self.brought >= self.rate.bytes {
            (self.since, self.brought, self.is_doubted) = (Some(now), 0, false);
        }
    }

    /// A message has come in part.
    pub fn is_amid(&self) -> bool {
        self.since.is_some()
    }

    /// It stands still; asked again and again, it says so from the second time on.
    pub fn is_stuck(&mut self, now: Instant) -> bool {
        let is_late = self.since.is_some_and(|since| now >= since.plus_ms(self.rate.each_ms));
        std::mem::replace(&mut self.is_doubted, is_late) && is_late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO.plus_ms(ms)
    }

    /// The first moment, in steps of 10 ms, at which a message is found stuck of which `bytes` come every `each_ms`.
    fn stuck_after(rate: MinRate, bytes: usize, each_ms: u64) -> Option<u64> {
        let mut stall = StallTimer::new(rate);
        stall.on_bytes(bytes, true, at(0));
        (1..6_000).map(|step| step * 10).find(|ms| {
            if ms % each_ms == 0 {
                stall.on_bytes(bytes, false, at(*ms));
            }
            stall.is_stuck(at(*ms))
        })
    }

    #[test]
    fn what_comes_along_is_waited_for_and_drops_are_not() {
        let never = 1_000_000;
        assert_eq!(stuck_after(MinRate::SHARED, 100, never), Some(limits::LINK_STALL_MS + 10));
        assert_eq!(stuck_after(MinRate::ALONE, 100, never), Some(limits::STREAM_STALL_MS + 10));
        // Others' small answers, a hundred a second, are no progress.
        assert_eq!(stuck_after(MinRate::SHARED, 80, 10), Some(limits::LINK_STALL_MS + 10));
        for (rate, bytes, each_ms) in
            [(MinRate::SHARED, 5_000, 200), (MinRate::SHARED, 16_384, 900), (MinRate::ALONE, 65_536, 9_000)]
        {
            assert_eq!(stuck_after(rate, bytes, each_ms), None, "{bytes} every {each_ms} ms");
        }
    }

    #[test]
    fn time_counts_from_the_beginning_of_each_message() {
        let mut stall = StallTimer::new(MinRate::SHARED);
        for step in 0..100 {
            assert!(!stall.is_stuck(at(step * 500)) && !stall.is_stuck(at(step * 500 + 1)));
            stall.on_bytes(10, true, at(step * 500));
        }
        stall.rest();
        assert!(!stall.is_amid() && !stall.is_stuck(at(1_000_000)) && !stall.is_stuck(at(1_000_001)));
    }

    #[test]
    fn one_look_is_not_enough() {
        let mut stall = StallTimer::new(MinRate::SHARED);
        stall.on_bytes(10, true, at(0));
        assert!(!stall.is_stuck(at(5_000)), "this node may not have read for long");
        stall.on_bytes(limits::UPSTREAM_BUFFER_BYTES, false, at(5_001));
        assert!(!stall.is_stuck(at(6_000)));
        assert!(!stall.is_stuck(at(6_001)) && stall.is_stuck(at(6_010)));
    }
}
