//! One message of a WebSocket client: a call or a batch, as over HTTP, with the connection's own bounds.

use crate::base::ids::Transport;
use crate::base::span::Span;
use crate::base::time::Instant;
use crate::chain::hex;
use crate::observe::decision::Ended;
use crate::route::resolve::{Meta, request_id};
use crate::route::select::Ask;
use crate::runtime::budget::Permit;
use crate::runtime::world::World;
use crate::shard::batch;
use crate::shard::call::{Call, Source, Trace};
use crate::shard::deadlines::Patron;
use crate::shard::forward::{Reply, forward};
use crate::shard::noted::{Noted, ended};
use crate::shard::refusal::RpcRefusal;
use crate::shard::reply::Body;
use crate::shard::request::{Context, Todo};
use crate::shard::rpc::{self, echo};
use crate::shard::socket::Socket;
use crate::shard::{Current, Fault};
use crate::snapshot::Snapshot;
use crate::stream::event::BlockHash;
use crate::wire::jsonrpc::{self, Id, Request};
use std::rc::Rc;

/// Takes a message apart; what needs a provider goes on in a task of its own.
pub fn take<W: World>(socket: &Rc<Socket<W>>, body: Vec<u8>, permit: Option<Permit>) {
    let now = socket.shard.now();
    socket.shard.sweep_if_overdue(now);
    if socket.shard.node.draining.is_raised() || socket.is_leaving() {
        return socket.refuse(&RpcRefusal::stopping(), b"null");
    }
    match jsonrpc::scan_body(&body) {
        Ok(jsonrpc::Body::Single(request)) => single(socket, request, body, permit, now),
        Ok(jsonrpc::Body::Batch(items)) => many(socket, items, body, permit, now),
        Err(fault) => {
            let id = echo(&fault, &body);
            socket.refuse(&RpcRefusal::bad_request(&fault), &id);
        }
    }
}

fn single<W: World>(socket: &Rc<Socket<W>>, request: Request, body: Vec<u8>, permit: Option<Permit>, now: Instant) {
    let wants_notice = !request.canonical && asks_for_notice(&body);
    let client_id = Context::<W>::client_id(&request, &body).to_vec();
    let snapshot = socket.shard.snapshot();
    let refuse = |refusal: &RpcRefusal| {
        if request.id != Id::Absent {
            socket.refuse(refusal, &client_id);
        }
    };
    let room = Room::take(socket, body.len(), permit);
    if let Err(refusal) = socket.charge(&snapshot, now, 1) {
        return refuse(&refusal);
    }
    socket.shard.counters.calls.add(1);
    let context = socket.context(&snapshot, now);
    let whole = 0..body.len();
    let (todo, source) = context.decide(&socket.shard, &request, Source::Own(body), whole);
    let is_silent = request.id == Id::Absent;
    let finish = |end: Ended, body: Body, source: Option<Source>| {
        socket.note(&snapshot, method_of(&request, source.as_ref()), now, None, end);
        if !is_silent {
            let meta = socket.wanted_meta(&snapshot, now, None, wants_notice);
            socket.reply_with(body, meta, wants_notice);
        }
    };
    let call = match todo {
        Todo::Forward(call) => call,
        Todo::Local(result) => {
            let end = Ended::Result { bytes: Some(result.len() as u64) };
            return finish(end, Body::of_result(&result, &client_id), source);
        }
        Todo::Refuse(refusal) => {
            let end = Ended::Refused { code: refusal.code, category: None };
            return finish(end, Body::of_refusal(&refusal, &client_id), source);
        }
        Todo::Subscribe => {
            let body = source.map(Source::into_bytes).unwrap_or_default();
            let client_id = (!is_silent).then_some(&client_id[..]);
            let (method, params) = (request.method.of(&body), request.params.of(&body));
            return socket.on_subscription_call(method, params, client_id, wants_notice);
        }
    };
    let work = carry_out(room, call, request.method, client_id, is_silent, wants_notice);
    socket.shard.world.spawn("websocket call", work);
}

async fn carry_out<W: World>(
    room: Room<W>,
    mut call: Call<W>,
    method: Span,
    client_id: Vec<u8>,
    is_silent: bool,
    wants_notice: bool,
) {
    let socket = &room.socket;
    let reply = forward(&socket.shard, &mut call).await;
    let Call { trace, ask, snapshot, started, outgoing, .. } = &call;
    let trace = Some((trace, ask));
    let end = ended(&reply, trace);
    socket.note(snapshot, method.of(outgoing.source.bytes()), *started, trace, end);
    if is_silent || socket.is_gone.get() {
        return reply.discard(&socket.shard);
    }
    let body = match reply {
        Reply::Nothing => return,
        // Nothing streams into a frame: its length comes first.
        Reply::Stream(_) => return socket.lose(),
        Reply::Held(held) => Body::of_answer(held, &client_id),
        Reply::Local(result) => Body::of_result(&result, &client_id),
        Reply::Refused(refusal) => Body::of_refusal(&refusal, &client_id),
    };
    let meta = socket.wanted_meta(snapshot, *started, trace, wants_notice);
    socket.reply_with(body, meta, wants_notice);
}

fn many<W: World>(socket: &Rc<Socket<W>>, items: Vec<Span>, body: Vec<u8>, permit: Option<Permit>, now: Instant) {
    let snapshot = socket.shard.snapshot();
    let max_items = snapshot.topology.profiles[socket.route.profile].max_batch_items;
    let admitted = batch::fits(items.len(), max_items).and_then(|()| socket.charge(&snapshot, now, items.len() as u32));
    if let Err(refusal) = admitted {
        return socket.reply(batch::refused(&refusal, &body, &items, 0));
    }
    let room = Room::take(socket, body.len(), permit);
    socket.shard.counters.calls.add(items.len() as u64);
    let context = socket.context(&snapshot, now);
    let work = async move {
        let socket = &room.socket;
        let subscribe = RpcRefusal::subscribe_in_batch();
        let source = Rc::new(body);
        let of = batch::Items { source: &source, start: 0, transport: Transport::Ws, request_id: &[] };
        let done = batch::carry_out(&socket.shard, &context, of, items, &subscribe).await;
        let Some(bodies) = done.bodies else { return };
        socket.shard.counters.replies.add(bodies.len() as u64);
        if !bodies.is_empty() {
            socket.outbox.push_reply(batch::joined(&socket.shard, bodies));
        }
    };
    socket.shard.world.spawn("websocket batch", work);
}

fn method_of<'a>(request: &Request, source: Option<&'a Source>) -> &'a [u8] {
    source.map_or(&[], |source| request.method.of(source.bytes()))
}

/// `"lasso_meta":"notify"` beside the call's own keys (docs/behaviour/shown.md#metadata).
fn asks_for_notice(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Wish {
        #[serde(default)]
        lasso_meta: Option<Box<str>>,
    }
    serde_json::from_slice::<Wish>(body).is_ok_and(|wish| wish.lasso_meta.as_deref() == Some("notify"))
}

/// A request's share of the connection's bounds, while it is under way.
struct Room<W: World> {
    socket: Rc<Socket<W>>,
    bytes: usize,
    /// Of the node-wide budget, for long ones.
    _permit: Option<Permit>,
}

impl<W: World> Room<W> {
    fn take(socket: &Rc<Socket<W>>, bytes: usize, permit: Option<Permit>) -> Room<W> {
        socket.calls.set(socket.calls.get() + 1);
        socket.bytes.set(socket.bytes.get() + bytes);
        Room { socket: socket.clone(), bytes, _permit: permit }
    }
}

impl<W: World> Drop for Room<W> {
    fn drop(&mut self) {
        self.socket.calls.set(self.socket.calls.get() - 1);
        self.socket.bytes.set(self.socket.bytes.get() - self.bytes);
        self.socket.freed.ring();
        let now = self.socket.shard.recent();
        self.socket.end_if_drained(now);
        self.socket.leave_if_due(now);
    }
}

impl<W: World> Socket<W> {
    fn charge(&self, snapshot: &Current, now: Instant, cost: u32) -> Result<(), RpcRefusal> {
        rpc::charge_key(&self.shard, &snapshot.topology.profiles[self.route.profile], self.key, now, cost)
    }

    fn context(&self, snapshot: &Current, started: Instant) -> Context<W> {
        let patron = Patron::Socket(self.is_gone.clone());
        Context::new(&self.shard, snapshot.clone(), self.route, &self.region, started, patron, false)
    }

    fn note(&self, snapshot: &Snapshot, method: &[u8], started: Instant, trace: Option<(&Trace, &Ask)>, end: Ended) {
        let (route, transport) = (&self.route, Transport::Ws);
        self.shard.note(Noted { snapshot, route, transport, method, request_id: &[], started, trace }, end);
    }

    /// A call's metadata, if it or its connection asks for them.
    fn wanted_meta(&self, snapshot: &Current, started: Instant, trace: Option<(&Trace, &Ask)>, notice: bool) -> Option<Vec<u8>> {
        let id = || request_id::generate(&mut self.shard.rng.borrow_mut());
        let json = || rpc::meta_json(&self.shard, snapshot, self.route, &id(), started, trace);
        (notice || self.route.meta == Meta::Body).then(json)
    }

    /// The metadata of a subscription that begins above this block, as a notification: where a later life of it can go on.
    pub fn notify_of_resume(&self, block: Option<BlockHash>) {
        let snapshot = self.shard.snapshot();
        let Some(mut json) = self.wanted_meta(&snapshot, self.shard.now(), None, true) else { return };
        if let Some(block) = block
            && json.pop_if(|last| *last == b'}').is_some()
        {
            json.extend_from_slice(br#","resume":"?resume="#);
            hex::write_bytes(&mut json, &block.0);
            json.extend_from_slice(b"\"}");
        }
        self.push_notice(&json);
    }

    fn push_notice(&self, json: &[u8]) {
        let front = [br#"{"jsonrpc":"2.0","method":"lasso_meta","params":"#, json, b"}"].concat();
        self.outbox.push_reply(Body { front, ..Body::default() });
    }

    /// With metadata in the reply, or behind it as a notification of its own (docs/behaviour/shown.md#metadata).
    fn reply_with(&self, body: Body, meta: Option<Vec<u8>>, as_notice: bool) {
        let Some(json) = meta else { return self.reply(body) };
        if !as_notice {
            return self.reply(body.with_meta(&json));
        }
        self.reply(body);
        self.push_notice(&json);
    }

    pub(super) fn reply(&self, body: Body) {
        self.shard.counters.replies.add(1);
        if let Some(again) = self.repeat_by_fault(&body) {
            self.outbox.push_reply(again);
        }
        self.outbox.push_reply(body);
    }

    /// The simulator's deliberate bug: now and then a reply goes out twice.
    fn repeat_by_fault(&self, body: &Body) -> Option<Body> {
        let is_twice = W::FAULTS && self.shard.fault == Fault::DoubleReply && self.shard.rng.borrow_mut().chance(20_000);
        let front = || [&body.front[..], body.stretch(), &body.back].concat();
        is_twice.then(|| Body { front: front(), ..Body::default() })
    }

    pub fn refuse(&self, refusal: &RpcRefusal, id: &[u8]) {
        self.reply(Body::of_refusal(refusal, id));
    }
}
