//! The node-wide byte budgets of bodies in memory.
//!
//! A budget is one atomic count for the process, but a call must not touch a cache line that other shards write. So each
//! shard draws from it in large steps and hands out permits from what it drew. The sum of all draws never exceeds the
//! budget; what a shard holds in reserve (at most two steps) is the price. A permit gives its bytes back when dropped,
//! so no path of a call can leak them.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a shard draws at a time.
const STEP_BYTES: u64 = 256 * 1024;

/// Bytes for the whole process; clones are the same budget.
#[derive(Clone)]
pub struct Budget(Arc<Whole>);

struct Whole {
    limit: u64,
    drawn: AtomicU64,
}

impl Budget {
    pub fn new(limit: u64) -> Budget {
        Budget(Arc::new(Whole { limit, drawn: AtomicU64::new(0) }))
    }

    /// Bytes drawn by all shards, their reserves included.
    pub fn drawn(&self) -> u64 {
        self.0.drawn.load(Ordering::Relaxed)
    }

    /// A shard's access to it; made once per shard.
    pub fn share(&self) -> Share {
        Share(Rc::new(Reserve { budget: self.0.clone(), free: Cell::new(0), in_use: Cell::new(0) }))
    }
}

impl Whole {
    fn draw(&self, bytes: u64) -> bool {
        let fits = |drawn: u64| drawn.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.drawn.try_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.drawn.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// One shard's share of a budget; cheap to clone.
#[derive(Clone)]
pub struct Share(Rc<Reserve>);

struct Reserve {
    budget: Arc<Whole>,
    /// Drawn, in no permit.
    free: Cell<u64>,
    /// In permits.
    in_use: Cell<u64>,
}

impl Share {
    /// A permit for `bytes`, or nothing when the node's budget is used up.
    pub fn take(&self, bytes: u64) -> Option<Permit> {
        self.0.take(bytes).then(|| Permit { reserve: self.0.clone(), bytes })
    }

    /// A charge that came from another shard's permit on the same budget.
    pub fn adopt(&self, mut charge: Charge) -> Permit {
        let bytes = std::mem::take(&mut charge.bytes);
        self.0.in_use.set(self.0.in_use.get() + bytes);
        Permit { reserve: self.0.clone(), bytes }
    }

    /// Bytes in this shard's permits.
    pub fn in_use(&self) -> u64 {
        self.0.in_use.get()
    }
}

impl Reserve {
    fn take(&self, bytes: u64) -> bool {
        if self.free.get() < bytes {
            let missing = bytes - self.free.get();
            // In steps while there is plenty; to the byte when there is not.
            let step = missing.next_multiple_of(STEP_BYTES);
            let drawn = [step, missing].into_iter().find(|n| self.budget.draw(*n));
            let Some(drawn) = drawn else { return false };
            self.free.set(self.free.get() + drawn);
        }
        self.free.set(self.free.get() - bytes);
        self.in_use.set(self.in_use.get() + bytes);
        true
    }

    fn release(&self, bytes: u64) {
        self.in_use.set(self.in_use.get() - bytes);
        let free = self.free.get() + bytes;
        let keep = if free > 2 * STEP_BYTES { STEP_BYTES } else { free };
        self.free.set(keep);
        if free > keep {
            self.budget.give_back(free - keep);
        }
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.budget.give_back(self.free.get() + self.in_use.get());
    }
}

/// Bytes that its holder may keep in memory; given back on drop.
pub struct Permit {
    reserve: Rc<Reserve>,
    bytes: u64,
}

impl Permit {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Raises it to `bytes`; `false`, and unchanged, when the budget has not that much. Never shrinks.
    pub fn raise_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 && !self.reserve.take(more) {
            return false;
        }
        self.bytes += more;
        true
    }

    /// The same bytes for another shard, on the way to it.
    pub fn detach(mut self) -> Charge {
        let bytes = std::mem::take(&mut self.bytes);
        self.reserve.in_use.set(self.reserve.in_use.get() - bytes);
        Charge { budget: self.reserve.budget.clone(), bytes }
    }

    /// Lowers it to `bytes`: what was feared did not come.
    pub fn lower_to(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.reserve.release(less);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.reserve.release(self.bytes);
    }
}

/// Bytes of a permit between two shards; given back on drop, in any thread.
pub struct Charge {
    budget: Arc<Whole>,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn the_last_byte_can_be_had_and_not_one_more() {
        let budget = Budget::new(STEP_BYTES + 100);
        let share = budget.share();
        let mut first = share.take(STEP_BYTES).unwrap();
        assert!(first.raise_to(STEP_BYTES + 90) && first.raise_to(10));
        assert_eq!(first.bytes(), STEP_BYTES + 90);
        let last = share.take(10).unwrap();
        assert!(share.take(1).is_none() && !first.raise_to(STEP_BYTES + 91));
        assert_eq!(share.in_use(), STEP_BYTES + 100);
        drop(last);
        assert!(share.take(11).is_none() && share.take(10).is_some());
        first.lower_to(7);
        first.lower_to(100);
        assert_eq!((first.bytes(), share.in_use()), (7, 7));
        drop((first, share));
        assert_eq!(budget.drawn(), 0, "all of it came back");
    }

    #[test]
    fn a_permit_moves_between_shards_whole() {
        let budget = Budget::new(STEP_BYTES);
        let [from, to] = [(), ()].map(|()| budget.share());
        let charge = from.take(STEP_BYTES - 1).unwrap().detach();
        drop(from);
        assert_eq!(budget.drawn(), STEP_BYTES - 1, "on its way it is nobody's, and drawn");
        let permit = to.adopt(charge);
        assert_eq!((permit.bytes(), to.in_use(), budget.drawn()), (STEP_BYTES - 1, STEP_BYTES - 1, STEP_BYTES - 1));
        assert!(to.take(2).is_none());
        drop(permit.detach());
        assert_eq!((to.in_use(), budget.drawn()), (0, 0));
    }

    #[test]
    fn many_shards_never_exceed_it_and_return_it_all() {
        const LIMIT: u64 = 5 * STEP_BYTES;
        let budget = Budget::new(LIMIT);
        let in_use = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let (budget, in_use) = (&budget, &in_use);
                scope.spawn(move || {
                    let (share, mut rng, mut held) = (budget.share(), Rng::new(seed), Vec::new());
                    for _ in 0..20_000 {
                        if rng.chance(500_000) {
                            if let Some(permit) = share.take(rng.below(STEP_BYTES * 3 / 2)) {
                                let sum = in_use.fetch_add(permit.bytes(), Ordering::SeqCst) + permit.bytes();
                                assert!(sum <= LIMIT, "{sum}");
                                held.push(permit);
                            }
                        } else if !held.is_empty() {
                            let permit = held.swap_remove(rng.below(held.len() as u64) as usize);
                            in_use.fetch_sub(permit.bytes(), Ordering::SeqCst);
                            drop(permit);
                        }
                    }
                    in_use.fetch_sub(held.iter().map(Permit::bytes).sum(), Ordering::SeqCst);
                });
            }
        });
        assert_eq!(budget.drawn(), 0);
    }
}
