//! What is wrong with the configuration: all of it at once, each with file, line and remedy.
//!
//! Readers note a problem and go on with what they can; nothing stops at the first. A problem is noted at a node of the
//! YAML tree and becomes a line only at the end (`yaml::lines`), because lines cost a second look at the text and a good
//! file should not pay for it. Problems are sorted by file, line and text, and said once each.

use crate::config::SourceFile;
use crate::config::yaml::{self, At};
use std::collections::BTreeMap;
use std::fmt;

/// One thing that must be changed before the configuration can be used, or (as a warning) that is worth knowing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// As the source was named, usually a path.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// The cause. Never holds a secret.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// `file:line: problem (remedy)` (docs/behaviour/node.md#profiles).
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} ({})", self.file, self.line, self.what, self.remedy)
    }
}

/// Where in a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Place {
    Node(At),
    Line(u32),
}

struct Finding {
    file: usize,
    place: Place,
    what: String,
    remedy: String,
}

/// Problems and warnings while they are collected.
#[derive(Default)]
pub(super) struct Findings {
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl Findings {
    pub fn problem(&mut self, file: usize, place: Place, what: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Finding { file, place, what: what.into(), remedy: remedy.into() });
    }

    pub fn warning(&mut self, file: usize, place: Place, what: impl Into<String>, remedy: impl Into<String>) {
        self.warnings.push(Finding { file, place, what: what.into(), remedy: remedy.into() });
    }

    /// Problems, then warnings, each sorted, with lines.
    pub fn finish(self, files: &[SourceFile]) -> (Vec<Problem>, Vec<Problem>) {
        (located(self.problems, files), located(self.warnings, files))
    }
}

fn located(findings: Vec<Finding>, files: &[SourceFile]) -> Vec<Problem> {
    let mut wanted: BTreeMap<usize, Vec<At>> = BTreeMap::new();
    for finding in &findings {
        if let Place::Node(at) = finding.place {
            wanted.entry(finding.file).or_default().push(at);
        }
    }
    let lines: BTreeMap<usize, BTreeMap<At, u32>> = wanted
        .into_iter()
        .filter_map(|(file, nodes)| files.get(file).map(|source| (file, yaml::lines(&source.text, nodes))))
        .collect();
    let mut out = Vec::new();
    let mut dropped: BTreeMap<usize, u32> = BTreeMap::new();
    for finding in findings {
        let line = match finding.place {
            Place::Line(line) => Some(line),
            Place::Node(at) => lines.get(&finding.file).and_then(|l| l.get(&at)).copied(),
        };
        match line {
            Some(line) => {
                out.push(Problem { file: name_of(files, finding.file), line, what: finding.what, remedy: finding.remedy });
            }
            None => *dropped.entry(finding.file).or_default() += 1,
        }
    }
    out.sort();
    out.dedup();
    for (file, count) in dropped {
        let file = name_of(files, file);
        let line = out.iter().filter(|p| p.file == file).map(|p| p.line).max().unwrap_or(1);
        let remedy = "put these right first".to_owned();
        out.push(Problem { file, line, what: format!("and {count} more problems in this file"), remedy });
    }
    out
}

fn name_of(files: &[SourceFile], file: usize) -> String {
    files.get(file).map_or_else(String::new, |source| source.name.clone())
}
