//! `lasso stats --cluster`: what all nodes do together, from any one of them; or those of a region, or of one id.
//!
//! For each chain: providers over the nodes, then regions and nodes beside each other. What is not there yet, because a node does not
//! answer, is said above the tables and not left to be noticed.

use crate::cli::ask::{Client, Fault, part};
use crate::cli::asking::Asking;
use crate::cli::options::{Settings, Usage};
use crate::cli::picture;
use crate::cli::stats::column;
use crate::observe::table::{self, Cell, Column, Paper, Tone, ms, percent, whole};
use serde_json::Value;
use std::fmt::Write as _;

/// Whose figures, as the query of the interface.
#[derive(Clone, Debug)]
pub struct NodeScope(String);

impl NodeScope {
    /// `None`: the node's own.
    pub(super) fn read(settings: &Settings) -> Result<Option<NodeScope>, Usage> {
        let (all, region, node) = (settings.switch("cluster")?, settings.text("cluster-region"), settings.text("cluster-node"));
        let given = usize::from(all) + usize::from(region.is_some()) + usize::from(node.is_some());
        if given > 1 {
            return Err(Usage("one of --cluster, --cluster-region and --cluster-node".to_owned()));
        }
        let query = match (all, region, node) {
            (true, ..) => "scope=cluster".to_owned(),
            (_, Some(region), _) => format!("region={}", part(region)),
            (.., Some(node)) => format!("node={}", part(node)),
            _ => return Ok(None),
        };
        Ok(Some(NodeScope(query)))
    }
}

/// The answers of each chain that is asked for.
pub fn take(client: &Client, asking: &Asking, scope: &NodeScope) -> Result<Vec<Value>, Fault> {
    let of_chain = |chain: &picture::ChainState| {
        let (name, profile) = (part(&chain.chain), part(&chain.profile));
        client.get(&format!("/api/metrics/{name}?profile={profile}&{}", scope.0))
    };
    picture::begin(client, asking)?.chains.iter().map(of_chain).collect()
}

pub fn tables(chains: &[Value], url: &str, paper: Paper) -> String {
    let mut out = String::new();
    for chain in chains {
        let said = |at: &str| chain.pointer(at).and_then(Value::as_str).unwrap_or("");
        let count = |at: &str| chain.pointer(at).and_then(Value::as_u64);
        let whose = [said("/region"), said("/node_id")].into_iter().find(|name| !name.is_empty());
        let whose = whose.map_or_else(|| "all nodes".to_owned(), |name| format!("{} {name}", said("/scope")));
        let gap = if out.is_empty() { "" } else { "\n" };
        let _ = writeln!(
            out,
            "{gap}{} ({}), profile {}: {whose} as {url} knows them, {} of {} with fresh figures, {:.1} calls/s",
            said("/chain"),
            whole(count("/chain_id")),
            said("/profile"),
            whole(count("/coverage/responding")),
            whole(count("/coverage/total")),
            chain.pointer("/chain_performance/rpc_calls_per_second").and_then(Value::as_f64).unwrap_or(0.0),
        );
        if chain.get("stale") == Some(&Value::Bool(true)) {
            let oldest_s = count("/oldest_ms").unwrap_or(0) / 1000;
            let text = format!("  not all of it is fresh: the oldest figures here are {oldest_s} s old, see the nodes below");
            let _ = writeln!(out, "{}", paper.tinted(&text, Tone::Warn));
        }
        out.push_str(&render(chain, "/providers", &PROVIDERS, of_provider, paper));
        out.push_str(&render(chain, "/regions", &REGIONS, of_region, paper));
        out.push_str(&render(chain, "/nodes", &NODES, of_node, paper));
    }
    out
}

fn render(chain: &Value, at: &str, columns: &[Column], row: fn(&Value) -> Vec<Cell>, paper: Paper) -> String {
    let rows: Vec<Vec<Cell>> = chain.pointer(at).and_then(Value::as_array).into_iter().flatten().map(row).collect();
    table::render(columns, &rows, paper)
}

const PROVIDERS: [Column; 8] = [
    column("provider", false, 0),
    column("worst status", false, 0),
    column("circuits", false, 1),
    column("calls/min", true, 0),
    column("success", true, 2),
    column("p50 ms", true, 4),
    column("p95 ms", true, 3),
    column("p99 ms", true, 0),
];

const REGIONS: [Column; 8] = [
    column("region", false, 0),
    column("nodes", true, 1),
    column("circuits", false, 2),
    column("calls/s", true, 0),
    column("success", true, 0),
    column("p50 ms", true, 4),
    column("p95 ms", true, 3),
    column("p99 ms", true, 0),
];

const NODES: [Column; 8] = [
    column("node", false, 0),
    column("region", false, 1),
    column("state", false, 0),
    column("version", false, 4),
    column("age s", true, 0),
    column("calls/s", true, 0),
    column("success", true, 2),
    column("p99 ms", true, 0),
];

fn text(json: &Value, at: &str) -> String {
    json.pointer(at).and_then(Value::as_str).unwrap_or("-").to_owned()
}

fn number(json: &Value, at: &str) -> Option<f64> {
    json.pointer(at)?.as_f64()
}

/// The open ones stand out where there are some.
fn circuits(json: &Value) -> Cell {
    let count = |name: &str| json.pointer(&format!("/circuits/{name}")).and_then(Value::as_u64).unwrap_or(0);
    let (closed, half, open) = (count("closed"), count("half_open"), count("open"));
    match open + half {
        0 => Cell::from(format!("{closed} closed")),
        _ => Cell::toned(format!("{} of {} not closed", open + half, closed + open + half), Tone::Warn),
    }
}

fn per_second(json: &Value, at: &str) -> Cell {
    number(json, at).map_or("-".to_owned(), |rate| format!("{rate:.1}")).into()
}

fn of_provider(json: &Value) -> Vec<Cell> {
    let status = text(json, "/status");
    let calls = json.pointer("/last_minute/total_calls").and_then(Value::as_u64);
    let minute = |name: &str| number(json, &format!("/last_minute/{name}"));
    vec![
        text(json, "/id").into(),
        Cell::toned(status.clone(), Tone::of_status(&status)),
        circuits(json),
        whole(calls).into(),
        percent(minute("success_rate").filter(|_| calls > Some(0))).into(),
        ms(minute("p50_latency_ms")).into(),
        ms(minute("p95_latency_ms")).into(),
        ms(minute("p99_latency_ms")).into(),
    ]
}

fn of_region(json: &Value) -> Vec<Cell> {
    vec![
        text(json, "/region").into(),
        whole(json.get("nodes").and_then(Value::as_u64)).into(),
        circuits(json),
        per_second(json, "/rpc_calls_per_second"),
        percent(number(json, "/success_rate")).into(),
        ms(number(json, "/p50_latency_ms")).into(),
        ms(number(json, "/p95_latency_ms")).into(),
        ms(number(json, "/p99_latency_ms")).into(),
    ]
}

fn of_node(json: &Value) -> Vec<Cell> {
    let is_stale = json.get("stale") == Some(&Value::Bool(true));
    let age = number(json, "/age_ms").map_or("-".to_owned(), |age_ms| format!("{:.0}", age_ms / 1000.0));
    let state = text(json, "/state");
    let state_tone = if state == "responding" || state == "connected" { Tone::Plain } else { Tone::Bad };
    vec![
        text(json, "/node_id").into(),
        text(json, "/region").into(),
        Cell::toned(state, state_tone),
        text(json, "/version").into(),
        Cell::toned(age, if is_stale { Tone::Warn } else { Tone::Plain }),
        per_second(json, "/figures/rpc_calls_per_second"),
        percent(number(json, "/figures/success_rate")).into(),
        ms(number(json, "/figures/p99_latency_ms")).into(),
    ]
}
