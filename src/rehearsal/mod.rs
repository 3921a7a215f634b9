//! What another strategy would have chosen over the calls of a record, and what that would have cost.
//!
//! The rules are not told again here: each recorded call goes through the node's own exchange and walk, over snapshots that
//! the node's own aggregator publishes every 100 ms of virtual time, from tallies that are filled with what attempts would
//! have come to. So breakers, rests, vetoes, re-measuring and failover are those of a node. What is made up is an attempt's
//! end, which `replay::known` draws from what was seen of that provider around that time. Recorded probes are told as they
//! were.
//!
//! What it leaves out: heights (who lags is known by the last probe only), lessons about limits, waiting for a connection, and
//! that a provider may do worse under more calls.

pub mod cast;
pub mod figures;

use crate::aggregator::{Aggregator, Rules};
use crate::base::ids::{ChannelId, MethodId, SlotId, Transport};
use crate::base::limits;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::chain::method::{self, Safety, Terms};
use crate::config::topology::Strategy;
use crate::health::breaker::Policy;
use crate::observe::category::{Category, Class};
use crate::observe::report::{Event, Load, Probe, Report, TrialEnd};
use crate::observe::tally::{Attempted, Effect, Tally};
use crate::replay::known::{Known, Seen};
use crate::replay::read::{Record, RecordedCall, RecordedEnd, RecordedOutcome, RecordedPlace};
use crate::route::exchange::{Action, AttemptTime, End, Exchange, Reply};
use crate::route::select::Ask;
use crate::shard::{Node, Settings, Vetoes};
use crate::snapshot::{ChainPlan, Set, Snapshot, bit};
use cast::{Cast, HERE};
use figures::Rehearsed;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The producers: one shard, and the control thread.
const SHARD: u16 = 0;
const CONTROL: u16 = 1;
/// Grants to measure again that are remembered as used.
const GRANTS: usize = 1024;

/// Plays the calls of `record` under `strategy`. The same seed gives the same figures. The error is for people.
pub fn rehearse(record: &Record, strategy: Strategy, seed: u64) -> Result<Rehearsed, String> {
    let mut stage = Stage::new(record, strategy, seed)?;
    let copies = copies(record);
    for (place, call) in record.calls.iter().enumerate() {
        let next_us = record.calls.get(place + 1).map_or(call.at_us, |next| next.at_us);
        let gap_us = (next_us - call.at_us).min(COPIES_WITHIN_US);
        for copy in 0..copies {
            let now = at(call.at_us + gap_us * copy / copies);
            stage.reach(now);
            stage.play(call, now);
        }
        stage.note_recorded(call);
    }
    let end = stage.stepped.plus_ms(limits::REHEARSAL_TAIL_MS);
    stage.reach(end);
    let mut told = stage.told;
    told.chains.iter_mut().for_each(|(recorded, other)| {
        recorded.sort();
        other.sort();
    });
    Ok(told)
}

/// Copies of one recorded call fall into the time until the next one, and into this.
const COPIES_WITHIN_US: u64 = 1_000_000;

/// Where a share of calls was recorded, each of them is played as often as it stands for, as far as that can be waited for:
/// breakers, reliability and re-measuring depend on how many calls there are.
fn copies(record: &Record) -> u64 {
    let most = limits::REHEARSAL_CALLS / (record.calls.len() as u64).max(1);
    record.weight().min(most).max(1)
}

/// A record's time as the rehearsal's: the aggregator takes zero for "never".
fn at(us: u64) -> Instant {
    Instant::ZERO.plus_ms(limits::EPOCH_MS) + Duration::from_micros(us)
}

/// Something that becomes known later than it was decided.
enum Later {
    Attempt(Attempted),
    Producer(u16, Event),
    /// This shard keeps away from it until a snapshot knows.
    Veto(ChannelId),
}

struct Stage<'a> {
    record: &'a Record,
    cast: Cast,
    known: Known,
    strategy: Strategy,
    node: Arc<Node>,
    judge: Aggregator,
    snapshot: Arc<Snapshot>,
    /// What the shard and the control thread have counted since their last reports.
    tallies: [Box<Tally>; 2],
    /// Under which number the shard's next report goes up.
    epoch: u64,
    vetoes: Vetoes,
    later: BTreeMap<(Instant, u64), Later>,
    numbers: u64,
    next_probe: usize,
    last_trial: u64,
    used_grants: BTreeSet<u32>,
    /// Channels whose last probe found them behind.
    behind: BTreeSet<ChannelId>,
    stepped: Instant,
    rng: Rng,
    told: Rehearsed,
}

/// A call under way.
struct Playing {
    chain: u16,
    method: u16,
    ask: Ask,
    now: Instant,
    /// Failed attempts that another provider's answer may prove, and what each was given.
    suspects: Vec<(Attempted, Duration)>,
    attempts: u32,
    last: Option<u16>,
    last_took: Duration,
    /// What is the call's own doing, whoever is asked.
    own: Option<RecordedOutcome>,
}

impl<'a> Stage<'a> {
    fn new(record: &'a Record, strategy: Strategy, seed: u64) -> Result<Stage<'a>, String> {
        let cast = Cast::new(record)?;
        let known = Known::new(record, |place| cast.channel(place));
        let snapshot = Snapshot::new(cast.topology.clone(), strategy, HERE, 2);
        let (entries, instances) = (snapshot.topology.entries.len(), snapshot.topology.instances.len());
        let node = Node::new(Settings::without_clients(HERE), snapshot, [seed, !seed]);
        let mut rng = Rng::new(seed);
        let told = record.rules();
        let breaker = Policy::new(told.breaker_failures, told.breaker_successes, told.breaker_recovery_ms);
        let beta = if told.latency_exponent.is_finite() { told.latency_exponent.clamp(0.0, 20.0) } else { 3.0 };
        let judge = Aggregator::new(node.clone(), Rules { breaker, beta }, rng.fork(1));
        let mut stage = Stage {
            told: Rehearsed { chains: vec![Default::default(); record.chains.len()], ..Rehearsed::default() },
            snapshot: node.snapshot.latest(),
            tallies: [(); 2].map(|()| Box::new(Tally::new(entries, instances))),
            epoch: node.lanes.first().map_or(1, |lane| lane.next_epoch()),
            vetoes: Vetoes::new(2 * instances),
            later: BTreeMap::new(),
            numbers: 0,
            next_probe: 0,
            last_trial: 0,
            used_grants: BTreeSet::new(),
            behind: BTreeSet::new(),
            stepped: Instant::ZERO,
            rng,
            record,
            cast,
            known,
            strategy,
            node,
            judge,
        };
        stage.name_unknown();
        Ok(stage)
    }

    fn name_unknown(&mut self) {
        for (chain, recorded) in (0..).zip(&self.record.chains) {
            for provider in 0..recorded.providers.len().min(usize::from(u16::MAX)) as u16 {
                let is_seen = |transport| {
                    let place = RecordedPlace { chain, provider, transport };
                    self.cast.channel(place).is_some_and(|channel| self.known.knows(channel))
                };
                if ![Transport::Http, Transport::Ws].into_iter().any(is_seen) {
                    self.told.unknown.push((chain, provider));
                }
            }
        }
    }

    /// Lets virtual time pass until then.
    fn reach(&mut self, until: Instant) {
        loop {
            let next = self.stepped.plus_ms(limits::EPOCH_MS);
            if next > until {
                return self.settle(until);
            }
            self.settle(next);
            self.report(next);
            self.judge.step(next);
            self.stepped = next;
            self.snapshot = self.node.snapshot.latest();
            self.vetoes.lift(self.snapshot.merged_epochs.first().copied().unwrap_or(0));
            self.start_trials(next);
        }
    }

    /// What has become known by then.
    fn settle(&mut self, until: Instant) {
        while let Some(probe) = self.record.probes.get(self.next_probe).filter(|probe| at(probe.at_us) <= until) {
            self.next_probe += 1;
            let found = match probe.outcome {
                Ok(us) => Some(Probe::Ok { latency: Duration::from_micros(us.into()) }),
                Err(Some(Category::Auth)) => Some(Probe::Auth),
                Err(Some(Category::RateLimit)) => Some(Probe::Limited { hint_ms: None }),
                Err(Some(category)) => Some(Probe::Failed { category }),
                Err(None) => None,
            };
            let channel = self.cast.channel(probe.place);
            match (channel, probe.is_behind) {
                (Some(channel), true) => drop(self.behind.insert(channel)),
                (Some(channel), false) => drop(self.behind.remove(&channel)),
                (None, _) => {}
            }
            if let Some((channel, probe)) = channel.zip(found) {
                self.tell(CONTROL, Event::Probed { channel, probe });
            }
        }
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= until) {
            match entry.remove() {
                Later::Attempt(attempted) => self.record_attempt(&attempted),
                Later::Producer(producer, event) => self.tell(producer, event),
                Later::Veto(channel) => self.vetoes.raise(channel, self.epoch),
            }
        }
    }

    fn record_attempt(&mut self, attempted: &Attempted) {
        let [tally, _] = &mut self.tallies;
        tally.record(attempted);
        match attempted.effect {
            Effect::Success => self.vetoes.on_success(attempted.channel),
            Effect::Penalised => {
                let is_network = attempted.category == Some(Category::Network);
                self.vetoes.on_failure(attempted.channel, is_network, self.epoch);
            }
            Effect::Suspect | Effect::Neutral => {}
        }
    }

    fn tell(&mut self, producer: u16, event: Event) {
        if let Some(tally) = self.tallies.get_mut(usize::from(producer)) {
            tally.tell(event);
        }
    }

    fn after(&mut self, at: Instant, what: Later) {
        self.numbers += 1;
        self.later.insert((at, self.numbers), what);
    }

    fn report(&mut self, until: Instant) {
        for producer in [SHARD, CONTROL] {
            let Some(lane) = self.node.lanes.get(usize::from(producer)) else { continue };
            let (entries, instances) = (self.snapshot.topology.entries.len(), self.snapshot.topology.instances.len());
            let empty = lane.take_empty().unwrap_or_else(|| Box::new(Tally::new(entries, instances)));
            let Some(tally) = self.tallies.get_mut(usize::from(producer)).map(|tally| std::mem::replace(tally, empty)) else {
                continue;
            };
            let epoch = if producer == SHARD { self.epoch } else { lane.next_epoch() };
            // The aggregator takes every report in the step that follows, so there is room.
            let sent = lane.send(Report { producer, epoch, until, is_last: false, tally, load: Load::default() });
            debug_assert!(sent.is_ok(), "a lane of the rehearsal is full");
            if producer == SHARD {
                self.epoch = lane.next_epoch();
            }
        }
    }

    /// The control thread's trials of half-open circuits end as a probe at that time might have.
    fn start_trials(&mut self, now: Instant) {
        let (snapshot, last) = (self.snapshot.clone(), self.last_trial);
        for trial in snapshot.trials.iter().filter(|trial| trial.permit.0 > last) {
            let seen = self.known.draw_probe(trial.channel, recorded_us(now), &mut self.rng);
            let seen = seen.unwrap_or(Seen { took_us: 0, outcome: RecordedOutcome::Failed(Category::Network) });
            let is_good =
                matches!(seen.outcome, RecordedOutcome::Answered | RecordedOutcome::Absent | RecordedOutcome::OwnError(_));
            let end = if is_good { TrialEnd::Good } else { TrialEnd::Bad };
            let (permit, channel) = (trial.permit, trial.channel);
            self.after(now, Later::Producer(CONTROL, Event::TrialStarted { permit, channel }));
            let ended = now + Duration::from_micros(seen.took_us.into());
            self.after(ended, Later::Producer(CONTROL, Event::TrialEnded { permit, channel, end }));
        }
        self.last_trial = snapshot.trials.iter().map(|trial| trial.permit.0).fold(self.last_trial, u64::max);
    }

    /// One recorded call, under the other strategy.
    fn play(&mut self, call: &RecordedCall, now: Instant) {
        let Some((profile, place)) = self.cast.place(call.chain) else { return };
        if is_unsent(call) {
            return;
        }
        let snapshot = self.snapshot.clone();
        let plan = snapshot.plan(profile, place);
        let name = self.record.method(call);
        let (id, terms) = (method::lookup(name.as_bytes()), plan.fixed.terms(method::lookup(name.as_bytes()), name.as_bytes()));
        let ask = self.ask(plan, call, id, terms);
        let mut exchange = Exchange::new(plan, &ask, terms.safety, terms.timeout_ms, now);
        let mut playing = Playing {
            chain: call.chain,
            method: call.method,
            ask,
            now,
            suspects: Vec::new(),
            attempts: 0,
            last: None,
            last_took: Duration::ZERO,
            own: own_outcome(call),
        };
        let reply = loop {
            match exchange.next(plan, &mut self.rng, playing.now) {
                Action::Reply(reply) => break reply,
                Action::Attempt { slot, time, .. } => {
                    let end = self.attempt(plan, &mut playing, (slot, time));
                    exchange.on_end(plan, end);
                }
                Action::AwaitTurn { .. } | Action::Pause { .. } => exchange.give_up_waiting(End::NotSent),
            }
        };
        self.end(call, now, playing, reply);
    }

    fn note_recorded(&mut self, call: &RecordedCall) {
        if is_unsent(call) {
            self.told.unsent += 1;
            return;
        }
        let Some((recorded, _)) = self.told.chains.get_mut(usize::from(call.chain)) else { return };
        call.attempts.iter().for_each(|attempt| recorded.attempt(attempt.place.provider));
        let is_answered = matches!(call.end, RecordedEnd::Result | RecordedEnd::Truncated)
            || call
                .attempts
                .last()
                .is_some_and(|last| matches!(last.outcome, RecordedOutcome::OwnError(_) | RecordedOutcome::Absent));
        recorded.add(call.took_us, call.attempts.last().map(|last| last.place.provider).filter(|_| is_answered));
    }

    /// What the call asks of the choice, as far as a record tells.
    fn ask(&mut self, plan: &ChainPlan, call: &RecordedCall, id: MethodId, terms: Terms) -> Ask {
        let name = self.record.method(call);
        let mut ask = Ask::new(self.strategy, id);
        ask.reachable = self.seen(plan);
        if call.is_bulk && ask.reachable & !plan.fixed.second != 0 {
            ask.reachable &= !plan.fixed.second;
        }
        ask.eligible = plan.fixed.rule(id, name.as_bytes()).map_or(Set::MAX, |rule| rule.providers);
        ask.supports = plan.supports(id, name.as_bytes());
        ask.local = plan.fixed.local;
        ask.archival = call.archival;
        ask.unfit = call.range.map_or(0, |range| {
            let is_beyond = |most: Option<u64>| most.is_some_and(|most| range > most);
            plan.fixed.bounds.iter().filter(|(_, b)| is_beyond(b.max_block_range)).fold(0, |set, (slot, _)| set | bit(slot))
        });
        let is_behind = |channel: &ChannelId| self.behind.contains(channel);
        ask.behind = plan.fixed.channels.iter().filter(|(_, c)| is_behind(c)).fold(0, |set, (slot, _)| set | bit(slot));
        ask.vetoed = self.vetoes.mask(plan);
        ask.pin = call.pin.and_then(|pin| self.cast.provider(call.chain, pin));
        ask.allow_failover = call.allow_failover;
        if call.is_bound
            && let Some(only) = call.attempts.first().and_then(|first| self.cast.provider(call.chain, first.place.provider))
        {
            ask.eligible = plan.fixed.of_provider(only);
        }
        ask.remeasure = self.remeasure(plan, &ask, terms);
        ask
    }

    /// Channels of which anything is known.
    fn seen(&self, plan: &ChainPlan) -> Set {
        plan.fixed.channels.iter().filter(|(_, channel)| self.known.knows(**channel)).fold(0, |set, (slot, _)| set | bit(slot))
    }

    /// One call is diverted by a grant.
    fn remeasure(&mut self, plan: &ChainPlan, ask: &Ask, terms: Terms) -> Option<SlotId> {
        let grant = plan.ranking(ask.method).grant.filter(|grant| grant.shard == SHARD)?;
        let is_measured = matches!(ask.strategy, Strategy::Fastest | Strategy::LatencyWeighted);
        if !is_measured || terms.safety != Safety::Repeatable || ask.pin.is_some() || ask.reachable & bit(grant.slot) == 0 {
            return None;
        }
        self.use_grant(grant.id).then_some(grant.slot)
    }

    /// Each grant once. They are numbered in order, so only the newest need be remembered.
    fn use_grant(&mut self, id: u32) -> bool {
        if self.used_grants.len() > GRANTS {
            self.used_grants.pop_first();
        }
        self.used_grants.insert(id)
    }

    /// One attempt: what it might have come to, told when it would have been known.
    fn attempt(&mut self, plan: &ChainPlan, playing: &mut Playing, (slot, time): (SlotId, AttemptTime)) -> End {
        let channel = plan.fixed.channels[slot];
        let drawn = self.known.draw(channel, playing.method, recorded_us(playing.now), &mut self.rng);
        let Some((seen, basis)) = drawn else { return End::Unreachable };
        *self.told.bases.entry(basis).or_default() += 1;
        let provider = u16::from(plan.fixed.providers[slot].0);
        if let Some((_, other)) = self.told.chains.get_mut(usize::from(playing.chain)) {
            other.attempt(provider);
        }
        playing.attempts += 1;
        playing.last = Some(provider);
        let patience = time.deadline(playing.now).since(playing.now);
        let is_silent = seen.outcome == RecordedOutcome::Failed(Category::Timeout);
        let took = if is_silent { patience } else { Duration::from_micros(seen.took_us.into()) };
        let seen = match took >= patience {
            true => Seen { took_us: whole_us(patience), outcome: RecordedOutcome::Failed(Category::Timeout) },
            false => Seen { outcome: as_of_call(seen.outcome, playing.own), ..seen },
        };
        playing.last_took = took.min(patience);
        let ended = playing.now + playing.last_took;
        playing.now = ended;
        let attempted = attempted(plan, (slot, channel), &playing.ask, seen, playing.attempts > 1);
        if plan.is_dark(slot) {
            let ok = attempted.effect == Effect::Success;
            self.after(ended, Later::Producer(SHARD, Event::InTheDark { channel, ok }));
        }
        match attempted.effect {
            Effect::Suspect => playing.suspects.push((attempted, patience)),
            _ => self.after(ended, Later::Attempt(attempted)),
        }
        if let RecordedOutcome::Failed(category) = seen.outcome
            && category.class() == Class::Quota
        {
            self.after(ended, Later::Veto(channel));
            self.after(ended, Later::Producer(SHARD, Event::Limited { channel, hint_ms: None }));
        }
        end_of(seen.outcome)
    }

    /// The call is over: what its failed attempts prove is told, and what its client waited.
    fn end(&mut self, call: &RecordedCall, began: Instant, playing: Playing, reply: Reply) {
        let is_answered = matches!(reply, Reply::Answer | Reply::LastAbsent);
        for (suspect, allotted) in playing.suspects {
            let is_proven = is_answered && playing.last_took <= allotted;
            let effect = if is_proven { Effect::Penalised } else { Effect::Suspect };
            self.after(playing.now, Later::Attempt(Attempted { effect, ..suspect }));
        }
        // What the node and the client's connection took is the same whoever answers.
        let in_attempts: u64 = call.attempts.iter().map(|attempt| u64::from(attempt.took_us)).sum();
        let beside_us = call.took_us.saturating_sub(in_attempts);
        let took_us = playing.now.since(began).as_micros() as u64 + beside_us;
        if let Some((_, other)) = self.told.chains.get_mut(usize::from(call.chain)) {
            other.add(took_us, playing.last.filter(|_| is_answered));
        }
    }
}

/// Answered or refused by the node itself, or left by its client: no strategy changes that.
fn is_unsent(call: &RecordedCall) -> bool {
    call.attempts.is_empty() || call.end == RecordedEnd::ClientGone
}

/// That there is no such thing, and an error of the call's own, are the call's doing: whoever else is asked says so too.
fn own_outcome(call: &RecordedCall) -> Option<RecordedOutcome> {
    let last = call.attempts.last().map(|attempt| attempt.outcome);
    last.filter(|outcome| matches!(outcome, RecordedOutcome::Absent | RecordedOutcome::OwnError(_)))
}

/// What was drawn is some other call's, of which only what it says of the provider is taken.
fn as_of_call(drawn: RecordedOutcome, own: Option<RecordedOutcome>) -> RecordedOutcome {
    match drawn {
        RecordedOutcome::Answered | RecordedOutcome::Absent | RecordedOutcome::OwnError(_) => {
            own.unwrap_or(RecordedOutcome::Answered)
        }
        RecordedOutcome::Failed(_) | RecordedOutcome::Nothing => drawn,
    }
}

fn whole_us(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

fn recorded_us(now: Instant) -> u64 {
    now.since(at(0)).as_micros() as u64
}

fn attempted(plan: &ChainPlan, (slot, channel): (SlotId, ChannelId), ask: &Ask, seen: Seen, is_retry: bool) -> Attempted {
    let (effect, category) = match seen.outcome {
        RecordedOutcome::Answered | RecordedOutcome::Absent => (Effect::Success, None),
        RecordedOutcome::OwnError(category) => (Effect::Neutral, Some(category)),
        RecordedOutcome::Failed(category) if category == Category::Auth || category.class() != Class::ProviderFailure => {
            (Effect::Neutral, Some(category))
        }
        RecordedOutcome::Failed(category) => (Effect::Suspect, Some(category)),
        RecordedOutcome::Nothing => (Effect::Neutral, None),
    };
    Attempted {
        entry: plan.fixed.entry(slot),
        channel,
        method: ask.method,
        effect,
        category,
        latency: Duration::from_micros(seen.took_us.into()),
        is_retry,
        is_superseded: false,
    }
}

fn end_of(outcome: RecordedOutcome) -> End {
    match outcome {
        RecordedOutcome::Answered | RecordedOutcome::OwnError(_) => End::Answered,
        RecordedOutcome::Absent => End::Absent,
        RecordedOutcome::Failed(Category::Timeout) => End::TimedOut { wrote: true },
        RecordedOutcome::Failed(Category::Network) => End::Lost { wrote: true, stale: false },
        RecordedOutcome::Failed(category) => End::Refused { has_error: false, before_pool: category.refuses_before_pool() },
        RecordedOutcome::Nothing => End::NotSent,
    }
}
