//! What providers received, and what became of it. Checkers read it: a reply must come from a provider that received
//! this very call, and a call that must not be repeated must stand in it once per provider at most.

use super::identity::{Hash, digest_bytes};
use super::knobs::Fault;
use crate::base::time::Instant;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// One call, as a provider understood it. Raw bytes are the caller's own.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    pub provider: &'a str,
    /// The provider's count of requests; all items of a batch share it.
    pub request: u64,
    /// The server's count of connections.
    pub connection: u64,
    pub at: Instant,
    pub method: &'a str,
    /// Raw token; empty for a notification.
    pub id: &'a [u8],
    /// Raw JSON; empty when absent.
    pub params: &'a [u8],
    /// The whole request body.
    pub body: &'a [u8],
    /// Place in a batch.
    pub item: Option<usize>,
    pub fault: Option<Fault>,
    /// The raw result that the answer will carry, faults aside; `None`: an error, or refused.
    pub result: Option<&'a [u8]>,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended<'a> {
    pub provider: &'a str,
    pub request: u64,
    /// All bytes that were meant to be sent were taken by the connection.
    pub sent_whole: bool,
}

/// A WebSocket connection, or a subscription on one, began or ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attached<'a> {
    pub provider: &'a str,
    pub connection: u64,
    /// Equal for subscriptions to the same; `None`: the connection itself.
    pub key: Option<&'a str>,
    pub is_open: bool,
}

/// Where providers write down what they see. Called on the server's thread, once per call and once per request.
pub trait Journal {
    fn received(&self, call: &Received<'_>);
    fn ended(&self, request: &Ended<'_>);
    fn attached(&self, what: &Attached<'_>);
}

/// A line of a `Ledger`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub provider: String,
    pub request: u64,
    pub connection: u64,
    pub at: Instant,
    pub method: String,
    pub id: Vec<u8>,
    /// Model digests (`identity::digest_bytes`, salt 0) of the raw parameters, body and result.
    pub params: Hash,
    pub body: Hash,
    pub result: Option<Hash>,
    pub item: Option<usize>,
    pub fault: Option<Fault>,
    /// `None` while under way.
    pub sent_whole: Option<bool>,
}

/// How many connections or subscriptions of one kind there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Count {
    pub open: u64,
    pub ever: u64,
    /// At one time.
    pub most: u64,
}

/// A journal that keeps everything, up to a bound; what did not fit is counted.
#[derive(Debug)]
pub struct Ledger {
    pub entries: RefCell<Vec<Entry>>,
    /// By provider and subscription key; without a key its connections.
    attached: RefCell<BTreeMap<(String, Option<String>), Count>>,
    pub dropped: Cell<u64>,
    most: usize,
}

impl Ledger {
    pub fn new(most: usize) -> Ledger {
        Ledger { entries: RefCell::default(), attached: RefCell::default(), dropped: Cell::default(), most }
    }

    /// How often `provider` received a call of `method` with these raw parameters.
    pub fn times(&self, provider: &str, method: &str, params: &[u8]) -> usize {
        let params = digest_bytes(0, params);
        let same = |entry: &&Entry| entry.provider == provider && entry.method == method && entry.params == params;
        self.entries.borrow().iter().filter(same).count()
    }
}

impl Ledger {
    /// The WebSocket connections of `provider`, or its subscriptions with this key.
    pub fn count(&self, provider: &str, key: Option<&str>) -> Count {
        let name = (provider.to_owned(), key.map(str::to_owned));
        self.attached.borrow().get(&name).copied().unwrap_or_default()
    }
}

impl Journal for Ledger {
    fn attached(&self, what: &Attached<'_>) {
        let mut attached = self.attached.borrow_mut();
        let count = attached.entry((what.provider.to_owned(), what.key.map(str::to_owned))).or_default();
        if what.is_open {
            count.open += 1;
            count.ever += 1;
            count.most = count.most.max(count.open);
        } else {
            count.open = count.open.saturating_sub(1);
        }
    }

    fn received(&self, call: &Received<'_>) {
        let mut entries = self.entries.borrow_mut();
        if entries.len() >= self.most {
            self.dropped.set(self.dropped.get() + 1);
            return;
        }
        entries.push(Entry {
            provider: call.provider.to_owned(),
            request: call.request,
            connection: call.connection,
            at: call.at,
            method: call.method.to_owned(),
            id: call.id.to_vec(),
            params: digest_bytes(0, call.params),
            body: digest_bytes(0, call.body),
            result: call.result.map(|result| digest_bytes(0, result)),
            item: call.item,
            fault: call.fault,
            sent_whole: None,
        });
    }

    fn ended(&self, request: &Ended<'_>) {
        // From the back: a request that ends is a recent one.
        let mut entries = self.entries.borrow_mut();
        let same = |entry: &&mut Entry| entry.provider == request.provider && entry.request == request.request;
        entries.iter_mut().rev().skip_while(|entry| !same(entry)).take_while(same).for_each(|entry| {
            entry.sent_whole = Some(request.sent_whole);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_keeps_counts_and_is_bounded() {
        let ledger = Ledger::new(3);
        let call = |request, item| Received {
            provider: "a",
            request,
            connection: 1,
            at: Instant::ZERO,
            method: "eth_call",
            id: b"1",
            params: b"[1]",
            body: b"{}",
            item,
            fault: None,
            result: Some(b"2"),
        };
        ledger.received(&call(1, Some(0)));
        ledger.received(&call(1, Some(1)));
        ledger.received(&call(2, None));
        ledger.received(&call(3, None));
        ledger.ended(&Ended { provider: "a", request: 1, sent_whole: true });
        ledger.ended(&Ended { provider: "b", request: 2, sent_whole: true });
        let ends: Vec<_> = ledger.entries.borrow().iter().map(|entry| entry.sent_whole).collect();
        assert_eq!((ends, ledger.dropped.get()), (vec![Some(true), Some(true), None], 1));
        assert_eq!((ledger.times("a", "eth_call", b"[1]"), ledger.times("a", "eth_call", b"[2]")), (3, 0));
        for is_open in [true, true, false, true] {
            ledger.attached(&Attached { provider: "a", connection: 1, key: Some("k"), is_open });
        }
        assert_eq!(ledger.count("a", Some("k")), Count { open: 2, ever: 3, most: 2 });
        assert_eq!((ledger.count("a", None), ledger.count("b", Some("k"))), (Count::default(), Count::default()));
    }
}
