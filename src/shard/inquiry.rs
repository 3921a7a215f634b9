//! A question of the node's own to one provider, by the path that clients' calls take: same connections, same deadlines, same
//! reading of the answer. So what a probe finds is what clients will meet.

use crate::base::ids::{ChannelId, EntryId, MethodId, Transport};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::config::topology::Strategy;
use crate::observe::category::{Category, Class};
use crate::route::exchange::{AttemptTime, ConnectionRule};
use crate::route::fit::Fit;
use crate::route::select::Ask;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::attempt::{Got, attempt};
use crate::shard::call::{Call, FilterRole, Outgoing, Source, Trace};
use crate::shard::dial::ConnectFault;
use crate::wire::jsonrpc::{self, AnswerKind, Body};

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// The raw JSON of the result, and how long it took.
    Result(Vec<u8>, Duration),
    Limited {
        hint_ms: Option<u64>,
    },
    /// Our credentials were refused.
    Auth,
    /// It could not be asked, for a reason of ours.
    Unasked,
    Failed(Category),
}

/// Asks the provider of `entry` over `transport`; `body` is a canonical call of `method`.
pub async fn inquire<W: World>(
    shard: &Shard<W>,
    entry: EntryId,
    transport: Transport,
    method: MethodId,
    body: &[u8],
    timeout_ms: u64,
) -> Found {
    let snapshot = shard.snapshot();
    let Some(place) = snapshot.topology.entries.get(entry).copied() else { return Found::Failed(Category::Unknown) };
    let Ok(Body::Single(request)) = jsonrpc::scan_body(body) else { return Found::Failed(Category::Unknown) };
    let began = shard.now();
    let channel = ChannelId::of(place.instance, transport);
    let mut call = Call {
        profile: place.profile,
        chain: place.chain,
        ask: Ask::new(Strategy::Priority, method),
        terms: crate::chain::method::terms(method, b""),
        fit: Fit::ANYONE,
        filter: FilterRole::None,
        key: None,
        outgoing: Outgoing::canonical(Source::Own(body.to_vec()), 0..body.len(), &request),
        started: began,
        may_stream: false,
        client: None,
        rng: shard.rng.borrow_mut().fork(1),
        trace: Trace::new(Strategy::Priority),
        passed: None,
        snapshot: snapshot.clone(),
    };
    let rules = snapshot.topology.of_entry(entry).map(|(_, _, p)| p.capabilities.error_rules.as_slice()).unwrap_or_default();
    let deadline = began.plus_ms(timeout_ms);
    let time = AttemptTime { connect_by: deadline, patience: Duration::from_millis(timeout_ms), until: deadline };
    // A link that was made for this question is no old one.
    let may_be_stale = transport == Transport::Http || shard.links.is_open(place.instance);
    let got = attempt(shard, &mut call, channel, rules, ConnectionRule::Pooled, time, began).await;
    // A pooled connection that died idle says nothing about the provider (CONTRACT §3).
    let got = match got {
        Got::Lost { stale: true } if may_be_stale => {
            // Waiting for a link's rest to be over would be the silence that a dead provider is known by.
            shard.links.expect_probe(place.instance);
            let again = shard.now();
            attempt(shard, &mut call, channel, rules, ConnectionRule::New, time, again).await
        }
        got => got,
    };
    match got {
        // A close code says more than that the connection is gone.
        Got::Lost { .. } if transport == Transport::Ws => Found::Failed(shard.links.last_end(place.instance)),
        got => read(shard, got, began),
    }
}

fn read<W: World>(shard: &Shard<W>, got: Got<W>, began: Instant) -> Found {
    match got {
        // Whoever inquires asks this one provider.
        Got::Absent { held } | Got::Unproven { held } => read(shard, Got::Answer { held, category: None }, began),
        Got::Answer { held, category } => {
            let found = match (held.answer.kind, category) {
                (AnswerKind::Result(result), None) => Found::Result(result.of(held.bytes()).to_vec(), shard.now().since(began)),
                (_, category) => Found::Failed(category.unwrap_or(Category::Unknown)),
            };
            shard.buffers.give(held.buf);
            found
        }
        Got::Refused { outcome, .. } => match (outcome.category, outcome.category.class()) {
            (_, Class::Quota) => Found::Limited { hint_ms: outcome.retry_after_ms },
            (Category::Auth | Category::Forbidden, _) => Found::Auth,
            (category, _) => Found::Failed(category),
        },
        Got::TimedOut { is_hindered: true } => Found::Unasked,
        Got::TimedOut { is_hindered: false } => Found::Failed(Category::Timeout),
        Got::Stream(_) => Found::Failed(Category::MalformedResponse),
        Got::NotSent(ConnectFault::NotUpgraded(429)) => Found::Limited { hint_ms: None },
        Got::NotSent(ConnectFault::NotUpgraded(401..=403)) => Found::Auth,
        Got::NotSent(ConnectFault::TurnedAway) => Found::Limited { hint_ms: Some(limits::H2_SHED_MS) },
        Got::NotSent(fault) if fault.shortage().is_some() => Found::Unasked,
        Got::NotSent(_) | Got::Lost { .. } | Got::ClientGone => Found::Failed(Category::Network),
    }
}
