//! Snapshots: what a node learnt outlives it, guides the next one until it knows better, and never stands in its way.

use crate::api::{eventually, of_provider};
use crate::harness::{Lasso, no_limit};
use crate::http::{READ, post};
use crate::provider::{Provider, answer, ok, write};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Slow with calls, quick with the node's own questions: what probes cannot tell.
fn slow() -> Provider {
    Provider::new(|got, stream| {
        std::thread::sleep(Duration::from_millis(80));
        write(stream, &answer(&ok(&got.id, "\"0x7\"")))
    })
}

fn state(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

fn end(mut lasso: Lasso) -> String {
    lasso.signal("TERM");
    assert_eq!(lasso.ended(Duration::from_secs(10)).and_then(|status| status.code()), Some(0));
    lasso.said().join("\n")
}

/// The snapshot files, and their content.
fn files(directory: &Path) -> Vec<(PathBuf, Value)> {
    let paths = std::fs::read_dir(directory).expect("the directory").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = paths
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("its text");
            (path, serde_json::from_str(&text).unwrap_or_default())
        })
        .collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

fn chosen(at: SocketAddr) -> Value {
    eventually(at, "/api/explain/default/one/eth_getBalance?strategy=fastest", |_| true)
}

#[test]
fn a_start_orders_by_what_was_known_before() {
    let (slow, quick) = (slow(), Provider::good("\"0x7\""));
    let (profile, state) = (no_limit(&[slow.address, quick.address]), state("snapshots"));
    let flags = ["--state-dir", state.to_str().expect("its path")];
    let first = Lasso::start_with(&profile, &flags);
    for _ in 0..16 {
        assert_eq!(post(first.address, "/rpc/load-balanced/one", READ).json()["result"], "0x7");
    }
    let said = end(first);
    assert!(said.contains(r#""event":"snapshot.written","files":1"#), "{said}");
    let snapshots = state.join("snapshots");
    let kept = files(&snapshots);
    let [(path, json)] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!((&json["profile"], &json["chain_name"], &json["version"]), (&"default".into(), &"one".into(), &1.into()));
    assert_eq!(path, &snapshots.join(format!("default_one_{}.json", json["timestamp"])));
    let rows = json["data"]["snapshot_data"].as_array().expect("rows");
    assert_eq!(rows.iter().filter_map(|row| row["rpc_calls"].as_u64()).sum::<u64>(), 16, "{json:#}");
    assert!(rows.iter().all(|row| row["rpc_method"] == "eth_getBalance" && row["rpc_success_rate"] == 1.0), "{json:#}");

    // A newer one that is broken is told of and passed over.
    let broken = snapshots.join(format!("default_one_{}.json", json["timestamp"].as_u64().expect("a time") + 1));
    std::fs::write(&broken, "{\"profile\":").expect("written");
    [&slow, &quick].into_iter().for_each(Provider::forget);
    let second = Lasso::start_with(&profile, &flags);
    let explained = chosen(second.address);
    assert_eq!(explained["chosen"], "b", "{explained:#}");
    assert!(of_provider(&explained, "a")["evidence"]["kept_latency_ms"].as_f64() >= Some(80.0), "{explained:#}");
    let evidence = &of_provider(&explained, "b")["evidence"];
    assert!(evidence["is_qualified"] == false && evidence["successes"] == 0 && evidence["latency_ms"].is_null(), "a guess");
    assert_eq!([&slow, &quick].map(|p| p.count("eth_getBalance")), [0, 0], "before any call");
    let told = &second.told_at_start;
    assert!(told.contains("snapshot.skipped") && told.contains(broken.to_str().expect("its path")), "{told}");
    assert!(told.contains(r#""event":"snapshot.loaded","chains":1,"rows":2"#), "{told}");
    // Calls take over from the guess.
    for _ in 0..8 {
        post(second.address, "/rpc/fastest/one", READ);
    }
    let path = "/api/explain/default/one/eth_getBalance?strategy=fastest";
    eventually(second.address, path, |e| {
        let evidence = &of_provider(e, "b")["evidence"];
        evidence["is_qualified"] == true && evidence["kept_latency_ms"].is_null()
    });
    drop(end(second));

    // Without the files the order is that of probes and priority again.
    std::fs::remove_dir_all(&snapshots).expect("removed");
    let third = Lasso::start_with(&profile, &flags);
    assert!(of_provider(&chosen(third.address), "a")["evidence"]["kept_latency_ms"].is_null());
    assert!(!third.told_at_start.contains("snapshot."), "{}", third.told_at_start);
    drop(third);
    let _ = std::fs::remove_dir_all(&state);
}

#[test]
fn a_directory_that_cannot_be_written_is_a_warning() {
    let good = Provider::good("\"0x7\"");
    let state = state("no-snapshots");
    std::fs::write(&state, "a file stands here").expect("written");
    let variables = [("LASSO_SNAPSHOTS_DIR", state.to_str().expect("its path"))];
    let lasso = Lasso::start_in(&no_limit(&[good.address]), &[], &variables);
    assert_eq!(post(lasso.address, "/rpc/one", READ).status, 200);
    let said = end(lasso);
    // One when the episode begins, one for the last hour, which is lost.
    assert!((1..=2).contains(&said.matches("snapshot.failed").count()), "{said}");
    let _ = std::fs::remove_file(&state);
}
