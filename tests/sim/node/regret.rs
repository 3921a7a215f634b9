//! What it costs not to know: `fastest` against an oracle that knows each provider's latency at every moment.
//!
//! A node of one to four shards, three to six providers whose latencies differ by up to 30 times and change every one to
//! three minutes (half the changes are the best one's), and 32 clients that send about a hundred calls a second in all. The
//! oracle sends each call to the provider with the lowest mean at that moment.
//!
//! The law: over the calls that count, `fastest` takes at most 1.10 times the oracle's time. A call counts once evidence
//! exists: from half a minute after the start, not in the 2 s after the best became slower, and not in the 30 s after another
//! became the best by becoming faster (docs/behaviour/choosing.md#measuring-again gives the node these times to find out).
//! Re-measuring the others, and whatever mistakes noise leads to, do count. So the law needs traffic: of ten calls a second,
//! re-measuring alone may take more than a tenth (four slower providers, each one call in five seconds).

use super::book::Book;
use super::calls::CHAIN_ID;
use super::http::{self, Read};
use super::launch::{self, NODE_PORT};
use crate::weather::{coin, pick};
use crate::world::{Ended, Sim, SimStream};
use lasso::base::rng::Rng;
use lasso::config::topology::Strategy;
use lasso::demo::chain_model::ChainModel;
use lasso::demo::knobs::{Knobs, Latency};
use lasso::demo::provider::Provider;
use lasso::demo::rpc::Network;
use lasso::health::breaker::Policy;
use lasso::runtime::world::{Duplex, Duration, Instant, World};
use lasso::shard::{Fault, Node};
use lasso::snapshot::Snapshot;
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

const MINUTES: u64 = 10;
const CLIENTS: u64 = 32;
/// Pause before a call, at most.
const THINK_MS: u64 = 500;
const FIRST_EVIDENCE_MS: u64 = 30_000;
const LEAVING_MS: u64 = 2_000;
const FINDING_MS: u64 = 30_000;
/// p95 over p50 of every provider: the spread of a provider near its region's median.
const SPREAD: f64 = 1.5;
/// The four ways between client, node and provider.
const WAY_US: f64 = 400.0;

struct Scene {
    node: Sim,
    /// And the p50 of each now, in ms.
    providers: Vec<(Rc<Provider>, Cell<f64>)>,
    /// Calls that begin before this do not count.
    counts_from: Cell<Instant>,
    told: RefCell<Told>,
}

/// Milliseconds, all calls and those that count.
#[derive(Clone, Copy, Default, Debug)]
struct Told {
    calls: u64,
    all: f64,
    oracle_of_all: f64,
    counted: f64,
    oracle: f64,
}

impl Told {
    fn ratios(&self) -> (f64, f64) {
        (self.counted / self.oracle, self.all / self.oracle_of_all)
    }
}

#[test]
fn fastest_costs_at_most_a_tenth_more_than_an_oracle() {
    let mut worst = 0.0f64;
    for seed in 0..6 {
        let told = run(seed, Strategy::Fastest);
        let (ratio, with_changes) = told.ratios();
        eprintln!("seed {seed}: {ratio:.3} of the oracle's time, {with_changes:.3} with changes, {} calls", told.calls);
        worst = worst.max(ratio);
    }
    assert!(worst <= 1.10, "{worst:.3} times the oracle's time");
}

/// The bar means something: who does not look misses it by far.
#[test]
fn load_balancing_costs_far_more() {
    let (ratio, _) = run(0, Strategy::LoadBalanced).ratios();
    assert!(ratio > 2.0, "{ratio:.3} times the oracle's time");
}

fn run(seed: u64, strategy: Strategy) -> Told {
    let mut draw = Rng::new(seed).fork(40);
    let node = Sim::new(seed);
    let network = Rc::new(Network::new(ChainModel::new(seed, CHAIN_ID, Duration::from_secs(2))));
    let count = 3 + draw.below(4);
    let mut providers = Vec::new();
    for index in 0..count {
        let p50_ms = any_latency(&mut draw);
        let knobs = Knobs { latency: latency(p50_ms), ..Knobs::default() };
        let provider = Rc::new(Provider::new(&format!("p{index}"), network.clone(), knobs, draw.fork(30 + index)));
        launch::start_provider(&node, &node.host(), &provider, Instant::ZERO);
        providers.push((provider, Cell::new(p50_ms)));
    }
    let shards = 1 + draw.below(4) as u32;
    let topology = launch::topology(&vec![(1, launch::Way::Http); count as usize], None, 256);
    let snapshot = Snapshot::new(topology, strategy, "sim", shards as usize + 1);
    let shared = Node::new(launch::settings(&node, shards), snapshot, [draw.next(), draw.next()]);
    let shards = launch::start_shards(&node, &shared, Fault::None);
    let judge = launch::start_aggregator(&node, &shared, Policy::default(), draw.fork(7), Rc::new(Book::new(&node)));
    let counts_from = Cell::new(Instant::ZERO.plus_ms(FIRST_EVIDENCE_MS));
    let scene = Rc::new(Scene { node: node.clone(), providers, counts_from, told: RefCell::default() });
    let changes = scene.clone().changes(draw.fork(8));
    node.spawn("changes", changes);
    let host = node.host();
    for client in 0..CLIENTS {
        host.spawn("client", scene.clone().client(host.clone(), client, draw.fork(100 + client)));
    }
    let ended = node.run(Instant::ZERO.plus_ms(MINUTES * 60_000));
    let told = *scene.told.borrow();
    drop((shards, judge, scene));
    let trace = node.finish(ended);
    assert_eq!((ended, trace.violations), (Ended::Deadline, Vec::new()), "seed {seed}");
    told
}

impl Scene {
    /// Every now and then one provider's latency is another.
    async fn changes(self: Rc<Scene>, mut draw: Rng) {
        loop {
            let pause_ms = 60_000 + draw.below(120_000);
            self.node.sleep_until(self.node.now().plus_ms(pause_ms)).await;
            let before = self.best();
            // As often the best one as any other.
            let place = if coin(&mut draw) { before } else { draw.below(self.providers.len() as u64) as usize };
            let (provider, p50_ms) = &self.providers[place];
            let was = p50_ms.replace(any_latency(&mut draw));
            provider.tune(|k| k.latency = latency(p50_ms.get()));
            self.node.say(|| format!("{} goes from {was} to {} ms", provider.name, p50_ms.get()));
            let grace_ms = match self.best() {
                after if after != before && place != before => FINDING_MS,
                _ if place == before && p50_ms.get() > was => LEAVING_MS,
                _ => continue,
            };
            self.counts_from.set(self.counts_from.get().max(self.node.now().plus_ms(grace_ms)));
        }
    }

    fn best(&self) -> usize {
        let by_latency = |a: &usize, b: &usize| self.providers[*a].1.get().total_cmp(&self.providers[*b].1.get());
        (0..self.providers.len()).min_by(by_latency).unwrap_or(0)
    }

    /// One connection, one call after the other.
    async fn client(self: Rc<Scene>, world: Sim, number: u64, mut draw: Rng) {
        world.sleep_until(Instant::ZERO.plus_ms(1_000 + draw.below(THINK_MS))).await;
        let Ok(stream) = world.connect(self.node.at(NODE_PORT)).await else {
            return world.violation("the node is not there".into());
        };
        let mut halves = stream.split();
        let mut calls = 0;
        loop {
            world.sleep_until(world.now().plus_ms(draw.below(THINK_MS))).await;
            calls += 1;
            let (began, oracle_ms) = (world.now(), mean_ms(self.providers[self.best()].1.get()) + WAY_US / 1000.0);
            if let Err(what) = call(&mut halves, number << 32 | calls).await {
                return world.violation(what);
            }
            let took_ms = world.now().since(began).as_secs_f64() * 1e3;
            let mut told = self.told.borrow_mut();
            told.calls += 1;
            (told.all, told.oracle_of_all) = (told.all + took_ms, told.oracle_of_all + oracle_ms);
            if began >= self.counts_from.get() {
                (told.counted, told.oracle) = (told.counted + took_ms, told.oracle + oracle_ms);
            }
        }
    }
}

async fn call(halves: &mut (<SimStream as Duplex>::Read, <SimStream as Duplex>::Write), unique: u64) -> Result<(), String> {
    let (read, write) = halves;
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x{unique:040x}","latest"]}}"#);
    let request = format!(
        "POST /rpc/main HTTP/1.1\r\nhost: lasso\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (outcome, bytes) = write.write(request.into_bytes()).await;
    if outcome.is_err() || outcome.is_ok_and(|n| n < bytes.len()) {
        return Err("the request was not taken".into());
    }
    let (mut buf, mut chunks) = (Vec::with_capacity(4096), http::Chunks::default());
    loop {
        let (outcome, filled) = read.read(buf).await;
        buf = filled;
        match (outcome, http::read(&buf, false, &mut chunks)) {
            (Ok(1..), Read::Whole(answer, _)) if answer.status == 200 && http::find(&answer.body, b"\"result\"").is_some() => {
                return Ok(());
            }
            (Ok(1..), Read::NeedMore) => {}
            other => return Err(format!("no answer: {other:?}")),
        }
    }
}

/// From 10 to 300 ms, each doubling as likely as the next; none twice, so that there is one best.
fn any_latency(draw: &mut Rng) -> f64 {
    let steps = pick(draw, &[0, 1, 2, 3, 4]) as f64 + draw.unit();
    10.0 * (30.0f64).powf(steps / 5.0)
}

fn latency(p50_ms: f64) -> Latency {
    Latency { p50_ms, p95_ms: SPREAD * p50_ms }
}

/// Of the lognormal distribution with this median.
fn mean_ms(p50_ms: f64) -> f64 {
    let sigma = SPREAD.ln() / 1.645;
    p50_ms * (sigma * sigma / 2.0).exp()
}
