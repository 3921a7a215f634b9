//! Who is best at one method over one transport, and who cannot be told apart.
//!
//! What is compared is the median time of a call over the share of successes: how long a caller waits who asks again after a
//! failure, which is how the router's `fastest` counts reliability too. Moments at which both were asked the same are
//! drawn again and again (the paired bootstrap), so that what disturbs everybody at once disturbs no comparison, and a
//! provider that was held back for a while is compared over the rest of the time. Who is found to succeed in fewer than 95
//! of 100 calls, and in fewer than the other one at the same moments, comes behind it however fast it is. All pairs'
//! findings are held to five per cent together (Holm), so that five equal providers are called equal in 95 of 100 runs.
//! A group is a set of whom no two differ. Being no different is not passed on (a from b, b from c, and yet a from c), so
//! who stands next to each other in two groups may still be undecided; their intervals in `behind_best_ms` say so.
//! Rejected: comparing intervals by whether they overlap (hides differences that pairs show), ranks of quantiles that few
//! calls support, and testing each pair at five per cent (among five equal ones a false finding in a quarter of all runs).

use crate::base::limits;
use crate::base::rng::Rng;
use crate::bench::findings::{Comparison, Estimate};
use crate::bench::sample::{CallEnd, Sample, Samples};
use crate::bench::statistics::{median, share_at_most, uneven};
use std::collections::BTreeMap;

/// False findings that are allowed in all comparisons of one method.
const FALSE_SHARE: f64 = 0.05;
/// Below it a provider is unsteady, as the page shows it.
const STEADY: f64 = 0.95;
/// With fewer moments in common nothing is said.
const MOMENTS_MIN: usize = 6;

/// What two providers did at the moments at which both were asked.
struct ComparedPair {
    /// Each with its time, where it has one, and whether it succeeded.
    moments: Vec<[(Option<f64>, bool); 2]>,
}

impl ComparedPair {
    fn of(one: &Samples, other: &Samples) -> ComparedPair {
        let by_moment: BTreeMap<u32, &Sample> = one.calls.iter().map(|sample| (sample.moment, sample)).collect();
        let seen = |sample: &Sample| (sample.time_ms(), sample.is_success());
        let have_done_the_same = |a: &Sample, b: &Sample| {
            let kinds = [a.end, b.end].map(|end| matches!(end, CallEnd::OwnError { .. }));
            !(a.is_success() && b.is_success()) || kinds[0] == kinds[1]
        };
        let both = other.calls.iter().filter_map(|b| {
            let a = by_moment.get(&b.moment)?;
            have_done_the_same(a, b).then(|| [seen(a), seen(b)])
        });
        ComparedPair { moments: both.collect() }
    }

    /// Moments at which only one of them succeeded.
    fn alone(&self) -> [u64; 2] {
        let count = |side: usize| self.moments.iter().filter(|both| both[side].1 && !both[1 - side].1).count() as u64;
        [count(0), count(1)]
    }

    fn successes(&self, side: usize) -> u64 {
        self.moments.iter().filter(|both| both[side].1).count() as u64
    }

    /// Differences between the first one and the other: of medians, and of the logarithms of what is compared.
    fn differences(&self, rng: &mut Rng, rounds: usize) -> Vec<(f64, f64)> {
        let mut times = [Vec::with_capacity(self.moments.len()), Vec::with_capacity(self.moments.len())];
        let mut differences = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let mut good = [0_u64; 2];
            times.iter_mut().for_each(Vec::clear);
            for _ in 0..self.moments.len() {
                let Some(both) = self.moments.get(rng.below(self.moments.len() as u64) as usize) else { continue };
                for (side, (time, is_success)) in both.iter().enumerate() {
                    good[side] += u64::from(*is_success);
                    times[side].extend(*time);
                }
            }
            let [one, other] = &mut times;
            if let (Some(one), Some(other)) = (median(one), median(other))
                && good.iter().all(|good| *good > 0)
            {
                let [a, b] = good.map(|good| (good as f64).ln());
                differences.push((one - other, (one.ln() - a) - (other.ln() - b)));
            }
        }
        differences
    }
}

/// What is known of a pair of providers.
#[derive(Clone, Copy, Debug)]
struct PairVerdict {
    pair: (usize, usize),
    /// The chance of such a difference between equal ones.
    chance: f64,
    /// The first one is the better one.
    is_first_better: bool,
    behind: Option<Estimate>,
}

/// Compares `cells`: places of providers, and what each did. `None` where there are not two.
pub fn compare(transport: &str, method: &str, cells: &[(usize, &Samples)], rng: &mut Rng) -> Option<Comparison> {
    if cells.len() < 2 {
        return None;
    }
    let verdicts = verdicts(cells, rng);
    let differ = supported(&verdicts);
    let (mut order, standing) = ((0..cells.len()).collect::<Vec<_>>(), standing(cells, &differ));
    let key = |place: &usize| standing.get(*place).copied().unwrap_or((0, f64::INFINITY));
    order.sort_by(|a, b| key(a).0.cmp(&key(b).0).then(key(a).1.total_cmp(&key(b).1)).then(a.cmp(b)));
    let groups = groups(&order, &differ);
    let provider = |place: usize| cells.get(place).map_or(place, |(provider, _)| *provider);
    Some(Comparison {
        transport: transport.to_owned(),
        method: method.to_owned(),
        behind_best_ms: behind(&order, &verdicts).into_iter().map(|(place, estimate)| (provider(place), estimate)).collect(),
        groups: groups.into_iter().map(|group| group.into_iter().map(provider).collect()).collect(),
    })
}

/// Two tests of each pair: of successes, and of what is compared.
fn verdicts(cells: &[(usize, &Samples)], rng: &mut Rng) -> Vec<PairVerdict> {
    let pairs = cells.len() * (cells.len() - 1) / 2;
    let mut verdicts = Vec::with_capacity(2 * pairs);
    for (a, (_, one)) in cells.iter().enumerate() {
        for (b, (_, other)) in cells.iter().enumerate().skip(a + 1) {
            let pair = ComparedPair::of(one, other);
            if pair.moments.len() < MOMENTS_MIN {
                continue;
            }
            verdicts.push(steadier(&pair, (a, b), pairs));
            verdicts.push(sooner(&pair, (a, b), pairs, rng));
        }
    }
    verdicts
}

/// Whether one of them is unsteady, and more so than the other.
fn steadier(pair: &ComparedPair, places: (usize, usize), pairs: usize) -> PairVerdict {
    let ([one, other], calls) = (pair.alone(), pair.moments.len() as u64);
    let is_first_better = one > other;
    let worse = pair.successes(usize::from(is_first_better));
    let is_unsteady = share_at_most(worse, calls, FALSE_SHARE / (2 * pairs) as f64) < STEADY;
    let chance = if is_unsteady { uneven(one, other) } else { 1.0 };
    PairVerdict { pair: places, chance, is_first_better, behind: None }
}

fn sooner(pair: &ComparedPair, places: (usize, usize), pairs: usize, rng: &mut Rng) -> PairVerdict {
    let work = limits::BENCH_RESAMPLED / (pairs * pair.moments.len()).max(1);
    let rounds = work.clamp(limits::BENCH_ROUNDS_MIN, limits::BENCH_ROUNDS_MAX);
    let mut differences = pair.differences(rng, rounds);
    let all = differences.len();
    if all < rounds / 2 {
        return PairVerdict { pair: places, chance: 1.0, is_first_better: false, behind: None };
    }
    let sooner = differences.iter().filter(|(_, compared)| *compared < 0.0).count() as f64;
    let same = differences.iter().filter(|(_, compared)| *compared == 0.0).count() as f64;
    // The two-sided chance, with what is the same on both sides; never nought, because rounds are finite.
    let first = (sooner + same / 2.0 + 0.5) / (all as f64 + 1.0);
    let chance = (2.0 * first.min(1.0 - first)).min(1.0);
    differences.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at = |share: f64| differences.get(((all - 1) as f64 * share).round() as usize).map_or(0.0, |(ms, _)| *ms);
    let behind = Estimate { value: at(0.5), low: at(FALSE_SHARE / 2.0), high: at(1.0 - FALSE_SHARE / 2.0) };
    PairVerdict { pair: places, chance, is_first_better: first > 0.5, behind: Some(behind) }
}

/// Pairs (better, worse) whose difference the data supports: Holm's procedure over all tests.
fn supported(verdicts: &[PairVerdict]) -> Vec<(usize, usize)> {
    let mut tests: Vec<&PairVerdict> = verdicts.iter().collect();
    // Equal chances in the order in which they were made: steadiness decides before time does.
    tests.sort_by(|a, b| a.chance.total_cmp(&b.chance));
    let all = tests.len();
    let held = tests.iter().enumerate().take_while(|(place, test)| test.chance * (all - place) as f64 <= FALSE_SHARE);
    let held: Vec<&PairVerdict> = held.map(|(_, test)| *test).collect();
    let mut differ: Vec<(usize, usize)> = Vec::new();
    // Who is unsteady is behind, whatever its times are.
    let by_steadiness = held.iter().filter(|test| test.behind.is_none());
    let by_time = held.iter().filter(|test| test.behind.is_some());
    for test in by_steadiness.chain(by_time) {
        let (a, b) = test.pair;
        if !are_told_apart(&differ, a, b) {
            differ.push(if test.is_first_better { (a, b) } else { (b, a) });
        }
    }
    differ
}

fn are_told_apart(differ: &[(usize, usize)], a: usize, b: usize) -> bool {
    differ.iter().any(|pair| *pair == (a, b) || *pair == (b, a))
}

/// For each one: by how many it is surpassed more than it surpasses, and what is compared. Those come first that have little of both.
fn standing(cells: &[(usize, &Samples)], differ: &[(usize, usize)]) -> Vec<(i64, f64)> {
    let of = |(place, (_, samples)): (usize, &(usize, &Samples))| {
        let ahead = differ.iter().filter(|(better, _)| *better == place).count() as i64;
        let behind = differ.iter().filter(|(_, worse)| *worse == place).count() as i64;
        let mut times: Vec<f64> = samples.calls.iter().filter_map(Sample::time_ms).collect();
        let (good, all) = (samples.successes(), samples.calls.len());
        let compared = median(&mut times).filter(|_| good > 0).map_or(f64::INFINITY, |ms| ms * all as f64 / good as f64);
        (behind - ahead, compared)
    };
    cells.iter().enumerate().map(of).collect()
}

fn groups(order: &[usize], differ: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for place in order {
        match groups.last_mut().filter(|group| group.iter().all(|other| !are_told_apart(differ, *other, *place))) {
            Some(group) => group.push(*place),
            None => groups.push(vec![*place]),
        }
    }
    groups
}

/// By how much each median is behind the first one's.
fn behind(order: &[usize], verdicts: &[PairVerdict]) -> Vec<(usize, Estimate)> {
    let Some(best) = order.first().copied() else { return Vec::new() };
    let of = |place: usize| {
        if place == best {
            return Some((place, Estimate { value: 0.0, low: 0.0, high: 0.0 }));
        }
        let pair = (best.min(place), best.max(place));
        let found = verdicts.iter().find(|verdict| verdict.pair == pair && verdict.behind.is_some())?.behind?;
        // Pairs are the first less the second.
        let turned = Estimate { value: -found.value, low: -found.high, high: -found.low };
        Some((place, if best < place { turned } else { found }))
    };
    order.iter().filter_map(|place| of(*place)).collect()
}

#[cfg(test)]
#[path = "ranking_tests.rs"]
mod tests;
