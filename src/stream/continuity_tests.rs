//! Heads and logs on the model's stories, the bugs its checkers must find, and the ends of what can be made good.

use super::*;
use crate::base::limits::STREAM_CHAIN_BLOCKS;
use crate::stream::model::{Noise, Story};

const ALL: Noise = Noise {
    loss: 150_000,
    repeats: 150_000,
    disorder: 150_000,
    reorgs: 250_000,
    private_forks: 200_000,
    switches: 150_000,
    fetch_failures: 200_000,
    late_logs: 200_000,
    orphans_pruned: false,
    null_rounds: 0,
    resets: 0,
    strangers: 0,
    hidden: 0,
};

fn stories(seeds: std::ops::Range<u64>, noise: Noise) {
    let failures: Vec<String> = seeds.filter_map(|seed| Story::run(seed, noise, None).err()).take(3).collect();
    assert!(failures.is_empty(), "{noise:?}\n{}", failures.join("\n"));
}

#[test]
fn no_story_makes_a_hole_or_a_repeat() {
    stories(0..3_000, ALL);
    // Each of these was once wrong.
    stories(15_022..15_023, ALL);
    stories(13_786..13_787, Noise { fetch_failures: 0, ..ALL });
    stories(0..1_000, Noise { fetch_failures: 0, ..ALL });
    stories(0..1_000, Noise { orphans_pruned: true, ..ALL });
}

#[test]
fn each_trouble_alone_is_made_good() {
    let check = |noise| stories(0..300, noise);
    check(Noise::default());
    check(Noise { loss: 400_000, ..Noise::default() });
    check(Noise { repeats: 500_000, ..Noise::default() });
    check(Noise { disorder: 500_000, ..Noise::default() });
    check(Noise { reorgs: 500_000, ..Noise::default() });
    check(Noise { switches: 400_000, ..Noise::default() });
    check(Noise { switches: 300_000, private_forks: 500_000, ..Noise::default() });
    check(Noise { loss: 200_000, fetch_failures: 400_000, ..Noise::default() });
    check(Noise { late_logs: 500_000, ..Noise::default() });
    check(Noise { null_rounds: 300_000, ..Noise::default() });
    check(Noise { resets: 50_000, ..Noise::default() });
    check(Noise { strangers: 50_000, ..Noise::default() });
    check(Noise { hidden: 20_000, ..Noise::default() });
}

#[test]
fn a_worse_world_makes_neither_a_hole_nor_silence() {
    stories(0..1_000, Noise { null_rounds: 300_000, fetch_failures: 0, ..ALL });
    stories(0..1_000, Noise { null_rounds: 100_000, ..ALL });
    stories(0..1_000, Noise { resets: 50_000, ..ALL });
    stories(0..1_000, Noise { strangers: 50_000, ..ALL });
    stories(0..1_000, Noise { hidden: 20_000, ..ALL });
    stories(0..1_000, Noise { null_rounds: 100_000, resets: 20_000, strangers: 20_000, hidden: 10_000, ..ALL });
}

#[test]
fn deliberate_bugs_are_found() {
    for bug in [Bug::GapOffByOne, Bug::DuplicateAfterOverlap, Bug::RemovedDropped, Bug::DeadlineRestarted, Bug::DoubtBelieved] {
        let noise = Noise { hidden: 20_000, ..ALL };
        let found = (0..1_000).find(|seed| Story::run(*seed, noise, Some(bug)).is_err());
        assert!(found.is_some(), "{bug:?} passes a thousand stories");
    }
}

/// A head of branch `branch`, whose parent is of branch `parent`.
fn head(number: u64, branch: u8, parent: u8) -> Head {
    let hash = |number: u64, branch: u8| {
        let mut hash = [branch; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        BlockHash(hash)
    };
    let payload = format!("{number}{}", char::from(branch)).into_bytes().into();
    let (hash, parent) = (hash(number, branch), hash(number.wrapping_sub(1), parent));
    Head { number, hash, parent, bloom: None, gas_used: None, timestamp_s: None, fetched: false, payload }
}

/// On branch `a`.
fn plain(number: u64) -> Head {
    head(number, b'a', b'a')
}

/// Everything there is to say now, in short: `12a` emitted, `?12` and `?11b` asked for, `?` the newest, or the end.
fn said(heads: &mut Heads, now: Instant) -> String {
    let mut said = Vec::new();
    while let Some(action) = heads.next(now) {
        let is_end = matches!(action, Action::Close(_));
        said.push(match action {
            Action::Emit(head) => String::from_utf8_lossy(&head.payload).into_owned(),
            Action::Fetch(Ask::Latest) => "?".into(),
            Action::Fetch(Ask::Number(number)) => format!("?{number}"),
            Action::Fetch(Ask::Hash(hash)) => format!("?{}{}", hash.0[7], char::from(hash.0[31])),
            Action::Fetch(Ask::Compare { hash, .. }) => format!("={}{}", hash.0[7], char::from(hash.0[31])),
            Action::Fetch(Ask::Witness(hash)) => format!("!{}{}", hash.0[7], char::from(hash.0[31])),
            Action::Forsake => "forsaken".into(),
            Action::Depose => "deposed".into(),
            Action::Below(head) => format!("below {}", head.number),
            Action::PastLost => "past lost".to_owned(),
            Action::Close(reason) => reason.text(),
        });
        if is_end {
            break;
        }
    }
    said.join(" ")
}

const RULES: Rules = Rules { max_backfill_blocks: 10, backfill_timeout_ms: 30_000, bug: None };
const NOW: Instant = Instant(1_000_000_000);

const SHARED: Opinions = Opinions { is_shared: true, denials: 0, is_own: false };
const DENIED: Opinions = Opinions { is_shared: false, denials: 1, is_own: false };

/// Others have the block that is compared.
fn share(heads: &mut Heads, block: &Head, now: Instant) {
    heads.on_opinions(block.number, block.hash, SHARED, now);
}

/// A stream that begins after this block.
fn begun_at(rules: Rules, block: Head) -> Heads {
    let mut heads = Heads::new(rules, NOW);
    assert_eq!(said(&mut heads, NOW), "?");
    heads.on_filled(Ask::Latest, block.clone(), NOW);
    assert!(said(&mut heads, NOW).starts_with('='));
    share(&mut heads, &block, NOW);
    assert_eq!((said(&mut heads, NOW), heads.wake_at()), (String::new(), Instant::NEVER));
    heads
}

/// A stream that begins after `10a`.
fn begun() -> Heads {
    begun_at(RULES, plain(10))
}

#[test]
fn the_stream_begins_after_the_newest_block() {
    let mut heads = Heads::new(RULES, NOW);
    assert_eq!((said(&mut heads, NOW), heads.tip()), ("?".into(), None));
    // What was announced meanwhile waits, and what follows waits for what others have.
    heads.on_head(plain(11), NOW);
    assert_eq!((said(&mut heads, NOW), heads.tip()), (String::new(), None));
    heads.on_filled(Ask::Latest, plain(10), NOW);
    assert_eq!((said(&mut heads, NOW), heads.tip()), ("=10a".into(), Some((10, plain(10).hash))));
    heads.on_head(plain(10), NOW);
    heads.on_head(plain(11), NOW);
    assert_eq!(said(&mut heads, NOW), "");
    share(&mut heads, &plain(10), NOW);
    assert_eq!((said(&mut heads, NOW), heads.wake_at()), ("11a".into(), Instant::NEVER));
}

#[test]
fn a_beginning_that_nobody_confirms_is_believed_soon_and_one_that_others_deny_is_not() {
    let begun = || {
        let mut heads = Heads::new(RULES, NOW);
        heads.on_head(plain(11), NOW);
        heads
    };
    let asked = |heads: &mut Heads| {
        heads.on_filled(Ask::Latest, plain(10), NOW);
        assert_eq!(said(heads, NOW), "=10a");
    };
    let check = |opinions: Opinions, want: &str| {
        let mut heads = begun();
        assert_eq!(said(&mut heads, NOW), "?");
        asked(&mut heads);
        heads.on_opinions(10, plain(10).hash, opinions, NOW);
        assert_eq!(said(&mut heads, NOW), want);
    };
    check(SHARED, "11a");
    check(Opinions::default(), "11a");
    check(DENIED, "forsaken");
    check(Opinions { is_own: true, ..DENIED }, "11a");
    check(Opinions { is_own: true, denials: 2, is_shared: false }, "forsaken");
    check(Opinions { is_own: false, denials: 2, is_shared: true }, "11a");
    // Nobody has answered.
    let mut heads = begun();
    said(&mut heads, NOW);
    asked(&mut heads);
    assert_eq!((said(&mut heads, NOW.plus_ms(BELIEF_MS - 1)), heads.wake_at()), (String::new(), NOW.plus_ms(BELIEF_MS)));
    assert_eq!((said(&mut heads, NOW.plus_ms(BELIEF_MS)), heads.wake_at()), ("11a".into(), Instant::NEVER));
    // The leader does not give its newest block: what it announced is as good, after some time or some answers.
    let mut heads = begun();
    said(&mut heads, NOW);
    assert_eq!(said(&mut heads, NOW.plus_ms(BELIEF_MS)), "=11a");
    let (mut heads, mut now) = (begun(), NOW);
    for _ in 0..FILL_TRIES {
        assert_eq!(said(&mut heads, now), "?");
        heads.on_fill_failed(Ask::Latest, now);
        now = now.plus_ms(FILL_RETRY_MS);
    }
    assert_eq!(said(&mut heads, now), "? =11a");
    // Who leads by then is not to blame.
    let mut heads = begun();
    said(&mut heads, NOW);
    asked(&mut heads);
    heads.on_confirmed(NOW);
    assert_eq!(said(&mut heads, NOW), "?");
    heads.on_filled(Ask::Latest, plain(12), NOW);
    heads.on_opinions(10, plain(10).hash, DENIED, NOW);
    assert_eq!(said(&mut heads, NOW), "?");
}

#[test]
fn a_fork_below_the_beginning_is_told_once_others_have_it() {
    let mut heads = begun();
    heads.on_head(plain(11), NOW);
    heads.on_head(head(11, b'b', b'b'), NOW);
    assert_eq!(said(&mut heads, NOW), "11a ?10b");
    heads.on_filled(Ask::Hash(head(10, b'b', b'b').hash), head(10, b'b', b'b'), NOW);
    heads.on_head(head(12, b'b', b'b'), NOW);
    assert_eq!(said(&mut heads, NOW), "=10b");
    let mut denied = heads.clone();
    share(&mut heads, &head(10, b'b', b'b'), NOW);
    assert_eq!((said(&mut heads, NOW), heads.wake_at()), ("10b 11b 12b".into(), Instant::NEVER));
    denied.on_opinions(10, head(10, b'b', b'b').hash, DENIED, NOW);
    assert_eq!(said(&mut denied, NOW), "forsaken");
    denied.on_lost(NOW);
    denied.on_confirmed(NOW);
    assert_eq!(said(&mut denied, NOW), "?");
    denied.on_filled(Ask::Latest, plain(12), NOW);
    assert_eq!((said(&mut denied, NOW), denied.wake_at()), ("12a".into(), Instant::NEVER));
    // Beside the first block.
    let mut heads = begun();
    heads.on_head(head(10, b'c', b'a'), NOW);
    assert_eq!(said(&mut heads, NOW), "=10c");
}

#[test]
fn a_reorg_is_told_from_the_fork_up_and_back() {
    let mut heads = begun();
    for (next, want) in [
        (plain(11), "11a"),
        (plain(11), ""),
        (head(11, b'b', b'a'), "11b"),
        (head(12, b'b', b'b'), "12b"),
        (plain(11), "11a"),
        (plain(10), ""),
        (head(11, b'b', b'a'), "11b"),
    ] {
        heads.on_head(next, NOW);
        assert_eq!(said(&mut heads, NOW), want);
    }
    heads.on_head(head(13, b'a', b'a'), NOW);
    assert_eq!(said(&mut heads, NOW), "?12");
    heads.on_filled(Ask::Number(12), plain(12), NOW);
    assert_eq!(said(&mut heads, NOW), "?11a");
    heads.on_filled(Ask::Hash(plain(11).hash), plain(11), NOW);
    assert_eq!(said(&mut heads, NOW), "11a 12a 13a");
}

#[test]
fn a_gap_is_filled_oldest_first() {
    let mut heads = begun();
    heads.on_head(plain(17), NOW);
    assert_eq!(said(&mut heads, NOW), "?11 ?12 ?13 ?14");
    heads.on_filled(Ask::Number(12), plain(12), NOW);
    heads.on_filled(Ask::Number(14), plain(14), NOW);
    // By number another fork answers: what does not link is asked for by hash.
    heads.on_filled(Ask::Number(13), head(13, b'c', b'c'), NOW);
    heads.on_fill_failed(Ask::Number(11), NOW);
    assert_eq!(said(&mut heads, NOW), "?15 ?16");
    heads.on_filled(Ask::Number(15), plain(15), NOW);
    heads.on_filled(Ask::Number(16), plain(16), NOW);
    assert_eq!(said(&mut heads, NOW), "?13a");
    heads.on_filled(Ask::Hash(plain(13).hash), head(13, b'c', b'c'), NOW);
    assert_eq!((said(&mut heads, NOW), heads.wake_at()), (String::new(), NOW.plus_ms(FILL_RETRY_MS)));
    let later = NOW.plus_ms(FILL_RETRY_MS);
    assert_eq!(said(&mut heads, later), "?13a");
    heads.on_filled(Ask::Hash(plain(13).hash), plain(13), later);
    assert_eq!(said(&mut heads, later), "?11a");
    // An announcement is as good as an answer.
    heads.on_head(plain(11), later);
    assert_eq!(said(&mut heads, later), "11a 12a 13a 14a 15a 16a 17a =15a");
    heads.on_filled(Ask::Hash(plain(11).hash), plain(11), later);
    assert_eq!((said(&mut heads, later), heads.wake_at()), (String::new(), Instant::NEVER));
}

#[test]
fn a_switch_is_made_good_from_the_newest_block_of_the_new_provider() {
    let check = |latest: Head, want: &str| {
        let mut heads = begun();
        heads.on_head(plain(11), NOW);
        said(&mut heads, NOW);
        heads.on_lost(NOW);
        heads.on_confirmed(NOW);
        assert_eq!(said(&mut heads, NOW), "?");
        heads.on_filled(Ask::Latest, latest, NOW);
        assert_eq!(said(&mut heads, NOW), want);
    };
    check(plain(11), "");
    check(plain(10), "");
    check(plain(9), "");
    check(plain(12), "12a");
    check(plain(13), "?12");
    check(head(11, b'b', b'a'), "11b");
    check(head(11, b'b', b'b'), "?10b");
    let mut heads = begun();
    heads.on_confirmed(NOW);
    heads.on_head(plain(11), NOW);
    heads.on_filled(Ask::Latest, head(10, b'b', b'b'), NOW);
    assert_eq!((said(&mut heads, NOW), heads.wake_at()), ("11a".into(), Instant::NEVER), "announced first, so not asked");
}

#[test]
fn the_end_is_said_with_its_reason_and_nothing_after() {
    let check = |run: &dyn Fn(&mut Heads), at_ms: u64, want: &str| {
        let mut heads = begun();
        run(&mut heads);
        if at_ms > 0 {
            let before = said(&mut heads, NOW.plus_ms(at_ms - 1));
            assert!(!before.contains("blocks"), "too early: {before}");
            assert!(heads.wake_at() <= NOW.plus_ms(at_ms));
        }
        let now = NOW.plus_ms(at_ms);
        let end = said(&mut heads, now);
        assert!(end.ends_with(want) && want.len() <= 123, "{end}");
        heads.on_head(plain(11), now);
        heads.on_confirmed(now);
        assert_eq!(said(&mut heads, now), want);
    };
    let many = "more than 10 blocks are missing (max_backfill_blocks)";
    let late = "missing blocks did not come within 30000 ms (backfill_timeout_ms)";
    let far = |heads: &mut Heads, number: u64| {
        heads.on_head(plain(number), NOW);
        assert!(said(heads, NOW).starts_with('!'), "somebody else is asked first");
        heads.on_filled(Ask::Witness(plain(number).hash), plain(number), NOW);
    };
    check(&|heads| far(heads, 22), 0, many);
    check(&|heads| far(heads, u64::MAX), 0, many);
    check(&|heads| heads.on_head(plain(21), NOW), 30_000, late);
    check(&|heads| heads.on_lost(NOW), 30_000, late);
    check(&|heads| heads.on_confirmed(NOW), 30_000, late);
    check(&|heads| heads.on_no_provider(), 0, "no provider is left for this subscription");
    let unlinked = |heads: &mut Heads| {
        (0..=STREAM_HELD_HEADS as u64).for_each(|n| heads.on_head(head(12, (n % 200) as u8, (n / 10) as u8), NOW));
    };
    check(&unlinked, 0, many);
    let repeated = |heads: &mut Heads| (0..=STREAM_HELD_HEADS).for_each(|_| heads.on_head(plain(12), NOW));
    check(&repeated, 30_000, late);
    let walk = |heads: &mut Heads| {
        (11..=100).for_each(|number| heads.on_head(plain(number), NOW));
        heads.on_head(head(101, b'b', b'b'), NOW);
        for number in (80..=100).rev() {
            said(heads, NOW);
            let block = head(number, b'b', b'b');
            heads.on_filled(Ask::Hash(block.hash), block, NOW);
        }
        heads.on_filled(Ask::Witness(head(101, b'b', b'b').hash), head(101, b'b', b'b'), NOW);
    };
    check(&walk, 0, many);
}

#[test]
fn a_fork_below_what_is_kept_is_the_end() {
    let kept = STREAM_CHAIN_BLOCKS as u64;
    let check = |depth: u64, want: &str| {
        let mut heads = begun_at(Rules { max_backfill_blocks: 1_000, ..RULES }, plain(9));
        (10..=10 + kept).for_each(|number| heads.on_head(plain(number), NOW));
        said(&mut heads, NOW);
        let branch = |number| head(number, b'b', if number == 10 + kept - depth + 1 { b'a' } else { b'b' });
        let mut number = 10 + kept;
        heads.on_head(branch(number), NOW);
        while let Some(Action::Fetch(ask)) = heads.next(NOW) {
            if ask == Ask::Witness(branch(10 + kept).hash) {
                heads.on_filled(ask, branch(10 + kept), NOW);
                continue;
            }
            number -= 1;
            assert_eq!(ask, Ask::Hash(branch(number).hash));
            heads.on_filled(ask, branch(number), NOW);
        }
        let end = said(&mut heads, NOW);
        assert!(end.ends_with(want), "depth {depth}: {end}");
    };
    check(1, "");
    check(kept, "");
    check(kept + 1, "the chain was reorganised below the last 256 blocks");
    // Before anything was forgotten there is no below: the stream begins anew with the block that replaces its first.
    let mut heads = begun();
    heads.on_head(head(10, b'b', b'b'), NOW);
    assert_eq!(said(&mut heads, NOW), "=10b");
    share(&mut heads, &head(10, b'b', b'b'), NOW);
    assert_eq!(said(&mut heads, NOW), "10b");
    heads.on_head(head(9, b'c', b'c'), NOW);
    heads.on_head(head(11, b'c', b'c'), NOW);
    assert_eq!(said(&mut heads, NOW), "?10c");
}

#[test]
fn what_cannot_be_had_is_given_up_for_what_was_announced_later() {
    let mut heads = begun();
    heads.on_head(head(11, b'x', b'x'), NOW);
    heads.on_head(head(12, b'x', b'x'), NOW);
    heads.on_head(head(11, b'y', b'x'), NOW);
    heads.on_head(plain(11), NOW);
    let mut now = NOW;
    for _ in 0..FILL_TRIES {
        assert_eq!(said(&mut heads, now), "?10x");
        heads.on_fill_failed(Ask::Hash(head(11, b'x', b'x').parent), now);
        now = now.plus_ms(FILL_RETRY_MS);
    }
    assert_eq!(said(&mut heads, now), "11a");
    // A head that does not count up from its parent is none.
    heads.on_head(Head { number: 11, ..plain(12) }, now);
    assert_eq!((said(&mut heads, now), heads.wake_at()), (String::new(), Instant::NEVER));
}

/// Every fetch under way or wanted fails, up to then, but whether there is an announced block of branch `a`; what was said besides.
fn all_fail(heads: &mut Heads, now: Instant) -> Option<String> {
    while let Some(action) = heads.next(now) {
        match action {
            Action::Fetch(Ask::Witness(hash)) => match (0..30).map(plain).find(|block| block.hash == hash) {
                Some(block) => heads.on_filled(Ask::Witness(hash), block, now),
                None => heads.on_fill_failed(Ask::Witness(hash), now),
            },
            Action::Fetch(ask) => heads.on_fill_failed(ask, now),
            Action::Emit(head) => return Some(String::from_utf8_lossy(&head.payload).into_owned()),
            Action::Forsake | Action::Depose => return Some("forsaken".into()),
            Action::Close(reason) => return Some(reason.text()),
            Action::Below(_) | Action::PastLost => panic!("nobody was told what is below"),
        }
    }
    None
}

#[test]
fn nothing_restarts_the_deadline_of_a_hole() {
    let mut heads = begun();
    let mut number = 12;
    for ms in (0..30_000).step_by(250) {
        let now = NOW.plus_ms(ms);
        if ms % 1_000 == 0 {
            heads.on_head(plain(number), now);
            // So that the walk and its limit are not what ends it.
            number += u64::from(number < 20);
        }
        assert_eq!(all_fail(&mut heads, now), None, "after {ms} ms");
        if ms == 15_000 {
            heads.on_lost(now);
            heads.on_confirmed(now);
        }
    }
    let end = all_fail(&mut heads, NOW.plus_ms(30_000));
    assert_eq!(end.as_deref(), Some("missing blocks did not come within 30000 ms (backfill_timeout_ms)"));
}

#[test]
fn a_number_without_a_block_is_no_hole() {
    let over = |number: u64, parent: Head| Head { parent: parent.hash, ..plain(number) };
    let mut heads = begun();
    heads.on_head(over(13, plain(10)), NOW);
    assert_eq!(said(&mut heads, NOW), "13a");
    // A branch whose numbers lie between the other's.
    heads.on_head(Head { parent: plain(10).hash, ..head(12, b'b', b'b') }, NOW);
    assert_eq!(said(&mut heads, NOW), "12b");
    heads.on_head(over(13, plain(10)), NOW);
    assert_eq!(said(&mut heads, NOW), "13a");
    // A gap with such a number in it: what links is told, and what is not there is not asked for again.
    heads.on_head(plain(16), NOW);
    assert_eq!(said(&mut heads, NOW), "?14 ?15");
    heads.on_filled(Ask::Number(15), over(15, plain(13)), NOW);
    assert_eq!(said(&mut heads, NOW), "15a 16a =13a");
    heads.on_fill_failed(Ask::Number(14), NOW);
    assert_eq!((said(&mut heads, NOW), heads.wake_at()), (String::new(), Instant::NEVER));
}

fn at(timestamp_s: u64, head: Head) -> Head {
    Head { timestamp_s: Some(timestamp_s), ..head }
}

/// Blocks 10 to 12 of a chain were told.
fn begun_with_times() -> Heads {
    let mut heads = begun_at(RULES, at(10, plain(10)));
    (11..=12).for_each(|number| heads.on_head(at(number, plain(number)), NOW));
    assert_eq!(said(&mut heads, NOW), "11a 12a");
    heads
}

/// A block of a younger chain.
fn lower(number: u64) -> Head {
    at(20 + number, head(number, b'n', b'n'))
}

#[test]
fn a_chain_that_begins_anew_lower_is_told_from_there() {
    let mut heads = begun_with_times();
    heads.on_head(lower(4), NOW);
    heads.on_head(lower(5), NOW);
    assert_eq!(said(&mut heads, NOW), "?");
    heads.on_filled(Ask::Latest, lower(5), NOW);
    let mut now = NOW;
    for _ in 0..FILL_TRIES {
        assert_eq!(said(&mut heads, now), "?12a", "nobody may have what was told");
        heads.on_fill_failed(Ask::Hash(plain(12).hash), now);
        now = now.plus_ms(FILL_RETRY_MS);
    }
    heads.on_head(lower(6), now);
    // All of it that is younger than the beginning is told, and asked for where it was not announced.
    assert_eq!(said(&mut heads, now), "?2 ?1 ?0 ?3n");
    let mut late = heads.clone();
    heads.on_filled(Ask::Hash(lower(3).hash), lower(3), now);
    assert_eq!(said(&mut heads, now), "?2n");
    heads.on_filled(Ask::Hash(lower(2).hash), at(10, lower(2)), now);
    assert_eq!((said(&mut heads, now), heads.wake_at()), ("3n 4n 5n 6n".into(), Instant::NEVER));
    // Where it cannot be had the stream ends.
    for ms in (0..30_000).step_by(250) {
        assert!(all_fail(&mut late, NOW.plus_ms(ms).max(now)).is_none());
    }
    assert!(all_fail(&mut late, NOW.plus_ms(30_000)).is_some_and(|end| end.starts_with("missing blocks did not come")));

    // Reverted below the beginning: the block that it falls to is old, and only what comes after it is told.
    let mut heads = begun_with_times();
    heads.on_head(at(8, plain(8)), NOW);
    assert_eq!(said(&mut heads, NOW), "?");
    let next = at(20, head(9, b'n', b'a'));
    heads.on_filled(Ask::Latest, next, NOW);
    let mut now = NOW;
    for _ in 0..FILL_TRIES {
        assert_eq!(said(&mut heads, now), "?12a");
        heads.on_fill_failed(Ask::Hash(plain(12).hash), now);
        now = now.plus_ms(FILL_RETRY_MS);
    }
    assert_eq!((said(&mut heads, now), heads.wake_at()), ("9n".into(), Instant::NEVER));
}

/// Nodes may keep the blocks above the one that their chain was set back to: it begins anew where others say so, or there are none.
#[test]
fn a_chain_that_was_set_back_begins_anew_although_old_blocks_are_kept() {
    let asked = || {
        let mut heads = begun_with_times();
        heads.on_head(at(8, plain(8)), NOW);
        assert_eq!(said(&mut heads, NOW), "?");
        let next = at(20, head(9, b'n', b'a'));
        heads.on_filled(Ask::Latest, next.clone(), NOW);
        assert_eq!(said(&mut heads, NOW), "?12a");
        heads.on_filled(Ask::Hash(plain(12).hash), at(12, plain(12)), NOW);
        assert_eq!(said(&mut heads, NOW), "=9n");
        (heads, next.hash)
    };
    for opinions in [SHARED, Opinions::default()] {
        let (mut heads, hash) = asked();
        heads.on_opinions(9, hash, opinions, NOW);
        assert_eq!((said(&mut heads, NOW), heads.wake_at()), ("9n".into(), Instant::NEVER));
    }
    // Whoever does not answer says nothing for it.
    let (mut heads, _) = asked();
    assert_eq!(said(&mut heads, NOW.plus_ms(BELIEF_MS)), "forsaken");
}

#[test]
fn a_lower_head_alone_is_no_new_beginning() {
    // Somebody has what was told: the leader is alone.
    let mut heads = begun_with_times();
    heads.on_head(lower(5), NOW);
    said(&mut heads, NOW);
    heads.on_filled(Ask::Latest, lower(5), NOW);
    assert_eq!(said(&mut heads, NOW), "?12a");
    heads.on_filled(Ask::Hash(plain(12).hash), at(12, plain(12)), NOW);
    assert_eq!(said(&mut heads, NOW), "=5n");
    heads.on_opinions(5, lower(5).hash, Opinions { is_own: true, ..DENIED }, NOW);
    assert_eq!(said(&mut heads, NOW), "forsaken");

    // One such head is no new beginning, nor is a provider that is behind: it is asked again, for as long as a hole may last.
    let mut heads = begun_with_times();
    heads.on_head(lower(5), NOW);
    heads.on_head(at(13, plain(13)), NOW);
    assert_eq!((said(&mut heads, NOW), heads.wake_at()), ("13a".into(), Instant::NEVER));
    heads.on_head(at(8, plain(8)), NOW);
    for second in 0..30 {
        let now = NOW.plus_ms(second * 1_000);
        assert_eq!(said(&mut heads, now), "?", "after {second} s");
        heads.on_filled(Ask::Latest, at(8, plain(8)), now);
    }
    let mut late = heads.clone();
    assert!(said(&mut late, NOW.plus_ms(30_000)).starts_with("missing blocks did not come"));
    heads.on_head(at(10, plain(10)), NOW);
    assert_eq!((said(&mut heads, NOW), heads.wake_at()), (String::new(), Instant::NEVER));
}

#[path = "continuity_witness_tests.rs"]
mod witness;
