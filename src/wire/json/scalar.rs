//! Numbers and the three words, a byte at a time, so that one machine serves whole buffers and arriving pieces.

/// Where in a number or word the last byte was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scalar {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
    /// What is left of `true`, `false` or `null`.
    Word(&'static [u8]),
}

impl Scalar {
    /// The state after a scalar's first byte; `None` when no scalar starts so.
    #[inline]
    pub fn first(byte: u8) -> Option<Scalar> {
        Some(match byte {
            b'-' => Scalar::Minus,
            b'0' => Scalar::Zero,
            b'1'..=b'9' => Scalar::Integer,
            b't' => Scalar::Word(b"rue"),
            b'f' => Scalar::Word(b"alse"),
            b'n' => Scalar::Word(b"ull"),
            _ => return None,
        })
    }

    /// The state after one byte more; `None` when that byte does not belong to the scalar.
    #[inline]
    pub fn next(self, byte: u8) -> Option<Scalar> {
        use Scalar::*;
        Some(match (self, byte) {
            (Minus, b'0') => Zero,
            (Minus, b'1'..=b'9') | (Integer, b'0'..=b'9') => Integer,
            (Zero | Integer, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Integer | Fraction, b'e' | b'E') => E,
            (E, b'+' | b'-') => Sign,
            (E | Sign | Exponent, b'0'..=b'9') => Exponent,
            (Word([expected, rest @ ..]), _) if *expected == byte => Word(rest),
            _ => return None,
        })
    }

    /// Whether the scalar may end here.
    #[inline]
    pub fn complete(self) -> bool {
        matches!(self, Scalar::Zero | Scalar::Integer | Scalar::Fraction | Scalar::Exponent | Scalar::Word([]))
    }
}

/// The end of the scalar at `at`; `Err` is the position that spoils it (the buffer's end when that came too early).
/// What follows must be looked at by the caller: `1x` ends after the `1`.
#[inline]
pub(super) fn scalar_end(buf: &[u8], at: usize) -> Result<usize, usize> {
    let mut state = buf.get(at).and_then(|b| Scalar::first(*b)).ok_or(at)?;
    let mut at = at + 1;
    while let Some(next) = buf.get(at).and_then(|b| state.next(*b)) {
        state = next;
        at += 1;
    }
    if state.complete() { Ok(at) } else { Err(at) }
}
