//! Answers whose meaning is certain and whose form is not what clients expect, written anew: exactly one of result and
//! error, the version, an id, an error with an integer code and a text.
//!
//! Passing such answers on was rejected because strict clients break on them, refusing them because the node did answer:
//! its text is what the caller needs, and another node would only say the same. A result's bytes are never touched: the
//! envelope is written around them in their own buffer, so a long one is not copied. Only errors are mended where they are
//! no JSON, since a contract decides what bytes its revert reason has; a result that is no JSON stays a fault.

use super::answer::{Answer, AnswerKind, error_kind, scan_answer};
use super::write::write_integer;
use crate::base::limits::{ERROR_TEXT_BYTES, HOLD_BYTES};
use crate::base::span::Span;
use crate::wire::json::write_string;
use std::ops::Range;

const OPENING: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":";
const RESULT: &[u8] = b",\"result\":";
const ERROR: &[u8] = b",\"error\":";

/// The answer at `body` in the form that clients expect. `sent`: the id's token as it went out.
#[cold]
pub fn repair(mut buf: Vec<u8>, body: Range<usize>, answer: &Answer, sent: &[u8]) -> (Vec<u8>, Range<usize>, Answer) {
    let id = Span::new(OPENING.len(), OPENING.len() + sent.len());
    match answer.kind {
        AnswerKind::Result(value) => {
            let front = [OPENING, sent, RESULT].concat();
            let kind = AnswerKind::Result(Span::new(front.len(), front.len() + value.len()));
            let (start, end) = (body.start + value.start as usize, body.start + value.end as usize);
            buf.truncate(end);
            buf.push(b'}');
            let whole = match start.checked_sub(front.len()) {
                Some(from) => {
                    buf.get_mut(from..start).into_iter().for_each(|place| place.copy_from_slice(&front));
                    from..buf.len()
                }
                None => {
                    buf.splice(..start, front);
                    0..buf.len()
                }
            };
            (buf, whole, Answer { id, kind, is_plain: true })
        }
        AnswerKind::Error { whole, code, .. } => {
            let mut out = [OPENING, sent, ERROR].concat();
            let start = out.len();
            let payload = buf.get(body).unwrap_or(&[]);
            match error_kind(payload, whole) {
                Ok((AnswerKind::Error { code, message, data, .. }, false)) => {
                    write_error_anew(&mut out, payload, code, (message, message == whole), data);
                }
                _ => out.extend_from_slice(whole.of(payload)),
            }
            let whole = Span::new(start, out.len());
            out.push(b'}');
            let kind = match error_kind(&out, whole) {
                Ok((kind, _)) => kind,
                Err(_) => AnswerKind::Error { whole, code, message: Span::NONE, data: Span::NONE },
            };
            let all = 0..out.len();
            (out, all, Answer { id, kind, is_plain: true })
        }
    }
}

/// `message` is the inside of a string, or a raw value of another kind.
fn write_error_anew(out: &mut Vec<u8>, payload: &[u8], code: i64, (message, is_raw): (Span, bool), data: Span) {
    out.extend_from_slice(b"{\"code\":");
    write_integer(out, code);
    out.extend_from_slice(b",\"message\":");
    let text = message.of(payload);
    if is_raw {
        let text = text.get(..ERROR_TEXT_BYTES).unwrap_or(text);
        write_string(out, &String::from_utf8_lossy(text));
    } else {
        [&b"\""[..], text, b"\""].iter().for_each(|part| out.extend_from_slice(part));
    }
    if data != Span::NONE {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data.of(payload));
    }
    out.push(b'}');
}

/// An error in a body that is no JSON only because a text in it is not UTF-8 or has bare control characters.
#[cold]
pub fn mend(body: &[u8]) -> Option<(Vec<u8>, Answer)> {
    let is_odd = |body: &[u8]| std::str::from_utf8(body).is_err() || body.iter().any(u8::is_ascii_control);
    if body.len() > HOLD_BYTES || !is_odd(body) {
        return None;
    }
    let mut text = String::from_utf8_lossy(body).into_owned().into_bytes();
    // White space between values, and the least wrong inside of one.
    text.iter_mut().filter(|byte| byte.is_ascii_control()).for_each(|byte| *byte = b' ');
    let answer = scan_answer(&text).ok()?;
    matches!(answer.kind, AnswerKind::Error { .. }).then_some((text, Answer { is_plain: false, ..answer }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::valid;

    /// What a client gets of a body that came behind a head of `before` bytes; `-` where it gets it as it came.
    fn becomes(text: &[u8], before: usize) -> String {
        let (text, answer) = match scan_answer(text) {
            Ok(answer) => (text.to_vec(), answer),
            Err(_) => mend(text).expect("an error that can be mended"),
        };
        if answer.is_plain {
            return "-".into();
        }
        let buf = [&vec![b'h'; before][..], &text, b"tail"].concat();
        let (buf, body, answer) = repair(buf, before..before + text.len(), &answer, b"77");
        let body = &buf[body];
        assert!(valid(body));
        assert_eq!(scan_answer(body), Ok(answer), "{}", String::from_utf8_lossy(body));
        assert_eq!(answer.id.of(body), b"77");
        let rest = body.strip_prefix(b"{\"jsonrpc\":\"2.0\",\"id\":77,").expect("the envelope of ours");
        String::from_utf8(rest[..rest.len() - 1].to_vec()).expect("text")
    }

    #[test]
    fn odd_envelopes_become_what_clients_expect() {
        let check = |text: &str, want: &str| {
            for before in [0, 20, 200] {
                assert_eq!(becomes(text.as_bytes(), before), want, "{text} behind {before}");
            }
        };
        // Nothing to mend.
        check(r#"{"jsonrpc":"2.0","id":77,"result":"0x1"}"#, "-");
        check(r#"{"jsonrpc":"2.0","id":77,"result":null,"node":"x"}"#, "-");
        check(r#"{"jsonrpc":"2.0","id":77,"error":{"code":3,"message":"m","data":"0x","more":1}}"#, "-");
        // The envelope.
        check(r#"{"id":77,"result":[ 1 ]}"#, r#""result":[ 1 ]"#);
        check(r#"{"jsonrpc":"1.0","id":77,"result":1}"#, r#""result":1"#);
        check(r#"{"jsonrpc":2.0,"id":77,"result":1}"#, r#""result":1"#);
        check(r#"{"jsonrpc":"2.0","id":77,"result":"0x2a","error":null}"#, r#""result":"0x2a""#);
        check(r#"{"error":null,"jsonrpc":"2.0","result":null,"id":77}"#, r#""result":null"#);
        let proper = r#"{"code":3,"message":"no: \"x\"","data":"0x08c379a0","z":[]}"#;
        check(&format!(r#"{{"jsonrpc":"2.0","id":77,"result":null,"error":{proper}}}"#), &format!(r#""error":{proper}"#));
        check(&format!(r#"{{"error":{proper},"id":77}}"#), &format!(r#""error":{proper}"#));
        check(&format!(r#"{{"jsonrpc":"2.0","error":{proper}}}"#), &format!(r#""error":{proper}"#));
        // The error.
        let error = |error: &str, want: &str| {
            check(&format!(r#"{{"jsonrpc":"2.0","id":77,"error":{error}}}"#), &format!(r#""error":{want}"#));
            check(&format!(r#"{{"error":{error}}}"#), &format!(r#""error":{want}"#));
        };
        error(r#""rate limit \"x\"""#, r#"{"code":-32000,"message":"rate limit \"x\""}"#);
        error("true", r#"{"code":-32000,"message":"true"}"#);
        error(r#"["a"]"#, r#"{"code":-32000,"message":"[\"a\"]"}"#);
        error("{}", r#"{"code":-32000,"message":"{}"}"#);
        error(r#"{"code":"-32005","message":"m"}"#, r#"{"code":-32005,"message":"m"}"#);
        error(r#"{"code":-32000.0,"message":"m","data":[1]}"#, r#"{"code":-32000,"message":"m","data":[1]}"#);
        error(r#"{"code":1.5,"message":"m"}"#, r#"{"code":-32000,"message":"m","data":{"code":1.5,"message":"m"}}"#);
        error(r#"{"code":"E","message":"m"}"#, r#"{"code":-32000,"message":"m","data":{"code":"E","message":"m"}}"#);
        error(r#"{"message":"m","z":1}"#, r#"{"code":-32000,"message":"m","data":{"message":"m","z":1}}"#);
        error(r#"{"code":5,"details":"d"}"#, r#"{"code":5,"message":"d"}"#);
        error(
            r#"{"code":3,"message":null,"data":"0x08c379a0"}"#,
            r#"{"code":3,"message":"{\"code\":3,\"message\":null,\"data\":\"0x08c379a0\"}","data":"0x08c379a0"}"#,
        );
        error(r#"{"code":99999999999999999999,"message":"m","data":1}"#, r#"{"code":-32000,"message":"m","data":1}"#);
    }

    #[test]
    fn an_error_whose_text_is_no_text_is_read_and_a_result_is_not() {
        let text = b"{\"jsonrpc\":\"2.0\",\"id\":77,\"error\":{\"code\":3,\"message\":\"reverted: \xff\xfe\nx\"}}";
        assert_eq!(becomes(text, 3), "\"error\":{\"code\":3,\"message\":\"reverted: \u{fffd}\u{fffd} x\"}");
        assert_eq!(mend(b"{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":\"\xff\"}"), None);
        assert_eq!(mend(br#"{"jsonrpc":"2.0","id":77,"error":{"code":3,"message":"m"}"#), None, "not for what is cut");
        assert_eq!(mend(&[b" ".repeat(HOLD_BYTES + 1), b"\xff".to_vec()].concat()), None);
    }
}
