//! Calls over WebSocket on the real binary, on both drivers.

use crate::harness::{DRIVERS, Lasso, no_limit, profile};
use crate::http::Client;
use crate::provider::{Provider, answer, ok, write};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Bytes, Message, WebSocket};

pub type Ws = WebSocket<TcpStream>;

pub fn connect(at: SocketAddr, path: &str) -> Ws {
    let stream = TcpStream::connect(at).expect("the node accepts");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    let (ws, response) = tungstenite::client(format!("ws://{at}{path}"), stream).expect("a handshake");
    assert_eq!(response.status(), 101);
    ws
}

fn say(ws: &mut Ws, text: &str) {
    ws.send(Message::text(text)).expect("sent");
}

/// The next text message.
pub fn hear(ws: &mut Ws) -> String {
    loop {
        match ws.read().expect("a message") {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub fn ask(ws: &mut Ws, text: &str) -> Value {
    say(ws, text);
    serde_json::from_str(&hear(ws)).expect("JSON")
}

/// The close that ends the connection.
fn closed(ws: &mut Ws) -> (u16, String) {
    loop {
        match ws.read() {
            Ok(Message::Close(frame)) => {
                let frame = frame.expect("a code");
                return (frame.code.into(), frame.reason.to_string());
            }
            Ok(_) => {}
            Err(fault) => panic!("ended without a close: {fault}"),
        }
    }
}

fn call(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_getBalance","params":["0x01","latest"]}}"#)
}

#[test]
fn calls_are_answered_as_over_http() {
    for driver in DRIVERS {
        let good = Provider::new(|got, stream| write(stream, &answer(&ok(&got.id, "\"0x7\""))));
        let mut lasso = Lasso::start(&no_limit(&[good.address]), driver);
        let ws = &mut connect(lasso.address, "/ws/rpc/one");
        for id in ["1", "\"a\"", "18446744073709551616", "\"\\u00e9\"", "null", "-3"] {
            say(ws, &call(id));
            assert_eq!(hear(ws), format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"0x7"}}"#));
        }
        assert_eq!(ask(ws, r#"{"jsonrpc":"2.0","id":5,"method":"eth_chainId"}"#), json!({"jsonrpc":"2.0","id":5,"result":"0x1"}));
        let list = ask(ws, &format!("[{},{},{}]", call("1"), r#"{"jsonrpc":"2.0","id":2,"method":"eth_accounts"}"#, call("3")));
        assert_eq!((&list[0]["result"], &list[1]["error"]["code"], &list[2]["id"]), (&json!("0x7"), &json!(-32601), &json!(3)));
        // A notification is carried out and not answered.
        say(ws, r#"{"jsonrpc":"2.0","method":"eth_getBalance","params":["0x01","latest"]}"#);
        ws.send(Message::binary(Bytes::from(call("8")))).expect("sent");
        assert_eq!(serde_json::from_str::<Value>(&hear(ws)).expect("JSON")["id"], 8);
        ws.send(Message::Ping(Bytes::from_static(b"?"))).expect("sent");
        assert!(matches!(ws.read(), Ok(Message::Pong(payload)) if payload == "?"));
        let noticed = ask(ws, &call("9").replacen('{', r#"{"lasso_meta":"notify","#, 1));
        assert_eq!((&noticed["result"], noticed.get("lasso_meta")), (&json!("0x7"), None));
        let notice: Value = serde_json::from_str(&hear(ws)).expect("JSON");
        assert_eq!((&notice["method"], &notice["params"]["selected_provider"]["id"]), (&json!("lasso_meta"), &json!("a")));
        ws.close(Some(CloseFrame { code: 1000.into(), reason: "done".into() })).expect("sent");
        assert_eq!(closed(ws).0, 1000);
        lasso.assert_alive();
    }
}

#[test]
fn what_is_no_call_is_told_so_and_the_connection_goes_on() {
    let good = Provider::good("\"0x7\"");
    let lasso = Lasso::start(&no_limit(&[good.address]), "io_uring");
    let ws = &mut connect(lasso.address, "/ws/rpc/one");
    let mut check = |text: &str, want: i64| {
        let got = ask(ws, text);
        assert_eq!(got["error"]["code"], want, "{text}: {got}");
    };
    check("{", -32700);
    check("17", -32600);
    check("[]", -32600);
    check(r#"{"jsonrpc":"2.0","id":1}"#, -32600);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"eth_sendTransaction","params":[]}"#, -32601);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["oldHeads"]}"#, -32602);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["logs",{"address":"0x12"}]}"#, -32602);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"eth_unsubscribe","params":[]}"#, -32602);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["syncing"]}"#, -32000);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"eth_getFilterChanges","params":["0x1"]}"#, -32000);
    assert_eq!(ask(ws, &call("1"))["result"], "0x7");
}

#[test]
fn a_slow_call_holds_up_no_other_and_whatever_is_sent_at_once_is_answered() {
    for driver in DRIVERS {
        // Calls with an odd id wait until one with id 1000 has come.
        let gate = std::sync::Arc::new((std::sync::Mutex::new(false), std::sync::Condvar::new()));
        let held = gate.clone();
        let provider = Provider::new(move |got, stream| {
            if got.body.contains("slow") {
                let open = held.0.lock().expect("no panic");
                drop(held.1.wait_while(open, |open| !*open).expect("no panic"));
            }
            write(stream, &answer(&ok(&got.id, "\"0x7\"")))
        });
        let mut lasso = Lasso::start(&no_limit(&[provider.address]), driver);
        let ws = &mut connect(lasso.address, "/ws/rpc/one");
        let slow = |id: usize| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_call","params":["slow{id}","latest"]}}"#);
        (0..31).for_each(|id| say(ws, &slow(id)));
        assert_eq!(ask(ws, &call("500"))["id"], 500, "it overtakes");
        // More than may be at work: the node reads the others later, and still sees a ping behind them.
        (31..300).for_each(|id| say(ws, &slow(id)));
        ws.send(Message::Ping(Bytes::from_static(b"?"))).expect("sent");
        assert!(matches!(ws.read(), Ok(Message::Pong(payload)) if payload == "?"), "{driver}");
        *gate.0.lock().expect("no panic") = true;
        gate.1.notify_all();
        let answers = (0..300).map(|_| serde_json::from_str::<Value>(&hear(ws)).expect("JSON"));
        let mut ids: Vec<i64> =
            answers.inspect(|answer| assert_eq!(answer["result"], "0x7", "{answer}")).filter_map(|a| a["id"].as_i64()).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..300).collect::<Vec<i64>>());
        assert_eq!(ask(ws, &call("502"))["result"], "0x7");
        lasso.assert_alive();
    }
}

#[test]
fn long_answers_and_requests_come_whole() {
    for driver in DRIVERS {
        let provider = Provider::new(|got, stream| {
            let wanted: usize =
                got.body.rsplit("size").next().and_then(|t| t.split('"').next()).and_then(|n| n.parse().ok()).unwrap_or(1);
            write(stream, &answer(&ok(&got.id, &format!("\"0x{}\"", "a".repeat(wanted)))))
        });
        let mut lasso = Lasso::start(&no_limit(&[provider.address]), driver);
        let ws = &mut connect(lasso.address, "/ws/rpc/one");
        for size in [100, 125, 126, 4_000, 65_535, 65_536, 300_000, 5_000_000] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{{}},"size{size}"]}}"#);
            let got = ask(ws, &text);
            assert_eq!(got["result"].as_str().map(str::len), Some(size + 2), "{size}");
        }
        let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":["{}","size7"]}}"#, "b".repeat(3_000_000));
        assert_eq!(ask(ws, &long)["result"], "0xaaaaaaa");
        let too_long = format!("[\"{}\"]", "b".repeat(8_000_001));
        // It may be gone before all of it was written.
        let _ = ws.send(Message::text(too_long));
        assert_eq!(closed(ws).0, 1009);
        lasso.assert_alive();
    }
}

#[test]
fn a_drain_answers_what_is_under_way_and_says_goodbye() {
    for driver in DRIVERS {
        let provider = Provider::new(|got, stream| {
            std::thread::sleep(Duration::from_millis(700));
            write(stream, &answer(&ok(&got.id, "\"0x7\"")))
        });
        let mut lasso = Lasso::start(&no_limit(&[provider.address]), driver);
        let (idle, busy) = (&mut connect(lasso.address, "/ws/rpc/one"), &mut connect(lasso.address, "/ws/rpc/one"));
        say(busy, &call("1"));
        std::thread::sleep(Duration::from_millis(200));
        lasso.signal("TERM");
        assert_eq!(closed(idle).0, 1001);
        assert_eq!(serde_json::from_str::<Value>(&hear(busy)).expect("JSON")["result"], "0x7");
        assert_eq!(closed(busy).0, 1001);
        drop((idle.close(None), busy.close(None)));
        assert!(lasso.ended(Duration::from_secs(8)).is_some_and(|status| status.success()), "{driver}");
    }
}

#[test]
fn handshakes_are_strict_and_tell_what_is_missing() {
    let good = Provider::good("\"0x7\"");
    let lasso = Lasso::start(&no_limit(&[good.address]), "io_uring");
    let check = |path: &str, fields: &str, want: u16, part: &str| {
        let mut client = Client::new(lasso.address);
        client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{fields}\r\n").as_bytes());
        let got = client.answer().expect("an answer");
        assert!(got.status == want && got.text().contains(part), "{path} {fields}: {} {}", got.status, got.text());
    };
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let (upgrade, version) = ("connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n", "sec-websocket-version: 13\r\n");
    check("/ws/rpc/one", "", 426, "WebSocket client");
    check("/ws/rpc/one", &format!("{upgrade}{key}"), 426, "Version must be 13");
    check("/ws/rpc/one", &format!("{upgrade}{key}sec-websocket-version: 8\r\n"), 426, "13");
    check("/ws/rpc/one", &format!("{upgrade}{version}"), 400, "Sec-WebSocket-Key");
    check("/ws/rpc/one", &format!("{upgrade}{version}sec-websocket-key: c2hvcnQ=\r\n"), 400, "16 bytes");
    check("/ws/rpc/two", &format!("{upgrade}{version}{key}"), 400, "Unknown chain");
    check("/ws/rpc/profile/gold/one", &format!("{upgrade}{version}{key}"), 404, "gold");
    // What comes right behind the request is read too.
    let mut client = Client::new(lasso.address);
    let frame = [0x81, 0x82, 0, 0, 0, 0, b'{', b'}'];
    let head = format!("GET /ws/rpc/one HTTP/1.1\r\nhost: x\r\n{upgrade}{version}{key}\r\n");
    client.send(&[head.as_bytes(), &frame].concat());
    let got = client.answer().expect("an answer");
    assert_eq!((got.status, got.field("sec-websocket-accept")), (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    assert_eq!(client.bytes(1), [0x81]);
}

#[test]
fn the_client_limit_holds_on_websockets() {
    let good = Provider::good("\"0x7\"");
    let lasso = Lasso::start(&profile(&[good.address], "rps_limit: 1\nburst_limit: 5"), "io_uring");
    let ws = &mut connect(lasso.address, "/ws/rpc/one");
    let codes: Vec<Value> = (0..8).map(|n| ask(ws, &call(&n.to_string()))["error"]["code"].clone()).collect();
    assert_eq!(codes.iter().filter(|code| code.is_null()).count(), 5, "{codes:?}");
    assert!(codes.iter().all(|code| code.is_null() || *code == -32005), "{codes:?}");
    // A list is answered by a list: one error for each call.
    let refused = ask(ws, &format!("[{}]", (0..6).map(|n| call(&n.to_string())).collect::<Vec<_>>().join(",")));
    let told: Vec<(&Value, &Value)> =
        refused.as_array().into_iter().flatten().map(|e| (&e["id"], &e["error"]["data"]["max_items"])).collect();
    let want: Vec<Value> = (0..6).map(Value::from).collect();
    assert_eq!(told, want.iter().map(|id| (id, &want[5])).collect::<Vec<_>>(), "{refused}");
}

#[test]
fn clients_that_go_in_the_middle_leave_nothing() {
    for driver in DRIVERS {
        let provider = Provider::new(|got, stream| {
            std::thread::sleep(Duration::from_millis(300));
            write(stream, &answer(&ok(&got.id, "\"0x7\"")))
        });
        let mut lasso = Lasso::start(&no_limit(&[provider.address]), driver);
        for _ in 0..50 {
            let ws = &mut connect(lasso.address, "/ws/rpc/one");
            say(ws, &call("1"));
        }
        let end = Instant::now() + Duration::from_secs(8);
        loop {
            let mut client = Client::new(lasso.address);
            client.send(b"GET /api/shards HTTP/1.1\r\nhost: x\r\n\r\n");
            let total = client.answer().expect("an answer").json()["total"].clone();
            if total["client_connections"].as_u64() <= Some(1) && total["attempts_in_flight"] == 0 {
                break;
            }
            assert!(Instant::now() < end, "{driver}: {total}");
            std::thread::sleep(Duration::from_millis(100));
        }
        lasso.assert_alive();
    }
}

#[test]
fn an_idle_connection_is_small() {
    const CLIENTS: u64 = 3_000;
    for driver in DRIVERS {
        let good = Provider::good("\"0x7\"");
        let mut lasso = Lasso::start(&no_limit(&[good.address]), driver);
        // Warm: what the first ones build is no client's.
        let mut all: Vec<Ws> = (0..200).map(|_| connect(lasso.address, "/ws/rpc/one")).collect();
        all.iter_mut().for_each(|ws| assert_eq!(ask(ws, &call("1"))["result"], "0x7"));
        let before = lasso.memory_kib();
        for _ in 0..CLIENTS {
            let mut ws = connect(lasso.address, "/ws/rpc/one");
            assert_eq!(ask(&mut ws, &call("1"))["result"], "0x7");
            all.push(ws);
        }
        let each = (lasso.memory_kib() - before) * 1024 / CLIENTS;
        eprintln!("{driver}: {each} bytes for each of {CLIENTS} idle WebSockets");
        assert!(each <= 24 << 10, "{driver}: {each} bytes for each idle WebSocket");
        lasso.assert_alive();
    }
}

/// Messages that are begun and not ended are held only as far as the node's budget goes.
#[test]
fn unfinished_messages_are_bounded_over_all_connections() {
    const BYTES: usize = 7_900_000;
    for driver in DRIVERS {
        let good = Provider::good("\"0x7\"");
        let mut lasso = Lasso::start(&no_limit(&[good.address]), driver);
        // The first frame of a message that has more.
        let mut frame = vec![0x01, 0x80 | 127];
        frame.extend_from_slice(&(BYTES as u64).to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.resize(frame.len() + BYTES, b' ');
        let mut all: Vec<Ws> = (0..24).map(|_| connect(lasso.address, "/ws/rpc/one")).collect();
        for ws in &mut all {
            // Whoever finds no room is closed while it writes.
            let _ = std::io::Write::write_all(ws.get_mut(), &frame);
        }
        let grown = lasso.memory_kib();
        assert!(grown < 400 << 10, "{driver}: {grown} KiB for {} unfinished messages", all.len());
        let is_closed = |ws: &mut Ws| {
            ws.get_mut().set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
            matches!(ws.read(), Ok(Message::Close(Some(frame))) if u16::from(frame.code) == 1013)
                || ws.write(Message::text("x")).is_err()
        };
        let refused = all.iter_mut().filter_map(|ws| is_closed(ws).then_some(())).count();
        assert!((6..=12).contains(&refused), "{driver}: {refused} of {} were refused", all.len());
        drop(all);
        let ws = &mut connect(lasso.address, "/ws/rpc/one");
        assert_eq!(ask(ws, &call("1"))["result"], "0x7");
        lasso.assert_alive();
    }
}

#[test]
fn control_frames_take_nobody_elses_room_and_a_flood_of_pings_is_owed_one_pong() {
    let provider = Provider::good("\"0x7\"");
    let lasso = Lasso::start(&no_limit(&[provider.address]), "io_uring");
    // As many bytes of pongs as all the node's request bodies may have.
    let mut flooding = connect(lasso.address, "/ws/rpc/one");
    let pong = [&[0x8a, 0x80 | 125, 0, 0, 0, 0][..], &[b'x'; 125]].concat().repeat(2_000);
    let stream = flooding.get_mut();
    for _ in 0..(128 << 20) / pong.len() {
        std::io::Write::write_all(stream, &pong).expect("the node reads");
    }
    // And pings whose answers nobody takes.
    let mut silent = connect(lasso.address, "/ws/rpc/one");
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'x'; 125]].concat().repeat(2_000);
    silent.get_mut().set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let before = lasso.memory_kib();
    (0..256).take_while(|_| std::io::Write::write_all(silent.get_mut(), &ping).is_ok()).for_each(drop);
    let more = lasso.memory_kib().saturating_sub(before);
    assert!(more < 16 << 10, "{more} KiB of pongs wait");
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":["{}","latest"]}}"#, "b".repeat(300_000));
    assert_eq!(crate::http::post(lasso.address, "/rpc/one", &long).json()["result"], "0x7");
    assert_eq!(ask(&mut flooding, &call("1"))["result"], "0x7");
}
