//! One channel's circuit: closed, open for a while, then half-open until two trials in a row went well.
//!
//! Shards report by epoch, so the machine counts per producer and judges the sum: the result does not depend on the order
//! of reports within an epoch. Trials are leased by a numbered permit, of which there is at most one: two shards can never
//! try a sick provider at once, and a late answer to an old permit changes nothing. A permit that nobody used, or whose
//! holder is gone, comes back without a verdict, so a lost message costs time and never wedges the circuit.
//! Rejected: judging each failure as it comes (a shared counter on every call's path), and a rate over a window (slow to
//! open for a provider that is called seldom). Fails towards closed: whatever is not known to be a failure is none.
//! LB §7 with the differences of CONTRACT §5.

pub use crate::base::ids::PermitId;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};

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
    /// LB §7.4.
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
    /// Openings in a row.
    opens: u32,
    /// How long the last opening was to last; after a close, how long the next one counts as following it.
    delay: Duration,
    /// Good trials since half-open.
    trials: u32,
    permit: Option<Permit>,
    probe_failing: bool,
    /// A probe failed since it opened, so a good one is news.
    failed_while_open: bool,
    /// The last probe was good after a failed one.
    recovering: bool,
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
            permit: None,
            probe_failing: false,
            failed_while_open: false,
            recovering: false,
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

    /// The result of a leased trial; `None` gives the permit back without a verdict. Any but the current permit is ignored.
    pub fn on_trial(&mut self, permit: PermitId, ok: Option<bool>, now: Instant, rng: &mut Rng) -> Option<Transition> {
        self.permit.take_if(|own| own.id == permit)?;
        match ok {
            None => None,
            Some(false) => Some(self.open("reopen_due_to_failure", now, rng)),
            Some(true) => {
                self.trials += 1;
                (self.trials >= self.policy.successes).then(|| self.close("recovered", now))
            }
        }
    }

    /// A probe of ours that is no trial. While open, a good one after a failed one ends the wait as soon as the base recovery
    /// time has passed; if it fails again before that, the full wait stands. While closed it decides nothing: a failed probe
    /// is among the outcomes of its epoch.
    pub fn on_probe(&mut self, ok: bool, now: Instant) -> Option<Transition> {
        self.probe_failing = !ok;
        if self.gate != Gate::Open {
            return None;
        }
        self.recovering = ok && self.failed_while_open;
        self.failed_while_open |= !ok;
        self.tick(now)
    }

    /// What `producer` had seen fail in a row is over, and nothing is said of the others': a good probe ends the run of
    /// probes, but a provider that answers `eth_chainId` and fails every call is broken.
    pub fn end_run(&mut self, producer: u16) {
        if let Some(own) = self.runs.get_mut(usize::from(producer)) {
            *own = 0;
        }
    }

    /// What is due by `now`: open becomes half-open, an expired permit comes back, an old opening is forgotten.
    pub fn tick(&mut self, now: Instant) -> Option<Transition> {
        if now < self.deadline() {
            return None;
        }
        match self.gate {
            Gate::Open => {
                let reason = if self.recovering { "recovery_attempt" } else { "proactive_recovery" };
                Some(self.half_open(reason, now))
            }
            Gate::HalfOpen => {
                self.permit = None;
                None
            }
            Gate::Closed => {
                self.opens = 0;
                None
            }
        }
    }

    /// When `tick` has something to do.
    pub fn deadline(&self) -> Instant {
        match self.gate {
            Gate::Open => self.retry_at().unwrap_or(Instant::NEVER),
            Gate::HalfOpen => self.permit.map_or(Instant::NEVER, |permit| permit.expires),
            Gate::Closed if self.opens > 0 => self.since + self.delay,
            Gate::Closed => Instant::NEVER,
        }
    }

    /// Leases the one permit to `holder`; `false` when the circuit is not half-open or the permit is out.
    pub fn lease(&mut self, id: PermitId, holder: u16, start_by: Instant, expires: Instant, now: Instant) -> bool {
        self.permit.take_if(|own| own.expires <= now);
        if self.gate != Gate::HalfOpen || self.permit.is_some() {
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
        // What opens again before it was closed as long as it had been open has not recovered: the wait doubles.
        if self.gate == Gate::Closed && now >= self.since + self.delay {
            self.opens = 0;
        }
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
        self.probe_failing = false;
        self.enter(Gate::Closed, reason, now)
    }

    fn enter(&mut self, to: Gate, reason: &'static str, now: Instant) -> Transition {
        let from = std::mem::replace(&mut self.gate, to);
        self.since = now;
        self.reason = reason;
        self.trials = 0;
        self.permit = None;
        self.failed_while_open = false;
        self.recovering = false;
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

    /// Openings in a row; 0 once it stayed closed for as long as it had been open.
    pub fn opens(&self) -> u32 {
        self.opens
    }

    /// While open, and not held so: when it will be tried again.
    pub fn retry_at(&self) -> Option<Instant> {
        let wait = if self.recovering { self.delay.min(self.policy.recovery) } else { self.delay };
        (self.gate == Gate::Open && self.manual.is_none()).then_some(self.since + wait)
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

    /// The last probe of ours failed: then a client's failures count without another provider's answer (CONTRACT §5).
    pub fn probe_failing(&self) -> bool {
        self.probe_failing
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
