//! The fields that every RPC answer has (docs/behaviour/http.md#answer-fields), whatever it is: result, error, refusal, nothing,
//! a handshake. And the metadata in each of its places: header fields, body, a notification.

use crate::harness::{Lasso, profile};
use crate::http::{Answer, Client, READ};
use crate::provider::{Provider, answer, ok, write};
use crate::websocket::{ask, connect, hear};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::net::SocketAddr;

const ID: &str = "a-request-id-of-the-client";
const EXPOSED: [&str; 6] =
    ["x-request-id", "x-lasso-request-id", "x-lasso-meta", "x-lasso-region", "x-livechain-region", "retry-after"];

/// A provider that answers calls, and refuses `eth_call` in its own words.
fn provider() -> Provider {
    Provider::new(|got, stream| {
        let error = r#"{"code":3,"message":"execution reverted","data":"0x"}"#;
        let body = match got.method.as_str() {
            "eth_call" => format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, got.id),
            "eth_getLogs" => ok(&got.id, &format!("\"{}\"", "0".repeat(400_000))),
            _ => ok(&got.id, "\"0x7\""),
        };
        write(stream, &answer(&body))
    })
}

fn node(provider: &Provider, limits: &str) -> Lasso {
    Lasso::start_with(&profile(&[provider.address], limits), &["--region", "eu-west"])
}

fn exchange(at: SocketAddr, request: &str) -> Answer {
    let mut client = Client::new(at);
    client.send(request.as_bytes());
    client.answer().expect("an answer")
}

fn post(at: SocketAddr, path: &str, fields: &str, body: &str) -> Answer {
    let length = body.len();
    exchange(
        at,
        &format!("POST {path} HTTP/1.1\r\nhost: x\r\nx-request-id: {ID}\r\n{fields}content-length: {length}\r\n\r\n{body}"),
    )
}

/// Panics with what is missing. `own_id`: the client's id could not be read, so there is one of ours.
fn assert_fields(what: &str, answer: &Answer, has_content: bool, own_id: bool) {
    let field = |name| answer.field(name).unwrap_or_else(|| panic!("{what}: no {name} in\n{}", answer.head));
    for name in ["x-lasso-region", "x-livechain-region"] {
        assert_eq!(field(name), "eu-west", "{what}");
    }
    assert_eq!(field("access-control-allow-origin"), "*", "{what}");
    assert_eq!(field("access-control-expose-headers").split(", ").collect::<Vec<_>>(), EXPOSED, "{what}");
    match own_id {
        true => assert_eq!(field("x-request-id").len(), 32, "{what}"),
        false => assert_eq!(field("x-request-id"), ID, "{what}"),
    }
    if has_content {
        assert_eq!(field("content-type"), "application/json", "{what}");
    }
    for name in ["x-request-id", "x-lasso-region", "content-type", "access-control-allow-origin", "content-length"] {
        let count = answer.head.to_lowercase().matches(&format!("\n{name}:")).count();
        assert!(count <= 1, "{what}: {name} is there {count} times");
    }
}

#[test]
fn every_rpc_answer_says_where_it_is_from() {
    let (provider, calm) = (provider(), "rps_limit: 0");
    let lasso = node(&provider, calm);
    let call = |method: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[]}}"#);
    let silent = r#"{"jsonrpc":"2.0","method":"eth_gasPrice","params":[]}"#;
    let check = |path: &str, fields: &str, body: &str, status: u16| {
        let answer = post(lasso.address, path, fields, body);
        let what = format!("{path} {fields:?} {}", body.get(..body.len().min(90)).unwrap_or(""));
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert_fields(&what, &answer, true, false);
    };
    check("/rpc/one", "", READ, 200);
    check("/rpc/one", "", &call("eth_call"), 200);
    check("/rpc/one", "", &call("eth_getLogs"), 200);
    check("/rpc/one", "", &call("eth_chainId"), 200);
    check("/rpc/one", "", &call("eth_sign"), 200);
    check("/rpc/one", "", &call("eth_subscribe"), 200);
    check("/rpc/one", "", &format!("[{READ},{}]", call("eth_call")), 200);
    check("/rpc/one", "", "[]", 200);
    check("/rpc/one", "", silent, 204);
    check("/rpc/one", "", &format!("[{silent}]"), 204);
    check("/rpc/one", "", "{", 400);
    check("/rpc/two", "", READ, 400);
    check("/rpc/one/z", "", READ, 400);
    check("/rpc/one?transport=rope", "", READ, 400);
    check("/rpc/%zz", "", READ, 400);
    check("/rpc/profile/gold/one", "", READ, 404);
    check("/rpc", "", READ, 404);
    check("/rpc/one", "content-type: text/plain\r\n", READ, 415);
    check("/ws/rpc/one", "", READ, 405);
    let limited = node(&provider, "rps_limit: 1\nburst_limit: 1");
    let answers: Vec<Answer> = (0..4).map(|_| post(limited.address, "/rpc/one", "", READ)).collect();
    let refused = answers.iter().find(|answer| answer.status == 429).expect("a refusal");
    assert_fields("over the limit", refused, true, false);
    assert!(refused.field("retry-after").is_some());
    // A head that cannot be read has no id of the client's.
    for request in [
        "POST /rpc/one HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n".to_owned(),
        "POST /rpc/one HTTP/1.1\r\nhost: x\r\nexpect: luck\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
        "POST /rpc/one HTTP/1.1\r\nhost: x\r\nhost: y\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
        format!("POST /rpc/one HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(20_000)),
    ] {
        let answer = exchange(lasso.address, &request);
        assert!((400..500).contains(&answer.status), "{}", answer.text());
        assert_fields(&request[..60], &answer, true, true);
    }
}

#[test]
fn handshakes_say_it_too_and_other_paths_do_not_invite_browsers() {
    let (provider, calm) = (provider(), "rps_limit: 0");
    let lasso = node(&provider, calm);
    let upgrade = |path: &str, fields: &str| {
        let fields = format!("connection: upgrade\r\nsec-websocket-version: 13\r\nx-request-id: {ID}\r\n{fields}");
        exchange(lasso.address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n{fields}\r\n"))
    };
    let key = "upgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let check = |path: &str, fields: &str, status: u16, has_content: bool| {
        let answer = upgrade(path, fields);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert_fields(path, &answer, has_content, false);
    };
    check("/ws/rpc/one", key, 101, false);
    check("/ws/rpc/one", "", 426, true);
    check("/ws/rpc/one", "upgrade: websocket\r\nsec-websocket-key: short\r\n", 400, true);
    check("/ws/rpc/two", key, 400, true);
    check("/ws/rpc/profile/gold/one", key, 404, true);
    for path in ["/api/health", "/api/nothing", "/api/status", "/api/openapi.json"] {
        let answer = exchange(lasso.address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-request-id: {ID}\r\n\r\n"));
        assert_eq!((answer.field("access-control-allow-origin"), answer.field("x-request-id")), (None, Some(ID)), "{path}");
    }
    let fault = exchange(lasso.address, "GET /api/health HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n");
    assert_eq!((fault.status, fault.field("access-control-allow-origin")), (400, None));
}

#[test]
fn preflights_allow_what_is_asked_for() {
    let (provider, calm) = (provider(), "rps_limit: 0");
    let lasso = node(&provider, calm);
    let check = |path: &str, asked: &str, want: Option<&str>| {
        let fields = format!(
            "origin: https://app.example\r\naccess-control-request-method: POST\r\naccess-control-request-headers: {asked}\r\n"
        );
        let answer = exchange(lasso.address, &format!("OPTIONS {path} HTTP/1.1\r\nhost: x\r\n{fields}\r\n"));
        assert_eq!((answer.status, answer.field("access-control-allow-headers")), (204, want), "{path} {asked}");
        assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.field("access-control-allow-methods"), Some("GET, POST, OPTIONS"));
        assert_eq!(answer.field("access-control-max-age"), Some("86400"));
        assert!(answer.field("content-length").is_none() && answer.field("x-request-id").is_some());
    };
    let all = "content-type, authorization, x-api-key, x-request-id, traceparent, tracestate, x-lasso-provider, \
        x-lasso-transport, x-lasso-include-meta, x-lasso-region";
    check("/rpc/one", all, Some(all));
    check("/ws/rpc/one", "Traceparent,Solana-Client", Some("traceparent, solana-client"));
    check("/rpc/anything/at/all/here", "(x)", None);
    let elsewhere = exchange(lasso.address, "OPTIONS /api/health HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!((elsewhere.status, elsewhere.field("allow")), (204, Some("GET, HEAD, POST, OPTIONS")));
}

fn header_meta(answer: &Answer) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(answer.field("x-lasso-meta")?).expect("base64url");
    Some(serde_json::from_slice(&bytes).expect("JSON"))
}

/// What every call's metadata says, and what those of a call that went upstream say beside it (docs/behaviour/shown.md#metadata).
fn assert_meta(what: &str, meta: &Value, went_upstream: bool) {
    assert_eq!((&meta["version"], &meta["chain"], &meta["chain_id"]), (&"1.0".into(), &"one".into(), &1.into()), "{what}");
    assert!(meta["request_id"].is_string() && meta["strategy"] == "priority", "{what}: {meta}");
    let found = crate::schema::breaches(
        &serde_json::from_str(include_str!("../../config/openapi.json")).expect("JSON"),
        &serde_json::json!({ "$ref": "#/components/schemas/LassoMeta" }),
        meta,
    );
    assert!(found.is_empty(), "{what}: {found:#?}");
    let timed = ["selection_latency_ms", "upstream_latency_ms", "end_to_end_latency_ms", "lasso_overhead_ms"];
    for name in timed.iter().chain(&["transport", "candidate_providers", "selected_provider", "retries", "circuit_breaker_state"])
    {
        assert_eq!(meta.get(name).is_some(), went_upstream, "{what}: {name}");
    }
    if went_upstream {
        let ms = timed.map(|name| meta[name].as_f64().expect("milliseconds"));
        assert!(ms[2] >= ms[1] && (ms[2] - ms[1] - ms[3]).abs() < 0.002, "{what}: {meta}");
        assert_eq!(meta["selected_provider"], serde_json::json!({ "id": "a", "protocol": "http" }), "{what}");
        assert_eq!(meta["candidate_providers"], serde_json::json!(["a:http"]), "{what}");
    }
}

#[test]
fn metadata_is_where_it_was_asked_for() {
    let (provider, calm) = (provider(), "rps_limit: 0");
    let lasso = node(&provider, calm);
    let call = |method: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[]}}"#);
    let bodies = [
        (READ.to_owned(), true),
        (call("eth_call"), true),
        (call("eth_getLogs"), true),
        (call("eth_chainId"), false),
        (call("eth_sign"), false),
    ];
    for (body, went_upstream) in &bodies {
        for (path, fields) in [("/rpc/one?include_meta=headers", ""), ("/rpc/one", "x-lasso-include-meta: headers\r\n")] {
            let answer = post(lasso.address, path, fields, body);
            assert_eq!(answer.field("x-lasso-request-id"), Some(ID), "{body}");
            let meta = header_meta(&answer).unwrap_or_else(|| panic!("{body}: {}", answer.head));
            assert_eq!(meta["request_id"], ID);
            assert_meta(body, &meta, *went_upstream);
            assert!(answer.json().get("lasso_meta").is_none());
        }
        let answer = post(lasso.address, "/rpc/one?include_meta=body", "", body);
        assert_meta(body, &answer.json()["lasso_meta"], *went_upstream);
        let answer_without = post(lasso.address, "/rpc/one?include_meta=none", "x-lasso-include-meta: headers\r\n", body);
        for answer in [&answer, &answer_without] {
            assert_eq!((answer.field("x-lasso-request-id"), answer.field("x-lasso-meta")), (None, None), "{body}");
        }
    }
    // Of a batch the first call speaks; a refusal that looked at no call has the id alone.
    let batch = post(lasso.address, "/rpc/one?include_meta=headers", "", &format!("[{READ},{READ}]"));
    assert_meta("a batch", &header_meta(&batch).expect("metadata"), true);
    let refused = post(lasso.address, "/rpc/one?include_meta=headers", "", "{");
    assert_eq!((refused.status, refused.field("x-lasso-request-id"), refused.field("x-lasso-meta")), (400, Some(ID), None));

    let ws = &mut connect(lasso.address, "/ws/rpc/one?include_meta=body");
    for (body, went_upstream) in bodies.iter().filter(|(body, _)| !body.contains("eth_getLogs")) {
        assert_meta(body, &ask(ws, body)["lasso_meta"], *went_upstream);
    }
    let ws = &mut connect(lasso.address, "/ws/rpc/one");
    for (body, went_upstream) in &bodies {
        assert!(ask(ws, body).get("lasso_meta").is_none(), "{body}");
        let answer = ask(ws, &body.replacen('{', r#"{"lasso_meta":"notify","#, 1));
        assert!(answer["id"] == 1 && answer.get("lasso_meta").is_none(), "{body}");
        let notice: Value = serde_json::from_str(&hear(ws)).expect("JSON");
        assert_eq!(notice["method"], "lasso_meta", "{body}");
        assert_meta(body, &notice["params"], *went_upstream);
    }
}
