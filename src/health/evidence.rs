//! How fast and how reliable each channel is for each method, as ranking needs it (docs/behaviour/choosing.md#latency-evidence).
//!
//! A row is a histogram whose weights halve every five seconds: percentiles of it are percentiles of the last minute, and the
//! newest calls count most. Two rules keep it alive. Its whole weight is bounded, so a busy row follows a change within some
//! hundred calls; and after a silence the old weight is cut to four samples, so three trickled calls are enough to believe
//! that a slow provider became fast. Percentiles are worked out when an epoch is merged: decay alone does not move them, so
//! asking is a look-up. Rejected: moving averages (one outlier moves them for long; no percentiles), lifetime histograms
//! (never forget). Fails towards "unqualified": without evidence a channel ranks by what was kept from before the start,
//! then by the latency of our probes, or last.
//!
//! What was kept (a snapshot file) is a guess for one channel and method. It orders those that are not qualified, counts as
//! no success, and is dropped for good by the first failure or as soon as calls qualify the row, at the latest after an hour.

use crate::base::ids::{ChannelId, MethodId};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::observe::buckets::{BUCKETS, middle_us};
use std::collections::BTreeMap;

/// Latency weights halve in this time, and are nothing after the window.
const HALF_LIFE_S: f32 = 5.0;
const WINDOW: Duration = Duration::from_secs(60);
const RELIABILITY_HALF_LIFE_S: f32 = 20.0;
/// Nothing older decides.
const MEMORY: Duration = Duration::from_secs(300);
/// How long what was kept from before the start may order.
const KEPT: Duration = Duration::from_millis(limits::SNAPSHOT_PRIOR_MS);
/// A silence this long, and what is left of the old weight after it.
const SILENCE: Duration = Duration::from_secs(4);
const SILENCE_SAMPLES: f32 = 4.0;
/// Under so many effective samples a p90 is a matter of luck, so the median stands for the row.
const ENOUGH_SAMPLES: f32 = 20.0;
/// Less than a sample's weight at the end of the window.
const NOTHING: f32 = 1.0 / 4096.0;
const QUALIFYING_SUCCESSES: u32 = 3;
const QUALIFYING_RELIABILITY: f32 = 0.75;
const DISQUALIFYING_RUN: u32 = 3;

/// Successes are counted by slots of ten seconds, thirty of which are the memory.
const SLOT_MS: u64 = 10_000;
const SLOTS: usize = 30;

/// One epoch of one row, all producers together.
#[derive(Clone, Copy, Debug)]
pub struct RowCounts<'a> {
    /// The bucket that `buckets` begins at.
    pub lo: usize,
    /// Successes by latency bucket.
    pub buckets: &'a [u32],
    /// Penalised ones.
    pub failures: u32,
    /// Penalised failures after the last success, of this epoch or an earlier one.
    pub trailing: u32,
}

/// What is known of one row at one moment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Standing {
    /// What ranks it: p90, or p50 while samples are few.
    pub latency_us: Option<u32>,
    pub p50_us: u32,
    pub p90_us: u32,
    pub p99_us: u32,
    /// Effective number of latency samples: decayed, so a measure of how fresh the percentiles are.
    pub samples: f32,
    /// Plain count of the last five minutes.
    pub successes: u32,
    /// Share of decayed outcomes that were good; 1 when there were none.
    pub reliability: f32,
    pub failures_in_a_row: u32,
    pub qualified: bool,
    /// Of the newest success.
    pub last: Option<Instant>,
    /// Latency of our probes of the channel: orders what is not qualified.
    pub prior_us: Option<u32>,
    /// What calls of the method took before the node's start, as a score: orders what is not qualified before our probes do.
    pub kept_us: Option<u32>,
}

impl Standing {
    /// Smaller is better.
    pub fn score(&self) -> Option<f32> {
        self.latency_us.map(|latency| latency as f32 / self.reliability.max(0.01))
    }

    /// How long an attempt may last before it is unusual: four times the 99th percentile, where enough is known.
    pub fn patience_us(&self) -> Option<u32> {
        (self.samples >= ENOUGH_SAMPLES).then(|| self.p99_us.saturating_mul(4).max(1))
    }

    /// What nine of ten calls took at most, where enough is known.
    pub fn usual_us(&self) -> Option<u32> {
        (self.samples >= ENOUGH_SAMPLES).then_some(self.p90_us)
    }

    /// Nothing was measured by calls.
    pub fn unknown(prior_us: Option<u32>) -> Standing {
        Standing {
            latency_us: None,
            p50_us: 0,
            p90_us: 0,
            p99_us: 0,
            samples: 0.0,
            successes: 0,
            reliability: 1.0,
            failures_in_a_row: 0,
            qualified: false,
            last: None,
            prior_us,
            kept_us: None,
        }
    }
}

/// What a snapshot file says of one channel and method.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Remembered {
    pub p50_us: u32,
    pub p90_us: u32,
    pub calls: u64,
    /// Of them, from 0 to 1.
    pub success_rate: f64,
}

impl Remembered {
    /// The score that ranking would have found, or `None` where it would not have been qualified.
    fn score_us(&self) -> Option<u32> {
        let good = self.calls as f64 * self.success_rate;
        let is_telling = good >= f64::from(QUALIFYING_SUCCESSES) && self.success_rate >= f64::from(QUALIFYING_RELIABILITY);
        let latency = if good < f64::from(ENOUGH_SAMPLES) { self.p50_us } else { self.p90_us };
        is_telling.then(|| (f64::from(latency) / self.success_rate) as u32)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Evidence {
    rows: BTreeMap<(ChannelId, MethodId), Box<Row>>,
    priors: BTreeMap<ChannelId, Prior>,
    kept: BTreeMap<(ChannelId, MethodId), Prior>,
}

#[derive(Clone, Copy, Debug)]
struct Prior {
    us: f32,
    at: Instant,
}

#[derive(Clone, Debug)]
struct Row {
    weights: [f32; BUCKETS],
    /// Every weight outside `lo..hi` is zero.
    lo: usize,
    hi: usize,
    /// Sum of the weights, as of `last_success`.
    total: f32,
    p50_us: u32,
    p90_us: u32,
    p99_us: u32,
    latency_us: Option<u32>,
    last_success: Option<Instant>,
    good: f32,
    bad: f32,
    last_outcome: Instant,
    run: u32,
    slots: [u32; SLOTS],
    newest_slot: u64,
}

impl Evidence {
    pub fn new() -> Evidence {
        Evidence::default()
    }

    /// One epoch's outcomes of one row. A new row beyond the bound is not kept.
    pub fn merge(&mut self, channel: ChannelId, method: MethodId, counts: &RowCounts<'_>, now: Instant) {
        let full = self.rows.len() >= limits::EVIDENCE_ROWS;
        match self.rows.get_mut(&(channel, method)) {
            Some(row) => row.merge(counts, now),
            None if full => {}
            None => self.rows.entry((channel, method)).or_insert_with(|| Box::new(Row::new(now))).merge(counts, now),
        }
        let is_qualified = || self.rows.get(&(channel, method)).is_some_and(|row| row.successes(now) >= QUALIFYING_SUCCESSES);
        if !self.kept.is_empty() && (counts.failures > 0 || is_qualified()) {
            self.kept.remove(&(channel, method));
        }
    }

    /// From before the start. Says whether it will order anything.
    pub fn remember(&mut self, channel: ChannelId, method: MethodId, what: &Remembered, now: Instant) -> bool {
        let Some(score) = what.score_us().filter(|_| self.kept.len() < limits::EVIDENCE_ROWS) else { return false };
        self.kept.insert((channel, method), Prior { us: score as f32, at: now });
        true
    }

    /// A probe of ours took this long. Probes order what nobody has called yet; they qualify nothing.
    pub fn on_prior(&mut self, channel: ChannelId, latency_us: u32, now: Instant) {
        let sample = latency_us as f32;
        let fresh = Prior { us: sample, at: now };
        let prior = self.priors.entry(channel).or_insert(fresh);
        *prior = match now.since(prior.at) <= MEMORY {
            true => Prior { us: prior.us + (sample - prior.us) / 8.0, at: now },
            false => fresh,
        };
    }

    pub fn standing(&self, channel: ChannelId, method: MethodId, now: Instant) -> Standing {
        let prior = self.priors.get(&channel).filter(|prior| now.since(prior.at) <= MEMORY);
        let kept = self.kept.get(&(channel, method)).filter(|kept| now.since(kept.at) <= KEPT);
        let standing =
            Standing { kept_us: kept.map(|kept| kept.us as u32), ..Standing::unknown(prior.map(|prior| prior.us as u32)) };
        match self.rows.get(&(channel, method)) {
            Some(row) if now.since(row.last_outcome) <= MEMORY => row.standing(standing, now),
            _ => standing,
        }
    }

    /// Drops what nothing decides by any more.
    pub fn forget(&mut self, now: Instant) {
        self.rows.retain(|_, row| now.since(row.last_outcome) <= MEMORY);
        self.priors.retain(|_, prior| now.since(prior.at) <= MEMORY);
        self.kept.retain(|_, kept| now.since(kept.at) <= KEPT);
    }
}

fn decay(elapsed: Duration, half_life_s: f32) -> f32 {
    (-elapsed.as_secs_f32() / half_life_s).exp2()
}

fn slot_of(at: Instant) -> u64 {
    at.as_ms() / SLOT_MS
}

impl Row {
    fn new(now: Instant) -> Row {
        Row {
            weights: [0.0; BUCKETS],
            lo: 0,
            hi: 0,
            total: 0.0,
            p50_us: 0,
            p90_us: 0,
            p99_us: 0,
            latency_us: None,
            last_success: None,
            good: 0.0,
            bad: 0.0,
            last_outcome: now,
            run: 0,
            slots: [0; SLOTS],
            newest_slot: slot_of(now),
        }
    }

    fn merge(&mut self, counts: &RowCounts<'_>, now: Instant) {
        let successes = counts.buckets.iter().fold(0u32, |sum, count| sum.saturating_add(*count));
        if successes == 0 && counts.failures == 0 {
            return;
        }
        self.count_outcomes(successes, counts, now);
        if successes > 0 {
            self.count_slot(successes, now);
            self.age(successes as f32, now);
            self.add(counts, successes as f32);
            self.read_percentiles();
            self.last_success = Some(now);
        }
    }

    fn count_outcomes(&mut self, successes: u32, counts: &RowCounts<'_>, now: Instant) {
        let keep = decay(now.since(self.last_outcome), RELIABILITY_HALF_LIFE_S);
        self.good = self.good * keep + successes as f32;
        self.bad = self.bad * keep + counts.failures as f32;
        let excess = (self.good + self.bad) / limits::RELIABILITY_WEIGHT;
        if excess > 1.0 {
            (self.good, self.bad) = (self.good / excess, self.bad / excess);
        }
        let before = if successes > 0 { 0 } else { self.run };
        self.run = before.saturating_add(counts.trailing);
        self.last_outcome = now;
    }

    fn count_slot(&mut self, successes: u32, now: Instant) {
        let slot = slot_of(now).max(self.newest_slot);
        for passed in 0..(slot - self.newest_slot).min(SLOTS as u64) {
            if let Some(count) = self.slots.get_mut(((slot - passed) % SLOTS as u64) as usize) {
                *count = 0;
            }
        }
        self.newest_slot = slot;
        if let Some(count) = self.slots.get_mut((slot % SLOTS as u64) as usize) {
            *count = count.saturating_add(successes);
        }
    }

    /// Scales what is there: by time, for a silence, and to make room for `coming` samples.
    fn age(&mut self, coming: f32, now: Instant) {
        let Some(last) = self.last_success else { return };
        let silence = now.since(last);
        let mut left = self.total * decay(silence, HALF_LIFE_S);
        if silence > WINDOW {
            left = 0.0;
        }
        if silence >= SILENCE {
            left = left.min(SILENCE_SAMPLES);
        }
        left = left.min((limits::EVIDENCE_WEIGHT - coming).max(0.0));
        let scale = if self.total > 0.0 { left / self.total } else { 0.0 };
        for weight in self.weights.get_mut(self.lo..self.hi).unwrap_or_default() {
            *weight *= scale;
            *weight = if *weight < NOTHING { 0.0 } else { *weight };
        }
        while self.lo < self.hi && self.weights.get(self.lo).is_some_and(|weight| *weight == 0.0) {
            self.lo += 1;
        }
        while self.lo < self.hi && self.weights.get(self.hi - 1).is_some_and(|weight| *weight == 0.0) {
            self.hi -= 1;
        }
    }

    fn add(&mut self, counts: &RowCounts<'_>, successes: f32) {
        let each = (limits::EVIDENCE_WEIGHT / successes).min(1.0);
        for (weight, count) in self.weights.iter_mut().skip(counts.lo).zip(counts.buckets) {
            *weight += *count as f32 * each;
        }
        let end = (counts.lo + counts.buckets.len()).min(BUCKETS);
        (self.lo, self.hi) =
            if self.lo < self.hi { (self.lo.min(counts.lo), self.hi.max(end)) } else { (counts.lo.min(end), end) };
    }

    fn read_percentiles(&mut self) {
        let used = self.weights.get(self.lo..self.hi).unwrap_or_default();
        self.total = used.iter().sum();
        // A hair below, so that rounding of a sum does not push a percentile into the next bucket.
        let [mut p50, mut p90, mut p99] = [0.5, 0.9, 0.99].map(|q| (self.total * (q - 1e-4), None));
        let mut sum = 0.0;
        for (bucket, weight) in (self.lo..).zip(used) {
            sum += weight;
            for (target, found) in [&mut p50, &mut p90, &mut p99] {
                if found.is_none() && sum >= *target && *weight > 0.0 {
                    *found = Some(middle_us(bucket) as u32);
                }
            }
        }
        let (p50, p90, p99) = (p50.1.unwrap_or(0), p90.1.unwrap_or(0), p99.1.unwrap_or(0));
        (self.p50_us, self.p90_us, self.p99_us) = (p50, p90, p99);
        self.latency_us = (self.total > 0.0).then_some(if self.total < ENOUGH_SAMPLES { p50 } else { p90 });
    }

    fn standing(&self, unknown: Standing, now: Instant) -> Standing {
        let outcomes = self.good + self.bad;
        let reliability = if outcomes > 0.0 { self.good / outcomes } else { 1.0 };
        let successes = self.successes(now);
        let standing = Standing { successes, reliability, failures_in_a_row: self.run, ..unknown };
        let Some(last) = self.last_success.filter(|last| now.since(*last) <= MEMORY) else { return standing };
        let age = now.since(last);
        Standing {
            latency_us: self.latency_us,
            p50_us: self.p50_us,
            p90_us: self.p90_us,
            p99_us: self.p99_us,
            samples: if age > WINDOW { 0.0 } else { self.total * decay(age, HALF_LIFE_S) },
            qualified: successes >= QUALIFYING_SUCCESSES && reliability >= QUALIFYING_RELIABILITY && self.run < DISQUALIFYING_RUN,
            last: Some(last),
            ..standing
        }
    }

    /// Those of the slots that are not older than the memory.
    fn successes(&self, now: Instant) -> u32 {
        let gone = slot_of(now).saturating_sub(self.newest_slot).min(SLOTS as u64);
        let kept = SLOTS as u64 - gone;
        let slots = (0..kept).filter_map(|back| {
            let slot = self.newest_slot.checked_sub(back)?;
            self.slots.get((slot % SLOTS as u64) as usize)
        });
        slots.fold(0, |sum, count| sum.saturating_add(*count))
    }
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
