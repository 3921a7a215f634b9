//! A node of 64 channels, eight chains of eight providers, without threads: what the benchmarks of judging and telling share.

use lasso::base::limits;
use lasso::base::time::WallTime;
use lasso::config::topology::Strategy;
use lasso::config::{self, SourceFile};
use lasso::route::limit::TrustedProxies;
use lasso::runtime::journal::Losses;
use lasso::shard::{Node, Settings};
use lasso::snapshot::Snapshot;
use std::sync::Arc;

pub const SHARDS: u32 = 8;
const CHAINS: usize = 8;
const PROVIDERS: usize = 8;
pub const CHANNELS: usize = CHAINS * PROVIDERS;

pub fn node() -> Arc<Node> {
    let mut text = String::from("---\nname: b\nslug: default\n---\nchains:\n");
    for chain in 0..CHAINS {
        text.push_str(&format!("  c{chain}:\n    chain_id: {}\n    providers:\n", chain + 1));
        for n in 0..PROVIDERS {
            text.push_str(&format!("      - {{id: p{n}, url: \"http://127.0.0.1:{}\"}}\n", 9000 + chain * PROVIDERS + n));
        }
    }
    let loaded = config::load(&[SourceFile { name: "default.yml".into(), text }], &|_| None);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems:?}"));
    let settings = Settings {
        node_id: "b".into(),
        region: "b".into(),
        scheme: None,
        host: "localhost".into(),
        shards: SHARDS,
        trusted_proxies: TrustedProxies::loopback(),
        client_connections_max: limits::CLIENTS_MAX,
        request_log_rate: limits::REQUEST_LOG_RATE,
        started: WallTime(0),
        spans: None,
        recorder: None,
        log_losses: Losses::default(),
        cluster: None,
    };
    let snapshot = Snapshot::new(loaded.topology, Strategy::Fastest, "b", SHARDS as usize + 1);
    Node::new(settings, snapshot, [1, 2])
}
