//! `/api/metrics/:chain`, in the shape that existing clients read (docs/behaviour/shown.md#figures): totals since the start, with
//! the last hour and the last minute beside them. Calls of a provider are attempts: a call that failed over counts at each
//! provider once. `?histograms=true` adds the last hour's latencies as pairs of a bound and a count, in the tallies' own buckets,
//! so that whoever merges several answers (regions, nodes) can do so exactly.

use super::Moment;
use crate::aggregator::Aggregator;
use crate::base::ids::{EntryId, MethodId, Transport};
use crate::base::time::{Duration, Instant};
use crate::chain::method;
use crate::config::topology::{Chain, Profile, Provider};
use crate::observe::figures::{Counts, Window, span_of};
use crate::observe::shown::{PERCENTILES, histogram, latencies, ms, rounded, window};
use crate::runtime::process;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// One thing's counts in each window.
#[derive(Default)]
struct Figures {
    minute: Counts,
    hour: Counts,
    total: Counts,
    last: Option<Instant>,
}

impl Figures {
    fn add(&mut self, other: &Figures) {
        self.minute.add(&other.minute);
        self.hour.add(&other.hour);
        self.total.add(&other.total);
        self.last = self.last.max(other.last);
    }
}

type ByMethod = BTreeMap<MethodId, Figures>;

impl Aggregator {
    pub(super) fn metrics(&self, profile: &Profile, chain: &Chain, histograms: bool, at: Moment) -> Value {
        let (mut all, mut by_method) = (Figures::default(), ByMethod::new());
        let (mut providers, mut by_provider, mut recent) = (Vec::new(), Vec::new(), Vec::new());
        for (id, provider) in chain.providers.iter() {
            let methods = self.methods_of(chain.entry(id), at.now);
            let mut sum = Figures::default();
            for (method, figures) in &methods {
                sum.add(figures);
                by_method.entry(*method).or_default().add(figures);
                let calls = figures.minute.attempts();
                if calls > 0 {
                    recent.push((
                        calls,
                        json!({ "provider_id": provider.id, "method": method::info(*method).name, "calls": calls }),
                    ));
                }
            }
            let mut row = summary(provider, &sum, histograms);
            row["by_transport"] = self.by_transport(chain.entry(id), at.now);
            providers.push(row);
            by_provider.push(json!({
                "provider_id": provider.id,
                "provider_name": provider.name,
                "methods": methods.iter().map(|(id, f)| of_method(*id, f, histograms, at)).collect::<Vec<_>>(),
            }));
            all.add(&sum);
        }
        recent.sort_by_key(|(calls, _)| std::cmp::Reverse(*calls));
        json!({
            "profile": profile.slug,
            "chain": chain.key,
            "chain_id": chain.chain_number,
            "timestamp": at.wall.rfc3339(),
            "system_metrics": system(at.now, self.attempts_in_flight()),
            "chain_performance": self.performance(chain, &all, recent.into_iter().take(20).map(|(_, json)| json).collect(), at),
            "providers": providers,
            "rpc_methods": by_method.keys().map(|id| method::info(*id).name).collect::<Vec<_>>(),
            "rpc_performance_by_provider": by_provider,
            "rpc_performance_by_method": by_method.iter().map(|(id, f)| of_method(*id, f, histograms, at)).collect::<Vec<_>>(),
            "last_updated": all.last.map(|last| at.wall_of(last)),
        })
    }

    fn methods_of(&self, entry: EntryId, now: Instant) -> ByMethod {
        let mut methods = ByMethod::new();
        for (_, method, figure) in self.figures.of_entry(entry) {
            let [minute, hour, total] = [Window::Minute, Window::Hour, Window::Total].map(|window| figure.counts(window, now));
            methods.entry(method).or_default().add(&Figures { minute, hour, total, last: Some(figure.last) });
        }
        methods
    }

    /// A provider's attempts over each transport since the start, and how they ended.
    fn by_transport(&self, entry: EntryId, now: Instant) -> Value {
        let mut sums: BTreeMap<Transport, Counts> = BTreeMap::new();
        for (transport, _, figure) in self.figures.of_entry(entry) {
            sums.entry(transport).or_default().add(&figure.counts(Window::Total, now));
        }
        let row = |(transport, counts): (Transport, Counts)| {
            let row = json!({
                "total_calls": counts.attempts(),
                "success_rate": rounded(counts.success_rate()),
                "avg_latency_ms": (counts.successes > 0).then(|| ms(counts.mean_us())),
            });
            (transport.word().to_owned(), row)
        };
        Value::Object(sums.into_iter().map(row).collect())
    }

    fn performance(&self, chain: &Chain, all: &Figures, recent: Vec<Value>, at: Moment) -> Value {
        let is_up = |provider: &&Provider| self.channels_of(provider.instance).any(|id| self.is_available(id));
        let connected = chain.providers.values().filter(is_up).count();
        // What followed a failure of another provider was the same call.
        let calls = |counts: &Counts| counts.attempts().saturating_sub(counts.retries);
        let mut out = latencies(&all.hour);
        let minute_s = span_of(Window::Minute, at.now).max(Duration::from_secs(1)).as_secs_f64();
        out.extend([
            ("total_calls".to_owned(), json!(calls(&all.total))),
            ("success_rate".to_owned(), json!(rounded(all.hour.success_rate()))),
            ("failovers_last_minute".to_owned(), json!(all.minute.retries)),
            ("connected_providers".to_owned(), json!(connected)),
            ("total_providers".to_owned(), json!(chain.providers.len())),
            ("rpc_calls_per_second".to_owned(), json!(rounded(calls(&all.minute) as f64 / minute_s))),
            ("error_rate_percent".to_owned(), json!(rounded(100.0 * (1.0 - all.hour.success_rate())))),
            ("recent_activity".to_owned(), Value::Array(recent)),
        ]);
        Value::Object(out)
    }
}

fn summary(provider: &Provider, sum: &Figures, histograms: bool) -> Value {
    let total = &sum.total;
    let average_ms = ms(total.mean_us());
    // docs/behaviour/shown.md#figures.
    let score = total.success_rate() * 1000.0 / (1000.0 + average_ms) * (total.attempts().max(1) as f64).log10();
    let errors: Map<String, Value> = total.by_category().map(|(c, n)| (c.word().to_owned(), json!(n))).collect();
    let mut row = json!({
        "id": provider.id,
        "name": provider.name,
        "score": rounded(score),
        "success_rate": rounded(total.success_rate()),
        "total_calls": total.attempts(),
        "avg_latency_ms": average_ms,
        "calls_last_minute": sum.minute.attempts(),
        "retries": total.retries,
        "rejected_parameters": total.rejected(),
        "penalised_failures": total.penalised,
        "errors": errors,
    });
    if let Value::Object(row) = &mut row {
        let hour = latencies(&sum.hour).into_iter().filter(|(name, _)| PERCENTILES.iter().any(|(known, ..)| name == known));
        row.extend(hour);
        row.extend(histogram(&sum.hour, histograms));
    }
    row
}

fn of_method(id: MethodId, figures: &Figures, histograms: bool, at: Moment) -> Value {
    let mut out = Map::new();
    out.insert("method".to_owned(), json!(method::info(id).name));
    out.extend(window(&figures.total));
    out.insert("last_updated".to_owned(), json!(figures.last.map(|last| at.wall_of(last))));
    out.insert("last_hour".to_owned(), Value::Object(window(&figures.hour)));
    out.insert("last_minute".to_owned(), Value::Object(window(&figures.minute)));
    out.extend(histogram(&figures.hour, histograms));
    Value::Object(out)
}

/// `cpu_percent` is the mean since the start, 100 for each busy core; `run_queue` is what waits for providers.
fn system(now: Instant, attempts_in_flight: u64) -> Value {
    let usage = process::usage();
    let up_s = Duration::from_millis(now.as_ms().max(1)).as_secs_f64();
    json!({
        "memory_mb": rounded(usage.memory_bytes as f64 / (1 << 20) as f64),
        "cpu_percent": rounded(100.0 * usage.cpu.as_secs_f64() / up_s),
        "process_count": usage.threads,
        "run_queue": attempts_in_flight,
    })
}
