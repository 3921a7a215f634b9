//! `/api/cluster`, and the part of `/api/health` about it: what the control thread last published. A node alone is told in the words
//! of a larger cluster, so that whoever reads it need not care.

use crate::base::time::Instant;
use crate::cluster::frame::SCHEMA_OF_NEWS;
use crate::cluster::health::PeerState;
use crate::cluster::sessions::Unheard;
use crate::cluster::view::{ClusterView, PeerView};
use crate::shard::Node;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// `/api/health.cluster` (docs/behaviour/node.md#cluster).
pub fn summary(node: &Node) -> Value {
    let view = node.cluster.latest();
    let (responding, total) = view.coverage();
    let away = view.count(PeerState::Disconnected);
    let cards = view.peers.iter().filter_map(|peer| peer.card.as_ref());
    let regions: BTreeSet<&str> = cards.map(|card| card.region.as_str()).chain([&*node.settings.region]).collect();
    json!({
        "enabled": node.settings.cluster.is_some(),
        "status": status(node, &view),
        "nodes_connected": total - away,
        "nodes_responding": responding,
        "nodes_total": total,
        "regions": regions,
    })
}

/// `/api/cluster`: every node known, ourselves first. `stale`: figures of nodes that do not respond are older ones.
pub fn answer(node: &Node, now: Instant) -> Value {
    let (settings, view) = (&node.settings, node.cluster.latest());
    let (responding, total) = view.coverage();
    let mut nodes = vec![own(node, now)];
    nodes.extend(view.peers.iter().map(|peer| other(peer, now)));
    let gathered = view.digests.gathered;
    let unheard: Map<String, Value> =
        Unheard::ALL.iter().map(|why| (why.word().to_owned(), view.datagrams.unheard(*why).into())).collect();
    json!({
        "enabled": settings.cluster.is_some(),
        "status": status(node, &view),
        "node_id": settings.node_id,
        "region": settings.region,
        "coverage": { "responding": responding, "total": total },
        "stale": responding < total,
        "datagrams": {
            "sent": view.datagrams.sent,
            "received": view.datagrams.received,
            "refused": unheard,
            "overflowed": view.datagrams.overflowed,
        },
        "digests": {
            "sent_bytes": view.digests.sent_bytes,
            "received_bytes": gathered.received_bytes,
            "taken": gathered.taken,
            "taken_whole": gathered.whole,
            "refused": gathered.refused,
            "unanswered": gathered.unanswered,
            "held_back": view.digests.held_back,
        },
        "events": {
            "told_bytes": view.news.told_bytes,
            "heard": view.news.heard,
            "lost": view.news.lost,
            "refused": view.news.refused,
            "unanswered": view.news.unanswered,
        },
        "nodes": nodes,
    })
}

fn own(node: &Node, now: Instant) -> Value {
    let settings = &node.settings;
    json!({
        "node_id": settings.node_id,
        "region": settings.region,
        "address": settings.cluster.as_ref().map(|cluster| cluster.listen.to_string()),
        "state": if settings.cluster.is_some() { PeerState::Responding.word() } else { PeerState::Connected.word() },
        "version": env!("CARGO_PKG_VERSION"),
        "config_revision": CONFIG_REVISION,
        "last_seen_ms": 0,
        "clock_skew_ms": 0,
        "uptime_seconds": node.uptime_seconds(now),
        "tells_events": true,
        "self": true,
    })
}

/// What is not known of a node yet is null.
fn other(peer: &PeerView, now: Instant) -> Value {
    let card = peer.card.as_ref();
    json!({
        "node_id": card.map(|card| card.node_id.as_str()),
        "region": card.map(|card| card.region.as_str()),
        "address": peer.address.to_string(),
        "state": peer.state.word(),
        "version": card.map(|card| card.version.as_str()),
        "config_revision": card.map(|card| card.config_revision),
        "last_seen_ms": now.since(peer.heard).as_millis() as u64,
        "clock_skew_ms": peer.clock_skew_ms,
        "uptime_seconds": null,
        "tells_events": card.map(|card| card.schema >= SCHEMA_OF_NEWS),
        "self": false,
    })
}

/// Of standalone, healthy, degraded and critical.
fn status(node: &Node, view: &ClusterView) -> &'static str {
    if node.settings.cluster.is_some() { view.status() } else { "standalone" }
}

/// Configurations are counted from the start, and none is read after it.
pub const CONFIG_REVISION: u64 = 1;
