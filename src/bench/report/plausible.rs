//! Plausible findings for tests: latencies drawn from laws, figures and intervals made of them as a run would make them.
//!
//! The truth (laws, who is late, who lies) and the draw have seeds of their own, so that two runs of one truth can be
//! compared. Intervals are those of order statistics instead of a bootstrap: as wide, and cheap enough for a thousand runs.

use crate::base::rng::Rng;
use crate::bench::findings::{
    Camp, Cell, Comparison, Depth, Disagreement, Estimate, Findings, Freshness, LogRange, Provider, ProviderState, RateLimit,
    Run, SCHEMA,
};
use std::collections::BTreeMap;

const NAMES: [&str; 12] = [
    "meridian",
    "homestead",
    "quartz",
    "rubble",
    "yesterday",
    "lumen",
    "harbour",
    "juniper",
    "cobalt",
    "tundra",
    "saffron",
    "own",
];

/// Each with how much longer than the shortest it takes.
const METHODS: [(&str, f64); 6] = [
    ("eth_blockNumber", 1.0),
    ("eth_getBalance", 1.15),
    ("eth_call", 1.7),
    ("eth_getTransactionReceipt", 1.3),
    ("eth_getBlockByNumber", 2.1),
    ("eth_getLogs", 4.5),
];

const WS_METHODS: usize = 2;
const TIMEOUT_MS: f64 = 5_000.0;

/// What is drawn: a truth and a run of it.
#[derive(Clone, Copy)]
pub(super) struct Scene {
    pub truth: u64,
    pub draw: u64,
    pub providers: usize,
    /// One for each provider, transport and method.
    pub calls: u64,
    /// A provider that takes so many times longer than its law says.
    pub slowed: Option<(usize, f64)>,
}

pub(super) fn findings(seed: u64, providers: usize) -> Findings {
    drawn(Scene { truth: seed, draw: seed, providers, calls: 600, slowed: None })
}

/// Latencies are log-normal: a median and a spread.
#[derive(Clone, Copy)]
struct Law {
    median_ms: f64,
    spread: f64,
    failing: f64,
}

pub(super) fn drawn(scene: Scene) -> Findings {
    let (mut truth, mut draw) = (Rng::new(scene.truth), Rng::new(scene.draw ^ 0x5EED));
    let mut laws: Vec<Law> = (0..scene.providers).map(|index| law(index, &mut truth)).collect();
    if let [first, second, ..] = laws.as_mut_slice() {
        second.median_ms = first.median_ms;
        second.spread = first.spread;
    }
    if let Some((provider, times)) = scene.slowed {
        laws[provider].median_ms *= times;
    }
    let providers: Vec<Provider> = (0..scene.providers).map(|index| provider(index, &mut draw)).collect();
    let mut cells = Vec::new();
    for (index, law) in laws.iter().enumerate().filter(|(index, _)| is_measured(&providers[*index])) {
        let ws = providers[index].has_ws.then_some(("ws", WS_METHODS));
        for (transport, how_many) in [Some(("http", METHODS.len())), ws].into_iter().flatten() {
            for (method, factor) in &METHODS[..how_many] {
                let factor = factor * if transport == "ws" { 0.85 } else { 1.0 };
                let law = Law { median_ms: law.median_ms * factor, ..*law };
                cells.push(cell(law, (index, transport, method), scene.calls, &mut draw));
            }
        }
    }
    let comparisons = comparisons(&cells);
    let sent: u64 = cells.iter().map(|cell: &Cell| cell.calls).sum();
    Findings { schema: SCHEMA, run: run(scene, sent), disagreements: disagreements(&providers), providers, cells, comparisons }
}

fn law(index: usize, truth: &mut Rng) -> Law {
    let median_ms = 9.0 * (1.0 + index as f64 * 0.55) * (0.9 + 0.2 * truth.unit());
    let failing = [0.0, 0.0, 0.002, 0.06, 0.01][index % 5];
    Law { median_ms, spread: 0.18 + 0.4 * truth.unit(), failing }
}

fn is_measured(provider: &Provider) -> bool {
    matches!(provider.state, ProviderState::Measured | ProviderState::Banned { .. })
}

fn run(scene: Scene, sent: u64) -> Run {
    Run {
        lasso: "0.1.0".to_owned(),
        began_at_s: 1_796_056_380,
        chain_number: 1,
        mix: "wallet".to_owned(),
        calls_per_second: 10.0,
        planned_seconds: 60.0,
        measured_seconds: 60.0,
        planned_calls: sent + 180,
        sent_calls: sent + 164,
        is_interrupted: false,
        seed: scene.draw,
    }
}

fn provider(index: usize, draw: &mut Rng) -> Provider {
    let name = NAMES.get(index).map_or_else(|| format!("provider-{index}"), |name| (*name).to_owned());
    let state = match index {
        6 => ProviderState::Dead { reason: "connection refused".to_owned() },
        7 => ProviderState::WrongChain { chain_number: 137 },
        8 => ProviderState::Banned { after_calls: 50 },
        9 => ProviderState::Refused { reason: "HTTP 401: invalid key".to_owned() },
        _ => ProviderState::Measured,
    };
    let is_known = matches!(state, ProviderState::Measured);
    let rows = [Depth::Archive, Depth::Archive, Depth::Blocks { blocks: 128 }, Depth::Unknown, Depth::Blocks { blocks: 1_024 }];
    let ranges = [(10_000, None), (2_000, Some(5_000)), (10_000, None), (1_000, Some(1_001)), (500, Some(1_000))];
    let (answered_blocks, refused_blocks) = ranges[index % ranges.len()];
    let log_range = LogRange { answered_blocks, refused_blocks };
    let limits = RateLimit { served_per_second: 40.0, refused_per_second: (index % 2 == 1).then_some(50.0) };
    let missing: &[&str] = if index % 3 == 2 { &["debug_traceCall", "trace_block"] } else { &[] };
    Provider {
        host: format!("{name}.example.org"),
        name,
        has_http: true,
        has_ws: index.is_multiple_of(2),
        client_version: is_known.then(|| format!("Geth/v1.16.{index}-stable/linux-amd64/go1.25")),
        freshness: is_known.then(|| freshness(index, draw)),
        depth: is_known.then_some(rows[index % rows.len()]),
        log_range: is_known.then_some(log_range),
        rate_limit: (is_known && index < 4).then_some(limits),
        missing_methods: missing.iter().map(|method| (*method).to_owned()).collect(),
        price_per_million: [Some(0.0), Some(1.9), None][index % 3],
        state,
    }
}

fn freshness(index: usize, draw: &mut Rng) -> Freshness {
    let value = [4.0, 31.0, 12.0, 240.0, 1_870.0][index % 5] * (0.9 + 0.2 * draw.unit());
    let is_pushed = index.is_multiple_of(2);
    Freshness {
        blocks: 30,
        first: [19, 2, 8, 1, 0][index % 5],
        behind_ms: Estimate { value, low: value * 0.7, high: value * 1.4 },
        is_pushed,
        asked_every_ms: (!is_pushed).then_some(250),
    }
}

/// Standard normal (Box and Muller).
fn normal(draw: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - draw.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * draw.unit()).cos()
}

fn cell(law: Law, (provider, transport, method): (usize, &str, &str), calls: u64, draw: &mut Rng) -> Cell {
    let mut times: Vec<f64> = Vec::new();
    let mut errors: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..calls {
        if draw.unit() >= law.failing {
            times.push(law.median_ms * (law.spread * normal(draw)).exp());
            continue;
        }
        let category = ["timeout", "rate_limit", "rate_limit", "server_error"][draw.below(4) as usize];
        *errors.entry(category.to_owned()).or_default() += 1;
        if category == "timeout" {
            times.push(TIMEOUT_MS);
        }
    }
    times.sort_by(f64::total_cmp);
    let failed: u64 = errors.values().sum();
    Cell {
        provider,
        transport: transport.to_owned(),
        method: method.to_owned(),
        calls,
        successes: calls - failed,
        success: share(calls - failed, calls),
        errors,
        p50_ms: quantile(&times, 0.5),
        p90_ms: quantile(&times, 0.9),
        p95_ms: quantile(&times, 0.95),
        p99_ms: quantile(&times, 0.99),
        p999_ms: quantile(&times, 0.999),
        cold_ms: quantile(&times, 0.5).map(|e| Estimate { value: e.value * 3.1, low: e.low * 2.8, high: e.high * 3.6 }),
        distribution: distribution(&times),
    }
}

/// None where the sample does not reach far enough for an interval.
fn quantile(sorted: &[f64], share: f64) -> Option<Estimate> {
    let (count, half) = (sorted.len() as f64, 1.96 * (sorted.len() as f64 * share * (1.0 - share)).sqrt());
    let (low, high) = ((count * share - half).floor(), (count * share + half).ceil() - 1.0);
    if low < 0.0 || high < low || high >= count {
        return None;
    }
    let at = |place: f64| sorted[place as usize];
    Some(Estimate { value: at((count * share).floor()), low: at(low), high: at(high) })
}

/// Wilson's interval.
fn share(good: u64, all: u64) -> Estimate {
    let (n, z) = (all as f64, 1.96_f64);
    let value = good as f64 / n;
    let middle = (value + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (value * (1.0 - value) / n + z * z / (4.0 * n * n)).sqrt();
    Estimate { value, low: (middle - half).max(0.0).min(value), high: (middle + half).min(1.0).max(value) }
}

fn distribution(sorted: &[f64]) -> Vec<(f64, u64)> {
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let steps = 48;
    let edge = |step: i32| first * (last / first).powf(f64::from(step) / f64::from(steps));
    (0..=steps).map(|step| (edge(step) * 1.000_001, sorted.partition_point(|t| *t <= edge(step) * 1.000_001) as u64)).collect()
}

fn comparisons(cells: &[Cell]) -> Vec<Comparison> {
    let mut out = Vec::new();
    for (transport, methods) in [("http", METHODS.len()), ("ws", WS_METHODS)] {
        for (method, _) in &METHODS[..methods] {
            let here = cells.iter().filter(|cell| cell.transport == transport && cell.method == *method);
            let mut medians: Vec<(usize, Estimate)> = here.filter_map(|cell| Some((cell.provider, cell.p50_ms?))).collect();
            medians.sort_by(|a, b| a.1.value.total_cmp(&b.1.value));
            if medians.len() > 1 {
                out.push(comparison(transport, method, &medians));
            }
        }
    }
    out
}

fn comparison(transport: &str, method: &str, medians: &[(usize, Estimate)]) -> Comparison {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut leader_high = f64::NEG_INFINITY;
    for (provider, median) in medians {
        match groups.last_mut() {
            Some(group) if median.low <= leader_high => group.push(*provider),
            _ => {
                leader_high = median.high;
                groups.push(vec![*provider]);
            }
        }
    }
    let best = medians[0].1;
    let behind_best_ms = medians.iter().skip(1).map(|(provider, median)| (*provider, difference(&best, median))).collect();
    Comparison { transport: transport.to_owned(), method: method.to_owned(), groups, behind_best_ms }
}

fn difference(best: &Estimate, other: &Estimate) -> Estimate {
    let value = other.value - best.value;
    let down = (other.value - other.low).hypot(best.high - best.value);
    let up = (other.high - other.value).hypot(best.value - best.low);
    Estimate { value, low: value - down, high: value + up }
}

fn disagreements(providers: &[Provider]) -> Vec<Disagreement> {
    let measured: Vec<usize> = (0..providers.len()).filter(|index| providers[*index].state == ProviderState::Measured).collect();
    let Some(liar) = measured.iter().copied().find(|index| *index == 3) else { return Vec::new() };
    let honest: Vec<usize> = measured.iter().copied().filter(|index| *index != liar).collect();
    let disagreement = |method: &str, params: &str, right: &str, wrong: &str| Disagreement {
        method: method.to_owned(),
        params: params.to_owned(),
        block_number: 23_910_442,
        camps: vec![
            Camp { providers: honest.clone(), answer: right.to_owned() },
            Camp { providers: vec![liar], answer: wrong.to_owned() },
        ],
    };
    let account = r#"["0xd8da6bf26964af9d7eed9e03e53415d37aa96045","0x16cd8ea"]"#;
    vec![disagreement("eth_getBalance", account, "\"0x1bc16d674ec80000\"", "\"0x0\"")]
}
