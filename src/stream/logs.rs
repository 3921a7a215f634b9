//! A chain's logs for everyone who subscribed to any of them, in the order of the chain, each once for every time that its
//! block becomes canonical, and taken back when it stops.
//!
//! It runs beside the heads of the same chain and is fed what `continuity` emitted, so order and reorgs are settled before it
//! looks. **Logs come from the block:** for each block there is one question, whatever the number of filters, and nothing is
//! told of it before the answer is whole (`proof` says when that is sure; who is not sure is asked again, of somebody
//! else). What a block's bloom excludes for every filter is not asked for. Blocks are told in order; a reorg takes back what
//! was told, newest first, in the provider's own bytes with `removed` set.
//! Rejected: logs that are pushed (a subscription has no end mark, so a connection that stalls in the middle of a block
//! leaves a hole that nobody sees), a question for each filter (clients would decide how often a provider is asked), and asking by range
//! (a range does not say which fork it was).
//! How it fails: it closes with the reason, and skips nothing. A block that nobody answers for within the time for filling ends it. What was
//! told is kept within a bound that all streams share, and a reorg below it closes.

use super::bug::Bug;
use super::continuity::{Reason, Rules};
use super::event::{BlockHash, Head, Log};
use super::fanout::{LogTurn, StreamId};
use super::filter::{BloomTest, LogFilter};
use super::proof::{BloomTrust, Proof};
use super::union::Recipients;
use crate::base::ids::InstanceId;
use crate::base::limits::{
    FILL_PARALLEL, FILL_RETRY_MS, FILL_TRIES, LOGS_AGAIN_MS, LOGS_AHEAD_BYTES, LOGS_DOUBT_MS, STREAM_CHAIN_BLOCKS,
    STREAM_LOG_BYTES,
};
use crate::base::time::{Duration, Instant};
use crate::chain::bloom::{Bloom, has_bits};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Blocks that were told before the machine began have places below.
const FIRST_PLACE: u64 = 1 << 32;

/// What the shell must do now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// To every subscriber of these.
    Emit(Vec<StreamId>, Arc<[u8]>, LogTurn),
    /// It must be answered by `on_answer`, `on_failed` or `on_nobody_else`.
    Ask(LogsQuestion),
    /// Nobody says what is to be taken back of what some were told in an earlier life. The others go on.
    PastLost,
    /// The end; said for ever after.
    Close(Reason),
}

/// What is asked of a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogsQuestion {
    pub block: BlockHash,
    pub number: u64,
    /// Lets through what any subscriber wants.
    pub filter: LogFilter,
    /// They have answered, and another one should be asked.
    pub heard: Vec<InstanceId>,
    /// One of those may be asked if there is nobody else.
    pub may_repeat: bool,
}

#[derive(Clone, Debug)]
enum BlockState {
    Asking(OpenQuestion),
    Known(Vec<Log>),
}

/// A canonical block.
#[derive(Clone, Debug)]
struct LoggedBlock {
    number: u64,
    hash: BlockHash,
    bloom: Option<Arc<Bloom>>,
    /// It became canonical as the so-many-eth head: subscribers from before it are owed its logs.
    place: u64,
    since: Instant,
    state: BlockState,
    /// So many of its logs were told.
    told: usize,
}

/// One subscription's part.
#[derive(Clone, Debug)]
struct Recipient {
    bloom: BloomTest,
    /// It is owed the heads from this place on.
    from: u64,
    /// And its logs are kept from this one on: what is before was told in an earlier life.
    kept_from: u64,
}

/// All log subscriptions of one route.
#[derive(Clone, Debug)]
pub struct Logs {
    rules: Rules,
    recipients: Recipients,
    parts: BTreeMap<StreamId, Recipient>,
    trust: BloomTrust,
    /// Canonical, oldest first, each the parent of the next.
    blocks: VecDeque<LoggedBlock>,
    /// So many of the oldest are told whole.
    flushed: usize,
    /// Canonical no more, and not yet taken back; newest first.
    dropped: VecDeque<LoggedBlock>,
    /// Blocks that went while a question about them was under way: its answer is to other filters than those of the next one,
    /// should they come back, so that waits until it was given.
    unanswered: Vec<BlockHash>,
    /// The newest block that was forgotten, and whether anybody was told logs of one.
    below: Option<BlockHash>,
    has_told_below: bool,
    /// The place of the next head.
    next_place: u64,
    /// That of the oldest block that was put below all others.
    lowest_place: u64,
    /// Nothing is told from this block on, until another machine has told what it has of it.
    held_at: Option<BlockHash>,
    has_lost_past: bool,
    /// Of all payloads kept.
    bytes: usize,
    closed: Option<Reason>,
}

impl Logs {
    pub fn new(rules: Rules) -> Logs {
        Logs {
            rules,
            recipients: Recipients::default(),
            parts: BTreeMap::new(),
            trust: BloomTrust::default(),
            blocks: VecDeque::new(),
            flushed: 0,
            dropped: VecDeque::new(),
            unanswered: Vec::new(),
            below: None,
            has_told_below: false,
            next_place: FIRST_PLACE,
            lowest_place: FIRST_PLACE,
            held_at: None,
            has_lost_past: false,
            bytes: 0,
            closed: None,
        }
    }

    /// A subscription that begins with the next head that `Heads` emits.
    pub fn open(&mut self, stream: StreamId, filter: &LogFilter) {
        self.recipients.insert(stream, filter.clone());
        let (from, bloom) = (self.next_place, BloomTest::new(filter));
        self.parts.insert(stream, Recipient { bloom, from, kept_from: from });
    }

    pub fn close(&mut self, stream: StreamId) {
        self.recipients.remove(stream);
        self.parts.remove(&stream);
    }

    pub fn has(&self, stream: StreamId) -> bool {
        self.parts.contains_key(&stream)
    }

    /// The newest block of which everything was told, if any is known; none while something is to be taken back.
    pub fn last_whole(&self) -> Option<BlockHash> {
        if !self.dropped.is_empty() {
            return None;
        }
        let last = self.flushed.checked_sub(1).and_then(|last| self.blocks.get(last));
        last.map(|block| block.hash).or(self.below)
    }

    /// The payloads of all logs that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next head that `Heads` emitted.
    pub fn on_head(&mut self, head: &Head, now: Instant) {
        self.trust.see(head);
        if self.closed.is_some() || !self.fork(head, now) {
            return;
        }
        let place = self.next_place;
        self.next_place += 1;
        let bloom = head.bloom.clone();
        let is_excluded = self.parts.values().all(|part| self.trust.excludes(&part.bloom, head));
        let state = match is_excluded {
            true => BlockState::Known(Vec::new()),
            false => BlockState::Asking(OpenQuestion { due: Some(now), ..OpenQuestion::default() }),
        };
        self.blocks.push_back(LoggedBlock { number: head.number, hash: head.hash, bloom, place, since: now, state, told: 0 });
        self.skip_told();
        self.bound();
    }

    /// `by` answered for a block: these are its logs. Logs of another block make it no answer.
    pub fn on_answer(&mut self, hash: BlockHash, by: InstanceId, mut logs: Vec<Log>, now: Instant) {
        if self.is_late(hash) || self.under_way(hash).is_none() {
            return;
        }
        logs.sort_by_key(|log| (log.transaction, log.index));
        let is_twice = logs.windows(2).any(|pair| matches!(pair, [a, b] if (a.transaction, a.index) == (b.transaction, b.index)));
        if is_twice || logs.iter().any(|log| log.block != hash || log.removed) {
            return self.fail(hash, now.plus_ms(FILL_RETRY_MS));
        }
        if self.is_believed(hash, by, &logs, now) {
            logs.retain(|log| self.recipients.find(log).next().is_some());
            if let Some(block) = self.dropped.iter_mut().find(|block| block.is_under_way(hash)) {
                (block.told, block.state) = (logs.len(), BlockState::Known(logs));
            } else if let Some(block) = self.blocks.iter_mut().find(|block| block.is_under_way(hash)) {
                self.bytes += bytes_of(&logs);
                block.state = BlockState::Known(logs);
                self.skip_told();
                self.bound();
            }
        }
    }

    /// Weighs an answer; one that is not believed is asked for again.
    fn is_believed(&mut self, hash: BlockHash, by: InstanceId, logs: &[Log], now: Instant) -> bool {
        let mut all = self.dropped.iter_mut().chain(&mut self.blocks);
        let Some(block) = all.find(|block| block.is_under_way(hash)) else { return false };
        let BlockState::Asking(asking) = &mut block.state else { return false };
        let filter = asking.filter.take().unwrap_or_default();
        let proof = self.trust.judge(block.bloom.as_deref(), block.number, logs, &filter);
        let is_bare = block.bloom.as_deref().is_some_and(|bloom| !has_bits(bloom));
        let proof = asking.in_context(proof, is_bare && logs.is_empty());
        if proof == Proof::Whole || self.rules.bug == Some(Bug::DoubtBelieved) {
            return true;
        }
        // What the bloom contradicts outweighs nothing.
        let count = if proof == Proof::Exceeding { 0 } else { logs.len() };
        let opinion =
            Opinion { by, print: print_of(logs), count, has_logs: !logs.is_empty(), is_of_all: filter.is_everything(), at: now };
        if !asking.is_settled(&opinion, proof, now >= block.since.plus_ms(LOGS_DOUBT_MS)) {
            // Two nodes that are a moment behind say the same of a new block: nothing. All of its logs are proven by the bloom.
            let is_provable = logs.is_empty() && self.trust.can_prove(block.bloom.as_deref());
            let is_wider = !filter.is_everything() && !asking.has_no_all && (proof == Proof::Lacking || is_provable);
            asking.wants_all |= is_wider;
            asking.doubt(opinion);
            // It is another question, so the same provider may be asked it at once.
            asking.may_repeat |= is_wider;
            return false;
        }
        if asking.is_only || asking.has_second(&opinion) {
            self.trust.learn(block.bloom.as_deref(), logs, proof, filter.is_everything());
        }
        true
    }

    /// It could not be had; it may be asked for again from `again` on, of somebody else if possible.
    pub fn on_failed(&mut self, hash: BlockHash, again: Instant) {
        if !self.is_late(hash) {
            self.fail(hash, again);
        }
    }

    /// What was answered is the question of an earlier life of the block.
    fn is_late(&mut self, hash: BlockHash) -> bool {
        let place = self.unanswered.iter().position(|block| *block == hash);
        place.map(|place| self.unanswered.swap_remove(place)).is_some()
    }

    fn fail(&mut self, hash: BlockHash, again: Instant) {
        if let Some(asking) = self.under_way(hash) {
            (asking.due, asking.filter) = (Some(again), None);
            asking.failures += 1;
        }
    }

    /// Somebody does not answer such a question: some providers want an address. After some of that, what they say of less has to do.
    pub fn on_refused(&mut self, hash: BlockHash, again: Instant) {
        if self.is_late(hash) {
            return;
        }
        if let Some(asking) = self.under_way(hash).filter(|asking| asking.wants_all) {
            asking.refusals += 1;
            let has_less = asking.opinions.iter().any(|opinion| !opinion.is_of_all);
            if asking.refusals >= FILL_TRIES && has_less {
                (asking.wants_all, asking.has_no_all) = (false, true);
            }
        }
        self.fail(hash, again);
    }

    /// Whoever could be asked has answered: one of them is asked once more, when that counts. `is_only`: there is but this one.
    pub fn on_nobody_else(&mut self, hash: BlockHash, is_only: bool, now: Instant) {
        if let Some(asking) = self.under_way(hash) {
            let last = asking.opinions.iter().map(|opinion| opinion.at).max().unwrap_or(now);
            (asking.due, asking.filter, asking.may_repeat) = (Some(last.plus_ms(LOGS_AGAIN_MS).max(now)), None, true);
            asking.is_only = is_only;
        }
    }

    /// What to do now; ask again until there is nothing, and at `wake_at`.
    pub fn next(&mut self, now: Instant) -> Option<Action> {
        self.next_told().or_else(|| self.next_work(now))
    }

    /// The next log that can be told or taken back.
    fn next_told(&mut self) -> Option<Action> {
        let told = self.take_back().or_else(|| self.tell());
        told.map(|(to, payload, turn)| Action::Emit(to, payload, turn))
    }

    /// What else there is to do.
    pub fn next_work(&mut self, now: Instant) -> Option<Action> {
        self.lose_past(now);
        if std::mem::take(&mut self.has_lost_past) {
            return Some(Action::PastLost);
        }
        if self.deadline() <= now {
            self.end(Reason::TimedOut { after_ms: self.rules.backfill_timeout_ms });
        }
        if let Some(reason) = self.closed {
            return Some(Action::Close(reason));
        }
        self.ask(now)
    }

    /// The next log that is to be taken back, and whose it was.
    fn take_back(&mut self) -> Option<(Vec<StreamId>, Arc<[u8]>, LogTurn)> {
        while let Some(block) = self.dropped.front_mut() {
            // What is newer is taken back first.
            let BlockState::Known(logs) = &block.state else { return None };
            while block.told > 0 {
                block.told -= 1;
                let Some(log) = logs.get(block.told) else { continue };
                let to = owed(&self.recipients, &self.parts, block.place, log);
                if !to.is_empty() && self.rules.bug != Some(Bug::RemovedDropped) {
                    return Some((to, log.payload_saying(true), LogTurn { place: block.place, is_removed: true }));
                }
            }
            self.dropped.pop_front();
        }
        None
    }

    /// The next log in order.
    fn tell(&mut self) -> Option<(Vec<StreamId>, Arc<[u8]>, LogTurn)> {
        while let Some(block) = self.blocks.get_mut(self.flushed).filter(|_| self.dropped.is_empty()) {
            let BlockState::Known(logs) = &block.state else { return None };
            if self.held_at == Some(block.hash) {
                return None;
            }
            while let Some(log) = logs.get(block.told) {
                block.told += 1;
                let to = owed(&self.recipients, &self.parts, block.place, log);
                if !to.is_empty() {
                    return Some((to, log.payload_saying(false), LogTurn { place: block.place, is_removed: false }));
                }
            }
            self.flushed += 1;
            self.bound();
        }
        None
    }

    /// When the time of the oldest block that nobody has answered for is over; nothing that happens elsewhere moves it.
    fn deadline(&self) -> Instant {
        let mut open = self.blocks.range(self.flushed..).filter(|block| matches!(block.state, BlockState::Asking(_)));
        open.next().map_or(Instant::NEVER, |block| block.since.plus_ms(self.rules.backfill_timeout_ms))
    }

    fn ask(&mut self, now: Instant) -> Option<Action> {
        let untold: usize = self.blocks.range(self.flushed..).map(LoggedBlock::bytes).sum();
        let most = if untold > LOGS_AHEAD_BYTES { 1 } else { FILL_PARALLEL };
        let filters = self.recipients.filters();
        let all = self.dropped.iter_mut().chain(self.blocks.range_mut(self.flushed..));
        for block in all.filter(|block| matches!(block.state, BlockState::Asking(_))).take(most) {
            if let BlockState::Asking(asking) = &mut block.state
                && !self.unanswered.contains(&block.hash)
                && asking.due.is_some_and(|due| due <= now)
            {
                let union = if asking.wants_all { LogFilter::default() } else { LogFilter::union(filters) };
                (asking.due, asking.filter) = (None, Some(union.clone()));
                let heard = asking.opinions.iter().map(|opinion| opinion.by).collect();
                let (block, number, may_repeat) = (block.hash, block.number, asking.may_repeat);
                return Some(Action::Ask(LogsQuestion { block, number, filter: union, heard, may_repeat }));
            }
        }
        None
    }

    /// Something is to be told, as soon as there is room.
    pub fn has_more(&self) -> bool {
        let next = self.dropped.front().or(self.blocks.get(self.flushed));
        next.is_some_and(|block| matches!(block.state, BlockState::Known(_)) && self.held_at != Some(block.hash))
    }

    /// When `next` has something to say without an event; `Instant::NEVER` if never. What is known and not told waits for
    /// whoever asks.
    pub fn wake_at(&self) -> Instant {
        if self.closed.is_some() {
            return Instant::NEVER;
        }
        let all = self.dropped.iter().chain(self.blocks.range(self.flushed..));
        let open = all.filter_map(|block| match &block.state {
            BlockState::Asking(asking) => Some(asking.due.filter(|_| !self.unanswered.contains(&block.hash))),
            BlockState::Known(_) => None,
        });
        // Beyond those that may be asked for at once a block waits for an answer, not for the time.
        open.take(FILL_PARALLEL).flatten().chain(self.past_lost_at()).fold(self.deadline(), Instant::min)
    }

    /// Sets aside the blocks that a head replaces; whether the stream can go on with it.
    fn fork(&mut self, head: &Head, now: Instant) -> bool {
        let mut dropped = VecDeque::new();
        while let Some(mut block) = self.blocks.pop_back_if(|block| block.hash != head.parent || block.number >= head.number) {
            self.bytes = self.bytes.saturating_sub(block.bytes());
            if block.is_under_way(block.hash) {
                self.unanswered.push(block.hash);
            }
            if self.is_past(block.place) {
                block.ask_to_take_back(now);
            }
            dropped.push_back(block);
        }
        // What an earlier head replaced is newer than what this one does: it goes first.
        self.dropped.extend(dropped.into_iter().filter(|block| block.told > 0 || block.is_asked_to_take_back()));
        self.flushed = self.flushed.min(self.blocks.len());
        if self.blocks.is_empty() && self.below.is_some_and(|below| below != head.parent) {
            if self.has_told_below {
                self.end(Reason::ForkTooDeep { kept: STREAM_CHAIN_BLOCKS });
            }
            self.below = None;
        }
        self.closed.is_none()
    }

    /// What is told whole and has no logs needs no turn.
    fn skip_told(&mut self) {
        while let Some(LoggedBlock { state: BlockState::Known(logs), .. }) = self.blocks.get(self.flushed)
            && logs.is_empty()
        {
            self.flushed += 1;
        }
    }

    /// Keeps memory within its bounds.
    fn bound(&mut self) {
        while self.flushed > STREAM_CHAIN_BLOCKS && self.forget_oldest() {}
        let open = self.blocks.len() - self.flushed;
        if open > STREAM_CHAIN_BLOCKS.max(self.rules.max_backfill_blocks as usize) {
            self.end(Reason::TooManyMissing { limit: self.rules.max_backfill_blocks });
        }
    }

    /// Forgets the oldest block that is told; false when there is none but the newest.
    pub fn forget_oldest(&mut self) -> bool {
        if self.flushed < 2 {
            return false;
        }
        let Some(block) = self.blocks.pop_front() else { return false };
        self.bytes = self.bytes.saturating_sub(block.bytes());
        self.has_told_below |= block.told > 0 || self.is_past(block.place);
        (self.flushed, self.below) = (self.flushed - 1, Some(block.hash));
        true
    }

    fn under_way(&mut self, hash: BlockHash) -> Option<&mut OpenQuestion> {
        let mut all = self.dropped.iter_mut().chain(&mut self.blocks);
        match &mut all.find(|block| block.is_under_way(hash))?.state {
            BlockState::Asking(asking) => Some(asking),
            BlockState::Known(_) => None,
        }
    }

    fn end(&mut self, reason: Reason) {
        self.closed.get_or_insert(reason);
    }
}

impl LoggedBlock {
    fn is_under_way(&self, hash: BlockHash) -> bool {
        self.hash == hash && matches!(self.state, BlockState::Asking(OpenQuestion { due: None, .. }))
    }

    fn bytes(&self) -> usize {
        if let BlockState::Known(logs) = &self.state { bytes_of(logs) } else { 0 }
    }
}

fn bytes_of(logs: &[Log]) -> usize {
    logs.iter().map(|log| log.payload.len()).sum()
}

/// The subscriptions that a log of the block of this place goes to.
fn owed(recipients: &Recipients, parts: &BTreeMap<StreamId, Recipient>, place: u64, log: &Log) -> Vec<StreamId> {
    let is_owed = |stream: &StreamId| parts.get(stream).is_some_and(|part| part.from <= place);
    recipients.find(log).filter(is_owed).collect()
}

/// Keeps what all streams together keep within its bound: whoever keeps most forgets first.
pub fn share<'a>(all: impl Iterator<Item = &'a mut Logs>) {
    let mut all: Vec<&mut Logs> = all.collect();
    while all.iter().map(|logs| logs.bytes).sum::<usize>() > STREAM_LOG_BYTES {
        let Some(most) = (0..all.len()).max_by_key(|at| all.get(*at).map(|logs| logs.bytes)) else { return };
        if !all.get_mut(most).is_some_and(|logs| logs.forget_oldest()) {
            all.swap_remove(most);
        }
    }
}

#[path = "logs_doubt.rs"]
mod doubt;
#[path = "logs_past.rs"]
mod past;

use doubt::{OpenQuestion, Opinion, print_of};

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
