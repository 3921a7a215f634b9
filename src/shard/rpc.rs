//! A JSON-RPC request on a client connection: limits, then one call or a batch, then the reply.

use crate::base::ids::{SlotId, Transport};
use crate::base::limits;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::config::topology::{Chain, Profile};
use crate::observe::decision::Ended;
use crate::route::explain::explain;
use crate::route::limit::{Admit, admit};
use crate::route::meta;
use crate::route::resolve::{Meta, Route};
use crate::route::select::Ask;
use crate::runtime::limiter::ClientKey;
use crate::runtime::world::World;
use crate::shard::call::{Source, Trace};
use crate::shard::client_http::{Client, Next, ReadBody};
use crate::shard::deadlines::Patron;
use crate::shard::forward::{Reply, forward};
use crate::shard::noted::{Noted, ended};
use crate::shard::passed::PassedFields;
use crate::shard::refusal::RpcRefusal;
use crate::shard::relay;
use crate::shard::reply::{self, Body, Manner};
use crate::shard::request::{Context, Todo, shifted, websocket_url};
use crate::shard::traced::ClientTrace;
use crate::shard::{Current, Fault, Shard, batch};
use crate::snapshot::{ChainPlan, members};
use crate::wire::http::{Field, Method, RequestHead};
use crate::wire::jsonrpc::{self, Id, Request, RequestFault};

/// One request under way.
pub struct Asked<'a> {
    pub head: &'a RequestHead,
    pub route: Route,
    pub snapshot: Current,
    pub body: ReadBody,
    pub manner: Manner,
    pub started: Instant,
}

/// Answers a POST to an RPC path. `buf` holds the request and comes back.
pub async fn answer<W: World>(client: &mut Client<W>, asked: &mut Asked<'_>, buf: Vec<u8>) -> (Vec<u8>, Next) {
    asked.manner.in_headers = asked.route.meta == Meta::Headers;
    debug_assert!(asked.head.method == Method::Post, "resolve refuses every other verb");
    if !is_json(asked.head.field(Field::ContentType).of(&buf)) {
        let next = Box::pin(refuse(client, &RpcRefusal::not_json(), b"null", &asked.manner)).await;
        return (buf, next);
    }
    let body = buf.get(asked.body.range.clone()).unwrap_or(&[]);
    match jsonrpc::scan_body(body) {
        Ok(jsonrpc::Body::Single(request)) => {
            let request = shifted(request, asked.body.range.start);
            single(client, asked, &request, buf).await
        }
        Ok(jsonrpc::Body::Batch(items)) => {
            // Boxed: batches are the rarer form, and their state would sit in every request.
            Box::pin(batch::answer(client, asked, items, buf)).await
        }
        Err(fault) => {
            let id = echo(&fault, body);
            let next = Box::pin(refuse(client, &RpcRefusal::bad_request(&fault), &id, &asked.manner)).await;
            (buf, next)
        }
    }
}

/// The id that a refused request gets back.
pub fn echo(fault: &RequestFault, body: &[u8]) -> Vec<u8> {
    let id = fault.id();
    if id.is_empty() { b"null".to_vec() } else { id.of(body).to_vec() }
}

/// What is large is lent: a future is moved into its caller's state with all that it owns.
async fn single<W: World>(client: &mut Client<W>, asked: &mut Asked<'_>, request: &Request, buf: Vec<u8>) -> (Vec<u8>, Next) {
    let shard = client.shard.clone();
    let profile = &asked.snapshot.topology.profiles[asked.route.profile];
    if let Err(refusal) = charge(client, asked, profile, &buf, 1) {
        let id = Context::<W>::client_id(request, &buf).to_vec();
        let next = Box::pin(refuse(client, &refusal, &id, &asked.manner)).await;
        return (buf, next);
    }
    shard.counters.calls.add(1);
    let may_stream = !asked.manner.is_http_10 && asked.route.meta != Meta::Body;
    let context = context(client, asked, &buf, may_stream);
    let (mut todo, source) = context.decide(&shard, request, Source::Own(buf), asked.body.range.clone());
    let (reply, trace, source) = match todo {
        Todo::Forward(ref mut call) => {
            let reply = forward(&shard, call).await;
            let source = std::mem::take(&mut call.outgoing.source);
            (reply, Some((&call.trace, &call.ask)), Some(source))
        }
        Todo::Local(result) => (Reply::Local(result), None, source),
        Todo::Refuse(refusal) => (Reply::Refused(refusal), None, source),
        Todo::Subscribe => (Reply::Refused(subscribe_refusal(client, asked, source.as_ref())), None, source),
    };
    asked.manner.end_if(shard.node.draining.is_raised());
    let buf = source.map(Source::into_bytes).unwrap_or_default();
    if request.id == Id::Absent && !matches!(reply, Reply::Nothing) {
        shard.note(noted(asked, request, &buf, trace), ended(&reply, trace));
        reply.discard(&shard);
        let next = Box::pin(no_content(client, &asked.manner)).await;
        return (buf, next);
    }
    let next = write_reply(client, asked, (request, &buf), reply, trace).await;
    (buf, next)
}

pub fn context<W: World>(client: &Client<W>, asked: &Asked, buf: &[u8], may_stream: bool) -> Context<W> {
    let region = std::str::from_utf8(asked.route.region.of(buf)).unwrap_or("").trim();
    let patron = Patron::Http(client.closer.clone());
    let context = Context::new(&client.shard, asked.snapshot.clone(), asked.route, region, asked.started, patron, may_stream);
    let names = &asked.snapshot.chain(asked.route.profile, asked.route.chain).forward_headers;
    let passed = PassedFields::read(names, buf.get(..asked.head.len).unwrap_or(&[]));
    Context { client_trace: ClientTrace::read(asked.head, buf), passed, ..context }
}

pub fn subscribe_refusal<W: World>(client: &Client<W>, asked: &Asked, source: Option<&Source>) -> RpcRefusal {
    let bytes = source.map(Source::bytes).unwrap_or(&[]);
    let settings = &client.shard.node.settings;
    let path = String::from_utf8_lossy(asked.head.path.of(bytes)).into_owned();
    let forwarded = asked.head.field(Field::ForwardedProto).of(bytes);
    let is_https = forwarded == b"https" && settings.trusted_proxies.trusts(client.peer);
    let scheme = settings.scheme.as_deref().unwrap_or(if is_https { "https" } else { "http" });
    RpcRefusal::subscribe_over_http(&websocket_url(scheme, &settings.host, &path))
}

/// Asks the limiter for `cost` calls (docs/behaviour/clients.md#client-limits).
pub fn charge<W: World>(
    client: &mut Client<W>,
    asked: &Asked,
    profile: &Profile,
    buf: &[u8],
    cost: u32,
) -> Result<(), RpcRefusal> {
    if profile.rps_limit == 0 {
        return Ok(());
    }
    let node = client.shard.node.clone();
    let address = client.address(asked.head, buf);
    let key = match client.limit_key {
        Some((of, at, key)) if of == asked.route.profile && at == address => key,
        _ => node.client_key(asked.route.profile, address),
    };
    client.limit_key = Some((asked.route.profile, address, key));
    charge_key(&client.shard, profile, key, asked.started, cost)
}

pub fn charge_key<W: World>(
    shard: &Shard<W>,
    profile: &Profile,
    key: ClientKey,
    now: Instant,
    cost: u32,
) -> Result<(), RpcRefusal> {
    let (rps, burst) = (profile.rps_limit, profile.burst_limit);
    if rps == 0 {
        return Ok(());
    }
    let mut refusal = None;
    shard.node.limiter.charge(key, |tat| match admit(tat, now, cost, rps, burst) {
        Admit::Pass { new_tat } => Some(new_tat),
        Admit::Wait { retry_after_ms } => {
            refusal = Some(RpcRefusal::rate_limited(rps, retry_after_ms));
            None
        }
        Admit::NeverFits { max_cost } => {
            refusal = Some(RpcRefusal::over_burst(rps, max_cost));
            None
        }
    });
    match refusal {
        None => Ok(()),
        Some(refusal) => {
            shard.counters.limited.add(u64::from(cost));
            Err(refusal)
        }
    }
}

async fn write_reply<W: World>(
    client: &mut Client<W>,
    asked: &mut Asked<'_>,
    (request, buf): (&Request, &[u8]),
    reply: Reply<W>,
    trace: Option<(&Trace, &Ask)>,
) -> Next {
    let end = ended(&reply, trace);
    if !matches!(reply, Reply::Stream(_)) {
        client.shard.note(noted(asked, request, buf, trace), end);
    }
    let client_id = Context::<W>::client_id(request, buf);
    let meta = (asked.route.meta != Meta::None)
        .then(|| meta_json(&client.shard, &asked.snapshot, asked.route, &asked.manner.request_id, asked.started, trace));
    if let (Meta::Headers, Some(json)) = (asked.route.meta, &meta) {
        meta::write_header_value(&mut asked.manner.meta_header, json);
    }
    let (status, retry_after_s, body) = match reply {
        Reply::Nothing => return Next::Abort,
        // Boxed, like every path but the common one: their state would sit in every request.
        Reply::Stream(relay) => {
            let next = Box::pin(stream(client, *relay, &asked.manner, client_id)).await;
            let end = if next == Next::Abort { Ended::Truncated } else { end };
            client.shard.note(noted(asked, request, buf, trace), end);
            return next;
        }
        Reply::Held(held) => (200, None, Body::of_answer(held, client_id)),
        Reply::Local(result) => (200, None, Body::of_result(&result, client_id)),
        Reply::Refused(refusal) => (refusal.status, refusal.retry_after_s, Body::of_refusal(&refusal, client_id)),
    };
    let body = match (asked.route.meta, &meta) {
        (Meta::Body, Some(json)) => body.with_meta(json),
        _ => body,
    };
    client.shard.counters.replies.add(1);
    write_body(client, status, retry_after_s, body, &asked.manner).await
}

fn noted<'a>(asked: &'a Asked<'_>, request: &Request, buf: &'a [u8], trace: Option<(&'a Trace, &'a Ask)>) -> Noted<'a> {
    Noted {
        snapshot: &asked.snapshot,
        route: &asked.route,
        transport: Transport::Http,
        method: request.method.of(buf),
        request_id: &asked.manner.request_id,
        started: asked.started,
        trace,
    }
}

/// `lasso_meta` of a call (docs/behaviour/shown.md#metadata).
pub fn meta_json<W: World>(
    shard: &Shard<W>,
    snapshot: &Current,
    route: Route,
    request_id: &[u8],
    started: Instant,
    trace: Option<(&Trace, &Ask)>,
) -> Vec<u8> {
    let chain = snapshot.chain(route.profile, route.chain);
    let plan = snapshot.plan(route.profile, route.chain);
    let (trace, ask) = trace.unzip();
    let name_of = |slot: SlotId| chain.providers[plan.fixed.providers[slot]].id.as_ref();
    let transport_of = |slot: SlotId| plan.fixed.channels[slot].transport();
    let selected = trace.and_then(|t| Some((t, t.selected?)));
    let attempted = selected.map(|(trace, slot)| meta::Attempted {
        selected: name_of(slot),
        transport: transport_of(slot),
        selection_ns: trace.selection.as_nanos() as u64,
        upstream_ns: trace.upstream.as_nanos() as u64,
        total_ns: shard.now().since(started).as_nanos() as u64,
        retries: u32::from(trace.retries),
        circuit: trace.circuit,
    });
    let facts = meta::Facts {
        request_id: std::str::from_utf8(request_id).unwrap_or(""),
        strategy: Some(trace.map_or(route.strategy.unwrap_or(plan.fixed.default_strategy), |t| t.strategy)),
        chain: &chain.key,
        chain_number: chain.chain_number,
        attempted,
    };
    let candidates = members(plan.choosable(route.pin, route.allow_failover) & plan.fixed.over(route.transport));
    let mut json = Vec::new();
    meta::write_meta(&mut json, &facts, candidates.map(|slot| (name_of(slot), transport_of(slot))));
    if let Some(ask) = ask {
        add_candidates(&mut json, plan, chain, ask, route.meta, &mut shard.rng.borrow_mut());
    }
    json
}

/// Every channel's stage and numbers, from the rules that chose; a header too long for them goes without.
fn add_candidates(json: &mut Vec<u8>, plan: &ChainPlan, chain: &Chain, ask: &Ask, meta: Meta, rng: &mut Rng) {
    let short = json.len();
    let parts = explain(plan, ask, rng);
    let standings = &plan.ranking(ask.method).standings;
    let candidates = parts.iter().map(|(id, part)| meta::Candidate {
        id: &chain.providers[plan.fixed.providers[id]].id,
        transport: plan.fixed.channels[id].transport(),
        part: *part,
        latency_us: standings.get(id).and_then(|s| s.latency_us.or(s.prior_us)),
    });
    meta::add_candidates(json, candidates);
    if meta == Meta::Headers && json.len() > limits::META_HEADER_BYTES / 4 * 3 {
        // Its last brace made room for them.
        json.truncate(short.saturating_sub(1));
        json.push(b'}');
    }
}

/// Writes one reply with its body: in one piece when it is short, else by a gathering write.
pub async fn write_body<W: World>(
    client: &mut Client<W>,
    status: u16,
    retry_after_s: Option<u64>,
    body: Body,
    manner: &Manner,
) -> Next {
    let shard = client.shard.clone();
    let mut out = shard.buffers.take(crate::shard::buffers::Size::Client);
    reply::begin_head(&mut out, status, &shard.reply_fields, manner);
    if let Some(seconds) = retry_after_s {
        reply::field(&mut out, b"retry-after", seconds.to_string().as_bytes());
    }
    reply::end_head(&mut out, Some(body.len() as u64));
    let sent = if body.len() <= limits::COALESCE_BYTES {
        shard.buffers.give(body.append_to(&mut out));
        repeat_by_fault(&shard, &mut out);
        client.send(out).await
    } else {
        send_gathered(client, out, body).await
    };
    match (sent, manner.keep_alive) {
        (false, _) => Next::Abort,
        (true, true) => Next::Continue,
        (true, false) => Next::Finish,
    }
}

/// The simulator's deliberate bug: now and then the whole reply goes out twice.
fn repeat_by_fault<W: World>(shard: &Shard<W>, out: &mut Vec<u8>) {
    if W::FAULTS && shard.fault == Fault::DoubleReply && shard.rng.borrow_mut().chance(20_000) {
        out.extend_from_within(..);
    }
}

/// Writes `head` and a long body without copying its stretch.
pub async fn send_gathered<W: World>(client: &mut Client<W>, head: Vec<u8>, body: Body) -> bool {
    let shard = client.shard.clone();
    let watch = &client.watch;
    // Whoever goes on taking it has the time again.
    let set_deadline = || watch.set_deadline(shard.recent().plus_ms(limits::CLIENT_WRITE_TIMEOUT_MS));
    set_deadline();
    reply::write_gathered(&shard, &mut client.write, head, body, set_deadline).await
}

async fn stream<W: World>(client: &mut Client<W>, relay: relay::Relay<W>, manner: &Manner, client_id: &[u8]) -> Next {
    let shard = client.shard.clone();
    let mut head = shard.buffers.take(crate::shard::buffers::Size::Client);
    reply::begin_head(&mut head, 200, &shard.reply_fields, manner);
    reply::end_head(&mut head, relay.length(client_id));
    let out = relay::Reply { writer: &mut client.write, client: &client.watch, head, client_id };
    match relay.pass_on(&shard, out).await {
        Ok(()) => {
            shard.counters.replies.add(1);
            if manner.keep_alive { Next::Continue } else { Next::Finish }
        }
        Err(fault) => {
            shard.counters.truncated.add(u64::from(fault == relay::RelayFault::Answer));
            Next::Abort
        }
    }
}

/// A refusal as the reply to a whole request.
pub async fn refuse<W: World>(client: &mut Client<W>, refusal: &RpcRefusal, id: &[u8], manner: &Manner) -> Next {
    write_body(client, refusal.status, refusal.retry_after_s, Body::of_refusal(refusal, id), manner).await
}

/// The reply to notifications.
pub async fn no_content<W: World>(client: &mut Client<W>, manner: &Manner) -> Next {
    let mut out = client.shard.buffers.take(crate::shard::buffers::Size::Client);
    reply::begin_head(&mut out, 204, &client.shard.reply_fields, manner);
    out.extend_from_slice(b"\r\n");
    match (client.send(out).await, manner.keep_alive) {
        (false, _) => Next::Abort,
        (true, true) => Next::Continue,
        (true, false) => Next::Finish,
    }
}

/// A missing content type counts as JSON; parameters do not matter.
fn is_json(content_type: &[u8]) -> bool {
    let kind = content_type.split(|&b| b == b';').next().unwrap_or(&[]).trim_ascii();
    let known: [&[u8]; 4] = [b"", b"application/json", b"application/json-rpc", b"application/jsonrequest"];
    known.iter().any(|k| k.eq_ignore_ascii_case(kind)) || kind.to_ascii_lowercase().ends_with(b"+json")
}
