//! `/api/shards`, `/api/status`, `/api/region`: the node as a whole.

use super::{Moment, ms_of};
use crate::aggregator::Aggregator;
use crate::base::ids::{ChannelId, EntryId};
use crate::base::time::{Duration, Instant};
use crate::chain::method;
use crate::config::topology::{Chain, Provider};
use crate::observe::figures::Latencies;
use crate::observe::report::{Load, StreamLoad};
use crate::runtime::spans::Counts;
use serde_json::{Map, Value, json};

/// What a producer's last report said.
#[derive(Default)]
pub struct Heard {
    pub load: Load,
    pub epoch: u64,
    /// Its clock at the report.
    pub until: Instant,
    /// Since the start.
    pub stall_max: Duration,
    pub latencies: Latencies,
}

/// Subscriptions upstream of the shards.
fn streams(load: StreamLoad) -> Value {
    json!({
        "followers": load.followers,
        "feeds": load.feeds,
        "upstream_subscriptions": load.upstream_subscriptions,
        "events": load.events,
        "duplicates_dropped": load.duplicates,
        "leaders_lost": load.losses,
        "switches": load.switches,
        "blocks_filled": load.filled,
        "streams_closed": load.closed,
    })
}

/// Of successes since the start.
fn summary(latencies: &Latencies) -> Value {
    let histogram = latencies.histogram();
    let quantile = |q| super::ms(histogram.value_at_quantile(q));
    json!({
        "count": histogram.len(),
        "p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99), "max": super::ms(histogram.max()),
    })
}

impl Aggregator {
    /// A shard's, or the control thread's.
    pub(in crate::aggregator) fn producer_name(&self, index: usize) -> String {
        if index == usize::from(self.control) { "control".to_owned() } else { format!("shard-{index}") }
    }

    pub(super) fn attempts_in_flight(&self) -> u64 {
        self.heard.iter().map(|heard| u64::from(heard.load.attempts_in_flight)).sum()
    }

    pub(super) fn shards(&self, at: Moment) -> Value {
        let control = self.heard.len().saturating_sub(1);
        let shard = |(index, heard): (usize, &Heard)| {
            let Heard { load, epoch, until, stall_max, latencies } = heard;
            json!({
                "name": self.producer_name(index),
                "client_connections": load.client_connections,
                "upstream_connections": load.upstream_connections,
                "attempts_in_flight": load.attempts_in_flight,
                "calls": load.calls,
                "replies": load.replies,
                "refusals": load.refusals,
                "rate_limited": load.limited,
                "failovers": load.failovers,
                "truncated": load.truncated,
                "upstream_websockets": load.links,
                "stray_messages": load.strays,
                "connections_taken": load.connections,
                "websocket_clients": load.sockets,
                "subscriptions": load.subscriptions,
                "topics": load.topics,
                "subscription_events": load.events,
                "slow_consumers": load.slow_consumers,
                "panics": load.panics,
                "stall_ms": ms_of(load.stall_max),
                "stall_max_ms": ms_of(*stall_max),
                "epoch": epoch,
                "epoch_lag_ms": ms_of(at.now.since(*until)),
                "late_epochs": load.late_epochs,
                "upstream_latency_ms": summary(latencies),
            })
        };
        let shards: Vec<Value> = self.heard.iter().enumerate().map(shard).collect();
        let mut merged = Latencies::default();
        self.heard.iter().for_each(|heard| merged.merge(&heard.latencies));
        let sum = |of: fn(&Load) -> u64| self.heard.iter().map(|heard| of(&heard.load)).sum::<u64>();
        json!({
            "timestamp": at.wall.rfc3339(),
            "shards": shards,
            "total": {
                "client_connections": sum(|l| l.client_connections.into()),
                "attempts_in_flight": sum(|l| l.attempts_in_flight.into()),
                "calls": sum(|l| l.calls),
                "replies": sum(|l| l.replies),
                "refusals": sum(|l| l.refusals),
                "failovers": sum(|l| l.failovers),
                "websocket_clients": sum(|l| l.sockets.into()),
                "subscriptions": sum(|l| l.subscriptions.into()),
                "subscription_events": sum(|l| l.events),
                "slow_consumers": sum(|l| l.slow_consumers),
                "panics": sum(|l| l.panics),
                "stall_max_ms": self.heard.iter().map(|heard| ms_of(heard.stall_max)).fold(0.0, f64::max),
                "upstream_latency_ms": summary(&merged),
                "merged_attempts": self.merged_samples,
                // Beyond the bounds of memory: in no figure by method.
                "unfiled_attempts": self.unfiled_samples + self.figures.homeless,
                "dropped_events": self.dropped_events,
                "untold_calls": self.told.untold_calls,
                "dropped_log_lines": self.node.settings.log_losses.count(),
                "event_readers": self.node.events.readers(),
            },
            "streams": self.heard.get(control).map(|heard| streams(heard.load.streams)),
        })
    }

    pub(super) fn status(&self, at: Moment) -> Value {
        let profiles: Vec<Value> = self
            .topology
            .profiles
            .values()
            .map(|profile| {
                let chains: Vec<Value> = profile.chains.values().map(|chain| self.status_of_chain(chain, at)).collect();
                json!({ "slug": profile.slug, "name": profile.name, "chains": chains })
            })
            .collect();
        let settings = &self.node.settings;
        json!({
            "status": if self.node.draining.is_raised() { "draining" } else { "running" },
            "timestamp": at.wall.rfc3339(),
            "started_at": settings.started.rfc3339(),
            "uptime_seconds": self.node.uptime_seconds(at.now),
            "version": env!("CARGO_PKG_VERSION"),
            "node_id": settings.node_id,
            "region": settings.region,
            // Profiles are read once, at the start.
            "configuration": { "version": 1, "loaded_at": settings.started.rfc3339(), "problems": [] },
            "traces": settings.spans.as_ref().map(|spans| {
                let Counts { exported, dropped, failed } = spans.counts();
                json!({ "exported": exported, "dropped": dropped, "failed": failed })
            }),
            "profiles": profiles,
        })
    }

    fn status_of_chain(&self, chain: &Chain, at: Moment) -> Value {
        let heads = self.heads.get(&chain.chain_number);
        let provider = |provider: &Provider| {
            let lag = heads.and_then(|h| h.lag(provider.instance, at.now));
            let (best, (status, reason)) = self.best_channel(chain, provider.instance, lag, at);
            let word = |id: ChannelId| self.channels[id].breaker.gate().word();
            let circuits: Map<String, Value> =
                self.channels_of(provider.instance).map(|id| (id.transport().word().to_owned(), json!(word(id)))).collect();
            json!({ "id": provider.id, "status": status, "reason": reason, "circuit": word(best), "circuits": circuits })
        };
        json!({
            "chain": chain.key,
            "chain_id": chain.chain_number,
            "head": heads.and_then(|h| h.consensus(at.now)),
            "providers": chain.providers.values().map(provider).collect::<Vec<_>>(),
        })
    }

    pub(super) fn region(&self, at: Moment) -> Value {
        let provider = |entry: EntryId| {
            let (profile, chain, provider) = self.topology.of_entry(entry)?;
            let prior_us = |id: ChannelId| self.evidence.standing(id, method::UNKNOWN, at.now).prior_us;
            let prior_us = self.channels_of(provider.instance).filter_map(prior_us).min();
            Some(json!({
                "profile": profile.slug,
                "chain": chain.key,
                "id": provider.id,
                "regions": provider.regions,
                "probe_latency_ms": prior_us.map(|us| super::ms(us.into())),
            }))
        };
        let settings = &self.node.settings;
        json!({
            "region": settings.region,
            "node_id": settings.node_id,
            "timestamp": at.wall.rfc3339(),
            "providers": self.topology.entries.iter().filter_map(|(entry, _)| provider(entry)).collect::<Vec<_>>(),
        })
    }
}
