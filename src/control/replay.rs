//! Recorded calls played against a node, at the times of their record: an open loop.
//!
//! Each call is due at a fixed moment after the beginning and is sent then, whatever became of those before it, and what it
//! took counts from that moment, not from when it could be sent: a node that stalls is not spared the calls of its stall.
//! The player's own lateness is measured beside it and told, since a player that is late measures itself. Calls go through a
//! shard's own client, so connections are kept, compressed answers read and WebSockets shared as towards a provider.

use crate::base::ids::{EntryId, Transport};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::chain::{hex, method};
use crate::observe::category::Category;
use crate::replay::made_up::{Ground, LeftOut};
use crate::replay::read::Record;
use crate::replay::score::{self, CallMix, LeftOutCounts, Note};
use crate::runtime::flag::Flag;
use crate::runtime::world::World;
use crate::shard::{Found, Shard, inquire};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// What a replay came to.
#[derive(Debug, Default)]
pub struct Played {
    pub mix: CallMix,
    /// By place in the record's methods.
    pub by_method: BTreeMap<u16, MethodPlayed>,
    /// How long after its moment each call was sent.
    pub late_us: Vec<u32>,
    pub left_out: LeftOutCounts,
    /// Calls that waited because too many were under way.
    pub held_back: u64,
    pub took: Duration,
}

#[derive(Debug, Default)]
pub struct MethodPlayed {
    /// From a call's moment to its answer.
    pub took_us: Vec<u32>,
    /// By category's word.
    pub failures: BTreeMap<&'static str, u64>,
}

/// A replay under way.
struct Player<W: World> {
    shard: Rc<Shard<W>>,
    record: Rc<Record>,
    /// By place in the record's chains.
    entries: Vec<EntryId>,
    under_way: RefCell<usize>,
    played: RefCell<Played>,
}

/// What stands on the chain behind an entry: its newest block. `Err`: the node does not answer for it.
pub async fn ground<W: World>(shard: &Shard<W>, entry: EntryId) -> Result<Ground, String> {
    #[derive(serde::Deserialize)]
    struct Newest {
        number: String,
        hash: String,
        #[serde(default)]
        transactions: Vec<serde_json::Value>,
    }
    const QUESTION: &[u8] = br#"{"jsonrpc":"2.0","id":"lasso-replay","method":"eth_getBlockByNumber","params":["latest",false]}"#;
    let method = method::lookup(b"eth_getBlockByNumber");
    match inquire(shard, entry, Transport::Http, method, QUESTION, limits::PROBE_TIMEOUT_MS).await {
        Found::Result(result, _) => {
            let newest: Newest = serde_json::from_slice(&result).map_err(|_| "its newest block cannot be read".to_owned())?;
            let quoted = |text: &str| serde_json::Value::from(text).to_string();
            let transaction = newest.transactions.first().and_then(|one| one.as_str());
            Ok(Ground {
                head: hex::parse_quantity(newest.number.as_bytes()).unwrap_or(0),
                block_hash: Some(quoted(&newest.hash)),
                transaction: transaction.map(quoted),
            })
        }
        found => Err(format!("it does not tell its newest block: {}", word(&found).unwrap_or("no answer"))),
    }
}

/// Plays the calls for whose chain there is ground, until the last is answered or `stop` is raised.
pub async fn play<W: World>(
    shard: &Rc<Shard<W>>,
    record: Rc<Record>,
    entries: Vec<EntryId>,
    grounds: &[Option<Ground>],
    (speed, stop): (f64, Arc<Flag>),
) -> Played {
    let world = shard.world().clone();
    let known: Vec<Ground> = grounds.iter().map(|ground| ground.clone().unwrap_or_default()).collect();
    let (under_way, played) = (RefCell::new(0), RefCell::default());
    let player = Rc::new(Player { shard: shard.clone(), record, entries, under_way, played });
    let (began, mut unpaused) = (world.now(), 0);
    for place in 0..player.record.calls.len() {
        let has_ground = |chain: u16| grounds.get(usize::from(chain)).is_some_and(Option::is_some);
        let note = match score::note(&player.record, place, &known, speed) {
            Some(Ok(note)) if has_ground(note.chain) => note,
            Some(Ok(_)) | None => continue,
            Some(Err(why)) => {
                player.leave_out(place, why);
                continue;
            }
        };
        let due = began + note.due;
        unpaused += 1;
        if due > world.now() || unpaused >= UNPAUSED {
            // Also when it is late: answers are read by tasks that must have their turn.
            world.sleep_until(due.max(world.now().plus_ms(u64::from(unpaused >= UNPAUSED) * WAIT_MS))).await;
            unpaused = 0;
        }
        player.hold_back(&world).await;
        if stop.is_raised() {
            break;
        }
        player.send(&world, note, due, place);
    }
    let until = world.now().plus_ms(limits::REPLAY_TIMEOUT_MS);
    while *player.under_way.borrow() > 0 && world.now() < until {
        world.sleep_until(world.now().plus_ms(WAIT_MS)).await;
    }
    Played { took: world.now().since(began), ..player.played.take() }
}

const WAIT_MS: u64 = 1;
/// Calls that are sent in one go when the player is late.
const UNPAUSED: u32 = 64;

impl<W: World> Player<W> {
    fn leave_out(&self, place: usize, why: LeftOut) {
        let name = self.record.calls.get(place).map_or("", |call| self.record.method(call));
        *self.played.borrow_mut().left_out.entry((name.into(), why)).or_default() += 1;
    }

    /// Waits while too many calls are under way; the call that waits is late, and told so.
    async fn hold_back(&self, world: &W) {
        if *self.under_way.borrow() < limits::REPLAY_UNDER_WAY {
            return;
        }
        self.played.borrow_mut().held_back += 1;
        while *self.under_way.borrow() >= limits::REPLAY_UNDER_WAY {
            world.sleep_until(world.now().plus_ms(WAIT_MS)).await;
        }
    }

    fn send(self: &Rc<Self>, world: &W, note: Note, due: Instant, place: usize) {
        let late = world.now().since(due);
        {
            let mut played = self.played.borrow_mut();
            played.late_us.push(us(late));
            if let Some(call) = self.record.calls.get(place) {
                played.mix.add(&self.record, call);
            }
        }
        *self.under_way.borrow_mut() += 1;
        let player = self.clone();
        world.spawn("replayed call", async move { player.call(note, due, place).await });
    }

    async fn call(self: Rc<Self>, note: Note, due: Instant, place: usize) {
        let name = self.record.methods.get(usize::from(note.method)).map_or("", |name| name);
        let quoted = serde_json::Value::from(name).to_string();
        let body = format!(r#"{{"jsonrpc":"2.0","id":{place},"method":{quoted},"params":{}}}"#, note.params);
        let found = match self.entries.get(usize::from(note.chain)) {
            Some(entry) => {
                let method = method::lookup(name.as_bytes());
                inquire(&self.shard, *entry, note.transport, method, body.as_bytes(), limits::REPLAY_TIMEOUT_MS).await
            }
            None => Found::Unasked,
        };
        let took = self.shard.world().now().since(due);
        let mut played = self.played.borrow_mut();
        let told = played.by_method.entry(note.method).or_default();
        told.took_us.push(us(took));
        if let Some(word) = word(&found) {
            *told.failures.entry(word).or_default() += 1;
        }
        *self.under_way.borrow_mut() -= 1;
    }
}

fn us(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// What was no result, in a word.
fn word(found: &Found) -> Option<&'static str> {
    match found {
        Found::Result(..) => None,
        Found::Limited { .. } => Some(Category::RateLimit.word()),
        Found::Auth => Some(Category::Auth.word()),
        Found::Unasked => Some("not_sent"),
        Found::Failed(category) => Some(category.word()),
    }
}
