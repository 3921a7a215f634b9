//! Every alert that we ship fires in a real Prometheus when its cause is there, and ends when the cause does.
//!
//! The rules are the shipped ones, but for time: a copy looks at ten seconds instead of five minutes, and waits one second
//! instead of minutes before it fires. What each waits for in truth is `promtool test rules`' business.

use crate::actor::{Actor, Say, Seen, healthy, steady};
use crate::harness::{Lasso, profile};
use crate::http::{Client, READ};
use crate::load::{Load, alone};
use crate::metrics::{dashboard_expressions, plain_expression, scrape};
use crate::prometheus::{Prometheus, is_here, shipped_text};
use crate::scenario::within;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

fn hurried(rules: &str) -> String {
    let lines = rules.replace("[5m]", "[10s]");
    let hurry = |line: &str| if line.trim_start().starts_with("for: ") { "        for: 1s".to_owned() } else { line.to_owned() };
    lines.lines().map(hurry).collect::<Vec<_>>().join("\n") + "\n"
}

fn names(rules: &str) -> Vec<&str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

/// Clients that call one profile each, fifty times a second at most, for as long as this lives.
struct Callers {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Callers {
    fn start(at: SocketAddr, profiles: &[&'static str]) -> Callers {
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |slug: &&'static str| {
            let (slug, stop) = (*slug, stop.clone());
            std::thread::spawn(move || {
                let mut client = Client::new(at);
                while !stop.load(Ordering::SeqCst) {
                    client.post(&format!("/rpc/profile/{slug}/one"), READ);
                    std::thread::sleep(Duration::from_millis(20));
                }
            })
        };
        Callers { threads: profiles.iter().map(spawn).collect(), stop }
    }

    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    }
}

/// The names of what fires, each once, in order. No alert may be about the profile that is well.
fn firing(prometheus: &Prometheus) -> Vec<String> {
    let all = prometheus.firing();
    for alert in &all {
        assert_ne!(alert["labels"]["profile"], "default", "{alert:#}");
        let texts = [&alert["annotations"]["summary"], &alert["annotations"]["description"]];
        let is_whole = |text: &&Value| text.as_str().is_some_and(|text| text.len() > 20 && !text.contains('<'));
        assert!(texts.iter().all(is_whole), "{alert:#}");
    }
    let mut names: Vec<String> = all.iter().filter_map(|a| a["labels"]["alertname"].as_str().map(str::to_owned)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Providers that each cause something, by profile; `default`'s are well.
fn cast() -> [(&'static str, Actor); 6] {
    let slow = |seen: &Seen| (Duration::from_millis(if seen.is_own { 0 } else { 1_300 }), healthy(seen, 100));
    let flaky = |seen: &Seen| match seen.is_own || seen.serial.is_multiple_of(2) {
        true => (Duration::ZERO, healthy(seen, 100)),
        false => (Duration::ZERO, Say::Status("500 Internal Server Error", "", "oops")),
    };
    let foreign = |seen: &Seen| match seen.method.as_str() {
        "eth_chainId" => (Duration::ZERO, Say::Result("\"0x2\"".to_owned())),
        _ => (Duration::ZERO, healthy(seen, 100)),
    };
    [
        ("default", Actor::new(steady(1))),
        ("dead", Actor::dead(steady(1))),
        ("slow", Actor::new(slow)),
        ("flaky", Actor::new(flaky)),
        ("late", Actor::new(|seen: &Seen| (Duration::ZERO, healthy(seen, 80)))),
        ("foreign", Actor::new(foreign)),
    ]
}

fn start_node(cast: &[(&'static str, Actor)]) -> Lasso {
    let monitored = "    chain_id: 1\n    block_time_ms: 2000\n    monitoring:\n      probe_interval_ms: 200\n";
    let of_profile = |(slug, actor): &(&'static str, Actor)| {
        let text = profile(&[actor.address], "rps_limit: 0").replace("    chain_id: 1\n", monitored);
        (*slug, text.replace("slug: default", &format!("slug: {slug}")))
    };
    let mut profiles: Vec<(&str, String)> = cast.iter().map(of_profile).collect();
    // A name without an address: nobody's failure, and something that this node lacks. Its calls have somebody else.
    let good = cast[0].1.address;
    let nameless = profile(&[good, good], "rps_limit: 0").replacen(&good.to_string(), "no-such-host.invalid:1", 1);
    profiles.push(("nameless", nameless.replace("slug: default", "slug: nameless")));
    Lasso::start_many(&profiles, &["--breaker-recovery-ms", "1000", "--request-log-rate", "1000"])
}

#[test]
fn every_alert_fires_when_its_cause_is_there_and_ends_with_it() {
    if !is_here() {
        return;
    }
    let _turn = alone();
    let rules = shipped_text("prometheus/lasso.rules.yml");
    let cast = cast();
    let lasso = start_node(&cast);
    let prometheus = Prometheus::start(lasso.address, &hurried(&rules));
    // Nobody reads the log, and a burst of calls fills what is held of it.
    lasso.is_unread.store(true, Ordering::Relaxed);
    let burst = Load::start(lasso.address, "/rpc/one", 2);
    within(30 * SECOND, "lines are dropped", || !scrape(lasso.address).contains("\nlasso_log_lines_dropped_total 0\n"));
    burst.stop();
    let callers = Callers::start(lasso.address, &["default", "dead", "slow", "slow", "flaky", "nameless"]);
    std::thread::sleep(2 * SECOND);
    // Half a second in which no shard does anything.
    lasso.signal("STOP");
    std::thread::sleep(SECOND / 2);
    lasso.signal("CONT");

    // Hardly more than are open, of which a hundred stay so; only the bound that is shown, for a moment.
    let mut idle: Vec<Client> = (0..100).map(|_| Client::new(lasso.address)).collect();
    idle.iter_mut().for_each(|client| drop(client.post("/rpc/one", READ)));
    lasso.limit_open_files(lasso.open_files() + 24);

    let mut all: Vec<&str> = names(&rules);
    all.sort_unstable();
    let living: Vec<&str> = all.iter().copied().filter(|name| *name != "LassoDown").collect();
    let wait_for = |what: &str, want: &[&str]| {
        let began = Instant::now();
        loop {
            let now = firing(&prometheus);
            if now == want {
                return eprintln!("{what}: after {:?}", began.elapsed());
            }
            let about = || prometheus.firing().iter().map(|alert| alert["labels"].to_string()).collect::<Vec<_>>();
            assert!(began.elapsed() < 40 * SECOND, "{what}: not {want:?} but {now:?}: {:#?}", about());
            std::thread::sleep(SECOND / 5);
        }
    };
    wait_for("fire", &living);
    assert_rules_are_well(&prometheus, all.len());
    assert_dashboard_evaluates(&prometheus);

    // The causes end. A stall is told for half a minute: it is not waited for.
    lasso.is_unread.store(false, Ordering::Relaxed);
    cast[1].1.open();
    cast[2..].iter().for_each(|(_, actor)| actor.play(steady(1)));
    lasso.limit_open_files(1 << 12);
    wait_for("end", &["LassoLoopStall", "LassoShortage"]);
    callers.end();
    drop(lasso);
    wait_for("the node is gone", &["LassoDown"]);
}

/// All were evaluated, none failed.
fn assert_rules_are_well(prometheus: &Prometheus, count: usize) {
    let data = prometheus.ask("rules").expect("rules");
    let rules: Vec<&Value> =
        data["groups"].as_array().into_iter().flatten().flat_map(|g| g["rules"].as_array()).flatten().collect();
    assert_eq!(rules.len(), count);
    rules.iter().for_each(|rule| assert_eq!(rule["health"], "ok", "{rule:#}"));
    let targets = prometheus.ask("targets").expect("targets");
    assert_eq!(targets["activeTargets"][0]["lastError"], "", "{targets:#}");
}

/// Prometheus takes every expression of the dashboard, and those over what is always there have an answer.
fn assert_dashboard_evaluates(prometheus: &Prometheus) {
    let mut answered = 0;
    let all = dashboard_expressions();
    for expression in &all {
        let data = prometheus.query(&plain_expression(expression)).unwrap_or_else(|said| panic!("{expression}: {said}"));
        answered += usize::from(data["result"].as_array().is_some_and(|result| !result.is_empty()));
    }
    // Not those about what did not happen here: rests, refused keys, delays between feeds.
    assert!(answered + 6 >= all.len(), "{answered} of {} have an answer", all.len());
}
