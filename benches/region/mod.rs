//! One node of a large cluster: ten chains of thirty providers, each of which answers ten calls a second, of a dozen methods. Without threads.

use lasso::aggregator::{Aggregator, Rules};
use lasso::base::ids::{ChannelId, EntryId, InstanceId, Transport};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::base::time::{Instant, WallTime};
use lasso::chain::method;
use lasso::cluster::digest::NodeDigest;
use lasso::config::topology::Strategy;
use lasso::config::{self, SourceFile};
use lasso::health::breaker::Policy;
use lasso::observe::category::Category;
use lasso::observe::report::{Event, Load, Report};
use lasso::observe::tally::{Attempted, Effect, Tally};
use lasso::route::limit::TrustedProxies;
use lasso::runtime::journal::Losses;
use lasso::shard::{Node, Settings};
use lasso::snapshot::Snapshot;
use std::sync::Arc;
use std::time::Duration;

pub const CHAINS: usize = 10;
pub const PROVIDERS: usize = 30;
const ENTRIES: usize = CHAINS * PROVIDERS;
const CALLS_PER_SECOND: u64 = 10;
const METHODS: [&str; 12] = [
    "eth_call",
    "eth_getBalance",
    "eth_blockNumber",
    "eth_getLogs",
    "eth_getTransactionReceipt",
    "eth_getBlockByNumber",
    "eth_estimateGas",
    "eth_gasPrice",
    "eth_getTransactionCount",
    "eth_getCode",
    "eth_getTransactionByHash",
    "eth_sendRawTransaction",
];

pub struct BusyNode {
    pub node: Arc<Node>,
    pub aggregator: Aggregator,
    pub now: Instant,
    rng: Rng,
    epoch: u64,
}

fn node() -> Arc<Node> {
    let mut text = String::from("---\nname: b\nslug: default\n---\nchains:\n");
    for chain in 0..CHAINS {
        text.push_str(&format!("  chain-{chain}:\n    chain_id: {}\n    providers:\n", chain + 1));
        for n in 0..PROVIDERS {
            let port = 9_000 + chain * PROVIDERS + n;
            text.push_str(&format!("      - {{id: some_provider_{n}, url: \"http://127.0.0.1:{port}\"}}\n"));
        }
    }
    let loaded = config::load(&[SourceFile { name: "default.yml".into(), text }], &|_| None);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems:?}"));
    let settings = Settings {
        node_id: "b".into(),
        region: "b".into(),
        scheme: None,
        host: "localhost".into(),
        shards: 1,
        trusted_proxies: TrustedProxies::loopback(),
        client_connections_max: limits::CLIENTS_MAX,
        request_log_rate: limits::REQUEST_LOG_RATE,
        started: WallTime(0),
        spans: None,
        recorder: None,
        log_losses: Losses::default(),
        cluster: None,
    };
    let snapshot = Snapshot::new(loaded.topology, Strategy::Fastest, "b", 2);
    Node::new(settings, snapshot, [1, 2])
}

impl BusyNode {
    pub fn new(seed: u64) -> BusyNode {
        let node = node();
        node.digests_wanted.publish(Instant::NEVER);
        let aggregator = Aggregator::new(node.clone(), Rules { breaker: Policy::new(5, 2, 30_000), beta: 3.0 }, Rng::new(seed));
        BusyNode { node, aggregator, now: Instant::ZERO, rng: Rng::new(seed).fork(1), epoch: 0 }
    }

    /// So many seconds of work; the digest that is made at their end.
    pub fn work(&mut self, seconds: u64) -> Arc<NodeDigest> {
        let mut tally = Box::new(Tally::new(ENTRIES, ENTRIES));
        self.now = self.now.plus_ms(seconds * 1_000);
        for entry in 0..ENTRIES {
            let instance = InstanceId(entry as u16);
            tally.tell(Event::Head { instance, height: 20_000_000 + self.now.as_ms() / 1_000 });
            for _ in 0..seconds * CALLS_PER_SECOND {
                self.call(&mut tally, entry);
            }
        }
        self.epoch += 1;
        let (epoch, until) = (self.epoch, self.now);
        let report = Report { producer: 0, epoch, until, is_last: false, tally, load: Load::default() };
        assert!(self.node.lanes[0].send(report).is_ok(), "the step before this one emptied it");
        self.aggregator.step(self.now);
        drop(self.node.lanes[0].take_empty());
        self.node.digest.latest()
    }

    fn call(&mut self, tally: &mut Tally, entry: usize) {
        let failed = self.rng.chance(10_000);
        // Three in a row times a half: about what a long tail is.
        let spread: f64 = (0..3).map(|_| self.rng.unit() - 0.5).sum();
        let us = (20_000.0 + 400.0 * entry as f64) * spread.exp();
        tally.record(&Attempted {
            entry: EntryId(entry as u32),
            channel: ChannelId::of(InstanceId(entry as u16), Transport::Http),
            method: method::lookup(METHODS[self.rng.below(METHODS.len() as u64) as usize].as_bytes()),
            effect: if failed { Effect::Neutral } else { Effect::Success },
            category: failed.then_some(Category::RateLimit),
            latency: Duration::from_micros(us as u64),
            is_retry: self.rng.chance(5_000),
            is_superseded: false,
        });
    }
}
