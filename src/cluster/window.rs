//! Which counters of a session were seen: each is taken once, in any order within the last 1,024, never when it is older.
//!
//! A bitmap as a ring of words (RFC 6479): moving on clears whole words and shifts nothing.

const WORDS: usize = 17;
/// One word is being filled, so one less than there is room for.
const REACH: u64 = (WORDS as u64 - 1) * 64;

#[derive(Clone, Default)]
pub struct ReplayWindow {
    newest: u64,
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// Takes what comes after `counter`, and nothing else.
    pub fn after(counter: u64) -> ReplayWindow {
        let mut seen = [u64::MAX; WORDS];
        seen[(counter / 64 % WORDS as u64) as usize] = u64::MAX >> (63 - counter % 64);
        ReplayWindow { newest: counter, seen }
    }

    /// Takes `counter`, unless it was taken before or is too old to tell. Counters begin with 1.
    pub fn take(&mut self, counter: u64) -> bool {
        if counter == 0 || self.newest.saturating_sub(counter) >= REACH {
            return false;
        }
        let word = counter / 64;
        if counter > self.newest {
            let newest_word = self.newest / 64;
            let fresh = (word - newest_word).min(WORDS as u64);
            for step in 0..fresh {
                self.seen[((word - step) % WORDS as u64) as usize] = 0;
            }
            self.newest = counter;
        }
        let bits = &mut self.seen[(word % WORDS as u64) as usize];
        let bit = 1 << (counter % 64);
        let is_new = *bits & bit == 0;
        *bits |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::BTreeSet;

    #[test]
    fn agrees_with_a_set_over_random_walks() {
        for seed in 0..200 {
            let (mut rng, mut window) = (Rng::new(seed), ReplayWindow::default());
            let (mut taken, mut newest, mut at) = (BTreeSet::new(), 0, 1u64);
            for _ in 0..2_000 {
                at = match rng.below(10) {
                    0 => at.saturating_add(rng.below(3_000)),
                    1..=4 => at.saturating_sub(rng.below(1_500)),
                    _ => at.saturating_add(rng.below(4)),
                };
                let counter: u64 = at;
                let expected = counter > 0 && counter + REACH > newest && !taken.contains(&counter);
                assert_eq!(window.take(counter), expected, "seed {seed}: {counter} after {newest}");
                if expected {
                    taken.insert(counter);
                    newest = newest.max(counter);
                }
            }
        }
    }

    #[test]
    fn nothing_before_a_beginning_is_taken_and_everything_after_it_is() {
        for beginning in [0, 1, 62, 63, 64, 65, 1_087, 1_088, 5_000] {
            let mut window = ReplayWindow::after(beginning);
            assert!((0..=beginning).all(|counter| !window.take(counter)), "{beginning}");
            assert!((beginning + 1..beginning + 900).rev().all(|counter| window.take(counter)), "{beginning}");
            assert!((0..beginning + 900).all(|counter| !window.take(counter)), "{beginning}");
        }
    }

    #[test]
    fn the_ends_of_the_numbers() {
        let mut window = ReplayWindow::default();
        assert!(!window.take(0));
        assert!(window.take(u64::MAX) && !window.take(u64::MAX));
        assert!(window.take(u64::MAX - REACH + 1) && !window.take(u64::MAX - REACH) && !window.take(1));
    }
}
