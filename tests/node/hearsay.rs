//! What happens on three real nodes, from any of them: each event once and with its origin, nothing while nobody listens, and what a
//! node that is killed looks like to the others.

use crate::api::get;
use crate::cluster::{WITHIN, list, ports, responding, start_in, until};
use crate::events::Listener;
use crate::harness::{Lasso, no_limit};
use crate::http::{Client, READ, post};
use crate::openapi::Spec;
use crate::provider::Provider;
use serde_json::{Value, json};
use std::time::Duration;

fn told_bytes(lasso: &Lasso) -> u64 {
    get(lasso.address, "/api/cluster").1["events"]["told_bytes"].as_u64().expect("a number")
}

/// An operator's order to this node alone.
fn order(lasso: &Lasso, provider: &str, word: &str) {
    let mut client = Client::new(lasso.address);
    let head = format!(
        "POST /api/breakers/default/one/{provider}/{word} HTTP/1.1\r\nhost: 127.0.0.1\r\n\
         content-type: application/json\r\ncontent-length: 0\r\n\r\n"
    );
    client.send(head.as_bytes());
    let answer = client.answer().expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// A circuit's change at a node.
fn circuit<'a>(node: &'a str, provider: &'a str, to: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |event| {
        event["event"] == "provider.circuit"
            && event["node_id"] == node
            && event["providers"][0]["id"] == provider
            && event["to"] == to
    }
}

fn count(events: &[Value], is_it: impl Fn(&Value) -> bool) -> usize {
    events.iter().filter(|event| is_it(event)).count()
}

#[test]
fn what_happens_on_any_node_is_told_once_with_its_origin() {
    let good = Provider::good("\"0x1\"");
    let other = Provider::good("\"0x2\"");
    let profile = no_limit(&[good.address, other.address]);
    let ports = ports::<3>();
    let query = list(&ports);
    let regions = ["eu", "us", "ap"];
    let mut nodes: Vec<Lasso> =
        (0..3).map(|n| start_in(&profile, &format!("{}-1", regions[n]), regions[n], ports[n], &query)).collect();
    for node in &nodes {
        until(node, WITHIN, "complete", |c| responding(c) == 3);
        assert!(
            get(node.address, "/api/cluster").1["nodes"].as_array().expect("a list").iter().all(|n| n["tells_events"] == true)
        );
    }
    // What happens while nobody listens goes nowhere, and is known to who listens later.
    let mut own = Listener::new(nodes[0].address, "", None);
    order(&nodes[1], "b", "open");
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(nodes.iter().map(told_bytes).collect::<Vec<_>>(), [0, 0, 0], "nobody asked");
    let mut all = Listener::new(nodes[0].address, "?scope=cluster", None);
    let mut heard = all.until(circuit("us-1", "b", "open"));
    for n in 0..20 {
        // Calls are figures: they are not told on.
        assert_eq!(post(nodes[1].address, "/rpc/one", READ).status, 200);
        let (provider, word) = (["a", "b"][n % 2], ["open", "auto"][n / 2 % 2]);
        order(&nodes[1 + n % 2], provider, word);
    }
    order(&nodes[2], "b", "close");
    heard.extend(all.until(|event| event["node_id"] == "ap-1" && event["message"] == "circuit held closed by hand"));
    order(&nodes[0], "a", "open");
    heard.extend(all.until(circuit("eu-1", "a", "open")));
    assert!(heard.iter().all(|event| event["node_id"].is_string() && event["region"].is_string()), "{heard:#?}");
    assert_eq!(count(&heard, |event| event["event"] == "rpc.request.completed" && event["node_id"] != "eu-1"), 0);
    assert!(count(&heard, |event| event["event"] == "node.ready" && event["region"] == "us") == 1, "{heard:#?}");
    each_once_and_in_order(&nodes, &heard);
    filters_and_own(&nodes, &mut own);
    Spec::load().check_message("batch", &json!(heard.iter().take(100).collect::<Vec<_>>()));
    // A killed node is missed by each of the others.
    drop(nodes.remove(2));
    let lost = |by: &'static str| {
        move |event: &Value| {
            event["event"] == "cluster.node"
                && event["node_id"] == by
                && event["peer_id"] == "ap-1"
                && event["to"] != "responding"
        }
    };
    all.wait_for(Duration::from_secs(40));
    let mut gone = Vec::new();
    while !(gone.iter().any(lost("eu-1")) && gone.iter().any(lost("us-1"))) {
        gone.extend(all.until(|event| event["event"] == "cluster.node"));
    }
    drop(all);
    std::thread::sleep(Duration::from_secs(2));
    let before = told_bytes(&nodes[1]);
    order(&nodes[1], "a", "close");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(told_bytes(&nodes[1]), before, "nobody listens any more");
}

/// What was heard of a node is what a listener at that node hears.
fn each_once_and_in_order(nodes: &[Lasso], heard: &[Value]) {
    for (node, id) in nodes.iter().zip(["eu-1", "us-1", "ap-1"]).skip(1) {
        let circuits = |events: &[Value]| -> Vec<String> {
            let of = events.iter().filter(|event| event["event"] == "provider.circuit");
            of.map(|event| format!("{} {} {}", event["timestamp"], event["providers"][0]["id"], event["to"])).collect()
        };
        let theirs: Vec<Value> = heard.iter().filter(|event| event["node_id"] == id).cloned().collect();
        let mut there = Listener::new(node.address, "?types=provider.circuit,node.ready", None);
        let said = circuits(&there.until(|event| event["event"] == "provider.circuit"));
        let got = circuits(&theirs);
        assert!(got.len() >= 5 && said.starts_with(&got), "{id}: heard {got:#?}, it said {said:#?}");
    }
}

fn filters_and_own(nodes: &[Lasso], own: &mut Listener) {
    let mine = own.until(|event| event["event"] == "provider.circuit");
    assert!(mine.iter().all(|event| event["node_id"].is_null()), "without a scope nothing names a node: {mine:#?}");
    assert_eq!(count(&mine, |event| event["event"] == "provider.circuit"), 1, "its own, and nobody else's");
    let mut here = Listener::new(nodes[0].address, "?scope=cluster&profile=default&chain=one&types=provider", None);
    here.until(circuit("us-1", "b", "open"));
    let mut client = Client::new(nodes[0].address);
    client.send(b"GET /api/events?scope=everywhere HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(client.answer().expect("an answer").status, 400);
}
