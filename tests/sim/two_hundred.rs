//! Two hundred nodes of ten chains with thirty providers each, all of them busy, and somebody who looks at all of it at some of them: the
//! engines themselves, on a network of 20 ms, with the digests of a node that works. What it costs a node is held here.

#[path = "../../benches/region/mod.rs"]
mod region;

use lasso::base::limits::{CLUSTER_DIGEST_BYTES_PER_SECOND, CLUSTER_DIGEST_MS, CLUSTER_TICK_MS};
use lasso::base::rng::Rng;
use lasso::base::time::{Instant, WallTime};
use lasso::cluster::advice::AdvicePolicy;
use lasso::cluster::difference;
use lasso::cluster::digest::{DigestTopic, NodeDigest};
use lasso::cluster::engine::{Cluster, ClusterMoment, ClusterTerms};
use lasso::cluster::frame::NodeCard;
use lasso::cluster::merging::{ClusterScope, merge};
use lasso::cluster::secret::ClusterSecrets;
use lasso::cluster::sessions::SessionBug;
use region::{BusyNode, CHAINS, PROVIDERS};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const NODES: usize = 200;
const WATCHED: usize = 4;
const STEP_MS: u64 = 20;
const TICK_MS: u64 = 500;
const MIB: f64 = 1024.0 * 1024.0;

/// The same minutes of work for all nodes: what travels is as much as if they differed.
fn digests() -> Vec<Arc<NodeDigest>> {
    let mut busy = BusyNode::new(1);
    (0..40).for_each(|_| drop(busy.work(5)));
    (0..36).map(|_| busy.work(5)).collect()
}

fn topics(digest: &NodeDigest) -> Vec<DigestTopic> {
    digest.chains.keys().copied().collect()
}

fn size(base: &NodeDigest, next: &NodeDigest, topics: &[DigestTopic]) -> f64 {
    topics.iter().map(|topic| difference::write(base.rows(topic), next, topic).len()).sum::<usize>() as f64
}

/// What a node is told in a second that shows one chain, or all ten, of everybody; and how old figures become where that is more than is fetched.
#[test]
fn the_traffic_of_two_hundred_nodes_fits_by_arithmetic() {
    let digests = digests();
    let topics = topics(&digests[6]);
    assert_eq!((topics.len(), digests[6].rows(&topics[0]).len()), (CHAINS, PROVIDERS + 12));
    let (others, allowed) = ((NODES - 1) as f64, CLUSTER_DIGEST_BYTES_PER_SECOND as f64);
    let interval_s = |apart: usize| (CLUSTER_DIGEST_MS / 1_000) as f64 * apart as f64;
    for (chains, oldest_s) in [(1, 5.0), (CHAINS, 30.0)] {
        let topics = &topics[..chains];
        let whole = size(&NodeDigest::default(), &digests[6], topics);
        // The longer between two questions, the more has changed; at some interval it is what may be fetched.
        let sizes: Vec<f64> = (1..7).map(|apart| size(&digests[6 - apart], &digests[6], topics)).collect();
        let rate = |apart: usize| others * sizes[apart - 1] / interval_s(apart);
        let apart =
            (1..7).find(|apart| rate(*apart) <= allowed).unwrap_or_else(|| panic!("no interval is long enough: {sizes:?}"));
        eprintln!("{chains} chains: {whole} bytes whole, changes after 5, 10, … s: {sizes:?}");
        eprintln!(
            "{chains} chains: each {} s is {:.2} MiB/s, all for the first time {:.1} s",
            interval_s(apart),
            rate(apart) / MIB,
            others * whole / allowed
        );
        assert!(interval_s(apart) <= oldest_s, "{sizes:?}");
    }
    // What goes out is bounded alike, so both together are what a node may cost.
    assert!(2.0 * allowed <= MIB);
}

struct Street {
    nodes: Vec<Cluster>,
    letters: Vec<(usize, usize, Vec<u8>)>,
    ms: u64,
    /// The digest that each has offered last.
    offered: Vec<usize>,
    /// By the watched nodes' engines.
    spent: [Duration; WATCHED],
}

/// What this thread has computed so far, whoever else wants the core.
fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec to be written, and lives as long as the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn place(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (n / 250) as u8, (n % 250) as u8], 7946))
}

fn number(at: SocketAddr) -> usize {
    match at {
        SocketAddr::V4(at) => usize::from(at.ip().octets()[2]) * 250 + usize::from(at.ip().octets()[3]),
        SocketAddr::V6(_) => NODES,
    }
}

impl Street {
    fn new() -> Street {
        let secrets = ClusterSecrets::new(Some("a secret that is long enough"), None, "lasso").expect("a good secret");
        let node = |n: usize| {
            let card = NodeCard::new(&format!("node-{n}"), &format!("region-{}", n % 8), "0.1.0", 1);
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&(n as u64 + 1).to_be_bytes());
            let mut cluster = Cluster::new(
                card,
                ClusterTerms { secrets: secrets.clone(), advice: AdvicePolicy::Usual },
                seed,
                Rng::new(n as u64),
                SessionBug::None,
            );
            cluster.found((0..NODES).map(place).collect(), Instant::ZERO);
            cluster
        };
        Street {
            nodes: (0..NODES).map(node).collect(),
            letters: Vec::new(),
            ms: 0,
            offered: vec![0; NODES],
            spent: [Duration::ZERO; WATCHED],
        }
    }

    fn now(&self) -> Instant {
        Instant::ZERO.plus_ms(self.ms)
    }

    fn timed(&mut self, n: usize, act: impl FnOnce(&mut Cluster)) {
        match self.spent.get_mut(n) {
            None => act(&mut self.nodes[n]),
            Some(spent) => {
                let before = thread_cpu();
                act(&mut self.nodes[n]);
                *spent += thread_cpu() - before;
            }
        }
        for (to, datagram) in self.nodes[n].take_datagrams() {
            self.letters.push((n, number(to), datagram));
        }
    }

    fn step(&mut self, digests: Option<&[Arc<NodeDigest>]>) {
        let now = self.now();
        let at = ClusterMoment { now, wall: WallTime(1_000_000 + self.ms) };
        for (from, to, datagram) in std::mem::take(&mut self.letters) {
            self.timed(to, |cluster| cluster.arrive(place(from), &datagram, at));
        }
        let nth = (self.ms / CLUSTER_DIGEST_MS) as usize;
        if let Some(digests) = digests
            && self.ms.is_multiple_of(TICK_MS)
        {
            let made = Arc::new(NodeDigest { made: now, ..NodeDigest::clone(&digests[nth % digests.len()]) });
            for (node, offered) in self.nodes.iter_mut().zip(&mut self.offered) {
                if node.wants_digest(now) && *offered < nth {
                    *offered = nth;
                    node.offer_digest(made.clone());
                }
            }
        }
        // A node that nobody looks at need not be as quick.
        let ticks = (0..NODES).filter(|n| self.ms.is_multiple_of(if *n < WATCHED { CLUSTER_TICK_MS } else { TICK_MS }));
        ticks.collect::<Vec<_>>().into_iter().for_each(|n| self.timed(n, |cluster| cluster.tick(now)));
        self.ms += STEP_MS;
    }

    /// The first node looks at one chain, the others that are watched at all of them.
    fn run(&mut self, seconds: u64, digests: Option<&[Arc<NodeDigest>]>) {
        let until = self.ms + seconds * 1_000;
        while self.ms < until {
            let (now, topics) = (self.now(), digests.map_or(Vec::new(), |digests| topics(&digests[0])));
            for (n, node) in self.nodes[..WATCHED].iter_mut().enumerate().filter(|_| self.ms.is_multiple_of(1_000)) {
                let count = if n == 0 { topics.len().min(1) } else { topics.len() };
                topics[..count].iter().for_each(|topic| node.want_figures(*topic, now));
            }
            self.step(digests);
        }
    }
}

#[test]
fn four_of_two_hundred_nodes_show_all_of_them_within_the_budget() {
    let digests = digests();
    let mut street = Street::new();
    street.run(20, None);
    assert_eq!(street.nodes[0].view().coverage(), (NODES, NODES));
    street.spent = [Duration::ZERO; WATCHED];
    street.run(20, None);
    eprintln!("without figures a node's engine takes {:.2} % of a core", 100.0 * street.spent[0].as_secs_f64() / 20.0);
    // The first digests come whole.
    street.run(90, Some(&digests));
    let before: Vec<_> = street.nodes.iter().map(|node| node.view().datagrams.clone()).collect();
    street.spent = [Duration::ZERO; WATCHED];
    let seconds = 60;
    street.run(seconds, Some(&digests));
    let mut most = 0.0f64;
    for (n, (node, before)) in street.nodes.iter().zip(before).enumerate() {
        let after = node.view().datagrams.clone();
        let per_second = |bytes: u64| bytes as f64 / seconds as f64 / MIB;
        let came = per_second(after.received_bytes - before.received_bytes);
        let went = per_second(after.sent_bytes - before.sent_bytes);
        assert!(came + went <= 1.0, "node {n}: {came:.3} MiB/s came and {went:.3} went");
        if n < WATCHED {
            eprintln!(
                "node {n}: {came:.3} MiB/s came, {went:.3} went, {:.2} % of a core",
                100.0 * street.spent[n].as_secs_f64() / seconds as f64
            );
        } else {
            most = most.max(came + went);
        }
    }
    eprintln!("a node that is not watched: {most:.3} MiB/s at most");
    let now = street.now();
    for (n, node) in street.nodes[..WATCHED].iter().enumerate() {
        let known = node.known_nodes(topics(&digests[0])[0], now);
        let merged = merge(&known, &ClusterScope::Everybody);
        assert_eq!((merged.all.nodes, merged.total), (NODES, NODES), "all are in it at node {n}");
        eprintln!("node {n}: the oldest figures are {:?} old", merged.oldest);
        let bound = Duration::from_secs(if n == 0 { 15 } else { 45 });
        assert!(merged.oldest <= bound, "the oldest at node {n} is {:?} old", merged.oldest);
        assert_eq!(node.view().digests.gathered.refused, 0);
    }
}
