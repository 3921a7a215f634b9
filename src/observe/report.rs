//! What a producer sends up each epoch, and the rare things that counts cannot say.

use crate::base::ids::{ChannelId, InstanceId, MethodId, PermitId};
use crate::base::time::{Duration, Instant};
use crate::observe::category::Category;
use crate::observe::tally::Tally;

/// One producer's epoch.
#[derive(Debug)]
pub struct Report {
    /// The shard's index; the control thread's is the number of shards.
    pub producer: u16,
    /// Counts from 1 for each producer and never repeats, not even after the producer was started again.
    pub epoch: u64,
    /// Whatever ended before this moment is in this report or an earlier one.
    pub until: Instant,
    /// The producer ended: its permits come back.
    pub is_last: bool,
    pub tally: Box<Tally>,
    pub load: Load,
}

/// How a producer is doing, for `/api/shards`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    pub client_connections: u32,
    pub attempts_in_flight: u32,
    pub upstream_connections: u32,
    /// The longest that the epoch's timer fired late: the loop was busy with something else.
    pub stall_max: Duration,
    /// Reports that found the queue full and were merged into the next one, since start.
    pub late_epochs: u64,
    /// Panics of tasks since start, and so are all below.
    pub panics: u64,
    pub calls: u64,
    pub replies: u64,
    pub refusals: u64,
    /// Calls over a client's limit.
    pub limited: u64,
    pub failovers: u64,
    pub truncated: u64,
    /// Client connections taken.
    pub connections: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// HTTP 429 or a quota error, with the provider's hint when to come back.
    Limited { channel: ChannelId, hint_ms: Option<u64> },
    /// A leased half-open trial was sent.
    TrialStarted { permit: PermitId, channel: ChannelId },
    /// It ended: well, badly, or with nothing that says so.
    TrialEnded { permit: PermitId, channel: ChannelId, ok: Option<bool> },
    /// A provider refused what it cannot do; `blocks` is the range or the depth that was asked for.
    Rejected { channel: ChannelId, method: MethodId, category: Category, blocks: Option<u64> },
    /// A range that a provider was thought to reject was served.
    Served { channel: ChannelId, blocks: u64 },
    /// A provider told its height (control).
    Head { instance: InstanceId, height: u64 },
    /// It has served the block of that height (control).
    HeadServed { instance: InstanceId, height: u64 },
    /// A probe of ours ended (control).
    Probed { channel: ChannelId, probe: Probe },
}

/// How a probe ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    Ok {
        latency: Duration,
    },
    Failed {
        category: Category,
    },
    /// It is on another chain than configured.
    WrongChain {
        got: u64,
    },
    Auth,
    Limited {
        hint_ms: Option<u64>,
    },
}

impl Event {
    pub fn is_about_a_permit(&self) -> bool {
        matches!(self, Event::TrialStarted { .. } | Event::TrialEnded { .. })
    }
}
