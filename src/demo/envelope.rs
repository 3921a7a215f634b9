//! A reply as a JSON-RPC object, right or wrong in the way a fault says. Only the envelope is touched; the result's bytes
//! are the node's own.

use super::knobs::{Dialect, Fault, TooMany};
use super::rpc::{Reply, RpcError};
use crate::base::rng::Rng;

/// Appends the answer to one call. `id` is the call's raw token.
pub fn write(out: &mut Vec<u8>, id: &[u8], reply: &Reply, fault: Option<Fault>, rng: &mut Rng) {
    let outcome = outcome(reply, fault);
    let version = r#""jsonrpc":"2.0""#;
    let id = String::from_utf8_lossy(id);
    let start = out.len();
    let text = match fault {
        Some(Fault::Garbage) => garbage(rng),
        Some(Fault::WrongId) => format!(r#"{{{version},"id":{},{outcome}}}"#, other_id(&id)),
        Some(Fault::NoId) => format!("{{{version},{outcome}}}"),
        Some(Fault::NullId) => format!(r#"{{{version},"id":null,{outcome}}}"#),
        Some(Fault::TwoIds) => format!(r#"{{{version},"id":{id},{outcome},"id":{}}}"#, other_id(&id)),
        Some(Fault::ResultAndError) => format!(r#"{{{version},"id":{id},{outcome},"error":{{"code":-32000,"message":"both"}}}}"#),
        Some(Fault::TwoResults) => format!(r#"{{{version},"id":{id},{outcome},"result":"0x0"}}"#),
        Some(Fault::NoResult) => format!(r#"{{{version},"id":{id}}}"#),
        Some(Fault::NoVersion) => format!(r#"{{"id":{id},{outcome}}}"#),
        Some(Fault::OldVersion) => format!(r#"{{"jsonrpc":"1.0","id":{id},{outcome}}}"#),
        Some(Fault::InArray) => format!(r#"[{{{version},"id":{id},{outcome}}}]"#),
        Some(Fault::TrailingJson) => format!(r#"{{{version},"id":{id},{outcome}}}{{"more":1}}"#),
        Some(Fault::ExtraKeys) => {
            format!(r#"{{"took":0.5,{version},"usage":{{"id":0,"result":[{{}}]}},"id":{id},{outcome},"node":"x\"}}"}}"#)
        }
        Some(Fault::IdLast) => format!(r#"{{{outcome},{version},"id":{id}}}"#),
        Some(Fault::Spaced) => spaced(&id, &outcome),
        _ => format!(r#"{{{version},"id":{id},{outcome}}}"#),
    };
    out.extend_from_slice(text.as_bytes());
    if fault == Some(Fault::NotUtf8) {
        spoil(&mut out[start..]);
    }
    if fault == Some(Fault::CutJson) {
        let keep = 1 + rng.below((text.len() - 1) as u64) as usize;
        out.truncate(start + keep);
    }
}

/// `"result":…` or `"error":…`.
fn outcome(reply: &Reply, fault: Option<Fault>) -> String {
    match fault {
        Some(Fault::Error(code, text)) => error_member(&RpcError::new(code, text)),
        Some(Fault::NotUtf8) => error_member(&RpcError::new(3, format!("execution reverted: {SPOILED}"))),
        Some(Fault::Zeros { bytes, .. }) => format!(r#""result":"0x{}""#, "0".repeat(bytes)),
        Some(Fault::Dialect(dialect)) => in_dialect(dialect, reply),
        Some(Fault::ErrorAsText) => r#""error":"upstream failed""#.to_owned(),
        Some(Fault::StatusAndError(_)) => error_member(&RpcError::new(-32603, "Internal server error")),
        Some(Fault::TooMany(how)) => too_many(how),
        _ => match reply {
            Ok(result) => format!(r#""result":{}"#, String::from_utf8_lossy(result)),
            Err(error) => error_member(error),
        },
    }
}

/// Stands where bytes that are not UTF-8 are put.
const SPOILED: &str = "????";

fn spoil(out: &mut [u8]) {
    if let Some(at) = memchr::memmem::find(out, SPOILED.as_bytes()) {
        out[at..at + SPOILED.len()].copy_from_slice(b"\xff\xfe\x80a");
    }
}

fn in_dialect(dialect: Dialect, reply: &Reply) -> String {
    match dialect {
        Dialect::NullError => format!(r#"{},"error":null"#, outcome(reply, None)),
        Dialect::NullResult => r#""result":null,"error":{"code":-32000,"message":"execution aborted"}"#.to_owned(),
        Dialect::CodeAsText => r#""error":{"code":"-32000","message":"execution aborted"}"#.to_owned(),
        Dialect::CodeAsFraction => r#""error":{"code":-32000.0,"message":"execution aborted"}"#.to_owned(),
        Dialect::Details => r#""error":{"details":"execution aborted"}"#.to_owned(),
    }
}

fn error_member(error: &RpcError) -> String {
    let message = serde_json::Value::from(error.message.as_str());
    let data = error.data.as_ref().map_or(String::new(), |data| format!(r#","data":{}"#, String::from_utf8_lossy(data)));
    format!(r#""error":{{"code":{},"message":{message}{data}}}"#, error.code)
}

fn too_many(how: TooMany) -> String {
    match how {
        TooMany::InResult => {
            r#""result":{"code":429,"message":"Your app has exceeded its compute units per second capacity"}"#.to_owned()
        }
        TooMany::Code(code) => error_member(&RpcError::new(code, "request rate limited")),
        TooMany::Status { .. } | TooMany::StatusAndError => {
            error_member(&RpcError::new(-32005, "too many requests, retry in 10s"))
        }
    }
}

/// Another id of the same type.
fn other_id(id: &str) -> String {
    match id.parse::<u64>() {
        Ok(number) => number.wrapping_add(1).to_string(),
        Err(_) => r#""someone else's""#.to_owned(),
    }
}

/// White space wherever JSON allows it.
fn spaced(id: &str, outcome: &str) -> String {
    let (key, value) = outcome.split_once(':').unwrap_or((outcome, "null"));
    format!("\r\n {{ \"jsonrpc\" : \"2.0\" ,\n\t\"id\" : {id} , {key} :  {value}\t}} \r\n")
}

/// Not JSON: text, or bytes above ASCII.
fn garbage(rng: &mut Rng) -> String {
    let length = 1 + rng.below(200);
    (0..length).map(|_| char::from_u32(rng.below(0x250) as u32).filter(|c| !"[{\"".contains(*c)).unwrap_or('?')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn text(fault: Option<Fault>, reply: &Reply, id: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, id.as_bytes(), reply, fault, &mut Rng::new(5));
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn right_answers_are_right() {
        let good: Reply = Ok(b"\"0x10\"".to_vec());
        let value = |fault, reply: &Reply| serde_json::from_str::<Value>(&text(fault, reply, "7")).expect("JSON");
        assert_eq!(text(None, &good, "7"), r#"{"jsonrpc":"2.0","id":7,"result":"0x10"}"#);
        assert_eq!(text(None, &good, r#""a\u0041""#), r#"{"jsonrpc":"2.0","id":"a\u0041","result":"0x10"}"#);
        for fault in [Fault::ExtraKeys, Fault::IdLast, Fault::Spaced, Fault::Gzip] {
            let value = value(Some(fault), &good);
            assert_eq!(
                (&value["jsonrpc"], &value["id"], &value["result"]),
                (&json!("2.0"), &json!(7), &json!("0x10")),
                "{fault:?}"
            );
            assert!(value.get("error").is_none());
        }
        let bad = Err(RpcError { code: 3, message: "say \"no\"".into(), data: Some(b"\"0x08\"".to_vec()) });
        assert_eq!(
            value(None, &bad),
            json!({"jsonrpc": "2.0", "id": 7, "error": {"code": 3, "message": "say \"no\"", "data": "0x08"}})
        );
    }

    #[test]
    fn wrong_answers_are_wrong_in_their_way() {
        let good: Reply = Ok(b"\"0x10\"".to_vec());
        let check = |fault, want: &str| assert_eq!(text(Some(fault), &good, "7"), want);
        check(Fault::WrongId, r#"{"jsonrpc":"2.0","id":8,"result":"0x10"}"#);
        check(Fault::NoId, r#"{"jsonrpc":"2.0","result":"0x10"}"#);
        check(Fault::NullId, r#"{"jsonrpc":"2.0","id":null,"result":"0x10"}"#);
        check(Fault::TwoIds, r#"{"jsonrpc":"2.0","id":7,"result":"0x10","id":8}"#);
        check(Fault::TwoResults, r#"{"jsonrpc":"2.0","id":7,"result":"0x10","result":"0x0"}"#);
        check(Fault::NoResult, r#"{"jsonrpc":"2.0","id":7}"#);
        check(Fault::NoVersion, r#"{"id":7,"result":"0x10"}"#);
        check(Fault::OldVersion, r#"{"jsonrpc":"1.0","id":7,"result":"0x10"}"#);
        check(Fault::InArray, r#"[{"jsonrpc":"2.0","id":7,"result":"0x10"}]"#);
        check(Fault::TrailingJson, r#"{"jsonrpc":"2.0","id":7,"result":"0x10"}{"more":1}"#);
        check(Fault::ResultAndError, r#"{"jsonrpc":"2.0","id":7,"result":"0x10","error":{"code":-32000,"message":"both"}}"#);
        check(Fault::ErrorAsText, r#"{"jsonrpc":"2.0","id":7,"error":"upstream failed"}"#);
        check(Fault::Error(-1, "x"), r#"{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"x"}}"#);
        let limited = r#"{"jsonrpc":"2.0","id":7,"error":{"code":429,"message":"request rate limited"}}"#;
        check(Fault::TooMany(TooMany::Code(429)), limited);
        assert_eq!(text(Some(Fault::WrongId), &good, r#""7""#), r#"{"jsonrpc":"2.0","id":"someone else's","result":"0x10"}"#);
        let whole = text(None, &good, "7");
        let cut = text(Some(Fault::CutJson), &good, "7");
        assert!(whole.starts_with(&cut) && !cut.is_empty() && cut.len() < whole.len());
        for seed in 0..200 {
            let mut out = Vec::new();
            write(&mut out, b"7", &good, Some(Fault::Garbage), &mut Rng::new(seed));
            assert!(!out.is_empty() && !serde_json::from_slice::<Value>(&out).is_ok_and(|value| value.is_object()));
        }
    }
}
