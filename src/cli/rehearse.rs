//! `lasso explain --replay FILE --strategy S`: what another strategy would have chosen over a record, and what that would
//! have cost. Nothing is asked of anybody.

use crate::cli::options::{Settings, Usage};
use crate::cli::replay::{problems, read_record};
use crate::config::topology::Strategy;
use crate::observe::table::{self, Cell, Column, Paper, ms, percent};
use crate::rehearsal::figures::{ChainSums, Rehearsed};
use crate::rehearsal::rehearse;
use crate::replay::line::RecordChain;
use crate::replay::read::Record;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Options {
    pub file: PathBuf,
    pub strategy: Strategy,
    pub json: bool,
}

/// Draws are the same every time, so that two strategies meet the same luck.
const SEED: u64 = 1;

impl Options {
    pub(super) fn read(settings: &Settings, words: &[String], file: PathBuf) -> Result<Options, Usage> {
        if !words.is_empty() || settings.text("chain").is_some() {
            return Err(Usage("explain --replay is about every call of a record: leave METHOD and --chain out".to_owned()));
        }
        let strategy = settings.choice("strategy")?.and_then(Strategy::from_word);
        let strategy =
            strategy.ok_or_else(|| Usage("explain --replay needs the strategy to try: --strategy fastest".to_owned()))?;
        Ok(Options { file, strategy, json: settings.switch("json")? })
    }
}

pub fn run(options: &Options) -> i32 {
    let told = read_record(&options.file).and_then(|record| {
        eprint!("{}", problems(&record));
        let rehearsed = rehearse(&record, options.strategy, SEED)?;
        if rehearsed.chains.iter().all(|(recorded, _)| recorded.calls() == 0) {
            return Err("the record has no call that went to a provider".to_owned());
        }
        Ok(if options.json {
            format!("{}\n", as_json(&record, options, &rehearsed))
        } else {
            as_text(&record, options, &rehearsed)
        })
    });
    match told {
        Ok(text) => super::put(&text, 0),
        Err(why) => {
            eprintln!("lasso: {why}");
            1
        }
    }
}

/// Chains with calls.
fn called<'a>(record: &'a Record, told: &'a Rehearsed) -> impl Iterator<Item = (&'a RecordChain, &'a (ChainSums, ChainSums))> {
    record.chains.iter().zip(&told.chains).filter(|(_, (recorded, _))| recorded.calls() > 0)
}

fn name(chain: &RecordChain, place: u16) -> &str {
    chain.providers.get(usize::from(place)).map_or("", |provider| provider.id.as_str())
}

fn in_ms(sums: &ChainSums, quantile: f64) -> Option<f64> {
    sums.quantile_us(quantile).map(|us| us as f64 / 1000.0)
}

fn as_text(record: &Record, options: &Options, told: &Rehearsed) -> String {
    let mut out = String::new();
    for (chain, (recorded, other)) in called(record, told) {
        let _ = writeln!(
            out,
            "{} (profile {}), {} calls over {:.0} s:",
            chain.chain,
            chain.profile,
            recorded.calls(),
            record.length_us() as f64 / 1e6
        );
        out.push_str(&latencies(options, recorded, other));
        out.push('\n');
        out.push_str(&providers(options, chain, recorded, other));
        out.push('\n');
    }
    out.push_str(&basis(record, told));
    out
}

fn latencies(options: &Options, recorded: &ChainSums, other: &ChainSums) -> String {
    const COLUMNS: &[Column] = &[
        Column { title: "", is_number: false, drop: 0 },
        Column { title: "p50 ms", is_number: true, drop: 0 },
        Column { title: "p90 ms", is_number: true, drop: 0 },
        Column { title: "p95 ms", is_number: true, drop: 1 },
        Column { title: "p99 ms", is_number: true, drop: 0 },
        Column { title: "failed %", is_number: true, drop: 0 },
        Column { title: "attempts each", is_number: true, drop: 2 },
    ];
    let row = |title: String, sums: &ChainSums| -> Vec<Cell> {
        let [p50, p90, p95, p99] = [0.5, 0.9, 0.95, 0.99].map(|quantile| ms(in_ms(sums, quantile)));
        let failed = format!("{:.2}", sums.failed_share() * 100.0);
        [title, p50, p90, p95, p99, failed, format!("{:.2}", sums.attempts_each())].map(Cell::from).into()
    };
    let rows = [row("as recorded".to_owned(), recorded), row(format!("with {}", options.strategy.word()), other)];
    table::render(COLUMNS, &rows, Paper::default())
}

fn providers(options: &Options, chain: &RecordChain, recorded: &ChainSums, other: &ChainSums) -> String {
    let columns = [
        Column { title: "answered by", is_number: false, drop: 0 },
        Column { title: "as recorded", is_number: true, drop: 0 },
        Column { title: options.strategy.word(), is_number: true, drop: 0 },
    ];
    let places: BTreeSet<u16> = recorded.by_provider.keys().chain(other.by_provider.keys()).copied().collect();
    let row = |place: &u16| -> Vec<Cell> {
        let [before, after] = [recorded, other].map(|sums| percent(Some(sums.share(*place))));
        [name(chain, *place).to_owned(), before, after].map(Cell::from).into()
    };
    table::render(&columns, &places.iter().map(row).collect::<Vec<_>>(), Paper::default())
}

/// How much of it is known, and how.
fn basis(record: &Record, told: &Rehearsed) -> String {
    let all: u64 = told.bases.values().sum();
    let mut out =
        String::from("An estimate: what a provider would have answered is drawn from what it answered around that time.\n");
    for (basis, count) in &told.bases {
        let _ = writeln!(out, "  {} of the attempts from {}", percent(Some(*count as f64 / all.max(1) as f64)), basis.words());
    }
    if told.unsent > 0 {
        let _ = writeln!(
            out,
            "{} recorded calls were answered or refused by the node itself, or left by their clients; they count nowhere.",
            told.unsent
        );
    }
    for (chain, provider) in &told.unknown {
        if let Some(chain) = record.chains.get(usize::from(*chain)) {
            let _ = writeln!(out, "Nothing is known of {} on {}: it was not chosen.", name(chain, *provider), chain.chain);
        }
    }
    out
}

fn as_json(record: &Record, options: &Options, told: &Rehearsed) -> Value {
    let sums = |chain: &RecordChain, sums: &ChainSums| {
        let providers: serde_json::Map<String, Value> = sums
            .by_provider
            .iter()
            .map(|(place, p)| {
                (
                    name(chain, *place).to_owned(),
                    json!({ "attempts": p.attempts, "answered": p.answered, "share": sums.share(*place) }),
                )
            })
            .collect();
        json!({
            "calls": sums.calls(), "failed_share": sums.failed_share(), "attempts_each": sums.attempts_each(),
            "p50_ms": in_ms(sums, 0.5), "p90_ms": in_ms(sums, 0.9), "p95_ms": in_ms(sums, 0.95), "p99_ms": in_ms(sums, 0.99),
            "providers": providers,
        })
    };
    let chains = called(record, told).map(|(chain, (recorded, other))| {
        json!({ "profile": chain.profile, "chain": chain.chain, "recorded": sums(chain, recorded), "rehearsed": sums(chain, other) })
    });
    let bases: serde_json::Map<String, Value> =
        told.bases.iter().map(|(basis, n)| (basis.words().to_owned(), (*n).into())).collect();
    json!({ "strategy": options.strategy.word(), "chains": chains.collect::<Vec<_>>(), "drawn_from": bases, "unsent": told.unsent })
}
