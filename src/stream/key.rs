//! What a client subscribes to, as a key: clients with equal keys share one upstream subscription
//! (docs/behaviour/clients.md#subscription-keys).
//!
//! The key is the parsed meaning, and the params sent upstream are written from it, so no two spellings of one
//! subscription can differ anywhere. Parameters that no node reads (after `newHeads`, say) are dropped.
//! A subscription that goes on where an earlier one ended has the same key: what it names is ours to read, and never sent on.
//! It fails with a text for -32602.

use super::event::BlockHash;
use super::filter::LogFilter;
use crate::chain::hex::parse_bytes;
use serde_json::Value;

/// What is subscribed to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    NewHeads,
    Logs(LogFilter),
    /// Hashes, or whole transactions.
    NewPendingTransactions {
        whole: bool,
    },
    Syncing,
}

/// What an `eth_subscribe` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscribeCall {
    pub key: Key,
    /// The last block that the client was told in an earlier life of the subscription.
    pub resume: Option<BlockHash>,
}

/// The key of the object that may come last.
const RESUME: &str = "lasso_resume";

impl SubscribeCall {
    /// From the raw params of `eth_subscribe`; the error is the message of a -32602.
    pub fn parse(params: &[u8]) -> Result<SubscribeCall, String> {
        let invalid = |why: String| format!("Invalid subscription parameters: {why}");
        let mut params: Vec<Value> = serde_json::from_slice(params).map_err(|_| invalid("params must be a list".into()))?;
        let token = params.pop_if(|last| last.get(RESUME).is_some());
        if params.iter().any(|param| param.get(RESUME).is_some()) {
            return Err(invalid("lasso_resume must be the last parameter".into()));
        }
        let resume = token.map(|token| resumed_block(&token)).transpose().map_err(invalid)?;
        let key = Key::of(&params).map_err(invalid)?;
        if resume.is_some() && !key.can_resume() {
            return Err(invalid("it cannot be resumed, only newHeads and logs can".into()));
        }
        Ok(SubscribeCall { key, resume })
    }
}

fn resumed_block(token: &Value) -> Result<BlockHash, String> {
    let form = || "lasso_resume must be {\"block\":HASH}, with the hash of the last block that was told".to_owned();
    let is_alone = |value: &Value| value.as_object().is_some_and(|object| object.len() == 1);
    if !is_alone(token) {
        return Err("lasso_resume must be the only key of the last parameter".into());
    }
    let block = token.get(RESUME).filter(|inner| is_alone(inner)).and_then(|inner| inner.get("block")).ok_or_else(form)?;
    let hash = block.as_str().and_then(|text| parse_bytes(text.as_bytes())).map(BlockHash);
    hash.ok_or_else(|| "the block of lasso_resume must be a hash: 0x and 64 hex digits".into())
}

impl Key {
    /// Params without a token: they resume nothing.
    #[cfg(test)]
    pub fn parse(params: &[u8]) -> Result<Key, String> {
        SubscribeCall::parse(params).map(|call| call.key)
    }

    fn of(params: &[Value]) -> Result<Key, String> {
        let second = params.get(1).unwrap_or(&Value::Null);
        match params.first().and_then(Value::as_str) {
            Some("newHeads") => Ok(Key::NewHeads),
            Some("logs") => LogFilter::parse(second).map(Key::Logs),
            Some("newPendingTransactions") => match second {
                Value::Null => Ok(Key::NewPendingTransactions { whole: false }),
                Value::Bool(whole) => Ok(Key::NewPendingTransactions { whole: *whole }),
                _ => Err("the second parameter of newPendingTransactions is true or false".into()),
            },
            Some("syncing") => Ok(Key::Syncing),
            _ => Err("the first must be newHeads, logs, newPendingTransactions or syncing".into()),
        }
    }

    /// Whether what was missed of it can be had.
    pub fn can_resume(&self) -> bool {
        matches!(self, Key::NewHeads | Key::Logs(_))
    }

    /// The canonical params of `eth_subscribe`.
    pub fn params(&self) -> Vec<u8> {
        match self {
            Key::NewHeads => b"[\"newHeads\"]".to_vec(),
            Key::NewPendingTransactions { whole: false } => b"[\"newPendingTransactions\"]".to_vec(),
            Key::NewPendingTransactions { whole: true } => b"[\"newPendingTransactions\",true]".to_vec(),
            Key::Syncing => b"[\"syncing\"]".to_vec(),
            Key::Logs(filter) => {
                let mut out = b"[\"logs\",".to_vec();
                filter.write(&mut out);
                out.push(b']');
                out
            }
        }
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
