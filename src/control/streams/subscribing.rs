//! A feed over the instance's WebSocket: one connection that carries every subscription, made again when it ends.
//!
//! Each key is subscribed to once. Its events are known by the provider's id for it; events that overtake their own
//! confirmation wait for it. Of others that nobody asked for the provider is told so: it may hold a subscription that it
//! said it would not make, and each time it is asked again it would hold one more. Where it goes on it is told once more, and
//! then the connection ends. A newHeads subscription that is silent for longer
//! than the chain's `new_heads_timeout_ms` ends the connection: half-open sockets and stalled nodes look like that. So does a chain that
//! stands still (a development node without transactions), whose connection is worth keeping: it carries pending transactions. So shortly
//! before, the newest block is asked for on that connection; where it is the one that was heard of last, the subscription is said to be
//! stalled, and whether another provider is ahead the followers find out, as with a polled one.
//! Rejected: subscribing again on the same connection (what stalled it once will stall it again).

use super::asking::{Answered, NoSubscription, decline, newest_of, subscribe_to, unsubscribe};
use super::feed::{Feed, Said};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::health::ending::{Ending, How};
use crate::observe::report::{Event, Streaming};
use crate::runtime::world::World;
use crate::shard::{Link, Shard, Word};
use crate::stream::event::{BlockHash, Head};
use crate::stream::key::Key;
use futures_util::future::select;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

/// What the link's tasks bring, until the feed's own task looks.
#[derive(Default)]
pub struct Incoming {
    words: RefCell<VecDeque<Word>>,
    answered: RefCell<VecDeque<Answered>>,
    newest: Cell<Option<BlockHash>>,
}

impl Incoming {
    fn clear(&self) {
        self.words.borrow_mut().clear();
        self.answered.borrow_mut().clear();
        self.newest.set(None);
    }

    pub fn hear(&self, word: Word) {
        self.words.borrow_mut().push_back(word);
    }

    pub fn answer(&self, answered: Answered) {
        self.answered.borrow_mut().push_back(answered);
    }

    pub fn found(&self, newest: Option<BlockHash>) {
        self.newest.set(newest);
    }
}

/// Keeps its subscriptions for as long as anything is wanted of it. The connection is the control thread's one to the
/// instance, which probes use too.
pub async fn subscribe<W: World>(shard: Rc<Shard<W>>, feed: Rc<Feed>) {
    let instance = feed.id.instance;
    let silence = feed.silence(&shard.latest().topology);
    if !feed.is_urgent() {
        // Not every feed of every node at the same moment.
        let jitter_ms = shard.world().rng().below(limits::LINK_START_JITTER_MS);
        rest(&shard, &feed, shard.world().now().plus_ms(jitter_ms)).await;
    }
    while feed.is_wanted() && !shard.node().draining.is_raised() {
        feed.incoming.clear();
        let now = shard.world().now();
        let retry_at = shard.links().retry_at(instance, feed.is_urgent());
        if now >= retry_at
            && let Ok(link) = shard.links().want(&shard, instance, now).await
        {
            say(&shard, &feed, Streaming::Connected);
            Carried::new(link, shard.world().now()).carry(&shard, &feed, silence).await;
        }
        feed.say(Said::Lost);
        let retry_at = shard.links().retry_at(instance, feed.is_urgent());
        rest(&shard, &feed, retry_at).await;
    }
    feed.end();
}

/// Until then; not so long when clients begin to wait, or nobody wants it any more.
async fn rest<W: World>(shard: &Shard<W>, feed: &Feed, until: Instant) {
    let was_urgent = feed.is_urgent();
    while feed.is_wanted() && feed.is_urgent() == was_urgent && shard.world().now() < until {
        select(pin!(shard.world().sleep_until(until)), pin!(feed.changed.heard())).await;
    }
}

fn say<W: World>(shard: &Shard<W>, feed: &Feed, what: Streaming) {
    shard.tell(Event::Streaming { channel: feed.id.channel(), what });
}

/// A subscription that nobody asked for, which its provider was told so often.
#[derive(Clone, Copy)]
struct Declined {
    times: usize,
    /// Whether that was heeded is known by then.
    again: Instant,
}

/// What one connection carries.
struct Carried<W: World> {
    link: Rc<Link<W>>,
    asked: BTreeSet<Key>,
    live: BTreeMap<Key, Box<[u8]>>,
    by_id: BTreeMap<Box<[u8]>, Key>,
    /// Refused, put off, or not taken by the connection: not asked for again before then.
    refused: BTreeMap<Key, Instant>,
    /// Events of ids that are not known yet.
    early: VecDeque<(Box<[u8]>, Vec<u8>)>,
    /// Ids that were ended, whose last events may still come.
    ended: BTreeSet<Box<[u8]>>,
    /// Ids that nobody knows.
    declined: BTreeMap<Box<[u8]>, Declined>,
    last_head: Instant,
    /// Which silence the newest block was asked for in: the one that began then.
    doubted: Option<Instant>,
}

impl<W: World> Carried<W> {
    fn new(link: Rc<Link<W>>, now: Instant) -> Carried<W> {
        Carried {
            link,
            asked: BTreeSet::new(),
            live: BTreeMap::new(),
            by_id: BTreeMap::new(),
            refused: BTreeMap::new(),
            early: VecDeque::new(),
            ended: BTreeSet::new(),
            declined: BTreeMap::new(),
            last_head: now,
            doubted: None,
        }
    }

    /// Serves the feed until the connection ends or nobody wants it.
    async fn carry(mut self, shard: &Rc<Shard<W>>, feed: &Rc<Feed>, silence: Duration) {
        loop {
            let now = shard.world().now();
            if let Some(ending) = self.take_in(shard, feed, now) {
                return say(shard, feed, Streaming::Ended { code: ending.code() });
            }
            let wanted = feed.wanted();
            self.adjust(shard, feed, &wanted, now);
            if shard.node().draining.is_raised() {
                self.link.close();
            } else if wanted.is_empty() {
                // What is being asked for must be known to be ended.
                if self.asked.is_empty() {
                    return;
                }
            } else if self.live.contains_key(&Key::NewHeads) {
                self.hear_silence(shard, feed, silence, now);
            }
            let again = shard.world().sleep_until(now.plus_ms(limits::IDLE_SWEEP_MS));
            if feed.incoming.words.borrow().is_empty() {
                select(pin!(again), pin!(feed.changed.heard())).await;
            }
        }
    }

    /// After too much of it the connection ends, unless the chain is found to stand still.
    fn hear_silence(&mut self, shard: &Rc<Shard<W>>, feed: &Rc<Feed>, silence: Duration, now: Instant) {
        let quiet = now.since(self.last_head);
        let doubt = Duration::from_millis(limits::SILENCE_DOUBT_MS).min(silence / 2);
        if quiet >= silence {
            say(shard, feed, Streaming::Silent);
            self.link.close();
        } else if quiet >= silence - doubt && self.doubted != Some(self.last_head) {
            self.doubted = Some(self.last_head);
            shard.world().spawn("newest", newest_of(self.link.clone(), feed.clone(), self.last_head + silence));
        }
    }

    /// The newest block of a silent subscription. One that was not heard of is remembered: it may have come before this connection.
    fn on_newest(&mut self, feed: &Feed, newest: BlockHash, now: Instant) {
        if self.doubted == Some(self.last_head) && feed.tip.replace(Some(newest)) == Some(newest) {
            self.last_head = now;
            feed.say(Said::Stalled);
        }
    }

    /// What has come; the end, if that was it.
    fn take_in(&mut self, shard: &Shard<W>, feed: &Feed, now: Instant) -> Option<Ending> {
        while let Some((key, answer)) = { feed.incoming.answered.borrow_mut().pop_front() } {
            self.on_answered(feed, key, answer, now);
        }
        while let Some(word) = { feed.incoming.words.borrow_mut().pop_front() } {
            match word {
                Word::Event { subscription, result, message } => {
                    let event = message.get(result).unwrap_or(&[]);
                    match self.by_id.get(&subscription).cloned() {
                        Some(key) => self.on_event(feed, &key, event, now),
                        None if self.asked.is_empty() => self.decline(shard, subscription, now),
                        None => self.keep_early(subscription, event),
                    }
                }
                Word::Ended(ending) => return Some(ending),
            }
        }
        if let Some(newest) = feed.incoming.newest.take() {
            self.on_newest(feed, newest, now);
        }
        None
    }

    fn keep_early(&mut self, id: Box<[u8]>, event: &[u8]) {
        if event.len() > limits::HEAD_EVENT_BYTES {
            return;
        }
        self.early.push_back((id, event.to_vec()));
        if self.early.len() > limits::FEED_EARLY_EVENTS {
            self.early.pop_front();
        }
    }

    fn decline(&mut self, shard: &Shard<W>, id: Box<[u8]>, now: Instant) {
        let is_full = self.declined.len() >= limits::FEED_DECLINED && !self.declined.contains_key(&id);
        if is_full || self.ended.contains(&id) {
            return;
        }
        let declined = self.declined.entry(id.clone()).or_insert(Declined { times: 0, again: now });
        if now < declined.again {
            return;
        }
        if declined.times >= limits::UNSUBSCRIBE_TRIES {
            return self.link.close();
        }
        *declined = Declined { times: declined.times + 1, again: now.plus_ms(limits::UNSUBSCRIBE_MS) };
        shard.world().spawn("decline", decline(self.link.clone(), shard.world().clone(), id));
    }

    fn on_answered(&mut self, feed: &Feed, key: Key, answer: Result<Box<[u8]>, NoSubscription>, now: Instant) {
        if !matches!(answer, Err(NoSubscription::Late)) {
            self.asked.remove(&key);
        }
        match answer {
            // Two subscriptions under one id: neither's events can be told.
            Ok(id) if self.by_id.contains_key(&id) => self.link.give_up(How::Broken),
            Ok(id) => {
                self.last_head = if key == Key::NewHeads { now } else { self.last_head };
                self.by_id.insert(id.clone(), key.clone());
                self.live.insert(key.clone(), id.clone());
                self.link.set_owed(self.live.len());
                feed.say(Said::Confirmed(key.clone()));
                let (mine, others) = std::mem::take(&mut self.early).into_iter().partition::<VecDeque<_>, _>(|(of, _)| *of == id);
                self.early = others;
                mine.iter().for_each(|(_, event)| self.on_event(feed, &key, event, now));
            }
            Err(NoSubscription::Refused) => {
                self.refused.insert(key.clone(), now.plus_ms(limits::SHUN_MAX_MS));
                feed.say(Said::Refused(key));
            }
            Err(NoSubscription::PutOff { hint_ms }) => {
                match hint_ms {
                    Some(ms) => feed.rest(key.clone(), ms.clamp(limits::SHUN_MS, limits::COOLDOWN_MAX_MS), now),
                    None => _ = self.refused.insert(key.clone(), now.plus_ms(limits::SHUN_MS)),
                }
                feed.say(Said::PutOff(key));
            }
            Err(NoSubscription::Late) => feed.say(Said::PutOff(key)),
            Err(NoSubscription::Never) => self.link.give_up(How::Silent),
            Err(NoSubscription::Unclear) => self.link.give_up(How::Broken),
            Err(NoSubscription::Lost) => {
                self.refused.insert(key, now.plus_ms(limits::SHUN_MS));
            }
        }
        if self.asked.is_empty() {
            self.early.clear();
        }
    }

    fn on_event(&mut self, feed: &Feed, key: &Key, event: &[u8], now: Instant) {
        let said = match key {
            Key::NewHeads => {
                let Some(head) = Head::announced(event) else { return };
                self.last_head = now;
                feed.tip.set(Some(head.hash));
                Said::Head(Arc::new(head))
            }
            Key::NewPendingTransactions { .. } | Key::Syncing => Said::Other(key.clone(), event.into()),
            // Nobody subscribes to them upstream.
            Key::Logs(_) => return,
        };
        feed.say(said);
    }

    /// Subscribes to what is wanted, and ends what is not.
    fn adjust(&mut self, shard: &Rc<Shard<W>>, feed: &Rc<Feed>, wanted: &BTreeSet<Key>, now: Instant) {
        self.refused.retain(|key, until| *until > now && wanted.contains(key));
        for key in wanted {
            let may_ask = !self.live.contains_key(key) && !self.refused.contains_key(key) && !feed.rests(key, now);
            if may_ask && self.asked.insert(key.clone()) {
                let work = subscribe_to(self.link.clone(), shard.clone(), key.clone(), feed.clone());
                shard.world().spawn("subscribe", work);
            }
        }
        let unwanted: Vec<Key> = self.live.keys().filter(|key| !wanted.contains(key)).cloned().collect();
        for key in unwanted {
            let Some(id) = self.live.remove(&key) else { continue };
            self.by_id.remove(&id);
            if self.ended.len() >= limits::FEED_EARLY_EVENTS {
                self.ended.clear();
            }
            self.ended.insert(id.clone());
            self.link.set_owed(self.live.len());
            shard.world().spawn("unsubscribe", unsubscribe(self.link.clone(), shard.world().clone(), id));
        }
    }
}
