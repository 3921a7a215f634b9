//! A feed without a WebSocket: the newest block is asked for a few times in a block's time, and what is new is announced.
//!
//! What lies between two answers is found by the followers' machines, which fetch what does not link; logs are always asked
//! for. A few failures in a row end the feed, and so does a newest block that stays the same for longer than the chain's
//! `new_heads_timeout_ms`: a node that has stalled goes on answering.

use super::feed::{Feed, Said};
use super::subscribing::silence_ms;
use crate::base::ids::{EntryId, InstanceId, Transport};
use crate::base::limits;
use crate::base::time::Duration;
use crate::chain::method;
use crate::config::topology::Topology;
use crate::runtime::world::World;
use crate::shard::{Found, Shard, inquire};
use crate::stream::event::Head;
use crate::stream::key::Key;
use futures_util::future::select;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

const QUESTION: &[u8] = br#"{"jsonrpc":"2.0","id":"lasso-head","method":"eth_getBlockByNumber","params":["latest",false]}"#;

pub async fn poll<W: World>(shard: Rc<Shard<W>>, feed: Rc<Feed>) {
    let Some((entry, pause_ms)) = place(&shard.latest().topology, feed.id.instance) else { return feed.end() };
    let silence = Duration::from_millis(silence_ms(&shard.latest().topology, &feed));
    let (mut failures, mut is_confirmed, mut last, mut moved) = (0, false, None, shard.world().now());
    while feed.is_wanted() && !shard.node().draining.is_raised() {
        match newest(&shard, entry).await {
            Some(head) => {
                if !std::mem::replace(&mut is_confirmed, true) {
                    feed.say(Said::Confirmed(Key::NewHeads));
                }
                failures = 0;
                if last.replace(head.hash) != Some(head.hash) {
                    moved = shard.world().now();
                    feed.say(Said::Head(Arc::new(head)));
                }
            }
            None => failures += 1,
        }
        let is_silent = is_confirmed && shard.world().now().since(moved) >= silence;
        if failures == limits::POLL_FAILURES || (failures > 0 && !is_confirmed) || is_silent {
            (failures, is_confirmed, last) = (0, false, None);
            feed.say(Said::Lost);
        }
        let pause = shard.world().sleep_until(shard.world().now().plus_ms(pause_ms));
        select(pin!(pause), pin!(feed.changed.heard())).await;
    }
    feed.end();
}

async fn newest<W: World>(shard: &Shard<W>, entry: EntryId) -> Option<Head> {
    let method = method::lookup(b"eth_getBlockByNumber");
    match inquire(shard, entry, Transport::Http, method, QUESTION, limits::PROBE_TIMEOUT_MS).await {
        Found::Result(result, _) => Head::of_block(&result),
        Found::Limited { .. } | Found::Auth | Found::Unasked | Found::Failed(_) => None,
    }
}

/// Some entry of an instance, and the pause between two questions.
fn place(topology: &Topology, instance: InstanceId) -> Option<(EntryId, u64)> {
    let (entry, _) = topology.entries.iter().find(|(_, entry)| entry.instance == instance)?;
    let (_, chain, _) = topology.of_entry(entry)?;
    let block_ms = chain.block_time_ms.unwrap_or(limits::POLLED_BLOCK_MS);
    Some((entry, (block_ms / limits::POLLS_PER_BLOCK).clamp(limits::POLL_MIN_MS, limits::POLL_MAX_MS)))
}
