//! What a call's parameters ask of a provider: which block it must have reached, whether it needs old state, how wide a range
//! of logs it spans; and so which providers would turn it down.
//!
//! Computed before anything is sent, from the configuration's bounds and from what providers turned down lately, so that
//! a rejection is paid for once. Only methods that name blocks are looked at, and providers only when there is something
//! to compare.

use crate::base::ids::{ChannelId, IdVec, MethodId, SlotId};
use crate::base::time::Instant;
use crate::chain::method;
use crate::chain::params::{self, BlockAsk, Needs};
use crate::health::sightings::{HashBytes, Sightings};
use crate::route::select::Ask;
use crate::snapshot::{Bounds, ChainPlan, Height, Set, bit};

/// What the parameters ask for.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    pub archival: bool,
    pub unfit: Set,
    /// Known not to have the block that is asked for.
    pub behind: Set,
    /// Have announced that block to this node, or given its height as the newest, themselves: not by the provider's other door.
    pub witnesses: Set,
    /// The highest block that is named.
    pub height: Option<u64>,
    /// The one block that is named by its hash.
    pub hash: Option<HashBytes>,
    /// Width of the range of logs, when it is known.
    pub range: Option<u64>,
    /// How far behind the head the oldest block is that is asked for.
    pub depth: Option<u64>,
}

impl Fit {
    pub const ANYONE: Fit =
        Fit { archival: false, unfit: 0, behind: 0, witnesses: 0, height: None, hash: None, range: None, depth: None };

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
        let (height, hash) = (needs.min_height(), needs.hash());
        let behind = height.map_or(0, |wanted| behind(plan, wanted, |_| 0));
        let mut fit = Fit { archival, unfit: 0, behind, witnesses: 0, height, hash, range, depth };
        if plan.fixed.has_bounds {
            fit.unfit |= beyond_bounds(&plan.fixed.bounds, plan.consensus, name, params, range);
        }
        if plan.has_learnt && (range.is_some() || depth.is_some()) {
            fit.unfit |= beyond_learnt(plan, range, depth);
        }
        fit
    }

    /// What feeds announced since the snapshot was made, and what only they can tell: who has the block of a hash.
    pub fn see(&mut self, plan: &ChainPlan, seen: &Sightings, now: Instant) {
        let announced = |slot: SlotId| plan.fixed.channels.get(slot).map_or(0, |channel| seen.height(channel.instance(), now));
        if let Some(wanted) = self.height {
            self.behind = behind(plan, wanted, announced);
            self.witnesses = doors(plan, |door| seen.door_height(door, now) >= wanted);
        }
        let Some(sighting) = self.hash.and_then(|hash| seen.find(&hash)) else { return };
        self.witnesses = doors(plan, |door| sighting.by.contains(&door) || seen.door_height(door, now) >= sighting.height);
        let has = |(slot, height): (SlotId, &Height)| {
            let channel = plan.fixed.channels.get(slot).copied();
            let is_announcer = channel.is_some_and(|c| sighting.by.iter().any(|by| by.instance() == c.instance()));
            is_announcer || height.reported.max(announced(slot)) >= sighting.height
        };
        let having = plan.heights.iter().filter(|row| has(*row)).fold(0, |mask, (id, _)| mask | bit(id));
        self.behind = if having == 0 { 0 } else { plan.fixed.together[0] & !having };
    }

    /// The simulator's deliberate bug: what a provider is credited with is taken for what it has.
    pub fn believe_credit(&mut self, plan: &ChainPlan) {
        let (wanted, _) = (self.height.take(), self.hash.take());
        let is_below = |height: &Height| wanted.is_some_and(|wanted| height.optimistic != 0 && height.optimistic < wanted);
        self.behind = plan.heights.iter().filter(|(_, h)| is_below(h)).fold(0, |mask, (id, _)| mask | bit(id));
    }

    /// `slot` is known not to have the block, and somebody is not.
    pub fn lacks(&self, plan: &ChainPlan, slot: SlotId) -> bool {
        self.behind & bit(slot) != 0 && plan.fixed.together[0] & !self.behind != 0
    }

    pub fn apply_to(&self, ask: &mut Ask) {
        (ask.archival, ask.unfit, ask.behind, ask.witnesses) = (self.archival, self.unfit, self.behind, self.witnesses);
    }
}

fn doors(plan: &ChainPlan, is_one: impl Fn(ChannelId) -> bool) -> Set {
    plan.fixed.channels.iter().filter(|(_, door)| is_one(**door)).fold(0, |mask, (id, _)| mask | bit(id))
}

/// Providers that last said they were below the block that is asked for, also by what was `announced` since. What they may be
/// credited is no block yet.
fn behind(plan: &ChainPlan, wanted: u64, announced: impl Fn(SlotId) -> u64) -> Set {
    let is_below = |height: u64| height != 0 && height < wanted;
    let rows = plan.heights.iter().filter(|(id, h)| is_below(h.reported.max(announced(*id))));
    rows.fold(0, |mask, (id, _)| mask | bit(id))
}

/// Unknown heights and ranges pass (docs/behaviour/choosing.md#capabilities).
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
