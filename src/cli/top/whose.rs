//! Whose figures `lasso top` shows: the asked node's own, or those of all nodes, of a region, or of the nodes with one id, as that node
//! knows them.
//!
//! Figures of several nodes become the same picture as a node's own, so lists, sorting and filters are one code. What a picture has no
//! place for is beside it: how much of what was asked for is there and how old it is, the nodes, and each provider by region.

use super::view::Target;
use crate::cli::ask::{Client, Fault, part};
use crate::cli::asking::Asking;
use crate::cli::picture::{self, ChainState, ChannelState, Minute, Picture, ProviderState, list, number, text, whole};
use crate::cli::stats::column;
use crate::observe::table::{Cell, Column, Tone, ms, percent, whole as whole_cell};
use serde_json::Value;
use std::collections::BTreeSet;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Whose {
    #[default]
    ThisNode,
    AllNodes,
    Region(String),
    /// Several nodes may have one id.
    Node(String),
}

impl Whose {
    /// As the interface wants it; none for the asked node's own figures.
    fn query(&self) -> Option<String> {
        match self {
            Whose::ThisNode => None,
            Whose::AllNodes => Some("scope=cluster".to_owned()),
            Whose::Region(region) => Some(format!("region={}", part(region))),
            Whose::Node(id) => Some(format!("node={}", part(id))),
        }
    }

    pub fn words(&self) -> String {
        match self {
            Whose::ThisNode => "this node".to_owned(),
            Whose::AllNodes => "all nodes".to_owned(),
            Whose::Region(region) => format!("region {region}"),
            Whose::Node(id) => format!("node {id}"),
        }
    }
}

/// What there is to choose from by `/api/cluster`, in the order of the key: this node, all, each region, each id. A node that knows
/// nobody else leaves one choice.
pub fn choices(cluster: &Value) -> Vec<Whose> {
    let nodes = list(cluster, "/nodes");
    let mut out = vec![Whose::ThisNode];
    if nodes.len() < 2 {
        return out;
    }
    let names =
        |at: &str| -> BTreeSet<String> { nodes.iter().map(|node| text(node, at)).filter(|name| !name.is_empty()).collect() };
    out.push(Whose::AllNodes);
    out.extend(names("/region").into_iter().map(Whose::Region));
    out.extend(names("/node_id").into_iter().map(Whose::Node));
    out
}

/// One node of those that were asked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NodeLine {
    pub node_id: String,
    pub region: String,
    pub state: String,
    pub version: String,
    /// How old its figures are; none: they are not here.
    pub age_ms: Option<u64>,
    pub is_stale: bool,
    /// Over all chains.
    pub calls_per_second: f64,
}

/// A provider in one region.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RegionLine {
    pub region: String,
    pub status: String,
    pub circuits: String,
    pub minute: Minute,
}

/// What is known beside the picture. Over several chains it is the worst of them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Together {
    pub responding: u64,
    pub total: u64,
    pub is_stale: bool,
    pub oldest_ms: u64,
    pub nodes: Vec<NodeLine>,
    pub regions: Vec<(Target, Vec<RegionLine>)>,
}

impl Together {
    /// Coverage and age, in words.
    pub fn words(&self) -> String {
        let missing = self.nodes.iter().filter(|node| node.is_stale).map(|node| match node.node_id.as_str() {
            "" => "a node without a name yet",
            id => id,
        });
        let missing: Vec<&str> = missing.collect();
        let without = if missing.is_empty() { String::new() } else { format!("; not {}", missing.join(", ")) };
        let oldest_s = self.oldest_ms / 1000;
        format!("{} of {} nodes responding, oldest figures {oldest_s} s{without}", self.responding, self.total)
    }

    pub fn regions_of(&self, target: &Target) -> &[RegionLine] {
        self.regions.iter().find(|(of, _)| of == target).map_or(&[], |(_, lines)| lines)
    }

    pub(super) fn take(&mut self, chain: &ChainState, answer: &Value) {
        let count = |at: &str| whole(answer, at).unwrap_or(0);
        let is_first = self.total == 0;
        self.responding =
            if is_first { count("/coverage/responding") } else { self.responding.min(count("/coverage/responding")) };
        self.total = self.total.max(count("/coverage/total"));
        self.is_stale |= answer.get("stale") == Some(&Value::Bool(true));
        self.oldest_ms = self.oldest_ms.max(count("/oldest_ms"));
        for (place, node) in list(answer, "/nodes").iter().map(node_line).enumerate() {
            match self.nodes.get_mut(place).filter(|known| known.node_id == node.node_id) {
                Some(known) => {
                    known.calls_per_second += node.calls_per_second;
                    known.is_stale |= node.is_stale;
                    known.age_ms = known.age_ms.zip(node.age_ms).map(|(a, b)| a.max(b));
                }
                None => self.nodes.push(node),
            }
        }
        for provider in list(answer, "/providers") {
            let target = Target { profile: chain.profile.clone(), chain: chain.chain.clone(), provider: text(provider, "/id") };
            self.regions.push((target, list(provider, "/regions").iter().map(region_line).collect()));
        }
    }
}

/// Asks for the figures of each chain. `None`: the asked node's own are wanted, which is another question.
pub fn take(client: &Client, asking: &Asking, whose: &Whose) -> Option<Result<(Picture, Together), Fault>> {
    let query = whose.query()?;
    Some(picture::begin(client, asking).and_then(|mut picture| {
        let mut together = Together::default();
        for chain in &mut picture.chains {
            let (name, profile) = (part(&chain.chain), part(&chain.profile));
            let answer = client.get(&format!("/api/metrics/{name}?profile={profile}&{query}"))?;
            fill(chain, &answer);
            together.take(chain, &answer);
        }
        Ok((picture, together))
    }))
}

/// Takes an answer about several nodes over.
pub(super) fn fill(chain: &mut ChainState, answer: &Value) {
    chain.calls_per_second = number(answer, "/chain_performance/rpc_calls_per_second").unwrap_or(0.0);
    chain.failovers = whole(answer, "/chain_performance/failovers_last_minute").unwrap_or(0);
    let lag = |provider: &Value| list(provider, "/regions").iter().filter_map(|region| whole(region, "/lag_blocks")).max();
    let provider = |json: &Value| ProviderState {
        id: text(json, "/id"),
        status: text(json, "/status"),
        height: whole(json, "/height"),
        lag_blocks: lag(json),
        minute: minute(json),
        // Many circuits are one text.
        channels: vec![ChannelState { circuit: circuits(json), ..ChannelState::default() }],
        ..ProviderState::default()
    };
    chain.providers = list(answer, "/providers").iter().map(provider).collect();
}

/// Their windows count attempts as `total_calls`.
fn minute(json: &Value) -> Minute {
    let calls = whole(json, "/last_minute/total_calls").unwrap_or(0);
    let latency = |name: &str| number(json, &format!("/last_minute/{name}_latency_ms"));
    let success_rate = number(json, "/last_minute/success_rate").filter(|_| calls > 0);
    Minute { calls, success_rate, p50_ms: latency("p50"), p95_ms: latency("p95"), p99_ms: latency("p99") }
}

fn circuits(json: &Value) -> String {
    let count = |name: &str| whole(json, &format!("/circuits/{name}")).unwrap_or(0);
    let (closed, half, open) = (count("closed"), count("half_open"), count("open"));
    match (closed + half + open, half, open) {
        (0, ..) => "-".to_owned(),
        (_, 0, 0) => "closed".to_owned(),
        (all, half, 0) => format!("half-open {half}/{all}"),
        (all, _, open) => format!("open {open}/{all}"),
    }
}

fn node_line(json: &Value) -> NodeLine {
    NodeLine {
        node_id: text(json, "/node_id"),
        region: text(json, "/region"),
        state: text(json, "/state"),
        version: text(json, "/version"),
        age_ms: whole(json, "/age_ms"),
        is_stale: json.get("stale") == Some(&Value::Bool(true)),
        calls_per_second: number(json, "/figures/rpc_calls_per_second").unwrap_or(0.0),
    }
}

fn region_line(json: &Value) -> RegionLine {
    RegionLine { region: text(json, "/region"), status: text(json, "/status"), circuits: circuits(json), minute: minute(json) }
}

pub const NODE_COLUMNS: [Column; 6] = [
    column("node", false, 0),
    column("region", false, 1),
    column("state", false, 0),
    column("version", false, 3),
    column("age s", true, 0),
    column("calls/s", true, 0),
];

/// Under `NODE_COLUMNS`.
pub fn of_node(node: &NodeLine) -> Vec<Cell> {
    let named = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let state_tone = if matches!(node.state.as_str(), "responding" | "connected") { Tone::Plain } else { Tone::Bad };
    let age = node.age_ms.map_or("-".to_owned(), |age_ms| (age_ms / 1000).to_string());
    vec![
        named(&node.node_id).into(),
        named(&node.region).into(),
        Cell::toned(named(&node.state), state_tone),
        named(&node.version).into(),
        Cell::toned(age, if node.is_stale { Tone::Warn } else { Tone::Plain }),
        node.age_ms.map_or("-".to_owned(), |_| format!("{:.1}", node.calls_per_second)).into(),
    ]
}

pub const REGION_COLUMNS: [Column; 8] = [
    column("region", false, 0),
    column("worst status", false, 0),
    column("circuits", false, 1),
    column("calls/min", true, 0),
    column("success", true, 2),
    column("p50 ms", true, 4),
    column("p95 ms", true, 3),
    column("p99 ms", true, 0),
];

/// Under `REGION_COLUMNS`.
pub fn of_region(line: &RegionLine) -> Vec<Cell> {
    let RegionLine { region, status, circuits, minute } = line;
    let circuit_tone = if circuits == "closed" { Tone::Plain } else { Tone::Warn };
    vec![
        region.clone().into(),
        Cell::toned(status.clone(), Tone::of_status(status)),
        Cell::toned(circuits.clone(), circuit_tone),
        whole_cell(Some(minute.calls)).into(),
        percent(minute.success_rate).into(),
        ms(minute.p50_ms).into(),
        ms(minute.p95_ms).into(),
        ms(minute.p99_ms).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_key_goes_through_this_node_all_regions_and_ids() {
        let node = |id: Value, region: &str| json!({ "node_id": id, "region": region });
        let of = |nodes: Vec<Value>| choices(&json!({ "nodes": nodes }));
        assert_eq!(of(vec![node("a".into(), "eu")]), [Whose::ThisNode]);
        assert_eq!(choices(&Value::Null), [Whose::ThisNode]);
        let many = of(vec![node("b".into(), "us"), node("a".into(), "eu"), node("a".into(), "eu"), node(Value::Null, "")]);
        let words: Vec<String> = many.iter().map(Whose::words).collect();
        assert_eq!(words, ["this node", "all nodes", "region eu", "region us", "node a", "node b"]);
        let queries: Vec<Option<String>> =
            [Whose::ThisNode, Whose::AllNodes, Whose::Region("a b".into()), Whose::Node("n".into())]
                .iter()
                .map(Whose::query)
                .collect();
        assert_eq!(queries, [None, Some("scope=cluster".into()), Some("region=a%20b".into()), Some("node=n".into())]);
    }

    #[test]
    fn many_circuits_are_one_word_with_numbers() {
        let of = |closed: u64, half_open: u64, open: u64| {
            circuits(&json!({ "circuits": { "closed": closed, "half_open": half_open, "open": open } }))
        };
        assert_eq!([of(0, 0, 0), of(3, 0, 0), of(2, 1, 0), of(1, 1, 1)], ["-", "closed", "half-open 1/3", "open 1/3"]);
    }

    #[test]
    fn over_several_chains_the_worst_counts_and_calls_add_up() {
        let answer = |responding: u64, oldest: u64, age: Value, rate: f64| {
            json!({
                "coverage": { "responding": responding, "total": 2 }, "stale": responding < 2, "oldest_ms": oldest,
                "nodes": [
                    { "node_id": "a", "region": "eu", "state": "responding", "age_ms": 1, "stale": false,
                      "figures": { "rpc_calls_per_second": 1.0 } },
                    { "node_id": "b", "region": "us", "state": "unresponsive", "age_ms": age, "stale": responding < 2,
                      "figures": { "rpc_calls_per_second": rate } },
                ],
            })
        };
        let mut together = Together::default();
        together.take(&ChainState::default(), &answer(2, 3_000, 3.into(), 2.0));
        assert_eq!(together.words(), "2 of 2 nodes responding, oldest figures 3 s");
        together.take(&ChainState::default(), &answer(1, 21_000, Value::Null, 0.5));
        assert_eq!(together.words(), "1 of 2 nodes responding, oldest figures 21 s; not b");
        assert!(together.is_stale);
        let rates: Vec<f64> = together.nodes.iter().map(|node| node.calls_per_second).collect();
        assert_eq!((rates, together.nodes[1].age_ms), (vec![2.0, 2.5], None));
    }
}
