//! Providers of one model chain, over HTTP and WebSocket on one port: heads, a log in each block, and blocks for whoever asks.
//!
//! A chain is grown by the test; every provider of it tells its subscribers at once. A provider can be killed (its port
//! refuses, its connections end) and revived, and counts the subscriptions of each key that it ever held at once.

use crate::provider::{answer, read_request, write};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::BufReader;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tungstenite::{Message, WebSocket};

/// Whose logs there are.
pub const ADDRESS: &str = "0x00000000000000000000000000000000000000ab";
const TOPIC: &str = "0x89e703998a4a2f9a875399f420ba8ca67bb71952ecb8e87599cf13d528f65972";
/// The genesis of tests is recent.
const FIRST_HEIGHT: u64 = 1_000;

/// Blocks from `FIRST_HEIGHT` on, the newest last.
#[derive(Clone)]
pub struct Chain(Arc<Mutex<Vec<Block>>>);

#[derive(Clone)]
struct Block {
    head: Value,
}

fn hash(number: u64) -> String {
    format!("0x{:016x}{number:048x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn hex(number: u64) -> String {
    format!("0x{number:x}")
}

fn number(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

fn block(number: u64) -> Block {
    let zeros = |bytes: usize| format!("0x{}", "0".repeat(2 * bytes));
    let head = json!({
        "parentHash": hash(number - 1), "sha3Uncles": hash(1), "miner": zeros(20), "stateRoot": hash(2), "transactionsRoot": hash(3),
        // Every log may be in it.
        "receiptsRoot": hash(4), "logsBloom": format!("0x{}", "f".repeat(512)), "difficulty": "0x0", "number": hex(number),
        "gasLimit": "0x1c9c380", "gasUsed": "0xf4240", "timestamp": hex(1_700_000_000 + number), "extraData": "0x",
        "mixHash": hash(5), "nonce": zeros(8), "baseFeePerGas": "0x7", "hash": hash(number),
    });
    Block { head }
}

fn log(number: u64) -> Value {
    json!({
        "address": ADDRESS, "topics": [TOPIC], "data": format!("0x{number:064x}"), "blockNumber": hex(number), "blockHash": hash(number),
        "blockTimestamp": hex(1_700_000_000 + number), "transactionHash": hash(number << 8), "transactionIndex": "0x0", "logIndex": "0x0",
        "removed": false,
    })
}

impl Chain {
    pub fn new() -> Chain {
        Chain(Arc::new(Mutex::new((FIRST_HEIGHT - 3..=FIRST_HEIGHT).map(block).collect())))
    }

    fn blocks(&self) -> MutexGuard<'_, Vec<Block>> {
        self.0.lock().expect("no panic")
    }

    pub fn height(&self) -> u64 {
        FIRST_HEIGHT - 4 + self.blocks().len() as u64
    }

    /// Adds a block; its number.
    pub fn mine(&self) -> u64 {
        let next = self.height() + 1;
        self.blocks().push(block(next));
        next
    }

    fn at(&self, number: u64) -> Option<Block> {
        let place = number.checked_sub(FIRST_HEIGHT - 3)?;
        self.blocks().get(place as usize).cloned()
    }

    fn by_word(&self, word: &str) -> Option<Block> {
        let height = self.height();
        match word {
            "latest" | "pending" => self.at(height),
            "safe" | "finalized" | "earliest" => self.at(FIRST_HEIGHT - 3),
            // Of a hash the end is the number.
            hex if hex.len() == 66 => {
                number(&format!("0x{}", &hex[50..])).and_then(|n| self.at(n)).filter(|b| b.head["hash"] == hex)
            }
            hex => number(hex).and_then(|n| self.at(n)),
        }
    }

    fn logs(&self, filter: &Value) -> Value {
        if !matches_filter(filter) {
            return json!([]);
        }
        let word = |name: &str| filter[name].as_str().unwrap_or("latest").to_owned();
        let of = |block: &Block| number(block.head["number"].as_str().unwrap_or("")).unwrap_or(0);
        if let Some(hash) = filter["blockHash"].as_str() {
            return self.by_word(hash).map_or(json!([]), |block| json!([log(of(&block))]));
        }
        let (from, to) = (self.by_word(&word("fromBlock")), self.by_word(&word("toBlock")));
        let height = self.height();
        let range = from.map_or(height + 1, |b| of(&b))..=to.map_or(height, |b| of(&b));
        Value::Array(range.map(log).collect())
    }
}

fn matches_filter(filter: &Value) -> bool {
    let is_ours = |address: &Value| address.as_str().is_some_and(|a| a.eq_ignore_ascii_case(ADDRESS));
    match &filter["address"] {
        Value::Null => true,
        Value::Array(list) => list.iter().any(is_ours),
        one => is_ours(one),
    }
}

/// Subscriptions of one key now, and the most there ever were at once.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Count {
    pub now: usize,
    pub most: usize,
    pub total: usize,
}

/// One provider.
#[derive(Clone)]
pub struct Feed {
    pub address: SocketAddr,
    chain: Chain,
    counts: Arc<Mutex<HashMap<String, Count>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    is_dead: Arc<AtomicBool>,
    /// Its subscriptions tell nothing; whoever asks is answered.
    is_mute: Arc<AtomicBool>,
    /// How often all connections were ended: what an earlier one still does counts for nothing.
    cuts: Arc<AtomicU64>,
}

impl Feed {
    pub fn new(chain: &Chain) -> Feed {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let (counts, open, is_dead, is_mute, cuts) = Default::default();
        let feed = Feed { address, chain: chain.clone(), counts, open, is_dead, is_mute, cuts };
        feed.accept(listener);
        feed
    }

    fn accept(&self, listener: TcpListener) {
        let feed = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if feed.is_dead.load(Ordering::SeqCst) {
                    return;
                }
                feed.open.lock().expect("no panic").push(stream.try_clone().expect("a handle"));
                let feed = feed.clone();
                std::thread::spawn(move || feed.serve(stream));
            }
        });
    }

    /// Ends every connection and refuses new ones.
    pub fn kill(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
        // Wakes the listener, which ends.
        let _ = TcpStream::connect(self.address);
        self.cut();
    }

    /// Ends every connection; new ones are welcome.
    pub fn cut(&self) {
        // Before the other side can know: it may be back before a thread of ours has noticed.
        let mut counts = self.counts.lock().expect("no panic");
        self.cuts.fetch_add(1, Ordering::SeqCst);
        counts.values_mut().for_each(|count| count.now = 0);
        drop(counts);
        for stream in self.open.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn revive(&self) {
        self.is_dead.store(false, Ordering::SeqCst);
        self.accept(TcpListener::bind(self.address).expect("its port again"));
    }

    pub fn mute(&self, is_mute: bool) {
        self.is_mute.store(is_mute, Ordering::SeqCst);
    }

    /// What was subscribed to, by canonical parameters.
    pub fn counts(&self) -> HashMap<String, Count> {
        self.counts.lock().expect("no panic").clone()
    }

    pub fn count(&self, key: &str) -> Count {
        self.counts().get(key).copied().unwrap_or_default()
    }

    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).expect("no delay");
        let mut first = [0; 4];
        match stream.peek(&mut first) {
            Ok(4) if first == *b"GET " => self.serve_socket(stream),
            Ok(1..) => self.serve_http(stream),
            _ => {}
        }
    }

    fn serve_http(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
        while let Some(body) = read_request(&mut reader) {
            let call: Value = serde_json::from_str(&body).unwrap_or_default();
            let one = |call: &Value| json!({"jsonrpc": "2.0", "id": call["id"], "result": self.result(call)});
            let text = match &call {
                Value::Array(calls) => Value::Array(calls.iter().map(one).collect()),
                call => one(call),
            };
            if !write(&mut stream, &answer(&text.to_string())) {
                return;
            }
        }
    }

    fn result(&self, call: &Value) -> Value {
        let first = &call["params"][0];
        match call["method"].as_str().unwrap_or("") {
            "eth_chainId" => json!("0x1"),
            "eth_blockNumber" => json!(hex(self.chain.height())),
            "eth_getBlockByNumber" | "eth_getBlockByHash" => {
                let found = self.chain.by_word(first.as_str().unwrap_or(""));
                found.map_or(Value::Null, |block| with_body(block.head))
            }
            "eth_getLogs" => self.chain.logs(first),
            "eth_syncing" => json!(false),
            _ => json!("0x1"),
        }
    }

    fn serve_socket(&self, stream: TcpStream) {
        let cuts = self.cuts.load(Ordering::SeqCst);
        let Ok(mut ws) = tungstenite::accept(stream) else { return };
        ws.get_ref().set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
        let mut subscriptions: Vec<Subscription> = Vec::new();
        loop {
            let goes_on = match ws.read() {
                Ok(Message::Text(text)) => {
                    let call = serde_json::from_str(&text).unwrap_or_default();
                    let result = self.subscribe(&call, &mut subscriptions, cuts).unwrap_or_else(|| self.result(&call));
                    ws.send(Message::text(json!({"jsonrpc": "2.0", "id": call["id"], "result": result}).to_string())).is_ok()
                }
                Ok(_) => true,
                Err(tungstenite::Error::Io(e))
                    if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
                {
                    true
                }
                Err(_) => false,
            };
            if !goes_on || !self.tell(&mut ws, &mut subscriptions) {
                break;
            }
        }
        subscriptions.iter().for_each(|one| self.counted(&one.key, false, cuts));
    }

    fn counted(&self, key: &str, is_new: bool, cuts: u64) {
        let mut counts = self.counts.lock().expect("no panic");
        if self.cuts.load(Ordering::SeqCst) != cuts {
            return;
        }
        let count = counts.entry(key.to_owned()).or_default();
        if is_new {
            count.now += 1;
            count.total += 1;
            count.most = count.most.max(count.now);
        } else {
            count.now -= 1;
        }
    }

    fn subscribe(&self, call: &Value, subscriptions: &mut Vec<Subscription>, cuts: u64) -> Option<Value> {
        let params = &call["params"];
        match call["method"].as_str()? {
            "eth_subscribe" => {
                let key = canonical(params);
                self.counted(&key, true, cuts);
                let id = format!("0x{:032x}", subscriptions.len() + 0xfeed);
                subscriptions.push(Subscription { id: id.clone(), key, params: params.clone(), told: self.chain.height() });
                Some(json!(id))
            }
            "eth_unsubscribe" => {
                let place = subscriptions.iter().position(|one| params[0] == *one.id);
                let ended = place.map(|place| subscriptions.remove(place));
                ended.iter().for_each(|one| self.counted(&one.key, false, cuts));
                Some(json!(ended.is_some()))
            }
            _ => None,
        }
    }

    /// What is new to each subscription; whether the connection goes on.
    fn tell(&self, ws: &mut WebSocket<TcpStream>, subscriptions: &mut [Subscription]) -> bool {
        let height = self.chain.height();
        let is_mute = self.is_mute.load(Ordering::SeqCst);
        subscriptions.iter_mut().all(|one| {
            (one.told + 1..=height).all(|number| {
                one.told = number;
                let event = match one.params[0].as_str() {
                    _ if is_mute => None,
                    Some("newHeads") => self.chain.at(number).map(|block| block.head),
                    Some("logs") if matches_filter(&one.params[1]) => Some(log(number)),
                    Some("newPendingTransactions") => Some(json!(hash(number << 16))),
                    _ => None,
                };
                event.is_none_or(|event| {
                    let params = json!({"subscription": one.id, "result": event});
                    let text = json!({"jsonrpc": "2.0", "method": "eth_subscription", "params": params}).to_string();
                    ws.send(Message::text(text)).is_ok()
                })
            })
        })
    }
}

struct Subscription {
    id: String,
    key: String,
    params: Value,
    /// The last block that it knows.
    told: u64,
}

/// What a block has beside its header.
fn with_body(mut head: Value) -> Value {
    head["transactions"] = json!([]);
    head["uncles"] = json!([]);
    head["size"] = json!("0x220");
    head
}

/// Parameters that mean the same are the same: case, a list of one, no filter.
fn canonical(params: &Value) -> String {
    let mut filter = params[1].clone();
    if let Value::Object(map) = &mut filter {
        map.retain(|_, value| !value.is_null() && *value != json!([]));
        if let Some(Value::Array(list)) = map.get("address")
            && let [one] = &list[..]
        {
            let one = one.clone();
            map.insert("address".to_owned(), one);
        }
    }
    let text = if filter == json!({}) || filter.is_null() { String::new() } else { filter.to_string() };
    format!("{} {text}", params[0].as_str().unwrap_or("?")).trim().to_lowercase()
}
