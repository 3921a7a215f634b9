//! Who on this shard subscribed to what: from a stream's event to its clients' queues.
//!
//! A topic is opened with the control thread by its first client here and closed after its last; whoever comes between
//! joins here, without a word to anyone. A client is answered when the topic is open, and gets every event that comes
//! after: letters keep their order. How fast they are taken is `fan_out`'s. Rejected: a table by client (an event would have to look for its clients).

use crate::base::limits;
use crate::base::time::Instant;
use crate::runtime::holdings::Hold;
use crate::runtime::mailbox::Inbox;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::refusal::RpcRefusal;
use crate::shard::resumed::Resumed;
use crate::shard::socket::{Payload, Socket, SubscriptionId};
use crate::stream::event::BlockHash;
use crate::stream::fanout::{FirstTold, Letter, LogTurn, StreamId, Ticket, Topic, Wish};
use crate::stream::key::Key;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

/// How a request is answered.
pub struct Unanswered {
    pub client_id: Vec<u8>,
    /// With a notification of its metadata behind.
    pub wants_notice: bool,
}

/// A subscription that a client asks for.
pub struct Joining {
    pub id: SubscriptionId,
    pub request: Unanswered,
    /// The block from which it goes on.
    pub resume: Option<BlockHash>,
}

/// One client's subscription.
pub(super) struct Member<W: World> {
    pub socket: Rc<Socket<W>>,
    pub id: SubscriptionId,
    /// Its request, until that is answered.
    pub waiting: Option<Unanswered>,
    /// It goes on from an earlier life.
    pub resumed: Option<Resumed>,
    /// From which told block on its logs count as told.
    pub first: FirstTold,
    /// Its client's, of the topics that one may have.
    _share: Option<Hold<Arc<Topic>>>,
}

/// An event for everybody in a stream.
struct Delivery {
    payload: Arc<[u8]>,
    /// The newest block of which everything was told with it.
    whole: Option<BlockHash>,
    log: Option<LogTurn>,
}

impl<W: World> Member<W> {
    /// It was answered, and has been told what it missed.
    fn hears(&self) -> bool {
        self.waiting.is_none() && self.resumed.as_ref().is_none_or(Resumed::has_joined)
    }
}

pub(super) struct Local<W: World> {
    ticket: Ticket,
    stream: Option<StreamId>,
    /// The newest block of which everything was told.
    newest: Option<BlockHash>,
    /// The place of the newest log that was told.
    newest_log: Option<u64>,
    pub members: Slab<Member<W>>,
}

pub struct Subscribers<W: World> {
    pub(super) topics: RefCell<BTreeMap<Arc<Topic>, Local<W>>>,
    /// Those that go on from an earlier life.
    pub(super) resumed: RefCell<HashMap<Ticket, Place>>,
    by_stream: RefCell<BTreeMap<StreamId, Arc<Topic>>>,
    next_ticket: Cell<u64>,
    /// Of all topics.
    members: Cell<usize>,
    /// Wishes that found the control thread's box full.
    owed: RefCell<Vec<Wish>>,
}

impl<W: World> Default for Subscribers<W> {
    fn default() -> Self {
        Subscribers {
            topics: RefCell::default(),
            resumed: RefCell::default(),
            by_stream: RefCell::default(),
            next_ticket: Cell::new(1),
            members: Cell::new(0),
            owed: RefCell::default(),
        }
    }
}

pub(super) const BUSY: &str = "the node is busy with other subscriptions: try again";

/// Where a subscription stands in the shard's table.
#[derive(Clone)]
pub struct Place {
    pub topic: Arc<Topic>,
    pub index: usize,
}

/// Reads what the control thread writes, to the end of the shard.
pub async fn read_letters<W: World>(shard: Rc<Shard<W>>, mut inbox: Inbox<Letter>) {
    shard.wish(Wish::Began { shard: shard.producer() });
    let (mut taken, mut slice) = (0, Slice::default());
    loop {
        let letter = match inbox.try_receive() {
            Some(letter) => letter,
            None => {
                // What could not be posted need not wait for a timer. A box of wishes that is full wakes its reader as well.
                if std::mem::take(&mut taken) >= limits::LETTERS / 2 {
                    let _full = shard.node.wishes.post(0, Wish::More);
                }
                let Ok(letter) = inbox.receive().await else { return };
                letter
            }
        };
        if slice.ends_before(&letter) {
            shard.let_write().await;
        }
        let now = shard.now();
        slice.queued += shard.take_letter(letter, now);
        taken += 1;
        shard.sweep_if_overdue(now);
    }
}

/// What was put into queues since those who write them had their turn.
#[derive(Default)]
struct Slice {
    queued: usize,
    stream: Option<StreamId>,
}

impl Slice {
    /// A stream's events that follow each other are not parted where that can be helped: each of its clients would be woken
    /// twice, and get in two writes what fits into one.
    fn ends_before(&mut self, letter: &Letter) -> bool {
        let stream = if let Letter::Event { stream, .. } = letter { Some(*stream) } else { None };
        let is_run = stream.is_some() && stream == self.stream;
        self.stream = stream;
        let most = if is_run { 2 * limits::FAN_OUT_SLICE } else { limits::FAN_OUT_SLICE };
        let ends = self.queued >= most;
        if ends {
            self.queued = 0;
        }
        ends
    }
}

impl<W: World> Shard<W> {
    /// Subscribes `socket`; its request is answered when the topic is open.
    pub fn join(&self, socket: &Rc<Socket<W>>, topic: Topic, joining: Joining) -> Result<Place, RpcRefusal> {
        let Joining { id, request, resume } = joining;
        let mut topics = self.subscribers.topics.borrow_mut();
        let have = topics.get_key_value(&topic).map(|(have, _)| have.clone());
        let (is_new, topic) = (have.is_none(), have.unwrap_or_else(|| Arc::new(topic)));
        let share = self.share_of(socket, &topic)?;
        let topic = match is_new {
            false => topic,
            true => {
                let ticket = Ticket(self.subscribers.next_ticket.get());
                self.subscribers.next_ticket.set(ticket.0 + 1);
                if !self.wish(Wish::Open { shard: self.producer(), topic: topic.clone(), ticket }) {
                    return Err(RpcRefusal::no_subscription(BUSY));
                }
                topics
                    .insert(topic.clone(), Local { ticket, stream: None, newest: None, newest_log: None, members: Slab::new() });
                topic
            }
        };
        let Some(local) = topics.get_mut(&topic) else { return Err(RpcRefusal::no_subscription("it has just ended")) };
        let resumed = resume.map(|block| Resumed::new(Ticket(self.rng.borrow_mut().next()), block));
        let waiting = match local.stream.is_some() && resumed.is_none() {
            true => {
                socket.confirm(id, &request, local.newest);
                None
            }
            false => Some(request),
        };
        self.subscribers.members.set(self.subscribers.members.get() + 1);
        let first = if resumed.is_some() { FirstTold::EARLIER } else { FirstTold::after(local.newest_log) };
        let index = local.members.insert(Member { socket: socket.clone(), id, waiting, resumed, first, _share: share });
        drop(topics);
        let place = Place { topic, index };
        self.ask_to_resume(&place)?;
        Ok(place)
    }

    /// Heads always have room; of other topics one address may have so many, whatever its connections.
    fn share_of(&self, socket: &Socket<W>, topic: &Arc<Topic>) -> Result<Option<Hold<Arc<Topic>>>, RpcRefusal> {
        if topic.key == Key::NewHeads {
            return Ok(None);
        }
        let share = self.node.topics.take(socket.address(), topic, limits::CLIENT_TOPICS);
        share.map(Some).ok_or_else(RpcRefusal::too_many_topics)
    }

    /// Ends one subscription.
    pub fn part(&self, place: &Place) {
        let mut topics = self.subscribers.topics.borrow_mut();
        let Some(local) = topics.get_mut(&place.topic) else { return };
        if let Some(member) = local.members.try_remove(place.index) {
            self.count_less(1);
            self.forget_resumed(&member, &place.topic);
        }
        if local.members.is_empty() {
            self.forget_stream(local.stream);
            topics.remove(&place.topic);
            self.wish(Wish::Close { shard: self.producer(), topic: place.topic.clone() });
        }
    }

    fn count_less(&self, members: usize) {
        self.subscribers.members.set(self.subscribers.members.get().saturating_sub(members));
    }

    fn forget_stream(&self, stream: Option<StreamId>) {
        if let Some(stream) = stream {
            self.subscribers.by_stream.borrow_mut().remove(&stream);
        }
    }

    /// Whether the control thread will hear of it. What closes a topic is told again later, what opens one is not.
    pub(super) fn wish(&self, wish: Wish) -> bool {
        let mut owed = self.subscribers.owed.borrow_mut();
        let wish = if owed.is_empty() { self.node.wishes.post(0, wish) } else { Err(wish) };
        match wish {
            Ok(()) => true,
            Err(Wish::Open { .. } | Wish::Resume { .. }) => false,
            Err(wish) => {
                owed.push(wish);
                true
            }
        }
    }

    /// Tells what could not be told; called by the coarse sweep.
    pub(super) fn send_owed_wishes(&self) {
        let mut owed = self.subscribers.owed.borrow_mut();
        let mut unsent = owed.drain(..).skip_while(|wish| self.node.wishes.post(0, wish.clone()).is_ok()).collect();
        owed.append(&mut unsent);
    }

    /// Says how many queues it went to, one at least.
    fn take_letter(&self, letter: Letter, now: Instant) -> usize {
        match letter {
            Letter::Opened { topic, ticket, stream, newest } => self.opened(&topic, ticket, stream, newest),
            Letter::Refused { topic, ticket, reason } => self.refused(&topic, ticket, &reason),
            Letter::Event { stream, payload, whole, log } => {
                return self.deliver(stream, Delivery { payload, whole, log }, now).max(1);
            }
            Letter::Resume { tickets, step } => return self.on_resume_step(&tickets, &step, now).max(1),
            Letter::Seen { chain_number, channel, head } => {
                let mut all = self.sightings.borrow_mut();
                let seen = all.entry(chain_number).or_default();
                match channel {
                    Some(channel) => seen.on_head(channel, head, now),
                    None => seen.on_told(head, now),
                }
            }
            Letter::Ended { stream, reason } => {
                let topic = self.subscribers.by_stream.borrow_mut().remove(&stream);
                topic.iter().for_each(|topic| self.end_topic(topic, &reason, now));
            }
            Letter::Cut => {
                self.subscribers.by_stream.borrow_mut().clear();
                let topics: Vec<_> = self.subscribers.topics.borrow().keys().cloned().collect();
                topics.iter().for_each(|topic| self.end_topic(topic, "this core of the node could not keep up", now));
            }
        }
        1
    }

    fn opened(&self, topic: &Arc<Topic>, ticket: Ticket, stream: StreamId, newest: Option<BlockHash>) {
        let mut topics = self.subscribers.topics.borrow_mut();
        let Some(local) = topics.get_mut(topic).filter(|local| local.ticket == ticket) else { return };
        (local.stream, local.newest) = (Some(stream), newest);
        self.subscribers.by_stream.borrow_mut().insert(stream, topic.clone());
        for (_, member) in local.members.iter_mut().filter(|(_, member)| member.resumed.is_none()) {
            if let Some(request) = member.waiting.take() {
                member.socket.confirm(member.id, &request, newest);
            }
        }
    }

    fn refused(&self, topic: &Arc<Topic>, ticket: Ticket, reason: &str) {
        let mut topics = self.subscribers.topics.borrow_mut();
        if topics.get(topic).is_none_or(|local| local.ticket != ticket) {
            return;
        }
        let Some(local) = topics.remove(topic) else { return };
        self.count_less(local.members.len());
        let refusal = RpcRefusal::no_subscription(reason);
        for (_, member) in &local.members {
            member.socket.forget_subscription(member.id);
            self.forget_resumed(member, topic);
            if let Some(request) = &member.waiting {
                member.socket.refuse(&refusal, &request.client_id);
            }
        }
    }

    /// Answers the request of a subscription that is not confirmed yet: its connection is about to close.
    pub fn refuse_waiting(&self, place: &Place, reason: &str) {
        let mut topics = self.subscribers.topics.borrow_mut();
        let member = topics.get_mut(&place.topic).and_then(|local| local.members.get_mut(place.index));
        if let Some(member) = member
            && let Some(request) = member.waiting.take()
        {
            member.socket.refuse(&RpcRefusal::no_subscription(reason), &request.client_id);
        }
    }

    /// What is to be answered of a subscription, once.
    pub(super) fn take_request(&self, place: &Place) -> Option<Unanswered> {
        let mut topics = self.subscribers.topics.borrow_mut();
        topics.get_mut(&place.topic)?.members.get_mut(place.index)?.waiting.take()
    }

    fn deliver(&self, stream: StreamId, delivery: Delivery, now: Instant) -> usize {
        let Delivery { payload, whole, log } = delivery;
        let by_stream = self.subscribers.by_stream.borrow();
        let mut topics = self.subscribers.topics.borrow_mut();
        let Some(local) = by_stream.get(&stream).and_then(|topic| topics.get_mut(topic)) else { return 0 };
        local.newest = whole.or(local.newest);
        local.newest_log = log.map(|log| log.place).max(local.newest_log);
        // Counting references within a shard costs no atomic operation.
        let payload = Payload::new(payload, &self.fan_out.held);
        self.counters.events.add(local.members.len() as u64);
        for (_, member) in &mut local.members {
            if member.hears() && log.is_none_or(|log| member.first.concerns(log)) {
                member.socket.push_event(member.id, payload.clone(), now);
            }
        }
        local.members.len()
    }

    /// Closes the connections of a topic's subscribers.
    fn end_topic(&self, topic: &Arc<Topic>, reason: &str, now: Instant) {
        let Some(local) = self.subscribers.topics.borrow_mut().remove(topic) else { return };
        self.count_less(local.members.len());
        for (_, member) in &local.members {
            member.socket.forget_subscription(member.id);
            self.forget_resumed(member, topic);
            if let Some(request) = &member.waiting {
                member.socket.refuse(&RpcRefusal::no_subscription(reason), &request.client_id);
            } else {
                member.socket.leave(1013, reason, now);
            }
        }
    }

    /// Subscriptions of all clients here.
    pub fn subscription_count(&self) -> usize {
        self.subscribers.members.get()
    }

    /// Topics open or opening here.
    pub fn topic_count(&self) -> usize {
        self.subscribers.topics.borrow().len()
    }
}
