//! What happens on the other nodes, for people here: asked for while somebody listens, and put among this node's own events with its origin.
//!
//! What a node says is checked to be an event (an object of JSON with a name) and written anew, so that nothing but that reaches a reader's
//! stream. Whose profiles and chains it is about is looked up by name: nodes number them as they like.

use crate::base::ids::{ChainId, ProfileId};
use crate::base::time::{Instant, WallTime};
use crate::cluster::engine::Cluster;
use crate::cluster::news::{Heard, OtherNews};
use crate::config::topology::Topology;
use crate::observe::backlog::Line;
use crate::shard::Node;
use serde_json::{Map, Value, json};

const NAME_BYTES: usize = 64;
/// About somebody whom this node does not have: of interest to those who want everything.
const NOBODY_HERE: (ProfileId, ChainId) = (ProfileId(u16::MAX), ChainId(u16::MAX));

pub(super) fn exchange(node: &Node, cluster: &mut Cluster, now: Instant) {
    cluster.want_news(node.events.has_watchers());
    for (session, ask) in cluster.take_news_asks() {
        cluster.tell_news(session, &ask, &node.events.notable(ask.next), now);
    }
    let heard = cluster.take_news();
    if heard.is_empty() {
        return;
    }
    let snapshot = node.snapshot.latest();
    let wall = WallTime(node.settings.started.0 + now.as_ms());
    for line in heard.into_iter().filter_map(|news| line(news, &snapshot.topology, wall)) {
        node.events.push_other(line);
    }
}

/// `None`: it is no event.
fn line(news: OtherNews, topology: &Topology, wall: WallTime) -> Option<Line> {
    let said = match &news.what {
        Heard::Event(bytes) => serde_json::from_slice::<Map<String, Value>>(bytes).ok()?,
        Heard::Lost(count) => lost(*count, wall),
    };
    let event = said.get("event")?.as_str().filter(|name| is_name(name))?.to_owned();
    let places = places(&said, topology);
    let mut line = Map::with_capacity(said.len() + 2);
    line.insert("node_id".to_owned(), news.node_id.into());
    line.insert("region".to_owned(), news.region.into());
    for (name, value) in said {
        line.entry(name).or_insert(value);
    }
    Some(Line { event: event.into(), is_own: false, places, json: Value::Object(line).to_string().into() })
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'.' | b'_'))
}

/// A gap is told where it is.
fn lost(count: u64, wall: WallTime) -> Map<String, Value> {
    let told = json!({
        "event": "cluster.events_lost",
        "count": count,
        "message": "more happened there than the node keeps for others: these events are in its own log",
        "level": "warn",
        "timestamp": wall.rfc3339(),
    });
    match told {
        Value::Object(told) => told,
        _ => Map::new(),
    }
}

fn places(said: &Map<String, Value>, topology: &Topology) -> Vec<(ProfileId, ChainId)> {
    let named = said.get("providers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let place = |of: &Value| {
        let text = |name: &str| of.get(name).and_then(Value::as_str);
        let profile = topology.profile_by_slug.get(text("profile")?).copied()?;
        let chain = topology.profiles.get(profile)?.chain_by_name.get(text("chain")?).copied()?;
        Some((profile, chain))
    };
    let mut found: Vec<(ProfileId, ChainId)> = named.iter().filter_map(place).collect();
    if found.is_empty() && !named.is_empty() {
        found.push(NOBODY_HERE);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(text: &str) -> OtherNews {
        OtherNews { node_id: "us-1".into(), region: "us".into(), what: Heard::Event(text.as_bytes().to_vec()) }
    }

    fn told(text: &str) -> Option<Line> {
        line(news(text), &Topology::default(), WallTime(0))
    }

    #[test]
    fn an_event_is_told_with_its_origin_first_and_no_other() {
        let told = told(r#"{"event":"node.ready","node_id":"liar","level":"info"}"#).expect("an event");
        assert_eq!(&*told.json, r#"{"node_id":"us-1","region":"us","event":"node.ready","level":"info"}"#);
        assert_eq!((&*told.event, told.is_own, told.places.len()), ("node.ready", false, 0));
    }

    #[test]
    fn what_is_no_event_is_not_told() {
        for bad in
            ["", "[]", "{", r#"{"event":7}"#, r#"{"event":""}"#, r#"{"event":"a b"}"#, "{\"event\":\"a\ndata: x\"}", "\u{7f}"]
        {
            assert!(told(bad).is_none(), "{bad}");
        }
        let long = format!(r#"{{"event":"{}"}}"#, "x".repeat(NAME_BYTES + 1));
        assert!(told(&long).is_none());
        // A line's end inside a text stays inside it.
        let broken = told("{\"event\":\"e\",\"message\":\"a\\ndata: x\"}").expect("an event");
        assert!(!broken.json.contains('\n'));
    }

    #[test]
    fn who_is_not_here_is_told_to_those_who_want_everything() {
        let about = told(r#"{"event":"provider.circuit","providers":[{"profile":"p","chain":"c","id":"x"}]}"#).expect("an event");
        assert_eq!(about.places, [NOBODY_HERE]);
        let all = crate::observe::backlog::Wanted { others: true, ..Default::default() };
        assert!(all.takes(&about));
        assert!(!crate::observe::backlog::Wanted { profile: Some(ProfileId(0)), ..all }.takes(&about));
    }

    #[test]
    fn a_gap_is_an_event_of_the_node_that_has_it() {
        let told = line(OtherNews { what: Heard::Lost(7), ..news("") }, &Topology::default(), WallTime(0)).expect("an event");
        assert!(
            told.json.starts_with(r#"{"node_id":"us-1","region":"us","event":"cluster.events_lost","count":7,"#),
            "{}",
            told.json
        );
    }
}
