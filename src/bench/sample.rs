//! What is kept of the calls of one provider, transport and method: each with the moment at which all were asked the same, so
//! that providers can be compared moment by moment, and so that intervals are exact. A histogram was rejected for both.
//!
//! Time is what a caller waits: a call that timed out counts with the time that it was given, because leaving it out would
//! make a provider better the more it hangs. Other failures have no time (a refusal comes fast, and is no answer); they
//! count in the share of successes. An error that is the call's own (a revert) is an answer, but where one provider gives it
//! and another one a result, the two did not do the same work, and are not compared by it.

use crate::bench::findings::{Cell, Estimate};
use crate::bench::statistics::{self, distribution, median, quantile};
use crate::observe::category::Category;
use std::collections::BTreeMap;

/// How a measured call ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum CallEnd {
    Answered {
        after_ms: f64,
    },
    /// By an error that is the call's own, as a revert is.
    OwnError {
        after_ms: f64,
    },
    TimedOut {
        after_ms: f64,
    },
    Failed(Category),
    /// It was not sent, because the provider had asked to be left alone for a while.
    HeldBack,
}

/// The word for calls that were held back, among those of categories.
pub const HELD_BACK: &str = "held_back";

/// One call that is over.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    pub moment: u32,
    pub end: CallEnd,
}

impl Sample {
    pub fn time_ms(&self) -> Option<f64> {
        match self.end {
            CallEnd::Answered { after_ms } | CallEnd::OwnError { after_ms } | CallEnd::TimedOut { after_ms } => Some(after_ms),
            CallEnd::Failed(_) | CallEnd::HeldBack => None,
        }
    }

    pub fn is_success(&self) -> bool {
        matches!(self.end, CallEnd::Answered { .. } | CallEnd::OwnError { .. })
    }
}

/// All of one cell.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    pub calls: Vec<Sample>,
    /// First calls on connections of their own.
    pub cold_ms: Vec<f64>,
}

impl Samples {
    pub fn successes(&self) -> u64 {
        self.calls.iter().filter(|sample| sample.is_success()).count() as u64
    }

    fn errors(&self) -> BTreeMap<String, u64> {
        let mut errors = BTreeMap::new();
        for sample in &self.calls {
            let word = match sample.end {
                CallEnd::Answered { .. } | CallEnd::OwnError { .. } => continue,
                CallEnd::TimedOut { .. } => Category::Timeout.word(),
                CallEnd::Failed(category) => category.word(),
                CallEnd::HeldBack => HELD_BACK,
            };
            *errors.entry(word.to_owned()).or_default() += 1;
        }
        errors
    }

    /// The cell of the findings.
    pub fn cell(&self, provider: usize, transport: &str, method: &str) -> Cell {
        let (calls, successes) = (self.calls.len() as u64, self.successes());
        let times = sorted(self.calls.iter().filter_map(Sample::time_ms));
        Cell {
            provider,
            transport: transport.to_owned(),
            method: method.to_owned(),
            calls,
            successes,
            success: statistics::share(successes, calls),
            errors: self.errors(),
            p50_ms: quantile(&times, 0.5),
            p90_ms: quantile(&times, 0.9),
            p95_ms: quantile(&times, 0.95),
            p99_ms: quantile(&times, 0.99),
            p999_ms: quantile(&times, 0.999),
            cold_ms: middle(self.cold_ms.iter().copied()),
            distribution: distribution(&times),
        }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The median with its interval; `None` of too few.
pub fn middle(values: impl Iterator<Item = f64>) -> Option<Estimate> {
    let mut values = sorted(values);
    let estimate = quantile(&values, 0.5)?;
    Some(Estimate { value: median(&mut values)?.clamp(estimate.low, estimate.high), ..estimate })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_their_time_and_other_failures_none() {
        let end = |moment: u32| match moment % 10 {
            0 => CallEnd::TimedOut { after_ms: 10_000.0 },
            1 => CallEnd::Failed(Category::ServerError),
            2 => CallEnd::HeldBack,
            _ => CallEnd::Answered { after_ms: 10.0 },
        };
        let calls = (0..100).map(|moment| Sample { moment, end: end(moment) }).collect();
        let cell = Samples { calls, cold_ms: vec![5.0; 3] }.cell(1, "ws", "eth_call");
        assert_eq!((cell.calls, cell.successes, cell.provider), (100, 70, 1));
        let errors: Vec<(&str, u64)> = cell.errors.iter().map(|(word, count)| (word.as_str(), *count)).collect();
        assert_eq!(errors, [("held_back", 10), ("server_error", 10), ("timeout", 10)]);
        assert_eq!(cell.errors.values().sum::<u64>() + cell.successes, cell.calls);
        let p50 = cell.p50_ms.expect("enough calls");
        let p95 = cell.p95_ms.expect("enough calls");
        assert_eq!((p50.value, p95.value, cell.p99_ms), (10.0, 10_000.0, None));
        assert_eq!(cell.cold_ms, None, "three are too few");
        assert_eq!(cell.distribution.last().map(|(_, below)| *below), Some(80));
    }
}
