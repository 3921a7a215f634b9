//! A call's part in a record (`--record`): whether it is sampled, what its attempts were, how it ended.
//!
//! What is written down lives in a box of the sampled call and goes to a bounded queue when the call ends
//! (`runtime/recorder.rs`). A call that is not sampled pays one look at a setting where nothing is recorded, and one draw where
//! something is.

use crate::base::ids::{ChannelId, EntryId};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::chain::method;
use crate::observe::decision::Ended;
use crate::observe::sampled::{CallShape, Sample, SampledAttempt, SampledCall, SampledProbe, may_keep_params};
use crate::runtime::recorder::Recorder;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::attempt::Got;
use crate::shard::call::{Call, FilterRole};
use crate::shard::links;
use crate::shard::noted::{Noted, shown};
use crate::shard::traced::fault_of;
use crate::snapshot::ChainPlan;
use arrayvec::ArrayVec;
use std::sync::Arc;

/// A pooled connection had died idle; the call was sent again.
const STALE: &str = "stale";

impl<W: World> Shard<W> {
    /// A call goes on its way: whether it is written down is decided here.
    #[inline]
    pub fn begin_sample(&self, call: &mut Call<W>) {
        if let Some(recorder) = &self.node.settings.recorder
            && recorder.takes(&mut self.rng.borrow_mut())
        {
            call.trace.sampled = Some(begun(recorder, call));
        }
    }

    #[inline]
    pub fn sample_attempt(&self, call: &mut Call<W>, plan: &ChainPlan, began: Instant, got: &Got<W>) {
        if let (Some(sampled), Some(slot)) = (&mut call.trace.sampled, call.trace.selected) {
            // What goes on over a fresh connection says nothing of the provider, and is no failure.
            let (fault, is_answer) = if matches!(got, Got::Lost { stale: true }) { (Some(STALE), false) } else { fault_of(got) };
            let (entry, transport) = (plan.fixed.entry(slot), plan.fixed.channels[slot].transport());
            let attempt = SampledAttempt { entry, transport, took: self.now().since(began), fault, is_answer };
            // The last one ends the call, so of too many it is the one before that gives way.
            if sampled.attempts.is_full() {
                sampled.attempts.pop();
            }
            sampled.attempts.push(attempt);
        }
    }

    /// A call has ended and its reply is written, or given up. What the node answered by itself was never sent on its way.
    #[inline]
    pub fn end_sample(&self, noted: &Noted<'_>, end: Ended) {
        let Some(recorder) = &self.node.settings.recorder else { return };
        match noted.trace {
            Some((trace, _)) => {
                if let Some(sampled) = &trace.sampled {
                    let ended = self.now();
                    recorder.push(Sample::Call(Box::new(SampledCall { ended, end, ..finished(sampled, noted) })));
                }
            }
            None if recorder.takes(&mut self.rng.borrow_mut()) => {
                recorder.push(Sample::Call(Box::new(self.unsent(noted, end))));
            }
            None => {}
        }
    }

    /// One of our own questions to a provider has ended. `entry`: any one that the channel serves.
    pub fn sample_probe(&self, entry: EntryId, channel: ChannelId, outcome: Result<Duration, &'static str>) {
        if let Some(recorder) = self.node.settings.recorder.as_ref().filter(|recorder| recorder.is_on()) {
            let is_behind = self.latest().is_behind(entry, channel.transport());
            recorder.push(Sample::Probe(SampledProbe { ended: self.now(), channel, is_behind, outcome }));
        }
    }

    fn unsent(&self, noted: &Noted<'_>, end: Ended) -> SampledCall {
        let plan = noted.snapshot.plan(noted.route.profile, noted.route.chain);
        SampledCall {
            began: noted.started,
            ended: self.now(),
            profile: noted.route.profile,
            chain: noted.route.chain,
            method: method::lookup(noted.method),
            other_method: shown(noted.method),
            strategy: noted.route.strategy.unwrap_or(plan.fixed.default_strategy),
            transport: noted.transport,
            pin: noted.route.pin,
            allow_failover: noted.route.allow_failover,
            shape: CallShape::default(),
            end,
            attempts: ArrayVec::new(),
            params: Box::default(),
        }
    }
}

/// What is known when a call begins; the client's own transport and words are added where they are known (`finished`).
fn begun<W: World>(recorder: &Arc<Recorder>, call: &Call<W>) -> Box<SampledCall> {
    let name = method::info(call.ask.method).name.as_bytes();
    let bytes = call.outgoing.len();
    let shape = CallShape {
        bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        depth: call.fit.depth,
        range: call.fit.range,
        by_hash: call.fit.hash.is_some(),
        archival: call.fit.archival,
        is_bulk: links::is_bulk(call.ask.method, name, bytes),
        is_bound: call.filter == FilterRole::Use,
    };
    // A name that is in no table may be anything: `may_keep_params` would not know it.
    let is_wanted = recorder.with_params && call.ask.method != method::UNKNOWN && bytes <= limits::RECORD_PARAMS_BYTES;
    let is_kept = is_wanted && may_keep_params(name, call.safety());
    let params = if is_kept { call.outgoing.params().into_boxed_slice() } else { Box::default() };
    Box::new(SampledCall {
        began: call.started,
        ended: call.started,
        profile: call.profile,
        chain: call.chain,
        method: call.ask.method,
        other_method: ArrayVec::new(),
        strategy: call.trace.strategy,
        transport: crate::base::ids::Transport::Http,
        pin: call.ask.pin,
        allow_failover: call.ask.allow_failover,
        shape,
        end: Ended::ClientGone,
        attempts: ArrayVec::new(),
        params,
    })
}

fn finished(sampled: &SampledCall, noted: &Noted<'_>) -> SampledCall {
    let other_method = if sampled.method == method::UNKNOWN { shown(noted.method) } else { ArrayVec::new() };
    SampledCall { transport: noted.transport, other_method, ..sampled.clone() }
}
