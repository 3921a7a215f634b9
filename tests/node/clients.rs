//! Real nodes and real client libraries: anvil and hardhat as two providers of one chain, and viem, ethers and web3.py
//! in front, each doing through lasso what an application does (tests/clients). The scripts judge by their library's own
//! eyes; the bytes are compared here, with what the node says when asked directly.
//!
//! The nodes share a chain id and accounts but not a chain, so whatever writes and then reads goes where priority sends it
//! (anvil), or to the provider that its URL names (hardhat). The nodes are installed by scripts/node-test, which says where in
//! LASSO_NODE_TOOLS; without it these tests say that they were left out, and fail in CI.

use crate::harness::{DRIVERS, Lasso};
use crate::http;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

pub const CLIENTS: [&str; 3] = ["viem.mjs", "ethers.mjs", "web3py.py"];
/// A node or a client that takes this long hangs; both need about a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Tools(PathBuf);

/// Where scripts/node-test has put nodes and libraries.
pub fn tools() -> Option<Tools> {
    if let Some(path) = std::env::var_os("LASSO_NODE_TOOLS") {
        return Some(Tools(path.into()));
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "LASSO_NODE_TOOLS is not set: run scripts/node-test");
    eprintln!("skipped: real nodes and clients need LASSO_NODE_TOOLS; scripts/node-test installs them and sets it");
    None
}

impl Tools {
    fn node_js(&self) -> Command {
        let mut command = Command::new("node");
        // The scripts are a link in the tools' folder, so that they find its libraries.
        command.current_dir(&self.0).args(["--preserve-symlinks", "--preserve-symlinks-main"]);
        command
    }

    pub fn anvil(&self, flags: &[&str]) -> Process {
        let mut command = Command::new(self.0.join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"));
        command.args(["--host", "127.0.0.1", "--chain-id", "31337"]).args(flags);
        if !flags.contains(&"--port") {
            command.args(["--port", "0"]);
        }
        Process::start(&mut command)
    }

    pub fn hardhat(&self) -> Process {
        let mut command = self.node_js();
        command.args(["node_modules/hardhat/internal/cli/bootstrap.js", "--config", "clients/hardhat.config.cjs"]);
        command.args(["node", "--hostname", "127.0.0.1", "--port", "0"]).env("HARDHAT_DISABLE_TELEMETRY_PROMPT", "true");
        // Where CI is set it colours its lines although nobody looks.
        command.env("NO_COLOR", "1");
        Process::start(&mut command)
    }

    pub fn client(&self, script: &str, url: &str, mode: &[&str]) -> Process {
        let mut command = if script.ends_with(".py") { Command::new(self.0.join("venv/bin/python")) } else { self.node_js() };
        Process::start(command.arg(self.0.join("clients").join(script)).arg(url).args(mode))
    }
}

/// A node or a client: killed when dropped.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|e| panic!("{command:?}: {e}; scripts/node-test installs it"));
        let lines = lines(child.stdout.take().expect("its output"));
        Process { child, lines }
    }

    /// The first line that starts so.
    pub fn says(&self, start: &str) -> String {
        self.line(start, |line| line.starts_with(start))
    }

    fn line(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let mut said = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            if is_it(&line) {
                return line;
            }
            said.push(line);
        }
        panic!("it never said {what:?}, but: {said:#?}")
    }

    /// Where a node listens, from the line in which these words stand; some put the time before them.
    pub fn address(&self, words: &str) -> SocketAddr {
        let line = self.line(words, |line| line.contains(words));
        let text = line[line.find("127.0.0.1:").expect("an address")..].split_whitespace().next().unwrap_or("");
        text.trim_end_matches('/').parse().unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(done.expect("kill runs").success(), "the process is gone");
    }

    /// Ends its input; everything it said until its own end, which must be a success.
    pub fn finish(mut self, what: &str) -> Vec<String> {
        drop(self.child.stdin.take());
        let mut said = Vec::new();
        let why = loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => said.push(line),
                Err(why) => break why,
            }
        };
        assert!(why == RecvTimeoutError::Disconnected, "{what} hangs; it said {said:#?}");
        let ended = self.child.wait().expect("its state");
        assert!(ended.success(), "{what}: {ended}; it said {said:#?}");
        said
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Read to the end, wanted or not: a full pipe would stop the node.
fn lines(stdout: ChildStdout) -> Receiver<String> {
    let (told, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = told.send(line);
        }
    });
    lines
}

struct Nodes {
    anvil: Process,
    anvil_at: SocketAddr,
    hardhat_at: SocketAddr,
    _hardhat: Process,
}

impl Nodes {
    fn start(tools: &Tools) -> Nodes {
        let (anvil, hardhat) = (tools.anvil(&[]), tools.hardhat());
        let anvil_at = anvil.address("Listening on ");
        let hardhat_at = hardhat.address("Started HTTP");
        Nodes { anvil, anvil_at, hardhat_at, _hardhat: hardhat }
    }

    fn profile(&self) -> String {
        let Nodes { anvil_at, hardhat_at, .. } = self;
        format!(
            "---\nname: t\nslug: default\nrps_limit: 0\n---\nchains:\n  one:\n    chain_id: 31337\n    providers:\n      \
             - id: anvil\n        url: \"http://{anvil_at}\"\n        priority: 1\n      \
             - id: hardhat\n        url: \"http://{hardhat_at}\"\n        priority: 2\n"
        )
    }
}

#[test]
fn clients_work_through_the_node_as_they_do_without_it() {
    let Some(tools) = tools() else { return };
    let nodes = Nodes::start(&tools);
    for driver in DRIVERS {
        let mut lasso = Lasso::start(&nodes.profile(), driver);
        for (path, direct) in [("/rpc/one", nodes.anvil_at), ("/rpc/one/hardhat", nodes.hardhat_at)] {
            let url = format!("http://{}{path}", lasso.address);
            let running = CLIENTS.map(|script| (script, tools.client(script, &url, &[])));
            // All have ended before anything is compared: they mine blocks.
            let said = running.map(|(script, client)| client.finish(&format!("{script} at {path} on {driver}")));
            for said in said {
                let contract = said.last().expect("the contract's address");
                compare_bytes(direct, lasso.address, &format!("{path}?provider_id={}", provider_of(path)), contract);
            }
        }
        lasso.assert_alive();
    }
    fork(&tools, &nodes);
}

fn provider_of(path: &str) -> &str {
    if path.ends_with("hardhat") { "hardhat" } else { "anvil" }
}

/// What the node says must arrive as it stands, also its refusals: of a contract with data, of parameters, of methods.
fn compare_bytes(direct: SocketAddr, lasso: SocketAddr, path: &str, contract: &str) {
    let refuse = format!(r#"{{"to":"{contract}","data":"0x62c69b80"}}"#);
    let calls = [
        ("eth_getBlockByNumber", r#"["0x1",true]"#.to_owned()),
        ("eth_getBlockByNumber", r#"["0xffffff",true]"#.to_owned()),
        ("eth_getCode", format!(r#"["{contract}","latest"]"#)),
        ("eth_getLogs", format!(r#"[{{"address":"{contract}","fromBlock":"0x0"}}]"#)),
        ("eth_getProof", format!(r#"["{contract}",["0x0"],"latest"]"#)),
        ("eth_feeHistory", r#"["0x2","latest",[10,90]]"#.to_owned()),
        ("eth_call", format!(r#"[{refuse},"latest"]"#)),
        ("eth_estimateGas", format!("[{refuse}]")),
        ("eth_call", format!(r#"[{{"to":"{contract}"}},"latest"]"#)),
        ("eth_getBalance", r#"["0x12"]"#.to_owned()),
        ("eth_sendRawTransaction", r#"["0xf86b"]"#.to_owned()),
        ("eth_nothing", "[]".to_owned()),
    ];
    assert_same_answers((direct, lasso), path, &calls);
}

/// Each call, asked of the node itself and then through lasso.
pub fn assert_same_answers(at: (SocketAddr, SocketAddr), path: &str, calls: &[(&str, impl std::fmt::Display)]) {
    for (method, params) in calls {
        let body = format!(r#"{{"jsonrpc":"2.0","id":"a-1","method":"{method}","params":{params}}}"#);
        let (wanted, got) = (http::post(at.0, "/", &body), http::post(at.1, path, &body));
        assert_eq!(got.text(), wanted.text(), "{path}: {body}");
        assert_eq!(got.status, 200, "{path}: {body}");
    }
}

/// anvil as a client (alloy): a chain of its own on top of what it reads through lasso, here hardhat's.
fn fork(tools: &Tools, nodes: &Nodes) {
    let lasso = Lasso::start(&nodes.profile(), DRIVERS[0]);
    let url = format!("http://{}/rpc/one/hardhat", lasso.address);
    let anvil = tools.anvil(&["--fork-url", &url, "--no-rate-limit", "--retries", "0"]);
    let fork = anvil.address("Listening on ");
    // Where viem's first transaction deploys; the fork has nothing of it but what it asks for.
    let code =
        r#"{"jsonrpc":"2.0","id":1,"method":"eth_getCode","params":["0x5fbdb2315678afecb367f032d93f642f64180aa3","latest"]}"#;
    let (wanted, got) = (http::post(nodes.hardhat_at, "/", code).json(), http::post(fork, "/", code).json());
    assert_eq!((&got["result"], got["result"].as_str().map(str::len)), (&wanted["result"], Some(2 + 2 * 0x87)));
}

/// Who answers a call that any provider may answer.
fn answering(lasso: &Lasso) -> String {
    http::post(lasso.address, "/rpc/one", r#"{"jsonrpc":"2.0","id":1,"method":"web3_clientVersion","params":[]}"#).text()
}

#[test]
fn a_killed_node_costs_no_repeatable_call() {
    let Some(tools) = tools() else { return };
    for driver in DRIVERS {
        let mut nodes = Nodes::start(&tools);
        let mut lasso = Lasso::start(&nodes.profile(), driver);
        let urls = [format!("http://{}/rpc/one", lasso.address), format!("ws://{}/ws/rpc/one", lasso.address)];
        let start = |url| CLIENTS.map(|script| (format!("{script} at {url}"), tools.client(script, url, &["read"])));
        let readers: Vec<(String, Process)> = urls.iter().flat_map(|url| start(url.as_str())).collect();
        for (_, reader) in &readers {
            reader.says("reading");
        }
        std::thread::sleep(Duration::from_millis(1500));
        assert!(answering(&lasso).contains("anvil"), "{}", answering(&lasso));
        nodes.anvil.child.kill().expect("anvil is killed");
        std::thread::sleep(Duration::from_millis(2500));
        assert!(answering(&lasso).contains("Hardhat"), "{}", answering(&lasso));
        for (reading, reader) in readers {
            let said = reader.finish(&format!("{reading} on {driver}"));
            let calls: u32 = said[0].split(' ').next().and_then(|n| n.parse().ok()).expect("a count");
            assert!(calls > 50 && said[0].ends_with(" 0 failed"), "{reading} on {driver}: {said:?}");
            println!("{reading} on {driver}: {}", said[0]);
        }
        lasso.assert_alive();
    }
}
