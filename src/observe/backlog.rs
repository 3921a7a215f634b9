//! The newest events, numbered, for any number of readers: each keeps only the number of the next one it wants.
//!
//! So a reader costs no memory, and a slow one cannot: it finds its number gone and is told how many it missed. The same
//! number lets a reader that was away go on (`Last-Event-ID`). Rejected: a queue for each reader (memory by the slowest),
//! and dropping from the middle (a reader could not tell what it missed).

use crate::base::ids::{ChainId, ProfileId};
use crate::base::limits;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Line {
    pub event: Cow<'static, str>,
    /// Whether it happened here, and not on another node of the cluster.
    pub is_own: bool,
    /// The chains of profiles that it is about; none: the node.
    pub places: Vec<(ProfileId, ChainId)>,
    pub json: Arc<str>,
}

/// What a reader wants; everything when empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    pub profile: Option<ProfileId>,
    pub chain: Option<ChainId>,
    /// Names of events, or their first part (`provider`).
    pub events: Vec<Box<str>>,
    /// What happens on other nodes too.
    pub others: bool,
}

impl Wanted {
    pub fn takes(&self, line: &Line) -> bool {
        let is_named = |name: &str| line.event == name || line.event.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        let is_here = |(profile, chain): &(ProfileId, ChainId)| {
            self.profile.is_none_or(|wanted| wanted == *profile) && self.chain.is_none_or(|wanted| wanted == *chain)
        };
        (line.is_own || self.others)
            && (self.events.is_empty() || self.events.iter().any(|name| is_named(name)))
            && (line.places.is_empty() || line.places.iter().any(is_here))
    }
}

/// One event, and whether it happened here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToldLine {
    pub json: Arc<str>,
    pub is_own: bool,
}

/// What a reader gets at once.
#[derive(Debug, Default)]
pub struct Batch {
    pub lines: Vec<ToldLine>,
    /// Where it goes on.
    pub next: u64,
    /// Events that were gone before it came for them.
    pub lost: u64,
}

#[derive(Debug)]
pub struct Backlog {
    lines: VecDeque<Line>,
    /// The number of the oldest.
    first: u64,
    bytes: usize,
    most: (usize, usize),
}

impl Default for Backlog {
    fn default() -> Backlog {
        Backlog::new(limits::BACKLOG_EVENTS, limits::BACKLOG_BYTES)
    }
}

impl Backlog {
    /// One that keeps so many events, and so many bytes of them.
    pub fn new(events: usize, bytes: usize) -> Backlog {
        Backlog { lines: VecDeque::new(), first: 0, bytes: 0, most: (events, bytes) }
    }

    pub fn push(&mut self, line: Line) {
        self.bytes += line.json.len();
        self.lines.push_back(line);
        while self.lines.len() > self.most.0 || self.bytes > self.most.1 {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.json.len();
            self.first += 1;
        }
    }

    /// The number that the next event gets.
    pub fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// The number of the oldest event that is kept.
    pub fn oldest(&self) -> u64 {
        self.first
    }

    /// Where a new reader begins: it sees the last few of what it wants.
    pub fn recent(&self, wanted: &Wanted) -> u64 {
        let newest_first = self.lines.iter().enumerate().rev().filter(|(_, line)| wanted.takes(line));
        let oldest = newest_first.take(limits::EVENT_BATCH).last();
        oldest.map_or(self.end(), |(place, _)| self.first + place as u64)
    }

    /// At most a batch from number `from` on.
    pub fn since(&self, from: u64, wanted: &Wanted) -> Batch {
        let from = from.min(self.end());
        let lost = self.first.saturating_sub(from);
        let mut batch = Batch { next: from.max(self.first), lost, ..Batch::default() };
        let start = (batch.next - self.first) as usize;
        for line in self.lines.range(start..) {
            if batch.lines.len() == limits::EVENT_BATCH {
                break;
            }
            batch.next += 1;
            if wanted.takes(line) {
                batch.lines.push(ToldLine { json: line.json.clone(), is_own: line.is_own });
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(event: &'static str, chain: Option<u16>, text: &str) -> Line {
        let places = chain.map(|chain| (ProfileId(0), ChainId(chain))).into_iter().collect();
        Line { event: event.into(), is_own: true, places, json: text.into() }
    }

    fn names(batch: &Batch) -> Vec<&str> {
        batch.lines.iter().map(|line| &*line.json).collect()
    }

    #[test]
    fn readers_go_on_where_they_were() {
        let mut backlog = Backlog::default();
        let all = Wanted::default();
        assert_eq!((backlog.recent(&all), backlog.since(7, &all).next), (0, 0), "nothing yet");
        ["a", "b", "c"].into_iter().for_each(|text| backlog.push(line("e", None, text)));
        let batch = backlog.since(1, &all);
        assert_eq!((names(&batch), batch.next, batch.lost), (vec!["b", "c"], 3, 0));
        assert!(backlog.since(3, &all).lines.is_empty());
        assert_eq!(backlog.recent(&all), 0);
    }

    #[test]
    fn what_is_wanted() {
        let check = |wanted: &Wanted, event, chain, want: bool| {
            assert_eq!(wanted.takes(&line(event, chain, "")), want, "{wanted:?} {event} {chain:?}");
        };
        let chain = Wanted { profile: Some(ProfileId(0)), chain: Some(ChainId(1)), ..Wanted::default() };
        check(&chain, "provider.circuit", Some(1), true);
        check(&chain, "provider.circuit", Some(2), false);
        check(&chain, "node.ready", None, true);
        let other = Wanted { profile: Some(ProfileId(1)), ..Wanted::default() };
        check(&other, "provider.circuit", Some(1), false);
        let named = Wanted { events: vec!["provider".into(), "chain.head".into()], ..Wanted::default() };
        check(&named, "provider.circuit", Some(1), true);
        check(&named, "providers.x", Some(1), false);
        check(&named, "chain.head", None, true);
        check(&named, "node.ready", None, false);
        let other = Line { is_own: false, ..line("node.ready", None, "") };
        assert!(!Wanted::default().takes(&other) && Wanted { others: true, ..Wanted::default() }.takes(&other));
    }

    proptest! {
        /// Every event reaches a reader once and in order, or is counted as lost; memory is bounded.
        #[test]
        fn nothing_is_repeated_and_what_is_lost_is_counted(steps in prop::collection::vec((1usize..2_500, 0usize..60), 1..12)) {
            let (mut backlog, all) = (Backlog::default(), Wanted::default());
            let (mut pushed, mut next, mut seen) = (0u64, 0u64, 0u64);
            for (events, reads) in steps {
                for _ in 0..events {
                    backlog.push(line("e", None, &pushed.to_string()));
                    pushed += 1;
                }
                prop_assert!(backlog.lines.len() <= limits::BACKLOG_EVENTS);
                prop_assert_eq!(backlog.bytes, backlog.lines.iter().map(|l| l.json.len()).sum::<usize>());
                for _ in 0..reads {
                    let batch = backlog.since(next, &all);
                    prop_assert!(batch.lines.len() <= limits::EVENT_BATCH);
                    seen += batch.lost;
                    for line in &batch.lines {
                        prop_assert_eq!(line.json.parse::<u64>().unwrap(), seen);
                        seen += 1;
                    }
                    next = batch.next;
                    prop_assert_eq!(seen, next);
                }
            }
            prop_assert_eq!(backlog.end(), pushed);
        }

        #[test]
        fn long_events_do_not_add_up(lengths in prop::collection::vec(1usize..limits::BACKLOG_BYTES / 3, 1..20)) {
            let mut backlog = Backlog::default();
            for length in lengths {
                backlog.push(line("e", None, &"x".repeat(length)));
                prop_assert!(backlog.bytes <= limits::BACKLOG_BYTES);
            }
        }
    }
}
