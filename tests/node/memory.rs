//! What memory does: idle clients, clients that vanish in the middle, and answers far larger than may be held.

use crate::harness::{DRIVERS, Lasso, no_limit};
use crate::http::{Client, READ, post};
use crate::provider::{Provider, ok, write};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Waits until `value` is at most `limit`; the last value seen.
fn settles(limit: u64, mut value: impl FnMut() -> u64) -> u64 {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let now = value();
        if now <= limit || Instant::now() > end {
            return now;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Without the backlog of events, which fills with calls and is no client's.
fn without_backlog(driver: &str) -> [&str; 4] {
    ["--driver", driver, "--request-log-rate", "0"]
}

#[test]
fn an_idle_client_costs_at_most_a_kibibyte() {
    const CLIENTS: usize = 9_000;
    for driver in DRIVERS {
        let provider = Provider::good("\"0x1\"");
        let mut lasso = Lasso::start_with(&no_limit(&[provider.address]), &without_backlog(driver));
        // Warm: what the first calls build is no client's.
        (0..200).for_each(|_| assert_eq!(post(lasso.address, "/rpc/one", READ).status, 200));
        let before = lasso.memory_kib();
        let mut clients = Vec::with_capacity(CLIENTS);
        for _ in 0..CLIENTS {
            let mut client = Client::new(lasso.address);
            assert_eq!(client.post("/rpc/one", READ).status, 200);
            clients.push(client);
        }
        let each = (lasso.memory_kib() - before) * 1024 / CLIENTS as u64;
        eprintln!("{driver}: {each} bytes for each of {CLIENTS} idle clients");
        assert!(each <= 1024, "{driver}: {each} bytes for each idle client");
        assert_eq!(clients[0].post("/rpc/one", READ).status, 200, "the oldest is still served");
        lasso.assert_alive();
    }
}

#[test]
fn clients_that_vanish_leave_nothing() {
    const CLIENTS: usize = 5_000;
    const WAVES: usize = 4;
    // Less than any client's state; the rest is what a busy machine's allocator moves about.
    const LEAK_BYTES: u64 = 256;
    let at_rest = |lasso: &Lasso| {
        post(lasso.address, "/rpc/one", READ);
        std::thread::sleep(Duration::from_millis(50));
        lasso.memory_kib()
    };
    for driver in DRIVERS {
        let provider = Provider::good("\"0x1\"");
        let mut lasso = Lasso::start_with(&no_limit(&[provider.address]), &without_backlog(driver));
        let head =
            b"POST /rpc/one HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{\"jsonrpc\"";
        (0..200).for_each(|_| assert_eq!(post(lasso.address, "/rpc/one", READ).status, 200));
        let wave = |count: usize| {
            let open: Vec<TcpStream> = (0..count)
                .map(|_| {
                    let mut stream = TcpStream::connect(lasso.address).expect("the node accepts");
                    stream.write_all(head).expect("sent");
                    stream
                })
                .collect();
            std::thread::sleep(Duration::from_millis(300));
            drop(open);
            std::thread::sleep(Duration::from_millis(300));
            lasso.memory_kib()
        };
        // The first wave brings what is kept for reuse to its size; what later waves add would be a leak.
        let peak_kib = wave(CLIENTS);
        let kept_kib = (0..60).map(|_| at_rest(&lasso)).min().unwrap_or(0);
        assert!(kept_kib <= peak_kib / 2, "{driver}: {kept_kib} KiB kept of {peak_kib}");
        for _ in 0..WAVES {
            wave(CLIENTS);
        }
        let bound = kept_kib + LEAK_BYTES * (CLIENTS * WAVES) as u64 / 1024;
        let settled = settles(bound, || at_rest(&lasso));
        eprintln!("{driver}: {peak_kib} KiB at the peak of {CLIENTS}, {kept_kib} kept, {settled} after {WAVES} waves more");
        assert!(settled <= bound, "{driver}: {kept_kib} KiB grew to {settled}");
        assert_eq!(post(lasso.address, "/rpc/one", READ).status, 200);
        lasso.assert_alive();
    }
}

#[test]
fn long_answers_are_bounded_by_what_may_be_held() {
    const CLIENTS: usize = 64;
    const BYTES: usize = 50 << 20;
    for driver in DRIVERS {
        let provider = Provider::new(|got, stream| {
            if got.method != "eth_getBalance" {
                return write(stream, &crate::provider::answer(&ok(&got.id, "\"0x1\"")));
            }
            let (open, close) = (format!(r#"{{"jsonrpc":"2.0","id":{},"result":"0x"#, got.id), "\"}");
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{open}", open.len() + BYTES + close.len());
            let piece = [b'a'; 64 * 1024];
            write(stream, head.as_bytes())
                && (0..BYTES / piece.len()).all(|_| write(stream, &piece))
                && write(stream, close.as_bytes())
        });
        let mut lasso = Lasso::start(&no_limit(&[provider.address]), driver);
        assert_eq!(post(lasso.address, "/api/health", "").status, 405);
        let before = lasso.memory_kib();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                std::thread::spawn({
                    let at = lasso.address;
                    move || read_away(at)
                })
            })
            .collect();
        let mut most = 0;
        while clients.iter().any(|c| !c.is_finished()) {
            most = most.max(lasso.memory_kib());
            std::thread::sleep(Duration::from_millis(20));
        }
        for client in clients {
            let got = client.join().expect("a client");
            assert!(got > BYTES, "{driver}: only {got} bytes came");
        }
        let grown_kib = most.saturating_sub(before);
        eprintln!("{driver}: {grown_kib} KiB more for {CLIENTS} answers of {BYTES} bytes at once");
        // Each may hold the limit and a streaming buffer, and as much again in buffers kept for reuse.
        assert!(grown_kib <= CLIENTS as u64 * 2 * (256 + 128), "{driver}: {grown_kib} KiB");
        lasso.assert_alive();
    }
}

/// Asks, and counts what comes without keeping it.
fn read_away(at: std::net::SocketAddr) -> usize {
    let mut stream = TcpStream::connect(at).expect("the node accepts");
    let head = format!("POST /rpc/one HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{READ}", READ.len());
    stream.write_all(head.as_bytes()).expect("sent");
    let mut buf = vec![0; 256 * 1024];
    std::iter::from_fn(|| stream.read(&mut buf).ok().filter(|n| *n > 0)).sum()
}
