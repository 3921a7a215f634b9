//! A stretch of a buffer, by position. Parsers return spans instead of slices so that their results outlive the borrow:
//! the buffer goes on to be handed to the kernel and comes back.

use std::ops::Range;

/// `start..end` in a buffer that the holder knows. `Span::NONE` (empty, at 0) means "not there" where a parser says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub const NONE: Span = Span { start: 0, end: 0 };

    /// From `usize` positions; positions above 4 GiB cannot occur because every buffer is bounded far below.
    pub fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        Span { start: start as u32, end: end as u32 }
    }

    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The bytes of it in `buf`; empty when `buf` is not the buffer it was made for.
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.range()).unwrap_or(&[])
    }

    /// The same stretch seen from a buffer that starts `by` bytes earlier.
    pub fn shifted(self, by: usize) -> Span {
        Span::new(self.start as usize + by, self.end as usize + by)
    }
}
