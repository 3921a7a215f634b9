//! WebSocket clients in the simulated world: each reply once and with its own id whatever the network does, connections
//! that hang are found, and nothing of a client that left remains.
//!
//! The client's frames are written and read here apart from `wire::websocket`, so that a mistake there is not repeated.

use super::book::Book;
use super::calls::CHAIN_ID;
use super::launch::{self, NODE_PORT};
use super::trouble;
use crate::seeds;
use crate::weather::{self, coin, one_in};
use crate::world::{Ended, Link, Sim, SimStream, Trace};
use lasso::base::rng::Rng;
use lasso::config::topology::Strategy;
use lasso::demo::chain_model::ChainModel;
use lasso::demo::knobs::Knobs;
use lasso::demo::provider::Provider;
use lasso::demo::rpc::Network;
use lasso::health::breaker::Policy;
use lasso::runtime::world::{Duplex, Duration, Instant, World};
use lasso::shard::{Fault, Node, Shard};
use lasso::snapshot::Snapshot;
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Faults end here, and everything must be well a while later.
const HEALED_MS: u64 = 60_000;
const END_MS: u64 = 400_000;
/// A call's longest time and what the network may add.
const REPLY_MS: u64 = 60_000;

struct Scene {
    node: Sim,
    shards: Vec<Rc<Shard<Sim>>>,
    /// Connections that went through to their own end after the world was healed.
    whole: RefCell<u32>,
}

fn scene(seed: u64, draw: &mut Rng, is_calm: bool, fault: Fault) -> Rc<Scene> {
    let node = Sim::new(seed);
    node.heal_at(Instant::ZERO.plus_ms(HEALED_MS));
    let network = Rc::new(Network::new(ChainModel::new(seed, CHAIN_ID, Duration::from_secs(2))));
    let count = 1 + draw.below(3);
    for index in 0..count {
        let knobs = if is_calm { Knobs::default() } else { trouble::knobs(draw) };
        let provider = Rc::new(Provider::new(&format!("p{index}"), network.clone(), knobs, draw.fork(30 + index)));
        launch::start_provider(&node, &node.host(), &provider, Instant::ZERO);
        let healed = provider.clone();
        let world = node.clone();
        node.spawn("heal", async move {
            world.sleep_until(Instant::ZERO.plus_ms(HEALED_MS)).await;
            healed.tune(|knobs| *knobs = Knobs::default());
        });
    }
    let shards = 1 + draw.below(3) as u32;
    let topology = launch::topology(&vec![(1, launch::Way::Http); count as usize], None, 64);
    let snapshot = Snapshot::new(topology, Strategy::LoadBalanced, "sim", shards as usize + 1);
    let shared = Node::new(launch::settings(&node, shards), snapshot, [draw.next(), draw.next()]);
    let shards = launch::start_shards(&node, &shared, fault);
    let policy = Policy { recovery_max: Duration::from_secs(8), ..Policy::new(5, 2, 2_000) };
    // Kept alive by its own task.
    drop(launch::start_aggregator(&node, &shared, policy, draw.fork(7), Rc::new(Book::new(&node))));
    Rc::new(Scene { node, shards, whole: RefCell::new(0) })
}

fn end(scene: Rc<Scene>, seed: u64, want_whole: u32) -> Trace {
    let ended = scene.node.run(Instant::ZERO.plus_ms(END_MS));
    let sockets: usize = scene.shards.iter().map(|shard| shard.client_count()).sum();
    if sockets > 0 {
        scene.node.violation(format!("{sockets} client connections remain"));
    }
    let whole = *scene.whole.borrow();
    if whole < want_whole {
        scene.node.violation(format!("{whole} connections of {want_whole} came to their own end"));
    }
    let node = scene.node.clone();
    drop(scene);
    assert_eq!(ended, Ended::Deadline, "seed {seed}");
    node.finish(ended)
}

/// Every client's story at once, from one seed.
fn run(seed: u64, fault: Fault) -> Trace {
    let mut draw = Rng::new(seed).fork(50);
    let is_calm = one_in(&mut draw, 4);
    let scene = scene(seed, &mut draw, is_calm, fault);
    let clients = 1 + draw.below(6);
    for number in 0..clients {
        let host = scene.node.host();
        if !is_calm {
            let link = Link { bandwidth: Link::PLAIN.bandwidth, ..weather::link(&mut draw) };
            scene.node.link(&host, |l| *l = link);
        }
        host.spawn("client", scene.clone().client(host.clone(), number, draw.fork(100 + number)));
    }
    end(scene, seed, clients as u32)
}

#[test]
fn soak() {
    seeds::soak("sockets", 100, |seed| run(seed, Fault::None));
}

#[test]
fn replay() {
    seeds::replay("sockets", |seed| run(seed, Fault::None));
}

/// The checker can see.
#[test]
fn a_reply_that_comes_twice_is_found() {
    let sign = "was answered before";
    let is_found =
        |seed| run(seed, Fault::DoubleReply).violations.iter().any(|v| v.contains(sign) || v.contains("after our close"));
    assert!((0..50).any(is_found), "no seed found it");
}

/// A client that answers no ping is told so after two misses; one that does stays.
#[test]
fn silent_clients_are_found_and_others_stay() {
    let mut draw = Rng::new(3);
    let scene = scene(3, &mut draw, true, Fault::None);
    for answers in [false, true] {
        let host = scene.node.host();
        host.spawn("idle", scene.clone().idle(host.clone(), answers));
    }
    let trace = end(scene, 3, 2);
    assert_eq!(trace.violations, Vec::<String>::new());
}

impl Scene {
    /// Connects, calls, and connects again when it was cut off, until one connection after healing went well.
    async fn client(self: Rc<Scene>, world: Sim, number: u64, mut draw: Rng) {
        for attempt in 0.. {
            world.sleep_until(world.now().plus_ms(draw.below(5_000))).await;
            let began = world.now();
            match self.session(&world, number << 32 | attempt << 16, &mut draw).await {
                Ok(()) if began >= Instant::ZERO.plus_ms(HEALED_MS) => {
                    *self.whole.borrow_mut() += 1;
                    return;
                }
                Ok(()) => {}
                // The network may cut a connection while it is ill, and what it has begun ends later.
                Err(what) if began >= Instant::ZERO.plus_ms(HEALED_MS) => {
                    return world.violation(format!("client {number}: {what}"));
                }
                Err(what) => world.say(|| format!("client {number}: {what}")),
            }
        }
    }

    async fn session(&self, world: &Sim, first_id: u64, draw: &mut Rng) -> Result<(), String> {
        let mut peer = Peer::connect(world, &self.node).await?;
        let mut open: BTreeSet<String> = BTreeSet::new();
        let (mut id, last) = (first_id, first_id + 1 + draw.below(60));
        while id < last || !open.is_empty() {
            // More under way than may be at work: the node reads the others later.
            while id < last && coin(draw) {
                let items = if one_in(draw, 4) { 1 + draw.below(5).min(last - id) } else { 1 };
                let calls: Vec<String> = (id..id + items).map(call).collect();
                let text = if items == 1 { calls.concat() } else { format!("[{}]", calls.join(",")) };
                open.extend((id..id + items).map(|id| id.to_string()));
                id += items;
                peer.say(&text, draw).await?;
            }
            if !open.is_empty() {
                for id in ids(&peer.hear(world).await?)? {
                    open.take(&id).ok_or(format!("a reply to {id}, which was answered before or never asked"))?;
                }
            }
        }
        peer.send(0x88, &[0x03, 0xe8], draw).await?;
        match peer.frame(world).await? {
            (8, payload) if payload == [0x03, 0xe8] => Ok(()),
            other => Err(format!("after our close: {other:?}")),
        }
    }

    async fn idle(self: Rc<Scene>, world: Sim, answers: bool) {
        let told = self.sit(&world, answers).await;
        match told {
            Ok(()) => *self.whole.borrow_mut() += 1,
            Err(what) => world.violation(format!("a client that answers pings: {answers}: {what}")),
        }
    }

    async fn sit(&self, world: &Sim, answers: bool) -> Result<(), String> {
        let mut draw = Rng::new(1);
        let (mut peer, began) = (Peer::connect(world, &self.node).await?, world.now());
        let mut pings = 0;
        loop {
            let (opcode, payload) = peer.any_frame(world).await?;
            let seconds = world.now().since(began).as_secs();
            match opcode {
                9 => {
                    pings += 1;
                    if answers {
                        peer.send(0x8a, &payload, &mut draw).await?;
                    }
                }
                8 if !answers => {
                    let reason = String::from_utf8_lossy(&payload[2..]).into_owned();
                    let is_right = payload.starts_with(&[0x03, 0xea]) && reason.contains("Heartbeat") && pings == 2;
                    return if is_right && (65..70).contains(&seconds) {
                        Ok(())
                    } else {
                        Err(format!("{seconds} s, {pings} pings: {reason}"))
                    };
                }
                other => return Err(format!("opcode {other} after {seconds} s")),
            }
            if answers && pings == 5 {
                return if (150..160).contains(&seconds) { Ok(()) } else { Err(format!("5 pings in {seconds} s")) };
            }
        }
    }
}

fn call(id: u64) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_getBalance","params":["0x{id:040x}","latest"]}}"#)
}

/// Of a reply, or of a batch's.
fn ids(text: &[u8]) -> Result<Vec<String>, String> {
    let value: serde_json::Value = serde_json::from_slice(text).map_err(|fault| format!("not JSON: {fault}"))?;
    let items = match value {
        serde_json::Value::Array(items) => items,
        one => vec![one],
    };
    let is_reply = |item: &serde_json::Value| item.get("result").is_some() != item.get("error").is_some();
    match items.iter().find(|item| !is_reply(item)) {
        Some(odd) => Err(format!("no reply: {odd}")),
        None => Ok(items.iter().map(|item| item["id"].to_string()).collect()),
    }
}

struct Peer {
    read: <SimStream as Duplex>::Read,
    write: <SimStream as Duplex>::Write,
    buf: Vec<u8>,
}

impl Peer {
    async fn connect(world: &Sim, node: &Sim) -> Result<Peer, String> {
        let stream = world.connect(node.at(NODE_PORT)).await.map_err(|fault| format!("connecting: {fault}"))?;
        let (read, write) = stream.split();
        let mut peer = Peer { read, write, buf: Vec::new() };
        let head = "GET /ws/rpc/main HTTP/1.1\r\nhost: lasso\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        peer.write_all(head.as_bytes().to_vec()).await?;
        loop {
            if let Some(at) = peer.buf.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = peer.buf.drain(..at + 4).collect();
                let is_right = head.starts_with(b"HTTP/1.1 101 ");
                return if is_right { Ok(peer) } else { Err(String::from_utf8_lossy(&head).into_owned()) };
            }
            peer.fill().await?;
        }
    }

    async fn say(&mut self, text: &str, draw: &mut Rng) -> Result<(), String> {
        // Now and then in two fragments.
        if !one_in(draw, 8) {
            return self.send(0x81, text.as_bytes(), draw).await;
        }
        let (first, second) = text.split_at(text.len() / 2);
        self.send(0x01, first.as_bytes(), draw).await?;
        self.send(0x80, second.as_bytes(), draw).await
    }

    async fn send(&mut self, first: u8, payload: &[u8], draw: &mut Rng) -> Result<(), String> {
        self.write_all(masked(first, payload, draw)).await
    }

    async fn write_all(&mut self, mut left: Vec<u8>) -> Result<(), String> {
        while !left.is_empty() {
            let (outcome, bytes) = self.write.write(left).await;
            left = bytes[outcome.map_err(|fault| format!("writing: {fault}"))?..].to_vec();
        }
        Ok(())
    }

    /// The next text message.
    async fn hear(&mut self, world: &Sim) -> Result<Vec<u8>, String> {
        match self.frame(world).await? {
            (1, payload) => Ok(payload),
            (opcode, payload) => Err(format!("opcode {opcode}: {}", String::from_utf8_lossy(&payload))),
        }
    }

    /// The next frame that is no ping; pings are answered. In time, after the world was healed.
    async fn frame(&mut self, world: &Sim) -> Result<(u8, Vec<u8>), String> {
        let began = world.now();
        loop {
            let (opcode, payload) = self.any_frame(world).await?;
            let waited_ms = world.now().since(began).as_millis() as u64;
            if began >= Instant::ZERO.plus_ms(HEALED_MS) && waited_ms > REPLY_MS {
                return Err(format!("nothing came for {waited_ms} ms"));
            }
            if opcode != 9 {
                return Ok((opcode, payload));
            }
            self.send(0x8a, &payload, &mut Rng::new(waited_ms)).await?;
        }
    }

    async fn any_frame(&mut self, world: &Sim) -> Result<(u8, Vec<u8>), String> {
        loop {
            if let Some((opcode, start, end)) = whole(&self.buf, world) {
                let payload = self.buf[start..end].to_vec();
                self.buf.drain(..end);
                return Ok((opcode, payload));
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), String> {
        let (outcome, bytes) = self.read.read(Vec::with_capacity(16 << 10)).await;
        match outcome {
            Ok(0) => Err("the connection ended".to_owned()),
            Ok(_) => {
                self.buf.extend_from_slice(&bytes);
                Ok(())
            }
            Err(fault) => Err(format!("reading: {fault}")),
        }
    }
}

/// A client's frame.
pub fn masked(first: u8, payload: &[u8], draw: &mut Rng) -> Vec<u8> {
    let mask = (draw.next() as u32).to_le_bytes();
    let mut out = vec![first];
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n => match u16::try_from(n) {
            Ok(short) => {
                out.push(0x80 | 126);
                out.extend_from_slice(&short.to_be_bytes());
            }
            Err(_) => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(n as u64).to_be_bytes());
            }
        },
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// Opcode and payload's place of a frame that is there. A server's frames are final and not masked.
pub fn whole(buf: &[u8], world: &Sim) -> Option<(u8, usize, usize)> {
    let (first, second) = (*buf.first()?, *buf.get(1)?);
    let number = |bytes: &[u8]| bytes.iter().fold(0usize, |n, byte| n << 8 | usize::from(*byte));
    let (length, start) = match second {
        0..=125 => (usize::from(second), 2),
        126 => (number(buf.get(2..4)?), 4),
        127 => (number(buf.get(2..10)?), 10),
        _ => {
            world.violation(format!("a masked frame from the server: {second:#x}"));
            return None;
        }
    };
    if !matches!(first, 0x81 | 0x88 | 0x89 | 0x8a) {
        world.violation(format!("a frame that no server of ours sends: {first:#x}"));
    }
    (buf.len() >= start + length).then_some((first & 0x0f, start, start + length))
}

#[test]
fn replies_are_told_from_noise() {
    assert_eq!(ids(br#"[{"id":1,"result":"0x1"},{"id":"a","error":{}}]"#), Ok(vec!["1".into(), "\"a\"".into()]));
    assert!(ids(br#"{"id":1}"#).is_err() && ids(b"{").is_err());
}
