//! The calls of a load: each kind's request is rendered once and its ids patched in place; every id is used once.

use crate::frame;
use crate::load_args::{Kind, Load};
use monoio::buf::IoBufMut;
use monoio::io::AsyncReadRent;
use std::io;

/// Ids have this many digits, so that a request never changes its length, and stay within 2^53.
const FIRST_ID: u64 = 1_000_000_000_000;
/// Ids of one process, before another's begin.
const IDS_PER_PROCESS: u64 = 1_000_000_000;

/// Where an id stands in a request, or in what a call asks for.
#[derive(Clone)]
struct Slot {
    at: usize,
    /// The call's place in its batch.
    place: u64,
    /// What the digits are masked with.
    mask: [u8; 4],
}

/// One request, to be sent again and again with new ids. What a call asks for has its id's digits in it, so that no two calls ask
/// for the same and no cache answers for the provider.
#[derive(Clone)]
pub struct Request {
    pub bytes: Vec<u8>,
    slots: Vec<Slot>,
    id: Vec<u8>,
    calls: u64,
}

/// Stands for the id while a request is rendered; as many digits as an id has.
const MARK: &str = "7777777777777";
const ID_DIGITS: usize = MARK.len();

impl Request {
    pub fn new(options: &Load, kind: &Kind) -> Request {
        let one =
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{MARK},\"method\":\"{}\",\"params\":{}}}", kind.method, params(&kind.method));
        let body = match options.batch {
            1 => one,
            count => format!("[{}]", vec![one; count as usize].join(",")),
        };
        let calls = options.batch;
        if options.over_socket {
            let (bytes, payload) = frame::from_client(frame::TEXT, body.as_bytes());
            return Request { bytes, slots: slots(&body, payload, frame::MASK), id: MARK.into(), calls };
        }
        let (path, host) = (&options.path, &options.host);
        let mut text = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n");
        for header in &options.headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let slots = slots(&body, text.len(), [0; 4]);
        text.push_str(&body);
        Request { bytes: text.into_bytes(), slots, id: MARK.into(), calls }
    }

    /// The first call's id; those behind it in a batch have the next ones.
    pub fn set_id(&mut self, id: u64) {
        for slot in &self.slots {
            write_digits(&mut self.id, id + slot.place);
            let place = &mut self.bytes[slot.at..slot.at + ID_DIGITS];
            place.copy_from_slice(&self.id);
            frame::mask(place, slot.mask);
        }
        write_digits(&mut self.id, id);
    }

    /// The first id that was set.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    pub fn calls(&self) -> u64 {
        self.calls
    }
}

fn write_digits(out: &mut [u8], number: u64) {
    let mut left = number;
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
}

/// Every call has two marks: its id, and the one in its parameters.
fn slots(body: &str, start: usize, mask: [u8; 4]) -> Vec<Slot> {
    let found = body.match_indices(MARK).enumerate();
    let slot = |(number, (at, _)): (usize, (usize, &str))| {
        let mut turned = mask;
        turned.rotate_left(at % 4);
        Slot { at: start + at, place: number as u64 / 2, mask: turned }
    };
    found.map(slot).collect()
}

/// What such a call asks for, as a client would write it: 20 or 32 bytes that end in the mark.
fn params(method: &str) -> String {
    let bytes = |count: usize| {
        format!(
            "0x{}{MARK}",
            "28c6c06298d514db089934071355e5743bf21d6028c6c06298d514db089934071355".split_at(2 * count - ID_DIGITS).0
        )
    };
    match method {
        "eth_getTransactionReceipt" | "eth_getTransactionByHash" | "eth_getBlockReceipts" => format!("[\"{}\"]", bytes(32)),
        "eth_getLogs" => format!("[{{\"blockHash\":\"{}\"}}]", bytes(32)),
        "eth_call" => format!("[{{\"to\":\"{}\",\"data\":\"0x18160ddd\"}},\"latest\"]", bytes(20)),
        _ => format!("[\"{}\",\"latest\"]", bytes(20)),
    }
}

/// The first id of a process: two loads on one machine do not share ids soon.
pub fn first_id(process: u32) -> u64 {
    FIRST_ID + u64::from(process % 8000) * IDS_PER_PROCESS
}

/// Appends what can be read to `buffer`, which keeps at least `ROOM_BYTES` free.
pub async fn read_more(from: &mut impl AsyncReadRent, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
    if buffer.capacity() - buffer.len() < ROOM_BYTES {
        buffer.reserve(buffer.capacity().max(ROOM_BYTES));
    }
    let end = buffer.len();
    let (result, slice) = from.read(buffer.slice_mut(end..)).await;
    (result, slice.into_inner())
}

const ROOM_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{self, Command};
    use crate::scan::{self, Framing};

    fn request(line: &str) -> Request {
        let words = format!("loadtest load --target 127.0.0.1:1 {line}");
        match args::parse(words.split_whitespace().map(Into::into)) {
            Ok(Command::Load(options)) => Request::new(&options, &options.kinds[0]),
            _ => panic!("{line}"),
        }
    }

    #[test]
    fn a_request_is_whole_and_its_id_changes_in_place() {
        for method in ["eth_call", "eth_getBalance", "eth_getLogs", "eth_getBlockReceipts", "eth_getTransactionReceipt"] {
            let mut request = request(&format!("--path /rpc/x --header x-a:b --method {method}"));
            let length = request.bytes.len();
            for id in [first_id(0), first_id(u32::MAX), FIRST_ID + 7] {
                request.set_id(id);
                assert_eq!((request.bytes.len(), request.id()), (length, id.to_string().as_bytes()));
                let head = scan::head(&request.bytes).expect("a head");
                assert_eq!(head.framing, Framing::Length(length - head.len));
                let body: serde_json::Value = serde_json::from_slice(&request.bytes[head.len..]).expect("json");
                assert_eq!((body["id"].as_u64(), body["method"].as_str()), (Some(id), Some(method)));
                let text = body["params"].to_string();
                assert!(text.contains(&format!("{id}\"")), "{text}");
                let mut hex = text.split("0x").skip(1).filter_map(|rest| rest.split('"').next()).map(str::len);
                assert!(hex.any(|digits| matches!(digits, 40 | 64)), "{text}");
            }
            assert!(request.bytes.starts_with(b"POST /rpc/x HTTP/1.1\r\nhost: 127.0.0.1\r\n"));
        }
        assert!(first_id(u32::MAX) + IDS_PER_PROCESS < 1 << 53);
    }

    #[test]
    fn so_is_a_request_in_a_frame_and_a_batch() {
        for method in ["eth_call", "eth_getBalance"] {
            let mut request = request(&format!("--ws --batch 3 --method {method}"));
            for id in [first_id(0), FIRST_ID + 7] {
                request.set_id(id);
                let head = frame::head(&request.bytes).expect("no fragment").expect("a head");
                let mut body = request.bytes[head.len..].to_vec();
                frame::mask(&mut body, head.mask.expect("a mask"));
                let body: serde_json::Value = serde_json::from_slice(&body).expect("json");
                for place in 0..3 {
                    let one = &body[place as usize];
                    assert_eq!((one["id"].as_u64(), one["method"].as_str()), (Some(id + place), Some(method)));
                    assert!(one["params"].to_string().contains(&(id + place).to_string()), "{one}");
                }
                assert_eq!((head.len + head.length, request.calls()), (request.bytes.len(), 3));
            }
        }
    }
}
