//! What a node tells others of its figures: rows, each with what people are shown of it.
//!
//! A row is about one transport of one provider over all methods, or about one method over all providers. Which provider served which method
//! how well stays with its node: thousands of rows that hundreds of nodes would keep of each other. Windows are those of the node that
//! counted, cut by its own clock, so whoever reads them needs no clock, and shows what that node shows itself. Latencies are
//! counts by bucket, whose sums are exact; those since the start are left out, nobody looks at them over nodes.
//!
//! Rejected: adding up what arrives by the receiver's own windows (two clocks, and nothing of the hour before the first question).

use super::frame::{NAME_BYTES, cut};
use crate::base::ids::Transport;
use crate::base::time::{Duration, Instant};
use crate::observe::figures::Counts;
use arrayvec::ArrayString;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is told apart and asked for apart: whoever looks at one chain is not told of the others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct DigestTopic {
    pub profile: ArrayString<NAME_BYTES>,
    /// EIP-155 number: nodes may call a chain differently.
    pub chain_number: u64,
}

impl DigestTopic {
    /// A name that is too long is cut; names are bounded where they are configured.
    pub fn new(profile: &str, chain_number: u64) -> DigestTopic {
        DigestTopic { profile: cut(profile), chain_number }
    }
}

/// What a row is about. Names, because two nodes' numbers mean different things.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DigestAbout {
    Provider { id: Arc<str>, transport: Transport },
    Method(Arc<str>),
}

/// How a provider's transport is, beside its figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DigestHealth {
    /// A place in `observe::shown::STATUS_WORDS` plus one; 0: not known.
    pub status: u8,
    /// The circuit: 1 closed, 2 half-open, 3 open; 0: not known.
    pub circuit: u8,
    /// The newest block that it told; 0: none.
    pub height: u64,
    /// Blocks behind the chain.
    pub lag_blocks: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DigestRow {
    pub about: Arc<DigestAbout>,
    pub health: DigestHealth,
    /// Since the start, without latencies.
    pub total: Counts,
    pub hour: Counts,
    pub minute: Counts,
}

impl DigestRow {
    pub fn new(about: Arc<DigestAbout>) -> DigestRow {
        let none = Counts::default;
        DigestRow { about, health: DigestHealth::default(), total: none(), hour: none(), minute: none() }
    }
}

/// All rows of one node at one moment.
#[derive(Clone, Debug)]
pub struct NodeDigest {
    pub made: Instant,
    pub config_revision: u64,
    /// How long the last minute is so far.
    pub minute: Duration,
    pub chains: BTreeMap<DigestTopic, ChainRows>,
}

/// By a number that means the same row for as long as the process lives; ascending.
pub type ChainRows = Vec<(u32, DigestRow)>;

impl NodeDigest {
    pub fn rows(&self, topic: &DigestTopic) -> &[(u32, DigestRow)] {
        self.chains.get(topic).map_or(&[], Vec::as_slice)
    }
}

impl Default for NodeDigest {
    fn default() -> NodeDigest {
        NodeDigest { made: Instant::ZERO, config_revision: 0, minute: Duration::ZERO, chains: BTreeMap::new() }
    }
}
