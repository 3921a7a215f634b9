//! CORS: any origin, for 24 hours, whatever header names a browser asks for. Libraries add fields of their own to every call;
//! one that nobody reads harms nobody, and refusing it would keep a page from using the node at all.

use crate::base::limits::PREFLIGHT_MAX_AGE_S;

/// Fields of every answer under `/rpc` and `/ws`, each line ended.
pub const ANSWER_FIELDS: &[u8] = b"access-control-allow-origin: *\r\n\
access-control-expose-headers: x-request-id, x-lasso-request-id, x-lasso-meta, x-lasso-region, x-livechain-region, retry-after\r\n";

/// Appends the header fields of a preflight answer (204), each line ended; `asked` is `Access-Control-Request-Headers`.
pub fn write_preflight_fields(out: &mut Vec<u8>, asked: &[u8]) {
    out.extend_from_slice(ANSWER_FIELDS);
    out.extend_from_slice(b"access-control-allow-methods: GET, POST, OPTIONS\r\n");
    out.extend_from_slice(format!("access-control-max-age: {PREFLIGHT_MAX_AGE_S}\r\n").as_bytes());
    let mut separator: &[u8] = b"access-control-allow-headers: ";
    for name in asked.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| is_token(name)) {
        out.extend_from_slice(separator);
        out.extend(name.iter().map(u8::to_ascii_lowercase));
        separator = b", ";
    }
    if separator == b", " {
        out.extend_from_slice(b"\r\n");
    }
}

/// RFC 9110 §5.6.2: nothing else is a field's name, or belongs into an answer of ours.
fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_every_name_that_is_one() {
        let check = |asked: &str, want: &str| {
            let mut out = Vec::new();
            write_preflight_fields(&mut out, asked.as_bytes());
            let text = String::from_utf8(out).unwrap();
            let found = text.lines().find_map(|l| l.strip_prefix("access-control-allow-headers: ")).unwrap_or("");
            assert_eq!(found, want, "{asked}");
            assert!(text.ends_with("\r\n") && text.contains("access-control-max-age: 86400\r\n"));
            assert!(text.contains("access-control-allow-origin: *\r\n") && text.contains("access-control-expose-headers: "));
        };
        check("", "");
        check(" , ,", "");
        check("Content-Type", "content-type");
        check(
            "content-type,x-lasso-provider , Solana-Client,X-API-Key",
            "content-type, x-lasso-provider, solana-client, x-api-key",
        );
        check("authorization,sentry-trace,baggage", "authorization, sentry-trace, baggage");
        check("x-evil\r\nset-cookie: a=b", "");
        check("a b,ok,\u{e9}", "ok");
    }
}
