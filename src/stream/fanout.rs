//! What shards and the control thread write to each other about subscriptions.
//!
//! A shard knows its clients, the control thread knows the providers; between them a topic stands for everyone who
//! subscribed to the same thing on the same route. A shard opens a topic for its first client and closes it after its
//! last, so an event crosses to a shard once, whatever the number of its clients. Both ways keep their order, and a shard
//! is told that a topic is open before its first event.
//! Rejected: naming clients here (the control thread would hold a row for each of a million).

use super::event::BlockHash;
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

/// A shard's own number for one opening of a topic, or one resumption: an answer to an older one is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
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
    /// One subscription to a topic that is open or opening goes on from a block that it was told in an earlier life.
    Resume {
        shard: u16,
        topic: Arc<Topic>,
        ticket: Ticket,
        block: BlockHash,
    },
    /// One that has resumed, or was about to, is gone.
    Leave {
        shard: u16,
        topic: Arc<Topic>,
        ticket: Ticket,
    },
    /// A mailbox that was full has room again.
    More,
}

/// A log that is told or taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogTurn {
    /// Its block became canonical as the so-many-eth: whoever was first told something later never heard of it.
    pub place: u64,
    pub is_removed: bool,
}

/// Since which block one of a stream's subscriptions hears of it: those that share a filter joined at different times, and what
/// was never told is not taken back.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct FirstTold(Option<u64>);

impl FirstTold {
    /// Whoever resumes was told of earlier blocks in an earlier life.
    pub const EARLIER: FirstTold = FirstTold(Some(0));

    /// Whoever joins hears nothing more of the block of the newest log that was told to others: the rest of a block is worth
    /// nothing, and taking it back could not be told from taking back the whole.
    pub fn after(newest: Option<u64>) -> FirstTold {
        FirstTold(newest.map(|place| place + 1))
    }

    /// Whether a log is for it too.
    pub fn concerns(&mut self, log: LogTurn) -> bool {
        match log.is_removed {
            true => self.0.is_some_and(|first| first <= log.place),
            false => *self.0.get_or_insert(log.place) <= log.place,
        }
    }
}

/// What becomes of subscriptions that resume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResumeStep {
    /// Nothing is missing: their requests are answered.
    Begin,
    /// The value of `result`, for them alone.
    Event(Arc<[u8]>),
    /// From here on they hear what everybody hears.
    Join,
    /// Their requests are refused with this reason.
    Refuse(Arc<str>),
    /// Their connections are closed with this reason.
    End(Arc<str>),
}

/// From the control thread to a shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Letter {
    /// An upstream has confirmed it; its events follow. `newest`: the block before the first of them.
    Opened { topic: Arc<Topic>, ticket: Ticket, stream: StreamId, newest: Option<BlockHash> },
    /// None did.
    Refused { topic: Arc<Topic>, ticket: Ticket, reason: Arc<str> },
    /// The value of `result`. `whole`: the newest block of which everything was told with it.
    Event { stream: StreamId, payload: Arc<[u8]>, whole: Option<BlockHash>, log: Option<LogTurn> },
    /// To subscriptions that resume, or have.
    Resume { tickets: Arc<[Ticket]>, step: ResumeStep },
    /// A feed announced this head, or none did and it was fetched; comes before its event.
    Seen { chain_number: u64, channel: Option<ChannelId>, head: SeenHead },
    /// Its subscribers' connections are closed with this reason.
    Ended { stream: StreamId, reason: Arc<str> },
    /// Letters to this shard were lost: nobody's subscription can go on.
    Cut,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_told_is_taken_back() {
        let told = |place| LogTurn { place, is_removed: false };
        let removed = |place| LogTurn { place, is_removed: true };
        let check = |mut first: FirstTold, turns: &[LogTurn], want: &[bool]| {
            let got: Vec<bool> = turns.iter().map(|turn| first.concerns(*turn)).collect();
            assert_eq!(got, want, "{turns:?}");
        };
        check(FirstTold::default(), &[removed(7), told(8), removed(8), removed(7), told(9)], &[false, true, true, false, true]);
        check(FirstTold::default(), &[told(8), told(9), removed(9), removed(8)], &[true; 4]);
        check(FirstTold::after(Some(7)), &[told(7), removed(7), told(8), removed(8)], &[false, false, true, true]);
        check(FirstTold::after(None), &[removed(6), told(7), removed(7)], &[false, true, true]);
        check(FirstTold::EARLIER, &[removed(7), told(8), removed(6)], &[true; 3]);
    }
}
