//! The same dispatch over a WebSocket: the call under an id of ours on a connection that others use too.
//!
//! The wait for a link that is being opened, and the wait for the answer, are parts of one attempt's time. Whoever gives up
//! forgets the call; the link lives on, and a late answer finds nobody. From the moment a call is queued it counts as written,
//! unless the link ends before its writer took it: that is the only case in which nothing can have reached the provider.
//! A shard that keeps no link to the instance has one that does make the call (`hand_over`).

use crate::base::ids::InstanceId;
use crate::base::limits;
use crate::base::time::Instant;
use crate::config::topology::ErrorRule;
use crate::observe::category::Outcome;
use crate::route::exchange::AttemptTime;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::attempt::{Arrived, Got, judge};
use crate::shard::call::Call;
use crate::shard::deadlines::{Watch, Watched};
use crate::shard::dial::ConnectFault;
use crate::shard::errands::Unanswered;
use crate::shard::hand_over::hand_over;
use crate::shard::link::{CallFault, Message};
use crate::wire::http::write_decimal;

/// A message that answers a call.
pub struct Answered {
    /// The id under which the call went out.
    pub id: u64,
    pub message: Message,
}

/// Sends `call` over a link to `instance` and waits for its answer within `time`.
pub async fn attempt_over_link<W: World>(
    shard: &Shard<W>,
    call: &mut Call<W>,
    instance: InstanceId,
    rules: &[ErrorRule],
    time: AttemptTime,
    mut now: Instant,
) -> Got<W> {
    let Some(target) = shard.target(instance) else { return Got::NotSent(ConnectFault::NoEndpoint) };
    let watch = shard.attempts.watch_attempt(now, time.deadline(now), call.client.clone());
    if shard.links.keeps(instance) && !shard.links.is_open(instance) {
        watch.set_deadline(time.connect_by);
        // In a box: rare, and its state would sit in every call.
        if let Err(fault) = Box::pin(open_link(shard, &watch, instance, time, now)).await {
            return Got::NotSent(fault);
        }
        now = shard.now();
        watch.set_deadline(time.deadline(now));
    }
    let deadline = time.deadline(now);
    call.trace.allotted = deadline.since(now);
    let (before, after) = call.outgoing.around_id();
    let answered = match shard.links.keeps(instance) {
        true => ask_over_link(shard, &watch, instance, (&before, &after), now, || true).await,
        // In a box, so that the calls of all others stay small.
        false => Box::pin(hand_over(shard, &watch, instance, (&before, &after), deadline)).await,
    };
    let (id, Message { bytes, permit }) = match answered {
        Ok(Answered { id, message }) => (id, message),
        Err(Unanswered::NotSent(fault)) => return Got::NotSent(fault),
        // Its end may be another call's doing, and is counted by itself: what may be repeated is sent once more.
        Err(Unanswered::Lost) => return Got::Lost { stale: true },
        Err(Unanswered::Late) => return Got::TimedOut,
        Err(Unanswered::TooLarge) => return Got::Refused { outcome: Outcome::too_large(), error: None },
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

/// Waits for a link to be there; through its rest too, when nobody else can be asked.
async fn open_link<W: World>(
    shard: &Shard<W>,
    watch: &Watch<W>,
    instance: InstanceId,
    time: AttemptTime,
    mut now: Instant,
) -> Result<(), ConnectFault> {
    loop {
        match watch.bound(shard.links.want(shard, instance, now)).await.map_err(ConnectFault::from)? {
            Err(ConnectFault::Resting) if time.connect_by == time.until => {
                let again = shard.links.retry_at(instance, false).max(now.plus_ms(limits::SWEEP_MS));
                watch.bound(shard.world.sleep_until(again)).await.map_err(ConnectFault::from)?;
                now = shard.now();
            }
            opened => return opened.map(|_| ()),
        }
    }
}

/// The same for a text that is `before`, an id, `after`, over the shard's own link. `may_send` is asked just before it is
/// queued.
pub async fn ask_over_link<W: World>(
    shard: &Shard<W>,
    watch: &Watch<W>,
    instance: InstanceId,
    (before, after): (&[&[u8]], &[&[u8]]),
    now: Instant,
    may_send: impl FnOnce() -> bool,
) -> Result<Answered, Unanswered> {
    let not_sent = |fault| Err(Unanswered::NotSent(fault));
    let link = match watch.bound(shard.links.want(shard, instance, now)).await {
        Ok(Ok(link)) => link,
        Ok(Err(fault)) => return not_sent(fault),
        Err(ended) => return not_sent(ended.into()),
    };
    if !may_send() {
        return not_sent(ConnectFault::ClientGone);
    }
    let Ok(sent) = link.send(before, after) else { return not_sent(ConnectFault::TooManyWaiting) };
    match watch.bound(sent.answer()).await {
        Ok(Ok(message)) => Ok(Answered { id: sent.id(), message }),
        Ok(Err(CallFault::NotSent)) => not_sent(ConnectFault::Resting),
        Ok(Err(CallFault::Lost)) => Err(Unanswered::Lost),
        Ok(Err(CallFault::TooLarge)) => Err(Unanswered::TooLarge),
        Ok(Err(CallFault::Late)) | Err(Watched::Running | Watched::Late | Watched::Drained) => Err(Unanswered::Late),
        Err(Watched::ClientGone) => Err(Unanswered::ClientGone),
    }
}
