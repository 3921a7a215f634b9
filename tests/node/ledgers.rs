//! Watchers of logs, each a real library with twenty filters, while the nodes behind are killed, stalled, reorganised, set back and
//! flooded: what each has been told in the end is what the chain holds, log by log, and nobody was disconnected.
//!
//! Two anvils are one chain, as in `watchers`: both get every step. A node that is away gets its steps when it is back.

use crate::bells::{BELL, FUNDED, ask, filters, height, judge, profile, rung, watch};
use crate::clients::{Process, Tools, tools};
use crate::harness::Lasso;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// Blocks of many logs at the end, and how many logs; `LASSO_BIG_BLOCKS` names more blocks.
const BIG_BLOCKS: u64 = 20;
const BIG_BLOCK_LOGS: u64 = 500;
const BETWEEN_BLOCKS: Duration = Duration::from_millis(60);
/// Between big ones when there are more of them than a slow library may keep waiting for it.
const BETWEEN_BIG_BLOCKS: Duration = Duration::from_secs(1);

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

    fn providers(&self) -> [(&'static str, SocketAddr); 2] {
        [("p0", self.anvils[0].at), ("p1", self.anvils[1].at)]
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
            self.send(Some(bell), &rung(times, self.tag % 5));
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

#[test]
fn every_ledger_of_logs_is_the_chains() {
    let Some(tools) = tools() else { return };
    let mut chain = Chain::start(&tools);
    let bells = [chain.deploy(), chain.deploy()];
    (0..30).for_each(|_| chain.ring(&bells, 1));
    let mut lasso = Lasso::start_with(&profile(31337, &chain.providers()), &["--breaker-recovery-ms", "1000"]);
    let filters = filters(&bells);
    let watchers = watch(&tools, &lasso, ("anvils", &filters));
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
    judge(watchers, chain.whole().at, (&filters, from));
    lasso.assert_alive();
}
