//! The subscriptions of one WebSocket connection, and what they are told when the provider's view changes, as geth tells it:
//! logs of dropped blocks taken back, newest first, then each new block's head and its logs.
//!
//! Pure: a view comes in, events go out. All subscriptions of a connection were told up to the same tip, so one walk from
//! that tip to the new one serves them all; one that is confirmed later joins at the tip of that moment. A head that goes
//! back on its own branch is not told, as nodes do not either. Bounded: of a long jump only the newest blocks are told.

use super::chain_model::{Block, Log};
use super::forks::Tip;
use super::log_query;
use super::params::{BlockRef, LogFilter, LogRange, Params};
use super::render;
use super::rpc::{RpcError, View};
use crate::base::limits::{MODEL_FEED_BLOCKS, MODEL_FEEDS};
use std::cell::{Cell, RefCell};

/// What is subscribed to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    Heads,
    Logs(LogFilter),
    Pending { whole: bool },
    Syncing,
}

/// Blocks by which a node is behind when it says that it is syncing.
const SYNCING_BLOCKS: u64 = 8;

impl Subject {
    pub fn parse(params: Params<'_>) -> Result<Subject, RpcError> {
        let second_is_there = params.0.get(1).is_some_and(|value| !value.is_null());
        match params.text(0)? {
            "newHeads" => Ok(Subject::Heads),
            "logs" if second_is_there => params.log_filter(1).map(|filter| Subject::Logs(canonical(filter))),
            "logs" => Ok(Subject::Logs(LogFilter {
                range: LogRange::Span { from: BlockRef::Latest, to: BlockRef::Latest },
                addresses: Vec::new(),
                topics: Vec::new(),
            })),
            "newPendingTransactions" => Ok(Subject::Pending { whole: params.flag(1) }),
            "syncing" => Ok(Subject::Syncing),
            other => Err(RpcError::new(-32601, format!("no \"{other}\" subscription in eth namespace"))),
        }
    }

    /// Equal for two spellings of the same.
    pub fn key(&self) -> String {
        match self {
            Subject::Heads => "newHeads".to_owned(),
            Subject::Logs(filter) => format!("logs {:?} {:?} {:?}", filter.range, filter.addresses, filter.topics),
            Subject::Pending { whole } => format!("newPendingTransactions {whole}"),
            Subject::Syncing => "syncing".to_owned(),
        }
    }
}

fn canonical(mut filter: LogFilter) -> LogFilter {
    filter.addresses.sort_unstable();
    filter.addresses.dedup();
    for choices in &mut filter.topics {
        choices.sort_unstable();
        choices.dedup();
    }
    filter
}

/// Whether a subscription with this filter tells this log of a block at `height`.
pub fn selects(filter: &LogFilter, height: u64, log: &Log) -> bool {
    let in_range = match filter.range {
        LogRange::Block(_) => false,
        LogRange::Span { from, to } => {
            let above = !matches!(from, BlockRef::Height(from) if height < from);
            above && !matches!(to, BlockRef::Height(to) if height > to)
        }
    };
    in_range && log_query::matches(filter, log)
}

#[derive(Debug)]
struct Feed {
    id: String,
    subject: Subject,
    /// The request that asked for it: its answer opens it.
    request: u64,
    is_open: bool,
    /// Of pending transactions: how many the pool had accepted.
    seen_sent: u64,
    is_syncing: bool,
}

/// Something that a subscription is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The subscription's id.
    pub id: String,
    /// The height it is about, and whether it takes something back; a block's logs have this in common.
    pub block: Option<(u64, bool)>,
    /// Raw JSON.
    pub result: Vec<u8>,
}

/// What becomes of an answer to `eth_subscribe` beside its being late.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AnswerTurn {
    IsLost,
    /// With this id.
    IsFollowed(String),
}

/// A connection's subscriptions.
#[derive(Debug, Default)]
pub struct Feeds {
    live: RefCell<Vec<Feed>>,
    told: Cell<Tip>,
    /// Nothing is told on this connection any more.
    is_stalled: Cell<bool>,
    /// By how much the answer that is being written comes late.
    late_ms: Cell<u64>,
    /// It does not come, or another one comes behind it.
    turn: RefCell<Option<AnswerTurn>>,
}

impl Feeds {
    /// Adds one that is told nothing before `open`.
    pub fn add(&self, id: String, subject: Subject, request: u64) -> Result<(), RpcError> {
        let mut live = self.live.borrow_mut();
        if live.len() >= MODEL_FEEDS {
            return Err(RpcError::new(-32000, "too many subscriptions"));
        }
        live.push(Feed { id, subject, request, is_open: false, seen_sent: 0, is_syncing: false });
        Ok(())
    }

    /// Opens it before its answer, which comes `late_ms` late.
    pub fn open_early(&self, id: &str, late_ms: u64, view: &View<'_>) {
        self.be_late(late_ms);
        self.open_where(view, |feed| feed.id == id);
    }

    pub fn be_late(&self, late_ms: u64) {
        self.late_ms.set(self.late_ms.get().max(late_ms));
    }

    /// What `be_late` said since the last time.
    pub fn take_late_ms(&self) -> u64 {
        self.late_ms.take()
    }

    pub fn turn_answer(&self, turn: AnswerTurn) {
        self.turn.replace(Some(turn));
    }

    /// What `turn_answer` said since the last time.
    pub fn take_turn(&self) -> Option<AnswerTurn> {
        self.turn.take()
    }

    pub fn stall(&self) {
        self.is_stalled.set(true);
    }

    pub fn is_stalled(&self) -> bool {
        self.is_stalled.get()
    }

    /// Ends one; what it was about, if there was one.
    pub fn remove(&self, id: &str) -> Option<Subject> {
        let mut live = self.live.borrow_mut();
        let place = live.iter().position(|feed| feed.id == id)?;
        Some(live.remove(place).subject)
    }

    /// Ends all.
    pub fn take_all(&self) -> Vec<Subject> {
        self.live.take().into_iter().map(|feed| feed.subject).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.live.borrow().is_empty()
    }

    /// What `request` subscribed to is told from now on. The others were told up to `view` (`advance`).
    pub fn open(&self, request: u64, view: &View<'_>) {
        self.open_where(view, |feed| feed.request == request);
    }

    fn open_where(&self, view: &View<'_>, is_meant: impl Fn(&Feed) -> bool) {
        let mut live = self.live.borrow_mut();
        if !live.iter().any(|feed| feed.is_open) {
            self.told.set(view.tip());
        }
        for feed in live.iter_mut().filter(|feed| is_meant(feed) && !feed.is_open) {
            feed.is_open = true;
            feed.seen_sent = view.network.pool.borrow().accepted;
        }
    }

    /// What is new in `view`, in the order of telling.
    pub fn advance(&self, view: &View<'_>) -> Vec<Event> {
        let mut live = self.live.borrow_mut();
        let mut events = Vec::new();
        if !live.iter().any(|feed| feed.is_open) {
            return events;
        }
        let mut tell = |feed: &Feed, block, result| events.push(Event { id: feed.id.clone(), block, result });
        self.walk(&live, view, &mut tell);
        for feed in live.iter_mut().filter(|feed| feed.is_open) {
            match feed.subject {
                Subject::Pending { whole } => pending(feed, whole, view, &mut tell),
                Subject::Syncing => syncing(feed, view, &mut tell),
                Subject::Heads | Subject::Logs(_) => {}
            }
        }
        events
    }

    fn walk(&self, live: &[Feed], view: &View<'_>, tell: &mut impl Tell) {
        let (told, new) = (self.told.get(), view.tip());
        let shared = view.network.chain.forks.meet(told, new).unwrap_or(0);
        if shared == new.height {
            return;
        }
        self.told.set(new);
        let open = || live.iter().filter(|feed| feed.is_open);
        let oldest = (shared + 1).max(told.height.saturating_sub(MODEL_FEED_BLOCKS));
        let chain = &view.network.chain;
        for height in (oldest..=told.height).rev().filter(|height| chain.has_block(told.branch, *height)) {
            let block = view.network.block(told.branch, height);
            open().for_each(|feed| tell_logs(feed, &block, true, tell));
        }
        let oldest = (shared + 1).max(new.height.saturating_sub(MODEL_FEED_BLOCKS));
        let is_there = |height: &u64| view.hidden != Some(*height) && chain.has_block(new.branch, *height);
        for height in (oldest..=new.height).filter(is_there) {
            let block = view.network.block(new.branch, height);
            for feed in open().filter(|feed| feed.subject == Subject::Heads) {
                let mut out = Vec::new();
                render::header(&mut out, chain, &block);
                view.lie.inspect(|lie| lie.spoil(&mut out));
                tell(feed, Some((height, false)), out);
            }
            open().for_each(|feed| tell_logs(feed, &block, false, tell));
        }
    }
}

/// Takes an event's subscription, block and result.
trait Tell: FnMut(&Feed, Option<(u64, bool)>, Vec<u8>) {}
impl<T: FnMut(&Feed, Option<(u64, bool)>, Vec<u8>)> Tell for T {}

fn tell_logs(feed: &Feed, block: &Block, removed: bool, tell: &mut impl Tell) {
    let Subject::Logs(filter) = &feed.subject else { return };
    let mut found: Vec<_> = block.logs().filter(|(_, log)| selects(filter, block.height, log)).collect();
    if removed {
        found.reverse();
    }
    for (transaction, log) in found {
        let mut out = Vec::new();
        render::log(&mut out, block, transaction, log, removed);
        tell(feed, Some((block.height, removed)), out);
    }
}

fn pending(feed: &mut Feed, whole: bool, view: &View<'_>, tell: &mut impl Tell) {
    let pool = view.network.pool.borrow();
    let unseen = pool.accepted - std::mem::replace(&mut feed.seen_sent, pool.accepted);
    for hash in pool.newest(unseen) {
        let mut out = Vec::new();
        match pool.round_of(&hash).filter(|_| whole) {
            Some(round) => {
                // As it were if this view were the chain's.
                let Some(height) = view.network.chain.height_of(view.branch, round) else { continue };
                let block = view.network.block(view.branch, height);
                let Some(one) = block.transactions.iter().find(|one| one.hash == hash) else { continue };
                render::pending_transaction(&mut out, &view.network.chain, &block, one);
            }
            None => render::data(&mut out, &hash.0),
        }
        tell(feed, None, out);
    }
}

fn syncing(feed: &mut Feed, view: &View<'_>, tell: &mut impl Tell) {
    let is_syncing = view.tip - view.head.min(view.tip) > SYNCING_BLOCKS;
    if std::mem::replace(&mut feed.is_syncing, is_syncing) == is_syncing {
        return;
    }
    let mut out = Vec::new();
    if is_syncing {
        let mut object = render::Object::new(&mut out);
        object.raw("syncing", "true");
        let status = object.key("status");
        let mut inner = render::Object::new(status);
        inner.quantity("startingBlock", view.head);
        inner.quantity("currentBlock", view.head);
        inner.quantity("highestBlock", view.tip);
        inner.end();
        object.end();
    } else {
        out.extend_from_slice(b"false");
    }
    tell(feed, None, out);
}

#[cfg(test)]
#[path = "feeds_tests.rs"]
mod tests;
