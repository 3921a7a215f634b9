//! Calls over the providers' WebSockets, on the real binary and both drivers: alone, beside HTTP, and when they break.

use crate::api::{eventually, of_provider};
use crate::harness::{DRIVERS, Lasso};
use crate::http::{Client, READ, post};
use crate::provider::{Provider, answer, ok, write};
use crate::ws_provider::{WsProvider, close, raw, say};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Providers a, b, ... best first, each with the endpoints it has.
fn profile(providers: &[(Option<SocketAddr>, Option<SocketAddr>)]) -> String {
    let mut text =
        "---\nname: t\nslug: default\nrps_limit: 0\n---\nchains:\n  one:\n    chain_id: 1\n    providers:\n".to_owned();
    for (index, (http, ws)) in providers.iter().enumerate() {
        let id = (b'a' + index as u8) as char;
        text.push_str(&format!("      - id: {id}\n        priority: {index}\n"));
        if let Some(at) = http {
            text.push_str(&format!("        url: \"http://{at}/key\"\n"));
        }
        if let Some(at) = ws {
            text.push_str(&format!("        ws_url: \"ws://u:p@{at}/key?k=v\"\n"));
        }
    }
    text
}

fn meta(at: SocketAddr, query: &str) -> Value {
    post(at, &format!("/rpc/one?include_meta=body{query}"), READ).json()
}

#[test]
fn a_provider_with_only_a_websocket_works_for_everything() {
    for driver in DRIVERS {
        let ws = WsProvider::good("\"0x7\"");
        let mut lasso = Lasso::start(&profile(&[(None, Some(ws.address))]), driver);
        let client = &mut Client::new(lasso.address);
        for id in ["1", "\"a\"", "18446744073709551616", "\"\\u00e9\"", "null", "-3"] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_getBalance","params":["0x01","latest"]}}"#);
            assert_eq!(client.post("/rpc/one", &body).text(), format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"0x7"}}"#));
        }
        let many = client.post("/rpc/one", &format!("[{READ},{READ},{READ}]")).json();
        assert!(many.as_array().is_some_and(|all| all.len() == 3 && all.iter().all(|one| one["result"] == "0x7")), "{many}");
        // The params are what the client wrote, whatever their length.
        let long = "ab".repeat(200_000);
        let body = format!(r#"{{"jsonrpc":"2.0","id":"z","method":"eth_call","params":["{long}"]}}"#);
        assert_eq!(client.post("/rpc/one", &body).json()["result"], "0x7");
        let sent: Value = serde_json::from_str(&ws.got().last().expect("a call").body).expect("JSON");
        assert_eq!((sent["params"][0].as_str(), sent["jsonrpc"].as_str()), (Some(long.as_str()), Some("2.0")));
        assert!(sent["id"].is_u64() && sent.as_object().is_some_and(|keys| keys.len() == 4), "an id of ours");
        let told = meta(lasso.address, "")["lasso_meta"].clone();
        assert_eq!((&told["transport"], &told["candidate_providers"]), (&json!("ws"), &json!(["a:ws"])), "{told}");

        let is_known = |p: &Value| of_provider(p, "a")["status"] == "healthy" && of_provider(p, "a")["height"] == 0x64;
        let shown = eventually(lasso.address, "/api/providers/one", is_known);
        let channels = &of_provider(&shown, "a")["channels"];
        assert_eq!((&channels[0]["transport"], channels.as_array().map(Vec::len)), (&json!("ws"), Some(1)), "{channels:#}");
        assert!(!shown.to_string().contains("key") && !shown.to_string().contains("u:p"), "{shown:#}");
        let explained = eventually(lasso.address, "/api/explain/default/one/eth_call", |_| true);
        assert_eq!((&explained["chosen"], &explained["chosen_transport"]), (&json!("a"), &json!("ws")));

        let heads = ws.heads();
        let head = heads.first().expect("a handshake");
        assert!(head.starts_with("GET /key?k=v HTTP/1.1\r\nhost: 127.0.0.1:"), "{head}");
        assert!(head.contains("\r\nauthorization: Basic dTpw\r\n") && !head.contains("permessage"), "{head}");
        let keys: std::collections::BTreeSet<&str> =
            heads.iter().filter_map(|h| h.lines().find(|l| l.starts_with("sec-websocket-key"))).collect();
        assert_eq!(keys.len(), heads.len(), "each connection has a key of its own");
        // Two shards and the control thread.
        assert!(ws.peak_connections() <= 3, "{}", ws.peak_connections());
        lasso.assert_alive();
    }
}

#[test]
fn transports_compete_and_either_can_be_asked_for() {
    let http = Provider::good("\"0xb\"");
    let ws = WsProvider::good("\"0xc\"");
    let lasso = Lasso::start(&profile(&[(Some(http.address), Some(ws.address))]), "io_uring");
    let mut seen = [0, 0];
    for _ in 0..100 {
        let got = meta(lasso.address, "");
        let is_ws = got["result"] == "0xc";
        assert_eq!(got["lasso_meta"]["transport"], if is_ws { "ws" } else { "http" }, "{got}");
        seen[usize::from(is_ws)] += 1;
    }
    assert!(seen.iter().all(|n| *n >= 20), "equals share the calls: {seen:?}");
    for (query, want) in [("&transport=ws", "0xc"), ("&transport=http", "0xb")] {
        for _ in 0..10 {
            let got = meta(lasso.address, query);
            assert_eq!(got["result"], want, "{query}");
            assert_eq!(got["lasso_meta"]["candidate_providers"].as_array().map(Vec::len), Some(1), "{got}");
        }
    }
    let explained = eventually(lasso.address, "/api/explain/default/one/eth_call?transport=ws", |_| true);
    let stages: Vec<(&str, &str)> = explained["providers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| Some((row["transport"].as_str()?, row["stage"].as_str()?)))
        .collect();
    assert_eq!(stages, [("ws", "candidate"), ("http", "unreachable")], "{explained:#}");
    let metrics = eventually(lasso.address, "/api/metrics/one", |m| m["providers"][0]["total_calls"] == 120);
    let by = &metrics["providers"][0]["by_transport"];
    assert_eq!(by["ws"]["total_calls"].as_u64().zip(by["http"]["total_calls"].as_u64()).map(|(a, b)| a + b), Some(120), "{by}");
}

#[test]
fn a_link_that_dies_under_a_call_costs_nothing_but_time() {
    for driver in DRIVERS {
        // The best provider's WebSocket dies under every call; over HTTP, and elsewhere, calls are answered.
        let dying = WsProvider::new(|_, _| false);
        let http = Provider::good("\"0xb\"");
        let other = WsProvider::good("\"0xc\"");
        let mut lasso = Lasso::start(&profile(&[(Some(http.address), Some(dying.address)), (None, Some(other.address))]), driver);
        for _ in 0..60 {
            let got = meta(lasso.address, "");
            assert!(got["result"] == "0xb" || got["result"] == "0xc", "{got}");
            // After a failure another provider comes before the other transport of the same.
            let retried = got["lasso_meta"]["retries"] != 0;
            assert!(!retried || got["result"] == "0xc", "{got}");
        }
        let lost = dying.count("eth_getBalance");
        assert!((1..=20).contains(&lost), "the circuit opens after a few: {lost}");
        let is_open = |p: &Value| of_provider(p, "a")["channels"][1]["circuit"]["state"] != "closed";
        let shown = eventually(lasso.address, "/api/providers/one", is_open);
        assert_eq!(of_provider(&shown, "a")["status"], "healthy", "it serves over HTTP: {shown:#}");
        lasso.assert_alive();
    }
}

#[test]
fn what_must_not_be_repeated_is_not_repeated() {
    let raw_tx = r#"{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0x02"]}"#;
    let dying = WsProvider::new(|_, socket| {
        close(socket, 1011);
        true
    });
    let (http, other) = (Provider::good("\"0xb\""), Provider::good("\"0xc\""));
    let lasso = Lasso::start(&profile(&[(Some(http.address), Some(dying.address)), (Some(other.address), None)]), "io_uring");
    let got = post(lasso.address, "/rpc/one?transport=ws", raw_tx).json();
    assert!(got["error"]["message"].as_str().is_some_and(|text| text.contains("indeterminate")), "{got}");
    assert_eq!((dying.count("eth_sendRawTransaction"), http.got().len(), other.got().len()), (1, 0, 0));
    // Refused before the pool it goes on, but not to the same provider over its other transport.
    let refusing = Provider::new(|got, stream| {
        let error = r#"{"code":-32005,"message":"rate limit exceeded"}"#;
        write(stream, &answer(&format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, got.id)))
    });
    let (ws, other) = (WsProvider::good("\"0xb\""), Provider::good("\"0xc\""));
    let providers = [(Some(refusing.address), Some(ws.address)), (Some(other.address), None)];
    let lasso = Lasso::start(&profile(&providers), "io_uring");
    let got = post(lasso.address, "/rpc/one", raw_tx).json();
    assert_eq!((&got["result"], ws.count("eth_sendRawTransaction")), (&serde_json::json!("0xc"), 0), "{got}");
}

/// What a provider may send instead of an answer, and the code that the node then closes with.
#[test]
fn a_broken_provider_costs_its_connection_and_nothing_else() {
    let head = |first: u8, length: u64| [&[first, 127][..], &length.to_be_bytes()].concat();
    let huge = [head(0x81, 17 << 20), vec![b' '; 17 << 20]].concat();
    // Heads alone announce it.
    let announced = head(0x82, u64::MAX / 2);
    let endless = [vec![0x01, 1, b'['], [0x00, 1, b' '].repeat(12 << 20)].concat();
    let empty = [vec![0x01, 0], [0x00, 0].repeat(18 << 20)].concat();
    for driver in DRIVERS {
        let check = |what: &str, bytes: &[u8], want: u16| {
            let bytes = bytes.to_vec();
            let is_broken = Arc::new(AtomicBool::new(true));
            let broken = is_broken.clone();
            let ws = WsProvider::new(move |got, socket| match broken.load(Ordering::SeqCst) {
                // It reads on, to hear what it is told.
                true => {
                    let _ = raw(socket, &bytes);
                    true
                }
                false => say(socket, &ok(&got.id, "\"0xc\"")),
            });
            let http = Provider::good("\"0xb\"");
            let mut lasso = Lasso::start(&profile(&[(None, Some(ws.address)), (Some(http.address), None)]), driver);
            let began = Instant::now();
            let got = post(lasso.address, "/rpc/one", READ).json();
            assert_eq!(got["result"], "0xb", "{what}: {got}");
            assert!(began.elapsed() < Duration::from_secs(8), "{what}: {:?}", began.elapsed());
            let end = Instant::now() + Duration::from_secs(3);
            while ws.closes().is_empty() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(10));
            }
            // A frame that announces more than may be leaves no way to say why: the rest is not read.
            assert!(ws.closes().first().is_none_or(|code| *code == want), "{what}: {:?}", ws.closes());
            assert!(lasso.memory_peak_kib() < 120_000, "{what}: {} KiB", lasso.memory_peak_kib());
            // It is used again once it is well.
            is_broken.store(false, Ordering::SeqCst);
            let end = Instant::now() + Duration::from_secs(10);
            while post(lasso.address, "/rpc/one?transport=ws", READ).json()["result"] != "0xc" {
                assert!(Instant::now() < end, "{what}: never used again");
                std::thread::sleep(Duration::from_millis(50));
            }
            lasso.assert_alive();
        };
        check("masked", &[0x81, 0x82, 1, 2, 3, 4, 0, 0], 1002);
        check("a reserved bit", &[0xc1, 2, b'{', b'}'], 1002);
        check("a reserved opcode", &[0x83, 2, b'{', b'}'], 1002);
        check("a continuation of nothing", &[0x80, 1, b'x'], 1002);
        check("a long ping", &[0x89, 126, 0, 126], 1002);
        check("no UTF-8", &[0x81, 2, 0xc3, 0x28], 1007);
        check("17 MiB in a frame", &huge, 1009);
        check("a frame of half of everything", &announced, 1009);
        check("fragments without end", &endless, 1009);
        check("empty fragments without end", &empty, 1009);
    }
}

#[test]
fn long_answers_are_passed_on_whole_and_longer_ones_are_asked_of_others() {
    for driver in DRIVERS {
        let of_length = |mib: usize| {
            move |got: &crate::provider::Got, socket: &mut crate::ws_provider::Socket| {
                say(socket, &ok(&got.id, &format!("\"{}\"", "a".repeat(mib << 20))))
            }
        };
        let http = Provider::good("\"0xb\"");
        for (mib, is_short) in [(1, true), (15, true), (17, false)] {
            let ws = WsProvider::new(of_length(mib));
            let lasso = Lasso::start(&profile(&[(None, Some(ws.address)), (Some(http.address), None)]), driver);
            let got = post(lasso.address, "/rpc/one", READ);
            let want = if is_short { mib << 20 } else { 3 };
            let json = got.json();
            assert_eq!(json["result"].as_str().map(str::len), Some(want), "{mib} MiB");
        }
    }
}

#[test]
fn closes_of_every_kind_fail_over_and_are_told_apart() {
    let http = Provider::good("\"0xb\"");
    for code in [1000, 1001, 1002, 1008, 1009, 1011, 1012, 1013, 4000] {
        let ws = WsProvider::new(move |_, socket| {
            close(socket, code);
            true
        });
        let lasso = Lasso::start(&profile(&[(None, Some(ws.address)), (Some(http.address), None)]), "io_uring");
        let is_well = |p: &Value| of_provider(p, "a")["status"] == "healthy";
        eventually(lasso.address, "/api/providers/one", is_well);
        // The call may have been the reason; that our probe meets the same makes it the provider's failure.
        ws.fall_ill();
        assert_eq!(post(lasso.address, "/rpc/one", READ).json()["result"], "0xb", "{code}");
        let category = match code {
            1002 | 1011 | 1012 | 1013 => "server_error",
            1008 => "invalid_request",
            1009 => "request_too_large",
            _ => "network_error",
        };
        let is_told = |p: &Value| of_provider(p, "a")["last_failure"]["category"] == category;
        eventually(lasso.address, "/api/providers/one", is_told);
    }
}

#[test]
fn an_error_for_nobody_that_gives_up_is_a_close() {
    let ws = WsProvider::new(|_, socket| say(socket, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32701,"message":"bye"}}"#));
    let http = Provider::good("\"0xb\"");
    let lasso = Lasso::start(&profile(&[(None, Some(ws.address)), (Some(http.address), None)]), "io_uring");
    assert_eq!(post(lasso.address, "/rpc/one", READ).json()["result"], "0xb");
    let end = Instant::now() + Duration::from_secs(3);
    while ws.closes().is_empty() {
        assert!(Instant::now() < end, "it was not closed");
        std::thread::sleep(Duration::from_millis(10));
    }
    // More of them may come: what the link is suspected of is asked about on new ones.
    assert!(ws.closes().iter().all(|code| *code == 1013), "{:?}", ws.closes());
}

#[test]
fn answers_find_their_calls_in_any_order_and_strangers_nobody() {
    for driver in DRIVERS {
        // Holds eight calls back, then answers the last first, with strangers between.
        let held: Mutex<Vec<String>> = Mutex::default();
        let ws = WsProvider::new(move |got, socket| {
            let mut held = held.lock().expect("no panic");
            held.push(got.body.clone());
            if held.len() < 8 {
                return true;
            }
            for body in held.drain(..).rev() {
                let call: Value = serde_json::from_str(&body).expect("JSON");
                let result = call["params"][0].to_string();
                say(socket, r#"{"jsonrpc":"2.0","id":99999999,"result":"0xbad"}"#);
                say(socket, "hello");
                say(socket, &ok(&call["id"].to_string(), &result));
                say(socket, &ok(&call["id"].to_string(), "\"0xbad\""));
            }
            true
        });
        let mut lasso = Lasso::start_with(&profile(&[(None, Some(ws.address))]), &["--driver", driver, "--shards", "1"]);
        let clients: Vec<_> = (0..8)
            .map(|n| {
                let at = lasso.address;
                std::thread::spawn(move || {
                    let body = format!(r#"{{"jsonrpc":"2.0","id":{n},"method":"eth_getBalance","params":["0x{n}","latest"]}}"#);
                    post(at, "/rpc/one", &body).text()
                })
            })
            .collect();
        for (n, client) in clients.into_iter().enumerate() {
            let got = client.join().expect("no panic");
            assert_eq!(got, format!(r#"{{"jsonrpc":"2.0","id":{n},"result":"0x{n}"}}"#));
        }
        // For each of the eight a stranger, a word and a second answer.
        let shards = eventually(lasso.address, "/api/shards", |s| s["shards"][0]["stray_messages"] == 24);
        assert_eq!(shards["shards"][0]["upstream_websockets"], 1, "{shards:#}");
        lasso.assert_alive();
    }
}

#[test]
fn a_handshake_that_is_refused_says_why() {
    let http = Provider::good("\"0xb\"");
    let check = |answer: &'static [u8], field: &str, is: &dyn Fn(&Value) -> bool| {
        let ws = WsProvider::refusing(answer);
        let lasso = Lasso::start(&profile(&[(None, Some(ws.address)), (Some(http.address), None)]), "io_uring");
        for _ in 0..3 {
            assert_eq!(post(lasso.address, "/rpc/one", READ).json()["result"], "0xb");
        }
        eventually(lasso.address, "/api/providers/one", |p| is(&of_provider(p, "a")[field]));
    };
    let some = |value: &Value| !value.is_null();
    check(b"HTTP/1.1 429 Slow\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n", "rate_limited_until", &some);
    check(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", "misconfigured_since", &some);
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", "last_failure", &some);
    check(
        b"HTTP/1.1 101 Yes\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        "last_failure",
        &|failure| failure["category"] == "malformed_response" || failure["category"] == "network_error",
    );
    check(b"SSH-2.0-x\r\n", "last_failure", &some);
}

#[test]
fn a_provider_that_returns_is_used_again_over_both_transports() {
    let ws = WsProvider::good("\"0xc\"");
    let http = Provider::new(|got, stream| write(stream, &answer(&ok(&got.id, "\"0xb\""))));
    let lasso = Lasso::start(&profile(&[(Some(http.address), Some(ws.address))]), "io_uring");
    for round in 0..4 {
        // The first loss is made good at once; later ones, of connections that had not lived long, wait up to two seconds.
        let end = Instant::now() + Duration::from_secs(4);
        while post(lasso.address, "/rpc/one?transport=ws", READ).json()["result"] != "0xc" {
            assert!(round > 0 && Instant::now() < end, "round {round}");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(post(lasso.address, "/rpc/one?transport=http", READ).json()["result"], "0xb");
        ws.cut();
    }
    assert!(ws.all_connections() >= 4, "{}", ws.all_connections());
    let shown = eventually(lasso.address, "/api/providers/one", |_| true);
    let circuit = &of_provider(&shown, "a")["channels"][1]["circuit"];
    assert_eq!(circuit["opens"], 0, "lost while idle, it is not at fault: {circuit:#}");
}

/// A call that makes its provider stop in the middle of the answer, or end the connection; and one of somebody else.
const ILL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":["ill"]}"#;

/// Calls one after the other for so long, and how many came to a result. Each must, within `most`.
fn calls_go_on(at: SocketAddr, during: Duration, most: Duration, what: &str) -> usize {
    let (began, mut count) = (Instant::now(), 0);
    let client = &mut Client::new(at);
    while began.elapsed() < during {
        let sent = Instant::now();
        let got = client.post("/rpc/one", READ).json();
        assert_eq!(got["result"], "0xc", "{what}: after {:?}: {got}", sent.elapsed());
        assert!(sent.elapsed() < most, "{what}: a call took {:?}", sent.elapsed());
        count += 1;
    }
    count
}

/// The only provider announces a megabyte, sends the beginning, and then nothing more, or answers others into that message.
#[test]
fn a_message_that_stops_half_way_holds_up_others_for_a_moment() {
    for driver in DRIVERS {
        for (what, opcode, is_mute) in [("mute", 1, true), ("a text", 1, false), ("bytes", 2, false)] {
            let stuck: Mutex<std::collections::BTreeSet<usize>> = Mutex::default();
            let ws = WsProvider::new(move |got, socket| {
                let mut stuck = stuck.lock().expect("no panic");
                if got.body.contains("ill") {
                    stuck.insert(got.connection);
                    let head = [&[0x80 | opcode, 127][..], &1_000_000u64.to_be_bytes()].concat();
                    let begun = format!(r#"{{"jsonrpc":"2.0","id":{},"result":"0x"#, got.id);
                    return raw(socket, &[&head, begun.as_bytes()].concat());
                }
                (is_mute && stuck.contains(&got.connection)) || say(socket, &ok(&got.id, "\"0xc\""))
            });
            let mut lasso = Lasso::start(&profile(&[(None, Some(ws.address))]), driver);
            calls_go_on(lasso.address, Duration::from_millis(300), Duration::from_secs(2), what);
            let at = lasso.address;
            // Its own answer never comes: its client is not waited for.
            std::thread::spawn(move || Client::new(at).post("/rpc/one", ILL));
            let others: Vec<_> = (0..4)
                .map(|_| std::thread::spawn(move || calls_go_on(at, Duration::from_secs(6), Duration::from_millis(2_500), what)))
                .collect();
            let count: usize = others.into_iter().map(|other| other.join().expect("every call is answered")).sum();
            assert!(count > 1_000, "{what}: {count} calls in six seconds");
            let shown = eventually(lasso.address, "/api/providers/one", |_| true);
            assert_eq!(of_provider(&shown, "a")["status"], "healthy", "{what}: nothing is wrong with it: {shown:#}");
            lasso.assert_alive();
        }
    }
}

#[test]
fn a_long_answer_that_comes_slowly_is_waited_for_and_disturbs_no_connection() {
    let ws = WsProvider::new(|got, socket| {
        let long = ok(&got.id, &format!("\"{}\"", "a".repeat(300_000)));
        let head = [&[0x81, 127][..], &(long.len() as u64).to_be_bytes()].concat();
        raw(socket, &head)
            && long.as_bytes().chunks(16 << 10).all(|part| {
                std::thread::sleep(Duration::from_millis(300));
                raw(socket, part)
            })
    });
    let lasso = Lasso::start_with(&profile(&[(None, Some(ws.address))]), &["--shards", "1"]);
    let began = Instant::now();
    let got = post(lasso.address, "/rpc/one", ILL).json();
    assert_eq!(got["result"].as_str().map(str::len), Some(300_000));
    assert!(began.elapsed() > Duration::from_secs(5), "{:?}", began.elapsed());
    let asked = ws.count("eth_call");
    assert_eq!((asked, ws.all_connections()), (1, 2), "asked once; the shard and the control thread have one each");
}

/// The only provider ends its connection at twenty calls a second: whoever had not been written goes over the next one.
#[test]
fn a_connection_that_ends_costs_no_call_that_was_not_written() {
    for driver in DRIVERS {
        let ws = WsProvider::new(|got, socket| {
            std::thread::sleep(Duration::from_millis(5));
            match got.body.contains("ill") {
                true => socket.get_mut().shutdown(std::net::Shutdown::Both).is_err(),
                false => say(socket, &ok(&got.id, "\"0xc\"")),
            }
        });
        let mut lasso = Lasso::start(&profile(&[(None, Some(ws.address))]), driver);
        let at = lasso.address;
        calls_go_on(at, Duration::from_millis(300), Duration::from_secs(2), driver);
        let others: Vec<_> = (0..8)
            .map(|_| std::thread::spawn(move || calls_go_on(at, Duration::from_secs(5), Duration::from_secs(2), driver)))
            .collect();
        let client = &mut Client::new(at);
        while others.iter().any(|other| !other.is_finished()) {
            client.post("/rpc/one", ILL);
            std::thread::sleep(Duration::from_millis(50));
        }
        let count: usize = others.into_iter().map(|other| other.join().expect("every call is answered")).sum();
        assert!(count > 500 && ws.all_connections() > 50, "{count} calls, {} connections", ws.all_connections());
        lasso.assert_alive();
    }
}
