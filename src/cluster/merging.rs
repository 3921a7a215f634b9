//! Figures of several nodes together: of all, of one region, or of those with one id. Counts add up, distributions add up bucket by
//! bucket, so a percentile of many nodes is that of all their calls. Which nodes are in it, and how old the oldest figures are, is told
//! with it.

use super::digest::{DigestAbout, DigestHealth, DigestRow};
use super::frame::NodeCard;
use super::health::PeerState;
use crate::base::ids::Transport;
use crate::base::limits::CLUSTER_DIGEST_STALE_MS;
use crate::base::time::Duration;
use crate::observe::figures::Counts;
use std::collections::BTreeMap;

/// Whose figures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClusterScope {
    Everybody,
    Region(Box<str>),
    /// Several nodes may have one id: they add up.
    Node(Box<str>),
}

impl ClusterScope {
    fn holds(&self, card: Option<&NodeCard>) -> bool {
        match self {
            ClusterScope::Everybody => true,
            ClusterScope::Region(region) => card.is_some_and(|card| card.region.as_str() == &**region),
            ClusterScope::Node(id) => card.is_some_and(|card| card.node_id.as_str() == &**id),
        }
    }
}

/// A node that is known, and what is here of its figures of one chain.
pub struct KnownNode<'a> {
    pub card: Option<&'a NodeCard>,
    pub state: PeerState,
    pub is_own: bool,
    pub figures: Option<NodeFigures<'a>>,
}

pub struct NodeFigures<'a> {
    pub age: Duration,
    /// How long its last minute is.
    pub minute: Duration,
    pub config_revision: u64,
    pub rows: Vec<&'a DigestRow>,
}

impl NodeFigures<'_> {
    pub fn is_fresh(&self) -> bool {
        (self.age.as_millis() as u64) < CLUSTER_DIGEST_STALE_MS
    }
}

/// Circuits by how they are, and the worst status of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HealthSum {
    /// Closed, half-open, open.
    pub circuits: [u64; 3],
    /// A place in `STATUS_WORDS` plus one; 0: not known.
    pub worst: u8,
    pub height: u64,
    pub lag_blocks: u64,
}

impl HealthSum {
    fn join(&mut self, other: &HealthSum) {
        self.circuits.iter_mut().zip(other.circuits).for_each(|(to, count)| *to += count);
        self.worst = self.worst.max(other.worst);
        self.height = self.height.max(other.height);
        self.lag_blocks = self.lag_blocks.max(other.lag_blocks);
    }

    fn add(&mut self, health: DigestHealth) {
        if let Some(count) = usize::from(health.circuit).checked_sub(1).and_then(|place| self.circuits.get_mut(place)) {
            *count += 1;
        }
        self.worst = self.worst.max(health.status);
        self.height = self.height.max(health.height);
        self.lag_blocks = self.lag_blocks.max(health.lag_blocks);
    }
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct WindowSums {
    pub total: Counts,
    pub hour: Counts,
    pub minute: Counts,
    pub calls_per_second: f64,
    pub health: HealthSum,
    pub nodes: usize,
}

impl WindowSums {
    fn add(&mut self, row: &DigestRow, minute_s: f64) {
        self.add_line(row, minute_s);
        self.minute.latencies.merge(&row.minute.latencies);
    }

    /// What a node's line shows: without the minute's distribution.
    fn add_line(&mut self, row: &DigestRow, minute_s: f64) {
        self.total.add_plain(&row.total);
        self.hour.add(&row.hour);
        self.minute.add_plain(&row.minute);
        self.calls_per_second += calls(&row.minute) as f64 / minute_s;
        self.health.add(row.health);
    }

    fn join(&mut self, other: &WindowSums) {
        self.total.add(&other.total);
        self.hour.add(&other.hour);
        self.minute.add(&other.minute);
        self.calls_per_second += other.calls_per_second;
        self.health.join(&other.health);
    }
}

/// What followed a failure of another provider was the same call.
pub fn calls(counts: &Counts) -> u64 {
    counts.attempts().saturating_sub(counts.retries)
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct ProviderSums<'a> {
    pub all: WindowSums,
    pub by_transport: BTreeMap<Transport, Counts>,
    pub by_region: BTreeMap<&'a str, WindowSums>,
}

/// One node of the scope, and its sums where its figures are here.
pub struct NodeSums<'a> {
    pub known: &'a KnownNode<'a>,
    pub sums: Option<WindowSums>,
}

pub struct MergedFigures<'a> {
    pub nodes: Vec<NodeSums<'a>>,
    pub all: WindowSums,
    pub by_region: BTreeMap<&'a str, WindowSums>,
    pub providers: BTreeMap<&'a str, ProviderSums<'a>>,
    pub methods: BTreeMap<&'a str, WindowSums>,
    /// Nodes whose figures are in it and fresh, and all that are known.
    pub responding: usize,
    pub total: usize,
    /// How old the oldest figures are of those that are in it.
    pub oldest: Duration,
}

impl MergedFigures<'_> {
    pub fn is_stale(&self) -> bool {
        self.responding < self.total
    }
}

pub fn merge<'a>(known: &'a [KnownNode<'a>], scope: &ClusterScope) -> MergedFigures<'a> {
    let mut merged = MergedFigures {
        nodes: Vec::new(),
        all: WindowSums::default(),
        by_region: BTreeMap::new(),
        providers: BTreeMap::new(),
        methods: BTreeMap::new(),
        responding: 0,
        total: 0,
        oldest: Duration::ZERO,
    };
    for node in known.iter().filter(|node| scope.holds(node.card)) {
        merged.total += 1;
        let sums = node.figures.as_ref().map(|figures| {
            merged.responding += usize::from(figures.is_fresh());
            merged.oldest = merged.oldest.max(figures.age);
            merged.take(node.card.map_or("", |card| card.region.as_str()), figures)
        });
        merged.nodes.push(NodeSums { known: node, sums });
    }
    merged.sum_up();
    merged
}

impl<'a> MergedFigures<'a> {
    /// One node's figures; gives its sums. Rows are added where they are told apart most, and from there on the sums.
    fn take(&mut self, region: &'a str, figures: &NodeFigures<'a>) -> WindowSums {
        let minute_s = figures.minute.max(Duration::from_secs(1)).as_secs_f64();
        let mut own = WindowSums::default();
        let of_region = self.by_region.entry(region).or_default();
        (of_region.nodes, self.all.nodes) = (of_region.nodes + 1, self.all.nodes + 1);
        for row in &figures.rows {
            match &*row.about {
                DigestAbout::Method(name) => self.methods.entry(name).or_default().add(row, minute_s),
                DigestAbout::Provider { id, transport } => {
                    own.add_line(row, minute_s);
                    let provider = self.providers.entry(id).or_default();
                    provider.by_region.entry(region).or_default().add(row, minute_s);
                    provider.by_transport.entry(*transport).or_default().add_plain(&row.total);
                }
            }
        }
        own
    }

    fn sum_up(&mut self) {
        for provider in self.providers.values_mut() {
            for (region, sums) in &provider.by_region {
                provider.all.join(sums);
                self.by_region.entry(region).or_default().join(sums);
            }
            self.all.join(&provider.all);
        }
    }
}

#[cfg(test)]
#[path = "merging_tests.rs"]
mod tests;
