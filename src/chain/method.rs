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
pub const COUNT: usize = METHODS.len() + 1;
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
