//! What is a provider's own, whatever the method: what it is and has, how late its blocks are, what its failures were, and
//! where its answers differ.

use super::axis::Axis;
use super::drawing::{self, Whisker};
use super::page::heading;
use super::{Report, failed_share};
use crate::base::limits;
use crate::bench::findings::{Camp, Cell, Depth, Disagreement, Freshness, Provider, ProviderState};
use crate::bench::report::verdict::{is_late, majority};
use crate::bench::report::words;
use maud::{Markup, html};

pub(super) fn cards(report: &Report<'_>) -> Markup {
    html! {
        (facts(report))
        div.pair { (blocks(report)) (errors(report)) }
        (disagreements(report))
    }
}

const FACTS: [&str; 7] = [
    "provider",
    "state",
    "reads states back",
    "one eth_getLogs spans",
    "serves without refusing",
    "a million calls cost",
    "lacks",
];

fn facts(report: &Report<'_>) -> Markup {
    html! {
        section.card aria-labelledby="providers" {
            (heading("providers", "Providers"))
            div.wide role="region" aria-labelledby="providers" tabindex="0" {
                table.facts {
                    thead { tr {
                        @for title in FACTS { th scope="col" { (title) } }
                    } }
                    tbody {
                        @for (index, provider) in report.findings.providers.iter().enumerate() {
                            (fact_row(report.name(index), provider))
                        }
                    }
                }
            }
        }
    }
}

fn fact_row(name: &str, provider: &Provider) -> Markup {
    let version = provider.client_version.as_deref().map(words::plain).unwrap_or_default();
    let missing: Vec<String> = provider.missing_methods.iter().map(|method| words::plain(method)).collect();
    html! {
        tr {
            th scope="row" {
                (name)
                span.under-name { (words::plain(&provider.host)) }
                @if !version.is_empty() { span.under-name { (version) } }
            }
            td { (state(provider)) }
            td { (depth(provider)) }
            td { (log_range(provider)) }
            td { (rate_limit(provider)) }
            td { (or_dash(provider.price_per_million.map(words::rate))) }
            td.methods { (or_dash((!missing.is_empty()).then(|| missing.join(", ")))) }
        }
    }
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

fn state(provider: &Provider) -> Markup {
    let reason = match &provider.state {
        ProviderState::Dead { reason } | ProviderState::Refused { reason } => words::plain(reason),
        _ => String::new(),
    };
    let is_well = provider.state == ProviderState::Measured;
    html! {
        span.badge.bad[!is_well] { (words::state(provider)) }
        @if !reason.is_empty() { span.under-name { (reason) } }
    }
}

fn depth(provider: &Provider) -> String {
    or_dash(provider.depth.map(|depth| match depth {
        Depth::Archive => "all of it (archive)".to_owned(),
        Depth::Blocks { blocks } => words::counted(blocks, "block"),
        Depth::Unknown => "not found out".to_owned(),
    }))
}

fn log_range(provider: &Provider) -> Markup {
    html! {
        @match provider.log_range {
            Some(range) => {
                @if range.refused_blocks.is_none() { "at least " }
                (words::counted(range.answered_blocks, "block"))
                @if let Some(refused) = range.refused_blocks { span.under-name { "refuses " (words::whole(refused)) } }
            },
            None => "–",
        }
    }
}

fn rate_limit(provider: &Provider) -> Markup {
    html! {
        @match provider.rate_limit {
            Some(limit) => {
                @if limit.refused_per_second.is_none() { "at least " }
                (words::rate(limit.served_per_second)) " calls/s"
                @if let Some(refused) = limit.refused_per_second { span.under-name { "refuses at " (words::rate(refused)) } }
            },
            None => "–",
        }
    }
}

fn blocks(report: &Report<'_>) -> Markup {
    let mut known: Vec<(usize, &Freshness)> =
        report.findings.providers.iter().enumerate().filter_map(|(index, p)| Some((index, p.freshness.as_ref()?))).collect();
    known.sort_by(|a, b| a.1.behind_ms.value.total_cmp(&b.1.behind_ms.value));
    if known.is_empty() {
        return html! {};
    }
    let axis = Axis::linear(known.iter().flat_map(|(_, f)| [f.behind_ms.value, f.behind_ms.high]));
    html! {
        section.card aria-labelledby="blocks" {
            div.head {
                (heading("blocks", "New blocks"))
                p.hint { "How long after whoever had a block first, in milliseconds: median and its interval." }
            }
            table.plots {
                thead { tr {
                    th scope="col" { "provider" }
                    th.drawn scope="col" { span.hidden { "drawing" } (drawing::scale(&axis)) }
                    th.num scope="col" { "behind" }
                    th.num.roomy scope="col" { "first" }
                } }
                tbody { @for (index, freshness) in known { (block_row(report.name(index), freshness, &axis)) } }
            }
        }
    }
}

fn block_row(name: &str, freshness: &Freshness, axis: &Axis) -> Markup {
    let estimate = freshness.behind_ms;
    let title = format!("{name}: {} behind the first", words::estimate_ms(&estimate));
    html! {
        tr.late[is_late(freshness)] {
            th scope="row" { (name) span.under-name { (words::found_by(freshness)) } }
            td.drawn { (drawing::whiskers(axis, &[Whisker { estimate, class: "p50" }], &title)) }
            td.num { b { (words::ms(estimate.value)) } span.range { (words::range_ms(&estimate)) } }
            td.num.roomy { (words::whole(freshness.first)) span.of { " of " (words::whole(freshness.blocks)) } }
        }
    }
}

fn errors(report: &Report<'_>) -> Markup {
    if report.findings.cells.is_empty() {
        return html! {};
    }
    let of = |provider: usize| -> Vec<&Cell> { report.findings.cells.iter().filter(|cell| cell.provider == provider).collect() };
    let mut rows: Vec<(usize, Vec<&Cell>)> = (0..report.names.len()).map(|provider| (provider, of(provider))).collect();
    rows.retain(|(_, cells)| !cells.is_empty());
    rows.sort_by(|a, b| failed_share(&a.1).total_cmp(&failed_share(&b.1)));
    let full = rows.iter().map(|(_, cells)| failed_share(cells)).fold(0.0, f64::max);
    html! {
        section.card aria-labelledby="errors" {
            div.head {
                (heading("errors", "Failures"))
                @if report.categories.is_empty() { p.hint { "Every call was answered." } }
                @else { p.hint { "Share of a provider's calls that failed, by what they failed of." } }
            }
            @if !report.categories.is_empty() {
                (legend(report))
                table.plots {
                    thead { tr {
                        th scope="col" { "provider" }
                        th.drawn scope="col" { span.hidden { "drawing" } }
                        th.num scope="col" { "failed" }
                    } }
                    tbody { @for (provider, cells) in &rows { (error_row(report, *provider, cells, full)) } }
                }
            }
        }
    }
}

fn legend(report: &Report<'_>) -> Markup {
    html! {
        ul.legend {
            @for category in report.categories.iter().take(super::ERROR_COLOURS) {
                li {
                    svg.chip width="10" height="10" aria-hidden="true" {
                        rect class=(report.error_class(category)) width="10" height="10" rx="2" {}
                    }
                    (category)
                }
            }
            @if report.categories.len() > super::ERROR_COLOURS { li { "and what is rarer, in the last colour" } }
        }
    }
}

fn error_row(report: &Report<'_>, provider: usize, cells: &[&Cell], full: f64) -> Markup {
    let calls: u64 = cells.iter().map(|cell| cell.calls).sum();
    let failed = calls - cells.iter().map(|cell| cell.successes).sum::<u64>().min(calls);
    let name = report.name(provider);
    let title = format!("{name}: {} of {} failed", words::whole(failed), words::counted(calls, "call"));
    html! {
        tr {
            th scope="row" { (name) }
            td.drawn { (drawing::stacked(&report.error_parts(cells), full, &title)) }
            td.num {
                b { (words::percent(failed_share(cells))) }
                span.range { (words::whole(failed)) " of " (words::whole(calls)) }
            }
        }
    }
}

fn disagreements(report: &Report<'_>) -> Markup {
    if report.findings.disagreements.is_empty() {
        return html! {};
    }
    html! {
        section.card aria-labelledby="disagreements" {
            div.head {
                (heading("disagreements", "Answered differently"))
                p.hint { "The same question at the same block." }
            }
            div.questions { @for one in &report.findings.disagreements { (question(report, one)) } }
        }
    }
}

fn question(report: &Report<'_>, disagreement: &Disagreement) -> Markup {
    let most = majority(disagreement);
    let stands = |camp: &Camp| match most {
        Some(right) if std::ptr::eq(right, camp) => "majority",
        Some(_) => "against it",
        None => "undecided",
    };
    html! {
        div.question {
            p { code { (words::plain(&disagreement.method)) } " at block " (words::whole(disagreement.block_number)) }
            p.params { code { (words::shortened(&disagreement.params, 2 * limits::REPORT_ANSWER_CHARS)) } }
            table {
                thead { tr { th scope="col" { "stands" } th scope="col" { "who" } th scope="col" { "answer" } } }
                tbody {
                    @for camp in &disagreement.camps {
                        tr.against[most.is_some_and(|right| !std::ptr::eq(right, camp))] {
                            td { (stands(camp)) }
                            th scope="row" { (words::list(&words::names(report.findings, &camp.providers))) }
                            td { code { (words::shortened(&camp.answer, 2 * limits::REPORT_ANSWER_CHARS)) } }
                        }
                    }
                }
            }
        }
    }
}
