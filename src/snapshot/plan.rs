//! What choosing on one (profile, chain) needs right now: health as masks, heads, permits, and a ranking for each method.

use crate::base::ids::{IdVec, MethodId, ProviderId, SlotId};
use crate::base::time::Instant;
use crate::chain::method;
use crate::chain::method_key::MethodKey;
use crate::health::trouble::Trouble;
use crate::snapshot::Set;
use crate::snapshot::fixed::Fixed;
use crate::snapshot::ranking::Ranking;
use std::sync::Arc;

/// Sets of channels by their state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Gates {
    pub open: Set,
    pub half_open: Set,
    /// Open by an operator's order: no call, whoever else is left.
    pub held: Set,
    /// Closed by an operator's order: failures do not open them.
    pub held_closed: Set,
    /// Calls failed, perhaps by their own fault: a probe of ours decides.
    pub suspected: Set,
    /// Rate-limited for the moment.
    pub limited: Set,
    /// Our credentials were refused.
    pub misconfigured: Set,
    /// They serve another chain than configured.
    pub wrong_chain: Set,
    /// They follow another chain than two others that agree, and are far above them on it.
    pub forked: Set,
    /// Further behind than `max_lag_blocks`.
    pub lagging: Set,
}

/// How high a provider is: what it said decides which blocks it has, what it may be credited decides whether it lags.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Height {
    /// As it said itself last; 0: unknown.
    pub reported: u64,
    /// Reported height plus the blocks that have probably come since; 0: unknown.
    pub optimistic: u64,
    /// Against the consensus; negative is behind. Meaningful when `optimistic` is known.
    pub lag: i64,
}

/// What a provider has turned down lately.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LearntLimits {
    /// Log ranges from this many blocks on were rejected.
    pub rejected_range: u64,
    /// State from this many blocks behind the head on was missing.
    pub rejected_depth: u64,
}

impl LearntLimits {
    pub const NONE: LearntLimits = LearntLimits { rejected_range: u64::MAX, rejected_depth: u64::MAX };
}

#[derive(Clone, Debug)]
pub struct ChainPlan {
    pub fixed: Arc<Fixed>,
    pub gates: Gates,
    pub heights: IdVec<SlotId, Height>,
    /// The height that most providers have reached.
    pub consensus: Option<u64>,
    pub learnt: IdVec<SlotId, LearntLimits>,
    pub has_learnt: bool,
    /// Methods that some channels were found to lack.
    pub learnt_methods: Vec<(MethodKey, Set)>,
    /// The first moment at which a channel wants to be asked again, of those whose circuit is not closed and that said one.
    pub rest_ends: Option<Instant>,
    /// Why circuits are not closed, for people.
    pub troubles: Vec<(SlotId, Trouble)>,
    pub rankings: IdVec<MethodId, Arc<Ranking>>,
}

impl ChainPlan {
    /// Nothing is known yet.
    pub fn new(fixed: Arc<Fixed>) -> ChainPlan {
        let blank = Arc::new(Ranking::blank(&fixed));
        ChainPlan {
            gates: Gates::default(),
            heights: fixed.ids().map(|_| Height::default()).collect(),
            consensus: None,
            learnt: fixed.ids().map(|_| LearntLimits::NONE).collect(),
            has_learnt: false,
            learnt_methods: Vec::new(),
            rest_ends: None,
            troubles: Vec::new(),
            rankings: (0..method::COUNT).map(|_| blank.clone()).collect(),
            fixed,
        }
    }

    /// Channels that the method may be sent to, as configured and as learnt. Empty when none is left.
    #[inline]
    pub fn supports(&self, method: MethodId, name: &[u8]) -> Set {
        let configured = self.fixed.supports(method, name);
        if self.learnt_methods.is_empty() {
            return configured;
        }
        let lacking = self.learnt_methods.iter().find(|(key, _)| key.is(method, name)).map_or(0, |(_, mask)| *mask);
        configured & !lacking
    }

    pub fn ranking(&self, method: MethodId) -> &Ranking {
        &self.rankings[method]
    }

    /// Channels by their circuit, and in that by whether they rest; best first. Those behind the first two get calls only
    /// while nobody's circuit is closed.
    #[inline]
    pub fn tiers(&self) -> [Set; 6] {
        let Gates { open, half_open, limited, .. } = self.gates;
        let closed = !(open | half_open);
        [closed & !limited, closed & limited, half_open & !limited, half_open & limited, open & !limited, open & limited]
    }

    /// Its circuit is not closed: it gets one call at a time, and only while nobody's is.
    #[inline]
    pub fn is_dark(&self, slot: SlotId) -> bool {
        (self.gates.open | self.gates.half_open) & crate::snapshot::bit(slot) != 0
    }

    /// Nobody's circuit is closed, of those that serve the chain.
    pub fn has_nobody(&self) -> bool {
        self.fixed.together[0] & !(self.gates.open | self.gates.half_open | self.gates.wrong_chain) == 0
    }

    /// The state of a channel's circuit in a word.
    pub fn circuit(&self, slot: SlotId) -> &'static str {
        let mask = crate::snapshot::bit(slot);
        match (self.gates.open & mask != 0, self.gates.half_open & mask != 0) {
            (true, _) => "open",
            (_, true) => "half_open",
            _ => "closed",
        }
    }

    /// Why its circuit is not closed.
    pub fn trouble(&self, slot: SlotId) -> Option<&Trouble> {
        self.troubles.iter().find(|(of, _)| *of == slot).map(|(_, trouble)| trouble)
    }

    /// Channels that a call with this pin may be sent to at all.
    pub fn choosable(&self, pin: Option<ProviderId>, allow_failover: bool) -> Set {
        match pin {
            Some(pin) if !allow_failover => self.fixed.of_provider(pin),
            _ => self.fixed.together[0],
        }
    }
}
