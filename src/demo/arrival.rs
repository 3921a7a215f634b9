//! When a block comes to one provider: nodes of one network have it at different moments, and the two doors of one provider
//! (a WebSocket in front of one node, HTTP in front of another) too. And what a node says of a block that it does not have
//! yet, which each client program words in its own way.
//!
//! Pure: which block is how late follows from the provider's salt and the height, so a head never goes back by itself, and
//! two looks at one moment agree. A head that steps back is a matter of `Knobs::lag_blocks` and `Knobs::branch`.

use super::chain_model::ChainModel;
use super::identity::mix;
use crate::base::time::{Duration, Instant};

/// How late blocks are; by default none is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Arrival {
    /// At most so late, each block by itself.
    pub most_ms: u64,
    /// What is asked over HTTP is answered from a view so much older.
    pub http_behind_ms: u64,
}

impl Arrival {
    /// The newest round whose block has come by `now`; a block that overtakes its parent brings it along.
    pub fn round(self, chain: &ChainModel, salt: u64, now: Instant, is_http: bool) -> u64 {
        let behind_ms = if is_http { self.http_behind_ms } else { 0 };
        let now = now - Duration::from_millis(behind_ms);
        let newest = chain.round_at(now);
        let surely = chain.round_at(now - Duration::from_millis(self.most_ms));
        (surely + 1..=newest).rev().find(|round| self.comes_at(chain, salt, *round) <= now).unwrap_or(surely)
    }

    fn comes_at(self, chain: &ChainModel, salt: u64, round: u64) -> Instant {
        chain.born_at(round).plus_ms(mix(&[salt, round, 0xb10c]) % (self.most_ms + 1))
    }
}

/// Whose words a provider has for what is not there; all say `null` to a block, a transaction or a receipt that they lack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Absent {
    /// Logs of an unknown hash are an error.
    #[default]
    Geth,
    /// Logs of an unknown hash are none.
    Besu,
    /// Logs of an unknown hash are an error with a code of its own.
    Nethermind,
    /// Logs of an unknown hash, and the receipts of an unknown block, are none.
    Erigon,
}

impl Absent {
    pub const ALL: [Absent; 4] = [Absent::Geth, Absent::Besu, Absent::Nethermind, Absent::Erigon];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_late_in_order_and_over_http_later_still() {
        let chain = ChainModel::new(3, 1, Duration::from_millis(250));
        let arrival = Arrival { most_ms: 3_000, http_behind_ms: 400 };
        let at = |ms: u64| Instant::ZERO.plus_ms(60_000 + ms);
        let heads = |salt, is_http| (0..4_000).map(|ms| arrival.round(&chain, salt, at(ms), is_http)).collect::<Vec<_>>();
        let (one, other, http) = (heads(1, false), heads(2, false), heads(1, true));
        assert!(one.is_sorted() && http.is_sorted() && one != other);
        assert_eq!(one[..3_600], http[400..]);
        let late = |ms: usize, head: u64| chain.height_at(at(ms as u64)) - head;
        assert!(one.iter().enumerate().all(|(ms, head)| late(ms, *head) <= 12));
        assert!(one.iter().enumerate().any(|(ms, head)| late(ms, *head) >= 2));
        assert_eq!(Arrival::default().round(&chain, 1, at(0), true), chain.height_at(at(0)));
    }
}
