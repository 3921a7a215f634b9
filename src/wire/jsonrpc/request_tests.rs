//! Odd requests and what becomes of each, and the scanner against a reference built on serde_json.

use super::*;
use crate::wire::json::arbitrary;
use crate::wire::jsonrpc::{id_matches, scan_answer, splice, write_call};
use proptest::prelude::*;
use serde_json::value::RawValue;

/// What becomes of a request, in one line: `as is`, or the call re-emitted with id 1 and, in front, the id to answer to
/// (`-` for a notification), or the refusal's code and id.
fn becomes(buf: &[u8], scanned: Result<Request, RequestFault>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match scanned {
        Ok(request) if request.canonical => "as is".to_owned(),
        Ok(request) => {
            let mut call = Vec::new();
            write_call(&mut call, b"1", request.method.of(buf), request.params.of(buf), request.params_kind);
            let id = if request.id == Id::Absent { "-".to_owned() } else { text(request.id_span.of(buf)) };
            let notify = if request.notify_meta { " notify" } else { "" };
            let call = text(&call);
            let call = call.strip_prefix(r#"{"jsonrpc":"2.0","id":1,"method":"#).expect("an envelope of ours");
            format!("{id}{notify} {{{call}")
        }
        Err(fault) => {
            format!("{} {}", fault.code(), if fault.id() == Span::NONE { "null".into() } else { text(fault.id().of(buf)) })
        }
    }
}

#[test]
fn odd_requests_and_what_becomes_of_each() {
    let check = |body: &str, want: &str| {
        let got = match scan_body(body.as_bytes()) {
            Ok(Body::Single(request)) => becomes(body.as_bytes(), Ok(request)),
            Ok(Body::Batch(items)) => format!("batch of {}", items.len()),
            Err(fault) => becomes(body.as_bytes(), Err(fault)),
        };
        assert_eq!(got, want, "{}", body.chars().take(300).collect::<String>());
    };
    // Canonical, in any order and spacing.
    check(r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#, "as is");
    check(
        " {\r\n\"params\" : [ 1 , {\"a\":\"\\u0041\"} ],\t\"method\":\"m\" ,\"id\": \"a-B_9.:\" , \"jsonrpc\" : \"2.0\" } \n",
        "as is",
    );
    check(r#"{"jsonrpc":"2.0","id":0,"method":"m","params":[]}"#, "as is");
    check(r#"{"jsonrpc":"2.0","id":-7,"method":"m","params":[]}"#, "as is");
    check(r#"{"jsonrpc":"2.0","id":9007199254740992,"method":"m","params":[]}"#, "as is");
    check(r#"{"jsonrpc":"2.0","id":-9007199254740992,"method":"m","params":[]}"#, "as is");
    // Ids that are echoed byte for byte but do not go upstream.
    check(r#"{"jsonrpc":"2.0","id":9007199254740993,"method":"m","params":[]}"#, r#"9007199254740993 {"m","params":[]}"#);
    check(r#"{"jsonrpc":"2.0","id":-9007199254740993,"method":"m","params":[]}"#, r#"-9007199254740993 {"m","params":[]}"#);
    check(
        r#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"m","params":[]}"#,
        r#"123456789012345678901234567890 {"m","params":[]}"#,
    );
    check(r#"{"jsonrpc":"2.0","id":-0,"method":"m","params":[]}"#, r#"-0 {"m","params":[]}"#);
    check(r#"{"jsonrpc":"2.0","id":"","method":"m","params":[]}"#, r#""" {"m","params":[]}"#);
    check(r#"{"jsonrpc":"2.0","id":"a b","method":"m","params":[]}"#, r#""a b" {"m","params":[]}"#);
    check(r#"{"jsonrpc":"2.0","id":"\u0041\"\\/","method":"m","params":[]}"#, r#""\u0041\"\\/" {"m","params":[]}"#);
    check(r#"{"jsonrpc":"2.0","id":"é😀","method":"m","params":[]}"#, r#""é😀" {"m","params":[]}"#);
    check(r#"{"jsonrpc":"2.0","id":null,"method":"m","params":[]}"#, r#"null {"m","params":[]}"#);
    check(r#"{"jsonrpc":"2.0","method":"m","params":[]}"#, r#"- {"m","params":[]}"#);
    let long = |n: usize| format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"m","params":[]}}"#, "x".repeat(n));
    check(&long(ID_BYTES - 2), "as is");
    check(&long(ID_BYTES - 1), "-32600 null");
    check(&format!(r#"{{"jsonrpc":"2.0","id":{},"method":"m","params":[]}}"#, "1".repeat(ID_BYTES + 1)), "-32600 null");
    check(r#"{"jsonrpc":"2.0","id":1.0,"method":"m","params":[]}"#, r#"1.0 {"m","params":[]}"#);
    check(r#"{"jsonrpc":"2.0","id":-1.5e-3,"method":"m","params":[]}"#, r#"-1.5e-3 {"m","params":[]}"#);
    check(r#"{"jsonrpc":"2.0","id":1e2,"method":"m","params":[]}"#, r#"1e2 {"m","params":[]}"#);
    // Ids that are none.
    check(r#"{"jsonrpc":"2.0","id":true,"method":"m","params":[]}"#, "-32600 null");
    check(r#"{"jsonrpc":"2.0","id":{},"method":"m","params":[]}"#, "-32600 null");
    check(r#"{"jsonrpc":"2.0","id":[1],"method":"m","params":[]}"#, "-32600 null");
    check(r#"{"jsonrpc":"2.0","id":01,"method":"m","params":[]}"#, "-32700 null");
    check(r#"{"jsonrpc":"2.0","id":+1,"method":"m","params":[]}"#, "-32700 null");
    check(r#"{"jsonrpc":"2.0","id":0x1,"method":"m","params":[]}"#, "-32700 null");
    check(r#"{"jsonrpc":"2.0","id":NaN,"method":"m","params":[]}"#, "-32700 null");
    // Version.
    check(r#"{"id":1,"method":"m","params":[]}"#, r#"1 {"m","params":[]}"#);
    check(r#"{"jsonrpc":"2\u002e0","id":1,"method":"m","params":[]}"#, r#"1 {"m","params":[]}"#);
    check(r#"{"jsonrpc":"1.0","id":1,"method":"m","params":[]}"#, "-32600 1");
    check(r#"{"jsonrpc":2.0,"id":1,"method":"m","params":[]}"#, "-32600 1");
    check(r#"{"jsonrpc":null,"id":"q","method":"m","params":[]}"#, "-32600 \"q\"");
    check(r#"{"jsonrpc":"2.0 ","method":"m","params":[]}"#, "-32600 null");
    // Params.
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#, r#"1 {"m","params":[]}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":null}"#, r#"1 {"m","params":[]}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":[ 1]}}"#, r#"1 {"m","params":{"a":[ 1]}}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":"0x1"}"#, r#"1 {"m","params":["0x1"]}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":1e400}"#, r#"1 {"m","params":[1e400]}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":false}"#, r#"1 {"m","params":[false]}"#);
    check(r#"{"id":null,"method":"m","params":["x", 1.50, "\ud800"]}"#, r#"null {"m","params":["x", 1.50, "\ud800"]}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[1,]}"#, "-32700 null");
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":['a']}"#, "-32700 null");
    check("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":[\"a\nb\"]}", "-32700 null");
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":["\x41"]}"#, "-32700 null");
    // Method.
    check(r#"{"jsonrpc":"2.0","id":1,"params":[]}"#, "-32600 1");
    check(r#"{"jsonrpc":"2.0","id":1,"method":1,"params":[]}"#, "-32600 1");
    check(r#"{"jsonrpc":"2.0","id":1,"method":null,"params":[]}"#, "-32600 1");
    check(r#"{"jsonrpc":"2.0","id":1,"method":"","params":[]}"#, "-32600 1");
    check(r#"{"jsonrpc":"2.0","id":1,"method":"eth_\u0073ign","params":[]}"#, "-32600 1");
    check(r#"{"jsonrpc":"2.0","id":1,"method":" eth_sign","params":[]}"#, "-32600 1");
    check(r#"{"jsonrpc":"2.0","id":1,"method":"eth_sign\t","params":[]}"#, "-32600 1");
    check("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_sign\u{a0}\",\"params\":[]}", "-32600 1");
    check("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth\u{7f}\",\"params\":[]}", "-32600 1");
    let named = |n: usize| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}","params":[]}}"#, "m".repeat(n));
    check(&named(METHOD_BYTES), "as is");
    check(&named(METHOD_BYTES + 1), "-32600 1");
    // Keys: repeated and disguised ones.
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[],"method":"eth_sign"}"#, "-32600 1");
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[],"params":[1]}"#, "-32600 1");
    check(r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"m","params":[]}"#, "-32600 1");
    check(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m","params":[]}"#, "-32600 null");
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[],"METHOD":"eth_sign"}"#, "-32600 1");
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[],"m\u0065thod":"eth_sign"}"#, "-32600 1");
    check(r#"{"jsonrpc":"2.0","id":1,"m\u0065thod":"m","params":[]}"#, "-32600 1");
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","Params":[]}"#, "-32600 1");
    check("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"param\u{17f}\":[]}", "-32600 1");
    check(r#"{"jsonrpc":"2.0","ID":1,"method":"m","params":[]}"#, "-32600 null");
    check(r#"{"jsonrpc":"2.0","id":1,"\u0049d":2,"method":"m","params":[]}"#, "-32600 null");
    check(r#"{"JSONRPC":"2.0","id":1,"method":"m","params":[]}"#, "-32600 1");
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[],"x":1,"x":2}"#, "-32600 1");
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[],"x":1,"\u0078":2}"#, "-32600 1");
    // Further keys are dropped.
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[],"x":{"method":"eth_sign"}}"#, r#"1 {"m","params":[]}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[7],"":0,"method ":1}"#, r#"1 {"m","params":[7]}"#);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[],"lasso_meta":"notify"}"#, r#"1 notify {"m","params":[]}"#);
    check(r#"{"lasso_meta":"inline","id":1,"method":"m"}"#, r#"1 {"m","params":[]}"#);
    let many = |n: usize| {
        let extra: String = (0..n).map(|i| format!(",\"k{i}\":{i}")).collect();
        format!(r#"{{"id":1,"method":"m"{extra}}}"#)
    };
    check(&many(REQUEST_EXTRA_KEYS), r#"1 {"m","params":[]}"#);
    check(&many(REQUEST_EXTRA_KEYS + 1), "-32600 1");
    // Not one JSON text, or none at all.
    check("", "-32700 null");
    check("  ", "-32700 null");
    check("\u{feff}{\"id\":1,\"method\":\"m\"}", "-32700 null");
    check(r#"{"id":1,"method":"m"} x"#, "-32700 null");
    check(r#"{"id":1,"method":"m"}{"id":2,"method":"m"}"#, "-32700 null");
    check(r#"{"id":1,"method":"m""#, "-32700 null");
    check(r#"{"id":1,"method":"m",}"#, "-32700 null");
    check(r#"{"id":1 "method":"m"}"#, "-32700 null");
    check(r#"{id:1,"method":"m"}"#, "-32700 null");
    check("<html>", "-32700 null");
    check("{}", "-32600 null");
    check("null", "-32600 null");
    check("\"eth_call\"", "-32600 null");
    check("1 ", "-32600 null");
    // Depth: the envelope counts.
    let deep = |n: usize| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    check(&deep(JSON_DEPTH - 1), "as is");
    check(&deep(JSON_DEPTH), "-32700 null");
    check(&"[".repeat(100_000), "-32700 null");
    // Batches.
    check("[]", "-32600 null");
    check("[ ]", "-32600 null");
    check("[1]", "batch of 1");
    check(r#"[{"id":1,"method":"m"},{},3]"#, "batch of 3");
    check(r#"[{"id":1,"method":"m"},]"#, "-32700 null");
    check(r#"[{"id":1,"method":"m"}"#, "-32700 null");
    check(r#"[{"id":1,"method":"m"}] 1"#, "-32700 null");
    check(&format!("[{}]", vec!["1"; BATCH_ITEMS_MAX].join(" , ")), &format!("batch of {BATCH_ITEMS_MAX}"));
    check(&format!("[{}]", vec!["1"; BATCH_ITEMS_MAX + 1].join(",")), "-32600 null");
    check(&format!("[{}", vec!["1"; BATCH_ITEMS_MAX + 1].join(",")), "-32700 null");
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    for body in [
        &b"{\"id\":1,\"method\":\"m\",\"params\":[\"\xff\"]}"[..],
        b"[\"\xc3\x28\"]",
        b"\xef\xbb\xbf{}",
        b"{\"id\":\"\xed\xa0\x80\",\"method\":\"m\"}",
    ] {
        assert_eq!(scan_body(body), Err(RequestFault::Parse));
        assert_eq!(super::super::scan_batch(body), Err(BatchFault::Parse));
    }
}

#[test]
fn items_of_a_batch_are_judged_one_by_one() {
    let body = br#" [ {"jsonrpc":"2.0","id":1,"method":"a","params":[]} ,{"method":"b"},[{"id":1,"method":"m"}], 5, {"id":2.5,"method":"c"} ] "#;
    let Ok(Body::Batch(items)) = scan_body(body) else { panic!("a batch") };
    let got: Vec<String> = items.iter().map(|item| becomes(body, scan_item(body, *item))).collect();
    assert_eq!(got, ["as is", r#"- {"b","params":[]}"#, "-32600 null", "-32600 null", r#"2.5 {"c","params":[]}"#]);
    let too_many = format!("[{}]", vec!["{}"; BATCH_ITEMS_MAX + 7].join(","));
    assert_eq!(super::super::scan_batch(too_many.as_bytes()), Err(BatchFault::TooLarge(BATCH_ITEMS_MAX + 7)));
    assert_eq!(scan_item(body, Span::new(5, 5_000)), Err(invalid(NO_CALL)));
}

#[test]
fn the_batch_text_names_limits_and_depth() {
    let body = format!("[{}]", vec!["{}"; BATCH_ITEMS_MAX + 1].join(","));
    assert!(scan_body(body.as_bytes()).unwrap_err().message().starts_with("Invalid Request: batch too large"));
    let depth = |n: usize| format!("[{{\"id\":1,\"method\":\"m\",\"params\":{}{}}}]", "[".repeat(n), "]".repeat(n));
    let deepest = depth(JSON_DEPTH - 2);
    let Ok(Body::Batch(items)) = scan_body(deepest.as_bytes()) else { panic!("a batch") };
    assert!(scan_item(deepest.as_bytes(), items[0]).is_ok());
    assert_eq!(scan_body(depth(JSON_DEPTH - 1).as_bytes()), Err(RequestFault::TooDeep));
}

/// Members of an object in order, repeats kept.
pub(in crate::wire::jsonrpc) struct Members(pub Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> serde::de::Visitor<'de> for Visit {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Visit)
    }
}

/// The rules once more, on serde_json's reading: what `becomes` should say, ids left out of
/// refusals.
fn reference(text: &str) -> String {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return "-32700".into();
    }
    let Ok(Members(members)) = serde_json::from_str::<Members>(text) else { return "-32600".into() };
    let fold = |key: &str| key.to_ascii_lowercase().replace('ſ', "s");
    for (i, (key, _)) in members.iter().enumerate() {
        let escaped = text.contains("\\u") && !text.contains(&format!("\"{key}\""));
        let one_of_four = KEYS.contains(&fold(key).as_str());
        let repeated = members.iter().skip(i + 1).any(|(other, _)| other == key);
        if repeated || (one_of_four && (escaped || !KEYS.contains(&key.as_str()))) {
            return "-32600".into();
        }
    }
    let get = |name: &str| members.iter().find(|(key, _)| key == name).map(|(_, value)| value.get());
    let as_text = |raw: &str| serde_json::from_str::<String>(raw).ok();
    let Some(method) = get("method").and_then(as_text) else { return "-32600".into() };
    if get("jsonrpc").is_some_and(|raw| as_text(raw).as_deref() != Some("2.0")) {
        return "-32600".into();
    }
    if method.is_empty() || get("method").unwrap().contains('\\') || !method.bytes().all(|b| b.is_ascii_graphic()) {
        return "-32600".into();
    }
    let id = get("id");
    let is_number = |raw: &str| raw.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    if id.is_some_and(|raw| raw != "null" && !raw.starts_with('"') && !is_number(raw)) {
        return "-32600".into();
    }
    let params = match get("params") {
        None | Some("null") => "[]".to_owned(),
        Some(raw) if raw.starts_with(['[', '{']) => raw.to_owned(),
        Some(raw) => format!("[{raw}]"),
    };
    let plain = |raw: &str| match raw.parse::<i128>() {
        Ok(n) => n.unsigned_abs() <= 1 << 53 && raw != "-0",
        Err(_) => {
            raw.starts_with('"')
                && raw.len() > 2
                && raw[1..raw.len() - 1].bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
        }
    };
    let as_it_is = members.len() == 4
        && get("jsonrpc") == Some("\"2.0\"")
        && id.is_some_and(|raw| raw != "null" && plain(raw))
        && get("params").is_some_and(|raw| raw.starts_with('['));
    if as_it_is { "as is".into() } else { format!("{} {{\"{method}\",\"params\":{params}}}", id.unwrap_or("-")) }
}

fn request_like() -> impl Strategy<Value = String> {
    use proptest::sample::select;
    let key = select(vec![
        "\"jsonrpc\"",
        "\"id\"",
        "\"method\"",
        "\"params\"",
        "\"Method\"",
        "\"x\"",
        "\"m\\u0065thod\"",
        "\"param\u{17f}\"",
        "\"\"",
    ]);
    let fitting =
        select(vec!["\"2.0\"", "1", "\"eth_call\"", "[]", "[1, \"a\"]", "null", "{\"a\":1}", "\"1.0\"", "1.5", "\"a b\""]);
    let any_value = prop_oneof![4 => fitting.prop_map(str::to_owned), 1 => arbitrary::value()];
    let loose = (key.prop_map(str::to_owned), any_value);
    let proper = |key: &'static str, values: Vec<&'static str>| {
        (Just(format!("\"{key}\"")), select(values).prop_map(str::to_owned)).boxed()
    };
    let members = (
        proptest::option::weighted(0.8, proper("jsonrpc", vec!["\"2.0\"", "\"2.0\"", "\"2\\u002e0\"", "2"])),
        proptest::option::weighted(
            0.8,
            proper("id", vec!["1", "\"abc\"", "null", "12345678901234567890", "\"\\n\"", "2.5", "-3"]),
        ),
        proptest::option::weighted(0.9, proper("method", vec!["\"eth_call\"", "\"m\"", "\"\"", "\"a\\u0062\"", "7"])),
        proptest::option::weighted(0.8, (Just("\"params\"".to_owned()), arbitrary::value()).boxed()),
        proptest::collection::vec(loose, 0..2),
    );
    let shuffled =
        members.prop_map(|(a, b, c, d, more)| [a, b, c, d].into_iter().flatten().chain(more).collect::<Vec<_>>()).prop_shuffle();
    (shuffled, arbitrary::space(), arbitrary::space()).prop_map(|(members, a, b)| {
        let members: Vec<String> = members.iter().map(|(key, value)| format!("{a}{key}{b}:{a}{value}{b}")).collect();
        format!("{a}{{{}}}{b}", members.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn the_scanner_reads_what_the_reference_reads(text in request_like()) {
        let got = match scan_body(text.as_bytes()) {
            Ok(Body::Single(request)) => becomes(text.as_bytes(), Ok(request)),
            Ok(Body::Batch(_)) => "batch".into(),
            Err(fault) => fault.code().to_string(),
        };
        prop_assert_eq!(got, reference(&text));
    }

    /// No damage makes the scanner accept what is no JSON, or lets through more than its spans say.
    #[test]
    fn damage_is_refused_or_harmless(body in arbitrary::damaged(request_like())) {
        let is_json = std::str::from_utf8(&body).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
        match scan_body(&body) {
            Ok(Body::Single(request)) => {
                prop_assert!(is_json);
                let mut call = Vec::new();
                write_call(&mut call, b"1", request.method.of(&body), request.params.of(&body), request.params_kind);
                let is_good = |again: Request| again.canonical || again.params_kind == ParamsKind::Object;
                let reread = scan_body(&call);
                prop_assert!(matches!(reread, Ok(Body::Single(again)) if is_good(again)), "{}", String::from_utf8_lossy(&call));
            }
            Ok(Body::Batch(_)) => prop_assert!(is_json),
            Err(RequestFault::Parse) => prop_assert!(!is_json),
            Err(_) => prop_assert!(is_json),
        }
    }

    /// An item of a batch is judged as the same text alone.
    #[test]
    fn an_item_is_judged_like_a_body(items in proptest::collection::vec(request_like(), 1..4)) {
        let body = format!("[{}]", items.join(","));
        let Ok(Body::Batch(spans)) = scan_body(body.as_bytes()) else { panic!("a batch: {body}") };
        prop_assert_eq!(spans.len(), items.len());
        for (span, item) in spans.iter().zip(&items) {
            prop_assert_eq!(span.of(body.as_bytes()), item.trim().as_bytes());
            let alone = match scan_body(item.as_bytes()) {
                Ok(Body::Single(request)) => becomes(item.as_bytes(), Ok(request)),
                Ok(Body::Batch(_)) => unreachable!(),
                Err(fault) => becomes(item.as_bytes(), Err(fault)),
            };
            prop_assert_eq!(becomes(body.as_bytes(), scan_item(body.as_bytes(), *span)), alone);
        }
    }
}

/// Every pair of ethereum/execution-apis: the request goes as it is, the answer is one to it, and comes back changed in
/// its id alone.
#[test]
fn pairs_of_execution_apis_pass_unchanged() {
    let Some(pairs) = crate::wire::jsonrpc::vectors::execution_apis() else { return };
    for pair in &pairs {
        let text = String::from_utf8_lossy(&pair.request);
        let Ok(Body::Single(request)) = scan_body(&pair.request) else { panic!("{text}") };
        let wanted = pair.request.windows(8).any(|w| w == b"\"params\"");
        assert_eq!(request.canonical, wanted, "{text}");
        let answer = scan_answer(&pair.answer).unwrap_or_else(|fault| panic!("{fault:?} {text}"));
        assert!(id_matches(&pair.answer, &answer, request.id_span.of(&pair.request)));
        let (mut there, mut back) = (Vec::new(), Vec::new());
        splice(&mut there, &pair.answer, &answer, b"\"other \\u0041\"");
        let moved = scan_answer(&there).expect("still an answer");
        assert!(id_matches(&there, &moved, b"\"other A\"") && !id_matches(&there, &moved, b"1"));
        splice(&mut back, &there, &moved, answer.id.of(&pair.answer));
        assert_eq!(back, pair.answer);
    }
}
