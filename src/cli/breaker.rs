//! `lasso breaker open|close|auto PROVIDER`: holds a provider's circuits on a running node, or leaves them to the rules, and
//! says what they were and what they are.

use crate::cli::ask::{Client, Fault, part};
use crate::cli::asking::Asking;
use crate::cli::options::{Settings, Usage};
use crate::health::breaker::HELD_CLOSED;
use crate::observe::question::Order;
use serde_json::{Map, Value, json};
use std::fmt::Write;

#[derive(Clone, Debug)]
pub struct Options {
    pub asking: Asking,
    pub order: Order,
    pub provider: String,
    pub chain: String,
    /// On every node of the cluster.
    pub is_for_all: bool,
    pub json: bool,
}

impl Options {
    pub(super) fn read(settings: &Settings, words: &[String]) -> Result<Options, Usage> {
        let [order, provider] = words else {
            let text = "breaker needs an order (open, close or auto) and a provider: lasso breaker open PROVIDER --chain CHAIN";
            return Err(Usage(text.to_owned()));
        };
        let unknown = || Usage(format!("unknown order \"{order}\" (open, close or auto)"));
        let asking = Asking::read(settings)?;
        let chain = asking.one_chain("breaker")?.to_owned();
        Ok(Options {
            order: Order::from_word(order).ok_or_else(unknown)?,
            provider: provider.clone(),
            chain,
            is_for_all: settings.switch("cluster")?,
            json: settings.switch("json")?,
            asking,
        })
    }
}

/// What became of the circuits, as `lasso top` and the command tell it.
pub fn give(
    client: &Client,
    profile: &str,
    [chain, provider]: [&str; 2],
    order: Order,
    is_for_all: bool,
) -> Result<Value, Fault> {
    let cluster = if is_for_all { "?cluster=true" } else { "" };
    let path = format!("/api/breakers/{}/{}/{}/{}{cluster}", part(profile), part(chain), part(provider), order.word());
    client.post(&path)
}

pub fn run(options: &Options) -> Result<String, Fault> {
    let (profile, client) = (options.asking.one_profile(), Client::new(&options.asking.node));
    let before = client.get(&format!("/api/providers/{}?profile={}", part(&options.chain), part(profile)))?;
    let after = give(&client, profile, [&options.chain, &options.provider], options.order, options.is_for_all)?;
    let changes = changes(options, &before, &after);
    if options.json {
        let value = json!({
            "shape": 1, "profile": profile, "chain": options.chain, "provider": options.provider, "order": options.order.word(),
            "cluster": options.is_for_all,
            "circuits": changes.into_iter().map(Change::json).collect::<Map<String, Value>>(),
        });
        return Ok(format!("{value}\n"));
    }
    let is_told = after.get("told_to_the_cluster").and_then(Value::as_bool);
    Ok(sentences(options, profile, &changes, is_told))
}

struct Change {
    transport: String,
    was: String,
    is: String,
    manual: Option<String>,
}

impl Change {
    fn json(self) -> (String, Value) {
        (self.transport, json!({ "was": self.was, "is": self.is, "manual": self.manual }))
    }
}

fn changes(options: &Options, before: &Value, after: &Value) -> Vec<Change> {
    let providers = before.get("providers").and_then(Value::as_array).into_iter().flatten();
    let id = options.provider.as_str();
    let mine = providers.filter(|p| p.get("id").and_then(Value::as_str) == Some(id));
    let channels: Vec<&Value> = mine.filter_map(|p| p.get("channels")?.as_array()).flatten().collect();
    let word = |json: &Value, at: &str| json.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let circuits = after.get("circuits").and_then(Value::as_object).into_iter().flatten();
    let change = |(transport, circuit): (&String, &Value)| {
        let own = channels.iter().find(|c| word(c, "/transport").as_ref() == Some(transport));
        Change {
            transport: transport.clone(),
            was: own.and_then(|c| word(c, "/circuit/state")).unwrap_or_else(|| "unknown".to_owned()),
            is: word(circuit, "/state").unwrap_or_else(|| "unknown".to_owned()),
            manual: word(circuit, "/manual"),
        }
    };
    circuits.map(change).collect()
}

fn sentences(options: &Options, profile: &str, changes: &[Change], is_told: Option<bool>) -> String {
    let Options { provider, chain, .. } = options;
    let done = match options.order {
        Order::Open => "held open by hand: it gets no calls",
        Order::Close => HELD_CLOSED,
        Order::Auto => "left to the rules",
    };
    let mut out = format!("{provider} on {chain} (profile {profile}): {done}\n");
    for change in changes {
        let _ = match change.was == change.is {
            true => writeln!(out, "  {}: {}, as before", change.transport, change.is),
            false => writeln!(out, "  {}: {} -> {}", change.transport, change.was, change.is),
        };
    }
    match is_told {
        None => {}
        Some(true) => out.push_str("The other nodes are told; lasso stats there says who ordered it.\n"),
        Some(false) => out.push_str("The other nodes are not told: too many orders wait. Try again in a second.\n"),
    }
    if options.order != Order::Auto {
        let of_profile = if profile == "default" { String::new() } else { format!(" --profile {profile}") };
        let of_all = if options.is_for_all { " --cluster" } else { "" };
        let _ = writeln!(out, "It stays so until: lasso breaker auto {provider} --chain {chain}{of_profile}{of_all}");
    }
    out
}
