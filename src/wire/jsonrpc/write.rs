//! Envelopes written by hand into a buffer that is reused: no tree, no formatting machinery, no allocation.

use super::answer::Answer;
use super::request::ParamsKind;
use crate::wire::json::write_string;

/// Appends a decimal integer.
pub fn write_integer(out: &mut Vec<u8>, n: i64) {
    let mut digits = [0u8; 20];
    let mut left = n.unsigned_abs();
    let mut len = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (left % 10) as u8;
        left /= 10;
        len += 1;
        if left == 0 {
            break;
        }
    }
    if n < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(digits.len() - len..).unwrap_or(&[]));
}

/// An error reply. `id`: the raw token, `null` for none. `data`: raw JSON.
pub fn write_error(out: &mut Vec<u8>, id: &[u8], code: i64, message: &str, data: Option<&[u8]>) {
    write_opening(out, id);
    out.extend_from_slice(b",\"error\":{\"code\":");
    write_integer(out, code);
    out.extend_from_slice(b",\"message\":");
    write_string(out, message);
    if let Some(data) = data {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data);
    }
    out.extend_from_slice(b"}}");
}

/// A call for a node, in canonical form. `method`: as a request's span gives it, so without anything to escape.
pub fn write_call(out: &mut Vec<u8>, id: &[u8], method: &[u8], params: &[u8], kind: ParamsKind) {
    write_opening(out, id);
    out.extend_from_slice(b",\"method\":\"");
    out.extend_from_slice(method);
    out.extend_from_slice(b"\",\"params\":");
    let (before, params, after): (&[u8], &[u8], &[u8]) = match kind {
        ParamsKind::Array | ParamsKind::Object => (b"", params, b"}"),
        ParamsKind::Scalar => (b"[", params, b"]}"),
        ParamsKind::None => (b"[", b"", b"]}"),
    };
    out.extend_from_slice(before);
    out.extend_from_slice(params);
    out.extend_from_slice(after);
}

/// A result reply. `result`: raw JSON.
pub fn write_result(out: &mut Vec<u8>, id: &[u8], result: &[u8]) {
    write_opening(out, id);
    out.extend_from_slice(b",\"result\":");
    out.extend_from_slice(result);
    out.push(b'}');
}

fn write_opening(out: &mut Vec<u8>, id: &[u8]) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id);
}

/// The reply to a client is `body[..before]`, the client's id, `body[after..]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Splice {
    pub before: usize,
    pub after: usize,
}

/// Where the client's id goes into an answer's body.
pub fn splice_points(answer: &Answer) -> Splice {
    Splice { before: answer.id.start as usize, after: answer.id.end as usize }
}

/// Appends the spliced reply: for bodies small enough to copy (`COALESCE_BYTES`); larger ones go by a gathering write.
pub fn splice(out: &mut Vec<u8>, body: &[u8], answer: &Answer, id: &[u8]) {
    let points = splice_points(answer);
    out.extend_from_slice(body.get(..points.before).unwrap_or(&[]));
    out.extend_from_slice(id);
    out.extend_from_slice(body.get(points.after..).unwrap_or(&[]));
}
