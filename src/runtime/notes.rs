//! A few words from one thread to another that looks for them when it has time; what finds no room is lost.

use crossbeam_queue::ArrayQueue;

pub struct Notes<T>(ArrayQueue<T>);

impl<T> Notes<T> {
    pub fn new(capacity: usize) -> Notes<T> {
        Notes(ArrayQueue::new(capacity.max(1)))
    }

    /// Whether there was room.
    pub fn leave(&self, note: T) -> bool {
        self.0.push(note).is_ok()
    }

    pub fn take(&self) -> Option<T> {
        self.0.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_its_bound() {
        let notes = Notes::new(2);
        assert_eq!([1, 2, 3].map(|n| notes.leave(n)), [true, true, false]);
        assert_eq!([notes.take(), notes.take(), notes.take()], [Some(1), Some(2), None]);
    }
}
