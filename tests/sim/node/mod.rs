//! Whole nodes: one to four shards, providers on a model chain with faults, and clients of every kind, from one seed.
//!
//! First safety under faults, then the world is healed and liveness is demanded, then everyone leaves and nothing may
//! remain: no connection, no attempt, no byte charged.

mod book;
mod calls;
mod check;
mod client;
mod http;
mod story;

use crate::seeds;
use crate::world::Trace;
use lasso::shard::Fault;

#[test]
fn soak() {
    seeds::soak("node", 300, |seed| story::run(seed, Fault::None));
}

#[test]
fn replay() {
    seeds::replay("node", |seed| story::run(seed, Fault::None));
}

/// The checkers can see: each deliberate bug is found within a thousand seeds.
#[test]
fn deliberate_bugs_are_found() {
    let cases: [(Fault, &[&str]); 2] = [
        (Fault::DoubleReply, &["bytes after the last reply", "nobody asked for", "another id", "with 1 request(s)"]),
        (Fault::RepeatRaw, &["eth_sendRawTransaction"]),
    ];
    for (fault, signs) in cases {
        let found = (0..1000).find_map(|seed| {
            let violations = story::run(seed, fault).violations;
            (!violations.is_empty()).then(|| (seed, violations))
        });
        let (seed, violations) = found.unwrap_or_else(|| panic!("{fault:?} was not found in 1000 seeds"));
        eprintln!("{fault:?} found by seed {seed}: {}", violations[0]);
        let by_its_sign = violations.iter().any(|v| signs.iter().any(|sign| v.contains(sign)));
        assert!(by_its_sign, "{fault:?} was found by accident: {violations:?}");
    }
}

/// The weather reaches the node: over some seeds calls succeed, fail, are limited and lose their connection.
#[test]
fn stories_are_not_all_alike() {
    let traces: Vec<Trace> = (0..30).map(|seed| story::run(seed, Fault::None)).collect();
    let total = |of: fn(&Trace) -> u64| traces.iter().map(of).sum::<u64>();
    assert!(total(|t| t.tally.resets_injected) > 5);
    assert!(total(|t| t.tally.resets_sent) > 20);
    assert!(total(|t| t.tally.refused) > 5);
    assert!(total(|t| t.tally.partial_reads) > 1_000);
}
