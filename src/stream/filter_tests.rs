//! Filters against a rule stated independently: what matches, and that a bloom never excludes a log that does.

use super::*;
use crate::stream::event::BlockHash;
use proptest::prelude::*;
use serde_json::json;

fn hex(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    write_bytes(&mut out, bytes);
    String::from_utf8(out).unwrap()
}

fn address(n: u8) -> Address {
    [n; 20]
}

fn topic(n: u8) -> Topic {
    [n; 32]
}

fn log(number: u64, at: u8, topics: &[u8]) -> Log {
    let topics: Vec<String> = topics.iter().map(|n| hex(&topic(*n))).collect();
    let text = json!({"address": hex(&address(at)), "topics": topics, "blockHash": hex(&BlockHash([1; 32]).0),
        "blockNumber": format!("{number:#x}"), "logIndex": "0x0"});
    Log::parse(text.to_string().as_bytes()).expect("a log")
}

fn bloom_of(logs: &[Log]) -> Bloom {
    let mut bloom = [0; 256];
    for log in logs {
        bloom_add(&mut bloom, &log.address);
        log.topics.iter().for_each(|topic| bloom_add(&mut bloom, topic));
    }
    bloom
}

#[test]
fn the_bloom_is_the_yellow_papers() {
    // Keccak("") begins c5d2 4601 86f7; modulo 2048 that is 0x5d2, 0x601, 0x6f7.
    assert_eq!(bits_of(b""), [0x5d2, 0x601, 0x6f7].map(|bit| (255 - bit / 8, 1 << (bit % 8))));
}

#[test]
fn logs_match_by_range_address_and_topics() {
    let check = |filter: Value, log: &Log, want: bool| {
        let canonical = LogFilter::parse(&filter).expect("a filter");
        assert_eq!(canonical.matches(log), want, "{filter}");
    };
    let one = log(10, 1, &[2, 3]);
    check(json!({}), &one, true);
    check(json!({"address": hex(&address(1))}), &one, true);
    check(json!({"address": [hex(&address(2)), hex(&address(1))]}), &one, true);
    check(json!({"address": [hex(&address(2))]}), &one, false);
    check(json!({"topics": [hex(&topic(2))]}), &one, true);
    check(json!({"topics": [hex(&topic(3))]}), &one, false);
    check(json!({"topics": [null, [hex(&topic(3)), hex(&topic(2))]]}), &one, true);
    check(json!({"topics": [null, null, hex(&topic(3))]}), &one, false);
    check(json!({"fromBlock": "0xa", "toBlock": "0xa"}), &one, true);
    check(json!({"fromBlock": "0xb"}), &one, false);
    check(json!({"toBlock": "0x9"}), &one, false);
}

#[test]
fn blooms_exclude() {
    let check = |filter: Value, number: u64, bloom: Option<&Bloom>, want: bool| {
        let test = BloomTest::new(&LogFilter::parse(&filter).expect("a filter"));
        assert_eq!(test.excludes(number, bloom), want, "{filter}");
    };
    let bloom = bloom_of(&[log(10, 1, &[2, 3])]);
    check(json!({}), 10, Some(&bloom), false);
    check(json!({}), 10, Some(&[0; 256]), true);
    check(json!({"address": hex(&address(1)), "topics": [hex(&topic(2))]}), 10, Some(&bloom), false);
    check(json!({"address": hex(&address(1)), "topics": [hex(&topic(9))]}), 10, Some(&bloom), true);
    check(json!({"address": [hex(&address(9)), hex(&address(8))]}), 10, Some(&bloom), true);
    check(json!({"address": [hex(&address(9)), hex(&address(1))]}), 10, Some(&bloom), false);
    check(json!({"address": hex(&address(9))}), 10, None, false);
    check(json!({"fromBlock": "0xb"}), 10, Some(&bloom), true);
    check(json!({"toBlock": "0xa"}), 10, Some(&bloom), false);
}

fn any_filter() -> impl Strategy<Value = Value> {
    let topics = prop::collection::vec(prop::collection::vec(0u8..4, 0..3), 0..4);
    (prop::collection::vec(0u8..4, 0..3), topics).prop_map(|(addresses, topics)| {
        let addresses: Vec<String> = addresses.iter().map(|n| hex(&address(*n))).collect();
        let topics: Vec<Vec<String>> = topics.iter().map(|c| c.iter().map(|n| hex(&topic(*n))).collect()).collect();
        json!({"address": addresses, "topics": topics})
    })
}

/// The rule as the JSON-RPC specification words it, over the text.
fn matches_text(filter: &Value, log: &Log) -> bool {
    let among = |list: &Value, item: String| list.as_array().is_some_and(|l| l.is_empty() || l.contains(&Value::from(item)));
    let places = filter["topics"].as_array().unwrap();
    among(&filter["address"], hex(&log.address))
        && places.iter().enumerate().all(|(place, choices)| match log.topics.get(place) {
            Some(topic) => among(choices, hex(topic)),
            None => choices.as_array().is_some_and(Vec::is_empty),
        })
}

proptest! {
    #[test]
    fn what_matches_is_in_the_bloom(filter in any_filter(), logs in prop::collection::vec((0u8..4, prop::collection::vec(0u8..4, 0..4)), 0..4)) {
        let logs: Vec<Log> = logs.iter().map(|(at, topics)| log(7, *at, topics)).collect();
        let canonical = LogFilter::parse(&filter).unwrap();
        for log in &logs {
            prop_assert_eq!(canonical.matches(log), matches_text(&filter, log));
        }
        if BloomTest::new(&canonical).excludes(7, Some(&bloom_of(&logs))) {
            prop_assert!(!logs.iter().any(|log| canonical.matches(log)));
        }
        let mut text = Vec::new();
        canonical.write(&mut text);
        let again = LogFilter::parse(&serde_json::from_slice(&text).unwrap());
        prop_assert_eq!(again, Ok(canonical));
    }
}

#[test]
fn a_first_block_that_has_been_makes_no_other_filter() {
    let of = |from: &str| {
        let mut filter = LogFilter::parse(&serde_json::json!({ "fromBlock": from })).expect("a sound filter");
        filter.forget_past(0x10);
        filter
    };
    for past in ["0x1", "0xf", "0x10", "latest", "earliest"] {
        assert_eq!(of(past), LogFilter::default(), "{past}");
    }
    assert_ne!(of("0x11"), LogFilter::default(), "it bounds new blocks");
}
