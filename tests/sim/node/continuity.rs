//! What one subscription was told, judged against the model chain.
//!
//! The chain knows every block of every branch, so an event is checked for itself (its block exists and says just this) and
//! against what the subscription was told before: parents before children, nothing twice, nothing left out, and what a reorg
//! drops is taken back. Which branch was canonical for which provider when is not asked here: a client cannot know either.

use lasso::demo::chain_model::Block;
use lasso::demo::feeds::{Subject, selects};
use lasso::demo::forks::Tip;
use lasso::demo::identity::{Hash, Kind, Name};
use lasso::demo::params::{LogFilter, Params};
use lasso::demo::render;
use lasso::demo::rpc::Network;
use lasso::runtime::world::{Duration, Instant};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// The model chain, with the blocks that were looked at.
pub struct Truth {
    pub network: Rc<Network>,
    /// A provider's headers have blooms of zeros, and nobody can tell its clients that it lies.
    pub has_odd_blooms: bool,
    blocks: RefCell<HashMap<Hash, Rc<Known>>>,
}

struct Known {
    /// Its own branch and height.
    tip: Tip,
    block: Block,
    header: Value,
    logs: Vec<Value>,
}

fn value(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    serde_json::from_slice(&out).expect("the model writes JSON")
}

fn hash_of(event: &Value, name: &str) -> Result<Hash, String> {
    let list = [event[name].clone()];
    Params(&list).hash(0).map_err(|_| format!("no {name}: {event}"))
}

impl Truth {
    pub fn new(network: Rc<Network>) -> Truth {
        Truth { network, has_odd_blooms: false, blocks: RefCell::default() }
    }

    fn known(&self, hash: Hash) -> Result<Rc<Known>, String> {
        if let Some(known) = self.blocks.borrow().get(&hash) {
            return Ok(known.clone());
        }
        let chain = &self.network.chain;
        let is_block = |name: &Name| name.kind == Kind::Block && chain.has_block(name.branch, name.height);
        let name = chain.name(&hash).filter(is_block).ok_or("a block of no chain")?;
        let block = self.network.block(name.branch, name.height);
        let header = value(|out| render::header(out, chain, &block));
        let logs = block.logs().map(|(of, log)| value(|out| render::log(out, &block, of, log, false))).collect();
        let known = Rc::new(Known { tip: Tip { branch: name.branch, height: name.height }, block, header, logs });
        self.blocks.borrow_mut().insert(hash, known.clone());
        Ok(known)
    }

    fn at(&self, branch: u32, height: u64) -> Rc<Known> {
        self.known(self.network.chain.block_hash(branch, height)).expect("the chain's own block")
    }

    /// The blocks on the path of `branch` from `low` to `high`.
    fn path(&self, branch: u32, low: u64, high: u64) -> impl DoubleEndedIterator<Item = Tip> {
        let chain = &self.network.chain;
        let there = (low..=high).filter(move |height| chain.has_block(branch, *height));
        there.map(move |height| Tip { branch: chain.forks.owner(branch, height), height })
    }

    fn parent(&self, tip: Tip) -> Tip {
        let height = self.network.chain.parent_of(tip.branch, tip.height).unwrap_or(0);
        Tip { branch: self.network.chain.forks.owner(tip.branch, height), height }
    }

    /// Whether a block is newer than what a subscription of this round can have known, and was not there already when its chain fell.
    fn is_newer(&self, tip: Tip, since: Since) -> bool {
        let chain = &self.network.chain;
        let fell_at = chain.forks.fell_at(tip.branch);
        let known = if fell_at > Instant::ZERO { since.life.max(chain.round_at(fell_at)) } else { since.first };
        chain.round_of(tip.branch, tip.height) > known
    }

    /// Whether `below` is on the path of `above`.
    fn is_ancestor(&self, below: Tip, above: Tip) -> bool {
        below.height <= above.height && self.network.chain.forks.owner(above.branch, below.height) == below.branch
    }

    /// The canonical block of `now`.
    pub fn canonical(&self, now: Instant) -> Tip {
        let chain = &self.network.chain;
        Tip { branch: chain.forks.canonical(now), height: chain.height_at(now) }
    }
}

/// Rounds after which everything is promised.
#[derive(Clone, Copy, Debug)]
struct Since {
    /// The round of the first confirmation: no newer block can have been known then.
    first: u64,
    /// The round of the beginning of this life, the block from which it went on: of a chain that begins anew its node knows no earlier one.
    life: u64,
}

/// One subscription from its confirmation on.
pub struct View {
    since: Since,
    confirmed: Instant,
    kind: KindOfView,
    /// When something was last told of it, or could have been.
    pub heard: Instant,
    /// When it was last told of a reorg: what that brought anew may still be asked for.
    turned: Instant,
    /// It went on from an earlier life.
    has_resumed: bool,
}

enum KindOfView {
    Heads(Heads),
    Logs(Logs),
    Passed(Passed),
}

#[derive(Default)]
struct Heads {
    /// Told and not dropped, oldest first; and when the subscription was told the newest so far, oldest first.
    chain: Vec<Tip>,
    newest: Vec<(Instant, Tip)>,
    /// Everything told, in order.
    told: Vec<Tip>,
    has_resumed: bool,
    is_strict: bool,
}

struct Logs {
    filter: LogFilter,
    /// Told and not taken back.
    live: Vec<Place>,
    has_resumed: bool,
}

/// What is passed on as it comes: pending transactions, or syncing.
struct Passed {
    subject: Subject,
    transactions: HashSet<Hash>,
    /// Of syncing, the last word.
    last: Option<Value>,
}

/// A log: its block, and its place in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    tip: Tip,
    index: usize,
}

impl View {
    /// `is_strict`: nothing that one provider alone says may be told.
    pub fn new(truth: &Truth, params: &Value, is_strict: bool, now: Instant) -> View {
        let list = params.as_array().cloned().unwrap_or_default();
        // Where rounds pass without a block, a height says nothing about who has which.
        let is_strict = is_strict && truth.network.chain.null_rounds == 0;
        let kind = match Subject::parse(Params(&list)) {
            Ok(Subject::Heads) => KindOfView::Heads(Heads { is_strict, ..Heads::default() }),
            Ok(Subject::Logs(filter)) => KindOfView::Logs(Logs { filter, live: Vec::new(), has_resumed: false }),
            Ok(subject) => KindOfView::Passed(Passed { subject, transactions: HashSet::new(), last: None }),
            Err(fault) => panic!("not in this story: {fault:?}"),
        };
        let round = truth.network.chain.round_at(now);
        View { since: Since { first: round, life: round }, confirmed: now, kind, heard: now, turned: now, has_resumed: false }
    }

    /// Where a later life of it can go on without a hole or a repeat: the last head that it was told, or the block below its
    /// last log, because there may be more of that block.
    pub fn resume_point(&self, truth: &Truth) -> Option<Hash> {
        let tip = self.goes_on_from(truth)?;
        Some(truth.network.chain.block_hash(tip.branch, tip.height))
    }

    fn goes_on_from(&self, truth: &Truth) -> Option<Tip> {
        match &self.kind {
            KindOfView::Heads(heads) => heads.last(),
            KindOfView::Logs(logs) => Some(truth.parent(logs.live.last()?.tip)),
            KindOfView::Passed(_) => None,
        }
    }

    /// It goes on above its resume point: what it was told of later blocks is forgotten, and owed again.
    pub fn resume(&mut self, truth: &Truth) {
        let Some(point) = self.goes_on_from(truth) else { return };
        self.since.life = truth.network.chain.round_of(point.branch, point.height);
        if let KindOfView::Logs(logs) = &mut self.kind {
            logs.live.retain(|place| truth.is_ancestor(place.tip, point));
            self.since.first = if logs.live.is_empty() { self.since.life } else { self.since.first };
        }
        match &mut self.kind {
            KindOfView::Heads(heads) => heads.has_resumed = true,
            KindOfView::Logs(logs) => logs.has_resumed = true,
            KindOfView::Passed(_) => {}
        }
        self.has_resumed = true;
    }

    pub fn on_confirmed(&mut self, now: Instant) {
        (self.confirmed, self.heard, self.turned) = (now, now, now);
    }

    pub fn has_resumed(&self) -> bool {
        self.has_resumed
    }

    pub fn is_heads(&self) -> bool {
        matches!(self.kind, KindOfView::Heads(_))
    }

    pub fn is_passed(&self) -> bool {
        matches!(self.kind, KindOfView::Passed(_))
    }

    pub fn confirmed(&self) -> Instant {
        self.confirmed
    }

    /// The heads it was told, in order.
    pub fn told(&self) -> &[Tip] {
        match &self.kind {
            KindOfView::Heads(heads) => &heads.told,
            KindOfView::Logs(_) | KindOfView::Passed(_) => &[],
        }
    }

    /// Judges one event; how many heads it drops.
    pub fn on_event(&mut self, truth: &Truth, event: &Value, now: Instant) -> Result<u64, String> {
        self.heard = now;
        let dropped = match &mut self.kind {
            KindOfView::Heads(heads) => heads.on_event(truth, self.since, event, now)?,
            KindOfView::Logs(logs) => logs.on_event(truth, self.since, event).map(|()| 0)?,
            KindOfView::Passed(passed) => passed.on_event(truth, event).map(|()| 0)?,
        };
        if dropped > 0 || event["removed"] == true {
            self.turned = now;
        }
        Ok(dropped)
    }

    /// The newest head that was told by then and is canonical still, by what was told since.
    pub fn settled(&self, then: Instant) -> Option<Tip> {
        let KindOfView::Heads(heads) = &self.kind else { return None };
        heads.newest.iter().rev().find(|(at, _)| *at <= then).map(|(_, tip)| *tip)
    }

    /// Logs of a head that its connection was told by then must have been told, and those of other branches taken back.
    pub fn has_logs_to(&self, truth: &Truth, tip: Tip, then: Instant) -> Result<(), String> {
        match &self.kind {
            KindOfView::Logs(logs) if self.confirmed < then => logs.is_complete_to(truth, self.since, tip),
            KindOfView::Heads(_) | KindOfView::Logs(_) | KindOfView::Passed(_) => Ok(()),
        }
    }

    /// Nothing of what was canonical at `then` may be left out. A reorg since then may still be on its way.
    pub fn is_complete(&self, truth: &Truth, then: Instant, now: Instant) -> Result<(), String> {
        let (canonical, settled) = (truth.canonical(now), truth.canonical(then));
        // A chain that fell, or turned to a branch that has no block of its own yet, is heard of by its next block: nobody
        // announces an ancestor of what was announced.
        let is_fallen = !truth.is_newer(settled, Since { first: 0, life: 0 }) && settled.branch != 0;
        let is_bare = truth.network.chain.forks.owner(settled.branch, settled.height) != settled.branch;
        if is_bare || truth.network.chain.forks.has_turned(then, now) || self.turned > then || is_fallen {
            return Ok(());
        }
        match &self.kind {
            KindOfView::Heads(heads) => heads.is_complete(truth, self.since, settled),
            KindOfView::Logs(logs) => logs.is_complete(truth, self.since, settled, canonical),
            // What a provider lost, nobody can be asked for.
            KindOfView::Passed(_) => Ok(()),
        }
    }
}

impl Heads {
    fn on_event(&mut self, truth: &Truth, since: Since, event: &Value, now: Instant) -> Result<u64, String> {
        let number = event["number"].as_str().and_then(|hex| u64::from_str_radix(hex.trim_start_matches("0x"), 16).ok());
        let is_lowest = || self.chain.first().zip(number).is_none_or(|(first, number)| number <= first.height);
        let known = match truth.known(hash_of(event, "hash")?) {
            // What its leader alone announces passes where nothing below it was told and nobody else answers: for the beginning, or
            // for a fork below it.
            Err(_) if !self.is_strict && is_lowest() => {
                self.chain.clear();
                return Ok(0);
            }
            known => known?,
        };
        let tip = known.tip;
        let is_odd = |key: &str| key == "logsBloom" && truth.has_odd_blooms;
        let says_so = |(key, value): (&String, &Value)| event[key] == *value || is_odd(key);
        let says_so = known.header.as_object().is_some_and(|header| header.iter().all(says_so));
        if !says_so || event.get("transactions").is_some() {
            return Err(format!("not the head of its block: {event}"));
        }
        if tip.height > truth.network.chain.tip_at(tip.branch, now) {
            return Err(format!("{tip:?} is not there yet"));
        }
        if self.chain.contains(&tip) {
            return Err(format!("{tip:?} twice, after {:?}", self.last()));
        }
        let parent = truth.parent(tip);
        let Some(first) = self.chain.first().copied() else {
            if truth.is_newer(parent, since) {
                return Err(format!("begins with {tip:?}: a hole below it, for {since:?} was the newest at the confirmation"));
            }
            self.push(tip, now);
            return Ok(0);
        };
        if self.chain.iter().any(|other| truth.is_ancestor(tip, *other)) {
            return Err(format!("{tip:?} after its descendant {:?}", self.last()));
        }
        let (old, before) = (self.last(), self.chain.len());
        match self.chain.iter().position(|other| *other == parent) {
            Some(place) => self.chain.truncate(place + 1),
            // Below its beginning the subscription was told nothing that could be linked to.
            None if parent.height < first.height => self.chain.clear(),
            // A chain that fell begins anew below all that its node has told: that an earlier life was told more, it cannot know.
            None if self.has_resumed && !truth.is_newer(parent, since) => self.chain.clear(),
            None => return Err(format!("a hole: {tip:?} after {old:?}, without {parent:?}")),
        }
        let dropped = before - self.chain.len();
        self.push(tip, now);
        Ok(dropped as u64)
    }

    fn last(&self) -> Option<Tip> {
        self.chain.last().copied()
    }

    fn push(&mut self, tip: Tip, now: Instant) {
        self.chain.push(tip);
        self.newest.retain(|(_, other)| self.chain.contains(other));
        self.newest.push((now, tip));
        self.told.push(tip);
    }

    fn is_complete(&self, truth: &Truth, since: Since, settled: Tip) -> Result<(), String> {
        let want = truth.at(settled.branch, settled.height).tip;
        let has = self.chain.contains(&want) || !truth.is_newer(want, since);
        if has { Ok(()) } else { Err(format!("{want:?} was not told; the newest is {:?}", self.last())) }
    }
}

impl Logs {
    fn on_event(&mut self, truth: &Truth, since: Since, event: &Value) -> Result<(), String> {
        let known = truth.known(hash_of(event, "blockHash")?)?;
        let is_removed = event["removed"] == true;
        let mut plain = event.clone();
        plain["removed"] = Value::Bool(false);
        let said = event["logIndex"].as_str().and_then(|hex| usize::from_str_radix(hex.trim_start_matches("0x"), 16).ok());
        let is_there = |index: &usize| known.logs.get(*index) == Some(&plain);
        let index = said.filter(is_there).ok_or_else(|| format!("no log of its block: {event}"))?;
        let place = Place { tip: known.tip, index };
        if !self.selects(&known, index) {
            return Err(format!("{place:?} is not asked for"));
        }
        if is_removed { self.take_back(truth, place, since) } else { self.add(truth, place, since) }
    }

    fn selects(&self, known: &Known, index: usize) -> bool {
        known.block.logs().nth(index).is_some_and(|(_, log)| selects(&self.filter, known.tip.height, log))
    }

    fn take_back(&mut self, truth: &Truth, place: Place, since: Since) -> Result<(), String> {
        match self.live.pop() {
            Some(last) if last == place => Ok(()),
            Some(last) => Err(format!("takes back {place:?}, the newest is {last:?}")),
            // Where the chain began anew above it, to whoever resumed in an earlier life.
            None if self.has_resumed && !truth.is_newer(place.tip, since) => Ok(()),
            None => Err(format!("takes back {place:?}, which was never told")),
        }
    }

    fn add(&mut self, truth: &Truth, place: Place, since: Since) -> Result<(), String> {
        let last = self.live.last().copied();
        if let Some(last) = last {
            if !truth.is_ancestor(last.tip, place.tip) {
                return Err(format!("{place:?} after {last:?}, which was not taken back"));
            }
            if (last.tip.height, last.index) >= (place.tip.height, place.index) {
                return Err(format!("{place:?} after {last:?}"));
            }
        }
        if let Some(missing) = self.missing(truth, last, since, place.tip, place.index) {
            return Err(format!("a hole: {place:?} after {last:?}, without {missing:?}"));
        }
        self.live.push(place);
        Ok(())
    }

    /// What should have been told between `last` and place `end` of the block `until`.
    fn missing(&self, truth: &Truth, last: Option<Place>, since: Since, until: Tip, end: usize) -> Option<Place> {
        let owed = || truth.path(until.branch, 0, until.height).rev().take_while(|tip| truth.is_newer(*tip, since)).last();
        let (from, after) = match last {
            Some(last) => (last.tip.height, last.index + 1),
            None => (owed()?.height, 0),
        };
        truth.path(until.branch, from, until.height).find_map(|Tip { height, .. }| {
            let known = truth.at(until.branch, height);
            let start = if height == from { after } else { 0 };
            let end = if height == until.height { end } else { known.logs.len() };
            (start..end).find(|index| self.selects(&known, *index)).map(|index| Place { tip: known.tip, index })
        })
    }

    fn is_complete_to(&self, truth: &Truth, since: Since, tip: Tip) -> Result<(), String> {
        let is_beside = |place: &Place| !truth.is_ancestor(place.tip, tip) && !truth.is_ancestor(tip, place.tip);
        if let Some(stale) = self.live.iter().find(|place| is_beside(place)) {
            return Err(format!("{stale:?} was not taken back, long after the head {tip:?}"));
        }
        // What is above it was told without a hole.
        let last = self.live.last().copied();
        if last.is_some_and(|last| last.tip.height > tip.height) {
            return Ok(());
        }
        let end = truth.at(tip.branch, tip.height).logs.len();
        let missing = self.missing(truth, last, since, tip, end);
        missing.map_or(Ok(()), |missing| {
            Err(format!("{missing:?} was not told, long after the head {tip:?}; the newest is {last:?}"))
        })
    }

    fn is_complete(&self, truth: &Truth, since: Since, settled: Tip, canonical: Tip) -> Result<(), String> {
        let last = self.live.last().copied();
        if let Some(stale) = self.live.iter().find(|place| !truth.is_ancestor(place.tip, canonical)) {
            return Err(format!("{stale:?} was not taken back"));
        }
        let end = truth.at(settled.branch, settled.height).logs.len();
        match self.missing(truth, last, since, settled, end) {
            Some(missing) => Err(format!("{missing:?} was not told; the newest is {last:?}")),
            None => Ok(()),
        }
    }
}

impl Passed {
    fn on_event(&mut self, truth: &Truth, event: &Value) -> Result<(), String> {
        match self.subject {
            Subject::Pending { whole } => {
                let list = [if whole { event["hash"].clone() } else { event.clone() }];
                let hash = Params(&list).hash(0).map_err(|_| format!("no transaction: {event}"))?;
                if truth.network.pool.borrow().round_of(&hash).is_none() {
                    return Err(format!("nobody sent {event}"));
                }
                if self.transactions.insert(hash) { Ok(()) } else { Err(format!("twice: {event}")) }
            }
            Subject::Syncing => {
                if *event != false && event["syncing"] != true {
                    return Err(format!("not about syncing: {event}"));
                }
                if self.last.replace(event.clone()).as_ref() == Some(event) { Err(format!("twice: {event}")) } else { Ok(()) }
            }
            Subject::Heads | Subject::Logs(_) => Err("it is not passed on".to_owned()),
        }
    }
}

/// What an honest provider tells of heads from `from` on to `until`: each with its time.
pub fn announcements(network: &Network, from: Instant, until: Instant, look_ms: u64) -> Vec<(Instant, Tip)> {
    let chain = &network.chain;
    let (mut told, mut now) = (Tip { branch: chain.forks.canonical(from), height: chain.height_at(from) }, from);
    let mut out = Vec::new();
    while now < until {
        now = now + Duration::from_millis(look_ms);
        let tip = Tip { branch: chain.forks.canonical(now), height: chain.height_at(now) };
        let shared = chain.forks.meet(told, tip).unwrap_or(0);
        let own = |height| Tip { branch: chain.forks.owner(tip.branch, height), height };
        let there = (shared + 1..=tip.height).filter(|height| chain.has_block(tip.branch, *height));
        out.extend(there.map(|height| (now, own(height))));
        if shared < tip.height {
            told = tip;
        }
    }
    out
}
