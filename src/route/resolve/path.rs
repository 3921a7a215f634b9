//! A path into decoded segments. Empty segments vanish (`//rpc/x/` is `/rpc/x`), as in the program we replace; an escaped
//! slash stays inside its segment because splitting comes first.

use crate::route::resolve::query::decode;

/// Deepest route: /ws/rpc/profile/P/provider/ID/C.
const DEEPEST: usize = 8;

/// Remedy for people who sent a path or query that does not decode.
pub(super) const WRONG_ESCAPE: &str = "path and query must be UTF-8 with %XX escapes of two hex digits; write a literal % as %25";

/// Segments of a path; more than `DEEPEST` are kept as `DEEPEST`, which matches no route.
#[derive(Clone, Copy)]
pub(super) struct Segments<'a> {
    items: [&'a str; DEEPEST],
    count: usize,
}

impl<'a> Segments<'a> {
    /// `store` holds decoded segments, and stays empty when there is no `%`. `None`: a broken escape, or not UTF-8.
    pub fn split(path: &'a [u8], store: &'a mut Vec<String>) -> Option<Segments<'a>> {
        let text = std::str::from_utf8(path).ok()?;
        let mut raw = Segments { items: [""; DEEPEST], count: 0 };
        let (mut start, mut escaped) = (0, false);
        for (at, byte) in text.bytes().enumerate() {
            escaped |= byte == b'%';
            if byte == b'/' {
                raw.push(text.get(start..at)?);
                start = at + 1;
            }
        }
        raw.push(text.get(start..)?);
        if !escaped {
            return Some(raw);
        }
        for part in raw.as_slice() {
            store.push(decode(part, false)?.into_owned());
        }
        let mut decoded = Segments { items: [""; DEEPEST], count: 0 };
        store.iter().for_each(|part| decoded.push(part));
        Some(decoded)
    }

    fn push(&mut self, part: &'a str) {
        if let (false, Some(slot)) = (part.is_empty(), self.items.get_mut(self.count)) {
            *slot = part;
            self.count += 1;
        }
    }

    pub fn as_slice(&self) -> &[&'a str] {
        self.items.get(..self.count).unwrap_or(&[])
    }
}

/// Whether answers on this path carry CORS fields: `/rpc` and `/ws` and what is below (docs/behaviour/http.md#cors).
pub fn is_rpc_path(path: &[u8]) -> bool {
    let below = |root: &[u8]| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
    below(b"/rpc") || below(b"/ws")
}
