//! What of our own figures others are told, when they ask.
//!
//! A few of our last digests are kept, so that whoever has one of them is told the difference only. Differences are made once for each
//! digest that somebody has, and kept while they are asked for part by part. So much is sent in a second and no more: who asks beyond it
//! gets nothing, asks again, and shows older figures meanwhile.

use super::difference;
use super::digest::{DigestTopic, NodeDigest};
use super::frame::{DIGEST_PART_BYTES, DigestAsk, DigestPart};
use crate::base::limits::{
    CLUSTER_DIGEST_ANSWERS, CLUSTER_DIGEST_BYTES_PER_SECOND, CLUSTER_DIGEST_PARTS, CLUSTER_DIGEST_STALE_MS,
    CLUSTER_DIGEST_WANTED_MS, CLUSTER_DIGEST_WINDOW, CLUSTER_DIGESTS_KEPT,
};
use crate::base::time::Instant;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes that may be moved: so many a second, and what was not moved for at most a second.
#[derive(Clone, Copy, Debug)]
pub struct ByteAllowance {
    left: i64,
    at: Instant,
}

const PER_SECOND: i64 = CLUSTER_DIGEST_BYTES_PER_SECOND as i64;

impl Default for ByteAllowance {
    fn default() -> ByteAllowance {
        ByteAllowance { left: PER_SECOND, at: Instant::ZERO }
    }
}

impl ByteAllowance {
    pub fn has_some(&mut self, now: Instant) -> bool {
        let passed_us = i64::try_from(now.since(self.at).as_micros()).unwrap_or(i64::MAX).min(10_000_000);
        self.left = (self.left + passed_us * PER_SECOND / 1_000_000).min(PER_SECOND);
        self.at = now;
        self.left > 0
    }

    /// Whatever is being moved when it ends is moved whole, and waited for.
    pub fn spend(&mut self, bytes: usize) {
        self.left -= bytes as i64;
    }
}

/// One difference, ready to be sent.
struct ReadyDigest {
    topic: DigestTopic,
    base: u64,
    publication: u64,
    made: Instant,
    bytes: Vec<u8>,
}

#[derive(Default)]
pub struct DigestServer {
    /// With their publications, newest last.
    digests: VecDeque<(u64, Arc<NodeDigest>)>,
    answers: VecDeque<ReadyDigest>,
    publications: u64,
    asked: Option<Instant>,
    /// What may be told in a second, of figures and of news.
    pub(super) allowance: ByteAllowance,
    /// Bytes of answers sent, and questions that found the allowance used up.
    pub sent_bytes: u64,
    pub held_back: u64,
}

impl DigestServer {
    /// Somebody has asked a moment ago, so digests of ourselves are worth making.
    pub fn is_wanted(&self, now: Instant) -> bool {
        self.asked.is_some_and(|at| (now.since(at).as_millis() as u64) < CLUSTER_DIGEST_WANTED_MS)
    }

    /// A newer digest of ourselves.
    pub fn offer(&mut self, digest: Arc<NodeDigest>) {
        self.publications += 1;
        if self.digests.len() >= CLUSTER_DIGESTS_KEPT {
            self.digests.pop_front();
        }
        self.digests.push_back((self.publications, digest));
    }

    /// The newest digest of ourselves.
    pub fn newest(&self) -> Option<&Arc<NodeDigest>> {
        self.digests.back().map(|(_, digest)| digest)
    }

    pub fn tick(&mut self, is_wanted: bool) {
        if !is_wanted {
            self.digests.clear();
            self.answers.clear();
        }
    }

    /// The parts that were asked for; while there is no digest that is new enough, one that says so.
    pub fn answer(&mut self, ask: &DigestAsk, now: Instant) -> Vec<DigestPart> {
        self.asked = Some(now);
        if !self.allowance.has_some(now) {
            self.held_back += 1;
            return Vec::new();
        }
        let Some(answer) = self.prepared(ask, now).and_then(|place| self.answers.get(place)) else {
            return vec![DigestPart { number: ask.number, ..DigestPart::default() }];
        };
        let count = answer.bytes.len().div_ceil(DIGEST_PART_BYTES);
        let age_ms = u32::try_from(now.since(answer.made).as_millis()).unwrap_or(u32::MAX);
        let wanted = (0..64u16).filter(|bit| ask.wanted >> bit & 1 == 1).take(CLUSTER_DIGEST_WINDOW as usize);
        let part = |bit: u16| {
            let index = ask.first.checked_add(bit)?;
            let bytes = answer.bytes.chunks(DIGEST_PART_BYTES).nth(usize::from(index))?.to_vec();
            let (base, publication) = (answer.base, answer.publication);
            Some(DigestPart { number: ask.number, base, publication, index, count: count as u16, age_ms, bytes })
        };
        let parts: Vec<DigestPart> = wanted.filter_map(part).collect();
        let bytes: usize = parts.iter().map(|part| part.bytes.len()).sum();
        self.allowance.spend(bytes);
        self.sent_bytes += bytes as u64;
        parts
    }

    /// The place of the answer among those that are ready.
    fn prepared(&mut self, ask: &DigestAsk, now: Instant) -> Option<usize> {
        let ready = |answers: &VecDeque<ReadyDigest>, base: u64, publication: u64| {
            answers.iter().position(|a| (a.topic, a.base, a.publication) == (ask.topic, base, publication))
        };
        let begun = ready(&self.answers, ask.have, ask.publication);
        let whole = ready(&self.answers, 0, ask.publication);
        if let Some(place) = begun.or(whole).filter(|_| ask.publication != 0) {
            return Some(place);
        }
        let (publication, newest) = self.digests.back()?;
        if now.since(newest.made).as_millis() as u64 >= CLUSTER_DIGEST_STALE_MS {
            return None;
        }
        let old = self.digests.iter().find(|(publication, _)| *publication == ask.have);
        let base = old.map_or(0, |(publication, _)| *publication);
        if let Some(place) = ready(&self.answers, base, *publication) {
            return Some(place);
        }
        let bytes = difference::write(old.map_or(&[], |(_, digest)| digest.rows(&ask.topic)), newest, &ask.topic);
        if bytes.len().div_ceil(DIGEST_PART_BYTES) > CLUSTER_DIGEST_PARTS {
            return None;
        }
        let answer = ReadyDigest { topic: ask.topic, base, publication: *publication, made: newest.made, bytes };
        if self.answers.len() >= CLUSTER_DIGEST_ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back(answer);
        Some(self.answers.len() - 1)
    }
}
