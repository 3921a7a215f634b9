//! What a replay sends for a recorded call: its own parameters where they were recorded, else made-up ones of the same shape.
//!
//! Made up is: an address that nobody has (each call another one, so that no cache answers all of them), the recorded
//! distance from the head for the block, the recorded width for a range of logs, call data of the recorded length to the
//! identity contract, and a block and a transaction that the replay's node was asked for at its beginning. So the mix, the
//! timing and the sizes of calls are those of the record, and what a call costs its provider is not: a log filter by an
//! unknown address finds nothing. Methods whose arguments would have to be guessed are left out and named; everything that
//! is no plain read is left out in any case. Rejected: replaying what other tools call sanitised bodies (a filter that
//! knows every secret does not exist).

use crate::base::limits;
use crate::base::rng::Rng;
use crate::chain::method::{self, Locator, Safety};
use crate::observe::sampled::may_keep_params;
use crate::replay::read::{Record, RecordedCall};

/// What stands on the chain that is replayed to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ground {
    /// 0: unknown, and every block is `latest`.
    pub head: u64,
    /// Raw JSON texts, quoted.
    pub block_hash: Option<String>,
    pub transaction: Option<String>,
}

/// Why a call is not replayed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LeftOut {
    /// It might do something, or carries what is signed.
    NoRead,
    /// It uses a filter that exists at one provider.
    Filter,
    /// Its arguments were not recorded and cannot be made up.
    NoArguments,
    /// Its chain has no transaction to ask for.
    NoTransaction,
}

impl LeftOut {
    pub fn why(self) -> &'static str {
        match self {
            LeftOut::NoRead => "no plain read (transactions and whatever may act are never replayed)",
            LeftOut::Filter => "filters belong to one provider",
            LeftOut::NoArguments => "parameters were not recorded and cannot be made up (record with --record-params)",
            LeftOut::NoTransaction => "no transaction to ask for in the newest block",
        }
    }
}

/// The parameters to send, as raw JSON. `number` makes each call another one.
pub fn params(record: &Record, call: &RecordedCall, ground: &Ground, number: u64) -> Result<String, LeftOut> {
    let name = record.method(call);
    let id = method::lookup(name.as_bytes());
    let terms = method::terms(id, name.as_bytes());
    match terms.safety {
        Safety::Filter => return Err(LeftOut::Filter),
        safety if !may_keep_params(name.as_bytes(), safety) => return Err(LeftOut::NoRead),
        _ => {}
    }
    match &call.params {
        Some(recorded) => Ok(recorded.to_string()),
        None => MadeUp { call, ground, number }.params(name, method::info(id).locator),
    }
}

struct MadeUp<'a> {
    call: &'a RecordedCall,
    ground: &'a Ground,
    number: u64,
}

impl MadeUp<'_> {
    fn params(&self, name: &str, locator: Locator) -> Result<String, LeftOut> {
        let (block, address) = (self.block(), self.address());
        Ok(match (name, locator) {
            ("eth_getBalance" | "eth_getCode" | "eth_getTransactionCount" | "eth_getAccount" | "ots_hasCode", _) => {
                format!("[{address},{block}]")
            }
            ("eth_getStorageAt", _) => format!("[{address},\"0x0\",{block}]"),
            ("eth_getProof", _) => format!("[{address},[],{block}]"),
            ("eth_call" | "eth_estimateGas" | "eth_createAccessList", _) => format!("[{},{block}]", self.transaction_call()),
            ("debug_traceCall", _) => format!("[{},{block},{{}}]", self.transaction_call()),
            ("trace_call", _) => format!("[{},[\"trace\"],{block}]", self.transaction_call()),
            ("eth_feeHistory", _) => format!("[\"0x4\",{block},[]]"),
            ("web3_sha3", _) => format!("[{}]", self.data()),
            ("eth_getBlockByNumber", _) => format!("[{block},false]"),
            ("eth_getBlockByHash", _) => format!("[{},false]", self.hash()?),
            (_, Locator::Transaction) if is_of_transactions(name) => {
                format!("[{}]", self.ground.transaction.as_ref().ok_or(LeftOut::NoTransaction)?)
            }
            ("eth_getLogs" | "erigon_getLogs", _) => self.logs(),
            (_, Locator::Block(0) | Locator::State(0)) if name.ends_with("AndIndex") => match name.contains("ByBlockHash") {
                true => format!("[{},\"0x0\"]", self.hash()?),
                false => format!("[{block},\"0x0\"]"),
            },
            (_, Locator::Block(0) | Locator::State(0)) if takes_a_block(name) => match name.ends_with("ByHash") {
                true => format!("[{}]", self.hash()?),
                false => format!("[{block}]"),
            },
            (_, Locator::Nowhere) if takes_nothing(name) => "[]".to_owned(),
            _ => return Err(LeftOut::NoArguments),
        })
    }

    /// As far behind the head as the recorded one was.
    fn block(&self) -> String {
        match self.call.depth {
            Some(depth) if depth > 0 && self.ground.head > 0 => format!("\"{:#x}\"", self.ground.head.saturating_sub(depth)),
            _ => "\"latest\"".to_owned(),
        }
    }

    fn hash(&self) -> Result<&str, LeftOut> {
        self.ground.block_hash.as_deref().ok_or(LeftOut::NoArguments)
    }

    fn address(&self) -> String {
        let mut rng = Rng::new(self.number);
        format!("\"0x{:016x}{:016x}{:08x}\"", rng.next(), rng.next(), rng.next() as u32)
    }

    /// The identity contract gives back what it is given.
    fn transaction_call(&self) -> String {
        format!("{{\"to\":\"0x0000000000000000000000000000000000000004\",\"data\":{}}}", self.data())
    }

    /// So long that the whole call is about as long as the recorded one was.
    fn data(&self) -> String {
        const AROUND: usize = 136;
        let wanted = (self.call.bytes as usize).saturating_sub(AROUND).min(limits::REPLAY_DATA_BYTES);
        let mut out = format!("\"0x{:08x}", self.number as u32);
        (0..wanted / 2).for_each(|_| out.push_str("00"));
        out.push('"');
        out
    }

    fn logs(&self) -> String {
        let address = self.address();
        let head = self.ground.head;
        match (self.call.range, head) {
            (Some(range), 1..) => {
                let from = head.saturating_sub(self.call.depth.unwrap_or(range).max(range));
                format!(
                    "[{{\"fromBlock\":\"{from:#x}\",\"toBlock\":\"{:#x}\",\"address\":{address}}}]",
                    from.saturating_add(range).min(head)
                )
            }
            _ => format!("[{{\"address\":{address}}}]"),
        }
    }
}

fn is_of_transactions(name: &str) -> bool {
    const KNOWN: &[&str] = &[
        "eth_getTransactionByHash",
        "eth_getTransactionReceipt",
        "eth_getRawTransactionByHash",
        "debug_traceTransaction",
        "debug_getRawTransaction",
        "trace_transaction",
    ];
    KNOWN.contains(&name)
}

/// One block is all that they want.
fn takes_a_block(name: &str) -> bool {
    const KNOWN: &[&str] = &[
        "eth_getBlockTransactionCountByHash",
        "eth_getBlockTransactionCountByNumber",
        "eth_getUncleCountByBlockNumber",
        "eth_getHeaderByNumber",
        "eth_getHeaderByHash",
        "eth_getBlockReceipts",
        "debug_traceBlockByNumber",
        "debug_traceBlockByHash",
        "debug_getRawBlock",
        "debug_getRawHeader",
        "debug_getRawReceipts",
        "trace_block",
    ];
    KNOWN.contains(&name)
}

fn takes_nothing(name: &str) -> bool {
    const KNOWN: &[&str] = &[
        "eth_blockNumber",
        "eth_chainId",
        "eth_gasPrice",
        "eth_maxPriorityFeePerGas",
        "eth_blobBaseFee",
        "eth_baseFee",
        "eth_syncing",
        "eth_protocolVersion",
        "net_version",
        "net_listening",
        "net_peerCount",
        "web3_clientVersion",
        "rpc_modules",
        "txpool_status",
    ];
    KNOWN.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::read;

    fn told(line: &str, ground: &Ground) -> Result<String, LeftOut> {
        let record = read::tests::record(&[line]);
        params(&record, &record.calls[0], ground, 7)
    }

    fn call(method: &str, rest: &str) -> String {
        read::tests::call_line(1, method, rest)
    }

    #[test]
    fn calls_are_made_up_by_their_shape() {
        let ground = Ground { head: 1000, block_hash: Some("\"0xb1\"".into()), transaction: Some("\"0x7a\"".into()) };
        let address =
            MadeUp { call: &read::tests::record(&[&call("eth_call", "")]).calls[0], ground: &ground, number: 7 }.address();
        assert_eq!(address.len(), 44);
        let check = |method: &str, rest: &str, want: Result<&str, LeftOut>| {
            let got = told(&call(method, rest), &ground);
            assert_eq!(got.as_deref().map_err(|left| *left), want, "{method}");
        };
        check("eth_blockNumber", "", Ok("[]"));
        check("eth_getBalance", r#","depth":0"#, Ok(&format!("[{address},\"latest\"]")));
        check("eth_getBalance", r#","depth":10"#, Ok(&format!("[{address},\"0x3de\"]")));
        check("eth_getBlockByNumber", r#","depth":1"#, Ok("[\"0x3e7\",false]"));
        check("eth_getBlockByHash", r#","by_hash":true"#, Ok("[\"0xb1\",false]"));
        check("eth_getTransactionReceipt", "", Ok("[\"0x7a\"]"));
        let logs = format!("[{{\"fromBlock\":\"0x384\",\"toBlock\":\"0x3b6\",\"address\":{address}}}]");
        check("eth_getLogs", r#","depth":100,"range":50"#, Ok(&logs));
        check("eth_call", r#","params":[{"to":"0x1"},"latest"]"#, Ok(r#"[{"to":"0x1"},"latest"]"#));
        check("eth_sendRawTransaction", "", Err(LeftOut::NoRead));
        check("eth_sendRawTransaction", r#","params":["0x02"]"#, Err(LeftOut::NoRead));
        check("eth_callBundle", r#","params":[{}]"#, Err(LeftOut::NoRead));
        check("eth_newFilter", "", Err(LeftOut::Filter));
        check("foo_bar", "", Err(LeftOut::NoRead));
        check("eth_simulateV1", "", Err(LeftOut::NoArguments));
    }

    #[test]
    fn call_data_is_as_long_as_it_was() {
        let ground = Ground::default();
        for bytes in [0, 200, 5_000] {
            let got = told(&call("eth_call", &format!(r#","bytes":{bytes}"#)), &ground).expect("made up");
            let whole = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":{got}}}"#).len();
            assert!(bytes < 200 || whole.abs_diff(bytes) < 60, "{whole} for {bytes}");
            assert!(serde_json::from_str::<serde_json::Value>(&got).is_ok(), "{got}");
        }
    }

    #[test]
    fn without_a_transaction_none_is_asked_for() {
        assert_eq!(told(&call("eth_getTransactionByHash", ""), &Ground::default()), Err(LeftOut::NoTransaction));
        assert_eq!(told(&call("eth_getBalance", r#","depth":9"#), &Ground::default()).map(|p| p.contains("latest")), Ok(true));
    }
}
