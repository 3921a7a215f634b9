//! Walks every sequence of attempt ends up to the longest possible one, for every safety class, against the laws of
//! docs/behaviour/calls.md stated independently of the machine.

use super::*;
use crate::config::topology::Strategy;
use crate::snapshot::{Set, bit, test_plan};
use std::sync::Arc;

const ENDS: [End; 15] = [
    End::Answered,
    End::Absent,
    End::Unproven,
    End::Refused { has_error: true, before_pool: true },
    End::Refused { has_error: true, before_pool: false },
    End::Refused { has_error: false, before_pool: true },
    End::Refused { has_error: false, before_pool: false },
    End::NotSent,
    End::Unreachable,
    End::Lost { wrote: false, stale: false },
    End::Lost { wrote: false, stale: true },
    End::Lost { wrote: true, stale: false },
    End::Lost { wrote: true, stale: true },
    End::TimedOut { wrote: true },
    End::ClientGone,
];

/// `same_channel`: who shares connections with whom.
fn plan(providers: u32, same_channel: &[Set]) -> ChainPlan {
    let mut plan = test_plan::of_priorities(&(0..providers).collect::<Vec<_>>());
    let fixed = Arc::make_mut(&mut plan.fixed);
    fixed.same_channel = same_channel.iter().copied().collect();
    fixed.same_instance = fixed.same_channel.clone();
    plan
}

fn ask() -> Ask {
    Ask::new(Strategy::Priority, MethodId(0))
}

/// What an observer on the wire saw of one run.
#[derive(Default)]
struct Seen {
    /// Provider and whether the call's bytes reached it.
    attempts: Vec<(SlotId, bool)>,
    /// Writes that could have been carried out although no complete answer came.
    uncertain: u32,
    pool_refusals: u32,
    errors: u32,
    absents: u32,
}

fn wrote(end: End) -> bool {
    match end {
        End::Answered | End::Absent | End::Unproven | End::Refused { .. } => true,
        // A pooled connection that died unanswered is sent over once more: not a dispatch
        // (docs/behaviour/calls.md#stale-connections).
        End::Lost { stale: true, .. } => false,
        End::Lost { wrote, .. } | End::TimedOut { wrote } => wrote,
        End::NotSent | End::Unreachable | End::ClientGone => false,
    }
}

/// Runs one script of ends; `None` when the script was too short to reach a reply.
fn run(plan: &ChainPlan, safety: Safety, script: &[End]) -> Option<(Reply, Seen, usize)> {
    let now = Instant(1);
    let mut exchange = Exchange::new(plan, &ask(), safety, 10_000, now);
    let mut rng = Rng::new(1);
    let mut seen = Seen::default();
    for used in 0..=script.len() {
        match exchange.next(plan, &mut rng, now) {
            Action::Reply(reply) => {
                assert_eq!(exchange.next(plan, &mut rng, now), Action::Reply(reply), "the reply is final");
                return Some((reply, seen, used));
            }
            Action::AwaitTurn { .. } => panic!("nobody was deferred"),
            Action::Attempt { slot, time, .. } => {
                let deadline = time.deadline(now);
                assert!(time.until == exchange.deadline() && deadline <= time.until && deadline > now);
                assert!(time.connect_by <= time.until && time.connect_by > now);
                let end = *script.get(used)?;
                seen.attempts.push((slot, wrote(end)));
                seen.uncertain += u32::from(matches!(end, End::Lost { wrote: true, .. } | End::TimedOut { wrote: true }));
                if let End::Refused { has_error, before_pool } = end {
                    seen.pool_refusals += u32::from(!before_pool);
                    seen.errors += u32::from(has_error);
                }
                seen.absents += u32::from(matches!(end, End::Absent | End::Unproven));
                exchange.on_end(plan, end);
            }
            Action::Pause { .. } => panic!("nothing was promised"),
        }
    }
    None
}

fn laws(safety: Safety, script: &[End], reply: Reply, seen: &Seen) {
    let context = format!("{safety:?} {script:?} -> {reply:?}");
    let sent: Vec<SlotId> = seen.attempts.iter().filter(|a| a.1).map(|a| a.0).collect();
    let mut distinct = sent.clone();
    distinct.dedup();
    assert!(sent.len() <= 3, "{context}");
    if safety != Safety::Repeatable {
        assert!(distinct.len() == sent.len(), "never twice to one provider: {context}");
        assert!(seen.uncertain + seen.pool_refusals <= 1, "nothing is sent after what may have been carried out: {context}");
    }
    let uncertain = |e: &End| matches!(e, End::Lost { wrote: true, .. } | End::TimedOut { wrote: true });
    if safety != Safety::Repeatable {
        let before_last = script.split_last().map_or(&[][..], |(_, rest)| rest);
        assert!(!before_last.iter().any(uncertain), "nothing follows an uncertain end: {context}");
    }
    match reply {
        Reply::LastError => assert!(seen.errors > 0 && seen.absents == 0, "{context}"),
        Reply::LastAbsent => assert!(seen.absents > 0, "{context}"),
        Reply::Refuse(Refuse::Indeterminate) => {
            assert!(safety != Safety::Repeatable && seen.uncertain + seen.pool_refusals > 0, "{context}");
        }
        Reply::Refuse(_) => assert_eq!(seen.errors + seen.absents, 0, "a provider's own error is better than ours: {context}"),
        Reply::Answer => assert_eq!(script.last(), Some(&End::Answered), "{context}"),
        Reply::Nothing => assert_eq!(script.last(), Some(&End::ClientGone), "{context}"),
    }
}

fn explore(plan: &ChainPlan, safety: Safety, script: &mut Vec<End>, runs: &mut u32) {
    if let Some((reply, seen, used)) = run(plan, safety, script) {
        assert_eq!(used, script.len());
        laws(safety, script, reply, &seen);
        *runs += 1;
        return;
    }
    assert!(script.len() < 9, "an exchange ends: {script:?}");
    for end in ENDS {
        script.push(end);
        explore(plan, safety, script, runs);
        script.pop();
    }
}

#[test]
fn every_path_obeys_the_laws() {
    let plan = plan(4, &[1, 2, 4, 8]);
    for safety in [Safety::Repeatable, Safety::RawTransaction, Safety::Filter, Safety::Once] {
        let mut runs = 0;
        explore(&plan, safety, &mut Vec::new(), &mut runs);
        assert!(runs > 500, "{safety:?} has {runs} paths");
    }
}

#[test]
fn providers_on_one_instance_are_one_dispatch() {
    let plan = plan(3, &[0b011, 0b011, 0b100]);
    let refused = End::Refused { has_error: false, before_pool: true };
    let (_, seen, _) = run(&plan, Safety::Repeatable, &[refused, refused, refused]).expect("ends");
    assert_eq!(seen.attempts.iter().map(|a| bit(a.0)).collect::<Vec<_>>(), [0b001, 0b100]);
}

#[test]
fn deadlines_leave_time_for_a_second_attempt() {
    let check = |providers, safety, want_ms| {
        let plan = plan(providers, &[1, 2]);
        let mut exchange = Exchange::new(&plan, &ask(), safety, 1_000, Instant(0));
        let Action::Attempt { time, .. } = exchange.next(&plan, &mut Rng::new(1), Instant(0)) else { panic!() };
        assert_eq!(time.deadline(Instant(0)).as_ms(), want_ms);
        // Patience counts from the write, however long connecting took; the whole does not move.
        assert_eq!(time.deadline(time.connect_by), (time.connect_by + time.patience).min(Instant(0).plus_ms(1_000)));
    };
    check(2, Safety::Repeatable, 500);
    check(1, Safety::Repeatable, 1_000);
    check(2, Safety::RawTransaction, 1_000);
    let plan = plan(2, &[1, 2]);
    let mut exchange = Exchange::new(&plan, &ask(), Safety::Repeatable, 1_000, Instant(0));
    exchange.next(&plan, &mut Rng::new(1), Instant(0));
    exchange.on_end(&plan, End::Lost { wrote: true, stale: false });
    let late = Instant(0).plus_ms(990);
    assert_eq!(exchange.next(&plan, &mut Rng::new(1), late), Action::Reply(Reply::Refuse(Refuse::DeadlineExhausted)));
}

/// What one provider lacks is asked of the others, each once, and for a moment only: an answer is here already.
#[test]
fn what_one_lacks_is_asked_of_the_others() {
    let plan = plan(4, &[0b0011, 0b0011, 0b0100, 0b1000]);
    let (reply, seen, _) = run(&plan, Safety::Repeatable, &[End::Absent; 3]).expect("ends");
    assert_eq!((reply, seen.attempts.len()), (Reply::LastAbsent, 3));
    assert_eq!(seen.attempts.iter().map(|a| bit(a.0)).collect::<Vec<_>>(), [0b0001, 0b0100, 0b1000]);
    let lost = End::TimedOut { wrote: true };
    assert_eq!(run(&plan, Safety::Repeatable, &[End::Absent, lost, lost]).map(|run| run.0), Some(Reply::LastAbsent));
    assert_eq!(run(&plan, Safety::Repeatable, &[End::Absent, End::Answered]).map(|run| run.0), Some(Reply::Answer));
    let mut exchange = Exchange::new(&plan, &ask(), Safety::Repeatable, 10_000, Instant(0));
    exchange.next(&plan, &mut Rng::new(1), Instant(0));
    exchange.on_end(&plan, End::Absent);
    let Action::Attempt { time, .. } = exchange.next(&plan, &mut Rng::new(1), Instant(0)) else { panic!() };
    assert_eq!(time.deadline(Instant(0)).as_ms(), limits::ABSENT_ATTEMPT_MS);
}

/// An empty list that may be true costs one more question, and no pause.
#[test]
fn one_more_word_is_enough_for_an_empty_list() {
    let plan = plan(4, &[1, 2, 4, 8]);
    for (script, want) in [
        (&[End::Unproven, End::Unproven][..], Reply::LastAbsent),
        (&[End::Absent, End::Unproven], Reply::LastAbsent),
        (&[End::Unproven, End::Answered], Reply::Answer),
    ] {
        assert_eq!(run(&plan, Safety::Repeatable, script).map(|run| run.0), Some(want), "{script:?}");
    }
    let alone = self::plan(2, &[0b11, 0b11]);
    assert_eq!(
        run(&alone, Safety::Repeatable, &[End::Unproven]).map(|run| run.0),
        Some(Reply::LastAbsent),
        "nobody else is there"
    );
}

/// Whoever is known to have what another one lacks is asked next: also the other door of the same provider, and also one that is
/// no way for calls as bulky as this one.
#[test]
fn witnesses_come_next() {
    // The first two are doors of one provider.
    let mut plan = plan(4, &[1, 2, 4, 8]);
    Arc::make_mut(&mut plan.fixed).same_instance = [0b0011, 0b0011, 0b0100, 0b1000].into_iter().collect();
    let order = |witnesses: Set, spare: Set, end: End| {
        let ask = Ask { witnesses, spare, reachable: Set::MAX & !spare, ..ask() };
        let mut exchange = Exchange::new(&plan, &ask, Safety::Repeatable, 10_000, Instant(0));
        let (mut order, mut rng) = (Vec::new(), Rng::new(1));
        while let Action::Attempt { slot, .. } = exchange.next(&plan, &mut rng, Instant(0)) {
            order.push(slot.0);
            exchange.on_end(&plan, end);
            if matches!(end, End::Refused { .. }) {
                exchange.promise(1_000);
            }
        }
        order
    };
    let error = End::Refused { has_error: true, before_pool: false };
    assert_eq!(order(0, 0, End::Absent), [0, 2, 3], "the node behind both doors is one");
    assert_eq!(order(0b0010, 0, End::Absent), [0, 1, 2]);
    assert_eq!(order(0b0010, 0b0010, End::Absent), [0, 1, 2]);
    assert_eq!(order(0b1000, 0, End::Absent), [0, 3, 2]);
    assert_eq!(order(0b1000, 0, End::Unproven), [0, 3]);
    assert_eq!((order(0b1000, 0, error), order(0, 0, error)), (vec![0, 3, 2], vec![0, 2, 3]));
    assert_eq!(order(0, 0b0010, End::Absent), [0, 2, 3], "who is spared and no witness is not asked");
}

/// Nobody's "there is none" about what was promised is believed before a second round, and there is no third.
#[test]
fn what_was_promised_is_asked_for_twice() {
    let plan = plan(2, &[1, 2]);
    let walk = |total_ms: u64, found_in_the_end: bool| {
        let mut exchange = Exchange::new(&plan, &ask(), Safety::Repeatable, total_ms, Instant(0));
        let (mut now, mut told, mut rng) = (Instant(0), Vec::new(), Rng::new(1));
        loop {
            match exchange.next(&plan, &mut rng, now) {
                Action::Attempt { slot, .. } => {
                    told.push(format!("{}", slot.0));
                    let is_last = found_in_the_end && now > Instant(0) && slot == SlotId(1);
                    exchange.on_end(&plan, if is_last { End::Answered } else { End::Absent });
                    exchange.promise(1_000);
                }
                Action::AwaitTurn { .. } => panic!("nobody was deferred"),
                Action::Pause { until } => {
                    told.push(format!("{} ms", until.as_ms()));
                    now = until;
                    exchange.renew(&plan, &ask());
                }
                Action::Reply(reply) => {
                    told.push(format!("{reply:?}"));
                    return told.join(" ");
                }
            }
        }
    };
    assert_eq!(walk(10_000, true), "0 1 1000 ms 0 1 Answer");
    assert_eq!(walk(10_000, false), "0 1 1000 ms 0 1 LastAbsent");
    assert_eq!(walk(1_020, false), "0 1 LastAbsent", "no time for a second round");
}

#[test]
fn nobody_eligible_is_said_at_once() {
    let plan = plan(2, &[1, 2]);
    let ask = Ask { eligible: 0, ..ask() };
    let mut exchange = Exchange::new(&plan, &ask, Safety::Repeatable, 1_000, Instant(0));
    let action = exchange.next(&plan, &mut Rng::new(1), Instant(0));
    assert_eq!(action, Action::Reply(Reply::Refuse(Refuse::NoProvider)));
}

/// A refusal that came before anything was carried out lets every method go on; what may have been carried out lets none.
#[test]
fn only_a_refusal_before_execution_lets_unsafe_calls_go_on() {
    let plan = plan(3, &[1, 2, 4]);
    let refused = |before_pool| End::Refused { has_error: true, before_pool };
    for safety in [Safety::Once, Safety::Filter, Safety::RawTransaction] {
        let (reply, seen, _) = run(&plan, safety, &[refused(true), refused(true), End::Answered]).expect("ends");
        assert_eq!((reply, seen.attempts.len()), (Reply::Answer, 3), "{safety:?}");
        let (reply, seen, _) = run(&plan, safety, &[refused(false)]).expect("ends");
        assert_eq!((reply, seen.attempts.len()), (Reply::LastError, 1), "{safety:?}");
    }
}

/// Waiting for a turn is no attempt: it counts as nobody tried, ends in an attempt, or as its caller says.
#[test]
fn a_call_that_waits_for_its_turn_goes_on_or_gives_up() {
    let mut plan = plan(2, &[1, 2]);
    plan.gates.open = 0b11;
    let (now, mut rng) = (Instant(1), Rng::new(1));
    let mut exchange = Exchange::new(&plan, &ask(), Safety::Repeatable, 10_000, now);
    for _ in 0..40 {
        for want in [0, 1] {
            let Action::Attempt { slot, .. } = exchange.next(&plan, &mut rng, now) else { panic!() };
            assert_eq!(slot, SlotId(want));
            exchange.defer();
        }
        assert_eq!(exchange.next(&plan, &mut rng, now), Action::AwaitTurn { until: exchange.deadline() });
        exchange.resume(None);
    }
    assert_eq!(exchange.retries(), 0);
    plan.gates.open = 0b01;
    exchange.resume(Some((&plan, &ask())));
    let Action::Attempt { slot, .. } = exchange.next(&plan, &mut rng, now) else { panic!() };
    assert_eq!(slot, SlotId(1), "its circuit has closed meanwhile");
    exchange.on_end(&plan, End::NotSent);
    let mut gone = exchange.clone();
    exchange.give_up_waiting(End::NotSent);
    assert!(matches!(exchange.next(&plan, &mut rng, now), Action::Reply(Reply::Refuse(_))));
    gone.give_up_waiting(End::ClientGone);
    assert_eq!(gone.next(&plan, &mut rng, now), Action::Reply(Reply::Nothing));
}

/// Sent once more after a loss it needs a turn again; one that finds the channel busy then has still lost it once.
#[test]
fn a_loss_is_not_forgotten_by_waiting_for_a_turn() {
    let mut plan = plan(1, &[1]);
    plan.gates.open = 1;
    let (now, mut rng) = (Instant(1), Rng::new(1));
    let mut exchange = Exchange::new(&plan, &ask(), Safety::Repeatable, 10_000, now);
    let mut sent = 0;
    loop {
        match exchange.next(&plan, &mut rng, now) {
            // Somebody else is always quicker.
            Action::Attempt { .. } if exchange.is_resending() && sent == 1 && exchange.resent && exchange.lost_once == 0 => {
                exchange.defer();
            }
            Action::Attempt { connection, .. } => {
                let want = if sent == 0 { ConnectionRule::Pooled } else { ConnectionRule::New };
                assert_eq!(connection, want);
                sent += 1;
                exchange.on_end(&plan, End::Lost { wrote: true, stale: true });
            }
            Action::AwaitTurn { .. } => exchange.resume(None),
            Action::Pause { .. } => panic!("nothing was promised"),
            Action::Reply(_) => break,
        }
        assert!(sent < 5, "it is sent for ever");
    }
    assert_eq!(sent, 2);
}

/// With evidence a cheap read waits a quarter of a second, a heavy method two; a provider that cannot finish in the rest is
/// no reason to give the first one up.
#[test]
fn patience_follows_evidence() {
    use crate::health::evidence::Standing;
    use crate::snapshot::Ranking;
    let of = |us: u32| Standing { p90_us: us, p99_us: us, samples: 50.0, latency_us: Some(us), ..Standing::unknown(None) };
    let check = |total_ms, first_us, second_us, want_ms| {
        let mut plan = plan(2, &[1, 2]);
        let standings = [of(first_us), of(second_us)].into_iter().collect();
        plan.rankings[MethodId(0)] = Arc::new(Ranking::new(&plan.fixed, standings, 3.0));
        let mut exchange = Exchange::new(&plan, &ask(), Safety::Repeatable, total_ms, Instant(0));
        let Action::Attempt { time, .. } = exchange.next(&plan, &mut Rng::new(1), Instant(0)) else { panic!() };
        assert_eq!(time.patience.as_millis() as u64, want_ms, "{total_ms} {first_us} {second_us}");
    };
    check(10_000, 5_000, 5_000, 250);
    check(10_000, 300_000, 5_000, 1_200);
    check(30_000, 5_000, 5_000, 2_000);
    check(30_000, 4_000_000, 5_000, 15_000);
    check(30_000, 4_000_000, 16_000_000, 30_000);
}

#[test]
fn after_a_loss_that_cannot_be_made_good_another_provider_comes_before_the_other_transport() {
    let plan = plan(3, &[0b011, 0b011, 0b100]);
    let check = |ends: &[End], want: &[u8]| {
        let (mut exchange, mut rng, now) =
            (Exchange::new(&plan, &ask(), Safety::Repeatable, 10_000, Instant(1)), Rng::new(1), Instant(1));
        let mut asked = Vec::new();
        for end in ends {
            let Action::Attempt { slot, .. } = exchange.next(&plan, &mut rng, now) else { panic!("{ends:?}: {asked:?}") };
            asked.push(slot);
            exchange.on_end(&plan, *end);
        }
        assert_eq!(asked, want.iter().map(|slot| SlotId(*slot)).collect::<Vec<_>>(), "{ends:?}");
    };
    let lost = End::Lost { wrote: true, stale: true };
    check(&[lost, End::NotSent, End::NotSent, End::Answered], &[0, 0, 2, 1]);
    check(&[End::NotSent, End::Answered], &[0, 1]);
}
