// The second node: same chain id and same accounts as anvil, a chain of its own, a block for each transaction.
module.exports = { solidity: '0.8.28', networks: { hardhat: { chainId: 31337 } } };
