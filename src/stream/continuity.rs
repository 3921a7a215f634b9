//! Heads without holes or repeats, whatever providers do: a machine that is told what was announced and says what to emit.
//!
//! The leading provider's announcements are taken in their order, each as "this is canonical now". One that is in the chain
//! told so far says nothing new; from any other the parents are walked down to that chain, and the branch from the fork up is
//! emitted, so a reorg, A → B → A, a hole and a switch are one case. What the walk misses is fetched: heights above the
//! newest by number, oldest first and several at once, then by hash whatever did not link.
//! Only links decide, and links are hashes: a number only grows, so a number without a block is no hole, and an answer from
//! another fork is never emitted by mistake. After a loss the new provider is asked for its newest block, which then counts
//! as announced.
//! A hole has one deadline, from the first announcement that met it; only a block above it ends it, so neither later
//! announcements nor other leaders restart it.
//! One provider's word ends nothing: a head too far to be linked, or whose parent nobody has, is asked of somebody else, and
//! where nobody confirms it, it is dropped and its announcer leads no more: what others have may come meanwhile. Nor does it
//! begin anything: a block below which nothing was told is held against what others have (`beginning`). A head lower than
//! everything that is kept is a late repeat, a provider that is behind, or a chain that began anew. It is the last when the
//! leader's newest block is lower too, is younger than what was told, so that it cannot be below it, and nobody has the
//! newest told block any more; then the stream begins anew with a head that does not link, which says to everybody that
//! nothing told before is canonical.
//! Rejected: a set of seen hashes (A → B → A goes silent), emitting fetched heights as they come (another provider's fork
//! would show as two reorgs), skipping to the newest announcement (a branch that was canonical would never be told), and
//! beginning anew for any lower head (a provider behind a balancer says such things every minute).
//! How it fails: it closes with the reason, and skips nothing. An orphan that nobody has any more is given up for a newer
//! announcement. A late repeat of a head of an abandoned branch is taken for a return to it: on one ordered connection that is
//! what it would mean.

use super::bug::Bug;
use super::event::{BlockHash, Head};
pub use super::terms::{Action, Ask, Opinions, Reason, Rules};
use super::told::ToldChain;
use crate::base::limits::{BELIEF_MS, FILL_PARALLEL, FILL_RETRY_MS, FILL_TRIES, STREAM_HELD_BYTES, STREAM_HELD_HEADS};
use crate::base::time::Instant;
use std::collections::{HashMap, HashSet, VecDeque};

/// Blocks above this one are missing, and must be told before the deadline.
#[derive(Clone, Copy, Debug)]
struct Hole {
    above: u64,
    deadline: Instant,
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
    /// The same of one that leaves the chain below its first block, or beside it: nothing was told that it links to.
    Beside(Vec<Head>),
    Missing {
        number: u64,
        hash: BlockHash,
    },
    TooDeep,
    /// It leaves the chain below its first block, where an earlier life was told of blocks too.
    Below,
    /// Lower than everything that is kept.
    Lower,
}

/// One chain's heads for everyone who subscribed to them.
#[derive(Clone, Debug)]
pub struct Heads {
    rules: Rules,
    /// Emitted and canonical.
    told: ToldChain,
    /// Announced, in order, and not yet judged.
    announced: VecDeque<Head>,
    /// Announced or fetched since everything was last known.
    held: HashMap<BlockHash, Head>,
    held_bytes: usize,
    /// Nobody had them, and something newer was announced, since then.
    given_up: HashSet<BlockHash>,
    wanted: Vec<Wanted>,
    /// For the first of `announced`: heights asked for by number, and answers by hash.
    asked_to: u64,
    walked: u64,
    source: Source,
    source_deadline: Option<Instant>,
    hole: Option<Hole>,
    /// Somebody else has this block, which is too far to be linked.
    witnessed: Option<BlockHash>,
    /// The leader's newest block, when that is lower than everything that is kept.
    lower: Option<Head>,
    /// What is believed, or not yet, of a block below which nothing was told; and when the stream begins without its leader's
    /// newest block.
    weighed: Option<Weighed>,
    begin_by: Option<Instant>,
    /// The leader must go.
    forsakes: bool,
    /// The parent that nobody had of the last head that was passed over.
    doubted: Option<BlockHash>,
    fork_check: ForkCheck,
    /// The leader must go, and not come back soon.
    deposes: bool,
    /// It follows what another machine emitted, up from a block that a client was told in an earlier life.
    follows: bool,
    /// The block that the other machine has emitted last, until it or a later one is here.
    goal: Option<BlockHash>,
    /// Some were told what is below the first block, so a branch that leaves the chain there is followed down.
    digs: bool,
    /// Until when, where others wait for it.
    dig_by: Option<Instant>,
    out: VecDeque<Action>,
    /// Announcements that said nothing new.
    duplicates: u64,
    closed: Option<Reason>,
}

impl Heads {
    /// A stream whose upstream subscription was just confirmed.
    pub fn new(rules: Rules, now: Instant) -> Heads {
        let mut heads = Heads::unled(rules);
        heads.on_confirmed(now);
        heads
    }

    fn unled(rules: Rules) -> Heads {
        Heads {
            rules,
            told: ToldChain::default(),
            announced: VecDeque::new(),
            held: HashMap::new(),
            held_bytes: 0,
            given_up: HashSet::new(),
            wanted: Vec::new(),
            asked_to: 0,
            walked: 0,
            source: Source::Lost,
            source_deadline: None,
            hole: None,
            witnessed: None,
            lower: None,
            weighed: None,
            begin_by: None,
            forsakes: false,
            doubted: None,
            fork_check: ForkCheck::default(),
            deposes: false,
            follows: false,
            goal: None,
            digs: false,
            dig_by: None,
            out: VecDeque::new(),
            duplicates: 0,
            closed: None,
        }
    }

    /// The newest block that was emitted, or known from the beginning: where a client that joins now starts.
    pub fn tip(&self) -> Option<(u64, BlockHash)> {
        self.told.tip().map(|block| (block.number, block.hash))
    }

    /// Announcements since the beginning that said nothing new.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// The leading provider announced a head; of others nothing is fed.
    pub fn on_head(&mut self, head: Head, now: Instant) {
        // What came before it, it leads down to.
        if let Some(goal) = self.goal.take() {
            self.drop_wanted(Ask::Hash(goal));
        }
        if self.waits_to_begin() {
            self.begin_by.get_or_insert(now.plus_ms(BELIEF_MS));
        } else if self.source == Source::New {
            self.drop_wanted(Ask::Latest);
            self.source = Source::Live;
        }
        self.announce(head, now);
    }

    /// The leading provider's subscription is gone.
    pub fn on_lost(&mut self, now: Instant) {
        self.leave_weighed();
        self.source = Source::Lost;
        (self.lower, self.forsakes, self.deposes, self.doubted) = (None, false, false, None);
        self.drop_wanted(Ask::Latest);
        self.source_deadline.get_or_insert(now.plus_ms(self.rules.backfill_timeout_ms));
    }

    /// A subscription was confirmed that leads from now on; a planned switch needs no loss before.
    pub fn on_confirmed(&mut self, now: Instant) {
        self.leave_weighed();
        self.source = Source::New;
        (self.lower, self.forsakes, self.deposes, self.doubted) = (None, false, false, None);
        self.source_deadline.get_or_insert(now.plus_ms(self.rules.backfill_timeout_ms));
        self.drop_wanted(Ask::Latest);
        self.want(Ask::Latest, now);
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
            Ask::Hash(hash) | Ask::Witness(hash) => block.hash == hash,
            Ask::Compare { .. } => false,
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
            Ask::Hash(hash) if self.goal == Some(hash) => {
                self.goal = None;
                self.announce(block, now);
            }
            Ask::Hash(hash) if self.told.number_of(hash).is_some() => self.weigh_lower(now),
            Ask::Hash(_) => {
                self.walked += 1;
                self.hold(block, now);
            }
            Ask::Witness(hash) => {
                self.witnessed = Some(hash);
                self.settle(now);
            }
            Ask::Compare { .. } => {}
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
            let is_over = wanted.failures >= FILL_TRIES;
            match ask {
                Ask::Hash(hash) if is_over => drop(self.given_up.insert(hash)),
                Ask::Witness(_) if is_over => return self.forsake(),
                Ask::Latest if is_over => self.begin_announced(now),
                Ask::Latest | Ask::Number(_) | Ask::Hash(_) | Ask::Witness(_) | Ask::Compare { .. } => {}
            }
        }
        self.settle(now);
    }

    /// What to do now; ask again until there is nothing, and at `wake_at`.
    pub fn next(&mut self, now: Instant) -> Option<Action> {
        if let Some(action) = self.out.pop_front() {
            return Some(action);
        }
        if self.dig_by.is_some_and(|by| by <= now) {
            self.lose_past();
            self.settle(now);
            return self.next(now);
        }
        if self.belief_at() <= now {
            self.believe_late(now);
            return self.next(now);
        }
        if self.deadline() <= now {
            self.close(Reason::TimedOut { after_ms: self.rules.backfill_timeout_ms });
        }
        if let Some(reason) = self.closed {
            return Some(Action::Close(reason));
        }
        if std::mem::take(&mut self.deposes) {
            return Some(Action::Depose);
        }
        if std::mem::take(&mut self.forsakes) {
            return Some(Action::Forsake);
        }
        let Some(wanted) = self.wanted.iter_mut().find(|wanted| wanted.due.is_some_and(|due| due <= now)) else {
            return self.check_fork(now);
        };
        wanted.due = None;
        Some(Action::Fetch(wanted.ask))
    }

    /// When `next` has something to say without an event; `Instant::NEVER` if never.
    pub fn wake_at(&self) -> Instant {
        let due = self.wanted.iter().filter_map(|wanted| wanted.due);
        due.chain(self.dig_by).fold(self.deadline().min(self.belief_at()), Instant::min)
    }

    fn deadline(&self) -> Instant {
        let hole = self.hole.map_or(Instant::NEVER, |hole| hole.deadline);
        self.source_deadline.map_or(hole, |deadline| deadline.min(hole))
    }

    /// The new provider's newest block: where the stream begins, or as good as announced.
    fn on_latest(&mut self, block: Head, now: Instant) {
        let Some(floor) = self.told.floor() else { return self.begin(&block, now) };
        self.lower = (block.number < floor).then(|| block.clone());
        if self.rules.bug == Some(Bug::DuplicateAfterOverlap) && self.tip() == Some((block.number, block.hash)) {
            self.out.push_back(Action::Emit(block.clone()));
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
        if self.waits_to_begin() || self.is_weighing() {
            self.open_hole(now);
        }
        self.hold(head, now);
    }

    fn hold(&mut self, head: Head, now: Instant) {
        let has_room = self.held.len() < STREAM_HELD_HEADS && self.held_bytes + head.payload.len() <= STREAM_HELD_BYTES;
        if !has_room && !self.held.contains_key(&head.hash) {
            return self.close(Reason::TooManyMissing { limit: self.limit() });
        }
        // What was announced stays: fetched once more it would pass for a block that nobody has announced.
        if !head.fetched || !self.held.contains_key(&head.hash) {
            self.held_bytes += head.payload.len();
            let replaced = self.held.insert(head.hash, head).map_or(0, |head| head.payload.len());
            self.held_bytes = self.held_bytes.saturating_sub(replaced);
        }
        self.settle(now);
    }

    /// Judges announcements as far as what is held allows.
    fn settle(&mut self, now: Instant) {
        if self.goal.is_some() || self.waits_to_begin() || self.is_weighing() {
            return;
        }
        while let Some(head) = self.announced.front() {
            match self.walk(head) {
                Walk::Nothing => {
                    self.duplicates += 1;
                    self.judged();
                }
                Walk::Linked(branch) => {
                    self.emit(branch);
                    self.judged();
                }
                Walk::Beside(branch) => {
                    if !self.settle_beside(branch, now) {
                        return;
                    }
                }
                Walk::Missing { hash, .. } if self.announced.len() > 1 && self.given_up.contains(&hash) => {
                    if !self.pass_over(head.hash, hash) {
                        return;
                    }
                }
                Walk::Missing { number, .. } if self.is_far(number) => {
                    let (hash, limit) = (head.hash, self.limit());
                    return self.confirm(hash, Reason::TooManyMissing { limit }, now);
                }
                Walk::Missing { hash, .. } if self.is_doubtful(head.hash, hash) => {
                    return self.doubt_head(head.hash, hash, now);
                }
                Walk::Missing { number, hash } => return self.fill(number, hash, now),
                Walk::Below => {
                    if !self.go_below(now) {
                        return;
                    }
                }
                Walk::TooDeep => {
                    let (hash, kept) = (head.hash, self.told.len());
                    return self.confirm(hash, Reason::ForkTooDeep { kept }, now);
                }
                Walk::Lower if self.is_passed() => {
                    self.duplicates += 1;
                    self.judged();
                }
                Walk::Lower if self.is_gone() => {
                    if !self.begin_anew(now) {
                        return;
                    }
                }
                Walk::Lower => return self.doubt(now),
            }
        }
        self.forget_held();
        self.hole = None;
        if self.source == Source::Live {
            self.source_deadline = None;
        }
    }

    fn forget_held(&mut self) {
        self.held.clear();
        self.held_bytes = 0;
        self.given_up.clear();
    }

    /// A branch, newest first.
    fn emit(&mut self, branch: Vec<Head>) {
        self.doubted = None;
        for head in branch.into_iter().rev() {
            self.told.append(&head);
            self.out.push_back(Action::Emit(head));
        }
        self.hole = self.hole.filter(|hole| self.tip().is_some_and(|(tip, _)| tip <= hole.above));
    }

    fn walk(&self, head: &Head) -> Walk {
        let Some(floor) = self.told.floor() else { return Walk::Nothing };
        if self.told.is_known(head.hash) {
            return Walk::Nothing;
        }
        let mut branch = vec![head.clone()];
        let mut low = head;
        loop {
            let parent_number = self.told.number_of(low.parent);
            let is_beside = self.told.is_beside_first(low);
            if is_beside && self.told.has_its_beginning() {
                return Walk::Beside(branch);
            }
            if is_beside || parent_number.is_some_and(|number| number < low.number) {
                return Walk::Linked(branch);
            }
            match self.held.get(&low.parent) {
                _ if low.number < floor => return if self.follows { Walk::Below } else { Walk::Lower },
                _ if low.number == floor => return self.fork_below(branch),
                // A head that does not count up from its parent is none.
                _ if parent_number.is_some() => return Walk::Nothing,
                Some(parent) if parent.number >= low.number => return Walk::Nothing,
                Some(parent) if parent.number < floor => return self.fork_below(branch),
                Some(parent) => {
                    low = parent;
                    branch.push(parent.clone());
                }
                None if self.is_passed_over(low.number - 1) => return Walk::Linked(branch),
                None => return Walk::Missing { number: low.number - 1, hash: low.parent },
            }
        }
    }

    /// A branch that leaves the chain below its first block.
    fn fork_below(&self, branch: Vec<Head>) -> Walk {
        match self.told.has_its_beginning() {
            true if self.digs => Walk::Below,
            true => Walk::Beside(branch),
            false => Walk::TooDeep,
        }
    }

    fn is_passed_over(&self, number: u64) -> bool {
        self.rules.bug == Some(Bug::GapOffByOne) && self.tip().is_some_and(|(tip, _)| tip + 1 == number)
    }

    fn is_far(&self, number: u64) -> bool {
        let tip = self.tip().map_or(0, |(number, _)| number);
        number.saturating_sub(tip) > self.limit() || self.walked > self.limit()
    }

    fn open_hole(&mut self, now: Instant) {
        let above = self.tip().map_or(0, |(number, _)| number);
        self.hole.get_or_insert(Hole { above, deadline: now.plus_ms(self.rules.backfill_timeout_ms) });
    }

    /// Asks for what the walk misses: a gap above the newest by number, the rest by hash.
    fn fill(&mut self, number: u64, hash: BlockHash, now: Instant) {
        let tip = self.tip().map_or(0, |(number, _)| number);
        self.open_hole(now);
        // A parent that was announced meanwhile is not awaited any more.
        self.wanted.retain(|wanted| !matches!(wanted.ask, Ask::Hash(other) if other != hash));
        self.asked_to = self.asked_to.max(tip);
        while self.asked_to < number && self.fills() < FILL_PARALLEL {
            self.asked_to += 1;
            if !self.held.values().any(|head| head.number == self.asked_to) {
                self.want(Ask::Number(self.asked_to), now);
            }
        }
        if self.fills() == 0 {
            self.want(Ask::Hash(hash), now);
        }
    }

    /// Once, whatever is asked for already.
    fn want(&mut self, ask: Ask, due: Instant) {
        if !self.wanted.iter().any(|wanted| wanted.ask == ask) {
            self.wanted.push(Wanted { ask, due: Some(due), failures: 0 });
        }
    }

    /// Fetches wanted or under way for the first announcement.
    fn fills(&self) -> usize {
        self.wanted.iter().filter(|wanted| wanted.ask != Ask::Latest).count()
    }

    fn limit(&self) -> u64 {
        self.rules.max_backfill_blocks.min(STREAM_HELD_HEADS as u64 / 2)
    }

    /// The first announcement is done with.
    fn judged(&mut self) {
        self.announced.pop_front();
        self.lower = None;
        self.stop_filling();
        if self.rules.bug == Some(Bug::DeadlineRestarted) {
            self.hole = None;
        }
    }

    /// What was asked for the first announcement is not awaited.
    fn stop_filling(&mut self) {
        let is_new = self.source == Source::New;
        self.wanted.retain(|wanted| wanted.ask == Ask::Latest && is_new);
        (self.asked_to, self.walked, self.dig_by) = (0, 0, None);
    }

    fn under_way(&self, ask: Ask) -> Option<usize> {
        self.wanted.iter().position(|wanted| wanted.ask == ask && wanted.due.is_none())
    }

    fn drop_wanted(&mut self, ask: Ask) {
        self.wanted.retain(|wanted| wanted.ask != ask);
    }

    fn close(&mut self, reason: Reason) {
        self.closed.get_or_insert(reason);
        self.drop_announced();
        self.wanted.clear();
        (self.hole, self.source_deadline, self.dig_by) = (None, None, None);
    }
}

#[path = "continuity_beginning.rs"]
mod beginning;
#[path = "continuity_past.rs"]
mod past;
#[path = "continuity_witness.rs"]
mod witness;

use beginning::Weighed;
use witness::ForkCheck;

#[cfg(test)]
#[path = "continuity_tests.rs"]
mod tests;
