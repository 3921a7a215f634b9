//! The calls of a load: one request rendered once, its id patched in place; every id is used once.

use crate::args::Load;
use crate::frame;
use monoio::buf::IoBufMut;
use monoio::io::AsyncReadRent;
use std::io;
use std::ops::Range;

/// Ids have this many digits, so that a request never changes its length, and stay within 2^53.
const FIRST_ID: u64 = 1_000_000_000_000;
/// Ids of one process, before another's begin.
const IDS_PER_PROCESS: u64 = 1_000_000_000;

/// One request, to be sent again and again with a new id.
#[derive(Clone)]
pub struct Request {
    pub bytes: Vec<u8>,
    /// Where the id stands in them.
    place: Range<usize>,
    id: Vec<u8>,
    /// What the id's bytes are masked with.
    mask: [u8; 4],
}

impl Request {
    pub fn new(options: &Load) -> Request {
        let params = r#"["0x28c6c06298d514db089934071355e5743bf21d60","latest"]"#;
        let (before, after) =
            ("{\"jsonrpc\":\"2.0\",\"id\":", format!(",\"method\":\"{}\",\"params\":{params}}}", options.method));
        let id = FIRST_ID.to_string();
        if options.over_socket {
            return Request::frame(before, &id, &after);
        }
        let body_bytes = before.len() + id.len() + after.len();
        let (path, host) = (&options.path, &options.host);
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n");
        for header in &options.headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str(&format!("content-length: {body_bytes}\r\n\r\n{before}"));
        let start = head.len();
        let text = format!("{head}{id}{after}");
        Request { bytes: text.into_bytes(), place: start..start + id.len(), id: id.into_bytes(), mask: [0; 4] }
    }

    fn frame(before: &str, id: &str, after: &str) -> Request {
        let (bytes, payload) = frame::from_client(frame::TEXT, format!("{before}{id}{after}").as_bytes());
        let mut mask = frame::MASK;
        mask.rotate_left(before.len() % 4);
        let start = payload + before.len();
        Request { bytes, place: start..start + id.len(), id: id.into(), mask }
    }

    pub fn set_id(&mut self, id: u64) {
        let mut left = id;
        for digit in self.id.iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
        let place = &mut self.bytes[self.place.clone()];
        place.copy_from_slice(&self.id);
        frame::mask(place, self.mask);
    }

    /// The id that was set.
    pub fn id(&self) -> &[u8] {
        &self.id
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
            Ok(Command::Load(options)) => Request::new(&options),
            _ => panic!("{line}"),
        }
    }

    #[test]
    fn a_request_is_whole_and_its_id_changes_in_place() {
        let mut request = request("--path /rpc/x --header x-a:b --method eth_call");
        let length = request.bytes.len();
        for id in [first_id(0), first_id(u32::MAX), FIRST_ID + 7] {
            request.set_id(id);
            assert_eq!((request.bytes.len(), request.id()), (length, id.to_string().as_bytes()));
            let head = scan::head(&request.bytes).expect("a head");
            assert_eq!(head.framing, Framing::Length(length - head.len));
            let body: serde_json::Value = serde_json::from_slice(&request.bytes[head.len..]).expect("json");
            assert_eq!((body["id"].as_u64(), body["method"].as_str()), (Some(id), Some("eth_call")));
        }
        assert!(request.bytes.starts_with(b"POST /rpc/x HTTP/1.1\r\nhost: 127.0.0.1\r\n"));
        assert!(first_id(u32::MAX) + IDS_PER_PROCESS < 1 << 53);
    }

    #[test]
    fn so_is_a_request_in_a_frame() {
        for method in ["eth_call", "eth_getBalance"] {
            let mut request = request(&format!("--ws --method {method}"));
            for id in [first_id(0), FIRST_ID + 7] {
                request.set_id(id);
                let head = frame::head(&request.bytes).expect("no fragment").expect("a head");
                let mut body = request.bytes[head.len..].to_vec();
                frame::mask(&mut body, head.mask.expect("a mask"));
                let body: serde_json::Value = serde_json::from_slice(&body).expect("json");
                assert_eq!((body["id"].as_u64(), body["method"].as_str()), (Some(id), Some(method)));
                assert_eq!(head.len + head.length, request.bytes.len());
            }
        }
    }
}
