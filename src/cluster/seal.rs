//! A datagram between nodes: who sends it and the how-manieth it is, in the open; what it says, sealed.
//!
//! | bytes | |
//! |---|---|
//! | 2 | `LC` |
//! | 1 | version of this layout; another one is ignored and counted |
//! | 16 | the sender's session |
//! | 8 | its counter, from 1, never the same twice: the nonce |
//! | n | what is said, ChaCha20-Poly1305, with all of the above authenticated |
//! | 16 | tag |
//!
//! What is said is padded to `PLAIN_BYTES_MIN`, so that no answer to a stranger is longer than what the stranger sent. Whether
//! a datagram is fresh is not decided here (`sessions`): that it opens says only that somebody with the secret made it once.

use super::secret::SessionId;
use crate::base::limits::CLUSTER_DATAGRAM_BYTES;
use ring::aead::{Aad, LessSafeKey, Nonce};

const MAGIC: [u8; 2] = *b"LC";
pub const VERSION: u8 = 1;
const HEAD_BYTES: usize = 2 + 1 + 16 + 8;
const TAG_BYTES: usize = 16;
/// The longest thing that can be said at once.
pub const PLAIN_BYTES_MAX: usize = CLUSTER_DATAGRAM_BYTES - HEAD_BYTES - TAG_BYTES;
/// As long as the message by which strangers meet.
pub const PLAIN_BYTES_MIN: usize = 1 + 16 + 16;
/// The length of that message as a datagram.
pub const SMALLEST_DATAGRAM_BYTES: usize = HEAD_BYTES + PLAIN_BYTES_MIN + TAG_BYTES;

/// What stands in the open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealedHead {
    pub session: SessionId,
    pub counter: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoHead {
    /// Too short, too long, or not ours at all.
    Malformed,
    /// Its layout is a later or an earlier one.
    OtherVersion,
}

impl SealedHead {
    pub fn read(datagram: &[u8]) -> Result<SealedHead, NoHead> {
        if datagram.len() > CLUSTER_DATAGRAM_BYTES || datagram.len() < SMALLEST_DATAGRAM_BYTES {
            return Err(NoHead::Malformed);
        }
        let (magic, rest) = datagram.split_first_chunk::<2>().ok_or(NoHead::Malformed)?;
        let (version, rest) = rest.split_first().ok_or(NoHead::Malformed)?;
        let (session, rest) = rest.split_first_chunk::<16>().ok_or(NoHead::Malformed)?;
        let (counter, _) = rest.split_first_chunk::<8>().ok_or(NoHead::Malformed)?;
        if *magic != MAGIC {
            return Err(NoHead::Malformed);
        }
        if *version != VERSION {
            return Err(NoHead::OtherVersion);
        }
        Ok(SealedHead { session: SessionId(*session), counter: u64::from_be_bytes(*counter) })
    }

    fn nonce(self) -> Nonce {
        let mut bytes = [0; 12];
        bytes[4..].copy_from_slice(&self.counter.to_be_bytes());
        Nonce::assume_unique_for_key(bytes)
    }

    fn bytes(self) -> [u8; HEAD_BYTES] {
        let mut out = [0; HEAD_BYTES];
        out[..2].copy_from_slice(&MAGIC);
        out[2] = VERSION;
        out[3..19].copy_from_slice(&self.session.0);
        out[19..].copy_from_slice(&self.counter.to_be_bytes());
        out
    }

    /// `plain` as a datagram; `None` when it is too long for one.
    pub fn seal(self, key: &LessSafeKey, mut plain: Vec<u8>) -> Option<Vec<u8>> {
        if plain.len() > PLAIN_BYTES_MAX {
            return None;
        }
        plain.resize(plain.len().max(PLAIN_BYTES_MIN), 0);
        let head = self.bytes();
        key.seal_in_place_append_tag(self.nonce(), Aad::from(&head), &mut plain).ok()?;
        let mut datagram = Vec::with_capacity(HEAD_BYTES + plain.len());
        datagram.extend_from_slice(&head);
        datagram.append(&mut plain);
        Some(datagram)
    }

    /// What `datagram`, of which this is the head, says; `None` unless it was sealed with `key` and is unchanged.
    pub fn open(self, key: &LessSafeKey, datagram: &[u8]) -> Option<Vec<u8>> {
        let (head, sealed) = datagram.split_first_chunk::<HEAD_BYTES>()?;
        let mut sealed = sealed.to_vec();
        let length = key.open_in_place(self.nonce(), Aad::from(head), &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::secret::ClusterSecrets;
    use super::*;

    const HEAD: SealedHead = SealedHead { session: SessionId([7; 16]), counter: 42 };

    fn key(secret: &str, name: &str) -> LessSafeKey {
        ClusterSecrets::new(Some(secret), None, name).unwrap().key(0, HEAD.session).unwrap()
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let key = key("a secret that is long enough", "lasso");
        let datagram = HEAD.seal(&key, b"\x05 and more, so that nothing is padding here".to_vec()).unwrap();
        assert_eq!(SealedHead::read(&datagram), Ok(HEAD));
        assert!(HEAD.open(&key, &datagram).unwrap().starts_with(b"\x05 and more"));
        for bit in 0..datagram.len() * 8 {
            let mut bad = datagram.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let opened = SealedHead::read(&bad).ok().and_then(|head| head.open(&key, &bad));
            assert_eq!(opened, None, "bit {bit}");
        }
        for length in 0..datagram.len() {
            let cut = &datagram[..length];
            assert_eq!(SealedHead::read(cut).ok().and_then(|head| head.open(&key, cut)), None, "{length} bytes");
        }
    }

    #[test]
    fn another_secret_name_session_or_counter_does_not_open() {
        let datagram = HEAD.seal(&key("a secret that is long enough", "lasso"), vec![1]).unwrap();
        for (secret, name) in [("a secret that is long enougH", "lasso"), ("a secret that is long enough", "other")] {
            assert_eq!(HEAD.open(&key(secret, name), &datagram), None, "{secret} {name}");
        }
        let key = key("a secret that is long enough", "lasso");
        assert_eq!(SealedHead { counter: 43, ..HEAD }.open(&key, &datagram), None);
    }

    #[test]
    fn lengths_are_bounded_both_ways() {
        let key = key("a secret that is long enough", "lasso");
        assert_eq!(HEAD.seal(&key, vec![0; PLAIN_BYTES_MAX]).unwrap().len(), CLUSTER_DATAGRAM_BYTES);
        assert!(HEAD.seal(&key, vec![0; PLAIN_BYTES_MAX + 1]).is_none());
        assert_eq!(HEAD.seal(&key, vec![]).unwrap().len(), SMALLEST_DATAGRAM_BYTES);
        assert_eq!(SealedHead::read(&[b'L'; CLUSTER_DATAGRAM_BYTES + 1]), Err(NoHead::Malformed));
        let mut other = HEAD.seal(&key, vec![]).unwrap();
        other[2] = 2;
        assert_eq!(SealedHead::read(&other), Err(NoHead::OtherVersion));
    }
}
