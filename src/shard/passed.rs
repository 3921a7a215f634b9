//! Header fields of a client that its configuration lets through to providers (`forward_headers`): a bundle's signature, a
//! tenant's mark. Read once for a request, written with each attempt of its calls, for each provider only what it may have.
//!
//! They are kept as a copy: the request's buffer is lent to the kernel while a call is written, and most requests have none.
//! Over a provider's WebSocket nothing is passed on, since its calls have no fields.

use crate::base::limits;
use crate::wire::http::fields_named;
use arrayvec::ArrayVec;
use std::rc::Rc;

/// One field: its name, lower case, and its value.
pub type PassedField<'a> = (&'a str, &'a [u8]);

/// At most so many for one call, trace context included.
pub type AddedFields<'a> = ArrayVec<PassedField<'a>, { limits::FORWARDED_FIELDS + 2 }>;

#[derive(Debug)]
pub struct PassedFields(Vec<(Box<str>, Box<[u8]>)>);

impl PassedFields {
    /// Those fields of the request head `head` that have one of these names and can be written as they are.
    #[inline]
    pub fn read(names: &[Box<str>], head: &[u8]) -> Option<Rc<PassedFields>> {
        if names.is_empty() { None } else { PassedFields::find(names, head) }
    }

    #[cold]
    fn find(names: &[Box<str>], head: &[u8]) -> Option<Rc<PassedFields>> {
        let is_plain = |value: &[u8]| !value.is_empty() && value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
        let mut found: Vec<(Box<str>, Box<[u8]>)> = Vec::new();
        for (name, value) in fields_named(head, names).filter(|(_, value)| is_plain(value)) {
            // The first of two with one name is taken: which of them is meant nobody knows, and one line is what is read.
            if !found.iter().any(|(have, _)| **have == *name) {
                found.push((name.into(), value.into()));
            }
        }
        (!found.is_empty()).then(|| Rc::new(PassedFields(found)))
    }

    /// Those that a provider may have.
    pub fn allowed<'a>(&'a self, names: &'a [Box<str>]) -> impl Iterator<Item = PassedField<'a>> {
        let known = self.0.iter().filter(|(name, _)| names.contains(name));
        known.map(|(name, value)| (&**name, &**value)).take(limits::FORWARDED_FIELDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_fields_pass_and_others_do_not() {
        let head = b"POST / HTTP/1.1\r\nhost: a\r\nX-Flashbots-Signature:  0x12:0xab \r\nx-other: 1\r\nx-tag: a\r\nX-TAG: b\r\nx-odd: \xff\r\nx-none:\r\n\r\n";
        let names: Vec<Box<str>> = ["x-flashbots-signature", "x-tag", "x-odd", "x-none", "x-absent"].map(Box::from).into();
        let passed = PassedFields::read(&names, head).expect("two");
        let of = |names: &[Box<str>]| {
            passed.allowed(names).map(|(n, v)| format!("{n}={}", String::from_utf8_lossy(v))).collect::<Vec<_>>()
        };
        assert_eq!(of(&names), ["x-flashbots-signature=0x12:0xab", "x-tag=a"]);
        assert_eq!(of(&names[1..]), ["x-tag=a"]);
        assert!(of(&["x-other".into()]).is_empty());
        assert!(PassedFields::read(&[], head).is_none() && PassedFields::read(&["x-no".into()], head).is_none());
    }
}
