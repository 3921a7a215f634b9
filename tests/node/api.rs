//! What the node says of itself: figures that equal what was counted outside, states that name the fault, an explanation
//! that is what then happens.

use crate::harness::{DRIVERS, Lasso, no_limit};
use crate::http::{Client, READ, post};
use crate::provider::{Provider, answer, ok, with_status, write};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub fn get(at: SocketAddr, path: &str) -> (u16, Value) {
    let mut client = Client::new(at);
    client.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes());
    let answer = client.answer().expect("an answer");
    assert_eq!(answer.field("content-type"), Some("application/json"), "{path}");
    (answer.status, answer.json())
}

/// What `path` says once `is_there`, or after five seconds.
pub fn eventually(at: SocketAddr, path: &str, is_there: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let (status, value) = get(at, path);
        assert_eq!(status, 200, "{path}: {value}");
        if is_there(&value) {
            return value;
        }
        assert!(Instant::now() < end, "{path} never said so: {value:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub fn of_provider<'a>(value: &'a Value, id: &str) -> &'a Value {
    value["providers"].as_array().and_then(|all| all.iter().find(|p| p["id"] == id)).unwrap_or(&Value::Null)
}

/// An address that refuses.
fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}

#[test]
fn figures_are_what_was_counted_outside() {
    for driver in DRIVERS {
        let failing = Provider::new(|got, stream| write(stream, &with_status("503 Service Unavailable", "", &ok(&got.id, "1"))));
        let good = Provider::good("\"0x7\"");
        let mut lasso = Lasso::start(&no_limit(&[failing.address, good.address]), driver);
        for _ in 0..40 {
            assert_eq!(post(lasso.address, "/rpc/one", READ).json()["result"], "0x7");
        }
        let metrics = eventually(lasso.address, "/api/metrics/one", |m| m["chain_performance"]["total_calls"] == 40);
        let (asked_failing, asked_good) = (failing.count("eth_getBalance"), good.count("eth_getBalance"));
        assert_eq!(of_provider(&metrics, "a")["total_calls"], asked_failing, "{metrics:#}");
        assert_eq!(of_provider(&metrics, "b")["total_calls"], asked_good);
        assert_eq!((of_provider(&metrics, "a")["success_rate"].as_f64(), asked_good), (Some(0.0), 40));
        assert_eq!(of_provider(&metrics, "b")["retries"], asked_failing);
        assert_eq!(metrics["chain_performance"]["failovers_last_minute"], asked_failing);
        assert_eq!(metrics["rpc_methods"], serde_json::json!(["eth_getBalance"]));
        let method = &metrics["rpc_performance_by_method"][0];
        assert!(method["p50_latency_ms"].as_f64().is_some_and(|ms| ms > 0.0 && ms < 1000.0), "{method:#}");
        assert_eq!(method["last_hour"]["total_calls"], asked_failing + asked_good);
        assert!(method.get("latency_histogram").is_none(), "{method:#}");
        histograms_hold_every_success(lasso.address, asked_good);

        let (_, shards) = get(lasso.address, "/api/shards");
        assert_eq!((&shards["total"]["calls"], &shards["total"]["merged_attempts"]), (&40.into(), &(asked_failing + 40).into()));
        assert_eq!((&shards["total"]["unfiled_attempts"], &shards["total"]["dropped_events"]), (&0.into(), &0.into()));
        let names: Vec<&str> = shards["shards"].as_array().into_iter().flatten().filter_map(|s| s["name"].as_str()).collect();
        assert_eq!(names, ["shard-0", "shard-1", "control"]);
        assert!(shards["shards"][0]["epoch_lag_ms"].as_f64().is_some_and(|ms| ms < 5_000.0), "{shards:#}");
        lasso.assert_alive();
    }
}

/// The distributions are of the same calls as the counts beside them, in ascending bounds around the percentiles.
fn histograms_hold_every_success(at: SocketAddr, successes: usize) {
    let (_, metrics) = get(at, "/api/metrics/one?histograms=true");
    let check = |row: &Value, want: usize| {
        let pairs = row["latency_histogram"].as_array().expect("a histogram");
        let bounds: Vec<f64> = pairs.iter().filter_map(|pair| pair[0].as_f64()).collect();
        let counts: Vec<u64> = pairs.iter().filter_map(|pair| pair[1].as_u64()).collect();
        assert_eq!((counts.iter().sum::<u64>(), bounds.len()), (want as u64, counts.len()), "{row:#}");
        assert!(bounds.is_sorted_by(|a, b| a < b) && !counts.contains(&0), "{row:#}");
        let Some(last) = bounds.last() else { return assert!(row["p99_latency_ms"].is_null(), "{row:#}") };
        let p99 = row["p99_latency_ms"].as_f64().expect("a percentile");
        assert!(p99 <= *last && p99 > 0.0, "{row:#}");
    };
    check(of_provider(&metrics, "a"), 0);
    check(of_provider(&metrics, "b"), successes);
    check(&metrics["rpc_performance_by_method"][0], successes);
    check(&metrics["rpc_performance_by_provider"][1]["methods"][0], successes);
}

#[test]
fn a_cluster_of_one() {
    let good = Provider::good("\"0x1\"");
    let lasso = Lasso::start_with(&no_limit(&[good.address]), &["--node-id", "eu-1", "--region", "eu"]);
    let (_, cluster) = get(lasso.address, "/api/cluster");
    let node = &cluster["nodes"][0];
    assert_eq!((&cluster["status"], &cluster["node_id"], &node["region"]), (&"standalone".into(), &"eu-1".into(), &"eu".into()));
    assert_eq!((&node["self"], &node["state"]), (&true.into(), &"connected".into()), "{cluster:#}");
    let (_, health) = get(lasso.address, "/api/health");
    let told = &health["cluster"];
    assert_eq!((&told["status"], &told["nodes_total"]), (&cluster["status"], &cluster["coverage"]["total"]), "{told:#}");
    assert_eq!(told["regions"], serde_json::json!(["eu"]));
}

#[test]
fn a_dead_provider_is_named_everywhere_with_its_fault() {
    let good = Provider::good("\"0x7\"");
    let mut lasso = Lasso::start(&no_limit(&[nobody(), good.address]), "io_uring");
    for _ in 0..20 {
        assert_eq!(post(lasso.address, "/rpc/one", READ).status, 200);
    }
    let is_told = |p: &Value| of_provider(p, "a")["status"] == "circuit_open" && !of_provider(p, "b")["height"].is_null();
    let providers = eventually(lasso.address, "/api/providers/one", is_told);
    let dead = of_provider(&providers, "a");
    assert_eq!((&dead["circuit"]["state"], &dead["last_failure"]["category"]), (&"open".into(), &"network_error".into()));
    assert!(dead["reason"].as_str().is_some_and(|why| why.contains("refuses the connection")), "{dead:#}");
    assert!(!dead.to_string().contains("/key"), "the path of a URL is a secret: {dead}");
    let healthy = of_provider(&providers, "b");
    assert_eq!((&healthy["status"], &healthy["height"]), (&"healthy".into(), &0x64.into()), "{healthy:#}");

    let (_, status) = get(lasso.address, "/api/status");
    let chain = &status["profiles"][0]["chains"][0];
    assert_eq!((&chain["head"], &chain["providers"][0]["status"]), (&0x64.into(), &"circuit_open".into()), "{status:#}");
    let (_, explained) = get(lasso.address, "/api/explain/default/one/eth_getBalance");
    assert_eq!((&explained["chosen"], &of_provider(&explained, "a")["stage"]), (&"b".into(), &"circuit_open".into()));
    let (_, region) = get(lasso.address, "/api/region");
    assert!(of_provider(&region, "b")["probe_latency_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{region:#}");
    lasso.assert_alive();
}

#[test]
fn what_is_explained_is_what_happens() {
    let good = || Provider::new(|got, stream| write(stream, &answer(&ok(&got.id, "\"0x7\""))));
    let all = [good(), good(), good()];
    let lasso = Lasso::start(&no_limit(&[all[0].address, all[1].address, all[2].address]), "io_uring");
    for strategy in ["priority", "fastest"] {
        for _ in 0..20 {
            post(lasso.address, &format!("/rpc/{strategy}/one"), READ);
        }
        let mut agreed = 0;
        for _ in 0..20 {
            let (_, explained) = get(lasso.address, &format!("/api/explain/default/one/eth_getBalance?strategy={strategy}"));
            let path = format!("/rpc/{strategy}/one?include_meta=body");
            let meta = post(lasso.address, &path, READ).json()["lasso_meta"].clone();
            agreed += usize::from(explained["chosen"] == meta["selected_provider"]["id"]);
            let first = meta["candidates"].as_array().into_iter().flatten().find(|c| c["turn"] == 0).cloned();
            assert!(first.is_some_and(|first| first["stage"] == "candidate"), "{meta:#}");
        }
        // A ranking may change between the two questions, and one call in seconds measures another provider again.
        assert!(agreed >= 16, "{strategy}: {agreed} of 20");
    }
    let (_, archival) = get(lasso.address, "/api/explain/default/one/eth_getBalance?block=5&provider=b");
    assert_eq!((&archival["chosen"], &of_provider(&archival, "a")["stage"]), (&"b".into(), &"not_asked".into()));
    // As soon as its height is known.
    let path = "/api/explain/default/one/eth_getBalance?block=0xffff";
    eventually(lasso.address, path, |ahead| of_provider(ahead, "a")["is_behind"] == true);
}

#[test]
fn an_operator_holds_a_circuit_and_lets_it_go() {
    let all = [Provider::good("\"0x1\""), Provider::good("\"0x2\"")];
    let lasso = Lasso::start(&no_limit(&[all[0].address, all[1].address]), "io_uring");
    let order = |path: &str| {
        let mut client = Client::new(lasso.address);
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}");
        client.send(head.as_bytes());
        let answer = client.answer().expect("an answer");
        (answer.status, answer.json())
    };
    let result = || post(lasso.address, "/rpc/one", READ).json()["result"].clone();
    assert_eq!(result(), "0x1");
    let (status, said) = order("/api/breakers/default/one/a/open");
    assert_eq!((status, &said["circuit"]["manual"]), (200, &"open".into()), "{said:#}");
    let seen = |want: &str| eventually(lasso.address, "/api/explain/default/one/eth_call", |e| e["chosen"] == want);
    seen("b");
    assert_eq!(result(), "0x2");
    assert_eq!(order("/api/breakers/default/one/a/close").0, 200);
    seen("a");
    assert_eq!(result(), "0x1");
    assert_eq!(order("/api/breakers/default/one/a/auto").0, 200);
    assert_eq!(order("/api/breakers/default/one/a/ajar").0, 404);
    assert_eq!(order("/api/breakers/default/one/z/open").0, 404);
    assert_eq!(order("/api/breakers/default/two/a/open").0, 404);
    // A page in a browser on this machine, or a proxy's client, is no operator.
    let mut client = Client::new(lasso.address);
    let refused = client.post_with("/api/breakers/default/one/a/open", "origin: http://localhost\r\n", "{}");
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(result(), "0x1");
}

#[test]
fn questions_that_have_no_answer_say_what_would() {
    let good = Provider::good("\"0x1\"");
    let lasso = Lasso::start(&no_limit(&[good.address]), "io_uring");
    let check = |path: &str, want: u16, part: &str| {
        let (status, value) = get(lasso.address, path);
        assert!(status == want && value.to_string().contains(part), "{path}: {status} {value}");
    };
    check("/api/providers/two", 404, "\"available_chains\":[\"one\"]");
    check("/api/metrics/one?profile=gold", 404, "\"available_profiles\":[\"default\"]");
    check("/api/explain/default/two/eth_call", 404, "available_chains");
    check("/api/explain/default/one/eth_call?strategy=luck", 400, "use priority");
    check("/api/explain/default/one/eth_call?block=soon", 400, "use a number");
    check("/api/explain/default/one/eth_call?provider=z", 404, "/api/providers/:chain");
    check("/api/providers/1", 200, "\"chain_id\":1");
}

#[test]
fn the_page_and_its_files() {
    let good = Provider::good("\"0x1\"");
    let lasso = Lasso::start(&no_limit(&[good.address]), "io_uring");
    let mut client = Client::new(lasso.address);
    let mut ask = |path: &str, fields: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n").as_bytes());
        client.answer().expect("an answer")
    };
    let root = ask("/", "");
    assert_eq!((root.status, root.field("location")), (307, Some("/dashboard")));
    for path in ["/dashboard", "/dashboard/default", "/dashboard?tab=metrics&chain=one"] {
        let page = ask(path, "");
        assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")), "{path}");
        let policy = page.field("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        assert_eq!((page.field("x-content-type-options"), page.field("referrer-policy")), (Some("nosniff"), Some("no-referrer")));
        assert_eq!(page.field("cache-control"), Some("no-cache"));
        // Whatever it loads is there, and is not sent again to who has it.
        let text = page.text();
        let links: Vec<&str> = text.split('"').filter(|part| part.starts_with("/dashboard/assets/")).collect();
        assert!(links.len() >= 4, "{text}");
        for link in links {
            let file = ask(link, "");
            let tag = file.field("etag").expect("a validator").to_owned();
            assert!(file.status == 200 && !file.body.is_empty(), "{link}");
            let again = ask(link, &format!("if-none-match: {tag}\r\n"));
            assert_eq!((again.status, again.body.len(), again.field("etag")), (304, 0, Some(tag.as_str())), "{link}");
            assert_eq!(ask(link, "if-none-match: \"old\"\r\n").status, 200, "{link}");
        }
    }
    let unknown = ask("/dashboard/gold", "");
    assert!(unknown.status == 404 && unknown.text().starts_with("<!doctype html>"), "the page says which profiles there are");
    assert_eq!(ask("/dashboard/assets/nothing.js", "").status, 404);
    client.send(b"HEAD /dashboard HTTP/1.1\r\nhost: localhost\r\n\r\nGET /api/health HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let head = client.bytes(b"HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\n".len());
    assert!(head.ends_with(b"text/html; charset=utf-8\r\n"), "{}", head.escape_ascii());
}
