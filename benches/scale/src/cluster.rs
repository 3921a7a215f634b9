//! One node's engine as the number of nodes grows: all of them in one process, on a network of 20 ms, in virtual time.
//!
//! The nodes' figures are those of a node with ten chains of thirty providers each. What is measured is the first node: its time,
//! and the bytes that come and go. It looks at so many chains of everybody; the others look at nothing and answer.

use crate::region::BusyNode;
use crate::thread_cpu;
use lasso::base::limits::{CLUSTER_DIGEST_MS, CLUSTER_TICK_MS};
use lasso::base::rng::Rng;
use lasso::base::time::{Duration, Instant, WallTime};
use lasso::cluster::advice::AdvicePolicy;
use lasso::cluster::digest::{DigestTopic, NodeDigest};
use lasso::cluster::engine::{Cluster, ClusterMoment, ClusterTerms};
use lasso::cluster::frame::NodeCard;
use lasso::cluster::secret::ClusterSecrets;
use lasso::cluster::sessions::SessionBug;
use std::net::SocketAddr;
use std::sync::Arc;

const STEP_MS: u64 = 20;
/// Whom nobody measures ticks less often.
const OTHERS_TICK_MS: u64 = 500;
const MEETING_S: u64 = 20;
/// The first digests come whole: that is not what a second costs.
const SETTLING_S: u64 = 90;
const MEASURED_S: u64 = 30;

struct Street {
    nodes: Vec<Cluster>,
    letters: Vec<(usize, usize, Vec<u8>)>,
    ms: u64,
    offered: Vec<u64>,
    spent: Duration,
}

fn place(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (n / 250) as u8, (n % 250) as u8], 7946))
}

fn number(at: SocketAddr) -> Option<usize> {
    match at {
        SocketAddr::V4(at) => Some(usize::from(at.ip().octets()[2]) * 250 + usize::from(at.ip().octets()[3])),
        SocketAddr::V6(_) => None,
    }
}

fn engine(n: usize, count: usize) -> Cluster {
    let secrets = ClusterSecrets::new(Some("a secret that is long enough"), None, "lasso");
    let secrets = secrets.unwrap_or_else(|why| panic!("{why:?}"));
    let card = NodeCard::new(&format!("node-{n}"), &format!("region-{}", n % 8), "0.1.0", 1);
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&(n as u64 + 1).to_be_bytes());
    let terms = ClusterTerms { secrets, advice: AdvicePolicy::Usual };
    let mut engine = Cluster::new(card, terms, seed, Rng::new(n as u64), SessionBug::None);
    engine.found((0..count).map(place).collect(), Instant::ZERO);
    engine
}

impl Street {
    fn new(count: usize) -> Street {
        let nodes = (0..count).map(|n| engine(n, count)).collect();
        Street { nodes, letters: Vec::new(), ms: 0, offered: vec![0; count], spent: Duration::ZERO }
    }

    fn act(&mut self, n: usize, act: impl FnOnce(&mut Cluster)) {
        let before = (n == 0).then(thread_cpu);
        act(&mut self.nodes[n]);
        self.spent += before.map_or(Duration::ZERO, |before| thread_cpu().saturating_sub(before));
        for (to, datagram) in self.nodes[n].take_datagrams() {
            if let Some(to) = number(to).filter(|to| *to < self.nodes.len()) {
                self.letters.push((n, to, datagram));
            }
        }
    }

    fn step(&mut self, digests: &[Arc<NodeDigest>]) {
        let now = Instant::ZERO.plus_ms(self.ms);
        let at = ClusterMoment { now, wall: WallTime(1_000_000 + self.ms) };
        for (from, to, datagram) in std::mem::take(&mut self.letters) {
            self.act(to, |engine| engine.arrive(place(from), &datagram, at));
        }
        if self.ms.is_multiple_of(OTHERS_TICK_MS) {
            self.offer(digests, now);
        }
        for n in 0..self.nodes.len() {
            let every = if n == 0 { CLUSTER_TICK_MS } else { OTHERS_TICK_MS };
            if self.ms.is_multiple_of(every) {
                self.act(n, |engine| engine.tick(now));
            }
        }
        self.ms += STEP_MS;
    }

    /// Each five seconds' digest to who is asked for one.
    fn offer(&mut self, digests: &[Arc<NodeDigest>], now: Instant) {
        let nth = self.ms / CLUSTER_DIGEST_MS;
        let digest = &digests[nth as usize % digests.len()];
        let made = Arc::new(NodeDigest { made: now, ..NodeDigest::clone(digest) });
        for (node, offered) in self.nodes.iter_mut().zip(&mut self.offered) {
            if node.wants_digest(now) && *offered < nth {
                *offered = nth;
                node.offer_digest(made.clone());
            }
        }
    }

    fn run(&mut self, seconds: u64, digests: &[Arc<NodeDigest>], looked_at: &[DigestTopic]) {
        let until = self.ms + seconds * 1_000;
        while self.ms < until {
            let now = Instant::ZERO.plus_ms(self.ms);
            if self.ms.is_multiple_of(1_000) {
                looked_at.iter().for_each(|topic| self.nodes[0].want_figures(*topic, now));
            }
            self.step(digests);
        }
    }
}

pub fn measure(count: usize, chains: usize) {
    let mut busy = BusyNode::new(1);
    (0..20).for_each(|_| drop(busy.work(5)));
    let digests: Vec<_> = (0..24).map(|_| busy.work(5)).collect();
    let topics: Vec<DigestTopic> = digests[0].chains.keys().copied().take(chains).collect();
    let mut street = Street::new(count);
    street.run(MEETING_S, &digests, &[]);
    assert_eq!(street.nodes[0].view().coverage(), (count, count), "they have met");
    street.run(if chains == 0 { MEETING_S } else { SETTLING_S }, &digests, &topics);
    let bytes = |street: &Street| {
        let datagrams = &street.nodes[0].view().datagrams;
        (datagrams.received_bytes, datagrams.sent_bytes)
    };
    let before = bytes(&street);
    street.spent = Duration::ZERO;
    street.run(MEASURED_S, &digests, &topics);
    let after = bytes(&street);
    let kib = |bytes: u64| bytes as f64 / MEASURED_S as f64 / 1024.0;
    println!(
        "{{\"nodes\":{count},\"chains\":{},\"core_percent\":{:.4},\"received_kib_per_s\":{:.2},\"sent_kib_per_s\":{:.2}}}",
        topics.len(),
        100.0 * street.spent.as_secs_f64() / MEASURED_S as f64,
        kib(after.0 - before.0),
        kib(after.1 - before.1),
    );
}
