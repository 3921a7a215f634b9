//! A profile file as read: everything that can be said of it without looking at the others.

use crate::base::limits;
use crate::config::capabilities::is_method;
use crate::config::headers::read_forward_headers;
use crate::config::methods::read_methods;
use crate::config::provider::{ProviderSpec, is_url_name, read_provider};
use crate::config::read::{Fields, Reader, Spot};
use crate::config::schema;
use crate::config::suggest;
use crate::config::topology::{MethodTerms, Strategy};
use crate::config::yaml::{At, Kind, Node};

#[derive(Debug)]
pub(super) struct ProfileSpec {
    pub file: usize,
    pub slug: Box<str>,
    pub name: Box<str>,
    pub logo: Option<Box<str>>,
    pub unlisted: bool,
    pub rps_limit: u32,
    pub burst_limit: u32,
    pub ws_calls_at_work: u32,
    pub max_batch_items: u32,
    pub forward_headers: Vec<Box<str>>,
    pub routing: RoutingSpec,
    pub methods: Vec<MethodTerms>,
    pub chains: Vec<ChainSpec>,
}

#[derive(Debug)]
pub(super) struct ChainSpec {
    pub key: Spot<Box<str>>,
    pub name: Option<Box<str>>,
    /// `None` when missing or wrong, which was reported.
    pub number: Option<Spot<u64>>,
    pub aliases: Vec<Spot<Box<str>>>,
    pub block_time_ms: Option<u64>,
    pub max_lag_blocks: u64,
    pub archival_threshold: u64,
    pub probe_interval_ms: u64,
    pub lag_alert_threshold_blocks: u64,
    pub subscribe_new_heads: bool,
    /// What is not written follows from the block time.
    pub new_heads_timeout_ms: Option<u64>,
    pub max_backfill_blocks: Option<u64>,
    pub backfill_timeout_ms: u64,
    pub color: Box<str>,
    pub size: Box<str>,
    pub routing: RoutingSpec,
    pub methods: Vec<MethodTerms>,
    pub providers: Vec<ProviderSpec>,
}

/// `routing:` of a profile or, over it, of a chain.
#[derive(Debug, Default)]
pub(super) struct RoutingSpec {
    pub default_strategy: Option<Strategy>,
    pub overrides: Vec<OverrideSpec>,
}

#[derive(Debug)]
pub(super) struct OverrideSpec {
    pub method: Box<str>,
    pub strategy: Option<Strategy>,
    pub providers: Vec<Spot<Box<str>>>,
}

/// `documents` is front matter and body, or the one document. `stem` is the file's name without directory and ending.
pub(super) fn read_profile(reader: &mut Reader<'_>, documents: &[Node], stem: &str) -> Option<ProfileSpec> {
    let fields = reader.fields_of(documents, &schema::PROFILE, "a profile")?;
    let front_matter = documents.len() > 1;
    let slug = read_slug(reader, &fields, stem, front_matter);
    let name = reader.title(&fields, "name");
    if front_matter && fields.get("name").is_none() {
        reader.problem(fields.at, "the front matter has no name", "add name: with a name for people");
    }
    if fields.get("api_keys").is_some() {
        let at = fields.at_key("api_keys");
        reader.problem(
            at,
            "api_keys is not available in this version",
            "delete it; until then every client may use this profile",
        );
    }
    Some(ProfileSpec {
        file: reader.file,
        name: name.unwrap_or_else(|| slug.clone()),
        slug,
        logo: read_logo(reader, &fields),
        unlisted: reader.flag(&fields, "unlisted").unwrap_or(false),
        rps_limit: number(reader, &fields, "rps_limit", 0, limits::LIMIT_RPS),
        burst_limit: number(reader, &fields, "burst_limit", 1, limits::LIMIT_BURST),
        ws_calls_at_work: ws_calls_at_work(reader, &fields),
        max_batch_items: max_batch_items(reader, &fields),
        forward_headers: read_forward_headers(reader, &fields),
        routing: read_routing(reader, &fields),
        methods: read_methods(reader, &fields),
        chains: read_chains(reader, &fields),
    })
}

fn ws_calls_at_work(reader: &mut Reader<'_>, fields: &Fields<'_>) -> u32 {
    let asked = reader.whole(fields, "ws_calls_at_work", 1, limits::SOCKET_CALLS_MAX);
    asked.and_then(|n| u32::try_from(n).ok()).unwrap_or(limits::SOCKET_CALLS)
}

fn max_batch_items(reader: &mut Reader<'_>, fields: &Fields<'_>) -> u32 {
    let asked = reader.whole(fields, "max_batch_items", 1, limits::BATCH_ITEMS_MAX as u64);
    asked.and_then(|n| u32::try_from(n).ok()).unwrap_or(limits::BATCH_ITEMS)
}

fn number(reader: &mut Reader<'_>, fields: &Fields<'_>, name: &str, min: u64, default: u32) -> u32 {
    reader.whole(fields, name, min, 10_000_000).and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
}

fn read_slug(reader: &mut Reader<'_>, fields: &Fields<'_>, stem: &str, front_matter: bool) -> Box<str> {
    let allowed = |word: &str| {
        !word.is_empty()
            && word.len() <= limits::NAME_BYTES
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if !allowed(stem) {
        reader.problem(fields.at, "the file's name does not fit into a URL", "name it with letters, digits, - and _");
        return stem.into();
    }
    if fields.get("slug").is_none() && front_matter {
        reader.problem(fields.at, "the front matter has no slug", format!("add slug: {stem}"));
    } else if let Some(slug) = reader.text(fields, "slug")
        && slug.value.value != stem
    {
        let shown: String = slug.value.value.chars().take(60).collect();
        let remedy = format!("write slug: {stem} or rename the file");
        reader.problem(slug.at, format!("slug \"{shown}\" is not the file's name \"{stem}\""), remedy);
    }
    stem.into()
}

fn read_logo(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Box<str>> {
    let logo = reader.text(fields, "logo")?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if logo.value.value.starts_with('.') || !logo.value.value.bytes().all(allowed) {
        reader.problem(logo.at, "logo is no file name", "give the name of an image that ships with the dashboard");
        return None;
    }
    Some(logo.value.value.as_str().into())
}

fn read_chains(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<ChainSpec> {
    let Some(node) = fields.get("chains") else {
        reader.problem(fields.at, "the profile has no chains", "add chains: with at least one chain");
        return Vec::new();
    };
    let entries = reader.entries(node, "chains").unwrap_or_default();
    if entries.is_empty() && matches!(node.kind, Kind::Map(_)) {
        reader.problem(node.at, "the profile has no chains", "add at least one chain");
    }
    if entries.len() > limits::CHAINS_PER_PROFILE {
        reader.problem(node.at, format!("more than {} chains", limits::CHAINS_PER_PROFILE), "split the profile");
    }
    let mut out = Vec::new();
    for (key, value) in entries.iter().take(limits::CHAINS_PER_PROFILE) {
        let Some(word) = reader.key_text(key) else { continue };
        if matches!(value.kind, Kind::Null) {
            reader.problem(key.at, format!("the chain {word} is empty"), "give it chain_id and providers");
            continue;
        }
        out.extend(read_chain(reader, Spot::new(word.into(), key.at), value));
    }
    out
}

fn read_chain(reader: &mut Reader<'_>, key: Spot<Box<str>>, node: &Node) -> Option<ChainSpec> {
    let fields = reader.fields(node, &schema::CHAIN, &format!("the chain {}", key.value))?;
    if fields.get("chain_id").is_none() {
        reader.problem(key.at, format!("the chain {} has no chain_id", key.value), "add chain_id: with its EIP-155 number");
    }
    let number = reader.whole(&fields, "chain_id", 1, u64::MAX);
    let mut chain = ChainSpec {
        name: reader.title(&fields, "name"),
        number: number.map(|n| Spot::new(n, fields.at_key("chain_id"))),
        aliases: reader.texts(&fields, "url_aliases"),
        block_time_ms: reader.whole(&fields, "block_time_ms", 1, HOUR_MS),
        max_lag_blocks: 1,
        archival_threshold: 128,
        probe_interval_ms: 12_000,
        lag_alert_threshold_blocks: 5,
        subscribe_new_heads: true,
        new_heads_timeout_ms: None,
        max_backfill_blocks: None,
        backfill_timeout_ms: 30_000,
        color: "#6B7280".into(),
        size: "md".into(),
        routing: read_routing(reader, &fields),
        methods: read_methods(reader, &fields),
        providers: Vec::new(),
        key,
    };
    read_selection(reader, &fields, &mut chain);
    read_monitoring(reader, &fields, &mut chain);
    read_websocket(reader, &fields, &mut chain);
    read_ui(reader, &fields, &mut chain);
    read_providers(reader, &fields, &mut chain);
    Some(chain)
}

const HOUR_MS: u64 = 3_600_000;

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

fn section<'n>(reader: &mut Reader<'_>, fields: &Fields<'n>, name: &str, table: &'static schema::Table) -> Option<Fields<'n>> {
    reader.fields(fields.get(name)?, table, name)
}

fn read_selection(reader: &mut Reader<'_>, fields: &Fields<'_>, chain: &mut ChainSpec) {
    let Some(inner) = section(reader, fields, "selection", &schema::SELECTION) else { return };
    set(&mut chain.max_lag_blocks, reader.whole(&inner, "max_lag_blocks", 0, u64::MAX));
    set(&mut chain.archival_threshold, reader.whole(&inner, "archival_threshold", 0, u64::MAX));
}

fn read_monitoring(reader: &mut Reader<'_>, fields: &Fields<'_>, chain: &mut ChainSpec) {
    let Some(inner) = section(reader, fields, "monitoring", &schema::MONITORING) else { return };
    set(&mut chain.probe_interval_ms, reader.whole(&inner, "probe_interval_ms", 10, HOUR_MS));
    set(&mut chain.lag_alert_threshold_blocks, reader.whole(&inner, "lag_alert_threshold_blocks", 1, u64::MAX));
}

fn read_websocket(reader: &mut Reader<'_>, fields: &Fields<'_>, chain: &mut ChainSpec) {
    let Some(inner) = section(reader, fields, "websocket", &schema::WEBSOCKET) else { return };
    set(&mut chain.subscribe_new_heads, reader.flag(&inner, "subscribe_new_heads"));
    chain.new_heads_timeout_ms = reader.whole(&inner, "new_heads_timeout_ms", 100, HOUR_MS);
    let Some(failover) = section(reader, &inner, "failover", &schema::FAILOVER) else { return };
    chain.max_backfill_blocks = reader.whole(&failover, "max_backfill_blocks", 0, 1_000_000);
    set(&mut chain.backfill_timeout_ms, reader.whole(&failover, "backfill_timeout_ms", 100, HOUR_MS));
}

fn read_ui(reader: &mut Reader<'_>, fields: &Fields<'_>, chain: &mut ChainSpec) {
    let Some(inner) = section(reader, fields, "ui-topology", &schema::UI_TOPOLOGY) else { return };
    set(&mut chain.size, reader.choice(&inner, "size", &["sm", "md", "lg", "xl"]).map(Box::from));
    let Some(color) = reader.text(&inner, "color") else { return };
    let digits = color.value.value.strip_prefix('#').unwrap_or_default();
    if digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        chain.color = color.value.value.as_str().into();
    } else {
        reader.problem(color.at, "color is no hex color", "write it like \"#627EEA\", in quotes");
    }
}

fn read_providers(reader: &mut Reader<'_>, fields: &Fields<'_>, chain: &mut ChainSpec) {
    let Some(node) = fields.get("providers") else {
        let what = format!("the chain {} has no providers", chain.key.value);
        return reader.problem(chain.key.at, what, "add providers: with at least one entry");
    };
    let items = reader.list(fields, "providers").unwrap_or_default();
    if items.is_empty() && matches!(node.kind, Kind::List(_)) {
        let what = format!("the chain {} has no providers", chain.key.value);
        reader.problem(fields.at_key("providers"), what, "add at least one entry");
    }
    if let Some(extra) = items.get(limits::PROVIDERS_PER_CHAIN) {
        let what = format!("provider 65 of the chain {}: a chain has at most {}", chain.key.value, limits::PROVIDERS_PER_CHAIN);
        reader.problem(extra.at, what, "delete the rest, or put them into another profile");
    }
    for item in items.iter().take(limits::PROVIDERS_PER_CHAIN) {
        chain.providers.extend(read_provider(reader, item));
    }
}

fn read_routing(reader: &mut Reader<'_>, fields: &Fields<'_>) -> RoutingSpec {
    let mut out = RoutingSpec::default();
    let Some(inner) = section(reader, fields, "routing", &schema::ROUTING) else { return out };
    out.default_strategy = read_strategy(reader, &inner, "default_strategy");
    let Some(node) = inner.get("method_overrides") else { return out };
    for (key, value) in reader.entries(node, "method_overrides").unwrap_or_default() {
        let Some(method) = reader.key_text(key) else { continue };
        out.overrides.extend(read_override(reader, &method, key.at, value, &out.overrides));
    }
    out
}

fn read_override(reader: &mut Reader<'_>, method: &str, at: At, node: &Node, have: &[OverrideSpec]) -> Option<OverrideSpec> {
    if !is_method(method) {
        reader.problem(at, "a key of method_overrides is no method name", "write it like eth_getLogs");
        return None;
    }
    if have.iter().any(|other| *other.method == *method) {
        reader.problem(at, format!("{method} is given twice"), "keep one of them");
        return None;
    }
    let fields = reader.fields(node, &schema::METHOD_OVERRIDE, &format!("the override of {method}"))?;
    let strategy = read_strategy(reader, &fields, "strategy");
    let providers = reader.texts(&fields, "providers");
    if fields.get("providers").is_some_and(|node| matches!(&node.kind, Kind::List(items) if items.is_empty())) {
        reader.problem(fields.at_key("providers"), "providers is an empty list", "name at least one, or delete the line");
    }
    if fields.get("strategy").is_none() && fields.get("providers").is_none() {
        reader.problem(at, format!("the override of {method} says nothing"), "give it strategy or providers");
    }
    Some(OverrideSpec { method: method.into(), strategy, providers })
}

fn read_strategy(reader: &mut Reader<'_>, fields: &Fields<'_>, name: &str) -> Option<Strategy> {
    const WORDS: [&str; 4] = ["priority", "load-balanced", "fastest", "latency-weighted"];
    let text = reader.text(fields, name)?;
    let strategy = Strategy::from_word(&text.value.value);
    if strategy.is_none() {
        let shown: String = text.value.value.chars().take(40).collect();
        let remedy = suggest::did_you_mean(&shown, WORDS).unwrap_or_else(|| format!("one of {}", WORDS.join(", ")));
        reader.problem(text.at, format!("{name} is \"{shown}\", which is no strategy"), remedy);
    }
    strategy
}

/// A chain's key or alias may stand in a URL where these words mean something else (docs/behaviour/http.md#paths).
pub(super) fn route_word(name: &str) -> bool {
    matches!(name, "provider" | "profile") || Strategy::from_word(name).is_some()
}

pub(super) fn is_chain_name(name: &str) -> bool {
    is_url_name(name)
}
