//! Never dark beside a living provider: whoever answers our probes gets calls within a second and a half.
//!
//! All providers of a chain go away at once, for a blip or for longer, in one of the ways in which a provider is away, while
//! clients insist. When they are back, every call that begins `BACK_MS` later is served; before they went, every call was.
//! And the other side of it: who is really away is found out within three seconds, so that a provider beside it is used.

use super::launch::Way;
use super::stage::{End, Part, Setting, Stage, call, post};
use crate::seeds;
use crate::weather::{one_in, pick};
use crate::world::{Sim, Trace};
use lasso::base::rng::Rng;
use lasso::demo::knobs::{Fault, Knobs, Latency};
use lasso::demo::provider::Provider;
use lasso::runtime::world::{Instant, World};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Calls begin between these, `STEP_MS` apart.
const CALLS_MS: (u64, u64) = (2_500, 24_000);
const STEP_MS: u64 = 50;
/// From a provider's return to the first call that must be served; where there are several, or several channels, the one that
/// is tried next may be another.
const BACK_MS: u64 = 1_500;
const BACK_OF_MANY_MS: u64 = 2_500;
/// Calls that were under way when it went may still wait for their time.
const PATIENCE_MS: u64 = 30_000;
const END_MS: u64 = 60_000;
/// Who is really away is found out so soon.
const FOUND_MS: u64 = 3_000;

/// How a provider is away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Away {
    /// Its port is closed.
    Refused,
    /// Connections are closed as they come.
    Closed,
    /// Nothing passes.
    Cut,
    /// A proxy in front of it says so.
    Page,
}

const WAYS: [Away; 4] = [Away::Refused, Away::Closed, Away::Cut, Away::Page];
const PROXY: (u32, Fault) = (1_000_000, Fault::Page(502));

#[derive(Default)]
struct Tally {
    results: Cell<u64>,
    /// While nobody was there.
    unserved: Cell<u64>,
}

struct Outcome {
    trace: Trace,
    away: Away,
    tally: Rc<Tally>,
    has_opened: bool,
}

fn run(seed: u64) -> Outcome {
    let mut draw = Rng::new(seed).fork(72);
    let away = WAYS[draw.below(4) as usize];
    let p50_ms = pick(&mut draw, &[1, 30]) as f64;
    let count = if one_in(&mut draw, 3) { 2 } else { 1 };
    let way = [Way::Http, Way::Http, Way::Both, Way::Ws][draw.below(4) as usize];
    let knobs = || Knobs { latency: Latency { p50_ms, p95_ms: 1.5 * p50_ms }, ..Knobs::default() };
    let stage = Stage::new(seed, Setting::new(seed, 2_000, (0..count).map(|_| Part::new(knobs(), way)).collect()));
    let gone = Instant::ZERO.plus_ms(5_000 + draw.below(2_000));
    let back = gone.plus_ms(pick(&mut draw, &[300, 1_000, 1_000, 3_000, 8_000]));
    for (host, provider) in stage.hosts.iter().zip(&stage.providers) {
        go(&stage.node, host, provider, away, (gone, back));
    }
    let tally = Rc::<Tally>::default();
    let is_lone = count == 1 && way != Way::Both;
    start_clients(&stage, (gone, back), if is_lone { BACK_MS } else { BACK_OF_MANY_MS }, &tally);
    let mut has_opened = false;
    let trace = stage.play(Instant::ZERO.plus_ms(END_MS), |stage| {
        has_opened = stage.ear.opened_since(Instant::ZERO).is_some();
        if stage.ear.opened_since(Instant::ZERO).is_some_and(|(at, _)| at < gone) {
            stage.violation("a circuit opened before anything was wrong".into());
        }
    });
    Outcome { trace, away, tally, has_opened }
}

fn go(node: &Sim, host: &Sim, provider: &Rc<Provider>, away: Away, (gone, back): (Instant, Instant)) {
    let (node, host, provider) = (node.clone(), host.clone(), provider.clone());
    node.clone().spawn("away", async move {
        node.sleep_until(gone).await;
        node.say(|| format!("{} is away ({away:?}) until {} ms", provider.name, back.as_ms()));
        match away {
            Away::Refused => node.link(&host, |link| link.refused = true),
            Away::Closed => {}
            Away::Cut => node.link(&host, |link| link.blocked_until = back.0),
            Away::Page => provider.tune(|knobs| knobs.faults.push(PROXY)),
        }
        if matches!(away, Away::Refused | Away::Closed) {
            provider.restart();
            provider.tune(|knobs| knobs.down = true);
        }
        node.sleep_until(back).await;
        node.link(&host, |link| link.refused = false);
        provider.tune(|knobs| {
            knobs.down = false;
            knobs.faults.retain(|fault| *fault != PROXY);
        });
    });
}

fn start_clients(stage: &Rc<Stage>, (gone, back): (Instant, Instant), back_ms: u64, tally: &Rc<Tally>) {
    let host = stage.client_host();
    for (place, begins_ms) in (CALLS_MS.0..CALLS_MS.1).step_by(STEP_MS as usize).enumerate() {
        let (world, stage, tally) = (host.clone(), stage.clone(), tally.clone());
        host.spawn("client", async move {
            let begins = Instant::ZERO.plus_ms(begins_ms);
            world.sleep_until(begins).await;
            let body = call(place as u64, "eth_getBalance", &format!(r#"["0x{place:040x}","latest"]"#));
            let end = post(&world, &stage.node, "/rpc/main", &body, PATIENCE_MS).await;
            let counted = if end.is_result() { &tally.results } else { &tally.unserved };
            counted.set(counted.get() + 1);
            // What is under way when they go may be lost.
            let must = world.now() < gone || begins >= back.plus_ms(back_ms);
            if must && !end.is_result() {
                let (gone_ms, back_ms) = (gone.as_ms(), back.as_ms());
                stage.violation(format!(
                    "a call begun at {begins_ms} ms came to {end:?}; providers were away from {gone_ms} to {back_ms} ms"
                ));
            }
        });
    }
}

#[test]
fn soak() {
    seeds::soak("dark", 100, |seed| run(seed).trace);
}

#[test]
fn replay() {
    seeds::replay("dark", |seed| run(seed).trace);
}

#[test]
fn every_corner_is_reached() {
    let (mut results, mut unserved, mut opened, mut ways) = (0, 0, 0, BTreeSet::new());
    for seed in 0..30 {
        let outcome = run(seed);
        ways.insert(outcome.away);
        results += outcome.tally.results.get();
        unserved += outcome.tally.unserved.get();
        opened += u64::from(outcome.has_opened);
    }
    assert!(
        ways.len() == WAYS.len() && results > 5_000 && unserved > 100 && opened > 5,
        "{ways:?} {results} {unserved} {opened}"
    );
}

/// One of two goes away for good: its circuit is open soon, and nobody notices.
#[test]
fn who_is_really_away_is_found_out_and_replaced() {
    for (seed, away) in (0..16).flat_map(|seed| [Away::Refused, Away::Closed].map(|away| (seed, away))) {
        let knobs = || Knobs { latency: Latency { p50_ms: 5.0, p95_ms: 10.0 }, ..Knobs::default() };
        let parts = vec![Part::new(knobs(), Way::Http), Part::new(knobs(), Way::Http)];
        let stage = Stage::new(seed, Setting::new(seed, 2_000, parts));
        // When the pace of blocks is known, and so nobody seems to lag who does not.
        let gone = Instant::ZERO.plus_ms(30_000 + 37 * seed);
        go(&stage.node, &stage.hosts[0], &stage.providers[0], away, (gone, Instant::NEVER));
        let host = stage.client_host();
        for (place, begins_ms) in (27_000..37_000u64).step_by(50).enumerate() {
            let (world, stage) = (host.clone(), stage.clone());
            host.spawn("client", async move {
                world.sleep_until(Instant::ZERO.plus_ms(begins_ms)).await;
                let body = call(place as u64, "eth_getBalance", &format!(r#"["0x{place:040x}","latest"]"#));
                let end = post(&world, &stage.node, "/rpc/main", &body, PATIENCE_MS).await;
                if !matches!(end, End::Result(_)) {
                    stage.violation(format!("a call begun at {begins_ms} ms came to {end:?}"));
                }
            });
        }
        let trace = stage.play(Instant::ZERO.plus_ms(45_000), |stage| {
            let opened = stage.ear.opened_since(Instant::ZERO).map(|(at, _)| at);
            if !opened.is_some_and(|at| at > gone && at <= gone.plus_ms(FOUND_MS)) {
                stage.violation(format!("away from {} ms, found out at {:?}", gone.as_ms(), opened.map(Instant::as_ms)));
            }
        });
        assert_eq!(trace.violations, Vec::<String>::new(), "seed {seed}, {away:?}");
    }
}
