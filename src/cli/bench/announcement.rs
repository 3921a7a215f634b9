//! What a run will send, told before it sends anything, and whether that is wanted.

use crate::base::limits;
use crate::bench::plan::CallPlan;
use crate::control::bench::BenchOrder;
use std::fmt::Write;
use std::io::{BufRead, IsTerminal, Write as _};

/// At most so many calls to each provider, and what for.
pub fn text(order: &BenchOrder) -> String {
    let (plan, terms) = (order.plan(), &order.terms);
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "Sends at most {} calls: the mix {} ({}) at {} a second to each provider and transport for {} s,\nand what is listed beside it. Seed {}.",
        grouped(plan.total()),
        order.mix.name(),
        order.mix.methods().join(", "),
        terms.calls_per_second,
        terms.seconds,
        order.seed,
    );
    for (provider, entrant) in order.entrants.iter().enumerate() {
        let over = match (entrant.has_http, entrant.has_ws) {
            (true, true) => "HTTP and WebSocket",
            (false, true) => "WebSocket",
            _ => "HTTP",
        };
        let _ = writeln!(out, "  {} ({}, {over}): {}", entrant.name, entrant.host, of_provider(&plan, provider));
    }
    out
}

fn of_provider(plan: &CallPlan, provider: usize) -> String {
    let rows = plan.purposes().map(|purpose| (purpose, plan.of(provider, purpose))).filter(|(_, calls)| *calls > 0);
    let rows: Vec<String> = rows.map(|(purpose, calls)| format!("{} {}", grouped(calls), purpose.words())).collect();
    format!("{} = {}", grouped(plan.of_provider(provider)), rows.join(" + "))
}

/// `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Whether it may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consent {
    Given,
    Refused,
    /// There is nobody at a terminal.
    Unasked,
}

pub fn consent(order: &BenchOrder, is_sure: bool) -> Consent {
    if is_sure || order.plan().total() < limits::BENCH_UNASKED_CALLS {
        return Consent::Given;
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Consent::Unasked;
    }
    eprint!("Send them? [y/N] ");
    // A terminal that takes no question gives no answer either.
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let is_read = std::io::stdin().lock().read_line(&mut line).is_ok();
    if is_read && is_yes(&line) { Consent::Given } else { Consent::Refused }
}

fn is_yes(line: &str) -> bool {
    matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::mix::Mix;
    use crate::bench::plan::{Purpose, RunTerms};
    use crate::bench::record::Entrant;

    #[test]
    fn every_call_is_announced() {
        let entrant = |name: &str, has_ws| Entrant {
            name: name.into(),
            host: format!("{name}.example"),
            has_http: true,
            has_ws,
            price_per_million: None,
        };
        let order = BenchOrder {
            entrants: vec![entrant("near", true), entrant("far", false)],
            entries: Vec::new(),
            chain_number: None,
            mix: Mix::named("wallet").expect("a mix"),
            terms: RunTerms { calls_per_second: 5.0, seconds: 60, has_ramp: true },
            seed: 7,
        };
        let (text, plan) = (text(&order), order.plan());
        assert!(text.starts_with(&format!("Sends at most {} calls", grouped(plan.total()))), "{text}");
        for provider in 0..2 {
            let sum: u64 = Purpose::ALL.iter().map(|purpose| plan.of(provider, *purpose)).sum();
            assert_eq!(sum, plan.of_provider(provider));
            assert!(text.contains(&format!("{} = ", grouped(sum))), "{text}");
        }
        assert!(text.contains("near (near.example, HTTP and WebSocket)") && text.contains("rate limit"), "{text}");
        assert_eq!(consent(&order, true), Consent::Given);
    }

    #[test]
    fn only_yes_is_yes() {
        assert!(["y\n", "Yes", " YES \n"].iter().all(|line| is_yes(line)));
        assert!(["", "\n", "n", "yep", "j"].iter().all(|line| !is_yes(line)));
        assert_eq!(["0", "999", "1,000", "12,345,678"], [0, 999, 1_000, 12_345_678].map(grouped).each_ref().map(String::as_str));
    }
}
