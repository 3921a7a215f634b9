//! Who hears one topic of a follower: which shards want it, which still wait for the word that it is open.

use crate::base::limits;
use crate::base::time::Instant;
use crate::stream::event::BlockHash;
use crate::stream::fanout::{Letter, LogTurn, StreamId, Ticket, Topic};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Act;

pub struct Audience {
    pub topic: Arc<Topic>,
    pub stream: StreamId,
    /// Shards that were told that it is open.
    open: BTreeSet<u16>,
    /// Shards that wait to be, and until when.
    waiting: BTreeMap<u16, (Ticket, Instant)>,
    /// Nobody wants it: it is kept until then.
    idle_until: Option<Instant>,
}

impl Audience {
    pub fn new(topic: Arc<Topic>, stream: StreamId) -> Audience {
        Audience { topic, stream, open: BTreeSet::new(), waiting: BTreeMap::new(), idle_until: None }
    }

    pub fn on_open(&mut self, shard: u16, ticket: Ticket, now: Instant) {
        self.idle_until = None;
        self.open.remove(&shard);
        self.waiting.insert(shard, (ticket, now.plus_ms(limits::SUBSCRIBE_MS)));
    }

    pub fn on_close(&mut self, shard: u16, now: Instant) {
        self.open.remove(&shard);
        self.waiting.remove(&shard);
        if self.open.is_empty() && self.waiting.is_empty() {
            self.idle_until.get_or_insert(now.plus_ms(limits::TOPIC_LINGER_MS));
        }
    }

    pub fn is_idle(&self) -> bool {
        self.idle_until.is_some()
    }

    /// Others need its place.
    pub fn drop_idle(&mut self, now: Instant) {
        self.idle_until = self.idle_until.map(|until| until.min(now));
    }

    /// Nobody has wanted it for long, or nobody was ever told of it.
    pub fn is_over(&self, now: Instant) -> bool {
        self.idle_until.is_some_and(|until| now >= until)
    }

    /// Whether a shard was told that it is open.
    pub fn is_open(&self, shard: u16) -> bool {
        self.open.contains(&shard)
    }

    /// It is confirmed: whoever waits is told, and what the newest block is.
    pub fn open(&mut self, newest: Option<BlockHash>, acts: &mut Vec<Act>) {
        for (shard, (ticket, _)) in std::mem::take(&mut self.waiting) {
            self.open.insert(shard);
            let letter = Letter::Opened { topic: self.topic.clone(), ticket, stream: self.stream, newest };
            acts.push(Act::Post(usize::from(shard), letter));
        }
    }

    /// Whoever has waited too long is told so.
    pub fn refuse_late(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let late: Vec<u16> = self.waiting.iter().filter(|(_, (_, until))| *until <= now).map(|(shard, _)| *shard).collect();
        for shard in late {
            self.refuse(shard, "no provider confirmed it in time", acts);
            self.on_close(shard, now);
        }
    }

    fn refuse(&mut self, shard: u16, reason: &str, acts: &mut Vec<Act>) {
        if let Some((ticket, _)) = self.waiting.remove(&shard) {
            let letter = Letter::Refused { topic: self.topic.clone(), ticket, reason: reason.into() };
            acts.push(Act::Post(usize::from(shard), letter));
        }
    }

    /// `whole`: the newest block of which everything was told with this event.
    pub fn emit(&self, payload: &Arc<[u8]>, whole: Option<BlockHash>, log: Option<LogTurn>, acts: &mut Vec<Act>) {
        let letter = || Letter::Event { stream: self.stream, payload: payload.clone(), whole, log };
        acts.extend(self.open.iter().map(|shard| Act::Post(usize::from(*shard), letter())));
    }

    /// The end: nobody is left in it.
    pub fn end(&mut self, reason: &str, acts: &mut Vec<Act>) {
        let reason: Arc<str> = reason.into();
        for shard in std::mem::take(&mut self.open) {
            acts.push(Act::Post(usize::from(shard), Letter::Ended { stream: self.stream, reason: reason.clone() }));
        }
        let waiting: Vec<u16> = self.waiting.keys().copied().collect();
        waiting.into_iter().for_each(|shard| self.refuse(shard, &reason, acts));
    }

    pub fn wake_at(&self) -> Instant {
        let late = self.waiting.values().map(|(_, until)| *until);
        late.chain(self.idle_until).min().unwrap_or(Instant::NEVER)
    }
}
