//! The same dispatch over a WebSocket: the call under an id of ours on a connection that others use too.
//!
//! The wait for a link that is being opened, and the wait for the answer, are parts of one attempt's time. Whoever gives up
//! forgets the call; the link lives on, and a late answer finds nobody. From the moment a call is queued it counts as written,
//! unless the link ends before its writer took it: that is the only case in which nothing can have reached the provider.

use crate::base::ids::InstanceId;
use crate::base::time::Instant;
use crate::config::topology::ErrorRule;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::attempt::{Arrived, Got, judge};
use crate::shard::call::Call;
use crate::shard::deadlines::Watched;
use crate::shard::dial::ConnectFault;
use crate::shard::link::{CallFault, Message};
use crate::wire::http::write_decimal;

/// Sends `call` over the shard's link to `instance` and waits for its answer until `deadline`.
pub async fn attempt_over_link<W: World>(
    shard: &Shard<W>,
    call: &Call<W>,
    instance: InstanceId,
    rules: &[ErrorRule],
    deadline: Instant,
    now: Instant,
) -> Got<W> {
    let Some(target) = shard.target(instance) else { return Got::NotSent(ConnectFault::NoEndpoint) };
    let watch = shard.attempts.watch_attempt(now, deadline, call.client.clone());
    let link = match watch.bound(shard.links.want(shard, instance, now)).await {
        Ok(Ok(link)) => link,
        Ok(Err(fault)) => return Got::NotSent(fault),
        Err(ended) => return Got::NotSent(ended.into()),
    };
    let (before, after) = call.outgoing.around_id();
    let Ok(sent) = link.send(&before, &after) else { return Got::NotSent(ConnectFault::TooManyWaiting) };
    let Message { bytes, permit } = match watch.bound(sent.answer()).await {
        Ok(Ok(message)) => message,
        Ok(Err(CallFault::NotSent)) => return Got::NotSent(ConnectFault::Resting),
        Ok(Err(CallFault::Lost)) => return Got::Lost { stale: false },
        Ok(Err(CallFault::Late)) | Err(Watched::Running | Watched::Late | Watched::Drained) => return Got::TimedOut,
        Err(Watched::ClientGone) => return Got::ClientGone,
    };
    shard.now();
    let mut id = Vec::with_capacity(20);
    write_decimal(&mut id, sent.id());
    // White space around an answer is nobody's; some of it may be megabytes.
    let start = bytes.len() - bytes.trim_ascii_start().len();
    let body = start..start + bytes.get(start..).unwrap_or(&[]).trim_ascii_end().len();
    let arrived = Arrived { status: 200, retry_after: &[], buf: bytes, body, permit };
    judge(shard, call, (&target.secrets, rules), &id, arrived)
}
