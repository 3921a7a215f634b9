//! How soon each feed announces a block, against the first that does: the figure that people compare providers by.

use super::feed::FeedId;
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::observe::report::FeedState;
use crate::stream::event::{BlockHash, Head};
use std::collections::{BTreeMap, HashMap, VecDeque};

#[derive(Default)]
struct Pacer {
    heads: u64,
    /// Exponential average over some eight blocks.
    delay_us: Option<u64>,
    last: Option<BlockHash>,
    told: FeedState,
}

#[derive(Default)]
pub struct Pace {
    feeds: BTreeMap<FeedId, Pacer>,
    first: HashMap<BlockHash, Instant>,
    /// The same, oldest first.
    order: VecDeque<BlockHash>,
    told_at: Option<Instant>,
}

impl Pace {
    pub fn on_head(&mut self, feed: FeedId, head: &Head, now: Instant) {
        let pacer = self.feeds.entry(feed).or_default();
        if pacer.last.replace(head.hash) == Some(head.hash) {
            return;
        }
        pacer.heads += 1;
        let Some(first) = self.first.get(&head.hash) else {
            self.first.insert(head.hash, now);
            self.order.push_back(head.hash);
            if self.order.len() > limits::PACE_BLOCKS
                && let Some(oldest) = self.order.pop_front()
            {
                self.first.remove(&oldest);
            }
            return pacer.add(0);
        };
        pacer.add(now.since(*first).as_micros() as u64);
    }

    /// What has changed since the last time, once a second. `subscriptions`: how many a feed has, nothing when it is gone.
    pub fn changed(&mut self, now: Instant, subscriptions: impl Fn(FeedId) -> Option<u32>) -> Vec<(FeedId, FeedState)> {
        let pause = Duration::from_millis(limits::IDLE_SWEEP_MS);
        if self.told_at.is_some_and(|at| now.since(at) < pause) {
            return Vec::new();
        }
        self.told_at = Some(now);
        let mut changed = Vec::new();
        for (feed, pacer) in &mut self.feeds {
            let has = subscriptions(*feed);
            let state = FeedState {
                is_connected: has.is_some_and(|count| count > 0),
                subscriptions: has.unwrap_or(0),
                heads: pacer.heads,
                delay_us: pacer.delay_us,
            };
            if std::mem::replace(&mut pacer.told, state) != state {
                changed.push((*feed, state));
            }
        }
        changed
    }
}

impl Pacer {
    fn add(&mut self, delay_us: u64) {
        self.delay_us = Some(self.delay_us.map_or(delay_us, |average| (7 * average + delay_us) / 8));
    }
}

#[cfg(test)]
mod tests {
    use super::super::feed::Mode;
    use super::*;
    use crate::base::ids::InstanceId;

    fn head(n: u8) -> Head {
        let hash = BlockHash([n; 32]);
        Head {
            number: n.into(),
            hash,
            parent: BlockHash([n - 1; 32]),
            bloom: None,
            gas_used: None,
            timestamp_s: None,
            fetched: false,
            payload: b"{}"[..].into(),
        }
    }

    #[test]
    fn the_first_to_announce_sets_the_pace() {
        let mut pace = Pace::default();
        let feed = |n| FeedId { mode: Mode::Subscribing, instance: InstanceId(n) };
        let at = |ms| Instant::ZERO.plus_ms(ms);
        pace.on_head(feed(0), &head(1), at(100));
        pace.on_head(feed(1), &head(1), at(180));
        pace.on_head(feed(1), &head(1), at(190));
        pace.on_head(feed(1), &head(2), at(200));
        pace.on_head(feed(0), &head(2), at(216));
        let changed = pace.changed(at(1_000), |of| (of == feed(0)).then_some(3));
        let state = |is_connected, subscriptions, delay_us| FeedState { is_connected, subscriptions, heads: 2, delay_us };
        assert_eq!(changed, [(feed(0), state(true, 3, Some(2_000))), (feed(1), state(false, 0, Some(70_000)))]);
        assert_eq!(pace.changed(at(1_500), |_| None), []);
        assert_eq!(pace.changed(at(2_000), |of| (of == feed(0)).then_some(3)), []);
        (3..200).for_each(|n| pace.on_head(feed(0), &head(n), at(3_000)));
        assert_eq!((pace.first.len(), pace.order.len()), (limits::PACE_BLOCKS, limits::PACE_BLOCKS));
    }
}
