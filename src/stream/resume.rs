//! Subscriptions that go on where an earlier life of theirs ended: what was missed since a block that the client names is told
//! first, then they join the streams that everybody shares.
//!
//! A `Resumption` serves all clients that name the same block at about the same time, heads and logs. It has machines of its
//! own, which begin with that block; they are fed the heads that the shared machine emits, so they settle nothing that it has
//! not settled, and differ from it only in what lies below. The client's request is answered when it is known that nothing is
//! missing, and refused before anything was told when something cannot be had. As soon as both have told the same, the
//! shared machines take over its past, and it ends.
//! Rejected: keeping what was told for those who might come back (by whom, for how long?), a resumption for each client (ten
//! thousand come back after a restart), and going on beside the shared stream for ever (each block would be asked for twice).
//! How it fails: with the reason. A block that no provider knows, that is too far back, or whose followers do not come in time is
//! refused; what ends the stream later closes the connection, as for anybody else.

use super::bug::Bug;
use super::continuity::{Action as HeadsAction, Ask, Heads, Reason, Rules};
use super::event::{BlockHash, Head, Log};
use super::fanout::StreamId;
use super::filter::LogFilter;
use super::logs::{Action as LogsAction, Logs, LogsQuestion};
use crate::base::ids::InstanceId;
use crate::base::limits::{FILL_RETRY_MS, FILL_TRIES};
use crate::base::time::Instant;
use std::sync::Arc;

/// Which of its subscriptions something is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ResumedPart {
    Heads,
    Logs,
}

/// Why subscriptions cannot go on from their block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoResumption {
    TooOld {
        block: BlockHash,
        back: u64,
        limit: u64,
    },
    Unknown {
        block: BlockHash,
    },
    TimedOut {
        block: BlockHash,
        after_ms: u64,
    },
    /// It, or a block below it, was reorganised away, and nobody has what is to be taken back.
    PastLost {
        block: BlockHash,
    },
    Ended(Reason),
}

const REMEDY: &str = "subscribe without lasso_resume and fetch what is missing";

impl NoResumption {
    /// For the error's message.
    pub fn text(self) -> String {
        match self {
            NoResumption::TooOld { block, back, limit } => {
                format!("block {block:?} is {back} blocks back, more than max_backfill_blocks ({limit}): {REMEDY}")
            }
            NoResumption::Unknown { block } => format!("no provider knows block {block:?} any more: {REMEDY}"),
            NoResumption::TimedOut { block, after_ms } => {
                format!("what came after block {block:?} could not be filled within backfill_timeout_ms ({after_ms}): {REMEDY}")
            }
            NoResumption::PastLost { block } => {
                format!("block {block:?} was reorganised away, and no provider has what is to be taken back: {REMEDY}")
            }
            NoResumption::Ended(reason) => format!("{}: {REMEDY}", reason.text()),
        }
    }

    /// For the close frame: at most 123 bytes.
    pub fn close_text(self) -> String {
        match self {
            NoResumption::Ended(reason) => reason.text(),
            NoResumption::TimedOut { after_ms, .. } => Reason::TimedOut { after_ms }.text(),
            NoResumption::TooOld { limit, .. } => Reason::TooManyMissing { limit }.text(),
            NoResumption::Unknown { .. } | NoResumption::PastLost { .. } => {
                "no provider has what a reorg is to take back of what was told".into()
            }
        }
    }
}

/// What the shell must do now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResumeAction {
    Fetch(Ask),
    /// It must be answered as `Logs` says.
    AskLogs(LogsQuestion),
    /// All that is missing is known: its requests can be answered.
    Begin(ResumedPart),
    /// To its subscribers to heads.
    Head(Head),
    /// To its subscribers to these.
    Log(Vec<StreamId>, Arc<[u8]>),
    /// It is over for these.
    End(ResumedPart, NoResumption),
}

/// The block itself is asked for.
#[derive(Clone, Copy, Debug)]
struct BlockSearch {
    /// Nothing while it is under way.
    due: Option<Instant>,
    failures: u32,
}

#[derive(Debug)]
enum ResumeStage {
    Searching(BlockSearch),
    /// It is known, and the chain of the shared machine is not so high yet.
    Found(Head),
    Running(Box<OwnMachines>),
    Over,
}

#[derive(Debug)]
struct OwnMachines {
    heads: Heads,
    logs: Option<Logs>,
}

/// Subscriptions that resume from one block.
#[derive(Debug)]
pub struct Resumption {
    rules: Rules,
    block: BlockHash,
    /// By then they must have begun.
    deadline: Instant,
    stage: ResumeStage,
    filters: Vec<(StreamId, LogFilter)>,
    has_heads: bool,
    begun: Vec<ResumedPart>,
    /// The deliberate bug has left the first block out.
    has_skipped: bool,
}

impl Resumption {
    pub fn new(rules: Rules, block: BlockHash, now: Instant) -> Resumption {
        Resumption {
            rules,
            block,
            deadline: now.plus_ms(rules.backfill_timeout_ms),
            stage: ResumeStage::Searching(BlockSearch { due: Some(now), failures: 0 }),
            filters: Vec::new(),
            has_heads: false,
            begun: Vec::new(),
            has_skipped: false,
        }
    }

    pub fn block(&self) -> BlockHash {
        self.block
    }

    /// More subscriptions can join until the block is known.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, ResumeStage::Searching(_))
    }

    pub fn add_heads(&mut self) {
        self.has_heads = true;
    }

    /// Logs of one shared stream; once, whatever the number of its subscribers.
    pub fn add_logs(&mut self, stream: StreamId, filter: &LogFilter) {
        if !self.filters.iter().any(|(have, _)| *have == stream) {
            self.filters.push((stream, filter.clone()));
        }
    }

    /// Nobody is left who hears these.
    pub fn drop_logs(&mut self, stream: StreamId) {
        self.filters.retain(|(have, _)| *have != stream);
        if let ResumeStage::Running(machines) = &mut self.stage
            && let Some(logs) = &mut machines.logs
        {
            logs.close(stream);
            if self.filters.is_empty() {
                machines.logs = None;
            }
        }
    }

    /// The next head that the shared machine emitted.
    pub fn on_head(&mut self, head: &Head, now: Instant) {
        if let ResumeStage::Running(machines) = &mut self.stage {
            machines.heads.on_head(head.clone(), now);
        }
    }

    /// What a fetch brought, for whichever machine.
    pub fn on_block(&mut self, ask: Ask, block: Option<&Head>, now: Instant) {
        match &mut self.stage {
            ResumeStage::Searching(search) if ask == Ask::Hash(self.block) && search.due.is_none() => {
                match block.filter(|block| block.hash == self.block) {
                    Some(block) => self.stage = ResumeStage::Found(block.clone()),
                    None => {
                        search.failures += 1;
                        search.due = Some(now.plus_ms(FILL_RETRY_MS));
                    }
                }
            }
            ResumeStage::Running(machines) => match block {
                Some(block) => machines.heads.on_filled(ask, block.clone(), now),
                None => machines.heads.on_fill_failed(ask, now),
            },
            ResumeStage::Searching(_) | ResumeStage::Found(_) | ResumeStage::Over => {}
        }
    }

    pub fn logs(&mut self) -> Option<&mut Logs> {
        match &mut self.stage {
            ResumeStage::Running(machines) => machines.logs.as_mut(),
            ResumeStage::Searching(_) | ResumeStage::Found(_) | ResumeStage::Over => None,
        }
    }

    pub fn on_logs(&mut self, block: BlockHash, by: InstanceId, logs: Vec<Log>, now: Instant) {
        if let Some(machine) = self.logs() {
            machine.on_answer(block, by, logs, now);
        }
    }

    /// What to do now; ask again until there is nothing, and at `wake_at`. `newest`: what the shared machine has emitted last.
    pub fn next(&mut self, newest: Option<(u64, BlockHash)>, now: Instant) -> Option<ResumeAction> {
        if self.is_late(now) {
            let (block, after_ms) = (self.block, self.rules.backfill_timeout_ms);
            return self.end(NoResumption::TimedOut { block, after_ms });
        }
        match &mut self.stage {
            ResumeStage::Over => return None,
            ResumeStage::Searching(search) => {
                if search.failures >= FILL_TRIES {
                    return self.end(NoResumption::Unknown { block: self.block });
                }
                if search.due.is_some_and(|due| due <= now) {
                    search.due = None;
                    return Some(ResumeAction::Fetch(Ask::Hash(self.block)));
                }
            }
            ResumeStage::Found(head) => {
                if let Some((number, hash)) = newest.filter(|(number, _)| *number >= head.number) {
                    let (back, limit) = (number - head.number, self.rules.max_backfill_blocks);
                    if back > limit {
                        return self.end(NoResumption::TooOld { block: self.block, back, limit });
                    }
                    let head = head.clone();
                    self.start(&head, hash, now);
                }
            }
            ResumeStage::Running(_) => {}
        }
        self.run(now)
    }

    /// Its subscriptions should have begun by now.
    pub fn is_late(&self, now: Instant) -> bool {
        self.deadline <= now && self.waits_to_begin()
    }

    /// When that will be so.
    pub fn deadline(&self) -> Instant {
        if self.waits_to_begin() { self.deadline } else { Instant::NEVER }
    }

    fn start(&mut self, head: &Head, newest: BlockHash, now: Instant) {
        let heads = Heads::resumed(self.rules, head, newest, now);
        let logs = (!self.filters.is_empty()).then(|| {
            let mut logs = Logs::resumed(self.rules, head);
            self.filters.iter().for_each(|(stream, filter)| logs.open_again(*stream, filter));
            logs
        });
        self.stage = ResumeStage::Running(Box::new(OwnMachines { heads, logs }));
    }

    fn waits_to_begin(&self) -> bool {
        let waits = |part: ResumedPart, is_there: bool| is_there && !self.begun.contains(&part);
        waits(ResumedPart::Heads, self.has_heads) || waits(ResumedPart::Logs, !self.filters.is_empty())
    }

    /// Heads first: logs follow what they tell.
    fn run(&mut self, now: Instant) -> Option<ResumeAction> {
        loop {
            let ResumeStage::Running(machines) = &mut self.stage else { return None };
            let is_linked = machines.heads.is_linked();
            if is_linked && self.has_heads && !self.begun.contains(&ResumedPart::Heads) {
                self.begun.push(ResumedPart::Heads);
                return Some(ResumeAction::Begin(ResumedPart::Heads));
            }
            match machines.heads.next(now) {
                Some(HeadsAction::Emit(head)) => {
                    if self.rules.bug == Some(Bug::ResumeSkips) && !std::mem::replace(&mut self.has_skipped, true) {
                        continue;
                    }
                    if let Some(logs) = &mut machines.logs {
                        logs.on_head(&head, now);
                    }
                    if self.has_heads {
                        return Some(ResumeAction::Head(head));
                    }
                }
                Some(HeadsAction::Below(head)) => {
                    if let Some(logs) = &mut machines.logs {
                        logs.below(&head);
                    }
                }
                Some(HeadsAction::Fetch(ask)) => return Some(ResumeAction::Fetch(ask)),
                // What it is fed is settled: there is no leader of its own to leave.
                Some(HeadsAction::Forsake | HeadsAction::Depose | HeadsAction::PastLost) => {}
                Some(HeadsAction::Close(Reason::ForkTooDeep { .. })) => {
                    return self.end(NoResumption::PastLost { block: self.block });
                }
                Some(HeadsAction::Close(reason)) => return self.end(self.in_time(reason)),
                None => return self.run_logs(is_linked, now),
            }
        }
    }

    fn run_logs(&mut self, is_linked: bool, now: Instant) -> Option<ResumeAction> {
        let has_begun = self.begun.contains(&ResumedPart::Logs);
        let logs = self.logs()?;
        if is_linked && !has_begun && logs.knows_past() {
            self.begun.push(ResumedPart::Logs);
            return Some(ResumeAction::Begin(ResumedPart::Logs));
        }
        // Nothing is told before it has begun.
        match if has_begun { logs.next(now) } else { logs.next_work(now) }? {
            LogsAction::Emit(streams, payload, _) => Some(ResumeAction::Log(streams, payload)),
            LogsAction::Ask(question) => Some(ResumeAction::AskLogs(question)),
            LogsAction::PastLost => self.end_logs(NoResumption::PastLost { block: self.block }),
            LogsAction::Close(reason) => self.end_logs(self.in_time(reason)),
        }
    }

    /// Before it has begun, a time that is over is the resumption's own.
    fn in_time(&self, reason: Reason) -> NoResumption {
        match reason {
            Reason::TimedOut { after_ms } => NoResumption::TimedOut { block: self.block, after_ms },
            Reason::TooManyMissing { .. } | Reason::ForkTooDeep { .. } | Reason::NoProvider => NoResumption::Ended(reason),
        }
    }

    fn end_logs(&mut self, why: NoResumption) -> Option<ResumeAction> {
        self.filters.clear();
        if let ResumeStage::Running(machines) = &mut self.stage {
            machines.logs = None;
        }
        Some(ResumeAction::End(ResumedPart::Logs, why))
    }

    /// The end for one part after the other.
    fn end(&mut self, why: NoResumption) -> Option<ResumeAction> {
        if !self.filters.is_empty() {
            return self.end_logs(why);
        }
        self.stage = ResumeStage::Over;
        std::mem::take(&mut self.has_heads).then_some(ResumeAction::End(ResumedPart::Heads, why))
    }

    /// Logs wait for room.
    pub fn has_more(&self) -> bool {
        matches!(&self.stage, ResumeStage::Running(machines) if machines.logs.as_ref().is_some_and(Logs::has_more))
    }

    /// Nobody is left in it.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, ResumeStage::Over) || (!self.has_heads && self.filters.is_empty())
    }

    pub fn drop_heads(&mut self) {
        self.has_heads = false;
    }

    /// Logs are told no further than the shared machine has told them.
    pub fn hold_behind(&mut self, shared: Option<&Logs>) {
        if let Some(logs) = self.logs() {
            logs.hold_at(shared.and_then(Logs::first_untold));
        }
    }

    /// Whether its subscribers can go on with the shared streams; then these must take over its past.
    pub fn is_level(&self, heads: &Heads, logs: Option<&Logs>) -> bool {
        let ResumeStage::Running(machines) = &self.stage else { return false };
        let is_told = machines.heads.is_settled() && machines.heads.tip() == heads.tip() && heads.is_settled();
        let is_logged = match &machines.logs {
            None => true,
            Some(mine) => logs.is_some_and(|logs| logs.is_level(mine)),
        };
        is_told && is_logged && !self.waits_to_begin()
    }

    /// The shared machines take over its past; nothing remains here.
    pub fn merge_into(&mut self, heads: &mut Heads, logs: Option<&mut Logs>) {
        if let ResumeStage::Running(machines) = std::mem::replace(&mut self.stage, ResumeStage::Over) {
            heads.adopt(&machines.heads);
            if let (Some(mine), Some(logs)) = (&machines.logs, logs) {
                logs.adopt(mine, heads);
            }
        }
    }

    /// When `next` has something to say without an event; `Instant::NEVER` if never.
    pub fn wake_at(&self) -> Instant {
        let own = match &self.stage {
            ResumeStage::Searching(search) => search.due.unwrap_or(Instant::NEVER),
            ResumeStage::Running(machines) => {
                machines.heads.wake_at().min(machines.logs.as_ref().map_or(Instant::NEVER, Logs::wake_at))
            }
            ResumeStage::Found(_) | ResumeStage::Over => Instant::NEVER,
        };
        own.min(self.deadline())
    }
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
