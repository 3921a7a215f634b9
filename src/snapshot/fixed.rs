//! What the configuration says about choosing on one (profile, chain), as masks. Bit i stands for
//! slot i: each provider's HTTP channel, then its WebSocket channel, as far as it has endpoints for them.

use crate::base::ids::{ChannelId, EntryId, Id, IdVec, MethodId, ProviderId, SlotId, Transport};
use crate::chain::method::{self, Category, Safety, Terms};
use crate::config::topology::{Chain, MethodTerms, Provider, Strategy, Topology};
use crate::snapshot::{Set, bit};

#[derive(Clone, Debug)]
pub struct Fixed {
    /// WebSocket channels.
    pub ws: Set,
    /// WebSocket channels whose provider has an HTTP channel too: that is the slot before.
    pub second: Set,
    /// Channels of equal priority, best first: the order of `priority`, ties open.
    pub by_priority: Vec<Set>,
    /// All channels as one group: the order of `load-balanced`.
    pub together: [Set; 1],
    /// For each channel, all that are the same instance over the same transport (itself too): one dispatch takes them all out.
    pub same_channel: IdVec<SlotId, Set>,
    /// The same over any transport.
    pub same_instance: IdVec<SlotId, Set>,
    pub channels: IdVec<SlotId, ChannelId>,
    pub providers: IdVec<SlotId, ProviderId>,
    pub first_entry: EntryId,
    /// Strategy of calls whose path names none.
    pub default_strategy: Strategy,
    /// Providers of the node's own region, or of no region.
    pub local: Set,
    /// Providers that keep old state.
    pub archival: Set,
    /// In blocks, from the chain's configuration.
    pub archival_threshold: u64,
    pub bounds: IdVec<SlotId, Bounds>,
    /// Some provider has a bound.
    pub has_bounds: bool,
    /// By method: providers whose capabilities allow it.
    supports: IdVec<MethodId, Set>,
    /// Methods outside of the table that some provider says it lacks.
    unsupported_names: Vec<(Box<str>, Set)>,
    overrides: Vec<Override>,
    /// What the profile says of methods, the most particular first; nearly always nothing.
    terms: Vec<MethodTerms>,
    /// By category: providers whose capabilities allow it.
    of_category: [Set; Category::ALL.len()],
}

/// What a provider's configuration allows to be asked of it (docs/behaviour/choosing.md#capabilities).
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
    pub providers: Set,
}

#[derive(Clone, Debug)]
struct Override {
    name: Box<str>,
    method: MethodId,
    rule: Rule,
}

impl Fixed {
    pub fn new(topology: &Topology, chain: &Chain, node_default: Strategy, region: &str) -> Fixed {
        let slots = slots(topology, chain, region);
        let all: Vec<(Set, &Provider)> = slots.iter().map(|(id, (p, _))| (bit(id), &chain.providers[*p])).collect();
        let union = |of: &dyn Fn(&Provider) -> bool| all.iter().filter(|(_, p)| of(p)).fold(0, |m, (b, _)| m | b);
        let channels: IdVec<SlotId, ChannelId> = slots.values().map(|(_, channel)| *channel).collect();
        let with = |of: &dyn Fn(ChannelId) -> bool| channels.iter().filter(|(_, c)| of(**c)).fold(0, |m, (id, _)| m | bit(id));
        let ws = with(&|c| c.transport() == Transport::Ws);
        let mut priorities: Vec<u32> = all.iter().map(|(_, p)| p.priority).collect();
        priorities.sort_unstable();
        priorities.dedup();
        let bounds: IdVec<SlotId, Bounds> = all.iter().map(|(_, p)| Bounds::of(p)).collect();
        let providers: IdVec<SlotId, ProviderId> = slots.values().map(|(provider, _)| *provider).collect();
        let is_second = |(id, p): &(SlotId, &ProviderId)| id.0 > 0 && providers.get(SlotId(id.0 - 1)) == Some(*p);
        Fixed {
            ws,
            second: providers.iter().filter(is_second).fold(0, |m, (id, _)| m | bit(id)),
            by_priority: priorities.iter().map(|&n| union(&|p| p.priority == n)).collect(),
            together: [union(&|_| true)],
            same_channel: channels.values().map(|own| with(&|other| other == *own)).collect(),
            same_instance: channels.values().map(|own| with(&|other| other.instance() == own.instance())).collect(),
            first_entry: chain.first_entry,
            default_strategy: chain.default_strategy.unwrap_or(node_default),
            local: union(&|p| p.regions.is_empty() || p.regions.iter().any(|r| **r == *region)),
            archival: union(&|p| p.archival),
            archival_threshold: chain.archival_threshold,
            has_bounds: bounds.values().any(|b| b.max_block_range.is_some() || b.max_block_age.is_some()),
            bounds,
            supports: method::all().map(|(_, info)| union(&|p| allows(p, info, &chain.method_terms))).collect(),
            unsupported_names: unsupported_names(&all),
            overrides: overrides(chain, &providers),
            terms: chain.method_terms.clone(),
            of_category: Category::ALL.map(|category| union(&|p| takes(p, category))),
            channels,
            providers,
        }
    }

    /// The channels of one provider.
    #[inline]
    pub fn of_provider(&self, provider: ProviderId) -> Set {
        self.providers.iter().filter(|(_, p)| **p == provider).fold(0, |set, (id, _)| set | bit(id))
    }

    /// The channels of this transport; all of them when none is asked for.
    #[inline]
    pub fn over(&self, transport: Option<Transport>) -> Set {
        match transport {
            None => self.together[0],
            Some(Transport::Ws) => self.ws,
            Some(Transport::Http) => self.together[0] & !self.ws,
        }
    }

    /// Channels whose provider's capabilities allow the method; `name` tells methods apart that are in no table.
    #[inline]
    pub fn supports(&self, method: MethodId, name: &[u8]) -> Set {
        let mut known = self.supports.get(method).copied().unwrap_or(self.together[0]);
        if method != method::UNKNOWN || (self.unsupported_names.is_empty() && self.terms.is_empty()) {
            return known;
        }
        if let Some(category) = category_of(&self.terms, name) {
            known = self.opened(category);
        }
        let lacking = self.unsupported_names.iter().find(|(n, _)| n.as_bytes() == name);
        known & !lacking.map_or(0, |(_, mask)| *mask)
    }

    /// Channels whose provider's capabilities leave a category in.
    #[inline]
    pub fn opened(&self, category: Category) -> Set {
        self.of_category.get(category as usize).copied().unwrap_or(0)
    }

    /// On which terms calls of a method are made here.
    #[inline]
    pub fn terms(&self, method: MethodId, name: &[u8]) -> Terms {
        let usual = method::terms(method, name);
        if self.terms.is_empty() { usual } else { self.own_terms(usual, name) }
    }

    fn own_terms(&self, usual: Terms, name: &[u8]) -> Terms {
        let mine = || self.terms.iter().filter(|terms| terms.names(name));
        let repeatable = mine().find_map(|terms| terms.repeatable);
        let safety = match (usual.safety, repeatable) {
            (Safety::Repeatable | Safety::Once, Some(true)) => Safety::Repeatable,
            (Safety::Repeatable | Safety::Once, Some(false)) => Safety::Once,
            (own, _) => own,
        };
        Terms { safety, timeout_ms: mine().find_map(|terms| terms.timeout_ms).unwrap_or(usual.timeout_ms) }
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

    pub fn ids(&self) -> impl Iterator<Item = SlotId> {
        (0..self.channels.len()).map(SlotId::from_index)
    }

    pub fn entry(&self, slot: SlotId) -> EntryId {
        EntryId(self.first_entry.0 + u32::from(self.providers[slot].0))
    }

    /// Channels of the providers for which `is` holds.
    pub fn of_providers(&self, chain: &Chain, is: impl Fn(&Provider) -> bool) -> Set {
        let holds = |provider: &ProviderId| chain.providers.get(*provider).is_some_and(&is);
        self.providers.iter().filter(|(_, provider)| holds(provider)).fold(0, |set, (id, _)| set | bit(id))
    }

    /// Channels of providers of the region that a client asks for. Empty, and a region that no provider is of, prefer as the node does.
    pub fn preferred(&self, chain: &Chain, region: &str) -> Set {
        let wanted = if region.is_empty() { 0 } else { self.of_providers(chain, |p| p.regions.iter().any(|r| **r == *region)) };
        if wanted == 0 { self.local } else { wanted }
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

/// Every provider's channels that have an endpoint here, in the order of slots.
fn slots(topology: &Topology, chain: &Chain, region: &str) -> IdVec<SlotId, (ProviderId, ChannelId)> {
    let mut slots = IdVec::new();
    for (id, provider) in chain.providers.iter() {
        let instance = &topology.instances[provider.instance];
        let has = [(Transport::Http, instance.http_from(region).is_some()), (Transport::Ws, instance.ws_from(region).is_some())];
        for (transport, _) in has.into_iter().filter(|(_, has)| *has) {
            slots.push((id, ChannelId::of(provider.instance, transport)));
        }
    }
    slots
}

fn overrides(chain: &Chain, providers: &IdVec<SlotId, ProviderId>) -> Vec<Override> {
    let of = |configured: &crate::config::topology::MethodOverride| {
        let is_named = |id: &ProviderId| configured.providers.is_empty() || configured.providers.contains(id);
        Override {
            method: method::lookup(configured.method.as_bytes()),
            name: configured.method.clone(),
            rule: Rule {
                strategy: configured.strategy,
                providers: providers.iter().filter(|(_, p)| is_named(p)).fold(0, |set, (id, _)| set | bit(id)),
            },
        }
    };
    chain.method_overrides.iter().map(of).collect()
}

/// Neither the method's category, as the profile or the table has it, nor its name is excluded.
fn allows(provider: &Provider, info: &method::MethodInfo, terms: &[MethodTerms]) -> bool {
    let named = provider.capabilities.unsupported_methods.iter().any(|name| **name == *info.name);
    !named && takes(provider, category_of(terms, info.name.as_bytes()).unwrap_or(info.category))
}

fn takes(provider: &Provider, category: Category) -> bool {
    !provider.capabilities.unsupported_categories.contains(&category)
}

fn category_of(terms: &[MethodTerms], name: &[u8]) -> Option<Category> {
    terms.iter().filter(|terms| terms.names(name)).find_map(|terms| terms.category)
}

fn unsupported_names(all: &[(Set, &Provider)]) -> Vec<(Box<str>, Set)> {
    let mut names: Vec<(Box<str>, Set)> = Vec::new();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{ChainId, ProfileId};
    use crate::config::{SourceFile, load};
    use crate::snapshot::Snapshot;

    fn fixed(methods: &str) -> std::sync::Arc<Fixed> {
        let text = format!(
            "slug: default\nmethods: {{{methods}}}\nchains:\n  one:\n    chain_id: 1\n    providers:\n      - {{id: a, url: 'http://a'}}\n      - {{id: b, url: 'http://b', capabilities: {{unsupported_categories: [trace]}}}}\n"
        );
        let loaded = load(&[SourceFile { name: "default.yml".into(), text }], &|_| None).expect("a good profile");
        let snapshot = Snapshot::new(loaded.topology, Strategy::Priority, "here", 1);
        snapshot.plan(ProfileId(0), ChainId(0)).fixed.clone()
    }

    /// The most particular pattern decides each thing, and what must never be sent again never is.
    #[test]
    fn a_profile_says_on_which_terms_methods_are_called() {
        let plan = fixed(
            "eth_call: {timeout_ms: 1000}, 'eth_*': {repeatable: false, timeout_ms: 2000}, 'own_*': {repeatable: true, category: trace}",
        );
        let check = |name: &str, safety: Safety, timeout_ms: u64| {
            let got = plan.terms(method::lookup(name.as_bytes()), name.as_bytes());
            assert_eq!(got, Terms { safety, timeout_ms }, "{name}");
        };
        check("eth_call", Safety::Once, 1_000);
        check("eth_getBalance", Safety::Once, 2_000);
        check("eth_sendRawTransaction", Safety::RawTransaction, 2_000);
        check("eth_newFilter", Safety::Filter, 2_000);
        check("net_version", Safety::Repeatable, 10_000);
        check("own_doThings", Safety::Repeatable, 10_000);
        check("other_doThings", Safety::Once, 10_000);
        assert_eq!(plan.supports(method::UNKNOWN, b"own_doThings"), 0b01, "b takes no trace methods");
        assert_eq!(plan.supports(method::UNKNOWN, b"other_doThings"), 0b11);
        let usual = fixed("");
        for (id, info) in method::all() {
            assert_eq!(usual.terms(id, info.name.as_bytes()), method::terms(id, info.name.as_bytes()), "{}", info.name);
        }
    }

    #[test]
    fn what_is_guarded_is_open_to_those_who_leave_it_in() {
        let plan = fixed("");
        assert_eq!([Category::LocalOnly, Category::NodeAdmin, Category::Trace].map(|c| plan.opened(c)), [0b10, 0b10, 0b01]);
    }
}
