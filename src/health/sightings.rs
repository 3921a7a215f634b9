//! What feeds announced lately: the hashes of a chain's last heads with their heights, blooms and announcers, and how high each
//! door of a provider was when it last spoke.
//!
//! An application that is told of a block asks for it at once, before the next poll of anybody's height. Who announced a
//! block has it, or is the first to have it; everybody else may answer that there is none. What this node itself has told
//! of is promised for a while: nobody's "there is none" is believed at the first try. Kept by each shard, fed before the event
//! goes to its clients, so whoever was told finds it here. Rejected: waiting for the next snapshot (a tenth of a second, in
//! which nearly every such call comes). A door is one transport of one provider: behind a balancer the machine that announces
//! over a WebSocket is another than the one that answers over HTTP, so a word of the one proves nothing of the other.
//! How it fails: a block that neither was announced nor told is unknown here, so a look-up of it goes by the usual order.

use crate::base::ids::{ChannelId, InstanceId, Transport};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::chain::bloom::{Bloom, BloomUse};
use arrayvec::ArrayVec;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

pub type HashBytes = [u8; 32];

/// A head as a feed announces it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenHead {
    pub hash: HashBytes,
    pub height: u64,
    pub bloom: Option<Arc<Bloom>>,
}

/// One head that was announced.
#[derive(Clone, Debug)]
pub struct Sighting {
    pub height: u64,
    /// The first announcers; more are not needed.
    pub by: ArrayVec<ChannelId, { limits::ANNOUNCERS }>,
    bloom: Option<Arc<Bloom>>,
    at: Instant,
}

/// What one door said last.
#[derive(Clone, Copy, Debug)]
struct SeenDoor {
    height: u64,
    at: Instant,
    /// In an announcement; 0: it made none.
    announced: u64,
}

/// Those of one chain.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    by_hash: HashMap<HashBytes, Sighting>,
    /// Oldest first.
    order: VecDeque<HashBytes>,
    doors: BTreeMap<ChannelId, SeenDoor>,
    /// Heights that clients were told of, rising, and when.
    told: VecDeque<(u64, Instant)>,
    blooms: BloomUse,
}

impl Sightings {
    /// A feed over `channel` announced a head.
    pub fn on_head(&mut self, channel: ChannelId, head: SeenHead, now: Instant) {
        let SeenHead { hash, height, bloom } = head;
        let before = self.say(channel, height, now).announced;
        if let Some(door) = self.doors.get_mut(&channel) {
            door.announced = height;
        }
        self.tell(height, before, now);
        self.blooms.see(bloom.as_deref());
        match self.by_hash.get_mut(&hash) {
            Some(sighting) if sighting.by.contains(&channel) => {}
            Some(sighting) => {
                let _full = sighting.by.try_push(channel);
            }
            None => self.insert(hash, Sighting { height, by: [channel].into_iter().collect(), bloom, at: now }),
        }
    }

    /// A head that was fetched and not announced is told to clients: nobody is known to have it, and it is promised all the same.
    pub fn on_told(&mut self, head: SeenHead, now: Instant) {
        let SeenHead { hash, height, bloom } = head;
        self.tell(height, 0, now);
        if !self.by_hash.contains_key(&hash) {
            self.insert(hash, Sighting { height, by: ArrayVec::new(), bloom, at: now });
        }
    }

    fn insert(&mut self, hash: HashBytes, sighting: Sighting) {
        if self.order.len() >= limits::ANNOUNCED_HEADS
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_hash.remove(&oldest);
        }
        self.order.push_back(hash);
        self.by_hash.insert(hash, sighting);
    }

    /// A client was given this height as the newest, over `channel`.
    pub fn on_served(&mut self, channel: ChannelId, height: u64, now: Instant) {
        let before = self.say(channel, height, now);
        // Its announcements come one after another, and may be behind what it says when it is asked.
        self.tell(height, if before.announced == 0 { before.height } else { 0 }, now);
    }

    /// Another shard gave it to a client, a while ago perhaps: it takes nothing back.
    pub fn on_heard(&mut self, channel: ChannelId, height: u64, now: Instant) {
        if height > self.door_height(channel, now) {
            self.on_served(channel, height, now);
        }
    }

    /// What the door had said before.
    fn say(&mut self, channel: ChannelId, height: u64, now: Instant) -> SeenDoor {
        let door = self.doors.entry(channel).or_insert(SeenDoor { height: 0, at: now, announced: 0 });
        let before = *door;
        (door.height, door.at) = (height, now);
        before
    }

    /// `before`: what was told by the same one.
    fn tell(&mut self, height: u64, before: u64, now: Instant) {
        let ceiling = height.saturating_add(limits::HEAD_SLACK_BLOCKS);
        // After a chain has fallen back, its old heights are nobody's promise. Whoever was never higher says nothing of the kind.
        if before > ceiling {
            while self.told.back().is_some_and(|(told, _)| *told > ceiling) {
                self.told.pop_back();
            }
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

    /// How high a provider's door was when it last spoke here, a moment ago; 0: it did not.
    pub fn door_height(&self, channel: ChannelId, now: Instant) -> u64 {
        self.doors.get(&channel).filter(|door| is_recent(door.at, now)).map_or(0, |door| door.height)
    }

    /// The same of whichever of its doors was higher.
    pub fn height(&self, instance: InstanceId, now: Instant) -> u64 {
        let doors = [Transport::Http, Transport::Ws].map(|transport| ChannelId::of(instance, transport));
        doors.into_iter().map(|door| self.door_height(door, now)).max().unwrap_or(0)
    }

    /// The lowest and the highest height of which clients were told a moment ago.
    pub fn promised(&self, now: Instant) -> Option<(u64, u64)> {
        let lowest = self.told.iter().find(|(_, at)| is_recent(*at, now))?.0;
        self.told.back().map(|(highest, _)| (lowest, *highest))
    }

    /// The bloom of an announced head; nothing where it tells nothing.
    pub fn bloom<'a>(&self, sighting: &'a Sighting) -> Option<&'a Bloom> {
        self.blooms.read(sighting.bloom.as_deref())
    }

    /// What was announced lately of these heights, on whichever branch.
    pub fn within(&self, heights: RangeInclusive<u64>) -> impl Iterator<Item = &Sighting> {
        let newest = self.order.iter().rev().take(limits::TOLD_HEIGHTS);
        newest.filter_map(|hash| self.by_hash.get(hash)).filter(move |sighting| heights.contains(&sighting.height))
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

    const A: ChannelId = ChannelId(2);
    const B: ChannelId = ChannelId(5);

    fn head(n: u64) -> SeenHead {
        SeenHead { hash: hash(n), height: n, bloom: None }
    }

    #[test]
    fn what_was_fetched_and_told_is_promised() {
        let mut seen = Sightings::default();
        let now = Instant::ZERO;
        seen.on_told(head(7), now);
        assert!(seen.has_told_of(&hash(7), now) && seen.has_told_of_height(7, now));
        assert_eq!(seen.find(&hash(7)).map(|sighting| sighting.by.len()), Some(0));
        seen.on_head(A, head(7), now);
        assert_eq!(seen.find(&hash(7)).map(|sighting| sighting.by.to_vec()), Some(vec![A]));
    }

    #[test]
    fn who_announced_what_is_known() {
        let mut seen = Sightings::default();
        let at = |ms: u64| Instant::ZERO.plus_ms(ms);
        seen.on_head(A, head(7), at(0));
        seen.on_head(B, head(7), at(100));
        seen.on_head(B, head(7), at(200));
        seen.on_head(A, head(8), at(1_000));
        let announcers = |n: u64| seen.find(&hash(n)).map(|s| (s.height, s.by.to_vec()));
        assert_eq!(announcers(7), Some((7, vec![A, B])));
        assert_eq!(announcers(8), Some((8, vec![A])));
        assert_eq!(announcers(9), None);
        let height = |door, ms| seen.door_height(door, at(ms));
        assert_eq!((height(A, 1_000), height(B, 1_000), height(ChannelId(3), 1_000)), (8, 7, 0));
        assert_eq!([1, 2, 3].map(|id| seen.height(InstanceId(id), at(1_000))), [8, 7, 0], "whichever door");
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
        seen.on_head(A, head(7), at(0));
        seen.on_served(B, 9, at(1_000));
        let range = |ms: u64| seen.promised(at(ms));
        assert_eq!(
            [range(1), range(limits::PROMISE_MS + 1), range(limits::PROMISE_MS + 1_001)],
            [Some((7, 9)), Some((9, 9)), None]
        );
        let promised = |n: u64, ms: u64| seen.has_told_of_height(n, at(ms));
        assert_eq!([6, 7, 8, 9, 10].map(|n| promised(n, 2_000)), [false, true, true, true, false]);
        let end = limits::PROMISE_MS;
        assert!(promised(7, end) && !promised(7, end + 1) && promised(8, end + 1) && !promised(9, end + 1_001));
        assert!(seen.has_told_of(&hash(7), at(end)) && !seen.has_told_of(&hash(7), at(end + 1)));
        assert!(!seen.has_told_of(&hash(9), at(1)));
        seen.on_served(ChannelId(7), 1, at(2_000));
        assert!(seen.has_told_of_height(8, at(2_100)), "a door that is far behind takes nobody's word back");
        seen.on_served(A, 1, at(2_000));
        seen.on_heard(A, 2, at(2_000));
        assert!(seen.has_told_of_height(8, at(2_100)), "an announcement is taken back by announcements");
        seen.on_heard(A, 9, at(2_000));
        seen.on_heard(A, 4, at(2_000));
        assert_eq!(seen.door_height(A, at(2_100)), 9, "what another shard heard may be old");
        // The chain falls back.
        seen.on_head(A, head(3), at(2_000));
        assert!(!seen.has_told_of_height(8, at(2_100)) && seen.has_told_of_height(3, at(2_100)));
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(heads in prop::collection::vec((0u16..40, 0u64..3_000), 0..3_000)) {
            let mut seen = Sightings::default();
            for (n, (channel, height)) in heads.iter().enumerate() {
                let now = Instant::ZERO.plus_ms(n as u64);
                seen.on_head(ChannelId(*channel), head(*height), now);
                prop_assert!(seen.find(&hash(*height)).is_some() && seen.has_told_of(&hash(*height), now.plus_ms(1)) );
                prop_assert!(seen.told.iter().is_sorted());
            }
            prop_assert!(seen.by_hash.len() == seen.order.len() && seen.order.len() <= limits::ANNOUNCED_HEADS);
            prop_assert!(seen.told.len() <= limits::TOLD_HEIGHTS);
        }
    }
}
