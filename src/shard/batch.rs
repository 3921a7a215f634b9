//! A batch: single calls that share the choice of a provider, at most eight under way, answered in order.
//!
//! Each call may fail over alone, so one bad item costs no other anything, and each has its own time from when its turn
//! comes. Answers are held whole, since their order and the closing bracket must be right: small ones are packed, and their sum
//! is charged to the node-wide byte budget; a call whose answer has no room there is refused alone. A notification is carried
//! out and left out; when nothing is left the reply is 204. A batch that is refused as a whole is answered by a list all the
//! same: clients that batch by themselves look for each call's id and can make nothing of a single error without one.

use crate::base::ids::Transport;
use crate::base::limits;
use crate::base::span::Span;
use crate::route::meta;
use crate::route::resolve::Meta;
use crate::route::select::Ask;
use crate::runtime::budget::Permit;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::buffers::Size;
use crate::shard::call::{Call, Source, Trace};
use crate::shard::client_http::{Client, Next};
use crate::shard::forward::{Reply, forward};
use crate::shard::noted::{Noted, ended};
use crate::shard::refusal::RpcRefusal;
use crate::shard::reply::{self, Body};
use crate::shard::request::{Context, Todo, shifted};
use crate::shard::rpc::{self, Asked};
use crate::wire::jsonrpc::{self, Id};
use futures_util::stream::{self, StreamExt};
use std::cell::RefCell;
use std::rc::Rc;

/// One item's part of the reply.
enum Part {
    Body(Body),
    /// A notification.
    Silent,
    ClientGone,
}

/// Answers a batch. `items` are spans in the request's body.
pub async fn answer<W: World>(client: &mut Client<W>, asked: &Asked<'_>, items: Vec<Span>, buf: Vec<u8>) -> (Vec<u8>, Next) {
    if let Err(refusal) = admitted(client, asked, &items, &buf) {
        let body = refused(&refusal, &buf, &items, asked.body.range.start);
        let next = rpc::write_body(client, refusal.status, refusal.retry_after_s, body, &asked.manner).await;
        return (buf, next);
    }
    let shard = client.shard.clone();
    shard.counters.calls.add(items.len() as u64);
    let mut manner = asked.manner.clone();
    let context = rpc::context(client, asked, &buf, false);
    let source = Rc::new(buf);
    let start = asked.body.range.start;
    let subscribe = rpc::subscribe_refusal(client, asked, Some(&Source::Shared(source.clone())));
    let of = Items { source: &source, start, transport: Transport::Http, request_id: &manner.request_id };
    let done = carry_out(&shard, &context, of, items, &subscribe).await;
    manner.end_if(shard.node.draining.is_raised());
    if asked.route.meta == Meta::Headers {
        // The header speaks for the first call.
        let first = done.first.as_ref().map(|(trace, ask)| (trace, ask));
        let json = rpc::meta_json(&shard, &asked.snapshot, asked.route, &manner.request_id, asked.started, first);
        meta::write_header_value(&mut manner.meta_header, &json);
    }
    let next = match done.bodies {
        None => Next::Abort,
        Some(bodies) => {
            shard.counters.replies.add(bodies.len() as u64);
            if bodies.is_empty() { rpc::no_content(client, &manner).await } else { write(client, bodies, &manner).await }
        }
    };
    (Rc::try_unwrap(source).unwrap_or_else(|shared| shared.to_vec()), next)
}

/// What became of a batch.
pub struct Done {
    /// Of all but notifications, in order; `None` when the client is gone.
    pub bodies: Option<Vec<Body>>,
    pub first: Option<(Trace, Ask)>,
}

/// Where a batch's items are, and how they came.
#[derive(Clone, Copy)]
pub struct Items<'a> {
    pub source: &'a Rc<Vec<u8>>,
    /// Their spans count from here.
    pub start: usize,
    /// The client's.
    pub transport: Transport,
    /// Empty where the client has none.
    pub request_id: &'a [u8],
}

/// Carries the items out.
pub async fn carry_out<W: World>(
    shard: &Shard<W>,
    context: &Context<W>,
    of: Items<'_>,
    items: Vec<Span>,
    subscribe: &RpcRefusal,
) -> Done {
    let kept = Kept::default();
    let count = items.len();
    let work = items.into_iter().map(|item| one(shard, context, of, item, (subscribe, &kept)));
    let mut work = std::pin::pin!(stream::iter(work).buffered(limits::BATCH_PARALLEL));
    let (mut bodies, mut first, mut is_gone) = (Vec::with_capacity(count), None, false);
    while let Some((part, trace)) = work.next().await {
        first = first.or(trace);
        is_gone |= matches!(part, Part::ClientGone);
        bodies.extend(part.into_body());
    }
    // The charge for all of them is given back with the last that is written.
    if let (Some(last), Some(permit)) = (bodies.last_mut(), kept.take_permit()) {
        last.permits.push(permit);
    }
    Done { bodies: (!is_gone).then_some(bodies), first }
}

/// What a batch's answers hold until all are there, and the charge for it.
#[derive(Default)]
struct Kept(RefCell<(u64, Option<Permit>)>);

impl Kept {
    /// Packs a small answer, and charges the sum. The body of one for which there is no room is replaced by its refusal.
    fn keep<W: World>(&self, shard: &Shard<W>, mut body: Body, client_id: &[u8]) -> Body {
        if !body.permits.is_empty() {
            return body;
        }
        if !body.buf.is_empty() && body.len() <= limits::COALESCE_BYTES {
            let mut front = Vec::with_capacity(body.len());
            shard.buffers.give(body.append_to(&mut front));
            body = Body { front, ..Body::default() };
        }
        let (bytes, permit) = &mut *self.0.borrow_mut();
        let sum = *bytes + (body.front.capacity() + body.buf.capacity() + body.back.capacity()) as u64;
        let has_room = sum <= limits::HOLD_BYTES as u64
            || match permit {
                Some(permit) => permit.raise_to(sum),
                None => {
                    *permit = shard.answers.take(sum);
                    permit.is_some()
                }
            };
        if has_room {
            *bytes = sum;
            return body;
        }
        shard.buffers.give(std::mem::take(&mut body.buf));
        Body::of_refusal(&RpcRefusal::batch_out_of_memory(), client_id)
    }

    fn take_permit(&self) -> Option<Permit> {
        self.0.borrow_mut().1.take()
    }
}

/// One error for each call of a batch that is refused as a whole.
pub fn refused(refusal: &RpcRefusal, source: &[u8], items: &[Span], start: usize) -> Body {
    let mut front = Vec::new();
    let data = refusal.data.as_deref().map(str::as_bytes);
    for item in items {
        let id = match jsonrpc::scan_item(source, item.shifted(start)) {
            Ok(request) if request.id == Id::Absent => continue,
            Ok(request) => request.id_span.of(source).to_vec(),
            Err(fault) => rpc::echo(&fault, source),
        };
        front.push(if front.is_empty() { b'[' } else { b',' });
        jsonrpc::write_error(&mut front, &id, refusal.code, &refusal.message, data);
    }
    if front.is_empty() {
        return Body::of_refusal(refusal, b"null");
    }
    front.push(b']');
    Body { front, ..Body::default() }
}

/// The array as one body.
pub fn joined<W: World>(shard: &Shard<W>, bodies: Vec<Body>) -> Body {
    let mut front = Vec::with_capacity(bodies.iter().map(|body| body.len() + 1).sum::<usize>() + 1);
    let mut permits = Vec::new();
    for (index, mut body) in bodies.into_iter().enumerate() {
        front.push(if index == 0 { b'[' } else { b',' });
        permits.append(&mut body.permits);
        shard.buffers.give(body.append_to(&mut front));
    }
    front.push(b']');
    Body { front, permits, ..Body::default() }
}

/// Its size and its cost.
fn admitted<W: World>(client: &mut Client<W>, asked: &Asked, items: &[Span], buf: &[u8]) -> Result<(), RpcRefusal> {
    let snapshot = asked.snapshot.clone();
    let profile = &snapshot.topology.profiles[asked.route.profile];
    fits(items.len(), profile.max_batch_items)?;
    rpc::charge(client, asked, profile, buf, items.len() as u32)
}

/// Whether a batch of so many calls may be.
pub fn fits(items: usize, max_items: u32) -> Result<(), RpcRefusal> {
    match items {
        0 => Err(RpcRefusal::empty_batch()),
        items if items > max_items as usize => Err(RpcRefusal::batch_too_large(items, max_items)),
        _ => Ok(()),
    }
}

async fn one<W: World>(
    shard: &Shard<W>,
    context: &Context<W>,
    of: Items<'_>,
    item: Span,
    (subscribe, kept): (&RpcRefusal, &Kept),
) -> (Part, Option<(Trace, Ask)>) {
    let context = &context.at(shard.recent());
    let (source, item) = (of.source, item.shifted(of.start));
    let request = match jsonrpc::scan_item(source, item) {
        Ok(request) => shifted(request, 0),
        Err(fault) => {
            let id = rpc::echo(&fault, source);
            return (Part::Body(Body::of_refusal(&RpcRefusal::bad_request(&fault), &id)), None);
        }
    };
    let (todo, _) = context.decide(shard, &request, Source::Shared(source.clone()), item.range());
    let (reply, trace) = match todo {
        Todo::Forward(mut call) => {
            let reply = forward(shard, &mut call).await;
            let Call { trace, ask, .. } = call;
            (reply, Some((trace, ask)))
        }
        Todo::Local(result) => (Reply::Local(result), None),
        Todo::Refuse(refusal) => (Reply::Refused(refusal), None),
        Todo::Subscribe => (Reply::Refused(subscribe.clone()), None),
    };
    let lent = trace.as_ref().map(|(trace, ask)| (trace, ask));
    let noted = Noted {
        snapshot: &context.snapshot,
        route: &context.route,
        transport: of.transport,
        method: request.method.of(source),
        request_id: of.request_id,
        started: context.started,
        trace: lent,
    };
    shard.note(noted, ended(&reply, lent));
    (part(shard, reply, &request, source, kept), trace)
}

fn part<W: World>(shard: &Shard<W>, reply: Reply<W>, request: &jsonrpc::Request, source: &[u8], kept: &Kept) -> Part {
    if matches!(reply, Reply::Nothing) {
        return Part::ClientGone;
    }
    if request.id == Id::Absent {
        reply.discard(shard);
        return Part::Silent;
    }
    let client_id = Context::<W>::client_id(request, source);
    Part::Body(match reply {
        Reply::Held(held) => kept.keep(shard, Body::of_answer(held, client_id), client_id),
        Reply::Local(result) => Body::of_result(&result, client_id),
        Reply::Refused(refusal) => Body::of_refusal(&refusal, client_id),
        Reply::Stream(_) | Reply::Nothing => return Part::ClientGone,
    })
}

impl Part {
    fn into_body(self) -> Option<Body> {
        match self {
            Part::Body(body) => Some(body),
            Part::Silent | Part::ClientGone => None,
        }
    }
}

/// Writes the array: short answers together, long ones uncopied.
async fn write<W: World>(client: &mut Client<W>, bodies: Vec<Body>, manner: &reply::Manner) -> Next {
    let shard = client.shard.clone();
    let length = bodies.iter().map(Body::len).sum::<usize>() + bodies.len() + 1;
    let mut out = shard.buffers.take(Size::Upstream);
    reply::begin_head(&mut out, 200, &shard.reply_fields, manner);
    reply::end_head(&mut out, Some(length as u64));
    for (index, body) in bodies.into_iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        if body.len() > limits::COALESCE_BYTES {
            if !rpc::send_gathered(client, std::mem::take(&mut out), body).await {
                return Next::Abort;
            }
            out = shard.buffers.take(Size::Upstream);
            continue;
        }
        shard.buffers.give(body.append_to(&mut out));
        // In parts, so that the time for each counts what the client takes.
        if out.len() >= limits::STREAM_BUFFER_BYTES {
            if !client.send(std::mem::take(&mut out)).await {
                return Next::Abort;
            }
            out = shard.buffers.take(Size::Upstream);
        }
    }
    out.push(b']');
    match (client.send(out).await, manner.keep_alive) {
        (false, _) => Next::Abort,
        (true, true) => Next::Continue,
        (true, false) => Next::Finish,
    }
}
