//! What the configuration says about choosing on one (profile, chain), as masks. Bit i stands for provider i.

use crate::base::ids::{ChannelId, EntryId, Id, IdVec, MethodId, ProviderId, Transport};
use crate::chain::method;
use crate::config::topology::{Chain, Provider, Strategy, Topology};
use crate::snapshot::bit;

#[derive(Clone, Debug)]
pub struct Fixed {
    /// Providers with an HTTP endpoint.
    pub http: u64,
    /// Providers of equal priority, best first: the order of `priority`, ties open.
    pub by_priority: Vec<u64>,
    /// All providers as one group: the order of `load-balanced`.
    pub together: [u64; 1],
    /// For each provider, all providers on the same instance (itself too): one dispatch takes them all out.
    pub same_instance: IdVec<ProviderId, u64>,
    /// Each provider's HTTP channel.
    pub channels: IdVec<ProviderId, ChannelId>,
    pub first_entry: EntryId,
    /// Strategy of calls whose path names none.
    pub default_strategy: Strategy,
    /// Providers of the node's own region, or of no region.
    pub local: u64,
    /// Providers that keep old state.
    pub archival: u64,
    /// In blocks, from the chain's configuration.
    pub archival_threshold: u64,
    pub bounds: IdVec<ProviderId, Bounds>,
    /// Some provider has a bound.
    pub has_bounds: bool,
    /// By method: providers whose capabilities allow it.
    supports: IdVec<MethodId, u64>,
    /// Methods outside of the table that some provider says it lacks.
    unsupported_names: Vec<(Box<str>, u64)>,
    overrides: Vec<Override>,
}

/// What a provider's configuration allows to be asked of it (LB §3.2).
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    pub max_block_range: Option<u64>,
    pub max_block_age: Option<u64>,
    /// `max_block_age` acts on these methods only.
    pub age_methods: Vec<Box<str>>,
}

/// `routing.method_overrides` of one method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    pub strategy: Option<Strategy>,
    /// Providers that may be chosen.
    pub providers: u64,
}

#[derive(Clone, Debug)]
struct Override {
    name: Box<str>,
    method: MethodId,
    rule: Rule,
}

impl Fixed {
    pub fn new(topology: &Topology, chain: &Chain, node_default: Strategy, region: &str) -> Fixed {
        let all: Vec<(u64, &Provider)> = chain.providers.iter().map(|(id, p)| (bit(id), p)).collect();
        let union = |of: &dyn Fn(&Provider) -> bool| all.iter().filter(|(_, p)| of(p)).fold(0, |m, (b, _)| m | b);
        let mut priorities: Vec<u32> = all.iter().map(|(_, p)| p.priority).collect();
        priorities.sort_unstable();
        priorities.dedup();
        let bounds: IdVec<ProviderId, Bounds> = all.iter().map(|(_, p)| Bounds::of(p)).collect();
        Fixed {
            http: union(&|p| topology.instances[p.instance].http_from(region).is_some()),
            by_priority: priorities.iter().map(|&n| union(&|p| p.priority == n)).collect(),
            together: [union(&|_| true)],
            same_instance: all.iter().map(|(_, p)| union(&|other| other.instance == p.instance)).collect(),
            channels: all.iter().map(|(_, p)| ChannelId::of(p.instance, Transport::Http)).collect(),
            first_entry: chain.first_entry,
            default_strategy: chain.default_strategy.unwrap_or(node_default),
            local: union(&|p| p.regions.is_empty() || p.regions.iter().any(|r| **r == *region)),
            archival: union(&|p| p.archival),
            archival_threshold: chain.archival_threshold,
            has_bounds: bounds.values().any(|b| b.max_block_range.is_some() || b.max_block_age.is_some()),
            bounds,
            supports: method::all().map(|(_, info)| union(&|p| allows(p, info))).collect(),
            unsupported_names: unsupported_names(&all),
            overrides: chain.method_overrides.iter().map(|o| Override::of(o, union(&|_| true))).collect(),
        }
    }

    /// Providers whose capabilities allow the method; `name` tells methods apart that are in no table.
    #[inline]
    pub fn supports(&self, method: MethodId, name: &[u8]) -> u64 {
        let known = self.supports.get(method).copied().unwrap_or(self.together[0]);
        if method != method::UNKNOWN || self.unsupported_names.is_empty() {
            return known;
        }
        let lacking = self.unsupported_names.iter().find(|(n, _)| n.as_bytes() == name);
        known & !lacking.map_or(0, |(_, mask)| *mask)
    }

    /// What the profile says of this method; nearly always nothing.
    #[inline]
    pub fn rule(&self, method: MethodId, name: &[u8]) -> Option<Rule> {
        if self.overrides.is_empty() {
            return None;
        }
        let mine = |o: &&Override| o.method == method && (method != method::UNKNOWN || o.name.as_bytes() == name);
        self.overrides.iter().find(mine).map(|o| o.rule)
    }

    pub fn ids(&self) -> impl Iterator<Item = ProviderId> {
        (0..self.channels.len()).map(ProviderId::from_index)
    }

    pub fn entry(&self, provider: ProviderId) -> EntryId {
        EntryId(self.first_entry.0 + u32::from(provider.0))
    }

    /// Providers of a region that a client asks for.
    pub fn in_region(chain: &Chain, region: &str) -> u64 {
        let of = |p: &Provider| p.regions.iter().any(|r| **r == *region);
        chain.providers.iter().filter(|(_, p)| of(p)).fold(0, |mask, (id, _)| mask | bit(id))
    }
}

impl Bounds {
    fn of(provider: &Provider) -> Bounds {
        let capabilities = &provider.capabilities;
        Bounds {
            max_block_range: capabilities.max_block_range,
            max_block_age: capabilities.max_block_age,
            age_methods: capabilities.block_age_methods.clone(),
        }
    }
}

impl Override {
    fn of(configured: &crate::config::topology::MethodOverride, all: u64) -> Override {
        let named = configured.providers.iter().fold(0, |mask, id| mask | bit(*id));
        Override {
            method: method::lookup(configured.method.as_bytes()),
            name: configured.method.clone(),
            rule: Rule { strategy: configured.strategy, providers: if named == 0 { all } else { named } },
        }
    }
}

/// Neither the method's category nor its name is excluded (LB §3.2).
fn allows(provider: &Provider, info: &method::MethodInfo) -> bool {
    let capabilities = &provider.capabilities;
    let named = capabilities.unsupported_methods.iter().any(|name| **name == *info.name);
    !named && !capabilities.unsupported_categories.contains(&info.category)
}

fn unsupported_names(all: &[(u64, &Provider)]) -> Vec<(Box<str>, u64)> {
    let mut names: Vec<(Box<str>, u64)> = Vec::new();
    for (mask, provider) in all {
        for name in &provider.capabilities.unsupported_methods {
            if method::lookup(name.as_bytes()) != method::UNKNOWN {
                continue;
            }
            match names.iter_mut().find(|(have, _)| have == name) {
                Some((_, have)) => *have |= mask,
                None => names.push((name.clone(), *mask)),
            }
        }
    }
    names
}
