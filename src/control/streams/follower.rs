//! What the clients of one route hear of one chain, or of one forwarded key: one leader, its candidates, the machines.
//!
//! A candidate becomes leader when its subscription is confirmed; until then the old leader leads, so a planned switch
//! overlaps and a loss has no leader for a moment. Who is asked is `candidates`' to say, for as long as the machines wait:
//! they say when a stream cannot be kept.

use super::Act;
use super::audience::Audience;
use super::candidates::Candidates;
use super::feed::{FeedId, Said};
use super::fill::{Asker, Filled, NoLogs};
use super::leaders;
use super::resuming::{Resuming, Returning, SharedMachines};
use super::sources::{LogsChoice, Sources, Views};
use crate::base::limits;
use crate::base::time::Instant;
use crate::observe::report::Streaming;
use crate::snapshot::Snapshot;
use crate::stream::continuity::{self, Ask, Heads, Opinions, Reason, Rules};
use crate::stream::event::{BlockHash, Head};
use crate::stream::fanout::{LogTurn, StreamId, Ticket, Topic};
use crate::stream::forwarded::{Syncing, Transactions};
use crate::stream::key::Key;
use crate::stream::logs::{self, Logs, LogsQuestion};
use crate::stream::resume::ResumedPart;
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
    /// So many logs may be told now, that shards can take.
    pub room: usize,
    pub now: Instant,
}

impl Around<'_> {
    pub fn has_confirmed(&self, feed: FeedId, key: &Key) -> bool {
        self.confirmed.get(&feed).is_some_and(|keys| keys.contains(key))
    }
}

/// What is done with what a feed says for one topic.
enum Machine {
    Heads,
    /// One machine for all of them.
    Logs,
    Transactions(Transactions),
    Syncing(Syncing),
}

/// A log for one stream.
struct ToldLog {
    stream: StreamId,
    payload: Arc<[u8]>,
    whole: Option<BlockHash>,
    turn: LogTurn,
}

struct Course {
    audience: Audience,
    machine: Machine,
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
    candidates: Candidates,
    /// Somebody has led since it began.
    was_led: bool,
    /// The last that led and was lost.
    lost: Option<FeedId>,
    courses: BTreeMap<Key, Course>,
    /// Once a leader was confirmed.
    heads: Option<Heads>,
    /// While anybody subscribes to logs.
    logs: Option<Logs>,
    /// Whoever goes on from a block of an earlier life.
    resuming: Resuming,
    sources: Sources,
    /// Counts what changes its wishes.
    changes: u64,
    stepped_at: Instant,
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
            candidates: Candidates::default(),
            was_led: false,
            lost: None,
            courses: BTreeMap::new(),
            heads: None,
            logs: None,
            resuming: Resuming::default(),
            sources: Sources::default(),
            changes: 0,
            stepped_at: Instant::ZERO,
            deeds: Deeds::default(),
            told: Vec::new(),
        }
    }

    pub fn on_open(&mut self, topic: Arc<Topic>, stream: StreamId, shard: u16, ticket: Ticket, now: Instant) {
        let course = self.courses.entry(topic.key.clone()).or_insert_with(|| {
            let machine = match &topic.key {
                Key::NewHeads => Machine::Heads,
                Key::Logs(_) => Machine::Logs,
                Key::NewPendingTransactions { .. } => Machine::Transactions(Transactions::default()),
                Key::Syncing => Machine::Syncing(Syncing::default()),
            };
            Course { audience: Audience::new(topic, stream), machine }
        });
        course.audience.on_open(shard, ticket, now);
        self.changes += 1;
    }

    /// Whether nobody wants it any more.
    pub fn on_close(&mut self, key: &Key, shard: u16, now: Instant) -> bool {
        let Some(course) = self.courses.get_mut(key) else { return false };
        course.audience.on_close(shard, now);
        course.audience.is_idle()
    }

    /// Ends it with the next step, if nobody wants it.
    pub fn drop_idle(&mut self, key: &Key, now: Instant) {
        if let Some(course) = self.courses.get_mut(key) {
            course.audience.drop_idle(now);
        }
    }

    /// A subscription to a topic that is open or opening there, which goes on from a block.
    pub fn on_resume(&mut self, key: &Key, returning: Returning, now: Instant, acts: &mut Vec<Act>) {
        match self.courses.get(key) {
            Some(course) => self.resuming.add(key, course.audience.stream, returning, (self.rules, now), acts),
            None => returning.refuse("the subscription has just ended: try again", acts),
        }
    }

    /// It is gone.
    pub fn on_leave(&mut self, shard: u16, ticket: Ticket) {
        self.resuming.leave(shard, ticket);
        self.forget_past();
    }

    /// When nobody is left who was told anything in an earlier life.
    fn forget_past(&mut self) {
        if let Some(heads) = self.heads.as_mut().filter(|_| !self.resuming.has_returned()) {
            heads.forget_past();
        }
    }

    /// A shard has forgotten everything.
    pub fn forget_shard(&mut self, shard: u16, now: Instant) {
        self.resuming.forget_shard(shard);
        self.forget_past();
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
        self.changes + self.candidates.changes()
    }

    pub fn is_over(&self) -> bool {
        self.courses.is_empty()
    }

    pub fn has_more(&self) -> bool {
        self.logs.as_ref().is_some_and(Logs::has_more) || self.resuming.has_more()
    }

    pub fn logs(&mut self) -> Option<&mut Logs> {
        self.logs.as_mut()
    }

    /// What it wants of a feed.
    pub fn wants_of(&self, feed: FeedId) -> impl Iterator<Item = &Key> {
        let is_mine = self.leader == Some(feed) || self.candidates.asks(feed);
        let keys = [&self.route.key].into_iter().chain(self.courses.keys().filter(|key| **key != self.route.key));
        keys.filter(move |_| is_mine)
    }

    /// The feeds it wants anything of.
    pub fn feeds(&self) -> impl Iterator<Item = FeedId> {
        self.leader.into_iter().chain(self.candidates.feeds())
    }

    pub fn on_said(&mut self, feed: FeedId, said: &Said, now: Instant) {
        let is_leader = self.leader == Some(feed);
        let is_candidate = self.candidates.asks(feed);
        let is_route = |key: &Key| *key == self.route.key;
        match said {
            Said::Confirmed(key) if is_candidate && is_route(key) && !self.candidates.is_stalled() => self.promote(feed, now),
            Said::Refused(key) if is_route(key) => {
                self.candidates.on_refused(feed, now);
                self.on_failed(feed, now);
            }
            // A leader has confirmed: this is about what came later.
            Said::PutOff(key) if is_route(key) && !is_leader => self.on_failed(feed, now),
            Said::Lost => self.on_failed(feed, now),
            Said::Stalled if is_leader => self.candidates.on_stalled(),
            Said::Head(head) => self.on_head(feed, head, now),
            Said::Confirmed(_) | Said::Refused(_) | Said::PutOff(_) | Said::Stalled | Said::Other(..) => {}
        }
    }

    /// A candidate leads with it when the leader has nothing so new.
    fn on_head(&mut self, feed: FeedId, head: &Head, now: Instant) {
        let tip = self.heads.as_ref().and_then(Heads::tip);
        let is_newer = tip.is_none_or(|(number, _)| head.number > number);
        if self.candidates.is_stalled() && self.candidates.asks(feed) && is_newer {
            self.promote(feed, now);
        }
        if self.leader == Some(feed) {
            self.candidates.on_news();
            if let Some(heads) = &mut self.heads {
                heads.on_head(head.clone(), now);
            }
        } else if let (Some(leader), Some(heads)) = (self.leader, &mut self.heads)
            && leader.instance != feed.instance
        {
            heads.on_other(head);
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
            Machine::Heads | Machine::Logs => false,
        };
        if is_news {
            self.deeds.events += 1;
            course.audience.emit(event, None, None, acts);
        }
    }

    fn promote(&mut self, feed: FeedId, now: Instant) {
        self.candidates.on_leads(feed);
        self.lost = None;
        self.changes += 1;
        let is_first = !std::mem::replace(&mut self.was_led, true);
        self.deeds.switches += u64::from(!is_first && self.leader != Some(feed));
        self.leader = Some(feed);
        // It has just answered, which nobody else may have done for long: what is missing is asked of it first.
        self.sources.begin(feed.instance);
        self.told.push((feed, Streaming::Leads));
        match &mut self.heads {
            Some(heads) => heads.on_confirmed(now),
            None if self.route.key == Key::NewHeads => self.heads = Some(Heads::new(self.rules, now)),
            None => {}
        }
    }

    /// A feed is gone, or refuses what it should lead with.
    fn on_failed(&mut self, feed: FeedId, now: Instant) {
        self.candidates.on_failed(feed, now);
        if self.leader == Some(feed) {
            self.leader = None;
            self.candidates.on_lost_leader(feed, now);
            self.changes += 1;
            self.lost = Some(feed);
            self.told.push((feed, Streaming::Lost));
            self.deeds.losses += 1;
            if let Some(heads) = &mut self.heads {
                heads.on_lost(now);
            }
        }
    }

    pub fn on_filled(&mut self, filled: Filled, now: Instant) {
        self.deeds.filled += u64::from(filled.is_success());
        self.sources.on_filled(&filled, now);
        match filled {
            Filled::Block { ask, block, .. } => {
                self.resuming.on_block(ask, block.as_deref(), now);
                match (&mut self.heads, block) {
                    (Some(heads), Some(block)) => heads.on_filled(ask, *block, now),
                    (Some(heads), None) => heads.on_fill_failed(ask, now),
                    (None, _) => {}
                }
            }
            Filled::Opinions { number, hash, opinions, .. } => {
                if let Some(heads) = &mut self.heads {
                    heads.on_opinions(number, hash, opinions, now);
                }
            }
            Filled::Logs { asker, block, by, logs, .. } => {
                let machine = match asker {
                    Asker::Shared => self.logs.as_mut(),
                    Asker::Resumption(id) => self.resuming.logs_of(id),
                };
                let Some(machine) = machine else { return };
                match (logs, by) {
                    (Ok(logs), Some(by)) => machine.on_answer(block, by, logs, now),
                    // Somebody else is asked at once; who turned it away is left alone meanwhile.
                    (Err(NoLogs::Limited { .. }), _) => machine.on_failed(block, now),
                    (Err(NoLogs::Refused), _) => machine.on_refused(block, now.plus_ms(limits::FILL_RETRY_MS)),
                    (Err(NoLogs::Failed) | Ok(_), _) => machine.on_failed(block, now.plus_ms(limits::FILL_RETRY_MS)),
                }
            }
        }
    }

    /// Does what time and news ask for.
    pub fn step(&mut self, around: &Around<'_>, acts: &mut Vec<Act>) {
        self.stepped_at = around.now;
        self.drop_courses(|course| course.audience.is_over(around.now));
        if self.courses.is_empty() {
            self.leader = None;
            self.candidates.end();
            return;
        }
        self.choose(around);
        self.run_heads(around, acts);
        self.run_logs(around, acts);
        self.open(around, acts);
        self.run_resuming(around, acts);
        self.courses.values_mut().for_each(|course| course.audience.refuse_late(around.now, acts));
        acts.extend(self.told.drain(..).map(|(feed, what)| Act::Tell(feed, what)));
        self.end_unservable(around, acts);
    }

    fn drop_courses(&mut self, is_over: impl Fn(&Course) -> bool) {
        let before = self.courses.len();
        let logs = &mut self.logs;
        self.courses.retain(|_, course| {
            let is_over = is_over(course);
            if let Some(logs) = logs.as_mut().filter(|_| is_over) {
                logs.close(course.audience.stream);
            }
            !is_over
        });
        if before != self.courses.len() {
            let streams = self.courses.values().map(|course| course.audience.stream).collect();
            self.resuming.keep_streams(&streams);
        }
        self.changes += u64::from(before != self.courses.len());
        if !self.courses.values().any(|course| matches!(course.machine, Machine::Logs)) {
            self.logs = None;
        }
    }

    fn can_poll(&self) -> bool {
        self.route.key == Key::NewHeads
    }

    /// Finds a leader where there is none, or a better one for a leader that is not well.
    fn choose(&mut self, around: &Around<'_>) {
        let can_poll = self.can_poll();
        if let Some(feed) = self.candidates.choose(self.leader, &self.route, can_poll, around) {
            self.promote(feed, around.now);
        }
    }

    fn run_heads(&mut self, around: &Around<'_>, acts: &mut Vec<Act>) {
        while let Some(action) = self.heads.as_mut().and_then(|heads| heads.next(around.now)) {
            match action {
                continuity::Action::Emit(head) => self.emit_head(&head, around, acts),
                continuity::Action::Fetch(Ask::Compare { number, hash }) => self.compare(number, hash, around, acts),
                continuity::Action::Fetch(ask) => acts.push(Act::Fill(self.sources.order_block(&self.views(around), ask))),
                continuity::Action::Below(head) => {
                    if let Some(logs) = &mut self.logs {
                        logs.below(&head);
                    }
                }
                continuity::Action::PastLost => self.resuming.end_returned(&[ResumedPart::Heads, ResumedPart::Logs], acts),
                continuity::Action::Forsake => self.forsake(limits::SHUN_MS, around),
                continuity::Action::Depose => self.forsake(limits::FORK_SHUN_MS, around),
                continuity::Action::Close(reason) => {
                    self.deeds.closed += 1;
                    self.told.extend(self.leader.or(self.lost).map(|feed| (feed, Streaming::Closed { reason: reason.word() })));
                    return self.end_all(&reason.text(), acts);
                }
            }
        }
    }

    fn forsake(&mut self, shun_ms: u64, around: &Around<'_>) {
        if let Some(feed) = self.leader {
            self.on_failed(feed, around.now);
            self.candidates.on_forsaken(feed, around.now.plus_ms(shun_ms));
            self.choose(around);
        }
    }

    /// Holds a block against what others have in its place, where there are others.
    fn compare(&mut self, number: u64, hash: BlockHash, around: &Around<'_>, acts: &mut Vec<Act>) {
        match (self.sources.order_opinions(&self.views(around), number, hash), &mut self.heads) {
            (Some(order), _) => acts.push(Act::Fill(order)),
            (None, Some(heads)) => heads.on_opinions(number, hash, Opinions::default(), around.now),
            (None, None) => {}
        }
    }

    fn emit_head(&mut self, head: &Head, around: &Around<'_>, acts: &mut Vec<Act>) {
        if head.fetched {
            let chain = around.snapshot.chain(self.route.profile, self.route.chain);
            acts.push(Act::Seen(chain.chain_number, head.clone()));
        }
        if let Some(Course { audience, .. }) = self.courses.get(&Key::NewHeads) {
            self.deeds.events += 1;
            audience.emit(&head.payload, Some(head.hash), None, acts);
        }
        if let Some(logs) = &mut self.logs {
            logs.on_head(head, around.now);
        }
        self.resuming.on_head(head, around.now);
    }

    /// Tells logs as long as shards have room for them; the rest waits for the next step.
    fn run_logs(&mut self, around: &Around<'_>, acts: &mut Vec<Act>) {
        let (mut told, mut questions, mut ended) = (Vec::new(), Vec::new(), None);
        while let Some(logs) = &mut self.logs {
            // Questions and deadlines wait for nobody's room.
            let action = if told.len() < around.room { logs.next(around.now) } else { logs.next_work(around.now) };
            match action {
                Some(logs::Action::Emit(streams, payload, turn)) => {
                    let whole = logs.last_whole();
                    told.extend(streams.into_iter().map(|stream| ToldLog { stream, payload: payload.clone(), whole, turn }));
                }
                // Before anything else is told, which would contradict what they have.
                Some(logs::Action::PastLost) => self.resuming.end_returned(&[ResumedPart::Logs], acts),
                Some(logs::Action::Ask(question)) => questions.push(question),
                Some(logs::Action::Close(reason)) => {
                    ended = Some(reason);
                    break;
                }
                None => break,
            }
        }
        self.tell(told, acts);
        questions.into_iter().for_each(|question| self.ask_for_logs(around, question, acts));
        if let Some(reason) = ended {
            let is_logs = |course: &Course| matches!(course.machine, Machine::Logs);
            for course in self.courses.values_mut().filter(|course| is_logs(course)) {
                self.deeds.closed += 1;
                course.audience.end(&reason.text(), acts);
            }
            self.told.extend(self.leader.or(self.lost).map(|feed| (feed, Streaming::Closed { reason: reason.word() })));
            self.drop_courses(is_logs);
        }
    }

    /// One stream's events follow each other, so that a client is written several at once; only within a stream their order counts.
    fn tell(&mut self, mut told: Vec<ToldLog>, acts: &mut Vec<Act>) {
        self.deeds.events += told.len() as u64;
        told.sort_by_key(|log| log.stream);
        let by_stream: BTreeMap<StreamId, &Audience> =
            self.courses.values().map(|course| (course.audience.stream, &course.audience)).collect();
        for ToldLog { stream, payload, whole, turn } in told {
            if let Some(audience) = by_stream.get(&stream) {
                audience.emit(&payload, whole, Some(turn), acts);
            }
        }
    }

    fn views<'a>(&'a self, around: &'a Around<'a>) -> Views<'a> {
        Views { follower: self.id, route: &self.route, leader: self.leader, around }
    }

    fn ask_for_logs(&mut self, around: &Around<'_>, question: LogsQuestion, acts: &mut Vec<Act>) {
        let block = question.block;
        let choice = self.sources.choose(&self.views(around), question, Asker::Shared);
        let Some(machine) = &mut self.logs else { return };
        match choice {
            LogsChoice::Ask(order) => acts.push(Act::Fill(order)),
            LogsChoice::NobodyElse { is_only } => machine.on_nobody_else(block, is_only, around.now),
            LogsChoice::Later(again) => machine.on_failed(block, again),
        }
    }

    /// Whoever resumes is told what it missed, and joins the others when it has been.
    fn run_resuming(&mut self, around: &Around<'_>, acts: &mut Vec<Act>) {
        let views = Views { follower: self.id, route: &self.route, leader: self.leader, around };
        let open = self.courses.values().map(|course| (course.audience.stream, &course.audience)).collect();
        let shared = SharedMachines { heads: self.heads.as_mut(), logs: self.logs.as_mut(), open };
        self.deeds.events += self.resuming.step(shared, &self.sources, &views, acts);
    }

    /// Tells waiting shards of what is confirmed: a leader, and where the chain stands.
    fn open(&mut self, around: &Around<'_>, acts: &mut Vec<Act>) {
        let Some(leader) = self.leader else { return };
        let is_placed = self.route.key != Key::NewHeads || self.heads.as_ref().is_some_and(|heads| heads.tip().is_some());
        if !is_placed {
            return;
        }
        let newest: Option<BlockHash> = self.heads.as_ref().and_then(Heads::tip).map(|(_, hash)| hash);
        for (key, course) in &mut self.courses {
            if around.has_confirmed(leader, key) || !leader.hears(key) {
                if let Key::Logs(filter) = key {
                    let logs = self.logs.get_or_insert_with(|| Logs::new(self.rules));
                    if !logs.has(course.audience.stream) {
                        logs.open(course.audience.stream, filter);
                    }
                }
                course.audience.open(newest, acts);
            }
        }
    }

    /// Nobody is configured who could ever serve it, or everybody has refused to, or nobody does for too long. How long heads and
    /// logs wait is their machines' to say.
    fn end_unservable(&mut self, around: &Around<'_>, acts: &mut Vec<Act>) {
        if self.leader.is_some() {
            return;
        }
        let candidates = leaders::candidates(around.snapshot, &self.route, around.region, self.can_poll());
        if !leaders::anybody(around.snapshot, &self.route, around.region, self.can_poll()) {
            self.end_all("no provider of this chain can serve it: it needs one with a ws_url", acts);
        } else if self.candidates.have_refused(&candidates) {
            self.end_all("every provider of this chain refuses this subscription", acts);
        } else if self.is_late(around.now) {
            self.deeds.closed += 1;
            self.told.extend(self.lost.map(|feed| (feed, Streaming::Closed { reason: Reason::NoProvider.word() })));
            self.end_all(&Reason::NoProvider.text(), acts);
        }
    }

    /// Somebody has led, where the key is a forwarded one.
    fn is_late(&self, now: Instant) -> bool {
        self.was_led && self.heads.is_none() && self.candidates.is_alone_since(self.rules.backfill_timeout_ms, now)
    }

    fn end_all(&mut self, reason: &str, acts: &mut Vec<Act>) {
        self.courses.values_mut().for_each(|course| course.audience.end(reason, acts));
        self.courses.clear();
        self.resuming = Resuming::default();
        self.changes += 1;
        (self.heads, self.logs) = (None, None);
        self.was_led = false;
        self.leader = None;
        self.candidates.end();
    }

    pub fn wake_at(&self) -> Instant {
        let courses = self.courses.values().map(|course| course.audience.wake_at());
        let logs = self.logs.as_ref().map_or(Instant::NEVER, Logs::wake_at);
        let heads = self.heads.as_ref().map_or(Instant::NEVER, Heads::wake_at).min(logs).min(self.resuming.wake_at());
        courses.fold(heads.min(self.candidates.wake_at(self.stepped_at)), Instant::min)
    }
}
