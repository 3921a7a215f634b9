//! The one immutable value that every selector reads: the topology, and what follows from it for choosing.
//!
//! Whatever a call would otherwise compute per provider is a bit here: sets of providers are `u64` masks, an order is a
//! short list of masks, best first. A selection is then a few ANDs. The snapshot is replaced whole, never edited, so a
//! call sees one consistent world from start to end. Health, heads and evidence join it as further masks and orders.

use crate::base::ids::{ChainId, Id, IdVec, ProfileId, ProviderId};
use crate::config::topology::{Chain, Instance, Profile, Provider, Strategy, Topology};
use std::sync::Arc;

#[derive(Debug)]
pub struct Snapshot {
    pub topology: Topology,
    /// Same ids as `topology.profiles` and their chains.
    plans: IdVec<ProfileId, IdVec<ChainId, ChainPlan>>,
}

/// What choosing on one (profile, chain) needs. Bit i stands for provider i.
#[derive(Debug)]
pub struct ChainPlan {
    /// Providers with an HTTP endpoint.
    pub http: u64,
    /// Providers of equal priority, best first: the order of `priority`, ties open.
    pub by_priority: Vec<u64>,
    /// All providers as one group: the order of `load-balanced`.
    pub together: [u64; 1],
    /// For each provider, all providers on the same instance (itself too): one dispatch takes them all out.
    pub same_instance: IdVec<ProviderId, u64>,
    /// Strategy of calls whose path names none.
    pub default_strategy: Strategy,
}

impl Snapshot {
    pub fn new(topology: Topology, default_strategy: Strategy) -> Snapshot {
        let reachable = |p: &Provider| topology.instances[p.instance].http.is_some();
        let plan_profile = |p: &Profile| p.chains.values().map(|c| ChainPlan::new(c, default_strategy, &reachable)).collect();
        let plans = topology.profiles.values().map(plan_profile).collect();
        Snapshot { topology, plans }
    }

    pub fn plan(&self, profile: ProfileId, chain: ChainId) -> &ChainPlan {
        &self.plans[profile][chain]
    }

    pub fn chain(&self, profile: ProfileId, chain: ChainId) -> &Chain {
        &self.topology.profiles[profile].chains[chain]
    }

    pub fn instance_of(&self, provider: &Provider) -> &Arc<Instance> {
        &self.topology.instances[provider.instance]
    }
}

impl ChainPlan {
    /// Whether a call with this pin may be sent to `provider` at all.
    pub fn may_choose(&self, pin: Option<ProviderId>, allow_failover: bool, provider: ProviderId) -> bool {
        self.http & bit(provider) != 0 && pin.is_none_or(|pin| allow_failover || pin == provider)
    }

    /// `reachable`: has an HTTP endpoint. One with `ws_url` only awaits the WebSocket transport.
    fn new(chain: &Chain, node_default: Strategy, reachable: &dyn Fn(&Provider) -> bool) -> ChainPlan {
        let all: Vec<(u64, &Provider)> = chain.providers.iter().map(|(id, p)| (bit(id), p)).collect();
        let union = |of: &dyn Fn(&Provider) -> bool| all.iter().filter(|(_, p)| of(p)).fold(0, |m, (b, _)| m | b);
        let mut priorities: Vec<u32> = all.iter().map(|(_, p)| p.priority).collect();
        priorities.sort_unstable();
        priorities.dedup();
        ChainPlan {
            http: union(reachable),
            by_priority: priorities.iter().map(|&n| union(&|p| p.priority == n)).collect(),
            together: [union(&|_| true)],
            same_instance: all.iter().map(|(_, p)| union(&|other| other.instance == p.instance)).collect(),
            default_strategy: chain.default_strategy.unwrap_or(node_default),
        }
    }
}

/// The mask of one provider.
pub fn bit(provider: ProviderId) -> u64 {
    1u64 << (provider.index() as u32 & 63)
}
