//! What nodes advise each other: who asked us to ask less often, what an operator wants on every node, and, where that is wished,
//! what else was found out about a provider.
//!
//! One account is used by many nodes, so what one of them was told about it concerns all. A word stands for itself: it has an end, and
//! is said again while it is true. Nothing has to be taken back and nothing kept in step: a word that is not repeated (the node is gone,
//! the network parted) runs out, and everybody goes on alone. Words are of the node that says them; nobody passes another's on, so
//! no word outlives what was found. Orders are passed on, because they hold until another order: each carries a number above all that
//! its node had heard, and the highest wins everywhere.
//! Rejected: latencies (each region has its own), and verdicts taken over as they are (a peer's route to a provider is not ours: they
//! ask for a look of our own). Fails towards independence: what finds no room is not heard.

use super::frame::NAME_BYTES;
use super::secret::SessionId;
use crate::base::ids::Transport;
use crate::base::limits::{
    CLUSTER_ADVICE_GAP_MS, CLUSTER_ADVICE_KEPT_MS, CLUSTER_ADVICE_REPEAT_MS, CLUSTER_ORDERS, CLUSTER_WORDS, CLUSTER_WORDS_OF_ONE,
    RETRY_AFTER_MAX_MS,
};
use crate::base::time::Instant;
use crate::observe::question::Order;
use arrayvec::ArrayString;
use std::collections::BTreeMap;

/// An upstream, the same on every node that has it configured: its chain's number, and the first bytes of its fingerprint (URLs and
/// credentials).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct UpstreamKey {
    pub chain_number: u64,
    pub tag: u32,
}

/// What a word is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AdviceKind {
    /// It asked us to ask less often: milliseconds that are left.
    Rest,
    /// It serves this chain instead.
    WrongChain,
    /// It refuses our credentials.
    Credentials,
    /// The smallest range of logs that it rejects, in blocks.
    LogRange,
    /// The smallest depth at which its state is pruned, in blocks.
    Depth,
}

impl AdviceKind {
    pub const ALL: [AdviceKind; 5] =
        [AdviceKind::Rest, AdviceKind::WrongChain, AdviceKind::Credentials, AdviceKind::LogRange, AdviceKind::Depth];

    pub fn code(self) -> u8 {
        match self {
            AdviceKind::Rest => 1,
            AdviceKind::WrongChain => 2,
            AdviceKind::Credentials => 3,
            AdviceKind::LogRange => 4,
            AdviceKind::Depth => 5,
        }
    }
}

/// One word on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AdviceWord {
    pub upstream: UpstreamKey,
    pub transport: Transport,
    pub kind: AdviceKind,
    pub value: u64,
}

/// An operator's order for every node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SharedOrder {
    pub upstream: UpstreamKey,
    pub order: Order,
    /// Above every number that its node had heard; the node's session decides between equal ones.
    pub number: u64,
    pub session: SessionId,
    /// The name of the node at which it was given.
    pub node_id: ArrayString<NAME_BYTES>,
}

/// What one datagram carries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Advice {
    pub words: Vec<AdviceWord>,
    pub orders: Vec<SharedOrder>,
}

/// So that a full datagram fits with room for later fields.
pub const WORDS_AT_ONCE: usize = 24;
pub const ORDERS_AT_ONCE: usize = 3;

/// How much is heeded and told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AdvicePolicy {
    /// Nothing is told, nothing heeded.
    Off,
    /// Rests and orders.
    #[default]
    Usual,
    /// Also wrong chains, refused credentials and learnt limits.
    All,
}

impl AdvicePolicy {
    pub fn from_word(word: &str) -> Option<AdvicePolicy> {
        Some(match word {
            "off" => AdvicePolicy::Off,
            "usual" => AdvicePolicy::Usual,
            "all" => AdvicePolicy::All,
            _ => return None,
        })
    }

    pub fn allows(self, kind: AdviceKind) -> bool {
        match self {
            AdvicePolicy::Off => false,
            AdvicePolicy::Usual => kind == AdviceKind::Rest,
            AdvicePolicy::All => true,
        }
    }
}

/// What this node knows by itself. For a rest, its end; other words hold until they are left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnWord {
    pub word: AdviceWord,
    pub until: Instant,
}

/// What another node says, as long as it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeardWord {
    pub word: AdviceWord,
    pub session: SessionId,
    /// For a rest, its end; else when it is believed no more unless it is repeated.
    pub until: Instant,
}

/// All that others advise at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counsel {
    /// Each with the name of the node that says it.
    pub words: Vec<(HeardWord, ArrayString<NAME_BYTES>)>,
    /// Orders that were given at other nodes and stand.
    pub orders: Vec<SharedOrder>,
}

#[derive(Clone, Copy, Debug)]
struct KeptWord {
    value: u64,
    until: Instant,
    /// Not repeated by then, it is gone.
    kept_until: Instant,
}

/// What is to be told, and what was heard.
#[derive(Debug)]
pub struct AdviceBook {
    policy: AdvicePolicy,
    own: Vec<OwnWord>,
    heard: BTreeMap<(SessionId, UpstreamKey, Transport, AdviceKind), KeptWord>,
    orders: BTreeMap<UpstreamKey, SharedOrder>,
    /// When everything is told next, and when it was told last.
    due: Instant,
    told: Option<Instant>,
    has_changed: bool,
    /// Words and orders that found no room since the start.
    pub unheard: u64,
}

impl AdviceBook {
    pub fn new(policy: AdvicePolicy) -> AdviceBook {
        AdviceBook {
            policy,
            own: Vec::new(),
            heard: BTreeMap::new(),
            orders: BTreeMap::new(),
            due: Instant::ZERO,
            told: None,
            has_changed: false,
            unheard: 0,
        }
    }

    /// What this node knows now. What is new is told at once, or a moment after what was told last.
    pub fn know(&mut self, own: &[OwnWord], now: Instant) {
        let told = own.iter().filter(|own| self.policy.allows(own.word.kind)).take(CLUSTER_WORDS_OF_ONE);
        let own: Vec<OwnWord> = told.copied().collect();
        let is_news = own.iter().any(|word| !self.own.contains(word));
        self.own = own;
        if is_news {
            self.hurry(now);
        }
    }

    /// Somebody new has come.
    pub fn on_met(&mut self, now: Instant) {
        if !self.own.is_empty() || !self.orders.is_empty() {
            self.hurry(now);
        }
    }

    fn hurry(&mut self, now: Instant) {
        let soon = self.told.map_or(now, |told| told.plus_ms(CLUSTER_ADVICE_GAP_MS)).max(now);
        self.due = self.due.min(soon);
    }

    /// An order that was given here. False: there are too many.
    pub fn order(&mut self, upstream: UpstreamKey, order: Order, by: (SessionId, ArrayString<NAME_BYTES>), now: Instant) -> bool {
        let number = self.orders.values().map(|order| order.number).max().unwrap_or(0) + 1;
        let given = SharedOrder { upstream, order, number, session: by.0, node_id: by.1 };
        let has_room = self.policy != AdvicePolicy::Off && self.keep(given);
        if has_room {
            // Another node's order stands no longer.
            self.has_changed = true;
            self.hurry(now);
        }
        has_room
    }

    fn keep(&mut self, order: SharedOrder) -> bool {
        let have = self.orders.get(&order.upstream);
        if have.is_none() && self.orders.len() >= CLUSTER_ORDERS {
            // One that leaves everything to the rules is missed by nobody who has heard it.
            let oldest = self.orders.values().filter(|order| order.order == Order::Auto).min_by_key(|order| order.number);
            let Some(oldest) = oldest.map(|order| order.upstream) else { return false };
            self.orders.remove(&oldest);
        }
        self.orders.insert(order.upstream, order);
        true
    }

    pub fn hear(&mut self, session: SessionId, advice: Advice, now: Instant) {
        if self.policy == AdvicePolicy::Off {
            return;
        }
        let policy = self.policy;
        for word in advice.words.into_iter().filter(|word| policy.allows(word.kind)) {
            self.hear_word(session, word, now);
        }
        for order in advice.orders {
            self.hear_order(order, now);
        }
    }

    fn hear_word(&mut self, session: SessionId, word: AdviceWord, now: Instant) {
        let key = (session, word.upstream, word.transport, word.kind);
        let kept_until = now.plus_ms(CLUSTER_ADVICE_KEPT_MS);
        let until = match word.kind {
            AdviceKind::Rest => now.plus_ms(word.value.min(RETRY_AFTER_MAX_MS)),
            _ => kept_until,
        };
        let first = (session, UpstreamKey { chain_number: 0, tag: 0 }, Transport::Http, AdviceKind::Rest);
        let is_new = !self.heard.contains_key(&key);
        let of_session = || self.heard.range(first..).take_while(|((of, ..), _)| *of == session).count();
        if is_new && (self.heard.len() >= CLUSTER_WORDS || of_session() >= CLUSTER_WORDS_OF_ONE) {
            self.unheard += 1;
            return;
        }
        // A rest's end is told in milliseconds to go, so each repeat names it a little differently: the first stands unless it was moved.
        let had = self.heard.get(&key).copied();
        let is_same =
            |had: &KeptWord| word.kind == AdviceKind::Rest && until.max(had.until).since(until.min(had.until)).as_secs() < 2;
        let kept = match had.filter(is_same) {
            Some(had) => KeptWord { kept_until, ..had },
            None => KeptWord { value: word.value, until, kept_until },
        };
        self.has_changed |= had.is_none_or(|had| word.kind != AdviceKind::Rest || had.until != kept.until);
        self.heard.insert(key, kept);
    }

    fn hear_order(&mut self, order: SharedOrder, now: Instant) {
        let is_newer = |have: &SharedOrder| (order.number, order.session) > (have.number, have.session);
        if order.number > ORDER_NUMBER_MAX || !self.orders.get(&order.upstream).is_none_or(is_newer) {
            return;
        }
        match self.keep(order) {
            true => {
                self.has_changed = true;
                self.hurry(now);
            }
            false => self.unheard += 1,
        }
    }

    /// A node is gone, and its words with it.
    pub fn forget(&mut self, session: SessionId) {
        let before = self.heard.len();
        self.heard.retain(|(of, ..), _| *of != session);
        self.has_changed |= self.heard.len() != before;
    }

    /// What is to be told to everybody now.
    pub fn tick(&mut self, now: Instant) -> Vec<Advice> {
        let before = self.heard.len();
        self.heard.retain(|_, kept| kept.until > now && kept.kept_until > now);
        self.has_changed |= self.heard.len() != before;
        if now < self.due {
            return Vec::new();
        }
        (self.told, self.due) = (Some(now), now.plus_ms(CLUSTER_ADVICE_REPEAT_MS));
        let left = |own: &OwnWord| match own.word.kind {
            AdviceKind::Rest => AdviceWord { value: own.until.since(now).as_millis() as u64, ..own.word },
            _ => own.word,
        };
        let words: Vec<AdviceWord> = self.own.iter().filter(|own| own.until > now).map(left).collect();
        let orders: Vec<&SharedOrder> = self.orders.values().collect();
        let words = words.chunks(WORDS_AT_ONCE).map(|words| Advice { words: words.to_vec(), orders: Vec::new() });
        let orders = orders
            .chunks(ORDERS_AT_ONCE)
            .map(|orders| Advice { words: Vec::new(), orders: orders.iter().map(|order| (*order).clone()).collect() });
        words.chain(orders).collect()
    }

    /// What others advise, when it is not what it was. `own` is our session: what was ordered here is known here.
    pub fn take_counsel(&mut self, own: SessionId, name: impl Fn(SessionId) -> ArrayString<NAME_BYTES>) -> Option<Counsel> {
        if !std::mem::take(&mut self.has_changed) {
            return None;
        }
        let word = |(key, kept): (&(SessionId, UpstreamKey, Transport, AdviceKind), &KeptWord)| {
            let (session, upstream, transport, kind) = *key;
            let word = AdviceWord { upstream, transport, kind, value: kept.value };
            (HeardWord { word, session, until: kept.until }, name(session))
        };
        let orders = self.orders.values().filter(|order| order.session != own);
        Some(Counsel { words: self.heard.iter().map(word).collect(), orders: orders.cloned().collect() })
    }
}

/// A node would have to give orders for ever to count so far; one that says it has is not believed, since nobody could give a later one.
const ORDER_NUMBER_MAX: u64 = 1 << 48;

#[cfg(test)]
#[path = "advice_tests.rs"]
mod tests;
