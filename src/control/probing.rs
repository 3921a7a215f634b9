//! Probes of one chain's channels: on schedule while a circuit is closed or open, by permit while it is half-open.

use crate::base::ids::{ChannelId, InstanceId, PermitId, Transport};
use crate::base::limits;
use crate::base::time::Duration;
use crate::chain::{hex, method};
use crate::control::{Announced, Watched, heights};
use crate::health::probe::{ProbeEnd, Schedule, Urgency};
use crate::observe::category::Category;
use crate::observe::report::{Event, Probe, TrialEnd};
use crate::runtime::world::World;
use crate::shard::{Found, Shard, inquire};
use crate::snapshot::Snapshot;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const CHAIN_QUESTION: &[u8] = br#"{"jsonrpc":"2.0","id":"lasso-probe","method":"eth_chainId","params":[]}"#;

/// One chain's probing, shared by the probes under way.
struct Chain<W: World> {
    shard: Rc<Shard<W>>,
    channels: Vec<Watched>,
    schedule: RefCell<Schedule>,
    /// Chains of which no provider has answered yet.
    unanswered: Rc<RefCell<BTreeSet<u64>>>,
    announced: Rc<Announced>,
    /// Polls of an instance that were left out in a row.
    unpolled: RefCell<BTreeMap<InstanceId, u32>>,
    /// Instances whose chain is being compared with the others'.
    comparing: Rc<RefCell<BTreeSet<InstanceId>>>,
    /// How often that was begun since its height is far above theirs.
    compared: RefCell<BTreeMap<InstanceId, u32>>,
    /// Probes under way, over all chains.
    under_way: Rc<Cell<usize>>,
}

/// A probe under way.
struct UnderWay(Rc<Cell<usize>>);

impl UnderWay {
    fn begin(all: &Rc<Cell<usize>>) -> UnderWay {
        all.set(all.get() + 1);
        UnderWay(all.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A comparison under way: one for an instance at a time.
struct Comparison(Rc<RefCell<BTreeSet<InstanceId>>>, InstanceId);

impl Comparison {
    fn begin(all: &Rc<RefCell<BTreeSet<InstanceId>>>, instance: InstanceId) -> Option<Comparison> {
        all.borrow_mut().insert(instance).then(|| Comparison(all.clone(), instance))
    }
}

impl Drop for Comparison {
    fn drop(&mut self) {
        self.0.borrow_mut().remove(&self.1);
    }
}

/// Probes until the node drains.
pub(super) async fn watch<W: World>(
    shard: Rc<Shard<W>>,
    channels: Vec<Watched>,
    unanswered: Rc<RefCell<BTreeSet<u64>>>,
    announced: Rc<Announced>,
    under_way: Rc<Cell<usize>>,
) {
    let intervals: Vec<_> = channels.iter().map(|w| (w.channel, w.interval_ms)).collect();
    let schedule = RefCell::new(Schedule::new(&intervals, shard.world().now()));
    let (unpolled, comparing, compared) = Default::default();
    let chain = Rc::new(Chain { shard, channels, schedule, unanswered, announced, unpolled, comparing, compared, under_way });
    let world = chain.shard.world().clone();
    let mut last_permit = PermitId(0);
    while !chain.shard.node().draining.is_raised() {
        world.sleep_until(world.now().plus_ms(limits::PROBE_TICK_MS)).await;
        last_permit = start_trials(&chain, last_permit);
        start_due(&chain);
    }
}

/// Starts every probe that is due, as far as the node's bound allows: whoever finds no room is the first of the next tick.
fn start_due<W: World>(chain: &Rc<Chain<W>>) {
    let (world, urgency) = (chain.shard.world(), urgency(chain));
    while chain.under_way.get() < limits::PROBES_UNDER_WAY {
        let of = |id| urgency.iter().find(|(channel, _)| *channel == id).map_or(Urgency::Usual, |(_, urgency)| *urgency);
        let due = chain.schedule.borrow_mut().next(world.now(), of);
        let Some(watched) = due.and_then(|due| chain.channels.iter().find(|w| w.channel == due)) else { return };
        world.spawn("probe", probe(chain.clone(), *watched, None, UnderWay::begin(&chain.under_way)));
    }
}

/// Channels whose next probe should not wait for its turn: as the aggregator says, one that had refused our credentials and
/// has served a call since, or one that is to be held against the others.
fn urgency<W: World>(chain: &Chain<W>) -> Vec<(ChannelId, Urgency)> {
    let (snapshot, schedule) = (chain.shard.latest(), chain.schedule.borrow());
    let of = |w: &Watched| {
        let is_back = schedule.was_refused(w.channel) && !snapshot.is_misconfigured(w.entry, w.channel.transport());
        let is_unreached = snapshot.is_on_wrong_chain(w.entry, w.channel.transport());
        let urgent = if is_unreached { Urgency::Unreached } else { Urgency::Urgent };
        let is_urgent = snapshot.urgent.contains(&w.channel) || is_to_be_compared(chain, &snapshot, *w);
        let urgency = if is_back { Some(Urgency::Back) } else { is_urgent.then_some(urgent) };
        Some((w.channel, urgency?))
    };
    chain.channels.iter().filter_map(of).collect()
}

/// Starts what permits were leased to us; permits are numbered in order, so a newer one is one not yet used. A probe that was
/// sent while the circuit was still open may be under way: its trial follows it, or is left out and leased again.
fn start_trials<W: World>(chain: &Rc<Chain<W>>, last: PermitId) -> PermitId {
    let (snapshot, now) = (chain.shard.latest(), chain.shard.world().now());
    let mut newest = last;
    for trial in snapshot.trials.iter().filter(|t| t.permit > last && now < t.start_by) {
        let Some(watched) = chain.channels.iter().find(|w| w.channel == trial.channel) else { continue };
        if !chain.schedule.borrow_mut().begin(trial.channel) {
            continue;
        }
        newest = newest.max(trial.permit);
        chain.shard.tell(Event::TrialStarted { permit: trial.permit, channel: trial.channel });
        chain.shard.world().spawn("trial", probe(chain.clone(), *watched, Some(trial.permit), UnderWay::begin(&chain.under_way)));
    }
    newest
}

async fn probe<W: World>(chain: Rc<Chain<W>>, watched: Watched, permit: Option<PermitId>, _under_way: UnderWay) {
    let shard = &chain.shard;
    let channel = watched.channel;
    let is_half_open = shard.latest().is_half_open(watched.entry, channel.transport());
    if is_half_open && permit.is_none() {
        // Only its trials may go there; the schedule asks again soon.
        let (now, mut rng) = (shard.world().now(), shard.world().rng());
        return chain.schedule.borrow_mut().on_end(channel, ProbeEnd::Ok, now, &mut rng);
    }
    if channel.transport() == Transport::Ws {
        shard.links().expect_probe(channel.instance());
    }
    let method = method::lookup(b"eth_chainId");
    let found =
        inquire(shard, watched.entry, watched.channel.transport(), method, CHAIN_QUESTION, limits::PROBE_TIMEOUT_MS).await;
    let (probe, end) = read(&found, watched.chain_number);
    if matches!(probe, Some(Probe::Ok { .. })) {
        answered(&chain, watched.chain_number);
        if watched.polls_head && must_poll(&chain, watched) {
            poll_head(&chain, watched).await;
        }
    }
    if let Some(permit) = permit {
        let end = match end {
            ProbeEnd::Ok => TrialEnd::Good,
            ProbeEnd::Failed | ProbeEnd::WrongChain => TrialEnd::Bad,
            ProbeEnd::Auth | ProbeEnd::Unasked => TrialEnd::Unclear { hint_ms: None },
            ProbeEnd::Limited { retry_after_ms } => TrialEnd::Unclear { hint_ms: retry_after_ms },
        };
        shard.tell(Event::TrialEnded { permit, channel, end });
    }
    if let Some(probe) = probe {
        shard.sample_probe(watched.entry, channel, told(probe));
        shard.tell(Event::Probed { channel, probe });
    }
    let (now, mut rng) = (shard.world().now(), shard.world().rng());
    chain.schedule.borrow_mut().on_end(channel, end, now, &mut rng);
}

/// A height that is announced is asked for less often, but never not at all: a subscription may be the one part of a node
/// that still works. One that is far above the chain's is held against the others' at once, which follows from a poll.
fn must_poll<W: World>(chain: &Chain<W>, watched: Watched) -> bool {
    let instance = watched.channel.instance();
    let mut unpolled = chain.unpolled.borrow_mut();
    let left_out = unpolled.entry(instance).or_default();
    let is_known = chain.announced.is_fresh(instance, chain.shard.world().now()) && !is_apart(chain, watched);
    let may_rest = is_known && *left_out < limits::HEAD_POLLS_LEFT_OUT;
    *left_out = if may_rest { *left_out + 1 } else { 0 };
    !may_rest
}

/// Asks for the height; a provider that has just answered a probe is not judged by it.
async fn poll_head<W: World>(chain: &Rc<Chain<W>>, watched: Watched) {
    const QUESTION: &[u8] = br#"{"jsonrpc":"2.0","id":"lasso-head","method":"eth_blockNumber","params":[]}"#;
    let (shard, method) = (&chain.shard, method::lookup(b"eth_blockNumber"));
    let found = inquire(shard, watched.entry, watched.channel.transport(), method, QUESTION, limits::PROBE_TIMEOUT_MS).await;
    if let Found::Result(result, _) = found
        && let Some(height) = number(&result)
    {
        shard.tell(Event::Head { instance: watched.channel.instance(), height });
        // The first word of all rests on nobody else's.
        if is_beyond(&shard.latest(), watched, height) && heights::verify(shard, watched, height).await {
            compare(chain, watched, height);
        }
    }
}

/// It is far above the others, and was not held against them yet: nobody waits for its next turn, because meanwhile it leads.
fn is_to_be_compared<W: World>(chain: &Chain<W>, snapshot: &Snapshot, watched: Watched) -> bool {
    let instance = watched.channel.instance();
    let Some(height) = snapshot.height_of(watched.entry, watched.channel).filter(|_| watched.polls_head) else { return false };
    let rivals = || heights::rivals(snapshot, &chain.channels, watched, height.reported);
    if !is_beyond(snapshot, watched, height.reported) || rivals().is_none() {
        chain.compared.borrow_mut().remove(&instance);
        return false;
    }
    chain.compared.borrow().get(&instance).is_none_or(|times| *times < limits::HEAD_COMPARISONS)
}

/// What it said last is beyond the chain's height.
fn is_apart<W: World>(chain: &Chain<W>, watched: Watched) -> bool {
    let snapshot = chain.shard.latest();
    snapshot.height_of(watched.entry, watched.channel).is_some_and(|height| is_beyond(&snapshot, watched, height.reported))
}

/// The chain's height does not account for it.
fn is_beyond(snapshot: &Snapshot, watched: Watched, height: u64) -> bool {
    let consensus = snapshot.consensus_of(watched.entry);
    consensus.is_none_or(|consensus| height > consensus.saturating_add(limits::HEAD_SLACK_BLOCKS))
}

/// Holds a provider that is far above all others against them. A probe does not wait for it, because others answer here.
fn compare<W: World>(chain: &Rc<Chain<W>>, watched: Watched, height: u64) {
    let Some(rivals) = heights::rivals(&chain.shard.latest(), &chain.channels, watched, height) else { return };
    let Some(begun) = Comparison::begin(&chain.comparing, watched.channel.instance()) else { return };
    *chain.compared.borrow_mut().entry(watched.channel.instance()).or_default() += 1;
    let shard = chain.shard.clone();
    chain.shard.world().spawn("height", async move {
        heights::compare(&shard, watched, height, rivals).await;
        drop(begun);
    });
}

/// What a probe says of its provider, and to the schedule.
fn read(found: &Found, chain_number: u64) -> (Option<Probe>, ProbeEnd) {
    let (probe, end) = match found {
        Found::Result(result, latency) => match number(result) {
            Some(got) if got == chain_number => (Probe::Ok { latency: *latency }, ProbeEnd::Ok),
            Some(got) => (Probe::WrongChain { got }, ProbeEnd::WrongChain),
            None => (Probe::Failed { category: Category::MalformedResponse }, ProbeEnd::Failed),
        },
        Found::Limited { hint_ms } => (Probe::Limited { hint_ms: *hint_ms }, ProbeEnd::Limited { retry_after_ms: *hint_ms }),
        Found::Auth => (Probe::Auth, ProbeEnd::Auth),
        Found::Unasked => return (None, ProbeEnd::Unasked),
        Found::Failed(category) => (Probe::Failed { category: *category }, ProbeEnd::Failed),
    };
    (Some(probe), end)
}

/// The same for a record.
fn told(probe: Probe) -> Result<Duration, &'static str> {
    match probe {
        Probe::Ok { latency } => Ok(latency),
        Probe::Failed { category } => Err(category.word()),
        Probe::WrongChain { .. } => Err("wrong_chain"),
        Probe::Auth => Err(Category::Auth.word()),
        Probe::Limited { .. } => Err(Category::RateLimit.word()),
    }
}

/// A quoted quantity.
fn number(result: &[u8]) -> Option<u64> {
    hex::parse_quantity(result.strip_prefix(b"\"")?.strip_suffix(b"\"")?)
}

/// Raises `ready` when the last chain has answered.
fn answered<W: World>(chain: &Chain<W>, number: u64) {
    let mut unanswered = chain.unanswered.borrow_mut();
    unanswered.remove(&number);
    if unanswered.is_empty() {
        chain.shard.node().ready.raise();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_strictly() {
        assert_eq!(number(b"\"0x2105\""), Some(0x2105));
        for wrong in ["null", "{}", "17", "\"2105\"", "\"0x\"", ""] {
            assert_eq!(number(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
