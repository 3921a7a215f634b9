//! A call on its way to a provider and its answer on the way back: heads, envelopes, parameters, the choice, the bytes.

use crate::fixtures::{ADDRESS, CALL, WORD, answer, logs, long_call, plan, snapshot};
use crate::{Part, Run};
use lasso::base::rng::Rng;
use lasso::base::span::Span;
use lasso::base::time::{Instant, WallTime};
use lasso::chain::method::{self, Safety};
use lasso::chain::method_key::MethodKey;
use lasso::config::topology::Strategy;
use lasso::route::classify::{Classifier, Context};
use lasso::route::exchange::{End, Exchange};
use lasso::route::fit::Fit;
use lasso::route::limit::admit;
use lasso::route::meta::{Attempted, Facts, write_header_value, write_meta};
use lasso::route::resolve::{Ask, Route, Target, Transport, Verb, resolve, resolve_ask};
use lasso::route::select;
use lasso::shard::{Manner, begin_head, end_head};
use lasso::snapshot::{ChainPlan, Snapshot};
use lasso::wire::gzip::Gunzip;
use lasso::wire::http::{ChunkStep, Chunked, Scan, scan_answer as scan_answer_head, scan_request};
use lasso::wire::jsonrpc::{Body, ParamsKind, ResultStream, scan_answer, scan_body, scan_item, scan_prefix, splice, write_call};
use std::hint::black_box;
use std::io::Write as _;

pub const PARTS: &[Part] = &[
    Part("http.request_head", 1_000, request_head),
    Part("route.resolve", 1_000, resolved),
    Part("limit.admit", 1_000, admitted),
    Part("jsonrpc.request_100_b", 1_000, || request(CALL.into())),
    Part("jsonrpc.request_10_kib", 100, || request(long_call(10 << 10))),
    Part("jsonrpc.batch_of_10", 100, batch),
    Part("method.lookup", 1_000, lookup),
    Part("params.eth_call", 1_000, || fit("eth_call", &format!(r#"[{{"to":"{ADDRESS}","data":"{WORD}"}},"0x1312cff"]"#))),
    Part("params.eth_getLogs", 1_000, || {
        let range = r#""fromBlock":"0x1312c00","toBlock":"latest""#;
        fit("eth_getLogs", &format!(r#"[{{"address":"{ADDRESS}",{range},"topics":["{WORD}"]}}]"#))
    }),
    Part("select.priority", 1_000, || exchange(Strategy::Priority)),
    Part("select.load_balanced", 1_000, || exchange(Strategy::LoadBalanced)),
    Part("select.fastest", 1_000, || exchange(Strategy::Fastest)),
    Part("select.latency_weighted", 1_000, || exchange(Strategy::LatencyWeighted)),
    Part("select.three_failures", 1_000, three_failures),
    Part("jsonrpc.write_call", 1_000, written_call),
    Part("http.answer_head", 1_000, answer_head),
    Part("http.chunked_64_kib", 100, chunked),
    Part("gzip.answer_10_kib", 100, gunzip),
    Part("jsonrpc.answer_100_b", 1_000, || answered(answer(&format!("\"{WORD}\"")))),
    Part("jsonrpc.answer_10_kib", 100, || answered(answer(&logs(10 << 10)))),
    Part("jsonrpc.answer_1_mib", 4, || answered(answer(&logs(1 << 20)))),
    Part("jsonrpc.stream_1_mib", 4, || streamed(answer(&logs(1 << 20)))),
    Part("classify.result", 1_000, classified_result),
    Part("classify.rate_limit", 1_000, classified_error),
    Part("jsonrpc.splice_id", 1_000, spliced),
    Part("reply.head", 1_000, reply_head),
    Part("meta.header_of_8", 1_000, meta),
];

/// As a library of an application sends it.
const HEAD: &[u8] = b"POST /rpc/fastest/one HTTP/1.1\r\nHost: rpc.example.org\r\nUser-Agent: viem/2.9.1\r\n\
Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\nContent-Type: application/json\r\nContent-Length: 104\r\n\
Connection: keep-alive\r\nOrigin: https://app.example.org\r\nX-Request-Id: 0123456789abcdef0123\r\n\r\n";

const ANSWER_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 09:00:00 GMT\r\nContent-Type: application/json\r\n\
Content-Length: 45\r\nConnection: keep-alive\r\nServer: nginx\r\nVary: Origin\r\nAccess-Control-Allow-Origin: *\r\n\
Cache-Control: no-store\r\nX-Request-Id: 0123456789abcdef\r\n\r\n";

fn request_head() -> Run {
    assert!(matches!(scan_request(HEAD, 0), Scan::Done(_)));
    Box::new(|| {
        black_box(scan_request(black_box(HEAD), 0));
    })
}

fn resolved() -> Run {
    let snapshot = snapshot();
    let Scan::Done(head) = scan_request(HEAD, 0) else { panic!("it is a head") };
    assert!(matches!(resolve(&snapshot.topology, &head, HEAD), Ok(Target::Rpc(_))));
    Box::new(move || {
        black_box(resolve(&snapshot.topology, black_box(&head), HEAD).is_ok());
    })
}

fn admitted() -> Run {
    Box::new(|| {
        black_box(admit(black_box(5), Instant(black_box(9)), 1, black_box(100), 500));
    })
}

fn request(body: String) -> Run {
    assert!(matches!(scan_body(body.as_bytes()), Ok(Body::Single(_))));
    Box::new(move || {
        black_box(scan_body(black_box(body.as_bytes())).is_ok());
    })
}

fn batch() -> Run {
    let body = format!("[{}]", [CALL; 10].join(","));
    Box::new(move || {
        let body = black_box(body.as_bytes());
        let Ok(Body::Batch(items)) = scan_body(body) else { panic!("it is a batch") };
        items.iter().for_each(|item| assert!(scan_item(body, *item).is_ok()));
    })
}

fn lookup() -> Run {
    Box::new(|| {
        let name = black_box(b"eth_getBalance".as_slice());
        let id = method::lookup(name);
        black_box((method::gate(name), MethodKey::new(id, name).is_some(), method::terms(id, name)));
    })
}

/// What the parameters ask of a provider, and who would turn the call down.
fn fit(name: &'static str, params: &str) -> Run {
    let (plan, params) = (plan(&snapshot()), params.to_string());
    let id = method::lookup(name.as_bytes());
    assert!(Fit::of(&plan, id, name.as_bytes(), params.as_bytes()).height.is_some(), "it names a block");
    Box::new(move || {
        black_box(Fit::of(&plan, id, name.as_bytes(), black_box(params.as_bytes())));
    })
}

const METHOD: &[u8] = b"eth_getBalance";

/// What the path of a call over this strategy comes to.
fn route(snapshot: &Snapshot, strategy: Strategy) -> Route {
    let path = format!("/rpc/{}/one", strategy.word());
    let (path, query) = (path.as_bytes(), b"".as_slice());
    let ask = Ask { verb: Verb::Post, path, query, provider: b"", transport: b"", include_meta: b"", region: Span::NONE };
    match resolve_ask(&snapshot.topology, &ask) {
        Ok(Target::Rpc(route)) => route,
        _ => panic!("{} is a strategy of calls", strategy.word()),
    }
}

/// The channels of the chain, the calls' luck, and the route by a strategy.
fn choice(strategy: Strategy) -> (ChainPlan, Rng, Route) {
    let snapshot = snapshot();
    (plan(&snapshot), Rng::new(1), route(&snapshot, strategy))
}

/// A call that the first provider answers.
fn exchange(strategy: Strategy) -> Run {
    let (plan, mut rng, route) = choice(strategy);
    Box::new(move || {
        let ask = select::ask(&plan, black_box(&route), method::lookup(METHOD), METHOD);
        let mut exchange = Exchange::new(&plan, &ask, Safety::Repeatable, 1_000, Instant(1));
        black_box(exchange.next(&plan, &mut rng, Instant(1)));
        exchange.on_end(&plan, End::Answered);
        black_box(exchange.next(&plan, &mut rng, Instant(2)));
    })
}

/// A call that three providers fail before a fourth answers it.
fn three_failures() -> Run {
    let (plan, mut rng, route) = choice(Strategy::Fastest);
    Box::new(move || {
        let ask = select::ask(&plan, black_box(&route), method::lookup(METHOD), METHOD);
        let mut exchange = Exchange::new(&plan, &ask, Safety::Repeatable, 1_000, Instant(1));
        for at in 1..=3 {
            black_box(exchange.next(&plan, &mut rng, Instant(at)));
            exchange.on_end(&plan, End::Lost { wrote: true, stale: false });
        }
        black_box(exchange.next(&plan, &mut rng, Instant(4)));
        exchange.on_end(&plan, End::Answered);
        black_box(exchange.next(&plan, &mut rng, Instant(5)));
    })
}

fn written_call() -> Run {
    let mut out = Vec::with_capacity(1_024);
    let params = format!("[\"{ADDRESS}\",\"latest\"]");
    Box::new(move || {
        out.clear();
        write_call(&mut out, b"1234567", METHOD, black_box(params.as_bytes()), ParamsKind::Array);
        black_box(&out);
    })
}

fn answer_head() -> Run {
    assert!(matches!(scan_answer_head(ANSWER_HEAD, 0), Scan::Done(_)));
    Box::new(|| {
        black_box(scan_answer_head(black_box(ANSWER_HEAD), 0));
    })
}

fn chunked() -> Run {
    let chunk = [b"1000\r\n".as_slice(), &[b'x'; 4096], b"\r\n"].concat();
    let body = [chunk.repeat(16), b"0\r\n\r\n".to_vec()].concat();
    Box::new(move || assert_eq!(read_chunks(black_box(&body)), 64 << 10))
}

fn read_chunks(body: &[u8]) -> usize {
    let mut decoder = Chunked::new(u64::MAX);
    let (mut at, mut payload) = (0, 0);
    loop {
        match decoder.step(body, at) {
            ChunkStep::Data(span) => {
                payload += span.len();
                at = span.end as usize;
            }
            ChunkStep::Skip(position) => at = position,
            _ => return payload,
        }
    }
}

fn gunzip() -> Run {
    let plain = answer(&logs(10 << 10));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let packed = packed.write_all(&plain).and_then(|()| packed.finish()).unwrap_or_else(|fault| panic!("{fault}"));
    let (mut machine, mut out) = (Gunzip::new(), Vec::with_capacity(64 << 10));
    Box::new(move || {
        machine.reset();
        out.clear();
        black_box(machine.feed(black_box(&packed), &mut out, 64 << 10).is_ok());
        assert_eq!(out.len(), plain.len());
    })
}

fn answered(body: Vec<u8>) -> Run {
    assert!(scan_answer(&body).is_ok());
    Box::new(move || {
        black_box(scan_answer(black_box(&body)).is_ok());
    })
}

/// A long answer passed on as it comes, 16 KiB at a time.
fn streamed(body: Vec<u8>) -> Run {
    let prefix = scan_prefix(&body);
    let start = body.windows(8).position(|w| w == b"\"result\"").map_or(0, |at| at + 9);
    Box::new(move || {
        let mut stream = ResultStream::new(&prefix, &body, b"1").unwrap_or_else(|_| panic!("the id matches"));
        for piece in black_box(&body[start..]).chunks(16 << 10) {
            assert!(stream.feed(piece).is_ok());
        }
        assert!(stream.finish().is_ok());
    })
}

fn context() -> Context<'static> {
    Context { status: 200, retry_after: b"", wall: WallTime(0), method: method::lookup(METHOD), rules: &[] }
}

fn classified_result() -> Run {
    let (classifier, result) = (Classifier::new(), format!("\"{WORD}\""));
    Box::new(move || {
        black_box(classifier.result(black_box(result.as_bytes())).is_some());
    })
}

fn classified_error() -> Run {
    let classifier = Classifier::new();
    let message = b"daily request count exceeded, request rate limited";
    Box::new(move || {
        black_box(classifier.error(black_box(&context()), -32005, black_box(message), b""));
    })
}

fn spliced() -> Run {
    let body = answer(&format!("\"{WORD}\""));
    let mut out = Vec::with_capacity(1_024);
    Box::new(move || {
        out.clear();
        let answer = scan_answer(black_box(&body)).unwrap_or_else(|_| panic!("it is an answer"));
        splice(&mut out, &body, &answer, b"\"0a1b2c3d-client\"");
        black_box(&out);
    })
}

fn reply_head() -> Run {
    let request_id = b"0123456789abcdef0123456789abcdef".iter().copied().collect();
    let manner = Manner { keep_alive: true, is_http_10: false, request_id, in_headers: false, meta_header: Vec::new() };
    let fields = b"content-type: application/json\r\naccess-control-allow-origin: *\r\nx-lasso-region: here\r\n";
    let mut out = Vec::with_capacity(1_024);
    Box::new(move || {
        out.clear();
        begin_head(&mut out, 200, black_box(fields), &manner);
        end_head(&mut out, Some(107));
        black_box(&out);
    })
}

fn meta() -> Run {
    let (mut json, mut header) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    Box::new(move || {
        let attempted = Attempted {
            selected: "p3",
            transport: Transport::Http,
            selection_ns: 1_234,
            upstream_ns: 12_345_678,
            total_ns: 12_400_000,
            retries: 0,
            circuit: "closed",
        };
        let request_id = "0123456789abcdef0123456789abcdef";
        let facts = Facts { request_id, strategy: None, chain: "one", chain_number: 1, attempted: Some(attempted) };
        json.clear();
        header.clear();
        let candidates = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"].into_iter();
        write_meta(&mut json, black_box(&facts), candidates.map(|id| (id, Transport::Http)));
        black_box(write_header_value(&mut header, &json));
    })
}
