//! `/api/events`: what happens, as server-sent events (docs/behaviour/shown.md#events), for the page, `lasso top` and `curl`.
//!
//! A reader is a place in the node's backlog and a connection; it is looked after twenty times a second, and what it does
//! not take in time is counted and left out. The response has no length: its end is the connection's. A reader that has
//! left is noticed by a write, at the latest by a heartbeat's.

use crate::base::ids::ChainId;
use crate::base::limits;
use crate::base::time::Instant;
use crate::config::topology::{Profile, Topology};
use crate::observe::backlog::{Batch, Wanted};
use crate::observe::question::Answer;
use crate::route::resolve::query_value;
use crate::runtime::events::Reader;
use crate::runtime::world::World;
use crate::shard::admin::refused;
use crate::shard::client_http::{Client, Next};
use crate::shard::reply::{self, Manner};
use crate::wire::http::{Field, Method, RequestHead};
use crate::wire::sse::{HEARTBEAT, write_event};
use serde_json::json;

const HEAD: &[u8] = b"content-type: text/event-stream\r\ncache-control: no-store\r\nx-accel-buffering: no\r\n\
    connection: close\r\n";

/// Serves a reader to its end, or says why it cannot be one.
pub async fn serve<W: World>(client: &mut Client<W>, head: &RequestHead, buf: &[u8], manner: &Manner) -> Result<Next, Answer> {
    let shard = client.shard.clone();
    let wanted = wanted(&shard.snapshot().topology, head.query.of(buf))?;
    let last_id = std::str::from_utf8(head.field(Field::LastEventId).of(buf)).ok().filter(|id| !id.is_empty());
    let origin = wanted.others.then(|| origin(&shard.node.settings.node_id, &shard.node.settings.region));
    let Some(reader) = shard.node.events.read(wanted, last_id) else {
        return Err(refused(503, "too many readers of events", "close one; each page and each lasso top is one"));
    };
    let mut out = Vec::with_capacity(limits::CLIENT_BUFFER_BYTES);
    // `connection: close` is among the fields.
    reply::begin_head(&mut out, 200, HEAD, &Manner { keep_alive: true, is_http_10: false, ..manner.clone() });
    out.extend_from_slice(b"\r\n");
    if head.method != Method::Head {
        write_hello(&mut out, client);
    }
    if !client.send(out).await {
        return Ok(Next::Abort);
    }
    if head.method == Method::Head { Ok(Next::Finish) } else { Ok(pass_on(client, reader, origin.as_deref()).await) }
}

fn wanted(topology: &Topology, query: &[u8]) -> Result<Wanted, Answer> {
    let mut wanted = Wanted::default();
    let mut scope: Option<&Profile> = None;
    if let Some(slug) = query_value(query, "profile") {
        let id = topology.profile_by_slug.get(slug.as_str()).copied();
        let id = id.ok_or_else(|| refused(404, &format!("no profile \"{slug}\""), "GET /api/status lists them"))?;
        (wanted.profile, scope) = (Some(id), topology.profiles.get(id));
    }
    if let Some(name) = query_value(query, "chain") {
        let Some(scope) = scope else {
            return Err(refused(400, "a chain belongs to a profile", "add profile=SLUG"));
        };
        let id: Option<ChainId> = scope.chain_by_name.get(name.as_str()).copied();
        wanted.chain = Some(id.ok_or_else(|| refused(404, &format!("no chain \"{name}\""), "GET /api/chains lists them"))?);
    }
    match query_value(query, "scope").as_deref() {
        Some("cluster") => wanted.others = true,
        None | Some("node" | "") => {}
        Some(_) => {
            return Err(refused(400, "no such scope", "scope is node, which is usual, or cluster: what happens on all nodes"));
        }
    }
    if let Some(names) = query_value(query, "types") {
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        wanted.events = names.take(limits::EVENT_NAMES).map(Box::from).collect();
    }
    Ok(wanted)
}

fn write_hello<W: World>(out: &mut Vec<u8>, client: &Client<W>) {
    let settings = &client.shard.node.settings;
    let hello = json!({
        "node_id": settings.node_id,
        "region": settings.region,
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": settings.started.rfc3339(),
        "timestamp": client.shard.world.wall().rfc3339(),
    });
    write_event(out, "hello", None, [hello.to_string().as_bytes()]);
}

/// What an event of this node begins with, for a reader who hears of several.
fn origin(node_id: &str, region: &str) -> String {
    let text = json!({ "node_id": node_id, "region": region }).to_string();
    text.trim_end_matches('}').to_owned() + ","
}

/// Until the reader leaves, or the node ends: then it comes back to whoever serves next.
async fn pass_on<W: World>(client: &mut Client<W>, mut reader: Reader, origin: Option<&str>) -> Next {
    let shard = client.shard.clone();
    let mut heard_at = shard.now();
    loop {
        let batch = reader.take();
        let now = shard.now();
        let mut out = Vec::new();
        write_batch(&mut out, &batch, reader.last_id().as_deref(), origin);
        if out.is_empty() && now.since(heard_at).as_millis() as u64 >= limits::EVENT_HEARTBEAT_MS {
            out.extend_from_slice(HEARTBEAT);
        }
        if !out.is_empty() {
            heard_at = now;
            if !client.send(out).await {
                return Next::Abort;
            }
            client.watch.set_deadline(Instant::NEVER);
        }
        if shard.node.draining.is_raised() {
            return Next::Finish;
        }
        shard.world.sleep_until(now.plus_ms(limits::EVENT_BATCH_MS)).await;
    }
}

/// With `origin` before each event of this node; those of others have theirs.
fn write_batch(out: &mut Vec<u8>, batch: &Batch, id: Option<&str>, origin: Option<&str>) {
    if batch.lost > 0 {
        write_event(out, "lost", None, [json!({ "lost": batch.lost }).to_string().as_bytes()]);
    }
    if batch.lines.is_empty() {
        return;
    }
    let lines = batch.lines.iter().enumerate().flat_map(|(nth, line)| {
        let before = if nth == 0 { &b"["[..] } else { b"," };
        match (origin, line.json.strip_prefix('{')) {
            (Some(origin), Some(rest)) if line.is_own => [before, origin.as_bytes(), rest.as_bytes()],
            _ => [before, b"", line.json.as_bytes()],
        }
    });
    write_event(out, "batch", id, lines.chain([&b"]"[..]]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::backlog::ToldLine;

    #[test]
    fn a_batch_is_one_message_with_one_line() {
        let line = |json: &str| ToldLine { json: json.into(), is_own: !json.contains("node_id") };
        let told = |lines: &[&str], lost, origin: Option<&str>, want: &str| {
            let batch = Batch { lines: lines.iter().map(|json| line(json)).collect(), next: 9, lost };
            let mut out = Vec::new();
            write_batch(&mut out, &batch, Some("1-8"), origin);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        };
        let check = |lines: &[&str], lost, want: &str| told(lines, lost, None, want);
        check(&[], 0, "");
        let origin = origin("a\"b", "eu");
        let want = r#"[{"node_id":"a\"b","region":"eu","event":"e"},{"node_id":"b","event":"e"}]"#;
        told(
            &[r#"{"event":"e"}"#, r#"{"node_id":"b","event":"e"}"#],
            0,
            Some(&origin),
            &format!("id: 1-8\nevent: batch\ndata: {want}\n\n"),
        );
        check(&["{}"], 0, "id: 1-8\nevent: batch\ndata: [{}]\n\n");
        check(&["{}", "{}"], 3, "event: lost\ndata: {\"lost\":3}\n\nid: 1-8\nevent: batch\ndata: [{},{}]\n\n");
    }
}
