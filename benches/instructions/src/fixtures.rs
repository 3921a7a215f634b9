//! What several parts work on: a chain of eight providers with evidence for each, a call, and answers of three sizes.

use lasso::base::ids::{ChainId, ProfileId};
use lasso::chain::method;
use lasso::config::topology::Strategy;
use lasso::config::{self, SourceFile};
use lasso::health::evidence::Standing;
use lasso::snapshot::{ChainPlan, Ranking, Snapshot};
use std::sync::Arc;

pub const PROVIDERS: u32 = 8;
pub const ADDRESS: &str = "0xdac17f958d2ee523a2206206994597c13d831ec7";
pub const WORD: &str = "0x000000000000000000000000dac17f958d2ee523a2206206994597c13d831ec7";
/// A call that goes upstream as it came.
pub const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0xdac17f958d2ee523a2206206994597c13d831ec7","latest"]}"#;

/// A snapshot of one chain with eight providers, four of each of two priorities.
pub fn snapshot() -> Snapshot {
    let mut text = String::from("---\nname: b\nslug: default\n---\nchains:\n  one:\n    chain_id: 1\n    providers:\n");
    for n in 0..PROVIDERS {
        let port = 9_000 + n;
        text.push_str(&format!("      - id: p{n}\n        url: \"http://127.0.0.1:{port}\"\n        priority: {}\n", n / 4));
    }
    let loaded = config::load(&[SourceFile { name: "default.yml".into(), text }], &|_| None);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems:?}"));
    Snapshot::new(loaded.topology, Strategy::Priority, "here", 1)
}

/// Its chain, as after some minutes of work: heads, and latencies of `eth_getBalance`.
pub fn plan(snapshot: &Snapshot) -> ChainPlan {
    let standing = |n: u32| Standing { latency_us: Some(1_000 + 370 * (n * 3 % 8)), qualified: true, ..Standing::unknown(None) };
    let mut plan = snapshot.plan(ProfileId(0), ChainId(0)).clone();
    plan.consensus = Some(20_000_000);
    let ranking = Ranking::new(&plan.fixed, (0..PROVIDERS).map(standing).collect(), 3.0);
    plan.rankings[method::lookup(b"eth_getBalance")] = Arc::new(ranking);
    plan
}

/// `eth_call` with about so many bytes of data.
pub fn long_call(bytes: usize) -> String {
    let data = "0123456789abcdef".repeat(bytes / 16);
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{{"to":"{ADDRESS}","data":"0x{data}"}},"latest"]}}"#)
}

pub fn answer(result: &str) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#).into_bytes()
}

pub fn log(nth: usize) -> String {
    let topic = format!("0x{nth:064x}");
    format!(
        r#"{{"address":"{ADDRESS}","topics":["{WORD}","{topic}","{WORD}"],"data":"{WORD}","blockNumber":"0x12d4f1c","transactionHash":"{WORD}","transactionIndex":"0x1f","blockHash":"{WORD}","logIndex":"0x{nth:x}","removed":false}}"#
    )
}

/// The result of `eth_getLogs`, of about so many bytes.
pub fn logs(bytes: usize) -> String {
    let count = bytes.div_ceil(log(0).len());
    format!("[{}]", (0..count).map(log).collect::<Vec<_>>().join(","))
}

/// What memchr and the standard library look at before they choose how to search.
pub fn features() -> String {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("sse4.2", std::is_x86_feature_detected!("sse4.2")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("bmi2", std::is_x86_feature_detected!("bmi2")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let known: [(&str, bool); 0] = [];
    let there: Vec<&str> = known.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    if there.is_empty() { "none".into() } else { there.join("+") }
}
