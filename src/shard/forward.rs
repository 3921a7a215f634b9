//! The data path on one screen: a call's way through its providers to exactly one reply.
//!
//! `route::exchange` says what to do, `attempt` does it; what is kept in between is the last JSON-RPC error that a
//! provider gave, because a provider's own words are a better end than ours.

use crate::base::ids::SlotId;
use crate::base::limits;
use crate::base::time::Instant;
use crate::config::topology::Provider;
use crate::observe::category::Category;
use crate::route::exchange::{Action, AttemptTime, ConnectionRule, End, Exchange, Refuse, Reply as Ending};
use crate::runtime::turns::DarkTurn;
use crate::runtime::world::World;
use crate::shard::attempt::{Got, Held, attempt};
use crate::shard::call::{Call, FilterRole};
use crate::shard::deadlines::Watched;
use crate::shard::refusal::RpcRefusal;
use crate::shard::relay::Relay;
use crate::shard::turn_line::PlaceInLine;
use crate::shard::witness::{Attempt, Witness};
use crate::shard::{Fault, Shard};
use crate::snapshot::ChainPlan;
use arrayvec::ArrayVec;
use std::rc::Rc;

/// What a call's client is given.
pub enum Reply<W: World> {
    Held(Held),
    Stream(Box<Relay<W>>),
    Refused(RpcRefusal),
    /// The raw result, answered here.
    Local(Box<str>),
    /// The client is gone.
    Nothing,
}

impl<W: World> Reply<W> {
    /// Nobody wants it: a notification's.
    pub fn discard(self, shard: &Shard<W>) {
        if let Reply::Held(held) = self {
            shard.buffers.give(held.buf);
        }
    }
}

/// Routes `call` to its end.
pub async fn forward<W: World>(shard: &Shard<W>, call: &mut Call<W>) -> Reply<W> {
    shard.begin_exchange(call);
    shard.begin_sample(call);
    let plan = call.snapshot.plan(call.profile, call.chain);
    let blind = without_circuits(shard, plan);
    let plan = blind.as_deref().unwrap_or(plan);
    let exchange = Exchange::new(plan, &call.ask, call.safety(), call.timeout_ms(), call.started);
    let (last, witness) = (Last::default(), Witness::default());
    let mut journey = Journey { exchange, last, witness, now: call.started, tried: ArrayVec::new(), place: None };
    loop {
        if let Some(reply) = journey.step(shard, call).await {
            return reply;
        }
    }
}

/// A call under way: what was decided, what is kept, and where it waits.
struct Journey {
    exchange: Exchange,
    last: Last,
    witness: Witness,
    /// When the last step ended.
    now: Instant,
    /// Whom it was sent to, for people.
    tried: ArrayVec<SlotId, { limits::CANDIDATES as usize }>,
    /// Its place among those that wait for a turn.
    place: Option<PlaceInLine>,
}

/// Another call has the turn at a channel whose circuit is not closed.
struct IsBusy;

impl Journey {
    /// One attempt, or one wait; the reply when that was the last.
    async fn step<W: World>(&mut self, shard: &Shard<W>, call: &mut Call<W>) -> Option<Reply<W>> {
        let snapshot = call.snapshot.clone();
        let plan = snapshot.plan(call.profile, call.chain);
        let blind = without_circuits(shard, plan);
        let plan = blind.as_deref().unwrap_or(plan);
        let (slot, time, connection) = match self.exchange.next(plan, &mut call.rng, self.now) {
            Action::Attempt { slot, time, connection } => (slot, time, connection),
            Action::AwaitTurn { until } => {
                // Boxed: a rare path whose state would sit in every call.
                Box::pin(self.wait(shard, call, until)).await;
                return None;
            }
            Action::Pause { until } => {
                Box::pin(self.pause(shard, call, until)).await;
                return None;
            }
            Action::Reply(ending) => {
                self.witness.end(shard);
                return Some(self.finish(shard, call, ending));
            }
        };
        let began = shard.now();
        call.trace.selection += began.since(self.now);
        let Ok(turn) = self.turn(shard, call, slot, (time, began)) else {
            (self.now, _) = (began, self.exchange.defer());
            return None;
        };
        if self.tried.last() != Some(&slot) && !self.tried.is_full() {
            self.tried.push(slot);
        }
        let got = one_attempt(shard, call, slot, connection, time, began).await;
        // A whole answer's last reading is the one that ended it.
        let ended = if matches!(got, Got::Answer { .. }) { shard.recent() } else { shard.now() };
        call.trace.upstream += ended.since(began);
        call.trace.retries = self.exchange.retries();
        self.now = ended;
        let attempt = Attempt { slot, began, ended, is_retry: self.exchange.is_retry(), turn };
        self.exchange.on_end(plan, wire_fault(shard, got.end(), call));
        self.witness.on_end(shard, plan, call, &got, (attempt, self.exchange.is_resending()));
        self.taken(shard, call, got)
    }

    /// What an attempt brought: the reply, or something to keep until a better one comes.
    fn taken<W: World>(&mut self, shard: &Shard<W>, call: &mut Call<W>, got: Got<W>) -> Option<Reply<W>> {
        match got {
            Got::Answer { held, category } => {
                call.trace.category = category;
                shard.note_newest(call, call.trace.selected, &held, self.now);
                self.last.discard(shard);
                Some(answer(shard, call, held))
            }
            Got::Stream(relay) => {
                self.last.discard(shard);
                Some(Reply::Stream(relay))
            }
            Got::Absent { held } => {
                if let Some(wait_ms) = shard.promise(call, self.now).filter(|_| self.last.absent.is_none()) {
                    self.exchange.promise(wait_ms);
                }
                self.last.note_absent(shard, held, call.trace.selected);
                None
            }
            Got::Unproven { held } => {
                self.last.note_absent(shard, held, call.trace.selected);
                None
            }
            Got::Refused { outcome, error } => {
                call.trace.category = Some(outcome.category);
                if outcome.category == Category::MissingDataAhead
                    && let Some(wait_ms) = shard.promise(call, self.now)
                {
                    self.exchange.promise(wait_ms);
                }
                self.last.note(shard, error);
                None
            }
            Got::NotSent(_) | Got::Lost { .. } | Got::TimedOut { .. } | Got::ClientGone => {
                shard.counters.failovers.add(1);
                None
            }
        }
    }

    /// The right to ask `slot`: none is needed while its circuit is closed.
    fn turn<W: World>(
        &mut self,
        shard: &Shard<W>,
        call: &Call<W>,
        slot: SlotId,
        (time, now): (AttemptTime, Instant),
    ) -> Result<Option<DarkTurn>, IsBusy> {
        let plan = call.snapshot.plan(call.profile, call.chain);
        // The simulator's deliberate bugs.
        let is_blind = W::FAULTS && matches!(shard.fault, Fault::IgnoreCircuits | Fault::SkipTurn);
        if is_blind || !plan.is_dark(slot) {
            return Ok(None);
        }
        if self.place.is_none() && shard.turn_lines.has_line((call.profile, call.chain)) {
            return Err(IsBusy);
        }
        let until = time.connect_by.max(now) + time.patience;
        let turn = shard.node.turns.take(plan.fixed.channels[slot], now, until).ok_or(IsBusy)?;
        self.place = None;
        Ok(Some(turn))
    }

    /// Waits in line until it is worth looking again, by what is known then.
    async fn wait<W: World>(&mut self, shard: &Shard<W>, call: &mut Call<W>, until: Instant) {
        if self.place.is_none() {
            self.place = shard.turn_lines.join((call.profile, call.chain));
        }
        let Some(place) = &self.place else { return self.exchange.give_up_waiting(End::NotSent) };
        let watch = shard.attempts.watch_attempt(self.now, until, call.client.clone());
        let waited = watch.bound(place.wait(&shard.world)).await;
        self.now = shard.now();
        match waited {
            Ok(()) => {}
            Err(Watched::ClientGone) => return self.exchange.give_up_waiting(End::ClientGone),
            Err(_) => return self.exchange.give_up_waiting(End::NotSent),
        }
        let fresh = shard.snapshot();
        if Rc::ptr_eq(&fresh, &call.snapshot) {
            return self.exchange.resume(None);
        }
        let plan = fresh.plan(call.profile, call.chain);
        call.ask.vetoed = shard.vetoes.mask(plan);
        self.exchange.resume(Some((plan, &call.ask)));
        call.snapshot = fresh;
    }

    /// What was promised is not there yet: waits, and looks again who has announced it meanwhile.
    async fn pause<W: World>(&mut self, shard: &Shard<W>, call: &mut Call<W>, until: Instant) {
        let watch = shard.attempts.watch_attempt(self.now, Instant::NEVER, call.client.clone());
        let waited = watch.bound(shard.world.sleep_until(until)).await;
        self.now = shard.now();
        if waited.is_err() {
            return self.exchange.give_up_waiting(End::ClientGone);
        }
        let snapshot = shard.snapshot();
        let plan = snapshot.plan(call.profile, call.chain);
        let number = snapshot.chain(call.profile, call.chain).chain_number;
        shard.see_announced(&mut call.fit, plan, number, self.now);
        call.fit.apply_to(&mut call.ask);
        self.exchange.renew(plan, &call.ask);
        call.snapshot = snapshot;
    }

    fn finish<W: World>(&mut self, shard: &Shard<W>, call: &mut Call<W>, ending: Ending) -> Reply<W> {
        if ending == Ending::LastAbsent
            && let Some((held, slot)) = self.last.absent.take()
        {
            (call.trace.selected, call.trace.category) = (slot, None);
            self.last.discard(shard);
            return Reply::Held(held);
        }
        let refuse = match (ending, self.last.error.take()) {
            (Ending::Nothing, _) => return Reply::Nothing,
            (Ending::LastError | Ending::LastAbsent | Ending::Answer, Some(error)) => return Reply::Held(error),
            (Ending::LastError | Ending::LastAbsent | Ending::Answer, None) => Refuse::Exhausted,
            (Ending::Refuse(why), _) => why,
        };
        shard.counters.refusals.add(1);
        if refuse == Refuse::AttemptTimedOut {
            let (plan, chain) = (call.snapshot.plan(call.profile, call.chain), call.snapshot.chain(call.profile, call.chain));
            let names = self.tried.iter().map(|slot| chain.providers[plan.fixed.providers[*slot]].id.as_ref());
            return Reply::Refused(RpcRefusal::timed_out(call.timeout_ms(), names));
        }
        let retry_after_ms = when_to_come_back(shard, call);
        let category = call.trace.category.map(Category::word);
        Reply::Refused(RpcRefusal::no_answer(refuse, call.method_name(), category, retry_after_ms))
    }
}

async fn one_attempt<W: World>(
    shard: &Shard<W>,
    call: &mut Call<W>,
    slot: SlotId,
    connection: ConnectionRule,
    time: AttemptTime,
    now: Instant,
) -> Got<W> {
    let snapshot = call.snapshot.clone();
    let plan = snapshot.plan(call.profile, call.chain);
    let provider: &Provider = &snapshot.chain(call.profile, call.chain).providers[plan.fixed.providers[slot]];
    call.trace.selected = Some(slot);
    call.trace.circuit = plan.circuit(slot);
    shard.begin_attempt(call);
    let rules = &provider.capabilities.error_rules;
    let got = attempt(shard, call, plan.fixed.channels[slot], rules, connection, time, now).await;
    shard.end_attempt(call, plan, now, &got);
    shard.sample_attempt(call, plan, now, &got);
    shard.counters.attempt(provider.instance, !is_answer(&got));
    got
}

fn is_answer<W: World>(got: &Got<W>) -> bool {
    matches!(got, Got::Answer { .. } | Got::Stream(_) | Got::Absent { .. } | Got::Unproven { .. })
}

/// The best that failed attempts left behind.
#[derive(Default)]
struct Last {
    error: Option<Held>,
    /// Who does not have it, in its own words.
    absent: Option<(Held, Option<SlotId>)>,
}

impl Last {
    fn note<W: World>(&mut self, shard: &Shard<W>, error: Option<Held>) {
        shard.counters.failovers.add(1);
        if let Some(error) = error
            && let Some(older) = self.error.replace(error)
        {
            shard.buffers.give(older.buf);
        }
    }

    fn note_absent<W: World>(&mut self, shard: &Shard<W>, held: Held, slot: Option<SlotId>) {
        if let Some((older, _)) = self.absent.replace((held, slot)) {
            shard.buffers.give(older.buf);
        }
    }

    /// A better answer came.
    fn discard<W: World>(&mut self, shard: &Shard<W>) {
        if let Some(error) = self.error.take() {
            shard.buffers.give(error.buf);
        }
        if let Some((absent, _)) = self.absent.take() {
            shard.buffers.give(absent.buf);
        }
    }
}

/// While nobody's circuit is closed: when the next trial comes, which is within a second unless all of them said when to ask.
fn when_to_come_back<W: World>(shard: &Shard<W>, call: &Call<W>) -> Option<u64> {
    let plan = call.snapshot.plan(call.profile, call.chain);
    if !plan.has_nobody() {
        return None;
    }
    let free = plan.fixed.together[0] & !(plan.gates.held | plan.gates.limited | plan.gates.wrong_chain);
    match (free, plan.rest_ends) {
        (0, Some(at)) => Some((at.since(shard.recent()).as_millis() as u64).max(limits::PROBE_URGENT_MS)),
        (0, None) => None,
        _ => Some(limits::PROBE_URGENT_MS),
    }
}

/// A result as the client gets it: that of a new filter names its instance.
fn answer<W: World>(shard: &Shard<W>, call: &Call<W>, held: Held) -> Reply<W> {
    if call.filter != FilterRole::Create {
        return Reply::Held(held);
    }
    let snapshot = &call.snapshot;
    let tag = call.trace.selected.map(|id| {
        let channel = snapshot.plan(call.profile, call.chain).fixed.channels[id];
        snapshot.topology.instances[channel.instance()].tag
    });
    match tag.and_then(|tag| held.with_filter_id(tag)) {
        Some(named) => Reply::Held(named),
        None => {
            shard.counters.refusals.add(1);
            Reply::Refused(RpcRefusal::no_answer(Refuse::Exhausted, call.method_name(), Some("malformed_response"), None))
        }
    }
}

/// The simulator's deliberate bug: every circuit passes for closed.
fn without_circuits<W: World>(shard: &Shard<W>, plan: &ChainPlan) -> Option<Box<ChainPlan>> {
    (W::FAULTS && shard.fault == Fault::IgnoreCircuits).then(|| {
        let mut plan = Box::new(plan.clone());
        (plan.gates.open, plan.gates.half_open) = (0, 0);
        plan
    })
}

/// The simulator's deliberate bug: a lost raw transaction passes for one that was never sent.
fn wire_fault<W: World>(shard: &Shard<W>, end: End, call: &Call<W>) -> End {
    use crate::chain::method::Safety;
    match end {
        End::Lost { .. } | End::TimedOut { .. }
            if W::FAULTS && shard.fault == Fault::RepeatRaw && call.safety() == Safety::RawTransaction =>
        {
            End::NotSent
        }
        end => end,
    }
}
