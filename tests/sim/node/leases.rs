//! Who gets a half-open circuit's permit: the aggregator alone, fed with reports by hand.

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
use lasso::observe::report::{Event, Load, Report};
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
    fn control_trial_ends(&mut self, ok: Option<bool>, of_shard: impl FnOnce(&mut Tally)) {
        let trials = self.shared.snapshot.latest().trials.clone();
        self.epoch(of_shard, |tally| {
            for trial in trials {
                tally.tell(Event::TrialStarted { permit: trial.permit, channel: trial.channel });
                tally.tell(Event::TrialEnded { permit: trial.permit, channel: trial.channel, ok });
            }
        });
    }
}

/// The simulator's seed 35: a shard whose last call had found the circuit half-open was given permit after permit, used
/// none, and the circuit never closed.
#[test]
fn a_lease_to_a_shard_without_calls_comes_back_and_goes_to_our_own_probe() {
    let mut bench = Bench::new();
    let channel = bench.channel;
    let failed = Attempted {
        entry: EntryId(0),
        channel,
        method: method::lookup(b"eth_call"),
        effect: Effect::Penalised,
        category: Some(Category::Network),
        latency: Duration::ZERO,
        is_retry: false,
        is_superseded: false,
    };
    bench.epoch(|tally| (0..5).for_each(|_| tally.record(&failed)), |_| {});
    assert_eq!(bench.gate(), Some(Gate::Open));
    bench.now = bench.now.plus_ms(RECOVERY_MS * 11 / 10);
    bench.quiet_epoch();
    assert_eq!((bench.gate(), bench.holder()), (Some(Gate::HalfOpen), Some(CONTROL)), "nobody else asked for it");
    bench.control_trial_ends(None, |tally| tally.want(channel));
    assert_eq!(bench.holder(), Some(SHARD), "it had a call with nobody to go to");
    // And has no more calls.
    let most = limits::TRIAL_START_MS / limits::EPOCH_MS + 2;
    let epochs = (0..=most).take_while(|_| {
        bench.quiet_epoch();
        bench.holder() == Some(SHARD)
    });
    assert!(epochs.count() as u64 <= most, "the lease did not come back in time");
    assert_eq!(bench.holder(), Some(CONTROL));
    bench.control_trial_ends(Some(true), |_| {});
    bench.control_trial_ends(Some(true), |_| {});
    assert_eq!(bench.gate(), Some(Gate::Closed));
}
