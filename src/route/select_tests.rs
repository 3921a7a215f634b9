//! Orders of every strategy, and what stands over them: pins, tiers, demotions, regions.

use super::*;
use crate::base::ids::IdVec;
use crate::health::evidence::Standing;
use crate::snapshot::test_plan::{of_priorities, plan};
use crate::snapshot::{Gates, Ranking};
use std::collections::BTreeSet;
use std::sync::Arc;

const METHOD: MethodId = MethodId(3);

fn ask(strategy: Strategy) -> Ask {
    Ask::new(strategy, METHOD)
}

fn order(plan: &ChainPlan, ask: &Ask, seed: u64) -> Vec<u8> {
    let (mut walk, mut rng) = (Walk::new(plan, ask), Rng::new(seed));
    std::iter::from_fn(|| walk.next(plan, &mut rng)).map(|p| p.0).collect()
}

/// Latencies by provider in milliseconds: measured on calls, by probes, or not at all.
#[derive(Clone, Copy)]
enum Seen {
    Calls(u32),
    Probe(u32),
    Never,
}

fn with_ranking(plan: &ChainPlan, seen: &[Seen], beta: f32) -> ChainPlan {
    let standing = |seen: &Seen| match *seen {
        Seen::Calls(ms) => Standing { latency_us: Some(ms * 1000), qualified: true, ..Standing::unknown(None) },
        Seen::Probe(ms) => Standing::unknown(Some(ms * 1000)),
        Seen::Never => Standing::unknown(None),
    };
    let standings: IdVec<SlotId, Standing> = seen.iter().map(standing).collect();
    let mut plan = plan.clone();
    plan.rankings[METHOD] = Arc::new(Ranking::new(&plan.fixed, standings, beta));
    plan
}

#[test]
fn priority_goes_group_by_group_and_shuffles_ties() {
    let plan = of_priorities(&[3, 2, 1, 2]);
    let seen: BTreeSet<_> = (0..64).map(|seed| order(&plan, &ask(Strategy::Priority), seed)).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [vec![2, 1, 3, 0], vec![2, 3, 1, 0]]);
}

#[test]
fn load_balanced_is_fair() {
    let plan = of_priorities(&[1, 2, 2]);
    let mut first = [0u32; 3];
    for seed in 0..30_000 {
        let order = order(&plan, &ask(Strategy::LoadBalanced), seed);
        assert_eq!(order.len(), 3);
        first[order[0] as usize] += 1;
    }
    assert!(first.iter().all(|n| (9_600..10_400).contains(n)), "{first:?}");
}

#[test]
fn fastest_goes_by_evidence_then_probes_then_priority() {
    use Seen::*;
    let check = |seen: &[Seen], want: &[u8]| {
        let plan = with_ranking(&of_priorities(&[4, 3, 2, 1]), seen, 3.0);
        assert_eq!(order(&plan, &ask(Strategy::Fastest), 1), want);
    };
    check(&[Never; 4], &[3, 2, 1, 0]);
    check(&[Calls(30), Calls(10), Calls(20), Calls(40)], &[1, 2, 0, 3]);
    check(&[Calls(30), Probe(1), Calls(20), Never], &[2, 0, 1, 3]);
    check(&[Never, Probe(9), Probe(8), Never], &[2, 1, 3, 0]);
}

#[test]
fn latency_weighted_draws_by_the_power_of_the_latency() {
    let shares = |beta: f32| {
        let seen = [Seen::Calls(10), Seen::Calls(20), Seen::Probe(1)];
        let plan = with_ranking(&of_priorities(&[1, 1, 1]), &seen, beta);
        let mut first = [0u32; 3];
        (0..20_000).for_each(|seed| first[order(&plan, &ask(Strategy::LatencyWeighted), seed)[0] as usize] += 1);
        first.map(|n| f64::from(n) / 20_000.0)
    };
    // (1/2)^3 = 1/8 of the best's weight; who is only probed is never first.
    let [a, b, c] = shares(3.0);
    assert!((a - 8.0 / 9.0).abs() < 0.01 && (b - 1.0 / 9.0).abs() < 0.01 && c == 0.0, "{a} {b} {c}");
    let [a, b, _] = shares(0.0);
    assert!((a - b).abs() < 0.02, "{a} {b}");
}

#[test]
fn pins_come_first_and_alone_unless_failover_is_allowed() {
    let plan = of_priorities(&[1, 2, 3]);
    let check = |pin, allow_failover, eligible, want: &[u8]| {
        let ask = Ask { eligible, pin: Some(ProviderId(pin)), allow_failover, ..ask(Strategy::Priority) };
        assert_eq!(order(&plan, &ask, 1), want);
    };
    check(2, false, Set::MAX, &[2]);
    check(2, true, Set::MAX, &[2, 0, 1]);
    check(2, false, 0b011, &[]);
    check(2, true, 0b011, &[0, 1]);
}

#[test]
fn a_pin_is_bound_by_circuits_but_not_by_capabilities() {
    let mut plan = of_priorities(&[1, 2]);
    let pinned = Ask { pin: Some(ProviderId(1)), supports: 0b01, archival: true, ..ask(Strategy::Priority) };
    assert_eq!(order(&plan, &pinned, 1), [1]);
    plan.gates.open = 0b10;
    assert_eq!(order(&plan, &pinned, 1), [1], "there is nobody else for it: one call at a time");
    plan.gates.held = 0b10;
    assert_eq!(order(&plan, &pinned, 1), [0u8; 0]);
    plan.gates = Gates { wrong_chain: 0b10, ..Gates::default() };
    assert_eq!(order(&plan, &pinned, 1), [0u8; 0]);
}

/// Each line: what is known against whom, and the order that follows for priorities 0 < 1 < 2 < 3.
#[test]
fn tiers_and_demotions_stand_over_the_strategy() {
    let base = of_priorities(&[0, 1, 2, 3]);
    let check = |what: &str, gates: Gates, ask: Ask, want: &[u8]| {
        let plan = ChainPlan { gates, ..base.clone() };
        assert_eq!(order(&plan, &ask, 1), want, "{what}");
    };
    let (none, plain) = (Gates::default(), ask(Strategy::Priority));
    check("nothing", none, plain, &[0, 1, 2, 3]);
    check("limited", Gates { limited: 0b0001, ..none }, plain, &[1, 2, 3, 0]);
    check("open", Gates { open: 0b0101, ..none }, plain, &[1, 3]);
    check("all open: the least bad", Gates { open: 0b1111, ..none }, plain, &[0, 1, 2, 3]);
    check("all open, two by hand", Gates { open: 0b1111, held: 0b0101, ..none }, plain, &[1, 3]);
    check("all held", Gates { open: 0b1111, held: 0b1111, ..none }, plain, &[]);
    check("half-open beside closed", Gates { half_open: 0b0001, ..none }, plain, &[1, 2, 3]);
    check("only half-open", Gates { half_open: 0b1111, ..none }, plain, &[0, 1, 2, 3]);
    check("half-open before open", Gates { half_open: 0b1100, open: 0b0011, ..none }, plain, &[2, 3, 0, 1]);
    let limited = Gates { half_open: 0b0011, open: 0b1100, limited: 0b0001, ..none };
    check("half-open and limited", limited, plain, &[1, 0, 2, 3]);
    let limited = Gates { open: 0b1111, limited: 0b0011, ..none };
    check("open and limited", limited, plain, &[2, 3, 0, 1]);
    check("lagging", Gates { lagging: 0b0011, ..none }, plain, &[2, 3, 0, 1]);
    check("vetoed", none, Ask { vetoed: 0b0001, ..plain }, &[1, 2, 3, 0]);
    check("behind", none, Ask { behind: 0b0111, ..plain }, &[3, 0, 1, 2]);
    check("another fork last", Gates { forked: 0b0001, misconfigured: 0b0010, ..none }, plain, &[2, 3, 1, 0]);
    check("misconfigured last", Gates { misconfigured: 0b0001, lagging: 0b0010, ..none }, plain, &[2, 3, 1, 0]);
    check("other regions", none, Ask { local: 0b1100, ..plain }, &[2, 3, 0, 1]);
    check("region inside the tier", Gates { limited: 0b0100, ..none }, Ask { local: 0b0100, ..plain }, &[0, 1, 3, 2]);
    check("lacks the method", none, Ask { supports: 0b1010, ..plain }, &[1, 3]);
    check("all lack it", none, Ask { supports: 0, ..plain }, &[0, 1, 2, 3]);
    check("too wide for some", none, Ask { unfit: 0b0011, ..plain }, &[2, 3]);
    check("too wide for all", none, Ask { unfit: 0b1111, ..plain }, &[0, 1, 2, 3]);
    check("fit but open", Gates { open: 0b1000, ..none }, Ask { unfit: 0b0111, ..plain }, &[0, 1, 2]);
    check("measured again", none, Ask { remeasure: Some(SlotId(3)), ..plain }, &[3, 0, 1, 2]);
    check("not when limited", Gates { limited: 0b1000, ..none }, Ask { remeasure: Some(SlotId(3)), ..plain }, &[0, 1, 2, 3]);
}

#[test]
fn old_state_is_asked_of_archival_providers_first() {
    let plan = plan(&[(0, ", archival: false"), (1, ""), (2, ", archival: false")]);
    assert_eq!(order(&plan, &Ask { archival: true, ..ask(Strategy::Priority) }, 1), [1, 0, 2]);
    let none = self::plan(&[(0, ", archival: false"), (1, ", archival: false")]);
    assert_eq!(order(&none, &Ask { archival: true, ..ask(Strategy::Priority) }, 1), [0, 1]);
}

#[test]
fn one_dispatch_takes_out_everyone_on_the_channel() {
    let mut plan = of_priorities(&[1, 1, 1]);
    let fixed = Arc::make_mut(&mut plan.fixed);
    fixed.same_channel = [0b101, 0b010, 0b101].into_iter().collect();
    let mut walk = Walk::new(&plan, &ask(Strategy::Priority));
    walk.exclude_channel_of(&plan, SlotId(0));
    assert_eq!(walk.next(&plan, &mut Rng::new(1)), Some(SlotId(1)));
    assert!(walk.is_empty());
}

/// Provider 0 over both transports (slots 0, 1), provider 1 over HTTP (2), provider 2 over WebSocket (3).
fn of_both_transports(priorities: [u32; 3]) -> ChainPlan {
    let text = format!(
        "slug: default\nchains:\n  one:\n    chain_id: 1\n    providers:\n\
         \x20     - {{id: a, priority: {}, url: 'http://a.example:1', ws_url: 'ws://a.example:1'}}\n\
         \x20     - {{id: b, priority: {}, url: 'http://b.example:1'}}\n\
         \x20     - {{id: c, priority: {}, ws_url: 'ws://c.example:1'}}\n",
        priorities[0], priorities[1], priorities[2]
    );
    crate::snapshot::test_plan::of_text(text)
}

#[test]
fn transports_compete_and_one_can_be_asked_for() {
    let plan = of_both_transports([1, 2, 3]);
    assert_eq!((plan.fixed.together[0], plan.fixed.ws, plan.fixed.second), (0b1111, 0b1010, 0b0010));
    let of = |reachable: Set| {
        let ask = Ask { reachable, ..ask(Strategy::Priority) };
        (0..64).map(|seed| order(&plan, &ask, seed)).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    use crate::base::ids::Transport;
    assert_eq!(of(plan.fixed.over(None)), [vec![0, 1, 2, 3], vec![1, 0, 2, 3]]);
    assert_eq!(of(plan.fixed.over(Some(Transport::Http))), [vec![0, 2]]);
    assert_eq!(of(plan.fixed.over(Some(Transport::Ws))), [vec![1, 3]]);
    let pinned = Ask { pin: Some(ProviderId(0)), ..ask(Strategy::Priority) };
    let mut both = order(&plan, &pinned, 1);
    both.sort_unstable();
    assert_eq!(both, [0, 1]);
}

#[test]
fn a_provider_with_two_channels_has_one_turn() {
    let check = |strategy: Strategy, plan: &ChainPlan| {
        let mut first = [0u32; 4];
        (0..30_000).for_each(|seed| first[usize::from(order(plan, &ask(strategy), seed)[0])] += 1);
        let want = [5_000u32, 5_000, 10_000, 10_000];
        assert!(first.iter().zip(want).all(|(got, want)| got.abs_diff(want) < 400), "{strategy:?}: {first:?}");
        let odds = Walk::new(plan, &ask(strategy)).odds(plan);
        let total: f32 = odds.iter().map(|(_, odds)| odds).sum();
        assert!(
            (total - 1.0).abs() < 1e-5
                && odds.iter().zip(want).all(|((_, odds), want)| (odds * 30_000.0 - want as f32).abs() < 1.0)
        );
    };
    let plan = of_both_transports([1, 1, 1]);
    check(Strategy::LoadBalanced, &plan);
    check(Strategy::Priority, &plan);
    check(Strategy::LatencyWeighted, &with_ranking(&plan, &[Seen::Calls(10); 4], 3.0));
}

#[test]
fn the_other_transport_of_an_instance_that_failed_is_tried_last() {
    let plan = of_both_transports([1, 2, 3]);
    let mut walk = Walk::new(&plan, &ask(Strategy::Priority));
    let first = walk.next(&plan, &mut Rng::new(1)).expect("somebody");
    walk.exclude_channel_of(&plan, first);
    walk.demote_instance_of(&plan, first);
    let rest: Vec<u8> = std::iter::from_fn(|| walk.next(&plan, &mut Rng::new(1))).map(|slot| slot.0).collect();
    assert_eq!(rest, [2, 3, 1 - first.0]);
}

/// Whatever is drawn: each provider of the sieve once, nobody else, in an order that never goes from a worse class back
/// to a better one.
#[test]
fn a_walk_visits_exactly_the_sieve_in_order_of_class() {
    for seed in 0..3_000u64 {
        let mut draw = Rng::new(seed);
        let mask = |draw: &mut Rng| Set::from(draw.next() & draw.next() & 0xff);
        let mut plan = of_priorities(&[1, 1, 2, 2, 3, 3, 4, 4]);
        let open = mask(&mut draw);
        plan.gates = Gates {
            open,
            held: mask(&mut draw) & open,
            half_open: mask(&mut draw) & !open,
            limited: mask(&mut draw),
            misconfigured: mask(&mut draw),
            wrong_chain: mask(&mut draw),
            forked: mask(&mut draw),
            lagging: mask(&mut draw),
            ..Gates::default()
        };
        let strategy = [Strategy::Priority, Strategy::LoadBalanced, Strategy::Fastest, Strategy::LatencyWeighted];
        let ask = Ask {
            behind: mask(&mut draw),
            unfit: mask(&mut draw),
            vetoed: mask(&mut draw),
            local: Set::from(draw.next()),
            supports: Set::from(draw.next() | draw.next()),
            ..ask(strategy[draw.below(4) as usize])
        };
        let sieve = Sieve::new(&plan, &ask);
        let order = order(&plan, &ask, seed);
        assert_eq!(order.iter().fold(0, |m, id| m | (1 as Set) << id), sieve.fit, "seed {seed}");
        assert_eq!(order.len(), sieve.fit.count_ones() as usize, "seed {seed}");
        let class = |id: &u8| {
            let bit = (1 as Set) << id;
            let is = |set: Set| set & bit != 0;
            let behind = is(plan.gates.lagging | ask.behind);
            let tier = plan.tiers().iter().position(|tier| is(*tier)).expect("everybody is of a tier");
            (is(plan.gates.forked), is(plan.gates.misconfigured), behind, is(ask.vetoed), tier, !is(ask.local))
        };
        assert!(order.iter().map(class).is_sorted(), "seed {seed}: {order:?}");
    }
}

/// Whoever was busy is asked later; newer knowledge changes who is left, and nobody is asked twice.
#[test]
fn a_walk_can_wait_and_go_on_by_newer_knowledge() {
    let mut plan = of_priorities(&[1, 2, 3]);
    plan.gates.open = 0b111;
    let (ask, mut rng) = (ask(Strategy::Priority), Rng::new(1));
    let mut walk = Walk::new(&plan, &ask);
    let mut next = |walk: &mut Walk, plan: &ChainPlan| walk.next(plan, &mut rng).map(|slot| slot.0);
    assert_eq!(next(&mut walk, &plan), Some(0));
    walk.defer(SlotId(0));
    assert_eq!(next(&mut walk, &plan), Some(1));
    walk.exclude_channel_of(&plan, SlotId(1));
    assert_eq!(next(&mut walk, &plan), Some(2));
    walk.defer(SlotId(2));
    assert_eq!((next(&mut walk, &plan), walk.has_deferred()), (None, true));
    walk.resume();
    assert_eq!((next(&mut walk, &plan), walk.has_deferred()), (Some(0), false));
    walk.defer(SlotId(0));
    plan.gates.open = 0b001;
    walk.renew(&plan, &ask);
    assert_eq!(next(&mut walk, &plan), Some(2), "1 was asked, 0 is no longer the least bad");
    assert_eq!((next(&mut walk, &plan), walk.has_deferred()), (None, false));
}
