//! The node-wide table of client limits: one atomic cell per client, shared by all shards, so that a client's limit does
//! not depend on which shard its connections landed on.
//!
//! The rule is not here: it is a pure function from a cell's value to its next one (`route::limit`), run inside a
//! compare-and-swap. A value is a moment ("theoretical arrival time"), which makes two things easy: a cell in the past
//! is the same as no cell, so the oldest one may be given to a newcomer, and values only grow, so a swap that succeeds
//! proves that the cell was nobody else's meanwhile.
//!
//! A client has one set of cells to live in (by hash, with a seed of this process); a set is two cache lines. Finding
//! and charging it takes no lock. Moving in does, one per set, so that two shards cannot give one client two cells.
//! When all cells of a set are in use, the one with the least debt goes: its client starts anew when it comes back,
//! which can only err towards letting requests through. Rejected: a map behind a lock (a lock per call), a table per
//! shard (a limit times the number of shards), an exact table (memory in the hands of strangers).

use crate::base::limits::{LIMITER_CELLS, LIMITER_WAYS};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A cell that is being given to another client.
const CLAIMED: u64 = u64::MAX;

/// A client, as a hash under the process's secret: not to be compared across processes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClientKey(u64);

impl ClientKey {
    /// One of so many places, as good as any.
    pub fn spread(self, places: usize) -> usize {
        (self.0 % places.max(1) as u64) as usize
    }
}

#[derive(Default)]
struct Cell {
    /// 0: nobody's.
    key: AtomicU64,
    value: AtomicU64,
}

#[repr(align(128))]
#[derive(Default)]
struct Set([Cell; LIMITER_WAYS]);

pub struct Limiter {
    sets: Box<[Set]>,
    /// One for each set; taken to move a client in.
    moving_in: Box<[Mutex<()>]>,
    secret: [u64; 2],
}

impl Limiter {
    /// `secret` is drawn anew by each process, so that nobody can aim clients at one set.
    pub fn new(secret: [u64; 2]) -> Limiter {
        Limiter::with_sets(LIMITER_CELLS / LIMITER_WAYS, secret)
    }

    /// `sets` is a power of two.
    fn with_sets(sets: usize, secret: [u64; 2]) -> Limiter {
        debug_assert!(sets.is_power_of_two());
        Limiter {
            sets: (0..sets).map(|_| Set::default()).collect(),
            moving_in: (0..sets).map(|_| Mutex::default()).collect(),
            secret,
        }
    }

    /// The key of a client: `kind` keeps an address and an API key of the same bytes apart. Costs a multiplication for
    /// each 8 bytes. Two clients share a key by chance once in 2^64 pairs; without the secret nobody can arrange it.
    pub fn key(&self, kind: u8, client: &[u8]) -> ClientKey {
        let mut hash = fold(u64::from(kind) ^ self.secret[0], client.len() as u64 ^ self.secret[1]);
        let (words, rest) = client.as_chunks::<8>();
        let rest = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        for word in words.iter().map(|w| u64::from_le_bytes(*w)).chain([rest]) {
            hash = fold(hash ^ word ^ self.secret[0], self.secret[1] | 1);
        }
        ClientKey(fold(hash ^ self.secret[1], 0x9E37_79B9_7F4A_7C15).max(1))
    }

    /// Runs `rule` on the client's value (0 for a client that is not in the table) and stores what it returns; `None`
    /// stores nothing and means refused. `rule` may run more than once, must not lower the value, and must treat any
    /// value in the past as it treats 0. Returns whether the rule let it through.
    pub fn charge(&self, key: ClientKey, mut rule: impl FnMut(u64) -> Option<u64>) -> bool {
        let at = key.0 as usize & (self.sets.len() - 1); // in range: a power of two, and a mask below it
        let (Some(set), Some(lock)) = (self.sets.get(at), self.moving_in.get(at)) else { return true };
        match set.charge(key.0, &mut rule) {
            Some(admitted) => admitted,
            None => {
                let _moving_in = lock.lock();
                // Somebody may have moved this client in since we looked.
                set.charge(key.0, &mut rule).unwrap_or_else(|| set.move_in(key.0, &mut rule))
            }
        }
    }
}

/// Both halves of a product, mixed: each bit of the result depends on all bits of both.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Set {
    /// `None`: the client has no cell here.
    fn charge(&self, key: u64, rule: &mut impl FnMut(u64) -> Option<u64>) -> Option<bool> {
        let cell = self.0.iter().find(|cell| cell.key.load(Ordering::Relaxed) == key)?;
        let mut value = cell.value.load(Ordering::Acquire);
        loop {
            // Value first, then key: the value has not changed if the swap succeeds, and it changes before the key does,
            // so then the key is still ours.
            if value == CLAIMED || cell.key.load(Ordering::Acquire) != key {
                return None;
            }
            let Some(next) = rule(value) else { return Some(false) };
            debug_assert!(next >= value && next != CLAIMED, "values only grow");
            match cell.value.compare_exchange_weak(value, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(true),
                Err(now) => value = now,
            }
        }
    }

    /// Gives the client the cell with the least debt. Only under the set's lock.
    fn move_in(&self, key: u64, rule: &mut impl FnMut(u64) -> Option<u64>) -> bool {
        let Some(first) = rule(0) else { return false };
        loop {
            let oldest = self.0.iter().map(|cell| (cell.value.load(Ordering::Acquire), cell)).min_by_key(|(v, _)| *v);
            let Some((old, cell)) = oldest else { return true };
            if cell.value.compare_exchange(old, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue; // its owner was charged just now, so another may be the oldest
            }
            cell.key.store(key, Ordering::Release);
            // Above `old`, so that no swap that was prepared on it can succeed.
            cell.value.store(first.max(old + 1), Ordering::Release);
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::HashSet,
        sync::atomic::{AtomicBool, AtomicUsize},
        time::Duration,
    };

    const COST: u64 = 10;

    /// GCRA at a standing clock: admits `burst` charges after `now`, then none.
    fn gcra(now: u64, burst: u64) -> impl Fn(u64) -> Option<u64> {
        move |value| {
            let next = value.max(now) + COST;
            (next <= now + burst * COST).then_some(next)
        }
    }

    /// Keys of one set of a one-set table.
    fn keys(n: u64) -> Vec<ClientKey> {
        (1..=n).map(ClientKey).collect()
    }

    #[test]
    fn threads_together_get_exactly_the_burst_even_when_all_move_in_at_once() {
        let limiter = Limiter::with_sets(4, [1, 2]);
        const BURST: u64 = 500;
        for round in 0..50u64 {
            // Newer than all before, so each round's clients find cells in the past to move into; 16 in 4 sets.
            let rule = gcra(1_000_000 * (round + 1), BURST);
            let clients: Vec<_> = (0..16).map(|n| ClientKey((round << 8 | n) + 1)).collect();
            let admitted: Vec<_> = clients.iter().map(|_| AtomicUsize::new(0)).collect();
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..BURST {
                            for (client, count) in clients.iter().zip(&admitted) {
                                if limiter.charge(*client, &rule) {
                                    count.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                        }
                    });
                }
            });
            assert!(admitted.iter().all(|n| n.load(Ordering::Relaxed) == BURST as usize), "{admitted:?}");
        }
    }

    #[test]
    fn two_shards_that_move_one_client_in_make_one_cell() {
        let limiter = Limiter::with_sets(1, [1, 2]);
        let (client, rule) = (ClientKey(7), gcra(1000, 1));
        let moving_in = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| {
                limiter.charge(client, |value| {
                    if !moving_in.swap(true, Ordering::AcqRel) {
                        // Long enough for the other to find no cell yet.
                        std::thread::sleep(Duration::from_millis(50));
                    }
                    rule(value)
                })
            });
            while !moving_in.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            let fast = limiter.charge(client, &rule);
            assert!(fast != slow.join().unwrap(), "one of the two, not both");
        });
    }

    #[test]
    fn a_cell_that_changes_hands_meanwhile_is_not_charged() {
        let (ours, theirs) = (7, 8);
        let set = Set::default();
        let cell = &set.0[3];
        cell.key.store(ours, Ordering::Relaxed);
        cell.value.store(CLAIMED, Ordering::Relaxed);
        assert_eq!(set.charge(ours, &mut |_| unreachable!("the cell is being given away")), None);
        cell.value.store(100, Ordering::Relaxed);
        let mut calls = 0;
        let charged = set.charge(ours, &mut |value| {
            calls += 1;
            assert_eq!((calls, value), (1, 100));
            cell.value.store(CLAIMED, Ordering::Relaxed); // another shard moves its client in just now
            cell.key.store(theirs, Ordering::Relaxed);
            cell.value.store(200, Ordering::Relaxed);
            Some(110)
        });
        assert_eq!((charged, cell.value.load(Ordering::Relaxed)), (None, 200));
    }

    #[test]
    fn a_client_in_debt_keeps_its_exact_limit_while_strangers_come_and_go() {
        let limiter = Limiter::with_sets(1, [1, 2]);
        let (now, burst) = (1_000_000, 20_000);
        let debtor = ClientKey(u64::MAX - 1);
        assert!(limiter.charge(debtor, |v| Some(v.max(now + COST))));
        let admitted = AtomicUsize::new(1);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let rule = gcra(now, burst);
                    let n = (0..burst).filter(|_| limiter.charge(debtor, &rule)).count();
                    admitted.fetch_add(n, Ordering::Relaxed);
                });
            }
            scope.spawn(|| {
                // Always less in debt than the debtor: a clock that is behind.
                for n in 1..20_000 {
                    limiter.charge(ClientKey(n), |v| Some(v.max(n) + 1));
                }
            });
        });
        assert_eq!(admitted.load(Ordering::Relaxed), burst as usize);
    }

    #[test]
    fn the_oldest_makes_room() {
        let limiter = Limiter::with_sets(1, [1, 2]);
        let all = keys(LIMITER_WAYS as u64 + 1);
        let value_of = |key: ClientKey| {
            let mut seen = 0;
            limiter.charge(key, |v| {
                seen = v;
                None
            });
            seen
        };
        for (i, key) in all.iter().take(LIMITER_WAYS).enumerate() {
            assert!(limiter.charge(*key, |v| Some(v.max(100 + i as u64))));
        }
        assert!(limiter.charge(all[0], |v| Some(v + 1000)));
        assert!(limiter.charge(all[LIMITER_WAYS], |v| Some(v.max(50))));
        let values: Vec<_> = all.iter().map(|k| value_of(*k)).collect();
        assert_eq!(values, [1100, 0, 102, 103, 104, 105, 106, 107, 102], "the newcomer's value lies above the old one");
    }

    #[test]
    fn a_refused_newcomer_takes_nobodys_place() {
        let limiter = Limiter::with_sets(1, [1, 2]);
        assert!(limiter.charge(ClientKey(1), |_| Some(7)));
        assert!(!limiter.charge(ClientKey(2), |_| None));
        assert!(!limiter.charge(ClientKey(1), |v| (v != 7).then_some(v)));
    }

    #[test]
    fn keys_tell_kinds_and_clients_apart() {
        let secret = [0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210];
        let (limiter, other) = (Limiter::new(secret), Limiter::new([secret[1], secret[0]]));
        let mut seen = HashSet::new();
        let mut in_set = vec![0u32; LIMITER_CELLS / LIMITER_WAYS];
        let texts: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"a", b"12345678", b"12345678\0"];
        let addresses = (0..in_set.len() as u32 * 8).map(u32::to_be_bytes); // 10.0.0.0/16 and the like: neighbours
        for client in texts.iter().map(|t| t.to_vec()).chain(addresses.map(|a| a.to_vec())) {
            for kind in [0, 1] {
                let key = limiter.key(kind, &client);
                assert!(seen.insert(key), "{kind} {client:?}");
                assert_eq!(key, limiter.key(kind, &client));
                assert_ne!(key, other.key(kind, &client));
                in_set[key.0 as usize % (LIMITER_CELLS / LIMITER_WAYS)] += 1;
            }
        }
        // 16 a set on average; a fair hash never strays to these.
        assert!(in_set.iter().all(|n| (1..50).contains(n)), "{:?}", in_set.iter().max());
    }
}
