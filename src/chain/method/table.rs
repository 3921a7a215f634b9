//! The table itself: one line for each method that routing knows something about. Built at compile time as a perfect hash;
//! a method's place in it is its dense id.
//!
//! A line says what the method is (`category`), whether it may be sent again (`safety`), how long a call may take
//! altogether, what an answer can be, and where its parameters name a block, a transaction or a range of logs. What is
//! added here is routed by its block, learnt about and measured by itself; what is not is judged by its name (`rules`).

use super::locator::Locator as L;
use super::shape::Shape as R;
use super::{Category as C, MethodInfo, Safety as S};
use crate::base::limits;
use phf::{OrderedMap, phf_ordered_map};

const CHEAP: u64 = limits::CALL_CHEAP_MS;
const HEAVY: u64 = limits::CALL_HEAVY_MS;
const TRACE: u64 = limits::CALL_TRACE_MS;
const RAW: u64 = limits::CALL_RAW_MS;

/// A line: name, category, safety, total time, what the result may be, where the block stands.
macro_rules! methods {
    ($($name:literal => $category:expr, $safety:expr, $timeout_ms:expr, $shape:expr, $place:expr;)*) => {
        phf_ordered_map! { $($name => MethodInfo {
            name: $name,
            category: $category,
            safety: $safety,
            timeout_ms: $timeout_ms,
            shape: $shape,
            locator: $place,
        },)* }
    };
}

pub(super) static METHODS: OrderedMap<&'static str, MethodInfo> = methods! {
    "eth_blockNumber" => C::Core, S::Repeatable, CHEAP, R::Text, L::Nowhere;
    "eth_chainId" => C::Core, S::Repeatable, CHEAP, R::Text, L::Nowhere;
    "eth_gasPrice" => C::Core, S::Repeatable, CHEAP, R::Text, L::Nowhere;
    "eth_getBalance" => C::Core, S::Repeatable, CHEAP, R::Text, L::State(1);
    "eth_getCode" => C::Core, S::Repeatable, CHEAP, R::Text, L::State(1);
    "eth_getTransactionByHash" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Transaction;
    "eth_getTransactionReceipt" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Transaction;
    "eth_getBlockByNumber" => C::Core, S::Repeatable, CHEAP, R::Entity, L::Block(0);
    "eth_getBlockByHash" => C::Core, S::Repeatable, CHEAP, R::Entity, L::Block(0);
    "eth_getBlockTransactionCountByHash" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "eth_getBlockTransactionCountByNumber" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "eth_getUncleCountByBlockHash" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "eth_getUncleCountByBlockNumber" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "eth_getUncleByBlockHashAndIndex" => C::Core, S::Repeatable, CHEAP, R::Item, L::Block(0);
    "eth_getUncleByBlockNumberAndIndex" => C::Core, S::Repeatable, CHEAP, R::Item, L::Block(0);
    "eth_getTransactionByBlockHashAndIndex" => C::Core, S::Repeatable, CHEAP, R::Item, L::Block(0);
    "eth_getTransactionByBlockNumberAndIndex" => C::Core, S::Repeatable, CHEAP, R::Item, L::Block(0);
    "eth_getHeaderByNumber" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "eth_getHeaderByHash" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "eth_getRawTransactionByHash" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Transaction;
    "eth_getRawTransactionByBlockHashAndIndex" => C::Core, S::Repeatable, CHEAP, R::Item, L::Block(0);
    "eth_getRawTransactionByBlockNumberAndIndex" => C::Core, S::Repeatable, CHEAP, R::Item, L::Block(0);
    "eth_getTransactionBySenderAndNonce" => C::Core, S::Repeatable, CHEAP, R::Item, L::Nowhere;
    "eth_getTransactionReceiptsByBlock" => C::Core, S::Repeatable, HEAVY, R::Nullable, L::Block(0);
    "eth_getRootHash" => C::Core, S::Repeatable, CHEAP, R::Value, L::Blocks;
    "eth_config" => C::Core, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "eth_getUserOperationByHash" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Transaction;
    "eth_getUserOperationReceipt" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Transaction;
    "eth_supportedEntryPoints" => C::Core, S::Repeatable, CHEAP, R::Value, L::Nowhere;

    "eth_call" => C::State, S::Repeatable, HEAVY, R::Text, L::State(1);
    "eth_estimateGas" => C::State, S::Repeatable, HEAVY, R::Text, L::State(1);
    "eth_getStorageAt" => C::State, S::Repeatable, CHEAP, R::Text, L::State(2);
    "eth_getTransactionCount" => C::State, S::Repeatable, CHEAP, R::Text, L::State(1);
    "eth_createAccessList" => C::State, S::Repeatable, HEAVY, R::Value, L::State(1);
    "eth_getProof" => C::State, S::Repeatable, HEAVY, R::Value, L::State(2);
    "eth_simulateV1" => C::State, S::Repeatable, HEAVY, R::Value, L::State(1);
    "eth_callMany" => C::State, S::Repeatable, HEAVY, R::Value, L::State(1);
    "eth_callBundle" => C::State, S::Repeatable, HEAVY, R::Value, L::Nowhere;
    "eth_getAccount" => C::State, S::Repeatable, CHEAP, R::Nullable, L::State(1);
    "eth_getAccountInfo" => C::State, S::Repeatable, CHEAP, R::Value, L::State(1);
    "eth_estimateUserOperationGas" => C::State, S::Repeatable, HEAVY, R::Value, L::Nowhere;
    "linea_estimateGas" => C::State, S::Repeatable, HEAVY, R::Value, L::Nowhere;
    "linea_getProof" => C::State, S::Repeatable, HEAVY, R::Value, L::State(2);

    "net_version" => C::Network, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "web3_clientVersion" => C::Network, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "web3_sha3" => C::Network, S::Repeatable, CHEAP, R::Text, L::Nowhere;
    "eth_syncing" => C::Network, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "rpc_modules" => C::Network, S::Repeatable, CHEAP, R::Value, L::Nowhere;

    "net_listening" => C::Network, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "net_peerCount" => C::Network, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "eth_protocolVersion" => C::Network, S::Repeatable, CHEAP, R::Value, L::Nowhere;

    "eth_maxPriorityFeePerGas" => C::Eip1559, S::Repeatable, CHEAP, R::Text, L::Nowhere;
    "eth_baseFee" => C::Eip1559, S::Repeatable, CHEAP, R::Text, L::Nowhere;
    "eth_feeHistory" => C::Eip1559, S::Repeatable, HEAVY, R::Value, L::Block(1);

    "eth_blobBaseFee" => C::Eip4844, S::Repeatable, CHEAP, R::Text, L::Nowhere;

    "eth_sendRawTransaction" => C::Mempool, S::RawTransaction, RAW, R::Value, L::Nowhere;
    "eth_sendRawTransactionSync" => C::Mempool, S::RawTransaction, RAW, R::Value, L::Nowhere;
    "eth_sendRawTransactionConditional" => C::Mempool, S::RawTransaction, RAW, R::Value, L::Nowhere;
    "eth_sendPrivateTransaction" => C::Mempool, S::RawTransaction, RAW, R::Value, L::Nowhere;
    "eth_sendPrivateRawTransaction" => C::Mempool, S::RawTransaction, RAW, R::Value, L::Nowhere;
    "eth_sendBundle" => C::Mempool, S::RawTransaction, RAW, R::Any, L::Nowhere;
    "eth_sendMegaBundle" => C::Mempool, S::RawTransaction, RAW, R::Any, L::Nowhere;
    "mev_sendBundle" => C::Mempool, S::RawTransaction, RAW, R::Any, L::Nowhere;
    "eth_sendUserOperation" => C::Mempool, S::RawTransaction, RAW, R::Value, L::Nowhere;
    "bor_sendRawTransactionConditional" => C::Mempool, S::RawTransaction, RAW, R::Value, L::Nowhere;
    "linea_sendBundle" => C::Mempool, S::RawTransaction, RAW, R::Any, L::Nowhere;
    "realtime_sendRawTransaction" => C::Mempool, S::RawTransaction, RAW, R::Value, L::Nowhere;
    "zks_sendRawTransactionWithDetailedOutput" => C::Mempool, S::RawTransaction, RAW, R::Value, L::Nowhere;

    "eth_getLogs" => C::Filters, S::Repeatable, HEAVY, R::List, L::Logs;

    "eth_newFilter" => C::Filters, S::Filter, CHEAP, R::Value, L::Logs;
    "eth_newBlockFilter" => C::Filters, S::Filter, CHEAP, R::Value, L::Nowhere;
    "eth_newPendingTransactionFilter" => C::Filters, S::Filter, CHEAP, R::Value, L::Nowhere;
    "eth_getFilterChanges" => C::Filters, S::Filter, CHEAP, R::Value, L::Nowhere;
    "eth_getFilterLogs" => C::Filters, S::Filter, HEAVY, R::Value, L::Nowhere;
    "eth_uninstallFilter" => C::Filters, S::Filter, CHEAP, R::Value, L::Nowhere;

    "eth_subscribe" => C::Subscriptions, S::Once, CHEAP, R::Any, L::Nowhere;
    "eth_unsubscribe" => C::Subscriptions, S::Once, CHEAP, R::Any, L::Nowhere;

    "eth_getBlockReceipts" => C::Batch, S::Repeatable, HEAVY, R::Nullable, L::Block(0);
    "parity_getBlockReceipts" => C::Batch, S::Repeatable, HEAVY, R::Nullable, L::Block(0);

    "debug_traceTransaction" => C::Debug, S::Repeatable, TRACE, R::Nullable, L::Transaction;
    "debug_traceBlock" => C::Debug, S::Repeatable, TRACE, R::Nullable, L::Nowhere;
    "debug_traceBlockByNumber" => C::Debug, S::Repeatable, TRACE, R::Nullable, L::State(0);
    "debug_traceBlockByHash" => C::Debug, S::Repeatable, TRACE, R::Nullable, L::State(0);
    "debug_traceCall" => C::Debug, S::Repeatable, TRACE, R::Value, L::State(1);
    "debug_traceCallMany" => C::Debug, S::Repeatable, TRACE, R::Value, L::State(1);
    "debug_getBadBlocks" => C::Debug, S::Repeatable, TRACE, R::Value, L::Nowhere;
    "debug_storageRangeAt" => C::Debug, S::Repeatable, TRACE, R::Value, L::State(0);
    "debug_accountRange" => C::Debug, S::Repeatable, TRACE, R::Value, L::State(0);
    "debug_accountAt" => C::Debug, S::Repeatable, TRACE, R::Value, L::State(0);
    "debug_dumpBlock" => C::Debug, S::Repeatable, TRACE, R::Value, L::State(0);
    "debug_getModifiedAccountsByNumber" => C::Debug, S::Repeatable, TRACE, R::Value, L::Blocks;
    "debug_getModifiedAccountsByHash" => C::Debug, S::Repeatable, TRACE, R::Value, L::Block(0);
    "debug_intermediateRoots" => C::Debug, S::Repeatable, TRACE, R::Value, L::State(0);
    "debug_executionWitness" => C::Debug, S::Repeatable, TRACE, R::Value, L::State(0);
    "debug_getRawBlock" => C::Debug, S::Repeatable, TRACE, R::Nullable, L::Block(0);
    "debug_getRawHeader" => C::Debug, S::Repeatable, TRACE, R::Nullable, L::Block(0);
    "debug_getRawReceipts" => C::Debug, S::Repeatable, TRACE, R::Nullable, L::Block(0);
    "debug_getRawTransaction" => C::Debug, S::Repeatable, TRACE, R::Nullable, L::Transaction;

    "trace_block" => C::Trace, S::Repeatable, TRACE, R::Nullable, L::State(0);
    "trace_transaction" => C::Trace, S::Repeatable, TRACE, R::Nullable, L::Transaction;
    "trace_call" => C::Trace, S::Repeatable, TRACE, R::Value, L::State(2);
    "trace_callMany" => C::Trace, S::Repeatable, TRACE, R::Value, L::State(1);
    "trace_rawTransaction" => C::Trace, S::Repeatable, TRACE, R::Value, L::Nowhere;
    "trace_replayBlockTransactions" => C::Trace, S::Repeatable, TRACE, R::Nullable, L::State(0);
    "trace_replayTransaction" => C::Trace, S::Repeatable, TRACE, R::Nullable, L::Transaction;
    "trace_filter" => C::Trace, S::Repeatable, TRACE, R::Value, L::StateLogs;
    "trace_get" => C::Trace, S::Repeatable, TRACE, R::Nullable, L::Transaction;
    "arbtrace_block" => C::Trace, S::Repeatable, TRACE, R::Nullable, L::State(0);
    "arbtrace_transaction" => C::Trace, S::Repeatable, TRACE, R::Nullable, L::Transaction;
    "arbtrace_call" => C::Trace, S::Repeatable, TRACE, R::Value, L::State(2);
    "arbtrace_callMany" => C::Trace, S::Repeatable, TRACE, R::Value, L::State(1);
    "arbtrace_replayBlockTransactions" => C::Trace, S::Repeatable, TRACE, R::Nullable, L::State(0);
    "arbtrace_replayTransaction" => C::Trace, S::Repeatable, TRACE, R::Nullable, L::Transaction;
    "arbtrace_filter" => C::Trace, S::Repeatable, TRACE, R::Value, L::StateLogs;
    "arbtrace_get" => C::Trace, S::Repeatable, TRACE, R::Nullable, L::Transaction;

    "txpool_status" => C::Txpool, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "txpool_content" => C::Txpool, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "txpool_contentFrom" => C::Txpool, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "txpool_inspect" => C::Txpool, S::Repeatable, CHEAP, R::Value, L::Nowhere;

    "erigon_blockNumber" => C::Core, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "erigon_getHeaderByNumber" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "erigon_getHeaderByHash" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "erigon_getBlockByTimestamp" => C::Core, S::Repeatable, CHEAP, R::Item, L::Nowhere;
    "erigon_getBlockReceiptsByBlockHash" => C::Core, S::Repeatable, HEAVY, R::Nullable, L::Block(0);
    "erigon_getLogs" => C::Core, S::Repeatable, HEAVY, R::Value, L::Logs;
    "erigon_getLatestLogs" => C::Core, S::Repeatable, HEAVY, R::Value, L::Logs;
    "erigon_getLogsByHash" => C::Core, S::Repeatable, HEAVY, R::Nullable, L::Block(0);
    "erigon_forks" => C::Core, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "ots_getApiLevel" => C::Core, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "ots_hasCode" => C::Core, S::Repeatable, CHEAP, R::Value, L::State(1);
    "ots_getBlockDetails" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "ots_getBlockDetailsByHash" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "ots_getBlockTransactions" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "ots_getInternalOperations" => C::Core, S::Repeatable, HEAVY, R::Nullable, L::Transaction;
    "ots_getTransactionError" => C::Core, S::Repeatable, HEAVY, R::Nullable, L::Transaction;
    "ots_traceTransaction" => C::Core, S::Repeatable, TRACE, R::Nullable, L::Transaction;
    "ots_getTransactionBySenderAndNonce" => C::Core, S::Repeatable, CHEAP, R::Item, L::Nowhere;
    "ots_getContractCreator" => C::Core, S::Repeatable, HEAVY, R::Item, L::Nowhere;
    "ots_searchTransactionsBefore" => C::Core, S::Repeatable, HEAVY, R::Value, L::Nowhere;
    "ots_searchTransactionsAfter" => C::Core, S::Repeatable, HEAVY, R::Value, L::Nowhere;
    "parity_nextNonce" => C::Core, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "bor_getAuthor" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "bor_getSnapshot" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "bor_getSigners" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "bor_getCurrentValidators" => C::Core, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "bor_getCurrentProposer" => C::Core, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "bor_getRootHash" => C::Core, S::Repeatable, CHEAP, R::Value, L::Blocks;
    "zks_getBlockDetails" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "zks_getTransactionDetails" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Transaction;
    "zks_getRawBlockTransactions" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Block(0);
    "zks_getL1BatchNumber" => C::Core, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "zks_getL1BatchDetails" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Nowhere;
    "zks_getL1BatchBlockRange" => C::Core, S::Repeatable, CHEAP, R::Nullable, L::Nowhere;
    "zks_estimateFee" => C::Core, S::Repeatable, HEAVY, R::Value, L::Nowhere;
    "zks_estimateGasL1ToL2" => C::Core, S::Repeatable, HEAVY, R::Value, L::Nowhere;
    "zks_getFeeParams" => C::Core, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "zks_getProof" => C::Core, S::Repeatable, HEAVY, R::Nullable, L::Nowhere;
    "arb_getRawBlockMetadata" => C::Core, S::Repeatable, CHEAP, R::Value, L::Blocks;
    "optimism_outputAtBlock" => C::Core, S::Repeatable, CHEAP, R::Value, L::Block(0);
    "optimism_syncStatus" => C::Core, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "optimism_rollupConfig" => C::Core, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "optimism_version" => C::Core, S::Repeatable, CHEAP, R::Value, L::Nowhere;
    "rollup_getInfo" => C::Core, S::Repeatable, CHEAP, R::Value, L::Nowhere;

    "eth_accounts" => C::LocalOnly, S::Once, CHEAP, R::Any, L::Nowhere;
    "eth_sign" => C::LocalOnly, S::Once, CHEAP, R::Any, L::Nowhere;
    "eth_signTransaction" => C::LocalOnly, S::Once, CHEAP, R::Any, L::Nowhere;
    "eth_sendTransaction" => C::LocalOnly, S::Once, CHEAP, R::Any, L::Nowhere;
    "eth_coinbase" => C::LocalOnly, S::Once, CHEAP, R::Any, L::Nowhere;
    "eth_mining" => C::LocalOnly, S::Once, CHEAP, R::Any, L::Nowhere;
    "eth_hashrate" => C::LocalOnly, S::Once, CHEAP, R::Any, L::Nowhere;
    "eth_getWork" => C::LocalOnly, S::Once, CHEAP, R::Any, L::Nowhere;
    "eth_submitWork" => C::LocalOnly, S::Once, CHEAP, R::Any, L::Nowhere;
    "eth_submitHashrate" => C::LocalOnly, S::Once, CHEAP, R::Any, L::Nowhere;
};
