//! Others' figures: fetched while somebody looks, kept as each node's newest digest, forgotten when they are old.
//!
//! Chains are apart: whoever looks at one costs nothing for the others. About each, each node is asked what has changed since the digest of it that is whole here. The answer comes in parts; those that are missing are asked for
//! again, and when all are there they are taken over at once. So a part that is lost, comes twice or comes late changes
//! nothing, and no figure is ever added twice: what is kept is what that node said, not a sum of what arrived. Digests belong to sessions, that is to
//! runs of processes: one that was restarted begins with nothing, and what was known of its earlier run ends with that.
//!
//! The asking node sets the pace: one window of parts from a node at a time, a few answers at once, and not more in a second than is allowed.
//! With many nodes and much traffic figures become older rather than many; their age is told with them.

use super::difference::{self, ReadDigest};
use super::digest::DigestTopic;
use super::frame::{DIGEST_PART_BYTES, DigestAsk, DigestPart};
use super::secret::SessionId;
use super::serving::ByteAllowance;
use crate::base::limits::{
    CLUSTER_DIGEST_ATTEMPTS, CLUSTER_DIGEST_KEPT_MS, CLUSTER_DIGEST_MS, CLUSTER_DIGEST_PARTS, CLUSTER_DIGEST_PULL_MS,
    CLUSTER_DIGEST_PULLS, CLUSTER_DIGEST_QUIET_MS, CLUSTER_DIGEST_ROWS_IN_ALL, CLUSTER_DIGEST_SOON_MS, CLUSTER_DIGEST_STALE_MS,
    CLUSTER_DIGEST_TOPICS, CLUSTER_DIGEST_WANTED_MS, CLUSTER_DIGEST_WINDOW,
};
use crate::base::time::{Duration, Instant};
use std::collections::BTreeMap;

/// A deliberate bug, to prove that the checkers find it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DigestBug {
    #[default]
    None,
    /// What a process told before it was restarted is kept beside what it tells now.
    KeepsEarlierRuns,
    /// After a difference what is here is held for what it was before, so the next difference counts the same again.
    ForgetsWhatItHas,
}

/// Whom to ask, and whom to forget.
pub struct DigestPeers {
    /// Those that answer and know what figures are.
    pub asked: Vec<SessionId>,
    /// All that are shown, ascending.
    pub shown: Vec<SessionId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GatheringCounts {
    pub received_bytes: u64,
    /// Digests taken over, and those of them that came whole.
    pub taken: u64,
    pub whole: u64,
    /// Answers that could not be read, or were larger than they may be.
    pub refused: u64,
    /// Questions to which nothing came.
    pub unanswered: u64,
}

/// One node's figures, as it told them last.
#[derive(Default)]
pub struct PeerDigest {
    pub digest: ReadDigest,
    /// 0: none.
    publication: u64,
    /// When it was so, by our clock.
    as_of: Option<Instant>,
    pull: Option<Pull>,
    is_asked: bool,
    next: Instant,
    failures: u32,
}

/// An answer that is coming.
struct Pull {
    number: u64,
    topic: DigestTopic,
    /// 0 until the first part is there.
    publication: u64,
    base: u64,
    as_of: Instant,
    parts: Vec<Option<Vec<u8>>>,
    /// Asked for, and not here.
    awaited: u32,
    began: Instant,
    moved: Instant,
    attempts: u32,
}

#[derive(Default)]
pub struct Gatherer {
    /// What somebody looks at, and when somebody looked last.
    wanted: BTreeMap<DigestTopic, Instant>,
    peers: BTreeMap<(SessionId, DigestTopic), PeerDigest>,
    shown: Vec<SessionId>,
    /// Who is asked, about what.
    asked: (Vec<SessionId>, Vec<DigestTopic>),
    /// The sum over all that is kept.
    rows: usize,
    next_clearing: Instant,
    numbers: u64,
    /// What may be fetched in a second, of figures and of news.
    pub(super) allowance: ByteAllowance,
    pub counts: GatheringCounts,
    pub bug: DigestBug,
}

impl Gatherer {
    /// Somebody looks. When too much is looked at, what was looked at longest ago is left.
    pub fn want(&mut self, topic: DigestTopic, now: Instant) {
        self.wanted.insert(topic, now);
        if self.wanted.len() > CLUSTER_DIGEST_TOPICS {
            let oldest = self.wanted.iter().min_by_key(|(_, at)| **at).map(|(topic, _)| *topic);
            oldest.and_then(|topic| self.wanted.remove(&topic));
        }
    }

    pub fn is_wanted(&self, now: Instant) -> bool {
        self.wanted.values().any(|at| is_recent(*at, now))
    }

    /// A node's figures and how old they are; `None`: they are not here.
    pub fn figures(&self, session: SessionId, topic: DigestTopic, now: Instant) -> Option<(&ReadDigest, Duration)> {
        let peer = self.peers.get(&(session, topic))?;
        Some((&peer.digest, now.since(peer.as_of?)))
    }

    /// Those of whom something is kept, or was asked.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.peers.keys().map(|(session, _)| *session)
    }

    /// The questions that are due.
    pub fn tick(&mut self, now: Instant, peers: &DigestPeers) -> Vec<(SessionId, DigestAsk)> {
        self.wanted.retain(|_, at| is_recent(*at, now));
        if peers.shown != self.shown || now >= self.next_clearing {
            self.shown.clone_from(&peers.shown);
            self.next_clearing = now.plus_ms(CLUSTER_DIGEST_MS);
            self.clear(now);
        }
        let mut asks = self.asked_again(now);
        if !self.is_wanted(now) {
            return asks;
        }
        let under_way = self.peers.values().filter(|peer| peer.pull.is_some()).count();
        let free = CLUSTER_DIGEST_PULLS.saturating_sub(under_way);
        if free == 0 || !self.allowance.has_some(now) {
            return asks;
        }
        self.enlist(&peers.asked);
        let is_due = |peer: &PeerDigest| peer.is_asked && peer.pull.is_none() && peer.next <= now;
        let mut due: Vec<(Instant, &(SessionId, DigestTopic))> =
            self.peers.iter().filter(|(_, peer)| is_due(peer)).map(|(whom, peer)| (peer.next, whom)).collect();
        if due.len() > free {
            // Who waited longest comes first.
            due.select_nth_unstable(free);
            due.truncate(free);
        }
        let due: Vec<(SessionId, DigestTopic)> = due.into_iter().map(|(_, whom)| *whom).collect();
        for whom in due {
            self.numbers += 1;
            let Some(peer) = self.peers.get_mut(&whom) else { continue };
            let (session, topic) = whom;
            let pull = peer.pull.insert(Pull::new(self.numbers, topic, now));
            asks.push((session, pull.ask(peer.publication)));
        }
        asks
    }

    /// Makes a place for whoever is to be asked, when that has changed.
    fn enlist(&mut self, asked: &[SessionId]) {
        if self.asked.0 == asked && self.wanted.keys().eq(&self.asked.1) {
            return;
        }
        self.asked = (asked.to_vec(), self.wanted.keys().copied().collect());
        self.peers.values_mut().for_each(|peer| peer.is_asked = false);
        for topic in self.wanted.keys() {
            for session in asked {
                self.peers.entry((*session, *topic)).or_default().is_asked = true;
            }
        }
    }

    /// Forgets who is not shown any more, and what is old.
    fn clear(&mut self, now: Instant) {
        let (bug, shown) = (self.bug, &self.shown);
        self.peers.retain(|(session, _), peer| {
            let is_old = peer.as_of.is_some_and(|at| now.since(at).as_millis() as u64 >= CLUSTER_DIGEST_KEPT_MS);
            (shown.binary_search(session).is_ok() || bug == DigestBug::KeepsEarlierRuns) && !is_old
        });
        self.rows = self.peers.values().map(|peer| peer.digest.rows.len()).sum();
        self.asked = Default::default();
    }

    /// What fell silent is asked for again, or given up.
    fn asked_again(&mut self, now: Instant) -> Vec<(SessionId, DigestAsk)> {
        let (mut asks, has_some) = (Vec::new(), self.allowance.has_some(now));
        for ((session, _), peer) in &mut self.peers {
            let Some(pull) = &mut peer.pull else { continue };
            let ms = |since: Instant| now.since(since).as_millis() as u64;
            let is_over = ms(pull.began) >= CLUSTER_DIGEST_PULL_MS;
            if !is_over && (ms(pull.moved) < CLUSTER_DIGEST_QUIET_MS || !has_some) {
                continue;
            }
            pull.moved = now;
            pull.attempts += 1;
            if is_over || pull.attempts >= CLUSTER_DIGEST_ATTEMPTS {
                self.counts.unanswered += 1;
                peer.pull = None;
                peer.fail(now);
            } else {
                asks.push((*session, pull.ask(peer.publication)));
            }
        }
        asks
    }

    /// A part of an answer; gives the next question to the same node, if there is one.
    pub fn arrive(&mut self, session: SessionId, part: DigestPart, now: Instant) -> Option<DigestAsk> {
        let bug = self.bug;
        let topic = self.topic_of(session, part.number)?;
        let peer = self.peers.get_mut(&(session, topic))?;
        let have = peer.publication;
        let pull = peer.pull.as_mut()?;
        self.allowance.spend(part.bytes.len());
        self.counts.received_bytes += part.bytes.len() as u64;
        if part.is_not_yet() {
            peer.pull = None;
            peer.next = now.plus_ms(CLUSTER_DIGEST_SOON_MS);
            return None;
        }
        if !part.is_possible() || (part.base != 0 && part.base != have) {
            self.counts.refused += 1;
            peer.pull = None;
            peer.fail(now);
            return None;
        }
        pull.take(part, now);
        if pull.awaited > 0 {
            return None;
        }
        if !pull.is_whole() {
            return self.allowance.has_some(now).then(|| pull.ask(have));
        }
        let pull = peer.pull.take()?;
        self.counts.taken += 1;
        self.counts.whole += u64::from(pull.base == 0);
        let keeps_base = bug == DigestBug::ForgetsWhatItHas && pull.base != 0;
        let before = peer.digest.rows.len();
        let taken = peer.take(pull, now);
        if keeps_base {
            peer.publication = have;
        }
        if taken.is_none() {
            self.counts.refused += 1;
            self.counts.taken -= 1;
            *peer = PeerDigest { is_asked: true, ..PeerDigest::default() };
            peer.fail(now);
        }
        self.rows = self.rows + peer.digest.rows.len() - before;
        if self.rows > CLUSTER_DIGEST_ROWS_IN_ALL {
            // Nobody's rows push out others': a node that tells too many is left out for a while.
            self.rows -= peer.digest.rows.len();
            let next = now.plus_ms(CLUSTER_DIGEST_KEPT_MS);
            *peer = PeerDigest { next, is_asked: true, ..PeerDigest::default() };
            self.counts.refused += 1;
        }
        None
    }

    /// What the question was about that this node was asked under this number.
    fn topic_of(&self, session: SessionId, number: u64) -> Option<DigestTopic> {
        let theirs = self.peers.range((session, DigestTopic::default())..).take_while(|((whose, _), _)| *whose == session);
        let mut asked = theirs.filter(|(_, peer)| peer.pull.as_ref().is_some_and(|pull| pull.number == number));
        asked.next().map(|((_, topic), _)| *topic)
    }
}

fn is_recent(looked: Instant, now: Instant) -> bool {
    (now.since(looked).as_millis() as u64) < CLUSTER_DIGEST_WANTED_MS
}

impl DigestPart {
    fn is_not_yet(&self) -> bool {
        self.publication == 0 && self.count == 0
    }

    fn is_possible(&self) -> bool {
        let count = usize::from(self.count);
        let is_full = self.bytes.len() == DIGEST_PART_BYTES;
        let is_last = self.index.checked_add(1) == Some(self.count);
        let has_its_length = is_full || (is_last && self.bytes.len() < DIGEST_PART_BYTES);
        self.index < self.count && count <= CLUSTER_DIGEST_PARTS && has_its_length && self.publication != 0
    }
}

impl PeerDigest {
    fn fail(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.next = now.plus_ms(((CLUSTER_DIGEST_MS / 4) << self.failures.min(3)).min(CLUSTER_DIGEST_STALE_MS));
    }

    /// All parts of an answer. `None`: they are not what they should be.
    fn take(&mut self, pull: Pull, now: Instant) -> Option<()> {
        let bytes: Vec<u8> = pull.parts.into_iter().flatten().flatten().collect();
        if pull.base == 0 {
            self.digest = ReadDigest::default();
        }
        difference::read(&mut self.digest, &bytes).ok()?;
        (self.publication, self.as_of, self.failures) = (pull.publication, Some(pull.as_of), 0);
        self.next = now.plus_ms(CLUSTER_DIGEST_MS);
        Some(())
    }
}

impl Pull {
    fn new(number: u64, topic: DigestTopic, now: Instant) -> Pull {
        let (publication, base, parts, awaited) = (0, 0, Vec::new(), 0);
        Pull { number, topic, publication, base, as_of: now, parts, awaited, began: now, moved: now, attempts: 0 }
    }

    /// The next window: the first parts that are missing.
    fn ask(&mut self, have: u64) -> DigestAsk {
        let Pull { number, topic, publication, .. } = *self;
        if self.parts.is_empty() {
            // How many there are is told by the first that comes.
            self.awaited = 0;
            let wanted = (1u64 << CLUSTER_DIGEST_WINDOW) - 1;
            return DigestAsk { number, have, publication, first: 0, wanted, topic };
        }
        let missing = |parts: &[Option<Vec<u8>>]| parts.iter().position(Option::is_none).unwrap_or(0);
        let first = missing(&self.parts);
        let (mut wanted, mut count) = (0u64, 0);
        for (bit, _) in self.parts.iter().skip(first).take(64).enumerate().filter(|(_, part)| part.is_none()) {
            if count < CLUSTER_DIGEST_WINDOW {
                (wanted, count) = (wanted | 1 << bit, count + 1);
            }
        }
        self.awaited = count;
        DigestAsk { number, have, publication, first: first as u16, wanted, topic }
    }

    fn take(&mut self, part: DigestPart, now: Instant) {
        let is_newer = part.publication > self.publication;
        if is_newer || (part.publication == self.publication && part.base < self.base) {
            // The first one; or what was begun is not to be had any more.
            (self.publication, self.base) = (part.publication, part.base);
            self.parts = vec![None; usize::from(part.count)];
            self.as_of = now - Duration::from_millis(part.age_ms.into());
            self.awaited = u32::from(part.count).min(CLUSTER_DIGEST_WINDOW);
        }
        if (self.publication, self.base, self.parts.len()) != (part.publication, part.base, usize::from(part.count)) {
            return;
        }
        if let Some(place) = self.parts.get_mut(usize::from(part.index)).filter(|place| place.is_none()) {
            *place = Some(part.bytes);
            self.awaited = self.awaited.saturating_sub(1);
            (self.moved, self.attempts) = (now, 0);
        }
    }

    fn is_whole(&self) -> bool {
        self.parts.iter().all(Option::is_some)
    }
}

#[cfg(test)]
#[path = "gathering_tests.rs"]
mod tests;
