//! The calls of one shard that wait for their turn because nobody's circuit is closed: first come, first served, per chain.
//!
//! Only the first in line looks whether it may go (every few milliseconds, because the turn may be another shard's), the others
//! are woken when it has left: thousands of calls wait without a timer each. Whoever leaves, by going, by its deadline or
//! because its client is gone, wakes the next. The line is bounded; one more call is refused at once and told when to come
//! again.

use crate::base::ids::{ChainId, ProfileId};
use crate::base::limits;
use crate::runtime::world::World;
use crate::shard::Bell;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

type LineKey = (ProfileId, ChainId);

/// All lines of a shard; one exists while somebody stands in it.
#[derive(Default)]
pub struct TurnLines {
    lines: RefCell<BTreeMap<LineKey, VecDeque<Rc<Bell>>>>,
}

impl TurnLines {
    /// Somebody waits already: a newcomer may not go first.
    pub fn has_line(&self, key: LineKey) -> bool {
        self.lines.borrow().contains_key(&key)
    }

    /// A place at the end; `None` when the line is full.
    pub fn join(self: &Rc<Self>, key: LineKey) -> Option<PlaceInLine> {
        let mut lines = self.lines.borrow_mut();
        let line = lines.entry(key).or_default();
        if line.len() >= limits::DARK_WAITERS {
            return None;
        }
        let bell = Rc::new(Bell::default());
        line.push_back(bell.clone());
        Some(PlaceInLine { lines: self.clone(), key, bell })
    }
}

/// A place in a line; dropping it leaves the line.
pub struct PlaceInLine {
    lines: Rc<TurnLines>,
    key: LineKey,
    bell: Rc<Bell>,
}

impl PlaceInLine {
    pub fn is_first(&self) -> bool {
        let lines = self.lines.lines.borrow();
        lines.get(&self.key).and_then(VecDeque::front).is_some_and(|first| Rc::ptr_eq(first, &self.bell))
    }

    /// Resolves when it is worth looking again: a moment later for the first, else when it has become the first. May be dropped
    /// at any time.
    pub async fn wait<W: World>(&self, world: &W) {
        if self.is_first() {
            return world.sleep_until(world.now().plus_ms(limits::DARK_LOOK_MS)).await;
        }
        while !self.is_first() {
            self.bell.heard().await;
        }
    }
}

impl Drop for PlaceInLine {
    fn drop(&mut self) {
        let mut lines = self.lines.lines.borrow_mut();
        let Some(line) = lines.get_mut(&self.key) else { return };
        line.retain(|bell| !Rc::ptr_eq(bell, &self.bell));
        match line.front() {
            Some(next) => next.ring(),
            None => drop(lines.remove(&self.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: LineKey = (ProfileId(0), ChainId(0));

    #[test]
    fn first_come_first_served_and_bounded() {
        let lines = Rc::new(TurnLines::default());
        assert!(!lines.has_line(HERE));
        let mut all: VecDeque<PlaceInLine> = (0..limits::DARK_WAITERS).filter_map(|_| lines.join(HERE)).collect();
        assert!(lines.has_line(HERE) && lines.join(HERE).is_none(), "full");
        assert!(lines.join((ProfileId(0), ChainId(1))).is_some_and(|place| place.is_first()), "another chain's line");
        // Whoever gives up in the middle changes nothing for the first.
        drop(all.remove(1));
        while let Some(first) = all.pop_front() {
            assert!(first.is_first());
            drop(first);
        }
        assert!(!lines.has_line(HERE));
    }
}
