//! Whether an answer is all of a block's logs and nothing else: what can be proven by the header's bloom, and what only a
//! second answer shows.
//!
//! A bloom has no false negatives (Yellow Paper, `M3:2048`): an item of it that no log of the answer explains is a log that
//! is missing, when all logs were asked for, and a log whose items it does not have is none of the block's. An answer to a
//! question for some addresses, or for some topics at one place, is held against the bloom item by item: one that is in the bloom
//! and in no log is telling as far as the bloom is empty, for a full one has anything by chance. Where both are asked for, the
//! address may be of one log and the topic of another, so nothing is told by that. A bloom of zeros where gas was used is a word that
//! has to be heard twice: some nodes fill it in late, or not at all, and then it would exclude everything.
//! What a chain does against the rule (blooms of zeros, logs beyond the bloom, indices for each transaction, blooms that promise
//! too much) is learnt once it was confirmed, and is no reason to doubt any more. That blooms promise too much is learnt only
//! while none of them has fitted exactly, which nobody can bring about; afterwards each block needs its own word.
//! How it fails: lies that the bloom lets pass. A log of which all items are in it by chance, or whose data is another; one
//! that is missing where others have its items too, or where the bloom is too full for what is asked for.

use super::event::{Head, Log};
use super::filter::{Address, BloomTest, LogFilter, Topic, bits_of, chance_of_item};
use crate::chain::bloom::{Bloom, BloomUse, has_bits};
use std::collections::HashSet;

/// How sure an answer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    Whole,
    /// It may lack logs.
    Unsure,
    /// By the bloom it lacks some.
    Lacking,
    /// It has some that the bloom excludes.
    Exceeding,
}

/// What is known of a chain's blooms and indices.
#[derive(Clone, Debug, Default)]
pub struct BloomTrust {
    blooms: BloomUse,
    /// Logs that their block's bloom excludes were confirmed: nothing is left out by a bloom any more.
    has_excluded_wrongly: bool,
    /// The logs of a block have explained its bloom to the bit.
    has_fitted: bool,
    /// Answers that lack what the bloom needs were confirmed, and none has fitted.
    lacks_usually: bool,
    /// Logs that do not count up from 0 were confirmed.
    has_gaps_usually: bool,
}

/// So many of the items that no log has may be in the bloom by chance, and one that is counts all the same.
const TELLING: f64 = 0.05;

impl BloomTrust {
    /// A head of the chain came.
    pub fn see(&mut self, head: &Head) {
        self.blooms.see(head.bloom.as_deref());
    }

    /// No log of the block can match.
    pub fn excludes(&self, test: &BloomTest, head: &Head) -> bool {
        let is_sure = |bloom: &&Bloom| !self.has_excluded_wrongly && (has_bits(bloom) || head.gas_used == Some(0));
        test.excludes(head.number, self.blooms.read(head.bloom.as_deref()).filter(is_sure))
    }

    /// Whether the bloom proves an answer to a question for everything.
    pub fn can_prove(&self, bloom: Option<&Bloom>) -> bool {
        self.blooms.read(bloom).is_some() && !self.lacks_usually
    }

    /// `logs`: the answer to a question for what this filter lets through; ascending.
    pub fn judge(&mut self, bloom: Option<&Bloom>, number: u64, logs: &[Log], filter: &LogFilter) -> Proof {
        match self.blooms.read(bloom).copied() {
            None if logs.is_empty() || (filter.is_everything() && self.has_gaps(logs)) => Proof::Unsure,
            None => Proof::Whole,
            Some(bloom) if filter.is_everything() => self.judge_all(&bloom, logs),
            Some(bloom) if exceeds(&bloom, logs) && !self.has_excluded_wrongly => Proof::Exceeding,
            Some(bloom) => self.judge_some(&bloom, number, logs, filter),
        }
    }

    fn judge_some(&self, bloom: &Bloom, number: u64, logs: &[Log], filter: &LogFilter) -> Proof {
        let is_excluded = BloomTest::new(filter).excludes(number, Some(bloom));
        if is_excluded && !self.has_excluded_wrongly {
            return Proof::Whole;
        }
        let lists = usize::from(!filter.addresses.is_empty()) + filter.topics.iter().filter(|list| !list.is_empty()).count();
        // An address in the bloom and a topic in it may be of two logs, neither of them asked for.
        let without = if lists == 1 { items_without(filter, logs) } else { Vec::new() };
        let by_chance = without.len() as f64 * chance_of_item(bloom);
        let has_one = without.iter().any(|item| has_item(bloom, item));
        if has_one && !is_excluded && by_chance < TELLING && !self.lacks_usually {
            return Proof::Lacking;
        }
        if logs.is_empty() { Proof::Unsure } else { Proof::Whole }
    }

    fn judge_all(&mut self, bloom: &Bloom, logs: &[Log]) -> Proof {
        let mut lacking = *bloom;
        for (byte, mask) in logs.iter().flat_map(items_of).flat_map(bits_of) {
            lacking.get_mut(byte).into_iter().for_each(|left| *left &= !mask);
        }
        let (lacks, exceeds) = (has_bits(&lacking), exceeds(bloom, logs));
        if !lacks && !exceeds && !logs.is_empty() {
            // Whoever taught that it lacks something usually had lost logs.
            (self.has_fitted, self.lacks_usually) = (true, false);
        }
        match (lacks && !self.lacks_usually, exceeds && !self.has_excluded_wrongly) {
            (true, _) => Proof::Lacking,
            (false, true) => Proof::Exceeding,
            (false, false) if self.has_gaps(logs) => Proof::Unsure,
            (false, false) => Proof::Whole,
        }
    }

    fn has_gaps(&self, logs: &[Log]) -> bool {
        !self.has_gaps_usually && has_gaps(logs)
    }

    /// An answer that was doubted was confirmed, for as long as it was: the chain is like that.
    pub fn learn(&mut self, bloom: Option<&Bloom>, logs: &[Log], proof: Proof, is_everything: bool) {
        self.lacks_usually |= proof == Proof::Lacking && !self.has_fitted;
        self.has_gaps_usually |= is_everything && has_gaps(logs);
        // Zeros in one header say nothing of the chain's others.
        self.has_excluded_wrongly |= bloom.is_some_and(|bloom| has_bits(bloom) && exceeds(bloom, logs));
    }
}

/// Some of them are not in the bloom.
fn exceeds(bloom: &Bloom, logs: &[Log]) -> bool {
    !logs.iter().flat_map(items_of).all(|item| has_item(bloom, item))
}

fn has_item(bloom: &Bloom, item: &[u8]) -> bool {
    bits_of(item).iter().all(|(byte, mask)| bloom.get(*byte).is_some_and(|have| have & mask != 0))
}

/// What the filter asks for, as far as no log has it.
fn items_without<'a>(filter: &'a LogFilter, logs: &[Log]) -> Vec<&'a [u8]> {
    let addresses: HashSet<&Address> = logs.iter().map(|log| &log.address).collect();
    let mut without: Vec<&[u8]> =
        filter.addresses.iter().filter(|address| !addresses.contains(address)).map(|address| &address[..]).collect();
    for (place, choices) in filter.topics.iter().enumerate() {
        let topics: HashSet<&Topic> = logs.iter().filter_map(|log| log.topics.get(place)).collect();
        without.extend(choices.iter().filter(|topic| !topics.contains(topic)).map(|topic| &topic[..]));
    }
    without
}

fn has_gaps(logs: &[Log]) -> bool {
    logs.iter().enumerate().any(|(place, log)| log.index != place as u64)
}

fn items_of(log: &Log) -> impl Iterator<Item = &[u8]> {
    std::iter::once(&log.address[..]).chain(log.topics.iter().map(|topic| &topic[..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::filter::bloom_add;
    use serde_json::json;

    fn log(address: u8, index: u64) -> Log {
        let hex = |byte: u8, n: usize| format!("0x{}", format!("{byte:02x}").repeat(n));
        let text = json!({"address": hex(address, 20), "topics": [], "blockHash": hex(1, 32), "blockNumber": "0x1",
            "logIndex": format!("{index:#x}")});
        Log::parse(text.to_string().as_bytes()).expect("a log")
    }

    fn bloom(addresses: &[u8]) -> Bloom {
        let mut bloom = [0; 256];
        addresses.iter().for_each(|address| bloom_add(&mut bloom, &[*address; 20]));
        bloom
    }

    fn filter_of(addresses: &[u8]) -> LogFilter {
        let hex = |byte: &u8| format!("0x{}", format!("{byte:02x}").repeat(20));
        LogFilter::parse(&json!({"address": addresses.iter().map(hex).collect::<Vec<_>>()})).expect("a filter")
    }

    fn test_of(address: u8) -> BloomTest {
        BloomTest::new(&filter_of(&[address]))
    }

    fn shown() -> BloomTrust {
        let mut trust = BloomTrust::default();
        trust.blooms.see(Some(&bloom(&[1])));
        trust
    }

    fn head(number: u64, bloom: Bloom, gas_used: Option<u64>) -> Head {
        Head {
            number,
            hash: crate::stream::event::BlockHash([1; 32]),
            parent: crate::stream::event::BlockHash([0; 32]),
            bloom: Some(bloom.into()),
            gas_used,
            timestamp_s: None,
            fetched: false,
            payload: b"{}"[..].into(),
        }
    }

    #[test]
    fn all_logs_are_held_against_the_bloom() {
        use Proof::{Exceeding, Lacking, Unsure, Whole};
        let check = |items: &[u8], logs: &[Log], want: Proof| {
            assert_eq!(shown().judge(Some(&bloom(items)), 1, logs, &LogFilter::default()), want, "{items:?} {}", logs.len());
        };
        check(&[], &[], Whole);
        check(&[7], &[log(7, 0)], Whole);
        check(&[7, 9], &[log(7, 0), log(9, 1)], Whole);
        check(&[7, 9], &[log(7, 0)], Lacking);
        check(&[7], &[], Lacking);
        check(&[7], &[log(7, 0), log(7, 2)], Unsure);
        check(&[7], &[log(7, 0), log(9, 1)], Exceeding);
        check(&[], &[log(9, 0)], Exceeding);
        check(&[7], &[log(9, 0)], Lacking);
        let of_full = |logs: &[Log]| shown().judge(Some(&[0xff; 256]), 1, logs, &LogFilter::default());
        assert_eq!((of_full(&[log(7, 0)]), of_full(&[])), (Whole, Unsure), "no block has so many logs");
    }

    #[test]
    fn an_answer_to_a_filter_is_doubted_as_far_as_the_bloom_tells() {
        use Proof::{Exceeding, Lacking, Unsure, Whole};
        // Half full, so that many an item is in it by chance.
        let crowded = |items: &[u8]| {
            let mut bloom = bloom(items);
            bloom.iter_mut().step_by(2).for_each(|byte| *byte = 0xff);
            bloom
        };
        let check = |bloom: Option<Bloom>, logs: &[Log], want: Proof| {
            assert_eq!(shown().judge(bloom.as_ref(), 1, logs, &filter_of(&[7, 9])), want);
        };
        let sparse = Some(bloom(&[7, 1, 2]));
        check(sparse, &[], Lacking);
        check(sparse, &[log(7, 5)], Whole);
        check(sparse, &[log(7, 5), log(9, 6)], Exceeding);
        check(Some(bloom(&[1, 2])), &[], Whole);
        let both = Some(bloom(&[7, 9, 1]));
        check(both, &[log(7, 5)], Lacking);
        check(both, &[log(7, 5), log(9, 6)], Whole);
        check(Some(crowded(&[7, 9])), &[log(7, 5)], Whole);
        check(Some(crowded(&[7, 9])), &[], Unsure);
        for unread in [None, Some([0xff; 256])] {
            check(unread, &[], Unsure);
            check(unread, &[log(7, 3)], Whole);
        }
    }

    /// An address of one log and a topic of another are no log of both.
    #[test]
    fn an_address_and_a_topic_tell_nothing_together() {
        let topic = format!("0x{}", "04".repeat(32));
        let address = format!("0x{}", "07".repeat(20));
        let filter = LogFilter::parse(&json!({"address": address, "topics": [topic]})).expect("a filter");
        let mut both = bloom(&[7, 1]);
        bloom_add(&mut both, &[4; 32]);
        assert_eq!(shown().judge(Some(&both), 1, &[], &filter), Proof::Unsure);
        assert_eq!(shown().judge(Some(&bloom(&[7, 1])), 1, &[], &filter), Proof::Whole);
    }

    /// Each place of topics counts by itself.
    #[test]
    fn a_topic_that_no_log_has_at_its_place_is_missing() {
        let topic = |byte: u8| format!("0x{}", format!("{byte:02x}").repeat(32));
        let filter = LogFilter::parse(&json!({"topics": [[topic(4), topic(5)], null, topic(6)]})).expect("a filter");
        let log = |topics: &[u8]| {
            let topics: Vec<String> = topics.iter().map(|byte| topic(*byte)).collect();
            let text = json!({"address": format!("0x{}", "01".repeat(20)), "topics": topics,
                "blockHash": topic(1), "blockNumber": "0x1", "logIndex": "0x0"});
            Log::parse(text.to_string().as_bytes()).expect("a log")
        };
        let without = |logs: &[Log]| items_without(&filter, logs).iter().map(|item| item[0]).collect::<Vec<_>>();
        assert_eq!(without(&[]), [4, 5, 6]);
        assert_eq!(without(&[log(&[4, 5, 6])]), [5]);
        assert_eq!(without(&[log(&[4, 9, 6]), log(&[5])]), Vec::<u8>::new());
    }

    #[test]
    fn zeros_say_nothing_until_a_bloom_had_bits() {
        let mut trust = BloomTrust::default();
        let zero = [0; 256];
        let seven = test_of(7);
        let empty = head(1, zero, Some(0));
        assert!(!trust.excludes(&seven, &empty));
        assert_eq!(trust.judge(Some(&zero), 1, &[], &LogFilter::default()), Proof::Unsure);
        trust.see(&empty);
        assert!(!trust.excludes(&seven, &empty));
        trust.see(&head(1, bloom(&[3]), None));
        assert!(trust.excludes(&seven, &empty));
        assert_eq!(trust.judge(Some(&zero), 2, &[], &LogFilter::default()), Proof::Whole);
    }

    /// Where something was done there may have been logs: the zeros are asked about, and the first who agrees is believed.
    #[test]
    fn zeros_where_gas_was_used_are_heard_twice() {
        let (seven, zero) = (test_of(7), [0; 256]);
        for gas_used in [None, Some(21_000)] {
            let mut trust = shown();
            assert!(!trust.excludes(&seven, &head(1, zero, gas_used)));
            assert!(trust.excludes(&seven, &head(1, bloom(&[9]), gas_used)));
            let mut judge = |logs: &[Log]| trust.judge(Some(&zero), 1, logs, &filter_of(&[7]));
            assert_eq!((judge(&[]), judge(&[log(7, 0)])), (Proof::Whole, Proof::Exceeding));
            trust.learn(Some(&zero), &[log(7, 0)], Proof::Exceeding, false);
            assert!(trust.excludes(&test_of(8), &head(1, bloom(&[9]), gas_used)), "one header teaches nothing of the others");
        }
    }

    #[test]
    fn what_a_chain_does_against_the_rule_is_learnt() {
        let mut trust = shown();
        let of_seven = bloom(&[7]);
        let of_head = head(1, of_seven, None);
        // Logs that its bloom does not know: nothing is excluded any more.
        let more = [log(7, 0), log(9, 1)];
        assert!(trust.excludes(&test_of(9), &of_head));
        assert_eq!(trust.judge(Some(&of_seven), 1, &more, &LogFilter::default()), Proof::Exceeding);
        assert!(trust.excludes(&test_of(9), &of_head), "one word teaches nothing");
        trust.learn(Some(&of_seven), &more, Proof::Exceeding, true);
        assert!(!trust.excludes(&test_of(9), &of_head));
        assert_eq!(trust.judge(Some(&of_seven), 1, &more, &LogFilter::default()), Proof::Whole);
        let none = trust.judge(Some(&of_seven), 1, &[], &filter_of(&[9]));
        assert_eq!(none, Proof::Unsure, "excluded by a bloom that excludes nothing");
        // Blooms that promise what is not there, and indices that begin anew.
        let odd = [log(9, 4)];
        let proof = trust.judge(Some(&of_seven), 1, &odd, &LogFilter::default());
        assert_eq!(proof, Proof::Lacking);
        trust.learn(Some(&of_seven), &odd, proof, true);
        assert_eq!(trust.judge(Some(&of_seven), 1, &odd, &LogFilter::default()), Proof::Whole);
        assert_eq!(trust.judge(Some(&of_seven), 1, &[], &filter_of(&[7])), Proof::Unsure);
        // A block that fits takes it back, and it is not learnt again.
        assert_eq!(trust.judge(Some(&bloom(&[9])), 1, &[log(9, 0)], &LogFilter::default()), Proof::Whole);
        assert_eq!(trust.judge(Some(&of_seven), 1, &[], &LogFilter::default()), Proof::Lacking);
        trust.learn(Some(&of_seven), &[], Proof::Lacking, true);
        assert_eq!(trust.judge(Some(&of_seven), 1, &[], &LogFilter::default()), Proof::Lacking);
    }
}
