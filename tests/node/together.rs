//! Figures of three real processes, from any of them: sums and distributions are those of the three together, by region and by id; one that is
//! killed makes them old, one that comes back begins at nothing, one that leaves takes its figures along.

use crate::api::get;
use crate::cluster::{WITHIN, list, ports, responding, start_in, until};
use crate::harness::{Lasso, no_limit};
use crate::http::{READ, post};
use crate::openapi::Spec;
use crate::provider::Provider;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn metrics(lasso: &Lasso, query: &str) -> (u16, Value) {
    get(lasso.address, &format!("/api/metrics/one{query}"))
}

fn calls(metrics: &Value) -> u64 {
    metrics["chain_performance"]["total_calls"].as_u64().expect("a number")
}

/// What `query` says once it is so.
fn eventually(lasso: &Lasso, query: &str, within: Duration, is_so: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + within;
    loop {
        let (status, told) = metrics(lasso, query);
        assert_eq!(status, 200, "{told:#}");
        if is_so(&told) {
            return told;
        }
        assert!(Instant::now() < end, "{query} never said so: {told:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn work(lasso: &Lasso, count: usize) {
    for _ in 0..count {
        assert_eq!(post(lasso.address, "/rpc/one", READ).status, 200);
    }
}

/// Buckets of one provider's latencies, by their bounds.
fn buckets(metrics: &Value, id: &str) -> BTreeMap<String, u64> {
    let provider = crate::api::of_provider(metrics, id);
    let pairs = provider["latency_histogram"].as_array().expect("a histogram");
    pairs.iter().map(|pair| (pair[0].to_string(), pair[1].as_u64().expect("a count"))).collect()
}

#[test]
fn any_of_three_nodes_tells_what_all_of_them_count() {
    let spec = Spec::load();
    let good = Provider::good("\"0x1\"");
    let profile = no_limit(&[good.address]);
    let ports = ports::<3>();
    let query = list(&ports);
    let region = |n: usize| ["eu", "eu", "us"][n];
    let id = |n: usize| ["twin", "twin", "single"][n];
    let mut nodes: Vec<Lasso> = (0..3).map(|n| start_in(&profile, id(n), region(n), ports[n], &query)).collect();
    for node in &nodes {
        until(node, WITHIN, "complete", |c| responding(c) == 3);
    }
    for (node, count) in nodes.iter().zip([40, 50, 60]) {
        work(node, count);
    }
    for (n, node) in nodes.iter().enumerate() {
        eventually(node, "", WITHIN, |own| calls(own) == [40, 50, 60][n]);
    }
    let mut merged = Value::Null;
    for node in &nodes {
        merged = eventually(node, "?scope=cluster&histograms=true", WITHIN, |told| calls(told) == 150 && told["stale"] == false);
        assert_eq!((&merged["coverage"]["responding"], &merged["coverage"]["total"]), (&3.into(), &3.into()));
        assert_eq!(eventually(node, "?region=eu", WITHIN, |told| calls(told) == 90)["coverage"]["total"], 2);
        assert_eq!(calls(&metrics(node, "?region=us").1), 60);
        assert_eq!(calls(&metrics(node, "?node=twin").1), 90, "one id on two nodes adds up");
        assert_eq!(metrics(node, "?region=ap").0, 404);
        assert_eq!(metrics(node, "?node=twin&region=eu").0, 400);
    }
    // Distributions are added bucket by bucket, so percentiles are those of all calls.
    let mut pooled: BTreeMap<String, u64> = BTreeMap::new();
    for node in &nodes {
        let (_, own) = metrics(node, "?histograms=true");
        buckets(&own, "a").into_iter().for_each(|(bound, count)| *pooled.entry(bound).or_default() += count);
    }
    assert_eq!(buckets(&merged, "a"), pooled);
    let rank = (pooled.values().sum::<u64>() as f64 * 0.99).ceil() as u64;
    let bound_ms = |(bound, _): &(&String, &u64)| bound.parse::<f64>().expect("a number");
    let mut ascending: Vec<_> = pooled.iter().collect();
    ascending.sort_by(|a, b| bound_ms(a).total_cmp(&bound_ms(b)));
    let mut below = 0;
    let bucket = ascending
        .iter()
        .find(|(_, count)| {
            below += *count;
            below >= rank
        })
        .map(bound_ms)
        .expect("a bucket");
    let p99 = crate::api::of_provider(&merged, "a")["p99_latency_ms"].as_f64().expect("known");
    assert!(p99 <= bucket && p99 >= bucket * 15.0 / 16.0 - 0.001, "{p99} is not in the bucket below {bucket}");
    for path in
        ["?scope=cluster", "?scope=cluster&histograms=true", "?region=eu", "?node=single", "?node=nobody", "?region=eu&node=x"]
    {
        let path = format!("/api/metrics/one{path}");
        let mut client = crate::http::Client::new(nodes[1].address);
        client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
        spec.check("get", &path, &client.answer().expect("an answer"));
    }
    one_is_killed_and_one_leaves(&mut nodes, |n| start_in(&profile, id(n), region(n), ports[n], &query));
}

fn one_is_killed_and_one_leaves(nodes: &mut Vec<Lasso>, start: impl Fn(usize) -> Lasso) {
    // Its figures are still in it, and told to be old.
    let killed = Instant::now();
    drop(nodes.remove(2));
    let old = eventually(&nodes[0], "?scope=cluster", Duration::from_secs(25), |told| told["stale"] == true);
    assert!(killed.elapsed() < Duration::from_secs(20), "{:?}", killed.elapsed());
    assert_eq!((calls(&old), &old["coverage"]["responding"], &old["coverage"]["total"]), (150, &2.into(), &3.into()));
    assert!(old["oldest_ms"].as_u64().is_some_and(|ms| ms >= 15_000), "{old:#}");
    // It comes back and has counted nothing: what its earlier run counted is not added to that.
    nodes.push(start(2));
    let is_anew = |told: &Value| calls(told) == 90 && told["stale"] == false && told["coverage"]["total"] == 3;
    eventually(&nodes[0], "?scope=cluster", Duration::from_secs(40), is_anew);
    work(&nodes[2], 7);
    eventually(&nodes[1], "?scope=cluster", Duration::from_secs(20), |told| calls(told) == 97);
    // One that says that it ends takes its figures along.
    nodes[2].signal("TERM");
    eventually(&nodes[0], "?scope=cluster", WITHIN, |told| calls(told) == 90 && told["coverage"]["total"] == 2);
}

#[test]
fn a_node_alone_is_a_cluster_of_one() {
    let good = Provider::good("\"0x1\"");
    let lasso = Lasso::start(&no_limit(&[good.address]), "epoll");
    work(&lasso, 5);
    let told = eventually(&lasso, "?scope=cluster", WITHIN, |told| calls(told) == 5);
    assert_eq!((&told["coverage"]["total"], &told["stale"], &told["nodes"][0]["self"]), (&1.into(), &false.into(), &true.into()));
    Spec::load().check("get", "/api/metrics/one?scope=cluster", &{
        let mut client = crate::http::Client::new(lasso.address);
        client.send(b"GET /api/metrics/one?scope=cluster HTTP/1.1\r\nhost: x\r\n\r\n");
        client.answer().expect("an answer")
    });
}
