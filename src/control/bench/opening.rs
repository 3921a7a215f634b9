//! The first questions: who is there, on which chain, how high, and what recent blocks hold. A provider that does not answer, refuses our
//! credentials or serves another chain is asked nothing more.

use super::asking::{AskEnd, BenchQuestion, BenchRun};
use super::until;
use crate::base::ids::Transport;
use crate::base::limits;
use crate::bench::findings::ProviderState;
use crate::bench::mix::{BenchCall, ChainFacts, quantity};
use crate::bench::plan::Purpose;
use crate::observe::category::{Category, Class};
use crate::route::exchange::ConnectionRule;
use crate::runtime::world::World;
use crate::shard::InquiryEnd;
use futures_util::future::join_all;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a provider's first answer was.
#[derive(Clone, Debug)]
enum First {
    Chain(u64),
    State(ProviderState),
}

/// Asks everybody for the chain over each transport; the chain that counts. `None`: nobody is left to ask.
pub async fn ask_for_chain<W: World>(bench: &Rc<BenchRun<W>>) -> Option<u64> {
    let count = bench.order.entrants.len();
    let firsts: Rc<RefCell<Vec<Option<First>>>> = Rc::new(RefCell::new(vec![None; count]));
    let by = bench.world().now().plus_ms(2 * limits::BENCH_FIRST_MS * limits::BENCH_FIRST_TRIES);
    let told = firsts.clone();
    let work = move |bench: Rc<BenchRun<W>>, provider: usize| {
        let told = told.clone();
        async move {
            let first = first_of(&bench, provider).await;
            if let Some(place) = told.borrow_mut().get_mut(provider) {
                *place = first;
            }
        }
    };
    bench.each("bench opening", by, work).await;
    let firsts = firsts.borrow();
    let wanted = bench.order.chain_number.or_else(|| most_common(&firsts));
    for (provider, first) in firsts.iter().enumerate() {
        match first {
            Some(First::Chain(number)) if Some(*number) == wanted => {}
            Some(First::Chain(chain_number)) => {
                bench.set_state(provider, ProviderState::WrongChain { chain_number: *chain_number })
            }
            Some(First::State(state)) => bench.set_state(provider, state.clone()),
            // Somebody wanted the run to end before it had answered.
            None if bench.is_stopped() => {}
            None => bench.set_state(provider, ProviderState::Dead { reason: "no answer in time".to_owned() }),
        }
    }
    wanted.filter(|_| (0..count).any(|provider| bench.is_measured(provider)))
}

/// What most say; of equally many the one that was said first.
fn most_common(firsts: &[Option<First>]) -> Option<u64> {
    let mut counts: BTreeMap<u64, (usize, std::cmp::Reverse<usize>)> = BTreeMap::new();
    for (place, first) in firsts.iter().enumerate() {
        if let Some(First::Chain(number)) = first {
            counts.entry(*number).or_insert((0, std::cmp::Reverse(place))).0 += 1;
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(number, _)| number)
}

/// The chain that one provider serves over all of its transports. Where one of them serves another chain, that is what it is
/// known by; one that does not answer is the other's affair, unless neither does.
async fn first_of<W: World>(bench: &Rc<BenchRun<W>>, provider: usize) -> Option<First> {
    let transports: Vec<Transport> =
        bench.order.lanes().into_iter().filter(|(of, _)| *of == provider).map(|(_, transport)| transport).collect();
    let asked = transports.iter().map(|transport| chain_over(bench, provider, *transport));
    let answers = join_all(asked).await;
    let (mut chains, mut state) = (Vec::new(), None);
    for (transport, answer) in transports.into_iter().zip(answers) {
        match answer {
            Some(First::Chain(number)) => {
                chains.push(number);
                if let Some(usual) = bench.usual.borrow_mut().get_mut(provider) {
                    *usual = usual.or(Some(transport));
                }
            }
            Some(First::State(found)) => state = state.or(Some(found)),
            None => {}
        }
    }
    let odd = chains.iter().copied().find(|number| bench.order.chain_number.is_some_and(|wanted| wanted != *number));
    let differing = chains.iter().copied().find(|number| chains.first() != Some(number));
    odd.or(differing).or(chains.first().copied()).map(First::Chain).or(state.map(First::State))
}

async fn chain_over<W: World>(bench: &Rc<BenchRun<W>>, provider: usize, transport: Transport) -> Option<First> {
    let call = BenchCall::new("eth_chainId", "[]".to_owned());
    let mut found = None;
    for round in 0..limits::BENCH_FIRST_TRIES {
        if round > 0 {
            let pause = bench.world().now().plus_ms(limits::BENCH_FIRST_PAUSE_MS);
            let held = bench.held_until(provider).unwrap_or(pause);
            bench.nap(pause.max(held).min(pause.plus_ms(limits::BENCH_TIMEOUT_MS))).await;
        }
        let wanted = BenchQuestion {
            provider,
            transport,
            purpose: Purpose::Chain,
            connection: ConnectionRule::Pooled,
            call: &call,
            until: bench.world().now().plus_ms(limits::BENCH_FIRST_MS),
        };
        let AskEnd::Ended(end) = bench.ask(wanted).await else { continue };
        match end {
            InquiryEnd::Result(raw) => match quantity(&raw) {
                Some(number) => return Some(First::Chain(number)),
                None => found = Some(dead("its chain id is not a number")),
            },
            // Asked again it would say the same.
            InquiryEnd::Failed { category: category @ (Category::Auth | Category::Forbidden), .. } => {
                let reason = match category {
                    Category::Auth => "it refuses the credentials (check the key in its URL)",
                    _ => "it forbids the call, HTTP 402 or 403 (check the plan, and whether it allows this address)",
                };
                return Some(First::State(ProviderState::Refused { reason: reason.to_owned() }));
            }
            InquiryEnd::Failed { category, .. } if category.class() == Class::Quota => {
                found = Some(ProviderState::Banned { after_calls: 0 });
            }
            InquiryEnd::Failed { category: Category::Network, .. } | InquiryEnd::Stale | InquiryEnd::Unasked => {
                found = Some(dead("the connection ended before an answer"));
            }
            InquiryEnd::OwnError(category) | InquiryEnd::Failed { category, .. } => {
                found = Some(dead(&format!("it answers eth_chainId with a failure ({})", category.word())));
            }
            InquiryEnd::Late => found = Some(dead(&format!("no answer within {} s", limits::BENCH_FIRST_MS / 1_000))),
            InquiryEnd::Unreachable(fault) => found = Some(dead(&fault.to_string())),
        }
    }
    found.map(First::State)
}

fn dead(reason: &str) -> ProviderState {
    ProviderState::Dead { reason: reason.to_owned() }
}

/// Asks everybody how high it is and what it runs, and somebody for a few blocks.
pub async fn ask_for_facts<W: World>(bench: &Rc<BenchRun<W>>) -> ChainFacts {
    let by = bench.world().now().plus_ms(3 * limits::BENCH_TIMEOUT_MS);
    bench.each("bench heads", by, |bench, provider| async move { head_and_client(&bench, provider).await }).await;
    let heads: Vec<u64> = bench.heads.borrow().iter().flatten().copied().collect();
    let highest = heads.iter().copied().max().unwrap_or(0);
    // One that stands still for days is no measure for the others.
    let near = heads.iter().copied().filter(|head| head + limits::BENCH_OLD_BLOCKS >= highest);
    let mut facts = ChainFacts { head: near.min().unwrap_or(0), ..ChainFacts::default() };
    read_blocks(bench, &mut facts).await;
    facts
}

async fn head_and_client<W: World>(bench: &Rc<BenchRun<W>>, provider: usize) {
    let head = simple(bench, provider, &BenchCall::new("eth_blockNumber", "[]".to_owned())).await;
    if let Some(place) = bench.heads.borrow_mut().get_mut(provider) {
        *place = head.and_then(|raw| quantity(&raw));
    }
    let client = simple(bench, provider, &BenchCall::new("web3_clientVersion", "[]".to_owned())).await;
    let client = client.and_then(|raw| serde_json::from_slice::<String>(&raw).ok()).filter(|text| !text.is_empty());
    if let Some(learnt) = bench.record.borrow_mut().learnt.get_mut(provider) {
        let shown = |text: String| text.chars().filter(|c| !c.is_control()).take(limits::BENCH_CLIENT_CHARS).collect();
        learnt.client_version = client.map(shown);
    }
}

/// A few blocks below the head, of whoever gives them.
async fn read_blocks<W: World>(bench: &Rc<BenchRun<W>>, facts: &mut ChainFacts) {
    let mut number = facts.head.saturating_sub(limits::BENCH_BELOW_HEAD);
    for round in 0..limits::BENCH_BLOCKS_READ {
        let call = BenchCall::new("eth_getBlockByNumber", format!(r#"["{number:#x}",true]"#));
        let count = bench.order.entrants.len();
        for turn in 0..count {
            let provider = (round as usize + turn) % count.max(1);
            if let Some(raw) = simple(bench, provider, &call).await {
                facts.read_block(&raw);
                break;
            }
        }
        number = number.saturating_sub(1);
    }
}

/// The result of a plain question over the usual transport.
async fn simple<W: World>(bench: &Rc<BenchRun<W>>, provider: usize, call: &BenchCall) -> Option<Vec<u8>> {
    let wanted = BenchQuestion {
        provider,
        transport: bench.usual_transport(provider),
        purpose: Purpose::Chain,
        connection: ConnectionRule::Pooled,
        call,
        until: until(bench.world().now()),
    };
    match bench.ask(wanted).await {
        AskEnd::Ended(InquiryEnd::Result(raw)) => Some(raw),
        _ => None,
    }
}
