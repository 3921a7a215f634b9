//! Heights that lie, fall and race: none of them may take calls from the provider that is preferred and well, nor refuse one.
//!
//! One provider is honest and preferred; beside it stand one that boasts of a far height from its first word on, one
//! that serves another chain and is far ahead on it, also as the first of all, two that agree on what is far behind, one that keeps only the newest
//! state, a chain that is set back for everybody at once, blocks of a quarter of a second and of twelve seconds under
//! default settings. Every call of a client must come to a result, nearly all of them at the preferred
//! provider, and in the end the height that the node believes is the chain's.

use super::launch::Way;
use super::stage::{Part, Setting, Stage, call, post};
use crate::seeds;
use crate::weather::{one_in, pick};
use crate::world::Trace;
use lasso::base::rng::Rng;
use lasso::demo::arrival::Arrival;
use lasso::demo::knobs::{Knobs, Latency};
use lasso::runtime::world::{Instant, World};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Calls begin between these.
const CALLS_MS: (u64, u64) = (6_000, 100_000);
const STEP_MS: u64 = 250;
/// A chain falls back then.
const FALL_MS: u64 = 30_000;
/// How long it may take until the fall is understood: three polls, since announced heights are polled less often.
const FALLEN_MS: u64 = 40_000;
const END_MS: u64 = 120_000;
/// Calls in a hundred that may go elsewhere.
const ELSEWHERE_PERCENT: usize = 10;
/// Where blocks come fast, numbered ones are so old that every provider has said that it has them.
const OLD_BLOCKS: u64 = 200;
/// Where they go is judged when heights are known of all, and the pace of blocks: until then heights that were read at
/// different moments cannot be compared.
const KNOWN_MS: u64 = 27_000;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Worry {
    /// A second provider boasts from its first word on.
    Liar,
    /// The preferred one keeps the newest state only, and says so.
    Pruned,
    /// Everyone's chain is set back.
    Fall,
    /// One has another chain from its first word on, is ahead of the others by far, and serves every block that it claims.
    Foreign,
    /// The preferred one is right, and the others agree on what is far behind it.
    Ahead,
    /// Nothing is wrong; blocks come fast or slowly, and to each provider at its own time.
    Pace,
}

const WORRIES: [Worry; 6] = [Worry::Liar, Worry::Pruned, Worry::Fall, Worry::Pace, Worry::Foreign, Worry::Ahead];
/// By so much the other chain is ahead, or are those behind that agree.
const APART_BLOCKS: u64 = 50;
/// The branch of the other chain: the first one.
const FOREIGN: u32 = 1;

struct Outcome {
    trace: Trace,
    worry: Worry,
    results: u64,
}

fn parts(draw: &mut Rng, worry: Worry, block_ms: u64) -> Vec<Part> {
    let count = match worry {
        // Two agree, and one is apart from them.
        Worry::Foreign | Worry::Ahead => 3,
        _ => 2 + draw.below(2),
    };
    let is_lied = matches!(worry, Worry::Liar | Worry::Foreign);
    let liar = match worry {
        // Even one with the first priority of all.
        Worry::Foreign => draw.below(count),
        _ if is_lied => 1 + draw.below(count - 1),
        _ => u64::MAX,
    };
    let one = |draw: &mut Rng, place: u64| {
        // Within what optimistic lag allows for at the default settings.
        let most_ms = if worry == Worry::Pace { pick(draw, &[0, 100, block_ms / 4]) } else { 0 };
        let mut knobs = Knobs {
            latency: Latency { p50_ms: 3.0, p95_ms: 6.0 },
            arrival: Arrival { most_ms, http_behind_ms: 0 },
            ..Knobs::default()
        };
        match worry {
            // Beyond what may have come between two polls.
            Worry::Liar if place == liar => knobs.announce_ahead = pick(draw, &[60, 1_000, 1 << 40]),
            Worry::Foreign if place == liar => (knobs.branch, knobs.ahead_blocks) = (Some(FOREIGN), APART_BLOCKS),
            Worry::Ahead if place > 0 => knobs.lag_blocks = APART_BLOCKS,
            _ => {}
        }
        // A foreign chain is announced too; a boast is not.
        let announces = place != liar || worry == Worry::Foreign;
        let mut part = Part::new(knobs, if announces && one_in(draw, 3) { Way::Both } else { Way::Http });
        if worry == Worry::Pruned && place == 0 {
            part.knobs.archive_depth = Some(256);
            part.lines = "        archival: false\n";
        }
        part
    };
    (0..count).map(|place| one(draw, place)).collect()
}

fn run(seed: u64) -> Outcome {
    let mut draw = Rng::new(seed).fork(75);
    let worry = WORRIES[draw.below(WORRIES.len() as u64) as usize];
    let block_ms = if worry == Worry::Pace { pick(&mut draw, &[250, 12_000]) } else { 2_000 };
    let parts = parts(&mut draw, worry, block_ms);
    let lies = |part: &Part| part.knobs.announce_ahead + part.knobs.ahead_blocks > 0;
    let liars: BTreeSet<usize> = (0..parts.len()).filter(|place| lies(&parts[*place])).collect();
    let preferred = usize::from(liars.contains(&0));
    let mut setting = Setting::new(seed, block_ms, parts);
    let fallen = setting.chain.start_height + 3;
    // Nothing that a client asks for is on both chains.
    let foreign = setting.chain.forks.fork(0, setting.chain.start_height - 1_000_000);
    assert_eq!(foreign, FOREIGN);
    let branch = setting.chain.forks.fork(0, fallen);
    let stage = Stage::new(seed, setting);
    if worry == Worry::Fall {
        fall(&stage, branch, pick(&mut draw, &[3, 10]), one_in(&mut draw, 2));
    }
    let results = Rc::new(Cell::new(0));
    start_clients(&stage, (worry, preferred), &results);
    let trace = stage.play(Instant::ZERO.plus_ms(END_MS), |stage| {
        judge_places(stage, (worry, preferred), &liars);
        judge_height(stage, (worry, preferred));
    });
    Outcome { trace, worry, results: results.get() }
}

/// Set back by so many blocks, on another branch (a reset) or on the same one (a revert).
fn fall(stage: &Rc<Stage>, branch: u32, blocks: u64, is_reset: bool) {
    let stage = stage.clone();
    stage.node.clone().spawn("fall", async move {
        stage.node.sleep_until(Instant::ZERO.plus_ms(FALL_MS)).await;
        for provider in &stage.providers {
            provider.tune(|knobs| {
                knobs.lag_blocks += blocks;
                knobs.branch = is_reset.then_some(branch);
            });
        }
    });
}

fn start_clients(stage: &Rc<Stage>, (worry, preferred): (Worry, usize), results: &Rc<Cell<u64>>) {
    let host = stage.client_host();
    for (place, begins_ms) in (CALLS_MS.0..CALLS_MS.1).step_by(STEP_MS as usize).enumerate() {
        let (world, stage, results) = (host.clone(), stage.clone(), results.clone());
        host.spawn("client", async move {
            world.sleep_until(Instant::ZERO.plus_ms(begins_ms)).await;
            let head = stage.providers[preferred].head_at(world.now());
            let number = format!("{:#x}", head - if worry == Worry::Pace { OLD_BLOCKS } else { 40 } - place as u64 % 20);
            let old = format!("{:#x}", head - 200_000 - place as u64);
            let (method, params) = match place % 5 {
                0 => ("eth_getBalance", format!(r#"["0x{place:040x}","{number}"]"#)),
                1 => ("eth_getBlockByNumber", format!(r#"["{number}",false]"#)),
                2 => ("eth_getLogs", format!(r#"[{{"fromBlock":"{number}","toBlock":"{number}"}}]"#)),
                // Blocks and logs of any age are everyone's.
                3 if worry == Worry::Pruned => ("eth_getBlockByNumber", format!(r#"["{old}",false]"#)),
                _ => ("eth_getBalance", format!(r#"["0x{place:040x}","latest"]"#)),
            };
            let end = post(&world, &stage.node, "/rpc/main", &call(place as u64, method, &params), 30_000).await;
            results.set(results.get() + u64::from(end.is_result()));
            if !end.is_result() {
                stage.violation(format!("{method} {params} at {begins_ms} ms, with everyone well ({worry:?}), came to {end:?}"));
            }
        });
    }
}

/// Who got the calls.
fn judge_places(stage: &Stage, (worry, preferred): (Worry, usize), liars: &BTreeSet<usize>) {
    let got = stage.ear.got.borrow();
    let known_ms = match worry {
        Worry::Liar | Worry::Pruned | Worry::Foreign | Worry::Ahead => KNOWN_MS,
        Worry::Fall => FALL_MS + FALLEN_MS,
        // A block more or less at a quarter of a second each is no lag, and no lie: every call is served, wherever.
        Worry::Pace => return,
    };
    let calls: Vec<_> = got.iter().filter(|of| !of.is_own && of.at.as_ms() >= known_ms).collect();
    let elsewhere: Vec<_> = calls.iter().filter(|of| of.provider != preferred).collect();
    if 100 * elsewhere.len() > ELSEWHERE_PERCENT * calls.len() {
        let (of, first) = (calls.len(), elsewhere[0]);
        let to_liars = elsewhere.iter().filter(|of| liars.contains(&of.provider)).count();
        stage.violation(format!(
            "{} of {of} calls left the preferred provider, which was well ({worry:?}), {to_liars} for a liar; the first at {} ms: {} {}",
            elsewhere.len(),
            first.at.as_ms(),
            first.method,
            first.params
        ));
    }
}

/// What the node believes, long after the last surprise.
fn judge_height(stage: &Stage, (worry, preferred): (Worry, usize)) {
    let (now, honest) = (stage.node.now(), &stage.providers[preferred]);
    let polled_before = Instant(now.0.saturating_sub(FALLEN_MS * 1_000_000));
    let truth = honest.head_at(polled_before).saturating_sub(1)..=honest.head_at(now) + 3;
    let snapshot = stage.shared.snapshot.latest();
    for plan in snapshot.plans.values().flat_map(|plans| plans.values()) {
        if !plan.consensus.is_some_and(|height| truth.contains(&height)) {
            stage.violation(format!("the chain is at {truth:?}, not at {:?} ({worry:?}): {:?}", plan.consensus, plan.heights));
        }
    }
}

#[test]
fn soak() {
    seeds::soak("heights", 60, |seed| run(seed).trace);
}

#[test]
fn replay() {
    seeds::replay("heights", |seed| run(seed).trace);
}

#[test]
fn every_corner_is_reached() {
    let (mut worries, mut results) = (BTreeSet::new(), 0);
    for seed in 0..24 {
        let outcome = run(seed);
        worries.insert(outcome.worry);
        results += outcome.results;
    }
    assert!(worries.len() == WORRIES.len() && results > 3_000, "{worries:?} {results}");
}
