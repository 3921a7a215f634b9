//! Whether providers do worse than in an earlier run: only what the intervals of both runs support.
//!
//! A comparison of runs holds hundreds of figures side by side, and of a hundred pairs of equal figures some differ by
//! chance beyond their intervals. So two conditions must hold: the intervals do not touch, and the difference is larger than
//! what chance makes of the most different of so many pairs (Holm's procedure, at 3 % for the whole comparison, since
//! intervals are not quite normal). A figure's spread is read from its interval; a success share's from its counts. Medians,
//! p99, success and lateness are compared; more percentiles would say the same again and make each of them harder to show.
//!
//! Rejected: a least difference in per cent, which hides what a long run has shown. Rate limits are not compared: a ramp is
//! one reading without an interval. Runs drift with the hour, too, and no statistic of one run knows by how much; `notes`
//! says what was different in how they were measured.

mod notes;
mod regression;

pub use notes::{Incomparable, comparable, notes};
pub use regression::Regression;

use crate::base::limits;
use crate::bench::findings::{Cell, Depth, Estimate, Findings, Provider, ProviderState};
use crate::bench::report::words;
use regression::Figure;

/// A normal interval of 95 % reaches so many standard errors to each side.
const REACH: f64 = 1.96;
/// No time is known more exactly than this share of it, whatever its interval says: buckets and clocks have a grain.
const GRAIN: f64 = 0.002;

/// What is worse now, and surely so. Empty where the runs cannot be compared; ask [`comparable`] first, and [`notes`] for
/// what one of them lacks.
pub fn compare(old: &Findings, new: &Findings) -> Vec<Regression> {
    if comparable(old, new).is_err() {
        return Vec::new();
    }
    let mut pairs = Vec::new();
    let mut out = Vec::new();
    for provider in &new.providers {
        let Some(before) = old.providers.iter().find(|had| had.name == provider.name) else { continue };
        out.extend(lost(before, provider));
        pairs.extend(later_blocks(before, provider));
    }
    for cell in &new.cells {
        let name = provider_name(new, cell);
        if let Some(before) = old.cells.iter().find(|had| is_same(had, cell) && provider_name(old, had) == name) {
            pairs.extend(worse_figures(&words::plain(name), before, cell));
        }
    }
    out.extend(beyond_chance(pairs));
    out
}

fn provider_name<'f>(findings: &'f Findings, cell: &Cell) -> &'f str {
    findings.providers.get(cell.provider).map_or("", |provider| &provider.name)
}

fn is_same(a: &Cell, b: &Cell) -> bool {
    a.method == b.method && a.transport == b.transport
}

/// One figure of both runs.
struct Pair {
    regression: Regression,
    /// The intervals do not touch, and the new one is the worse.
    is_apart: bool,
    /// At most how probable so large a difference is between equal figures.
    chance: f64,
}

fn worse_figures(provider: &str, old: &Cell, new: &Cell) -> Vec<Pair> {
    let place = |figure: Figure, then: Estimate, now: Estimate| Regression::Figure {
        provider: provider.to_owned(),
        transport: new.transport.clone(),
        method: words::plain(&new.method),
        figure,
        then,
        now,
    };
    let times = [(Figure::Median, old.p50_ms, new.p50_ms), (Figure::P99, old.p99_ms, new.p99_ms)];
    let mut out: Vec<Pair> = times
        .into_iter()
        .filter_map(|(figure, then, now)| Some((figure, then?, now?)))
        .map(|(figure, then, now)| pair_of_times(place(figure, then, now), then, now))
        .collect();
    if old.calls > 0 && new.calls > 0 {
        let (then, now) = (old.success, new.success);
        let chance = tail(difference_of_shares((old.successes, old.calls), (new.successes, new.calls)));
        out.push(Pair { regression: place(Figure::Success, then, now), is_apart: now.high < then.low, chance });
    }
    out
}

fn pair_of_times(regression: Regression, then: Estimate, now: Estimate) -> Pair {
    let upward = ((then.high - then.value) / REACH).max(then.value.abs() * GRAIN);
    let downward = ((now.value - now.low) / REACH).max(now.value.abs() * GRAIN);
    let errors = upward.hypot(downward);
    let distance = if errors > 0.0 { (now.value - then.value) / errors } else { 0.0 };
    Pair { regression, is_apart: now.low > then.high, chance: tail(distance) }
}

/// In standard errors, with two answers and two failures added to each (Agresti and Caffo): shares of 1 have a spread, too.
fn difference_of_shares(old: (u64, u64), new: (u64, u64)) -> f64 {
    let smoothed = |(good, all): (u64, u64)| {
        let (share, of) = ((good as f64 + 1.0) / (all as f64 + 2.0), all as f64 + 2.0);
        (share, share * (1.0 - share) / of)
    };
    let ((then, then_square), (now, now_square)) = (smoothed(old), smoothed(new));
    (then - now) / (then_square + now_square).sqrt()
}

/// An upper bound of how probable a normal value beyond `distance` is (Mills' ratio), at most twice too large where it matters.
fn tail(distance: f64) -> f64 {
    if distance < 1.0 {
        return 1.0;
    }
    (-distance * distance / 2.0).exp() / (distance * std::f64::consts::TAU.sqrt())
}

/// Holm: the smallest must be below the share of all, the next below that of all but one, and so on to the first that is not.
fn beyond_chance(mut pairs: Vec<Pair>) -> Vec<Regression> {
    let allowed = f64::from(limits::REPORT_FALSE_ALARMS_PER_MILLE) / 1000.0;
    pairs.sort_by(|a, b| a.chance.total_cmp(&b.chance));
    let count = pairs.len();
    let sure = pairs.into_iter().enumerate().take_while(|(place, pair)| pair.chance <= allowed / (count - place) as f64);
    sure.filter(|(_, pair)| pair.is_apart).map(|(_, pair)| pair.regression).collect()
}

fn later_blocks(old: &Provider, new: &Provider) -> Option<Pair> {
    let (then, now) = (old.freshness.as_ref()?, new.freshness.as_ref()?);
    // Another way of finding out is another figure.
    if (then.is_pushed, then.asked_every_ms) != (now.is_pushed, now.asked_every_ms) {
        return None;
    }
    let regression = Regression::Lateness { provider: words::plain(&new.name), then: then.behind_ms, now: now.behind_ms };
    Some(pair_of_times(regression, then.behind_ms, now.behind_ms))
}

/// What it had and has no more, where one reading is proof.
fn lost(old: &Provider, new: &Provider) -> Vec<Regression> {
    let mut out = Vec::new();
    let mut lost = |what: String| out.push(Regression::Lost { provider: words::plain(&new.name), what });
    let was_well = old.state == ProviderState::Measured;
    match &new.state {
        ProviderState::Measured => {}
        _ if !was_well => {}
        other_state => lost(format!("was measured then and is not well now: {}", regression::state(other_state))),
    }
    if let (Some(Depth::Archive), Some(Depth::Blocks { blocks })) = (old.depth, new.depth) {
        lost(format!("gave states from the first block on and reaches {} back now", words::counted(blocks, "block")));
    }
    if let (Some(then), Some(now)) = (old.log_range, new.log_range)
        && let Some(refused) = now.refused_blocks.filter(|refused| *refused <= then.answered_blocks)
    {
        let (answered, refused) = (words::whole(then.answered_blocks), words::whole(refused));
        lost(format!("answered eth_getLogs over {answered} blocks and refuses {refused} now"));
    }
    let gone = new.missing_methods.iter().filter(|method| !old.missing_methods.contains(method));
    let gone: Vec<String> = gone.map(|method| words::plain(method)).collect();
    if was_well && !gone.is_empty() {
        lost(format!("has {} no more", words::list(&gone)));
    }
    out
}

#[cfg(test)]
mod tests;
