//! What is noted of every attempt, and what the aggregator makes of an epoch of notes.

use crate::{Part, Run};
use lasso::aggregator::{Aggregator, Rules};
use lasso::base::ids::{ChannelId, EntryId, InstanceId, MethodId, Transport};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::base::time::{Duration, Instant, WallTime};
use lasso::health::breaker::Policy;
use lasso::observe::category::Category;
use lasso::observe::report::{Load, Report};
use lasso::observe::tally::{Attempted, Effect, Tally};
use lasso::route::limit::TrustedProxies;
use lasso::runtime::journal::Losses;
use lasso::shard::{Node, Settings};
use std::hint::black_box;
use std::sync::Arc;

pub const PARTS: &[Part] = &[
    Part("tally.success", 1_000, || tallied(Effect::Success, None)),
    Part("tally.failure", 1_000, || tallied(Effect::Penalised, Some(Category::ServerError))),
    Part("aggregator.idle_epoch", 10, || epochs(0)),
    Part("aggregator.busy_epoch", 10, || epochs(5)),
];

const CHANNELS: u32 = crate::fixtures::PROVIDERS;
const SHARDS: u32 = 4;

fn attempted(nth: u32, method: u16, effect: Effect, category: Option<Category>) -> Attempted {
    let channel = nth % CHANNELS;
    Attempted {
        entry: EntryId(channel),
        channel: ChannelId::of(InstanceId(channel as u16), Transport::Http),
        method: MethodId(method),
        effect,
        category,
        latency: Duration::from_micros(1_000 + 370 * u64::from(nth * 7 % 97)),
        is_retry: false,
        is_superseded: false,
    }
}

fn tallied(effect: Effect, category: Option<Category>) -> Run {
    let mut tally = Tally::new(CHANNELS as usize, CHANNELS as usize);
    let mut nth = 0;
    Box::new(move || {
        nth += 1;
        tally.record(black_box(&attempted(nth, (nth % 5) as u16, effect, category)));
    })
}

fn node() -> Arc<Node> {
    let settings = Settings {
        node_id: "b".into(),
        region: "b".into(),
        scheme: None,
        host: "localhost".into(),
        shards: SHARDS,
        trusted_proxies: TrustedProxies::loopback(),
        client_connections_max: limits::CLIENTS_MAX,
        request_log_rate: limits::REQUEST_LOG_RATE,
        started: WallTime(0),
        spans: None,
        recorder: None,
        log_losses: Losses::default(),
        cluster: None,
    };
    Node::new(settings, crate::fixtures::snapshot(), [1, 2])
}

/// An epoch of four shards: twenty attempts of each of so many methods at each of eight channels.
fn epochs(methods: u16) -> Run {
    let node = node();
    let rules = Rules { breaker: Policy::new(5, 2, 30_000), beta: 3.0 };
    let mut aggregator = Aggregator::new(node.clone(), rules, Rng::new(1));
    let mut tally = Box::new(Tally::new(CHANNELS as usize, CHANNELS as usize));
    for nth in 0..CHANNELS * 20 {
        (0..methods).for_each(|method| tally.record(&attempted(nth, method, Effect::Success, None)));
    }
    let (mut now, mut epoch) = (Instant::ZERO, 0);
    Box::new(move || {
        now = now.plus_ms(100);
        epoch += 1;
        for producer in 0..SHARDS as u16 {
            let (tally, load) = (tally.clone(), Load::default());
            let report = Report { producer, epoch, until: now, is_last: false, tally, load };
            let lane = &node.lanes[usize::from(producer)];
            assert!(lane.send(report).is_ok(), "the step before this one emptied it");
            drop(lane.take_empty());
        }
        black_box(aggregator.step(now));
    })
}
