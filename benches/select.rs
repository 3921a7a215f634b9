//! What choosing costs: the first candidate of 32, for each strategy, and a whole exchange that ends at its first answer.
//! Budget: 100 ns for a selection.

use criterion::{Criterion, criterion_group, criterion_main};
use lasso::base::ids::{ChainId, ProfileId};
use lasso::base::rng::Rng;
use lasso::base::time::Instant;
use lasso::chain::method::{self, Safety};
use lasso::config::topology::Strategy;
use lasso::config::{self, SourceFile};
use lasso::health::evidence::Standing;
use lasso::route::exchange::{Action, End, Exchange};
use lasso::route::select::{Ask, Walk};
use lasso::snapshot::{ChainPlan, Ranking, Snapshot};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// One chain with 32 providers, four of each priority.
fn snapshot() -> Snapshot {
    let mut text = String::from("---\nname: b\nslug: default\n---\nchains:\n  one:\n    chain_id: 1\n    providers:\n");
    for n in 0..32 {
        text.push_str(&format!(
            "      - id: p{n}\n        url: \"http://127.0.0.1:{}\"\n        priority: {}\n",
            9000 + n,
            n / 4
        ));
    }
    let loaded = config::load(&[SourceFile { name: "default.yml".into(), text }], &|_| None);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems:?}"));
    Snapshot::new(loaded.topology, Strategy::Priority, "here", 1)
}

/// The same with evidence for every provider.
fn measured(plan: &ChainPlan) -> ChainPlan {
    let standing = |n: u32| Standing { latency_us: Some(1_000 + 37 * (n * 7 % 32)), qualified: true, ..Standing::unknown(None) };
    let mut plan = plan.clone();
    let ranking = Ranking::new(&plan.fixed, (0..32).map(standing).collect(), 3.0);
    plan.rankings[method::lookup(b"eth_call")] = Arc::new(ranking);
    plan
}

fn select(c: &mut Criterion) {
    let snapshot = snapshot();
    let plan = &measured(snapshot.plan(ProfileId(0), ChainId(0)));
    let mut rng = Rng::new(1);
    for strategy in [Strategy::Priority, Strategy::LoadBalanced, Strategy::Fastest, Strategy::LatencyWeighted] {
        let ask = Ask::new(strategy, method::lookup(b"eth_call"));
        c.bench_function(&format!("select/first of 32, {}", strategy.word()), |b| {
            b.iter(|| Walk::new(plan, black_box(&ask)).next(plan, &mut rng));
        });
        c.bench_function(&format!("exchange/first answer, {}", strategy.word()), |b| {
            b.iter(|| {
                let mut exchange = Exchange::new(plan, black_box(&ask), Safety::Repeatable, 1_000, Instant(1));
                let first = exchange.next(plan, &mut rng, Instant(1));
                assert!(matches!(first, Action::Attempt { .. }));
                exchange.on_end(plan, End::Answered);
                exchange.next(plan, &mut rng, Instant(2))
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(200));
    targets = select
}
criterion_main!(benches);
