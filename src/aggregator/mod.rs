//! The one thread that judges: takes the producers' reports, steps the health machines, publishes a snapshot when anything
//! moved.
//!
//! It does no I/O and waits for nobody: `step` merges what is there and returns, so the simulator interleaves it with the
//! shards. Being the only writer of breakers, cooldowns and evidence, it needs no lock and its decisions have an order.
//! What it decides reaches the shards within an epoch; what cannot wait that long is a shard's own veto.

mod advice;
mod answer;
mod build;
mod channel;
mod cluster;
mod digest;
mod tell;

use crate::base::ids::{ChainId, ChannelId, Id, IdVec, InstanceId, MethodId, PermitId, ProfileId, Transport};
use crate::base::limits;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::cluster::advice::{Counsel, OwnWord, UpstreamKey};
use crate::cluster::secret::SessionId;
use crate::config::topology::Topology;
use crate::health::breaker::Policy;
use crate::health::evidence::{Evidence, RowCounts};
use crate::health::heads::Heads;
use crate::observe::buckets::BUCKETS;
use crate::observe::decision::Ration;
use crate::observe::figures::Figures;
use crate::observe::happening::Happening;
use crate::observe::report::{Event, Probe, Report, Streaming, TrialEnd};
use crate::observe::tally::{Row, Tally};
use crate::runtime::publish::Reader;
use crate::shard::Node;
use crate::snapshot::{Grant, Snapshot};
use answer::node::Heard;
use channel::Channel;
use digest::DigestMaking;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tell::Told;

/// Fixed at start.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub breaker: Policy,
    /// How much `latency-weighted` prefers the fastest.
    pub beta: f32,
}

/// A ranking's place: which (profile, chain), which method.
type Place = (ProfileId, ChainId, MethodId);

pub struct Aggregator {
    topology: Arc<Topology>,
    rules: Rules,
    node: Arc<Node>,
    /// The control thread's number as a producer: the last. It has no calls, so its probes count under it.
    control: u16,
    /// What was last published, being changed.
    next: Snapshot,
    channels: IdVec<ChannelId, Channel>,
    evidence: Evidence,
    figures: Figures,
    /// By producer.
    heard: Vec<Heard>,
    /// By chain number, over all profiles.
    heads: BTreeMap<u64, Heads>,
    /// Blocks behind at which people are told, by chain number; the smallest of the profiles.
    lag_alerts: BTreeMap<u64, u64>,
    /// The (profile, chain)s that each instance's channels serve.
    plans_of: Vec<BTreeSet<(ProfileId, ChainId)>>,
    /// Rankings that differ from their plan's blank one.
    measured: BTreeSet<Place>,
    dirty: BTreeSet<Place>,
    /// A shard that has calls of this kind, seen in this step.
    demand: BTreeMap<Place, u16>,
    grants: BTreeMap<(Place, ChannelId), (Grant, Instant)>,
    next_permit: u64,
    next_grant: u32,
    rng: Rng,
    /// To be told of by whoever steps it.
    happenings: Vec<Happening>,
    told: Told,
    ration: Ration,
    merged_samples: u64,
    /// Attempts that found no row in a tally, and events beyond an epoch's bound.
    unfiled_samples: u64,
    dropped_events: u64,
    last_forgotten: Instant,
    /// What the other nodes advise, what they were told last, and the newest of their orders that was carried out for each upstream.
    counsel: Reader<Counsel>,
    told_words: Vec<OwnWord>,
    heeded_orders: BTreeMap<UpstreamKey, (u64, SessionId)>,
    digests: DigestMaking,
}

impl Aggregator {
    pub fn new(node: Arc<Node>, rules: Rules, rng: Rng) -> Aggregator {
        let next = (*node.snapshot.latest()).clone();
        let topology = next.topology.clone();
        let mut plans_of = vec![BTreeSet::new(); topology.instances.len()];
        for entry in topology.entries.values() {
            if let Some(plans) = plans_of.get_mut(entry.instance.index()) {
                plans.insert((entry.profile, entry.chain));
            }
        }
        let (mut heads, mut lag_alerts) = (BTreeMap::new(), BTreeMap::new());
        for chain in topology.profiles.values().flat_map(|p| p.chains.values()) {
            heads.entry(chain.chain_number).or_insert_with(|| Heads::new(chain.block_time_ms));
            let alert = lag_alerts.entry(chain.chain_number).or_insert(u64::MAX);
            *alert = chain.lag_alert_threshold_blocks.min(*alert);
        }
        let channels = (0..2 * topology.instances.len()).map(|_| Channel::new(rules.breaker)).collect();
        let (told, ration) =
            (Told::new(2 * topology.instances.len(), node.lanes.len()), Ration::new(node.settings.request_log_rate));
        Aggregator {
            topology,
            rules,
            heard: node.lanes.iter().map(|_| Heard::default()).collect(),
            control: (node.lanes.len() - 1) as u16,
            counsel: node.counsel.reader(),
            told_words: Vec::new(),
            heeded_orders: BTreeMap::new(),
            node,
            next,
            channels,
            evidence: Evidence::new(),
            figures: Figures::default(),
            heads,
            lag_alerts,
            plans_of,
            measured: BTreeSet::new(),
            dirty: BTreeSet::new(),
            demand: BTreeMap::new(),
            grants: BTreeMap::new(),
            next_permit: 1,
            next_grant: 1,
            rng,
            happenings: Vec::new(),
            told,
            ration,
            merged_samples: 0,
            unfiled_samples: 0,
            dropped_events: 0,
            last_forgotten: Instant::ZERO,
            digests: DigestMaking::default(),
        }
    }

    /// Merges what has come, judges, and publishes when anything moved. Returns what people should know.
    pub fn step(&mut self, now: Instant) -> Vec<Happening> {
        self.demand.clear();
        let mut moved = false;
        // One report of each producer at a time: a breaker wants each of them once in an epoch.
        while self.merge_round(now, &mut moved) {}
        self.answer_all(now);
        moved |= self.tick(now);
        moved |= self.advise(now);
        self.forget(now);
        moved |= self.lease(now);
        moved |= !self.dirty.is_empty() || !self.demand.is_empty();
        self.rank(now);
        moved |= self.gate(now);
        if moved {
            self.node.snapshot.publish(self.next.clone());
        }
        self.share_digest(now);
        self.tell_changes(now);
        self.tell_cluster(now);
        // Shards report one after the other what happened at the same time.
        self.happenings.sort_by_key(|happening| happening.at);
        std::mem::take(&mut self.happenings)
    }

    /// Attempts merged since start, for the law that none is lost.
    pub fn merged_samples(&self) -> u64 {
        self.merged_samples
    }

    /// Calls that people were told of since start, and those that found no room: together, all of them.
    pub fn told_calls(&self) -> (u64, u64) {
        (self.told.calls, self.told.untold_calls)
    }

    pub fn channel(&self, channel: ChannelId) -> Option<&Channel> {
        self.channels.get(channel)
    }

    /// The channels of an instance that have an endpoint here; never none.
    fn channels_of(&self, instance: InstanceId) -> impl Iterator<Item = ChannelId> + use<> {
        let region = &self.node.settings.region;
        let (http, ws) = match self.topology.instances.get(instance) {
            Some(instance) => (instance.http_from(region).is_some(), instance.ws_from(region).is_some()),
            None => (false, false),
        };
        let has = [(Transport::Http, http || !ws), (Transport::Ws, ws)];
        has.into_iter().filter(|(_, has)| *has).map(move |(transport, _)| ChannelId::of(instance, transport))
    }

    fn merge_round(&mut self, now: Instant, moved: &mut bool) -> bool {
        let reports: Vec<Report> = self.node.lanes.iter().filter_map(|lane| lane.receive()).collect();
        for report in &reports {
            *moved |= !report.tally.is_empty();
            self.merge(report, now);
        }
        for channel in (0..self.channels.len()).map(ChannelId::from_index) {
            let transition = self.channels[channel].end_epoch(now, &mut self.rng);
            self.tell_circuit(channel, transition, now);
        }
        for report in &reports {
            for channel in (0..self.channels.len()).map(ChannelId::from_index) {
                self.channels[channel].on_reported(report.producer, report.until, report.is_last);
            }
        }
        let any = !reports.is_empty();
        reports.into_iter().for_each(|report| self.recycle(report));
        any
    }

    fn recycle(&mut self, report: Report) {
        if let Some(epoch) = self.next.merged_epochs.get_mut(usize::from(report.producer)) {
            *epoch = report.epoch;
        }
        let mut tally = report.tally;
        tally.clear();
        if let Some(lane) = self.node.lanes.get(usize::from(report.producer)).filter(|_| !report.is_last) {
            lane.give_back(tally);
        }
    }

    fn merge(&mut self, report: &Report, now: Instant) {
        self.merged_samples += report.tally.samples;
        self.unfiled_samples += report.tally.homeless;
        self.dropped_events += u64::from(report.tally.events_dropped);
        if let Some(heard) = self.heard.get_mut(usize::from(report.producer)) {
            match report.is_last {
                true => heard.end(),
                false => heard.hear(report, now),
            }
        }
        for (id, counts) in report.tally.channels() {
            if let Some(channel) = self.channels.get_mut(id) {
                channel.take(report.producer, counts, now);
            }
        }
        self.merge_rows(report.producer, &report.tally, now);
        self.tell_calls(&report.tally, now);
        for event in &report.tally.events {
            self.on_event(event, now);
        }
    }

    fn merge_rows(&mut self, producer: u16, tally: &Tally, now: Instant) {
        let mut wide = [0u32; BUCKETS];
        for row in tally.rows() {
            let (lo, buckets) = row.buckets();
            let room = wide.get_mut(..buckets.len()).unwrap_or_default();
            room.iter_mut().zip(buckets).for_each(|(to, from)| *to = u32::from(*from));
            for (_, bucket, count) in tally.spilled().filter(|(of, ..)| std::ptr::eq(*of, row)) {
                if let Some(to) = bucket.checked_sub(lo).and_then(|offset| room.get_mut(offset)) {
                    *to += count;
                }
            }
            let counts = RowCounts { lo, buckets: room, failures: row.penalised, trailing: row.trailing };
            self.figures.merge(row, lo, counts.buckets, now);
            if let Some(heard) = self.heard.get_mut(usize::from(producer)) {
                heard.latencies.add(lo, counts.buckets);
            }
            self.note_row(producer, row, &counts, now);
        }
    }

    fn note_row(&mut self, producer: u16, row: &Row, counts: &RowCounts<'_>, now: Instant) {
        let Some(entry) = self.topology.entries.get(row.entry).copied() else { return };
        let channel = ChannelId::of(entry.instance, row.transport);
        if !counts.buckets.is_empty() || counts.failures > 0 {
            self.evidence.merge(channel, row.method, counts, now);
            for (profile, chain) in self.plans_of.get(entry.instance.index()).into_iter().flatten() {
                self.dirty.insert((*profile, *chain, row.method));
            }
        }
        self.demand.insert((entry.profile, entry.chain, row.method), producer);
    }

    fn on_event(&mut self, event: &Event, now: Instant) {
        match *event {
            Event::Limited { channel, hint_ms } => self.with(channel, |c| c.on_limited(now, hint_ms)),
            Event::Unreached { channel, why } => self.on_unreached(channel, why, now),
            Event::TrialStarted { permit, channel } => self.with(channel, |c| c.breaker.on_started(permit)),
            Event::TrialEnded { permit, channel, end } => self.end_trial(channel, permit, end, now),
            Event::InTheDark { channel, ok } => self.on_call_in_the_dark(channel, ok, now),
            Event::Rejected { channel, method, category, blocks } => {
                self.with(channel, |c| c.on_rejected(method, category, blocks, now));
            }
            Event::Served { channel, blocks } => self.with(channel, |c| c.on_served(blocks)),
            Event::Head { instance, height } => self.on_head(instance, height, now),
            Event::HeadServed { instance, height, is_shared } => {
                if let Some(heads) = self.heads_of(instance) {
                    heads.on_served(instance, height, is_shared, now);
                }
            }
            Event::HeadForked { instance, height } => {
                if let Some(heads) = self.heads_of(instance) {
                    heads.on_forked(instance, height);
                }
            }
            Event::Streaming { channel, what } => {
                if what == Streaming::Silent {
                    self.with(channel, |c| c.on_silent(now));
                }
                self.tell_streaming(channel, what, now);
            }
            Event::Feed { channel, state } => self.with(channel, |c| c.feed = state),
            Event::Probed { channel, probe } => self.on_probe(channel, probe, now),
        }
    }

    fn with(&mut self, channel: ChannelId, act: impl FnOnce(&mut Channel)) {
        if let Some(channel) = self.channels.get_mut(channel) {
            act(channel);
        }
    }

    fn end_trial(&mut self, id: ChannelId, permit: PermitId, end: TrialEnd, now: Instant) {
        let Some(channel) = self.channels.get_mut(id) else { return };
        let transition = channel.breaker.on_trial(permit, end, now, &mut self.rng);
        self.tell_circuit(id, transition, now);
    }

    fn on_call_in_the_dark(&mut self, id: ChannelId, ok: bool, now: Instant) {
        let Some(channel) = self.channels.get_mut(id) else { return };
        let transition = channel.breaker.on_call_in_the_dark(ok, now, &mut self.rng);
        self.tell_circuit(id, transition, now);
    }

    fn on_probe(&mut self, id: ChannelId, probe: Probe, now: Instant) {
        let Some(channel) = self.channels.get_mut(id) else { return };
        let transition = channel.on_probe(probe, self.control, now);
        if let Probe::Ok { latency } = probe {
            self.evidence.on_prior(id, u32::try_from(latency.as_micros()).unwrap_or(u32::MAX), now);
            for (profile, chain) in self.plans_of.get(id.instance().index()).into_iter().flatten() {
                // Whatever nobody has measured is ranked by this.
                self.dirty.insert((*profile, *chain, crate::chain::method::UNKNOWN));
            }
        }
        self.tell_circuit(id, transition, now);
    }

    fn heads_of(&mut self, instance: InstanceId) -> Option<&mut Heads> {
        self.topology.instances.get(instance).and_then(|instance| self.heads.get_mut(&instance.chain_number))
    }

    /// Where an instance has another block than two others of its chain, which agree.
    fn forked(&self, id: ChannelId, now: Instant) -> Option<u64> {
        let instance = self.topology.instances.get(id.instance())?;
        self.heads.get(&instance.chain_number)?.forked(id.instance(), now)
    }

    /// A height, and once per episode a word about who is far behind (docs/behaviour/health.md#lag).
    fn on_head(&mut self, instance: InstanceId, height: u64, now: Instant) {
        let Some(number) = self.topology.instances.get(instance).map(|i| i.chain_number) else { return };
        let Some(heads) = self.heads.get_mut(&number) else { return };
        heads.on_head(instance, height, now);
        let threshold = self.lag_alerts.get(&number).copied().unwrap_or(u64::MAX);
        if let Some(alert) = heads.alert(instance, threshold, now) {
            self.tell_lag(instance, alert, now);
        }
    }

    fn tick(&mut self, now: Instant) -> bool {
        let mut moved = false;
        for id in (0..self.channels.len()).map(ChannelId::from_index) {
            let transition = self.channels[id].breaker.tick(now);
            moved |= transition.is_some();
            moved |= self.channels[id].learnt.tick(now);
            self.tell_circuit(id, transition, now);
        }
        moved
    }

    /// Now and then, what is too old to decide.
    fn forget(&mut self, now: Instant) {
        if now.since(self.last_forgotten) < Duration::from_millis(limits::REMEASURE_MS) {
            return;
        }
        self.last_forgotten = now;
        self.evidence.forget(now);
        self.dirty.extend(self.measured.iter().copied());
        self.grants.retain(|_, (_, at)| now.since(*at) < Duration::from_millis(limits::REMEASURE_MS));
    }

    /// Gives free permits of half-open channels out, for trials by our own probes.
    fn lease(&mut self, now: Instant) -> bool {
        let mut leased = false;
        for id in (0..self.channels.len()).map(ChannelId::from_index) {
            let channel = &mut self.channels[id];
            let (start_by, expires) = (now.plus_ms(limits::TRIAL_START_MS), now.plus_ms(limits::TRIAL_RESULT_MS));
            if channel.breaker.lease(PermitId(self.next_permit), self.control, start_by, expires, now) {
                self.next_permit += 1;
                leased = true;
            }
        }
        leased
    }
}
