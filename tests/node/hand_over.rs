//! More shards than a provider gets connections: a shard without one has its calls made by a shard that has.

use crate::api::eventually;
use crate::harness::{DRIVERS, Lasso};
use crate::http::{Answer, Client, READ, post};
use crate::provider::{Provider, ok};
use crate::ws_provider::{WsProvider, say};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 36;
/// Of a provider: of four shards for calls, and the control thread's.
const CONNECTIONS: usize = 5;

fn start(http: Option<&Provider>, ws: &WsProvider, driver: &str) -> Lasso {
    let url = http.map_or(String::new(), |http| format!("        url: \"http://{}\"\n", http.address));
    let profile = format!(
        "---\nname: t\nslug: default\nrps_limit: 0\n---\nchains:\n  one:\n    chain_id: 1\n    providers:\n      \
         - id: a\n{url}        ws_url: \"ws://{}\"\n",
        ws.address
    );
    Lasso::start_with(&profile, &["--driver", driver, "--shards", "6"])
}

fn echo() -> WsProvider {
    WsProvider::new(|got, socket| {
        let call: Value = serde_json::from_str(&got.body).expect("JSON");
        say(socket, &ok(&got.id, &call["params"][0].to_string()))
    })
}

/// A connection and a thread for each client.
fn all(
    at: SocketAddr,
    act: impl Fn(usize, &mut Client) -> Answer + Clone + Send + 'static,
) -> Vec<std::thread::JoinHandle<Answer>> {
    let client = |n| {
        let act = act.clone();
        std::thread::spawn(move || act(n, &mut Client::new(at)))
    };
    (0..CLIENTS).map(client).collect()
}

fn call(method: &str, id: usize, param: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":["{param}","latest"]}}"#)
}

/// A shard without a link that has this of what it counts.
fn is_without_link(shards: &Value, has: &str) -> bool {
    let is = |shard: &Value| shard["upstream_websockets"] == 0 && shard[has].as_u64().is_some_and(|count| count > 0);
    shards["shards"].as_array().is_some_and(|all| all.iter().take(6).any(is))
}

#[test]
fn every_shard_reaches_a_provider_with_only_a_websocket_on_four_connections() {
    for driver in DRIVERS {
        let ws = echo();
        let mut lasso = start(None, &ws, driver);
        let clients = all(lasso.address, |n, client| {
            for round in 0..20 {
                // Some are longer than what is held without a charge, both ways.
                let param = format!("{n}-{round}-{}", "ab".repeat(if round % 10 == 9 { 200_000 } else { 3 }));
                let got = client.post("/rpc/one", &call("eth_call", round, &param));
                assert_eq!(got.text(), format!(r#"{{"jsonrpc":"2.0","id":{round},"result":"{param}"}}"#));
            }
            client.post("/rpc/one", READ)
        });
        for client in clients {
            assert_eq!(client.join().expect("no panic").status, 200, "{driver}");
        }
        eventually(lasso.address, "/api/shards", |shards| is_without_link(shards, "calls"));
        assert!(ws.peak_connections() <= CONNECTIONS, "{}", ws.peak_connections());
        assert_eq!(ws.count("eth_call"), CLIENTS * 20, "each call went out once");
        lasso.assert_alive();
    }
}

#[test]
fn a_connection_that_dies_under_calls_of_other_shards_is_told_for_what_it_is() {
    for driver in DRIVERS {
        let silent = WsProvider::new(|_, _| true);
        let lasso = start(None, &silent, driver);
        let clients =
            all(lasso.address, |n, client| client.post("/rpc/one", &call("eth_sendRawTransaction", n, &format!("0x{n:04x}"))));
        let end = Instant::now() + Duration::from_secs(5);
        while silent.count("eth_sendRawTransaction") < CLIENTS {
            assert!(Instant::now() < end, "{driver}: {} came", silent.count("eth_sendRawTransaction"));
            std::thread::sleep(Duration::from_millis(10));
        }
        eventually(lasso.address, "/api/shards", |shards| is_without_link(shards, "attempts_in_flight"));
        silent.cut();
        for client in clients {
            let got = client.join().expect("no panic").json();
            assert!(got["error"]["message"].as_str().is_some_and(|text| text.contains("indeterminate")), "{got}");
        }
        assert_eq!(silent.count("eth_sendRawTransaction"), CLIENTS, "nothing was repeated");
    }
}

#[test]
fn a_shard_stays_while_others_drain_calls_that_it_makes() {
    for driver in DRIVERS {
        let is_held = Arc::new(AtomicBool::new(true));
        let held = is_held.clone();
        // One after the other, so that shards end at different times.
        let slow = WsProvider::new(move |got, socket| {
            while held.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(60));
            say(socket, &ok(&got.id, "\"0x7\""))
        });
        let mut lasso = start(None, &slow, driver);
        let clients = all(lasso.address, |_, client| client.post("/rpc/one", READ));
        eventually(lasso.address, "/api/shards", |shards| shards["total"]["calls"] == CLIENTS);
        lasso.signal("TERM");
        // Long enough for a shard without clients to have left.
        std::thread::sleep(Duration::from_millis(100));
        is_held.store(false, Ordering::SeqCst);
        let got: Vec<Answer> = clients.into_iter().map(|client| client.join().expect("no panic")).collect();
        assert!(got.iter().all(|got| got.json()["result"] == "0x7"), "{driver}: {got:?}");
        assert!(lasso.ended(Duration::from_secs(5)).is_some_and(|status| status.success()), "{driver}");
    }
}

#[test]
fn what_can_go_over_http_does_unless_the_websocket_is_asked_for() {
    let (http, ws) = (Provider::good("\"0xb\""), echo());
    let lasso = start(Some(&http), &ws, "io_uring");
    for _ in 0..CLIENTS {
        assert_eq!(post(lasso.address, "/rpc/one?transport=ws", &call("eth_call", 1, "0xc")).json()["result"], "0xc");
        assert_eq!(post(lasso.address, "/rpc/one?transport=http", READ).json()["result"], "0xb");
    }
    assert!(ws.peak_connections() <= CONNECTIONS, "{}", ws.peak_connections());
}
