//! What is passed on as it comes: pending transactions and the node's own syncing. Nothing is missing in them that could be
//! asked for, so there is nothing to make good (docs/subscriptions.md#what-is-promised); only what a switch or an overlap repeats
//! is left out.
//!
//! A transaction is told once while it is among the last that were told; syncing is told when it changes. A set of seen
//! hashes is right here, and only here: a transaction does not become pending twice in a way that anyone must hear.
//! Rejected: no bound (a mempool never ends), and comparing whole transactions (nodes spell them differently).
//! How it fails: a repeat from beyond the bound is told again. What is no transaction is not passed on.

use crate::base::limits::STREAM_SEEN_TRANSACTIONS;
use crate::chain::hex::parse_bytes;
use serde::Deserialize;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

type TransactionHash = [u8; 32];

/// The transactions of one `newPendingTransactions` stream.
#[derive(Clone, Debug, Default)]
pub struct Transactions {
    seen: HashSet<TransactionHash>,
    /// The same, oldest first.
    order: VecDeque<TransactionHash>,
}

/// The event: a hash, or a transaction with its hash.
#[derive(Deserialize)]
#[serde(untagged)]
enum Pending<'a> {
    Hash(&'a str),
    Whole { hash: &'a str },
}

impl Transactions {
    /// Whether subscribers are to be told.
    pub fn is_news(&mut self, event: &[u8]) -> bool {
        let hash = match serde_json::from_slice(event) {
            Ok(Pending::Hash(hash) | Pending::Whole { hash }) => parse_bytes(hash.as_bytes()),
            Err(_) => None,
        };
        let Some(hash) = hash else { return false };
        if !self.seen.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > STREAM_SEEN_TRANSACTIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

/// The state of one `syncing` stream.
#[derive(Clone, Debug, Default)]
pub struct Syncing {
    last: Option<Arc<[u8]>>,
}

impl Syncing {
    /// Whether subscribers are to be told.
    pub fn is_news(&mut self, event: &[u8]) -> bool {
        let is_news = self.last.as_deref() != Some(event);
        if is_news {
            self.last = Some(event.into());
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_told_once() {
        let mut stream = Transactions::default();
        let mut check = |event: &str, want: bool| assert_eq!(stream.is_news(event.as_bytes()), want, "{event:.80}");
        let hash = |n: usize| format!("\"0x{n:064x}\"");
        check(&hash(1), true);
        check(&hash(1), false);
        check(&hash(0xab), true);
        check(&hash(0xab).to_uppercase(), false);
        check(&format!("{{\"nonce\":\"0x1\",\"hash\":{},\"to\":null}}", hash(1)), false);
        check(&format!("{{\"hash\":{},\"nonce\":\"0x1\"}}", hash(2)), true);
        for bad in ["null", "", "\"0x1\"", "{}", "{\"hash\":null}", "7"] {
            check(bad, false);
        }
        (0..STREAM_SEEN_TRANSACTIONS - 1).for_each(|n| check(&hash(1_000 + n), true));
        check(&hash(2), false);
        check(&hash(1), true);
        assert_eq!((stream.seen.len(), stream.order.len()), (STREAM_SEEN_TRANSACTIONS, STREAM_SEEN_TRANSACTIONS));
    }

    #[test]
    fn syncing_is_told_when_it_changes() {
        let mut stream = Syncing::default();
        let mut check = |event: &str, want: bool| assert_eq!(stream.is_news(event.as_bytes()), want, "{event}");
        check("false", true);
        check("false", false);
        check("{\"syncing\":true}", true);
        check("false", true);
    }
}
