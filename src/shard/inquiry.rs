//! A question of the node's own to one provider, by the path that clients' calls take: same connections, same deadlines, same
//! reading of the answer. So what a probe finds is what clients will meet.

use crate::base::ids::{ChannelId, EntryId, MethodId, Transport};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::config::topology::{Entry, Strategy};
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
    let began = shard.now();
    let Some((place, mut call)) = own_call(shard, entry, method, body, began) else { return Found::Failed(Category::Unknown) };
    let channel = ChannelId::of(place.instance, transport);
    let rules = snapshot.topology.of_entry(entry).map(|(_, _, p)| p.capabilities.error_rules.as_slice()).unwrap_or_default();
    let deadline = began.plus_ms(timeout_ms);
    let time = AttemptTime { connect_by: deadline, patience: Duration::from_millis(timeout_ms), until: deadline };
    // A link that was made for this question is no old one.
    let may_be_stale = transport == Transport::Http || shard.links.is_open(place.instance);
    let got = attempt(shard, &mut call, channel, rules, ConnectionRule::Pooled, time, began).await;
    // A pooled connection that died idle says nothing about the provider (docs/behaviour/calls.md#stale-connections).
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

/// A call of the node's own.
fn own_call<W: World>(
    shard: &Shard<W>,
    entry: EntryId,
    method: MethodId,
    body: &[u8],
    began: Instant,
) -> Option<(Entry, Call<W>)> {
    let snapshot = shard.snapshot();
    let place = snapshot.topology.entries.get(entry).copied()?;
    let Ok(Body::Single(request)) = jsonrpc::scan_body(body) else { return None };
    let call = Call {
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
        snapshot,
    };
    Some((place, call))
}

/// A question that is put once and counted: whoever asks decides whether it is put again.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'a> {
    pub entry: EntryId,
    pub transport: Transport,
    pub method: MethodId,
    /// In canonical form.
    pub body: &'a [u8],
    pub connection: ConnectionRule,
    /// Given up then.
    pub until: Instant,
}

/// How a question ended, in the words of the classification that clients' calls are judged by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InquiryEnd {
    /// The raw JSON of the result.
    Result(Vec<u8>),
    /// An error that is the question's own, as every provider would give it.
    OwnError(Category),
    /// Any other answer, or none. `hint_ms`: when to come back, if it said so.
    Failed { category: Category, hint_ms: Option<u64> },
    /// No whole answer in time.
    Late,
    /// It was sent on a connection that had died idle: nobody answered for it.
    Stale,
    /// Nothing was written, because no connection could be made.
    Unreachable(ConnectFault),
    /// It was not sent, for a reason of ours.
    Unasked,
}

/// Puts `question` once. Over HTTP a [`ConnectionRule::New`] makes a connection of its own for it.
pub async fn put<W: World>(shard: &Shard<W>, question: &Inquiry<'_>) -> InquiryEnd {
    let Inquiry { entry, transport, method, body, connection, until } = *question;
    let (snapshot, began) = (shard.snapshot(), shard.now());
    let Some((place, mut call)) = own_call(shard, entry, method, body, began) else { return InquiryEnd::Unasked };
    let rules = snapshot.topology.of_entry(entry).map(|(_, _, p)| p.capabilities.error_rules.as_slice()).unwrap_or_default();
    let channel = ChannelId::of(place.instance, transport);
    let time = AttemptTime { connect_by: until, patience: until.since(began), until };
    let got = attempt(shard, &mut call, channel, rules, connection, time, began).await;
    ended(shard, got)
}

fn ended<W: World>(shard: &Shard<W>, got: Got<W>) -> InquiryEnd {
    let failed = |category| InquiryEnd::Failed { category, hint_ms: None };
    match got {
        Got::Absent { held } | Got::Unproven { held } => ended(shard, Got::Answer { held, category: None }),
        Got::Answer { held, category } => {
            let ended = match (held.answer.kind, category) {
                (AnswerKind::Result(result), None) => InquiryEnd::Result(result.of(held.bytes()).to_vec()),
                (_, Some(category)) => InquiryEnd::OwnError(category),
                (AnswerKind::Error { .. }, None) => failed(Category::Unknown),
            };
            shard.buffers.give(held.buf);
            ended
        }
        Got::Refused { outcome, .. } => InquiryEnd::Failed { category: outcome.category, hint_ms: outcome.retry_after_ms },
        Got::TimedOut { is_hindered: true } | Got::ClientGone => InquiryEnd::Unasked,
        Got::TimedOut { is_hindered: false } | Got::NotSent(ConnectFault::Late) => InquiryEnd::Late,
        Got::Lost { stale: true } => InquiryEnd::Stale,
        Got::Stream(_) => failed(Category::MalformedResponse),
        Got::NotSent(ConnectFault::NotUpgraded(429)) => failed(Category::RateLimit),
        Got::NotSent(ConnectFault::NotUpgraded(401..=403)) => failed(Category::Auth),
        Got::NotSent(ConnectFault::TurnedAway) => {
            InquiryEnd::Failed { category: Category::RateLimit, hint_ms: Some(limits::H2_SHED_MS) }
        }
        // A name without an address is the provider's, or a slip in its URL.
        Got::NotSent(fault) if fault != ConnectFault::Unresolved && fault.shortage().is_some() => InquiryEnd::Unasked,
        Got::NotSent(fault) => InquiryEnd::Unreachable(fault),
        Got::Lost { stale: false } => failed(Category::Network),
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
