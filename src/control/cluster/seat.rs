//! What the cluster's tasks see of a node: its card, where views and news go, and once in a tick what it has and wants of figures, advice and
//! events.

use super::{ClusterSeat, hearsay};
use crate::base::limits::{CLUSTER_DIGEST_MS, CLUSTER_DIGEST_PATIENCE_MS, CLUSTER_DIGEST_WANTED_MS};
use crate::base::time::Instant;
use crate::cluster::digest::NodeDigest;
use crate::cluster::engine::{Cluster, ClusterEvent};
use crate::cluster::frame::NodeCard;
use crate::cluster::sessions::SessionBug;
use crate::cluster::telling::ClusterQuestion;
use crate::observe::question::Answer;
use crate::runtime::desk::Reply;
use crate::runtime::publish::Reader;
use crate::shard::{CONFIG_REVISION, Node};
use std::sync::Arc;

pub fn of_node(node: &Arc<Node>) -> ClusterSeat {
    let settings = &node.settings;
    let card = NodeCard::new(&settings.node_id, &settings.region, env!("CARGO_PKG_VERSION"), CONFIG_REVISION);
    let [shows, tells, ends, advises, listens] = [(); 5].map(|()| node.clone());
    let mut figures = FigureExchange { digests: node.digest.reader(), node: node.clone(), waiting: Vec::new() };
    ClusterSeat {
        card,
        publish: Box::new(move |view| {
            shows.cluster.publish(view);
        }),
        exchange: Box::new(move |cluster, now| {
            figures.exchange(cluster, now);
            advise(&advises, cluster, now);
            hearsay::exchange(&listens, cluster, now);
        }),
        // What finds no room is still in the next view.
        tell: Box::new(move |event| {
            tells.cluster_notes.leave(event);
        }),
        is_ending: Box::new(move || ends.draining.is_raised()),
        bug: SessionBug::None,
    }
}

/// What the others should know of providers, and what they advise.
fn advise(node: &Node, cluster: &mut Cluster, now: Instant) {
    cluster.know(&node.own_words.latest(), now);
    while let Some((upstream, order)) = node.shared_orders.take() {
        if !cluster.order(upstream, order, now) {
            node.cluster_notes.leave(ClusterEvent::OrderUntold);
        }
    }
    if let Some(counsel) = cluster.take_counsel() {
        node.counsel.publish(counsel);
    }
}

/// A question, and when it came.
type WaitingQuestion = (ClusterQuestion, Reply<Answer>, Instant);

struct FigureExchange {
    node: Arc<Node>,
    digests: Reader<NodeDigest>,
    /// For nodes that have not told their figures yet.
    waiting: Vec<WaitingQuestion>,
}

impl FigureExchange {
    fn exchange(&mut self, cluster: &mut Cluster, now: Instant) {
        if self.digests.refresh() {
            cluster.offer_digest(self.digests.held().clone());
        }
        while let Some((question, reply)) = self.node.cluster_desk.next() {
            cluster.want_figures(question.topic(), now);
            self.waiting.push((question, reply, now));
        }
        self.say_wanted(cluster, now);
        let has_waited = |since: Instant| now.since(since).as_millis() as u64 >= CLUSTER_DIGEST_PATIENCE_MS;
        let is_ready =
            |(question, _, since): &mut WaitingQuestion| has_waited(*since) || cluster.has_all_figures(question.topic(), now);
        for (question, reply, _) in self.waiting.extract_if(.., is_ready) {
            let (status, body) = cluster.answer_question(&question, now);
            reply.give(Answer::json(status, body.to_string()));
        }
    }

    /// The aggregator makes digests until then.
    fn say_wanted(&self, cluster: &Cluster, now: Instant) {
        let renewed = now.plus_ms(CLUSTER_DIGEST_WANTED_MS - CLUSTER_DIGEST_MS);
        if cluster.wants_digest(now) && *self.node.digests_wanted.latest() < renewed {
            self.node.digests_wanted.publish(now.plus_ms(CLUSTER_DIGEST_WANTED_MS));
        }
    }
}
