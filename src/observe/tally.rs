//! What one producer (a shard, the control thread) saw in one epoch: a row for each (entry, transport, method) in use, and a
//! line for each channel that the breakers care about.
//!
//! Recording costs two array look-ups and a few additions: rows are found through a table by entry and method, never by a
//! hash, and only what was touched is on the dirty lists, so merging and clearing cost what was used and not what is
//! configured. A row's buckets are 16 bit; one that is full spills into a list, so nothing is ever lost. The whole thing
//! travels by swap: the producer gets an empty one back that keeps its rows.
//! Rejected: atomics that the aggregator reads in place (torn sums), and a channel of samples (a copy per call).

use crate::base::ids::{ChannelId, EntryId, Id, MethodId, Transport};
use crate::base::limits;
use crate::base::time::Duration;
use crate::chain::method;
use crate::observe::buckets::{BUCKETS, bucket_of};
use crate::observe::category::Category;
use crate::observe::decision::Decision;
use crate::observe::report::Event;

/// What an attempt says about its provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// An answer with a result; its latency counts.
    Success,
    /// A failure that counts against it.
    Penalised,
    /// A failure that may be the call's own fault: no other provider has answered it, and no probe has failed yet.
    Suspect,
    /// Counted by category only.
    Neutral,
}

/// One attempt that ended.
#[derive(Clone, Copy, Debug)]
pub struct Attempted {
    pub entry: EntryId,
    pub channel: ChannelId,
    pub method: MethodId,
    pub effect: Effect,
    /// `None` for a result.
    pub category: Option<Category>,
    /// Our attempt's own time, connecting included.
    pub latency: Duration,
    /// Another provider had failed this call before.
    pub is_retry: bool,
    /// A failure that is certain only now, and that a success of its channel has followed meanwhile: part of no run.
    pub is_superseded: bool,
}

pub const CATEGORIES: usize = Category::ALL.len();

/// One (entry, transport, method) in one epoch.
#[derive(Clone, Debug)]
pub struct Row {
    pub entry: EntryId,
    pub transport: Transport,
    pub method: MethodId,
    buckets: [u16; BUCKETS],
    /// The touched stretch of `buckets`, `lo > hi` when there is none.
    lo: u16,
    hi: u16,
    pub successes: u32,
    pub sum_us: u64,
    pub max_us: u32,
    pub penalised: u32,
    /// Penalised failures behind the last success.
    pub trailing: u32,
    pub retries: u32,
    pub by_category: [u32; CATEGORIES],
    is_dirty: bool,
}

/// One channel in one epoch, over all methods and profiles.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChannelCounts {
    pub successes: u32,
    pub penalised: u32,
    pub suspects: u32,
    /// The category of the last suspect.
    pub last_suspect: Option<Category>,
    /// Penalised failures behind the last success.
    pub trailing: u32,
    /// Of the last penalised failure.
    pub last_failure: Option<Category>,
    /// Our credentials were refused, and no success has come since.
    pub is_refused: bool,
    is_dirty: bool,
}

#[derive(Clone, Debug)]
pub struct Tally {
    /// By entry and transport; a place in `rows` plus one for each method.
    index: Vec<Option<Box<[u16; method::COUNT]>>>,
    rows: Vec<Row>,
    dirty_rows: Vec<u16>,
    channels: Vec<ChannelCounts>,
    dirty_channels: Vec<ChannelId>,
    /// (row, bucket) for every 65,536 samples that a bucket could not hold.
    spills: Vec<(u16, u16)>,
    pub events: Vec<Event>,
    /// Events beyond `limits::EPOCH_EVENTS`.
    pub events_dropped: u32,
    /// Calls to tell people of, good ones and troubled ones, and how many of the epoch found no room.
    decisions: Vec<Decision>,
    calm: usize,
    pub untold: u64,
    /// Attempts recorded, and those that found no room for a row of their own.
    pub samples: u64,
    pub homeless: u64,
}

impl Tally {
    pub fn new(entries: usize, instances: usize) -> Tally {
        Tally {
            index: vec![None; entries * 2],
            rows: Vec::new(),
            dirty_rows: Vec::new(),
            channels: vec![ChannelCounts::default(); instances * 2],
            dirty_channels: Vec::new(),
            spills: Vec::new(),
            events: Vec::new(),
            events_dropped: 0,
            decisions: Vec::new(),
            calm: 0,
            untold: 0,
            samples: 0,
            homeless: 0,
        }
    }

    /// Nothing was recorded since it was cleared.
    pub fn is_empty(&self) -> bool {
        self.samples == 0 && self.dirty_channels.is_empty() && self.events.is_empty() && self.events_dropped == 0
    }

    #[inline]
    pub fn record(&mut self, attempted: &Attempted) {
        self.samples += 1;
        self.count_channel(attempted);
        let Some(place) = self.place(attempted) else {
            self.homeless += 1;
            return;
        };
        let Some(row) = self.rows.get_mut(usize::from(place)) else { return };
        if !std::mem::replace(&mut row.is_dirty, true) {
            self.dirty_rows.push(place);
        }
        row.retries += u32::from(attempted.is_retry);
        match attempted.effect {
            Effect::Success => {
                if let Some(bucket) = row.succeed(attempted.latency) {
                    self.spills.push((place, bucket));
                }
            }
            Effect::Penalised => {
                row.penalised += 1;
                row.trailing += u32::from(!attempted.is_superseded);
            }
            Effect::Suspect | Effect::Neutral => {}
        }
        if let Some(category) = attempted.category
            && let Some(count) = row.by_category.get_mut(category as usize)
        {
            *count += 1;
        }
    }

    fn count_channel(&mut self, attempted: &Attempted) {
        let Some(counts) = self.touch(attempted.channel) else { return };
        match attempted.effect {
            Effect::Success => {
                counts.successes += 1;
                (counts.trailing, counts.is_refused) = (0, false);
            }
            Effect::Penalised => {
                counts.penalised += 1;
                counts.trailing += u32::from(!attempted.is_superseded);
                counts.last_failure = attempted.category;
            }
            Effect::Suspect => {
                counts.suspects += 1;
                counts.last_suspect = attempted.category;
            }
            Effect::Neutral => {}
        }
    }

    /// A failure of the channel itself, which was no attempt: its connection was not made.
    pub fn blame(&mut self, channel: ChannelId, category: Category) {
        if let Some(counts) = self.touch(channel) {
            counts.penalised += 1;
            counts.trailing += 1;
            counts.last_failure = Some(category);
        }
    }

    /// What may be the channel's failure or a call's doing, and was no attempt: its connection ended badly.
    pub fn suspect(&mut self, channel: ChannelId, category: Category) {
        if let Some(counts) = self.touch(channel) {
            counts.suspects += 1;
            counts.last_suspect = Some(category);
        }
    }

    /// Our credentials were refused: 401, 402, 403 or an error of that kind.
    pub fn refuse(&mut self, channel: ChannelId) {
        if let Some(counts) = self.touch(channel) {
            counts.is_refused = true;
        }
    }

    pub fn tell(&mut self, event: Event) {
        // What carries a permit must arrive: its number is bounded by the permits.
        if self.events.len() < limits::EPOCH_EVENTS || event.is_about_a_permit() {
            self.events.push(event);
        } else {
            self.events_dropped += 1;
        }
    }

    /// A call ended: it is told of when this epoch has room for one more of its kind. `describe` is asked only then.
    #[inline]
    pub fn decide(&mut self, is_trouble: bool, room: usize, describe: impl FnOnce() -> Decision) {
        let taken = if is_trouble { self.decisions.len() - self.calm } else { self.calm };
        if taken >= room {
            self.untold += 1;
            return;
        }
        self.calm += usize::from(!is_trouble);
        self.decisions.push(describe());
    }

    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    fn touch(&mut self, channel: ChannelId) -> Option<&mut ChannelCounts> {
        let counts = self.channels.get_mut(channel.index())?;
        if !std::mem::replace(&mut counts.is_dirty, true) {
            self.dirty_channels.push(channel);
        }
        Some(counts)
    }

    /// The row's place; a new row on first use.
    #[inline]
    fn place(&mut self, attempted: &Attempted) -> Option<u16> {
        let block = self.index.get_mut(attempted.entry.index() * 2 + attempted.channel.transport() as usize)?;
        let block = block.get_or_insert_with(|| Box::new([0; method::COUNT]));
        let place = block.get_mut(attempted.method.index())?;
        if *place == 0 {
            if self.rows.len() >= limits::TALLY_ROWS {
                return None;
            }
            self.rows.push(Row::new(attempted));
            *place = self.rows.len() as u16;
        }
        Some(*place - 1)
    }

    /// The rows with samples, in order of first use.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.dirty_rows.iter().filter_map(|place| self.rows.get(usize::from(*place)))
    }

    pub fn channels(&self) -> impl Iterator<Item = (ChannelId, &ChannelCounts)> {
        self.dirty_channels.iter().filter_map(|id| Some((*id, self.channels.get(id.index())?)))
    }

    /// Samples of a row's bucket that its 16 bits could not hold, as (row, bucket, count).
    pub fn spilled(&self) -> impl Iterator<Item = (&Row, usize, u32)> {
        let row = |place: u16| self.rows.get(usize::from(place));
        self.spills.iter().filter_map(move |(place, bucket)| Some((row(*place)?, usize::from(*bucket), 1 << 16)))
    }

    /// Empties it for the next epoch; rows and tables stay.
    pub fn clear(&mut self) {
        for place in self.dirty_rows.drain(..) {
            if let Some(row) = self.rows.get_mut(usize::from(place)) {
                row.clear();
            }
        }
        for channel in self.dirty_channels.drain(..) {
            if let Some(counts) = self.channels.get_mut(channel.index()) {
                *counts = ChannelCounts::default();
            }
        }
        self.spills.clear();
        self.events.clear();
        self.decisions.clear();
        (self.calm, self.untold) = (0, 0);
        (self.events_dropped, self.samples, self.homeless) = (0, 0, 0);
    }

    /// Bytes on the heap, for the bound of a shard's memory.
    pub fn heap_bytes(&self) -> usize {
        let blocks = self.index.iter().flatten().count() * size_of::<[u16; method::COUNT]>();
        let lists = self.dirty_rows.capacity() * 2 + self.dirty_channels.capacity() * 2 + self.spills.capacity() * 4;
        blocks
            + lists
            + self.index.capacity() * size_of::<Option<Box<()>>>()
            + self.rows.capacity() * size_of::<Row>()
            + self.channels.capacity() * size_of::<ChannelCounts>()
            + self.events.capacity() * size_of::<Event>()
            + self.decisions.capacity() * size_of::<Decision>()
    }
}

impl Row {
    fn new(attempted: &Attempted) -> Row {
        Row {
            entry: attempted.entry,
            transport: attempted.channel.transport(),
            method: attempted.method,
            buckets: [0; BUCKETS],
            lo: u16::MAX,
            hi: 0,
            successes: 0,
            sum_us: 0,
            max_us: 0,
            penalised: 0,
            trailing: 0,
            retries: 0,
            by_category: [0; CATEGORIES],
            is_dirty: false,
        }
    }

    /// The bucket that has just overflowed, if one did.
    #[inline]
    fn succeed(&mut self, latency: Duration) -> Option<u16> {
        let us = latency.as_micros() as u64;
        let bucket = bucket_of(us);
        self.successes += 1;
        self.trailing = 0;
        self.sum_us += us;
        self.max_us = self.max_us.max(u32::try_from(us).unwrap_or(u32::MAX));
        (self.lo, self.hi) = (self.lo.min(bucket as u16), self.hi.max(bucket as u16));
        let count = self.buckets.get_mut(bucket)?;
        *count = count.wrapping_add(1);
        (*count == 0).then_some(bucket as u16)
    }

    /// The first touched bucket, and the counts from there to the last touched one.
    pub fn buckets(&self) -> (usize, &[u16]) {
        let lo = usize::from(self.lo);
        (lo, self.buckets.get(lo..=usize::from(self.hi)).unwrap_or(&[]))
    }

    /// Attempts that ended without a result.
    pub fn others(&self) -> u32 {
        self.by_category.iter().sum()
    }

    /// Them, by what they meant.
    pub fn failures(&self) -> impl Iterator<Item = (Category, u32)> {
        Category::ALL.into_iter().zip(self.by_category).filter(|(_, n)| *n > 0)
    }

    fn clear(&mut self) {
        if let Some(touched) = self.buckets.get_mut(usize::from(self.lo)..=usize::from(self.hi)) {
            touched.fill(0);
        }
        (self.lo, self.hi) = (u16::MAX, 0);
        (self.successes, self.sum_us, self.max_us) = (0, 0, 0);
        (self.penalised, self.trailing, self.retries) = (0, 0, 0);
        self.by_category = [0; CATEGORIES];
        self.is_dirty = false;
    }
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
