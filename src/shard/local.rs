//! What the node answers by itself outside of JSON-RPC: health, readiness, preflight, and every path or head it refuses.

use crate::base::limits;
use crate::observe::question::Answer;
use crate::route::resolve::{Local, Refusal, Route, Target, arguments, cors, is_rpc_path, request_id};
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::admin;
use crate::shard::buffers::Size;
use crate::shard::client_http::{Client, Next};
use crate::shard::cluster;
use crate::shard::event_stream;
use crate::shard::reply::{self, Manner};
use crate::shard::socket::{self, NoUpgrade, Upgrade};
use crate::wire::http::{Field, HttpFault, Method, RequestHead, write_decimal, write_status_line};
use crate::wire::json::write_string;

/// What the interfaces take and answer; tests hold each answer to it.
const OPENAPI: &str = include_str!("../../config/openapi.json");

const RELOAD_HINT: &str = "profiles are read at the start: restart the node, or start its successor beside it with --reuse-port";

/// Answers what is no JSON-RPC call. The request's body has been read.
pub async fn answer<W: World>(
    client: &mut Client<W>,
    head: &RequestHead,
    buf: &[u8],
    target: Result<Target, Refusal>,
    manner: Manner,
) -> Next {
    match target {
        Err(refusal) => refuse(client, &refusal, head, buf, manner).await,
        Ok(Target::Preflight) => {
            let mut fields = Vec::new();
            if is_rpc_path(head.path.of(buf)) {
                cors::write_preflight_fields(&mut fields, head.field(Field::AccessControlRequestHeaders).of(buf));
            } else {
                reply::field(&mut fields, b"allow", b"GET, HEAD, POST, OPTIONS");
            }
            send(client, 204, &fields, None, &manner).await
        }
        Ok(Target::Local(what)) => own(client, what, head, buf, &manner).await,
        // The caller routes these; refusing is what is safe should that change.
        Ok(Target::Rpc(_) | Target::Websocket(_)) => refuse(client, &Refusal::not_found(), head, buf, manner).await,
    }
}

/// Turns the connection into a WebSocket; `end` is where what follows the request begins.
pub async fn upgrade<W: World>(
    client: &mut Client<W>,
    route: Route,
    head: &RequestHead,
    buf: &[u8],
    end: usize,
    manner: Manner,
) -> Next {
    match socket::upgrade(client, route, head, buf, &manner) {
        Ok((upgrade, answer)) => {
            let rest = buf.get(end..).unwrap_or(&[]).to_vec();
            client.upgrade = Some(Box::new(Upgrade { rest, ..upgrade }));
            if client.send(answer).await { Next::Upgrade } else { Next::Abort }
        }
        Err(NoUpgrade { status, hint }) => {
            let fields = [&client.shard.reply_fields[..], b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"].concat();
            let mut body = b"{\"errors\":{\"detail\":\"No WebSocket handshake\",\"hint\":".to_vec();
            write_string(&mut body, hint);
            body.extend_from_slice(b"}}");
            send(client, status, &fields, Some(Content::of(body, head)), &manner).await
        }
    }
}

async fn own<W: World>(client: &mut Client<W>, what: Local, head: &RequestHead, buf: &[u8], manner: &Manner) -> Next {
    let answer = match what {
        Local::Root | Local::Dashboard | Local::Asset => return Box::pin(page(client, what, head, buf, manner)).await,
        Local::Events => match Box::pin(event_stream::serve(client, head, buf, manner)).await {
            Ok(next) => return next,
            Err(refusal) => refusal,
        },
        Local::Health => health(client),
        Local::Ready => ready(client),
        Local::Chains => Answer::json(200, chains(client)),
        Local::Cluster => Answer::json(200, cluster::answer(&client.shard.node, client.now()).to_string()),
        Local::OpenApi => Answer::json(200, OPENAPI),
        Local::Reload => admin::refused(501, "reload is not available in this version", RELOAD_HINT),
        Local::Status | Local::Region | Local::Providers | Local::Metrics | Local::Shards | Local::Explain => {
            admin::answer(client, what, head, buf).await
        }
        Local::Prometheus | Local::Breakers => admin::answer(client, what, head, buf).await,
    };
    let mut fields = Vec::new();
    reply::field(&mut fields, b"content-type", answer.kind.as_bytes());
    send(client, answer.status, &fields, Some(Content::of(answer.body, head)), manner).await
}

/// The page and its files. A profile that does not exist gets the page too, with 404: it says which there are.
async fn page<W: World>(client: &mut Client<W>, what: Local, head: &RequestHead, buf: &[u8], manner: &Manner) -> Next {
    let node = client.shard.node.clone();
    let path = arguments(head.path.of(buf));
    let (status, file) = match what {
        Local::Asset => match path.get(2).and_then(|name| node.page.asset(name)) {
            Some(file) => (200, file),
            None => return refuse(client, &Refusal::not_found(), head, buf, manner.clone()).await,
        },
        Local::Dashboard => match path.get(1) {
            Some(slug) if !client.shard.snapshot().topology.profile_by_slug.contains_key(slug.as_str()) => (404, &node.page.html),
            _ => (200, &node.page.html),
        },
        _ => return send(client, 307, b"location: /dashboard\r\n", Some(Content::of(Vec::new(), head)), manner).await,
    };
    if status == 200 && file.is_held(head.field(Field::IfNoneMatch).of(buf)) {
        return send(client, 304, &file.fields, None, manner).await;
    }
    send(client, status, &file.fields, Some(Content::of(file.body.as_bytes().to_vec(), head)), manner).await
}

/// `/api/health` (docs/behaviour/shown.md#health-and-readiness): 200 while alive, 503 while draining.
fn health<W: World>(client: &Client<W>) -> Answer {
    let (node, now) = (&client.shard.node, client.now());
    let (status, word) = if node.draining.is_raised() { (503, "draining") } else { (200, "healthy") };
    let mut out = format!(
        "{{\"status\":\"{word}\",\"timestamp\":\"{}\",\"uptime_seconds\":{},\"version\":\"{}\",\"node_id\":",
        client.shard.world.wall().rfc3339(),
        node.uptime_seconds(now),
        env!("CARGO_PKG_VERSION"),
    )
    .into_bytes();
    write_string(&mut out, &node.settings.node_id);
    out.extend_from_slice(b",\"region\":");
    write_string(&mut out, &node.settings.region);
    out.extend_from_slice(b",\"cluster\":");
    out.extend_from_slice(cluster::summary(node).to_string().as_bytes());
    out.push(b'}');
    Answer::json(status, out)
}

/// `/api/ready`: 503 until a provider of each chain answered or `READY_AFTER_MS` passed.
fn ready<W: World>(client: &Client<W>) -> Answer {
    let node = &client.shard.node;
    if node.draining.is_raised() {
        return Answer::json(503, r#"{"status":"draining"}"#);
    }
    if node.ready.is_raised() || client.now().as_ms() >= limits::READY_AFTER_MS {
        return Answer::json(200, r#"{"status":"ready"}"#);
    }
    Answer::json(503, r#"{"status":"starting","hint":"waiting for the first answer of a provider of each chain"}"#)
}

/// `/api/chains` (docs/behaviour/shown.md#figures): each chain once, over all profiles.
fn chains<W: World>(client: &Client<W>) -> Vec<u8> {
    let snapshot = client.shard.snapshot();
    let all = snapshot.topology.profiles.values().flat_map(|p| p.chains.values());
    let by_number: std::collections::BTreeMap<u64, _> = all.map(|c| (c.chain_number, c)).collect();
    let mut out = b"{\"chains\":[".to_vec();
    for (index, chain) in by_number.values().enumerate() {
        out.extend_from_slice(if index > 0 { b",{\"chain_id\":\"" } else { b"{\"chain_id\":\"" });
        write_decimal(&mut out, chain.chain_number);
        out.extend_from_slice(b"\",\"name\":");
        write_string(&mut out, &chain.key);
        out.extend_from_slice(b",\"chain_name\":");
        write_string(&mut out, &chain.name);
        out.extend_from_slice(b",\"supported\":true}");
    }
    out.extend_from_slice(b"]}");
    out
}

async fn refuse<W: World>(client: &mut Client<W>, refusal: &Refusal, head: &RequestHead, buf: &[u8], manner: Manner) -> Next {
    let mut body = Vec::new();
    refusal.write_body(&mut body);
    let is_rpc = is_rpc_path(head.path.of(buf));
    let mut fields = Vec::new();
    if let Some(link) = &refusal.link {
        // First, for clients that show no more than the beginning of what refused them.
        reply::field(&mut fields, b"link", link.as_bytes());
    }
    fields.extend_from_slice(if is_rpc { &client.shard.reply_fields } else { reply::JSON_TYPE });
    if let Some(allow) = refusal.allow {
        reply::field(&mut fields, b"allow", allow.as_bytes());
    }
    let content = Content::of(body, head);
    send(client, refusal.status, &fields, Some(content), &manner).await
}

enum Content {
    Bytes(Vec<u8>),
    /// HEAD: the length only.
    LengthOf(usize),
}

impl Content {
    fn of(body: Vec<u8>, head: &RequestHead) -> Content {
        if head.method == Method::Head { Content::LengthOf(body.len()) } else { Content::Bytes(body) }
    }
}

async fn send<W: World>(client: &mut Client<W>, status: u16, fields: &[u8], content: Option<Content>, manner: &Manner) -> Next {
    let mut out = client.shard.buffers.take(Size::Client);
    reply::begin_head(&mut out, status, fields, manner);
    match content {
        None => out.extend_from_slice(b"\r\n"),
        Some(Content::LengthOf(length)) => reply::end_head(&mut out, Some(length as u64)),
        Some(Content::Bytes(body)) => {
            reply::end_head(&mut out, Some(body.len() as u64));
            out.extend_from_slice(&body);
        }
    }
    match (client.send(out).await, manner.keep_alive) {
        (false, _) => Next::Abort,
        (true, true) => Next::Continue,
        (true, false) => Next::Finish,
    }
}

/// The answer to a request that cannot be read; the connection ends with it.
pub fn write_http_fault<W: World>(shard: &Shard<W>, out: &mut Vec<u8>, fault: HttpFault, is_rpc: bool) {
    let mut body = Vec::new();
    crate::wire::jsonrpc::write_error(&mut body, b"null", -32600, fault.reason, None);
    write_status_line(out, fault.status);
    out.extend_from_slice(if is_rpc { &shard.reply_fields } else { reply::JSON_TYPE });
    reply::field(out, b"x-request-id", &request_id::generate(&mut shard.rng.borrow_mut()));
    out.extend_from_slice(b"connection: close\r\n");
    reply::end_head(out, Some(body.len() as u64));
    out.extend_from_slice(&body);
}
