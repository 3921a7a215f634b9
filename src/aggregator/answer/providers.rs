//! `/api/providers/:chain`: what is known of each provider, and in one word how it is.

use super::{Moment, ms, rounded};
use crate::aggregator::Aggregator;
use crate::aggregator::channel::Channel;
use crate::base::ids::{ChannelId, EntryId, InstanceId, Transport};
use crate::chain::method;
use crate::chain::method_key::MethodKey;
use crate::config::topology::{Chain, Instance, Profile, Provider};
use crate::health::breaker::{Gate, HELD_OPEN, Manual};
use crate::health::heads::forked_at;
use crate::observe::figures::{Counts, Window};
use crate::observe::shown::STATUS_WORDS;
use serde_json::{Map, Value, json};

impl Aggregator {
    pub(super) fn providers(&self, profile: &Profile, chain: &Chain, at: Moment) -> Value {
        let providers: Vec<Value> = chain.providers.iter().map(|(id, p)| self.provider(chain, p, chain.entry(id), at)).collect();
        let heads = self.heads.get(&chain.chain_number);
        json!({
            "profile": profile.slug,
            "chain": chain.key,
            "chain_id": chain.chain_number,
            "timestamp": at.wall.rfc3339(),
            "consensus_height": heads.and_then(|h| h.consensus(at.now)),
            "block_time_ms": heads.map(|h| h.block_time().as_millis() as u64),
            "max_lag_blocks": chain.max_lag_blocks,
            "providers": providers,
        })
    }

    /// What is true of the provider, then of each of its channels. The words and the circuit beside its name are those of the
    /// channel that is best off: so long as one serves, the provider does.
    fn provider(&self, chain: &Chain, provider: &Provider, entry: EntryId, at: Moment) -> Value {
        let instance = &self.topology.instances[provider.instance];
        let region = &self.node.settings.region;
        let heads = self.heads.get(&chain.chain_number);
        let head = heads.and_then(|h| h.height(provider.instance));
        let lag = heads.and_then(|h| h.lag(provider.instance, at.now));
        let (best, (status, reason)) = self.best_channel(chain, provider.instance, lag, at);
        let mut out = json!({
            "id": provider.id,
            "name": provider.name,
            "status": status,
            "reason": reason,
            "priority": provider.priority,
            "url": instance.http_from(region).map(|e| e.shown()),
            "ws_url": instance.ws_from(region).map(|e| e.shown().replacen("http", "ws", 1)),
            "instance": instance.label,
            "archival": provider.archival,
            "regions": provider.regions,
            "height": head.map(|(height, _)| height),
            "height_at": head.map(|(_, seen)| at.wall_of(seen)),
            "lag_blocks": lag.map(|lag| lag.min(0).unsigned_abs()),
            "subscriptions": self.subscriptions_of(provider, instance),
            "last_minute": self.last_minute(entry, None, at),
        });
        let channel = |id: ChannelId| {
            let (status, reason) = self.status_of(chain, id, lag, at);
            let mut row = self.state(id, at);
            row.insert("transport".to_owned(), json!(id.transport().word()));
            row.insert("status".to_owned(), json!(status));
            row.insert("reason".to_owned(), json!(reason));
            row.insert("last_minute".to_owned(), self.last_minute(entry, Some(id.transport()), at));
            Value::Object(row)
        };
        if let Value::Object(out) = &mut out {
            out.extend(self.state(best, at));
            out.insert("channels".to_owned(), self.channels_of(provider.instance).map(channel).collect());
        }
        out
    }

    /// The channel that is best off, and how it is.
    pub(in crate::aggregator) fn best_channel(
        &self,
        chain: &Chain,
        instance: InstanceId,
        lag: Option<i64>,
        at: Moment,
    ) -> (ChannelId, (&'static str, String)) {
        let rank = |status: &str| STATUS_WORDS.iter().position(|word| *word == status).unwrap_or(STATUS_WORDS.len());
        let all = self.channels_of(instance).map(|id| (id, self.status_of(chain, id, lag, at)));
        let best = all.min_by_key(|(_, (status, _))| rank(status));
        best.unwrap_or_else(|| (ChannelId::of(instance, Transport::Http), ("unknown", String::new())))
    }

    /// A channel's circuit, rests and lessons.
    fn state(&self, id: ChannelId, at: Moment) -> Map<String, Value> {
        let channel = &self.channels[id];
        let limited_until = channel.limited_until(at.now).map(|until| at.wall_in(until));
        let last_failure =
            channel.last_failure.map(|(category, when)| json!({ "category": category.word(), "at": at.wall_of(when) }));
        let probe_us = self.evidence.standing(id, method::UNKNOWN, at.now).prior_us;
        [
            ("circuit", self.circuit(id, at)),
            ("rate_limited_until", json!(limited_until)),
            ("rate_limited_by", json!(channel.limited_by(at.now))),
            ("misconfigured_since", json!(channel.misconfigured_since.map(|since| at.wall_of(since)))),
            ("wrong_chain_id", json!(channel.wrong_chain)),
            ("last_failure", json!(last_failure)),
            ("unreachable", json!(channel.unreached.map(|why| json!({ "cause": why.word(), "message": why.text() })))),
            ("probe_latency_ms", json!(probe_us.map(|us| ms(us.into())))),
            ("learnt_limits", learnt(channel, at)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    fn last_minute(&self, entry: EntryId, transport: Option<Transport>, at: Moment) -> Value {
        let mut minute = Counts::default();
        let of_entry = self.figures.of_entry(entry).filter(|(of, ..)| transport.is_none_or(|t| t == *of));
        of_entry.for_each(|(_, _, figure)| minute.add(&figure.counts(Window::Minute, at.now)));
        let latencies = minute.latencies.histogram();
        json!({
            "calls": minute.attempts(),
            "success_rate": rounded(minute.success_rate()),
            "p50_latency_ms": (minute.successes > 0).then(|| ms(latencies.value_at_quantile(0.5))),
            "p95_latency_ms": (minute.successes > 0).then(|| ms(latencies.value_at_quantile(0.95))),
            "p99_latency_ms": (minute.successes > 0).then(|| ms(latencies.value_at_quantile(0.99))),
        })
    }

    /// Its feed, where it has a WebSocket; a polled one is known by its heads.
    fn subscriptions_of(&self, provider: &Provider, instance: &Instance) -> Value {
        let transport = if instance.ws_from(&self.node.settings.region).is_some() { Transport::Ws } else { Transport::Http };
        let feed = self.channels[ChannelId::of(provider.instance, transport)].feed;
        json!({
            "source": if transport == Transport::Ws { "websocket" } else { "polling" },
            "connected": feed.is_connected,
            "upstream_subscriptions": feed.subscriptions,
            "heads_announced": feed.heads,
            "announce_delay_ms": feed.delay_us.map(ms),
        })
    }

    /// The worst thing known of it in a word, and why in a sentence.
    fn status_of(&self, chain: &Chain, id: ChannelId, lag: Option<i64>, at: Moment) -> (&'static str, String) {
        let channel = &self.channels[id];
        let behind = lag.map_or(0, |lag| lag.min(0).unsigned_abs());
        if let Some(got) = channel.wrong_chain {
            let text = format!("its eth_chainId says {got}, not {}: correct its url or the chain_id", chain.chain_number);
            return ("wrong_chain", text);
        }
        let breaker = &channel.breaker;
        match breaker.gate() {
            Gate::Open if breaker.manual() == Some(Manual::Open) => return ("circuit_open", held_open(channel)),
            Gate::Open => return ("circuit_open", channel.why(at.now)),
            Gate::HalfOpen => return ("recovering", channel.why(at.now)),
            Gate::Closed => {}
        }
        if let Some(height) = self.forked(id, at.now) {
            return ("wrong_chain", format!("{}: it is tried last", forked_at(height)));
        }
        if channel.misconfigured_since.is_some() {
            return ("misconfigured", "it refuses our credentials: correct its key or headers".to_owned());
        }
        if channel.limited_until(at.now).is_some() {
            return ("rate_limited", channel.why_limited(at.now));
        }
        if behind > chain.max_lag_blocks {
            return ("lagging", format!("{behind} blocks behind the chain; max_lag_blocks is {}", chain.max_lag_blocks));
        }
        if breaker.probe_failing() {
            return ("unsteady", with_cause("our last probe of it failed", channel));
        }
        if let Some((category, since)) = channel.suspicion.view(at.now) {
            let (what, ago_s) = (category.word().replace('_', " "), at.now.since(since).as_secs());
            return (
                "unsteady",
                format!("suspected since {ago_s} s: {what}, which may be the calls' own fault; our next probe decides"),
            );
        }
        match channel.is_known {
            true => ("healthy", String::new()),
            false => ("unknown", with_cause("it has not answered yet", channel)),
        }
    }

    pub(super) fn circuit(&self, id: ChannelId, at: Moment) -> Value {
        let (breaker, ordered_by) = (&self.channels[id].breaker, &self.channels[id].advised.ordered_by);
        let manual = breaker.manual().map(|manual| match manual {
            Manual::Open => "open",
            Manual::Close => "close",
        });
        json!({
            "state": breaker.gate().word(),
            "reason": breaker.reason(),
            "since": at.wall_of(breaker.since()),
            "failures_in_a_row": breaker.run(),
            "opens": breaker.opens(),
            "retry_in_ms": breaker.retry_at().map(|retry| retry.since(at.now).as_millis() as u64),
            "manual": manual,
            // The node where the order was given; nobody's when it was here.
            "manual_by": ordered_by.as_deref().filter(|_| manual.is_some()),
        })
    }
}

fn with_cause(what: &str, channel: &Channel) -> String {
    channel.unreached.map_or(what.to_owned(), |why| format!("{what}: {}", why.text()))
}

fn held_open(channel: &Channel) -> String {
    match &channel.advised.ordered_by {
        None => HELD_OPEN.to_owned(),
        Some(by) => format!("{HELD_OPEN} (ordered at node {by})"),
    }
}

fn learnt(channel: &Channel, at: Moment) -> Value {
    let view = channel.learnt_view(at.now);
    let methods: Vec<&str> = view.methods.iter().map(MethodKey::name).collect();
    json!({ "max_log_range": view.max_log_range, "max_depth": view.max_depth, "lacking_methods": methods })
}
