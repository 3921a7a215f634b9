//! Sentences about methods: the best or the tie, how far the others are behind, and what speaks against the best: calls
//! that it fails, and a longer tail than somebody else's.

use crate::base::limits;
use crate::bench::findings::{Cell, Estimate, Findings};
use crate::bench::report::ranking::{self, MethodSection, RankedCell};
use crate::bench::report::words::{counted, estimate_ms, estimate_share, list, name, names, plain, time, transport, verb};

/// Who is best most often; nothing to say where there is one comparison or none.
pub(super) fn overall(findings: &Findings) -> Vec<String> {
    let records = ranking::records(findings);
    let all = findings.comparisons.iter().filter(|comparison| !comparison.groups.is_empty()).count();
    let most = records.iter().map(ranking::Record::best).max().unwrap_or(0);
    if all < 2 || most == 0 {
        return Vec::new();
    }
    if findings.comparisons.iter().all(|comparison| comparison.groups.len() <= 1) {
        let compared: Vec<usize> = records.iter().filter(|r| r.comparisons > 0).map(|r| r.provider).collect();
        let who = list(&names(findings, &compared));
        return vec![format!("This run shows no difference between {who}: all {all} comparisons are ties.")];
    }
    let leaders: Vec<&ranking::Record> = records.iter().filter(|record| record.best() == most).collect();
    let who: Vec<usize> = leaders.iter().map(|record| record.provider).collect();
    let how = match leaders.as_slice() {
        [one] if one.best_alone == 0 => " (always in a tie)".to_owned(),
        [one] if one.best_tied > 0 => format!(" ({} of them alone)", one.best_alone),
        _ => String::new(),
    };
    let each = if leaders.len() > 1 { " each" } else { "" };
    let is = verb(leaders.len(), "is", "are");
    vec![format!(
        "{} {is} best or tied for best most often: in {most} of {all} comparisons{each}{how}.",
        list(&names(findings, &who))
    )]
}

/// The sentences of each section, as (transport, method, sentences).
pub(super) fn each(findings: &Findings) -> Vec<(String, String, Vec<String>)> {
    let sections = ranking::sections(findings);
    sections.iter().map(|s| (s.transport.to_owned(), s.method.to_owned(), section(findings, s))).collect()
}

fn section(findings: &Findings, section: &MethodSection<'_>) -> Vec<String> {
    let title = format!("{} over {}", plain(section.method), transport(section.transport));
    let groups: &[Vec<usize>] = section.comparison.map_or(&[], |comparison| &comparison.groups);
    let Some((best, followers)) = groups.split_first().filter(|(best, _)| !best.is_empty()) else {
        return vec![not_compared(findings, section, &title)];
    };
    let mut first = format!("{title}: {}", praise(findings, section, best));
    if let Some(text) = behind(findings, section, followers) {
        first.push(' ');
        first.push_str(&text);
    }
    let mut out = vec![first];
    out.extend(failing(findings, section, best));
    out.extend(longer_tail(findings, section, best));
    out
}

fn not_compared(findings: &Findings, section: &MethodSection<'_>, title: &str) -> String {
    match section.cells.as_slice() {
        [one] => {
            let who = name(findings, one.cell.provider);
            let figure = one.cell.p50_ms.map_or_else(
                || "it answered too few calls for a median".to_owned(),
                |p50| format!("its median is {}", estimate_ms(&p50)),
            );
            format!("{title}: {who} alone was asked, so there is nobody to compare it with; {figure}.")
        }
        cells => {
            let answered: u64 = cells.iter().map(|ranked| ranked.cell.successes).sum();
            format!("{title}: too few calls were answered to compare providers ({} in all).", counted(answered, "answer"))
        }
    }
}

fn praise(findings: &Findings, section: &MethodSection<'_>, best: &[usize]) -> String {
    let medians: Vec<Estimate> = best.iter().filter_map(|provider| p50(section, *provider)).collect();
    let who = list(&names(findings, best));
    if best.len() == 1 {
        return match medians.first() {
            Some(median) => format!("{who} is best with a median of {}.", estimate_ms(median)),
            None => format!("{who} is best."),
        };
    }
    let low = medians.iter().map(|e| e.value).fold(f64::INFINITY, f64::min);
    let high = medians.iter().map(|e| e.value).fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = (time(low), time(high));
    let spread = match medians.as_slice() {
        [] => String::new(),
        _ if low == high => format!(" (medians of {low})"),
        _ => format!(" (medians from {low} to {high})"),
    };
    format!("{who} are a tie{spread}.")
}

fn p50(section: &MethodSection<'_>, provider: usize) -> Option<Estimate> {
    section.of_provider(provider).and_then(|ranked| ranked.cell.p50_ms)
}

/// The next ones by name, and the rest by how far the last one is behind.
fn behind(findings: &Findings, section: &MethodSection<'_>, followers: &[Vec<usize>]) -> Option<String> {
    let all: Vec<(usize, Option<Estimate>)> = followers
        .iter()
        .flatten()
        .map(|provider| (*provider, section.of_provider(*provider).and_then(|ranked| ranked.behind_ms)))
        .collect();
    let shown = if all.len() > limits::REPORT_FOLLOWERS + 1 { limits::REPORT_FOLLOWERS } else { all.len() };
    let (named, rest) = all.split_at(shown);
    let slower = |(provider, by): &(usize, Option<Estimate>)| match by {
        Some(by) => format!("{} by {}", name(findings, *provider), estimate_ms(by)),
        None => name(findings, *provider),
    };
    let mut parts: Vec<String> = named.iter().map(slower).collect();
    if let Some((_, last)) = rest.last() {
        let most = last.map_or_else(String::new, |by| format!(", the last by {}", time(by.value)));
        parts.push(format!("{} more{most}", rest.len()));
    }
    (!parts.is_empty()).then(|| format!("Slower: {}.", list(&parts)))
}

/// A best one whose success lies below somebody's with certainty: quick, and not to be relied on.
fn failing(findings: &Findings, section: &MethodSection<'_>, best: &[usize]) -> Vec<String> {
    let surest = section.cells.iter().max_by(|a, b| a.cell.success.low.total_cmp(&b.cell.success.low));
    let Some(surest) = surest else { return Vec::new() };
    let of_best = best.iter().filter_map(|provider| section.of_provider(*provider));
    let worse = of_best.filter(|ranked| ranked.cell.success.high < surest.cell.success.low);
    worse
        .map(|ranked| {
            let (who, other) = (name(findings, ranked.cell.provider), name(findings, surest.cell.provider));
            let (share, surer) = (estimate_share(&ranked.cell.success), estimate_share(&surest.cell.success));
            format!("But {who} answered only {share} of these calls; {other} answered {surer}.")
        })
        .collect()
}

/// Somebody outside the best whose slowest hundredth is shorter than that of each of the best.
fn longer_tail(findings: &Findings, section: &MethodSection<'_>, best: &[usize]) -> Option<String> {
    let tail = |cell: &Cell| cell.p99_ms;
    let by_value = |a: &(&RankedCell<'_>, Estimate), b: &(&RankedCell<'_>, Estimate)| a.1.value.total_cmp(&b.1.value);
    let with_tail = section.cells.iter().filter_map(|ranked| Some((ranked, tail(ranked.cell)?)));
    let (of_best, others): (Vec<_>, Vec<_>) = with_tail.partition(|(ranked, _)| best.contains(&ranked.cell.provider));
    let (shortest, other) = (of_best.into_iter().min_by(by_value)?, others.into_iter().min_by(by_value)?);
    (other.1.high < shortest.1.low).then(|| {
        format!(
            "In the slowest hundredth of calls {} does better: a p99 of {} against {} of {}.",
            name(findings, other.0.cell.provider),
            estimate_ms(&other.1),
            estimate_ms(&shortest.1),
            name(findings, shortest.0.cell.provider)
        )
    })
}
