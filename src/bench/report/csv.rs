//! The findings as rows for a spreadsheet or a notebook: one row for each provider, transport and method (RFC 4180, lines
//! end with CR LF, the header's names and order are fixed; columns are only ever added at the end).
//!
//! A spreadsheet takes a field that begins with `=`, `+`, `-` or `@` for a formula, and names and error categories come
//! from outside: such a text gets an apostrophe before it, as spreadsheets themselves write it. Numbers are ours.

use crate::bench::findings::{Cell, Estimate, Findings};
use crate::bench::report::ranking::{self, RankedCell};
use crate::bench::report::words;

const HEADER: [&str; 38] = [
    "provider",
    "host",
    "transport",
    "method",
    "calls",
    "successes",
    "success",
    "success_low",
    "success_high",
    "p50_ms",
    "p50_low_ms",
    "p50_high_ms",
    "p90_ms",
    "p90_low_ms",
    "p90_high_ms",
    "p95_ms",
    "p95_low_ms",
    "p95_high_ms",
    "p99_ms",
    "p99_low_ms",
    "p99_high_ms",
    "p99_9_ms",
    "p99_9_low_ms",
    "p99_9_high_ms",
    "cold_ms",
    "cold_low_ms",
    "cold_high_ms",
    "rank",
    "is_tie",
    "behind_best_ms",
    "behind_best_low_ms",
    "behind_best_high_ms",
    "errors",
    "chain_number",
    "mix",
    "calls_per_second",
    "began_at",
    "is_interrupted",
];

pub fn write(findings: &Findings) -> String {
    let mut rows = ::csv::WriterBuilder::new().terminator(::csv::Terminator::CRLF).from_writer(Vec::new());
    // Writing to memory does not fail, and every row has the header's length (a test counts).
    let _ = rows.write_record(HEADER);
    for section in ranking::sections(findings) {
        for ranked in &section.cells {
            let _ = rows.write_record(row(findings, ranked));
        }
    }
    rows.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn row(findings: &Findings, ranked: &RankedCell<'_>) -> Vec<String> {
    let cell = ranked.cell;
    let host = findings.providers.get(cell.provider).map_or("", |provider| &provider.host);
    let mut out = vec![
        text(&words::name(findings, cell.provider)),
        text(host),
        text(&cell.transport),
        text(&cell.method),
        cell.calls.to_string(),
        cell.successes.to_string(),
    ];
    out.extend([cell.success.value, cell.success.low, cell.success.high].map(|share| format!("{share:.6}")));
    for estimate in [cell.p50_ms, cell.p90_ms, cell.p95_ms, cell.p99_ms, cell.p999_ms, cell.cold_ms] {
        out.extend(three(estimate));
    }
    out.push(ranked.rank.map_or_else(String::new, |rank| rank.position.to_string()));
    out.push(ranked.rank.map_or_else(String::new, |rank| rank.is_tie.to_string()));
    out.extend(three(ranked.behind_ms));
    out.push(text(&errors(cell)));
    out.extend(of_run(findings));
    out
}

fn of_run(findings: &Findings) -> [String; 5] {
    let run = &findings.run;
    [
        run.chain_number.to_string(),
        text(&run.mix),
        words::rate(run.calls_per_second),
        words::timestamp(run.began_at_s),
        run.is_interrupted.to_string(),
    ]
}

/// Microseconds are as exact as anything here.
fn three(estimate: Option<Estimate>) -> [String; 3] {
    estimate.map_or_else(Default::default, |e| [e.value, e.low, e.high].map(|ms| format!("{ms:.3}")))
}

/// `timeout=3;rate_limit=1`, most first.
fn errors(cell: &Cell) -> String {
    words::error_counts(cell).into_iter().map(|(category, count)| format!("{category}={count}")).collect::<Vec<_>>().join(";")
}

/// No formula, whoever reads it.
fn text(from_outside: &str) -> String {
    let clean = words::plain(from_outside);
    match clean.trim_start().chars().next() {
        Some('=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠') => format!("'{clean}"),
        _ => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::plausible;

    fn records(findings: &Findings) -> Vec<::csv::StringRecord> {
        let text = write(findings);
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().expect("a header").iter().collect::<Vec<_>>(), HEADER);
        reader.records().map(|record| record.expect("as long as the header")).collect()
    }

    #[test]
    fn one_row_a_cell_with_its_figures() {
        let findings = plausible::findings(5, 12);
        let records = records(&findings);
        assert_eq!(records.len(), findings.cells.len());
        for cell in &findings.cells {
            let name = &findings.providers[cell.provider].name;
            let of = |r: &&::csv::StringRecord| r[0] == **name && r[2] == *cell.transport && r[3] == *cell.method;
            let record = records.iter().find(of).expect("its row");
            assert_eq!(record[4].parse(), Ok(cell.calls));
            let p50: f64 = record[9].parse().expect("a number");
            assert!((p50 - cell.p50_ms.expect("a median").value).abs() < 0.001);
        }
    }

    #[test]
    fn fields_are_quoted_and_are_no_formulas() {
        let mut findings = plausible::findings(5, 4);
        let names = ["=HYPERLINK(\"http://h\",\"x\")", "a \"b\", c\r\nd", "\t@SUM(A1)", "-1+1"];
        for (provider, name) in findings.providers.iter_mut().zip(names) {
            provider.name = name.to_owned();
        }
        findings.cells[0].errors.insert("+cmd".to_owned(), 1_000);
        let text = write(&findings);
        assert!(text.split("\r\n").all(|line| !line.contains(['\r', '\n'])) && text.ends_with("\r\n"));
        let shown: std::collections::BTreeSet<String> = records(&findings).iter().map(|r| r[0].to_owned()).collect();
        let want = ["'=HYPERLINK(\"http://h\",\"x\")", "a \"b\", c  d", "' @SUM(A1)", "'-1+1"];
        assert_eq!(shown, std::collections::BTreeSet::from(want.map(str::to_owned)));
        assert!(records(&findings).iter().any(|r| r[32].starts_with("'+cmd=1000")));
    }
}
