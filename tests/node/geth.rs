//! geth, the node whose answers the others imitate: watchers of its logs and blocks through lasso, and its answers byte by byte.
//!
//! One `geth --dev` behind two relays is two providers of one chain: such nodes have no peers, so a second one would be another chain. The
//! relays are killed and stalled one at a time, geth itself is stopped, killed and set back, and then there is nobody else.
//!
//! It keeps each block's state on disk (`--gcmode archive`, in the hash scheme): otherwise a geth that was killed begins at its genesis,
//! takes itself for one that has to sync, and makes no block any more. Local transactions are not kept (`--txpool.nolocals`): geth would send
//! those of abandoned blocks again, a minute later and in an order of its own.
//!
//! geth is looked for at `LASSO_GETH` and in PATH. Where there is none the tests say so in one line and pass, in CI too: it can be had only by
//! compiling it (`go install github.com/ethereum/go-ethereum/cmd/geth@v1.17.10`, some minutes), so nobody is made to.

use crate::bells::{BELL, answer, ask, filters, height, judge, profile, rung, watch};
use crate::clients::{Process, Tools, assert_same_answers, tools};
use crate::harness::{DRIVERS, Lasso};
use crate::http;
use crate::relay::Relay;
use crate::watchers;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const CHAIN_ID: u64 = 1337;
const GAS: &str = "0xe4e1c0";
/// A geth that makes no block for so long makes none.
const SEALING_MAX: Duration = Duration::from_secs(15);
/// As long as clients may have to wait for what follows.
const STANDSTILL: Duration = Duration::from_secs(3);
const BIG_BLOCKS: usize = 20;
const BIG_BLOCK_LOGS: u64 = 500;
/// `vhosts`: the tests ask it under any name.
const FLAGS: &str = "--dev --dev.gaslimit 60000000 --state.scheme hash --gcmode archive --txpool.nolocals --cache 64 --ipcdisable \
    --http --http.port 0 --http.vhosts * --http.api eth,net,web3,debug --ws --ws.port 0 --ws.api eth,net,web3";

fn binary() -> Option<PathBuf> {
    let named = std::env::var_os("LASSO_GETH").map(PathBuf::from);
    if let Some(path) = &named {
        assert!(path.is_file(), "LASSO_GETH: {} is no file", path.display());
    }
    let in_path = || std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join("geth")).find(|it| it.is_file());
    let found = named.or_else(in_path);
    if found.is_none() {
        eprintln!("skipped: geth is neither in PATH nor at LASSO_GETH");
    }
    found
}

/// A node and its directory, which it finds again when it is restarted.
struct Geth {
    binary: PathBuf,
    directory: PathBuf,
    /// Seconds between blocks; at 0 each transaction makes one.
    period: &'static str,
    process: Option<Process>,
    at: SocketAddr,
}

impl Geth {
    fn start(period: &'static str) -> Option<Geth> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("geth-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let at = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut geth = Geth { binary: binary()?, directory, period, process: None, at };
        geth.launch();
        Some(geth)
    }

    fn launch(&mut self) {
        let mut command = Command::new("sh");
        // What it says goes to standard error, and among it where it listens.
        command.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(&self.binary).args(FLAGS.split(' '));
        command.args(["--dev.period", self.period, "--datadir"]).arg(&self.directory);
        let process = Process::start(&mut command);
        self.at = process.address("HTTP server started");
        self.process = Some(process);
    }

    fn signal(&self, name: &str) {
        self.process.as_ref().expect("it runs").signal(name);
    }
}

impl Drop for Geth {
    fn drop(&mut self) {
        drop(self.process.take());
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A geth, the relays in front of it, and what was done on its chain.
struct Chain {
    geth: Geth,
    relays: [Relay; 2],
    /// geth's own developer account, which it signs for.
    account: Value,
    tag: u64,
}

impl Chain {
    fn start(period: &'static str) -> Option<Chain> {
        let geth = Geth::start(period)?;
        let relays = [(); 2].map(|()| Relay::start(geth.at));
        let account = ask(geth.at, "eth_accounts", &json!([]))[0].take();
        Some(Chain { geth, relays, account, tag: 0 })
    }

    fn profile(&self) -> String {
        profile(CHAIN_ID, &[("p0", self.relays[0].at), ("p1", self.relays[1].at)])
    }

    fn send(&self, to: Option<&str>, data: &str) -> Value {
        let mut fields = json!({"from": self.account, "data": data, "gas": GAS});
        if let Some(to) = to {
            fields["to"] = json!(to);
        }
        ask(self.geth.at, "eth_sendTransaction", &json!([fields]))
    }

    /// Waits until everything that was sent is in a block.
    fn seal(&self) {
        let count = |block: &str| ask(self.geth.at, "eth_getTransactionCount", &json!([self.account, block]));
        let end = Instant::now() + SEALING_MAX;
        while count("latest") != count("pending") {
            assert!(Instant::now() < end, "geth makes no block");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn deploy(&self, code: &str) -> String {
        let hash = self.send(None, code);
        self.seal();
        let end = Instant::now() + SEALING_MAX;
        loop {
            // Refused while transactions are indexed, which is soon after a start.
            let got = answer(self.geth.at, "eth_getTransactionReceipt", &json!([hash]));
            if let Some(contract) = got["result"]["contractAddress"].as_str() {
                return contract.to_owned();
            }
            assert!(Instant::now() < end, "{got}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// So often a block, or one each, in which each of these rings so many times.
    fn ring(&mut self, bells: &[String], (blocks, times): (u64, u64)) {
        for _ in 0..blocks {
            for bell in bells {
                self.tag += 1;
                self.send(Some(bell), &rung(times, self.tag % 5));
            }
            self.seal();
        }
    }

    /// The last blocks are gone, and geth says nothing of it until there is another.
    fn set_back(&self, depth: u64) {
        let number = height(self.geth.at) - depth;
        ask(self.geth.at, "debug_setHead", &json!([format!("0x{number:x}")]));
    }

    fn stand_still(&self) {
        self.geth.signal("STOP");
        std::thread::sleep(STANDSTILL);
        self.geth.signal("CONT");
    }

    fn kill(&mut self) {
        self.geth.process.take().expect("it runs").signal("KILL");
    }

    fn restart(&mut self) {
        self.geth.launch();
        self.relays.iter().for_each(|relay| relay.aim(self.geth.at));
    }
}

/// Everything that may happen to a provider and to the chain; each phase makes so many blocks.
fn live_through(chain: &mut Chain, bells: &[String], blocks: u64) {
    chain.ring(bells, (blocks, 9));
    for place in [0, 1] {
        chain.relays[place].kill();
        chain.ring(bells, (blocks, 9));
        chain.relays[place].restart();
        chain.ring(bells, (blocks, 9));
    }
    for place in [0, 1] {
        chain.relays[place].stall(true);
        chain.ring(bells, (2 * blocks, 3));
        std::thread::sleep(STANDSTILL);
        chain.relays[place].stall(false);
        chain.ring(bells, (blocks, 9));
    }
    chain.stand_still();
    chain.ring(bells, (blocks, 9));
    chain.kill();
    std::thread::sleep(Duration::from_secs(1));
    chain.restart();
    chain.ring(bells, (blocks, 9));
    for depth in [1, 2, 3, 5, 8, 13, 24] {
        chain.set_back(depth);
        chain.ring(bells, (3, 9));
    }
    for place in 0..BIG_BLOCKS {
        chain.ring(&bells[place % 2..][..1], (1, BIG_BLOCK_LOGS));
    }
}

fn keep_ledgers(story: &str, period: &'static str, blocks: u64) {
    let Some(tools) = tools() else { return };
    let Some(mut chain) = Chain::start(period) else { return };
    let bells = [chain.deploy(BELL), chain.deploy(BELL)];
    chain.ring(&bells, (blocks, 1));
    let mut lasso = Lasso::start_with(&chain.profile(), &["--breaker-recovery-ms", "1000"]);
    let filters = filters(&bells);
    let watchers = watch(&tools, &lasso, (story, &filters));
    let from = height(chain.geth.at);
    live_through(&mut chain, &bells, blocks);
    std::thread::sleep(Duration::from_secs(5));
    judge(watchers, chain.geth.at, (&filters, from));
    lasso.assert_alive();
}

#[test]
fn every_ledger_of_logs_is_geths() {
    keep_ledgers("geth", "0", 8);
}

#[test]
fn every_ledger_of_logs_is_that_of_a_geth_with_a_clock() {
    keep_ledgers("geth-clock", "1", 4);
}

#[test]
fn every_block_of_geth_is_seen_once() {
    let Some(tools) = tools() else { return };
    for driver in DRIVERS {
        let Some(chain) = Chain::start("0") else { return };
        see_every_block(&tools, chain, driver);
    }
}

fn see_every_block(tools: &Tools, mut chain: Chain, driver: &str) {
    let contract = chain.deploy(&watchers::bytecode());
    let mut lasso = Lasso::start_with(&chain.profile(), &["--driver", driver, "--breaker-recovery-ms", "1000"]);
    let clients = watchers::watch(tools, &lasso, &contract);
    let mut value = 0;
    let mut note = |chain: &Chain, times: u32| {
        for _ in 0..times {
            value += 1;
            chain.send(Some(&contract), &format!("{}{value:064x}", watchers::NOTE));
            chain.seal();
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    note(&chain, 5);
    for place in [0, 1] {
        chain.relays[place].kill();
        note(&chain, 8);
        chain.relays[place].restart();
        note(&chain, 12);
    }
    chain.stand_still();
    note(&chain, 8);
    std::thread::sleep(Duration::from_secs(2));
    let last = height(chain.geth.at);
    for (script, client) in clients {
        let what = format!("{script} on {driver}");
        let failed = watchers::judge(&what, &client.finish(&what), last, value);
        println!("{what}: {failed} calls failed while relays were killed and geth stood still");
    }
    lasso.assert_alive();
}

#[test]
fn what_geth_says_comes_as_it_stands() {
    let Some(mut chain) = Chain::start("0") else { return };
    let bells = [chain.deploy(BELL), chain.deploy(BELL)];
    chain.ring(&bells, (3, BIG_BLOCK_LOGS));
    let lost = ask(chain.geth.at, "eth_getBlockByNumber", &json!(["latest", false]))["hash"].take();
    chain.set_back(2);
    chain.ring(&bells, (1, 1));
    for driver in DRIVERS {
        let mut lasso = Lasso::start(&chain.profile(), driver);
        for path in ["/rpc/one", "/rpc/one/p1"] {
            assert_same_answers((chain.geth.at, lasso.address), path, &questions(&chain.account, &bells[0], &lost));
        }
        follow_a_filter(&mut chain, &bells, lasso.address);
        lasso.assert_alive();
    }
}

/// What is answered, what is not there, what is beyond the head, what was set back, and what geth refuses in its own words.
fn questions(account: &Value, bell: &str, lost: &Value) -> Vec<(&'static str, Value)> {
    let unknown = format!("0x{}", "ab".repeat(32));
    vec![
        ("eth_getBlockByNumber", json!(["latest", true])),
        ("eth_getBlockByNumber", json!(["safe", false])),
        ("eth_getBlockByNumber", json!(["0xffffff", false])),
        ("eth_getBlockByHash", json!([lost, false])),
        ("eth_getBlockReceipts", json!(["latest"])),
        ("eth_getBlockReceipts", json!([lost])),
        ("eth_getLogs", json!([{"fromBlock": "0x0"}])),
        ("eth_getLogs", json!([{"blockHash": lost}])),
        ("eth_getLogs", json!([{"blockHash": unknown}])),
        ("eth_getLogs", json!([{"fromBlock": "0xfffff", "toBlock": "0xffffff"}])),
        ("eth_getLogs", json!([{"fromBlock": "0x2", "toBlock": "0x1"}])),
        ("eth_getTransactionReceipt", json!([unknown])),
        ("eth_call", json!([{"to": bell, "data": "0x"}, {"blockHash": lost}])),
        ("eth_call", json!([{"to": bell, "data": "0x"}, "0xffffff"])),
        ("eth_call", json!([{"from": bell, "to": bell, "value": "0xffffffffffffffffffff"}, "latest"])),
        ("eth_getBalance", json!([account, unknown])),
        ("eth_getBalance", json!(["0x12", "latest"])),
        ("eth_getProof", json!([account, ["0x0"], "latest"])),
        ("eth_feeHistory", json!(["0x2", "latest", [10, 90]])),
        ("eth_sendRawTransaction", json!(["0xf86b"])),
        ("eth_getFilterChanges", json!(["0x1"])),
        ("debug_traceTransaction", json!([unknown])),
        ("debug_traceCall", json!([{"to": bell}, "pending"])),
        ("eth_nothing", json!([])),
    ]
}

/// A filter lives at one provider, under an id that says at which.
fn follow_a_filter(chain: &mut Chain, bells: &[String], lasso: SocketAddr) {
    let through = |method: &str, params: Value| -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        http::post(lasso, "/rpc/one", &body).json()["result"].take()
    };
    let filter = through("eth_newFilter", json!([{"address": bells[0]}]));
    chain.ring(bells, (2, 3));
    let told = through("eth_getFilterChanges", json!([filter]));
    assert_eq!(told.as_array().map(Vec::len), Some(6), "{told}");
    assert_eq!(through("eth_getFilterChanges", json!([filter])), json!([]));
    assert_eq!(through("eth_uninstallFilter", json!([filter])), json!(true));
}
