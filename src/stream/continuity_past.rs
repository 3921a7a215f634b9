//! Heads for those who were told some in an earlier life: a chain that goes on from a block that they name, and what is
//! below it.
//!
//! A client that resumes has every block up to the one that it names. So a branch that leaves the chain below that block is
//! not told from there up, as it would be to somebody new, but followed down to the block where it does leave, by the hashes
//! of parents. Rejected: fetching some ancestors beforehand (their number is anybody's guess, and most are never needed).
//! How it fails: where nobody has such an ancestor any more, a machine that only serves a resumption ends; one that others
//! hear too says that the past is lost, and goes on for the others. They wait for half of the time for filling at most.

use super::{Action, Ask, Heads, Reason, Rules, Source};
use crate::base::time::Instant;
use crate::stream::event::{BlockHash, Head};
use crate::stream::told::ToldBlock;

impl Heads {
    /// A stream for whom was told `from` in an earlier life. It is fed what another machine of the same route emits, and
    /// nothing of a provider: so what is canonical is settled, and what it misses is only what lies between.
    /// `newest`: what the other has emitted last.
    pub fn resumed(rules: Rules, from: &Head, newest: BlockHash, now: Instant) -> Heads {
        let mut heads = Heads { source: Source::Live, follows: true, digs: true, ..Heads::unled(rules) };
        heads.told.append(from);
        if newest != from.hash {
            heads.goal = Some(newest);
            heads.open_hole(now);
            heads.want(Ask::Hash(newest), now);
        }
        heads
    }

    /// What lies between the two lives is known: it is told next, if there is any.
    pub fn is_linked(&self) -> bool {
        let is_telling = self.out.iter().any(|action| matches!(action, Action::Emit(_)));
        self.goal.is_none() && self.closed.is_none() && (self.announced.is_empty() || is_telling)
    }

    /// All that came is judged and was told.
    pub fn is_settled(&self) -> bool {
        self.goal.is_none() && self.closed.is_none() && self.announced.is_empty() && self.out.is_empty()
    }

    /// Whoever resumed goes on here: what they were told more of the same chain is kept, for later reorgs.
    pub fn adopt(&mut self, resumed: &Heads) {
        self.told.extend_below(&resumed.told);
        self.digs = true;
    }

    /// Nobody is left who was told anything in an earlier life.
    pub fn forget_past(&mut self) {
        self.digs = false;
    }

    /// Blocks that were told below this one, newest first; all of them where none is named.
    pub fn told_below(&self, hash: Option<BlockHash>) -> impl Iterator<Item = &ToldBlock> {
        self.told.below(hash)
    }

    /// The first announcement leaves the chain below its first block. Whether it can be looked at again.
    pub(super) fn go_below(&mut self, now: Instant) -> bool {
        if self.dig() {
            return true;
        }
        let is_lost = self.is_past_lost();
        if is_lost {
            self.lose_past()
        } else {
            self.fill_below(now)
        }
        is_lost
    }

    /// Puts the parent of the first block below it, if it is here.
    fn dig(&mut self) -> bool {
        let parent = self.told.first_parent().and_then(|hash| self.held.get(&hash));
        let Some(parent) = parent.filter(|parent| self.told.can_begin_with(parent)).cloned() else { return false };
        self.told.prepend(&parent);
        self.out.push_back(Action::Below(parent));
        true
    }

    /// Nobody has the parent of the first block, or it is too far down.
    fn is_past_lost(&self) -> bool {
        let is_gone = |hash: BlockHash| self.given_up.contains(&hash) || self.held.contains_key(&hash);
        self.walked > self.limit() || !self.told.has_room_below() || self.told.first_parent().is_none_or(is_gone)
    }

    /// What became of it cannot be said to whoever was told; everybody else goes on from the first block.
    pub(super) fn lose_past(&mut self) {
        (self.digs, self.dig_by) = (false, None);
        match self.follows {
            true => self.close(Reason::ForkTooDeep { kept: self.told.len() }),
            false => self.out.push_back(Action::PastLost),
        }
    }

    fn fill_below(&mut self, now: Instant) {
        self.open_hole(now);
        if !self.follows {
            self.dig_by.get_or_insert(now.plus_ms(self.rules.backfill_timeout_ms / 2));
        }
        if let Some(parent) = self.told.first_parent() {
            self.want(Ask::Hash(parent), now);
        }
    }
}
