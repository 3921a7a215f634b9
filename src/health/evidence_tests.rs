//! The rules as tables, and as laws over random histories.

use super::*;
use crate::base::rng::Rng;
use crate::observe::buckets::bucket_of;
use proptest::prelude::*;

const CHANNEL: ChannelId = ChannelId(2);
const METHOD: MethodId = MethodId(7);

fn at(ms: u64) -> Instant {
    Instant::ZERO.plus_ms(1_000_000 + ms)
}

/// One epoch with these latencies and, after them, these failures.
fn feed(evidence: &mut Evidence, latencies_us: &[u64], failures: u32, now: Instant) {
    let mut buckets = [0; BUCKETS];
    for us in latencies_us {
        buckets[bucket_of(*us)] += 1;
    }
    let lo = buckets.iter().position(|count| *count > 0).unwrap_or(0);
    let hi = buckets.iter().rposition(|count| *count > 0).map_or(lo, |last| last + 1);
    let counts = RowCounts { lo, buckets: &buckets[lo..hi], failures, trailing: failures };
    evidence.merge(CHANNEL, METHOD, &counts, now);
}

fn standing(evidence: &Evidence, now: Instant) -> Standing {
    evidence.standing(CHANNEL, METHOD, now)
}

fn middle(us: u64) -> Option<u32> {
    Some(middle_us(bucket_of(us)) as u32)
}

#[test]
fn what_was_kept_orders_until_calls_do() {
    // Kept: p50 and p90 in ms, calls, their success rate. Then epochs of (ms, successes, failures), and when is asked.
    let check = |kept: (u32, u32, u64, f64), epochs: &[(u64, usize, u32)], ask: u64, want: Option<u32>| {
        let (p50_ms, p90_ms, calls, success_rate) = kept;
        let what = Remembered { p50_us: p50_ms * 1000, p90_us: p90_ms * 1000, calls, success_rate };
        let mut evidence = Evidence::new();
        evidence.remember(CHANNEL, METHOD, &what, at(0));
        for (ms, good, bad) in epochs {
            feed(&mut evidence, &vec![1000; *good], *bad, at(*ms));
            evidence.forget(at(*ms));
        }
        let seen = standing(&evidence, at(ask));
        assert_eq!(seen.kept_us.map(|us| us / 1000), want, "{kept:?} {epochs:?} at {ask}");
        let good: usize = epochs.iter().map(|(_, good, _)| good).sum();
        assert!(seen.successes as usize <= good && seen.qualified == (good >= 3 && want.is_none()), "it is no success");
    };
    let busy = (10, 30, 1000, 1.0);
    check(busy, &[], 0, Some(30));
    check((10, 30, 10, 1.0), &[], 0, Some(10));
    check((10, 30, 1000, 0.8), &[], 0, Some(37));
    check((10, 30, 1000, 0.7), &[], 0, None);
    check((10, 30, 2, 1.0), &[], 0, None);
    check(busy, &[(100, 1, 0), (200, 1, 0)], 200, Some(30));
    check(busy, &[(100, 1, 0), (200, 2, 0)], 200, None);
    check(busy, &[(100, 0, 1)], 400_000, None);
    check(busy, &[], limits::SNAPSHOT_PRIOR_MS, Some(30));
    check(busy, &[], limits::SNAPSHOT_PRIOR_MS + 1, None);
    // Of this channel and method only.
    let mut evidence = Evidence::new();
    assert!(evidence.remember(CHANNEL, METHOD, &Remembered { p50_us: 1, p90_us: 2, calls: 50, success_rate: 1.0 }, at(0)));
    assert_eq!(evidence.standing(CHANNEL, MethodId(8), at(0)), Standing::unknown(None));
    assert_eq!(evidence.standing(ChannelId(3), METHOD, at(0)), Standing::unknown(None));
}

#[test]
fn who_is_qualified() {
    // Epochs (ms, successes, failures), then the ms at which is asked.
    let check = |epochs: &[(u64, usize, u32)], ask: u64, want: bool| {
        let mut evidence = Evidence::new();
        for (ms, good, bad) in epochs {
            feed(&mut evidence, &vec![1000; *good], *bad, at(*ms));
        }
        assert_eq!(standing(&evidence, at(ask)).qualified, want, "{epochs:?} at {ask}");
    };
    check(&[], 0, false);
    check(&[(0, 2, 0)], 0, false);
    check(&[(0, 3, 0)], 0, true);
    check(&[(0, 1, 0), (1000, 1, 0), (2000, 1, 0)], 2000, true);
    check(&[(0, 3, 0)], 280_000, true);
    check(&[(0, 3, 0)], 300_000, false);
    check(&[(0, 2, 0), (299_000, 1, 0)], 301_000, false);
    check(&[(0, 3, 1)], 0, true);
    check(&[(0, 3, 2)], 0, false);
    check(&[(0, 30, 2)], 0, true);
    check(&[(0, 30, 3)], 0, false);
    check(&[(0, 30, 2), (100, 0, 1)], 100, false);
    check(&[(0, 30, 3), (100, 1, 0)], 100, true);
    check(&[(0, 3, 0), (100, 0, 2)], 100, false);
    check(&[(0, 0, 2), (60_000, 3, 0)], 60_000, true);
}

#[test]
fn what_stands_for_the_latency() {
    let mut evidence = Evidence::new();
    assert_eq!(standing(&evidence, at(0)), Standing::unknown(None));
    let latencies: Vec<u64> = (1..=10).map(|n| n * 1000).collect();
    feed(&mut evidence, &latencies, 0, at(0));
    let few = standing(&evidence, at(0));
    assert_eq!((few.latency_us, few.samples, few.successes), (middle(5000), 10.0, 10));
    assert_eq!((Some(few.p90_us), Some(few.p99_us), few.patience_us()), (middle(9000), middle(10_000), None));
    for ms in [1, 2] {
        feed(&mut evidence, &latencies, 0, at(ms));
    }
    let many = standing(&evidence, at(2));
    assert_eq!((many.latency_us, many.patience_us()), (middle(9000), middle(10_000).map(|us| us * 4)));
    assert!((29.0..=30.0).contains(&many.samples) && many.score() == many.latency_us.map(|us| us as f32));
    // Time alone moves no percentile; after a minute the row is stale, after five it is unknown.
    for (ms, samples) in [(5_002, 15.0), (10_002, 7.5), (60_002, 30.0 / 4096.0), (61_000, 0.0), (299_000, 0.0)] {
        let later = standing(&evidence, at(ms));
        assert_eq!(later.latency_us, many.latency_us, "{ms}");
        assert!((later.samples - samples).abs() < 0.01, "{ms}: {}", later.samples);
    }
    assert_eq!(standing(&evidence, at(300_003)), Standing::unknown(None));
}

#[test]
fn failures_make_a_score_worse_and_leave_latency_alone() {
    let mut evidence = Evidence::new();
    feed(&mut evidence, &[1000; 30], 0, at(0));
    let before = standing(&evidence, at(0));
    feed(&mut evidence, &[], 10, at(1));
    let after = standing(&evidence, at(1));
    assert_eq!((after.latency_us, after.failures_in_a_row, after.last), (before.latency_us, 10, Some(at(0))));
    assert!((after.reliability - 0.75).abs() < 0.001 && after.score() > before.score());
}

#[test]
fn slow_answers_give_more_patience() {
    let mut evidence = Evidence::new();
    feed(&mut evidence, &[200_000; 40], 0, at(0));
    assert_eq!(standing(&evidence, at(0)).patience_us(), middle(200_000).map(|us| us * 4));
}

#[test]
fn probes_order_and_never_qualify() {
    let mut evidence = Evidence::new();
    for _ in 0..10 {
        evidence.on_prior(CHANNEL, 800, at(0));
    }
    evidence.on_prior(CHANNEL, 1600, at(1));
    let seen = standing(&evidence, at(1));
    assert_eq!((seen.prior_us, seen.latency_us, seen.qualified), (Some(900), None, false));
    assert_eq!(standing(&evidence, at(300_002)).prior_us, None);
    evidence.on_prior(CHANNEL, 5000, at(300_002));
    assert_eq!(standing(&evidence, at(300_002)).prior_us, Some(5000), "what was too old is not averaged in");
}

#[test]
fn a_busy_row_follows_when_the_best_becomes_ten_times_slower() {
    for per_epoch in [1usize, 10, 50, 100] {
        let (mut evidence, mut ms) = (Evidence::new(), 0);
        for _ in 0..50 {
            feed(&mut evidence, &[1000; 100], 0, at(ms));
            ms += 100;
        }
        assert!(standing(&evidence, at(ms)).samples <= limits::EVIDENCE_WEIGHT);
        let mut calls = 0;
        while standing(&evidence, at(ms)).p90_us < 2000 {
            feed(&mut evidence, &vec![10_000; per_epoch], 0, at(ms));
            calls += per_epoch;
            ms += 100;
        }
        assert!(calls <= 100, "{calls} calls in epochs of {per_epoch}");
    }
}

#[test]
fn three_trickled_calls_bring_a_recovered_provider_back() {
    let mut evidence = Evidence::new();
    for epoch in 0..100 {
        feed(&mut evidence, &[50_000; 20], 0, at(epoch * 100));
    }
    let believed: Vec<bool> = (0..3)
        .map(|n| {
            feed(&mut evidence, &[1000], 0, at(15_000 + n * 5000));
            standing(&evidence, at(15_000 + n * 5000)).latency_us < Some(2000)
        })
        .collect();
    assert_eq!(believed, [false, false, true]);
}

#[test]
fn rows_are_bounded_and_forgotten() {
    let mut evidence = Evidence::new();
    let counts = RowCounts { lo: 40, buckets: &[3], failures: 0, trailing: 0 };
    for n in 0..limits::EVIDENCE_ROWS as u16 + 10 {
        evidence.merge(ChannelId(n / 64), MethodId(n % 64), &counts, at(u64::from(n)));
    }
    assert_eq!(evidence.rows.len(), limits::EVIDENCE_ROWS);
    evidence.forget(at(300_099));
    assert_eq!(evidence.rows.len(), limits::EVIDENCE_ROWS - 99);
    evidence.on_prior(CHANNEL, 1, at(0));
    evidence.forget(at(900_000));
    assert!(evidence.rows.is_empty() && evidence.priors.is_empty());
}

#[test]
fn an_odd_range_does_no_harm() {
    let mut evidence = Evidence::new();
    for (lo, buckets) in [(BUCKETS - 1, &[1, 5][..]), (BUCKETS + 5, &[1]), (0, &[])] {
        evidence.merge(CHANNEL, METHOD, &RowCounts { lo, buckets, failures: 0, trailing: 0 }, at(0));
    }
    assert_eq!(standing(&evidence, at(0)).latency_us, Some(middle_us(BUCKETS - 1) as u32));
}

/// A history of epochs: pause in ms, latencies, failures.
fn history() -> impl Strategy<Value = Vec<(u64, Vec<u64>, u32)>> {
    let latency = prop_oneof![0u64..100, 100u64..100_000, 100_000u64..100_000_000];
    prop::collection::vec((prop_oneof![0u64..300, 0u64..90_000], prop::collection::vec(latency, 0..8), 0u32..3), 1..40)
}

proptest! {
    #[test]
    fn percentiles_are_within_one_bucket_of_exact(mut latencies in prop::collection::vec(0u64..60_000_000, 1..200)) {
        let mut evidence = Evidence::new();
        feed(&mut evidence, &latencies, 0, at(0));
        latencies.sort_unstable();
        let seen = standing(&evidence, at(0));
        for (percent, got) in [(50, seen.p50_us), (90, seen.p90_us), (99, seen.p99_us)] {
            let exact = latencies[(latencies.len() * percent).div_ceil(100) - 1];
            prop_assert!(bucket_of(u64::from(got)).abs_diff(bucket_of(exact)) <= 1, "p{percent} {got} of {exact}");
        }
    }

    #[test]
    fn any_history_keeps_the_bounds_and_expires(epochs in history()) {
        let (mut evidence, mut ms) = (Evidence::new(), 0);
        for (pause, latencies, failures) in epochs {
            ms += pause;
            feed(&mut evidence, &latencies, failures, at(ms));
            let seen = standing(&evidence, at(ms));
            prop_assert!(seen.samples >= 0.0 && seen.samples <= limits::EVIDENCE_WEIGHT + 0.01);
            prop_assert!((0.0..=1.0).contains(&seen.reliability));
            prop_assert!(seen.p50_us <= seen.p90_us && seen.p90_us <= seen.p99_us);
            prop_assert_eq!(seen.latency_us.is_some(), seen.last.is_some());
            prop_assert!(!seen.qualified || seen.successes >= 3 && seen.score().is_some_and(f32::is_finite));
            prop_assert_eq!(standing(&evidence, at(ms + 300_001)), Standing::unknown(None));
            // What is outside the range is zero, so that nothing old comes back.
            let stray = evidence.rows.values().any(|row| {
                let outside = |bucket| bucket < row.lo || bucket >= row.hi;
                row.weights.iter().enumerate().any(|(bucket, weight)| outside(bucket) && *weight != 0.0)
            });
            prop_assert!(!stray);
        }
    }

    #[test]
    fn a_ranking_is_total_and_stable(seed in any::<u64>()) {
        let (mut evidence, mut rng) = (Evidence::new(), Rng::new(seed));
        for channel in 0..20 {
            let buckets: Vec<u32> = (0..8).map(|_| rng.below(4) as u32).collect();
            let counts = RowCounts { lo: rng.below(300) as usize, buckets: &buckets, failures: rng.below(5) as u32, trailing: 0 };
            evidence.merge(ChannelId(channel), METHOD, &counts, at(rng.below(1000)));
        }
        let rank = |now| {
            let mut order: Vec<(f32, u16)> = (0..20)
                .filter_map(|channel| Some((evidence.standing(ChannelId(channel), METHOD, now).score()?, channel)))
                .collect();
            order.sort_by(|a, b| a.partial_cmp(b).expect("every score is a number"));
            order
        };
        prop_assert_eq!(rank(at(1000)), rank(at(100_000)));
    }
}
