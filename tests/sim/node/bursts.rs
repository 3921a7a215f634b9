//! Much to tell at once: blocks whose logs go to one client many times over, told to clients that read as fast as they can, to
//! some that stop for a moment or for good, and to some on thin links; and clients that ask for ever new filters. Providers
//! are well: whatever happens to a client here is its own doing or the node's fault.
//!
//! Owed: whoever reads gets everything, in order and soon, whatever the others do; whoever stopped for long is closed as slow
//! and nobody else is; a client has its share of topics, over all its connections and shards, and heads beyond it.

use super::book::Book;
use super::calls::CHAIN_ID;
use super::launch::{self, NODE_PORT, Way};
use super::sockets::{masked, whole};
use crate::seeds;
use crate::weather::{one_in, pick};
use crate::world::{Ended, Sim, SimStream, Trace};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::config::topology::Strategy;
use lasso::demo::chain_model::ChainModel;
use lasso::demo::identity::digest;
use lasso::demo::knobs::Knobs;
use lasso::demo::provider::Provider;
use lasso::demo::rpc::Network;
use lasso::health::breaker::Policy;
use lasso::runtime::world::{Duplex, Duration, Instant, World};
use lasso::shard::{Fault, Node, Shard};
use lasso::snapshot::Snapshot;
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

/// When clients judge what they were told, and a while later when nothing may be left of them.
const JUDGED_MS: u64 = 60_000;
const END_MS: u64 = JUDGED_MS + limits::TOPIC_LINGER_MS + 30_000;
/// What is told is told within the shard's patience, and some for the provider's way.
const TOLD_MS: u64 = limits::PAUSES_MS + 5_000;
/// A client may stop for less than this, and must not for more than that.
const STOPS_MS: (u64, u64) = (limits::SOCKET_STILL_MS - 4_000, limits::SOCKET_STILL_MS + 10_000);
/// Transactions of a block, where there is much to tell; and equal subscriptions of one client.
const BUSY: (u64, u64) = (150, 200);
const EQUAL: u64 = 80;
/// Transactions that users send beside a storm.
const SENT: u64 = 30;
/// On such a link a client is always behind.
const THIN: u64 = 20_000;

/// How one client reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    Reads,
    /// From when, and until when it does not.
    Stops(u64, u64),
    /// As fast as its link allows.
    Trickles,
}

/// What all clients of some runs came to.
#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    events: u64,
    /// Clients that were closed as slow, by the node's count.
    slow: u64,
    /// Subscriptions that were refused because the client had its share.
    refused: u64,
    /// Clients that stopped, for a moment and for long.
    paused: u64,
    stopped: u64,
}

struct Scene {
    node: Sim,
    network: Rc<Network>,
    shared: Arc<Node>,
    shards: Vec<Rc<Shard<Sim>>>,
    tally: Cell<Tally>,
    /// Logs of a block, by its height.
    sizes: RefCell<HashMap<u64, u64>>,
}

struct Told {
    trace: Trace,
    tally: Tally,
}

impl Scene {
    fn new(seed: u64, draw: &mut Rng, fault: Fault, is_busy: bool) -> Rc<Scene> {
        let node = Sim::new(seed);
        let mut chain = ChainModel::new(seed, CHAIN_ID, Duration::from_millis(pick(draw, &[6_000, 9_000])));
        if is_busy {
            chain.transactions = BUSY;
        }
        let network = Rc::new(Network::new(chain));
        let provider = Rc::new(Provider::new("p0", network.clone(), Knobs::default(), draw.fork(30)));
        launch::start_provider(&node, &node.host(), &provider, Instant::ZERO);
        let shards = 1 + draw.below(2) as u32;
        let topology = launch::topology(&[(1, Way::Both)], None, 64);
        let snapshot = Snapshot::new(topology, Strategy::LoadBalanced, "sim", shards as usize + 1);
        let shared = Node::new(launch::settings(&node, shards), snapshot, [draw.next(), draw.next()]);
        let shards = launch::start_shards(&node, &shared, fault);
        // Kept alive by its own task.
        drop(launch::start_aggregator(&node, &shared, Policy::new(5, 2, 2_000), draw.fork(7), Rc::new(Book::new(&node))));
        Rc::new(Scene { node, network, shared, shards, tally: Cell::default(), sizes: RefCell::default() })
    }

    fn count(&self, change: impl FnOnce(&mut Tally)) {
        let mut tally = self.tally.get();
        change(&mut tally);
        self.tally.set(tally);
    }

    /// How many logs the canonical block has.
    fn logs_of(&self, height: u64) -> u64 {
        *self.sizes.borrow_mut().entry(height).or_insert_with(|| self.network.chain.block(0, height, &[]).logs().count() as u64)
    }

    async fn reader(self: Rc<Scene>, world: Sim, name: String, manner: Manner, equal: u64) {
        let Some(mut wire) = Wire::connect(&world, &self.node).await else {
            return world.violation(format!("{name} cannot connect"));
        };
        for id in 0..equal {
            wire.ask(id, "eth_subscribe", r#"["logs",{}]"#).await;
        }
        let mut views: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let ending = loop {
            let now = world.now().as_ms();
            match manner {
                Manner::Stops(from, until) if (from..until).contains(&now) => {
                    world.sleep_until(Instant::ZERO.plus_ms(until)).await;
                }
                _ if now >= JUDGED_MS => break None,
                Manner::Reads | Manner::Stops(..) | Manner::Trickles => {}
            }
            let Some(frames) = wire.frames(&world, JUDGED_MS).await else { break Some("it ended".to_owned()) };
            let closed = frames.iter().find(|(opcode, _)| *opcode == 8);
            if let Some((_, payload)) = closed {
                break Some(format!("closed {}", String::from_utf8_lossy(payload.get(2..).unwrap_or(&[]))));
            }
            for (_, text) in frames.iter().filter(|(opcode, _)| *opcode == 1) {
                if let Err(what) = self.hear(&mut views, text, world.now(), manner) {
                    return world.violation(format!("{name}, which {manner:?}: {what}"));
                }
            }
        };
        self.judge(&world, &name, manner, ending, &views, equal);
    }

    /// Events of one subscription follow each other without a hole.
    fn hear(&self, views: &mut BTreeMap<String, (u64, u64)>, text: &[u8], now: Instant, manner: Manner) -> Result<(), String> {
        let Some(id) = member(text, "subscription") else {
            let id = member(text, "result").ok_or_else(|| format!("refused: {}", String::from_utf8_lossy(text)))?;
            return if views.insert(id.clone(), (0, 0)).is_none() { Ok(()) } else { Err(format!("{id} twice")) };
        };
        let number = |name| member(text, name).and_then(|hex| u64::from_str_radix(hex.trim_start_matches("0x"), 16).ok());
        let (Some(height), Some(index)) = (number("blockNumber"), number("logIndex")) else {
            return Err(format!("no log: {}", String::from_utf8_lossy(text)));
        };
        self.count(|tally| tally.events += 1);
        let place = views.get_mut(&id).ok_or_else(|| format!("an event of {id} before its answer"))?;
        let is_next = match *place {
            (0, _) => index == 0,
            (last, at) if at + 1 == self.logs_of(last) => (height, index) == (last + 1, 0),
            (last, at) => (height, index) == (last, at + 1),
        };
        if !is_next {
            return Err(format!("{id} is told {height}/{index} after {place:?}"));
        }
        *place = (height, index);
        let late_ms = now.since(self.network.chain.born_at(height)).as_millis() as u64;
        if manner == Manner::Reads && late_ms > TOLD_MS {
            return Err(format!("{height}/{index} came {late_ms} ms after its block"));
        }
        Ok(())
    }

    fn judge(
        &self,
        world: &Sim,
        name: &str,
        manner: Manner,
        ending: Option<String>,
        views: &BTreeMap<String, (u64, u64)>,
        equal: u64,
    ) {
        let is_gone = ending.is_some();
        match manner {
            Manner::Trickles => return,
            Manner::Stops(from, until) if until - from > STOPS_MS.1 => {
                self.count(|tally| tally.stopped += 1);
                if !is_gone {
                    world.violation(format!("{name} stopped for {} ms and was not closed", until - from));
                }
                return;
            }
            Manner::Stops(..) => self.count(|tally| tally.paused += 1),
            Manner::Reads => {}
        }
        if let Some(ending) = ending {
            return world.violation(format!("{name}, which {manner:?}: {ending}"));
        }
        let whole = self.network.chain.height_at(Instant::ZERO.plus_ms(JUDGED_MS - TOLD_MS));
        let is_whole = |(height, index): &(u64, u64)| *height > whole || (*height == whole && index + 1 == self.logs_of(whole));
        let complete = views.values().filter(|place| is_whole(place)).count() as u64;
        if complete != equal {
            world.violation(format!("{name} was told block {whole} by {complete} of {equal} subscriptions: {views:?}"));
        }
    }

    /// One client with many connections, each full of filters of its own; then another one.
    async fn storm(self: Rc<Scene>, world: Sim, neighbour: Sim) {
        let (mut wires, mut granted) = (Vec::new(), 0);
        let wanted = limits::CLIENT_TOPICS + limits::SOCKET_SUBSCRIPTIONS;
        for first in (0..wanted).step_by(limits::SOCKET_SUBSCRIPTIONS) {
            let Some(mut wire) = Wire::connect(&world, &self.node).await else {
                return world.violation("the storm cannot connect".to_owned());
            };
            for n in first..first + limits::SOCKET_SUBSCRIPTIONS {
                let params = match n {
                    7 => r#"["newPendingTransactions"]"#.to_owned(),
                    8 => r#"["newPendingTransactions",true]"#.to_owned(),
                    _ => format!(r#"["logs",{{"address":"0x{n:040x}"}}]"#),
                };
                match wire.subscribed(&world, n as u64, &params).await {
                    Ok(()) => granted += 1,
                    Err(text) if text.contains("-32008") && text.contains("limit_topics") => {
                        self.count(|tally| tally.refused += 1);
                    }
                    Err(text) => world.violation(format!("filter {n} of the storm: {text}")),
                }
            }
            wires.push(wire);
        }
        if granted != limits::CLIENT_TOPICS {
            world.violation(format!("one client has {granted} topics of {}", limits::CLIENT_TOPICS));
        }
        for (host, wishes) in [
            (&world, &[r#"["newHeads"]"#, r#"["logs",{"address":"0x0000000000000000000000000000000000000000"}]"#][..]),
            (&neighbour, &[r#"["newHeads"]"#, r#"["logs",{"topics":[]}]"#, r#"["newPendingTransactions"]"#]),
        ] {
            let Some(mut wire) = Wire::connect(host, &self.node).await else { continue };
            for (id, params) in wishes.iter().enumerate() {
                if let Err(text) = wire.subscribed(host, id as u64, params).await {
                    world.violation(format!("beside the storm {params} is refused: {text}"));
                }
            }
            wires.push(wire);
        }
        if let Some(mut wire) = wires.pop() {
            self.watch_pool(&neighbour, &mut wire).await;
        }
    }

    /// Whoever watches the pool beside the storm is told of each transaction, once, while its provider is well.
    async fn watch_pool(&self, world: &Sim, wire: &mut Wire) {
        let sent: Vec<String> = (0..SENT).map(|n| digest(&[n])).map(|hash| hex_of(&hash.0)).collect();
        for n in 0..SENT {
            self.network.pool.borrow_mut().accept(digest(&[n]), self.network.chain.round_at(world.now()));
            world.sleep_until(world.now().plus_ms(100)).await;
        }
        let (mut told, until) = (Vec::new(), world.now().plus_ms(TOLD_MS).as_ms());
        while told.len() < sent.len() && world.now().as_ms() < until {
            let Some(frames) = wire.frames(world, until).await else { break };
            let events = frames.iter().filter(|(opcode, _)| *opcode == 1).map(|(_, text)| text);
            told.extend(events.filter_map(|text| member(text, "result")).filter(|hash| sent.contains(hash)));
        }
        if told != sent {
            world.violation(format!("of {SENT} pending transactions {} were told, or in another order", told.len()));
        }
    }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("0x"), |text, byte| format!("{text}{byte:02x}"))
}

/// A string member's value, found as text: what the node writes is canonical.
fn member(text: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once(&format!("\"{name}\":\""))?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

/// A client's connection, without a mind of its own.
struct Wire {
    read: <SimStream as Duplex>::Read,
    write: <SimStream as Duplex>::Write,
    buf: Vec<u8>,
}

impl Wire {
    async fn connect(world: &Sim, node: &Sim) -> Option<Wire> {
        let (read, write) = world.connect(node.at(NODE_PORT)).await.ok()?.split();
        let mut wire = Wire { read, write, buf: Vec::new() };
        let head = "GET /ws/rpc/main HTTP/1.1\r\nhost: lasso\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        wire.say(head.as_bytes().to_vec()).await?;
        while !wire.buf.windows(4).any(|four| four == b"\r\n\r\n") {
            wire.fill().await?;
        }
        let end = wire.buf.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        wire.buf.drain(..end);
        Some(wire)
    }

    async fn say(&mut self, mut left: Vec<u8>) -> Option<()> {
        while !left.is_empty() {
            let (outcome, bytes) = self.write.write(left).await;
            left = bytes.get(outcome.ok()?..)?.to_vec();
        }
        Some(())
    }

    async fn ask(&mut self, id: u64, method: &str, params: &str) {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        // Whoever has gone is seen by the reader.
        let _ = self.say(masked(0x81, text.as_bytes(), &mut Rng::new(id))).await;
    }

    /// Asks, and waits for the answer; what it says when it is no id.
    async fn subscribed(&mut self, world: &Sim, id: u64, params: &str) -> Result<(), String> {
        self.ask(id, "eth_subscribe", params).await;
        loop {
            let frames = self.frames(world, END_MS).await.ok_or("the connection ended")?;
            let answer = frames.iter().find(|(opcode, text)| *opcode == 1 && member(text, "subscription").is_none());
            if let Some((_, text)) = answer {
                let is_id = member(text, "result").is_some();
                return if is_id { Ok(()) } else { Err(String::from_utf8_lossy(text).into_owned()) };
            }
        }
    }

    /// What has come, some of it; pings are answered. Nothing once the connection has ended, and no frame after `until`.
    async fn frames(&mut self, world: &Sim, until_ms: u64) -> Option<Vec<(u8, Vec<u8>)>> {
        let mut frames = Vec::new();
        let mut at = 0;
        while frames.is_empty() && world.now().as_ms() < until_ms {
            while let Some((opcode, start, end)) = self.buf.get(at..).and_then(|rest| whole(rest, world)) {
                frames.push((opcode, self.buf[at + start..at + end].to_vec()));
                at += end;
            }
            if frames.is_empty() {
                self.fill().await?;
            }
        }
        self.buf.drain(..at);
        for (_, payload) in frames.iter().filter(|(opcode, _)| *opcode == 9) {
            let _ = self.say(masked(0x8a, payload, &mut Rng::new(1))).await;
        }
        Some(frames)
    }

    async fn fill(&mut self) -> Option<()> {
        let (outcome, bytes) = self.read.read(Vec::with_capacity(64 << 10)).await;
        self.buf.extend_from_slice(bytes.get(..outcome.ok().filter(|count| *count > 0)?)?);
        Some(())
    }
}

fn manner(draw: &mut Rng) -> Manner {
    let from = 5_000 + draw.below(15_000);
    match draw.below(4) {
        0 => Manner::Stops(from, from + 500 + draw.below(STOPS_MS.0 - 500)),
        1 => Manner::Stops(from, from + STOPS_MS.1 + 1 + draw.below(15_000)),
        2 => Manner::Trickles,
        _ => Manner::Reads,
    }
}

fn run(seed: u64, fault: Fault) -> Told {
    let mut draw = Rng::new(seed).fork(61);
    let is_storm = one_in(&mut draw, 12);
    let scene = Scene::new(seed, &mut draw, fault, !is_storm);
    if is_storm {
        let (host, neighbour) = (scene.node.host(), scene.node.host());
        host.spawn("storm", scene.clone().storm(host.clone(), neighbour));
    }
    let clients = if is_storm { 0 } else { 1 + draw.below(3) };
    for number in 0..clients {
        let host = scene.node.host();
        let manner = if number == 0 { Manner::Reads } else { manner(&mut draw) };
        if manner == Manner::Trickles {
            scene.node.link(&host, |link| link.bandwidth = THIN);
        }
        let equal = if manner == Manner::Reads { 1 + draw.below(EQUAL) } else { EQUAL };
        scene.node.say(|| format!("client {number} {manner:?}, {equal} times"));
        host.spawn("client", scene.clone().reader(host.clone(), format!("client {number}"), manner, equal));
    }
    end(scene, seed)
}

fn end(scene: Rc<Scene>, seed: u64) -> Told {
    let ended = scene.node.run(Instant::ZERO.plus_ms(END_MS));
    let sockets: usize = scene.shards.iter().map(|shard| shard.client_count()).sum();
    if sockets > 0 {
        scene.node.violation(format!("{sockets} client connections remain"));
    }
    let (node, mut tally) = (scene.node.clone(), scene.tally.get());
    tally.slow = scene.shared.counters.iter().map(|counters| counters.slow_consumers.get()).sum();
    drop(scene);
    assert_eq!(ended, Ended::Deadline, "seed {seed}");
    Told { trace: node.finish(ended), tally }
}

/// The checkers can see.
#[test]
fn a_burst_that_is_counted_as_slowness_is_found() {
    let found = (0..1000).find_map(|seed| {
        let violations = run(seed, Fault::BurstIsSlow).trace.violations;
        (!violations.is_empty()).then_some((seed, violations))
    });
    let (seed, violations) = found.expect("not found in 1000 seeds");
    eprintln!("found by seed {seed}: {}", violations[0]);
    assert!(violations.iter().any(|v| v.contains("slow consumer")), "found by accident: {violations:?}");
}

#[test]
fn every_corner_is_reached() {
    let mut all = Tally::default();
    for seed in 0..60 {
        let Tally { events, slow, refused, paused, stopped } = run(seed, Fault::None).tally;
        all = Tally {
            events: all.events + events,
            slow: all.slow + slow,
            refused: all.refused + refused,
            paused: all.paused + paused,
            stopped: all.stopped + stopped,
        };
    }
    eprintln!("{all:?}");
    assert!(all.events > 100_000 && all.slow > 3 && all.refused > 100 && all.paused > 3 && all.stopped > 3, "{all:?}");
}

#[test]
fn soak() {
    seeds::soak("bursts", 60, |seed| run(seed, Fault::None).trace);
}

#[test]
fn replay() {
    seeds::replay("bursts", |seed| run(seed, Fault::None).trace);
}
