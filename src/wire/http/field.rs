//! Header fields that we look at, found by length and then by name, and the values that both directions share.
//!
//! No map: a request has ten fields of which we know seven, so a match on the length leaves one or two comparisons.

use crate::base::span::Span;

/// A field whose place in the head is remembered. The index into `RequestHead`'s table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Field {
    /// With an absolute-form target this is the target's authority, which overrides the field (RFC 9112 §3.2.2).
    Host,
    ContentType,
    Authorization,
    ApiKey,
    RequestId,
    /// Last one wins, as do the other three that proxies write: the nearest proxy appends at the end.
    ForwardedFor,
    RealIp,
    ForwardedProto,
    Forwarded,
    Origin,
    SecFetchSite,
    LassoProvider,
    LassoTransport,
    LassoIncludeMeta,
    LassoRegion,
    AccessControlRequestHeaders,
    Accept,
    Upgrade,
    Connection,
    SecWebsocketKey,
    SecWebsocketVersion,
    /// Worth nothing when it is there twice, like the next.
    Traceparent,
    Tracestate,
    LastEventId,
    IfNoneMatch,
}

impl Field {
    pub const COUNT: usize = Field::IfNoneMatch as usize + 1;

    /// Whether the last of several wins instead of the first.
    pub(super) fn last_wins(self) -> bool {
        matches!(self, Field::ForwardedFor | Field::RealIp | Field::ForwardedProto | Field::Forwarded)
    }
}

/// What a request's field name means to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name {
    Kept(Field),
    ContentLength,
    TransferEncoding,
    ContentEncoding,
    Expect,
    /// `X-Forwarded-Host` and its like: only that it is there matters.
    ForwardedOther,
    Unknown,
}

/// By name, ASCII case aside.
pub(super) fn request_field(name: &[u8]) -> Name {
    use Field::*;
    match name.len() {
        4 if is_name(name, b"host") => Name::Kept(Host),
        6 if is_name(name, b"accept") => Name::Kept(Accept),
        6 if is_name(name, b"expect") => Name::Expect,
        6 if is_name(name, b"origin") => Name::Kept(Origin),
        7 if is_name(name, b"upgrade") => Name::Kept(Upgrade),
        9 if is_name(name, b"x-api-key") => Name::Kept(ApiKey),
        9 if is_name(name, b"x-real-ip") => Name::Kept(RealIp),
        9 if is_name(name, b"forwarded") => Name::Kept(Forwarded),
        10 if is_name(name, b"tracestate") => Name::Kept(Tracestate),
        10 if is_name(name, b"connection") => Name::Kept(Connection),
        11 if is_name(name, b"traceparent") => Name::Kept(Traceparent),
        12 if is_name(name, b"content-type") => Name::Kept(ContentType),
        12 if is_name(name, b"x-request-id") => Name::Kept(RequestId),
        13 if is_name(name, b"authorization") => Name::Kept(Authorization),
        13 if is_name(name, b"last-event-id") => Name::Kept(LastEventId),
        13 if is_name(name, b"if-none-match") => Name::Kept(IfNoneMatch),
        14 if is_name(name, b"content-length") => Name::ContentLength,
        14 if is_name(name, b"sec-fetch-site") => Name::Kept(SecFetchSite),
        14 if is_name(name, b"x-lasso-region") => Name::Kept(LassoRegion),
        15 if is_name(name, b"x-forwarded-for") => Name::Kept(ForwardedFor),
        16 if is_name(name, b"content-encoding") => Name::ContentEncoding,
        16 if is_name(name, b"x-lasso-provider") => Name::Kept(LassoProvider),
        17 if is_name(name, b"transfer-encoding") => Name::TransferEncoding,
        17 if is_name(name, b"x-forwarded-proto") => Name::Kept(ForwardedProto),
        17 if is_name(name, b"sec-websocket-key") => Name::Kept(SecWebsocketKey),
        17 if is_name(name, b"x-lasso-transport") => Name::Kept(LassoTransport),
        20 if is_name(name, b"x-lasso-include-meta") => Name::Kept(LassoIncludeMeta),
        21 if is_name(name, b"sec-websocket-version") => Name::Kept(SecWebsocketVersion),
        30 if is_name(name, b"access-control-request-headers") => Name::Kept(AccessControlRequestHeaders),
        _ if is_forwarded(name) => Name::ForwardedOther,
        _ => Name::Unknown,
    }
}

/// Whether `name`, a token, is `want`, which is of lower-case letters and hyphens. In a token no other byte than a
/// letter's two cases gives that letter with bit 5 set, and only a hyphen gives a hyphen.
#[inline]
pub(super) fn is_name<const LENGTH: usize>(name: &[u8], want: &[u8; LENGTH]) -> bool {
    let Ok(name) = <&[u8; LENGTH]>::try_from(name) else { return false };
    name.iter().zip(want).fold(0, |differs, (got, want)| differs | ((got | 0x20) ^ want)) == 0
}

fn is_forwarded(name: &[u8]) -> bool {
    name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"x-forwarded-"))
}

/// Options of all Connection fields together (RFC 9110 §7.6.1).
#[derive(Clone, Copy, Default)]
pub(super) struct ConnectionOptions {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
}

impl ConnectionOptions {
    pub(super) fn add(&mut self, value: &[u8]) {
        for token in value.split(|&byte| byte == b',') {
            let token = token.trim_ascii();
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// Whether the connection outlives the message (RFC 9112 §9.3).
    pub(super) fn persists(self, minor: u8) -> bool {
        !self.close && (minor >= 1 || self.keep_alive)
    }
}

/// `1*DIGIT` that fits, else `None`: no sign, space, list or other base.
pub(super) fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// Remembers places of fields.
pub(super) type Places = [Span; Field::COUNT];

#[cfg(test)]
mod tests {
    use super::*;

    /// The bit trick of `is_name` against the plain comparison, for each token byte in each place.
    #[test]
    fn names_are_compared_as_tokens() {
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let want = b"x-api-key";
        for place in 0..want.len() {
            for byte in (0..=255).filter(token) {
                let mut name = *want;
                name[place] = byte;
                assert_eq!(is_name(&name, want), name.eq_ignore_ascii_case(want), "{}", name.escape_ascii());
            }
        }
        assert!(!is_name(b"x-api-ke", want) && !is_name(b"x-api-keys", want) && !is_name(b"", want));
    }

    #[test]
    fn decimals_to_their_bounds() {
        for (text, want) in [
            ("0", Some(0)),
            ("00", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("000018446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999999999999", None),
            ("", None),
            ("1 ", None),
            ("+1", None),
            ("a", None),
            ("1_0", None),
            (":", None),
            ("/", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), want, "{text}");
        }
    }
}
