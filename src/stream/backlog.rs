//! Whether a client reads what waits for it, and how long others are held up for one that does.
//!
//! What waits is put into its queue by us, in bursts of any size, so its length says nothing of the client: only taking
//! nothing does. A client with much waiting that has just taken something is waited for, which paces the burst; not without
//! end, because others wait as well: one that trickles is let grow to a bound, and closed beyond it. All waiting of a shard
//! has a bound of its own, regained as time goes by, so that many of that kind cost no more than a few.
//! Rejected: a rate that a client must keep up (nobody can say which), and a bound on the length alone.
//! How it fails: whoever takes less than half of its bound in `SOCKET_WAITED_MS`, while more than its last bound comes,
//! is closed although it reads.

use crate::base::limits;
use crate::base::time::{Duration, Instant};

/// Events and their bytes that wait for one client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unread {
    pub events: usize,
    pub bytes: usize,
}

impl Unread {
    pub fn plus(self, bytes: usize) -> Unread {
        Unread { events: self.events + 1, bytes: self.bytes + bytes }
    }

    pub fn minus(self, bytes: usize) -> Unread {
        Unread { events: self.events.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) }
    }

    /// So much that the client must be reading.
    pub fn is_much(self) -> bool {
        self.events > limits::SOCKET_EVENTS || self.bytes > limits::SOCKET_EVENT_BYTES
    }

    /// More than anybody may let wait.
    pub fn is_too_much(self) -> bool {
        self.events > limits::SOCKET_EVENTS_MAX || self.bytes > limits::SOCKET_EVENT_BYTES_MAX
    }

    /// What was much is so no more.
    pub fn is_eased(self) -> bool {
        self.events <= limits::SOCKET_EVENTS / 2 && self.bytes <= limits::SOCKET_EVENT_BYTES / 2
    }
}

/// How one client reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReaderPace {
    /// It has taken nothing since then.
    still_since: Instant,
    /// So long others were held up for it.
    waited: Duration,
}

impl ReaderPace {
    pub fn new(now: Instant) -> ReaderPace {
        ReaderPace { still_since: now, waited: Duration::ZERO }
    }

    /// Looked at now. `has_moved`: it took something since the last look, or what waits has begun to.
    pub fn look(&mut self, has_moved: bool, now: Instant) {
        if has_moved {
            self.still_since = now;
        }
    }

    pub fn still(&self, now: Instant) -> Duration {
        now.since(self.still_since)
    }

    /// It is not read: it goes.
    pub fn is_slow(&self, waiting: Unread, now: Instant) -> bool {
        waiting.is_much() && self.still(now) >= Duration::from_millis(limits::SOCKET_STILL_MS)
    }

    pub fn is_reading(&self, now: Instant) -> bool {
        self.still(now) < Duration::from_millis(limits::SOCKET_WAITED_MS)
    }

    /// Nobody else gets anything while this one takes what it has.
    pub fn is_waited_for(&self, now: Instant) -> bool {
        self.is_reading(now) && self.waited < Duration::from_millis(limits::SOCKET_WAITED_MS)
    }

    pub fn was_waited_for(&mut self, time: Duration) {
        self.waited += time;
    }

    /// It has taken what it was waited for, and may be again.
    pub fn on_eased(&mut self) {
        self.waited = Duration::ZERO;
    }
}

/// How much longer a shard may hold up everybody for some.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    spent: Duration,
    at: Instant,
}

impl Patience {
    pub fn new(now: Instant) -> Patience {
        Patience { spent: Duration::ZERO, at: now }
    }

    /// Time went by in which nobody was held up.
    pub fn on_going(&mut self, now: Instant) {
        self.spent = self.spent.saturating_sub(now.since(self.at));
        self.at = now;
    }

    pub fn on_paused(&mut self, now: Instant) -> Duration {
        let time = now.since(self.at);
        self.spent += time;
        self.at = now;
        time
    }

    pub fn is_spent(&self) -> bool {
        self.spent >= Duration::from_millis(limits::PAUSES_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO.plus_ms(ms)
    }

    #[test]
    fn slow_is_who_takes_nothing_while_much_waits() {
        let (much, little) = (Unread { events: limits::SOCKET_EVENTS + 1, bytes: 1 }, Unread { events: 1, bytes: 9 });
        let mut pace = ReaderPace::new(at(0));
        assert!(!pace.is_slow(much, at(limits::SOCKET_STILL_MS - 1)) && pace.is_slow(much, at(limits::SOCKET_STILL_MS)));
        assert!(!pace.is_slow(little, at(1_000_000)), "little may wait for ever");
        // A burst of any size: it has just taken something.
        pace.look(true, at(9_999));
        pace.look(false, at(12_000));
        assert!(!pace.is_slow(Unread { events: 1 << 30, bytes: 1 << 30 }, at(19_000)));
        assert!(pace.is_slow(much, at(19_999)));
    }

    #[test]
    fn a_reader_is_waited_for_and_a_trickle_not_without_end() {
        let mut pace = ReaderPace::new(at(0));
        assert!(pace.is_waited_for(at(limits::SOCKET_WAITED_MS - 1)) && !pace.is_waited_for(at(limits::SOCKET_WAITED_MS)));
        for ms in (0..limits::SOCKET_WAITED_MS).step_by(100) {
            pace.look(true, at(ms));
            assert!(pace.is_waited_for(at(ms)));
            pace.was_waited_for(Duration::from_millis(100));
        }
        assert!(!pace.is_waited_for(at(limits::SOCKET_WAITED_MS)) && pace.is_reading(at(limits::SOCKET_WAITED_MS)));
        pace.on_eased();
        assert!(pace.is_waited_for(at(limits::SOCKET_WAITED_MS)));
    }

    #[test]
    fn a_shard_is_held_up_half_of_the_time_at_most() {
        let (mut patience, mut now, mut paused) = (Patience::new(at(0)), 0, 0);
        // Whoever wants to hold it up always does so as long as it may.
        while now < 600_000 {
            if patience.is_spent() {
                patience.on_going(at(now + 10));
            } else {
                assert_eq!(patience.on_paused(at(now + 10)), Duration::from_millis(10));
                paused += 10;
            }
            now += 10;
        }
        assert!(paused <= now / 2 + limits::PAUSES_MS, "{paused} of {now} ms");
    }

    #[test]
    fn what_waits_is_much_by_events_or_by_bytes_and_eased_by_both() {
        let (events, bytes) = (limits::SOCKET_EVENTS, limits::SOCKET_EVENT_BYTES);
        let check = |events, bytes, want: (bool, bool, bool)| {
            let waiting = Unread { events, bytes };
            assert_eq!((waiting.is_much(), waiting.is_too_much(), waiting.is_eased()), want, "{waiting:?}");
        };
        check(0, 0, (false, false, true));
        check(events, bytes, (false, false, false));
        check(events + 1, 0, (true, false, false));
        check(0, bytes + 1, (true, false, false));
        check(events / 2, bytes, (false, false, false));
        check(events / 2, bytes / 2, (false, false, true));
        check(limits::SOCKET_EVENTS_MAX + 1, 0, (true, true, false));
        check(0, limits::SOCKET_EVENT_BYTES_MAX + 1, (true, true, false));
        assert_eq!(Unread::default().plus(7).plus(2).minus(7), Unread { events: 1, bytes: 2 });
    }
}
