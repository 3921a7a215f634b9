//! Proves a value to be RFC 8259, in one pass without allocation: the open containers are a stack of bits.
//!
//! Requests are proven before anything is forwarded, because what our scanner and a node's parser read differently is a
//! way around every rule that stands on the method's name. Lone surrogate escapes and duplicate keys inside `params` are
//! let through: the grammar allows them, and they change nothing that we decide by.

use super::find::not_plain;
use super::scalar::scalar_end;
use super::{JsonFault, skip_space};
use crate::base::limits::JSON_DEPTH;

// The stack of open containers is one u128.
const _: () = assert!(JSON_DEPTH <= 128);

/// The whole buffer is one JSON text (RFC 8259, so also UTF-8), nested at most `JSON_DEPTH` deep.
pub fn valid(buf: &[u8]) -> bool {
    check_value(buf, skip_space(buf, 0), JSON_DEPTH).is_ok_and(|end| skip_space(buf, end) == buf.len())
}

/// Open containers, innermost in the lowest bit: 1 an object, 0 an array.
struct Open {
    kinds: u128,
    depth: usize,
    limit: usize,
}

impl Open {
    fn push(&mut self, object: bool) -> Result<(), JsonFault> {
        self.depth += 1;
        if self.depth > self.limit {
            return Err(JsonFault::TooDeep);
        }
        self.kinds = self.kinds << 1 | u128::from(object);
        Ok(())
    }

    fn pop(&mut self) {
        self.kinds >>= 1;
        self.depth -= 1;
    }

    fn in_object(&self) -> bool {
        self.kinds & 1 == 1
    }
}

/// The end of the value that starts at `at` (no space before it), after proving it.
pub fn check_value(buf: &[u8], mut at: usize, depth_limit: usize) -> Result<usize, JsonFault> {
    let mut open = Open { kinds: 0, depth: 0, limit: depth_limit.min(JSON_DEPTH) };
    loop {
        let byte = *buf.get(at).ok_or(JsonFault::Truncated)?;
        match byte {
            b'"' => at = check_string(buf, at)?,
            b'{' | b'[' => {
                open.push(byte == b'{')?;
                at = skip_space(buf, at + 1);
                // `]` and `}` lie two above their opening brackets.
                if buf.get(at) != Some(&(byte + 2)) {
                    if byte == b'{' {
                        at = check_key(buf, at)?;
                    }
                    continue;
                }
                open.pop();
                at += 1;
            }
            _ => at = scalar_end(buf, at).map_err(|spoilt| fault_at(buf, spoilt))?,
        }
        at = match after_value(buf, at, &mut open)? {
            Next::Value(at) => at,
            Next::End(at) => return Ok(at),
        };
    }
}

enum Next {
    Value(usize),
    End(usize),
}

/// From the end of a value to the start of the next, closing containers on the way.
#[inline]
fn after_value(buf: &[u8], mut at: usize, open: &mut Open) -> Result<Next, JsonFault> {
    loop {
        if open.depth == 0 {
            return Ok(Next::End(at));
        }
        at = skip_space(buf, at);
        match (buf.get(at), open.in_object()) {
            (Some(b','), true) => return check_key(buf, skip_space(buf, at + 1)).map(Next::Value),
            (Some(b','), false) => return Ok(Next::Value(skip_space(buf, at + 1))),
            (Some(b'}'), true) | (Some(b']'), false) => {
                open.pop();
                at += 1;
            }
            _ => return Err(fault_at(buf, at)),
        }
    }
}

/// A key, its colon and the space around it: the start of the value.
#[inline]
fn check_key(buf: &[u8], at: usize) -> Result<usize, JsonFault> {
    if buf.get(at) != Some(&b'"') {
        return Err(fault_at(buf, at));
    }
    let at = skip_space(buf, check_string(buf, at)?);
    if buf.get(at) != Some(&b':') {
        return Err(fault_at(buf, at));
    }
    Ok(skip_space(buf, at + 1))
}

fn fault_at(buf: &[u8], at: usize) -> JsonFault {
    if at >= buf.len() { JsonFault::Truncated } else { JsonFault::Syntax(at) }
}

/// The end (after its closing quote) of the string whose opening quote is at `at`, after proving its escapes, its UTF-8 and
/// that no control character stands in it raw.
#[inline]
pub fn check_string(buf: &[u8], at: usize) -> Result<usize, JsonFault> {
    let mut at = at + 1;
    loop {
        at = not_plain(buf, at);
        match buf.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = check_escape(buf, at)?,
            Some(0x80..) => at = check_characters(buf, at)?,
            _ => return Err(fault_at(buf, at)),
        }
    }
}

/// The end of a run of bytes outside ASCII, which must be whole characters.
fn check_characters(buf: &[u8], at: usize) -> Result<usize, JsonFault> {
    let rest = buf.get(at..).unwrap_or(&[]);
    let run = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
    match std::str::from_utf8(rest.get(..run).unwrap_or(&[])) {
        Ok(_) => Ok(at + run),
        Err(fault) if fault.error_len().is_none() && at + run == buf.len() => Err(JsonFault::Truncated),
        Err(fault) => Err(JsonFault::Syntax(at + fault.valid_up_to())),
    }
}

/// The position after the escape whose backslash is at `at`.
fn check_escape(buf: &[u8], at: usize) -> Result<usize, JsonFault> {
    match buf.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let digits = (at + 2..at + 6).find(|i| !buf.get(*i).is_some_and(u8::is_ascii_hexdigit));
            digits.map_or(Ok(at + 6), |bad| Err(fault_at(buf, bad)))
        }
        _ => Err(fault_at(buf, at + 1)),
    }
}
