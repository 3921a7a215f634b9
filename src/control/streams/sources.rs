//! Whom a fetch of a follower is asked of: its leader first, then the others in their order, and after a failure the next one.

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
    /// Whom a fetch may be asked of, the best first: the leader, then the others in their order.
    fn all(&self) -> Vec<InstanceId> {
        let candidates = leaders::candidates(self.around.snapshot, self.route, self.around.region, true);
        instances_of(self.leader.into_iter().chain(candidates))
    }

    fn order(&self, to: Option<InstanceId>, wanted: Wanted) -> Order {
        Order::to(to, self.follower, (self.route, self.around.snapshot), wanted)
    }
}

/// Who is asked for a block's logs.
pub enum LogsChoice {
    Ask(Order),
    /// Whoever could be asked has answered.
    NobodyElse,
    /// Everybody wants to be left alone until then.
    Later(Instant),
}

#[derive(Default)]
pub struct Sources {
    /// Who turned a fetch away, and until when it wants to be left alone.
    rests: BTreeMap<InstanceId, Instant>,
    /// Whom a fetch is asked of moves on when one fails.
    turn: usize,
}

impl Sources {
    /// The leader is asked first again.
    pub fn begin(&mut self) {
        self.turn = 0;
    }

    pub fn on_filled(&mut self, filled: &Filled) {
        self.turn += usize::from(!filled.is_success());
        if let Filled::Logs { by, logs: Err(NoLogs::Limited { until }), .. } = filled {
            self.rests.insert(*by, *until);
        }
    }

    fn rests_until(&self, instance: InstanceId, now: Instant) -> Option<Instant> {
        self.rests.get(&instance).copied().filter(|until| *until > now)
    }

    /// The newest block is the leader's to tell, and what a witness says anybody else's. Everything else anybody may tell; after a
    /// failure the next one.
    pub fn order_block(&self, views: &Views<'_>, ask: Ask) -> Order {
        let sources = views.all();
        let from = match ask {
            Ask::Latest => in_turn(&sources, 0),
            Ask::Witness(_) => in_turn(sources.get(1..).unwrap_or(&[]), self.turn).or(in_turn(&sources, 0)),
            Ask::Number(_) | Ask::Hash(_) | Ask::Compare { .. } => in_turn(&sources, self.turn),
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
        let mut fresh: Vec<InstanceId> = sources.iter().copied().filter(|one| is_free(one) && is_new(one)).collect();
        fresh.sort_by_key(|one| !has_reached(plan, *one, question.number));
        let again: Vec<InstanceId> = sources.iter().copied().filter(is_free).collect();
        let chosen = match (in_turn(&fresh, self.turn), in_turn(&again, self.turn)) {
            (Some(one), _) => one,
            (None, Some(one)) if question.may_repeat => one,
            (None, Some(_)) => return LogsChoice::NobodyElse,
            (None, None) => {
                let rests = sources.iter().filter_map(|one| self.rests_until(*one, now)).min();
                return LogsChoice::Later(rests.unwrap_or(now.plus_ms(limits::FILL_RETRY_MS)));
            }
        };
        LogsChoice::Ask(views.order(Some(chosen), Wanted::Logs(question, asker)))
    }
}

/// After so many failures.
fn in_turn(sources: &[InstanceId], turn: usize) -> Option<InstanceId> {
    sources.get(turn.checked_rem(sources.len())?).copied()
}

/// One of its channels has said so high a block, or nothing yet.
fn has_reached(plan: &ChainPlan, instance: InstanceId, number: u64) -> bool {
    let mine = plan.fixed.channels.iter().filter(|(_, channel)| channel.instance() == instance);
    mine.filter_map(|(slot, _)| plan.heights.get(slot)).any(|height| height.reported == 0 || height.reported >= number)
}
