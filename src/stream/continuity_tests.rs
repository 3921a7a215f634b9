//! Heads and logs on the model's stories, the bugs its checkers must find, and the ends of what can be made good.

use super::*;
use crate::stream::model::{Noise, Story};

const ALL: Noise = Noise {
    loss: 150_000,
    repeats: 150_000,
    disorder: 150_000,
    reorgs: 250_000,
    private_forks: 200_000,
    switches: 150_000,
    fetch_failures: 200_000,
    orphans_pruned: false,
};

fn stories(seeds: std::ops::Range<u64>, noise: Noise) {
    let failures: Vec<String> = seeds.filter_map(|seed| Story::run(seed, noise, None).err()).take(3).collect();
    assert!(failures.is_empty(), "{noise:?}\n{}", failures.join("\n"));
}

#[test]
fn no_story_makes_a_hole_or_a_repeat() {
    stories(0..2_000, ALL);
    stories(0..1_000, Noise { fetch_failures: 0, ..ALL });
    stories(0..1_000, Noise { orphans_pruned: true, ..ALL });
}

#[test]
fn each_trouble_alone_is_made_good() {
    let check = |noise| stories(0..300, noise);
    check(Noise::default());
    check(Noise { loss: 400_000, ..Noise::default() });
    check(Noise { repeats: 500_000, ..Noise::default() });
    check(Noise { disorder: 500_000, ..Noise::default() });
    check(Noise { reorgs: 500_000, ..Noise::default() });
    check(Noise { switches: 400_000, ..Noise::default() });
    check(Noise { switches: 300_000, private_forks: 500_000, ..Noise::default() });
    check(Noise { loss: 200_000, fetch_failures: 400_000, ..Noise::default() });
}

#[test]
fn deliberate_bugs_are_found() {
    for bug in [Bug::GapOffByOne, Bug::DuplicateAfterOverlap, Bug::RemovedDropped] {
        let found = (0..1_000).find(|seed| Story::run(*seed, ALL, Some(bug)).is_err());
        assert!(found.is_some(), "{bug:?} passes a thousand stories");
    }
}
