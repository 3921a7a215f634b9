//! From samples to figures with intervals that hold the truth in at least 95 of 100 runs.
//!
//! A quantile's interval is between two of the sample's own values, chosen so that the binomial distribution leaves at most
//! five per cent outside: exact for every distribution of latencies and every number of samples, and absent where there are
//! too few (p99 needs 299 calls, p99.9 needs 2,995). A share's is Clopper and Pearson's.
//! Rejected: the percentile bootstrap for quantiles (its ends are sample values too, so it is short in tails: the interval of
//! a p99 of 100 calls ends at the largest one, which is below the true p99 in 37 of 100 runs), Wilson's interval for shares
//! (at the shares of good providers it misses more than one run in ten: 0.998 of 60 calls), and quantiles out of histogram
//! buckets (an edge of a bucket is no value that was seen). The bootstrap stays for differences of medians, where it is good
//! with few samples too (Wilcox, Introduction to Robust Estimation, 5.9.11): see `ranking`.
//! How it fails: calls a moment apart are not independent. Where a provider is slow for seconds at a time, intervals are
//! narrower than they should be; the remedy is a longer run, not a higher rate.

use crate::base::limits;
use crate::bench::findings::Estimate;
use statrs::distribution::{Beta, ContinuousCDF};

/// What may be outside of an interval, on both sides together.
const OUTSIDE: f64 = 0.05;

/// The chance that at least `k` of `n` samples are below the quantile `q`.
fn at_least(k: u64, n: u64, q: f64) -> f64 {
    match k {
        0 => 1.0,
        _ if k > n => 0.0,
        _ => Beta::new(k as f64, (n - k + 1) as f64).map_or(0.0, |beta| beta.cdf(q)),
    }
}

/// The smallest `k` in `1..=n` from which on `holds` does; `n + 1` where it never does. `holds` does not turn back.
fn first(n: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (1, n + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

/// Places (from 1) of the two values between which the quantile lies. `None`: there are too few samples to say.
fn places(n: u64, q: f64) -> Option<(u64, u64)> {
    // Above the k-th value: fewer than k samples are below the quantile.
    let is_high_enough = |k: u64, tail: f64| at_least(k, n, q) <= tail;
    let mut tail = OUTSIDE / 2.0;
    let mut high = first(n, |k| is_high_enough(k, tail));
    let mut outside_above = at_least(high.min(n), n, q);
    if high > n {
        // The largest value must do, with what it leaves outside taken from the other side.
        high = n;
        outside_above = at_least(n, n, q);
        tail = OUTSIDE - outside_above;
    }
    if tail <= 0.0 || outside_above > OUTSIDE {
        return None;
    }
    // Below the k-th value lie at least k samples with a chance of 1 - tail.
    let beyond = first(n, |k| 1.0 - at_least(k, n, q) > tail);
    let low = beyond - 1;
    (low >= 1).then_some((low, high))
}

/// How many calls a quantile's interval takes.
pub fn least_calls(q: f64) -> u64 {
    // From the least number on that has one every larger one has.
    first(limits::BENCH_CALLS_MAX, |n| places(n, q).is_some())
}

/// A quantile of `sorted` values with its interval; `None` where there are too few for one.
pub fn quantile(sorted: &[f64], q: f64) -> Option<Estimate> {
    let n = sorted.len() as u64;
    let (low, high) = places(n, q)?;
    let value = ((q * n as f64).ceil() as u64).clamp(low, high);
    let at = |place: u64| sorted.get(place as usize - 1).copied();
    Some(Estimate { value: at(value)?, low: at(low)?, high: at(high)? })
}

/// How many of `calls` were good, as a share.
pub fn share(good: u64, calls: u64) -> Estimate {
    if calls == 0 {
        return Estimate { value: 0.0, low: 0.0, high: 1.0 };
    }
    let bound = |a: u64, b: u64, at: f64| Beta::new(a as f64, b as f64).map_or(f64::NAN, |beta| beta.inverse_cdf(at));
    let low = if good == 0 { 0.0 } else { bound(good, calls - good + 1, OUTSIDE / 2.0) };
    Estimate { value: good as f64 / calls as f64, low, high: share_at_most(good, calls, OUTSIDE / 2.0) }
}

/// What the true share is above of with a chance of no more than `tail`.
pub fn share_at_most(good: u64, calls: u64, tail: f64) -> f64 {
    if good >= calls {
        return 1.0;
    }
    Beta::new((good + 1) as f64, (calls - good) as f64).map_or(1.0, |beta| beta.inverse_cdf(1.0 - tail))
}

/// The chance of so uneven a split of `one + other` coin tosses, or a more uneven one (McNemar's exact test).
pub fn uneven(one: u64, other: u64) -> f64 {
    let (more, all) = (one.max(other), one + other);
    (2.0 * at_least(more, all, 0.5)).min(1.0)
}

/// The middle one of `values`, whose order is lost. `None` of none.
pub fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len().checked_sub(1)? / 2;
    let (below, upper, _) = values.select_nth_unstable_by(values.len() / 2, f64::total_cmp);
    let upper = *upper;
    if middle == below.len() {
        return Some(upper);
    }
    let lower = below.iter().copied().max_by(f64::total_cmp)?;
    Some((lower + upper) / 2.0)
}

/// Edges of a distribution for charts: 24 to a factor of ten, over what was seen, each with how many lie at or below it.
pub fn distribution(sorted: &[f64]) -> Vec<(f64, u64)> {
    const EDGES: f64 = 24.0;
    let (Some(least), Some(most)) = (sorted.iter().find(|ms| **ms > 0.0), sorted.last()) else { return Vec::new() };
    let mut edges = Vec::new();
    let (from, to) = ((least.log10() * EDGES).floor() as i32, (most.log10() * EDGES).ceil() as i32);
    for place in from..=to {
        let edge = 10_f64.powf(f64::from(place) / EDGES);
        let below = sorted.partition_point(|ms| *ms <= edge) as u64;
        if edges.last().is_none_or(|(_, before)| *before != below) {
            edges.push((edge, below));
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn exponential(rng: &mut Rng) -> f64 {
        -10.0 * (1.0 - rng.unit()).ln()
    }

    /// Runs of which the interval held the truth, and runs that had one.
    fn covered(n: usize, q: f64) -> (u32, u32) {
        let (mut rng, truth) = (Rng::new(n as u64), -10.0 * (1.0 - q).ln());
        let (mut held, mut had) = (0, 0);
        for _ in 0..1_000 {
            let mut sample: Vec<f64> = (0..n).map(|_| exponential(&mut rng)).collect();
            sample.sort_by(f64::total_cmp);
            if let Some(estimate) = quantile(&sample, q) {
                assert!(estimate.low <= estimate.value && estimate.value <= estimate.high, "{estimate:?}");
                had += 1;
                held += u32::from(estimate.low <= truth && truth <= estimate.high);
            }
        }
        (held, had)
    }

    #[test]
    fn intervals_of_quantiles_hold_the_truth_and_are_absent_where_they_could_not() {
        for (n, q) in [(6, 0.5), (20, 0.5), (50, 0.5), (300, 0.5), (29, 0.9), (50, 0.9), (59, 0.95), (300, 0.99), (3_000, 0.999)]
        {
            let (held, had) = covered(n, q);
            assert!(had == 1_000 && held >= 930, "{held} of {had} runs of {n} samples at {q}");
        }
        for (n, q) in [(0, 0.5), (5, 0.5), (28, 0.9), (58, 0.95), (298, 0.99), (2_900, 0.999)] {
            assert_eq!(places(n, q), None, "{n} samples at {q}");
        }
        assert_eq!([0.5, 0.9, 0.95, 0.99, 0.999].map(least_calls), [6, 29, 59, 299, 2_995]);
    }

    #[test]
    fn intervals_of_shares_hold_the_truth_near_the_whole_too() {
        for (truth, calls) in [(0.998, 60), (0.98, 60), (0.9, 30), (0.65, 300), (1.0, 10), (0.0, 10), (0.5, 1)] {
            let mut rng = Rng::new(calls);
            let held = (0..1_000).filter(|_| {
                let good = (0..calls).filter(|_| rng.unit() < truth).count() as u64;
                let estimate = share(good, calls);
                estimate.low <= truth && truth <= estimate.high
            });
            let held = held.count();
            assert!(held >= 930, "{held} of 1000 runs at {truth} of {calls}");
        }
        assert_eq!(share(0, 0), Estimate { value: 0.0, low: 0.0, high: 1.0 });
        assert!((share(60, 60).low - 0.025_f64.powf(1.0 / 60.0)).abs() < 1e-9);
    }

    #[test]
    fn small_figures() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0]), Some(3.0));
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&mut [9.0, 1.0, 3.0]), Some(3.0));
        assert!((uneven(0, 6) - 2.0 / 64.0).abs() < 1e-9 && uneven(3, 3) >= 1.0 && uneven(0, 0) >= 1.0);
        let edges = distribution(&[0.5, 1.0, 1.0, 40.0]);
        assert!(edges.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1), "{edges:?}");
        assert_eq!(edges.last().map(|(edge, all)| (*edge >= 40.0, *all)), Some((true, 4)));
        assert!(distribution(&[]).is_empty());
    }
}
