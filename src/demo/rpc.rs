//! What an honest node with a given view of the chain answers to a call. Pure: the view says how far the node sees, time
//! enters only through the view's head. Faults, limits and delays are not known here; `provider` adds them.

use super::arrival::Absent;
use super::chain_model::{Block, ChainModel, Transaction};
use super::filters::Filters;
use super::forks::Tip;
use super::identity::{Hash, Kind, Name, keccak};
use super::lies::Lie;
use super::params::{BlockRef, Params};
use super::pool::Pool;
use super::{render, state};
use crate::base::limits::{MODEL_LOG_RANGE, MODEL_LOG_RESULTS, MODEL_RAW_BYTES};
use crate::base::time::Instant;
use std::cell::RefCell;

/// A JSON-RPC error; `data` is raw JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RpcError {
    pub code: i64,
    pub message: String,
    pub data: Option<Vec<u8>>,
}

impl RpcError {
    pub fn new(code: i64, message: impl Into<String>) -> RpcError {
        RpcError { code, message: message.into(), data: None }
    }
}

/// Raw JSON of the result, or the error.
pub type Reply = Result<Vec<u8>, RpcError>;

/// A chain and what users sent to it, shared by all its providers.
#[derive(Debug)]
pub struct Network {
    pub chain: ChainModel,
    pub pool: RefCell<Pool>,
}

impl Network {
    pub fn new(chain: ChainModel) -> Network {
        Network { chain, pool: RefCell::default() }
    }

    /// The block at `height` on the path of `branch`.
    pub fn block(&self, branch: u32, height: u64) -> Block {
        let (chain, pool) = (&self.chain, self.pool.borrow());
        // What was sent in rounds without a block is in the next.
        let last = chain.round_of(branch, height);
        let first = chain.parent_of(branch, height).map_or(last, |parent| last - (height - parent - 1));
        let sent: Vec<Hash> = (first..=last).flat_map(|round| pool.in_block(round)).copied().collect();
        chain.block(branch, height, &sent)
    }
}

/// How one provider sees a network at one moment.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub network: &'a Network,
    /// What the network decided up to then has come to it.
    pub heard: Instant,
    /// The branch that it follows.
    pub branch: u32,
    /// The newest block it serves.
    pub head: u64,
    /// It has no block at this height.
    pub hidden: Option<u64>,
    /// What it says its newest block is; a liar says more than it serves.
    pub announced: u64,
    /// The network's newest block.
    pub tip: u64,
    /// The network's round: sent transactions are in the next one's block.
    pub round: u64,
    /// State older than this many blocks is gone; `None`: an archive.
    pub archive_depth: Option<u64>,
    /// Blocks that were canonical once and are not any more are still served by hash.
    pub keeps_orphans: bool,
    pub keeps_fallen: bool,
    /// Its words for what it does not have.
    pub absent: Absent,
    /// Most blocks of one `eth_getLogs`.
    pub log_range: u64,
    /// Most logs of one answer.
    pub log_results: usize,
    /// What it says of blocks that is not so.
    pub lie: Option<Lie>,
    pub chain_number: u64,
    pub version: &'a str,
    /// Keeps filter ids of different providers apart.
    pub salt: u64,
}

impl<'a> View<'a> {
    /// An honest archive node at the tip, with the model's own limits.
    pub fn honest(network: &'a Network, head: u64) -> View<'a> {
        View {
            network,
            heard: Instant::ZERO,
            branch: 0,
            head,
            hidden: None,
            announced: head,
            tip: head,
            round: head,
            archive_depth: None,
            keeps_orphans: true,
            keeps_fallen: false,
            absent: Absent::Geth,
            log_range: MODEL_LOG_RANGE,
            log_results: MODEL_LOG_RESULTS,
            lie: None,
            chain_number: network.chain.chain_number,
            version: "model/v1",
            salt: 0,
        }
    }

    /// Answers one call.
    pub fn answer(&self, filters: &mut Filters, method: &str, params: Params<'_>) -> Reply {
        match method {
            "eth_blockNumber" => Ok(json_quantity(self.announced)),
            "eth_chainId" => Ok(json_quantity(self.chain_number)),
            "net_version" => Ok(json_text(&self.chain_number.to_string())),
            "net_listening" => Ok(b"true".to_vec()),
            "net_peerCount" => Ok(json_quantity(37u64)),
            "web3_clientVersion" => Ok(json_text(self.version)),
            "web3_sha3" => Ok(json_data(&keccak(&params.bytes(0)?).0)),
            "eth_syncing" => Ok(b"false".to_vec()),
            "eth_mining" => Ok(b"false".to_vec()),
            "eth_gasPrice" => Ok(json_quantity(self.network.chain.base_fee(self.head) + 1_000_000_000)),
            "eth_maxPriorityFeePerGas" => Ok(json_quantity(1_000_000_000u64)),
            "eth_blobBaseFee" => Ok(json_quantity(1u64)),
            "eth_feeHistory" => self.fee_history(params),
            "txpool_status" => Ok(self.pool_status()),
            "eth_sendRawTransaction" => self.send_raw(params),
            "eth_getLogs" => self.logs(&params.log_filter(0)?),
            _ if method.starts_with("eth_new") || method.contains("Filter") => self.filter_call(filters, method, params),
            _ => self.look_up(method, params).unwrap_or_else(|| self.state_call(method, params)),
        }
    }

    /// Blocks, transactions and receipts; `None`: another kind of method.
    fn look_up(&self, method: &str, params: Params<'_>) -> Option<Reply> {
        Some(match method {
            "eth_getBlockByNumber" => self.show_block(params, |at| at.block(0)),
            "eth_getBlockByHash" => self.show_block(params, |at| at.hash(0).map(BlockRef::Hash)),
            "eth_getBlockTransactionCountByNumber" | "eth_getBlockTransactionCountByHash" => {
                self.of_block(params, |out, block| render::quantity(out, block.transactions.len() as u128))
            }
            "eth_getUncleCountByBlockNumber" | "eth_getUncleCountByBlockHash" => {
                self.of_block(params, |out, _| render::quantity(out, 0))
            }
            "eth_getBlockReceipts" if self.absent == Absent::Erigon && self.lacks_block(params) => Ok(b"[]".to_vec()),
            "eth_getBlockReceipts" => self.of_block(params, |out, block| {
                render::list(out, &block.transactions, |out, one| render::receipt(out, block, one));
            }),
            "eth_getTransactionByBlockNumberAndIndex" | "eth_getTransactionByBlockHashAndIndex" => {
                let place = params.quantity(1);
                place.and_then(|place| self.of_block(params, |out, block| self.transaction_at(out, block, place)))
            }
            "eth_getTransactionByHash" => self.of_transaction(params, |out, block, one| {
                render::transaction(out, &self.network.chain, block, one);
            }),
            "eth_getTransactionReceipt" => self.of_transaction(params, render::receipt),
            _ => return None,
        })
    }

    fn lacks_block(&self, params: Params<'_>) -> bool {
        params.block(0).is_ok_and(|block| self.tip_of(block).is_none())
    }

    fn transaction_at(&self, out: &mut Vec<u8>, block: &Block, place: u64) {
        match usize::try_from(place).ok().and_then(|place| block.transactions.get(place)) {
            Some(one) => render::transaction(out, &self.network.chain, block, one),
            None => out.extend_from_slice(b"null"),
        }
    }

    pub(super) fn state_call(&self, method: &str, params: Params<'_>) -> Reply {
        let chain = &self.network.chain;
        match method {
            "eth_getBalance" => {
                let (address, height) = (params.address(0)?, self.state_height(params.block(1)?)?);
                Ok(json_quantity(state::balance(chain, address, height)))
            }
            "eth_getTransactionCount" => {
                let (address, height) = (params.address(0)?, self.state_height(params.block(1)?)?);
                Ok(json_quantity(state::nonce(chain, address, height)))
            }
            "eth_getCode" => {
                let address = params.address(0)?;
                self.state_height(params.block(1)?)?;
                Ok(json_data(&state::code(chain, address)))
            }
            "eth_getStorageAt" => {
                let (address, slot, height) = (params.address(0)?, params.slot(1)?, self.state_height(params.block(2)?)?);
                Ok(json_data(&state::storage(chain, address, slot, height).0))
            }
            "eth_call" => {
                let (call, height) = (params.call(0)?, self.state_height(params.block(1)?)?);
                state::call(chain, call.to, &call.input, height).map(|bytes| json_data(&bytes))
            }
            "eth_estimateGas" => {
                let (call, height) = (params.call(0)?, self.state_height(params.block(1)?)?);
                state::estimate(chain, call.to, &call.input, height).map(json_quantity)
            }
            _ => Err(RpcError::new(-32601, format!("the method {method} does not exist/is not available"))),
        }
    }

    /// The newest block, as a place among the forks.
    pub fn tip(&self) -> Tip {
        Tip { branch: self.branch, height: self.head }
    }

    /// A block that this view serves.
    pub fn tip_of(&self, block: BlockRef) -> Option<Tip> {
        let height = match block {
            BlockRef::Height(height) => height,
            BlockRef::Earliest => 0,
            BlockRef::Latest | BlockRef::Pending => self.head,
            BlockRef::Safe => self.network.chain.floor(self.branch, self.head.saturating_sub(32)),
            BlockRef::Finalized => self.network.chain.floor(self.branch, self.head.saturating_sub(64)),
            BlockRef::Hash(hash) => return self.known(&hash),
        };
        let is_there = height <= self.head && self.hidden != Some(height) && self.network.chain.has_block(self.branch, height);
        is_there.then_some(Tip { branch: self.branch, height })
    }

    fn known(&self, hash: &Hash) -> Option<Tip> {
        let chain = &self.network.chain;
        let name = chain.name(hash).filter(|name| name.kind == Kind::Block)?;
        if self.hidden == Some(name.height) || !chain.has_block(name.branch, name.height) {
            return None;
        }
        let head = |branch, at| chain.tip_at(branch, at);
        let is_orphan = || chain.forks.was_canonical(name.branch, name.height, self.heard, head);
        let has_fallen = chain.forks.fallen(name.branch) != chain.forks.fallen(self.branch);
        let is_kept = if has_fallen { self.keeps_fallen } else { self.keeps_orphans };
        // A reorg may leave a lower chain than the orphan's, where rounds pass without a block.
        let is_known = (self.is_on_path(name) && name.height <= self.head) || (is_kept && is_orphan());
        is_known.then_some(Tip { branch: name.branch, height: name.height })
    }

    fn is_on_path(&self, name: Name) -> bool {
        self.network.chain.forks.owner(self.branch, name.height) == name.branch
    }

    pub(super) fn height_of(&self, block: BlockRef) -> Option<u64> {
        self.tip_of(block).map(|at| at.height)
    }

    fn state_height(&self, block: BlockRef) -> Result<u64, RpcError> {
        let height = self.height_of(block).ok_or_else(|| RpcError::new(-32000, "header not found"))?;
        match self.archive_depth {
            Some(depth) if self.head - height > depth => {
                let root = self.network.chain.block_hash(self.branch, height).number();
                Err(RpcError::new(-32000, format!("missing trie node {root:016x} (path ) state {root:016x} is not available")))
            }
            _ => Ok(height),
        }
    }

    fn show_block(&self, params: Params<'_>, which: impl Fn(Params<'_>) -> Result<BlockRef, RpcError>) -> Reply {
        let (at, full) = (self.tip_of(which(params)?), params.flag(1));
        Ok(or_null(at, |out, at| {
            render::block(out, &self.network.chain, &self.network.block(at.branch, at.height), full);
            self.lie.inspect(|lie| lie.spoil(out));
        }))
    }

    /// Something of the block that the first parameter names; `null` when there is none.
    fn of_block(&self, params: Params<'_>, write: impl FnOnce(&mut Vec<u8>, &Block)) -> Reply {
        let at = self.tip_of(params.block(0)?);
        Ok(or_null(at, |out, at| write(out, &self.network.block(at.branch, at.height))))
    }

    fn of_transaction(&self, params: Params<'_>, write: impl FnOnce(&mut Vec<u8>, &Block, &Transaction)) -> Reply {
        let hash = params.hash(0)?;
        let is_mined = |name: &Name| name.kind == Kind::Transaction && self.is_on_path(*name);
        let named = self.network.chain.name(&hash).filter(is_mined).map(|name| name.height);
        let sent = || self.network.chain.height_of(self.branch, self.network.pool.borrow().round_of(&hash)?);
        let height = named.or_else(sent).filter(|height| *height <= self.head);
        let block = height.map(|height| self.network.block(self.branch, height));
        let found = block.as_ref().and_then(|block| Some((block, block.transactions.iter().find(|one| one.hash == hash)?)));
        Ok(or_null(found, |out, (block, one)| write(out, block, one)))
    }

    fn send_raw(&self, params: Params<'_>) -> Reply {
        let raw = params.bytes(0)?;
        if raw.is_empty() {
            return Err(RpcError::new(-32602, "invalid argument 0: typed transaction too short"));
        }
        if raw.len() > MODEL_RAW_BYTES {
            return Err(RpcError::new(-32000, "oversized data"));
        }
        let hash = keccak(&raw);
        if self.network.pool.borrow_mut().accept(hash, self.round) {
            Ok(json_data(&hash.0))
        } else {
            Err(RpcError::new(-32000, "already known"))
        }
    }

    fn pool_status(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut object = render::Object::new(&mut out);
        object.quantity("pending", self.network.pool.borrow().waiting(self.round).count() as u64);
        object.quantity("queued", 0u64);
        object.end();
        out
    }

    fn fee_history(&self, params: Params<'_>) -> Reply {
        let newest = self.height_of(params.block(1)?).ok_or_else(|| RpcError::new(-32000, "request beyond head block"))?;
        let count = params.quantity(0)?.clamp(1, 1024).min(newest.saturating_add(1));
        let percentiles = params.0.get(2).and_then(|value| value.as_array()).map(|list| list.len().min(100));
        let (oldest, chain) = (newest - (count - 1), &self.network.chain);
        let mut out = Vec::new();
        let mut object = render::Object::new(&mut out);
        object.quantity("oldestBlock", oldest);
        let fees = oldest..=newest.saturating_add(1);
        render::list(object.key("baseFeePerGas"), fees, |out, height| render::quantity(out, chain.base_fee(height).into()));
        render::list(object.key("gasUsedRatio"), oldest..=newest, |out, height| {
            out.extend_from_slice(format!("0.{:03}", chain.block_hash(self.branch, height).number() % 1000).as_bytes());
        });
        if let Some(percentiles) = percentiles.filter(|count| *count > 0) {
            render::list(object.key("reward"), oldest..=newest, |out, height| {
                let tip = 1_000_000 + chain.block_hash(self.branch, height).number() % 1_000_000_000;
                render::list(out, 1..=percentiles, |out, place| render::quantity(out, u128::from(tip) * place as u128));
            });
        }
        object.end();
        Ok(out)
    }
}

fn or_null<T>(value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Some(value) => write(&mut out, value),
        None => out.extend_from_slice(b"null"),
    }
    out
}

pub fn json_quantity(number: impl Into<u128>) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    render::quantity(&mut out, number.into());
    out
}

pub fn json_data(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * bytes.len() + 4);
    render::data(&mut out, bytes);
    out
}

pub fn json_list<T>(items: impl IntoIterator<Item = T>, one: impl FnMut(&mut Vec<u8>, T)) -> Vec<u8> {
    let mut out = Vec::new();
    render::list(&mut out, items, one);
    out
}

/// The model's texts hold nothing that needs escaping, but a provider's name comes from its maker.
pub fn json_text(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::base::time::Duration;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    pub const HEAD: u64 = 1_000_100;

    pub fn network() -> Network {
        Network::new(ChainModel::new(7, 8453, Duration::from_secs(2)))
    }

    /// The result as a value, or the error's code.
    pub fn ask_with(view: &View<'_>, filters: &mut Filters, method: &str, params: Value) -> Result<Value, i64> {
        let reply = view.answer(filters, method, Params(params.as_array().map_or(&[][..], Vec::as_slice)));
        reply.map(|json| serde_json::from_slice(&json).expect("valid JSON")).map_err(|error| error.code)
    }

    pub fn ask(view: &View<'_>, method: &str, params: Value) -> Result<Value, i64> {
        ask_with(view, &mut Filters::default(), method, params)
    }

    pub fn hex(number: u64) -> String {
        format!("{number:#x}")
    }

    #[test]
    fn parts_of_a_block_agree_however_they_are_asked_for() {
        let network = network();
        let view = View::honest(&network, HEAD);
        let get = |method: &str, params: Value| ask(&view, method, params).expect(method);
        let block = get("eth_getBlockByNumber", json!([hex(HEAD), true]));
        assert_eq!(block, get("eth_getBlockByHash", json!([block["hash"], true])));
        assert_eq!(block, get("eth_getBlockByNumber", json!(["latest", true])));
        assert_eq!(block["parentHash"], get("eth_getBlockByNumber", json!([hex(HEAD - 1)]))["hash"]);
        assert_eq!(get("eth_blockNumber", json!([])), block["number"]);
        let transactions = block["transactions"].as_array().unwrap();
        assert_eq!(get("eth_getBlockTransactionCountByNumber", json!(["latest"])), json!(hex(transactions.len() as u64)));
        let receipts = get("eth_getBlockReceipts", json!([hex(HEAD)]));
        let mut logs = Vec::new();
        for (place, one) in transactions.iter().enumerate() {
            assert_eq!(*one, get("eth_getTransactionByHash", json!([one["hash"]])));
            assert_eq!(*one, get("eth_getTransactionByBlockHashAndIndex", json!([block["hash"], hex(place as u64)])));
            let receipt = get("eth_getTransactionReceipt", json!([one["hash"]]));
            assert_eq!((&receipt, &receipt["blockHash"]), (&receipts[place], &block["hash"]));
            assert_eq!((&receipt["from"], &receipt["to"]), (&one["from"], &one["to"]));
            logs.extend(receipt["logs"].as_array().unwrap().clone());
        }
        assert_eq!(receipts[transactions.len() - 1]["cumulativeGasUsed"], block["gasUsed"]);
        assert_eq!(Value::from(logs), get("eth_getLogs", json!([{"blockHash": block["hash"]}])));
    }

    #[test]
    fn a_view_ends_at_its_head_and_at_its_archive() {
        let network = network();
        let view = View { archive_depth: Some(64), ..View::honest(&network, HEAD) };
        let address = json!("0x00000000000000000000000000000000000000aa");
        let ahead = network.block(0, HEAD + 1);
        let hash = |hash: Hash| hash.0.iter().fold(String::from("0x"), |text, byte| format!("{text}{byte:02x}"));
        assert_eq!(ask(&view, "eth_getBlockByNumber", json!([hex(HEAD + 1), false])), Ok(Value::Null));
        assert_eq!(ask(&view, "eth_getBlockByHash", json!([hash(ahead.hash), false])), Ok(Value::Null));
        assert_eq!(ask(&view, "eth_getTransactionByHash", json!([hash(ahead.transactions[0].hash)])), Ok(Value::Null));
        assert_eq!(ask(&view, "eth_getLogs", json!([{"blockHash": hash(ahead.hash)}])), Err(-32000));
        assert_eq!(ask(&view, "eth_getBalance", json!([address, hex(HEAD + 1)])), Err(-32000));
        assert_eq!(ask(&view, "eth_getBalance", json!([address, hex(HEAD - 65)])), Err(-32000));
        assert!(ask(&view, "eth_getBalance", json!([address, hex(HEAD - 64)])).is_ok());
        assert!(ask(&view, "eth_getBlockByNumber", json!(["earliest", true])).is_ok_and(|block| block["number"] == "0x0"));
    }

    #[test]
    fn a_view_follows_its_branch_and_may_keep_orphans() {
        let mut network = network();
        let branch = network.chain.forks.fork(0, HEAD - 1);
        let turned = network.chain.born_at(HEAD).plus_ms(1);
        network.chain.forks.turn(turned, branch);
        let before = View { heard: network.chain.born_at(HEAD), ..View::honest(&network, HEAD) };
        let after = View { heard: turned, branch, ..before };
        let get = |view: &View<'_>, method: &str, params: Value| ask(view, method, params).expect(method);
        let old = get(&before, "eth_getBlockByNumber", json!(["latest", false]));
        let new = get(&after, "eth_getBlockByNumber", json!(["latest", false]));
        assert!(old["hash"] != new["hash"] && old["number"] == new["number"]);
        let shared = json!([hex(HEAD - 2), false]);
        assert_eq!(get(&before, "eth_getBlockByNumber", shared.clone()), get(&after, "eth_getBlockByNumber", shared));
        assert_eq!(get(&after, "eth_getBlockByHash", json!([old["hash"], false])), old);
        let of_old = json!([{"blockHash": old["hash"]}]);
        assert_eq!(get(&after, "eth_getLogs", of_old.clone()), get(&before, "eth_getLogs", of_old.clone()));
        assert_eq!(get(&after, "eth_getTransactionByHash", json!([old["transactions"][0]])), Value::Null);
        let pruned = View { keeps_orphans: false, ..after };
        assert_eq!(get(&pruned, "eth_getBlockByHash", json!([old["hash"], false])), Value::Null);
        assert_eq!(ask(&pruned, "eth_getLogs", of_old), Err(-32000));
        assert_eq!(get(&before, "eth_getBlockByHash", json!([new["hash"], false])), Value::Null, "it is not there yet");
    }

    #[test]
    fn raw_transactions_enter_once_and_are_mined_next() {
        let network = network();
        let view = View::honest(&network, HEAD);
        let hash = ask(&view, "eth_sendRawTransaction", json!(["0x02f8"])).unwrap();
        assert_eq!(ask(&view, "eth_sendRawTransaction", json!(["0x02f8"])), Err(-32000));
        assert_eq!(ask(&view, "eth_sendRawTransaction", json!(["0x"])), Err(-32602));
        assert_eq!(ask(&view, "eth_getTransactionReceipt", json!([hash])), Ok(Value::Null));
        let later = View::honest(&network, HEAD + 1);
        let receipt = ask(&later, "eth_getTransactionReceipt", json!([hash])).unwrap();
        assert_eq!((&receipt["transactionHash"], &receipt["status"]), (&hash, &json!("0x1")));
        let block = ask(&later, "eth_getBlockByNumber", json!(["latest", false])).unwrap();
        assert_eq!(block["transactions"].as_array().unwrap().last(), Some(&hash));
    }

    #[test]
    fn small_answers() {
        let network = network();
        let view = View { announced: HEAD + 9, chain_number: 1, version: "a \"b\"", ..View::honest(&network, HEAD) };
        let check = |method: &str, params: Value, want: Value| assert_eq!(ask(&view, method, params), Ok(want), "{method}");
        check("eth_blockNumber", json!([]), json!(hex(HEAD + 9)));
        check("eth_chainId", json!([]), json!("0x1"));
        check("net_version", json!([]), json!("1"));
        check("web3_clientVersion", json!([]), json!("a \"b\""));
        check("eth_syncing", json!([]), json!(false));
        let keccak_of_nothing = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";
        check("web3_sha3", json!(["0x"]), json!(keccak_of_nothing));
        let fees = ask(&view, "eth_feeHistory", json!(["0x3", "latest", [25, 75]])).unwrap();
        let lengths = ["baseFeePerGas", "gasUsedRatio", "reward"].map(|key| fees[key].as_array().map_or(0, Vec::len));
        assert_eq!((lengths, &fees["oldestBlock"]), ([4, 3, 3], &json!(hex(HEAD - 2))));
        assert_eq!(ask(&view, "eth_noSuchThing", json!([])), Err(-32601));
        assert_eq!(ask(&view, "eth_getBalance", json!([])), Err(-32602));
    }

    const METHODS: &[&str] = &[
        "eth_getBlockByNumber",
        "eth_getBlockByHash",
        "eth_getBlockReceipts",
        "eth_getTransactionByHash",
        "eth_getTransactionReceipt",
        "eth_getTransactionByBlockNumberAndIndex",
        "eth_getLogs",
        "eth_getBalance",
        "eth_getTransactionCount",
        "eth_getCode",
        "eth_getStorageAt",
        "eth_call",
        "eth_estimateGas",
        "eth_feeHistory",
        "eth_newFilter",
        "eth_getFilterChanges",
        "eth_getFilterLogs",
        "eth_uninstallFilter",
        "eth_sendRawTransaction",
        "web3_sha3",
        "txpool_status",
        "eth_newFilterX",
        "",
    ];

    fn any_param() -> impl Strategy<Value = Value> {
        let word = "0x[0-9a-f]{64}".prop_map(Value::from);
        let number = any::<u64>().prop_map(|number| Value::from(hex(number)));
        let near = (HEAD - 9..HEAD + 9).prop_map(|number| Value::from(hex(number)));
        let tag = proptest::sample::select(vec!["latest", "earliest", "pending", "safe", "finalized", "0x", "0xfa11", "é"])
            .prop_map(Value::from);
        let leaf = prop_oneof![
            word,
            number,
            near,
            tag,
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(Value::Null)
        ];
        leaf.prop_recursive(2, 12, 4, |inner| {
            let keys = proptest::sample::select(vec![
                "fromBlock",
                "toBlock",
                "blockHash",
                "address",
                "topics",
                "to",
                "data",
                "blockNumber",
            ]);
            let object = proptest::collection::vec((keys, inner.clone()), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()));
            prop_oneof![proptest::collection::vec(inner, 0..4).prop_map(Value::from), object]
        })
    }

    proptest! {
        #[test]
        fn any_parameters_give_json_or_an_error(
            method in proptest::sample::select(METHODS), params in proptest::collection::vec(any_param(), 0..4), head in 0..2 * HEAD,
        ) {
            let network = network();
            let view = View { archive_depth: Some(9), log_range: 50, ..View::honest(&network, head) };
            let _ = ask(&view, method, Value::from(params));
        }
    }
}
