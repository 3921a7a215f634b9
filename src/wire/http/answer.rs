//! Heads of providers' answers. A provider is trusted to be a provider, not to be correct: an answer whose end is
//! ambiguous is a fault, because what follows it on the connection would be taken for the next call's answer.

use super::Scan;
use super::fault::{self, HttpFault};
use super::field::{ConnectionOptions, decimal, is_name};
use super::lines::{Lines, Shape, find_head, offset_in};
use crate::base::limits;
use crate::base::span::Span;
use std::mem::MaybeUninit;

/// How the body that follows is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerFraming {
    /// No body: 1xx, 204, 304.
    None,
    /// Not bounded here: the reader decides what it holds.
    Length(u64),
    Chunked,
    /// To the end of the connection, which cannot be told from a cut: complete only if the JSON is.
    UntilClose,
}

/// A provider's answer head. Spans are positions in the scanned buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnswerHead {
    /// 100..=599, never 101. After a 1xx skip `len` bytes and scan again.
    pub status: u16,
    /// Bytes of the head with its closing CR LF CR LF.
    pub len: usize,
    pub framing: AnswerFraming,
    /// The connection may carry another call once the body has been read to its end.
    pub keep_alive: bool,
    /// The body is gzip.
    pub gzip: bool,
    /// First Retry-After, `Span::NONE` when absent.
    pub retry_after: Span,
    /// First Content-Type, `Span::NONE` when absent.
    pub content_type: Span,
    /// A Location is there: the provider redirects.
    pub location: bool,
}

const COMMON_FIELDS: usize = 32;

const SHAPE: Shape = Shape {
    max_bytes: limits::ANSWER_HEAD_BYTES,
    blank_lines: 0,
    bare_lf: fault::ANSWER_BARE_LF,
    bare_cr: fault::ANSWER_LINE,
    too_many_blanks: fault::ANSWER_LINE,
    line_too_long: fault::ANSWER_HEAD_TOO_LARGE,
    too_large: fault::ANSWER_HEAD_TOO_LARGE,
};

/// Reads the answer head at the start of `buf`; `seen` as for `scan_request`. Nothing may stand before the status line.
pub fn scan_answer(buf: &[u8], seen: usize) -> Scan<AnswerHead> {
    let head = match head_of(buf, seen) {
        Scan::NeedMore => return Scan::NeedMore,
        Scan::Bad(fault) => return Scan::Bad(fault),
        Scan::Done(head) => head,
    };
    let parsed = match parse::<COMMON_FIELDS>(buf, head) {
        Err(fault) if fault == fault::ANSWER_TOO_MANY_FIELDS => parse::<{ limits::ANSWER_HEADERS }>(buf, head),
        parsed => parsed,
    };
    match parsed {
        Ok(answer) => Scan::Done(answer),
        Err(fault) => Scan::Bad(fault),
    }
}

/// The bytes of the head, its closing blank line included, once they are all here.
pub(super) fn head_of(buf: &[u8], seen: usize) -> Scan<&[u8]> {
    // Told at once, so that a provider that speaks something else (SSH, HTTP/0.9) does not cost the whole timeout.
    if buf.iter().zip(b"HTTP/1.").any(|(got, want)| got != want) {
        return Scan::Bad(fault::ANSWER_LINE);
    }
    match find_head(buf, seen, &SHAPE, |_| None) {
        Lines::NeedMore => Scan::NeedMore,
        Lines::Bad(fault) => Scan::Bad(fault),
        Lines::Head { end, .. } => Scan::Done(buf.get(..end).unwrap_or(&[])),
    }
}

fn parse<const FIELDS: usize>(buf: &[u8], head: &[u8]) -> Result<AnswerHead, HttpFault> {
    let mut space = [const { MaybeUninit::uninit() }; FIELDS];
    let mut tokens = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut tokens, head, &mut space) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(fault::ANSWER_LINE),
        Err(httparse::Error::TooManyHeaders) => return Err(fault::ANSWER_TOO_MANY_FIELDS),
        Err(httparse::Error::HeaderName | httparse::Error::HeaderValue | httparse::Error::NewLine) => {
            return Err(fault::ANSWER_FIELDS);
        }
        Err(_) => return Err(fault::ANSWER_LINE),
    }
    let (Some(minor), Some(status)) = (tokens.version, tokens.code) else { return Err(fault::ANSWER_LINE) };
    if !(100..=599).contains(&status) {
        return Err(fault::ANSWER_STATUS);
    }
    if status == 101 {
        return Err(fault::ANSWER_UPGRADE);
    }
    let mut collected = Collected::default();
    for header in tokens.headers.iter() {
        collected.add(buf, header.name.as_bytes(), header.value)?;
    }
    collected.finish(status, minor, head.len())
}

#[derive(Default)]
struct Collected {
    connection: ConnectionOptions,
    length: Option<u64>,
    chunked: bool,
    gzip: bool,
    retry_after: Span,
    content_type: Span,
    location: bool,
}

impl Collected {
    fn add(&mut self, buf: &[u8], name: &[u8], value: &[u8]) -> Result<(), HttpFault> {
        match name.len() {
            8 if is_name(name, b"location") => self.location = true,
            10 if is_name(name, b"connection") => self.connection.add(value),
            11 if is_name(name, b"retry-after") => note_first(&mut self.retry_after, buf, value),
            12 if is_name(name, b"content-type") => note_first(&mut self.content_type, buf, value),
            14 if is_name(name, b"content-length") => self.add_length(value)?,
            16 if is_name(name, b"content-encoding") => self.add_content_encoding(value)?,
            17 if is_name(name, b"transfer-encoding") => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(fault::ANSWER_ENCODING);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// Repeated lengths are let through when all agree, as RFC 9112 §6.3 allows a client: real front ends do it.
    fn add_length(&mut self, value: &[u8]) -> Result<(), HttpFault> {
        for item in value.split(|&byte| byte == b',') {
            let length = decimal(item.trim_ascii()).ok_or(fault::ANSWER_LENGTH)?;
            if self.length.is_some_and(|known| known != length) {
                return Err(fault::ANSWER_LENGTH);
            }
            self.length = Some(length);
        }
        Ok(())
    }

    fn add_content_encoding(&mut self, value: &[u8]) -> Result<(), HttpFault> {
        if value.is_empty() || value.eq_ignore_ascii_case(b"identity") {
            return Ok(());
        }
        let gzip = value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip");
        if !gzip || self.gzip {
            return Err(fault::ANSWER_CONTENT_ENCODING);
        }
        self.gzip = true;
        Ok(())
    }

    fn finish(self, status: u16, minor: u8, len: usize) -> Result<AnswerHead, HttpFault> {
        if self.chunked && self.length.is_some() {
            return Err(fault::ANSWER_TWO_FRAMINGS);
        }
        if self.chunked && minor == 0 {
            return Err(fault::ANSWER_ENCODING);
        }
        let bodiless = status < 200 || status == 204 || status == 304;
        let framing = match (bodiless, self.chunked, self.length) {
            (true, ..) => AnswerFraming::None,
            (_, true, _) => AnswerFraming::Chunked,
            (_, _, Some(length)) => AnswerFraming::Length(length),
            _ => AnswerFraming::UntilClose,
        };
        // A 1xx or 204 that announces a body may well send it: what follows could not be trusted to be an answer.
        let announces = status != 304 && bodiless && (self.chunked || self.length.is_some_and(|length| length > 0));
        let keep_alive = self.connection.persists(minor) && framing != AnswerFraming::UntilClose && !announces;
        Ok(AnswerHead {
            status,
            len,
            framing,
            keep_alive,
            gzip: self.gzip,
            retry_after: self.retry_after,
            content_type: self.content_type,
            location: self.location,
        })
    }
}

fn note_first(place: &mut Span, buf: &[u8], value: &[u8]) {
    if *place == Span::NONE {
        let start = offset_in(buf, value);
        *place = Span::new(start, start + value.len());
    }
}
