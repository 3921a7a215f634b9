// web3.js as an application that watches logs: node web3js.mjs URL ledgers ASKED HELD.
import { Web3, WebSocketProvider } from 'web3';
import { keepLedgers } from './ledger.mjs';

const [url, , asked, held] = process.argv.slice(2);
const web3 = new Web3(new WebSocketProvider(url, {}, { autoReconnect: false }));
await keepLedgers(asked, held, async (filter, onLog, onError) => {
  const subscription = await web3.eth.subscribe('logs', filter);
  subscription.on('data', onLog);
  subscription.on('error', onError);
});
