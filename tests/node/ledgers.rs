//! Watchers of logs, each a real library with twenty filters, while the nodes behind are killed, stalled, reorganised, set back and
//! flooded: what each has been told in the end is what the chain holds, log by log, and nobody was disconnected.
//!
//! Two anvils are one chain, as in `watchers`: both get every step. A node that is away gets its steps when it is back.

use crate::clients::{Process, Tools, tools};
use crate::harness::Lasso;
use crate::http;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const CLIENTS: [&str; 4] = ["viem.mjs", "ethers.mjs", "web3js.mjs", "web3py.py"];
const FUNDED: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
/// Blocks of many logs at the end, and how many logs; `LASSO_BIG_BLOCKS` names more blocks.
const BIG_BLOCKS: u64 = 20;
const BIG_BLOCK_LOGS: u64 = 500;
const BETWEEN_BLOCKS: Duration = Duration::from_millis(60);
/// Between big ones when there are more of them than a slow library may keep waiting for it.
const BETWEEN_BIG_BLOCKS: Duration = Duration::from_secs(1);

/// A contract that logs: calldata is how many, and a tag; log `i` has the topics `KIND`, `i % 8` and the tag, and `i` as its data.
/// Assembled by hand, as tests/clients/contract.json is.
const BELL: &str = "0x60268060095f395ff3\
    5f355f5b81811015602457805f52602035816007166362\
    6f6f6d60205fa36001016003565b00";
const KIND: u64 = 0x626f_6f6d;

fn word(value: u64) -> String {
    format!("0x{value:064x}")
}

fn ask(at: SocketAddr, method: &str, params: &Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let mut got = http::post(at, "/", &body).json();
    assert!(got.get("error").is_none(), "{method} {params}: {got}");
    got["result"].take()
}

/// One provider of the chain, and what it was told so far.
struct Anvil {
    process: Option<Process>,
    at: SocketAddr,
    is_stalled: bool,
    done: usize,
}

struct Chain<'a> {
    tools: &'a Tools,
    anvils: [Anvil; 2],
    /// Everything that was ever told: a method and its params.
    steps: Vec<(&'static str, Value)>,
    /// Transactions that were sent, so far as they are on the canonical chain.
    nonce: u64,
    tag: u64,
}

impl<'a> Chain<'a> {
    fn start(tools: &'a Tools) -> Chain<'a> {
        let anvils = [(); 2].map(|()| {
            let (process, at) = launch(tools, "0");
            Anvil { process: Some(process), at, is_stalled: false, done: 0 }
        });
        let mut chain = Chain { tools, anvils, steps: Vec::new(), nonce: 0, tag: 0 };
        chain.step("anvil_setBlockTimestampInterval", json!([1]));
        chain
    }

    fn step(&mut self, method: &'static str, params: Value) {
        self.steps.push((method, params));
        self.catch_up();
    }

    /// Whoever is there is told what it has not been told yet.
    fn catch_up(&mut self) {
        for anvil in self.anvils.iter_mut().filter(|anvil| anvil.process.is_some() && !anvil.is_stalled) {
            for (method, params) in &self.steps[anvil.done..] {
                ask(anvil.at, method, params);
            }
            anvil.done = self.steps.len();
        }
    }

    fn send(&mut self, to: Option<&str>, data: &str) {
        let nonce = format!("0x{:x}", self.nonce);
        self.nonce += 1;
        let mut fields = json!({"from": FUNDED, "data": data, "gas": "0xe4e1c0", "gasPrice": "0x77359400", "nonce": nonce});
        if let Some(to) = to {
            fields["to"] = json!(to);
        }
        self.step("eth_sendTransaction", json!([fields]));
    }

    fn mine(&mut self) {
        self.step("anvil_mine", json!(["0x1"]));
        std::thread::sleep(BETWEEN_BLOCKS);
    }

    fn deploy(&mut self) -> String {
        self.send(None, BELL);
        self.mine();
        let at = self.anvils[0].at;
        let block = ask(at, "eth_getBlockByNumber", &json!(["latest", false]));
        let receipt = ask(at, "eth_getTransactionReceipt", &json!([block["transactions"][0]]));
        receipt["contractAddress"].as_str().expect("a contract").to_owned()
    }

    /// A block in which each of these rings so often.
    fn ring(&mut self, bells: &[String], times: u64) {
        for bell in bells {
            self.tag += 1;
            let data = format!("{}{:064x}", word(times), self.tag % 5);
            self.send(Some(bell), &data);
        }
        self.mine();
    }

    /// Takes the last blocks back and puts as many empty ones in their place.
    fn reorganise(&mut self, depth: u64) {
        self.step("anvil_reorg", json!([depth, []]));
        self.read_nonce();
    }

    fn read_nonce(&mut self) {
        let count = ask(self.whole().at, "eth_getTransactionCount", &json!([FUNDED, "latest"]));
        self.nonce = u64::from_str_radix(count.as_str().expect("hex").trim_start_matches("0x"), 16).expect("hex");
    }

    /// One that has every step.
    fn whole(&self) -> &Anvil {
        self.anvils.iter().find(|anvil| anvil.done == self.steps.len()).expect("one is up")
    }

    fn kill(&mut self, place: usize) {
        self.anvils[place].process.take().expect("it runs").signal("KILL");
    }

    fn restart(&mut self, place: usize) {
        let (process, at) = launch(self.tools, &self.anvils[place].at.port().to_string());
        self.anvils[place] = Anvil { process: Some(process), at, is_stalled: false, done: 0 };
        self.catch_up();
    }

    fn stall(&mut self, place: usize, is_stalled: bool) {
        let anvil = &mut self.anvils[place];
        anvil.process.as_ref().expect("it runs").signal(if is_stalled { "STOP" } else { "CONT" });
        anvil.is_stalled = is_stalled;
        self.catch_up();
    }
}

fn launch(tools: &Tools, port: &str) -> (Process, SocketAddr) {
    let process = tools.anvil(&["--timestamp", "1700000000", "--no-mining", "--gas-limit", "60000000", "--port", port]);
    let at = process.address("Listening on ");
    (process, at)
}

fn profile(anvils: &[Anvil; 2]) -> String {
    let mut text = "---\nname: t\nslug: default\nrps_limit: 0\n---\nchains:\n  one:\n    chain_id: 31337\n".to_owned();
    text.push_str("    block_time_ms: 400\n    providers:\n");
    for (place, Anvil { at, .. }) in anvils.iter().enumerate() {
        text +=
            &format!("      - id: p{place}\n        url: http://{at}\n        ws_url: ws://{at}\n        priority: {place}\n");
    }
    text
}

fn filters(bells: &[String]) -> Vec<Value> {
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

struct Watcher {
    script: &'static str,
    process: Process,
    held: PathBuf,
}

fn watch(tools: &Tools, lasso: &Lasso, filters: &[Value]) -> Vec<Watcher> {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let file = |name: &str| directory.join(format!("ledgers-{}-{name}", std::process::id()));
    let asked = file("asked");
    std::fs::write(&asked, json!(filters).to_string()).expect("written");
    let url = format!("ws://{}/ws/rpc/one", lasso.address);
    let start = |script: &'static str| {
        let held = file(script);
        let mode = ["ledgers", asked.to_str().expect("text"), held.to_str().expect("text")];
        Watcher { script, process: tools.client(script, &url, &mode), held }
    };
    let all: Vec<Watcher> = CLIENTS.map(start).into();
    all.iter().for_each(|watcher| drop(watcher.process.says("watching")));
    all
}

fn name_of(log: &Value) -> String {
    let index = log["logIndex"].as_str().expect("hex").trim_start_matches("0x");
    format!("{}:{}", log["blockHash"].as_str().expect("a hash"), u64::from_str_radix(index, 16).expect("hex"))
}

/// Everybody's ledgers against what the chain holds above `from`; `is_forgiven`: of a log that the chain does not hold.
fn judge(watchers: Vec<Watcher>, at: SocketAddr, (filters, from): (&[Value], u64), is_forgiven: impl Fn(&str) -> bool) {
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
            let surplus: Vec<_> = told.difference(canonical).filter(|name| !is_forgiven(name)).take(3).collect();
            let what = format!("{script}, filter {}: {} told, {} there", filters[place], told.len(), canonical.len());
            assert!(missing.is_empty() && surplus.is_empty(), "{what}; missing {missing:?}, surplus {surplus:?}");
        }
    }
}

fn height(at: SocketAddr) -> u64 {
    let text = ask(at, "eth_blockNumber", &json!([]));
    u64::from_str_radix(text.as_str().expect("hex").trim_start_matches("0x"), 16).expect("hex")
}

#[test]
fn every_ledger_of_logs_is_the_chains() {
    let Some(tools) = tools() else { return };
    let mut chain = Chain::start(&tools);
    let bells = [chain.deploy(), chain.deploy()];
    (0..30).for_each(|_| chain.ring(&bells, 1));
    let mut lasso = Lasso::start_with(&profile(&chain.anvils), &["--breaker-recovery-ms", "1000"]);
    let filters = filters(&bells);
    let watchers = watch(&tools, &lasso, &filters);
    let from = height(chain.anvils[0].at);

    (0..6).for_each(|_| chain.ring(&bells, 9));
    for place in [0, 1] {
        chain.kill(place);
        (0..8).for_each(|_| chain.ring(&bells, 9));
        chain.restart(place);
        (0..8).for_each(|_| chain.ring(&bells, 9));
    }
    chain.step("evm_snapshot", json!([]));
    for place in [0, 1] {
        chain.stall(place, true);
        (0..30).for_each(|_| chain.ring(&bells, 3));
        chain.stall(place, false);
        (0..8).for_each(|_| chain.ring(&bells, 9));
    }
    chain.step("evm_revert", json!(["0x0"]));
    chain.read_nonce();
    (0..4).for_each(|_| chain.ring(&bells, 9));
    for depth in [1, 2, 3, 5, 8, 13, 24] {
        chain.reorganise(depth);
        (0..3).for_each(|_| chain.ring(&bells, 9));
    }
    let big_blocks = std::env::var("LASSO_BIG_BLOCKS").ok().and_then(|text| text.parse().ok()).unwrap_or(BIG_BLOCKS);
    for _ in 0..big_blocks {
        chain.ring(&bells, BIG_BLOCK_LOGS / 2);
        std::thread::sleep(if big_blocks > BIG_BLOCKS { BETWEEN_BIG_BLOCKS } else { Duration::ZERO });
    }
    std::thread::sleep(Duration::from_secs(5));
    judge(watchers, chain.whole().at, (&filters, from), |_| false);
    lasso.assert_alive();
}
