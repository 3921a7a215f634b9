//! What the machines ask for: a block, or a block's logs, of one provider, and of a second one where the first is silent for a
//! while.
//!
//! Logs are asked for by block hash, so an answer cannot be of another fork (EIP-234). A node that does not know that form is
//! asked by number, with the block's hash looked at before and after; one that finds a block's logs too many is asked for
//! its receipts. A transport that fails is followed by the other one at once. Whose answer is believed is the machines'
//! affair.

use super::News;
use super::feed::FeedId;
use super::follower::FollowerId;
use super::sources::Views;
use crate::base::ids::{EntryId, InstanceId, Transport};
use crate::base::limits;
use crate::base::time::Instant;
use crate::chain::{hex, method};
use crate::observe::category::{Category, Class};
use crate::runtime::world::World;
use crate::shard::{Found, Shard, inquire};
use crate::snapshot::Snapshot;
use crate::stream::continuity::{Ask, Opinions};
use crate::stream::event::{BlockHash, Head, Log};
use crate::stream::fanout::Topic;
use crate::stream::logs::LogsQuestion;
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;

/// Whose answer it is: two machines may ask different things of one block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asker {
    Shared,
    Resumption(u64),
}

pub enum Wanted {
    Block(Ask),
    /// What these have in the place of a block.
    Opinions {
        number: u64,
        hash: BlockHash,
        others: Vec<EntryId>,
    },
    Logs(LogsQuestion, Asker),
}

/// One fetch, and whom to ask.
pub struct Order {
    follower: FollowerId,
    /// Nobody could be asked.
    entry: Option<(EntryId, InstanceId)>,
    /// Asked too where the first is silent for a while.
    second: Option<(EntryId, InstanceId)>,
    wanted: Wanted,
}

/// What came of it, and who did not give it.
pub enum Filled {
    Block {
        follower: FollowerId,
        ask: Ask,
        failed: Option<InstanceId>,
        block: Option<Box<Head>>,
    },
    Opinions {
        follower: FollowerId,
        number: u64,
        hash: BlockHash,
        opinions: Opinions,
    },
    Logs {
        follower: FollowerId,
        asker: Asker,
        block: BlockHash,
        by: Option<InstanceId>,
        failed: Option<InstanceId>,
        logs: Result<Vec<Log>, NoLogs>,
    },
}

/// Why there are none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoLogs {
    /// It wants to be left alone until then.
    Limited {
        until: Instant,
    },
    /// It does not answer such a question.
    Refused,
    Failed,
}

impl Filled {
    pub fn follower(&self) -> FollowerId {
        match self {
            Filled::Block { follower, .. } | Filled::Opinions { follower, .. } | Filled::Logs { follower, .. } => *follower,
        }
    }

    /// Who was asked and gave nothing, or not before another one did.
    pub fn failed(&self) -> Option<InstanceId> {
        match self {
            Filled::Block { failed, .. } | Filled::Logs { failed, .. } => *failed,
            Filled::Opinions { .. } => None,
        }
    }

    pub fn is_success(&self) -> bool {
        match self {
            Filled::Block { block, .. } => block.is_some(),
            Filled::Opinions { .. } => true,
            Filled::Logs { logs, .. } => logs.is_ok(),
        }
    }
}

/// The instances of feeds, in their order, each once.
pub fn instances_of(feeds: impl Iterator<Item = FeedId>) -> Vec<InstanceId> {
    let mut seen = Vec::new();
    for feed in feeds {
        if !seen.contains(&feed.instance) {
            seen.push(feed.instance);
        }
    }
    seen
}

impl Order {
    #[cfg(test)]
    pub fn follower(&self) -> FollowerId {
        self.follower
    }

    /// The block that is held against what others have.
    #[cfg(test)]
    pub fn compared(&self) -> Option<(u64, BlockHash)> {
        match self.wanted {
            Wanted::Opinions { number, hash, .. } => Some((number, hash)),
            Wanted::Block(_) | Wanted::Logs(..) => None,
        }
    }

    /// To one instance of the route's chain, or to nobody.
    pub fn to(
        instance: Option<InstanceId>,
        follower: FollowerId,
        (route, snapshot): (&Topic, &Snapshot),
        wanted: Wanted,
    ) -> Order {
        let entry = instance.and_then(|instance| Some((entry_of(instance, route, snapshot)?, instance)));
        Order { follower, entry, second: None, wanted }
    }

    /// Where the first is silent for a while, this one is asked too.
    pub fn or_else(self, second: Option<InstanceId>, views: &Views<'_>) -> Order {
        let second = second.and_then(|one| Some((entry_of(one, views.route, views.around.snapshot)?, one)));
        Order { second, ..self }
    }
}

/// The entry of an instance among the route's providers.
pub fn entry_of(instance: InstanceId, route: &Topic, snapshot: &Snapshot) -> Option<EntryId> {
    let chain = snapshot.chain(route.profile, route.chain);
    let (id, _) = chain.providers.iter().find(|(_, provider)| provider.instance == instance)?;
    Some(chain.entry(id))
}

pub async fn carry_out<W: World>(shard: Rc<Shard<W>>, order: Order, news: Rc<News>) {
    let Order { follower, entry, second, wanted } = order;
    let filled = match wanted {
        Wanted::Block(ask) => {
            let one = |of: (EntryId, InstanceId)| {
                let shard = &shard;
                async move { (block(shard, of.0, ask).await, Some(of.1)) }
            };
            let (block, by) = match entry {
                Some(first) => hedged(&shard, one(first), second.map(one), |(block, _)| block.is_some()).await,
                None => (None, None),
            };
            let first = entry.map(|(_, first)| first);
            Filled::Block { follower, ask, failed: first.filter(|_| block.is_none() || by != first), block: block.map(Box::new) }
        }
        Wanted::Opinions { number, hash, others } => {
            let own = entry.map(|(entry, _)| entry);
            let opinions = opinions(&shard, own, &others, (number, hash)).await;
            Filled::Opinions { follower, number, hash, opinions }
        }
        Wanted::Logs(question, asker) => {
            let one = |of: (EntryId, InstanceId)| {
                let (shard, question) = (&shard, &question);
                async move { (logs(shard, of.0, question).await, Some(of.1)) }
            };
            let (logs, by) = match entry {
                Some(first) => hedged(&shard, one(first), second.map(one), |(logs, _)| logs.is_ok()).await,
                None => (Err(NoLogs::Failed), None),
            };
            let first = entry.map(|(_, first)| first);
            Filled::Logs {
                follower,
                asker,
                block: question.block,
                by,
                failed: first.filter(|_| logs.is_err() || by != first),
                logs,
            }
        }
    };
    news.fill(filled);
}

/// What the first says; where that takes a while, the second is asked too, and the first answer of either counts. Without one, it is
/// what the first came to.
async fn hedged<W: World, T, F: Future<Output = T>>(
    shard: &Shard<W>,
    first: F,
    second: Option<F>,
    is_answer: impl Fn(&T) -> bool,
) -> T {
    let Some(second) = second else { return first.await };
    let late = shard.world().sleep_until(shard.world().now().plus_ms(limits::FILL_HEDGE_MS));
    let first = pin!(first);
    let first = match select(first, pin!(late)).await {
        Either::Left((told, _)) => return told,
        Either::Right((_, first)) => first,
    };
    match select(first, pin!(second)).await {
        Either::Left((told, second)) if !is_answer(&told) => Some(second.await).filter(|told| is_answer(told)).unwrap_or(told),
        Either::Right((told, first)) if !is_answer(&told) => first.await,
        Either::Left((told, _)) | Either::Right((told, _)) => told,
    }
}

async fn block<W: World>(shard: &Shard<W>, entry: EntryId, ask: Ask) -> Option<Head> {
    let mut params = b"[\"".to_vec();
    let method = match ask {
        Ask::Latest => {
            params.extend_from_slice(b"latest");
            "eth_getBlockByNumber"
        }
        Ask::Number(number) | Ask::Compare { number, .. } => {
            hex::write_quantity(&mut params, number);
            "eth_getBlockByNumber"
        }
        Ask::Hash(hash) | Ask::Witness(hash) => {
            hex::write_bytes(&mut params, &hash.0);
            "eth_getBlockByHash"
        }
    };
    params.extend_from_slice(b"\",false]");
    Head::of_block(&ask_for(shard, entry, method, &params).await?)
}

/// What others have at a block's height, one after the other until one has it too. Who has another one may be about to change
/// its mind, so they are asked again; at last whoever leads is asked for its own block.
async fn opinions<W: World>(
    shard: &Shard<W>,
    own: Option<EntryId>,
    others: &[EntryId],
    (number, hash): (u64, BlockHash),
) -> Opinions {
    let mut opinions = Opinions::default();
    for round in 0..limits::OPINION_ROUNDS {
        if round > 0 {
            shard.world().sleep_until(shard.world().now().plus_ms(limits::FILL_RETRY_MS)).await;
        }
        opinions.denials = 0;
        for other in others {
            let other = soon(shard, block(shard, *other, Ask::Number(number))).await;
            // Some give their newest block for any above it.
            let other = other.filter(|other| other.number == number);
            opinions.is_shared = other.as_ref().is_some_and(|other| other.hash == hash);
            if opinions.is_shared {
                return opinions;
            }
            opinions.denials += u32::from(other.is_some());
        }
        if opinions.denials == 0 {
            return opinions;
        }
    }
    if let Some(own) = own {
        opinions.is_own = soon(shard, block(shard, own, Ask::Hash(hash))).await.is_some_and(|block| block.hash == hash);
    }
    opinions
}

/// Nothing, where it takes too long.
async fn soon<W: World>(shard: &Shard<W>, block: impl Future<Output = Option<Head>>) -> Option<Head> {
    let late = shard.world().sleep_until(shard.world().now().plus_ms(limits::OPINION_MS));
    match select(pin!(block), pin!(late)).await {
        Either::Left((block, _)) => block,
        Either::Right(_) => None,
    }
}

/// A block's logs as the provider has them: nothing here says that they are all of them.
async fn logs<W: World>(shard: &Shard<W>, entry: EntryId, question: &LogsQuestion) -> Result<Vec<Log>, NoLogs> {
    let mut params = vec![b'['];
    question.filter.write_for_block(&mut params, question.block);
    params.push(b']');
    match asked(shard, entry, "eth_getLogs", &params).await {
        Found::Result(result, _) => Log::parse_all(&result).ok_or(NoLogs::Failed),
        Found::Failed(Category::ResultTooLarge | Category::BlockRangeTooLarge) => receipts(shard, entry, question).await,
        // It may not know the form.
        Found::Failed(category) if category.class() == Class::Deterministic => by_number(shard, entry, question).await,
        other => Err(no_logs(shard, &other)),
    }
}

async fn receipts<W: World>(shard: &Shard<W>, entry: EntryId, question: &LogsQuestion) -> Result<Vec<Log>, NoLogs> {
    let mut params = b"[\"".to_vec();
    hex::write_bytes(&mut params, &question.block.0);
    params.extend_from_slice(b"\"]");
    match asked(shard, entry, "eth_getBlockReceipts", &params).await {
        Found::Result(result, _) => {
            let mut logs = Log::parse_receipts(&result).ok_or(NoLogs::Failed)?;
            logs.retain(|log| question.filter.matches(log));
            Ok(logs)
        }
        other => Err(no_logs(shard, &other)),
    }
}

async fn by_number<W: World>(shard: &Shard<W>, entry: EntryId, question: &LogsQuestion) -> Result<Vec<Log>, NoLogs> {
    let is_still_there = async || {
        let block = block(shard, entry, Ask::Number(question.number)).await;
        if block.is_some_and(|block| block.hash == question.block) { Ok(()) } else { Err(NoLogs::Failed) }
    };
    is_still_there().await?;
    let mut params = vec![b'['];
    question.filter.write_for_number(&mut params, question.number);
    params.push(b']');
    let logs = match asked(shard, entry, "eth_getLogs", &params).await {
        Found::Result(result, _) => Log::parse_all(&result).ok_or(NoLogs::Failed)?,
        other => return Err(no_logs(shard, &other)),
    };
    is_still_there().await?;
    Ok(logs)
}

fn no_logs<W: World>(shard: &Shard<W>, found: &Found) -> NoLogs {
    match found {
        Found::Limited { hint_ms } => {
            NoLogs::Limited { until: shard.world().now().plus_ms(hint_ms.unwrap_or(limits::FILL_REST_MS)) }
        }
        Found::Failed(category) if category.class() == Class::Deterministic => NoLogs::Refused,
        Found::Result(..) | Found::Auth | Found::Unasked | Found::Failed(_) => NoLogs::Failed,
    }
}

/// The transports that it may be asked over, the better first: HTTP, where it is spoken and its circuit is closed.
fn transports_of<W: World>(shard: &Shard<W>, entry: EntryId) -> impl Iterator<Item = Transport> {
    let snapshot = shard.latest();
    let mut ways = [Transport::Http, Transport::Ws].map(|way| snapshot.has_channel(entry, way).then_some(way));
    if ways.iter().all(Option::is_some) && snapshot.is_open(entry, Transport::Http) && !snapshot.is_open(entry, Transport::Ws) {
        ways.reverse();
    }
    ways.into_iter().flatten()
}

/// One transport after the other, while it is the connection that fails.
async fn asked<W: World>(shard: &Shard<W>, entry: EntryId, method: &str, params: &[u8]) -> Found {
    let before = format!(r#"{{"jsonrpc":"2.0","id":"lasso-fill","method":"{method}","params":"#);
    let body = [before.as_bytes(), params, b"}"].concat();
    let mut last = Found::Unasked;
    let instance = shard.latest().topology.entries.get(entry).map(|place| place.instance);
    for transport in transports_of(shard, entry) {
        let now = shard.world().now();
        if transport == Transport::Ws && instance.is_some_and(|instance| shard.links().is_resting(instance, now)) {
            continue;
        }
        last = inquire(shard, entry, transport, method::lookup(method.as_bytes()), &body, limits::FILL_TIMEOUT_MS).await;
        // A page in the place of an answer says nothing of the other way either.
        let is_broken =
            |category: &Category| category.class() == Class::ProviderFailure || *category == Category::RequestRejected;
        let is_broken = matches!(&last, Found::Failed(category) if is_broken(category));
        if !is_broken && last != Found::Unasked {
            break;
        }
    }
    last
}

async fn ask_for<W: World>(shard: &Shard<W>, entry: EntryId, method: &str, params: &[u8]) -> Option<Vec<u8>> {
    match asked(shard, entry, method, params).await {
        Found::Result(result, _) => Some(result),
        Found::Limited { .. } | Found::Auth | Found::Unasked | Found::Failed(_) => None,
    }
}
