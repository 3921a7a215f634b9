//! Providers that speak HTTP/2: the failover table of `hostile` over it, its own ways to fail, and what it is for.
//!
//! | the first provider | a call that may be repeated | a raw transaction |
//! |---|---|---|
//! | everything of `hostile`'s tables, behind nginx | as there | as there |
//! | RST_STREAM REFUSED_STREAM, GOAWAY below the call | the second's answer | the second's answer |
//! | another reset, GOAWAY and end, any end before the answer's | the second's answer | indeterminate |
//! | frames that break the protocol, in any of two dozen ways | the second's answer | |
//! | no HTTP/2 at all | the second's answer | the second's answer |
//! | GOAWAY in good order, again and again | its own answer | its own answer |

use crate::h2_server::*;
use crate::harness::{DRIVERS, Lasso};
use crate::hostile::{self, Raw, Read1};
use crate::http::{Client, READ, post};
use crate::nginx::{Face, Nginx};
use crate::provider::{Provider, answer, ok, write};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const GOOD: &str = "\"0x600d\"";
const OWN: &str = "\"0x0e11\"";

/// With 5 s to be answered in.
const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x0000000000000000000000000000000000000001"},"latest"]}"#;

/// A profile of providers by URL, the first one spoken to over HTTP/2.
fn profile(urls: &[String], extra: &str) -> String {
    let mut text =
        "---\nname: t\nslug: default\nrps_limit: 0\n---\nchains:\n  one:\n    chain_id: 1\n    providers:\n".to_string();
    for (index, url) in urls.iter().enumerate() {
        let id = (b'a' + index as u8) as char;
        text.push_str(&format!("      - {{id: {id}, url: \"{url}/key\", priority: {index}"));
        text.push_str(&if index == 0 { format!(", http2: on{extra}}}\n") } else { "}\n".to_string() });
    }
    text
}

fn plain(at: SocketAddr) -> String {
    format!("http://{at}")
}

fn check(name: &str, bad: &Server, read: Read1, raw: Raw) {
    DRIVERS.iter().for_each(|driver| check_on(driver, name, bad, read, raw));
}

fn check_on(driver: &str, name: &str, bad: &Server, read: Read1, raw: Raw) {
    let good = Provider::good(GOOD);
    let lasso = Lasso::start(&profile(&[plain(bad.address), plain(good.address)], ""), driver);
    bad.forget();
    hostile::check_started(lasso, &format!("{name} on {driver}"), &good, read, raw);
    assert!(bad.count("eth_sendRawTransaction") <= 1 + 3 * usize::from(raw == Raw::Second), "{name}: sent again");
}

#[test]
fn answers_resets_and_ends() {
    type Act = fn(&Asked, &Reply) -> bool;
    let own: Vec<(&str, Act)> = vec![
        ("a plain answer", |a, r| r.result(a, OWN)),
        ("fields that nobody asked for", |a, r| {
            r.answer(a.stream, "200", &[("x-a", "b"), ("set-cookie", "c"), ("via", "1.1 x")], ok(&a.id, OWN).as_bytes())
        }),
        ("1xx first", |a, r| r.headers(a.stream, "103", &[("link", "x")], 0) && r.result(a, OWN)),
        ("a byte a frame", |a, r| {
            r.headers(a.stream, "200", &[], 0)
                && ok(&a.id, OWN).bytes().all(|b| r.frame(DATA, 0, a.stream, &[b]))
                && r.frame(DATA, END_STREAM, a.stream, b"")
        }),
        ("padding", |a, r| {
            let body = [&[4][..], ok(&a.id, OWN).as_bytes(), &[0; 4]].concat();
            r.headers(a.stream, "200", &[], 0) && r.frame(DATA, END_STREAM | 8, a.stream, &body)
        }),
        ("trailers", |a, r| {
            r.headers(a.stream, "200", &[], 0)
                && r.frame(DATA, 0, a.stream, ok(&a.id, OWN).as_bytes())
                && r.frame(HEADERS, END_STREAM | END_HEADERS, a.stream, &trailers())
        }),
        ("frames of no known kind", |a, r| r.frame(0xbe, 0xff, a.stream, b"grease") && r.result(a, OWN)),
        ("a head in two frames", |a, r| {
            let block = head("200", &[("x-long", &"y".repeat(300))]);
            r.frame(HEADERS, 0, a.stream, &block[..100])
                && r.frame(CONTINUATION, END_HEADERS, a.stream, &block[100..])
                && r.frame(DATA, END_STREAM, a.stream, ok(&a.id, OWN).as_bytes())
        }),
        ("GOAWAY in good order after every answer", |a, r| r.goaway(a.stream, 0) && r.result(a, OWN) && r.close()),
    ];
    own.into_iter().for_each(|(name, act)| check(name, &Server::new(act), Read1::Own, Raw::Own));

    let lost: Vec<(&str, Act)> = vec![
        ("INTERNAL_ERROR", |a, r| r.reset(a.stream, 2)),
        ("CANCEL", |a, r| r.reset(a.stream, 8)),
        ("an end", |_, r| r.close()),
        ("GOAWAY and an end", |a, r| r.goaway(a.stream, 2) && r.close()),
        ("a head and a reset", |a, r| r.headers(a.stream, "200", &[], 0) && r.reset(a.stream, 2)),
        ("a head and an end", |a, r| r.headers(a.stream, "200", &[("content-length", "50")], 0) && r.close()),
        ("half a body", |a, r| r.headers(a.stream, "200", &[], 0) && r.frame(DATA, 0, a.stream, b"{\"jsonrpc\"") && r.close()),
        ("less than it said", |a, r| {
            r.headers(a.stream, "200", &[("content-length", "500")], 0)
                && r.frame(DATA, END_STREAM, a.stream, ok(&a.id, OWN).as_bytes())
        }),
        ("more than it said", |a, r| {
            r.headers(a.stream, "200", &[("content-length", "5")], 0)
                && r.frame(DATA, END_STREAM, a.stream, ok(&a.id, OWN).as_bytes())
        }),
        ("nothing", |a, r| r.answer(a.stream, "200", &[], b"")),
        ("no body", |a, r| r.headers(a.stream, "204", &[], END_STREAM)),
        ("HTML", |a, r| r.answer(a.stream, "200", &[("content-type", "text/html")], b"<html></html>")),
        ("a redirect", |a, r| r.answer(a.stream, "302", &[("location", "/")], b"")),
        ("500", |a, r| r.answer(a.stream, "500", &[], b"oops")),
        ("503", |a, r| r.answer(a.stream, "503", &[], b"")),
        ("brotli", |a, r| r.answer(a.stream, "200", &[("content-encoding", "br")], ok(&a.id, OWN).as_bytes())),
        ("gzip that is none", |a, r| r.answer(a.stream, "200", &[("content-encoding", "gzip")], ok(&a.id, OWN).as_bytes())),
    ];
    lost.into_iter().for_each(|(name, act)| check(name, &Server::new(act), Read1::Second, Raw::Indeterminate));

    let untaken: Vec<(&str, Act)> = vec![
        ("REFUSED_STREAM", |a, r| r.reset(a.stream, 7)),
        ("GOAWAY below", |a, r| r.goaway(a.stream.saturating_sub(2), 0)),
        ("GOAWAY below, and an end", |a, r| r.goaway(a.stream.saturating_sub(2), 0) && r.close()),
        ("429", |a, r| r.answer(a.stream, "429", &[("retry-after", "3")], b"slow down")),
        ("401", |a, r| r.answer(a.stream, "401", &[], b"bad key")),
        ("403", |a, r| r.answer(a.stream, "403", &[], b"forbidden")),
    ];
    untaken.into_iter().for_each(|(name, act)| check(name, &Server::new(act), Read1::Second, Raw::Second));
}

fn trailers() -> Vec<u8> {
    let block = head("200", &[("x-checksum", "1")]);
    block[1 + 8 + 4..].to_vec() // without `:status`, which no trailers have
}

#[test]
fn frames_that_break_the_protocol_cost_their_connection_only() {
    type Act = fn(&Asked, &Reply) -> bool;
    let acts: Vec<(&str, Act)> = vec![
        ("garbage", |_, r| r.raw(&[0xa5; 4096])),
        ("HTTP/1.1 in between", |_, r| r.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")),
        ("a frame of 16 MiB", |a, r| r.raw(&[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, a.stream as u8])),
        ("a head on stream 0", |_, r| r.headers(0, "200", &[], 0)),
        ("a head on a stream that never was", |a, r| r.headers(a.stream + 100, "200", &[], 0)),
        ("data before the head", |a, r| r.frame(DATA, END_STREAM, a.stream, b"{}")),
        ("data on a stream that never was", |a, r| r.frame(DATA, END_STREAM, a.stream + 100, b"{}")),
        ("a header block that is none", |a, r| r.frame(HEADERS, END_HEADERS, a.stream, &[0x80, 0xff, 0xff, 0xff, 0xff, 0xff])),
        ("an index beyond the table", |a, r| r.frame(HEADERS, END_HEADERS, a.stream, &[0xff, 0x80, 0x7f])),
        ("no status", |a, r| r.frame(HEADERS, END_HEADERS | END_STREAM, a.stream, &trailers())),
        ("a status that is none", |a, r| r.headers(a.stream, "999999", &[], END_STREAM)),
        ("101", |a, r| r.headers(a.stream, "101", &[], END_STREAM)),
        ("names in capitals", |a, r| r.headers(a.stream, "200", &[("Content-Type", "x")], END_STREAM)),
        ("a connection field", |a, r| r.headers(a.stream, "200", &[("transfer-encoding", "chunked")], END_STREAM)),
        ("a field of 1 MiB", |a, r| giant(a, r, 64, 16_384)),
        ("50,000 fields", |a, r| {
            let block = head("200", &[("x", "y"); 50_000]);
            continued(a, r, &block)
        }),
        ("CONTINUATION without end", |a, r| {
            r.frame(HEADERS, 0, a.stream, &head("200", &[])) && (0..200_000).all(|_| r.frame(CONTINUATION, 0, a.stream, b""))
        }),
        ("CONTINUATION of fields without end", |a, r| {
            let piece = head("200", &[("x", "y"); 100]).split_off(13);
            r.frame(HEADERS, 0, a.stream, &head("200", &[])) && (0..20_000).all(|_| r.frame(CONTINUATION, 0, a.stream, &piece))
        }),
        ("a block interrupted", |a, r| r.frame(HEADERS, 0, a.stream, &head("200", &[])) && r.frame(PING, 0, 0, &[0; 8])),
        ("a window of nothing", |_, r| r.frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("a window beyond all", |_, r| (0..3).all(|_| r.frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]))),
        ("more than the window", |a, r| {
            r.headers(a.stream, "200", &[], 0) && (0..64).all(|_| r.frame(DATA, 0, a.stream, &[b' '; 16_384]))
        }),
        ("an initial window of 2^31", |_, r| r.frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0])),
        ("settings cut", |_, r| r.frame(SETTINGS, 0, 0, &[0, 4, 0])),
        ("settings on a stream", |a, r| r.frame(SETTINGS, 0, a.stream, b"")),
        ("a ping of 7 bytes", |_, r| r.frame(PING, 0, 0, &[0; 7])),
        ("a push", |a, r| {
            let block = [&2u32.to_be_bytes()[..], &head("200", &[])].concat();
            r.frame(PUSH_PROMISE, END_HEADERS, a.stream, &block)
        }),
        ("empty data without end", |a, r| {
            r.headers(a.stream, "200", &[], 0) && (0..500_000).all(|_| r.frame(DATA, 0, a.stream, b""))
        }),
        ("all padding", |a, r| r.headers(a.stream, "200", &[], 0) && r.frame(DATA, 8, a.stream, &[200, 1, 2])),
    ];
    for (index, (name, act)) in acts.into_iter().enumerate() {
        // Each on one driver: what is asked is the parser's, and half of them wait for a timeout.
        let bad = Server::new(move |asked, reply| {
            act(asked, reply);
            true
        });
        let good = Provider::good(GOOD);
        let mut lasso = Lasso::start(&profile(&[plain(bad.address), plain(good.address)], ""), DRIVERS[index % 2]);
        let before = lasso.memory_kib();
        let ask = r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#;
        for _ in 0..3 {
            let got = post(lasso.address, "/rpc/one", ask);
            assert!(got.text().contains(GOOD), "{name}: {}", got.text());
        }
        assert!(lasso.memory_peak_kib() < before + 24 * 1024, "{name}: {} KiB, {before} before", lasso.memory_peak_kib());
        lasso.assert_alive();
        assert_panics(&lasso, name);
    }
}

/// The foreign code has not even panicked.
fn assert_panics(lasso: &Lasso, name: &str) {
    let mut client = Client::new(lasso.address);
    client.send(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
    let text = client.answer().expect("metrics").text();
    let panics: Vec<&str> = text.lines().filter(|l| l.contains("panic") && !l.starts_with('#') && !l.ends_with(" 0")).collect();
    assert!(panics.is_empty(), "{name}: {panics:?}");
}

/// A field of `pieces` times `size` bytes.
fn giant(asked: &Asked, reply: &Reply, pieces: usize, size: usize) -> bool {
    continued(asked, reply, &head("200", &[("x", &"y".repeat(pieces * size))]))
}

fn continued(asked: &Asked, reply: &Reply, block: &[u8]) -> bool {
    let mut pieces = block.chunks(16_384);
    reply.frame(HEADERS, 0, asked.stream, pieces.next().unwrap_or_default())
        && pieces.all(|piece| reply.frame(CONTINUATION, 0, asked.stream, piece))
        && reply.frame(CONTINUATION, END_HEADERS, asked.stream, b"")
        && reply.frame(DATA, END_STREAM, asked.stream, ok(&asked.id, OWN).as_bytes())
}

#[test]
fn a_provider_that_speaks_something_else_is_sent_nothing() {
    for (name, greeting) in [
        ("HTTP/1.1", &b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"[..]),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ("a ping first", b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ] {
        check(name, &Server::greeting(greeting.to_vec(), |_, _| unreachable!("a call came")), Read1::Second, Raw::Second);
    }
}

#[test]
fn a_call_that_times_out_or_whose_client_left_ends_its_stream_and_nothing_else() {
    for driver in DRIVERS {
        let server = Server::new(|asked, reply| match asked.method.as_str() {
            "eth_blockNumber" | "eth_call" => true, // no answer, ever
            _ => reply.result(asked, OWN),
        });
        let lasso = Lasso::start_with(&profile(&[plain(server.address)], ""), &["--driver", driver, "--shards", "1"]);
        let mut client = Client::new(lasso.address);
        let mut own = || {
            let got = client.post("/rpc/one", READ);
            assert!(got.text().contains(OWN), "{driver}: {}", got.text());
        };
        own();
        let late = r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#;
        assert_eq!(post(lasso.address, "/rpc/one", late).json()["error"]["code"], -32007);
        server.wait("its stream is reset", |s| s.resets.iter().any(|(_, _, code)| *code == 8));
        own();
        let mut leaving = Client::new(lasso.address);
        let head = format!(
            "POST /rpc/one HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            CALL.len()
        );
        leaving.send(&[head.as_bytes(), CALL.as_bytes()].concat());
        server.wait("the call is there", |s| s.calls.iter().any(|c| c.method == "eth_call"));
        crate::provider::linger_reset(&leaving.stream);
        drop(leaving);
        server.wait("its stream is reset too", |s| s.resets.iter().filter(|(_, _, code)| *code == 8).count() == 2);
        own();
        let used = server.seen(|s| s.calls.iter().map(|c| c.connection).collect::<Vec<_>>());
        assert!(used.windows(2).all(|w| w[0] == w[1]), "{driver}: one connection carried it all, not {used:?}");
    }
}

/// `clients` calls at once; every answer must be `wanted`.
fn burst(at: SocketAddr, clients: usize, wanted: &'static str) {
    let one = move || {
        let got = post(at, "/rpc/one", CALL);
        assert!(got.text().contains(wanted), "{}", got.text());
    };
    let spawn = |_| std::thread::Builder::new().stack_size(128 * 1024).spawn(one).expect("a thread");
    let threads: Vec<_> = (0..clients).map(spawn).collect();
    threads.into_iter().for_each(|t| t.join().expect("its answer"));
}

#[test]
fn connections_that_end_in_good_order_cost_no_call() {
    for driver in DRIVERS {
        // Every fifth call of a connection ends it; those above are not looked at, as nginx does it.
        let server = Server::new(|asked, reply| {
            if asked.stream.is_multiple_of(5) {
                reply.goaway(asked.stream, 0);
                reply.result(asked, OWN);
                std::thread::sleep(Duration::from_millis(5));
                return reply.close();
            }
            reply.result(asked, OWN)
        });
        let lasso = Lasso::start(&profile(&[plain(server.address)], ""), driver);
        let mut client = Client::new(lasso.address);
        for call in 0..100 {
            let got = client.post("/rpc/one", READ);
            assert!(got.text().contains(OWN), "call {call} on {driver}: {}", got.text());
        }
    }
}

#[test]
fn a_provider_that_allows_three_streams_gets_three() {
    for driver in DRIVERS {
        let greeting = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 3]);
        let server = Server::greeting(greeting, |asked, reply| {
            let (asked, reply) = (asked.clone(), reply.clone());
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                reply.result(&asked, OWN)
            });
            true
        });
        let lasso = Lasso::start_with(&profile(&[plain(server.address)], ""), &["--driver", driver, "--shards", "1"]);
        burst(lasso.address, 120, OWN);
        let (streams, open, calls) = server.seen(|s| (s.most_streams, s.most_open, s.calls.len()));
        assert_eq!((streams, calls), (3, 120), "{driver}");
        // Four of the shard, and those of the probes.
        assert!((4..=6).contains(&open), "{driver}: {open} connections");
    }
}

#[test]
fn a_connection_gone_silent_is_left_after_one_call_and_closed() {
    std::thread::scope(|scope| {
        DRIVERS.iter().for_each(|driver| {
            scope.spawn(|| gone_silent(driver));
        });
    });
}

fn gone_silent(driver: &str) {
    let server = Server::new(|asked, reply| match asked.method.as_str() {
        "eth_blockNumber" => reply.freeze(),
        _ => reply.result(asked, OWN),
    });
    let lasso = Lasso::start_with(&profile(&[plain(server.address)], ""), &["--driver", driver, "--shards", "1"]);
    let late = r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#;
    assert_eq!(post(lasso.address, "/rpc/one", late).json()["error"]["code"], -32007);
    let began = Instant::now();
    for _ in 0..5 {
        let got = post(lasso.address, "/rpc/one", READ);
        assert!(got.text().contains(OWN), "{driver}: {}", got.text());
    }
    assert!(began.elapsed() < Duration::from_millis(500), "{driver}: {:?} on a fresh connection", began.elapsed());
    let open = server.seen(|s| s.open);
    server.wait("the silent one is closed", |s| s.open < open);
    assert!(began.elapsed() > Duration::from_secs(4), "{driver}: closed before it could answer the ping");
}

#[test]
fn an_answer_is_sent_no_faster_than_its_client_takes_it() {
    const ANSWER: usize = 48 << 20;
    for driver in DRIVERS {
        let server = Server::new(|asked, reply| {
            let body = ok(&asked.id, &format!("\"0x{}\"", "ab".repeat(ANSWER / 2)));
            let length = body.len().to_string();
            reply.headers(asked.stream, "200", &[("content-length", &length)], 0);
            let (asked, reply) = (asked.clone(), reply.clone());
            std::thread::spawn(move || feed(&asked, &reply, body.as_bytes()));
            true
        });
        SENT.with_server(&server);
        let mut lasso = Lasso::start_with(&profile(&[plain(server.address)], ""), &["--driver", driver, "--shards", "1"]);
        let before = lasso.memory_kib();
        let mut client = Client::new(lasso.address);
        let head = format!(
            "POST /rpc/one HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            READ.len()
        );
        client.send(&[head.as_bytes(), READ.as_bytes()].concat());
        std::thread::sleep(Duration::from_millis(1_500));
        let asked = server.seen(|s| s.calls.first().cloned()).expect("the call");
        let granted = || server.seen(|s| s.credit.get(&(asked.connection, asked.stream)).copied().unwrap_or(0));
        let early = granted();
        assert!(early < 16 << 20, "{driver}: {early} bytes of window for a client that takes nothing");
        // Others on the same connection are answered meanwhile: the stalled one holds its own window only.
        assert!(lasso.memory_peak_kib() < before + 8 * 1024, "{driver}: {} KiB", lasso.memory_peak_kib());
        let got = client.answer().expect("an answer");
        assert!(got.is_whole && got.body.len() > ANSWER, "{driver}: {} bytes", got.body.len());
        assert!(granted() > early, "{driver}");
        lasso.assert_alive();
    }
}

/// The server whose window grants `feed` obeys.
struct Current(std::sync::Mutex<Option<Server>>);
static SENT: Current = Current(std::sync::Mutex::new(None));

impl Current {
    fn with_server(&self, server: &Server) {
        *self.0.lock().expect("no panic") = Some(server.clone());
    }
}

/// Sends a body within the windows.
fn feed(asked: &Asked, reply: &Reply, body: &[u8]) {
    let server = SENT.0.lock().expect("no panic").clone().expect("a server");
    let mut sent = 0;
    for piece in body.chunks(16_384) {
        let allowed = || {
            server.seen(|s| {
                let credit = |stream| s.credit.get(&(asked.connection, stream)).copied().unwrap_or(0);
                // Our stream window by SETTINGS, the connection's by its first update.
                (credit(asked.stream) + 256 * 1024).min(credit(0) + 65_535)
            })
        };
        while allowed() < sent + piece.len() as u64 {
            std::thread::sleep(Duration::from_millis(1));
        }
        sent += piece.len() as u64;
        let flags = if sent == body.len() as u64 { END_STREAM } else { 0 };
        if !reply.frame(DATA, flags, asked.stream, piece) {
            return;
        }
    }
}

// --- nginx ---

/// `hostile`'s checks with the bad provider behind nginx.
fn behind(face: Face, drivers: &'static [&'static str]) -> Option<impl Fn(&str, &Provider, Read1, Raw)> {
    Nginx::is_here().then_some(move |name: &str, bad: &Provider, read: Read1, raw: Raw| {
        for driver in drivers {
            let nginx = Nginx::start(bad.address, face);
            let good = Provider::good(GOOD);
            let profile = profile(&[nginx.url(), plain(good.address)], &nginx.trust());
            let lasso = Lasso::start(&profile, driver);
            bad.forget();
            hostile::check_started(lasso, &format!("{name} behind nginx ({face:?}) on {driver}"), &good, read, raw);
            assert!(bad.count("eth_sendRawTransaction") <= 1, "{name}: sent twice");
        }
    })
}

#[test]
fn the_table_of_http1_behind_nginx_without_tls() {
    let Some(check) = behind(Face::Plain, &["io_uring"]) else { return };
    hostile::each_answer_that_is_none(&check);
    hostile::each_refusal_by_status(&check);
    hostile::each_broken_gzip(&check);
}

#[test]
fn the_table_of_http1_behind_nginx_with_tls() {
    let Some(check) = behind(Face::Tls, &["epoll"]) else { return };
    hostile::each_refusal_by_status(&check);
    hostile::each_broken_framing(&check);
    let own = Provider::new(|got, stream| write(stream, &answer(&ok(&got.id, OWN))));
    check("a plain answer", &own, Read1::Own, Raw::Own);
}

#[test]
fn a_thousand_calls_at_once_need_four_connections_a_shard() {
    if !Nginx::is_here() {
        return;
    }
    for (driver, face) in [("io_uring", Face::Plain), ("epoll", Face::Tls)] {
        // Answers when all are there, or nearly too late. The time counts from the first one: a busy machine takes its time to start.
        let (came, began) = (AtomicUsize::new(0), OnceLock::new());
        let provider = Provider::new(move |got, stream| {
            came.fetch_add(usize::from(got.method == "eth_call"), Ordering::SeqCst);
            let is_early = || began.get_or_init(Instant::now).elapsed().as_secs() < 4;
            while got.method == "eth_call" && came.load(Ordering::SeqCst) < 1_000 && is_early() {
                std::thread::sleep(Duration::from_millis(20));
            }
            write(stream, &answer(&ok(&got.id, OWN)))
        });
        let nginx = Nginx::start(provider.address, face);
        let lasso = Lasso::start_with(&profile(&[nginx.url()], &nginx.trust()), &["--driver", driver, "--shards", "1"]);
        let at = lasso.address;
        let calls = std::thread::spawn(move || burst(at, 1_000, OWN));
        let mut most = 0;
        while !calls.is_finished() {
            most = most.max(nginx.connections());
            std::thread::sleep(Duration::from_millis(20));
        }
        calls.join().expect("every call was answered");
        let at_once = provider.peak_connections();
        eprintln!("{driver}, {face:?}: {most} connections to nginx for {at_once} calls at once");
        // Four of the one shard, and two of the probes.
        assert!((4..=6).contains(&most), "{driver}: {most} connections");
        assert!(at_once >= 1_000, "{driver}: only {at_once} calls at once");
    }
}

#[test]
fn nginx_killed_while_calls_run_costs_no_answer() {
    if !Nginx::is_here() {
        return;
    }
    for driver in DRIVERS {
        let slow = Provider::new(|got, stream| {
            std::thread::sleep(Duration::from_millis(300));
            write(stream, &answer(&ok(&got.id, OWN)))
        });
        let good = Provider::good(GOOD);
        let nginx = Nginx::start(slow.address, Face::Plain);
        let lasso = Lasso::start(&profile(&[nginx.url(), plain(good.address)], ""), driver);
        let at = lasso.address;
        let calls = std::thread::spawn(move || burst(at, 100, GOOD));
        std::thread::sleep(Duration::from_millis(150));
        drop(nginx);
        calls.join().expect("every call was answered by the other one");
    }
}

#[test]
fn long_answers_pass_through_nginx() {
    if !Nginx::is_here() {
        return;
    }
    for (driver, face) in [("io_uring", Face::Tls), ("epoll", Face::Plain)] {
        let result = format!("\"0x{}\"", "ab".repeat(2 << 20));
        let provider = Provider::new(move |got, stream| write(stream, &answer(&ok(&got.id, &result))));
        let nginx = Nginx::start(provider.address, face);
        let lasso = Lasso::start(&profile(&[nginx.url()], &nginx.trust()), driver);
        for id in ["1", "\"\\u0031\""] {
            let got = post(lasso.address, "/rpc/one", &READ.replacen("\"id\":1", &format!("\"id\":{id}"), 1));
            let length = got.json()["result"].as_str().map(str::len);
            assert_eq!((got.is_whole, length), (true, Some(2 + (4 << 20))), "{driver}");
            assert!(got.text().contains(&format!("\"id\":{id}")), "{driver}");
        }
    }
}

#[test]
fn the_largest_body_passes_through_nginx() {
    if !Nginx::is_here() {
        return;
    }
    for (driver, face) in [("io_uring", Face::Plain), ("epoll", Face::Tls)] {
        let provider = Provider::new(|got, stream| write(stream, &answer(&ok(&got.id, OWN))));
        let nginx = Nginx::start(provider.address, face);
        let lasso = Lasso::start(&profile(&[nginx.url()], &nginx.trust()), driver);
        let empty = r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[""]}"#;
        for bytes in [100_000, 8_000_000] {
            let body = empty.replace("\"\"", &format!("\"{}\"", "e".repeat(bytes - empty.len())));
            let got = post(lasso.address, "/rpc/one", &body);
            assert!(got.text().contains(OWN), "{bytes} on {driver}: {}", got.text());
            let seen = provider.got().pop().expect("it came");
            assert!(seen.body == body, "{bytes} on {driver}: {} bytes came, altered", seen.body.len());
        }
    }
}
