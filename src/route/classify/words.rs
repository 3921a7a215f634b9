//! What providers say, in order of precedence: of all groups of which a phrase occurs in the text, the first one decides.
//!
//! Order is the whole art (docs/behaviour/answers.md#evidence-of-an-error): what a contract or a transaction pool says comes
//! before everything, because its text is the caller's and may say "rate limit"; what names a block or a range comes before
//! "limit exceeded"; plans come before "not available". `Certain` phrases overrule code and HTTP status; `Loose` ones (broad
//! words) are asked last. One Aho-Corasick automaton finds all of them in one pass over the raw JSON text.

use crate::observe::category::Category as C;

/// How much a phrase says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Strength {
    Certain,
    Plain,
    Loose,
}

pub(super) struct Group {
    pub category: C,
    pub strength: Strength,
    /// Lower case.
    pub phrases: &'static [&'static str],
}

const fn group(category: C, strength: Strength, phrases: &'static [&'static str]) -> Group {
    Group { category, strength, phrases }
}

use Strength::{Certain, Loose, Plain};

pub(super) static GROUPS: &[Group] = &[
    // The caller's own contract, transaction or parameters.
    group(
        C::ExecutionRevert,
        Certain,
        &[
            "execution reverted",
            "execution was reverted",
            "transaction reverted",
            "vm exception while processing transaction",
            "vm execution error",
            "reverted with ",
            "evm revert",
        ],
    ),
    group(
        C::MethodNotFound,
        Certain,
        &[
            "does not exist/is not available",
            "method not found",
            "no such method",
            "unsupported method",
            "unknown method",
            " subscription in ",
        ],
    ),
    group(
        C::InvalidParams,
        Certain,
        &[
            "invalid argument 0",
            "invalid argument 1",
            "invalid argument 2",
            "invalid argument 3",
            "cannot unmarshal",
            "hex string without 0x prefix",
            "odd length hex",
            "hex string of odd length",
            "missing value for required argument",
            "wrong number of arguments",
            "too many arguments",
            "abi: cannot marshal",
            "invalid block range params",
            "too many blocks",
        ],
    ),
    // The transaction pool.
    group(
        C::AlreadyKnown,
        Certain,
        &[
            "already known",
            "alreadyknown",
            "already imported",
            "known transaction",
            "already in mempool",
            "already in the mempool",
            "already exists in mempool",
            "transaction already exists",
        ],
    ),
    group(C::NonceTooLow, Certain, &["nonce too low", "noncetoolow", "nonce is too low", "nonce_too_low"]),
    group(C::TxRejected, Certain, &["max priority fee per gas higher than max fee per gas"]),
    group(
        C::Underpriced,
        Certain,
        &[
            "underpriced",
            "max fee per gas less than block base fee",
            "fee cap less than block base fee",
            "max fee per blob gas",
            "blob base fee",
            "gas price below configured minimum",
            "fee too low",
            "feetoolow",
        ],
    ),
    group(
        C::InsufficientFunds,
        Certain,
        &["insufficient funds", "insufficientfunds", "upfront cost exceeds", "have enough funds"],
    ),
    group(
        C::TxRejected,
        Certain,
        &[
            "account limit exceeded",
            "nonce too high",
            "nonce too far",
            "exceeds block gas limit",
            "existing transaction had higher priority",
            "intrinsic gas too low",
            "gas limit below intrinsic gas",
            "gas too low",
            "transaction gas limit is too low",
            "base fee exceeds gas limit",
            "invalid sender",
            "does not match sender account nonce",
            "correct nonce",
            "transaction type not supported",
            "max initcode size exceeded",
            "too many blobs",
            "only replay-protected",
            "txpool is full",
            "transaction pool is full",
            "in-flight transaction limit reached",
            "exceeds the configured cap",
            "oversized data",
            "invalid chain id for signer",
            "invalid transaction v, r, s",
        ],
    ),
    // The virtual machine.
    group(
        C::ExecutionError,
        Certain,
        &[
            "gas required exceeds allowance",
            "out of gas",
            "gas uint64 overflow",
            "insufficient gas",
            "gas limit reached",
            "gas limit exceeded",
            "invalid opcode",
            "invalidfeopcode",
            "evm error",
            "vm exception",
            "stack underflow",
            "stack overflow",
            "stack limit reached",
            "invalid jump destination",
            "max code size exceeded",
            "contract creation code storage",
        ],
    ),
    // Data that this provider has not.
    group(
        C::MissingDataAhead,
        Certain,
        &[
            "beyond current head",
            "greater than current height",
            "after last accepted block",
            "cannot query unfinalized",
            "transaction indexing is in progress",
            "invalid block range",
            "block is out of range",
            "not currently canonical",
        ],
    ),
    group(
        C::MissingDataArchive,
        Certain,
        &[
            "missing trie node",
            "pruned",
            "due to pruning",
            "historical state",
            "historical rpc",
            "historical data not supported",
            "state not available",
            "state is not available",
            "no state available",
            "state unavailable",
            "state already discarded",
            "archive node",
            "requires archival",
            "archival data not available",
            "archival not available",
            "maximum proof window",
            "requested data is not available",
            "purged for block",
            "but data before",
            "invalid block height",
        ],
    ),
    group(C::Unavailable, Certain, &["unknown blockchain"]),
    group(
        C::MissingDataAhead,
        Certain,
        &[
            "header not found",
            "header for hash not found",
            "block not found",
            "unknown block",
            "could not find block",
            "resource not found",
        ],
    ),
    // Sizes.
    group(C::BatchLimit, Certain, &["batch of more than", "batch size", "batch request", "batch limit", "batch too large"]),
    group(
        C::RequestTooLarge,
        Certain,
        &[
            "request is too big",
            "request too large",
            "request body too large",
            "request entity too large",
            "content too large",
            "payload too large",
            "number of addresses",
            "max addresses",
            "too many addresses",
            "specify less number of address",
            "specify an address",
        ],
    ),
    group(
        C::ResultTooLarge,
        Certain,
        &[
            "query returned more than",
            "exceeds max results",
            "matched by query exceeds",
            "result set too large",
            "result limit exceeded",
            "too many results",
            "too many logs",
            "response too large",
            "response is too big",
            "response size",
        ],
    ),
    group(
        C::BlockRangeTooLarge,
        Certain,
        &[
            "block range",
            "blocks range",
            "range is too",
            "range too large",
            "range not supported",
            "range of parameters is not supported",
            "unsupported parameter range",
            "unsupported param range",
            "ranges over",
            "blocks distance",
            "eth_getlogs is limited to",
            "max range",
            "exceeds the range",
            "query must be smaller than size",
            "log query range",
            "max is 1k blocks",
            "blocks are not supported",
        ],
    ),
    // Our standing with the provider.
    group(C::MethodNotAllowed, Plain, &["limit exceeded for this method"]),
    group(
        C::Quota,
        Plain,
        &[
            "daily request count",
            "daily quota",
            "daily limit",
            "monthly quota",
            "monthly capacity",
            "monthly limit",
            "quota exceeded",
            "exceeded your quota",
            "exceeded the quota",
            "reached your quota",
            "credits quota",
            "out of credits",
        ],
    ),
    group(
        C::RateLimit,
        Plain,
        &[
            "rate limit",
            "rate-limit",
            "ratelimit",
            "too many request",
            "throttled",
            "throughput",
            "capacity exceeded",
            "over capacity",
            "capacity limit",
            "request count exceeded",
            "maximum requests",
            "requests per second",
            "rps limit",
            "usage limit",
            "compute units",
            "request units",
            "cannot fulfill request",
            "timeout on the free tier",
        ],
    ),
    group(
        C::Auth,
        Plain,
        &[
            "unauthorized",
            "must authenticate",
            "must be authenticated",
            "authentication required",
            "authentication failed",
            "invalid api key",
            "invalid apikey",
            "missing api key",
            "api key not found",
            "invalid project id",
            "apikey is on another chain",
            "invalid jwt",
        ],
    ),
    group(
        C::MethodNotAllowed,
        Plain,
        &[
            "free tier",
            "freetier",
            "free plan",
            "current plan",
            "your plan",
            "upgrade",
            "premium plan",
            "paid plan",
            "paid tier",
            "method is not available",
            "method not available",
            "method unavailable",
            "method is not supported",
            "method not supported",
            "method is disabled",
            "not whitelisted",
            "feature not enabled",
            "tracing not enabled",
            "debug not available",
            "trace not supported",
            "dedicated full node",
            "remove restrictions",
            "order a dedicated",
        ],
    ),
    // The provider's health.
    group(C::ExecutionTimeout, Plain, &["execution aborted", "execution timeout", "execution timed out"]),
    group(C::Timeout, Plain, &["timeout", "timed out", "deadline exceeded"]),
    group(
        C::Unavailable,
        Plain,
        &[
            "route your request",
            "no longer available",
            "not done bootstrapping",
            "initial sync",
            "node is syncing",
            "still syncing",
            "not synced",
            "no backends available",
            "no healthy upstream",
        ],
    ),
    group(
        C::ServerError,
        Plain,
        &[
            "please retry",
            "temporary internal error",
            "temporarily unavailable",
            "service unavailable",
            "resource unavailable",
            "try again",
            "overloaded",
            "server is busy",
            "internal server error",
            "bad gateway",
            "method handler crashed",
            "returned an invalid response",
            "execute this request",
            "connection refused",
            "connection reset",
        ],
    ),
    // Broad words.
    group(C::InvalidParams, Loose, &["invalid argument", "unable to decode", "invalid hex", "invalid address"]),
    group(C::Auth, Loose, &["authenticat", "api key", "apikey", "api-key", "forbidden", "access denied", "permission denied"]),
    group(C::MethodNotFound, Loose, &["not implemented"]),
    group(C::MissingDataAhead, Loose, &["could not be found"]),
    group(C::RateLimit, Loose, &["limit exceeded"]),
    group(
        C::MethodNotAllowed,
        Loose,
        &[
            "not supported",
            "not available",
            "not enabled",
            "not included in",
            "does not support",
            "limit reached",
            "exceeds limit",
            "exceeds maximum",
            "is limited to",
        ],
    ),
    group(C::ExecutionRevert, Loose, &["revert"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_lower_case_distinct_and_not_hidden_by_an_earlier_one() {
        let all: Vec<(usize, &str)> =
            GROUPS.iter().enumerate().flat_map(|(g, group)| group.phrases.iter().map(move |p| (g, *p))).collect();
        for (i, (group, phrase)) in all.iter().enumerate() {
            assert!(phrase.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase() && b != b'\'' && b != b'"'), "{phrase}");
            assert!(phrase.len() >= 5, "{phrase}");
            for (earlier_group, earlier) in &all[..i] {
                assert!(!(earlier_group <= group && phrase.contains(earlier)), "{phrase} can never decide after {earlier}");
            }
        }
    }
}
