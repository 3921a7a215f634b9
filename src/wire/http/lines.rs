//! Where a head ends. One pass over its line ends, which also proves that every line ends with CR LF: httparse accepts a
//! bare LF, and a proxy that splits at CR LF CR LF while its parser stops at LF LF swallows requests.
//!
//! Line ends are found 64 bytes at a time; memchr, started anew for each of ten short lines, takes twice as long.
//!
//! Remembers nothing: the caller says how far it looked before, so a head that comes byte by byte costs linear time.
//! The verdict depends only on the bytes up to the deciding one, so it is the same for every split of the input.

use super::fault::HttpFault;
use wide::u8x16;

/// How a head of this direction may look.
pub(super) struct Shape {
    /// Head bytes with the closing blank line.
    pub max_bytes: usize,
    /// Blank lines skipped before the first line (RFC 9112 §2.2).
    pub blank_lines: usize,
    pub bare_lf: HttpFault,
    pub bare_cr: HttpFault,
    pub too_many_blanks: HttpFault,
    /// No line end at all within `max_bytes`.
    pub line_too_long: HttpFault,
    pub too_large: HttpFault,
}

pub(super) enum Lines {
    NeedMore,
    /// `start..end`: first line to the closing CR LF CR LF.
    Head {
        start: usize,
        end: usize,
    },
    Bad(HttpFault),
}

/// First byte of the first line, or what stands in the way.
enum Start {
    NeedMore,
    At(usize),
    Bad(HttpFault),
}

fn skip_blank_lines(buf: &[u8], shape: &Shape) -> Start {
    let mut at = 0;
    for _ in 0..=shape.blank_lines {
        match (buf.get(at), buf.get(at + 1)) {
            (Some(b'\r'), Some(b'\n')) => at += 2,
            (None, _) | (Some(b'\r'), None) => return Start::NeedMore,
            (Some(b'\r'), _) => return Start::Bad(shape.bare_cr),
            (Some(b'\n'), _) => return Start::Bad(shape.bare_lf),
            _ => return Start::At(at),
        }
    }
    Start::Bad(shape.too_many_blanks)
}

/// Looks for the end of the head. `first` judges the first byte of the first line, before anything else has arrived.
pub(super) fn find_head(buf: &[u8], seen: usize, shape: &Shape, first: impl Fn(u8) -> Option<HttpFault>) -> Lines {
    let start = match skip_blank_lines(buf, shape) {
        Start::NeedMore => return Lines::NeedMore,
        Start::Bad(fault) => return Lines::Bad(fault),
        Start::At(start) => start,
    };
    if let Some(fault) = buf.get(start).and_then(|&byte| first(byte)) {
        return Lines::Bad(fault);
    }
    let window = buf.get(..shape.max_bytes).unwrap_or(buf);
    let from = seen.min(window.len()).max(start);
    for (number, block) in window.get(from..).unwrap_or(&[]).chunks(64).enumerate() {
        let mut line_ends = line_ends(block);
        while line_ends != 0 {
            let at = from + 64 * number + line_ends.trailing_zeros() as usize;
            line_ends &= line_ends - 1;
            // The first line has at least one byte, so `at > start` and the byte before exists.
            match window.get(start..=at) {
                Some([.., b'\n', b'\r', b'\n']) => return Lines::Head { start, end: at + 1 },
                Some([.., b'\r', b'\n']) => {}
                _ => return Lines::Bad(shape.bare_lf),
            }
        }
    }
    if buf.len() < shape.max_bytes {
        return Lines::NeedMore;
    }
    match memchr::memchr(b'\n', window.get(start..).unwrap_or(&[])) {
        None => Lines::Bad(shape.line_too_long),
        Some(_) => Lines::Bad(shape.too_large),
    }
}

/// Bit i is set where byte i of up to 64 is LF.
fn line_ends(block: &[u8]) -> u64 {
    let mut padded = [0; 64];
    let bytes = match block.first_chunk::<64>() {
        Some(whole) => whole,
        None => {
            padded.iter_mut().zip(block).for_each(|(to, from)| *to = *from);
            &padded
        }
    };
    let (quarters, _) = bytes.as_chunks::<16>();
    let mut bits = 0;
    for (index, quarter) in quarters.iter().enumerate() {
        let mask = u8x16::from(*quarter).simd_eq(u8x16::splat(b'\n')).to_bitmask();
        bits |= u64::from(mask) << (16 * index);
    }
    bits
}

/// Where `part`, which was sliced out of `whole`, starts in it.
pub(super) fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    let offset = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    debug_assert!(offset <= whole.len());
    offset.min(whole.len())
}
