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
    Traceparent,
    LastEventId,
}

impl Field {
    pub const COUNT: usize = Field::LastEventId as usize + 1;

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
    let is = |want: &str| name.eq_ignore_ascii_case(want.as_bytes());
    let one = |want: &str, field: Field| if is(want) { Name::Kept(field) } else { Name::Unknown };
    match name.len() {
        4 => one("host", Host),
        6 if is("accept") => Name::Kept(Accept),
        6 if is("expect") => Name::Expect,
        6 => one("origin", Origin),
        7 => one("upgrade", Upgrade),
        9 if is("x-api-key") => Name::Kept(ApiKey),
        9 if is("x-real-ip") => Name::Kept(RealIp),
        9 => one("forwarded", Forwarded),
        10 => one("connection", Connection),
        11 => one("traceparent", Traceparent),
        12 if is("content-type") => Name::Kept(ContentType),
        12 => one("x-request-id", RequestId),
        13 if is("authorization") => Name::Kept(Authorization),
        13 => one("last-event-id", LastEventId),
        14 if is("content-length") => Name::ContentLength,
        14 if is("sec-fetch-site") => Name::Kept(SecFetchSite),
        14 => one("x-lasso-region", LassoRegion),
        15 if is("x-forwarded-for") => Name::Kept(ForwardedFor),
        16 if is("content-encoding") => Name::ContentEncoding,
        16 if is("x-lasso-provider") => Name::Kept(LassoProvider),
        17 if is("transfer-encoding") => Name::TransferEncoding,
        17 if is("x-forwarded-proto") => Name::Kept(ForwardedProto),
        17 if is("sec-websocket-key") => Name::Kept(SecWebsocketKey),
        17 if is("x-lasso-transport") => Name::Kept(LassoTransport),
        20 if is("x-lasso-include-meta") => Name::Kept(LassoIncludeMeta),
        21 if is("sec-websocket-version") => Name::Kept(SecWebsocketVersion),
        30 if is("access-control-request-headers") => Name::Kept(AccessControlRequestHeaders),
        _ if is_forwarded(name) => Name::ForwardedOther,
        _ => Name::Unknown,
    }
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
