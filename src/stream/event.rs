//! Heads and logs as providers send them: the bytes, and the few fields that continuity is judged by.
//!
//! Clients get a provider's own bytes, so only what a rule needs is parsed. A head that had to be fetched comes as a whole
//! block, and some nodes announce whole blocks: the lists of transactions, uncles and withdrawals are left out, the other
//! members stay as they were written. That is what `newHeads` brings, and it keeps what a stream holds small.
//! A bloom or a time that cannot be read is as if it were not there: rules that use them do without, and the head is told.
//! Rejected: handing out fetched blocks whole (300 KB each on a fast chain), and building a tree (numbers and spelling would
//! change).
//! How it fails: what lacks a number or a hash, or is longer than any header, is no event; the caller takes it for not sent,
//! so that the block is missing and its stream ends when its time is over.

use crate::base::limits::HEAD_EVENT_BYTES;
use crate::chain::bloom::Bloom;
use crate::chain::hex::{parse_bytes, parse_quantity};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHash(pub [u8; 32]);

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A block's header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    pub number: u64,
    pub hash: BlockHash,
    pub parent: BlockHash,
    /// Absent where a provider sends none that can be read: then it excludes nothing.
    pub bloom: Option<Arc<Bloom>>,
    /// Absent like the bloom. Where none was used, nothing was done, so there are no logs.
    pub gas_used: Option<u64>,
    /// Seconds since 1970, as the block says.
    pub timestamp_s: Option<u64>,
    /// It was asked for, not announced: its logs were perhaps not announced either.
    pub fetched: bool,
    /// What clients get.
    pub payload: Arc<[u8]>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadFields<'a> {
    number: &'a str,
    hash: &'a str,
    parent_hash: &'a str,
    #[serde(borrow)]
    logs_bloom: Option<&'a RawValue>,
    #[serde(borrow)]
    gas_used: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    transactions: Option<IgnoredAny>,
    uncles: Option<IgnoredAny>,
    withdrawals: Option<IgnoredAny>,
}

impl HeadFields<'_> {
    fn has_lists(&self) -> bool {
        self.transactions.is_some() || self.uncles.is_some() || self.withdrawals.is_some()
    }
}

/// What stands between the quotes of a text.
fn quoted(value: &RawValue) -> Option<&[u8]> {
    value.get().as_bytes().strip_prefix(b"\"")?.strip_suffix(b"\"")
}

impl Head {
    /// From the event of a `newHeads` subscription.
    pub fn announced(event: &[u8]) -> Option<Head> {
        let fields: HeadFields<'_> = serde_json::from_slice(event).ok()?;
        Head::parse(&fields, if fields.has_lists() { cut(event)? } else { event.into() })
    }

    /// From the result of `eth_getBlockByNumber` or `…ByHash`; nothing also for `null`.
    pub fn of_block(result: &[u8]) -> Option<Head> {
        let head = Head::parse(&serde_json::from_slice(result).ok()?, cut(result)?)?;
        Some(Head { fetched: true, ..head })
    }

    fn parse(fields: &HeadFields<'_>, payload: Arc<[u8]>) -> Option<Head> {
        if payload.len() > HEAD_EVENT_BYTES {
            return None;
        }
        Some(Head {
            number: parse_quantity(fields.number.as_bytes())?,
            hash: BlockHash(parse_bytes(fields.hash.as_bytes())?),
            parent: BlockHash(parse_bytes(fields.parent_hash.as_bytes())?),
            bloom: fields.logs_bloom.and_then(quoted).and_then(parse_bytes).map(Arc::new),
            gas_used: fields.gas_used.and_then(quoted).and_then(parse_quantity),
            timestamp_s: fields.timestamp.and_then(quoted).and_then(parse_quantity),
            fetched: false,
            payload,
        })
    }
}

/// A block without its lists.
fn cut(block: &[u8]) -> Option<Arc<[u8]>> {
    let members: Members<'_> = serde_json::from_slice(block).ok()?;
    let mut payload = Vec::with_capacity(2_048);
    for (key, value) in members.0 {
        payload.extend_from_slice(if payload.is_empty() { b"{\"" } else { b",\"" });
        payload.extend_from_slice(key.as_bytes());
        payload.extend_from_slice(b"\":");
        payload.extend_from_slice(value.get().as_bytes());
    }
    payload.push(b'}');
    Some(payload.into())
}

/// The members of a block that are its header's.
struct Members<'a>(Vec<(&'a str, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a block")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(32);
                while let Some(key) = map.next_key::<&'de str>()? {
                    if matches!(key, "transactions" | "uncles" | "withdrawals") {
                        map.next_value::<IgnoredAny>()?;
                    } else if key.contains(['"', '\\']) {
                        return Err(A::Error::custom("no node names a member so"));
                    } else {
                        members.push((key, map.next_value()?));
                    }
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Reader)
    }
}

/// A log of one block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    pub number: u64,
    pub block: BlockHash,
    /// Place in the block; in its transaction where a chain counts so.
    pub index: u64,
    /// Place of its transaction in the block; 0 where that is not said.
    pub transaction: u64,
    /// The provider says that it is no longer canonical.
    pub removed: bool,
    pub address: [u8; 20],
    pub topics: Vec<[u8; 32]>,
    /// What clients get.
    pub payload: Arc<[u8]>,
    /// The value of `removed` in it; empty when it is not there.
    removed_at: Range<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogFields<'a> {
    address: &'a str,
    #[serde(borrow)]
    topics: Vec<&'a str>,
    block_hash: &'a str,
    block_number: &'a str,
    log_index: &'a str,
    #[serde(borrow, default)]
    transaction_index: Option<&'a str>,
    #[serde(borrow, default)]
    removed: Option<&'a RawValue>,
}

impl Log {
    /// From the event of a `logs` subscription, or one item of the result of `eth_getLogs`.
    pub fn parse(text: &[u8]) -> Option<Log> {
        let fields: LogFields<'_> = serde_json::from_slice(text).ok()?;
        let (removed, removed_at) = match fields.removed.map(RawValue::get) {
            None => (false, 0..0),
            Some(value) => {
                let start = (value.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
                (serde_json::from_str(value).ok()?, start..start + value.len())
            }
        };
        Some(Log {
            number: parse_quantity(fields.block_number.as_bytes())?,
            block: BlockHash(parse_bytes(fields.block_hash.as_bytes())?),
            index: parse_quantity(fields.log_index.as_bytes())?,
            transaction: match fields.transaction_index {
                Some(index) => parse_quantity(index.as_bytes())?,
                None => 0,
            },
            removed,
            address: parse_bytes(fields.address.as_bytes())?,
            topics: fields.topics.iter().map(|topic| parse_bytes(topic.as_bytes())).collect::<Option<_>>()?,
            payload: text.into(),
            removed_at,
        })
    }

    /// The result of `eth_getLogs`; nothing when any of it is no log.
    pub fn parse_all(result: &[u8]) -> Option<Vec<Log>> {
        let items: Vec<&RawValue> = serde_json::from_slice(result).ok()?;
        items.into_iter().map(|item| Log::parse(item.get().as_bytes())).collect()
    }

    /// The logs in the result of `eth_getBlockReceipts`; nothing when any of it is no receipt.
    pub fn parse_receipts(result: &[u8]) -> Option<Vec<Log>> {
        #[derive(Deserialize)]
        struct Receipt<'a> {
            #[serde(borrow)]
            logs: Vec<&'a RawValue>,
        }
        let receipts: Vec<Receipt<'_>> = serde_json::from_slice(result).ok()?;
        let items = receipts.into_iter().flat_map(|receipt| receipt.logs);
        items.map(|item| Log::parse(item.get().as_bytes())).collect()
    }

    /// The payload, saying whether the log was taken back; every other byte is the provider's.
    pub fn payload_saying(&self, removed: bool) -> Arc<[u8]> {
        if self.removed == removed {
            return self.payload.clone();
        }
        let word: &[u8] = if removed { b"true" } else { b"false" };
        let end = self.payload.iter().rposition(|byte| *byte == b'}').unwrap_or(self.payload.len());
        let (before, after, comma): (_, _, &[u8]) = if self.removed_at.is_empty() {
            (self.payload.get(..end), self.payload.get(end..), b",\"removed\":")
        } else {
            (self.payload.get(..self.removed_at.start), self.payload.get(self.removed_at.end..), b"")
        };
        [before.unwrap_or(&[]), comma, word, after.unwrap_or(&[])].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0x00000000000000000000000000000000000000000000000000000000000000Aa";

    #[test]
    fn heads_are_read_and_blocks_are_cut() {
        let bloom = format!("0x{}", "0f".repeat(256));
        let header =
            format!("{{\"number\":\"0x10\", \"hash\":\"{HASH}\",\"parentHash\":\"{HASH}\",\"logsBloom\":\"{bloom}\",\"x\":1e2");
        let head = Head::announced(format!("{header}}}").as_bytes()).expect("a head");
        assert_eq!((head.number, head.hash.0[31], head.bloom.map(|b| b[9])), (16, 0xaa, Some(15)));
        assert_eq!(&*head.payload, format!("{header}}}").as_bytes());
        let block =
            format!("{header},\"transactions\":[\"0x1\",{{}}] , \"uncles\":[],\"withdrawals\":[{{}}],\"z\": \"\\u0041\"}}");
        let cut = Head::of_block(block.as_bytes()).expect("a block");
        assert_eq!(String::from_utf8_lossy(&cut.payload), format!("{header},\"z\":\"\\u0041\"}}").replace(", ", ","));
        assert!(cut.fetched && !head.fetched && cut.hash == head.hash);
        let whole = Head::announced(block.as_bytes()).expect("a head");
        assert!(whole.payload == cut.payload && !whole.fetched);
    }

    #[test]
    fn what_cannot_be_read_beside_the_links_is_as_if_it_were_not_there() {
        let head = |rest: &str| {
            let text = format!("{{\"number\":\"0x10\",\"hash\":\"{HASH}\",\"parentHash\":\"{HASH}\"{rest}}}");
            Head::announced(text.as_bytes()).map(|head| (head.bloom.map(|bloom| bloom[0]), head.timestamp_s))
        };
        let short = format!("\"0x{}\"", "00".repeat(32));
        for bloom in ["null", "\"\"", "\"0x\"", "\"0x0\"", &short, "0", "[]"] {
            assert_eq!(head(&format!(",\"logsBloom\":{bloom}")), Some((None, None)), "{bloom}");
        }
        for (timestamp, want) in [("\"0x10\"", Some(16)), ("null", None), ("16", None), ("\"16\"", None)] {
            assert_eq!(head(&format!(",\"timestamp\":{timestamp}")), Some((None, want)), "{timestamp}");
        }
        assert_eq!(head(&format!(",\"logsBloom\":\"0x{}\"", "01".repeat(256))), Some((Some(1), None)));
        // As long as a block with a thousand transactions, and no longer than a header without them.
        assert_eq!(head(&format!(",\"transactions\":[\"{}\"]", "y".repeat(HEAD_EVENT_BYTES))), Some((None, None)));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let good = format!("{{\"number\":\"0x10\",\"hash\":\"{HASH}\",\"parentHash\":\"{HASH}\"}}");
        assert_eq!(Head::announced(good.as_bytes()).map(|head| head.bloom), Some(None));
        let long = format!("{{\"x\":\"{}\",{}", "y".repeat(HEAD_EVENT_BYTES), &good[1..]);
        let bad =
            [("0x10\"", "16\""), ("\"0x10\"", "null"), ("hash", "hush"), ("parentHash", "parent"), ("Aa", "Ag"), ("Aa", "")];
        for (from, to) in bad {
            let text = good.replace(from, to);
            assert_eq!((Head::announced(text.as_bytes()), Head::of_block(text.as_bytes())), (None, None), "{text}");
        }
        for text in ["null", "", "[]", "{", &long] {
            assert_eq!((Head::announced(text.as_bytes()), Head::of_block(text.as_bytes())), (None, None), "{text:.20}");
        }
    }

    fn log_text(rest: &str) -> String {
        let address = "0x00000000000000000000000000000000000000bB";
        format!(
            "{{\"address\":\"{address}\",\"topics\":[\"{HASH}\"],\"blockHash\":\"{HASH}\",\"blockNumber\":\"0x10\",\"logIndex\":\"0x2\"{rest}}}"
        )
    }

    #[test]
    fn logs_are_read_and_taken_back() {
        let check = |rest: &str, removed: bool, restored: &str, taken_back: &str| {
            let log = Log::parse(log_text(rest).as_bytes()).expect("a log");
            assert_eq!((log.number, log.index, log.block.0[31], log.address[19]), (16, 2, 0xaa, 0xbb));
            assert_eq!((log.removed, log.topics.len()), (removed, 1));
            assert_eq!(String::from_utf8_lossy(&log.payload_saying(false)), log_text(restored));
            assert_eq!(String::from_utf8_lossy(&log.payload_saying(true)), log_text(taken_back));
        };
        check(",\"removed\": false ,\"x\":1", false, ",\"removed\": false ,\"x\":1", ",\"removed\": true ,\"x\":1");
        check(",\"removed\":true", true, ",\"removed\":false", ",\"removed\":true");
        check("", false, "", ",\"removed\":true");
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let all = format!("[{}, {}]", log_text(""), log_text(",\"removed\":true"));
        assert_eq!(Log::parse_all(all.as_bytes()).map(|logs| logs.len()), Some(2));
        assert_eq!(Log::parse_all(b"[]"), Some(vec![]));
        for (from, to) in [("Aa", "A"), ("0x2", "2"), ("bB", "b"), ("logIndex", "index"), ("\"0x10\"", "null"), ("]", ",1]")] {
            let text = log_text("").replace(from, to);
            assert_eq!(Log::parse(text.as_bytes()), None, "{text}");
            assert_eq!(Log::parse_all(format!("[{text}]").as_bytes()), None);
        }
        assert_eq!(Log::parse(log_text(",\"removed\":1").as_bytes()), None);
    }
}
