//! Which provider next. A walk over groups of equal rank, best group first; inside a group a fair draw.
//!
//! Sets are `u64` masks, so a step is an AND, a popcount and a draw: no list, no allocation, no hashing. The walk is lazy
//! because most calls need its first step only. Every strategy is the same walk over other groups, which is why a pin
//! and a pin with failover are no special cases: a pin is a first group of one.

use crate::base::ids::ProviderId;
use crate::base::rng::Rng;
use crate::config::topology::Strategy;
use crate::snapshot::{ChainPlan, bit};

/// What a call asks of the choice.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub strategy: Strategy,
    /// Only these may be chosen (transport, capabilities, affinity).
    pub eligible: u64,
    pub pin: Option<ProviderId>,
    /// A pinned call may go on to the others.
    pub allow_failover: bool,
}

/// The providers of one call, one at a time.
#[derive(Clone, Debug)]
pub struct Walk {
    remaining: u64,
    pin: u64,
    strategy: Strategy,
}

impl Walk {
    pub fn new(plan: &ChainPlan, ask: &Ask) -> Walk {
        let pin = ask.pin.map_or(0, bit);
        let allowed = if pin != 0 && !ask.allow_failover { pin } else { plan.together[0] };
        Walk { remaining: allowed & ask.eligible & plan.http, pin, strategy: ask.strategy }
    }

    /// The next provider, best first; it is not returned again.
    pub fn next(&mut self, plan: &ChainPlan, rng: &mut Rng) -> Option<ProviderId> {
        let group = self.best_group(plan)?;
        let chosen = draw(group, rng);
        self.remaining &= !bit(chosen);
        Some(chosen)
    }

    /// Takes out every provider that shares `provider`'s instance: it was sent the call, so they were.
    pub fn exclude_instance_of(&mut self, plan: &ChainPlan, provider: ProviderId) {
        self.remaining &= !plan.same_instance.get(provider).copied().unwrap_or(0);
    }

    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    fn best_group(&self, plan: &ChainPlan) -> Option<u64> {
        let pinned = self.pin & self.remaining;
        if pinned != 0 {
            return Some(pinned);
        }
        let groups: &[u64] = match self.strategy {
            Strategy::LoadBalanced => &plan.together,
            // The measured strategies rank by evidence; without any they fall back on the configured order.
            Strategy::Priority | Strategy::Fastest | Strategy::LatencyWeighted => &plan.by_priority,
        };
        groups.iter().map(|group| group & self.remaining).find(|&group| group != 0)
    }
}

/// A uniformly drawn member of a non-empty set.
fn draw(set: u64, rng: &mut Rng) -> ProviderId {
    let mut rest = set;
    if set.count_ones() > 1 {
        for _ in 0..rng.below(u64::from(set.count_ones())) {
            rest &= rest - 1; // clears the lowest member
        }
    }
    ProviderId(rest.trailing_zeros() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::IdVec;

    fn plan(by_priority: &[u64], same: &[u64]) -> ChainPlan {
        let all = by_priority.iter().fold(0, |m, g| m | g);
        ChainPlan {
            http: all,
            by_priority: by_priority.to_vec(),
            together: [all],
            same_instance: same.iter().copied().collect::<IdVec<_, _>>(),
            default_strategy: Strategy::Priority,
        }
    }

    fn ask(strategy: Strategy) -> Ask {
        Ask { strategy, eligible: u64::MAX, pin: None, allow_failover: false }
    }

    fn order(plan: &ChainPlan, ask: &Ask, seed: u64) -> Vec<u8> {
        let (mut walk, mut rng) = (Walk::new(plan, ask), Rng::new(seed));
        std::iter::from_fn(|| walk.next(plan, &mut rng)).map(|p| p.0).collect()
    }

    #[test]
    fn priority_goes_group_by_group_and_shuffles_ties() {
        let plan = plan(&[0b0100, 0b1010, 0b0001], &[1, 2, 4, 8]);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..64 {
            seen.insert(order(&plan, &ask(Strategy::Priority), seed));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [vec![2, 1, 3, 0], vec![2, 3, 1, 0]]);
    }

    #[test]
    fn load_balanced_is_fair() {
        let plan = plan(&[0b1, 0b110], &[1, 2, 4]);
        let mut first = [0u32; 3];
        for seed in 0..30_000 {
            let order = order(&plan, &ask(Strategy::LoadBalanced), seed);
            assert_eq!(order.len(), 3);
            first[order[0] as usize] += 1;
        }
        assert!(first.iter().all(|n| (9_600..10_400).contains(n)), "{first:?}");
    }

    #[test]
    fn pins_come_first_and_alone_unless_failover_is_allowed() {
        let plan = plan(&[0b1, 0b10, 0b100], &[1, 2, 4]);
        let check = |pin, allow_failover, eligible, want: &[u8]| {
            let ask = Ask { strategy: Strategy::Priority, eligible, pin: Some(ProviderId(pin)), allow_failover };
            assert_eq!(order(&plan, &ask, 1), want);
        };
        check(2, false, u64::MAX, &[2]);
        check(2, true, u64::MAX, &[2, 0, 1]);
        check(2, false, 0b011, &[]);
        check(2, true, 0b011, &[0, 1]);
    }

    #[test]
    fn one_dispatch_takes_out_the_whole_instance() {
        let plan = plan(&[0b111], &[0b101, 0b010, 0b101]);
        let mut walk = Walk::new(&plan, &ask(Strategy::Priority));
        walk.exclude_instance_of(&plan, ProviderId(0));
        assert_eq!(walk.next(&plan, &mut Rng::new(1)), Some(ProviderId(1)));
        assert!(walk.is_empty());
    }
}
