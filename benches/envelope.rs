//! What reading an envelope costs, by size and shape. The data path does this twice a call, so it has a budget: a request
//! of 100 bytes (proven and scanned) about 200 ns, an answer of 120 bytes 60 ns, large results at memory speed.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lasso::wire::json::{skip_value, valid};
use lasso::wire::jsonrpc::{ParamsKind, ResultStream, scan_answer, scan_body, scan_prefix, write_call};
use std::hint::black_box;
use std::time::Duration;

const ADDRESS: &str = "0xdac17f958d2ee523a2206206994597c13d831ec7";

fn small_request() -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["{ADDRESS}","latest"]}}"#).into_bytes()
}

/// eth_call with calldata of about `size` bytes.
fn call_request(size: usize) -> Vec<u8> {
    let data = "0123456789abcdef".repeat(size / 16);
    let call = format!(r#"{{"to":"{ADDRESS}","data":"0x{data}"}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{call},"latest"]}}"#).into_bytes()
}

fn answer(result: &str) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#).into_bytes()
}

/// eth_getLogs of about `size` bytes.
fn logs(size: usize) -> Vec<u8> {
    let word = "0x000000000000000000000000dac17f958d2ee523a2206206994597c13d831ec7";
    let log = format!(
        r#"{{"address":"{ADDRESS}","topics":["{word}","{word}","{word}"],"data":"{word}","blockNumber":"0x12d4f1c","transactionHash":"{word}","transactionIndex":"0x1f","blockHash":"{word}","logIndex":"0xa3","removed":false}}"#
    );
    answer(&format!("[{}]", vec![log.as_str(); size.div_ceil(log.len())].join(",")))
}

fn hex(size: usize) -> Vec<u8> {
    answer(&format!("\"0x{}\"", "0123456789abcdef".repeat(size / 16)))
}

fn envelopes(c: &mut Criterion) {
    let mut group = c.benchmark_group("envelope");
    group.warm_up_time(Duration::from_millis(150)).measurement_time(Duration::from_millis(400)).sample_size(20);
    for (name, body) in [("100 B", small_request()), ("10 KB", call_request(10_000)), ("1 MB", call_request(1_000_000))] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("request {name}"), |b| b.iter(|| scan_body(black_box(&body))));
        group.bench_function(format!("prove only {name}"), |b| b.iter(|| valid(black_box(&body))));
    }
    let answers = [
        ("120 B", answer("\"0x000000000000000000000000000000000000000000000000000000000000002a\"")),
        ("10 KB logs", logs(10_000)),
        ("1 MB logs", logs(1_000_000)),
        ("1 MB hex", hex(1_000_000)),
    ];
    for (name, body) in &answers {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("answer {name}"), |b| b.iter(|| scan_answer(black_box(body))));
        group.bench_function(format!("prove only {name}"), |b| b.iter(|| valid(black_box(body))));
        group.bench_function(format!("skip only {name}"), |b| b.iter(|| skip_value(black_box(body), 0)));
    }
    for (name, body) in [("1 MB logs", logs(1_000_000)), ("1 MB hex", hex(1_000_000))] {
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("prefix {name}"), |b| b.iter(|| scan_prefix(black_box(&body))));
        let prefix = scan_prefix(&body);
        let start = body.windows(8).position(|w| w == b"\"result\"").map_or(0, |at| at + 9);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("stream {name} by 16 KiB"), |b| {
            b.iter(|| {
                let mut stream = ResultStream::new(&prefix, &body, b"1").expect("the id matches");
                for piece in black_box(&body[start..]).chunks(16 * 1024) {
                    stream.feed(piece).expect("a result");
                }
                stream.finish()
            })
        });
    }
    let mut out = Vec::with_capacity(1024);
    group.throughput(Throughput::Elements(1));
    group.bench_function("write call", |b| {
        b.iter(|| {
            out.clear();
            write_call(&mut out, b"1", black_box(b"eth_getBalance"), black_box(b"[\"0x1\",\"latest\"]"), ParamsKind::Array);
        })
    });
    group.finish();
}

criterion_group!(benches, envelopes);
criterion_main!(benches);
