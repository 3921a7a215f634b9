//! What a method's result can be, told by its first bytes, so that a long one is judged before it is passed on.
//!
//! Nodes that are out of order answer `null`, an empty text or an empty object where only a value can stand; a client that
//! gets one takes it for the state of the chain. Those are refused, and so are scalars of another kind. An object with
//! members passes for every type, and so do a list for a text and a text that is no hex for a list: gateways answer richer than
//! this table knows (a packed list, a wrapper), and no broken node was seen to do so.
//! Rejected: parsing results (the bytes are the provider's, and may be megabytes).

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Whatever comes.
    Any,
    /// Anything but `null`.
    Value,
    /// A quantity or bytes: a text that is not empty.
    Text,
    /// A list.
    List,
    /// An object, or `null` for what the node does not have.
    Entity,
    /// Anything, `null` included: the node does not have it.
    Nullable,
    /// The same, but `null` also says that a block which is there has no such thing.
    Item,
}

/// What a result's first bytes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sense {
    Fits,
    /// `null`, where that means that the node does not have what was asked for.
    Null,
    /// `[]`, which is also how some nodes say that they do not have the block.
    EmptyList,
    /// The method cannot have such a result.
    Wrong,
}

impl Shape {
    /// `start`: the result, or the beginning of a long one, without white space before it.
    #[inline]
    pub fn read(self, start: &[u8]) -> Sense {
        let is_empty = |end: u8| start.iter().skip(1).find(|byte| !byte.is_ascii_whitespace()) == Some(&end);
        match (start.first(), self) {
            (_, Shape::Any) => Sense::Fits,
            (Some(b'n'), Shape::Entity | Shape::Nullable | Shape::Item) => Sense::Null,
            (Some(b'n') | None, _) => Sense::Wrong,
            (Some(b'['), Shape::Value | Shape::List | Shape::Nullable | Shape::Item) => {
                if is_empty(b']') {
                    Sense::EmptyList
                } else {
                    Sense::Fits
                }
            }
            (_, Shape::Value | Shape::Nullable | Shape::Item) => Sense::Fits,
            (Some(b'"'), Shape::Text) if start.get(1) != Some(&b'"') => Sense::Fits,
            (Some(b'"'), Shape::List) if !matches!(start.get(1..3), Some(b"0x") | None) && start.get(1) != Some(&b'"') => {
                Sense::Fits
            }
            (Some(b'['), Shape::Text) => Sense::Fits,
            (Some(b'{'), Shape::Text | Shape::List | Shape::Entity) if !is_empty(b'}') => Sense::Fits,
            (_, Shape::Text | Shape::List | Shape::Entity) => Sense::Wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_by_their_first_bytes() {
        let all = [Shape::Any, Shape::Value, Shape::Text, Shape::List, Shape::Entity, Shape::Nullable];
        let (f, n, e, w) = (Sense::Fits, Sense::Null, Sense::EmptyList, Sense::Wrong);
        let check = |text: &str, want: [Sense; 6]| assert_eq!(all.map(|s| s.read(text.as_bytes())), want, "{text}");
        check("null", [f, w, w, w, n, n]);
        check("", [f, w, w, w, w, w]);
        check("\"\"", [f, f, w, w, w, f]);
        check("\"0x\"", [f, f, f, w, w, f]);
        check("\"0x1", [f, f, f, w, w, f]);
        check("\"packed", [f, f, f, f, w, f]);
        check("[]", [f, e, f, e, w, e]);
        check("[ \n]", [f, e, f, e, w, e]);
        check("[{\"data\":", [f, f, f, f, w, f]);
        check("{}", [f, f, w, w, w, f]);
        check("{ }", [f, f, w, w, w, f]);
        check("{\"number\":", [f, f, f, f, f, f]);
        for scalar in ["16", "-1", "true", "false"] {
            check(scalar, [f, f, w, w, w, f]);
        }
        for text in ["null", "[]", "{}", "16", "\"0x1\"", "[{}]"] {
            assert_eq!(Shape::Item.read(text.as_bytes()), Shape::Nullable.read(text.as_bytes()), "{text}");
        }
    }
}
