//! What is said of findings whose truth is known.

use super::*;
use crate::bench::findings::{Camp, Depth, Estimate, ProviderState};
use crate::bench::report::plausible;

fn has(findings: &Findings, part: &str) {
    let all = sentences(findings);
    assert!(all.iter().any(|sentence| sentence.contains(part)), "no {part:?} in {all:#?}");
}

fn lacks(findings: &Findings, part: &str) {
    let all = sentences(findings);
    assert!(!all.iter().any(|sentence| sentence.contains(part)), "{part:?} in {all:#?}");
}

#[test]
fn the_best_and_ties_are_named_with_their_intervals() {
    let mut findings = plausible::findings(7, 3);
    findings.cells.retain(|cell| cell.transport == "http" && cell.method == "eth_call");
    findings.comparisons.retain(|c| c.transport == "http" && c.method == "eth_call");
    findings.comparisons[0].groups = vec![vec![0, 1], vec![2]];
    has(&findings, "eth_call over HTTP: meridian and homestead are a tie (medians from ");
    has(&findings, "Slower: quartz by ");
    has(&findings, "A tie means that this run cannot tell them apart");
    findings.comparisons[0].groups = vec![vec![1], vec![0], vec![2]];
    has(&findings, "eth_call over HTTP: homestead is best with a median of ");
    lacks(&findings, "tie");
}

#[test]
fn a_quick_provider_that_fails_is_no_plain_winner() {
    let mut findings = plausible::findings(7, 2);
    let best = findings.comparisons[0].groups[0][0];
    let cell = findings.cells.iter_mut().find(|cell| cell.provider == best).expect("its cell");
    cell.success = Estimate { value: 0.8, low: 0.77, high: 0.83 };
    has(&findings, &format!("But {} answered only 80.00% (77.00–83.00%) of these calls", findings.providers[best].name));
}

#[test]
fn a_longer_tail_is_told() {
    let mut findings = plausible::findings(7, 3);
    findings.comparisons[0].groups = vec![vec![0], vec![1], vec![2]];
    let method = findings.comparisons[0].method.clone();
    for cell in findings.cells.iter_mut().filter(|cell| cell.method == method && cell.transport == "http") {
        let value = if cell.provider == 0 { 900.0 } else { 60.0 + cell.provider as f64 };
        cell.p99_ms = Some(Estimate { value, low: value - 5.0, high: value + 5.0 });
    }
    has(&findings, "In the slowest hundredth of calls homestead does better: a p99 of 61.0 ms (56.0–66.0) against 900 ms");
}

#[test]
fn whoever_could_not_be_measured_is_told_with_the_reason() {
    let findings = plausible::findings(7, 12);
    has(&findings, "harbour is dead: connection refused.");
    has(&findings, "juniper serves chain 137 instead of 1 and was asked nothing more.");
    has(&findings, "cobalt stopped serving us after 50 calls; its figures are of the calls before.");
    has(&findings, "tundra refused our credentials and was asked nothing more: HTTP 401: invalid key.");
    let mut dead = plausible::findings(7, 2);
    dead.cells.clear();
    dead.comparisons.clear();
    for provider in &mut dead.providers {
        provider.state = ProviderState::Dead { reason: "no route".to_owned() };
    }
    has(&dead, "meridian is dead: no route.");
    lacks(&dead, "measured from one place");
    lacks(&dead, "disagree");
}

#[test]
fn who_disagrees_and_how() {
    let mut findings = plausible::findings(7, 5);
    has(&findings, "rubble answers \"0x0\", against the majority's \"0x1bc16d674ec80000\".");
    findings.disagreements[0].camps = vec![
        Camp { providers: vec![0, 1], answer: "\"0x1\"".to_owned() },
        Camp { providers: vec![2, 3], answer: "\"0x2\"".to_owned() },
    ];
    has(&findings, "meridian and homestead answer \"0x1\", quartz and rubble answer \"0x2\"; nobody can say who is right.");
    let again = findings.disagreements[0].clone();
    findings.disagreements.extend((0..9).map(|_| again.clone()));
    has(&findings, "5 questions more were not answered alike.");
    findings.disagreements.clear();
    has(&findings, "No two providers were seen to disagree");
}

#[test]
fn blocks_depth_and_limits() {
    let findings = plausible::findings(7, 5);
    has(&findings, "meridian has new blocks first: 19 of 30.");
    has(&findings, "Late with new blocks: yesterday ");
    has(&findings, "was found by asking");
    has(&findings, "meridian and homestead give states from the first block on.");
    has(&findings, "quartz 128 blocks back");
    has(&findings, "How far back rubble reaches could not be found out.");
    has(&findings, "homestead 2,000 (not 5,000)");
    has(&findings, "homestead 40 (refuses at 50)");
    has(&findings, "Methods that are not there: quartz lacks debug_traceCall, trace_block.");
    let mut other = findings;
    for provider in &mut other.providers {
        provider.depth = Some(Depth::Unknown);
    }
    lacks(&other, "from the first block on");
}

#[test]
fn what_the_data_cannot_say() {
    let findings = plausible::findings(7, 5);
    has(&findings, "No p99.9 can be told: it takes about 2,995 answers of each provider and method.");
    has(&findings, "All of it was measured from one place within 60 s");
    let few = plausible::drawn(plausible::Scene { truth: 7, draw: 7, providers: 2, calls: 2, slowed: None });
    has(&few, "No median can be told");
    has(&few, "too few calls were answered to compare providers");
    let mut interrupted = findings;
    interrupted.run.is_interrupted = true;
    interrupted.run.measured_seconds = 31.2;
    assert!(sentences(&interrupted)[0].starts_with("The run was ended after 31.2 s of 60 s: "));
}

#[test]
fn every_sentence_is_one() {
    for providers in [0, 1, 2, 3, 5, 12] {
        for sentence in sentences(&plausible::findings(7, providers)) {
            assert!(sentence.ends_with('.') && !sentence.contains(['\n', '\u{1b}']), "{sentence}");
            assert!(!sentence.contains("NaN") && !sentence.contains("inf"), "{sentence}");
        }
    }
}
