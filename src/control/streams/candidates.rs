//! Who is asked to lead one follower: one beside a leader that is not well, everybody while nobody leads.
//!
//! A planned switch has time: the best is asked, and who fails is shunned for a while, doubling. While nobody leads there is
//! none: clients hear nothing and their streams end at a deadline, so everybody is asked at once, each feed tries again every
//! second, and whoever confirms first leads, also one that was not asked for. Only at the very start the best is given a
//! moment alone, and whoever was just lost comes a moment later than the others: what made it fall silent may do so again.
//! A leader that tells nothing new for too long is left only for one that has something newer: a chain may stand still.
//! Rejected: one after the other also without a leader (each that hangs costs the others its time), and pauses that double
//! then (the last of them outlasts the deadline).

use super::feed::{FeedId, Mode};
use super::follower::Around;
use super::leaders;
use crate::base::ids::InstanceId;
use crate::base::limits;
use crate::base::time::Instant;
use crate::stream::fanout::Topic;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy)]
struct Shunned {
    until: Instant,
    times: u32,
}

/// Nobody leads.
#[derive(Clone, Copy)]
struct Alone {
    since: Instant,
    /// Everybody is asked from then on.
    all_from: Instant,
}

#[derive(Default)]
pub struct Candidates {
    /// Since when.
    asked: BTreeMap<FeedId, Instant>,
    shunned: BTreeMap<FeedId, Shunned>,
    /// They do not offer it, as long as nobody does.
    refused: BTreeSet<FeedId>,
    alone: Option<Alone>,
    /// Was just lost: the others come first until then.
    held_back: Option<(InstanceId, Instant)>,
    /// The leader tells nothing new.
    is_stalled: bool,
    changes: u64,
}

impl Candidates {
    pub fn asks(&self, feed: FeedId) -> bool {
        self.asked.contains_key(&feed)
    }

    pub fn feeds(&self) -> impl Iterator<Item = FeedId> {
        self.asked.keys().copied()
    }

    /// Moves when whom it asks does.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// A candidate must have something newer to tell than the leader.
    pub fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    pub fn on_stalled(&mut self) {
        self.is_stalled = true;
    }

    /// The leader has told something new: nobody is asked to replace it for that.
    pub fn on_news(&mut self) {
        if std::mem::take(&mut self.is_stalled) {
            self.ask(Vec::new(), Instant::ZERO);
        }
    }

    pub fn on_leads(&mut self, feed: FeedId) {
        self.ask(Vec::new(), Instant::ZERO);
        self.shunned.remove(&feed);
        // When this one is lost, the others are asked anew: what they refused may be long ago.
        self.refused.clear();
        (self.alone, self.held_back, self.is_stalled) = (None, None, false);
    }

    pub fn on_lost_leader(&mut self, feed: FeedId, now: Instant) {
        self.alone = Some(Alone { since: now, all_from: now });
        self.held_back = Some((feed.instance, now.plus_ms(limits::SHUN_MS)));
        self.is_stalled = false;
        self.shunned.values_mut().for_each(|shunned| shunned.until = now);
    }

    /// It led, and tells what nobody else has: it may lead again when others have had their chance, also where there are none.
    pub fn on_forsaken(&mut self, feed: FeedId, until: Instant) {
        for mode in [Mode::Subscribing, Mode::Polling] {
            self.shunned.insert(FeedId { mode, ..feed }, Shunned { until, times: 0 });
        }
    }

    pub fn on_refused(&mut self, feed: FeedId, now: Instant) {
        self.refused.insert(feed);
        self.on_failed(feed, now);
    }

    /// It is gone, or puts us off. While nobody leads it stays asked: its feed tries again by itself.
    pub fn on_failed(&mut self, feed: FeedId, now: Instant) {
        if !self.asks(feed) {
            return;
        }
        if let Some(alone) = &mut self.alone {
            alone.all_from = alone.all_from.min(now);
            return;
        }
        self.asked.remove(&feed);
        self.changes += 1;
        let times = self.shunned.get(&feed).map_or(0, |shunned| shunned.times);
        let pause = (limits::SHUN_MS << times.min(8)).min(limits::SHUN_MAX_MS);
        self.shunned.insert(feed, Shunned { until: now.plus_ms(pause), times: times + 1 });
    }

    /// Nobody is asked any more.
    pub fn end(&mut self) {
        self.ask(Vec::new(), Instant::ZERO);
        self.alone = None;
    }

    /// Decides whom to ask; whoever has confirmed already leads from now on.
    pub fn choose(&mut self, leader: Option<FeedId>, route: &Topic, can_poll: bool, around: &Around<'_>) -> Option<FeedId> {
        let all = || leaders::candidates(around.snapshot, route, around.region, can_poll);
        match leader {
            None => {
                self.ask_anybody(all(), around.now);
                let mut asked = all().into_iter().filter(|feed| self.asks(*feed));
                asked.find(|feed| around.has_confirmed(*feed, &route.key))
            }
            Some(leader) => {
                let is_well = |feed: FeedId| leaders::is_well(around.snapshot, route, feed);
                self.end_late(around.now);
                let is_subscribed = leader.mode == Mode::Subscribing;
                let leader_is_well = is_well(leader) && !self.is_stalled;
                if !self.asked.is_empty() || (leader_is_well && is_subscribed) {
                    return None;
                }
                // It goes only for one that is well, and a polled one also for a subscription.
                let may_lead = |feed: &FeedId| is_well(*feed) && (!leader_is_well || feed.mode == Mode::Subscribing);
                let mut free = all().into_iter().filter(|feed| *feed != leader && !self.is_shunned(*feed, around.now));
                let better = free.find(may_lead)?;
                self.ask(vec![better], around.now);
                (!self.is_stalled && around.has_confirmed(better, &route.key)).then_some(better)
            }
        }
    }

    fn ask_anybody(&mut self, mut all: Vec<FeedId>, now: Instant) {
        let first = Alone { since: now, all_from: now.plus_ms(limits::SUBSCRIBE_SHARE_MS) };
        let all_from = self.alone.get_or_insert(first).all_from;
        all.retain(|feed| !self.refused.contains(feed) && !self.is_shunned(*feed, now));
        let held_back = self.held_back.filter(|(_, until)| *until > now).map(|(instance, _)| instance);
        if all.iter().any(|feed| Some(feed.instance) != held_back) {
            all.retain(|feed| Some(feed.instance) != held_back);
        }
        if now < all_from {
            all.truncate(1);
        }
        self.ask(all, now);
    }

    fn ask(&mut self, feeds: Vec<FeedId>, now: Instant) {
        let before = self.asked.len();
        self.asked.retain(|feed, _| feeds.contains(feed));
        let mut has_changed = self.asked.len() != before;
        for feed in feeds {
            self.asked.entry(feed).or_insert_with(|| {
                has_changed = true;
                now
            });
        }
        self.changes += u64::from(has_changed);
    }

    /// Beside a leader nobody is waited for too long.
    fn end_late(&mut self, now: Instant) {
        let is_late = |since: &Instant| now >= since.plus_ms(limits::SUBSCRIBE_MS);
        let late: Vec<FeedId> = self.asked.iter().filter(|(_, since)| is_late(since)).map(|(feed, _)| *feed).collect();
        late.into_iter().for_each(|feed| self.on_failed(feed, now));
    }

    fn is_shunned(&self, feed: FeedId, now: Instant) -> bool {
        self.shunned.get(&feed).is_some_and(|shunned| shunned.until > now)
    }

    /// All of them, and there are some.
    pub fn have_refused(&self, all: &[FeedId]) -> bool {
        !all.is_empty() && all.iter().all(|feed| self.refused.contains(feed))
    }

    /// Nobody has led for so long.
    pub fn is_alone_since(&self, ms: u64, now: Instant) -> bool {
        self.alone.is_some_and(|alone| now >= alone.since.plus_ms(ms))
    }

    /// When to choose again without news; what is over already changed nothing.
    pub fn wake_at(&self, stepped_at: Instant) -> Instant {
        let late = self.asked.values().map(|since| since.plus_ms(limits::SUBSCRIBE_MS)).filter(|_| self.alone.is_none());
        let all_from = self.alone.map(|alone| alone.all_from);
        let held_back = self.held_back.map(|(_, until)| until);
        let shunned = self.shunned.values().map(|shunned| shunned.until);
        let coming = late.chain(all_from).chain(held_back).chain(shunned).filter(|at| *at > stepped_at);
        coming.min().unwrap_or(Instant::NEVER)
    }
}
