//! Requests nobody should send: what each is answered with, whether its connection goes on, and whether a provider is
//! asked. First the fifty on which an existing codec crashed, hung, mis-framed or kept silent; then smuggling, chunks,
//! header fields, pipelines, and JSON that means one call to us and another to a node.
//!
//! Every connection that goes on is proven in step by a call after the case. Counts at the provider are exact: a request
//! that is read in two ways shows up as one call too many or too few.

use crate::harness::{DRIVERS, Lasso, no_limit};
use crate::http::{Client, READ};
use crate::provider::Provider;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Asked after a case, to see whether the connection is in step. Never in a case.
const PROBE: &str = r#"{"jsonrpc":"2.0","id":"probe","method":"eth_gasPrice","params":[]}"#;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    /// The connection goes on.
    Open,
    /// The node ends it.
    Closed,
    /// The request is not complete: the node waits, and ends when the client does.
    Waits,
}
use Then::{Closed, Open, Waits};

struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    /// Statuses of the answers in order, with the JSON-RPC error code; 0 when there is none.
    answers: Vec<(u16, i64)>,
    then: Then,
    /// Calls that reach the provider.
    forwarded: usize,
}

const OK: (u16, i64) = (200, 0);
/// A request that cannot be read, with its usual status.
const BAD: (u16, i64) = (400, -32600);
const PARSE: (u16, i64) = (400, -32700);
const INVALID: (u16, i64) = (200, -32600);

fn case(name: &'static str, bytes: impl AsRef<[u8]>, answers: &[(u16, i64)], then: Then, forwarded: usize) -> Case {
    Case { name, bytes: bytes.as_ref().to_vec(), answers: answers.to_vec(), then, forwarded }
}

/// A head with these lines after its Host, and what follows.
fn head(lines: &str, rest: &str) -> String {
    format!("POST /rpc/one HTTP/1.1\r\nHost: x\r\n{lines}\r\n{rest}")
}

/// A call as it should be.
fn good() -> String {
    with_length("", READ)
}

fn with_length(lines: &str, body: &str) -> String {
    head(&format!("{lines}Content-Length: {}\r\n", body.len()), body)
}

fn chunked(body: &str) -> String {
    head("Transfer-Encoding: chunked\r\n", body)
}

/// READ as one chunk, whose size is written as said.
fn one_chunk(size: &str) -> String {
    chunked(&format!("{size}\r\n{READ}\r\n0\r\n\r\n"))
}

fn size() -> String {
    format!("{:x}", READ.len())
}

fn fields(count: usize) -> String {
    (0..count).map(|n| format!("x-{n}: v\r\n")).collect()
}

/// Refused before anything is forwarded, and closed.
fn refused(name: &'static str, bytes: impl AsRef<[u8]>) -> Case {
    case(name, bytes, &[BAD], Closed, 0)
}

fn refused_with(status: u16, name: &'static str, bytes: impl AsRef<[u8]>) -> Case {
    case(name, bytes, &[(status, -32600)], Closed, 0)
}

/// A whole call that is fine.
fn accepted(name: &'static str, bytes: impl AsRef<[u8]>) -> Case {
    case(name, bytes, &[OK], Open, 1)
}

/// The cases of the measurements that decided for a codec of our own.
fn measured() -> Vec<Case> {
    let length = READ.len();
    let lines = |lines: &str| with_length(lines, READ);
    let instead = |line: &str| head(&format!("{line}\r\n"), READ);
    vec![
        refused_with(431, "a header name of 65,536 bytes", lines(&format!("{}: v\r\n", "a".repeat(65_536)))),
        refused("two different lengths", instead(&format!("Content-Length: {length}\r\nContent-Length: 5"))),
        refused("chunked with a length", head("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")),
        refused("identity, then chunked", head("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        refused("chunked, then gzip", head("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", "0\r\n\r\n")),
        refused("chunked in HTTP/1.0", one_chunk(&size()).replace("HTTP/1.1", "HTTP/1.0")),
        refused("identity", instead("Transfer-Encoding: identity")),
        refused("bare LF after a field", lines("X: a\n")),
        refused("a request hidden behind LF LF", "GET /one HTTP/1.1\r\nHost: x\n\nGET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"),
        refused("an empty chunk size", chunked(&format!("\r\n{}", good()))),
        refused("two hosts", lines("Host: y\r\n")),
        refused("no host", good().replace("Host: x\r\n", "")),
        accepted("two blank lines first", format!("\r\n\r\n{}", good())),
        refused("LF only", good().replace("\r\n", "\n")),
        refused_with(413, "a length of usize::MAX", instead("Content-Length: 18446744073709551615")),
        refused_with(413, "a chunk of FFFFFFFFFF", chunked("FFFFFFFFFF\r\n{")),
        refused_with(413, "a chunk of fffffffffffffffd", chunked("fffffffffffffffd\r\n{")),
        case(
            "Expect: 100-continue, body later",
            head(&format!("Expect: 100-continue\r\nContent-Length: {length}\r\n"), ""),
            &[(100, 0)],
            Waits,
            0,
        ),
        refused("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        refused("a folded field", lines("X: a\r\n b\r\n")),
        refused("a space before the colon", lines("X : a\r\n")),
        refused("a bare CR in a value", lines("X: a\rb\r\n")),
        refused("NUL in a value", lines("X: a\0b\r\n")),
        refused("a length of -1", instead("Content-Length: -1")),
        refused("a length of +2", instead("Content-Length: +2")),
        refused("a length of 2^64", instead("Content-Length: 18446744073709551616")),
        refused("a list of lengths", instead("Content-Length: 2, 2")),
        accepted("97 fields", lines(&fields(95))),
        refused_with(414, "a target of 65 KiB", good().replace("/rpc/one", &format!("/rpc/{}", "a".repeat(65 * 1024)))),
        refused("a target with a control byte", good().replace("/rpc/one", "/rpc/o\x01ne")),
        refused("the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        refused_with(505, "HTTP/3.7", good().replace("HTTP/1.1", "HTTP/3.7")),
        refused("gzip, chunked", head("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
        refused("a bad field name", lines("X(): a\r\n")),
        accepted("a chunk extension", one_chunk(&format!("{};a=b;c=\"d\"", size()))),
        accepted("trailers", chunked(&format!("{}\r\n{READ}\r\n0\r\nX-Sum: 1\r\nContent-Length: 3\r\n\r\n", size()))),
        refused("a chunk that ends with LF", chunked(&format!("{}\r\n{READ}\n0\r\n\r\n", size()))),
        refused_with(431, "a value of 1 MiB", lines(&format!("X: {}\r\n", "a".repeat(1 << 20)))),
        refused_with(413, "a body of 200 MiB announced", instead("Content-Length: 209715200")),
        case("Connection: close", lines("Connection: close\r\n"), &[OK], Closed, 1),
        case("HTTP/1.0", good().replace("HTTP/1.1", "HTTP/1.0"), &[OK], Closed, 1),
        accepted("a call", good()),
        case("three pipelined", good().repeat(3), &[OK, OK, OK], Open, 3),
        accepted("96 fields", lines(&fields(94))),
        accepted("a chunk size with zeros in front", one_chunk(&format!("{:016x}", READ.len()))),
        refused_with(413, "a chunk of ffffffffffffffff", chunked("ffffffffffffffff\r\n{")),
        refused("a length of nothing", instead("Content-Length:")),
        refused("a chunk size of 17 digits", one_chunk(&format!("{:017x}", READ.len()))),
        refused("three blank lines first", format!("\r\n\r\n\r\n{}", good())),
        case("a body shorter than its length", head(&format!("Content-Length: {}\r\n", length + 1), READ), &[], Waits, 0),
    ]
}

/// Where one message ends and the next begins.
fn framing() -> Vec<Case> {
    let lines = |lines: &str| with_length(lines, READ);
    let coding = |value: &str| head(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n");
    vec![
        refused("the same length twice", head(&format!("Content-Length: {0}\r\nContent-Length: {0}\r\n", READ.len()), READ)),
        refused("a length in hex", head("Content-Length: 0x10\r\n", READ)),
        refused("a length with an exponent", head("Content-Length: 1e2\r\n", READ)),
        refused("a length with a letter after it", head("Content-Length: 12a\r\n", READ)),
        refused("a length before a tabbed colon", head("Content-Length\t: 5\r\n", READ)),
        refused("a vertical tab before chunked", coding("\x0bchunked")),
        refused("chunked with a parameter", coding("chunked;q=1")),
        refused("chunked twice in one field", coding("chunked, chunked")),
        refused("xchunked", coding("xchunked")),
        refused("an empty coding", coding("")),
        refused("a quoted coding", coding("\"chunked\"")),
        accepted("CHUNKED", one_chunk(&size()).replace("chunked", "CHUNKED")),
        accepted(
            "a name that is nearly Transfer-Encoding",
            lines("Transfer_Encoding: chunked\r\nX-Transfer-Encoding: chunked\r\n"),
        ),
        accepted(
            "one byte in each chunk",
            chunked(&format!("{}0\r\n\r\n", READ.chars().map(|c| format!("1\r\n{c}\r\n")).collect::<String>())),
        ),
        accepted("an upper-case chunk size", one_chunk(&size().to_uppercase())),
        refused("a space before a chunk size", one_chunk(&format!(" {}", size()))),
        refused("a space after a chunk size", one_chunk(&format!("{} ", size()))),
        refused("0x before a chunk size", one_chunk(&format!("0x{}", size()))),
        refused("a negative chunk size", one_chunk("-1")),
        refused("a chunk extension of LF", one_chunk(&format!("{};a\n", size()))),
        refused("a chunk extension of 5,000 bytes", one_chunk(&format!("{};{}", size(), "a".repeat(5000)))),
        refused("more data than the chunk's size", one_chunk("5")),
        refused("a trailer without a colon", chunked(&format!("{}\r\n{READ}\r\n0\r\nsum\r\n\r\n", size()))),
        refused("trailers of 9,000 bytes", chunked(&format!("{}\r\n{READ}\r\n0\r\nX: {}\r\n\r\n", size(), "a".repeat(9000)))),
        case("chunks without an end", chunked(&format!("{}\r\n{READ}\r\n", size())), &[], Waits, 0),
        case("the last chunk without its blank line", chunked(&format!("{}\r\n{READ}\r\n0\r\n", size())), &[], Waits, 0),
    ]
}

/// Several messages on one connection, or what might be taken for several.
fn pipelines() -> Vec<Case> {
    let lines = |lines: &str| with_length(lines, READ);
    let inner = good();
    vec![
        case(
            "a body longer than its length",
            head(&format!("Content-Length: {}\r\n", READ.len() - 3), READ),
            &[PARSE, BAD],
            Closed,
            0,
        ),
        case("a body without framing", head("", READ), &[PARSE, BAD], Closed, 0),
        case(
            "a call as the body of GET",
            format!("GET /rpc/one HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{inner}", inner.len()),
            &[(405, 0)],
            Open,
            0,
        ),
        case(
            "a call as the body of OPTIONS",
            format!("OPTIONS /rpc/one HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{inner}", inner.len()),
            &[(204, 0)],
            Open,
            0,
        ),
        case("a call as the body of a call", with_length("", &inner), &[PARSE], Open, 0),
        case(
            "a call in a chunk of a refused path",
            chunked(&format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len())).replacen("/rpc/one", "/nowhere", 1),
            &[(404, 0)],
            Open,
            0,
        ),
        case("a call after Connection: close", format!("{}{}", lines("Connection: close\r\n"), inner), &[OK], Closed, 1),
        case("a call after a refused head", format!("{}{}", lines("X : a\r\n"), inner), &[BAD], Closed, 0),
        case("good, not JSON, good", format!("{inner}{}{inner}", with_length("", "{")), &[OK, PARSE, OK], Open, 2),
        case(
            "good, chunked, wrong verb, good",
            format!("{inner}{}PUT /rpc/one HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n{inner}", one_chunk(&size())),
            &[OK, OK, (405, 0), OK],
            Open,
            3,
        ),
        case("good, then half a head", format!("{inner}POST /rpc/one HTT"), &[OK], Waits, 1),
        case("twenty calls with blank lines between", format!("{inner}\r\n").repeat(20), &[OK; 20], Open, 20),
        case("Expect with the body at hand", lines("Expect: 100-continue\r\n"), &[OK], Open, 1),
        refused_with(417, "another Expect", lines("Expect: 200-ok\r\n")),
        refused_with(415, "a compressed body", lines("Content-Encoding: gzip\r\n")),
        accepted(
            "an upgrade to h2c",
            lines("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
        ),
        accepted("Connection names the framing", lines("Connection: content-length, host\r\n")),
    ]
}

/// Request lines and header fields.
fn heads() -> Vec<Case> {
    let lines = |lines: &str| with_length(lines, READ);
    let line = |line: &str| good().replacen("POST /rpc/one HTTP/1.1", line, 1);
    vec![
        refused_with(431, "103 fields", lines(&fields(101))),
        refused_with(431, "a head of 17 KiB in small fields", lines(&format!("a: {}\r\n", "b".repeat(500)).repeat(34))),
        refused("no colon", lines("nothing\r\n")),
        refused("an empty name", lines(": v\r\n")),
        refused("an escape byte", lines("X: a\x1b[2Jb\r\n")),
        refused("a host of two words", good().replace("Host: x", "Host: x y")),
        refused("a host with a path", good().replace("Host: x", "Host: x/y")),
        refused("two content types", lines("Content-Type: application/json\r\nContent-Type: text/plain\r\n")),
        case("text", lines("Content-Type: text/plain\r\n"), &[(415, -32600)], Open, 0),
        refused("two spaces in the request line", line("POST  /rpc/one HTTP/1.1")),
        refused("a tab in the request line", line("POST\t/rpc/one HTTP/1.1")),
        refused("a space at the end of the request line", line("POST /rpc/one HTTP/1.1 ")),
        refused("a space in the target", line("POST /rpc/one x HTTP/1.1")),
        refused("no version", line("POST /rpc/one")),
        refused("http in small letters", line("POST /rpc/one http/1.1")),
        refused_with(505, "HTTP/1.2", line("POST /rpc/one HTTP/1.2")),
        refused_with(505, "HTTP/2.0", line("POST /rpc/one HTTP/2.0")),
        refused("CONNECT", line("CONNECT x:443 HTTP/1.1")),
        refused("a fragment", line("POST /rpc/one#x HTTP/1.1")),
        refused("no slash", line("POST rpc/one HTTP/1.1")),
        case("a verb in small letters", line("post /rpc/one HTTP/1.1"), &[(405, 0)], Open, 0),
        accepted("an absolute target", line("POST http://x/rpc/one HTTP/1.1")),
        accepted("an escaped target", line("POST /rpc/%6fne HTTP/1.1")),
        case("a target that climbs", line("POST /x/../rpc/one HTTP/1.1"), &[(404, 0)], Open, 0),
        case("a broken escape", line("POST /rpc/%zz HTTP/1.1"), &[(400, 0)], Open, 0),
        case("an escaped NUL", line("POST /rpc/one%00 HTTP/1.1"), &[(400, -32602)], Open, 0),
        case("an escaped slash", line("POST /rpc%2fone HTTP/1.1"), &[(404, 0)], Open, 0),
        case("escapes that are not UTF-8", line("POST /rpc/%ff%fe HTTP/1.1"), &[(400, 0)], Open, 0),
    ]
}

/// A call to be altered.
const PLAIN: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[]}"#;

fn swap(from: &str, to: &str) -> String {
    PLAIN.replacen(from, to, 1)
}

/// A body that is answered by a provider.
fn answered(name: &'static str, body: &str) -> Case {
    case(name, with_length("", body), &[OK], Open, 1)
}

/// A body that is answered here.
fn said(name: &'static str, body: &str, answer: (u16, i64)) -> Case {
    case(name, with_length("", body), &[answer], Open, 0)
}

/// Bodies as JSON.
fn bodies() -> Vec<Case> {
    let deep = |levels: usize| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
    };
    let raw = |name, body: &[u8], answer| {
        let head = head(&format!("Content-Length: {}\r\n", body.len()), "");
        case(name, [head.as_bytes(), body].concat(), &[answer], Open, 0)
    };
    vec![
        said("no body", "", PARSE),
        said("white space", " \r\n\t", PARSE),
        said("half an object", "{", PARSE),
        said("a string", "\"x\"", INVALID),
        said("a number", "7", INVALID),
        said("an empty object", "{}", INVALID),
        said("an empty batch", "[]", INVALID),
        case("a batch of a number", with_length("", "[1]"), &[OK], Open, 0),
        said("two values", &format!("{PLAIN}{PLAIN}"), PARSE),
        said("a comma after the value", &format!("{PLAIN},"), PARSE),
        said("NUL after the value", &format!("{PLAIN}\0"), PARSE),
        said("a comma too many", &swap("[]}", "[],}"), PARSE),
        said("a comment", &swap("{", "{/**/"), PARSE),
        said("single quotes", &PLAIN.replace('"', "'"), PARSE),
        said("NaN", &swap("[]", "[NaN]"), PARSE),
        said("a number with a leading zero", &swap("[]", "[01]"), PARSE),
        said("a raw line end in a string", &swap("[]", "[\"a\nb\"]"), PARSE),
        said("a byte order mark", &format!("\u{feff}{PLAIN}"), PARSE),
        raw(
            "bytes that are not UTF-8",
            &[b"{\"method\":\"eth_call\",\"params\":[\"", &[0xff, 0xfe][..], b"\"]}"].concat(),
            PARSE,
        ),
        raw("UTF-16", &PLAIN.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(), PARSE),
        said("nested 10,000 deep", &deep(10_000), PARSE),
        said("an unclosed nest", &"[".repeat(100_000), PARSE),
        answered("nested 100 deep", &deep(100)),
    ]
}

/// Bodies as calls. What is refused here could name one call to us and another to a node.
fn envelopes() -> Vec<Case> {
    let keys: String = (0..17).map(|n| format!("\"k{n}\":0,")).collect();
    vec![
        said("the method twice", &swap("\"method\"", "\"method\":\"eth_call\",\"method\""), INVALID),
        said("the params twice", &swap("\"params\"", "\"params\":[1],\"params\""), INVALID),
        said("the id twice", &swap("\"id\"", "\"id\":2,\"id\""), INVALID),
        said("METHOD beside method", &swap("\"id\"", "\"METHOD\":\"eth_sendTransaction\",\"id\""), INVALID),
        said("METHOD alone", &swap("method", "METHOD"), INVALID),
        said("an escaped key beside method", &swap("\"id\"", r#""m\u0065thod":"eth_sendTransaction","id""#), INVALID),
        said("an escaped key alone", &swap("method", r"m\u0065thod"), INVALID),
        said("an escaped and capital key", &swap("\"id\"", r#""\u004dethod":"eth_sendTransaction","id""#), INVALID),
        said("Id beside id", &swap("\"id\"", "\"Id\":2,\"id\""), INVALID),
        said("an extra key twice", &swap("{", r#"{"a":1,"\u0061":2,"#), INVALID),
        said("17 extra keys", &swap("{", &format!("{{{keys}")), INVALID),
        said("an escaped method name", &swap("eth_getBalance", r"eth_s\u0065ndTransaction"), INVALID),
        said("a space after a method name", &swap("eth_getBalance", "eth_sendTransaction "), INVALID),
        said("a method that is a number", &swap("\"eth_getBalance\"", "5"), INVALID),
        said("a method that is an array", &swap("\"eth_getBalance\"", "[\"eth_call\"]"), INVALID),
        said("an empty method", &swap("eth_getBalance", ""), INVALID),
        said("a method of 129 letters", &swap("eth_getBalance", &"a".repeat(129)), INVALID),
        said("another version", &swap("\"2.0\"", "\"1.0\""), INVALID),
        said("a version that is a number", &swap("\"2.0\"", "2.0"), INVALID),
        said("an id that is true", &swap("\"id\":1", "\"id\":true"), INVALID),
        said("an id that is an object", &swap("\"id\":1", "\"id\":{}"), INVALID),
        said("an id that is an array", &swap("\"id\":1", "\"id\":[1]"), INVALID),
        said("an id of 5,000 bytes", &swap("\"id\":1", &format!("\"id\":\"{}\"", "a".repeat(5000))), INVALID),
        said("eth_sendTransaction", &swap("eth_getBalance", "eth_sendTransaction"), (200, -32601)),
        said("eth_signTypedData_v4", &swap("eth_getBalance", "eth_signTypedData_v4"), (200, -32601)),
        said("personal_unlockAccount", &swap("eth_getBalance", "personal_unlockAccount"), (200, -32601)),
        answered("an id that is a fraction", &swap("\"id\":1", "\"id\":1.5e-3")),
        answered("an id beyond 64 bits", &swap("\"id\":1", "\"id\":123456789012345678901234567890")),
        answered("an escaped id", &swap("\"id\":1", r#""id":"\u0061\n""#)),
        answered("a null id", &swap("\"id\":1", "\"id\":null")),
        answered("no version", &swap("\"jsonrpc\":\"2.0\",", "")),
        answered("no params", &swap(",\"params\":[]", "")),
        answered("params null", &swap("[]", "null")),
        answered("an extra key", &swap("{", "{\"extra\":[{\"method\":\"x\"}],")),
        answered("white space everywhere", &format!("\r\n {} \t", PLAIN.replace(',', " ,\n ").replace(':', " : "))),
        // A notification: carried out, and answered with nothing.
        case("no id", with_length("", &swap("\"id\":1,", "")), &[(204, 0)], Open, 1),
    ]
}

fn table() -> Vec<Case> {
    let measured = measured();
    assert_eq!(measured.len(), 50);
    [measured, framing(), pipelines(), heads(), bodies(), envelopes()].into_iter().flatten().collect()
}

/// What came to the provider on behalf of cases.
fn forwarded(provider: &Provider) -> usize {
    provider.got().iter().filter(|got| got.method != "eth_chainId" && got.method != "eth_gasPrice").count()
}

fn run(case: &Case, driver: &str, at: SocketAddr, provider: &Provider) {
    let context = format!("{} on {driver}", case.name);
    provider.forget();
    let mut client = Client::new(at);
    client.send(&case.bytes);
    for (place, &(status, code)) in case.answers.iter().enumerate() {
        let answer = client.answer().unwrap_or_else(|| panic!("{context}: no answer {place}"));
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let got = json["error"]["code"].as_i64().unwrap_or(0);
        assert_eq!((answer.status, got), (status, code), "{context}, answer {place}: {}{}", answer.head, answer.text());
        assert!(answer.is_whole, "{context}");
    }
    match case.then {
        Open => {
            let answer = client.post("/rpc/one", PROBE);
            assert!(
                answer.text().contains("\"id\":\"probe\",\"result\""),
                "{context}: out of step: {} {}",
                answer.head,
                answer.text()
            );
        }
        Closed => assert!(client.is_closed(), "{context}: it says more"),
        Waits => {
            client.stream.set_read_timeout(Some(Duration::from_millis(30))).expect("a timeout");
            let read = client.stream.read(&mut [0; 100]);
            assert!(read.is_err(), "{context}: it does not wait: {read:?}");
            client.stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
            client.stream.shutdown(std::net::Shutdown::Write).expect("half closed");
            assert!(client.is_closed(), "{context}: it says more");
        }
    }
    assert_eq!(forwarded(provider), case.forwarded, "{context}: {:?}", provider.got());
}

#[test]
fn each_is_answered_as_it_should_be_and_leaves_nothing_behind() {
    let table = table();
    for driver in DRIVERS {
        let provider = Provider::good("\"0x600d\"");
        let mut lasso = Lasso::start(&no_limit(&[provider.address]), driver);
        let memory: Vec<u64> = (0..6)
            .map(|_| {
                table.iter().for_each(|case| run(case, driver, lasso.address, &provider));
                lasso.memory_kib()
            })
            .collect();
        // The first three fill the pools of both shards: which one a connection meets is the kernel's choice.
        assert!(memory[5] <= memory[2] + 4096, "{driver}: {memory:?} KiB after rounds of {}", table.len());
        lasso.assert_alive();
    }
}

/// Writes `piece` until the node ends the connection, at most so many bytes; returns how many were taken.
fn flood(client: &mut Client, piece: &[u8], bytes: usize) -> usize {
    let mut sent = 0;
    while sent < bytes {
        match client.stream.write(piece) {
            Ok(n) => sent += n,
            Err(_) => break,
        }
    }
    sent
}

#[test]
fn endless_heads_and_bodies_are_cut_off_in_bounded_memory() {
    for driver in DRIVERS {
        let provider = Provider::good("\"0x600d\"");
        let mut lasso = Lasso::start(&no_limit(&[provider.address]), driver);
        let before = lasso.memory_kib();
        let filler = vec![b'a'; 64 * 1024];
        let chunk = [b"10000\r\n", &filler[..], b"\r\n"].concat();
        let announced = head("Content-Length: 209715200\r\n", "");
        // `taken`: what the node reads away after its refusal, and what the kernel's buffers on both sides hold besides.
        for (name, start, piece, total, taken) in [
            ("a head of 200 MiB", "POST /rpc/one HTTP/1.1\r\nX: ".to_owned(), &filler, 200 << 20, 80 << 20),
            ("a length of 200 MiB", announced, &filler, 200 << 20, 80 << 20),
            ("chunks of 200 MiB", chunked(""), &chunk, 200 << 20, 96 << 20),
        ] {
            let mut client = Client::new(lasso.address);
            client.send(start.as_bytes());
            let sent = flood(&mut client, piece, total);
            assert!(sent < taken, "{name} on {driver}: {sent} bytes were taken");
            let peak = lasso.memory_peak_kib();
            assert!(peak < before + 40 * 1024, "{name} on {driver}: {before} KiB before, {peak} KiB at the worst");
        }
        assert_eq!(forwarded(&provider), 0);
        lasso.assert_alive();
    }
}

#[test]
fn a_length_takes_no_memory_until_its_bytes_come() {
    let lasso = Lasso::start(&no_limit(&[SocketAddr::from(([127, 0, 0, 1], 1))]), "io_uring");
    let before = lasso.memory_kib();
    let clients: Vec<Client> = (0..16)
        .map(|_| {
            let mut client = Client::new(lasso.address);
            client.send(head("Content-Length: 8000000\r\n", "{").as_bytes());
            client
        })
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    let after = lasso.memory_peak_kib();
    assert!(after < before + 8 * 1024, "{before} KiB before, {after} KiB for {} announced bodies", clients.len());
}

#[test]
fn bodies_beyond_the_nodes_budget_are_refused_not_held() {
    let provider = Provider::good("\"0x600d\"");
    let mut lasso = Lasso::start(&no_limit(&[provider.address]), "io_uring");
    // 16 of them charge 128 MB of 134; a seventeenth does not fit.
    let mut clients: Vec<Client> = (0..16).map(|_| Client::new(lasso.address)).collect();
    clients.iter_mut().for_each(|client| client.send(head("Content-Length: 8000000\r\n", "{").as_bytes()));
    std::thread::sleep(Duration::from_millis(100));
    let mut late = Client::new(lasso.address);
    late.send(head("Content-Length: 8000000\r\n", "{").as_bytes());
    let answer = late.answer().expect("a refusal");
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &serde_json::json!(-32008)), "{}", answer.text());
    assert!(late.is_closed());
    drop(clients);
    std::thread::sleep(Duration::from_millis(200));
    let answer = Client::new(lasso.address).post("/rpc/one", &READ.replace("latest", &"a".repeat(7_900_000)));
    assert_eq!(answer.status, 200, "the budget is free again: {}", answer.text());
    lasso.assert_alive();
}

#[test]
fn a_head_that_trickles_is_ended_after_ten_seconds() {
    let provider = Provider::good("\"0x600d\"");
    let runs: Vec<_> = DRIVERS.iter().map(|driver| (driver, Lasso::start(&no_limit(&[provider.address]), driver))).collect();
    let began = Instant::now();
    let mut clients: Vec<_> = runs.iter().map(|(_, lasso)| Client::new(lasso.address)).collect();
    clients.iter_mut().for_each(|client| client.send(b"POST /rpc/one HTTP/1.1\r\n"));
    let mut ended: Vec<Option<Duration>> = vec![None; clients.len()];
    while ended.iter().any(Option::is_none) && began.elapsed() < Duration::from_secs(14) {
        for (client, ended) in clients.iter_mut().zip(&mut ended).filter(|(_, ended)| ended.is_none()) {
            client.stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
            client.send(b"a");
            if !matches!(client.stream.read(&mut [0; 100]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock) {
                *ended = Some(began.elapsed());
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    for ((driver, _), ended) in runs.iter().zip(ended) {
        let ended = ended.unwrap_or_else(|| panic!("{driver}: still open"));
        assert!((Duration::from_millis(9_900)..Duration::from_secs(13)).contains(&ended), "{driver}: {ended:?}");
    }
}
