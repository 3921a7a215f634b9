//! Which logs a subscription asks for: the canonical form of its filter, what matches it, and what a block's bloom rules out.
//!
//! Two filters that mean the same are equal, so that their clients share one upstream subscription: addresses and the
//! choices at one position are sorted and distinct, a single value is a list of one, empty lists and trailing wildcards are
//! gone (geth asks that a trailing wildcard's topic be there; others do not). Members that no node reads are dropped. A null among choices means anything, as geth and reth read it.
//! A block range bounds new blocks, as in geth; tags that say nothing about new blocks are dropped, others refused.
//! Rejected: keeping the text (equal filters would not be equal), and matching by what was upstream's word alone (fills
//! and the bloom need the rule here anyway).

use super::event::{BlockHash, Log};
use crate::base::limits::{FILTER_ADDRESSES, FILTER_CHOICES, FILTER_TOPICS};
use crate::chain::bloom::Bloom;
use crate::chain::hex::{parse_bytes, parse_quantity, write_bytes, write_quantity};
use serde_json::Value;
use sha3::{Digest, Keccak256};

pub(super) type Address = [u8; 20];
pub(super) type Topic = [u8; 32];

/// A log filter in canonical form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LogFilter {
    /// Sorted; none means any.
    pub(super) addresses: Vec<Address>,
    /// For each position the choices, sorted; none means anything, also that there is no such topic.
    pub(super) topics: Vec<Vec<Topic>>,
    pub(super) from: Option<u64>,
    pub(super) to: Option<u64>,
}

impl LogFilter {
    /// From the second parameter of `eth_subscribe`; the error is for the client.
    pub fn parse(filter: &Value) -> Result<LogFilter, String> {
        let object = match filter {
            Value::Null => return Ok(LogFilter::default()),
            Value::Object(object) => object,
            _ => return Err("the log filter must be an object".into()),
        };
        let member = |name| object.get(name).filter(|value| !value.is_null());
        if member("blockHash").is_some() {
            return Err("a subscription is about new blocks: blockHash is for eth_getLogs".into());
        }
        let addresses = member("address").map_or(Ok(Vec::new()), parse_addresses)?;
        let mut topics = member("topics").map_or(Ok(Vec::new()), parse_topics)?;
        while topics.pop_if(|choices| choices.is_empty()).is_some() {}
        let (from, to) = (edge(member("fromBlock"), "fromBlock")?, edge(member("toBlock"), "toBlock")?);
        if to.is_some_and(|to| from.unwrap_or(0) > to) {
            return Err("fromBlock is above toBlock".into());
        }
        Ok(LogFilter { addresses, topics, from: from.filter(|from| *from > 0), to })
    }

    /// `newest` is a height that the chain has reached.
    pub fn forget_past(&mut self, newest: u64) {
        self.from = self.from.filter(|from| *from > newest);
    }

    /// Appends the canonical filter object.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut members = Members { out, any: false };
        members.edge("fromBlock", self.from);
        members.edge("toBlock", self.to);
        if !self.addresses.is_empty() {
            members.name("address");
            write_list(members.out, &self.addresses);
        }
        if !self.topics.is_empty() {
            members.name("topics");
            for (place, choices) in self.topics.iter().enumerate() {
                members.out.push(if place == 0 { b'[' } else { b',' });
                match choices.is_empty() {
                    true => members.out.extend_from_slice(b"null"),
                    false => write_list(members.out, choices),
                }
            }
            members.out.push(b']');
        }
        out.push(b'}');
    }

    /// Appends the filter object of `eth_getLogs` for one block.
    pub fn write_for_block(&self, out: &mut Vec<u8>, block: BlockHash) {
        out.extend_from_slice(b"{\"blockHash\":\"");
        write_bytes(out, &block.0);
        out.push(b'"');
        let mut own = Vec::new();
        LogFilter { from: None, to: None, ..self.clone() }.write(&mut own);
        let members = own.strip_prefix(b"{").unwrap_or(&[]);
        if members.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(members);
    }

    /// The same for the block of a height.
    pub fn write_for_number(&self, out: &mut Vec<u8>, number: u64) {
        LogFilter { from: Some(number), to: Some(number), ..self.clone() }.write(out);
    }

    pub fn matches(&self, log: &Log) -> bool {
        let in_range = self.from.is_none_or(|from| from <= log.number) && self.to.is_none_or(|to| log.number <= to);
        let by_address = self.addresses.is_empty() || self.addresses.binary_search(&log.address).is_ok();
        let by_topic = |(place, choices): (usize, &Vec<Topic>)| {
            choices.is_empty() || log.topics.get(place).is_some_and(|topic| choices.binary_search(topic).is_ok())
        };
        in_range && by_address && self.topics.iter().enumerate().all(by_topic)
    }
}

/// Writes an object member by member; the closing brace is the caller's.
struct Members<'a> {
    out: &'a mut Vec<u8>,
    any: bool,
}

impl Members<'_> {
    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(if self.any { b",\"" } else { b"\"" });
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.any = true;
    }

    fn edge(&mut self, name: &str, number: Option<u64>) {
        let Some(number) = number else { return };
        self.name(name);
        self.out.push(b'"');
        write_quantity(self.out, number);
        self.out.push(b'"');
    }
}

fn write_list<const N: usize>(out: &mut Vec<u8>, items: &[[u8; N]]) {
    for (place, item) in items.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"[\"" } else { b",\"" });
        write_bytes(out, item);
        out.push(b'"');
    }
    out.push(b']');
}

fn parse_one<const N: usize>(value: &Value, what: &str) -> Result<[u8; N], String> {
    let bytes = value.as_str().and_then(|text| parse_bytes(text.as_bytes()));
    bytes.ok_or_else(|| format!("{what} must be 0x and {} hex digits", 2 * N))
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items.dedup();
    items
}

fn parse_addresses(value: &Value) -> Result<Vec<Address>, String> {
    let Value::Array(items) = value else { return Ok(vec![parse_one(value, "address")?]) };
    if items.len() > FILTER_ADDRESSES {
        return Err(format!("at most {FILTER_ADDRESSES} addresses"));
    }
    let items = items.iter().filter(|item| !item.is_null());
    items.map(|item| parse_one(item, "address")).collect::<Result<_, _>>().map(sorted)
}

fn parse_topics(value: &Value) -> Result<Vec<Vec<Topic>>, String> {
    let Value::Array(places) = value else { return Err("topics must be a list".into()) };
    if places.len() > FILTER_TOPICS {
        return Err(format!("at most {FILTER_TOPICS} topics"));
    }
    places.iter().map(parse_choices).collect()
}

fn parse_choices(value: &Value) -> Result<Vec<Topic>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) if items.len() > FILTER_CHOICES => Err(format!("at most {FILTER_CHOICES} choices for one topic")),
        Value::Array(items) => {
            let topics = items.iter().filter(|item| !item.is_null()).map(|item| parse_one(item, "topic"));
            let topics: Vec<Topic> = topics.collect::<Result<_, _>>()?;
            Ok(if items.iter().any(Value::is_null) { Vec::new() } else { sorted(topics) })
        }
        single => Ok(vec![parse_one(single, "topic")?]),
    }
}

/// One end of the range; nothing when it does not bound new blocks.
fn edge(value: Option<&Value>, name: &str) -> Result<Option<u64>, String> {
    match value.map(Value::as_str) {
        None | Some(Some("latest")) => Ok(None),
        Some(Some("earliest")) if name == "fromBlock" => Ok(None),
        Some(Some(text)) if parse_quantity(text.as_bytes()).is_some() => Ok(parse_quantity(text.as_bytes())),
        Some(_) => Err(format!("{name} of a subscription must be a block number or \"latest\"")),
    }
}

/// The three bits of an item in a bloom, by byte and mask.
type BloomBits = [(usize, u8); 3];

/// A filter's view of blooms; made once for a subscription, because it hashes every address and topic.
#[derive(Clone, Debug)]
pub struct BloomTest {
    /// Of each list one item at least is in the bloom of a block that has a matching log.
    lists: Vec<Vec<BloomBits>>,
    from: u64,
    to: u64,
}

impl BloomTest {
    pub fn new(filter: &LogFilter) -> BloomTest {
        let addresses = filter.addresses.iter().map(|address| bits_of(address)).collect();
        let topics = filter.topics.iter().map(|choices| choices.iter().map(|topic| bits_of(topic)).collect());
        let lists = std::iter::once(addresses).chain(topics).filter(|list: &Vec<_>| !list.is_empty()).collect();
        BloomTest { lists, from: filter.from.unwrap_or(0), to: filter.to.unwrap_or(u64::MAX) }
    }

    /// Every log of every block in its range passes.
    pub fn takes_all(&self) -> bool {
        self.lists.is_empty()
    }

    /// No log of that block matches. An empty bloom also excludes everything for a filter without conditions.
    pub fn excludes(&self, number: u64, bloom: Option<&Bloom>) -> bool {
        if !(self.from..=self.to).contains(&number) {
            return true;
        }
        let Some(bloom) = bloom else { return false };
        let has = |bits: &BloomBits| bits.iter().all(|(byte, mask)| bloom.get(*byte).is_some_and(|b| b & mask != 0));
        bloom.iter().all(|byte| *byte == 0) || self.lists.iter().any(|list| !list.iter().any(has))
    }
}

/// How likely so full a bloom has an item that no log of its block has.
pub(super) fn chance_of_item(bloom: &Bloom) -> f64 {
    let ones: u32 = bloom.iter().map(|byte| byte.count_ones()).sum();
    (f64::from(ones) / 2048.0).powi(3)
}

/// The Yellow Paper's `M3:2048`.
pub(super) fn bits_of(item: &[u8]) -> BloomBits {
    let hash = Keccak256::digest(item);
    let (pairs, _) = hash.as_slice().as_chunks::<2>();
    let mut bits = [(0, 0); 3];
    for (bit, pair) in bits.iter_mut().zip(pairs) {
        let place = usize::from(u16::from_be_bytes(*pair) & 2047);
        *bit = (255 - place / 8, 1 << (place % 8));
    }
    bits
}

#[cfg(test)]
pub(super) fn bloom_add(bloom: &mut Bloom, item: &[u8]) {
    for (byte, mask) in bits_of(item) {
        bloom[byte] |= mask;
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
