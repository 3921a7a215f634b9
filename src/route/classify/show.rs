//! Whether a provider's error may be shown to a client: not when it is about our credentials, and not when it contains one
//! (docs/behaviour/calls.md#shown-errors). Providers do quote keys, project ids and whole URLs, escaped in every way that JSON
//! and URLs know, so the search is made on the text as sent and on what it decodes to. Errors are rare; here care is cheaper than
//! speed.

use super::find_ignoring_case;
use crate::observe::category::Category;

/// A gateway that nests an error in an error escapes it once more each time.
const NESTED_ESCAPES: usize = 4;

/// `error`: the raw JSON of the error object. `secrets`: of the instance that sent it.
pub fn may_show(category: Category, error: &[u8], secrets: &[Box<str>]) -> bool {
    if matches!(category, Category::Auth | Category::Forbidden) {
        return false;
    }
    let found = |text: &[u8]| secrets.iter().any(|s| !s.is_empty() && find_ignoring_case(text, s.as_bytes()).is_some());
    if found(error) {
        return false;
    }
    if memchr::memchr2(b'\\', b'%', error).is_none() {
        return true;
    }
    let mut text = error.to_vec();
    for _ in 0..NESTED_ESCAPES {
        let decoded = unescape(&text);
        if decoded == text {
            break;
        }
        if found(&decoded) {
            return false;
        }
        text = decoded;
    }
    true
}

/// One layer of JSON escapes and percent escapes off. Not a validator: what does not decode stays as it is.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return out,
            [b'\\', b'u', a, b, c, d, tail @ ..] => match hex_number(&[*a, *b, *c, *d]) {
                Some(point) => {
                    let shown = char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER);
                    out.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes());
                    tail
                }
                None => rest.get(1..).unwrap_or(&[]),
            },
            [b'\\', escaped, tail @ ..] => {
                out.push(*escaped);
                tail
            }
            [b'%', a, b, tail @ ..] if hex_number(&[*a, *b]).is_some() => {
                out.extend(hex_number(&[*a, *b]).and_then(|n| u8::try_from(n).ok()));
                tail
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
    }
}

fn hex_number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |n, d| Some(n << 4 | char::from(*d).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Category as C;

    #[test]
    fn credentials_are_never_shown() {
        let secrets: Vec<Box<str>> = vec!["/v3/0123456789abcdef".into(), "Sup3r+Secret".into()];
        let check = |error: &str, want: bool| assert_eq!(may_show(C::ServerError, error.as_bytes(), &secrets), want, "{error}");
        check(r#"{"code":-32000,"message":"execution reverted"}"#, true);
        check(r#"{"code":-32000,"message":"bad \"thing\" 100%"}"#, true);
        check(r#"{"message":"at https://x/v3/0123456789abcdef"}"#, false);
        check(r#"{"message":"at https://x/V3/0123456789ABCDEF"}"#, false);
        check(r#"{"message":"at https:\/\/x\/v3\/0123456789abcdef"}"#, false);
        check(r#"{"message":"{\"url\":\"https:\\\/\\\/x\\\/v3\\\/0123456789abcdef\"}"}"#, false);
        check(r#"{"message":"at %2Fv3%2F0123456789abcdef"}"#, false);
        check(r#"{"message":"\u0053up3r\u002bSecret"}"#, false);
        check(r#"{"message":"Sup3r Secret"}"#, true);
        check(r#"{"message":"\u"}"#, true);
        check("", true);
        assert!(!may_show(C::Auth, br#"{"code":1,"message":"no"}"#, &[]));
        assert!(!may_show(C::Forbidden, br#"{"code":1,"message":"no"}"#, &[]));
        assert!(may_show(C::Quota, br#"{"code":1,"message":"no"}"#, &["".into()]));
    }
}
