//! A provider whose chain grows by the clock, over HTTP and WebSocket: heads and logs for subscriptions, and blocks for whoever asks.
//!
//! Subscribed to directly it is the bare loop that a node's fan-out is measured against: one task a connection, and for
//! each head one write of bytes that were made once. A head's `extraData` is the monotonic clock of this machine at its
//! making, in nanoseconds, so that any process may tell how long it was under way. `GET /counts` says how many
//! subscriptions there are, ever were and most were at once.

use crate::args::Heads;
use crate::logs::{self, Spread};
use crate::{call, frame, ring, scan};
use bytes::Bytes;
use monoio::io::{AsyncWriteRent, AsyncWriteRentExt, Splitable};
use monoio::net::tcp::{TcpOwnedReadHalf, TcpOwnedWriteHalf};
use monoio::net::{TcpListener, TcpStream};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// The height at the start.
const FIRST_HEIGHT: u64 = 20_000_000;
/// Heads that are kept for connections that lag, and for questions by hash.
const KEPT_HEADS: usize = 32_768;
const MAX_INPUT_BYTES: usize = 1 << 20;

struct Head {
    number: u64,
    stamp: u64,
    /// For the first subscription of a connection, which is nearly always the only one.
    frame: Bytes,
    /// The same of its logs, by filter.
    logs: Vec<Bytes>,
}

struct Chain {
    chain_number: u64,
    spread: Spread,
    /// Calls of `eth_getLogs` that were answered.
    logs_asked: Cell<u64>,
    /// The newest last; never empty.
    heads: RefCell<VecDeque<Head>>,
    waiting: RefCell<Vec<Waker>>,
    now: Cell<u64>,
    most: Cell<u64>,
    total: Cell<u64>,
}

pub fn run(options: Heads) -> Result<(), String> {
    ring::run(options.driver, async |driver| serve(options, driver).await)?
}

async fn serve(options: Heads, driver: &str) -> Result<(), String> {
    let listener = ring::listen(options.listen)?;
    let at = listener.local_addr().map_err(|e| e.to_string())?;
    let chain = Rc::new(Chain::new(options.chain_number, options.spread));
    println!("{}", json!({"event": "heads.ready", "driver": driver, "listen": at.to_string()}));
    monoio::spawn(accept(listener, chain.clone()));
    loop {
        monoio::time::sleep(options.interval).await;
        chain.grow(options.burst);
    }
}

async fn accept(listener: TcpListener, chain: Rc<Chain>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                monoio::spawn(converse(stream, chain.clone()));
            }
            // Out of files: wait for some to come back.
            Err(_) => monoio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Nanoseconds of the clock that all processes of a machine share.
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a live local; the clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The id of a connection's subscription, as long as lasso's own.
fn subscription(place: usize) -> String {
    format!("0x{:032x}", place + 1)
}

fn notification(place: usize, block: &Value) -> Bytes {
    logs::notification(&subscription(place), block).into()
}

fn hash(number: u64) -> String {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("0x{mixed:016x}{:016x}{number:032x}", mixed.rotate_left(31))
}

/// A header as geth writes it: the size is what counts.
fn block(number: u64, stamp: u64) -> Value {
    let zeros = |bytes: usize| format!("0x{}", "0".repeat(2 * bytes));
    json!({
        "parentHash": hash(number - 1), "sha3Uncles": hash(1), "miner": zeros(20), "stateRoot": hash(2), "transactionsRoot": hash(3),
        "receiptsRoot": hash(4), "logsBloom": zeros(256), "difficulty": "0x0", "number": format!("0x{number:x}"),
        "gasLimit": "0x1c9c380", "gasUsed": "0xf4240", "timestamp": format!("0x{:x}", 1_700_000_000 + number),
        "extraData": format!("0x{stamp:016x}"), "mixHash": hash(5), "nonce": zeros(8), "baseFeePerGas": "0x7",
        "withdrawalsRoot": hash(6), "blobGasUsed": "0x0", "excessBlobGas": "0x0", "parentBeaconBlockRoot": hash(7), "hash": hash(number),
    })
}

impl Chain {
    fn new(chain_number: u64, spread: Spread) -> Chain {
        let chain = Chain {
            chain_number,
            spread,
            logs_asked: Cell::new(0),
            heads: RefCell::default(),
            waiting: RefCell::default(),
            now: Cell::new(0),
            most: Cell::new(0),
            total: Cell::new(0),
        };
        chain.push(FIRST_HEIGHT);
        chain
    }

    fn push(&self, number: u64) {
        let stamp = monotonic_ns();
        let mut heads = self.heads.borrow_mut();
        let logs = self.spread.frames(&subscription(0), (number, &hash(number), stamp));
        heads.push_back(Head { number, stamp, frame: notification(0, &block(number, stamp)), logs });
        if heads.len() > KEPT_HEADS {
            heads.pop_front();
        }
    }

    fn grow(&self, count: u32) {
        (0..count).for_each(|_| self.push(self.newest() + 1));
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    fn newest(&self) -> u64 {
        self.heads.borrow().back().map_or(FIRST_HEIGHT, |head| head.number)
    }

    fn stamp_of(&self, number: u64) -> u64 {
        self.heads.borrow().iter().rev().find(|head| head.number == number).map_or(0, |head| head.stamp)
    }

    fn by_number(&self, word: &str) -> Value {
        let newest = self.newest();
        let number = match word {
            "latest" | "pending" => newest,
            "safe" | "finalized" => newest - 64,
            "earliest" => 1,
            hex => match hex.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok()) {
                Some(number @ 1..) => number,
                _ => return Value::Null,
            },
        };
        if number > newest { Value::Null } else { whole(block(number, self.stamp_of(number))) }
    }

    fn by_hash(&self, wanted: &str) -> Value {
        let number = wanted.get(34..).and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let number = number.filter(|number| (1..=self.newest()).contains(number) && hash(*number) == wanted);
        number.map_or(Value::Null, |number| whole(block(number, self.stamp_of(number))))
    }

    /// The logs of one block, which is named by its hash.
    fn logs(&self, filter: &Value) -> Value {
        self.logs_asked.set(self.logs_asked.get() + 1);
        let wanted = filter["blockHash"].as_str().unwrap_or("");
        let number = wanted.get(34..).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
        if hash(number) != wanted || number > self.newest() {
            return json!([]);
        }
        json!(self.spread.of_block((number, wanted, self.stamp_of(number)), &self.spread.wanted(filter)))
    }

    fn subscribed(&self, by: i64) {
        self.now.set(self.now.get().saturating_add_signed(by));
        self.most.set(self.most.get().max(self.now.get()));
        self.total.set(self.total.get() + u64::from(by > 0));
    }

    /// The answer to a call that needs no connection.
    fn result(&self, call: &Value) -> Value {
        let first = call["params"][0].as_str().unwrap_or("");
        match call["method"].as_str().unwrap_or("") {
            "eth_chainId" => json!(format!("0x{:x}", self.chain_number)),
            "net_version" => json!(self.chain_number.to_string()),
            "eth_blockNumber" => json!(format!("0x{:x}", self.newest())),
            "eth_getBlockByNumber" => self.by_number(first),
            "eth_getBlockByHash" => self.by_hash(first),
            "eth_getLogs" => self.logs(&call["params"][0]),
            "eth_syncing" => json!(false),
            _ => json!("0x1"),
        }
    }

    fn answer(&self, body: &[u8]) -> String {
        let one = |call: &Value| json!({"jsonrpc": "2.0", "id": call["id"], "result": self.result(call)});
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Array(calls)) => Value::Array(calls.iter().map(one).collect()).to_string(),
            Ok(call) => one(&call).to_string(),
            Err(e) => json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": e.to_string()}}).to_string(),
        }
    }
}

/// What a block has beside its header.
fn whole(mut block: Value) -> Value {
    block["transactions"] = json!([]);
    block["uncles"] = json!([]);
    block["size"] = json!("0x220");
    block
}

/// HTTP until an upgrade; a dead connection needs no words.
async fn converse(mut stream: TcpStream, chain: Rc<Chain>) {
    let mut input = Vec::with_capacity(2048);
    loop {
        let (result, back) = call::read_more(&mut stream, input).await;
        input = back;
        if !matches!(result, Ok(1..)) || input.len() > MAX_INPUT_BYTES {
            return;
        }
        while let Some(head) = scan::head(&input) {
            let text = String::from_utf8_lossy(&input[..head.len]).to_ascii_lowercase();
            if text.contains("upgrade: websocket") {
                let rest = input.split_off(head.len);
                return upgrade(stream, &input, rest, chain).await;
            }
            let length = if let scan::Framing::Length(length) = head.framing { length } else { 0 };
            let Some(body) = input.get(head.len..head.len + length) else { break };
            let counts = || json!({"now": chain.now.get(), "most": chain.most.get(), "total": chain.total.get(), "height": chain.newest(), "logs_asked": chain.logs_asked.get()});
            let body = if text.starts_with("get /counts") { counts().to_string() } else { chain.answer(body) };
            let head_text =
                format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
            if stream.write_all((head_text + &body).into_bytes()).await.0.is_err() {
                return;
            }
            input.drain(..head.len + length);
        }
    }
}

/// A subscription that goes on.
#[derive(Clone, Copy)]
struct Following {
    next: u64,
    /// Logs of this filter; else heads.
    filter: Option<u64>,
}

/// One WebSocket: what waits to be written to it beside events, and its subscriptions.
#[derive(Default)]
struct Link {
    replies: RefCell<Vec<u8>>,
    /// By place; an ended one is nothing.
    next: RefCell<Vec<Option<Following>>>,
    has_ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

async fn upgrade(mut stream: TcpStream, head: &[u8], rest: Vec<u8>, chain: Rc<Chain>) {
    let Some(answer) = frame::acceptance(head) else { return };
    if stream.write_all(answer.into_bytes()).await.0.is_err() {
        return;
    }
    let (read, write) = stream.into_split();
    let link = Rc::new(Link::default());
    monoio::spawn(write_all(write, chain.clone(), link.clone()));
    listen(read, rest, &chain, &link).await;
    link.has_ended.set(true);
    let open = link.next.borrow().iter().flatten().count();
    chain.subscribed(-(open as i64));
    link.wake();
}

async fn listen(mut read: TcpOwnedReadHalf, mut input: Vec<u8>, chain: &Chain, link: &Link) {
    loop {
        while let Ok(Some(head)) = frame::head(&input) {
            let end = head.len + head.length;
            let Some(payload) = input.get_mut(head.len..end) else { break };
            frame::mask(payload, head.mask.unwrap_or_default());
            match head.opcode {
                frame::TEXT => link.reply(frame::TEXT, link.answer(chain, payload).as_bytes()),
                frame::PING => link.reply(frame::PONG, payload),
                frame::CLOSE => return link.reply(frame::CLOSE, payload),
                _ => {}
            }
            input.drain(..end);
        }
        let (result, back) = call::read_more(&mut read, input).await;
        input = back;
        if !matches!(result, Ok(1..)) || input.len() > MAX_INPUT_BYTES {
            return;
        }
    }
}

impl Link {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn reply(&self, opcode: u8, payload: &[u8]) {
        self.replies.borrow_mut().extend_from_slice(&frame::from_server(opcode, payload));
        self.wake();
    }

    fn answer(&self, chain: &Chain, body: &[u8]) -> String {
        let call: Value = serde_json::from_slice(body).unwrap_or_default();
        let result = match (call["method"].as_str(), call["params"][0].as_str()) {
            (Some("eth_subscribe"), kind) => {
                let mut next = self.next.borrow_mut();
                let filter = chain.spread.wanted(&call["params"][1]).first().copied().filter(|_| kind == Some("logs"));
                // Other kinds than heads and logs never have an event.
                let has_events = kind == Some("newHeads") || filter.is_some();
                next.push(Some(Following { next: if has_events { chain.newest() + 1 } else { u64::MAX }, filter }));
                chain.subscribed(1);
                json!(subscription(next.len() - 1))
            }
            (Some("eth_unsubscribe"), Some(id)) => {
                let mut next = self.next.borrow_mut();
                let found = (0..next.len()).find(|place| subscription(*place) == id).and_then(|place| next[place].take());
                chain.subscribed(-i64::from(found.is_some()));
                json!(found.is_some())
            }
            _ => return chain.answer(body),
        };
        json!({"jsonrpc": "2.0", "id": call["id"], "result": result}).to_string()
    }

    /// What is to be written next.
    fn take(&self, chain: &Chain) -> Option<Bytes> {
        let mut replies = self.replies.borrow_mut();
        if !replies.is_empty() {
            return Some(std::mem::take(&mut *replies).into());
        }
        let heads = chain.heads.borrow();
        let first = heads.front()?.number;
        for (place, next) in self.next.borrow_mut().iter_mut().enumerate() {
            let Some(Following { next: number, filter }) = next else { continue };
            if *number < first {
                // Too far behind to be told everything: the end is better than a hole.
                self.has_ended.set(true);
                return None;
            }
            let found = number.checked_sub(first).and_then(|at| heads.get(at as usize));
            let Some(head) = found else { continue };
            *number += 1;
            return Some(match filter {
                Some(filter) => head.logs.get(*filter as usize)?.clone(),
                None if place == 0 => head.frame.clone(),
                None => notification(place, &block(head.number, head.stamp)),
            });
        }
        None
    }
}

async fn write_all(mut to: TcpOwnedWriteHalf, chain: Rc<Chain>, link: Rc<Link>) {
    loop {
        let next = poll_fn(|context| match link.take(&chain) {
            Some(bytes) => Poll::Ready(Some(bytes)),
            None if link.has_ended.get() => Poll::Ready(None),
            None => {
                // By a reply and by a head alike; a waker that is left behind wakes for nothing once.
                let has_heads = link.next.borrow().iter().flatten().next().is_some();
                if has_heads {
                    chain.waiting.borrow_mut().push(context.waker().clone());
                }
                *link.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        });
        let Some(bytes) = next.await else { break };
        if to.write_all(bytes).await.0.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_one_and_subscriptions_are_counted() {
        let chain = Chain::new(5, Spread::default());
        let link = Link::default();
        let ask =
            |text: &str| serde_json::from_str::<Value>(&link.answer(&chain, text.as_bytes())).expect("json")["result"].clone();
        let id = ask(r#"{"id":1,"method":"eth_subscribe","params":["newHeads"]}"#);
        ask(r#"{"id":2,"method":"eth_subscribe","params":["logs",{}]}"#);
        assert_eq!(id.as_str().map(str::len), Some(34));
        assert!(link.take(&chain).is_none());
        chain.grow(3);
        let mut parent = hash(FIRST_HEIGHT);
        for number in FIRST_HEIGHT + 1..=FIRST_HEIGHT + 3 {
            let frame = link.take(&chain).expect("a head");
            let head = frame::head(&frame).expect("a frame").expect("whole");
            let event: Value = serde_json::from_slice(&frame[head.len..]).expect("json");
            let got = &event["params"]["result"];
            assert_eq!((&event["params"]["subscription"], got["parentHash"].as_str()), (&id, Some(parent.as_str())));
            assert_eq!(got["number"], format!("0x{number:x}"));
            let again = chain.by_hash(got["hash"].as_str().expect("a hash"));
            assert_eq!((&again["number"], &again["extraData"]), (&got["number"], &got["extraData"]));
            parent = hash(number);
        }
        assert!(link.take(&chain).is_none());
        assert_eq!(ask(&format!(r#"{{"id":3,"method":"eth_unsubscribe","params":[{id}]}}"#)), true);
        assert_eq!(ask(&format!(r#"{{"id":3,"method":"eth_unsubscribe","params":[{id}]}}"#)), false);
        assert_eq!((chain.now.get(), chain.most.get(), chain.total.get()), (1, 2, 2));
        chain.grow(1);
        assert!(link.take(&chain).is_none());
        assert_eq!(chain.by_number("0xffffffffffff"), Value::Null);
        assert_eq!(chain.by_hash("0x12"), Value::Null);
    }
}
