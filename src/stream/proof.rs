//! Whether an answer is all of a block's logs: what can be proven by the header's bloom, and what only a second answer shows.
//!
//! A bloom has no false negatives (Yellow Paper, `M3:2048`): an item of it that no log of the answer explains is a log that
//! is missing, when all logs were asked for. An answer to a narrower question can only be empty against a bloom that lets a
//! filter through; how telling that is depends on how full the bloom is, for a full one lets anything through by chance. What a
//! chain does against the rule (blooms of zeros, logs beyond the bloom, indices for each transaction) is learnt once it was
//! confirmed, and is no reason to doubt any more; that blooms promise too much is forgotten at the first one that fits.
//! How it fails: of a narrow question an answer that lacks some logs and has others is believed; nothing in it or in the
//! header tells. Nodes keep a block's logs in one piece, so it is not how they fail.

use super::event::{Head, Log};
use super::filter::{BloomTest, bits_of};
use crate::chain::bloom::{Bloom, BloomUse};

/// How sure an answer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    Whole,
    /// It may lack logs. Telling: by the bloom it does.
    Unsure {
        is_telling: bool,
    },
}

/// What is known of a chain's blooms and indices.
#[derive(Clone, Debug, Default)]
pub struct BloomTrust {
    blooms: BloomUse,
    /// Logs came that their block's bloom excludes: nothing is left out by a bloom any more.
    has_excluded_wrongly: bool,
    /// Answers that lack what the bloom needs were confirmed.
    lacks_usually: bool,
    /// Logs that do not count up from 0 were confirmed.
    has_gaps_usually: bool,
}

/// By chance so rarely that a filter let through by a bloom has a log.
const TELLING: f64 = 0.02;

impl BloomTrust {
    /// A head of the chain came.
    pub fn see(&mut self, head: &Head) {
        self.blooms.see(head.bloom.as_deref());
    }

    /// No log of the block can match.
    pub fn excludes(&self, test: &BloomTest, number: u64, bloom: Option<&Bloom>) -> bool {
        test.excludes(number, self.blooms.read(bloom).filter(|_| !self.has_excluded_wrongly))
    }

    /// Whether the bloom proves an answer to a question for everything.
    pub fn can_prove(&self, bloom: Option<&Bloom>) -> bool {
        self.blooms.read(bloom).is_some() && !self.lacks_usually
    }

    /// `logs`: the answer to a question for everything, or for what `tests` together let through; ascending.
    pub fn judge(&mut self, bloom: Option<&Bloom>, number: u64, logs: &[Log], tests: Option<&[&BloomTest]>) -> Proof {
        let bloom = self.blooms.read(bloom).copied();
        let Some(tests) = tests else {
            let has_gaps = !self.has_gaps_usually && logs.iter().enumerate().any(|(place, log)| log.index != place as u64);
            return match bloom {
                Some(bloom) => self.judge_all(&bloom, logs, has_gaps),
                None if logs.is_empty() || has_gaps => Proof::Unsure { is_telling: false },
                None => Proof::Whole,
            };
        };
        if !logs.is_empty() {
            return Proof::Whole;
        }
        let let_through = |test: &&&BloomTest| !test.excludes(number, bloom.as_ref());
        let chance: f64 = tests.iter().filter(let_through).map(|test| bloom.map_or(1.0, |bloom| test.chance(&bloom))).sum();
        Proof::Unsure { is_telling: chance < TELLING && !self.lacks_usually }
    }

    fn judge_all(&mut self, bloom: &Bloom, logs: &[Log], has_gaps: bool) -> Proof {
        let (mut lacking, mut has_more) = (*bloom, false);
        for log in logs {
            for (byte, mask) in items_of(log).flat_map(bits_of) {
                let (Some(left), Some(have)) = (lacking.get_mut(byte), bloom.get(byte)) else { continue };
                *left &= !mask;
                has_more |= have & mask == 0;
            }
        }
        self.has_excluded_wrongly |= has_more;
        let is_exact = !has_more && !logs.is_empty() && lacking.iter().all(|byte| *byte == 0);
        // A chain whose blooms fit lacks nothing usually: whoever taught that had lost logs.
        self.lacks_usually &= !is_exact;
        let is_telling = lacking.iter().any(|byte| *byte != 0) && !self.lacks_usually;
        if is_telling || has_gaps { Proof::Unsure { is_telling } } else { Proof::Whole }
    }

    /// An answer that was unsure was confirmed, for as long as it was doubted: the chain is like that.
    pub fn learn(&mut self, logs: &[Log], proof: Proof, is_everything: bool) {
        self.lacks_usually |= proof == Proof::Unsure { is_telling: true };
        self.has_gaps_usually |= is_everything && logs.iter().enumerate().any(|(place, log)| log.index != place as u64);
    }
}

fn items_of(log: &Log) -> impl Iterator<Item = &[u8]> {
    std::iter::once(&log.address[..]).chain(log.topics.iter().map(|topic| &topic[..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::filter::{LogFilter, bloom_add};
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

    fn test_of(address: u8) -> BloomTest {
        let address = format!("0x{}", format!("{address:02x}").repeat(20));
        BloomTest::new(&LogFilter::parse(&json!({"address": address})).expect("a filter"))
    }

    fn shown() -> BloomTrust {
        let mut trust = BloomTrust::default();
        trust.blooms.see(Some(&bloom(&[1])));
        trust
    }

    #[test]
    fn all_logs_are_held_against_the_bloom() {
        let check = |items: &[u8], logs: &[Log], want: Proof| {
            assert_eq!(shown().judge(Some(&bloom(items)), 1, logs, None), want, "{items:?} {}", logs.len());
        };
        let (sure, telling) = (Proof::Whole, Proof::Unsure { is_telling: true });
        check(&[], &[], sure);
        check(&[7], &[log(7, 0)], sure);
        check(&[7, 9], &[log(7, 0), log(9, 1)], sure);
        check(&[7, 9], &[log(7, 0)], telling);
        check(&[7], &[], telling);
        check(&[7], &[log(7, 0), log(7, 2)], Proof::Unsure { is_telling: false });
        // More than the bloom says lacks nothing.
        check(&[7], &[log(7, 0), log(9, 1)], sure);
        let full = [0xff; 256];
        assert_eq!(shown().judge(Some(&full), 1, &[log(7, 0)], None), sure, "no block has so many logs");
        assert_eq!(shown().judge(Some(&full), 1, &[], None), Proof::Unsure { is_telling: false });
    }

    #[test]
    fn an_empty_answer_is_doubted_as_far_as_the_bloom_tells() {
        let (seven, nine) = (test_of(7), test_of(9));
        let check = |bloom: Option<&Bloom>, tests: &[&BloomTest], logs: &[Log], want: Proof| {
            assert_eq!(shown().judge(bloom, 1, logs, Some(tests)), want);
        };
        let (telling, open) = (Proof::Unsure { is_telling: true }, Proof::Unsure { is_telling: false });
        check(Some(&bloom(&[7, 1, 2])), &[&seven, &nine], &[], telling);
        check(Some(&bloom(&[7, 1, 2])), &[&seven, &nine], &[log(7, 5)], Proof::Whole);
        check(Some(&[0xff; 256]), &[&seven], &[], open);
        check(None, &[&seven], &[], open);
        check(None, &[&seven], &[log(7, 3)], Proof::Whole);
    }

    #[test]
    fn zeros_say_nothing_until_a_bloom_had_bits() {
        let mut trust = BloomTrust::default();
        let zero = [0; 256];
        assert!(!trust.excludes(&test_of(7), 1, Some(&zero)));
        assert_eq!(trust.judge(Some(&zero), 1, &[], None), Proof::Unsure { is_telling: false });
        let head = |bloom: Bloom| Head {
            number: 1,
            hash: crate::stream::event::BlockHash([1; 32]),
            parent: crate::stream::event::BlockHash([0; 32]),
            bloom: Some(bloom.into()),
            timestamp_s: None,
            fetched: false,
            payload: b"{}"[..].into(),
        };
        trust.see(&head(zero));
        assert!(!trust.excludes(&test_of(7), 1, Some(&zero)));
        trust.see(&head(bloom(&[3])));
        assert!(trust.excludes(&test_of(7), 2, Some(&zero)));
        assert_eq!(trust.judge(Some(&zero), 2, &[], None), Proof::Whole);
    }

    #[test]
    fn what_a_chain_does_against_the_rule_is_learnt() {
        let mut trust = shown();
        let (of_seven, seven) = (bloom(&[7]), test_of(7));
        // Logs that its bloom does not know: nothing is excluded any more.
        assert!(trust.excludes(&test_of(9), 1, Some(&of_seven)));
        assert_eq!(trust.judge(Some(&of_seven), 1, &[log(7, 0), log(9, 1)], None), Proof::Whole);
        assert!(!trust.excludes(&test_of(9), 1, Some(&of_seven)));
        // Blooms that promise what is not there, and indices that begin anew.
        let odd = [log(9, 4)];
        let proof = trust.judge(Some(&of_seven), 1, &odd, None);
        assert_eq!(proof, Proof::Unsure { is_telling: true });
        trust.learn(&odd, proof, true);
        assert_eq!(trust.judge(Some(&of_seven), 1, &odd, None), Proof::Whole);
        assert_eq!(trust.judge(Some(&of_seven), 1, &[], Some(&[&seven])), Proof::Unsure { is_telling: false });
        // A block that fits takes it back.
        assert_eq!(trust.judge(Some(&bloom(&[9])), 1, &[log(9, 0)], None), Proof::Whole);
        assert_eq!(trust.judge(Some(&of_seven), 1, &[], None), Proof::Unsure { is_telling: true });
    }
}
