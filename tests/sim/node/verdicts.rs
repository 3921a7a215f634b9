//! Who gets a half-open circuit's permit, and what follows for probes: the aggregator alone, fed with reports by hand.

use super::launch;
use crate::world::Sim;
use lasso::aggregator::{Aggregator, Rules};
use lasso::base::ids::{ChannelId, EntryId, InstanceId, Transport};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::chain::method;
use lasso::config::topology::Strategy;
use lasso::health::breaker::{Gate, Policy};
use lasso::observe::category::Category;
use lasso::observe::report::{Event, Load, Probe, Report, TrialEnd};
use lasso::observe::tally::{Attempted, Effect, Tally};
use lasso::runtime::world::{Duration, Instant};
use lasso::shard::Node;
use lasso::snapshot::Snapshot;
use std::sync::Arc;

const SHARD: u16 = 0;
const CONTROL: u16 = 1;
const RECOVERY_MS: u64 = 2_000;

/// One provider, one shard, and the control thread.
struct Bench {
    shared: Arc<Node>,
    judge: Aggregator,
    channel: ChannelId,
    now: Instant,
}

impl Bench {
    fn new() -> Bench {
        let snapshot = Snapshot::new(launch::topology(&[(1, launch::Way::Http)], None, 4), Strategy::Priority, "sim", 2);
        let shared = Node::new(launch::settings(&Sim::new(0), 1), snapshot, [1, 2]);
        let rules = Rules { breaker: Policy::new(5, 2, RECOVERY_MS), beta: 3.0 };
        let judge = Aggregator::new(shared.clone(), rules, Rng::new(1));
        Bench { shared, judge, channel: ChannelId::of(InstanceId(0), Transport::Http), now: Instant::ZERO.plus_ms(1_000) }
    }

    /// An epoch in which the two report what they did.
    fn epoch(&mut self, of_shard: impl FnOnce(&mut Tally), of_control: impl FnOnce(&mut Tally)) {
        let mut tallies = [Box::new(Tally::new(1, 1)), Box::new(Tally::new(1, 1))];
        self.now = self.now.plus_ms(limits::EPOCH_MS);
        of_shard(&mut tallies[0]);
        of_control(&mut tallies[1]);
        for (producer, tally) in [SHARD, CONTROL].into_iter().zip(tallies) {
            let lane = &self.shared.lanes[usize::from(producer)];
            let (epoch, until) = (lane.next_epoch(), self.now);
            let report = Report { producer, epoch, until, is_last: false, tally, load: Load::default() };
            lane.send(report).expect("the lane has room");
        }
        self.judge.step(self.now);
    }

    fn quiet_epoch(&mut self) {
        self.epoch(|_| {}, |_| {});
    }

    /// Who holds the permit.
    fn holder(&self) -> Option<u16> {
        Some(self.judge.channel(self.channel)?.breaker.permit()?.holder)
    }

    fn gate(&self) -> Option<Gate> {
        Some(self.judge.channel(self.channel)?.breaker.gate())
    }

    /// The control thread's trial, if it has one, ends so.
    fn control_trial_ends(&mut self, end: TrialEnd, of_shard: impl FnOnce(&mut Tally)) {
        let trials = self.shared.snapshot.latest().trials.clone();
        self.epoch(of_shard, |tally| {
            for trial in trials {
                tally.tell(Event::TrialStarted { permit: trial.permit, channel: trial.channel });
                tally.tell(Event::TrialEnded { permit: trial.permit, channel: trial.channel, end });
            }
        });
    }
}

fn attempted(channel: ChannelId, effect: Effect, category: Category) -> Attempted {
    Attempted {
        entry: EntryId(0),
        channel,
        method: method::lookup(b"eth_call"),
        effect,
        category: Some(category),
        latency: Duration::ZERO,
        is_retry: false,
        is_superseded: false,
    }
}

#[test]
fn a_trial_that_was_turned_away_is_given_again_when_the_provider_said() {
    let mut bench = Bench::new();
    let failed = attempted(bench.channel, Effect::Penalised, Category::Network);
    bench.epoch(|tally| (0..5).for_each(|_| tally.record(&failed)), |_| {});
    assert_eq!(bench.gate(), Some(Gate::Open));
    bench.now = bench.now.plus_ms(RECOVERY_MS * 11 / 10);
    bench.quiet_epoch();
    assert_eq!((bench.gate(), bench.holder()), (Some(Gate::HalfOpen), Some(CONTROL)));
    bench.control_trial_ends(TrialEnd::Unclear { hint_ms: Some(5_000) }, |_| {});
    let rests = (0..100).take_while(|_| {
        bench.quiet_epoch();
        bench.holder().is_none()
    });
    let rested_ms = rests.count() as u64 * limits::EPOCH_MS;
    assert!((4_800..=5_000).contains(&rested_ms), "{rested_ms} ms until the next trial");
    bench.control_trial_ends(TrialEnd::Good, |_| {});
    bench.control_trial_ends(TrialEnd::Good, |_| {});
    assert_eq!(bench.gate(), Some(Gate::Closed));
}

/// What is only suspected asks for a probe and opens nothing; the probe's end decides what it was.
#[test]
fn a_probe_decides_what_is_suspected() {
    for probe_ok in [true, false] {
        let mut bench = Bench::new();
        let channel = bench.channel;
        let suspect = attempted(channel, Effect::Suspect, Category::Network);
        bench.epoch(|tally| (0..20).for_each(|_| tally.record(&suspect)), |_| {});
        assert_eq!((bench.gate(), bench.shared.snapshot.latest().urgent.clone()), (Some(Gate::Closed), vec![channel]));
        let probe = match probe_ok {
            true => Probe::Ok { latency: Duration::from_millis(3) },
            false => Probe::Failed { category: Category::Network },
        };
        bench.epoch(|_| {}, |tally| tally.tell(Event::Probed { channel, probe }));
        let want = if probe_ok { Gate::Closed } else { Gate::Open };
        assert_eq!(bench.gate(), Some(want));
        assert_eq!(bench.shared.snapshot.latest().urgent.is_empty(), probe_ok, "an open one that nobody replaces is urgent");
    }
}

/// While nobody else is left an answered call, or a good probe, ends the wait at once.
#[test]
fn a_dark_chain_comes_back_by_the_first_answer() {
    for by_call in [true, false] {
        let mut bench = Bench::new();
        let channel = bench.channel;
        let failed = attempted(channel, Effect::Penalised, Category::Network);
        bench.epoch(|tally| (0..5).for_each(|_| tally.record(&failed)), |_| {});
        assert_eq!(bench.gate(), Some(Gate::Open));
        bench.quiet_epoch();
        let of_shard = |tally: &mut Tally| {
            if by_call {
                tally.tell(Event::InTheDark { channel, ok: true });
            }
        };
        let of_control = |tally: &mut Tally| {
            if !by_call {
                tally.tell(Event::Probed { channel, probe: Probe::Ok { latency: Duration::from_millis(3) } });
            }
        };
        bench.epoch(of_shard, of_control);
        assert_eq!(bench.gate(), Some(Gate::HalfOpen), "{by_call}");
        bench.control_trial_ends(TrialEnd::Good, |_| {});
        bench.control_trial_ends(TrialEnd::Good, |_| {});
        assert_eq!(bench.gate(), Some(Gate::Closed), "{by_call}");
    }
}
