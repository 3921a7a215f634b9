//! What a call asks of history: the block it names, or the range of blocks whose logs it wants.
//!
//! A provider that has pruned that block, or has not reached it yet, would answer with an error, or say that there is nothing,
//! so selection asks before anything is sent. Where a block stands is the method table's: methods that name none ask for
//! nothing, and their parameters are not looked at. Values are found by position and skipped, never parsed: nothing is allocated, and a call's `data` is
//! passed 64 bytes at a time. Rejected: `serde_json::Value` (micros and allocations for one small string), and telling tags by
//! searching the text (an address or call data can contain anything).
//!
//! It fails towards "asks for nothing": what no node would take, or only after unescaping digits, is for a provider to
//! refuse. Object params stand for a list of that one object, as they are sent upstream; `null` is an absent argument.

use super::hex::{parse_bytes, parse_quantity};
use super::method::{self, Locator};
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
    /// By hash: its height is not known from the call.
    Hash([u8; 32]),
}

impl BlockAsk {
    /// More than `threshold` blocks below the head; an unknown head is above nothing.
    fn is_old(self, consensus: Option<u64>, threshold: u64) -> bool {
        match self {
            BlockAsk::None | BlockAsk::Latest | BlockAsk::Hash(_) => false,
            BlockAsk::Earliest => true,
            BlockAsk::Number(number) => consensus.is_some_and(|head| head.saturating_sub(number) > threshold),
        }
    }

    fn age(self, consensus: Option<u64>) -> Option<u64> {
        match self {
            BlockAsk::None | BlockAsk::Hash(_) => None,
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

/// The range of a log filter, unless it names one block by hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRange {
    pub from: Edge,
    pub to: Edge,
}

impl LogRange {
    /// |to − from|, as `max_block_range` counts it (docs/behaviour/choosing.md#capabilities): nothing without both edges, or
    /// while `head` is needed and unknown.
    pub fn blocks(&self, head: Option<u64>) -> Option<u64> {
        Some(self.from.number(head)?.abs_diff(self.to.number(head)?))
    }
}

/// What a call asks of history: of `block` and `range` one at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    pub block: BlockAsk,
    pub range: Option<LogRange>,
    /// State is asked for, which pruned nodes drop: not what blocks, receipts and logs are made of.
    pub is_state: bool,
}

impl Needs {
    pub const NONE: Needs = Needs { block: BlockAsk::None, range: None, is_state: false };

    fn blocks(&self) -> [BlockAsk; 3] {
        let [from, to] = self.range.map_or([BlockAsk::None; 2], |range| [range.from.block(), range.to.block()]);
        [self.block, from, to]
    }

    /// The highest block number that the call names: a provider whose head is below it answers null, or too few logs.
    pub fn min_height(&self) -> Option<u64> {
        let number = |block| if let BlockAsk::Number(number) = block { Some(number) } else { None };
        self.blocks().into_iter().filter_map(number).max()
    }

    /// The block that is named by its hash.
    pub fn hash(&self) -> Option<[u8; 32]> {
        if let BlockAsk::Hash(hash) = self.block { Some(hash) } else { None }
    }

    /// Whether only an archive node is sure to have it: state of `earliest`, or of a number more than `threshold` blocks below
    /// the consensus height; of a range, either edge.
    pub fn archival(&self, consensus: Option<u64>, threshold: u64) -> bool {
        self.is_state && self.blocks().into_iter().any(|block| block.is_old(consensus, threshold))
    }

    /// How many blocks behind the consensus height the oldest block asked for is; nothing when that cannot be told.
    pub fn age(&self, consensus: Option<u64>) -> Option<u64> {
        let Some(range) = self.range else { return self.block.age(consensus) };
        Some(range.from.block().age(consensus)?.max(range.to.block().age(consensus)?))
    }
}

/// What a call of `method` with these raw `params` (valid JSON: a list, an object, or empty) asks of history.
pub fn needs(method: MethodId, params: &[u8]) -> Needs {
    let locator = method::info(method).locator;
    let is_state = locator.is_state();
    match locator {
        Locator::Nowhere | Locator::Transaction => Needs::NONE,
        Locator::Block(place) | Locator::State(place) => Needs { block: named(params, place.into()), range: None, is_state },
        Locator::Blocks => Needs { block: later(named(params, 0), named(params, 1)), ..Needs::NONE },
        Locator::Logs | Locator::StateLogs => {
            let filter = argument(params, 0).ok().flatten().and_then(log_filter);
            Needs { is_state, ..filter.unwrap_or(Needs::NONE) }
        }
    }
}

/// The block that one argument names.
fn named(params: &[u8], place: usize) -> BlockAsk {
    let Ok(token) = argument(params, place) else { return BlockAsk::None };
    match token {
        // Chains whose own methods count blocks in plain numbers.
        Some([b'0'..=b'9', ..]) => token.and_then(decimal).map_or(BlockAsk::None, BlockAsk::Number),
        _ => block_ask(token),
    }
}

fn decimal(token: &[u8]) -> Option<u64> {
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// The one of two blocks that is reached last.
fn later(one: BlockAsk, other: BlockAsk) -> BlockAsk {
    match (one, other) {
        (BlockAsk::Number(a), BlockAsk::Number(b)) => BlockAsk::Number(a.max(b)),
        (BlockAsk::Number(_), _) => one,
        _ => other,
    }
}

/// The age in blocks of the block that a call's last parameter names, whatever the method: what `max_block_age` bounds
/// on a provider. Nothing when that is no block, or when its height or the consensus height is unknown.
pub fn age_of_last_param(params: &[u8], consensus: Option<u64>) -> Option<u64> {
    let last = last_argument(params).ok().flatten()?;
    block_ask(Some(last)).age(consensus)
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
        Ok([None, Some(hash)]) => text_of(hash).and_then(parse_bytes).map_or(BlockAsk::None, BlockAsk::Hash),
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
            HASH_BYTES => parse_bytes(text).map_or(BlockAsk::None, BlockAsk::Hash),
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

/// Nothing for what no node takes for a filter.
fn log_filter(token: &[u8]) -> Option<Needs> {
    let edge = |token: Option<&[u8]>| {
        let Some(token) = token else { return Some(Edge::Absent) };
        match tag(text_of(token)?) {
            BlockAsk::None | BlockAsk::Hash(_) => None,
            BlockAsk::Latest => Some(Edge::Latest),
            BlockAsk::Earliest => Some(Edge::Earliest),
            BlockAsk::Number(number) => Some(Edge::Number(number)),
        }
    };
    match members(token, ["blockHash", "fromBlock", "toBlock"]).ok()? {
        [None, from, to] => Some(Needs { range: Some(LogRange { from: edge(from)?, to: edge(to)? }), ..Needs::NONE }),
        [Some(hash), None, None] => {
            let hash = text_of(hash).and_then(parse_bytes)?;
            Some(Needs { block: BlockAsk::Hash(hash), ..Needs::NONE })
        }
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
