//! A body as WebSocket frames, right or wrong in the way a fault says: the counterpart of `framing` for answers and events
//! that go out on a WebSocket.
//!
//! Faults that only HTTP has become the nearest thing a WebSocket server does: a gateway's page is a close with 1011,
//! a status without a body one with 1013, an empty body an empty message; odd but right HTTP framing is plain here.

use super::framing::{End, Plan, Step};
use super::knobs::{Fault, TooMany};
use crate::base::{rng::Rng, time::Duration};
use crate::wire::websocket::{Opcode, close_frame, write_frame_head};

/// A whole text message in one frame.
pub fn message(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 10);
    write_frame_head(&mut out, Opcode::Text, body.len());
    out.extend_from_slice(body);
    out
}

/// The notification that carries an event; `result` is raw JSON.
pub fn notification(subscription: &str, result: &[u8]) -> Vec<u8> {
    let front = format!(r#"{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":"{subscription}","result":"#);
    [front.as_bytes(), result, b"}}"].concat()
}

/// Sends these bytes and goes on.
pub fn send(bytes: Vec<u8>) -> Plan {
    Plan { delay: Duration::ZERO, steps: vec![Step::Send(bytes)], end: End::KeepAlive }
}

/// Closes with `code`; 1006 is what a peer sees of an end without a word.
pub fn close(code: u16) -> Plan {
    let steps = if code == 1006 { Vec::new() } else { vec![Step::Send(close_frame(code, "model"))] };
    Plan { delay: Duration::ZERO, steps, end: End::Close }
}

/// A frame that no server may send.
pub fn broken(rng: &mut Rng) -> Plan {
    let bytes: &[u8] = match rng.below(5) {
        // Reserved opcodes, a reserved bit, a mask, a continuation of nothing.
        0 => &[0x83, 0],
        1 => &[0x8f, 0],
        2 => &[0xc1, 2, b'{', b'}'],
        3 => &[0x81, 0x82, 1, 2, 3, 4, b'z', b'z'],
        _ => &[0x80, 2, b'{', b'}'],
    };
    send(bytes.to_vec())
}

/// The first half of a message, then the end of the connection.
pub fn truncated(body: &[u8]) -> Plan {
    let mut bytes = message(body);
    bytes.truncate(bytes.len() - body.len().div_ceil(2));
    Plan { end: End::Reset, ..send(bytes) }
}

/// The answer `body` (JSON; empty: there is none) under `fault`. `last`: the connection is closed after it.
pub fn plan(body: &[u8], fault: Option<Fault>, last: bool, rng: &mut Rng) -> Plan {
    let mut plan = answer(body, fault, rng);
    if let Some(Fault::Late(ms)) = fault {
        plan.delay = Duration::from_millis(ms);
    }
    if last && plan.end == End::KeepAlive {
        plan.steps.extend(close(1000).steps);
        plan.end = End::Close;
    }
    plan
}

fn answer(body: &[u8], fault: Option<Fault>, rng: &mut Rng) -> Plan {
    let whole = || if body.is_empty() { Plan { steps: Vec::new(), ..send(Vec::new()) } } else { send(message(body)) };
    match fault {
        Some(Fault::Page(_) | Fault::Moved) => close(1011),
        Some(Fault::Bare(_)) => close(1013),
        Some(Fault::TooMany(TooMany::Status { .. })) => close(1008),
        Some(Fault::PlainText) => send(message(b"upstream connect error")),
        Some(Fault::EmptyBody) => send(message(b"")),
        Some(Fault::Pieces) => fragments(body, rng),
        Some(Fault::ExtraAnswer) => {
            let mut plan = whole();
            plan.steps.push(Step::Send(message(br#"{"jsonrpc":"2.0","id":1,"result":"0xbad"}"#)));
            plan
        }
        Some(Fault::CloseAfter | Fault::UntilClose) => {
            let mut plan = whole();
            plan.steps.extend(close(1000).steps);
            Plan { end: End::Close, ..plan }
        }
        Some(Fault::CutBody | Fault::CutChunked | Fault::NotGzip) => truncated(body),
        Some(Fault::BadChunk | Fault::TwoLengths | Fault::LengthAndChunked) => broken(rng),
        // A frame of 2 GiB is announced; a message longer than any answer begins.
        Some(Fault::HugeChunk | Fault::HugeHead) => send(vec![0x81, 127, 0, 0, 0, 0, 0x80, 0, 0, 0]),
        Some(Fault::GzipBomb) => send(message(&[&vec![b' '; 1 << 20], body].concat())),
        Some(Fault::Reset) => Plan { steps: Vec::new(), end: End::Reset, ..whole() },
        Some(Fault::ResetAt(at)) => Plan { end: End::Reset, ..cut(body, at) },
        // This answer never comes; the connection lives.
        Some(Fault::Silence) => Plan { steps: Vec::new(), ..whole() },
        Some(Fault::StallAt(at)) => Plan { end: End::Silence, ..cut(body, at) },
        _ => whole(),
    }
}

fn cut(body: &[u8], at: usize) -> Plan {
    let mut bytes = message(body);
    bytes.truncate(at);
    send(bytes)
}

/// One message in two to eight frames, with short pauses between; some are empty.
fn fragments(body: &[u8], rng: &mut Rng) -> Plan {
    let (mut steps, mut rest) = (Vec::new(), body);
    let count = 2 + rng.below(7);
    for place in 0..count {
        let is_last = place + 1 == count;
        let size = if is_last { rest.len() } else { rng.below(rest.len() as u64 + 1) as usize };
        let (now, later) = rest.split_at(size);
        let mut bytes = message(now);
        // The first frame has the opcode, the last one the final bit.
        let opcode = if place == 0 { 0x01 } else { 0x00 };
        if let Some(first) = bytes.first_mut() {
            *first = opcode | if is_last { 0x80 } else { 0 };
        }
        steps.push(Step::Send(bytes));
        steps.push(Step::Pause(Duration::from_micros(rng.below(5_000))));
        rest = later;
    }
    Plan { steps, ..send(Vec::new()) }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
