//! The newest of a value, from one writer to every shard.
//!
//! A read costs one Acquire load of a version; only when that moved does the reader take the lock and clone the `Arc`.
//! Value and version change together under the lock, so a reader never pairs one with the other's. Rejected: a lock per
//! read (shared cache line written by all), `arc-swap` (cheaper swaps that nobody here needs), channels (a shard that
//! sleeps would collect a backlog). A reader keeps its old value alive until its next `get`.

use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

pub struct Published<T> {
    version: AtomicU64,
    current: Mutex<Arc<T>>,
}

impl<T> Published<T> {
    pub fn new(value: T) -> Arc<Published<T>> {
        Arc::new(Published { version: AtomicU64::new(1), current: Mutex::new(Arc::new(value)) })
    }

    /// Replaces the value; returns its version (the first value had 1).
    pub fn publish(&self, value: T) -> u64 {
        let value = Arc::new(value);
        let mut current = self.current.lock();
        let old = std::mem::replace(&mut *current, value);
        let version = self.version.fetch_add(1, Ordering::Release) + 1;
        drop(current);
        drop(old); // perhaps the last one: freed outside the lock
        version
    }

    /// The newest value, through the lock: for those who read rarely.
    pub fn latest(&self) -> Arc<T> {
        self.current.lock().clone()
    }

    pub fn reader(self: &Arc<Self>) -> Reader<T> {
        let (value, seen) = self.latest_versioned();
        Reader { shared: self.clone(), seen, value }
    }

    fn latest_versioned(&self) -> (Arc<T>, u64) {
        let current = self.current.lock();
        (current.clone(), self.version.load(Ordering::Relaxed))
    }
}

/// One reader's view; cheap to poll, one per shard or per thing that reads.
pub struct Reader<T> {
    shared: Arc<Published<T>>,
    seen: u64,
    value: Arc<T>,
}

impl<T> Reader<T> {
    /// The newest value.
    pub fn get(&mut self) -> &Arc<T> {
        self.refresh();
        &self.value
    }

    /// Takes the newest value over; says whether it moved since the last look.
    pub fn refresh(&mut self) -> bool {
        if self.shared.version.load(Ordering::Acquire) == self.seen {
            return false;
        }
        (self.value, self.seen) = self.shared.latest_versioned();
        true
    }

    /// The value of the last `get` or `refresh`.
    pub fn held(&self) -> &Arc<T> {
        &self.value
    }

    pub fn version(&self) -> u64 {
        self.seen
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Reader { shared: self.shared.clone(), seen: self.seen, value: self.value.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_each_version_once_and_never_a_torn_one() {
        let published = Published::new([0u64; 16]);
        let writer = published.clone();
        const LAST: u64 = 20_000;
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let mut reader = published.reader();
                scope.spawn(move || {
                    let mut last = 0;
                    while last < LAST {
                        let value = **reader.get();
                        assert!(value.iter().all(|v| *v == value[0]), "torn: {value:?}");
                        assert_eq!(reader.version(), value[0] + 1, "the version belongs to the value");
                        assert!(value[0] >= last, "went back");
                        last = value[0];
                        std::thread::yield_now();
                    }
                });
            }
            scope.spawn(move || (1..=LAST).for_each(|n| assert_eq!(writer.publish([n; 16]), n + 1)));
        });
        assert_eq!(published.latest()[0], LAST);
    }

    #[test]
    fn refresh_tells_once() {
        let published = Published::new("a");
        let mut reader = published.reader();
        assert!(!reader.refresh());
        published.publish("b");
        assert_eq!(**reader.held(), "a");
        assert!(reader.refresh());
        assert!(!reader.refresh());
        assert_eq!(**reader.held(), "b");
    }
}
