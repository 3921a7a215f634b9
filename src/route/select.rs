//! Which provider next. A sieve says once which providers a call may go to; a walk then takes them one at a time, best
//! first.
//!
//! Sets are `u64` masks, so a step is a few ANDs and a draw: no list, no allocation, no hashing. The walk is lazy because
//! most calls need its first step only. It goes by demotion (nothing against it; doubtful; behind), inside that by health
//! tier (CONTRACT §4.3), then by region, and only then by the strategy's own order: that is why every strategy is the
//! same walk, and why `explain` can show it by walking.

use crate::base::ids::{MethodId, ProviderId};
use crate::base::rng::Rng;
use crate::config::topology::Strategy;
use crate::route::resolve::Route;
use crate::snapshot::{ChainPlan, Ranking, bit, members};
use arrayvec::ArrayVec;

/// What a call asks of the choice.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub strategy: Strategy,
    pub method: MethodId,
    /// Only these may be chosen (override, affinity).
    pub eligible: u64,
    /// Their capabilities allow the method (`ChainPlan::supports`); does not bind a pinned call, nor when it leaves nobody.
    pub supports: u64,
    /// The call needs old state: only archival providers.
    pub archival: bool,
    /// Would reject the parameters; chosen only when all would.
    pub unfit: u64,
    /// Have not reached the block that is asked for.
    pub behind: u64,
    /// Of the region to prefer.
    pub local: u64,
    /// Ours to leave out of the first choice for a moment: this shard has just seen them fail.
    pub vetoed: u64,
    /// Half-open ones for which this shard holds a permit.
    pub permitted: u64,
    pub pin: Option<ProviderId>,
    /// A pinned call may go on to the others.
    pub allow_failover: bool,
    /// This one is tried first: its evidence is old.
    pub remeasure: Option<ProviderId>,
}

impl Ask {
    pub fn new(strategy: Strategy, method: MethodId) -> Ask {
        Ask {
            strategy,
            method,
            eligible: u64::MAX,
            supports: u64::MAX,
            archival: false,
            unfit: 0,
            behind: 0,
            local: u64::MAX,
            vetoed: 0,
            permitted: 0,
            pin: None,
            allow_failover: false,
            remeasure: None,
        }
    }
}

/// What a route and a method ask by themselves: strategy, capabilities, the profile's own rule, the pin. A strategy in the
/// path stands over the rule's.
#[inline]
pub fn ask(plan: &ChainPlan, route: &Route, method: MethodId, name: &[u8]) -> Ask {
    let rule = if route.pin.is_some() { None } else { plan.fixed.rule(method, name) };
    let by_rule = rule.and_then(|rule| rule.strategy);
    Ask {
        eligible: rule.map_or(u64::MAX, |rule| rule.providers),
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
    pub reachable: u64,
    pub asked: u64,
    pub right_chain: u64,
    pub supported: u64,
    pub archival: u64,
    /// The circuit is not open.
    pub admitted: u64,
    /// Closed, or half-open with a permit while none is closed.
    pub allowed: u64,
    /// Would not reject the parameters. This is who the walk goes to.
    pub fit: u64,
}

impl Sieve {
    #[inline]
    pub fn new(plan: &ChainPlan, ask: &Ask) -> Sieve {
        let gates = &plan.gates;
        let pin = ask.pin.map_or(0, bit);
        let pinned_only = pin != 0 && !ask.allow_failover;
        let reachable = plan.fixed.together[0] & plan.fixed.http;
        let asked = reachable & ask.eligible & if pinned_only { pin } else { u64::MAX };
        let right_chain = asked & !gates.wrong_chain;
        // Whoever pins a provider knows what it can do (LB §1.4).
        let exempt = right_chain & pin;
        let able = right_chain & ask.supports;
        let supported = exempt | if able == 0 { right_chain } else { able };
        let archival = exempt | (supported & if ask.archival { plan.fixed.archival } else { u64::MAX });
        let admitted = archival & !gates.open;
        let closed = admitted & !gates.half_open;
        let allowed = if closed == 0 { admitted & ask.permitted } else { closed };
        let without_unfit = allowed & !ask.unfit;
        let fit = if without_unfit == 0 { allowed } else { without_unfit };
        Sieve { reachable, asked, right_chain, supported, archival, admitted, allowed, fit }
    }
}

/// The providers of one call, one at a time.
#[derive(Clone, Debug)]
pub struct Walk {
    remaining: u64,
    first: u64,
    strategy: Strategy,
    method: MethodId,
    local: u64,
    /// Least first: just seen failing, behind, misconfigured.
    demoted: [u64; 3],
}

impl Walk {
    #[inline]
    pub fn new(plan: &ChainPlan, ask: &Ask) -> Walk {
        let remaining = Sieve::new(plan, ask).fit;
        let demoted = [ask.vetoed, plan.gates.lagging | ask.behind, plan.gates.misconfigured];
        let untroubled = remaining & !demoted[0] & !demoted[1] & !demoted[2] & plan.tiers()[0];
        let remeasure = ask.remeasure.map_or(0, bit) & untroubled;
        let first = ask.pin.map_or(remeasure, bit);
        Walk { remaining, first, strategy: ask.strategy, method: ask.method, local: ask.local, demoted }
    }

    /// The next provider, best first; it is not returned again.
    #[inline]
    pub fn next(&mut self, plan: &ChainPlan, rng: &mut Rng) -> Option<ProviderId> {
        let group = self.best_group(plan)?;
        let chosen = choose(plan, self.strategy, self.method, group, rng)?;
        self.remaining &= !bit(chosen);
        Some(chosen)
    }

    /// Takes out every provider that shares `provider`'s instance: it was sent the call, so they were.
    pub fn exclude_instance_of(&mut self, plan: &ChainPlan, provider: ProviderId) {
        self.remaining &= !plan.fixed.same_instance.get(provider).copied().unwrap_or(0);
    }

    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// Who may be the next one, and how likely: what `next` draws from. The shares sum to 1 while anybody is left.
    pub fn odds(&self, plan: &ChainPlan) -> ArrayVec<(ProviderId, f32), 64> {
        let Some(group) = self.best_group(plan) else { return ArrayVec::new() };
        let Contest { set, is_weighted } = contest(plan, self.strategy, self.method, group);
        let ranking = plan.ranking(self.method);
        let total = if is_weighted { total_weight(set, ranking) } else { None };
        let alike = 1.0 / set.count_ones() as f32;
        members(set).map(|id| (id, total.map_or(alike, |total| ranking.weight(id) / total))).collect()
    }

    /// What put a provider behind others: just seen failing, behind, misconfigured.
    pub fn demotions(&self, provider: ProviderId) -> [bool; 3] {
        self.demoted.map(|set| set & bit(provider) != 0)
    }

    /// Those whom nothing but the strategy ranks.
    #[inline]
    fn best_group(&self, plan: &ChainPlan) -> Option<u64> {
        let first = self.first & self.remaining;
        if first != 0 {
            return Some(first);
        }
        let mut level = self.remaining;
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

#[inline]
fn choose(plan: &ChainPlan, strategy: Strategy, method: MethodId, group: u64, rng: &mut Rng) -> Option<ProviderId> {
    if group.is_power_of_two() {
        return Some(ProviderId(group.trailing_zeros() as u8));
    }
    let Contest { set, is_weighted } = contest(plan, strategy, method, group);
    if is_weighted { draw_weighted(set, plan.ranking(method), rng) } else { draw(set, rng) }
}

/// Among whom a draw is made.
struct Contest {
    set: u64,
    /// By the ranking's weights, else alike.
    is_weighted: bool,
}

/// What a strategy makes of a group between whose members nothing else decides.
#[inline]
fn contest(plan: &ChainPlan, strategy: Strategy, method: MethodId, group: u64) -> Contest {
    let alike = |set: u64| Contest { set, is_weighted: false };
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

/// A uniformly drawn member of a set.
#[inline]
fn draw(set: u64, rng: &mut Rng) -> Option<ProviderId> {
    let mut rest = set;
    if set.count_ones() > 1 {
        for _ in 0..rng.below(u64::from(set.count_ones())) {
            rest &= rest - 1; // clears the lowest member
        }
    }
    (rest != 0).then(|| ProviderId(rest.trailing_zeros() as u8))
}

/// Nothing when nobody weighs anything: then all are alike.
fn total_weight(set: u64, ranking: &Ranking) -> Option<f32> {
    let total: f32 = members(set).map(|id| ranking.weight(id)).sum();
    (total > 0.0 && total.is_finite()).then_some(total)
}

/// A member drawn by weight; the last one that weighs anything when the sum was rounded up.
#[inline]
fn draw_weighted(set: u64, ranking: &Ranking, rng: &mut Rng) -> Option<ProviderId> {
    let Some(total) = total_weight(set, ranking) else { return draw(set, rng) };
    let mut left = rng.unit() as f32 * total;
    let mut last = None;
    for id in members(set).filter(|id| ranking.weight(*id) > 0.0) {
        last = Some(id);
        left -= ranking.weight(id);
        if left < 0.0 {
            break;
        }
    }
    last
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
