//! One channel's health: its breaker, its rests, what it was found unable to do, and what speaks against using it at all.

use crate::base::limits;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::chain::method_key::MethodKey;
use crate::health::advised::Advised;
use crate::health::breaker::{Breaker, Cause, Gate, Outcomes, Policy, Transition};
use crate::health::cooldown::Cooldown;
use crate::health::learnt::{Learnt, Lesson, View};
use crate::health::suspicion::Suspicion;
use crate::health::trouble::Trouble;
use crate::observe::category::Category;
use crate::observe::report::{FeedState, Probe};
use crate::observe::tally::ChannelCounts;
use crate::observe::unreached::Unreached;

pub struct Channel {
    pub breaker: Breaker,
    pub cooldown: Cooldown,
    pub learnt: Learnt,
    /// What other nodes say of it.
    pub advised: Advised,
    /// Our credentials were refused, and no answer has come since.
    pub misconfigured_since: Option<Instant>,
    /// It serves another chain than configured.
    pub wrong_chain: Option<u64>,
    /// It has answered something since the start.
    pub is_known: bool,
    /// What the newest failure meant, for people.
    pub last_failure: Option<(Category, Instant)>,
    /// What is suspected of it, until a probe decides.
    pub suspicion: Suspicion,
    /// Calls of some chain that it serves have nobody whose circuit is closed.
    pub is_dark: bool,
    /// Why no connection to it can be made, until one answers; and what people were told last, and when.
    pub unreached: Option<Unreached>,
    pub told_unreached: Option<(Unreached, Instant)>,
    /// How often its circuit opened since the start.
    pub opened: u64,
    /// As a source of subscriptions.
    pub feed: FeedState,
    /// Of the epoch that is being merged.
    outcomes: Vec<(u16, Outcomes)>,
}

impl Channel {
    pub fn new(policy: Policy) -> Channel {
        Channel {
            breaker: Breaker::new(policy),
            cooldown: Cooldown::default(),
            learnt: Learnt::new(),
            advised: Advised::default(),
            misconfigured_since: None,
            wrong_chain: None,
            is_known: false,
            last_failure: None,
            suspicion: Suspicion::default(),
            is_dark: false,
            unreached: None,
            told_unreached: None,
            opened: 0,
            feed: FeedState::default(),
            outcomes: Vec::new(),
        }
    }

    /// One producer's counts of an epoch. While our own probes fail too, what was only suspected counts; else it waits for the
    /// probe that it asks for.
    pub fn take(&mut self, producer: u16, counts: &ChannelCounts, now: Instant) {
        let confirmed = if self.breaker.probe_failing() { counts.suspects } else { 0 };
        if let Some(category) = counts.last_suspect.filter(|_| confirmed < counts.suspects) {
            self.suspicion.raise(counts.suspects, category, now);
        }
        let suspected = counts.last_suspect.filter(|_| confirmed > 0);
        let last_cause = counts.last_failure.or(suspected).map(cause_of);
        self.outcomes.push((
            producer,
            Outcomes {
                successes: counts.successes,
                failures: counts.penalised + confirmed,
                trailing: counts.trailing + confirmed,
                last_cause,
            },
        ));
        if counts.successes > 0 {
            (self.misconfigured_since, self.is_known, self.unreached) = (None, true, None);
            self.advised.on_success(now);
        }
        if counts.is_refused {
            self.on_auth_refused(now);
        }
        self.last_failure = counts.last_failure.or(suspected).map(|category| (category, now)).or(self.last_failure);
    }

    pub fn end_epoch(&mut self, now: Instant, rng: &mut Rng) -> Option<Transition> {
        if self.outcomes.is_empty() {
            return None;
        }
        let transition = self.breaker.on_epoch(&self.outcomes, now, rng);
        self.outcomes.clear();
        transition
    }

    pub fn on_reported(&mut self, producer: u16, until: Instant, is_last: bool) {
        match is_last {
            true => self.breaker.on_producer_lost(producer),
            false => self.breaker.on_reported(producer, until),
        }
    }

    /// Why its circuit is not closed.
    pub fn trouble(&self, now: Instant) -> Option<Trouble> {
        let breaker = &self.breaker;
        (breaker.gate() != Gate::Closed).then(|| Trouble {
            is_half_open: breaker.gate() == Gate::HalfOpen,
            unreached: self.unreached,
            last: self.last_failure.map(|(category, _)| category),
            run: breaker.run(),
            opens: breaker.opens(),
            retry_at: breaker.retry_at(),
            is_early: breaker.is_tried_early(),
            rests_until: breaker.rests_until(),
            limited_until: self.cooldown.is_limited(now).then(|| self.cooldown.until()),
            is_dark: self.is_dark,
        })
    }

    /// The same in words; nothing while it is closed.
    pub fn why(&self, now: Instant) -> String {
        self.trouble(now).map(|trouble| trouble.why(now)).unwrap_or_default()
    }

    /// True: people should hear of it.
    pub fn on_unreached(&mut self, why: Unreached, now: Instant) -> bool {
        self.unreached = Some(why);
        let again = Duration::from_millis(limits::UNREACHED_AGAIN_MS);
        let is_news = self.told_unreached.is_none_or(|(told, at)| told != why || now.since(at) >= again);
        if is_news {
            self.told_unreached = Some((why, now));
        }
        is_news
    }

    /// Until when it should be asked less: it said so to us, or to a node that we believe.
    pub fn limited_until(&self, now: Instant) -> Option<Instant> {
        let own = self.cooldown.is_limited(now).then(|| self.cooldown.until());
        own.max(self.advised.rest(now).map(|(until, _)| until))
    }

    /// Who says that it should be asked less, when it has not said so to us.
    pub fn limited_by(&self, now: Instant) -> Option<&str> {
        self.advised.rest(now).filter(|_| !self.cooldown.is_limited(now)).map(|(_, by)| by)
    }

    /// Why it is asked less, for people.
    pub fn why_limited(&self, now: Instant) -> String {
        let left_s = self.limited_until(now).map_or(0, |until| until.since(now).as_millis().div_ceil(1000));
        match self.limited_by(now) {
            None => format!("it said we ask too often; used after the others for {left_s} s"),
            Some(by) => format!("it said to node {by} that we ask too often; used after the others for {left_s} s"),
        }
    }

    /// The limits that hold, whoever met them.
    pub fn learnt_view(&self, now: Instant) -> View {
        let (mut own, advised) = (self.learnt.view(now), self.advised.learnt.view(now));
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        own.max_log_range = least(own.max_log_range, advised.max_log_range);
        own.max_depth = least(own.max_depth, advised.max_depth);
        own
    }

    pub fn on_limited(&mut self, now: Instant, hint_ms: Option<u64>) {
        self.cooldown.on_limited(now, hint_ms);
    }

    /// Refused credentials: believed at once, taken back by the next result or probe.
    pub fn on_auth_refused(&mut self, now: Instant) {
        self.misconfigured_since = self.misconfigured_since.or(Some(now));
    }

    pub fn on_rejected(&mut self, method: Option<MethodKey>, category: Category, blocks: Option<u64>, now: Instant) {
        if category == Category::Forbidden {
            // It is about this method only, unless our probe is forbidden too: then it is our credentials.
            self.suspicion.raise(0, category, now);
        }
        let lesson = match (category, blocks, method) {
            (Category::BlockRangeTooLarge, Some(blocks), _) => Lesson::LogRange { blocks },
            (Category::ResultTooLarge, Some(blocks), _) => Lesson::ResultSize { blocks },
            (Category::MissingDataArchive, Some(blocks_behind), _) => Lesson::ArchiveDepth { blocks_behind },
            // Only the code for it is certain enough; texts about methods may be about parameters.
            (Category::MethodNotFound | Category::Forbidden, _, Some(method)) => Lesson::Method { method },
            _ => return,
        };
        self.learnt.learn(lesson, now);
    }

    /// A range of logs of so many blocks was answered.
    pub fn on_served(&mut self, blocks: u64) {
        self.learnt.unlearn_range(blocks);
        self.advised.learnt.unlearn_range(blocks);
    }

    /// No block was announced for long. The chain may stand still, so a probe decides.
    pub fn on_silent(&mut self, now: Instant) {
        self.suspicion.raise(0, Category::Timeout, now);
    }

    /// `prober` is the producer that our probes count under.
    pub fn on_probe(&mut self, probe: Probe, prober: u16, now: Instant) -> Option<Transition> {
        match probe {
            Probe::Ok { .. } => {
                (self.wrong_chain, self.misconfigured_since, self.is_known) = (None, None, true);
                self.suspicion.dismiss();
                self.unreached = None;
                self.breaker.end_run(prober);
                self.breaker.on_probe(true, self.is_dark, now)
            }
            Probe::Failed { category } => {
                let suspected = self.suspicion.confirm(now).filter(|(failures, _)| *failures > 0);
                self.last_failure = Some((suspected.map_or(category, |(_, of_calls)| of_calls), now));
                self.count_probe_failure(category, suspected, prober);
                self.breaker.on_probe(false, self.is_dark, now)
            }
            Probe::WrongChain { got } => {
                self.wrong_chain = Some(got);
                None
            }
            // A provider that turns us away is there: what was suspected of it is neither proven nor asked for again.
            Probe::Auth => {
                self.suspicion.dismiss();
                self.on_auth_refused(now);
                None
            }
            Probe::Limited { hint_ms } => {
                self.suspicion.dismiss();
                self.on_limited(now, hint_ms);
                None
            }
        }
    }

    /// A probe of ours counts like a call that another provider has answered, and so does now what was suspected before.
    fn count_probe_failure(&mut self, category: Category, suspected: Option<(u32, Category)>, prober: u16) {
        if self.breaker.gate() == Gate::Closed {
            let (more, latest) = suspected.unwrap_or((0, category));
            let (failures, last_cause) = (1 + more, Some(cause_of(latest)));
            self.outcomes.retain(|(producer, _)| *producer != prober);
            self.outcomes.push((prober, Outcomes { successes: 0, failures, trailing: failures, last_cause }));
        }
    }
}

fn cause_of(category: Category) -> Cause {
    match category {
        Category::Network => Cause::Network,
        Category::Timeout => Cause::Timeout,
        _ => Cause::Server,
    }
}
