//! WebSockets both ways, and subscriptions: a head as a provider announces it, logs against filters, the frames to clients.

use crate::fixtures::{ADDRESS, CALL, WORD, answer, log, logs};
use crate::{Part, Run};
use lasso::shard::{SubscriptionId, event_len, write_event};
use lasso::stream::event::{Head, Log};
use lasso::stream::filter::{BloomTest, LogFilter};
use lasso::wire::jsonrpc::{Inbound, sort_inbound};
use lasso::wire::websocket::{Event, Opcode, Protocol, write_frame_head, write_masked_frame};
use std::hint::black_box;

pub const PARTS: &[Part] = &[
    Part("websocket.read_request", 1_000, read_request),
    Part("websocket.read_answer_10_kib", 100, read_answer),
    Part("websocket.write_masked", 1_000, written_masked),
    Part("link.sort_answer", 1_000, || sorted(answer(&format!("\"{WORD}\"")))),
    Part("link.sort_event", 1_000, || sorted(head_message())),
    Part("stream.parse_head", 100, parsed_head),
    Part("stream.parse_200_logs", 10, parsed_logs),
    Part("stream.match_200_logs_100_filters", 10, matched),
    Part("stream.bloom_100_filters", 100, bloomed),
    Part("stream.write_100_events", 100, written_events),
];

/// A frame as a client sends it.
fn masked(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_masked_frame(&mut frame, Opcode::Text, [1, 2, 3, 4], &[payload]);
    frame
}

fn read_request() -> Run {
    let (mut server, frame) = (Protocol::server(1 << 20), masked(CALL.as_bytes()));
    Box::new(move || {
        server.feed(black_box(&frame));
        assert!(matches!(server.event(), Some(Event::Message(text)) if text.len() == CALL.len()));
        assert!(server.event().is_none());
    })
}

fn read_answer() -> Run {
    let (mut client, mut frame, payload) = (Protocol::client(1 << 20), Vec::new(), answer(&logs(10 << 10)));
    write_frame_head(&mut frame, Opcode::Text, payload.len());
    frame.extend_from_slice(&payload);
    Box::new(move || {
        client.feed(black_box(&frame));
        assert!(matches!(client.event(), Some(Event::Message(text)) if text.len() == payload.len()));
        assert!(client.event().is_none());
    })
}

fn written_masked() -> Run {
    let mut out = Vec::with_capacity(1_024);
    let (before, after) = CALL.split_at(24);
    Box::new(move || {
        out.clear();
        let parts = [before.as_bytes(), b"1234567", after.as_bytes()];
        write_masked_frame(&mut out, Opcode::Text, black_box([1, 2, 3, 4]), &parts);
        black_box(&out);
    })
}

/// A header as geth announces it.
fn head() -> String {
    let bloom = format!("0x{}", "00010000400000000000080000000000".repeat(16));
    format!(
        r#"{{"parentHash":"{WORD}","sha3Uncles":"{WORD}","miner":"{ADDRESS}","stateRoot":"{WORD}","transactionsRoot":"{WORD}","receiptsRoot":"{WORD}","logsBloom":"{bloom}","difficulty":"0x0","number":"0x12d4f1c","gasLimit":"0x1c9c380","gasUsed":"0xe4e1c0","timestamp":"0x65f1b2c3","extraData":"0x6265617665726275696c642e6f7267","mixHash":"{WORD}","nonce":"0x0000000000000000","baseFeePerGas":"0x5d21dba00","withdrawalsRoot":"{WORD}","blobGasUsed":"0x0","excessBlobGas":"0x0","parentBeaconBlockRoot":"{WORD}","hash":"{WORD}"}}"#
    )
}

fn head_message() -> Vec<u8> {
    let params = format!(r#"{{"subscription":"0x9cef478923ff08bf67fde6c64013158d","result":{}}}"#, head());
    format!(r#"{{"jsonrpc":"2.0","method":"eth_subscription","params":{params}}}"#).into_bytes()
}

fn sorted(message: Vec<u8>) -> Run {
    assert!(!matches!(sort_inbound(&message), Inbound::Unknown));
    Box::new(move || {
        black_box(sort_inbound(black_box(&message)));
    })
}

fn parsed_head() -> Run {
    let head = head();
    assert!(Head::announced(head.as_bytes()).is_some_and(|head| head.bloom.is_some()));
    Box::new(move || {
        black_box(Head::announced(black_box(head.as_bytes())).is_some());
    })
}

fn all_logs() -> Vec<Log> {
    let text = format!("[{}]", (0..200).map(log).collect::<Vec<_>>().join(","));
    Log::parse_all(text.as_bytes()).unwrap_or_else(|| panic!("they are logs"))
}

fn parsed_logs() -> Run {
    let text = format!("[{}]", (0..200).map(log).collect::<Vec<_>>().join(","));
    Box::new(move || {
        assert_eq!(Log::parse_all(black_box(text.as_bytes())).map_or(0, |logs| logs.len()), 200);
    })
}

/// A hundred filters by address and a second topic, of which each log matches one or none.
fn filters() -> Vec<LogFilter> {
    let filter = |nth: usize| {
        let topic = format!("0x{nth:064x}");
        let filter = serde_json::json!({ "address": ADDRESS, "topics": [[WORD], [topic, WORD]] });
        LogFilter::parse(&filter).unwrap_or_else(|why| panic!("{why}"))
    };
    (0..100).map(filter).collect()
}

fn matched() -> Run {
    let (logs, filters) = (all_logs(), filters());
    Box::new(move || {
        let matching = |log: &Log| black_box(&filters).iter().filter(|filter| filter.matches(log)).count();
        assert_eq!(logs.iter().map(matching).sum::<usize>(), 100);
    })
}

fn bloomed() -> Run {
    let tests: Vec<BloomTest> = filters().iter().map(BloomTest::new).collect();
    let bloom = Head::announced(head().as_bytes()).and_then(|head| head.bloom);
    Box::new(move || {
        let bloom = black_box(bloom.as_deref());
        black_box(tests.iter().filter(|test| test.excludes(19_746_588, bloom)).count());
    })
}

/// One head to a hundred clients.
fn written_events() -> Run {
    let (payload, mut out) = (head(), Vec::with_capacity(8 << 10));
    Box::new(move || {
        for nth in 0..100u8 {
            out.clear();
            write_frame_head(&mut out, Opcode::Text, event_len(payload.as_bytes()));
            write_event(&mut out, SubscriptionId([nth; 16]), black_box(payload.as_bytes()));
            black_box(&out);
        }
    })
}
