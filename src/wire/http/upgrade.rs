//! A provider's answer to the wish for a WebSocket (RFC 6455 §4.1), read as strictly as every other head.
//!
//! A 101 is believed only when it proves that a WebSocket server read our key, and agrees to nothing we did not ask for: an
//! extension would change what frames mean. Any other answer is an ordinary HTTP answer; its status says what is wrong.

use super::answer::head_of;
use super::fault::{self, HttpFault};
use super::field::{ConnectionOptions, is_name};
use super::{AnswerHead, Scan, scan_answer};
use crate::base::limits;
use std::mem::MaybeUninit;

/// What the provider answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpgradeAnswer {
    /// Frames follow after `len` bytes.
    Switched { len: usize },
    /// No WebSocket: the head of an HTTP answer that says why.
    Refused(AnswerHead),
}

/// Reads the answer at the start of `buf`; `seen` as for `scan_request`, `accept` is what our key demands.
pub fn scan_upgrade(buf: &[u8], seen: usize, accept: &str) -> Scan<UpgradeAnswer> {
    let head = match head_of(buf, seen) {
        Scan::NeedMore => return Scan::NeedMore,
        Scan::Bad(fault) => return Scan::Bad(fault),
        Scan::Done(head) => head,
    };
    if head.get(9..12) != Some(b"101") {
        return match scan_answer(buf, 0) {
            Scan::Done(head) => Scan::Done(UpgradeAnswer::Refused(head)),
            Scan::Bad(fault) => Scan::Bad(fault),
            Scan::NeedMore => Scan::NeedMore,
        };
    }
    match agrees(head, accept) {
        Ok(()) => Scan::Done(UpgradeAnswer::Switched { len: head.len() }),
        Err(fault) => Scan::Bad(fault),
    }
}

fn agrees(head: &[u8], accept: &str) -> Result<(), HttpFault> {
    let mut space = [const { MaybeUninit::uninit() }; limits::ANSWER_HEADERS];
    let mut tokens = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut tokens, head, &mut space) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(fault::ANSWER_TOO_MANY_FIELDS),
        _ => return Err(fault::ANSWER_FIELDS),
    }
    if tokens.version != Some(1) || tokens.code != Some(101) {
        return Err(fault::UPGRADE_VERSION);
    }
    let (mut upgrades, mut accepts, mut connection) = (0, 0, ConnectionOptions::default());
    for header in tokens.headers.iter() {
        let (name, value) = (header.name.as_bytes(), header.value.trim_ascii());
        match name.len() {
            7 if is_name(name, b"upgrade") => upgrades += if value.eq_ignore_ascii_case(b"websocket") { 1 } else { 2 },
            10 if is_name(name, b"connection") => connection.add(value),
            20 if is_name(name, b"sec-websocket-accept") => accepts += if value == accept.as_bytes() { 1 } else { 2 },
            22 if is_name(name, b"sec-websocket-protocol") => return Err(fault::UPGRADE_EXTENSION),
            24 if is_name(name, b"sec-websocket-extensions") && !value.is_empty() => return Err(fault::UPGRADE_EXTENSION),
            _ => {}
        }
    }
    match (upgrades == 1 && connection.upgrade, accepts == 1) {
        (false, _) => Err(fault::UPGRADE_FIELDS),
        (_, false) => Err(fault::UPGRADE_ACCEPT),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    #[test]
    fn only_an_exact_agreement_switches() {
        let check = |line: &str, fields: &[&str], want: Result<(), HttpFault>| {
            let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            let text = format!("{line}\r\n{fields}\r\n");
            let len = text.len();
            let want = match want {
                Ok(()) => Scan::Done(UpgradeAnswer::Switched { len }),
                Err(fault) => Scan::Bad(fault),
            };
            let buf = [text.as_bytes(), b"\x81\x02{}"].concat();
            assert_eq!(scan_upgrade(&buf, 0, ACCEPT), want, "{text}");
            for at in 0..len {
                let early = scan_upgrade(&buf[..at], 0, ACCEPT);
                assert!(early == Scan::NeedMore || early == want, "{text} at {at}");
            }
        };
        let yes = ["Upgrade: WebSocket", "Connection: keep-alive, upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="];
        let but = |drop: usize, other: &'static str| {
            let mut fields = yes.to_vec();
            fields[drop] = other;
            fields
        };
        let line = "HTTP/1.1 101 Switching Protocols";
        check(line, &yes, Ok(()));
        check(line, &[&yes[..], &["Sec-WebSocket-Extensions: "]].concat(), Ok(()));
        check("HTTP/1.0 101 Switching", &yes, Err(fault::UPGRADE_VERSION));
        check(line, &but(0, "Upgrade: h2c"), Err(fault::UPGRADE_FIELDS));
        check(line, &but(0, "Via: 1.1 x"), Err(fault::UPGRADE_FIELDS));
        check(line, &but(1, "Connection: close"), Err(fault::UPGRADE_FIELDS));
        check(line, &[&yes[..], &["Upgrade: websocket"]].concat(), Err(fault::UPGRADE_FIELDS));
        check(line, &but(2, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO="), Err(fault::UPGRADE_ACCEPT));
        check(line, &but(2, "Via: 1.1 x"), Err(fault::UPGRADE_ACCEPT));
        check(line, &[&yes[..], &[yes[2]]].concat(), Err(fault::UPGRADE_ACCEPT));
        check(line, &[&yes[..], &["Sec-WebSocket-Extensions: permessage-deflate"]].concat(), Err(fault::UPGRADE_EXTENSION));
        check(line, &[&yes[..], &["Sec-WebSocket-Protocol: x"]].concat(), Err(fault::UPGRADE_EXTENSION));
        check(line, &[&yes[..], &["bad field"]].concat(), Err(fault::ANSWER_FIELDS));
    }

    #[test]
    fn another_answer_is_a_refusal_with_its_status() {
        let refusal = b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno";
        let Scan::Done(UpgradeAnswer::Refused(head)) = scan_upgrade(refusal, 0, ACCEPT) else { panic!("a refusal") };
        assert_eq!((head.status, head.retry_after.of(refusal)), (429, &b"7"[..]));
        assert_eq!(scan_upgrade(b"SSH-2.0", 0, ACCEPT), Scan::Bad(fault::ANSWER_LINE));
    }
}
