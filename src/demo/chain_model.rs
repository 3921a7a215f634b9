//! The model chain: every block is a pure function of (seed, chain number, branch, height), and the head's height a pure
//! function of time. Nothing is stored, so any height can be asked for at any time, in any order.
//!
//! Time goes in rounds, one for each block time; a block is made in its round, or the round passes without one (a null
//! round, a skipped slot). A block's height is its round, less by what its chain has fallen (a reset, a revert) until then.
//!
//! Times are relative to the world's beginning: at `Instant::ZERO` the head is `start_height` and the clock on the wall
//! shows `start_unix_ms`. Which branch is canonical when is `forks`' history; a block belongs to the branch that made it.

use super::forks::Forks;
use super::identity::{Address, Hash, Kind, Name, Naming, digest, keccak, mix};
use crate::base::{rng::Rng, time::Duration, time::Instant};
use crate::chain::bloom::Bloom;

/// A chain's parameters. Two models with equal fields give equal blocks.
#[derive(Clone, Debug)]
pub struct ChainModel {
    pub seed: u64,
    /// EIP-155 number.
    pub chain_number: u64,
    pub block_time: Duration,
    /// The head at `Instant::ZERO`.
    pub start_height: u64,
    /// Milliseconds since 1970 at `Instant::ZERO`; block timestamps follow from it.
    pub start_unix_ms: u64,
    /// Fewest and most transactions of a block (without those that users sent).
    pub transactions: (u64, u64),
    /// Blocks of this height have so many.
    pub crowded: Option<(u64, u64)>,
    /// Per million rounds since the beginning: how many pass without a block.
    pub null_rounds: u32,
    /// Set before anybody asks: it decides what blocks there are.
    pub forks: Forks,
    naming: Naming,
}

/// An event as a receipt carries it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    pub address: Address,
    pub topics: Vec<Hash>,
    pub data: Vec<u8>,
    /// Place in the block.
    pub index: u32,
}

/// A transaction and its receipt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    pub hash: Hash,
    pub index: u16,
    pub from: Address,
    pub to: Address,
    pub nonce: u64,
    /// Wei.
    pub value: u128,
    pub input: Vec<u8>,
    pub gas_limit: u64,
    pub gas_used: u64,
    /// Wei per gas.
    pub tip: u64,
    pub succeeded: bool,
    pub logs: Vec<Log>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    pub height: u64,
    pub hash: Hash,
    pub parent: Hash,
    /// Seconds since 1970.
    pub timestamp: u64,
    pub miner: Address,
    pub gas_limit: u64,
    /// Wei per gas.
    pub base_fee: u64,
    pub transactions: Vec<Transaction>,
}

/// `Transfer(address,address,uint256)`, `Approval(…)`, Uniswap v3's `Swap(…)`: what log filters in the wild ask for.
pub const TRANSFER: Hash = topic("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
pub const APPROVAL: Hash = topic("8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925");
pub const SWAP: Hash = topic("c42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67");

const CONTRACTS: u64 = 16;
const ACCOUNTS: u64 = 512;
const GAS_LIMIT: u64 = 30_000_000;

impl ChainModel {
    pub fn new(seed: u64, chain_number: u64, block_time: Duration) -> ChainModel {
        ChainModel {
            seed,
            chain_number,
            block_time,
            start_height: 1_000_000,
            start_unix_ms: 1_760_000_000_000,
            transactions: (2, 8),
            crowded: None,
            null_rounds: 0,
            forks: Forks::default(),
            naming: Naming::new(seed, chain_number),
        }
    }

    /// The newest block of the canonical chain at `now`.
    pub fn height_at(&self, now: Instant) -> u64 {
        self.tip_at(self.forks.canonical(now), now)
    }

    /// The newest block of `branch` at `now`, canonical or not.
    pub fn tip_at(&self, branch: u32, now: Instant) -> u64 {
        self.floor(branch, self.round_at(now).saturating_sub(self.forks.fallen(branch)))
    }

    /// The round that began last.
    pub fn round_at(&self, now: Instant) -> u64 {
        let elapsed = u128::from(now.0) / self.block_time.as_nanos().max(1);
        self.start_height.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// When the block of `round` appears; `Instant::ZERO` for all that were there at the beginning.
    pub fn born_at(&self, round: u64) -> Instant {
        let nanos = u128::from(round.saturating_sub(self.start_height)) * self.block_time.as_nanos();
        Instant(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// In which round the block at `height` on the path of `branch` is made.
    pub fn round_of(&self, branch: u32, height: u64) -> u64 {
        height.saturating_add(self.forks.fallen(self.forks.owner(branch, height)))
    }

    /// Where the block of `round`, or the first after it, stands on the path of `branch`; nowhere when the chain fell below it.
    pub fn height_of(&self, branch: u32, round: u64) -> Option<u64> {
        let height = self.forks.height_of(branch, round)?;
        (height..).find(|height| self.has_block(branch, *height))
    }

    /// Whether the round of this height made one on the path of `branch`.
    pub fn has_block(&self, branch: u32, height: u64) -> bool {
        let draw = || mix(&[self.seed, self.chain_number, 0x9011, u64::from(self.forks.owner(branch, height)), height]);
        height <= self.start_height || self.null_rounds == 0 || draw() % 1_000_000 >= u64::from(self.null_rounds)
    }

    /// The highest block on the path of `branch` that is not above `height`.
    pub fn floor(&self, branch: u32, height: u64) -> u64 {
        (0..=height).rev().find(|height| self.has_block(branch, *height)).unwrap_or(0)
    }

    /// The height of the parent of the block at `height`; the first block has none.
    pub fn parent_of(&self, branch: u32, height: u64) -> Option<u64> {
        height.checked_sub(1).map(|below| self.floor(branch, below))
    }

    /// Of the block at `height` on the path of `branch`.
    pub fn block_hash(&self, branch: u32, height: u64) -> Hash {
        self.naming.hash(Name { kind: Kind::Block, branch: self.forks.owner(branch, height), height, index: 0 })
    }

    /// What a hash stands for, if it is one of this chain; it may lie above the head.
    pub fn name(&self, hash: &Hash) -> Option<Name> {
        self.naming.name(hash)
    }

    /// The timestamp of the block of `round`, in seconds since 1970. It never falls along a chain.
    pub fn timestamp(&self, round: u64) -> u64 {
        let step = self.block_time.as_millis() as i128;
        let ms = i128::from(self.start_unix_ms) + (i128::from(round) - i128::from(self.start_height)).saturating_mul(step);
        u64::try_from(ms.max(0) / 1000).unwrap_or(u64::MAX)
    }

    /// Wei per gas; wanders slowly.
    pub fn base_fee(&self, height: u64) -> u64 {
        let floor = if self.chain_number == 1 { 8_000_000_000 } else { 10_000_000 };
        floor + floor * (mix(&[self.seed, self.chain_number, 0xfee, height / 16]) % 100) / 100
    }

    /// The `n`th of the model's token contracts.
    pub fn contract(&self, n: u64) -> Address {
        self.account_of(&[self.seed, self.chain_number, 0xc0de, n % CONTRACTS])
    }

    /// The `n`th of the model's users.
    pub fn account(&self, n: u64) -> Address {
        self.account_of(&[self.seed, self.chain_number, 0xacc7, n % ACCOUNTS])
    }

    pub fn is_contract(&self, address: Address) -> bool {
        (0..CONTRACTS).any(|n| self.contract(n) == address)
    }

    fn account_of(&self, words: &[u64]) -> Address {
        let mut bytes = [0; 20];
        bytes.copy_from_slice(&digest(words).0[..20]);
        Address(bytes)
    }

    /// The block at `height` on the path of `branch`, with the transactions that users sent (`sent`) after the model's own.
    pub fn block(&self, branch: u32, height: u64, sent: &[Hash]) -> Block {
        let branch = self.forks.owner(branch, height);
        let mut rng = Rng::new(mix(&[self.seed, self.chain_number, u64::from(branch), height]));
        let crowd = self.crowded.filter(|(at, _)| *at == height).map(|(_, count)| (count, count));
        let (fewest, most) = crowd.unwrap_or(self.transactions);
        let count = fewest + rng.below(most.saturating_sub(fewest) + 1);
        let mut transactions = Vec::with_capacity(count as usize + sent.len());
        let mut logs = 0;
        for index in 0..count.min(u64::from(u16::MAX)) as u16 {
            let hash = self.naming.hash(Name { kind: Kind::Transaction, branch, height, index });
            transactions.push(self.transaction(&mut rng, hash, index, height, &mut logs));
        }
        for hash in sent {
            let index = u16::try_from(transactions.len()).unwrap_or(u16::MAX);
            transactions.push(self.sent_transaction(*hash, index));
        }
        Block {
            height,
            hash: self.block_hash(branch, height),
            parent: self.parent_of(branch, height).map_or(Hash::ZERO, |parent| self.block_hash(branch, parent)),
            timestamp: self.timestamp(self.round_of(branch, height)),
            miner: self.account(mix(&[self.seed, height]) % 8),
            gas_limit: GAS_LIMIT,
            base_fee: self.base_fee(height),
            transactions,
        }
    }

    fn transaction(&self, rng: &mut Rng, hash: Hash, index: u16, height: u64, logs: &mut u32) -> Transaction {
        let (from, peer) = (self.account(rng.below(ACCOUNTS)), self.account(rng.below(ACCOUNTS)));
        let contract = self.contract(rng.below(CONTRACTS));
        let amount = rng.next();
        let (kind, succeeded) = (rng.below(100), rng.below(100) >= 4);
        let mut transaction = Transaction {
            hash,
            index,
            from,
            to: contract,
            nonce: height / 64 + u64::from(index),
            value: 0,
            input: call_input(kind, peer, amount),
            gas_limit: 300_000,
            gas_used: 40_000 + rng.below(100_000),
            tip: 1_000_000 + rng.below(2_000_000_000),
            succeeded,
            logs: Vec::new(),
        };
        if kind < 10 {
            (transaction.to, transaction.value, transaction.gas_used) = (peer, u128::from(amount), 21_000);
        } else if succeeded {
            transaction.logs = self.events(kind, contract, from, peer, amount);
        }
        for log in &mut transaction.logs {
            log.index = *logs;
            *logs += 1;
        }
        transaction
    }

    /// 60 in 90: a transfer; 15: an approval; 15: a swap with the two transfers it makes.
    fn events(&self, kind: u64, contract: Address, from: Address, peer: Address, amount: u64) -> Vec<Log> {
        let (a, b) = (from.as_topic(), peer.as_topic());
        let log =
            |address, name, a, b, words| Log { address, topics: vec![name, a, b], data: data_words(amount, words), index: 0 };
        match kind {
            10..70 => vec![log(contract, TRANSFER, a, b, 1)],
            70..85 => vec![log(contract, APPROVAL, a, b, 1)],
            _ => {
                let other = self.contract(amount);
                vec![log(contract, TRANSFER, a, b, 1), log(other, TRANSFER, b, a, 1), log(peer, SWAP, a, a, 5)]
            }
        }
    }

    /// A user's raw transaction: its content is not decoded, so it shows as an empty transfer from an account made of
    /// its hash.
    fn sent_transaction(&self, hash: Hash, index: u16) -> Transaction {
        let mut from = [0; 20];
        from.copy_from_slice(&hash.0[12..]);
        Transaction {
            hash,
            index,
            from: Address(from),
            to: self.account(0),
            nonce: 0,
            value: 0,
            input: Vec::new(),
            gas_limit: 21_000,
            gas_used: 21_000,
            tip: 1_000_000,
            succeeded: true,
            logs: Vec::new(),
        }
    }
}

impl Block {
    pub fn gas_used(&self) -> u64 {
        self.transactions.iter().map(|transaction| transaction.gas_used).sum()
    }

    pub fn logs(&self) -> impl Iterator<Item = (&Transaction, &Log)> {
        self.transactions.iter().flat_map(|transaction| transaction.logs.iter().map(move |log| (transaction, log)))
    }

    pub fn bloom(&self) -> Bloom {
        bloom(self.logs().map(|(_, log)| log))
    }
}

/// The bloom of some logs: three bits for each address and topic.
pub fn bloom<'a>(logs: impl Iterator<Item = &'a Log>) -> Bloom {
    let mut bits = [0; 256];
    for log in logs {
        bloom_add(&mut bits, &log.address.0);
        log.topics.iter().for_each(|topic| bloom_add(&mut bits, &topic.0));
    }
    bits
}

fn bloom_add(bits: &mut Bloom, item: &[u8]) {
    for bit in bloom_bits(item) {
        bits[255 - bit / 8] |= 1 << (bit % 8);
    }
}

/// Whether `item` (an address or topic) may be in it.
pub fn bloom_has(bits: &Bloom, item: &[u8]) -> bool {
    bloom_bits(item).iter().all(|bit| bits[255 - bit / 8] & 1 << (bit % 8) != 0)
}

fn bloom_bits(item: &[u8]) -> [usize; 3] {
    let hash = keccak(item).0;
    [0, 2, 4].map(|at| (usize::from(hash[at]) << 8 | usize::from(hash[at + 1])) & 2047)
}

/// `transfer(address,uint256)` or the like.
fn call_input(kind: u64, peer: Address, amount: u64) -> Vec<u8> {
    if kind < 10 {
        return Vec::new();
    }
    let selector: [u8; 4] = if kind < 70 { [0xa9, 0x05, 0x9c, 0xbb] } else { [0x09, 0x5e, 0xa7, 0xb3] };
    let mut input = selector.to_vec();
    input.extend_from_slice(&peer.as_topic().0);
    input.extend_from_slice(&data_words(amount, 1));
    input
}

fn data_words(amount: u64, words: usize) -> Vec<u8> {
    let mut data = vec![0; 32 * words];
    for word in data.chunks_exact_mut(32) {
        word[24..].copy_from_slice(&amount.to_be_bytes());
    }
    data
}

const fn topic(hex: &str) -> Hash {
    let (hex, mut bytes, mut i) = (hex.as_bytes(), [0; 32], 0);
    while i < 32 {
        bytes[i] = nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]);
        i += 1;
    }
    Hash(bytes)
}

const fn nibble(digit: u8) -> u8 {
    if digit <= b'9' { digit - b'0' } else { digit - b'a' + 10 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn model() -> ChainModel {
        ChainModel::new(7, 1, Duration::from_secs(12))
    }

    #[test]
    fn topics_are_the_events_hashes() {
        assert_eq!(TRANSFER, keccak(b"Transfer(address,address,uint256)"));
        assert_eq!(APPROVAL, keccak(b"Approval(address,address,uint256)"));
        assert_eq!(SWAP, keccak(b"Swap(address,address,int256,int256,uint160,uint128,int24)"));
    }

    #[test]
    fn the_head_follows_time() {
        let chain = model();
        let check = |ms: u64, height| assert_eq!(chain.height_at(Instant::ZERO.plus_ms(ms)), height);
        check(0, 1_000_000);
        check(11_999, 1_000_000);
        check(12_000, 1_000_001);
        check(120_000, 1_000_010);
        for height in [0, 1_000_000, 1_000_001, 1_234_567] {
            let born = chain.born_at(height);
            assert!(chain.height_at(born) >= height && (born == Instant::ZERO || chain.height_at(Instant(born.0 - 1)) < height));
        }
        assert_eq!(chain.timestamp(1_000_005) - chain.timestamp(1_000_000), 60);
        let instant = ChainModel { block_time: Duration::ZERO, ..model() };
        assert!(instant.height_at(Instant::NEVER) >= instant.start_height);
    }

    #[test]
    fn the_bloom_is_the_yellow_papers() {
        // Keccak("") begins c5d2 4601 86f7; modulo 2048 that is 0x5d2, 0x601, 0x6f7.
        assert_eq!(bloom_bits(b""), [0x5d2, 0x601, 0x6f7]);
        let mut bits = [0; 256];
        bloom_add(&mut bits, b"");
        assert_eq!((bits[255 - 0x5d2 / 8], bits[255 - 0x601 / 8], bits[255 - 0x6f7 / 8]), (1 << 2, 1 << 1, 1 << 7));
        assert_eq!(bits.iter().map(|byte| byte.count_ones()).sum::<u32>(), 3);
    }

    proptest! {
        #[test]
        fn blocks_are_consistent(seed: u64, number in 1u64..1_000_000, height in 1u64..u64::MAX / 2) {
            let chain = ChainModel::new(seed, number, Duration::from_millis(250));
            let block = chain.block(0, height, &[]);
            prop_assert_eq!(&block, &ChainModel::new(seed, number, Duration::from_millis(250)).block(0, height, &[]));
            prop_assert_eq!(block.parent, chain.block(0, height - 1, &[]).hash);
            prop_assert_eq!(chain.name(&block.hash).map(|name| (name.kind, name.height)), Some((Kind::Block, height)));
            prop_assert!((2..=8).contains(&block.transactions.len()));
            let bloom = block.bloom();
            for (place, transaction) in block.transactions.iter().enumerate() {
                prop_assert_eq!(usize::from(transaction.index), place);
                let name = chain.name(&transaction.hash);
                prop_assert_eq!(name, Some(Name { kind: Kind::Transaction, branch: 0, height, index: transaction.index }));
                prop_assert!(transaction.gas_used <= transaction.gas_limit);
                prop_assert!(transaction.succeeded || transaction.logs.is_empty());
            }
            for (place, (_, log)) in block.logs().enumerate() {
                prop_assert_eq!(log.index as usize, place);
                prop_assert!(bloom_has(&bloom, &log.address.0) && log.topics.iter().all(|topic| bloom_has(&bloom, &topic.0)));
            }
            prop_assert_ne!(ChainModel::new(seed ^ 1, number, Duration::from_millis(250)).block(0, height, &[]).hash, block.hash);
        }
    }

    #[test]
    fn branches_share_what_is_below_their_fork() {
        let mut chain = model();
        let branch = chain.forks.fork(0, 100);
        assert_eq!(chain.block(0, 99, &[]), chain.block(branch, 99, &[]));
        let (ours, theirs) = (chain.block(0, 100, &[]), chain.block(branch, 100, &[]));
        assert!(ours.hash != theirs.hash && ours.parent == theirs.parent && ours.transactions != theirs.transactions);
        assert_eq!(chain.block(branch, 101, &[]).parent, theirs.hash);
        assert_eq!(chain.name(&theirs.hash).map(|name| name.branch), Some(branch));
    }

    #[test]
    fn a_bloom_excludes_most_of_what_is_not_there() {
        let (chain, strangers) = (model(), 200);
        let bits = chain.block(0, 1_000_000, &[]).bloom();
        let hits = (0..strangers).filter(|n| bloom_has(&bits, &Address::from_number(*n).0)).count();
        assert!(hits < 10, "{hits} of {strangers}");
    }

    #[test]
    fn sent_transactions_follow_the_models_own() {
        let sent = [keccak(b"one"), keccak(b"two")];
        let (with, without) = (model().block(0, 5, &sent), model().block(0, 5, &[]));
        let own = without.transactions.len();
        assert_eq!(with.transactions[..own], without.transactions[..]);
        assert_eq!(
            with.transactions[own..].iter().map(|t| (t.hash, usize::from(t.index))).collect::<Vec<_>>(),
            [(sent[0], own), (sent[1], own + 1)]
        );
    }
}
