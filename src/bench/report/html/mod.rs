//! The findings as one page: opened from a disk, sent by mail, printed. No script, no request: style and drawings are in it,
//! and a policy in its head forbids everything else, its own style excepted, which is named by its digest.
//!
//! Markup is written by maud, which escapes whatever is spliced in, so that a provider's name is text wherever it stands. A
//! template engine with files was rejected, because escaping would depend on their names, and our own writer, because it would
//! be a second thing to trust. Drawings are inline SVG (`drawing`). Reading order: `page` (head and frame), `verdict`,
//! `comparison`, `providers`, `method`.

mod axis;
mod comparison;
mod drawing;
mod method;
mod page;
mod providers;
#[cfg(test)]
mod tests;
mod verdict;

use crate::bench::findings::{Cell, Findings};
use crate::bench::report::ranking::{self, MethodSection};
use crate::bench::report::verdict::Sentence;
use crate::bench::report::words;

pub fn write(findings: &Findings) -> String {
    page::page(&Report::new(findings)).into_string()
}

/// What every part of the page reads, worked out once.
struct Report<'f> {
    findings: &'f Findings,
    sections: Vec<MethodSection<'f>>,
    sentences: Vec<Sentence>,
    names: Vec<String>,
    /// Error categories of the whole run, most first; a category's place is its colour.
    categories: Vec<String>,
}

impl<'f> Report<'f> {
    fn new(findings: &'f Findings) -> Report<'f> {
        Report {
            findings,
            sections: ranking::sections(findings),
            sentences: super::verdict::told(findings),
            names: (0..findings.providers.len()).map(|provider| words::name(findings, provider)).collect(),
            categories: categories(findings),
        }
    }

    fn name(&self, provider: usize) -> &str {
        self.names.get(provider).map_or("", String::as_str)
    }

    /// The class of an error category's colour; the rare ones share the last.
    fn error_class(&self, category: &str) -> String {
        let place = self.categories.iter().position(|known| known == category).unwrap_or(ERROR_COLOURS);
        format!("e{}", place.min(ERROR_COLOURS - 1))
    }

    /// Each category of a cell with its share of the cell's calls.
    fn error_parts(&self, cells: &[&Cell]) -> Vec<(String, f64)> {
        let calls: u64 = cells.iter().map(|cell| cell.calls).sum();
        let of = |category: &String| -> u64 {
            let counts = cells.iter().flat_map(|cell| words::error_counts(cell));
            counts.filter(|(known, _)| known == category).map(|(_, count)| count).sum()
        };
        let shares = self.categories.iter().map(|category| (self.error_class(category), of(category)));
        shares.filter(|(_, count)| *count > 0).map(|(class, count)| (class, count as f64 / calls.max(1) as f64)).collect()
    }
}

const ERROR_COLOURS: usize = 7;

fn categories(findings: &Findings) -> Vec<String> {
    let mut counts: Vec<(String, u64)> = Vec::new();
    for (category, count) in findings.cells.iter().flat_map(words::error_counts) {
        match counts.iter_mut().find(|(known, _)| *known == category) {
            Some((_, sum)) => *sum = sum.saturating_add(count),
            None => counts.push((category, count)),
        }
    }
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.into_iter().map(|(category, _)| category).collect()
}

/// The share of a cell's calls that failed.
fn failed_share(cells: &[&Cell]) -> f64 {
    let calls: u64 = cells.iter().map(|cell| cell.calls).sum();
    let good: u64 = cells.iter().map(|cell| cell.successes).sum();
    calls.saturating_sub(good) as f64 / calls.max(1) as f64
}

/// The anchor of a section.
fn anchor(place: usize) -> String {
    format!("m{place}")
}
