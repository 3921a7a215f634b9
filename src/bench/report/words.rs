//! Numbers, names and lists as people read them, in one place, so that every output says the same thing alike.
//!
//! Names, hosts, reasons and answers come from outside. Whatever is printed goes through [`plain`], which leaves one line
//! without control characters: a provider's version must not move a terminal's cursor.

use crate::base::limits;
use crate::base::time::WallTime;
use crate::bench::findings::{Cell, Estimate, Findings, Freshness, Provider, ProviderState};
use crate::observe::table;

/// The text on one line and not longer than a person reads; what was cut is shown by `…`.
pub(super) fn plain(text: &str) -> String {
    shortened(text, limits::REPORT_TEXT_CHARS)
}

pub(super) fn shortened(text: &str, chars: usize) -> String {
    let clean: String = text.chars().map(|c| if is_printed(c) { c } else { ' ' }).take(chars + 1).collect();
    if clean.chars().count() <= chars {
        return clean;
    }
    clean.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
}

/// Line and paragraph separators end a line for some readers, marks of direction turn the rest of one around, and what is no
/// character at all is refused by YAML.
fn is_printed(c: char) -> bool {
    let is_line_end = matches!(c, '\u{2028}' | '\u{2029}');
    let is_direction = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !(c.is_control() || is_line_end || is_direction || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}'))
}

/// A provider's name. A place that does not exist cannot come from [`super::json::read`], which refuses it.
pub(super) fn name(findings: &Findings, provider: usize) -> String {
    findings.providers.get(provider).map_or_else(|| format!("provider {}", provider + 1), |found| plain(&found.name))
}

pub(super) fn names(findings: &Findings, providers: &[usize]) -> Vec<String> {
    providers.iter().map(|provider| name(findings, *provider)).collect()
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// The verb that fits so many.
pub(super) fn verb<'w>(how_many: usize, one: &'w str, more: &'w str) -> &'w str {
    if how_many == 1 { one } else { more }
}

/// `1 call`, `1,234 calls`.
pub(super) fn counted(how_many: u64, what: &str) -> String {
    format!("{} {what}{}", whole(how_many), if how_many == 1 { "" } else { "s" })
}

/// `1,234,567`.
pub(super) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Three digits tell enough of a latency.
pub(super) fn ms(value: f64) -> String {
    if value < 0.0 { format!("−{}", table::ms(Some(-value))) } else { table::ms(Some(value)) }
}

/// With its unit; seconds where milliseconds are too many to be read.
pub(super) fn time(value_ms: f64) -> String {
    if value_ms.abs() < 10_000.0 { format!("{} ms", ms(value_ms)) } else { format!("{:.1} s", value_ms / 1000.0) }
}

/// `12.0–12.7`.
pub(super) fn range_ms(estimate: &Estimate) -> String {
    format!("{}–{}", ms(estimate.low), ms(estimate.high))
}

/// `12.3 ms (12.0–12.7)`.
pub(super) fn estimate_ms(estimate: &Estimate) -> String {
    if estimate.value.abs() < 10_000.0 {
        return format!("{} ({})", time(estimate.value), range_ms(estimate));
    }
    format!("{} ({:.1}–{:.1})", time(estimate.value), estimate.low / 1000.0, estimate.high / 1000.0)
}

pub(super) fn percent(share: f64) -> String {
    if share == 0.0 { "0%".to_owned() } else { table::percent(Some(share)) }
}

/// `99.12% (98.20–99.60%)`.
pub(super) fn estimate_share(estimate: &Estimate) -> String {
    format!("{} ({}–{})", percent(estimate.value), percent(estimate.low).trim_end_matches('%'), percent(estimate.high))
}

/// A number without digits that say nothing: `10`, `0.5`, `33.3`.
pub(super) fn rate(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) fn seconds(value: f64) -> String {
    if value >= 600.0 { format!("{} min", rate(value / 60.0)) } else { format!("{} s", rate(value)) }
}

/// For programs (RFC 3339).
pub(super) fn timestamp(unix_s: u64) -> String {
    WallTime(unix_s.saturating_mul(1000).min(limits::REPORT_LATEST_MS)).rfc3339()
}

/// `2026-11-30 16:33 UTC`.
pub(super) fn when(unix_s: u64) -> String {
    let text = timestamp(unix_s);
    format!("{} UTC", text.get(..16).unwrap_or(&text).replace('T', " "))
}

/// Nobody may have said which chain it was.
pub(super) fn chain(number: u64) -> String {
    if number == 0 { "unknown chain".to_owned() } else { format!("chain {number}") }
}

/// As people call it.
pub(super) fn transport(word: &str) -> String {
    match word {
        "http" => "HTTP".to_owned(),
        "ws" => "WebSocket".to_owned(),
        other => plain(other),
    }
}

/// `12 timeout, 3 rate_limit`, most first.
pub(super) fn errors(cell: &Cell) -> String {
    error_counts(cell).into_iter().map(|(category, count)| format!("{} {category}", whole(count))).collect::<Vec<_>>().join(", ")
}

pub(super) fn error_counts(cell: &Cell) -> Vec<(String, u64)> {
    let mut counts: Vec<(String, u64)> =
        cell.errors.iter().filter(|(_, count)| **count > 0).map(|(category, count)| (plain(category), *count)).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}

/// A provider's state in few words.
pub(super) fn state(provider: &Provider) -> String {
    match &provider.state {
        ProviderState::Measured => "measured".to_owned(),
        ProviderState::Dead { .. } => "dead".to_owned(),
        ProviderState::WrongChain { chain_number } => format!("wrong chain ({chain_number})"),
        ProviderState::Refused { .. } => "refused us".to_owned(),
        ProviderState::Banned { after_calls } => format!("banned us after {}", counted(*after_calls, "call")),
    }
}

/// How exactly a provider's time of a new block is known.
pub(super) fn found_by(freshness: &Freshness) -> String {
    match (freshness.is_pushed, freshness.asked_every_ms) {
        (true, _) => "pushed".to_owned(),
        (false, Some(every_ms)) => format!("asked every {}", time(every_ms as f64)),
        (false, None) => "asked".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lists() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(whole), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([counted(1, "call"), counted(2, "call")], ["1 call", "2 calls"]);
        assert_eq!([time(0.5), time(812.4), time(12_345.0)], ["0.50 ms", "812 ms", "12.3 s"]);
        assert_eq!([rate(10.0), rate(0.5), rate(33.333)], ["10", "0.5", "33.33"]);
        let words = |count: usize| list(&["a", "b", "c"].map(str::to_owned)[..count]);
        assert_eq!([words(0), words(1), words(2), words(3)], ["", "a", "a and b", "a, b and c"]);
        assert_eq!(when(1_796_056_380), "2026-11-30 16:33 UTC");
        assert_eq!(estimate_ms(&Estimate { value: 12_000.0, low: 11_000.0, high: 13_000.0 }), "12.0 s (11.0–13.0)");
    }

    #[test]
    fn nothing_from_outside_moves_a_terminal() {
        assert_eq!(plain("a\x1b[2J\r\nb\u{202e}c\u{2028}d"), "a [2J  b c d");
        let long = plain(&"x".repeat(10_000));
        assert_eq!(long.chars().count(), limits::REPORT_TEXT_CHARS);
        assert!(long.ends_with('…'));
    }
}
