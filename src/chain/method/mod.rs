//! What is known of methods, as data: the table (`table`), what stands in it (`locator`, `shape`), and what a name says of a
//! method that is not in it (`rules`).

mod locator;
mod rules;
mod shape;
mod table;

pub use locator::Locator;
pub use rules::{Gate, gate};
pub use shape::{Sense, Shape};

use crate::base::ids::MethodId;
use crate::base::limits;
use table::METHODS;

/// What a method is about; what a profile may say of many methods at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Category {
    Core,
    State,
    Network,
    NodeAdmin,
    Eip1559,
    Eip4844,
    Mempool,
    Filters,
    Subscriptions,
    Batch,
    Debug,
    Trace,
    Txpool,
    LocalOnly,
    Unknown,
}

impl Category {
    pub const ALL: [Category; 15] = [
        Category::Core,
        Category::State,
        Category::Network,
        Category::NodeAdmin,
        Category::Eip1559,
        Category::Eip4844,
        Category::Mempool,
        Category::Filters,
        Category::Subscriptions,
        Category::Batch,
        Category::Debug,
        Category::Trace,
        Category::Txpool,
        Category::LocalOnly,
        Category::Unknown,
    ];

    /// As profiles write it.
    pub fn word(self) -> &'static str {
        match self {
            Category::Core => "core",
            Category::State => "state",
            Category::Network => "network",
            Category::NodeAdmin => "node_admin",
            Category::Eip1559 => "eip1559",
            Category::Eip4844 => "eip4844",
            Category::Mempool => "mempool",
            Category::Filters => "filters",
            Category::Subscriptions => "subscriptions",
            Category::Batch => "batch",
            Category::Debug => "debug",
            Category::Trace => "trace",
            Category::Txpool => "txpool",
            Category::LocalOnly => "local_only",
            Category::Unknown => "unknown",
        }
    }

    pub fn from_word(word: &str) -> Option<Category> {
        Category::ALL.into_iter().find(|category| category.word() == word)
    }
}

/// What may happen to a call after it was sent once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Safety {
    /// A read: up to three dispatches.
    Repeatable,
    /// Brings a transaction: next provider only when nothing was written, or on a refusal before the pool.
    RawTransaction,
    /// Creates or uses state at one provider (filters): one dispatch, that provider.
    Filter,
    /// May do anything: one dispatch.
    Once,
}

/// What routing knows of a method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MethodInfo {
    pub name: &'static str,
    pub category: Category,
    pub safety: Safety,
    /// For the whole call, all attempts together.
    pub timeout_ms: u64,
    /// What a result can be.
    pub shape: Shape,
    /// Where the parameters name a block.
    pub locator: Locator,
}

/// On which terms a call is made: by the table, by its name, or as a profile says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    pub safety: Safety,
    /// For the whole call, all attempts together.
    pub timeout_ms: u64,
}

static UNKNOWN_INFO: MethodInfo = MethodInfo {
    name: "unknown",
    category: Category::Unknown,
    safety: Safety::Once,
    timeout_ms: limits::CALL_CHEAP_MS,
    shape: Shape::Any,
    locator: Locator::Nowhere,
};

/// Ids are below this: the table's methods, then [`UNKNOWN`].
pub const COUNT: usize = 174;
/// Written out, because a length that is computed from the table cannot stand in a type.
const _: () = assert!(METHODS.len() + 1 == COUNT, "COUNT is one more than the table's lines");
/// `eth_blockNumber`, the first line.
pub const BLOCK_NUMBER: MethodId = MethodId(0);
/// Stands for every method that is not in the table.
pub const UNKNOWN: MethodId = MethodId(COUNT as u16 - 1);

/// The id of a method's name, which is matched exactly, as nodes do.
#[inline]
pub fn lookup(name: &[u8]) -> MethodId {
    let place = std::str::from_utf8(name).ok().and_then(|name| METHODS.get_index(name));
    place.map_or(UNKNOWN, |place| MethodId(place as u16))
}

#[inline]
pub fn info(id: MethodId) -> &'static MethodInfo {
    METHODS.index(id.0 as usize).map_or(&UNKNOWN_INFO, |(_, info)| info)
}

/// Every id in order, `UNKNOWN` last.
pub fn all() -> impl Iterator<Item = (MethodId, &'static MethodInfo)> {
    (0..COUNT as u16).map(|place| (MethodId(place), info(MethodId(place))))
}

/// The terms of a method by this name, whose id this is.
#[inline]
pub fn terms(id: MethodId, name: &[u8]) -> Terms {
    if id == UNKNOWN {
        return rules::terms_of(name);
    }
    let info = info(id);
    Terms { safety: info.safety, timeout_ms: info.timeout_ms }
}

/// `eth_new*Filter`: its result becomes a filter id of ours.
pub fn is_filter_create(id: MethodId) -> bool {
    let info = info(id);
    info.safety == Safety::Filter && info.name.starts_with("eth_new")
}

/// Methods whose first parameter is a filter id.
pub fn is_filter_use(id: MethodId) -> bool {
    info(id).safety == Safety::Filter && !is_filter_create(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_under_its_own_id() {
        let mut names = Vec::new();
        for (id, info) in all() {
            let want = if id == UNKNOWN { UNKNOWN_INFO.name } else { info.name };
            assert_eq!(info.name, want);
            assert_eq!(lookup(info.name.as_bytes()), id, "{}", info.name);
            assert_eq!(super::info(id), info);
            names.push(info.name);
        }
        assert_eq!(names.len(), COUNT);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COUNT);
        for odd in ["", "eth_", "ETH_CALL", "eth_call ", "eth_callx", "\u{e9}"] {
            assert_eq!(lookup(odd.as_bytes()), UNKNOWN, "{odd}");
        }
        assert_eq!(lookup(b"eth_blockNumber"), BLOCK_NUMBER);
        assert_eq!(lookup(b"\xff\xfe"), UNKNOWN);
        assert_eq!(super::info(MethodId(u16::MAX)).category, Category::Unknown);
    }

    #[test]
    fn times_follow_what_a_method_does() {
        let check = |timeout_ms: u64, names: &[&str]| {
            for name in names {
                assert_eq!(terms(lookup(name.as_bytes()), name.as_bytes()).timeout_ms, timeout_ms, "{name}");
            }
        };
        check(
            10_000,
            &["eth_blockNumber", "eth_getBalance", "eth_getBlockByNumber", "eth_newFilter", "eth_coinbase", "x_getAll"],
        );
        check(30_000, &["eth_call", "eth_estimateGas", "eth_createAccessList", "eth_simulateV1", "eth_getLogs"]);
        check(30_000, &["eth_getBlockReceipts", "eth_getProof", "eth_feeHistory", "eth_getFilterLogs"]);
        check(15_000, &["eth_sendRawTransaction", "eth_sendRawTransactionSync", "eth_sendBundle"]);
        for (_, info) in all() {
            let is_trace = ["debug_", "trace_", "arbtrace_"].iter().any(|prefix| info.name.starts_with(prefix));
            check(if is_trace { 120_000 } else { info.timeout_ms }, &[info.name]);
            assert_eq!(info.timeout_ms == 15_000, info.category == Category::Mempool, "{}", info.name);
        }
    }

    /// What a call may do to a provider follows from its category, but for eth_getLogs, which is a read among filters.
    #[test]
    fn safety_follows_the_category() {
        use {Category as C, Safety as S};
        for (_, info) in all() {
            let want = match info.category {
                C::Filters if info.name == "eth_getLogs" => S::Repeatable,
                C::Filters => S::Filter,
                C::Mempool => S::RawTransaction,
                C::Subscriptions | C::LocalOnly | C::Unknown => S::Once,
                _ => S::Repeatable,
            };
            assert_eq!(info.safety, want, "{}", info.name);
            assert!(!info.name.contains("_send") || info.safety != S::Repeatable, "{}", info.name);
        }
    }

    /// What can be absent names what it looks for: only then can somebody else be known to have it.
    #[test]
    fn results_and_places_go_together() {
        for (_, info) in all() {
            let name = info.name;
            let by_number = name.contains("ByNumber") || name.contains("ByBlockNumber");
            let by_block_hash = name.ends_with("ByHash") && name.contains("Block") || name.contains("ByBlockHash");
            let by_transaction = name.contains("TransactionByHash") || name.ends_with("_traceTransaction");
            match info.locator {
                Locator::Nowhere => assert!(!by_number && !by_block_hash && !by_transaction, "{name}"),
                Locator::Transaction => assert!(matches!(info.shape, Shape::Entity | Shape::Nullable), "{name}"),
                Locator::Logs | Locator::StateLogs => assert!(!matches!(info.shape, Shape::Text | Shape::Entity), "{name}"),
                Locator::Block(at) | Locator::State(at) => assert!(at <= 2, "{name}"),
                Locator::Blocks => assert!(!by_block_hash && !by_transaction, "{name}"),
            }
            assert!(info.safety != Safety::RawTransaction || matches!(info.shape, Shape::Value | Shape::Any), "{name}");
        }
    }

    #[test]
    fn filters_are_told_apart() {
        let named = |rule: fn(MethodId) -> bool| all().filter(|(id, _)| rule(*id)).map(|(_, info)| info.name).collect::<Vec<_>>();
        assert_eq!(named(is_filter_create), ["eth_newFilter", "eth_newBlockFilter", "eth_newPendingTransactionFilter"]);
        assert_eq!(named(is_filter_use), ["eth_getFilterChanges", "eth_getFilterLogs", "eth_uninstallFilter"]);
    }

    #[test]
    fn category_words_are_read_back() {
        for category in Category::ALL {
            assert_eq!(Category::from_word(category.word()), Some(category));
        }
        for odd in ["", "Core", "local-only", "filter"] {
            assert_eq!(Category::from_word(odd), None);
        }
    }
}
