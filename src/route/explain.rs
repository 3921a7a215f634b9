//! Why a call would go where it goes: for each channel the question at which it fell out, or its place among those left.
//!
//! The answers are read off the same sieve and the same walk that route calls, so an explanation cannot drift from what
//! happens; the test holds both to that in ten thousand random states. For drawn strategies one order is only a sample,
//! so each candidate also has its odds of being first.

use crate::base::ids::{IdVec, SlotId};
use crate::base::limits::SLOTS_PER_CHAIN;
use crate::base::rng::Rng;
use crate::health::breaker::HELD_OPEN;
use crate::route::select::{Ask, Sieve, Walk};
use crate::snapshot::{ChainPlan, bit};

/// Where a channel fell out, in the order in which it is asked; the last is for those who did not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// Of the other transport, or one that this shard keeps no connection to.
    Unreachable,
    /// Another one is pinned, or the profile's override names others.
    NotAsked,
    WrongChain,
    /// Its capabilities exclude the method, or it was found to lack it.
    Unsupported,
    /// An operator holds its circuit open.
    Held,
    /// Its circuit is not closed, and somebody else's is.
    CircuitOpen,
    HalfOpen,
    /// It would reject the parameters.
    Unfit,
    Candidate,
}

impl Stage {
    pub const ALL: [Stage; 9] = [
        Stage::Unreachable,
        Stage::NotAsked,
        Stage::WrongChain,
        Stage::Unsupported,
        Stage::Held,
        Stage::CircuitOpen,
        Stage::HalfOpen,
        Stage::Unfit,
        Stage::Candidate,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Stage::Unreachable => "unreachable",
            Stage::NotAsked => "not_asked",
            Stage::WrongChain => "wrong_chain",
            Stage::Unsupported => "unsupported",
            Stage::Held => "held_open",
            Stage::CircuitOpen => "circuit_open",
            Stage::HalfOpen => "half_open",
            Stage::Unfit => "unfit",
            Stage::Candidate => "candidate",
        }
    }

    /// A sentence for people.
    pub fn reason(self) -> &'static str {
        match self {
            Stage::Unreachable => {
                "the call is for the other transport, or this shard keeps no WebSocket to it and goes over HTTP"
            }
            Stage::NotAsked => "another provider is pinned, or routing.method_overrides names others for this method",
            Stage::WrongChain => "its eth_chainId is not the chain's; correct its url or the chain_id",
            Stage::Unsupported => "its capabilities exclude this method, or it lately answered that it lacks it",
            Stage::Held => HELD_OPEN,
            Stage::CircuitOpen => "its circuit is open: it is left alone until a probe of ours tries it",
            Stage::HalfOpen => "its circuit is half-open: our probes try it, and calls wait for what they find",
            Stage::Unfit => "it would reject the parameters: a configured limit, or one learnt from its errors",
            Stage::Candidate => "it may be chosen",
        }
    }

    fn of(sieve: &Sieve, plan: &ChainPlan, slot: SlotId) -> Stage {
        let is_half_open = plan.gates.half_open & bit(slot) != 0;
        let passed = [
            (sieve.reachable, Stage::Unreachable),
            (sieve.asked, Stage::NotAsked),
            (sieve.right_chain, Stage::WrongChain),
            (sieve.supported, Stage::Unsupported),
            (sieve.admitted, Stage::Held),
            (sieve.allowed, if is_half_open { Stage::HalfOpen } else { Stage::CircuitOpen }),
            (sieve.fit, Stage::Unfit),
        ];
        passed.into_iter().find(|(set, _)| set & bit(slot) == 0).map_or(Stage::Candidate, |(_, stage)| stage)
    }
}

/// One channel's part in a choice.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Part {
    pub stage: Stage,
    /// Its turn in one walk, from 0; candidates only.
    pub turn: Option<usize>,
    /// Of being asked first.
    pub odds: f32,
    /// What puts it behind others: seen failing by this shard a moment ago, behind the block or the chain, no archive for the
    /// old state that is asked for, misconfigured, on another fork than others.
    pub is_vetoed: bool,
    pub is_behind: bool,
    pub is_pruned: bool,
    pub is_misconfigured: bool,
    pub is_forked: bool,
    /// By its circuit and its rests, from 1.
    pub tier: Option<usize>,
    /// Of the preferred region, or of none.
    pub is_local: bool,
}

/// Every channel of the plan.
pub fn explain(plan: &ChainPlan, ask: &Ask, rng: &mut Rng) -> IdVec<SlotId, Part> {
    let sieve = Sieve::new(plan, ask);
    let mut walk = Walk::new(plan, ask);
    let (whole, odds) = (walk.clone(), walk.odds(plan));
    let mut turns = [None; SLOTS_PER_CHAIN];
    for turn in 0.. {
        let Some(slot) = walk.next(plan, rng) else { break };
        if let Some(place) = turns.get_mut(usize::from(slot.0)) {
            *place = Some(turn);
        }
    }
    let part = |id: SlotId| {
        let [is_vetoed, is_behind, is_pruned, is_misconfigured, is_forked] = whole.demotions(id);
        Part {
            stage: Stage::of(&sieve, plan, id),
            turn: turns.get(usize::from(id.0)).copied().flatten(),
            odds: odds.iter().find(|(of, _)| *of == id).map_or(0.0, |(_, odds)| *odds),
            is_vetoed,
            is_behind,
            is_pruned,
            is_misconfigured,
            is_forked,
            tier: plan.tiers().iter().position(|tier| tier & bit(id) != 0).map(|tier| tier + 1),
            is_local: ask.local & bit(id) != 0,
        }
    };
    plan.fixed.ids().map(part).collect()
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
