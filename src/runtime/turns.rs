//! One call at a time, node-wide, to each channel whose circuit is not closed.
//!
//! While a chain has nobody else its calls go to such a channel one after another: one call finds out how it is and the others
//! of all shards wait behind it. A turn is one word per channel: the moment up to which its holder may keep it. It is taken by
//! exchanging that word, so nobody waits for a lock; a holder that is gone without a word, because its shard panicked, keeps
//! nobody out for longer than it might have taken itself. Rejected: permits leased by the aggregator, of which each cost an
//! epoch, so that a chain that had come back served ten calls a second.

use crate::base::ids::{ChannelId, Id};
use crate::base::time::Instant;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// By channel: 0 when free, else until when it is taken.
#[derive(Debug)]
pub struct Turns(Box<[AtomicU64]>);

impl Turns {
    pub fn new(channels: usize) -> Arc<Turns> {
        Arc::new(Turns((0..channels).map(|_| AtomicU64::new(0)).collect()))
    }

    /// The turn at `channel` until `until`; `None` while another call has it.
    pub fn take(self: &Arc<Self>, channel: ChannelId, now: Instant, until: Instant) -> Option<DarkTurn> {
        let place = self.0.get(channel.index())?;
        let held = place.load(Ordering::Acquire);
        let mark = until.0.max(1);
        let is_free = held == 0 || held <= now.0;
        let is_taken = is_free && place.compare_exchange(held, mark, Ordering::AcqRel, Ordering::Acquire).is_ok();
        is_taken.then(|| DarkTurn { turns: self.clone(), channel, mark })
    }
}

/// The right to send one call; dropping it lets the next one go.
#[derive(Debug)]
pub struct DarkTurn {
    turns: Arc<Turns>,
    channel: ChannelId,
    mark: u64,
}

impl DarkTurn {
    pub fn channel(&self) -> ChannelId {
        self.channel
    }
}

impl Drop for DarkTurn {
    fn drop(&mut self) {
        if let Some(place) = self.turns.0.get(self.channel.index()) {
            // Another call's by now, if this one took too long: then it stays.
            let _ = place.compare_exchange(self.mark, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO.plus_ms(ms)
    }

    #[test]
    fn one_at_a_time_and_nobody_for_ever() {
        let turns = Turns::new(2);
        let first = turns.take(ChannelId(0), at(1), at(100)).expect("free");
        assert_eq!(first.channel(), ChannelId(0));
        assert!(turns.take(ChannelId(0), at(2), at(100)).is_none());
        let other = turns.take(ChannelId(1), at(2), at(100)).expect("of another channel");
        drop(first);
        let second = turns.take(ChannelId(0), at(3), at(50)).expect("given back");
        let third = turns.take(ChannelId(0), at(50), at(90)).expect("it took too long");
        drop(second);
        assert!(turns.take(ChannelId(0), at(51), at(90)).is_none(), "a late drop takes nothing from its successor");
        drop((third, other));
        assert!(turns.take(ChannelId(7), at(1), at(2)).is_none(), "no such channel");
    }

    #[test]
    fn of_many_threads_one_has_it() {
        let turns = Turns::new(1);
        let most = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if let Some(turn) = turns.take(ChannelId(0), at(1), at(1_000)) {
                            assert_eq!(most.fetch_add(1, Ordering::AcqRel), 0);
                            most.fetch_sub(1, Ordering::AcqRel);
                            drop(turn);
                        }
                    }
                });
            }
        });
    }
}
