//! What people are told of as it happens: the same words for the log, `/api/events` and the page
//! (docs/behaviour/shown.md#events).
//!
//! Three sources. Calls come written down by the shards and get their names here. Changes of a circuit are told when they
//! happen. Everything else is told by difference: each step compares how a channel, a chain and a producer stand
//! with how they stood, so an episode is told once however many calls it touched, and no rule has to remember to tell.

use crate::aggregator::Aggregator;
use crate::aggregator::channel::Channel;
use crate::base::ids::{ChannelId, EntryId, Id, InstanceId, Transport};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::health::breaker::{Gate, HELD_OPEN, Transition};
use crate::health::heads::Alert;
use crate::health::heads::forked_at;
use crate::observe::category::Category;
use crate::observe::decision::{Decision, Ended};
use crate::observe::happening::{Happening, Level};
use crate::observe::report::Streaming;
use crate::observe::shortage::{Shortage, Shortages};
use crate::observe::tally::Tally;
use crate::observe::unreached::Unreached;
use crate::route::meta::strategy_name;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How things stood when people were last told.
#[derive(Default)]
pub(super) struct Told {
    channels: Vec<Marks>,
    /// By chain number.
    heads: BTreeMap<u64, u64>,
    /// By producer.
    producers: Vec<Counted>,
    log_losses: u64,
    /// What was lacking, and when each was told of.
    shortages: Shortages,
    lacked_at: [Option<Instant>; Shortage::ALL.len()],
    pub(super) calls: u64,
    /// Calls that people were not told of, for want of room.
    pub(super) untold_calls: u64,
}

/// What speaks against a channel, apart from its circuit.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Marks {
    is_limited: bool,
    is_misconfigured: bool,
    wrong_chain: Option<u64>,
    /// Where it has another block than others.
    forked: Option<u64>,
}

impl Told {
    pub fn new(channels: usize, producers: usize) -> Told {
        let channels = vec![Marks::default(); channels];
        Told { channels, producers: vec![Counted::default(); producers], ..Told::default() }
    }
}

impl Marks {
    fn of(channel: &Channel, forked: Option<u64>, now: Instant) -> Marks {
        Marks {
            is_limited: channel.limited_until(now).is_some(),
            is_misconfigured: channel.misconfigured_since.is_some(),
            wrong_chain: channel.wrong_chain,
            forked,
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Counted {
    panics: u64,
    slow_consumers: u64,
}

impl Aggregator {
    /// The calls of one producer's epoch, as many as the node's second has room for.
    pub(super) fn tell_calls(&mut self, tally: &Tally, now: Instant) {
        self.told.untold_calls += tally.untold;
        for decision in tally.decisions() {
            let has_room = self.ration.take(decision.is_trouble(), now);
            match has_room.then(|| self.call(decision)).flatten() {
                Some(happening) => {
                    self.told.calls += 1;
                    self.happenings.push(happening);
                }
                None => self.told.untold_calls += 1,
            }
        }
    }

    /// One call, in the Elixir program's shape (docs/behaviour/shown.md#events).
    fn call(&self, call: &Decision) -> Option<Happening> {
        let profile = self.topology.profiles.get(call.profile)?;
        let chain = profile.chains.get(call.chain)?;
        let id_of = |entry: EntryId| self.topology.of_entry(entry).map(|(_, _, provider)| &*provider.id);
        let selected = call.selected.and_then(|(entry, over)| Some(json!({ "id": id_of(entry)?, "protocol": over.word() })));
        let ms = |duration: Duration| (duration.as_micros() as f64) / 1000.0;
        let level = if matches!(call.end, Ended::Refused { .. }) { Level::Warn } else { Level::Info };
        let happening = Happening::new("rpc.request.completed", level, call.ended)
            .about([(call.profile, call.chain)])
            .with("request_id", String::from_utf8_lossy(&call.request_id))
            .with("profile", &*profile.slug)
            .with("strategy", strategy_name(call.strategy))
            .with("chain", &*chain.key)
            .with("chain_id", chain.chain_number)
            .with("transport", call.transport.word())
            .with("jsonrpc_method", call.method_name())
            .with(
                "routing",
                json!({ "selected_provider": selected, "retries": call.retries, "circuit_breaker_state": call.circuit }),
            )
            .with(
                "timing",
                json!({
                    "selection_latency_ms": ms(call.selection),
                    "upstream_latency_ms": ms(call.upstream),
                    "end_to_end_latency_ms": ms(call.total),
                    "lasso_overhead_ms": ms(call.total.saturating_sub(call.upstream)),
                }),
            );
        Some(happening.with("response", response(call.end)))
    }

    /// A circuit has changed.
    pub(super) fn tell_circuit(&mut self, id: ChannelId, transition: Option<Transition>, now: Instant) {
        let Some(Transition { from, to, reason }) = transition else { return };
        if to == Gate::Open && from != to {
            self.with(id, |channel| channel.opened += 1);
        }
        let Some(channel) = self.channels.get(id) else { return };
        let cause = channel.last_failure.filter(|_| to == Gate::Open).map(|(category, _)| category.word());
        let (level, message) = match (to, channel.breaker.manual()) {
            (Gate::Open, None) => (Level::Warn, format!("circuit open: {}", channel.why(now))),
            (Gate::Open, Some(_)) => (Level::Warn, format!("circuit open: {HELD_OPEN}")),
            (Gate::HalfOpen, _) => (Level::Info, "circuit half-open: our probes decide".to_owned()),
            (Gate::Closed, None) => (Level::Info, "circuit closed: calls are sent to it again".to_owned()),
            (Gate::Closed, Some(_)) => (Level::Info, "circuit held closed by hand".to_owned()),
        };
        let happening = self.about("provider.circuit", level, id, now).with("from", from.word()).with("to", to.word());
        self.happenings.push(happening.with("reason", reason).with("cause", cause).with("message", message));
    }

    /// No connection to it can be made: told once for each reason, and again while that lasts, now and then.
    pub(super) fn on_unreached(&mut self, id: ChannelId, why: Unreached, now: Instant) {
        if self.channels.get_mut(id).is_some_and(|channel| channel.on_unreached(why, now)) {
            let happening = self.about("provider.unreachable", Level::Warn, id, now).with("cause", why.word());
            self.happenings.push(happening.with("message", why.text()));
        }
    }

    /// What happened between the node and one provider's subscriptions.
    pub(super) fn tell_streaming(&mut self, id: ChannelId, what: Streaming, now: Instant) {
        let is_trouble = matches!(what, Streaming::Silent | Streaming::Lost | Streaming::Closed { .. });
        let (event, message) = match what {
            Streaming::Connected => ("provider.connected", "its connection for subscriptions is open".to_owned()),
            Streaming::Ended { code } => ("provider.disconnected", format!("its connection for subscriptions ended ({code})")),
            Streaming::Silent => ("provider.silent", "it announced no block for too long: connected anew".to_owned()),
            Streaming::Leads => ("stream.leads", "subscribers hear this provider from now on".to_owned()),
            Streaming::Lost => ("stream.lost", "subscribers lost this provider: another one is sought".to_owned()),
            Streaming::Closed { reason } => ("stream.closed", format!("subscribers were closed with 1013: {reason}")),
        };
        let mut happening = self.about(event, if is_trouble { Level::Warn } else { Level::Info }, id, now);
        match what {
            Streaming::Ended { code } => happening = happening.with("code", code),
            Streaming::Closed { reason } => happening = happening.with("reason", reason),
            Streaming::Connected | Streaming::Silent | Streaming::Leads | Streaming::Lost => {}
        }
        self.happenings.push(happening.with("message", message));
    }

    /// It began to lag as far as people want to know, or is back (docs/behaviour/health.md#lag).
    pub(super) fn tell_lag(&mut self, instance: InstanceId, alert: Alert, now: Instant) {
        let id = self.channels_of(instance).next().unwrap_or(ChannelId::of(instance, Transport::Http));
        self.happenings.push(match alert {
            Alert::Lags { blocks } => {
                let message = format!("{blocks} blocks behind the other providers of its chain");
                self.about("provider.lag", Level::Warn, id, now).with("blocks", blocks).with("message", message)
            }
            Alert::CaughtUp => {
                let message = "it is as high as the other providers of its chain again";
                self.about("provider.caught_up", Level::Info, id, now).with("message", message)
            }
        });
    }

    /// Whatever has changed since the last step, of what is told by difference.
    pub(super) fn tell_changes(&mut self, now: Instant) {
        for id in (0..self.channels.len()).map(ChannelId::from_index) {
            self.tell_marks(id, now);
        }
        self.tell_heads(now);
        for producer in 0..self.heard.len() {
            self.tell_producer(producer, now);
        }
        self.tell_shortages(now);
        let losses = self.node.settings.log_losses.count();
        if losses > self.told.log_losses {
            let message = "standard output did not take the log's lines";
            let count = losses - self.told.log_losses;
            let happening = Happening::new("node.log_dropped", Level::Warn, now).with("count", count);
            self.happenings.push(happening.with("message", message));
            self.told.log_losses = losses;
        }
    }

    /// Each at most once a minute: a node that lacks something lacks it thousands of times.
    fn tell_shortages(&mut self, now: Instant) {
        for shortage in Shortage::ALL {
            let of = shortage.index();
            let total = self.heard.iter().filter_map(|heard| heard.load.shortages.get(of)).sum();
            let (Some(told), Some(at)) = (self.told.shortages.get_mut(of), self.told.lacked_at.get_mut(of)) else { continue };
            let is_due = at.is_none_or(|at| now.since(at) >= Duration::from_millis(limits::SHORTAGE_TOLD_MS));
            if total <= *told || !is_due {
                continue;
            }
            let happening = Happening::new("node.shortage", Level::Warn, now).with("of", shortage.word());
            self.happenings.push(happening.with("count", total - *told).with("message", shortage.remedy()));
            (*told, *at) = (total, Some(now));
        }
    }

    fn tell_marks(&mut self, id: ChannelId, now: Instant) {
        let Some(channel) = self.channels.get(id) else { return };
        let marks = Marks::of(channel, self.forked(id, now), now);
        let Some(told) = self.told.channels.get_mut(id.index()) else { return };
        let before = std::mem::replace(told, marks);
        if before == marks {
            return;
        }
        let (rest, why_limited) = (channel.limited_until(now), channel.why_limited(now));
        let limited_by = channel.limited_by(now).map(str::to_owned);
        let mut news = Vec::new();
        match (before.is_limited, marks.is_limited) {
            (false, true) => {
                let rest_ms = rest.map(|until| until.since(now).as_millis() as u64);
                let limited = self.about("provider.rate_limited", Level::Warn, id, now).with("retry_after_ms", rest_ms);
                news.push(limited.with("told_to", limited_by).with("message", why_limited));
            }
            (true, false) => news.push(self.recovered("rate_limited", "its rest is over", id, now)),
            (false, false) | (true, true) => {}
        }
        match (before.is_misconfigured, marks.is_misconfigured) {
            (false, true) => {
                let message = "it refuses our credentials: correct its key or headers";
                news.push(self.about("provider.misconfigured", Level::Warn, id, now).with("message", message));
            }
            (true, false) => news.push(self.recovered("misconfigured", "it takes our credentials again", id, now)),
            (false, false) | (true, true) => {}
        }
        match (before.wrong_chain, marks.wrong_chain) {
            (old, Some(got)) if old != Some(got) => {
                let message = format!("it serves chain {got}: no call is sent to it (correct its url or the chain_id)");
                news.push(self.about("provider.chain", Level::Warn, id, now).with("got", got).with("message", message));
            }
            (Some(_), None) => news.push(self.recovered("wrong_chain", "it serves the right chain now", id, now)),
            (_, _) => {}
        }
        match (before.forked, marks.forked) {
            (None, Some(height)) => {
                let message = format!("{}: it is tried last (look where its chain comes from)", forked_at(height));
                news.push(self.about("provider.fork", Level::Warn, id, now).with("height", height).with("message", message));
            }
            (Some(_), None) => news.push(self.recovered("wrong_chain", "nothing speaks for another fork any more", id, now)),
            (Some(_), Some(_)) | (None, None) => {}
        }
        self.happenings.append(&mut news);
    }

    fn recovered(&self, from: &str, message: &str, id: ChannelId, now: Instant) -> Happening {
        self.about("provider.recovered", Level::Info, id, now).with("from", from).with("message", message)
    }

    fn tell_heads(&mut self, now: Instant) {
        for (number, heads) in &self.heads {
            let Some(height) = heads.consensus(now) else { continue };
            if self.told.heads.insert(*number, height) == Some(height) {
                continue;
            }
            let places = self.topology.profiles.iter().flat_map(|(id, profile)| profile.chains.iter().map(move |c| (id, c)));
            let here: Vec<_> = places.filter(|(_, (_, chain))| chain.chain_number == *number).collect();
            let named = |profile| self.topology.profiles.get(profile).map_or("", |p| &p.slug);
            let chains: Vec<Value> =
                here.iter().map(|(id, (_, chain))| json!({ "profile": named(*id), "chain": chain.key })).collect();
            let happening = Happening::new("chain.head", Level::Debug, now)
                .about(here.iter().map(|(profile, (chain, _))| (*profile, *chain)))
                .with("chain_id", *number)
                .with("chains", chains)
                .with("height", height);
            self.happenings.push(happening);
        }
    }

    /// Counts that should stand still.
    fn tell_producer(&mut self, producer: usize, now: Instant) {
        let (Some(heard), Some(told)) = (self.heard.get(producer), self.told.producers.get_mut(producer)) else { return };
        let counted = Counted { panics: heard.load.panics, slow_consumers: heard.load.slow_consumers };
        let before = std::mem::replace(told, counted);
        let name = self.producer_name(producer);
        let more = |event, count: u64, message: &str| {
            let happening = Happening::new(event, Level::Warn, now).with("shard", &*name).with("count", count);
            happening.with("message", message)
        };
        if counted.panics > before.panics {
            let message = "a task panicked: its connection is gone, the shard goes on (please report it)";
            self.happenings.push(more("node.panic", counted.panics - before.panics, message));
        }
        if counted.slow_consumers > before.slow_consumers {
            let message = "subscribers did not take their events in time and were closed with 1008";
            self.happenings.push(more("client.slow_consumer", counted.slow_consumers - before.slow_consumers, message));
        }
    }

    /// A happening that is about one channel, and so about every provider that is this channel.
    fn about(&self, event: &'static str, level: Level, id: ChannelId, now: Instant) -> Happening {
        let instance = self.topology.instances.get(id.instance());
        let mine = self.topology.entries.iter().filter(|(_, entry)| entry.instance == id.instance());
        let (mut places, mut providers) = (Vec::new(), Vec::new());
        for (entry, of) in mine {
            if let Some((profile, chain, provider)) = self.topology.of_entry(entry) {
                places.push((of.profile, of.chain));
                providers.push(json!({ "profile": profile.slug, "chain": chain.key, "id": provider.id }));
            }
        }
        Happening::new(event, level, now)
            .about(places)
            .with("chain_id", instance.map(|i| i.chain_number))
            .with("transport", id.transport().word())
            .with("instance", instance.map(|i| &*i.label))
            .with("providers", providers)
    }
}

fn response(end: Ended) -> Value {
    let error = |code: i64, category: Option<Category>| {
        let mut error = Map::new();
        error.insert("code".to_owned(), code.into());
        if let Some(category) = category {
            error.insert("category".to_owned(), category.word().into());
        }
        error
    };
    match end {
        Ended::Result { bytes } => json!({ "status": "success", "result_size_bytes": bytes }),
        Ended::Error { code, category } => json!({ "status": "error", "origin": "provider", "error": error(code, category) }),
        Ended::Refused { code, category } => json!({ "status": "error", "origin": "lasso", "error": error(code, category) }),
        Ended::Truncated => json!({ "status": "truncated" }),
        Ended::ClientGone => json!({ "status": "cancelled" }),
    }
}
