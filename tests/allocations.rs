//! A canonical call in steady state allocates nothing on its shard: counted, on both drivers, over real sockets.
//!
//! Only the shard's thread is counted. Its sweeps arm a timer a hundred times a second, whatever the calls, so the
//! bound is a fraction of an allocation a call and not exactly none.

use lasso::base::limits;
use lasso::config::topology::Strategy;
use lasso::config::{self, SourceFile};
use lasso::observe::spans::Sampler;
use lasso::route::limit::TrustedProxies;
use lasso::runtime::driver::DriverChoice;
use lasso::runtime::journal::Losses;
use lasso::runtime::listen::Listeners;
use lasso::runtime::spans::Spans;
use lasso::runtime::tls::TlsSettings;
use lasso::runtime::uring::{self, ShardOptions};
use lasso::runtime::world::World;
use lasso::shard::{Fault, Node, Settings, Shard};
use lasso::snapshot::Snapshot;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

thread_local!(static COUNTED: Cell<bool> = const { Cell::new(false) });
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

fn count() {
    if COUNTED.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's own promise.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CALL: &[u8] =
    br#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x0000000000000000000000000000000000000001","latest"]}"#;
const WARM_UP: usize = 500;
const CALLS: usize = 4000;

/// A provider on a thread of its own that answers every call with `result`.
fn provider(result: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":"{result}"}}"#);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.expect("a connection"), answer.clone());
            thread::spawn(move || {
                let mut buf = [0; 16384];
                // Every call is one segment on loopback.
                while matches!(stream.read(&mut buf), Ok(1..)) && stream.write_all(answer.as_bytes()).is_ok() {}
            });
        }
    });
    address
}

fn node(provider: SocketAddr, spans: Option<Arc<Spans>>) -> Arc<Node> {
    let text = format!(
        "---\nname: t\nslug: default\nrps_limit: 1000000\nburst_limit: 1000000\n---\nchains:\n  one:\n    chain_id: 1\n    providers:\n      - id: a\n        url: \"http://{provider}\"\n"
    );
    let loaded = config::load(&[SourceFile { name: "default.yml".into(), text }], &|_| None).expect("a profile");
    let settings = Settings {
        node_id: "t".into(),
        region: "t".into(),
        scheme: None,
        host: "localhost".into(),
        shards: 1,
        trusted_proxies: TrustedProxies::loopback(),
        client_connections_max: limits::CLIENTS_MAX,
        request_log_rate: limits::REQUEST_LOG_RATE,
        started: uring::wall_now(),
        spans,
        recorder: None,
        log_losses: Losses::default(),
        cluster: None,
    };
    Node::new(settings, Snapshot::new(loaded.topology, Strategy::Priority, "t", 2), uring::process_secret())
}

fn shard(provider: SocketAddr, driver: DriverChoice, spans: Option<Arc<Spans>>) -> SocketAddr {
    let listeners = Listeners::bind("127.0.0.1:0".parse().expect("an address"), 1, false).expect("a port");
    listeners.open().expect("it listens");
    let address = listeners.address();
    let node = node(provider, spans);
    node.ready.raise();
    thread::spawn(move || {
        let tls = TlsSettings::load([]).expect("roots");
        let listener = listeners.of_shard(0).expect("a socket");
        let options = ShardOptions { driver, listeners: vec![listener], ..ShardOptions::default() };
        let served = uring::run(options, async |world| {
            let listener = world.listen(address).expect("listening");
            let shard = Shard::new(world.clone(), node, 0, &tls, Fault::None);
            shard.start();
            shard.listen(listener);
            COUNTED.set(true);
            world.sleep_until(lasso::base::time::Instant::NEVER).await;
        });
        served.map(drop).expect("a driver");
    });
    address
}

fn calls(address: SocketAddr, count: usize, result_len: usize, fields: &str) {
    let mut stream = TcpStream::connect(address).expect("the node");
    let length = CALL.len();
    let head = format!(
        "POST /rpc/one HTTP/1.1\r\nhost: x\r\n{fields}content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    let request = [head.as_bytes(), CALL].concat();
    let mut buf = vec![0; 64 * 1024];
    for _ in 0..count {
        stream.write_all(&request).expect("sent");
        let mut got = 0;
        while !buf[..got].ends_with(b"\"}") {
            let n = stream.read(&mut buf[got..]).expect("an answer");
            assert!(n > 0, "closed after {:?}", String::from_utf8_lossy(&buf[..got]));
            got += n;
        }
        assert!(buf.starts_with(b"HTTP/1.1 200 OK") && got > result_len);
    }
}

/// Fails when `CALLS` calls make the shard allocate.
fn assert_none(what: &str, result_len: usize, fields: &str, driver: DriverChoice, spans: Option<Arc<Spans>>) {
    let address = shard(provider("0".repeat(result_len)), driver, spans);
    calls(address, WARM_UP, result_len, fields);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    // The same connection would do; a second one shows that a new client's buffers come from the shelf too.
    calls(address, CALLS, result_len, fields);
    let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert!(made * 20 < CALLS as u64, "{what}: {made} allocations in {CALLS} calls of {result_len} bytes on {driver:?}");
}

/// One test, because all shards count into one place.
#[test]
fn a_canonical_call_allocates_nothing() {
    const TRACED: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=1,b=2\r\n";
    for driver in [DriverChoice::Auto, DriverChoice::Epoll] {
        for result_len in [66, 10_000] {
            assert_none("plain", result_len, "", driver, None);
        }
        assert_none("a trace that passes", 66, TRACED, driver, None);
        for sampler in ["always_off", "always_on"] {
            let sampler = Sampler::from_words(Some(sampler), None).expect("a sampler");
            let spans = Spans::new(sampler, 1024);
            assert_none("traces on", 66, TRACED, driver, Some(spans.clone()));
            let counts = spans.counts();
            assert_eq!(
                spans.waiting() > 0 && counts.dropped > 0,
                sampler == Sampler::from_words(Some("always_on"), None).expect("it")
            );
        }
    }
}
