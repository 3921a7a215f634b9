//! Plans for tests, built from a profile as a person would write it.

use crate::base::ids::{ChainId, ProfileId};
use crate::config::topology::{Strategy, Topology};
use crate::config::{SourceFile, load};
use crate::snapshot::{ChainPlan, Snapshot};

/// One chain; `extra` is added to each provider's line.
pub fn topology(providers: &[(u32, &str)]) -> Topology {
    let mut text = String::from("slug: default\nchains:\n  one:\n    chain_id: 1\n    providers:\n");
    for (n, (priority, extra)) in providers.iter().enumerate() {
        text.push_str(&format!("      - {{id: p{n}, priority: {priority}, url: 'http://p{n}.example:1'{extra}}}\n"));
    }
    topology_of_text(text)
}

fn topology_of_text(text: String) -> Topology {
    let loaded = load(&[SourceFile { name: "default.yml".into(), text }], &|_| None);
    loaded.unwrap_or_else(|problems| panic!("{problems:?}")).topology
}

fn of_topology(topology: Topology) -> ChainPlan {
    let snapshot = Snapshot::new(topology, Strategy::Priority, "here", 1);
    snapshot.plan(ProfileId(0), ChainId(0)).clone()
}

/// Of a whole profile's only chain.
pub fn of_text(text: String) -> ChainPlan {
    of_topology(topology_of_text(text))
}

pub fn plan(providers: &[(u32, &str)]) -> ChainPlan {
    of_topology(topology(providers))
}

pub fn of_priorities(priorities: &[u32]) -> ChainPlan {
    plan(&priorities.iter().map(|p| (*p, "")).collect::<Vec<_>>())
}
