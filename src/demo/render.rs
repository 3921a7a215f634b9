//! The model's values as JSON, written straight into a buffer in the form that execution clients use: quantities without
//! leading zeros, data as even-length lower-case hex.

use super::chain_model::{Block, ChainModel, Log, Transaction, bloom};
use super::identity::digest;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// `"0x1f4"`.
pub fn quantity(out: &mut Vec<u8>, number: u128) {
    out.extend_from_slice(b"\"0x");
    let digits = (128 - number.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(DIGITS[(number >> (4 * place) & 15) as usize]);
    }
    out.push(b'"');
}

/// `"0x00ff"`.
pub fn data(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"\"0x");
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    out.push(b'"');
}

/// A JSON object under construction; `end` closes it.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object { out, empty: true }
    }

    /// Writes the key; the caller appends the value.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub fn raw(&mut self, key: &str, json: &str) {
        self.key(key).extend_from_slice(json.as_bytes());
    }

    pub fn quantity(&mut self, key: &str, number: impl Into<u128>) {
        quantity(self.key(key), number.into());
    }

    pub fn data(&mut self, key: &str, bytes: &[u8]) {
        data(self.key(key), bytes);
    }

    pub fn end(self) {
        self.out.push(b'}');
    }
}

/// `[a,b,…]`, each written by `one`.
pub fn list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut one: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        one(out, item);
    }
    out.push(b']');
}

/// A block, its transactions whole (`full`) or as hashes.
pub fn block(out: &mut Vec<u8>, chain: &ChainModel, block: &Block, full: bool) {
    let mut object = Object::new(out);
    header_fields(&mut object, chain, block);
    object.quantity("totalDifficulty", 0u64);
    object.quantity("size", 600 + 110 * block.transactions.len() as u64);
    list(object.key("transactions"), &block.transactions, |out, one| {
        if full { transaction(out, chain, block, one) } else { data(out, &one.hash.0) }
    });
    object.raw("uncles", "[]");
    object.end();
}

/// The header that a new-heads subscription carries: a block without its body.
pub fn header(out: &mut Vec<u8>, chain: &ChainModel, block: &Block) {
    let mut object = Object::new(out);
    header_fields(&mut object, chain, block);
    object.end();
}

fn header_fields(object: &mut Object<'_>, chain: &ChainModel, block: &Block) {
    let root = |salt| digest(&[chain.seed, chain.chain_number, salt, block.height]).0;
    object.quantity("number", block.height);
    object.data("hash", &block.hash.0);
    object.data("parentHash", &block.parent.0);
    object.data("nonce", &[0; 8]);
    object.data("mixHash", &root(1));
    object.data("sha3Uncles", &root(2));
    object.data("logsBloom", &block.bloom());
    object.data("transactionsRoot", &root(3));
    object.data("stateRoot", &root(4));
    object.data("receiptsRoot", &root(5));
    object.data("miner", &block.miner.0);
    object.quantity("difficulty", 0u64);
    object.data("extraData", b"lasso model");
    object.quantity("gasLimit", block.gas_limit);
    object.quantity("gasUsed", block.gas_used());
    object.quantity("timestamp", block.timestamp);
    object.quantity("baseFeePerGas", block.base_fee);
}

/// A transaction as `eth_getTransactionByHash` shows it, type 2.
pub fn transaction(out: &mut Vec<u8>, chain: &ChainModel, block: &Block, one: &Transaction) {
    let mut object = Object::new(out);
    object.data("blockHash", &block.hash.0);
    object.quantity("blockNumber", block.height);
    object.quantity("transactionIndex", one.index);
    transaction_fields(&mut object, chain, block, one);
    object.end();
}

/// The same before it is in a block; `block` is the one that will have it.
pub fn pending_transaction(out: &mut Vec<u8>, chain: &ChainModel, block: &Block, one: &Transaction) {
    let mut object = Object::new(out);
    ["blockHash", "blockNumber", "transactionIndex"].iter().for_each(|key| object.raw(key, "null"));
    transaction_fields(&mut object, chain, block, one);
    object.end();
}

fn transaction_fields(object: &mut Object<'_>, chain: &ChainModel, block: &Block, one: &Transaction) {
    let price = block.base_fee + one.tip;
    let signature = |salt| digest(&[chain.seed, salt, block.height, u64::from(one.index)]).0;
    object.data("hash", &one.hash.0);
    object.quantity("type", 2u64);
    object.quantity("chainId", chain.chain_number);
    object.data("from", &one.from.0);
    object.data("to", &one.to.0);
    object.quantity("nonce", one.nonce);
    object.quantity("value", one.value);
    object.data("input", &one.input);
    object.quantity("gas", one.gas_limit);
    object.quantity("gasPrice", price);
    object.quantity("maxFeePerGas", 2 * block.base_fee + one.tip);
    object.quantity("maxPriorityFeePerGas", one.tip);
    object.raw("accessList", "[]");
    object.quantity("v", u64::from(one.index & 1));
    object.quantity("yParity", u64::from(one.index & 1));
    object.data("r", &signature(7));
    object.data("s", &signature(8));
}

pub fn receipt(out: &mut Vec<u8>, block: &Block, one: &Transaction) {
    let before = block.transactions.iter().take(usize::from(one.index)).map(|earlier| earlier.gas_used).sum::<u64>();
    let mut object = Object::new(out);
    object.data("transactionHash", &one.hash.0);
    object.quantity("transactionIndex", one.index);
    object.data("blockHash", &block.hash.0);
    object.quantity("blockNumber", block.height);
    object.quantity("type", 2u64);
    object.data("from", &one.from.0);
    object.data("to", &one.to.0);
    object.raw("contractAddress", "null");
    object.quantity("status", u64::from(one.succeeded));
    object.quantity("gasUsed", one.gas_used);
    object.quantity("cumulativeGasUsed", before + one.gas_used);
    object.quantity("effectiveGasPrice", block.base_fee + one.tip);
    object.data("logsBloom", &bloom(one.logs.iter()));
    list(object.key("logs"), &one.logs, |out, entry| log(out, block, one, entry, false));
    object.end();
}

/// `removed`: as a subscription takes it back.
pub fn log(out: &mut Vec<u8>, block: &Block, of: &Transaction, log: &Log, removed: bool) {
    let mut object = Object::new(out);
    object.data("address", &log.address.0);
    list(object.key("topics"), &log.topics, |out, topic| data(out, &topic.0));
    object.data("data", &log.data);
    object.data("blockHash", &block.hash.0);
    object.quantity("blockNumber", block.height);
    object.data("transactionHash", &of.hash.0);
    object.quantity("transactionIndex", of.index);
    object.quantity("logIndex", log.index);
    object.raw("removed", if removed { "true" } else { "false" });
    object.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;
    use serde_json::Value;

    #[test]
    fn quantities_have_no_leading_zeros() {
        let check = |number: u128, text: &str| {
            let mut out = Vec::new();
            quantity(&mut out, number);
            assert_eq!(String::from_utf8_lossy(&out), text);
        };
        check(0, "\"0x0\"");
        check(1, "\"0x1\"");
        check(16, "\"0x10\"");
        check(0x0123, "\"0x123\"");
        check(u128::MAX, "\"0xffffffffffffffffffffffffffffffff\"");
    }

    #[test]
    fn header_is_the_block_without_its_body() {
        let chain = ChainModel::new(3, 1, Duration::from_secs(12));
        let one = chain.block(0, 17, &[]);
        let (mut whole, mut short) = (Vec::new(), Vec::new());
        block(&mut whole, &chain, &one, false);
        header(&mut short, &chain, &one);
        let whole: Value = serde_json::from_slice(&whole).unwrap();
        let short: Value = serde_json::from_slice(&short).unwrap();
        let header = short.as_object().unwrap();
        assert!(header.len() > 12 && !header.contains_key("transactions"));
        header.iter().for_each(|(key, value)| assert_eq!(Some(value), whole.get(key), "{key}"));
    }
}
