//! What this shard knows against a provider before the aggregator does: a refused connection, a limit, a streak of its own.
//!
//! A vetoed channel is chosen last. The veto lasts until a snapshot has merged the epoch in which it was raised: from then
//! on the breakers speak, which have heard of it. So a dead provider costs one call and not one epoch's calls.

use crate::base::ids::{ChannelId, Id};
use crate::snapshot::{ChainPlan, Set, bit};
use std::cell::{Cell, RefCell};

/// Failures in a row, on this shard, that raise a veto: as many as would open the circuit.
const STREAK: u8 = 5;
/// The same when the latest was a network failure.
const NETWORK_STREAK: u8 = 3;

#[derive(Default)]
pub struct Vetoes {
    /// Channel, and the epoch that will tell of it.
    raised: RefCell<Vec<(ChannelId, u64)>>,
    is_any: Cell<bool>,
    /// By channel.
    streaks: RefCell<Vec<Streak>>,
}

#[derive(Clone, Copy, Default)]
struct Streak {
    failures: u8,
    /// Changes with every success.
    successes: u32,
}

impl Vetoes {
    pub fn new(channels: usize) -> Vetoes {
        Vetoes { streaks: RefCell::new(vec![Streak::default(); channels]), ..Vetoes::default() }
    }

    pub fn raise(&self, channel: ChannelId, epoch: u64) {
        let mut raised = self.raised.borrow_mut();
        match raised.iter_mut().find(|(have, _)| *have == channel) {
            Some((_, at)) => *at = epoch,
            None => raised.push((channel, epoch)),
        }
        self.is_any.set(true);
    }

    pub fn on_success(&self, channel: ChannelId) {
        if let Some(streak) = self.streaks.borrow_mut().get_mut(channel.index()) {
            *streak = Streak { failures: 0, successes: streak.successes.wrapping_add(1) };
        }
    }

    /// A number that changes with every success of the channel.
    pub fn successes(&self, channel: ChannelId) -> u32 {
        self.streaks.borrow().get(channel.index()).map_or(0, |streak| streak.successes)
    }

    pub fn on_failure(&self, channel: ChannelId, is_network: bool, epoch: u64) {
        let mut streaks = self.streaks.borrow_mut();
        let Some(streak) = streaks.get_mut(channel.index()) else { return };
        streak.failures = streak.failures.saturating_add(1);
        if streak.failures >= if is_network { NETWORK_STREAK } else { STREAK } {
            self.raise(channel, epoch);
        }
    }

    /// A snapshot knows everything up to `merged`.
    pub fn lift(&self, merged: u64) {
        let mut raised = self.raised.borrow_mut();
        raised.retain(|(_, epoch)| *epoch > merged);
        self.is_any.set(!raised.is_empty());
    }

    /// The vetoed channels of a plan; nearly always none.
    #[inline]
    pub fn mask(&self, plan: &ChainPlan) -> Set {
        if !self.is_any.get() {
            return 0;
        }
        let raised = self.raised.borrow();
        let is_vetoed = |channel: &ChannelId| raised.iter().any(|(have, _)| have == channel);
        plan.fixed.channels.iter().filter(|(_, channel)| is_vetoed(channel)).fold(0, |mask, (id, _)| mask | bit(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::test_plan;

    #[test]
    fn a_veto_lasts_until_its_epoch_is_merged() {
        let (plan, vetoes) = (test_plan::of_priorities(&[1, 1, 1]), Vetoes::new(6));
        let channel = |n: u8| plan.fixed.channels[crate::base::ids::SlotId(n)];
        assert_eq!(vetoes.mask(&plan), 0);
        vetoes.raise(channel(1), 7);
        vetoes.on_failure(channel(2), true, 8);
        vetoes.on_failure(channel(2), true, 8);
        assert_eq!(vetoes.mask(&plan), 0b010);
        vetoes.on_failure(channel(2), true, 9);
        assert_eq!(vetoes.mask(&plan), 0b110);
        vetoes.lift(6);
        assert_eq!(vetoes.mask(&plan), 0b110);
        vetoes.lift(8);
        assert_eq!(vetoes.mask(&plan), 0b100);
        vetoes.on_success(channel(2));
        vetoes.lift(9);
        assert_eq!(vetoes.mask(&plan), 0);
        vetoes.on_failure(channel(2), true, 10);
        assert_eq!(vetoes.mask(&plan), 0, "a success ends a streak");
    }

    #[test]
    fn a_streak_is_as_long_as_a_run_that_opens_a_circuit() {
        let (plan, vetoes) = (test_plan::of_priorities(&[1]), Vetoes::new(2));
        let channel = plan.fixed.channels[crate::base::ids::SlotId(0)];
        for nth in 1..=5 {
            assert_eq!(vetoes.mask(&plan), 0, "before the {nth}th");
            vetoes.on_failure(channel, false, 1);
        }
        assert_eq!(vetoes.mask(&plan), 1);
        let before = vetoes.successes(channel);
        vetoes.on_success(channel);
        assert_ne!(vetoes.successes(channel), before);
    }
}
