//! What the model's stories (`continuity_tests.rs`) do not reach: who is believed, and the bounds.

use super::*;
use crate::stream::filter::bloom_add;

const RULES: Rules = Rules { max_backfill_blocks: 10, backfill_timeout_ms: 30_000, bug: None };
const NOW: Instant = Instant(1_000_000_000);
const A: InstanceId = InstanceId(1);
const B: InstanceId = InstanceId(2);
const ALL: StreamId = StreamId(1);

fn hash(number: u64, branch: u8) -> BlockHash {
    let mut hash = [branch; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    BlockHash(hash)
}

/// Addresses of its logs; those of `items` are in the bloom.
fn bloom_of(items: &[u8]) -> Bloom {
    let mut bloom = [0; 256];
    items.iter().for_each(|item| bloom_add(&mut bloom, &[*item; 20]));
    bloom
}

/// A head of branch `branch` upon branch `parent`.
fn head(number: u64, branch: u8, parent: u8, bloom: Bloom) -> Head {
    let (hash, parent) = (hash(number, branch), hash(number - 1, parent));
    Head {
        number,
        hash,
        parent,
        bloom: Some(bloom.into()),
        gas_used: Some(0),
        timestamp_s: None,
        fetched: false,
        payload: (*b"{}").into(),
    }
}

/// Its block has logs of address 7.
fn full(number: u64) -> Head {
    head(number, b'a', b'a', bloom_of(&[7]))
}

fn empty(number: u64) -> Head {
    head(number, b'a', b'a', bloom_of(&[]))
}

/// Its address is 7; it is `size` bytes longer than the shortest.
fn log(number: u64, branch: u8, index: u64, size: usize) -> Log {
    let text = format!(
        "{{\"blockNumber\":\"{number:#x}\",\"logIndex\":\"{index:#x}\",\"address\":\"0x{}\",\"topics\":[],\"blockHash\":\"{:?}\",\"data\":\"{}\",\"removed\":false}}",
        "07".repeat(20),
        hash(number, branch),
        "f".repeat(size)
    );
    Log::parse(text.as_bytes()).expect("a log")
}

fn plain(number: u64, count: u64) -> Vec<Log> {
    (0..count).map(|index| log(number, b'a', index, 0)).collect()
}

fn of_seven() -> LogFilter {
    LogFilter::parse(&serde_json::json!({"address": format!("0x{}", "07".repeat(20))})).expect("a filter")
}

/// Everything there is to say now: `+11a0`, `-11a0`, `?11a` (`?11a!1` when 1 has answered), or the end.
fn said(logs: &mut Logs, now: Instant) -> String {
    let mut said = Vec::new();
    while let Some(action) = logs.next(now) {
        match action {
            Action::Emit(to, payload, _) => {
                let log = Log::parse(&payload).expect("a log");
                let sign = if log.removed { '-' } else { '+' };
                let whom =
                    if to == [ALL] { String::new() } else { format!("{:?}", to.iter().map(|of| of.0).collect::<Vec<_>>()) };
                said.push(format!("{sign}{}{}{}{whom}", log.number, char::from(log.block.0[31]), log.index));
            }
            Action::Ask(question) => {
                let heard: String = question.heard.iter().map(|by| format!("!{}", by.0)).collect();
                let again = if question.may_repeat { "*" } else { "" };
                said.push(format!("?{}{}{heard}{again}", question.number, char::from(question.block.0[31])));
            }
            Action::PastLost => said.push("past lost".into()),
            Action::Close(reason) => {
                said.push(reason.text());
                break;
            }
        }
    }
    said.join(" ")
}

/// One subscriber to everything, on a chain whose blooms have been seen.
fn begun() -> Logs {
    let mut logs = Logs::new(RULES);
    logs.open(ALL, &LogFilter::default());
    logs.on_head(&full(10), NOW);
    assert_eq!(said(&mut logs, NOW), "?10a");
    logs.on_answer(hash(10, b'a'), A, plain(10, 1), NOW);
    assert_eq!(said(&mut logs, NOW), "+10a0");
    logs
}

#[test]
fn a_block_is_told_when_its_answer_is_whole_and_in_order() {
    let mut logs = begun();
    logs.on_head(&empty(11), NOW);
    logs.on_head(&full(12), NOW);
    logs.on_head(&full(13), NOW);
    assert_eq!(said(&mut logs, NOW), "?12a ?13a", "what the bloom excludes is not asked for");
    logs.on_answer(hash(13, b'a'), A, plain(13, 2), NOW);
    assert_eq!(said(&mut logs, NOW), "", "what is above waits");
    let mut turned = plain(12, 2);
    turned.reverse();
    logs.on_answer(hash(12, b'a'), A, turned, NOW);
    assert_eq!(said(&mut logs, NOW), "+12a0 +12a1 +13a0 +13a1");
    assert_eq!(logs.wake_at(), Instant::NEVER);
}

#[test]
fn what_the_bloom_contradicts_is_asked_of_another_one() {
    let mut logs = begun();
    let both = head(11, b'a', b'a', bloom_of(&[7, 9]));
    logs.on_head(&both, NOW);
    assert_eq!(said(&mut logs, NOW), "?11a");
    // It lacks a log of address 9.
    logs.on_answer(hash(11, b'a'), A, plain(11, 1), NOW);
    assert_eq!(said(&mut logs, NOW), "?11a!1");
    logs.on_answer(hash(11, b'a'), B, vec![], NOW);
    let later = NOW.plus_ms(FILL_RETRY_MS);
    assert_eq!((said(&mut logs, NOW), logs.wake_at()), (String::new(), later));
    assert_eq!(said(&mut logs, later), "?11a!1!2");
    // Whoever has answered may be asked once more, when there is nobody else.
    logs.on_nobody_else(hash(11, b'a'), false, later);
    let again = NOW.plus_ms(LOGS_AGAIN_MS);
    assert_eq!((said(&mut logs, later), logs.wake_at()), (String::new(), again));
    assert_eq!(said(&mut logs, again), "?11a!1!2*");
    let whole = vec![log(11, b'a', 0, 0), nine(11, 1)];
    logs.on_answer(hash(11, b'a'), A, whole, again);
    assert_eq!(said(&mut logs, again), "+11a0 +11a1");
}

fn nine(number: u64, index: u64) -> Log {
    let text = log(number, b'a', index, 0);
    let text = String::from_utf8_lossy(&text.payload).replace(&"07".repeat(20), &"09".repeat(20));
    Log::parse(text.as_bytes()).expect("a log")
}

/// Two say the same against the bloom of this block whenever they are asked; when they are believed.
fn insisted(logs: &mut Logs, block: &Head, since: Instant) -> Instant {
    logs.on_head(block, since);
    let (mut now, mut by) = (since, A);
    while !logs.has_more() {
        assert!(said(logs, now).starts_with('?'));
        logs.on_answer(block.hash, by, plain(block.number, 1), now);
        by = if by == A { B } else { A };
        now = if logs.has_more() { now } else { now.max(logs.wake_at()) };
    }
    assert_eq!(said(logs, now), format!("+{}a0", block.number));
    now
}

/// A chain whose blooms have bits too many is believed in the end, and not doubted for ever. Where blooms have fitted, a block
/// without its logs says nothing of the next one.
#[test]
fn what_two_say_for_long_is_how_the_chain_is() {
    let both = |number| head(number, b'a', b'a', bloom_of(&[7, 9]));
    let mut logs = Logs::new(RULES);
    logs.open(ALL, &LogFilter::default());
    let now = insisted(&mut logs, &both(11), NOW);
    assert_eq!(now, NOW.plus_ms(LOGS_DOUBT_MS));
    assert_eq!(insisted(&mut logs, &both(12), now), now, "the first is believed");
    let mut logs = begun();
    let now = insisted(&mut logs, &both(11), NOW);
    assert_eq!(insisted(&mut logs, &both(12), now), now.plus_ms(LOGS_DOUBT_MS));
}

fn of_address(byte: u8, number: u64, index: u64) -> Log {
    let text = format!(
        "{{\"blockNumber\":\"{number:#x}\",\"logIndex\":\"{index:#x}\",\"address\":\"0x{}\",\"topics\":[],\"blockHash\":\"{:?}\"}}",
        format!("{byte:02x}").repeat(20),
        hash(number, b'a'),
    );
    Log::parse(text.as_bytes()).expect("a log")
}

/// Two filters are let through by the bloom, and one has no log in the answer: all of the block's logs settle it.
#[test]
fn an_answer_for_one_filter_of_two_is_doubted() {
    let filter = |byte: u8| LogFilter::parse(&serde_json::json!({"address": format!("0x{}", format!("{byte:02x}").repeat(20))}));
    let mut logs = Logs::new(RULES);
    logs.open(ALL, &of_seven());
    logs.open(StreamId(2), &filter(9).expect("a filter"));
    logs.on_head(&head(11, b'a', b'a', bloom_of(&[7, 9, 3])), NOW);
    assert_eq!(said(&mut logs, NOW), "?11a");
    let whole = [of_address(7, 11, 0), of_address(3, 11, 1), of_address(9, 11, 2)];
    logs.on_answer(hash(11, b'a'), A, whole[..1].to_vec(), NOW);
    assert!(matches!(logs.next(NOW), Some(Action::Ask(question)) if question.filter.is_everything() && question.heard == [A]));
    logs.on_answer(hash(11, b'a'), B, whole.to_vec(), NOW);
    assert_eq!(said(&mut logs, NOW), "+11a0 +11a2[2]");
}

/// A log that the bloom excludes is told once somebody else has it too, or, where nobody says otherwise, after a while.
#[test]
fn what_the_bloom_excludes_needs_a_second_word() {
    let invented = || vec![of_address(7, 11, 0), of_address(5, 11, 1)];
    let asked = || {
        let mut logs = begun();
        logs.on_head(&full(11), NOW);
        assert_eq!(said(&mut logs, NOW), "?11a");
        logs.on_answer(hash(11, b'a'), A, invented(), NOW);
        assert_eq!(said(&mut logs, NOW), "?11a!1");
        logs
    };
    let mut logs = asked();
    logs.on_answer(hash(11, b'a'), B, invented()[..1].to_vec(), NOW);
    assert_eq!(said(&mut logs, NOW), "+11a0");
    logs.on_head(&empty(12), NOW);
    assert_eq!(said(&mut logs, NOW), "", "a bloom without bits excludes still");
    let mut logs = asked();
    logs.on_answer(hash(11, b'a'), B, invented(), NOW);
    assert_eq!(said(&mut logs, NOW), "+11a0 +11a1");
    logs.on_head(&empty(12), NOW);
    assert_eq!(said(&mut logs, NOW), "?12a", "blooms of this chain exclude nothing");
    let mut logs = asked();
    let mut now = NOW;
    while !logs.has_more() {
        logs.on_nobody_else(hash(11, b'a'), false, now);
        now = logs.wake_at();
        assert!(said(&mut logs, now).starts_with("?11a"));
        logs.on_answer(hash(11, b'a'), A, invented(), now);
    }
    assert!(now >= NOW.plus_ms(LOGS_DOUBT_MS) && now <= NOW.plus_ms(LOGS_DOUBT_MS + 2 * LOGS_AGAIN_MS), "{now:?}");
    assert_eq!(said(&mut logs, now), "+11a0 +11a1");
}

/// Says the same whenever it is asked, for so long; whether that was believed.
fn insists(by: &[InstanceId], is_only: bool, for_ms: u64) -> bool {
    let mut logs = begun();
    logs.on_head(&head(11, b'a', b'a', bloom_of(&[7, 9])), NOW);
    let (mut now, mut asked) = (NOW, 0);
    while now < NOW.plus_ms(for_ms) {
        let question = said(&mut logs, now);
        if question.ends_with('*') || (!question.is_empty() && asked < by.len()) {
            logs.on_answer(hash(11, b'a'), by[asked % by.len()], plain(11, 1), now);
            asked += 1;
        } else if !question.is_empty() {
            logs.on_nobody_else(hash(11, b'a'), is_only, now);
        }
        if logs.has_more() {
            return true;
        }
        now = now.plus_ms(LOGS_AGAIN_MS);
    }
    false
}

#[test]
fn against_the_bloom_one_provider_is_believed_only_where_it_is_the_only_one() {
    let long_ms = 3 * LOGS_DOUBT_MS;
    assert!(insists(&[A], true, long_ms));
    assert!(!insists(&[A], false, long_ms), "another one may come back");
    assert!(insists(&[A, B], false, long_ms));
    assert!(!insists(&[A, B], false, LOGS_DOUBT_MS), "too early");
}

#[test]
fn an_empty_answer_needs_a_second_one() {
    let mut logs = Logs::new(RULES);
    logs.open(ALL, &of_seven());
    logs.on_head(&head(11, b'a', b'a', [0xff; 256]), NOW);
    assert_eq!(said(&mut logs, NOW), "?11a");
    logs.on_answer(hash(11, b'a'), A, vec![], NOW);
    assert_eq!(said(&mut logs, NOW), "?11a!1");
    logs.on_answer(hash(11, b'a'), B, vec![], NOW);
    assert_eq!((said(&mut logs, NOW), logs.wake_at()), (String::new(), Instant::NEVER), "a full bloom lets anything through");
    // The only provider is asked twice, a while apart.
    logs.on_head(&head(12, b'a', b'a', [0xff; 256]), NOW);
    assert_eq!(said(&mut logs, NOW), "?12a");
    logs.on_answer(hash(12, b'a'), A, vec![], NOW);
    assert_eq!(said(&mut logs, NOW), "?12a!1");
    logs.on_nobody_else(hash(12, b'a'), true, NOW);
    let again = NOW.plus_ms(LOGS_AGAIN_MS);
    assert_eq!(said(&mut logs, again), "?12a!1*");
    logs.on_answer(hash(12, b'a'), A, plain(12, 1), again);
    assert_eq!(said(&mut logs, again), "+12a0", "it had not got it yet");
    // A bloom that tells is believed more than two that have nothing.
    logs.on_head(&full(13), again);
    for (by, want) in [(A, "?13a"), (B, "?13a!1*")] {
        assert_eq!(said(&mut logs, again), want);
        logs.on_answer(hash(13, b'a'), by, vec![], again);
    }
    assert_eq!(logs.wake_at(), again.plus_ms(FILL_RETRY_MS));
}

#[test]
fn only_heads_say_what_is_canonical() {
    let mut logs = begun();
    let mut step = |run: &dyn Fn(&mut Logs), want: &str| {
        run(&mut logs);
        assert_eq!(said(&mut logs, NOW), want);
    };
    let other = |number| head(number, b'b', b'a', bloom_of(&[7]));
    step(&|logs| logs.on_head(&full(11), NOW), "?11a");
    step(&|logs| logs.on_answer(hash(11, b'a'), A, plain(11, 2), NOW), "+11a0 +11a1");
    step(&|logs| logs.on_head(&other(11), NOW), "-11a1 -11a0 ?11b");
    step(&|logs| logs.on_answer(hash(11, b'a'), A, plain(11, 2), NOW), "");
    step(&|logs| logs.on_answer(hash(11, b'b'), A, vec![log(11, b'b', 0, 0)], NOW), "+11b0");
    // What was not told is not taken back.
    step(&|logs| logs.on_head(&head(12, b'b', b'b', bloom_of(&[7])), NOW), "?12b");
    step(&|logs| logs.on_head(&full(11), NOW), "-11b0 ?11a");
    step(&|logs| logs.on_answer(hash(12, b'b'), A, vec![log(12, b'b', 0, 0)], NOW), "");
    step(&|logs| logs.on_answer(hash(11, b'a'), A, plain(11, 1), NOW), "+11a0");
    // Numbers need only grow.
    let far = Head { parent: hash(11, b'a'), ..full(15) };
    step(&|logs| logs.on_head(&far, NOW), "?15a");
}

#[test]
fn an_answer_that_does_not_fit_its_block_is_none() {
    let check = |answer: Vec<Log>| {
        let mut logs = begun();
        logs.on_head(&full(11), NOW);
        said(&mut logs, NOW);
        logs.on_answer(hash(11, b'a'), A, answer, NOW);
        assert_eq!((said(&mut logs, NOW), logs.wake_at()), (String::new(), NOW.plus_ms(FILL_RETRY_MS)));
    };
    check(vec![log(12, b'a', 0, 0)]);
    check(vec![log(11, b'a', 0, 0), log(11, b'b', 1, 0)]);
    check(vec![log(11, b'a', 0, 0), log(11, b'a', 0, 0)]);
}

/// Whoever comes later is owed nothing of what was canonical before, nor is anything of it taken back from them.
#[test]
fn subscribers_are_owed_what_came_after_them() {
    let mut logs = begun();
    logs.on_head(&full(11), NOW);
    assert_eq!(said(&mut logs, NOW), "?11a");
    logs.open(StreamId(2), &of_seven());
    logs.on_answer(hash(11, b'a'), A, plain(11, 1), NOW);
    assert_eq!(said(&mut logs, NOW), "+11a0");
    logs.on_head(&full(12), NOW);
    said(&mut logs, NOW);
    logs.on_answer(hash(12, b'a'), A, plain(12, 1), NOW);
    assert_eq!(said(&mut logs, NOW), "+12a0[2, 1]");
    logs.close(ALL);
    logs.on_head(&head(11, b'b', b'a', bloom_of(&[])), NOW);
    assert_eq!(said(&mut logs, NOW), "-12a0[2]");
}

#[test]
fn the_deadline_is_the_blocks_own() {
    let mut logs = begun();
    logs.on_head(&full(11), NOW);
    let mut now = NOW;
    let mut number = 12;
    loop {
        let text = said(&mut logs, now);
        if text.contains("missing blocks did not come within 30000 ms") {
            break;
        }
        // Heads go on, each with its answer; for the first there is never one.
        logs.on_failed(hash(11, b'a'), now);
        now = now.plus_ms(4_000);
        logs.on_head(&full(number), now);
        said(&mut logs, now);
        logs.on_answer(hash(number, b'a'), A, plain(number, 1), now);
        number += 1;
        assert!(now < NOW.plus_ms(40_000), "silence");
    }
    assert!(now >= NOW.plus_ms(30_000));
}

#[test]
fn few_blocks_are_asked_for_at_once() {
    let mut logs = begun();
    (11..=17).for_each(|number| logs.on_head(&full(number), NOW));
    assert_eq!(said(&mut logs, NOW), "?11a ?12a ?13a ?14a");
    assert_eq!(logs.wake_at(), NOW.plus_ms(30_000));
    logs.on_answer(hash(12, b'a'), A, plain(12, 1), NOW);
    assert_eq!(said(&mut logs, NOW), "?15a");
    // What is not told yet is bounded too.
    let large: Vec<Log> = vec![log(14, b'a', 0, LOGS_AHEAD_BYTES)];
    logs.on_answer(hash(14, b'a'), A, large, NOW);
    assert_eq!(said(&mut logs, NOW), "");
    logs.on_answer(hash(11, b'a'), A, plain(11, 1), NOW);
    assert_eq!(said(&mut logs, NOW), "+11a0 +12a0");
    logs.on_answer(hash(13, b'a'), A, plain(13, 1), NOW);
    assert_eq!(said(&mut logs, NOW), "+13a0 +14a0 ?16a ?17a");
}

#[test]
fn what_is_kept_is_bounded_over_all() {
    let told = |branch: u8, size: usize| {
        let mut logs = Logs::new(RULES);
        logs.open(ALL, &LogFilter::default());
        for number in 11..=30 {
            logs.on_head(&head(number, branch, branch, bloom_of(&[7])), NOW);
            said(&mut logs, NOW);
            logs.on_answer(hash(number, branch), A, vec![log(number, branch, 0, size)], NOW);
            said(&mut logs, NOW);
        }
        logs
    };
    let (mut one, mut other) = (told(b'a', STREAM_LOG_BYTES / 20), told(b'b', STREAM_LOG_BYTES / 40));
    share([&mut one, &mut other].into_iter());
    assert!(one.bytes + other.bytes <= STREAM_LOG_BYTES && other.blocks.len() >= 19, "{} {}", one.bytes, other.bytes);
    // A fork below what is kept is the end.
    one.on_head(&head(12, b'c', b'a', bloom_of(&[])), NOW);
    assert!(said(&mut one, NOW).ends_with("the chain was reorganised below the last 256 blocks"));
    other.on_head(&head(12, b'c', b'b', bloom_of(&[])), NOW);
    assert!(said(&mut other, NOW).ends_with("-12b0"));
    // As do blocks that wait.
    let mut logs = begun();
    (11..=300).for_each(|number| logs.on_head(&full(number), NOW));
    assert_eq!(said(&mut logs, NOW), "more than 10 blocks are missing (max_backfill_blocks)");
    // Only so many told blocks are remembered; below those that had nothing to tell a fork is no harm.
    let mut logs = Logs::new(RULES);
    logs.open(ALL, &of_seven());
    (11..=600).for_each(|number| logs.on_head(&head(number, b'a', b'a', bloom_of(&[9])), NOW));
    assert_eq!(logs.blocks.len(), STREAM_CHAIN_BLOCKS);
    logs.on_head(&head(20, b'c', b'x', bloom_of(&[7])), NOW);
    assert_eq!(said(&mut logs, NOW), "?20c");
}

/// Two nodes that are a moment behind say nothing of a new block, and a bloom that is half full lets many filters through.
#[test]
fn the_second_question_about_an_empty_answer_is_for_everything_where_the_bloom_proves_it() {
    let mut logs = Logs::new(RULES);
    logs.open(ALL, &of_seven());
    let mut bloom = [0xff; 256];
    bloom[..8].fill(0);
    logs.on_head(&head(11, b'a', b'a', bloom), NOW);
    let ask = |logs: &mut Logs| match logs.next(NOW) {
        Some(Action::Ask(question)) => question.filter.is_everything(),
        other => panic!("{other:?}"),
    };
    assert!(!ask(&mut logs));
    logs.on_answer(hash(11, b'a'), A, vec![], NOW);
    assert!(ask(&mut logs));
    logs.on_answer(hash(11, b'a'), B, vec![], NOW);
    assert!(!logs.has_more(), "the bloom says that there are some");
    assert_eq!(logs.wake_at(), NOW.plus_ms(FILL_RETRY_MS));
}

/// A block went while it was asked about, others subscribed, and it came back: what was asked before says nothing of theirs.
#[test]
fn an_answer_to_a_question_of_an_earlier_life_is_none() {
    let mut logs = begun();
    logs.on_head(&full(11), NOW);
    assert_eq!(said(&mut logs, NOW), "?11a");
    logs.on_head(&head(11, b'b', b'a', bloom_of(&[7])), NOW);
    assert_eq!(said(&mut logs, NOW), "?11b");
    logs.on_head(&full(11), NOW);
    assert_eq!((said(&mut logs, NOW), logs.wake_at()), (String::new(), NOW.plus_ms(RULES.backfill_timeout_ms)));
    logs.on_answer(hash(11, b'a'), A, vec![], NOW);
    assert_eq!(said(&mut logs, NOW), "?11a", "it is asked now");
    logs.on_answer(hash(11, b'a'), A, plain(11, 1), NOW);
    assert_eq!(said(&mut logs, NOW), "+11a0");
    logs.on_failed(hash(11, b'b'), NOW);
    assert_eq!((said(&mut logs, NOW), logs.wake_at()), (String::new(), Instant::NEVER));
}

/// Providers that want an address refuse the question for everything: what they said of less is confirmed then.
#[test]
fn where_nobody_gives_all_logs_less_has_to_do() {
    let mut logs = begun_with(&of_seven());
    logs.on_head(&full(11), NOW);
    assert_eq!(said(&mut logs, NOW), "?11a");
    logs.on_answer(hash(11, b'a'), A, Vec::new(), NOW);
    let mut now = NOW;
    for _ in 0..FILL_TRIES {
        assert_eq!(said(&mut logs, now), "?11a!1*", "all of them, also of the same one");
        logs.on_refused(hash(11, b'a'), now.plus_ms(FILL_RETRY_MS));
        now = now.plus_ms(FILL_RETRY_MS);
    }
    assert!(matches!(logs.next(now), Some(Action::Ask(question)) if !question.filter.is_everything()));
    logs.on_answer(hash(11, b'a'), A, Vec::new(), now);
    logs.on_head(&full(12), now);
    assert_eq!(said(&mut logs, now), "?12a", "the next one is asked for as ever");
    logs.on_answer(hash(12, b'a'), A, plain(12, 1), now);
    assert_eq!(said(&mut logs, now), "+12a0[2]");
}

/// A header without a bloom, one who says that there are logs, and one who is a moment behind.
#[test]
fn zeros_and_an_empty_answer_do_not_outweigh_logs() {
    let mut logs = begun();
    let bare = Head { gas_used: Some(21_000), ..empty(11) };
    logs.on_head(&bare, NOW);
    assert_eq!(said(&mut logs, NOW), "?11a");
    logs.on_answer(hash(11, b'a'), A, plain(11, 1), NOW);
    assert_eq!(said(&mut logs, NOW), "?11a!1");
    logs.on_answer(hash(11, b'a'), B, Vec::new(), NOW);
    let now = logs.wake_at();
    assert!(said(&mut logs, now).starts_with("?11a!1!2"));
    logs.on_answer(hash(11, b'a'), B, plain(11, 1), now);
    assert_eq!(said(&mut logs, now), "+11a0");
    // Where nobody says so, the first who agrees with the header is believed.
    logs.on_head(&Head { gas_used: Some(21_000), ..empty(12) }, now);
    assert_eq!(said(&mut logs, now), "?12a");
    logs.on_answer(hash(12, b'a'), A, Vec::new(), now);
    assert_eq!((said(&mut logs, now), logs.wake_at()), (String::new(), Instant::NEVER));
}

/// One subscriber with a filter of its own, number 2, on a chain whose blooms have been seen.
fn begun_with(filter: &LogFilter) -> Logs {
    let mut logs = Logs::new(RULES);
    logs.open(StreamId(2), filter);
    logs.on_head(&full(10), NOW);
    assert_eq!(said(&mut logs, NOW), "?10a");
    logs.on_answer(hash(10, b'a'), A, plain(10, 1), NOW);
    assert_eq!(said(&mut logs, NOW), "+10a0[2]");
    logs
}
