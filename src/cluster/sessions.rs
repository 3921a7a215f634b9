//! Who may speak: sessions that have answered a challenge of ours, each from the addresses at which it did.
//!
//! A datagram that opens was made by somebody with the secret, at some time. To be believed, its session must first give back
//! a number that we drew a moment ago; so what was recorded, from before our start or before theirs, is worth nothing, and no
//! clock is compared. From then on counters tell what is new (`window`). An address, too, must have answered, so nobody can
//! point us at a third party.
//!
//! Strangers meet in three datagrams: `Meet {mine: a}`, `Meet {mine: b, yours: a}`, `Meet {yours: b}`. Anything else that a
//! stranger says is answered with a `Meet` as well: a node that forgot a session, or was restarted, is known again after one round trip.
//!
//! What strangers can cause is bounded: nothing is sent to whose datagram does not open; a challenge is as long as the shortest
//! datagram; one in a while to a session, so many in a second to all; each is good for one answer, from where it was sent, and for seconds.
//!
//! A session that appears where another one was is the restarted process: the older one is over at once. One that was challenged before
//! the present holder of the address had answered cannot take it back.

use super::frame::{Frame, Freshness, NO_FRESHNESS};
use super::seal::{NoHead, SealedHead};
use super::secret::{ClusterSecrets, SessionId};
use super::window::ReplayWindow;
use crate::base::limits::{
    CLUSTER_CHALLENGE_GAP_MS, CLUSTER_CHALLENGE_MS, CLUSTER_CHALLENGES, CLUSTER_CHALLENGES_PER_SECOND, CLUSTER_SESSION_ADDRESSES,
    CLUSTER_SESSION_SILENT_MS, CLUSTER_SESSIONS,
};
use crate::base::time::{Duration, Instant};
use arrayvec::ArrayVec;
use ring::aead::LessSafeKey;
use ring::hmac;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// Why a datagram was not listened to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Unheard {
    Malformed,
    /// Its version is another one, as a whole or in its kind.
    OtherVersion,
    /// It does not open: another secret, another cluster's name, or damaged.
    WrongSecret,
    /// Its counter was seen, or is too old.
    Replayed,
    /// Its session or address has not answered a challenge yet.
    Unproven,
    /// It opened, and says nothing that can be read.
    Unreadable,
    /// Too many strangers, or too many nodes.
    Busy,
}

impl Unheard {
    pub const ALL: [Unheard; 7] = [
        Unheard::Malformed,
        Unheard::OtherVersion,
        Unheard::WrongSecret,
        Unheard::Replayed,
        Unheard::Unproven,
        Unheard::Unreadable,
        Unheard::Busy,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Unheard::Malformed => "malformed",
            Unheard::OtherVersion => "other_version",
            Unheard::WrongSecret => "wrong_secret",
            Unheard::Replayed => "replayed",
            Unheard::Unproven => "unproven",
            Unheard::Unreadable => "unreadable",
            Unheard::Busy => "busy",
        }
    }
}

/// What a datagram was.
#[derive(PartialEq, Eq, Debug)]
pub enum DatagramArrival {
    /// Something that a proven session says.
    Said {
        session: SessionId,
        frame: Frame,
    },
    /// Strangers' business: `met` is who has answered our challenge with it, `answer` goes back to where it came from.
    Meeting {
        met: Option<Met>,
        answer: Option<Vec<u8>>,
    },
    /// One that we sent: the address to which it went is ours.
    Own,
    Unheard {
        why: Unheard,
        answer: Option<Vec<u8>>,
    },
}

/// A session has answered at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Met {
    pub session: SessionId,
    /// Not known until now.
    pub is_new: bool,
    /// The session that was at this address before.
    pub replaced: Option<SessionId>,
}

struct Known {
    /// One for each of our secrets.
    keys: Vec<LessSafeKey>,
    /// The place of the secret with which it spoke last.
    speaks: usize,
    window: ReplayWindow,
    /// Where it has answered; the last one that it spoke from comes first.
    addresses: ArrayVec<SocketAddr, CLUSTER_SESSION_ADDRESSES>,
    proven: Instant,
    heard: Instant,
}

struct Challenge {
    number: Freshness,
    /// From where the answer must come: what somebody sends on from elsewhere proves nothing about that place.
    to: SocketAddr,
    /// Who must answer; `None`: whoever is there.
    whom: Option<SessionId>,
    at: Instant,
}

/// A deliberate bug, to prove that the checkers find it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SessionBug {
    #[default]
    None,
    /// Counters are not looked at.
    NoWindow,
    /// Whoever has the secret is believed at once.
    NoChallenge,
}

pub struct Sessions {
    own: SessionId,
    secrets: ClusterSecrets,
    own_keys: Vec<LessSafeKey>,
    /// The last datagram's.
    counter: u64,
    known: BTreeMap<SessionId, Known>,
    /// Oldest first.
    challenges: VecDeque<Challenge>,
    /// The second in which challenges are counted, and how many there were.
    second: (u64, u32),
    /// Draws what nobody can guess from the seed.
    numbers: hmac::Key,
    drawn: u64,
    bug: SessionBug,
}

impl Sessions {
    /// `seed` must be unguessable and new at each start.
    pub fn new(secrets: ClusterSecrets, seed: [u8; 32], bug: SessionBug) -> Sessions {
        let numbers = hmac::Key::new(hmac::HMAC_SHA256, &seed);
        let own = SessionId(first_half(hmac::sign(&numbers, b"session").as_ref()));
        let own_keys = (0..secrets.count()).filter_map(|which| secrets.key(which, own)).collect();
        Sessions {
            own,
            secrets,
            own_keys,
            counter: 0,
            known: BTreeMap::new(),
            challenges: VecDeque::new(),
            second: (0, 0),
            numbers,
            drawn: 0,
            bug,
        }
    }

    pub fn own(&self) -> SessionId {
        self.own
    }

    pub fn is_known(&self, session: SessionId) -> bool {
        self.known.contains_key(&session)
    }

    /// Where a session is.
    pub fn address(&self, session: SessionId) -> Option<SocketAddr> {
        self.known.get(&session)?.addresses.first().copied()
    }

    /// When it was heard last.
    pub fn heard(&self, session: SessionId) -> Option<Instant> {
        self.known.get(&session).map(|known| known.heard)
    }

    pub fn all(&self) -> Vec<SessionId> {
        self.known.keys().copied().collect()
    }

    /// `frame` for a session, and where to send it; `None` for one that is not known.
    pub fn say(&mut self, session: SessionId, frame: &Frame) -> Option<(SocketAddr, Vec<u8>)> {
        let known = self.known.get(&session)?;
        let (to, speaks) = (*known.addresses.first()?, known.speaks);
        Some((to, self.seal(speaks, frame)?))
    }

    /// The first words to whoever is at an address. `attempt`: the secrets are tried in turns, the one to be replaced first,
    /// because that one is understood by those who have not been told of the new one yet.
    pub fn greet(&mut self, to: SocketAddr, attempt: u32, now: Instant) -> Option<Vec<u8>> {
        let count = self.own_keys.len();
        let which = count.saturating_sub(1 + attempt as usize % count.max(1));
        let mine = self.challenge(to, None, now);
        self.seal(which, &Frame::Meet { mine, yours: NO_FRESHNESS })
    }

    /// Forgets a session that is over.
    pub fn forget(&mut self, session: SessionId) {
        self.known.remove(&session);
    }

    /// Forgets who was silent for long.
    pub fn prune(&mut self, now: Instant) {
        let silent = Duration::from_millis(CLUSTER_SESSION_SILENT_MS);
        self.known.retain(|_, known| now.since(known.heard) < silent);
    }

    pub fn arrive(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> DatagramArrival {
        let head = match SealedHead::read(datagram) {
            Ok(head) => head,
            Err(NoHead::Malformed) => return unheard(Unheard::Malformed),
            Err(NoHead::OtherVersion) => return unheard(Unheard::OtherVersion),
        };
        if head.session == self.own {
            let opens = self.own_keys.iter().any(|key| head.open(key, datagram).is_some());
            return if opens { DatagramArrival::Own } else { unheard(Unheard::WrongSecret) };
        }
        let Some((which, plain)) = self.open(head, datagram) else { return unheard(Unheard::WrongSecret) };
        let bug = self.bug;
        if let Some(known) = self.known.get_mut(&head.session) {
            if !known.window.take(head.counter) && bug != SessionBug::NoWindow {
                return unheard(Unheard::Replayed);
            }
            known.speaks = which;
            known.is_heard_from(from, now);
        }
        let frame = match Frame::read(&plain) {
            Ok(frame) => frame,
            Err(super::frame::NoFrame::Unreadable) => return unheard(Unheard::Unreadable),
            Err(super::frame::NoFrame::OtherKind) => return unheard(Unheard::OtherVersion),
        };
        if let Frame::Meet { mine, yours } = frame {
            return self.meet(Stranger { head, which, from }, mine, yours, now);
        }
        if bug == SessionBug::NoChallenge && !self.is_at(head.session, from) {
            self.admit(Stranger { head, which, from }, now, now);
        }
        if self.is_at(head.session, from) {
            return DatagramArrival::Said { session: head.session, frame };
        }
        let answer = self.answer(Stranger { head, which, from }, NO_FRESHNESS, now);
        DatagramArrival::Unheard { why: Unheard::Unproven, answer }
    }

    fn open(&self, head: SealedHead, datagram: &[u8]) -> Option<(usize, Vec<u8>)> {
        if let Some(known) = self.known.get(&head.session) {
            return known.keys.iter().enumerate().find_map(|(which, key)| Some((which, head.open(key, datagram)?)));
        }
        (0..self.secrets.count()).find_map(|which| Some((which, head.open(&self.secrets.key(which, head.session)?, datagram)?)))
    }

    fn is_at(&self, session: SessionId, address: SocketAddr) -> bool {
        self.known.get(&session).is_some_and(|known| known.addresses.contains(&address))
    }

    fn meet(&mut self, who: Stranger, mine: Freshness, yours: Freshness, now: Instant) -> DatagramArrival {
        let mut met = None;
        if yours != NO_FRESHNESS
            && let Some(challenge) = self.answered(yours, who, now)
        {
            let Some(admitted) = self.admit(who, challenge.at, now) else { return unheard(Unheard::Busy) };
            met = Some(admitted);
        }
        if mine == NO_FRESHNESS {
            return DatagramArrival::Meeting { met, answer: None };
        }
        match self.answer(who, mine, now) {
            Some(answer) => DatagramArrival::Meeting { met, answer: Some(answer) },
            None if met.is_some() => DatagramArrival::Meeting { met, answer: None },
            None => unheard(Unheard::Busy),
        }
    }

    /// A `Meet` for a stranger: gives back what it asked for, and asks unless it has answered at this address before.
    fn answer(&mut self, who: Stranger, yours: Freshness, now: Instant) -> Option<Vec<u8>> {
        let mine = if self.is_at(who.head.session, who.from) {
            NO_FRESHNESS
        } else {
            let whom = Some(who.head.session);
            let gap = Duration::from_millis(CLUSTER_CHALLENGE_GAP_MS);
            let is_recent = |c: &Challenge| c.whom == whom && c.to == who.from && now.since(c.at) < gap;
            if self.challenges.iter().any(is_recent) || !self.may_challenge(now) {
                return None;
            }
            self.challenge(who.from, whom, now)
        };
        self.seal(who.which, &Frame::Meet { mine, yours })
    }

    fn may_challenge(&mut self, now: Instant) -> bool {
        let second = now.as_ms() / 1000;
        if self.second.0 != second {
            self.second = (second, 0);
        }
        self.second.1 += 1;
        self.second.1 <= CLUSTER_CHALLENGES_PER_SECOND
    }

    fn challenge(&mut self, to: SocketAddr, whom: Option<SessionId>, now: Instant) -> Freshness {
        let lifetime = Duration::from_millis(CLUSTER_CHALLENGE_MS);
        while self.challenges.front().is_some_and(|oldest| now.since(oldest.at) >= lifetime)
            || self.challenges.len() >= CLUSTER_CHALLENGES
        {
            self.challenges.pop_front();
        }
        self.drawn += 1;
        let number = first_half(hmac::sign(&self.numbers, &self.drawn.to_be_bytes()).as_ref());
        self.challenges.push_back(Challenge { number, to, whom, at: now });
        number
    }

    /// The challenge that `who` answers with this number; it is good for this one answer.
    fn answered(&mut self, number: Freshness, who: Stranger, now: Instant) -> Option<Challenge> {
        let lifetime = Duration::from_millis(CLUSTER_CHALLENGE_MS);
        let is_it = |c: &Challenge| {
            let is_theirs = c.to == who.from && c.whom.is_none_or(|session| session == who.head.session);
            c.number == number && is_theirs && now.since(c.at) < lifetime
        };
        let place = self.challenges.iter().position(is_it)?;
        self.challenges.remove(place)
    }

    /// `who` has answered what was asked at `asked`. `None`: there is no room, or the address has a newer holder.
    fn admit(&mut self, who: Stranger, asked: Instant, now: Instant) -> Option<Met> {
        let (session, from) = (who.head.session, who.from);
        let holds = |(other, known): &(&SessionId, &Known)| **other != session && known.addresses.contains(&from);
        let holder = self.known.iter().find(holds).map(|(other, known)| (*other, known.proven));
        if holder.is_some_and(|(_, proven)| proven > asked) {
            return None;
        }
        let replaced = holder.map(|(other, _)| other);
        replaced.iter().for_each(|other| self.forget(*other));
        let is_new = !self.is_known(session);
        if is_new {
            if self.known.len() >= CLUSTER_SESSIONS {
                return None;
            }
            let keys = (0..self.secrets.count()).filter_map(|which| self.secrets.key(which, session)).collect();
            // What it said before it proved itself may be a recording.
            let window = ReplayWindow::after(who.head.counter);
            let known = Known { keys, speaks: who.which, window, addresses: ArrayVec::new(), proven: now, heard: now };
            self.known.insert(session, known);
        }
        let known = self.known.get_mut(&session)?;
        known.proven = now;
        if !known.addresses.contains(&from) {
            if known.addresses.is_full() {
                known.addresses.pop();
            }
            known.addresses.insert(0, from);
        }
        known.is_heard_from(from, now);
        Some(Met { session, is_new, replaced })
    }

    fn seal(&mut self, which: usize, frame: &Frame) -> Option<Vec<u8>> {
        self.counter = self.counter.checked_add(1)?; // a nonce is never used twice
        let head = SealedHead { session: self.own, counter: self.counter };
        head.seal(self.own_keys.get(which)?, frame.write())
    }
}

impl Known {
    fn is_heard_from(&mut self, from: SocketAddr, now: Instant) {
        if let Some(place) = self.addresses.iter().position(|address| *address == from) {
            self.addresses.swap(0, place);
            self.heard = now;
        }
    }
}

/// Who sent a datagram that opened, with which secret, and from where.
#[derive(Clone, Copy)]
struct Stranger {
    head: SealedHead,
    which: usize,
    from: SocketAddr,
}

fn unheard(why: Unheard) -> DatagramArrival {
    DatagramArrival::Unheard { why, answer: None }
}

fn first_half(tag: &[u8]) -> [u8; 16] {
    tag.first_chunk::<16>().copied().unwrap_or([0; 16])
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
