//! What is explained is what then happens, in ten thousand random states.

use super::*;
use crate::base::ids::{MethodId, ProviderId};
use crate::base::time::Instant;
use crate::chain::method::Safety;
use crate::config::topology::Strategy;
use crate::health::evidence::Standing;
use crate::route::exchange::{Action, End, Exchange};
use crate::snapshot::test_plan;
use crate::snapshot::test_plan::of_priorities;
use crate::snapshot::{Gates, Ranking, Set};
use std::sync::Arc;

const METHOD: MethodId = MethodId(3);
const PROVIDERS: u64 = 7;
/// Three of them over both transports.
const SLOTS: u64 = 10;

fn random_plan(base: &ChainPlan, draw: &mut Rng) -> ChainPlan {
    let mut mask = || Set::from(draw.next() & draw.next() & draw.next() & 0x3ff);
    let mut plan = base.clone();
    let open = mask();
    plan.gates = Gates {
        open,
        held: mask() & open,
        half_open: mask() & !open,
        limited: mask(),
        misconfigured: mask(),
        wrong_chain: mask(),
        forked: mask(),
        lagging: mask(),
        ..Gates::default()
    };
    let standing = |draw: &mut Rng| {
        let us = 100 + draw.below(1_000_000) as u32;
        let is_measured = draw.below(4) != 0;
        let latency_us = is_measured.then_some(us);
        let qualified = is_measured && draw.below(4) != 0;
        Standing { latency_us, qualified, ..Standing::unknown((draw.below(2) == 0).then_some(us)) }
    };
    let standings = (0..SLOTS).map(|_| standing(draw)).collect();
    plan.rankings[METHOD] = Arc::new(Ranking::new(&plan.fixed, standings, 3.0));
    plan
}

fn random_ask(draw: &mut Rng) -> Ask {
    let strategies = [Strategy::Priority, Strategy::LoadBalanced, Strategy::Fastest, Strategy::LatencyWeighted];
    let one_of = |draw: &mut Rng, count| (draw.below(8) == 0).then(|| draw.below(count) as u8);
    let few = |draw: &mut Rng| Set::from(draw.next() & draw.next() & draw.next());
    let many = |draw: &mut Rng| Set::from(draw.next() | draw.next() | draw.next());
    Ask {
        behind: few(draw),
        unfit: few(draw),
        vetoed: few(draw),
        local: Set::from(draw.next() | draw.next()),
        eligible: many(draw),
        reachable: many(draw),
        supports: many(draw),
        pin: one_of(draw, PROVIDERS).map(ProviderId),
        allow_failover: draw.below(2) == 0,
        remeasure: one_of(draw, SLOTS).map(SlotId),
        ..Ask::new(strategies[draw.below(4) as usize], METHOD)
    }
}

/// The channels that an exchange asks while none of them can be reached.
fn asked(plan: &ChainPlan, ask: &Ask, rng: &mut Rng) -> Vec<SlotId> {
    let mut exchange = Exchange::new(plan, ask, Safety::Repeatable, 10_000, Instant::ZERO);
    let mut order = Vec::new();
    while let Action::Attempt { slot, .. } = exchange.next(plan, rng, Instant::ZERO) {
        order.push(slot);
        exchange.on_end(plan, End::NotSent);
    }
    order
}

#[test]
fn what_is_explained_is_what_happens() {
    let both = ", ws_url: 'ws://w.example:1'";
    let base = test_plan::plan(&[(1, both), (1, ""), (2, ""), (2, both), (3, ""), (3, both), (4, "")]);
    assert_eq!(base.fixed.channels.len() as u64, SLOTS);
    let (mut hits, mut odds_sum, mut tries) = (0u32, 0f64, 0u32);
    for seed in 0..10_000 {
        let mut draw = Rng::new(seed);
        let plan = random_plan(&base, &mut draw);
        let ask = random_ask(&mut draw);
        let parts = explain(&plan, &ask, &mut Rng::new(seed));
        let happened = asked(&plan, &ask, &mut Rng::new(seed));
        let mut turns: Vec<_> = parts.iter().filter_map(|(id, part)| Some((part.turn?, id))).collect();
        turns.sort_unstable();
        let told: Vec<SlotId> = turns.into_iter().map(|(_, id)| id).collect();
        assert!(
            told.starts_with(&happened) && (happened.len() == told.len() || happened.len() >= 3),
            "seed {seed}: {told:?} {happened:?}"
        );
        for (id, part) in parts.iter() {
            assert_eq!(part.turn.is_some(), part.stage == Stage::Candidate, "seed {seed}: {id:?} {part:?}");
            assert!(part.odds == 0.0 || part.stage == Stage::Candidate, "seed {seed}: {id:?} {part:?}");
        }
        let total: f32 = parts.values().map(|p| p.odds).sum();
        assert!(told.is_empty() == (total == 0.0) && (told.is_empty() || (total - 1.0).abs() < 1e-3), "seed {seed}: {total}");
        // Another draw: whoever is first was possible, and how often is what the odds say.
        if let Some(first) = asked(&plan, &ask, &mut Rng::new(!seed)).first() {
            let odds = parts[*first].odds;
            assert!(odds > 0.0, "seed {seed}: {first:?} was said to be impossible");
            let watched = told[told.len() / 2];
            hits += u32::from(*first == watched);
            odds_sum += f64::from(parts[watched].odds);
            tries += 1;
        }
    }
    assert!(tries > 8_000 && (f64::from(hits) - odds_sum).abs() < 3.0 * odds_sum.sqrt(), "{hits} of {odds_sum} in {tries}");
}

/// Each line: a state, a call, and what is said of provider 0.
#[test]
fn each_stage_is_named() {
    let base = of_priorities(&[1, 2]);
    let check = |want: Stage, change: &dyn Fn(&mut ChainPlan, &mut Ask)| {
        let (mut plan, mut ask) = (base.clone(), Ask::new(Strategy::Priority, METHOD));
        change(&mut plan, &mut ask);
        let parts = explain(&plan, &ask, &mut Rng::new(1));
        assert_eq!(parts[SlotId(0)].stage, want, "{}", want.word());
        assert_eq!(parts[SlotId(0)].turn, (want == Stage::Candidate).then_some(0));
    };
    check(Stage::Candidate, &|_, _| {});
    check(Stage::Unreachable, &|_, ask| ask.reachable = 0b10);
    check(Stage::NotAsked, &|_, ask| ask.pin = Some(ProviderId(1)));
    check(Stage::NotAsked, &|_, ask| ask.eligible = 0b10);
    check(Stage::WrongChain, &|plan, _| plan.gates.wrong_chain = 0b01);
    check(Stage::Unsupported, &|_, ask| ask.supports = 0b10);
    check(Stage::Held, &|plan, _| (plan.gates.open, plan.gates.held) = (0b11, 0b01));
    check(Stage::CircuitOpen, &|plan, _| plan.gates.open = 0b01);
    check(Stage::HalfOpen, &|plan, _| plan.gates.half_open = 0b01);
    check(Stage::Candidate, &|plan, _| (plan.gates.half_open, plan.gates.open) = (0b01, 0b10));
    check(Stage::Unfit, &|_, ask| ask.unfit = 0b01);
}

#[test]
fn words_differ_and_reasons_are_sentences() {
    let words: std::collections::BTreeSet<_> = Stage::ALL.iter().map(|s| s.word()).collect();
    assert_eq!(words.len(), Stage::ALL.len());
    assert!(Stage::ALL.iter().is_sorted());
    assert!(Stage::ALL.iter().all(|s| s.reason().len() > 10 && !s.reason().ends_with('.')));
}
