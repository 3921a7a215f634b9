//! Which height clients were last given as the newest, by channel, node-wide.
//!
//! A client that asks for the height and then for that block may come to two shards, over two connections, within a millisecond:
//! long before the next snapshot, and no letter goes from shard to shard. So there is one word for each channel, and one that
//! counts changes: who finds it as it was looks no further, which is one load for each call that names a block. Heights change a few
//! times a second, so the whole is gone through seldom. Rejected: a ring of changes (whoever is slow misses some).

use crate::base::ids::{ChannelId, Id};
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub struct Served {
    changes: AtomicU64,
    heights: Box<[AtomicU64]>,
}

/// What one shard has read of it.
#[derive(Debug, Default)]
pub struct HeardServed {
    changes: u64,
    heights: Vec<u64>,
}

impl Served {
    pub fn new(channels: usize) -> Served {
        Served { changes: AtomicU64::new(0), heights: (0..channels).map(|_| AtomicU64::new(0)).collect() }
    }

    /// A client was given this height as the newest, over `channel`.
    pub fn note(&self, channel: ChannelId, height: u64) {
        let Some(place) = self.heights.get(channel.index()) else { return };
        if place.swap(height, Ordering::AcqRel) != height {
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Tells what has changed since `heard`.
    pub fn hear(&self, heard: &mut HeardServed, mut tell: impl FnMut(ChannelId, u64)) {
        let changes = self.changes.load(Ordering::Acquire);
        if changes == heard.changes {
            return;
        }
        heard.changes = changes;
        heard.heights.resize(self.heights.len(), 0);
        for (index, (place, before)) in self.heights.iter().zip(&mut heard.heights).enumerate() {
            let height = place.load(Ordering::Acquire);
            if std::mem::replace(before, height) != height {
                tell(ChannelId::from_index(index), height);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_hears_each_change_once() {
        let served = Served::new(4);
        let (mut one, mut other) = (HeardServed::default(), HeardServed::default());
        let hear = |heard: &mut HeardServed| {
            let mut told = Vec::new();
            served.hear(heard, |channel, height| told.push((channel.0, height)));
            told
        };
        served.note(ChannelId(1), 7);
        served.note(ChannelId(1), 7);
        assert_eq!((hear(&mut one), hear(&mut one)), (vec![(1, 7)], vec![]));
        served.note(ChannelId(3), 8);
        served.note(ChannelId(1), 6);
        served.note(ChannelId(9), 6);
        assert_eq!(hear(&mut one), [(1, 6), (3, 8)], "also a lower one");
        assert_eq!(hear(&mut other), [(1, 6), (3, 8)]);
    }
}
