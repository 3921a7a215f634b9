//! One instance as a source of events: subscribed to over its WebSocket, or polled.

use super::News;
use super::polling;
use super::subscribing::{Incoming, subscribe};
use crate::base::ids::{ChannelId, InstanceId, Transport};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::config::topology::Topology;
use crate::runtime::world::World;
use crate::shard::{Bell, Shard, Word};
use crate::stream::event::{BlockHash, Head};
use crate::stream::key::Key;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mode {
    Subscribing,
    /// Its newest block is asked for now and then.
    Polling,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FeedId {
    pub mode: Mode,
    pub instance: InstanceId,
}

impl FeedId {
    pub fn channel(self) -> ChannelId {
        let transport = match self.mode {
            Mode::Subscribing => Transport::Ws,
            Mode::Polling => Transport::Http,
        };
        ChannelId::of(self.instance, transport)
    }

    /// Whether it hears of a key by itself; what it does not hear of is asked for.
    pub fn hears(self, key: &Key) -> bool {
        match key {
            Key::NewHeads => true,
            // They come from the block.
            Key::Logs(_) => false,
            Key::NewPendingTransactions { .. } | Key::Syncing => self.mode == Mode::Subscribing,
        }
    }
}

/// What a feed says.
#[derive(Clone, Debug)]
pub enum Said {
    Confirmed(Key),
    /// It does not offer it.
    Refused(Key),
    /// Not now: a limit, a fault, or no answer yet. It is asked again by and by.
    PutOff(Key),
    Head(Arc<Head>),
    /// An event of a forwarded key.
    Other(Key, Arc<[u8]>),
    /// It goes on telling the same.
    Stalled,
    /// Everything it had confirmed is gone.
    Lost,
}

/// What its task and its wishers share.
pub struct Feed {
    pub id: FeedId,
    wanted: RefCell<BTreeSet<Key>>,
    /// Clients wait for it.
    is_urgent: Cell<bool>,
    has_ended: Cell<bool>,
    /// Not asked for before then, on whatever connection.
    rests: RefCell<BTreeMap<Key, Instant>>,
    /// The newest block that it announced or was found to have, on whatever connection.
    pub tip: Cell<Option<BlockHash>>,
    /// Rung when that changes.
    pub changed: Bell,
    /// From the instance's WebSocket.
    pub incoming: Incoming,
    pub news: Rc<News>,
}

impl Feed {
    /// Begins; it ends when nothing is wanted of it.
    pub fn start<W: World>(shard: &Rc<Shard<W>>, id: FeedId, news: Rc<News>, keys: BTreeSet<Key>, is_urgent: bool) -> Rc<Feed> {
        let feed = Rc::new(Feed {
            id,
            wanted: RefCell::new(keys),
            is_urgent: Cell::new(is_urgent),
            has_ended: Cell::new(false),
            rests: RefCell::default(),
            tip: Cell::new(None),
            changed: Bell::default(),
            incoming: Incoming::default(),
            news,
        });
        match id.mode {
            Mode::Polling => shard.world().spawn("polling", polling::poll(shard.clone(), feed.clone())),
            Mode::Subscribing => shard.world().spawn("subscribing", subscribe(shard.clone(), feed.clone())),
        }
        feed
    }

    pub fn want(&self, keys: BTreeSet<Key>, is_urgent: bool) {
        *self.wanted.borrow_mut() = keys;
        self.is_urgent.set(is_urgent);
        self.changed.ring();
    }

    /// What the provider wished of the feed before this one still holds, and what it had.
    pub fn take_over(&self, before: &Feed) {
        *self.rests.borrow_mut() = before.rests.take();
        self.tip.set(before.tip.get());
    }

    /// The provider wishes not to be asked for it for so long.
    pub fn rest(&self, key: Key, wait_ms: u64, now: Instant) {
        let mut rests = self.rests.borrow_mut();
        rests.retain(|_, until| *until > now);
        rests.insert(key, now.plus_ms(wait_ms));
    }

    pub fn rests(&self, key: &Key, now: Instant) -> bool {
        self.rests.borrow().get(key).is_some_and(|until| *until > now)
    }

    /// After so long without a new head it is stale: the shortest time of the chains that share the instance.
    pub fn silence(&self, topology: &Topology) -> Duration {
        let mine = topology.entries.iter().filter(|(_, entry)| entry.instance == self.id.instance);
        let timeouts = mine.filter_map(|(id, _)| topology.of_entry(id)).map(|(_, chain, _)| chain.new_heads_timeout_ms);
        Duration::from_millis(timeouts.min().unwrap_or(limits::HEAD_FRESH_MS))
    }

    /// Its task is over; another one may begin.
    pub fn end(&self) {
        self.has_ended.set(true);
    }

    pub fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    pub fn is_wanted(&self) -> bool {
        !self.wanted.borrow().is_empty()
    }

    pub fn is_urgent(&self) -> bool {
        self.is_urgent.get()
    }

    pub fn wanted(&self) -> BTreeSet<Key> {
        self.wanted.borrow().clone()
    }

    pub fn hear(&self, word: Word) {
        self.incoming.hear(word);
        self.changed.ring();
    }

    pub fn say(&self, said: Said) {
        self.news.say(self.id, said);
    }
}
