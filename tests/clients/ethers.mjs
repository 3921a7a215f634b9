// ethers as an application uses it, its batching on: node ethers.mjs URL [read | watch CONTRACT | ledgers ASKED HELD]. Exit 0 when every answer is right.
import assert from 'node:assert/strict';
import { Contract, ContractFactory, FetchRequest, JsonRpcProvider, SocketEventSubscriber, Wallet, WebSocketProvider, isCallException, isError, parseEther } from 'ethers';
import { keepLedgers } from './ledger.mjs';
import { abi, bytecode, funded, keys, readUntilInputEnds, runtime, watchUntilInputEnds } from './shared.mjs';

const [url, mode, watched, held] = process.argv.slice(2);

if (mode === 'read') {
  const options = { staticNetwork: true, cacheTimeout: -1 };
  const request = () => {
    const request = new FetchRequest(url);
    request.setThrottleParams({ maxAttempts: 1 });
    return request;
  };
  const overSocket = url.startsWith('ws');
  const reader = overSocket ? new WebSocketProvider(url, 31337, options) : new JsonRpcProvider(request(), 31337, options);
  await readUntilInputEnds({
    getBlockNumber: () => reader.getBlockNumber(),
    getBalance: () => reader.getBalance(funded),
    chainId: () => reader.send('eth_chainId', []),
    getBlock: () => reader.getBlock('latest'),
  });
}

if (mode === 'watch') {
  const provider = new WebSocketProvider(url, 31337, { staticNetwork: true, cacheTimeout: -1 });
  const watch = async (say) => {
    await provider.on('block', (number) => say('block', number));
    await provider.on('pending', (hash) => say('pending', hash));
    await new Contract(watched, abi, provider).on('Noted', (by, value, event) => say('log', event.log.blockNumber, value));
  };
  await watchUntilInputEnds(watch, () => provider.getBlockNumber());
}

if (mode === 'ledgers') {
  const provider = new WebSocketProvider(url, 31337, { staticNetwork: true, cacheTimeout: -1 });
  await provider._detectNetwork();
  await keepLedgers(watched, held, async (filter, onLog) => {
    // `on` gives a log that was taken back to nobody but who listens for that very log.
    class Keeper extends SocketEventSubscriber {
      async _emit(provider, log) {
        onLog(provider._wrapLog(log, provider._network));
      }
    }
    new Keeper(provider, filter).start();
    // There is no word that it is confirmed.
    await new Promise((resolve) => setTimeout(resolve, 500));
  });
}

// Fifty calls are the most that a batch may hold; the library's own limit is a hundred. No cache: a block comes with each
// transaction, and a nonce of a quarter of a second ago is wrong.
const provider = new JsonRpcProvider(url, undefined, { batchMaxCount: 50, cacheTimeout: -1, pollingInterval: 50 });
const wallet = new Wallet(keys.ethers, provider);

async function reads() {
  const [network, balance, block, fees, nonce, code, slot] = await Promise.all([
    provider.getNetwork(),
    provider.getBalance(funded),
    provider.getBlock('latest', true),
    provider.getFeeData(),
    provider.getTransactionCount(wallet.address),
    provider.getCode(funded),
    provider.getStorage(funded, 0),
  ]);
  assert.equal(network.chainId, 31337n);
  assert.equal(balance, parseEther('10000'));
  assert(fees.maxFeePerGas > 0n && nonce >= 0);
  assert.equal(code, '0x');
  assert.equal(BigInt(slot), 0n);
  assert.equal((await provider.getBlock(block.hash)).number, block.number);
  assert((await provider.getBlockNumber()) >= block.number);
  const slots = await Promise.all(Array.from({ length: 120 }, (_, i) => provider.getStorage(funded, i)));
  assert(slots.every((value) => BigInt(value) === 0n));
}

async function deployment() {
  const contract = await new ContractFactory(abi, bytecode, wallet).deploy();
  await contract.waitForDeployment();
  assert.equal(await provider.getCode(contract.target), runtime);
  return new Contract(contract.target, abi, wallet);
}

async function logs(contract) {
  const receipt = await (await contract.note(43n)).wait();
  assert.equal(await contract.last(), 43n);
  const found = await contract.queryFilter(contract.filters.Noted(wallet.address), 0);
  assert.deepEqual(found.map((log) => [...log.args, log.transactionHash]), [[wallet.address, 43n, receipt.hash]]);
  assert.deepEqual(await contract.queryFilter(contract.filters.Noted(funded), 0), []);
}

async function refusals(contract) {
  const refused = await contract.refuse().catch((error) => error);
  assert(isCallException(refused), `not a revert: ${refused}`);
  assert.deepEqual([refused.reason, refused.revert.name, refused.data.length], ['not today', 'Error', 202]);
  await assert.rejects(contract.refuse.estimateGas(), (error) => error.reason === 'not today');
  await assert.rejects(provider.send('eth_nothing', []), (error) => [-32601, -32004].includes(error.error.code));
}

async function rawTransaction() {
  const to = '0x00000000000000000000000000000000000a11cf';
  const before = await provider.getBalance(to);
  const signed = await wallet.signTransaction(await wallet.populateTransaction({ to, value: 5n }));
  const receipt = await (await provider.broadcastTransaction(signed)).wait();
  assert.equal((await provider.getBalance(to, receipt.blockNumber)) - before, 5n);
  assert.equal((await provider.getTransaction(receipt.hash)).value, 5n);
  await assert.rejects(provider.broadcastTransaction(signed), (error) => isError(error, 'NONCE_EXPIRED') || /already|nonce too low/i.test(error));
}

await reads();
const contract = await deployment();
await logs(contract);
await refusals(contract);
await rawTransaction();
console.log(contract.target);
process.exit(0); // the provider polls on
