//! Which channel next: which provider, over which transport. A sieve says once which channels a call may go to; a walk then
//! takes them one at a time, best first.
//!
//! Sets are `u128` masks, so a step is a few ANDs and a draw: no list, no allocation, no hashing. The walk is lazy because
//! most calls need its first step only. It goes by demotion (nothing against it; doubtful; behind), inside that by health
//! tier (docs/behaviour/choosing.md#order), then by region, and only then by the strategy's own order: that is why every strategy
//! is the same walk, and why `explain` can show it by walking.

use crate::base::ids::{MethodId, ProviderId, SlotId};
use crate::base::limits::SLOTS_PER_CHAIN;
use crate::base::rng::Rng;
use crate::config::topology::Strategy;
use crate::route::resolve::Route;
use crate::snapshot::{ChainPlan, Ranking, Set, bit, members};
use arrayvec::ArrayVec;

/// What a call asks of the choice.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub strategy: Strategy,
    pub method: MethodId,
    /// Channels of the transport that is asked for, and that this shard has connections to.
    pub reachable: Set,
    /// Only these may be chosen (override, affinity).
    pub eligible: Set,
    /// Their capabilities allow the method (`ChainPlan::supports`); does not bind a pinned call, nor when it leaves nobody.
    pub supports: Set,
    /// The call needs old state: archival providers first.
    pub archival: bool,
    /// Would reject the parameters; chosen only when all would.
    pub unfit: Set,
    /// Have not reached the block that is asked for.
    pub behind: Set,
    /// Are known to have the block that is asked for: next in turn when another one says that there is none.
    pub witnesses: Set,
    /// Left out of `reachable` for a bulky call's sake; good enough to witness.
    pub spare: Set,
    /// Of the region to prefer.
    pub local: Set,
    /// Ours to leave out of the first choice for a moment: this shard has just seen them fail.
    pub vetoed: Set,
    pub pin: Option<ProviderId>,
    /// A pinned call may go on to the others.
    pub allow_failover: bool,
    /// This one is tried first: its evidence is old.
    pub remeasure: Option<SlotId>,
}

impl Ask {
    pub fn new(strategy: Strategy, method: MethodId) -> Ask {
        Ask {
            strategy,
            method,
            reachable: Set::MAX,
            eligible: Set::MAX,
            supports: Set::MAX,
            archival: false,
            unfit: 0,
            behind: 0,
            witnesses: 0,
            spare: 0,
            local: Set::MAX,
            vetoed: 0,
            pin: None,
            allow_failover: false,
            remeasure: None,
        }
    }
}

/// What a route and a method ask by themselves: strategy, transport, capabilities, the profile's own rule, the pin. A strategy in the
/// path stands over the rule's. Which of the channels this shard reaches is the shard's to add.
#[inline]
pub fn ask(plan: &ChainPlan, route: &Route, method: MethodId, name: &[u8]) -> Ask {
    let rule = if route.pin.is_some() { None } else { plan.fixed.rule(method, name) };
    let by_rule = rule.and_then(|rule| rule.strategy);
    Ask {
        reachable: plan.fixed.over(route.transport),
        eligible: rule.map_or(Set::MAX, |rule| rule.providers),
        supports: plan.supports(method, name),
        local: plan.fixed.local,
        pin: route.pin,
        allow_failover: route.allow_failover,
        ..Ask::new(route.strategy.or(by_rule).unwrap_or(plan.fixed.default_strategy), method)
    }
}

/// Who passes which question, in the order asked. Each set is part of the one before; `explain` shows where a provider
/// fell out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sieve {
    pub reachable: Set,
    pub asked: Set,
    pub right_chain: Set,
    pub supported: Set,
    /// Nobody holds the circuit open by hand.
    pub admitted: Set,
    /// The circuit is closed; while nobody's is, all of them: the least bad is better than nobody.
    pub allowed: Set,
    /// Would not reject the parameters. This is who the walk goes to.
    pub fit: Set,
}

impl Sieve {
    #[inline]
    pub fn new(plan: &ChainPlan, ask: &Ask) -> Sieve {
        let gates = &plan.gates;
        let pin = ask.pin.map_or(0, |pin| plan.fixed.of_provider(pin));
        let pinned_only = ask.pin.is_some() && !ask.allow_failover;
        let reachable = plan.fixed.together[0] & ask.reachable;
        let asked = reachable & ask.eligible & if pinned_only { pin } else { Set::MAX };
        let right_chain = asked & !gates.wrong_chain;
        // Whoever pins a provider knows what it can do (docs/behaviour/choosing.md#pins).
        let exempt = right_chain & pin;
        let able = right_chain & ask.supports;
        let supported = exempt | if able == 0 { right_chain } else { able };
        let admitted = supported & !gates.held;
        let closed = admitted & !(gates.open | gates.half_open);
        let allowed = if closed == 0 { admitted } else { closed };
        let without_unfit = allowed & !ask.unfit;
        let fit = if without_unfit == 0 { allowed } else { without_unfit };
        Sieve { reachable, asked, right_chain, supported, admitted, allowed, fit }
    }
}

/// The channels of one call, one at a time.
#[derive(Clone, Debug)]
pub struct Walk {
    remaining: Set,
    /// Those that were chosen and not put back, and those that are out for good.
    gone: Set,
    /// Put back for later: another call has the turn there.
    deferred: Set,
    first: Set,
    witnesses: Set,
    strategy: Strategy,
    method: MethodId,
    local: Set,
    /// Least first: just seen failing, behind, without the old state that is asked for, misconfigured, on another fork, on an instance that has
    /// failed this call over the other transport.
    demoted: [Set; 6],
}

impl Walk {
    #[inline]
    pub fn new(plan: &ChainPlan, ask: &Ask) -> Walk {
        let remaining = Sieve::new(plan, ask).fit;
        let pruned = if ask.archival { !plan.fixed.archival } else { 0 };
        let demoted = [ask.vetoed, plan.gates.lagging | ask.behind, pruned, plan.gates.misconfigured, plan.gates.forked, 0];
        let troubled = demoted.into_iter().fold(0, |all, set| all | set);
        let untroubled = remaining & !troubled & plan.tiers()[0];
        let remeasure = ask.remeasure.map_or(0, bit) & untroubled;
        let first = ask.pin.map_or(remeasure, |pin| plan.fixed.of_provider(pin));
        let (strategy, method, local) = (ask.strategy, ask.method, ask.local);
        let witnesses = if ask.witnesses == 0 { 0 } else { witnesses(plan, ask) };
        Walk { remaining, gone: 0, deferred: 0, first, witnesses, strategy, method, local, demoted }
    }

    /// The next channel, best first; it is not returned again.
    #[inline]
    pub fn next(&mut self, plan: &ChainPlan, rng: &mut Rng) -> Option<SlotId> {
        let group = self.best_group(plan)?;
        let chosen = choose(plan, self.strategy, self.method, group, rng)?;
        self.remaining &= !bit(chosen);
        self.gone |= bit(chosen);
        Some(chosen)
    }

    /// `slot` was sent the call: it and whoever shares its connections are out.
    pub fn exclude_channel_of(&mut self, plan: &ChainPlan, slot: SlotId) {
        self.exclude(plan.fixed.same_channel.get(slot).copied().unwrap_or(0));
    }

    /// `slot` was sent what must not reach its instance twice.
    pub fn exclude_instance_of(&mut self, plan: &ChainPlan, slot: SlotId) {
        self.exclude(plan.fixed.same_instance.get(slot).copied().unwrap_or(0));
    }

    /// `slot` says that there is no such thing. The node behind its instance's other door is taken for the same one, unless that
    /// door is known to have it.
    pub fn exclude_lacking(&mut self, plan: &ChainPlan, slot: SlotId) {
        let instance = plan.fixed.same_instance.get(slot).copied().unwrap_or(0);
        self.exclude_channel_of(plan, slot);
        self.exclude(instance & !self.witnesses);
        self.turn_to_witnesses();
    }

    /// Those who are known to have it come next.
    pub fn turn_to_witnesses(&mut self) {
        self.remaining |= self.witnesses & !self.gone;
        if self.witnesses != 0 {
            self.first = self.witnesses;
        }
    }

    fn exclude(&mut self, set: Set) {
        self.remaining &= !set;
        self.deferred &= !set;
        self.gone |= set;
    }

    /// `slot` was chosen and cannot be asked at the moment: it comes again after `resume`.
    pub fn defer(&mut self, slot: SlotId) {
        self.gone &= !bit(slot);
        self.deferred |= bit(slot);
    }

    pub fn has_deferred(&self) -> bool {
        self.deferred != 0
    }

    /// What was put back may be chosen again.
    pub fn resume(&mut self) {
        self.remaining |= std::mem::take(&mut self.deferred);
    }

    /// The same walk by newer knowledge: whoever was asked is not asked again.
    pub fn renew(&mut self, plan: &ChainPlan, ask: &Ask) {
        let fresh = Walk::new(plan, ask);
        let over_the_other = self.demoted[5];
        let gone = self.gone;
        *self = Walk { remaining: fresh.remaining & !gone, gone, ..fresh };
        self.demoted[5] = over_the_other;
    }

    /// Whether somebody is left who answers this method within `left_ms`, as far as that is known.
    pub fn can_finish_within(&self, plan: &ChainPlan, left_ms: u64) -> bool {
        members(self.remaining).any(|slot| plan.ranking(self.method).usual_ms(slot).is_none_or(|ms| ms <= left_ms))
    }

    /// `slot` failed: its instance's other transport is tried after all other instances.
    pub fn demote_instance_of(&mut self, plan: &ChainPlan, slot: SlotId) {
        self.demoted[5] |= plan.fixed.same_instance.get(slot).copied().unwrap_or(0);
    }

    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// Who may be the next one, and how likely: what `next` draws from. The shares sum to 1 while anybody is left.
    pub fn odds(&self, plan: &ChainPlan) -> ArrayVec<(SlotId, f32), SLOTS_PER_CHAIN> {
        let Some(group) = self.best_group(plan) else { return ArrayVec::new() };
        let Contest { set, is_weighted } = contest(plan, self.strategy, self.method, group);
        let (draw, ranking) = (Draw::of(plan, set), plan.ranking(self.method));
        let total = if is_weighted { draw.total_weight(ranking) } else { None };
        let alike = |id| draw.share(id) / draw.heads().count_ones() as f32;
        members(set).map(|id| (id, total.map_or_else(|| alike(id), |total| draw.weight(id, ranking) / total))).collect()
    }

    /// What put a channel behind others: just seen failing, behind, no archive, misconfigured, on another fork.
    pub fn demotions(&self, slot: SlotId) -> [bool; 5] {
        let [vetoed, behind, pruned, misconfigured, forked, _] = self.demoted.map(|set| set & bit(slot) != 0);
        [vetoed, behind, pruned, misconfigured, forked]
    }

    /// Those whom nothing but the strategy ranks.
    #[inline]
    fn best_group(&self, plan: &ChainPlan) -> Option<Set> {
        // Whoever is named goes before all others, its channels among themselves like all others.
        let named = self.first & self.remaining;
        let mut level = if named != 0 { named } else { self.remaining };
        for demoted in self.demoted.into_iter().rev() {
            // The worst first: whoever is left when they are taken out goes before them.
            let better = level & !demoted;
            level = if better != 0 { better } else { level };
        }
        let tier = plan.tiers().into_iter().map(|tier| level & tier).find(|set| *set != 0)?;
        let local = tier & self.local;
        Some(if local != 0 { local } else { tier })
    }
}

fn witnesses(plan: &ChainPlan, ask: &Ask) -> Set {
    let wider = Ask { reachable: ask.reachable | ask.spare, ..*ask };
    Sieve::new(plan, &wider).fit & ask.witnesses
}

#[inline]
fn choose(plan: &ChainPlan, strategy: Strategy, method: MethodId, group: Set, rng: &mut Rng) -> Option<SlotId> {
    if group.is_power_of_two() {
        return Some(SlotId(group.trailing_zeros() as u8));
    }
    let Contest { set, is_weighted } = contest(plan, strategy, method, group);
    let draw = Draw::of(plan, set);
    if is_weighted { draw.by_weight(plan.ranking(method), rng) } else { draw.alike(rng) }
}

/// Among whom a draw is made.
struct Contest {
    set: Set,
    /// By the ranking's weights, else alike.
    is_weighted: bool,
}

/// What a strategy makes of a group between whose members nothing else decides.
#[inline]
fn contest(plan: &ChainPlan, strategy: Strategy, method: MethodId, group: Set) -> Contest {
    let alike = |set: Set| Contest { set, is_weighted: false };
    match strategy {
        Strategy::LoadBalanced => alike(group),
        Strategy::Priority => alike(plan.fixed.by_priority.iter().map(|tie| tie & group).find(|tie| *tie != 0).unwrap_or(group)),
        Strategy::Fastest => {
            let first = plan.ranking(method).order.iter().copied().find(|id| bit(*id) & group != 0);
            alike(first.map_or(group, bit))
        }
        Strategy::LatencyWeighted => {
            let ranking = plan.ranking(method);
            let groups = [group & ranking.qualified, group & ranking.measured, group];
            let set = groups.into_iter().find(|set| *set != 0).unwrap_or(group);
            Contest { set, is_weighted: true }
        }
    }
}

/// A draw from a set. A provider whose two channels are both in it counts once: they share its turn.
struct Draw {
    set: Set,
    /// The later ones of such pairs; the others stand one place before.
    seconds: Set,
}

impl Draw {
    #[inline]
    fn of(plan: &ChainPlan, set: Set) -> Draw {
        Draw { set, seconds: set & plan.fixed.second & (set << 1) }
    }

    /// One for each provider.
    #[inline]
    fn heads(&self) -> Set {
        self.set & !self.seconds
    }

    /// Of its provider's turn.
    #[inline]
    fn share(&self, slot: SlotId) -> f32 {
        if (self.seconds | self.seconds >> 1) & bit(slot) != 0 { 0.5 } else { 1.0 }
    }

    #[inline]
    fn weight(&self, slot: SlotId, ranking: &Ranking) -> f32 {
        ranking.weight(slot) * self.share(slot)
    }

    /// Every provider alike.
    #[inline]
    fn alike(&self, rng: &mut Rng) -> Option<SlotId> {
        let mut rest = self.heads();
        let count = rest.count_ones();
        if count > 1 {
            for _ in 0..rng.below(u64::from(count)) {
                rest &= rest - 1; // clears the lowest member
            }
        }
        let head = (rest != 0).then(|| rest.trailing_zeros() as u8)?;
        let is_pair = self.seconds & (bit(SlotId(head)) << 1) != 0;
        Some(SlotId(if is_pair { head + rng.below(2) as u8 } else { head }))
    }

    /// Nothing when nobody weighs anything: then all are alike.
    fn total_weight(&self, ranking: &Ranking) -> Option<f32> {
        let total: f32 = match self.seconds {
            0 => ranking.weight_of(self.set),
            _ => members(self.set).map(|id| self.weight(id, ranking)).sum(),
        };
        (total > 0.0 && total.is_finite()).then_some(total)
    }

    /// A member drawn by weight; the last one that weighs anything when the sum was rounded up.
    #[inline]
    fn by_weight(&self, ranking: &Ranking, rng: &mut Rng) -> Option<SlotId> {
        let Some(total) = self.total_weight(ranking) else { return self.alike(rng) };
        let has_pairs = self.seconds != 0;
        let mut left = rng.unit() as f32 * total;
        let mut last = None;
        for id in members(self.set).filter(|id| ranking.weight(*id) > 0.0) {
            last = Some(id);
            left -= if has_pairs { self.weight(id, ranking) } else { ranking.weight(id) };
            if left < 0.0 {
                break;
            }
        }
        last
    }
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
