//! Connections and what becomes of them. First the fifty requests that an existing codec crashed on, hung on, mis-framed
//! or dropped without a word (the cases of the stack's measurements), then ours. Each is read whole, byte by byte, and cut
//! in two everywhere, with the same result.

use super::drive::{End, Side, read_every_way};
use super::fault::*;
use super::*;
use crate::base::limits;

#[track_caller]
fn check(side: Side, name: &str, bytes: impl AsRef<[u8]>, messages: &[&str], end: End) {
    let seen = read_every_way(side, bytes.as_ref());
    assert_eq!(seen.messages, messages, "{name}: messages");
    assert_eq!(seen.end, end, "{name}: end");
}

fn get(fields: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

fn fields(count: usize) -> String {
    (0..count).map(|number| format!("x-{number}: v\r\n")).collect()
}

#[test]
fn measured_crash_smuggling_and_hang() {
    let refused = |name: &str, bytes: String, fault: HttpFault| {
        check(Side::Requests, name, bytes, &[], End::Refused(fault));
    };
    let long = "n".repeat(65_537);
    refused("name of 65537 bytes", get(&format!("{long}: v\r\n")), HEAD_TOO_LARGE);
    refused("two lengths", post("Content-Length: 2\r\nContent-Length: 30\r\n", "{}"), TWO_LENGTHS);
    refused("two equal lengths", post("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"), TWO_LENGTHS);
    refused("both framings", post("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", "0\r\n\r\n"), TWO_FRAMINGS);
    refused("both, length first", post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), TWO_FRAMINGS);
    refused("identity, then chunked", post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", ""), ENCODING);
    refused("chunked, then gzip", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", ""), TWO_ENCODINGS);
    refused("encoding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), ENCODING_IN_10);
    refused("identity", post("Transfer-Encoding: identity\r\n", ""), ENCODING);
    refused("bare LF", "GET /a HTTP/1.1\nHost: h\r\n\r\n".into(), BARE_LF);
    refused("bare LF at a field", "GET /a HTTP/1.1\r\nHost: h\nX: y\r\n\r\n".into(), BARE_LF);
    let hidden = "GET /one HTTP/1.1\r\nHost: h\n\nGET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";
    refused("request hidden behind LF LF", hidden.into(), BARE_LF);
    refused("empty chunk size", chunked("\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"), CHUNK_SIZE);
    refused("two hosts", get("Host: g\r\n"), TWO_HOSTS);
    refused("no host", "GET /a HTTP/1.1\r\n\r\n".into(), NO_HOST);
    refused("only LF", "GET /a HTTP/1.1\nHost: h\n\n".into(), BARE_LF);
    refused("length of 2^64-1", post("Content-Length: 18446744073709551615\r\n", ""), BODY_TOO_LARGE);
    refused("chunk of FFFFFFFFFF", chunked("FFFFFFFFFF\r\n"), CHUNK_TOTAL);
    refused("chunk of fffffffffffffffd", chunked("fffffffffffffffd\r\n"), CHUNK_TOTAL);
    refused("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".into(), TLS);
    check(Side::Requests, "leading blank lines", format!("\r\n\r\n{}", get("")), &["GET /a"], End::Idle);
    let waits = post("Expect: 100-continue\r\nContent-Length: 2\r\n", "");
    check(Side::Requests, "Expect waits for its body", waits, &[], End::Waiting);
}

#[test]
fn measured_closed_without_400() {
    let refused = |name: &str, bytes: String, fault: HttpFault| {
        check(Side::Requests, name, bytes, &[], End::Refused(fault));
    };
    refused("folded", get("X: a\r\n b\r\n"), FOLDED);
    refused("space before colon", get("X : a\r\n"), SPACE_BEFORE_COLON);
    refused("bare CR", get("X: a\rb\r\n"), BARE_CR);
    refused("NUL", get("X: a\0b\r\n"), CONTROL);
    refused("length -1", post("Content-Length: -1\r\n", ""), LENGTH);
    refused("length +2", post("Content-Length: +2\r\n", "{}"), LENGTH);
    refused("length 2^64", post("Content-Length: 18446744073709551616\r\n", ""), LENGTH);
    refused("length list", post("Content-Length: 2, 2\r\n", "{}"), LENGTH);
    refused("101 fields", get(&fields(100)), TOO_MANY_FIELDS);
    refused("target of 64 KiB", format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(65_536)), TARGET_TOO_LONG);
    refused("raw space in target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n".into(), REQUEST_LINE);
    refused("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), HTTP2);
    refused("HTTP/3.7", "GET / HTTP/3.7\r\nHost: h\r\n\r\n".into(), VERSION);
    refused("gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", ""), ENCODING);
    refused("bad name", get("X(y): a\r\n"), FIELD_NAME);
    refused("chunk with LF", chunked("2\n{}\r\n0\r\n\r\n"), CHUNK_SIZE);
    refused("endless head", format!("GET /a HTTP/1.1\r\nHost: h\r\nX: {}", "a".repeat(1 << 17)), HEAD_TOO_LARGE);
    refused("value of 1 MiB", get(&format!("X: {}\r\n", "a".repeat(1 << 20))), HEAD_TOO_LARGE);
    refused("length of 200 MiB", post("Content-Length: 209715200\r\n", ""), BODY_TOO_LARGE);
    refused("chunk of ffffffffffffffff", chunked("ffffffffffffffff\r\n"), CHUNK_TOTAL);
}

#[test]
fn measured_legal() {
    let good = |name: &str, bytes: String, messages: &[&str], end: End| {
        check(Side::Requests, name, bytes, messages, end);
    };
    good("plain", post("Content-Length: 2\r\n", "{}"), &["POST /a {}"], End::Idle);
    good("three pipelined", get("").repeat(3), &["GET /a"; 3], End::Idle);
    good("100 fields", get(&fields(99)), &["GET /a"], End::Idle);
    good("chunk extension", chunked("2;a=b\r\n{}\r\n0\r\n\r\n"), &["POST /a {}"], End::Idle);
    good("trailers", chunked("2\r\n{}\r\n0\r\nA: b\r\nC:\r\n\r\n"), &["POST /a {}"], End::Idle);
    good("zeros before sizes", chunked("0000000000000002\r\n{}\r\n00\r\n\r\n"), &["POST /a {}"], End::Idle);
    good("close", format!("{}GET /b", get("Connection: close\r\n")), &["GET /a"], End::Closed);
    good("1.0", "GET /a HTTP/1.0\r\n\r\nGET /b".into(), &["GET /a"], End::Closed);
}

#[test]
fn request_lines() {
    let good = |bytes: &str, message: &str| check(Side::Requests, bytes, bytes, &[message], End::Idle);
    let refused = |bytes: &str, fault: HttpFault| check(Side::Requests, bytes, bytes, &[], End::Refused(fault));
    good("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS *");
    good("GET /a?b=c?d HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a?b=c?d");
    good("GET /a? HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a?");
    good("GET http://h:80/a?b HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a?b");
    good("GET HTTPS://h HTTP/1.1\r\nHost: h\r\n\r\n", "GET /");
    good("GET http://h?b HTTP/1.1\r\nHost: h\r\n\r\n", "GET /?b");
    good("BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n", "OTHER /pot");
    good("get / HTTP/1.1\r\nHost: h\r\n\r\n", "OTHER /");
    good("GET //a/../b;c=%00 HTTP/1.1\r\nHost: h\r\n\r\n", "GET //a/../b;c=%00");
    refused("GET * HTTP/1.1\r\nHost: h\r\n\r\n", TARGET);
    refused("OPTIONS ** HTTP/1.1\r\nHost: h\r\n\r\n", TARGET);
    refused("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", CONNECT);
    refused("CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n", CONNECT);
    refused("GET h:443 HTTP/1.1\r\nHost: h\r\n\r\n", TARGET);
    refused("GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", TARGET);
    refused("GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n", TARGET);
    refused("GET http://u@h/a HTTP/1.1\r\nHost: h\r\n\r\n", TARGET);
    refused("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", TARGET);
    refused("GET /\u{e4} HTTP/1.1\r\nHost: h\r\n\r\n", TARGET);
    refused("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", REQUEST_LINE);
    refused("GET /  HTTP/1.1\r\nHost: h\r\n\r\n", REQUEST_LINE);
    refused("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", REQUEST_LINE);
    refused("GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n", REQUEST_LINE);
    refused("GET /\r\nHost: h\r\n\r\n", REQUEST_LINE);
    refused("GET / http/1.1\r\nHost: h\r\n\r\n", REQUEST_LINE);
    refused("GET / HTTP/1.10\r\nHost: h\r\n\r\n", REQUEST_LINE);
    refused("GET / HTTP/1.2\r\nHost: h\r\n\r\n", VERSION);
    refused("GET / HTTP/2.0\r\nHost: h\r\n\r\n", VERSION);
    refused("GET / HTTP/0.9\r\nHost: h\r\n\r\n", VERSION);
    refused("(GET / HTTP/1.1\r\n", NOT_HTTP);
    refused(" GET / HTTP/1.1\r\n", NOT_HTTP);
    refused("{\"jsonrpc\":\"2.0\"}", NOT_HTTP);
    refused("\r\n\r\n\r\nGET / HTTP/1.1\r\n", BLANK_LINES);
    refused("\nGET / HTTP/1.1\r\n", BARE_LF);
    refused("\r\rGET / HTTP/1.1\r\n", BARE_CR);
    refused("GE(T / HTTP/1.1\r\nHost: h\r\n\r\n", REQUEST_LINE);
    refused("GET /\u{7f} HTTP/1.1\r\nHost: h\r\n\r\n", CONTROL);
}

#[test]
fn request_fields_and_framing() {
    let good = |fields: &str, body: &str, message: &str| {
        check(Side::Requests, fields, post(fields, body), &[message], End::Idle);
    };
    let refused = |fields: &str, fault: HttpFault| check(Side::Requests, fields, post(fields, ""), &[], End::Refused(fault));
    good("content-length:0\r\n", "", "POST /a");
    good("CONTENT-LENGTH: \t 002 \t\r\n", "{}", "POST /a {}");
    good("transfer-ENCODING: Chunked\r\n", "1\r\nx\r\n0\r\n\r\n", "POST /a x");
    good("content-encoding: identity\r\nX: \r\nY:\u{e4}\r\n", "", "POST /a");
    check(Side::Requests, "largest length", post("Content-Length: 8000000\r\n", ""), &[], End::Waiting);
    refused("Content-Length: 8000001\r\n", BODY_TOO_LARGE);
    refused("Content-Length:\r\n", LENGTH);
    refused("Content-Length: 0x2\r\n", LENGTH);
    refused("Content-Length: 1 2\r\n", LENGTH);
    refused("Transfer-Encoding:\r\n", ENCODING);
    refused("Transfer-Encoding: chunked, chunked\r\n", ENCODING);
    refused("Transfer-Encoding: chunked;q=1\r\n", ENCODING);
    refused("Transfer-Encoding: \u{b}chunked\r\n", CONTROL);
    refused("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", TWO_ENCODINGS);
    refused("Transfer-Encoding : chunked\r\n", SPACE_BEFORE_COLON);
    refused("Expect: 200-ok\r\n", EXPECT);
    refused("Content-Encoding: gzip\r\n", CONTENT_ENCODING);
    refused("Content-Type: a/b\r\nContent-Type: c/d\r\n", TWO_TYPES);
    refused("Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: b\r\n", TWO_SOCKET_FIELDS);
    refused(": v\r\n", FIELD_NAME);
    refused("no colon\r\n", FIELD_NAME);
    refused("X: a\u{1b}b\r\n", CONTROL);
    refused("\tX: a\r\n", FOLDED);
}

#[test]
fn hosts() {
    let host = |value: &str| format!("GET /a HTTP/1.1\r\nHost: {value}\r\n\r\n");
    for value in ["h", "h:80", "h:", "a-b.c_d~e", "127.0.0.1:4000", "[::1]", "[::1]:80", "[2001:db8::1]:65535", "h:00080"] {
        check(Side::Requests, value, host(value), &["GET /a"], End::Idle);
    }
    let bad = [
        "", "h:x", "h:65536", "a b", "a,b", "u@h", "a/b", "[::1", "::1", "[::1]x", "[g::]", "[]", ":80", "h:80:90", "a%41",
        "h\u{e4}",
    ];
    for value in bad {
        check(Side::Requests, value, host(value), &[], End::Refused(HOST));
    }
    let in_10 = "GET /a HTTP/1.0\r\nHost: a b\r\n\r\n";
    check(Side::Requests, in_10, in_10, &[], End::Refused(HOST));
    // The target's authority is the host; the field must still be there, once and valid.
    let head = request("GET http://target:1/a HTTP/1.1\r\nHost: field\r\n\r\n");
    assert_eq!(value(&head.0, &head.1, Field::Host), Some("target:1".into()));
    let absolute = "GET http://t/a HTTP/1.1\r\n\r\n";
    check(Side::Requests, absolute, absolute, &[], End::Refused(NO_HOST));
}

#[track_caller]
fn request(bytes: &str) -> (RequestHead, Vec<u8>) {
    match scan_request(bytes.as_bytes(), 0) {
        Scan::Done(head) => (head, bytes.as_bytes().to_vec()),
        other => panic!("{bytes:?}: {other:?}"),
    }
}

fn value(head: &RequestHead, buf: &[u8], field: Field) -> Option<String> {
    let span = head.field(field);
    (span != crate::base::span::Span::NONE).then(|| String::from_utf8_lossy(span.of(buf)).into_owned())
}

#[test]
fn each_field_is_found_by_its_name_in_any_case() {
    use Field::*;
    let table = [
        (ContentType, "Content-Type"),
        (Authorization, "Authorization"),
        (ApiKey, "X-Api-Key"),
        (RequestId, "X-Request-Id"),
        (ForwardedFor, "X-Forwarded-For"),
        (RealIp, "X-Real-IP"),
        (ForwardedProto, "X-Forwarded-Proto"),
        (Forwarded, "Forwarded"),
        (Origin, "Origin"),
        (SecFetchSite, "Sec-Fetch-Site"),
        (LassoProvider, "X-Lasso-Provider"),
        (LassoTransport, "X-Lasso-Transport"),
        (LassoIncludeMeta, "X-Lasso-Include-Meta"),
        (LassoRegion, "X-Lasso-Region"),
        (AccessControlRequestHeaders, "Access-Control-Request-Headers"),
        (Accept, "Accept"),
        (Upgrade, "Upgrade"),
        (Connection, "Connection"),
        (SecWebsocketKey, "Sec-WebSocket-Key"),
        (SecWebsocketVersion, "Sec-WebSocket-Version"),
        (Traceparent, "Traceparent"),
        (Tracestate, "Tracestate"),
        (LastEventId, "Last-Event-ID"),
        (IfNoneMatch, "If-None-Match"),
    ];
    assert_eq!(table.len() + 1, Field::COUNT, "all but Host");
    for (field, name) in table {
        for name in [name.to_string(), name.to_lowercase(), name.to_uppercase()] {
            let (head, buf) = request(&get(&format!("{name}: \tsome value \r\n")));
            assert_eq!(value(&head, &buf, field), Some("some value".into()), "{name}");
            let others = table.iter().filter(|(other, _)| *other != field);
            for (other, _) in others {
                assert_eq!(value(&head, &buf, *other), None, "{name} is not {other:?}");
            }
            let proxied = matches!(field, ForwardedFor | RealIp | ForwardedProto | Forwarded);
            assert_eq!(head.forwarded, proxied, "{name}");
            assert_eq!(value(&request(&get(&format!("{name}-: v\r\n"))).0, &buf, field), None, "{name}-");
        }
    }
    let (head, _) = request(&get("X-FORWARDED-host: v\r\n"));
    assert!(head.forwarded);
    assert!(!request(&get("X-Forwarde: v\r\n")).0.forwarded);
}

#[test]
fn repeated_and_empty_fields() {
    let both = |name: &str| format!("{name}: 1\r\n{name}: 2\r\n");
    for (field, name, want) in [
        (Field::Origin, "origin", "1"),
        (Field::Authorization, "authorization", "1"),
        (Field::ForwardedFor, "x-forwarded-for", "2"),
        (Field::Forwarded, "forwarded", "2"),
        (Field::RealIp, "x-real-ip", "2"),
    ] {
        let (head, buf) = request(&get(&both(name)));
        assert_eq!(value(&head, &buf, field), Some(want.into()), "{name}");
    }
    let (head, buf) = request(&get("Origin: \r\n"));
    assert_eq!(value(&head, &buf, Field::Origin), Some(String::new()));
    assert!(head.field(Field::Origin).is_empty() && head.field(Field::Accept) == crate::base::span::Span::NONE);
    // 33 fields do not fit the first try; the answer is the same.
    let (head, buf) = request(&get(&format!("{}Origin: o\r\n", fields(40))));
    assert_eq!(value(&head, &buf, Field::Origin), Some("o".into()));
}

#[test]
fn request_connection_options() {
    for (minor, lines, keep_alive, upgrade) in [
        (1, "", true, false),
        (1, "Connection: close\r\n", false, false),
        (1, "Connection: CLOSE\r\n", false, false),
        (1, "Connection: x, \tclose ,y\r\n", false, false),
        (1, "Connection: x\r\nConnection: close\r\n", false, false),
        (1, "Connection: keep-alive, close\r\n", false, false),
        (1, "Connection: closed\r\n", true, false),
        (1, "Connection: not close\r\n", true, false),
        (1, "Connection:\r\n", true, false),
        (1, "Connection: keep-alive, Upgrade\r\n", true, true),
        (1, "Upgrade: websocket\r\n", true, false),
        (0, "", false, false),
        (0, "Connection: Keep-Alive\r\n", true, false),
        (0, "Connection: keep-alive\r\nConnection: close\r\n", false, false),
    ] {
        let (head, _) = request(&format!("GET / HTTP/1.{minor}\r\nHost: h\r\n{lines}\r\n"));
        assert_eq!((head.keep_alive, head.upgrade, head.minor), (keep_alive, upgrade, minor), "1.{minor} {lines:?}");
    }
}

#[test]
fn request_expect_and_len() {
    let (head, buf) = request(&format!("\r\n{}rest", get("Expect: 100-Continue\r\n")));
    assert!(head.expect_continue);
    assert_eq!(&buf[head.len..], b"rest");
    let (head, _) = request("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
    assert!(!head.expect_continue, "RFC 9110 §10.1.1: a 1.0 client cannot mean it");
    assert!(!request(&get("")).0.expect_continue);
}

#[test]
fn head_size_to_the_byte() {
    let head = |bytes: usize| {
        let empty = get("X: \r\n").len();
        get(&format!("X: {}\r\n", "a".repeat(bytes - empty)))
    };
    check(Side::Requests, "largest head", head(limits::HEAD_BYTES), &["GET /a"], End::Idle);
    check(Side::Requests, "one more", head(limits::HEAD_BYTES + 1), &[], End::Refused(HEAD_TOO_LARGE));
    // An endless one is refused as soon as no more could make it a head.
    let endless = |bytes: usize| head(limits::HEAD_BYTES + 9)[..bytes].to_string();
    check(Side::Requests, "may still end", endless(limits::HEAD_BYTES - 1), &[], End::Waiting);
    check(Side::Requests, "cannot end", endless(limits::HEAD_BYTES), &[], End::Refused(HEAD_TOO_LARGE));
    let answer = |bytes: usize| {
        let empty = "HTTP/1.1 204 \r\nX: \r\n\r\n".len();
        format!("HTTP/1.1 204 \r\nX: {}\r\n\r\n", "a".repeat(bytes - empty))
    };
    check(Side::Answers, "largest head", answer(limits::ANSWER_HEAD_BYTES), &["204"], End::Idle);
    let large = answer(limits::ANSWER_HEAD_BYTES + 1);
    check(Side::Answers, "one more", large, &[], End::Refused(ANSWER_HEAD_TOO_LARGE));
}

#[test]
fn chunked_bodies() {
    let good = |body: &str, payload: &str| {
        let message = if payload.is_empty() { "POST /a".to_string() } else { format!("POST /a {payload}") };
        let two = format!("{}{}", chunked(body), get(""));
        check(Side::Requests, body, two, &[&message, "GET /a"], End::Idle);
    };
    let refused = |body: &str, fault: HttpFault| check(Side::Requests, body, chunked(body), &[], End::Refused(fault));
    let waits = |body: &str| check(Side::Requests, body, chunked(body), &[], End::Waiting);
    good("0\r\n\r\n", "");
    good("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc");
    good("A\r\n0123456789\r\n0\r\n\r\n", "0123456789");
    good("1;a;b=c;d=\"e f\\\"\t;\"\r\na\r\n0;x\r\n\r\n", "a");
    good("1\r\na\r\n0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "a");
    good(&format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(limits::CHUNK_LINE_BYTES - 1)), "a");
    for body in ["", "1", "1\r", "1\r\n", "1\r\na", "1\r\na\r", "1\r\na\r\n", "0", "0\r\n", "0\r\n\r", "0\r\nA", "0\r\nA:b\r\n"] {
        waits(body);
    }
    for body in [
        " 1\r\na",
        "1 \r\na",
        "\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\na",
        "g\r\n",
        "1\na",
        "1\r\r\na",
        "1\ra",
        "00000000000000001\r\na",
        "10000000000000000\r\n",
        "1\t;a\r\n",
        "\u{0}",
        ";a\r\n",
    ] {
        refused(body, CHUNK_SIZE);
    }
    for body in ["1\r\nab\r\n", "1\r\na\n", "1\r\na0\r\n\r\n", "1\r\na\r0\r\n", "2\r\na\r\n0\r\n\r\n"] {
        refused(body, CHUNK_END);
    }
    for body in
        ["1;\r\n", "1;=a\r\n", "1;a=\r\n", "1;a=\"b\r\n", "1;a=\"b\"c\r\n", "1;a\n", "1; a\r\n", "1;a b\r\n", "1;a=\"\u{0}\"\r\n"]
    {
        refused(body, CHUNK_EXTENSION);
    }
    // The bound of one line is each line's own.
    good(&format!("1;{0}\r\na\r\n1;{0}\r\nb\r\n0\r\n\r\n", "e".repeat(3000)), "ab");
    refused(&format!("1;{}\r\na", "e".repeat(limits::CHUNK_LINE_BYTES)), CHUNK_EXTENSIONS);
    let line = format!("1;{}\r\na\r\n", "e".repeat(4000));
    refused(&line.repeat(limits::CHUNK_EXTENSION_BYTES / 4001 + 1), CHUNK_EXTENSIONS);
    for body in [
        "0\r\n\n",
        "0\r\nA\r\n",
        "0\r\nA : b\r\n",
        "0\r\n: b\r\n",
        "0\r\nA: b\n",
        "0\r\nA: b\r\n c\r\n",
        "0\r\nA: \u{0}\r\n",
        "0\r\n\rX",
    ] {
        refused(body, TRAILER);
    }
    let trailer = |bytes: usize| format!("0\r\nA:{}\r\n\r\n", "b".repeat(bytes - "A:\r\n\r\n".len()));
    good(&trailer(limits::TRAILER_BYTES), "");
    refused(&trailer(limits::TRAILER_BYTES + 1), TRAILERS);
}

#[test]
fn chunked_total_is_bounded_to_the_byte() {
    let total = |max: u64, body: &[u8]| {
        let mut buf = body.to_vec();
        compact(&mut Chunked::new(max), &mut buf, 0, 0).map(|at| (buf[..at.payload_end].to_vec(), at.done))
    };
    assert_eq!(total(3, b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), Ok((b"abc".to_vec(), true)));
    assert_eq!(total(2, b"1\r\na\r\n2\r\n"), Err(CHUNK_TOTAL), "told before its data");
    assert_eq!(total(u64::MAX, b"1\r\na\r\nffffffffffffffff\r\n"), Err(CHUNK_TOTAL), "no overflow");
    assert_eq!(total(u64::MAX, b"ffffffffffffffff\r\nab"), Ok((b"ab".to_vec(), false)));
}

#[test]
fn answers() {
    let good = |bytes: &str, messages: &[&str], end: End| check(Side::Answers, bytes, bytes, messages, end);
    let refused = |bytes: &str, fault: HttpFault| check(Side::Answers, bytes, bytes, &[], End::Refused(fault));
    let head = |fields: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
    good(&head("Content-Length: 2\r\n", "{}"), &["200 {}"], End::Idle);
    good(&head("Content-Length: 2\r\n", "{}").repeat(2), &["200 {}", "200 {}"], End::Idle);
    good(&head("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"), &["200 {}"], End::Idle);
    good(&head("Content-Length: 2, 02\r\n", "{}"), &["200 {}"], End::Idle);
    good(&head("Content-Length: 2\r\nConnection: close\r\n", "{}x"), &["200 {}"], End::Closed);
    good(&head("Transfer-Encoding: CHUNKED\r\n", "2\r\n{}\r\n0\r\n\r\n"), &["200 {}"], End::Idle);
    good(&head("", "all of it"), &["200 all of it"], End::Closed);
    good(&head("Content-Length: 3\r\n", "{}"), &[], End::Waiting);
    good("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", &["200 {}"], End::Closed);
    good("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}", &["200 {}"], End::Idle);
    good("HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 204 \r\n\r\n", &["100", "103", "204"], End::Idle);
    good("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", &["204"], End::Idle);
    good("HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n{}", &["204"], End::Closed);
    good("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &["204"], End::Closed);
    good("HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n", &["304"], End::Idle);
    good("HTTP/1.1 502\r\nContent-Length: 0\r\n\r\n", &["502"], End::Idle);
    good("HTTP/1.1 200 \u{e4} a\tb\r\nContent-Length: 0\r\n\r\n", &["200"], End::Idle);
    refused("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", ANSWER_UPGRADE);
    refused("HTTP/1.1 099 X\r\n\r\n", ANSWER_STATUS);
    refused("HTTP/1.1 600 X\r\n\r\n", ANSWER_STATUS);
    for start in [
        "HTTP/2.0 200 OK\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 20x\r\n\r\n",
        "SSH-2.0-x\r\n",
        "{}",
        "\r\nHTTP/1.1 200 OK\r\n",
        "http/1.1 200 OK\r\n",
        "HTTP/1.1\t200 OK\r\n\r\n",
        "HTTP/1.1 200 a\rb\r\n\r\n",
        "HTTP/1.1 200 \u{0}\r\n\r\n",
    ] {
        refused(start, ANSWER_LINE);
    }
    refused("HTTP/1.1 200 OK\nContent-Length: 0\n\n", ANSWER_BARE_LF);
    for fields in ["A : b\r\n", "A: b\r\n c\r\n", " A: b\r\n", "A\r\n", "A: b\rc\r\n", "A: \u{0}\r\n", "\u{e4}: b\r\n"] {
        refused(&head(fields, ""), ANSWER_FIELDS);
    }
    for length in ["", "-1", "+1", "1 2", "2, 3", "2,", "18446744073709551616", "0x2"] {
        refused(&head(&format!("Content-Length: {length}\r\n"), "{}"), ANSWER_LENGTH);
    }
    refused(&head("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"), ANSWER_LENGTH);
    refused(&head("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", ""), ANSWER_TWO_FRAMINGS);
    refused("HTTP/1.1 204 No\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", ANSWER_TWO_FRAMINGS);
    refused("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ANSWER_ENCODING);
    for encoding in ["identity", "gzip, chunked", "chunked, chunked", "", "xchunked", "chunked\r\nTransfer-Encoding: chunked"] {
        refused(&head(&format!("Transfer-Encoding: {encoding}\r\n"), ""), ANSWER_ENCODING);
    }
    for encoding in ["br", "deflate", "gzip, gzip", "gzip\r\nContent-Encoding: gzip", "zstd"] {
        refused(&head(&format!("Content-Encoding: {encoding}\r\n"), ""), ANSWER_CONTENT_ENCODING);
    }
    good(&head(&format!("{}Content-Length: 0\r\n", fields(limits::ANSWER_HEADERS - 1)), ""), &["200"], End::Idle);
    refused(&head(&fields(limits::ANSWER_HEADERS + 1), ""), ANSWER_TOO_MANY_FIELDS);
}

#[test]
fn what_an_answer_head_says() {
    let text = "HTTP/1.1 429 Slow\r\nRETRY-AFTER: 7\r\nRetry-After: 9\r\nContent-type: a/b \r\nLocation: /x\r\nContent-Encoding: X-Gzip\r\nContent-Length: 5\r\n\r\n";
    let Scan::Done(head) = scan_answer(text.as_bytes(), 0) else { panic!() };
    assert_eq!(head.retry_after.of(text.as_bytes()), b"7");
    assert_eq!(head.content_type.of(text.as_bytes()), b"a/b");
    assert!(head.location && head.gzip && head.keep_alive);
    assert_eq!((head.status, head.framing, head.len), (429, AnswerFraming::Length(5), text.len()));
    let plain = "HTTP/1.1 200 \r\nContent-Encoding: identity\r\nContent-Length: 5\r\n\r\n";
    let Scan::Done(head) = scan_answer(plain.as_bytes(), 0) else { panic!() };
    assert!(!head.location && !head.gzip);
    assert_eq!((head.retry_after, head.content_type), Default::default());
}
