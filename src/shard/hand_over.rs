//! Calls over a WebSocket from a shard that keeps none: another shard makes them over its own.
//!
//! The text crosses once, the answer's bytes are moved, and each way costs a wake-up: only what cannot go over HTTP is sent
//! like this (`Links::reach`). The asker waits under its own watch; the keeper calls in a task of its own, within the same
//! times, and owes a result from the moment it has read the letter, even if that task panics. A full mailbox goes to the
//! next keeper, then back as not sent. A keeper that dies with unread letters leaves them unclaimed: not sent, in time.
//! Rejected: a connection of each shard's own (more than a provider grants, docs/behaviour/clients.md#provider-sockets).

use crate::base::ids::InstanceId;
use crate::base::limits;
use crate::base::time::Instant;
use crate::route::exchange::{AttemptTime, ConnectionRule};
use crate::runtime::budget::Permit;
use crate::runtime::mailbox::Inbox;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::aside::goes_aside;
use crate::shard::attempt_link::{Answered, LinkTerms, ask_aside, ask_over_link};
use crate::shard::deadlines::{Watch, Watched};
use crate::shard::dial::ConnectFault;
use crate::shard::errands::{Ask, Brought, Errand, Ticket, Unanswered};
use crate::shard::link::Message;
use std::rc::Rc;

const FULL: Unanswered = Unanswered::NotSent(ConnectFault::TooManyWaiting);

/// Has a keeper of `instance` make the call whose text is `before`, an id, `after`.
pub async fn hand_over<W: World>(
    shard: &Shard<W>,
    watch: &Watch<W>,
    LinkTerms { instance, rule, time, now }: LinkTerms,
    (before, after): (&[&[u8]], &[&[u8]]),
) -> Result<Answered, Unanswered> {
    let mut text = before.concat();
    let id_at = text.len();
    after.iter().for_each(|part| text.extend_from_slice(part));
    let charge = shard.charge_body(text.len(), None).ok_or(FULL)?.map(Permit::detach);
    let awaited = shard.errands.open().ok_or(FULL)?;
    let ticket = awaited.ticket.clone();
    let ask = Ask { from: shard.index, ticket, instance, text, id_at, charge, time, rule };
    if !post_to_a_keeper(shard, ask) {
        return Err(FULL);
    }
    watch.set_deadline(time.deadline(now));
    let mut result = watch.bound(awaited.result()).await;
    // A keeper that has begun knows when it was written, and for how long it is waited for.
    let is_withdrawn = result.is_err() && awaited.ticket.claim.withdraw();
    if result.is_err() && !is_withdrawn && watch.revive(time.until, shard.now()) {
        result = watch.bound(awaited.result()).await;
    }
    match result {
        Ok(result) => {
            let Brought { id, bytes, charge } = result?;
            Ok(Answered { id, message: Message { bytes, permit: charge.map(|charge| shard.answers.adopt(charge)) } })
        }
        Err(ended) if is_withdrawn => Err(Unanswered::NotSent(ended.into())),
        Err(Watched::ClientGone) => Err(Unanswered::ClientGone),
        Err(Watched::Running | Watched::Late | Watched::Drained) => Err(Unanswered::Late { is_hindered: false }),
    }
}

/// To each in turn until one has room.
fn post_to_a_keeper<W: World>(shard: &Shard<W>, ask: Ask) -> bool {
    let mut keepers = shard.links.keepers(ask.instance);
    if !keepers.is_empty() {
        let turn = shard.errands.next_turn() % keepers.len();
        keepers.rotate_left(turn);
    }
    let mut errand = Errand::Ask(ask);
    for keeper in keepers {
        match shard.node.errands.post(keeper, errand) {
            Ok(()) => return true,
            Err(back) => errand = back,
        }
    }
    false
}

/// Does what other shards ask, and takes what they bring, to the end of the shard.
pub async fn read_errands<W: World>(shard: Rc<Shard<W>>, mut inbox: Inbox<Errand>) {
    while let Ok(errand) = inbox.receive().await {
        let now = shard.now();
        match errand {
            Errand::Ask(ask) => {
                let is_taken = shard.errands.begin();
                let owed = Owed { shard: shard.clone(), to: ask.from, ticket: ask.ticket.clone(), is_taken, is_paid: false };
                shard.world.clone().spawn("errand", run(ask, owed));
            }
            // Whoever gave up needs no result.
            Errand::Done { ticket, result } => drop(shard.errands.bring(&ticket, result)),
        }
        shard.sweep_if_overdue(now);
    }
}

async fn run<W: World>(ask: Ask, owed: Owed<W>) {
    let Ask { instance, text, id_at, charge, time, rule, .. } = ask;
    let result = match owed.is_taken {
        true => call(&owed, instance, text.split_at_checked(id_at).unwrap_or((&text, b"")), (time, rule)).await,
        false => Err(FULL),
    };
    drop((text, charge));
    owed.pay(result, time.until).await;
}

async fn call<W: World>(
    owed: &Owed<W>,
    instance: InstanceId,
    (before, after): (&[u8], &[u8]),
    (time, rule): (AttemptTime, ConnectionRule),
) -> Result<Brought, Unanswered> {
    let (shard, claim) = (&owed.shard, &owed.ticket.claim);
    let now = shard.recent();
    let watch = shard.attempts.watch_attempt(now, time.connect_by, None);
    let (terms, text): (_, (&[_], &[_])) = (LinkTerms { instance, rule, time, now }, (&[before], &[after]));
    let asked = match goes_aside(rule) {
        true => Box::pin(ask_aside(shard, &watch, terms, text, || claim.take())).await,
        false => ask_over_link(shard, &watch, terms, text, || claim.take()).await,
    };
    let Answered { id, message } = asked?;
    shard.errands.note_answer();
    Ok(Brought { id, bytes: message.bytes, charge: message.permit.map(Permit::detach) })
}

/// The result that a keeper owes.
struct Owed<W: World> {
    shard: Rc<Shard<W>>,
    to: usize,
    ticket: Ticket,
    /// It counts among those that run.
    is_taken: bool,
    is_paid: bool,
}

impl<W: World> Owed<W> {
    /// Again until the asker's mailbox has room, or the asker has given up.
    async fn pay(mut self, result: Result<Brought, Unanswered>, deadline: Instant) {
        self.is_paid = true;
        let (world, node) = (self.shard.world.clone(), self.shard.node.clone());
        let mut errand = Errand::Done { ticket: self.ticket.clone(), result };
        while let Err(back) = node.errands.post(self.to, errand) {
            let now = world.now();
            if now >= deadline {
                return;
            }
            errand = back;
            world.sleep_until(now.plus_ms(limits::SWEEP_MS)).await;
        }
    }
}

impl<W: World> Drop for Owed<W> {
    fn drop(&mut self) {
        if self.is_taken {
            self.shard.errands.end();
        }
        if !self.is_paid {
            let why = match self.ticket.claim.withdraw() {
                true => Unanswered::NotSent(ConnectFault::Resting),
                false => Unanswered::Lost { is_alone: false },
            };
            // Without room the asker's own deadline must do.
            let _ = self.shard.node.errands.post(self.to, Errand::Done { ticket: self.ticket.clone(), result: Err(why) });
        }
    }
}
