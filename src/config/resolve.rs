//! From profiles as read to one `Topology`: names that must be unique, names that must exist, instances that are shared.

use crate::base::ids::{ChainId, EntryId, IdVec, ProviderId};
use crate::base::limits;
use crate::config::instance::Instances;
use crate::config::methods::of_chain;
use crate::config::problem::{Findings, Place};
use crate::config::profile::{ChainSpec, OverrideSpec, ProfileSpec, RoutingSpec, is_chain_name, route_word};
use crate::config::provider::ProviderSpec;
use crate::config::read::Spot;
use crate::config::suggest;
use crate::config::topology::{ByName, Chain, MethodOverride, Profile, Provider, Topology};
use std::collections::HashMap;

/// Total: always returns a topology, which is only to be used when no problem was found.
pub(super) fn resolve(specs: Vec<ProfileSpec>, findings: &mut Findings) -> Topology {
    let mut instances = Instances::default();
    let mut top = Topology::default();
    for spec in specs {
        let slug = spec.slug.clone();
        let (file, profile) = (spec.file, resolve_profile(spec, &mut instances, findings));
        if top.profile_by_slug.contains_key(&slug) {
            findings.problem(file, Place::Line(1), format!("another file is the profile {slug} too"), "delete or rename one");
            continue;
        }
        let id = top.profiles.push(profile);
        top.profile_by_slug.insert(slug, id);
    }
    for (name, other) in [("default", "public"), ("public", "default")] {
        if let (None, Some(id)) = (top.profile_by_slug.get(name), top.profile_by_slug.get(other).copied()) {
            top.profile_by_slug.insert(name.into(), id);
        }
    }
    (top.instances, top.instance_by_tag) = instances.finish();
    top.with_entries()
}

fn resolve_profile(spec: ProfileSpec, instances: &mut Instances, findings: &mut Findings) -> Profile {
    let file = spec.file;
    check_profile_routing(&spec, findings);
    let mut names = ChainNames::new(file, &spec.chains, findings);
    let mut chains: IdVec<ChainId, Chain> = IdVec::new();
    let mut chain_by_name = ByName::default();
    for mut chain in spec.chains {
        chain.providers.iter_mut().for_each(|provider| provider.inherit_forwarded(&spec.forward_headers));
        let mine = names.claim(&chain, findings);
        let method_terms = of_chain(std::mem::take(&mut chain.methods), &spec.methods);
        let resolved = resolve_chain(chain, &mine, &spec.slug, file, &spec.routing, instances, findings);
        let number = resolved.chain_number;
        let id = chains.push(Chain { method_terms, ..resolved });
        for name in mine {
            chain_by_name.insert(name, id);
        }
        chain_by_name.insert(number.to_string().into(), id);
    }
    Profile {
        slug: spec.slug,
        name: spec.name,
        logo: spec.logo,
        unlisted: spec.unlisted,
        rps_limit: spec.rps_limit,
        burst_limit: spec.burst_limit,
        ws_calls_at_work: spec.ws_calls_at_work,
        max_batch_items: spec.max_batch_items,
        chains,
        chain_by_name,
    }
}

/// Chain numbers, keys and aliases of one profile: each means one chain (docs/behaviour/node.md#profiles).
struct ChainNames {
    file: usize,
    /// Decimal chain number to the chain's key.
    numbers: HashMap<String, Box<str>>,
    taken: HashMap<Box<str>, Box<str>>,
}

impl ChainNames {
    fn new(file: usize, chains: &[ChainSpec], findings: &mut Findings) -> ChainNames {
        let mut numbers: HashMap<String, Box<str>> = HashMap::new();
        for chain in chains {
            let Some(number) = &chain.number else { continue };
            if let Some(other) = numbers.get(&number.value.to_string()) {
                let what = format!("chain_id {} is the chain {other} already", number.value);
                findings.problem(file, Place::Node(number.at), what, "correct it, or merge the two chains");
            } else {
                numbers.insert(number.value.to_string(), chain.key.value.clone());
            }
        }
        ChainNames { file, numbers, taken: HashMap::new() }
    }

    /// The chain's key and aliases, without those that cannot be its own.
    fn claim(&mut self, chain: &ChainSpec, findings: &mut Findings) -> Vec<Box<str>> {
        let mut mine: Vec<Box<str>> = Vec::new();
        for (is_key, name) in std::iter::once((true, &chain.key)).chain(chain.aliases.iter().map(|alias| (false, alias))) {
            if !is_key && mine.contains(&name.value) {
                continue; // an alias that repeats the key or another alias of the same chain says nothing new
            }
            match self.refuse(chain, name, is_key) {
                Some((what, remedy)) => findings.problem(self.file, Place::Node(name.at), what, remedy),
                None => {
                    self.taken.insert(name.value.clone(), chain.key.value.clone());
                    mine.push(name.value.clone());
                }
            }
        }
        mine
    }

    fn refuse(&self, chain: &ChainSpec, name: &Spot<Box<str>>, is_key: bool) -> Option<(String, String)> {
        let word: String = name.value.chars().take(60).collect();
        let what = if is_key { "chain" } else { "alias" };
        if !is_chain_name(&name.value) {
            let remedy = "use letters, digits and - _ . :".to_owned();
            return Some((format!("the {what} \"{word}\" has characters that do not fit into a URL"), remedy));
        }
        if route_word(&name.value) {
            return Some((
                format!("the {what} \"{word}\" is a word of our URLs"),
                format!("/rpc/{word}/… means something else; rename it"),
            ));
        }
        if let Some(other) = self.taken.get(&name.value) {
            return Some((
                format!("the {what} \"{word}\" is a name of the chain {other} already"),
                "keep one of them".to_owned(),
            ));
        }
        let owner = self.numbers.get(&*name.value).filter(|owner| **owner != chain.key.value);
        let own_number = chain.number.as_ref().is_some_and(|number| number.value.to_string() == *name.value);
        owner.filter(|_| !own_number).map(|owner| {
            (
                format!("the {what} \"{word}\" is the chain_id of the chain {owner}"),
                "a chain_id always names its own chain; rename it".to_owned(),
            )
        })
    }
}

/// Blocks come late now and then, but hardly three of them in a row.
fn heads_timeout_ms(spec: &ChainSpec) -> u64 {
    let from_blocks = |block_ms: u64| {
        block_ms.saturating_mul(limits::SILENT_BLOCKS).clamp(limits::HEADS_TIMEOUT_MIN_MS, limits::HEADS_TIMEOUT_MAX_MS)
    };
    spec.new_heads_timeout_ms.unwrap_or_else(|| spec.block_time_ms.map_or(limits::HEADS_TIMEOUT_MS, from_blocks))
}

/// What is missed until a silence is noticed and another provider has been found: after that a stream ends anyway.
fn backfill_blocks(spec: &ChainSpec) -> u64 {
    let missed_ms = heads_timeout_ms(spec).saturating_add(spec.backfill_timeout_ms);
    let missed = spec.block_time_ms.map_or(0, |block_ms| missed_ms.div_ceil(block_ms.max(1)));
    spec.max_backfill_blocks.unwrap_or(missed.max(limits::BACKFILL_MIN_BLOCKS))
}

fn resolve_chain(
    spec: ChainSpec,
    names: &[Box<str>],
    slug: &str,
    file: usize,
    profile_routing: &RoutingSpec,
    instances: &mut Instances,
    findings: &mut Findings,
) -> Chain {
    let number = spec.number.as_ref().map_or(0, |number| number.value);
    let mut chain = Chain {
        first_entry: EntryId(0), // numbered when all chains are known
        name: spec.name.clone().unwrap_or_else(|| spec.key.value.clone()),
        chain_number: number,
        chain_number_json: format!("\"0x{number:x}\"").into(),
        aliases: names.iter().filter(|name| **name != spec.key.value).cloned().collect(),
        block_time_ms: spec.block_time_ms,
        max_lag_blocks: spec.max_lag_blocks,
        archival_threshold: spec.archival_threshold,
        probe_interval_ms: spec.probe_interval_ms,
        lag_alert_threshold_blocks: spec.lag_alert_threshold_blocks,
        subscribe_new_heads: spec.subscribe_new_heads,
        new_heads_timeout_ms: heads_timeout_ms(&spec),
        max_backfill_blocks: backfill_blocks(&spec),
        backfill_timeout_ms: spec.backfill_timeout_ms,
        color: spec.color,
        size: spec.size,
        providers: IdVec::new(),
        provider_by_id: ByName::default(),
        default_strategy: spec.routing.default_strategy.or(profile_routing.default_strategy),
        method_overrides: Vec::new(),
        forward_headers: Vec::new(),
        method_terms: Vec::new(),
        key: spec.key.value,
    };
    let place = InChain { slug, file, number };
    for provider in spec.providers {
        place.add_provider(&mut chain, provider, instances, findings);
    }
    place.add_overrides(&mut chain, &spec.routing.overrides, &profile_routing.overrides, findings);
    for name in chain.providers.values().flat_map(|provider| &provider.forward_headers) {
        if !chain.forward_headers.contains(name) {
            chain.forward_headers.push(name.clone());
        }
    }
    chain
}

/// Where the chain being resolved stands.
struct InChain<'a> {
    slug: &'a str,
    file: usize,
    number: u64,
}

impl InChain<'_> {
    fn add_provider(&self, chain: &mut Chain, spec: ProviderSpec, instances: &mut Instances, findings: &mut Findings) {
        if chain.provider_by_id.contains_key(&spec.id.value) {
            let what = format!("two providers of the chain {} have the id {}", chain.key, spec.id.value);
            return findings.problem(self.file, Place::Node(spec.id.at), what, "give each its own");
        }
        let instance = instances.intern(self.number, self.slug, &spec, self.file, findings);
        if let Some((_, twin)) = chain.providers.iter().find(|(_, have)| have.instance == instance) {
            let what = format!("{} is the same upstream as {}", spec.id.value, twin.id);
            findings.warning(self.file, Place::Node(spec.id.at), what, "delete one: a call is never sent twice to one upstream");
        }
        let id = chain.providers.push(Provider {
            name: spec.name.unwrap_or_else(|| spec.id.value.clone()),
            id: spec.id.value.clone(),
            priority: spec.priority,
            instance,
            archival: spec.archival,
            subscribe_new_heads: spec.subscribe_new_heads.unwrap_or(chain.subscribe_new_heads),
            isolated: spec.isolated,
            regions: spec.regions,
            region_urls: spec.region_urls,
            forward_headers: spec.forward_headers,
            capabilities: spec.capabilities,
        });
        if !spec.id.value.is_empty() {
            chain.provider_by_id.insert(spec.id.value, id);
        }
    }

    /// The chain's overrides, then those of the profile for methods that the chain does not override itself.
    fn add_overrides(&self, chain: &mut Chain, own: &[OverrideSpec], profile: &[OverrideSpec], findings: &mut Findings) {
        for spec in own {
            for provider in spec.providers.iter().filter(|p| !chain.provider_by_id.contains_key(&p.value)) {
                let known = chain.provider_by_id.keys().map(AsRef::as_ref);
                report_unknown_provider(self.file, provider, known, findings);
            }
        }
        let inherited = profile.iter().filter(|spec| !own.iter().any(|have| have.method == spec.method));
        for spec in own.iter().chain(inherited) {
            let find = |spot: &Spot<Box<str>>| chain.provider_by_id.get(&spot.value).copied();
            let providers: Vec<ProviderId> = spec.providers.iter().filter_map(find).collect();
            let strategy = spec.strategy;
            if strategy.is_some() || !providers.is_empty() {
                chain.method_overrides.push(MethodOverride { method: spec.method.clone(), strategy, providers });
            }
        }
    }
}

/// A profile's override names providers of any of its chains; one that no chain has is a slip.
fn check_profile_routing(spec: &ProfileSpec, findings: &mut Findings) {
    let known: Vec<&str> = spec.chains.iter().flat_map(|chain| &chain.providers).map(|p| p.id.value.as_ref()).collect();
    for provider in spec.routing.overrides.iter().flat_map(|o| &o.providers) {
        if !known.contains(&provider.value.as_ref()) {
            report_unknown_provider(spec.file, provider, known.iter().copied(), findings);
        }
    }
}

fn report_unknown_provider<'a>(
    file: usize,
    provider: &Spot<Box<str>>,
    known: impl Iterator<Item = &'a str>,
    findings: &mut Findings,
) {
    let shown: String = provider.value.chars().take(60).collect();
    let remedy = suggest::did_you_mean(&provider.value, known).unwrap_or_else(|| "name a provider's id".to_owned());
    findings.problem(file, Place::Node(provider.at), format!("there is no provider {shown}"), remedy);
}

/// For a directory without a profile to fall back to.
pub(super) fn has_default(specs: &[ProfileSpec]) -> bool {
    specs.iter().any(|spec| matches!(&*spec.slug, "default" | "public"))
}
