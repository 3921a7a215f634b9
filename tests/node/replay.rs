//! Records: what a node writes down of its calls, and that another node gets the same mix when they are played to it.

use crate::harness::{Lasso, no_limit};
use crate::http::Client;
use crate::provider::{Provider, answer, ok, write};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const HASH: &str = "\"0x00000000000000000000000000000000000000000000000000000000000000b1\"";
const SECRET: &str = "5ec2e7";

fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// A chain of one block with one transaction.
fn provider() -> Provider {
    Provider::new(|got, stream| {
        let result = match got.method.as_str() {
            "eth_getBlockByNumber" => format!(r#"{{"number":"0x64","hash":{HASH},"transactions":[{HASH}]}}"#),
            "eth_getLogs" => "[]".to_owned(),
            "eth_getTransactionReceipt" => format!(r#"{{"blockHash":{HASH},"blockNumber":"0x63"}}"#),
            _ => "\"0x7\"".to_owned(),
        };
        write(stream, &answer(&ok(&got.id, &result)))
    })
}

fn end(mut lasso: Lasso) -> String {
    lasso.signal("TERM");
    assert_eq!(lasso.ended(Duration::from_secs(10)).and_then(|status| status.code()), Some(0));
    lasso.said().join("\n")
}

fn call(id: usize, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

/// What clients of all kinds send; the last three are nothing to be sent again.
const KINDS: [(&str, &str, usize); 9] = [
    ("eth_getBalance", r#"["0x00000000000000000000000000000000005ec2e7","latest"]"#, 400),
    ("eth_call", r#"[{"to":"0x00000000000000000000000000000000005ec2e7","data":"0x5ec2e7"},"0x60"]"#, 300),
    ("eth_getLogs", r#"[{"fromBlock":"0x10","toBlock":"0x20","address":"0x00000000000000000000000000000000005ec2e7"}]"#, 100),
    ("eth_blockNumber", "[]", 90),
    ("eth_chainId", "[]", 50),
    ("eth_getTransactionReceipt", r#"["0x00000000000000000000000000000000000000000000000000000000005ec2e7"]"#, 60),
    ("eth_sendRawTransaction", r#"["0x5ec2e7"]"#, 20),
    ("eth_newFilter", r#"[{"address":"0x00000000000000000000000000000000005ec2e7"}]"#, 5),
    ("foo_doThings", r#"["5ec2e7"]"#, 5),
];
const PLAYABLE: usize = 1_000;

/// Calls one by one and in batches, on one connection.
fn talk(lasso: &Lasso) {
    // How old a block is, a node can tell that knows its chain's height.
    std::thread::sleep(Duration::from_millis(1_500));
    let mut calls: Vec<String> = Vec::new();
    for (method, params, count) in KINDS {
        (0..count).for_each(|_| calls.push(call(calls.len(), method, params)));
    }
    // Dealt out, so that kinds are mixed at every moment.
    let step = 97;
    let dealt: Vec<&String> = (0..calls.len()).map(|place| &calls[place * step % calls.len()]).collect();
    let mut client = Client::new(lasso.address);
    for part in dealt.chunks(10) {
        let (alone, together) = part.split_at(7.min(part.len()));
        alone.iter().for_each(|body| assert_eq!(client.post("/rpc/one", body).status, 200));
        let texts: Vec<&str> = together.iter().map(|body| body.as_str()).collect();
        if !texts.is_empty() {
            assert_eq!(client.post("/rpc/one", &format!("[{}]", texts.join(","))).status, 200);
        }
    }
}

/// Lines that are calls.
fn calls(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("the record");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON on each line"));
    lines.filter(|line| line.get("method").is_some()).collect()
}

fn shares(calls: &[Value]) -> BTreeMap<String, f64> {
    let mut shares = BTreeMap::new();
    for call in calls {
        *shares.entry(call["method"].as_str().expect("a name").to_owned()).or_insert(0.0) += 1.0 / calls.len() as f64;
    }
    shares
}

fn command(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_lasso")).args(args).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_record_is_played_with_the_same_mix() {
    let (first, second) = (scratch("record-first"), scratch("record-second"));
    let path = |path: &PathBuf| path.to_str().expect("text").to_owned();
    let provider = provider();
    let recording = Lasso::start_with(&no_limit(&[provider.address]), &["--record", &path(&first)]);
    talk(&recording);
    let said = end(recording);
    assert!(!said.contains("record.lost") && !said.contains("record.ended"), "{said}");
    let recorded = calls(&first);
    assert_eq!(recorded.len(), KINDS.iter().map(|(.., count)| count).sum::<usize>());
    assert_eq!(std::fs::metadata(&first).expect("the record").permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&first).expect("the record");
    for secret in [SECRET, "/key", &provider.address.to_string()] {
        assert!(!text.contains(secret), "{secret} is in the record");
    }

    // Another node, which writes down what it gets.
    let other = Lasso::start_with(&no_limit(&[provider.address]), &["--record", &path(&second)]);
    let url = format!("http://{}", other.address);
    let figures = scratch("figures");
    let json = path(&figures);
    let (code, out, err) =
        command(&["bench", "--replay", &path(&first), "--node", &url, "--speed", "2", "--yes", "--json", &json]);
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains(&format!("{PLAYABLE} of {} recorded calls go to {url}", recorded.len())), "{err}");
    assert!(err.contains("Left out: 20 × eth_sendRawTransaction"), "{err}");
    assert!(out.contains("eth_"), "{out}");
    let told: Value = serde_json::from_str(&std::fs::read_to_string(&figures).expect("figures")).expect("JSON");
    assert_eq!(told["calls"], PLAYABLE, "{told:#}");
    assert!(told["methods"].as_array().expect("rows").iter().all(|row| row["failures"] == serde_json::json!({})), "{told:#}");
    let sent_raw = provider.count("eth_sendRawTransaction");
    end(other);
    assert_eq!(sent_raw, 20, "those of the clients");

    let played = calls(&second);
    // One more: the question for the newest block.
    assert_eq!(played.len(), PLAYABLE + 1);
    let wanted: Vec<Value> = recorded
        .into_iter()
        .filter(|call| {
            !["eth_sendRawTransaction", "eth_newFilter", "foo_doThings"].contains(&call["method"].as_str().unwrap_or(""))
        })
        .collect();
    let (want, got) = (shares(&wanted), shares(&played));
    for method in want.keys().chain(got.keys()) {
        let difference = (want.get(method).unwrap_or(&0.0) - got.get(method).unwrap_or(&0.0)).abs();
        assert!(difference <= 0.01, "{method}: {difference}");
    }
    // The shapes too: how old a block, how wide a range.
    let shapes = |calls: &[Value], method: &str, field: &str| -> Vec<i64> {
        calls.iter().filter(|call| call["method"] == method).filter_map(|call| call[field].as_i64()).collect()
    };
    let depth = shapes(&wanted, "eth_call", "depth");
    let (least, most) = (depth[0] - 1, depth[0] + 1);
    assert!(shapes(&played, "eth_call", "depth").iter().all(|depth| (least..=most).contains(depth)), "{depth:?}");
    assert_eq!(shapes(&played, "eth_getLogs", "range").first(), shapes(&wanted, "eth_getLogs", "range").first());

    let (code, out, err) = command(&["explain", "--replay", &path(&first), "--strategy", "fastest"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("with fastest") && out.contains("as recorded"), "{out}");
    [first, second].iter().for_each(|path| std::fs::remove_file(path).expect("removed"));
}

/// Parameters only where they are asked for, and never a transaction's.
#[test]
fn parameters_are_recorded_on_request() {
    let file = scratch("record-params");
    let path = file.to_str().expect("text");
    let provider = provider();
    let profile = no_limit(&[provider.address]);
    for run in 1..=2 {
        let lasso = Lasso::start_with(&profile, &["--record", path, "--record-params"]);
        talk(&lasso);
        end(lasso);
        let recorded = calls(&file);
        assert_eq!(recorded.len(), run * KINDS.iter().map(|(.., count)| count).sum::<usize>(), "a second run goes on");
    }
    for call in calls(&file) {
        let (method, params) = (call["method"].as_str().expect("a name"), &call["params"]);
        let is_kept =
            ["eth_getBalance", "eth_call", "eth_getLogs", "eth_blockNumber", "eth_getTransactionReceipt"].contains(&method);
        let (_, want, _) = KINDS.iter().find(|(name, ..)| *name == method).expect("one of ours");
        let want = if is_kept { serde_json::from_str(want).expect("JSON") } else { Value::Null };
        assert_eq!(*params, want, "{method}");
    }
    std::fs::remove_file(&file).expect("removed");
}

#[test]
fn a_full_file_ends_the_recording_and_no_call() {
    let file = scratch("record-full");
    let path = file.to_str().expect("text");
    let provider = provider();
    let lasso = Lasso::start_with(&no_limit(&[provider.address]), &["--record", path, "--record-mib", "1"]);
    (0..5).for_each(|_| talk(&lasso));
    let mut client = Client::new(lasso.address);
    assert_eq!(client.post("/rpc/one", &call(1, "eth_blockNumber", "[]")).status, 200);
    let said = end(lasso);
    let told = said.lines().filter(|line| line.contains("record.ended")).count();
    assert_eq!(told, 1, "{said}");
    let bytes = std::fs::metadata(&file).expect("the record").len();
    assert!((1_040_000..=1_049_000).contains(&bytes), "{bytes}");
    let text = std::fs::read_to_string(&file).expect("the record");
    assert!(
        text.lines().last().is_some_and(|line| line.contains("\"stopped\":\"the file has its 1 MiB\"")),
        "the last line says why"
    );
    // The flag is wrong, not the disk.
    std::fs::write(&file, "something else\n").expect("written");
    let refused = Lasso::try_start(&no_limit(&[provider.address]), &["--record", path]).map(|_| ()).expect_err("no record");
    assert!(refused.code == Some(1) && refused.output.contains("is no record"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "something else\n");
    std::fs::remove_file(&file).expect("removed");
}
