//! What happens on the other nodes: asked for while somebody listens to it, told event by event.
//!
//! A node numbers what is worth telling others (`runtime::events`: not each call) and keeps the newest of it. Who asks names the event that
//! it wants next, so the place of a reader is the reader's, and whoever is asked keeps nothing for anybody. An answer is a window of parts,
//! each a piece of one event with the event's number and the piece's place. Pieces are put together by their places: one that comes twice or
//! too late changes nothing, one that comes too early waits for those before it, and what was lost is asked for again. So no event is told
//! twice, and none is left out except what its node itself has forgotten; how many those are follows from the numbers, and is told.
//!
//! Rejected: pushing events to all nodes (paid traffic that nobody reads), and telling them as the figures are told (a difference to what was
//! told before needs memory for each reader; numbers do not).

use super::engine::Cluster;
use super::frame::{NEWS_PART_BYTES, NewsAsk, NewsPart, SCHEMA_OF_NEWS};
use super::health::PeerState;
use super::secret::SessionId;
use crate::base::limits::{
    CLUSTER_NEWS_ASKS, CLUSTER_NEWS_EVENT_BYTES, CLUSTER_NEWS_MS, CLUSTER_NEWS_QUIET_MS, CLUSTER_NEWS_WINDOW,
};
use crate::base::time::Instant;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The event that is asked for by who has none yet: one of the newest few.
pub const NEWEST: u64 = u64::MAX;

/// What a node has to tell: the events from number `first` on, as many as an answer may need.
#[derive(Clone, Debug, Default)]
pub struct NewsStock {
    /// The number of the oldest that is kept, and the one that the next event gets.
    pub oldest: u64,
    pub end: u64,
    pub first: u64,
    pub events: Vec<Arc<str>>,
}

/// The parts of an answer; where there is nothing new, one that says so.
pub fn answer(ask: &NewsAsk, stock: &NewsStock) -> Vec<NewsPart> {
    let NewsStock { oldest, end, first, .. } = *stock;
    let part = |event: u64| NewsPart { number: ask.number, oldest, end, event, ..NewsPart::default() };
    let mut parts: Vec<NewsPart> = Vec::new();
    for (event, text) in (first..).zip(&stock.events) {
        let begin = if event == ask.next { ask.skip as usize } else { 0 };
        let pieces = text.as_bytes().get(begin..).unwrap_or_default().chunks(NEWS_PART_BYTES);
        for (nth, piece) in pieces.enumerate().take(CLUSTER_NEWS_WINDOW - parts.len()) {
            let skip = (begin + nth * NEWS_PART_BYTES) as u32;
            parts.push(NewsPart { skip, length: text.len() as u32, bytes: piece.to_vec(), ..part(event) });
        }
        if parts.len() >= CLUSTER_NEWS_WINDOW {
            break;
        }
    }
    if parts.is_empty() {
        parts.push(part(end));
    }
    let count = parts.len();
    parts.iter_mut().enumerate().for_each(|(nth, part)| part.left = (count - 1 - nth) as u8);
    parts
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// One event, as its node wrote it.
    Event(Vec<u8>),
    /// So many events had been forgotten by their node before they were asked for.
    Lost(u64),
}

/// One node's news, as far as they are here.
#[derive(Default)]
struct PeerNews {
    /// The event that is wanted; none before the first answer.
    next: Option<u64>,
    /// What is here of it.
    begun: Vec<u8>,
    /// Pieces that came before those that they follow, by event and place.
    ahead: BTreeMap<(u64, usize), NewsPart>,
    /// The last questions. An answer that took longer than we waited for it is as good as a later one.
    numbers: [u64; NUMBERS],
    /// When something came of the question that is under way.
    moved: Option<Instant>,
    /// Where its answer ends, once its last part is here.
    over: Option<(u64, usize)>,
    due: Instant,
}

const NUMBERS: usize = 4;

/// Since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NewsCounts {
    pub told_bytes: u64,
    pub heard: u64,
    pub lost: u64,
    /// Parts that were none.
    pub refused: u64,
    pub unanswered: u64,
}

#[derive(Default)]
pub struct NewsReader {
    peers: BTreeMap<SessionId, PeerNews>,
    numbers: u64,
    heard: Vec<(SessionId, Heard)>,
    pub counts: NewsCounts,
}

impl NewsReader {
    /// The questions that are due to those who can be asked, when somebody listens. `shown`: all that are known, ascending.
    pub fn tick(&mut self, now: Instant, asked: &[SessionId], shown: &[SessionId]) -> Vec<(SessionId, NewsAsk)> {
        self.peers.retain(|session, _| shown.binary_search(session).is_ok());
        let mut under_way = 0;
        for peer in self.peers.values_mut() {
            let is_quiet = |at: Instant| now.since(at).as_millis() as u64 >= CLUSTER_NEWS_QUIET_MS;
            if peer.moved.is_some_and(is_quiet) {
                (peer.moved, peer.due) = (None, now);
                self.counts.unanswered += 1;
            }
            under_way += usize::from(peer.moved.is_some());
        }
        let mut due: Vec<(Instant, SessionId)> = asked
            .iter()
            .filter_map(|session| match self.peers.get(session) {
                None => Some((Instant::ZERO, *session)),
                Some(peer) => (peer.moved.is_none() && peer.due <= now).then_some((peer.due, *session)),
            })
            .collect();
        // Who waited longest comes first.
        due.sort_unstable_by_key(|(since, _)| *since);
        due.truncate(CLUSTER_NEWS_ASKS.saturating_sub(under_way));
        due.into_iter().map(|(_, session)| (session, self.ask(session, now))).collect()
    }

    fn ask(&mut self, session: SessionId, now: Instant) -> NewsAsk {
        self.numbers += 1;
        let number = self.numbers;
        let peer = self.peers.entry(session).or_default();
        peer.numbers.rotate_right(1);
        peer.numbers[0] = number;
        (peer.moved, peer.over) = (Some(now), None);
        NewsAsk { number, next: peer.next.unwrap_or(NEWEST), skip: peer.begun.len() as u32 }
    }

    /// A part of an answer; gives the next question to the same node, when its answer is over and there is more.
    pub fn arrive(&mut self, session: SessionId, part: NewsPart, now: Instant) -> Option<NewsAsk> {
        let peer = self.peers.get_mut(&session)?;
        if part.number == 0 || !peer.numbers.contains(&part.number) {
            return None;
        }
        if !part.is_possible() {
            self.counts.refused += 1;
            return None;
        }
        peer.moved = peer.moved.map(|_| now);
        let (end, mut heard) = (part.end, Vec::new());
        if part.left == 0 {
            peer.over = Some((part.event, part.skip as usize + part.bytes.len()));
        }
        peer.take(part, &mut heard);
        for what in heard {
            match what {
                Heard::Event(_) => self.counts.heard += 1,
                Heard::Lost(count) => self.counts.lost = self.counts.lost.saturating_add(count),
            }
            self.heard.push((session, what));
        }
        let is_over = peer.over.is_some_and(|over| peer.next.is_some_and(|next| (next, peer.begun.len()) >= over));
        if !is_over || peer.moved.is_none() {
            return None;
        }
        let has_more = peer.next.is_some_and(|next| next < end);
        (peer.moved, peer.due) = (None, now.plus_ms(CLUSTER_NEWS_MS));
        has_more.then(|| self.ask(session, now))
    }

    /// What came since this was asked last, in each node's order.
    pub fn take_heard(&mut self) -> Vec<(SessionId, Heard)> {
        std::mem::take(&mut self.heard)
    }
}

impl PeerNews {
    fn take(&mut self, part: NewsPart, heard: &mut Vec<Heard>) {
        // Whoever has nothing yet begins with a whole event.
        let wanted = *self.next.get_or_insert(part.event + u64::from(part.skip > 0));
        if part.oldest > wanted {
            // It is forgotten there, with those behind it, and what had come of it is of no use.
            heard.push(Heard::Lost(part.oldest - wanted));
            (self.next, self.begun) = (Some(part.oldest), Vec::new());
        }
        let is_missing = self.next == Some(part.event) && part.skip as usize == self.begun.len();
        if part.length > 0 && (is_missing || self.ahead.len() < 2 * CLUSTER_NEWS_WINDOW) {
            self.ahead.insert((part.event, part.skip as usize), part);
        }
        while let Some(piece) = self.next.and_then(|next| self.ahead.remove(&(next, self.begun.len()))) {
            self.begun.extend_from_slice(&piece.bytes);
            if self.begun.len() >= piece.length as usize {
                heard.push(Heard::Event(std::mem::take(&mut self.begun)));
                self.next = Some(piece.event + 1);
            }
        }
        // What is behind the place is here already.
        if let Some(next) = self.next {
            self.ahead = self.ahead.split_off(&(next, self.begun.len()));
        }
    }
}

impl NewsPart {
    fn is_possible(&self) -> bool {
        let ends = u64::from(self.skip) + self.bytes.len() as u64;
        let is_nothing = self.length == 0 && self.bytes.is_empty() && self.event == self.end;
        let is_piece = !self.bytes.is_empty() && ends <= u64::from(self.length) && self.event < self.end;
        self.length as usize <= CLUSTER_NEWS_EVENT_BYTES && self.oldest <= self.event && (is_nothing || is_piece)
    }
}

/// What was heard of one node, by what it said of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtherNews {
    pub node_id: String,
    pub region: String,
    pub what: Heard,
}

impl Cluster {
    /// Whether somebody listens to what happens on the other nodes.
    pub fn want_news(&mut self, is_wanted: bool) {
        self.news_wanted = is_wanted;
    }

    /// Questions of others that wait for what this node has to tell.
    pub fn take_news_asks(&mut self) -> Vec<(SessionId, NewsAsk)> {
        std::mem::take(&mut self.news_asks).into_iter().collect()
    }

    /// Answers one of them.
    pub fn tell_news(&mut self, to: SessionId, ask: &NewsAsk, stock: &NewsStock, now: Instant) {
        if !self.server.allowance.has_some(now) {
            self.server.held_back += 1;
            return;
        }
        for part in answer(ask, stock) {
            self.server.allowance.spend(part.bytes.len());
            self.news.counts.told_bytes += part.bytes.len() as u64;
            self.say(to, &super::frame::Frame::NewsPart(part));
        }
    }

    /// What was heard since this was asked last.
    pub fn take_news(&mut self) -> Vec<OtherNews> {
        let heard = self.news.take_heard();
        let named = |(session, what)| {
            let card = self.checkup.peer(session).and_then(|peer| peer.card.as_ref())?;
            Some(OtherNews { node_id: card.node_id.to_string(), region: card.region.to_string(), what })
        };
        heard.into_iter().filter_map(named).collect()
    }

    /// Keeps the newest question of a node, of so many nodes.
    pub(super) fn hear_news_ask(&mut self, session: SessionId, ask: NewsAsk) {
        if self.news_asks.len() < CLUSTER_NEWS_ASKS || self.news_asks.contains_key(&session) {
            self.news_asks.insert(session, ask);
        }
    }

    pub(super) fn hear_news_part(&mut self, session: SessionId, part: NewsPart, now: Instant) -> Option<NewsAsk> {
        self.gatherer.allowance.spend(part.bytes.len());
        let ask = self.news.arrive(session, part, now)?;
        // Without an allowance the question waits for its time, as one that was not answered does.
        (self.news_wanted && self.gatherer.allowance.has_some(now)).then_some(ask)
    }

    pub(super) fn news_due(&mut self, now: Instant) -> Vec<(SessionId, NewsAsk)> {
        let shown: Vec<SessionId> = self.checkup.peers().map(|(session, _)| session).collect();
        let is_able = |schema: u16| schema >= SCHEMA_OF_NEWS;
        let tells = self.checkup.peers().filter(|(_, peer)| {
            peer.state == PeerState::Responding && peer.card.as_ref().is_some_and(|card| is_able(card.schema))
        });
        let asked: Vec<SessionId> = match self.news_wanted && self.gatherer.allowance.has_some(now) {
            true => tells.map(|(session, _)| session).collect(),
            false => Vec::new(),
        };
        self.news.tick(now, &asked, &shown)
    }
}

#[cfg(test)]
#[path = "news_tests.rs"]
mod tests;
