//! Non-interference: no client's calls change what another client's calls come to, beyond the load that they are.
//!
//! The same seed is run twice, without and with one more client whose every call is poison: whichever provider gets it
//! closes, resets, stalls, stops inside a frame, answers with a refusal in plain words, an error that is not UTF-8, a megabyte
//! of zeros. One seed in eight is a burst: twenty a second that end the connection of a provider which stands alone and has
//! only a WebSocket, among more calls of others. The providers are well in both runs. The others send their calls at fixed moments, so each call is found again in the other
//! run and must end in the same way, at most `SLACK_MS` later; and since nothing was wrong with any provider, no circuit
//! may have opened and none may be shown as failing.

use super::launch::Way;
use super::stage::{End, Part, Setting, Stage, call, post};
use crate::seeds;
use crate::weather::{one_in, pick};
use crate::world::{Link, Trace};
use lasso::base::rng::Rng;
use lasso::demo::knobs::{Fault, Knobs, Latency};
use lasso::demo::marks::{CallTime, Mark};
use lasso::runtime::world::{Instant, World};
use lasso::shard::Fault as Bug;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// The others' calls begin from here on, each so long after the one before.
const FIRST_MS: u64 = 2_500;
const STEP_MS: u64 = 125;
const CALLS: u64 = 200;
/// The poisoner's come between these.
const POISON_MS: (u64, u64) = (4_000, 22_000);
/// The same in a burst, where the poisoner's come so long after each other.
const BURST_STEP_MS: u64 = 23;
const BURST_CALLS: u64 = 1_000;
const BURST_POISON_STEP_MS: u64 = 50;
/// Every call has ended, and everything is told.
const END_MS: u64 = 60_000;
/// What poison may cost another's call: a second for each connection that stands still under it. That is the shared one, one that it
/// joins where all others are taken, and the next provider's shared one.
const SLACK_MS: u64 = 3_500;
const PATIENCE_MS: u64 = 30_000;
/// A body that a thin way up carries for seconds.
const BULK_BYTES: usize = 5_000_000;
const THIN_UPLINK: u64 = 600_000;

/// One mark for each fault of `Fault::OF_CALLS`.
const WORDS: [&str; 25] = [
    "f00d00", "f00d01", "f00d02", "f00d03", "f00d04", "f00d05", "f00d06", "f00d07", "f00d08", "f00d09", "f00d10", "f00d11",
    "f00d12", "f00d13", "f00d14", "f00d15", "f00d16", "f00d17", "f00d18", "f00d19", "f00d20", "f00d21", "f00d22", "f00d23",
    "f00d24",
];
/// What ends a connection at once, with and without a whole answer before.
const ENDING: [usize; 3] = [0, 1, 2];
/// An answer beyond what a link carries: many bytes, so not often.
const LONGEST: usize = WORDS.len() - 1;
/// What is poison without a mark.
const SLOW: usize = WORDS.len();
const BULK: usize = SLOW + 1;
const KINDS: usize = BULK + 1;

#[derive(Clone, Debug)]
struct Told {
    name: String,
    end: End,
    took_ms: u64,
}

/// What one run came to.
struct Outcome {
    trace: Trace,
    told: Vec<Told>,
    poisoned: u64,
    kinds: BTreeSet<usize>,
}

/// The same at every provider: who answers what another one breaks at has convicted it, rightly. One that stops in the middle
/// of a frame on a WebSocket says nothing more to anybody there, as a provider that hangs does.
fn marks() -> Vec<Mark> {
    WORDS.iter().zip(Fault::OF_CALLS).map(|(text, fault)| Mark { text, fault: *fault }).collect()
}

/// How often who calls.
#[derive(Clone, Copy)]
struct Rhythm {
    is_burst: bool,
    step_ms: u64,
    calls: u64,
}

fn rhythm(seed: u64) -> Rhythm {
    if seed % 8 == 7 {
        Rhythm { is_burst: true, step_ms: BURST_STEP_MS, calls: BURST_CALLS }
    } else {
        Rhythm { is_burst: false, step_ms: STEP_MS, calls: CALLS }
    }
}

fn parts(draw: &mut Rng, is_burst: bool) -> Vec<Part> {
    let p50_ms = pick(draw, &[1, 20, 80]) as f64;
    let ways = [Way::Http, Way::Http, Way::Both, Way::Ws];
    let is_thin = one_in(draw, 3);
    let mut one = || {
        let drawn = ways[draw.below(4) as usize];
        let way = if is_burst { Way::Ws } else { drawn };
        let knobs = Knobs {
            latency: Latency { p50_ms, p95_ms: 2.0 * p50_ms },
            times: vec![CallTime { method: "eth_estimateGas", fastest_ms: 2.0, slowest_ms: 8_000.0 }],
            // Bounds of some providers' WebSockets are lower than ours.
            socket_message_bytes: pick(draw, &[1 << 20, 8_000_000]) as usize,
            ..Knobs::default()
        };
        let link = if is_thin { Link { uplink: THIN_UPLINK, ..Link::PLAIN } } else { Link::PLAIN };
        Part { link, ..Part::new(knobs, way) }
    };
    let count = if is_burst { 0 } else { one().knobs.socket_message_bytes % 3 };
    let mut parts: Vec<Part> = (0..=count.min(2)).map(|_| one()).collect();
    parts.iter_mut().for_each(|part| part.knobs.marks = marks());
    parts
}

fn run(seed: u64, with_poison: bool, bug: Bug) -> Outcome {
    let mut draw = Rng::new(seed).fork(70);
    let Rhythm { is_burst, step_ms, calls } = rhythm(seed);
    let parts = parts(&mut draw, is_burst);
    // Where there is only a WebSocket, and a thin way up, a long body is the load of everybody on it.
    let has_thin_sockets = parts.iter().any(|part| part.way == Way::Ws && part.link.uplink == THIN_UPLINK);
    let setting = Setting { fault: bug, ..Setting::new(seed, 2_000, parts) };
    let stage = Stage::new(seed, setting);
    let told: Rc<RefCell<Vec<Option<Told>>>> = Rc::new(RefCell::new(vec![None; calls as usize]));
    let host = stage.client_host();
    for place in 0..calls {
        let (name, params) = others_call(place);
        let (world, node, told) = (host.clone(), stage.node.clone(), told.clone());
        host.spawn("another client", async move {
            world.sleep_until(Instant::ZERO.plus_ms(FIRST_MS + place * step_ms)).await;
            let began = world.now();
            let end = post(&world, &node, "/rpc/main", &call(place, name, &params), PATIENCE_MS).await;
            let took_ms = world.now().since(began).as_millis() as u64;
            told.borrow_mut()[place as usize] = Some(Told { name: format!("{name} {params}"), end, took_ms });
        });
    }
    let (mut poisoned, mut kinds) = (0, BTreeSet::new());
    if with_poison {
        // A few kinds each, so that each gets its chance; the first goes round.
        let others = (0..draw.below(3)).map(|_| draw.below(KINDS as u64) as usize);
        let mut mine: Vec<usize> = [(seed % KINDS as u64) as usize].into_iter().chain(others).collect();
        if has_thin_sockets {
            mine.iter_mut().filter(|kind| **kind == BULK).for_each(|kind| *kind = SLOW);
        }
        if is_burst {
            mine = vec![ENDING[draw.below(ENDING.len() as u64) as usize]];
        }
        let (mut at_ms, host) = (POISON_MS.0, stage.client_host());
        while at_ms < POISON_MS.1 {
            let kind = mine[draw.below(mine.len() as u64) as usize];
            kinds.insert(kind);
            poisoned += 1;
            let (world, node, body) = (host.clone(), stage.node.clone(), poison(kind, poisoned));
            host.spawn("poisoner", async move {
                world.sleep_until(Instant::ZERO.plus_ms(at_ms)).await;
                let end = post(&world, &node, "/rpc/main", &body, PATIENCE_MS).await;
                world.say(|| format!("poison {kind} came to {:.200}", format!("{end:?}")));
            });
            let pause_ms = pick(&mut draw, &[100, 800]);
            at_ms += match kind {
                _ if is_burst => BURST_POISON_STEP_MS,
                BULK | LONGEST => 3_000 + draw.below(pause_ms),
                _ => 100 + draw.below(pause_ms),
            };
        }
    }
    let trace = stage.play(Instant::ZERO.plus_ms(END_MS), |stage| {
        if let Some((at, gates)) = stage.ear.opened_since(Instant::ZERO) {
            stage.violation(format!("a circuit of well providers opened at {} ms ({kinds:?}): {gates:?}", at.as_ms()));
        }
        for (at, name, event) in stage.ear.told.borrow().iter() {
            if matches!(&name[..], "provider.rate_limited" | "provider.misconfigured" | "provider.chain") {
                stage.violation(format!("a well provider was shown as failing at {} ms ({kinds:?}): {event}", at.as_ms()));
            }
        }
    });
    let told = told.borrow().iter().enumerate().map(|(place, told)| told.clone().unwrap_or_else(|| missing(place))).collect();
    Outcome { trace, told, poisoned, kinds }
}

fn missing(place: usize) -> Told {
    Told { name: format!("call {place}"), end: End::Late, took_ms: PATIENCE_MS }
}

/// What honest clients ask, each with parameters of its own.
fn others_call(place: u64) -> (&'static str, String) {
    match place % 8 {
        0 => ("eth_gasPrice", "[]".into()),
        1 => ("eth_blockNumber", "[]".into()),
        2 => ("eth_sendRawTransaction", format!("[\"0x02{place:032x}\"]")),
        3 | 4 => ("eth_call", format!(r#"[{{"to":"0x{place:040x}","data":"0x{place:08x}"}},"latest"]"#)),
        5 => ("eth_getBlockByNumber", r#"["latest",false]"#.into()),
        _ => ("eth_getBalance", format!(r#"["0x{place:040x}","latest"]"#)),
    }
}

fn poison(kind: usize, unique: u64) -> String {
    let id = 1_000_000 + unique;
    match kind {
        SLOW => call(id, "eth_estimateGas", &format!(r#"[{{"to":"0x{unique:040x}"}}]"#)),
        BULK => {
            let data = "cd".repeat(BULK_BYTES / 2);
            call(id, "eth_call", &format!(r#"[{{"to":"0x{unique:040x}","data":"0x{data}"}},"latest"]"#))
        }
        marked => {
            let word = WORDS[marked];
            let method = if unique.is_multiple_of(3) { "debug_traceCall" } else { "eth_call" };
            call(id, method, &format!(r#"[{{"to":"0x{unique:040x}","data":"0x{word}"}},"latest"]"#))
        }
    }
}

/// Both runs; the second one's trace, with what the comparison found.
fn compare(seed: u64, bug: Bug) -> (Trace, Outcome) {
    let without = run(seed, false, Bug::None);
    let mut with = run(seed, true, bug);
    let mut found: Vec<String> = without.trace.violations.iter().map(|v| format!("without poison: {v}")).collect();
    for (before, after) in without.told.iter().zip(&with.told) {
        if !before.end.is_result() {
            found.push(format!("without poison {} came to {:?}", before.name, before.end));
        } else if !after.end.is_result() {
            let text = format!("{} came to {:?} beside poison {:?}, and to a result without", after.name, after.end, with.kinds);
            found.push(text);
        } else if after.took_ms > before.took_ms + SLACK_MS {
            let text =
                format!("{} took {} ms beside poison {:?}, {} without", after.name, after.took_ms, with.kinds, before.took_ms);
            found.push(text);
        }
    }
    let (ended, hash, polls, now, tally) =
        (with.trace.ended, with.trace.hash, with.trace.polls, with.trace.now, with.trace.tally);
    found.append(&mut with.trace.violations);
    (Trace { ended, hash, polls, now, tally, violations: found }, with)
}

#[test]
fn soak() {
    seeds::soak("poison", 60, |seed| compare(seed, Bug::None).0);
}

#[test]
fn replay() {
    seeds::replay("poison", |seed| compare(seed, Bug::None).0);
}

/// Every kind of poison is tried, and without any the others are served.
#[test]
fn every_corner_is_reached() {
    let (mut kinds, mut poisoned) = (BTreeSet::new(), 0);
    // Twice round: a burst has kinds of its own instead of the one whose turn it is.
    for seed in 0..2 * KINDS as u64 {
        let outcome = run(seed, true, Bug::None);
        kinds.extend(outcome.kinds);
        poisoned += outcome.poisoned;
    }
    assert!(kinds.len() == KINDS && poisoned > 1_000, "{poisoned} calls, {kinds:?}");
}

/// The checker can see a penalty without proof.
#[test]
fn a_penalty_without_proof_is_found() {
    let found = (0..1_000).find_map(|seed| {
        let violations = compare(seed, Bug::PenaltyWithoutProof).0.violations;
        violations.into_iter().find(|text| text.contains("a circuit of well providers")).map(|text| (seed, text))
    });
    let (seed, text) = found.expect("not found in 1000 seeds");
    eprintln!("PenaltyWithoutProof found by seed {seed}: {text}");
}
