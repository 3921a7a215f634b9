//! Recorded calls as a replay plays them: which, when, and in what mix.
//!
//! Times are measured from the first call, never from the call before, so being late once delays nothing that follows. Two
//! mixes are compared by the largest difference of one kind's share: a replay that sends a method too often must send
//! another one too rarely.

use crate::base::ids::Transport;
use crate::base::time::Duration;
use crate::replay::made_up::{self, Ground, LeftOut};
use crate::replay::read::{Record, RecordedCall};
use std::collections::BTreeMap;

/// One call to play.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// After the replay's begin.
    pub due: Duration,
    /// A place in `Record::chains`.
    pub chain: u16,
    pub transport: Transport,
    /// A place in `Record::methods`.
    pub method: u16,
    /// Raw JSON.
    pub params: String,
}

/// What is left out, by method and reason.
pub type LeftOutCounts = BTreeMap<(Box<str>, LeftOut), u64>;

/// Which calls can be played at all, before anything is known of the chain; for saying so first.
pub fn announce(record: &Record) -> (CallMix, LeftOutCounts) {
    let any = Ground { head: 1, block_hash: Some("\"0x0\"".into()), transaction: Some("\"0x0\"".into()) };
    let (mut mix, mut left_out) = (CallMix::default(), LeftOutCounts::new());
    for call in &record.calls {
        match made_up::params(record, call, &any, 0) {
            Ok(_) => mix.add(record, call),
            Err(why) => *left_out.entry((record.method(call).into(), why)).or_default() += 1,
        }
    }
    (mix, left_out)
}

/// The call at this place of the record, as it is played `speed` times as fast.
pub fn note(record: &Record, place: usize, grounds: &[Ground], speed: f64) -> Option<Result<Note, LeftOut>> {
    let call = record.calls.get(place)?;
    let begin_us = record.calls.first()?.at_us;
    let unknown = Ground::default();
    let ground = grounds.get(usize::from(call.chain)).unwrap_or(&unknown);
    let due = Duration::from_secs_f64((call.at_us - begin_us) as f64 / 1e6 / speed.max(f64::MIN_POSITIVE));
    let params = made_up::params(record, call, ground, place as u64);
    Some(params.map(|params| Note { due, chain: call.chain, transport: call.transport, method: call.method, params }))
}

/// Profile, chain, method, and the client's transport.
type CallKind = (Box<str>, Box<str>, Box<str>, Transport);

/// Calls by kind: profile, chain, method and the client's transport.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallMix {
    kinds: BTreeMap<CallKind, u64>,
    total: u64,
}

impl CallMix {
    pub fn of(record: &Record) -> CallMix {
        let mut mix = CallMix::default();
        record.calls.iter().for_each(|call| mix.add(record, call));
        mix
    }

    pub fn add(&mut self, record: &Record, call: &RecordedCall) {
        let chain = record.chains.get(usize::from(call.chain));
        let (profile, name) = chain.map_or(("", ""), |chain| (chain.profile.as_str(), chain.chain.as_str()));
        self.count((profile, name), record.method(call), call.transport);
    }

    pub fn count(&mut self, (profile, chain): (&str, &str), method: &str, transport: Transport) {
        *self.kinds.entry((profile.into(), chain.into(), method.into(), transport)).or_default() += 1;
        self.total += 1;
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// Each method's calls, over all chains and transports, the most frequent first.
    pub fn by_method(&self) -> Vec<(&str, u64)> {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        self.kinds.iter().for_each(|((_, _, method, _), count)| *sums.entry(method).or_default() += count);
        let mut sorted: Vec<(&str, u64)> = sums.into_iter().collect();
        sorted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        sorted
    }

    /// Chains that have calls.
    pub fn chains(&self) -> usize {
        let mut places: Vec<_> = self.kinds.keys().map(|(profile, chain, ..)| (profile, chain)).collect();
        places.dedup();
        places.len()
    }

    /// The largest difference of a kind's share, from 0 to 1.
    pub fn difference(&self, other: &CallMix) -> f64 {
        let share = |mix: &CallMix, kind| *mix.kinds.get(kind).unwrap_or(&0) as f64 / mix.total.max(1) as f64;
        let kinds = self.kinds.keys().chain(other.kinds.keys());
        kinds.map(|kind| (share(self, kind) - share(other, kind)).abs()).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::read::tests::{call_line, record};

    #[test]
    fn times_count_from_the_first_call() {
        let lines = [call_line(3_000_000, "eth_blockNumber", ""), call_line(1_000_000, "eth_gasPrice", "")];
        let record = record(&lines.each_ref().map(String::as_str));
        let due = |place, speed| note(&record, place, &[], speed).expect("a call").expect("playable").due;
        assert_eq!((due(0, 1.0), due(1, 1.0), due(1, 4.0)), (Duration::ZERO, Duration::from_secs(2), Duration::from_millis(500)));
        assert!(note(&record, 2, &[], 1.0).is_none());
    }

    #[test]
    fn mixes_differ_by_their_most_different_kind() {
        let mix = |counts: &[(&str, u64)]| {
            let mut mix = CallMix::default();
            counts.iter().for_each(|(method, n)| (0..*n).for_each(|_| mix.count(("p", "c"), method, Transport::Http)));
            mix
        };
        let half = mix(&[("a", 50), ("b", 50)]);
        assert!(half.difference(&mix(&[("a", 5), ("b", 5)])) < 1e-9);
        assert!((half.difference(&mix(&[("a", 60), ("b", 40)])) - 0.1).abs() < 1e-9);
        assert!((half.difference(&mix(&[("c", 3)])) - 1.0).abs() < 1e-9);
        assert_eq!(mix(&[("a", 1), ("b", 2)]).by_method(), [("b", 2), ("a", 1)]);
    }

    #[test]
    fn what_is_left_out_is_said_first() {
        let lines =
            [call_line(1, "eth_blockNumber", ""), call_line(2, "eth_sendRawTransaction", ""), call_line(3, "eth_newFilter", "")];
        let (mix, left_out) = announce(&record(&lines.each_ref().map(String::as_str)));
        assert_eq!((mix.total(), left_out.len()), (1, 2));
        assert_eq!(left_out[&("eth_sendRawTransaction".into(), LeftOut::NoRead)], 1);
    }
}
