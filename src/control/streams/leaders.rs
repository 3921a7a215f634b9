//! Whose feed may lead: a route's providers, the best first.
//!
//! Whoever is found on another chain than two others comes last. Subscribing providers come before polled ones, then whoever is
//! not behind, then those of this node's region, then by priority, as everywhere; what a client says of regions does not count,
//! because what it is told is told to others too. A provider
//! whose credentials are refused or that serves another chain is no candidate. One whose circuit is open comes last, and never
//! takes a leader's place; while nobody leads it is asked too, for it may be back before its circuit is. What the chain's
//! clients are told does not depend on strategies: a leader is kept while it is well.

use super::feed::{FeedId, Mode};
use crate::base::ids::ProviderId;
use crate::config::topology::{Chain, Provider};
use crate::snapshot::{ChainPlan, Set, Snapshot, bit};
use crate::stream::fanout::Topic;

/// Candidates for a topic's route, best first. `can_poll`: heads and logs can be had by asking.
pub fn candidates(snapshot: &Snapshot, topic: &Topic, region: &str, can_poll: bool) -> Vec<FeedId> {
    let chain = snapshot.chain(topic.profile, topic.chain);
    let plan = snapshot.plan(topic.profile, topic.chain);
    let mut found: Vec<(Rank, FeedId)> = Vec::new();
    for (id, provider) in chain.providers.iter() {
        if topic.pin.is_some_and(|pin| pin != id && !topic.allow_failover) {
            continue;
        }
        for mode in [Mode::Subscribing, Mode::Polling] {
            let feed = FeedId { instance: provider.instance, mode };
            if has_mode(snapshot, provider, region, mode, can_poll) && is_usable(plan, feed) {
                found.push((rank(plan, topic, chain, id, feed), feed));
            }
        }
    }
    found.sort();
    let mut feeds: Vec<FeedId> = Vec::new();
    for (_, feed) in found {
        if !feeds.contains(&feed) {
            feeds.push(feed);
        }
    }
    feeds
}

/// Whether the topic's route has one instance, however it is at the moment.
pub fn is_only_one(snapshot: &Snapshot, topic: &Topic) -> bool {
    let is_of_route = |id| topic.pin.is_none_or(|pin| pin == id || topic.allow_failover);
    let providers = &snapshot.chain(topic.profile, topic.chain).providers;
    let mut instances = providers.iter().filter(|(id, _)| is_of_route(*id)).map(|(_, provider)| provider.instance);
    let first = instances.next();
    instances.all(|instance| Some(instance) == first)
}

/// Whether a feed's provider is still fit to lead: reachable, on the others' chain, and not behind.
pub fn is_well(snapshot: &Snapshot, topic: &Topic, feed: FeedId) -> bool {
    let plan = snapshot.plan(topic.profile, topic.chain);
    is_usable(plan, feed) && !is_open(plan, feed) && !is_forked(plan, feed) && !is_behind(plan, feed)
}

/// Whether the configuration lets anybody serve the topic.
pub fn anybody(snapshot: &Snapshot, topic: &Topic, region: &str, can_poll: bool) -> bool {
    let mut providers = snapshot.chain(topic.profile, topic.chain).providers.iter();
    providers.any(|(id, provider)| {
        let is_asked = topic.pin.is_none_or(|pin| pin == id || topic.allow_failover);
        is_asked && [Mode::Subscribing, Mode::Polling].iter().any(|mode| has_mode(snapshot, provider, region, *mode, can_poll))
    })
}

/// Not the pinned one; on another chain than others; its circuit is open; polled; behind; of another region; priority; place.
type Rank = (bool, (bool, bool, bool, bool), bool, u32, ProviderId);

fn rank(plan: &ChainPlan, topic: &Topic, chain: &Chain, id: ProviderId, feed: FeedId) -> Rank {
    let priority = chain.providers.get(id).map_or(u32::MAX, |p| p.priority);
    let is_other = topic.pin.is_some_and(|pin| pin != id);
    let is_far = plan.fixed.local & set_of(plan, feed) == 0;
    let faults = (is_forked(plan, feed), is_open(plan, feed), feed.mode == Mode::Polling, is_behind(plan, feed));
    (is_other, faults, is_far, priority, id)
}

fn is_behind(plan: &ChainPlan, feed: FeedId) -> bool {
    plan.gates.lagging & set_of(plan, feed) != 0
}

/// Its provider follows another fork than two others.
pub fn is_forked(plan: &ChainPlan, feed: FeedId) -> bool {
    plan.gates.forked & set_of(plan, feed) != 0
}

fn is_open(plan: &ChainPlan, feed: FeedId) -> bool {
    (plan.gates.open | plan.gates.half_open) & set_of(plan, feed) != 0
}

fn has_mode(snapshot: &Snapshot, provider: &Provider, region: &str, mode: Mode, can_poll: bool) -> bool {
    let Some(instance) = snapshot.topology.instances.get(provider.instance) else { return false };
    match mode {
        Mode::Subscribing => instance.ws_from(region).is_some(),
        Mode::Polling => can_poll && instance.http_from(region).is_some(),
    }
}

fn is_usable(plan: &ChainPlan, feed: FeedId) -> bool {
    let own = set_of(plan, feed);
    let is_barred = (plan.gates.misconfigured | plan.gates.wrong_chain) & own != 0;
    own != 0 && !is_barred
}

fn set_of(plan: &ChainPlan, feed: FeedId) -> Set {
    let channel = feed.channel();
    plan.fixed.channels.iter().filter(|(_, own)| **own == channel).fold(0, |set, (slot, _)| set | bit(slot))
}
