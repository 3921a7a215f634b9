//! What is asked: a mix of methods as wallets, indexers, traders or archive readers ask them, or a person's own from a file.
//!
//! Parameters come from what recent blocks of the chain hold (addresses, contracts, transactions), so that answers are of the
//! size that real ones have; answers about an address that nobody uses come out of a cache. Methods take turns in proportion
//! to their weights, so that each has its share of calls also in a short run, and parameters are drawn from a seed, so a run
//! can be repeated. Blocks are named a few below the newest head that somebody has, so that being a block behind is seen in
//! freshness and not as errors here.
//! Only what may be repeated is asked: calls that change state, filters and subscriptions are refused in a file, by its line.

use crate::base::limits;
use crate::base::rng::Rng;
use crate::chain::hex::parse_quantity;
use crate::chain::method::{self, Gate, Safety};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::fmt;

/// One call, not yet numbered.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BenchCall {
    pub method: String,
    /// Raw JSON, a list or an object.
    pub params: String,
}

impl BenchCall {
    pub fn new(method: &str, params: String) -> BenchCall {
        BenchCall { method: method.to_owned(), params }
    }

    /// The body in canonical form.
    pub fn body(&self) -> Vec<u8> {
        format!(r#"{{"jsonrpc":"2.0","id":"lasso-bench","method":"{}","params":{}}}"#, self.method, self.params).into_bytes()
    }
}

/// What is known of the chain.
#[derive(Clone, Debug, Default)]
pub struct ChainFacts {
    /// The highest that every provider had.
    pub head: u64,
    pub addresses: Vec<String>,
    pub contracts: Vec<String>,
    pub transactions: Vec<String>,
}

#[derive(Deserialize)]
struct BlockShape<'a> {
    #[serde(borrow)]
    transactions: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct TransactionShape {
    hash: String,
    from: String,
    to: Option<String>,
    input: Option<String>,
}

impl ChainFacts {
    /// Adds what a block with whole transactions holds.
    pub fn read_block(&mut self, raw: &[u8]) {
        let Ok(block) = serde_json::from_slice::<BlockShape<'_>>(raw) else { return };
        for one in block.transactions.iter().take(limits::BENCH_FACTS) {
            let Ok(one) = serde_json::from_str::<TransactionShape>(one.get()) else { continue };
            let is_call = one.input.as_ref().is_some_and(|input| input.len() > 2);
            let to = one.to.filter(|to| is_hex(to, 40));
            if is_call {
                self.contracts.extend(to.clone());
            }
            self.addresses.extend([Some(one.from).filter(|from| is_hex(from, 40)), to].into_iter().flatten());
            self.transactions.extend(Some(one.hash).filter(|hash| is_hex(hash, 64)));
        }
        [&mut self.addresses, &mut self.contracts, &mut self.transactions].into_iter().for_each(distinct);
    }
}

/// Parameters are put together as text, so nothing else may come in.
fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits + 2 && text.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// In their order, each once, and not too many.
fn distinct(list: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    list.retain(|one| seen.insert(one.clone()));
    list.truncate(limits::BENCH_FACTS);
}

/// How one method of a named mix gets its parameters.
#[derive(Clone, Copy, Debug)]
enum ParamForm {
    None,
    BalanceLatest,
    NonceLatest,
    BalanceOld,
    StorageOld,
    CallLatest,
    CallOld,
    Estimate,
    Receipt,
    Transaction,
    BlockLatest,
    BlockRecent,
    BlockOld,
    Receipts,
    Logs,
}

/// Method, weight, parameters.
type MixPart = (&'static str, u32, ParamForm);

const WALLET: &[MixPart] = &[
    ("eth_getBalance", 25, ParamForm::BalanceLatest),
    ("eth_call", 25, ParamForm::CallLatest),
    ("eth_blockNumber", 20, ParamForm::None),
    ("eth_getTransactionReceipt", 15, ParamForm::Receipt),
    ("eth_estimateGas", 15, ParamForm::Estimate),
];
const INDEXER: &[MixPart] = &[
    ("eth_getLogs", 35, ParamForm::Logs),
    ("eth_getBlockByNumber", 30, ParamForm::BlockRecent),
    ("eth_getBlockReceipts", 20, ParamForm::Receipts),
    ("eth_getTransactionByHash", 15, ParamForm::Transaction),
];
const TRADER: &[MixPart] = &[
    ("eth_call", 40, ParamForm::CallLatest),
    ("eth_getBlockByNumber", 20, ParamForm::BlockLatest),
    ("eth_gasPrice", 20, ParamForm::None),
    ("eth_getTransactionCount", 20, ParamForm::NonceLatest),
];
const ARCHIVE: &[MixPart] = &[
    ("eth_getBalance", 30, ParamForm::BalanceOld),
    ("eth_call", 30, ParamForm::CallOld),
    ("eth_getBlockByNumber", 20, ParamForm::BlockOld),
    ("eth_getStorageAt", 20, ParamForm::StorageOld),
];

/// The words of `--methods`.
pub const WORDS: [&str; 4] = ["wallet", "indexer", "trader", "archive"];

fn parts(word: &str) -> Option<&'static [MixPart]> {
    Some(match word {
        "wallet" => WALLET,
        "indexer" => INDEXER,
        "trader" => TRADER,
        "archive" => ARCHIVE,
        _ => return None,
    })
}

/// What calls are drawn from.
#[derive(Clone, Debug)]
pub struct Mix {
    name: String,
    kind: MixKind,
}

#[derive(Clone, Debug)]
enum MixKind {
    Named(&'static [MixPart]),
    /// In turn, from the first on.
    Listed(Vec<BenchCall>),
}

/// Why a file is no mix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MixFault {
    pub line: usize,
    pub why: String,
}

impl fmt::Display for MixFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}: {}", self.line, self.why)
    }
}

impl Mix {
    pub fn named(word: &str) -> Option<Mix> {
        Some(Mix { name: word.to_owned(), kind: MixKind::Named(parts(word)?) })
    }

    /// From lines of `{"method","params"}`; what else a line holds is not looked at. `name`: for people.
    pub fn listed(name: &str, text: &str) -> Result<Mix, MixFault> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let calls: Vec<BenchCall> = lines.map(|(place, line)| read_line(place + 1, line)).collect::<Result<_, _>>()?;
        match calls.len() {
            0 => Err(MixFault { line: 1, why: "there is no call in it (write one {\"method\",\"params\"} a line)".to_owned() }),
            more if more > limits::BENCH_LISTED => {
                Err(MixFault { line: limits::BENCH_LISTED + 1, why: format!("more than {} calls", limits::BENCH_LISTED) })
            }
            _ => Ok(Mix { name: name.to_owned(), kind: MixKind::Listed(calls) }),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Each method once, in their order.
    pub fn methods(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        let all: Vec<&str> = match &self.kind {
            MixKind::Named(parts) => parts.iter().map(|(method, _, _)| *method).collect(),
            MixKind::Listed(calls) => calls.iter().map(|call| call.method.as_str()).collect(),
        };
        all.into_iter().filter(|method| seen.insert(*method)).collect()
    }

    /// The calls of all moments.
    pub fn draw(&self, moments: u32, facts: &ChainFacts, rng: &mut Rng) -> Vec<BenchCall> {
        match &self.kind {
            MixKind::Listed(calls) => calls.iter().cycle().take(moments as usize).cloned().collect(),
            MixKind::Named(parts) => {
                let mut turns = MethodTurns::new(parts);
                (0..moments).filter_map(|_| turns.next(rng).map(|part| draw(part, facts, rng))).collect()
            }
        }
    }
}

fn read_line(line: usize, text: &str) -> Result<BenchCall, MixFault> {
    #[derive(Deserialize)]
    struct MixLine<'a> {
        method: String,
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }
    let fault = |why: String| MixFault { line, why };
    let read: MixLine<'_> =
        serde_json::from_str(text).map_err(|error| fault(format!("no {{\"method\",\"params\"}}: {error}")))?;
    let name = read.method;
    let is_name =
        !name.is_empty() && name.len() <= limits::METHOD_BYTES && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_name {
        return Err(fault("the method's name is none (letters, digits and _)".to_owned()));
    }
    let id = method::lookup(name.as_bytes());
    let is_open = matches!(method::gate(name.as_bytes()), Gate::Forward | Gate::Local);
    if method::terms(id, name.as_bytes()).safety != Safety::Repeatable || !is_open {
        return Err(fault(format!("{name} changes something or may (bench only asks what can be asked twice; delete the line)")));
    }
    let params = read.params.map_or("[]", RawValue::get);
    match params.as_bytes().first() {
        Some(b'[' | b'{') => Ok(BenchCall::new(&name, params.to_owned())),
        _ => Err(fault("params is neither a list nor an object".to_owned())),
    }
}

/// Methods in proportion to their weights, spread evenly: who is furthest behind its share is next.
struct MethodTurns {
    parts: &'static [MixPart],
    credit: Vec<i64>,
}

impl MethodTurns {
    fn new(parts: &'static [MixPart]) -> MethodTurns {
        MethodTurns { parts, credit: vec![0; parts.len()] }
    }

    /// Among those that are equally far behind, by chance.
    fn next(&mut self, rng: &mut Rng) -> Option<&'static MixPart> {
        let all: i64 = self.parts.iter().map(|(_, weight, _)| i64::from(*weight)).sum();
        self.credit.iter_mut().zip(self.parts).for_each(|(credit, (_, weight, _))| *credit += i64::from(*weight));
        let most = self.credit.iter().copied().max()?;
        let first: Vec<usize> = self.credit.iter().enumerate().filter(|(_, credit)| **credit == most).map(|(at, _)| at).collect();
        let place = *first.get(rng.below(first.len() as u64) as usize)?;
        *self.credit.get_mut(place)? -= all;
        self.parts.get(place)
    }
}

/// Nobody's, for a chain whose blocks are empty.
const NOBODY: &str = "0x000000000000000000000000000000000000dead";
const NOTHING: &str = "0x00000000000000000000000000000000000000000000000000000000000000ff";

fn draw(part: &MixPart, facts: &ChainFacts, rng: &mut Rng) -> BenchCall {
    let (method, _, form) = *part;
    let mut one = |list: &[String], none: &str| match list.get(rng.below(list.len() as u64) as usize) {
        Some(found) => found.clone(),
        None => none.to_owned(),
    };
    let address = one(&facts.addresses, NOBODY);
    let contract = if facts.contracts.is_empty() { address.clone() } else { one(&facts.contracts, NOBODY) };
    let transaction = one(&facts.transactions, NOTHING);
    let recent = facts.head.saturating_sub(limits::BENCH_BELOW_HEAD + rng.below(32));
    // Anything but the newest blocks, which every provider has the state of.
    let old = 1 + rng.below(facts.head.saturating_sub(limits::BENCH_OLD_BLOCKS).max(1));
    // balanceOf(address): what wallets and traders ask of contracts.
    let ask =
        || format!(r#"{{"to":"{contract}","data":"0x70a08231000000000000000000000000{}"}}"#, address.trim_start_matches("0x"));
    let params = match form {
        ParamForm::None => "[]".to_owned(),
        ParamForm::BalanceLatest | ParamForm::NonceLatest => format!(r#"["{address}","latest"]"#),
        ParamForm::BalanceOld => format!(r#"["{address}","{old:#x}"]"#),
        ParamForm::StorageOld => format!(r#"["{contract}","0x0","{old:#x}"]"#),
        ParamForm::CallLatest => format!(r#"[{},"latest"]"#, ask()),
        ParamForm::CallOld => format!(r#"[{},"{old:#x}"]"#, ask()),
        ParamForm::Estimate => format!(r#"[{{"from":"{address}","to":"{NOBODY}","value":"0x0"}}]"#),
        ParamForm::Receipt | ParamForm::Transaction => format!(r#"["{transaction}"]"#),
        ParamForm::BlockLatest => r#"["latest",false]"#.to_owned(),
        ParamForm::BlockRecent => format!(r#"["{recent:#x}",true]"#),
        ParamForm::BlockOld => format!(r#"["{old:#x}",false]"#),
        ParamForm::Receipts => format!(r#"["{recent:#x}"]"#),
        ParamForm::Logs => {
            let from = recent.saturating_sub(9);
            format!(r#"[{{"fromBlock":"{from:#x}","toBlock":"{recent:#x}","address":"{contract}"}}]"#)
        }
    };
    BenchCall::new(method, params)
}

/// A quoted quantity.
pub fn quantity(raw: &[u8]) -> Option<u64> {
    parse_quantity(raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn facts() -> ChainFacts {
        let one = |n: u8, input: &str| {
            format!(
                r#"{{"hash":"0x{}","from":"0x{}","to":"0x{}","input":"{input}"}}"#,
                "a".repeat(63) + &n.to_string(),
                "b".repeat(40),
                "c".repeat(40)
            )
        };
        let mut facts = ChainFacts { head: 1_000, ..ChainFacts::default() };
        facts.read_block(format!(r#"{{"number":"0x1","transactions":[{},{},5]}}"#, one(1, "0x"), one(2, "0x1234")).as_bytes());
        facts
    }

    #[test]
    fn blocks_are_read_for_what_can_be_asked_about() {
        let facts = facts();
        assert_eq!((facts.transactions.len(), facts.addresses.len(), facts.contracts.len()), (2, 2, 1));
        let mut spoilt = ChainFacts::default();
        for raw in ["", "null", "{}", r#"{"transactions":["0xab"]}"#, r#"{"transactions":[{"hash":"\"","from":"x","to":null}]}"#]
        {
            spoilt.read_block(raw.as_bytes());
        }
        assert!(spoilt.addresses.is_empty() && spoilt.transactions.is_empty());
    }

    #[test]
    fn every_named_mix_asks_what_can_be_asked_in_the_shares_that_it_says() {
        for word in WORDS {
            let mix = Mix::named(word).expect("a mix");
            for facts in [facts(), ChainFacts::default()] {
                let calls = mix.draw(200, &facts, &mut Rng::new(1));
                let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
                for call in &calls {
                    let body: serde_json::Value = serde_json::from_slice(&call.body()).expect("JSON");
                    assert!(body["params"].is_array(), "{body}");
                    *counts.entry(&call.method).or_default() += 1;
                    assert_eq!(read_line(1, std::str::from_utf8(&call.body()).expect("text")).as_ref(), Ok(call));
                }
                for (method, weight, _) in parts(word).expect("parts") {
                    assert_eq!(counts.get(method), Some(&(weight * 2)), "{word} {method}");
                }
                assert_eq!(calls, mix.draw(200, &facts, &mut Rng::new(1)), "a seed repeats it");
            }
            assert_ne!(mix.draw(99, &facts(), &mut Rng::new(1)), mix.draw(99, &facts(), &mut Rng::new(2)));
        }
        assert!(Mix::named("nonsense").is_none());
    }

    #[test]
    fn files_are_read_by_line_and_what_changes_state_is_refused() {
        let good = "{\"method\":\"eth_call\",\"params\":[{},\"latest\"],\"at\":5}\n\n{\"method\":\"eth_gasPrice\"}\n";
        let mix = Mix::listed("mine.jsonl", good).expect("a mix");
        assert_eq!((mix.name(), mix.methods()), ("mine.jsonl", vec!["eth_call", "eth_gasPrice"]));
        let calls = mix.draw(3, &ChainFacts::default(), &mut Rng::new(1));
        assert_eq!(
            calls.iter().map(|call| call.params.as_str()).collect::<Vec<_>>(),
            ["[{},\"latest\"]", "[]", "[{},\"latest\"]"]
        );
        let fault = |text: &str| Mix::listed("x", text).expect_err(text).to_string();
        assert!(
            fault("\n{\"method\":\"eth_sendRawTransaction\",\"params\":[]}")
                .starts_with("line 2: eth_sendRawTransaction changes")
        );
        for method in ["eth_newFilter", "eth_subscribe", "personal_sign", "admin_peers", "eth_sendTransaction", "nonsense_do"] {
            assert!(fault(&format!("{{\"method\":\"{method}\"}}")).contains("delete the line"), "{method}");
        }
        for odd in
            ["", "x", "[]", "{}", "{\"method\":\"eth_call\",\"params\":5}", "{\"method\":\"eth call\"}", "{\"method\":\"\"}"]
        {
            fault(odd);
        }
    }
}
