//! Lies about blocks that a provider has: whole and plain words, which only the bloom or another provider contradicts.
//!
//! They are made of the honest answer, so that everything else about it is right, and each is the same whenever it is told.
//! Other lies have knobs of their own, because they are told of something else: heights, branches, balances.

use super::chain_model::{Block, Log, TRANSFER, bloom_has};
use super::identity::{Address, Hash, digest};
use super::params::LogFilter;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lie {
    /// Where several addresses or topics are asked for, it heeds the first.
    Partial,
    /// A block's logs, where it has any, have one more, of a contract that its bloom excludes.
    Invented,
    /// Headers have a bloom of zeros.
    ZeroBloom,
}

impl Lie {
    /// Whether it leaves this log, which the filter lets through, out.
    pub fn hides(self, filter: &LogFilter, log: &Log) -> bool {
        let is_other = |(place, choices): (usize, &Vec<Hash>)| log.topics.get(place) != choices.first() && !choices.is_empty();
        let is_elsewhere = filter.addresses.first().is_some_and(|first| *first != log.address);
        self == Lie::Partial && (is_elsewhere || filter.topics.iter().enumerate().any(is_other))
    }

    /// What it adds to the logs of the block.
    pub fn adds(self, block: &Block) -> Option<Log> {
        let bloom = block.bloom();
        let index = block.logs().count() as u32;
        let any = digest(&[block.hash.number()]);
        let strangers = (0..).map(|n| Address::from_number(0x00ab_0000 + n));
        let mut excluded = strangers.take(64).filter(|address| !bloom_has(&bloom, &address.0));
        let address = excluded.next().filter(|_| self == Lie::Invented && index > 0)?;
        Some(Log { address, topics: vec![TRANSFER, any, any], data: any.0.to_vec(), index })
    }

    /// Overwrites the bloom of a written header or block.
    pub fn spoil(self, written: &mut [u8]) {
        const NAME: &[u8] = b"\"logsBloom\":\"0x";
        let place = written.windows(NAME.len()).position(|part| part == NAME);
        if let Some(start) = place.filter(|_| self == Lie::ZeroBloom).map(|place| place + NAME.len())
            && let Some(digits) = written.get_mut(start..start + 512)
        {
            digits.fill(b'0');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;
    use crate::demo::chain_model::{ChainModel, SWAP};
    use crate::demo::params::{BlockRef, LogRange};
    use crate::demo::render;

    fn everything() -> LogFilter {
        let (from, to) = (BlockRef::Earliest, BlockRef::Latest);
        LogFilter { range: LogRange::Span { from, to }, addresses: Vec::new(), topics: Vec::new() }
    }

    #[test]
    fn each_lie_is_one_and_no_other() {
        let chain = ChainModel::new(3, 1, Duration::from_secs(2));
        let block = chain.block(0, 1_000_005, &[]);
        let contracts = [0, 1].map(|n| chain.contract(n));
        let filter = LogFilter { addresses: contracts.to_vec(), ..everything() };
        let of = |n: usize| Log { address: contracts[n], topics: vec![TRANSFER], data: Vec::new(), index: 0 };
        let hidden = |lie: Lie, filter: &LogFilter| [0, 1].map(|n| lie.hides(filter, &of(n)));
        assert_eq!(hidden(Lie::Partial, &filter), [false, true]);
        assert_eq!(hidden(Lie::Partial, &everything()), [false, false]);
        assert_eq!(hidden(Lie::Invented, &filter), [false, false]);
        let topics = LogFilter { topics: vec![vec![SWAP, TRANSFER]], ..everything() };
        assert_eq!(hidden(Lie::Partial, &topics), [true, true]);
        let invented = Lie::Invented.adds(&block).expect("a log");
        assert!(!bloom_has(&block.bloom(), &invented.address.0));
        assert_eq!((Lie::Partial.adds(&block), Lie::ZeroBloom.adds(&block)), (None, None));
        let written = |lie: Option<Lie>| {
            let mut out = Vec::new();
            render::header(&mut out, &chain, &block);
            lie.inspect(|lie| lie.spoil(&mut out));
            serde_json::from_slice::<serde_json::Value>(&out).expect("JSON")
        };
        let mut honest = written(None);
        assert_eq!(written(Some(Lie::Partial)), honest);
        honest["logsBloom"] = format!("0x{}", "0".repeat(512)).into();
        assert_eq!(written(Some(Lie::ZeroBloom)), honest);
    }
}
