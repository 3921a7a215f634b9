//! Buffers that calls borrow and give back, so that a call in steady state allocates nothing.
//!
//! Three sizes: a client's request, a provider's answer, and long answers. A buffer is kept by its capacity when it comes
//! back, so one that grew joins the larger shelf. Each shelf is capped, and what nobody took for a while goes back to the
//! allocator: after a burst of thousands of connections memory returns to what the traffic needs.

use crate::base::limits;
use std::cell::{Cell, RefCell};

/// What a buffer is for, smallest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    Client,
    Upstream,
    /// Held answers beyond `Upstream`, and streaming.
    Long,
}

/// Kept for reuse: many small ones, few long ones (each may be as long as the hold limit).
const SHELVES: [(usize, usize); 3] = [
    (limits::CLIENT_BUFFER_BYTES, limits::POOLED_BUFFERS),
    (limits::UPSTREAM_BUFFER_BYTES, limits::POOLED_BUFFERS),
    (limits::STREAM_BUFFER_BYTES, limits::POOLED_LONG_BUFFERS),
];

#[derive(Debug, Default)]
pub struct Buffers {
    shelves: [Shelf; 3],
}

#[derive(Debug, Default)]
struct Shelf {
    kept: RefCell<Vec<Vec<u8>>>,
    /// The fewest that stood here since the last `trim`: so many nobody needed.
    least: Cell<usize>,
}

impl Shelf {
    fn trim(&self) {
        let mut kept = self.kept.borrow_mut();
        let unneeded = self.least.get().min(kept.len());
        let left = kept.len() - unneeded.div_ceil(2);
        kept.truncate(left);
        if kept.is_empty() {
            kept.shrink_to_fit();
        }
        self.least.set(left);
    }
}

impl Buffers {
    /// An empty buffer with at least the size's capacity.
    pub fn take(&self, size: Size) -> Vec<u8> {
        let (shelf, (bytes, _)) = (&self.shelves[size as usize], SHELVES[size as usize]);
        let mut kept = shelf.kept.borrow_mut();
        let buf = kept.pop();
        shelf.least.set(shelf.least.get().min(kept.len()));
        buf.unwrap_or_else(|| Vec::with_capacity(bytes))
    }

    /// Gives half of what nobody needed since the last time back to the allocator.
    pub fn trim(&self) {
        self.shelves.iter().for_each(Shelf::trim);
    }

    pub fn give(&self, mut buf: Vec<u8>) {
        let fits = |&(bytes, _): &(usize, usize)| buf.capacity() >= bytes;
        let Some(index) = SHELVES.iter().rposition(fits) else { return };
        if buf.capacity() > limits::HOLD_BYTES + limits::ANSWER_HEAD_BYTES {
            return; // one huge request must not stay for ever
        }
        let mut shelf = self.shelves[index].kept.borrow_mut();
        if shelf.len() < SHELVES[index].1 {
            buf.clear();
            shelf.push(buf);
        }
    }

    /// Buffers on the shelves now, for tests of the bound.
    pub fn kept(&self) -> usize {
        self.shelves.iter().map(|shelf| shelf.kept.borrow().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_by_capacity_and_are_capped() {
        let buffers = Buffers::default();
        buffers.give(Vec::with_capacity(limits::UPSTREAM_BUFFER_BYTES + 1));
        buffers.give(Vec::with_capacity(10));
        buffers.give(Vec::with_capacity(limits::REQUEST_BODY_BYTES));
        assert_eq!(buffers.kept(), 1);
        assert!(buffers.take(Size::Upstream).capacity() > limits::UPSTREAM_BUFFER_BYTES);
        for _ in 0..2 * limits::POOLED_BUFFERS {
            buffers.give(vec![1; limits::CLIENT_BUFFER_BYTES]);
        }
        assert_eq!(buffers.kept(), limits::POOLED_BUFFERS);
        assert!(buffers.take(Size::Client).is_empty());
        // What is taken now and then stays; the rest goes by halves.
        buffers.trim();
        for _ in 0..12 {
            let taken = buffers.take(Size::Client);
            buffers.give(taken);
            buffers.trim();
        }
        assert_eq!(buffers.kept(), 1);
    }
}
