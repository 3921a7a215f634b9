//! Logs in the order of the chain, each once for every time that its block becomes canonical, and taken back when it stops.
//!
//! It runs beside the heads of the same chain and is fed what `continuity` emitted, so order and reorgs are settled before
//! it looks. A block is complete when its head is there and its bloom rules the filter out, or its logs have come and either
//! two seconds passed or a later block's logs followed on the same subscription; otherwise its logs are asked for by block
//! hash, and those that did come wait for the answer. Logs are passed on as they come while every block below is complete. A reorg takes back what was emitted,
//! newest first, in the provider's own bytes with `removed` set; upstream's `removed` decides nothing, for it tells neither
//! order nor completeness. A bloom that ruled out a log that came is not believed again on this stream.
//! The first blocks after a beginning, a loss or a switch are asked for: a subscription that was there before us, for others,
//! may have told half of one.
//! Rejected: asking for every block's logs (a call per block and filter), and asking by range (a range does not say which
//! fork it was).
//! How it fails: a provider that loses single logs of a block and keeps others is believed; one log that comes after its
//! block was complete is passed on late. What was emitted is kept within a bound, and a reorg below it closes the stream.

use super::bug::Bug;
use super::continuity::{Reason, Rules};
use super::event::{BlockHash, Head, Log};
use super::filter::{BloomTest, LogFilter};
use crate::base::limits::{FILL_PARALLEL, FILL_RETRY_MS, LOGS_QUIET_MS, LOGS_WAIT_MS, STREAM_CHAIN_BLOCKS, STREAM_LOG_BYTES};
use crate::base::time::Instant;
use std::collections::VecDeque;
use std::sync::Arc;

/// What the shell must do now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// To every subscriber.
    Emit(Arc<[u8]>),
    /// `eth_getLogs` of the stream's filter in this block; must answer `on_filled` or `on_fill_failed`.
    Fetch(BlockHash),
    /// The end; said for ever after.
    Close(Reason),
}

/// What is known of a block's logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// They may still come by themselves.
    Waiting {
        until: Instant,
    },
    /// They must be asked for: from `due` on, or are being asked for.
    Asking {
        due: Option<Instant>,
        deadline: Instant,
    },
    Complete,
}

/// A canonical block and its matching logs, by index.
#[derive(Clone, Debug)]
struct Block {
    number: u64,
    hash: BlockHash,
    state: State,
    logs: Vec<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    log: Log,
    emitted: bool,
}

/// Whether the leading subscription was heard from its blocks' first logs on. One that was there before us, for others, may
/// have told some of a block's logs before we listened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hearing {
    /// Not yet; nothing is sure before this instant.
    Begun {
        until: Option<Instant>,
    },
    /// From the next head on that is not settled at this same instant.
    FromNext(Instant),
    Whole,
}

/// Logs of a block that is not canonical yet, or not any more.
#[derive(Clone, Debug)]
struct Early {
    number: u64,
    hash: BlockHash,
    logs: Vec<Log>,
}

/// One filter's logs for everyone who subscribed to them.
#[derive(Clone, Debug)]
pub struct Logs {
    filter: LogFilter,
    bloom: BloomTest,
    believes_blooms: bool,
    rules: Rules,
    /// Canonical, oldest first, each the parent of the next.
    blocks: VecDeque<Block>,
    /// So many of the oldest are complete and emitted.
    flushed: usize,
    /// The newest block that was forgotten.
    below: Option<BlockHash>,
    /// Of blocks whose head was not emitted yet, or that are canonical no more; what may be forgotten first is first.
    early: VecDeque<Early>,
    /// Logs up to this block may have been lost.
    doubtful_to: Option<u64>,
    hearing: Hearing,
    /// Of all payloads kept.
    bytes: usize,
    out: VecDeque<Arc<[u8]>>,
    closed: Option<Reason>,
}

impl Logs {
    /// A stream that begins with the next head that `Heads` emits.
    pub fn new(filter: LogFilter, rules: Rules) -> Logs {
        Logs {
            bloom: BloomTest::new(&filter),
            filter,
            believes_blooms: true,
            rules,
            blocks: VecDeque::new(),
            flushed: 0,
            below: None,
            early: VecDeque::new(),
            doubtful_to: None,
            hearing: Hearing::Begun { until: None },
            bytes: 0,
            out: VecDeque::new(),
            closed: None,
        }
    }

    /// The next head that `Heads` emitted.
    pub fn on_head(&mut self, head: &Head, now: Instant) {
        if self.closed.is_some() || !self.fork(head) {
            return;
        }
        let logs = self.take_early(head);
        let is_excluded = self.bloom.excludes(head.number, head.bloom.as_deref());
        self.believes_blooms &= !is_excluded || logs.is_empty();
        let is_heard = self.is_heard(head, now);
        let is_doubtful = head.fetched || !is_heard || self.doubtful_to.is_some_and(|to| head.number <= to);
        let state = if is_excluded && self.believes_blooms {
            State::Complete
        } else if is_doubtful {
            self.asking(now)
        } else {
            State::Waiting { until: now.plus_ms(LOGS_WAIT_MS) }
        };
        self.blocks.push_back(Block { number: head.number, hash: head.hash, state, logs: Vec::new() });
        self.merge(head.hash, logs);
        self.flush();
        self.bound();
    }

    /// The leading provider's logs subscription brought a log.
    pub fn on_log(&mut self, log: Log, now: Instant) {
        if self.closed.is_some() || log.removed || !self.filter.matches(&log) {
            return;
        }
        self.on_later(log.number, now);
        if let Some(block) = self.find(log.block).and_then(|place| self.blocks.get_mut(place)) {
            if let State::Waiting { until } = &mut block.state {
                *until = (*until).max(now.plus_ms(LOGS_QUIET_MS));
            }
            self.merge(log.block, vec![log]);
        } else {
            self.put_early(log);
        }
        self.flush();
        self.bound();
    }

    /// The leading provider's logs subscription is gone, or another one leads from now on: what it had not finished is
    /// asked for.
    pub fn on_lost(&mut self, now: Instant) {
        let asking = self.asking(now);
        for block in self.blocks.iter_mut().filter(|block| matches!(block.state, State::Waiting { .. })) {
            block.state = asking;
        }
        while self.forget_early() {}
        self.hearing = Hearing::Begun { until: Some(now.plus_ms(LOGS_WAIT_MS)) };
    }

    /// Whether all logs of a new block could be heard.
    fn is_heard(&mut self, head: &Head, now: Instant) -> bool {
        match self.hearing {
            Hearing::Whole => return true,
            Hearing::FromNext(at) if now > at => {
                self.hearing = Hearing::Whole;
                return true;
            }
            Hearing::FromNext(_) => {}
            Hearing::Begun { until } if !head.fetched && until.is_none_or(|until| now >= until) => {
                self.hearing = Hearing::FromNext(now);
            }
            Hearing::Begun { .. } => {}
        }
        false
    }

    /// The logs of a block that were asked for. A log of another block makes the answer a failure.
    pub fn on_filled(&mut self, hash: BlockHash, logs: Vec<Log>, now: Instant) {
        if logs.iter().any(|log| log.block != hash) {
            return self.on_fill_failed(hash, now);
        }
        let filter = &self.filter;
        let logs = logs.into_iter().filter(|log| filter.matches(log)).collect();
        let Some(block) = self.under_way(hash) else { return };
        block.state = State::Complete;
        self.merge(hash, logs);
        self.flush();
        self.bound();
    }

    /// They could not be had. Another provider should be asked next.
    pub fn on_fill_failed(&mut self, hash: BlockHash, now: Instant) {
        if let Some(block) = self.under_way(hash)
            && let State::Asking { due, .. } = &mut block.state
        {
            *due = Some(now.plus_ms(FILL_RETRY_MS));
        }
    }

    /// What to do now; ask again until there is nothing, and at `wake_at`.
    pub fn next(&mut self, now: Instant) -> Option<Action> {
        self.on_time(now);
        if let Some(payload) = self.out.pop_front() {
            return Some(Action::Emit(payload));
        }
        if let Some(reason) = self.closed {
            return Some(Action::Close(reason));
        }
        let asking = self.blocks.range_mut(self.flushed..).filter(|block| matches!(block.state, State::Asking { .. }));
        for block in asking.take(FILL_PARALLEL) {
            if let State::Asking { due, .. } = &mut block.state
                && due.is_some_and(|due| due <= now)
            {
                *due = None;
                return Some(Action::Fetch(block.hash));
            }
        }
        None
    }

    /// When `next` has something to say without an event; `Instant::NEVER` if never.
    pub fn wake_at(&self) -> Instant {
        let mut asked = 0;
        let mut wake = Instant::NEVER;
        for block in self.blocks.range(self.flushed..) {
            wake = wake.min(match block.state {
                State::Waiting { until } => until,
                State::Asking { due, deadline } => {
                    asked += 1;
                    // Beyond those that may be asked for at once a block waits for an answer, not for the time.
                    if asked <= FILL_PARALLEL { due.map_or(deadline, |due| due.min(deadline)) } else { deadline }
                }
                State::Complete => Instant::NEVER,
            });
        }
        wake
    }

    fn asking(&self, now: Instant) -> State {
        State::Asking { due: Some(now), deadline: now.plus_ms(self.rules.backfill_timeout_ms) }
    }

    /// Takes back the blocks that a head replaces; whether the stream can go on with it.
    fn fork(&mut self, head: &Head) -> bool {
        let is_child = |block: &Block| block.number + 1 == head.number && block.hash == head.parent;
        while let Some(block) = self.blocks.pop_back_if(|block| !is_child(block)) {
            for kept in block.logs.iter().rev().filter(|kept| kept.emitted) {
                if self.rules.bug != Some(Bug::RemovedDropped) {
                    self.out.push_back(kept.log.payload_saying(true));
                }
            }
            self.set_aside(block);
        }
        self.flushed = self.flushed.min(self.blocks.len());
        if self.blocks.is_empty() && self.below.is_some_and(|below| below != head.parent) {
            self.close(Reason::ForkTooDeep { kept: STREAM_CHAIN_BLOCKS });
        }
        self.closed.is_none()
    }

    /// The logs of a block that is canonical no more: it may be again, and a node that sends them once more then may have
    /// begun before we heard of it.
    fn set_aside(&mut self, block: Block) {
        let logs: Vec<Log> = block.logs.into_iter().map(|kept| kept.log).collect();
        match block.state {
            State::Asking { .. } => {
                self.bytes = self.bytes.saturating_sub(bytes_of(&logs));
                self.doubtful_to = self.doubtful_to.max(Some(block.number));
            }
            State::Waiting { .. } | State::Complete if logs.is_empty() => {}
            State::Waiting { .. } | State::Complete => {
                self.early.push_front(Early { number: block.number, hash: block.hash, logs });
            }
        }
    }

    /// A log of block `number` comes: a subscription keeps the order, so blocks below have got theirs, if they got any.
    fn on_later(&mut self, number: u64, now: Instant) {
        let asking = self.asking(now);
        for block in self.blocks.range_mut(self.flushed..).filter(|block| block.number < number) {
            block.conclude(asking);
        }
    }

    fn on_time(&mut self, now: Instant) {
        let asking = self.asking(now);
        let mut is_late = false;
        for block in self.blocks.range_mut(self.flushed..) {
            match block.state {
                State::Waiting { until } if until <= now => block.conclude(asking),
                State::Asking { deadline, .. } => is_late |= deadline <= now,
                State::Waiting { .. } | State::Complete => {}
            }
        }
        if is_late {
            self.close(Reason::TimedOut { after_ms: self.rules.backfill_timeout_ms });
        }
        self.flush();
    }

    /// Puts logs in their places in a canonical block.
    fn merge(&mut self, hash: BlockHash, logs: Vec<Log>) {
        let Some(place) = self.find(hash) else { return };
        let is_flushed = place < self.flushed;
        let Some(block) = self.blocks.get_mut(place) else { return };
        for log in logs {
            let Err(at) = block.logs.binary_search_by_key(&log.index, |kept| kept.log.index) else { continue };
            self.bytes += log.payload.len();
            if is_flushed {
                self.out.push_back(log.payload_saying(false));
                self.believes_blooms &= !block.logs.is_empty();
            }
            block.logs.insert(at, Kept { log, emitted: is_flushed });
        }
    }

    /// Emits what is in order: everything up to the first block that is not complete, and what that has.
    fn flush(&mut self) {
        while let Some(block) = self.blocks.get_mut(self.flushed) {
            // What is asked for may fill holes between those that are there.
            if matches!(block.state, State::Asking { .. }) {
                return;
            }
            for kept in block.logs.iter_mut().filter(|kept| !kept.emitted) {
                self.out.push_back(kept.log.payload_saying(false));
                kept.emitted = true;
            }
            if block.state != State::Complete {
                return;
            }
            self.flushed += 1;
        }
    }

    /// Keeps memory within its bounds: what is early goes first, since it can be asked for.
    fn bound(&mut self) {
        while self.flushed > STREAM_CHAIN_BLOCKS || (self.bytes > STREAM_LOG_BYTES && self.flushed > 1) {
            if self.bytes > STREAM_LOG_BYTES && self.forget_early() {
                continue;
            }
            let Some(block) = self.blocks.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(block.logs.iter().map(|kept| kept.log.payload.len()).sum());
            (self.flushed, self.below) = (self.flushed - 1, Some(block.hash));
        }
        while self.bytes > STREAM_LOG_BYTES && self.forget_early() {}
        let open = self.blocks.len() - self.flushed;
        if self.bytes > STREAM_LOG_BYTES && open > 1 {
            self.close(Reason::TooManyLogs { bytes: STREAM_LOG_BYTES });
        }
        if open > STREAM_CHAIN_BLOCKS.max(self.rules.max_backfill_blocks as usize) {
            self.close(Reason::TooManyMissing { limit: self.rules.max_backfill_blocks });
        }
    }

    fn put_early(&mut self, log: Log) {
        let logs = match self.early.iter_mut().rfind(|early| early.hash == log.block) {
            Some(early) => &mut early.logs,
            None => {
                self.early.push_back(Early { number: log.number, hash: log.block, logs: Vec::new() });
                let Some(early) = self.early.back_mut() else { return };
                &mut early.logs
            }
        };
        if !logs.iter().any(|other| other.index == log.index) {
            self.bytes += log.payload.len();
            logs.push(log);
        }
    }

    /// Whether there was any to forget.
    fn forget_early(&mut self) -> bool {
        let Some(early) = self.early.pop_front() else { return false };
        self.bytes = self.bytes.saturating_sub(bytes_of(&early.logs));
        self.doubtful_to = self.doubtful_to.max(Some(early.number));
        true
    }

    /// What came for a block before its head; what is far from it belongs to no chain that this one will become.
    fn take_early(&mut self, head: &Head) -> Vec<Log> {
        let mut taken = Vec::new();
        let mut freed = 0;
        self.early.retain_mut(|early| {
            let is_near = early.number.abs_diff(head.number) <= STREAM_CHAIN_BLOCKS as u64;
            if is_near && early.hash != head.hash {
                return true;
            }
            freed += bytes_of(&early.logs);
            if early.hash == head.hash {
                taken = std::mem::take(&mut early.logs);
            }
            false
        });
        self.bytes = self.bytes.saturating_sub(freed);
        taken
    }

    fn find(&self, hash: BlockHash) -> Option<usize> {
        self.blocks.iter().rposition(|block| block.hash == hash)
    }

    fn under_way(&mut self, hash: BlockHash) -> Option<&mut Block> {
        let is_it = |block: &&mut Block| block.hash == hash && matches!(block.state, State::Asking { due: None, .. });
        self.blocks.iter_mut().find(is_it)
    }

    fn close(&mut self, reason: Reason) {
        self.closed.get_or_insert(reason);
        self.early.clear();
    }
}

fn bytes_of(logs: &[Log]) -> usize {
    logs.iter().map(|log| log.payload.len()).sum()
}

impl Block {
    /// Its logs have come, or must be asked for.
    fn conclude(&mut self, asking: State) {
        if let State::Waiting { .. } = self.state {
            self.state = if self.logs.is_empty() { asking } else { State::Complete };
        }
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
