//! A plan without one method: a provider that answers 403 (or 402) to it, and is well otherwise, keeps all other calls.
//!
//! The preferred one of two or three refuses one method in one of the words that gateways have for it. Each call of a client must
//! come to a result; calls of that method go elsewhere once that is known, all others stay; no circuit opens, and nobody is shown
//! as one whose credentials are refused.

use super::launch::Way;
use super::stage::{Part, Setting, Stage, call, post};
use crate::seeds;
use crate::weather::pick;
use crate::world::Trace;
use lasso::base::rng::Rng;
use lasso::demo::knobs::{Fault, Knobs, Latency};
use lasso::runtime::world::{Instant, World};

const CALLS_MS: (u64, u64) = (2_500, 60_000);
const STEP_MS: u64 = 100;
const END_MS: u64 = 90_000;
/// By then heights are known of all, and so is what the first one refuses.
const KNOWN_MS: u64 = 27_000;
/// Calls in a hundred that may go elsewhere.
const ELSEWHERE_PERCENT: usize = 10;
/// How often the refused method may still come to the one that refuses it.
const REFUSED: usize = 2;

const METHODS: [&str; 4] = ["eth_getBalance", "eth_getLogs", "eth_call", "eth_getBlockByNumber"];
const WORDS: [Fault; 5] = [
    Fault::StatusText(403, "forbidden"),
    Fault::StatusText(403, "This method is not available on your plan"),
    Fault::Bare(403),
    Fault::StatusAndError(403),
    Fault::Page(402),
];

struct Outcome {
    trace: Trace,
    /// Calls of the refused method that came to the one that refuses it.
    refused: usize,
    elsewhere: usize,
}

fn run(seed: u64) -> Outcome {
    let mut draw = Rng::new(seed).fork(77);
    let refused = METHODS[draw.below(4) as usize];
    let fault = WORDS[draw.below(5) as usize];
    let p50_ms = pick(&mut draw, &[1, 20]) as f64;
    let count = 2 + draw.below(2);
    let knobs = || Knobs { latency: Latency { p50_ms, p95_ms: 2.0 * p50_ms }, ..Knobs::default() };
    let mut parts: Vec<Part> = (0..count).map(|_| Part::new(knobs(), Way::Http)).collect();
    parts[0].knobs.method_faults = vec![(refused, fault)];
    let stage = Stage::new(seed, Setting::new(seed, 2_000, parts));
    let host = stage.client_host();
    for (place, begins_ms) in (CALLS_MS.0..CALLS_MS.1).step_by(STEP_MS as usize).enumerate() {
        let (world, stage) = (host.clone(), stage.clone());
        host.spawn("client", async move {
            world.sleep_until(Instant::ZERO.plus_ms(begins_ms)).await;
            let number = format!("{:#x}", stage.providers[0].head_at(world.now()) - 40 - place as u64 % 20);
            let method = METHODS[place % 4];
            let params = match method {
                "eth_getBalance" => format!(r#"["0x{place:040x}","latest"]"#),
                "eth_getLogs" => format!(r#"[{{"fromBlock":"{number}","toBlock":"{number}"}}]"#),
                "eth_call" => format!(r#"[{{"to":"0x{place:040x}","data":"0x70a08231"}},"latest"]"#),
                _ => format!(r#"["{number}",false]"#),
            };
            let end = post(&world, &stage.node, "/rpc/main", &call(place as u64, method, &params), 30_000).await;
            if !end.is_result() {
                stage.violation(format!("{method} {params} at {begins_ms} ms came to {end:?}"));
            }
        });
    }
    let (mut came, mut away) = (0, 0);
    let trace = stage.play(Instant::ZERO.plus_ms(END_MS), |stage| (came, away) = judge(stage, refused, fault));
    Outcome { trace, refused: came, elsewhere: away }
}

fn judge(stage: &Stage, refused: &str, fault: Fault) -> (usize, usize) {
    let got = stage.ear.got.borrow();
    let calls = || got.iter().filter(|of| !of.is_own);
    let known = || calls().filter(|of| of.at.as_ms() >= KNOWN_MS);
    let came = known().filter(|of| of.provider == 0 && of.method == refused).count();
    if came > REFUSED {
        stage.violation(format!("{came} calls of {refused} came to who refuses it ({fault:?})"));
    }
    let others = known().filter(|of| of.method != refused).count();
    let away = known().filter(|of| of.method != refused && of.provider != 0).count();
    if 100 * away > ELSEWHERE_PERCENT * others {
        stage.violation(format!("{away} of {others} other calls left who refuses {refused} only ({fault:?})"));
    }
    if let Some((at, gates)) = stage.ear.opened_since(Instant::ZERO) {
        stage.violation(format!("a circuit opened at {} ms for a refused {refused} ({fault:?}): {gates:?}", at.as_ms()));
    }
    if stage.ear.gates.borrow().iter().any(|(_, gates)| gates.misconfigured | gates.limited != 0) {
        stage.violation(format!("shown as misconfigured or limited for a refused {refused} ({fault:?})"));
    }
    let at_first = calls().filter(|of| of.provider == 0 && of.method == refused).count();
    (at_first, known().filter(|of| of.method == refused && of.provider != 0).count())
}

#[test]
fn soak() {
    seeds::soak("forbidden", 40, |seed| run(seed).trace);
}

#[test]
fn replay() {
    seeds::replay("forbidden", |seed| run(seed).trace);
}

#[test]
fn every_corner_is_reached() {
    let outcomes: Vec<Outcome> = (0..10).map(run).collect();
    let seen: Vec<_> = outcomes.iter().map(|o| (o.refused, o.elsewhere)).collect();
    assert!(seen.iter().all(|(refused, elsewhere)| *refused >= 1 && *elsewhere > 50), "{seen:?}");
}
