//! What a client may ask and what a provider may be asked at once: exact over shards and connections.

use crate::harness::{DRIVERS, Lasso, profile};
use crate::http::{Answer, Client, READ};
use crate::provider::{Provider, answer, ok, write};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::time::{Duration, Instant};

const BURST: usize = 40;

fn limited() -> String {
    format!("rps_limit: 1\nburst_limit: {BURST}")
}

/// `calls` on each of `connections` at once; everything that came back, and how long it took.
fn storm(at: SocketAddr, connections: usize, calls: usize, fields: &str) -> (Vec<Answer>, Duration) {
    let clients: Vec<Client> = (0..connections).map(|_| Client::new(at)).collect();
    let start = Barrier::new(connections);
    let began = Instant::now();
    let answers = std::thread::scope(|scope| {
        let start = &start;
        let run = move |mut client: Client| {
            start.wait();
            (0..calls).map(|_| client.post_with("/rpc/one", fields, READ)).collect::<Vec<_>>()
        };
        let threads: Vec<_> = clients.into_iter().map(|client| scope.spawn(move || run(client))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("its answers")).collect()
    });
    (answers, began.elapsed())
}

fn passed(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.status == 200).count()
}

/// The burst, and what the rate of one a second added meanwhile.
fn assert_exact(passed: usize, took: Duration, context: &str) {
    let most = BURST + took.as_secs() as usize + 1;
    assert!((BURST..=most).contains(&passed), "{context}: {passed} passed in {took:?}");
}

#[test]
fn the_rate_is_exact_over_two_shards_and_many_connections() {
    for driver in DRIVERS {
        let provider = Provider::good("\"0x600d\"");
        let lasso = Lasso::start(&profile(&[provider.address], &limited()), driver);
        let (answers, took) = storm(lasso.address, 20, 10, "");
        assert_exact(passed(&answers), took, driver);
        assert_eq!(provider.count("eth_getBalance"), passed(&answers), "{driver}: what was refused was not sent");
        for refused in answers.iter().filter(|answer| answer.status != 200) {
            let json = refused.json();
            let wait_ms = json["error"]["data"]["retry_after_ms"].as_u64().unwrap_or(0);
            assert_eq!((refused.status, &json["error"]["code"]), (429, &(-32005).into()), "{}", refused.text());
            assert_eq!(json["error"]["message"], "Rate limit exceeded. Limit: 1 requests per second.");
            assert_eq!((&json["error"]["data"]["rate_limit"], &json["id"]), (&1.into(), &1.into()));
            assert!((1..=1000).contains(&wait_ms), "{}", refused.text());
            assert_eq!(refused.field("retry-after"), Some("1"));
        }
        // Waiting as long as was said is enough, for exactly one.
        let mut client = Client::new(lasso.address);
        let refused = client.post("/rpc/one", READ);
        if refused.status == 429 {
            let wait_ms = refused.json()["error"]["data"]["retry_after_ms"].as_u64().expect("a time");
            std::thread::sleep(Duration::from_millis(wait_ms));
            assert_eq!(client.post("/rpc/one", READ).status, 200, "{driver}: the wait that was announced is too short");
            assert_eq!(client.post("/rpc/one", READ).status, 429, "{driver}");
        }
    }
}

#[test]
fn a_batch_costs_its_items() {
    for driver in DRIVERS {
        let provider = Provider::good("\"0x600d\"");
        let lasso = Lasso::start(&profile(&[provider.address], &limited()), driver);
        let batch = |items: usize| format!("[{}]", vec![READ; items].join(","));
        let mut client = Client::new(lasso.address);
        let never = client.post("/rpc/one", &batch(BURST + 1));
        let json = &never.json()[BURST];
        assert_eq!((never.status, &json["error"]["code"], &json["id"]), (429, &(-32005).into(), &1.into()), "{}", never.text());
        assert_eq!((&json["error"]["data"]["max_items"], never.field("retry-after")), (&BURST.into(), None), "{}", never.text());
        assert_eq!(client.post("/rpc/one", &batch(30)).json().as_array().map(Vec::len), Some(30));
        let later = client.post("/rpc/one", &batch(20));
        assert_eq!((later.status, later.field("retry-after").is_some()), (429, true), "{}", later.text());
        let wait_ms = later.json()[19]["error"]["data"]["retry_after_ms"].as_u64().unwrap_or(0);
        assert!((7_000..=10_000).contains(&wait_ms), "ten are left, ten are missing: {}", later.text());
        assert_eq!(client.post("/rpc/one", &batch(10)).status, 200, "a refused batch costs nothing");
        assert_eq!(provider.count("eth_getBalance"), 40);
    }
}

#[test]
fn clients_behind_a_trusted_proxy_are_told_apart() {
    for driver in DRIVERS {
        let provider = Provider::good("\"0x600d\"");
        let lasso = Lasso::start(&profile(&[provider.address], &limited()), driver);
        for client in ["x-forwarded-for: 192.0.2.1\r\n", "x-forwarded-for: 192.0.2.2\r\n", "x-real-ip: 192.0.2.3\r\n", ""] {
            let (answers, took) = storm(lasso.address, 4, 15, client);
            assert_exact(passed(&answers), took, &format!("{driver}, {client:?}"));
        }
        // The client's own inventions in front of what the proxy added change nothing.
        for invented in 0..5 {
            let fields = format!("x-forwarded-for: 198.51.100.{invented}, 192.0.2.1\r\n");
            let mut client = Client::new(lasso.address);
            let refused = (0..4).filter(|_| client.post_with("/rpc/one", &fields, READ).status == 429).count();
            assert!(refused >= 2, "{driver}: an invented address has a bucket of its own");
        }
    }
}

#[test]
fn untrusted_peers_cannot_name_themselves() {
    let provider = Provider::good("\"0x600d\"");
    let lasso = Lasso::start_with(&profile(&[provider.address], &limited()), &["--trusted-proxies", "none"]);
    let mut client = Client::new(lasso.address);
    let began = Instant::now();
    let answers: Vec<Answer> =
        (0..60).map(|n| client.post_with("/rpc/one", &format!("x-forwarded-for: 192.0.2.{n}\r\n"), READ)).collect();
    assert_exact(passed(&answers), began.elapsed(), "untrusted");
}

#[test]
fn a_provider_has_no_more_connections_than_allowed_and_every_call_waits_its_turn() {
    for driver in DRIVERS {
        let provider = Provider::new(|got, stream| {
            std::thread::sleep(Duration::from_millis(10));
            write(stream, &answer(&ok(&got.id, "\"0x600d\"")))
        });
        let text = profile(&[provider.address], "rps_limit: 0") + "        max_connections: 4\n";
        let lasso = Lasso::start(&text, driver);
        let (answers, _) = storm(lasso.address, 40, 4, "");
        assert_eq!(answers.len(), 160);
        answers.iter().for_each(|answer| assert!(answer.text().contains("0x600d"), "{driver}: {}", answer.text()));
        let peak = provider.peak_connections();
        assert!((1..=4).contains(&peak), "{driver}: {peak} connections at once");
        assert_eq!(provider.count("eth_getBalance"), 160, "{driver}: each was sent once");
    }
}
