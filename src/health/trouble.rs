//! Why a channel's circuit is not closed, and when it is tried again: the facts that people are told, and their words.
//!
//! One value for the log, the page, `stats` and explain, so that all say the same. It holds moments and no ages: it changes
//! only when something happened, and may travel in a snapshot.

use crate::base::time::Instant;
use crate::observe::category::Category;
use crate::observe::unreached::Unreached;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// Our probes try it; else it is left alone.
    pub is_half_open: bool,
    /// Why no connection to it can be made.
    pub unreached: Option<Unreached>,
    /// What the newest failure meant.
    pub last: Option<Category>,
    /// Failures without a success between them.
    pub run: u32,
    /// Times in a row that it opened.
    pub opens: u32,
    /// When an open one is tried, if nothing happens before.
    pub retry_at: Option<Instant>,
    /// That is earlier than its own timer, because our probes of it are good.
    pub is_early: bool,
    /// Half-open, and no trial before this: the last one was turned away.
    pub rests_until: Option<Instant>,
    /// It said when to ask again.
    pub limited_until: Option<Instant>,
    /// Calls of some chain have nobody whose circuit is closed.
    pub is_dark: bool,
}

impl Trouble {
    pub fn why(&self, now: Instant) -> String {
        if !self.is_half_open {
            return format!("{}; {}", self.failures(), self.when_tried(now));
        }
        match self.rests_until.filter(|until| *until > now) {
            Some(until) => {
                let seconds = seconds_to(until, now);
                format!("its circuit is half-open and it turned our last trial away: tried again in {seconds} s")
            }
            None => "its circuit is half-open: our probes decide".to_owned(),
        }
    }

    fn failures(&self) -> String {
        let last = match (self.unreached, self.last) {
            (Some(why), Some(Category::Network | Category::Timeout) | None) => why.text().into_owned(),
            (_, Some(category)) => category.word().replace('_', " "),
            (None, None) => "failure".to_owned(),
        };
        match self.run {
            0 => format!("a trial failed: {last}"),
            1 => format!("1 failure: {last}"),
            run => format!("{run} failures in a row, the last one: {last}"),
        }
    }

    fn when_tried(&self, now: Instant) -> String {
        if self.is_dark {
            return match self.limited_until.filter(|until| *until > now) {
                Some(until) => format!("probed in {} s, when it said to come back", seconds_to(until, now)),
                None => "probed every second, because calls have nobody else".to_owned(),
            };
        }
        let seconds = self.retry_at.map_or(1, |retry| seconds_to(retry, now));
        match (self.is_early, self.opens) {
            (true, _) => format!("tried again in {seconds} s, because our probes of it are good"),
            (false, 0 | 1) => format!("tried again in {seconds} s"),
            (false, 2) => format!("tried again in {seconds} s, because the last trial failed"),
            (false, opens) => format!("tried again in {seconds} s, because {} trials in a row failed", opens - 1),
        }
    }
}

fn seconds_to(until: Instant, now: Instant) -> u64 {
    until.since(now).as_secs().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_trouble_has_its_words() {
        let at = |s: u64| Instant::ZERO.plus_ms(1_000 * s);
        let open = Trouble {
            is_half_open: false,
            unreached: None,
            last: Some(Category::ServerError),
            run: 3,
            opens: 1,
            retry_at: Some(at(30)),
            is_early: false,
            rests_until: None,
            limited_until: None,
            is_dark: false,
        };
        let check = |trouble: Trouble, want: &str| assert_eq!(trouble.why(at(10)), want);
        check(open, "3 failures in a row, the last one: server error; tried again in 20 s");
        check(
            Trouble { run: 0, opens: 3, ..open },
            "a trial failed: server error; tried again in 20 s, because 2 trials in a row failed",
        );
        let once = "a trial failed: server error; tried again in 20 s, because the last trial failed";
        check(Trouble { run: 0, opens: 2, ..open }, once);
        check(
            Trouble { run: 1, is_early: true, ..open },
            "1 failure: server error; tried again in 20 s, because our probes of it are good",
        );
        // A connection that cannot be made says more than its category; an answer that came says more than an old fault.
        let refused = Trouble { unreached: Some(Unreached::Refused), last: Some(Category::Network), is_dark: true, ..open };
        let text = Unreached::Refused.text();
        check(
            refused,
            &format!("3 failures in a row, the last one: {text}; probed every second, because calls have nobody else"),
        );
        check(
            Trouble { last: Some(Category::ServerError), limited_until: Some(at(15)), ..refused },
            "3 failures in a row, the last one: server error; probed in 5 s, when it said to come back",
        );
        let half = Trouble { is_half_open: true, ..open };
        check(half, "its circuit is half-open: our probes decide");
        let turned_away = "its circuit is half-open and it turned our last trial away: tried again in 2 s";
        check(Trouble { rests_until: Some(at(12)), ..half }, turned_away);
    }
}
