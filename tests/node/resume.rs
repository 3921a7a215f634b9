//! A client that lost its connection, or whose node was started anew, goes on where it was.

use crate::feed::{ADDRESS, Chain, Feed};
use crate::harness::Lasso;
use crate::multiplex::{Watcher, number, profile};
use crate::websocket::{ask, connect, hear};
use serde_json::{Value, json};
use std::time::Duration;

fn logs() -> Value {
    json!({"address": ADDRESS})
}

/// The hash of the block of this number, as a client of heads hears it.
fn hash_of(heads: &mut Watcher, number_of: u64) -> Value {
    loop {
        let head = heads.event();
        if number(&head["number"]) == number_of {
            return head["hash"].clone();
        }
    }
}

fn token(block: &Value) -> Value {
    json!({"lasso_resume": {"block": block}})
}

/// Blocks, with time for each to be told.
fn mine(chain: &Chain, count: u64) -> u64 {
    for _ in 0..count {
        chain.mine();
        std::thread::sleep(Duration::from_millis(60));
    }
    chain.height()
}

fn assert_whole(at: std::net::SocketAddr, block: &Value, (first, last): (u64, u64), chain: &Chain) {
    let mut heads = Watcher::new(at, "/ws/rpc/one", &json!(["newHeads", token(block)]));
    let mut logged = Watcher::new(at, "/ws/rpc/one", &json!(["logs", logs(), token(block)]));
    let mut by_url = {
        let hash = block.as_str().expect("a hash");
        Watcher::new(at, &format!("/ws/rpc/one?resume={hash}"), &json!(["logs", logs()]))
    };
    let told: Vec<u64> = (first..=last).map(|_| heads.head()).collect();
    assert_eq!(told, (first..=last).collect::<Vec<_>>());
    let next = mine(chain, 3);
    for want in first..=next {
        assert_eq!(number(&logged.event()["blockNumber"]), want);
        assert_eq!(number(&by_url.event()["blockNumber"]), want);
    }
    (last + 1..=next).for_each(|want| assert_eq!(heads.head(), want));
}

#[test]
fn a_client_that_comes_back_is_told_what_it_missed_and_then_everything_once() {
    let chain = Chain::new();
    let feeds = [Feed::new(&chain), Feed::new(&chain)];
    let (slug, text) = profile("default", &[&feeds[0], &feeds[1]], "    block_time_ms: 400\n");
    let mut lasso = Lasso::start_many(&[(&slug, text.clone())], &["--shards", "2"]);
    let mut heads = Watcher::new(lasso.address, "/ws/rpc/one", &json!(["newHeads"]));
    let seen = mine(&chain, 3);
    let block = hash_of(&mut heads, seen);
    drop(heads);
    let last = mine(&chain, 10);
    assert_whole(lasso.address, &block, (seen + 1, last), &chain);
    lasso.assert_alive();
    drop(lasso);
    // Another process knows nothing of who was told what.
    let last = mine(&chain, 5);
    let lasso = Lasso::start_many(&[(&slug, text)], &["--shards", "2"]);
    assert_whole(lasso.address, &block, (seen + 1, last), &chain);
}

#[test]
fn what_cannot_be_resumed_is_refused_with_the_reason() {
    let chain = Chain::new();
    let feed = Feed::new(&chain);
    let more = "    websocket:\n      failover:\n        max_backfill_blocks: 5\n";
    let (slug, text) = profile("default", &[&feed], more);
    let lasso = Lasso::start_many(&[(&slug, text)], &[]);
    let mut heads = Watcher::new(lasso.address, "/ws/rpc/one", &json!(["newHeads"]));
    let seen = mine(&chain, 1);
    let old = hash_of(&mut heads, seen);
    mine(&chain, 6);
    let mut ws = connect(lasso.address, "/ws/rpc/one");
    let mut check = |params: Value, code: i64, why: &str| {
        let got = ask(&mut ws, &json!({"jsonrpc": "2.0", "id": 7, "method": "eth_subscribe", "params": params}).to_string());
        let text = got["error"]["message"].as_str().unwrap_or_default();
        assert!(got["error"]["code"] == code && text.contains(why), "{params}: {got}");
    };
    check(json!(["newHeads", token(&old)]), -32000, "6 blocks back, more than max_backfill_blocks (5)");
    check(json!(["logs", logs(), token(&old)]), -32000, "subscribe without lasso_resume");
    let unknown = json!(format!("0x{}", "ab".repeat(32)));
    check(json!(["newHeads", token(&unknown)]), -32000, "no provider knows block 0xabab");
    check(json!(["newHeads", token(&json!("0x12"))]), -32602, "must be a hash");
    check(json!(["newPendingTransactions", token(&old)]), -32602, "cannot be resumed");
    let mut noticed = connect(lasso.address, "/ws/rpc/one");
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"], "lasso_meta": "notify"});
    assert!(ask(&mut noticed, &call.to_string())["result"].is_string());
    let notice: Value = serde_json::from_str(&hear(&mut noticed)).expect("JSON");
    let offered = notice["params"]["resume"].as_str().unwrap_or_default();
    assert!(notice["method"] == "lasso_meta" && offered.starts_with("?resume=0x"), "{notice}");
    let next = mine(&chain, 1);
    let event: Value = serde_json::from_str(&hear(&mut noticed)).expect("JSON");
    assert_eq!(event["params"]["result"]["parentHash"], offered["?resume=".len()..], "{event}");
    assert_eq!(number(&event["params"]["result"]["number"]), next);
}
