//! Whom a fetch of a follower is asked of: its leader first, then the others in their order; who has failed one lately comes after all
//! who have not, and who failed longest ago before the others who did.
//!
//! Rejected: one counter of failures that all fetches move (with two providers and two failures at the same time every retry comes back to
//! the one that failed), and a memory for each question (the next block would wait for the same silence again).

use super::feed::FeedId;
use super::fill::{Asker, Filled, NoLogs, Order, Wanted, entry_of, instances_of};
use super::follower::{Around, FollowerId};
use super::leaders;
use crate::base::ids::{EntryId, InstanceId};
use crate::base::limits;
use crate::base::time::Instant;
use crate::snapshot::ChainPlan;
use crate::stream::continuity::Ask;
use crate::stream::event::BlockHash;
use crate::stream::fanout::Topic;
use crate::stream::logs::LogsQuestion;
use std::collections::BTreeMap;

/// What a choice looks at.
pub struct Views<'a> {
    pub follower: FollowerId,
    pub route: &'a Topic,
    pub leader: Option<FeedId>,
    pub around: &'a Around<'a>,
}

impl Views<'_> {
    /// Whom a fetch may be asked of, the best first: the leader, then the others in their order. Whoever is on another fork has
    /// blocks that are nobody's: it is asked only while it leads, or all are.
    fn all(&self) -> Vec<InstanceId> {
        let mut candidates = leaders::candidates(self.around.snapshot, self.route, self.around.region, true);
        let plan = self.around.snapshot.plan(self.route.profile, self.route.chain);
        if candidates.iter().any(|feed| !leaders::is_forked(plan, *feed)) {
            candidates.retain(|feed| !leaders::is_forked(plan, *feed));
        }
        instances_of(self.leader.into_iter().chain(candidates))
    }

    fn order(&self, to: Option<InstanceId>, wanted: Wanted) -> Order {
        Order::to(to, self.follower, (self.route, self.around.snapshot), wanted)
    }
}

/// Who is asked for a block's logs.
pub enum LogsChoice {
    Ask(Order),
    /// Whoever could be asked has answered. `is_only`: the route has no other provider, so none will come back either.
    NobodyElse {
        is_only: bool,
    },
    /// Everybody wants to be left alone until then.
    Later(Instant),
}

#[derive(Default)]
pub struct Sources {
    /// Who turned a fetch away, and until when it wants to be left alone.
    rests: BTreeMap<InstanceId, Instant>,
    /// Who failed a fetch, and when it did so last.
    failed: BTreeMap<InstanceId, Instant>,
}

impl Sources {
    /// What this one failed at before is forgotten: it has just answered.
    pub fn begin(&mut self, leader: InstanceId) {
        self.failed.remove(&leader);
    }

    pub fn on_filled(&mut self, filled: &Filled, now: Instant) {
        if let Some(failed) = filled.failed() {
            self.failed.insert(failed, now);
        }
        if let Filled::Logs { by: Some(by), logs: Err(NoLogs::Limited { until }), .. } = filled {
            self.rests.insert(*by, *until);
        }
    }

    /// The best first.
    fn sort(&self, sources: &mut [InstanceId], now: Instant) {
        let is_late = |at: &&Instant| now.since(**at).as_millis() as u64 >= limits::FILL_DOUBT_MS;
        sources.sort_by_key(|one| self.failed.get(one).filter(|at| !is_late(at)).copied());
    }

    fn rests_until(&self, instance: InstanceId, now: Instant) -> Option<Instant> {
        self.rests.get(&instance).copied().filter(|until| *until > now)
    }

    /// The newest block is the leader's to tell, and what a witness says anybody else's. Everything else anybody may tell; after a
    /// failure the next one.
    pub fn order_block(&self, views: &Views<'_>, ask: Ask) -> Order {
        let (leader, mut sources) = (views.all().first().copied(), views.all());
        let from = match ask {
            Ask::Latest => leader,
            Ask::Witness(_) => {
                let mut others = sources.split_off(sources.len().min(1));
                self.sort(&mut others, views.around.now);
                others.first().copied().or(leader)
            }
            Ask::Number(_) | Ask::Hash(_) | Ask::Compare { .. } => {
                self.sort(&mut sources, views.around.now);
                let (first, second) = (sources.first().copied(), sources.get(1).copied());
                return views.order(first, Wanted::Block(ask)).or_else(second, views);
            }
        };
        views.order(from, Wanted::Block(ask))
    }

    /// What the others have in the place of a block, and the leader itself if they disagree; nothing where there are no others.
    pub fn order_opinions(&self, views: &Views<'_>, number: u64, hash: BlockHash) -> Option<Order> {
        let sources = views.all();
        let (own, others) = sources.split_first()?;
        let entry = |instance: &InstanceId| entry_of(*instance, views.route, views.around.snapshot);
        let others: Vec<EntryId> = others.iter().filter_map(entry).take(limits::OPINIONS_ASKED).collect();
        let is_alone = others.is_empty();
        (!is_alone).then(|| views.order(Some(*own), Wanted::Opinions { number, hash, others }))
    }

    /// Somebody who has not answered yet, is not left alone, and has the block by what it said last.
    pub fn choose(&self, views: &Views<'_>, question: LogsQuestion, asker: Asker) -> LogsChoice {
        let (now, sources) = (views.around.now, views.all());
        let is_free = |instance: &InstanceId| self.rests_until(*instance, now).is_none();
        let is_new = |instance: &InstanceId| !question.heard.contains(instance);
        let plan = views.around.snapshot.plan(views.route.profile, views.route.chain);
        let mut again: Vec<InstanceId> = sources.iter().copied().filter(is_free).collect();
        again.sort_by_key(|one| !has_reached(plan, *one, question.number));
        self.sort(&mut again, now);
        let mut fresh = again.iter().copied().filter(is_new);
        let chosen = match (fresh.next(), again.first()) {
            (Some(one), _) => one,
            (None, Some(one)) if question.may_repeat => *one,
            (None, Some(_)) => {
                return LogsChoice::NobodyElse { is_only: leaders::is_only_one(views.around.snapshot, views.route) };
            }
            (None, None) => {
                let rests = sources.iter().filter_map(|one| self.rests_until(*one, now)).min();
                return LogsChoice::Later(rests.unwrap_or(now.plus_ms(limits::FILL_RETRY_MS)));
            }
        };
        let second = fresh.next();
        LogsChoice::Ask(views.order(Some(chosen), Wanted::Logs(question, asker)).or_else(second, views))
    }
}

/// One of its channels has said so high a block, or nothing yet.
fn has_reached(plan: &ChainPlan, instance: InstanceId, number: u64) -> bool {
    let mine = plan.fixed.channels.iter().filter(|(_, channel)| channel.instance() == instance);
    mine.filter_map(|(slot, _)| plan.heights.get(slot)).any(|height| height.reported == 0 || height.reported >= number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_failed_comes_last_and_who_failed_longest_ago_before_the_others_who_did() {
        let at = |ms| Instant::ZERO.plus_ms(ms);
        let failed =
            |by: u16| Filled::Block { follower: FollowerId(1), ask: Ask::Number(1), failed: Some(InstanceId(by)), block: None };
        let mut sources = Sources::default();
        let order = |sources: &Sources, now| {
            let mut all = [0, 1, 2].map(InstanceId);
            sources.sort(&mut all, now);
            all.map(|one| one.0)
        };
        assert_eq!(order(&sources, at(0)), [0, 1, 2]);
        // Two fetches fail at the same time: both are asked of the next one.
        sources.on_filled(&failed(0), at(0));
        sources.on_filled(&failed(0), at(0));
        assert_eq!(order(&sources, at(1)), [1, 2, 0]);
        sources.on_filled(&failed(1), at(10));
        sources.on_filled(&failed(2), at(20));
        assert_eq!(order(&sources, at(21)), [0, 1, 2]);
        sources.on_filled(&failed(0), at(30));
        assert_eq!(order(&sources, at(31)), [1, 2, 0]);
        assert_eq!(order(&sources, at(30 + limits::FILL_DOUBT_MS)), [0, 1, 2]);
        sources.on_filled(&failed(0), at(40_000));
        sources.begin(InstanceId(0));
        assert_eq!(order(&sources, at(40_001)), [0, 1, 2]);
    }
}
