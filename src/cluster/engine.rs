//! One node's part of the cluster: datagrams and moments in; datagrams, changes and a view out.
//!
//! It joins the parts: what arrives goes through `sessions`; who is met is greeted no more (`discovery`), introduced to the members
//! (`membership`) and checked (`health`). Nothing here is on a request's path, and nothing that a request needs comes from here.

use super::advice::{AdviceBook, AdvicePolicy, Counsel, OwnWord, UpstreamKey};
use super::discovery::Contacts;
use super::frame::{Frame, NewsAsk, NodeCard};
use super::gathering::Gatherer;
use super::health::{Checkup, PeerChange, PeerNews, PeerState};
use super::membership::{Membership, Standing};
use super::news::NewsReader;
use super::secret::{ClusterSecrets, SessionId};
use super::serving::DigestServer;
use super::sessions::{DatagramArrival, Met, SessionBug, Sessions, Unheard};
use super::view::{ClusterView, DatagramCounts, PeerView};
use crate::base::limits::{CLUSTER_COMPLAINT_MS, CLUSTER_DISCOVERY_MS, CLUSTER_FRESH_MS, CLUSTER_QUIET_MS};
use crate::base::rng::Rng;
use crate::base::time::{Instant, WallTime};
use crate::observe::question::Order;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What people should be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClusterEvent {
    Changed(Box<PeerChange>),
    /// Somebody speaks with another secret or under another name; how many such datagrams came since this was told last.
    WrongSecret {
        from: SocketAddr,
        count: u64,
    },
    /// No datagrams can be taken; tried again until they can.
    NoSocket {
        at: SocketAddr,
        why: String,
    },
    /// What should name the other nodes names none.
    NobodyNamed,
    /// An order for every node found no room among those that stand.
    OrderUntold,
}

/// When something happens: for rules, and for display.
#[derive(Clone, Copy, Debug)]
pub struct ClusterMoment {
    pub now: Instant,
    pub wall: WallTime,
}

/// What a cluster's nodes have agreed on, each by its own settings.
pub struct ClusterTerms {
    pub secrets: ClusterSecrets,
    pub advice: AdvicePolicy,
}

pub struct Cluster {
    pub(super) card: NodeCard,
    sessions: Sessions,
    membership: Membership,
    contacts: Contacts,
    pub(super) checkup: Checkup,
    advice: AdviceBook,
    pub(super) server: DigestServer,
    pub(super) gatherer: Gatherer,
    pub(super) news: NewsReader,
    pub(super) news_wanted: bool,
    pub(super) news_asks: BTreeMap<SessionId, NewsAsk>,
    rng: Rng,
    out: Vec<(SocketAddr, Vec<u8>)>,
    events: Vec<ClusterEvent>,
    datagrams: DatagramCounts,
    /// When a wrong secret was told of last, and how often one was met since.
    complained: Option<Instant>,
    strangers: u64,
    next_reunion: Instant,
    has_left: bool,
}

impl Cluster {
    /// `seed` must be unguessable and new at each start.
    pub fn new(card: NodeCard, terms: ClusterTerms, seed: [u8; 32], mut rng: Rng, bug: SessionBug) -> Cluster {
        let ClusterTerms { secrets, advice } = terms;
        let sessions = Sessions::new(secrets, seed, bug);
        Cluster {
            card,
            membership: Membership::new(sessions.own(), rng.fork(1)),
            sessions,
            contacts: Contacts::default(),
            checkup: Checkup::default(),
            advice: AdviceBook::new(advice),
            server: DigestServer::default(),
            gatherer: Gatherer::default(),
            news: NewsReader::default(),
            news_wanted: false,
            news_asks: BTreeMap::new(),
            rng,
            out: Vec::new(),
            events: Vec::new(),
            datagrams: DatagramCounts::default(),
            complained: None,
            strangers: 0,
            next_reunion: Instant::ZERO,
            has_left: false,
        }
    }

    /// What discovery has found.
    pub fn found(&mut self, addresses: Vec<SocketAddr>, now: Instant) {
        self.contacts.found(addresses, now);
    }

    pub fn arrive(&mut self, from: SocketAddr, datagram: &[u8], at: ClusterMoment) {
        self.datagrams.received += 1;
        self.datagrams.received_bytes += datagram.len() as u64;
        if self.has_left {
            return;
        }
        match self.sessions.arrive(from, datagram, at.now) {
            DatagramArrival::Own => self.contacts.is_own(from, at.now),
            DatagramArrival::Said { session, frame } => self.hear(session, frame, from, at),
            DatagramArrival::Meeting { met, answer } => {
                met.into_iter().for_each(|met| self.meet(met, from, at.now));
                answer.into_iter().for_each(|answer| self.send(from, answer));
            }
            DatagramArrival::Unheard { why, answer } => {
                self.count(why, from, at.now);
                answer.into_iter().for_each(|answer| self.send(from, answer));
            }
        }
        self.carry(at.now);
    }

    fn hear(&mut self, session: SessionId, frame: Frame, from: SocketAddr, at: ClusterMoment) {
        self.datagrams.heard += 1;
        match frame {
            Frame::Meet { .. } => {}
            Frame::Membership(message) => {
                if self.membership.arrive(session, from, &message, at.now).is_err() {
                    self.count(Unheard::Unreadable, from, at.now);
                }
            }
            Frame::Check { number } => {
                let answer = Frame::Answer { number, wall_ms: at.wall.0, card: Box::new(self.card.clone()) };
                self.say(session, &answer);
            }
            Frame::Answer { number, wall_ms, card } => {
                self.checkup.answered(session, (number, wall_ms, *card), at.now, at.wall);
            }
            Frame::Advice(advice) => self.advice.hear(session, *advice, at.now),
            Frame::Bye => {
                self.checkup.left(session);
                self.advice.forget(session);
                self.membership.replace(session, at.now);
                self.sessions.forget(session);
            }
            Frame::DigestAsk(ask) => {
                for part in self.server.answer(&ask, at.now) {
                    self.say(session, &Frame::DigestPart(part));
                }
            }
            Frame::DigestPart(part) => {
                if let Some(ask) = self.gatherer.arrive(session, part, at.now) {
                    self.say(session, &Frame::DigestAsk(ask));
                }
            }
            Frame::NewsAsk(ask) => self.hear_news_ask(session, ask),
            Frame::NewsPart(part) => {
                if let Some(ask) = self.hear_news_part(session, part, at.now) {
                    self.say(session, &Frame::NewsAsk(ask));
                }
            }
        }
    }

    fn meet(&mut self, met: Met, from: SocketAddr, now: Instant) {
        self.contacts.answered(met.session, from);
        self.checkup.met(met.session, from, met.replaced, now);
        met.replaced.into_iter().for_each(|old| self.membership.replace(old, now));
        if met.is_new {
            self.advice.on_met(now);
            self.membership.introduce(met.session, from, now);
        }
    }

    fn count(&mut self, why: Unheard, from: SocketAddr, now: Instant) {
        *self.datagrams.unheard.entry(why).or_default() += 1;
        if why != Unheard::WrongSecret {
            return;
        }
        self.strangers += 1;
        if self.complained.is_none_or(|at| now.since(at).as_millis() as u64 >= CLUSTER_COMPLAINT_MS) {
            self.complained = Some(now);
            let count = std::mem::take(&mut self.strangers);
            self.events.push(ClusterEvent::WrongSecret { from, count });
        }
    }

    /// Whatever is due by now.
    pub fn tick(&mut self, now: Instant) {
        if self.has_left {
            return;
        }
        self.sessions.prune(now);
        self.membership.tick(now);
        self.reunite(now);
        let sessions = &self.sessions;
        for (address, attempt) in self.contacts.due(now, |session| lives(sessions, session, now)) {
            if let Some(datagram) = self.sessions.greet(address, attempt, now) {
                self.send(address, datagram);
            }
        }
        let (sessions, membership) = (&self.sessions, &self.membership);
        let news = |session| PeerNews { standing: membership.standing(session), heard: sessions.heard(session) };
        for (session, number) in self.checkup.tick(now, &mut self.rng, news) {
            self.say(session, &Frame::Check { number });
        }
        for change in self.checkup.take_changes() {
            if change.to == Some(PeerState::Disconnected) {
                // A datagram of it that somebody held back must not bring it to life: it has to answer a challenge again.
                self.sessions.forget(change.session);
                self.advice.forget(change.session);
            }
            self.events.push(ClusterEvent::Changed(Box::new(change)));
        }
        self.advise(now);
        for (session, ask) in self.digests_due(now) {
            self.say(session, &Frame::DigestAsk(ask));
        }
        for (session, ask) in self.news_due(now) {
            self.say(session, &Frame::NewsAsk(ask));
        }
        self.carry(now);
    }

    /// Everybody who can be heard is told what is due.
    fn advise(&mut self, now: Instant) {
        for advice in self.advice.tick(now) {
            let frame = Frame::Advice(Box::new(advice));
            for session in self.sessions.all() {
                if self.sessions.heard(session).is_some_and(|at| now.since(at).as_millis() as u64 <= CLUSTER_QUIET_MS) {
                    self.say(session, &frame);
                }
            }
        }
    }

    /// What this node knows of providers by itself.
    pub fn know(&mut self, own: &[OwnWord], now: Instant) {
        self.advice.know(own, now);
    }

    /// An operator wants this on every node. False: there is no room for another order.
    pub fn order(&mut self, upstream: UpstreamKey, order: Order, now: Instant) -> bool {
        self.advice.order(upstream, order, (self.sessions.own(), self.card.node_id), now)
    }

    /// What the others advise, when that has changed.
    pub fn take_counsel(&mut self) -> Option<Counsel> {
        let checkup = &self.checkup;
        let name = |session| {
            let peer = checkup.peers().find(|(of, _)| *of == session);
            peer.and_then(|(_, peer)| peer.card.as_ref()).map(|card| card.node_id).unwrap_or_default()
        };
        self.advice.take_counsel(self.sessions.own(), name)
    }

    /// Who can be heard and is no member, or is thought to be down, is introduced again; members whom we never met are worth
    /// a greeting.
    fn reunite(&mut self, now: Instant) {
        if now < self.next_reunion {
            return;
        }
        self.next_reunion = now.plus_ms(CLUSTER_DISCOVERY_MS);
        for session in self.sessions.all() {
            let is_member = matches!(self.membership.standing(session), Some(Standing::Alive | Standing::Suspect));
            let is_heard = self.sessions.heard(session).is_some_and(|at| is_fresh(at, now));
            if let Some(address) = self.sessions.address(session).filter(|_| !is_member && is_heard) {
                self.membership.introduce(session, address, now);
            }
        }
        let unmet = self.membership.standings().filter(|(session, _, standing)| {
            *standing != Standing::Down && *session != self.sessions.own() && !self.sessions.is_known(*session)
        });
        let hints: Vec<SocketAddr> = unmet.map(|(_, hint, _)| hint).collect();
        self.contacts.found(hints, now);
    }

    /// Tells everybody that this node ends.
    pub fn leave(&mut self, now: Instant) {
        if std::mem::replace(&mut self.has_left, true) {
            return;
        }
        self.membership.leave(now);
        self.carry(now);
        for session in self.sessions.all() {
            self.say(session, &Frame::Bye);
        }
    }

    /// Brings the membership protocol's messages on their way. One for a member whom we never met is lost, as datagrams are; the
    /// member is greeted.
    fn carry(&mut self, now: Instant) {
        for outgoing in self.membership.take_outgoing() {
            if self.sessions.is_known(outgoing.to) {
                self.say(outgoing.to, &Frame::Membership(outgoing.message));
            } else {
                self.contacts.found([outgoing.hint], now);
            }
        }
    }

    pub(super) fn say(&mut self, session: SessionId, frame: &Frame) {
        if let Some((to, datagram)) = self.sessions.say(session, frame) {
            self.send(to, datagram);
        }
    }

    fn send(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        self.datagrams.sent += 1;
        self.datagrams.sent_bytes += datagram.len() as u64;
        self.out.push((to, datagram));
    }

    /// What is to be sent, in order.
    pub fn take_datagrams(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.out)
    }

    pub fn take_events(&mut self) -> Vec<ClusterEvent> {
        std::mem::take(&mut self.events)
    }

    pub fn view(&self) -> ClusterView {
        let mut peers: Vec<PeerView> = self
            .checkup
            .peers()
            .map(|(session, peer)| PeerView {
                card: peer.card.clone(),
                address: self.sessions.address(session).unwrap_or(peer.address),
                state: peer.state,
                heard: peer.heard,
                clock_skew_ms: peer.clock_skew_ms,
            })
            .collect();
        peers.sort_by_key(|peer| peer.address);
        ClusterView { peers, datagrams: self.datagrams.clone(), digests: self.digest_counts(), news: self.news.counts }
    }
}

fn is_fresh(heard: Instant, now: Instant) -> bool {
    (now.since(heard).as_millis() as u64) < CLUSTER_FRESH_MS
}

/// A session that is spoken with needs no greeting; one that fell silent may have been replaced.
fn lives(sessions: &Sessions, session: SessionId, now: Instant) -> bool {
    sessions.heard(session).is_some_and(|at| (now.since(at).as_millis() as u64) < CLUSTER_QUIET_MS)
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "strangers_tests.rs"]
mod strangers;
