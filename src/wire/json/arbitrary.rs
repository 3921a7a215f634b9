//! JSON texts for property tests: odd white space, escapes, nesting, repeated keys, big numbers; and damage to them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// White space, mostly none.
pub(crate) fn space() -> impl Strategy<Value = String> {
    select(vec!["", "", "", "", " ", "\n", "\r\n\t ", "   "]).prop_map(str::to_owned)
}

/// A string token.
pub(crate) fn string() -> impl Strategy<Value = String> {
    let pieces: Vec<&'static str> = vec![
        "a",
        "0x",
        "id",
        "result",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\\\"",
        "\\\\",
        "\\\\\\\\",
        "\\n",
        "\\u00e9",
        "\\uD83D\\uDE00",
        "é",
        "😀",
        "deadbeef00",
    ];
    let long = (0usize..200).prop_map(|n| format!("\"0x{}\"", "f".repeat(n)));
    prop_oneof![3 => vec(select(pieces), 0..8).prop_map(|parts| format!("\"{}\"", parts.concat())), 1 => long]
}

/// A number or word token.
pub(crate) fn scalar() -> impl Strategy<Value = String> {
    let fixed = vec!["null", "true", "false", "0", "-0", "1e9", "-1.5E+3", "0.0", "340282366920938463463374607431768211456"];
    prop_oneof![select(fixed).prop_map(str::to_owned), any::<i64>().prop_map(|n| n.to_string())]
}

/// Any value.
pub(crate) fn value() -> impl Strategy<Value = String> {
    prop_oneof![string(), scalar()].prop_recursive(6, 48, 6, |inner| {
        let item = (space(), inner.clone(), space()).prop_map(|(a, v, b)| format!("{a}{v}{b}")).boxed();
        let member = (space(), string(), space(), item.clone()).prop_map(|(a, k, b, v)| format!("{a}{k}{b}:{v}"));
        prop_oneof![
            vec(item, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// A text with one byte replaced, removed or added, or cut off: often no JSON any more.
pub(crate) fn damaged(text: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    let bytes = select(b"\"\\{}[],:0-.eEtn x\x00\x1f\x7f\x80\xff\n".to_vec());
    (text, any::<prop::sample::Index>(), bytes, 0..5).prop_map(|(text, at, byte, kind)| {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len().max(1));
        match kind {
            0 if at < bytes.len() => bytes[at] = byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.insert(at.min(bytes.len()), byte),
            3 => bytes.truncate(at),
            _ => {}
        }
        bytes
    })
}
