//! What the heads' machine of the model's stories should have told: an oracle that knows every block, and takes what was announced
//! as it was fed.

use super::continuity::Ask;
use super::event::BlockHash;
use super::model::Block;

/// Knows every block, and takes what was announced in the order of its coming.
#[derive(Default)]
pub struct Oracle {
    /// The first announcement or the newest block asked for tells where the leader is.
    is_new: bool,
    chain: Vec<usize>,
    /// The lowest number that a beginning of the chain had: nothing below it is told, also when the chain begins above it now.
    floor: Option<u64>,
    pub expected: Vec<BlockHash>,
    pub emitted: Vec<BlockHash>,
    /// Announced before the beginning was known.
    early: Vec<usize>,
}

impl Oracle {
    pub fn new() -> Oracle {
        Oracle { is_new: true, ..Oracle::default() }
    }

    /// The leader is lost, and nobody has told yet where another one is.
    pub fn on_lost(&mut self) {
        self.is_new = false;
    }

    pub fn on_confirmed(&mut self) {
        self.is_new = true;
    }

    pub fn on_head(&mut self, blocks: &[Block], block: usize) {
        if self.chain.is_empty() {
            return self.early.push(block);
        }
        self.is_new = false;
        let mut branch = Vec::new();
        let mut low = block;
        let floor = self.floor.unwrap_or(0);
        let beside = self.chain.first().map(|first| blocks[*first].parent);
        // What was announced may take the first one's place with a lower number; what lies below a branch may not.
        let is_beside = |low: usize| low == block && beside == Some(blocks[low].parent);
        // What is younger than the first is told however low it is, as a part of a branch.
        let is_young = |low: usize| low != block && self.chain.first().is_some_and(|first| low > *first);
        while !self.chain.contains(&low) && (blocks[low].number >= floor || is_beside(low) || is_young(low)) {
            branch.push(low);
            let Some(parent) = blocks[low].parent else { break };
            low = parent;
        }
        for block in branch.into_iter().rev() {
            while self.chain.last().is_some_and(|last| blocks[block].parent != Some(*last)) {
                self.chain.pop();
            }
            self.go_on(blocks, block);
            self.expected.push(blocks[block].hash);
        }
    }

    /// Goes on with a block, which is the beginning where there is none.
    fn go_on(&mut self, blocks: &[Block], block: usize) {
        self.floor = Some(self.floor.map_or(blocks[block].number, |floor| floor.min(blocks[block].number)));
        self.chain.push(block);
    }

    pub fn on_filled(&mut self, blocks: &[Block], ask: Ask, block: usize) {
        if ask != Ask::Latest || !self.is_new {
            return;
        }
        self.is_new = false;
        if self.chain.is_empty() {
            self.go_on(blocks, block);
            std::mem::take(&mut self.early).into_iter().for_each(|early| self.on_head(blocks, early));
        } else {
            self.on_head(blocks, block);
        }
    }
}
