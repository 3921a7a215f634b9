//! What choosing on one (profile, chain) needs right now: health as masks, heads, permits, and a ranking for each method.

use crate::base::ids::{IdVec, MethodId, PermitId, ProviderId};
use crate::base::time::Instant;
use crate::chain::method;
use crate::snapshot::fixed::Fixed;
use crate::snapshot::ranking::Ranking;
use std::sync::Arc;

/// Sets of providers by the state of their HTTP channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Gates {
    pub open: u64,
    pub half_open: u64,
    /// Rate-limited for the moment.
    pub limited: u64,
    /// Our credentials were refused.
    pub misconfigured: u64,
    /// They serve another chain than configured.
    pub wrong_chain: u64,
    /// Further behind than `max_lag_blocks`.
    pub lagging: u64,
}

/// A provider's height as far as we may assume, and how it was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Height {
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

/// A half-open provider's permit, leased to one shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    pub provider: ProviderId,
    pub permit: PermitId,
    pub shard: u16,
    pub start_by: Instant,
}

#[derive(Clone, Debug)]
pub struct ChainPlan {
    pub fixed: Arc<Fixed>,
    pub gates: Gates,
    pub heights: IdVec<ProviderId, Height>,
    /// The height that most providers have reached.
    pub consensus: Option<u64>,
    pub learnt: IdVec<ProviderId, LearntLimits>,
    pub has_learnt: bool,
    /// Methods that some providers were found to lack.
    pub learnt_methods: Vec<(MethodId, u64)>,
    pub leases: Vec<Lease>,
    /// When the first open circuit half-opens.
    pub retry_at: Option<Instant>,
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
            leases: Vec::new(),
            retry_at: None,
            rankings: (0..method::COUNT).map(|_| blank.clone()).collect(),
            fixed,
        }
    }

    /// Providers that the method may be sent to, as configured and as learnt. Empty when none is left.
    #[inline]
    pub fn supports(&self, method: MethodId, name: &[u8]) -> u64 {
        let configured = self.fixed.supports(method, name);
        if self.learnt_methods.is_empty() || method == method::UNKNOWN {
            return configured;
        }
        let lacking = self.learnt_methods.iter().find(|(m, _)| *m == method).map_or(0, |(_, mask)| *mask);
        configured & !lacking
    }

    pub fn ranking(&self, method: MethodId) -> &Ranking {
        &self.rankings[method]
    }

    /// The tiers of CONTRACT §4.3, best first; open circuits are in none.
    #[inline]
    pub fn tiers(&self) -> [u64; 4] {
        let Gates { open, half_open, limited, .. } = self.gates;
        let closed = !(open | half_open);
        [closed & !limited, closed & limited, half_open & !limited, half_open & limited]
    }

    /// The state of a provider's circuit in a word.
    pub fn circuit(&self, provider: ProviderId) -> &'static str {
        let mask = crate::snapshot::bit(provider);
        match (self.gates.open & mask != 0, self.gates.half_open & mask != 0) {
            (true, _) => "open",
            (_, true) => "half_open",
            _ => "closed",
        }
    }

    /// Whether a call with this pin may be sent to `provider` at all.
    pub fn may_choose(&self, pin: Option<ProviderId>, allow_failover: bool, provider: ProviderId) -> bool {
        self.fixed.http & crate::snapshot::bit(provider) != 0 && pin.is_none_or(|pin| allow_failover || pin == provider)
    }
}
