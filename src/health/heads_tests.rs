//! Stories are text: `12:a=100` is a report of height 100 by `a` at second 12, `12:a!100` that it served that block,
//! `12:a#100` that it did so and is on the chain of another one, `12:a?100` that it has another block there than two others.

use super::*;
use proptest::prelude::*;

fn at(seconds: f64) -> Instant {
    Instant((seconds * 1e9) as u64)
}

fn id(name: &str) -> InstanceId {
    InstanceId(u16::from(name.as_bytes()[0]))
}

fn told(block_time_ms: Option<u64>, story: &str) -> Heads {
    let mut heads = Heads::new(block_time_ms);
    for event in story.split_whitespace() {
        let (time, what) = event.split_once(':').expect("time");
        let (name, height) = what.split_once(['=', '!', '#', '?']).expect("=, !, # or ?");
        let (now, height) = (at(time.parse().expect("seconds")), height.parse().expect("height"));
        match what.get(name.len()..name.len() + 1) {
            Some("=") => heads.on_head(id(name), height, now),
            Some("?") => heads.on_forked(id(name), height),
            _ => heads.on_served(id(name), height, what.contains('#'), now),
        }
    }
    heads
}

#[test]
fn consensus_is_a_quarter_from_the_top_of_the_fresh_and_believed() {
    let check = |story: &str, now: f64, want: Option<u64>| {
        assert_eq!(told(None, story).consensus(at(now)), want, "{story} at {now}");
    };
    // The element at floor(n / 4): docs/behaviour/health.md#heights.
    check("", 0.0, None);
    check("0:a=100", 0.0, Some(100));
    check("0:a=99 0:b=100 0:c=98", 0.0, Some(100));
    check("0:a=99 0:b=100 0:c=98 0:d=97", 0.0, Some(99));
    check("0:a=9 0:b=8 0:c=7 0:d=6 0:e=5 0:f=4 0:g=3", 0.0, Some(8));
    check("0:a=9 0:b=8 0:c=7 0:d=6 0:e=5 0:f=4 0:g=3 0:h=2", 0.0, Some(7));
    // Fresh for 30 s; the same height again is a new report, a lower one replaces.
    check("0:a=100", 30.0, Some(100));
    check("0:a=100", 30.1, None);
    check("0:a=100 20:a=100", 50.0, Some(100));
    check("0:a=100 5:b=98", 31.0, Some(98));
    check("0:a=100 1:a=97", 1.0, Some(97));
    // A lone height beyond 3 + 2 × elapsed / 12 s does not count: not once, not by staying, not while others move on.
    check("0:a=100 0:b=100 0:c=103", 0.0, Some(103));
    check("0:a=100 0:b=100 0:c=9000", 0.0, Some(100));
    check("0:a=100 0:b=100 12:c=105", 12.0, Some(105));
    check("0:a=100 0:b=100 12:c=106", 12.0, Some(100));
    check("0:a=100 0:b=100 12:a=101 24:a=102 24:c=150 25:a=102 29:c=150", 30.0, Some(102));
    check("0:a=100 1:b=9000 12:a=101 24:a=102 36:a=103 37:b=9003", 37.0, Some(103));
    // Steps of the slack do not add up.
    check("0:a=100 0:b=100 1:c=103 2:c=106 3:c=109 4:c=112", 4.0, Some(100));
    check("0:a=100 1:b=103 2:b=106 3:b=109", 3.0, Some(100));
    // A witness: a second within 3 blocks, or the block served.
    check("0:a=100 1:c=9000 1:d=8997", 1.0, Some(9000));
    check("0:a=100 0:b=100 1:c=9000 1:d=8997", 1.0, Some(8997));
    check("0:a=100 0:b=100 1:c=9000 1:d=8996", 1.0, Some(100));
    check("0:a=100 1:c=9000 2:c!9000", 2.0, Some(9000));
    check("0:a=100 1:c=9000 2:c!8999", 2.0, Some(100));
    check("0:a=100 1:c=9000 2:c!9000 13:c=9001", 13.0, Some(9001));
    check("0:a=100 0:b=100 1:c=90 2:c!9000 3:c=89 4:c=9000", 4.0, Some(100));
    check("0:a=100 0:b!9000", 0.0, Some(100));
    // Before any agreement nobody is believed above another, the first to speak neither, but for a block that was served.
    check("0:a=9000 0.2:b=100", 0.2, Some(100));
    check("0:a=9000 0.2:b=100 0.4:a!9000", 0.4, Some(9000));
    check("0:a=9000 0.2:b=100 12:a=9001 12.2:b=101 24:a=9002", 24.0, Some(101));
    check("0:a=9000 0.2:b=100 0.4:c=101", 0.4, Some(101));
    check("0:a=100 0.2:b=9000", 0.2, Some(100));
    // A sole provider is believed, and a sole fresh one; but on their return the others are held to the past.
    check("0:a=100 1:a=9000", 1.0, Some(9000));
    check("0:a=100 0:b=101 20:c=9000", 40.0, Some(9000));
    check("0:a=100 0:b=101 20:c=9000 40:a=103", 40.0, Some(103));
    // A stuck one does not hold back one that moves at the usual pace.
    check("0:a=100 0:b=100 12:b=101 13:a=100 24:b=102 25:a=100 36:b=103 37:a=100 48:b=104 60:b=105 61:a=100", 61.0, Some(105));
    // Extremes.
    check("0:a=18446744073709551615 0:b=0", 0.0, Some(0));
    // Near is where the earlier one may be by then, never where the later one is already.
    check("0:a=100 24:b=107 24:c=9000", 24.0, Some(107));
    check("0:a=100 24:b=108 24:c=9000", 24.0, Some(108));
    check("0:a=107 24:b=100 24:c=9000", 24.0, Some(107));
    check("0:a=18446744073709551615 0:b=18446744073709551615 1:c=5", 1.0, Some(u64::MAX));
}

#[test]
fn lag_credits_the_blocks_since_the_report() {
    let check = |block_time_ms, story: &str, name: &str, now: f64, want: (Option<u64>, Option<i64>)| {
        let heads = told(block_time_ms, story);
        assert_eq!((heads.optimistic(id(name), at(now)), heads.lag(id(name), at(now))), want, "{story}: {name} at {now}");
    };
    // The example of docs/behaviour/health.md#lag: 250 ms blocks, a report 2 s old and 8 behind.
    let arbitrum = "0:b=992 2:a=1000 2:c=1000";
    check(Some(250), arbitrum, "b", 2.0, (Some(1000), Some(0)));
    check(Some(250), arbitrum, "b", 1.99, (Some(999), Some(-1)));
    check(Some(250), arbitrum, "a", 2.5, (Some(1002), Some(2)));
    check(None, "0:a=100 0:b=98", "b", 11.9, (Some(98), Some(-2)));
    check(None, "0:a=100 0:b=98", "b", 12.0, (Some(99), Some(-1)));
    check(Some(0), "0:a=100 0:b=98", "b", 12.0, (Some(99), Some(-1)));
    // Never more than 30 s worth of it.
    check(Some(7_000), "0:b=90 100:a=100", "b", 100.0, (Some(94), Some(-6)));
    check(None, "0:a=100", "a", 31.0, (Some(102), None));
    check(None, "0:a=100", "b", 0.0, (None, None));
    check(None, "0:a=18446744073709551615 0:b=0", "b", 0.0, (Some(0), Some(0)));
    let apart = "0:a=18446744073709551615 0:c=18446744073709551615 0:b=0";
    check(None, apart, "b", 0.0, (Some(0), Some(-i64::MAX)));
    assert_eq!(told(None, "0:a=100 3:a=100").height(id("a")), Some((100, at(3.0))));
}

#[test]
fn a_block_of_its_own_is_no_proof_against_two_that_agree() {
    let check = |story: &str, now: f64, want: u64| {
        assert_eq!(told(None, story).consensus(at(now)), Some(want), "{story} at {now}");
    };
    // Whoever comes first, and whenever the other chain's block is served.
    check("0:a=100 0:b=100 1:c=150 2:c!150", 2.0, 100);
    check("0:c=150 0.2:c!150 1:a=100 1:b=100", 1.0, 100);
    check("0:c=150 0.2:c!150 1:a=100", 1.0, 150);
    check("0:c=150 0.2:c!150 1:a=100 2:b=101 14:c=151 14.2:c!151", 14.2, 101);
    check("0:c=150 0.2:c!150 1:a=100 1:b=100 12:c=151 13:a=101 13:b=101 24:c=152 25:a=102 25:b=102", 25.0, 102);
    // Nor after both of them were away, nor beside a third that agrees with them.
    check("0:a=100 0:b=100 1:c=150 1.2:c!150 32:c=152 32.2:c!152", 33.0, 152);
    check("0:a=100 0:b=100 1:c=150 1.2:c!150 32:c=152 32.2:c!152 40:a=103 40:b=103", 40.0, 103);
    check("0:a=100 0:b=100 0:d=100 1:c=150 1.2:c!150", 2.0, 100);
    // Two that do not agree outweigh nothing.
    check("0:a=100 0:b=110 1:c=150 2:c!150", 2.0, 150);
    // On the others' chain it is believed, and at the usual pace from then on, while they stand still.
    check("0:a=100 0:b=100 1:c=150 2:c#150", 2.0, 150);
    check("0:a=100 0:b=100 1:c=150 2:c#149", 2.0, 100);
    check("0:a=100 0:b=100 1:c=150 2:c#150 13:c=151 14:a=100 14:b=100 25:c=152", 25.0, 152);
    check("0:a=100 0:b=100 1:c=150 2:c#150 13:c=190 14:c!190", 14.0, 100);
    check("0:a=100 0:b=100 1:c=150 2:c#150 3:c=140", 3.0, 140);
    check("0:a=100 0:b=100 1:c=150 2:c#150 3:c=140 4:c=150", 4.0, 100);
    // Nor do two that are stuck hold back one that has agreed with them before.
    check("0:a=100 0:b=100 0:c=100 24:a=100 24:b=100 24:c=104 36:a=100 36:b=100 48:c=106", 48.0, 106);
    // When they come to where it is, it is one of them.
    check("0:a=100 0:b=100 1:c=150 2:c!150 20:a=148", 20.0, 150);
}

#[test]
fn block_time_is_measured_then_configured_then_twelve_seconds() {
    // Consecutive (seconds, blocks) steps of a sole provider.
    let check = |configured, steps: &[(f64, u64)], want_ms: f64| {
        let (mut heads, mut now, mut height) = (Heads::new(configured), 1.0, 100);
        heads.on_head(InstanceId(1), height, at(now));
        for (seconds, blocks) in steps {
            (now, height) = (now + seconds, height + blocks);
            heads.on_head(InstanceId(1), height, at(now));
        }
        let got = heads.block_time().as_secs_f64() * 1e3;
        assert!((got - want_ms).abs() < 0.01, "{configured:?} {steps:?}: {got}");
    };
    check(None, &[], 12_000.0);
    check(Some(250), &[], 250.0);
    check(Some(250), &[(2.0, 1); 4], 250.0);
    check(Some(250), &[(2.0, 1); 5], 2_000.0);
    check(Some(250), &[(2.0, 8); 5], 250.0);
    check(None, &[(2.0, 1), (2.0, 1), (2.0, 1), (2.0, 1), (2.0, 1), (4.0, 1)], 2_300.0);
    check(None, &[(2.0, 1), (2.0, 1), (1.0, 0), (1.0, 1), (2.0, 1), (2.0, 1)], 2_000.0);
    // Too short and too long ones are discarded, and do not stand in the way.
    check(None, &[(0.1, 3); 9], 12_000.0);
    check(None, &[(60.1, 1); 9], 12_000.0);
    check(None, &[(0.05, 1); 5], 50.0);
    check(None, &[(60.0, 1); 5], 60_000.0);
}

#[test]
fn a_lie_once_believed_does_not_end_the_measuring() {
    let mut heads = told(None, "0:a=9000 0.2:b=100 0.4:c=101");
    for second in 1..=80 {
        for name in ["b", "c"] {
            heads.on_head(id(name), 101 + second, at(second as f64));
        }
    }
    assert_eq!(heads.block_time(), Duration::from_secs(1));
}

#[test]
fn a_fast_chain_is_followed_before_its_block_time_is_known() {
    // Three providers of a chain with 250 ms blocks, each polled every 12 s in turn; nothing configured.
    let mut heads = Heads::new(None);
    for poll in 0..20u16 {
        let now = f64::from(poll) * 4.0;
        heads.on_head(InstanceId(poll % 3), 1_000 + u64::from(poll) * 16, at(now));
    }
    assert!((240..=270).contains(&heads.block_time().as_millis()), "{:?}", heads.block_time());
    assert_eq!(heads.consensus(at(76.0)), Some(1_000 + 19 * 16));
}

/// Found by the simulator's seed 24.
#[test]
fn healthy_providers_polled_far_apart_do_not_lag() {
    // Five of a chain with 2 s blocks, each polled about every 12 s, three of them close together.
    let (mut heads, offsets) = (Heads::new(None), [0.0, 1.8, 2.0, 3.0, 4.6]);
    for poll in 0..100u16 {
        let (round, place) = (poll / 5, poll % 5);
        let now = f64::from(round) * 12.2 + offsets[usize::from(place)];
        heads.on_head(InstanceId(place), 1_000 + (now / 2.0) as u64, at(now));
        let worst = (0..5).filter_map(|n| heads.lag(InstanceId(n), at(now))).min().unwrap_or(0);
        assert!(round < 5 || worst >= -1, "{worst} at {now}");
    }
    assert!((1_900..=2_100).contains(&heads.block_time().as_millis()), "{:?}", heads.block_time());
}

#[test]
fn an_episode_of_lag_is_told_when_it_begins_and_when_it_ends() {
    // Blocks behind where one begins, "." where nothing is told, "ok" where it is over.
    let check = |threshold, heights: &[u64], want: &str| {
        let mut heads = told(None, "0:a=100 0:c=100");
        let mut alert = |height: &u64| {
            heads.on_head(id("b"), *height, at(1.0));
            match heads.alert(id("b"), threshold, at(1.0)) {
                None => ".".to_owned(),
                Some(Alert::CaughtUp) => "ok".to_owned(),
                Some(Alert::Lags { blocks }) => blocks.to_string(),
            }
        };
        let alerts: Vec<String> = heights.iter().map(&mut alert).collect();
        assert_eq!(alerts.join(" "), want, "{threshold}: {heights:?}");
    };
    check(5, &[96, 95, 94, 95, 96, 95], ". 5 . . ok 5");
    check(1, &[100, 99, 99, 101, 98], ". 1 . ok 2");
    check(0, &[100, 99], ". 1");
    let mut heads = told(None, "0:a=100 0:c=100 0:b=90");
    assert!(heads.alert(id("x"), 1, at(0.0)).is_none() && heads.alert(id("b"), 5, at(40.0)).is_none(), "unknown is no lag");
    assert!(heads.alert(id("b"), 5, at(0.0)).is_some() && heads.alert(id("b"), 5, at(40.0)).is_none());
    heads.on_head(id("a"), 104, at(40.0));
    assert!(heads.alert(id("b"), 5, at(40.0)).is_none(), "the episode outlasts a gap in knowledge");
}

#[test]
fn another_fork_is_one_for_as_long_as_it_is_far_above_two_that_agree() {
    let check = |story: &str, now: f64, want: Option<u64>| {
        assert_eq!(told(None, story).forked(id("c"), at(now)), want, "{story} at {now}");
    };
    let found = "0:a=100 0:b=100 1:c=150 2:c!150 3:c?99";
    check(found, 3.0, Some(99));
    check("0:a=100 0:b=100 1:c=150 2:c!150", 3.0, None);
    check("0:a=100 0:b=100 3:c?99", 3.0, None);
    // It goes on, and so do they.
    check(&format!("{found} 12:c=151 13:a=101 13:b=101"), 13.0, Some(99));
    // It fell, so it may have changed its mind; it was found to be on theirs; theirs came near it.
    check(&format!("{found} 12:c=149"), 12.0, None);
    check(&format!("{found} 12:c#150"), 12.0, None);
    check(&format!("{found} 12:a=148 12:b=149"), 12.0, None);
    check(&format!("{found} 12:d=151"), 12.0, None);
    // Nobody is heard of but itself, or one beside it: no two that agree.
    check(&format!("{found} 40:c=152"), 40.0, None);
    check(&format!("{found} 29:a=102 40:c=152"), 40.0, None);
    check(&format!("{found} 40:c=152 40:a=103 41:b=103"), 41.0, Some(99));
}

#[test]
fn rows_are_bounded_and_the_stalest_gives_way() {
    let mut heads = Heads::new(None);
    heads.rows = (0..limits::INSTANCES as u16)
        .map(|n| {
            (
                InstanceId(n),
                Head {
                    height: 5,
                    at: at(if n == 7 { 1.0 } else { 2.0 }),
                    rose: at(0.0),
                    served: None,
                    shared: None,
                    forked: None,
                    alerted: false,
                },
            )
        })
        .collect();
    heads.on_head(InstanceId(u16::MAX), 6, at(3.0));
    assert_eq!(heads.rows.len(), limits::INSTANCES);
    assert!(heads.height(InstanceId(7)).is_none() && heads.height(InstanceId(u16::MAX)).is_some());
}

proptest! {
    /// The consensus is one of the fresh reports, and there is one exactly while there is a fresh report.
    #[test]
    fn consensus_is_a_fresh_report(events in prop::collection::vec((0u16..6, 0u64..40, 0u64..20_000, any::<bool>()), 1..60)) {
        let (mut heads, mut now) = (Heads::new(Some(2_000)), Instant::ZERO);
        for (instance, height, pause_ms, serves) in events {
            now = now.plus_ms(pause_ms);
            if serves { heads.on_served(InstanceId(instance), height, height % 2 == 0, now) } else { heads.on_head(InstanceId(instance), height, now) }
            let fresh: Vec<u64> = (0..6)
                .filter_map(|n| heads.height(InstanceId(n)))
                .filter(|(_, at)| now.since(*at) <= Duration::from_secs(30))
                .map(|(height, _)| height)
                .collect();
            match heads.consensus(now) {
                Some(consensus) => prop_assert!(fresh.contains(&consensus), "{consensus} of {fresh:?}"),
                None => prop_assert!(fresh.is_empty(), "none of {fresh:?}"),
            }
            prop_assert!(heads.rows.len() <= 6);
        }
    }

    /// With two honest providers within 3 blocks of each other, what one liar says moves nothing beyond the allowance.
    #[test]
    fn one_liar_moves_nothing(lies in prop::collection::vec(0u64..u64::MAX, 1..40)) {
        let mut heads = Heads::new(Some(12_000));
        heads.on_head(InstanceId(2), u64::MAX, at(0.0));
        for (n, lie) in (1u64..).zip(lies) {
            let now = at(12.0 * n as f64);
            heads.on_head(InstanceId(0), 100 + n, now);
            heads.on_head(InstanceId(1), 100 + n, now);
            heads.on_head(InstanceId(2), lie, now);
            let consensus = heads.consensus(now).unwrap_or(0);
            prop_assert!((100 + n..=100 + n + 6).contains(&consensus), "{consensus} at {n}");
        }
    }
}
