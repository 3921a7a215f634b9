//! What parameters decide of the choice (docs/behaviour/choosing.md#capabilities), as tables.

use super::*;
use crate::base::ids::{InstanceId, Transport};
use crate::chain::method;
use crate::config::topology::Strategy;
use crate::health::sightings::SeenHead;
use crate::route::select::Sieve;
use crate::snapshot::{Height, LearntLimits, test_plan};
use std::sync::Arc;

const HEAD: u64 = 1_000_000;

/// Three providers: one as usual, one with the bounds under test, one that is no archive.
fn plan(bounds: &str) -> ChainPlan {
    let capabilities = format!(", capabilities: {{limits: {{{bounds}}}}}");
    let mut plan = test_plan::plan(&[(0, ""), (0, &capabilities), (0, ", archival: false")]);
    plan.consensus = Some(HEAD);
    plan
}

fn fit(plan: &ChainPlan, method: &str, params: &str) -> Fit {
    Fit::of(plan, method::lookup(method.as_bytes()), method.as_bytes(), params.as_bytes())
}

fn logs(from: &str, to: &str) -> String {
    format!(r#"[{{"fromBlock":{from},"toBlock":{to}}}]"#)
}

#[test]
fn max_block_range() {
    let plan = plan("max_block_range: 100");
    let check = |what: &str, params: &str, rejected: bool| {
        let found = fit(&plan, "eth_getLogs", params);
        assert_eq!(found.unfit, if rejected { 0b010 } else { 0 }, "{what}: {params}");
    };
    let near = |back: u64| format!("\"{:#x}\"", HEAD - back);
    check("as wide as allowed", &logs(&near(150), &near(50)), false);
    check("one more", &logs(&near(151), &near(50)), true);
    check("backwards is as wide", &logs(&near(50), &near(151)), true);
    check("latest is the consensus height", &logs(&near(101), "\"latest\""), true);
    check("latest to latest", &logs("\"latest\"", "\"latest\""), false);
    check("one edge only", &format!(r#"[{{"fromBlock":{}}}]"#, near(5000)), false);
    check("by block hash", r#"[{"blockHash":"0x00000000000000000000000000000000000000000000000000000000000000aa"}]"#, false);
    check("no filter at all", "[]", false);
    assert_eq!(fit(&plan, "eth_call", &logs(&near(900), &near(50))).unfit, 0, "it bounds eth_getLogs only");
    let mut unknown = plan.clone();
    unknown.consensus = None;
    assert_eq!(fit(&unknown, "eth_getLogs", &logs(&near(900), "\"latest\"")).unfit, 0, "unknown consensus passes");
}

#[test]
fn max_block_age() {
    let plan = plan("max_block_age: 64, block_age_methods: [eth_call, eth_getBalance]");
    let check = |method: &str, block: &str, rejected: bool| {
        let found = fit(&plan, method, &format!("[\"0x00\",{block}]"));
        assert_eq!(found.unfit, if rejected { 0b010 } else { 0 }, "{method} {block}");
    };
    let near = |back: u64| format!("\"{:#x}\"", HEAD - back);
    check("eth_call", &near(64), false);
    check("eth_call", &near(65), true);
    check("eth_getBalance", &near(65), true);
    check("eth_getCode", &near(65), false);
    check("eth_call", "\"latest\"", false);
    check("eth_call", "\"pending\"", false);
    check("eth_call", "\"earliest\"", true);
}

/// Old state goes to archives first, and to the others when they are all that is left.
#[test]
fn archival() {
    let plan = plan("");
    let check = |method: &str, params: &str, consensus: Option<u64>, want: bool| {
        let mut plan = plan.clone();
        plan.consensus = consensus;
        let found = fit(&plan, method, params);
        let mut ask = Ask::new(Strategy::Priority, method::lookup(method.as_bytes()));
        found.apply_to(&mut ask);
        assert_eq!(Sieve::new(&plan, &ask).fit, 0b111, "nobody is left out");
        assert_eq!(found.archival, want, "{method} {params} {consensus:?}");
    };
    let old = format!("[\"0x00\",\"{:#x}\"]", HEAD - 129);
    check("eth_getBalance", &old, Some(HEAD), true);
    check("eth_getBalance", &format!("[\"0x00\",\"{:#x}\"]", HEAD - 128), Some(HEAD), false);
    check("eth_getBalance", &old, None, false);
    check("eth_getBlockByNumber", r#"["earliest",false]"#, Some(HEAD), false);
    check("eth_getLogs", &logs("\"0x1\"", "\"0x2\""), Some(HEAD), false);
    check("eth_getBalance", r#"["0x00","latest"]"#, None, false);
    check("eth_getBalance", r#"["0x00","earliest"]"#, Some(HEAD), true);
    check("eth_getBlockByHash", &old, Some(HEAD), false);
    check("debug_traceTransaction", &old, Some(HEAD), false);
}

/// A provider below the block asked for is asked after the others (docs/behaviour/choosing.md#blocks-asked-for).
#[test]
fn a_block_above_a_providers_head_goes_to_others_first() {
    let mut plan = plan("");
    let heights = [HEAD, HEAD - 5, 0];
    plan.heights = heights.map(|reported| Height { reported, optimistic: HEAD + 9, lag: 0 }).into_iter().collect();
    let check = |block: u64, want: Set| {
        let found = fit(&plan, "eth_getBlockByNumber", &format!("[\"{block:#x}\",false]"));
        assert_eq!(found.behind, want, "{block}");
    };
    check(HEAD - 5, 0);
    check(HEAD - 4, 0b010);
    check(HEAD, 0b010);
    // Whose height is unknown is not held back.
    check(HEAD + 1, 0b011);
}

/// What a feed announced counts at once, and a hash is known by its announcers.
#[test]
fn what_was_announced_since_decides_who_has_a_block() {
    let mut plan = plan("");
    plan.heights = [HEAD, HEAD, HEAD - 5].map(|reported| Height { reported, optimistic: reported, lag: 0 }).into_iter().collect();
    let (now, hash) = (Instant::ZERO, [7; 32]);
    let mut seen = Sightings::default();
    let door = |slot: u8| plan.fixed.channels[SlotId(slot)];
    seen.on_head(door(1), SeenHead { hash, height: HEAD + 1, bloom: None }, now);
    let check = |seen: &Sightings, method: &str, params: &str, behind: Set, lacking: [bool; 3]| {
        let mut found = fit(&plan, method, params);
        found.see(&plan, seen, now);
        let lacks = [0, 1, 2].map(|slot| found.lacks(&plan, SlotId(slot)));
        assert_eq!(found.witnesses & behind, 0, "{method} {params}");
        assert_eq!((found.behind, lacks), (behind, lacking), "{method} {params}");
    };
    let next = format!("\"{:#x}\"", HEAD + 1);
    let hex: String = "07".repeat(32);
    check(&seen, "eth_getBlockByNumber", &format!("[{next},false]"), 0b101, [true, false, true]);
    check(&seen, "eth_getLogs", &logs(&next, &next), 0b101, [true, false, true]);
    check(&seen, "eth_getBlockByHash", &format!("[\"0x{hex}\",false]"), 0b101, [true, false, true]);
    check(&seen, "eth_getLogs", &format!("[{{\"blockHash\":\"0x{hex}\"}}]"), 0b101, [true, false, true]);
    check(&seen, "eth_call", &format!("[{{}},{{\"blockHash\":\"0x{hex}\"}}]"), 0b101, [true, false, true]);
    check(&seen, "eth_getBlockByHash", &format!("[\"0x{}\",false]", "08".repeat(32)), 0, [false; 3]);
    check(&seen, "eth_getTransactionReceipt", &format!("[\"0x{hex}\"]"), 0, [false; 3]);
    // Whoever has come as high has it too.
    seen.on_served(door(0), HEAD + 1, now);
    check(&seen, "eth_getBlockByHash", &format!("[\"0x{hex}\",false]"), 0b100, [false, false, true]);
    // What nobody is known to have may be anybody's.
    let far = format!("\"{:#x}\"", HEAD + 9);
    check(&seen, "eth_getLogs", &logs(&far, &far), 0b111, [false; 3]);
}

/// What was turned down once is not asked again of the same provider (docs/behaviour/health.md#lessons).
#[test]
fn learnt_limits_act_like_configured_ones() {
    let mut plan = plan("");
    plan.learnt[SlotId(0)] = LearntLimits { rejected_range: 500, rejected_depth: 1000 };
    plan.has_learnt = true;
    let near = |back: u64| format!("\"{:#x}\"", HEAD - back);
    let check = |method: &str, params: &str, want: Set| assert_eq!(fit(&plan, method, params).unfit, want, "{method} {params}");
    check("eth_getLogs", &logs(&near(600), &near(101)), 0);
    check("eth_getLogs", &logs(&near(600), &near(100)), 0b001);
    check("eth_getBalance", &format!("[\"0x00\",{}]", near(999)), 0);
    check("eth_getBalance", &format!("[\"0x00\",{}]", near(1000)), 0b001);
}

/// Every provider would reject: then the limits are not believed (docs/behaviour/choosing.md#capabilities).
#[test]
fn when_all_would_reject_all_are_asked() {
    let mut plan = plan("");
    let ask = Ask { unfit: 0b111, ..Ask::new(Strategy::Priority, method::UNKNOWN) };
    assert_eq!(Sieve::new(&plan, &ask).fit, 0b111);
    plan.gates.open = 0b001;
    assert_eq!(Sieve::new(&plan, &ask).fit, 0b110);
}

/// The door over which a block was announced has it; the provider's other door may be another machine.
#[test]
fn a_word_over_one_door_proves_nothing_of_the_other() {
    let mut plan = test_plan::of_priorities(&[0, 0]);
    // Both channels of one provider.
    let doors = [Transport::Http, Transport::Ws].map(|transport| ChannelId::of(InstanceId(0), transport));
    Arc::make_mut(&mut plan.fixed).channels = doors.into_iter().collect();
    plan.heights = [HEAD; 2].map(|reported| Height { reported, optimistic: reported, lag: 0 }).into_iter().collect();
    let (now, hash) = (Instant::ZERO, [7; 32]);
    let mut seen = Sightings::default();
    seen.on_head(doors[1], SeenHead { hash, height: HEAD + 1, bloom: None }, now);
    let hex: String = "07".repeat(32);
    let by_number = |height: u64| ("eth_getBlockByNumber", format!("[\"{height:#x}\",false]"));
    for (method, params) in [by_number(HEAD + 1), ("eth_getBlockByHash", format!("[\"0x{hex}\",false]"))] {
        let mut found = fit(&plan, method, &params);
        found.see(&plan, &seen, now);
        assert_eq!((found.behind, found.witnesses), (0, 0b10), "{method}");
    }
    seen.on_served(doors[0], HEAD + 2, now);
    let (method, params) = by_number(HEAD + 1);
    let mut found = fit(&plan, method, &params);
    found.see(&plan, &seen, now);
    assert_eq!(found.witnesses, 0b11);
}
