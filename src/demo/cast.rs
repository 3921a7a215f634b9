//! The cast of `lasso demo`: three chains and thirteen providers that are good, slow, limited, behind or broken, so that
//! each rule of routing has somebody to act on. Delays are a third of what the kinds have in the wild: a demo is watched.
//!
//! One static table makes both the servers and the profile that points at them, so they cannot disagree. The servers'
//! thread makes the providers, any thread makes the profile.

use super::chain_model::ChainModel;
use super::knobs::Knobs;
use super::manners;
use super::provider::Provider;
use super::rpc::Network;
use crate::base::{rng::Rng, time::Duration};
use std::fmt::Write;
use std::rc::Rc;

/// A chain of the demo, as its profile shows it.
#[derive(Clone, Copy, Debug)]
pub struct CastChain {
    pub key: &'static str,
    pub name: &'static str,
    pub number: u64,
    pub block_time_ms: u64,
    pub start_height: u64,
    pub probe_interval_ms: u64,
    pub max_lag_blocks: u64,
    pub archival_threshold: u64,
    pub color: &'static str,
    pub size: &'static str,
    pub members: &'static [Member],
}

/// A provider of the demo.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub id: &'static str,
    pub name: &'static str,
    pub priority: u32,
    offers: Offer,
    manners: fn() -> Knobs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Offer {
    Both,
    HttpOnly,
    SocketOnly,
}

const fn member(id: &'static str, name: &'static str, priority: u32, manners: fn() -> Knobs) -> Member {
    Member { id, name, priority, offers: Offer::Both, manners }
}

impl Member {
    const fn offers(self, offers: Offer) -> Member {
        Member { offers, ..self }
    }

    fn knobs(&self) -> Knobs {
        let (takes_http, takes_sockets) = (self.offers != Offer::SocketOnly, self.offers != Offer::HttpOnly);
        Knobs { takes_http, takes_sockets, ..manners::scaled((self.manners)(), PACE) }
    }
}

pub const CHAINS: &[CastChain] = &[
    CastChain {
        key: "ethereum",
        name: "Ethereum (model)",
        number: 1,
        block_time_ms: 12_000,
        start_height: 23_800_000,
        probe_interval_ms: 2_000,
        max_lag_blocks: 1,
        archival_threshold: 128,
        color: "#627EEA",
        size: "xl",
        members: &[
            member("meridian", "Meridian (paid, near)", 1, manners::near_paid),
            member("harbor", "Harbor (paid, same continent)", 2, manners::region_paid),
            member("homestead", "Homestead (own node)", 3, manners::own_node).offers(Offer::SocketOnly),
            member("commons", "Commons (free)", 4, manners::free_good).offers(Offer::HttpOnly),
            member("driftwood", "Driftwood (free, stalls)", 5, manners::free_tail),
        ],
    },
    CastChain {
        key: "base",
        name: "Base (model)",
        number: 8453,
        block_time_ms: 2_000,
        start_height: 38_400_000,
        probe_interval_ms: 1_000,
        max_lag_blocks: 5,
        archival_threshold: 750,
        color: "#0052FF",
        size: "lg",
        members: &[
            member("meridian", "Meridian (paid, near)", 1, manners::near_paid),
            member("commons", "Commons (free)", 2, manners::free_good),
            member("pocketful", "Pocketful (free, short ranges)", 3, manners::free_batchless).offers(Offer::HttpOnly),
            member("yesterday", "Yesterday (330 blocks behind)", 4, manners::stale),
        ],
    },
    CastChain {
        key: "arbitrum",
        name: "Arbitrum (model)",
        number: 42_161,
        block_time_ms: 250,
        start_height: 402_000_000,
        probe_interval_ms: 1_000,
        max_lag_blocks: 10,
        archival_threshold: 6_000,
        color: "#28A0F0",
        size: "lg",
        members: &[
            member("harbor", "Harbor (paid, same continent)", 1, manners::region_paid),
            member("commons", "Commons (free)", 2, manners::free_good),
            member("driftwood", "Driftwood (free, stalls)", 3, manners::free_tail),
            member("rubble", "Rubble (fails two times in five)", 4, manners::broken),
        ],
    },
];

/// What delays are multiplied with.
const PACE: f64 = 0.3;

/// How many servers, and so ports, the demo needs.
pub fn size() -> usize {
    CHAINS.iter().map(|chain| chain.members.len()).sum()
}

/// The providers, in the order of `CHAINS` and their members. `start_unix_ms` is the wall's time at the world's
/// `Instant::ZERO`.
pub fn providers(seed: u64, start_unix_ms: u64) -> Vec<Rc<Provider>> {
    let mut rng = Rng::new(seed);
    let mut providers = Vec::with_capacity(size());
    for chain in CHAINS {
        let mut model = ChainModel::new(seed, chain.number, Duration::from_millis(chain.block_time_ms));
        (model.start_height, model.start_unix_ms) = (chain.start_height, start_unix_ms);
        let network = Rc::new(Network::new(model));
        for (place, member) in chain.members.iter().enumerate() {
            let name = format!("{}-{}", chain.key, member.id);
            let rng = rng.fork(place as u64);
            providers.push(Rc::new(Provider::new(&name, network.clone(), member.knobs(), rng)));
        }
    }
    providers
}

/// The profile `default` for providers on these ports of 127.0.0.1, in the order of `providers`. A member without a port
/// is left out.
pub fn profile_yaml(ports: &[u16]) -> String {
    let mut text = String::from("---\nname: \"Demo\"\nslug: default\nrps_limit: 0\n---\nchains:\n");
    let mut ports = ports.iter();
    for chain in CHAINS {
        write_chain(&mut text, chain);
        for member in chain.members {
            if let Some(port) = ports.next() {
                write_member(&mut text, member, *port);
            }
        }
    }
    text
}

fn write_chain(text: &mut String, chain: &CastChain) {
    let CastChain {
        key, name, number, block_time_ms, probe_interval_ms, max_lag_blocks, archival_threshold, color, size, ..
    } = chain;
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "  {key}:\n    chain_id: {number}\n    name: \"{name}\"\n    block_time_ms: {block_time_ms}\n    monitoring:\n      \
         probe_interval_ms: {probe_interval_ms}\n    selection:\n      max_lag_blocks: {max_lag_blocks}\n      \
         archival_threshold: {archival_threshold}\n    ui-topology:\n      color: \"{color}\"\n      size: {size}\n    providers:\n"
    );
}

fn write_member(text: &mut String, member: &Member, port: u16) {
    let (Member { id, name, priority, .. }, knobs) = (member, member.knobs());
    let archival = knobs.archive_depth.is_none();
    let _ = write!(text, "      - id: {id}\n        name: \"{name}\"\n        priority: {priority}\n");
    if knobs.takes_http {
        let _ = writeln!(text, "        url: \"http://127.0.0.1:{port}\"");
    }
    if knobs.takes_sockets {
        let _ = writeln!(text, "        ws_url: \"ws://127.0.0.1:{port}\"");
    }
    let _ = writeln!(text, "        archival: {archival}");
    if knobs.log_range < Knobs::default().log_range {
        let _ = write!(text, "        capabilities:\n          limits:\n            max_block_range: {}\n", knobs.log_range - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Instant;
    use crate::config::{SourceFile, load};
    use std::collections::HashSet;

    fn ports() -> Vec<u16> {
        (0..size() as u16).map(|n| 41_000 + n).collect()
    }

    #[test]
    fn the_profile_loads_and_points_at_every_provider_in_order() {
        let file = SourceFile { name: "default.yml".into(), text: profile_yaml(&ports()) };
        let loaded = load(&[file], &|_| None).unwrap_or_else(|problems| panic!("{problems:?}"));
        let top = loaded.topology;
        let profile = top.profiles.values().next().expect("a profile");
        assert_eq!((&*profile.slug, profile.rps_limit, profile.chains.len()), ("default", 0, 3));
        let mut ports = ports().into_iter();
        for (chain, want) in profile.chains.values().zip(CHAINS) {
            let got = (&*chain.key, chain.chain_number, chain.max_lag_blocks);
            assert_eq!(got, (want.key, want.number, want.max_lag_blocks));
            assert_eq!(chain.providers.len(), want.members.len());
            for (provider, member) in chain.providers.values().zip(want.members) {
                let (instance, port) = (&top.instances[provider.instance], ports.next());
                let knobs = member.knobs();
                let port_of = |is_offered: bool| port.filter(|_| is_offered);
                assert_eq!(&*provider.id, member.id);
                assert_eq!(instance.http.as_ref().map(|endpoint| endpoint.port), port_of(knobs.takes_http));
                assert_eq!(instance.ws.as_ref().map(|endpoint| endpoint.port), port_of(knobs.takes_sockets));
                assert_eq!(provider.archival, knobs.archive_depth.is_none());
                let declared = provider.capabilities.max_block_range;
                assert!(declared.is_none_or(|range| range < knobs.log_range), "a range as declared is served");
            }
        }
        assert_eq!(ports.next(), None);
    }

    #[test]
    fn every_combination_of_transports_is_cast() {
        let knobs = CHAINS.iter().flat_map(|chain| chain.members).map(Member::knobs);
        let kinds: HashSet<_> = knobs.map(|knobs| (knobs.takes_http, knobs.takes_sockets)).collect();
        assert_eq!(kinds, HashSet::from([(true, true), (true, false), (false, true)]));
    }

    #[test]
    fn providers_follow_the_table() {
        let (providers, now) = (providers(1, 1_795_000_000_000), Instant::ZERO.plus_ms(60_000));
        let names: HashSet<_> = providers.iter().map(|provider| provider.name.clone()).collect();
        assert_eq!((providers.len(), names.len()), (size(), size()));
        let table = CHAINS.iter().flat_map(|chain| chain.members.iter().map(move |member| (chain, member)));
        for (provider, (chain, member)) in providers.iter().zip(table) {
            let model = &provider.network.chain;
            assert_eq!(
                (model.chain_number, provider.name.as_str()),
                (chain.number, format!("{}-{}", chain.key, member.id).as_str())
            );
            let tip = chain.start_height + 60_000 / chain.block_time_ms;
            let lag = tip - provider.head_at(now);
            assert_eq!(model.height_at(now), tip);
            assert!(if member.id == "yesterday" { lag == 330 } else { lag <= 1 });
            assert!(model.timestamp(tip).abs_diff(1_795_000_060) <= 12);
        }
        assert!(Rc::ptr_eq(&providers[0].network, &providers[1].network));
    }
}
