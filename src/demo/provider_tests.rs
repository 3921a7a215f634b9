//! Each knob does what it says, on the bytes that go out; the journal says what came in; a seed replays.

use super::chain_model::ChainModel;
use super::feeds::Feeds;
use super::framing::Step;
use super::framing::{End, Plan};
use super::framing_tests::{bytes_of, read};
use super::identity::keccak;
use super::journal::Ledger;
use super::knobs::{EventFault, Fault, Knobs, Latency, Rate, SubscribeFault, TooMany};
use super::provider::{Asked, Provider};
use super::rpc::Network;
use crate::base::{rng::Rng, time::Duration, time::Instant};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::rc::Rc;

fn network() -> Rc<Network> {
    Rc::new(Network::new(ChainModel::new(7, 1, Duration::from_secs(12))))
}

fn provider(knobs: Knobs) -> Provider {
    Provider::new("test", network(), knobs, Rng::new(9))
}

fn serve_at(provider: &Provider, body: &str, ms: u64, earlier: u32) -> Plan {
    let now = Instant::ZERO.plus_ms(ms);
    provider.serve(&Asked { body: body.as_bytes(), connection: 1, earlier, keep_alive: true, now, feeds: None }).1
}

fn body_at(provider: &Provider, body: &str, ms: u64) -> Value {
    let answer = read(&bytes_of(&serve_at(provider, body, ms, 0))).expect("a readable answer");
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn call(method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

/// The answer's result, or the error's code.
fn ask_at(provider: &Provider, method: &str, params: Value, ms: u64) -> Result<Value, i64> {
    let answer = body_at(provider, &call(method, params), ms);
    assert_eq!(answer["id"], json!(1));
    answer.get("result").cloned().ok_or_else(|| answer["error"]["code"].as_i64().expect("a code"))
}

fn ask(provider: &Provider, method: &str, params: Value) -> Result<Value, i64> {
    ask_at(provider, method, params, 0)
}

const START: u64 = 1_000_000;

fn hex(number: u64) -> Value {
    json!(format!("{number:#x}"))
}

#[test]
fn envelopes_of_requests() {
    let honest = provider(Knobs::default());
    let check = |body: &str, want: Value| assert_eq!(body_at(&honest, body, 0), want, "{body}");
    let one = |id: Value| json!({"jsonrpc": "2.0", "id": id, "result": "0x1"});
    let error =
        |id: Value, code: i64, message: &str| json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}});
    check(r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#, one(json!(1)));
    check(r#"{"method":"eth_chainId","id":"x","jsonrpc":"2.0"}"#, one(json!("x")));
    check(r#"{"jsonrpc":"2.0","id":null,"method":"eth_chainId"}"#, one(json!(null)));
    check(r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":null}"#, one(json!(1)));
    check(r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}"#, error(json!(1), -32602, "non-array args"));
    check(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"eth_chainId"}"#, error(json!(null), -32600, "invalid request"));
    check(r#"{"jsonrpc":"2.0","id":1}"#, error(json!(1), -32600, "invalid request"));
    check(r#"{"id":1,"method":"eth_chainId"}"#, error(json!(null), -32600, "invalid request: jsonrpc must be \"2.0\""));
    check("{", error(json!(null), -32700, "parse error"));
    check("", error(json!(null), -32700, "parse error"));
    check("[]", error(json!(null), -32600, "batch empty or too large"));
    let two = r#"[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"},{"jsonrpc":"2.0","method":"eth_chainId"},7]"#;
    check(two, json!([one(json!(1)), error(json!(null), -32600, "invalid request")]));
    let silent = serve_at(&honest, r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#, 0, 0);
    assert_eq!(read(&bytes_of(&silent)).map(|answer| (answer.status, answer.body)), Some((200, Vec::new())));
    let strange = r#"{"jsonrpc":"2.0","id":12345678901234567890123,"method":"eth_chainId"}"#;
    assert!(String::from_utf8_lossy(&bytes_of(&serve_at(&honest, strange, 0, 0))).contains(r#""id":12345678901234567890123,"#));
}

#[test]
fn the_head_follows_the_knobs() {
    let height = |knobs: Knobs, ms| ask_at(&provider(knobs), "eth_blockNumber", json!([]), ms).unwrap();
    assert_eq!(height(Knobs::default(), 0), hex(START));
    assert_eq!(height(Knobs::default(), 24_000), hex(START + 2));
    assert_eq!(height(Knobs { lag_blocks: 330, ..Knobs::default() }, 0), hex(START - 330));
    assert_eq!(height(Knobs { frozen_at: Some(START + 1), ..Knobs::default() }, 120_000), hex(START + 1));
    assert_eq!(height(Knobs { announce_ahead: 5, ..Knobs::default() }, 0), hex(START + 5));
    assert_eq!(height(Knobs { ahead_blocks: 5, ..Knobs::default() }, 0), hex(START + 5));
    let boaster = provider(Knobs { announce_ahead: 5, ..Knobs::default() });
    assert_eq!(ask(&boaster, "eth_getBlockByNumber", json!([hex(START + 5), false])), Ok(Value::Null));
    let behind = provider(Knobs { lag_blocks: 2, ..Knobs::default() });
    assert_eq!(ask(&behind, "eth_getBlockByNumber", json!([hex(START - 1), false])), Ok(Value::Null));
    assert!(ask(&behind, "eth_getBalance", json!(["0x00000000000000000000000000000000000000aa", hex(START - 1)])).is_err());
}

#[test]
fn late_blocks_are_late_by_one_and_the_head_never_goes_back() {
    let late = provider(Knobs { late_blocks: 300_000, ..Knobs::default() });
    let (mut last, mut behind) = (0, 0);
    for block in 0..2_000 {
        let head = late.head_at(Instant::ZERO.plus_ms(12_000 * block));
        assert!(head >= last && (head == START + block || head + 1 == START + block));
        behind += u64::from(head < START + block);
        last = head;
    }
    assert!((500..700).contains(&behind), "{behind} of 2000");
}

#[test]
fn limits_of_what_is_served() {
    let knobs = Knobs {
        archive_depth: Some(100),
        log_range: 10,
        log_results: 30,
        chain_number: Some(5),
        batch_items: 2,
        missing_methods: vec!["debug_*", "eth_getCode"],
        ..Knobs::default()
    };
    let limited = provider(knobs);
    let address = "0x00000000000000000000000000000000000000aa";
    let logs = |from: u64, to: u64| ask(&limited, "eth_getLogs", json!([{"fromBlock": hex(from), "toBlock": hex(to)}]));
    assert!(ask(&limited, "eth_getBalance", json!([address, hex(START - 100)])).is_ok());
    assert_eq!(ask(&limited, "eth_getBalance", json!([address, hex(START - 101)])), Err(-32000));
    assert!(logs(START - 1, START).is_ok());
    assert_eq!((logs(START - 10, START), logs(START - 9, START)), (Err(-32602), Err(-32005)));
    assert_eq!(ask(&limited, "eth_chainId", json!([])), Ok(json!("0x5")));
    assert_eq!(ask(&limited, "eth_getCode", json!([address])), Err(-32601));
    assert_eq!(ask(&limited, "debug_traceCall", json!([])), Err(-32601));
    let item = call("eth_chainId", json!([]));
    assert!(body_at(&limited, &format!("[{item},{item}]"), 0).is_array());
    assert_eq!(body_at(&limited, &format!("[{item},{item},{item}]"), 0)["error"]["code"], json!(-32600));
}

#[test]
fn delays_add_up() {
    let knobs = Knobs {
        latency: Latency { p50_ms: 10.0, p95_ms: 10.0 },
        method_factors: vec![("eth_getLogs", 5.0)],
        kib_us: 1_000,
        ..Knobs::default()
    };
    let slow = provider(knobs);
    let delay = |method, params: Value| serve_at(&slow, &call(method, params), 0, 0).delay;
    assert_eq!(delay("eth_chainId", json!([])), Duration::from_millis(10));
    assert_eq!(delay("eth_getLogs", json!([{"fromBlock": hex(START + 1)}])), Duration::from_millis(50));
    let sized = |bytes: u64| json!([{"to": "0x0000000000000000000000000000000000000b19", "data": format!("0x{bytes:016x}")}]);
    assert_eq!(delay("eth_call", sized(51_200)), Duration::from_millis(110));
    let batch = format!("[{},{}]", call("eth_chainId", json!([])), call("eth_getLogs", json!([])));
    assert_eq!(serve_at(&slow, &batch, 0, 0).delay, Duration::from_millis(50));
    slow.script([(None, Some(Fault::Late(1_000)))]);
    assert_eq!(delay("eth_chainId", json!([])), Duration::from_millis(1_010));
}

#[test]
fn the_rate_limit_refuses_in_its_words_and_recovers() {
    let check = |refusal, status: u16, test: &dyn Fn(&Value) -> bool| {
        let limited = provider(Knobs { rate: Some(Rate { per_second: 2, burst: 2, refusal }), ..Knobs::default() });
        let answer = |ms| read(&bytes_of(&serve_at(&limited, &call("eth_chainId", json!([])), ms, 0))).expect("readable");
        assert_eq!((answer(0).status, answer(0).status), (200, 200));
        let refused = answer(0);
        assert_eq!(refused.status, status, "{refusal:?}");
        let body = serde_json::from_slice(&refused.body).unwrap_or(Value::Null);
        assert!(test(&body), "{refusal:?}: {body}");
        assert!(serde_json::from_slice::<Value>(&answer(500).body).is_ok_and(|body| body["result"] == "0x1"));
    };
    check(TooMany::Status { retry_after_s: Some(1) }, 429, &Value::is_null);
    check(TooMany::StatusAndError, 429, &|body| body["error"]["code"] == -32005);
    check(TooMany::Code(-32016), 200, &|body| body["error"]["code"] == -32016);
    check(TooMany::InResult, 200, &|body| body["result"]["code"] == 429 && body["id"] == 1);
    let limited =
        provider(Knobs { rate: Some(Rate { per_second: 1, burst: 3, refusal: TooMany::Code(429) }), ..Knobs::default() });
    let item = call("eth_chainId", json!([]));
    assert_eq!(body_at(&limited, &format!("[{item},{item}]"), 0)[1]["result"], json!("0x1"));
    let refused = body_at(&limited, &format!("[{item},{item}]"), 0);
    assert_eq!((&refused[0]["error"]["code"], &refused[1]["error"]["code"]), (&json!(429), &json!(429)));
}

#[test]
fn connections_close_after_so_many_requests() {
    let closing = provider(Knobs { close_after: Some(3), ..Knobs::default() });
    let end = |earlier| serve_at(&closing, &call("eth_chainId", json!([])), 0, earlier).end;
    assert_eq!((end(0), end(1), end(2)), (End::KeepAlive, End::KeepAlive, End::Close));
    let asked = Asked { body: b"{}", connection: 1, earlier: 0, keep_alive: false, now: Instant::ZERO, feeds: None };
    assert_eq!(closing.serve(&asked).1.end, End::Close);
}

#[test]
fn scripted_faults_come_in_order_and_for_their_method() {
    let scripted = provider(Knobs { faults: vec![(1_000_000, Fault::Error(-1, "always"))], ..Knobs::default() });
    scripted.script([
        (Some("eth_chainId"), None),
        (None, Some(Fault::Error(-2, "x"))),
        (Some("eth_gasPrice"), Some(Fault::Error(-3, "x"))),
    ]);
    let outcome = |method| ask(&scripted, method, json!([]));
    assert_eq!(outcome("eth_syncing"), Err(-2));
    assert_eq!(outcome("eth_syncing"), Err(-1));
    assert_eq!(outcome("eth_chainId"), Ok(json!("0x1")));
    assert_eq!((outcome("eth_gasPrice"), outcome("eth_chainId")), (Err(-3), Err(-1)));
    scripted.tune(|knobs| knobs.faults.clear());
    assert!(outcome("eth_gasPrice").is_ok());
}

#[test]
fn only_harmless_faults_give_a_believable_answer() {
    for fault in Fault::ALL {
        let faulty = provider(Knobs { faults: vec![(1_000_000, *fault)], ..Knobs::default() });
        let plan = serve_at(&faulty, &call("eth_chainId", json!([])), 0, 0);
        let answer = read(&bytes_of(&plan)).and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok());
        // What serde_json forgives (a key twice) the envelope's own tests check.
        let lenient =
            matches!(fault, Fault::TwoIds | Fault::TwoResults | Fault::ResultAndError | Fault::TooMany(TooMany::InResult));
        let good = answer.is_some_and(|body| {
            let object = body.as_object().is_some_and(|object| object.get("error").is_none_or(Value::is_null));
            object && body["jsonrpc"] == "2.0" && body["id"] == 1 && body["result"] == "0x1"
        });
        assert!(good == fault.is_harmless() || lenient, "{fault:?}: {:?}", plan.end);
    }
}

#[test]
fn refused_transactions_are_not_in_the_pool_and_lost_answers_are() {
    for fault in Fault::ALL {
        let faulty = provider(Knobs { faults: vec![(1_000_000, *fault)], ..Knobs::default() });
        serve_at(&faulty, &call("eth_sendRawTransaction", json!(["0x01"])), 0, 0);
        let known = faulty.network.pool.borrow().round_of(&keccak(&[1])).is_some();
        assert_eq!(known, !fault.is_refusal(), "{fault:?}");
    }
}

#[test]
fn filters_live_at_one_provider() {
    let shared = network();
    let make = |name: &str| Provider::new(name, shared.clone(), Knobs::default(), Rng::new(1));
    let (one, two) = (make("one"), make("two"));
    let id = ask(&one, "eth_newBlockFilter", json!([])).unwrap();
    assert_ne!(id, ask(&two, "eth_newBlockFilter", json!([])).unwrap());
    let changes = |provider: &Provider| ask_at(provider, "eth_getFilterChanges", json!([id]), 12_000);
    assert_eq!(changes(&one).map(|hashes| hashes.as_array().map(Vec::len)), Ok(Some(1)));
    assert_eq!(changes(&two), Err(-32000));
    one.restart();
    assert_eq!(changes(&one), Err(-32000));
}

#[test]
fn the_journal_knows_every_call() {
    let ledger = Rc::new(Ledger::new(100));
    let noted = provider(Knobs::default()).with_journal(ledger.clone());
    let (number, _) = {
        let body =
            r#"[{"jsonrpc":"2.0","id":"a","method":"eth_chainId"},{"jsonrpc":"2.0","method":"eth_syncing","params":[ 1 ]}]"#;
        noted.serve(&Asked { body: body.as_bytes(), connection: 4, earlier: 0, keep_alive: true, now: Instant(5), feeds: None })
    };
    noted.ended(number, true);
    serve_at(&noted, "nonsense", 0, 0);
    noted.script([(None, Some(Fault::Silence))]);
    serve_at(&noted, &call("eth_chainId", json!([])), 0, 0);
    let entries = ledger.entries.borrow();
    let seen: Vec<_> = entries.iter().map(|entry| (entry.method.as_str(), &entry.id[..], entry.item, entry.sent_whole)).collect();
    let batch = [("eth_chainId", &b"\"a\""[..], Some(0), Some(true)), ("eth_syncing", b"", Some(1), Some(true))];
    assert_eq!(seen[..2], batch);
    assert_eq!(seen[2..], [("", &b""[..], None, None), ("eth_chainId", b"1", None, None)]);
    assert_eq!((entries[0].connection, entries[0].at, entries[0].request), (4, Instant(5), 1));
    assert_eq!((entries[3].fault, noted.requests()), (Some(Fault::Silence), 3));
    assert_eq!(ledger.times("test", "eth_syncing", b"[ 1 ]"), 1);
}

/// When the answer to a subscription comes and what it says, and how many blocks it is told by then.
fn subscribe(fault: Option<SubscribeFault>) -> (u64, bool, usize) {
    let faults = fault.iter().map(|fault| (1_000_000, *fault)).collect();
    let provider = provider(Knobs { subscribe_faults: faults, ..Knobs::default() });
    let feeds = Feeds::default();
    let body = call("eth_subscribe", json!(["newHeads"]));
    let asked =
        Asked { body: body.as_bytes(), connection: 1, earlier: 0, keep_alive: true, now: Instant(0), feeds: Some(&feeds) };
    let (request, plan) = provider.serve(&asked);
    let Some(Step::Send(bytes)) = plan.steps.first() else { panic!("an answer") };
    let is_good = serde_json::from_slice::<Value>(&bytes[2..]).is_ok_and(|answer| answer["result"].is_string());
    let then = Instant(0) + plan.delay;
    let told = provider.tell(&feeds, then).len();
    provider.open(&feeds, request, then);
    let after = provider.tell(&feeds, then.plus_ms(12_000)).len();
    assert_eq!(after, usize::from(is_good), "{fault:?}");
    (plan.delay.as_millis() as u64, is_good, told)
}

#[test]
fn subscriptions_are_refused_late_or_told_too_early() {
    assert_eq!(subscribe(None), (0, true, 0));
    assert_eq!(subscribe(Some(SubscribeFault::Refused)), (0, false, 0));
    assert_eq!(subscribe(Some(SubscribeFault::Limited)), (0, false, 0));
    assert_eq!(subscribe(Some(SubscribeFault::Late(24_000))), (24_000, true, 0));
    assert_eq!(subscribe(Some(SubscribeFault::EventsFirst(24_000))), (24_000, true, 2));
    assert_eq!(subscribe(Some(SubscribeFault::NotOffered)), (0, false, 0));
}

#[test]
fn subscriptions_are_held_without_a_word_or_twice() {
    for (fault, answers, held) in [(SubscribeFault::Never, 0, 1), (SubscribeFault::Twice, 2, 2)] {
        let provider = provider(Knobs { subscribe_faults: vec![(1_000_000, fault)], ..Knobs::default() });
        let (feeds, body) = (Feeds::default(), call("eth_subscribe", json!(["newHeads"])));
        let asked =
            Asked { body: body.as_bytes(), connection: 1, earlier: 0, keep_alive: true, now: Instant(0), feeds: Some(&feeds) };
        let (request, plan) = provider.serve(&asked);
        let ids: std::collections::BTreeSet<String> = plan
            .steps
            .iter()
            .filter_map(|step| if let Step::Send(bytes) = step { Some(bytes) } else { None })
            .filter_map(|bytes| serde_json::from_slice::<Value>(&bytes[2..]).ok()?["result"].as_str().map(str::to_owned))
            .collect();
        provider.open(&feeds, request, Instant(0));
        let told = provider.tell(&feeds, Instant(0).plus_ms(12_000)).len();
        assert_eq!((ids.len(), told), (answers, held), "{fault:?}");
    }
}

#[test]
fn events_meet_their_faults_by_the_providers_chance() {
    let faults = EventFault::ALL.iter().map(|fault| (20_000, *fault)).collect::<Vec<_>>();
    let run = |seed| {
        let provider =
            Provider::new("one", network(), Knobs { event_faults: faults.clone(), ..Knobs::default() }, Rng::new(seed));
        let feeds = Feeds::default();
        let body = call("eth_subscribe", json!(["logs"]));
        let asked =
            Asked { body: body.as_bytes(), connection: 1, earlier: 0, keep_alive: true, now: Instant(0), feeds: Some(&feeds) };
        let (request, _) = provider.serve(&asked);
        provider.open(&feeds, request, Instant(0));
        (1..60).flat_map(|block| provider.tell(&feeds, Instant(0).plus_ms(12_000 * block))).collect::<Vec<Plan>>()
    };
    assert!(run(1) == run(1) && run(1) != run(2));
    assert!((1..20).any(|seed| run(seed).iter().any(|plan| plan.end == End::Reset)));
}

#[test]
fn a_seed_replays() {
    let every = Fault::ALL.iter().map(|fault| (15_000, *fault)).collect();
    let knobs = Knobs { latency: Latency { p50_ms: 5.0, p95_ms: 50.0 }, faults: every, late_blocks: 100_000, ..Knobs::default() };
    let run = |seed| {
        let one = Provider::new("one", network(), knobs.clone(), Rng::new(seed));
        (0..300).map(|n| serve_at(&one, &call("eth_getBlockByNumber", json!(["latest", true])), n * 700, 0)).collect::<Vec<_>>()
    };
    let first = run(1);
    assert!(first == run(1) && first != run(2));
}

proptest! {
    #[test]
    fn any_body_is_answered(body in proptest::collection::vec(any::<u8>(), 0..80), fault in 0..Fault::ALL.len(), keep_alive: bool, now: u64) {
        let faulty = provider(Knobs { faults: vec![(500_000, Fault::ALL[fault])], archive_depth: Some(0), ..Knobs::default() });
        let plan = faulty.serve(&Asked { body: &body, connection: 0, earlier: 0, keep_alive, now: Instant(now), feeds: None }).1;
        prop_assert!(keep_alive || plan.end != End::KeepAlive);
    }

    #[test]
    fn any_json_is_answered(text in "[\\[{]?(\"(jsonrpc|id|method|params|x)\" ?[:,] ?(\"2.0\"|\"eth_getLogs\"|\\[\\]|\\[\\{\\}\\]|1|null|\\{\\}),? ?){0,6}[\\]}]?") {
        serve_at(&provider(Knobs::default()), &text, 0, 0);
    }
}
