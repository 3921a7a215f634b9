//! What people ask of the aggregator, answered from its own state: nothing is copied for them while nobody asks.
//!
//! Answers are built on this thread, which no call waits for; a large one delays an epoch by its own time. Figures are
//! milliseconds with microseconds behind the point; what is not known is null or left out, never invented.

mod kept;
mod metrics;
pub(super) mod node;
mod prometheus;
mod providers;

use crate::aggregator::Aggregator;
use crate::base::ids::{ChainId, EntryId, ProfileId};
use crate::base::time::{Duration, Instant, WallTime};
use crate::cluster::frame::NodeCard;
use crate::cluster::health::PeerState;
use crate::cluster::merging::KnownNode;
use crate::cluster::sharing::own_figures;
use crate::cluster::telling::{self, ClusterQuestion};
use crate::config::topology::{Chain, Profile};
use crate::observe::question::{Answer, Asked, Order, Question};
use crate::observe::shown::{ms, rounded};
use crate::shard::CONFIG_REVISION;
use serde_json::{Map, Value, json};

/// The moment of an answer, on both clocks.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) wall: WallTime,
}

impl Moment {
    /// When something in the past was, for people.
    fn wall_of(self, at: Instant) -> String {
        WallTime(self.wall.0.saturating_sub(self.now.since(at).as_millis() as u64)).rfc3339()
    }

    /// When something to come is.
    fn wall_in(self, at: Instant) -> String {
        WallTime(self.wall.0.saturating_add(at.since(self.now).as_millis() as u64)).rfc3339()
    }
}

impl Aggregator {
    pub(super) fn answer_all(&mut self, now: Instant) {
        let node = self.node.clone();
        while let Some((asked, reply)) = node.desk.next() {
            reply.give(self.answer(&asked, now));
        }
        // With others the control thread answers, which has their figures.
        if node.settings.cluster.is_none() {
            while let Some((question, reply)) = node.cluster_desk.next() {
                let (status, body) = self.answer_alone(&question, now);
                reply.give(Answer::json(status, body.to_string()));
            }
        }
    }

    /// A question about all nodes to a node that works alone.
    fn answer_alone(&mut self, question: &ClusterQuestion, now: Instant) -> (u16, Value) {
        let digest = self.make_digest(now);
        let settings = &self.node.settings;
        let card = NodeCard::new(&settings.node_id, &settings.region, env!("CARGO_PKG_VERSION"), CONFIG_REVISION);
        let figures = Some(own_figures(&digest, question.topic(), now));
        telling::answer(question, &[KnownNode { card: Some(&card), state: PeerState::Connected, is_own: true, figures }])
    }

    fn answer(&mut self, asked: &Asked, now: Instant) -> Answer {
        let at = Moment { now, wall: asked.wall };
        let body = match asked.what {
            Question::Prometheus { format } => return self.prometheus(format, at),
            Question::Providers { profile, chain } => self.place(profile, chain).map(|(p, c)| self.providers(p, c, at)),
            Question::Metrics { profile, chain, histograms } => {
                self.place(profile, chain).map(|(p, c)| self.metrics(p, c, histograms, at))
            }
            Question::Shards => Some(self.shards(at)),
            Question::Status => Some(self.status(at)),
            Question::Region => Some(self.region(at)),
            Question::Snapshot { profile, chain } => {
                self.place(profile, chain).and_then(|(p, c)| serde_json::to_value(self.kept(p, c, at)).ok())
            }
            Question::Breaker { entry, order, is_for_all } => self.order(entry, order, is_for_all, at),
        };
        match body {
            Some(body) => Answer::json(200, body.to_string()),
            None => Answer::json(404, r#"{"error":"no such provider now"}"#),
        }
    }

    fn place(&self, profile: ProfileId, chain: ChainId) -> Option<(&Profile, &Chain)> {
        let profile = self.topology.profiles.get(profile)?;
        Some((profile, profile.chains.get(chain)?))
    }

    /// Holds a provider's circuits, or lets them go. Profiles that share the instance share them.
    fn order(&mut self, entry: EntryId, order: Order, is_for_all: bool, at: Moment) -> Option<Value> {
        let instance = self.topology.entries.get(entry)?.instance;
        let mut circuits = Map::new();
        self.hold(instance, order, None, at.now);
        let is_told = is_for_all && self.node.shared_orders.leave((self.upstream_key(instance)?, order));
        let (profile, _, provider) = self.topology.of_entry(entry)?;
        for id in self.channels_of(instance) {
            circuits.insert(id.transport().word().to_owned(), self.circuit(id, at));
        }
        let circuit = circuits.values().next().cloned();
        let mut out = json!({ "profile": profile.slug, "provider": provider.id, "circuit": circuit, "circuits": circuits });
        if is_for_all && let Value::Object(out) = &mut out {
            out.insert("told_to_the_cluster".to_owned(), json!(is_told));
        }
        Some(out)
    }
}

fn ms_of(duration: Duration) -> f64 {
    ms(duration.as_micros() as u64)
}
