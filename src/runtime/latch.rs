//! Threads that start, and one that waits until all of them have said how it went.

use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Latch<T>(Arc<(Mutex<Vec<T>>, Condvar)>);

impl<T> Clone for Latch<T> {
    fn clone(&self) -> Self {
        Latch(self.0.clone())
    }
}

impl<T> Default for Latch<T> {
    fn default() -> Self {
        Latch(Arc::new((Mutex::new(Vec::new()), Condvar::new())))
    }
}

impl<T> Latch<T> {
    /// One thread's word.
    pub fn arrive(&self, word: T) {
        self.0.0.lock().push(word);
        self.0.1.notify_all();
    }

    /// The words of `count` threads, in the order they came; fewer when `limit` passes before.
    pub fn wait(&self, count: usize, limit: Duration) -> Vec<T> {
        let end = Instant::now() + limit;
        let mut words = self.0.0.lock();
        while words.len() < count {
            if self.0.1.wait_until(&mut words, end).timed_out() {
                break;
            }
        }
        std::mem::take(&mut words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_all_or_for_the_limit() {
        let latch = Latch::default();
        for word in 0..3 {
            let latch = latch.clone();
            std::thread::spawn(move || latch.arrive(word));
        }
        let mut words = latch.wait(3, Duration::from_secs(10));
        words.sort_unstable();
        assert_eq!(words, [0, 1, 2]);
        assert!(latch.wait(1, Duration::from_millis(1)).is_empty());
    }
}
