//! What the findings cannot say, said once each: percentiles without enough calls, ties, times found by asking, one place
//! at one time.

use crate::bench::findings::{Cell, Estimate, Findings};
use crate::bench::report::words::{list, name, plain, seconds, time, verb, whole};
use crate::bench::statistics::least_calls;

pub(super) fn caveats(findings: &Findings) -> Vec<String> {
    let mut out = Vec::new();
    out.extend(missing_percentile(findings, "median", 0.5, |cell| cell.p50_ms));
    out.extend(missing_percentile(findings, "p99", 0.99, |cell| cell.p99_ms));
    out.extend(missing_percentile(findings, "p99.9", 0.999, |cell| cell.p999_ms));
    out.extend(ties(findings));
    out.extend(by_asking(findings));
    out.extend(place_and_time(findings));
    out
}

fn missing_percentile(findings: &Findings, word: &str, share: f64, of: fn(&Cell) -> Option<Estimate>) -> Option<String> {
    let asked: Vec<&Cell> = findings.cells.iter().filter(|cell| cell.calls > 0).collect();
    let without: Vec<&Cell> = asked.iter().copied().filter(|cell| of(cell).is_none()).collect();
    if without.is_empty() {
        return None;
    }
    let needs = format!("it takes about {} answers", whole(least_calls(share)));
    if without.len() == asked.len() {
        return Some(format!("No {word} can be told: {needs} of each provider and method."));
    }
    let mut which: Vec<String> =
        without.iter().take(3).map(|c| format!("{} of {}", plain(&c.method), name(findings, c.provider))).collect();
    let more = without.len() - which.len();
    if more > 0 {
        which.push(format!("{more} more"));
    }
    Some(format!("No {word} can be told of {}: {needs}.", list(&which)))
}

fn ties(findings: &Findings) -> Option<String> {
    let is_tie = findings.comparisons.iter().flat_map(|comparison| &comparison.groups).any(|group| group.len() > 1);
    is_tie.then(|| "A tie means that this run cannot tell them apart, not that they are equal: a longer one may.".to_owned())
}

fn by_asking(findings: &Findings) -> Option<String> {
    let asked: Vec<(usize, Option<u64>)> = findings
        .providers
        .iter()
        .enumerate()
        .filter_map(|(index, provider)| Some((index, provider.freshness.as_ref()?)))
        .filter(|(_, freshness)| !freshness.is_pushed)
        .map(|(index, freshness)| (index, freshness.asked_every_ms))
        .collect();
    let who: Vec<String> = asked.iter().map(|(index, _)| name(findings, *index)).collect();
    let grain = asked.iter().filter_map(|(_, every_ms)| *every_ms).max();
    let exact = grain.map_or_else(String::new, |every_ms| format!(", and is only as exact as {}", time(every_ms as f64)));
    (!who.is_empty()).then(|| {
        let have = verb(who.len(), "has a block was found by asking it", "have a block was found by asking them");
        format!("When {} {have}{exact}.", list(&who))
    })
}

fn place_and_time(findings: &Findings) -> Option<String> {
    let measured = findings.cells.iter().any(|cell| cell.calls > 0);
    measured.then(|| {
        let long = seconds(findings.run.measured_seconds);
        format!("All of it was measured from one place within {long}: other places and hours may differ.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_answers_it_takes() {
        assert_eq!([0.5, 0.99, 0.999].map(least_calls), [6, 299, 2_995]);
    }
}
