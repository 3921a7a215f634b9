//! Logs and filters as an honest node serves them: ranges, selection by address and topics, and what is new since a
//! filter was last asked.

use super::arrival::Absent;
use super::chain_model::Log;
use super::filters::{FilterKind, Filters};
use super::identity::Hash;
use super::params::{BlockRef, LogFilter, LogRange, Params};
use super::render;
use super::rpc::{Reply, RpcError, View, json_list, json_text};

impl View<'_> {
    pub fn logs(&self, filter: &LogFilter) -> Reply {
        let (from, to) = match filter.range {
            LogRange::Block(hash) => {
                return match self.tip_of(BlockRef::Hash(hash)) {
                    Some(at) => self.logs_between(filter, at.branch, at.height, at.height),
                    None => self.no_such_block(),
                };
            }
            LogRange::Span { from, to } => (self.edge(from), self.edge(to).min(self.head)),
        };
        if from > to {
            // Past the head is no error (there is nothing yet); backwards is one.
            let backwards = matches!(filter.range, LogRange::Span { to, .. } if self.edge(to) < from);
            return if backwards { Err(RpcError::new(-32000, "invalid block range params")) } else { Ok(b"[]".to_vec()) };
        }
        if to - from >= self.log_range {
            return Err(RpcError::new(-32602, format!("eth_getLogs is limited to a {} block range", self.log_range)));
        }
        self.logs_between(filter, self.branch, from, to)
    }

    fn no_such_block(&self) -> Reply {
        match self.absent {
            Absent::Geth => Err(RpcError::new(-32000, "unknown block")),
            Absent::Nethermind => Err(RpcError::new(-32001, "resource not found")),
            Absent::Besu | Absent::Erigon => Ok(b"[]".to_vec()),
        }
    }

    /// A range's edge, which may lie above the head.
    fn edge(&self, block: BlockRef) -> u64 {
        match block {
            BlockRef::Height(height) => height,
            other => self.height_of(other).unwrap_or(self.head),
        }
    }

    fn logs_between(&self, filter: &LogFilter, branch: u32, from: u64, to: u64) -> Reply {
        let (mut out, mut count) = (vec![b'['], 0);
        for height in (from..=to).filter(|height| self.network.chain.has_block(branch, *height)) {
            let block = self.network.block(branch, height);
            let is_hidden = |log: &Log| self.lie.is_some_and(|lie| lie.hides(filter, log));
            let invented = self.lie.and_then(|lie| lie.adds(&block));
            let more = block.transactions.last().zip(invented.as_ref());
            for (transaction, log) in block.logs().chain(more).filter(|(_, log)| matches(filter, log) && !is_hidden(log)) {
                if count == self.log_results {
                    let text = format!("query returned more than {} results", self.log_results);
                    return Err(RpcError::new(-32005, text));
                }
                if count > 0 {
                    out.push(b',');
                }
                render::log(&mut out, &block, transaction, log, false);
                count += 1;
            }
        }
        out.push(b']');
        Ok(out)
    }

    pub fn filter_call(&self, filters: &mut Filters, method: &str, params: Params<'_>) -> Reply {
        let sent = self.network.pool.borrow().accepted;
        let kind = match method {
            "eth_newBlockFilter" => FilterKind::Blocks,
            "eth_newPendingTransactionFilter" => FilterKind::Pending,
            "eth_newFilter" => FilterKind::Logs(params.log_filter(0)?),
            "eth_uninstallFilter" => {
                return Ok(if filters.remove(params.text(0)?) { b"true".to_vec() } else { b"false".to_vec() });
            }
            "eth_getFilterChanges" | "eth_getFilterLogs" => return self.poll_filter(filters, method, params.text(0)?),
            _ => return self.state_call(method, params),
        };
        Ok(json_text(&filters.make(self.salt, kind, self.head, sent)))
    }

    fn poll_filter(&self, filters: &mut Filters, method: &str, id: &str) -> Reply {
        let filter = filters.find(id).ok_or_else(|| RpcError::new(-32000, "filter not found"))?;
        let from = filter.seen.saturating_add(1);
        let whole = method == "eth_getFilterLogs";
        match &filter.kind {
            FilterKind::Logs(logs) if whole => self.logs(logs),
            _ if whole => Err(RpcError::new(-32000, "filter not found")),
            FilterKind::Pending => {
                let pool = self.network.pool.borrow();
                let unseen = pool.accepted - std::mem::replace(&mut filter.seen_sent, pool.accepted);
                Ok(json_list(pool.newest(unseen), |out, hash| render::data(out, &hash.0)))
            }
            // A provider whose head went backwards (it fell behind) has nothing new to say.
            _ if from > self.head => Ok(b"[]".to_vec()),
            FilterKind::Blocks => {
                filter.seen = self.head;
                let heights = from.max(self.head.saturating_sub(self.log_range))..=self.head;
                let heights = heights.filter(|height| self.network.chain.has_block(self.branch, *height));
                Ok(json_list(heights, |out, height| render::data(out, &self.network.chain.block_hash(self.branch, height).0)))
            }
            FilterKind::Logs(logs) => {
                filter.seen = self.head;
                self.logs_between(logs, self.branch, from.max(self.head.saturating_sub(self.log_range)), self.head)
            }
        }
    }
}

/// Whether a log passes a filter's addresses and topics (the execution API's rule: each position one of, empty is any).
pub fn matches(filter: &LogFilter, log: &Log) -> bool {
    let address = filter.addresses.is_empty() || filter.addresses.contains(&log.address);
    let topic = |(place, any): (usize, &Vec<Hash>)| match log.topics.get(place) {
        Some(topic) => any.is_empty() || any.contains(topic),
        None => false,
    };
    address && filter.topics.iter().enumerate().all(topic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::MODEL_LOG_RANGE;
    use crate::demo::rpc::tests::{HEAD, ask, ask_with, hex, network};
    use serde_json::{Value, json};

    #[test]
    fn a_range_of_logs_is_its_blocks_logs_and_filters_select() {
        let network = network();
        let view = View::honest(&network, HEAD);
        let range = |from: u64, to: u64, rest: Value| {
            let mut filter = json!({"fromBlock": hex(from), "toBlock": hex(to)});
            rest.as_object().unwrap().iter().for_each(|(key, value)| filter[key] = value.clone());
            ask(&view, "eth_getLogs", json!([filter])).map(|logs| logs.as_array().unwrap().clone())
        };
        let whole = range(HEAD - 20, HEAD, json!({})).unwrap();
        let single: Vec<Value> = (HEAD - 20..=HEAD).flat_map(|height| range(height, height, json!({})).unwrap()).collect();
        assert!(whole == single && whole.len() > 20);
        let (address, topic) = (&whole[0]["address"], &whole[0]["topics"][0]);
        let select = |rest: Value, keep: &dyn Fn(&Value) -> bool| {
            let want: Vec<Value> = whole.iter().filter(|log| keep(log)).cloned().collect();
            assert_eq!(range(HEAD - 20, HEAD, rest).unwrap(), want);
        };
        select(json!({ "address": address }), &|log| log["address"] == *address);
        select(json!({"topics": [[topic], []]}), &|log| log["topics"][0] == *topic);
        select(json!({"topics": [null, whole[1]["topics"][1]]}), &|log| log["topics"][1] == whole[1]["topics"][1]);
        select(json!({"topics": [null, null, null, topic]}), &|_| false);
        assert_eq!(range(HEAD + 1, HEAD + 9, json!({})), Ok(vec![]));
        assert_eq!(range(HEAD, HEAD - 1, json!({})), Err(-32000));
        assert_eq!(range(HEAD - MODEL_LOG_RANGE, HEAD, json!({})), Err(-32602));
        assert!(range(HEAD - 999, HEAD, json!({})).is_ok());
        let few = View { log_results: 3, ..view };
        assert_eq!(ask(&few, "eth_getLogs", json!([{"fromBlock": hex(HEAD - 20)}])), Err(-32005));
    }

    #[test]
    fn filters_tell_each_block_once() {
        let (network, mut filters) = (network(), Filters::default());
        let (now, later) = (View::honest(&network, HEAD), View::honest(&network, HEAD + 2));
        let mut make = |method: &str, params| ask_with(&now, &mut filters, method, params).unwrap();
        let (blocks, logs) = (make("eth_newBlockFilter", json!([])), make("eth_newFilter", json!([{}])));
        let pending = make("eth_newPendingTransactionFilter", json!([]));
        let sent = ask(&now, "eth_sendRawTransaction", json!(["0x01"])).unwrap();
        let mut poll = |view: &View<'_>, id: &Value| ask_with(view, &mut filters, "eth_getFilterChanges", json!([id])).unwrap();
        assert_eq!(poll(&now, &blocks), json!([]));
        let hashes = poll(&later, &blocks);
        assert_eq!(hashes.as_array().map(Vec::len), Some(2));
        assert_eq!(hashes[1], ask(&later, "eth_getBlockByNumber", json!(["latest"])).unwrap()["hash"]);
        assert_eq!((poll(&later, &blocks), poll(&now, &blocks)), (json!([]), json!([])));
        let range = json!([{"fromBlock": hex(HEAD + 1), "toBlock": hex(HEAD + 2)}]);
        assert_eq!(poll(&later, &logs), ask(&later, "eth_getLogs", range).unwrap());
        assert_eq!((poll(&later, &pending), poll(&later, &pending)), (json!([sent]), json!([])));
        assert_eq!(ask_with(&now, &mut filters, "eth_uninstallFilter", json!([blocks])), Ok(json!(true)));
        assert_eq!(ask_with(&now, &mut filters, "eth_getFilterChanges", json!([blocks])), Err(-32000));
    }
}
