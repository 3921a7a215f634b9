//! Heads without holes or repeats, whatever providers do: a machine that is told what was announced and says what to emit.
//!
//! The leading provider's announcements are taken in their order, each as "this is canonical now". One that is in the chain
//! emitted so far (its hash at its height) says nothing new; from any other the parents are walked down to that chain, and the
//! branch from the fork up is emitted, so a reorg, A → B → A, a hole and a switch are one case. What the walk misses is
//! fetched: heights above the newest by number, oldest first and several at once, then by hash whatever did not link.
//! Only links decide, so an answer from another fork is never emitted by mistake. After a loss the new provider is asked for
//! its newest block, which then counts as announced.
//! Rejected: a set of seen hashes (A → B → A goes silent), emitting fetched heights as they come (another provider's fork
//! would show as two reorgs), skipping to the newest announcement (a branch that was canonical would never be told).
//! How it fails: it closes with the reason, and skips nothing. An orphan that nobody has any more is given up for a newer
//! announcement. A fork below the first block is told from that block up. A late repeat of a head of an abandoned branch is
//! taken for a return to it: on one ordered connection that is what it would mean.

use super::bug::Bug;
use super::event::{BlockHash, Head};
use crate::base::limits::{FILL_PARALLEL, FILL_RETRY_MS, FILL_TRIES, STREAM_CHAIN_BLOCKS, STREAM_HELD_HEADS};
use crate::base::time::Instant;
use std::collections::{HashMap, HashSet, VecDeque};

/// How much may be made good [C §6, configuration].
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub max_backfill_blocks: u64,
    pub backfill_timeout_ms: u64,
    /// Of a simulated node.
    pub bug: Option<Bug>,
}

/// A block that is needed, over HTTP. It must answer `on_filled` or `on_fill_failed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// The newest block of the provider that leads now.
    Latest,
    Number(u64),
    Hash(BlockHash),
}

/// Why a stream cannot go on (close code 1013).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    TooManyMissing { limit: u64 },
    TimedOut { after_ms: u64 },
    ForkTooDeep { kept: usize },
    TooManyLogs { bytes: usize },
    NoProvider,
}

impl Reason {
    pub fn word(self) -> &'static str {
        match self {
            Reason::TooManyMissing { .. } => "too many blocks are missing",
            Reason::TimedOut { .. } => "missing blocks did not come in time",
            Reason::ForkTooDeep { .. } => "the chain was reorganised too deep",
            Reason::TooManyLogs { .. } => "too many logs wait for missing blocks",
            Reason::NoProvider => "no provider is left",
        }
    }

    /// For the close frame: at most 123 bytes.
    pub fn text(self) -> String {
        match self {
            Reason::TooManyMissing { limit } => format!("more than {limit} blocks are missing (max_backfill_blocks)"),
            Reason::TimedOut { after_ms } => format!("missing blocks did not come within {after_ms} ms (backfill_timeout_ms)"),
            Reason::ForkTooDeep { kept } => format!("the chain was reorganised below the last {kept} blocks"),
            Reason::TooManyLogs { bytes } => format!("more than {bytes} bytes of logs wait for missing blocks"),
            Reason::NoProvider => "no provider is left for this subscription".into(),
        }
    }
}

/// What the shell must do now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// To every subscriber, and to the logs streams beside.
    Emit(Head),
    Fetch(Ask),
    /// The end; said for ever after.
    Close(Reason),
}

/// A block of the chain as it was emitted.
#[derive(Clone, Copy, Debug)]
struct Link {
    number: u64,
    hash: BlockHash,
    parent: BlockHash,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Live,
    Lost,
    /// Confirmed, and what its newest block is has not been seen.
    New,
}

/// A fetch that is wanted (from an instant on) or under way.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    ask: Ask,
    /// Nothing while it is under way.
    due: Option<Instant>,
    failures: u32,
}

/// What the walk from an announced head down to the emitted chain found.
enum Walk {
    /// It says nothing new, or nothing that can be judged.
    Nothing,
    /// The branch, newest first.
    Linked(Vec<Head>),
    Missing {
        number: u64,
        hash: BlockHash,
    },
    TooDeep,
}

/// One chain's heads for everyone who subscribed to them.
#[derive(Clone, Debug)]
pub struct Heads {
    rules: Rules,
    /// Emitted and canonical, oldest first, each the parent of the next.
    chain: VecDeque<Link>,
    /// The oldest of it were forgotten.
    trimmed: bool,
    /// Announced, in order, and not yet judged.
    announced: VecDeque<Head>,
    /// Announced or fetched since everything was last known.
    held: HashMap<BlockHash, Head>,
    /// Nobody had them, and something newer was announced, since then.
    given_up: HashSet<BlockHash>,
    wanted: Vec<Wanted>,
    /// For the first of `announced`: heights asked for by number, and answers by hash.
    asked_to: u64,
    walked: u64,
    source: Source,
    source_deadline: Option<Instant>,
    fill_deadline: Option<Instant>,
    out: VecDeque<Head>,
    /// Announcements that said nothing new.
    duplicates: u64,
    closed: Option<Reason>,
}

impl Heads {
    /// A stream whose upstream subscription was just confirmed.
    pub fn new(rules: Rules, now: Instant) -> Heads {
        let mut heads = Heads {
            rules,
            chain: VecDeque::new(),
            trimmed: false,
            announced: VecDeque::new(),
            held: HashMap::new(),
            given_up: HashSet::new(),
            wanted: Vec::new(),
            asked_to: 0,
            walked: 0,
            source: Source::Lost,
            source_deadline: None,
            fill_deadline: None,
            out: VecDeque::new(),
            duplicates: 0,
            closed: None,
        };
        heads.on_confirmed(now);
        heads
    }

    /// The newest block that was emitted, or known from the beginning: where a client that joins now starts.
    pub fn tip(&self) -> Option<(u64, BlockHash)> {
        self.chain.back().map(|link| (link.number, link.hash))
    }

    /// Announcements since the beginning that said nothing new.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// The leading provider announced a head; of others nothing is fed.
    pub fn on_head(&mut self, head: Head, now: Instant) {
        if self.source == Source::New {
            self.drop_wanted(Ask::Latest);
            self.source = Source::Live;
        }
        self.announce(head, now);
    }

    /// The leading provider's subscription is gone.
    pub fn on_lost(&mut self, now: Instant) {
        self.source = Source::Lost;
        self.drop_wanted(Ask::Latest);
        self.source_deadline.get_or_insert(now.plus_ms(self.rules.backfill_timeout_ms));
    }

    /// A subscription was confirmed that leads from now on; a planned switch needs no loss before.
    pub fn on_confirmed(&mut self, now: Instant) {
        self.source = Source::New;
        self.source_deadline.get_or_insert(now.plus_ms(self.rules.backfill_timeout_ms));
        self.drop_wanted(Ask::Latest);
        self.wanted.push(Wanted { ask: Ask::Latest, due: Some(now), failures: 0 });
    }

    /// Nobody is left to subscribe to.
    pub fn on_no_provider(&mut self) {
        self.close(Reason::NoProvider);
    }

    /// A fetch brought a block. One that is not what was asked for counts as failed.
    pub fn on_filled(&mut self, ask: Ask, block: Head, now: Instant) {
        let is_asked = match ask {
            Ask::Latest => true,
            Ask::Number(number) => block.number == number,
            Ask::Hash(hash) => block.hash == hash,
        };
        if !is_asked {
            return self.on_fill_failed(ask, now);
        }
        let Some(place) = self.under_way(ask) else { return };
        self.wanted.remove(place);
        match ask {
            Ask::Latest => {
                self.source = Source::Live;
                self.on_latest(block, now);
            }
            Ask::Number(_) => self.hold(block, now),
            Ask::Hash(_) => {
                self.walked += 1;
                self.hold(block, now);
            }
        }
    }

    /// A fetch brought nothing: no answer, an error, or `null`. Another provider should be asked next.
    pub fn on_fill_failed(&mut self, ask: Ask, now: Instant) {
        let Some(place) = self.under_way(ask) else { return };
        if matches!(ask, Ask::Number(_)) {
            // Perhaps there is no such height on its fork; by hash it will be found.
            self.wanted.remove(place);
        } else if let Some(wanted) = self.wanted.get_mut(place) {
            wanted.due = Some(now.plus_ms(FILL_RETRY_MS));
            wanted.failures += 1;
            if let Ask::Hash(hash) = ask
                && wanted.failures >= FILL_TRIES
            {
                self.given_up.insert(hash);
            }
        }
        self.settle(now);
    }

    /// What to do now; ask again until there is nothing, and at `wake_at`.
    pub fn next(&mut self, now: Instant) -> Option<Action> {
        if let Some(head) = self.out.pop_front() {
            return Some(Action::Emit(head));
        }
        let late = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if late(self.fill_deadline) || late(self.source_deadline) {
            self.close(Reason::TimedOut { after_ms: self.rules.backfill_timeout_ms });
        }
        if let Some(reason) = self.closed {
            return Some(Action::Close(reason));
        }
        let wanted = self.wanted.iter_mut().find(|wanted| wanted.due.is_some_and(|due| due <= now))?;
        wanted.due = None;
        Some(Action::Fetch(wanted.ask))
    }

    /// When `next` has something to say without an event; `Instant::NEVER` if never.
    pub fn wake_at(&self) -> Instant {
        let due = self.wanted.iter().filter_map(|wanted| wanted.due);
        due.chain(self.fill_deadline).chain(self.source_deadline).min().unwrap_or(Instant::NEVER)
    }

    /// The new provider's newest block: where the stream begins, or as good as announced.
    fn on_latest(&mut self, block: Head, now: Instant) {
        if self.chain.is_empty() && self.announced.is_empty() {
            self.append(&block);
            return self.settle(now);
        }
        if self.rules.bug == Some(Bug::DuplicateAfterOverlap) && self.tip() == Some((block.number, block.hash)) {
            self.out.push_back(block.clone());
        }
        self.announce(block, now);
    }

    fn announce(&mut self, head: Head, now: Instant) {
        if self.closed.is_some() {
            return;
        }
        if self.announced.len() >= STREAM_HELD_HEADS {
            return self.close(Reason::TooManyMissing { limit: self.limit() });
        }
        // Said twice in a row it is no return to that branch.
        if self.announced.back().is_none_or(|last| last.hash != head.hash) {
            self.announced.push_back(head.clone());
        }
        self.hold(head, now);
    }

    fn hold(&mut self, head: Head, now: Instant) {
        if self.held.len() >= STREAM_HELD_HEADS && !self.held.contains_key(&head.hash) {
            return self.close(Reason::TooManyMissing { limit: self.limit() });
        }
        // What was announced is better than what was fetched: its logs were announced too.
        if !head.fetched || !self.held.contains_key(&head.hash) {
            self.held.insert(head.hash, head);
        }
        self.settle(now);
    }

    /// Judges announcements as far as what is held allows.
    fn settle(&mut self, now: Instant) {
        while let Some(head) = self.announced.front() {
            match self.walk(head) {
                Walk::Nothing => {
                    self.duplicates += 1;
                    self.judged();
                }
                Walk::Linked(branch) => {
                    for head in branch.into_iter().rev() {
                        self.append(&head);
                        self.out.push_back(head);
                    }
                    self.judged();
                }
                Walk::Missing { hash, .. } if self.announced.len() > 1 && self.given_up.contains(&hash) => self.judged(),
                Walk::Missing { number, hash } => return self.want(number, hash, now),
                Walk::TooDeep => return self.close(Reason::ForkTooDeep { kept: self.chain.len() }),
            }
        }
        self.held.clear();
        self.given_up.clear();
        if self.source == Source::Live {
            self.source_deadline = None;
        }
    }

    fn walk(&self, head: &Head) -> Walk {
        let Some(first) = self.chain.front() else { return Walk::Linked(vec![head.clone()]) };
        let emitted = |number| self.at(number).map(|link| link.hash);
        if head.number < first.number || emitted(head.number) == Some(head.hash) {
            return Walk::Nothing;
        }
        let mut branch = vec![head.clone()];
        let mut low = head;
        loop {
            let below = low.number.checked_sub(1);
            if below.is_some_and(|below| emitted(below) == Some(low.parent)) {
                return Walk::Linked(branch);
            }
            let Some(number) = below.filter(|_| low.number > first.number) else {
                let is_known = low.parent == first.parent || !self.trimmed;
                return if is_known { Walk::Linked(branch) } else { Walk::TooDeep };
            };
            match self.held.get(&low.parent) {
                Some(parent) if parent.number == number => {
                    low = parent;
                    branch.push(parent.clone());
                }
                // A head that does not count up from its parent is none.
                Some(_) => return Walk::Nothing,
                None if self.is_passed_over(number) => return Walk::Linked(branch),
                None => return Walk::Missing { number, hash: low.parent },
            }
        }
    }

    fn is_passed_over(&self, number: u64) -> bool {
        self.rules.bug == Some(Bug::GapOffByOne) && self.tip().is_some_and(|(tip, _)| tip + 1 == number)
    }

    /// Asks for what the walk misses: a gap above the newest by number, the rest by hash.
    fn want(&mut self, number: u64, hash: BlockHash, now: Instant) {
        let tip = self.tip().map_or(0, |(number, _)| number);
        if number.saturating_sub(tip) > self.limit() || self.walked > self.limit() {
            return self.close(Reason::TooManyMissing { limit: self.limit() });
        }
        self.fill_deadline.get_or_insert(now.plus_ms(self.rules.backfill_timeout_ms));
        // A parent that was announced meanwhile is not awaited any more.
        self.wanted.retain(|wanted| !matches!(wanted.ask, Ask::Hash(other) if other != hash));
        self.asked_to = self.asked_to.max(tip);
        while self.asked_to < number && self.fills() < FILL_PARALLEL {
            self.asked_to += 1;
            if !self.held.values().any(|head| head.number == self.asked_to) {
                self.wanted.push(Wanted { ask: Ask::Number(self.asked_to), due: Some(now), failures: 0 });
            }
        }
        if self.fills() == 0 {
            self.wanted.push(Wanted { ask: Ask::Hash(hash), due: Some(now), failures: 0 });
        }
    }

    /// Fetches wanted or under way for the first announcement.
    fn fills(&self) -> usize {
        self.wanted.iter().filter(|wanted| wanted.ask != Ask::Latest).count()
    }

    fn limit(&self) -> u64 {
        self.rules.max_backfill_blocks.min(STREAM_HELD_HEADS as u64 / 2)
    }

    /// The first announcement is done with; what was asked for it is not awaited.
    fn judged(&mut self) {
        self.announced.pop_front();
        self.wanted.retain(|wanted| wanted.ask == Ask::Latest);
        (self.asked_to, self.walked, self.fill_deadline) = (0, 0, None);
    }

    fn at(&self, number: u64) -> Option<&Link> {
        let first = self.chain.front()?.number;
        self.chain.get(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// Puts it in its place and forgets what was there and above.
    fn append(&mut self, head: &Head) {
        while self.chain.back().is_some_and(|link| link.number >= head.number) {
            self.chain.pop_back();
        }
        self.chain.push_back(Link { number: head.number, hash: head.hash, parent: head.parent });
        if self.chain.len() > STREAM_CHAIN_BLOCKS {
            self.chain.pop_front();
            self.trimmed = true;
        }
    }

    fn under_way(&self, ask: Ask) -> Option<usize> {
        self.wanted.iter().position(|wanted| wanted.ask == ask && wanted.due.is_none())
    }

    fn drop_wanted(&mut self, ask: Ask) {
        self.wanted.retain(|wanted| wanted.ask != ask);
    }

    fn close(&mut self, reason: Reason) {
        self.closed.get_or_insert(reason);
        self.announced.clear();
        self.held.clear();
        self.wanted.clear();
        (self.fill_deadline, self.source_deadline) = (None, None);
    }
}

#[cfg(test)]
#[path = "continuity_tests.rs"]
mod tests;
