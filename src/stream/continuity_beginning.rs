//! Where a stream begins, and what would move its beginning: blocks below which nothing was told.
//!
//! Everywhere else a head must link to what was told, so a foreign one goes no further than a question for its parent. At the
//! beginning there is nothing to link to: one provider's word would do. So the beginning is the newest block that the leader
//! gives when it is asked, not what it happens to announce; and that block, and the lowest one of a branch that leaves the
//! chain below the beginning, is held against what other providers have at its height. Until that is known nothing is told,
//! but not for long. Only another block at that height speaks against it: who has none may be behind. Against one such word
//! the leader's own is enough, if it has the block; so two providers that disagree do not depose each other for ever.
//! A fork below the beginning is told from there up; what is younger than the beginning is told too, however low it is: it
//! has come since. So is a chain that begins anew: everything of it that is younger than what was told, oldest first, and
//! where that cannot be had, the end. Nodes may keep what was above by its hash, so that somebody has it does not say that the
//! chain goes on from it: what others have at the height of the leader's newest block does.
//! Rejected: believing whoever has the hash (who is behind has it not, and would depose every leader that is ahead), and
//! asking before the subscription is confirmed (nothing is told by that).
//! How it fails: where nobody else answers in time, or has a block at that height, the leader is believed; a chain that begins anew in the past by its own
//! clock is not known to do so.

use super::{Ask, Head, Heads, Instant, Opinions, Reason, Source};
use crate::base::limits::{BELIEF_MS, FILL_PARALLEL, LOWER_HEAD_LOOK_MS};
use crate::stream::event::BlockHash;

/// The parent of a chain's very first block.
const NO_BLOCK: BlockHash = BlockHash([0; 32]);

/// A block below which nothing was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weighed {
    hash: BlockHash,
    /// It is believed from then on, whoever has not answered.
    by: Instant,
    is_believed: bool,
    /// Whoever leads now has not said it.
    is_of_another: bool,
    /// It is lower than everything that is kept, and what was told is still given by its hash.
    is_lower: bool,
}

impl Heads {
    /// The stream begins after this block, or as good as: what others have at its height is known soon.
    pub(super) fn begin(&mut self, block: &Head, now: Instant) {
        self.begin_by = None;
        self.told.append(block);
        self.begin_fork_check(block.number);
        self.weigh(block.number, block.hash, now);
        self.settle(now);
    }

    /// Where the stream begins is not known yet.
    pub(super) fn waits_to_begin(&self) -> bool {
        self.told.floor().is_none() && self.closed.is_none()
    }

    /// Nothing but announcements is had of the leader: it begins with the first of them.
    pub(super) fn begin_announced(&mut self, now: Instant) {
        if let Some(head) = self.announced.front().cloned().filter(|_| self.waits_to_begin()) {
            self.begin(&head, now);
        }
    }

    pub(super) fn weigh(&mut self, number: u64, hash: BlockHash, now: Instant) {
        self.forget_weighed();
        let by = now.plus_ms(BELIEF_MS);
        self.weighed = Some(Weighed { hash, by, is_believed: false, is_of_another: false, is_lower: false });
        self.want(Ask::Compare { number, hash }, now);
    }

    /// Somebody still has what was told: an old block that is kept, or the leader is alone. Others know which.
    pub(super) fn weigh_lower(&mut self, now: Instant) {
        let Some((number, hash)) = self.lower.as_ref().map(|lower| (lower.number, lower.hash)) else { return self.forsake() };
        self.weigh(number, hash, now);
        self.weighed.iter_mut().for_each(|weighed| weighed.is_lower = true);
    }

    pub(super) fn is_weighing(&self) -> bool {
        self.weighed.is_some_and(|weighed| !weighed.is_believed)
    }

    pub(super) fn is_believed(&self, hash: BlockHash) -> bool {
        self.follows || self.weighed.is_some_and(|weighed| weighed.hash == hash && weighed.is_believed)
    }

    fn forget_weighed(&mut self) {
        self.weighed = None;
        self.wanted.retain(|wanted| !matches!(wanted.ask, Ask::Compare { .. }));
    }

    /// What others have in the place of a block.
    pub fn on_opinions(&mut self, number: u64, hash: BlockHash, opinions: Opinions, now: Instant) {
        if self.on_fork_opinions((number, hash), opinions) {
            return;
        }
        let Some(place) = self.under_way(Ask::Compare { number, hash }) else { return };
        self.wanted.remove(place);
        let is_lower = self.weighed.is_some_and(|weighed| weighed.is_lower);
        // The chain does not begin anew against anybody's word.
        let is_for = if is_lower { opinions.is_shared || opinions.denials == 0 } else { opinions.are_for_it() };
        if is_for {
            return self.believe(now);
        }
        if !self.weighed.is_some_and(|weighed| weighed.is_of_another) {
            return self.forsake();
        }
        self.drop_announced();
        if self.source != Source::Lost {
            self.source = Source::New;
            self.want(Ask::Latest, now);
        }
    }

    pub(super) fn believe(&mut self, now: Instant) {
        if let Some(weighed) = &mut self.weighed {
            weighed.is_believed = true;
        }
        self.wanted.retain(|wanted| !matches!(wanted.ask, Ask::Compare { .. }));
        self.settle(now);
    }

    /// When something is believed, or begun with, without a further word.
    pub(super) fn belief_at(&self) -> Instant {
        let weighed = self.weighed.filter(|weighed| !weighed.is_believed).map(|weighed| weighed.by);
        weighed.into_iter().chain(self.begin_by).min().unwrap_or(Instant::NEVER)
    }

    /// Its time has come.
    pub(super) fn believe_late(&mut self, now: Instant) {
        if self.begin_by.take_if(|by| *by <= now).is_some() {
            self.begin_announced(now);
        }
        match self.weighed.filter(|weighed| !weighed.is_believed && weighed.by <= now) {
            Some(Weighed { is_lower: true, .. }) => self.forsake(),
            Some(_) => self.believe(now),
            None => {}
        }
    }

    /// Another provider leads, or none: it is not to blame for what the last one said.
    pub(super) fn leave_weighed(&mut self) {
        self.weighed.iter_mut().for_each(|weighed| weighed.is_of_another = true);
    }

    /// Whatever waits to be judged goes.
    pub(super) fn drop_announced(&mut self) {
        self.announced.clear();
        self.forget_held();
        self.forget_weighed();
        (self.lower, self.begin_by) = (None, None);
        let is_new = self.source == Source::New;
        self.wanted.retain(|wanted| wanted.ask == Ask::Latest && is_new);
        (self.asked_to, self.walked) = (0, 0);
    }

    /// A branch, newest first, that takes the place of everything told; whether the next announcement can be judged.
    pub(super) fn settle_beside(&mut self, branch: Vec<Head>, now: Instant) -> bool {
        let low = branch.last().map(|low| (low.number, low.hash));
        if let Some((number, hash)) = low.filter(|(_, hash)| !self.is_believed(*hash)) {
            self.open_hole(now);
            self.weigh(number, hash, now);
            return false;
        }
        let newest = branch.first().map(|newest| newest.hash);
        match self.reach_down(branch) {
            Err(_) if self.walked > self.limit() => self.close(Reason::TooManyMissing { limit: self.limit() }),
            // What came after it may be had.
            Err((_, parent)) if self.announced.len() > 1 && self.given_up.contains(&parent) => {
                return newest.is_some_and(|newest| self.pass_over(newest, parent));
            }
            Err((_, parent)) if newest.is_some_and(|newest| self.is_doubtful(newest, parent)) => {
                newest.into_iter().for_each(|newest| self.doubt_head(newest, parent, now));
            }
            Err((number, hash)) => self.fill(number, hash, now),
            Ok(branch) => {
                self.forget_weighed();
                self.emit(branch);
                self.judged();
                return true;
            }
        }
        false
    }

    /// A branch, newest first, with what is younger than the beginning below it; or what is missing of that.
    fn reach_down(&self, mut branch: Vec<Head>) -> Result<Vec<Head>, (u64, BlockHash)> {
        let has_news_below = |low: &Head| {
            let is_first = low.number == 0 || low.parent == NO_BLOCK || self.told.is_beside_first(low);
            !is_first && self.told.is_no_ancestor(low)
        };
        while let Some(low) = branch.last().filter(|low| has_news_below(low)) {
            match self.held.get(&low.parent) {
                None => return Err((low.number - 1, low.parent)),
                Some(parent) if parent.number < low.number && self.told.is_no_ancestor(parent) => branch.push(parent.clone()),
                // It may be an ancestor of what was told: a chain that was reverted goes on from there.
                Some(_) => break,
            }
        }
        Ok(branch)
    }

    /// Whether something that is not lower was announced since: then the first announcement was a late repeat.
    pub(super) fn is_passed(&self) -> bool {
        let floor = self.told.floor().unwrap_or(0);
        self.announced.iter().any(|head| head.number >= floor)
    }

    /// Whether the leader's chain is another one, and nobody has ours any more or others are on the leader's.
    pub(super) fn is_gone(&self) -> bool {
        let is_other = self.lower.as_ref().is_some_and(|lower| self.told.is_no_ancestor(lower));
        let is_nowhere = || self.tip().is_some_and(|(_, hash)| self.given_up.contains(&hash));
        is_other && (is_nowhere() || self.lower.as_ref().is_some_and(|lower| self.is_believed(lower.hash)))
    }

    /// The first announcement is lower than everything that is kept: asks what that means.
    pub(super) fn doubt(&mut self, now: Instant) {
        self.open_hole(now);
        match (&self.lower, self.tip()) {
            (Some(lower), Some((_, tip))) if self.told.is_no_ancestor(lower) => self.want(Ask::Hash(tip), now),
            // It may be behind, so it is asked again.
            (Some(_), _) => self.want(Ask::Latest, now.plus_ms(LOWER_HEAD_LOOK_MS)),
            (None, _) => self.want(Ask::Latest, now),
        }
    }

    /// Asks for what is below this block, some at once; what does not link is of no use and does no harm.
    fn fill_down(&mut self, number: u64, now: Instant) {
        // One above the lowest that was asked for.
        let lowest = self.asked_to.checked_sub(1).map_or(number, |asked| asked.min(number));
        let next = number.saturating_sub(FILL_PARALLEL as u64 - 1);
        for below in (next..lowest).rev() {
            self.want(Ask::Number(below), now);
        }
        self.asked_to = next.min(lowest) + 1;
    }

    /// What was told is canonical no more: the first head of the new chain links to nothing. Whether all of it is here.
    pub(super) fn begin_anew(&mut self, now: Instant) -> bool {
        let Some(newest) = self.lower.clone() else { return false };
        let hash = newest.hash;
        match self.reach_down(vec![newest]) {
            Err(_) if self.walked > self.limit() => self.close(Reason::TooManyMissing { limit: self.limit() }),
            Err((number, parent)) => {
                self.open_hole(now);
                self.wanted.retain(|wanted| !matches!(wanted.ask, Ask::Hash(other) if other != parent));
                self.fill_down(number, now);
                if self.given_up.contains(&parent) {
                    // It may have begun anew once more.
                    self.want(Ask::Latest, now.plus_ms(LOWER_HEAD_LOOK_MS));
                }
                self.want(Ask::Hash(parent), now);
            }
            Ok(branch) => {
                let judged = self.announced.iter().rposition(|head| head.hash == hash).map_or(0, |place| place + 1);
                self.announced.drain(..judged);
                if self.digs {
                    // What was told in an earlier life, below all that is known here, is nobody's any more.
                    self.lose_past();
                }
                self.told.clear();
                self.hole = None;
                self.lower = None;
                self.given_up.clear();
                self.emit(branch);
                self.stop_filling();
                return true;
            }
        }
        false
    }
}
