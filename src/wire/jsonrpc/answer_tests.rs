//! Odd answers and what becomes of each, held and streamed, and both against a reference built on serde_json.

use super::*;
use crate::wire::json::{arbitrary, valid};
use crate::wire::jsonrpc::{ParamsKind, write_integer};
use crate::wire::jsonrpc::{Prefix, ResultStream, scan_prefix, write_call, write_error, write_result};
use proptest::prelude::*;

/// A held answer in one line; `~`: not as clients expect it.
fn becomes(body: &[u8]) -> String {
    let text = |span: Span| String::from_utf8_lossy(span.of(body)).into_owned();
    match scan_answer(body) {
        Ok(Answer { id, kind, is_plain }) => {
            let mark = if is_plain { "" } else { "~" };
            match kind {
                AnswerKind::Result(span) => format!("{}:{mark} {}", text(id), text(span)),
                AnswerKind::Error { code, message, data, .. } => {
                    format!("{}!{mark} {code} {} {}", text(id), text(message), text(data))
                }
            }
        }
        Err(fault) => format!("{fault:?}"),
    }
}

#[test]
fn odd_answers_and_what_becomes_of_each() {
    let check = |body: &str, want: &str| assert_eq!(becomes(body.as_bytes()), want, "{body}");
    check(r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#, r#"1: "0x1""#);
    check(" { \"result\" : [ {} , \"]\" ] ,\n\"id\":\"a\",\"jsonrpc\":\"2.0\" } \r\n", r#""a": [ {} , "]" ]"#);
    check(r#"{"jsonrpc":"2.0","id":1,"result":null}"#, "1: null");
    check(r#"{"jsonrpc":"2.0","id":1,"result":-1.5e3}"#, "1: -1.5e3");
    check(
        r#"{"jsonrpc":"2.0","id":1,"result":{"id":2,"error":{"code":1},"result":3}}"#,
        r#"1: {"id":2,"error":{"code":1},"result":3}"#,
    );
    check(r#"{"jsonrpc":"2.0","id":1,"result":"\"id\":2}"}"#, r#"1: "\"id\":2}""#);
    check(r#"{"jsonrpc":"2\u002e0","\u0069d":1,"res\u0075lt":7}"#, "1: 7");
    // Errors.
    check(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no \"x\""}}"#, r#"1! -32000 no \"x\" "#);
    check(r#"{"jsonrpc":"2.0","id":null,"error":{"message":"","data":{"a":[1]},"code":3}}"#, r#"null! 3  {"a":[1]}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m","data":null,"x":1}}"#, "1! 1 m null");
    check(r#"{"jsonrpc":"2.0","id":1,"error":{"c\u006fde":1,"message":"m"}}"#, "1! 1 m ");
    // Errors that are none by the letter; `repair` has their forms.
    check(r#"{"jsonrpc":"2.0","id":1,"error":"boom"}"#, "1!~ -32000 boom ");
    check(r#"{"jsonrpc":"2.0","id":1,"error":true}"#, "1!~ -32000 true ");
    check(r#"{"jsonrpc":"2.0","id":1,"error":{"code":"-7","message":"m"}}"#, "1!~ -7 m ");
    check(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-7.0,"message":"m"}}"#, "1!~ -7 m ");
    check(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":null}}"#, r#"1!~ 1 {"code":1,"message":null} "#);
    check(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m","code":2}}"#, "BadError");
    // Held means proven.
    check(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m","data":[1,,2]}}"#, "NotJson");
    check("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"a\nb\"}}", "NotJson");
    check(r#"{"jsonrpc":"2.0","id":1,"result":[1}}"#, "NotJson");
    assert_eq!(becomes(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"\xff\"}"), "NotJson");
    // Nulls beside the outcome.
    check(r#"{"jsonrpc":"2.0","id":1,"result":5,"error":null}"#, "1:~ 5");
    check(r#"{"jsonrpc":"2.0","error":null,"id":1,"result":null}"#, "1:~ null");
    check(r#"{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":1,"message":"m"}}"#, "1!~ 1 m ");
    check(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"},"result":null}"#, "1!~ 1 m ");
    check(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"},"result":0}"#, "Both");
    check(r#"{"jsonrpc":"2.0","id":1,"result":false,"error":"x"}"#, "Both");
    check(r#"{"jsonrpc":"2.0","id":1}"#, "Neither");
    check(r#"{"jsonrpc":"2.0","id":1,"error":null}"#, "Neither");
    // Keys.
    check(r#"{"jsonrpc":"2.0","id":1,"result":1,"node":"x","took":{"ms":3}}"#, "1: 1");
    check(r#"{"jsonrpc":"2.0","id":1,"id":1,"result":1}"#, "TwoIds");
    check(r#"{"jsonrpc":"2.0","id":1,"\u0069d":2,"result":1}"#, "TwoIds");
    check(r#"{"jsonrpc":"2.0","id":1,"result":1,"result":1}"#, "DuplicateKey");
    check(r#"{"jsonrpc":"2.0","id":1,"error":null,"error":null,"result":1}"#, "DuplicateKey");
    check(r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"result":1}"#, "DuplicateKey");
    check(r#"{"jsonrpc":"2.0","id":1,"result":1,"Result":2}"#, "DuplicateKey");
    check(r#"{"jsonrpc":"2.0","id":1,"result":1,"ID":2}"#, "DuplicateKey");
    check("{\"jsonrpc\":\"2.0\",\"id\":1,\"re\u{17f}ult\":1}", "DuplicateKey");
    // Version and id.
    check(r#"{"id":1,"result":1}"#, "1:~ 1");
    check(r#"{"jsonrpc":"1.0","id":1,"result":1}"#, "1:~ 1");
    check(r#"{"jsonrpc":2.0,"id":1,"result":1}"#, "1:~ 1");
    check(r#"{"jsonrpc":"2.0","result":1}"#, "NoId");
    check(r#"{"jsonrpc":"2.0","error":{"code":1,"message":"m"}}"#, "!~ 1 m ");
    check(r#"{}"#, "Neither");
    // Not an answer.
    for (body, want) in [
        ("", "NotJson"),
        (" ", "NotJson"),
        ("<html>", "NotJson"),
        ("[]", "NotObject"),
        ("\"rate limited\"", "NotObject"),
        (" 7 ", "NotObject"),
        ("null", "NotObject"),
        ("upstream timed out", "NotJson"),
        ("[1", "NotJson"),
        ("\u{feff}{}", "NotJson"),
    ] {
        check(body, want);
    }
    check(r#"{"jsonrpc":"2.0","id":1,"result":1,}"#, "NotJson");
    check(r#"{"jsonrpc":"2.0","id":1,"result" 1}"#, "NotJson");
    check(r#"{"jsonrpc":"2.0" "id":1,"result":1}"#, "NotJson");
    check(r#"{,"jsonrpc":"2.0","id":1,"result":1}"#, "NotJson");
    check(r#"{"jsonrpc":"2.0","id":1,"result":nil}"#, "NotJson");
    check(r#"{"jsonrpc":"2.0","id":1,"result":1]"#, "NotJson");
    check(r#"{"jsonrpc":"2.0","id":1,"result":1} {}"#, "TrailingData");
    check(r#"{"jsonrpc":"2.0","id":1,"result":1}}"#, "TrailingData");
    let deep = |n: usize| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    check(&deep(ANSWER_DEPTH), "TooDeep");
    assert!(scan_answer(deep(ANSWER_DEPTH - 1).as_bytes()).is_ok());
    assert!(scan_answer(deep(JSON_DEPTH).as_bytes()).is_ok());
}

#[test]
fn every_cut_off_answer_is_truncated() {
    let whole = br#"{"jsonrpc":"2.0","id":"a\"b","result":[{"a":"\\"},-1.5,true]}"#;
    assert!(scan_answer(whole).is_ok());
    for end in 1..whole.len() {
        assert_eq!(scan_answer(&whole[..end]), Err(AnswerFault::Truncated), "{end}");
    }
}

#[test]
fn ids_match_by_meaning_of_strings_and_text_of_numbers() {
    let check = |got: &str, sent: &str, same: bool| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{got},"result":1}}"#);
        let answer = scan_answer(body.as_bytes()).unwrap();
        assert_eq!(id_matches(body.as_bytes(), &answer, sent.as_bytes()), same, "{got} for {sent}");
    };
    check("1", "1", true);
    check("1", "\"1\"", false);
    check("\"1\"", "1", false);
    check("1.0", "1", false);
    check("10", "1", false);
    check("null", "1", false);
    check("null", "null", true);
    check("\"a\\u002db\"", "\"a-b\"", true);
    check("\"a\"", "\"b\"", false);
    check("{}", "1", false);
    check("[\"1\"]", "\"1\"", false);
    check("9007199254740993", "9007199254740992", false);
}

#[test]
fn envelopes_are_written() {
    let check = |write: &dyn Fn(&mut Vec<u8>), want: &str| {
        let mut out = b"#".to_vec();
        write(&mut out);
        assert_eq!(String::from_utf8_lossy(&out[1..]), want);
        assert!(valid(&out[1..]));
    };
    check(&|out| write_result(out, b"\"a\"", b"[1]"), r#"{"jsonrpc":"2.0","id":"a","result":[1]}"#);
    check(
        &|out| write_error(out, b"null", -32000, "a \"b\"\n", None),
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"a \"b\"\n"}}"#,
    );
    check(
        &|out| write_error(out, b"7", 3, "", Some(b"{\"x\":1}")),
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":3,"message":"","data":{"x":1}}}"#,
    );
    check(
        &|out| write_call(out, b"1", b"eth_call", b"[1]", ParamsKind::Array),
        r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[1]}"#,
    );
    check(&|out| write_call(out, b"1", b"m", b"", ParamsKind::None), r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[]}"#);
    for n in [0, 1, -1, 9, 10, -32700, i64::MAX, i64::MIN] {
        check(&|out| write_integer(out, n), &n.to_string());
    }
}

/// The answer as a stream would see it: the prefix from the first `held` bytes (more when it needs more), then pieces of
/// `step` bytes. The result's text, or the fault.
fn streamed(body: &[u8], held: usize, step: usize, sent: &[u8]) -> Result<Option<String>, AnswerFault> {
    let mut held = held.min(body.len());
    let (prefix, value_start) = loop {
        match scan_prefix(&body[..held]) {
            Prefix::NeedMore if held == body.len() => return Err(AnswerFault::Truncated),
            Prefix::NeedMore => held += 1,
            Prefix::Error => return Ok(None),
            Prefix::Bad(fault) => return Err(fault),
            prefix @ Prefix::Result { value_start, .. } => break (prefix, value_start),
        }
    };
    let mut stream = ResultStream::new(&prefix, &body[..held], sent)?;
    let mut result = Vec::new();
    for piece in std::iter::once(&body[value_start..held]).chain(body[held..].chunks(step)) {
        let ended = stream.result_ended();
        let taken = stream.feed(piece)?;
        assert!(!ended || taken == 0);
        result.extend_from_slice(&piece[..taken]);
    }
    stream.finish()?;
    Ok(Some(unsure_text(&result)))
}

/// As text; bytes that are none become a control character, so that the text is no JSON.
fn unsure_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::REPLACEMENT_CHARACTER, "\u{1}")
}

/// What holding says, in the stream's terms.
fn held(body: &[u8], sent: &[u8]) -> Result<Option<String>, AnswerFault> {
    let answer = scan_answer(body)?;
    match answer.kind {
        AnswerKind::Error { .. } => Ok(None),
        AnswerKind::Result(_) if !id_matches(body, &answer, sent) => Err(AnswerFault::OtherId),
        AnswerKind::Result(span) => Ok(Some(unsure_text(span.of(body)))),
    }
}

#[test]
fn a_streamed_answer_is_judged_like_a_held_one_at_every_split() {
    let logs = format!("[{}]", [r#"{"data":"0xff\\","topics":["]","\""],"n":1}"#; 4].join(", "));
    let bodies = [
        format!(r#"{{"jsonrpc":"2.0","id":"a","result":{logs}}}"#),
        format!(r#" {{ "result" : {logs} , "id":"\u0061", "error" : null,"jsonrpc":"2.0" }} "#),
        r#"{"id":"a","error":null,"result":"0x\"\\","jsonrpc":"2.0"}"#.into(),
        r#"{"id":"a","result":-12.5e1,"jsonrpc":"2.0"}"#.into(),
        r#"{"id":"a","result":null,"jsonrpc":"2.0"}"#.into(),
        r#"{"id":"a","result": null ,"error":null,"jsonrpc":"2.0","more":[1]}"#.into(),
        r#"{"id":"a","result":null,"error":{"code":1,"message":"m"},"jsonrpc":"2.0"}"#.into(),
        r#"{"jsonrpc":"2.0","id":"a","error":{"code":1,"message":"m"}}"#.into(),
        r#"{"jsonrpc":"2.0","id":"b","result":[1]}"#.into(),
        r#"{"jsonrpc":"2.0","result":[1],"id":"b"}"#.into(),
        r#"{"jsonrpc":"2.0","result":[1],"id":"a","id":"a"}"#.into(),
        r#"{"jsonrpc":"2.0","id":"a","result":[1],"\u0069d":"a"}"#.into(),
        r#"{"jsonrpc":"2.0","id":"a","result":[1],"result":[2]}"#.into(),
        r#"{"jsonrpc":"2.0","id":"a","result":[1],"error":{"code":1,"message":"m"}}"#.into(),
        r#"{"jsonrpc":"2.0","id":"a","error":null,"result":[1],"error":null}"#.into(),
        r#"{"jsonrpc":"2.0","id":"a","result":[1],"jsonrpc":"2.0"}"#.into(),
        r#"{"jsonrpc":"2.0","id":"a","result":[1],"Result":0}"#.into(),
        r#"{"id":"a","result":[1]}"#.into(),
        r#"{"jsonrpc":"2.0","result":[1]}"#.into(),
        r#"{"jsonrpc":"2.0","id":"a","result":[1]} x"#.into(),
        r#"{"jsonrpc":"2.0","id":"a","result":[1],}"#.into(),
        r#"{"jsonrpc":"2.0","id":"a","result":[1] "x":1}"#.into(),
        r#"{"jsonrpc":"2.0","id":"a","result":"x""#.into(),
        r#"{"jsonrpc":"2.0","id":"a","result":[1"#.into(),
        r#"{"jsonrpc":"3.0","id":"a","result":[1]}"#.into(),
        "[1]".into(),
        "<html>".into(),
    ];
    for body in &bodies {
        let want = held(body.as_bytes(), b"\"a\"");
        for cut in 1..=body.len() {
            for step in [1, 7, body.len()] {
                // An array or text without an object is told to be none, or no JSON, by how much of it was there.
                let got = streamed(body.as_bytes(), cut, step, b"\"a\"");
                let no_object = |fault: &Result<_, _>| matches!(fault, Err(AnswerFault::NotObject | AnswerFault::NotJson));
                assert!(got == want || (no_object(&got) && no_object(&want)), "{got:?} not {want:?}: {body} at {cut} by {step}");
            }
        }
    }
}

#[test]
fn a_stream_bounds_what_follows_the_result() {
    let tail = |spaces: usize| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":[]{}}}"#, " ".repeat(spaces));
        streamed(body.as_bytes(), 40, 1000, b"1")
    };
    let limit = crate::base::limits::ANSWER_TAIL_BYTES;
    assert_eq!(tail(limit - 1), Ok(Some("[]".into())));
    assert_eq!(tail(limit), Err(AnswerFault::TrailingData));
    let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{}"#, "[".repeat(1_000_000));
    assert_eq!(streamed(deep.as_bytes(), 50, 4096, b"1"), Err(AnswerFault::TooDeep));
    assert_eq!(ResultStream::new(&Prefix::Error, b"", b"1").err(), Some(AnswerFault::Neither));
}

#[test]
fn the_prefix_decides_as_early_as_it_can() {
    let check = |held: &str, want: &str| {
        let got = match scan_prefix(held.as_bytes()) {
            Prefix::Result { value_start, id, version_seen, error_seen, is_plain } => {
                assert_eq!(is_plain, version_seen && !error_seen);
                let id = id.map(|id| String::from_utf8_lossy(id.of(held.as_bytes())).into_owned());
                format!("{} {id:?} {version_seen} {error_seen}", &held[value_start..])
            }
            other => format!("{other:?}"),
        };
        assert_eq!(got, want, "{held}");
    };
    for held in
        ["", " ", "{", "{\"jsonrpc\":\"2.", "{\"id\":1", "{\"id\":1,\"result\":", "{\"result\":nu", "{\"result\":null,\"id\":1"]
    {
        check(held, "NeedMore");
    }
    check("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[", "[ Some(\"1\") true false");
    check("{\"id\":\"a\", \"error\":null,\"result\" : \"0x", "\"0x Some(\"\\\"a\\\"\") false true");
    check("{\"result\":t", "t None false false");
    check("{\"result\":null,\"jsonrpc\":\"2.0\",\"id\":1}", "null,\"jsonrpc\":\"2.0\",\"id\":1} None false false");
    check("{\"error\":{", "Error");
    check("{\"result\":null,\"error\":{", "Error");
    check("{\"id\":1,\"id\":", "NeedMore");
    check("{\"id\":1,\"id\":2,", "Bad(TwoIds)");
    check("<", "Bad(NotJson)");
    check("{\"jsonrpc\":\"2.0\",\"id\":1}", "Bad(Neither)");
}

/// The rules once more, on serde_json's reading. `None`: some fault.
fn reference(text: &str) -> Option<String> {
    use super::super::request::tests::Members;
    let Members(members) = serde_json::from_str(text).ok()?;
    let known = ["jsonrpc", "id", "result", "error"];
    for (i, (key, _)) in members.iter().enumerate() {
        let folded = key.to_ascii_lowercase().replace('ſ', "s");
        let important = known.contains(&folded.as_str());
        if important && (key != &folded || members.iter().skip(i + 1).any(|(other, _)| other == key)) {
            return None;
        }
    }
    let get = |name: &str| members.iter().find(|(key, _)| key == name).map(|(_, value)| value.get());
    let version = get("jsonrpc").and_then(|raw| serde_json::from_str::<String>(raw).ok());
    let (id, is_two) = (get("id"), version.is_some_and(|text| text == "2.0"));
    let mark = |is_plain: bool| if is_plain && is_two && id.is_some() { "" } else { "~" };
    match (get("result"), get("error").filter(|raw| *raw != "null")) {
        (Some(result), None) => Some(format!("{}:{} {result}", id?, mark(get("error").is_none()))),
        (None | Some("null"), Some(error)) => {
            let parsed: serde_json::Value = serde_json::from_str(error).ok()?;
            let code = parsed.get("code").is_some_and(|code| code.as_i64().is_some());
            let message = parsed.get("message").is_some_and(serde_json::Value::is_string);
            Some(format!("{}!{} ", id.unwrap_or_default(), mark(code && message && get("result").is_none())))
        }
        _ => None,
    }
}

fn answer_like() -> impl Strategy<Value = String> {
    use proptest::sample::select;
    let member =
        |key: &'static str, values: Vec<&'static str>| (Just(key.to_owned()), select(values).prop_map(str::to_owned)).boxed();
    let keys = vec!["id", "result", "error", "jsonrpc", "Error", "re\\u0073ult", "re\u{17f}ult", "node", "\\u0069d"];
    let extra = (select(keys).prop_map(str::to_owned), prop_oneof![Just("null".to_owned()), arbitrary::value()]);
    let error = vec![
        r#"{"code":-1,"message":"m"}"#,
        "null",
        "null",
        r#"{"code":"x","message":"m"}"#,
        "{}",
        "\"e\"",
        r#"{"message":"\u0041","code":3,"data":[]}"#,
    ];
    let members = (
        proptest::option::weighted(0.9, member("jsonrpc", vec!["\"2.0\"", "\"2.0\"", "\"2.0\"", "\"2\\u002e0\"", "2"])),
        proptest::option::weighted(0.9, member("id", vec!["1", "1", "\"abc\"", "null"])),
        proptest::option::weighted(
            0.8,
            (Just("result".to_owned()), prop_oneof![2 => arbitrary::value(), 1 => Just("null".to_owned())]).boxed(),
        ),
        proptest::option::weighted(0.4, member("error", error)),
        proptest::collection::vec(extra, 0..2),
    );
    let shuffled =
        members.prop_map(|(a, b, c, d, more)| [a, b, c, d].into_iter().flatten().chain(more).collect::<Vec<_>>()).prop_shuffle();
    (shuffled, arbitrary::space(), arbitrary::space()).prop_map(|(members, a, b)| {
        let members: Vec<String> = members.iter().map(|(key, value)| format!("{a}\"{key}\"{b}:{a}{value}{b}")).collect();
        format!("{b}{{{}}}{a}", members.join(","))
    })
}

proptest! {
    #[test]
    fn held_answers_are_read_as_the_reference_reads_them(text in answer_like()) {
        let got = becomes(text.as_bytes());
        match reference(&text) {
            Some(want) if want.ends_with("! ") || want.ends_with("!~ ") => prop_assert!(got.starts_with(&want), "{} not {}", got, want),
            Some(want) => prop_assert_eq!(got, want),
            None => prop_assert!(scan_answer(text.as_bytes()).is_err(), "{} in {}", got, text),
        }
    }

    #[test]
    fn streamed_answers_are_judged_like_held_ones(
        body in prop_oneof![answer_like().prop_map(String::into_bytes), arbitrary::damaged(answer_like())],
        cut in any::<prop::sample::Index>(),
        step in 1usize..200,
    ) {
        let want = held(&body, b"1");
        let got = streamed(&body, cut.index(body.len() + 1), step, b"1");
        match (&got, &want) {
            // An error is held, so what it is worth is judged there.
            (Ok(None), _) => prop_assert!(!matches!(want, Ok(Some(_))), "{:?}", want),
            // Which of several faults is named first may differ.
            (Err(_), Err(_)) => {}
            // A passing result is not proven.
            (Ok(Some(result)), Err(_)) => prop_assert!(!valid(result.as_bytes())),
            _ => prop_assert_eq!(&got, &want, "{}", String::from_utf8_lossy(&body)),
        }
    }
}
