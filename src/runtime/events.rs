//! The backlog of events between the one thread that writes it and the shards that serve its readers.
//!
//! A lock held for as long as a batch of references takes to copy: readers come twenty times a second each, and nobody's
//! call waits for it.

use crate::base::limits;
use crate::base::time::WallTime;
use crate::cluster::news::{NEWEST, NewsStock};
use crate::observe::backlog::{Backlog, Batch, Line, Wanted};
use crate::observe::happening::{Happening, Level};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Clone)]
pub struct Events(Arc<Shared>);

struct Shared {
    backlog: Mutex<Backlog>,
    /// What is worth telling other nodes: neither calls nor heights, which would wash out the rest.
    notable: Mutex<Backlog>,
    readers: AtomicU32,
    /// Those of them who want what happens on other nodes too.
    watchers: AtomicU32,
    /// Tells the numbers of this process from those of the one before it.
    started: WallTime,
}

impl Events {
    pub fn new(started: WallTime) -> Events {
        let notable = Mutex::new(Backlog::new(limits::CLUSTER_NEWS_EVENTS, limits::CLUSTER_NEWS_BYTES));
        let (readers, watchers) = Default::default();
        Events(Arc::new(Shared { backlog: Mutex::default(), notable, readers, watchers, started }))
    }

    /// Tells the readers of something; the same text comes back for the log.
    pub fn push(&self, happening: &Happening, wall: WallTime) -> Arc<str> {
        let json: Arc<str> = happening.json(wall).into();
        let (event, places) = (happening.event.into(), happening.places.clone());
        if happening.level < Level::Debug && !happening.event.starts_with("rpc.") {
            let json =
                if json.len() > limits::CLUSTER_NEWS_EVENT_BYTES { happening.brief().json(wall).into() } else { json.clone() };
            self.0.notable.lock().push(Line { event: happening.event.into(), is_own: true, places: Vec::new(), json });
        }
        self.0.backlog.lock().push(Line { event, is_own: true, places, json: json.clone() });
        json
    }

    /// Tells those who want it of what happened on another node.
    pub fn push_other(&self, line: Line) {
        self.0.backlog.lock().push(Line { is_own: false, ..line });
    }

    /// Whether somebody wants what happens on other nodes.
    pub fn has_watchers(&self) -> bool {
        self.0.watchers.load(Ordering::Relaxed) > 0
    }

    /// What of this node's events another one has not heard yet.
    pub fn notable(&self, next: u64) -> NewsStock {
        let backlog = self.0.notable.lock();
        let (oldest, end) = (backlog.oldest(), backlog.end());
        let from = if next == NEWEST { end.saturating_sub(limits::CLUSTER_NEWS_RECENT) } else { next };
        let batch = backlog.since(from.max(oldest), &Wanted::default());
        let first = batch.next - batch.lines.len() as u64;
        NewsStock { oldest, end, first, events: batch.lines.into_iter().map(|line| line.json).collect() }
    }

    /// A new reader, or one that goes on behind the event with this id. `None` when there are too many.
    pub fn read(&self, wanted: Wanted, last_id: Option<&str>) -> Option<Reader> {
        let count = |readers: u32| (readers < limits::EVENT_READERS).then_some(readers + 1);
        self.0.readers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).ok()?;
        let backlog = self.0.backlog.lock();
        let known = last_id.and_then(|id| id.strip_prefix(&format!("{}-", self.0.started.0))?.parse::<u64>().ok());
        let next = known.filter(|seen| *seen < backlog.end()).map_or_else(|| backlog.recent(&wanted), |seen| seen + 1);
        drop(backlog);
        self.0.watchers.fetch_add(u32::from(wanted.others), Ordering::Relaxed);
        Some(Reader { events: self.clone(), wanted, next })
    }

    /// Readers now.
    pub fn readers(&self) -> u32 {
        self.0.readers.load(Ordering::Relaxed)
    }
}

/// Somebody who listens; counted for as long as it lives.
pub struct Reader {
    events: Events,
    wanted: Wanted,
    next: u64,
}

impl Reader {
    /// What has happened since it last asked, at most a batch.
    pub fn take(&mut self) -> Batch {
        let batch = self.events.0.backlog.lock().since(self.next, &self.wanted);
        self.next = batch.next;
        batch
    }

    /// The id of the last event it has passed; `None` before the first.
    pub fn last_id(&self) -> Option<String> {
        Some(format!("{}-{}", self.events.0.started.0, self.next.checked_sub(1)?))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.events.0.readers.fetch_sub(1, Ordering::Relaxed);
        self.events.0.watchers.fetch_sub(u32::from(self.wanted.others), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Instant;

    fn push(events: &Events, text: &str) {
        events.push(&Happening::new("e", Level::Info, Instant::ZERO).with("n", text), WallTime(0));
    }

    fn count(reader: &mut Reader) -> (usize, u64) {
        let batch = reader.take();
        (batch.lines.len(), batch.lost)
    }

    #[test]
    fn a_reader_resumes_by_id() {
        let events = Events::new(WallTime(17));
        push(&events, "a");
        let mut first = events.read(Wanted::default(), None).unwrap();
        assert_eq!((first.last_id(), count(&mut first)), (None, (1, 0)));
        assert_eq!(first.last_id().as_deref(), Some("17-0"));
        ["b", "c"].iter().for_each(|text| push(&events, text));
        let check = |id: Option<&str>, want| assert_eq!(count(&mut events.read(Wanted::default(), id).unwrap()), want, "{id:?}");
        check(Some("17-0"), (2, 0));
        check(Some("17-2"), (0, 0));
        // Of another process, or of nobody: the last few.
        for id in [None, Some("16-1"), Some("17-99"), Some("x"), Some("")] {
            check(id, (3, 0));
        }
        for _ in 0..=limits::BACKLOG_EVENTS {
            push(&events, "d");
        }
        let mut late = events.read(Wanted::default(), Some("17-0")).unwrap();
        let batch = late.take();
        assert_eq!((batch.lines.len(), batch.lost), (limits::EVENT_BATCH, 3));
    }

    #[test]
    fn others_are_told_what_is_worth_it_and_only_watchers_hear_of_others() {
        let events = Events::new(WallTime(0));
        for (name, level) in
            [("rpc.request.completed", Level::Warn), ("chain.head", Level::Debug), ("provider.circuit", Level::Info)]
        {
            events.push(&Happening::new(name, level, Instant::ZERO), WallTime(0));
        }
        let stock = events.notable(NEWEST);
        assert_eq!((stock.oldest, stock.first, stock.end, stock.events.len()), (0, 0, 1, 1));
        assert!(stock.events[0].contains("provider.circuit"));
        assert_eq!(events.notable(7).first, 1, "from beyond the end there is nothing");
        let own = events.read(Wanted::default(), None).unwrap();
        assert!(!events.has_watchers());
        let mut watcher = events.read(Wanted { others: true, ..Wanted::default() }, None).unwrap();
        assert!(events.has_watchers());
        events.push_other(Line { event: "node.ready".into(), is_own: true, places: Vec::new(), json: "{}".into() });
        assert_eq!(watcher.take().lines.iter().filter(|line| !line.is_own).count(), 1);
        let mut own = own;
        assert!(own.take().lines.iter().all(|line| line.is_own));
        assert_eq!(events.notable(NEWEST).end, 1, "what others told is not told on");
        drop(watcher);
        assert!(!events.has_watchers());
        // One that is too long for others is told to them without what makes it long.
        let long = "x".repeat(limits::CLUSTER_NEWS_EVENT_BYTES);
        events.push(&Happening::new("e", Level::Warn, Instant::ZERO).with("providers", long).with("message", "m"), WallTime(0));
        let told = events.notable(1).events[0].to_string();
        assert!(told.len() < 200 && told.contains("\"m\""), "{told}");
    }

    #[test]
    fn readers_are_bounded_and_counted() {
        let events = Events::new(WallTime(0));
        let all: Vec<Reader> = std::iter::from_fn(|| events.read(Wanted::default(), None)).collect();
        assert_eq!((all.len() as u32, events.readers()), (limits::EVENT_READERS, limits::EVENT_READERS));
        drop(all);
        assert_eq!(events.readers(), 0);
    }
}
