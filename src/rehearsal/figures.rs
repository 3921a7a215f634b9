//! What calls came to, of a record and of its rehearsal, in the same figures.

use crate::replay::known::Basis;
use std::collections::BTreeMap;

/// One chain of one profile.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ChainSums {
    took_us: Vec<u64>,
    is_sorted: bool,
    pub failures: u64,
    /// By the provider's place in the record's chain: attempts, and calls that it was the last to be asked.
    pub by_provider: BTreeMap<u16, ProviderSums>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProviderSums {
    pub attempts: u64,
    pub answered: u64,
}

impl ChainSums {
    /// A call, and who answered it; `None`: nobody.
    pub fn add(&mut self, took_us: u64, answered_by: Option<u16>) {
        self.took_us.push(took_us);
        self.is_sorted = false;
        match answered_by {
            Some(provider) => self.by_provider.entry(provider).or_default().answered += 1,
            None => self.failures += 1,
        }
    }

    pub fn attempt(&mut self, provider: u16) {
        self.by_provider.entry(provider).or_default().attempts += 1;
    }

    pub fn calls(&self) -> u64 {
        self.took_us.len() as u64
    }

    /// Once all calls are there, before any quantile is read.
    pub fn sort(&mut self) {
        self.took_us.sort_unstable();
        self.is_sorted = true;
    }

    /// A quantile of what clients waited, failures included; nothing without calls.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        debug_assert!(self.is_sorted || self.took_us.is_empty(), "sort comes first");
        let last = self.took_us.len().checked_sub(1)?;
        self.took_us.get(((last as f64) * quantile).round() as usize).copied()
    }

    /// The share of all calls that nobody answered.
    pub fn failed_share(&self) -> f64 {
        self.failures as f64 / self.calls().max(1) as f64
    }

    /// Attempts for a call, on average.
    pub fn attempts_each(&self) -> f64 {
        let attempts: u64 = self.by_provider.values().map(|sums| sums.attempts).sum();
        attempts as f64 / self.calls().max(1) as f64
    }

    /// The share of all answered calls that this provider answered.
    pub fn share(&self, provider: u16) -> f64 {
        let all: u64 = self.by_provider.values().map(|sums| sums.answered).sum();
        let own = self.by_provider.get(&provider).map_or(0, |sums| sums.answered);
        own as f64 / all.max(1) as f64
    }
}

/// A whole rehearsal.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rehearsed {
    /// By place in the record's chains: as recorded, and as the other strategy would have had it.
    pub chains: Vec<(ChainSums, ChainSums)>,
    /// Attempts by what their answer was drawn from.
    pub bases: BTreeMap<Basis, u64>,
    /// Calls without an attempt: answered or refused by the node itself, whatever the strategy.
    pub unsent: u64,
    /// Providers of which nothing was ever seen, so that nobody could be sent to them.
    pub unknown: Vec<(u16, u16)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_shares() {
        let mut sums = ChainSums::default();
        assert_eq!(sums.quantile_us(0.5), None);
        (1..=100).rev().for_each(|n| sums.add(n, (n > 1).then_some((n % 4 == 0) as u16)));
        sums.sort();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|q| sums.quantile_us(q)), [Some(1), Some(51), Some(99), Some(100)]);
        assert_eq!((sums.calls(), sums.failures, sums.by_provider[&1].answered), (100, 1, 25));
        assert!((sums.share(1) - 25.0 / 99.0).abs() < 1e-9 && sums.share(7) == 0.0);
    }
}
