//! The meaning of a JSON-RPC code and of an HTTP status when the text says nothing (EIP-1474, RFC 9110).

use crate::observe::category::Category as C;

/// As nodes use them (docs/behaviour/answers.md#codes): -32001 and -32004 mean what EIP-1474 says (not found, not supported), and
/// -32009 and -32016 alone mean nothing certain, since providers use them for rate limits, auth and time-outs, so another
/// provider is asked.
pub(super) fn of_code(code: i64) -> C {
    match code {
        3 | -32015 => C::ExecutionRevert,
        -32700 | -32600 => C::InvalidRequest,
        -32601 | -32004 | 4200 => C::MethodNotFound,
        -32602 => C::InvalidParams,
        -32603 => C::ServerError,
        -32000 => C::Unclassified,
        -32001 => C::MissingDataAhead,
        -32003 | -32010 => C::TxRejected,
        -32005 | -32009 | -32046 | 429 | 30 => C::RateLimit,
        -32016 => C::Unknown,
        -32099..=-32001 => C::ServerError,
        -32701 | 35 => C::MethodNotAllowed,
        -38099..=-38000 => C::InvalidParams,
        -31001 | -31002 | 14 | 23 => C::ServerError,
        26 => C::MissingDataAhead,
        4001 => C::InvalidRequest,
        4100 | 401 => C::Auth,
        402 | 403 => C::Forbidden,
        4900 | 4901 => C::Unavailable,
        408 => C::Timeout,
        413 => C::RequestTooLarge,
        400..=499 => C::InvalidRequest,
        500.. => C::ServerError,
        _ => C::Unknown,
    }
}

/// Whether a code is specific enough to stand against an HTTP status of 5xx or 4xx; some gateways send those with every error.
pub(super) fn is_specific(code: i64) -> bool {
    !matches!(of_code(code), C::Unclassified | C::Unknown | C::ServerError)
}

/// What an HTTP status says; `None` for 2xx, which says nothing.
pub(super) fn of_status(status: u16) -> Option<C> {
    Some(match status {
        200..=299 => return None,
        401 => C::Auth,
        402 | 403 => C::Forbidden,
        408 | 504 => C::Timeout,
        413 => C::RequestTooLarge,
        429 => C::RateLimit,
        404 | 410 | 300..=399 => C::Unavailable,
        500..=599 => C::ServerError,
        400..=499 => C::RequestRejected,
        _ => C::MalformedResponse,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        let check = |codes: &[i64], want: C| codes.iter().for_each(|c| assert_eq!(of_code(*c), want, "{c}"));
        check(&[3, -32015], C::ExecutionRevert);
        check(&[-32700, -32600, 4001, 400, 404, 499], C::InvalidRequest);
        check(&[-32601], C::MethodNotFound);
        check(&[-32602, -38026], C::InvalidParams);
        check(&[-32603, -32002, -32099, -31001, -31002, 14, 23, 500, 503, 999], C::ServerError);
        check(&[-32000], C::Unclassified);
        check(&[-32005, -32046, 429, 30], C::RateLimit);
        check(&[4100, 401], C::Auth);
        check(&[402, 403], C::Forbidden);
        check(&[0, 1, 2, -1, -32100, i64::MIN, 399, 42], C::Unknown);
        check(&[i64::MAX], C::ServerError);
    }

    #[test]
    fn every_status() {
        for status in 100..=599 {
            let found = of_status(status);
            let want = match status {
                200..=299 => None,
                401 => Some(C::Auth),
                402 | 403 => Some(C::Forbidden),
                429 => Some(C::RateLimit),
                408 | 504 => Some(C::Timeout),
                413 => Some(C::RequestTooLarge),
                404 | 410 => Some(C::Unavailable),
                s if s >= 500 => Some(C::ServerError),
                s if s >= 400 => Some(C::RequestRejected),
                s if s < 200 => Some(C::MalformedResponse),
                _ => Some(C::Unavailable),
            };
            assert_eq!(found, want, "{status}");
        }
    }
}
