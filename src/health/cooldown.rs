//! How long a channel rests after it said "too many requests" (docs/behaviour/health.md#rests).
//!
//! The provider's own hint is believed; without one the rest doubles while limits keep coming soon after the last one was
//! over. What arrives while it rests is of calls that were already under way, so it doubles nothing. A success does not end
//! the rest either: other methods, or a call sent before, may well succeed. Rejected: clearing on success (flaps between
//! limited and not with every second call). Fails towards use: a limited provider ranks later, it is never left out.

use crate::base::limits;
use crate::base::time::{Duration, Instant};

/// A limit this soon after the last one was over is the same trouble again.
const REPEAT_WITHIN: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, Default)]
pub struct Cooldown {
    /// When the rest is over; `None` before the first.
    until: Option<Instant>,
    repeats: u32,
}

impl Cooldown {
    /// A rate limit or exhausted quota was answered. A hint of zero is taken for none: whoever limits means some time.
    pub fn on_limited(&mut self, now: Instant, hint_ms: Option<u64>) {
        let resting = self.is_limited(now);
        if !resting {
            let again = self.until.is_some_and(|until| now.since(until) <= REPEAT_WITHIN);
            self.repeats = if again { self.repeats.saturating_add(1) } else { 0 };
        }
        let rest_ms = match hint_ms.filter(|hint| *hint > 0) {
            Some(hint) => hint.min(limits::RETRY_AFTER_MAX_MS),
            None if resting => return,
            None => (limits::COOLDOWN_MS << self.repeats.min(16)).min(limits::COOLDOWN_MAX_MS),
        };
        self.until = self.until.max(Some(now.plus_ms(rest_ms)));
    }

    pub fn is_limited(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// When the last rest is or was over; zero before the first.
    pub fn until(&self) -> Instant {
        self.until.unwrap_or(Instant::ZERO)
    }

    /// When `is_limited` changes by itself; in the past once it has.
    pub fn deadline(&self) -> Instant {
        self.until.unwrap_or(Instant::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests() {
        // (second of the observation, hint in seconds), and until which second it then rests.
        let check = |seen: &[(u64, Option<u64>)], want: u64| {
            let mut cooldown = Cooldown::default();
            for (at, hint) in seen {
                cooldown.on_limited(Instant::ZERO.plus_ms(at * 1000), hint.map(|s| s * 1000));
            }
            let until = Instant::ZERO.plus_ms(want * 1000);
            assert_eq!((cooldown.until(), cooldown.deadline()), (until, until), "{seen:?}");
            assert!(!cooldown.is_limited(until) && cooldown.is_limited(until - Duration::from_millis(1)), "{seen:?}");
        };
        check(&[(10, None)], 40);
        check(&[(10, Some(0))], 40);
        check(&[(10, Some(5))], 15);
        check(&[(10, Some(999_999))], 3610);
        check(&[(10, None), (39, None)], 40);
        check(&[(10, None), (39, Some(0))], 40);
        check(&[(10, None), (20, Some(5))], 40);
        check(&[(10, None), (20, Some(50))], 70);
        check(&[(10, None), (40, None)], 100);
        check(&[(10, None), (40, None), (90, None)], 100);
        check(&[(10, None), (40, None), (100, None)], 220);
        check(&[(10, None), (640, None)], 700);
        check(&[(10, None), (641, None)], 671);
        check(&[(0, None), (30, None), (90, None), (210, None), (450, None)], 750);
        check(&[(0, None), (30, None), (90, None), (210, None), (450, None), (750, None)], 1050);
        check(&[(10, Some(5)), (15, None)], 75);
        check(&[(10, Some(5)), (15, Some(5))], 20);
    }

    #[test]
    fn at_first_it_is_not_limited() {
        let cooldown = Cooldown::default();
        assert!(!cooldown.is_limited(Instant::ZERO));
        assert_eq!((cooldown.until(), cooldown.deadline()), (Instant::ZERO, Instant::NEVER));
    }

    #[test]
    fn repeats_without_end_stay_bounded() {
        let (mut cooldown, mut now) = (Cooldown::default(), Instant::ZERO);
        for _ in 0..200 {
            cooldown.on_limited(now, None);
            assert!(cooldown.until().since(now) <= Duration::from_millis(limits::COOLDOWN_MAX_MS));
            now = cooldown.until();
        }
    }
}
