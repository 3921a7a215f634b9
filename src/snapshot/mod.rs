//! The one immutable value that every selector reads: the topology, and what follows from it and from health for choosing.
//!
//! Whatever a call would otherwise compute per provider is a bit here. What is chosen is a channel, one transport of one
//! provider; sets of them are `u128` masks, an order is a short list of masks, best first. A selection is then a few ANDs. The snapshot is replaced whole, never edited, so a
//! call sees one consistent world from start to end. What comes from the configuration (`fixed`) is built once and shared
//! by all snapshots; what comes from health (`plan`, `ranking`) is built by the aggregator, and parts that have not
//! changed are shared too.

mod fixed;
mod plan;
mod ranking;
#[cfg(test)]
pub mod test_plan;

pub use fixed::{Bounds, Fixed, Rule};
pub use plan::{ChainPlan, Gates, Height, LearntLimits};
pub use ranking::{Grant, Ranking};

use crate::base::ids::{ChainId, ChannelId, EntryId, IdVec, PermitId, ProfileId, SlotId, Transport};
use crate::base::time::Instant;
use crate::config::topology::{Chain, Instance, Provider, Strategy, Topology};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub topology: Arc<Topology>,
    /// Same ids as `topology.profiles` and their chains.
    pub plans: IdVec<ProfileId, IdVec<ChainId, Arc<ChainPlan>>>,
    /// For each producer, the last of its epochs that this snapshot knows.
    pub merged_epochs: Vec<u64>,
    /// Trials of half-open channels that are the control thread's to make.
    pub trials: Vec<Trial>,
    /// Channels whose next probe should not wait for its turn: calls have nobody else, or they are suspected of something.
    pub urgent: Vec<ChannelId>,
}

/// A half-open channel's permit, leased to the control thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trial {
    pub channel: ChannelId,
    pub permit: PermitId,
    pub start_by: Instant,
}

impl Snapshot {
    /// The state before anything was seen: every circuit closed, nothing known. `region` is the node's.
    pub fn new(topology: Topology, default_strategy: Strategy, region: &str, producers: usize) -> Snapshot {
        let topology = Arc::new(topology);
        let of_chain = |chain: &Chain| Arc::new(ChainPlan::new(Arc::new(Fixed::new(&topology, chain, default_strategy, region))));
        let plans = topology.profiles.values().map(|p| p.chains.values().map(of_chain).collect()).collect();
        Snapshot { plans, merged_epochs: vec![0; producers], trials: Vec::new(), urgent: Vec::new(), topology: topology.clone() }
    }

    pub fn plan(&self, profile: ProfileId, chain: ChainId) -> &ChainPlan {
        &self.plans[profile][chain]
    }

    /// The circuit of an entry's channel is half-open.
    pub fn is_half_open(&self, entry: EntryId, transport: Transport) -> bool {
        self.is_in(entry, transport, |gates| gates.half_open)
    }

    /// The circuit of an entry's channel is not closed.
    pub fn is_open(&self, entry: EntryId, transport: Transport) -> bool {
        self.is_in(entry, transport, |gates| gates.open | gates.half_open)
    }

    /// An entry is reached over `transport` at all.
    pub fn has_channel(&self, entry: EntryId, transport: Transport) -> bool {
        self.is_in(entry, transport, |_| Set::MAX)
    }

    /// Our credentials were refused by an entry's channel, and nothing has come of it since.
    pub fn is_misconfigured(&self, entry: EntryId, transport: Transport) -> bool {
        self.is_in(entry, transport, |gates| gates.misconfigured)
    }

    /// An entry's channel was last seen on another chain than configured.
    pub fn is_on_wrong_chain(&self, entry: EntryId, transport: Transport) -> bool {
        self.is_in(entry, transport, |gates| gates.wrong_chain)
    }

    /// An entry's channel is asked after the others for what it serves: it lags, or follows another fork or chain.
    pub fn is_behind(&self, entry: EntryId, transport: Transport) -> bool {
        self.is_in(entry, transport, |gates| gates.lagging | gates.forked | gates.wrong_chain)
    }

    fn is_in(&self, entry: EntryId, transport: Transport, of: impl Fn(&Gates) -> Set) -> bool {
        self.topology.entries.get(entry).is_some_and(|e| {
            let plan = self.plan(e.profile, e.chain);
            let own = plan.fixed.of_provider(e.provider) & plan.fixed.over(Some(transport));
            of(&plan.gates) & own != 0
        })
    }

    /// Nothing speaks against a question of our own: its circuit is closed, and it does not rest after a refusal.
    pub fn may_be_asked(&self, entry: EntryId, transport: Transport) -> bool {
        let is_not = |gates: &Gates| gates.open | gates.half_open | gates.limited | gates.misconfigured | gates.wrong_chain;
        !self.is_in(entry, transport, is_not)
    }

    /// How high the provider of one of an entry's channels is.
    pub fn height_of(&self, entry: EntryId, channel: ChannelId) -> Option<Height> {
        let place = self.topology.entries.get(entry)?;
        let plan = self.plan(place.profile, place.chain);
        let (slot, _) = plan.fixed.channels.iter().find(|(_, of)| **of == channel)?;
        plan.heights.get(slot).copied()
    }

    /// The height of an entry's chain.
    pub fn consensus_of(&self, entry: EntryId) -> Option<u64> {
        self.topology.entries.get(entry).and_then(|e| self.plan(e.profile, e.chain).consensus)
    }

    pub fn chain(&self, profile: ProfileId, chain: ChainId) -> &Chain {
        &self.topology.profiles[profile].chains[chain]
    }

    pub fn instance_of(&self, provider: &Provider) -> &Arc<Instance> {
        &self.topology.instances[provider.instance]
    }
}

/// Channels of one (profile, chain): bit i stands for slot i.
pub type Set = u128;

/// The set of one channel.
#[inline]
pub fn bit(slot: SlotId) -> Set {
    1 << (u32::from(slot.0) & 127)
}

/// The members of a set, lowest first.
#[inline]
pub fn members(set: Set) -> impl Iterator<Item = SlotId> {
    // By words: few chains have more than 64 channels, and a word's arithmetic is one instruction each.
    let (mut low, mut high) = (set as u64, (set >> 64) as u64);
    std::iter::from_fn(move || {
        let (word, first) = if low != 0 { (&mut low, 0) } else { (&mut high, 64) };
        let lowest = word.trailing_zeros();
        *word &= word.wrapping_sub(1);
        (lowest < 64).then_some(SlotId(lowest as u8 + first))
    })
}
