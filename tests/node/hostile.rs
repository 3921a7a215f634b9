//! What a bad provider does, and what the client sees, while a good provider works beside it.
//!
//! | the first provider | a call that may be repeated | a raw transaction |
//! |---|---|---|
//! | garbage, HTML, nothing, or a JSON array with 200 | the second's answer | indeterminate |
//! | another id, two ids, no id, result and error, neither | the second's answer | indeterminate |
//! | a body cut anywhere, a chunk of 2 GB, broken chunks | the second's answer | indeterminate |
//! | a reset at any byte of a held answer | the second's answer | indeterminate |
//! | a redirect, 500, 502, 503 | the second's answer | indeterminate |
//! | 429 (with or without Retry-After), 401, 403 | the second's answer | the second's answer |
//! | refuses connections, ends TLS half-way | the second's answer | the second's answer |
//! | says nothing | the second's answer, after the first's share of the time | indeterminate |
//! | gzip that is whole | its own answer | its own answer |
//! | gzip that is corrupt or cut, or white space without end | the second's answer | indeterminate |
//! | 1xx before the answer, odd chunks, until close, extra keys, id last | its own answer | its own answer |
//! | an answer beyond the hold limit that breaks off | an incomplete message, never a whole one | |
//! | a pooled connection that died idle, or says something unasked | its own answer, on a new connection | |

use crate::harness::{DRIVERS, Lasso, no_limit};
use crate::http::{Client, READ, post};
use crate::provider::{Got, Provider, answer, in_chunks, ok, reset, with_status, write};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const GOOD: &str = "\"0x600d\"";
const OWN: &str = "\"0x0e11\"";
const RAW: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0xf86b"]}"#;

/// What the raw transaction's client sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Raw {
    Second,
    Own,
    Indeterminate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read1 {
    Second,
    Own,
}

fn check_on(driver: &str, name: &str, bad: &Provider, read: Read1, raw: Raw) {
    let good = Provider::good(GOOD);
    let lasso = Lasso::start(&no_limit(&[bad.address, good.address]), driver);
    bad.forget();
    check_started(lasso, &format!("{name} on {driver}"), &good, read, raw);
    assert!(bad.count("eth_sendRawTransaction") <= 1, "{name} on {driver}: sent twice");
}

/// What a client sees of a node whose first provider is bad and whose second one is `good`.
pub fn check_started(mut lasso: Lasso, context: &str, good: &Provider, read: Read1, raw: Raw) {
    // Twice, so that whatever the first left behind in the pool meets a second call.
    for _ in 0..2 {
        let got = post(lasso.address, "/rpc/one", READ);
        let wanted = if read == Read1::Own { OWN } else { GOOD };
        assert!(got.is_whole && got.text().contains(&format!("\"result\":{wanted}")), "{context}: {}", got.text());
    }
    // A connection that the provider ended just now may look alive still; a raw transaction would be lost with it.
    std::thread::sleep(Duration::from_millis(50));
    good.forget();
    let got = post(lasso.address, "/rpc/one", RAW);
    let seen = match got.text() {
        text if text.contains(GOOD) => Raw::Second,
        text if text.contains(OWN) => Raw::Own,
        text if text.contains("Upstream dispatch outcome is indeterminate") => Raw::Indeterminate,
        text => panic!("{context}: {text}"),
    };
    assert_eq!(seen, raw, "{context}");
    assert_eq!(good.count("eth_sendRawTransaction"), usize::from(raw == Raw::Second), "{context}");
    lasso.assert_alive();
}

/// One row of a table: what it is, who does it, what clients see.
pub type Check<'a> = dyn Fn(&str, &Provider, Read1, Raw) + 'a;

fn check(name: &str, bad: &Provider, read: Read1, raw: Raw) {
    DRIVERS.iter().for_each(|driver| check_on(driver, name, bad, read, raw));
}

/// A provider that answers with these bytes; `{id}` is the call's id. The connection goes on if `open`.
fn says(text: &'static str, open: bool) -> Provider {
    Provider::new(move |got, stream| write(stream, text.replace("{id}", &got.id).as_bytes()) && open)
}

fn body(text: &'static str) -> Provider {
    Provider::new(move |got, stream| write(stream, &answer(&text.replace("{id}", &got.id))))
}

#[test]
fn answers_that_are_none() {
    each_answer_that_is_none(&check);
}

pub fn each_answer_that_is_none(check: &Check<'_>) {
    for text in [
        "garbage",
        "",
        "<html><body>502 Bad Gateway</body></html>",
        "[]",
        "null",
        r#"{"jsonrpc":"2.0","id":{id},"result":"0x1""#,
        r#"{"jsonrpc":"2.0","id":"another","result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","id":{id},"id":{id},"result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","id":{id},"result":"0x1","error":{"code":1,"message":"both"}}"#,
        r#"{"jsonrpc":"2.0","id":{id}}"#,
        r#"{"jsonrpc":"2.0","id":{id},"result":"0x1"} trailing"#,
        r#"{"result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","id":{id},"error":{"code":1,"code":2,"message":"twice"}}"#,
    ] {
        check(text, &body(text), Read1::Second, Raw::Indeterminate);
    }
}

#[test]
fn framing_that_is_broken() {
    each_broken_framing(&check);
}

pub fn each_broken_framing(check: &Check<'_>) {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (name, text) in [
        ("a chunk of 2 GB", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n80000000\r\n{\"jsonrpc\""),
        ("a chunk size of 17 digits", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000000000\r\n{"),
        ("no chunk size", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n{}"),
        ("a bare line feed", "HTTP/1.1 200 OK\ncontent-length: 2\n\n{}"),
        ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
        ("length and chunks", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}"),
        ("a body cut", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":\"0x1\"}"),
        ("a head cut", "HTTP/1.1 200 OK\r\ncontent-le"),
        ("no HTTP", "SSH-2.0-OpenSSH_9.2\r\n"),
        ("101", "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        ("nothing", ""),
    ] {
        check(name, &says(text, false), Read1::Second, Raw::Indeterminate);
    }
    assert!(HEAD.ends_with("\r\n\r\n"));
}

#[test]
fn refusals_by_status() {
    each_refusal_by_status(&check);
}

pub fn each_refusal_by_status(check: &Check<'_>) {
    for (status, fields, text, raw) in [
        ("301 Moved Permanently", "location: http://127.0.0.1:1/\r\n", "", Raw::Indeterminate),
        ("500 Internal Server Error", "", "oops", Raw::Indeterminate),
        ("502 Bad Gateway", "", "<html>nginx</html>", Raw::Indeterminate),
        ("503 Service Unavailable", "", "", Raw::Indeterminate),
        ("429 Too Many Requests", "retry-after: 3\r\n", "slow down", Raw::Second),
        (
            "429 Too Many Requests",
            "",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"rate limit exceeded"}}"#,
            Raw::Second,
        ),
        ("401 Unauthorized", "", "bad key", Raw::Second),
        ("403 Forbidden", "", "forbidden", Raw::Second),
    ] {
        let bad = Provider::new(move |_, stream| write(stream, &with_status(status, fields, text)));
        check(status, &bad, Read1::Second, raw);
    }
}

#[test]
fn answers_in_unusual_but_right_form() {
    let own = |id: &str| ok(id, OWN);
    let forms: Vec<(&str, Provider)> = vec![
        (
            "1xx first",
            Provider::new(move |got, s| {
                write(
                    s,
                    &[
                        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n".to_vec(),
                        answer(&own(&got.id)),
                    ]
                    .concat(),
                )
            }),
        ),
        ("odd chunks", Provider::new(move |got, s| write(s, &in_chunks(own(&got.id).as_bytes(), &[1, 2, 3])))),
        (
            "until close",
            Provider::new(move |got, s| {
                write(s, format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", own(&got.id)).as_bytes());
                false
            }),
        ),
        (
            "close after the answer",
            Provider::new(move |got, s| {
                write(s, &answer(&own(&got.id)));
                false
            }),
        ),
        ("extra keys", body(r#"{"jsonrpc":"2.0","id":{id},"result":"0x0e11","took":3,"node":"x"}"#)),
        ("id last", body(r#"{"result":"0x0e11","id":{id},"jsonrpc":"2.0"}"#)),
        ("no version", body(r#"{"id":{id},"result":"0x0e11"}"#)),
        ("another version", body(r#"{"jsonrpc":"1.0","id":{id},"result":"0x0e11"}"#)),
        ("error null beside a result", body(r#"{"jsonrpc":"2.0","id":{id},"error":null,"result":"0x0e11"}"#)),
        ("white space", body("\r\n { \"jsonrpc\" : \"2.0\" ,\n \"id\" : {id} , \"result\":\"0x0e11\" }\n")),
        ("a byte at a time", Provider::new(move |got, s| answer(&own(&got.id)).chunks(1).all(|b| write(s, b)))),
        ("gzip", Provider::new(move |got, s| write(s, &gzipped(&compress(own(&got.id).as_bytes()))))),
    ];
    for (name, provider) in &forms {
        check(name, provider, Read1::Own, Raw::Own);
    }
}

fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

fn gzipped(packed: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len());
    [head.as_bytes(), packed].concat()
}

#[test]
fn gzip_that_is_broken() {
    each_broken_gzip(&check);
}

pub fn each_broken_gzip(check: &Check<'_>) {
    let spaces = compress(&vec![b' '; 64 << 20]);
    let of = |change: fn(&mut Vec<u8>)| {
        Provider::new(move |got: &Got, s| {
            let mut packed = compress(ok(&got.id, OWN).as_bytes());
            change(&mut packed);
            write(s, &gzipped(&packed))
        })
    };
    check(
        "corrupt",
        &of(|p| {
            if let Some(byte) = p.get_mut(14) {
                *byte ^= 0xff
            }
        }),
        Read1::Second,
        Raw::Indeterminate,
    );
    check(
        "wrong CRC",
        &of(|p| {
            let at = p.len() - 6;
            p[at] ^= 1;
        }),
        Read1::Second,
        Raw::Indeterminate,
    );
    check("cut", &of(|p| p.truncate(p.len() - 9)), Read1::Second, Raw::Indeterminate);
    check("spaces", &Provider::new(move |_, s| write(s, &gzipped(&spaces))), Read1::Second, Raw::Indeterminate);
}

#[test]
fn a_reset_at_any_byte_of_a_held_answer() {
    for driver in DRIVERS {
        let whole = answer(&ok("1", OWN)).len();
        // Where the provider cuts its next answer; beyond its end: nowhere, and the connection ends in good order.
        let cut = Arc::new(AtomicUsize::new(0));
        let cuts = cut.clone();
        let bad = Provider::new(move |got, stream| {
            let bytes = answer(&ok(&got.id, OWN));
            let at = cuts.load(Ordering::SeqCst).min(bytes.len());
            write(stream, &bytes[..at]);
            if at < bytes.len() {
                reset(stream);
            }
            false
        });
        let good = Provider::good(GOOD);
        let mut lasso = Lasso::start(&no_limit(&[bad.address, good.address]), driver);
        let mut client = Client::new(lasso.address);
        for at in 0..whole {
            // A whole answer after each cut one, or its circuit opens and the cuts that follow are tried on nobody.
            for (at, wanted) in [(at, GOOD), (whole * 2, OWN)] {
                cut.store(at, Ordering::SeqCst);
                bad.forget();
                let got = client.post("/rpc/one", READ);
                assert!(got.is_whole && got.text().contains(wanted), "cut at {at} on {driver}: {}", got.text());
                assert_eq!(bad.count("eth_getBalance"), 1, "cut at {at} on {driver}");
            }
        }
        lasso.assert_alive();
    }
}

#[test]
fn an_answer_beyond_the_hold_limit_that_breaks_off_never_looks_complete() {
    let result = format!("\"0x{}\"", "ab".repeat(512 * 1024));
    let own_id = READ.replacen("\"id\":1", "\"id\":\"\\u0031\"", 1);
    for driver in DRIVERS {
        for chunked in [false, true] {
            for (request, trailing) in [(READ, false), (own_id.as_str(), false), (READ, true), (own_id.as_str(), true)] {
                for cut in [300_000, 700_000, 1_048_000, usize::MAX] {
                    let result = result.clone();
                    let bad = Provider::new(move |got, stream| {
                        let body = if trailing {
                            format!(r#"{{"jsonrpc":"2.0","result":{result},"id":{}}}"#, got.id)
                        } else {
                            ok(&got.id, &result)
                        };
                        let bytes = if chunked { in_chunks(body.as_bytes(), &[50_000]) } else { answer(&body) };
                        write(stream, &bytes[..cut.min(bytes.len())]);
                        if cut < bytes.len() {
                            reset(stream);
                        }
                        cut >= bytes.len()
                    });
                    let lasso = Lasso::start(&no_limit(&[bad.address]), driver);
                    let got = post(lasso.address, "/rpc/one", request);
                    let context = format!("{driver} chunked {chunked} trailing {trailing} cut {cut}");
                    if cut == usize::MAX {
                        assert!(
                            got.is_whole && got.json()["result"].as_str().map(str::len) == Some(1 + 1 + 1024 * 1024),
                            "{context}"
                        );
                        let wanted = if request == READ { "\"id\":1" } else { r#""id":"\u0031""# };
                        assert!(got.text().contains(wanted), "{context}");
                    } else {
                        assert!(
                            !got.is_whole || got.text().contains("\"error\""),
                            "{context}: {} bytes look whole",
                            got.body.len()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_trailing_id_of_another_call_ends_a_stream() {
    let result = format!("\"0x{}\"", "ab".repeat(512 * 1024));
    let bad =
        Provider::new(move |_, stream| write(stream, &answer(&format!(r#"{{"jsonrpc":"2.0","result":{result},"id":77}}"#))));
    let lasso = Lasso::start(&no_limit(&[bad.address]), "io_uring");
    let got = post(lasso.address, "/rpc/one", READ);
    assert!(!got.is_whole, "{} bytes look whole", got.body.len());
}

#[test]
fn silence_costs_the_first_attempts_share_and_no_more() {
    for driver in DRIVERS {
        let silent = Provider::new(|_, stream| {
            // Until the node gives up on this connection.
            let _ = stream.read(&mut [0; 1]);
            false
        });
        let good = Provider::good(GOOD);
        let lasso = Lasso::start(&no_limit(&[silent.address, good.address]), driver);
        let began = Instant::now();
        let ask = r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#;
        let got = post(lasso.address, "/rpc/one", ask);
        let took = began.elapsed();
        assert!(got.text().contains(GOOD), "{driver}: {}", got.text());
        // A cheap read of whose provider nothing is known goes on after a second and a half.
        assert!((Duration::from_millis(1_450)..Duration::from_millis(1_850)).contains(&took), "{driver}: {took:?}");
        let alone = Lasso::start(&no_limit(&[silent.address]), driver);
        let got = post(alone.address, "/rpc/one", ask);
        assert_eq!(got.json()["error"]["code"], -32007, "{}", got.text());
    }
}

#[test]
fn nobody_listens_and_half_a_handshake() {
    for driver in DRIVERS {
        let gone = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port that is free again");
        let half = half_a_handshake();
        let good = Provider::good(GOOD);
        let profile = no_limit(&[gone, half, good.address])
            .replace(&format!("http://{half}"), &format!("https://localhost:{}", half.port()));
        let lasso = Lasso::start(&profile, driver);
        for call in [READ, RAW] {
            let got = post(lasso.address, "/rpc/one", call);
            assert!(got.text().contains(GOOD), "{driver}: {}", got.text());
        }
        assert_eq!(good.count("eth_sendRawTransaction"), 1);
    }
}

/// Reads a ClientHello, begins a record, and ends.
fn half_a_handshake() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream: TcpStream = stream;
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&[0x16, 3, 3, 0, 100, 2, 0, 0, 96, 3, 3, 1, 2, 3]);
        }
    });
    address
}

#[test]
fn idle_connections_that_died_or_speak_unasked() {
    for driver in DRIVERS {
        // Each connection serves one call and then ends, or says something, a moment later.
        for surprise in [&b""[..], b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"] {
            let surprises = Arc::new(AtomicUsize::new(0));
            let made = surprises.clone();
            let provider = Provider::new(move |got, stream| {
                let answered = write(stream, &answer(&ok(&got.id, OWN)));
                if got.method != "eth_getBalance" {
                    return answered; // the node's own question at the start
                }
                std::thread::sleep(Duration::from_millis(5));
                let spoke = write(stream, surprise);
                if surprise.is_empty() {
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                }
                made.fetch_add(1, Ordering::SeqCst);
                answered && spoke && !surprise.is_empty()
            });
            let lasso = Lasso::start(&no_limit(&[provider.address]), driver);
            let mut client = Client::new(lasso.address);
            for call in 1..=5 {
                let got = client.post("/rpc/one", READ);
                assert!(got.text().contains(OWN), "{driver}: {}", got.text());
                // The surprise has been sent; loopback delivers it in less than this.
                while surprises.load(Ordering::SeqCst) < call {
                    std::thread::sleep(Duration::from_millis(1));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            let mut used: Vec<_> =
                provider.got().into_iter().filter(|g| g.method == "eth_getBalance").map(|g| g.connection).collect();
            used.dedup();
            assert_eq!(used.len(), 5, "each call had a new connection on {driver}: {used:?}");
        }
    }
}
