//! Spans as OTLP's JSON, with the names of OpenTelemetry's semantic conventions where there is one and `lasso.` before ours.
//!
//! Ids are hex, 64-bit numbers are text. Nothing of a call but its method's name from our own table is told: a client's own
//! word for a method, its parameters and its id stay here. <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

use super::Wish;
use crate::base::ids::{EntryId, Transport};
use crate::base::time::{Instant, WallTime};
use crate::chain::method;
use crate::config::topology::Topology;
use crate::observe::category::Category;
use crate::observe::decision::Ended;
use crate::observe::spans::{Attempt, Exchange, Span, What};
use crate::shard::Node;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What turns ids and instants into text.
pub struct Names {
    resource: Value,
    topology: Arc<Topology>,
    /// Of this node: it decides at which address it asks a provider.
    region: Box<str>,
    /// Nanoseconds since 1970 when the process began.
    epoch_ns: u64,
}

const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const ERROR: u8 = 2;

/// Attributes in order, each with the value that OTLP wraps it in.
#[derive(Default)]
struct Attributes(Vec<Value>);

impl Attributes {
    fn text(&mut self, key: &str, value: &str) {
        self.0.push(json!({ "key": key, "value": { "stringValue": value } }));
    }

    fn number(&mut self, key: &str, value: i64) {
        self.0.push(json!({ "key": key, "value": { "intValue": value.to_string() } }));
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.0.push(json!({ "key": key, "value": { "boolValue": value } }));
    }
}

impl Names {
    /// `wall` and `now` are of one moment.
    pub fn new(wish: &Wish, node: &Node, wall: WallTime, now: Instant) -> Names {
        let mut attributes = Attributes::default();
        wish.resource.iter().for_each(|(key, value)| attributes.text(key, value));
        if !wish.resource.iter().any(|(key, _)| key == "service.version") {
            attributes.text("service.version", env!("CARGO_PKG_VERSION"));
        }
        let epoch_ns = (wall.0 * 1_000_000).saturating_sub(now.0);
        let topology = node.snapshot.latest().topology.clone();
        let region = node.settings.region.clone();
        Names { resource: json!({ "attributes": attributes.0 }), topology, region, epoch_ns }
    }

    /// One `ExportTraceServiceRequest`.
    pub fn encode(&self, spans: &[Span]) -> Vec<u8> {
        let spans: Vec<Value> = spans.iter().map(|span| self.span(span)).collect();
        let scope = json!({ "name": "lasso", "version": env!("CARGO_PKG_VERSION") });
        let of_scope = json!([{ "scope": scope, "spans": spans }]);
        json!({ "resourceSpans": [{ "resource": self.resource, "scopeSpans": of_scope }] }).to_string().into_bytes()
    }

    fn span(&self, span: &Span) -> Value {
        let name = method::info(span.method).name;
        let mut attributes = Attributes::default();
        attributes.text("rpc.system", "jsonrpc");
        attributes.text("rpc.jsonrpc.version", "2.0");
        attributes.text("rpc.method", name);
        let (kind, error) = match &span.what {
            What::Exchange(exchange) => (SERVER, self.exchange(exchange, &mut attributes)),
            What::Attempt(attempt) => (CLIENT, self.attempt(attempt, &mut attributes)),
        };
        if let Some(error) = error {
            attributes.text("error.type", error);
        }
        let time = |at: Instant| self.epoch_ns.saturating_add(at.0).to_string();
        let mut out = Map::new();
        out.insert("traceId".to_owned(), json!(hex(&span.trace)));
        out.insert("spanId".to_owned(), json!(hex(&span.id)));
        if let Some(parent) = span.parent {
            out.insert("parentSpanId".to_owned(), json!(hex(&parent)));
        }
        out.insert("name".to_owned(), json!(name));
        out.insert("kind".to_owned(), json!(kind));
        out.insert("startTimeUnixNano".to_owned(), json!(time(span.began)));
        out.insert("endTimeUnixNano".to_owned(), json!(time(span.ended)));
        out.insert("attributes".to_owned(), Value::Array(attributes.0));
        out.insert("status".to_owned(), error.map_or_else(|| json!({}), |error| json!({ "code": ERROR, "message": error })));
        Value::Object(out)
    }

    /// What made it an error, if anything did.
    fn exchange(&self, exchange: &Exchange, attributes: &mut Attributes) -> Option<&'static str> {
        network(attributes, exchange.transport);
        if let Some(profile) = self.topology.profiles.get(exchange.profile) {
            attributes.text("lasso.profile", &profile.slug);
            if let Some(chain) = profile.chains.get(exchange.chain) {
                attributes.text("lasso.chain", &chain.key);
                attributes.number("lasso.chain_id", i64::try_from(chain.chain_number).unwrap_or(i64::MAX));
            }
        }
        attributes.text("lasso.strategy", exchange.strategy.word());
        attributes.number("lasso.retries", exchange.retries.into());
        if let Some(entry) = exchange.selected {
            self.provider(entry, attributes);
        }
        let word = |category: Option<Category>| category.map_or("no_provider", Category::word);
        match exchange.end {
            Ended::Result { .. } => None,
            Ended::Error { code, category } => {
                attributes.number("rpc.jsonrpc.error_code", code);
                Some(category.map_or("provider_error", Category::word))
            }
            Ended::Refused { code, category } => {
                attributes.number("rpc.jsonrpc.error_code", code);
                Some(word(category))
            }
            Ended::Truncated => Some("truncated"),
            Ended::ClientGone => Some("client_gone"),
        }
    }

    fn attempt(&self, attempt: &Attempt, attributes: &mut Attributes) -> Option<&'static str> {
        network(attributes, attempt.transport);
        self.provider(attempt.entry, attributes);
        let instance = self.topology.of_entry(attempt.entry).and_then(|(_, _, p)| self.topology.instances.get(p.instance));
        let endpoint = instance.and_then(|instance| match attempt.transport {
            Transport::Http => instance.http_from(&self.region),
            Transport::Ws => instance.ws_from(&self.region),
        });
        if let Some(endpoint) = endpoint {
            attributes.text("server.address", &endpoint.host);
            attributes.number("server.port", endpoint.port.into());
        }
        if let Some(status) = attempt.status {
            attributes.number("http.response.status_code", status.into());
        }
        attributes.text("lasso.outcome", attempt.fault.unwrap_or("ok"));
        attributes.flag("lasso.is_answer", attempt.is_answer);
        attempt.fault
    }

    fn provider(&self, entry: EntryId, attributes: &mut Attributes) {
        if let Some((_, _, provider)) = self.topology.of_entry(entry) {
            attributes.text("lasso.provider", &provider.id);
        }
    }
}

fn network(attributes: &mut Attributes, transport: Transport) {
    attributes.text("network.transport", "tcp");
    attributes.text("network.protocol.name", if transport == Transport::Ws { "websocket" } else { "http" });
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}
