//! The upgrade of an HTTP request to a WebSocket (RFC 6455 §4.2), on the same port and paths.

use crate::chain::hex::parse_bytes;
use crate::route::resolve::{Route, query_value};
use crate::runtime::limiter::ClientKey;
use crate::runtime::world::World;
use crate::shard::client_http::Client;
use crate::shard::reply::{self, Manner};
use crate::stream::event::BlockHash;
use crate::wire::http::{Field, RequestHead, write_status_line};
use crate::wire::websocket::accept_key;

/// A connection's next life.
pub struct Upgrade {
    pub route: Route,
    pub region: Box<str>,
    pub key: ClientKey,
    pub address: ClientKey,
    /// The block from which its subscriptions to heads and logs go on.
    pub resume: Option<BlockHash>,
    /// What came behind the request.
    pub rest: Vec<u8>,
}

/// Why there is none: an HTTP status, and what to do about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoUpgrade {
    pub status: u16,
    pub hint: &'static str,
}

/// The `Sec-WebSocket-Accept` of a request, or what is wrong with it.
pub fn accept(head: &RequestHead, buf: &[u8]) -> Result<String, NoUpgrade> {
    let field = |field| head.field(field).of(buf);
    let no = |status, hint| Err(NoUpgrade { status, hint });
    let has = |list: &[u8], word: &[u8]| list.split(|b| *b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(word));
    if head.minor == 0 || !head.upgrade || !has(field(Field::Upgrade), b"websocket") {
        return no(426, "this path speaks WebSocket: connect with a WebSocket client, or POST to the same path without /ws");
    }
    if field(Field::SecWebsocketVersion) != b"13" {
        return no(426, "Sec-WebSocket-Version must be 13");
    }
    accept_key(field(Field::SecWebsocketKey))
        .ok_or(NoUpgrade { status: 400, hint: "Sec-WebSocket-Key must be the base64 of 16 bytes" })
}

/// Prepares the connection's next life and the head that begins it.
pub fn upgrade<W: World>(
    client: &Client<W>,
    route: Route,
    head: &RequestHead,
    buf: &[u8],
    manner: &Manner,
) -> Result<(Upgrade, Vec<u8>), NoUpgrade> {
    let accepted = accept(head, buf)?;
    let resume = resume_of(head.query.of(buf))?;
    let node = &client.shard.node;
    let mut out = Vec::with_capacity(512);
    write_status_line(&mut out, 101);
    reply::field(&mut out, b"upgrade", b"websocket");
    reply::field(&mut out, b"connection", b"Upgrade");
    reply::field(&mut out, b"sec-websocket-accept", accepted.as_bytes());
    out.extend_from_slice(reply::without_type(&client.shard.reply_fields));
    reply::field(&mut out, b"x-request-id", &manner.request_id);
    out.extend_from_slice(b"\r\n");
    let region = std::str::from_utf8(route.region.of(buf)).unwrap_or("").trim();
    let address = client.address(head, buf);
    let key = node.client_key(route.profile, address);
    let address = node.address_key(address);
    Ok((Upgrade { route, region: region.into(), key, address, resume, rest: Vec::new() }, out))
}

/// `?resume=`, for libraries that cannot add to a subscription's parameters.
fn resume_of(query: &[u8]) -> Result<Option<BlockHash>, NoUpgrade> {
    let hint = "resume must be the hash of the last block that was told: 0x and 64 hex digits";
    let hash = |text: String| parse_bytes(text.as_bytes()).map(BlockHash).ok_or(NoUpgrade { status: 400, hint });
    query_value(query, "resume").map(hash).transpose()
}
