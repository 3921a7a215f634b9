//! When a lost connection to a provider may be made again (docs/behaviour/health.md#reconnecting): at once after it had lived,
//! then ever later, with jitter so that a provider that restarts is not met by everyone at the same moment.
//!
//! The cap depends on who asks. A subscription's connection is wanted always, so it backs off to half a minute; one for
//! calls is wanted only while its circuit is closed, and the breaker does the long waiting.

use crate::base::limits;
use crate::base::rng::Rng;
use crate::base::time::Instant;

#[derive(Clone, Debug)]
pub struct Reconnect {
    failures: u64,
    not_before: Instant,
    ended_at: Instant,
    limited_until: Instant,
    cap_ms: u64,
}

impl Reconnect {
    /// Never waits longer than `cap_ms`, jitter and a provider's own wish aside.
    pub fn new(cap_ms: u64) -> Reconnect {
        Reconnect { failures: 0, not_before: Instant::ZERO, ended_at: Instant::ZERO, limited_until: Instant::ZERO, cap_ms }
    }

    /// The connection could not be made, or ended: `was_stable` when it had lived before.
    pub fn on_end(&mut self, was_stable: bool, now: Instant, rng: &mut Rng) {
        if was_stable {
            self.failures = 0;
        }
        let delay_ms = match self.failures {
            0 => 0,
            n => n.saturating_mul(limits::LINK_RETRY_STEP_MS).min(self.cap_ms) + rng.below(limits::LINK_RETRY_JITTER_MS + 1),
        };
        self.failures += 1;
        self.ended_at = now;
        self.not_before = self.not_before.max(now.plus_ms(delay_ms));
    }

    /// The provider said that we come too often.
    pub fn on_limited(&mut self, hint_ms: Option<u64>, now: Instant) {
        let wait_ms = hint_ms.unwrap_or(0).clamp(limits::COOLDOWN_MS, limits::COOLDOWN_MAX_MS);
        self.limited_until = self.limited_until.max(now.plus_ms(wait_ms));
        self.not_before = self.not_before.max(self.limited_until);
    }

    /// Clients wait for it: what they lose by waiting is more than what a provider loses by being asked once a second. Its
    /// own wish stands.
    pub fn hurry(&mut self) {
        let soon = self.ended_at.plus_ms(limits::LINK_WANTED_RETRY_MAX_MS);
        self.not_before = self.not_before.min(soon).max(self.limited_until);
    }

    /// A probe is about to be sent, which has a schedule of its own: only the provider's wish stands.
    pub fn on_probe(&mut self) {
        self.not_before = self.limited_until;
    }

    /// From when on it may be tried.
    pub fn at(&self) -> Instant {
        self.not_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_at_once_and_later_ones_wait() {
        let (mut rng, now) = (Rng::new(1), Instant::ZERO.plus_ms(1_000_000));
        let mut reconnect = Reconnect::new(limits::LINK_RETRY_MAX_MS);
        let mut wait = |reconnect: &mut Reconnect, was_stable, at: Instant| {
            reconnect.on_end(was_stable, at, &mut rng);
            reconnect.at().since(at).as_millis() as u64
        };
        for (nth, least_ms) in [0, 5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 30_000, 30_000].into_iter().enumerate() {
            let at = now.plus_ms(nth as u64 * 100_000);
            let got = wait(&mut reconnect, false, at);
            let most_ms = if least_ms == 0 { 0 } else { least_ms + limits::LINK_RETRY_JITTER_MS };
            assert!((least_ms..=most_ms).contains(&got), "attempt {nth}: {got}");
        }
        let later = now.plus_ms(10_000_000);
        assert_eq!(wait(&mut reconnect, true, later), 0, "a life resets it");
        assert!(wait(&mut reconnect, false, later) >= 5_000, "a short one does not");
    }

    #[test]
    fn who_is_in_a_hurry_waits_a_second_or_as_long_as_the_provider_wishes() {
        let (mut rng, now) = (Rng::new(1), Instant::ZERO.plus_ms(1_000_000));
        let mut reconnect = Reconnect::new(limits::LINK_RETRY_MAX_MS);
        (0..5).for_each(|_| reconnect.on_end(false, now, &mut rng));
        reconnect.hurry();
        assert_eq!(reconnect.at(), now.plus_ms(limits::LINK_WANTED_RETRY_MAX_MS));
        reconnect.on_limited(None, now);
        reconnect.hurry();
        assert_eq!(reconnect.at(), now.plus_ms(limits::COOLDOWN_MS));
        (0..5).for_each(|_| reconnect.on_end(false, now.plus_ms(limits::COOLDOWN_MS), &mut rng));
        reconnect.on_probe();
        assert_eq!(reconnect.at(), now.plus_ms(limits::COOLDOWN_MS));
    }

    #[test]
    fn a_limit_is_kept_within_bounds() {
        let now = Instant::ZERO.plus_ms(7);
        for (hint_ms, want) in [(None, 30_000), (Some(1), 30_000), (Some(45_000), 45_000), (Some(u64::MAX), 300_000)] {
            let mut reconnect = Reconnect::new(2_000);
            reconnect.on_limited(hint_ms, now);
            assert_eq!(reconnect.at(), now.plus_ms(want), "{hint_ms:?}");
        }
    }
}
