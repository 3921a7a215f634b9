//! Every short string of events against a model that keeps the history and derives the gate from it, then the laws, a row
//! for each change of the gate, and by name the faults that must not come back.

use super::*;
use crate::base::rng::Rng;
use proptest::prelude::*;
use std::collections::BTreeMap;

const S: Duration = Duration::from_secs(1);

/// Small numbers, so that eight events go through several openings.
fn small() -> Policy {
    Policy { failures: 3, network_failures: 2, timeout_failures: 3, successes: 2, recovery: 10 * S, recovery_max: 40 * S }
}

fn failures(count: u32, cause: Cause) -> Outcomes {
    Outcomes { successes: 0, failures: count, trailing: count, last_cause: Some(cause) }
}

fn successes(count: u32) -> Outcomes {
    Outcomes { successes: count, ..Outcomes::default() }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Epoch(&'static [(u16, Outcomes)]),
    Trial(Option<bool>),
    Probe(bool),
    /// A probe, and a client's call, while nobody else is left.
    DarkProbe(bool),
    DarkCall(bool),
    Wait(u64),
    Hold(Option<Manual>),
}

const fn seen(successes: u32, failures: u32, trailing: u32, last_cause: Option<Cause>) -> Outcomes {
    Outcomes { successes, failures, trailing, last_cause }
}
const GOOD: Event = Event::Epoch(&[(0, seen(1, 0, 0, None))]);
const SERVER: Event = Event::Epoch(&[(0, seen(0, 1, 1, Some(Cause::Server)))]);
const NETWORK: Event = Event::Epoch(&[(1, seen(0, 1, 1, Some(Cause::Network)))]);
const TIMEOUT: Event = Event::Epoch(&[(1, seen(0, 1, 1, Some(Cause::Timeout)))]);
/// One producer ends badly, another well, and half of the calls succeeded.
const MIXED: Event = Event::Epoch(&[(0, seen(0, 1, 1, Some(Cause::Server))), (1, seen(1, 0, 0, None))]);
/// One producer ends badly, another well, but most calls failed.
const MOSTLY_BAD: Event = Event::Epoch(&[(0, seen(1, 2, 1, Some(Cause::Timeout))), (1, seen(1, 1, 0, Some(Cause::Network)))]);
const BURST: Event = Event::Epoch(&[(0, seen(0, 3, 3, Some(Cause::Server)))]);

/// What happened since the gate last changed; everything else is derived.
#[derive(Clone)]
struct Model {
    gate: Gate,
    held: Option<Manual>,
    since: Instant,
    until: Instant,
    opens: u32,
    log: Vec<Event>,
    /// Since when every probe was good, whatever the gate did.
    well: Option<Instant>,
    /// No trial before this.
    rests_until: Instant,
}

impl Model {
    fn apply(&mut self, event: Event, now: Instant) -> Option<(Gate, &'static str)> {
        if matches!(event, Event::Trial(_)) && (self.gate != Gate::HalfOpen || now < self.rests_until) {
            return None;
        }
        self.log.push(event);
        match event {
            Event::Probe(true) | Event::DarkProbe(true) => self.well = self.well.or(Some(now)),
            Event::Probe(false) | Event::DarkProbe(false) => self.well = None,
            _ => {}
        }
        match (event, self.gate, self.held) {
            (Event::Hold(to), _, was) if to != was => {
                let gate = match (to, was) {
                    (Some(Manual::Open), _) => (Gate::Open, "manual_open"),
                    (Some(Manual::Close), _) => (Gate::Closed, "manual_close"),
                    (None, Some(Manual::Open)) => (Gate::HalfOpen, "manual_auto"),
                    (None, _) => (Gate::Closed, "manual_auto"),
                };
                (self.held, self.opens) = (to, 0);
                self.go(gate, now)
            }
            (_, _, Some(_)) => None,
            (Event::Epoch(_), Gate::Closed, _) => {
                let (run, threshold) = self.run();
                let open = (Gate::Open, "failure_threshold_exceeded");
                threshold.filter(|threshold| run >= *threshold).and_then(|_| self.go(open, now))
            }
            (Event::Trial(Some(false)) | Event::DarkCall(false), Gate::HalfOpen, _) => {
                self.go((Gate::Open, "reopen_due_to_failure"), now)
            }
            (Event::Trial(Some(true)) | Event::DarkCall(true), Gate::HalfOpen, _) => {
                self.rests_until = Instant::ZERO;
                if self.good_trials() == 2 { self.go((Gate::Closed, "recovered"), now) } else { None }
            }
            (Event::Trial(None), Gate::HalfOpen, _) => {
                let last_good = self.log.iter().rposition(|e| is_good_trial(*e)).map_or(0, |place| place + 1);
                let unclear = self.log.iter().skip(last_good).filter(|e| **e == Event::Trial(None)).count();
                self.rests_until = now + S * (2 << (unclear - 1));
                None
            }
            (Event::DarkProbe(true), Gate::Open, _) => self.go((Gate::HalfOpen, "answered_a_probe"), now),
            (Event::DarkCall(true), Gate::Open, _) => {
                let change = self.go((Gate::HalfOpen, "answered_a_call"), now);
                self.log.push(event);
                change
            }
            _ => None,
        }
    }

    /// What time alone does.
    fn pass(&mut self, now: Instant) -> Option<(Gate, &'static str)> {
        if self.held.is_some() {
            return None;
        }
        match self.gate {
            Gate::Open if now >= self.until => self.go((Gate::HalfOpen, "recovery_attempt"), now),
            Gate::Open if self.well.is_some_and(|well| now >= well.max(self.since) + 10 * S) => {
                self.go((Gate::HalfOpen, "probes_are_good"), now)
            }
            _ => None,
        }
    }

    fn go(&mut self, (gate, reason): (Gate, &'static str), now: Instant) -> Option<(Gate, &'static str)> {
        let from = self.gate;
        self.opens = if gate == Gate::Closed { 0 } else { self.opens + u32::from(gate == Gate::Open && self.held.is_none()) };
        (self.gate, self.since, self.rests_until) = (gate, now, Instant::ZERO);
        self.log.clear();
        (from != gate).then_some((gate, reason))
    }

    fn good_trials(&self) -> usize {
        self.log.iter().filter(|event| is_good_trial(**event)).count()
    }

    /// The run over all epochs since closing, and the threshold if the last of them made it grow.
    fn run(&self) -> (u32, Option<u32>) {
        let (mut runs, mut threshold) = (BTreeMap::<u16, u32>::new(), None);
        for event in &self.log {
            let Event::Epoch(outcomes) = event else { continue };
            let (good, bad) = outcomes.iter().fold((0, 0), |(g, b), (_, seen)| (g + seen.successes, b + seen.failures));
            if outcomes.iter().any(|(_, seen)| seen.successes > 0 && seen.trailing == 0) && 2 * good >= good + bad {
                (runs, threshold) = (BTreeMap::new(), None);
                continue;
            }
            for (producer, seen) in outcomes.iter().filter(|(_, seen)| seen.successes > 0) {
                runs.insert(*producer, seen.trailing);
            }
            for (producer, seen) in outcomes.iter().filter(|(_, seen)| seen.successes == 0) {
                *runs.entry(*producer).or_default() += seen.failures;
            }
            let causes = outcomes.iter().filter(|(_, seen)| seen.trailing > 0).filter_map(|(_, seen)| seen.last_cause);
            threshold = causes.map(|cause| if cause == Cause::Network { 2 } else { 3 }).min();
        }
        (runs.values().sum(), threshold)
    }
}

fn is_good_trial(event: Event) -> bool {
    matches!(event, Event::Trial(Some(true)) | Event::DarkCall(true))
}

#[derive(Clone)]
struct Pair {
    breaker: Breaker,
    model: Model,
    now: Instant,
    rng: Rng,
}

impl Pair {
    fn new() -> Pair {
        let model = Model {
            gate: Gate::Closed,
            held: None,
            since: Instant::ZERO,
            until: Instant::ZERO,
            opens: 0,
            log: Vec::new(),
            well: None,
            rests_until: Instant::ZERO,
        };
        Pair { breaker: Breaker::new(small()), model, now: Instant::ZERO, rng: Rng::new(1) }
    }

    fn step(&mut self, event: Event, trail: &[Event]) {
        self.now = self.now + S;
        if let Event::Wait(seconds) = event {
            self.now = self.now.plus_ms(seconds * 1000);
        }
        let (now, rng) = (self.now, &mut self.rng);
        let opens = self.model.opens;
        for phase in 0..3 {
            // Time first, then the event, then what a probe made due.
            let (got, want) = match (phase, event) {
                (1, event) => (act(&mut self.breaker, event, now, rng), self.model.apply(event, now)),
                _ => (self.breaker.tick(now), self.model.pass(now)),
            };
            if want.is_some_and(|(gate, _)| gate == Gate::Open) && self.model.held.is_none() {
                let base = (10 * S * (1 << (self.model.opens - 1))).min(40 * S);
                let by_probes = self.model.well.map_or(Instant::NEVER, |_| now + 10 * S);
                let told = self.breaker.retry_at().expect("open by itself");
                self.model.until = now + self.breaker.delay;
                assert_eq!(told, self.model.until.min(by_probes));
                let lasts = self.model.until.since(now);
                assert!((base * 101 / 100..=base * 105 / 100).contains(&lasts), "{lasts:?} of {base:?}, {opens} {trail:?}");
            }
            // A probe while open is judged at once; the model judges it in the phase after.
            let probed = phase == 1 && matches!(event, Event::Probe(_) | Event::DarkProbe(_));
            let want = if probed { want.or_else(|| self.model.pass(now)) } else { want };
            assert_eq!(got.map(|t| (t.to, t.reason)), want, "phase {phase} of {event:?} after {trail:?}");
        }
        assert_eq!((self.breaker.gate(), self.breaker.opens()), (self.model.gate, self.model.opens), "{event:?} after {trail:?}");
        assert!(self.breaker.deadline() > now, "{event:?} after {trail:?}");
        if self.model.gate == Gate::Closed && self.model.held.is_none() {
            assert_eq!(self.breaker.run(), self.model.run().0, "{event:?} after {trail:?}");
        }
    }
}

fn end_of(ok: Option<bool>) -> TrialEnd {
    match ok {
        Some(true) => TrialEnd::Good,
        Some(false) => TrialEnd::Bad,
        None => TrialEnd::Unclear { hint_ms: None },
    }
}

fn act(breaker: &mut Breaker, event: Event, now: Instant, rng: &mut Rng) -> Option<Transition> {
    match event {
        Event::Epoch(outcomes) => breaker.on_epoch(outcomes, now, rng),
        Event::Trial(ok) => {
            let rests = breaker.rests_until().is_some_and(|until| now < until);
            let leased = breaker.lease(PermitId(now.0), 0, now + S, now + S, now);
            assert_eq!(leased, breaker.gate() == Gate::HalfOpen && !rests);
            breaker.on_trial(PermitId(now.0), end_of(ok), now, rng)
        }
        Event::Probe(ok) => breaker.on_probe(ok, false, now),
        Event::DarkProbe(ok) => breaker.on_probe(ok, true, now),
        Event::DarkCall(ok) => breaker.on_call_in_the_dark(ok, now, rng),
        Event::Wait(_) => None,
        Event::Hold(manual) => breaker.set_manual(manual, now),
    }
}

fn walk(pair: &Pair, alphabet: &[Event], depth: usize, trail: &mut Vec<Event>, gates: &mut [u64; 3]) {
    gates[pair.model.gate as usize] += 1;
    if trail.len() == depth {
        return;
    }
    for &event in alphabet {
        let mut next = pair.clone();
        next.step(event, trail);
        trail.push(event);
        walk(&next, alphabet, depth, trail, gates);
        trail.pop();
    }
}

fn exhaust(alphabet: &[Event], depth: usize) {
    let mut gates = [0; 3];
    walk(&Pair::new(), alphabet, depth, &mut Vec::new(), &mut gates);
    assert!(gates.iter().all(|visits| *visits > 1000), "each gate was reached often: {gates:?}");
}

#[test]
fn every_string_of_calls_and_trials() {
    exhaust(&[GOOD, SERVER, NETWORK, MIXED, Event::Trial(Some(true)), Event::Trial(Some(false)), Event::Wait(10)], 8);
}

#[test]
fn every_string_of_probes_and_trials() {
    let (good, bad) = (Event::Trial(Some(true)), Event::Trial(Some(false)));
    exhaust(&[BURST, Event::Probe(true), Event::Probe(false), good, bad, Event::Wait(4), Event::Wait(10)], 8);
}

#[test]
fn every_string_of_calls_and_probes_in_the_dark() {
    let (bad, unclear) = (Event::Trial(Some(false)), Event::Trial(None));
    let (probe, call) = (Event::DarkProbe(true), Event::DarkCall(true));
    exhaust(&[BURST, probe, Event::Probe(false), call, Event::DarkCall(false), bad, unclear, Event::Wait(10)], 7);
}

#[test]
fn every_string_of_holds_and_odd_epochs() {
    let holds = [Event::Hold(Some(Manual::Open)), Event::Hold(Some(Manual::Close)), Event::Hold(None)];
    let [open, close, auto] = holds;
    exhaust(&[open, close, auto, MOSTLY_BAD, TIMEOUT, Event::Trial(Some(true)), Event::Trial(None), Event::Wait(10)], 6);
}

/// A circuit in a given gate, with the default policy; the time is 100 s.
fn at(gate: Gate) -> (Breaker, Instant, Rng) {
    let (mut breaker, mut rng) = (Breaker::new(Policy::default()), Rng::new(3));
    let start = Instant::ZERO.plus_ms(68_000);
    if gate != Gate::Closed {
        assert!(breaker.on_epoch(&[(0, failures(5, Cause::Server))], start, &mut rng).is_some());
    }
    let now = Instant::ZERO.plus_ms(100_000);
    if gate == Gate::HalfOpen {
        assert!(breaker.tick(now).is_some());
    }
    (breaker, now, rng)
}

#[test]
fn rows_of_the_reference_table() {
    let check = |from: Gate, event: &dyn Fn(&mut Breaker, Instant, &mut Rng) -> Option<Transition>, want: (Gate, &str)| {
        let (mut breaker, now, mut rng) = at(from);
        let change = event(&mut breaker, now, &mut rng);
        assert_eq!((breaker.gate(), change.map_or("", |t| t.reason)), want, "from {from:?}");
        assert!(change.is_none_or(|t| t.from == from && t.to == breaker.gate() && breaker.reason() == t.reason));
    };
    let epoch = |count, cause| move |b: &mut Breaker, now, rng: &mut Rng| b.on_epoch(&[(0, failures(count, cause))], now, rng);
    let trial = |ok: &'static [Option<bool>]| {
        move |b: &mut Breaker, now, rng: &mut Rng| {
            ok.iter().fold(None, |_, ok| {
                let now = b.rests_until().map_or(now, |until| until.max(now));
                assert!(b.lease(PermitId(1), 0, now + S, now + S, now));
                b.on_trial(PermitId(1), end_of(*ok), now, rng)
            })
        }
    };
    let over = "failure_threshold_exceeded";
    check(Gate::Closed, &|b, now, rng| b.on_epoch(&[(0, successes(1))], now, rng), (Gate::Closed, ""));
    check(Gate::Closed, &epoch(4, Cause::Server), (Gate::Closed, ""));
    check(Gate::Closed, &epoch(5, Cause::Server), (Gate::Open, over));
    check(Gate::Closed, &epoch(2, Cause::Network), (Gate::Closed, ""));
    check(Gate::Closed, &epoch(3, Cause::Network), (Gate::Open, over));
    check(Gate::Closed, &epoch(4, Cause::Timeout), (Gate::Closed, ""));
    check(Gate::Open, &|b, now, _| b.tick(now), (Gate::HalfOpen, "recovery_attempt"));
    check(Gate::Open, &|b, now, rng| b.on_epoch(&[(0, successes(9))], now, rng), (Gate::Open, ""));
    check(Gate::Open, &|b, now, rng| b.on_epoch(&[(0, failures(9, Cause::Server))], now, rng), (Gate::Open, ""));
    check(Gate::HalfOpen, &trial(&[Some(true)]), (Gate::HalfOpen, ""));
    check(Gate::HalfOpen, &trial(&[None, None, None]), (Gate::HalfOpen, ""));
    check(Gate::HalfOpen, &trial(&[Some(true), None, Some(true)]), (Gate::Closed, "recovered"));
    check(Gate::HalfOpen, &trial(&[Some(true), Some(false)]), (Gate::Open, "reopen_due_to_failure"));
    check(Gate::HalfOpen, &epoch(9, Cause::Server), (Gate::HalfOpen, ""));
    for gate in [Gate::Closed, Gate::HalfOpen] {
        check(gate, &|b, now, _| b.set_manual(Some(Manual::Open), now), (Gate::Open, "manual_open"));
    }
    for gate in [Gate::HalfOpen, Gate::Open] {
        check(gate, &|b, now, _| b.set_manual(Some(Manual::Close), now), (Gate::Closed, "manual_close"));
    }
}

#[test]
fn one_counter_and_the_latest_cause_decides() {
    let (mut breaker, now, mut rng) = at(Gate::Closed);
    for _ in 0..3 {
        assert_eq!(breaker.on_epoch(&[(0, failures(1, Cause::Server))], now, &mut rng), None);
    }
    assert!(breaker.on_epoch(&[(0, failures(1, Cause::Network))], now, &mut rng).is_some(), "the fourth, and 3 is enough");
}

#[test]
fn failures_that_a_success_has_followed_open_nothing() {
    let (mut breaker, now, mut rng) = at(Gate::Closed);
    let late = Outcomes { successes: 0, failures: 9, trailing: 0, last_cause: Some(Cause::Server) };
    assert_eq!(breaker.on_epoch(&[(0, late), (1, failures(4, Cause::Server))], now, &mut rng), None);
    assert_eq!(breaker.run(), 4);
    assert!(breaker.on_epoch(&[(0, Outcomes { trailing: 1, ..late })], now, &mut rng).is_some());
}

#[test]
fn timeouts_open_a_circuit() {
    let (mut breaker, now, mut rng) = at(Gate::Closed);
    for nth in 1..=5 {
        let change = breaker.on_epoch(&[(0, failures(1, Cause::Timeout))], now, &mut rng);
        assert_eq!(change.is_some(), nth == 5);
    }
}

#[test]
fn probes_that_are_good_for_a_while_end_a_doubled_wait() {
    let (mut breaker, now, mut rng) = at(Gate::HalfOpen);
    assert!(breaker.lease(PermitId(1), 0, now + S, now + S, now));
    assert!(breaker.on_trial(PermitId(1), TrialEnd::Bad, now, &mut rng).is_some());
    assert!(breaker.retry_at() >= Some(now + 60 * S), "doubled");
    assert_eq!(breaker.on_probe(true, false, now + S), None);
    assert_eq!(breaker.on_probe(false, false, now + 2 * S), None);
    assert!(breaker.retry_at() >= Some(now + 60 * S), "one good probe is not a while");
    assert_eq!(breaker.on_probe(true, false, now + 3 * S), None);
    assert_eq!((breaker.retry_at(), breaker.deadline()), (Some(now + 33 * S), now + 33 * S));
    let change = breaker.tick(now + 33 * S);
    assert_eq!(change.map(|t| (t.to, t.reason)), Some((Gate::HalfOpen, "probes_are_good")));
}

/// Only a trial that failed doubles the wait: a provider that came back and failed later begins anew.
#[test]
fn the_wait_doubles_by_failed_trials_only() {
    let (mut breaker, mut rng) = (Breaker::new(Policy::default()), Rng::new(4));
    let mut now = Instant::ZERO.plus_ms(1);
    let mut trial = |breaker: &mut Breaker, end| {
        now = breaker.deadline().min(now + 700 * S);
        breaker.tick(now);
        assert!(breaker.lease(PermitId(1), 0, now + S, now + S, now));
        breaker.on_trial(PermitId(1), end, now, &mut rng);
        breaker.retry_at().map(|at| at.since(now).as_secs())
    };
    let near = |got: Option<u64>, base: u64| got.is_some_and(|got| (base * 101 / 100..=base * 105 / 100).contains(&got));
    for _ in 0..3 {
        assert!(breaker.on_epoch(&[(0, failures(5, Cause::Server))], Instant::ZERO.plus_ms(1), &mut Rng::new(1)).is_some());
        for base in [60, 120, 240, 480, 600, 600] {
            let waits = trial(&mut breaker, TrialEnd::Bad);
            assert!(near(waits, base), "{waits:?} is not {base}");
        }
        assert_eq!(breaker.opens(), 7);
        trial(&mut breaker, TrialEnd::Good);
        trial(&mut breaker, TrialEnd::Good);
        assert_eq!((breaker.gate(), breaker.opens()), (Gate::Closed, 0));
    }
}

/// A provider that sheds load while it is tried is asked when it said, else after two seconds, doubling.
#[test]
fn a_trial_that_was_turned_away_is_not_repeated_at_once() {
    let (mut breaker, now, mut rng) = at(Gate::HalfOpen);
    let mut turned_away = |breaker: &mut Breaker, now: Instant, hint_ms| {
        assert!(breaker.lease(PermitId(1), 0, now + S, now + S, now));
        assert_eq!(breaker.on_trial(PermitId(1), TrialEnd::Unclear { hint_ms }, now, &mut rng), None);
        breaker.rests_until().map(|until| until.since(now).as_secs())
    };
    assert_eq!(turned_away(&mut breaker, now, None), Some(2));
    assert!(!breaker.lease(PermitId(2), 0, now + S, now + S, now + S), "it rests");
    assert_eq!(turned_away(&mut breaker, now + 2 * S, None), Some(4));
    assert_eq!(turned_away(&mut breaker, now + 6 * S, Some(60_000)), Some(60));
    assert_eq!(turned_away(&mut breaker, now + 66 * S, None), Some(16));
    assert_eq!(turned_away(&mut breaker, now + 99 * S, Some(u64::MAX)), Some(3600), "a wish is believed up to an hour");
}

#[test]
fn permits_come_back() {
    let check = |what: &str, event: &dyn Fn(&mut Breaker, Instant), back: bool| {
        let (mut breaker, now, _) = at(Gate::HalfOpen);
        assert!(breaker.lease(PermitId(7), 2, now + S, now + 5 * S, now), "{what}");
        assert!(!breaker.lease(PermitId(8), 3, now + S, now + 5 * S, now), "{what}: one at a time");
        event(&mut breaker, now);
        assert_eq!(breaker.permit().is_none(), back, "{what}");
        let later = now + 3 * S;
        assert_eq!(breaker.lease(PermitId(9), 3, now + 9 * S, now + 9 * S, later), back, "{what}");
    };
    check("nothing", &|_, _| (), false);
    check("reported, but not beyond the time to start", &|b, now| b.on_reported(2, now + S), false);
    check("reported and not started", &|b, now| b.on_reported(2, now + 2 * S), true);
    check("another reported", &|b, now| b.on_reported(3, now + 2 * S), false);
    let started = |b: &mut Breaker, now| {
        b.on_started(PermitId(7));
        b.on_reported(2, now + 2 * S);
    };
    check("reported and started", &started, false);
    let other = |b: &mut Breaker, now| {
        b.on_started(PermitId(6));
        b.on_reported(2, now + 2 * S);
    };
    check("another permit started", &other, true);
    check("expired", &|b, now| assert_eq!((b.deadline(), b.tick(now + 5 * S)), (now + 5 * S, None)), true);
    check("not yet expired", &|b, now| assert_eq!(b.tick(now + 4 * S), None), false);
    check("holder lost", &|b, _| b.on_producer_lost(2), true);
    check("another lost", &|b, _| b.on_producer_lost(3), false);
    check("no verdict", &|b, now| assert_eq!(b.on_trial(PermitId(7), end_of(None), now, &mut Rng::new(1)), None), true);
    check(
        "verdict of an old permit",
        &|b, now| assert_eq!(b.on_trial(PermitId(6), TrialEnd::Bad, now, &mut Rng::new(1)), None),
        false,
    );
}

#[test]
fn a_lost_producer_takes_its_failures_along() {
    let (mut breaker, now, mut rng) = at(Gate::Closed);
    assert_eq!(breaker.on_epoch(&[(0, failures(2, Cause::Server)), (1, failures(2, Cause::Server))], now, &mut rng), None);
    breaker.on_producer_lost(1);
    breaker.on_producer_lost(9);
    assert_eq!(breaker.run(), 2);
}

#[test]
fn a_hold_outlasts_everything() {
    let (mut breaker, now, mut rng) = at(Gate::Closed);
    assert!(breaker.set_manual(Some(Manual::Open), now).is_some());
    assert_eq!((breaker.deadline(), breaker.retry_at(), breaker.manual()), (Instant::NEVER, None, Some(Manual::Open)));
    assert_eq!(breaker.tick(now + 9999 * S), None);
    assert_eq!(breaker.on_probe(false, true, now), None);
    assert_eq!(breaker.on_probe(true, true, now + 9999 * S), None);
    assert_eq!(breaker.on_call_in_the_dark(true, now + 9999 * S, &mut rng), None);
    assert!(breaker.set_manual(Some(Manual::Close), now).is_some());
    assert_eq!(breaker.on_epoch(&[(0, failures(99, Cause::Network))], now, &mut rng), None);
    assert_eq!(breaker.set_manual(None, now), None);
    assert_eq!((breaker.gate(), breaker.run(), breaker.since()), (Gate::Closed, 0, now));
}

#[test]
fn policies_are_sane() {
    assert_eq!(Policy::default(), Policy::new(5, 2, 30_000));
    let check = |policy: Policy, want: (u32, u32, u32, u32)| {
        assert_eq!((policy.failures, policy.network_failures, policy.timeout_failures, policy.successes), want);
    };
    check(Policy::default(), (5, 3, 5, 2));
    check(Policy::new(2, 1, 1), (2, 2, 2, 1));
    check(Policy::new(0, 0, 0), (1, 1, 1, 1));
    let mut breaker = Breaker::new(Policy::new(1, 1, u64::MAX));
    assert!(breaker.on_epoch(&[(0, failures(u32::MAX, Cause::Server))], Instant(1), &mut Rng::new(1)).is_some());
    assert_eq!(breaker.deadline(), Instant::NEVER);
}

fn any_epoch() -> impl Strategy<Value = Vec<(u16, Outcomes)>> {
    let outcomes = (0u32..4, 0u32..4, 0u32..4, 0u8..3).prop_map(|(successes, failures, trailing, cause)| Outcomes {
        successes,
        failures,
        trailing: if successes == 0 { failures } else { trailing.min(failures) },
        last_cause: (failures > 0).then_some([Cause::Server, Cause::Network, Cause::Timeout][cause as usize]),
    });
    prop::collection::vec(outcomes, 0..5).prop_map(|all| (0..).zip(all).collect())
}

proptest! {
    #[test]
    fn the_order_of_reports_in_an_epoch_does_not_matter(epochs in prop::collection::vec((any_epoch(), any::<u64>()), 1..12)) {
        let (mut a, mut b) = (Breaker::new(Policy::default()), Breaker::new(Policy::default()));
        let now = Instant(1);
        for (epoch, seed) in epochs {
            let mut shuffled = epoch.clone();
            let mut order = Rng::new(seed);
            for i in (1..shuffled.len()).rev() {
                shuffled.swap(i, order.below(i as u64 + 1) as usize);
            }
            let (one, two) = (a.on_epoch(&epoch, now, &mut Rng::new(1)), b.on_epoch(&shuffled, now, &mut Rng::new(1)));
            prop_assert_eq!(one, two);
            prop_assert_eq!((a.gate(), a.run()), (b.gate(), b.run()));
        }
    }

    #[test]
    fn at_most_one_permit_is_out(steps in prop::collection::vec((0u8..8, 0u64..6), 1..80)) {
        let (mut breaker, mut now, mut rng) = at(Gate::HalfOpen);
        // Ids still good, by our own books: given out, neither returned nor expired nor overtaken by a change of the gate.
        let mut out: Option<(u64, Instant, bool)> = None;
        for (nth, (step, arg)) in steps.into_iter().enumerate() {
            let before = breaker.gate();
            match step {
                0 | 1 => {
                    let expires = now.plus_ms(500 * arg + 1);
                    out = out.filter(|(_, until, _)| *until > now);
                    let rests = breaker.rests_until().is_some_and(|until| now < until);
                    let free = before == Gate::HalfOpen && out.is_none() && !rests;
                    prop_assert_eq!(breaker.lease(PermitId(nth as u64), arg as u16, now, expires, now), free);
                    if free {
                        out = Some((nth as u64, expires, false));
                    }
                }
                2 => {
                    let id = out.map_or(999, |(id, _, _)| id);
                    breaker.on_trial(PermitId(id), end_of([None, Some(true), Some(false)][arg as usize % 3]), now, &mut rng);
                    out = None;
                }
                3 => breaker.on_started(PermitId(nth as u64 - u64::from(nth > 0))),
                4 => now = now.plus_ms(400 * arg),
                5 => {
                    breaker.tick(now);
                    out = out.filter(|(_, until, _)| *until > now);
                }
                6 => now = now.max(breaker.deadline().min(now + 700 * S)),
                _ => {
                    breaker.on_producer_lost(arg as u16);
                    out = out.filter(|_| breaker.permit().is_some());
                }
            }
            if breaker.gate() != before {
                out = None;
            }
            prop_assert_eq!(breaker.permit().map(|permit| permit.id.0), out.map(|(id, _, _)| id));
            prop_assert!(breaker.permit().is_none() || breaker.gate() == Gate::HalfOpen);
        }
    }
}

#[test]
fn a_good_probe_ends_the_run_of_probes_and_no_other() {
    let (mut breaker, mut rng) = (Breaker::new(Policy::new(5, 2, 30_000)), Rng::new(1));
    let failed = |producer| (producer, Outcomes { successes: 0, failures: 2, trailing: 2, last_cause: Some(Cause::Server) });
    assert_eq!(breaker.on_epoch(&[failed(0), failed(3)], Instant::ZERO, &mut rng), None);
    assert_eq!(breaker.run(), 4);
    breaker.end_run(3);
    breaker.end_run(9);
    assert_eq!(breaker.run(), 2);
    assert_eq!(breaker.on_epoch(&[failed(3)], Instant::ZERO, &mut rng), None);
    let opened = breaker.on_epoch(&[failed(0)], Instant::ZERO, &mut rng);
    assert_eq!(opened.map(|t| t.to), Some(Gate::Open));
}
