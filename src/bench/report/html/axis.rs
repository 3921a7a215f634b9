//! From a time to its place between left and right, and the marks in between.
//!
//! Places are per cent of a width that only the reader's window knows, so drawings stretch without stretching their texts.

use crate::bench::report::words;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Tick {
    /// Per cent from the left.
    pub at: f64,
    pub label: String,
}

impl Axis {
    /// Times that lie apart by factors. Room to each side, so that no mark stands on the edge.
    pub fn log(values_ms: impl Iterator<Item = f64>) -> Axis {
        let (low, high) = bounds(values_ms.filter(|value| *value > 0.0));
        let (low, high) = if low <= high { (low / 1.2, high * 1.2) } else { (1.0, 10.0) };
        let widen = (LEAST_FACTOR / (high / low)).max(1.0).sqrt();
        Axis { low: low / widen, high: high * widen, is_log: true }
    }

    /// From zero.
    pub fn linear(values_ms: impl Iterator<Item = f64>) -> Axis {
        let (_, high) = bounds(values_ms);
        Axis { low: 0.0, high: if high > 0.0 { high * 1.08 } else { 1.0 }, is_log: false }
    }

    /// Per cent from the left.
    pub fn place(&self, value_ms: f64) -> f64 {
        let share = if self.is_log {
            (value_ms.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value_ms - self.low) / (self.high - self.low)
        };
        share.clamp(0.0, 1.0) * 100.0
    }

    pub fn ticks(&self) -> Vec<Tick> {
        let values = if self.is_log { self.powers() } else { self.steps() };
        values.into_iter().map(|value| Tick { at: self.place(value), label: label(value) }).collect()
    }

    /// 1, 2 and 5 of each power of ten while there is room for all of them.
    fn powers(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let digits: &[f64] = match decades {
            few if few < 1.7 => &[1.0, 2.0, 5.0],
            some if some < 3.2 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let all = (first..=last).flat_map(|power| digits.iter().map(move |digit| digit * 10_f64.powi(power)));
        all.filter(|value| (self.low..=self.high).contains(value)).collect()
    }

    fn steps(&self) -> Vec<f64> {
        let rough = self.high / 4.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| *step >= rough).unwrap_or(rough);
        (0..=5).map(|index| f64::from(index) * step).filter(|value| *value <= self.high).collect()
    }
}

/// A narrower range would make noise look like a difference.
const LEAST_FACTOR: f64 = 5.0;

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// Milliseconds without a unit, seconds with theirs.
fn label(value_ms: f64) -> String {
    if value_ms >= 1_000.0 { format!("{} s", words::rate(value_ms / 1_000.0)) } else { short(value_ms) }
}

fn short(value_ms: f64) -> String {
    if value_ms >= 0.01 || value_ms == 0.0 { words::rate(value_ms) } else { format!("{value_ms:.0e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_in_order() {
        let labels = |axis: Axis| axis.ticks().into_iter().map(|tick| tick.label).collect::<Vec<_>>();
        assert_eq!(labels(Axis::log([8.0, 90.0].into_iter())), ["10", "20", "50", "100"]);
        assert_eq!(labels(Axis::log([8.0, 4_000.0].into_iter())), ["10", "30", "100", "300", "1 s", "3 s"]);
        assert_eq!(labels(Axis::linear([900.0].into_iter())), ["0", "500"]);
        assert_eq!(labels(Axis::log(std::iter::empty())), ["1", "2", "5", "10"]);
        for axis in [Axis::log([0.2, 60_000.0].into_iter()), Axis::linear([3.0].into_iter()), Axis::log([5.0].into_iter())] {
            let places: Vec<f64> = axis.ticks().iter().map(|tick| tick.at).collect();
            assert!(places.is_sorted() && places.len() >= 2 && places.len() <= 8, "{places:?}");
        }
    }

    #[test]
    fn places_lie_inside() {
        let axis = Axis::log([10.0, 1_000.0].into_iter());
        assert!((axis.place(100.0) - 50.0).abs() < 0.01);
        for value in [-1.0, 0.0, f64::MIN_POSITIVE, 1e300] {
            assert!((0.0..=100.0).contains(&axis.place(value)), "{value}");
        }
    }
}
