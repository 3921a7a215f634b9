//! The WebSocket on real sockets (loopback), both drivers, against tungstenite's own client.

use super::chain_model::ChainModel;
use super::journal::{Count, Ledger};
use super::knobs::{Fault, Knobs};
use super::provider::Provider;
use super::rpc::Network;
use super::server::serve;
use crate::base::{rng::Rng, time::Duration};
use crate::runtime::driver::DriverChoice;
use crate::runtime::uring::{ShardOptions, Uring, run};
use crate::runtime::world::World;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use tungstenite::{Message, WebSocket};

type Client = WebSocket<TcpStream>;

fn connect(to: SocketAddr) -> Client {
    let stream = TcpStream::connect(to).expect("it listens");
    let patience = Some(std::time::Duration::from_secs(10));
    stream.set_read_timeout(patience).expect("a socket");
    tungstenite::client(format!("ws://{to}/"), stream).expect("a handshake").0
}

fn say(client: &mut Client, id: u32, method: &str, params: Value) {
    let call = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    client.send(Message::text(call.to_string())).expect("sent");
}

/// The next text message.
fn hear(client: &mut Client) -> Value {
    loop {
        if let Message::Text(text) = client.read().expect("a message") {
            return serde_json::from_str(&text).expect("JSON");
        }
    }
}

fn call(client: &mut Client, id: u32, method: &str, params: Value) -> Value {
    say(client, id, method, params);
    let answer = hear(client);
    assert_eq!(answer["id"], id);
    answer["result"].clone()
}

/// How the connection ends: its close code, or 1006.
fn end(client: &mut Client) -> u16 {
    loop {
        match client.read() {
            Ok(Message::Close(frame)) => return frame.map_or(1005, |frame| frame.code.into()),
            Ok(_) => {}
            Err(_) => return 1006,
        }
    }
}

/// Serves a provider with two blocks a second, on each driver, to `test` on a thread of its own.
fn on_both(test: fn(SocketAddr), check: fn(&Provider, &Ledger)) {
    for driver in [DriverChoice::Auto, DriverChoice::Epoll] {
        let start = async |world: Uring| {
            let network = Rc::new(Network::new(ChainModel::new(7, 1, Duration::from_millis(500))));
            let ledger = Rc::new(Ledger::new(1000));
            let provider = Rc::new(Provider::new("real", network, Knobs::default(), Rng::new(1)).with_journal(ledger.clone()));
            let listener = world.listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
            let address = listener.address();
            serve(&world, listener, provider.clone(), None);
            let client = std::thread::spawn(move || test(address));
            while !client.is_finished() {
                world.sleep_until(world.now().plus_ms(5)).await;
            }
            client.join().expect("the client is content");
            // The servers' side notices that its client is gone.
            for _ in 0..100 {
                if ledger.count("real", None).open > 0 {
                    world.sleep_until(world.now().plus_ms(20)).await;
                }
            }
            check(&provider, &ledger);
        };
        run(ShardOptions { driver, ..Default::default() }, start).expect("a driver");
    }
}

#[test]
fn calls_and_subscriptions_share_a_connection() {
    fn test(to: SocketAddr) {
        let mut client = connect(to);
        assert_eq!(call(&mut client, 1, "eth_chainId", json!([])), "0x1");
        let heads = call(&mut client, 2, "eth_subscribe", json!(["newHeads"]));
        let logs = call(&mut client, 3, "eth_subscribe", json!(["logs", {}]));
        assert!(heads.as_str().is_some_and(|id| id.len() == 34) && heads != logs);
        let mut numbers = Vec::new();
        let mut hash = Value::Null;
        while numbers.len() < 2 {
            let event = hear(&mut client);
            let (params, is_head) = (&event["params"], event["params"]["subscription"] == heads);
            if is_head {
                assert!(hash.is_null() || params["result"]["parentHash"] == hash);
                hash = params["result"]["hash"].clone();
                numbers.push(params["result"]["number"].clone());
            } else {
                assert_eq!((&params["subscription"], &params["result"]["blockHash"]), (&logs, &hash));
            }
        }
        // Notifications come between answers now.
        let answer = |client: &mut Client, id, method, params| {
            say(client, id, method, params);
            std::iter::repeat_with(|| hear(client)).find(|answer| answer["id"] == id).expect("endless")
        };
        let block = answer(&mut client, 4, "eth_getBlockByHash", json!([hash, false]));
        assert_eq!(block["result"]["hash"], hash);
        for (id, one) in [(5, &heads), (6, &logs)] {
            assert_eq!(answer(&mut client, id, "eth_unsubscribe", json!([one]))["result"], true);
        }
        assert_eq!(answer(&mut client, 7, "eth_unsubscribe", json!([heads]))["error"]["code"], -32000);
        client.send(Message::Ping(b"alive"[..].into())).expect("sent");
        assert!(matches!(client.read(), Ok(Message::Pong(said)) if said[..] == b"alive"[..]));
        client.close(None).expect("sent");
        assert_eq!(end(&mut client), 1005);
    }
    on_both(test, |provider, ledger| {
        assert_eq!(provider.requests(), 7);
        assert!(ledger.entries.borrow().iter().all(|entry| entry.sent_whole == Some(true)));
        let once = Count { open: 0, ever: 1, most: 1 };
        assert_eq!((ledger.count("real", None), ledger.count("real", Some("newHeads"))), (once, once));
    });
}

#[test]
fn a_connection_that_breaks_ends_its_subscriptions() {
    fn test(to: SocketAddr) {
        let mut client = connect(to);
        call(&mut client, 1, "eth_subscribe", json!(["newHeads"]));
        drop(client);
        let mut client = connect(to);
        call(&mut client, 1, "eth_subscribe", json!(["newHeads"]));
        client.get_mut().shutdown(std::net::Shutdown::Both).expect("a socket");
    }
    on_both(test, |_, ledger| {
        assert_eq!(ledger.count("real", Some("newHeads")).ever, 2);
        assert_eq!((ledger.count("real", Some("newHeads")).open, ledger.count("real", None).open), (0, 0));
    });
}

/// One provider in each state, asked over HTTP and by upgrade.
#[test]
fn transports_are_offered_as_the_knobs_say() {
    let start = async |world: Uring| {
        for (takes_http, takes_sockets) in [(true, true), (true, false), (false, true)] {
            let network = Rc::new(Network::new(ChainModel::new(7, 1, Duration::from_secs(12))));
            let knobs = Knobs { takes_http, takes_sockets, ..Knobs::default() };
            let provider = Rc::new(Provider::new("one", network, knobs, Rng::new(1)));
            let listener = world.listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
            let to = listener.address();
            serve(&world, listener, provider.clone(), None);
            let client = std::thread::spawn(move || {
                let upgraded = tungstenite::client(format!("ws://{to}/"), TcpStream::connect(to).expect("it listens")).is_ok();
                let mut stream = TcpStream::connect(to).expect("it listens");
                let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
                let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let mut got = String::new();
                let _ = std::io::Write::write_all(&mut stream, format!("{head}{body}").as_bytes());
                let _ = std::io::Read::read_to_string(&mut stream, &mut got);
                (got.contains(r#""result":"0x1""#), upgraded)
            });
            while !client.is_finished() {
                world.sleep_until(world.now().plus_ms(5)).await;
            }
            assert_eq!(client.join().expect("no panic"), (takes_http, takes_sockets));
        }
    };
    run(ShardOptions { driver: DriverChoice::Auto, ..Default::default() }, start).expect("a driver");
}

#[test]
fn faults_and_restarts_end_connections() {
    fn test(to: SocketAddr) {
        for want in [1011, 1000, 1006] {
            let mut client = connect(to);
            say(&mut client, 1, "eth_chainId", json!([]));
            assert_eq!(end(&mut client), want);
        }
        let mut client = connect(to);
        assert_eq!(call(&mut client, 1, "eth_gasPrice", json!([])), Value::Null, "a restart is due");
        assert_eq!(end(&mut client), 1006);
    }
    for driver in [DriverChoice::Auto, DriverChoice::Epoll] {
        let start = async |world: Uring| {
            let network = Rc::new(Network::new(ChainModel::new(7, 1, Duration::from_secs(12))));
            let provider = Rc::new(Provider::new("real", network, Knobs::default(), Rng::new(1)));
            let error = Some(Fault::Error(-1, "x"));
            let chain_id = Some("eth_chainId");
            let faults = [Fault::Page(502), Fault::CloseAfter, Fault::Reset].map(|fault| (chain_id, Some(fault)));
            provider.script(faults.into_iter().chain([(Some("eth_gasPrice"), error)]));
            let listener = world.listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
            let to = listener.address();
            serve(&world, listener, provider.clone(), None);
            let client = std::thread::spawn(move || test(to));
            while !client.is_finished() {
                world.sleep_until(world.now().plus_ms(5)).await;
                if provider.requests() == 4 && provider.restarts() == 0 {
                    world.sleep_until(world.now().plus_ms(50)).await;
                    provider.restart();
                }
            }
            client.join().expect("the client is content");
        };
        run(ShardOptions { driver, ..Default::default() }, start).expect("a driver");
    }
}
