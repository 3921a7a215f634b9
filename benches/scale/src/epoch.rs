//! The aggregator's step as the number of shards, channels and methods grows.
//!
//! Busy: each shard reports five attempts for every channel and method in every epoch. Quiet: reports come and are empty, which is
//! what the bookkeeping costs that grows with shards and channels alone.

use crate::thread_cpu;
use lasso::aggregator::{Aggregator, Rules};
use lasso::base::ids::{ChannelId, EntryId, Id, Transport};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::base::time::{Duration, Instant, WallTime};
use lasso::chain::method;
use lasso::config::topology::{Strategy, Topology};
use lasso::config::{self, SourceFile};
use lasso::health::breaker::Policy;
use lasso::observe::report::{Load, Report};
use lasso::observe::tally::{Attempted, Effect, Tally};
use lasso::route::limit::TrustedProxies;
use lasso::runtime::journal::Losses;
use lasso::shard::{Node, Settings};
use lasso::snapshot::Snapshot;
use std::sync::Arc;

pub struct Size {
    pub shards: usize,
    pub profiles: usize,
    pub chains: usize,
    pub providers: usize,
    pub methods: usize,
}

const CALLS_OF_A_ROW: u64 = 5;
const EPOCHS: u32 = 40;
const WARM_UP: u32 = 10;

fn topology(size: &Size) -> Topology {
    let files: Vec<SourceFile> = (0..size.profiles).map(|profile| file(size, profile)).collect();
    let loaded = config::load(&files, &|_| None);
    loaded.unwrap_or_else(|problems| panic!("{}", problems.first().map(ToString::to_string).unwrap_or_default())).topology
}

/// Each profile has providers of its own, so channels are profiles times chains times providers.
fn file(size: &Size, profile: usize) -> SourceFile {
    let slug = if profile == 0 { "default".to_string() } else { format!("p{profile}") };
    let mut text = format!("---\nname: {slug}\nslug: {slug}\n---\nchains:\n");
    for chain in 0..size.chains {
        text.push_str(&format!("  c{chain}:\n    chain_id: {}\n    providers:\n", chain + 1));
        for n in 0..size.providers {
            text.push_str(&format!("      - {{id: n{n}, url: \"http://127.0.0.1:9000/{profile}/{chain}/{n}\"}}\n"));
        }
    }
    SourceFile { name: format!("{slug}.yml"), text }
}

fn node(size: &Size, topology: Topology) -> Arc<Node> {
    let settings = Settings {
        node_id: "b".into(),
        region: "b".into(),
        scheme: None,
        host: "localhost".into(),
        shards: size.shards as u32,
        trusted_proxies: TrustedProxies::loopback(),
        client_connections_max: limits::CLIENTS_MAX,
        request_log_rate: limits::REQUEST_LOG_RATE,
        started: WallTime(0),
        spans: None,
        recorder: None,
        log_losses: Losses::default(),
        cluster: None,
    };
    let snapshot = Snapshot::new(topology, Strategy::Fastest, "b", size.shards + 1);
    Node::new(settings, snapshot, [1, 2])
}

struct Running {
    node: Arc<Node>,
    aggregator: Aggregator,
    now: Instant,
    epoch: u64,
}

impl Running {
    /// A step with a report like `tally` of every shard; what the step alone took.
    fn step(&mut self, size: &Size, tally: &Tally) -> Duration {
        self.now = self.now.plus_ms(limits::EPOCH_MS);
        self.epoch += 1;
        for producer in 0..size.shards {
            // A shard's own tally comes back emptied; here it is filled again by copying, outside of what is measured.
            let lane = &self.node.lanes[producer];
            let mut room = lane.take_empty().unwrap_or_else(|| Box::new(tally.clone()));
            (*room).clone_from(tally);
            let (producer, load) = (producer as u16, Load::default());
            let report = Report { producer, epoch: self.epoch, until: self.now, is_last: false, tally: room, load };
            assert!(lane.send(report).is_ok(), "the step before this one emptied it");
        }
        let before = thread_cpu();
        self.aggregator.step(self.now);
        thread_cpu().saturating_sub(before)
    }

    fn mean_us(&mut self, size: &Size, tally: &Tally) -> f64 {
        for _ in 0..WARM_UP {
            self.step(size, tally);
        }
        let spent: Duration = (0..EPOCHS).map(|_| self.step(size, tally)).sum();
        spent.as_secs_f64() * 1e6 / f64::from(EPOCHS)
    }
}

pub fn measure(size: &Size) {
    let topology = topology(size);
    let (entries, instances) = (topology.entries.len(), topology.instances.len());
    let (quiet, busy) = (Tally::new(entries, instances), busy(size, &topology));
    let node = node(size, topology);
    let rules = Rules { breaker: Policy::new(5, 2, 30_000), beta: 3.0 };
    let aggregator = Aggregator::new(node.clone(), rules, Rng::new(1));
    let mut running = Running { node, aggregator, now: Instant::ZERO, epoch: 0 };
    let quiet_us = running.mean_us(size, &quiet);
    let busy_us = running.mean_us(size, &busy);
    println!(
        "{{\"shards\":{},\"profiles\":{},\"chains\":{},\"channels\":{instances},\"methods\":{},\"rows\":{},\"quiet_us\":{quiet_us:.1},\"busy_us\":{busy_us:.1}}}",
        size.shards,
        size.profiles,
        size.profiles * size.chains,
        size.methods,
        busy.rows().count(),
    );
}

/// An epoch of one shard.
fn busy(size: &Size, topology: &Topology) -> Tally {
    let mut tally = Tally::new(topology.entries.len(), topology.instances.len());
    let methods: Vec<_> = method::all().map(|(id, _)| id).take(size.methods).collect();
    for (nth, entry) in topology.entries.values().enumerate() {
        for (method, turn) in methods.iter().flat_map(|method| (0..CALLS_OF_A_ROW).map(move |turn| (*method, turn))) {
            tally.record(&Attempted {
                entry: EntryId::from_index(nth),
                channel: ChannelId::of(entry.instance, Transport::Http),
                method,
                effect: Effect::Success,
                category: None,
                latency: Duration::from_micros(1_000 + 37 * (nth as u64 % 97) + 211 * turn),
                is_retry: false,
                is_superseded: false,
            });
        }
    }
    tally
}
