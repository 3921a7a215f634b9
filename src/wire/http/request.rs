//! Heads of requests: one scan from bytes to spans, typically 150-300 ns, no allocation.
//!
//! Order of refusals: what the first byte shows, line ends, size, tokens, fields, target, Host, framing. A head is
//! judged as a whole once its blank line is there; only faults that would otherwise hang (TLS, bare LF, an endless
//! head) are told before.

use super::Scan;
use super::diagnose::diagnose;
use super::fault::{self, HttpFault};
use super::field::{ConnectionOptions, Field, Name, Places, decimal, request_field};
use super::lines::{Lines, Shape, find_head, offset_in};
use super::target::{parse_target, valid_host};
use crate::base::limits;
use crate::base::span::Span;
use std::mem::MaybeUninit;

/// Methods are case-sensitive; `Other` is any other token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Other,
}

/// How the body that follows is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// No body.
    None,
    /// At most `REQUEST_BODY_BYTES`; 0 when so declared.
    Length(u64),
    Chunked,
}

/// A request's head. Spans are positions in the scanned buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestHead {
    pub method: Method,
    /// Starts with `/`, or is `*` (OPTIONS only). Not percent-decoded.
    pub path: Span,
    /// Without `?`; `Span::NONE` when there is none.
    pub query: Span,
    /// The 0 or 1 of HTTP/1.x.
    pub minor: u8,
    /// Bytes of the head: blank lines skipped before it, up to and with its closing CR LF CR LF.
    pub len: usize,
    pub framing: Framing,
    pub keep_alive: bool,
    /// `Expect: 100-continue` on HTTP/1.1: say "100 Continue" before reading the body.
    pub expect_continue: bool,
    /// `Connection` lists `upgrade`.
    pub upgrade: bool,
    /// Any of Forwarded, X-Forwarded-*, X-Real-IP is there: the peer is somebody's proxy (docs/behaviour/http.md#operators).
    pub forwarded: bool,
    fields: Places,
}

impl RequestHead {
    /// Where the field's value is, trimmed. `Span::NONE` when absent; an empty value is an empty span elsewhere.
    pub fn field(&self, field: Field) -> Span {
        self.fields.get(field as usize).copied().unwrap_or(Span::NONE)
    }
}

/// Fields of a head that was scanned whose name is one of `names` (lower case), in their order, values trimmed.
pub fn fields_named<'a, N: AsRef<str>>(head: &'a [u8], names: &'a [N]) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    head.split(|byte| *byte == b'\n').filter_map(move |line| {
        let (name, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
        let known = names.iter().map(AsRef::as_ref).find(|known| known.as_bytes().eq_ignore_ascii_case(name))?;
        Some((known, value.strip_prefix(b":")?.trim_ascii()))
    })
}

/// Fields that fit the first try's array; nearly every request has fewer.
const COMMON_FIELDS: usize = 32;

const SHAPE: Shape = Shape {
    max_bytes: limits::HEAD_BYTES,
    blank_lines: 2,
    bare_lf: fault::BARE_LF,
    bare_cr: fault::BARE_CR,
    too_many_blanks: fault::BLANK_LINES,
    line_too_long: fault::TARGET_TOO_LONG,
    too_large: fault::HEAD_TOO_LARGE,
};

/// Reads the request head at the start of `buf`. At most two blank lines before it are skipped and counted in `len`.
///
/// `seen` is how many bytes of this same `buf` an earlier call that said `NeedMore` was given (0 at first): they are not
/// searched again. More bytes never change a `Done` or a `Bad`.
pub fn scan_request(buf: &[u8], seen: usize) -> Scan<RequestHead> {
    let (start, end) = match find_head(buf, seen, &SHAPE, first_byte) {
        Lines::NeedMore => return Scan::NeedMore,
        Lines::Bad(fault) => return Scan::Bad(fault),
        Lines::Head { start, end } => (start, end),
    };
    let head = buf.get(start..end).unwrap_or(&[]);
    let parsed = match parse::<COMMON_FIELDS>(buf, head) {
        Err(fault) if fault == fault::TOO_MANY_FIELDS => parse::<{ limits::HEADERS }>(buf, head),
        parsed => parsed,
    };
    match parsed {
        Ok(request) => Scan::Done(request),
        Err(fault) => Scan::Bad(fault),
    }
}

fn first_byte(byte: u8) -> Option<HttpFault> {
    match byte {
        b'A'..=b'Z' => None,
        0x16 | 0x80 => Some(fault::TLS),
        b if b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b) => None,
        _ => Some(fault::NOT_HTTP),
    }
}

fn parse<const FIELDS: usize>(buf: &[u8], head: &[u8]) -> Result<RequestHead, HttpFault> {
    let mut space = [const { MaybeUninit::uninit() }; FIELDS];
    let mut tokens = httparse::Request::new(&mut []);
    match tokens.parse_with_uninit_headers(head, &mut space) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(fault::REQUEST_LINE),
        Err(error) => return Err(diagnose(head, error)),
    }
    let (Some(method), Some(target), Some(minor)) = (tokens.method, tokens.path, tokens.version) else {
        return Err(fault::REQUEST_LINE);
    };
    let mut collected = Collected::new();
    for header in tokens.headers.iter() {
        collected.add(buf, header.name.as_bytes(), header.value)?;
    }
    let end = offset_in(buf, head) + head.len();
    collected.finish(buf, method, target.as_bytes(), minor, end)
}

/// What the fields said so far.
struct Collected {
    places: Places,
    connection: ConnectionOptions,
    length: Option<u64>,
    chunked: bool,
    expect_continue: bool,
    forwarded: bool,
}

impl Collected {
    fn new() -> Collected {
        Collected {
            places: [Span::NONE; Field::COUNT],
            connection: ConnectionOptions::default(),
            length: None,
            chunked: false,
            expect_continue: false,
            forwarded: false,
        }
    }

    fn add(&mut self, buf: &[u8], name: &[u8], value: &[u8]) -> Result<(), HttpFault> {
        match request_field(name) {
            Name::Unknown => {}
            Name::Kept(field) => return self.keep(field, buf, value),
            Name::ContentLength => {
                if self.length.is_some() {
                    return Err(fault::TWO_LENGTHS);
                }
                self.length = Some(decimal(value).ok_or(fault::LENGTH)?);
            }
            Name::TransferEncoding => {
                if self.chunked {
                    return Err(fault::TWO_ENCODINGS);
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(fault::ENCODING);
                }
                self.chunked = true;
            }
            Name::ContentEncoding => {
                if !value.is_empty() && !value.eq_ignore_ascii_case(b"identity") {
                    return Err(fault::CONTENT_ENCODING);
                }
            }
            Name::Expect => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(fault::EXPECT);
                }
                self.expect_continue = true;
            }
            Name::ForwardedOther => self.forwarded = true,
        }
        Ok(())
    }

    fn keep(&mut self, field: Field, buf: &[u8], value: &[u8]) -> Result<(), HttpFault> {
        if field == Field::Connection {
            self.connection.add(value);
        }
        self.forwarded |= field.last_wins();
        let Some(place) = self.places.get_mut(field as usize) else { return Ok(()) };
        if *place != Span::NONE {
            match field {
                Field::Host => return Err(fault::TWO_HOSTS),
                Field::ContentType => return Err(fault::TWO_TYPES),
                Field::SecWebsocketKey | Field::SecWebsocketVersion => return Err(fault::TWO_SOCKET_FIELDS),
                Field::Traceparent | Field::Tracestate => {
                    place.end = place.start;
                    return Ok(());
                }
                _ if !field.last_wins() => return Ok(()),
                _ => {}
            }
        }
        let start = offset_in(buf, value);
        *place = Span::new(start, start + value.len());
        Ok(())
    }

    fn finish(mut self, buf: &[u8], method: &str, target: &[u8], minor: u8, len: usize) -> Result<RequestHead, HttpFault> {
        let is_connect = method == "CONNECT";
        let method = method_of(method);
        let parts = parse_target(method, is_connect, target)?;
        let host = self.places[Field::Host as usize];
        if host == Span::NONE && minor >= 1 {
            return Err(fault::NO_HOST);
        }
        if host != Span::NONE && !valid_host(host.of(buf)) {
            return Err(fault::HOST);
        }
        let base = offset_in(buf, target);
        let place = |(start, end): (usize, usize)| Span::new(base + start, base + end);
        if let Some(authority) = parts.authority {
            self.places[Field::Host as usize] = place(authority);
        }
        Ok(RequestHead {
            method,
            path: place(parts.path),
            query: parts.query.map_or(Span::NONE, place),
            minor,
            len,
            framing: self.framing(minor)?,
            keep_alive: self.connection.persists(minor),
            expect_continue: self.expect_continue && minor >= 1,
            upgrade: self.connection.upgrade,
            forwarded: self.forwarded,
            fields: self.places,
        })
    }

    fn framing(&self, minor: u8) -> Result<Framing, HttpFault> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(fault::TWO_FRAMINGS),
            (true, None) if minor == 0 => Err(fault::ENCODING_IN_10),
            (true, None) => Ok(Framing::Chunked),
            (false, None) => Ok(Framing::None),
            (false, Some(length)) if length > limits::REQUEST_BODY_BYTES as u64 => Err(fault::BODY_TOO_LARGE),
            (false, Some(length)) => Ok(Framing::Length(length)),
        }
    }
}

fn method_of(token: &str) -> Method {
    match token {
        "POST" => Method::Post,
        "GET" => Method::Get,
        "OPTIONS" => Method::Options,
        "HEAD" => Method::Head,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        _ => Method::Other,
    }
}
