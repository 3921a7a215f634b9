//! Which `logsBloom` of a header says anything about the block's logs.
//!
//! A bloom has no false negatives (Yellow Paper, `M3:2048`), so one that lacks an item proves that no log has it, but only where the
//! chain reckons blooms at all. Chains that do not send zeros in every header, or every bit set. Both are taken for no bloom:
//! zeros until some header of the chain has shown a bit, full ones always, since they let everything through anyway.
//! How it fails: a chain that reckons blooms and has no logs in its first blocks is asked where zeros would have told.

/// 2,048 bits as a header writes them, the highest first.
pub type Bloom = [u8; 256];

/// Whether a chain's headers carry blooms.
#[derive(Clone, Copy, Debug, Default)]
pub struct BloomUse {
    has_shown_bits: bool,
}

impl BloomUse {
    /// A header of the chain came.
    pub fn see(&mut self, bloom: Option<&Bloom>) {
        self.has_shown_bits |= bloom.is_some_and(|bloom| has_bits(bloom) && !is_full(bloom));
    }

    /// The bloom, if it says anything.
    pub fn read<'a>(&self, bloom: Option<&'a Bloom>) -> Option<&'a Bloom> {
        bloom.filter(|bloom| !is_full(bloom) && (self.has_shown_bits || has_bits(bloom)))
    }
}

/// The block has logs.
pub fn has_bits(bloom: &Bloom) -> bool {
    bloom.iter().any(|byte| *byte != 0)
}

fn is_full(bloom: &Bloom) -> bool {
    bloom.iter().all(|byte| *byte == 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_say_something_once_a_bit_was_seen_and_full_ones_never() {
        let (zeros, full) = ([0; 256], [0xff; 256]);
        let mut one_bit = zeros;
        one_bit[255] = 1;
        let mut blooms = BloomUse::default();
        let reads = |blooms: &BloomUse| [zeros, full, one_bit].map(|bloom| blooms.read(Some(&bloom)).is_some());
        assert_eq!(reads(&blooms), [false, false, true]);
        for silent in [None, Some(&zeros), Some(&full)] {
            blooms.see(silent);
            assert_eq!(reads(&blooms), [false, false, true], "{silent:?}");
        }
        blooms.see(Some(&one_bit));
        assert_eq!(reads(&blooms), [true, false, true]);
        assert_eq!(blooms.read(None), None);
    }
}
