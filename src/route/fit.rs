//! What a call's parameters ask of a provider: which block it must have reached, whether it needs old state, how wide a range
//! of logs it spans; and so which providers would turn it down.
//!
//! Computed before anything is sent, from the configuration's bounds and from what providers turned down lately, so that
//! a rejection is paid for once. Only methods that name blocks are looked at, and providers only when there is something
//! to compare.

use crate::base::ids::{IdVec, MethodId, SlotId};
use crate::chain::method;
use crate::chain::params::{self, BlockAsk, Needs};
use crate::route::select::Ask;
use crate::snapshot::{Bounds, ChainPlan, Set, bit};

/// What the parameters ask for.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    pub archival: bool,
    pub unfit: Set,
    pub behind: Set,
    /// Width of the range of logs, when it is known.
    pub range: Option<u64>,
    /// How far behind the head the oldest block is that is asked for.
    pub depth: Option<u64>,
}

impl Fit {
    pub const ANYONE: Fit = Fit { archival: false, unfit: 0, behind: 0, range: None, depth: None };

    /// `params` is the raw JSON of the call's parameters.
    pub fn of(plan: &ChainPlan, method: MethodId, name: &[u8], params: &[u8]) -> Fit {
        Fit::of_needs(plan, params::needs(method, params), name, params)
    }

    /// The same for a call that is only thought of: it names this block.
    pub fn at_block(plan: &ChainPlan, method: MethodId, name: &[u8], block: BlockAsk) -> Fit {
        let is_state = method::info(method).locator.is_state();
        Fit::of_needs(plan, Needs { block, range: None, is_state }, name, b"")
    }

    fn of_needs(plan: &ChainPlan, needs: Needs, name: &[u8], params: &[u8]) -> Fit {
        let archival = needs.archival(plan.consensus, plan.fixed.archival_threshold);
        // Providers bound the range of logs; traces have bounds of their own.
        let range = needs.range.filter(|_| !needs.is_state).and_then(|range| range.blocks(plan.consensus));
        let depth = needs.age(plan.consensus);
        let mut fit = Fit { archival, unfit: 0, behind: behind(plan, &needs), range, depth };
        if plan.fixed.has_bounds {
            fit.unfit |= beyond_bounds(&plan.fixed.bounds, plan.consensus, name, params, range);
        }
        if plan.has_learnt && (range.is_some() || depth.is_some()) {
            fit.unfit |= beyond_learnt(plan, range, depth);
        }
        fit
    }

    pub fn apply_to(&self, ask: &mut Ask) {
        (ask.archival, ask.unfit, ask.behind) = (self.archival, self.unfit, self.behind);
    }
}

/// Providers that last said they were below the block that is asked for. What they may be credited is no block yet.
fn behind(plan: &ChainPlan, needs: &Needs) -> Set {
    let Some(wanted) = needs.min_height() else { return 0 };
    let is_below = |height: u64| height != 0 && height < wanted;
    plan.heights.iter().filter(|(_, h)| is_below(h.reported)).fold(0, |mask, (id, _)| mask | bit(id))
}

/// CONTRACT §4.1, LB §3.2: unknown heights and ranges pass.
fn beyond_bounds(bounds: &IdVec<SlotId, Bounds>, consensus: Option<u64>, name: &[u8], params: &[u8], range: Option<u64>) -> Set {
    let rejects = |bounds: &Bounds| {
        let too_wide = bounds.max_block_range.zip(range).is_some_and(|(most, range)| range > most);
        let too_old = bounds.max_block_age.is_some_and(|most| {
            let concerned = bounds.age_methods.iter().any(|method| method.as_bytes() == name);
            concerned && params::age_of_last_param(params, consensus).is_some_and(|age| age > most)
        });
        too_wide || too_old
    };
    bounds.iter().filter(|(_, b)| rejects(b)).fold(0, |mask, (id, _)| mask | bit(id))
}

fn beyond_learnt(plan: &ChainPlan, range: Option<u64>, depth: Option<u64>) -> Set {
    let learnt = plan.learnt.iter();
    let rejects =
        learnt.filter(|(_, l)| range.is_some_and(|r| r >= l.rejected_range) || depth.is_some_and(|d| d >= l.rejected_depth));
    rejects.fold(0, |mask, (id, _)| mask | bit(id))
}

#[cfg(test)]
#[path = "fit_tests.rs"]
mod tests;
