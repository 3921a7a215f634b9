//! What the clients of one route hear of one chain, or of one forwarded key: one leader, its candidates, the machines.
//!
//! A candidate becomes leader when its subscription is confirmed; until then the old leader leads, so a planned switch
//! overlaps and a loss has no leader for a moment. Whoever fails is shunned for a while, the others are tried in order, for
//! as long as the machines wait: they say when a stream cannot be kept.

use super::Act;
use super::audience::Audience;
use super::feed::{FeedId, Mode, Said};
use super::fill::{Filled, Order, Wanted};
use super::leaders;

use crate::base::limits;
use crate::base::time::Instant;
use crate::observe::report::Streaming;
use crate::snapshot::Snapshot;
use crate::stream::continuity::{self, Heads, Rules};
use crate::stream::event::{Head, Log};
use crate::stream::fanout::{StreamId, Ticket, Topic};
use crate::stream::filter::LogFilter;
use crate::stream::forwarded::{Syncing, Transactions};
use crate::stream::key::Key;
use crate::stream::logs::{self, Logs};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FollowerId(pub u64);

/// What a follower needs from around it.
pub struct Around<'a> {
    pub snapshot: &'a Snapshot,
    pub region: &'a str,
    /// What feeds have confirmed.
    pub confirmed: &'a BTreeMap<FeedId, BTreeSet<Key>>,
    pub now: Instant,
}

impl Around<'_> {
    fn has_confirmed(&self, feed: FeedId, key: &Key) -> bool {
        self.confirmed.get(&feed).is_some_and(|keys| keys.contains(key))
    }
}

/// What is done with what a feed says for one topic.
enum Machine {
    Heads,
    /// From the first confirmation on: it begins with the next head.
    Logs(Option<Box<Logs>>),
    Transactions(Transactions),
    Syncing(Syncing),
}

struct Course {
    audience: Audience,
    machine: Machine,
}

#[derive(Clone, Copy)]
struct Shunned {
    until: Instant,
    times: u32,
}

/// Totals of what followers did, for metrics.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Deeds {
    pub switches: u64,
    pub losses: u64,
    /// Blocks and blocks' logs that were fetched.
    pub filled: u64,
    pub closed: u64,
    pub events: u64,
    pub duplicates: u64,
}

impl Deeds {
    pub fn add(&mut self, other: &Deeds) {
        self.switches += other.switches;
        self.losses += other.losses;
        self.filled += other.filled;
        self.closed += other.closed;
        self.events += other.events;
        self.duplicates += other.duplicates;
    }
}

pub struct Follower {
    id: FollowerId,
    /// Of the route; its key is that of the subscription that leads.
    route: Topic,
    rules: Rules,
    leader: Option<FeedId>,
    /// Asked to lead, since then.
    candidate: Option<(FeedId, Instant)>,
    /// Somebody has led since it began.
    was_led: bool,
    /// The last that led and was lost: another one is preferred.
    lost: Option<FeedId>,
    shunned: BTreeMap<FeedId, Shunned>,
    /// They do not offer it, as long as nobody does.
    refused: BTreeSet<FeedId>,
    courses: BTreeMap<Key, Course>,
    /// Once a leader was confirmed.
    heads: Option<Heads>,
    /// Counts what changes its wishes.
    changes: u64,
    stepped_at: Instant,
    /// Whom a fetch is asked of moves on when one fails.
    turn: usize,
    deeds: Deeds,
    /// To be told to people.
    told: Vec<(FeedId, Streaming)>,
}

impl Follower {
    /// For a topic's route: heads and logs have one follower, every forwarded key its own.
    pub fn new(id: FollowerId, route: Topic, rules: Rules) -> Follower {
        Follower {
            id,
            route,
            rules,
            leader: None,
            candidate: None,
            was_led: false,
            lost: None,
            shunned: BTreeMap::new(),
            refused: BTreeSet::new(),
            courses: BTreeMap::new(),
            heads: None,
            changes: 0,
            stepped_at: Instant::ZERO,
            turn: 0,
            deeds: Deeds::default(),
            told: Vec::new(),
        }
    }

    pub fn on_open(&mut self, topic: Arc<Topic>, stream: StreamId, shard: u16, ticket: Ticket, now: Instant) {
        let course = self.courses.entry(topic.key.clone()).or_insert_with(|| {
            let machine = match &topic.key {
                Key::NewHeads => Machine::Heads,
                Key::Logs(_) => Machine::Logs(None),
                Key::NewPendingTransactions { .. } => Machine::Transactions(Transactions::default()),
                Key::Syncing => Machine::Syncing(Syncing::default()),
            };
            Course { audience: Audience::new(topic, stream), machine }
        });
        course.audience.on_open(shard, ticket, now);
        self.changes += 1;
    }

    pub fn on_close(&mut self, key: &Key, shard: u16, now: Instant) {
        if let Some(course) = self.courses.get_mut(key) {
            course.audience.on_close(shard, now);
        }
    }

    /// A shard has forgotten everything.
    pub fn forget_shard(&mut self, shard: u16, now: Instant) {
        self.courses.values_mut().for_each(|course| course.audience.on_close(shard, now));
    }

    pub fn id(&self) -> FollowerId {
        self.id
    }

    pub fn deeds(&self) -> Deeds {
        Deeds { duplicates: self.heads.as_ref().map_or(0, Heads::duplicates), ..self.deeds }
    }

    pub fn topic_count(&self) -> usize {
        self.courses.len()
    }

    /// Moves when what it wants of feeds does.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    pub fn is_over(&self) -> bool {
        self.courses.is_empty()
    }

    /// What it wants of a feed.
    pub fn wants_of(&self, feed: FeedId) -> impl Iterator<Item = &Key> {
        let is_mine = self.leader == Some(feed) || self.candidate.is_some_and(|(candidate, _)| candidate == feed);
        let keys = [&self.route.key].into_iter().chain(self.courses.keys().filter(|key| **key != self.route.key));
        keys.filter(move |_| is_mine)
    }

    /// The feeds it wants anything of.
    pub fn feeds(&self) -> impl Iterator<Item = FeedId> {
        self.leader.into_iter().chain(self.candidate.map(|(feed, _)| feed))
    }

    pub fn on_said(&mut self, feed: FeedId, said: &Said, now: Instant) {
        let is_leader = self.leader == Some(feed);
        let is_candidate = self.candidate.is_some_and(|(candidate, _)| candidate == feed);
        match said {
            Said::Confirmed(key) if is_candidate && *key == self.route.key => self.promote(feed, now),
            Said::Refused(key) if *key == self.route.key => {
                self.refused.insert(feed);
                self.on_failed(feed, now);
            }
            Said::Lost => self.on_failed(feed, now),
            Said::Head(head) if is_leader => {
                if let Some(heads) = &mut self.heads {
                    heads.on_head((**head).clone(), now);
                }
            }
            Said::Log(key, log) if is_leader => self.on_log(key, log, now),
            Said::Confirmed(_) | Said::Refused(_) | Said::Head(_) | Said::Log(..) | Said::Other(..) => {}
        }
    }

    fn on_log(&mut self, key: &Key, log: &Log, now: Instant) {
        if let Some(Course { machine: Machine::Logs(Some(logs)), .. }) = self.courses.get_mut(key) {
            logs.on_log(log.clone(), now);
        }
    }

    /// An event of a forwarded key; those are told at once.
    pub fn on_other(&mut self, feed: FeedId, key: &Key, event: &Arc<[u8]>, acts: &mut Vec<Act>) {
        if self.leader != Some(feed) {
            return;
        }
        let Some(course) = self.courses.get_mut(key) else { return };
        let is_news = match &mut course.machine {
            Machine::Transactions(seen) => seen.is_news(event),
            Machine::Syncing(state) => state.is_news(event),
            Machine::Heads | Machine::Logs(_) => false,
        };
        if is_news {
            self.deeds.events += 1;
            course.audience.emit(event, acts);
        }
    }

    fn promote(&mut self, feed: FeedId, now: Instant) {
        self.candidate = None;
        self.shunned.remove(&feed);
        // When this one is lost, the others are asked anew: what they refused may be long ago.
        self.refused.clear();
        self.lost = None;
        self.changes += 1;
        let is_first = !std::mem::replace(&mut self.was_led, true);
        self.deeds.switches += u64::from(!is_first && self.leader != Some(feed));
        self.leader = Some(feed);
        self.told.push((feed, Streaming::Leads));
        match &mut self.heads {
            Some(heads) => heads.on_confirmed(now),
            None if self.route.key == Key::NewHeads => self.heads = Some(Heads::new(self.rules, now)),
            None => {}
        }
        if !is_first {
            self.logs_on_lost(now);
        }
    }

    fn logs_on_lost(&mut self, now: Instant) {
        for course in self.courses.values_mut() {
            if let Machine::Logs(Some(logs)) = &mut course.machine {
                logs.on_lost(now);
            }
        }
    }

    /// A feed is gone, or refuses what it should lead with.
    fn on_failed(&mut self, feed: FeedId, now: Instant) {
        if self.candidate.is_some_and(|(candidate, _)| candidate == feed) {
            self.candidate = None;
            self.changes += 1;
            self.shun(feed, now);
        }
        if self.leader == Some(feed) {
            self.leader = None;
            self.changes += 1;
            self.lost = Some(feed);
            self.told.push((feed, Streaming::Lost));
            self.deeds.losses += 1;
            if let Some(heads) = &mut self.heads {
                heads.on_lost(now);
            }
            self.logs_on_lost(now);
        }
    }

    fn shun(&mut self, feed: FeedId, now: Instant) {
        let times = self.shunned.get(&feed).map_or(0, |shunned| shunned.times);
        let pause = (limits::SHUN_MS << times.min(8)).min(limits::SHUN_MAX_MS);
        self.shunned.insert(feed, Shunned { until: now.plus_ms(pause), times: times + 1 });
    }

    pub fn on_filled(&mut self, filled: Filled, now: Instant) {
        self.deeds.filled += u64::from(filled.is_success());
        self.turn += usize::from(!filled.is_success());
        match filled {
            Filled::Block { ask, block: Some(block), .. } => {
                if let Some(heads) = &mut self.heads {
                    heads.on_filled(ask, *block, now);
                }
            }
            Filled::Block { ask, block: None, .. } => {
                if let Some(heads) = &mut self.heads {
                    heads.on_fill_failed(ask, now);
                }
            }
            Filled::Logs { key, block, logs, .. } => {
                let Some(Course { machine: Machine::Logs(Some(machine)), .. }) = self.courses.get_mut(&key) else { return };
                match logs {
                    Some(logs) => machine.on_filled(block, logs, now),
                    None => machine.on_fill_failed(block, now),
                }
            }
        }
    }

    /// Does what time and news ask for.
    pub fn step(&mut self, around: &Around<'_>, acts: &mut Vec<Act>) {
        self.stepped_at = around.now;
        let before = self.courses.len();
        self.courses.retain(|_, course| !course.audience.is_over(around.now));
        self.changes += u64::from(before != self.courses.len());
        if self.courses.is_empty() {
            (self.leader, self.candidate) = (None, None);
            return;
        }
        self.choose(around);
        self.run_heads(around, acts);
        self.run_logs(around, acts);
        self.open(around, acts);
        self.courses.values_mut().for_each(|course| course.audience.refuse_late(around.now, acts));
        acts.extend(self.told.drain(..).map(|(feed, what)| Act::Tell(feed, what)));
        self.end_unservable(around, acts);
    }

    fn can_poll(&self) -> bool {
        self.route.key == Key::NewHeads
    }

    /// Finds a leader where there is none, or a better one for a leader that is not well.
    fn choose(&mut self, around: &Around<'_>) {
        let now = around.now;
        if let Some((feed, since)) = self.candidate
            && now >= since.plus_ms(limits::SUBSCRIBE_MS)
        {
            self.on_failed(feed, now);
        }
        if self.candidate.is_some() {
            return;
        }
        let is_well = |feed: FeedId| leaders::is_well(around.snapshot, &self.route, feed);
        let leader_is_well = self.leader.is_some_and(is_well);
        if leader_is_well && self.leader.is_some_and(|leader| leader.mode == Mode::Subscribing) {
            return;
        }
        let candidates = leaders::candidates(around.snapshot, &self.route, around.region, self.can_poll());
        let is_free =
            |feed: &&FeedId| Some(**feed) != self.leader && self.shunned.get(feed).is_none_or(|shunned| shunned.until <= now);
        // Whoever was just lost comes last. A leader goes only for one that is well, and a polled one for a subscription.
        let mut free = candidates.iter().filter(is_free);
        let chosen = match self.leader {
            Some(_) => free.find(|feed| is_well(**feed) && (!leader_is_well || feed.mode == Mode::Subscribing)),
            None => {
                let free: Vec<&FeedId> = free.collect();
                free.iter().find(|feed| self.lost.is_none_or(|lost| lost.instance != feed.instance)).or(free.first()).copied()
            }
        };
        let Some(feed) = chosen.copied() else { return };
        self.candidate = Some((feed, now));
        self.changes += 1;
        if around.has_confirmed(feed, &self.route.key) {
            self.promote(feed, now);
        }
    }

    fn run_heads(&mut self, around: &Around<'_>, acts: &mut Vec<Act>) {
        while let Some(action) = self.heads.as_mut().and_then(|heads| heads.next(around.now)) {
            match action {
                continuity::Action::Emit(head) => self.emit_head(&head, around.now, acts),
                continuity::Action::Fetch(ask) => {
                    let order = self.order(around, Wanted::Block(ask));
                    acts.push(Act::Fill(order));
                }
                continuity::Action::Close(reason) => {
                    self.deeds.closed += 1;
                    self.told.extend(self.leader.or(self.lost).map(|feed| (feed, Streaming::Closed { reason: reason.word() })));
                    return self.end_all(&reason.text(), acts);
                }
            }
        }
    }

    fn emit_head(&mut self, head: &Head, now: Instant, acts: &mut Vec<Act>) {
        for course in self.courses.values_mut() {
            match &mut course.machine {
                Machine::Heads => {
                    self.deeds.events += 1;
                    course.audience.emit(&head.payload, acts);
                }
                Machine::Logs(Some(logs)) => logs.on_head(head, now),
                Machine::Logs(None) | Machine::Transactions(_) | Machine::Syncing(_) => {}
            }
        }
    }

    fn run_logs(&mut self, around: &Around<'_>, acts: &mut Vec<Act>) {
        let mut wanted: Vec<(LogFilter, crate::stream::event::BlockHash)> = Vec::new();
        let mut ended = Vec::new();
        for (key, course) in &mut self.courses {
            let (Machine::Logs(Some(logs)), Key::Logs(filter)) = (&mut course.machine, key) else { continue };
            while let Some(action) = logs.next(around.now) {
                match action {
                    logs::Action::Emit(payload) => {
                        self.deeds.events += 1;
                        course.audience.emit(&payload, acts);
                    }
                    logs::Action::Fetch(block) => wanted.push((filter.clone(), block)),
                    logs::Action::Close(reason) => {
                        course.audience.end(&reason.text(), acts);
                        ended.push(key.clone());
                        break;
                    }
                }
            }
        }
        for (filter, block) in wanted {
            let order = self.order(around, Wanted::Logs(filter, block));
            acts.push(Act::Fill(order));
        }
        for key in ended {
            self.deeds.closed += 1;
            self.changes += 1;
            self.courses.remove(&key);
        }
    }

    fn order(&self, around: &Around<'_>, wanted: Wanted) -> Order {
        let candidates = leaders::candidates(around.snapshot, &self.route, around.region, true);
        Order::new(self.id, &self.route, around.snapshot, self.leader, candidates, self.turn, wanted)
    }

    /// Tells waiting shards of what is confirmed: a leader, and where the chain stands.
    fn open(&mut self, around: &Around<'_>, acts: &mut Vec<Act>) {
        let Some(leader) = self.leader else { return };
        let is_placed = self.route.key != Key::NewHeads || self.heads.as_ref().is_some_and(|heads| heads.tip().is_some());
        if !is_placed {
            return;
        }
        for (key, course) in &mut self.courses {
            if around.has_confirmed(leader, key) || !leader.hears(key) {
                if let (Machine::Logs(logs @ None), Key::Logs(filter)) = (&mut course.machine, key) {
                    *logs = Some(Box::new(Logs::new(filter.clone(), self.rules)));
                }
                course.audience.open(acts);
            }
        }
    }

    /// Nobody is configured who could ever serve it, or everybody has refused to.
    fn end_unservable(&mut self, around: &Around<'_>, acts: &mut Vec<Act>) {
        if self.leader.is_some() {
            return;
        }
        let candidates = leaders::candidates(around.snapshot, &self.route, around.region, self.can_poll());
        if !leaders::anybody(around.snapshot, &self.route, around.region, self.can_poll()) {
            self.end_all("no provider of this chain can serve it: it needs one with a ws_url", acts);
        } else if !candidates.is_empty() && candidates.iter().all(|feed| self.refused.contains(feed)) {
            self.end_all("every provider of this chain refuses this subscription", acts);
        }
    }

    fn end_all(&mut self, reason: &str, acts: &mut Vec<Act>) {
        self.courses.values_mut().for_each(|course| course.audience.end(reason, acts));
        self.courses.clear();
        self.changes += 1;
        self.heads = None;
        self.was_led = false;
        (self.leader, self.candidate) = (None, None);
    }

    pub fn wake_at(&self) -> Instant {
        let courses = self.courses.values().map(|course| {
            let machine = if let Machine::Logs(Some(logs)) = &course.machine { logs.wake_at() } else { Instant::NEVER };
            machine.min(course.audience.wake_at())
        });
        let heads = self.heads.as_ref().map_or(Instant::NEVER, Heads::wake_at);
        let candidate = self.candidate.map_or(Instant::NEVER, |(_, since)| since.plus_ms(limits::SUBSCRIBE_MS));
        let is_alone = self.leader.is_none() && self.candidate.is_none();
        // What is over already changed nothing: such a feed is no candidate for another reason, which time does not end.
        let shunned = self.shunned.values().map(|shunned| shunned.until).filter(|until| is_alone && *until > self.stepped_at);
        courses.chain(shunned).fold(heads.min(candidate), Instant::min)
    }
}
