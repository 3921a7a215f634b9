//! `/metrics` of a node that has had calls: what promtool thinks of it, and that it has whatever our dashboard and alerts
//! ask for.

use crate::actor::{Actor, Say, Seen, healthy, steady};
use crate::feed::{Chain, Feed};
use crate::harness::{Lasso, no_limit};
use crate::http::{Client, READ};
use crate::multiplex::{self, Watcher};
use crate::prometheus::{is_here, promtool, shipped_text};
use crate::scenario::within;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

pub fn scrape(at: SocketAddr) -> String {
    let mut client = Client::new(at);
    client.send(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let answer = client.answer().expect("an answer");
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    answer.text()
}

/// A node, and what keeps it busy.
struct Busy {
    lasso: Lasso,
    _actors: [Actor; 2],
    _watcher: Watcher,
}

/// Two of its providers have answered, and failed, calls of three methods; a third has announced blocks to a subscriber.
fn busy_node() -> Busy {
    let flaky = |seen: &Seen| match seen.is_own || seen.serial.is_multiple_of(2) {
        true => (Duration::ZERO, healthy(seen, 100)),
        false => (Duration::ZERO, Say::Status("500 Internal Server Error", "", "oops")),
    };
    let actors = [Actor::new(flaky), Actor::new(steady(2))];
    let monitored = "    chain_id: 1\n    monitoring:\n      probe_interval_ms: 200\n";
    let profile = no_limit(&[actors[0].address, actors[1].address]).replace("    chain_id: 1\n", monitored);
    let (chain, slug) = (Chain::new(), "watched");
    let (_, watched) = multiplex::profile(slug, &[&Feed::new(&chain)], "");
    let lasso = Lasso::start_many(&[("default", profile), (slug, watched)], &[]);
    let watcher = Watcher::new(lasso.address, "/ws/rpc/profile/watched/one", &serde_json::json!(["newHeads"]));
    (0..3).for_each(|_| assert!(chain.mine() > 0));
    let mut client = Client::new(lasso.address);
    for method in ["eth_getBalance", "eth_call", "eth_invented"] {
        (0..20).for_each(|_| drop(client.post("/rpc/one", &READ.replace("eth_getBalance", method))));
    }
    let signs = [r#"method="other",outcome="success""#, "\nlasso_chain_head_height{", "\nlasso_feed_delay_seconds{"];
    let is_there = |text: &str| signs.iter().all(|sign| text.contains(sign));
    within(Duration::from_secs(20), "the calls and the heads are reported", || is_there(&scrape(lasso.address)));
    Busy { lasso, _actors: actors, _watcher: watcher }
}

#[test]
fn promtool_is_content_with_a_real_scrape_and_with_our_rules() {
    if !is_here() {
        return;
    }
    let busy = busy_node();
    let text = scrape(busy.lasso.address);
    assert_eq!(promtool(&["check", "metrics"], &text), "", "warnings about {} lines", text.lines().count());
    promtool(&["check", "config", "prometheus.yml"], "");
    promtool(&["check", "rules", "lasso.rules.yml"], "");
    promtool(&["test", "rules", "lasso.rules.test.yml"], "");
    // Each alert is in the file that tests them.
    let (rules, tests) = (shipped_text("prometheus/lasso.rules.yml"), shipped_text("prometheus/lasso.rules.test.yml"));
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} has no test");
    }
}

#[test]
fn the_text_is_the_one_that_is_asked_for() {
    let lasso = Lasso::start(&no_limit(&["127.0.0.1:1".parse().expect("an address")]), "epoll");
    let ask = |verb: &str, fields: &str| {
        let mut client = Client::new(lasso.address);
        client.send(format!("{verb} /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fields}\r\n").as_bytes());
        let mut text = String::new();
        client.stream.read_to_string(&mut text).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        (head.to_ascii_lowercase(), body.to_owned())
    };
    let (head, body) = ask("GET", "accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert!(body.ends_with("\n# EOF\n") && body.contains("# TYPE process_cpu_seconds counter\n"), "{body}");
    let (head, body) = ask("GET", "accept: */*\r\n");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(!body.contains("# EOF") && body.contains("# TYPE process_cpu_seconds_total counter\n"), "{body}");
    let (head, body) = ask("HEAD", "");
    assert!(head.starts_with("http/1.1 200") && body.is_empty(), "{head} {body}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|n| n.parse::<u64>().ok());
    assert!(length.is_some_and(|length| length > 5_000), "{head}");
    let (head, _) = ask("POST", "content-length: 0\r\n");
    assert!(head.starts_with("http/1.1 405") && head.contains("allow: get, head"), "{head}");
}

/// Names and the labels that each has.
fn told(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a sample"));
        // No label of the node under test has a brace, comma or equals sign in its value.
        let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(labels, _)| labels);
        all.entry(name).or_default().extend(labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name));
    }
    all
}

pub fn dashboard_expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&shipped_text("grafana/lasso.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().expect("an expression").to_owned()).collect()
}

/// As Grafana would send it with everything chosen.
pub fn plain_expression(expression: &str) -> String {
    let mut plain = expression.replace("$__rate_interval", "10s");
    for variable in ["$instance", "$profile", "$chain", "$provider"] {
        plain = plain.replace(variable, ".*");
    }
    plain
}

/// Expressions of the alerts; those of several lines are indented more than what follows them.
fn rule_expressions() -> Vec<String> {
    let text = shipped_text("prometheus/lasso.rules.yml");
    let mut found: Vec<String> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        is_inside &= line.starts_with("          ");
        match line.trim().strip_prefix("expr: ") {
            Some("|") => {
                found.push(String::new());
                is_inside = true;
            }
            Some(one) => found.push(one.to_owned()),
            None if is_inside => found.last_mut().expect("begun").push_str(line),
            None => {}
        }
    }
    found
}

/// What the variables of the dashboard are filled from.
fn variable_expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&shipped_text("grafana/lasso.json")).expect("JSON");
    let list = dashboard["templating"]["list"].as_array().expect("variables");
    let queries = list.iter().filter_map(|variable| variable["definition"].as_str());
    let selector = |query: &str| {
        let (selector, label) = query.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(", ")?;
        Some(format!("sum by ({label}) ({selector})"))
    };
    queries.map(|query| selector(query).unwrap_or_else(|| panic!("{query} is not understood"))).collect()
}

/// The metrics that a PromQL expression names, each with its matchers' labels, and the labels that it groups by.
fn asked(expression: &str) -> (BTreeMap<String, BTreeSet<String>>, BTreeSet<String>) {
    const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];
    let (mut metrics, mut grouped): (BTreeMap<String, BTreeSet<String>>, BTreeSet<String>) = Default::default();
    let words = |text: &str| -> BTreeSet<String> {
        let parts = text.split(',').map(|part| part.split(['=', '!', '~']).next().unwrap_or("").trim().to_owned());
        parts.filter(|word| !word.is_empty()).collect()
    };
    let mut rest = expression;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_' || c.is_ascii_digit() || c == '[') {
        rest = &rest[at..];
        // Durations and numbers.
        if rest.starts_with(|c: char| c.is_ascii_digit() || c == '[') {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "[].$_".contains(c))).unwrap_or(rest.len());
            rest = &rest[end.max(1)..];
            continue;
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after.trim_start();
        if GROUPING.contains(&word) {
            let (inside, after) = rest.strip_prefix('(').and_then(|r| r.split_once(')')).expect("a list");
            grouped.extend(words(inside));
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let (matchers, after) = inside.split_once('}').expect("its end");
            metrics.entry(word.to_owned()).or_default().extend(words(matchers));
            rest = after;
        } else if !rest.starts_with('(') && !OPERATORS.contains(&word) && !GROUPING.iter().any(|g| rest.starts_with(g)) {
            metrics.entry(word.to_owned()).or_default();
        }
    }
    (metrics, grouped)
}

#[test]
fn expressions_are_taken_apart() {
    let check = |expression: &str, metrics: &[(&str, &[&str])], grouped: &[&str]| {
        let (got, by) = asked(expression);
        let want: BTreeMap<String, BTreeSet<String>> =
            metrics.iter().map(|(name, labels)| (name.to_string(), labels.iter().map(|l| l.to_string()).collect())).collect();
        assert_eq!((got, by), (want, grouped.iter().map(|l| l.to_string()).collect()), "{expression}");
    };
    check("up == 0", &[("up", &[])], &[]);
    check(r#"sum by (a, b) (rate(x_total{c="1",d=~".*"}[$__rate_interval])) > 0.05"#, &[("x_total", &["c", "d"])], &["a", "b"]);
    check("x > on (a) group_left () y", &[("x", &[]), ("y", &[])], &["a"]);
    check("count(x{a!=\"\"} == 0) or vector(0)", &[("x", &["a"])], &[]);
    check("histogram_quantile(0.99, sum by (le) (rate(h_bucket[5m])))", &[("h_bucket", &[])], &["le"]);
}

#[test]
fn whatever_dashboard_and_alerts_ask_for_is_there() {
    let busy = busy_node();
    let text = scrape(busy.lasso.address);
    let told = told(&text);
    // What Prometheus adds to everything, and makes by itself.
    const ADDED: [&str; 2] = ["job", "instance"];
    let all: Vec<String> = [dashboard_expressions(), rule_expressions(), variable_expressions()].concat();
    assert!(all.len() > 60, "{} expressions", all.len());
    let mut names = BTreeSet::new();
    for expression in &all {
        let (metrics, grouped) = asked(expression);
        let metrics: Vec<_> = metrics.into_iter().filter(|(name, _)| name != "up").collect();
        let is_there = |name: &str, label: &str| ADDED.contains(&label) || told.get(name).is_some_and(|l| l.contains(label));
        for (name, labels) in &metrics {
            assert!(told.contains_key(name.as_str()), "{name} is not told, but asked for: {expression}");
            for label in labels {
                assert!(is_there(name, label), "{name} has no label {label}: {expression}");
            }
            names.insert(name.clone());
        }
        for label in &grouped {
            assert!(metrics.iter().any(|(name, _)| is_there(name, label)), "nothing has the label {label}: {expression}");
        }
    }
    assert!(names.len() > 40, "{names:?}");
}
