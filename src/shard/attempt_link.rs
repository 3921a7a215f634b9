//! The same dispatch over a WebSocket: the call under an id of ours on a connection that others use too.
//!
//! The wait for a link that is being opened, also for the next one when the first has ended, and the wait for the answer are
//! parts of one attempt's time. Whoever gives up forgets the call; the link lives on, and a late answer finds nobody. A call counts
//! as written from the moment at which the link's writer took it: one that is given up before has not reached the provider and
//! never will, and one whose link ends before waits for the next and goes over that.
//! What others must not share the connection of goes over one that carries nothing else (`aside`).
//! A shard that keeps no link to the instance has one that does make the call (`hand_over`).

use crate::base::ids::InstanceId;
use crate::base::limits;
use crate::base::time::Instant;
use crate::config::topology::ErrorRule;
use crate::health::ending::How;
use crate::observe::category::Outcome;
use crate::route::exchange::{AttemptTime, ConnectionRule};
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::aside::goes_aside;
use crate::shard::attempt::{Arrived, Got, judge};
use crate::shard::call::Call;
use crate::shard::deadlines::{Watch, Watched};
use crate::shard::dial::ConnectFault;
use crate::shard::errands::Unanswered;
use crate::shard::hand_over::hand_over;
use crate::shard::link::{CallFault, Link, Message};
use crate::wire::http::write_decimal;
use std::rc::Rc;

/// A message that answers a call.
pub struct Answered {
    /// The id under which the call went out.
    pub id: u64,
    pub message: Message,
}

/// How a call may go out, and from when its time counts.
#[derive(Clone, Copy)]
pub struct LinkTerms {
    pub instance: InstanceId,
    pub rule: ConnectionRule,
    pub time: AttemptTime,
    pub now: Instant,
}

/// Sends `call` over a link to `instance` and waits for its answer within `time`.
pub async fn attempt_over_link<W: World>(
    shard: &Shard<W>,
    call: &mut Call<W>,
    instance: InstanceId,
    rules: &[ErrorRule],
    rule: ConnectionRule,
    time: AttemptTime,
    now: Instant,
) -> Got<W> {
    let Some(target) = shard.target(instance) else { return Got::NotSent(ConnectFault::NoEndpoint) };
    let watch = shard.attempts.watch_attempt(now, time.connect_by, call.client.clone());
    let terms = LinkTerms { instance, rule, time, now };
    let (before, after) = call.outgoing.around_id();
    let answered = match shard.links.keeps(instance) {
        // In a box, like what follows: rare, and its state would sit in every call.
        true if goes_aside(rule) => Box::pin(ask_aside(shard, &watch, terms, (&before, &after), || true)).await,
        true => ask_over_link(shard, &watch, terms, (&before, &after), || true).await,
        false => Box::pin(hand_over(shard, &watch, terms, (&before, &after))).await,
    };
    call.trace.allotted = time.patience;
    let (id, Message { bytes, permit }) = match answered {
        Ok(Answered { id, message }) => (id, message),
        Err(Unanswered::NotSent(fault)) => return Got::NotSent(fault),
        // The end of a shared one may be another call's doing, and is counted by itself: what may be repeated is sent once more.
        Err(Unanswered::Lost { is_alone }) => return Got::Lost { stale: !is_alone },
        Err(Unanswered::Late { is_hindered }) => return Got::TimedOut { is_hindered },
        Err(Unanswered::TooLarge) => return Got::Refused { outcome: Outcome::too_large(), error: None },
        Err(Unanswered::TooLong) => return Got::Refused { outcome: Outcome::too_long(), error: None },
        Err(Unanswered::ClientGone) => return Got::ClientGone,
    };
    shard.now();
    let mut sent_id = Vec::with_capacity(20);
    write_decimal(&mut sent_id, id);
    // White space around an answer is nobody's; some of it may be megabytes.
    let start = bytes.len() - bytes.trim_ascii_start().len();
    let body = start..start + bytes.get(start..).unwrap_or(&[]).trim_ascii_end().len();
    let arrived = Arrived { status: 200, retry_after: &[], buf: bytes, body, permit };
    judge(shard, call, (&target.secrets, rules), &sent_id, arrived)
}

/// Waits for the shard's own link to be there; through its rest too, when nobody else can be asked.
async fn link_to<W: World>(shard: &Shard<W>, watch: &Watch<W>, terms: LinkTerms) -> Result<Rc<Link<W>>, ConnectFault> {
    let LinkTerms { instance, time, mut now, .. } = terms;
    watch.set_deadline(time.connect_by);
    loop {
        match watch.bound(shard.links.want(shard, instance, now)).await.map_err(ConnectFault::from)? {
            Ok(link) if link.is_open() => return Ok(link),
            // It ended again before this call was told of it.
            Ok(_) => {}
            Err(ConnectFault::Resting) if time.connect_by == time.until => {
                let again = shard.links.retry_at(instance, false).max(now.plus_ms(limits::SWEEP_MS));
                watch.bound(shard.world.sleep_until(again)).await.map_err(ConnectFault::from)?;
            }
            Err(fault) => return Err(fault),
        }
        now = shard.now();
    }
}

/// Over a connection that carries nothing else, if there may be one; else over the shared one.
pub async fn ask_aside<W: World>(
    shard: &Shard<W>,
    watch: &Watch<W>,
    mut terms: LinkTerms,
    (before, after): (&[&[u8]], &[&[u8]]),
    may_send: impl FnOnce() -> bool,
) -> Result<Answered, Unanswered> {
    let mut may_send = Some(may_send);
    let mut may_send = || may_send.take().is_none_or(|may_send| may_send());
    for rule in [terms.rule, ConnectionRule::New] {
        let taken = shard.asides.take(shard, watch, terms.instance, rule, terms.time.connect_by).await;
        let aside = taken.map_err(Unanswered::NotSent)?;
        terms.now = shard.now();
        let Some(aside) = aside else { break };
        let link = aside.link();
        let asked = ask(shard, watch, &link, terms, (before, after), &mut may_send).await;
        if asked.is_ok() {
            aside.set_free();
        }
        return match (asked, link.ended()) {
            // It had died while it was idle, and nothing was written.
            (Err(UNWRITTEN), _) => continue,
            (Err(Unanswered::Lost { .. }), Some(How::Closed(TOO_BIG))) => Err(Unanswered::TooLong),
            (Err(Unanswered::Lost { .. }), _) => Err(Unanswered::Lost { is_alone: true }),
            (asked, _) => asked,
        };
    }
    ask_over_link(shard, watch, terms, (before, after), may_send).await
}

/// The connection ended before the call's frame was handed to the kernel.
const UNWRITTEN: Unanswered = Unanswered::NotSent(ConnectFault::Resting);

/// What a provider closes with whose bound a message exceeds (RFC 6455 §7.4.1).
const TOO_BIG: u16 = 1009;

/// The same for a text that is `before`, an id, `after`, over the shard's own link. A call that was not written when its link
/// ended has cost nobody anything: it goes over the next one, in its own time. `may_send` is asked just before it is queued for
/// the first time.
pub async fn ask_over_link<W: World>(
    shard: &Shard<W>,
    watch: &Watch<W>,
    mut terms: LinkTerms,
    text: (&[&[u8]], &[&[u8]]),
    may_send: impl FnOnce() -> bool,
) -> Result<Answered, Unanswered> {
    let mut may_send = Some(may_send);
    let mut may_send = || may_send.take().is_none_or(|may_send| may_send());
    loop {
        let link = match shard.links.at_hand(terms.instance) {
            Some(link) => link,
            // In a box: rare, and its state would sit in every call.
            None => {
                let link = Box::pin(link_to(shard, watch, terms)).await.map_err(Unanswered::NotSent)?;
                terms.now = shard.now();
                link
            }
        };
        match ask(shard, watch, &link, terms, text, &mut may_send).await {
            Err(UNWRITTEN) => terms.now = shard.now(),
            asked => return asked,
        }
    }
}

/// Queues it and waits. The provider's time counts from the moment at which its frame was handed to the kernel; until then it
/// waits behind what others sent, which is our affair.
async fn ask<W: World>(
    shard: &Shard<W>,
    watch: &Watch<W>,
    link: &Link<W>,
    LinkTerms { time, now, .. }: LinkTerms,
    (before, after): (&[&[u8]], &[&[u8]]),
    may_send: impl FnOnce() -> bool,
) -> Result<Answered, Unanswered> {
    let not_sent = |fault| Err(Unanswered::NotSent(fault));
    if !may_send() {
        return not_sent(ConnectFault::ClientGone);
    }
    let Ok(sent) = link.send(before, after) else {
        return if link.is_open() { not_sent(ConnectFault::TooManyWaiting) } else { Err(UNWRITTEN) };
    };
    watch.set_deadline(time.deadline(now));
    loop {
        return match watch.bound(sent.answer()).await {
            Ok(Ok(message)) => Ok(Answered { id: sent.id(), message }),
            Ok(Err(CallFault::NotSent)) => Err(UNWRITTEN),
            Ok(Err(CallFault::Lost)) => Err(Unanswered::Lost { is_alone: false }),
            Ok(Err(CallFault::TooLarge)) => Err(Unanswered::TooLarge),
            Ok(Err(CallFault::Late)) => Err(Unanswered::Late { is_hindered: false }),
            Err(Watched::ClientGone) => Err(Unanswered::ClientGone),
            Err(Watched::Running | Watched::Late | Watched::Drained) => {
                let written_at = sent.written_at();
                if watch.revive(written_at.map_or(time.connect_by, |at| time.deadline(at)), shard.now()) {
                    continue;
                }
                // Dropped unwritten it is not written any more.
                match written_at {
                    None => not_sent(ConnectFault::TooManyWaiting),
                    Some(at) => Err(Unanswered::Late { is_hindered: link.was_hindered_since(at) }),
                }
            }
        };
    }
}
