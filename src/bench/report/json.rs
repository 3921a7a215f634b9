//! The findings as a file that another program, or a later `--baseline`, reads.
//!
//! The file is [`Findings`] and nothing else, so that what is written is what is read. A file comes from outside: its
//! size is bounded, its shape is named before it is read further, and a provider that is named and not there is refused
//! here, once, so that nobody who prints has to ask.

use crate::base::limits;
use crate::bench::findings::{Estimate, Findings, SCHEMA};
use serde_json::Value;
use std::fmt;

/// Why a file cannot be used; as a sentence with its remedy.
#[derive(Clone, PartialEq, Debug)]
pub enum Unreadable {
    TooLong {
        bytes: usize,
    },
    NoJson {
        line: usize,
        column: usize,
    },
    /// JSON of something else.
    NoFindings {
        why: String,
    },
    OtherSchema {
        schema: u64,
    },
    /// A provider is named by a place that does not exist.
    NoSuchProvider {
        place: usize,
    },
    /// An interval ends before it begins.
    NoInterval {
        of: String,
    },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = limits::REPORT_FILE_BYTES;
        match self {
            Unreadable::TooLong { bytes } => {
                write!(f, "it has {bytes} bytes and at most {most} are read: give a file that lasso bench --json wrote")
            }
            Unreadable::NoJson { line, column } => {
                write!(f, "it is no JSON at line {line}, column {column}: give a file that lasso bench --json wrote")
            }
            Unreadable::NoFindings { why } => {
                write!(f, "it holds no findings ({why}): give a file that lasso bench --json wrote")
            }
            Unreadable::OtherSchema { schema } => {
                write!(f, "it has schema {schema} and this lasso reads {SCHEMA}: measure again, or use the lasso that wrote it")
            }
            Unreadable::NoSuchProvider { place } => {
                write!(
                    f,
                    "it names provider number {place}, which it does not have: it was changed by hand or cut; measure again"
                )
            }
            Unreadable::NoInterval { of } => {
                write!(f, "an interval of {of} ends before it begins: it was changed by hand; measure again")
            }
        }
    }
}

impl std::error::Error for Unreadable {}

pub fn write(findings: &Findings) -> String {
    // Strings, numbers and lists alone: there is nothing in it that has no JSON.
    serde_json::to_string_pretty(findings).unwrap_or_default() + "\n"
}

pub fn read(text: &str) -> Result<Findings, Unreadable> {
    if text.len() > limits::REPORT_FILE_BYTES {
        return Err(Unreadable::TooLong { bytes: text.len() });
    }
    let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|fault| Unreadable::NoJson { line: fault.line(), column: fault.column() })?;
    match value.get("schema").map(Value::as_u64) {
        Some(Some(schema)) if schema == u64::from(SCHEMA) => {}
        Some(Some(schema)) => return Err(Unreadable::OtherSchema { schema }),
        _ => return Err(Unreadable::NoFindings { why: "it has no schema number".to_owned() }),
    }
    let findings: Findings =
        serde_json::from_value(value).map_err(|fault| Unreadable::NoFindings { why: shown(&fault.to_string()) })?;
    check_places(&findings)?;
    check_intervals(&findings)?;
    Ok(findings)
}

fn shown(text: &str) -> String {
    super::words::plain(text)
}

fn check_places(findings: &Findings) -> Result<(), Unreadable> {
    let cells = findings.cells.iter().map(|cell| cell.provider);
    let ranked = findings.comparisons.iter().flat_map(|c| c.groups.iter().flatten().copied());
    let behind = findings.comparisons.iter().flat_map(|c| c.behind_best_ms.iter().map(|(provider, _)| *provider));
    let camps = findings.disagreements.iter().flat_map(|d| d.camps.iter().flat_map(|camp| camp.providers.iter().copied()));
    let missing = cells.chain(ranked).chain(behind).chain(camps).find(|place| *place >= findings.providers.len());
    missing.map_or(Ok(()), |place| Err(Unreadable::NoSuchProvider { place }))
}

fn check_intervals(findings: &Findings) -> Result<(), Unreadable> {
    for cell in &findings.cells {
        let times = [cell.p50_ms, cell.p90_ms, cell.p95_ms, cell.p99_ms, cell.p999_ms, cell.cold_ms];
        if !times.into_iter().flatten().chain([cell.success]).all(|e| is_interval(&e)) {
            return Err(Unreadable::NoInterval { of: shown(&cell.method) });
        }
    }
    let freshness = findings.providers.iter().filter_map(|p| Some((p, p.freshness.as_ref()?)));
    for (provider, fresh) in freshness {
        if !is_interval(&fresh.behind_ms) {
            return Err(Unreadable::NoInterval { of: shown(&provider.name) });
        }
    }
    Ok(())
}

/// Resampling may leave a figure outside of its own interval, so only the interval itself is judged.
fn is_interval(estimate: &Estimate) -> bool {
    estimate.low <= estimate.high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::plausible;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_is_written_is_read(seed in any::<u64>(), providers in 0usize..14, calls in 1u64..400, name in ".{0,40}") {
            let scene = plausible::Scene { truth: seed, draw: seed, providers, calls, slowed: None };
            let mut findings = plausible::drawn(scene);
            if let Some(first) = findings.providers.first_mut() {
                first.name = name;
            }
            findings.run.is_interrupted = seed % 2 == 0;
            prop_assert_eq!(read(&write(&findings)), Ok(findings));
        }

        #[test]
        fn whatever_is_read_is_refused_or_printed(text in ".{0,200}", cut in any::<prop::sample::Index>()) {
            let _ = read(&text);
            let whole = write(&plausible::findings(1, 3));
            let at = (0..=cut.index(whole.len())).rev().find(|at| whole.is_char_boundary(*at)).unwrap_or(0);
            prop_assert!(read(&whole[..at]).is_err());
        }
    }

    /// The file with one value exchanged.
    fn changed(change: impl Fn(&mut Value)) -> Result<Findings, Unreadable> {
        let mut value: Value = serde_json::from_str(&write(&plausible::findings(1, 5))).expect("JSON");
        change(&mut value);
        read(&value.to_string())
    }

    #[test]
    fn faults_are_told_with_their_remedy() {
        let check = |got: Result<Findings, Unreadable>, part: &str| {
            let said = got.expect_err(part).to_string();
            assert!(said.contains(part), "{said}");
        };
        check(read(""), "no JSON at line 1");
        check(read("{\"a\":\n]}"), "no JSON at line 2");
        check(read("{}"), "no findings (it has no schema number)");
        check(read("[1]"), "no findings");
        check(read("{\"schema\":\"1\"}"), "no findings");
        check(read("{\"schema\":99}"), "schema 99 and this lasso reads 1");
        check(read("{\"schema\":1}"), "missing field `run`");
        check(read(&" ".repeat(limits::REPORT_FILE_BYTES + 1)), "bytes and at most");
        check(changed(|v| v["cells"][0]["provider"] = 5.into()), "names provider number 5");
        check(changed(|v| v["comparisons"][0]["groups"][0][0] = 77.into()), "names provider number 77");
        check(changed(|v| v["disagreements"][0]["camps"][0]["providers"][0] = 9.into()), "names provider number 9");
        check(changed(|v| v["cells"][0]["p50_ms"]["low"] = 1e9.into()), "ends before it begins");
        check(changed(|v| v["cells"][0]["calls"] = (-1).into()), "no findings");
        assert!(changed(|v| v["a_later_field"] = 1.into()).is_ok(), "what a later version adds is passed by");
    }
}
