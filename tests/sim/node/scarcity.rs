//! No blame for ourselves: what this node lacks is no provider's fault.
//!
//! The providers are well and never limited. What runs out is ours: descriptors, local ports, kernel memory (each error of
//! `connect`, for a while), our few connections to a provider while calls take seconds, our patience with a method whose
//! calls take from two milliseconds to eight seconds, our room for answers, our ways down (from providers, and to clients)
//! while one call's answer is a megabyte. Whatever calls come to meanwhile, no circuit may open, no provider may
//! be shown as failing, and when the want is over calls are served at once.

use super::launch::Way;
use super::stage::{End, Part, Setting, Stage, call, post};
use crate::seeds;
use crate::weather::{one_in, pick};
use crate::world::{Link, Scarce, Trace};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::demo::knobs::{Fault, Knobs, Latency};
use lasso::demo::marks::{CallTime, Mark};
use lasso::runtime::world::{Instant, World};
use serde_json::Value;
use std::cell::Cell;
use std::rc::Rc;

/// Clients' calls begin between these.
const CALLS_MS: (u64, u64) = (2_500, 30_000);
/// The last want is over by then.
const WANT_OVER_MS: u64 = 24_000;
/// From its end on calls are served, those in the queue aside.
const SERVED_MS: u64 = 1_500;
const END_MS: u64 = 100_000;
const PATIENCE_MS: u64 = 60_000;
/// How a provider may be shown while only we are at fault.
const WELL: [&str; 3] = ["healthy", "unknown", "lagging"];

/// What this seed lacks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Want {
    /// One of the errors of `connect`, now and then.
    Kernel,
    /// Connections: few are allowed, and calls take seconds.
    Connections,
    /// Patience: one method's calls differ by a thousand times.
    Patience,
    /// Every provider takes four seconds for everything.
    Slow,
    /// The node's budget of answers is used up for a while, and some answers are long.
    Room,
    /// What comes from providers comes slowly, or what goes to clients, and some answers are long.
    Downlink,
}

const WANTS: [Want; 6] = [Want::Kernel, Want::Connections, Want::Patience, Want::Slow, Want::Room, Want::Downlink];
/// A call with this in it is answered at length.
const LONG: Mark = Mark { text: "f00d99", fault: Fault::Zeros { bytes: 1 << 20, is_gzip: false } };
/// Bytes a second on a thin way down.
const THIN: u64 = 300_000;
/// Pieces are small, as on a real one: what has come of a long answer is seen long before it is whole.
const SLOW_DOWN: Link = Link { bandwidth: THIN, uplink: 1 << 40, window: 16 << 10, ..Link::PLAIN };

#[derive(Default)]
struct Tally {
    results: Cell<u64>,
    errors: Cell<u64>,
    late: Cell<u64>,
    looks: Cell<u64>,
}

struct Outcome {
    trace: Trace,
    want: Want,
    tally: Rc<Tally>,
}

fn parts(draw: &mut Rng, want: Want) -> Vec<Part> {
    let lines = match want {
        Want::Connections => ["        max_connections: 2\n", "        max_connections: 4\n"][draw.below(2) as usize],
        _ => "",
    };
    let count = 1 + draw.below(3);
    let one = |draw: &mut Rng| {
        let p50_ms = if want == Want::Slow { 4_000.0 } else { pick(draw, &[1, 20]) as f64 };
        let spread = if want == Want::Slow { 1.02 } else { 2.0 };
        let (fastest_ms, slowest_ms) = if want == Want::Connections { (1_000.0, 8_000.0) } else { (2.0, 8_000.0) };
        let time = CallTime { method: "eth_getLogs", fastest_ms, slowest_ms };
        let times = if matches!(want, Want::Connections | Want::Patience) { vec![time] } else { Vec::new() };
        let marks = if has_long_answers(want) { vec![LONG] } else { Vec::new() };
        let knobs = Knobs { latency: Latency { p50_ms, p95_ms: spread * p50_ms }, times, marks, ..Knobs::default() };
        let way = match want {
            Want::Connections => Way::Http,
            Want::Room | Want::Downlink => [Way::Http, Way::Both, Way::Ws][draw.below(3) as usize],
            _ if one_in(draw, 3) => Way::Both,
            _ => Way::Http,
        };
        let is_thin = want == Want::Downlink && one_in(draw, 2);
        let link = if is_thin { SLOW_DOWN } else { Link::PLAIN };
        Part { lines, link, ..Part::new(knobs, way) }
    };
    (0..count).map(|_| one(draw)).collect()
}

fn has_long_answers(want: Want) -> bool {
    matches!(want, Want::Room | Want::Downlink)
}

fn run(seed: u64) -> Outcome {
    let mut draw = Rng::new(seed).fork(71);
    let want = WANTS[draw.below(6) as usize];
    let parts = parts(&mut draw, want);
    let stage = Stage::new(seed, Setting::new(seed, 2_000, parts));
    let tally = Rc::<Tally>::default();
    if want == Want::Kernel {
        start_wants(&stage, &mut draw);
    }
    if want == Want::Room {
        fill_room(&stage, &mut draw);
    }
    start_clients(&stage, &mut draw, want, &tally);
    start_looking(&stage, want, &tally);
    let trace = stage.play(Instant::ZERO.plus_ms(END_MS), |stage| {
        if let Some((at, gates)) = stage.ear.opened_since(Instant::ZERO) {
            stage.violation(format!("a circuit opened for our own want of {want:?} at {} ms: {gates:?}", at.as_ms()));
        }
    });
    Outcome { trace, want, tally }
}

/// One to three times this machine is out of something.
fn start_wants(stage: &Rc<Stage>, draw: &mut Rng) {
    let (node, mut draw) = (stage.node.clone(), draw.fork(1));
    stage.node.spawn("want", async move {
        for _ in 0..1 + draw.below(3) {
            node.sleep_until(node.now().plus_ms(2_500 + draw.below(2_000))).await;
            let (scarce, ends) = (Scarce::ALL[draw.below(6) as usize], node.now().plus_ms(300 + draw.below(5_000)));
            node.say(|| format!("out of {scarce:?} until {} ms", ends.as_ms()));
            node.exhaust(scarce, ends.min(Instant::ZERO.plus_ms(WANT_OVER_MS)));
            node.sleep_until(ends).await;
        }
    });
}

/// Once or twice others hold all the room that the node has for answers.
fn fill_room(stage: &Rc<Stage>, draw: &mut Rng) {
    let (node, mut draw, answers) = (stage.node.clone(), draw.fork(2), stage.shared.answers.share());
    stage.node.spawn("want of room", async move {
        for _ in 0..1 + draw.below(2) {
            node.sleep_until(node.now().plus_ms(3_000 + draw.below(2_000))).await;
            let mut bytes = limits::INFLIGHT_ANSWER_BYTES;
            let mut held = Vec::new();
            while bytes > 0 {
                held.extend(answers.take(bytes));
                bytes /= 2;
            }
            node.sleep_until(node.now().plus_ms(500 + draw.below(7_000))).await;
            drop(held);
        }
    });
}

fn start_clients(stage: &Rc<Stage>, draw: &mut Rng, want: Want, tally: &Rc<Tally>) {
    let host = stage.client_host();
    if want == Want::Downlink && one_in(draw, 2) {
        stage.node.link(&host, |link| *link = SLOW_DOWN);
    }
    let step_ms = pick(draw, &[60, 150]);
    for (place, begins_ms) in (CALLS_MS.0..CALLS_MS.1).step_by(step_ms as usize).enumerate() {
        let (world, stage, tally, place) = (host.clone(), stage.clone(), tally.clone(), place as u64);
        let is_heavy = matches!(want, Want::Connections | Want::Patience) && place.is_multiple_of(8);
        host.spawn("client", async move {
            world.sleep_until(Instant::ZERO.plus_ms(begins_ms)).await;
            let body = match is_heavy {
                _ if has_long_answers(want) && place.is_multiple_of(24) => {
                    let long =
                        call(place, "eth_call", &format!(r#"[{{"to":"0x{place:040x}","data":"0x{}"}},"latest"]"#, LONG.text));
                    // A batch is held whole.
                    if place.is_multiple_of(48) { format!("[{long}]") } else { long }
                }
                true => call(place, "eth_getLogs", &format!(r#"[{{"address":"0x{place:040x}"}}]"#)),
                false => call(place, "eth_getBalance", &format!(r#"["0x{place:040x}","latest"]"#)),
            };
            let end = post(&world, &stage.node, "/rpc/main", &body, PATIENCE_MS).await;
            let count = |of: &Cell<u64>| of.set(of.get() + 1);
            match &end {
                End::Result(_) => count(&tally.results),
                End::Late => count(&tally.late),
                _ => count(&tally.errors),
            }
            let is_over = matches!(want, Want::Kernel | Want::Room) && begins_ms > WANT_OVER_MS + SERVED_MS;
            if (is_over || want == Want::Slow) && !end.is_result() {
                stage.violation(format!("a call begun at {begins_ms} ms, when nothing was wanting, came to {end:?}"));
            }
        });
    }
}

/// As a person looks at the page.
fn start_looking(stage: &Rc<Stage>, want: Want, tally: &Rc<Tally>) {
    let (stage, tally, host) = (stage.clone(), tally.clone(), stage.client_host());
    host.clone().spawn("person", async move {
        loop {
            host.sleep_until(host.now().plus_ms(700)).await;
            let End::Result(text) = post(&host, &stage.node, "/api/providers/main", "", 5_000).await else { continue };
            let shown: Value = serde_json::from_str(&text).unwrap_or_default();
            tally.looks.set(tally.looks.get() + 1);
            for channel in shown["providers"].as_array().into_iter().flatten().flat_map(|p| p["channels"].as_array()).flatten() {
                if !is_well(channel, want) {
                    return stage.violation(format!("a well provider is shown as failing: {channel}"));
                }
            }
        }
    });
}

/// A call that takes its time is suspicious, and said to be no more than that; what we lack is not even suspicious.
fn is_well(channel: &Value, want: Want) -> bool {
    let (status, reason) = (channel["status"].as_str().unwrap_or(""), channel["reason"].as_str().unwrap_or(""));
    let is_suspected = !matches!(want, Want::Kernel | Want::Room) && status == "unsteady" && reason.starts_with("suspected");
    (WELL.contains(&status) || is_suspected) && channel["last_failure"].is_null()
}

#[test]
fn soak() {
    seeds::soak("scarcity", 100, |seed| run(seed).trace);
}

#[test]
fn replay() {
    seeds::replay("scarcity", |seed| run(seed).trace);
}

#[test]
fn every_corner_is_reached() {
    let (mut results, mut errors, mut looks, mut scarce) = (0, 0, 0, 0);
    let mut wants = std::collections::BTreeSet::new();
    for seed in 0..30 {
        let outcome = run(seed);
        wants.insert(outcome.want);
        results += outcome.tally.results.get();
        errors += outcome.tally.errors.get();
        looks += outcome.tally.looks.get();
        scarce += outcome.trace.tally.scarce;
    }
    assert!(wants.len() == WANTS.len(), "{wants:?}");
    assert!(results > 2_000 && errors > 20 && looks > 500 && scarce > 100, "{results} {errors} {looks} {scarce}");
}
