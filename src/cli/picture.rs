//! What a running node says of itself, as one value that tables, frames and `--json` are made of.
//!
//! Read leniently: a field that is missing or of another kind is unknown, so an older or newer node is shown as far as it
//! is understood. Field names are those of `lasso stats --json`, which programs read: they are added to, not changed.
//! Figures are of the last minute unless a name says otherwise.

use crate::cli::ask::{Client, Fault, part};
use crate::cli::asking::Asking;
use crate::observe::kept::Row;
use serde::Serialize;
use serde_json::Value;

/// Of the shape of `--json`.
const SHAPE: u32 = 1;

#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Picture {
    pub shape: u32,
    pub timestamp: String,
    pub node: NodeState,
    pub chains: Vec<ChainState>,
    pub shards: Vec<ShardState>,
    pub total: ShardState,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct NodeState {
    pub status: String,
    pub version: String,
    pub node_id: String,
    pub region: String,
    pub uptime_seconds: u64,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ChainState {
    pub profile: String,
    pub chain: String,
    pub chain_id: u64,
    pub head: Option<u64>,
    pub block_time_ms: Option<u64>,
    pub calls_per_second: f64,
    pub failovers: u64,
    pub providers: Vec<ProviderState>,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ProviderState {
    pub id: String,
    pub name: String,
    pub status: String,
    /// A sentence; empty when there is nothing to say.
    pub reason: String,
    pub priority: u64,
    pub height: Option<u64>,
    pub lag_blocks: Option<u64>,
    pub probe_latency_ms: Option<f64>,
    #[serde(flatten)]
    pub minute: Minute,
    pub channels: Vec<ChannelState>,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ChannelState {
    pub transport: String,
    pub status: String,
    pub reason: String,
    pub circuit: String,
    pub circuit_reason: String,
    pub circuit_since: String,
    /// `open` or `close` when held by hand.
    pub manual: Option<String>,
    pub retry_in_ms: Option<u64>,
    pub failures_in_a_row: u64,
    pub last_failure: Option<String>,
    pub probe_latency_ms: Option<f64>,
    #[serde(flatten)]
    pub minute: Minute,
}

/// Calls that ended in the last minute; nothing but the count is known where there was none.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Minute {
    pub calls: u64,
    pub success_rate: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ShardState {
    pub name: String,
    pub client_connections: u64,
    pub websocket_clients: u64,
    pub subscriptions: u64,
    pub attempts_in_flight: u64,
    /// Since the start, as are refusals, failovers, the longest stall and latencies.
    pub calls: u64,
    pub refusals: u64,
    pub failovers: u64,
    pub stall_max_ms: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

/// One method of one provider, or one line of a snapshot file.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct MethodState {
    pub provider: String,
    /// Empty where figures are of both.
    pub transport: String,
    pub method: String,
    pub calls: u64,
    pub success_rate: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

pub fn text(json: &Value, at: &str) -> String {
    json.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub fn whole(json: &Value, at: &str) -> Option<u64> {
    json.pointer(at)?.as_u64()
}

pub fn number(json: &Value, at: &str) -> Option<f64> {
    json.pointer(at)?.as_f64()
}

pub fn list<'a>(json: &'a Value, at: &str) -> &'a [Value] {
    json.pointer(at).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The node and the chains that are asked for, without figures.
pub fn begin(client: &Client, asking: &Asking) -> Result<Picture, Fault> {
    let status = client.get("/api/status")?;
    if status.get("profiles").is_none() {
        return Err(client.other_version(&text(&status, "/version")));
    }
    let mut picture = of_status(&status);
    let wanted = |chain: &ChainState| {
        asking.profile.as_deref().is_none_or(|profile| profile == chain.profile)
            && asking.chain.as_deref().is_none_or(|name| name == chain.chain || name == chain.chain_id.to_string())
    };
    let all = chain_names(&picture);
    picture.chains.retain(wanted);
    if picture.chains.is_empty() && (asking.profile.is_some() || asking.chain.is_some()) {
        let what = [asking.profile.as_deref(), asking.chain.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("/");
        return Err(Fault { text: format!("the node has no {what} (it has {all})"), is_gone: false });
    }
    Ok(picture)
}

/// Asks for everything; `asking` narrows it down.
pub fn take(client: &Client, asking: &Asking) -> Result<Picture, Fault> {
    let mut picture = begin(client, asking)?;
    for chain in &mut picture.chains {
        let (name, profile) = (part(&chain.chain), part(&chain.profile));
        let providers = client.get(&format!("/api/providers/{name}?profile={profile}"))?;
        let metrics = client.get(&format!("/api/metrics/{name}?profile={profile}"))?;
        fill(chain, &providers, &metrics);
    }
    picture.count(&client.get("/api/shards")?);
    Ok(picture)
}

fn chain_names(picture: &Picture) -> String {
    let names: Vec<String> = picture.chains.iter().map(|chain| format!("{}/{}", chain.profile, chain.chain)).collect();
    names.join(", ")
}

/// What `/api/status` alone tells: cheap enough to be asked often.
pub fn of_status(status: &Value) -> Picture {
    let chains = list(status, "/profiles").iter().flat_map(|profile| {
        let slug = text(profile, "/slug");
        list(profile, "/chains").iter().map(move |chain| ChainState {
            profile: slug.clone(),
            chain: text(chain, "/chain"),
            chain_id: whole(chain, "/chain_id").unwrap_or(0),
            head: whole(chain, "/head"),
            providers: list(chain, "/providers").iter().map(provider).collect(),
            ..ChainState::default()
        })
    });
    Picture {
        shape: SHAPE,
        timestamp: text(status, "/timestamp"),
        node: NodeState {
            status: text(status, "/status"),
            version: text(status, "/version"),
            node_id: text(status, "/node_id"),
            region: text(status, "/region"),
            uptime_seconds: whole(status, "/uptime_seconds").unwrap_or(0),
        },
        chains: chains.collect(),
        ..Picture::default()
    }
}

impl Picture {
    /// Takes `/api/shards` over.
    pub fn count(&mut self, shards: &Value) {
        self.shards = list(shards, "/shards").iter().map(shard).collect();
        self.total = shard(shards.get("total").unwrap_or(&Value::Null));
        self.total.name = "total".to_owned();
    }

    /// Takes newer words over from `/api/status`; figures stay as they were.
    pub fn refresh(&mut self, newer: &Picture) {
        self.node = newer.node.clone();
        self.timestamp.clone_from(&newer.timestamp);
        for chain in &mut self.chains {
            let Some(new) = newer.chains.iter().find(|c| c.profile == chain.profile && c.chain == chain.chain) else { continue };
            chain.head = new.head.or(chain.head);
            for old in &mut chain.providers {
                let Some(new) = new.providers.iter().find(|provider| provider.id == old.id) else { continue };
                (old.status, old.reason) = (new.status.clone(), new.reason.clone());
                for channel in &mut old.channels {
                    let same = new.channels.iter().find(|c| c.transport == channel.transport);
                    channel.circuit = same.map_or_else(|| channel.circuit.clone(), |c| c.circuit.clone());
                }
            }
        }
    }
}

/// Takes `/api/providers/:chain` and `/api/metrics/:chain` over.
pub fn fill(chain: &mut ChainState, providers: &Value, metrics: &Value) {
    chain.head = whole(providers, "/consensus_height").or(chain.head);
    chain.block_time_ms = whole(providers, "/block_time_ms");
    chain.calls_per_second = number(metrics, "/chain_performance/rpc_calls_per_second").unwrap_or(0.0);
    chain.failovers = whole(metrics, "/chain_performance/failovers_last_minute").unwrap_or(0);
    chain.providers = list(providers, "/providers").iter().map(provider).collect();
}

fn provider(json: &Value) -> ProviderState {
    ProviderState {
        id: text(json, "/id"),
        name: text(json, "/name"),
        status: text(json, "/status"),
        reason: text(json, "/reason"),
        priority: whole(json, "/priority").unwrap_or(0),
        height: whole(json, "/height"),
        lag_blocks: whole(json, "/lag_blocks"),
        probe_latency_ms: number(json, "/probe_latency_ms"),
        minute: minute(json),
        channels: match json.get("circuits").and_then(Value::as_object) {
            // `/api/status` knows their circuits only.
            Some(circuits) => circuits.iter().map(|(transport, state)| bare_channel(transport, state)).collect(),
            None => list(json, "/channels").iter().map(channel).collect(),
        },
    }
}

fn bare_channel(transport: &str, state: &Value) -> ChannelState {
    let circuit = state.as_str().unwrap_or_default().to_owned();
    ChannelState { transport: transport.to_owned(), circuit, ..ChannelState::default() }
}

fn channel(json: &Value) -> ChannelState {
    ChannelState {
        transport: text(json, "/transport"),
        status: text(json, "/status"),
        reason: text(json, "/reason"),
        circuit: text(json, "/circuit/state"),
        circuit_reason: text(json, "/circuit/reason"),
        circuit_since: text(json, "/circuit/since"),
        manual: json.pointer("/circuit/manual").and_then(Value::as_str).map(str::to_owned),
        retry_in_ms: whole(json, "/circuit/retry_in_ms"),
        failures_in_a_row: whole(json, "/circuit/failures_in_a_row").unwrap_or(0),
        last_failure: json.pointer("/last_failure/category").and_then(Value::as_str).map(str::to_owned),
        probe_latency_ms: number(json, "/probe_latency_ms"),
        minute: minute(json),
    }
}

fn minute(json: &Value) -> Minute {
    let calls = whole(json, "/last_minute/calls").unwrap_or(0);
    Minute {
        calls,
        success_rate: number(json, "/last_minute/success_rate").filter(|_| calls > 0),
        p50_ms: number(json, "/last_minute/p50_latency_ms"),
        p95_ms: number(json, "/last_minute/p95_latency_ms"),
        p99_ms: number(json, "/last_minute/p99_latency_ms"),
    }
}

fn shard(json: &Value) -> ShardState {
    let count = |at: &str| whole(json, at).unwrap_or(0);
    let latency = |at: &str| number(json, at).filter(|_| count("/upstream_latency_ms/count") > 0);
    ShardState {
        name: text(json, "/name"),
        client_connections: count("/client_connections"),
        websocket_clients: count("/websocket_clients"),
        subscriptions: count("/subscriptions"),
        attempts_in_flight: count("/attempts_in_flight"),
        calls: count("/calls"),
        refusals: count("/refusals"),
        failovers: count("/failovers"),
        stall_max_ms: number(json, "/stall_max_ms"),
        p50_ms: latency("/upstream_latency_ms/p50"),
        p99_ms: latency("/upstream_latency_ms/p99"),
    }
}

/// The last hour of each method of one provider, from `/api/metrics/:chain`; busiest first.
pub fn methods(metrics: &Value, provider: &str) -> Vec<MethodState> {
    let mine = list(metrics, "/rpc_performance_by_provider").iter().filter(|row| text(row, "/provider_id") == provider);
    let mut methods: Vec<MethodState> = mine.flat_map(|row| list(row, "/methods").iter().map(|m| method(provider, m))).collect();
    methods.sort_by_key(|method| std::cmp::Reverse(method.calls));
    methods
}

fn method(provider: &str, json: &Value) -> MethodState {
    let calls = whole(json, "/last_hour/total_calls").unwrap_or(0);
    MethodState {
        provider: provider.to_owned(),
        transport: String::new(),
        method: text(json, "/method"),
        calls,
        success_rate: number(json, "/last_hour/success_rate").filter(|_| calls > 0),
        p50_ms: number(json, "/last_hour/p50_latency_ms"),
        p90_ms: number(json, "/last_hour/p90_latency_ms"),
        p95_ms: number(json, "/last_hour/p95_latency_ms"),
        p99_ms: number(json, "/last_hour/p99_latency_ms"),
    }
}

/// One line of a snapshot file.
pub fn of_kept(row: &Row) -> MethodState {
    MethodState {
        provider: row.provider_id.clone(),
        transport: row.transport.clone(),
        method: row.rpc_method.clone(),
        calls: row.rpc_calls,
        success_rate: Some(row.rpc_success_rate),
        p50_ms: row.p50_ms,
        p90_ms: row.p90_ms,
        p95_ms: row.p95_ms,
        p99_ms: row.p99_ms,
    }
}
