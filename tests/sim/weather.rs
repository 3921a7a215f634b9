//! Swarm testing: each seed has its own small set of faults and its own extremes. With every fault on at once, most never
//! get the chance to meet the state they would break; drawn apart, each combination comes up sooner or later.

use crate::world::{Link, Stalls};
use lasso::base::rng::Rng;

/// A link of this seed.
pub fn link(draw: &mut Rng) -> Link {
    let mut link = Link::PLAIN;
    link.latency_us = pick(draw, &[10, 100, 500, 5_000, 60_000]);
    if coin(draw) {
        link.jitter_us = pick(draw, &[50, link.latency_us, 3 * link.latency_us, 40_000]);
    }
    if one_in(draw, 3) {
        link.bandwidth = pick(draw, &[64 << 10, 1 << 20, 20 << 20]);
    }
    link.window = pick(draw, &[4 << 10, 16 << 10, 128 << 10, 1 << 20]) as usize;
    if coin(draw) {
        link.partial_ppm = pick(draw, &[10_000, 300_000, 1_000_000]);
    }
    if one_in(draw, 3) {
        link.reset_ppm = pick(draw, &[100, 2_000, 30_000]);
    }
    link
}

/// Whether and how the whole machine is held up, up to `until` (ns).
pub fn stalls(draw: &mut Rng, until: u64) -> Stalls {
    if !one_in(draw, 4) {
        return Stalls::default();
    }
    Stalls { ppm: pick(draw, &[100, 2_000]), longest: pick(draw, &[2, 50, 400]) * 1_000_000, until }
}

pub fn coin(draw: &mut Rng) -> bool {
    draw.chance(500_000)
}

pub fn one_in(draw: &mut Rng, n: u64) -> bool {
    draw.below(n) == 0
}

pub fn pick(draw: &mut Rng, choices: &[u64]) -> u64 {
    choices[draw.below(choices.len() as u64) as usize]
}
