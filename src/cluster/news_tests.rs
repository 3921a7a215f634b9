//! One node that listens and one that tells, over a way that loses, repeats and delays; and one that says what it likes.

use super::*;
use crate::base::rng::Rng;
use proptest::prelude::*;
use std::collections::VecDeque;

const PEER: SessionId = SessionId([1; 16]);

fn at(ms: u64) -> Instant {
    Instant::ZERO.plus_ms(ms)
}

/// The newest events of a node, as many as it keeps.
struct Teller {
    kept: VecDeque<Arc<str>>,
    end: u64,
    room: usize,
}

impl Teller {
    fn happen(&mut self, length: usize) {
        // Its number comes first, so that a reader can say which one it got.
        self.kept.push_back(format!("{:06}{}", self.end, "x".repeat(length)).into());
        self.end += 1;
        if self.kept.len() > self.room {
            self.kept.pop_front();
        }
    }

    fn stock(&self, ask: &NewsAsk) -> NewsStock {
        let oldest = self.end - self.kept.len() as u64;
        let from = if ask.next == NEWEST { self.end.saturating_sub(8) } else { ask.next };
        let first = from.clamp(oldest, self.end);
        let events = self.kept.iter().skip((first - oldest) as usize).take(CLUSTER_NEWS_WINDOW).cloned().collect();
        NewsStock { oldest, end: self.end, first, events }
    }
}

enum Letter {
    Ask(NewsAsk),
    Part(NewsPart),
}

/// A way that loses some, repeats some and lets each take its time.
struct Way {
    rng: Rng,
    lost_ppm: u64,
    twice_ppm: u64,
    late_ms: u64,
    letters: Vec<(u64, Letter)>,
}

impl Way {
    fn send(&mut self, ms: u64, letter: impl Fn() -> Letter) {
        let copies = if self.rng.chance(self.lost_ppm) { 0 } else { 1 + usize::from(self.rng.chance(self.twice_ppm)) };
        for _ in 0..copies {
            self.letters.push((ms + 1 + self.rng.below(self.late_ms), letter()));
        }
    }
}

/// Events in bursts for half a minute, then silence for as long as it takes. What was heard, and how many events there were before the first
/// of them was asked for.
fn story(seed: u64, room: usize) -> (Vec<Heard>, u64) {
    let mut rng = Rng::new(seed);
    let (lost_ppm, twice_ppm, late_ms) = (rng.below(5) * 100_000, rng.below(3) * 200_000, 1 + rng.below(600));
    let mut way = Way { rng: rng.fork(1), lost_ppm, twice_ppm, late_ms, letters: Vec::new() };
    let mut teller = Teller { kept: VecDeque::new(), end: 0, room };
    let (mut reader, mut heard) = (NewsReader::default(), Vec::new());
    for ms in (0..900_000).step_by(50) {
        // In the worst of ways four of ten are lost, and a question with its answer takes a second or more.
        if ms > 30_000 && reader.peers.get(&PEER).is_some_and(|peer| peer.next == Some(teller.end)) {
            break;
        }
        if ms < 30_000 && rng.chance(60_000) {
            for _ in 0..rng.below(30) {
                let length = if rng.chance(100_000) { 6_000 } else { rng.below(700) };
                teller.happen(length as usize);
            }
        }
        for (_, ask) in reader.tick(at(ms), &[PEER], &[PEER]) {
            way.send(ms, || Letter::Ask(ask));
        }
        let mut due: Vec<(u64, Letter)> = way.letters.extract_if(.., |(when, _)| *when <= ms).collect();
        due.sort_by_key(|(when, _)| *when);
        for (_, letter) in due {
            match letter {
                Letter::Ask(ask) => {
                    answer(&ask, &teller.stock(&ask)).into_iter().for_each(|part| way.send(ms, || Letter::Part(part.clone())))
                }
                Letter::Part(part) => {
                    if let Some(ask) = reader.arrive(PEER, part, at(ms)) {
                        way.send(ms, || Letter::Ask(ask));
                    }
                }
            }
        }
        heard.extend(reader.take_heard().into_iter().map(|(_, what)| what));
    }
    (heard, teller.end)
}

/// Each event once, in order; what is not there is told as a gap of exactly that size, where it is.
fn check(heard: &[Heard], end: u64) -> Result<u64, TestCaseError> {
    let (mut next, mut lost) = (None, 0);
    for what in heard {
        match what {
            Heard::Lost(count) => {
                lost += count;
                next = next.map(|next: u64| next + count);
            }
            Heard::Event(text) => {
                let number: u64 = std::str::from_utf8(&text[..6]).expect("digits").parse().expect("a number");
                prop_assert_eq!(number, next.unwrap_or(number), "lost, repeated or out of order");
                next = Some(number + 1);
            }
        }
    }
    prop_assert_eq!(next.unwrap_or(end), end, "the last is not here");
    Ok(lost)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_event_is_told_twice_or_left_out_unsaid(seed in any::<u64>(), room in 4usize..400) {
        let (heard, end) = story(seed, room);
        check(&heard, end)?;
    }
}

#[test]
fn what_a_node_keeps_is_never_lost_and_what_it_forgets_is_counted() {
    let mut lost = 0;
    for seed in 0..12 {
        let (heard, end) = story(seed, 100_000);
        assert_eq!(check(&heard, end).expect("in order"), 0, "seed {seed}");
        assert!(end > 0, "seed {seed}: nothing happened");
        let (heard, end) = story(seed, 4);
        lost += check(&heard, end).expect("in order");
    }
    assert!(lost > 0, "a node that keeps four events forgets none in bursts of thirty");
}

#[test]
fn a_quiet_node_is_asked_once_a_second_and_nobody_when_nobody_listens() {
    let (mut reader, teller) = (NewsReader::default(), Teller { kept: VecDeque::new(), end: 3, room: 0 });
    let mut asked = 0;
    for ms in (0..10_000).step_by(100) {
        for (_, ask) in reader.tick(at(ms), &[PEER], &[PEER]) {
            asked += 1;
            for part in answer(&ask, &teller.stock(&ask)) {
                assert_eq!(reader.arrive(PEER, part, at(ms)), None);
            }
        }
    }
    assert_eq!(asked, 10);
    assert!(reader.tick(at(20_000), &[], &[PEER]).is_empty());
    // A node that is gone is forgotten with its place.
    assert!(reader.tick(at(21_000), &[], &[]).is_empty() && reader.peers.is_empty());
}

#[test]
fn a_node_that_says_nonsense_is_not_believed() {
    let mut reader = NewsReader::default();
    let ask = reader.tick(at(0), &[PEER], &[PEER])[0].1;
    let part = |event: u64, skip: u32, length: u32, bytes: usize| NewsPart {
        number: ask.number,
        oldest: 0,
        end: 9,
        event,
        skip,
        length,
        left: 1,
        bytes: vec![b'x'; bytes],
    };
    for bad in [
        part(9, 0, 5, 5),
        part(1, 0, 0, 0),
        part(1, 3, 5, 3),
        part(1, u32::MAX, u32::MAX, 1),
        part(1, 0, CLUSTER_NEWS_EVENT_BYTES as u32 + 1, 5),
        NewsPart { oldest: 2, ..part(1, 0, 5, 5) },
        NewsPart { end: 9, ..part(8, 0, 5, 0) },
    ] {
        assert_eq!(reader.arrive(PEER, bad, at(1)), None);
    }
    assert_eq!((reader.counts.refused, reader.take_heard()), (7, Vec::new()));
    let stranger = SessionId([2; 16]);
    reader.arrive(stranger, part(1, 0, 5, 5), at(1));
    reader.arrive(PEER, NewsPart { number: 77, ..part(1, 0, 5, 5) }, at(1));
    assert_eq!(reader.take_heard(), Vec::new(), "nobody asked for it");
    reader.arrive(PEER, part(1, 0, 5, 5), at(1));
    assert_eq!(reader.take_heard(), [(PEER, Heard::Event(b"xxxxx".to_vec()))]);
}
