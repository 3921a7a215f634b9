//! How long an attempt may last before another provider is asked.
//!
//! A provider that is known to answer a cheap read in 10 ms is given up after a quarter of a second. Methods whose calls differ
//! by orders of magnitude (they have more than ten seconds in all) get two seconds at least, because what a light call took
//! says little of a heavy one. Where nothing is known half of the time is for the first and half for the others, but a cheap
//! read goes on after a second and a half. Whoever is asked last has all that is left: that there are two providers never
//! leaves a call less time than half of what one alone would have had.

use crate::base::limits;

/// Milliseconds for an attempt after which somebody else can be asked. `total_ms`: the call's time in all; `left_ms`: what is
/// left of it; `unusual_ms`: four times the channel's 99th percentile for the method, where it is known.
pub fn attempt_ms(total_ms: u64, left_ms: u64, unusual_ms: Option<u64>) -> u64 {
    let is_cheap = total_ms <= limits::CALL_CHEAP_MS;
    let wanted_ms = match (is_cheap, unusual_ms) {
        (true, Some(ms)) => ms.max(limits::PATIENCE_MIN_MS).min(total_ms * limits::FIRST_ATTEMPT_PERCENT / 100),
        (true, None) => limits::PATIENCE_UNKNOWN_MS.min(left_ms / 2),
        (false, Some(ms)) => ms.max(limits::PATIENCE_HEAVY_MIN_MS).min(left_ms / 2),
        (false, None) => left_ms / 2,
    };
    wanted_ms.max(limits::ATTEMPT_MIN_MS).min(left_ms)
}

/// Milliseconds in which a connection must be there, if somebody else can be asked: no less than the call itself gets.
pub fn connect_ms(attempt_ms: u64, left_ms: u64) -> u64 {
    attempt_ms.max(limits::PATIENCE_UNKNOWN_MS.min(left_ms / 2)).min(left_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_follows_the_table() {
        let check = |total, left, unusual, want| {
            let got = attempt_ms(total, left, unusual);
            assert_eq!(got, want, "{total} {left} {unusual:?}");
        };
        check(10_000, 10_000, None, 1_500);
        check(10_000, 10_000, Some(40), 250);
        check(10_000, 10_000, Some(900), 900);
        check(10_000, 10_000, Some(90_000), 6_000);
        check(10_000, 2_000, None, 1_000);
        check(10_000, 200, Some(40), 200);
        check(1_000, 1_000, None, 500);
        check(1_000, 1_000, Some(5_000), 600);
        check(30_000, 30_000, None, 15_000);
        check(30_000, 30_000, Some(40), 2_000);
        check(30_000, 30_000, Some(7_000), 7_000);
        check(30_000, 30_000, Some(29_000), 15_000);
        check(30_000, 10, Some(40), 10);
        check(120_000, 60_000, None, 30_000);
    }

    #[test]
    fn a_connection_gets_no_less_than_the_call() {
        let check = |attempt, left, want| assert_eq!(connect_ms(attempt, left), want, "{attempt} {left}");
        check(250, 10_000, 1_500);
        check(15_000, 30_000, 15_000);
        check(250, 1_000, 500);
        check(25, 30, 25);
    }
}
