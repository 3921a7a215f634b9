//! The page of `lasso bench --html` in a real browser: tests/clients/report.mjs opens it on three screens, dark and light, and
//! as paper. Screenshots and PDFs are in target/report, to be looked at.
//!
//! The findings are made here and read as a file would be, so that names are the worst that somebody could give.

use crate::page::browser;
use lasso::bench::report::{html, json};
use serde_json::{Value, json};
use std::path::Path;

const METHODS: [&str; 4] = ["eth_blockNumber", "eth_getBalance", "eth_getTransactionReceipt", "eth_getLogs"];

fn estimate(value: f64) -> Value {
    json!({ "value": value, "low": value * 0.94, "high": value * 1.07 })
}

fn provider(index: usize) -> Value {
    let odd = "<b>\"bold\" & brash</b> provider with a name that goes on and on";
    let name = if index == 3 { odd.to_owned() } else { format!("provider-{index}") };
    let dead = json!({ "state": "dead", "reason": "connection refused" });
    let state = if index == 4 { dead } else { json!({ "state": "measured" }) };
    json!({
        "name": name, "host": format!("rpc-{index}.example.org"), "has_http": true, "has_ws": false, "state": state,
        "client_version": "Geth/v1.16.4-stable-41714b49/linux-amd64/go1.25.1",
        "freshness": { "blocks": 30, "first": 30 - 9 * index.min(3), "behind_ms": estimate(20.0 + 300.0 * index as f64),
            "is_pushed": index.is_multiple_of(2), "asked_every_ms": 250 },
        "depth": { "kind": "blocks", "blocks": 128 }, "log_range": { "answered_blocks": 2_000, "refused_blocks": 5_000 },
        "rate_limit": { "served_per_second": 40.0, "refused_per_second": 50.0 },
        "missing_methods": ["debug_traceCall", "trace_block"], "price_per_million": 1.9,
    })
}

fn cell(provider: usize, method: usize) -> Value {
    let median = 9.0 * (1.0 + provider as f64 * 0.6) * (1.0 + method as f64);
    let curve: Vec<(f64, u64)> = (0..40).map(|step| (median * 0.6 * 1.06_f64.powi(step), 15 * (step as u64 + 1))).collect();
    json!({
        "provider": provider, "transport": "http", "method": METHODS[method], "calls": 612, "successes": 600,
        "success": { "value": 0.98, "low": 0.966, "high": 0.989 }, "errors": { "rate_limit": 9, "timeout": 3 },
        "p50_ms": estimate(median), "p90_ms": estimate(median * 1.6), "p95_ms": estimate(median * 2.0),
        "p99_ms": estimate(median * 3.1), "p999_ms": null, "cold_ms": estimate(median * 3.0), "distribution": curve,
    })
}

fn findings(providers: usize) -> String {
    let measured: Vec<usize> = (0..providers).filter(|index| *index != 4).collect();
    let all = measured.iter().flat_map(|provider| (0..METHODS.len()).map(move |method| cell(*provider, method)));
    let groups: Vec<Vec<usize>> = measured.chunks(2).map(<[usize]>::to_vec).collect();
    let behind = measured.iter().skip(1).map(|provider| json!([provider, estimate(5.0 * *provider as f64)]));
    let behind: Vec<Value> = behind.collect();
    let comparison = |method: &str| json!({ "transport": "http", "method": method, "groups": groups, "behind_best_ms": behind });
    json!({
        "schema": 1,
        "run": { "lasso": "0.1.0", "began_at_s": 1_796_056_380_u64, "chain_number": 1, "mix": "wallet", "calls_per_second": 10.0,
            "planned_seconds": 60.0, "measured_seconds": 60.0, "planned_calls": 2_600, "sent_calls": 2_448,
            "is_interrupted": providers == 3, "seed": 7 },
        "providers": (0..providers).map(provider).collect::<Vec<_>>(),
        "cells": all.collect::<Vec<_>>(),
        "comparisons": METHODS.map(comparison),
        "disagreements": [{ "method": "eth_getBalance", "params": "[\"0xd8da6bf26964af9d7eed9e03e53415d37aa96045\"]",
            "block_number": 23_910_442, "camps": [{ "providers": [0, 1], "answer": "\"0x1bc16d674ec80000\"" },
                { "providers": [2], "answer": "\"0x0\"" }] }],
    })
    .to_string()
}

#[test]
fn the_report_asks_for_nothing_fits_and_prints() {
    let Some(tools) = browser() else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("report");
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    for providers in [3, 12] {
        let found = json::read(&findings(providers)).expect("findings");
        let file = folder.join(format!("report-{providers}.html"));
        std::fs::write(&file, html::write(&found)).expect("the page written");
        let said = tools.client("report.mjs", &file.display().to_string(), &[&folder.display().to_string()]).finish("report.mjs");
        println!("{}", said.join("\n"));
        assert!(said.last().is_some_and(|line| line.ends_with(": right")), "{said:#?}");
    }
}
