//! How each other node is: connected → discovering → responding ⇄ unresponsive → disconnected (forgotten after a day).
//!
//! Two sources: our own checks (a question every 15 s, answered with the node's card within 5 s), and what the members
//! say of each other. Ours is stronger: whom the members doubt is asked at once, each second, and only who gives no answer for some
//! seconds is shown as they say, so that one node with half a network does not make all others flicker. Answers count and not what is
//! merely heard: a datagram that somebody held back says nothing of now.
//!
//! A node that says that it leaves is forgotten at once; one that vanishes is shown for a day. Entries are sessions: several nodes may
//! have one id, and a restarted process takes its older self's place by its address.

use super::frame::NodeCard;
use super::membership::Standing;
use super::secret::SessionId;
use crate::base::limits::{
    CLUSTER_CHECK_FAILURES, CLUSTER_CHECK_MS, CLUSTER_CHECK_TIMEOUT_MS, CLUSTER_DOUBT_MS, CLUSTER_FORGET_MS, CLUSTER_FRESH_MS,
    CLUSTER_INTRODUCTION_MS, CLUSTER_NODES, CLUSTER_SILENT_MS,
};
use crate::base::rng::Rng;
use crate::base::time::{Instant, WallTime};
use std::collections::BTreeMap;
use std::net::SocketAddr;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PeerState {
    /// It has proved itself and was not asked yet.
    Connected,
    /// Who it is has been asked.
    Discovering,
    Responding,
    /// Three checks failed in a row, or the members suspect it and it is silent.
    Unresponsive,
    /// The members have declared it down, or it was silent for minutes.
    Disconnected,
}

impl PeerState {
    pub const ALL: [PeerState; 5] =
        [PeerState::Connected, PeerState::Discovering, PeerState::Responding, PeerState::Unresponsive, PeerState::Disconnected];

    pub fn word(self) -> &'static str {
        match self {
            PeerState::Connected => "connected",
            PeerState::Discovering => "discovering",
            PeerState::Responding => "responding",
            PeerState::Unresponsive => "unresponsive",
            PeerState::Disconnected => "disconnected",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerHealth {
    pub address: SocketAddr,
    /// `None` until it has answered once.
    pub card: Option<NodeCard>,
    pub state: PeerState,
    /// When anything of it was heard last.
    pub heard: Instant,
    /// When it last answered something that we had just drawn.
    proved: Instant,
    /// Since when the members suspect it, or hold it for down.
    doubted: Option<Instant>,
    /// Its clock against ours, at its last answer.
    pub clock_skew_ms: Option<i64>,
    /// It has answered since it (re)appeared.
    has_answered: bool,
    /// Checks that failed in a row.
    failures: u32,
    /// The check under way: its number, and when it was sent.
    asked: Option<(u64, Instant)>,
    next_check: Instant,
}

/// A node is no longer as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerChange {
    pub session: SessionId,
    pub peer: PeerHealth,
    /// `None`: it is new.
    pub from: Option<PeerState>,
    /// `None`: it has left.
    pub to: Option<PeerState>,
}

/// What was learnt of a session elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PeerNews {
    pub standing: Option<Standing>,
    pub heard: Option<Instant>,
}

#[derive(Default)]
pub struct Checkup {
    peers: BTreeMap<SessionId, PeerHealth>,
    numbers: u64,
    changes: Vec<PeerChange>,
}

impl Checkup {
    pub fn peers(&self) -> impl Iterator<Item = (SessionId, &PeerHealth)> {
        self.peers.iter().map(|(session, peer)| (*session, peer))
    }

    pub fn peer(&self, session: SessionId) -> Option<&PeerHealth> {
        self.peers.get(&session)
    }

    pub fn take_changes(&mut self) -> Vec<PeerChange> {
        std::mem::take(&mut self.changes)
    }

    /// A session has proved itself at an address; `replaced` is the one that was there before.
    pub fn met(&mut self, session: SessionId, address: SocketAddr, replaced: Option<SessionId>, now: Instant) {
        replaced.and_then(|old| self.peers.remove(&old));
        if let Some(peer) = self.peers.get_mut(&session) {
            (peer.heard, peer.proved) = (now, now);
            if peer.state == PeerState::Disconnected {
                peer.begin_again(now);
                let (from, to) = (Some(PeerState::Disconnected), Some(peer.state));
                self.changes.push(PeerChange { session, peer: peer.clone(), from, to });
            }
            return;
        }
        // Whoever was at this address before under a session that nobody remembers.
        self.peers.retain(|_, peer| peer.state != PeerState::Disconnected || peer.address != address);
        if self.peers.len() >= CLUSTER_NODES && !self.drop_one_that_is_gone() {
            return;
        }
        let peer = PeerHealth {
            address,
            card: None,
            state: PeerState::Connected,
            heard: now,
            proved: now,
            doubted: None,
            clock_skew_ms: None,
            has_answered: false,
            failures: 0,
            asked: None,
            next_check: now,
        };
        self.changes.push(PeerChange { session, peer: peer.clone(), from: None, to: Some(PeerState::Connected) });
        self.peers.insert(session, peer);
    }

    fn drop_one_that_is_gone(&mut self) -> bool {
        let gone = self.peers.iter().filter(|(_, peer)| peer.state == PeerState::Disconnected);
        let oldest = gone.min_by_key(|(_, peer)| peer.heard).map(|(session, _)| *session);
        oldest.and_then(|session| self.peers.remove(&session)).is_some()
    }

    /// It has said that it ends.
    pub fn left(&mut self, session: SessionId) {
        if let Some(peer) = self.peers.remove(&session) {
            self.changes.push(PeerChange { session, from: Some(peer.state), to: None, peer });
        }
    }

    /// It answers check `number`; `wall_ms` is its clock then, `wall` ours now.
    pub fn answered(&mut self, session: SessionId, answer: (u64, u64, NodeCard), now: Instant, wall: WallTime) {
        let (number, wall_ms, card) = answer;
        let Some(peer) = self.peers.get_mut(&session) else { return };
        let Some((_, asked)) = peer.asked.filter(|(asked, _)| *asked == number) else { return };
        let half_a_trip = now.since(asked).as_millis() as u64 / 2;
        let skew = i128::from(wall_ms) - i128::from(wall.0) + i128::from(half_a_trip);
        peer.clock_skew_ms = i64::try_from(skew).ok();
        peer.card = Some(card);
        peer.has_answered = true;
        (peer.asked, peer.failures, peer.heard, peer.proved) = (None, 0, now, now);
    }

    /// What is due: the checks to send, as numbers. `news` is what was learnt of a session elsewhere.
    pub fn tick(&mut self, now: Instant, rng: &mut Rng, news: impl Fn(SessionId) -> PeerNews) -> Vec<(SessionId, u64)> {
        let mut checks = Vec::new();
        for (session, peer) in &mut self.peers {
            let news = news(*session);
            peer.heard = peer.heard.max(news.heard.unwrap_or_default());
            let is_doubted = matches!(news.standing, Some(Standing::Suspect | Standing::Down));
            peer.doubted = if is_doubted { peer.doubted.or(Some(now)) } else { None };
            peer.time_out(now);
            let was = peer.state;
            peer.state = peer.judged(news.standing, now);
            if peer.state != PeerState::Disconnected && peer.is_to_be_asked(now) {
                self.numbers += 1;
                peer.asked = Some((self.numbers, now));
                let jitter = rng.below(CLUSTER_CHECK_MS / 8);
                peer.next_check = now.plus_ms(peer.interval_ms() - jitter.min(peer.interval_ms() / 8));
                checks.push((*session, self.numbers));
                peer.state = peer.judged(news.standing, now);
            }
            if peer.state != was {
                self.changes.push(PeerChange { session: *session, peer: peer.clone(), from: Some(was), to: Some(peer.state) });
            }
        }
        let forgotten = |peer: &PeerHealth| {
            peer.state == PeerState::Disconnected && now.since(peer.heard).as_millis() as u64 >= CLUSTER_FORGET_MS
        };
        self.peers.retain(|_, peer| !forgotten(peer));
        checks
    }
}

impl PeerHealth {
    /// Who it is, is asked more often until it is known.
    fn is_being_introduced(&self) -> bool {
        !self.has_answered && self.failures < CLUSTER_CHECK_FAILURES
    }

    fn interval_ms(&self) -> u64 {
        if self.is_being_introduced() { CLUSTER_INTRODUCTION_MS } else { CLUSTER_CHECK_MS }
    }

    fn time_out(&mut self, now: Instant) {
        let patience_ms = if self.is_being_introduced() { CLUSTER_INTRODUCTION_MS } else { CLUSTER_CHECK_TIMEOUT_MS };
        if self.asked.is_some_and(|(_, at)| now.since(at).as_millis() as u64 >= patience_ms) {
            self.asked = None;
            self.failures = self.failures.saturating_add(1);
        }
    }

    fn begin_again(&mut self, now: Instant) {
        (self.failures, self.asked, self.next_check, self.has_answered) = (0, None, now, false);
        (self.state, self.doubted) = (PeerState::Connected, None);
    }

    fn is_to_be_asked(&self, now: Instant) -> bool {
        match (self.doubted, self.asked) {
            (_, None) if self.next_check <= now => true,
            (Some(_), None) => ms_since(self.proved, now) >= CLUSTER_DOUBT_MS,
            (Some(_), Some((_, asked))) => ms_since(asked, now) >= CLUSTER_DOUBT_MS,
            (None, _) => false,
        }
    }

    /// It is doubted, and has not answered us either.
    fn is_silent(&self, now: Instant) -> bool {
        self.doubted.is_some_and(|since| ms_since(since.max(self.proved), now) >= CLUSTER_FRESH_MS)
    }

    fn judged(&self, standing: Option<Standing>, now: Instant) -> PeerState {
        let is_silent = self.is_silent(now);
        let is_gone = self.state == PeerState::Disconnected || (is_silent && standing == Some(Standing::Down));
        if is_gone || ms_since(self.proved, now) >= CLUSTER_SILENT_MS {
            return PeerState::Disconnected;
        }
        if self.failures >= CLUSTER_CHECK_FAILURES || (is_silent && standing == Some(Standing::Suspect)) {
            return PeerState::Unresponsive;
        }
        match self.state {
            _ if !self.has_answered && self.asked.is_none() && self.failures == 0 => PeerState::Connected,
            _ if !self.has_answered => PeerState::Discovering,
            // One that was unresponsive for its checks has to answer again.
            PeerState::Unresponsive if self.failures > 0 => PeerState::Unresponsive,
            _ => PeerState::Responding,
        }
    }
}

fn ms_since(earlier: Instant, now: Instant) -> u64 {
    now.since(earlier).as_millis() as u64
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
