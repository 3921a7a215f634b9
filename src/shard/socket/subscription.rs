//! `eth_subscribe` and `eth_unsubscribe` of one client, and the events that go to it
//! (docs/behaviour/clients.md#subscription-keys).
//!
//! An id is 16 random bytes, so nobody guesses another's. A client that takes nothing while much waits for it is closed with
//! 1008, and what waited is dropped at once: it would have a hole to tell otherwise.

use crate::base::ids::{ChainId, ProfileId};
use crate::base::limits;
use crate::base::time::Instant;
use crate::chain::hex;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::refusal::RpcRefusal;
use crate::shard::reply::Body;
use crate::shard::socket::Socket;
use crate::shard::socket::outbox::{Payload, Queueing};
use crate::shard::subscribers::{Joining, Place, Unanswered};
use crate::stream::event::BlockHash;
use crate::stream::fanout::Topic;
use crate::stream::key::{Key, SubscribeCall};
use std::rc::Rc;

/// Of one client's subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubscriptionId(pub [u8; 16]);

impl SubscriptionId {
    /// Appends `0x` and 32 hex digits.
    pub fn write(self, out: &mut Vec<u8>) {
        hex::write_bytes(out, &self.0);
    }
}

/// One subscription of a connection.
pub struct Held {
    id: SubscriptionId,
    place: Place,
}

/// The frame's text around an event.
const BEFORE_ID: &[u8] = br#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":""#;
const BEFORE_EVENT: &[u8] = br#"","result":"#;
const AFTER_EVENT: &[u8] = b"}}";
const ID_BYTES: usize = 34;

/// Of an event's frame, without its head.
pub fn event_len(payload: &[u8]) -> usize {
    BEFORE_ID.len() + ID_BYTES + BEFORE_EVENT.len() + payload.len() + AFTER_EVENT.len()
}

pub fn write_event(out: &mut Vec<u8>, id: SubscriptionId, payload: &[u8]) {
    out.extend_from_slice(BEFORE_ID);
    id.write(out);
    [BEFORE_EVENT, payload, AFTER_EVENT].iter().for_each(|part| out.extend_from_slice(part));
}

impl<W: World> Socket<W> {
    /// Carries out a request of either method; `client_id` is how it must be answered, nothing for a notification.
    pub(super) fn on_subscription_call(
        self: &Rc<Self>,
        method: &[u8],
        params: &[u8],
        client_id: Option<&[u8]>,
        wants_notice: bool,
    ) {
        let is_end = method.eq_ignore_ascii_case(b"eth_unsubscribe");
        // Without an answer its id would be unknown: nobody could use it.
        let Some(client_id) = client_id else { return };
        let done = match is_end {
            true => self.unsubscribe(params, client_id),
            false => self.subscribe(params, Unanswered { client_id: client_id.to_vec(), wants_notice }),
        };
        if let Err(refusal) = done {
            self.refuse(&refusal, client_id);
        }
    }

    fn subscribe(self: &Rc<Self>, params: &[u8], request: Unanswered) -> Result<(), RpcRefusal> {
        let SubscribeCall { mut key, resume } = SubscribeCall::parse(params).map_err(RpcRefusal::invalid_params)?;
        let resume = resume.or(self.resume.filter(|_| key.can_resume()));
        if self.subscriptions.borrow().len() >= limits::SOCKET_SUBSCRIPTIONS {
            return Err(RpcRefusal::too_many_subscriptions());
        }
        let route = &self.route;
        self.shard.forget_past(route.profile, route.chain, &mut key);
        let topic =
            Topic { profile: route.profile, chain: route.chain, pin: route.pin, allow_failover: route.allow_failover, key };
        let mut bytes = [0; 16];
        {
            let mut rng = self.shard.rng.borrow_mut();
            bytes.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&rng.next().to_be_bytes()));
        }
        let id = SubscriptionId(bytes);
        let place = self.shard.join(self, topic, Joining { id, request, resume })?;
        self.subscriptions.borrow_mut().push(Held { id, place });
        Ok(())
    }

    fn unsubscribe(&self, params: &[u8], client_id: &[u8]) -> Result<(), RpcRefusal> {
        let params: Option<[&str; 1]> = serde_json::from_slice(params).ok();
        let Some([text]) = params else {
            return Err(RpcRefusal::invalid_params("eth_unsubscribe takes one parameter, the subscription's id".into()));
        };
        let id = hex::parse_bytes(text.as_bytes()).map(SubscriptionId);
        let held = id.and_then(|id| self.take_subscription(id));
        if let Some(held) = &held {
            self.shard.part(&held.place);
        }
        self.reply(Body::of_result(if held.is_some() { "true" } else { "false" }, client_id));
        Ok(())
    }

    fn take_subscription(&self, id: SubscriptionId) -> Option<Held> {
        let mut all = self.subscriptions.borrow_mut();
        let at = all.iter().position(|held| held.id == id)?;
        Some(all.swap_remove(at))
    }

    /// The shard's table has let go of it.
    pub fn forget_subscription(&self, id: SubscriptionId) {
        self.take_subscription(id);
    }

    /// The connection is about to be closed: nobody is left without an answer.
    pub(super) fn answer_waiting(&self) {
        self.subscriptions.borrow().iter().for_each(|held| self.shard.refuse_waiting(&held.place, "the connection is closing"));
    }

    /// The connection has ended.
    pub(super) fn end_subscriptions(&self) {
        let all = std::mem::take(&mut *self.subscriptions.borrow_mut());
        all.iter().for_each(|held| self.shard.part(&held.place));
    }

    /// Answers a subscription's request. `before`: the block before its first event, as far as that is known.
    pub fn confirm(&self, id: SubscriptionId, request: &Unanswered, before: Option<BlockHash>) {
        let mut quoted = vec![b'"'];
        id.write(&mut quoted);
        quoted.push(b'"');
        self.reply(Body::of_result(&String::from_utf8_lossy(&quoted), &request.client_id));
        if request.wants_notice {
            self.notify_of_resume(before);
        }
    }

    /// Queues an event.
    pub fn push_event(self: &Rc<Self>, id: SubscriptionId, payload: Rc<Payload>, now: Instant) {
        match self.outbox.push_event(id, payload) {
            Queueing::Done => {}
            Queueing::Crowded if self.shard.counts_bursts() => self.close_slow(now),
            Queueing::Crowded => self.shard.fan_out.crowd(self.clone()),
            Queueing::Full => self.close_slow(now),
        }
    }

    /// It does not read.
    pub fn close_slow(&self, now: Instant) {
        self.shard.counters.slow_consumers.add(1);
        self.outbox.drop_waiting();
        self.close(1008, "slow consumer", now);
    }
}

impl<W: World> Shard<W> {
    /// A first block that has been says nothing about new ones: without it filters that mean the same are equal.
    fn forget_past(&self, profile: ProfileId, chain: ChainId, key: &mut Key) {
        if let Key::Logs(filter) = key
            && let Some(newest) = self.snapshot().plan(profile, chain).consensus
        {
            filter.forget_past(newest);
        }
    }
}
