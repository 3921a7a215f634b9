//! What it costs to see what a call asks of history. Budget: 100 ns for a usual `eth_call`, next to nothing for a method
//! that names no block.

use criterion::{Criterion, criterion_group, criterion_main};
use lasso::chain::method;
use lasso::chain::params::{age_of_last_param, needs};
use std::hint::black_box;
use std::time::Duration;

const TOKEN: &str = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48";

fn params(c: &mut Criterion) {
    let balance_of = format!("0x70a08231{:0>64}", "00000000219ab540356cbb839cbe05303d7705fa");
    let call = format!(r#"[{{"to":"{TOKEN}","data":"{balance_of}"}},"0x14c8f21"]"#);
    let by_object = format!(r#"[{{"to":"{TOKEN}","data":"{balance_of}"}},{{"blockNumber":"0x14c8f21"}}]"#);
    let long_call = format!(r#"[{{"to":"{TOKEN}","data":"0x{}"}},"latest"]"#, "00".repeat(4096));
    let topic = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
    let logs = |addresses: usize| {
        let addresses = vec![format!("\"{TOKEN}\""); addresses].join(",");
        format!(r#"[{{"address":[{addresses}],"fromBlock":"0x14c8f21","toBlock":"latest","topics":["{topic}"]}}]"#)
    };
    let mut check = |name: &str, method_name: &str, params: &str| {
        let method = method::lookup(method_name.as_bytes());
        c.bench_function(&format!("needs/{name}"), |b| b.iter(|| needs(black_box(method), black_box(params.as_bytes()))));
    };
    check("eth_call", "eth_call", &call);
    check("eth_call, EIP-1898", "eth_call", &by_object);
    check("eth_call of 8 KiB", "eth_call", &long_call);
    check("eth_getBalance", "eth_getBalance", &format!(r#"["{TOKEN}","latest"]"#));
    check("eth_getBlockByNumber", "eth_getBlockByNumber", r#"["0x14c8f21",false]"#);
    check("eth_getLogs", "eth_getLogs", &logs(1));
    check("eth_getLogs of 100", "eth_getLogs", &logs(100));
    check("not in the table", "eth_getTransactionReceipt", &format!("[\"{topic}\"]"));
    c.bench_function("age_of_last_param", |b| b.iter(|| age_of_last_param(black_box(call.as_bytes()), Some(1 << 25))));
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(200));
    targets = params
}
criterion_main!(benches);
