//! What the model's stories (`continuity_tests.rs`) do not reach: who is believed, and the bounds.

use super::*;
use crate::stream::event::Bloom;

const RULES: Rules = Rules { max_backfill_blocks: 10, backfill_timeout_ms: 30_000, bug: None };
const NOW: Instant = Instant(1_000_000_000);

fn hash(number: u64, branch: u8) -> BlockHash {
    let mut hash = [branch; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    BlockHash(hash)
}

/// A head of branch `branch` upon branch `parent`, whose bloom has everything or nothing in it.
fn head(number: u64, branch: u8, parent: u8, bloom: u8) -> Head {
    let bloom: Bloom = [bloom; 256];
    let (hash, parent) = (hash(number, branch), hash(number - 1, parent));
    Head { number, hash, parent, bloom: Some(bloom.into()), fetched: false, payload: (*b"{}").into() }
}

fn full(number: u64) -> Head {
    head(number, b'a', b'a', 0xff)
}

fn empty(number: u64) -> Head {
    head(number, b'a', b'a', 0)
}

/// Removed or not; `size` bytes longer than the shortest.
fn log(number: u64, branch: u8, index: u64, removed: bool, size: usize) -> Log {
    let text = format!(
        "{{\"blockNumber\":\"{number:#x}\",\"logIndex\":\"{index:#x}\",\"address\":\"0x{}\",\"topics\":[],\"blockHash\":\"{:?}\",\"data\":\"{}\",\"removed\":{removed}}}",
        "07".repeat(20),
        hash(number, branch),
        "f".repeat(size)
    );
    Log::parse(text.as_bytes()).expect("a log")
}

fn plain(number: u64, index: u64) -> Log {
    log(number, b'a', index, false, 0)
}

/// Everything there is to say now: `+11a0`, `-11a0`, `?11a`, or the end.
fn said(logs: &mut Logs, now: Instant) -> String {
    let mut said = Vec::new();
    while let Some(action) = logs.next(now) {
        match action {
            Action::Emit(payload) => {
                let log = Log::parse(&payload).expect("a log");
                let sign = if log.removed { '-' } else { '+' };
                said.push(format!("{sign}{}{}{}", log.number, char::from(log.block.0[31]), log.index));
            }
            Action::Fetch(hash) => said.push(format!("?{}{}", hash.0[7], char::from(hash.0[31]))),
            Action::Close(reason) => {
                said.push(reason.text());
                break;
            }
        }
    }
    said.join(" ")
}

fn begun() -> Logs {
    Logs { hearing: Hearing::Whole, ..Logs::new(LogFilter::default(), RULES) }
}

#[test]
fn a_block_is_complete_by_bloom_or_logs_or_an_answer() {
    let mut logs = begun();
    logs.on_head(&empty(11), NOW);
    logs.on_head(&full(12), NOW);
    logs.on_log(plain(13, 0), NOW);
    assert_eq!(said(&mut logs, NOW), "?12a", "a later log has come, and none of its own");
    logs.on_head(&full(13), NOW);
    assert_eq!(said(&mut logs, NOW), "", "what is above waits");
    logs.on_filled(hash(12, b'a'), vec![plain(12, 1), plain(12, 0)], NOW);
    assert_eq!(said(&mut logs, NOW), "+12a0 +12a1 +13a0");
    assert_eq!(logs.wake_at(), NOW.plus_ms(LOGS_WAIT_MS));
    let late = NOW.plus_ms(LOGS_WAIT_MS - 1);
    logs.on_log(plain(13, 1), late);
    assert_eq!((said(&mut logs, late), logs.wake_at()), ("+13a1".into(), late.plus_ms(LOGS_QUIET_MS)));
    let later = late.plus_ms(LOGS_QUIET_MS);
    assert_eq!((said(&mut logs, later), logs.wake_at()), (String::new(), Instant::NEVER));
    logs.on_head(&full(14), later);
    let due = later.plus_ms(LOGS_WAIT_MS);
    assert_eq!((said(&mut logs, later), logs.wake_at()), (String::new(), due));
    assert_eq!(said(&mut logs, due), "?14a");
}

#[test]
fn only_heads_say_what_is_canonical() {
    let mut logs = begun();
    let mut step = |run: &dyn Fn(&mut Logs), want: &str| {
        run(&mut logs);
        assert_eq!(said(&mut logs, NOW), want);
    };
    step(&|logs| logs.on_log(plain(11, 0), NOW), "");
    step(&|logs| logs.on_log(log(11, b'a', 0, true, 0), NOW), "");
    step(&|logs| logs.on_head(&full(11), NOW), "+11a0");
    step(&|logs| logs.on_log(plain(11, 0), NOW), "");
    step(&|logs| logs.on_log(log(11, b'a', 0, true, 0), NOW), "");
    step(&|logs| logs.on_log(plain(11, 2), NOW), "+11a2");
    step(&|logs| logs.on_log(log(12, b'b', 0, false, 0), NOW), "");
    step(&|logs| logs.on_head(&head(11, b'b', b'a', 0xff), NOW), "-11a2 -11a0");
    step(&|logs| logs.on_log(log(12, b'b', 1, false, 0), NOW), "?11b");
    step(&|logs| logs.on_filled(hash(11, b'b'), vec![log(11, b'b', 0, true, 0)], NOW), "+11b0");
    step(&|logs| logs.on_head(&full(11), NOW), "-11b0 +11a0 +11a2");
    step(&|logs| logs.on_lost(NOW), "?11a");
    step(&|logs| logs.on_filled(hash(11, b'a'), vec![plain(11, 0), plain(11, 3)], NOW), "+11a3");
}

/// It is taken back and comes again with what was known of it, but not if some of that was in doubt.
#[test]
fn a_block_that_returns_is_no_smaller_than_it_was() {
    let check = |before: &dyn Fn(&mut Logs), want: &str| {
        let mut logs = begun();
        logs.on_head(&full(11), NOW);
        before(&mut logs);
        said(&mut logs, NOW);
        logs.on_head(&head(11, b'b', b'a', 0), NOW);
        said(&mut logs, NOW);
        logs.on_head(&full(11), NOW);
        assert_eq!(said(&mut logs, NOW), want);
    };
    check(&|_| {}, "");
    check(&|logs| logs.on_log(plain(11, 0), NOW), "+11a0");
    check(&|logs| logs.on_lost(NOW), "?11a");
    let partial = |logs: &mut Logs| {
        logs.on_log(plain(11, 0), NOW);
        logs.on_lost(NOW);
    };
    check(&partial, "?11a");
}

#[test]
fn what_came_waits_for_what_is_asked_for() {
    let mut logs = begun();
    logs.on_head(&full(11), NOW);
    logs.on_log(plain(11, 0), NOW);
    logs.on_lost(NOW);
    logs.on_log(plain(11, 2), NOW);
    assert_eq!(said(&mut logs, NOW), "+11a0 ?11a");
    logs.on_filled(hash(11, b'a'), vec![plain(11, 0), plain(11, 1), plain(11, 2)], NOW);
    assert_eq!(said(&mut logs, NOW), "+11a1 +11a2");
}

#[test]
fn what_may_have_been_lost_is_asked_for() {
    let mut logs = begun();
    logs.on_head(&full(11), NOW);
    logs.on_log(plain(11, 0), NOW);
    logs.on_log(plain(12, 0), NOW);
    logs.on_head(&full(12), NOW);
    logs.on_log(plain(13, 0), NOW);
    assert_eq!(said(&mut logs, NOW), "+11a0 +12a0");
    // The head of 13 comes after the loss: one log of it was there, perhaps there were more.
    logs.on_lost(NOW);
    logs.on_head(&full(13), NOW);
    logs.on_head(&Head { fetched: true, ..full(14) }, NOW);
    logs.on_head(&full(15), NOW);
    assert_eq!(said(&mut logs, NOW), "?13a ?14a ?15a");
    logs.on_fill_failed(hash(14, b'a'), NOW);
    logs.on_filled(hash(13, b'a'), vec![plain(12, 1)], NOW);
    assert_eq!((said(&mut logs, NOW), logs.wake_at()), (String::new(), NOW.plus_ms(FILL_RETRY_MS)));
    assert_eq!(said(&mut logs, NOW.plus_ms(FILL_RETRY_MS)), "?13a ?14a");
    assert_eq!(said(&mut logs, NOW.plus_ms(30_000)), "missing blocks did not come within 30000 ms (backfill_timeout_ms)");
}

/// The subscription was there before us: block 11 was half told. Found by the simulator (seed 1641).
#[test]
fn a_block_that_may_have_been_half_told_is_asked_for() {
    let mut logs = Logs::new(LogFilter::default(), RULES);
    logs.on_head(&full(11), NOW);
    logs.on_log(plain(11, 1), NOW);
    assert_eq!(said(&mut logs, NOW), "?11a");
    logs.on_filled(hash(11, b'a'), vec![plain(11, 0), plain(11, 1)], NOW);
    assert_eq!(said(&mut logs, NOW), "+11a0 +11a1");
    let later = NOW.plus_ms(1);
    logs.on_head(&full(12), later);
    logs.on_log(plain(12, 0), later);
    assert_eq!(said(&mut logs, later), "+12a0");
    // And after a switch for as long as a block's logs may take.
    logs.on_lost(later);
    logs.on_head(&full(13), later.plus_ms(LOGS_WAIT_MS - 1));
    logs.on_head(&full(14), later.plus_ms(LOGS_WAIT_MS));
    logs.on_head(&full(15), later.plus_ms(LOGS_WAIT_MS + 1));
    logs.on_log(plain(15, 0), later.plus_ms(LOGS_WAIT_MS + 1));
    assert_eq!(said(&mut logs, later.plus_ms(LOGS_WAIT_MS + 1)), "?12a ?13a ?14a");
}

#[test]
fn a_bloom_that_lied_is_not_believed_again() {
    let mut logs = begun();
    logs.on_head(&empty(11), NOW);
    logs.on_log(plain(11, 0), NOW);
    logs.on_head(&empty(12), NOW);
    assert_eq!(said(&mut logs, NOW.plus_ms(LOGS_WAIT_MS)), "+11a0 ?12a");
    let mut logs = begun();
    logs.on_log(plain(11, 0), NOW);
    logs.on_head(&empty(11), NOW);
    logs.on_head(&empty(12), NOW.plus_ms(LOGS_WAIT_MS));
    assert_eq!(said(&mut logs, NOW.plus_ms(2 * LOGS_WAIT_MS)), "+11a0 ?12a");
}

#[test]
fn few_blocks_are_asked_for_at_once() {
    let mut logs = begun();
    (11..=17).for_each(|number| logs.on_head(&Head { fetched: true, ..full(number) }, NOW));
    assert_eq!(said(&mut logs, NOW), "?11a ?12a ?13a ?14a");
    assert_eq!(logs.wake_at(), NOW.plus_ms(30_000));
    logs.on_filled(hash(12, b'a'), vec![plain(12, 0)], NOW);
    assert_eq!(said(&mut logs, NOW), "?15a");
    logs.on_filled(hash(11, b'a'), vec![], NOW);
    assert_eq!(said(&mut logs, NOW), "+12a0 ?16a");
}

#[test]
fn memory_is_bounded() {
    let size = STREAM_LOG_BYTES / 10;
    let big = |number, branch| log(number, branch, 0, false, size);
    // What was emitted is forgotten from the oldest on; a fork below that is the end.
    let check = |fork: u64, want: &str| {
        let mut logs = begun();
        for number in 11..=40 {
            logs.on_head(&full(number), NOW);
            logs.on_log(big(number, b'a'), NOW);
            said(&mut logs, NOW);
            assert!(logs.bytes <= STREAM_LOG_BYTES && logs.blocks.len() <= 10);
        }
        logs.on_head(&head(fork, b'b', b'a', 0), NOW);
        let end = said(&mut logs, NOW);
        assert!(end.ends_with(want), "{fork}: {end}");
    };
    check(40, "-40a0");
    check(33, "-33a0");
    check(30, "the chain was reorganised below the last 256 blocks");
    // Logs without a head are forgotten, and asked for when it comes.
    let mut logs = begun();
    (12..=40).for_each(|number| logs.on_log(big(number, b'a'), NOW));
    assert!(logs.bytes <= STREAM_LOG_BYTES);
    logs.on_head(&empty(11), NOW);
    logs.on_head(&full(12), NOW);
    assert_eq!(said(&mut logs, NOW), "?12a");
    // Logs that wait for a block below cannot be forgotten.
    let mut logs = begun();
    logs.on_head(&full(11), NOW);
    for number in 12..=30 {
        logs.on_head(&full(number), NOW);
        logs.on_log(big(number, b'a'), NOW);
    }
    assert!(said(&mut logs, NOW).ends_with(&Reason::TooManyLogs { bytes: STREAM_LOG_BYTES }.text()));
    // As do blocks.
    let mut logs = begun();
    (11..=300).for_each(|number| logs.on_head(&full(number), NOW));
    assert_eq!(said(&mut logs, NOW), "more than 10 blocks are missing (max_backfill_blocks)");
    // Of what is complete only so many blocks are remembered.
    let mut logs = begun();
    (11..=600).for_each(|number| logs.on_head(&empty(number), NOW));
    assert_eq!(logs.blocks.len(), STREAM_CHAIN_BLOCKS);
}
