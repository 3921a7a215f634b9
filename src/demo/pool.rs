//! Raw transactions that users sent to a model chain. One pool for all its providers, as if gossip took no time: the
//! block of the next round contains them, and a second send is "already known" everywhere. Rounds and not heights, because a
//! chain that falls makes blocks of one height twice.
//!
//! Bounded: the oldest are forgotten. Blocks already seen never change, because a transaction only enters a block that
//! does not exist yet.

use super::identity::Hash;
use crate::base::limits::{MODEL_SENT_KEPT, MODEL_SENT_PER_BLOCK};
use std::collections::{BTreeMap, HashMap};

#[derive(Clone, Debug, Default)]
pub struct Pool {
    round_of: HashMap<Hash, u64>,
    by_round: BTreeMap<u64, Vec<Hash>>,
    /// How many were ever accepted; checkers compare it with what clients were told.
    pub accepted: u64,
}

impl Pool {
    /// Takes a transaction in `round`; `false`: already known.
    pub fn accept(&mut self, hash: Hash, round: u64) -> bool {
        if self.round_of.contains_key(&hash) {
            return false;
        }
        let mut next = round.saturating_add(1);
        while self.in_block(next).len() >= MODEL_SENT_PER_BLOCK {
            next += 1;
        }
        self.by_round.entry(next).or_default().push(hash);
        self.round_of.insert(hash, next);
        self.accepted += 1;
        self.forget();
        true
    }

    /// The round whose block contains it, or will.
    pub fn round_of(&self, hash: &Hash) -> Option<u64> {
        self.round_of.get(hash).copied()
    }

    /// In the order in which they came.
    pub fn in_block(&self, round: u64) -> &[Hash] {
        self.by_round.get(&round).map_or(&[], Vec::as_slice)
    }

    /// Waiting in `round`, oldest first.
    pub fn waiting(&self, round: u64) -> impl Iterator<Item = &Hash> {
        self.by_round.range(round.saturating_add(1)..).flat_map(|(_, hashes)| hashes)
    }

    /// The last `count` accepted, in the order in which they came.
    pub fn newest(&self, count: u64) -> Vec<Hash> {
        let newest_first = self.by_round.values().rev().flat_map(|hashes| hashes.iter().rev());
        let mut hashes: Vec<Hash> = newest_first.take(usize::try_from(count).unwrap_or(usize::MAX)).copied().collect();
        hashes.reverse();
        hashes
    }

    fn forget(&mut self) {
        while self.round_of.len() > MODEL_SENT_KEPT {
            let Some((_, hashes)) = self.by_round.pop_first() else { return };
            for hash in hashes {
                self.round_of.remove(&hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::identity::digest;

    #[test]
    fn accepts_once_into_the_next_block_and_spills_over() {
        let mut pool = Pool::default();
        for n in 0..MODEL_SENT_PER_BLOCK as u64 + 1 {
            assert!(pool.accept(digest(&[n]), 10) && !pool.accept(digest(&[n]), 11));
        }
        assert_eq!((pool.in_block(11).len(), pool.in_block(12).len()), (MODEL_SENT_PER_BLOCK, 1));
        assert_eq!((pool.round_of(&digest(&[0])), pool.round_of(&digest(&[99_999]))), (Some(11), None));
        assert_eq!(pool.waiting(11).count(), 1);
        let last = MODEL_SENT_PER_BLOCK as u64;
        assert_eq!(pool.newest(2), [digest(&[last - 1]), digest(&[last])]);
        assert_eq!(pool.newest(u64::MAX).len() as u64, pool.accepted);
        assert_eq!(pool.accepted, MODEL_SENT_PER_BLOCK as u64 + 1);
    }

    #[test]
    fn forgets_the_oldest() {
        let mut pool = Pool::default();
        for n in 0..2 * MODEL_SENT_KEPT as u64 {
            pool.accept(digest(&[n]), n);
        }
        assert!(pool.round_of.len() <= MODEL_SENT_KEPT && pool.by_round.len() <= MODEL_SENT_KEPT);
        assert_eq!(pool.round_of(&digest(&[0])), None);
        assert!(pool.round_of(&digest(&[2 * MODEL_SENT_KEPT as u64 - 1])).is_some());
    }
}
