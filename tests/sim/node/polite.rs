//! Politeness: who says that we ask too often, or that our credentials are not good, is not asked again before its time, by
//! nobody: not by calls while others are there, not by our probes, not by the trials of a half-open circuit.
//!
//! The first of two or three providers fails for some seconds, so that its circuit opens, and comes back saying 429 (with or
//! without `Retry-After`) or 401 to everything: the usual case of one that recovers. All requests to it are counted by the
//! moment; after each refusal at most `IN_FLIGHT` more may come before its time has passed.

use super::launch::Way;
use super::stage::{Part, Setting, Stage, call, post};
use crate::seeds;
use crate::weather::{coin, pick};
use crate::world::Trace;
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::demo::knobs::{Fault, Knobs, TooMany};
use lasso::runtime::world::{Instant, World};

/// Between these every request of the first provider fails, and then is refused.
const FAILS_MS: u64 = 5_000;
const REFUSES_MS: u64 = 9_000;
const END_MS: u64 = 200_000;
/// Clients' calls begin up to then, so far apart.
const CALLS_TO_MS: u64 = 60_000;
const STEP_MS: u64 = 100;
/// What was under way when a refusal came: a probe, and its companion that asks for the height.
const IN_FLIGHT: usize = 2;
/// A shard takes a mark over with the next snapshot.
const MARK_MS: u64 = 3 * limits::EPOCH_MS;
/// Without a hint: so many questions in the first half minute (2, 4, 8 and 16 s apart), and then twice a minute.
const WITHOUT_HINT: usize = 6;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    /// 429, and for how long in seconds.
    Limited(Option<u32>),
    Unpaid,
}

impl Refusal {
    fn fault(self) -> Fault {
        match self {
            Refusal::Limited(retry_after_s) => Fault::TooMany(TooMany::Status { retry_after_s }),
            Refusal::Unpaid => Fault::StatusAndError(401),
        }
    }

    /// How long nobody may ask again, in ms.
    fn rest_ms(self) -> u64 {
        match self {
            Refusal::Limited(Some(seconds)) => u64::from(seconds) * 1_000,
            Refusal::Limited(None) => limits::COOLDOWN_MS,
            Refusal::Unpaid => limits::PROBE_AUTH_MS,
        }
    }

    /// Requests within one rest.
    fn most(self) -> usize {
        match self {
            Refusal::Limited(Some(_)) => 1 + IN_FLIGHT,
            Refusal::Limited(None) | Refusal::Unpaid => WITHOUT_HINT + IN_FLIGHT,
        }
    }
}

struct Outcome {
    trace: Trace,
    refusal: Refusal,
    has_opened: bool,
    asked: usize,
}

fn run(seed: u64) -> Outcome {
    let mut draw = Rng::new(seed).fork(73);
    let refusal = match draw.below(4) {
        0 => Refusal::Unpaid,
        1 => Refusal::Limited(None),
        _ => Refusal::Limited(Some(pick(&mut draw, &[5, 20, 60, 120]) as u32)),
    };
    let others = draw.below(3);
    // Over WebSocket nobody says for how long.
    let parts = (0..=others).map(|_| Part::new(Knobs::default(), Way::Http));
    let mut setting = Setting::new(seed, 2_000, parts.collect());
    if coin(&mut draw) {
        setting.chain_lines = "    monitoring:\n      probe_interval_ms: 2000\n".into();
    }
    let stage = Stage::new(seed, setting);
    let first = stage.providers[0].clone();
    let world = stage.node.clone();
    stage.node.spawn("first", async move {
        world.sleep_until(Instant::ZERO.plus_ms(FAILS_MS)).await;
        first.restart();
        first.tune(|knobs| knobs.down = true);
        world.sleep_until(Instant::ZERO.plus_ms(REFUSES_MS)).await;
        first.tune(|knobs| {
            knobs.down = false;
            knobs.faults = vec![(1_000_000, refusal.fault())];
        });
    });
    let host = stage.client_host();
    for (place, begins_ms) in (2_500..CALLS_TO_MS).step_by(STEP_MS as usize).enumerate() {
        let (world, node) = (host.clone(), stage.node.clone());
        host.spawn("client", async move {
            world.sleep_until(Instant::ZERO.plus_ms(begins_ms)).await;
            let body = call(place as u64, "eth_getBalance", &format!(r#"["0x{place:040x}","latest"]"#));
            post(&world, &node, "/rpc/main", &body, 30_000).await;
        });
    }
    let (mut has_opened, mut asked) = (false, 0);
    let trace = stage.play(Instant::ZERO.plus_ms(END_MS), |stage| {
        has_opened = stage.ear.opened_since(Instant::ZERO).is_some();
        asked = judge_questions(stage, refusal);
        if others > 0 {
            judge_calls(stage);
        }
    });
    Outcome { trace, refusal, has_opened, asked }
}

/// The node's own questions to the refusing provider.
fn judge_questions(stage: &Stage, refusal: Refusal) -> usize {
    let got = stage.ear.got.borrow();
    let from = Instant::ZERO.plus_ms(REFUSES_MS);
    let mine = |of: &&super::stage::Got| of.provider == 0 && of.is_own && of.at >= from;
    let at: Vec<u64> = got.iter().filter(mine).map(|of| of.at.as_ms()).collect();
    for (place, begins) in at.iter().enumerate() {
        let until = begins + refusal.rest_ms();
        let inside = at[place..].iter().take_while(|at| **at < until).count();
        if inside > refusal.most() {
            let text = format!("{refusal:?}, and asked {inside} times in its rest of {} ms from {begins} ms", refusal.rest_ms());
            stage.violation(format!("{text}, at most {}: {:?}", refusal.most(), &at[place..(place + 12).min(at.len())]));
            break;
        }
    }
    at.len()
}

/// Clients' calls to it while others are there: those that were chosen before the refusal was known.
fn judge_calls(stage: &Stage) {
    let got = stage.ear.got.borrow();
    let mine = |of: &&super::stage::Got| of.provider == 0 && !of.is_own && of.at >= Instant::ZERO.plus_ms(REFUSES_MS);
    let at: Vec<u64> = got.iter().filter(mine).map(|of| of.at.as_ms()).collect();
    if let Some(late) = at.iter().find(|late| **late > at[0] + MARK_MS) {
        let text = "a call came to a resting provider although others were there";
        stage.violation(format!("{text}: first at {}, again at {late} ms", at[0]));
    }
}

#[test]
fn soak() {
    seeds::soak("polite", 60, |seed| run(seed).trace);
}

#[test]
fn replay() {
    seeds::replay("polite", |seed| run(seed).trace);
}

#[test]
fn every_corner_is_reached() {
    let (mut opened, mut asked, mut unpaid, mut hinted) = (0, 0, 0, 0);
    for seed in 0..20 {
        let outcome = run(seed);
        opened += u64::from(outcome.has_opened);
        asked += outcome.asked;
        unpaid += u64::from(outcome.refusal == Refusal::Unpaid);
        hinted += u64::from(matches!(outcome.refusal, Refusal::Limited(Some(_))));
    }
    assert!(opened > 15 && asked > 60 && unpaid > 2 && hinted > 5, "{opened} {asked} {unpaid} {hinted}");
}
