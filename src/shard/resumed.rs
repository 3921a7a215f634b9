//! A shard's subscriptions that go on from an earlier life: each has a ticket, by which it alone is told what it missed.
//!
//! It is a member of its topic from the beginning, which keeps that open, but hears nothing that is told to all until the
//! control thread says that it has caught up. Its ticket stays until it ends, because a deep reorg may concern it alone.
//! Rejected: a topic of its own for each (an upstream filter for each, and no end to it). Tickets are drawn by lot, so one of
//! a shard's earlier life is nobody's.

use crate::base::time::Instant;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::refusal::RpcRefusal;
use crate::shard::socket::Payload;
use crate::shard::subscribers::{BUSY, Member, Place};
use crate::stream::event::BlockHash;
use crate::stream::fanout::{ResumeStep, Ticket, Topic, Wish};
use std::rc::Rc;
use std::sync::Arc;

/// What a member that resumes has beside others.
pub struct Resumed {
    ticket: Ticket,
    /// The last that it was told before.
    block: BlockHash,
    has_joined: bool,
}

impl Resumed {
    pub fn new(ticket: Ticket, block: BlockHash) -> Resumed {
        Resumed { ticket, block, has_joined: false }
    }

    /// It hears what everybody hears.
    pub fn has_joined(&self) -> bool {
        self.has_joined
    }
}

impl<W: World> Shard<W> {
    /// Tells the control thread where a new member goes on, if it does.
    pub(super) fn ask_to_resume(&self, place: &Place) -> Result<(), RpcRefusal> {
        let of = |member: &Member<W>| member.resumed.as_ref().map(|resumed| (resumed.ticket, resumed.block));
        let found = {
            let topics = self.subscribers.topics.borrow();
            topics.get(&place.topic).and_then(|local| local.members.get(place.index)).and_then(of)
        };
        let Some((ticket, block)) = found else { return Ok(()) };
        self.subscribers.resumed.borrow_mut().insert(ticket, place.clone());
        if !self.wish(Wish::Resume { shard: self.producer(), topic: place.topic.clone(), ticket, block }) {
            self.part(place);
            return Err(RpcRefusal::no_subscription(BUSY));
        }
        Ok(())
    }

    /// A member is gone, or its topic is.
    pub(super) fn forget_resumed(&self, member: &Member<W>, topic: &Arc<Topic>) {
        if let Some(Resumed { ticket, .. }) = member.resumed {
            self.subscribers.resumed.borrow_mut().remove(&ticket);
            self.wish(Wish::Leave { shard: self.producer(), topic: topic.clone(), ticket });
        }
    }

    /// Says how many queues it went to.
    pub(super) fn on_resume_step(&self, tickets: &[Ticket], step: &ResumeStep, now: Instant) -> usize {
        if let ResumeStep::Event(payload) = step {
            let payload = Payload::new(payload.clone(), &self.fan_out.held);
            return tickets.iter().filter(|ticket| self.tell_one(**ticket, &payload, now)).count();
        }
        for place in tickets.iter().filter_map(|ticket| self.place_of(*ticket)) {
            match step {
                ResumeStep::Begin => self.begin_resumed(&place),
                ResumeStep::Join => self.join_resumed(&place),
                ResumeStep::Refuse(why) => self.end_resumed(&place, why, None),
                ResumeStep::End(why) => self.end_resumed(&place, why, Some(now)),
                ResumeStep::Event(_) => {}
            }
        }
        tickets.len()
    }

    fn place_of(&self, ticket: Ticket) -> Option<Place> {
        self.subscribers.resumed.borrow().get(&ticket).cloned()
    }

    fn tell_one(&self, ticket: Ticket, payload: &Rc<Payload>, now: Instant) -> bool {
        let resumed = self.subscribers.resumed.borrow();
        let topics = self.subscribers.topics.borrow();
        let place = resumed.get(&ticket);
        let member = place.and_then(|place| topics.get(&place.topic).and_then(|local| local.members.get(place.index)));
        let Some(member) = member.filter(|member| member.waiting.is_none()) else { return false };
        self.counters.events.add(1);
        member.socket.push_event(member.id, payload.clone(), now);
        true
    }

    fn begin_resumed(&self, place: &Place) {
        let mut topics = self.subscribers.topics.borrow_mut();
        let member = topics.get_mut(&place.topic).and_then(|local| local.members.get_mut(place.index));
        if let Some(member) = member
            && let Some(request) = member.waiting.take()
        {
            member.socket.confirm(member.id, &request, member.resumed.as_ref().map(|resumed| resumed.block));
        }
    }

    fn join_resumed(&self, place: &Place) {
        let mut topics = self.subscribers.topics.borrow_mut();
        let member = topics.get_mut(&place.topic).and_then(|local| local.members.get_mut(place.index));
        if let Some(resumed) = member.and_then(|member| member.resumed.as_mut()) {
            resumed.has_joined = true;
        }
    }

    /// Its request is refused; or, at `now`, its connection closed.
    fn end_resumed(&self, place: &Place, why: &str, now: Option<Instant>) {
        let member = {
            let topics = self.subscribers.topics.borrow();
            let member = topics.get(&place.topic).and_then(|local| local.members.get(place.index));
            member.map(|member| (member.socket.clone(), member.id))
        };
        let Some((socket, id)) = member else { return };
        let request = self.take_request(place);
        socket.forget_subscription(id);
        self.part(place);
        match (request, now) {
            (Some(request), _) => socket.refuse(&RpcRefusal::no_resumption(why), &request.client_id),
            (None, Some(now)) => socket.leave(1013, why, now),
            (None, None) => {}
        }
    }
}
