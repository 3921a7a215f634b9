//! What shards and the control thread write to each other about subscriptions.
//!
//! A shard knows its clients, the control thread knows the providers; between them a topic stands for everyone who
//! subscribed to the same thing on the same route. A shard opens a topic for its first client and closes it after its
//! last, so an event crosses to a shard once, whatever the number of its clients. Both ways keep their order, and a shard
//! is told that a topic is open before its first event.
//! Rejected: naming clients here (the control thread would hold a row for each of a million).

use super::key::Key;
use crate::base::ids::{ChainId, ChannelId, ProfileId, ProviderId};
use crate::health::sightings::SeenHead;
use std::sync::Arc;

/// What is subscribed to, and on which route.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Topic {
    pub profile: ProfileId,
    pub chain: ChainId,
    pub pin: Option<ProviderId>,
    /// A pinned one may go on to the others.
    pub allow_failover: bool,
    pub key: Key,
}

/// One life of a topic; never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StreamId(pub u64);

/// A shard's own number for one opening of a topic: an answer to an older opening is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket(pub u64);

/// From a shard to the control thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// The shard has begun, perhaps again: nothing that was before is wanted any more.
    Began {
        shard: u16,
    },
    Open {
        shard: u16,
        topic: Arc<Topic>,
        ticket: Ticket,
    },
    Close {
        shard: u16,
        topic: Arc<Topic>,
    },
    /// A mailbox that was full has room again.
    More,
}

/// From the control thread to a shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Letter {
    /// An upstream has confirmed it; its events follow.
    Opened { topic: Arc<Topic>, ticket: Ticket, stream: StreamId },
    /// None did.
    Refused { topic: Arc<Topic>, ticket: Ticket, reason: Arc<str> },
    /// The value of `result`.
    Event { stream: StreamId, payload: Arc<[u8]> },
    /// A feed announced this head, or none did and it was fetched; comes before its event.
    Seen { chain_number: u64, channel: Option<ChannelId>, head: SeenHead },
    /// Its subscribers' connections are closed with this reason.
    Ended { stream: StreamId, reason: Arc<str> },
    /// Letters to this shard were lost: nobody's subscription can go on.
    Cut,
}
