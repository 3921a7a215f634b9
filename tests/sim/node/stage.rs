//! What the stories of one worry each have in common: a whole node with the providers that a story asks for, everything
//! that providers see written down, every step of the aggregator looked at, and clients that send one call at a time and
//! say how it ended. The big story (`story`) draws everything at once; here a story draws only what it is about, so that a
//! finding has one cause.

use super::calls::CHAIN_ID;
use super::http::{self, Read};
use super::launch::{self, NODE_PORT, PROVIDER_PORT};
use super::sockets::{masked, whole};
use crate::world::{Link, Sim, SimStream, Trace};
use lasso::aggregator::{Aggregator, Rules};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::cluster::settings::ClusterSettings;
use lasso::config::topology::{Strategy, Topology};
use lasso::config::{SourceFile, load};
use lasso::demo::chain_model::ChainModel;
use lasso::demo::journal::{self, Attached, Journal, Received};
use lasso::demo::knobs::Knobs;
use lasso::demo::provider::Provider;
use lasso::demo::rpc::Network;
use lasso::health::breaker::Policy;
use lasso::runtime::world::{Duplex, Duration, Instant, ReadHalf, World};
use lasso::shard::{Fault, Node, Settings, Shard};
use lasso::snapshot::{Gates, Snapshot};
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// One provider of a story.
pub struct Part {
    pub knobs: Knobs,
    pub way: launch::Way,
    pub link: Link,
    /// Further lines of its entry in the profile.
    pub lines: &'static str,
}

impl Part {
    pub fn new(knobs: Knobs, way: launch::Way) -> Part {
        Part { knobs, way, link: Link::PLAIN, lines: "" }
    }

    fn entry(&self, index: usize) -> String {
        let mut text = format!("      - id: p{index}\n        priority: {}\n{}", index + 1, self.lines);
        if self.way != launch::Way::Ws {
            text += &format!("        url: http://p{index}.example:{PROVIDER_PORT}/k\n");
        }
        if self.way != launch::Way::Http {
            text += &format!("        ws_url: ws://p{index}.example:{PROVIDER_PORT}/k\n");
        }
        text
    }
}

/// A story's circumstances; `Default` is what a person gets who configures nothing.
pub struct Setting {
    pub chain: ChainModel,
    pub parts: Vec<Part>,
    pub shards: u32,
    pub strategy: Strategy,
    /// Further lines of the chain.
    pub chain_lines: String,
    /// The providers are dealt out to so many profiles, `default` and others, which serve the same chain.
    pub profiles: usize,
    pub fault: Fault,
    /// `None`: the node works alone.
    pub cluster: Option<ClusterSettings>,
}

impl Setting {
    pub fn new(seed: u64, block_ms: u64, parts: Vec<Part>) -> Setting {
        Setting {
            chain: ChainModel::new(seed, CHAIN_ID, Duration::from_millis(block_ms)),
            parts,
            shards: 1 + (seed % 2) as u32,
            strategy: Strategy::Priority,
            chain_lines: String::new(),
            profiles: 1,
            fault: Fault::None,
            cluster: None,
        }
    }

    /// The first provider has priority 1, the next 2, and so on.
    fn topology(&self) -> Topology {
        let each = self.parts.len().div_ceil(self.profiles);
        let files = (0..self.profiles).map(|profile| {
            let slug = if profile == 0 { "default".to_owned() } else { format!("profile{profile}") };
            let mut text = format!("name: {slug}\nslug: {slug}\nrps_limit: 0\nchains:\n  main:\n    chain_id: {CHAIN_ID}\n");
            text += &format!("{}    providers:\n", self.chain_lines);
            for (index, part) in self.parts.iter().enumerate().skip(profile * each).take(each) {
                text += &part.entry(index);
            }
            SourceFile { name: format!("{slug}.yml"), text }
        });
        match load(&files.collect::<Vec<_>>(), &|_| None) {
            Ok(loaded) => loaded.topology,
            Err(problems) => panic!("the simulated profile has problems: {problems:?}"),
        }
    }
}

/// A call as a provider got it.
#[derive(Clone, Debug)]
pub struct Got {
    pub at: Instant,
    pub provider: usize,
    pub method: String,
    pub params: String,
    /// A question of the node's own.
    pub is_own: bool,
    pub is_ws: bool,
}

/// What providers see, and what the aggregator says.
pub struct Ear {
    sim: Sim,
    sockets: RefCell<BTreeSet<(String, u64)>>,
    pub got: RefCell<Vec<Got>>,
    /// Events that people are told of, by name, without calls; with when they were told.
    pub told: RefCell<Vec<(Instant, String, Value)>>,
    /// What each snapshot said of circuits, when it was another than before.
    pub gates: RefCell<Vec<(Instant, Gates)>>,
}

/// Over WebSocket the node's own ids are numbers from here on.
const OWN_NUMBER: u64 = 1 << 48;

impl Journal for Ear {
    fn received(&self, call: &Received<'_>) {
        let params = String::from_utf8_lossy(&call.params[..call.params.len().min(400)]).into_owned();
        self.sim.say(|| format!("{} gets {} {params} ({:?})", call.provider, call.method, call.fault));
        let is_ws = self.sockets.borrow().contains(&(call.provider.to_owned(), call.connection));
        let number = std::str::from_utf8(call.id).ok().and_then(|id| id.parse::<u64>().ok());
        let is_own = if is_ws { number.is_some_and(|id| id >= OWN_NUMBER) } else { call.id.starts_with(b"\"lasso-") };
        let provider = call.provider[1..].parse().unwrap_or(usize::MAX);
        let (at, method) = (self.sim.now(), call.method.to_owned());
        self.got.borrow_mut().push(Got { at, provider, method, params, is_own, is_ws });
    }

    fn ended(&self, _: &journal::Ended<'_>) {}

    fn attached(&self, what: &Attached<'_>) {
        if what.key.is_none() && what.is_open {
            self.sockets.borrow_mut().insert((what.provider.to_owned(), what.connection));
        }
    }
}

impl Ear {
    fn look(&self, snapshot: &Snapshot) {
        for plan in snapshot.plans.values().flat_map(|plans| plans.values()) {
            let mut gates = self.gates.borrow_mut();
            if gates.last().is_none_or(|(_, before)| *before != plan.gates) {
                self.sim.say(|| format!("{:?} heights {:?}", plan.gates, plan.heights));
                gates.push((self.sim.now(), plan.gates));
            }
        }
    }

    /// Some snapshot since `from` had a circuit that was not closed.
    pub fn opened_since(&self, from: Instant) -> Option<(Instant, Gates)> {
        let is_open = |gates: &Gates| gates.open | gates.half_open != 0;
        self.gates.borrow().iter().find(|(at, gates)| *at >= from && is_open(gates)).copied()
    }
}

pub struct Stage {
    pub node: Sim,
    pub network: Rc<Network>,
    pub hosts: Vec<Sim>,
    pub providers: Vec<Rc<Provider>>,
    /// The control thread's is the last.
    pub shards: Vec<Rc<Shard<Sim>>>,
    pub shared: Arc<Node>,
    pub ear: Rc<Ear>,
}

impl Stage {
    pub fn new(seed: u64, setting: Setting) -> Rc<Stage> {
        let mut draw = Rng::new(seed).fork(60);
        let node = Sim::new(seed);
        let topology = setting.topology();
        let network = Rc::new(Network::new(setting.chain));
        let (got, told, gates) = (RefCell::default(), RefCell::default(), RefCell::default());
        let ear = Rc::new(Ear { sim: node.clone(), sockets: RefCell::default(), got, told, gates });
        let (mut hosts, mut providers) = (Vec::new(), Vec::new());
        for (index, part) in setting.parts.into_iter().enumerate() {
            let (host, rng) = (node.host(), draw.fork(30 + index as u64));
            let provider = Provider::new(&format!("p{index}"), network.clone(), part.knobs, rng).with_journal(ear.clone());
            let provider = Rc::new(provider);
            node.link(&host, |link| *link = part.link);
            node.say(|| format!("p{index} over {:?}: {:?}", part.way, provider.manners()));
            launch::start_provider(&node, &host, &provider, Instant::ZERO);
            hosts.push(host);
            providers.push(provider);
        }
        let snapshot = Snapshot::new(topology, setting.strategy, "sim", setting.shards as usize + 1);
        let settings = Settings { cluster: setting.cluster, ..launch::settings(&node, setting.shards) };
        let shared = Node::new(settings, snapshot, [draw.next(), draw.next()]);
        let shards = launch::start_shards(&node, &shared, setting.fault);
        let judge = Aggregator::new(shared.clone(), Rules { breaker: Policy::default(), beta: 3.0 }, draw.fork(7));
        node.spawn("aggregator", aggregate(node.clone(), shared.clone(), judge, ear.clone()));
        Rc::new(Stage { node, network, hosts, providers, shards, shared, ear })
    }

    /// Runs up to then, and ends the world.
    pub fn play(self: Rc<Stage>, until: Instant, judge: impl FnOnce(&Stage)) -> Trace {
        let ended = self.node.run(until);
        judge(&self);
        let node = self.node.clone();
        // Tasks that are still waiting may hold it too; the world's end drops them.
        drop(self);
        node.finish(ended)
    }

    pub fn violation(&self, text: String) {
        self.node.violation(text);
    }

    /// A client's machine, near the node.
    pub fn client_host(&self) -> Sim {
        self.node.host()
    }
}

async fn aggregate(node: Sim, shared: Arc<Node>, mut judge: Aggregator, ear: Rc<Ear>) {
    let mut published = shared.snapshot.reader();
    loop {
        published.refresh();
        ear.look(published.held());
        node.sleep_until(node.now().plus_ms(limits::EPOCH_MS)).await;
        for happening in judge.step(node.now()) {
            let json = shared.events.push(&happening, node.wall());
            node.say(|| json.to_string());
            let value: Value = serde_json::from_str(&json).unwrap_or_default();
            let name = value["event"].as_str().unwrap_or("").to_owned();
            if name != "rpc.request.completed" {
                ear.told.borrow_mut().push((node.now(), name, value));
            }
        }
    }
}

/// How a client's call ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// Raw.
    Result(String),
    Error(i64, String),
    /// An HTTP status without more.
    Status(u16),
    /// The connection ended, or what came is no answer.
    Broken(String),
    Late,
}

impl End {
    pub fn is_result(&self) -> bool {
        matches!(self, End::Result(_))
    }
}

/// A call of a client, as JSON.
pub fn call(id: u64, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

/// Sends one body over a connection of its own, and says how it ended, within `most_ms`.
pub async fn post(world: &Sim, node: &Sim, path: &str, body: &str, most_ms: u64) -> End {
    let answer: Rc<RefCell<Option<End>>> = Rc::default();
    let (teller, asker, to) = (answer.clone(), world.clone(), node.at(NODE_PORT));
    let method = if body.is_empty() { "GET" } else { "POST" };
    let head = format!("{method} {path} HTTP/1.1\r\nhost: lasso\r\ncontent-type: application/json\r\n");
    let request = format!("{head}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let bell = Rc::new(lasso::shard::Bell::default());
    let ringer = bell.clone();
    world.spawn("client call", async move {
        let end = ask(&asker, to, request.into_bytes()).await;
        teller.borrow_mut().get_or_insert(end);
        ringer.ring();
    });
    let (timer, ringer, limit) = (world.clone(), bell.clone(), answer.clone());
    let at = world.now().plus_ms(most_ms);
    world.spawn("client's patience", async move {
        timer.sleep_until(at).await;
        limit.borrow_mut().get_or_insert(End::Late);
        ringer.ring();
    });
    loop {
        if let Some(end) = answer.borrow().clone() {
            return end;
        }
        bell.heard().await;
    }
}

async fn ask(world: &Sim, to: std::net::SocketAddr, request: Vec<u8>) -> End {
    let stream = match world.connect(to).await {
        Ok(stream) => stream,
        Err(fault) => return End::Broken(format!("connecting: {fault}")),
    };
    let (mut read, mut write) = stream.split();
    // A reply may come before the request is whole; then the rest is not wanted.
    world.spawn("client's request", async move {
        put(&mut write, request, Rc::default()).await;
    });
    let (mut buf, mut chunks) = (Vec::with_capacity(16 << 10), http::Chunks::default());
    loop {
        if buf.capacity() - buf.len() < 4 << 10 {
            buf.reserve(buf.len().max(16 << 10));
        }
        let mut piece = Vec::with_capacity(16 << 10);
        let outcome;
        (outcome, piece) = read.read(piece).await;
        buf.extend_from_slice(&piece);
        let has_ended = !matches!(outcome, Ok(1..));
        match http::read(&buf, has_ended, &mut chunks) {
            Read::Whole(answer, _) => return read_end(answer.status, &answer.body),
            Read::Bad(what) => return End::Broken(what),
            Read::NeedMore if has_ended => return End::Broken(format!("cut after {} bytes: {outcome:?}", buf.len())),
            Read::NeedMore => {}
        }
    }
}

fn read_end(status: u16, body: &[u8]) -> End {
    let Ok(value) = serde_json::from_slice::<&serde_json::value::RawValue>(body) else { return End::Status(status) };
    of_reply(value.get(), status)
}

/// How one reply object ended; a list or another thing is a result as it stands.
fn of_reply(text: &str, status: u16) -> End {
    #[derive(serde::Deserialize)]
    struct Reply<'a> {
        #[serde(borrow, default)]
        result: Option<&'a serde_json::value::RawValue>,
        error: Option<Value>,
    }
    // A list would be taken for the fields in their order.
    let reply = serde_json::from_str::<Reply>(text).ok().filter(|_| text.starts_with('{'));
    let Some(reply) = reply else { return End::Result(text.to_owned()) };
    match (reply.error, reply.result) {
        (Some(error), _) => {
            let message = error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned);
            End::Error(error["code"].as_i64().unwrap_or(0), message)
        }
        (None, Some(result)) => End::Result(result.get().to_owned()),
        (None, None) if text.contains("\"result\":null") => End::Result("null".to_owned()),
        (None, None) if status == 200 => End::Result(text.to_owned()),
        (None, None) => End::Status(status),
    }
}

/// A client's WebSocket.
pub struct Wire {
    read: <SimStream as Duplex>::Read,
    write: <SimStream as Duplex>::Write,
    buf: Vec<u8>,
    world: Sim,
    draw: Rng,
    /// Bytes that the connection took.
    pub taken: Rc<Cell<u64>>,
}

impl Wire {
    pub async fn connect(world: &Sim, node: &Sim, path: &str) -> Result<Wire, String> {
        let stream = world.connect(node.at(NODE_PORT)).await.map_err(|fault| format!("connecting: {fault}"))?;
        let (read, write) = stream.split();
        let (world, draw) = (world.clone(), Rng::new(1));
        let mut wire = Wire { read, write, buf: Vec::new(), world, draw, taken: Rc::default() };
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: lasso\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        wire.put(head.into_bytes()).await?;
        loop {
            if let Some(at) = http::find(&wire.buf, b"\r\n\r\n") {
                let head: Vec<u8> = wire.buf.drain(..at + 4).collect();
                let is_right = head.starts_with(b"HTTP/1.1 101 ");
                return if is_right { Ok(wire) } else { Err(String::from_utf8_lossy(&head).into_owned()) };
            }
            wire.fill().await?;
        }
    }

    pub async fn say(&mut self, text: &str) -> Result<(), String> {
        self.frame(0x81, text.as_bytes()).await
    }

    /// One frame with this first byte.
    pub async fn frame(&mut self, first: u8, payload: &[u8]) -> Result<(), String> {
        let bytes = masked(first, payload, &mut self.draw);
        self.put(bytes).await
    }

    /// The next text message, as JSON.
    pub async fn hear(&mut self) -> Result<Value, String> {
        loop {
            if let Some((opcode, start, end)) = whole(&self.buf, &self.world) {
                let payload = self.buf[start..end].to_vec();
                self.buf.drain(..end);
                match opcode {
                    1 => return serde_json::from_slice(&payload).map_err(|fault| format!("not JSON: {fault}")),
                    9 => self.frame(0x8a, &payload).await?,
                    8 => return Err(format!("closed: {}", String::from_utf8_lossy(&payload))),
                    _ => {}
                }
                continue;
            }
            self.fill().await?;
        }
    }

    pub async fn put(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        match put(&mut self.write, bytes, self.taken.clone()).await {
            true => Ok(()),
            false => Err("the connection takes nothing more".to_owned()),
        }
    }

    /// Its two directions.
    pub fn split(self) -> (<SimStream as Duplex>::Read, <SimStream as Duplex>::Write) {
        (self.read, self.write)
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

/// Writes all of it in pieces, counting what is taken; whether the connection took all.
pub async fn put(write: &mut <SimStream as Duplex>::Write, bytes: Vec<u8>, taken: Rc<Cell<u64>>) -> bool {
    const PIECE: usize = 16 << 10;
    let mut at = 0;
    while at < bytes.len() {
        let piece = bytes[at..bytes.len().min(at + PIECE)].to_vec();
        let (outcome, _) = write.write(piece).await;
        let Ok(n) = outcome else { return false };
        taken.set(taken.get() + n as u64);
        at += n;
    }
    true
}

/// Reads until nothing has come for `quiet_ms`, and says how many bytes came.
pub async fn drain(world: &Sim, read: &mut <SimStream as Duplex>::Read, quiet_ms: u64) -> u64 {
    let (mut came, mut last) = (0, world.now());
    while world.now() < last.plus_ms(quiet_ms) {
        let is_there = {
            let timer = world.sleep_until(world.now().plus_ms(quiet_ms));
            let mut readable = std::pin::pin!(read.readable());
            let mut timer = std::pin::pin!(timer);
            std::future::poll_fn(|cx| match readable.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending => timer.as_mut().poll(cx).map(|()| false),
            })
            .await
        };
        if !is_there {
            return came;
        }
        let (outcome, _) = read.read(Vec::with_capacity(64 << 10)).await;
        match outcome {
            Ok(n @ 1..) => (came, last) = (came + n as u64, world.now()),
            _ => return came,
        }
    }
    came
}
