//! What a producer sends up each epoch, and the rare things that counts cannot say.

use crate::base::ids::{ChannelId, InstanceId, PermitId};
use crate::base::time::{Duration, Instant};
use crate::chain::method_key::MethodKey;
use crate::observe::category::Category;
use crate::observe::shortage::Shortages;
use crate::observe::tally::Tally;
use crate::observe::unreached::Unreached;

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
    /// Messages on providers' WebSockets that answered nothing.
    pub strays: u64,
    /// WebSockets to providers, now.
    pub links: u32,
    /// Client connections taken.
    pub connections: u64,
    /// WebSocket clients, what they subscribed to, and how many different things that is.
    pub sockets: u32,
    pub subscriptions: u32,
    pub topics: u32,
    /// Subscription events queued for clients.
    pub events: u64,
    /// Clients closed for not taking theirs.
    pub slow_consumers: u64,
    /// What this node or its machine lacked, and how often.
    pub shortages: Shortages,
    /// The control thread's.
    pub streams: StreamLoad,
}

/// What subscriptions cost and did upstream; all but the first three since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StreamLoad {
    /// Routes of clients that follow a provider.
    pub followers: u32,
    /// Instances that are subscribed to or polled.
    pub feeds: u32,
    pub upstream_subscriptions: u32,
    /// Events before they were fanned out.
    pub events: u64,
    /// Announcements that said nothing new.
    pub duplicates: u64,
    /// Leaders that were lost, and changes from one to another.
    pub losses: u64,
    pub switches: u64,
    /// Blocks, and logs of blocks, that had to be asked for.
    pub filled: u64,
    /// Streams that could not be kept whole.
    pub closed: u64,
}

/// What happened between the node and one provider's subscriptions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Streaming {
    Connected,
    /// Its connection is gone, with this close code.
    Ended {
        code: u16,
    },
    /// It announced nothing for too long.
    Silent,
    /// It leads a stream from now on.
    Leads,
    /// A stream that it led has nobody.
    Lost,
    /// A stream ended for this reason.
    Closed {
        reason: &'static str,
    },
}

/// How one provider's feed stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FeedState {
    pub is_connected: bool,
    pub subscriptions: u32,
    pub heads: u64,
    /// Behind the first provider to announce the same block, on average.
    pub delay_us: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// HTTP 429 or a quota error, with the provider's hint when to come back.
    Limited {
        channel: ChannelId,
        hint_ms: Option<u64>,
    },
    /// No connection to it could be made; told when the reason changes, and now and then.
    Unreached {
        channel: ChannelId,
        why: Unreached,
    },
    /// A leased half-open trial was sent.
    TrialStarted {
        permit: PermitId,
        channel: ChannelId,
    },
    TrialEnded {
        permit: PermitId,
        channel: ChannelId,
        end: TrialEnd,
    },
    /// A call that had nobody else was sent to a channel whose circuit is not closed: answered, or not even connected.
    InTheDark {
        channel: ChannelId,
        ok: bool,
    },
    /// A provider refused what it cannot do; `blocks` is the range or the depth that was asked for. `method`: unless its name
    /// is too long to be remembered.
    Rejected {
        channel: ChannelId,
        method: Option<MethodKey>,
        category: Category,
        blocks: Option<u64>,
    },
    /// A range that a provider was thought to reject was served.
    Served {
        channel: ChannelId,
        blocks: u64,
    },
    /// A provider told its height (control).
    Head {
        instance: InstanceId,
        height: u64,
    },
    /// It is far above two others, and has another block than both of them at a height of theirs (control).
    HeadForked {
        instance: InstanceId,
        /// Where they differ.
        height: u64,
    },
    /// It has served the block of that height (control).
    HeadServed {
        instance: InstanceId,
        height: u64,
        /// At a lower height it has the block that another provider has there.
        is_shared: bool,
    },
    /// Something about its subscriptions (control).
    Streaming {
        channel: ChannelId,
        what: Streaming,
    },
    /// Its feed's figures, when they have changed (control).
    Feed {
        channel: ChannelId,
        state: FeedState,
    },
    /// A probe of ours ended (control).
    Probed {
        channel: ChannelId,
        probe: Probe,
    },
}

/// How a trial ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrialEnd {
    Good,
    Bad,
    /// It says nothing of the channel; `hint_ms`: when the provider wants to be asked again.
    Unclear {
        hint_ms: Option<u64>,
    },
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
