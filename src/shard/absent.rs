//! What a shard knows about blocks that were announced or told of, and so when "there is none" is not believed.

use crate::base::ids::SlotId;
use crate::base::limits;
use crate::base::time::Instant;
use crate::chain::hex;
use crate::chain::method::{self, Shape};
use crate::route::fit::Fit;
use crate::runtime::world::World;
use crate::shard::attempt::Held;
use crate::shard::call::Call;
use crate::shard::{Fault, Shard};
use crate::snapshot::ChainPlan;
use crate::wire::jsonrpc::AnswerKind;

impl<W: World> Shard<W> {
    /// Adds to what a call's parameters ask for what was announced since the snapshot.
    #[inline]
    pub(super) fn see_announced(&self, fit: &mut Fit, plan: &ChainPlan, chain_number: u64, now: Instant) {
        if fit.height.is_none() && fit.hash.is_none() {
            return;
        }
        if W::FAULTS && self.fault == Fault::CreditedHeight {
            return fit.believe_credit(plan);
        }
        if let Some(seen) = self.sightings.borrow().get(&chain_number) {
            fit.see(plan, seen, now);
        }
    }

    /// How long to wait for what a call asks for, if this node told clients that it exists.
    pub(super) fn promise(&self, call: &Call<W>, now: Instant) -> Option<u64> {
        if method::info(call.ask.method).shape == Shape::Item {
            return None;
        }
        let chain = call.snapshot.chain(call.profile, call.chain);
        let all = self.sightings.borrow();
        let seen = all.get(&chain.chain_number)?;
        let by_hash = call.fit.hash.is_some_and(|hash| seen.has_told_of(&hash, now));
        let is_told = by_hash || call.fit.height.is_some_and(|height| seen.has_told_of_height(height, now));
        let block_ms = chain.block_time_ms.unwrap_or(limits::ABSENT_PAUSE_MS);
        is_told.then_some(block_ms.min(limits::ABSENT_PAUSE_MS))
    }

    /// A client is given a height as the newest: it may ask for that block at once.
    #[inline]
    pub(super) fn note_newest(&self, call: &Call<W>, slot: Option<SlotId>, held: &Held, now: Instant) {
        if call.ask.method != method::BLOCK_NUMBER {
            return;
        }
        let AnswerKind::Result(result) = held.answer.kind else { return };
        let digits = result.of(held.bytes()).strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        let plan = call.snapshot.plan(call.profile, call.chain);
        let channel = slot.and_then(|slot| plan.fixed.channels.get(slot));
        if let (Some(height), Some(channel)) = (digits.and_then(hex::parse_quantity), channel) {
            let number = call.snapshot.chain(call.profile, call.chain).chain_number;
            self.sightings.borrow_mut().entry(number).or_default().on_served(channel.instance(), height, now);
        }
    }
}
