//! Real client libraries that watch real nodes over WebSocket: blocks, a contract's events, pending transactions, and calls
//! beside them, while nodes are killed, restarted and stalled. Every client must see every block and every event once, in order.
//!
//! Two anvils are one chain: their blocks depend on nothing but what they are told, so both get every transaction and
//! every block from here, and one that was restarted gets all of them again. hardhat's chain is another, and has no second
//! provider: what it says after a stall is all that there is.

use crate::bells::{FUNDED, ask, height, profile};
use crate::clients::{CLIENTS, Process, Tools, tools};
use crate::harness::{DRIVERS, Lasso};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// The selector of the contract's `note(uint256)`.
pub const NOTE: &str = "0x5284a245";
const PAUSE: Duration = Duration::from_millis(300);

/// What deploys the contract of tests/clients.
pub fn bytecode() -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/contract.json")).expect("it");
    let contract: Value = serde_json::from_str(&text).expect("JSON");
    let hex = |part: &str| -> String {
        let lines = contract[part].as_array().expect("lines").iter().map(|line| line.as_str().expect("text"));
        lines.map(|line| line.split(';').next().unwrap_or("").replace(' ', "")).collect()
    };
    format!("0x{}{}", hex("initcode"), hex("runtime"))
}

/// A transaction of `FUNDED`'s; everything that could differ between nodes is given.
fn transaction(nonce: u64, to: Option<&str>, data: &str) -> Value {
    let mut fields =
        json!({"from": FUNDED, "data": data, "gas": "0x100000", "gasPrice": "0x77359400", "nonce": format!("0x{nonce:x}")});
    if let Some(to) = to {
        fields["to"] = json!(to);
    }
    json!([fields])
}

/// One chain of anvils: each step is a transaction and a block with it.
struct Anvils<'a> {
    tools: &'a Tools,
    running: [Option<Process>; 2],
    at: [SocketAddr; 2],
    steps: Vec<Value>,
    /// The one whose events go to subscribers: the preferred one, then the one that was left.
    heard: usize,
}

impl<'a> Anvils<'a> {
    fn start(tools: &'a Tools) -> Anvils<'a> {
        let both = [0, 1].map(|_| launch(tools, "0"));
        let at = both.each_ref().map(|(_, at)| *at);
        Anvils { tools, running: both.map(|(process, _)| Some(process)), at, steps: Vec::new(), heard: 0 }
    }

    /// Who is heard grows last: whoever hears of a block from it may ask either for it.
    fn step(&mut self, step: Value) {
        let order = [1 - self.heard, self.heard].map(|place| self.running[place].is_some().then_some(self.at[place]));
        order.iter().flatten().for_each(|at| announce(*at, &step));
        order.iter().flatten().for_each(|at| mine(*at));
        self.steps.push(step);
    }

    fn kill(&mut self, place: usize) {
        self.running[place].take().expect("it runs").signal("KILL");
        self.heard = 1 - place;
    }

    /// On its old port, with all that happened meanwhile.
    fn restart(&mut self, place: usize) {
        let (process, at) = launch(self.tools, &self.at[place].port().to_string());
        assert_eq!(at, self.at[place]);
        for step in &self.steps {
            announce(at, step);
            mine(at);
        }
        self.running[place] = Some(process);
    }
}

fn launch(tools: &Tools, port: &str) -> (Process, SocketAddr) {
    let process = tools.anvil(&["--timestamp", "1700000000", "--no-mining", "--port", port]);
    let at = process.address("Listening on ");
    ask(at, "anvil_setBlockTimestampInterval", &json!([1]));
    (process, at)
}

fn announce(at: SocketAddr, step: &Value) {
    ask(at, "eth_sendTransaction", step);
    // Subscribers to pending transactions hear of it before it is mined.
    std::thread::sleep(Duration::from_millis(20));
}

fn mine(at: SocketAddr) {
    ask(at, "anvil_mine", &json!(["0x1"]));
}

fn contract_of(at: SocketAddr) -> String {
    let block = ask(at, "eth_getBlockByNumber", &json!(["latest", false]));
    let receipt = ask(at, "eth_getTransactionReceipt", &json!([block["transactions"][0]]));
    receipt["contractAddress"].as_str().expect("a contract").to_owned()
}

/// Every client, watching.
pub fn watch(tools: &Tools, lasso: &Lasso, contract: &str) -> Vec<(&'static str, Process)> {
    let url = format!("ws://{}/ws/rpc/one", lasso.address);
    let all: Vec<_> = CLIENTS.iter().map(|script| (*script, tools.client(script, &url, &["watch", contract]))).collect();
    all.iter().for_each(|(_, client)| drop(client.says("watching")));
    // What a library subscribes to behind its own back is there by then too.
    std::thread::sleep(Duration::from_secs(1));
    all
}

/// What one client said, against what happened: `height` is the last block's, `value` the last event's.
pub fn judge(what: &str, said: &[String], height: u64, value: u64) -> u64 {
    let of = |kind: &str| -> Vec<Vec<&str>> {
        let words = said.iter().map(|line| line.split(' ').collect::<Vec<_>>());
        words.filter(|words| words[0] == kind).map(|words| words[1..].to_vec()).collect()
    };
    let number = |words: &Vec<&str>, place: usize| words[place].parse::<u64>().unwrap_or_else(|_| panic!("{what}: {said:#?}"));
    let all_once = |kind: &str, numbers: &[u64], last: u64| {
        let from = numbers.first().copied().unwrap_or_else(|| panic!("{what} heard no {kind}: {said:#?}"));
        assert_eq!(numbers, (from..=last).collect::<Vec<_>>(), "{what}: every {kind} once, in order: {said:#?}");
        assert!(last - from >= 8, "{what}: it heard of few: {said:#?}");
    };
    assert!(of("error").is_empty(), "{what}: {said:#?}");
    let numbers = |kind: &str| of(kind).iter().map(|words| number(words, 0)).collect::<Vec<u64>>();
    // web3.py passes heads on, ethers only their numbers; viem's watchBlocks asks for each block that it hears of, so that
    // these come as the answers do.
    let (mut heads, mut blocks) = (numbers("head"), numbers("block"));
    match what.split('.').next() {
        Some("viem") => blocks.sort_unstable(),
        Some("ethers") => heads = blocks.clone(),
        _ => blocks = heads.clone(),
    }
    all_once("head", &heads, height);
    all_once("block", &blocks, height);
    all_once("event", &of("log").iter().map(|words| number(words, 1)).collect::<Vec<_>>(), value);
    assert!(of("pending").len() >= 8, "{what}: {said:#?}");
    let calls = of("calls");
    assert!(number(&calls[0], 0) > 20, "{what}: {said:#?}");
    number(&calls[0], 2)
}

#[test]
fn a_killed_and_restarted_node_is_seen_by_no_watcher() {
    let Some(tools) = tools() else { return };
    for driver in DRIVERS {
        let mut chain = Anvils::start(&tools);
        chain.step(transaction(0, None, &bytecode()));
        let contract = contract_of(chain.at[0]);
        // What was killed is tried again soon: a second after its circuit opened, not a minute.
        let flags = ["--driver", driver, "--breaker-recovery-ms", "1000"];
        let mut lasso = Lasso::start_with(&profile(31337, &[("first", chain.at[0]), ("second", chain.at[1])]), &flags);
        let clients = watch(&tools, &lasso, &contract);
        let mut value = 0;
        let mut note = |chain: &mut Anvils, times: u32| {
            for _ in 0..times {
                value += 1;
                chain.step(transaction(value, Some(&contract), &format!("{NOTE}{value:064x}")));
                std::thread::sleep(PAUSE);
            }
        };
        note(&mut chain, 5);
        for place in [0, 1] {
            chain.kill(place);
            note(&mut chain, 8);
            chain.restart(place);
            note(&mut chain, 16);
        }
        std::thread::sleep(Duration::from_secs(2));
        let last = height(chain.at[0]);
        assert_eq!(last, height(chain.at[1]));
        for (script, client) in clients {
            let what = format!("{script} on {driver}");
            let failed = judge(&what, &client.finish(&what), last, value);
            assert_eq!(failed, 0, "{what}: calls failed");
        }
        lasso.assert_alive();
    }
}

#[test]
fn a_stalled_node_is_a_pause_to_its_watchers() {
    let Some(tools) = tools() else { return };
    for driver in DRIVERS {
        let hardhat = tools.hardhat();
        let at = hardhat.address("Started HTTP");
        ask(at, "eth_sendTransaction", &transaction(0, None, &bytecode()));
        let contract = contract_of(at);
        let mut lasso = Lasso::start(&profile(31337, &[("hardhat", at)]), driver);
        let clients = watch(&tools, &lasso, &contract);
        let mut value = 0;
        let mut note = |times: u32| {
            for _ in 0..times {
                value += 1;
                ask(at, "eth_sendTransaction", &transaction(value, Some(&contract), &format!("{NOTE}{value:064x}")));
                std::thread::sleep(PAUSE);
            }
        };
        note(6);
        hardhat.signal("STOP");
        std::thread::sleep(Duration::from_secs(5));
        hardhat.signal("CONT");
        note(8);
        std::thread::sleep(Duration::from_secs(4));
        let last = height(at);
        for (script, client) in clients {
            let what = format!("{script} on {driver}");
            let failed = judge(&what, &client.finish(&what), last, value);
            println!("{what}: {failed} calls failed while hardhat stood still");
        }
        lasso.assert_alive();
    }
}
