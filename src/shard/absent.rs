//! What a shard knows about blocks that were announced or told of, by itself or by another shard, and so when "there is none" is
//! not believed.

use crate::base::ids::SlotId;
use crate::base::limits;
use crate::base::time::Instant;
use crate::chain::hex;
use crate::chain::method::{self, Shape};
use crate::health::sightings::Sightings;
use crate::route::fit::Fit;
use crate::runtime::world::World;
use crate::shard::attempt::Held;
use crate::shard::call::Call;
use crate::shard::{Fault, Shard};
use crate::snapshot::{ChainPlan, bit};
use crate::stream::emptiness::{self, Doubt};
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
        self.hear_served(now);
        if let Some(seen) = self.sightings.borrow().get(&chain_number) {
            fit.see(plan, seen, now);
        }
    }

    /// Which heights other shards have given to clients since.
    fn hear_served(&self, now: Instant) {
        self.node.served.hear(&mut self.heard_served.borrow_mut(), |channel, height| {
            let snapshot = self.snapshot();
            let Some(instance) = snapshot.topology.instances.get(channel.instance()) else { return };
            self.sightings.borrow_mut().entry(instance.chain_number).or_default().on_heard(channel, height, now);
        });
    }

    /// How far an empty list is to be believed of whoever was just asked.
    pub(super) fn doubt_of_empty(&self, call: &Call<W>) -> Option<Doubt> {
        let plan = call.snapshot.plan(call.profile, call.chain);
        let slot = call.trace.selected?;
        if call.fit.lacks(plan, slot) {
            return Some(Doubt::Denied);
        }
        let now = self.recent();
        let chain_number = call.snapshot.chain(call.profile, call.chain).chain_number;
        let all = self.sightings.borrow();
        let seen = all.get(&chain_number).filter(|seen| is_told(call, seen, now))?;
        let doubt = emptiness::doubt(seen, (call.ask.method, &call.outgoing.params()), now)?;
        let is_witness = call.fit.witnesses & bit(slot) != 0;
        (doubt == Doubt::Denied || !is_witness).then_some(doubt)
    }

    /// How long to wait for what a call asks for, if this node told clients that it exists.
    pub(super) fn promise(&self, call: &Call<W>, now: Instant) -> Option<u64> {
        if method::info(call.ask.method).shape == Shape::Item {
            return None;
        }
        let chain = call.snapshot.chain(call.profile, call.chain);
        let all = self.sightings.borrow();
        let seen = all.get(&chain.chain_number)?;
        let block_ms = chain.block_time_ms.unwrap_or(limits::ABSENT_PAUSE_MS);
        is_told(call, seen, now).then_some(block_ms.min(limits::ABSENT_PAUSE_MS))
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
            self.sightings.borrow_mut().entry(number).or_default().on_served(*channel, height, now);
            self.node.served.note(*channel, height);
        }
    }
}

/// This node told clients a moment ago of the block that a call asks for.
fn is_told<W: World>(call: &Call<W>, seen: &Sightings, now: Instant) -> bool {
    let by_hash = call.fit.hash.is_some_and(|hash| seen.has_told_of(&hash, now));
    by_hash || call.fit.height.is_some_and(|height| seen.has_told_of_height(height, now))
}
