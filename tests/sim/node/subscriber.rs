//! A WebSocket client that subscribes: what it sends, what it hears, and what a connection owes it.
//!
//! Reader and writer are tasks; what is heard is judged as it comes, so that a wrong event is seen at its moment.

use super::continuity::{Truth, View};
use super::launch::NODE_PORT;
use super::sockets::{masked, whole};
use crate::world::{Sim, SimStream};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::demo::identity::Hash;
use lasso::runtime::world::{Closer, Duplex, Instant, World};
use lasso::shard::Bell;
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::AddAssign;
use std::rc::Rc;

/// Beyond it a heads subscription is silent: longer than any staleness, switch and filling together.
pub const SILENCE_MS: u64 = 45_000;
/// A block's logs follow its head within the longest time for filling of this story, and what a shard waits for others.
const LOGS_MS: u64 = 15_000 + limits::PAUSES_MS;
/// A subscription is answered within 10 s, and some for the way.
const ANSWER_MS: u64 = 12_000;
/// One that resumes is answered when what it missed is there: within the time for that, after its topic is open.
const RESUME_MS: u64 = 15_000 + ANSWER_MS;
/// Calls in flight are answered before a connection is closed; a younger one may cross with the close.
const YOUNG_MS: u64 = 4_000;

/// What a connection may come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expect {
    /// Nothing may go wrong.
    pub is_well: bool,
    /// The network may cut it, or be too slow for a last word.
    pub is_frail: bool,
    /// What its link carries at best: what it is told stands behind what it was told before.
    pub bytes_per_second: u64,
}

impl Expect {
    /// Its link may carry less than there is to tell.
    fn is_thin(&self) -> bool {
        self.bytes_per_second < 1 << 20
    }
}

/// A subscription of an earlier connection.
pub struct Remembered {
    params: Value,
    view: View,
    block: Hash,
}

enum Pending {
    Subscribe(Value),
    Resume(Box<Remembered>),
    Unsubscribe(String),
    Call,
}

struct Asked {
    what: Pending,
    at: Instant,
    /// What had come by then.
    bytes: u64,
}

#[derive(Default)]
struct State {
    pending: BTreeMap<u64, Asked>,
    /// All that has come.
    bytes: u64,
    live: BTreeMap<String, View>,
    /// What each of them asked for.
    params: BTreeMap<String, Value>,
    past: BTreeSet<String>,
    next_id: u64,
}

/// What all of them together came to, so that a soak which sees nothing is noticed.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    pub subscribed: u64,
    pub refused: u64,
    /// Went on from an earlier life, or were refused to.
    pub resumed: u64,
    pub not_resumed: u64,
    pub heads: u64,
    /// Heads that a later one took the place of.
    pub dropped: u64,
    pub logs: u64,
    pub taken_back: u64,
    /// Pending transactions and words about syncing.
    pub passed: u64,
    /// Connections that were closed because a stream could not be kept.
    pub given_up: u64,
    /// And because the client did not read, as the client saw it (a close behind what it has not read is lost).
    pub cut_off: u64,
    /// Slow consumers, as the node counts them.
    pub slow: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.subscribed += other.subscribed;
        self.refused += other.refused;
        self.resumed += other.resumed;
        self.not_resumed += other.not_resumed;
        self.heads += other.heads;
        self.dropped += other.dropped;
        self.logs += other.logs;
        self.taken_back += other.taken_back;
        self.passed += other.passed;
        self.given_up += other.given_up;
        self.cut_off += other.cut_off;
        self.slow += other.slow;
    }
}

pub struct Subscriber {
    world: Sim,
    name: String,
    truth: Rc<Truth>,
    pub tally: Rc<Cell<Tally>>,
    expect: Expect,
    state: RefCell<State>,
    outgoing: RefCell<VecDeque<Vec<u8>>>,
    filled: Bell,
    has_ended: Cell<bool>,
    /// We said goodbye.
    is_leaving: Cell<bool>,
    /// Reads nothing before then; and whether it ever did so.
    deaf_until: Cell<Instant>,
    was_deaf: Cell<bool>,
    closer: <SimStream as Duplex>::Closer,
}

impl Subscriber {
    /// Connects and upgrades; nothing when the network is against it.
    pub async fn connect(
        world: &Sim,
        node: &Sim,
        path: &str,
        name: String,
        truth: &Rc<Truth>,
        tally: &Rc<Cell<Tally>>,
        expect: Expect,
    ) -> Option<Rc<Subscriber>> {
        let stream = world.connect(node.at(NODE_PORT)).await.ok()?;
        let closer = stream.closer();
        let (mut read, mut write) = stream.split();
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: lasso\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        write_all(&mut write, head.into_bytes()).await.ok()?;
        let mut buf = Vec::new();
        let end = loop {
            if let Some(at) = buf.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let (count, bytes) = read.read(Vec::with_capacity(16 << 10)).await;
            buf.extend_from_slice(&bytes[..count.ok().filter(|count| *count > 0)?]);
        };
        if !buf.starts_with(b"HTTP/1.1 101 ") {
            world.violation(format!("{name} is not let in: {}", String::from_utf8_lossy(&buf)));
            return None;
        }
        let subscriber = Rc::new(Subscriber {
            world: world.clone(),
            name,
            truth: truth.clone(),
            tally: tally.clone(),
            expect,
            state: RefCell::default(),
            outgoing: RefCell::default(),
            filled: Bell::default(),
            has_ended: Cell::new(false),
            is_leaving: Cell::new(false),
            deaf_until: Cell::new(Instant::ZERO),
            was_deaf: Cell::new(false),
            closer,
        });
        let rest = buf.split_off(end);
        world.spawn("subscriber reads", subscriber.clone().read(read, rest));
        world.spawn("subscriber writes", subscriber.clone().write(write));
        Some(subscriber)
    }

    pub fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    pub fn live(&self) -> Vec<String> {
        self.state.borrow().live.keys().cloned().collect()
    }

    pub fn is_waiting(&self) -> bool {
        !self.state.borrow().pending.is_empty()
    }

    pub fn subscribe(&self, params: Value) {
        self.call("eth_subscribe", params.clone(), Pending::Subscribe(params));
    }

    /// What can be resumed on another connection; this one hears no more of it.
    pub fn remember(&self) -> Vec<Remembered> {
        let mut state = self.state.borrow_mut();
        let (live, mut all) = (std::mem::take(&mut state.live), Vec::new());
        for (id, mut view) in live {
            if let (Some(block), Some(params)) = (view.resume_point(&self.truth), state.params.remove(&id)) {
                view.resume(&self.truth);
                all.push(Remembered { params, view, block });
            }
        }
        all
    }

    pub fn resume(&self, remembered: Remembered) {
        let block = remembered.block.0.iter().fold(String::from("0x"), |text, byte| format!("{text}{byte:02x}"));
        let mut params = remembered.params.clone();
        if let Some(list) = params.as_array_mut() {
            list.push(json!({"lasso_resume": {"block": block}}));
        }
        self.call("eth_subscribe", params, Pending::Resume(Box::new(remembered)));
    }

    pub fn unsubscribe(&self, id: String) {
        self.call("eth_unsubscribe", json!([id]), Pending::Unsubscribe(id));
    }

    pub fn ask(&self) {
        self.call("eth_chainId", json!([]), Pending::Call);
    }

    pub fn be_deaf(&self, until: Instant) {
        self.deaf_until.set(until);
        self.was_deaf.set(true);
    }

    fn call(&self, method: &str, params: Value, pending: Pending) {
        let mut state = self.state.borrow_mut();
        state.next_id += 1;
        let id = state.next_id;
        let text = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        self.world.say(|| format!("{} says {text}", self.name));
        let asked = Asked { what: pending, at: self.world.now(), bytes: state.bytes };
        state.pending.insert(id, asked);
        self.send(0x81, text.as_bytes());
    }

    fn send(&self, first: u8, payload: &[u8]) {
        self.outgoing.borrow_mut().push_back(masked(first, payload, &mut Rng::new(payload.len() as u64)));
        self.filled.ring();
    }

    /// Says goodbye, waits a moment for the answer, and is gone.
    pub async fn leave(&self) {
        if !self.has_ended.get() {
            self.is_leaving.set(true);
            self.send(0x88, &[0x03, 0xe8]);
            let until = self.world.now().plus_ms(2_000);
            while !self.has_ended.get() && self.world.now() < until {
                self.world.sleep_until(self.world.now().plus_ms(50)).await;
            }
        }
        self.vanish();
    }

    /// Is gone without a word.
    pub fn vanish(&self) {
        self.is_leaving.set(true);
        self.has_ended.set(true);
        self.closer.close();
        self.filled.ring();
    }

    /// Every subscription must have been told all that was there at `then`, while there is one who tells.
    pub fn judge(&self, then: Instant) {
        if self.has_ended.get() {
            return;
        }
        for (id, view) in &self.state.borrow().live {
            if let Err(what) = view.is_complete(&self.truth, then, self.world.now()) {
                self.violation(format!("{id}: {what}"));
            }
        }
    }

    /// Its heads subscriptions: from when each was confirmed, what it was told.
    pub fn with_heads(&self, mut look: impl FnMut(&View)) {
        self.state.borrow().live.values().filter(|view| view.is_heads() && !view.has_resumed()).for_each(&mut look);
    }

    fn violation(&self, what: String) {
        self.world.violation(format!("{}: {what}", self.name));
    }

    fn count(&self, change: impl FnOnce(&mut Tally)) {
        let mut tally = self.tally.get();
        change(&mut tally);
        self.tally.set(tally);
    }

    async fn write(self: Rc<Self>, mut write: <SimStream as Duplex>::Write) {
        loop {
            let next = self.outgoing.borrow_mut().pop_front();
            match next {
                Some(bytes) => {
                    if write_all(&mut write, bytes).await.is_err() {
                        return;
                    }
                }
                None if self.has_ended.get() => return,
                None => self.filled.heard().await,
            }
        }
    }

    async fn read(self: Rc<Self>, mut read: <SimStream as Duplex>::Read, mut buf: Vec<u8>) {
        let ending = loop {
            while let Some((opcode, start, end)) = whole(&buf, &self.world) {
                let payload = buf[start..end].to_vec();
                buf.drain(..end);
                if opcode == 8 {
                    self.on_close(&payload);
                } else if !self.has_ended.get() {
                    self.on_frame(opcode, &payload);
                }
            }
            if self.has_ended.get() {
                break None;
            }
            while self.deaf_until.get() > self.world.now() && !self.has_ended.get() {
                let again = self.deaf_until.get().min(self.world.now().plus_ms(500));
                self.world.sleep_until(again).await;
            }
            match read.read(Vec::with_capacity(16 << 10)).await {
                (Ok(0), _) => break Some("the connection ended".to_owned()),
                (Ok(_), bytes) => {
                    self.state.borrow_mut().bytes += bytes.len() as u64;
                    buf.extend_from_slice(&bytes);
                }
                (Err(fault), _) => break Some(format!("reading: {fault}")),
            }
        };
        if let Some(ending) = ending.filter(|_| !self.is_leaving.get()) {
            let Expect { is_frail, is_well, .. } = self.expect;
            match self.was_deaf.get() && !is_well {
                true => self.count(|tally| tally.cut_off += 1),
                false if is_frail => {}
                false => self.violation(format!("{ending} without a close")),
            }
        }
        self.judge_silence();
        self.has_ended.set(true);
        self.filled.ring();
    }

    fn on_frame(&self, opcode: u8, payload: &[u8]) {
        match opcode {
            9 => self.send(0x8a, payload),
            1 => match serde_json::from_slice::<Value>(payload) {
                Ok(message) if message["method"] == "eth_subscription" => self.on_event(&message["params"]),
                Ok(message) => self.on_answer(&message),
                Err(fault) => self.violation(format!("not JSON: {fault}")),
            },
            other => self.violation(format!("opcode {other}")),
        }
    }

    fn on_event(&self, params: &Value) {
        let (event, now) = (&params["result"], self.world.now());
        let id = params["subscription"].as_str().unwrap_or_default();
        let shown = event["number"].as_str().or(event["blockNumber"].as_str()).unwrap_or("?");
        self.world.say(|| format!("{} is told by {id}: {shown} {} {}", self.name, event["logIndex"], event["removed"]));
        let mut state = self.state.borrow_mut();
        let is_past = state.past.contains(id);
        let Some(view) = state.live.get_mut(id) else {
            let what = if is_past { "after its end" } else { "before its answer" };
            return self.violation(format!("an event of {id} {what}: {event}"));
        };
        let waited_ms = now.since(view.heard).as_millis() as u64;
        if view.is_heads() && waited_ms > SILENCE_MS && !self.was_deaf.get() {
            self.violation(format!("{id} was silent for {waited_ms} ms"));
        }
        let is_head = view.is_heads();
        match view.on_event(&self.truth, event, now) {
            Ok(dropped) if view.is_heads() => {
                self.count(|tally| (tally.heads, tally.dropped) = (tally.heads + 1, tally.dropped + dropped));
            }
            Ok(_) if view.is_passed() => self.count(|tally| tally.passed += 1),
            Ok(_) if event["removed"] == true => self.count(|tally| tally.taken_back += 1),
            Ok(_) => self.count(|tally| tally.logs += 1),
            Err(what) => {
                self.violation(format!("{id}: {what}"));
                // What follows from it says nothing new.
                drop(state);
                return self.vanish();
            }
        }
        drop(state);
        if is_head {
            self.judge_logs();
        }
    }

    /// Whole in time, or closed: the logs of a block are, once its head was told.
    fn judge_logs(&self) {
        if self.was_deaf.get() || self.expect.is_thin() {
            return;
        }
        let state = self.state.borrow();
        let then = Instant(self.world.now().0.saturating_sub(LOGS_MS * 1_000_000));
        let settled = state.live.values().filter_map(|view| view.settled(then)).max_by_key(|tip| tip.height);
        let Some(tip) = settled else { return };
        for (id, view) in &state.live {
            if let Err(what) = view.has_logs_to(&self.truth, tip, then) {
                return self.violation(format!("{id}: {what}"));
            }
        }
    }

    fn on_answer(&self, message: &Value) {
        let (now, mut state) = (self.world.now(), self.state.borrow_mut());
        let Some(asked) = message["id"].as_u64().and_then(|id| state.pending.remove(&id)) else {
            return self.violation(format!("an answer that nobody waits for: {message}"));
        };
        self.world.say(|| format!("{} is answered {message}", self.name));
        let result = message["result"].as_str().map(str::to_owned);
        match asked.what {
            Pending::Call => {}
            Pending::Unsubscribe(id) => {
                if message["result"] != true {
                    self.violation(format!("{id} could not be ended: {message}"));
                }
                state.live.remove(&id);
                state.past.insert(id);
            }
            Pending::Resume(remembered) => {
                let waited_ms = now.since(asked.at).as_millis() as u64;
                let queued_ms = (state.bytes - asked.bytes) * 1_000 / self.expect.bytes_per_second;
                if waited_ms > RESUME_MS + queued_ms && !self.was_deaf.get() {
                    self.violation(format!("{} was resumed after {waited_ms} ms", remembered.params));
                }
                self.on_resumed(&mut state, *remembered, result, message);
            }
            Pending::Subscribe(params) => {
                let waited_ms = now.since(asked.at).as_millis() as u64;
                // Behind all that has come since.
                let queued_ms = (state.bytes - asked.bytes) * 1_000 / self.expect.bytes_per_second;
                if waited_ms > ANSWER_MS + queued_ms && !self.was_deaf.get() {
                    self.violation(format!("{params} was answered after {waited_ms} ms, {queued_ms} ms of them on its way"));
                }
                match result {
                    Some(id) => {
                        let is_id = id.len() == 34 && id.starts_with("0x") && !state.past.contains(&id);
                        if !is_id
                            || state.live.insert(id.clone(), View::new(&self.truth, &params, self.expect.is_well, now)).is_some()
                        {
                            self.violation(format!("no new id: {id}"));
                        }
                        state.params.insert(id, params);
                        self.count(|tally| tally.subscribed += 1);
                    }
                    None if self.expect.is_well => self.violation(format!("{params} was refused: {message}")),
                    None => self.count(|tally| tally.refused += 1),
                }
            }
        }
    }

    /// The chain has fallen: nobody has the blocks that it lost.
    fn has_fallen(&self) -> bool {
        let canonical = self.truth.canonical(self.world.now());
        self.truth.network.chain.forks.fell_at(canonical.branch) != Instant::ZERO
    }

    /// What it was told in an earlier life is gone with them.
    fn has_lost_past(&self) -> bool {
        self.has_fallen() && self.state.borrow().live.values().any(View::has_resumed)
    }

    fn on_resumed(&self, state: &mut State, remembered: Remembered, result: Option<String>, message: &Value) {
        let Remembered { params, mut view, .. } = remembered;
        // One that was told little may be of a block from long ago. The block of a chain that fell may still be given, and its
        // height is waited for.
        let text = message["error"]["message"].as_str().unwrap_or_default();
        let gone = ["reorganised away", "no provider knows", "no provider has", "blocks are missing", "could not be filled"];
        let is_gone = gone.iter().any(|what| text.contains(what));
        let is_old = text.contains("blocks back") || (is_gone && self.has_fallen());
        match result {
            Some(id) => {
                view.on_confirmed(self.world.now());
                state.live.insert(id.clone(), view);
                state.params.insert(id, params);
                self.count(|tally| tally.resumed += 1);
            }
            None if self.expect.is_well && !is_old => self.violation(format!("{params} was not resumed: {message}")),
            None => self.count(|tally| tally.not_resumed += 1),
        }
    }

    fn on_close(&self, payload: &[u8]) {
        self.has_ended.set(true);
        let code = payload.first_chunk::<2>().map_or(1005, |code| u16::from_be_bytes(*code));
        let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or(&[])).into_owned();
        self.world.say(|| format!("{} is closed: {code} {reason}", self.name));
        if self.is_leaving.get() {
            return;
        }
        let Expect { is_well, .. } = self.expect;
        let is_allowed = match code {
            1013 => !reason.is_empty() && (!is_well || (reason.contains("take back") && self.has_lost_past())),
            1008 => (self.was_deaf.get() || (self.expect.is_thin() && !is_well)) && reason.contains("slow"),
            1002 => self.was_deaf.get() && reason.contains("Heartbeat"),
            _ => false,
        };
        if !is_allowed {
            self.violation(format!("closed {code}: {reason}"));
        }
        match code {
            1013 => self.count(|tally| tally.given_up += 1),
            _ => self.count(|tally| tally.cut_off += 1),
        }
        let now = self.world.now();
        let state = self.state.borrow();
        let old = state.pending.values().filter(|asked| now >= asked.at.plus_ms(YOUNG_MS)).count();
        // A subscription is answered with its stream's end, too.
        if code == 1013 && old > 0 && !self.was_deaf.get() {
            self.violation(format!("closed with {old} calls unanswered"));
        }
        self.send(0x88, payload.get(..2).unwrap_or(&[]));
    }

    fn judge_silence(&self) {
        let now = self.world.now();
        let state = self.state.borrow();
        let longest =
            state.live.values().filter(|view| view.is_heads()).map(|view| now.since(view.heard).as_millis() as u64).max();
        if longest.is_some_and(|ms| ms > SILENCE_MS) && !self.was_deaf.get() {
            self.violation(format!("silent for {longest:?} ms to its end"));
        }
        drop(state);
        self.judge_logs();
    }
}

async fn write_all(write: &mut <SimStream as Duplex>::Write, mut left: Vec<u8>) -> std::io::Result<()> {
    while !left.is_empty() {
        let (outcome, bytes) = write.write(left).await;
        left = bytes[outcome?..].to_vec();
    }
    Ok(())
}
