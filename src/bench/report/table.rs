//! The findings on a terminal: one table for each method and transport, best first, then what each provider is.
//!
//! Ties have one rank (`1=`). Intervals stand beside their figures, so that nobody takes a digit for a difference. Where
//! there is no room, whole columns go, the least telling first; 80 columns always hold rank, name, both percentiles with
//! their intervals, success and errors.

use crate::bench::findings::{Cell, Depth, Estimate, Findings, Provider, ProviderState};
use crate::bench::report::ranking::{self, MethodSection, RankedCell};
use crate::bench::report::words;
use crate::observe::table::{self, Column, Paper, Tone};
use std::fmt::Write;

type Printed = table::Cell;

/// Below this success share a row is bad, and worth a look below the second.
const BAD_SHARE: f64 = 0.95;
const DOUBTFUL_SHARE: f64 = 0.995;

/// Below so many columns names and errors have so many characters, so that the intervals have their place.
const NARROW: usize = 100;
const NAME_NARROW: usize = 12;
const ERRORS_NARROW: usize = 14;
const NAME_WIDE: usize = 32;
const ERRORS_WIDE: usize = 48;

pub fn render(findings: &Findings, width: usize, is_colored: bool) -> String {
    let paper = Paper { width: Some(width), colours: is_colored };
    let mut out = heading(findings, width);
    let sections = ranking::sections(findings);
    let rows = |section: &MethodSection<'_>| -> Vec<Vec<Printed>> {
        section.cells.iter().map(|ranked| method_row(findings, ranked, paper)).collect()
    };
    let tables: Vec<Vec<Vec<Printed>>> = sections.iter().map(rows).collect();
    let told = columns_told(&tables);
    for (section, rows) in sections.iter().zip(&tables) {
        out.push('\n');
        out.push_str(&method_table(section, rows, (&told, paper)));
    }
    let _ = write!(out, "\nproviders\n{}", provider_table(findings, paper));
    out
}

fn heading(findings: &Findings, width: usize) -> String {
    let run = &findings.run;
    let providers = words::counted(findings.providers.len() as u64, "provider");
    let ended = if run.is_interrupted { ", interrupted" } else { "" };
    let parts = [
        words::chain(run.chain_number),
        format!("mix {}", words::plain(&run.mix)),
        providers,
        format!("{} calls/s each", words::rate(run.calls_per_second)),
        format!("{} of {}{ended}", words::seconds(run.measured_seconds), words::seconds(run.planned_seconds)),
        format!("{} of {} calls", words::whole(run.sent_calls), words::whole(run.planned_calls)),
        words::when(run.began_at_s),
    ];
    wrapped(&parts, width)
}

/// Parts with commas between them, broken between parts where the line is full.
fn wrapped(parts: &[String], width: usize) -> String {
    let (mut out, mut used) = (String::new(), 0);
    for (index, part) in parts.iter().enumerate() {
        let length = part.chars().count() + 2;
        if index > 0 {
            let is_full = used + length > width;
            out.push_str(if is_full { ",\n" } else { ", " });
            used = if is_full { 0 } else { used };
        }
        out.push_str(part);
        used += length;
    }
    out + "\n"
}

const fn column(title: &'static str, is_number: bool, drop: u8) -> Column {
    Column { title, is_number, drop }
}

const METHOD_COLUMNS: [Column; 15] = [
    column("#", false, 0),
    column("provider", false, 0),
    column("p50 ms", true, 0),
    column("95% range", false, 1),
    column("p90 ms", true, 8),
    column("p95 ms", true, 7),
    column("p99 ms", true, 0),
    column("95% range", false, 2),
    column("p99.9 ms", true, 9),
    column("cold ms", true, 10),
    column("behind ms", true, 4),
    column("95% range", false, 5),
    column("calls", true, 6),
    column("success", true, 0),
    column("errors", false, 0),
];

/// Columns in which any table has something to say: all tables have the same, and none of them is empty everywhere.
fn columns_told(tables: &[Vec<Vec<Printed>>]) -> Vec<usize> {
    let says = |column: usize| {
        let cells = tables.iter().flatten().filter_map(|row| row.get(column));
        cells.map(|cell| cell.text.as_str()).any(|text| !matches!(text, "" | "-"))
    };
    (0..METHOD_COLUMNS.len()).filter(|column| says(*column)).collect()
}

fn method_table(section: &MethodSection<'_>, rows: &[Vec<Printed>], (told, paper): (&[usize], Paper)) -> String {
    let title = format!("{} over {}", words::plain(section.method), words::transport(section.transport));
    let columns: Vec<Column> = told.iter().filter_map(|column| METHOD_COLUMNS.get(*column).copied()).collect();
    let kept = |row: &Vec<Printed>| told.iter().filter_map(|column| row.get(*column).cloned()).collect();
    let rows: Vec<Vec<Printed>> = rows.iter().map(kept).collect();
    format!("{title}\n{}", table::render(&columns, &rows, paper))
}

fn method_row(findings: &Findings, ranked: &RankedCell<'_>, paper: Paper) -> Vec<Printed> {
    let cell = ranked.cell;
    let value = |estimate: Option<Estimate>| estimate.map_or_else(|| "-".to_owned(), |e| words::ms(e.value));
    let range = |estimate: Option<Estimate>| estimate.map_or_else(String::new, |e| words::range_ms(&e));
    let plain = |text: String| Printed::from(text);
    let faint = |text: String| Printed::toned(text, Tone::Faint);
    let rank = ranked.rank.map_or_else(|| "-".to_owned(), ranking::Rank::text);
    let name_tone = if ranked.is_best() { Tone::Good } else { Tone::Plain };
    vec![
        plain(rank),
        Printed::toned(name(findings, cell.provider, paper), name_tone),
        plain(value(cell.p50_ms)),
        faint(range(cell.p50_ms)),
        plain(value(cell.p90_ms)),
        plain(value(cell.p95_ms)),
        plain(value(cell.p99_ms)),
        faint(range(cell.p99_ms)),
        plain(value(cell.p999_ms)),
        plain(value(cell.cold_ms)),
        plain(value(ranked.behind_ms)),
        faint(range(ranked.behind_ms)),
        plain(words::whole(cell.calls)),
        Printed::toned(success(cell), success_tone(cell)),
        Printed::toned(errors(cell, paper), success_tone(cell)),
    ]
}

fn name(findings: &Findings, provider: usize, paper: Paper) -> String {
    words::shortened(&words::name(findings, provider), if is_narrow(paper) { NAME_NARROW } else { NAME_WIDE })
}

fn errors(cell: &Cell, paper: Paper) -> String {
    words::shortened(&words::errors(cell), if is_narrow(paper) { ERRORS_NARROW } else { ERRORS_WIDE })
}

fn is_narrow(paper: Paper) -> bool {
    paper.width.is_some_and(|width| width < NARROW)
}

/// A share of no calls is none.
fn success(cell: &Cell) -> String {
    table::percent((cell.calls > 0).then_some(cell.success.value))
}

fn success_tone(cell: &Cell) -> Tone {
    match cell.success.value {
        share if share < BAD_SHARE => Tone::Bad,
        share if share < DOUBTFUL_SHARE => Tone::Warn,
        _ => Tone::Plain,
    }
}

const PROVIDER_COLUMNS: [Column; 11] = [
    column("provider", false, 0),
    column("state", false, 0),
    column("best", true, 1),
    column("blocks behind ms", true, 0),
    column("first", true, 5),
    column("depth", true, 0),
    column("log range", true, 2),
    column("calls/s", true, 4),
    column("price/M", true, 6),
    column("missing", true, 3),
    column("host", false, 7),
];

fn provider_table(findings: &Findings, paper: Paper) -> String {
    let records = ranking::records(findings);
    let rows: Vec<Vec<Printed>> = records
        .iter()
        .filter_map(|record| Some((record, findings.providers.get(record.provider)?)))
        .map(|(record, provider)| {
            let mut row = vec![
                Printed::from(name(findings, record.provider, paper)),
                Printed::toned(words::state(provider), state_tone(provider)),
                Printed::from(best(record)),
            ];
            row.extend(provider_cells(provider));
            row
        })
        .collect();
    table::render(&PROVIDER_COLUMNS, &rows, paper)
}

fn best(record: &ranking::Record) -> String {
    if record.comparisons == 0 { "-".to_owned() } else { format!("{} of {}", record.best(), record.comparisons) }
}

fn state_tone(provider: &Provider) -> Tone {
    if provider.state == ProviderState::Measured { Tone::Plain } else { Tone::Bad }
}

fn provider_cells(provider: &Provider) -> Vec<Printed> {
    let fresh = provider.freshness.as_ref();
    let or_dash = |text: Option<String>| Printed::from(text.unwrap_or_else(|| "-".to_owned()));
    vec![
        or_dash(fresh.map(|f| words::ms(f.behind_ms.value))),
        or_dash(fresh.map(|f| format!("{} of {}", f.first, f.blocks))),
        or_dash(provider.depth.and_then(depth)),
        or_dash(provider.log_range.map(|range| {
            let is_least = range.refused_blocks.is_none();
            format!("{}{}", if is_least { "≥" } else { "" }, words::whole(range.answered_blocks))
        })),
        or_dash(provider.rate_limit.map(|limit| {
            let is_least = limit.refused_per_second.is_none();
            format!("{}{}", if is_least { "≥" } else { "" }, words::rate(limit.served_per_second))
        })),
        or_dash(provider.price_per_million.map(words::rate)),
        or_dash((!provider.missing_methods.is_empty()).then(|| provider.missing_methods.len().to_string())),
        Printed::toned(words::plain(&provider.host), Tone::Faint),
    ]
}

fn depth(depth: Depth) -> Option<String> {
    match depth {
        Depth::Archive => Some("archive".to_owned()),
        Depth::Blocks { blocks } => Some(words::whole(blocks)),
        Depth::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::plausible;

    #[test]
    fn fits_the_width_that_there_is() {
        for providers in [1, 2, 5, 12] {
            let mut findings = plausible::findings(7, providers);
            if let Some(first) = findings.providers.first_mut() {
                first.name = "a name that is longer than any terminal wants to show in one of its columns".to_owned();
            }
            for width in [80, 100, 120, 200] {
                let text = render(&findings, width, false);
                let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
                assert!(widest <= width, "{widest} of {width} columns:\n{text}");
            }
        }
    }

    #[test]
    fn a_narrow_table_keeps_what_matters_and_a_wide_one_shows_more() {
        let findings = plausible::findings(7, 5);
        let titles = |width| render(&findings, width, false).lines().find(|line| line.starts_with('#')).unwrap_or("").to_owned();
        let (narrow, wide) = (titles(80), titles(200));
        for title in ["provider", "p50 ms", "p99 ms", "success", "errors"] {
            assert!(narrow.contains(title), "{narrow}");
        }
        assert_eq!(narrow.matches("95% range").count(), 2, "{narrow}");
        assert!(wide.contains("p95 ms") && wide.contains("cold ms") && wide.contains("behind ms"), "{wide}");
        assert!(!wide.contains("p99.9"), "600 calls have none: {wide}");
    }

    #[test]
    fn ties_have_one_rank_and_colours_are_only_where_they_are_wanted() {
        let findings = plausible::findings(7, 5);
        let text = render(&findings, 120, false);
        assert!(text.contains("\n1=  ") && text.contains("\n3   "), "{text}");
        assert!(!text.contains('\x1b') && render(&findings, 120, true).contains('\x1b'));
    }

    #[test]
    fn a_provider_cannot_move_the_cursor() {
        let mut findings = plausible::findings(7, 2);
        for provider in &mut findings.providers {
            provider.name.insert_str(0, "\x1b[2J\n");
            provider.host.push_str("\x1b]0;title\x07");
        }
        findings.run.mix = "\x1b[31m".to_owned();
        assert!(!render(&findings, 200, false).contains(['\x1b', '\x07']));
    }
}
