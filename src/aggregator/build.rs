//! From what is known to what shards read: masks and rankings of the next snapshot.

use crate::aggregator::{Aggregator, Place};
use crate::base::ids::{ChainId, ChannelId, Id, IdVec, ProfileId, SlotId};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::chain::method;
use crate::chain::method_key::MethodKey;
use crate::health::breaker::Gate;
use crate::health::breaker::Manual;
use crate::health::evidence::Standing;
use crate::health::trouble::Trouble;
use crate::snapshot::{ChainPlan, Gates, Grant, Height, LearntLimits, Ranking, Set, Trial, bit};
use std::sync::Arc;

impl Aggregator {
    /// Rebuilds the rankings whose evidence moved, and grants calls to whom should be measured again.
    pub(super) fn rank(&mut self, now: Instant) {
        let mut places = std::mem::take(&mut self.dirty);
        places.extend(self.demand.keys().copied());
        for place in places {
            let (profile, chain, method) = place;
            let ranking = self.ranking(place, now);
            let plan = Arc::make_mut(&mut self.next.plans[profile][chain]);
            if method == method::UNKNOWN {
                // What nobody has measured shares one ranking, that of the probes.
                let blank = Arc::new(ranking);
                for (id, _) in method::all().filter(|(id, _)| !self.measured.contains(&(profile, chain, *id))) {
                    plan.rankings[id] = blank.clone();
                }
                continue;
            }
            let is_measured = ranking.standings.values().any(|s| s.latency_us.or(s.kept_us).is_some());
            if is_measured {
                self.measured.insert(place);
            }
            plan.rankings[method] = Arc::new(ranking);
        }
    }

    fn ranking(&mut self, place: Place, now: Instant) -> Ranking {
        let (profile, chain, method) = place;
        let fixed = self.next.plans[profile][chain].fixed.clone();
        let standing = |channel| self.evidence.standing(channel, method, now);
        let standings: IdVec<SlotId, Standing> = fixed.channels.values().map(|channel| standing(*channel)).collect();
        let grant = self.grant(place, &standings, now);
        let mut ranking = Ranking::new(&fixed, standings, self.rules.beta);
        ranking.grant = grant;
        ranking
    }

    /// One call of a shard that has such calls may be diverted to the healthy provider that was measured longest ago.
    fn grant(&mut self, place: Place, standings: &IdVec<SlotId, Standing>, now: Instant) -> Option<Grant> {
        let (profile, chain, method) = place;
        let shard = *self.demand.get(&place)?;
        let plan = &self.next.plans[profile][chain];
        let healthy =
            plan.tiers()[0] & plan.fixed.together[0] & !plan.gates.misconfigured & !plan.gates.lagging & !plan.gates.wrong_chain;
        let healthy = healthy & !plan.gates.forked;
        let able = healthy & plan.supports(method, b"");
        let old = Duration::from_millis(limits::REMEASURE_MS);
        let is_old = |s: &Standing| s.last.is_none_or(|last| now.since(last) >= old);
        let granted = |id: SlotId| self.grants.get(&(place, plan.fixed.channels[id]));
        let candidates = standings.iter().filter(|(id, s)| bit(*id) & able != 0 && is_old(s));
        let rested = candidates.filter(|(id, _)| granted(*id).is_none_or(|(_, at)| now.since(*at) >= old));
        let (slot, _) = rested.min_by_key(|(_, s)| s.last)?;
        let channel = plan.fixed.channels[slot];
        let grant = Grant { slot, shard, id: self.next_grant };
        self.next_grant = self.next_grant.wrapping_add(1).max(1);
        self.grants.insert((place, channel), (grant, now));
        Some(grant)
    }

    /// Rebuilds every plan's masks; says whether any changed.
    pub(super) fn gate(&mut self, now: Instant) -> bool {
        let mut moved = false;
        let profiles = (0..self.next.plans.len()).map(ProfileId::from_index);
        let places: Vec<(ProfileId, ChainId)> =
            profiles.flat_map(|p| (0..self.next.plans[p].len()).map(move |c| (p, ChainId::from_index(c)))).collect();
        for (profile, chain) in places {
            let mut health = self.health_of(&self.next.plans[profile][chain], now);
            self.add_heights(&mut health, profile, chain, now);
            if !health.is_in(&self.next.plans[profile][chain]) {
                health.put_in(Arc::make_mut(&mut self.next.plans[profile][chain]));
                moved = true;
            }
        }
        let (trials, urgent) = (self.control_trials(), self.urgent(now));
        moved |= trials != self.next.trials || urgent != self.next.urgent;
        (self.next.trials, self.next.urgent) = (trials, urgent);
        moved
    }

    /// Whose probes should not wait for their turn: calls have nobody else, or a suspicion is to be decided.
    fn urgent(&mut self, now: Instant) -> Vec<ChannelId> {
        let mut dark = vec![false; self.channels.len()];
        for plan in self.next.plans.values().flat_map(|plans| plans.values()).filter(|plan| plan.has_nobody()) {
            // One that was last seen on another chain gets no call whatever its circuit: only a probe finds it well again.
            let gets_none = |id: SlotId| plan.is_dark(id) || plan.gates.wrong_chain & bit(id) != 0;
            let waited_for = plan.fixed.channels.iter().filter(|(id, _)| gets_none(*id) && plan.gates.held & bit(*id) == 0);
            for (_, channel) in waited_for {
                if let Some(mark) = dark.get_mut(channel.index()) {
                    *mark = true;
                }
            }
        }
        let mut urgent = Vec::new();
        for (id, is_dark) in (0..self.channels.len()).map(ChannelId::from_index).zip(dark) {
            let Some(channel) = self.channels.get_mut(id) else { continue };
            channel.is_dark = is_dark;
            let is_suspected = channel.breaker.gate() == Gate::Closed && channel.suspicion.view(now).is_some();
            if is_dark || is_suspected {
                urgent.push(id);
            }
        }
        urgent
    }

    fn control_trials(&self) -> Vec<Trial> {
        let mine = self.channels.iter().filter_map(|(channel, c)| Some((channel, c.breaker.permit()?)));
        let mine = mine.filter(|(_, permit)| permit.holder == self.control);
        mine.map(|(channel, p)| Trial { channel, permit: p.id, start_by: p.start_by }).collect()
    }

    /// Heights, and who is further behind than the chain allows (docs/behaviour/health.md#lag).
    fn add_heights(&self, health: &mut Health, profile: ProfileId, chain: ChainId, now: Instant) {
        let configured = &self.topology.profiles[profile].chains[chain];
        let Some(heads) = self.heads.get(&configured.chain_number) else { return };
        health.consensus = heads.consensus(now);
        for (id, channel) in self.next.plans[profile][chain].fixed.channels.iter() {
            let optimistic = heads.optimistic(channel.instance(), now).unwrap_or(0);
            let reported = heads.height(channel.instance()).map_or(0, |(height, _)| height);
            let lag = heads.lag(channel.instance(), now);
            if lag.is_some_and(|lag| lag < 0 && lag.unsigned_abs() > configured.max_lag_blocks) {
                health.gates.lagging |= bit(id);
            }
            if heads.forked(channel.instance(), now).is_some() {
                health.gates.forked |= bit(id);
            }
            health.heights.push(Height { reported, optimistic, lag: lag.unwrap_or(0) });
        }
    }

    fn health_of(&self, plan: &ChainPlan, now: Instant) -> Health {
        let mut health = Health::default();
        for (id, channel) in plan.fixed.channels.iter() {
            let (mask, channel) = (bit(id), &self.channels[*channel]);
            match channel.breaker.gate() {
                Gate::Closed => {
                    let is_held = channel.breaker.manual() == Some(Manual::Close);
                    health.gates.held_closed |= if is_held { mask } else { 0 };
                    health.gates.suspected |= if channel.suspicion.view(now).is_some() { mask } else { 0 };
                }
                Gate::HalfOpen => health.gates.half_open |= mask,
                Gate::Open => {
                    health.gates.open |= mask;
                    health.gates.held |= if channel.breaker.manual() == Some(Manual::Open) { mask } else { 0 };
                }
            }
            health.troubles.extend(channel.trouble(now).map(|trouble| (id, trouble)));
            if channel.cooldown.is_limited(now) && channel.breaker.gate() != Gate::Closed {
                let until = Some(channel.cooldown.until());
                health.rest_ends = [health.rest_ends, until].into_iter().flatten().min();
            }
            let set = |to: &mut Set, is: bool| *to |= if is { mask } else { 0 };
            set(&mut health.gates.limited, channel.limited_until(now).is_some());
            set(&mut health.gates.misconfigured, channel.misconfigured_since.is_some());
            set(&mut health.gates.wrong_chain, channel.wrong_chain.is_some());
            let view = channel.learnt_view(now);
            let rejected = |most: Option<u64>| most.map_or(u64::MAX, |most| most.saturating_add(1));
            health
                .learnt
                .push(LearntLimits { rejected_range: rejected(view.max_log_range), rejected_depth: rejected(view.max_depth) });
            for lacking in view.methods {
                match health.methods.iter_mut().find(|(have, _)| *have == lacking) {
                    Some((_, have)) => *have |= mask,
                    None => health.methods.push((lacking, mask)),
                }
            }
        }
        health
    }
}

/// The part of a plan that follows from its channels.
#[derive(Default)]
struct Health {
    gates: Gates,
    rest_ends: Option<Instant>,
    troubles: Vec<(SlotId, Trouble)>,
    learnt: IdVec<SlotId, LearntLimits>,
    methods: Vec<(MethodKey, Set)>,
    consensus: Option<u64>,
    heights: IdVec<SlotId, Height>,
}

impl Health {
    fn is_in(&self, plan: &ChainPlan) -> bool {
        let same_limits = self.learnt.values().eq(plan.learnt.values());
        self.gates == plan.gates
            && self.rest_ends == plan.rest_ends
            && self.troubles == plan.troubles
            && same_limits
            && self.methods == plan.learnt_methods
            && self.consensus == plan.consensus
            && self.heights.values().eq(plan.heights.values())
    }

    fn put_in(self, plan: &mut ChainPlan) {
        plan.has_learnt = self.learnt.values().any(|l| *l != LearntLimits::NONE);
        (plan.gates, plan.rest_ends, plan.troubles) = (self.gates, self.rest_ends, self.troubles);
        (plan.learnt, plan.learnt_methods) = (self.learnt, self.methods);
        (plan.consensus, plan.heights) = (self.consensus, self.heights);
    }
}
