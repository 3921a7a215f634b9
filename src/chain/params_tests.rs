//! What calls ask: by table, over all methods, and on made-up params against a second, naive reading.

use super::*;
use crate::wire::json::arbitrary::{damaged, space, value};
use proptest::prelude::*;
use proptest::sample::select;

const ADDRESS: &str = "\"0x00000000000000000000000000000000000000aa\"";
const HASH: &str = "\"0x00000000000000000000000000000000000000000000000000000000000000ff\"";

fn needs_of(method: &str, params: &str) -> Needs {
    needs(method::lookup(method.as_bytes()), params.as_bytes())
}

/// What `HASH` names.
const HASHED: BlockAsk = {
    let mut hash = [0; 32];
    hash[31] = 0xff;
    BlockAsk::Hash(hash)
};

fn block(ask: BlockAsk) -> Needs {
    Needs { block: ask, ..Needs::NONE }
}

fn state(ask: BlockAsk) -> Needs {
    Needs { is_state: true, ..block(ask) }
}

fn range(from: Edge, to: Edge) -> Needs {
    Needs { range: Some(LogRange { from, to }), ..Needs::NONE }
}

/// Some of the methods that name a block, and how many parameters stand before it.
const PLACES: [(&str, usize); 14] = [
    ("eth_getBlockByNumber", 0),
    ("eth_getBlockByHash", 0),
    ("eth_getBlockReceipts", 0),
    ("eth_getUncleByBlockNumberAndIndex", 0),
    ("trace_block", 0),
    ("debug_traceBlockByNumber", 0),
    ("zks_getBlockDetails", 0),
    ("eth_call", 1),
    ("eth_getBalance", 1),
    ("eth_feeHistory", 1),
    ("eth_simulateV1", 1),
    ("eth_getStorageAt", 2),
    ("eth_getProof", 2),
    ("trace_call", 2),
];

#[test]
fn every_method_reads_its_own_place_and_no_other() {
    let listed = |name: &str| PLACES.iter().find(|(listed, _)| *listed == name).map(|(_, place)| *place);
    for (id, info) in method::all() {
        let (place, is_state) = match info.locator {
            Locator::Block(place) => (Some(usize::from(place)), false),
            Locator::State(place) => (Some(usize::from(place)), true),
            _ => (None, false),
        };
        assert!(listed(info.name).is_none() || listed(info.name) == place, "{}", info.name);
        for number in 0..5 {
            let items: Vec<String> = (0..5).map(|n| format!("\"0x{}\"", if n == number { 7 } else { 1 })).collect();
            let seven = |is_own: bool| BlockAsk::Number(if is_own { 7 } else { 1 });
            let want = match info.locator {
                Locator::Blocks => block(seven(number < 2)),
                Locator::StateLogs => Needs { is_state: true, ..Needs::NONE },
                _ => place.map_or(Needs::NONE, |place| Needs { is_state, ..block(seven(place == number)) }),
            };
            assert_eq!(needs(id, format!("[{}]", items.join(",")).as_bytes()), want, "{} {number}", info.name);
        }
        let filter = br#"[{"fromBlock":"0x1","toBlock":"0x2"}]"#;
        let ranged = matches!(info.locator, Locator::Logs | Locator::StateLogs);
        assert_eq!(needs(id, filter).range.is_some(), ranged, "{}", info.name);
        for params in ["", "[]", "null", "[null,null,null]"] {
            let names_one = place.is_some() || info.locator == Locator::Blocks;
            let want = if names_one { block(BlockAsk::Latest) } else { Needs::NONE };
            assert_eq!(
                needs(id, params.as_bytes()),
                Needs { is_state: info.locator.is_state(), ..want },
                "{} {params}",
                info.name
            );
        }
    }
    assert_eq!(needs(MethodId(u16::MAX), b"[\"0x1\",\"0x1\",\"0x1\"]"), Needs::NONE);
}

/// Only state is pruned; a rule that forgot a method would send it where its block is no more.
#[test]
fn state_is_what_pruned_nodes_drop() {
    let old = |name: &str| needs_of(name, "[\"0x1\",\"0x1\",\"0x1\"]").archival(Some(1_000), 128);
    for name in ["eth_call", "eth_getBalance", "eth_getProof", "eth_estimateGas", "trace_block", "debug_traceBlockByNumber"] {
        assert!(old(name), "{name}");
    }
    for name in ["eth_getBlockByNumber", "eth_getBlockReceipts", "eth_feeHistory", "debug_getRawReceipts", "ots_getBlockDetails"]
    {
        assert!(!old(name), "{name}");
    }
    let logs = r#"[{"fromBlock":"0x1","toBlock":"0x2"}]"#;
    assert!(!needs_of("eth_getLogs", logs).archival(Some(1_000), 128));
    assert!(needs_of("trace_filter", logs).archival(Some(1_000), 128));
}

#[test]
fn blocks_are_named_in_many_ways() {
    let check = |token: &str, want: BlockAsk| {
        for params in [
            format!("[{ADDRESS},{token}]"),
            format!(" [ {ADDRESS} ,\n{token}\t]"),
            format!("[{{\"to\":{ADDRESS},\"data\":\"0x[\\\"\"}},{token},{{\"x\":[\"latest\"]}}]"),
        ] {
            assert_eq!(needs_of("eth_call", &params), state(want), "{params}");
        }
    };
    for word in ["latest", "pending", "safe", "finalized", "l\\u0061test"] {
        check(&format!("\"{word}\""), BlockAsk::Latest);
    }
    check("null", BlockAsk::Latest);
    check("\"earliest\"", BlockAsk::Earliest);
    check("\"0x0\"", BlockAsk::Number(0));
    check("\"0x10d4f\"", BlockAsk::Number(68_943));
    check("\"0xAbC\"", BlockAsk::Number(0xabc));
    check("\"0xffffffffffffffff\"", BlockAsk::Number(u64::MAX));
    check("\"0x0000000000000001\"", BlockAsk::Number(1));
    check(HASH, HASHED);
    check(&format!("{{\"blockHash\":{HASH}}}"), HASHED);
    check(&format!("{{ \"requireCanonical\" : true , \"blockHash\" : {HASH} }}"), HASHED);
    check(&format!("{{\"blockHash\":{HASH},\"blockNumber\":null}}"), HASHED);
    check("16", BlockAsk::Number(16));
    check("{\"blockNumber\":\"0x11\"}", BlockAsk::Number(17));
    check("{\"block\\u004eumber\":\"0x11\"}", BlockAsk::Number(17));
    check("{\"blockNumber\":\"0x11\",\"blockNumber\":\"0x12\"}", BlockAsk::Number(18));
    check("{\"blockNumber\":\"earliest\"}", BlockAsk::Earliest);
    check("{\"blockNumber\":\"finalized\"}", BlockAsk::Latest);
    for wrong in [
        "\"\"",
        "\"0x\"",
        "\"0xg\"",
        "\"16\"",
        "\"Latest\"",
        "\"latest \"",
        "\"0x10000000000000000\"",
        "\"0x\\u0031\"",
        ADDRESS,
        "1.5",
        "18446744073709551616",
        "true",
        "[]",
        "[\"0x1\"]",
        "{}",
        "{\"blockNumber\":17}",
        "{\"blockNumber\":{\"blockNumber\":\"0x1\"}}",
        "{\"blockHash\":5}",
        &HASH.replace('f', "g"),
        &format!("{{\"blockHash\":{HASH},\"blockNumber\":\"0x1\"}}"),
    ] {
        check(wrong, BlockAsk::None);
    }
}

/// A node reads object params as a list of one, because that is how they are sent.
#[test]
fn params_that_are_no_list_are_the_first_argument() {
    let check = |method: &str, params: &str, want: Needs| assert_eq!(needs_of(method, params), want, "{method} {params}");
    check("eth_getLogs", r#" {"fromBlock":"0x1"} "#, range(Edge::Number(1), Edge::Absent));
    check("eth_getBlockByNumber", "{\"blockNumber\":\"0x1\"}", block(BlockAsk::Number(1)));
    check("eth_getBlockByNumber", "\"0x1\"", block(BlockAsk::Number(1)));
    check("eth_call", "{\"to\":\"0x1\"}", state(BlockAsk::Latest));
    check("eth_getStorageAt", "{\"to\":\"0x1\"}", state(BlockAsk::Latest));
}

#[test]
fn log_filters_have_two_edges_or_a_hash() {
    let check = |filter: &str, want: Needs| {
        for params in [format!("[{filter}]"), filter.to_owned(), format!("[ {filter} , 5 ]")] {
            assert_eq!(needs_of("eth_getLogs", &params), want, "{params}");
        }
    };
    check("{}", range(Edge::Absent, Edge::Absent));
    check(r#"{"fromBlock":"0x10","toBlock":"0x20"}"#, range(Edge::Number(16), Edge::Number(32)));
    check(r#"{"toBlock":"latest","address":["0x1","0x2"],"fromBlock":"earliest"}"#, range(Edge::Earliest, Edge::Latest));
    check(r#"{"topics":[{"fromBlock":"0x1"},"toBlock"],"toBlock":"safe"}"#, range(Edge::Absent, Edge::Latest));
    check(r#"{"fromBlock":null,"toBlock":"pending","blockHash":null}"#, range(Edge::Absent, Edge::Latest));
    check(r#"{"fromBlock":"0x1","fromBlock":"0x2"}"#, range(Edge::Number(2), Edge::Absent));
    check(&format!("{{\"blockHash\":{HASH}}}"), block(HASHED));
    for wrong in [
        r#"{"fromBlock":1}"#,
        r#"{"fromBlock":"one"}"#,
        r#"{"toBlock":{"blockNumber":"0x1"}}"#,
        r#"{"fromBlock":"0x1","toBlock":""}"#,
        r#"{"blockHash":5}"#,
        r#"{"blockHash":"0x1","fromBlock":"0x1"}"#,
        &format!("{{\"fromBlock\":{HASH}}}"),
        "\"latest\"",
        "5",
        "[]",
    ] {
        let params = format!("[{wrong}]");
        assert_eq!(needs_of("eth_getLogs", &params), Needs::NONE, "{params}");
    }
}

/// Both edges are needed, and the head where an edge is the head (docs/behaviour/choosing.md#capabilities).
#[test]
fn a_range_is_counted_between_its_edges() {
    let check = |from: Edge, to: Edge, head: Option<u64>, want: Option<u64>| {
        assert_eq!(LogRange { from, to }.blocks(head), want, "{from:?} {to:?} {head:?}");
        assert_eq!(LogRange { from: to, to: from }.blocks(head), want, "{to:?} {from:?} {head:?}");
    };
    check(Edge::Number(5), Edge::Number(5), None, Some(0));
    check(Edge::Number(5), Edge::Number(105), None, Some(100));
    check(Edge::Earliest, Edge::Number(7), None, Some(7));
    check(Edge::Earliest, Edge::Latest, Some(9), Some(9));
    check(Edge::Number(50), Edge::Latest, Some(40), Some(10));
    check(Edge::Number(50), Edge::Latest, None, None);
    check(Edge::Latest, Edge::Latest, Some(3), Some(0));
    check(Edge::Latest, Edge::Latest, None, None);
    check(Edge::Number(0), Edge::Number(u64::MAX), None, Some(u64::MAX));
    for other in [Edge::Absent, Edge::Latest, Edge::Earliest, Edge::Number(1)] {
        check(Edge::Absent, other, Some(9), None);
    }
}

/// (What is asked, consensus) to (archival at a threshold of 128, age, least height); for blocks and logs the first is never.
#[test]
fn history_is_measured_from_the_consensus_height() {
    let check = |asked: Needs, consensus: Option<u64>, archival: bool, age: Option<u64>, min_height: Option<u64>| {
        let of_state = Needs { is_state: true, ..asked };
        let got = (of_state.archival(consensus, 128), asked.age(consensus), asked.min_height());
        assert_eq!(got, (archival, age, min_height), "{asked:?} {consensus:?}");
        assert!(!asked.archival(consensus, 128), "{asked:?}");
    };
    let head = Some(1_000);
    for consensus in [head, None] {
        check(Needs::NONE, consensus, false, None, None);
        check(block(HASHED), consensus, false, None, None);
        check(block(BlockAsk::Latest), consensus, false, Some(0), None);
        check(range(Edge::Absent, Edge::Latest), consensus, false, Some(0), None);
    }
    check(block(BlockAsk::Earliest), head, true, Some(1_000), None);
    check(block(BlockAsk::Earliest), Some(5), true, Some(5), None);
    check(block(BlockAsk::Earliest), None, true, None, None);
    check(block(BlockAsk::Number(872)), head, false, Some(128), Some(872));
    check(block(BlockAsk::Number(871)), head, true, Some(129), Some(871));
    check(block(BlockAsk::Number(1_001)), head, false, Some(0), Some(1_001));
    check(block(BlockAsk::Number(999)), None, false, None, Some(999));
    check(range(Edge::Number(871), Edge::Latest), head, true, Some(129), Some(871));
    check(range(Edge::Number(872), Edge::Number(990)), head, false, Some(128), Some(990));
    check(range(Edge::Number(990), Edge::Number(800)), head, true, Some(200), Some(990));
    check(range(Edge::Absent, Edge::Number(800)), head, true, Some(200), Some(800));
    check(range(Edge::Earliest, Edge::Number(2_000)), head, true, Some(1_000), Some(2_000));
    check(range(Edge::Number(5), Edge::Latest), None, false, None, Some(5));
}

/// `max_block_age` (docs/behaviour/choosing.md#capabilities).
#[test]
fn the_last_parameter_has_an_age() {
    let check = |params: &str, consensus: Option<u64>, want: Option<u64>| {
        assert_eq!(age_of_last_param(params.as_bytes(), consensus), want, "{params} {consensus:?}");
    };
    let head = Some(100);
    check(&format!("[{ADDRESS},\"0x5a\"]"), head, Some(10));
    check(&format!("[{ADDRESS},\"0x5a\"]"), None, None);
    check(&format!("[{ADDRESS},\"0x0\",\"earliest\"]"), head, Some(100));
    check(&format!("[{ADDRESS},{{\"blockNumber\":\"0x1\"}}]"), head, Some(99));
    check(&format!("[{ADDRESS},\"pending\"]"), head, Some(0));
    check("[\"0xff\"]", head, Some(0));
    check("\"0x1\"", head, Some(99));
    for none in ["", "[]", "null", "{}", "[null]", "[\"0x1\",true]", "[\"0x1\",{\"to\":\"0x1\"}]", "[\"0x1\"", ADDRESS, HASH] {
        check(none, head, None);
        check(&format!("[{none}]"), head, None);
    }
}

#[test]
fn what_is_cut_off_asks_for_nothing() {
    let whole = r#"[{"fromBlock":"0x1","toBlock":"0x2"},"0x3"]"#;
    for cut in 1..whole.len() {
        let text = whole.get(..cut).expect("ASCII");
        let complete = text.contains('}');
        assert_eq!(needs_of("eth_getLogs", text) != Needs::NONE, complete, "{text}");
        // The string that follows is not complete before its second quote.
        let want = if cut + 1 >= whole.len() { BlockAsk::Number(3) } else { BlockAsk::None };
        assert_eq!(needs_of("eth_call", text), state(want), "{text}");
    }
}

/// A token and what it asks.
fn tokens() -> impl Strategy<Value = (String, BlockAsk)> {
    let fixed = vec![
        ("\"latest\"", BlockAsk::Latest),
        ("null", BlockAsk::Latest),
        ("\"earliest\"", BlockAsk::Earliest),
        ("{\"blockNumber\":\"0x7\"}", BlockAsk::Number(7)),
        (HASH, HASHED),
        ("7", BlockAsk::Number(7)),
    ];
    prop_oneof![
        select(fixed).prop_map(|(text, ask)| (text.to_owned(), ask)),
        any::<u64>().prop_map(|n| (format!("\"0x{n:x}\""), BlockAsk::Number(n))),
    ]
}

proptest! {
    /// Whatever stands around it, the block is found.
    #[test]
    fn the_block_is_found_among_any_values(
        (name, place) in select(PLACES.to_vec()),
        (token, ask) in tokens(),
        before in proptest::collection::vec(value(), 2),
        after in proptest::collection::vec(value(), 0..2),
        gap in space(),
    ) {
        let items = before.iter().take(place).chain([&token]).chain(&after);
        let items: Vec<String> = items.map(|item| format!("{gap}{item}{gap}")).collect();
        let params = format!("{gap}[{}]{gap}", items.join(","));
        prop_assert_eq!(needs_of(name, &params).block, ask, "{} {}", name, params);
    }

    #[test]
    fn any_bytes_are_read_without_harm(text in damaged(value()), consensus in any::<Option<u64>>(), threshold in any::<u64>()) {
        for (id, _) in method::all() {
            let asked = needs(id, &text);
            asked.archival(consensus, threshold);
            // What is known to be old enough for an archive has an age beyond the threshold.
            if let (Some(age), Some(_), true) = (asked.age(consensus), asked.min_height(), asked.is_state) {
                prop_assert!(age <= threshold || asked.archival(consensus, threshold));
            }
            prop_assert!(asked.range.is_none() || asked.block == BlockAsk::None);
        }
        let age = age_of_last_param(&text, consensus);
        prop_assert!(age <= consensus || age == Some(0));
    }
}
