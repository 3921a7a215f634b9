//! Who has a block first, and how far behind the others are. Blocks are known by their height, because a provider that is only
//! asked for its head says nothing else. Only blocks count that came while everybody was watched, so that nobody is late
//! for having been looked at later; and a block of the last moments only if everybody had it, so that nobody is late for
//! the run having ended.
//!
//! A provider that is asked every so often is seen to have a block up to that much late, and one that announces is not: the
//! findings say who is which. A block that a provider never had counts as being late until the end: it is at least that.

use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::bench::findings::Freshness;
use crate::bench::sample::middle;
use std::collections::BTreeMap;

/// How a provider is watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadSource {
    Pushed,
    Asked { every_ms: u64 },
}

#[derive(Clone, Debug)]
pub struct BlockRace {
    runners: Vec<Option<HeadSource>>,
    /// The highest that each was seen to have.
    highest: Vec<Option<u64>>,
    /// When each had a block.
    blocks: BTreeMap<u64, Vec<Option<Instant>>>,
    opened: Option<Instant>,
}

impl BlockRace {
    pub fn new(providers: usize) -> BlockRace {
        BlockRace { runners: vec![None; providers], highest: vec![None; providers], blocks: BTreeMap::new(), opened: None }
    }

    /// From now on it is watched.
    pub fn enter(&mut self, provider: usize, how: HeadSource) {
        if let Some(runner) = self.runners.get_mut(provider) {
            *runner = Some(how);
        }
    }

    /// Everybody is watched who will be.
    pub fn open(&mut self, now: Instant) {
        self.opened = self.opened.or(Some(now));
    }

    /// It announced this block, or said that it is its newest: then it has those below too.
    pub fn saw(&mut self, provider: usize, height: u64, at: Instant) {
        let runners = self.runners.len();
        let Some(Some(how)) = self.runners.get(provider).copied() else { return };
        let Some(highest) = self.highest.get_mut(provider) else { return };
        let from = match (how, *highest) {
            (HeadSource::Asked { .. }, Some(before)) => (before + 1).max(height.saturating_sub(limits::BENCH_BLOCKS_AT_ONCE)),
            _ => height,
        };
        *highest = Some(highest.unwrap_or(0).max(height));
        for block in from..=height {
            if self.blocks.len() >= limits::BENCH_BLOCKS && !self.blocks.contains_key(&block) {
                return;
            }
            let row = self.blocks.entry(block).or_insert_with(|| vec![None; runners]);
            if let Some(seen) = row.get_mut(provider) {
                *seen = seen.or(Some(at));
            }
        }
    }

    /// What it comes to at `now`, by provider. Nothing where there is nobody to be behind.
    pub fn found(&self, now: Instant) -> Vec<Option<Freshness>> {
        let Some(opened) = self.opened.filter(|_| self.runners.iter().flatten().count() > 1) else {
            return vec![None; self.runners.len()];
        };
        let ripe = now - Duration::from_millis(limits::BENCH_BLOCK_GRACE_MS);
        let is_run = |provider: usize| self.runners.get(provider).is_some_and(Option::is_some);
        let counted: Vec<(Instant, &Vec<Option<Instant>>)> = (self.blocks.values())
            .filter_map(|row| {
                let first = row.iter().flatten().min().copied()?;
                let have_all = row.iter().enumerate().all(|(provider, at)| at.is_some() || !is_run(provider));
                (first >= opened && (first <= ripe || have_all)).then_some((first, row))
            })
            .collect();
        let of = |(provider, how): (usize, &Option<HeadSource>)| Some(standing(provider, (*how)?, &counted, now)).flatten();
        self.runners.iter().enumerate().map(of).collect()
    }
}

/// `None`: there were too few blocks to say.
fn standing(provider: usize, how: HeadSource, counted: &[(Instant, &Vec<Option<Instant>>)], now: Instant) -> Option<Freshness> {
    let at = |row: &[Option<Instant>]| row.get(provider).copied().flatten();
    let had: Vec<(Instant, Option<Instant>)> = counted.iter().map(|(first, row)| (*first, at(row))).collect();
    let behind_ms = had.iter().map(|(first, at)| at.unwrap_or(now).since(*first).as_secs_f64() * 1e3);
    Some(Freshness {
        blocks: had.iter().filter(|(_, at)| at.is_some()).count() as u64,
        first: had.iter().filter(|(first, at)| *at == Some(*first)).count() as u64,
        behind_ms: middle(behind_ms)?,
        is_pushed: how == HeadSource::Pushed,
        asked_every_ms: match how {
            HeadSource::Pushed => None,
            HeadSource::Asked { every_ms } => Some(every_ms),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO.plus_ms(ms)
    }

    #[test]
    fn who_is_late_is_behind_by_how_late_it_is() {
        let mut race = BlockRace::new(4);
        race.enter(0, HeadSource::Pushed);
        race.enter(1, HeadSource::Pushed);
        race.enter(2, HeadSource::Asked { every_ms: 1_000 });
        // Before everybody was watched.
        race.saw(0, 99, at(10));
        race.saw(2, 99, at(20));
        race.open(at(100));
        for block in 0..20 {
            let born = 1_000 + block * 2_000;
            race.saw(0, 100 + block, at(born));
            race.saw(1, 100 + block, at(born + 300));
            // It shows two blocks with each look.
            if block % 2 == 1 {
                race.saw(2, 100 + block, at(born + 500));
            }
        }
        race.saw(3, 100, at(1));
        race.saw(0, 120, at(59_900));
        let found = race.found(at(60_000));
        let [Some(first), Some(second), Some(asked), None] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((first.blocks, first.first, first.behind_ms.value, first.is_pushed), (20, 20, 0.0, true));
        assert_eq!((second.blocks, second.first, second.behind_ms.value), (20, 0, 300.0));
        assert_eq!((asked.blocks, asked.first, asked.asked_every_ms), (20, 0, Some(1_000)));
        assert!((500.0..=2_500.0).contains(&asked.behind_ms.value), "{asked:?}");
    }

    #[test]
    fn who_stands_still_is_late_until_the_end() {
        let mut race = BlockRace::new(2);
        (0..2).for_each(|provider| race.enter(provider, HeadSource::Pushed));
        race.open(at(0));
        (0..10).for_each(|block| race.saw(0, block, at(1_000 * block)));
        let found = race.found(at(60_000));
        let [Some(good), Some(stuck)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((good.first, stuck.blocks), (10, 0));
        assert!(stuck.behind_ms.value > 50_000.0);
    }

    #[test]
    fn one_alone_is_behind_nobody_and_few_blocks_say_nothing() {
        let mut race = BlockRace::new(1);
        race.enter(0, HeadSource::Pushed);
        race.open(at(0));
        (0..10).for_each(|block| race.saw(0, block, at(block)));
        assert_eq!(race.found(at(60_000)), [None]);
        let mut race = BlockRace::new(2);
        (0..2).for_each(|provider| race.enter(provider, HeadSource::Pushed));
        race.open(at(0));
        (0..2).for_each(|provider| race.saw(provider, 7, at(10)));
        assert_eq!(race.found(at(60_000)), [None, None]);
    }
}
