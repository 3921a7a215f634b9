//! One method over one transport: what follows in sentences, intervals of median and p99 by provider, distributions, and
//! every figure.

use super::axis::Axis;
use super::drawing::{self, Curve, Whisker};
use super::page::heading;
use super::{Report, anchor, comparison, failed_share};
use crate::base::limits;
use crate::bench::findings::{Cell, Estimate};
use crate::bench::report::ranking::{MethodSection, Rank, RankedCell};
use crate::bench::report::verdict::About;
use crate::bench::report::words;
use maud::{Markup, html};

pub(super) fn card(report: &Report<'_>, place: usize, section: &MethodSection<'_>) -> Markup {
    let id = anchor(place);
    let about = About::Method { transport: section.transport.to_owned(), method: section.method.to_owned() };
    html! {
        section.card.method aria-labelledby=(id) {
            div.head {
                (heading(&id, title(section)))
                @for sentence in report.sentences.iter().filter(|sentence| sentence.about == about) { p.said { (sentence.text) } }
            }
            div.beside {
                (intervals(report, section))
                (distributions(report, section))
            }
            (figures(report, section, &id))
        }
    }
}

fn title(section: &MethodSection<'_>) -> Markup {
    html! { code { (comparison::broken(section.method)) } span.tag { (words::transport(section.transport)) } }
}

fn all_ms(section: &MethodSection<'_>) -> impl Iterator<Item = f64> {
    let estimates = section.cells.iter().flat_map(|ranked| [ranked.cell.p50_ms, ranked.cell.p99_ms]);
    estimates.flatten().flat_map(|e| [e.low, e.value, e.high])
}

fn intervals(report: &Report<'_>, section: &MethodSection<'_>) -> Markup {
    let axis = Axis::log(all_ms(section));
    let full = section.cells.iter().map(|ranked| failed_share(&[ranked.cell])).fold(0.0, f64::max);
    html! {
        table.plots {
            caption {
                "Milliseconds on a logarithmic scale: "
                (key("p50", "median")) " and " (key("p99", "p99")) " with their 95% intervals"
            }
            thead { tr {
                th.num scope="col" { "#" }
                th scope="col" { "provider" }
                th.drawn scope="col" { span.hidden { "drawing" } (drawing::scale(&axis)) }
                th.num scope="col" { "median" }
                th.num.roomy scope="col" { "p99" }
                th.num.roomy scope="col" { "behind best" }
                th.failed.roomy scope="col" { "success" }
            } }
            tbody { @for place in 0..section.cells.len() { (interval_row(report, section, place, (&axis, full))) } }
        }
    }
}

fn key(class: &str, word: &str) -> Markup {
    html! {
        span.key {
            svg.chip width="12" height="12" aria-hidden="true" { g class=(class) { circle.mark cx="6" cy="6" r="4" {} } }
            (word)
        }
    }
}

fn interval_row(report: &Report<'_>, section: &MethodSection<'_>, place: usize, (axis, full): (&Axis, f64)) -> Markup {
    let Some(ranked) = section.cells.get(place) else { return html! {} };
    let cell = ranked.cell;
    let name = report.name(cell.provider);
    let marks = [(cell.p50_ms, "p50"), (cell.p99_ms, "p99")];
    let marks: Vec<Whisker> =
        marks.into_iter().filter_map(|(estimate, class)| Some(Whisker { estimate: estimate?, class })).collect();
    html! {
        tr.best[ranked.is_best()].after-tie[begins_group(section, place)] {
            td.num.rank { (ranked.rank.map_or_else(|| "–".to_owned(), Rank::text)) }
            th scope="row" { (name) }
            td.drawn { (drawing::whiskers(axis, &marks, &described(name, cell))) }
            (figure(cell.p50_ms, ""))
            (figure(cell.p99_ms, "roomy"))
            (figure(ranked.behind_ms, "roomy"))
            td.failed.roomy {
                @if cell.calls > 0 { (words::percent(cell.success.value)) } @else { "–" }
                @if !cell.errors.is_empty() {
                    (drawing::stacked(&report.error_parts(&[cell]), full, &format!("{name}: {}", words::errors(cell))))
                }
            }
        }
    }
}

/// Whether a line belongs between this provider and the one before: another rank, so no tie.
fn begins_group(section: &MethodSection<'_>, place: usize) -> bool {
    let position = |place: usize| section.cells.get(place).and_then(|ranked| ranked.rank).map(|rank| rank.position);
    place > 0 && position(place) != position(place - 1)
}

fn described(name: &str, cell: &Cell) -> String {
    let part = |word: &str, estimate: Option<Estimate>| estimate.map(|e| format!("{word} {}", words::estimate_ms(&e)));
    let parts: Vec<String> = [part("median", cell.p50_ms), part("p99", cell.p99_ms)].into_iter().flatten().collect();
    if parts.is_empty() { format!("{name}: too few answers") } else { format!("{name}: {}", words::list(&parts)) }
}

/// A figure above its interval.
fn figure(estimate: Option<Estimate>, class: &str) -> Markup {
    html! {
        td class={ "num " (class) } {
            @match estimate {
                Some(estimate) => { b { (words::ms(estimate.value)) } span.range { (words::range_ms(&estimate)) } },
                None => "–",
            }
        }
    }
}

fn distributions(report: &Report<'_>, section: &MethodSection<'_>) -> Markup {
    let drawn: Vec<&RankedCell<'_>> = section.cells.iter().filter(|ranked| ranked.cell.distribution.len() > 1).collect();
    if drawn.is_empty() {
        return html! {};
    }
    let axis = Axis::log(drawn.iter().flat_map(|ranked| reached(ranked.cell)));
    html! {
        figure {
            figcaption { "Share of calls that took at most so many milliseconds" }
            @if drawn.len() <= limits::REPORT_CURVES { (together(report, section, &drawn, &axis)) }
            @else { (one_by_one(report, section, &drawn, &axis)) }
        }
    }
}

/// From the first call to the last.
fn reached(cell: &Cell) -> [f64; 2] {
    let edge = |found: Option<&(f64, u64)>| found.map_or(0.0, |(edge_ms, _)| *edge_ms);
    let all = cell.distribution.last().map_or(0, |(_, count)| *count);
    [
        edge(cell.distribution.iter().find(|(_, count)| *count > 0)),
        edge(cell.distribution.iter().find(|(_, count)| *count == all)),
    ]
}

fn curve<'f>(report: &'f Report<'_>, ranked: &RankedCell<'f>, class: String) -> Curve<'f> {
    Curve { points: &ranked.cell.distribution, class, name: report.name(ranked.cell.provider) }
}

fn title_of(section: &MethodSection<'_>) -> String {
    format!("Distributions of {} over {}", words::plain(section.method), words::transport(section.transport))
}

fn together(report: &Report<'_>, section: &MethodSection<'_>, drawn: &[&RankedCell<'_>], axis: &Axis) -> Markup {
    let class = |ranked: &RankedCell<'_>| format!("s{}", ranked.cell.provider % SERIES);
    let curves: Vec<Curve<'_>> = drawn.iter().rev().map(|ranked| curve(report, ranked, class(ranked))).collect();
    let told: Vec<String> = drawn.iter().map(|ranked| described(report.name(ranked.cell.provider), ranked.cell)).collect();
    html! {
        (drawing::distributions(axis, &curves, &title_of(section), &told.join("; ")))
        ul.legend {
            @for ranked in drawn {
                li {
                    svg.chip width="22" height="10" aria-hidden="true" { path class={ "curve " (class(ranked)) } d="M1 5H21" {} }
                    (report.name(ranked.cell.provider))
                }
            }
        }
    }
}

/// Colours of curves; a provider keeps its own through the whole page.
const SERIES: usize = 8;

/// Many: each in a drawing of its own, before the others in grey.
fn one_by_one(report: &Report<'_>, section: &MethodSection<'_>, drawn: &[&RankedCell<'_>], axis: &Axis) -> Markup {
    html! {
        div.small-multiples {
            @for own in drawn {
                @let name = report.name(own.cell.provider);
                @let others = drawn.iter().filter(|ranked| ranked.cell.provider != own.cell.provider);
                @let curves: Vec<Curve<'_>> = others.map(|ranked| curve(report, ranked, "other".to_owned()))
                    .chain([curve(report, own, "own".to_owned())]).collect();
                div.multiple {
                    p { (name) }
                    (drawing::distributions(axis, &curves, &title_of(section), &described(name, own.cell)))
                }
            }
        }
    }
}

fn figures(report: &Report<'_>, section: &MethodSection<'_>, id: &str) -> Markup {
    html! {
        div.wide role="region" aria-labelledby=(id) tabindex="0" {
            table.figures {
                caption { "All figures, in milliseconds, each above its interval" }
                thead { tr {
                    th scope="col" { "provider" }
                    @for title in ["calls", "success", "p50", "p90", "p95", "p99", "p99.9", "cold", "behind best"] {
                        th.num scope="col" { (title) }
                    }
                    th scope="col" { "failed of" }
                } }
                tbody { @for ranked in &section.cells { (figure_row(report, ranked)) } }
            }
        }
    }
}

fn figure_row(report: &Report<'_>, ranked: &RankedCell<'_>) -> Markup {
    let cell = ranked.cell;
    let share = |value: f64| words::percent(value).trim_end_matches('%').to_owned();
    html! {
        tr {
            th scope="row" { (report.name(cell.provider)) }
            td.num { (words::whole(cell.calls)) }
            td.num {
                @if cell.calls > 0 {
                    b { (words::percent(cell.success.value)) }
                    span.range { (share(cell.success.low)) "–" (share(cell.success.high)) }
                } @else { "–" }
            }
            @for estimate in [cell.p50_ms, cell.p90_ms, cell.p95_ms, cell.p99_ms, cell.p999_ms, cell.cold_ms, ranked.behind_ms] {
                (figure(estimate, ""))
            }
            td { @if cell.errors.is_empty() { "–" } @else { (words::errors(cell)) } }
        }
    }
}
