//! CORS (CONTRACT §2): any origin, for 24 hours; of the header names a browser asks for, only those that do something are echoed.

use crate::base::limits::PREFLIGHT_MAX_AGE_S;

/// Fields of every answer under `/rpc` and `/ws`, each line ended.
pub const ANSWER_FIELDS: &[u8] = b"access-control-allow-origin: *\r\n\
access-control-expose-headers: x-request-id, x-lasso-request-id, x-lasso-meta, x-lasso-region, x-livechain-region, retry-after\r\n";

const ALLOWED: [&str; 10] = [
    "content-type",
    "authorization",
    "x-api-key",
    "x-request-id",
    "traceparent",
    "tracestate",
    "x-lasso-provider",
    "x-lasso-transport",
    "x-lasso-include-meta",
    "x-lasso-region",
];

/// Appends the header fields of a preflight answer (204), each line ended; `asked` is `Access-Control-Request-Headers`.
pub fn write_preflight_fields(out: &mut Vec<u8>, asked: &[u8]) {
    out.extend_from_slice(b"access-control-allow-origin: *\r\naccess-control-allow-methods: GET, POST, OPTIONS\r\n");
    out.extend_from_slice(format!("access-control-max-age: {PREFLIGHT_MAX_AGE_S}\r\n").as_bytes());
    let mut any = false;
    let mut seen = 0u16;
    for name in asked.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
        let Some(at) = ALLOWED.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name)) else { continue };
        if seen & 1 << at != 0 {
            continue;
        }
        seen |= 1 << at;
        out.extend_from_slice(if any { b", " } else { b"access-control-allow-headers: " });
        out.extend(ALLOWED.get(at).into_iter().flat_map(|n| n.bytes()));
        any = true;
    }
    if any {
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_only_what_is_ours() {
        let check = |asked: &str, want: &str| {
            let mut out = Vec::new();
            write_preflight_fields(&mut out, asked.as_bytes());
            let text = String::from_utf8(out).unwrap();
            let found = text.lines().find_map(|l| l.strip_prefix("access-control-allow-headers: ")).unwrap_or("");
            assert_eq!(found, want, "{asked}");
            assert!(text.ends_with("\r\n") && text.contains("access-control-max-age: 86400\r\n"));
            assert!(text.contains("access-control-allow-origin: *\r\n"));
        };
        check("", "");
        check("cookie", "");
        check("Content-Type", "content-type");
        check("content-type,x-lasso-provider , Cookie,X-API-Key", "content-type, x-lasso-provider, x-api-key");
        check("content-type, content-type", "content-type");
        check("x-evil\r\nset-cookie: a=b", "");
        check(&ALLOWED.join(","), &ALLOWED.join(", "));
    }
}
