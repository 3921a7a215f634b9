//! One instance as a source of events: subscribed to over its WebSocket, or polled.

use super::News;
use super::polling;
use super::subscribing::{Incoming, subscribe};
use crate::base::ids::{ChannelId, InstanceId, Transport};
use crate::runtime::world::World;
use crate::shard::{Bell, Shard, Word};
use crate::stream::event::Head;
use crate::stream::key::Key;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
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
    Refused(Key),
    Head(Arc<Head>),
    /// An event of a forwarded key.
    Other(Key, Arc<[u8]>),
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
