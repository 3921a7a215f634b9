//! One reply against one request: exactly one answer for each call, the client's own id byte for byte, and a result that
//! a provider really gave to this very call.

use super::book::{Book, Provenance};
use super::calls::{CHAIN_ID_JSON, Expect, Item, Post, PostExpect, own_filter_result};
use super::http::Answer;
use lasso::chain::method::Safety;
use lasso::runtime::world::Instant;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A key that every provider has, and that no client may see.
pub const SECRET: &str = "s3cr3t-key-0123456789";

#[derive(Deserialize)]
struct Envelope<'a> {
    jsonrpc: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RpcError {
    code: i64,
    #[expect(dead_code, reason = "it must be there and a string")]
    message: String,
}

/// `null` is a value here, not an absence.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// What the checks need to know of the world.
#[derive(Clone, Copy, Debug)]
pub struct Sky {
    /// Nothing goes wrong on links, machines and providers: every eligible call has a result.
    pub calm: bool,
    /// The profile limits its clients.
    pub limited: bool,
}

/// What a reply was, for tallies.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub results: u64,
    pub errors: u64,
    pub limited: bool,
    pub filters: Vec<String>,
}

/// Judges `answer` to `post`, which was sent at `sent`.
pub fn check(book: &Book, sky: Sky, post: &Post, answer: &Answer, sent: Instant) -> Result<Told, String> {
    let body = std::str::from_utf8(&answer.body).map_err(|_| "the body is not UTF-8".to_string())?;
    if body.contains(SECRET) {
        return Err(format!("a configured secret in a reply: {body}"));
    }
    let mut told = Told::default();
    if answer.status == 429 && sky.limited && !matches!(post.expect, PostExpect::Hopeless) {
        told.limited = true;
        let refused = match &post.expect {
            PostExpect::Batch(items) => every_item_refused(items, body, -32005),
            _ => error_with(body, -32005),
        };
        return refused.map(|()| told);
    }
    match &post.expect {
        PostExpect::Hopeless if answer.status >= 400 && answer.closes => Ok(told),
        PostExpect::Hopeless => Err(format!("{} without a close for what is no HTTP", answer.status)),
        PostExpect::Refusal(status, code) if answer.status == *status => error_with(body, *code).map(|()| told),
        PostExpect::Refusal(status, _) => Err(format!("{} instead of {status}: {body}", answer.status)),
        PostExpect::Single(item) => {
            let is_silent = item.id.is_none() && !matches!(item.expect, Expect::Code(_));
            match (answer.status, is_silent) {
                (204, true) => {}
                (200, false) => one(book, sky, item, body, sent, &mut told)?,
                (status, _) => return Err(format!("{status} for {item:?}: {body}")),
            }
            Ok(told)
        }
        PostExpect::Batch(items) => batch(book, sky, items, answer.status, body, sent, &mut told).map(|()| told),
    }
}

/// A batch that was refused whole: one error for each item that has an id, so that batching clients can tell.
fn every_item_refused(items: &[Item], body: &str, code: i64) -> Result<(), String> {
    let ids: Vec<&str> = items.iter().filter_map(|item| item.id.as_deref()).collect();
    if ids.is_empty() {
        return if body.starts_with('[') { Ok(()) } else { error_with(body, code) };
    }
    let replies: Vec<&RawValue> =
        serde_json::from_str(body).map_err(|e| format!("a refused batch's reply is no list: {e}: {body}"))?;
    if replies.len() < ids.len() {
        return Err(format!("{} errors for {} calls of a refused batch: {body}", replies.len(), ids.len()));
    }
    replies.iter().try_for_each(|reply| error_with(reply.get(), code))
}

fn batch(book: &Book, sky: Sky, items: &[Item], status: u16, body: &str, sent: Instant, told: &mut Told) -> Result<(), String> {
    let answered: Vec<&Item> = items.iter().filter(|i| i.id.is_some() || matches!(i.expect, Expect::Code(_))).collect();
    if answered.is_empty() {
        return if status == 204 { Ok(()) } else { Err(format!("{status} for a batch of notifications: {body}")) };
    }
    if status != 200 {
        return Err(format!("{status} for a batch: {body}"));
    }
    let replies: Vec<&RawValue> = serde_json::from_str(body).map_err(|e| format!("a batch's reply is no array: {e}: {body}"))?;
    if replies.len() != answered.len() {
        return Err(format!("{} replies to {} calls of a batch: {body}", replies.len(), answered.len()));
    }
    for (item, reply) in answered.iter().zip(replies) {
        one(book, sky, item, reply.get(), sent, told)?;
    }
    Ok(())
}

/// One call's reply.
fn one(book: &Book, sky: Sky, item: &Item, reply: &str, sent: Instant, told: &mut Told) -> Result<(), String> {
    let bad = |what: &str| Err(format!("{what}: {} for {item:?}", cut(reply)));
    let Ok(envelope) = serde_json::from_str::<Envelope>(reply) else { return bad("no reply object") };
    let is_refusal = matches!(item.expect, Expect::Code(_));
    let id = envelope.id.map(RawValue::get);
    let own = id == item.id.as_deref() || (is_refusal && id == Some("null"));
    if !own {
        return bad("another id");
    }
    if envelope.jsonrpc.is_some_and(|v| v != "2.0") || (envelope.jsonrpc.is_none() && is_refusal) {
        return bad("another version");
    }
    // Real nodes write the other member as null, and it is passed on as they wrote it.
    let null = |member: &&RawValue| member.get() == "null";
    let error = envelope.error.filter(|error| !null(error));
    let result = envelope.result.filter(|result| error.is_none() || !null(result));
    match (result, error) {
        (Some(result), None) => {
            told.results += 1;
            result_of(book, item, result.get(), sent, told).or_else(|what| bad(&what))
        }
        (None, Some(error)) => {
            told.errors += 1;
            let Ok(error) = serde_json::from_str::<RpcError>(error.get()) else { return bad("no error object") };
            error_of(book, sky, item, error.code, sent).or_else(|what| bad(&what))
        }
        _ => bad("not one of result and error"),
    }
}

fn result_of(book: &Book, item: &Item, result: &str, sent: Instant, told: &mut Told) -> Result<(), String> {
    let given = |result: &str| match book.of_result(&item.key, result.as_bytes(), sent) {
        Provenance::Given => Ok(()),
        other => Err(format!("a result that no provider gave to this call ({other:?})")),
    };
    match item.expect {
        Expect::Code(code) => Err(format!("a result instead of error {code}")),
        Expect::ChainId if result == CHAIN_ID_JSON => Ok(()),
        Expect::ChainId => Err("not this chain's id".into()),
        Expect::Answer(_) => given(result),
        Expect::NewFilter => {
            let own = own_filter_result(result).ok_or("not a filter id of ours")?;
            told.filters.push(result.trim_matches('"').to_string());
            given(&own)
        }
    }
}

fn error_of(book: &Book, sky: Sky, item: &Item, code: i64, sent: Instant) -> Result<(), String> {
    match item.expect {
        Expect::Code(want) if want == code => Ok(()),
        Expect::Code(want) => Err(format!("error {code} instead of {want}")),
        Expect::ChainId => Err("no chain id".into()),
        Expect::Answer(_) | Expect::NewFilter if !sky.calm => Ok(()),
        // A filter may have been uninstalled before.
        Expect::Answer(Safety::Filter) => Ok(()),
        Expect::Answer(_) | Expect::NewFilter => match book.of_error(&item.key, sent) {
            Provenance::Failed => Ok(()),
            other => Err(format!("error {code} although nothing is wrong ({other:?})")),
        },
    }
}

fn error_with(body: &str, code: i64) -> Result<(), String> {
    let envelope: Envelope = serde_json::from_str(body).map_err(|e| format!("no reply object ({e}): {body}"))?;
    let error = envelope.error.and_then(|e| serde_json::from_str::<RpcError>(e.get()).ok());
    match error {
        Some(error) if error.code == code && envelope.result.is_none() => Ok(()),
        _ => Err(format!("not error {code}: {body}")),
    }
}

fn cut(text: &str) -> &str {
    let end = text.len().min(300);
    text.get(..end).unwrap_or("(long)")
}
