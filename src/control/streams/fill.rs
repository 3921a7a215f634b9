//! What the machines ask for over HTTP: a block, or a block's logs, of one provider at a time.
//!
//! Logs are asked for by block hash, so an answer cannot be of another fork. Some nodes answer an empty list for a block
//! that they do not have; an empty list is believed of a node that has the block.

use super::News;
use super::feed::FeedId;
use super::follower::FollowerId;
use crate::base::ids::{EntryId, Transport};
use crate::base::limits;
use crate::chain::{hex, method};
use crate::runtime::world::World;
use crate::shard::{Found, Shard, inquire};
use crate::snapshot::Snapshot;
use crate::stream::continuity::Ask;
use crate::stream::event::{BlockHash, Head, Log};
use crate::stream::fanout::Topic;
use crate::stream::filter::LogFilter;
use crate::stream::key::Key;
use std::rc::Rc;

pub enum Wanted {
    Block(Ask),
    Logs(LogFilter, BlockHash),
}

/// One fetch, and whom to ask.
pub struct Order {
    follower: FollowerId,
    /// Nobody could be asked.
    entry: Option<EntryId>,
    wanted: Wanted,
}

/// What came of it.
pub enum Filled {
    Block { follower: FollowerId, ask: Ask, block: Option<Box<Head>> },
    Logs { follower: FollowerId, key: Key, block: BlockHash, logs: Option<Vec<Log>> },
}

impl Filled {
    pub fn follower(&self) -> FollowerId {
        match self {
            Filled::Block { follower, .. } | Filled::Logs { follower, .. } => *follower,
        }
    }

    pub fn is_success(&self) -> bool {
        match self {
            Filled::Block { block, .. } => block.is_some(),
            Filled::Logs { logs, .. } => logs.is_some(),
        }
    }
}

impl Order {
    #[cfg(test)]
    pub fn follower(&self) -> FollowerId {
        self.follower
    }

    /// The newest block is the leader's to tell. Everything else anybody may: the leader first, after `turn` failures the
    /// others in their order.
    pub fn new(
        follower: FollowerId,
        route: &Topic,
        snapshot: &Snapshot,
        leader: Option<FeedId>,
        candidates: Vec<FeedId>,
        turn: usize,
        wanted: Wanted,
    ) -> Order {
        let mut asked: Vec<_> = leader.into_iter().chain(candidates).map(|feed| feed.instance).collect();
        let mut seen = Vec::new();
        asked.retain(|instance| {
            !seen.contains(instance) && {
                seen.push(*instance);
                true
            }
        });
        let is_latest = matches!(wanted, Wanted::Block(Ask::Latest));
        let at = if is_latest || asked.is_empty() { 0 } else { turn % asked.len() };
        let chain = snapshot.chain(route.profile, route.chain);
        let entry = asked.get(at).and_then(|instance| {
            let provider = chain.providers.iter().find(|(_, provider)| provider.instance == *instance);
            provider.map(|(id, _)| chain.entry(id))
        });
        Order { follower, entry, wanted }
    }
}

pub async fn carry_out<W: World>(shard: Rc<Shard<W>>, order: Order, news: Rc<News>) {
    let Order { follower, entry, wanted } = order;
    let filled = match wanted {
        Wanted::Block(ask) => {
            let block = match entry {
                Some(entry) => block(&shard, entry, ask).await,
                None => None,
            };
            Filled::Block { follower, ask, block: block.map(Box::new) }
        }
        Wanted::Logs(filter, hash) => {
            let logs = match entry {
                Some(entry) => logs(&shard, entry, &filter, hash).await,
                None => None,
            };
            Filled::Logs { follower, key: Key::Logs(filter), block: hash, logs }
        }
    };
    news.fill(filled);
}

async fn block<W: World>(shard: &Shard<W>, entry: EntryId, ask: Ask) -> Option<Head> {
    let mut params = b"[\"".to_vec();
    let method = match ask {
        Ask::Latest => {
            params.extend_from_slice(b"latest");
            "eth_getBlockByNumber"
        }
        Ask::Number(number) => {
            hex::write_quantity(&mut params, number);
            "eth_getBlockByNumber"
        }
        Ask::Hash(hash) => {
            hex::write_bytes(&mut params, &hash.0);
            "eth_getBlockByHash"
        }
    };
    params.extend_from_slice(b"\",false]");
    Head::of_block(&ask_for(shard, entry, method, &params).await?)
}

async fn logs<W: World>(shard: &Shard<W>, entry: EntryId, filter: &LogFilter, hash: BlockHash) -> Option<Vec<Log>> {
    let mut params = vec![b'['];
    filter.write_for_block(&mut params, hash);
    params.push(b']');
    let logs = Log::parse_all(&ask_for(shard, entry, "eth_getLogs", &params).await?)?;
    if logs.is_empty() {
        block(shard, entry, Ask::Hash(hash)).await?;
    }
    Some(logs)
}

/// HTTP, where it is spoken and its circuit is closed.
fn transport_of<W: World>(shard: &Shard<W>, entry: EntryId) -> Transport {
    let snapshot = shard.latest();
    let is_closed = |transport| snapshot.has_channel(entry, transport) && !snapshot.is_open(entry, transport);
    let has_socket_only = !snapshot.has_channel(entry, Transport::Http);
    let may_use_socket = is_closed(Transport::Ws) && !is_closed(Transport::Http);
    if has_socket_only || may_use_socket { Transport::Ws } else { Transport::Http }
}

async fn ask_for<W: World>(shard: &Shard<W>, entry: EntryId, method: &str, params: &[u8]) -> Option<Vec<u8>> {
    let before = format!(r#"{{"jsonrpc":"2.0","id":"lasso-fill","method":"{method}","params":"#);
    let body = [before.as_bytes(), params, b"}"].concat();
    let transport = transport_of(shard, entry);
    match inquire(shard, entry, transport, method::lookup(method.as_bytes()), &body, limits::FILL_TIMEOUT_MS).await {
        Found::Result(result, _) => Some(result),
        Found::Limited { .. } | Found::Auth | Found::Unasked | Found::Failed(_) => None,
    }
}
