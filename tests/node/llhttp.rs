//! llhttp's own vectors (MIT) on the wire. What it rejects must never be answered as a request, nor believed as an
//! answer: a client gets an HTTP refusal or silence, and a provider's answer costs that provider the call and its
//! connection. The codec's own test (`wire/http/vectors.rs`) says which fault each one is; this one says what comes of it.

use crate::harness::{DRIVERS, Lasso, no_limit, vectors};
use crate::http::{Client, READ};
use crate::provider::{Provider, ok, write};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex};

#[derive(serde::Deserialize, Debug)]
struct Vector {
    kind: String,
    name: String,
    at: String,
    /// Latin-1; trailing blank lines were lost in recording.
    raw: String,
    /// Code, text, position.
    error: Option<(i32, String, i32)>,
}

impl Vector {
    fn bytes(&self) -> Vec<u8> {
        self.raw.chars().map(|letter| letter as u32 as u8).collect()
    }

    fn title(&self) -> String {
        format!("{} ({})", self.name, self.at)
    }
}

fn read(kind: &str) -> Vec<Vector> {
    let Some(path) = vectors("llhttp.json") else { return Vec::new() };
    let text = std::fs::read(path).expect("a readable file");
    let all: Vec<Vector> = serde_json::from_slice(&text).expect("its shape");
    let some: Vec<Vector> = all.into_iter().filter(|v| v.kind == kind).collect();
    assert!(some.len() > 40, "{} vectors of kind {kind}", some.len());
    some
}

/// As it is and with its end restored; also with a Host, which most lack and which would hide every other fault; also
/// sent to the RPC path, where a mistake would reach a provider.
fn request_variants(vector: &Vector) -> Vec<Vec<u8>> {
    let raw = vector.bytes();
    let blank = raw.len() - raw.trim_ascii_start().len();
    let mut starts = vec![raw.clone()];
    let has_host = raw.to_ascii_lowercase().windows(5).any(|part| part == b"host:");
    if let Some(end) = raw[blank..].windows(2).position(|pair| pair == b"\r\n").filter(|_| !has_host) {
        starts.push([&raw[..blank + end], b"\r\nHost: a", &raw[blank + end..]].concat());
    }
    let to_rpc: Vec<Vec<u8>> = starts.iter().filter_map(|start| at_rpc_path(start)).collect();
    starts.extend(to_rpc);
    let ends: [&[u8]; 3] = [b"", b"\r\n", b"\r\n\r\n"];
    starts.iter().flat_map(|start| ends.map(|end| [start, end].concat())).collect()
}

/// The same with `POST /rpc/one` for its verb and target.
fn at_rpc_path(bytes: &[u8]) -> Option<Vec<u8>> {
    let blank = bytes.len() - bytes.trim_ascii_start().len();
    let verb = blank + bytes[blank..].iter().position(|b| *b == b' ')?;
    let target = verb + 1 + bytes[verb + 1..].iter().position(|b| *b == b' ')?;
    Some([&bytes[..blank], b"POST /rpc/one", &bytes[target..]].concat())
}

/// Statuses of everything that comes back until the connection ends.
fn statuses(at: SocketAddr, bytes: &[u8]) -> Vec<u16> {
    let mut client = Client::new(at);
    client.send(bytes);
    let _ = client.stream.shutdown(Shutdown::Write);
    std::iter::from_fn(|| client.answer()).map(|answer| answer.status).collect()
}

/// Rejected by llhttp, and yet answered: what comes before the fault is a whole request.
fn may_be_answered(vector: &Vector) -> Option<&'static str> {
    match vector.error.as_ref()?.1.as_str() {
        "Data after `Connection: close`" => Some("the request before is answered, and what follows it is never looked at"),
        "Pause on CONNECT/Upgrade" => Some("a pause, not a fault: an upgrade may be ignored, and the body is framed as usual"),
        _ => None,
    }
}

#[test]
fn no_request_that_llhttp_rejects_is_served() {
    let requests = read("request");
    for driver in DRIVERS {
        let provider = Provider::good("\"0x600d\"");
        let mut lasso = Lasso::start(&no_limit(&[provider.address]), driver);
        let mut rejected = 0;
        for vector in &requests {
            for bytes in request_variants(vector) {
                let got = statuses(lasso.address, &bytes);
                let context = format!("{} on {driver}: {got:?} for {}", vector.title(), bytes.escape_ascii());
                assert!(!got.contains(&200) && got.iter().all(|s| *s < 500 || *s == 501 || *s == 505), "{context}");
                if vector.error.is_none() {
                    continue;
                }
                assert!(got.iter().all(|s| *s >= 400), "{context}");
                let read = got.iter().filter(|s| !matches!(s, 400 | 413 | 414 | 415 | 417 | 431 | 501 | 505)).count();
                assert!(read <= usize::from(may_be_answered(vector).is_some()), "{context}: {read} were read as requests");
            }
            rejected += usize::from(vector.error.is_some());
        }
        assert!(requests.is_empty() || rejected > 25, "only {rejected}");
        assert!(provider.got().iter().all(|got| got.method == "eth_chainId"), "reached a provider: {:?}", provider.got());
        lasso.assert_alive();
    }
}

/// What a bad provider says: these bytes, and whether it keeps its connection open after them.
type Script = Arc<Mutex<(Vec<u8>, bool)>>;

fn player(script: &Script) -> Provider {
    let script = script.clone();
    Provider::new(move |got, stream| {
        let (bytes, open) = script.lock().expect("no panic").clone();
        let text: Vec<u8> = match bytes.is_empty() {
            true => crate::provider::answer(&ok(&got.id, "\"0x0e11\"")),
            false => bytes,
        };
        write(stream, &text) && open
    })
}

const OVERLOOKED: &str = r#"{"jsonrpc":"2.0","id":1,"result":"0xbad"}"#;

/// As it is and with its end restored; a head that has no end yet also with a right answer behind it, which is what a
/// client that overlooks the fault would take. The flag: the fault is there without waiting for more.
fn answer_variants(vector: &Vector) -> Vec<(Vec<u8>, bool)> {
    let raw = vector.bytes();
    let mut variants =
        vec![(raw.clone(), false), ([&raw[..], b"\r\n"].concat(), false), ([&raw[..], b"\r\n\r\n"].concat(), true)];
    if !raw.windows(4).any(|part| part == b"\r\n\r\n") {
        let rest = format!("Content-Length: {}\r\n\r\n{OVERLOOKED}", OVERLOOKED.len());
        variants.push(([&raw[..], rest.as_bytes()].concat(), true));
    }
    variants
}

#[test]
fn no_answer_that_llhttp_rejects_is_believed() {
    let answers = read("response");
    for driver in DRIVERS {
        let script: Script = Script::default();
        let (bad, second) = (player(&script), Provider::good("\"0x600d\""));
        let mut lasso = Lasso::start(&no_limit(&[bad.address, second.address]), driver);
        // One connection, so one shard, which sees a good answer after every bad one.
        let mut client = Client::new(lasso.address);
        let mut rejected = 0;
        for vector in &answers {
            let is_rejected = vector.error.is_some();
            rejected += usize::from(is_rejected);
            for (bytes, is_complete) in answer_variants(vector) {
                let context = format!("{} on {driver}: {}", vector.title(), bytes.escape_ascii());
                // It stays open only where that is no matter of waiting: the node must end it by itself.
                let bad_script = (bytes.clone(), is_rejected && is_complete);
                bad.forget();
                for _ in 0..2 {
                    *script.lock().expect("no panic") = bad_script.clone();
                    let got = client.post("/rpc/one", READ);
                    let wanted =
                        if !is_rejected && bytes.ends_with(OVERLOOKED.as_bytes()) { None } else { Some("\"result\":\"0x600d\"") };
                    assert!(got.status == 200 && got.is_whole, "{context}: {}", got.text());
                    assert!(wanted.is_none_or(|w| got.text().contains(w)), "{context}: {}", got.text());
                    // The same provider, once it is good, is believed again; and its circuit stays closed.
                    *script.lock().expect("no panic") = (Vec::new(), true);
                    let got = client.post("/rpc/one", READ);
                    assert!(got.text().contains("0x0e11"), "{context}: {}", got.text());
                }
                if is_rejected {
                    let calls: Vec<_> = bad.got().into_iter().filter(|got| got.method == "eth_getBalance").collect();
                    assert_eq!(calls.len(), 4, "{context}: {calls:?}");
                    let is_renewed = calls.chunks(2).all(|pair| pair[0].connection != pair[1].connection);
                    assert!(is_renewed, "{context}: its connection was used again: {calls:?}");
                }
            }
        }
        assert!(answers.is_empty() || rejected >= 12, "only {rejected}");
        lasso.assert_alive();
    }
}
