//! JSON by position: finds where values begin and end, and builds no tree.
//!
//! A proxy needs four keys of an envelope and must hand everything else on byte for byte, so a tree would be work thrown
//! away and a second serialisation would change bytes (big integers, escapes, key order). Two walkers:
//! [`check_value`] proves a value to be RFC 8259 and UTF-8 (requests, and answers that are held), [`skip_value`] only finds its
//! end, 64 bytes at a time, resumable at any byte (results that pass by). Both are iterative and bounded in depth, so
//! nesting cannot grow the stack. Rejected: serde_json's `RawValue` (five times slower on logs, and
//! `IgnoredAny` allocates for nesting), simd-json (no spans).

#[cfg(test)]
pub(crate) mod arbitrary;
mod block;
mod check;
mod find;
mod scalar;
mod skip;
#[cfg(test)]
mod tests;
mod text;

pub use check::{check_string, check_value, valid};
pub use skip::{Skipper, skip_string, skip_value, skip_value_within};
pub(crate) use text::unquoted;
pub use text::{string_equals, string_folds_to, strings_equal, write_string};

/// Why a value has no end, or is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JsonFault {
    /// The buffer ends inside the value: more is needed, or it was cut off.
    Truncated,
    /// Not JSON from this position on.
    Syntax(usize),
    /// Nested deeper than `limits::JSON_DEPTH`.
    TooDeep,
}

/// The first position at or after `at` that is not JSON white space.
#[inline]
pub fn skip_space(buf: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = buf.get(at) {
        at += 1;
    }
    at
}
