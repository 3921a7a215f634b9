//! What a run of `lasso bench` found: one value, from which every output is made (table, sentences, JSON, CSV, HTML,
//! suggestion, comparison with an earlier run). Whoever measures fills it, whoever prints only reads it, so no output can
//! say what another one does not. An interrupted run is the same value with fewer calls in it.
//!
//! No URL is in here: a provider is known by its name and its host, because a URL may hold a key.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The number of the shape below; raised when a reader of an older file would misread a newer one.
pub const SCHEMA: u32 = 1;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Findings {
    pub schema: u32,
    pub run: Run,
    /// In the order in which they were given.
    pub providers: Vec<Provider>,
    /// One for each provider, transport and method that was asked, in the order of providers, then methods.
    pub cells: Vec<Cell>,
    /// One for each method and transport over which two providers or more were measured.
    pub comparisons: Vec<Comparison>,
    /// How often providers gave different results to one question at one block.
    pub disagreements: Vec<Disagreement>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Run {
    pub lasso: String,
    /// Unix time in seconds.
    pub began_at_s: u64,
    pub chain_number: u64,
    /// The mix's word, or the file's name without its folder.
    pub mix: String,
    /// What each provider and transport is sent.
    pub calls_per_second: f64,
    pub planned_seconds: f64,
    pub measured_seconds: f64,
    /// What the whole run may send, everything that is not a measured call (chain, depth, limits) included.
    pub planned_calls: u64,
    pub sent_calls: u64,
    /// Somebody ended it before its time.
    pub is_interrupted: bool,
    /// What mixes, order and resampling were drawn from.
    pub seed: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Provider {
    pub name: String,
    /// The host of its HTTP URL, else of its WebSocket URL.
    pub host: String,
    pub has_http: bool,
    pub has_ws: bool,
    pub state: ProviderState,
    /// `web3_clientVersion`, where it says one.
    pub client_version: Option<String>,
    pub freshness: Option<Freshness>,
    pub depth: Option<Depth>,
    /// The most blocks that one `eth_getLogs` may span.
    pub log_range: Option<LogRange>,
    pub rate_limit: Option<RateLimit>,
    /// Methods that it does not have (or not in this plan), by name.
    pub missing_methods: Vec<String>,
    /// Price of a million calls in the unit that was given with `--price`.
    pub price_per_million: Option<f64>,
}

/// Whether a provider could be measured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ProviderState {
    Measured,
    /// No answer to the first question over any transport.
    Dead {
        reason: String,
    },
    /// It serves another chain than the others, or than was asked for. It was asked nothing more.
    WrongChain {
        chain_number: u64,
    },
    /// It refused our credentials. It was asked nothing more.
    Refused {
        reason: String,
    },
    /// It answered, then stopped answering with anything but refusals, and was asked nothing more.
    Banned {
        after_calls: u64,
    },
}

/// A figure and the interval in which the true one lies in 95 of 100 runs. Milliseconds, or a share from 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// One method of one provider over one transport.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// A place in [`Findings::providers`].
    pub provider: usize,
    /// `http` or `ws`.
    pub transport: String,
    pub method: String,
    /// Calls that ended, by an answer or a failure.
    pub calls: u64,
    /// An answer that is the call's own (a revert is one).
    pub successes: u64,
    pub success: Estimate,
    /// How many of each category; a timeout is `timeout`.
    pub errors: BTreeMap<String, u64>,
    /// From the time at which the call was due, not from when it was sent. Calls that timed out count with the time that they
    /// were given; other failures do not count. None where too few calls were answered to say one.
    pub p50_ms: Option<Estimate>,
    pub p90_ms: Option<Estimate>,
    pub p95_ms: Option<Estimate>,
    pub p99_ms: Option<Estimate>,
    pub p999_ms: Option<Estimate>,
    /// The first call on a new connection (name, connect, TLS and the call), median.
    pub cold_ms: Option<Estimate>,
    /// The distribution for charts: upper edges in milliseconds with how many calls lie at or below, rising.
    pub distribution: Vec<(f64, u64)>,
}

/// Who is best at one method over one transport.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Comparison {
    pub transport: String,
    pub method: String,
    /// Best first. Providers of one group are a tie: the data does not support a difference between them.
    pub groups: Vec<Vec<usize>>,
    /// By how much each provider's median (timeouts counted) differs from the best one's, with its interval.
    pub behind_best_ms: Vec<(usize, Estimate)>,
}

/// Who announces a block first, and how far behind the first the others are.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Freshness {
    /// Blocks that it announced, or showed when it was asked.
    pub blocks: u64,
    /// Blocks that nobody had before it.
    pub first: u64,
    /// Median of how long after the first it had them.
    pub behind_ms: Estimate,
    /// By `newHeads`; otherwise by asking, as exact as [`Freshness::asked_every_ms`].
    pub is_pushed: bool,
    pub asked_every_ms: Option<u64>,
}

/// How far back states can be read.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Depth {
    /// From the first block on.
    Archive,
    /// The oldest block whose state it gave, this many below the head.
    Blocks { blocks: u64 },
    /// It could not be found out.
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct LogRange {
    /// The widest range that it answered.
    pub answered_blocks: u64,
    /// The narrowest that it refused for its width; none if it refused none that was tried.
    pub refused_blocks: Option<u64>,
}

/// What the ramp found; only with `--ramp`.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct RateLimit {
    /// The highest rate at which it refused nothing.
    pub served_per_second: f64,
    /// The rate at which it began to refuse; none if it never did.
    pub refused_per_second: Option<f64>,
}

/// One question at one block that was not answered alike.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Disagreement {
    pub method: String,
    /// The call's parameters as canonical JSON.
    pub params: String,
    pub block_number: u64,
    /// Providers by what they answered, most first. A tie for the first place means that nobody can say who is right.
    pub camps: Vec<Camp>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Camp {
    pub providers: Vec<usize>,
    /// The canonical result, shortened to what a person can compare.
    pub answer: String,
}
