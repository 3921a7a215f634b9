//! What other nodes of the cluster say of a channel, as far as our own experience does not contradict it.
//!
//! A peer's word is advice: a rest that it was told of ranks the channel behind others, as our own rests do, until a call of ours
//! succeeds there; the same rest is then not believed again, however often it is repeated. Limits of log ranges and depths that it
//! met are lessons of its own kind beside ours, which hold for as long as ours do and are refuted by the same successes. Rejected: adding them to our own lessons (two nodes
//! would go on telling each other what neither had met for hours).

use crate::base::time::{Duration, Instant};
use crate::health::learnt::{Learnt, Lesson};
use std::sync::Arc;

/// Two words of the same rest name ends that differ by what they were on their way for.
const SAME_REST: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, Default)]
pub struct Advised {
    /// Until when it should be used less, and the node that was told so.
    rest: Option<(Instant, Arc<str>)>,
    /// A call of ours has succeeded in a rest that was to end then.
    refuted: Option<Instant>,
    pub learnt: Learnt,
    /// The node where the order that holds was given, when it was not here.
    pub ordered_by: Option<Arc<str>>,
}

impl Advised {
    /// The longest rest that anybody speaks of; `None`: nobody does.
    pub fn on_rest(&mut self, rest: Option<(Instant, Arc<str>)>) {
        let is_refuted = |until: Instant| self.refuted.is_some_and(|refuted| until <= refuted + SAME_REST);
        self.rest = rest.filter(|(until, _)| !is_refuted(*until));
    }

    pub fn on_limit(&mut self, lesson: Lesson, now: Instant) {
        self.learnt.learn(lesson, now);
    }

    /// A call of ours was answered.
    pub fn on_success(&mut self, now: Instant) {
        if let Some((until, _)) = self.rest.take_if(|(until, _)| *until > now) {
            self.refuted = Some(until);
        }
    }

    /// Until when, and who says so.
    pub fn rest(&self, now: Instant) -> Option<(Instant, &str)> {
        self.rest.as_ref().filter(|(until, _)| *until > now).map(|(until, by)| (*until, by.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::ZERO.plus_ms(1_000 * s)
    }

    #[test]
    fn a_rest_holds_until_its_end_or_until_a_call_of_ours_succeeds() {
        let by: Arc<str> = "eu-1".into();
        let mut advised = Advised::default();
        advised.on_success(at(1));
        advised.on_rest(Some((at(30), by.clone())));
        assert_eq!(advised.rest(at(29)), Some((at(30), "eu-1")));
        assert_eq!(advised.rest(at(30)), None);
        advised.on_success(at(5));
        assert_eq!(advised.rest(at(5)), None);
        // The same one, repeated; then another.
        advised.on_rest(Some((at(31), by.clone())));
        assert_eq!(advised.rest(at(6)), None);
        advised.on_rest(Some((at(60), by.clone())));
        assert_eq!(advised.rest(at(6)), Some((at(60), "eu-1")));
        advised.on_rest(None);
        assert_eq!(advised.rest(at(6)), None);
    }
}
