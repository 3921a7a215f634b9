//! However many clients, shards and profiles: one upstream subscription per provider and key, counted there; and what many
//! clients or a slow one cost (docs/subscriptions.md#what-it-costs-the-node).

use crate::feed::{ADDRESS, Chain, Feed};
use crate::harness::{DRIVERS, Lasso};
use crate::websocket::{Ws, ask, connect, hear};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tungstenite::Message;

/// One client's subscription.
pub struct Watcher {
    ws: Ws,
    id: Value,
    last: Option<Value>,
}

impl Watcher {
    pub fn new(at: SocketAddr, path: &str, params: &Value) -> Watcher {
        let mut ws = connect(at, path);
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": params});
        let got = ask(&mut ws, &call.to_string());
        assert!(got["result"].as_str().is_some_and(|id| id.len() == 34), "{params}: {got}");
        Watcher { ws, id: got["result"].clone(), last: None }
    }

    /// The next event's result.
    pub fn event(&mut self) -> Value {
        let mut got: Value = serde_json::from_str(&hear(&mut self.ws)).expect("JSON");
        assert_eq!((&got["method"], &got["params"]["subscription"]), (&json!("eth_subscription"), &self.id), "{got}");
        got["params"]["result"].take()
    }

    /// The same, or how the connection ended: with the close's code and reason, or without a word.
    pub fn next(&mut self) -> Result<Value, Option<(u16, String)>> {
        loop {
            match self.ws.read() {
                Ok(Message::Text(text)) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Ok(Message::Close(Some(frame))) => return Err(Some((frame.code.into(), frame.reason.to_string()))),
                Ok(_) => {}
                Err(_) => return Err(None),
            }
        }
    }

    /// The next head's number; it is the child of the one before.
    pub fn head(&mut self) -> u64 {
        let head = self.event();
        if let Some(last) = self.last.take() {
            assert_eq!(head["parentHash"], last, "a hole, a repetition or a disorder at {head}");
        }
        self.last = Some(head["hash"].clone());
        number(&head["number"])
    }
}

pub fn number(hex: &Value) -> u64 {
    let digits = hex.as_str().and_then(|hex| hex.strip_prefix("0x"));
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_else(|| panic!("no number: {hex}"))
}

/// A profile whose providers have both transports, best first; the same URLs in each profile are the same instances.
pub fn profile(slug: &str, feeds: &[&Feed], more: &str) -> (String, String) {
    let mut text =
        format!("---\nname: {slug}\nslug: {slug}\nrps_limit: 0\n---\nchains:\n  one:\n    chain_id: 1\n{more}    providers:\n");
    for (index, feed) in feeds.iter().enumerate() {
        let (id, at) = ((b'a' + index as u8) as char, feed.address);
        text += &format!("      - id: {id}\n        url: http://{at}/\n        ws_url: ws://{at}/\n        priority: {index}\n");
    }
    (slug.to_owned(), text)
}

fn start(profiles: &[(String, String)], flags: &[&str]) -> Lasso {
    let profiles: Vec<(&str, String)> = profiles.iter().map(|(slug, text)| (slug.as_str(), text.clone())).collect();
    Lasso::start_many(&profiles, flags)
}

/// Never two of a kind at one provider; what it was asked for.
fn assert_single(feed: &Feed, when: &str) {
    let doubled: Vec<_> = feed.counts().into_iter().filter(|(_, count)| count.most > 1).collect();
    assert!(doubled.is_empty(), "{when}: {doubled:?}");
}

#[test]
fn the_provider_of_these_tests_counts_what_is_doubled() {
    let feed = Feed::new(&Chain::new());
    let filters = [json!({"address": ADDRESS}), json!({"address": [ADDRESS.to_uppercase().replace("0X", "0x")], "topics": []})];
    let both = filters.map(|filter| Watcher::new(feed.address, "/", &json!(["logs", filter])));
    let key = format!(r#"logs {{"address":"{ADDRESS}"}}"#);
    assert_eq!((feed.count(&key).now, feed.count(&key).most), (2, 2), "{:?}", feed.counts());
    drop(both);
    let end = Instant::now() + Duration::from_secs(5);
    while feed.count(&key).now > 0 {
        assert!(Instant::now() < end, "{:?}", feed.counts());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn shards_and_profiles_share_one_upstream_subscription() {
    let logs = [
        json!(["logs", {"address": ADDRESS}]),
        json!(["logs", {"address": [ADDRESS]}]),
        json!(["logs", {"address": ADDRESS.to_uppercase().replace("0X", "0x"), "topics": []}]),
    ];
    let paths = ["/ws/rpc/one", "/ws/rpc/profile/gold/one", "/ws/rpc/profile/silver/one"];
    for driver in DRIVERS {
        let chain = Chain::new();
        let feeds = [Feed::new(&chain), Feed::new(&chain)];
        let profiles = ["default", "gold", "silver"].map(|slug| profile(slug, &[&feeds[0], &feeds[1]], ""));
        let mut lasso = start(&profiles, &["--driver", driver, "--shards", "4"]);
        let subscribe = || -> (Vec<Watcher>, Vec<Watcher>) {
            let watch = |params: &Value, path: &str| Watcher::new(lasso.address, path, params);
            let heads = |path: &&str| (0..6).map(|_| watch(&json!(["newHeads"]), path)).collect::<Vec<_>>();
            let logs = |path: &&str| logs.iter().chain(&logs).map(|params| watch(params, path)).collect::<Vec<_>>();
            (paths.iter().flat_map(heads).collect(), paths.iter().flat_map(logs).collect())
        };
        let (mut heads, mut logged) = subscribe();
        let grow = |heads: &mut [Watcher], logged: &mut [Watcher]| {
            for _ in 0..4 {
                let made = chain.mine();
                std::thread::sleep(Duration::from_millis(100));
                heads.iter_mut().for_each(|client| assert_eq!(client.head(), made, "{driver}"));
                logged.iter_mut().for_each(|client| assert_eq!(number(&client.event()["blockNumber"]), made, "{driver}"));
            }
        };
        grow(&mut heads, &mut logged);
        feeds.iter().for_each(|feed| assert_single(feed, driver));
        let asked = |key: &str| feeds.iter().map(|feed| feed.count(key).total).sum::<usize>();
        let key = format!(r#"logs {{"address":"{ADDRESS}"}}"#);
        // Logs come from the block: nothing of them is subscribed to.
        assert!(asked("newheads") >= 1 && asked(&key) == 0, "{driver}: {:?}", feeds.each_ref().map(Feed::counts));
        // Most go, others come: what is there is used.
        heads.truncate(1);
        logged.clear();
        let (more_heads, mut logged) = subscribe();
        heads.extend(more_heads);
        grow(&mut heads, &mut logged);
        assert_eq!(asked(&key), 0, "{driver}");
        feeds.iter().for_each(|feed| assert_single(feed, driver));
        // A lost connection is made good without a second subscription beside the first.
        feeds.iter().for_each(Feed::cut);
        std::thread::sleep(Duration::from_secs(2));
        grow(&mut heads, &mut logged);
        feeds.iter().for_each(|feed| assert_single(feed, driver));
        lasso.assert_alive();
    }
}

#[test]
fn five_hundred_clients_hear_every_head_from_one_upstream_subscription() {
    const CLIENTS: usize = 500;
    for driver in DRIVERS {
        let chain = Chain::new();
        let feed = Feed::new(&chain);
        let mut lasso = start(&[profile("default", &[&feed], "")], &["--driver", driver, "--shards", "1"]);
        // What the first subscription builds is no later client's.
        let mut clients = vec![Watcher::new(lasso.address, "/ws/rpc/one", &json!(["newHeads"]))];
        let before = lasso.memory_kib();
        clients.extend((1..CLIENTS).map(|_| Watcher::new(lasso.address, "/ws/rpc/one", &json!(["newHeads"]))));
        let mut slowest = Duration::ZERO;
        for _ in 0..5 {
            let began = Instant::now();
            let made = chain.mine();
            clients.iter_mut().for_each(|client| assert_eq!(client.head(), made, "{driver}"));
            slowest = slowest.max(began.elapsed());
            std::thread::sleep(Duration::from_millis(100));
        }
        let each = (lasso.memory_kib() - before) * 1024 / CLIENTS as u64;
        eprintln!("{driver}: {CLIENTS} clients had each head within {slowest:?}; {each} bytes for each of them");
        assert_eq!(feed.count("newheads").most, 1, "{driver}");
        // The bound for 9,000 on an idle machine is 150 ms (scripts/fanout); here the machine is anybody's.
        assert!(slowest < Duration::from_secs(1), "{driver}: {slowest:?}");
        assert!(each <= 24 << 10, "{driver}: {each} bytes for each client");
        lasso.assert_alive();
    }
}

#[test]
fn slow_is_who_takes_nothing_and_not_who_is_behind() {
    // Much beyond what may wait for a client that takes nothing, and what the kernel holds of a connection.
    const BLOCKS: u64 = 25_000;
    // What all queues of a shard may hold; heads count once for all of them.
    const BOUND_KIB: u64 = 64 << 10;
    for driver in DRIVERS {
        let chain = Chain::new();
        let feed = Feed::new(&chain);
        let mut lasso = start(&[profile("default", &[&feed], "")], &["--driver", driver, "--shards", "1"]);
        let subscribe = || Watcher::new(lasso.address, "/ws/rpc/one", &json!(["newHeads"]));
        let (mut reader, mut slow, mut stalled) = (subscribe(), subscribe(), subscribe());
        let before = lasso.memory_kib();
        let last = chain.height() + BLOCKS;
        let reads = std::thread::spawn(move || while reader.head() < last {});
        // A fifth of what comes, and all that is left once it does not come any more.
        let is_over = Arc::new(AtomicBool::new(false));
        let mined = is_over.clone();
        let slow = std::thread::spawn(move || {
            while slow.head() < last {
                if !mined.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        for count in 0..BLOCKS {
            chain.mine();
            if count % 100 == 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        is_over.store(true, Ordering::SeqCst);
        reads.join().expect("whoever reads gets everything");
        slow.join().expect("and whoever reads slowly");
        std::thread::sleep(Duration::from_secs(13));
        let grown = lasso.memory_peak_kib().saturating_sub(before);
        eprintln!("{driver}: clients that are behind cost at most {grown} KiB");
        // It never took what was written first, so that nothing can be told to it: it finds its connection ended.
        let heard = std::iter::from_fn(|| stalled.next().ok()).count() as u64;
        assert!(heard < BLOCKS, "{driver}: {heard}");
        assert!(grown <= BOUND_KIB, "{driver}: {grown} KiB");
        lasso.assert_alive();
    }
}
