//! `/api/cluster`, and the part of `/api/health` about it. This version knows of no other nodes: a cluster of one, told in
//! the words of a larger one, so that whoever reads it need not care.

use crate::base::time::Instant;
use crate::shard::Node;
use serde_json::{Value, json};

/// `/api/health.cluster` (LB §11.7).
pub fn summary(node: &Node) -> Value {
    json!({
        "enabled": false,
        "status": STATUS,
        "nodes_connected": 1,
        "nodes_responding": 1,
        "nodes_total": 1,
        "regions": [node.settings.region],
    })
}

/// `/api/cluster`: every node known, ourselves first. `stale`: figures of nodes that do not respond are older ones.
pub fn answer(node: &Node, now: Instant) -> Value {
    let settings = &node.settings;
    json!({
        "enabled": false,
        "status": STATUS,
        "node_id": settings.node_id,
        "region": settings.region,
        "coverage": { "responding": 1, "total": 1 },
        "stale": false,
        "nodes": [{
            "node_id": settings.node_id,
            "region": settings.region,
            "state": "connected",
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": node.uptime_seconds(now),
            "self": true,
        }],
    })
}

/// Of standalone, healthy, degraded and critical.
const STATUS: &str = "standalone";
