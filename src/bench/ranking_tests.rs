//! Many seeded runs over pure samples: equal providers are ties, unequal ones are told apart, intervals hold the truth.

use super::*;
use crate::observe::category::Category;

/// A provider's law: median and spread of a lognormal, share of failures, and of timeouts.
#[derive(Clone, Copy)]
struct Law {
    p50_ms: f64,
    sigma: f64,
    failures: f64,
    timeouts: f64,
}

const USUAL: Law = Law { p50_ms: 40.0, sigma: 0.5, failures: 0.01, timeouts: 0.002 };

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.unit()).ln()).sqrt() * (std::f64::consts::TAU * rng.unit()).cos()
}

/// `shared`: how much of the spread is what everybody meets at a moment.
fn samples(laws: &[Law], moments: u32, shared: f64, rng: &mut Rng) -> Vec<Samples> {
    let mut all = vec![Samples::default(); laws.len()];
    for moment in 0..moments {
        let weather = normal(rng);
        for (law, samples) in laws.iter().zip(&mut all) {
            let deviation = shared.sqrt() * weather + (1.0 - shared).sqrt() * normal(rng);
            let draw = rng.unit();
            let end = match draw {
                _ if draw < law.failures => CallEnd::Failed(Category::ServerError),
                _ if draw < law.failures + law.timeouts => CallEnd::TimedOut { after_ms: 10_000.0 },
                _ => CallEnd::Answered { after_ms: law.p50_ms * (law.sigma * deviation).exp() },
            };
            samples.calls.push(Sample { moment, end });
        }
    }
    all
}

fn compared(laws: &[Law], moments: u32, shared: f64, rng: &mut Rng) -> Comparison {
    let samples = samples(laws, moments, shared, rng);
    let cells: Vec<(usize, &Samples)> = samples.iter().enumerate().collect();
    compare("http", "eth_call", &cells, rng).expect("two or more")
}

#[test]
fn equal_providers_are_ties_in_93_of_100_runs() {
    for (count, moments, shared, law) in [
        (5, 30, 0.0, USUAL),
        (5, 60, 0.5, USUAL),
        (5, 200, 0.0, USUAL),
        (2, 60, 0.0, USUAL),
        (5, 60, 0.3, Law { failures: 0.1, ..USUAL }),
        (5, 60, 0.0, Law { failures: 0.0, timeouts: 0.0, sigma: 0.05, ..USUAL }),
        (5, 60, 0.0, Law { failures: 0.4, timeouts: 0.1, ..USUAL }),
    ] {
        let mut rng = Rng::new(moments.into());
        let runs = 100;
        let ties = (0..runs).filter(|_| compared(&vec![law; count], moments, shared, &mut rng).groups.len() == 1).count();
        assert!(ties * 100 >= runs * 93, "{ties} of {runs} runs of {count} equal providers over {moments} moments are ties");
    }
}

#[test]
fn unequal_providers_are_ranked() {
    let laws = [80.0, 20.0, 160.0, 40.0, 320.0].map(|p50_ms| Law { p50_ms, ..USUAL });
    let mut rng = Rng::new(3);
    let runs = 50;
    let right = (0..runs).filter(|_| compared(&laws, 50, 0.3, &mut rng).groups == [[1], [3], [0], [2], [4]]);
    let right = right.count();
    assert!(right >= 48, "{right} of {runs} runs find the order");
}

/// A difference of medians is inside its interval in 93 of 100 runs.
#[test]
fn intervals_of_differences_hold_the_truth() {
    for (moments, shared, ratio) in [(20, 0.0, 1.5), (60, 0.5, 2.0), (200, 0.0, 1.1)] {
        // No timeouts: they move the true median a little, and what is tested is the interval.
        let fast = Law { timeouts: 0.0, ..USUAL };
        let slow = Law { p50_ms: USUAL.p50_ms * ratio, ..fast };
        let truth = slow.p50_ms - fast.p50_ms;
        let mut rng = Rng::new(moments.into());
        let runs = 200;
        let holds = |rng: &mut Rng| {
            let found = compared(&[fast, slow], moments, shared, rng);
            let of = |provider: usize| found.behind_best_ms.iter().find(|(who, _)| *who == provider).map(|(_, by)| *by);
            let best = found.groups.first().and_then(|group| group.first());
            let (by, truth) = if best == Some(&0) { (of(1), truth) } else { (of(0), -truth) };
            by.is_some_and(|by| by.low <= truth && truth <= by.high)
        };
        let held = (0..runs).filter(|_| holds(&mut rng)).count();
        assert!(held * 100 >= runs * 93, "{held} of {runs} runs of {moments} moments hold {truth} ms");
    }
}

#[test]
fn a_fast_provider_that_often_fails_is_behind_a_steady_one() {
    let broken = Law { p50_ms: 13.0, failures: 0.35, ..USUAL };
    let mut rng = Rng::new(8);
    let found = compared(&[broken, USUAL], 100, 0.0, &mut rng);
    assert_eq!(found.groups, [[1], [0]]);
    let by = found.behind_best_ms.iter().find(|(who, _)| *who == 0).map(|(_, by)| by.value);
    assert!(by.is_some_and(|ms| ms < 0.0), "it is sooner all the same: {by:?}");
}

/// A provider that never answers is last, and has no figure.
#[test]
fn who_never_answers_is_last() {
    let dead = Law { failures: 1.0, timeouts: 0.0, ..USUAL };
    let mut rng = Rng::new(9);
    let found = compared(&[dead, USUAL, USUAL], 60, 0.0, &mut rng);
    assert_eq!(found.groups.last(), Some(&vec![0]), "{found:?}");
    assert!(found.behind_best_ms.iter().all(|(who, _)| *who != 0));
}

/// Who was held back in the slow half of the run is not found to be the faster one for that.
#[test]
fn only_moments_that_both_met_are_compared() {
    let mut rng = Rng::new(10);
    let runs = 100;
    let ties = (0..runs).filter(|_| {
        let mut both = samples(&[USUAL, USUAL], 120, 0.0, &mut rng);
        for sample in both.iter_mut().flat_map(|samples| &mut samples.calls).filter(|sample| sample.moment >= 60) {
            if let CallEnd::Answered { after_ms } = &mut sample.end {
                *after_ms *= 3.0;
            }
        }
        both[1].calls.retain(|sample| sample.moment < 60);
        let cells: Vec<(usize, &Samples)> = both.iter().enumerate().collect();
        compare("http", "eth_call", &cells, &mut rng).is_some_and(|found| found.groups.len() == 1)
    });
    let ties = ties.count();
    assert!(ties >= 93, "{ties} of {runs}");
}

/// A provider that refuses the parameters of every other call at once is not the faster one for it.
#[test]
fn who_gives_an_error_where_others_work_is_not_faster_for_that() {
    let mut rng = Rng::new(12);
    let mut both = samples(&[USUAL, USUAL], 120, 0.0, &mut rng);
    for sample in both[0].calls.iter_mut().filter(|sample| sample.moment.is_multiple_of(2)) {
        sample.end = CallEnd::OwnError { after_ms: 1.0 };
    }
    let cells: Vec<(usize, &Samples)> = both.iter().enumerate().collect();
    let found = compare("http", "eth_estimateGas", &cells, &mut rng).expect("two");
    assert_eq!(found.groups.len(), 1, "{found:?}");
}

#[test]
fn too_little_in_common_says_nothing() {
    let mut rng = Rng::new(11);
    let laws = [Law { p50_ms: 1.0, ..USUAL }, Law { p50_ms: 900.0, ..USUAL }];
    let found = compared(&laws, 5, 0.0, &mut rng);
    assert_eq!(found.groups.len(), 1);
    assert!(compare("http", "eth_call", &[], &mut rng).is_none());
}
