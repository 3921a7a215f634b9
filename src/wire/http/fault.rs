//! Every refusal of the codec, with its status and its sentence: what is wrong, then what to do about it.
//!
//! One table instead of texts at each check, so that tests compare faults by value and no text is made at run time.
//! Numbers in texts are literals; the assertions at the end fail the build when a limit moves away from its text.

use crate::base::limits;

/// A typed refusal. The connection ends after it in every case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HttpFault {
    /// Status to answer a client with: 400, 413, 414, 415, 417, 431 or 505. For a provider's answer always 502.
    pub status: u16,
    /// For people: cause, then remedy.
    pub reason: &'static str,
}

impl std::fmt::Display for HttpFault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.status, self.reason)
    }
}

impl std::error::Error for HttpFault {}

const fn fault(status: u16, reason: &'static str) -> HttpFault {
    HttpFault { status, reason }
}

// --- request heads ---
pub(super) const TLS: HttpFault =
    fault(400, "this looks like a TLS handshake, but this port speaks plain HTTP: use http://, or put a TLS proxy in front");
pub(super) const HTTP2: HttpFault =
    fault(400, "this is the HTTP/2 preface, but this port speaks HTTP/1.1 only: turn prior-knowledge HTTP/2 off");
pub(super) const NOT_HTTP: HttpFault = fault(400, "the first byte cannot start an HTTP request: send METHOD PATH HTTP/1.1");
pub(super) const BARE_LF: HttpFault = fault(400, "a line ends with LF alone: end every line of the head with CR LF");
pub(super) const BARE_CR: HttpFault = fault(400, "a CR stands without LF: end every line of the head with CR LF");
pub(super) const CONTROL: HttpFault =
    fault(400, "a control byte stands in the head: only tabs and visible characters are allowed");
pub(super) const BLANK_LINES: HttpFault = fault(400, "more than two blank lines before the request: start with the request line");
pub(super) const REQUEST_LINE: HttpFault =
    fault(400, "the request line is malformed: send METHOD PATH HTTP/1.1 with single spaces between");
pub(super) const VERSION: HttpFault = fault(505, "this HTTP version is not spoken here: use HTTP/1.1");
pub(super) const FOLDED: HttpFault =
    fault(400, "a header field is folded over two lines, which is obsolete: send each field on one line");
pub(super) const SPACE_BEFORE_COLON: HttpFault = fault(400, "a space stands before the colon of a header field: remove it");
pub(super) const FIELD_NAME: HttpFault = fault(400, "a header field has no colon or an invalid character in its name");
pub(super) const FIELD_VALUE: HttpFault = fault(400, "a header field has an invalid value");
pub(super) const HEAD_TOO_LARGE: HttpFault =
    fault(431, "the request head is larger than 16384 bytes: send fewer or shorter header fields");
pub(super) const TOO_MANY_FIELDS: HttpFault = fault(431, "the request has more than 100 header fields: send fewer");
pub(super) const TARGET_TOO_LONG: HttpFault =
    fault(414, "the request line is longer than 16384 bytes: shorten the path or query");

// --- target and host ---
pub(super) const TARGET: HttpFault =
    fault(400, "the request target is invalid: send an absolute path such as /rpc/ethereum, percent-encoded, without fragment");
pub(super) const CONNECT: HttpFault = fault(400, "this is no tunnelling proxy: CONNECT and host:port targets are not served");
pub(super) const NO_HOST: HttpFault = fault(400, "the Host header field is missing: HTTP/1.1 requires exactly one");
pub(super) const TWO_HOSTS: HttpFault = fault(400, "the Host header field is repeated: send exactly one");
pub(super) const HOST: HttpFault = fault(400, "the Host header field is invalid: send a name or address, with or without :port");

// --- framing ---
pub(super) const TWO_FRAMINGS: HttpFault =
    fault(400, "both Content-Length and Transfer-Encoding are given: the body's end would be ambiguous, send one of them");
pub(super) const TWO_LENGTHS: HttpFault = fault(400, "Content-Length is repeated: send exactly one");
pub(super) const LENGTH: HttpFault = fault(400, "Content-Length is not a plain decimal number");
pub(super) const TWO_ENCODINGS: HttpFault = fault(400, "Transfer-Encoding is repeated: send exactly one, `chunked`");
pub(super) const ENCODING: HttpFault =
    fault(400, "this Transfer-Encoding is not supported: send exactly `chunked`, or Content-Length");
pub(super) const ENCODING_IN_10: HttpFault =
    fault(400, "Transfer-Encoding does not exist in HTTP/1.0: use HTTP/1.1, or Content-Length");
pub(super) const BODY_TOO_LARGE: HttpFault =
    fault(413, "the request body is larger than the limit of 8000000 bytes: send less, or split the batch");
pub(super) const CONTENT_ENCODING: HttpFault =
    fault(415, "compressed request bodies are not supported: send the body without Content-Encoding");
pub(super) const TWO_TYPES: HttpFault = fault(400, "Content-Type is repeated: send exactly one");
pub(super) const TWO_SOCKET_FIELDS: HttpFault =
    fault(400, "Sec-WebSocket-Key or Sec-WebSocket-Version is repeated: send exactly one of each");
pub(super) const EXPECT: HttpFault = fault(417, "this Expect is not supported: send `Expect: 100-continue` or none");

// --- chunked bodies, both directions ---
pub(super) const CHUNK_SIZE: HttpFault = fault(400, "a chunk size is malformed: send 1 to 16 hex digits, then CR LF");
pub(super) const CHUNK_EXTENSION: HttpFault = fault(400, "a chunk extension is malformed: send chunks without extensions");
pub(super) const CHUNK_EXTENSIONS: HttpFault = fault(400, "chunk extensions are too long: send chunks without extensions");
pub(super) const CHUNK_END: HttpFault = fault(400, "a chunk does not end with CR LF where its size says");
pub(super) const CHUNK_TOTAL: HttpFault =
    fault(413, "the chunked body is larger than its limit of bytes: send less, or split the batch");
pub(super) const TRAILER: HttpFault = fault(400, "the trailer section of a chunked body is malformed: send none");
pub(super) const TRAILERS: HttpFault = fault(400, "the trailer section of a chunked body is larger than 8192 bytes: send none");

// --- answers of providers ---
pub(super) const ANSWER_LINE: HttpFault = fault(502, "the provider's answer does not start with an HTTP/1.x status line");
pub(super) const ANSWER_BARE_LF: HttpFault = fault(502, "the provider's answer head has a line that ends with LF alone");
pub(super) const ANSWER_FIELDS: HttpFault = fault(502, "the provider's answer has a malformed header field");
pub(super) const ANSWER_STATUS: HttpFault = fault(502, "the provider's answer has a status outside 100..599");
pub(super) const ANSWER_UPGRADE: HttpFault = fault(502, "the provider switched protocols without being asked");
pub(super) const ANSWER_HEAD_TOO_LARGE: HttpFault = fault(502, "the provider's answer head is larger than 65536 bytes");
pub(super) const ANSWER_TOO_MANY_FIELDS: HttpFault = fault(502, "the provider's answer has more than 128 header fields");
pub(super) const ANSWER_TWO_FRAMINGS: HttpFault =
    fault(502, "the provider's answer has both Content-Length and Transfer-Encoding");
pub(super) const ANSWER_LENGTH: HttpFault = fault(502, "the provider's answer has an invalid or contradictory Content-Length");
pub(super) const ANSWER_ENCODING: HttpFault = fault(502, "the provider's answer has a Transfer-Encoding other than `chunked`");
pub(super) const ANSWER_CONTENT_ENCODING: HttpFault =
    fault(502, "the provider's answer has a Content-Encoding that was not asked for");

// --- a provider's answer to the wish for a WebSocket ---
pub(super) const UPGRADE_VERSION: HttpFault = fault(502, "the provider switched protocols in HTTP/1.0, which cannot");
pub(super) const UPGRADE_FIELDS: HttpFault =
    fault(502, "the provider's 101 answer lacks `Upgrade: websocket` or `Connection: Upgrade`, or repeats Upgrade");
pub(super) const UPGRADE_ACCEPT: HttpFault =
    fault(502, "the provider's 101 answer has no Sec-WebSocket-Accept, two, or one for another key");
pub(super) const UPGRADE_EXTENSION: HttpFault =
    fault(502, "the provider's 101 answer names an extension or subprotocol that nobody asked for");

const _: () = assert!(limits::HEAD_BYTES == 16384 && limits::HEADERS == 100, "texts above name these numbers");
const _: () = assert!(limits::REQUEST_BODY_BYTES == 8_000_000 && limits::TRAILER_BYTES == 8192, "texts above name these numbers");
const _: () = assert!(limits::ANSWER_HEAD_BYTES == 65536 && limits::ANSWER_HEADERS == 128, "texts above name these numbers");
