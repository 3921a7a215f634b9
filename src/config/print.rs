//! `lasso check --print`: the topology as profile files again, every default written out, secrets hidden.
//!
//! Where nothing was hidden, the output is a profile that resolves to the same topology; a test holds it to that.

use crate::base::limits;
use crate::chain::method::{self, Category};
use crate::config::redact::{HIDDEN, shown_url};
use crate::config::topology::{Capabilities, Chain, Endpoint, Http2, Instance, Profile, Provider, Strategy, Topology};
use serde_yaml::{Mapping, Value};
use std::collections::BTreeMap;

/// One block per profile, each as `# slug.yml`, front matter and body.
pub fn yaml(top: &Topology) -> String {
    let mut out = String::new();
    for profile in top.profiles.values() {
        out.push_str(&format!("# {}.yml\n---\n{}---\n{}", profile.slug, text(front(profile)), text(body(top, profile))));
    }
    out.push_str(&method_times());
    out
}

fn text(map: Map) -> String {
    serde_yaml::to_string(&map.0).unwrap_or_default()
}

#[derive(Default)]
struct Map(Mapping);

impl Map {
    fn put(&mut self, key: &str, value: impl Into<Value>) -> &mut Map {
        self.0.insert(Value::from(key), value.into());
        self
    }

    fn put_some(&mut self, key: &str, value: Option<impl Into<Value>>) -> &mut Map {
        if let Some(value) = value {
            self.put(key, value);
        }
        self
    }

    fn value(self) -> Value {
        Value::Mapping(self.0)
    }
}

fn words<T: AsRef<str>>(list: impl IntoIterator<Item = T>) -> Value {
    Value::Sequence(list.into_iter().map(|word| Value::from(word.as_ref())).collect())
}

fn front(profile: &Profile) -> Map {
    let mut map = Map::default();
    map.put("name", &*profile.name).put("slug", &*profile.slug).put_some("logo", profile.logo.as_deref());
    map.put("rps_limit", profile.rps_limit).put("burst_limit", profile.burst_limit).put("unlisted", profile.unlisted);
    map.put("ws_calls_at_work", profile.ws_calls_at_work);
    map.put("max_batch_items", profile.max_batch_items);
    map
}

fn body(top: &Topology, profile: &Profile) -> Map {
    let mut chains = Map::default();
    for chain in profile.chains.values() {
        chains.put(&chain.key, chain_value(top, chain));
    }
    let mut map = Map::default();
    map.put("chains", chains.value());
    map
}

fn chain_value(top: &Topology, chain: &Chain) -> Value {
    let mut map = Map::default();
    map.put("chain_id", chain.chain_number).put("name", &*chain.name).put("url_aliases", words(&chain.aliases));
    map.put_some("block_time_ms", chain.block_time_ms);
    let mut selection = Map::default();
    selection.put("max_lag_blocks", chain.max_lag_blocks).put("archival_threshold", chain.archival_threshold);
    let mut monitoring = Map::default();
    monitoring.put("probe_interval_ms", chain.probe_interval_ms);
    monitoring.put("lag_alert_threshold_blocks", chain.lag_alert_threshold_blocks);
    let mut failover = Map::default();
    failover.put("max_backfill_blocks", chain.max_backfill_blocks).put("backfill_timeout_ms", chain.backfill_timeout_ms);
    let mut websocket = Map::default();
    websocket.put("subscribe_new_heads", chain.subscribe_new_heads).put("new_heads_timeout_ms", chain.new_heads_timeout_ms);
    websocket.put("failover", failover.value());
    let mut ui = Map::default();
    ui.put("color", &*chain.color).put("size", &*chain.size);
    map.put("selection", selection.value()).put("monitoring", monitoring.value());
    map.put("websocket", websocket.value()).put("ui-topology", ui.value());
    map.put_some("routing", routing(chain));
    if !chain.method_terms.is_empty() {
        map.put("methods", methods(chain));
    }
    map.put("providers", chain.providers.values().map(|p| provider(top, p)).collect::<Vec<Value>>());
    map.value()
}

fn routing(chain: &Chain) -> Option<Value> {
    let mut map = Map::default();
    map.put_some("default_strategy", chain.default_strategy.map(Strategy::word));
    let mut overrides = Map::default();
    for item in &chain.method_overrides {
        let mut one = Map::default();
        one.put_some("strategy", item.strategy.map(Strategy::word));
        if !item.providers.is_empty() {
            one.put("providers", words(item.providers.iter().map(|id| &chain.providers[*id].id)));
        }
        overrides.put(&item.method, one.value());
    }
    if !overrides.0.is_empty() {
        map.put("method_overrides", overrides.value());
    }
    (!map.0.is_empty()).then(|| map.value())
}

fn methods(chain: &Chain) -> Value {
    let mut map = Map::default();
    for terms in &chain.method_terms {
        let mut one = Map::default();
        one.put_some("category", terms.category.map(Category::word)).put_some("repeatable", terms.repeatable);
        one.put_some("timeout_ms", terms.timeout_ms);
        map.put(&terms.pattern, one.value());
    }
    map.value()
}

/// The time that each method has where no profile says otherwise.
fn method_times() -> String {
    let mut by_time: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for (_, info) in method::all().filter(|(id, _)| *id != method::UNKNOWN) {
        by_time.entry(info.timeout_ms).or_default().push(info.name);
    }
    let mut out = String::from("# The time of a call, unless methods: above says otherwise:\n");
    for (timeout_ms, names) in by_time {
        out.push_str(&format!("# {timeout_ms} ms: {}\n", names.join(" ")));
    }
    let (trace_ms, other_ms) = (method::terms(method::UNKNOWN, b"debug_").timeout_ms, limits::CALL_CHEAP_MS);
    out.push_str(&format!("# {trace_ms} ms: every other debug_* and trace_* method\n# {other_ms} ms: every other method\n"));
    out
}

fn provider(top: &Topology, provider: &Provider) -> Value {
    let instance: &Instance = &top.instances[provider.instance];
    let mut map = Map::default();
    map.put("id", &*provider.id).put("name", &*provider.name).put("priority", provider.priority);
    map.put_some("url", instance.http.as_ref().map(|e| shown_url(e, "http")));
    map.put_some("ws_url", instance.ws.as_ref().map(|e| shown_url(e, "ws")));
    map.put("archival", provider.archival).put("subscribe_new_heads", provider.subscribe_new_heads);
    map.put("sharing_mode", if provider.isolated { "isolated" } else { "auto" });
    map.put("regions", words(&provider.regions));
    if !provider.region_urls.is_empty() {
        let mut regions = Map::default();
        for region in &provider.region_urls {
            regions.put(&region.region, urls(&region.http, &region.ws));
        }
        map.put("region_urls", regions.value());
    }
    if !provider.forward_headers.is_empty() {
        map.put("forward_headers", words(&provider.forward_headers));
    }
    map.put("capabilities", capabilities(&provider.capabilities));
    if !instance.headers.is_empty() {
        let mut headers = Map::default();
        for (name, _) in &instance.headers {
            headers.put(name, HIDDEN);
        }
        map.put("headers", headers.value());
    }
    map.put_some("ca_file", instance.ca_file.as_deref()).put("max_connections", instance.max_connections);
    let http2 = match instance.http2 {
        Http2::Auto => "auto",
        Http2::On => "on",
        Http2::Off => "off",
    };
    map.put("http2", http2);
    map.value()
}

fn urls(http: &Option<Endpoint>, ws: &Option<Endpoint>) -> Value {
    let mut map = Map::default();
    map.put_some("url", http.as_ref().map(|e| shown_url(e, "http")));
    map.put_some("ws_url", ws.as_ref().map(|e| shown_url(e, "ws")));
    map.value()
}

fn capabilities(capabilities: &Capabilities) -> Value {
    let mut map = Map::default();
    map.put("unsupported_categories", words(capabilities.unsupported_categories.iter().map(|c| c.word())));
    map.put("unsupported_methods", words(&capabilities.unsupported_methods));
    let mut limits = Map::default();
    limits.put_some("max_block_range", capabilities.max_block_range).put_some("max_block_age", capabilities.max_block_age);
    if !capabilities.block_age_methods.is_empty() {
        limits.put("block_age_methods", words(&capabilities.block_age_methods));
    }
    if !limits.0.is_empty() {
        map.put("limits", limits.value());
    }
    let mut rules = Vec::new();
    for rule in &capabilities.error_rules {
        let mut one = Map::default();
        one.put_some("code", rule.code);
        if !rule.message_contains.is_empty() {
            one.put("message_contains", words(&rule.message_contains));
        }
        one.put("category", &*rule.category);
        rules.push(one.value());
    }
    map.put("error_rules", rules);
    map.value()
}
