//! Request targets (RFC 9112 §3.2) and Host values (RFC 9110 §7.2).
//!
//! We route by path alone, so of an absolute-form target the path is used and its authority takes Host's place.

use super::fault::{self, HttpFault};
use super::request::Method;

/// Positions within the target's own bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Target {
    pub path: (usize, usize),
    /// Without `?`.
    pub query: Option<(usize, usize)>,
    /// Of an absolute-form target.
    pub authority: Option<(usize, usize)>,
}

pub(super) fn parse_target(method: Method, is_connect: bool, target: &[u8]) -> Result<Target, HttpFault> {
    // httparse lets visible ASCII and bytes from 0x80 through; a URI has no such bytes and no fragment here.
    if target.iter().any(|&byte| !byte.is_ascii() || byte == b'#') {
        return Err(fault::TARGET);
    }
    match target.first() {
        _ if is_connect => Err(fault::CONNECT),
        Some(b'/') => Ok(origin_form(target, 0, None)),
        Some(b'*') if target.len() == 1 && method == Method::Options => Ok(Target { path: (0, 1), query: None, authority: None }),
        _ => absolute_form(target),
    }
}

fn origin_form(target: &[u8], path: usize, authority: Option<(usize, usize)>) -> Target {
    let rest = target.get(path..).unwrap_or(&[]);
    match memchr::memchr(b'?', rest) {
        None => Target { path: (path, target.len()), query: None, authority },
        Some(mark) => Target { path: (path, path + mark), query: Some((path + mark + 1, target.len())), authority },
    }
}

fn absolute_form(target: &[u8]) -> Result<Target, HttpFault> {
    let scheme_len = ["http://", "https://"]
        .iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes())))
        .map(|scheme| scheme.len())
        .ok_or(fault::TARGET)?;
    let rest = target.get(scheme_len..).unwrap_or(&[]);
    let length = rest.iter().position(|&byte| byte == b'/' || byte == b'?').unwrap_or(rest.len());
    let authority = (scheme_len, scheme_len + length);
    if !valid_host(rest.get(..length).unwrap_or(&[])) {
        return Err(fault::TARGET);
    }
    if rest.get(length) == Some(&b'/') {
        return Ok(origin_form(target, authority.1, Some(authority)));
    }
    // No path means "/": the last slash of "://" stands in for it.
    let query = (rest.get(length) == Some(&b'?')).then_some((authority.1 + 1, target.len()));
    Ok(Target { path: (scheme_len - 1, scheme_len), query, authority: Some(authority) })
}

/// A name, an IPv4 or a bracketed IPv6 address, with or without a port. Stricter than RFC 3986: no user, no
/// sub-delimiters, no percent-encoding, not empty; no host that serves HTTP has these.
pub(super) fn valid_host(value: &[u8]) -> bool {
    let (host_ok, rest) = match value {
        [b'[', inner @ ..] => {
            let Some(close) = inner.iter().position(|&byte| byte == b']') else { return false };
            let (address, rest) = inner.split_at(close);
            let ok = std::str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
            (ok, rest.get(1..).unwrap_or(&[]))
        }
        _ => {
            let end = value.iter().position(|&byte| byte == b':').unwrap_or(value.len());
            let (name, rest) = value.split_at(end);
            (!name.is_empty() && name.iter().all(|&byte| is_name_byte(byte)), rest)
        }
    };
    let port_ok = match rest {
        [] => true,
        [b':', digits @ ..] => digits.is_empty() || super::field::decimal(digits).is_some_and(|port| port <= 65535),
        _ => false,
    };
    host_ok && port_ok
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
