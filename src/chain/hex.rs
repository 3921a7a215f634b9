//! Quantities as Ethereum writes them (`0x` and hex digits, most significant first, no leading zero), and byte strings.

/// The longest quantity has 256 bits: more digits are something else, and a megabyte of zeros is no chain's number.
const QUANTITY_DIGITS: usize = 64;

/// A quantity between its quotes. Leading zeros are read, as nodes read them; more than 64 bits are not.
pub fn parse_quantity(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X"))?;
    if digits.is_empty() || digits.len() > QUANTITY_DIGITS {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        if sum >> 60 == 0 { Some(sum << 4 | u64::from(digit)) } else { None }
    })
}

/// Exactly `N` bytes in hex, between their quotes; upper and lower case are the same.
pub fn parse_bytes<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X"))?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
    }
    Some(bytes)
}

/// Appends bytes as lower-case hex with `0x`, without quotes.
pub fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"0x");
    bytes.iter().for_each(|byte| write_hex(out, u64::from(*byte), 2));
}

/// Appends a quantity, without quotes, in lower case.
pub fn write_quantity(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(b"0x");
    let digits = (67 - (n | 1).leading_zeros()) / 4;
    write_hex(out, n, digits);
}

/// Appends the lowest `digits` hex digits of `n`.
pub(super) fn write_hex(out: &mut Vec<u8>, n: u64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = (n >> (4 * place) & 15) as u8;
        out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        let check = |text: &str, want: Option<u64>| assert_eq!(parse_quantity(text.as_bytes()), want, "{text}");
        check("0x0", Some(0));
        check("0x2105", Some(8453));
        check(&format!("0x{:064x}", 8453), Some(8453));
        check(&format!("0x{:065x}", 8453), None);
        check("0xAa36A7", Some(11_155_111));
        check("0X1", Some(1));
        check("0x0000000000000000000001", Some(1));
        check("0xffffffffffffffff", Some(u64::MAX));
        for bad in ["0x10000000000000000", "0x", "", "1", "x1", "0xg", "0x-1", "0x+1", " 0x1", "0x1 ", "\"0x1\"", "latest"] {
            check(bad, None);
        }
    }

    #[test]
    fn bytes_are_read_and_written() {
        let check = |text: &str, want: Option<[u8; 3]>| assert_eq!(parse_bytes(text.as_bytes()), want, "{text}");
        check("0x00aBfF", Some([0, 0xab, 0xff]));
        check("0X00abff", Some([0, 0xab, 0xff]));
        for bad in ["00abff", "0x00abf", "0x00ab", "0x00abff00", "0x00abfg", "0x+1abff", ""] {
            check(bad, None);
        }
        let mut out = Vec::new();
        write_bytes(&mut out, &[0, 0xab, 0xff]);
        assert_eq!(out, b"0x00abff");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let edges = (0..64).flat_map(|shift| [1u64 << shift, (1u64 << shift) - 1, (1u64 << shift) + 1]);
        for n in edges.chain([u64::MAX]) {
            let mut out = Vec::new();
            write_quantity(&mut out, n);
            assert_eq!(out, format!("0x{n:x}").into_bytes());
            assert_eq!(parse_quantity(&out), Some(n));
        }
    }
}
