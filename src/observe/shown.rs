//! Counts as people are shown them, in the names that clients read: one form for a node's own figures and for those of many.
//! Figures are milliseconds with microseconds behind the point; what is not known is null or left out, never invented.

use crate::observe::figures::Counts;
use serde_json::{Map, Value, json};

/// How a provider's transport may be, best first.
pub const STATUS_WORDS: [&str; 9] =
    ["healthy", "unsteady", "lagging", "rate_limited", "unknown", "misconfigured", "recovering", "circuit_open", "wrong_chain"];

/// Milliseconds with three digits behind the point.
pub fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

/// Rounded for people.
pub fn rounded(x: f64) -> f64 {
    (x * 10_000.0).round() / 10_000.0
}

/// The latencies of successes by bucket: what they are below, in milliseconds, and how many there are.
pub fn histogram(counts: &Counts, is_wanted: bool) -> Option<(String, Value)> {
    let pairs = || counts.latencies.buckets().map(|(below_us, count)| json!([ms(below_us), count])).collect();
    is_wanted.then(|| ("latency_histogram".to_owned(), Value::Array(pairs())))
}

/// Attempts of one window and how they ended.
pub fn window(counts: &Counts) -> Map<String, Value> {
    let mut out = latencies(counts);
    out.insert("total_calls".to_owned(), json!(counts.attempts()));
    out.insert("success_rate".to_owned(), json!(rounded(counts.success_rate())));
    out
}

/// Names of percentiles; two have a shorter one that existing clients read.
pub const PERCENTILES: [(&str, &str, f64); 4] = [
    ("p50_latency_ms", "p50_latency", 0.5),
    ("p90_latency_ms", "", 0.9),
    ("p95_latency_ms", "p95_latency", 0.95),
    ("p99_latency_ms", "", 0.99),
];

/// What successes took; null where there was none.
pub fn latencies(counts: &Counts) -> Map<String, Value> {
    let histogram = counts.latencies.histogram();
    let known = |us: u64| if counts.successes == 0 { Value::Null } else { json!(ms(us)) };
    let mut out = Map::from_iter([("avg_latency_ms".to_owned(), known(counts.mean_us()))]);
    for (name, short, quantile) in PERCENTILES {
        let value = known(histogram.value_at_quantile(quantile).min(counts.max_us));
        if !short.is_empty() {
            out.insert(short.to_owned(), value.clone());
        }
        out.insert(name.to_owned(), value);
    }
    out.insert("max_latency_ms".to_owned(), known(counts.max_us));
    out
}
