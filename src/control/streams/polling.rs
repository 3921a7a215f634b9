//! A feed without a WebSocket: the newest block is asked for a few times in a block's time, and what is new is announced.
//!
//! What lies between two answers is found by the followers' machines, which fetch what does not link; logs are always asked
//! for. A few failures in a row end the feed, and so does a limit that lasts. A node that answers the same for too long is
//! said to be stalled; whether another is ahead of it, the followers find out. Rejected: ending the feed then (a chain that
//! stands still would lose its leader every few seconds).

use super::feed::{Feed, Said};
use crate::base::ids::{EntryId, InstanceId, Transport};
use crate::base::limits;
use crate::base::time::Instant;
use crate::chain::method;
use crate::config::topology::Topology;
use crate::observe::report::{Event, Streaming};
use crate::runtime::world::World;
use crate::shard::{Found, Shard, inquire};
use crate::stream::event::{BlockHash, Head};
use crate::stream::key::Key;
use futures_util::future::select;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

const QUESTION: &[u8] = br#"{"jsonrpc":"2.0","id":"lasso-head","method":"eth_getBlockByNumber","params":["latest",false]}"#;

/// What one question came to.
enum Newest {
    Is(Head),
    Limited { wait_ms: u64 },
    Failed,
}

/// What the answers so far have shown.
#[derive(Default)]
struct Polled {
    failures: u32,
    is_confirmed: bool,
    last: Option<BlockHash>,
    /// The last was new then, or said to be old.
    fresh_at: Instant,
    is_stalled: bool,
}

pub async fn poll<W: World>(shard: Rc<Shard<W>>, feed: Rc<Feed>) {
    let Some((entry, pace_ms)) = place(&shard.latest().topology, feed.id.instance) else { return feed.end() };
    let mut polled = Polled::default();
    while feed.is_wanted() && !shard.node().draining.is_raised() {
        let began = shard.world().now();
        let pause_ms = match newest(&shard, feed.id.instance, entry).await {
            Newest::Is(head) => {
                polled.on_head(&shard, &feed, head);
                pace_ms
            }
            Newest::Limited { wait_ms } => {
                polled.on_failed(&shard, &feed, wait_ms > limits::POLL_MAX_MS);
                wait_ms.max(pace_ms)
            }
            Newest::Failed => {
                polled.on_failed(&shard, &feed, false);
                pace_ms.min(limits::POLL_AGAIN_MS)
            }
        };
        pause(&shard, &feed, began.plus_ms(pause_ms)).await;
    }
    feed.end();
}

impl Polled {
    fn on_head<W: World>(&mut self, shard: &Shard<W>, feed: &Feed, head: Head) {
        let now = shard.world().now();
        if !std::mem::replace(&mut self.is_confirmed, true) {
            feed.say(Said::Confirmed(Key::NewHeads));
        }
        self.failures = 0;
        if self.last.replace(head.hash) != Some(head.hash) {
            (self.fresh_at, self.is_stalled) = (now, false);
            feed.say(Said::Head(Arc::new(head)));
        } else if now.since(self.fresh_at) >= feed.silence(&shard.latest().topology) {
            self.fresh_at = now;
            feed.say(Said::Stalled);
            if !std::mem::replace(&mut self.is_stalled, true) {
                shard.tell(Event::Streaming { channel: feed.id.channel(), what: Streaming::Silent });
            }
        }
    }

    fn on_failed<W: World>(&mut self, shard: &Shard<W>, feed: &Feed, is_over: bool) {
        self.failures += 1;
        let is_stale = shard.world().now().since(self.fresh_at) >= feed.silence(&shard.latest().topology);
        if is_over || is_stale || self.failures == limits::POLL_FAILURES || !self.is_confirmed {
            *self = Polled::default();
            feed.say(Said::Lost);
        }
    }
}

/// Until then, or until nobody wants it any more.
async fn pause<W: World>(shard: &Shard<W>, feed: &Feed, until: Instant) {
    while feed.is_wanted() && shard.world().now() < until && !shard.node().draining.is_raised() {
        let soon = until.min(shard.world().now().plus_ms(limits::IDLE_SWEEP_MS));
        select(pin!(shard.world().sleep_until(soon)), pin!(feed.changed.heard())).await;
    }
}

/// Over HTTP, and where that fails at once over the provider's WebSocket, if it has one.
async fn newest<W: World>(shard: &Shard<W>, instance: InstanceId, entry: EntryId) -> Newest {
    let method = method::lookup(b"eth_getBlockByNumber");
    let ways = [Transport::Http, Transport::Ws];
    for transport in ways.into_iter().filter(|transport| shard.latest().has_channel(entry, *transport)) {
        if transport == Transport::Ws && shard.links().is_resting(instance, shard.world().now()) {
            continue;
        }
        match inquire(shard, entry, transport, method, QUESTION, limits::POLL_TIMEOUT_MS).await {
            Found::Result(result, _) => {
                if let Some(head) = Head::of_block(&result) {
                    return Newest::Is(head);
                }
            }
            Found::Limited { hint_ms } => {
                let wait_ms = hint_ms.unwrap_or_default().clamp(limits::POLL_AGAIN_MS, limits::COOLDOWN_MAX_MS);
                return Newest::Limited { wait_ms };
            }
            Found::Auth | Found::Unasked | Found::Failed(_) => {}
        }
    }
    Newest::Failed
}

/// Some entry of an instance, and the pause between two questions.
fn place(topology: &Topology, instance: InstanceId) -> Option<(EntryId, u64)> {
    let (entry, _) = topology.entries.iter().find(|(_, entry)| entry.instance == instance)?;
    let (_, chain, _) = topology.of_entry(entry)?;
    let block_ms = chain.block_time_ms.unwrap_or(limits::POLLED_BLOCK_MS);
    Some((entry, (block_ms / limits::POLLS_PER_BLOCK).clamp(limits::POLL_MIN_MS, limits::POLL_MAX_MS)))
}
