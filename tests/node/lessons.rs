//! Faults of the program that we replace, each by name, on the real binary: they must not come back.

use crate::api::{eventually, of_provider};
use crate::harness::Lasso;
use crate::http::{READ, post};
use crate::provider::{Provider, answer, ok, with_status, write};
use std::net::SocketAddr;

/// Two providers, the first with more lines of YAML.
fn profile(first: SocketAddr, second: SocketAddr, lines: &str) -> String {
    format!(
        "slug: default\nrps_limit: 0\nchains:\n  one:\n    chain_id: 1\n    providers:\n      - id: a\n        url: \"http://{first}\"\n        priority: 1\n{lines}      - {{id: b, url: \"http://{second}\", priority: 2}}\n"
    )
}

/// The rules of a profile act on what providers really answer (docs/behaviour/answers.md#error-rules).
#[test]
fn error_rules_act_on_live_traffic() {
    // By itself the answer to a caller's mistake, which is returned.
    let odd = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32602,"message":"Slow Down, friend"}}}}"#);
    let first = Provider::new(move |got, stream| write(stream, &answer(&odd(&got.id))));
    let second = Provider::good("\"0x7\"");
    let without = Lasso::start(&profile(first.address, second.address, ""), "io_uring");
    assert_eq!(post(without.address, "/rpc/one", READ).json()["error"]["code"], -32602);
    let lines = "        capabilities:\n          error_rules:\n            - {code: -32602, message_contains: \"slow down\", category: rate_limit}\n";
    let with = Lasso::start(&profile(first.address, second.address, lines), "io_uring");
    assert_eq!(post(with.address, "/rpc/one", READ).json()["result"], "0x7");
    let is_resting = |p: &serde_json::Value| of_provider(p, "a")["status"] == "rate_limited";
    let providers = eventually(with.address, "/api/providers/one", is_resting);
    assert_eq!(of_provider(&providers, "a")["circuit"]["state"], "closed");
    let asked = first.count("eth_getBalance");
    (0..10).for_each(|_| assert_eq!(post(with.address, "/rpc/one", READ).json()["result"], "0x7"));
    assert_eq!(first.count("eth_getBalance"), asked, "a provider that rests is asked after the others");
}

/// 429 is no mark, and `Retry-After` is read (docs/behaviour/health.md#rests).
#[test]
fn too_many_requests_is_a_rest_as_long_as_it_says_and_no_mark() {
    let limited = Provider::new(|got, stream| {
        write(stream, &with_status("429 Too Many Requests", "retry-after: 77\r\n", &ok(&got.id, "1")))
    });
    let good = Provider::good("\"0x7\"");
    let lasso = Lasso::start(&profile(limited.address, good.address, ""), "io_uring");
    (0..20).for_each(|_| assert_eq!(post(lasso.address, "/rpc/one", READ).json()["result"], "0x7"));
    let is_resting = |p: &serde_json::Value| of_provider(p, "a")["status"] == "rate_limited";
    let providers = eventually(lasso.address, "/api/providers/one", is_resting);
    let resting = of_provider(&providers, "a");
    assert_eq!((&resting["circuit"]["state"], &resting["circuit"]["failures_in_a_row"]), (&"closed".into(), &0.into()));
    let reason = resting["reason"].as_str().unwrap_or("");
    assert!((70..=77).any(|s| reason.contains(&format!(" {s} s"))), "{reason}");
    assert!(limited.count("eth_getBalance") <= 4, "{} calls to a provider that rests", limited.count("eth_getBalance"));
}
