//! Finds the end of a value without proving it: strings with escapes, nesting by counting brackets, scalars by grammar.
//!
//! Not a validator: `[1,,}` is skipped as if it were a value. That is enough for an answer's result, which is handed on
//! as it is; a whole body's framing, depth and top-level keys are what protects us and the client's next message.
//! One machine, [`Skipper`], serves held bodies and bodies that pass by, so the two cannot disagree.

use super::JsonFault;
use super::block::{BLOCK, Brackets, Carry};
use super::find::quote_or_backslash;
use super::scalar::Scalar;
use crate::base::limits::JSON_DEPTH;

/// A value being skipped. Feed it from the value's first byte on (no space before it), in pieces of any size.
#[derive(Clone, Debug)]
pub struct Skipper {
    state: State,
    carry: Carry,
    depth: usize,
    depth_limit: usize,
    /// Bytes taken by earlier feeds: positions in faults are relative to the value.
    taken: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    String { escaped: bool },
    Container,
    Scalar(Scalar),
    Done,
}

impl Skipper {
    /// `depth_limit`: how deep the value itself may nest.
    pub fn new(depth_limit: usize) -> Skipper {
        Skipper { state: State::Start, carry: Carry::default(), depth: 0, depth_limit, taken: 0 }
    }

    /// Whether the value may end where the bytes so far end.
    pub fn complete(&self) -> bool {
        match self.state {
            State::Done => true,
            State::Scalar(scalar) => scalar.complete(),
            _ => false,
        }
    }

    /// `Some(n)`: the value ended after `n` of these bytes. `None`: all of them belong to it. A scalar's end shows only
    /// in the byte after it, so a later feed may say `Some(0)`.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, JsonFault> {
        let end = self.walk(bytes)?;
        self.taken += end.unwrap_or(bytes.len());
        if end.is_some() {
            self.state = State::Done;
        }
        Ok(end)
    }

    fn walk(&mut self, bytes: &[u8]) -> Result<Option<usize>, JsonFault> {
        match self.state {
            State::Done => Ok(Some(0)),
            State::Start => self.start(bytes),
            State::String { escaped } => Ok(self.string(bytes, escaped, 0)),
            State::Container => self.container(bytes),
            State::Scalar(scalar) => self.scalar(bytes, scalar, 0),
        }
    }

    fn start(&mut self, bytes: &[u8]) -> Result<Option<usize>, JsonFault> {
        match bytes.first() {
            None => Ok(None),
            Some(b'"') => Ok(self.string(bytes, false, 1)),
            Some(b'[' | b'{') => {
                self.state = State::Container;
                self.container(bytes)
            }
            Some(byte) => {
                let scalar = Scalar::first(*byte).ok_or(JsonFault::Syntax(self.taken))?;
                self.scalar(bytes, scalar, 1)
            }
        }
    }

    fn string(&mut self, bytes: &[u8], escaped: bool, from: usize) -> Option<usize> {
        let mut at = from + usize::from(escaped);
        while at <= bytes.len() {
            self.state = State::String { escaped: false };
            at = quote_or_backslash(bytes, at);
            match bytes.get(at) {
                Some(b'"') => return Some(at + 1),
                Some(_) => at += 2,
                None => return None,
            }
        }
        // The last byte was a backslash: its other half is still to come.
        self.state = State::String { escaped: true };
        None
    }

    fn scalar(&mut self, bytes: &[u8], mut scalar: Scalar, from: usize) -> Result<Option<usize>, JsonFault> {
        for (at, byte) in bytes.iter().enumerate().skip(from) {
            match scalar.next(*byte) {
                Some(next) => scalar = next,
                None if scalar.complete() => return Ok(Some(at)),
                None => return Err(JsonFault::Syntax(self.taken + at)),
            }
        }
        self.state = State::Scalar(scalar);
        Ok(None)
    }

    fn container(&mut self, bytes: &[u8]) -> Result<Option<usize>, JsonFault> {
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        for (i, block) in blocks.iter().enumerate() {
            let brackets = self.carry.step(block, BLOCK);
            if let Some(end) = self.count(brackets, i * BLOCK)? {
                return Ok(Some(end));
            }
        }
        if rest.is_empty() {
            return Ok(None);
        }
        let mut padded = [b' '; BLOCK];
        for (to, from) in padded.iter_mut().zip(rest) {
            *to = *from;
        }
        let brackets = self.carry.step(&padded, rest.len());
        self.count(brackets, blocks.len() * BLOCK)
    }

    /// Follows the depth through one block. Most blocks can neither end the value nor reach the limit: then their sums
    /// are enough.
    #[inline(always)]
    fn count(&mut self, brackets: Brackets, base: usize) -> Result<Option<usize>, JsonFault> {
        if brackets.open | brackets.close | brackets.stray == 0 {
            return Ok(None);
        }
        if brackets.stray != 0 {
            return self.follow(brackets, base);
        }
        let (opens, closes) = (brackets.open.count_ones() as usize, brackets.close.count_ones() as usize);
        if self.depth > closes && self.depth + opens <= self.depth_limit {
            self.depth = self.depth + opens - closes;
            return Ok(None);
        }
        self.follow(brackets, base)
    }

    fn follow(&mut self, brackets: Brackets, base: usize) -> Result<Option<usize>, JsonFault> {
        let mut left = brackets.open | brackets.close | brackets.stray;
        while left != 0 {
            let at = left.trailing_zeros();
            left &= left - 1;
            if brackets.open >> at & 1 == 1 {
                self.depth += 1;
                if self.depth > self.depth_limit {
                    return Err(JsonFault::TooDeep);
                }
            } else if brackets.close >> at & 1 == 1 {
                // The first byte opened, and 0 returns at once, so this never goes below it.
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    return Ok(Some(base + at as usize + 1));
                }
            } else {
                return Err(JsonFault::Syntax(self.taken + base + at as usize));
            }
        }
        Ok(None)
    }
}

/// The end of the value that starts at `at` (no space before it).
pub fn skip_value(buf: &[u8], at: usize) -> Result<usize, JsonFault> {
    skip_value_within(buf, at, JSON_DEPTH)
}

/// [`skip_value`] for a value that may nest `depth_limit` deep.
#[inline]
pub fn skip_value_within(buf: &[u8], at: usize, depth_limit: usize) -> Result<usize, JsonFault> {
    if buf.get(at) == Some(&b'"') {
        return skip_string(buf, at);
    }
    let mut skipper = Skipper::new(depth_limit);
    match skipper.feed(buf.get(at..).unwrap_or(&[])) {
        Ok(Some(end)) => Ok(at + end),
        Ok(None) if skipper.complete() => Ok(buf.len()),
        Ok(None) => Err(JsonFault::Truncated),
        Err(JsonFault::Syntax(offset)) => Err(JsonFault::Syntax(at + offset)),
        Err(fault) => Err(fault),
    }
}

/// The end (after its closing quote) of the string whose opening quote is at `at`.
#[inline]
pub fn skip_string(buf: &[u8], at: usize) -> Result<usize, JsonFault> {
    let mut at = at + 1;
    loop {
        at = quote_or_backslash(buf, at);
        match buf.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(_) => at += 2,
            None => return Err(JsonFault::Truncated),
        }
    }
}
