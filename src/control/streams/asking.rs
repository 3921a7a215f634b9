//! One `eth_subscribe` or `eth_unsubscribe` on a feed's connection: sent, awaited, and what its answer says of what the
//! provider now holds.
//!
//! Only a plain id is a subscription, and only a JSON-RPC error says that there is none. After any other answer, or none, the
//! provider may hold one under an id that nobody knows; asked again it would hold two, for as long as the connection lives. So
//! the connection ends, and all begins anew on the next one. An error is a verdict only where it says that the provider does
//! not offer this (JSON-RPC 2.0: method not found, invalid params); any other, a limit for one, may be over in a second.
//! Rejected: reading leniently (of two results the wrong one may be taken), and asking for a key again while an answer to it
//! may still come.

use super::feed::Feed;
use crate::base::limits;
use crate::base::time::{Instant, WallTime};
use crate::chain::method;
use crate::route::classify::{Classifier, Context};
use crate::runtime::world::World;
use crate::shard::{CallFault, Link, Shard};
use crate::stream::event::Head;
use crate::stream::key::Key;
use crate::wire::jsonrpc::{Answer, AnswerKind, scan_answer};
use futures_util::future::{Either, select};
use std::pin::pin;
use std::rc::Rc;

/// The codes that are a verdict (JSON-RPC 2.0, section 5.1).
const METHOD_NOT_FOUND: i64 = -32_601;
const INVALID_PARAMS: i64 = -32_602;

/// What came of an `eth_subscribe`: the provider's id, raw.
pub type Answered = (Key, Result<Box<[u8]>, NoSubscription>);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoSubscription {
    Refused,
    /// Not now; the provider may have said how long not.
    PutOff {
        hint_ms: Option<u64>,
    },
    /// Not yet: whoever waits is told no, but it may still come.
    Late,
    /// Never: what the provider holds is not known.
    Never,
    /// Answered by something that tells nothing: what the provider holds is not known.
    Unclear,
    /// The connection takes no more calls now, or has ended.
    Lost,
}

/// One `eth_subscribe`. A late answer is awaited, for it may be a subscription; but not for ever.
pub async fn subscribe_to<W: World>(link: Rc<Link<W>>, shard: Rc<Shard<W>>, key: Key, feed: Rc<Feed>) {
    let params = key.params();
    let began = shard.world().now();
    let call = pin!(link.call(b"eth_subscribe", &params, began.plus_ms(limits::SUBSCRIBE_NEVER_MS)));
    let late_at = began.plus_ms(limits::SUBSCRIBE_MS);
    let answer = match select(call, pin!(shard.world().sleep_until(late_at))).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), call)) => {
            tell(&feed, key.clone(), Err(NoSubscription::Late));
            call.await
        }
    };
    let id = match answer {
        Ok(message) => id_of(&message, &shard.node().classifier, shard.world().wall()),
        Err(CallFault::Late) => Err(NoSubscription::Never),
        Err(CallFault::TooLarge) => Err(NoSubscription::Unclear),
        Err(CallFault::NotSent | CallFault::Lost) => Err(NoSubscription::Lost),
    };
    tell(&feed, key, id);
}

fn tell(feed: &Feed, key: Key, answer: Result<Box<[u8]>, NoSubscription>) {
    feed.incoming.answer((key, answer));
    feed.changed.ring();
}

/// The newest block, asked for on the connection whose subscription is silent. Any other answer, or none, shows nothing.
pub async fn newest_of<W: World>(link: Rc<Link<W>>, feed: Rc<Feed>, deadline: Instant) {
    let answer = link.call(b"eth_getBlockByNumber", br#"["latest",false]"#, deadline).await;
    let newest = answer.ok().and_then(|message| match scan_answer(&message) {
        Ok(Answer { kind: AnswerKind::Result(result), .. }) => Head::of_block(result.of(&message)),
        Ok(Answer { kind: AnswerKind::Error { .. }, .. }) | Err(_) => None,
    });
    feed.incoming.found(newest.map(|head| head.hash));
    feed.changed.ring();
}

/// The subscription's id in an answer.
fn id_of(message: &[u8], classifier: &Classifier, wall: WallTime) -> Result<Box<[u8]>, NoSubscription> {
    match scan_answer(message) {
        Ok(Answer { kind: AnswerKind::Result(result), .. }) => plain_id(result.of(message)).ok_or(NoSubscription::Unclear),
        Ok(Answer { kind: AnswerKind::Error { code: METHOD_NOT_FOUND | INVALID_PARAMS, .. }, .. }) => {
            Err(NoSubscription::Refused)
        }
        Ok(Answer { kind: AnswerKind::Error { code, message: text, data, .. }, .. }) => {
            let method = method::lookup(b"eth_subscribe");
            let context = Context { status: 200, retry_after: b"", wall, method, rules: &[] };
            let outcome = classifier.error(&context, code, text.of(message), data.of(message));
            Err(NoSubscription::PutOff { hint_ms: outcome.retry_after_ms })
        }
        Err(_) => Err(NoSubscription::Unclear),
    }
}

/// A string that events can be known by, byte by byte.
fn plain_id(raw: &[u8]) -> Option<Box<[u8]>> {
    let id = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    is_plain(id).then(|| id.into())
}

fn is_plain(id: &[u8]) -> bool {
    let has_plain_bytes = id.iter().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(byte));
    has_plain_bytes && (1..=limits::SUBSCRIPTION_ID_BYTES).contains(&id.len())
}

/// What an `eth_unsubscribe` came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Left {
    /// The provider holds it no more.
    Gone,
    /// It may not have been looked at (a rate limit), or there was nothing to end.
    Refused,
    Unclear,
}

/// Ends a subscription. What the provider still tells of it meanwhile finds nobody, so a first failure costs only what it
/// holds for longer; but a key that is wanted again would be held twice. So it is asked a second time, and after a second
/// failure the connection ends. A new subscription to the key does not wait for this: both are there for some seconds.
pub async fn unsubscribe<W: World>(link: Rc<Link<W>>, world: W, id: Box<[u8]>) {
    let params = [b"[\"", &id[..], b"\"]"].concat();
    let mut may_be_gone = false;
    for _ in 0..limits::UNSUBSCRIBE_TRIES {
        let deadline: Instant = world.now().plus_ms(limits::UNSUBSCRIBE_MS);
        let left = match link.call(b"eth_unsubscribe", &params, deadline).await {
            Ok(message) => left_by(&message),
            Err(CallFault::Late | CallFault::TooLarge) => Left::Unclear,
            Err(CallFault::NotSent) if link.is_open() => Left::Refused,
            Err(CallFault::NotSent | CallFault::Lost) => Left::Gone,
        };
        match left {
            Left::Gone => return,
            // The first one ended it, and its answer was late or lost.
            Left::Refused if may_be_gone => return,
            Left::Refused => {}
            Left::Unclear => may_be_gone = true,
        }
        world.sleep_until(world.now().plus_ms(limits::SHUN_MS)).await;
    }
    link.close();
}

/// Ends a subscription that nobody here asked for, if it is one.
pub async fn decline<W: World>(link: Rc<Link<W>>, world: W, id: Box<[u8]>) {
    if is_plain(&id) {
        let params = [b"[\"", &id[..], b"\"]"].concat();
        // Whatever is answered: it was not ours.
        _ = link.call(b"eth_unsubscribe", &params, world.now().plus_ms(limits::UNSUBSCRIBE_MS)).await;
    }
}

fn left_by(message: &[u8]) -> Left {
    match scan_answer(message) {
        // `false`: there was nothing to end.
        Ok(Answer { kind: AnswerKind::Result(result), .. }) if matches!(result.of(message), b"true" | b"false") => Left::Gone,
        Ok(Answer { kind: AnswerKind::Error { .. }, .. }) => Left::Refused,
        Ok(Answer { kind: AnswerKind::Result(_), .. }) | Err(_) => Left::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_id_is_a_subscription_and_only_what_is_not_offered_a_refusal() {
        let classifier = Classifier::new();
        let id_of = |message: &[u8]| id_of(message, &classifier, WallTime(0));
        let check = |rest: &str, want: Result<&str, NoSubscription>| {
            let message = format!("{{\"jsonrpc\":\"2.0\",\"id\":7,{rest}}}");
            let got = id_of(message.as_bytes());
            assert_eq!(got, want.map(|id| id.as_bytes().into()), "{message}");
        };
        let unclear: Result<&str, NoSubscription> = Err(NoSubscription::Unclear);
        check(r#""result":"0xab""#, Ok("0xab"));
        check(r#""result" : "cd-01" , "error":null"#, Ok("cd-01"));
        check(r#""error":{"code":-32601,"message":"no such subscription"}"#, Err(NoSubscription::Refused));
        check(r#""error":{"code":-32602,"message":"what is that"}"#, Err(NoSubscription::Refused));
        let put_off = |hint_ms| Err(NoSubscription::PutOff { hint_ms });
        check(r#""error":{"code":-32000,"message":"no"},"result":null"#, put_off(None));
        check(r#""error":{"code":-32603,"message":"internal error"}"#, put_off(None));
        check(r#""error":{"code":-32005,"message":"rate limit exceeded, retry in 3 s"}"#, put_off(Some(3_000)));
        check(r#""result":"0xab","result":"0x0""#, unclear);
        check(r#""result":"0xab","error":{"code":-32000,"message":"no"}"#, unclear);
        check(r#""result":"0xab","id":8"#, unclear);
        check(r#""error":"no""#, put_off(None));
        check(r#""x":1"#, unclear);
        for odd in ["null", "true", "12", "\"\"", "[\"0xab\"]", "{\"code\":-32005}", r#""0x\u0061""#, "\"0x a\"", "\"é\""] {
            check(&format!("\"result\":{odd}"), unclear);
        }
        let long = "a".repeat(limits::SUBSCRIPTION_ID_BYTES);
        check(&format!("\"result\":\"{long}\""), Ok(&long));
        check(&format!("\"result\":\"{long}a\""), unclear);
        assert_eq!(id_of(br#"{"id":7,"result":"0xab"}"#), Ok(b"0xab"[..].into()));
        for cut in ["", "{", r#"{"jsonrpc":"2.0","id":7,"result":"0xa"#, r#"{"result":"0xab"}"#] {
            assert_eq!(id_of(cut.as_bytes()), Err(NoSubscription::Unclear), "{cut}");
        }
    }

    #[test]
    fn what_is_left_of_a_subscription_is_known_from_a_clear_answer() {
        let check = |rest: &str, want| {
            let message = format!("{{\"jsonrpc\":\"2.0\",\"id\":7,{rest}}}");
            assert_eq!(left_by(message.as_bytes()), want, "{message}");
        };
        check(r#""result":true"#, Left::Gone);
        check(r#""result":false"#, Left::Gone);
        check(r#""error":{"code":-32000,"message":"subscription not found"}"#, Left::Refused);
        for unclear in [r#""result":null"#, r#""result":true,"result":false"#, r#""x":1"#] {
            check(unclear, Left::Unclear);
        }
    }
}
