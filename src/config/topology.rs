//! The resolved configuration: immutable, indexed by dense ids, free of optional-with-default fields. Everything that
//! routes reads this and never the YAML.
//!
//! Built by `config::resolve` only. A reload builds a new one and swaps it; nothing here is ever changed in place.

use crate::base::ids::{ChainId, EntryId, Id, IdVec, InstanceId, ProfileId, ProviderId};
use std::collections::HashMap;
use std::sync::Arc;

/// What the configuration calls by name. Calls only look names up, so its hash need not withstand chosen keys.
pub type ByName<T> = HashMap<Box<str>, T, foldhash::fast::RandomState>;

/// All profiles and the physical upstreams behind them.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    pub profiles: IdVec<ProfileId, Profile>,
    pub instances: IdVec<InstanceId, Arc<Instance>>,
    /// Every provider as configured, profile by profile and chain by chain.
    pub entries: IdVec<EntryId, Entry>,
    /// Slug, and alias (`public` for `default`), to profile.
    pub profile_by_slug: ByName<ProfileId>,
    /// First 4 bytes of an instance's fingerprint (the prefix of filter ids, docs/behaviour/calls.md#filters) to instance.
    pub instance_by_tag: HashMap<u32, InstanceId>,
}

/// Where a provider is configured, and what it goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    pub profile: ProfileId,
    pub chain: ChainId,
    pub provider: ProviderId,
    pub instance: InstanceId,
}

impl Topology {
    /// Numbers the entries; the last step of building a topology.
    pub fn with_entries(mut self) -> Topology {
        let mut entries = IdVec::new();
        for profile in (0..self.profiles.len()).map(ProfileId::from_index) {
            for chain in (0..self.profiles[profile].chains.len()).map(ChainId::from_index) {
                let place = &mut self.profiles[profile].chains[chain];
                place.first_entry = EntryId::from_index(entries.len());
                for (provider, configured) in place.providers.iter() {
                    entries.push(Entry { profile, chain, provider, instance: configured.instance });
                }
            }
        }
        Topology { entries, ..self }
    }

    /// The profile's chain of an entry, and its provider there.
    pub fn of_entry(&self, entry: EntryId) -> Option<(&Profile, &Chain, &Provider)> {
        let entry = self.entries.get(entry)?;
        let profile = self.profiles.get(entry.profile)?;
        let chain = profile.chains.get(entry.chain)?;
        Some((profile, chain, chain.providers.get(entry.provider)?))
    }
}

#[derive(Clone, Debug)]
pub struct Profile {
    pub slug: Box<str>,
    pub name: Box<str>,
    pub logo: Option<Box<str>>,
    pub unlisted: bool,
    /// Client rate limit in calls per second; 0 means none (docs/behaviour/clients.md#client-limits).
    pub rps_limit: u32,
    pub burst_limit: u32,
    /// Messages of one WebSocket client that are at work at once.
    pub ws_calls_at_work: u32,
    pub max_batch_items: u32,
    pub chains: IdVec<ChainId, Chain>,
    /// Key, configured aliases and decimal chain id, to chain.
    pub chain_by_name: ByName<ChainId>,
}

#[derive(Clone, Debug)]
pub struct Chain {
    /// The key under `chains:`; always an alias.
    pub key: Box<str>,
    pub name: Box<str>,
    /// EIP-155 number.
    pub chain_number: u64,
    /// The same as `eth_chainId` answers it: `"0x2105"`, quotes included, lower case.
    pub chain_number_json: Box<str>,
    pub aliases: Vec<Box<str>>,
    pub block_time_ms: Option<u64>,
    pub max_lag_blocks: u64,
    pub archival_threshold: u64,
    pub probe_interval_ms: u64,
    pub lag_alert_threshold_blocks: u64,
    pub subscribe_new_heads: bool,
    pub new_heads_timeout_ms: u64,
    pub max_backfill_blocks: u64,
    pub backfill_timeout_ms: u64,
    pub color: Box<str>,
    pub size: Box<str>,
    /// Of its first provider; the others follow.
    pub first_entry: EntryId,
    /// At most 64, in configuration order.
    pub providers: IdVec<ProviderId, Provider>,
    pub provider_by_id: ByName<ProviderId>,
    /// `routing.default_strategy`; `None` follows the node's default.
    pub default_strategy: Option<Strategy>,
    /// `routing.method_overrides`, by method name.
    pub method_overrides: Vec<MethodOverride>,
    /// Names of the clients' header fields that at least one of its providers is told.
    pub forward_headers: Vec<Box<str>>,
    /// `methods`, the most particular pattern first.
    pub method_terms: Vec<MethodTerms>,
}

impl Chain {
    pub fn entry(&self, provider: ProviderId) -> EntryId {
        EntryId(self.first_entry.0 + u32::from(provider.0))
    }
}

#[derive(Clone, Debug)]
pub struct Provider {
    pub id: Box<str>,
    pub name: Box<str>,
    /// Lower is preferred.
    pub priority: u32,
    pub instance: InstanceId,
    pub archival: bool,
    pub subscribe_new_heads: bool,
    pub isolated: bool,
    pub regions: Vec<Box<str>>,
    pub region_urls: Vec<RegionUrl>,
    /// Names, lower case, of the clients' header fields that it is told: its profile's and its own.
    pub forward_headers: Vec<Box<str>>,
    pub capabilities: Capabilities,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    Priority,
    LoadBalanced,
    Fastest,
    LatencyWeighted,
}

impl Strategy {
    /// The URL and configuration word: `priority`, `load-balanced`, `fastest`, `latency-weighted`.
    pub fn word(self) -> &'static str {
        match self {
            Strategy::Priority => "priority",
            Strategy::LoadBalanced => "load-balanced",
            Strategy::Fastest => "fastest",
            Strategy::LatencyWeighted => "latency-weighted",
        }
    }

    /// Also the underscore forms, and `round-robin` for load-balanced (docs/behaviour/http.md#paths).
    pub fn from_word(word: &str) -> Option<Strategy> {
        Some(match word {
            "priority" => Strategy::Priority,
            "load-balanced" | "load_balanced" | "round-robin" | "round_robin" => Strategy::LoadBalanced,
            "fastest" => Strategy::Fastest,
            "latency-weighted" | "latency_weighted" => Strategy::LatencyWeighted,
            _ => return None,
        })
    }
}

#[derive(Clone, Debug)]
pub struct MethodOverride {
    pub method: Box<str>,
    pub strategy: Option<Strategy>,
    /// Allowed providers; empty means all.
    pub providers: Vec<ProviderId>,
}

/// What a profile says of the methods that a pattern names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MethodTerms {
    /// A method, or a beginning that ends with `*`.
    pub pattern: Box<str>,
    pub category: Option<crate::chain::method::Category>,
    pub repeatable: Option<bool>,
    pub timeout_ms: Option<u64>,
}

impl MethodTerms {
    pub fn names(&self, method: &[u8]) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(beginning) => method.starts_with(beginning.as_bytes()),
            None => method == self.pattern.as_bytes(),
        }
    }
}

/// The endpoint that a node of `region` uses instead of the provider's own (docs/behaviour/choosing.md#regions).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegionUrl {
    pub region: Box<str>,
    pub http: Option<Endpoint>,
    pub ws: Option<Endpoint>,
}

/// What a provider declares that it cannot do (docs/behaviour/choosing.md#capabilities).
#[derive(Clone, Debug, Default)]
pub struct Capabilities {
    pub unsupported_categories: Vec<crate::chain::method::Category>,
    pub unsupported_methods: Vec<Box<str>>,
    pub max_block_range: Option<u64>,
    pub max_block_age: Option<u64>,
    pub block_age_methods: Vec<Box<str>>,
    pub error_rules: Vec<ErrorRule>,
}

/// Provider-specific classification; first match wins, both conditions must hold when both are given
/// (docs/behaviour/answers.md#error-rules).
#[derive(Clone, Debug)]
pub struct ErrorRule {
    pub code: Option<i64>,
    /// Lower-cased; any of them.
    pub message_contains: Vec<Box<str>>,
    /// One of the categories that a rule may name (docs/behaviour/answers.md#error-rules), as written.
    pub category: Box<str>,
}

/// A physical upstream: what a connection goes to and what authenticates it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// `<chain number>:<host>:<12 hex of the fingerprint>` (docs/behaviour/choosing.md#upstreams), for display.
    pub label: Box<str>,
    /// First 4 bytes of the SHA-256 fingerprint over chain number, URLs and credentials.
    pub tag: u32,
    pub chain_number: u64,
    pub http: Option<Endpoint>,
    pub ws: Option<Endpoint>,
    /// Name (lower case) and value of each header we add: authorization, headers, auth_headers
    /// (docs/behaviour/choosing.md#upstreams); later overrides earlier.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// PEM file of extra roots for this provider.
    pub ca_file: Option<Box<str>>,
    /// Node-wide; split over the shards.
    pub max_connections: u32,
    pub http2: Http2,
    /// Endpoints that nodes of some regions use instead (docs/behaviour/choosing.md#regions).
    pub region_urls: Vec<RegionUrl>,
    /// Strings that must never be shown: keys in URLs, header values (docs/behaviour/shown.md#secrets). None shorter than 6
    /// bytes.
    pub secrets: Vec<Box<str>>,
}

impl Instance {
    /// Where a node of `region` reaches it over HTTP.
    pub fn http_from(&self, region: &str) -> Option<&Endpoint> {
        self.region_urls.iter().find(|r| *r.region == *region).and_then(|r| r.http.as_ref()).or(self.http.as_ref())
    }

    /// Where a node of `region` reaches it over WebSocket.
    pub fn ws_from(&self, region: &str) -> Option<&Endpoint> {
        self.region_urls.iter().find(|r| *r.region == *region).and_then(|r| r.ws.as_ref()).or(self.ws.as_ref())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Http2 {
    #[default]
    Auto,
    On,
    Off,
}

/// A parsed URL. `shown()` is the only form for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    pub tls: bool,
    /// Lower case, without brackets for IPv6.
    pub host: Box<str>,
    pub port: u16,
    /// Path and query as sent, starting with `/`.
    pub path: Box<str>,
    /// `Basic …` of userinfo in the URL, if any.
    pub basic_auth: Option<Box<str>>,
}

impl Endpoint {
    /// The Host header: the port only when it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.to_string() };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Scheme and host, the only part that is never secret (docs/behaviour/shown.md#secrets).
    pub fn shown(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }

    /// `gzip` is asked of every provider but those on this machine (docs/behaviour/calls.md#compression).
    pub fn is_loopback(&self) -> bool {
        self.host.as_ref() == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}
