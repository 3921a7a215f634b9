//! Why a request head was refused, said so that a person can mend it. httparse knows only the kind of token that
//! failed; the cause is found by looking again, slowly, at heads that are refused anyway.

use super::fault::{self, HttpFault};

/// Names the cause that httparse's error stands for. Only refused heads come here.
#[cold]
pub(super) fn diagnose(head: &[u8], error: httparse::Error) -> HttpFault {
    if error == httparse::Error::TooManyHeaders {
        return fault::TOO_MANY_FIELDS;
    }
    if head.windows(2).any(|pair| matches!(pair, [b'\r', next] if *next != b'\n')) {
        return fault::BARE_CR;
    }
    if head.iter().any(|&byte| (byte < b' ' && !matches!(byte, b'\t' | b'\r' | b'\n')) || byte == 0x7f) {
        return fault::CONTROL;
    }
    let mut lines = head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request_line = lines.next().unwrap_or(&[]);
    match error {
        httparse::Error::Version => version_fault(request_line),
        httparse::Error::HeaderName => name_fault(lines),
        httparse::Error::HeaderValue => fault::FIELD_VALUE,
        _ => fault::REQUEST_LINE,
    }
}

fn version_fault(request_line: &[u8]) -> HttpFault {
    if request_line == b"PRI * HTTP/2.0" {
        return fault::HTTP2;
    }
    let mut parts = request_line.split(|&byte| byte == b' ');
    let (Some(_), Some(_), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return fault::REQUEST_LINE;
    };
    match version {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => fault::VERSION,
        _ => fault::REQUEST_LINE,
    }
}

fn name_fault<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HttpFault {
    for line in lines {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return fault::FOLDED;
        }
        let name = line.split(|&byte| byte == b':').next().unwrap_or(&[]);
        if name.len() < line.len() && matches!(name.last(), Some(b' ' | b'\t')) {
            return fault::SPACE_BEFORE_COLON;
        }
    }
    fault::FIELD_NAME
}
