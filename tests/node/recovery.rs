//! Providers that are dead at the start and return, and providers that probes and refusals tell about
//! (docs/behaviour/health.md#dark-chains, docs/behaviour/health.md#rests).

use crate::actor::{Actor, Say, Seen, healthy, steady};
use crate::api::get;
use crate::harness::{Lasso, no_limit};
use crate::http::{Client, READ, post};
use crate::load::{Load, alone};
use crate::scenario::{profile, within};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

fn ready(at: SocketAddr) -> u16 {
    let mut client = Client::new(at);
    client.send(b"GET /api/ready HTTP/1.1\r\nhost: x\r\n\r\n");
    client.answer().expect("an answer").status
}

fn serves(at: SocketAddr) -> bool {
    post(at, "/rpc/one", READ).text().contains("\"result\"")
}

#[test]
fn a_node_whose_providers_are_all_dead_comes_up_and_finds_them_when_they_return() {
    let all = [Actor::dead(steady(1)), Actor::dead(steady(1))];
    let addresses = all.clone().map(|actor| actor.address);
    let lasso = Lasso::start_with(&profile(&addresses), &["--breaker-recovery-ms", "1000"]);
    let began = Instant::now();
    assert_eq!(ready(lasso.address), 503, "nobody has answered");
    // Each call finds both dead until their circuits are open; from then on it is told when to come back.
    let mut told = None;
    within(20 * SECOND, "the circuits open", || {
        let got = post(lasso.address, "/rpc/one", READ).json();
        assert_eq!(got["error"]["code"], -32000, "{got}");
        told = got["error"]["data"]["retry_after_ms"].as_u64();
        told.is_some()
    });
    let told = told.expect("it is told");
    // Explain names the fault with its remedy, and when it is tried.
    within(5 * SECOND, "the reason in words", || {
        let explained = get(lasso.address, "/api/explain/default/one/eth_call").1;
        let reason = explained["providers"][0]["reason"].as_str().unwrap_or_default();
        let words = ["it refuses the connection (check host and port", "probed every second, because calls have nobody else"];
        words.iter().all(|words| reason.contains(words))
    });
    assert!((100..=1_100).contains(&told), "{told} ms are not the first opening's second with its jitter");
    let took = within(15 * SECOND, "ready", || {
        // A trial's own failure is told as it is; whoever was sent nowhere is told when to come back.
        let data = post(lasso.address, "/rpc/one", READ).json()["error"]["data"].clone();
        assert!(data["retry_after_ms"].as_u64().is_some() || data["category"].is_string(), "{data}");
        ready(lasso.address) == 200
    });
    eprintln!("dead: circuits open after {:?}, ready after {:?}", began.elapsed() - took, began.elapsed());
    // By now the circuits have been opened so often that they stay so for 8 s. But somebody waits: probes come every 2 s,
    // and a good one begins the trials.
    all.iter().for_each(Actor::open);
    let took = within(5 * SECOND, "the first success", || serves(lasso.address));
    eprintln!("returned: the first success after {took:?}");
}

/// So many calls, all answered; at a pace that gives every epoch its share.
fn call(at: SocketAddr, path: &str, times: u32) {
    let mut client = Client::new(at);
    for _ in 0..times {
        let got = client.post(path, READ);
        assert!(got.text().contains("\"result\":\"0x600d\""), "{}", got.text());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_provider_of_another_chain_gets_no_calls_until_it_is_of_ours() {
    let another = |seen: &Seen| match seen.method.as_str() {
        "eth_chainId" => (Duration::ZERO, Say::Result("\"0x2\"".to_owned())),
        _ => (Duration::ZERO, healthy(seen, 100)),
    };
    let (wrong, right) = (Actor::new(another), Actor::new(steady(0)));
    let lasso = Lasso::start(&profile(&[wrong.address, right.address]), "io_uring");
    within(20 * SECOND, "the node says so", || lasso.said().iter().any(|line| line.contains("provider.chain")));
    std::thread::sleep(EPOCHS);
    let calls = wrong.calls();
    call(lasso.address, "/rpc/one", 50);
    assert_eq!((wrong.calls() - calls, right.calls()), (0, 50));
    // Not even when nobody else is left, or when it is asked for by name.
    right.close();
    for path in ["/rpc/one", "/rpc/provider/a/one"] {
        let got = post(lasso.address, path, READ);
        assert_eq!(got.json()["error"]["code"], -32000, "{path}: {}", got.text());
    }
    assert_eq!(wrong.calls(), calls);
    wrong.play(steady(0));
    let took = within(10 * SECOND, "it is used once it is right", || serves(lasso.address));
    eprintln!("of the right chain: used after {took:?}");
}

#[test]
fn refused_credentials_are_tried_last() {
    let refusing = Actor::new(|_| (Duration::ZERO, Say::Status("401 Unauthorized", "", "bad key")));
    let good = Actor::new(steady(0));
    let lasso = Lasso::start(&profile(&[refusing.address, good.address]), "io_uring");
    within(20 * SECOND, "its probe", || refusing.own() > 0);
    std::thread::sleep(EPOCHS);
    let (calls, own, of_good) = (refusing.calls(), refusing.own(), good.own());
    call(lasso.address, "/rpc/one", 50);
    assert_eq!((refusing.calls() - calls, good.calls()), (0, 50));
    std::thread::sleep(SECOND);
    // The next probe is due in two minutes; the other's was every 400 ms.
    assert_eq!(refusing.own(), own, "probes of whoever refuses us");
    assert!(good.own() >= of_good + 4, "probes of the good one: {} and then {}", of_good, good.own());
    // Last is not never: it is asked when the good one fails, and believed when it answers.
    good.play(|_| (Duration::ZERO, Say::Status("500 Internal Server Error", "", "oops")));
    let got = post(lasso.address, "/rpc/one", READ);
    assert!(got.text().contains("error"), "{}", got.text());
    assert_eq!((refusing.calls() - calls, good.calls()), (1, 51));
    refusing.play(steady(0));
    // A result is newer than a refusal when it comes in a later report.
    std::thread::sleep(EPOCHS);
    assert!(serves(lasso.address));
    std::thread::sleep(EPOCHS);
    good.play(steady(0));
    call(lasso.address, "/rpc/one", 10);
    assert_eq!(refusing.calls() - calls, 12, "it is the best again");
    within(10 * SECOND, "a probe that does not wait for its two minutes", || refusing.own() > own);
}

#[test]
fn a_lagging_provider_is_told_of_once_and_used_when_nobody_else_is_left() {
    let lagging = Actor::new(|seen: &Seen| (Duration::ZERO, healthy(seen, 90)));
    let good = Actor::new(steady(0));
    let lasso = Lasso::start(&profile(&[lagging.address, good.address]), "epoll");
    let mut told = 0;
    let mut tell = || {
        told += lasso.said().iter().filter(|line| line.contains("10 blocks behind")).count();
        told
    };
    within(20 * SECOND, "the node says so", || tell() > 0);
    std::thread::sleep(EPOCHS);
    let calls = lagging.calls();
    call(lasso.address, "/rpc/one", 50);
    assert_eq!((lagging.calls() - calls, good.calls()), (0, 50));
    good.close();
    call(lasso.address, "/rpc/one", 50);
    assert_eq!(lagging.calls() - calls, 50);
    assert_eq!(tell(), 1, "an episode of lag is told once");
}

/// Until every shard has what a report has taught.
const EPOCHS: Duration = Duration::from_millis(400);

#[test]
fn a_rejected_range_of_logs_is_not_asked_twice() {
    let narrow = |seen: &Seen| match seen.width {
        Some(1_000..) => (Duration::ZERO, Say::Error(r#"{"code":-32602,"message":"Block range limit exceeded."}"#)),
        _ => (Duration::ZERO, healthy(seen, 10_000)),
    };
    let wide = Actor::new(|seen: &Seen| (Duration::ZERO, healthy(seen, 10_000)));
    let narrow = Actor::new(narrow);
    let lasso = Lasso::start(&profile(&[narrow.address, wide.address]), "io_uring");
    // Each width, and who is asked: the narrow one, the wide one.
    let check = |width: u64, want: (u64, u64)| {
        let before = (narrow.calls(), wide.calls());
        let to = 0x100 + width;
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{{"fromBlock":"0x100","toBlock":"{to:#x}"}}]}}"#
        );
        let got = post(lasso.address, "/rpc/one", &body);
        assert!(got.text().contains("\"result\""), "{width}: {}", got.text());
        assert_eq!((narrow.calls() - before.0, wide.calls() - before.1), want, "{width} blocks");
        std::thread::sleep(EPOCHS);
    };
    check(500, (1, 0));
    check(5_000, (1, 1));
    check(5_000, (0, 1));
    check(6_000, (0, 1));
    check(2_000, (1, 1));
    check(3_000, (0, 1));
    check(999, (1, 0));
}

/// Fails at every call; its probes are answered.
fn failing(seen: &Seen) -> (Duration, Say) {
    let bad = || Say::Status("500 Internal Server Error", "", "oops");
    (Duration::ZERO, if seen.is_own { healthy(seen, 100) } else { bad() })
}

#[test]
fn breaker_settings_act() {
    for (failures, successes, recovery_ms) in [("1", 1, "300"), ("2", 4, "2000"), ("6", 2, "300")] {
        let (bad, good) = (Actor::new(failing), Actor::new(steady(0)));
        let flags = ["--breaker-failures", failures, "--breaker-recovery-ms", recovery_ms];
        let wanted = successes.to_string();
        let variables = [("LASSO_BREAKER_SUCCESSES", wanted.as_str())];
        let lasso = Lasso::start_in(&no_limit(&[bad.address, good.address]), &flags, &variables);
        // The only probes for 12 s: what comes later are trials. Each is two questions, and a height that nobody else has said yet
        // is proven by its block.
        within(20 * SECOND, "the first probes", || bad.own() >= 2 && good.own() >= 2);
        std::thread::sleep(SECOND / 2);
        let first = bad.own();
        assert!(first <= 3 && good.own() <= 3, "{first} {}", good.own());
        let mut said = String::new();
        let mut until = |what: &str, each: &dyn Fn()| {
            within(20 * SECOND, what, || {
                each();
                said.extend(lasso.said());
                said.contains(what)
            })
        };
        // One call in several epochs, so that none is under way when it opens.
        until(r#""from":"closed","to":"open""#, &|| {
            call(lasso.address, "/rpc/one", 1);
            std::thread::sleep(EPOCHS);
        });
        assert_eq!(bad.calls().to_string(), failures, "calls until it opened");
        let open = until(r#""from":"open","to":"half_open""#, &|| {}).as_millis() as u64;
        let recovery_ms: u64 = recovery_ms.parse().expect("a number");
        let seen_late = EPOCHS.as_millis() as u64 + 100;
        assert!((recovery_ms..recovery_ms + 1_500).contains(&(open + seen_late)), "{recovery_ms}: half-open after {open} ms");
        until(r#""from":"half_open","to":"closed""#, &|| {});
        assert_eq!(bad.own(), first + 2 * successes, "trials until it closed");
    }
}

#[test]
fn the_latency_exponent_acts() {
    let _turn = alone();
    for (beta, share) in [("0", 0.35..0.65), ("20", 0.97..1.01)] {
        let (fast, slow) = (Actor::new(steady(5)), Actor::new(steady(15)));
        let flags = ["--default-strategy", "latency-weighted"];
        let lasso = Lasso::start_in(&profile(&[slow.address, fast.address]), &flags, &[("LW_BETA", beta)]);
        // Both qualify first.
        let both = Load::start(lasso.address, "/rpc/load-balanced/one", 8);
        std::thread::sleep(EPOCHS);
        both.stop();
        std::thread::sleep(EPOCHS);
        let calls = (fast.calls(), slow.calls());
        call(lasso.address, "/rpc/one", 300);
        let [fast, slow] = [(fast.calls() - calls.0) as f64, (slow.calls() - calls.1) as f64];
        assert!(share.contains(&(fast / (fast + slow))), "exponent {beta}: {fast} and {slow} calls");
    }
}

/// A chain with one provider, under load: that provider is away for a second, comes back, and goes away for good.
#[test]
fn a_provider_alone_is_found_out_within_two_seconds_and_served_again_soon_after_its_return() {
    let _turn = alone();
    let only = Actor::new(steady(5));
    let lasso = Lasso::start(&profile(&[only.address]), "io_uring");
    within(20 * SECOND, "ready", || serves(lasso.address));
    let load = Load::start(lasso.address, "/rpc/one", 4);
    std::thread::sleep(SECOND);
    let mut said = lasso.said().join("\n");
    let mut until = |what: &str| {
        within(20 * SECOND, what, || {
            said.extend(lasso.said());
            said.contains(what)
        });
        said.clear();
    };
    let gone = Instant::now();
    only.close();
    until(r#""to":"open""#);
    assert!(gone.elapsed() < 2 * SECOND, "found out after {:?}", gone.elapsed());
    std::thread::sleep(SECOND.saturating_sub(gone.elapsed()));
    only.open();
    let back = Instant::now();
    until(r#""to":"closed""#);
    std::thread::sleep(SECOND);
    only.close();
    let gone = Instant::now();
    until(r#""to":"open""#);
    assert!(gone.elapsed() < 2 * SECOND, "found out after {:?}", gone.elapsed());
    let first = load.stop().into_iter().map(|sample| sample.ended).find(|ended| *ended > back).expect("it was served again");
    eprintln!("alone: served again {:?} after its return", first - back);
    assert!(first - back < SECOND * 3 / 2, "served again after {:?}", first - back);
}
