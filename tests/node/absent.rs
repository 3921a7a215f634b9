//! What one provider does not have and another one has, on the real binary: null, empty lists, and results that cannot be.

use crate::api::{eventually, get, of_provider};
use crate::harness::Lasso;
use crate::http::post;
use crate::provider::{Provider, answer, ok, write};
use serde_json::{Value, json};

/// Answers `method` with `result`, others with `"0x7"`.
fn provider(method: &'static str, result: &'static str) -> Provider {
    Provider::new(move |got, stream| {
        let result = if got.method == method { result } else { "\"0x7\"" };
        write(stream, &answer(&ok(&got.id, result)))
    })
}

fn profile(all: &[&Provider], lines: &str) -> String {
    let mut text = "slug: default\nrps_limit: 0\nchains:\n  one:\n    chain_id: 1\n    providers:\n".to_owned();
    for (index, provider) in all.iter().enumerate() {
        let id = (b'a' + index as u8) as char;
        text.push_str(&format!("      - {{id: {id}, url: \"http://{}\", priority: {index}{lines}}}\n", provider.address));
    }
    text
}

fn call(lasso: &Lasso, method: &str, params: &Value) -> Value {
    post(lasso.address, "/rpc/one", &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()).json()
}

#[test]
fn null_of_a_look_up_is_asked_of_the_others() {
    let hash = format!("0x{}", "ab".repeat(32));
    let look_ups: [(&str, Value); 6] = [
        ("eth_getTransactionReceipt", json!([hash])),
        ("eth_getTransactionByHash", json!([hash])),
        ("eth_getBlockByHash", json!([hash, false])),
        ("eth_getBlockByNumber", json!(["latest", false])),
        ("eth_getBlockReceipts", json!(["0x10"])),
        ("trace_block", json!(["0x10"])),
    ];
    for (method, params) in look_ups {
        let (late, good) = (provider(method, "null"), provider(method, r#"{"found":true}"#));
        let lasso = Lasso::start(&profile(&[&late, &good], ""), "io_uring");
        assert_eq!(call(&lasso, method, &params)["result"], json!({"found": true}), "{method}");
        let other = provider(method, "null");
        let nowhere = Lasso::start(&profile(&[&late, &other], ""), "io_uring");
        for _ in 0..5 {
            let answered = call(&nowhere, method, &params);
            assert_eq!(answered, json!({"jsonrpc": "2.0", "id": 1, "result": null}), "{method}");
        }
        let (_, providers) = get(nowhere.address, "/api/providers/one");
        for id in ["a", "b"] {
            assert_eq!(
                of_provider(&providers, id)["circuit"]["failures_in_a_row"],
                0,
                "{method} {id}: lacking something is no failure"
            );
        }
    }
}

/// A range that ends above what the first one has reached; the second one has.
#[test]
fn an_empty_list_is_believed_of_whoever_has_the_block() {
    let logs = |height: &'static str, result: &'static str| {
        Provider::at(height, move |got, stream| write(stream, &answer(&ok(&got.id, result))))
    };
    let (late, good) = (logs("0x63", "[]"), logs("0x64", "[{\"data\":\"0x\"}]"));
    let lasso = Lasso::start(&profile(&[&late, &good], ""), "io_uring");
    let path = "/api/explain/default/one/eth_getLogs?block=0x64";
    eventually(lasso.address, path, |told| {
        of_provider(told, "a")["is_behind"] == true && of_provider(told, "b")["reported_height"] == 0x64
    });
    let to = |block: &str| call(&lasso, "eth_getLogs", &json!([{"fromBlock": "0x10", "toBlock": block}]))["result"].clone();
    assert_eq!((to("0x64"), to("0x63")), (json!([{"data": "0x"}]), json!([])));
}

#[test]
fn a_result_that_cannot_be_fails_over() {
    for (method, params, wrong) in [
        ("eth_getLogs", json!([{"fromBlock": "0x1", "toBlock": "0x2"}]), "null"),
        ("eth_getLogs", json!([{"fromBlock": "0x1", "toBlock": "0x2"}]), "{}"),
        ("eth_gasPrice", json!([]), "null"),
        ("eth_getBalance", json!(["0x01", "latest"]), "\"\""),
        ("eth_call", json!([{}, "latest"]), "null"),
        ("eth_getTransactionCount", json!(["0x01", "latest"]), "7"),
        ("eth_getBlockByNumber", json!(["latest", false]), "{}"),
    ] {
        let (broken, good) = (provider(method, wrong), provider(method, r#"{"is":"good"}"#));
        let lasso = Lasso::start(&profile(&[&broken, &good], ""), "io_uring");
        assert_eq!(call(&lasso, method, &params)["result"], json!({"is": "good"}), "{method} {wrong}");
    }
}

/// What needs the node's own keys, or operates it, is for whoever says that it takes it.
#[test]
fn categories_that_are_left_in_open_what_is_blocked() {
    let node = provider("eth_accounts", r#"["0x01"]"#);
    let closed = Lasso::start(&profile(&[&node], ""), "io_uring");
    for method in ["eth_accounts", "admin_peers", "debug_setHead", "engine_newPayloadV4", "personal_sign"] {
        assert_eq!(call(&closed, method, &json!([]))["error"]["code"], -32601, "{method}");
    }
    let other = provider("eth_accounts", "\"never asked\"");
    let text = profile(&[&other, &node], "");
    let open = text.replace("priority: 1}", "priority: 1, capabilities: {unsupported_categories: []}}");
    let open = Lasso::start(&open, "io_uring");
    assert_eq!(call(&open, "eth_accounts", &json!([]))["result"], json!(["0x01"]));
    assert_eq!(call(&open, "admin_peers", &json!([]))["result"], "0x7");
    assert_eq!((other.count("eth_accounts"), other.count("admin_peers")), (0, 0));
    let (_, told) = get(open.address, "/api/explain/default/one/eth_accounts");
    assert_eq!(
        (&told["chosen"], told["handling"].as_str().map(|text| text.starts_with("forwarded to those"))),
        (&json!("b"), Some(true))
    );
}
