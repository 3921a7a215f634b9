//! One node that asks and one that answers, over a way that loses, repeats and delays; and one that answers what it likes.

use super::super::digest::{DigestAbout, DigestRow, NodeDigest};
use super::super::serving::DigestServer;
use super::*;
use crate::base::ids::Transport;
use crate::base::rng::Rng;
use std::sync::Arc;

const PEER: SessionId = SessionId([1; 16]);

fn topic() -> DigestTopic {
    DigestTopic::new("default", 1)
}

fn at(ms: u64) -> Instant {
    Instant::ZERO.plus_ms(ms)
}

fn peers(sessions: &[SessionId]) -> DigestPeers {
    DigestPeers { asked: sessions.to_vec(), shown: sessions.to_vec() }
}

/// A node that has answered `calls` calls, at each of `rows` providers.
fn digest(rows: u32, calls: u64, made: Instant) -> Arc<NodeDigest> {
    let row = |id: u32| {
        let about = DigestAbout::Provider { id: format!("provider-{id}").into(), transport: Transport::Http };
        let mut row = DigestRow::new(Arc::new(about));
        (row.total.successes, row.hour.successes) = (calls, calls);
        row.hour.latencies.add(100 + id as usize % 50, &[calls]);
        row.hour = row.hour.canonical();
        (id, row)
    };
    let chains = BTreeMap::from([(topic(), (0..rows).map(row).collect())]);
    Arc::new(NodeDigest { made, chains, ..NodeDigest::default() })
}

/// A part on its way, or a question.
enum Letter {
    Ask(DigestAsk),
    Part(DigestPart),
}

struct Way {
    rng: Rng,
    lost_ppm: u64,
    twice_ppm: u64,
    late_ms: u64,
    letters: Vec<(u64, Letter)>,
}

impl Way {
    fn new(seed: u64) -> Way {
        let mut rng = Rng::new(seed);
        let (lost_ppm, twice_ppm) = (rng.below(4) * 100_000, rng.below(3) * 150_000);
        let late_ms = 1 + rng.below(900);
        Way { rng, lost_ppm, twice_ppm, late_ms, letters: Vec::new() }
    }

    fn send(&mut self, ms: u64, letter: impl Fn() -> Letter) {
        let copies = if self.rng.chance(self.lost_ppm) { 0 } else { 1 + usize::from(self.rng.chance(self.twice_ppm)) };
        for _ in 0..copies {
            self.letters.push((ms + 1 + self.rng.below(self.late_ms), letter()));
        }
    }

    fn due(&mut self, ms: u64) -> Vec<Letter> {
        let mut due: Vec<(u64, Letter)> = self.letters.extract_if(.., |(at, _)| *at <= ms).collect();
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().map(|(_, letter)| letter).collect()
    }
}

struct Pair {
    server: DigestServer,
    gatherer: Gatherer,
    way: Way,
}

impl Pair {
    fn new(seed: u64, bug: DigestBug) -> Pair {
        let gatherer = Gatherer { bug, ..Gatherer::default() };
        Pair { server: DigestServer::default(), gatherer, way: Way::new(seed) }
    }

    fn step(&mut self, ms: u64) {
        for (_, ask) in self.gatherer.tick(at(ms), &peers(&[PEER])) {
            self.way.send(ms, || Letter::Ask(ask));
        }
        for letter in self.way.due(ms) {
            match letter {
                Letter::Ask(ask) => {
                    for part in self.server.answer(&ask, at(ms)) {
                        self.way.send(ms, || Letter::Part(part.clone()));
                    }
                }
                Letter::Part(part) => {
                    if let Some(ask) = self.gatherer.arrive(PEER, part, at(ms)) {
                        self.way.send(ms, || Letter::Ask(ask));
                    }
                }
            }
        }
    }

    fn calls(&self, ms: u64) -> u64 {
        let figures = self.gatherer.figures(PEER, topic(), at(ms));
        figures.map_or(0, |(digest, _)| digest.rows.values().map(|row| row.total.successes).sum())
    }
}

/// A busy node for a minute, then nothing new. What is here never is more than there, and in the end it is the same.
fn story(seed: u64, bug: DigestBug) -> Result<Pair, String> {
    let mut pair = Pair::new(seed, bug);
    let rows = 1 + pair.way.rng.below(400) as u32;
    let (mut calls, mut shown) = (0, 0);
    for ms in (0..180_000).step_by(50) {
        pair.gatherer.want(topic(), at(ms));
        if ms % 5_000 == 0 && ms < 170_000 {
            calls += if ms < 60_000 { 1 + pair.way.rng.below(9) } else { 0 };
            pair.server.offer(digest(rows, calls, at(ms)));
        }
        pair.step(ms);
        let here = pair.calls(ms);
        if here < shown || here > calls * u64::from(rows) {
            return Err(format!("{here} after {shown} and of {}", calls * u64::from(rows)));
        }
        shown = here;
    }
    if shown != calls * u64::from(rows) {
        return Err(format!("{shown} of {} calls in the end ({:?})", calls * u64::from(rows), pair.gatherer.counts));
    }
    let (digest, _) = pair.gatherer.figures(PEER, topic(), at(180_000)).ok_or("nothing is here")?;
    for row in digest.rows.values() {
        let in_buckets: u64 = row.hour.latencies.buckets().map(|(_, count)| count).sum();
        if (row.hour.successes, in_buckets) != (calls, calls) {
            return Err(format!("{} of {calls} in buckets", in_buckets));
        }
    }
    Ok(pair)
}

#[test]
fn whatever_is_lost_repeated_or_late_the_digest_comes_to_be_the_same() {
    let mut whole = 0;
    for seed in 0..40 {
        let pair = story(seed, DigestBug::None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        assert!(pair.gatherer.counts.taken > 5, "seed {seed}: {:?}", pair.gatherer.counts);
        assert_eq!(pair.gatherer.counts.refused, 0, "seed {seed}");
        whole += pair.gatherer.counts.whole;
    }
    assert!(whole < 100, "most answers are differences: {whole} were whole");
}

#[test]
fn a_difference_that_is_added_twice_is_found() {
    assert!((0..10).any(|seed| story(seed, DigestBug::ForgetsWhatItHas).is_err()));
}

#[test]
fn nothing_is_asked_while_nobody_looks_and_a_digest_that_is_old_is_forgotten() {
    let mut pair = Pair::new(1, DigestBug::None);
    (pair.way.lost_ppm, pair.way.twice_ppm, pair.way.late_ms) = (0, 0, 10);
    assert!(pair.gatherer.tick(at(0), &peers(&[PEER])).is_empty());
    pair.server.offer(digest(3, 1, at(0)));
    pair.gatherer.want(topic(), at(0));
    (0..10_000).step_by(50).for_each(|ms| pair.step(ms));
    assert_eq!(pair.calls(10_000), 3);
    let asked_until = CLUSTER_DIGEST_WANTED_MS;
    for ms in (10_000..CLUSTER_DIGEST_KEPT_MS).step_by(50) {
        if ms % 5_000 == 0 {
            pair.server.offer(digest(3, 1, at(ms)));
        }
        assert!(ms < asked_until || pair.gatherer.tick(at(ms), &peers(&[PEER])).is_empty(), "{ms}");
        pair.step(ms);
    }
    let (_, age) = pair.gatherer.figures(PEER, topic(), at(CLUSTER_DIGEST_KEPT_MS)).expect("kept, and told to be old");
    assert!(age.as_millis() as u64 > CLUSTER_DIGEST_STALE_MS);
    pair.gatherer.tick(at(2 * CLUSTER_DIGEST_KEPT_MS), &peers(&[PEER]));
    assert!(pair.gatherer.figures(PEER, topic(), at(2 * CLUSTER_DIGEST_KEPT_MS)).is_none());
}

#[test]
fn a_run_that_is_over_is_forgotten_at_once() {
    let mut pair = Pair::new(1, DigestBug::None);
    (pair.way.lost_ppm, pair.way.twice_ppm, pair.way.late_ms) = (0, 0, 10);
    pair.server.offer(digest(3, 1, at(0)));
    pair.gatherer.want(topic(), at(0));
    (0..5_000).step_by(50).for_each(|ms| pair.step(ms));
    assert_eq!(pair.calls(5_000), 3);
    pair.gatherer.tick(at(5_000), &peers(&[SessionId([2; 16])]));
    assert_eq!(pair.calls(5_000), 0);
}

/// The part that a liar answers the first question with, and what comes of it.
fn lied(change: impl Fn(&mut DigestPart)) -> (GatheringCounts, bool) {
    let (mut server, mut gatherer) = (DigestServer::default(), Gatherer::default());
    server.offer(digest(3, 1, at(0)));
    gatherer.want(topic(), at(0));
    let asks = gatherer.tick(at(0), &peers(&[PEER]));
    for mut part in server.answer(&asks[0].1, at(1)) {
        change(&mut part);
        gatherer.arrive(PEER, part, at(2));
    }
    (gatherer.counts, gatherer.figures(PEER, topic(), at(3)).is_some())
}

#[test]
fn answers_that_cannot_be_are_refused_counted_and_teach_nothing() {
    assert!(lied(|_| {}).1);
    type Lie = dyn Fn(&mut DigestPart);
    let refused: [(&str, &Lie); 8] = [
        ("more parts than may be", &|part| part.count = CLUSTER_DIGEST_PARTS as u16 + 1),
        ("no parts", &|part| part.count = 0),
        ("a place behind the last one", &|part| part.index = part.count),
        ("the last place there is", &|part| (part.index, part.count) = (u16::MAX, u16::MAX)),
        ("longer than a part", &|part| part.bytes = vec![0; DIGEST_PART_BYTES + 1]),
        ("a short one that is not the last", &|part| part.count += 1),
        ("made from what we do not have", &|part| part.base = 9),
        ("no digest", &|part| part.bytes = b"something else".to_vec()),
    ];
    for (what, change) in refused {
        let (counts, is_here) = lied(change);
        assert_eq!((counts.refused, counts.taken, is_here), (1, 0, false), "{what}");
    }
    let (counts, is_here) = lied(|part| part.number += 1);
    assert_eq!((counts.refused, counts.received_bytes, is_here), (0, 0, false), "an answer to another question");
}

#[test]
fn one_answer_holds_others_up_for_a_while_only_and_so_much_is_sent_and_no_more() {
    let (mut server, mut gatherer) = (DigestServer::default(), Gatherer::default());
    server.offer(digest(2_000, 1, at(0)));
    // It gives one part of many, again and again.
    for ms in (0..2 * CLUSTER_DIGEST_PULL_MS).step_by(100) {
        gatherer.want(topic(), at(ms));
        for (_, ask) in gatherer.tick(at(ms), &peers(&[PEER])) {
            let (number, index, count) = (ask.number, ask.first, CLUSTER_DIGEST_PARTS as u16);
            let bytes = vec![0; DIGEST_PART_BYTES];
            let part = DigestPart { number, publication: 1, index, count, bytes, ..DigestPart::default() };
            gatherer.arrive(PEER, part, at(ms));
        }
    }
    assert!(gatherer.counts.unanswered > 0 && gatherer.counts.taken == 0, "{:?}", gatherer.counts);
    let mut sent = 0;
    let wanted = u64::from(u32::MAX);
    for ask in 0..10_000 {
        let parts = server.answer(&DigestAsk { number: ask, wanted, topic: topic(), ..DigestAsk::default() }, at(10_000));
        assert!(parts.len() <= CLUSTER_DIGEST_WINDOW as usize);
        sent += parts.iter().map(|part| part.bytes.len()).sum::<usize>();
    }
    let most = 512 * 1024 + CLUSTER_DIGEST_WINDOW as usize * DIGEST_PART_BYTES;
    assert!(sent > 0 && sent <= most && server.held_back > 9_000, "{sent} bytes, {} held back", server.held_back);
}

#[test]
fn many_rows_of_many_nodes_are_bounded() {
    let mut gatherer = Gatherer::default();
    let sessions: Vec<SessionId> = (0..200u8).map(|n| SessionId([n; 16])).collect();
    let mut server = DigestServer::default();
    let most = u32::try_from(crate::base::limits::CLUSTER_DIGEST_ROWS).expect("small");
    let mut ms = 0;
    // All of them as large as one may be: so many fit, the others are left out.
    while ms < 120_000 {
        gatherer.want(topic(), at(ms));
        if ms % 10_000 == 0 {
            server.offer(digest(most, 1, at(ms)));
        }
        let mut asks = gatherer.tick(at(ms), &peers(&sessions));
        while let Some((session, ask)) = asks.pop() {
            for part in server.answer(&ask, at(ms)) {
                asks.extend(gatherer.arrive(session, part, at(ms)).map(|ask| (session, ask)));
            }
        }
        ms += 100;
    }
    let rows: usize =
        sessions.iter().filter_map(|s| gatherer.figures(*s, topic(), at(ms))).map(|(digest, _)| digest.rows.len()).sum();
    assert!(rows <= CLUSTER_DIGEST_ROWS_IN_ALL && rows >= 32 * most as usize, "{rows}");
}
