//! The data path on one screen: a call's way through its providers to exactly one reply.
//!
//! `route::exchange` says what to do, `attempt` does it; what is kept in between is the last JSON-RPC error that a
//! provider gave, because a provider's own words are a better end than ours.

use crate::base::ids::SlotId;
use crate::base::limits;
use crate::base::time::Instant;
use crate::config::topology::Provider;
use crate::observe::category::Category;
use crate::route::exchange::{Action, ConnectionRule, End, Exchange, Refuse, Reply as Ending};
use crate::route::select::Sieve;
use crate::runtime::world::World;
use crate::shard::attempt::{Got, Held, attempt};
use crate::shard::call::{Call, FilterRole};
use crate::shard::refusal::RpcRefusal;
use crate::shard::relay::Relay;
use crate::shard::witness::{Attempt, Trial, Witness};
use crate::shard::{Fault, Shard};
use crate::snapshot::{ChainPlan, members};

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
    let snapshot = call.snapshot.clone();
    let plan = snapshot.plan(call.profile, call.chain);
    let blind = without_circuits(shard, plan);
    let plan = blind.as_deref().unwrap_or(plan);
    let mut exchange = Exchange::new(plan, &call.ask, call.safety(), call.timeout_ms(), call.started);
    let mut last = Last { error: None, absent: None };
    let mut witness = Witness::default();
    let mut now = call.started;
    loop {
        let action = exchange.next(plan, &mut call.rng, now);
        let got = match action {
            Action::Reply(ending) => {
                witness.end(shard);
                return finish(shard, call, ending, last);
            }
            Action::Pause { until } => {
                shard.world.sleep_until(until).await;
                now = shard.now();
                look_again(shard, call, plan, now);
                exchange.renew(plan, &call.ask);
                continue;
            }
            Action::Attempt { slot, deadline, connection } => {
                let began = shard.now();
                call.trace.selection += began.since(now);
                let Ok(trial) = Trial::begin(shard, plan, slot, began) else {
                    // Another call of this shard has just used the permit.
                    exchange.on_end(plan, End::NotSent);
                    continue;
                };
                let got = one_attempt(shard, call, slot, connection, deadline, began).await;
                // A whole answer's last reading is the one that ended it.
                let ended = if matches!(got, Got::Answer { .. }) { shard.recent() } else { shard.now() };
                call.trace.upstream += ended.since(began);
                call.trace.retries = exchange.retries();
                now = ended;
                let attempt = Attempt { slot, began, ended, deadline, is_retry: exchange.is_retry(), trial };
                (got, attempt)
            }
        };
        let (got, attempt) = got;
        exchange.on_end(plan, wire_fault(shard, got.end(), call));
        witness.on_end(shard, plan, call, &got, attempt, exchange.is_resending());
        match got {
            Got::Answer { held, category } => {
                call.trace.category = category;
                shard.note_newest(call, call.trace.selected, &held, now);
                last.discard(shard);
                return answer(shard, call, held);
            }
            Got::Stream(relay) => {
                last.discard(shard);
                return Reply::Stream(relay);
            }
            Got::Absent { held } => {
                if let Some(wait_ms) = shard.promise(call, now).filter(|_| last.absent.is_none()) {
                    exchange.promise(wait_ms);
                }
                last.note_absent(shard, held, call.trace.selected);
            }
            Got::Refused { outcome, error } => {
                call.trace.category = Some(outcome.category);
                last.note(shard, error);
            }
            Got::NotSent(_) | Got::Lost { .. } | Got::TimedOut | Got::ClientGone => shard.counters.failovers.add(1),
        }
    }
}

async fn one_attempt<W: World>(
    shard: &Shard<W>,
    call: &mut Call<W>,
    slot: SlotId,
    connection: ConnectionRule,
    deadline: Instant,
    now: Instant,
) -> Got<W> {
    let snapshot = call.snapshot.clone();
    let plan = snapshot.plan(call.profile, call.chain);
    let provider: &Provider = &snapshot.chain(call.profile, call.chain).providers[plan.fixed.providers[slot]];
    call.trace.selected = Some(slot);
    call.trace.circuit = plan.circuit(slot);
    shard.begin_attempt(call);
    let rules = &provider.capabilities.error_rules;
    let got = attempt(shard, call, plan.fixed.channels[slot], rules, connection, deadline, now).await;
    shard.end_attempt(call, plan, now, &got);
    shard.counters.attempt(provider.instance, !matches!(got, Got::Answer { .. } | Got::Stream(_) | Got::Absent { .. }));
    got
}

/// The best that failed attempts left behind.
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
    fn discard<W: World>(self, shard: &Shard<W>) {
        let absent = self.absent.map(|(held, _)| held);
        self.error.into_iter().chain(absent).for_each(|held| shard.buffers.give(held.buf));
    }
}

/// By now others may have announced what nobody had.
fn look_again<W: World>(shard: &Shard<W>, call: &mut Call<W>, plan: &ChainPlan, now: Instant) {
    let number = call.snapshot.chain(call.profile, call.chain).chain_number;
    shard.see_announced(&mut call.fit, plan, number, now);
    call.ask.behind = call.fit.behind;
}

fn finish<W: World>(shard: &Shard<W>, call: &mut Call<W>, ending: Ending, mut last: Last) -> Reply<W> {
    if ending == Ending::LastAbsent
        && let Some((held, slot)) = last.absent.take()
    {
        (call.trace.selected, call.trace.category) = (slot, None);
        last.discard(shard);
        return Reply::Held(held);
    }
    let refuse = match (ending, last.error) {
        (Ending::Nothing, _) => return Reply::Nothing,
        (Ending::LastError | Ending::LastAbsent | Ending::Answer, Some(error)) => return Reply::Held(error),
        (Ending::LastError | Ending::LastAbsent | Ending::Answer, None) => Refuse::Exhausted,
        (Ending::Refuse(why), _) => why,
    };
    shard.counters.refusals.add(1);
    let retry_after_ms = when_circuits_open(shard, call, refuse);
    Reply::Refused(RpcRefusal::no_answer(refuse, call.method_name(), call.trace.category.map(Category::word), retry_after_ms))
}

/// When the first open circuit lets a trial through, or soon if one does already; tells the aggregator that somebody waits for it.
fn when_circuits_open<W: World>(shard: &Shard<W>, call: &Call<W>, why: Refuse) -> Option<u64> {
    if why != Refuse::CircuitsOpen {
        return None;
    }
    let plan = call.snapshot.plan(call.profile, call.chain);
    let waiting = Sieve::new(plan, &call.ask).supported & plan.gates.half_open;
    members(waiting).filter_map(|id| plan.fixed.channels.get(id)).for_each(|channel| shard.reporter.want(*channel));
    // Where a trial is due or under way, the next epoch may know more.
    let until_ms = if waiting == 0 { plan.retry_at?.since(shard.recent()).as_millis() as u64 } else { 0 };
    Some(until_ms.max(limits::EPOCH_MS))
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
fn wire_fault<W: World>(shard: &Shard<W>, end: crate::route::exchange::End, call: &Call<W>) -> crate::route::exchange::End {
    use crate::chain::method::Safety;
    use crate::route::exchange::End;
    match end {
        End::Lost { .. } | End::TimedOut { .. }
            if W::FAULTS && shard.fault == Fault::RepeatRaw && call.safety() == Safety::RawTransaction =>
        {
            End::NotSent
        }
        end => end,
    }
}
