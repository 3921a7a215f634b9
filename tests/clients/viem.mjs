// viem as an application uses it: node viem.mjs URL [read | watch CONTRACT | ledgers ASKED HELD]. Exit 0 when every answer is what the library promises.
import assert from 'node:assert/strict';
import { BaseError, ContractFunctionRevertedError, createPublicClient, createWalletClient, http, parseEther, webSocket } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { foundry } from 'viem/chains';
import { keepLedgers } from './ledger.mjs';
import { abi, bytecode, funded, keys, readUntilInputEnds, runtime, watchUntilInputEnds } from './shared.mjs';

const [url, mode, watched, held] = process.argv.slice(2);
const account = privateKeyToAccount(keys.viem);

if (mode === 'read') {
  const transport = (url.startsWith('ws') ? webSocket : http)(url, { retryCount: 0 });
  const client = createPublicClient({ chain: foundry, transport, cacheTime: 0 });
  await readUntilInputEnds({
    getBlockNumber: () => client.getBlockNumber(),
    getBalance: () => client.getBalance({ address: funded }),
    getChainId: () => client.getChainId(),
    getBlock: () => client.getBlock(),
  });
}

if (mode === 'watch') {
  const client = createPublicClient({ chain: foundry, transport: webSocket(url, { retryCount: 0, reconnect: false }), cacheTime: 0 });
  const onError = (error) => console.log(`error ${String(error).replaceAll('\n', ' ')}`);
  const watch = async (say) => {
    // What the wire says. watchBlocks asks for each block that it hears of, and passes on what comes back when it comes back.
    const onData = ({ result }) => say('head', BigInt(result.number), result.hash);
    await client.transport.subscribe({ params: ['newHeads'], onData, onError });
    client.watchBlocks({ onBlock: (block) => say('block', block?.number, block?.hash), onError });
    const onLogs = (logs) => logs.forEach((log) => say('log', log.blockNumber, log.args.value));
    client.watchContractEvent({ address: watched, abi, eventName: 'Noted', onLogs, onError });
    client.watchPendingTransactions({ batch: false, onTransactions: (hashes) => hashes.forEach((hash) => say('pending', hash)), onError });
  };
  await watchUntilInputEnds(watch, () => client.getBlockNumber());
}

if (mode === 'ledgers') {
  const client = createPublicClient({ chain: foundry, transport: webSocket(url, { retryCount: 0, reconnect: false }) });
  await keepLedgers(watched, held, (filter, onLog, onError) =>
    client.transport.subscribe({ params: ['logs', filter], onData: ({ result }) => onLog(result), onError }),
  );
}

// The reads go out as batches; whatever the library asks for in one turn of the event loop is one.
const client = createPublicClient({ chain: foundry, transport: http(url, { batch: true }), pollingInterval: 50 });
const wallet = createWalletClient({ account, chain: foundry, transport: http(url) });

async function reads() {
  const [id, balance, block, gasPrice, fees, nonce, code, slot] = await Promise.all([
    client.getChainId(),
    client.getBalance({ address: funded }),
    client.getBlock({ includeTransactions: true }),
    client.getGasPrice(),
    client.getFeeHistory({ blockCount: 1, rewardPercentiles: [50] }),
    client.getTransactionCount({ address: account.address }),
    client.getCode({ address: funded }),
    client.getStorageAt({ address: funded, slot: '0x0' }),
  ]);
  assert.equal(id, 31337);
  assert.equal(balance, parseEther('10000'));
  assert(gasPrice > 0n && fees.baseFeePerGas.length === 2 && nonce >= 0);
  assert.equal(code, undefined);
  assert.equal(BigInt(slot), 0n);
  assert.equal((await client.getBlock({ blockHash: block.hash })).number, block.number);
  assert((await client.getBlockNumber()) >= block.number);
  // More than the fifty calls that one batch may hold, in batches that the library cuts itself.
  const cut = createPublicClient({ chain: foundry, transport: http(url, { batch: { batchSize: 50 } }) });
  const slots = await Promise.all(Array.from({ length: 120 }, (_, i) => cut.getStorageAt({ address: funded, slot: `0x${i.toString(16)}` })));
  assert(slots.every((value) => BigInt(value) === 0n));
}

async function deployment() {
  const { contractAddress: address, status } = await client.waitForTransactionReceipt({ hash: await wallet.deployContract({ abi, bytecode }) });
  assert.equal(status, 'success');
  assert.equal(await client.getCode({ address }), runtime);
  return address;
}

async function logs(address) {
  const filter = await client.createContractEventFilter({ abi, address, eventName: 'Noted' });
  const { request } = await client.simulateContract({ account, abi, address, functionName: 'note', args: [42n] });
  const receipt = await client.waitForTransactionReceipt({ hash: await wallet.writeContract(request) });
  assert.equal(await client.readContract({ abi, address, functionName: 'last' }), 42n);
  const found = await client.getContractEvents({ abi, address, eventName: 'Noted', args: { by: account.address }, fromBlock: 0n });
  assert.deepEqual(found.map((log) => [log.args, log.transactionHash]), [[{ by: account.address, value: 42n }, receipt.transactionHash]]);
  assert.deepEqual(await client.getContractEvents({ abi, address, args: { by: funded }, eventName: 'Noted', fromBlock: 0n }), []);
  const changes = await client.getFilterChanges({ filter });
  assert.deepEqual(changes.map((log) => log.args.value), [42n]);
  assert.deepEqual(await client.getFilterChanges({ filter }), []);
  assert.equal(await client.uninstallFilter({ filter }), true);
}

async function refusals(address) {
  const refused = await client.readContract({ abi, address, functionName: 'refuse' }).catch((error) => error);
  const cause = refused instanceof BaseError && refused.walk((error) => error instanceof ContractFunctionRevertedError);
  assert(cause, `not a revert: ${refused}`);
  assert.deepEqual([cause.reason, cause.data.errorName], ['not today', 'Error']);
  const estimate = await client.estimateContractGas({ account, abi, address, functionName: 'refuse' }).catch((error) => error);
  assert.match(String(estimate), /not today/);
  await assert.rejects(client.request({ method: 'eth_nothing' }), (error) => [-32601, -32004].includes(error.walk((e) => e.code < 0).code));
}

// Signed here, sent as bytes; sent again, the node's own refusal must come back.
async function rawTransaction() {
  const to = '0x00000000000000000000000000000000000a11ce';
  const before = await client.getBalance({ address: to });
  const signed = await wallet.signTransaction(await wallet.prepareTransactionRequest({ to, value: 5n }));
  const hash = await client.sendRawTransaction({ serializedTransaction: signed });
  const receipt = await client.waitForTransactionReceipt({ hash });
  assert.equal((await client.getBalance({ address: to, blockNumber: receipt.blockNumber })) - before, 5n);
  assert.equal((await client.getTransaction({ hash })).value, 5n);
  await assert.rejects(client.sendRawTransaction({ serializedTransaction: signed }), /nonce too low|already/i);
}

await reads();
const address = await deployment();
await logs(address);
await refusals(address);
await rawTransaction();
console.log(address);
