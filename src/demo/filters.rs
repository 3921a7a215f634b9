//! A provider's filters: state that lives at one provider and nowhere else, which is why a router must send every later
//! call to the one that made the filter. Bounded: the oldest filter is forgotten.

use super::identity::digest;
use super::params::LogFilter;
use crate::base::limits::MODEL_FILTERS;
use std::collections::VecDeque;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FilterKind {
    Blocks,
    Logs(LogFilter),
    Pending,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// `0x` and 32 hex digits, as geth makes them.
    pub id: String,
    pub kind: FilterKind,
    /// The newest block that the client was told about.
    pub seen: u64,
    /// Of pending transactions: how many the pool had accepted.
    pub seen_sent: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Filters {
    live: VecDeque<Filter>,
    made: u64,
}

impl Filters {
    /// A new filter; `salt` keeps the ids of different providers apart.
    pub fn make(&mut self, salt: u64, kind: FilterKind, head: u64, sent: u64) -> String {
        self.made += 1;
        let hash = digest(&[salt, self.made, 0xf117]);
        let id = hash.0[..16].iter().fold(String::from("0x"), |id, byte| format!("{id}{byte:02x}"));
        if self.live.len() == MODEL_FILTERS {
            self.live.pop_front();
        }
        self.live.push_back(Filter { id: id.clone(), kind, seen: head, seen_sent: sent });
        id
    }

    pub fn find(&mut self, id: &str) -> Option<&mut Filter> {
        self.live.iter_mut().find(|filter| filter.id == id)
    }

    /// Whether there was one.
    pub fn remove(&mut self, id: &str) -> bool {
        let before = self.live.len();
        self.live.retain(|filter| filter.id != id);
        self.live.len() < before
    }

    pub fn clear(&mut self) {
        self.live.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_found_removed_and_bounded() {
        let mut filters = Filters::default();
        let first = filters.make(1, FilterKind::Blocks, 10, 0);
        assert!(first.len() == 34 && filters.find(&first).is_some_and(|filter| filter.seen == 10));
        assert_ne!(first, Filters::default().make(2, FilterKind::Blocks, 10, 0));
        assert!(filters.remove(&first) && !filters.remove(&first) && filters.find(&first).is_none());
        let first = filters.make(1, FilterKind::Pending, 10, 0);
        for _ in 0..MODEL_FILTERS {
            filters.make(1, FilterKind::Blocks, 10, 0);
        }
        assert!(filters.find(&first).is_none() && filters.live.len() == MODEL_FILTERS);
        filters.clear();
        assert!(filters.live.is_empty());
    }
}
