//! What a call asks of history: the block it names, or the range of blocks whose logs it wants.
//!
//! A provider that has pruned that block, or has not reached it yet, would only answer with an error, so selection asks
//! before anything is sent. The table is LB §5.2's: methods that are not in it ask for nothing, and their parameters are
//! not looked at. Values are found by position and skipped, never parsed: nothing is allocated, and a call's `data` is
//! passed 64 bytes at a time. Rejected: `serde_json::Value` (micros and allocations for one small string), and telling tags by
//! searching the text (an address or call data can contain anything).
//!
//! It fails towards "asks for nothing": what no node would take, or only after unescaping digits, is for a provider to
//! refuse. Object params stand for a list of that one object, as they are sent upstream; `null` is an absent argument.

use super::hex::parse_quantity;
use super::method;
use crate::base::ids::MethodId;
use crate::wire::json::{JsonFault, skip_space, skip_value, string_equals};

/// The block that a call names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BlockAsk {
    /// The method names no block, or the call names it wrongly.
    #[default]
    None,
    /// `latest`, `pending`, `safe`, `finalized`, or absent.
    Latest,
    Earliest,
    Number(u64),
    /// By hash, as EIP-1898 allows: its height is not known to us.
    Hash,
}

impl BlockAsk {
    fn archival(self, consensus: Option<u64>, threshold: u64) -> bool {
        match self {
            BlockAsk::None | BlockAsk::Latest | BlockAsk::Hash => false,
            BlockAsk::Earliest => true,
            BlockAsk::Number(number) => consensus.is_none_or(|head| head.saturating_sub(number) > threshold),
        }
    }

    fn age(self, consensus: Option<u64>) -> Option<u64> {
        match self {
            BlockAsk::None | BlockAsk::Hash => None,
            BlockAsk::Latest => Some(0),
            BlockAsk::Earliest => consensus,
            BlockAsk::Number(number) => consensus.map(|head| head.saturating_sub(number)),
        }
    }
}

/// One end of a log filter's range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edge {
    Absent,
    /// `latest`, `pending`, `safe` or `finalized`.
    Latest,
    Earliest,
    Number(u64),
}

impl Edge {
    /// Nodes read an absent edge as `latest`.
    fn block(self) -> BlockAsk {
        match self {
            Edge::Absent | Edge::Latest => BlockAsk::Latest,
            Edge::Earliest => BlockAsk::Earliest,
            Edge::Number(number) => BlockAsk::Number(number),
        }
    }

    fn number(self, head: Option<u64>) -> Option<u64> {
        match self {
            Edge::Absent => None,
            Edge::Latest => head,
            Edge::Earliest => Some(0),
            Edge::Number(number) => Some(number),
        }
    }
}

/// Of `eth_getLogs`, unless it names one block by hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRange {
    pub from: Edge,
    pub to: Edge,
}

impl LogRange {
    /// |to − from|, as `max_block_range` counts it (LB §3.2): nothing without both edges, or while `head` is needed and
    /// unknown.
    pub fn blocks(&self, head: Option<u64>) -> Option<u64> {
        Some(self.from.number(head)?.abs_diff(self.to.number(head)?))
    }
}

/// What a call asks of history: of `block` and `range` one at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    pub block: BlockAsk,
    pub range: Option<LogRange>,
}

impl Needs {
    pub const NONE: Needs = Needs { block: BlockAsk::None, range: None };

    fn blocks(&self) -> [BlockAsk; 3] {
        let [from, to] = self.range.map_or([BlockAsk::None; 2], |range| [range.from.block(), range.to.block()]);
        [self.block, from, to]
    }

    /// The highest block number that the call names: a provider whose head is below it answers null, or too few logs.
    pub fn min_height(&self) -> Option<u64> {
        let number = |block| if let BlockAsk::Number(number) = block { Some(number) } else { None };
        self.blocks().into_iter().filter_map(number).max()
    }

    /// Whether only an archive node is sure to have it (LB §5.2): `earliest`, a number more than `threshold` blocks below
    /// the consensus height, or any number while that is unknown; of a range, either edge.
    pub fn archival(&self, consensus: Option<u64>, threshold: u64) -> bool {
        self.blocks().into_iter().any(|block| block.archival(consensus, threshold))
    }

    /// How many blocks behind the consensus height the oldest block asked for is; nothing when that cannot be told.
    pub fn age(&self, consensus: Option<u64>) -> Option<u64> {
        let Some(range) = self.range else { return self.block.age(consensus) };
        Some(range.from.block().age(consensus)?.max(range.to.block().age(consensus)?))
    }
}

/// What a call of `method` with these raw `params` (valid JSON: a list, an object, or empty) asks of history.
pub fn needs(method: MethodId, params: &[u8]) -> Needs {
    match place_of(method) {
        Place::Nowhere => Needs::NONE,
        Place::Block(place) => Needs { block: argument(params, place).map_or(BlockAsk::None, block_ask), range: None },
        Place::Filter => argument(params, 0).ok().flatten().and_then(log_filter).unwrap_or(Needs::NONE),
    }
}

/// The age in blocks of the block that a call's last parameter names, whatever the method: what `max_block_age` bounds
/// (LB §3.2). Nothing when that is no block, or when its height or the consensus height is unknown.
pub fn age_of_last_param(params: &[u8], consensus: Option<u64>) -> Option<u64> {
    let last = last_argument(params).ok().flatten()?;
    block_ask(Some(last)).age(consensus)
}

/// Where a method's call names its block.
enum Place {
    Nowhere,
    /// By position in the params.
    Block(usize),
    /// In the filter object.
    Filter,
}

/// LB §5.2.
fn place_of(method: MethodId) -> Place {
    match method::info(method).name {
        "eth_getBlockByNumber" => Place::Block(0),
        "eth_call" | "eth_getBalance" | "eth_getCode" | "eth_getTransactionCount" => Place::Block(1),
        "eth_getStorageAt" => Place::Block(2),
        "eth_getLogs" => Place::Filter,
        _ => Place::Nowhere,
    }
}

/// A block as a person writes it: a tag, a quantity in hex, a decimal number, a hash. Nothing for anything else.
pub fn block_in_words(text: &str) -> Option<BlockAsk> {
    if let Ok(number) = text.parse() {
        return Some(BlockAsk::Number(number));
    }
    let quoted = format!("\"{text}\"");
    Some(block_ask(Some(quoted.as_bytes()))).filter(|ask| *ask != BlockAsk::None)
}

/// A tag, a quantity, a hash, or an EIP-1898 object.
fn block_ask(token: Option<&[u8]>) -> BlockAsk {
    let Some(token) = token else { return BlockAsk::Latest };
    if let Some(text) = text_of(token) {
        return tag(text);
    }
    match members(token, ["blockNumber", "blockHash"]) {
        Ok([Some(number), None]) => text_of(number).map_or(BlockAsk::None, tag),
        Ok([None, Some(hash)]) if text_of(hash).is_some() => BlockAsk::Hash,
        Ok(_) | Err(_) => BlockAsk::None,
    }
}

/// `0x` and the digits of a u64; longer texts are hashes, addresses and slots, also those that begin with zeros.
const QUANTITY_BYTES: usize = 18;
const HASH_BYTES: usize = 66;

/// What a string, as it stands between its quotes, names.
fn tag(text: &[u8]) -> BlockAsk {
    let is = |word| string_equals(text, word);
    if text.first() == Some(&b'0') {
        return match text.len() {
            HASH_BYTES if is_hex(text) => BlockAsk::Hash,
            0..=QUANTITY_BYTES => parse_quantity(text).map_or(BlockAsk::None, BlockAsk::Number),
            _ => BlockAsk::None,
        };
    }
    if is("earliest") {
        BlockAsk::Earliest
    } else if is("latest") || is("pending") || is("safe") || is("finalized") {
        BlockAsk::Latest
    } else {
        BlockAsk::None
    }
}

fn is_hex(text: &[u8]) -> bool {
    text.strip_prefix(b"0x").is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Nothing for what no node takes for a filter.
fn log_filter(token: &[u8]) -> Option<Needs> {
    let edge = |token: Option<&[u8]>| {
        let Some(token) = token else { return Some(Edge::Absent) };
        match tag(text_of(token)?) {
            BlockAsk::None | BlockAsk::Hash => None,
            BlockAsk::Latest => Some(Edge::Latest),
            BlockAsk::Earliest => Some(Edge::Earliest),
            BlockAsk::Number(number) => Some(Edge::Number(number)),
        }
    };
    match members(token, ["blockHash", "fromBlock", "toBlock"]).ok()? {
        [None, from, to] => Some(Needs { block: BlockAsk::None, range: Some(LogRange { from: edge(from)?, to: edge(to)? }) }),
        [Some(hash), None, None] => text_of(hash).map(|_| Needs { block: BlockAsk::Hash, range: None }),
        [Some(_), _, _] => None,
    }
}

/// A key as it stands between its quotes, and its value.
type Member<'a> = (&'a [u8], &'a [u8]);

/// The values of a list or the members of an object, one after another.
struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    /// No bracket was opened: the text's end is the end.
    bare: bool,
}

impl<'a> Walk<'a> {
    /// Whether another value follows; then it starts at `at`.
    fn advance(&mut self) -> Result<bool, JsonFault> {
        self.at = skip_space(self.text, self.at);
        if self.text.get(self.at) == Some(&b',') {
            self.at = skip_space(self.text, self.at + 1);
        }
        match self.text.get(self.at) {
            Some(b']' | b'}') => Ok(false),
            Some(_) => Ok(true),
            None if self.bare => Ok(false),
            None => Err(JsonFault::Truncated),
        }
    }

    fn value(&mut self) -> Result<&'a [u8], JsonFault> {
        let from = self.at;
        self.at = skip_value(self.text, from)?;
        self.text.get(from..self.at).ok_or(JsonFault::Truncated)
    }

    fn item(&mut self) -> Result<Option<&'a [u8]>, JsonFault> {
        if self.advance()? { self.value().map(Some) } else { Ok(None) }
    }

    fn member(&mut self) -> Result<Option<Member<'a>>, JsonFault> {
        if !self.advance()? {
            return Ok(None);
        }
        let key = text_of(self.value()?).ok_or(JsonFault::Syntax(self.at))?;
        let colon = skip_space(self.text, self.at);
        if self.text.get(colon) != Some(&b':') {
            return Err(JsonFault::Syntax(colon));
        }
        self.at = skip_space(self.text, colon + 1);
        Ok(Some((key, self.value()?)))
    }
}

/// The call's arguments: the items of a list, or the one value that stands there instead.
fn arguments(params: &[u8]) -> Walk<'_> {
    let at = skip_space(params, 0);
    let list = params.get(at) == Some(&b'[');
    Walk { text: params, at: at + usize::from(list), bare: !list }
}

fn argument(params: &[u8], place: usize) -> Result<Option<&[u8]>, JsonFault> {
    let mut walk = arguments(params);
    for _ in 0..place {
        if walk.item()?.is_none() {
            return Ok(None);
        }
    }
    Ok(walk.item()?.filter(|token| *token != b"null"))
}

fn last_argument(params: &[u8]) -> Result<Option<&[u8]>, JsonFault> {
    let mut walk = arguments(params);
    let mut last = None;
    while let Some(token) = walk.item()? {
        last = Some(token);
    }
    Ok(last)
}

/// The values of an object under these names: of repeated keys the last, as parsers have it; `null` is none.
fn members<'a, const N: usize>(token: &'a [u8], names: [&str; N]) -> Result<[Option<&'a [u8]>; N], JsonFault> {
    if token.first() != Some(&b'{') {
        return Err(JsonFault::Syntax(0));
    }
    let mut found = [None; N];
    let mut walk = Walk { text: token, at: 1, bare: false };
    while let Some((key, value)) = walk.member()? {
        for (slot, name) in found.iter_mut().zip(names) {
            if string_equals(key, name) {
                *slot = Some(value).filter(|value| *value != b"null");
            }
        }
    }
    Ok(found)
}

/// What stands between the quotes of a string token.
fn text_of(token: &[u8]) -> Option<&[u8]> {
    token.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

#[cfg(test)]
#[path = "params_tests.rs"]
mod tests;
