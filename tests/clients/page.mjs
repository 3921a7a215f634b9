// The page in a browser, as a person uses it: node page.mjs check URL FOLDER | memory URL SECONDS | scale URL.
// URL is a node of `lasso demo`. Exit 0 when the page is right; what was measured is said in lines. Screenshots go to FOLDER.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { SIZES, accessible, launch, memory, nameFocusable, openPage, say, shows, toTab, walkByTab, wide } from './browsing.mjs';
import { serveScale } from './scale.mjs';

const [mode, base, extra] = process.argv.slice(2);
// Of processor time, in a view of ten chains of thirty providers.
const LONGEST_TASK_MS = 100;

const browser = await launch();
const open = (how = {}) => openPage(browser, { at: base, ...how });

// ── calls to the node, beside the browser ────────────────────────────────────────────────────────────────────────────

const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });

function post(path, body) {
  return new Promise((done, fail) => {
    const request = http.request(base + path, { method: 'POST', agent, headers: { 'content-type': 'application/json' } }, (answer) => {
      let text = '';
      answer.on('data', (part) => (text += part)).on('end', () => done({ status: answer.statusCode, text }));
    });
    request.on('error', fail).end(JSON.stringify(body ?? {}));
  });
}

// So many calls a second, over chains, strategies and methods; each of them is an event of its own to the page.
function load(rate) {
  const any = (list) => list[Math.floor(Math.random() * list.length)];
  const methods = [['eth_blockNumber', []], ['eth_getBalance', [`0x${'0'.repeat(40)}`, 'latest']], ['eth_gasPrice', []], ['eth_getBlockByNumber', ['latest', false]]];
  const begun = performance.now();
  let [sent, answered] = [0, 0];
  const timer = setInterval(() => {
    for (const due = Math.floor(((performance.now() - begun) / 1000) * rate); sent < due; sent += 1) {
      const [method, params] = any(methods);
      const path = `/rpc/${any(['', 'fastest/', 'load-balanced/', 'latency-weighted/'])}${any(['ethereum', 'base', 'arbitrum'])}`;
      post(path, { jsonrpc: '2.0', id: sent, method, params }).then(() => (answered += 1), () => {});
    }
  }, 20);
  return {
    stop() {
      clearInterval(timer);
      // A kept connection may end under a call; most calls must be answered, else the page was shown an idle node.
      assert.ok(answered > 0.9 * sent, `${answered} of ${sent} calls were answered`);
    },
  };
}

// ── the states of the page ───────────────────────────────────────────────────────────────────────────────────────────

// `text` is what a reader must find, `parts` what must be drawn.
const STATES = [
  { name: 'overview', query: '', text: ['Demo', 'ethereum', 'base', 'arbitrum', 'meridian', 'rubble', 'Healthy', 'Lagging'] },
  { name: 'chain', query: '?chain=base', text: ['Send calls to', '/rpc/base', '/ws/rpc/base', 'Latest block', 'yesterday', 'Last decision'] },
  { name: 'provider', query: '?chain=base&provider=yesterday', text: ['yesterday', 'blocks behind', 'Circuits', 'Sync', 'Why does it get'] },
  { name: 'metrics', query: '?tab=metrics&chain=ethereum', text: ['Providers', 'p99/p50', 'homestead', 'By method', 'eth_getBalance'], parts: ['.v-ridge .v-line', '.v-bar rect'] },
  { name: 'curves', query: '?tab=metrics&chain=ethereum', text: ['Latency distribution'], parts: ['.v-ridge .v-line'], act: curves },
  { name: 'regions', query: '?tab=regions', text: ['A single node', 'seen from here', 'meridian', 'rubble', 'ms'] },
  { name: 'system', query: '?tab=system', text: ['shard-0', 'control', 'Streams', 'Memory', 'Refused'], parts: ['.v-spark-line'] },
  { name: 'tester', query: '?tab=tester', text: ['Request tester', 'eth_gasPrice'], act: runTester },
  { name: 'explain', query: '?tab=explain&chain=base&provider=yesterday&method=eth_getBalance', text: ['In this order', 'yesterday:', 'behind the chain', 'max_lag_blocks', 'meridian'] },
];

async function curves(page) {
  await page.getByRole('button', { name: 'Percentile curves' }).click();
  await page.waitForSelector('path.v-curve');
  await page.locator('.v-plot').focus();
  await page.keyboard.press('ArrowRight');
  await shows(page, ['calls within'], '#v-readout');
}

// A short run with everything in it: two transports would be two runs, so over WebSocket, with a method that fails.
async function runTester(page) {
  const pick = (group, name) => page.getByRole('group', { name: group, exact: true }).getByRole('button', { name, exact: true }).click();
  await page.getByLabel('another one').check();
  await page.getByLabel('Method', { exact: true }).fill('eth_nothingOfTheKind');
  await pick('Transport', 'WebSocket');
  await pick('Calls a second', '15');
  await pick('Run time', '10 s');
  await pick('Sockets that follow newHeads', '2');
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await shows(page, ['running', 'Who answered', 'Errors by kind', 'does not exist', 'subscribed', 'eth_nothingOfTheKind', 'In flight'], '[aria-labelledby="v-results"]');
}

async function everyState(folder) {
  const wrong = [];
  let shots = 0;
  for (const scheme of ['dark', 'light']) {
    for (const size of SIZES) {
      const { page, missteps, close } = await open({ size, scheme });
      for (const { name, query, text, parts = [], act } of STATES) {
        const called = `${name}-${scheme}-${size[0]}`;
        await page.goto(`${base}/dashboard/default${query}`);
        await shows(page, text);
        for (const part of parts) await page.waitForSelector(part, { state: 'attached' });
        await act?.(page);
        await shows(page, ['Live'], '#top');
        const excess = await wide(page);
        if (excess > 0) wrong.push(`${called}: ${excess} px wider than the screen`);
        // The widest screen has the tree of the middle one.
        if (size !== SIZES.at(-1)) wrong.push(...(await accessible(page, called)));
        await page.evaluate(() => scrollTo(0, 0));
        await page.screenshot({ path: join(folder, `${called}.png`), fullPage: true });
        shots += 1;
        say(called);
      }
      wrong.push(...missteps.map((text) => `${scheme} ${size}: ${text}`));
      await close();
    }
  }
  assert.deepEqual(wrong, []);
  say(`${shots} states: complete, within the screen, nothing on the console, no other origin, axe finds nothing serious`);
}

// ── arithmetic ───────────────────────────────────────────────────────────────────────────────────────────────────────

// The functions that the pictures are drawn with, as the node serves them.
async function arithmetic() {
  const text = await (await fetch(`${base}/dashboard/assets/histogram.js`)).text();
  const { binned, extent, merged, quantile, share, steadiness, ticks, total } = await import(`data:text/javascript,${encodeURIComponent(text)}`);
  const some = [[1, 50], [2, 40], [10, 9], [100, 1]];
  const [low, high] = extent([some]);
  for (const [got, wanted] of [
    [total(some), 100], [total([]), 0],
    [[0, 0.5, 0.51, 0.9, 0.95, 0.99, 0.991, 1].map((q) => quantile(some, q)), [1, 1, 2, 2, 10, 10, 100, 100]], [quantile([], 0.5), null],
    [[0.5, 1, 9.9, 10, 1e9].map((ms) => share(some, ms)), [0, 0.5, 0.9, 0.99, 1]], [share([], 1), 0],
    [merged([some, [[1, 1], [3, 7]], []]), [[1, 51], [2, 40], [3, 7], [10, 9], [100, 1]]],
    [[low < 1, high > 100], [true, true]], [extent([[], []]), [1, 1000]],
    [ticks([0.8, 25]), [1, 2, 5, 10, 20]], [ticks([0.01, 100000]), [0.01, 0.1, 1, 10, 100, 1000, 10000, 100000]],
    [total(binned(some, [low, high], 12).map((count) => [0, count])), 100],
    [[[10, 19], [10, 20], [10, 49], [10, 50]].map(([p50, p99]) => steadiness(p50, p99).word), ['good', 'acceptable', 'acceptable', 'poor']],
    [[steadiness(null, 3), steadiness(0, 3), steadiness(3, undefined)], [null, null, null]],
  ]) assert.deepEqual(got, wanted);
}

// ── the keyboard ─────────────────────────────────────────────────────────────────────────────────────────────────────

async function keyboard() {
  const { page, missteps, close } = await open({ init: nameFocusable });
  for (const { name, query, text } of STATES.filter(({ name }) => name !== 'curves')) {
    await page.goto(`${base}/dashboard/default${query}`);
    await shows(page, text);
    const { wanted, missed, blind } = await walkByTab(page);
    assert.deepEqual(missed, [], `${name}: not reached by Tab`);
    assert.deepEqual(blind, [], `${name}: focused without a visible outline`);
    say(`${name}: ${wanted} places for Tab, all reached`);
  }
  // From the picture to the answer without a mouse: a provider, why it gets no calls, and back to another tab.
  await page.goto(`${base}/dashboard/default`);
  await shows(page, STATES[0].text);
  await page.locator('svg [role="button"][tabindex="0"]').first().focus();
  await page.keyboard.press('Enter');
  await page.waitForURL(/chain=/);
  await page.goto(`${base}/dashboard/default?chain=base&provider=yesterday`);
  await page.getByRole('link', { name: /Why does it get/ }).focus();
  await page.keyboard.press('Enter');
  await shows(page, ['yesterday:', 'it is behind the chain']);
  await page.getByRole('link', { name: 'System', exact: true }).focus();
  await page.keyboard.press('Enter');
  await shows(page, ['shard-0']);
  assert.deepEqual(missteps, []);
  await close();
}

// What is typed stays typed while answers come in, and the address follows.
async function typing() {
  const { page, missteps, close } = await open();
  await page.goto(`${base}/dashboard/default?tab=explain&chain=ethereum`);
  const field = page.getByLabel('Method', { exact: true });
  await field.fill('');
  await field.pressSequentially('eth_getCode', { delay: 30 });
  const asked = (answer) => answer.url().includes('/eth_getCode');
  for (let round = 0; round < 2; round += 1) await page.waitForResponse(asked);
  assert.equal(await field.inputValue(), 'eth_getCode');
  assert.ok(await field.evaluate((part) => part === document.activeElement), 'the field lost its focus');
  await page.getByLabel('Block').fill('0x10');
  await page.waitForURL(/method=eth_getCode/);
  await shows(page, ['no archive', 'The block is old']);
  await page.getByLabel('Block').fill('soon');
  await shows(page, ['no block "soon"']);
  assert.deepEqual(missteps.filter((text) => !text.includes('status of 400')), []);
  await close();
}

// ── a provider is taken out ──────────────────────────────────────────────────────────────────────────────────────────

async function killed() {
  const { page, missteps, close } = await open();
  const took = [];
  // On a busy machine a second can pass in the browser's queue: the best of three is the page's own time.
  for (let round = 0; round < 3 && !took.some((ms) => ms <= 1_000); round += 1) {
    await page.goto(`${base}/dashboard/default?chain=ethereum&provider=harbor`);
    await shows(page, ['Healthy'], 'aside, .panel');
    const order = await post('/api/breakers/default/ethereum/harbor/open');
    assert.equal(order.status, 200, order.text);
    const begun = performance.now();
    // The panel's verdict, not its list of what happened earlier.
    await page.waitForFunction(() => /held open by hand/i.test(document.querySelector('.verdict.s-circuit_open')?.textContent));
    took.push(performance.now() - begun);
    await post('/api/breakers/default/ethereum/harbor/auto');
    await page.waitForFunction(() => !document.querySelector('.verdict.s-circuit_open'));
  }
  // Half-open for a while; whoever comes next finds it as it was.
  await page.waitForSelector('.verdict.s-healthy');
  say(`a provider whose circuit was opened was shown so, with the reason, after ${took.map((ms) => `${ms.toFixed(0)} ms`)}`);
  assert.ok(took.some((ms) => ms <= 1_000), 'later than within a second');
  assert.deepEqual(missteps, []);
  await close();
}

// A run that is left alone ends, and all its calls are accounted for.
async function runEnds() {
  const { page, missteps, close } = await open();
  await page.goto(`${base}/dashboard/default?tab=tester`);
  await page.getByRole('group', { name: 'Run time', exact: true }).getByRole('button', { name: '10 s', exact: true }).click();
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await page.waitForFunction(() => document.querySelector('[role="status"].visually-hidden')?.textContent.startsWith('The run has ended'));
  const said = await page.locator('[role="status"].visually-hidden').textContent();
  const [, ok, all] = said.match(/(\d+) of (\d+) calls/).map(Number);
  say(said);
  assert.ok(all >= 30 && all <= 50 && ok > 0, said);
  assert.deepEqual(missteps, []);
  await close();
}

// ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const TABS = ['Metrics', 'Overview', 'System', 'Overview', 'Regions', 'Overview', 'Explain', 'Overview'];

async function remembering(seconds) {
  const { page, missteps, close } = await open();
  await page.goto(`${base}/dashboard/default`);
  await shows(page, STATES[0].text);
  await memory(page, seconds, (page, turn) => toTab(page, TABS[turn % TABS.length]));
  assert.deepEqual(missteps, []);
  await close();
}

// ── ten chains of thirty providers ───────────────────────────────────────────────────────────────────────────────────

// Times between frames since `measure` was called.
const watchFrames = () => {
  const frames = [];
  let last = null;
  const tick = (now) => {
    if (last !== null) frames.push(now - last);
    last = now;
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
  globalThis.measure = () => (frames.length = 0);
  globalThis.measured = () => frames.toSorted((a, b) => a - b);
};

// Tasks of the page's main thread, in ms of its processor time: what else the machine does is no fault of the page.
async function tasks(page, during) {
  await browser.startTracing(page, { categories: ['__metadata', 'toplevel', 'disabled-by-default-devtools.timeline'] });
  await during();
  const { traceEvents } = JSON.parse(String(await browser.stopTracing()));
  const place = ({ pid, tid }) => `${pid}:${tid}`;
  const main = new Set(traceEvents.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain').map(place));
  const times = traceEvents.filter((event) => event.name === 'RunTask' && main.has(place(event)) && event.tdur !== undefined).map(({ tdur, dur }) => [tdur / 1000, dur / 1000]);
  assert.ok(times.length > 50, `a trace of ${times.length} tasks says nothing`);
  return { longest: Math.max(...times.map(([own]) => own)), wall: Math.max(...times.map(([, wall]) => wall)), busy: times.reduce((sum, [own]) => sum + own, 0) };
}

async function scale() {
  const served = await serveScale(base, { chains: 10, providers: 30, rate: 60 });
  const { page, missteps, close } = await open({ at: served.url, size: [1920, 1080], init: watchFrames });
  const views = [['overview', '', 10], ['chain', '?chain=chain-3', 5], ['provider', '?chain=chain-3&provider=provider-07', 5], ['metrics', '?tab=metrics&chain=chain-3', 10], ['system', '?tab=system', 5], ['regions', '?tab=regions&chain=chain-3&provider=provider-07', 10], ['together', '?tab=metrics&chain=chain-3&whose=cluster', 5], ['explain', '?tab=explain&chain=chain-3', 5]];
  const wrong = [];
  for (const [name, query, seconds] of views) {
    await page.goto(`${served.url}/dashboard/default${query}`);
    await shows(page, name === 'system' ? ['shard-14'] : name === 'overview' ? ['chain-3', 'chain-10'] : ['chain-3', 'provider-07']);
    await shows(page, ['Live'], '#top');
    let longest = Infinity;
    // What a host takes away from a virtual machine counts as processor time too: the best of three is the page's own.
    for (let round = 0; round < 3 && longest > LONGEST_TASK_MS; round += 1) {
      await page.evaluate(() => globalThis.measure());
      const during = await tasks(page, () => page.waitForTimeout(seconds * 1000));
      const frames = await page.evaluate(() => globalThis.measured());
      longest = Math.min(longest, during.longest);
      say(`${name}: in ${seconds} s ${frames.length} frames, p95 ${frames[Math.floor(frames.length * 0.95)]?.toFixed(0)} ms; longest task ${during.longest.toFixed(0)} ms of processor time (${during.wall.toFixed(0)} ms by the clock); busy ${((during.busy / seconds) / 10).toFixed(0)} %`);
    }
    if (longest > LONGEST_TASK_MS) wrong.push(`${name}: a task of ${longest.toFixed(0)} ms`);
    if (extra) await page.screenshot({ path: join(extra, `scale-${name}.png`), fullPage: true });
  }
  served.close();
  assert.deepEqual([...wrong, ...missteps], []);
  await close();
}

try {
  if (extra && mode !== 'memory') mkdirSync(extra, { recursive: true });
  if (mode === 'check') {
    const traffic = load(40);
    await arithmetic();
    await killed();
    await keyboard();
    await typing();
    await runEnds();
    await everyState(extra);
    traffic.stop();
  } else if (mode === 'memory') {
    const traffic = load(60);
    await remembering(Number(extra ?? 60));
    traffic.stop();
  } else {
    await scale();
  }
} finally {
  await browser.close();
  agent.destroy();
}
say(`${mode}: right`);
