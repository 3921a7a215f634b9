// What a watcher of logs holds of the chain: logs that it was told, without those that were taken back. The test that drives
// nodes compares it with what the chain holds (tests/node/ledgers.rs); web3py.py does the same by itself.
import { readFileSync, writeFileSync } from 'node:fs';

// `subscribe(filter, onLog, onError)` for each filter of the file `asked`; standard input's end and then two quiet
// seconds write the ledgers to `held`.
export async function keepLedgers(asked, held, subscribe) {
  const filters = JSON.parse(readFileSync(asked));
  const ledgers = filters.map(() => new Set());
  const wrong = [];
  let lastAt = 0;
  const note = (ledger, log) => {
    lastAt = Date.now();
    const name = `${log.blockHash}:${Number(log.logIndex ?? log.index)}`;
    if (log.removed ? !ledger.delete(name) : ledger.has(name)) wrong.push(`${log.removed ? 'unknown' : 'twice'} ${name}`);
    if (!log.removed) ledger.add(name);
  };
  const ended = new Promise((resolve) => process.stdin.resume().on('end', resolve));
  const subscriptions = filters.map((filter, at) => subscribe(filter, (log) => note(ledgers[at], log), (error) => wrong.push(`error ${error}`)));
  await Promise.all(subscriptions);
  console.log('watching');
  await ended;
  while (Date.now() < lastAt + 2_000) await new Promise((resolve) => setTimeout(resolve, 200));
  writeFileSync(held, JSON.stringify({ ledgers: ledgers.map((ledger) => [...ledger]), wrong: wrong.slice(0, 20) }));
  process.exit(0);
}
