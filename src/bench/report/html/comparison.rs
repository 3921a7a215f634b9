//! All medians at a glance: providers by rank, methods beside each other, the best of each marked.

use super::page::heading;
use super::{Report, anchor};
use crate::bench::findings::{Estimate, ProviderState};
use crate::bench::report::ranking::{self, MethodSection, RankedCell};
use crate::bench::report::words;
use maud::{Markup, html};

pub(super) fn card(report: &Report<'_>) -> Markup {
    if report.sections.is_empty() {
        return html! {};
    }
    let records = ranking::records(report.findings);
    html! {
        section.card aria-labelledby="comparison" {
            div.head {
                (heading("comparison", "Comparison"))
                p.hint {
                    "Median in milliseconds, and how much slower than the best. "
                    span.key.best { "Green" } " is best, or tied for it."
                }
            }
            div.wide role="region" aria-labelledby="comparison" tabindex="0" {
                table.matrix {
                    thead { tr {
                        th scope="col" { "provider" }
                        @for (place, section) in report.sections.iter().enumerate() {
                            th scope="col" {
                                a href={ "#" (anchor(place)) } { (broken(section.method)) }
                                span.tag { (words::transport(section.transport)) }
                            }
                        }
                        th.num scope="col" { "best in" }
                        th.num scope="col" { "success" }
                    } }
                    tbody {
                        @for record in &records { (row(report, record)) }
                    }
                }
            }
        }
    }
}

fn row(report: &Report<'_>, record: &ranking::Record) -> Markup {
    let (calls, good) = ranking::totals(report.findings, record.provider);
    let state = report.findings.providers.get(record.provider);
    html! {
        tr {
            th scope="row" {
                (report.name(record.provider))
                @if let Some(provider) = state.filter(|provider| provider.state != ProviderState::Measured) {
                    span.state { (words::state(provider)) }
                }
            }
            @for section in &report.sections { (cell(section, section.of_provider(record.provider))) }
            td.num { @if record.comparisons > 0 { (record.best()) span.of { " of " (record.comparisons) } } @else { "–" } }
            td.num { @if calls > 0 { (words::percent(good as f64 / calls as f64)) } @else { "–" } }
        }
    }
}

fn cell(section: &MethodSection<'_>, ranked: Option<&RankedCell<'_>>) -> Markup {
    let median = ranked.and_then(|ranked| Some((ranked, ranked.cell.p50_ms?)));
    let Some((ranked, median)) = median else {
        return html! { td.num.none { "–" } };
    };
    let best = section.cells.iter().filter(|other| other.is_best()).filter_map(|other| other.cell.p50_ms);
    let best_ms = best.map(|e| e.value).fold(f64::INFINITY, f64::min);
    html! {
        td.num.best[ranked.is_best()] {
            b { (words::ms(median.value)) }
            span.rank { @if ranked.is_best() { (place(ranked)) } @else { (slower(&median, best_ms)) } }
        }
    }
}

fn place(ranked: &RankedCell<'_>) -> String {
    ranked.rank.map_or_else(String::new, |rank| if rank.is_tie { "tie".to_owned() } else { "best".to_owned() })
}

/// In per cent up to three times as long, in times above.
fn slower(median: &Estimate, best_ms: f64) -> String {
    if !best_ms.is_finite() || best_ms <= 0.0 {
        return String::new();
    }
    let factor = median.value / best_ms;
    if factor < 3.0 { format!("{:+.0}%", (factor - 1.0) * 100.0) } else { format!("×{factor:.1}") }
}

/// A method's name with places at which a line may break: after `_` and before capitals.
pub(super) fn broken(method: &str) -> Markup {
    let mut parts: Vec<String> = vec![String::new()];
    for c in words::plain(method).chars() {
        if let (true, Some(last)) = (c.is_ascii_uppercase(), parts.last())
            && !last.is_empty()
        {
            parts.push(String::new());
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
        if c == '_' {
            parts.push(String::new());
        }
    }
    html! { @for (index, part) in parts.iter().enumerate() { @if index > 0 { wbr; } (part) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_break_between_their_words() {
        let text = broken("eth_getTransactionReceipt").into_string();
        assert_eq!(text, "eth_<wbr>get<wbr>Transaction<wbr>Receipt");
        assert_eq!(broken("<b>").into_string(), "&lt;b&gt;");
    }

    #[test]
    fn slower_by() {
        let estimate = |value| Estimate { value, low: value, high: value };
        assert_eq!(slower(&estimate(13.4), 10.0), "+34%");
        assert_eq!(slower(&estimate(45.0), 10.0), "×4.5");
        assert_eq!(slower(&estimate(45.0), f64::INFINITY), "");
    }
}
