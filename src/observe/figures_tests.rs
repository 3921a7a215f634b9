//! Windows against a list of everything that happened; buckets against hdrhistogram's own.

use super::*;
use crate::base::ids::{ChannelId, InstanceId};
use crate::base::rng::Rng;
use crate::observe::buckets::{bucket_of, lowest_us};
use crate::observe::tally::{Attempted, Effect, Tally};

fn attempted(us: u64, category: Option<Category>) -> Attempted {
    let effect = if category.is_none() { Effect::Success } else { Effect::Neutral };
    let channel = ChannelId::of(InstanceId(0), Transport::Http);
    let latency = Duration::from_micros(us);
    Attempted {
        entry: EntryId(0),
        channel,
        method: MethodId(3),
        effect,
        category,
        latency,
        is_retry: category.is_some(),
        is_superseded: false,
    }
}

fn merge(figures: &mut Figures, tally: &Tally, now: Instant) {
    for row in tally.rows() {
        let (lo, buckets) = row.buckets();
        let wide: Vec<u32> = buckets.iter().map(|n| u32::from(*n)).collect();
        figures.merge(row, lo, &wide, now);
    }
}

fn counts(figures: &Figures, window: Window, now: Instant) -> Counts {
    figures.of_entry(EntryId(0)).next().map(|(_, _, f)| f.counts(window, now)).unwrap_or_default()
}

#[test]
fn a_bucket_of_ours_is_a_bucket_of_hdrhistogram() {
    let histogram = Latencies::default().histogram();
    for bucket in 1..BUCKETS - 1 {
        let (low, next) = (lowest_us(bucket), lowest_us(bucket + 1));
        assert_eq!((histogram.lowest_equivalent(low), histogram.next_non_equivalent(low)), (low, next), "bucket {bucket}");
    }
}

#[test]
fn each_window_holds_what_happened_in_it() {
    let (mut rng, mut figures, mut all) = (Rng::new(7), Figures::default(), Vec::new());
    let mut now = Instant::ZERO;
    for step in 0..600 {
        now = now.plus_ms(rng.below(40_000));
        let mut tally = Tally::new(1, 1);
        for _ in 0..rng.below(20) {
            let category = [None, Some(Category::RateLimit), Some(Category::ExecutionRevert)][rng.below(3) as usize];
            let us = 1 + rng.below(5_000_000);
            tally.record(&attempted(us, category));
            all.push((now, us, category));
        }
        merge(&mut figures, &tally, now);
        for (window, slice_ms, slices) in
            [(Window::Minute, SHORT_MS, 6), (Window::Hour, LONG_MS, 12), (Window::Total, 1, u64::MAX)]
        {
            let is_in = |at: Instant| window == Window::Total || at.as_ms() / slice_ms + slices > now.as_ms() / slice_ms;
            let want: Vec<_> = all.iter().filter(|(at, ..)| is_in(*at)).collect();
            let got = counts(&figures, window, now);
            let of = |category| want.iter().filter(|(_, _, c)| *c == category).count() as u64;
            assert_eq!(got.successes, of(None), "step {step}, {window:?}");
            assert_eq!((got.attempts(), got.retries), (want.len() as u64, want.len() as u64 - of(None)));
            assert_eq!(got.answered(), of(None) + of(Some(Category::ExecutionRevert)));
            assert_eq!(got.sum_us, want.iter().filter(|(_, _, c)| c.is_none()).map(|(_, us, _)| us).sum::<u64>());
            assert_eq!(got.latencies.histogram().len(), of(None));
        }
    }
}

#[test]
fn rejections_are_no_failures() {
    let check = |categories: &[Option<Category>], want: (u64, u64, u64, f64)| {
        let (mut tally, mut figures) = (Tally::new(1, 1), Figures::default());
        categories.iter().for_each(|category| tally.record(&attempted(9, *category)));
        merge(&mut figures, &tally, Instant::ZERO);
        let got = counts(&figures, Window::Total, Instant::ZERO);
        assert_eq!((got.attempts(), got.answered(), got.rejected(), got.success_rate()), want, "{categories:?}");
    };
    let (range, revert, server) = (Category::BlockRangeTooLarge, Category::ExecutionRevert, Category::ServerError);
    check(&[], (0, 0, 0, 1.0));
    check(&[Some(range), Some(range)], (2, 0, 2, 1.0));
    check(&[None, Some(range), Some(revert), Some(server)], (4, 2, 1, 2.0 / 3.0));
}

#[test]
fn percentiles_are_within_a_bucket() {
    let (mut rng, mut tally, mut figures) = (Rng::new(9), Tally::new(1, 1), Figures::default());
    let mut all: Vec<u64> = (0..10_000).map(|_| 50 + rng.below(rng.clone().below(800_000) + 1)).collect();
    all.iter().for_each(|us| tally.record(&attempted(*us, None)));
    merge(&mut figures, &tally, Instant::ZERO);
    all.sort_unstable();
    let histogram = counts(&figures, Window::Total, Instant::ZERO).latencies.histogram();
    for quantile in [0.5, 0.9, 0.95, 0.99] {
        let exact = all[(quantile * all.len() as f64) as usize - 1];
        let got = histogram.value_at_quantile(quantile);
        assert!(bucket_of(got).abs_diff(bucket_of(exact)) <= 1, "p{quantile}: {got} for {exact}");
    }
}

#[test]
fn rows_are_bounded_and_an_idle_row_is_small() {
    let mut figures = Figures::default();
    let (entries, methods) = (300, crate::chain::method::COUNT as u16);
    for entry in 0..entries {
        let mut tally = Tally::new(entries as usize, 1);
        for method in 0..methods {
            tally.record(&Attempted { entry: EntryId(entry), method: MethodId(method), ..attempted(100, None) });
        }
        merge(&mut figures, &tally, Instant::ZERO);
    }
    let asked = u64::from(entries) * u64::from(methods);
    assert_eq!(figures.rows.len(), limits::FIGURE_ROWS);
    assert_eq!(figures.homeless, asked - limits::FIGURE_ROWS as u64);
    let mut figure = Figure::default();
    for minute in 0..600 {
        figure.newest(Instant::ZERO.plus_ms(minute * 60_000));
    }
    assert!(figure.short.len() <= 6 && figure.long.len() <= 13, "{} and {} slices", figure.short.len(), figure.long.len());
}

#[test]
fn categories_are_listed_in_the_order_they_are_counted_in() {
    for (index, category) in Category::ALL.into_iter().enumerate() {
        assert_eq!(category as usize, index, "{}", category.word());
    }
}

#[test]
fn a_window_grows_to_its_length() {
    let check = |window, at_ms: u64, want_ms: u64| {
        assert_eq!(span_of(window, Instant::ZERO.plus_ms(at_ms)), Duration::from_millis(want_ms), "{window:?} at {at_ms}");
    };
    check(Window::Minute, 3_000, 3_000);
    check(Window::Minute, 64_000, 54_000);
    check(Window::Hour, 64_000, 64_000);
    check(Window::Hour, 7_201_000, 3_301_000);
    check(Window::Total, 7_201_000, 7_201_000);
}

#[test]
fn all_windows_at_once_are_the_same_as_each() {
    let mut figures = Figures::default();
    let mut rng = Rng::new(3);
    let mut windows = FigureWindows::default();
    let mut now = Instant::ZERO;
    for _ in 0..400 {
        now = now.plus_ms(rng.below(60_000));
        let mut tally = Tally::new(1, 1);
        for _ in 0..rng.below(20) {
            let category = rng.chance(200_000).then_some(Category::RateLimit);
            tally.record(&attempted(1 + rng.below(90_000), category));
        }
        merge(&mut figures, &tally, now);
        for (_, _, figure) in figures.of_entry(EntryId(0)) {
            windows.take(figure, now);
            let mut total = figure.counts(Window::Total, now);
            total.latencies = Latencies::default();
            let all = [&windows.total, &windows.hour, &windows.minute].map(|counts| counts.clone().canonical());
            let each = [total, figure.counts(Window::Hour, now), figure.counts(Window::Minute, now)].map(Counts::canonical);
            assert_eq!(all, each);
        }
    }
}
