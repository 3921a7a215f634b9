//! Accounts of the model: balances, nonces, code, storage and contract calls, each a pure function of (chain, address,
//! height). There is no machine behind `eth_call`: a call's answer is a digest of what was asked, except for a few
//! addresses with a known behaviour that tests and examples use.

use super::chain_model::ChainModel;
use super::identity::{Address, Hash, digest, digest_bytes, mix};
use super::rpc::RpcError;
use crate::base::limits::MODEL_SIZED_BYTES;

/// A call to it reverts: code 3, `Error(string)` in data.
pub const CALL_REVERTS: Address = Address::from_number(0xfa11);
/// A call to it answers with as many bytes as the last 8 bytes of its input say (bounded), for tests of large answers.
pub const CALL_SIZED: Address = Address::from_number(0xb19);

const SELECTOR_DECIMALS: [u8; 4] = [0x31, 0x3c, 0xe5, 0x67];
const SELECTOR_BALANCE_OF: [u8; 4] = [0x70, 0xa0, 0x82, 0x31];
const SELECTOR_TOTAL_SUPPLY: [u8; 4] = [0x18, 0x16, 0x0d, 0xdd];

fn account_word(chain: &ChainModel, salt: u64, address: Address) -> u64 {
    let [a, b, c] = address.words();
    mix(&[chain.seed, chain.chain_number, salt, a, b, c])
}

/// Wei; grows a little with each block.
pub fn balance(chain: &ChainModel, address: Address, height: u64) -> u128 {
    let word = account_word(chain, 0xba1a, address);
    u128::from(word) * 100 + u128::from(height) * u128::from(1 + word % 1_000_000)
}

/// Transactions sent; never falls with height.
pub fn nonce(chain: &ChainModel, address: Address, height: u64) -> u64 {
    account_word(chain, 0x2020, address) % 1000 + height / 64
}

/// Empty for all but the model's contracts.
pub fn code(chain: &ChainModel, address: Address) -> Vec<u8> {
    let known = address == CALL_REVERTS || address == CALL_SIZED;
    if !known && !chain.is_contract(address) {
        return Vec::new();
    }
    let mut code = vec![0x60, 0x80, 0x60, 0x40, 0x52];
    for part in 0..3 + account_word(chain, 0x5123, address) % 12 {
        code.extend_from_slice(&digest(&[account_word(chain, part, address)]).0);
    }
    code
}

/// A slot's word; changes every 128 blocks.
pub fn storage(chain: &ChainModel, address: Address, slot: Hash, height: u64) -> Hash {
    digest_bytes(mix(&[account_word(chain, 0x5707, address), height / 128]), &slot.0)
}

/// What a contract call returns at `height`. `to` absent is a creation, which returns nothing.
pub fn call(chain: &ChainModel, to: Option<Address>, input: &[u8], height: u64) -> Result<Vec<u8>, RpcError> {
    let Some(to) = to else { return Ok(Vec::new()) };
    if to == CALL_REVERTS {
        return Err(revert("model revert"));
    }
    if to == CALL_SIZED {
        return Ok(sized(chain, input));
    }
    let selector = input.get(..4).unwrap_or(&[]);
    Ok(match selector {
        _ if selector == SELECTOR_DECIMALS => uint(18),
        _ if selector == SELECTOR_TOTAL_SUPPLY => uint(u128::from(account_word(chain, 0x707a, to)) << 32),
        _ if selector == SELECTOR_BALANCE_OF => {
            uint(u128::from(digest_bytes(account_word(chain, height / 4, to), input).number()) << 16)
        }
        _ if input.is_empty() && !chain.is_contract(to) => Vec::new(),
        _ => digest_bytes(mix(&[account_word(chain, 0xca11, to), height]), input).0.to_vec(),
    })
}

/// `execution reverted: REASON`, code 3, with the ABI's `Error(string)`.
pub fn revert(reason: &str) -> RpcError {
    let mut data = vec![0x08, 0xc3, 0x79, 0xa0];
    data.extend_from_slice(&uint(32));
    data.extend_from_slice(&uint(reason.len() as u128));
    data.extend_from_slice(reason.as_bytes());
    data.resize(4 + (data.len() - 4).next_multiple_of(32), 0);
    let mut json = Vec::new();
    super::render::data(&mut json, &data);
    RpcError { code: 3, message: format!("execution reverted: {reason}"), data: Some(json) }
}

/// Gas of a call; refused when the call reverts.
pub fn estimate(chain: &ChainModel, to: Option<Address>, input: &[u8], height: u64) -> Result<u64, RpcError> {
    if to == Some(CALL_REVERTS) {
        call(chain, to, input, height)?;
    }
    let contract = to.is_some_and(|to| chain.is_contract(to)) || !input.is_empty();
    Ok(21_000 + 16 * input.len() as u64 + if contract { 20_000 + mix(&[height / 8]) % 9_000 } else { 0 })
}

fn sized(chain: &ChainModel, input: &[u8]) -> Vec<u8> {
    let tail = input.get(input.len().saturating_sub(8)..).unwrap_or(&[]);
    let asked = tail.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let wanted = usize::try_from(asked).unwrap_or(usize::MAX).min(MODEL_SIZED_BYTES);
    let mut bytes = Vec::with_capacity(wanted + 32);
    let mut part = 0;
    while bytes.len() < wanted {
        bytes.extend_from_slice(&digest(&[chain.seed, chain.chain_number, part]).0);
        part += 1;
    }
    bytes.truncate(wanted);
    bytes
}

fn uint(number: u128) -> Vec<u8> {
    let mut word = vec![0; 32];
    word[16..].copy_from_slice(&number.to_be_bytes());
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;

    #[test]
    fn calls_answer_as_their_address_says() {
        let chain = ChainModel::new(1, 1, Duration::from_secs(12));
        let at = |to, input: &[u8]| call(&chain, to, input, 100);
        assert_eq!(at(None, b"x"), Ok(Vec::new()));
        assert_eq!(at(Some(CALL_SIZED), &[1, 0]).map(|bytes| bytes.len()), Ok(256));
        assert_eq!(at(Some(CALL_SIZED), &[0xff; 40]).map(|bytes| bytes.len()), Ok(MODEL_SIZED_BYTES));
        assert_eq!(at(Some(CALL_SIZED), &[]).map(|bytes| bytes.len()), Ok(0));
        assert_eq!(at(Some(chain.contract(0)), &SELECTOR_DECIMALS), Ok(uint(18)));
        assert_eq!(at(Some(chain.account(0)), &[]), Ok(Vec::new()));
        assert_eq!(at(Some(chain.contract(0)), &[1, 2, 3]).map(|bytes| bytes.len()), Ok(32));
        assert_ne!(at(Some(chain.contract(0)), &[1, 2, 3]), at(Some(chain.contract(1)), &[1, 2, 3]));
        let Err(error) = at(Some(CALL_REVERTS), &[]) else { panic!("must revert") };
        let data = error.data.expect("revert data");
        assert_eq!(error.code, 3);
        assert!(data.starts_with(b"\"0x08c379a0") && (data.len() - 4 - 8) % 64 == 0, "{}", data.len());
        assert!(estimate(&chain, Some(CALL_REVERTS), &[], 1).is_err());
        assert_eq!(estimate(&chain, Some(chain.account(1)), &[], 1), Ok(21_000));
    }

    #[test]
    fn accounts_are_stable_and_differ() {
        let chain = ChainModel::new(1, 1, Duration::from_secs(12));
        let (a, b) = (chain.account(1), chain.account(2));
        assert_eq!(balance(&chain, a, 5), balance(&chain, a, 5));
        assert_ne!(balance(&chain, a, 5), balance(&chain, b, 5));
        assert!(balance(&chain, a, 6) > balance(&chain, a, 5) && nonce(&chain, a, 6400) > nonce(&chain, a, 5));
        assert!(code(&chain, a).is_empty() && !code(&chain, chain.contract(3)).is_empty());
        assert_eq!(storage(&chain, a, Hash::ZERO, 1), storage(&chain, a, Hash::ZERO, 2));
        assert_ne!(storage(&chain, a, Hash::ZERO, 1), storage(&chain, a, Hash::ZERO, 200));
    }
}
