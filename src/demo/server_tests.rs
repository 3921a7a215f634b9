//! The server on real sockets (loopback), both drivers.

use super::chain_model::ChainModel;
use super::framing_tests::read;
use super::journal::Ledger;
use super::knobs::{Fault, Knobs};
use super::provider::Provider;
use super::rpc::Network;
use super::server::serve;
use crate::base::{rng::Rng, time::Duration};
use crate::runtime::bytes_io::{read_more, write_all};
use crate::runtime::driver::DriverChoice;
use crate::runtime::uring::{ShardOptions, Uring, run};
use crate::runtime::world::{Duplex, World};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;

fn on_both<F: Future<Output = ()>>(test: impl Fn(Uring, Rc<Provider>, Rc<Ledger>, SocketAddr) -> F) {
    for driver in [DriverChoice::Auto, DriverChoice::Epoll] {
        let start = |world: Uring| {
            let network = Rc::new(Network::new(ChainModel::new(7, 1, Duration::from_secs(12))));
            let ledger = Rc::new(Ledger::new(1000));
            let provider = Rc::new(Provider::new("real", network, Knobs::default(), Rng::new(1)).with_journal(ledger.clone()));
            let listener = world.listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
            let address = listener.address();
            serve(&world, listener, provider.clone(), None);
            test(world, provider, ledger, address)
        };
        run(ShardOptions { driver, ..Default::default() }, start).expect("a driver");
    }
}

/// Sends `request`, then reads until the end of the stream, or `wanted` bytes.
async fn exchange(world: &Uring, to: SocketAddr, request: &[u8], wanted: usize) -> Vec<u8> {
    let Ok(stream) = world.connect(to).await else { return Vec::new() };
    let (mut from, mut into) = stream.split();
    let (sent, _) = write_all(&mut into, request.to_vec()).await;
    let mut got = Vec::with_capacity(4 << 20);
    while sent.is_ok() && got.len() < wanted {
        let (count, back) = read_more(&mut from, got).await;
        got = back;
        if !count.is_ok_and(|count| count > 0) {
            break;
        }
    }
    got
}

fn request(fields: &str, body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{fields}\r\n{body}", body.len()).into_bytes()
}

fn call(id: u32, method: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":[]}}"#)
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    on_both(|world, provider, ledger, to| async move {
        let mut all = request("", &call(1, "eth_chainId"));
        let chunked = call(2, "eth_syncing");
        let (one, two) = chunked.split_at(10);
        let head = "\r\nPOST /x?y HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        all.extend_from_slice(format!("{head}a\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", two.len()).as_bytes());
        all.extend_from_slice(&request("Expect: 100-continue\r\nConnection: close\r\n", &call(3, "eth_chainId")));
        let text = String::from_utf8(exchange(&world, to, &all, usize::MAX).await).expect("text");
        let answers = [r#""id":1,"result":"0x1""#, r#""id":2,"result":false"#, "100 Continue", "Connection: close", r#""id":3,"#];
        let places: Vec<_> =
            answers.iter().map(|answer| text.find(answer).unwrap_or_else(|| panic!("{answer} in {text}"))).collect();
        assert!(places.is_sorted(), "{text}");
        assert_eq!(provider.requests(), 3);
        assert!(ledger.entries.borrow().iter().all(|entry| entry.sent_whole == Some(true) && entry.connection == 1));
    });
}

#[test]
fn a_large_body_is_read_and_a_large_answer_written() {
    on_both(|world, _, _, to| async move {
        let padding = "1".repeat(300_000);
        let sized = r#"{"to":"0x0000000000000000000000000000000000000b19","data":"0x0000000000100000"}"#;
        let body = format!(r#"{{"jsonrpc":"2.0","id":{padding},"method":"eth_call","params":[{sized},"latest"]}}"#);
        let got = exchange(&world, to, &request("Connection: close\r\n", &body), usize::MAX).await;
        let answer = read(&got).expect("readable");
        assert!(answer.body.len() > 2 * (1 << 20) + 300_000 && answer.body.ends_with(b"\"}"), "{}", answer.body.len());
    });
}

#[test]
fn bad_http_is_refused_and_the_connection_closed() {
    on_both(|world, provider, _, to| async move {
        let refused = async |bytes: &[u8], status: u16| {
            let got = exchange(&world, to, bytes, usize::MAX).await;
            assert_eq!(read(&got).map(|answer| answer.status), Some(status), "{}", String::from_utf8_lossy(&got));
        };
        refused(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 405).await;
        refused(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400).await;
        refused(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 413).await;
        refused(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400).await;
        assert_eq!(provider.requests(), 0);
    });
}

#[test]
fn connections_end_as_the_fault_says() {
    on_both(|world, provider, ledger, to| async move {
        let bytes = request("", &call(1, "eth_chainId"));
        let whole = {
            let got = exchange(&world, to, &bytes, 100).await;
            assert!(read(&got).is_some());
            got
        };
        for (fault, length) in [(Fault::Reset, 0), (Fault::ResetAt(20), 20), (Fault::CloseAfter, whole.len())] {
            provider.script([(None, Some(fault))]);
            assert_eq!(exchange(&world, to, &bytes, usize::MAX).await, whole[..length], "{fault:?}");
        }
        provider.script([(None, Some(Fault::StallAt(20)))]);
        assert_eq!(exchange(&world, to, &bytes, 20).await.len(), 20);
        provider.script([(None, Some(Fault::Pieces))]);
        assert_eq!(exchange(&world, to, &bytes, whole.len()).await, whole);
        provider.tune(|knobs| knobs.down = true);
        assert!(exchange(&world, to, &bytes, usize::MAX).await.is_empty());
        assert_eq!((provider.requests(), ledger.entries.borrow().len()), (6, 6));
    });
}
