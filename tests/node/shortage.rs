//! What the node lacks is its own affair: no provider is blamed, clients are told, the operator is told once what to raise.

use crate::actor::{Actor, steady};
use crate::harness::{Lasso, no_limit, profile};
use crate::http::{Client, READ};
use serde_json::Value;
use std::time::Duration;

fn circuit(client: &mut Client) -> Value {
    client.send(b"GET /api/providers/one HTTP/1.1\r\nhost: x\r\n\r\n");
    let told = client.answer().expect("an answer").json();
    told["providers"][0]["circuit"]["state"].clone()
}

fn shortages(lines: &[String], of: &str) -> usize {
    let is_about = |line: &&String| line.contains("\"node.shortage\"") && line.contains(of);
    lines.iter().filter(is_about).count()
}

#[test]
fn clients_beyond_the_descriptors_are_refused_with_a_reason_and_providers_stay_reachable() {
    let provider = Actor::new(steady(1));
    let lasso = Lasso::start_with_open_files(&no_limit(&[provider.address]), 256);
    assert!(lasso.told_at_start.contains("256 open files"), "{}", lasso.told_at_start);
    let mut all: Vec<Client> = Vec::new();
    let mut refused = 0;
    for _ in 0..400 {
        let mut client = Client::new(lasso.address);
        let answer = client.post("/rpc/one", READ);
        match answer.status {
            200 => {
                assert!(answer.json()["result"].is_string(), "{}", answer.text());
                all.push(client);
            }
            503 => {
                assert_eq!(answer.json()["error"]["code"], -32008, "{}", answer.text());
                assert!(answer.json()["error"]["data"]["limit_connections"].is_u64(), "{}", answer.text());
                assert_eq!(answer.field("connection"), Some("close"));
                assert!(client.is_closed());
                refused += 1;
            }
            status => panic!("{status}: {}", answer.text()),
        }
    }
    assert!(all.len() >= 32 && refused >= 200, "{} served, {refused} refused", all.len());
    // Whoever is in is served, and the provider has done nothing wrong.
    for client in &mut all {
        assert!(client.post("/rpc/one", READ).json()["result"].is_string());
    }
    assert_eq!(circuit(&mut all[0]), "closed");
    // Who leaves makes room.
    all.truncate(10);
    let served = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        Client::new(lasso.address).post("/rpc/one", READ).status == 200
    });
    assert!(served, "no room although clients left");
    std::thread::sleep(Duration::from_millis(300));
    let lines = lasso.said();
    assert_eq!((shortages(&lines, "client_connections"), shortages(&lines, "open_files")), (1, 0), "{lines:?}");
}

#[test]
fn waiting_for_our_own_connections_opens_no_circuit() {
    let slow = |seen: &crate::actor::Seen| {
        let wait = if seen.method == "eth_getLogs" { Duration::from_secs(4) } else { Duration::from_millis(1) };
        (wait, crate::actor::healthy(seen, 100))
    };
    let provider = Actor::new(slow);
    let text = profile(&[provider.address], "rps_limit: 0").replace("priority: 0", "priority: 0\n        max_connections: 2");
    let lasso = Lasso::start_with(&text, &["--shards", "1"]);
    let at = lasso.address;
    let ask = |method: &'static str| {
        std::thread::spawn(move || {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[{{}}]}}"#);
            Client::new(at).post("/rpc/one", &body).json()
        })
    };
    let slow_calls: Vec<_> = (0..3).map(|_| ask("eth_getLogs")).collect();
    std::thread::sleep(Duration::from_millis(200));
    let waiting: Vec<_> = (0..6).map(|_| ask("eth_gasPrice")).collect();
    waiting.into_iter().chain(slow_calls).for_each(|call| drop(call.join().expect("an answer")));
    assert_eq!(circuit(&mut Client::new(at)), "closed");
    assert!(Client::new(at).post("/rpc/one", READ).json()["result"].is_string());
}

#[test]
fn a_signal_at_any_moment_of_the_start_ends_it() {
    let provider = Actor::new(steady(1));
    let flags = ["--shards", "16", "--pin", "false", "--drain-seconds", "1"];
    // Some are before the handler, some among the shards' first steps, some behind them.
    for delay_ms in (0..120).step_by(3) {
        let status = Lasso::signalled_at_start(&no_limit(&[provider.address]), &flags, Duration::from_millis(delay_ms));
        assert!(status.is_some(), "it lives 4 s after a signal {delay_ms} ms after its start");
    }
}

#[test]
fn why_a_provider_cannot_be_reached_is_told_and_a_name_without_an_address_is_nobodys_failure() {
    let dead = Actor::dead(steady(1));
    let text =
        profile(&[dead.address, dead.address], "rps_limit: 0").replacen(&dead.address.to_string(), "no-such-host.invalid:1", 1);
    let lasso = Lasso::start(&text, "io_uring");
    let told = || {
        let mut client = Client::new(lasso.address);
        (0..4).for_each(|_| drop(client.post("/rpc/one", READ)));
        client.send(b"GET /api/providers/one HTTP/1.1\r\nhost: x\r\n\r\n");
        client.answer().expect("an answer").json()
    };
    let cause = |told: &Value, of: usize| told["providers"][of]["unreachable"]["cause"].clone();
    crate::scenario::within(Duration::from_secs(10), "both are told", || {
        let told = told();
        cause(&told, 0) == "unresolved" && cause(&told, 1) == "refused" && told["providers"][1]["circuit"]["state"] == "open"
    });
    let told = told();
    assert_eq!(told["providers"][0]["circuit"]["state"], "closed", "{told:#}");
    for (of, words) in [(0, "no address"), (1, "refuses the connection")] {
        assert!(told["providers"][of]["reason"].as_str().is_some_and(|reason| reason.contains(words)), "{told:#}");
    }
    let lines = lasso.said();
    for words in ["no address", "refuses the connection"] {
        let is_about = |line: &&String| line.contains("\"provider.unreachable\"") && line.contains(words);
        assert_eq!(lines.iter().filter(is_about).count(), 1, "{words}: {lines:?}");
    }
}
