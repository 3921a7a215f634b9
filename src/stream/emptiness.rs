//! How far an empty list is believed that is said to be all there is in blocks that were announced a moment ago.
//!
//! Whoever announced a block over a WebSocket may answer over HTTP from another machine, which has not got it yet and says `[]`
//! where it should say that it does not know. The announced header tells: a bloom that excludes the filter proves that there is
//! nothing, and one with a bit in it that somebody who asks for everything gets something. Between the two the list may be true,
//! and busy chains fill their blooms, so one more word is asked for and no more. Rejected: doubting every empty list as `null` is
//! doubted (most log filters match nothing in most blocks: each such call would cost a second round and a pause).
//! How it fails: two machines that both lack a block are believed where the bloom leaves it open.

use super::filter::{BloomTest, LogFilter};
use crate::base::ids::MethodId;
use crate::base::limits;
use crate::base::time::Instant;
use crate::chain::bloom::has_bits;
use crate::chain::method::{self, Locator, Shape};
use crate::chain::params::{self, BlockAsk, Edge};
use crate::health::sightings::{Sighting, Sightings};
use serde_json::Value;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doubt {
    /// There is something: as good as `null`.
    Denied,
    /// There may be nothing.
    Unproven,
}

/// What is against an empty list in answer to this call, given by who is not known to have the blocks.
pub fn doubt(seen: &Sightings, (method, params): (MethodId, &[u8]), now: Instant) -> Option<Doubt> {
    let info = method::info(method);
    let is_of_logs = match (info.locator, info.shape) {
        (Locator::Logs, _) => true,
        // Receipts and traces: what a block with transactions has.
        (Locator::Block(_) | Locator::State(_), Shape::Nullable) => false,
        _ => return None,
    };
    let (heads, is_whole) = announced(seen, (method, params), now)?;
    let blooms = || heads.iter().map(|head| (head.height, seen.bloom(head)));
    let has_something = !heads.is_empty() && blooms().all(|(_, bloom)| bloom.is_some_and(has_bits));
    let open = Some(if has_something { Doubt::Denied } else { Doubt::Unproven });
    if !is_of_logs {
        return open;
    }
    let Some(test) = log_filter(params).map(|filter| BloomTest::new(&filter)) else { return Some(Doubt::Unproven) };
    if is_whole && blooms().all(|(height, bloom)| bloom.is_some() && test.excludes(height, bloom)) {
        return None;
    }
    if test.takes_all() { open } else { Some(Doubt::Unproven) }
}

/// What was announced of the blocks that a call asks for, and whether that is each block of them that was told of.
fn announced<'a>(seen: &'a Sightings, (method, params): (MethodId, &[u8]), now: Instant) -> Option<(Vec<&'a Sighting>, bool)> {
    let needs = params::needs(method, params);
    if let Some(hash) = needs.hash() {
        let head = seen.find(&hash);
        return Some((head.into_iter().collect(), head.is_some()));
    }
    let (lowest, highest) = seen.promised(now)?;
    let (from, to) = match (needs.range, needs.block) {
        (Some(range), _) => (edge(range.from, highest), edge(range.to, highest)),
        (None, BlockAsk::Number(height)) => (height, height),
        (None, _) => return None,
    };
    let (from, to) = (from.max(lowest), to.min(highest));
    let heads: Vec<_> = seen.within(from..=to).collect();
    let is_whole = (from..=to).take(limits::TOLD_HEIGHTS + 1).all(|height| heads.iter().any(|head| head.height == height));
    Some((heads, is_whole))
}

fn edge(edge: Edge, highest: u64) -> u64 {
    match edge {
        Edge::Absent | Edge::Latest => highest,
        Edge::Earliest => 0,
        Edge::Number(height) => height,
    }
}

/// Which logs are asked for, wherever they stand.
fn log_filter(params: &[u8]) -> Option<LogFilter> {
    let mut params: Value = serde_json::from_slice(params).ok()?;
    let filter = match &mut params {
        Value::Array(list) => list.first_mut()?,
        object => object,
    };
    let members = filter.as_object_mut()?;
    ["blockHash", "fromBlock", "toBlock"].into_iter().for_each(|place| drop(members.remove(place)));
    LogFilter::parse(filter).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ChannelId;
    use crate::health::sightings::SeenHead;
    use crate::stream::filter::bloom_add;
    use std::sync::Arc;

    const HAS: [u8; 20] = [1; 20];
    const WS: ChannelId = ChannelId(1);

    fn head(height: u64, bloom: Option<&[&[u8]]>) -> SeenHead {
        let bloom = bloom.map(|items| {
            let mut bloom = [0; 256];
            items.iter().for_each(|item| bloom_add(&mut bloom, item));
            Arc::new(bloom)
        });
        SeenHead { hash: [height as u8; 32], height, bloom }
    }

    fn doubted(seen: &Sightings, method: &str, params: &str) -> Option<Doubt> {
        doubt(seen, (method::lookup(method.as_bytes()), params.as_bytes()), Instant::ZERO.plus_ms(100))
    }

    /// Blocks 5 (with logs of one address), 6 (without) and 7 (nothing is known of its logs).
    fn seen() -> Sightings {
        let mut seen = Sightings::default();
        seen.on_head(WS, head(5, Some(&[&HAS])), Instant::ZERO);
        seen.on_head(WS, head(6, Some(&[])), Instant::ZERO);
        seen.on_head(WS, head(7, None), Instant::ZERO);
        seen
    }

    #[test]
    fn the_bloom_decides_what_an_empty_list_is_worth() {
        let seen = seen();
        let (has, other) = (format!("\"0x{}\"", "01".repeat(20)), format!("\"0x{}\"", "77".repeat(20)));
        let (denied, unproven) = (Some(Doubt::Denied), Some(Doubt::Unproven));
        let check = |place: &str, by_address: [Option<Doubt>; 3]| {
            let of = |more: String| doubted(&seen, "eth_getLogs", &format!("[{{{place}{more}}}]"));
            let found = [of(String::new()), of(format!(",\"address\":{has}")), of(format!(",\"address\":{other}"))];
            assert_eq!(found, by_address, "{place}");
        };
        let hash = |n: u8| format!("\"blockHash\":\"0x{}\"", format!("{n:02x}").repeat(32));
        check(&hash(5), [denied, unproven, None]);
        check(&hash(6), [None; 3]);
        check(&hash(7), [unproven; 3]);
        check(r#""fromBlock":"0x5","toBlock":"0x5""#, [denied, unproven, None]);
        check(r#""fromBlock":"0x1","toBlock":"0x6""#, [unproven, unproven, None]);
        check(r#""fromBlock":"0x6","toBlock":"latest""#, [unproven; 3]);
        check(r#""fromBlock":"0x6","toBlock":"0x6""#, [None; 3]);
    }

    #[test]
    fn receipts_and_traces_of_a_block_with_logs_are_some() {
        let seen = seen();
        for method in ["eth_getBlockReceipts", "trace_block"] {
            let of = |block: &str| doubted(&seen, method, &format!("[\"{block}\"]"));
            assert_eq!(
                [of("0x5"), of("0x6"), of("0x7")],
                [Some(Doubt::Denied), Some(Doubt::Unproven), Some(Doubt::Unproven)],
                "{method}: a block without logs may have transactions"
            );
        }
        assert_eq!(doubted(&seen, "eth_simulateV1", r#"[{},"0x5"]"#), None, "nothing of a block's own");
        assert_eq!(doubted(&seen, "eth_getBlockReceipts", r#"["latest"]"#), None);
    }

    /// Chains that fill no blooms in send zeros.
    #[test]
    fn zeros_rule_nothing_out_until_a_bloom_has_a_bit() {
        let mut seen = Sightings::default();
        seen.on_head(WS, head(6, Some(&[])), Instant::ZERO);
        let of_block = || r#"[{"fromBlock":"0x6","toBlock":"0x6"}]"#;
        assert_eq!(doubted(&seen, "eth_getLogs", of_block()), Some(Doubt::Unproven));
        seen.on_head(WS, head(7, Some(&[&HAS])), Instant::ZERO);
        assert_eq!(doubted(&seen, "eth_getLogs", of_block()), None);
    }

    /// Two heads of one height: both must rule it out.
    #[test]
    fn every_branch_is_heard() {
        let mut seen = seen();
        seen.on_head(WS, SeenHead { hash: [0x65; 32], ..head(5, Some(&[])) }, Instant::ZERO);
        let of = |more: &str| doubted(&seen, "eth_getLogs", &format!(r#"[{{"fromBlock":"0x5","toBlock":"0x5"{more}}}]"#));
        assert_eq!(of(""), Some(Doubt::Unproven));
        assert_eq!(of(&format!(",\"address\":\"0x{}\"", "77".repeat(20))), None);
    }
}
