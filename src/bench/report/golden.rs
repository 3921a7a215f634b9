//! Outputs held against files in `golden/`: `UPDATE_GOLDEN=1 cargo test --lib golden` writes them anew, to be read before
//! they are committed.

use super::{csv, plausible, suggest, table, verdict};
use crate::bench::findings::Findings;
use std::path::Path;

fn golden(name: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bench/report/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, got).expect("golden file written");
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(got, want, "{} differs; UPDATE_GOLDEN=1 writes it anew", path.display());
}

fn interrupted() -> Findings {
    let scene = plausible::Scene { truth: 7, draw: 8, providers: 3, calls: 40, slowed: None };
    let mut findings = plausible::drawn(scene);
    findings.run.is_interrupted = true;
    findings.run.measured_seconds = 4.0;
    findings
}

#[test]
fn tables() {
    golden("table-2-80.txt", &table::render(&plausible::findings(7, 2), 80, false));
    golden("table-12-80.txt", &table::render(&plausible::findings(7, 12), 80, false));
    golden("table-12-160.txt", &table::render(&plausible::findings(7, 12), 160, false));
    golden("table-interrupted-100.txt", &table::render(&interrupted(), 100, false));
}

#[test]
fn verdicts() {
    let lines = |findings: &Findings| verdict::sentences(findings).join("\n") + "\n";
    golden("verdict-2.txt", &lines(&plausible::findings(7, 2)));
    golden("verdict-12.txt", &lines(&plausible::findings(7, 12)));
    golden("verdict-interrupted.txt", &lines(&interrupted()));
}

#[test]
fn rows() {
    golden("rows-5.csv", &csv::write(&plausible::findings(7, 5)));
}

#[test]
fn suggestions() {
    golden("suggestion-2.yml", &suggest::provider_block(&plausible::findings(7, 2)));
    golden("suggestion-12.yml", &suggest::provider_block(&plausible::findings(7, 12)));
}
