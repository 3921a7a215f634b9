//! The limiter cell's key: a keyed 64-bit hash of profile and client, so that nobody outside can aim at another
//! client's cell. SipHash-1-3 by hand, over exactly 24 bytes: std's own cannot be given a key.

use crate::base::ids::ProfileId;
use std::net::IpAddr;

/// Hash of (profile, client). IPv6 clients are told apart by their /64: a client usually owns all addresses in it, and
/// could otherwise take a fresh bucket for every call.
pub fn client_key(secret: [u64; 2], profile: ProfileId, client: IpAddr) -> u64 {
    let words = match client.to_canonical() {
        IpAddr::V4(v4) => [u64::from(profile.0) | 4 << 32, u64::from(v4.to_bits()), 0],
        IpAddr::V6(v6) => [u64::from(profile.0) | 6 << 32, (v6.to_bits() >> 64) as u64, 0],
    };
    siphash_1_3(secret, words)
}

fn siphash_1_3(key: [u64; 2], words: [u64; 3]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let length = (8 * words.len() as u64) << 56;
    for word in words.into_iter().chain([length]) {
        v[3] ^= word;
        round(&mut v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    (0..3).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hasher;

    #[test]
    fn equals_std_where_std_has_a_key() {
        for words in [[0, 0, 0], [1, 2, 3], [u64::MAX, 0x0123_4567_89ab_cdef, 7]] {
            let mut std = std::collections::hash_map::DefaultHasher::new();
            words.iter().for_each(|w| std.write(&w.to_le_bytes()));
            assert_eq!(siphash_1_3([0, 0], words), std.finish());
        }
    }

    #[test]
    fn tells_apart_what_must_be() {
        let ip = |t: &str| t.parse::<IpAddr>().unwrap();
        let key = |secret, profile, address| client_key([secret, 7], ProfileId(profile), ip(address));
        assert_eq!(key(1, 0, "1.2.3.4"), key(1, 0, "::ffff:1.2.3.4"));
        assert_eq!(key(1, 0, "2001:db8::1"), key(1, 0, "2001:db8::ffff:1"));
        let all = [
            key(1, 0, "1.2.3.4"),
            key(2, 0, "1.2.3.4"),
            key(1, 1, "1.2.3.4"),
            key(1, 0, "1.2.3.5"),
            key(1, 0, "2001:db8::1"),
            key(1, 0, "2001:db8:0:1::1"),
            key(1, 0, "::1"),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
    }
}
