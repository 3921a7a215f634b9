//! What a channel's errors have taught about its limits, so that the same rejection is not paid for twice.
//!
//! A provider says "block range too large" once; the next call of that range goes elsewhere first, for ten minutes at
//! most, because limits change and an error can be misread. A lesson is the smallest rejected number; a larger rejection
//! neither moves nor prolongs it, so nothing holds for ever by being repeated, and a success at or above it refutes it.
//! Lessons that would shut out everything are not learnt: a range or depth of nothing. Rejected: believing the number in an error's text (it is often of another unit, or the plan's and not the
//! node's), and lessons for each address or filter (unbounded).
//!
//! It fails towards asking: what expired or found no room is simply tried again.

use crate::base::limits::{LEARNT_DEPTH_MIN_BLOCKS, LEARNT_METHODS, LEARNT_MS, LEARNT_SIZE_MS};
use crate::base::time::Instant;
use crate::chain::method_key::MethodKey;

/// What one rejection says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lesson {
    /// A log range of so many blocks (|to − from|) is too wide.
    LogRange { blocks: u64 },
    /// A log range of so many blocks had too many results: that depends on the filter, so it counts for a minute only.
    ResultSize { blocks: u64 },
    /// State so many blocks behind the head is pruned.
    ArchiveDepth { blocks_behind: u64 },
    /// Not offered here, or not in our plan.
    Method { method: MethodKey },
}

/// The smallest rejected number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Limit {
    rejected: u64,
    until: Instant,
}

impl Limit {
    /// The lesson that holds after one more.
    fn learn(held: Option<Limit>, rejected: u64, until: Instant, now: Instant) -> Option<Limit> {
        match held {
            Some(held) if held.until > now && held.rejected < rejected => Some(held),
            Some(_) | None => Some(Limit { rejected, until }),
        }
    }
}

/// The smallest number that is rejected at `now`.
fn rejected_at(limit: Option<Limit>, now: Instant) -> Option<u64> {
    limit.filter(|limit| limit.until > now).map(|limit| limit.rejected)
}

/// What holds at one moment, for the snapshot and for people.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    /// The largest |to − from| of logs that is not known to be rejected.
    pub max_log_range: Option<u64>,
    /// The most blocks behind the head that are not known to be pruned.
    pub max_depth: Option<u64>,
    /// Ascending.
    pub methods: Vec<MethodKey>,
}

/// One channel's lessons.
#[derive(Clone, Debug, Default)]
pub struct Learnt {
    range: Option<Limit>,
    size: Option<Limit>,
    depth: Option<Limit>,
    /// No more than `LEARNT_METHODS`, each once.
    methods: Vec<(MethodKey, Instant)>,
}

impl Learnt {
    pub fn new() -> Learnt {
        Learnt::default()
    }

    pub fn learn(&mut self, lesson: Lesson, now: Instant) {
        let until = now.plus_ms(LEARNT_MS);
        match lesson {
            // One block is never too wide: something else was meant.
            Lesson::LogRange { blocks: 0 } | Lesson::ResultSize { blocks: 0 } => {}
            Lesson::LogRange { blocks } => self.range = Limit::learn(self.range, blocks, until, now),
            Lesson::ResultSize { blocks } => {
                self.size = Limit::learn(self.size, blocks, now.plus_ms(LEARNT_SIZE_MS), now);
            }
            // So near the head nothing is pruned: a node behind the provider's load balancer lagged.
            Lesson::ArchiveDepth { blocks_behind } if blocks_behind < LEARNT_DEPTH_MIN_BLOCKS => {}
            Lesson::ArchiveDepth { blocks_behind } => self.depth = Limit::learn(self.depth, blocks_behind, until, now),
            Lesson::Method { method } => self.learn_method(method, until),
        }
    }

    fn learn_method(&mut self, method: MethodKey, until: Instant) {
        let same = self.methods.iter().position(|(held, _)| *held == method);
        let full = self.methods.len() >= LEARNT_METHODS;
        let oldest = || self.methods.iter().enumerate().min_by_key(|(_, (_, until))| *until).map(|(place, _)| place);
        let place = same.or_else(|| if full { oldest() } else { None });
        match place.and_then(|place| self.methods.get_mut(place)) {
            Some(slot) => *slot = (method, until),
            None => self.methods.push((method, until)),
        }
    }

    /// A log range of so many blocks was answered. Either lesson about ranges goes by the number of blocks alone, so this
    /// refutes both.
    pub fn unlearn_range(&mut self, blocks: u64) {
        self.range = self.range.filter(|limit| limit.rejected > blocks);
        self.size = self.size.filter(|limit| limit.rejected > blocks);
    }

    pub fn rejects_range(&self, blocks: u64, now: Instant) -> bool {
        let rejects = |limit| rejected_at(limit, now).is_some_and(|rejected| blocks >= rejected);
        rejects(self.range) || rejects(self.size)
    }

    /// `behind`: blocks behind the head.
    pub fn rejects_depth(&self, behind: u64, now: Instant) -> bool {
        rejected_at(self.depth, now).is_some_and(|rejected| behind >= rejected)
    }

    pub fn rejects_method(&self, method: MethodKey, now: Instant) -> bool {
        self.methods.iter().any(|(held, until)| *held == method && *until > now)
    }

    /// When the next lesson expires, that [`Learnt::tick`] has not taken away yet.
    pub fn deadline(&self) -> Instant {
        let limits = [self.range, self.size, self.depth].into_iter().flatten().map(|limit| limit.until);
        limits.chain(self.methods.iter().map(|(_, until)| *until)).min().unwrap_or(Instant::NEVER)
    }

    /// Takes away what expired; whether that was anything, so that [`Learnt::view`] is another.
    pub fn tick(&mut self, now: Instant) -> bool {
        if self.deadline() > now {
            return false;
        }
        for limit in [&mut self.range, &mut self.size, &mut self.depth] {
            *limit = limit.filter(|limit| limit.until > now);
        }
        self.methods.retain(|(_, until)| *until > now);
        true
    }

    pub fn view(&self, now: Instant) -> View {
        let most = |limit| rejected_at(limit, now).map(|rejected| rejected.saturating_sub(1));
        let held = self.methods.iter().filter(|(_, until)| *until > now);
        let mut methods: Vec<MethodKey> = held.map(|(method, _)| *method).collect();
        methods.sort_unstable();
        let max_log_range = [most(self.range), most(self.size)].into_iter().flatten().min();
        View { max_log_range, max_depth: most(self.depth), methods }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::MethodId;
    use crate::chain::method;
    use proptest::prelude::*;

    const CALL: MethodKey = MethodKey::Known(MethodId(17));
    const TRACE: MethodKey = MethodKey::Known(MethodId(60));

    fn at(seconds: u64) -> Instant {
        Instant::ZERO.plus_ms(seconds * 1_000)
    }

    /// What happens at a second.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Learn(Lesson),
        Served(u64),
    }

    use Event::{Learn, Served};
    use Lesson::{ArchiveDepth, LogRange, Method, ResultSize};

    fn after(events: &[(u64, Event)]) -> Learnt {
        let mut learnt = Learnt::new();
        for (second, event) in events {
            match event {
                Learn(lesson) => learnt.learn(*lesson, at(*second)),
                Served(blocks) => learnt.unlearn_range(*blocks),
            }
        }
        learnt
    }

    fn range(blocks: u64) -> Event {
        Learn(LogRange { blocks })
    }

    fn size(blocks: u64) -> Event {
        Learn(ResultSize { blocks })
    }

    fn depth(blocks_behind: u64) -> Event {
        Learn(ArchiveDepth { blocks_behind })
    }

    fn missing(method: MethodKey) -> Event {
        Learn(Method { method })
    }

    /// Events, the second at which is looked, and what holds then: largest range, largest depth, methods.
    #[test]
    fn lessons_hold_for_their_time() {
        let check = |events: &[(u64, Event)], second: u64, want: (Option<u64>, Option<u64>, &[MethodKey])| {
            let view = after(events).view(at(second));
            let want = View { max_log_range: want.0, max_depth: want.1, methods: want.2.to_vec() };
            assert_eq!(view, want, "{events:?} at {second}");
        };
        check(&[], 0, (None, None, &[]));
        check(&[(0, range(1_000))], 599, (Some(999), None, &[]));
        check(&[(0, range(1_000))], 600, (None, None, &[]));
        check(&[(0, range(1_000)), (1, range(500))], 600, (Some(499), None, &[]));
        // A larger rejection says nothing new, and prolongs nothing.
        check(&[(0, range(500)), (1, range(1_000))], 2, (Some(499), None, &[]));
        check(&[(0, range(500)), (1, range(1_000))], 600, (None, None, &[]));
        check(&[(0, range(500)), (1, range(500))], 600, (Some(499), None, &[]));
        check(&[(0, range(500)), (600, range(1_000))], 601, (Some(999), None, &[]));
        // Served at or above it: refuted. Below it: not.
        check(&[(0, range(500)), (1, Served(500))], 2, (None, None, &[]));
        check(&[(0, range(500)), (1, Served(499))], 2, (Some(499), None, &[]));
        check(&[(0, size(300)), (1, Served(300))], 2, (None, None, &[]));
        check(&[(0, size(300)), (0, range(500)), (1, Served(400))], 2, (Some(499), None, &[]));
        check(&[(0, size(300))], 59, (Some(299), None, &[]));
        check(&[(0, size(300))], 60, (None, None, &[]));
        check(&[(0, size(300)), (0, range(500))], 60, (Some(499), None, &[]));
        check(&[(0, depth(200))], 599, (None, Some(199), &[]));
        check(&[(0, depth(200))], 600, (None, None, &[]));
        check(&[(0, depth(200)), (0, depth(10_000)), (1, Served(10_000))], 1, (None, Some(199), &[]));
        check(&[(0, missing(TRACE)), (1, missing(CALL))], 599, (None, None, &[CALL, TRACE]));
        check(&[(0, missing(TRACE)), (1, missing(CALL))], 600, (None, None, &[CALL]));
        check(&[(0, missing(TRACE)), (1, missing(TRACE))], 600, (None, None, &[TRACE]));
        check(&[(0, range(1))], 0, (Some(0), None, &[]));
        check(&[(0, range(u64::MAX))], 0, (Some(u64::MAX - 1), None, &[]));
    }

    #[test]
    fn what_would_shut_out_everything_is_not_learnt() {
        for event in [range(0), size(0), depth(0), depth(LEARNT_DEPTH_MIN_BLOCKS - 1)] {
            let learnt = after(&[(0, event)]);
            assert_eq!((learnt.view(at(0)), learnt.deadline()), (View::default(), Instant::NEVER), "{event:?}");
        }
        let learnt = after(&[(0, depth(LEARNT_DEPTH_MIN_BLOCKS))]);
        assert!(learnt.rejects_depth(LEARNT_DEPTH_MIN_BLOCKS, at(0)) && !learnt.rejects_depth(0, at(0)));
    }

    #[test]
    fn when_there_is_no_room_the_oldest_method_goes() {
        let most = LEARNT_METHODS as u16;
        let mut learnt = Learnt::new();
        for id in 0..most {
            learnt.learn(Method { method: MethodKey::Known(MethodId(id)) }, at(u64::from(id)));
        }
        // Learnt again, so no longer the oldest.
        learnt.learn(Method { method: MethodKey::Known(MethodId(0)) }, at(100));
        learnt.learn(Method { method: MethodKey::Known(MethodId(most)) }, at(101));
        let want: Vec<MethodKey> = (0..=most).filter(|id| *id != 1).map(MethodId).map(MethodKey::Known).collect();
        assert_eq!(learnt.view(at(102)).methods, want);
    }

    fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
        let event = prop_oneof![
            (0u64..9).prop_map(range),
            (0u64..9).prop_map(size),
            (60u64..70).prop_map(depth),
            (0..method::COUNT as u16).prop_map(|id| missing(MethodKey::Known(MethodId(id)))),
            (0u64..9).prop_map(Served),
        ];
        let events = proptest::collection::vec((0u64..40, event), 0..80);
        events.prop_map(|events| {
            let mut second = 0;
            let mut timed = |(gap, event)| {
                second += gap;
                (second, event)
            };
            events.into_iter().map(&mut timed).collect()
        })
    }

    proptest! {
        /// The view says what the questions say; taking away what expired changes neither; nothing outlives its time.
        #[test]
        fn the_view_is_what_is_answered(events in events(), later in 0u64..700) {
            let mut learnt = after(&events);
            let now = at(events.last().map_or(0, |(second, _)| *second) + later);
            let view = learnt.view(now);
            for number in 0..80 {
                prop_assert_eq!(learnt.rejects_range(number, now), view.max_log_range.is_some_and(|most| number > most));
                prop_assert_eq!(learnt.rejects_depth(number, now), view.max_depth.is_some_and(|most| number > most));
            }
            for (id, _) in method::all() {
                let key = MethodKey::Known(id);
                prop_assert_eq!(learnt.rejects_method(key, now), view.methods.contains(&key));
            }
            prop_assert!(view.methods.len() <= LEARNT_METHODS);
            prop_assert_eq!(learnt.deadline() <= now, learnt.tick(now));
            prop_assert_eq!(&learnt.view(now), &view);
            prop_assert!(learnt.deadline() > now && !learnt.tick(now));
            prop_assert!(later < 600 || view == View::default());
        }
    }
}
