//! Which of 64 bytes are brackets outside strings, as bit masks: the idea of simdjson's first stage (Langdale, Lemire,
//! "Parsing gigabytes of JSON per second", §3.1), in safe SIMD of 16 bytes, which every x86-64 and aarch64 has.
//!
//! `Carry` holds what one block must know of those before it: whether it starts in a string, and whether its first byte
//! is escaped. Nothing else crosses a block, which is what makes skipping resumable at every byte.

use wide::u8x16;

/// Bytes in a block.
pub(super) const BLOCK: usize = 64;
const EVEN: u64 = 0x5555_5555_5555_5555;

/// What one block inherits from those before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carry {
    /// 1 when the next byte follows an unescaped backslash.
    escaped: u64,
    /// All ones inside a string.
    in_string: u64,
}

/// Brackets of one block that stand outside strings; bit n is byte n.
#[derive(Clone, Copy)]
pub(super) struct Brackets {
    pub open: u64,
    pub close: u64,
    /// A backslash outside a string: not JSON, and it would hide a quote.
    pub stray: u64,
}

struct Masks {
    quote: u64,
    backslash: u64,
    open: u64,
    close: u64,
}

/// `[` and `{` differ from each other by the bit 0x20 only, and so do `]` and `}`: one compare finds either pair.
#[inline(always)]
fn masks(block: &[u8; BLOCK]) -> Masks {
    let (lanes, _) = block.as_chunks::<16>();
    let mut found = Masks { quote: 0, backslash: 0, open: 0, close: 0 };
    for (i, lane) in lanes.iter().enumerate() {
        let bytes = u8x16::from(*lane);
        let lower = bytes | u8x16::splat(0x20);
        let bits = |hit: u8x16| u64::from(hit.to_bitmask()) << (16 * i);
        found.quote |= bits(bytes.simd_eq(u8x16::splat(b'"')));
        found.backslash |= bits(bytes.simd_eq(u8x16::splat(b'\\')));
        found.open |= bits(lower.simd_eq(u8x16::splat(b'{')));
        found.close |= bits(lower.simd_eq(u8x16::splat(b'}')));
    }
    found
}

/// Bit n = parity of the bits 0..=n: ones from an opening quote up to just before its closing one.
#[inline(always)]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

impl Carry {
    /// Positions that follow an unescaped backslash. A run of backslashes escapes what follows it when its length is
    /// odd; the sum carries through each run, so its end tells the parity of its start (simdjson's `find_escaped`).
    #[inline(always)]
    fn escapes(&mut self, backslash: u64) -> u64 {
        if backslash == 0 {
            return std::mem::take(&mut self.escaped);
        }
        let backslash = backslash & !self.escaped;
        let follows = backslash << 1 | self.escaped;
        let odd_starts = backslash & !EVEN & !follows;
        let (runs_on_even, overflow) = odd_starts.overflowing_add(backslash);
        self.escaped = u64::from(overflow);
        (EVEN ^ (runs_on_even << 1)) & follows
    }

    /// Takes the first `len` bytes (1..=64) of a block; the rest must be spaces.
    #[inline(always)]
    pub fn step(&mut self, block: &[u8; BLOCK], len: usize) -> Brackets {
        let masks = masks(block);
        let escaped = self.escapes(masks.backslash);
        let strings = prefix_xor(masks.quote & !escaped) ^ self.in_string;
        if len < BLOCK {
            self.escaped = escaped >> len & 1;
        }
        self.in_string = (((strings << (BLOCK - len)) as i64) >> 63) as u64;
        Brackets { open: masks.open & !strings, close: masks.close & !strings, stray: masks.backslash & !strings }
    }
}
