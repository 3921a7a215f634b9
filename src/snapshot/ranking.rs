//! The measured strategies' view of one (profile, chain, method): who is fastest, who weighs what, how long to wait, and who
//! should be measured again.

use crate::base::ids::{Id, IdVec, SlotId};
use crate::base::limits::SLOTS_PER_CHAIN;
use crate::health::evidence::Standing;
use crate::snapshot::{Fixed, Set, bit, members};
use arrayvec::ArrayVec;

/// The right to divert one call to a channel whose evidence is old.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    pub slot: SlotId,
    /// The shard that may do it.
    pub shard: u16,
    /// Never given twice; used at most once.
    pub id: u32,
}

#[derive(Clone, Debug)]
pub struct Ranking {
    /// Every channel, best first: the qualified by score, then the others by what was kept from before the start, then by
    /// what our probes found, then those nobody has measured, by priority.
    pub order: ArrayVec<SlotId, SLOTS_PER_CHAIN>,
    pub qualified: Set,
    /// Has a latency, its own or a probe's.
    pub measured: Set,
    /// (best / latency)^beta; 0 where nothing was measured.
    weights: ArrayVec<f32, SLOTS_PER_CHAIN>,
    /// The sum over all the qualified, among whom a draw is usually made.
    qualified_weight: f32,
    /// Four times the 99th percentile; 0 where too little is known.
    patience_ms: ArrayVec<u32, SLOTS_PER_CHAIN>,
    pub grant: Option<Grant>,
    /// The numbers behind it all, for explain.
    pub standings: IdVec<SlotId, Standing>,
}

impl Ranking {
    /// Before anything was measured.
    pub fn blank(fixed: &Fixed) -> Ranking {
        Ranking::new(fixed, fixed.ids().map(|_| Standing::unknown(None)).collect(), 1.0)
    }

    /// `beta`: how much the fastest is preferred by `latency-weighted`.
    pub fn new(fixed: &Fixed, standings: IdVec<SlotId, Standing>, beta: f32) -> Ranking {
        let mut order: ArrayVec<SlotId, SLOTS_PER_CHAIN> = fixed.ids().take(SLOTS_PER_CHAIN).collect();
        let priority = |id: SlotId| fixed.by_priority.iter().position(|group| group & bit(id) != 0);
        let key = |id: &SlotId| rank(standings.get(*id), priority(*id));
        order.sort_by(|a, b| {
            let (a, b) = (key(a), key(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2))
        });
        let set =
            |of: &dyn Fn(&Standing) -> bool| standings.iter().filter(|(_, s)| of(s)).fold(0, |mask, (id, _)| mask | bit(id));
        let latencies: ArrayVec<f32, SLOTS_PER_CHAIN> = standings.values().map(latency).collect();
        let best = latencies.iter().copied().filter(|l| *l > 0.0).fold(f32::INFINITY, f32::min);
        let weights: ArrayVec<f32, SLOTS_PER_CHAIN> =
            latencies.iter().map(|l| if *l > 0.0 { (best / l).powf(beta) } else { 0.0 }).collect();
        let qualified = set(&|s| s.qualified);
        let patience = |s: &Standing| s.patience_us().map_or(0, |us| us.div_ceil(1000));
        Ranking {
            order,
            qualified,
            measured: set(&|s| latency(s) > 0.0),
            qualified_weight: sum(&weights, qualified),
            weights,
            patience_ms: standings.values().map(patience).collect(),
            grant: None,
            standings,
        }
    }

    /// 0 where nothing was measured.
    #[inline]
    pub fn weight(&self, slot: SlotId) -> f32 {
        self.weights.get(slot.index()).copied().unwrap_or(0.0)
    }

    /// What all of `set` weigh.
    #[inline]
    pub fn weight_of(&self, set: Set) -> f32 {
        if set == self.qualified { self.qualified_weight } else { sum(&self.weights, set) }
    }

    /// What nine of ten calls took at most, if enough is known.
    pub fn usual_ms(&self, slot: SlotId) -> Option<u64> {
        self.standings.get(slot).and_then(|standing| standing.usual_us()).map(|us| u64::from(us.div_ceil(1000)))
    }

    /// Four times what all but one of a hundred calls took, if enough is known.
    pub fn patience_ms(&self, slot: SlotId) -> Option<u64> {
        self.patience_ms.get(slot.index()).filter(|ms| **ms > 0).map(|ms| u64::from(*ms))
    }
}

fn sum(weights: &[f32], set: Set) -> f32 {
    members(set).map(|slot| weights.get(slot.index()).copied().unwrap_or(0.0)).sum()
}

/// Group, value within the group, tie-break.
fn rank(standing: Option<&Standing>, priority: Option<usize>) -> (u8, f32, usize) {
    let priority = priority.unwrap_or(usize::MAX);
    let Some(standing) = standing else { return (3, 0.0, priority) };
    match (standing.qualified, standing.score(), standing.kept_us, standing.prior_us) {
        (true, Some(score), ..) => (0, score, priority),
        (_, _, Some(kept), _) => (1, kept as f32, priority),
        (_, _, None, Some(prior)) => (2, prior as f32, priority),
        (_, Some(score), None, None) => (2, score, priority),
        _ => (3, 0.0, priority),
    }
}

/// In microseconds: what was measured on calls, now or before the start, else what our probes found.
fn latency(standing: &Standing) -> f32 {
    let us = standing.latency_us.or(standing.kept_us).or(standing.prior_us).unwrap_or(0);
    us as f32
}
