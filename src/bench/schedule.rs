//! When each call is due. The load is open: a call is sent when its time has come, whether or not earlier ones were answered,
//! so a provider that hangs is asked as often as one that does not (a closed loop asks it less, and so hides what it did:
//! coordinated omission). At each moment everybody is asked the same, a few milliseconds apart so that the calls do not
//! wait for each other in this process, and each moment begins with another one.
//!
//! A call's time counts from when it was due. A timer of this process is up to a millisecond late, which is nobody's doing and
//! on a near provider more than its whole answer; so the first two milliseconds of our own lateness are left out, and what
//! is beyond counts. How late calls were is kept, and a run in which they were is said to be spoilt.
//! Rejected: a wait that spins (it would hold up the reading of the answers under way), random gaps (two calls at once
//! would compete here, and the moments would differ).

use crate::base::limits;
use crate::base::time::{Duration, Instant};

/// Moments at which everybody is asked the same.
#[derive(Clone, Copy, Debug)]
pub struct Timetable {
    period: Duration,
    moments: u32,
    lanes: usize,
}

/// One call that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    pub moment: u32,
    /// Which provider and transport.
    pub lane: usize,
    pub at: Instant,
}

impl Timetable {
    /// `lanes`: how many are asked at each moment.
    pub fn new(calls_per_second: f64, moments: u64, lanes: usize) -> Timetable {
        let period = Duration::from_nanos((1e9 / calls_per_second.max(1e-3)) as u64);
        Timetable { period, moments: u32::try_from(moments).unwrap_or(u32::MAX), lanes }
    }

    pub fn moments(&self) -> u32 {
        self.moments
    }

    /// When all of it is over, but for the answers.
    pub fn end(&self, began: Instant) -> Instant {
        began + self.period * self.moments
    }

    /// The calls of one moment, in the order in which they are due.
    pub fn of(&self, moment: u32, began: Instant) -> impl Iterator<Item = Due> {
        let Timetable { period, lanes, .. } = *self;
        let apart = (period / u32::try_from(lanes.max(1)).unwrap_or(u32::MAX)).min(Duration::from_millis(limits::BENCH_APART_MS));
        let start = began + period * moment;
        (0..lanes).map(move |turn| Due {
            moment,
            lane: (turn + moment as usize) % lanes.max(1),
            at: start + apart * u32::try_from(turn).unwrap_or(u32::MAX),
        })
    }
}

/// From when a call counts that was due at `due` and begun at `now`.
pub fn counted_from(due: Instant, now: Instant) -> Instant {
    now.min(due.plus_ms(limits::BENCH_TIMER_MS)).max(due)
}

/// How far behind `due` a call was begun, beyond what a timer takes.
pub fn own_delay(due: Instant, now: Instant) -> Duration {
    now.since(due.plus_ms(limits::BENCH_TIMER_MS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn everybody_is_asked_at_each_moment_and_everybody_comes_first() {
        let table = Timetable::new(5.0, 300, 6);
        let began = Instant(7);
        let (mut firsts, mut last) = (BTreeSet::new(), began);
        for moment in 0..table.moments() {
            let dues: Vec<Due> = table.of(moment, began).collect();
            assert_eq!(dues.iter().map(|due| due.lane).collect::<BTreeSet<_>>().len(), 6);
            assert!(dues.windows(2).all(|pair| pair[0].at < pair[1].at) && dues[0].at >= last);
            firsts.insert(dues[0].lane);
            last = dues[5].at;
        }
        assert_eq!(firsts.len(), 6);
        assert!(last < table.end(began) && table.end(began) == began.plus_ms(60_000));
    }

    #[test]
    fn many_lanes_at_a_high_rate_stay_within_their_moment() {
        let table = Timetable::new(1_000.0, 3, 32);
        let dues: Vec<Due> = (0..3).flat_map(|moment| table.of(moment, Instant::ZERO)).collect();
        assert!(dues.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }

    #[test]
    fn time_counts_from_when_a_call_was_due_but_for_the_timer() {
        let due = Instant::ZERO.plus_ms(1_000);
        let check = |now_ms: u64, from_ms: u64, own_ms: u64| {
            let now = Instant::ZERO.plus_ms(now_ms);
            assert_eq!(counted_from(due, now), Instant::ZERO.plus_ms(from_ms), "{now_ms}");
            assert_eq!(own_delay(due, now), Duration::from_millis(own_ms), "{now_ms}");
        };
        check(1_000, 1_000, 0);
        check(1_001, 1_001, 0);
        check(1_002, 1_002, 0);
        check(1_500, 1_002, 498);
        check(900, 1_000, 0);
    }
}
