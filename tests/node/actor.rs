//! Providers whose manners change while a test runs, that count what they are sent, and die and return.
//!
//! `provider.rs` scripts exact bytes and keeps every request; this one plays a part under load: a thread per connection,
//! counters, and an answer that may be late. The node's own questions are played too, so probes and heads are the part's.
//! Each actor has a loopback address of its own: its port is free for it again when it returns from the dead.

use crate::provider::{answer, ok, read_request, reset, with_status, write};
use std::io::{BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A request as an actor sees it.
pub struct Seen {
    pub method: String,
    /// Place among all requests to this actor, from 0.
    pub serial: u64,
    /// A question of the node's own.
    pub is_own: bool,
    pub at: Instant,
    /// Of a range of logs: the difference of its ends.
    pub width: Option<u64>,
    /// Its first parameter, where that is a text: a block's number or an address.
    pub first: String,
}

pub enum Say {
    /// This result, quotes included.
    Result(String),
    /// A JSON-RPC error object.
    Error(&'static str),
    /// Status line, header lines each ended, body.
    Status(&'static str, &'static str, &'static str),
    Reset,
    /// Not a byte, until the node gives up.
    Silence,
}

/// What to say, and after how long.
pub type Part = dyn Fn(&Seen) -> (Duration, Say) + Send + Sync;

struct Stage {
    part: Mutex<Arc<Part>>,
    /// Requests of clients, and of the node itself.
    calls: AtomicU64,
    own: AtomicU64,
    /// Counts the closings: a connection of an earlier life ends.
    life: AtomicU32,
    streams: Mutex<Vec<TcpStream>>,
    is_open: AtomicBool,
}

#[derive(Clone)]
pub struct Actor {
    pub address: SocketAddr,
    stage: Arc<Stage>,
}

impl Actor {
    pub fn new(part: impl Fn(&Seen) -> (Duration, Say) + Send + Sync + 'static) -> Actor {
        let actor = Actor::dead(part);
        actor.open();
        actor
    }

    /// One that refuses connections until it is opened.
    pub fn dead(part: impl Fn(&Seen) -> (Duration, Say) + Send + Sync + 'static) -> Actor {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let [_, _, high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        // The process is in the address, for two runs on one machine.
        let own = IpAddr::V4(Ipv4Addr::new(127, 1 + (std::process::id() % 250) as u8, high, low));
        let stage = Stage {
            part: Mutex::new(Arc::new(part)),
            calls: AtomicU64::new(0),
            own: AtomicU64::new(0),
            life: AtomicU32::new(0),
            streams: Mutex::default(),
            is_open: AtomicBool::new(false),
        };
        Actor { address: SocketAddr::new(own, 8545), stage: Arc::new(stage) }
    }

    /// Plays this part from now on.
    pub fn play(&self, part: impl Fn(&Seen) -> (Duration, Say) + Send + Sync + 'static) {
        *self.stage.part.lock().expect("no panic") = Arc::new(part);
    }

    /// Client calls it was sent so far.
    pub fn calls(&self) -> u64 {
        self.stage.calls.load(Ordering::SeqCst)
    }

    /// The node's own questions so far.
    pub fn own(&self) -> u64 {
        self.stage.own.load(Ordering::SeqCst)
    }

    /// Accepts connections.
    pub fn open(&self) {
        let listener = TcpListener::bind(self.address).expect("its own address");
        assert!(!self.stage.is_open.swap(true, Ordering::SeqCst), "it is open");
        let stage = self.stage.clone();
        let life = stage.life.load(Ordering::SeqCst);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stage.life.load(Ordering::SeqCst) != life {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (stage, kept) = (stage.clone(), stream.try_clone().expect("a handle"));
                stage.streams.lock().expect("no panic").push(kept);
                std::thread::spawn(move || stage.serve(stream, life));
            }
            drop(listener);
            stage.is_open.store(false, Ordering::SeqCst);
        });
    }

    /// From when this returns, connections are refused; those that were open are reset.
    pub fn close(&self) {
        self.stage.life.fetch_add(1, Ordering::SeqCst);
        while self.stage.is_open.load(Ordering::SeqCst) {
            // Wakes `accept`.
            let _ = TcpStream::connect(self.address);
            std::thread::sleep(Duration::from_millis(1));
        }
        self.stage.streams.lock().expect("no panic").drain(..).for_each(|stream| reset(&stream));
    }
}

impl Stage {
    fn serve(&self, mut stream: TcpStream, life: u32) {
        let _ = stream.set_nodelay(true);
        let Ok(handle) = stream.try_clone() else { return };
        let mut reader = BufReader::new(handle);
        while let Some(body) = read_request(&mut reader) {
            if self.life.load(Ordering::SeqCst) != life {
                return reset(&stream);
            }
            let (id, seen) = self.see(&body);
            let part = self.part.lock().expect("no panic").clone();
            let (after, say) = part(&seen);
            std::thread::sleep(after);
            let goes_on = match say {
                Say::Result(result) => write(&mut stream, &answer(&ok(&id, &result))),
                Say::Error(error) => write(&mut stream, &answer(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#))),
                Say::Status(status, fields, text) => write(&mut stream, &with_status(status, fields, text)),
                Say::Reset => return reset(&stream),
                Say::Silence => {
                    let _ = stream.read(&mut [0; 1]);
                    false
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    fn see(&self, body: &str) -> (String, Seen) {
        let value: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let id = value["id"].to_string();
        let is_own = id.starts_with("\"lasso-");
        let before = self.calls.load(Ordering::SeqCst) + self.own.load(Ordering::SeqCst);
        let counter = if is_own { &self.own } else { &self.calls };
        counter.fetch_add(1, Ordering::SeqCst);
        let method = value["method"].as_str().unwrap_or("").to_owned();
        let block = |key: &str| u64::from_str_radix(value["params"][0][key].as_str()?.strip_prefix("0x")?, 16).ok();
        let width = block("toBlock").zip(block("fromBlock")).map(|(to, from)| to - from);
        let first = value["params"][0].as_str().unwrap_or_default().to_owned();
        (id, Seen { method, serial: before, is_own, at: Instant::now(), width, first })
    }
}

/// What a healthy provider of chain 1 at this height says to the node's own questions and to calls.
pub fn healthy(seen: &Seen, height: u64) -> Say {
    Say::Result(match seen.method.as_str() {
        "eth_chainId" => "\"0x1\"".to_owned(),
        "eth_blockNumber" => format!("\"{height:#x}\""),
        // A height that rests on one provider's word is believed when its block is served.
        "eth_getBlockByNumber" => format!(r#"{{"number":"{}","timestamp":"0x5","transactions":[]}}"#, seen.first),
        "eth_getLogs" => "[]".to_owned(),
        _ => "\"0x600d\"".to_owned(),
    })
}

/// Healthy, and as fast as this.
pub fn steady(latency_ms: u64) -> impl Fn(&Seen) -> (Duration, Say) + Send + Sync {
    move |seen| (Duration::from_millis(latency_ms), healthy(seen, 100))
}

/// Resets whatever it is asked.
pub fn resetting(_: &Seen) -> (Duration, Say) {
    (Duration::ZERO, Say::Reset)
}

/// A draw that depends on `serial` only: true for `percent` of all.
pub fn happens(serial: u64, percent: u64) -> bool {
    let mixed = (serial + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) % 100 < percent
}
