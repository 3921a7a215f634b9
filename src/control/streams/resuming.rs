//! Subscriptions of one route that go on from a block of an earlier life, until they hear what everybody hears.
//!
//! Those that name the same block are one group, however many: ten thousand clients that come back after a restart are a few
//! fills. A few groups are at work at a time, the others wait in line, and gather more. What a group is told goes to its
//! members by their tickets, one letter to a shard. Whoever has joined the shared streams stays known by its ticket: should a
//! reorg go below what it resumed from, and nobody know what was there, its connection alone is closed.
//! How it fails: one more than the line holds is refused.

use super::Act;
use super::audience::Audience;
use super::fill::Asker;
use super::sources::{LogsChoice, Sources, Views};
use crate::base::limits;
use crate::base::time::Instant;
use crate::stream::continuity::{Ask, Heads, Rules};
use crate::stream::event::{BlockHash, Head};
use crate::stream::fanout::{Letter, ResumeStep, StreamId, Ticket};
use crate::stream::key::Key;
use crate::stream::logs::{Logs, LogsQuestion};
use crate::stream::resume::{NoResumption, ResumeAction, ResumedPart, Resumption};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A subscription that wants to resume.
#[derive(Clone, Copy, Debug)]
pub struct Returning {
    pub shard: u16,
    pub ticket: Ticket,
    pub block: BlockHash,
}

impl Returning {
    pub fn refuse(self, reason: &str, acts: &mut Vec<Act>) {
        let letter = Letter::Resume { tickets: [self.ticket].into(), step: ResumeStep::Refuse(reason.into()) };
        acts.push(Act::Post(usize::from(self.shard), letter));
    }
}

/// What everybody hears.
pub struct SharedMachines<'a> {
    pub heads: Option<&'a mut Heads>,
    pub logs: Option<&'a mut Logs>,
    pub open: BTreeMap<StreamId, &'a Audience>,
}

struct ReturnedMember {
    /// Nothing once it has joined the others.
    group: Option<u64>,
    stream: StreamId,
    part: ResumedPart,
}

/// The members of a group that subscribed to the same.
struct ResumeCohort {
    part: ResumedPart,
    has_begun: bool,
    shards: BTreeMap<u16, Vec<Ticket>>,
    /// The same, to be sent; made anew when somebody came or went.
    lists: Vec<(u16, Arc<[Ticket]>)>,
    is_changed: bool,
}

struct ResumeGroup {
    id: u64,
    machine: Resumption,
    cohorts: BTreeMap<StreamId, ResumeCohort>,
    /// It waits for its turn, or for its topics to be open: then only its deadline wakes anybody.
    is_waiting: bool,
}

#[derive(Default)]
pub struct Resuming {
    /// The first of them are at work.
    groups: VecDeque<ResumeGroup>,
    next_group: u64,
    members: BTreeMap<(u16, Ticket), ReturnedMember>,
    /// Blocks that were asked for and not yet answered.
    asked: Vec<Ask>,
    /// Something could not be told for want of room.
    is_full: bool,
}

impl Resuming {
    pub fn add(
        &mut self,
        key: &Key,
        stream: StreamId,
        returning: Returning,
        (rules, now): (Rules, Instant),
        acts: &mut Vec<Act>,
    ) {
        let part = if *key == Key::NewHeads { ResumedPart::Heads } else { ResumedPart::Logs };
        let is_same = |group: &ResumeGroup| group.machine.is_open() && group.machine.block() == returning.block;
        let most = 33 * limits::RESUMPTIONS;
        let is_new = !self.groups.iter().any(is_same);
        if self.members.len() >= limits::RESUMED || (is_new && self.groups.len() >= most) {
            return returning.refuse("too many subscriptions resume at once: try again later", acts);
        }
        if is_new {
            self.next_group += 1;
            let machine = Resumption::new(rules, returning.block, now);
            self.groups.push_back(ResumeGroup { id: self.next_group, machine, cohorts: BTreeMap::new(), is_waiting: false });
        }
        let Some(group) = self.groups.iter_mut().rev().find(|group| is_same(group)) else { return };
        match key {
            Key::Logs(filter) => group.machine.add_logs(stream, filter),
            Key::NewHeads | Key::NewPendingTransactions { .. } | Key::Syncing => group.machine.add_heads(),
        }
        let cohort = group.cohorts.entry(stream).or_insert_with(|| ResumeCohort::new(part));
        cohort.add(returning.shard, returning.ticket);
        self.members.insert((returning.shard, returning.ticket), ReturnedMember { group: Some(group.id), stream, part });
    }

    /// It is gone, or its topic is.
    pub fn leave(&mut self, shard: u16, ticket: Ticket) {
        let Some(member) = self.members.remove(&(shard, ticket)) else { return };
        if let Some(group) = self.groups.iter_mut().find(|group| Some(group.id) == member.group) {
            group.leave(member.stream, shard, ticket);
        }
    }

    fn leave_all(&mut self, is_gone: impl Fn(u16, &ReturnedMember) -> bool) {
        let gone = self.members.iter().filter(|((shard, _), member)| is_gone(*shard, member));
        let gone: Vec<(u16, Ticket)> = gone.map(|(key, _)| *key).collect();
        gone.into_iter().for_each(|(shard, ticket)| self.leave(shard, ticket));
    }

    pub fn forget_shard(&mut self, gone: u16) {
        self.leave_all(|shard, _| shard == gone);
    }

    /// All other streams have ended, and their subscribers were told so.
    pub fn keep_streams(&mut self, streams: &BTreeSet<StreamId>) {
        self.leave_all(|_, member| !streams.contains(&member.stream));
    }

    /// Whether anybody has resumed and hears what everybody hears.
    pub fn has_returned(&self) -> bool {
        self.members.values().any(|member| member.group.is_none())
    }

    /// The next head that the shared machine emitted.
    pub fn on_head(&mut self, head: &Head, now: Instant) {
        self.groups.iter_mut().for_each(|group| group.machine.on_head(head, now));
    }

    pub fn on_block(&mut self, ask: Ask, block: Option<&Head>, now: Instant) {
        if let Some(at) = self.asked.iter().position(|asked| *asked == ask) {
            self.asked.swap_remove(at);
        }
        self.groups.iter_mut().for_each(|group| group.machine.on_block(ask, block, now));
    }

    pub fn logs_of(&mut self, id: u64) -> Option<&mut Logs> {
        self.groups.iter_mut().find(|group| group.id == id)?.machine.logs()
    }

    /// What became of what they were told in an earlier life cannot be known: whoever has joined the others is closed.
    pub fn end_returned(&mut self, parts: &[ResumedPart], acts: &mut Vec<Act>) {
        let is_one = |member: &ReturnedMember| member.group.is_none() && parts.contains(&member.part);
        let mut gone: BTreeMap<u16, Vec<Ticket>> = BTreeMap::new();
        self.members.retain(|(shard, ticket), member| {
            let is_gone = is_one(member);
            if is_gone {
                gone.entry(*shard).or_default().push(*ticket);
            }
            !is_gone
        });
        let reason: Arc<str> = "no provider has what a reorg is to take back of what was told".into();
        for (shard, tickets) in gone {
            let letter = Letter::Resume { tickets: tickets.into(), step: ResumeStep::End(reason.clone()) };
            acts.push(Act::Post(usize::from(shard), letter));
        }
    }

    /// Does what there is to do; so many events were told.
    pub fn step(&mut self, mut shared: SharedMachines<'_>, sources: &Sources, views: &Views<'_>, acts: &mut Vec<Act>) -> u64 {
        let most = acts.len() + views.around.room;
        let mut run = ResumeRun { asked: &mut self.asked, sources, views, most, events: 0 };
        self.is_full = false;
        for (at, group) in self.groups.iter_mut().enumerate() {
            // Its requests are answered in order: that of the topic comes first.
            group.is_waiting = at >= limits::RESUMPTIONS || !group.is_open(&shared);
            if group.is_waiting && !group.machine.is_late(views.around.now) {
                continue;
            }
            group.machine.hold_behind(shared.logs.as_deref());
            for gone in group.run(shared.heads.as_deref(), &mut run, acts) {
                self.members.remove(&gone);
            }
            self.is_full |= acts.len() >= most;
            for joined in group.join(&mut shared, acts) {
                if let Some(member) = self.members.get_mut(&joined) {
                    member.group = None;
                }
            }
        }
        let events = run.events;
        let before = self.groups.len();
        self.groups.retain(|group| !group.machine.is_over());
        if before != self.groups.len() {
            // The next in line are looked at again.
            self.groups.iter_mut().take(limits::RESUMPTIONS).for_each(|group| group.is_waiting = false);
        }
        events
    }

    /// Something waits for room.
    pub fn has_more(&self) -> bool {
        self.is_full || self.groups.iter().any(|group| !group.is_waiting && group.machine.has_more())
    }

    pub fn wake_at(&self) -> Instant {
        let of = |group: &ResumeGroup| if group.is_waiting { group.machine.deadline() } else { group.machine.wake_at() };
        // What waits for room is looked at again as soon as there may be some.
        let groups = self.groups.iter().filter(|_| !self.is_full);
        groups.map(of).min().unwrap_or(Instant::NEVER)
    }
}

/// What one step of all groups shares.
struct ResumeRun<'a> {
    asked: &'a mut Vec<Ask>,
    sources: &'a Sources,
    views: &'a Views<'a>,
    /// So many acts there may be.
    most: usize,
    events: u64,
}

impl ResumeGroup {
    fn leave(&mut self, stream: StreamId, shard: u16, ticket: Ticket) {
        let Some(cohort) = self.cohorts.get_mut(&stream) else { return };
        cohort.remove(shard, ticket);
        if !cohort.shards.is_empty() {
            return;
        }
        match cohort.part {
            ResumedPart::Heads => self.machine.drop_heads(),
            ResumedPart::Logs => self.machine.drop_logs(stream),
        }
        self.cohorts.remove(&stream);
    }

    /// Every shard of it was told that its topics are open.
    fn is_open(&self, shared: &SharedMachines<'_>) -> bool {
        let is_told = |stream, cohort: &ResumeCohort| {
            shared.open.get(stream).is_some_and(|audience| cohort.shards.keys().all(|shard| audience.is_open(*shard)))
        };
        self.cohorts.iter().all(|(stream, cohort)| is_told(stream, cohort))
    }

    /// Says who has been refused or closed.
    fn run(&mut self, heads: Option<&Heads>, run: &mut ResumeRun<'_>, acts: &mut Vec<Act>) -> Vec<(u16, Ticket)> {
        let (newest, now, mut gone) = (heads.and_then(Heads::tip), run.views.around.now, Vec::new());
        while acts.len() < run.most
            && let Some(action) = self.machine.next(newest, now)
        {
            match action {
                // Its answer is for whoever waits for it.
                ResumeAction::Fetch(ask) if run.asked.contains(&ask) => {}
                ResumeAction::Fetch(ask) => {
                    run.asked.push(ask);
                    acts.push(Act::Fill(run.sources.order_block(run.views, ask)));
                }
                ResumeAction::AskLogs(question) => self.ask_for_logs(question, run, acts),
                ResumeAction::Begin(part) => self.begin(part, acts),
                ResumeAction::Head(head) => {
                    run.events += 1;
                    if head.fetched {
                        let Views { route, around, .. } = run.views;
                        let chain_number = around.snapshot.chain(route.profile, route.chain).chain_number;
                        acts.push(Act::Seen(chain_number, head.clone()));
                    }
                    let cohorts = self.cohorts.values_mut().filter(|cohort| cohort.part == ResumedPart::Heads);
                    cohorts.for_each(|cohort| cohort.post(&ResumeStep::Event(head.payload.clone()), acts));
                }
                ResumeAction::Log(streams, payload) => {
                    run.events += streams.len() as u64;
                    let step = ResumeStep::Event(payload);
                    for stream in streams {
                        if let Some(cohort) = self.cohorts.get_mut(&stream) {
                            cohort.post(&step, acts);
                        }
                    }
                }
                ResumeAction::End(part, why) => gone.append(&mut self.end(part, why, acts)),
            }
        }
        gone
    }

    fn ask_for_logs(&mut self, question: LogsQuestion, run: &ResumeRun<'_>, acts: &mut Vec<Act>) {
        let (block, now) = (question.block, run.views.around.now);
        let choice = run.sources.choose(run.views, question, Asker::Resumption(self.id));
        let Some(logs) = self.machine.logs() else { return };
        match choice {
            LogsChoice::Ask(order) => acts.push(Act::Fill(order)),
            LogsChoice::NobodyElse { is_only } => logs.on_nobody_else(block, is_only, now),
            LogsChoice::Later(again) => logs.on_failed(block, again),
        }
    }

    fn begin(&mut self, part: ResumedPart, acts: &mut Vec<Act>) {
        for cohort in self.cohorts.values_mut().filter(|cohort| cohort.part == part) {
            cohort.has_begun = true;
            cohort.post(&ResumeStep::Begin, acts);
        }
    }

    fn end(&mut self, part: ResumedPart, why: NoResumption, acts: &mut Vec<Act>) -> Vec<(u16, Ticket)> {
        let mut gone = Vec::new();
        self.cohorts.retain(|_, cohort| {
            if cohort.part == part {
                let refused = || ResumeStep::Refuse(why.text().into());
                let step = if cohort.has_begun { ResumeStep::End(why.close_text().into()) } else { refused() };
                cohort.post(&step, acts);
                gone.extend(cohort.tickets());
            }
            cohort.part != part
        });
        gone
    }

    /// Once all of it was told what everybody was, it hears what everybody hears; says who does so.
    fn join(&mut self, shared: &mut SharedMachines<'_>, acts: &mut Vec<Act>) -> Vec<(u16, Ticket)> {
        let is_open = self.is_open(shared);
        let Some(heads) = shared.heads.as_deref_mut() else { return Vec::new() };
        if !is_open || !self.machine.is_level(heads, shared.logs.as_deref()) {
            return Vec::new();
        }
        self.machine.merge_into(heads, shared.logs.as_deref_mut());
        self.cohorts.values_mut().for_each(|cohort| cohort.post(&ResumeStep::Join, acts));
        self.cohorts.values().flat_map(ResumeCohort::tickets).collect()
    }
}

impl ResumeCohort {
    fn new(part: ResumedPart) -> ResumeCohort {
        ResumeCohort { part, has_begun: false, shards: BTreeMap::new(), lists: Vec::new(), is_changed: false }
    }

    fn add(&mut self, shard: u16, ticket: Ticket) {
        self.shards.entry(shard).or_default().push(ticket);
        self.is_changed = true;
    }

    fn remove(&mut self, shard: u16, ticket: Ticket) {
        self.is_changed = true;
        if let Some(tickets) = self.shards.get_mut(&shard) {
            tickets.retain(|have| *have != ticket);
            if tickets.is_empty() {
                self.shards.remove(&shard);
            }
        }
    }

    fn tickets(&self) -> impl Iterator<Item = (u16, Ticket)> {
        self.shards.iter().flat_map(|(shard, tickets)| tickets.iter().map(|ticket| (*shard, *ticket)))
    }

    /// One letter to each shard.
    fn post(&mut self, step: &ResumeStep, acts: &mut Vec<Act>) {
        if std::mem::take(&mut self.is_changed) {
            self.lists = self.shards.iter().map(|(shard, tickets)| (*shard, tickets[..].into())).collect();
        }
        for (shard, tickets) in &self.lists {
            acts.push(Act::Post(usize::from(*shard), Letter::Resume { tickets: tickets.clone(), step: step.clone() }));
        }
    }
}
