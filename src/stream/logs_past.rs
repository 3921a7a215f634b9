//! Logs for those who were told some in an earlier life: what becomes of these, and how two machines become one.
//!
//! A client that resumes was told the logs of blocks that this machine never asked for, or not for its filter. They are owed
//! to nobody as long as their blocks stay. When a reorg drops such a block, its logs are asked for by its hash, and taken
//! back before anything newer is told. Rejected: asking for them beforehand (most blocks stay).
//! Two machines can become one where both have told the same, up to the same block: the one of a resumption is held back
//! from telling what the shared one has not told, so that this comes soon, however far the answers lag behind the heads.
//! How it fails: where nobody has the logs of a dropped block, it says that the past is lost, and what was kept of the block
//! is taken back for the others. They wait for that for half of the time for filling at most.

use super::*;
use crate::base::limits::FILL_TRIES;
use crate::stream::continuity::Heads;
use std::collections::HashSet;

impl Logs {
    /// For those who were told everything up to the head `from`.
    pub fn resumed(rules: Rules, from: &Head) -> Logs {
        let mut logs = Logs::new(rules);
        logs.trust.see(from);
        logs.put_below(from.number, from.hash, from.bloom.clone());
        logs
    }

    /// A subscription that was told everything up to the newest block that is known here.
    pub fn open_again(&mut self, stream: StreamId, filter: &LogFilter) {
        self.open(stream, filter);
        if let Some(part) = self.parts.get_mut(&stream) {
            part.from = 0;
        }
    }

    /// A block under the oldest, as `Heads` found it.
    pub fn below(&mut self, head: &Head) {
        self.put_below(head.number, head.hash, head.bloom.clone());
    }

    fn put_below(&mut self, number: u64, hash: BlockHash, bloom: Option<Arc<Bloom>>) {
        let block =
            LoggedBlock { number, hash, bloom, place: 0, since: Instant::ZERO, state: BlockState::Known(Vec::new()), told: 0 };
        self.push_below(block);
    }

    /// False where nothing more can be kept, or what was below has been forgotten.
    fn push_below(&mut self, mut block: LoggedBlock) -> bool {
        let has_room = self.below.is_none() && self.blocks.len() < STREAM_CHAIN_BLOCKS;
        if has_room {
            // Below all that ever was: what stands above may have taken the place of something that was lower.
            self.lowest_place = self.lowest_place.saturating_sub(1);
            block.place = self.lowest_place;
            self.bytes += block.bytes();
            self.blocks.push_front(block);
            self.flushed += 1;
        }
        has_room
    }

    /// Somebody is owed the logs of the block of this place, and was told them in an earlier life.
    pub(super) fn is_past(&self, place: u64) -> bool {
        self.parts.values().any(|part| part.from <= place && place < part.kept_from)
    }

    /// What is to be taken back of an earlier life is known.
    pub fn knows_past(&self) -> bool {
        self.dropped.iter().all(|block| matches!(block.state, BlockState::Known(_)))
    }

    /// From this block on nothing is told until another machine has done so.
    pub fn hold_at(&mut self, block: Option<BlockHash>) {
        self.held_at = block;
    }

    /// The first block of which not everything was told.
    pub fn first_untold(&self) -> Option<BlockHash> {
        self.blocks.get(self.flushed).map(|block| block.hash)
    }

    /// When the time is over for what is to be taken back of an earlier life.
    pub(super) fn past_lost_at(&self) -> Option<Instant> {
        let open = self.dropped.iter().find(|block| block.is_asked_to_take_back())?;
        Some(open.since.plus_ms(self.rules.backfill_timeout_ms / 2))
    }

    /// Gives up what nobody has; what was kept of it is taken back all the same.
    pub(super) fn lose_past(&mut self, now: Instant) {
        let is_late = self.past_lost_at().is_some_and(|at| at <= now);
        let is_refused =
            |block: &LoggedBlock| matches!(&block.state, BlockState::Asking(asking) if asking.failures >= 2 * FILL_TRIES);
        // Without one of them the others are of no use.
        if !is_late && !self.dropped.iter().any(is_refused) {
            return;
        }
        for block in &mut self.dropped {
            if let BlockState::Asking(asking) = &mut block.state
                && let Some((logs, told)) = asking.kept.take()
            {
                (block.state, block.told) = (BlockState::Known(logs), told);
                self.has_lost_past = true;
            }
        }
    }

    /// Whether the subscriptions of `resumed` can go on here: all that it has told, this machine has told too, and the other
    /// way round, and what comes next was asked for with their filters in it.
    pub fn is_level(&self, resumed: &Logs) -> bool {
        let first = self.blocks.get(self.flushed);
        let at = match first {
            Some(first) => resumed.blocks.iter().position(|block| block.hash == first.hash && block.place >= FIRST_PLACE),
            None => Some(resumed.blocks.len()),
        };
        let Some(at) = at else { return false };
        let is_told = resumed.flushed >= at && resumed.blocks.range(at..).all(|block| block.told == 0);
        let place = first.map_or(self.next_place, |first| first.place);
        let is_open = |stream: &StreamId| self.parts.get(stream).is_some_and(|part| part.kept_from <= place);
        let is_whole = first.is_none_or(|first| first.told == 0) && self.dropped.is_empty() && resumed.dropped.is_empty();
        is_told && is_whole && resumed.parts.keys().all(is_open)
    }

    /// Takes over what `resumed` has told, and from `heads` which blocks are below that. They are level.
    pub fn adopt(&mut self, resumed: &Logs, heads: &Heads) {
        let until = self.first_untold();
        let new = resumed.blocks.iter().filter(|block| block.place >= FIRST_PLACE);
        let told: Vec<&LoggedBlock> = new.take_while(|block| Some(block.hash) != until).collect();
        let have: HashSet<BlockHash> = self.blocks.iter().map(|block| block.hash).collect();
        told.iter().for_each(|block| self.join(block));
        let mut older = told.iter().rev().filter(|block| !have.contains(&block.hash));
        let _is_full = older.all(|block| self.push_below((*block).clone()));
        let kept_from =
            told.iter().find_map(|told| self.blocks.iter().find(|block| block.hash == told.hash)).map(|block| block.place);
        for stream in resumed.parts.keys() {
            if let Some(part) = self.parts.get_mut(stream) {
                (part.from, part.kept_from) = (0, kept_from.map_or(part.kept_from, |place| part.kept_from.min(place)));
            }
        }
        self.has_told_below |= self.below.is_some();
        let first = self.blocks.front().map(|block| block.hash);
        heads.told_below(first).for_each(|block| self.put_below(block.number, block.hash, block.bloom.clone()));
    }

    /// Keeps the logs of a told block for those, too, for whom another machine has told it.
    fn join(&mut self, other: &LoggedBlock) {
        let (Some(block), BlockState::Known(more)) =
            (self.blocks.iter_mut().find(|block| block.hash == other.hash), &other.state)
        else {
            return;
        };
        if let BlockState::Known(logs) = &mut block.state {
            let before = bytes_of(logs);
            let new = |log: &&Log| !logs.iter().any(|have| (have.transaction, have.index) == (log.transaction, log.index));
            let added: Vec<Log> = more.iter().filter(new).cloned().collect();
            logs.extend(added);
            logs.sort_by_key(|log| (log.transaction, log.index));
            self.bytes += bytes_of(logs) - before;
            block.told = logs.len();
        }
    }
}

impl LoggedBlock {
    /// It was told in an earlier life, and is to be taken back.
    pub(super) fn ask_to_take_back(&mut self, now: Instant) {
        // All its logs are asked for: nodes that have dropped it say [], which only the whole of it contradicts.
        let wants_all = self.bloom.is_some();
        let state = BlockState::Asking(OpenQuestion { due: Some(now), wants_all, ..OpenQuestion::default() });
        let old = std::mem::replace(&mut self.state, state);
        if let (BlockState::Known(logs), BlockState::Asking(asking)) = (old, &mut self.state) {
            asking.kept = Some((logs, self.told));
        }
        self.since = now;
    }

    pub(super) fn is_asked_to_take_back(&self) -> bool {
        matches!(self.state, BlockState::Asking(OpenQuestion { kept: Some(_), .. }))
    }
}
