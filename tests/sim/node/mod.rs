//! Whole nodes: one to eight shards, providers on a model chain with faults, and clients of every kind, from one seed.
//!
//! First safety under faults, then the world is healed and liveness is demanded, then everyone leaves and nothing may
//! remain: no connection, no attempt, no byte charged.

mod arrivals;
mod book;
mod bursts;
mod calls;
mod channels;
mod check;
mod circuits;
mod company;
mod client;
mod continuity;
mod dark;
mod forbidden;
mod front;
mod heights;
mod http;
mod idler;
mod launch;
mod poison;
mod polite;
mod regret;
mod rehearsal;
mod returns;
mod scarcity;
mod sockets;
mod stage;
mod story;
mod subscriber;
mod subscriptions;
mod sums;
mod trouble;
mod verdicts;
mod watch;
mod worse;

use crate::seeds;
use crate::world::Tally;
use lasso::shard::Fault;
use story::Reached;

#[test]
fn soak() {
    seeds::soak("node", 300, |seed| story::run(seed, Fault::None).trace);
}

#[test]
fn replay() {
    seeds::replay("node", |seed| story::run(seed, Fault::None).trace);
}

/// The checkers can see: each deliberate bug is found within a thousand seeds.
#[test]
fn deliberate_bugs_are_found() {
    let cases: [(Fault, &[&str]); 4] = [
        (
            Fault::DoubleReply,
            &["bytes after the last reply", "nobody asked for", "another id", "is no array", "with 1 request(s)", "200 for "],
        ),
        (Fault::RepeatRaw, &["eth_sendRawTransaction"]),
        (Fault::IgnoreCircuits, &["without a turn"]),
        (Fault::SkipTurn, &["without a turn"]),
    ];
    for (fault, signs) in cases {
        let found = (0..1000).find_map(|seed| {
            let violations = story::run(seed, fault).trace.violations;
            (!violations.is_empty()).then_some((seed, violations))
        });
        let (seed, violations) = found.unwrap_or_else(|| panic!("{fault:?} was not found in 1000 seeds"));
        eprintln!("{fault:?} found by seed {seed}: {}", violations[0]);
        let by_its_sign = violations.iter().any(|v| signs.iter().any(|sign| v.contains(sign)));
        assert!(by_its_sign, "{fault:?} was found by accident: {violations:?}");
    }
}

/// The weather reaches the node, and the calls reach its far corners: else a soak that finds nothing means nothing.
#[test]
fn every_corner_is_reached() {
    let (mut all, mut tally) = (Reached::default(), Tally::default());
    for seed in 200..400 {
        let told = story::run(seed, Fault::None);
        let (r, t) = (told.reached, told.trace.tally);
        all.results += r.results;
        all.errors += r.errors;
        all.limited += r.limited;
        all.excused += r.excused;
        all.truncated += r.truncated;
        all.failovers += r.failovers;
        all.refusals += r.refusals;
        all.filters += r.filters;
        all.long_replies += r.long_replies;
        all.over_http2 += r.over_http2;
        all.not_taken += r.not_taken;
        all.goaways += r.goaways;
        all.sights += r.sights;
        all.over_ws += r.over_ws;
        all.handed_over += r.handed_over;
        all.closed_ms = all.closed_ms.max(r.closed_ms);
        tally.resets_injected += t.resets_injected;
        tally.resets_sent += t.resets_sent;
        tally.refused += t.refused;
        tally.partial_reads += t.partial_reads;
    }
    eprintln!("{all:?}\n{tally:?}");
    assert!(all.results > 5_000 && all.errors > 500 && all.limited > 50 && all.excused > 20, "{all:?}");
    assert!(all.failovers > 500 && all.refusals > 100, "{all:?}");
    assert!(all.over_ws > 1_000 && all.handed_over > 100, "{all:?}");
    assert!(all.filters > 50 && all.long_replies > 5 && all.truncated > 0, "{all:?}");
    if cfg!(feature = "http2") {
        assert!(all.over_http2 > 1_000 && all.not_taken > 20 && all.goaways > 20, "{all:?}");
    }
    let s = all.sights;
    assert!(s.opened > 200 && s.trials > 200 && s.dark_calls > 100, "{s:?}");
    assert!(s.limited > 50 && s.lagging > 50 && s.misconfigured > 50 && s.wrong_chain > 50, "{s:?}");
    assert!(tally.resets_injected > 50 && tally.resets_sent > 200 && tally.refused > 50, "{tally:?}");
    assert!(tally.partial_reads > 10_000, "{tally:?}");
}
