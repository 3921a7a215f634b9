//! How far back a provider's states go: a search that says which block to ask for next. It asks for the first block's state (an
//! archive has it), then ever further back from the head, doubling, and then halves what is between the oldest that was
//! given and the newest that was not. The genesis block is not asked for: nodes without any history keep its state.
//!
//! A question that brings neither (a timeout, a refusal) is asked again, twice; then the search ends with what it has.
//! How it fails: states that are there for some blocks and not for others between them end the search at one of their edges.

use crate::base::limits;
use crate::bench::findings::Depth;

/// What became of a question of a search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SearchReply {
    Given,
    /// Not there, or not for a question as wide as that.
    Denied,
    /// Neither; it may be asked again.
    Unclear,
}

#[derive(Clone, Debug)]
pub struct DepthSearch {
    head: u64,
    is_archive: Option<bool>,
    /// The deepest below the head that was given, and the shallowest that was not.
    given: Option<u64>,
    denied: Option<u64>,
    asked: u64,
    /// Answers in a row that said nothing.
    unclear: u32,
    is_over: bool,
}

impl DepthSearch {
    pub fn new(head: u64) -> DepthSearch {
        let is_over = head < 2;
        DepthSearch { head, is_archive: None, given: None, denied: None, asked: 0, unclear: 0, is_over }
    }

    /// The block to ask for, until nothing is left to find out.
    pub fn ask(&self) -> Option<u64> {
        if self.is_over || self.asked >= limits::BENCH_DEPTH_CALLS {
            return None;
        }
        if self.is_archive.is_none() {
            return Some(1);
        }
        self.next_depth().map(|depth| self.head - depth)
    }

    fn next_depth(&self) -> Option<u64> {
        let first = limits::BENCH_DEPTH_FIRST.min(self.head - 1);
        match (self.given, self.denied) {
            // The newest blocks may not have come to it yet, so the first question is a few below.
            (None, None) => Some(first),
            (None, Some(0)) => None,
            (None, Some(_)) => Some(0),
            (Some(given), denied) => {
                let doubled = given.max(limits::BENCH_DEPTH_STEP / 2) * 2;
                // The first block's state was denied.
                let first = self.head - 1;
                if denied.is_none() && doubled < first {
                    return Some(doubled);
                }
                let denied = denied.unwrap_or(first);
                let is_close = denied.saturating_sub(given) <= 1 + given / limits::BENCH_DEPTH_PARTS;
                (!is_close).then(|| given + (denied - given) / 2)
            }
        }
    }

    pub fn on(&mut self, heard: SearchReply) {
        let Some(block) = self.ask() else { return };
        self.asked += 1;
        let depth = self.head - block;
        match heard {
            SearchReply::Unclear => {
                self.unclear += 1;
                self.is_over |= self.unclear > limits::BENCH_AGAIN;
                return;
            }
            SearchReply::Given if self.is_archive.is_none() => (self.is_archive, self.is_over) = (Some(true), true),
            SearchReply::Denied if self.is_archive.is_none() => (self.is_archive, self.denied) = (Some(false), None),
            SearchReply::Given => self.given = Some(depth),
            SearchReply::Denied => self.denied = Some(depth),
        }
        self.unclear = 0;
    }

    pub fn found(&self) -> Depth {
        match (self.is_archive, self.given) {
            (Some(true), _) => Depth::Archive,
            (Some(false), Some(blocks)) => Depth::Blocks { blocks },
            _ => Depth::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found, and with how many questions.
    fn search(head: u64, truth: Option<u64>, unclear: &[u64]) -> (Depth, u64) {
        let (mut search, mut asked) = (DepthSearch::new(head), 0);
        while let Some(block) = search.ask() {
            asked += 1;
            assert!(block <= head && asked <= limits::BENCH_DEPTH_CALLS, "{block}");
            let is_there = truth.is_none_or(|depth| head - block <= depth);
            search.on(match unclear.contains(&asked) {
                true => SearchReply::Unclear,
                false if is_there => SearchReply::Given,
                false => SearchReply::Denied,
            });
        }
        (search.found(), asked)
    }

    #[test]
    fn depths_are_found_as_they_are() {
        for head in [300, 20_000_000] {
            assert_eq!(search(head, None, &[]).0, Depth::Archive);
            for truth in [0, 1, 4, 63, 64, 65, 127, 128] {
                assert_eq!(search(head, Some(truth), &[]).0, Depth::Blocks { blocks: truth }, "{truth} of {head}");
            }
        }
        for truth in [256, 1_000, 90_000, 2_000_000, 19_999_990] {
            let (Depth::Blocks { blocks }, asked) = search(20_000_000, Some(truth), &[]) else { panic!("{truth}") };
            assert!(blocks <= truth && truth - blocks <= truth / 100, "{blocks} of {truth} with {asked} questions");
        }
    }

    #[test]
    fn what_is_unclear_is_asked_again_and_then_left() {
        assert_eq!(search(20_000_000, Some(128), &[3, 4, 9]).0, Depth::Blocks { blocks: 128 });
        assert_eq!(search(20_000_000, Some(128), &[1, 2, 3]), (Depth::Unknown, 3));
        let (found, _) = search(20_000_000, Some(128), &[5, 6, 7]);
        assert!(matches!(found, Depth::Blocks { blocks: 1..=128 }), "{found:?}");
        assert_eq!(search(1, None, &[]), (Depth::Unknown, 0));
    }
}
