//! What the tests share that drive a real chain in front of watching libraries: a contract that logs, twenty filters of its logs, the
//! libraries that keep a ledger of each, and the comparison of those ledgers with what the chain holds in the end.
//!
//! A ledger is compared as a set, with what the provider itself says of its canonical chain when it is asked directly; that nothing was
//! told twice or taken back unasked is seen by the scripts (tests/clients/ledger.mjs), since only they know the order.

use crate::clients::{Process, Tools};
use crate::harness::Lasso;
use crate::http;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

const KEEPERS: [&str; 4] = ["viem.mjs", "ethers.mjs", "web3js.mjs", "web3py.py"];
/// The first account that anvil and hardhat fund and sign for; a published address.
pub const FUNDED: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";

/// A contract that logs: calldata is how many, and a tag; log `i` has the topics `KIND`, `i % 8` and the tag, and `i` as its data.
/// Assembled by hand, as tests/clients/contract.json is.
pub const BELL: &str = "0x60268060095f395ff3\
    5f355f5b81811015602457805f52602035816007166362\
    6f6f6d60205fa36001016003565b00";
const KIND: u64 = 0x626f_6f6d;

/// How a bell is rung: so many logs with that tag.
pub fn rung(times: u64, tag: u64) -> String {
    format!("{}{tag:064x}", word(times))
}

fn word(value: u64) -> String {
    format!("0x{value:064x}")
}

/// The whole answer, of whatever kind.
pub fn answer(at: SocketAddr, method: &str, params: &Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    http::post(at, "/", &body).json()
}

pub fn ask(at: SocketAddr, method: &str, params: &Value) -> Value {
    let mut got = answer(at, method, params);
    assert!(got.get("error").is_none(), "{method} {params}: {got}");
    got["result"].take()
}

/// Twenty: by kind and residue, address, tag, and combinations of them; one that nothing matches.
pub fn filters(bells: &[String]) -> Vec<Value> {
    let [one, two] = [&bells[0], &bells[1]];
    let kind = word(KIND);
    let mut all: Vec<Value> = (0..8).map(|residue| json!({"topics": [kind, word(residue)]})).collect();
    all.extend([
        json!({"address": one}),
        json!({"address": two}),
        json!({"address": [one, two]}),
        json!({"topics": [[kind]]}),
        json!({"topics": [null, null, word(1)]}),
        json!({"address": one, "topics": [kind, [word(1), word(2), word(3)]]}),
        json!({"address": two, "topics": [null, word(5)]}),
        json!({"topics": [null, [word(0), word(7)]]}),
        json!({"address": FUNDED}),
        json!({"topics": [kind, null, word(2)]}),
        json!({"address": one, "topics": [kind, word(3), word(4)]}),
        json!({"address": [two, FUNDED], "topics": [null, [word(4), word(6)], [word(0), word(3)]]}),
    ]);
    all
}

pub struct Watcher {
    script: &'static str,
    process: Process,
    held: PathBuf,
}

/// Every library, watching; `story` tells its files from those of a test beside it.
pub fn watch(tools: &Tools, lasso: &Lasso, (story, filters): (&str, &[Value])) -> Vec<Watcher> {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let file = |name: &str| directory.join(format!("{story}-{}-{name}", std::process::id()));
    let asked = file("asked");
    std::fs::write(&asked, json!(filters).to_string()).expect("written");
    let url = format!("ws://{}/ws/rpc/one", lasso.address);
    let start = |script: &'static str| {
        let held = file(script);
        let mode = ["ledgers", asked.to_str().expect("text"), held.to_str().expect("text")];
        Watcher { script, process: tools.client(script, &url, &mode), held }
    };
    let all: Vec<Watcher> = KEEPERS.map(start).into();
    all.iter().for_each(|watcher| drop(watcher.process.says("watching")));
    all
}

fn name_of(log: &Value) -> String {
    let index = log["logIndex"].as_str().expect("hex").trim_start_matches("0x");
    format!("{}:{}", log["blockHash"].as_str().expect("a hash"), u64::from_str_radix(index, 16).expect("hex"))
}

/// Everybody's ledgers against what the chain holds above `from`.
pub fn judge(watchers: Vec<Watcher>, at: SocketAddr, (filters, from): (&[Value], u64)) {
    let canonical: Vec<BTreeSet<String>> = filters
        .iter()
        .map(|filter| {
            let mut asked = filter.clone();
            asked["fromBlock"] = json!(format!("0x{:x}", from + 1));
            ask(at, "eth_getLogs", &json!([asked])).as_array().expect("logs").iter().map(name_of).collect()
        })
        .collect();
    assert!(canonical[10].len() > 1_000, "{} logs are few", canonical[10].len());
    for Watcher { script, process, held } in watchers {
        process.finish(script);
        let said: Value = serde_json::from_slice(&std::fs::read(&held).expect("its ledgers")).expect("JSON");
        assert_eq!(said["wrong"], json!([]), "{script}");
        for (place, canonical) in canonical.iter().enumerate() {
            let told = said["ledgers"][place].as_array().expect("a ledger").iter();
            let told: BTreeSet<String> = told.map(|name| name.as_str().expect("text").to_owned()).collect();
            let missing: Vec<_> = canonical.difference(&told).take(3).collect();
            let surplus: Vec<_> = told.difference(canonical).take(3).collect();
            let what = format!("{script}, filter {}: {} told, {} there", filters[place], told.len(), canonical.len());
            assert!(missing.is_empty() && surplus.is_empty(), "{what}; missing {missing:?}, surplus {surplus:?}");
        }
    }
}

pub fn height(at: SocketAddr) -> u64 {
    let text = ask(at, "eth_blockNumber", &json!([]));
    u64::from_str_radix(text.as_str().expect("hex").trim_start_matches("0x"), 16).expect("hex")
}

/// A profile of one chain, `one`, whose blocks come quickly, with these providers, best first.
pub fn profile(chain_id: u64, providers: &[(&str, SocketAddr)]) -> String {
    let mut text = format!("---\nname: t\nslug: default\nrps_limit: 0\n---\nchains:\n  one:\n    chain_id: {chain_id}\n");
    text.push_str("    block_time_ms: 400\n    providers:\n");
    for (priority, (id, at)) in providers.iter().enumerate() {
        text += &format!("      - id: {id}\n        url: http://{at}\n        ws_url: ws://{at}\n        priority: {priority}\n");
    }
    text
}
