//! The findings by method: one section for each method and transport, its providers best first.
//!
//! Table, CSV, HTML and sentences all walk these sections, so their orders cannot differ. Order and ties are the
//! comparison's; who was measured and not compared (too few answers) follows by its median, then by its place.

use crate::bench::findings::{Cell, Comparison, Estimate, Findings};

/// Position among those compared, as in sport: after two firsts comes a third.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rank {
    pub position: usize,
    pub is_tie: bool,
}

impl Rank {
    /// `1`, or `1=` of a tie.
    pub fn text(self) -> String {
        format!("{}{}", self.position, if self.is_tie { "=" } else { "" })
    }
}

/// One provider's figures with where they stand.
#[derive(Clone, Copy)]
pub(super) struct RankedCell<'f> {
    pub cell: &'f Cell,
    pub rank: Option<Rank>,
    pub behind_ms: Option<Estimate>,
}

impl RankedCell<'_> {
    pub fn is_best(&self) -> bool {
        self.rank.is_some_and(|rank| rank.position == 1)
    }
}

/// One method over one transport.
pub(super) struct MethodSection<'f> {
    pub transport: &'f str,
    pub method: &'f str,
    pub comparison: Option<&'f Comparison>,
    /// Best first.
    pub cells: Vec<RankedCell<'f>>,
}

impl<'f> MethodSection<'f> {
    pub fn of_provider(&self, provider: usize) -> Option<&RankedCell<'f>> {
        self.cells.iter().find(|ranked| ranked.cell.provider == provider)
    }
}

/// HTTP first, methods in the order in which they were asked.
pub(super) fn sections(findings: &Findings) -> Vec<MethodSection<'_>> {
    let mut out: Vec<MethodSection<'_>> = Vec::new();
    for cell in &findings.cells {
        if !out.iter().any(|section| section.transport == cell.transport && section.method == cell.method) {
            out.push(section(findings, &cell.transport, &cell.method));
        }
    }
    out.sort_by(|a, b| a.transport.cmp(b.transport));
    out
}

fn section<'f>(findings: &'f Findings, transport: &'f str, method: &'f str) -> MethodSection<'f> {
    let comparison = findings.comparisons.iter().find(|c| c.transport == transport && c.method == method);
    let of_section = findings.cells.iter().filter(|cell| cell.transport == transport && cell.method == method);
    let mut cells: Vec<RankedCell<'f>> = of_section
        .map(|cell| RankedCell {
            cell,
            rank: comparison.and_then(|c| rank_of(c, cell.provider)),
            behind_ms: comparison.and_then(|c| behind(c, cell.provider)),
        })
        .collect();
    let median = |ranked: &RankedCell<'_>| ranked.cell.p50_ms.map_or(f64::INFINITY, |p50| p50.value);
    cells.sort_by(|a, b| {
        let position = |ranked: &RankedCell<'_>| ranked.rank.map_or(usize::MAX, |rank| rank.position);
        position(a).cmp(&position(b)).then(median(a).total_cmp(&median(b)))
    });
    MethodSection { transport, method, comparison, cells }
}

pub(super) fn rank_of(comparison: &Comparison, provider: usize) -> Option<Rank> {
    let mut position = 1;
    for group in &comparison.groups {
        if group.contains(&provider) {
            return Some(Rank { position, is_tie: group.len() > 1 });
        }
        position += group.len();
    }
    None
}

/// Nothing of the best itself, which may be in the list as its own equal.
fn behind(comparison: &Comparison, provider: usize) -> Option<Estimate> {
    let found = comparison.behind_best_ms.iter().find(|(of, _)| *of == provider).map(|(_, estimate)| *estimate);
    found.filter(|estimate| estimate.low < 0.0 || estimate.high > 0.0)
}

/// How a provider did over all comparisons.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Record {
    pub provider: usize,
    pub comparisons: usize,
    pub best_alone: usize,
    pub best_tied: usize,
    /// Mean of its positions, each as a share from 0 (best) to 1 (last); none if it was in no comparison.
    pub mean_position: Option<f64>,
}

impl Record {
    pub fn best(&self) -> usize {
        self.best_alone + self.best_tied
    }
}

/// Every provider's record, best first: by mean position, so that a comparison of few counts as much as one of many.
pub(super) fn records(findings: &Findings) -> Vec<Record> {
    let mut out: Vec<Record> = (0..findings.providers.len()).map(|provider| record(findings, provider)).collect();
    out.sort_by(|a, b| {
        let mean = |record: &Record| record.mean_position.unwrap_or(f64::INFINITY);
        mean(a).total_cmp(&mean(b)).then(b.best().cmp(&a.best())).then(a.provider.cmp(&b.provider))
    });
    out
}

fn record(findings: &Findings, provider: usize) -> Record {
    let mut out = Record { provider, comparisons: 0, best_alone: 0, best_tied: 0, mean_position: None };
    let mut sum = 0.0;
    for comparison in &findings.comparisons {
        let Some(rank) = rank_of(comparison, provider) else { continue };
        let others = comparison.groups.iter().map(Vec::len).sum::<usize>().saturating_sub(1).max(1);
        out.comparisons += 1;
        out.best_alone += usize::from(rank.position == 1 && !rank.is_tie);
        out.best_tied += usize::from(rank.position == 1 && rank.is_tie);
        sum += (rank.position - 1) as f64 / others as f64;
    }
    if out.comparisons > 0 {
        out.mean_position = Some(sum / out.comparisons as f64);
    }
    out
}

/// All calls of a provider that ended, and how many of them were answered.
pub(super) fn totals(findings: &Findings, provider: usize) -> (u64, u64) {
    let cells = findings.cells.iter().filter(|cell| cell.provider == provider);
    cells.fold((0, 0), |(calls, good), cell| (calls.saturating_add(cell.calls), good.saturating_add(cell.successes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::plausible;

    #[test]
    fn positions_are_those_of_sport() {
        let groups = vec![vec![2, 0], vec![1], vec![3, 4]];
        let comparison = Comparison { transport: "http".into(), method: "m".into(), groups, behind_best_ms: vec![] };
        let rank = |provider| rank_of(&comparison, provider).map(Rank::text);
        let texts: Vec<Option<String>> = (0..6).map(rank).collect();
        assert_eq!(texts, [Some("1="), Some("3"), Some("1="), Some("4="), Some("4="), None].map(|t| t.map(str::to_owned)));
    }

    #[test]
    fn every_cell_stands_in_one_section_best_first() {
        let findings = plausible::findings(3, 5);
        let sections = sections(&findings);
        assert_eq!(sections.iter().map(|s| s.cells.len()).sum::<usize>(), findings.cells.len());
        for section in &sections {
            let positions: Vec<usize> = section.cells.iter().filter_map(|r| r.rank).map(|rank| rank.position).collect();
            assert!(positions.is_sorted(), "{positions:?}");
        }
        let means: Vec<f64> = records(&findings).iter().filter_map(|r| r.mean_position).collect();
        assert!(means.is_sorted() && !means.is_empty(), "{means:?}");
    }
}
