//! `lasso bench` as it goes: what `bench` plans is asked over a shard's own connections, so what is measured is what this
//! node's clients would meet, and what comes is brought back to it. Nothing is decided here but the order of stages:
//! who is there and on which chain; the same questions at one block; the mix, with new blocks watched and now and then a new
//! connection beside it; searches for depth, log range and methods, slowly; and, where it was asked for, the ramp, last
//! because it may end in a ban.
//!
//! The mix comes before the searches, because a provider that bans after a number of calls should be measured by then.
//! A wish to end is looked at ten times a second at every wait; what is found until then is the run's findings.

mod asking;
mod measuring;
mod opening;
mod searching;
mod watching;

use crate::base::ids::{EntryId, Transport};
use crate::base::limits;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::bench::findings::{Findings, Run};
use crate::bench::mix::Mix;
use crate::bench::plan::{CallBudget, CallPlan, Offered, RunTerms};
use crate::bench::record::{Entrant, Record};
use crate::runtime::flag::Flag;
use crate::runtime::world::World;
use crate::shard::Shard;
use asking::BenchRun;
use std::rc::Rc;
use std::sync::Arc;

/// What is to be compared, and how.
#[derive(Clone, Debug)]
pub struct BenchOrder {
    pub entrants: Vec<Entrant>,
    /// Where each entrant stands in the shard's topology.
    pub entries: Vec<EntryId>,
    /// Whoever serves another chain is asked nothing more; `None`: what most of them serve.
    pub chain_number: Option<u64>,
    pub mix: Mix,
    pub terms: RunTerms,
    pub seed: u64,
}

impl BenchOrder {
    /// All that the run may send.
    pub fn plan(&self) -> CallPlan {
        let offered = self.entrants.iter().map(|entrant| Offered { has_http: entrant.has_http, has_ws: entrant.has_ws });
        CallPlan::new(&offered.collect::<Vec<_>>(), &self.terms)
    }

    /// Every provider over each transport that it has.
    fn lanes(&self) -> Vec<(usize, Transport)> {
        let of = |(place, entrant): (usize, &Entrant)| {
            let http = entrant.has_http.then_some((place, Transport::Http));
            http.into_iter().chain(entrant.has_ws.then_some((place, Transport::Ws)))
        };
        self.entrants.iter().enumerate().flat_map(of).collect()
    }
}

/// Where a run is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum BenchStage {
    Opening,
    Agreement,
    Mix,
    Searches,
    Ramp,
}

impl BenchStage {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            BenchStage::Opening => "asking who is there",
            BenchStage::Agreement => "comparing answers",
            BenchStage::Mix => "measuring",
            BenchStage::Searches => "looking for limits",
            BenchStage::Ramp => "raising the rate",
        }
    }
}

/// Who is shown how the run goes: a few times a second, and when a stage begins.
pub type Show = Rc<dyn Fn(BenchStage, &CallBudget, &Record)>;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct BenchEnd {
    pub findings: Findings,
    /// How late our own calls were sent at most in 99 of 100 moments: what a busy machine adds to everybody's time.
    pub own_delay_ms: f64,
}

/// Runs `order` on `shard`, which must serve nobody else, until its end or until `stop` is raised.
pub async fn run<W: World>(shard: Rc<Shard<W>>, order: BenchOrder, stop: Arc<Flag>, show: Show) -> BenchEnd {
    let (began, began_at_s) = (shard.world().now(), shard.world().wall().0 / 1_000);
    let bench = BenchRun::new(shard, order, stop, show);
    bench.clone().tick();
    let chain_number = stages(&bench).await;
    let now = bench.world().now();
    bench.end();
    let measured = bench.measured.get();
    let (budget, order) = (bench.budget.borrow(), &bench.order);
    let run = Run {
        lasso: env!("CARGO_PKG_VERSION").to_owned(),
        began_at_s,
        chain_number: chain_number.or(order.chain_number).unwrap_or(0),
        mix: order.mix.name().to_owned(),
        calls_per_second: order.terms.calls_per_second,
        planned_seconds: order.terms.seconds as f64,
        measured_seconds: measured.as_secs_f64(),
        planned_calls: budget.plan().total(),
        sent_calls: budget.sent(),
        is_interrupted: bench.is_stopped(),
        seed: order.seed,
    };
    let seed = Rng::new(order.seed).fork(2).next();
    let findings = bench.record.borrow().findings(run, now.max(began), seed);
    BenchEnd { findings, own_delay_ms: bench.own_delay_ms() }
}

/// All of it; the chain that was found.
async fn stages<W: World>(bench: &Rc<BenchRun<W>>) -> Option<u64> {
    bench.begin(BenchStage::Opening);
    let chain_number = opening::ask_for_chain(bench).await?;
    let facts = opening::ask_for_facts(bench).await;
    bench.begin(BenchStage::Agreement);
    searching::agreement(bench, &facts).await;
    watching::start(bench).await;
    bench.begin(BenchStage::Mix);
    measuring::measure(bench, &facts).await;
    bench.begin(BenchStage::Searches);
    searching::search(bench, &facts).await;
    if bench.order.terms.has_ramp {
        bench.begin(BenchStage::Ramp);
        searching::ramp(bench).await;
    }
    Some(chain_number)
}

/// The latest moment at which a call that begins at `now` may end.
fn until(now: Instant) -> Instant {
    now.plus_ms(limits::BENCH_TIMEOUT_MS)
}
