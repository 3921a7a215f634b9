//! `X-Request-Id`: the client's own when it is usable, else 32 hex digits of ours (docs/behaviour/http.md#request-ids).
//! A line break or control byte in it could forge a header or a log line, so those are never adopted.

use crate::base::limits::{REQUEST_ID_MAX, REQUEST_ID_MIN};
use crate::base::rng::Rng;

/// Length of a generated id.
pub const GENERATED_LEN: usize = 32;

/// Whether a client's id is taken over: 20 to 200 bytes of printable ASCII.
pub fn adopt(value: &[u8]) -> bool {
    (REQUEST_ID_MIN..=REQUEST_ID_MAX).contains(&value.len()) && value.iter().all(|b| (0x20..0x7f).contains(b))
}

/// 32 lower-case hex digits.
pub fn generate(rng: &mut Rng) -> [u8; GENERATED_LEN] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [0; GENERATED_LEN];
    for half in out.chunks_exact_mut(16) {
        let mut bits = rng.next();
        for slot in half {
            *slot = DIGITS[(bits & 15) as usize];
            bits >>= 4;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adoption_is_bounded_and_printable() {
        let check = |value: &[u8], want| assert_eq!(adopt(value), want, "{value:?}");
        check(b"", false);
        check(&[b'a'; 19], false);
        check(&[b'a'; 20], true);
        check(&[b'a'; 200], true);
        check(&[b'a'; 201], false);
        for byte in 0..=255u8 {
            let mut value = [b'x'; 24];
            value[7] = byte;
            check(&value, (b' '..=b'~').contains(&byte));
        }
    }

    #[test]
    fn generated_ids_are_hex_and_differ() {
        let mut rng = Rng::new(1);
        let (a, b) = (generate(&mut rng), generate(&mut rng));
        assert!(a.iter().chain(&b).all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f')) && a != b && adopt(&a));
    }
}
