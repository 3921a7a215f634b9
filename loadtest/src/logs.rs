//! The logs of each block of `heads`: so many, spread evenly over so many filters, made once for all who are told of them.
//!
//! Log `i` of a block has the topics `KIND` and `i % filters`, and the time of its block's making as its data. A filter here is the
//! second topic alone, or nothing: that is what the measured clients ask for, and what a node asks for on their behalf.

use crate::frame;
use bytes::Bytes;
use serde_json::{Value, json};
use std::ops::Range;

/// How many logs a block has, and over how many filters they are spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spread {
    pub logs: u64,
    pub filters: u64,
}

const KIND: u64 = 0x626f_6f6d;

pub fn word(value: u64) -> String {
    format!("0x{value:064x}")
}

impl Spread {
    /// Every filter has as many logs of a block as any other.
    pub fn check(self) -> Result<(), String> {
        match self.logs.checked_rem(self.filters) {
            Some(0) if self.logs > 0 => Ok(()),
            _ if self == Spread::default() => Ok(()),
            _ => Err("--logs must be a multiple of --filters, and both at least 1".into()),
        }
    }

    /// How many logs of a block one filter lets through.
    pub fn events(self) -> u64 {
        self.logs.checked_div(self.filters).unwrap_or(0)
    }

    /// What a client subscribes to.
    pub fn params(filter: u64) -> Value {
        json!(["logs", {"topics": [word(KIND), word(filter)]}])
    }

    /// The filters that the parameter of a subscription or of `eth_getLogs` lets through.
    pub fn wanted(self, filter: &Value) -> Vec<u64> {
        let number = |topic: &Value| u64::from_str_radix(topic.as_str()?.get(2..)?, 16).ok();
        match &filter["topics"][1] {
            Value::Null => (0..self.filters).collect(),
            Value::Array(topics) => topics.iter().filter_map(number).collect(),
            topic => number(topic).into_iter().collect(),
        }
    }

    /// The logs of a block that these filters let through, in order.
    pub fn of_block(self, (number, hash, stamp): (u64, &str, u64), wanted: &[u64]) -> Vec<Value> {
        let is_wanted = |index: &u64| wanted.contains(&(index % self.filters.max(1)));
        let all: Range<u64> = 0..self.logs;
        let log = |index: u64| {
            json!({
                "address": "0x00000000000000000000000000000000000b0011", "topics": [word(KIND), word(index % self.filters)],
                "data": word(stamp), "blockHash": hash, "blockNumber": format!("0x{number:x}"), "transactionHash": word(number),
                "transactionIndex": "0x0", "logIndex": format!("0x{index:x}"), "removed": false,
            })
        };
        all.filter(is_wanted).map(log).collect()
    }

    /// What subscribers to each filter are written for a block.
    pub fn frames(self, subscription: &str, block: (u64, &str, u64)) -> Vec<Bytes> {
        let of_filter = |filter: u64| {
            let logs = self.of_block(block, &[filter]);
            logs.iter().flat_map(|log| notification(subscription, log)).collect::<Vec<u8>>().into()
        };
        (0..self.filters).map(of_filter).collect()
    }
}

pub fn notification(subscription: &str, result: &Value) -> Vec<u8> {
    let params = json!({"subscription": subscription, "result": result});
    let text = json!({"jsonrpc": "2.0", "method": "eth_subscription", "params": params}).to_string();
    frame::from_server(frame::TEXT, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_has_its_share_in_order() {
        let spread = Spread { logs: 12, filters: 4 };
        assert_eq!((spread.check(), spread.events()), (Ok(()), 3));
        assert!(Spread { logs: 10, filters: 4 }.check().is_err() && Spread { logs: 0, filters: 4 }.check().is_err());
        let indices = |wanted: &[u64]| -> Vec<String> {
            let logs = spread.of_block((7, "0x1", 9), wanted);
            logs.iter().map(|log| log["logIndex"].as_str().expect("text").to_owned()).collect()
        };
        assert_eq!(indices(&[3]), ["0x3", "0x7", "0xb"]);
        assert_eq!(indices(&spread.wanted(&Value::Null)).len(), 12);
        assert_eq!(spread.wanted(&Spread::params(2)[1]), [2]);
        assert_eq!(spread.wanted(&json!({"topics": [null, [word(1), word(3)]]})), [1, 3]);
        assert_eq!(spread.frames("0x1", (7, "0x1", 9)).len(), 4);
    }
}
