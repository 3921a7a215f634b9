//! What people are shown: for each provider as configured, transport and method, counts and latencies of the last minute,
//! of the last hour, and since the start.
//!
//! An epoch's row is added once, to the newest slice of ten seconds. A slice that leaves the last minute is added to one
//! of five minutes, which is dropped when it leaves the last hour, and to the sum of all that left; so a window is a sum of
//! slices, the merge pays for one of them, and a scrape, which asks for everything, reads eight instead of twenty.
//! Latencies stay in the tallies' buckets, as the stretch that was touched, and become an hdrhistogram when somebody asks.
//! Rejected: a histogram for each window (kilobytes each, merged three times), and averages without distributions. A row
//! beyond the bound is counted and not kept.

use crate::base::ids::{EntryId, MethodId, Transport};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::observe::buckets::{BUCKETS, TOP_US, bound_us, middle_us};
use crate::observe::category::{Category, Class};
use crate::observe::tally::Row;
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, VecDeque};

const SHORT_MS: u64 = 10_000;
const SHORT_SLICES: u64 = 6;
const LONG_MS: u64 = 300_000;
const LONG_SLICES: u64 = 12;

/// Which figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// Fifty seconds and what has passed of the next ten.
    Minute,
    Hour,
    Total,
}

/// Successes by latency bucket.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Latencies {
    /// The bucket that `counts` begins at.
    lo: usize,
    counts: Vec<u64>,
}

impl Latencies {
    pub fn merge(&mut self, other: &Latencies) {
        self.add(other.lo, &other.counts);
    }

    /// Adds the counts of a stretch that begins at bucket `lo`.
    pub fn add<N: Copy + Into<u64>>(&mut self, lo: usize, counts: &[N]) {
        let end = (lo + counts.len()).min(BUCKETS);
        if counts.is_empty() || lo >= end {
            return;
        }
        if self.counts.is_empty() {
            self.lo = lo;
        }
        if lo < self.lo {
            self.counts.splice(..0, std::iter::repeat_n(0, self.lo - lo));
            self.lo = lo;
        }
        if end > self.lo + self.counts.len() {
            self.counts.resize(end - self.lo, 0);
        }
        let here = self.counts.iter_mut().skip(lo - self.lo);
        here.zip(counts).for_each(|(to, from)| *to += (*from).into());
    }

    /// The first bucket that is kept, and the counts from there on.
    pub fn stretch(&self) -> (usize, &[u64]) {
        (self.lo, &self.counts)
    }

    pub fn of_bucket(&self, bucket: usize) -> u64 {
        bucket.checked_sub(self.lo).and_then(|offset| self.counts.get(offset)).copied().unwrap_or(0)
    }

    /// The counts of the buckets from `first` up to `end`, to be changed; `None` for buckets that do not exist.
    pub fn opened(&mut self, first: usize, end: usize) -> Option<&mut [u64]> {
        if first >= end || end > BUCKETS {
            return None;
        }
        self.add(first, &[0u64]);
        self.add(end - 1, &[0u64]);
        self.counts.get_mut(first - self.lo..end - self.lo)
    }

    /// Lets go of empty buckets at both ends, so that what is equal is the same.
    pub fn trim(&mut self) {
        let end = self.counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        self.counts.truncate(end);
        let empty = self.counts.iter().position(|count| *count > 0).unwrap_or(0);
        self.counts.drain(..empty);
        self.lo = if self.counts.is_empty() { 0 } else { self.lo + empty };
    }

    /// The buckets that hold something, ascending: what their latencies are below, in microseconds, and how many there are.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(offset, count)| (bound_us(self.lo + offset), *count))
    }

    /// In microseconds.
    pub fn histogram(&self) -> Histogram<u64> {
        // One significant digit has exactly our buckets, so nothing is lost.
        let empty = Histogram::new_with_bounds(1, TOP_US, 1);
        let mut histogram = empty.unwrap_or_else(|fault| unreachable!("constants that hdrhistogram takes: {fault}"));
        for (offset, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            histogram.saturating_record_n(middle_us(self.lo + offset), *count);
        }
        histogram
    }
}

/// Attempts of one stretch of time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub successes: u64,
    /// Of the successes.
    pub sum_us: u64,
    pub max_us: u64,
    /// Attempts after another provider had failed the same call.
    pub retries: u64,
    /// Failures that counted against the channel.
    pub penalised: u64,
    /// Attempts without a result; few kinds at a time.
    by_category: Vec<(Category, u64)>,
    pub latencies: Latencies,
}

impl Counts {
    /// Attempts that ended.
    pub fn attempts(&self) -> u64 {
        self.successes + self.by_category.iter().map(|(_, n)| n).sum::<u64>()
    }

    /// Attempts that gave the client its answer: a result, or an error that is the call's own.
    pub fn answered(&self) -> u64 {
        let own = self.by_category.iter().filter(|(category, _)| category.class() == Class::Deterministic);
        self.successes + own.map(|(_, n)| n).sum::<u64>()
    }

    /// Attempts that asked for more than the provider offers (range, size, depth, method): its limits, not its failures.
    pub fn rejected(&self) -> u64 {
        let limits = self.by_category.iter().filter(|(category, _)| category.class() == Class::Capability);
        limits.map(|(_, n)| n).sum()
    }

    /// Share of attempts that gave an answer, of those that were not rejected; 1 when there was none.
    pub fn success_rate(&self) -> f64 {
        let attempts = self.attempts() - self.rejected();
        if attempts == 0 { 1.0 } else { self.answered() as f64 / attempts as f64 }
    }

    /// Of the successes; 0 when there was none.
    pub fn mean_us(&self) -> u64 {
        self.sum_us.checked_div(self.successes).unwrap_or(0)
    }

    pub fn by_category(&self) -> impl Iterator<Item = (Category, u64)> {
        self.by_category.iter().copied()
    }

    pub fn of_category(&self, category: Category) -> u64 {
        self.by_category.iter().find(|(have, _)| *have == category).map_or(0, |(_, n)| *n)
    }

    pub fn set_category(&mut self, category: Category, n: u64) {
        match (self.by_category.binary_search_by_key(&category, |(have, _)| *have), n) {
            (Ok(place), 0) => drop(self.by_category.remove(place)),
            (Ok(place), _) => self.by_category[place].1 = n,
            (Err(_), 0) => {}
            (Err(place), _) => self.by_category.insert(place, (category, n)),
        }
    }

    /// In the one form that equal counts have.
    pub fn canonical(mut self) -> Counts {
        self.by_category.retain(|(_, n)| *n > 0);
        self.by_category.sort_unstable_by_key(|(category, _)| *category);
        self.latencies.trim();
        self
    }

    /// Keeps its memory.
    pub fn clear(&mut self) {
        let (mut by_category, mut latencies) = (std::mem::take(&mut self.by_category), std::mem::take(&mut self.latencies));
        by_category.clear();
        latencies.counts.clear();
        *self = Counts { by_category, latencies, ..Counts::default() };
    }

    pub fn add(&mut self, other: &Counts) {
        self.add_plain(other);
        self.latencies.merge(&other.latencies);
    }

    /// Adds all but the distribution.
    pub fn add_plain(&mut self, other: &Counts) {
        self.successes += other.successes;
        // What another node tells is bounded, but not so low that no sum of times could overflow.
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.max_us = self.max_us.max(other.max_us);
        self.retries += other.retries;
        self.penalised += other.penalised;
        other.by_category.iter().for_each(|(category, n)| self.count(*category, *n));
    }

    /// `lo` and `latencies`: the row's buckets, spills included.
    fn add_row(&mut self, row: &Row, lo: usize, latencies: &[u32]) {
        self.successes += u64::from(row.successes);
        self.sum_us += row.sum_us;
        self.max_us = self.max_us.max(u64::from(row.max_us));
        self.retries += u64::from(row.retries);
        self.penalised += u64::from(row.penalised);
        row.failures().for_each(|(category, n)| self.count(category, u64::from(n)));
        self.latencies.add(lo, latencies);
    }

    fn count(&mut self, category: Category, n: u64) {
        match self.by_category.iter_mut().find(|(have, _)| *have == category) {
            Some((_, have)) => *have += n,
            None => self.by_category.push((category, n)),
        }
    }
}

/// One row's history.
#[derive(Clone, Debug, Default)]
pub struct Figure {
    short: VecDeque<(u64, Counts)>,
    long: VecDeque<(u64, Counts)>,
    /// All that has left `short`, what `long` still has included.
    settled: Counts,
    pub last: Instant,
}

impl Figure {
    fn newest(&mut self, now: Instant) -> Option<&mut Counts> {
        self.last = now;
        self.roll(now);
        let slot = now.as_ms() / SHORT_MS;
        if self.short.back().is_none_or(|(newest, _)| *newest < slot) {
            self.short.push_back((slot, Counts::default()));
        }
        self.short.back_mut().map(|(_, counts)| counts)
    }

    /// Moves what has left its window.
    fn roll(&mut self, now: Instant) {
        while let Some((slot, counts)) = self.short.pop_front_if(|(slot, _)| *slot + SHORT_SLICES <= now.as_ms() / SHORT_MS) {
            let slot = slot * SHORT_MS / LONG_MS;
            if self.long.back().is_none_or(|(newest, _)| *newest < slot) {
                self.long.push_back((slot, Counts::default()));
            }
            if let Some((_, to)) = self.long.back_mut() {
                to.add(&counts);
            }
            self.settled.add(&counts);
        }
        while self.long.pop_front_if(|(slot, _)| *slot + LONG_SLICES <= now.as_ms() / LONG_MS).is_some() {}
    }

    /// Everything since the start, in parts: for whoever adds it up in a shape of their own.
    pub fn parts(&self) -> impl Iterator<Item = &Counts> {
        self.short.iter().map(|(_, counts)| counts).chain([&self.settled])
    }

    pub fn counts(&self, window: Window, now: Instant) -> Counts {
        let mut sum = Counts::default();
        let short = self.short.iter().filter(|(slot, _)| match window {
            Window::Minute => *slot + SHORT_SLICES > now.as_ms() / SHORT_MS,
            Window::Hour => *slot * SHORT_MS / LONG_MS + LONG_SLICES > now.as_ms() / LONG_MS,
            Window::Total => true,
        });
        short.for_each(|(_, counts)| sum.add(counts));
        match window {
            Window::Minute => {}
            Window::Hour => {
                let is_in = |slot: u64| slot + LONG_SLICES > now.as_ms() / LONG_MS;
                self.long.iter().filter(|(slot, _)| is_in(*slot)).for_each(|(_, counts)| sum.add(counts));
            }
            Window::Total => sum.add(&self.settled),
        }
        sum
    }
}

/// A figure's windows, for whoever wants all of them; used again and again.
#[derive(Default)]
pub struct FigureWindows {
    /// Without its distribution.
    pub total: Counts,
    pub hour: Counts,
    pub minute: Counts,
}

impl FigureWindows {
    /// Takes those of `figure` in place of what was here. Each slice is added once.
    pub fn take(&mut self, figure: &Figure, now: Instant) {
        let FigureWindows { total, hour, minute } = self;
        [&mut *total, hour, minute].into_iter().for_each(Counts::clear);
        let is_in_hour = |slot: u64| slot + LONG_SLICES > now.as_ms() / LONG_MS;
        for (slot, counts) in &figure.short {
            total.add_plain(counts);
            if *slot + SHORT_SLICES > now.as_ms() / SHORT_MS {
                minute.add(counts);
            } else if is_in_hour(*slot * SHORT_MS / LONG_MS) {
                hour.add(counts);
            }
        }
        figure.long.iter().filter(|(slot, _)| is_in_hour(*slot)).for_each(|(_, counts)| hour.add(counts));
        hour.add(minute);
        total.add_plain(&figure.settled);
    }
}

/// What a figure is of.
pub type Of = (EntryId, Transport, MethodId);

#[derive(Clone, Debug, Default)]
pub struct Figures {
    rows: BTreeMap<Of, Figure>,
    /// Attempts whose row found no room.
    pub homeless: u64,
}

impl Figures {
    /// One producer's epoch of one row; `lo` and `latencies` are its buckets, spills included.
    pub fn merge(&mut self, row: &Row, lo: usize, latencies: &[u32], now: Instant) {
        let of = (row.entry, row.transport, row.method);
        if self.rows.len() >= limits::FIGURE_ROWS && !self.rows.contains_key(&of) {
            self.homeless += u64::from(row.successes + row.others());
            return;
        }
        if let Some(counts) = self.rows.entry(of).or_default().newest(now) {
            counts.add_row(row, lo, latencies);
        }
    }

    /// The rows of one provider as configured.
    pub fn of_entry(&self, entry: EntryId) -> impl Iterator<Item = (Transport, MethodId, &Figure)> {
        let from = (entry, Transport::Http, MethodId(0));
        let rows = self.rows.range(from..).take_while(move |((of, ..), _)| *of == entry);
        rows.map(|((_, transport, method), figure)| (*transport, *method, figure))
    }
}

/// How long a window is by now, for rates. `now` counts from the process's start.
pub fn span_of(window: Window, now: Instant) -> Duration {
    let (slice_ms, slices) = match window {
        Window::Minute => (SHORT_MS, SHORT_SLICES),
        Window::Hour => (LONG_MS, LONG_SLICES),
        Window::Total => return Duration::from_millis(now.as_ms()),
    };
    let full = (slices - 1) * slice_ms + now.as_ms() % slice_ms;
    Duration::from_millis(full.min(now.as_ms()))
}

#[cfg(test)]
#[path = "figures_tests.rs"]
mod tests;
