//! One channel's circuit: closed, open for a while, then half-open until two trials in a row went well.
//!
//! Shards report by epoch, so the machine counts per producer and judges the sum: the result does not depend on the order
//! of reports within an epoch. Trials are our own probes, leased by a numbered permit, of which there is at most one: a sick
//! provider is never tried twice at once, and a late answer to an old permit changes nothing. A permit that nobody used, or
//! whose holder is gone, comes back without a verdict, so a lost message costs time and never wedges the circuit. A trial
//! that ends without a verdict (it was limited, our credentials were refused) is repeated when the provider said, or after
//! two seconds, doubling: a provider that sheds load is not asked for ever. The wait of an open circuit doubles only when
//! a trial failed. It ends early when our probes have been good for a while, and at once while calls have nobody else.
//! Rejected: judging each failure as it comes (a shared counter on every call's path), and a rate over a window (slow to
//! open for a provider that is called seldom). Fails towards closed: whatever is not known to be a failure is none.

pub use crate::base::ids::PermitId;
use crate::base::limits;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
pub use crate::observe::report::TrialEnd;

/// Of a penalised failure: each has its own threshold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    Server,
    Network,
    Timeout,
}

/// When a circuit opens, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Penalised failures in a row that open it.
    pub failures: u32,
    /// The same when the latest was a network failure.
    pub network_failures: u32,
    /// The same when the latest was a timeout.
    pub timeout_failures: u32,
    /// Trials in a row that close it.
    pub successes: u32,
    /// Open for this long the first time.
    pub recovery: Duration,
    /// Doubled by each opening in a row up to this.
    pub recovery_max: Duration,
}

const RECOVERY_MAX: Duration = Duration::from_secs(600);
/// Probes that were good for so long end any wait.
const WELL_FOR: Duration = Duration::from_millis(limits::PROBES_WELL_MS);

impl Policy {
    /// A count of 0 is taken as 1. A recovery above ten minutes is not doubled.
    pub fn new(failures: u32, successes: u32, recovery_ms: u64) -> Policy {
        let (failures, recovery) = (failures.max(1), Duration::from_millis(recovery_ms));
        Policy {
            failures,
            network_failures: failures.min(3),
            timeout_failures: failures,
            successes: successes.max(1),
            recovery,
            recovery_max: recovery.max(RECOVERY_MAX),
        }
    }

    fn threshold(&self, cause: Cause) -> u32 {
        match cause {
            Cause::Server => self.failures,
            Cause::Network => self.network_failures,
            Cause::Timeout => self.timeout_failures,
        }
    }

    /// How long the `nth` opening in a row lasts (from 1), before jitter.
    fn delay(&self, nth: u32) -> Duration {
        let doublings = nth.saturating_sub(1).min(31);
        self.recovery.saturating_mul(1 << doublings).min(self.recovery_max)
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::new(5, 2, 30_000)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    Closed,
    HalfOpen,
    Open,
}

impl Gate {
    /// For metrics, logs and the API.
    pub fn word(self) -> &'static str {
        match self {
            Gate::Closed => "closed",
            Gate::HalfOpen => "half_open",
            Gate::Open => "open",
        }
    }
}

/// What one producer saw of one channel in one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcomes {
    pub successes: u32,
    /// Penalised ones only.
    pub failures: u32,
    /// Penalised failures after its last success, of this epoch or an earlier one.
    pub trailing: u32,
    pub last_cause: Option<Cause>,
}

/// The right to send one trial through a half-open circuit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permit {
    pub id: PermitId,
    /// The producer that may use it.
    pub holder: u16,
    /// Not to be begun after this.
    pub start_by: Instant,
    /// Without a result by then it comes back.
    pub expires: Instant,
    pub started: bool,
}

/// What people are told of a circuit that an operator holds open; the same words everywhere.
pub const HELD_OPEN: &str = "held open by hand: no calls until an operator ends it";

/// The same of one that an operator holds closed.
pub const HELD_CLOSED: &str = "held closed by hand: failures do not open it";

/// An operator's hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manual {
    Open,
    Close,
}

/// A change of the gate, for the log and the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transition {
    pub from: Gate,
    pub to: Gate,
    /// One of the words in docs/behaviour/health.md#circuits.
    pub reason: &'static str,
}

#[derive(Clone, Debug)]
pub struct Breaker {
    policy: Policy,
    gate: Gate,
    manual: Option<Manual>,
    since: Instant,
    reason: &'static str,
    /// Unbroken failures of each producer.
    runs: Vec<u32>,
    /// Openings without a close between them.
    opens: u32,
    /// How long the last opening was to last.
    delay: Duration,
    /// Good trials since half-open, and unclear ones in a row.
    trials: u32,
    unclear: u32,
    /// No trial before this.
    rests_until: Instant,
    permit: Option<Permit>,
    /// Since when every probe was good; `None` after one that failed.
    well_since: Option<Instant>,
    probe_failing: bool,
}

impl Breaker {
    pub fn new(policy: Policy) -> Breaker {
        Breaker {
            policy,
            gate: Gate::Closed,
            manual: None,
            since: Instant::ZERO,
            reason: "start",
            runs: Vec::new(),
            opens: 0,
            delay: Duration::ZERO,
            trials: 0,
            unclear: 0,
            rests_until: Instant::ZERO,
            permit: None,
            well_since: None,
            probe_failing: false,
        }
    }

    /// What all producers saw in one merged epoch, each producer at most once. Counts only while closed and not held: what
    /// arrives later is of calls that began before.
    pub fn on_epoch(&mut self, outcomes: &[(u16, Outcomes)], now: Instant, rng: &mut Rng) -> Option<Transition> {
        if self.gate != Gate::Closed || self.manual.is_some() {
            return None;
        }
        let threshold = self.count(outcomes)?;
        (self.run() >= threshold).then(|| self.open("failure_threshold_exceeded", now, rng))
    }

    /// Brings the runs up to date. The threshold is the lowest of the runs that grew; `None` when none did.
    fn count(&mut self, outcomes: &[(u16, Outcomes)]) -> Option<u32> {
        let (mut successes, mut failures, mut ended_well, mut threshold) = (0u64, 0u64, false, None);
        for &(producer, seen) in outcomes {
            successes += u64::from(seen.successes);
            failures += u64::from(seen.failures);
            let before = if seen.successes == 0 { self.run_of(producer) } else { 0 };
            let grown = seen.trailing;
            ended_well |= seen.successes > 0 && grown == 0;
            self.set_run(producer, before.saturating_add(grown));
            if grown > 0 {
                let of_cause = seen.last_cause.map_or(self.policy.failures, |cause| self.policy.threshold(cause));
                threshold = Some(threshold.map_or(of_cause, |lowest: u32| lowest.min(of_cause)));
            }
        }
        if ended_well && successes >= failures {
            self.runs.clear();
            return None;
        }
        threshold
    }

    fn run_of(&self, producer: u16) -> u32 {
        self.runs.get(usize::from(producer)).copied().unwrap_or(0)
    }

    fn set_run(&mut self, producer: u16, run: u32) {
        let place = usize::from(producer);
        if self.runs.len() <= place {
            self.runs.resize(place + 1, 0);
        }
        if let Some(own) = self.runs.get_mut(place) {
            *own = run;
        }
    }

    /// The result of a leased trial. Any but the current permit's is ignored.
    pub fn on_trial(&mut self, permit: PermitId, end: TrialEnd, now: Instant, rng: &mut Rng) -> Option<Transition> {
        self.permit.take_if(|own| own.id == permit)?;
        match end {
            TrialEnd::Unclear { hint_ms } => {
                let doubled_ms = limits::TRIAL_PAUSE_MS << self.unclear.min(16);
                self.unclear += 1;
                self.rests_until = now.plus_ms(hint_ms.unwrap_or(doubled_ms).min(limits::RETRY_AFTER_MAX_MS));
                None
            }
            TrialEnd::Bad => Some(self.open("reopen_due_to_failure", now, rng)),
            TrialEnd::Good => self.on_good_trial(now),
        }
    }

    fn on_good_trial(&mut self, now: Instant) -> Option<Transition> {
        (self.unclear, self.rests_until) = (0, Instant::ZERO);
        self.trials += 1;
        (self.trials >= self.policy.successes).then(|| self.close("recovered", now))
    }

    /// A client's call, which had nobody else, was sent to this channel although its circuit is not closed. An answer is worth
    /// as much as a good trial; a connection that could not be made re-opens a half-open circuit.
    pub fn on_call_in_the_dark(&mut self, ok: bool, now: Instant, rng: &mut Rng) -> Option<Transition> {
        match (self.gate, ok) {
            _ if self.manual.is_some() => None,
            (Gate::Open, true) => {
                let half_open = self.half_open("answered_a_call", now);
                self.trials = 1;
                if self.trials >= self.policy.successes { Some(self.close("recovered", now)) } else { Some(half_open) }
            }
            (Gate::HalfOpen, true) => self.on_good_trial(now),
            (Gate::HalfOpen, false) => Some(self.open("reopen_due_to_failure", now, rng)),
            (Gate::Open, false) | (Gate::Closed, _) => None,
        }
    }

    /// A probe of ours that is no trial. `is_dark`: calls have nobody else, so a good one ends the wait at once; else it ends
    /// when probes have been good for a while. While closed it decides nothing: a failed probe is among the outcomes of its
    /// epoch.
    pub fn on_probe(&mut self, ok: bool, is_dark: bool, now: Instant) -> Option<Transition> {
        self.probe_failing = !ok;
        self.well_since = if ok { self.well_since.or(Some(now)) } else { None };
        if self.gate != Gate::Open || self.manual.is_some() {
            return None;
        }
        if ok && is_dark { Some(self.half_open("answered_a_probe", now)) } else { self.tick(now) }
    }

    /// What `producer` had seen fail in a row is over, and nothing is said of the others': a good probe ends the run of
    /// probes, but a provider that answers `eth_chainId` and fails every call is broken.
    pub fn end_run(&mut self, producer: u16) {
        if let Some(own) = self.runs.get_mut(usize::from(producer)) {
            *own = 0;
        }
    }

    /// What is due by `now`: open becomes half-open, an expired permit comes back.
    pub fn tick(&mut self, now: Instant) -> Option<Transition> {
        if now < self.deadline() {
            return None;
        }
        match self.gate {
            Gate::Open => {
                let is_early = now < self.since + self.delay;
                Some(self.half_open(if is_early { "probes_are_good" } else { "recovery_attempt" }, now))
            }
            Gate::HalfOpen => {
                self.permit = None;
                None
            }
            Gate::Closed => None,
        }
    }

    /// When `tick` has something to do.
    pub fn deadline(&self) -> Instant {
        match self.gate {
            Gate::Open => self.retry_at().unwrap_or(Instant::NEVER),
            Gate::HalfOpen => self.permit.map_or(Instant::NEVER, |permit| permit.expires),
            Gate::Closed => Instant::NEVER,
        }
    }

    /// Leases the one permit to `holder`; `false` when the circuit is not half-open, rests, or the permit is out.
    pub fn lease(&mut self, id: PermitId, holder: u16, start_by: Instant, expires: Instant, now: Instant) -> bool {
        self.permit.take_if(|own| own.expires <= now);
        if self.gate != Gate::HalfOpen || self.permit.is_some() || now < self.rests_until {
            return false;
        }
        self.permit = Some(Permit { id, holder, start_by, expires, started: false });
        true
    }

    /// Its holder has used it, so it is not taken back as unused.
    pub fn on_started(&mut self, permit: PermitId) {
        if let Some(own) = self.permit.as_mut().filter(|own| own.id == permit) {
            own.started = true;
        }
    }

    /// `holder` has reported everything it did up to `until`: a permit that it did not start in its time comes back.
    pub fn on_reported(&mut self, holder: u16, until: Instant) {
        self.permit.take_if(|own| own.holder == holder && !own.started && own.start_by < until);
    }

    /// A producer that will not report again: its permit comes back and its failures are forgotten.
    pub fn on_producer_lost(&mut self, holder: u16) {
        self.permit.take_if(|own| own.holder == holder);
        if let Some(run) = self.runs.get_mut(usize::from(holder)) {
            *run = 0;
        }
    }

    /// Holds it open or closed, or lets it go (`None`): from open by way of half-open, from closed at once. Whatever was
    /// counted before is forgotten: an operator starts over.
    pub fn set_manual(&mut self, manual: Option<Manual>, now: Instant) -> Option<Transition> {
        let before = std::mem::replace(&mut self.manual, manual);
        if before == manual {
            return None;
        }
        let from = self.gate;
        self.opens = 0;
        self.runs.clear();
        match (manual, before) {
            (Some(Manual::Open), _) => self.enter(Gate::Open, "manual_open", now),
            (Some(Manual::Close), _) => self.close("manual_close", now),
            (None, Some(Manual::Open)) => self.half_open("manual_auto", now),
            (None, _) => self.close("manual_auto", now),
        };
        (from != self.gate).then_some(Transition { from, to: self.gate, reason: self.reason })
    }

    fn open(&mut self, reason: &'static str, now: Instant, rng: &mut Rng) -> Transition {
        self.opens = self.opens.saturating_add(1);
        let delay = self.policy.delay(self.opens);
        let jitter = (delay / 10_000).saturating_mul(100 + rng.below(401) as u32);
        self.delay = delay.saturating_add(jitter);
        self.enter(Gate::Open, reason, now)
    }

    fn half_open(&mut self, reason: &'static str, now: Instant) -> Transition {
        self.enter(Gate::HalfOpen, reason, now)
    }

    fn close(&mut self, reason: &'static str, now: Instant) -> Transition {
        self.runs.clear();
        (self.opens, self.probe_failing) = (0, false);
        self.enter(Gate::Closed, reason, now)
    }

    fn enter(&mut self, to: Gate, reason: &'static str, now: Instant) -> Transition {
        let from = std::mem::replace(&mut self.gate, to);
        self.since = now;
        self.reason = reason;
        (self.trials, self.unclear, self.rests_until) = (0, 0, Instant::ZERO);
        self.permit = None;
        Transition { from, to, reason }
    }

    pub fn gate(&self) -> Gate {
        self.gate
    }

    /// The permit that is out.
    pub fn permit(&self) -> Option<&Permit> {
        self.permit.as_ref()
    }

    pub fn manual(&self) -> Option<Manual> {
        self.manual
    }

    /// Openings without a close between them; 0 while closed.
    pub fn opens(&self) -> u32 {
        self.opens
    }

    /// While open, and not held so: when it will be tried again, if nothing happens before.
    pub fn retry_at(&self) -> Option<Instant> {
        let by_timer = self.since + self.delay;
        let by_probes = self.well_since.map(|well| well.max(self.since) + WELL_FOR.min(self.policy.recovery));
        let at = by_probes.map_or(by_timer, |at| at.min(by_timer));
        (self.gate == Gate::Open && self.manual.is_none()).then_some(at)
    }

    /// While open: it is tried before its timer says, because our probes are good.
    pub fn is_tried_early(&self) -> bool {
        self.retry_at().is_some_and(|at| at < self.since + self.delay)
    }

    /// While half-open: no trial before this, because the last one was turned away.
    pub fn rests_until(&self) -> Option<Instant> {
        (self.gate == Gate::HalfOpen && self.rests_until > Instant::ZERO).then_some(self.rests_until)
    }

    /// When the gate last changed, or was last held or let go.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Penalised failures without a success between them; while open, those that opened it.
    pub fn run(&self) -> u32 {
        self.runs.iter().fold(0, |sum, run| sum.saturating_add(*run))
    }

    /// Why the gate is as it is.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// The last probe of ours failed: then a client's failures count without another provider's answer
    /// (docs/behaviour/answers.md#proof-before-penalty).
    pub fn probe_failing(&self) -> bool {
        self.probe_failing
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
