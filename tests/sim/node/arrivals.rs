//! Announced means there: a client that was told of a block and asks for it gets it, whole, while any provider has it.
//!
//! Blocks come to each provider at its own time, up to three seconds apart, to its HTTP door after its WebSocket, and who
//! lacks one says so in the words of its own node program. A client subscribes to new heads and asks for each block at once,
//! by hash and by number, for its receipts and its logs, for a transaction of it; another polls `eth_blockNumber` and asks
//! for that height. What comes back is held against the model chain: the block, all receipts, all logs. The node believes a
//! `null` after a second round only, so what is asked a moment before a provider has it counts as there.

use super::continuity::Truth;
use super::launch::Way;
use super::stage::{End, Part, Setting, Stage, Wire, call, post};
use crate::seeds;
use crate::weather::{coin, one_in, pick};
use crate::world::Trace;
use lasso::base::rng::Rng;
use lasso::demo::arrival::{Absent, Arrival};
use lasso::demo::knobs::{Knobs, Latency};
use lasso::runtime::world::{Instant, World};
use lasso::shard::Fault;
use serde_json::Value;
use std::cell::Cell;
use std::rc::Rc;

const END_MS: u64 = 45_000;
/// Asked between these.
const ASKS_MS: (u64, u64) = (6_000, 40_000);
const PATIENCE_MS: u64 = 20_000;

#[derive(Default)]
struct Tally {
    heads: Cell<u64>,
    asked: Cell<u64>,
    polled: Cell<u64>,
    /// Calls that a provider answered with nothing.
    absent: Cell<u64>,
}

struct Outcome {
    trace: Trace,
    tally: Rc<Tally>,
}

fn parts(draw: &mut Rng, block_ms: u64) -> Vec<Part> {
    let count = 1 + draw.below(4);
    let one = |draw: &mut Rng, place: u64| {
        let p50_ms = pick(draw, &[0, 5, 40]) as f64;
        // The other door of who announced it has it before the second round.
        let behind_ms = (block_ms / 2).min(600);
        let arrival =
            Arrival { most_ms: pick(draw, &[0, 100, 600, 3_000]), http_behind_ms: pick(draw, &[0, 0, behind_ms / 4, behind_ms]) };
        let knobs = Knobs {
            latency: Latency { p50_ms, p95_ms: 2.0 * p50_ms },
            arrival,
            absent: Absent::ALL[draw.below(4) as usize],
            ..Knobs::default()
        };
        // Somebody must announce over a WebSocket; a world without one is polled, and then only numbers are told.
        let way = if place == 0 || coin(draw) { Way::Both } else { Way::Http };
        Part::new(knobs, way)
    };
    let mut parts: Vec<Part> = (0..count).map(|place| one(draw, place)).collect();
    // The one that announces first is not always the preferred one.
    let last = parts.len() - 1;
    parts.swap(0, draw.below(last as u64 + 1) as usize);
    parts
}

fn run(seed: u64, bug: Fault) -> Outcome {
    let mut draw = Rng::new(seed).fork(74);
    let block_ms = pick(&mut draw, &[250, 1_000, 2_000, 2_000, 12_000]);
    let setting = Setting { fault: bug, ..Setting::new(seed, block_ms, parts(&mut draw, block_ms)) };
    let stage = Stage::new(seed, setting);
    let tally = Rc::<Tally>::default();
    let (host, truth) = (stage.client_host(), Rc::new(Truth::new(stage.network.clone())));
    let story = subscriber(stage.clone(), host.clone(), truth, tally.clone(), one_in(&mut draw, 2));
    host.spawn("subscriber", story);
    let (host, polled) = (stage.client_host(), stage.clone());
    host.spawn("poller", poller(polled, host.clone(), tally.clone(), 200 + draw.below(1_000)));
    let trace = stage.play(Instant::ZERO.plus_ms(END_MS), |_| {});
    Outcome { trace, tally }
}

/// Asks for every block that it is told of.
async fn subscriber(stage: Rc<Stage>, world: crate::world::Sim, truth: Rc<Truth>, tally: Rc<Tally>, over_socket: bool) {
    world.sleep_until(Instant::ZERO.plus_ms(4_000)).await;
    let Ok(mut wire) = Wire::connect(&world, &stage.node, "/ws/rpc/main").await else {
        return stage.violation("the subscriber is not let in".into());
    };
    if wire.say(&call(1, "eth_subscribe", r#"["newHeads"]"#)).await.is_err() {
        return stage.violation("the subscriber cannot speak".into());
    }
    let mut next_id = 10;
    let mut open: std::collections::BTreeMap<u64, Question> = Default::default();
    loop {
        let Ok(message) = wire.hear().await else { return stage.violation("the subscriber was cut off".into()) };
        let now = world.now();
        if let Some(id) = message["id"].as_u64() {
            if let Some(question) = open.remove(&id) {
                let end = match message.get("result") {
                    Some(result) => End::Result(result.to_string()),
                    None => End::Error(message["error"]["code"].as_i64().unwrap_or(0), message["error"]["message"].to_string()),
                };
                judge(&stage, &truth, &tally, &question, &end);
            }
            continue;
        }
        let head = &message["params"]["result"];
        let (Some(hash), Some(number)) = (head["hash"].as_str(), head["number"].as_str()) else { continue };
        tally.heads.set(tally.heads.get() + 1);
        if now < Instant::ZERO.plus_ms(ASKS_MS.0) || now > Instant::ZERO.plus_ms(ASKS_MS.1) {
            continue;
        }
        for question in Question::all(&stage, hash, number) {
            tally.asked.set(tally.asked.get() + 1);
            if over_socket {
                next_id += 1;
                if wire.say(&call(next_id, question.method, &question.params)).await.is_err() {
                    return stage.violation("the subscriber cannot speak any more".into());
                }
                open.insert(next_id, question);
            } else {
                let (stage, world, truth, tally) = (stage.clone(), world.clone(), truth.clone(), tally.clone());
                world.clone().spawn("question", async move {
                    let body = call(7, question.method, &question.params);
                    let end = post(&world, &stage.node, "/rpc/main", &body, PATIENCE_MS).await;
                    judge(&stage, &truth, &tally, &question, &end);
                });
            }
        }
    }
}

/// One thing that is asked of one block, and what it must come to.
struct Question {
    method: &'static str,
    params: String,
    asks: Asks,
    height: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asks {
    Block,
    Receipts,
    Logs,
    Transaction,
}

impl Question {
    fn all(stage: &Stage, hash: &str, number: &str) -> Vec<Question> {
        let height = u64::from_str_radix(number.trim_start_matches("0x"), 16).unwrap_or(0);
        let block = stage.network.block(0, height);
        let one = |method, params: String, asks| Question { method, params, asks, height };
        let mut all = vec![
            one("eth_getBlockByHash", format!(r#"["{hash}",false]"#), Asks::Block),
            one("eth_getBlockByNumber", format!(r#"["{number}",false]"#), Asks::Block),
            one("eth_getBlockReceipts", format!(r#"["{number}"]"#), Asks::Receipts),
            one("eth_getLogs", format!(r#"[{{"blockHash":"{hash}"}}]"#), Asks::Logs),
            one("eth_getLogs", format!(r#"[{{"fromBlock":"{number}","toBlock":"{number}"}}]"#), Asks::Logs),
        ];
        if let Some(transaction) = block.transactions.first() {
            let hash: String = transaction.hash.0.iter().map(|byte| format!("{byte:02x}")).collect();
            all.push(one("eth_getTransactionReceipt", format!(r#"["0x{hash}"]"#), Asks::Transaction));
        }
        all
    }
}

/// The answer is the chain's own.
fn judge(stage: &Stage, truth: &Truth, tally: &Tally, question: &Question, end: &End) {
    let block = truth.network.block(0, question.height);
    let value = match end {
        End::Result(text) => serde_json::from_str::<Value>(text).unwrap_or_default(),
        _ => Value::Null,
    };
    let count = value.as_array().map(Vec::len);
    let is_right = match question.asks {
        Asks::Block => value["number"].as_str() == Some(&format!("{:#x}", question.height)),
        Asks::Receipts => count == Some(block.transactions.len()),
        Asks::Logs => count == Some(block.logs().count()),
        // Its hash alone says nothing of its block, so nobody can know that it must be there.
        Asks::Transaction if value.is_null() => {
            tally.absent.set(tally.absent.get() + 1);
            true
        }
        Asks::Transaction => value["blockNumber"].as_str() == Some(&format!("{:#x}", question.height)),
    };
    if !is_right {
        let shown: String = format!("{end:?}").chars().take(160).collect();
        stage.violation(format!("{} {} of an announced block came to {shown}", question.method, question.params));
    }
}

/// Asks for the newest height, and then for that block.
async fn poller(stage: Rc<Stage>, world: crate::world::Sim, tally: Rc<Tally>, every_ms: u64) {
    world.sleep_until(Instant::ZERO.plus_ms(ASKS_MS.0)).await;
    while world.now() < Instant::ZERO.plus_ms(ASKS_MS.1) {
        world.sleep_until(world.now().plus_ms(every_ms)).await;
        let End::Result(height) = post(&world, &stage.node, "/rpc/main", &call(1, "eth_blockNumber", "[]"), PATIENCE_MS).await
        else {
            stage.violation("no height from well providers".into());
            continue;
        };
        let body = call(2, "eth_getBlockByNumber", &format!("[{height},false]"));
        let end = post(&world, &stage.node, "/rpc/main", &body, PATIENCE_MS).await;
        tally.polled.set(tally.polled.get() + 1);
        if !matches!(&end, End::Result(text) if text.contains(&height)) {
            let shown: String = format!("{end:?}").chars().take(160).collect();
            stage.violation(format!("the newest height was {height}, and its block came to {shown}"));
        }
    }
}

#[test]
fn soak() {
    seeds::soak("arrivals", 60, |seed| run(seed, Fault::None).trace);
}

#[test]
fn replay() {
    seeds::replay("arrivals", |seed| run(seed, Fault::None).trace);
}

#[test]
fn every_corner_is_reached() {
    let (mut heads, mut asked, mut polled) = (0, 0, 0);
    for seed in 0..15 {
        let outcome = run(seed, Fault::None);
        heads += outcome.tally.heads.get();
        asked += outcome.tally.asked.get();
        polled += outcome.tally.polled.get();
    }
    assert!(heads > 300 && asked > 1_500 && polled > 300, "{heads} {asked} {polled}");
}

/// The checker can see a credited height that is taken for a block.
#[test]
fn a_credited_height_is_found() {
    let found = (0..1_000).find_map(|seed| {
        let violations = run(seed, Fault::CreditedHeight).trace.violations;
        violations.into_iter().find(|text| text.contains("came to Result")).map(|text| (seed, text))
    });
    let (seed, text) = found.expect("not found in 1000 seeds");
    eprintln!("CreditedHeight found by seed {seed}: {text}");
}
