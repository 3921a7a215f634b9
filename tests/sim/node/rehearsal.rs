//! What a rehearsal says of a strategy against what that strategy does.
//!
//! For each seed one world: four providers whose latencies differ by up to 30 times and change every four to eight minutes, one
//! of which fails in a few calls of a hundred and one of which is gone for a while, and calls that come at the same moments whatever
//! becomes of them. The world is run once under each strategy, and its calls are recorded as a node records them. Then each
//! record is rehearsed under every other strategy, and held against the run that had it.
//!
//! The law: the median of what clients waited within a tenth of the run's, and each provider's share of the answers within a
//! tenth of all answers. Two runs of one strategy with other luck differ by up to two per cent.

use super::book::Book;
use super::calls::CHAIN_ID;
use super::launch;
use super::stage::{call, post};
use crate::world::{Ended, Sim};
use lasso::base::rng::Rng;
use lasso::cli::recording::{Encoder, header};
use lasso::cli::{Command, Env, parse};
use lasso::config::topology::Strategy;
use lasso::demo::chain_model::ChainModel;
use lasso::demo::knobs::{Fault as Flaw, Knobs, Latency};
use lasso::demo::provider::Provider;
use lasso::demo::rpc::Network;
use lasso::health::breaker::Policy;
use lasso::rehearsal::figures::ChainSums;
use lasso::rehearsal::rehearse;
use lasso::replay::read::{Record, read};
use lasso::runtime::recorder::Recorder;
use lasso::runtime::world::{Duration, Instant, World};
use lasso::shard::{Fault, Node, Settings};
use lasso::snapshot::Snapshot;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

const PROVIDERS: usize = 4;
const CALLS_S: f64 = 25.0;
const STRATEGIES: [Strategy; 4] = [Strategy::Priority, Strategy::LoadBalanced, Strategy::Fastest, Strategy::LatencyWeighted];

/// One provider's life.
struct Life {
    /// From when on, which median, in ms.
    medians: Vec<(Instant, f64)>,
    /// So many of a million calls.
    failing: u32,
    gone: Option<(Instant, Instant)>,
}

fn lives(seed: u64, minutes: u64) -> Vec<Life> {
    let mut draw = Rng::new(seed).fork(90);
    let troubled = draw.below(PROVIDERS as u64) as usize;
    (0..PROVIDERS)
        .map(|place| {
            let (mut at, mut medians) = (Instant::ZERO, Vec::new());
            while at.as_ms() < minutes * 60_000 {
                medians.push((at, 10.0 * 30f64.powf(draw.unit())));
                at = at.plus_ms(240_000 + draw.below(240_000));
            }
            let failing = if place == troubled { 30_000 } else { 0 };
            let from = Instant::ZERO.plus_ms(60_000 + draw.below(600_000));
            let gone = (place == (troubled + 1) % PROVIDERS).then(|| (from, from.plus_ms(40_000)));
            Life { medians, failing, gone }
        })
        .collect()
}

fn knobs(median_ms: f64, failing: u32) -> Knobs {
    Knobs {
        latency: Latency { p50_ms: median_ms, p95_ms: 1.6 * median_ms },
        method_factors: vec![("eth_call", 1.5)],
        faults: vec![(failing, Flaw::Page(502))],
        ..Knobs::default()
    }
}

/// The record of one run.
fn run(seed: u64, minutes: u64, strategy: Strategy) -> Record {
    read(&recorded(seed, minutes, strategy)).expect("what was recorded is a record")
}

/// The same as it stands in its file.
fn recorded(seed: u64, minutes: u64, strategy: Strategy) -> Vec<u8> {
    let mut draw = Rng::new(seed).fork(91);
    let node = Sim::new(seed);
    let network = Rc::new(Network::new(ChainModel::new(seed, CHAIN_ID, Duration::from_secs(2))));
    let lives = lives(seed, minutes);
    for (index, life) in lives.into_iter().enumerate() {
        let first = knobs(life.medians[0].1, life.failing);
        let provider = Rc::new(Provider::new(&format!("p{index}"), network.clone(), first, draw.fork(30 + index as u64)));
        launch::start_provider(&node, &node.host(), &provider, Instant::ZERO);
        node.spawn("life", live(node.clone(), provider, life));
    }
    let priorities: Vec<_> = (1..=PROVIDERS as u64).map(|priority| (priority, launch::Way::Http)).collect();
    let topology = Arc::new(launch::topology(&priorities, None, 256));
    let snapshot = Snapshot::new((*topology).clone(), strategy, "sim", 2);
    let recorder = Recorder::new(1_000_000, false);
    let settings = Settings { recorder: Some(recorder.clone()), ..launch::settings(&node, 1) };
    let shared = Node::new(settings, snapshot, [draw.next(), draw.next()]);
    let shards = launch::start_shards(&node, &shared, Fault::None);
    let judge = launch::start_aggregator(&node, &shared, Policy::default(), draw.fork(7), Rc::new(Book::new(&node)));
    let text = Rc::new(RefCell::new(first_line(&topology)));
    let (world, encoder, written) = (node.clone(), Encoder::new(topology, Instant::ZERO), text.clone());
    let queue = recorder.clone();
    node.spawn("recording", async move {
        loop {
            world.sleep_until(world.now().plus_ms(200)).await;
            let lines = queue.take(usize::MAX).into_iter().filter_map(|sample| encoder.line(&sample));
            written.borrow_mut().extend(lines.flatten());
        }
    });
    node.spawn("clients", clients(node.clone(), Rng::new(seed).fork(92)));
    let ended = node.run(Instant::ZERO.plus_ms(minutes * 60_000));
    assert_eq!(recorder.lost(), 0);
    drop((shards, judge, shared));
    let trace = node.finish(ended);
    assert_eq!((ended, trace.violations), (Ended::Deadline, Vec::new()), "seed {seed}");
    text.take()
}

fn first_line(topology: &lasso::config::topology::Topology) -> Vec<u8> {
    let args = ["serve", "--record", "x"].map(std::ffi::OsString::from);
    let Ok(Command::Serve(options)) = parse(args.into(), Env::new([], None)) else { panic!("good arguments") };
    header(topology, &options, "sim", lasso::base::time::WallTime(1)).expect("a header")
}

type Change = Box<dyn Fn(&mut Knobs)>;

async fn live(world: Sim, provider: Rc<Provider>, life: Life) {
    let mut changes: Vec<(Instant, Change)> = Vec::new();
    for (at, median_ms) in life.medians {
        changes.push((at, Box::new(move |k| k.latency = Latency { p50_ms: median_ms, p95_ms: 1.6 * median_ms })));
    }
    if let Some((from, to)) = life.gone {
        changes.push((from, Box::new(|k| k.down = true)));
        changes.push((to, Box::new(|k| k.down = false)));
    }
    changes.sort_by_key(|(at, _)| *at);
    for (at, change) in changes {
        world.sleep_until(at).await;
        provider.tune(|k| change(k));
    }
}

/// Calls at moments that no answer moves.
async fn clients(node: Sim, mut draw: Rng) {
    let host = node.host();
    let mut at = Instant::ZERO.plus_ms(2_000);
    for number in 0u64.. {
        at = at + Duration::from_secs_f64(-(1.0 - draw.unit()).ln() / CALLS_S);
        let (method, params) = match draw.below(10) {
            0..3 => ("eth_call", format!(r#"[{{"to":"0x{number:040x}","data":"0x01"}},"latest"]"#)),
            _ => ("eth_getBalance", format!(r#"["0x{number:040x}","latest"]"#)),
        };
        let body = call(number, method, &params);
        node.sleep_until(at).await;
        let (from, to) = (host.clone(), node.clone());
        host.spawn("client", async move {
            post(&from, &to, "/rpc/main", &body, 60_000).await;
        });
    }
}

/// How far an estimate is from a run: of the median, as a share of it, and of the shares.
fn apart(estimate: &ChainSums, real: &ChainSums) -> (f64, f64) {
    let median = |sums: &ChainSums| sums.quantile_us(0.5).expect("calls") as f64;
    let shares = (0..PROVIDERS as u16).map(|place| (estimate.share(place) - real.share(place)).abs());
    ((median(estimate) / median(real) - 1.0).abs(), shares.fold(0.0, f64::max))
}

/// Records of runs under `from` rehearsed under every strategy, over these seeds and minutes; the worst of all.
fn compare(seeds: std::ops::Range<u64>, minutes: u64, from: &[Strategy]) -> (f64, f64) {
    let mut worst = (0.0f64, 0.0f64);
    for seed in seeds {
        let runs: Vec<(Strategy, Record, ChainSums)> = STRATEGIES
            .into_iter()
            .map(|strategy| {
                let record = run(seed, minutes, strategy);
                let recorded = rehearse(&record, strategy, 1).expect("it can be rehearsed").chains.remove(0).0;
                (strategy, record, recorded)
            })
            .collect();
        for (from, record, _) in runs.iter().filter(|(strategy, ..)| from.contains(strategy)) {
            for (to, _, real) in &runs {
                let estimate = rehearse(record, *to, 1).expect("it can be rehearsed").chains.remove(0).1;
                let (median, share) = apart(&estimate, real);
                let ms = |sums: &ChainSums, q| sums.quantile_us(q).unwrap_or(0) as f64 / 1e3;
                eprintln!(
                    "seed {seed}, {} from {}: p50 {:.1} for {:.1} ms ({:.1} %), p90 {:.1} for {:.1}, shares within {:.1} %, {} calls",
                    to.word(),
                    from.word(),
                    ms(&estimate, 0.5),
                    ms(real, 0.5),
                    median * 100.0,
                    ms(&estimate, 0.9),
                    ms(real, 0.9),
                    share * 100.0,
                    real.calls(),
                );
                worst = (worst.0.max(median), worst.1.max(share));
            }
        }
    }
    eprintln!("at worst {:.1} % of a median and {:.1} % of a share", worst.0 * 100.0, worst.1 * 100.0);
    worst
}

/// Where every provider got calls.
#[test]
fn a_rehearsal_agrees_with_the_run_within_a_tenth() {
    let (median, share) = compare(0..4, 16, &STRATEGIES[1..]);
    assert!(median <= 0.10 && share <= 0.10, "{median:.3} of a median, {share:.3} of a share");
}

/// Under `priority` the others are known by the node's own probes only, one in twelve seconds: of an hour these are enough.
#[test]
fn probes_of_an_hour_are_enough() {
    let (median, share) = compare(0..3, 60, &STRATEGIES[..1]);
    assert!(median <= 0.10 && share <= 0.10, "{median:.3} of a median, {share:.3} of a share");
}

/// The bar means something: another strategy's figures are not within it.
#[test]
fn another_strategy_is_not_within_a_tenth() {
    let (balanced, fastest) = (run(0, 16, Strategy::LoadBalanced), run(0, 16, Strategy::Fastest));
    let of = |record: &Record, strategy| rehearse(record, strategy, 1).expect("it can be rehearsed").chains.remove(0);
    let (median, share) = apart(&of(&balanced, Strategy::LoadBalanced).0, &of(&fastest, Strategy::Fastest).0);
    assert!(median > 0.5 && share > 0.1, "{median} {share}");
}
