//! The backlog of events between the one thread that writes it and the shards that serve its readers.
//!
//! A lock held for as long as a batch of references takes to copy: readers come twenty times a second each, and nobody's
//! call waits for it.

use crate::base::limits;
use crate::base::time::WallTime;
use crate::observe::backlog::{Backlog, Batch, Line, Wanted};
use crate::observe::happening::Happening;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Clone)]
pub struct Events(Arc<Shared>);

struct Shared {
    backlog: Mutex<Backlog>,
    readers: AtomicU32,
    /// Tells the numbers of this process from those of the one before it.
    started: WallTime,
}

impl Events {
    pub fn new(started: WallTime) -> Events {
        Events(Arc::new(Shared { backlog: Mutex::default(), readers: AtomicU32::new(0), started }))
    }

    /// Tells the readers of something; the same text comes back for the log.
    pub fn push(&self, happening: &Happening, wall: WallTime) -> Arc<str> {
        let json: Arc<str> = happening.json(wall).into();
        let line = Line { event: happening.event, places: happening.places.clone(), json: json.clone() };
        self.0.backlog.lock().push(line);
        json
    }

    /// A new reader, or one that goes on behind the event with this id. `None` when there are too many.
    pub fn read(&self, wanted: Wanted, last_id: Option<&str>) -> Option<Reader> {
        let count = |readers: u32| (readers < limits::EVENT_READERS).then_some(readers + 1);
        self.0.readers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).ok()?;
        let backlog = self.0.backlog.lock();
        let known = last_id.and_then(|id| id.strip_prefix(&format!("{}-", self.0.started.0))?.parse::<u64>().ok());
        let next = known.filter(|seen| *seen < backlog.end()).map_or_else(|| backlog.recent(&wanted), |seen| seen + 1);
        drop(backlog);
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Instant;
    use crate::observe::happening::Level;

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
    fn readers_are_bounded_and_counted() {
        let events = Events::new(WallTime(0));
        let all: Vec<Reader> = std::iter::from_fn(|| events.read(Wanted::default(), None)).collect();
        assert_eq!((all.len() as u32, events.readers()), (limits::EVENT_READERS, limits::EVENT_READERS));
        drop(all);
        assert_eq!(events.readers(), 0);
    }
}
