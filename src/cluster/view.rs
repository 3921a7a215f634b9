//! What people are shown of the cluster: made by the control thread, never changed, read by whoever is asked.

use super::frame::NodeCard;
use super::gathering::GatheringCounts;
use super::health::PeerState;
use super::news::NewsCounts;
use super::sessions::Unheard;
use crate::base::time::Instant;
use std::collections::BTreeMap;
use std::net::SocketAddr;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerView {
    /// `None` until it has said who it is.
    pub card: Option<NodeCard>,
    pub address: SocketAddr,
    pub state: PeerState,
    pub heard: Instant,
    pub clock_skew_ms: Option<i64>,
}

/// Datagrams since the start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DatagramCounts {
    pub sent: u64,
    pub sent_bytes: u64,
    /// All that came, unheard ones among them.
    pub received: u64,
    pub received_bytes: u64,
    /// What proven sessions said.
    pub heard: u64,
    /// By reason.
    pub unheard: BTreeMap<Unheard, u64>,
    /// Found no room in the socket's buffer: they came faster than they were read.
    pub overflowed: u64,
}

impl DatagramCounts {
    pub fn unheard(&self, why: Unheard) -> u64 {
        self.unheard.get(&why).copied().unwrap_or(0)
    }
}

/// Figures that went to and came from other nodes, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DigestCounts {
    pub sent_bytes: u64,
    /// Questions of others that came when as much was sent as may be.
    pub held_back: u64,
    pub gathered: GatheringCounts,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClusterView {
    /// The others, in order of their addresses.
    pub peers: Vec<PeerView>,
    pub datagrams: DatagramCounts,
    pub digests: DigestCounts,
    /// What was told of what happens, both ways.
    pub news: NewsCounts,
}

impl ClusterView {
    pub fn count(&self, state: PeerState) -> usize {
        self.peers.iter().filter(|peer| peer.state == state).count()
    }

    /// Nodes that answer, this one among them, and all that are known.
    pub fn coverage(&self) -> (usize, usize) {
        (self.count(PeerState::Responding) + 1, self.peers.len() + 1)
    }

    /// In one word, for a node that is part of a cluster.
    pub fn status(&self) -> &'static str {
        match self.coverage() {
            (responding, total) if responding == total => "healthy",
            (responding, total) if responding * 2 >= total => "degraded",
            _ => "critical",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_in_one_word() {
        let view = |states: &[PeerState]| {
            let peer = |state: &PeerState| PeerView {
                card: None,
                address: "10.0.0.1:1".parse().unwrap(),
                state: *state,
                heard: Instant::ZERO,
                clock_skew_ms: None,
            };
            ClusterView { peers: states.iter().map(peer).collect(), ..ClusterView::default() }
        };
        use PeerState::{Disconnected, Responding, Unresponsive};
        for (states, want, coverage) in [
            (&[][..], "healthy", (1, 1)),
            (&[Responding, Responding], "healthy", (3, 3)),
            (&[Responding, Unresponsive], "degraded", (2, 3)),
            (&[Disconnected], "degraded", (1, 2)),
            (&[Disconnected, Unresponsive], "critical", (1, 3)),
        ] {
            assert_eq!((view(states).status(), view(states).coverage()), (want, coverage), "{states:?}");
        }
    }
}
