//! What a scrape costs the thread that judges: `/metrics` of 64 channels that each had calls of 40 methods, in every slice
//! of the last hour (budget 20 ms).

mod channels;

use channels::{CHANNELS, node};
use criterion::{Criterion, criterion_group, criterion_main};
use lasso::aggregator::{Aggregator, Rules};
use lasso::base::ids::{ChannelId, EntryId, InstanceId, MethodId, Transport};
use lasso::base::rng::Rng;
use lasso::base::time::{Instant, WallTime};
use lasso::health::breaker::Policy;
use lasso::observe::category::Category;
use lasso::observe::expose::Format;
use lasso::observe::question::{Asked, Question};
use lasso::observe::report::{Load, Report};
use lasso::observe::tally::{Attempted, Effect, Tally};
use std::time::Duration;

const METHODS: usize = 40;

/// Twenty attempts of every row, one of them a failure.
fn tally(rng: &mut Rng) -> Box<Tally> {
    let mut tally = Box::new(Tally::new(CHANNELS, CHANNELS));
    for row in 0..CHANNELS * METHODS {
        let (entry, method) = (row % CHANNELS, (row / CHANNELS) as u16);
        for n in 0..20 {
            tally.record(&Attempted {
                entry: EntryId(entry as u32),
                channel: ChannelId::of(InstanceId(entry as u16), Transport::Http),
                method: MethodId(method),
                effect: if n == 7 { Effect::Neutral } else { Effect::Success },
                category: (n == 7).then_some(Category::RateLimit),
                latency: Duration::from_micros(1_000 + 50 * entry as u64 + rng.below(8_000)),
                is_retry: false,
                is_superseded: false,
            });
        }
    }
    tally
}

fn scrape(c: &mut Criterion) {
    let node = node();
    let mut aggregator = Aggregator::new(node.clone(), Rules { breaker: Policy::new(5, 2, 30_000), beta: 3.0 }, Rng::new(1));
    let (mut now, mut rng) = (Instant::ZERO, Rng::new(2));
    for epoch in 1..=400 {
        now = now.plus_ms(10_000);
        let report = Report { producer: 0, epoch, until: now, is_last: false, tally: tally(&mut rng), load: Load::default() };
        assert!(node.lanes[0].send(report).is_ok(), "the step before this one emptied it");
        aggregator.step(now);
        drop(node.lanes[0].take_empty());
    }
    for format in [Format::Plain, Format::OpenMetrics] {
        let mut bytes = 0;
        c.bench_function(&format!("metrics/scrape of 64 channels and 40 methods, {format:?}"), |b| {
            b.iter(|| {
                let asked = Asked { what: Question::Prometheus { format }, wall: WallTime(1) };
                let ticket = node.desk.ask(asked).unwrap_or_else(|| panic!("the desk has room"));
                aggregator.step(now);
                bytes = ticket.take().map_or(0, |answer| answer.body.len());
            });
        });
        assert!(bytes > CHANNELS * METHODS * 1_000, "{bytes} bytes are not every row");
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(200)).sample_size(20);
    targets = scrape
}
criterion_main!(benches);
