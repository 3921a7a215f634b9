//! Real processes that find each other on loopback: one is killed, one leaves, one has another secret, somebody sends garbage.

use crate::api::get;
use crate::harness::{Lasso, no_limit};
use crate::http;
use crate::provider::{Provider, answer, ok, with_status, write};
use serde_json::Value;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

const SECRET: &str = "a secret that is long enough";
pub const WITHIN: Duration = Duration::from_secs(10);

/// Ports that were free a moment ago.
pub fn ports<const N: usize>() -> [u16; N] {
    let sockets = [(); N].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a free port"));
    sockets.map(|socket| socket.local_addr().expect("an address").port())
}

pub fn list(ports: &[u16]) -> String {
    ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

fn start(providers: &str, id: &str, port: u16, query: &str, secret: &str, driver: &str) -> Lasso {
    let listen = format!("127.0.0.1:{port}");
    let flags = ["--node-id", id, "--region", "eu", "--cluster-listen", &listen, "--driver", driver];
    Lasso::start_in(providers, &flags, &[("CLUSTER_DNS_QUERY", query), ("LASSO_CLUSTER_SECRET", secret)])
}

/// A node of a region, with the usual secret.
pub fn start_in(providers: &str, id: &str, region: &str, port: u16, query: &str) -> Lasso {
    let listen = format!("127.0.0.1:{port}");
    let flags = ["--node-id", id, "--region", region, "--cluster-listen", &listen];
    Lasso::start_in(providers, &flags, &[("CLUSTER_DNS_QUERY", query), ("LASSO_CLUSTER_SECRET", SECRET)])
}

fn cluster(lasso: &Lasso) -> Value {
    get(lasso.address, "/api/cluster").1
}

pub fn until(lasso: &Lasso, within: Duration, what: &str, is_so: impl Fn(&Value) -> bool) -> Duration {
    let began = Instant::now();
    loop {
        let now = cluster(lasso);
        if is_so(&now) {
            return began.elapsed();
        }
        assert!(began.elapsed() < within, "not {what}: {now:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn responding(cluster: &Value) -> u64 {
    cluster["coverage"]["responding"].as_u64().expect("a number")
}

fn state_of(cluster: &Value, port: u16) -> Option<String> {
    let at = format!("127.0.0.1:{port}");
    let node = cluster["nodes"].as_array().expect("a list").iter().find(|node| node["address"] == at)?;
    Some(node["state"].as_str().expect("a word").to_owned())
}

#[test]
fn three_nodes_find_each_other_and_one_that_is_killed_or_leaves_is_told_apart() {
    let good = Provider::good("\"0x1\"");
    let profile = no_limit(&[good.address]);
    let ports = ports::<3>();
    let query = list(&ports);
    let drivers = ["io_uring", "epoll", "io_uring"];
    let mut nodes: Vec<Lasso> = ports
        .iter()
        .zip(drivers)
        .enumerate()
        .map(|(n, (port, driver))| start(&profile, &format!("n{n}"), *port, &query, SECRET, driver))
        .collect();
    for node in &nodes {
        until(node, WITHIN, "complete", |c| responding(c) == 3 && c["coverage"]["total"] == 3);
        let told = cluster(node);
        assert_eq!((&told["enabled"], &told["status"], &told["stale"]), (&true.into(), &"healthy".into(), &false.into()));
        for other in told["nodes"].as_array().expect("a list").iter().filter(|node| node["self"] == false) {
            assert!(other["clock_skew_ms"].as_i64().is_some_and(|ms| ms.abs() < 1_000), "{other:#}");
            assert_eq!((&other["region"], &other["version"]), (&"eu".into(), &env!("CARGO_PKG_VERSION").into()));
        }
    }
    assert!(!cluster(&nodes[0]).to_string().contains(SECRET));
    assert_eq!(get(nodes[0].address, "/api/health").1["cluster"]["nodes_responding"], 3);
    // One is killed: gone within the stated time, and known again when it is back.
    drop(nodes.remove(2));
    let gone = until(&nodes[0], Duration::from_secs(40), "gone", |c| state_of(c, ports[2]).as_deref() == Some("disconnected"));
    assert!(gone > Duration::from_secs(3), "a hiccup is no death: {gone:?}");
    assert_eq!(cluster(&nodes[0])["status"], "degraded");
    nodes.push(start(&profile, "n2", ports[2], &query, SECRET, "epoll"));
    until(&nodes[0], WITHIN, "complete again", |c| responding(c) == 3 && c["coverage"]["total"] == 3);
    // One says that it leaves: it is forgotten.
    nodes[2].signal("TERM");
    assert!(nodes[2].ended(Duration::from_secs(5)).is_some_and(|status| status.success()));
    until(&nodes[0], Duration::from_secs(2), "smaller", |c| c["coverage"]["total"] == 2 && c["status"] == "healthy");
}

#[test]
fn another_secret_and_garbage_are_counted_and_teach_nothing() {
    let good = Provider::good("\"0x1\"");
    let profile = no_limit(&[good.address]);
    let ports = ports::<2>();
    let a = start(&profile, "a", ports[0], &list(&ports), SECRET, "io_uring");
    let b = start(&profile, "b", ports[1], &list(&ports), "another secret, just as long", "epoll");
    let wrong = |c: &Value| c["datagrams"]["refused"]["wrong_secret"].as_u64().is_some_and(|n| n > 0);
    for node in [&a, &b] {
        until(node, WITHIN, "refused", wrong);
        assert_eq!(cluster(node)["coverage"]["total"], 1);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    for length in 0..1_500 {
        let mut datagram = b"LC\x01".to_vec();
        datagram.resize(length.max(3), 7);
        socket.send_to(&datagram, ("127.0.0.1", ports[0])).expect("it is sent");
        if length % 16 == 0 {
            // What a socket's buffer does not hold is lost before it can be counted.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    assert!(socket.recv_from(&mut [0; 100]).is_err(), "nobody answers who cannot be understood");
    until(&a, WITHIN, "counted", |c| c["datagrams"]["refused"]["malformed"].as_u64().is_some_and(|n| n > 100));
    let told = a.said().join("\n");
    let line = told.lines().find(|line| line.contains("cluster.refused")).expect("a line");
    assert!(line.contains(&format!("127.0.0.1:{}", ports[1])) && !told.contains(SECRET), "{line}");
    assert_eq!(told.matches("cluster.refused").count(), 1, "once a minute at most");
}

#[test]
fn a_start_that_cannot_be_secured_or_bound_says_what_to_do() {
    let good = Provider::good("\"0x1\"");
    let profile = no_limit(&[good.address]);
    let refused = |variables: &[(&str, &str)]| Lasso::try_start_with(&profile, variables).err().expect("refused");
    let open = refused(&[("CLUSTER_DNS_QUERY", "a.example"), ("LASSO_CLUSTER_SECRET", ""), ("SECRET_KEY_BASE", "")]);
    assert_eq!(open.code, Some(2));
    let held = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let at = held.local_addr().expect("an address").to_string();
    let taken = refused(&[("CLUSTER_DNS_QUERY", &at), ("LASSO_CLUSTER_LISTEN", &at)]);
    assert!(taken.code == Some(1) && taken.output.contains(&at), "{taken:?}");
}

/// A provider that both nodes are configured with, as `/api/providers` of one shows it.
fn provider(lasso: &Lasso, id: &str) -> Value {
    let all = get(lasso.address, "/api/providers/one").1;
    let found = all["providers"].as_array().expect("a list").iter().find(|provider| provider["id"] == id).cloned();
    found.expect("the provider")
}

fn until_provider(lasso: &Lasso, id: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let now = provider(lasso, id);
        if is_so(&now) {
            return now;
        }
        assert!(began.elapsed() < WITHIN, "not {what}: {now:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One account on two nodes: a rest that one of them was told of is heeded by the other, unless advice is off; what its own call shows
/// stands above it; and an operator's order reaches both.
#[test]
fn a_rest_and_an_order_at_one_node_are_known_at_the_others() {
    let limited = Provider::new(|got, stream| {
        let is_limited = got.method == "eth_getBalance";
        let body = ok(&got.id, "\"0x1\"");
        write(
            stream,
            &if is_limited { with_status("429 Too Many Requests", "retry-after: 50\r\n", &body) } else { answer(&body) },
        )
    });
    let good = Provider::good("\"0x2\"");
    let profile = no_limit(&[limited.address, good.address]);
    let ports = ports::<3>();
    let query = list(&ports);
    let nodes = [("n0", ports[0], "usual"), ("n1", ports[1], "usual"), ("n2", ports[2], "off")].map(|(id, port, advice)| {
        let listen = format!("127.0.0.1:{port}");
        let flags = ["--node-id", id, "--cluster-listen", &listen, "--cluster-advice", advice];
        Lasso::start_in(&profile, &flags, &[("CLUSTER_DNS_QUERY", &query), ("LASSO_CLUSTER_SECRET", SECRET)])
    });
    nodes.iter().for_each(|node| _ = until(node, WITHIN, "complete", |c| responding(c) == 3));
    let call = |node: &Lasso, path: &str, method: &str| {
        http::post(node.address, path, &format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":["0x0","latest"]}}"#))
            .json()
    };
    assert_eq!(call(&nodes[0], "/rpc/one", "eth_getBalance")["result"], "0x2", "another one answered");
    let own = until_provider(&nodes[0], "a", "resting", |p| p["status"] == "rate_limited");
    assert_eq!(own["rate_limited_by"], Value::Null);
    let theirs = until_provider(&nodes[1], "a", "resting", |p| p["status"] == "rate_limited");
    assert_eq!(theirs["rate_limited_by"], "n0");
    assert!(
        theirs["reason"].as_str().is_some_and(|why| why.starts_with("it said to node n0 that we ask too often")),
        "{theirs:#}"
    );
    assert_eq!(provider(&nodes[2], "a")["status"], "healthy", "its advice is off");
    // Its own call is answered there: the word of another node counts no more, however often it is repeated.
    assert_eq!(call(&nodes[1], "/rpc/provider/a/one", "eth_call")["result"], "0x1");
    until_provider(&nodes[1], "a", "healthy", |p| p["status"] == "healthy");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(provider(&nodes[1], "a")["status"], "healthy");
    // An order for all, and its end, given at different nodes.
    let order = |node: &Lasso, word: &str| {
        let mut client = http::Client::new(node.address);
        client.send(
            format!(
                "POST /api/breakers/default/one/b/{word}?cluster=true HTTP/1.1\r\nhost: 127.0.0.1\r\n\
                 content-type: application/json\r\ncontent-length: 0\r\n\r\n"
            )
            .as_bytes(),
        );
        let answer = client.answer().expect("an answer");
        (answer.status, answer.json())
    };
    let (status, told) = order(&nodes[0], "open");
    assert_eq!((status, &told["told_to_the_cluster"]), (200, &true.into()), "{told:#}");
    let held = until_provider(&nodes[1], "b", "held", |p| p["circuit"]["manual"] == "open");
    assert_eq!(held["circuit"]["manual_by"], "n0");
    assert_eq!(provider(&nodes[0], "b")["circuit"]["manual_by"], Value::Null);
    assert_eq!(provider(&nodes[2], "b")["circuit"]["manual"], Value::Null);
    assert_eq!(order(&nodes[2], "open").0, 409, "who hears nothing tells nothing");
    assert_eq!(order(&nodes[1], "auto").0, 200);
    until_provider(&nodes[0], "b", "let go", |p| p["circuit"]["manual"] == Value::Null);
}
