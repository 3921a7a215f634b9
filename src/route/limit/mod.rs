//! A client's rate: GCRA over one `u64`, the theoretical arrival time (TAT) in ns (docs/behaviour/clients.md#client-limits).
//!
//! One number instead of a token count and a timestamp, so that a compare-and-swap is the whole update and the limit is
//! exact however a client's connections spread over shards. The table of cells and its eviction live in `runtime`; this
//! is the rule. The interval between calls is rounded up, so rounding never admits more than the configured rate.

mod address;

pub use address::{TrustedProxies, client_address, client_name};

use crate::base::time::Instant;

/// What the limiter says. Nothing is spent unless the answer is `Pass` and the caller stored `new_tat`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admit {
    Pass {
        new_tat: u64,
    },
    /// Over the rate; the same cost passes after this long, if nobody else spends it.
    Wait {
        retry_after_ms: u64,
    },
    /// More than the burst at once: no waiting helps.
    NeverFits {
        max_cost: u32,
    },
}

/// Asks for `cost` calls at `now`. `tat` is the cell (0 when fresh). `rps` 0: no limit. A `burst` of 0 counts as 1, since
/// a bucket that holds nothing would refuse everything for ever.
pub fn admit(tat: u64, now: Instant, cost: u32, rps: u32, burst: u32) -> Admit {
    if rps == 0 || cost == 0 {
        return Admit::Pass { new_tat: tat };
    }
    let burst = burst.max(1);
    if cost > burst {
        return Admit::NeverFits { max_cost: burst };
    }
    let interval = 1_000_000_000u64.div_ceil(u64::from(rps));
    let new_tat = tat.max(now.0).saturating_add(interval * u64::from(cost));
    let ahead = new_tat - now.0;
    match ahead.checked_sub(interval * u64::from(burst)) {
        None | Some(0) => Admit::Pass { new_tat },
        Some(early) => Admit::Wait { retry_after_ms: early.div_ceil(1_000_000) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    /// A cell that is asked one call after another.
    struct Cell(u64);

    impl Cell {
        fn ask(&mut self, now: u64, cost: u32, rps: u32, burst: u32) -> Admit {
            let answer = admit(self.0, Instant(now), cost, rps, burst);
            if let Admit::Pass { new_tat } = answer {
                self.0 = new_tat;
            }
            answer
        }
    }

    #[test]
    fn burst_then_rate() {
        let mut cell = Cell(0);
        for _ in 0..5 {
            assert!(matches!(cell.ask(7 * S, 1, 10, 5), Admit::Pass { .. }));
        }
        assert_eq!(cell.ask(7 * S, 1, 10, 5), Admit::Wait { retry_after_ms: 100 });
        assert_eq!(cell.ask(7 * S + 1, 1, 10, 5), Admit::Wait { retry_after_ms: 100 });
        assert_eq!(cell.ask(7 * S + 50_000_000, 2, 10, 5), Admit::Wait { retry_after_ms: 150 });
        assert!(matches!(cell.ask(7 * S + 100_000_000, 1, 10, 5), Admit::Pass { .. }));
        assert_eq!(cell.ask(7 * S + 100_000_000, 1, 10, 5), Admit::Wait { retry_after_ms: 100 });
        assert!(matches!(cell.ask(99 * S, 5, 10, 5), Admit::Pass { .. }), "idle fills it again, not beyond the burst");
        assert_eq!(cell.ask(99 * S, 1, 10, 5), Admit::Wait { retry_after_ms: 100 });
    }

    #[test]
    fn edges() {
        let check = |tat, now, cost, rps, burst, want| assert_eq!(admit(tat, Instant(now), cost, rps, burst), want);
        check(5, 9, 1, 0, 0, Admit::Pass { new_tat: 5 });
        check(5, 9, 0, 1, 1, Admit::Pass { new_tat: 5 });
        check(0, 0, 51, 100, 50, Admit::NeverFits { max_cost: 50 });
        check(0, 0, 50, 100, 50, Admit::Pass { new_tat: S / 2 });
        check(0, 0, 1, 1, 0, Admit::Pass { new_tat: S });
        check(S, 0, 1, 1, 0, Admit::Wait { retry_after_ms: 1000 });
        check(0, 0, 2, 1, 0, Admit::NeverFits { max_cost: 1 });
        check(
            u64::MAX,
            0,
            u32::MAX,
            1,
            u32::MAX,
            Admit::Wait { retry_after_ms: (u64::MAX - u64::from(u32::MAX) * S).div_ceil(1_000_000) },
        );
        check(0, u64::MAX, 1, 1, 1, Admit::Pass { new_tat: u64::MAX });
    }

    proptest! {
        /// In every window, admitted <= rate x time + burst; and a wait that was announced is enough.
        #[test]
        fn law(rps in 1u32..2000, burst in 1u32..300, steps in prop::collection::vec((0u64..200_000_000, 1u32..40), 1..120)) {
            let mut cell = Cell(0);
            let mut now = 0;
            let mut passed: Vec<(u64, u32)> = Vec::new();
            for (gap, cost) in steps {
                now += gap;
                match cell.ask(now, cost, rps, burst) {
                    Admit::Pass { .. } => passed.push((now, cost)),
                    Admit::NeverFits { max_cost } => prop_assert!(cost > burst && max_cost == burst),
                    Admit::Wait { retry_after_ms } => {
                        prop_assert!(retry_after_ms > 0);
                        let later = Instant(now).plus_ms(retry_after_ms);
                        prop_assert!(matches!(admit(cell.0, later, cost, rps, burst), Admit::Pass { .. }), "announced wait too short");
                        let before = Instant(now).plus_ms(retry_after_ms - 1);
                        prop_assert!(matches!(admit(cell.0, before, cost, rps, burst), Admit::Wait { .. }), "announced wait too long");
                    }
                }
            }
            for (from, (start, _)) in passed.iter().enumerate() {
                let mut sum = 0u128;
                for (at, cost) in &passed[from..] {
                    sum += u128::from(*cost);
                    let bound = u128::from(rps) * u128::from(at - start) + u128::from(burst) * u128::from(S);
                    prop_assert!(sum * u128::from(S) <= bound, "{sum} in {} ns", at - start);
                }
            }
        }

        /// Never mean: a client that keeps below its rate is never refused.
        #[test]
        fn at_the_rate_nothing_is_refused(rps in 1u32..5000, burst in 1u32..50, calls in 1usize..200) {
            let interval = S.div_ceil(u64::from(rps));
            let mut cell = Cell(0);
            for i in 0..calls {
                let pass = matches!(cell.ask(i as u64 * interval, 1, rps, burst), Admit::Pass { .. });
                prop_assert!(pass);
            }
        }
    }
}
