//! The whole text of a node whose reports are known: well-formed in both formats, and true.

use crate::aggregator::{Aggregator, Rules};
use crate::base::ids::{ChannelId, EntryId, InstanceId, MethodId, Transport};
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant, WallTime};
use crate::chain::method;
use crate::config::topology::Strategy;
use crate::config::{self, SourceFile};
use crate::health::breaker::Policy;
use crate::observe::category::Category;
use crate::observe::expose::Format;
use crate::observe::question::{Asked, Question};
use crate::observe::report::{Load, Report};
use crate::observe::tally::{Attempted, Effect, Tally};
use crate::route::limit::TrustedProxies;
use crate::runtime::journal::Losses;
use crate::shard::{Node, Settings};
use crate::snapshot::Snapshot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const PROFILE: &str = "---\nname: t\nslug: default\n---\nchains:\n  one:\n    chain_id: 1\n    providers:\n\
    \x20     - {id: a, url: \"http://127.0.0.1:1\"}\n      - {id: b, url: \"http://127.0.0.1:2\", ws_url: \"ws://127.0.0.1:2\"}\n";

fn node() -> (Arc<Node>, Aggregator) {
    let loaded = config::load(&[SourceFile { name: "default.yml".into(), text: PROFILE.into() }], &|_| None);
    let settings = Settings {
        node_id: "quoted \"id\"".into(),
        region: "here".into(),
        scheme: None,
        host: "localhost".into(),
        shards: 2,
        trusted_proxies: TrustedProxies::loopback(),
        client_connections_max: crate::base::limits::CLIENTS_MAX,
        request_log_rate: 256,
        started: WallTime(1_500),
        spans: None,
        recorder: None,
        log_losses: Losses::default(),
        cluster: None,
    };
    let snapshot = Snapshot::new(loaded.unwrap().topology, Strategy::Fastest, "here", 3);
    let node = Node::new(settings, snapshot, [1, 2]);
    let rules = Rules { breaker: Policy::new(2, 2, 30_000), beta: 3.0 };
    (node.clone(), Aggregator::new(node, rules, Rng::new(1)))
}

fn attempted(entry: u32, method: MethodId, category: Option<Category>) -> Attempted {
    Attempted {
        entry: EntryId(entry),
        channel: ChannelId::of(InstanceId(entry as u16), Transport::Http),
        method,
        effect: if category.is_some() { Effect::Penalised } else { Effect::Success },
        category,
        latency: Duration::from_millis(7),
        is_retry: entry == 1,
        is_superseded: false,
    }
}

fn report(node: &Node, producer: u16, is_last: bool, tally: Tally, load: Load, now: Instant) {
    let lane = &node.lanes[usize::from(producer)];
    let sent = Report { producer, epoch: lane.next_epoch(), until: now, is_last, tally: Box::new(tally), load };
    assert!(lane.send(sent).is_ok());
}

fn scrape(node: &Node, aggregator: &mut Aggregator, format: Format, now: Instant) -> String {
    let ticket = node.desk.ask(Asked { what: Question::Prometheus { format }, wall: WallTime(9_000) }).unwrap();
    aggregator.step(now);
    let answer = ticket.take().unwrap();
    assert_eq!((answer.status, answer.kind), (200, format.content_type()));
    String::from_utf8(answer.body).unwrap()
}

/// Samples by series, of a text whose shape is checked on the way.
fn samples(text: &str, format: Format) -> BTreeMap<String, f64> {
    let (mut found, mut families, mut family, mut lines) = (BTreeMap::new(), BTreeSet::new(), String::new(), 0);
    for line in text.lines() {
        lines += 1;
        if let Some(about) = line.strip_prefix("# ") {
            let word: Vec<&str> = about.splitn(3, ' ').collect();
            match word[..] {
                ["TYPE", name, _] => {
                    assert!(families.insert(name.to_owned()), "{name} twice");
                    family = name.to_owned();
                }
                ["UNIT", name, unit] => assert!(name == family && name.ends_with(&format!("_{unit}")), "{line}"),
                ["HELP", name, help] => assert!(name == family && help.ends_with('.'), "{line}"),
                ["EOF"] => assert!(format == Format::OpenMetrics && lines == text.lines().count()),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let rest = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} in {family}"));
        let is_open = format == Format::OpenMetrics;
        let fits = ["", "_bucket", "_sum", "_count"].contains(&rest) || (is_open && ["_total", "_info"].contains(&rest));
        assert!(fits, "{line} in {family}");
        assert!(found.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{series} twice");
    }
    assert_eq!(text.ends_with("# EOF\n"), format == Format::OpenMetrics);
    found
}

#[test]
fn both_texts_are_well_formed_and_say_what_was_reported() {
    let (node, mut aggregator) = node();
    let get_balance = method::lookup(b"eth_getBalance");
    let mut tally = Tally::new(2, 2);
    (0..3).for_each(|_| tally.record(&attempted(0, get_balance, Some(Category::ServerError))));
    (0..4).for_each(|_| tally.record(&attempted(1, get_balance, None)));
    tally.record(&attempted(1, method::UNKNOWN, None));
    let load = Load { calls: 8, replies: 8, client_connections: 5, panics: 1, ..Load::default() };
    report(&node, 1, false, tally, load, Instant::ZERO.plus_ms(100));
    let now = Instant::ZERO.plus_ms(2_500);
    aggregator.step(now);
    let plain = samples(&scrape(&node, &mut aggregator, Format::Plain, now), Format::Plain);
    let newer = samples(&scrape(&node, &mut aggregator, Format::OpenMetrics, now), Format::OpenMetrics);
    assert!(plain.keys().eq(newer.keys()), "the same series in both");
    let check = |series: &str, want: Option<f64>| {
        let want = want.map(|want| (series, want));
        assert_eq!(newer.get_key_value(series).map(|(k, v)| (k.as_str(), *v)), want);
    };
    let a = r#"profile="default",chain="one",provider="a",transport="http""#;
    let b = a.replace("\"a\"", "\"b\"");
    let call = r#"method="eth_getBalance""#;
    check(&format!(r#"lasso_attempts_total{{{a},{call},outcome="failure"}}"#), Some(3.0));
    check(&format!(r#"lasso_attempts_total{{{a},{call},outcome="success"}}"#), Some(0.0));
    check(&format!(r#"lasso_attempt_errors_total{{{a},{call},category="server_error"}}"#), Some(3.0));
    check(&format!(r#"lasso_attempt_errors_total{{{b},{call},category="server_error"}}"#), None);
    check(&format!("lasso_attempts_penalised_total{{{a},{call}}}"), Some(3.0));
    check(&format!("lasso_failovers_total{{{b},{call}}}"), Some(4.0));
    check(&format!(r#"lasso_attempts_total{{{b},method="other",outcome="success"}}"#), Some(1.0));
    check(&format!(r#"lasso_attempt_duration_seconds_bucket{{{b},{call},le="0.005"}}"#), Some(0.0));
    check(&format!(r#"lasso_attempt_duration_seconds_bucket{{{b},{call},le="0.01"}}"#), Some(4.0));
    check(&format!("lasso_attempt_duration_seconds_sum{{{b},{call}}}"), Some(0.028));
    check(&format!(r#"lasso_circuit_state{{{a},state="open"}}"#), Some(1.0));
    check(&format!(r#"lasso_circuit_state{{{a},state="closed"}}"#), Some(0.0));
    let why = r#"state="open",reason="failure_threshold_exceeded",last_failure="server_error""#;
    check(&format!("lasso_circuit_info{{{a},{why}}}"), Some(1.0));
    check(&format!("lasso_circuit_opens_total{{{a}}}"), Some(1.0));
    check(r#"lasso_provider_status{profile="default",chain="one",provider="a",status="circuit_open"}"#, Some(1.0));
    check(r#"lasso_provider_available{profile="default",chain="one",provider="b"}"#, Some(1.0));
    check(r#"lasso_chain_providers_available{profile="default",chain="one"}"#, Some(1.0));
    check(r#"lasso_chain_head_height{profile="default",chain="one"}"#, None);
    check(r#"lasso_rpc_calls_total{shard="1"}"#, Some(8.0));
    check(r#"lasso_epoch_lag_seconds{shard="1"}"#, Some(2.4));
    check(r#"lasso_node_info{node_id="quoted \"id\"",region="here"}"#, Some(1.0));
    check("process_start_time_seconds", Some(1.5));
    check("lasso_uptime_seconds", Some(2.0));
}

#[test]
fn a_shard_that_begins_again_takes_no_counter_back() {
    let (node, mut aggregator) = node();
    let load = |panics, client_connections| Load { panics, client_connections, calls: 10, ..Load::default() };
    let mut step = |load: Option<Load>, now: u64, want: [f64; 4]| {
        let now = Instant::ZERO.plus_ms(now);
        report(&node, 0, load.is_none(), Tally::new(2, 2), load.unwrap_or_default(), now);
        aggregator.step(now);
        let found = samples(&scrape(&node, &mut aggregator, Format::OpenMetrics, now), Format::OpenMetrics);
        let names = ["lasso_panics_total", "lasso_shard_restarts_total", "lasso_rpc_calls_total", "lasso_client_connections"];
        assert_eq!(names.map(|name| found[&format!("{name}{{shard=\"0\"}}")]), want, "{now:?}");
    };
    step(Some(load(3, 2)), 100, [3.0, 0.0, 10.0, 2.0]);
    step(None, 200, [3.0, 1.0, 10.0, 0.0]);
    step(Some(load(0, 1)), 300, [3.0, 1.0, 10.0, 1.0]);
    step(Some(load(1, 1)), 400, [4.0, 1.0, 10.0, 1.0]);
}

#[test]
fn a_stall_is_told_for_half_a_minute_at_least_and_a_minute_at_most() {
    let (node, mut aggregator) = node();
    let mut step = |stall_ms, now: u64, want: f64| {
        let now = Instant::ZERO.plus_ms(now);
        let load = Load { stall_max: Duration::from_millis(stall_ms), ..Load::default() };
        report(&node, 0, false, Tally::new(2, 2), load, now);
        aggregator.step(now);
        let found = samples(&scrape(&node, &mut aggregator, Format::Plain, now), Format::Plain);
        assert_eq!(found[r#"lasso_loop_stall_seconds{shard="0"}"#], want, "{now:?}");
    };
    step(250, 100, 0.25);
    step(1, 29_900, 0.25);
    step(2, 30_000, 0.25);
    step(1, 59_900, 0.25);
    step(1, 60_000, 0.002);
    step(0, 600_000, 0.0);
}
