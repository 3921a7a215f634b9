//! What the leader alone says: heads that nobody else has or whose parents nobody has, and a chain that is nobody else's.
//!
//! A head that does not link is asked of somebody else before it ends anything. One that links to what was told is believed,
//! and a provider on a fork of its own announces such heads without end: a node that disagrees with the network about a
//! rule, or was left by its peers, is as high as the others and as quick. So every few blocks one that was told is held
//! against what others have, unless they have announced a newer one of the same chain since the last look: a told block that
//! another feed announced is on another provider's chain, with all below it. Else others are asked for the block at the height
//! of one that was told a little ago, because the newest may differ for a moment between providers that are well. Two that
//! have another one there outweigh the leader; one does not, for then it is one word against another.
//! Rejected: holding heads back until somebody else has them (each would be as late as the slower of two), asking for every
//! one (a call a block, for what happens once a year), and comparing further down where nobody else is so high (two that
//! stand still on an orphan would outweigh whoever goes on).
//! How it fails: until the next look the fork is told, and then taken back as a reorg; of two providers the leader is believed,
//! and so is one that is far above all others.

use super::*;
use crate::base::limits::{FORK_LOOK_BLOCKS, FORK_LOOK_DEPTH, FORK_LOOK_MS, OTHERS_HEADS};

/// How far what is told is known to be another provider's chain too.
#[derive(Clone, Debug, Default)]
pub(super) struct ForkCheck {
    /// What other feeds announced lately, newest last.
    others: VecDeque<BlockHash>,
    /// The newest that they had at the last look.
    shared: u64,
    /// What was newest then.
    looked_at: u64,
    /// No other look before.
    due: Instant,
    asked: Option<(u64, BlockHash)>,
}

impl ForkCheck {
    /// The block to compare now, if any is.
    fn next(&mut self, told: &ToldChain, now: Instant) -> Option<(u64, BlockHash)> {
        let newest = told.tip()?.number;
        // A chain that fell is another one.
        (self.looked_at, self.shared) = (self.looked_at.min(newest), self.shared.min(newest));
        if self.asked.is_some() || now < self.due || newest < self.looked_at.saturating_add(FORK_LOOK_BLOCKS) {
            return None;
        }
        (self.looked_at, self.due) = (newest, now.plus_ms(FORK_LOOK_MS));
        let shared = self.others.iter().filter_map(|hash| told.number_of(*hash)).max().unwrap_or(0);
        if shared > std::mem::replace(&mut self.shared, shared) {
            return None;
        }
        self.asked = told.below(None).nth(FORK_LOOK_DEPTH).map(|block| (block.number, block.hash));
        self.asked
    }
}

impl Heads {
    /// The feed of a provider that does not lead announced a block.
    pub fn on_other(&mut self, head: &Head) {
        // Feeds of other chains are heard too.
        let is_near = self.told.tip().is_some_and(|tip| tip.number.abs_diff(head.number) <= OTHERS_HEADS as u64);
        let others = &mut self.fork_check.others;
        if others.back() == Some(&head.hash) || !is_near {
            return;
        }
        if others.len() >= OTHERS_HEADS {
            others.pop_front();
        }
        others.push_back(head.hash);
    }

    /// What the stream begins after is weighed by itself.
    pub(super) fn begin_fork_check(&mut self, number: u64) {
        self.fork_check.looked_at = number;
    }

    /// A told block is to be compared: where nothing else is in question.
    pub(super) fn check_fork(&mut self, now: Instant) -> Option<Action> {
        if self.follows || self.is_weighing() || self.source != Source::Live {
            return None;
        }
        let (number, hash) = self.fork_check.next(&self.told, now)?;
        Some(Action::Fetch(Ask::Compare { number, hash }))
    }

    /// Whether these are opinions on a told block. Against them its leader leads no more.
    pub(super) fn on_fork_opinions(&mut self, block: (u64, BlockHash), opinions: Opinions) -> bool {
        let is_asked = self.fork_check.asked.take_if(|asked| *asked == block).is_some();
        // They say nothing of a block that was replaced meanwhile.
        let is_told = is_asked && self.told.number_of(block.1).is_some();
        // Against one its own word is enough; and where it has the block no more itself, it says so with its next head.
        if is_told && !opinions.is_shared && opinions.denials > 1 && self.source == Source::Live {
            self.forsake();
            (self.forsakes, self.deposes) = (false, true);
        }
        is_asked
    }

    /// Ends the stream for the first announcement if somebody else has it too.
    pub(super) fn confirm(&mut self, hash: BlockHash, reason: Reason, now: Instant) {
        if self.witnessed == Some(hash) || self.follows {
            return self.close(reason);
        }
        self.ask_witness(hash, now);
    }

    /// Nobody has its parent, and nobody but the leader has said that there is such a head.
    pub(super) fn is_doubtful(&self, head: BlockHash, parent: BlockHash) -> bool {
        !self.follows && self.given_up.contains(&parent) && self.witnessed != Some(head)
    }

    /// Leaves the first announcement, whose parent nobody has, for what came after it; false where the leader is forsaken: it
    /// did the same before, with another one, and would go on so for ever.
    pub(super) fn pass_over(&mut self, head: BlockHash, parent: BlockHash) -> bool {
        if self.is_doubtful(head, parent) && self.doubted.replace(parent).is_some_and(|other| other != parent) {
            self.forsake();
            return false;
        }
        self.judged();
        true
    }

    pub(super) fn doubt_head(&mut self, head: BlockHash, parent: BlockHash, now: Instant) {
        match self.doubted {
            Some(other) if other != parent => self.forsake(),
            _ => self.ask_witness(head, now),
        }
    }

    fn ask_witness(&mut self, hash: BlockHash, now: Instant) {
        self.open_hole(now);
        self.wanted.retain(|wanted| matches!(wanted.ask, Ask::Latest | Ask::Witness(_)));
        self.want(Ask::Witness(hash), now);
    }

    /// The leader is alone with what it says; whatever waits came from it.
    pub(super) fn forsake(&mut self) {
        self.drop_announced();
        self.wanted.clear();
        self.forsakes = true;
    }
}
