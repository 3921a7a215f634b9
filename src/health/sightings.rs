//! What feeds announced lately: the hashes of a chain's last heads with their heights and announcers, and how high each
//! provider was when it last spoke.
//!
//! An application that is told of a block asks for it at once, before the next poll of anybody's height. Who announced a
//! block has it, or is the first to have it; everybody else may answer that there is none. What this node itself has told
//! of is promised for a while: nobody's "there is none" is believed at the first try. Kept by each shard, fed before the event
//! goes to its clients, so whoever was told finds it here. Rejected: waiting for the next snapshot (a tenth of a second, in
//! which nearly every such call comes).
//! How it fails: a head that was fetched and not announced is unknown here, so a look-up of it goes by the usual order.

use crate::base::ids::InstanceId;
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use arrayvec::ArrayVec;
use std::collections::{BTreeMap, HashMap, VecDeque};

pub type HashBytes = [u8; 32];

/// One head that was announced.
#[derive(Clone, Debug)]
pub struct Sighting {
    pub height: u64,
    /// The first announcers; more are not needed.
    pub by: ArrayVec<InstanceId, { limits::ANNOUNCERS }>,
    at: Instant,
}

/// Those of one chain.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    by_hash: HashMap<HashBytes, Sighting>,
    /// Oldest first.
    order: VecDeque<HashBytes>,
    heights: BTreeMap<InstanceId, (u64, Instant)>,
    /// Heights that clients were told of, rising, and when.
    told: VecDeque<(u64, Instant)>,
}

impl Sightings {
    /// A feed of `instance` announced a head.
    pub fn on_head(&mut self, instance: InstanceId, hash: HashBytes, height: u64, now: Instant) {
        self.heights.insert(instance, (height, now));
        self.tell(height, now);
        if let Some(sighting) = self.by_hash.get_mut(&hash) {
            if !sighting.by.contains(&instance) {
                let _full = sighting.by.try_push(instance);
            }
            return;
        }
        if self.order.len() >= limits::ANNOUNCED_HEADS
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_hash.remove(&oldest);
        }
        self.order.push_back(hash);
        self.by_hash.insert(hash, Sighting { height, by: [instance].into_iter().collect(), at: now });
    }

    /// A client was given this height of `instance` as the newest.
    pub fn on_served(&mut self, instance: InstanceId, height: u64, now: Instant) {
        self.heights.insert(instance, (height, now));
        self.tell(height, now);
    }

    fn tell(&mut self, height: u64, now: Instant) {
        // After a chain has fallen back, its old heights are nobody's promise.
        while self.told.back().is_some_and(|(told, _)| *told > height.saturating_add(limits::HEAD_SLACK_BLOCKS)) {
            self.told.pop_back();
        }
        if self.told.back().is_none_or(|(told, _)| *told < height) {
            if self.told.len() >= limits::TOLD_HEIGHTS {
                self.told.pop_front();
            }
            self.told.push_back((height, now));
        }
    }

    pub fn find(&self, hash: &HashBytes) -> Option<&Sighting> {
        self.by_hash.get(hash)
    }

    /// How high an instance was when it last spoke here, a moment ago; 0: it did not.
    pub fn height(&self, instance: InstanceId, now: Instant) -> u64 {
        self.heights.get(&instance).filter(|(_, at)| is_recent(*at, now)).map_or(0, |(height, _)| *height)
    }

    /// This node told clients of a block of this height a moment ago.
    pub fn has_told_of_height(&self, height: u64, now: Instant) -> bool {
        let reached = self.told.partition_point(|(told, _)| *told < height);
        self.told.get(reached).is_some_and(|(_, at)| is_recent(*at, now))
            && self.told.front().is_some_and(|(lowest, _)| *lowest <= height)
    }

    /// The same of a block by its hash.
    pub fn has_told_of(&self, hash: &HashBytes, now: Instant) -> bool {
        self.by_hash.get(hash).is_some_and(|sighting| is_recent(sighting.at, now))
    }
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now.since(at) <= Duration::from_millis(limits::PROMISE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hash(n: u64) -> HashBytes {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        hash
    }

    const A: InstanceId = InstanceId(1);
    const B: InstanceId = InstanceId(2);

    #[test]
    fn who_announced_what_is_known() {
        let mut seen = Sightings::default();
        let at = |ms: u64| Instant::ZERO.plus_ms(ms);
        seen.on_head(A, hash(7), 7, at(0));
        seen.on_head(B, hash(7), 7, at(100));
        seen.on_head(B, hash(7), 7, at(200));
        seen.on_head(A, hash(8), 8, at(1_000));
        let announcers = |n: u64| seen.find(&hash(n)).map(|s| (s.height, s.by.to_vec()));
        assert_eq!(announcers(7), Some((7, vec![A, B])));
        assert_eq!(announcers(8), Some((8, vec![A])));
        assert_eq!(announcers(9), None);
        let height = |instance, ms| seen.height(instance, at(ms));
        assert_eq!((height(A, 1_000), height(B, 1_000), height(InstanceId(3), 1_000)), (8, 7, 0));
        let end = limits::PROMISE_MS;
        assert_eq!(
            (height(A, end + 1_000), height(A, end + 1_001), height(B, end + 201)),
            (8, 0, 0),
            "older words are the snapshot's"
        );
    }

    #[test]
    fn what_was_told_is_promised_for_a_while() {
        let mut seen = Sightings::default();
        let at = |ms: u64| Instant::ZERO.plus_ms(ms);
        seen.on_head(A, hash(7), 7, at(0));
        seen.on_served(B, 9, at(1_000));
        let promised = |n: u64, ms: u64| seen.has_told_of_height(n, at(ms));
        assert_eq!([6, 7, 8, 9, 10].map(|n| promised(n, 2_000)), [false, true, true, true, false]);
        let end = limits::PROMISE_MS;
        assert!(promised(7, end) && !promised(7, end + 1) && promised(8, end + 1) && !promised(9, end + 1_001));
        assert!(seen.has_told_of(&hash(7), at(end)) && !seen.has_told_of(&hash(7), at(end + 1)));
        assert!(!seen.has_told_of(&hash(9), at(1)));
        // The chain falls back.
        seen.on_head(A, hash(3), 3, at(2_000));
        assert!(!seen.has_told_of_height(8, at(2_100)) && seen.has_told_of_height(3, at(2_100)));
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(heads in prop::collection::vec((0u16..40, 0u64..3_000), 0..3_000)) {
            let mut seen = Sightings::default();
            for (n, (instance, height)) in heads.iter().enumerate() {
                let now = Instant::ZERO.plus_ms(n as u64);
                seen.on_head(InstanceId(*instance), hash(*height), *height, now);
                prop_assert!(seen.find(&hash(*height)).is_some() && seen.has_told_of(&hash(*height), now.plus_ms(1)) );
                prop_assert!(seen.told.iter().is_sorted());
            }
            prop_assert!(seen.by_hash.len() == seen.order.len() && seen.order.len() <= limits::ANNOUNCED_HEADS);
            prop_assert!(seen.told.len() <= limits::TOLD_HEIGHTS);
        }
    }
}
