//! One dispatch: the call to one provider, and what came back, judged.
//!
//! Held answers are verified whole before anyone sees a byte. A long one is classified by its first bytes and passed on
//! as it comes (`relay`), unless the caller needs it whole. Whatever ends badly says whether bytes were written and
//! whether the connection was a pooled one that had only died idle: `route::exchange` decides what that permits.

use crate::base::ids::{ChannelId, InstanceId, Transport};
use crate::base::limits;
use crate::base::time::Instant;
use crate::chain::filter_id;
use crate::chain::method::{self, Sense};
use crate::config::topology::ErrorRule;
use crate::route::classify::{Category, Context, Outcome, Verdict, may_show};
use crate::route::exchange::{AttemptTime, ConnectionRule, End};
use crate::runtime::budget::Permit;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::attempt_link::attempt_over_link;
use crate::shard::buffers::Size;
use crate::shard::call::Call;
use crate::shard::deadlines::{Watch, Watched};
use crate::shard::dial::ConnectFault;
use crate::shard::incoming::{Broken, Incoming};
use crate::shard::relay::Relay;
use crate::shard::target::{Target, Way};
use crate::shard::upstream_http::Upstream;
use crate::stream::emptiness::Doubt;
use crate::wire::http::write_decimal;
use crate::wire::jsonrpc::{self, Answer, AnswerFault, AnswerKind, Prefix};
use crate::wire::trace_context::PARENT_BYTES;
use std::ops::Range;

/// A whole answer in memory.
pub struct Held {
    pub buf: Vec<u8>,
    /// The JSON-RPC body in `buf`; the answer's spans count from its start.
    pub body: Range<usize>,
    pub answer: Answer,
    /// The charge for an answer beyond the hold limit.
    pub permit: Option<Permit>,
}

impl Held {
    pub fn bytes(&self) -> &[u8] {
        self.buf.get(self.body.clone()).unwrap_or(&[])
    }

    /// The same with a new filter's id made one that names its instance (docs/behaviour/calls.md#filters). `None`: the result is
    /// no id.
    pub fn with_filter_id(self, tag: u32) -> Option<Held> {
        let AnswerKind::Result(result) = self.answer.kind else { return Some(self) };
        let quoted = result.of(self.bytes());
        let digits = filter_id::provider_digits(quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?)?;
        let mut named = vec![b'"'];
        filter_id::encode(&mut named, tag, digits);
        named.push(b'"');
        let mut buf = Vec::new();
        jsonrpc::write_result(&mut buf, self.answer.id.of(self.bytes()), &named);
        let answer = jsonrpc::scan_answer(&buf).ok()?;
        Some(Held { body: 0..buf.len(), buf, answer, permit: self.permit })
    }
}

/// What came of an attempt.
pub enum Got<W: World> {
    /// An answer to return. `category`: what its error means; `None` for a result.
    Answer {
        held: Held,
        category: Option<Category>,
    },
    /// An answer that the provider does not have what was asked for, which another may.
    Absent {
        held: Held,
    },
    /// An empty list about a block that was announced a moment ago, by who is not known to have it.
    Unproven {
        held: Held,
    },
    /// A result too long to hold, of which the first part is here.
    Stream(Box<Relay<W>>),
    /// An answer that another provider may better. `error`: a JSON-RPC error that the client may see.
    Refused {
        outcome: Outcome,
        error: Option<Held>,
    },
    NotSent(ConnectFault),
    /// Written, and the connection ended. `stale`: that says nothing about the provider, because it was a pooled one, before
    /// any answer byte, or one of several calls, whose end another of them tells of.
    Lost {
        stale: bool,
    },
    /// Written, and no whole answer in time. `is_hindered`: it may have been waiting where we could not read it.
    TimedOut {
        is_hindered: bool,
    },
    ClientGone,
}

impl<W: World> Got<W> {
    /// What `route::exchange` must know of it.
    pub fn end(&self) -> End {
        match self {
            Got::Answer { .. } | Got::Stream(_) => End::Answered,
            Got::Absent { .. } => End::Absent,
            Got::Unproven { .. } => End::Unproven,
            Got::Refused { outcome, error } => End::Refused { has_error: error.is_some(), before_pool: outcome.before_pool },
            Got::NotSent(ConnectFault::ClientGone) | Got::ClientGone => End::ClientGone,
            Got::NotSent(ConnectFault::Refused(_) | ConnectFault::Tls(_) | ConnectFault::Late) => End::Unreachable,
            Got::NotSent(_) => End::NotSent,
            Got::Lost { stale } => End::Lost { wrote: true, stale: *stale },
            Got::TimedOut { .. } => End::TimedOut { wrote: true },
        }
    }
}

/// Sends `call` over `channel` at `now` and waits for its answer within `time`.
#[inline]
pub async fn attempt<W: World>(
    shard: &Shard<W>,
    call: &mut Call<W>,
    channel: ChannelId,
    rules: &[ErrorRule],
    rule: ConnectionRule,
    time: AttemptTime,
    now: Instant,
) -> Got<W> {
    let instance = channel.instance();
    match channel.transport() {
        Transport::Http => attempt_over_http(shard, call, instance, rules, rule, time, now).await,
        Transport::Ws => attempt_over_link(shard, call, instance, rules, rule, time, now).await,
    }
}

async fn attempt_over_http<W: World>(
    shard: &Shard<W>,
    call: &mut Call<W>,
    instance: InstanceId,
    rules: &[ErrorRule],
    rule: ConnectionRule,
    time: AttemptTime,
    now: Instant,
) -> Got<W> {
    let Some(target) = shard.target(instance) else { return Got::NotSent(ConnectFault::NoEndpoint) };
    let watch = shard.attempts.watch_attempt(now, time.deadline(now), call.client.clone());
    let (mut resends, mut reused) = (0, false);
    let started = loop {
        let way = match target.at_hand(rule, now) {
            Some(way) => {
                call.trace.allotted = time.deadline(now).since(now);
                Ok(way)
            }
            None => {
                watch.set_deadline(time.connect_by);
                let made = target.connection(&shard.world, rule, &watch, time.connect_by, now).await;
                let written = shard.now();
                watch.set_deadline(time.deadline(written));
                call.trace.allotted = time.deadline(written).since(written);
                made
            }
        };
        match way {
            Err(fault) => {
                shard.note_fault(ChannelId::of(instance, Transport::Http), &fault);
                return Got::NotSent(fault);
            }
            Ok(Way::Http1(mut connection, slot)) => {
                watch.set_upstream(connection.closer());
                reused = connection.is_reused();
                send(shard, call, target, &mut connection).await;
                break Incoming::start(shard, connection, slot).await;
            }
            Ok(Way::Http2(lane)) => {
                let mut body = Vec::with_capacity(call.outgoing.len());
                call.outgoing.append_to(&mut body);
                let mut own = [0; PARENT_BYTES];
                let added = call.added_fields(&mut own);
                match Incoming::over_http2(shard, lane, (&added, body), &watch).await {
                    // A connection that its provider is about to close; the next one is as good.
                    Err(Broken::NotTaken) if resends < limits::H2_RESENDS => resends += 1,
                    started => break started,
                }
            }
        }
    };
    call.trace.traced.status = started.as_ref().ok().map(|incoming| incoming.head.status);
    let mut incoming = match started {
        Ok(incoming) => incoming,
        Err(Broken::NotTaken) => return Got::NotSent(ConnectFault::TurnedAway),
        Err(Broken::Ended { unanswered }) if watch.state() == Watched::Running => {
            return Got::Lost { stale: reused && unanswered };
        }
        Err(fault) => return ended_early(fault, &watch),
    };
    // A provider that tires of an idle connection may say so just as the call is written (RFC 9110 §15.5.9).
    if reused && incoming.head.status == 408 {
        return Got::Lost { stale: true };
    }
    match collect(shard, call, &watch, &mut incoming).await {
        Ok(BodyRead::Whole(permit)) => whole(shard, call, (target, rules), incoming, permit),
        Ok(BodyRead::Start(prefix)) => stream(shard, call, watch, incoming, &prefix),
        Err(got) => got,
    }
}

/// Writes the call. A failed write is no end: the provider may have refused the call before reading all of it, so its
/// answer is looked for all the same. Nor does it prove that the provider saw nothing: from here on the call counts as
/// written.
async fn send<W: World>(shard: &Shard<W>, call: &mut Call<W>, target: &Target<W>, connection: &mut Upstream<W>) {
    let mut head = shard.buffers.take(Size::Client);
    head.extend_from_slice(&target.head);
    write_decimal(&mut head, call.outgoing.len() as u64);
    head.extend_from_slice(b"\r\n");
    let mut own = [0; PARENT_BYTES];
    for (name, value) in call.added_fields(&mut own).iter().filter(|(_, value)| !value.is_empty()) {
        [name.as_bytes(), b": ", value, b"\r\n"].iter().for_each(|part| head.extend_from_slice(part));
    }
    head.extend_from_slice(b"\r\n");
    let outgoing = &mut call.outgoing;
    let head = if outgoing.len() <= limits::COALESCE_BYTES {
        outgoing.append_to(&mut head);
        connection.write(head).await.1
    } else {
        let mut gather = shard.gather();
        outgoing.lend_to(head, &mut gather);
        let (_, mut gather) = connection.write_gather(gather).await;
        let head = outgoing.take_back(&mut gather);
        shard.give_gather(gather);
        head
    };
    shard.buffers.give(head);
}

/// How much of a body is here.
enum BodyRead {
    Whole(Option<Permit>),
    /// The beginning of a result too long to hold.
    Start(Prefix),
}

/// Reads the body until it is whole, or is a result too long to hold.
async fn collect<W: World>(
    shard: &Shard<W>,
    call: &Call<W>,
    watch: &Watch<W>,
    incoming: &mut Incoming<W>,
) -> Result<BodyRead, Got<W>> {
    let mut permit = None;
    while !incoming.is_complete() {
        let expected = incoming.total().unwrap_or(0).max(incoming.payload().len() as u64);
        if expected > limits::HOLD_BYTES as u64 && permit.is_none() {
            match beyond_hold(call, incoming) {
                Beyond::Stream(prefix) => return Ok(BodyRead::Start(prefix)),
                Beyond::Unusable(fault) => return Err(refused(shard.node.classifier.fault(fault))),
                Beyond::Wrong => return Err(refused(Outcome::malformed())),
                Beyond::ReadMore => {}
                // Its own length where that is known in advance: eight longest ones are the node's whole budget.
                Beyond::Hold => match shard.answers.take(incoming.total().unwrap_or(LONGEST).min(LONGEST)) {
                    Some(granted) => permit = Some(granted),
                    None => return Err(refused(Outcome::too_large())),
                },
            }
        }
        if incoming.payload().len() > limits::BATCH_ANSWER_BYTES {
            return Err(refused(Outcome::too_large()));
        }
        let room = if permit.is_some() { limits::BATCH_ANSWER_BYTES } else { limits::HOLD_BYTES };
        if let Err(fault) = incoming.read(shard, watch, room).await {
            return Err(ended_early(fault, watch));
        }
    }
    Ok(BodyRead::Whole(permit))
}

const LONGEST: u64 = limits::BATCH_ANSWER_BYTES as u64;

/// What to do with a body beyond the hold limit.
enum Beyond {
    Stream(Prefix),
    /// Too little is here to say.
    ReadMore,
    /// It must be held whole: an error, or the caller needs it whole.
    Hold,
    Unusable(AnswerFault),
    /// A result that the method cannot have.
    Wrong,
}

fn beyond_hold<W: World>(call: &Call<W>, incoming: &Incoming<W>) -> Beyond {
    let payload = incoming.payload();
    let is_success = (200..300).contains(&incoming.head.status);
    if !is_success || !call.may_stream {
        return Beyond::Hold;
    }
    match jsonrpc::scan_prefix(payload) {
        prefix @ Prefix::Result { value_start, .. } => {
            let start = payload.get(value_start..).unwrap_or(&[]);
            let is_wrong = method::info(call.ask.method).shape.read(start) == Sense::Wrong;
            if is_wrong { Beyond::Wrong } else { Beyond::Stream(prefix) }
        }
        Prefix::Error => Beyond::Hold,
        Prefix::Bad(fault) => Beyond::Unusable(fault),
        Prefix::NeedMore if payload.len() > limits::HOLD_BYTES => Beyond::Unusable(AnswerFault::Neither),
        Prefix::NeedMore => Beyond::ReadMore,
    }
}

fn stream<W: World>(shard: &Shard<W>, call: &Call<W>, watch: Watch<W>, incoming: Incoming<W>, prefix: &Prefix) -> Got<W> {
    match Relay::new(incoming, prefix, &call.outgoing, watch) {
        Ok(relay) => Got::Stream(Box::new(relay)),
        Err(fault) => refused(shard.node.classifier.fault(fault)),
    }
}

/// Judges a whole body.
fn whole<W: World>(
    shard: &Shard<W>,
    call: &Call<W>,
    (target, rules): (&Target<W>, &[ErrorRule]),
    incoming: Incoming<W>,
    permit: Option<Permit>,
) -> Got<W> {
    let status = incoming.head.status;
    let retry_after = incoming.retry_after();
    let (buf, body) = incoming.finish(shard, shard.now());
    let arrived = Arrived { status, retry_after: &retry_after, buf, body, permit };
    judge(shard, call, (&target.secrets, rules), &call.outgoing.id, arrived)
}

/// A whole body, and what came with it.
pub struct Arrived<'a> {
    /// 200 for a message that has none.
    pub status: u16,
    pub retry_after: &'a [u8],
    pub buf: Vec<u8>,
    pub body: Range<usize>,
    pub permit: Option<Permit>,
}

/// What a whole body means. `provider`: what must not be shown, and its own rules; `sent_id`: the id's token as it went out.
pub fn judge<W: World>(
    shard: &Shard<W>,
    call: &Call<W>,
    provider: (&[Box<str>], &[ErrorRule]),
    sent_id: &[u8],
    arrived: Arrived<'_>,
) -> Got<W> {
    let (secrets, rules) = provider;
    let Arrived { status, retry_after, buf, body, permit } = arrived;
    let is_success = (200..300).contains(&status);
    let (buf, body, scanned) = read(buf, body, sent_id);
    let payload = buf.get(body.clone()).unwrap_or(&[]);
    let classifier = &shard.node.classifier;
    let context = || Context { status, retry_after, wall: shard.world.wall(), method: call.ask.method, rules };
    let mut sense = Sense::Fits;
    let outcome = match &scanned {
        Ok(Answer { kind: AnswerKind::Result(result), .. }) if is_success => {
            let result = result.of(payload);
            sense = method::info(call.ask.method).shape.read(result);
            let is_wrong = sense == Sense::Wrong;
            classifier.result(result).or_else(|| is_wrong.then(Outcome::malformed))
        }
        Ok(Answer { kind: AnswerKind::Error { code, message, data, .. }, .. }) => {
            Some(classifier.error(&context(), *code, message.of(payload), data.of(payload)))
        }
        Err(fault) if is_success => Some(classifier.no_answer(&context(), *fault, payload)),
        _ => Some(classifier.status(&context(), payload)),
    };
    let held = scanned.ok().map(|answer| Held { buf, body, answer, permit });
    match judged(held, outcome, secrets) {
        Got::Answer { held, category: None } if sense == Sense::Null => Got::Absent { held },
        Got::Answer { held, category: None } if sense == Sense::EmptyList => match shard.doubt_of_empty(call) {
            Some(Doubt::Denied) => Got::Absent { held },
            Some(Doubt::Unproven) => Got::Unproven { held },
            None => Got::Answer { held, category: None },
        },
        got => got,
    }
}

/// Reads a whole body and brings it into the form that clients expect. The common answer stays where it is.
fn read(buf: Vec<u8>, body: Range<usize>, sent_id: &[u8]) -> (Vec<u8>, Range<usize>, Result<Answer, AnswerFault>) {
    let payload = buf.get(body.clone()).unwrap_or(&[]);
    let fitting = |payload: &[u8], answer| fits(payload, answer, sent_id);
    match jsonrpc::scan_answer(payload).and_then(|answer| fitting(payload, answer)) {
        Ok(answer) if !answer.is_plain => {
            let (buf, body, answer) = jsonrpc::repair(buf, body, &answer, sent_id);
            (buf, body, Ok(answer))
        }
        Err(AnswerFault::NotJson) => match jsonrpc::mend(payload) {
            Some((text, answer)) if fits(&text, answer, sent_id).is_ok() => {
                let all = 0..text.len();
                let (buf, body, answer) = jsonrpc::repair(text, all, &answer, sent_id);
                (buf, body, Ok(answer))
            }
            _ => (buf, body, Err(AnswerFault::NotJson)),
        },
        scanned => (buf, body, scanned),
    }
}

/// Turns an outcome into what the exchange is told. A provider's text reaches the client only where it may be shown.
fn judged<W: World>(held: Option<Held>, outcome: Option<Outcome>, secrets: &[Box<str>]) -> Got<W> {
    let (held, outcome) = match (held, outcome) {
        (Some(held), None) => return Got::Answer { held, category: None },
        (held, outcome) => (held, outcome.unwrap_or_else(Outcome::malformed)),
    };
    let shown = held.filter(|held| {
        let is_error = matches!(held.answer.kind, AnswerKind::Error { .. });
        is_error && may_show(outcome.category, held.bytes(), secrets)
    });
    match (outcome.verdict, shown) {
        (Verdict::Return, Some(held)) => Got::Answer { held, category: Some(outcome.category) },
        (_, error) => Got::Refused { outcome, error },
    }
}

/// An answer to another call is none. An error may carry `null` or no id: the provider could not read it, or did not try.
fn fits(payload: &[u8], answer: Answer, sent: &[u8]) -> Result<Answer, AnswerFault> {
    let is_error = matches!(answer.kind, AnswerKind::Error { .. });
    let fits = jsonrpc::id_matches(payload, &answer, sent) || (is_error && matches!(answer.id.of(payload), b"null" | b""));
    if fits { Ok(answer) } else { Err(AnswerFault::OtherId) }
}

fn ended_early<W: World>(fault: Broken, watch: &Watch<W>) -> Got<W> {
    match (fault, watch.state()) {
        (_, Watched::ClientGone) => Got::ClientGone,
        (_, Watched::Late | Watched::Drained) => Got::TimedOut { is_hindered: false },
        (Broken::Ended { .. } | Broken::Truncated | Broken::NotTaken, Watched::Running) => Got::Lost { stale: false },
        (Broken::Died { is_told }, Watched::Running) => Got::Lost { stale: is_told },
        (Broken::Malformed(_) | Broken::Compression, Watched::Running) => refused(Outcome::malformed()),
    }
}

fn refused<W: World>(outcome: Outcome) -> Got<W> {
    Got::Refused { outcome, error: None }
}
