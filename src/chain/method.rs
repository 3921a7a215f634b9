//! The method table (LB §2): category, what repeating means, the total time a call may take; and which methods are not
//! forwarded at all. One table built at compile time; a method's place in it is its dense id.

use crate::base::ids::MethodId;
use phf::{OrderedMap, phf_ordered_map};

/// LB §2.1.
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

/// What may happen to a call after it was sent once (LB §2.4, CONTRACT §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Safety {
    /// A read: up to three dispatches.
    Repeatable,
    /// `eth_sendRawTransaction`: next provider only when nothing was written, or on a refusal before the pool.
    RawTransaction,
    /// Creates or uses state at one provider (filters): one dispatch, that provider.
    Filter,
    /// Unknown to us: one dispatch.
    Once,
}

/// What routing knows of a method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MethodInfo {
    pub name: &'static str,
    pub category: Category,
    pub safety: Safety,
    /// For the whole call, all attempts together (LB §1.9).
    pub timeout_ms: u64,
}

/// What happens to a method before routing (CONTRACT §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    Forward,
    /// `eth_chainId`: answered from the configuration, unless it has parameters or a pin.
    Local,
    /// Needs keys that no provider should hold for us: -32601.
    Blocked,
    /// Subscriptions: the WebSocket's own business, -32601 over HTTP.
    SubscribeOnly,
}

use Category as C;
use Safety as S;

const DEFAULT_TIMEOUT_MS: u64 = 10_000;

const fn entry(name: &'static str, category: Category, safety: Safety, timeout_ms: u64) -> MethodInfo {
    MethodInfo { name, category, safety, timeout_ms }
}

/// A table line: name, category, safety, and the total time where LB §1.9 names one.
macro_rules! methods {
    ($($name:literal => $category:expr, $safety:expr $(, $timeout_ms:literal)?;)*) => {
        phf_ordered_map! { $($name => entry($name, $category, $safety, methods!(@time $($timeout_ms)?)),)* }
    };
    (@time) => { DEFAULT_TIMEOUT_MS };
    (@time $timeout_ms:literal) => { $timeout_ms };
}

static METHODS: OrderedMap<&'static str, MethodInfo> = methods! {
    "eth_blockNumber" => C::Core, S::Repeatable, 1_000;
    "eth_chainId" => C::Core, S::Repeatable, 1_000;
    "eth_gasPrice" => C::Core, S::Repeatable, 2_000;
    "eth_getBalance" => C::Core, S::Repeatable, 2_000;
    "eth_getCode" => C::Core, S::Repeatable, 2_000;
    "eth_getTransactionByHash" => C::Core, S::Repeatable, 2_000;
    "eth_getTransactionReceipt" => C::Core, S::Repeatable, 3_000;
    "eth_getBlockByNumber" => C::Core, S::Repeatable, 2_000;
    "eth_getBlockByHash" => C::Core, S::Repeatable, 2_000;
    "eth_getBlockTransactionCountByHash" => C::Core, S::Repeatable;
    "eth_getBlockTransactionCountByNumber" => C::Core, S::Repeatable;
    "eth_getUncleCountByBlockHash" => C::Core, S::Repeatable;
    "eth_getUncleCountByBlockNumber" => C::Core, S::Repeatable;
    "eth_getUncleByBlockHashAndIndex" => C::Core, S::Repeatable;
    "eth_getUncleByBlockNumberAndIndex" => C::Core, S::Repeatable;
    "eth_getTransactionByBlockHashAndIndex" => C::Core, S::Repeatable;
    "eth_getTransactionByBlockNumberAndIndex" => C::Core, S::Repeatable;

    "eth_call" => C::State, S::Repeatable, 5_000;
    "eth_estimateGas" => C::State, S::Repeatable, 5_000;
    "eth_getStorageAt" => C::State, S::Repeatable;
    "eth_getTransactionCount" => C::State, S::Repeatable, 2_000;
    "eth_createAccessList" => C::State, S::Repeatable;
    "eth_getProof" => C::State, S::Repeatable, 10_000;

    "net_version" => C::Network, S::Repeatable, 1_000;
    "web3_clientVersion" => C::Network, S::Repeatable, 1_000;
    "web3_sha3" => C::Network, S::Repeatable;
    "eth_syncing" => C::Network, S::Repeatable;

    "net_listening" => C::NodeAdmin, S::Repeatable;
    "net_peerCount" => C::NodeAdmin, S::Repeatable;
    "eth_protocolVersion" => C::NodeAdmin, S::Repeatable;

    "eth_maxPriorityFeePerGas" => C::Eip1559, S::Repeatable;
    "eth_feeHistory" => C::Eip1559, S::Repeatable;
    "eth_blobBaseFee" => C::Eip4844, S::Repeatable;

    "eth_sendRawTransaction" => C::Mempool, S::RawTransaction;

    "eth_getLogs" => C::Filters, S::Repeatable, 5_000;
    "eth_newFilter" => C::Filters, S::Filter, 2_000;
    "eth_newBlockFilter" => C::Filters, S::Filter;
    "eth_newPendingTransactionFilter" => C::Filters, S::Filter;
    "eth_getFilterChanges" => C::Filters, S::Filter;
    "eth_getFilterLogs" => C::Filters, S::Filter, 5_000;
    "eth_uninstallFilter" => C::Filters, S::Filter;

    "eth_subscribe" => C::Subscriptions, S::Once;
    "eth_unsubscribe" => C::Subscriptions, S::Once;

    "eth_getBlockReceipts" => C::Batch, S::Repeatable;

    "debug_traceTransaction" => C::Debug, S::Repeatable, 30_000;
    "debug_traceBlock" => C::Debug, S::Repeatable, 45_000;
    "debug_traceBlockByNumber" => C::Debug, S::Repeatable, 45_000;
    "debug_traceBlockByHash" => C::Debug, S::Repeatable, 45_000;
    "debug_traceCall" => C::Debug, S::Repeatable;
    "debug_getBadBlocks" => C::Debug, S::Repeatable;
    "debug_storageRangeAt" => C::Debug, S::Repeatable;
    "debug_getModifiedAccountsByNumber" => C::Debug, S::Repeatable;
    "debug_getModifiedAccountsByHash" => C::Debug, S::Repeatable;

    "trace_block" => C::Trace, S::Repeatable;
    "trace_transaction" => C::Trace, S::Repeatable;
    "trace_call" => C::Trace, S::Repeatable;
    "trace_callMany" => C::Trace, S::Repeatable;
    "trace_rawTransaction" => C::Trace, S::Repeatable;
    "trace_replayBlockTransactions" => C::Trace, S::Repeatable;
    "trace_replayTransaction" => C::Trace, S::Repeatable;
    "trace_filter" => C::Trace, S::Repeatable;
    "trace_get" => C::Trace, S::Repeatable;

    "txpool_status" => C::Txpool, S::Repeatable;
    "txpool_content" => C::Txpool, S::Repeatable;
    "txpool_inspect" => C::Txpool, S::Repeatable;

    "eth_accounts" => C::LocalOnly, S::Once;
    "eth_sign" => C::LocalOnly, S::Once;
    "eth_signTransaction" => C::LocalOnly, S::Once;
    "eth_sendTransaction" => C::LocalOnly, S::Once;
    "eth_coinbase" => C::LocalOnly, S::Once;
    "eth_mining" => C::LocalOnly, S::Once;
    "eth_hashrate" => C::LocalOnly, S::Once;
    "eth_getWork" => C::LocalOnly, S::Once;
    "eth_submitWork" => C::LocalOnly, S::Once;
    "eth_submitHashrate" => C::LocalOnly, S::Once;
};

static UNKNOWN_INFO: MethodInfo = entry("unknown", Category::Unknown, Safety::Once, DEFAULT_TIMEOUT_MS);

/// Ids are below this: the table's methods, then [`UNKNOWN`].
pub const COUNT: usize = 76;
/// Written out, because a length that is computed from the table cannot stand in a type.
const _: () = assert!(METHODS.len() + 1 == COUNT, "COUNT is one more than the table's lines");
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

/// Names are compared without regard to case: no node is known to have a method that differs from a blocked one by case
/// only, and one that ignores case must not be reached that way.
#[inline]
pub fn gate(name: &[u8]) -> Gate {
    if name == b"eth_chainId" {
        return Gate::Local;
    }
    let starts = |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    let is = |whole: &[u8]| name.eq_ignore_ascii_case(whole);
    if is(b"eth_subscribe") || is(b"eth_unsubscribe") {
        Gate::SubscribeOnly
    } else if starts(b"eth_sign")
        || starts(b"personal_")
        || starts(b"wallet_")
        || is(b"eth_sendTransaction")
        || is(b"eth_accounts")
    {
        Gate::Blocked
    } else {
        Gate::Forward
    }
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
        assert_eq!(COUNT, 76, "74 methods of LB §2.1, debug_traceBlock of LB §1.9, and the unknown one");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COUNT);
        for odd in ["", "eth_", "ETH_CALL", "eth_call ", "eth_callx", "eth_simulateV1", "\u{e9}"] {
            assert_eq!(lookup(odd.as_bytes()), UNKNOWN, "{odd}");
        }
        assert_eq!(lookup(b"\xff\xfe"), UNKNOWN);
        assert_eq!(super::info(MethodId(u16::MAX)).category, Category::Unknown);
    }

    #[test]
    fn rows_are_those_of_the_reference() {
        let check = |name: &str, category: Category, safety: Safety, timeout_ms: u64| {
            let found = info(lookup(name.as_bytes()));
            assert_eq!((found.category, found.safety, found.timeout_ms), (category, safety, timeout_ms), "{name}");
        };
        check("eth_blockNumber", C::Core, S::Repeatable, 1_000);
        check("net_version", C::Network, S::Repeatable, 1_000);
        check("eth_getTransactionReceipt", C::Core, S::Repeatable, 3_000);
        check("eth_getTransactionCount", C::State, S::Repeatable, 2_000);
        check("eth_call", C::State, S::Repeatable, 5_000);
        check("eth_getLogs", C::Filters, S::Repeatable, 5_000);
        check("eth_getFilterLogs", C::Filters, S::Filter, 5_000);
        check("eth_newFilter", C::Filters, S::Filter, 2_000);
        check("eth_getBlockReceipts", C::Batch, S::Repeatable, 10_000);
        check("eth_sendRawTransaction", C::Mempool, S::RawTransaction, 10_000);
        check("debug_traceTransaction", C::Debug, S::Repeatable, 30_000);
        check("debug_traceBlockByHash", C::Debug, S::Repeatable, 45_000);
        check("debug_traceCall", C::Debug, S::Repeatable, 10_000);
        check("eth_coinbase", C::LocalOnly, S::Once, 10_000);
        check("eth_simulateV1", C::Unknown, S::Once, 10_000);
    }

    /// LB §2.4: safety follows the category, but for eth_getLogs.
    #[test]
    fn safety_follows_the_category() {
        for (_, info) in all() {
            let want = match info.category {
                C::Filters if info.name == "eth_getLogs" => S::Repeatable,
                C::Filters => S::Filter,
                C::Mempool => S::RawTransaction,
                C::Subscriptions | C::LocalOnly | C::Unknown => S::Once,
                _ => S::Repeatable,
            };
            assert_eq!(info.safety, want, "{}", info.name);
        }
    }

    #[test]
    fn the_gate_lets_through_what_it_should() {
        let check = |gate_is: Gate, names: &[&str]| {
            for name in names {
                assert_eq!(gate(name.as_bytes()), gate_is, "{name}");
            }
        };
        check(Gate::Local, &["eth_chainId"]);
        check(Gate::SubscribeOnly, &["eth_subscribe", "eth_unsubscribe", "ETH_subscribe"]);
        check(Gate::Blocked, &["eth_sendTransaction", "eth_accounts", "eth_sign", "eth_signTransaction", "eth_signTypedData_v4"]);
        check(Gate::Blocked, &["personal_sign", "personal_", "personal_unlockAccount", "wallet_switchEthereumChain", "wallet_"]);
        check(Gate::Blocked, &["ETH_SENDTRANSACTION", "Personal_Sign", "eth_Accounts"]);
        check(
            Gate::Forward,
            &["eth_call", "eth_sendRawTransaction", "eth_sendTransactionX", "eth_accountsX", "eth_sig", "personal"],
        );
        check(Gate::Forward, &["", "wallet", "eth_chainID", "eth_coinbase", "txpool_content", "eth_sendRawTransactionSync"]);
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
