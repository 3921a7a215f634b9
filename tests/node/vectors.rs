//! Every recorded request and answer of ethereum/execution-apis, through the node: the outcome's bytes must be the
//! recorded ones, whether asked singly or in batches, whether the provider answers in one piece or in odd chunks.

use crate::harness::{DRIVERS, Lasso, no_limit, vectors};
use crate::http::Client;
use crate::provider::{Got, Provider, answer, in_chunks, write};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// A recorded exchange: both texts as they stand in the file.
#[derive(Clone)]
struct Pair {
    name: String,
    ask: String,
    answer: String,
}

fn pairs(folder: &Path) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut files: Vec<_> =
        folder.read_dir().expect("a folder").flatten().flat_map(|m| m.path().read_dir()).flatten().flatten().collect();
    files.sort_by_key(std::fs::DirEntry::path);
    for file in files.iter().map(std::fs::DirEntry::path) {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let name = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
        let mut ask = None;
        for line in text.lines() {
            if let Some(found) = line.strip_prefix(">> ") {
                ask = Some(found.to_owned());
            } else if let (Some(found), Some(ask)) = (line.strip_prefix("<< "), ask.take()) {
                pairs.push(Pair { name: name.clone(), ask, answer: found.to_owned() });
            }
        }
    }
    assert!(pairs.len() > 40, "{} pairs", pairs.len());
    pairs
}

/// Method and parameters, which decide the answer.
fn key(ask: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(ask).expect("a recorded request");
    format!("{} {}", value["method"], value.get("params").filter(|p| !p.is_null()).unwrap_or(&serde_json::json!([])))
}

/// The recorded text with another id in the place of its own.
fn with_id(text: &str, id: &str) -> String {
    let at = text.find("\"id\":").expect("an id") + 5;
    let end = at + text[at..].find([',', '}']).expect("its end");
    format!("{}{id}{}", &text[..at], &text[end..])
}

fn provider(pairs: &[Pair], chunks: Option<&'static [usize]>) -> Provider {
    let by_key: Arc<HashMap<String, String>> = Arc::new(pairs.iter().map(|p| (key(&p.ask), p.answer.clone())).collect());
    Provider::new(move |got: &Got, stream| {
        let body = by_key.get(&key(&got.body)).map_or_else(|| crate::provider::ok(&got.id, "\"0x1\""), |a| with_id(a, &got.id));
        match chunks {
            None => write(stream, &answer(&body)),
            Some(sizes) => write(stream, &in_chunks(body.as_bytes(), sizes)),
        }
    })
}

/// What the node answers by itself instead of asking a provider.
fn is_own(ask: &str) -> bool {
    ask.contains("\"eth_chainId\"")
}

#[test]
fn recorded_answers_come_through_byte_by_byte() {
    let Some(folder) = vectors("execution-apis") else { return };
    let pairs: Vec<Pair> = pairs(&folder).into_iter().filter(|p| !is_own(&p.ask)).collect();
    for driver in DRIVERS {
        for chunks in [None, Some(&[1usize, 2, 3, 5, 1000][..]), Some(&[7][..])] {
            let (a, b) = (provider(&pairs, chunks), provider(&pairs, chunks));
            let mut lasso = Lasso::start(&no_limit(&[a.address, b.address]), driver);
            let mut client = Client::new(lasso.address);
            for pair in &pairs {
                let got = client.post("/rpc/one", &pair.ask);
                assert_eq!(got.text(), pair.answer, "{} singly on {driver}, chunks {chunks:?}", pair.name);
            }
            batches(&mut client, &pairs);
            lasso.assert_alive();
        }
    }
}

/// Twenty at a time, each with an id of its own that no provider would write that way.
fn batches(client: &mut Client, pairs: &[Pair]) {
    for group in pairs.chunks(20) {
        let id = |n: usize| format!(r#""b\u002d{n}""#);
        let asks: Vec<String> = group.iter().enumerate().map(|(n, p)| with_id(&p.ask, &id(n))).collect();
        let wanted: Vec<String> = group.iter().enumerate().map(|(n, p)| with_id(&p.answer, &id(n))).collect();
        let got = client.post("/rpc/one", &format!("[{}]", asks.join(",")));
        assert_eq!(got.text(), format!("[{}]", wanted.join(",")), "a batch from {}", group[0].name);
    }
}
