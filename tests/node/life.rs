//! Start and end of the process: what refuses to start and why, readiness, drain, and two nodes on one port.

use crate::harness::{DRIVERS, Lasso, no_limit, profile};
use crate::http::{Client, READ, post};
use crate::provider::{Provider, answer, ok, write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const SLOW: &str = r#"{"jsonrpc":"2.0","id":7,"method":"debug_traceTransaction","params":["0x1"]}"#;

/// Answers `SLOW` after this long, everything else at once; the barrier is passed when `SLOW` has come.
fn slow(after: Duration) -> (Provider, Arc<Barrier>) {
    let came = Arc::new(Barrier::new(2));
    let told = came.clone();
    let provider = Provider::new(move |got, stream| {
        if got.method == "debug_traceTransaction" {
            told.wait();
            std::thread::sleep(after);
        }
        write(stream, &answer(&ok(&got.id, "\"0x600d\"")))
    });
    (provider, came)
}

fn get(lasso: &Lasso, path: &str) -> crate::http::Answer {
    let mut client = Client::new(lasso.address);
    client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
    client.answer().expect("an answer")
}

#[test]
fn a_drain_answers_what_is_in_flight_and_closes_what_is_idle() {
    for driver in DRIVERS {
        let (provider, came) = slow(Duration::from_millis(700));
        let mut lasso = Lasso::start(&no_limit(&[provider.address]), driver);
        let mut idle: Vec<Client> = (0..6).map(|_| Client::new(lasso.address)).collect();
        idle.iter_mut().for_each(|client| assert_eq!(client.post("/rpc/one", READ).status, 200));
        let at = lasso.address;
        let busy = std::thread::spawn(move || {
            let mut client = Client::new(at);
            let answer = client.post("/rpc/one", SLOW);
            (answer, client.is_closed())
        });
        came.wait();
        let began = Instant::now();
        lasso.signal("TERM");
        assert!(idle.iter_mut().all(Client::is_closed));
        assert!(began.elapsed() < Duration::from_millis(500), "{driver}: idle clients were closed after {:?}", began.elapsed());
        assert!(std::net::TcpStream::connect(at).is_err(), "{driver}: new clients are taken during a drain");
        let (answer, closed) = busy.join().expect("its answer");
        assert!(answer.text().contains("\"id\":7,\"result\":\"0x600d\""), "{driver}: {}", answer.text());
        assert_eq!(answer.field("connection"), Some("close"), "{driver}: {}", answer.head);
        assert!(closed);
        let status = lasso.ended(Duration::from_secs(2)).unwrap_or_else(|| panic!("{driver}: it goes on"));
        assert_eq!(status.code(), Some(0), "{driver}");
    }
}

#[test]
fn a_drain_ends_after_its_time_with_what_is_still_open() {
    let (provider, came) = slow(Duration::from_secs(20));
    let mut lasso = Lasso::start_with(&no_limit(&[provider.address]), &["--drain-seconds", "1"]);
    let mut client = Client::new(lasso.address);
    client.send(format!("POST /rpc/one HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{SLOW}", SLOW.len()).as_bytes());
    came.wait();
    let began = Instant::now();
    lasso.signal("INT");
    assert!(client.is_closed(), "it is not answered");
    let status = lasso.ended(Duration::from_secs(4)).expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert!((Duration::from_millis(900)..Duration::from_millis(2500)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for driver in DRIVERS {
        let (provider, came) = slow(Duration::from_secs(20));
        let mut lasso = Lasso::start(&no_limit(&[provider.address]), driver);
        let mut client = Client::new(lasso.address);
        client.send(format!("POST /rpc/one HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{SLOW}", SLOW.len()).as_bytes());
        came.wait();
        lasso.signal("TERM");
        assert!(lasso.ended(Duration::from_millis(300)).is_none(), "{driver}: the call in flight was given up");
        let began = Instant::now();
        lasso.signal("TERM");
        assert!(lasso.ended(Duration::from_secs(2)).is_some(), "{driver}");
        assert!(began.elapsed() < Duration::from_secs(1), "{driver}: {:?}", began.elapsed());
    }
}

#[test]
fn a_port_in_use_is_refused_with_a_sentence_and_shared_when_asked() {
    let provider = Provider::good("\"0x600d\"");
    let text = no_limit(&[provider.address]);
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("its address").port().to_string();
    let said = Lasso::try_start(&text, &["--port", &port]).err().expect("the port is taken");
    assert_eq!(said.code, Some(1), "{}", said.output);
    assert!(said.output.contains("another process has this port") && said.output.contains(&port), "{}", said.output);
    drop(holder);

    // Without the flag not even another lasso may share it; with it, a successor may start before the first one ends.
    let mut first = Lasso::start_with(&text, &["--reuse-port"]);
    let port = first.address.port().to_string();
    let said = Lasso::try_start(&text, &["--port", &port]).err().expect("the port is lasso's");
    assert_eq!(said.code, Some(1), "{}", said.output);
    let mut second = Lasso::start_with(&text, &["--port", &port, "--reuse-port"]);
    assert_eq!(second.address, first.address);
    first.signal("TERM");
    assert_eq!(first.ended(Duration::from_secs(3)).and_then(|s| s.code()), Some(0));
    for _ in 0..20 {
        assert_eq!(post(second.address, "/rpc/one", READ).status, 200, "the successor has them all");
    }
    second.assert_alive();
}

#[test]
fn a_bad_profile_is_refused_with_all_its_problems() {
    let bad = "---\nname: t\nslug: default\nrps_limt: 3\n---\nchains:\n  one:\n    chain_id: x\n    providers:\n      - id: a\n        url: \"ftp://h\"\n      - id: b\n        url: \"http://${LASSO_TEST_UNSET}/\"\n";
    let said = Lasso::try_start(bad, &[]).err().expect("it is refused");
    assert_eq!(said.code, Some(1), "{}", said.output);
    for part in [
        "rps_limt",
        "rps_limit",
        "chain_id",
        "default.yml:11: url does not start with http",
        "LASSO_TEST_UNSET",
        "default.yml:4",
        "default.yml:13",
    ] {
        assert!(said.output.contains(part), "{part} is not named: {}", said.output);
    }
}

#[test]
fn health_is_at_once_and_readiness_when_a_provider_answered() {
    for driver in DRIVERS {
        let open = Arc::new(AtomicBool::new(false));
        let gate = open.clone();
        let provider = Provider::new(move |got, stream| {
            let text = if gate.load(Ordering::Relaxed) { ok(&got.id, "\"0x1\"") } else { "not yet".to_owned() };
            write(stream, &answer(&text))
        });
        let lasso = Lasso::start_with(&no_limit(&[provider.address]), &["--driver", driver, "--node-id", "n1", "--region", "r1"]);
        let health = get(&lasso, "/api/health");
        assert_eq!(health.status, 200);
        let json = health.json();
        assert_eq!(
            (&json["status"], &json["node_id"], &json["region"]),
            (&"healthy".into(), &"n1".into(), &"r1".into()),
            "{json}"
        );
        assert!(json["version"].is_string() && json["uptime_seconds"].is_u64() && json["timestamp"].is_string(), "{json}");
        let ready = get(&lasso, "/api/ready");
        assert_eq!((ready.status, &ready.json()["status"]), (503, &"starting".into()), "{driver}: {}", ready.text());
        open.store(true, Ordering::Relaxed);
        let began = Instant::now();
        while get(&lasso, "/api/ready").status != 200 {
            assert!(began.elapsed() < Duration::from_secs(4), "{driver}: not ready after a provider answered");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn health_says_so_while_it_drains() {
    let (provider, came) = slow(Duration::from_millis(800));
    let lasso = Lasso::start(&profile(&[provider.address], "rps_limit: 0"), "io_uring");
    // A request under way when the signal comes is answered after it.
    let mut client = Client::new(lasso.address);
    let (health, ready) = ("GET /api/health HTTP/1.1\r\nhost: x\r\n\r\n", "GET /api/ready HTTP/1.1\r\nhost: x\r\n\r\n");
    client.send(format!("POST /rpc/one HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{SLOW}{health}", SLOW.len()).as_bytes());
    let mut other = Client::new(lasso.address);
    other.send(ready.trim_end().as_bytes());
    came.wait();
    lasso.signal("TERM");
    std::thread::sleep(Duration::from_millis(100));
    other.send(b"\r\n\r\n");
    let answer = other.answer().expect("half a head is no idle client");
    assert_eq!((answer.status, &answer.json()["status"]), (503, &"draining".into()), "{}", answer.text());
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(client.answer().map(|a| a.status), Some(200));
}
