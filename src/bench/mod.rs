//! Providers compared: what is asked of them, what follows from what they answer. All of it pure: `control::bench` asks the
//! questions that are planned here over a shard's own connections and brings back what came, and every decision, limit and
//! figure is made here, so that tests hold them against providers whose truth is known.
//!
//! Reading order: `findings` (what comes out), `mix` and `plan` (what is sent at most), `schedule` (when), `sample`,
//! `statistics` and `ranking` (what latencies say), `agreement`, `depth`, `range`, `ramp`, `freshness` (everything else).

pub mod agreement;
pub mod conduct;
pub mod depth;
pub mod findings;
pub mod freshness;
pub mod methods;
pub mod mix;
pub mod plan;
pub mod ramp;
pub mod range;
pub mod ranking;
pub mod record;
pub mod report;
pub mod sample;
pub mod schedule;
pub mod statistics;
