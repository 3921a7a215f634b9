//! Whether providers give the same answers: a few questions about one block that all of them have, asked of all, and compared
//! in a canonical form. Programs write the same thing in different ways, and that is no disagreement: the order of keys, the
//! case of hex digits, keys that one leaves out or gives as `null`. So objects are compared over the keys that all who
//! answered gave. Who did not answer is in no camp; `null` is an answer.

use crate::bench::findings::{Camp, Disagreement};
use crate::bench::mix::{BenchCall, ChainFacts};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Shown of an answer.
const SHOWN_BYTES: usize = 120;

/// What all are asked about the block `number`.
pub fn questions(facts: &ChainFacts, number: u64) -> Vec<BenchCall> {
    let block = format!("{number:#x}");
    let at = |method: &str, params: String| BenchCall::new(method, params);
    let mut asked = vec![
        at("eth_getBlockByNumber", format!(r#"["{block}",false]"#)),
        at("eth_getLogs", format!(r#"[{{"fromBlock":"{block}","toBlock":"{block}"}}]"#)),
        at("eth_getBlockTransactionCountByNumber", format!(r#"["{block}"]"#)),
    ];
    for address in facts.addresses.iter().take(3) {
        asked.push(at("eth_getBalance", format!(r#"["{address}","{block}"]"#)));
    }
    for contract in facts.contracts.iter().take(1) {
        asked.push(at("eth_getCode", format!(r#"["{contract}","{block}"]"#)));
    }
    for transaction in facts.transactions.iter().take(1) {
        asked.push(at("eth_getTransactionReceipt", format!(r#"["{transaction}"]"#)));
    }
    asked
}

/// What is not the same: `None` where all who answered agree. `answers`: raw results by provider.
pub fn compare(call: &BenchCall, block_number: u64, answers: &[(usize, Vec<u8>)]) -> Option<Disagreement> {
    let read = |raw: &[u8]| serde_json::from_slice::<Value>(raw).map(canonical).ok();
    let mut values: Vec<(usize, Value)> = answers.iter().filter_map(|(who, raw)| Some((*who, read(raw)?))).collect();
    let mut all: Vec<&mut Value> = values.iter_mut().map(|(_, value)| value).filter(|value| !value.is_null()).collect();
    keep_shared(&mut all);
    let mut camps: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (who, value) in &values {
        camps.entry(value.to_string()).or_default().push(*who);
    }
    if camps.len() < 2 {
        return None;
    }
    let mut camps: Vec<(String, Vec<usize>)> = camps.into_iter().collect();
    camps.sort_by_key(|(_, providers)| std::cmp::Reverse(providers.len()));
    let texts: Vec<&str> = camps.iter().map(|(text, _)| text.as_str()).collect();
    let shared = shared_start(&texts);
    let camps = camps.iter().map(|(text, providers)| Camp { providers: providers.clone(), answer: shown(text, shared) });
    Some(Disagreement { method: call.method.clone(), params: call.params.clone(), block_number, camps: camps.collect() })
}

/// Keys in order, hex digits in lower case, no `null` members.
fn canonical(value: Value) -> Value {
    match value {
        Value::String(text) if is_hex(&text) => Value::String(text.to_ascii_lowercase()),
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.into_iter().filter(|(_, value)| !value.is_null()).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().map(|(key, value)| (key, canonical(value))).collect())
        }
        other => other,
    }
}

fn is_hex(text: &str) -> bool {
    text.strip_prefix("0x").or(text.strip_prefix("0X")).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Leaves in objects what all of them have, at every place where all are objects.
fn keep_shared(values: &mut [&mut Value]) {
    if values.iter().all(|value| value.is_object()) {
        let mut objects: Vec<&mut Map<String, Value>> = values.iter_mut().filter_map(|value| value.as_object_mut()).collect();
        let Some(first) = objects.first() else { return };
        let keys: Vec<String> = first.keys().cloned().collect();
        let shared: Vec<String> = keys.into_iter().filter(|key| objects.iter().all(|object| object.contains_key(key))).collect();
        objects.iter_mut().for_each(|object| object.retain(|key, _| shared.contains(key)));
        for key in &shared {
            let mut inner: Vec<&mut Value> = objects.iter_mut().filter_map(|object| object.get_mut(key)).collect();
            keep_shared(&mut inner);
        }
    } else if let Some(length) = shared_length(values) {
        for place in 0..length {
            let mut inner: Vec<&mut Value> = values.iter_mut().filter_map(|value| value.get_mut(place)).collect();
            keep_shared(&mut inner);
        }
    }
}

/// The length of lists that are equally long.
fn shared_length(values: &[&mut Value]) -> Option<usize> {
    let mut lengths = values.iter().map(|value| value.as_array().map(Vec::len));
    let first = lengths.next()??;
    lengths.all(|length| length == Some(first)).then_some(first)
}

/// How many bytes at their beginning are the same in all.
fn shared_start(texts: &[&str]) -> usize {
    let Some((first, rest)) = texts.split_first() else { return 0 };
    let same = |other: &&str| first.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    rest.iter().map(same).min().unwrap_or(0)
}

/// The part of a long answer in which it differs.
fn shown(text: &str, shared: usize) -> String {
    if text.len() <= SHOWN_BYTES {
        return text.to_owned();
    }
    let is_edge = |at: &usize| text.is_char_boundary(*at);
    let start = (0..=shared.saturating_sub(SHOWN_BYTES / 4)).rev().find(is_edge).unwrap_or(0);
    let end = (start + SHOWN_BYTES..text.len()).find(is_edge).unwrap_or(text.len());
    let (before, after) = (if start > 0 { "…" } else { "" }, if end < text.len() { "…" } else { "" });
    format!("{before}{}{after}", text.get(start..end).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(answers: &[&str]) -> Option<Vec<Vec<usize>>> {
        let answers: Vec<(usize, Vec<u8>)> = answers.iter().map(|text| text.as_bytes().to_vec()).enumerate().collect();
        let found = compare(&BenchCall::new("eth_getBalance", "[]".to_owned()), 7, &answers)?;
        Some(found.camps.into_iter().map(|camp| camp.providers).collect())
    }

    #[test]
    fn spelling_is_no_disagreement() {
        assert_eq!(compared(&[r#"{"a":"0xAB","b":1}"#, r#"{ "b":1, "a":"0xab" }"#]), None);
        assert_eq!(compared(&[r#"{"a":"0x1","size":"0x9"}"#, r#"{"a":"0x1"}"#, r#"{"a":"0x1","size":null}"#]), None);
        assert_eq!(compared(&[r#"[{"x":{"a":1,"own":2}}]"#, r#"[{"x":{"a":1}}]"#]), None);
        assert_eq!(compared(&["\"0x1\""]), None);
        assert_eq!(compared(&["\"0x1\"", "broken"]), None, "what is no JSON is no answer");
        assert_eq!(compared(&[]), None);
    }

    #[test]
    fn who_differs_is_in_the_smaller_camp() {
        assert_eq!(compared(&["\"0x1\"", "\"0x2\"", "\"0x1\""]), Some(vec![vec![0, 2], vec![1]]));
        assert_eq!(compared(&["null", "{\"a\":1}", "{\"a\":1}"]), Some(vec![vec![1, 2], vec![0]]));
        assert_eq!(compared(&["[]", "[1]"]).map(|camps| camps.len()), Some(2));
        assert_eq!(compared(&["\"Abc\"", "\"abc\""]).map(|camps| camps.len()), Some(2), "words are no hex");
    }

    #[test]
    fn of_long_answers_the_difference_is_shown() {
        let long = |end: &str| format!("\"0x{}{end}{}\"", "0".repeat(500), "1".repeat(500)).into_bytes();
        let found = compare(&BenchCall::new("eth_getCode", "[]".to_owned()), 7, &[(0, long("a")), (1, long("b"))]);
        let camps = found.expect("they differ").camps;
        assert!(camps[0].answer.contains("0a1") && camps[1].answer.contains("0b1"), "{camps:?}");
        assert!(camps.iter().all(|camp| camp.answer.len() < 200), "{camps:?}");
    }
}
