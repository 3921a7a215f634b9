//! What a client subscribes to, as a key: clients with equal keys share one upstream subscription (CONTRACT §6, LB §9.3).
//!
//! The key is the parsed meaning, and the params sent upstream are written from it, so no two spellings of one
//! subscription can differ anywhere. Parameters that no node reads (after `newHeads`, say) are dropped.
//! It fails with a text for -32602.

use super::filter::LogFilter;
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

impl Key {
    /// From the raw params of `eth_subscribe`; the error is the message of a -32602.
    pub fn parse(params: &[u8]) -> Result<Key, String> {
        let invalid = |why: String| format!("Invalid subscription parameters: {why}");
        let params: Vec<Value> = serde_json::from_slice(params).map_err(|_| invalid("params must be a list".into()))?;
        let second = params.get(1).unwrap_or(&Value::Null);
        match params.first().and_then(Value::as_str) {
            Some("newHeads") => Ok(Key::NewHeads),
            Some("logs") => LogFilter::parse(second).map(Key::Logs).map_err(invalid),
            Some("newPendingTransactions") => match second {
                Value::Null => Ok(Key::NewPendingTransactions { whole: false }),
                Value::Bool(whole) => Ok(Key::NewPendingTransactions { whole: *whole }),
                _ => Err(invalid("the second parameter of newPendingTransactions is true or false".into())),
            },
            Some("syncing") => Ok(Key::Syncing),
            _ => Err(invalid("the first must be newHeads, logs, newPendingTransactions or syncing".into())),
        }
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
