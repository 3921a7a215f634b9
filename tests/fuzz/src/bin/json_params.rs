//! Params of a call: what it asks of history is what a reading by way of serde_json's tree says, and no bytes do harm.
#![no_main]

use lasso::base::ids::MethodId;
use lasso::chain::method;
use lasso::chain::params::{BlockAsk, Edge, LogRange, Needs, age_of_last_param, needs};
use lasso::wire::json::valid;
use serde_json::Value;

const METHODS: [&str; 8] = [
    "eth_getBlockByNumber",
    "eth_call",
    "eth_getStorageAt",
    "eth_getLogs",
    "eth_getBalance",
    "eth_getCode",
    "eth_getTransactionCount",
    "eth_chainId",
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, params)) = data.split_first() else { return };
    let name = METHODS[usize::from(*first) % METHODS.len()];
    let id: MethodId = method::lookup(name.as_bytes());
    let asked = needs(id, params);
    let age = age_of_last_param(params, Some(1 << 40));
    assert!(age.is_none_or(|age| age <= 1 << 40));
    for head in [None, Some(0), Some(u64::MAX)] {
        asked.archival(head, 128);
        asked.age(head);
    }
    // Digits behind escapes are left to the provider, which the tree would hide.
    if !valid(params) || params.contains(&b'\\') {
        return;
    }
    let Ok(tree) = serde_json::from_slice::<Value>(params) else { return };
    let arguments = match tree {
        Value::Array(items) => items,
        one => vec![one],
    };
    assert_eq!(asked, naive(name, &arguments), "{name} {arguments:?}");
    let last = arguments.last().filter(|last| !last.is_null()).map_or(BlockAsk::None, |last| block(Some(last)));
    assert_eq!(age, Needs { block: last, ..Needs::NONE }.age(Some(1 << 40)), "{arguments:?}");
});

fn naive(name: &str, arguments: &[Value]) -> Needs {
    let is_state = !matches!(name, "eth_getBlockByNumber");
    let block = |place: usize| Needs { block: argument(arguments.get(place)), range: None, is_state };
    match name {
        "eth_getBlockByNumber" => block(0),
        "eth_getStorageAt" => block(2),
        "eth_getLogs" => filter(arguments.first().unwrap_or(&Value::Null)).unwrap_or(Needs::NONE),
        "eth_chainId" => Needs::NONE,
        _ => block(1),
    }
}

/// Some chains' own methods count in plain numbers.
fn argument(value: Option<&Value>) -> BlockAsk {
    match value {
        Some(Value::Number(number)) => number.as_u64().filter(|_| number.is_u64()).map_or(BlockAsk::None, BlockAsk::Number),
        value => block(value),
    }
}

fn hash(text: &str) -> BlockAsk {
    let mut hash = [0; 32];
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X")).unwrap_or("");
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return BlockAsk::None;
    }
    for (place, byte) in hash.iter_mut().enumerate() {
        *byte = digits.get(2 * place..2 * place + 2).and_then(|two| u8::from_str_radix(two, 16).ok()).unwrap_or(0);
    }
    BlockAsk::Hash(hash)
}

fn block(value: Option<&Value>) -> BlockAsk {
    match value {
        None | Some(Value::Null) => BlockAsk::Latest,
        Some(Value::String(text)) => tag(text),
        Some(Value::Object(_)) => match (member(value, "blockNumber"), member(value, "blockHash")) {
            (Some(Value::String(number)), None) => tag(number),
            (None, Some(Value::String(text))) => hash(text),
            _ => BlockAsk::None,
        },
        Some(_) => BlockAsk::None,
    }
}

fn member<'a>(object: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    object?.as_object()?.get(name).filter(|value| !value.is_null())
}

fn tag(text: &str) -> BlockAsk {
    match text {
        "latest" | "pending" | "safe" | "finalized" => return BlockAsk::Latest,
        "earliest" => return BlockAsk::Earliest,
        _ => {}
    }
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X")).unwrap_or("");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return BlockAsk::None;
    }
    match digits.len() {
        64 => hash(text),
        ..=16 => u64::from_str_radix(digits, 16).map_or(BlockAsk::None, BlockAsk::Number),
        _ => BlockAsk::None,
    }
}

fn filter(value: &Value) -> Option<Needs> {
    value.is_object().then_some(())?;
    let [hash, from, to] = ["blockHash", "fromBlock", "toBlock"].map(|name| member(Some(value), name));
    if let Some(text) = hash {
        let block = self::hash(text.as_str()?);
        return (block != BlockAsk::None && from.is_none() && to.is_none()).then_some(Needs { block, ..Needs::NONE });
    }
    let edge = |value: Option<&Value>| {
        let Some(value) = value else { return Some(Edge::Absent) };
        match tag(value.as_str()?) {
            BlockAsk::Latest => Some(Edge::Latest),
            BlockAsk::Earliest => Some(Edge::Earliest),
            BlockAsk::Number(number) => Some(Edge::Number(number)),
            _ => None,
        }
    };
    Some(Needs { range: Some(LogRange { from: edge(from)?, to: edge(to)? }), ..Needs::NONE })
}
