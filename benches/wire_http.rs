//! What reading a head costs: `cargo bench --bench wire_http`. Typical heads of wallets, browsers and providers.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lasso::wire::http::{ChunkStep, Chunked, scan_answer, scan_request};
use std::hint::black_box;
use std::time::Duration;

const SMALL: &[u8] = b"POST /rpc/ethereum HTTP/1.1\r\nHost: 127.0.0.1:4000\r\nContent-Type: application/json\r\n\
Content-Length: 104\r\n\r\n";

const CLIENT: &[u8] = b"POST /rpc/fastest/ethereum HTTP/1.1\r\nHost: rpc.example.org\r\nUser-Agent: viem/2.9.1\r\n\
Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\nContent-Type: application/json\r\nContent-Length: 104\r\n\
Connection: keep-alive\r\nOrigin: https://app.example.org\r\nX-Request-Id: 0123456789abcdef0123\r\n\r\n";

const BROWSER: &[u8] = b"POST /rpc/fastest/ethereum?include_meta=headers HTTP/1.1\r\nHost: rpc.example.org\r\n\
Connection: keep-alive\r\nContent-Length: 104\r\nsec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\"\r\n\
Accept: application/json, text/plain, */*\r\nContent-Type: application/json\r\nsec-ch-ua-mobile: ?0\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36\r\n\
sec-ch-ua-platform: \"Linux\"\r\nOrigin: https://app.example.org\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n\
Sec-Fetch-Dest: empty\r\nReferer: https://app.example.org/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-US,en;q=0.9\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n\r\n";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 09:00:00 GMT\r\nContent-Type: application/json\r\n\
Content-Length: 45\r\nConnection: keep-alive\r\nServer: nginx\r\nVary: Origin\r\nAccess-Control-Allow-Origin: *\r\n\
Cache-Control: no-store\r\nX-Request-Id: 0123456789abcdef\r\n\r\n";

fn heads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire_http");
    for (name, head) in [("request_3_fields", SMALL), ("request_8_fields", CLIENT), ("request_17_fields", BROWSER)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| scan_request(black_box(head), 0)));
    }
    group.throughput(Throughput::Bytes(ANSWER.len() as u64));
    group.bench_function("answer_8_fields", |bencher| bencher.iter(|| scan_answer(black_box(ANSWER), 0)));
    let chunk = [b"1000\r\n".as_slice(), &[b'x'; 4096], b"\r\n"].concat();
    let body = [chunk.repeat(16), b"0\r\n\r\n".to_vec()].concat();
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("chunked_64_kib", |bencher| bencher.iter(|| read_chunks(black_box(&body))));
    group.finish();
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

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = heads
}
criterion_main!(benches);
