//! Strings by meaning: compared through their escapes, and written with them.

use super::skip_string;

/// Characters of a raw JSON string (what stands between its quotes), escapes resolved. A broken escape or broken UTF-8
/// yields U+FFFD, which equals nothing that we look for.
struct Chars<'a> {
    rest: &'a [u8],
}

impl Iterator for Chars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let (first, rest) = self.rest.split_first()?;
        if *first == b'\\' {
            return Some(self.escape());
        }
        if first.is_ascii() {
            self.rest = rest;
            return Some(char::from(*first));
        }
        let head = self.rest.get(..4).unwrap_or(self.rest);
        let character = (1..=head.len()).find_map(|n| std::str::from_utf8(head.get(..n)?).ok()?.chars().next());
        self.rest = self.rest.get(character.map_or(1, char::len_utf8)..).unwrap_or(&[]);
        Some(character.unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

impl Chars<'_> {
    fn escape(&mut self) -> char {
        let (character, len) = match self.rest.get(1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(plain @ (b'"' | b'\\' | b'/')) => (char::from(*plain), 2),
            Some(b'u') => self.unicode(),
            _ => (char::REPLACEMENT_CHARACTER, 2),
        };
        self.rest = self.rest.get(len..).unwrap_or(&[]);
        character
    }

    /// `\uXXXX`, or two of them that are a surrogate pair: the character and how many bytes it took.
    fn unicode(&self) -> (char, usize) {
        let unit = |at: usize| {
            let digits = std::str::from_utf8(self.rest.get(at..at + 4)?).ok()?;
            if digits.starts_with('+') { None } else { u32::from_str_radix(digits, 16).ok() }
        };
        let Some(high) = unit(2) else { return (char::REPLACEMENT_CHARACTER, 2) };
        if let (0xD800..0xDC00, Some(b"\\u")) = (high, self.rest.get(6..8))
            && let Some(low @ 0xDC00..0xE000) = unit(8)
        {
            let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
        }
        (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
    }
}

/// Whether a raw string (between its quotes) means `want`.
pub fn string_equals(raw: &[u8], want: &str) -> bool {
    raw == want.as_bytes() || (raw.contains(&b'\\') && Chars { rest: raw }.eq(want.chars()))
}

/// Whether two raw strings mean the same.
pub fn strings_equal(a: &[u8], b: &[u8]) -> bool {
    a == b || ((a.contains(&b'\\') || b.contains(&b'\\')) && Chars { rest: a }.eq(Chars { rest: b }))
}

/// Whether a raw string means `want` (lower-case ASCII) to a parser that ignores case. Go's encoding/json, which geth and
/// its family use, folds by Unicode: the long s U+017F is an `s`, the Kelvin sign U+212A a `k`.
pub fn string_folds_to(raw: &[u8], want: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17F}' => 's',
        '\u{212A}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    // An escape takes at most 6 bytes for each ASCII character.
    raw.len() <= want.len() * 6 && Chars { rest: raw }.map(fold).eq(want.chars())
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 | 0x7F => &control_escape(byte),
            _ => continue,
        };
        out.extend_from_slice(text.as_bytes().get(plain_from..at).unwrap_or(&[]));
        out.extend_from_slice(escape);
        plain_from = at + 1;
    }
    out.extend_from_slice(text.as_bytes().get(plain_from..).unwrap_or(&[]));
    out.push(b'"');
}

fn control_escape(byte: u8) -> [u8; 6] {
    let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + n - 10 };
    [b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]
}

/// The raw contents of the string token `token` (quotes included); `None` when it is not exactly one string.
pub(crate) fn unquoted(token: &[u8]) -> Option<&[u8]> {
    let whole = token.first() == Some(&b'"') && skip_string(token, 0) == Ok(token.len());
    if whole { token.get(1..token.len() - 1) } else { None }
}
