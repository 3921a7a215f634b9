//! What a call's attempts say about their providers, told to the tally once it is certain.
//!
//! A connection that fails, or an answer that breaks HTTP or JSON-RPC, always counts. A JSON-RPC error or a timeout may be
//! the call's own fault, so it waits here until another provider has answered the same call: only then is it held
//! against the one that did not (CONTRACT §5). A client's broken calls can therefore open no circuit.

use crate::base::ids::{ChannelId, PermitId, SlotId, Transport};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::observe::report::Event;
use crate::observe::tally::{Attempted, Effect};
use crate::route::classify::{Category, Class, Outcome};
use crate::runtime::world::World;
use crate::shard::attempt::Got;
use crate::shard::call::Call;
use crate::shard::dial::ConnectFault;
use crate::shard::{Fault, Shard};
use crate::snapshot::{ChainPlan, bit};
use arrayvec::ArrayVec;

/// One attempt, from outside.
pub struct Attempt {
    pub slot: SlotId,
    pub began: Instant,
    pub ended: Instant,
    pub deadline: Instant,
    pub is_retry: bool,
    pub trial: Trial,
}

/// The permit of an attempt on a half-open channel, if it is one.
#[derive(Clone, Copy)]
pub struct Trial(Option<PermitId>);

/// The permit that an attempt needed was gone.
pub struct NoPermit;

impl Trial {
    pub fn begin<W: World>(shard: &Shard<W>, plan: &ChainPlan, slot: SlotId, now: Instant) -> Result<Trial, NoPermit> {
        if plan.gates.half_open & bit(slot) == 0 {
            return Ok(Trial(None));
        }
        let Some(permit) = shard.used.take_permit(plan, slot, shard.producer(), now) else {
            // The simulator's deliberate bug.
            return if W::FAULTS && shard.fault == Fault::SharePermit { Ok(Trial(None)) } else { Err(NoPermit) };
        };
        let channel = plan.fixed.channels[slot];
        shard.reporter.tell(Event::TrialStarted { permit, channel });
        Ok(Trial(Some(permit)))
    }
}

/// Collects what a call's attempts prove.
#[derive(Default)]
pub struct Witness {
    /// Failures that nobody has answered better yet, each with its channel's successes until then.
    suspects: ArrayVec<(Attempted, u32), { limits::ATTEMPTS as usize }>,
}

impl Witness {
    /// An attempt ended. `is_resending`: it is made once more on a fresh connection, so it is no evidence.
    pub fn on_end<W: World>(
        &mut self,
        shard: &Shard<W>,
        plan: &ChainPlan,
        call: &Call<W>,
        got: &Got<W>,
        attempt: Attempt,
        is_resending: bool,
    ) {
        let allotted = attempt.deadline.since(attempt.began);
        let channel = plan.fixed.channels[attempt.slot];
        let read = read(got, allotted).filter(|_| !is_resending);
        if let Trial(Some(permit)) = attempt.trial {
            let ok = read.and_then(|(effect, category)| trial_verdict(effect, category));
            shard.reporter.tell(Event::TrialEnded { permit, channel, ok });
        }
        let Some((effect, category)) = read else { return };
        let effect = if is_the_links(got, channel) { Effect::Neutral } else { effect };
        let attempted = Attempted {
            entry: plan.fixed.entry(attempt.slot),
            channel,
            method: call.ask.method,
            effect,
            category,
            latency: attempt.ended.since(attempt.began),
            is_retry: attempt.is_retry,
            is_superseded: false,
        };
        tell_side_effects(shard, plan, call, got, attempt.slot, channel);
        match effect {
            Effect::Suspect if !self.suspects.is_full() => {
                self.suspects.push((attempted, shard.vetoes.successes(channel)));
            }
            _ => record(shard, &attempted),
        }
        if matches!(got, Got::Answer { .. } | Got::Stream(_)) {
            for (suspect, successes) in self.suspects.drain(..) {
                // Its place in a run is when it happened, not when it became certain.
                let is_superseded = shard.vetoes.successes(suspect.channel) != successes;
                record(shard, &Attempted { effect: Effect::Penalised, is_superseded, ..suspect });
            }
        }
    }

    /// The call ended without an answer: what is left stays a suspicion.
    pub fn end<W: World>(&mut self, shard: &Shard<W>) {
        self.suspects.drain(..).for_each(|(suspect, _)| record(shard, &suspect));
    }
}

fn record<W: World>(shard: &Shard<W>, attempted: &Attempted) {
    shard.reporter.record(attempted);
    match attempted.effect {
        Effect::Success => shard.vetoes.on_success(attempted.channel),
        Effect::Penalised if !attempted.is_superseded => {
            let is_network = attempted.category == Some(Category::Network);
            shard.vetoes.on_failure(attempted.channel, is_network, shard.reporter.epoch());
        }
        Effect::Penalised | Effect::Suspect | Effect::Neutral => {}
    }
}

/// A WebSocket that ends, or is not made, counts once against its channel, by itself, and not for each call that it carried.
fn is_the_links<W: World>(got: &Got<W>, channel: ChannelId) -> bool {
    channel.transport() == Transport::Ws && matches!(got, Got::NotSent(_) | Got::Lost { .. })
}

/// What the end of an attempt says; `None`: nothing about the provider.
fn read<W: World>(got: &Got<W>, allotted: Duration) -> Option<(Effect, Option<Category>)> {
    // A first attempt's time begins before its provider is chosen; the least it gets is fair by definition.
    let had_time = allotted >= Duration::from_millis(limits::ATTEMPT_FAIR_MS - limits::SWEEP_MS);
    match got {
        // Who lacks a block that others have answers well all the same.
        Got::Answer { category: None, .. } | Got::Stream(_) | Got::Absent { .. } => Some((Effect::Success, None)),
        Got::Answer { category, .. } => Some((Effect::Neutral, *category)),
        Got::Refused { outcome, .. } => Some((of_refusal(outcome), Some(outcome.category))),
        Got::NotSent(
            ConnectFault::Unresolved
            | ConnectFault::Refused(_)
            | ConnectFault::Tls(_)
            | ConnectFault::NotUpgraded(_)
            | ConnectFault::NoHttp2
            | ConnectFault::TurnedAway,
        ) => Some((Effect::Penalised, Some(Category::Network))),
        Got::NotSent(ConnectFault::Late) if had_time => Some((Effect::Penalised, Some(Category::Timeout))),
        // Idle connections may be closed by whoever likes; only a call under way is owed its answer.
        Got::Lost { stale } => Some((if *stale { Effect::Neutral } else { Effect::Penalised }, Some(Category::Network))),
        Got::TimedOut => Some((if had_time { Effect::Suspect } else { Effect::Neutral }, Some(Category::Timeout))),
        Got::NotSent(_) | Got::ClientGone => None,
    }
}

fn of_refusal(outcome: &Outcome) -> Effect {
    match (outcome.category, outcome.penalty) {
        (Category::MalformedResponse, _) => Effect::Penalised,
        // Credentials are the operator's affair: marked by themselves, not by the breaker.
        (Category::Auth, _) | (_, false) => Effect::Neutral,
        (_, true) => Effect::Suspect,
    }
}

/// A half-open channel's trial: an answer of any kind is well, a fault of its own is not, the rest says nothing.
fn trial_verdict(effect: Effect, category: Option<Category>) -> Option<bool> {
    match (effect, category.map(Category::class)) {
        (Effect::Success, _) | (_, Some(Class::Deterministic)) => Some(true),
        (Effect::Penalised, _) => Some(false),
        _ => None,
    }
}

/// Limits, refused credentials and what the provider turned down.
fn tell_side_effects<W: World>(
    shard: &Shard<W>,
    plan: &ChainPlan,
    call: &Call<W>,
    got: &Got<W>,
    slot: SlotId,
    channel: ChannelId,
) {
    let (epoch, method) = (shard.reporter.epoch(), call.ask.method);
    match got {
        Got::NotSent(ConnectFault::Refused(_) | ConnectFault::NotUpgraded(_) | ConnectFault::Resting) => {
            shard.vetoes.raise(channel, epoch);
        }
        Got::Refused { outcome, .. } => match (outcome.category, outcome.category.class()) {
            (_, Class::Quota) => {
                shard.vetoes.raise(channel, epoch);
                shard.reporter.tell(Event::Limited { channel, hint_ms: outcome.retry_after_ms });
            }
            (Category::Auth, _) => {
                shard.vetoes.raise(channel, epoch);
                shard.reporter.refuse(channel);
            }
            (category, Class::Capability) => {
                let blocks = if category == Category::MissingDataArchive { call.fit.depth } else { call.fit.range };
                shard.reporter.tell(Event::Rejected { channel, method, category, blocks });
            }
            _ => {}
        },
        Got::Answer { category: None, .. } | Got::Stream(_) if plan.has_learnt => {
            let rejected = plan.learnt.get(slot).map_or(u64::MAX, |l| l.rejected_range);
            if let Some(blocks) = call.fit.range.filter(|blocks| *blocks >= rejected) {
                shard.reporter.tell(Event::Served { channel, blocks });
            }
        }
        _ => {}
    }
}
