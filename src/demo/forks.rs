//! Which branches a model chain has and which of them is canonical when. A branch is a number, where it leaves its parent
//! and nothing else: its blocks follow from the chain's seed as all blocks do, at any height, also long after it was left.
//!
//! The history is given before the network starts (`fork`, `turn`), so it is a function of time like the head's height, and
//! a chain may go A → B → A. A reorg happens at once and keeps the height, but for a fall (`fall`). Rejected: deciding a reorg while running, which
//! would make what a block is depend on who asked first. Few branches are expected: look-ups walk the list.

use crate::base::time::Instant;

/// The newest block of a view: a branch, and a height on its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tip {
    pub branch: u32,
    pub height: u64,
}

#[derive(Clone, Copy, Debug)]
struct Fork {
    parent: u32,
    /// Its first block of its own.
    from: u64,
    /// By how much it is lower than the trunk at any moment.
    fallen: u64,
    /// When the chain fell to it, or to an ancestor of it.
    fell_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    at: Instant,
    branch: u32,
}

/// Branch 0 is the trunk and canonical at first.
#[derive(Clone, Debug, Default)]
pub struct Forks {
    forks: Vec<Fork>,
    /// In order of time.
    turns: Vec<Turn>,
}

impl Forks {
    /// A branch that leaves `parent`'s path below `from`.
    pub fn fork(&mut self, parent: u32, from: u64) -> u32 {
        let fork = Fork { parent, from, fallen: self.fallen(parent), fell_at: self.fell_at(parent) };
        self.forks.push(fork);
        self.forks.len() as u32
    }

    /// The canonical chain falls by so many blocks at `at`, which is later than all turns before, and goes on from there on a
    /// branch that leaves it below `from`: above the fall it is reverted, far below it is another chain. Nobody keeps what was.
    pub fn fall(&mut self, at: Instant, by: u64, from: u64) -> u32 {
        let parent = self.canonical(at);
        self.forks.push(Fork { parent, from, fallen: self.fallen(parent) + by, fell_at: at });
        let branch = self.forks.len() as u32;
        self.turn(at, branch);
        branch
    }

    /// By how much the branch is lower than the trunk at any moment.
    pub fn fallen(&self, branch: u32) -> u64 {
        self.get(branch).map_or(0, |fork| fork.fallen)
    }

    /// When the branch's chain fell last.
    pub fn fell_at(&self, branch: u32) -> Instant {
        self.get(branch).map_or(Instant::ZERO, |fork| fork.fell_at)
    }

    /// Where a round's block stands on the path of `branch`; nowhere when the chain fell below it.
    pub fn height_of(&self, branch: u32, round: u64) -> Option<u64> {
        let mut at = branch;
        loop {
            let height = round.checked_sub(self.fallen(at)).filter(|height| self.owner(branch, *height) == at);
            match (height, self.get(at)) {
                (Some(height), _) => return Some(height),
                (None, Some(fork)) => at = fork.parent,
                (None, None) => return None,
            }
        }
    }

    /// How often the block that `owner` has at `height` became canonical up to `now`.
    pub fn visits(&self, owner: u32, height: u64, now: Instant) -> usize {
        let turns = std::iter::once(0).chain(self.turns.iter().filter(|turn| turn.at <= now).map(|turn| turn.branch));
        let is_on: Vec<bool> = turns.map(|branch| self.owner(branch, height) == owner).collect();
        let began_so = usize::from(is_on.first() == Some(&true));
        began_so + is_on.windows(2).filter(|pair| matches!(pair, [false, true])).count()
    }

    /// `branch` is canonical from `at` on, which is later than all turns before.
    pub fn turn(&mut self, at: Instant, branch: u32) {
        self.turns.push(Turn { at, branch });
    }

    /// The canonical branch at `now`.
    pub fn canonical(&self, now: Instant) -> u32 {
        self.turns.iter().rev().find(|turn| turn.at <= now).map_or(0, |turn| turn.branch)
    }

    /// Whether another branch became canonical after `then`, up to `now`.
    pub fn has_turned(&self, then: Instant, now: Instant) -> bool {
        self.turns.iter().any(|turn| then < turn.at && turn.at <= now)
    }

    /// The branch whose own block stands at `height` on the path of `branch`.
    pub fn owner(&self, branch: u32, height: u64) -> u32 {
        let mut owner = branch;
        while let Some(fork) = self.get(owner).filter(|fork| height < fork.from) {
            owner = fork.parent;
        }
        owner
    }

    /// The highest height at which both are on one path; `None` below the very first block.
    pub fn meet(&self, a: Tip, b: Tip) -> Option<u64> {
        let mut height = a.height.min(b.height);
        loop {
            let (one, other) = (self.owner(a.branch, height), self.owner(b.branch, height));
            if one == other {
                return Some(height);
            }
            let from = |branch| self.get(branch).map_or(0, |fork| fork.from);
            height = from(one).max(from(other)).checked_sub(1)?;
        }
    }

    /// Whether the block that `owner` has at `height` was canonical at some time up to `now`, given each branch's height then.
    pub fn was_canonical(&self, owner: u32, height: u64, now: Instant, head: impl Fn(u32, Instant) -> u64) -> bool {
        let starts = std::iter::once((Instant::ZERO, 0)).chain(self.turns.iter().map(|turn| (turn.at, turn.branch)));
        let ends = self.turns.iter().map(|turn| turn.at).chain([Instant::NEVER]);
        let mut spans = starts.zip(ends).take_while(|((from, _), _)| *from <= now);
        spans.any(|((_, branch), until)| height <= head(branch, until.min(now)) && self.owner(branch, height) == owner)
    }

    fn get(&self, branch: u32) -> Option<Fork> {
        self.forks.get(usize::try_from(branch.checked_sub(1)?).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trunk; 1 leaves it at 10; 2 leaves 1 at 12; 3 leaves the trunk at 11. Canonical: 0, then 1, then 0 again.
    fn forks() -> Forks {
        let mut forks = Forks::default();
        let one = forks.fork(0, 10);
        let two = forks.fork(one, 12);
        let three = forks.fork(0, 11);
        assert_eq!((one, two, three), (1, 2, 3));
        forks.turn(Instant(50), one);
        forks.turn(Instant(70), 0);
        forks
    }

    #[test]
    fn a_path_goes_down_through_its_parents() {
        let forks = forks();
        let check = |branch, want: [u32; 4]| assert_eq!([9, 10, 11, 12].map(|height| forks.owner(branch, height)), want);
        check(0, [0, 0, 0, 0]);
        check(1, [0, 1, 1, 1]);
        check(2, [0, 1, 1, 2]);
        check(3, [0, 0, 3, 3]);
        assert_eq!([49, 50, 69, 70].map(|at| forks.canonical(Instant(at))), [0, 1, 1, 0]);
    }

    #[test]
    fn two_tips_meet_where_their_paths_part() {
        let forks = forks();
        for (a, b) in (0..4).flat_map(|a| (0..4).map(move |b| (a, b))) {
            for (up, down) in (5..20).flat_map(|up| (5..20).map(move |down| (up, down))) {
                let same = |height: &u64| forks.owner(a, *height) == forks.owner(b, *height);
                let want = (0..=up.min(down)).rev().find(same);
                assert_eq!(forks.meet(Tip { branch: a, height: up }, Tip { branch: b, height: down }), want);
            }
        }
        let mut rootless = Forks::default();
        let other = rootless.fork(0, 0);
        assert_eq!(rootless.meet(Tip { branch: 0, height: 5 }, Tip { branch: other, height: 5 }), None);
    }

    #[test]
    fn what_was_canonical_is_remembered_and_nothing_else() {
        let forks = forks();
        // The head is at 12 until 60, then at 14.
        let known =
            |owner, height, now| forks.was_canonical(owner, height, Instant(now), |_, at| if at < Instant(60) { 12 } else { 14 });
        assert!(known(0, 12, 10) && !known(0, 13, 10) && !known(1, 11, 49));
        assert!(known(1, 12, 50) && !known(1, 13, 50) && known(1, 14, 65) && known(1, 14, 90));
        assert!(known(0, 12, 55) && !known(0, 13, 55) && known(0, 13, 90));
        assert!(!known(2, 12, 90) && !known(3, 11, 90));
    }
}
