//! Numbers of any size in few bytes (LEB128), differences with their sign in the lowest bit, and texts with a length before them. What is
//! read is bounded by what is there: a reader that cannot be made to ask for memory.

use arrayvec::ArrayString;

pub fn put_number(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Small ones of either sign are short.
pub fn put_difference(out: &mut Vec<u8>, n: i64) {
    put_number(out, ((n << 1) ^ (n >> 63)) as u64);
}

/// Longer than 255 bytes is cut where a character ends: such names are refused when a node starts.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    let cut = text.floor_char_boundary(usize::from(u8::MAX));
    let bytes = text.as_bytes().get(..cut).unwrap_or_default();
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

/// What is left to read. A field that is not there whole is none.
#[derive(Clone, Copy)]
pub struct NumberReader<'a>(pub &'a [u8]);

impl<'a> NumberReader<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            n |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    pub fn size(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    pub fn difference(&mut self) -> Option<i64> {
        let n = self.number()?;
        Some((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    /// A name for people: no longer than its bound, and without control characters.
    pub fn name<const N: usize>(&mut self) -> Option<ArrayString<N>> {
        let length = usize::from(self.byte()?);
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        ArrayString::from(text).ok().filter(|_| !text.chars().any(char::is_control))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ends_and_what_is_cut_or_too_large() {
        for n in [0, 1, 127, 128, 16_383, 16_384, u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, n);
            assert_eq!(NumberReader(&bytes).number(), Some(n));
            for length in 0..bytes.len() {
                assert_eq!(NumberReader(&bytes[..length]).number(), None);
            }
        }
        for n in [0, -1, 1, i64::MIN, i64::MAX] {
            let mut bytes = Vec::new();
            put_difference(&mut bytes, n);
            assert_eq!(NumberReader(&bytes).difference(), Some(n));
        }
        assert_eq!(NumberReader(&[0xff; 11]).number(), None);
        assert_eq!(NumberReader(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).number(), None, "65 bits");
        let mut bytes = Vec::new();
        put_text(&mut bytes, "eth\nereum");
        assert_eq!(NumberReader(&bytes).name::<16>(), None);
        put_text(&mut bytes, &"ä".repeat(200));
        assert_eq!(bytes.len(), 10 + 255, "an odd byte would be half a letter");
    }

    proptest! {
        #[test]
        fn any_numbers_come_back_in_their_order(numbers in prop::collection::vec(any::<i64>(), 0..50)) {
            let mut bytes = Vec::new();
            numbers.iter().for_each(|n| put_difference(&mut bytes, *n));
            let mut reader = NumberReader(&bytes);
            let read: Vec<i64> = std::iter::from_fn(|| reader.difference()).collect();
            prop_assert_eq!(read, numbers);
        }
    }
}
