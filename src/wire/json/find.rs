//! The next byte of a string that is not plain, 16 and then 64 bytes at a time.
//!
//! Beside `memchr` because proving needs four kinds of byte in one pass, and because most strings here have 4 to 66 bytes:
//! a call through memchr's dispatch costs more than the search.

use wide::{i8x16, u8x16};

const LANE: usize = 16;
/// After this many bytes a string is long, and four lanes are looked at together.
const NEAR: usize = 128;

/// The first quote or backslash at or after `from`; the buffer's length when there is none.
#[inline]
pub(super) fn quote_or_backslash(buf: &[u8], from: usize) -> usize {
    find(buf, from, |bytes| bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\')))
}

/// The first byte that is not plain ASCII text: quote, backslash, control character, or part of a longer character.
#[inline]
pub(super) fn not_plain(buf: &[u8], from: usize) -> usize {
    find(buf, from, |bytes| {
        // As signed numbers, bytes above 0x7F are negative: one compare finds them and the control characters.
        let odd = bytes.cast_signed().simd_lt(i8x16::splat(0x20)).cast_unsigned();
        bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\')) | odd
    })
}

#[inline(always)]
fn find(buf: &[u8], from: usize, hit: impl Fn(u8x16) -> u8x16 + Copy) -> usize {
    let mut at = from;
    while let Some(lane) = buf.get(at..).and_then(<[u8]>::first_chunk::<LANE>) {
        let hits = hit(u8x16::from(*lane)).to_bitmask();
        if hits != 0 {
            return at + hits.trailing_zeros() as usize;
        }
        at += LANE;
        if at == from + NEAR {
            at += plain_blocks(buf.get(at..).unwrap_or(&[]), hit);
        }
    }
    // Less than a lane is left: look at the buffer's last lane, without what was before `at`.
    let Some(lane) = buf.last_chunk::<LANE>().filter(|_| at < buf.len()) else { return find_short(buf, at, hit) };
    let hits = hit(u8x16::from(*lane)).to_bitmask() >> (LANE - (buf.len() - at));
    if hits == 0 { buf.len() } else { at + hits.trailing_zeros() as usize }
}

/// How many bytes from the first are in blocks of four lanes without a hit.
fn plain_blocks(buf: &[u8], hit: impl Fn(u8x16) -> u8x16 + Copy) -> usize {
    let (blocks, _) = buf.as_chunks::<{ 4 * LANE }>();
    let plain = |block: &&[u8; 4 * LANE]| {
        let (lanes, _) = block.as_chunks::<LANE>();
        let hits = lanes.iter().fold(u8x16::splat(0), |hits, lane| hits | hit(u8x16::from(*lane)));
        hits.to_bitmask() == 0
    };
    blocks.iter().take_while(plain).count() * 4 * LANE
}

/// For buffers shorter than a lane.
#[cold]
fn find_short(buf: &[u8], at: usize, hit: impl Fn(u8x16) -> u8x16) -> usize {
    let mut lane = [b'"'; LANE];
    let rest = buf.get(at..).unwrap_or(&[]);
    for (to, from) in lane.iter_mut().zip(rest) {
        *to = *from;
    }
    // What fills the lane up is a hit of either kind, at the buffer's end.
    at.min(buf.len()) + rest.len().min(hit(u8x16::from(lane)).to_bitmask().trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte value at every place of buffers that end before, in and after lanes and blocks.
    #[test]
    fn each_byte_is_found_at_each_place() {
        for len in [1, 2, 15, 16, 17, 31, 33, 64, 127, 129, 145, 200, 300] {
            for place in 0..len {
                for byte in 0..=255u8 {
                    let mut buf = vec![b'x'; len];
                    buf[place] = byte;
                    let ends = matches!(byte, b'"' | b'\\');
                    let odd = ends || !(0x20..=0x7F).contains(&byte);
                    for from in [0, place / 2, place, place + 1, len] {
                        let seen = from <= place;
                        assert_eq!(
                            quote_or_backslash(&buf, from),
                            if seen && ends { place } else { len },
                            "{byte} {place} {from}"
                        );
                        assert_eq!(not_plain(&buf, from), if seen && odd { place } else { len }, "{byte} {place} {from}");
                    }
                }
            }
        }
        assert_eq!((quote_or_backslash(b"", 0), not_plain(b"", 0)), (0, 0));
        assert_eq!((quote_or_backslash(b"abc", 7), not_plain(&[b'x'; 40], 77)), (3, 40));
    }
}
