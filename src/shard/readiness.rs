//! Is there a provider for every chain? Asked once, at the start, by one shard; `/api/ready` tells the answer.
//!
//! A call of our own goes the way of every call, failover included, so what it shows is what clients will meet.

use crate::base::ids::{ChainId, ProfileId};
use crate::chain::method;
use crate::config::topology::Strategy;
use crate::route::select::Ask;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::attempt::Held;
use crate::shard::call::{Call, FilterRole, Outgoing, Source, Trace};
use crate::shard::forward::{Reply, forward};
use crate::wire::jsonrpc::{self, AnswerKind, Body};
use futures_util::future::join_all;
use std::rc::Rc;

const QUESTION: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
const PAUSE_MS: u64 = 500;

/// Raises the node's `ready` flag when a provider of every chain has answered.
pub async fn watch<W: World>(shard: Rc<Shard<W>>) {
    let snapshot = shard.snapshot();
    let profiles = snapshot.topology.profiles.iter();
    let chains = profiles.flat_map(|(p, profile)| profile.chains.iter().map(move |(c, _)| (p, c)));
    join_all(chains.map(|(profile, chain)| until_answered(&shard, profile, chain))).await;
    shard.node.ready.raise();
}

async fn until_answered<W: World>(shard: &Shard<W>, profile: ProfileId, chain: ChainId) {
    while !shard.node.draining.is_raised() {
        if let Some(held) = ask(shard, profile, chain).await {
            let answered = matches!(held.answer.kind, AnswerKind::Result(_));
            shard.buffers.give(held.buf);
            if answered {
                return;
            }
        }
        shard.world.sleep_until(shard.world.now().plus_ms(PAUSE_MS)).await;
    }
}

async fn ask<W: World>(shard: &Shard<W>, profile: ProfileId, chain: ChainId) -> Option<Held> {
    let Ok(Body::Single(request)) = jsonrpc::scan_body(QUESTION) else { return None };
    let ask = Ask { strategy: Strategy::Priority, eligible: u64::MAX, pin: None, allow_failover: false };
    let mut call = Call {
        snapshot: shard.snapshot(),
        profile,
        chain,
        method: method::lookup(b"eth_chainId"),
        ask,
        filter: FilterRole::None,
        outgoing: Outgoing::canonical(Source::Own(QUESTION.to_vec()), 0..QUESTION.len(), &request),
        started: shard.world.now(),
        may_stream: false,
        client: None,
        rng: shard.rng.borrow_mut().fork(1),
        trace: Trace::new(ask.strategy),
    };
    match forward(shard, &mut call).await {
        Reply::Held(held) => Some(held),
        _ => None,
    }
}
