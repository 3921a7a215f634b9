//! The lines of a record, as they are written and read.
//!
//! One JSON object a line, so that any tool reads a record and a cut file is lost from its last line only. A call's line has
//! `method` and, where they were asked for, `params` at its top, which is what a file of methods for `lasso bench --methods`
//! has. Names stand in each line instead of numbers of a table: a line means the same wherever it is pasted. No URL and no
//! key is in any line: providers are called by their ids. Times are microseconds since the header before them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The only schema so far. A reader refuses others, because it could not know what they leave out.
pub const SCHEMA: u32 = 1;

/// The first line of a record, and of each run of a node that went on with its file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RecordHeader {
    /// `SCHEMA`. Its presence makes a line a header.
    pub lasso_record: u32,
    /// The program's version.
    pub version: String,
    /// RFC 3339, and the same in milliseconds since 1970.
    pub began: String,
    pub began_ms: u64,
    /// The share of all calls that is recorded, from 0 to 1.
    pub share: f64,
    /// Parameters of calls were recorded too.
    pub params: bool,
    pub rules: RecordRules,
    pub chains: Vec<RecordChain>,
}

/// What the node was told about choosing.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct RecordRules {
    pub breaker_failures: u32,
    pub breaker_successes: u32,
    pub breaker_recovery_ms: u64,
    pub latency_exponent: f32,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RecordChain {
    pub profile: String,
    pub chain: String,
    pub chain_id: u64,
    /// The strategy of calls whose path names none.
    pub strategy: String,
    pub archival_threshold: u64,
    pub providers: Vec<RecordProvider>,
    /// Methods that only some providers may be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<RecordOverride>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RecordProvider {
    pub id: String,
    pub priority: u32,
    pub http: bool,
    pub ws: bool,
    /// Two providers with the same number are one upstream.
    pub upstream: u16,
    pub archival: bool,
    /// It is of the node's region, or of none.
    pub local: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsupported_categories: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsupported_methods: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_block_range: Option<u64>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RecordOverride {
    pub method: String,
    pub providers: Vec<String>,
}

/// A client's call. What is false, none or empty is left out.
#[derive(Debug, Serialize, Deserialize)]
pub struct CallLine {
    /// When the request was whole.
    pub at_us: u64,
    pub profile: String,
    pub chain: String,
    pub method: String,
    /// The client's: `http` or `ws`.
    pub transport: String,
    pub strategy: String,
    /// `result`, `error`, `refused`, `truncated` or `client_gone`.
    pub end: String,
    /// Until the reply was there, attempts and waiting together.
    pub took_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub failover: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<u64>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_hash: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub archival: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub bulk: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub bound: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Box<RawValue>>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AttemptLine {
    pub provider: String,
    pub over: String,
    pub us: u64,
    /// `ok`, `absent`, the category of what went wrong, or what says nothing of the provider (`stale`, `client_gone`).
    pub outcome: String,
    /// An error that was the call's own: it was the answer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub answer: bool,
}

/// One of the node's own probes, `eth_chainId`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ProbeLine {
    pub at_us: u64,
    /// The provider by every name that it has: profile, chain, id.
    pub probe: [String; 3],
    pub over: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub us: Option<u64>,
    pub outcome: String,
    /// It lagged, or was on another fork or chain.
    #[serde(default, skip_serializing_if = "is_false")]
    pub behind: bool,
}

/// Calls that were sampled and found no room since the line of this kind before, or why nothing follows.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct NoteLine {
    pub at_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

pub const OK: &str = "ok";
pub const ABSENT: &str = "absent";

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}
