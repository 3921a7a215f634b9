//! One call's life, as a machine: it is told what became of an attempt and says what to do next. It owns the rules that
//! must never be wrong (exactly one reply, nothing unsafe sent twice, an end by the deadline) and no I/O, so a test can
//! walk every path.
//!
//! The shell asks `next`, acts, and reports with `on_end`. What a provider's answer *means* is `classify`'s business;
//! here it is only a verdict. Rejected: retry loops in the data path, where the rule for raw transactions would be three
//! `if`s in three files.

use crate::base::ids::{MethodId, SlotId};
use crate::base::limits;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::chain::method::Safety;
use crate::route::patience;
use crate::route::select::{Ask, Sieve, Walk};
use crate::snapshot::{ChainPlan, Set, bit};

/// What the shell must do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send the call over this channel, within that time.
    Attempt {
        slot: SlotId,
        time: AttemptTime,
        connection: ConnectionRule,
    },
    /// Whoever is left has another call at work, and its circuit is not closed: wait for a turn, at most until then; after it
    /// `resume`.
    AwaitTurn {
        until: Instant,
    },
    /// Nobody has what was promised: wait, then `renew`.
    Pause {
        until: Instant,
    },
    Reply(Reply),
}

/// The time of one attempt. A connection is no part of a provider's answer, so patience counts from the write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttemptTime {
    /// Given up when it has not been written by then.
    pub connect_by: Instant,
    /// Given up so long after it was written.
    pub patience: Duration,
    /// And in any case then: the call's own deadline.
    pub until: Instant,
}

impl AttemptTime {
    /// When an attempt that is written at `now` is given up.
    pub fn deadline(&self, now: Instant) -> Instant {
        (now + self.patience).min(self.until)
    }
}

/// Which pooled connections an attempt may take. A call that must not be repeated takes none that may have died while idle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionRule {
    Pooled,
    /// Idle for less than `limits::FRESH_IDLE_MS`, or new.
    RecentlyUsed,
    New,
}

/// How the call ends. Given once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// The answer that was just reported.
    Answer,
    /// The most recent JSON-RPC error of a provider that was reported with `NextProvider`.
    LastError,
    /// The most recent answer that was reported as `Absent` or `Unproven`.
    LastAbsent,
    /// A refusal of our own.
    Refuse(Refuse),
    /// Nobody is there to reply to.
    Nothing,
}

/// Why no provider's answer can be given (docs/behaviour/http.md#refusals).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refuse {
    /// No provider is eligible at all.
    NoProvider,
    /// Nobody's circuit is closed, and no turn came in time.
    CircuitsOpen,
    /// Whoever is eligible is held open by hand.
    HeldOpen,
    /// Every eligible one failed without a JSON-RPC error of its own.
    Exhausted,
    /// The call's total time is over.
    DeadlineExhausted,
    /// The last possible attempt timed out.
    AttemptTimedOut,
    /// An unsafe call was sent and no complete answer came: it may or may not have been carried out.
    Indeterminate,
}

/// What became of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// A complete answer that is to be returned.
    Answered,
    /// A complete answer (JSON-RPC error or HTTP failure) that another provider may better. `has_error`: it is a
    /// well-formed JSON-RPC error the client may see. `before_pool`: a refusal before the transaction pool.
    Refused {
        has_error: bool,
        before_pool: bool,
    },
    /// A complete answer: it does not have what was asked for, which another provider may.
    Absent,
    /// A complete answer that there is nothing, which may be so: one other provider's word is enough.
    Unproven,
    /// Nothing was written, for a reason of ours: no room, no turn.
    NotSent,
    /// Nothing was written, because no connection could be made.
    Unreachable,
    /// The connection ended, or what came was no valid answer. `stale`: it was a pooled connection that ended before any
    /// answer byte.
    Lost {
        wrote: bool,
        stale: bool,
    },
    TimedOut {
        wrote: bool,
    },
    /// The client left; nothing more is to be done.
    ClientGone,
}

#[derive(Clone, Debug)]
pub struct Exchange {
    walk: Walk,
    safety: Safety,
    started: Instant,
    deadline: Instant,
    dispatches: u8,
    /// Channels tried, sent or not.
    tried: u8,
    current: Option<SlotId>,
    /// For an attempt's patience.
    method: MethodId,
    /// The current attempt was re-sent on a fresh connection once.
    resent: bool,
    /// Channels that lost it once and were busy when it was to be sent again.
    lost_once: Set,
    has_error: bool,
    has_absent: bool,
    /// How long to wait for what was promised before everybody is asked once more.
    promise_ms: Option<u64>,
    is_renewed: bool,
    last: Option<Refuse>,
    over: Option<Reply>,
}

impl Exchange {
    pub fn new(plan: &ChainPlan, ask: &Ask, safety: Safety, timeout_ms: u64, now: Instant) -> Exchange {
        let walk = Walk::new(plan, ask);
        let over = walk.is_empty().then(|| Reply::Refuse(why_nobody(plan, ask)));
        Exchange {
            walk,
            safety,
            started: now,
            deadline: now.plus_ms(timeout_ms),
            dispatches: 0,
            tried: 0,
            current: None,
            method: ask.method,
            resent: false,
            lost_once: 0,
            has_error: false,
            has_absent: false,
            promise_ms: None,
            is_renewed: false,
            last: None,
            over,
        }
    }

    /// Attempts beyond the first, for `lasso_meta`.
    pub fn retries(&self) -> u8 {
        self.tried.saturating_sub(1)
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Tries of this call that came before the current one.
    pub fn is_retry(&self) -> bool {
        self.tried > 1
    }

    /// The same provider is about to be sent the call once more: what ended was no dispatch.
    pub fn is_resending(&self) -> bool {
        self.current.is_some()
    }

    /// What to do now. After a `Reply` it says the same for ever.
    pub fn next(&mut self, plan: &ChainPlan, rng: &mut Rng, now: Instant) -> Action {
        if let Some(reply) = self.over {
            return Action::Reply(reply);
        }
        if let Some(slot) = self.current {
            // Set by `on_end` to send once more over the same channel.
            return self.attempt(plan, slot, now, ConnectionRule::New);
        }
        if now.plus_ms(limits::ATTEMPT_MIN_MS) > self.deadline {
            let timed_out = self.last == Some(Refuse::AttemptTimedOut);
            return self.end(if timed_out { Refuse::AttemptTimedOut } else { Refuse::DeadlineExhausted });
        }
        let may_go_on = self.dispatches < limits::ATTEMPTS && self.tried < limits::CANDIDATES;
        let next = if may_go_on { self.walk.next(plan, rng) } else { None };
        let Some(slot) = next else {
            if may_go_on && self.walk.has_deferred() {
                return Action::AwaitTurn { until: self.deadline };
            }
            if let Some(until) = self.second_round(now) {
                return Action::Pause { until };
            }
            return self.end(self.last.unwrap_or(Refuse::Exhausted));
        };
        self.tried += 1;
        self.resent = self.lost_once & bit(slot) != 0;
        self.current = Some(slot);
        let rule = match self.safety {
            _ if self.resent => ConnectionRule::New,
            Safety::Repeatable => ConnectionRule::Pooled,
            _ => ConnectionRule::RecentlyUsed,
        };
        self.attempt(plan, slot, now, rule)
    }

    /// The attempt that `next` asked for cannot be made now: another call has the turn there.
    pub fn defer(&mut self) {
        if let Some(slot) = self.current.take() {
            self.walk.defer(slot);
            self.tried -= 1;
            self.lost_once |= if self.resent { bit(slot) } else { 0 };
        }
    }

    /// A moment has passed, and who was busy may be free. With a `plan` that is newer than the one before, by what it says.
    pub fn resume(&mut self, renewed: Option<(&ChainPlan, &Ask)>) {
        match renewed {
            Some((plan, ask)) => self.walk.renew(plan, ask),
            None => self.walk.resume(),
        }
    }

    /// The wait for a turn is over without one.
    pub fn give_up_waiting(&mut self, end: End) {
        let why = self.last.unwrap_or(Refuse::CircuitsOpen);
        match end {
            End::ClientGone => self.over = Some(Reply::Nothing),
            _ if self.has_error => self.over = Some(Reply::LastError),
            _ => self.over = Some(Reply::Refuse(why)),
        }
    }

    /// Tells what became of the attempt that `next` asked for.
    pub fn on_end(&mut self, plan: &ChainPlan, end: End) {
        let Some(slot) = self.current.take() else { return };
        match end {
            End::ClientGone => self.over = Some(Reply::Nothing),
            End::Answered => self.over = Some(Reply::Answer),
            End::Refused { has_error, before_pool } => {
                self.dispatched(plan, slot);
                self.has_error |= has_error;
                self.last = Some(Refuse::Exhausted);
                if !self.is_repeatable() && !before_pool {
                    // It may have been carried out: nobody else is asked.
                    self.over = Some(if has_error { Reply::LastError } else { Reply::Refuse(Refuse::Indeterminate) });
                }
            }
            End::Absent => self.lacking(plan, slot),
            End::Unproven if self.has_absent => self.over = Some(Reply::LastAbsent),
            End::Unproven => self.lacking(plan, slot),
            End::NotSent => {
                self.last = self.last.or(Some(Refuse::Exhausted));
                // It had lost the call before, and so may the node behind its other transport.
                if self.resent {
                    self.walk.demote_instance_of(plan, slot);
                }
            }
            End::Unreachable => {
                self.last = self.last.or(Some(Refuse::Exhausted));
                self.walk.demote_instance_of(plan, slot);
            }
            End::Lost { wrote, stale } => {
                let harmless = self.is_repeatable() || !wrote;
                if stale && harmless && !self.resent {
                    self.resent = true;
                    self.current = Some(slot);
                } else {
                    self.unanswered(plan, slot, wrote, Refuse::Exhausted);
                }
            }
            End::TimedOut { wrote } => self.unanswered(plan, slot, wrote, Refuse::AttemptTimedOut),
        }
    }

    fn lacking(&mut self, plan: &ChainPlan, slot: SlotId) {
        self.has_absent = true;
        self.dispatches += 1;
        self.walk.exclude_lacking(plan, slot);
        if !self.is_repeatable() {
            self.over = Some(Reply::LastAbsent);
        }
    }

    fn unanswered(&mut self, plan: &ChainPlan, slot: SlotId, wrote: bool, why: Refuse) {
        self.last = Some(why);
        if !wrote {
            return;
        }
        self.dispatched(plan, slot);
        if !self.is_repeatable() {
            self.over = Some(Reply::Refuse(Refuse::Indeterminate));
        }
    }

    /// A raw transaction never reaches one instance twice, whatever the transport.
    fn dispatched(&mut self, plan: &ChainPlan, slot: SlotId) {
        self.dispatches += 1;
        if self.is_repeatable() {
            self.walk.exclude_channel_of(plan, slot);
            self.walk.demote_instance_of(plan, slot);
        } else {
            self.walk.exclude_instance_of(plan, slot);
        }
    }

    fn is_repeatable(&self) -> bool {
        self.safety == Safety::Repeatable
    }

    fn attempt(&self, plan: &ChainPlan, slot: SlotId, now: Instant, connection: ConnectionRule) -> Action {
        Action::Attempt { slot, time: self.attempt_time(plan, slot, now), connection }
    }

    /// An attempt of a repeatable call leaves time for another one, if there is somebody who can still finish; else it has all
    /// that is left.
    fn attempt_time(&self, plan: &ChainPlan, slot: SlotId, now: Instant) -> AttemptTime {
        let left = self.deadline.since(now);
        if self.has_absent {
            // There is an answer already; a better one is not waited for long.
            let patience = Duration::from_millis(limits::ABSENT_ATTEMPT_MS);
            return AttemptTime { connect_by: (now + patience).min(self.deadline), patience, until: self.deadline };
        }
        let alone = AttemptTime { connect_by: self.deadline, patience: left, until: self.deadline };
        if !self.is_repeatable() || self.walk.is_empty() || self.dispatches + 1 >= limits::ATTEMPTS {
            return alone;
        }
        let (left_ms, total_ms) = (left.as_millis() as u64, self.deadline.since(self.started).as_millis() as u64);
        let attempt_ms = patience::attempt_ms(total_ms, left_ms, plan.ranking(self.method).patience_ms(slot));
        if !self.walk.can_finish_within(plan, left_ms - attempt_ms) {
            return alone;
        }
        let connect_by = now.plus_ms(patience::connect_ms(attempt_ms, left_ms)).min(self.deadline);
        AttemptTime { connect_by, patience: Duration::from_millis(attempt_ms), until: self.deadline }
    }

    /// What is asked for exists, for this node told of it: whoever is known to have it is asked next, and before nobody's having it
    /// is believed, everybody is asked once more.
    pub fn promise(&mut self, wait_ms: u64) {
        self.walk.turn_to_witnesses();
        if !self.is_renewed {
            self.promise_ms = Some(wait_ms);
        }
    }

    fn second_round(&mut self, now: Instant) -> Option<Instant> {
        let until = now.plus_ms(self.promise_ms.take()?);
        (until.plus_ms(limits::ATTEMPT_MIN_MS) <= self.deadline).then_some(until)
    }

    /// Everybody may be asked again.
    pub fn renew(&mut self, plan: &ChainPlan, ask: &Ask) {
        self.walk = Walk::new(plan, ask);
        self.dispatches = 0;
        self.is_renewed = true;
    }

    fn end(&mut self, why: Refuse) -> Action {
        let reply = if self.has_absent {
            Reply::LastAbsent
        } else if self.has_error {
            Reply::LastError
        } else {
            Reply::Refuse(why)
        };
        self.over = Some(reply);
        Action::Reply(reply)
    }
}

fn why_nobody(plan: &ChainPlan, ask: &Ask) -> Refuse {
    let sieve = Sieve::new(plan, ask);
    if sieve.supported != 0 { Refuse::HeldOpen } else { Refuse::NoProvider }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
