//! The closed list of what an answer can mean, and what follows from each meaning. The policy of
//! docs/behaviour/answers.md#classes is the two tables below and nothing else, so a change of mind is one line.

/// Why an attempt did not give a result.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Category {
    /// Too many calls a second for this provider.
    RateLimit,
    /// The plan's allowance for the day or month is used up.
    Quota,
    /// Our credentials were refused. Never shown to a client.
    Auth,
    /// HTTP 402 or 403: something that our plan or an allow list leaves out. Whether it is this method or all of them only a
    /// probe tells. Never shown to a client.
    Forbidden,
    /// `eth_getLogs` over more blocks than this provider allows.
    BlockRangeTooLarge,
    /// The answer would be larger than this provider allows.
    ResultTooLarge,
    /// The provider has not seen that block (yet).
    MissingDataAhead,
    /// The provider has thrown that state away.
    MissingDataArchive,
    MethodNotFound,
    /// Known, but switched off or not in our plan.
    MethodNotAllowed,
    RequestTooLarge,
    BatchLimit,
    /// Another HTTP 4xx: the provider is well and does not want this request.
    RequestRejected,
    /// The provider ran out of time on its own side.
    Timeout,
    /// The provider stopped a call that was too heavy: the call's weight, so no penalty.
    ExecutionTimeout,
    ServerError,
    /// Nobody is behind that URL who could answer: syncing, shut down, moved.
    Unavailable,
    /// No connection, or it broke.
    Network,
    /// Not a JSON-RPC answer.
    MalformedResponse,
    ExecutionRevert,
    ExecutionError,
    InvalidParams,
    /// The envelope was refused; ours was checked, so the caller's extras are at fault.
    InvalidRequest,
    NonceTooLow,
    AlreadyKnown,
    Underpriced,
    InsufficientFunds,
    TxRejected,
    /// -32000 and a text that names no cause of the caller's.
    Unclassified,
    /// Nothing we know. Counted under its own word, so that a new kind of error shows up.
    Unknown,
}

/// The four things that routing acts on (docs/behaviour/answers.md#classes).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Next provider, and this one rests.
    Quota,
    /// Next provider; this one is fine.
    Capability,
    /// Next provider, and a mark against this one.
    ProviderFailure,
    /// The answer is the answer.
    Deterministic,
}

use Category as C;

impl Category {
    pub const ALL: [Category; 30] = [
        C::RateLimit,
        C::Quota,
        C::Auth,
        C::Forbidden,
        C::BlockRangeTooLarge,
        C::ResultTooLarge,
        C::MissingDataAhead,
        C::MissingDataArchive,
        C::MethodNotFound,
        C::MethodNotAllowed,
        C::RequestTooLarge,
        C::BatchLimit,
        C::RequestRejected,
        C::Timeout,
        C::ExecutionTimeout,
        C::ServerError,
        C::Unavailable,
        C::Network,
        C::MalformedResponse,
        C::ExecutionRevert,
        C::ExecutionError,
        C::InvalidParams,
        C::InvalidRequest,
        C::NonceTooLow,
        C::AlreadyKnown,
        C::Underpriced,
        C::InsufficientFunds,
        C::TxRejected,
        C::Unclassified,
        C::Unknown,
    ];

    /// For metrics, logs and `data.category`.
    pub fn word(self) -> &'static str {
        match self {
            C::RateLimit => "rate_limit",
            C::Quota => "quota",
            C::Auth => "auth",
            C::Forbidden => "forbidden",
            C::BlockRangeTooLarge => "block_range_too_large",
            C::ResultTooLarge => "result_too_large",
            C::MissingDataAhead => "missing_data_ahead",
            C::MissingDataArchive => "missing_data_archive",
            C::MethodNotFound => "method_not_found",
            C::MethodNotAllowed => "method_not_allowed",
            C::RequestTooLarge => "request_too_large",
            C::BatchLimit => "batch_limit",
            C::RequestRejected => "request_rejected",
            C::Timeout => "timeout",
            C::ExecutionTimeout => "execution_timeout",
            C::ServerError => "server_error",
            C::Unavailable => "unavailable",
            C::Network => "network_error",
            C::MalformedResponse => "malformed_response",
            C::ExecutionRevert => "execution_revert",
            C::ExecutionError => "execution_error",
            C::InvalidParams => "invalid_params",
            C::InvalidRequest => "invalid_request",
            C::NonceTooLow => "nonce_too_low",
            C::AlreadyKnown => "already_known",
            C::Underpriced => "underpriced",
            C::InsufficientFunds => "insufficient_funds",
            C::TxRejected => "tx_rejected",
            C::Unclassified => "unclassified",
            C::Unknown => "unknown",
        }
    }

    /// As the Elixir program has it, with two differences (docs/behaviour/answers.md#classes): a bare -32000 is tried elsewhere,
    /// and a heavy call that a node stopped is no mark against the node. Limits on size are capability, not the caller's fault:
    /// they differ between providers.
    pub fn class(self) -> Class {
        match self {
            C::RateLimit | C::Quota => Class::Quota,
            C::BlockRangeTooLarge | C::ResultTooLarge | C::RequestTooLarge | C::BatchLimit => Class::Capability,
            C::MissingDataAhead | C::MissingDataArchive | C::MethodNotFound | C::MethodNotAllowed => Class::Capability,
            C::ExecutionTimeout | C::Unclassified => Class::Capability,
            C::Forbidden | C::RequestRejected => Class::Capability,
            C::Auth | C::Timeout | C::ServerError | C::Unavailable | C::Network => Class::ProviderFailure,
            C::MalformedResponse | C::Unknown => Class::ProviderFailure,
            C::ExecutionRevert | C::ExecutionError | C::InvalidParams | C::InvalidRequest => Class::Deterministic,
            C::NonceTooLow | C::AlreadyKnown | C::Underpriced | C::InsufficientFunds | C::TxRejected => Class::Deterministic,
        }
    }

    /// A raw transaction that was refused so never reached a transaction pool (docs/behaviour/calls.md#repeating).
    pub fn refuses_before_pool(self) -> bool {
        matches!(self, C::RateLimit | C::Quota | C::Auth | C::Forbidden | C::MethodNotFound | C::MethodNotAllowed)
    }

    /// The category of an `error_rules` entry (docs/behaviour/answers.md#error-rules). `None`: a word that configuration should
    /// have refused.
    pub fn from_rule(word: &str) -> Option<Category> {
        Some(match word {
            "rate_limit" => C::RateLimit,
            "capability_violation" => C::MethodNotAllowed,
            "requires_archival" => C::MissingDataArchive,
            "method_not_found" => C::MethodNotFound,
            "auth_error" => C::Auth,
            "server_error" | "internal_error" | "method_error" => C::ServerError,
            "chain_error" => C::Unavailable,
            "network_error" => C::Network,
            "invalid_params" => C::InvalidParams,
            "client_error" | "user_error" | "parse_error" => C::InvalidRequest,
            "unknown_error" => C::Unknown,
            _ => return None,
        })
    }
}

/// What an attempt's answer means for the call and for the provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    pub category: Category,
    pub verdict: Verdict,
    /// A mark against the provider, if another provider then answers the same call
    /// (docs/behaviour/answers.md#proof-before-penalty).
    pub penalty: bool,
    /// The provider's own hint when to come back.
    pub retry_after_ms: Option<u64>,
    /// For a raw transaction: refused before the transaction pool, so another provider may be asked.
    pub before_pool: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Give it to the client.
    Return,
    /// Another provider may do better, if the call may be repeated.
    NextProvider,
}

impl Outcome {
    /// What follows from the category alone.
    pub fn of(category: Category) -> Outcome {
        let class = category.class();
        Outcome {
            category,
            verdict: if class == Class::Deterministic { Verdict::Return } else { Verdict::NextProvider },
            penalty: class == Class::ProviderFailure,
            retry_after_ms: None,
            before_pool: category.refuses_before_pool(),
        }
    }

    /// The attempt's own deadline passed.
    pub fn timeout() -> Outcome {
        Outcome::of(C::Timeout)
    }

    /// A body that breaks HTTP, gzip or JSON-RPC.
    pub fn malformed() -> Outcome {
        Outcome::of(C::MalformedResponse)
    }

    /// An answer above our own bounds.
    pub fn too_large() -> Outcome {
        Outcome::of(C::ResultTooLarge)
    }

    /// A call above the provider's bounds.
    pub fn too_long() -> Outcome {
        Outcome::of(C::RequestTooLarge)
    }

    /// Connect, TLS, or the connection broke.
    pub fn network() -> Outcome {
        Outcome::of(C::Network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RULE_CATEGORIES;

    #[test]
    fn every_category_once_with_its_own_word() {
        let words: std::collections::BTreeSet<_> = C::ALL.iter().map(|c| c.word()).collect();
        assert_eq!(words.len(), C::ALL.len());
        assert!(C::ALL.iter().enumerate().all(|(i, c)| *c as usize == i), "ALL follows the declaration");
    }

    #[test]
    fn only_provider_failures_are_marks_and_only_deterministic_answers_are_returned() {
        for category in C::ALL {
            let outcome = Outcome::of(category);
            assert_eq!(outcome.penalty, category.class() == Class::ProviderFailure);
            assert_eq!(outcome.verdict == Verdict::Return, category.class() == Class::Deterministic);
            assert!(!outcome.before_pool || outcome.verdict == Verdict::NextProvider, "{category:?}");
        }
    }

    #[test]
    fn every_rule_word_of_the_configuration_means_something() {
        assert!(!RULE_CATEGORIES.is_empty() && RULE_CATEGORIES.iter().all(|word| C::from_rule(word).is_some()));
        assert_eq!(C::from_rule("nonsense"), None);
    }
}
