//! How many blocks one `eth_getLogs` may span: a search over widths. It goes up by factors of ten, then through the round
//! numbers in which limits are written, then just above the widest that was answered (a limit of 1,000 means 1,000 or 1,001
//! blocks), and halves what is left only where the limit is none of those.
//!
//! The filter that is asked with matches nothing, so that it is the width that is refused and no other bound. It is not asked
//! for more than 100,000 blocks: that is work for a provider even where it finds nothing.

use crate::base::limits;
use crate::bench::depth::SearchReply;
use crate::bench::findings::LogRange;

const TENFOLD: [u64; 5] = [10, 100, 1_000, 10_000, limits::BENCH_LOG_BLOCKS];
const ROUND: [u64; 10] = [20, 50, 200, 500, 2_000, 5_000, 20_000, 50_000, 300, 3_000];

#[derive(Clone, Debug)]
pub struct RangeSearch {
    /// No more blocks than there are.
    most: u64,
    answered: Option<u64>,
    /// The narrowest that got no answer, and the narrowest of those that was refused in words.
    too_wide: Option<u64>,
    refused: Option<u64>,
    asked: u64,
    unclear: u32,
}

impl RangeSearch {
    pub fn new(head: u64) -> RangeSearch {
        let most = head.min(limits::BENCH_LOG_BLOCKS);
        RangeSearch { most, answered: None, too_wide: None, refused: None, asked: 0, unclear: 0 }
    }

    /// The width to ask for, in blocks.
    pub fn ask(&self) -> Option<u64> {
        if self.asked >= limits::BENCH_RANGE_CALLS || self.most == 0 {
            return None;
        }
        let (low, high) = (self.answered.unwrap_or(0), self.too_wide.unwrap_or(self.most + 1));
        let is_inside = |width: &u64| low < *width && *width < high;
        if self.too_wide.is_none() {
            let next = TENFOLD.into_iter().find(|width| *width > low).unwrap_or(self.most);
            return Some(next.min(self.most)).filter(is_inside);
        }
        if high - low <= 1 + low / limits::BENCH_RANGE_PARTS {
            return None;
        }
        let round = ROUND.into_iter().filter(is_inside).min();
        // Just above a round number, twice; then halves.
        let is_round = |width: u64| TENFOLD.contains(&width) || ROUND.contains(&width);
        let above = (is_round(low) || is_round(low.saturating_sub(1))).then_some(low + 1);
        round.or(above).filter(is_inside).or(Some(low + (high - low) / 2)).filter(is_inside)
    }

    pub fn on(&mut self, heard: SearchReply) {
        let Some(width) = self.ask() else { return };
        self.asked += 1;
        match heard {
            SearchReply::Given => self.answered = Some(width),
            SearchReply::Denied => (self.too_wide, self.refused) = (Some(width), Some(width)),
            SearchReply::Unclear if self.unclear >= limits::BENCH_AGAIN => self.too_wide = Some(width),
            SearchReply::Unclear => return self.unclear += 1,
        }
        self.unclear = 0;
    }

    /// `None`: not even the narrowest was answered.
    pub fn found(&self) -> Option<LogRange> {
        Some(LogRange { answered_blocks: self.answered?, refused_blocks: self.refused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(head: u64, truth: u64) -> (Option<LogRange>, u64) {
        let (mut search, mut asked) = (RangeSearch::new(head), 0);
        while let Some(width) = search.ask() {
            asked += 1;
            assert!(width <= head && asked <= limits::BENCH_RANGE_CALLS);
            search.on(if width <= truth { SearchReply::Given } else { SearchReply::Denied });
        }
        (search.found(), asked)
    }

    #[test]
    fn limits_as_providers_write_them_are_found_exactly() {
        for truth in [1, 5, 10, 11, 50, 100, 500, 501, 1_000, 1_001, 2_000, 5_000, 5_001, 10_000, 10_001, 50_000] {
            let (found, asked) = search(20_000_000, truth);
            let want = LogRange { answered_blocks: truth, refused_blocks: Some(truth + 1) };
            assert_eq!(found, Some(want), "{truth} with {asked} questions");
        }
        for truth in [800, 1_024, 2_048, 3_500, 7_777] {
            let (Some(found), asked) = search(20_000_000, truth) else { panic!("{truth}") };
            let refused = found.refused_blocks.expect("some were refused");
            assert!(found.answered_blocks <= truth && truth < refused, "{found:?}");
            assert!(refused - found.answered_blocks <= 1 + truth / limits::BENCH_RANGE_PARTS, "{found:?} with {asked} questions");
        }
    }

    #[test]
    fn what_refuses_nothing_and_what_answers_nothing() {
        let all = LogRange { answered_blocks: limits::BENCH_LOG_BLOCKS, refused_blocks: None };
        assert_eq!(search(20_000_000, u64::MAX), (Some(all), 5));
        assert_eq!(search(57, u64::MAX).0, Some(LogRange { answered_blocks: 57, refused_blocks: None }));
        assert_eq!(search(20_000_000, 0).0, None);
        assert_eq!(search(0, 9), (None, 0));
        let mut timid = RangeSearch::new(1_000_000);
        timid.on(SearchReply::Given);
        while timid.ask().is_some() {
            timid.on(SearchReply::Unclear);
        }
        assert_eq!(timid.found(), Some(LogRange { answered_blocks: 10, refused_blocks: None }));
    }
}
