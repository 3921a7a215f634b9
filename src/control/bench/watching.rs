//! New blocks: each provider is subscribed to over a WebSocket of its own, so that no call holds its events up, or asked for its
//! head every second where it has none or refuses. They are watched from before the mix until the run ends.
//! Rejected: the streams that serve clients, which choose one provider to lead; here everybody is listened to at once.

use super::asking::{AskEnd, BenchQuestion, BenchRun};
use super::until;
use crate::base::ids::InstanceId;
use crate::base::limits;
use crate::base::time::Instant;
use crate::bench::freshness::HeadSource;
use crate::bench::mix::{BenchCall, quantity};
use crate::bench::plan::Purpose;
use crate::route::exchange::ConnectionRule;
use crate::runtime::world::World;
use crate::shard::{InquiryEnd, Link, Word};
use crate::stream::event::Head;
use crate::wire::jsonrpc::{AnswerKind, scan_answer};
use std::cell::Cell;
use std::rc::Rc;

/// Begins to watch everybody. The race is open when all are watched, or have had their time.
pub async fn start<W: World>(bench: &Rc<BenchRun<W>>) {
    let left = Rc::new(Cell::new(0));
    for provider in (0..bench.order.entrants.len()).filter(|provider| bench.is_measured(*provider)) {
        left.set(left.get() + 1);
        let (watcher, left) = (bench.clone(), left.clone());
        // Not one of the tasks that a stage waits for: it lasts as long as the run.
        bench.world().spawn("bench blocks", async move { watch(&watcher, provider, || left.set(left.get() - 1)).await });
    }
    let by = bench.world().now().plus_ms(limits::BENCH_WATCH_MS);
    while left.get() > 0 && bench.world().now() < by {
        let soon = bench.world().now().plus_ms(limits::SWEEP_MS);
        if !bench.nap(soon).await {
            break;
        }
    }
    bench.record.borrow_mut().race.open(bench.world().now());
}

async fn watch<W: World>(bench: &Rc<BenchRun<W>>, provider: usize, ready: impl FnOnce()) {
    let has_ws = bench.order.entrants.get(provider).is_some_and(|entrant| entrant.has_ws);
    let instance = bench.instance(provider).filter(|_| has_ws);
    let link = match instance {
        Some(instance) => subscribe(bench, provider, instance).await,
        None => None,
    };
    let how = match link {
        Some(_) => HeadSource::Pushed,
        None => HeadSource::Asked { every_ms: bench.order.terms.poll_ms() },
    };
    bench.record.borrow_mut().race.enter(provider, how);
    ready();
    match (link, instance) {
        (Some(link), Some(instance)) => listen(bench, provider, instance, link).await,
        _ => poll(bench, provider).await,
    }
}

/// A subscription to heads on a connection of its own, whose events are told to the race.
async fn subscribe<W: World>(bench: &Rc<BenchRun<W>>, provider: usize, instance: InstanceId) -> Option<Rc<Link<W>>> {
    let ear = bench.clone();
    let hear = move |word| {
        if let Word::Event { result, message, .. } = word
            && let Some(head) = message.get(result).and_then(Head::announced)
        {
            let now = ear.world().now();
            ear.record.borrow_mut().race.saw(provider, head.number, now);
        }
    };
    let by = until(bench.world().now());
    let link = Link::open(&bench.shard, instance, by, hear).await.ok()?;
    let is_confirmed = match bench.take(provider, Purpose::Freshness) {
        Ok(()) => link
            .call(b"eth_subscribe", br#"["newHeads"]"#, by)
            .await
            .is_ok_and(|message| scan_answer(&message).is_ok_and(|answer| matches!(answer.kind, AnswerKind::Result(_)))),
        Err(_) => false,
    };
    if !is_confirmed {
        link.close();
        return None;
    }
    link.set_owed(1);
    Some(link)
}

/// Until the run ends; a connection that ends is made anew once.
async fn listen<W: World>(bench: &Rc<BenchRun<W>>, provider: usize, instance: InstanceId, mut link: Rc<Link<W>>) {
    loop {
        let soon = bench.world().now().plus_ms(limits::BENCH_NAP_MS);
        if !bench.nap(soon).await || !bench.is_measured(provider) {
            return link.close();
        }
        if !link.is_open() {
            match subscribe(bench, provider, instance).await {
                Some(again) => link = again,
                None => return,
            }
        }
    }
}

/// Asks for the head every so often.
async fn poll<W: World>(bench: &Rc<BenchRun<W>>, provider: usize) {
    let call = BenchCall::new("eth_blockNumber", "[]".to_owned());
    let mut due: Instant = bench.world().now();
    while bench.is_measured(provider) {
        let wanted = BenchQuestion {
            provider,
            transport: bench.usual_transport(provider),
            purpose: Purpose::Freshness,
            connection: ConnectionRule::Pooled,
            call: &call,
            until: until(bench.world().now()),
        };
        if let AskEnd::Ended(InquiryEnd::Result(raw)) = bench.ask(wanted).await
            && let Some(height) = quantity(&raw)
        {
            let now = bench.world().now();
            bench.record.borrow_mut().race.saw(provider, height, now);
        }
        due = due.plus_ms(bench.order.terms.poll_ms()).max(bench.world().now());
        if !bench.nap(due).await {
            return;
        }
    }
}
