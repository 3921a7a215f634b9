//! Whose feed may lead: a route's providers, the best first.
//!
//! Subscribing providers come before polled ones, then whoever is not behind, then by priority, as everywhere. A provider
//! whose circuit is open, whose credentials are refused or that serves another chain is no candidate. What the chain's
//! clients are told does not depend on strategies: a leader is kept while it is well.

use super::feed::{FeedId, Mode};
use crate::base::ids::{ChannelId, ProviderId};
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
            if has_mode(snapshot, provider, region, mode, can_poll) && is_usable(plan, feed.channel()) {
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

/// Whether a feed's provider is still fit to lead: reachable, and not behind.
pub fn is_well(snapshot: &Snapshot, topic: &Topic, feed: FeedId) -> bool {
    let plan = snapshot.plan(topic.profile, topic.chain);
    is_usable(plan, feed.channel()) && !is_behind(plan, feed.channel())
}

/// Whether the configuration lets anybody serve the topic.
pub fn anybody(snapshot: &Snapshot, topic: &Topic, region: &str, can_poll: bool) -> bool {
    let mut providers = snapshot.chain(topic.profile, topic.chain).providers.iter();
    providers.any(|(id, provider)| {
        let is_asked = topic.pin.is_none_or(|pin| pin == id || topic.allow_failover);
        is_asked && [Mode::Subscribing, Mode::Polling].iter().any(|mode| has_mode(snapshot, provider, region, *mode, can_poll))
    })
}

/// Not the pinned one; polled; behind; priority; place.
type Rank = (bool, bool, bool, u32, ProviderId);

fn rank(plan: &ChainPlan, topic: &Topic, chain: &Chain, id: ProviderId, feed: FeedId) -> Rank {
    let priority = chain.providers.get(id).map_or(u32::MAX, |p| p.priority);
    let is_other = topic.pin.is_some_and(|pin| pin != id);
    (is_other, feed.mode == Mode::Polling, is_behind(plan, feed.channel()), priority, id)
}

fn is_behind(plan: &ChainPlan, channel: ChannelId) -> bool {
    plan.gates.lagging & set_of(plan, channel) != 0
}

fn has_mode(snapshot: &Snapshot, provider: &Provider, region: &str, mode: Mode, can_poll: bool) -> bool {
    let Some(instance) = snapshot.topology.instances.get(provider.instance) else { return false };
    match mode {
        Mode::Subscribing => instance.ws_from(region).is_some(),
        Mode::Polling => can_poll && instance.http_from(region).is_some(),
    }
}

fn is_usable(plan: &ChainPlan, channel: ChannelId) -> bool {
    let (gates, own) = (&plan.gates, set_of(plan, channel));
    own != 0 && (gates.open | gates.half_open | gates.misconfigured | gates.wrong_chain) & own == 0
}

fn set_of(plan: &ChainPlan, channel: ChannelId) -> Set {
    plan.fixed.channels.iter().filter(|(_, own)| **own == channel).fold(0, |set, (slot, _)| set | bit(slot))
}
