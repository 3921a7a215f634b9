//! When a provider that refuses is left alone, and when for good.
//!
//! A refusal that says how long to wait is obeyed. Single ones without such a word are part of what is measured: a provider
//! with a limit below the rate answers some of the calls, and how many is its figure. Several in a row are a wall: it is
//! left alone for a second, asked once, left alone for twice as long, and after a few such rounds it is banned: it is asked
//! nothing more in this run. Calls that are due meanwhile are not sent, and count as failures, because a caller at this rate
//! would have met with the refusal that was announced; left out they would make a provider better the more it refuses.
//! Rejected: going on (this is how accounts get blocked), giving up at the first refusal (limits refuse now and then).

use crate::base::limits;
use crate::base::time::Instant;

/// What is known of one provider's willingness.
#[derive(Clone, Debug, Default)]
pub struct Conduct {
    answered: u64,
    /// Refusals since the last answer.
    refused: u32,
    /// Times that it was left alone since then.
    rounds: u32,
    held_until: Option<Instant>,
    banned_after: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MayAsk {
    Yes,
    /// Not now.
    Held,
    /// Not any more.
    Never,
}

impl Conduct {
    pub fn may_ask(&self, now: Instant) -> MayAsk {
        match (self.banned_after, self.held_until) {
            (Some(_), _) => MayAsk::Never,
            (None, Some(until)) if now < until => MayAsk::Held,
            (None, _) => MayAsk::Yes,
        }
    }

    /// Until when it is left alone.
    pub fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// Any answer that is no refusal, a failure of another kind included.
    pub fn on_answer(&mut self) {
        self.answered += 1;
        (self.refused, self.rounds) = (0, 0);
    }

    /// Too many calls, or credentials that are not accepted any more.
    pub fn on_refusal(&mut self, hint_ms: Option<u64>, now: Instant) {
        self.refused += 1;
        // Answers to calls that were under way when it began say nothing new.
        if self.may_ask(now) != MayAsk::Yes {
            return;
        }
        if let Some(ms) = hint_ms {
            self.held_until = Some(now.plus_ms(ms));
            self.rounds += 1;
        } else if self.refused >= limits::BENCH_WALL || self.rounds > 0 {
            self.held_until = Some(now.plus_ms(limits::BENCH_REST_MS << self.rounds.min(6)));
            self.rounds += 1;
        }
        if self.rounds > limits::BENCH_RESTS {
            self.banned_after = Some(self.answered);
        }
    }

    /// After how many answers it began to refuse everything.
    pub fn banned_after(&self) -> Option<u64> {
        self.banned_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_refuses_everything_is_asked_a_few_times_more_and_then_never() {
        let mut conduct = Conduct::default();
        (0..50).for_each(|_| conduct.on_answer());
        let mut sent = 0;
        for ms in (0..60_000).step_by(200) {
            let now = Instant::ZERO.plus_ms(ms);
            if conduct.may_ask(now) == MayAsk::Yes {
                sent += 1;
                conduct.on_refusal(None, now);
            }
        }
        assert_eq!(conduct.banned_after(), Some(50));
        assert_eq!(sent, limits::BENCH_WALL + limits::BENCH_RESTS);
    }

    #[test]
    fn single_refusals_are_measured() {
        let mut conduct = Conduct::default();
        for place in 0..1_000 {
            let now = Instant::ZERO.plus_ms(place * 200);
            assert_eq!(conduct.may_ask(now), MayAsk::Yes);
            if place % 3 == 0 { conduct.on_refusal(None, now) } else { conduct.on_answer() }
        }
    }

    #[test]
    fn a_hint_is_obeyed() {
        let mut conduct = Conduct::default();
        let at = |ms| Instant::ZERO.plus_ms(ms);
        conduct.on_refusal(Some(30_000), at(0));
        // What was under way.
        (0..9).for_each(|_| conduct.on_refusal(Some(90_000), at(100)));
        assert_eq!((conduct.may_ask(at(29_999)), conduct.may_ask(at(30_000))), (MayAsk::Held, MayAsk::Yes));
        assert_eq!(conduct.held_until(), Some(at(30_000)));
        conduct.on_answer();
        conduct.on_refusal(None, at(31_000));
        assert_eq!(conduct.may_ask(at(31_001)), MayAsk::Yes, "one is no wall");
    }
}
