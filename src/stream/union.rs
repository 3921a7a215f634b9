//! One question for many filters: what all of them together ask of a block.
//!
//! The union lets through at least what any of them does; what is too much is left out here, for every subscriber by itself.
//! Where it would be wide (a filter without an address, many addresses) everything is asked for: that answer can be held
//! against the header's bloom, and a node finds it as fast. Rejected: a question for each filter, whose number grows with
//! the clients.

use super::event::Log;
use super::fanout::StreamId;
use super::filter::{Address, LogFilter, Topic};
use crate::base::limits::{UNION_ADDRESSES, UNION_TOPICS};
use std::collections::{BTreeMap, HashMap};

impl LogFilter {
    /// It lets every log of a block through.
    pub fn is_everything(&self) -> bool {
        self.addresses.is_empty() && self.topics.is_empty()
    }

    /// A filter for one block that lets through whatever one of these does.
    pub fn union<'a>(filters: impl Iterator<Item = &'a LogFilter> + Clone) -> LogFilter {
        let addresses = joined(filters.clone().map(|filter| &filter.addresses), UNION_ADDRESSES);
        let places = filters.clone().map(|filter| filter.topics.len()).min().unwrap_or(0);
        let of_place = |place: usize| joined(filters.clone().filter_map(move |filter| filter.topics.get(place)), UNION_TOPICS);
        let mut topics: Vec<Vec<Topic>> = (0..places).map(of_place).collect();
        while topics.pop_if(|choices| choices.is_empty()).is_some() {}
        LogFilter { addresses, topics, ..LogFilter::default() }
    }
}

/// All items, sorted; none, which means any, when a list has none or they are too many.
fn joined<'a, T: Ord + Copy + 'a>(lists: impl Iterator<Item = &'a Vec<T>>, most: usize) -> Vec<T> {
    let mut all = Vec::new();
    for list in lists {
        if list.is_empty() {
            return Vec::new();
        }
        all.extend_from_slice(list);
        if all.len() > most {
            all.sort_unstable();
            all.dedup();
        }
        if all.len() > most {
            return Vec::new();
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Which subscriptions a log goes to, found by its address: their number costs a log only what it matches.
#[derive(Clone, Debug, Default)]
pub struct Recipients {
    filters: BTreeMap<StreamId, LogFilter>,
    by_address: HashMap<Address, Vec<StreamId>>,
    /// Those without an address.
    anywhere: Vec<StreamId>,
}

impl Recipients {
    pub fn insert(&mut self, stream: StreamId, filter: LogFilter) {
        if filter.addresses.is_empty() {
            self.anywhere.push(stream);
        }
        for address in &filter.addresses {
            self.by_address.entry(*address).or_default().push(stream);
        }
        self.filters.insert(stream, filter);
    }

    pub fn remove(&mut self, stream: StreamId) {
        let Some(filter) = self.filters.remove(&stream) else { return };
        self.anywhere.retain(|other| *other != stream);
        for address in &filter.addresses {
            if let Some(streams) = self.by_address.get_mut(address) {
                streams.retain(|other| *other != stream);
                if streams.is_empty() {
                    self.by_address.remove(address);
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    pub fn filters(&self) -> impl Iterator<Item = &LogFilter> + Clone {
        self.filters.values()
    }

    pub fn find(&self, log: &Log) -> impl Iterator<Item = StreamId> {
        let near = self.by_address.get(&log.address).map_or(&[][..], Vec::as_slice);
        let is_match = |stream: &StreamId| self.filters.get(stream).is_some_and(|filter| filter.matches(log));
        near.iter().chain(&self.anywhere).copied().filter(is_match)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn hex(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        crate::chain::hex::write_bytes(&mut out, bytes);
        String::from_utf8(out).expect("hex")
    }

    /// From small alphabets, so that filters overlap.
    fn filters() -> impl Strategy<Value = Vec<LogFilter>> {
        let item = |n: usize| move |byte: u8| hex(&vec![byte; n]);
        let addresses = prop::collection::vec((0_u8..4).prop_map(item(20)), 0..3);
        let topics = prop::collection::vec(prop::collection::vec((0_u8..4).prop_map(item(32)), 0..3), 0..4);
        let filter = (addresses, topics).prop_map(|(addresses, topics): (Vec<String>, Vec<Vec<String>>)| {
            let topics: Vec<Value> = topics.into_iter().map(|t| if t.is_empty() { Value::Null } else { json!(t) }).collect();
            let address = if addresses.is_empty() { Value::Null } else { json!(addresses) };
            LogFilter::parse(&json!({"address": address, "topics": topics})).expect("a filter")
        });
        prop::collection::vec(filter, 0..6)
    }

    fn logs() -> impl Strategy<Value = Log> {
        (0_u8..4, prop::collection::vec(0_u8..4, 0..4)).prop_map(|(address, topics)| {
            let topics: Vec<String> = topics.into_iter().map(|byte| hex(&[byte; 32])).collect();
            let text = json!({"address": hex(&[address; 20]), "topics": topics, "blockHash": hex(&[1; 32]),
                "blockNumber": "0x1", "logIndex": "0x0"});
            Log::parse(text.to_string().as_bytes()).expect("a log")
        })
    }

    proptest! {
        #[test]
        fn a_union_lets_through_what_any_of_them_does_and_all_are_found(filters in filters(), log in logs()) {
            let union = LogFilter::union(filters.iter());
            prop_assert!(!filters.iter().any(|filter| filter.matches(&log)) || union.matches(&log));
            let mut recipients = Recipients::default();
            filters.iter().enumerate().for_each(|(n, filter)| recipients.insert(StreamId(n as u64), filter.clone()));
            let mut found: Vec<u64> = recipients.find(&log).map(|stream| stream.0).collect();
            found.sort_unstable();
            let want: Vec<u64> = (0..filters.len() as u64).filter(|n| filters[*n as usize].matches(&log)).collect();
            prop_assert_eq!(&found, &want);
            want.iter().for_each(|n| recipients.remove(StreamId(*n)));
            prop_assert_eq!(recipients.find(&log).count(), 0);
            prop_assert_eq!(recipients.filters().count(), filters.len() - want.len());
        }
    }

    #[test]
    fn what_is_wide_is_everything() {
        let of = |n: usize| {
            let address: Vec<String> = (0..n).map(|n| hex(&[&[n as u8, (n >> 8) as u8][..], &[0; 18]].concat())).collect();
            LogFilter::parse(&json!({"address": address})).expect("a filter")
        };
        assert!(!LogFilter::union([of(UNION_ADDRESSES)].iter()).is_everything());
        assert!(LogFilter::union([of(UNION_ADDRESSES + 1)].iter()).is_everything());
        assert!(!LogFilter::union([of(UNION_ADDRESSES), of(3)].iter()).is_everything(), "the three are among the others");
        assert!(LogFilter::union([of(1), LogFilter::default()].iter()).is_everything());
        assert!(LogFilter::union([].iter()).is_everything());
    }
}
