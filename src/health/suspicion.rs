//! What a channel is suspected of: failures that may have been their calls' own fault, until a probe of ours decides.
//!
//! After a call's first byte was written, whatever goes wrong (a reset, garbage, a cut body, silence) may be the call's doing:
//! three calls of one client must not take a provider away from everybody. So such a failure waits here, and asks for a probe at
//! once. A probe that fails too turns all of them into failures, so a real outage is known within a second even where nobody
//! else could have answered; one that is answered takes them back, and so does time. Rejected: a rate of suspicions above
//! which they count without proof, because one client decides how many calls it sends.

use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::observe::category::Category;

#[derive(Clone, Copy, Debug, Default)]
pub struct Suspicion {
    held: Option<Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    failures: u32,
    category: Category,
    since: Instant,
    newest: Instant,
}

impl Suspicion {
    /// `failures` more, the last one of this category. None at all: only a probe is asked for.
    pub fn raise(&mut self, failures: u32, category: Category, now: Instant) {
        let before = self.at(now);
        let (had, since) = before.map_or((0, now), |held| (held.failures, held.since));
        self.held = Some(Held { failures: had.saturating_add(failures), category, since, newest: now });
    }

    /// A probe failed too: the failures, and the last one's category. Nothing is left.
    pub fn confirm(&mut self, now: Instant) -> Option<(u32, Category)> {
        let held = self.at(now);
        self.held = None;
        held.map(|held| (held.failures, held.category))
    }

    /// A probe was answered.
    pub fn dismiss(&mut self) {
        self.held = None;
    }

    /// Its last failure's category and since when it is suspected; a probe is asked for as long as this is something.
    pub fn view(&self, now: Instant) -> Option<(Category, Instant)> {
        self.at(now).map(|held| (held.category, held.since))
    }

    fn at(&self, now: Instant) -> Option<Held> {
        self.held.filter(|held| now.since(held.newest) < Duration::from_millis(limits::SUSPICION_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Category as C;

    fn at(ms: u64) -> Instant {
        Instant::ZERO.plus_ms(ms)
    }

    #[test]
    fn failures_add_up_until_a_probe_decides() {
        let mut suspicion = Suspicion::default();
        assert_eq!(suspicion.confirm(at(0)), None);
        suspicion.raise(2, C::Network, at(1));
        suspicion.raise(1, C::Timeout, at(5_000));
        assert_eq!(suspicion.view(at(5_000)), Some((C::Timeout, at(1))));
        assert_eq!(suspicion.confirm(at(5_001)), Some((3, C::Timeout)));
        assert_eq!(suspicion.confirm(at(5_001)), None, "they count once");
        suspicion.raise(1, C::Network, at(6_000));
        suspicion.dismiss();
        assert_eq!((suspicion.view(at(6_000)), suspicion.confirm(at(6_000))), (None, None));
    }

    #[test]
    fn what_no_probe_decided_is_forgotten() {
        let mut suspicion = Suspicion::default();
        suspicion.raise(4, C::Network, at(0));
        assert!(suspicion.view(at(limits::SUSPICION_MS - 1)).is_some());
        assert_eq!(suspicion.view(at(limits::SUSPICION_MS)), None);
        suspicion.raise(1, C::Network, at(limits::SUSPICION_MS));
        assert_eq!(suspicion.confirm(at(limits::SUSPICION_MS)), Some((1, C::Network)), "the old four are gone");
    }
}
