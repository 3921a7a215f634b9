//! Replies as bytes: the head around a body, and a body put together from an answer, the client's id and metadata.
//!
//! A body is three parts: bytes of ours, a stretch of the provider's buffer, bytes of ours. The stretch is all of a
//! canonical call's answer and nearly all of any other, so a long answer is never copied.

use crate::base::limits;
use crate::base::span::Span;
use crate::route::meta;
use crate::route::resolve::cors;
use crate::runtime::budget::Permit;
use crate::runtime::gather::{Piece, write_gather_by_parts};
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::attempt::Held;
use crate::shard::client_http::WriteOf;
use crate::shard::node::Settings;
use crate::shard::refusal::RpcRefusal;
use crate::wire::http::{write_decimal, write_status_line};
use crate::wire::jsonrpc;
use arrayvec::ArrayVec;
use std::ops::Range;

pub type RequestId = ArrayVec<u8, { limits::REQUEST_ID_MAX }>;

/// What a reply's head says beside its status and length.
#[derive(Clone, Debug)]
pub struct Manner {
    pub keep_alive: bool,
    /// HTTP/1.0 closes unless told otherwise.
    pub is_http_10: bool,
    pub request_id: RequestId,
    /// Metadata is asked for in header fields: then the id is there even where the rest has no room.
    pub in_headers: bool,
    /// `x-lasso-meta`, already encoded; empty when not asked for.
    pub meta_header: Vec<u8>,
}

impl Manner {
    /// Asked again when the reply is ready: a drain may have begun while a provider was asked.
    pub fn end_if(&mut self, is_draining: bool) {
        self.keep_alive &= !is_draining;
    }
}

pub const JSON_TYPE: &[u8] = b"content-type: application/json\r\n";

/// The lines of `unchanging_fields` for a reply that has no content.
pub fn without_type(fields: &[u8]) -> &[u8] {
    fields.strip_prefix(JSON_TYPE).unwrap_or(fields)
}

/// The lines that every RPC reply of this node has (docs/behaviour/http.md#answer-fields).
pub fn unchanging_fields(settings: &Settings) -> Box<[u8]> {
    let region = &settings.region;
    let regions = format!("x-lasso-region: {region}\r\nx-livechain-region: {region}\r\n");
    [JSON_TYPE, cors::ANSWER_FIELDS, regions.as_bytes()].concat().into_boxed_slice()
}

/// Writes a head up to where its framing goes.
pub fn begin_head(out: &mut Vec<u8>, status: u16, fields: &[u8], manner: &Manner) {
    write_status_line(out, status);
    out.extend_from_slice(fields);
    field(out, b"x-request-id", &manner.request_id);
    if manner.in_headers {
        field(out, b"x-lasso-request-id", &manner.request_id);
    }
    if !manner.meta_header.is_empty() {
        field(out, b"x-lasso-meta", &manner.meta_header);
    }
    match (manner.keep_alive, manner.is_http_10) {
        (false, _) => out.extend_from_slice(b"connection: close\r\n"),
        (true, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (true, false) => {}
    }
}

/// Ends a head with the body's length, or with chunks.
pub fn end_head(out: &mut Vec<u8>, length: Option<u64>) {
    match length {
        Some(length) => {
            out.extend_from_slice(b"content-length: ");
            write_decimal(out, length);
            out.extend_from_slice(b"\r\n\r\n");
        }
        None => out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n"),
    }
}

pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// One JSON-RPC reply's body, in three parts.
#[derive(Default)]
pub struct Body {
    pub front: Vec<u8>,
    /// A provider's buffer and what of it belongs here.
    pub buf: Vec<u8>,
    pub stretch: Range<usize>,
    pub back: Vec<u8>,
    /// The charges of the long answers in it, given back when it was written.
    pub permits: Vec<Permit>,
}

impl Body {
    pub fn len(&self) -> usize {
        self.front.len() + self.stretch.len() + self.back.len()
    }

    pub fn stretch(&self) -> &[u8] {
        self.buf.get(self.stretch.clone()).unwrap_or(&[])
    }

    /// Its three parts, copied; its buffer comes back.
    pub fn append_to(self, out: &mut Vec<u8>) -> Vec<u8> {
        [&self.front[..], self.stretch(), &self.back].iter().for_each(|part| out.extend_from_slice(part));
        self.buf
    }

    pub fn of_refusal(refusal: &RpcRefusal, client_id: &[u8]) -> Body {
        let mut front = Vec::new();
        let data = refusal.data.as_deref().map(str::as_bytes);
        jsonrpc::write_error(&mut front, client_id, refusal.code, &refusal.message, data);
        Body { front, ..Body::default() }
    }

    /// A result of our own; `result` is raw JSON.
    pub fn of_result(result: &str, client_id: &[u8]) -> Body {
        let mut front = Vec::new();
        jsonrpc::write_result(&mut front, client_id, result.as_bytes());
        Body { front, ..Body::default() }
    }

    /// A provider's answer to the client whose id this is.
    pub fn of_answer(held: Held, client_id: &[u8]) -> Body {
        if held.answer.id.of(held.bytes()) == client_id { Body::as_it_is(held) } else { Body::with_id(held, client_id) }
    }

    /// The answer as it came.
    fn as_it_is(held: Held) -> Body {
        let permits = held.permit.into_iter().collect();
        Body { front: Vec::new(), stretch: held.body, buf: held.buf, back: Vec::new(), permits }
    }

    /// The answer with the client's id in the place of ours.
    fn with_id(mut held: Held, client_id: &[u8]) -> Body {
        let permits = held.permit.take().into_iter().collect();
        let Span { start, end } = held.answer.id;
        let (before, after) = (held.body.start..held.body.start + start as usize, held.body.start + end as usize..held.body.end);
        let part = |range: Range<usize>| held.buf.get(range).unwrap_or(&[]);
        // The id stands at one end of nearly every answer: the short side is copied.
        if before.len() <= after.len() {
            let front = [part(before), client_id].concat();
            Body { front, stretch: after, buf: held.buf, back: Vec::new(), permits }
        } else {
            let back = [client_id, part(after)].concat();
            Body { front: Vec::new(), stretch: before, buf: held.buf, back, permits }
        }
    }

    /// Puts `lasso_meta` in as the object's last member.
    pub fn with_meta(mut self, json: &[u8]) -> Body {
        if self.back.is_empty() && !self.stretch.is_empty() {
            if let Some(point) = meta::insertion_point(self.stretch()) {
                self.stretch.end = self.stretch.start + point;
                self.back = [meta::BODY_KEY, json, b"}"].concat();
            }
        } else {
            let last = if self.back.is_empty() { &mut self.front } else { &mut self.back };
            if let Some(point) = meta::insertion_point(last) {
                last.truncate(point);
                [meta::BODY_KEY, json, b"}"].iter().for_each(|part| last.extend_from_slice(part));
            }
        }
        self
    }
}

/// Writes `head` and a long body without copying its stretch; false when the client is gone.
pub async fn write_gathered<W: World>(
    shard: &Shard<W>,
    to: &mut WriteOf<W>,
    head: Vec<u8>,
    body: Body,
    on_part: impl FnMut(),
) -> bool {
    let mut gather = shard.gather();
    gather.push(Piece::Owned(head));
    gather.push(Piece::Owned(body.front));
    gather.push(Piece::Slice(body.buf, body.stretch));
    gather.push(Piece::Owned(body.back));
    let (result, mut gather) = write_gather_by_parts(to, gather, on_part).await;
    gather.take().filter_map(Piece::into_buffer).for_each(|buf| shard.buffers.give(buf));
    shard.give_gather(gather);
    result.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::jsonrpc::scan_answer;

    fn held(text: &str) -> Held {
        let buf = format!("head{text}tail").into_bytes();
        let body = 4..4 + text.len();
        Held { answer: scan_answer(text.as_bytes()).expect("an answer"), buf, body, permit: None }
    }

    fn text(body: &Body) -> String {
        let all = [&body.front[..], body.stretch(), &body.back].concat();
        assert_eq!(all.len(), body.len());
        String::from_utf8(all).expect("text")
    }

    #[test]
    fn ids_and_metadata_are_put_where_they_belong() {
        let check = |answer: &str, with_id: &str, with_both: &str| {
            assert_eq!(text(&Body::as_it_is(held(answer))), answer);
            assert_eq!(text(&Body::with_id(held(answer), b"\"mine\"")), with_id);
            assert_eq!(text(&Body::with_id(held(answer), b"\"mine\"").with_meta(b"{}")), with_both);
        };
        check(
            r#"{"jsonrpc":"2.0","id":7,"result":"0x1"}"#,
            r#"{"jsonrpc":"2.0","id":"mine","result":"0x1"}"#,
            r#"{"jsonrpc":"2.0","id":"mine","result":"0x1","lasso_meta":{}}"#,
        );
        check(
            r#"{"result":["a long result before its id"],"jsonrpc":"2.0","id":7}"#,
            r#"{"result":["a long result before its id"],"jsonrpc":"2.0","id":"mine"}"#,
            r#"{"result":["a long result before its id"],"jsonrpc":"2.0","id":"mine","lasso_meta":{}}"#,
        );
        let refusal = Body::of_refusal(&RpcRefusal::blocked(), b"1").with_meta(b"{}");
        assert!(text(&refusal).ends_with(r#""message":"Method not supported by proxy"},"lasso_meta":{}}"#));
    }
}
