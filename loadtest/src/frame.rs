//! The little of WebSocket that the tools speak (RFC 6455): a handshake, frame heads, masks. Trusting as `scan`, and for the
//! same reason not the product's own: no extension, no fragments, and what a tool cannot read ends the run.

use crate::call::read_more;
use crate::scan;
use monoio::io::AsyncWriteRentExt;
use monoio::net::TcpStream;
use std::net::SocketAddr;

pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// What every client of ours masks with: one key costs the other side what any costs.
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// Sixteen bytes, which prove nothing to anybody.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MAX_HEAD_BYTES: usize = 16 << 10;

/// A frame's head: what follows it is `length` bytes, masked with `mask`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    pub len: usize,
    pub opcode: u8,
    pub length: usize,
    pub mask: Option<[u8; 4]>,
}

/// The head at the start of `buf`; `None` while its end is missing.
pub fn head(buf: &[u8]) -> Result<Option<Head>, String> {
    let [first, second, rest @ ..] = buf else { return Ok(None) };
    if first & 0xf0 != 0x80 {
        return Err(format!("a frame that begins with {first:02x}: a fragment or an extension"));
    }
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let masked = if second & 0x80 != 0 { 4 } else { 0 };
    if rest.len() < extended + masked {
        return Ok(None);
    }
    let number = rest[..extended].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let length = if extended == 0 { usize::from(second & 0x7f) } else { number as usize };
    let mask = rest[extended..extended + masked].try_into().ok();
    Ok(Some(Head { len: 2 + extended + masked, opcode: first & 0x0f, length, mask }))
}

fn write_head(out: &mut Vec<u8>, opcode: u8, length: usize, mask_bit: u8) {
    out.push(0x80 | opcode);
    match length {
        0..=125 => out.push(mask_bit | length as u8),
        126..=0xffff => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// A whole frame of a server.
pub fn from_server(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 10);
    write_head(&mut out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
    out
}

/// The head of a server's frame whose payload is written elsewhere.
pub fn server_head(opcode: u8, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    write_head(&mut out, opcode, length, 0);
    out
}

/// The key of a request that asks for a WebSocket.
pub fn key(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let named = |name: &'static str| move |line: &str| line.to_ascii_lowercase().starts_with(name);
    text.lines().find(|line| named("upgrade:")(line))?;
    let line = text.lines().find(|line| named("sec-websocket-key:")(line))?;
    Some(line["sec-websocket-key:".len()..].trim().to_owned())
}

/// The answer to such a request.
pub fn acceptance(head: &[u8]) -> Option<String> {
    let accepted = tungstenite::handshake::derive_accept_key(key(head)?.as_bytes());
    Some(format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {accepted}\r\n\r\n"
    ))
}

/// A whole frame of a client, and where its payload begins.
pub fn from_client(opcode: u8, payload: &[u8]) -> (Vec<u8>, usize) {
    let mut out = Vec::with_capacity(payload.len() + 14);
    write_head(&mut out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&MASK);
    let start = out.len();
    out.extend_from_slice(payload);
    mask(&mut out[start..], MASK);
    (out, start)
}

pub fn mask(payload: &mut [u8], key: [u8; 4]) {
    payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
}

/// Connects and shakes hands. The stream, and what came behind the answer.
pub async fn connect(target: SocketAddr, path: &str, host: &str, headers: &[String]) -> Result<(TcpStream, Vec<u8>), String> {
    let stream = TcpStream::connect_addr(target).await;
    let mut stream = stream.map_err(|e| format!("cannot connect to {target}: {e}"))?;
    let _ = stream.set_nodelay(true);
    let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let ask = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: {KEY}\r\n{more}\r\n"
    );
    let (result, _) = stream.write_all(ask.into_bytes()).await;
    result.map_err(|e| format!("cannot send the handshake: {e}"))?;
    let mut got = Vec::with_capacity(1024);
    loop {
        let (result, back) = read_more(&mut stream, got).await;
        got = back;
        let count = result.map_err(|e| format!("cannot read the handshake: {e}"))?;
        if let Some(head) = scan::head(&got) {
            let rest = got.split_off(head.len);
            let text = String::from_utf8_lossy(&got);
            let is_accepted = text.starts_with("HTTP/1.1 101 ") && text.contains(ACCEPTED);
            return if is_accepted { Ok((stream, rest)) } else { Err(format!("no handshake: {text}")) };
        }
        if count == 0 || got.len() > MAX_HEAD_BYTES {
            return Err(format!("no handshake: {}", String::from_utf8_lossy(&got)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_every_length_and_both_sides() {
        for length in [0, 1, 125, 126, 0xffff, 0x10000] {
            let payload = vec![7; length];
            let server = from_server(TEXT, &payload);
            let (mut client, start) = from_client(PONG, &payload);
            let check = |frame: &[u8], want: Head| {
                assert_eq!(head(frame), Ok(Some(want)), "{length}");
                (0..want.len).for_each(|cut| assert_eq!(head(&frame[..cut]), Ok(None), "{cut} of {length}"));
                assert_eq!(frame.len(), want.len + length);
            };
            let len = server.len() - length;
            check(&server, Head { len, opcode: TEXT, length, mask: None });
            check(&client, Head { len: len + 4, opcode: PONG, length, mask: Some(MASK) });
            mask(&mut client[start..], MASK);
            assert_eq!(client[start..], payload);
        }
        assert!(head(&[0x01, 0]).is_err(), "a fragment");
        assert!(head(&[0xc1, 0]).is_err(), "compressed");
    }
}
