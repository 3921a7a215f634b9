// What the JavaScript clients share: the contract, and the reader loop of the test that kills a node.
import { readFileSync } from 'node:fs';

const contract = JSON.parse(readFileSync(new URL('contract.json', import.meta.url)));
const hex = (lines) => lines.map((line) => line.split(';')[0].replaceAll(' ', '')).join('');

export const { abi } = contract;
export const runtime = '0x' + hex(contract.runtime);
export const bytecode = '0x' + hex(contract.initcode) + hex(contract.runtime);

// First, third and fourth of the accounts that anvil and hardhat fund: published keys, of no worth anywhere else.
export const keys = {
  viem: '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80',
  ethers: '0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a',
};
export const funded = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8'; // the second, which nobody spends from

// Calls each of `reads` in turn until standard input ends; says "reading" after the first round, counts and errors at the end.
export async function readUntilInputEnds(reads) {
  let [ended, calls, failures] = [false, 0, []];
  process.stdin.resume().on('end', () => (ended = true));
  while (!ended) {
    for (const [name, read] of Object.entries(reads)) {
      calls += 1;
      await read().catch((error) => failures.push(`${name}: ${error}`));
    }
    if (calls === Object.keys(reads).length) console.log('reading');
  }
  console.log(`${calls} calls, ${failures.length} failed`);
  failures.slice(0, 5).forEach((text) => console.log(text));
  process.exit(failures.length ? 1 : 0);
}

// The watcher of the test that kills and stalls nodes: `watch` says a line for each event; reads go on beside it until standard
// input ends. Whether events are complete and in order, and which reads may fail, is for the test to judge.
export async function watchUntilInputEnds(watch, read) {
  let [ended, calls, failures] = [false, 0, []];
  process.stdin.resume().on('end', () => (ended = true));
  await watch((...words) => console.log(words.join(' ')));
  console.log('watching');
  while (!ended) {
    calls += 1;
    await read().catch((error) => failures.push(String(error)));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  console.log(`calls ${calls} failed ${failures.length}`);
  failures.slice(0, 5).forEach((text) => console.log(`failed ${text.replaceAll('\n', ' ')}`));
  process.exit(0);
}
