//! The mix: at each moment the same call to everybody, whether or not earlier ones were answered, and beside it now and then a
//! call on a connection of its own.

use super::asking::{AskEnd, BenchQuestion, BenchRun};
use crate::base::ids::Transport;
use crate::base::limits;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::bench::mix::{BenchCall, ChainFacts};
use crate::bench::plan::Purpose;
use crate::bench::sample::{CallEnd, Sample};
use crate::bench::schedule::{Due, Timetable, counted_from, own_delay};
use crate::config::topology::Http2;
use crate::observe::category::Category;
use crate::route::exchange::ConnectionRule;
use crate::runtime::world::World;
use crate::shard::{InquiryEnd, Link};
use crate::wire::jsonrpc::{AnswerKind, scan_answer};
use std::rc::Rc;

/// Asks the whole mix, and waits for the last answers.
pub async fn measure<W: World>(bench: &Rc<BenchRun<W>>, facts: &ChainFacts) {
    let lanes: Vec<(usize, Transport)> = bench.order.lanes().into_iter().filter(|(who, _)| bench.is_measured(*who)).collect();
    let terms = bench.order.terms;
    let table = Timetable::new(terms.calls_per_second, terms.moments(), lanes.len());
    let calls = bench.order.mix.draw(table.moments(), facts, &mut Rng::new(bench.order.seed).fork(1));
    let usual = bench.order.mix.methods().first().and_then(|name| calls.iter().find(|call| call.method == *name)).cloned();
    let began = bench.world().now();
    bench.spawn("bench cold", cold(bench.clone(), lanes.clone(), usual, table.end(began)));
    let measured_from = began.plus_ms(limits::BENCH_WARM_MS.min(terms.seconds * 1_000 / 5));
    'run: for (place, call) in (0..).zip(calls) {
        let call = Rc::new(call);
        for due in table.of(place, began) {
            if !bench.nap(due.at).await {
                break 'run;
            }
            let Some((provider, transport)) = lanes.get(due.lane).copied() else { continue };
            let asked = DueCall { provider, transport, due, is_measured: due.at >= measured_from };
            bench.note_delay(own_delay(due.at, bench.world().now()));
            bench.spawn("bench call", ask(bench.clone(), asked, call.clone()));
        }
    }
    if bench.nap(table.end(began)).await {
        bench.measured.set(table.end(began).since(measured_from));
    } else {
        bench.measured.set(bench.world().now().since(measured_from));
    }
    bench.settle(bench.world().now().plus_ms(limits::BENCH_TIMEOUT_MS + limits::BENCH_LAST_MS)).await;
}

/// One call of the mix.
#[derive(Clone, Copy)]
struct DueCall {
    provider: usize,
    transport: Transport,
    due: Due,
    is_measured: bool,
}

async fn ask<W: World>(bench: Rc<BenchRun<W>>, asked: DueCall, call: Rc<BenchCall>) {
    let DueCall { provider, transport, due, is_measured } = asked;
    let counted = counted_from(due.at, bench.world().now());
    let until = counted.plus_ms(limits::BENCH_TIMEOUT_MS);
    let wanted =
        BenchQuestion { provider, transport, purpose: Purpose::Mix, connection: ConnectionRule::Pooled, call: &call, until };
    let answer = bench.ask(wanted).await;
    let after = bench.world().now().since(counted);
    if let Some(end) = end_of(answer, after).filter(|_| is_measured) {
        bench.record.borrow_mut().add(provider, transport, &call.method, Sample { moment: due.moment, end });
    }
}

/// `None`: it was not asked, for a reason that says nothing of its provider.
fn end_of(answer: AskEnd, after: Duration) -> Option<CallEnd> {
    let after_ms = after.as_secs_f64() * 1e3;
    let given_ms = limits::BENCH_TIMEOUT_MS as f64;
    Some(match answer {
        AskEnd::Ended(InquiryEnd::Result(_)) => CallEnd::Answered { after_ms },
        AskEnd::Ended(InquiryEnd::OwnError(_)) => CallEnd::OwnError { after_ms },
        // A sweep ends it a little later than its time.
        AskEnd::Ended(InquiryEnd::Late) => CallEnd::TimedOut { after_ms: given_ms },
        AskEnd::Ended(InquiryEnd::Failed { category, .. }) => CallEnd::Failed(category),
        AskEnd::Ended(InquiryEnd::Unreachable(_) | InquiryEnd::Stale) => CallEnd::Failed(Category::Network),
        AskEnd::HeldBack => CallEnd::HeldBack,
        AskEnd::Ended(InquiryEnd::Unasked) | AskEnd::NotAsked => return None,
    })
}

/// Calls of one method on new connections, everybody in turn, until the mix ends.
async fn cold<W: World>(bench: Rc<BenchRun<W>>, lanes: Vec<(usize, Transport)>, call: Option<BenchCall>, end: Instant) {
    let Some(call) = call.map(Rc::new).filter(|_| !lanes.is_empty()) else { return };
    let terms = bench.order.terms;
    let each_ms = terms.seconds * 1_000 / terms.cold_calls().max(1) / lanes.len() as u64;
    let mut at = bench.world().now();
    for round in 0..terms.cold_calls() as usize {
        for turn in 0..lanes.len() {
            at = at.plus_ms(each_ms.max(1));
            if at > end || !bench.nap(at).await {
                return;
            }
            if let Some((provider, transport)) = lanes.get((round + turn) % lanes.len()).copied() {
                bench.spawn("bench cold call", cold_call(bench.clone(), provider, transport, call.clone()));
            }
        }
    }
}

async fn cold_call<W: World>(bench: Rc<BenchRun<W>>, provider: usize, transport: Transport, call: Rc<BenchCall>) {
    let began = bench.world().now();
    let until = began.plus_ms(limits::BENCH_TIMEOUT_MS);
    let is_answered = match transport {
        Transport::Http => {
            // HTTP/2 has few connections, which calls share: there is no call of its own.
            let instance = bench.instance(provider).and_then(|id| bench.shard.latest().topology.instances.get(id).cloned());
            if instance.is_none_or(|instance| instance.http2 == Http2::On) {
                return;
            }
            let (purpose, connection) = (Purpose::Cold, ConnectionRule::New);
            let wanted = BenchQuestion { provider, transport, purpose, connection, call: &call, until };
            matches!(bench.ask(wanted).await, AskEnd::Ended(InquiryEnd::Result(_) | InquiryEnd::OwnError(_)))
        }
        Transport::Ws => over_new_link(&bench, provider, &call, until).await,
    };
    if is_answered {
        let after_ms = bench.world().now().since(began).as_secs_f64() * 1e3;
        bench.record.borrow_mut().add_cold(provider, transport, &call.method, after_ms);
    }
}

/// A handshake and one call; whether it was answered by a result.
async fn over_new_link<W: World>(bench: &BenchRun<W>, provider: usize, call: &BenchCall, until: Instant) -> bool {
    let Some(instance) = bench.instance(provider) else { return false };
    if bench.take(provider, Purpose::Cold).is_err() {
        return false;
    }
    let Ok(link) = Link::open(&bench.shard, instance, until, |_| {}).await else {
        bench.budget.borrow_mut().give_back(provider, Purpose::Cold);
        return false;
    };
    let answer = link.call(call.method.as_bytes(), call.params.as_bytes(), until).await;
    link.close();
    answer.is_ok_and(|message| scan_answer(&message).is_ok_and(|answer| matches!(answer.kind, AnswerKind::Result(_))))
}
