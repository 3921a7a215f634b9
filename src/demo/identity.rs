//! Hashes and addresses of the model chain. Block and transaction hashes are reversible: the first half is an encrypted
//! (kind, branch, height, index), the second half a check of the first. So a look-up by hash needs no index, a chain of
//! twenty million blocks costs no memory, and a hash of another chain or seed is recognised as unknown.
//!
//! They are therefore not Keccak of any header. Where clients do recompute a hash (log blooms, a raw transaction's hash)
//! Keccak-256 is used.

use crate::base::rng::Rng;
use sha3::{Digest, Keccak256};

/// 32 bytes: a block, transaction, topic or storage word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Hash(pub [u8; 32]);

/// 20 bytes: an account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Address(pub [u8; 20]);

impl Hash {
    pub const ZERO: Hash = Hash([0; 32]);

    /// Its first 8 bytes.
    pub fn number(&self) -> u64 {
        be(&self.0, 0)
    }
}

impl Address {
    /// An address whose last bytes are `number`, as tests and examples write them.
    pub const fn from_number(number: u32) -> Address {
        let mut bytes = [0; 20];
        let tail = number.to_be_bytes();
        bytes[16] = tail[0];
        bytes[17] = tail[1];
        bytes[18] = tail[2];
        bytes[19] = tail[3];
        Address(bytes)
    }

    /// As an indexed event argument: left-padded to a word.
    pub fn as_topic(self) -> Hash {
        let mut word = [0; 32];
        word[12..].copy_from_slice(&self.0);
        Hash(word)
    }

    /// Its bytes as words for `mix`.
    pub fn words(&self) -> [u64; 3] {
        let mut padded = [0; 24];
        padded[..20].copy_from_slice(&self.0);
        [be(&padded, 0), be(&padded, 8), be(&padded, 16)]
    }
}

/// Keccak-256 as Ethereum uses it.
pub fn keccak(bytes: &[u8]) -> Hash {
    Hash(Keccak256::digest(bytes).into())
}

/// One well-mixed word of many; the order of `words` matters.
pub fn mix(words: &[u64]) -> u64 {
    words.iter().fold(0x243F_6A88_85A3_08D3, |state, word| Rng::new(state ^ word).next())
}

/// 32 bytes that depend on all of `words`: the model's own hash, fast and not cryptographic.
pub fn digest(words: &[u64]) -> Hash {
    let mut rng = Rng::new(mix(words));
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_exact_mut(8) {
        chunk.copy_from_slice(&rng.next().to_be_bytes());
    }
    Hash(bytes)
}

/// The same for bytes of any length.
pub fn digest_bytes(salt: u64, bytes: &[u8]) -> Hash {
    let state = bytes.chunks(8).fold(mix(&[salt, bytes.len() as u64]), |state, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        Rng::new(state ^ u64::from_le_bytes(word)).next()
    });
    digest(&[state])
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Block,
    Transaction,
}

/// What a hash stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name {
    pub kind: Kind,
    /// Which fork of the chain; 0 is the first.
    pub branch: u32,
    pub height: u64,
    /// Place in the block; 0 for a block itself.
    pub index: u16,
}

/// Names to hashes and back, keyed by seed and chain.
#[derive(Clone, Copy, Debug)]
pub struct Naming {
    key: u64,
}

const ROUNDS: u64 = 4;

impl Naming {
    pub fn new(seed: u64, chain_number: u64) -> Naming {
        Naming { key: mix(&[seed, chain_number, 0x6e61_6d65]) }
    }

    pub fn hash(&self, name: Name) -> Hash {
        let kind = match name.kind {
            Kind::Block => 1,
            Kind::Transaction => 2,
        };
        let (mut left, mut right) = (name.height, u64::from(name.branch) << 32 | u64::from(name.index) << 16 | kind);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ mix(&[self.key, round, right]));
        }
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&left.to_be_bytes());
        bytes[8..16].copy_from_slice(&right.to_be_bytes());
        bytes[16..].copy_from_slice(&digest(&[self.key, left, right]).0[16..]);
        Hash(bytes)
    }

    /// `None`: no block or transaction of this chain has this hash.
    pub fn name(&self, hash: &Hash) -> Option<Name> {
        let (mut left, mut right) = (be(&hash.0, 0), be(&hash.0, 8));
        if digest(&[self.key, left, right]).0[16..] != hash.0[16..] {
            return None;
        }
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ mix(&[self.key, round, left]), left);
        }
        let kind = match right & 0xffff {
            1 => Kind::Block,
            2 => Kind::Transaction,
            _ => return None,
        };
        Some(Name { kind, branch: (right >> 32) as u32, height: left, index: (right >> 16) as u16 })
    }
}

/// Eight bytes at `at`, big-endian; the callers' arrays are long enough.
fn be(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keccak_is_ethereums() {
        let check = |text: &[u8], hex: &str| {
            let shown: String = keccak(text).0.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(shown, hex);
        };
        check(b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
        check(b"Transfer(address,address,uint256)", "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
    }

    #[test]
    fn digests_depend_on_every_word_and_byte() {
        assert_ne!(digest(&[1, 2]), digest(&[2, 1]));
        assert_ne!(digest_bytes(1, b"abc"), digest_bytes(1, b"abc\0"));
        assert_ne!(digest_bytes(1, b"abc"), digest_bytes(2, b"abc"));
        assert_ne!(digest_bytes(1, b"12345678a"), digest_bytes(1, b"12345678b"));
    }

    proptest! {
        #[test]
        fn a_hash_names_what_it_was_made_of(seed: u64, chain: u64, branch: u32, height: u64, index: u16, block: bool) {
            let naming = Naming::new(seed, chain);
            let kind = if block { Kind::Block } else { Kind::Transaction };
            let name = Name { kind, branch, height, index };
            prop_assert_eq!(naming.name(&naming.hash(name)), Some(name));
            prop_assert_eq!(Naming::new(seed, chain ^ 1).name(&naming.hash(name)), None);
        }

        #[test]
        fn a_strange_hash_names_nothing(bytes: [u8; 32]) {
            prop_assert_eq!(Naming::new(1, 1).name(&Hash(bytes)), None);
        }
    }
}
