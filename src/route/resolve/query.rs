//! The query parameters that we know. A repeated one: the last wins, as in the program we replace. Empty values are absent.

use std::borrow::Cow;

const NAMES: [&str; 7] =
    ["provider_override", "provider_id", "provider", "transport", "include_meta", "allow_failover", "strategy"];

/// Values of our parameters by position in `NAMES`.
#[derive(Default)]
pub(super) struct Params<'a> {
    values: [Option<Cow<'a, str>>; NAMES.len()],
}

impl<'a> Params<'a> {
    /// `None` when one of ours does not decode; other parameters are none of our business.
    pub fn parse(query: &'a [u8]) -> Option<Params<'a>> {
        let mut params = Params::default();
        let text = std::str::from_utf8(query).ok()?;
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = decode(name, true) else { continue };
            let slot = NAMES.iter().zip(&mut params.values).find(|(known, _)| **known == name);
            if let Some((_, slot)) = slot {
                let value = decode(value, true)?;
                *slot = Some(value).filter(|v| !v.trim().is_empty());
            }
        }
        Some(params)
    }

    fn at(&self, index: usize) -> Option<&str> {
        self.values.get(index)?.as_deref()
    }

    pub fn provider_override(&self) -> Option<&str> {
        self.at(0)
    }

    pub fn provider_id(&self) -> Option<&str> {
        self.at(1)
    }

    pub fn provider(&self) -> Option<&str> {
        self.at(2)
    }

    pub fn transport(&self) -> Option<&str> {
        self.at(3)
    }

    pub fn include_meta(&self) -> Option<&str> {
        self.at(4)
    }

    pub fn allow_failover(&self) -> bool {
        self.at(5) == Some("true")
    }

    pub fn strategy(&self) -> Option<&str> {
        self.at(6)
    }
}

/// The last value of a parameter of an interface of ours; empty is absent.
pub fn value(query: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(query).ok()?;
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(key, _)| *key == name).filter_map(|(_, value)| decode(value, true));
    values.next_back().filter(|value| !value.trim().is_empty()).map(Cow::into_owned)
}

/// Percent-decodes; borrows when there is nothing to decode. `plus`: `+` is a space (queries only).
/// `None` for a broken escape or bytes that are not UTF-8.
pub(super) fn decode(raw: &str, plus: bool) -> Option<Cow<'_, str>> {
    if !raw.bytes().any(|b| b == b'%' || (plus && b == b'+')) {
        return Some(Cow::Borrowed(raw));
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                out.push(hex(*high)? << 4 | hex(*low)?);
                rest = after;
            }
            (b'%', _) => return None,
            (b'+', _) if plus => out.push(b' '),
            _ => out.push(*first),
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}
