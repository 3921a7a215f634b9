//! What judging costs: recording an attempt on a shard (budget 50 ns), and the aggregator's step with the epochs of eight
//! shards (budget 2 ms for 2,000 rows, 20 ms for all 20,480 of 64 channels and 40 methods).

mod channels;

use channels::{CHANNELS, SHARDS, node};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lasso::aggregator::{Aggregator, Rules};
use lasso::base::ids::{ChannelId, EntryId, InstanceId, MethodId, Transport};
use lasso::base::rng::Rng;
use lasso::base::time::Instant;
use lasso::health::breaker::Policy;
use lasso::observe::category::Category;
use lasso::observe::report::{Load, Report};
use lasso::observe::tally::{Attempted, Effect, Tally};
use std::hint::black_box;
use std::time::Duration;

fn attempted(entry: usize, method: u16, us: u64) -> Attempted {
    Attempted {
        entry: EntryId(entry as u32),
        channel: ChannelId::of(InstanceId(entry as u16), Transport::Http),
        method: MethodId(method),
        effect: Effect::Success,
        category: None,
        latency: Duration::from_micros(us),
        is_retry: false,
        is_superseded: false,
    }
}

/// An epoch of one shard: `rows` rows, twenty samples each around a latency of its own.
fn tally(rows: usize, rng: &mut Rng) -> Box<Tally> {
    let mut tally = Box::new(Tally::new(CHANNELS, CHANNELS));
    for row in 0..rows {
        let (entry, method) = (row % CHANNELS, (row / CHANNELS) as u16);
        for _ in 0..20 {
            tally.record(&attempted(entry, method, 1_000 + 50 * entry as u64 + rng.below(800)));
        }
    }
    tally
}

fn record(c: &mut Criterion) {
    let (mut tally, mut rng) = (Tally::new(64, 64), Rng::new(1));
    let mut n = 0usize;
    let latencies: Vec<u64> = (0..1024).map(|_| 200 + rng.below(50_000)).collect();
    let mut epoch = 0;
    c.bench_function("tally/record", |b| {
        b.iter(|| {
            n = n.wrapping_add(1);
            tally.record(black_box(&attempted(n % 64, (n % 5) as u16, latencies[n % 1024])));
            epoch += 1;
            if epoch == 10_000 {
                epoch = 0;
                tally.clear();
            }
        });
    });
    let failed = Attempted { effect: Effect::Penalised, category: Some(Category::ServerError), ..attempted(3, 1, 900) };
    c.bench_function("tally/record a failure", |b| b.iter(|| tally.record(black_box(&failed))));
}

fn step(c: &mut Criterion) {
    for rows in [0usize, 250, 64 * 40] {
        let node = node();
        let rules = Rules { breaker: Policy::new(5, 2, 30_000), beta: 3.0 };
        let mut aggregator = Aggregator::new(node.clone(), rules, Rng::new(1));
        let (mut now, mut rng, mut epoch) = (Instant::ZERO, Rng::new(2), 0);
        let tallies: Vec<Box<Tally>> = (0..SHARDS).map(|_| tally(rows, &mut rng)).collect();
        c.bench_function(&format!("aggregator/step of {} rows", rows * SHARDS as usize), |b| {
            b.iter_batched(
                || {
                    now = now.plus_ms(100);
                    epoch += 1;
                    for (producer, tally) in tallies.iter().enumerate() {
                        let report = Report {
                            producer: producer as u16,
                            epoch,
                            until: now,
                            is_last: false,
                            tally: tally.clone(),
                            load: Load::default(),
                        };
                        assert!(node.lanes[producer].send(report).is_ok(), "the step before this one emptied it");
                        drop(node.lanes[producer].take_empty());
                    }
                    now
                },
                |now| aggregator.step(now),
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(200)).sample_size(20);
    targets = record, step
}
criterion_main!(benches);
