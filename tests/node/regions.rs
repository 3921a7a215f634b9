//! Regions on real nodes of one cluster and one configuration: each node calls a provider at its own region's endpoint, by name too, and
//! ranks by what it measures itself; it prefers its region's providers, and those that a client's `X-Lasso-Region` names, and goes
//! elsewhere when they fail.

use crate::actor::{Actor, Say, healthy};
use crate::api::{eventually, get, of_provider};
use crate::cluster::{WITHIN, list, ports, responding, start_in, until};
use crate::feed::{Chain, Feed};
use crate::harness::Lasso;
use crate::http::{Client, READ, post};
use crate::provider::{Provider, answer, ok, with_status, write};
use crate::websocket::{ask, connect};
use crate::ws_provider::WsProvider;
use serde_json::Value;
use std::time::{Duration, Instant};

const REGIONS: [&str; 3] = ["eu", "us", "ap"];

/// A node of each region, in one cluster, of one configuration.
fn nodes(profile: &str) -> [Lasso; 3] {
    let ports = ports::<3>();
    let query = list(&ports);
    let started = [0, 1, 2].map(|n| start_in(profile, &format!("{}-1", REGIONS[n]), REGIONS[n], ports[n], &query));
    started.iter().for_each(|node| _ = until(node, WITHIN, "complete", |c| responding(c) == 3));
    started
}

fn profile(entries: &str) -> String {
    format!("slug: default\nrps_limit: 0\nchains:\n  one:\n    chain_id: 1\n    providers:\n{entries}")
}

fn call(method: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":["0x0000000000000000000000000000000000000001","latest"]}}"#)
}

/// Answers after so long, the node's own questions too.
fn after(ms: u64, result: &'static str) -> Actor {
    Actor::new(move |seen| {
        let say = if seen.is_own { healthy(seen, 100) } else { Say::Result(result.to_owned()) };
        (Duration::from_millis(ms), say)
    })
}

#[test]
fn each_node_calls_the_endpoint_of_its_region() {
    let [world, eu] = ["\"0x1\"", "\"0x2\""].map(Provider::good);
    let (sockets, us_sockets) = (WsProvider::good("\"0x3\""), WsProvider::good("\"0x4\""));
    // The European one is known by a name that no other node asks for.
    let nodes = nodes(&profile(&format!(
        "      - id: a\n        url: 'http://{}/k'\n        ws_url: 'ws://{}/k'\n        region_urls:\n          \
         eu: {{url: 'http://localhost:{}/k'}}\n          us: {{ws_url: 'ws://{}/k'}}\n",
        world.address,
        sockets.address,
        eu.address.port(),
        us_sockets.address,
    )));
    // What a region does not say stays as it is everywhere.
    let wanted = [["0x2", "0x3"], ["0x1", "0x4"], ["0x1", "0x3"]];
    for (node, [http, ws]) in nodes.iter().zip(wanted) {
        assert_eq!(post(node.address, "/rpc/one?transport=http", READ).json()["result"], http);
        let over_sockets = |answer: &Value| answer["result"] == ws;
        let end = Instant::now() + WITHIN;
        // The first answer may come over HTTP while the connection is opened.
        while !over_sockets(&post(node.address, "/rpc/one?transport=ws", READ).json()) {
            assert!(Instant::now() < end, "never over {ws}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let shown = |node: &Lasso| of_provider(&get(node.address, "/api/providers/one").1, "a")["url"].clone();
    assert_eq!(shown(&nodes[0]), format!("http://localhost:{}", eu.address.port()));
    assert_eq!(shown(&nodes[1]), format!("http://{}", world.address));
    assert_eq!((world.count("eth_getBalance"), eu.count("eth_getBalance")), (2, 1));
    // It is one provider all the same: what one node made, another one finds.
    let filter = post(nodes[0].address, "/rpc/one?transport=http", &call("eth_newBlockFilter")).json();
    let id = filter["result"].as_str().expect("a filter").to_owned();
    assert!(id.len() > 10, "{id} names its provider");
    let changes = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getFilterChanges","params":["{id}"]}}"#);
    let answered = post(nodes[1].address, "/rpc/one?transport=http", &changes).json();
    assert_eq!(answered["result"], "0x1", "{answered}");
    assert!(world.got().iter().any(|got| got.method == "eth_getFilterChanges" && got.body.contains("\"0x2\"")));
}

/// Two providers that are near in one region and far in the other: nobody is told so.
#[test]
fn each_node_ranks_by_what_it_measures_itself() {
    let [east_near, east_far] = [after(1, "\"0xe\""), after(60, "\"0xe\"")];
    let [west_near, west_far] = [after(1, "\"0xf\""), after(60, "\"0xf\"")];
    let entry = |id: &str, near: &Actor, far: &Actor, home: &str| {
        format!(
            "      - {{id: {id}, url: 'http://{}/k', region_urls: {{{home}: {{url: 'http://{}/k'}}}}}}\n",
            far.address, near.address
        )
    };
    let east = entry("east", &east_near, &east_far, "eu");
    let nodes = nodes(&profile(&(east + &entry("west", &west_near, &west_far, "us"))));
    for (node, best) in nodes.iter().zip(["0xe", "0xf"]) {
        let (began, mut in_a_row) = (Instant::now(), 0);
        while in_a_row < 20 {
            let got = post(node.address, "/rpc/fastest/one", READ).json();
            in_a_row = if got["result"] == best { in_a_row + 1 } else { 0 };
            let why = || get(node.address, "/api/explain/default/one/eth_getBalance?strategy=fastest").1;
            assert!(began.elapsed() < WITHIN, "{best} is not chosen: {:#}", why());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    // What each measured is its own, also where all are shown together.
    for (node, [near, far]) in nodes.iter().zip([["east", "west"], ["west", "east"]]) {
        let latency = |told: &Value, id: &str| of_provider(told, id)["probe_latency_ms"].as_f64();
        let told = eventually(node.address, "/api/region", |told| latency(told, near).is_some() && latency(told, far).is_some());
        assert!(latency(&told, near) < latency(&told, far), "{told:#}");
    }
    let is_merged =
        |told: &Value| told["coverage"]["responding"] == 3 && told["chain_performance"]["total_calls"].as_u64() >= Some(40);
    let merged = eventually(nodes[2].address, "/api/metrics/one?scope=cluster", is_merged);
    for (region, id) in [("eu", "east"), ("us", "west")] {
        let of_region = get(nodes[2].address, &format!("/api/metrics/one?region={region}")).1;
        let p50 = |told: &Value| of_provider(told, id)["p50_latency_ms"].as_f64();
        assert!(p50(&of_region).is_some_and(|ms| ms < 40.0), "{of_region:#}");
        assert!(of_provider(&merged, id)["total_calls"].as_u64() >= of_provider(&of_region, id)["total_calls"].as_u64());
    }
}

#[test]
fn a_region_is_preferred_and_no_wall() {
    let far = Provider::good("\"0x9\"");
    let near = Provider::new(|got, stream| match got.method.as_str() {
        "eth_call" => write(stream, &with_status("503 Service Unavailable", "", "")),
        _ => write(stream, &answer(&ok(&got.id, "\"0x1\""))),
    });
    let nodes = nodes(&profile(&format!(
        "      - {{id: far, priority: 0, url: 'http://{}/k', regions: [us, ap-2]}}\n      \
         - {{id: near, priority: 1, url: 'http://{}/k', regions: [eu]}}\n",
        far.address, near.address
    )));
    let ask_for = |node: &Lasso, region: &str, method: &str| {
        let field = if region.is_empty() { String::new() } else { format!("x-lasso-region: {region}\r\n") };
        let answer = Client::new(node.address).post_with("/rpc/one?include_meta=headers", &field, &call(method));
        (answer.json()["result"].as_str().unwrap_or("").to_owned(), answer)
    };
    let check = |node: &Lasso, region: &str, result: &str| {
        let (got, answer) = ask_for(node, region, "eth_getBalance");
        assert_eq!(got, result, "asked for {region:?}");
        // Where it was answered is not where somebody was preferred.
        let own = &get(node.address, "/api/region").1["region"];
        for name in ["x-lasso-region", "x-livechain-region"] {
            assert_eq!(answer.field(name), own.as_str(), "{region:?}");
        }
        let explained = get(node.address, &format!("/api/explain/default/one/eth_getBalance?region={region}")).1;
        assert_eq!(explained["chosen"], if result == "0x1" { "near" } else { "far" }, "{explained:#}");
    };
    let [eu, us, ap] = &nodes;
    for (node, region, result) in [
        (eu, "", "0x1"),
        (us, "", "0x9"),
        (eu, "us", "0x9"),
        (us, "eu", "0x1"),
        (eu, "ap-2", "0x9"),
        // Nobody is of it: as if nothing was said. Names are compared as they are.
        (eu, "mars", "0x1"),
        (eu, "US", "0x1"),
        // No provider is of this node's region: all are alike, and the first is the first.
        (ap, "", "0x9"),
        (ap, "eu", "0x1"),
    ] {
        check(node, region, result);
    }
    // Each call of a batch, and each on a WebSocket that was opened so.
    let batch = format!("[{},{}]", call("eth_getBalance"), call("eth_gasPrice"));
    let answers = Client::new(eu.address).post_with("/rpc/one", "x-lasso-region: us\r\n", &batch).json();
    assert!(answers.as_array().is_some_and(|all| all.len() == 2 && all.iter().all(|one| one["result"] == "0x9")), "{answers}");
    // The preferred one fails: the call is answered elsewhere.
    assert_eq!(ask_for(eu, "", "eth_call").0, "0x9");
    assert_eq!(ask_for(us, "eu", "eth_call").0, "0x9");
    assert_eq!(near.count("eth_call"), 2);
}

#[test]
fn subscriptions_are_led_by_the_region_of_the_node() {
    let chain = Chain::new();
    let [far, near] = [Feed::new(&chain), Feed::new(&chain)];
    let entry = |id: &str, priority: u32, feed: &Feed, region: &str| {
        let at = feed.address;
        format!("      - {{id: {id}, priority: {priority}, url: 'http://{at}', ws_url: 'ws://{at}', regions: [{region}]}}\n")
    };
    let profile = profile(&(entry("far", 0, &far, "us") + &entry("near", 1, &near, "eu")));
    let lasso = Lasso::start_with(&profile, &["--region", "eu"]);
    let mut ws = connect(lasso.address, "/ws/rpc/one");
    let confirmed = ask(&mut ws, r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newPendingTransactions"]}"#);
    assert!(confirmed["result"].is_string(), "{confirmed}");
    let counts = [&near, &far].map(|feed| feed.count("newpendingtransactions").total);
    assert_eq!(counts, [1, 0], "what the node wants for itself it has of both, what clients want of the one that leads");
}
