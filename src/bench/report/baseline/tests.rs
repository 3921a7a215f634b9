//! Equal runs are rarely said to differ, worse ones are, and what cannot be compared is told.

use super::*;
use crate::bench::report::plausible::{self, Scene};

fn run(truth: u64, draw: u64, slowed: Option<(usize, f64)>) -> Findings {
    plausible::drawn(Scene { truth, draw, providers: 5, calls: 400, slowed })
}

/// Lateness is drawn with made-up intervals in the scenes; here it is held still, so that the laws of latency decide.
fn with_blocks_of(mut findings: Findings, other: &Findings) -> Findings {
    for (provider, same) in findings.providers.iter_mut().zip(&other.providers) {
        provider.freshness = same.freshness.clone();
    }
    findings
}

#[test]
fn two_equal_runs_seldom_differ() {
    let mut alarms = Vec::new();
    let runs = 400;
    for seed in 0..runs {
        let old = run(seed, 2 * seed, None);
        let new = with_blocks_of(run(seed, 2 * seed + 1, None), &old);
        alarms.extend(compare(&old, &new).first().map(|regression| format!("{seed}: {regression}")));
    }
    println!("{} of {runs} equal pairs of runs were said to differ", alarms.len());
    // 3 % is allowed to chance; tails are not normal, so it is more than that.
    assert!(alarms.len() as u64 * 100 < runs * 7, "{} of {runs}: {alarms:#?}", alarms.len());
}

#[test]
fn a_slower_provider_is_found_and_no_other_is_blamed() {
    let (mut found, mut blamed) = (0, 0);
    for seed in 0..40 {
        let old = run(seed, 2 * seed, None);
        let new = with_blocks_of(run(seed, 2 * seed + 1, Some((2, 1.25))), &old);
        let of = |regression: &Regression| matches!(regression, Regression::Figure { provider, .. } if provider == "quartz");
        let (own, others): (Vec<_>, Vec<_>) = compare(&old, &new).into_iter().partition(of);
        found += usize::from(own.len() >= 6);
        blamed += usize::from(!others.is_empty());
    }
    assert!(found >= 39 && blamed <= 3, "found in {found} of 40, others blamed in {blamed}");
}

#[test]
fn a_faster_provider_is_no_regression() {
    let old = run(3, 1, Some((2, 1.6)));
    let new = with_blocks_of(run(3, 2, None), &old);
    assert_eq!(compare(&old, &new), Vec::new());
}

#[test]
fn sentences_have_both_intervals() {
    let old = run(3, 1, None);
    let new = with_blocks_of(run(3, 2, Some((0, 2.0))), &old);
    let said: Vec<String> = compare(&old, &new).iter().map(Regression::to_string).collect();
    let one = said.iter().find(|s| s.starts_with("meridian, eth_call over HTTP: the median rose from ")).expect("it is told");
    assert!(one.contains(" ms (") && one.contains(") to ") && one.contains(", +"), "{one}");
}

#[test]
fn failures_and_lateness_count() {
    let old = run(3, 1, None);
    let mut new = old.clone();
    new.cells[0].successes -= 60;
    new.cells[0].success = Estimate { value: 0.85, low: 0.81, high: 0.88 };
    if let Some(freshness) = &mut new.providers[1].freshness {
        freshness.behind_ms = Estimate { value: 900.0, low: 850.0, high: 950.0 };
    }
    let said: Vec<String> = compare(&old, &new).iter().map(Regression::to_string).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().any(|s| s.contains("success fell from 100% (") && s.contains("to 85.00% (81.00–88.00%)")), "{said:?}");
    assert!(said.iter().any(|s| s.starts_with("homestead has new blocks later: 900 ms (850–950)")), "{said:?}");
}

#[test]
fn one_failure_of_many_is_chance() {
    let old = run(3, 1, None);
    let mut new = old.clone();
    new.cells[0].successes -= 1;
    new.cells[0].success = Estimate { value: 0.9975, low: 0.99, high: 0.9999 };
    assert_eq!(compare(&old, &new), Vec::new());
}

#[test]
fn what_was_there_and_is_gone() {
    let old = run(3, 1, None);
    let mut new = old.clone();
    new.providers[0].state = ProviderState::Dead { reason: "connection refused".to_owned() };
    new.providers[0].depth = Some(Depth::Blocks { blocks: 128 });
    new.providers[2].missing_methods.push("eth_getProof".to_owned());
    if let Some(range) = &mut new.providers[2].log_range {
        (range.answered_blocks, range.refused_blocks) = (500, Some(1_000));
    }
    let said: Vec<String> = compare(&old, &new).iter().map(Regression::to_string).collect();
    let want = [
        "meridian was measured then and is not well now: dead (connection refused).",
        "meridian gave states from the first block on and reaches 128 blocks back now.",
        "quartz answered eth_getLogs over 10,000 blocks and refuses 1,000 now.",
        "quartz has eth_getProof no more.",
    ];
    assert_eq!(said, want);
    assert_eq!(compare(&new, &old), Vec::new(), "better is no regression");
}

#[test]
fn what_one_of_them_lacks_is_told_and_not_counted() {
    let old = run(3, 1, None);
    let mut new = old.clone();
    new.providers[4].name = "newcomer".to_owned();
    new.cells.retain(|cell| !(cell.provider == 0 && cell.method == "eth_call"));
    new.run.calls_per_second = 20.0;
    new.run.is_interrupted = true;
    assert_eq!(compare(&old, &new), Vec::new());
    let said = notes(&old, &new);
    let want = [
        "yesterday was measured in the baseline only.",
        "newcomer was measured in this run only.",
        "eth_call of meridian over HTTP was asked in the baseline only.",
    ];
    assert_eq!(said[..3], want);
    assert!(said[3].contains("at 10 calls a second and this run at 20") && said[4].starts_with("This run was ended early"));
    assert_eq!(notes(&old, &old), Vec::<String>::new());
}

#[test]
fn other_chains_and_mixes_are_not_compared() {
    let old = run(3, 1, None);
    let check = |change: &dyn Fn(&mut Findings), part: &str| {
        let mut new = run(3, 2, Some((0, 3.0)));
        change(&mut new);
        let said = comparable(&old, &new).expect_err(part).to_string();
        assert!(said.contains(part), "{said}");
        assert_eq!(compare(&old, &new), Vec::new());
    };
    check(&|new| new.run.chain_number = 8453, "of chain 1 and this run of chain 8453");
    check(
        &|new| new.run.mix = "indexer".to_owned(),
        "with the mix wallet and this run with indexer: measure with --methods wallet",
    );
    let renamed = |new: &mut Findings| new.providers.iter_mut().for_each(|provider| provider.name.push('2'));
    check(&renamed, "no provider and method in common");
    assert_eq!(comparable(&old, &old), Ok(()));
}
