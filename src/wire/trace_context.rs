//! W3C Trace Context: `traceparent` read strictly and written, `tracestate` judged.
//!
//! A value that breaks a rule is treated as absent, as the recommendation asks: a trace that begins anew is better than one
//! that is joined to a stranger's. Versions after 00 are read by their first four parts and passed on as they came.
//! <https://www.w3.org/TR/trace-context/>

use crate::base::limits;

/// Length of a `traceparent` of version 00: `00-<32 hex>-<16 hex>-<2 hex>`.
pub const PARENT_BYTES: usize = 55;

pub type TraceId = [u8; 16];
pub type SpanId = [u8; 8];

const SAMPLED: u8 = 1;
/// The trace id was drawn at random (level 2).
const RANDOM: u8 = 2;

/// Where an exchange stands in somebody's trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parent {
    pub trace: TraceId,
    pub span: SpanId,
    pub flags: u8,
}

impl Parent {
    /// Reads a `traceparent`; `None` for anything that is not one.
    pub fn parse(value: &[u8]) -> Option<Parent> {
        let (head, rest) = value.split_at_checked(PARENT_BYTES)?;
        let part = |from: usize, to: usize| head.get(from..to).unwrap_or(&[]);
        let dashes = [2, 35, 52].iter().all(|at| head.get(*at) == Some(&b'-'));
        let [version] = hex(part(0, 2))?;
        let (trace, span, [flags]) = (hex(part(3, 35))?, hex(part(36, 52))?, hex(part(53, 55))?);
        let is_ended = rest.is_empty() || (version > 0 && rest.first() == Some(&b'-'));
        let is_known = version != 0xff && dashes && is_ended && trace != [0; 16] && span != [0; 8];
        is_known.then_some(Parent { trace, span, flags })
    }

    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The parent that a sampled call of ours has for whoever is called: in `self`'s trace, below our own `span`.
    pub fn below(self, span: SpanId) -> Parent {
        Parent { span, flags: self.flags & RANDOM | SAMPLED, ..self }
    }

    /// As version 00.
    pub fn write(&self) -> [u8; PARENT_BYTES] {
        let mut out = [b'-'; PARENT_BYTES];
        let parts: [(usize, &[u8]); 4] = [(0, &[0]), (3, &self.trace), (36, &self.span), (53, &[self.flags])];
        for (at, bytes) in parts {
            let places = out.iter_mut().skip(at);
            let digits = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
            places.zip(digits).for_each(|(place, digit)| *place = digit);
        }
        out
    }
}

fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

/// Lower-case hex digits, exactly as many as the bytes need.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: &u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let [high, low] = pair else { return None };
        *byte = value(high)? << 4 | value(low)?;
    }
    Some(out)
}

/// Whether `value` is a `tracestate` that may be passed on: list members with keys and values in their alphabets.
pub fn is_state(value: &[u8]) -> bool {
    let members = || value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty());
    let count = members().count();
    (1..=limits::TRACESTATE_MEMBERS).contains(&count) && value.len() <= limits::TRACESTATE_BYTES && members().all(is_member)
}

fn is_member(member: &[u8]) -> bool {
    let Some(at) = member.iter().position(|byte| *byte == b'=') else { return false };
    let (key, value) = (member.get(..at).unwrap_or(&[]), member.get(at + 1..).unwrap_or(&[]));
    let starts = key.first().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_key = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(b);
    let is_value = |b: &u8| (0x20..0x7f).contains(b) && *b != b'=';
    starts && key.len() <= 256 && key.iter().all(is_key) && (1..=256).contains(&value.len()) && value.iter().all(is_value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn parents_by_the_book() {
        let check = |value: &str, want: bool| assert_eq!(Parent::parse(value.as_bytes()).is_some(), want, "{value:?}");
        check(GOOD, true);
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", true);
        check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true);
        check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-brings", true);
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333g-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\u{e9}",
        ] {
            check(bad, false);
        }
    }

    #[test]
    fn ours_is_below_theirs() {
        let parent = Parent::parse(GOOD.as_bytes()).expect("a parent");
        assert!(parent.is_sampled() && !Parent { flags: 2, ..parent }.is_sampled());
        let check = |flags: u8, want: &[u8]| {
            let written = Parent { flags, ..parent }.below([0xab; 8]).write();
            assert_eq!(written, want, "{}", written.escape_ascii());
        };
        check(1, b"00-0af7651916cd43dd8448eb211c80319c-abababababababab-01");
        check(0xff, b"00-0af7651916cd43dd8448eb211c80319c-abababababababab-03");
    }

    #[test]
    fn states_by_the_book() {
        let check = |value: &str, want: bool| assert_eq!(is_state(value.as_bytes()), want, "{value:?}");
        check("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true);
        check("a=1, b=2 ,,\tc=3", true);
        check("tenant@system=x y", true);
        check("0tenant@system=!", true);
        for bad in ["", " ", ",", "a", "=1", "a=", "A=1", "@a=1", "a b=1", "a=b=c", "a=\u{e9}", "a=1\u{7f}"] {
            check(bad, false);
        }
        let list = |members: usize| (0..members).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
        check(&list(limits::TRACESTATE_MEMBERS), true);
        check(&list(limits::TRACESTATE_MEMBERS + 1), false);
        check(&format!("a={}", "x".repeat(256)), true);
        check(&format!("a={}", "x".repeat(257)), false);
        check(&format!("a={0},b={0}", "x".repeat(254)), false);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace: [u8; 16], span: [u8; 8], flags: u8) {
            let parent = Parent { trace, span, flags };
            let want = (trace != [0; 16] && span != [0; 8]).then_some(parent);
            prop_assert_eq!(Parent::parse(&parent.write()), want);
        }

        #[test]
        fn a_changed_byte_is_noticed_or_read_as_written(at in 0..PARENT_BYTES, byte: u8) {
            let mut value = GOOD.as_bytes().to_vec();
            value[at] = byte;
            if let Some(parent) = Parent::parse(&value) {
                let mut again = parent.write();
                again[..2].copy_from_slice(&value[..2]);
                prop_assert_eq!(again.as_slice(), value.as_slice());
            }
        }
    }
}
