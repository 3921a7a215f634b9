//! Sums over nodes against the same calls in one place.

use super::*;
use crate::cluster::difference::{self, ReadDigest};
use crate::cluster::digest::{DigestTopic, NodeDigest};
use crate::observe::buckets::bucket_of;
use crate::observe::category::Category;
use proptest::prelude::*;
use std::sync::Arc;

fn card(id: &str, region: &str) -> NodeCard {
    NodeCard::new(id, region, "0.1.0", 1)
}

/// A provider's row with these latencies in its hour.
fn row(provider: &str, latencies_us: &[u64]) -> DigestRow {
    let about = DigestAbout::Provider { id: provider.into(), transport: Transport::Http };
    let mut row = DigestRow::new(Arc::new(about));
    for us in latencies_us {
        row.hour.successes += 1;
        row.hour.sum_us += us;
        row.hour.max_us = row.hour.max_us.max(*us);
        row.hour.latencies.add(bucket_of(*us), &[1u64]);
    }
    row.total.add_plain(&row.hour);
    row.minute = row.hour.clone();
    row
}

fn figures<'a>(rows: &'a [DigestRow], age_ms: u64) -> Option<NodeFigures<'a>> {
    let (age, minute) = (Duration::from_millis(age_ms), Duration::from_secs(60));
    Some(NodeFigures { age, minute, config_revision: 1, rows: rows.iter().collect() })
}

fn node<'a>(card: &'a NodeCard, figures: Option<NodeFigures<'a>>) -> KnownNode<'a> {
    KnownNode { card: Some(card), state: PeerState::Responding, is_own: false, figures }
}

proptest! {
    /// What travels as counts and is added up is as good as all samples in one place: the exact percentile's bucket.
    #[test]
    fn merged_percentiles_are_those_of_the_pooled_samples(
        nodes in prop::collection::vec(prop::collection::vec(1u64..60_000_000, 1..200), 1..6),
        quantile in 0.01f64..1.0,
    ) {
        let rows: Vec<[DigestRow; 1]> = nodes.iter().map(|samples| [row("a", samples)]).collect();
        let travelled: Vec<ReadDigest> = rows.iter().map(|rows| {
            let topic = DigestTopic::new("default", 1);
            let made = NodeDigest { chains: BTreeMap::from([(topic, vec![(0, rows[0].clone())])]), ..NodeDigest::default() };
            let mut read = ReadDigest::default();
            difference::read(&mut read, &difference::write(&[], &made, &topic)).expect("just written");
            read
        }).collect();
        let own = card("n", "r");
        let known: Vec<KnownNode> = travelled.iter().map(|digest| {
            let rows = digest.rows.values().collect();
            node(&own, Some(NodeFigures { age: Duration::ZERO, minute: Duration::from_secs(60), config_revision: 1, rows }))
        }).collect();
        let merged = merge(&known, &ClusterScope::Everybody);
        let mut pooled: Vec<u64> = nodes.concat();
        pooled.sort_unstable();
        let rank = ((quantile * pooled.len() as f64).ceil() as usize).clamp(1, pooled.len());
        let exact = pooled[rank - 1];
        let told = merged.all.hour.latencies.histogram().value_at_quantile(quantile);
        // One bucket is a sixteenth wide, and a value stands for the middle of its bucket or the end of it.
        prop_assert!(told.abs_diff(exact) <= exact / 15 + 1, "p{quantile}: {told} for {exact}");
        prop_assert_eq!(merged.all.hour.successes as usize, pooled.len());
        prop_assert_eq!(merged.all.hour.sum_us, pooled.iter().sum::<u64>());
    }
}

#[test]
fn one_id_on_two_nodes_adds_up_and_regions_are_apart() {
    let cards = [card("us-1", "us"), card("us-1", "us"), card("eu-1", "eu")];
    let rows = [[row("a", &[1_000; 3])], [row("a", &[2_000; 4])], [row("a", &[90_000; 5])]];
    let known: Vec<KnownNode> = cards.iter().zip(&rows).map(|(card, rows)| node(card, figures(rows, 10))).collect();
    let sum = |scope: ClusterScope| {
        let merged = merge(&known, &scope);
        (merged.all.hour.successes, merged.responding, merged.total)
    };
    assert_eq!(sum(ClusterScope::Everybody), (12, 3, 3));
    assert_eq!(sum(ClusterScope::Node("us-1".into())), (7, 2, 2));
    assert_eq!(sum(ClusterScope::Region("eu".into())), (5, 1, 1));
    assert_eq!(sum(ClusterScope::Region("ap".into())), (0, 0, 0));
    let merged = merge(&known, &ClusterScope::Everybody);
    let regions: Vec<(&str, usize)> = merged.by_region.iter().map(|(name, sums)| (*name, sums.nodes)).collect();
    assert_eq!(regions, [("eu", 1), ("us", 2)]);
    assert_eq!(merged.providers["a"].by_region["us"].hour.successes, 7);
    assert!((merged.all.calls_per_second - 12.0 / 60.0).abs() < 1e-9);
}

#[test]
fn coverage_counts_whose_figures_are_fresh_and_age_is_that_of_the_oldest() {
    let cards = [card("a", "r"), card("b", "r"), card("c", "r")];
    let rows = [row("p", &[1_000])];
    let known = [
        node(&cards[0], figures(&rows, 100)),
        node(&cards[1], figures(&rows, CLUSTER_DIGEST_STALE_MS)),
        node(&cards[2], None),
        KnownNode { card: None, state: PeerState::Connected, is_own: false, figures: None },
    ];
    let merged = merge(&known, &ClusterScope::Everybody);
    assert_eq!((merged.responding, merged.total, merged.is_stale()), (1, 4, true));
    assert_eq!(merged.oldest.as_millis() as u64, CLUSTER_DIGEST_STALE_MS);
    assert_eq!(merged.all.hour.successes, 2, "older figures are in it, and said to be old");
    let fresh = merge(&known[..1], &ClusterScope::Everybody);
    assert!(!fresh.is_stale() && fresh.nodes.len() == 1);
}

#[test]
fn health_is_counted_and_the_worst_is_told() {
    let mut rows = [row("p", &[]), row("p", &[])];
    rows[0].health = DigestHealth { status: 1, circuit: 1, height: 10, lag_blocks: 0 };
    rows[1].health = DigestHealth { status: 8, circuit: 3, height: 7, lag_blocks: 3 };
    rows[1].total.set_category(Category::Timeout, 4);
    let cards = [card("a", "r"), card("b", "s")];
    let known = [node(&cards[0], figures(&rows[..1], 0)), node(&cards[1], figures(&rows[1..], 0))];
    let merged = merge(&known, &ClusterScope::Everybody);
    let health = merged.providers["p"].all.health;
    assert_eq!((health.circuits, health.worst, health.height, health.lag_blocks), ([1, 0, 1], 8, 10, 3));
    assert_eq!(merged.providers["p"].by_region["r"].health.circuits, [1, 0, 0]);
    assert_eq!(calls(&merged.all.total), 4);
}
