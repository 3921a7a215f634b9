//! The drawings: figures with their intervals, distributions, parts of a whole. SVG inside the page, drawn once.
//!
//! Horizontal places are per cent and lines keep their width, so a drawing fills whatever room there is. Nothing is told by
//! colour alone: a median is a dot and a p99 a ring, curves have names and dashes, and the numbers stand beside.

use super::axis::{Axis, Tick};
use crate::base::limits;
use crate::bench::findings::Estimate;
use maud::{Markup, html};

/// A figure with its interval, as a dot on a line with ends.
pub(super) struct Whisker {
    pub estimate: Estimate,
    /// `p50` is a dot, `p99` a ring.
    pub class: &'static str,
}

fn at(percent: f64) -> String {
    format!("{percent:.2}%")
}

/// One line of a table of intervals; its lines of time stand where [`scale`] has its marks.
pub(super) fn whiskers(axis: &Axis, marks: &[Whisker], title: &str) -> Markup {
    let places: Vec<f64> = marks.iter().map(|mark| axis.place(mark.estimate.value)).collect();
    html! {
        svg.plot width="100%" height="40" role="img" {
            title { (title) }
            (grid(&axis.ticks()))
            @if let [first, .., last] = places.as_slice() {
                line.span x1=(at(*first)) x2=(at(*last)) y1="20" y2="20" {}
            }
            @for mark in marks { (whisker(axis, mark)) }
        }
    }
}

fn whisker(axis: &Axis, mark: &Whisker) -> Markup {
    let [low, value, high] = [mark.estimate.low, mark.estimate.value, mark.estimate.high].map(|ms| at(axis.place(ms)));
    html! {
        g class=(mark.class) {
            line.reach x1=(low) x2=(high) y1="20" y2="20" {}
            line.end x1=(low) x2=(low) y1="15" y2="25" {}
            line.end x1=(high) x2=(high) y1="15" y2="25" {}
            circle.mark cx=(value) cy="20" r="4.5" {}
        }
    }
}

fn grid(ticks: &[Tick]) -> Markup {
    html! { @for tick in ticks { line.grid x1=(at(tick.at)) x2=(at(tick.at)) y1="0" y2="100%" {} } }
}

/// The marks of an axis with their numbers; every second one can do without where there is little room.
pub(super) fn scale(axis: &Axis) -> Markup {
    html! {
        svg.scale width="100%" height="16" aria-hidden="true" {
            @for (index, tick) in axis.ticks().iter().enumerate() {
                text x=(at(tick.at)) y="12" class={ (anchor(tick.at)) @if index % 2 == 1 { " odd" } } { (tick.label) }
            }
        }
    }
}

/// A number at the edge stands inside.
fn anchor(percent: f64) -> &'static str {
    match percent {
        left if left < 5.0 => "from",
        right if right > 95.0 => "until",
        _ => "around",
    }
}

/// A distribution as points: upper edge in milliseconds and how many calls lie at or below.
pub(super) struct Curve<'f> {
    pub points: &'f [(f64, u64)],
    /// Colour and dashes.
    pub class: String,
    pub name: &'f str,
}

/// Shares of calls by the time they took at most. `description` is what a reader who does not see it is told.
pub(super) fn distributions(axis: &Axis, curves: &[Curve<'_>], title: &str, description: &str) -> Markup {
    html! {
        div.curves {
            svg.shares width="100%" height="100%" aria-hidden="true" {
                @for (share, y) in [("100%", "0%"), ("75%", "25%"), ("50%", "50%"), ("25%", "75%"), ("0%", "100%")] {
                    text x="100%" y=(y) dy="0.32em" { (share) }
                }
            }
            svg.field width="100%" height="100%" viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" {
                title { (title) }
                desc { (description) }
                @for share in [0, 250, 500, 750, 1000] { line.grid x1="0" x2="1000" y1=(share) y2=(share) {} }
                @for tick in axis.ticks() { line.grid x1=(thousandth(tick.at)) x2=(thousandth(tick.at)) y1="0" y2="1000" {} }
                @for curve in curves {
                    @if let Some(line) = path(axis, curve.points) {
                        path class={ "curve " (curve.class) } d=(line) { title { (curve.name) } }
                    }
                }
            }
            div.under { (scale(axis)) }
        }
    }
}

fn thousandth(percent: f64) -> String {
    format!("{:.1}", percent * 10.0)
}

/// From the bottom left to the top right; none where nothing was answered.
fn path(axis: &Axis, points: &[(f64, u64)]) -> Option<String> {
    let all = points.last().map(|(_, count)| *count).filter(|count| *count > 0)?;
    let every = points.len().div_ceil(limits::REPORT_CURVE_POINTS).max(1);
    let last = points.len() - 1;
    let kept = points.iter().enumerate().filter(|(index, _)| index % every == 0 || *index == last);
    let mut out = String::new();
    for (_, (edge_ms, count)) in kept {
        let (x, y) = (axis.place(*edge_ms) * 10.0, 1000.0 - 1000.0 * (*count as f64 / all as f64));
        if out.is_empty() {
            out = format!("M{x:.1} 1000");
        }
        out.push_str(&format!("L{x:.1} {y:.1}"));
    }
    Some(out + "H1000")
}

/// Parts of a whole beside each other: class and share. `full` is the share that the whole width stands for.
pub(super) fn stacked(parts: &[(String, f64)], full: f64, title: &str) -> Markup {
    let mut left = 0.0;
    let mut placed = Vec::new();
    for (class, share) in parts {
        let width = if full > 0.0 { (share / full * 100.0).min(100.0 - left).max(0.0) } else { 0.0 };
        placed.push((class, left, width));
        left += width;
    }
    html! {
        svg.stacked width="100%" height="10" role="img" {
            title { (title) }
            rect.track x="0" y="0" width="100%" height="10" rx="3" {}
            @for (class, left, width) in placed { rect class=(class) x=(at(left)) y="0" width=(at(width)) height="10" {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_to_its_end_and_has_bounded_points() {
        let points: Vec<(f64, u64)> = (1_u32..=10_000).map(|n| (f64::from(n), u64::from(n))).collect();
        let axis = Axis::log([1.0, 10_000.0].into_iter());
        let path = path(&axis, &points).expect("a curve");
        assert!(path.ends_with(" 0.0H1000") && path.matches('L').count() <= limits::REPORT_CURVE_POINTS + 1, "{path}");
        assert_eq!(super::path(&axis, &[]), None);
        assert_eq!(super::path(&axis, &[(5.0, 0)]), None);
    }

    #[test]
    fn parts_never_leave_the_whole() {
        let parts = [("e0".to_owned(), 0.6), ("e1".to_owned(), 0.6), ("e2".to_owned(), f64::NAN)];
        let drawn = stacked(&parts, 1.0, "t").into_string();
        assert!(drawn.contains("width=\"60.00%\"") && drawn.contains("width=\"40.00%\"") && !drawn.contains("NaN"), "{drawn}");
        assert!(!stacked(&parts, 0.0, "t").into_string().contains("NaN"));
    }
}
