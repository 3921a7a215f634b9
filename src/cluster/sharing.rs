//! Figures between this node and the others: whom to ask, what is known, what a question about several nodes is answered.
//!
//! Nothing travels while nobody looks. A question makes this node fetch the others' figures for a minute; being asked makes a node take digests of
//! itself for a minute.

use super::digest::{DigestTopic, NodeDigest};
use super::engine::Cluster;
use super::frame::{DigestAsk, SCHEMA_OF_DIGESTS};
use super::gathering::{DigestBug, DigestPeers};
use super::health::{PeerHealth, PeerState};
use super::merging::{KnownNode, NodeFigures};
use super::secret::SessionId;
use super::telling::{self, ClusterQuestion};
use super::view::DigestCounts;
use crate::base::time::Instant;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Cluster {
    /// Somebody looks at what all nodes do on one chain.
    pub fn want_figures(&mut self, topic: DigestTopic, now: Instant) {
        self.gatherer.want(topic, now);
    }

    /// Somebody wants this node's figures: a person here, or another node.
    pub fn wants_digest(&self, now: Instant) -> bool {
        self.gatherer.is_wanted(now) || self.server.is_wanted(now)
    }

    /// A newer digest of this node.
    pub fn offer_digest(&mut self, digest: Arc<NodeDigest>) {
        self.server.offer(digest);
    }

    /// For the simulator.
    pub fn set_digest_bug(&mut self, bug: DigestBug) {
        self.gatherer.bug = bug;
    }

    pub(super) fn digests_due(&mut self, now: Instant) -> Vec<(SessionId, DigestAsk)> {
        self.server.tick(self.wants_digest(now));
        let shown = self.checkup.peers().map(|(session, _)| session).collect();
        self.gatherer.tick(now, &DigestPeers { asked: self.tellers().collect(), shown })
    }

    pub(super) fn digest_counts(&self) -> DigestCounts {
        let (sent_bytes, held_back) = (self.server.sent_bytes, self.server.held_back);
        DigestCounts { sent_bytes, held_back, gathered: self.gatherer.counts }
    }

    /// This node first, then the others, each with what is here of its figures about one chain.
    pub fn known_nodes(&self, topic: DigestTopic, now: Instant) -> Vec<KnownNode<'_>> {
        let own = self.server.newest().map(|digest| own_figures(digest, topic, now));
        let mut known = vec![KnownNode { card: Some(&self.card), state: PeerState::Responding, is_own: true, figures: own }];
        // Whose figures are kept is shown; that these are nodes which are shown anyway is the gatherer's business.
        let shown = self.checkup.peers().map(|(session, _)| session);
        let sessions: BTreeSet<SessionId> = shown.chain(self.gatherer.sessions()).collect();
        for session in sessions {
            let peer = self.checkup.peer(session);
            let figures = self.gatherer.figures(session, topic, now).map(|(digest, age)| NodeFigures {
                age,
                minute: digest.minute,
                config_revision: digest.config_revision,
                rows: digest.rows.values().collect(),
            });
            let card = peer.and_then(|peer| peer.card.as_ref());
            let state = peer.map_or(PeerState::Disconnected, |peer| peer.state);
            known.push(KnownNode { card, state, is_own: false, figures });
        }
        known
    }

    /// Nodes that answer, and know what figures are.
    fn tellers(&self) -> impl Iterator<Item = SessionId> {
        let knows_figures = |peer: &PeerHealth| peer.card.as_ref().is_some_and(|card| card.schema >= SCHEMA_OF_DIGESTS);
        let tells = move |peer: &PeerHealth| peer.state == PeerState::Responding && knows_figures(peer);
        self.checkup.peers().filter(move |(_, peer)| tells(peer)).map(|(session, _)| session)
    }

    /// Whether all nodes that answer have told their figures.
    pub fn has_all_figures(&self, topic: DigestTopic, now: Instant) -> bool {
        self.server.newest().is_some() && self.tellers().all(|session| self.gatherer.figures(session, topic, now).is_some())
    }

    /// Status and body.
    pub fn answer_question(&self, question: &ClusterQuestion, now: Instant) -> (u16, Value) {
        telling::answer(question, &self.known_nodes(question.topic(), now))
    }
}

/// A node's own figures of one chain.
pub fn own_figures(digest: &NodeDigest, topic: DigestTopic, now: Instant) -> NodeFigures<'_> {
    NodeFigures {
        age: now.since(digest.made),
        minute: digest.minute,
        config_revision: digest.config_revision,
        rows: digest.rows(&topic).iter().map(|(_, row)| row).collect(),
    }
}
