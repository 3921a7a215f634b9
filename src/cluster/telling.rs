//! `/api/metrics/:chain` over several nodes, as JSON: for the whole, each node, each region, each provider (with its regions), each method.
//! Names and meanings are those of the same interface about one node; what is about a process has no meaning here and is left out.

use super::digest::DigestTopic;
use super::merging::{ClusterScope, HealthSum, KnownNode, MergedFigures, NodeSums, ProviderSums, WindowSums, calls, merge};
use crate::base::time::WallTime;
use crate::observe::shown::{PERCENTILES, STATUS_WORDS, histogram, latencies, ms, rounded, window};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What is asked about other nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterQuestion {
    pub profile: Box<str>,
    /// As it is called here.
    pub chain: Box<str>,
    pub chain_number: u64,
    pub scope: ClusterScope,
    pub histograms: bool,
    pub wall: WallTime,
}

impl ClusterQuestion {
    pub fn topic(&self) -> DigestTopic {
        DigestTopic::new(&self.profile, self.chain_number)
    }
}

/// Status and body.
pub fn answer(question: &ClusterQuestion, known: &[KnownNode<'_>]) -> (u16, Value) {
    let merged = merge(known, &question.scope);
    if merged.total == 0 {
        return (404, nobody(&question.scope, known));
    }
    (200, metrics(question, &merged))
}

/// Whoever asks for what is not there is told what is.
fn nobody(scope: &ClusterScope, known: &[KnownNode<'_>]) -> Value {
    let cards = || known.iter().filter_map(|node| node.card);
    let regions: BTreeSet<&str> = cards().map(|card| card.region.as_str()).collect();
    let nodes: BTreeSet<&str> = cards().map(|card| card.node_id.as_str()).collect();
    match scope {
        ClusterScope::Region(region) => json!({ "error": "Region not found", "region": region, "available_regions": regions }),
        ClusterScope::Node(id) => json!({ "error": "Node not found", "node": id, "available_nodes": nodes }),
        ClusterScope::Everybody => json!({ "error": "nobody is known" }),
    }
}

fn metrics(question: &ClusterQuestion, merged: &MergedFigures<'_>) -> Value {
    let (scope, name) = match &question.scope {
        ClusterScope::Everybody => ("cluster", None),
        ClusterScope::Region(region) => ("region", Some(region)),
        ClusterScope::Node(id) => ("node", Some(id)),
    };
    let named = |wanted: &str| name.filter(|_| scope == wanted);
    let methods = merged.methods.iter().map(|(name, sums)| method(name, sums, question.histograms));
    let providers = merged.providers.iter().map(|(id, sums)| provider(id, sums, question.histograms));
    json!({
        "profile": question.profile,
        "chain": question.chain,
        "chain_id": question.chain_number,
        "timestamp": question.wall.rfc3339(),
        "scope": scope,
        "region": named("region"),
        "node_id": named("node"),
        "coverage": { "responding": merged.responding, "total": merged.total },
        "stale": merged.is_stale(),
        "oldest_ms": merged.oldest.as_millis() as u64,
        "chain_performance": performance(merged, question.histograms),
        "nodes": merged.nodes.iter().map(node).collect::<Vec<_>>(),
        "regions": merged.by_region.iter().map(|(name, sums)| region(name, sums)).collect::<Vec<_>>(),
        "providers": providers.collect::<Vec<_>>(),
        "rpc_methods": merged.methods.keys().collect::<Vec<_>>(),
        "rpc_performance_by_method": methods.collect::<Vec<_>>(),
    })
}

fn performance(merged: &MergedFigures<'_>, histograms: bool) -> Value {
    let all = &merged.all;
    let connected = merged.providers.values().filter(|provider| provider.all.health.circuits[0] > 0).count();
    let mut out = latencies(&all.hour);
    out.extend(rates(all));
    out.extend([
        ("total_calls".to_owned(), json!(calls(&all.total))),
        ("failovers_last_minute".to_owned(), json!(all.minute.retries)),
        ("connected_providers".to_owned(), json!(connected)),
        ("total_providers".to_owned(), json!(merged.providers.len())),
        ("error_rate_percent".to_owned(), json!(rounded(100.0 * (1.0 - all.hour.success_rate())))),
    ]);
    out.extend(histogram(&all.hour, histograms));
    Value::Object(out)
}

fn rates(sums: &WindowSums) -> [(String, Value); 2] {
    [
        ("success_rate".to_owned(), json!(rounded(sums.hour.success_rate()))),
        ("rpc_calls_per_second".to_owned(), json!(rounded(sums.calls_per_second))),
    ]
}

/// What a table shows of some nodes together: clients' calls and latencies of the hour, circuits.
fn line(sums: &WindowSums) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("total_calls".to_owned(), json!(calls(&sums.total)));
    out.extend(rates(sums));
    out.extend(percentiles(sums));
    out.insert("failovers_last_minute".to_owned(), json!(sums.minute.retries));
    out.insert("circuits".to_owned(), circuits(&sums.health));
    out
}

fn percentiles(sums: &WindowSums) -> impl Iterator<Item = (String, Value)> {
    latencies(&sums.hour).into_iter().filter(|(name, _)| PERCENTILES.iter().any(|(known, ..)| name == known))
}

fn circuits(health: &HealthSum) -> Value {
    let [closed, half_open, open] = health.circuits;
    json!({ "closed": closed, "half_open": half_open, "open": open })
}

fn status(health: &HealthSum) -> &'static str {
    usize::from(health.worst).checked_sub(1).and_then(|place| STATUS_WORDS.get(place)).copied().unwrap_or("unknown")
}

fn node(node: &NodeSums<'_>) -> Value {
    let (known, card) = (node.known, node.known.card);
    let figures = known.figures.as_ref();
    json!({
        "node_id": card.map(|card| card.node_id.as_str()),
        "region": card.map(|card| card.region.as_str()),
        "version": card.map(|card| card.version.as_str()),
        "config_revision": figures.map(|figures| figures.config_revision).or(card.map(|card| card.config_revision)),
        "state": known.state.word(),
        "self": known.is_own,
        "age_ms": figures.map(|figures| figures.age.as_millis() as u64),
        "stale": !figures.is_some_and(|figures| figures.is_fresh()),
        "figures": node.sums.as_ref().map(line),
    })
}

fn region(name: &str, sums: &WindowSums) -> Value {
    let mut out = line(sums);
    out.insert("region".to_owned(), json!(name));
    out.insert("nodes".to_owned(), json!(sums.nodes));
    Value::Object(out)
}

/// Calls of a provider are attempts, as everywhere.
fn provider(id: &str, sums: &ProviderSums<'_>, histograms: bool) -> Value {
    let total = &sums.all.total;
    let errors: Map<String, Value> = total.by_category().map(|(c, n)| (c.word().to_owned(), json!(n))).collect();
    let by_transport = sums.by_transport.iter().map(|(transport, counts)| {
        let row = json!({
            "total_calls": counts.attempts(),
            "success_rate": rounded(counts.success_rate()),
            "avg_latency_ms": (counts.successes > 0).then(|| ms(counts.mean_us())),
        });
        (transport.word().to_owned(), row)
    });
    let mut row = json!({
        "id": id,
        "status": status(&sums.all.health),
        "circuits": circuits(&sums.all.health),
        "height": Some(sums.all.health.height).filter(|height| *height > 0),
        "success_rate": rounded(total.success_rate()),
        "total_calls": total.attempts(),
        "avg_latency_ms": ms(total.mean_us()),
        "retries": total.retries,
        "rejected_parameters": total.rejected(),
        "penalised_failures": total.penalised,
        "errors": errors,
        "by_transport": by_transport.collect::<Map<_, _>>(),
        "last_hour": window(&sums.all.hour),
        "last_minute": window(&sums.all.minute),
        "regions": sums.by_region.iter().map(|(name, sums)| provider_in(name, sums)).collect::<Vec<_>>(),
    });
    if let Value::Object(row) = &mut row {
        row.extend(percentiles(&sums.all));
        row.extend(histogram(&sums.all.hour, histograms));
    }
    row
}

fn provider_in(region: &str, sums: &WindowSums) -> Value {
    let mut out = Map::from_iter([("region".to_owned(), json!(region))]);
    out.insert("status".to_owned(), json!(status(&sums.health)));
    out.insert("circuits".to_owned(), circuits(&sums.health));
    out.insert("height".to_owned(), json!(Some(sums.health.height).filter(|height| *height > 0)));
    out.insert("lag_blocks".to_owned(), json!(sums.health.lag_blocks));
    out.insert("total_calls".to_owned(), json!(sums.total.attempts()));
    out.insert("success_rate".to_owned(), json!(rounded(sums.hour.success_rate())));
    out.extend(percentiles(sums));
    out.insert("last_hour".to_owned(), Value::Object(window(&sums.hour)));
    out.insert("last_minute".to_owned(), Value::Object(window(&sums.minute)));
    Value::Object(out)
}

fn method(name: &str, sums: &WindowSums, histograms: bool) -> Value {
    let mut out = Map::from_iter([("method".to_owned(), json!(name))]);
    out.insert("total_calls".to_owned(), json!(sums.total.attempts()));
    out.insert("success_rate".to_owned(), json!(rounded(sums.total.success_rate())));
    out.insert("last_hour".to_owned(), Value::Object(window(&sums.hour)));
    out.insert("last_minute".to_owned(), Value::Object(window(&sums.minute)));
    out.extend(histogram(&sums.hour, histograms));
    Value::Object(out)
}
