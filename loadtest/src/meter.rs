//! Counts and latencies of the measured part, and the report.

use crate::load_args::Load;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest latency told apart: 100 s.
const MAX_NS: u64 = 100_000_000_000;

/// A tenth of a second of the measured part, by when calls ended.
#[derive(Clone, Copy, Default)]
struct Tenth {
    good: u64,
    failed: u64,
    worst_ns: u64,
}

/// Kinds of errors that are told apart; what is new beyond counts as the last one.
const MAX_KINDS: usize = 12;
/// Tenths that are kept: an hour.
const MAX_TENTHS: usize = 36_000;

pub struct Meter {
    /// Of good answers of the measured part, and of the waiting of what was never sent.
    latency: Histogram<u64>,
    pub calls: u64,
    pub errors: u64,
    /// Open loop: calls that were due, and for which no connection was free before the end.
    pub unsent: u64,
    pub reconnects: u64,
    pub first_error: Option<String>,
    /// All good answers, those of the warm-up among them.
    pub answered: u64,
    kinds: BTreeMap<String, u64>,
    tenths: Vec<Tenth>,
}

impl Meter {
    pub fn new() -> Result<Meter, String> {
        let latency = Histogram::new_with_bounds(1, MAX_NS, 3).map_err(|e| e.to_string())?;
        Ok(Meter {
            latency,
            calls: 0,
            errors: 0,
            unsent: 0,
            reconnects: 0,
            first_error: None,
            answered: 0,
            kinds: BTreeMap::new(),
            tenths: Vec::new(),
        })
    }

    /// A request of so many calls that was answered.
    pub fn answered(&mut self, latency: Duration, calls: u64) {
        self.calls += calls;
        self.latency.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How a request ended so long after the measured part's begin.
    pub fn told(&mut self, at: Duration, latency: Duration, is_good: bool) {
        let place = (at.as_millis() / 100) as usize;
        if place >= MAX_TENTHS {
            return;
        }
        if self.tenths.len() <= place {
            self.tenths.resize(place + 1, Tenth::default());
        }
        let tenth = &mut self.tenths[place];
        let count = if is_good { &mut tenth.good } else { &mut tenth.failed };
        *count += 1;
        tenth.worst_ns = tenth.worst_ns.max(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// A call that never left counts with the time it has waited, the least that its latency would have been.
    pub fn unsent(&mut self, waited: Duration) {
        self.unsent += 1;
        self.latency.saturating_record(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX));
    }

    pub fn failed(&mut self, text: String) {
        self.errors += 1;
        let kind: String = text.chars().take_while(|c| !matches!(c, ':' | '{')).collect();
        if self.kinds.len() < MAX_KINDS || self.kinds.contains_key(&kind) {
            *self.kinds.entry(kind).or_default() += 1;
        }
        self.first_error.get_or_insert(text);
    }

    pub fn report(&self, options: &Load, driver: &str, length: Duration) -> serde_json::Value {
        let at = |quantile: f64| round(self.latency.value_at_quantile(quantile) as f64 / 1e3);
        serde_json::json!({
            "loop": if options.rate.is_some() { "open" } else { "closed" },
            "driver": driver,
            "concurrency": options.concurrency,
            "rate": options.rate,
            "calls": self.calls,
            "batch": options.batch,
            "answered": self.answered,
            "errors": self.errors,
            "errors_by_kind": self.kinds,
            "tenths": self.tenths.iter().map(|t| (t.good, t.failed, round(t.worst_ns as f64 / 1e6))).collect::<Vec<_>>(),
            "first_error": self.first_error,
            "unsent": self.unsent,
            "reconnects": self.reconnects,
            "seconds": length.as_secs_f64(),
            "calls_per_second": round(self.calls as f64 / length.as_secs_f64().max(f64::MIN_POSITIVE)),
            "mean_us": round(self.latency.mean() / 1e3),
            "p50_us": at(0.5),
            "p90_us": at(0.9),
            "p99_us": at(0.99),
            "p999_us": at(0.999),
            "max_us": round(self.latency.max() as f64 / 1e3),
        })
    }
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{self, Command};

    #[test]
    fn the_report_counts_and_ranks() {
        let words = "loadtest load --target 127.0.0.1:1 --rate 50";
        let Ok(Command::Load(options)) = args::parse(words.split_whitespace().map(Into::into)) else { panic!() };
        let mut meter = Meter::new().expect("a histogram");
        for us in 1..=1000 {
            meter.answered(Duration::from_micros(us), 1);
            meter.told(Duration::from_millis(us), Duration::from_micros(us), us % 100 > 0);
        }
        meter.failed("first".into());
        meter.failed("second: a".into());
        meter.failed("second: b".into());
        let report = meter.report(&options, "epoll", Duration::from_secs(2));
        let check = |name: &str, want: f64| {
            let got = report[name].as_f64().expect(name);
            assert!((got - want).abs() <= want * 0.002, "{name}: {got}, not {want}");
        };
        check("calls", 1000.0);
        check("errors", 3.0);
        check("answered", 0.0);
        check("calls_per_second", 500.0);
        check("p50_us", 500.0);
        check("p99_us", 990.0);
        check("p999_us", 999.0);
        check("max_us", 1000.0);
        assert_eq!((report["first_error"].as_str(), report["loop"].as_str()), (Some("first"), Some("open")));
        assert_eq!(report["errors_by_kind"], serde_json::json!({"first": 1, "second": 2}));
        assert_eq!(
            (&report["tenths"][3], report["tenths"].as_array().map(Vec::len)),
            (&serde_json::json!([99, 1, 0.4]), Some(11))
        );
        let empty = Meter::new().expect("a histogram").report(&options, "epoll", Duration::ZERO);
        assert_eq!(empty["calls_per_second"].as_f64(), Some(0.0));
    }
}
