//! What a client can rely on: statuses, texts, header fields, metadata, pins, batches, filters, and HTTP as it is used.

use crate::harness::{DRIVERS, Lasso, no_limit};
use crate::http::{Answer, Client, READ, post};
use crate::provider::{Provider, answer, ok, write};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::io::Read;
use std::net::Shutdown;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const A: &str = "\"0xa\"";
const B: &str = "\"0xb\"";

/// Two good providers `a` and `b` on both drivers.
fn each(test: impl Fn(&str, &mut Lasso, &Provider, &Provider)) {
    for driver in DRIVERS {
        let (a, b) = (Provider::good(A), Provider::good(B));
        let mut lasso = Lasso::start(&no_limit(&[a.address, b.address]), driver);
        test(driver, &mut lasso, &a, &b);
        lasso.assert_alive();
    }
}

fn call(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

fn ask(client: &mut Client, line: &str, fields: &str) -> Answer {
    client.send(format!("{line} HTTP/1.1\r\nhost: x\r\n{fields}\r\n").as_bytes());
    client.answer().expect("an answer")
}

#[test]
fn content_types() {
    each(|driver, lasso, _, _| {
        let mut client = Client::new(lasso.address);
        for (field, status) in [
            ("", 200),
            ("content-type: application/json\r\n", 200),
            ("content-type: application/json; charset=utf-8\r\n", 200),
            ("content-type: APPLICATION/JSON\r\n", 200),
            ("content-type: application/vnd.x+json\r\n", 200),
            ("content-type: text/plain\r\n", 415),
            ("content-type: application/x-www-form-urlencoded\r\n", 415),
            ("content-type: application/jsonx\r\n", 415),
        ] {
            client.send(
                format!("POST /rpc/one HTTP/1.1\r\nhost: x\r\n{field}content-length: {}\r\n\r\n{READ}", READ.len()).as_bytes(),
            );
            let got = client.answer().expect("an answer");
            assert_eq!(got.status, status, "{driver} {field:?}: {}", got.text());
            assert_eq!(got.json()["error"]["code"].as_i64(), (status == 415).then_some(-32600), "{driver} {field:?}");
        }
    });
}

#[test]
fn the_largest_body_and_one_byte_more() {
    each(|driver, lasso, a, _| {
        let body = |bytes: usize| {
            let empty = call("eth_call", "[\"\"]");
            call("eth_call", &format!("[\"{}\"]", "e".repeat(bytes - empty.len())))
        };
        let largest = body(8_000_000);
        let got = post(lasso.address, "/rpc/one", &largest);
        assert!(got.text().contains(A), "{driver}: {}", got.text());
        let seen = a.got().pop().expect("it came");
        assert!(seen.body == largest, "{driver}: {} bytes came, altered", seen.body.len());
        let mut client = Client::new(lasso.address);
        let got = client.post("/rpc/one", &body(8_000_001));
        assert_eq!(
            (got.status, &got.json()["error"]["code"], &got.json()["id"]),
            (413, &json!(-32600), &Value::Null),
            "{driver}"
        );
        assert!(got.text().contains("8000000"), "{driver}: {}", got.text());
        assert!(client.is_closed());
    });
}

#[test]
fn long_params_arrive_intact_in_any_framing() {
    each(|driver, lasso, a, _| {
        let params = format!("[\"0x{}\",{{\"deep\":[1,2,{{}}]}},\"\\u00e9\u{20ac}\"]", "5a".repeat(2_500_000));
        // Canonical, and with an id that has to be replaced.
        for body in [call("eth_call", &params), call("eth_call", &params).replacen("\"id\":1", "\"id\":\"\\u0031\"", 1)] {
            let plain = post(lasso.address, "/rpc/one", &body);
            let mut client = Client::new(lasso.address);
            let chunks: String =
                body.as_bytes().chunks(100_003).map(|c| format!("{:x}\r\n{}\r\n", c.len(), String::from_utf8_lossy(c))).collect();
            client.send(
                format!("POST /rpc/one HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n").as_bytes(),
            );
            let chunked = client.answer().expect("an answer");
            let mut client = Client::new(lasso.address);
            let head =
                format!("POST /rpc/one HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n", body.len());
            client.send(head.as_bytes());
            assert_eq!(client.answer().map(|a| a.status), Some(100), "{driver}");
            client.send(body.as_bytes());
            let expected = client.answer().expect("an answer");
            for got in [plain, chunked, expected] {
                assert!(got.text().contains(A), "{driver}: {}", got.text());
            }
            let seen: Vec<_> = a.got().into_iter().filter(|got| got.method == "eth_call").collect();
            assert_eq!(seen.len(), 3, "{driver}");
            seen.iter().for_each(|got| assert!(got.body.contains(&params), "{driver}: {} bytes came, altered", got.body.len()));
            a.forget();
        }
    });
}

#[test]
fn paths_and_verbs() {
    each(|driver, lasso, _, _| {
        let mut client = Client::new(lasso.address);
        for (line, status, allow) in [
            ("GET /nowhere", 404, None),
            ("POST /api", 404, None),
            ("GET /rpc/one", 405, Some("POST, OPTIONS")),
            ("DELETE /rpc/priority/one", 405, Some("POST, OPTIONS")),
            ("GET /rpc/profile/default/one", 405, Some("POST, OPTIONS")),
            ("DELETE /api/health", 405, Some("GET, HEAD")),
            ("GET /api/reload", 405, Some("POST")),
            ("GET /api/health", 200, None),
            ("GET /api/chains", 200, None),
        ] {
            let got = ask(&mut client, line, "");
            assert_eq!((got.status, got.field("allow")), (status, allow), "{driver} {line}: {}", got.text());
            assert!(got.json().is_object() && got.field("content-type") == Some("application/json"), "{driver} {line}");
        }
    });
}

#[test]
fn preflight_and_cors() {
    each(|driver, lasso, _, _| {
        let mut client = Client::new(lasso.address);
        let asked = "origin: https://app.example\r\naccess-control-request-method: POST\r\naccess-control-request-headers: Content-Type, X-Lasso-Provider, Cookie\r\n";
        for path in ["/rpc/one", "/rpc/profile/x/y", "/ws/rpc/one"] {
            let got = ask(&mut client, &format!("OPTIONS {path}"), asked);
            assert_eq!((got.status, got.body.len()), (204, 0), "{driver} {path}");
            assert_eq!(got.field("access-control-allow-origin"), Some("*"));
            assert_eq!(got.field("access-control-max-age"), Some("86400"));
            assert_eq!(
                got.field("access-control-allow-headers"),
                Some("content-type, x-lasso-provider, cookie"),
                "{driver} {path}"
            );
            assert!(got.field("access-control-allow-methods").is_some_and(|m| m.contains("POST")));
        }
        let elsewhere = ask(&mut client, "OPTIONS /api/health", asked);
        let cors = elsewhere.field("access-control-allow-origin");
        assert_eq!((elsewhere.status, cors), (204, None), "CORS is for calls only");
        assert_eq!(ask(&mut client, "GET /api/health", asked).field("access-control-allow-origin"), None);
        // Every answer to a call has it, also one that refuses.
        for (path, body) in [("/rpc/one", READ), ("/rpc/one", "{"), ("/rpc/none", READ), ("/rpc/one", "[]")] {
            let got = client.post(path, body);
            assert_eq!(got.field("access-control-allow-origin"), Some("*"), "{driver} {path} {body}");
            assert!(got.field("access-control-expose-headers").is_some_and(|names| names.contains("x-lasso-meta")));
        }
    });
}

#[test]
fn request_ids_and_region() {
    for driver in DRIVERS {
        let a = Provider::good(A);
        let lasso = Lasso::start_with(&no_limit(&[a.address]), &["--driver", driver, "--region", "eu-west-1"]);
        let mut client = Client::new(lasso.address);
        let mut generated = Vec::new();
        for (sent, echoed) in [
            ("a-request-id-of-20-by".to_owned(), true),
            ("x".repeat(200), true),
            ("x".repeat(201), false),
            ("short".to_owned(), false),
            ("twenty-bytes-and-\u{e4}-one".to_owned(), false),
            (String::new(), false),
        ] {
            let got = client.post_with("/rpc/one", &format!("x-request-id: {sent}\r\n"), READ);
            let id = got.field("x-request-id").expect("an id").to_owned();
            assert_eq!(id == sent, echoed, "{driver} {sent:?}: {id}");
            if !echoed {
                assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
                generated.push(id);
            }
            assert_eq!((got.field("x-lasso-region"), got.field("x-livechain-region")), (Some("eu-west-1"), Some("eu-west-1")));
            assert_eq!((got.field("x-lasso-meta"), got.field("content-type")), (None, Some("application/json")));
        }
        generated.sort();
        generated.dedup();
        assert_eq!(generated.len(), 4, "{driver}: each is new");
    }
}

#[test]
fn metadata_in_header_and_body() {
    each(|driver, lasso, _, _| {
        let mut client = Client::new(lasso.address);
        let check = |meta: &Value, local: bool| {
            assert_eq!(
                (&meta["version"], &meta["chain"], &meta["chain_id"]),
                (&json!("1.0"), &json!("one"), &json!(1)),
                "{driver}: {meta}"
            );
            assert_eq!(meta["strategy"], "priority");
            if !local {
                assert_eq!(meta["selected_provider"], json!({"id": "a", "protocol": "http"}), "{driver}: {meta}");
                assert_eq!(meta["candidate_providers"], json!(["a:http", "b:http"]));
                assert_eq!((&meta["transport"], &meta["retries"]), (&json!("http"), &json!(0)));
                assert!(meta["end_to_end_latency_ms"].as_f64() >= meta["upstream_latency_ms"].as_f64(), "{meta}");
            }
        };
        for (body, local) in [(READ.to_owned(), false), (call("eth_chainId", "[]"), true)] {
            for (path, fields) in [("/rpc/one?include_meta=headers", ""), ("/rpc/one", "x-lasso-include-meta: headers\r\n")] {
                let got = client.post_with(path, fields, &body);
                let raw = URL_SAFE_NO_PAD.decode(got.field("x-lasso-meta").expect("metadata")).expect("base64url");
                let meta: Value = serde_json::from_slice(&raw).expect("JSON");
                check(&meta, local);
                assert_eq!(meta["request_id"].as_str(), got.field("x-lasso-request-id"));
                assert_eq!(got.field("x-lasso-request-id"), got.field("x-request-id"));
                assert!(got.json().get("lasso_meta").is_none());
            }
            for (path, fields) in [("/rpc/one?include_meta=body", ""), ("/rpc/one", "x-lasso-include-meta: body\r\n")] {
                let got = client.post_with(path, fields, &body);
                check(&got.json()["lasso_meta"], local);
                assert!(got.field("x-lasso-meta").is_none() && got.json()["result"].is_string());
            }
        }
        let got = client.post_with("/rpc/one?include_meta=none", "x-lasso-include-meta: body\r\n", READ);
        assert!(got.json().get("lasso_meta").is_none(), "the query wins");
        let got = client.post("/rpc/one?include_meta=body", &call("eth_accounts", "[]"));
        assert!(got.json()["lasso_meta"].is_object() && got.json()["error"]["code"] == -32601, "{}", got.text());
    });
}

#[test]
fn names_that_do_not_exist() {
    each(|driver, lasso, a, b| {
        let mut client = Client::new(lasso.address);
        for (path, status, code, text) in [
            ("/rpc/none", 400, -32602, "Unsupported chain: Unknown chain 'none' in profile 'default'"),
            ("/rpc/2", 400, -32602, "Unsupported chain: Unknown chain '2' in profile 'default'"),
            ("/rpc/one/c", 400, -32602, "Unsupported chain: Provider 'c' is not configured for this chain"),
            ("/rpc/provider/c/one", 400, -32602, "Unsupported chain: Provider 'c' is not configured for this chain"),
            ("/rpc/one?provider=c", 400, -32602, "Unsupported chain: Provider 'c' is not configured for this chain"),
            ("/rpc/profile/none/one", 404, -32000, "Profile 'none' not found"),
            ("/rpc/profile/%20/one", 400, -32602, "Profile cannot be empty"),
            ("/rpc/one?transport=carrier-pigeon", 400, -32602, "Unknown transport 'carrier-pigeon'; use http or ws"),
        ] {
            let got = client.post(path, READ);
            let error = &got.json()["error"];
            assert_eq!((got.status, &error["code"], &error["message"]), (status, &json!(code), &json!(text)), "{driver} {path}");
            assert_eq!(got.json()["id"], Value::Null);
        }
        assert_eq!(client.post("/rpc/profile/none/one", READ).json()["error"]["data"]["error_type"], "profile_not_found");
        for path in [
            "/rpc/one",
            "/rpc/1",
            "/rpc/priority/one",
            "/rpc/profile/default/one",
            "/rpc/profile/public/1",
            "/rpc/load-balanced/one",
            "/rpc/round-robin/1",
        ] {
            let got = client.post(path, READ);
            assert_eq!(got.status, 200, "{driver} {path}: {}", got.text());
            assert!(got.json()["result"].is_string(), "{driver} {path}: {}", got.text());
        }
        assert_eq!(a.count("eth_getBalance") + b.count("eth_getBalance"), 7);
    });
}

#[test]
fn pins_hold_and_fall_back_only_when_allowed() {
    each(|driver, lasso, _, _| {
        let mut client = Client::new(lasso.address);
        for (path, fields) in [
            ("/rpc/one/b", ""),
            ("/rpc/provider/b/1", ""),
            ("/rpc/profile/default/one/b", ""),
            ("/rpc/one?provider_id=b", ""),
            ("/rpc/one?provider_override=b", ""),
            ("/rpc/one?provider=b", ""),
            ("/rpc/one", "x-lasso-provider: b\r\n"),
        ] {
            let got = client.post_with(path, fields, READ);
            assert!(got.text().contains(B), "{driver} {path} {fields}: {}", got.text());
        }
    });
    for driver in DRIVERS {
        let broken = Provider::new(|_, stream| write(stream, &answer("broken")));
        let good = Provider::good(B);
        let lasso = Lasso::start(&no_limit(&[broken.address, good.address]), driver);
        let got = post(lasso.address, "/rpc/one/a", READ);
        assert_eq!((got.status, &got.json()["error"]["code"]), (200, &json!(-32000)), "{driver}: {}", got.text());
        assert_eq!(good.count("eth_getBalance"), 0, "{driver}: a pin went elsewhere");
        let got = post(lasso.address, "/rpc/one/a?allow_failover=true", READ);
        assert!(got.text().contains(B), "{driver}: {}", got.text());
        assert!(broken.count("eth_getBalance") >= 2, "{driver}: the pinned one is asked first");
    }
}

#[test]
fn batches() {
    each(|driver, lasso, _, _| {
        let mut client = Client::new(lasso.address);
        let item = |id: &str| READ.replacen("\"id\":1", &format!("\"id\":{id}"), 1);
        let body = [
            item("3"),
            item("\"x\\u0041\""),
            "7".to_owned(),
            call("eth_accounts", "[]").replacen("\"id\":1", "\"id\":4", 1),
            READ.replacen("\"id\":1,", "", 1),
            item("3"),
            call("eth_chainId", "[]").replacen("\"id\":1", "\"id\":null", 1),
            item("1.5"),
            "{\"id\":9}".to_owned(),
            item("123456789012345678901234567890"),
        ];
        let got = client.post("/rpc/one", &format!("[{}]", body.join(" ,\n")));
        let all = got.json();
        let seen: Vec<(String, i64)> = all
            .as_array()
            .expect("a batch")
            .iter()
            .map(|one| (one["id"].to_string(), one["error"]["code"].as_i64().unwrap_or(0)))
            .collect();
        let codes: Vec<i64> = seen.iter().map(|(_, code)| *code).collect();
        assert_eq!(codes, [0, 0, -32600, -32601, 0, 0, 0, -32600, 0], "{driver}: {}", got.text());
        assert_eq!(seen[0].0, "3");
        assert!(
            got.text().contains(r#""id":"x\u0041""#) && got.text().contains("\"id\":123456789012345678901234567890"),
            "{}",
            got.text()
        );
        assert_eq!(
            (&seen[2].0[..], &seen[3].0[..], &seen[4].0[..], &seen[5].0[..], &seen[7].0[..]),
            ("null", "4", "3", "null", "9")
        );
        assert_eq!(all[5]["result"], "0x1");

        let of = |items: usize| format!("[{}]", vec![READ; items].join(","));
        let results = |got: &Answer| got.json().as_array().map(|all| all.iter().filter(|one| one["result"] == "0xa").count());
        assert_eq!(results(&client.post("/rpc/one", &of(1_000))), Some(1_000));
        let got = client.post("/rpc/one", &of(1_001));
        let all = got.json();
        assert_eq!((got.status, all.as_array().map(Vec::len)), (200, Some(1_001)), "an error for each id");
        let error = &all[1_000]["error"];
        assert_eq!((&all[1_000]["id"], &error["code"], &error["data"]["max_items"]), (&json!(1), &json!(-32600), &json!(1_000)));
        assert!(error["message"].as_str().is_some_and(|text| text.contains("batch too large") && text.contains("at most 1000")));
        let got = client.post("/rpc/one", &of(10_001));
        assert_eq!((got.status, &got.json()["error"]["code"]), (200, &json!(-32600)), "{driver}: {}", got.text());
        let got = client.post("/rpc/one", "[]");
        assert_eq!(
            (got.status, &got.json()),
            (200, &json!({"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}}))
        );
        let silent = READ.replacen("\"id\":1,", "", 1);
        let got = client.post("/rpc/one", &format!("[{silent},{silent}]"));
        assert_eq!((got.status, got.body.len()), (204, 0), "{driver}");
        assert_eq!(client.post("/rpc/one", &silent).status, 204, "{driver}");
    });
}

#[test]
fn what_the_node_answers_or_refuses_by_itself() {
    each(|driver, lasso, a, b| {
        std::thread::sleep(Duration::from_millis(100));
        a.forget();
        let mut client = Client::new(lasso.address);
        assert_eq!(client.post("/rpc/one", &call("eth_chainId", "[]")).json()["result"], "0x1");
        assert_eq!(a.count("eth_chainId") + b.count("eth_chainId"), 0, "{driver}: it is answered here");
        assert!(client.post("/rpc/one/b", &call("eth_chainId", "[]")).text().contains(B), "{driver}: pinned, it is asked");
        for method in
            ["eth_sendTransaction", "eth_sign", "eth_signTransaction", "personal_sign", "wallet_addEthereumChain", "eth_accounts"]
        {
            let got = client.post("/rpc/one", &call(method, "[]"));
            let error = &got.json()["error"];
            assert_eq!(
                (got.status, &error["code"], &error["message"]),
                (200, &json!(-32601), &json!("Method not supported by proxy")),
                "{method}"
            );
            assert_eq!(a.count(method) + b.count(method), 0, "{driver} {method}");
        }
        for (path, url) in [("/rpc/one", "ws://localhost"), ("/rpc/profile/default/priority/one", "ws://localhost")] {
            let got = client.post(path, &call("eth_subscribe", "[\"newHeads\"]"));
            let error = &got.json()["error"];
            let found = error["data"]["websocket_url"].as_str().unwrap_or("").to_owned();
            assert_eq!((&error["code"], &got.json()["id"]), (&json!(-32601), &json!(1)));
            assert_eq!(error["message"], "Method not supported over HTTP. Use WebSocket connection for subscriptions.");
            assert!(found.starts_with(url) && found.ends_with(&format!("/ws{path}")), "{driver}: {found}");
        }
        let got = client.post_with("/rpc/one", "x-forwarded-proto: https\r\n", &call("eth_unsubscribe", "[\"0x1\"]"));
        assert!(got.text().contains("\"websocket_url\":\"wss://"), "{driver}: {}", got.text());
    });
}

#[test]
fn filters_stay_with_the_provider_that_made_them() {
    for driver in DRIVERS {
        let named = |name: &'static str| {
            Provider::new(move |got, stream| {
                let result = if got.method.starts_with("eth_new") { "\"0x1f\"".to_owned() } else { format!("[\"{name}\"]") };
                write(stream, &answer(&ok(&got.id, &result)))
            })
        };
        let (a, b) = (named("a"), named("b"));
        let lasso = Lasso::start(&no_limit(&[a.address, b.address]), driver);
        let mut ids = Vec::new();
        for pin in ["a", "b"] {
            let made = post(lasso.address, &format!("/rpc/one/{pin}"), &call("eth_newFilter", "[{}]")).json();
            let id = made["result"].as_str().expect("an id").to_owned();
            assert!(id.len() == 12 && id.starts_with("0x") && id.ends_with("1f"), "{driver}: {id}");
            // From anywhere, by any connection and strategy.
            for path in ["/rpc/one", "/rpc/load-balanced/one", "/rpc/1"] {
                for method in ["eth_getFilterChanges", "eth_getFilterLogs", "eth_uninstallFilter"] {
                    let used = post(lasso.address, path, &call(method, &format!("[\"{id}\"]"))).json();
                    assert_eq!(used["result"], json!([pin]), "{driver} {path} {method}: {used}");
                }
            }
            ids.push(id);
        }
        assert_ne!(ids[0], ids[1]);
        for used in [&a, &b] {
            let bodies: Vec<String> =
                used.got().into_iter().filter(|g| g.method == "eth_getFilterChanges").map(|g| g.body).collect();
            assert!(bodies.len() == 3 && bodies.iter().all(|body| body.contains("[\"0x1f\"]")), "{driver}: {bodies:?}");
        }
        for unknown in ["[\"0xdeadbeef1f\"]", "[\"0x1f\"]", "[\"0x\"]", "[\"zz\"]", "[]", "[7]", "[[\"0x1\"]]"] {
            let got = post(lasso.address, "/rpc/one", &call("eth_getFilterChanges", unknown)).json();
            assert_eq!(
                (&got["error"]["code"], &got["error"]["message"]),
                (&json!(-32000), &json!("filter not found")),
                "{driver} {unknown}"
            );
        }
    }
}

#[test]
fn http_as_it_is_used() {
    each(|driver, lasso, _, _| {
        let post = |version: &str, fields: &str, id: usize| {
            let body = READ.replacen("\"id\":1", &format!("\"id\":{id}"), 1);
            format!("POST /rpc/one HTTP/{version}\r\nhost: x\r\n{fields}content-length: {}\r\n\r\n{body}", body.len())
        };
        for (version, fields, said, closes) in [
            ("1.0", "", Some("close"), true),
            ("1.0", "connection: keep-alive\r\n", Some("keep-alive"), false),
            ("1.1", "connection: close\r\n", Some("close"), true),
            ("1.1", "", None, false),
        ] {
            let mut client = Client::new(lasso.address);
            client.send(post(version, fields, 1).as_bytes());
            let got = client.answer().expect("an answer");
            assert_eq!((got.status, got.field("connection")), (200, said), "{driver} {version} {fields}");
            if closes {
                assert!(client.is_closed());
            } else {
                assert_eq!(client.post("/rpc/one", READ).status, 200);
            }
        }
        // Pipelined: answered in order, forwarded or not.
        let mut client = Client::new(lasso.address);
        let local = |id: usize| post("1.1", "", id).replace("POST /rpc/one", "POST /rpc/none");
        let all: String = (0..30).map(|id| if id % 3 == 1 { local(id) } else { post("1.1", "", id) }).collect();
        client.send(all.as_bytes());
        for id in 0..30 {
            let wanted = if id % 3 == 1 { Value::Null } else { json!(id) };
            assert_eq!(client.answer().map(|a| a.json()["id"].clone()), Some(wanted), "{driver}");
        }
        // A client that has finished sending is answered.
        let mut client = Client::new(lasso.address);
        client.send(post("1.1", "", 5).as_bytes());
        client.stream.shutdown(Shutdown::Write).expect("half closed");
        assert_eq!(client.answer().map(|a| a.json()["id"].clone()), Some(json!(5)), "{driver}");
        assert!(client.is_closed());
        // HEAD has a length and no body.
        let mut client = Client::new(lasso.address);
        client.send(b"HEAD /api/chains HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let mut text = String::new();
        client.stream.read_to_string(&mut text).expect("text");
        assert!(
            text.starts_with("HTTP/1.1 200") && text.ends_with("\r\n\r\n") && !text.contains("content-length: 0\r\n"),
            "{driver}: {text}"
        );
    });
}

#[test]
fn a_refused_target_is_told_before_the_body_is_sent() {
    each(|driver, lasso, _, _| {
        let mut client = Client::new(lasso.address);
        client.send(b"POST /rpc/none HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1000000\r\n\r\n");
        assert_eq!(client.answer().map(|a| a.status), Some(400), "{driver}");
        assert!(client.is_closed());
    });
}

#[test]
fn a_client_that_resets_ends_its_work_upstream() {
    for driver in DRIVERS {
        let (ended, ends) = channel();
        let provider = Provider::new(move |got, stream| {
            if got.method == "eth_chainId" {
                return write(stream, &answer(&ok(&got.id, "\"0x1\"")));
            }
            let _ = ended.send(Instant::now());
            let read = stream.read(&mut [0; 1]);
            let _ = ended.send(Instant::now());
            assert!(!matches!(read, Ok(1)));
            false
        });
        let lasso = Lasso::start(&no_limit(&[provider.address]), driver);
        let mut client = Client::new(lasso.address);
        let body = call("debug_traceTransaction", "[\"0x1\"]");
        client.send(format!("POST /rpc/one HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
        ends.recv_timeout(Duration::from_secs(5)).expect("it came");
        // Half closed is not gone.
        client.stream.shutdown(Shutdown::Write).expect("half closed");
        assert!(ends.recv_timeout(Duration::from_millis(400)).is_err(), "{driver}: a finished sender's work was ended");
        crate::provider::linger_reset(&client.stream);
        drop(client);
        let began = Instant::now();
        let at = ends.recv_timeout(Duration::from_secs(5)).unwrap_or_else(|_| panic!("{driver}: the work goes on"));
        assert!(at.duration_since(began) < Duration::from_secs(1), "{driver}");
        assert_eq!(provider.count("debug_traceTransaction"), 1, "{driver}: it was not sent again");
    }
}
