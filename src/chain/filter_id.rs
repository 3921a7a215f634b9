//! Filter ids that name the provider instance which holds the filter (docs/behaviour/calls.md#filters).
//!
//! A filter lives at one node. The id that clients see is `0x`, 8 hex digits of the instance's fingerprint, then the
//! provider's own digits: any shard or node with the same configuration finds the way back without a table, also after a
//! reload. Rejected: a table of filters, which would be state to bound, share and lose.

use super::hex::write_hex;
use crate::base::span::Span;
use crate::wire::json::{skip_space, skip_string};

const TAG_DIGITS: usize = 8;
/// A provider's id longer than this is no filter id that we hand on.
const DIGITS_MAX: usize = 256;

/// The hex digits of a provider's own id, as it stands between quotes: `0x1f` gives `1f`.
pub fn provider_digits(text: &[u8]) -> Option<&[u8]> {
    let digits = text.strip_prefix(b"0x")?;
    let plain = (1..=DIGITS_MAX).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    plain.then_some(digits)
}

/// Appends the id that the client sees, without quotes.
pub fn encode(out: &mut Vec<u8>, tag: u32, provider_digits: &[u8]) {
    out.extend_from_slice(b"0x");
    write_hex(out, u64::from(tag), TAG_DIGITS as u32);
    out.extend_from_slice(provider_digits);
}

/// The instance's tag and the provider's digits of an id that [`encode`] wrote, as it stands between quotes.
pub fn decode(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X"))?;
    let (tag, rest) = digits.split_at_checked(TAG_DIGITS)?;
    let all_hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    if !(1..=DIGITS_MAX).contains(&rest.len()) || !all_hex(tag) || !all_hex(rest) {
        return None;
    }
    let tag = u32::from_str_radix(std::str::from_utf8(tag).ok()?, 16).ok()?;
    Some((tag, rest))
}

/// Where the filter id stands in raw params (an array whose first item is a string): between its quotes.
pub fn find(params: &[u8]) -> Option<Span> {
    let at = skip_space(params, 0);
    if params.get(at) != Some(&b'[') {
        return None;
    }
    let quote = skip_space(params, at + 1);
    if params.get(quote) != Some(&b'"') {
        return None;
    }
    let end = skip_string(params, quote).ok()?;
    Some(Span::new(quote + 1, end - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_finds_its_way_back() {
        let check = |tag: u32, provider: &str, want: &str| {
            let digits = provider_digits(provider.as_bytes()).expect(provider);
            let mut out = Vec::new();
            encode(&mut out, tag, digits);
            assert_eq!(String::from_utf8_lossy(&out), want);
            assert_eq!(decode(&out), Some((tag, digits)));
        };
        check(0xdead_beef, "0x1", "0xdeadbeef1");
        check(7, "0xAbC", "0x00000007AbC");
        check(0, "0x00000000000000000000000000000001", "0x0000000000000000000000000000000000000001");
        check(u32::MAX, "0x0", "0xffffffff0");
    }

    #[test]
    fn what_is_no_filter_id_is_refused() {
        let long = format!("0x{}", "1".repeat(DIGITS_MAX + 1));
        for text in ["", "0x", "1f", "0xg", "0x1\\u0031", "latest", &long] {
            assert_eq!(provider_digits(text.as_bytes()), None, "{text}");
        }
        let long = format!("0xdeadbeef{}", "1".repeat(DIGITS_MAX + 1));
        for text in
            ["", "0x", "0x1", "0xdeadbeef", "deadbeef1", "0xdeadbeeg1", "0xdeadbeef1z", "0x+eadbeef1", "0xdeadbeé1", &long]
        {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_first_string_of_params_is_found() {
        let check = |params: &str, want: Option<&str>| {
            let found = find(params.as_bytes()).map(|span| String::from_utf8_lossy(span.of(params.as_bytes())).into_owned());
            assert_eq!(found.as_deref(), want, "{params}");
        };
        check(r#"["0xdeadbeef1"]"#, Some("0xdeadbeef1"));
        check(r#" [ "0x1" , 2]"#, Some("0x1"));
        check(r#"["a\"b"]"#, Some(r#"a\"b"#));
        for params in ["", "[]", "[1]", "[[\"0x1\"]]", "{\"a\":\"0x1\"}", "\"0x1\"", "[\"0x1"] {
            check(params, None);
        }
    }
}
