//! What routing costs a call: its path, and, when a provider says no, the meaning of that. Budgets: 60 ns for a plain
//! path, 150 ns for a usual error text.

use criterion::{Criterion, criterion_group, criterion_main};
use lasso::base::span::Span;
use lasso::base::time::{Instant, WallTime};
use lasso::chain::method;
use lasso::route::classify::{Classifier, Context};
use lasso::route::limit::admit;
use lasso::route::meta::{Attempted, Facts, write_header_value, write_meta};
use lasso::route::resolve::{Ask, Transport, Verb, resolve_ask};
use std::hint::black_box;

fn resolve(c: &mut Criterion) {
    let top = lasso::config::load(&lasso::config::embedded(), &|_| None).expect("the shipped profiles are right").topology;
    let mut check = |name: &str, path: &str, query: &str| {
        let (path, query) = (path.as_bytes(), query.as_bytes());
        let ask = Ask { verb: Verb::Post, path, query, provider: b"", transport: b"", include_meta: b"", region: Span::NONE };
        assert!(resolve_ask(&top, &ask).is_ok(), "{name}");
        c.bench_function(name, |b| b.iter(|| resolve_ask(black_box(&top), black_box(&ask)).is_ok()));
    };
    check("resolve/chain", "/rpc/ethereum", "");
    check("resolve/number", "/rpc/1", "");
    check("resolve/strategy", "/rpc/priority/ethereum", "");
    check("resolve/profile", "/rpc/profile/testnet/priority/ethereum_sepolia", "");
    check("resolve/query", "/rpc/ethereum", "include_meta=headers&transport=http");
    check("resolve/escaped", "/rpc/%65thereum", "");
}

fn classify(c: &mut Criterion) {
    let classifier = Classifier::new();
    let context = Context { status: 200, retry_after: b"", wall: WallTime(0), method: method::lookup(b"eth_call"), rules: &[] };
    let mut check = |name: &str, code: i64, message: &str| {
        c.bench_function(name, |b| b.iter(|| classifier.error(black_box(&context), code, black_box(message.as_bytes()), b"")));
    };
    check("classify/revert", 3, "execution reverted");
    check("classify/header_not_found", -32000, "header not found");
    check("classify/rate_limit", -32005, "daily request count exceeded, request rate limited");
    check("classify/archive", -32000, "missing trie node d5648cc9aef48154159d53800f2f0000 (path ) state 0x00 is not available");
    check("classify/unknown", -32000, "the quick brown fox jumps over the lazy dog, twice");
    let long = "the quick brown fox jumps over the lazy dog ".repeat(60);
    check("classify/unknown_2k", -32000, &long);
    let result = format!("{{\"number\":\"0x1\",\"logs\":\"{long}\"}}");
    c.bench_function("classify/result", |b| b.iter(|| classifier.result(black_box(result.as_bytes()))));
    c.bench_function("classify/build", |b| b.iter(Classifier::new));
}

fn others(c: &mut Criterion) {
    c.bench_function("limit/admit", |b| b.iter(|| admit(black_box(5), Instant(black_box(9)), 1, black_box(100), 500)));
    let attempted = Attempted {
        selected: "ethereum_publicnode",
        transport: Transport::Http,
        selection_ns: 1_234,
        upstream_ns: 12_345_678,
        total_ns: 12_400_000,
        retries: 0,
        circuit: "closed",
    };
    let request_id = "0123456789abcdef0123456789abcdef";
    let facts = Facts { request_id, strategy: None, chain: "ethereum", chain_number: 1, attempted: Some(attempted) };
    let (mut json, mut header) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    c.bench_function("meta/header_of_3", |b| {
        b.iter(|| {
            json.clear();
            header.clear();
            let candidates = ["ethereum_publicnode", "ethereum_1rpc", "ethereum_drpc"].into_iter();
            write_meta(&mut json, black_box(&facts), candidates.map(|id| (id, Transport::Http)));
            write_header_value(&mut header, &json)
        })
    });
}

fn short() -> Criterion {
    let second = std::time::Duration::from_millis(600);
    Criterion::default().warm_up_time(second / 3).measurement_time(second).sample_size(20)
}

criterion_group! { name = benches; config = short(); targets = resolve, classify, others }
criterion_main!(benches);
