//! What one provider says alone: heads that lead nowhere, which somebody else must have too.

use super::*;
use crate::base::limits::FORK_LOOK_MS;

/// Every question so far fails, and those that follow from it.
fn fail_all(heads: &mut Heads, ask: Ask, says: &str) -> Instant {
    let mut now = NOW;
    for _ in 0..FILL_TRIES {
        assert_eq!(said(heads, now), says);
        heads.on_fill_failed(ask, now);
        now = now.plus_ms(FILL_RETRY_MS);
    }
    now
}

#[test]
fn a_head_whose_parent_nobody_has_is_asked_of_somebody_else() {
    let strange = head(11, b's', b'x');
    let parent = Ask::Hash(head(10, b'x', b'x').hash);
    let alone = || {
        let mut heads = begun();
        heads.on_head(strange.clone(), NOW);
        let now = fail_all(&mut heads, parent, "?10x");
        assert_eq!(said(&mut heads, now), "!11s");
        (heads, now)
    };
    // Nobody has it either: whoever leads next tells what comes after the last one.
    let (mut heads, now) = alone();
    (0..FILL_TRIES).for_each(|n| {
        let now = now.plus_ms(u64::from(n) * FILL_RETRY_MS);
        said(&mut heads, now);
        heads.on_fill_failed(Ask::Witness(strange.hash), now);
    });
    assert_eq!(said(&mut heads, now), "forsaken");
    heads.on_lost(now);
    heads.on_confirmed(now);
    assert_eq!(said(&mut heads, now), "?");
    heads.on_filled(Ask::Latest, plain(11), now);
    assert_eq!((said(&mut heads, now), heads.wake_at()), ("11a".into(), Instant::NEVER));
    // Somebody has: its parent is awaited as long as a hole may last.
    let (mut heads, now) = alone();
    heads.on_filled(Ask::Witness(strange.hash), strange.clone(), now);
    assert_eq!(said(&mut heads, now), "?10x");
    assert!(said(&mut heads, NOW.plus_ms(30_000)).starts_with("missing blocks did not come"));
    // The next one, which links, is told whatever is asked.
    let (mut heads, now) = alone();
    heads.on_head(plain(11), now);
    assert_eq!((said(&mut heads, now), heads.wake_at()), ("11a".into(), Instant::NEVER));
}

#[test]
fn what_nobody_confirms_costs_its_announcer_the_lead_and_ends_nothing() {
    let mut heads = begun();
    heads.on_head(head(500, b'f', b'f'), NOW);
    let mut now = NOW;
    for _ in 0..FILL_TRIES {
        assert_eq!(said(&mut heads, now), "!244f");
        heads.on_fill_failed(Ask::Witness(head(500, b'f', b'f').hash), now);
        now = now.plus_ms(FILL_RETRY_MS);
    }
    assert_eq!(said(&mut heads, now), "forsaken");
    heads.on_lost(now);
    heads.on_confirmed(now);
    assert_eq!(said(&mut heads, now), "?");
    heads.on_filled(Ask::Latest, plain(11), now);
    assert_eq!((said(&mut heads, now), heads.wake_at()), ("11a".into(), Instant::NEVER));
}

/// Else its next head ends the doubt about the last one, block after block.
#[test]
fn whoever_announces_one_unknown_head_after_another_is_forsaken_at_the_second() {
    let lone = |number: u64, branch: u8| head(number, branch, branch - 1);
    let mut heads = begun();
    heads.on_head(lone(11, b's'), NOW);
    let now = fail_all(&mut heads, Ask::Hash(head(10, b'r', b'r').hash), "?10r");
    assert_eq!(said(&mut heads, now), "!11s");
    heads.on_head(lone(11, b'u'), now);
    for n in 0..FILL_TRIES {
        let later = now.plus_ms(u64::from(n) * FILL_RETRY_MS);
        assert_eq!(said(&mut heads, later), "?10t", "{n}");
        heads.on_fill_failed(Ask::Hash(head(10, b't', b't').hash), later);
    }
    assert_eq!(said(&mut heads, now.plus_ms(u64::from(FILL_TRIES) * FILL_RETRY_MS)), "forsaken");
}

/// Blocks up to this number, told one by one; what is asked meanwhile.
fn told_to(heads: &mut Heads, blocks: std::ops::RangeInclusive<u64>, now: Instant) -> String {
    let mut asked = Vec::new();
    for number in blocks {
        heads.on_head(plain(number), now);
        let said = said(heads, now);
        let rest = said.strip_prefix(&format!("{number}a"));
        assert!(rest.is_some(), "{number} was not told: {said}");
        asked.extend(rest.map(|rest| rest.trim().to_owned()).filter(|rest| !rest.is_empty()));
    }
    asked.join(" ")
}

#[test]
fn a_chain_that_two_others_deny_is_left() {
    let compared = || {
        let mut heads = begun();
        assert_eq!(told_to(&mut heads, 11..=13, NOW), "");
        assert_eq!(told_to(&mut heads, 14..=14, NOW), "=12a", "a little below the newest");
        assert_eq!(told_to(&mut heads, 15..=20, NOW), "", "one at a time");
        heads
    };
    let outcome = |opinions: Opinions| {
        let mut heads = compared();
        heads.on_opinions(12, plain(12).hash, opinions, NOW);
        said(&mut heads, NOW)
    };
    assert_eq!(outcome(Opinions { is_shared: false, denials: 2, is_own: true }), "deposed");
    assert_eq!(outcome(Opinions { is_shared: false, denials: 2, is_own: false }), "deposed");
    // One word against another; nobody has any; somebody has it.
    assert_eq!(outcome(Opinions { is_own: true, ..DENIED }), "");
    assert_eq!((outcome(Opinions::default()), outcome(SHARED)), (String::new(), String::new()));
    // What was replaced meanwhile is nobody's any more.
    let mut heads = compared();
    heads.on_head(head(12, b'b', b'a'), NOW);
    assert_eq!(said(&mut heads, NOW), "12b");
    heads.on_opinions(12, plain(12).hash, Opinions { is_shared: false, denials: 2, is_own: true }, NOW);
    assert_eq!(said(&mut heads, NOW), "");
}

#[test]
fn what_another_feed_announces_is_not_asked_about() {
    let mut heads = begun();
    let mut now = NOW;
    for number in 11..=40 {
        now = now.plus_ms(FORK_LOOK_MS);
        if number % 3 == 0 {
            heads.on_other(&plain(number - 8));
            // Another chain's, and a branch of its own.
            heads.on_other(&plain(9_000 + number));
            heads.on_other(&head(number, b'x', b'x'));
        }
        let asked = told_to(&mut heads, number..=number, now);
        assert_eq!(asked, if number == 14 { format!("={}a", number - 2) } else { String::new() }, "it is late");
        heads.on_opinions(number - 2, plain(number - 2).hash, SHARED, now);
    }
    // It falls silent: a comparison each few blocks, and not more often than the clock allows.
    now = now.plus_ms(FORK_LOOK_MS);
    assert_eq!(told_to(&mut heads, 41..=50, now), "", "it has said something since the last look");
    now = now.plus_ms(FORK_LOOK_MS);
    assert_eq!(told_to(&mut heads, 51..=60, now), "=49a");
    heads.on_opinions(49, plain(49).hash, SHARED, now);
    assert_eq!(told_to(&mut heads, 61..=70, now), "");
    assert_eq!(told_to(&mut heads, 71..=71, now.plus_ms(FORK_LOOK_MS)), "=69a");
}
