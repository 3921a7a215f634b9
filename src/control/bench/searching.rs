//! What is found out by single questions: agreement at one block, depth, log range, methods, and the ramp. To one provider they go
//! one after the other, a little apart, so that they are no load; to different ones at the same time.

use super::asking::{AskEnd, BenchQuestion, BenchRun};
use super::until;
use crate::base::limits;
use crate::base::time::Instant;
use crate::bench::agreement;
use crate::bench::depth::{DepthSearch, SearchReply};
use crate::bench::methods;
use crate::bench::mix::{BenchCall, ChainFacts, quantity};
use crate::bench::plan::Purpose;
use crate::bench::ramp::{Ramp, calls_at};
use crate::bench::range::RangeSearch;
use crate::observe::category::Class;
use crate::route::exchange::ConnectionRule;
use crate::runtime::world::World;
use crate::shard::InquiryEnd;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Nobody's contract, and a topic that no log has: a filter for it finds nothing.
const NO_LOGS: &str = concat!(
    r#""address":"0x000000000000000000000000000000000000dead","#,
    r#""topics":["0x00000000000000000000000000000000000000000000000000000000deadbeef"]"#
);

/// Raw results by provider.
type RawAnswers = Vec<(usize, Vec<u8>)>;

/// Puts a question over the usual transport, when its provider wants to be asked; `None`: it cannot be asked any more.
async fn ask<W: World>(bench: &Rc<BenchRun<W>>, provider: usize, purpose: Purpose, call: &BenchCall) -> Option<InquiryEnd> {
    let give_up = bench.world().now().plus_ms(limits::BENCH_SEARCHES_MS);
    loop {
        let transport = bench.usual_transport(provider);
        let until = until(bench.world().now());
        let wanted = BenchQuestion { provider, transport, purpose, connection: ConnectionRule::Pooled, call, until };
        match bench.ask(wanted).await {
            AskEnd::Ended(end) => return Some(end),
            AskEnd::NotAsked => return None,
            AskEnd::HeldBack => {
                let held = bench.held_until(provider).unwrap_or(bench.world().now());
                if held > give_up || !bench.nap(held).await {
                    return None;
                }
            }
        }
    }
}

async fn pause<W: World>(bench: &Rc<BenchRun<W>>) -> bool {
    bench.nap(bench.world().now().plus_ms(limits::BENCH_SEARCH_PAUSE_MS)).await
}

/// Asks everybody the same about one block, and compares.
pub async fn agreement<W: World>(bench: &Rc<BenchRun<W>>, facts: &ChainFacts) {
    let number = facts.head.saturating_sub(limits::BENCH_BELOW_HEAD);
    let questions = Rc::new(agreement::questions(facts, number));
    let answers: Rc<RefCell<Vec<RawAnswers>>> = Rc::new(RefCell::new(vec![Vec::new(); questions.len()]));
    let (asked, told) = (questions.clone(), answers.clone());
    let work = move |bench: Rc<BenchRun<W>>, provider: usize| {
        let (asked, told) = (asked.clone(), told.clone());
        async move {
            for (place, call) in asked.iter().enumerate() {
                if let Some(InquiryEnd::Result(raw)) = ask(&bench, provider, Purpose::Agreement, call).await
                    && let Some(answers) = told.borrow_mut().get_mut(place)
                {
                    answers.push((provider, raw));
                }
                if !pause(&bench).await {
                    return;
                }
            }
        }
    };
    bench.each("bench agreement", bench.world().now().plus_ms(limits::BENCH_SEARCHES_MS), work).await;
    let mut found = Vec::new();
    for (call, answers) in questions.iter().zip(answers.borrow_mut().iter_mut()) {
        answers.sort_by_key(|(provider, _)| *provider);
        found.extend(agreement::compare(call, number, answers));
    }
    bench.record.borrow_mut().disagreements = found;
}

/// Depth, log range and methods of everybody.
pub async fn search<W: World>(bench: &Rc<BenchRun<W>>, facts: &ChainFacts) {
    let facts = Rc::new(facts.clone());
    let work = move |bench: Rc<BenchRun<W>>, provider: usize| {
        let facts = facts.clone();
        async move {
            let Some(head) = head_now(&bench, provider).await else { return };
            depth(&bench, provider, head, &facts).await;
            range(&bench, provider, head).await;
            missing_methods(&bench, provider, &facts).await;
        }
    };
    bench.each("bench searches", bench.world().now().plus_ms(limits::BENCH_SEARCHES_MS), work).await;
}

/// The head has moved since the beginning, and what a provider keeps with it.
async fn head_now<W: World>(bench: &Rc<BenchRun<W>>, provider: usize) -> Option<u64> {
    let call = BenchCall::new("eth_blockNumber", "[]".to_owned());
    for _ in 0..=limits::BENCH_AGAIN {
        if let InquiryEnd::Result(raw) = ask(bench, provider, Purpose::Depth, &call).await?
            && let Some(head) = quantity(&raw)
        {
            return Some(head);
        }
        if !pause(bench).await {
            return None;
        }
    }
    None
}

async fn depth<W: World>(bench: &Rc<BenchRun<W>>, provider: usize, head: u64, facts: &ChainFacts) {
    let nobody = "0x000000000000000000000000000000000000dead".to_owned();
    let address = facts.addresses.first().unwrap_or(&nobody);
    let mut search = DepthSearch::new(head);
    while let Some(block) = search.ask() {
        let call = BenchCall::new("eth_getBalance", format!(r#"["{address}","{block:#x}"]"#));
        let Some(end) = ask(bench, provider, Purpose::Depth, &call).await else { return };
        search.on(heard(&end));
        if let Some(learnt) = bench.record.borrow_mut().learnt.get_mut(provider) {
            learnt.depth = Some(search.found());
        }
        if !pause(bench).await {
            return;
        }
    }
}

async fn range<W: World>(bench: &Rc<BenchRun<W>>, provider: usize, head: u64) {
    let mut search = RangeSearch::new(head);
    while let Some(blocks) = search.ask() {
        let from = (head + 1).saturating_sub(blocks);
        let call = BenchCall::new("eth_getLogs", format!(r#"[{{"fromBlock":"{from:#x}","toBlock":"{head:#x}",{NO_LOGS}}}]"#));
        let Some(end) = ask(bench, provider, Purpose::Range, &call).await else { return };
        search.on(heard(&end));
        if let Some(learnt) = bench.record.borrow_mut().learnt.get_mut(provider) {
            learnt.log_range = search.found();
        }
        if !pause(bench).await {
            return;
        }
    }
}

/// What an answer says to a search. What is about the connection, the rate or the moment says nothing.
fn heard(end: &InquiryEnd) -> SearchReply {
    match end {
        InquiryEnd::Result(_) => SearchReply::Given,
        InquiryEnd::OwnError(_) => SearchReply::Denied,
        InquiryEnd::Failed { category, .. } => match category.class() {
            Class::Capability | Class::Deterministic => SearchReply::Denied,
            Class::Quota | Class::ProviderFailure => SearchReply::Unclear,
        },
        InquiryEnd::Late | InquiryEnd::Stale | InquiryEnd::Unreachable(_) | InquiryEnd::Unasked => SearchReply::Unclear,
    }
}

async fn missing_methods<W: World>(bench: &Rc<BenchRun<W>>, provider: usize, facts: &ChainFacts) {
    for call in methods::questions(facts) {
        let Some(end) = ask(bench, provider, Purpose::Methods, &call).await else { return };
        if let InquiryEnd::Failed { category, .. } = end
            && methods::is_missing(category)
            && let Some(learnt) = bench.record.borrow_mut().learnt.get_mut(provider)
        {
            learnt.missing_methods.push(call.method.clone());
        }
        if !pause(bench).await {
            return;
        }
    }
}

/// Raises the rate to everybody, each until it refuses.
pub async fn ramp<W: World>(bench: &Rc<BenchRun<W>>) {
    let by = bench.world().now().plus_ms(10 * limits::BENCH_SEARCHES_MS);
    bench.each("bench ramp", by, |bench, provider| async move { climb(&bench, provider).await }).await;
}

async fn climb<W: World>(bench: &Rc<BenchRun<W>>, provider: usize) {
    let mut ramp = Ramp::default();
    while let Some(rate) = ramp.rate() {
        match step(bench, provider, rate).await {
            Some(true) => ramp.on_served(),
            Some(false) => ramp.on_refused(),
            None => break,
        }
        if let Some(learnt) = bench.record.borrow_mut().learnt.get_mut(provider) {
            learnt.rate_limit = ramp.found();
        }
    }
}

/// Asks at this rate for a while; whether all was served, `None` where it could not be asked so.
async fn step<W: World>(bench: &Rc<BenchRun<W>>, provider: usize, rate: u32) -> Option<bool> {
    let began = bench.world().now();
    let (refused, unclear) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    for place in 0..calls_at(rate) {
        let at = Instant(began.0 + 1_000_000_000 * place / u64::from(rate.max(1)));
        if !bench.nap(at).await {
            return None;
        }
        if refused.get() {
            return Some(false);
        }
        let (asker, refused, unclear) = (bench.clone(), refused.clone(), unclear.clone());
        bench.world().spawn("bench ramp call", async move {
            let call = BenchCall::new("eth_blockNumber", "[]".to_owned());
            let wanted = BenchQuestion {
                provider,
                transport: asker.usual_transport(provider),
                purpose: Purpose::Ramp,
                connection: ConnectionRule::Pooled,
                call: &call,
                until: until(asker.world().now()),
            };
            match asker.ask(wanted).await {
                AskEnd::Ended(InquiryEnd::Failed { category, .. }) if category.class() == Class::Quota => refused.set(true),
                AskEnd::HeldBack => refused.set(true),
                // Another failure is no word about the rate.
                AskEnd::Ended(InquiryEnd::Result(_) | InquiryEnd::OwnError(_) | InquiryEnd::Failed { .. }) => {}
                AskEnd::Ended(_) | AskEnd::NotAsked => unclear.set(true),
            }
        });
    }
    let is_on = bench.nap(bench.world().now().plus_ms(limits::BENCH_FIRST_PAUSE_MS)).await;
    match (refused.get(), unclear.get() || !is_on) {
        (true, _) => Some(false),
        (false, true) => None,
        (false, false) => Some(true),
    }
}
