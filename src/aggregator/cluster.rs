//! What people are told of other nodes: each change of one's state, wrong secrets now and then, and what keeps this node alone.

use crate::aggregator::Aggregator;
use crate::base::time::Instant;
use crate::cluster::engine::ClusterEvent;
use crate::cluster::health::{PeerChange, PeerState};
use crate::observe::happening::{Happening, Level};

impl Aggregator {
    pub(super) fn tell_cluster(&mut self, now: Instant) {
        while let Some(event) = self.node.cluster_notes.take() {
            self.happenings.push(told(&event, now));
        }
    }
}

fn told(event: &ClusterEvent, now: Instant) -> Happening {
    match event {
        ClusterEvent::Changed(change) => changed(change, now),
        ClusterEvent::WrongSecret { from, count } => Happening::new("cluster.refused", Level::Warn, now)
            .with("address", from.to_string())
            .with("count", *count)
            .with("message", "somebody speaks with another cluster secret or CLUSTER_NODE_BASENAME, and is not listened to"),
        ClusterEvent::NoSocket { at, why } => Happening::new("cluster.unavailable", Level::Warn, now)
            .with("listen", at.to_string())
            .with("message", format!("no datagrams can be taken ({why}): this node works alone until they can")),
        ClusterEvent::OrderUntold => Happening::new("cluster.order", Level::Warn, now)
            .with("message", "an order for every node was carried out here only: too many of them stand; end some with auto"),
        ClusterEvent::NobodyNamed => Happening::new("cluster.nobody", Level::Warn, now)
            .with("message", "CLUSTER_DNS_QUERY names nobody: this node works alone until it does; asked again every 5 s"),
    }
}

fn changed(change: &PeerChange, now: Instant) -> Happening {
    let level = match change.to {
        Some(PeerState::Unresponsive | PeerState::Disconnected) => Level::Warn,
        Some(PeerState::Discovering) => Level::Debug,
        Some(PeerState::Connected | PeerState::Responding) | None => Level::Info,
    };
    let word = |state: Option<PeerState>| state.map(PeerState::word);
    let card = change.peer.card.as_ref();
    let who = card.map_or_else(|| change.peer.address.to_string(), |card| card.node_id.to_string());
    let how = match change.to {
        Some(state) => format!("is {}", state.word()),
        None => "has left".to_owned(),
    };
    Happening::new("cluster.node", level, now)
        .with("peer_id", card.map(|card| card.node_id.to_string()))
        .with("peer_region", card.map(|card| card.region.to_string()))
        .with("address", change.peer.address.to_string())
        .with("from", word(change.from))
        .with("to", word(change.to).unwrap_or("left"))
        .with("message", format!("node {who} {how}"))
}
