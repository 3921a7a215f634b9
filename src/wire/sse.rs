//! Server-sent events, the writing side (WHATWG HTML §9.2): `event`, `id` and one line of data each.
//!
//! Data is one line of JSON, which has no raw line end in it, so nothing has to be split.

/// Appends one message. `data` is written in pieces that follow each other.
pub fn write_event<'a>(out: &mut Vec<u8>, event: &str, id: Option<&str>, data: impl IntoIterator<Item = &'a [u8]>) {
    if let Some(id) = id {
        [b"id: ", id.as_bytes(), b"\n"].iter().for_each(|part| out.extend_from_slice(part));
    }
    [b"event: ", event.as_bytes(), b"\ndata: "].iter().for_each(|part| out.extend_from_slice(part));
    let start = out.len();
    data.into_iter().for_each(|piece| out.extend_from_slice(piece));
    debug_assert!(!out.get(start..).unwrap_or(&[]).contains(&b'\n'), "data is one line");
    out.extend_from_slice(b"\n\n");
}

/// Keeps a connection alive that has nothing to say; readers skip it.
pub const HEARTBEAT: &[u8] = b":\n\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let check = |event, id, pieces: &[&str], want: &str| {
            let mut out = Vec::new();
            write_event(&mut out, event, id, pieces.iter().map(|piece| piece.as_bytes()));
            assert_eq!(String::from_utf8(out).unwrap(), want);
        };
        check("hello", None, &["{}"], "event: hello\ndata: {}\n\n");
        check("batch", Some("17-3"), &["[", "1", "]"], "id: 17-3\nevent: batch\ndata: [1]\n\n");
    }
}
