//! Attempts by provider, transport and method: outcomes, categories, failovers, durations.

use super::Seat;
use crate::aggregator::Aggregator;
use crate::chain::method;
use crate::observe::category::{Category, Class};
use crate::observe::expose::{Exposition, Family, Labels, Spread};
use crate::observe::figures::Figure;

/// How attempts end, in five words that follow from the category.
const OUTCOMES: [&str; 5] = ["success", "call_error", "unsupported", "limited", "failure"];

/// One (provider, transport, method) since the start.
pub(super) struct Row {
    labels: Labels,
    outcomes: [u64; OUTCOMES.len()],
    categories: Vec<(Category, u64)>,
    failovers: u64,
    penalised: u64,
    spread: Spread,
}

impl Row {
    fn new(labels: Labels, figure: &Figure) -> Row {
        let (outcomes, categories) = ([0; OUTCOMES.len()], Vec::new());
        let mut row = Row { labels, outcomes, categories, failovers: 0, penalised: 0, spread: Spread::default() };
        for part in figure.parts() {
            row.failovers += part.retries;
            row.penalised += part.penalised;
            row.outcomes[0] += part.successes;
            row.spread.add(&part.latencies, part.sum_us);
            part.by_category().for_each(|(category, n)| row.count(category, n));
        }
        row
    }

    fn count(&mut self, category: Category, n: u64) {
        let outcome = match category.class() {
            Class::Deterministic => 1,
            Class::Capability => 2,
            Class::Quota => 3,
            Class::ProviderFailure => 4,
        };
        self.outcomes[outcome] += n;
        match self.categories.iter_mut().find(|(have, _)| *have == category) {
            Some((_, have)) => *have += n,
            None => self.categories.push((category, n)),
        }
    }
}

impl Aggregator {
    pub(super) fn rows(&self, seats: &[Seat<'_>]) -> Vec<Row> {
        let mut rows = Vec::new();
        for seat in seats {
            for (transport, id, figure) in self.figures.of_entry(seat.entry) {
                let name = if id == method::UNKNOWN { "other" } else { method::info(id).name };
                let labels = seat.labels.clone().with("transport", transport.word()).with("method", name);
                rows.push(Row::new(labels, figure));
            }
        }
        rows
    }
}

const ATTEMPTS: Family = Family::counter(
    "lasso_attempts",
    "Attempts that ended, by how: success (a result), call_error (the call's own fault), unsupported (more than the provider \
     offers: range, size, depth, method), limited (rate or quota), failure (the provider's fault).",
);
const ERRORS: Family = Family::counter("lasso_attempt_errors", "Attempts without a result, by what the error meant.");
const PENALISED: Family =
    Family::counter("lasso_attempts_penalised", "Attempts that failed and counted against the provider's circuit.");
const FAILOVERS: Family =
    Family::counter("lasso_failovers", "Attempts after another provider had failed the same call, by who was asked instead.");
const DURATION: Family = Family::histogram(
    "lasso_attempt_duration_seconds",
    "Time of attempts that gave a result, connecting included. Buckets undercount by what lay within 6 % below a bound.",
);

pub(super) fn write(out: &mut Exposition, rows: &[Row]) {
    out.family(&ATTEMPTS);
    for row in rows {
        for (outcome, count) in OUTCOMES.iter().zip(row.outcomes) {
            out.sample_of(&row.labels, "outcome", outcome, count);
        }
    }
    out.family(&ERRORS);
    for row in rows {
        for (category, count) in &row.categories {
            out.sample_of(&row.labels, "category", category.word(), *count);
        }
    }
    super::each(out, PENALISED, rows, |row| &row.labels, |row| Some(row.penalised.into()));
    super::each(out, FAILOVERS, rows, |row| &row.labels, |row| Some(row.failovers.into()));
    out.family(&DURATION);
    rows.iter().for_each(|row| out.spread(&row.labels, &row.spread));
}
