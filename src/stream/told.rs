//! The chain as it was told: each block the parent of the next, by hash.
//!
//! Hashes link and numbers only grow, because there are chains that pass over a number (a null round, a skipped slot). So a
//! parent is looked for by its hash, and a number says no more than what is above and below. Rejected: finding a parent by
//! the number below (the first number without a block ended such a stream).
//! How it fails: the oldest are forgotten, so a fork below them cannot be placed; it is known that there were such.

use super::event::{BlockHash, Head};
use crate::base::limits::STREAM_CHAIN_BLOCKS;
use crate::chain::bloom::Bloom;
use std::collections::VecDeque;
use std::sync::Arc;

/// A block of the chain as it was told.
#[derive(Clone, Debug)]
pub struct ToldBlock {
    pub number: u64,
    pub hash: BlockHash,
    /// What its logs are held against, should they have to be taken back.
    pub bloom: Option<Arc<Bloom>>,
    parent: BlockHash,
    timestamp_s: Option<u64>,
}

#[derive(Clone, Default, Debug)]
pub struct ToldChain {
    /// Oldest first.
    blocks: VecDeque<ToldBlock>,
    /// Nothing below this number was or will be told; a branch may have its first block above.
    floor: Option<u64>,
    /// The oldest were forgotten.
    is_trimmed: bool,
    /// Whatever is younger than this was told: the time of the block after which the chain began, or of the last that was
    /// forgotten. It stays when that block is replaced.
    since_s: Option<u64>,
}

impl ToldChain {
    /// Nothing before the first block.
    pub fn floor(&self) -> Option<u64> {
        self.floor
    }

    pub fn tip(&self) -> Option<&ToldBlock> {
        self.blocks.back()
    }

    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Where the block with this hash stands. The newest are looked at first: they are what is asked about.
    pub fn number_of(&self, hash: BlockHash) -> Option<u64> {
        self.blocks.iter().rev().find(|block| block.hash == hash).map(|block| block.number)
    }

    /// Whether it is there, or just below the first.
    pub fn is_known(&self, hash: BlockHash) -> bool {
        self.number_of(hash).is_some() || self.blocks.front().is_some_and(|first| first.parent == hash)
    }

    /// Whether a head takes the place of the first block, so that nothing of it is missing below.
    pub fn is_beside_first(&self, head: &Head) -> bool {
        self.blocks.front().is_some_and(|first| first.parent == head.parent)
    }

    /// Whether a branch that leaves the chain below its first block can be told from there up.
    pub fn has_its_beginning(&self) -> bool {
        !self.is_trimmed
    }

    /// A block that is younger than the beginning and lower than the first can be none of its ancestors: time does not fall
    /// along a chain, and they are all as old as the beginning.
    pub fn is_no_ancestor(&self, head: &Head) -> bool {
        self.since_s.zip(head.timestamp_s).is_some_and(|(since_s, head_s)| head_s > since_s)
    }

    /// Puts a head on its parent and forgets what was there and above; without a parent here it is the beginning.
    pub fn append(&mut self, head: &Head) {
        while self.blocks.back().is_some_and(|block| block.hash != head.parent) {
            self.blocks.pop_back();
        }
        let Head { number, hash, parent, timestamp_s, .. } = *head;
        let bloom = head.bloom.clone();
        self.floor = Some(self.floor.map_or(number, |floor| floor.min(number)));
        self.since_s = self.since_s.or(timestamp_s);
        self.blocks.push_back(ToldBlock { number, hash, bloom, parent, timestamp_s });
        if self.blocks.len() > STREAM_CHAIN_BLOCKS {
            self.since_s = self.blocks.pop_front().and_then(|oldest| oldest.timestamp_s);
            self.floor = self.blocks.front().map(|first| first.number);
            self.is_trimmed = true;
        }
    }

    /// The parent of the first block.
    pub fn first_parent(&self) -> Option<BlockHash> {
        self.blocks.front().map(|first| first.parent)
    }

    /// Nothing was forgotten, and one more can be kept.
    pub fn has_room_below(&self) -> bool {
        !self.is_trimmed && self.blocks.len() < STREAM_CHAIN_BLOCKS
    }

    /// Whether it is the parent of the first block, and may stand there.
    pub fn can_begin_with(&self, head: &Head) -> bool {
        let is_parent = |first: &ToldBlock| first.parent == head.hash && head.number < first.number;
        self.has_room_below() && self.blocks.front().is_some_and(is_parent)
    }

    /// Puts the parent of the first block below it: somebody was told that one too.
    pub fn prepend(&mut self, head: &Head) {
        let Head { number, hash, parent, timestamp_s, .. } = *head;
        let bloom = head.bloom.clone();
        self.floor = Some(self.floor.map_or(number, |floor| floor.min(number)));
        self.since_s = self.since_s.min(timestamp_s);
        self.blocks.push_front(ToldBlock { number, hash, bloom, parent, timestamp_s });
    }

    /// Takes over what another one, which was told the same up to now, has below the first block.
    pub fn extend_below(&mut self, other: &ToldChain) {
        let Some(first) = self.blocks.front().map(|first| first.hash) else { return };
        let below = other.blocks.iter().rev().skip_while(|block| block.hash != first).skip(1);
        for block in below {
            if !self.has_room_below() {
                return;
            }
            self.floor = Some(self.floor.map_or(block.number, |floor| floor.min(block.number)));
            self.since_s = self.since_s.min(block.timestamp_s);
            self.blocks.push_front(block.clone());
        }
    }

    /// Blocks below this one, newest first; all of them where none is named, and none if it is not here.
    pub fn below(&self, hash: Option<BlockHash>) -> impl Iterator<Item = &ToldBlock> {
        let at = match hash {
            Some(hash) => self.blocks.iter().position(|block| block.hash == hash).unwrap_or(0),
            None => self.blocks.len(),
        };
        self.blocks.range(..at).rev()
    }

    /// Nothing of it is canonical any more.
    pub fn clear(&mut self) {
        *self = ToldChain { since_s: self.since_s, ..ToldChain::default() };
    }
}
