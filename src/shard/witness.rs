//! What a call's attempts say about their providers, told to the tally once it is certain.
//!
//! Proof before penalty. That no connection could be made counts at once: nothing of the call was written. From the first
//! byte on everything that goes wrong (a reset, a close, garbage, a 502, silence) may be the call's own doing, so it waits here
//! as a suspicion. It becomes a failure when another provider answered the same call in no more time than the suspect was
//! given; what nobody answered goes up as suspected, and a probe of ours decides it. So a client's broken calls open no
//! circuit, a heavy call convicts nobody of having been given too little time, and a real outage is still known at once.
//! What is ours (no descriptor, no port, no turn in our own queue) is nobody's fault.

use crate::base::ids::{ChannelId, SlotId, Transport};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::observe::report::Event;
use crate::observe::tally::{Attempted, Effect};
use crate::route::classify::{Category, Class, Outcome};
use crate::runtime::turns::DarkTurn;
use crate::runtime::world::World;
use crate::shard::attempt::Got;
use crate::shard::call::Call;
use crate::shard::dial::ConnectFault;
use crate::shard::{Fault, Shard};
use crate::snapshot::ChainPlan;
use arrayvec::ArrayVec;

/// One attempt, from outside.
pub struct Attempt {
    pub slot: SlotId,
    pub began: Instant,
    pub ended: Instant,
    pub is_retry: bool,
    /// The right to be sent to a channel whose circuit is not closed, if it is one.
    pub turn: Option<DarkTurn>,
}

/// Collects what a call's attempts prove.
#[derive(Default)]
pub struct Witness {
    /// Failures that nobody has answered better yet.
    suspects: ArrayVec<Suspect, { limits::ATTEMPTS as usize }>,
}

struct Suspect {
    attempted: Attempted,
    /// What it was given from the write on.
    allotted: Duration,
    /// Its channel's successes until then.
    successes: u32,
}

impl Witness {
    /// An attempt ended. `is_resending`: it is made once more on a fresh connection, so it is no evidence.
    pub fn on_end<W: World>(
        &mut self,
        shard: &Shard<W>,
        plan: &ChainPlan,
        call: &Call<W>,
        got: &Got<W>,
        (attempt, is_resending): (Attempt, bool),
    ) {
        let channel = plan.fixed.channels[attempt.slot];
        let read = read(got).filter(|_| !is_resending);
        if attempt.turn.is_some()
            && let Some(ok) = read.and_then(|(effect, category)| verdict_in_the_dark(effect, category))
        {
            shard.reporter.tell(Event::InTheDark { channel, ok });
        }
        let Some((effect, category)) = read else { return };
        let effect = if is_the_links(got, channel) { Effect::Neutral } else { effect };
        let latency = attempt.ended.since(attempt.began);
        let attempted = Attempted {
            entry: plan.fixed.entry(attempt.slot),
            channel,
            method: call.ask.method,
            effect,
            category,
            latency,
            is_retry: attempt.is_retry,
            is_superseded: false,
        };
        tell_side_effects(shard, plan, call, got, (attempt.slot, channel));
        match effect {
            Effect::Suspect if W::FAULTS && shard.fault == Fault::PenaltyWithoutProof => {
                record(shard, &Attempted { effect: Effect::Penalised, ..attempted });
            }
            Effect::Suspect if !self.suspects.is_full() => {
                let successes = shard.vetoes.successes(channel);
                self.suspects.push(Suspect { attempted, allotted: call.trace.allotted, successes });
            }
            _ => record(shard, &attempted),
        }
        if matches!(got, Got::Answer { .. } | Got::Stream(_)) {
            self.convict(shard, latency);
        }
    }

    /// Another provider has answered the call in `took`: whoever was given as much has failed.
    fn convict<W: World>(&mut self, shard: &Shard<W>, took: Duration) {
        for suspect in self.suspects.drain(..) {
            // Its place in a run is when it happened, not when it became certain.
            let is_superseded = shard.vetoes.successes(suspect.attempted.channel) != suspect.successes;
            let is_proven = took <= suspect.allotted;
            let effect = if is_proven { Effect::Penalised } else { Effect::Suspect };
            record(shard, &Attempted { effect, is_superseded, ..suspect.attempted });
        }
    }

    /// The call ended without an answer: what is left stays a suspicion.
    pub fn end<W: World>(&mut self, shard: &Shard<W>) {
        self.suspects.drain(..).for_each(|suspect| record(shard, &suspect.attempted));
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
fn read<W: World>(got: &Got<W>) -> Option<(Effect, Option<Category>)> {
    match got {
        // Who lacks a block that others have answers well all the same.
        Got::Answer { category: None, .. } | Got::Stream(_) | Got::Absent { .. } | Got::Unproven { .. } => {
            Some((Effect::Success, None))
        }
        Got::Answer { category, .. } => Some((Effect::Neutral, *category)),
        Got::Refused { outcome, .. } => Some((effect_of(outcome), Some(outcome.category))),
        Got::NotSent(ConnectFault::Refused(_) | ConnectFault::Tls(_) | ConnectFault::NotUpgraded(_) | ConnectFault::NoHttp2) => {
            Some((Effect::Penalised, Some(Category::Network)))
        }
        // The call did not wait longer; a probe does, and decides.
        Got::NotSent(ConnectFault::Late) => Some((Effect::Suspect, Some(Category::Timeout))),
        // Idle connections may be closed by whoever likes; only a call under way is owed its answer.
        Got::Lost { stale } => Some((if *stale { Effect::Neutral } else { Effect::Suspect }, Some(Category::Network))),
        // Behind somebody else's long message, or because we had no room to read.
        Got::TimedOut { is_hindered: true } => Some((Effect::Neutral, Some(Category::Timeout))),
        Got::TimedOut { is_hindered: false } => Some((Effect::Suspect, Some(Category::Timeout))),
        Got::NotSent(_) | Got::ClientGone => None,
    }
}

fn effect_of(outcome: &Outcome) -> Effect {
    match (outcome.category, outcome.penalty) {
        // Credentials are the operator's affair: marked by themselves, not by the breaker.
        (Category::Auth, _) | (_, false) => Effect::Neutral,
        (_, true) => Effect::Suspect,
    }
}

/// What a call says of a channel whose circuit is not closed: an answer of any kind is well, a connection that could not be
/// made is not, the rest says nothing.
fn verdict_in_the_dark(effect: Effect, category: Option<Category>) -> Option<bool> {
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
    (slot, channel): (SlotId, ChannelId),
) {
    let (epoch, method) = (shard.reporter.epoch(), call.key);
    match got {
        Got::NotSent(ConnectFault::Refused(_) | ConnectFault::NotUpgraded(_) | ConnectFault::Resting) => {
            shard.vetoes.raise(channel, epoch);
        }
        // It sheds load, as with a 429.
        Got::NotSent(ConnectFault::TurnedAway) => {
            shard.vetoes.raise(channel, epoch);
            shard.reporter.tell(Event::Limited { channel, hint_ms: Some(limits::H2_SHED_MS) });
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
