// The page of one of three nodes, each in a region of its own: node regions.mjs URL FOLDER. Each node serves the same providers; which of
// them is in trouble where is the test's doing (tests/node/regions.rs). When this says "kill us" the node of that region is killed.
// Exit 0 when the page is right. Screenshots go to FOLDER, to be looked at.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { accessible, launch, memory, nameFocusable, openPage, say, shows, toTab, walkByTab, wide } from './browsing.mjs';

const [base, folder] = process.argv.slice(2);
// A killed node is disconnected within 40 s.
const GONE_MS = 55_000;
const REFRESH_MS = 5_000;

const browser = await launch();
const open = (how = {}) => openPage(browser, { at: base, ...how });
const tab = (query) => `${base}/dashboard/default?tab=regions${query ?? ''}`;
const isScoped = (url) => /[?&](scope|region|node)=/.test(url);
const answerTo = async (page, part) => (await page.waitForResponse((answer) => answer.url().includes('/api/metrics/') && answer.url().includes(part) && answer.status() === 200)).json();
const picture = (page, name) => page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });

// Texts of a table's row, by the name of its first cell.
const row = (page, table, name) =>
  page.evaluate(([table, name]) => {
    const rows = [...document.querySelectorAll(`table[aria-label="${table}"] tbody tr`)];
    return [...(rows.find((row) => row.firstChild.textContent.trim().startsWith(name))?.children ?? [])].map((cell) => cell.textContent.trim());
  }, [table, name]);

// ── rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────

// The functions that the comparison is made with, as the node serves them.
async function rules() {
  const text = await (await fetch(`${base}/dashboard/assets/trouble.js`)).text();
  const { chartOf, circuitWords, marksOf, shades, silentRegions } = await import(`data:text/javascript,${encodeURIComponent(text)}`);
  const circuits = (closed, half_open, open) => ({ closed, half_open, open });
  const cell = (calls, success, p95, open = 0) => ({ circuits: circuits(1 - open, 0, open), last_hour: { total_calls: calls, success_rate: success, p95_latency_ms: p95 } });
  const words = (here, ...others) => marksOf(here, others, 'last_hour').map(({ text }) => text);
  for (const [got, wanted] of [
    [[circuits(0, 0, 0), circuits(2, 0, 0), circuits(1, 1, 0), circuits(0, 2, 0), circuits(1, 0, 1), circuits(0, 0, 2)].map((c) => circuitWords(c)[0]), ['not known', 'closed', 'half-open: 1 of 2', 'half-open', 'open: 1 of 2', 'open']],
    [words(cell(100, 1, 40)), []],
    [words(cell(100, 1, 40, 1)), ['circuit open']],
    // A rate of few calls says nothing; one that is exactly enough is fine.
    [words(cell(9, 0, 40)), []], [words(cell(10, 0.949, 40)), ['94% succeed']], [words(cell(10, 0.95, 40)), []],
    // Slow is twice the middle of the others, and 50 ms more than that.
    [words(cell(100, 1, 301), cell(100, 1, 100), cell(100, 1, 200)), ['p95 2.0× the others']], [words(cell(100, 1, 300), cell(100, 1, 100), cell(100, 1, 200)), []],
    [words(cell(100, 1, 30), cell(100, 1, 3)), []], [words(cell(19, 1, 900), cell(100, 1, 3)), []], [words(cell(100, 1, 900), cell(19, 1, 3)), []], [words(cell(100, 1, 900)), []],
    [[...silentRegions([{ region: 'a', self: true, state: 'responding' }, { region: 'b', state: 'unresponsive' }, { region: 'b', state: 'responding' }, { region: 'c', state: 'disconnected' }, { region: null, state: 'discovering' }])], ['c']],
    [[1, 9, 10, 99, 100].map(shades([1, null, 100], 2).of), [0, 0, 1, 1, 1]], [shades([], 5).bounds, []], [shades([10, 11], 5).bounds, [[10, 11]]], [shades([1, 100], 2).bounds.map((pair) => pair.map(Math.round)), [[1, 10], [10, 100]]],
  ]) assert.deepEqual(got, wanted);
  // A region that only a node's card names is a column without figures.
  const chart = chartOf({ nodes: [{ region: 'eu', self: true }, { region: 'us', state: 'disconnected' }], regions: [{ region: 'eu' }], providers: [{ id: 'a', regions: [{ region: 'eu', ...cell(1, 1, 1) }] }] }, 'last_hour');
  assert.deepEqual([chart.regions, [...chart.silent], [...chart.rows[0].cells.keys()]], [['eu', 'us'], ['us'], ['eu']]);
}

// ── what a person finds ──────────────────────────────────────────────────────────────────────────────────────────────

async function nodesAndRegions() {
  const { page, missteps, close } = await open();
  await page.goto(tab());
  await shows(page, ['3 of 3 nodes responding', 'eu-1', 'us-1', 'ap-1', 'this node', 'Regions compared', 'alchemy in us: circuit open, 0% succeed', 'infura in ap:', '% succeed', 'llama in us: p95', '× the others']);
  for (const [name, region] of [['eu-1', 'eu'], ['us-1', 'us'], ['ap-1', 'ap']]) {
    const [, place, address, state, version, revision, seen, clock] = await row(page, 'Nodes', name);
    assert.deepEqual([place, state, revision], [region, 'responding', '1'], name);
    assert.match(address, /^127\.0\.0\.1:\d+$/);
    assert.match(version, /^\d+\.\d+\.\d+$/);
    assert.match(seen, name === 'eu-1' ? /^now$/ : /^\d+ s$/);
    assert.match(clock, name === 'eu-1' ? /^–$/ : /^[+-]?\d+ ms$/);
  }
  // What the tables show is what the node answered.
  const answer = await answerTo(page, 'scope=cluster');
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  const of = (id) => answer.providers.find((provider) => provider.id === id);
  const wanted = await page.evaluate(async (windows) => {
    const { fmt } = await import('/dashboard/assets/dom.js');
    return windows.map((w) => [fmt.ms(w.avg_latency_ms), fmt.ms(w.p50_latency_ms), fmt.ms(w.p95_latency_ms), fmt.ms(w.p99_latency_ms), fmt.percent(w.success_rate), fmt.count(w.total_calls)]);
  }, [of('llama').last_hour, of('infura').last_hour]);
  for (const [index, id] of ['llama', 'infura'].entries()) assert.deepEqual((await row(page, 'Providers over all nodes', id)).slice(1, 7), wanted[index], id);
  assert.equal(of('llama').regions.reduce((sum, cell) => sum + cell.last_hour.total_calls, 0), of('llama').last_hour.total_calls);
  const cells = await row(page, 'Latency and success by provider and region', 'alchemy');
  assert.match(cells[3], /circuit open/, cells.join(' | '));
  assert.doesNotMatch(cells[1] + cells[2], /circuit/);
  const shade = (id, at) => page.evaluate(([id, at]) => {
    const rows = [...document.querySelectorAll('.v-heat tbody tr')];
    return getComputedStyle(rows.find((row) => row.firstChild.textContent === id).children[at]).backgroundColor;
  }, [id, at]);
  assert.notEqual(await shade('llama', 3), await shade('llama', 2), 'slow and fast have one shade');
  // What happens elsewhere is told with its place, and once.
  await shows(page, ['What happens on the nodes', 'us-1 (us)', 'alchemy on one over http: circuit open', 'ap-1 (ap)']);
  await byProvider(page);
  assert.deepEqual(missteps, []);
  await close();
}

// From a mark to the provider's regions, to another window, and nothing of it is lost by the next answer.
async function byProvider(page) {
  await page.getByRole('link', { name: 'llama in us: p95' }).click();
  await page.waitForURL(/provider=llama/);
  await shows(page, ['Provider: llama']);
  const [region, , p50] = await row(page, 'llama by region', 'us');
  assert.match(region, /^us/);
  assert.match(p50, /^1\d\d ms$/, 'it takes 150 ms there');
  assert.match((await row(page, 'llama by region', 'ap')).at(-2), /closed/);
  await page.getByRole('link', { name: 'alchemy', exact: true }).first().click();
  await shows(page, ['Provider: alchemy']);
  assert.match((await row(page, 'alchemy by region', 'us')).at(-2), /open/);
  const [hour] = [Number((await row(page, 'alchemy by region', 'eu'))[6])];
  const lines = page.getByRole('region', { name: 'Latency and success by provider and region' });
  await lines.evaluate((part) => Object.assign(part.querySelector('tbody'), { wasHere: true }));
  await page.getByRole('button', { name: 'Last minute' }).click();
  await shows(page, ['last minute. The stronger']);
  for (let round = 0; round < 2; round += 1) await answerTo(page, 'scope=cluster');
  assert.ok(await lines.evaluate((part) => part.querySelector('tbody').wasHere), 'the chart was made anew instead of brought up to date');
  assert.ok(hour > 0 && Number.isFinite(hour), `${hour} calls`);
}

// The same chain by one node, by all, by a region, by a node of it: the figures are those of the answer, the address says which.
async function scopes() {
  const { page, missteps, close } = await open();
  await page.goto(`${base}/dashboard/default?tab=metrics`);
  await shows(page, ['on this node', 'Figures of', 'This node', 'All nodes']);
  const press = (group, name) => page.getByRole('group', { name: group, exact: true }).getByRole('button', { name, exact: true }).click();
  const calls = {};
  for (const [group, name, part, words, url] of [
    ['Figures of', 'All nodes', 'scope=cluster', ['on all nodes', '3 of 3 nodes responding'], /whose=cluster/],
    ['Figures of', 'us', 'region=us', ['in region us', '1 of 1 nodes responding'], /whose=region%3Aus/],
    ['Nodes of us', 'us-1', 'node=us-1', ['on node us-1', '1 of 1 nodes responding'], /whose=node%3Aus-1/],
  ]) {
    const [answer] = await Promise.all([answerTo(page, part), press(group, name)]);
    await page.waitForURL(url);
    await shows(page, words);
    const rows = await row(page, 'Providers of the chain', '');
    assert.ok(rows.length > 0, `${name}: no providers`);
    calls[name] = answer.chain_performance.total_calls;
    await shows(page, ['eth_getBalance']);
  }
  assert.ok(calls['All nodes'] > calls.us && calls['us-1'] >= calls.us, JSON.stringify(calls));
  await picture(page, 'metrics-node');
  // It outlives a reload, and the chain's panel shows the same choice.
  await page.reload();
  await shows(page, ['on node us-1']);
  await page.goto(`${base}/dashboard/default?chain=one&whose=region%3Aus`);
  await shows(page, ['Figures of', '1 of 1 nodes responding']);
  assert.equal(await page.getByLabel('Figures of').inputValue(), 'region:us');
  await Promise.all([answerTo(page, 'scope=cluster'), page.getByLabel('Figures of').selectOption({ label: 'All nodes' })]);
  await page.waitForURL(/whose=cluster/);
  await shows(page, ['3 of 3 nodes responding']);
  await picture(page, 'chain-cluster');
  // A region that nobody is in is an answer, not an empty page.
  await page.goto(`${base}/dashboard/default?tab=metrics&whose=region%3Amoon`);
  await shows(page, ['Region not found']);
  assert.deepEqual(missteps.filter((text) => !text.includes('status of 404')), []);
  await close();
}

// Others' figures cost the others work: nobody asks for them where nobody sees them.
async function onlyWhileSeen() {
  const { page, missteps, close } = await open();
  const asked = [];
  page.on('request', (request) => isScoped(request.url()) && asked.push(request.url()));
  await page.goto(`${base}/dashboard/default?chain=one`);
  await shows(page, ['Send calls to']);
  for (const name of ['Metrics', 'System', 'Overview']) {
    await toTab(page, name);
    await page.waitForTimeout(REFRESH_MS / 2);
  }
  await page.waitForTimeout(REFRESH_MS);
  assert.deepEqual(asked, []);
  await Promise.all([answerTo(page, 'scope=cluster'), toTab(page, 'Regions')]);
  const ended = page.waitForEvent('requestfailed', (request) => request.url().includes('/api/events?scope=cluster'));
  await toTab(page, 'System');
  await ended;
  const before = asked.length;
  await page.waitForTimeout(REFRESH_MS * 1.5);
  assert.equal(asked.length, before, 'a tab that was left still asks');
  assert.deepEqual(missteps, []);
  await close();
}

async function looks() {
  const wrong = [];
  for (const scheme of ['dark', 'light']) {
    for (const size of [[320, 700], [1280, 800]]) {
      const { page, missteps, close } = await open({ size, scheme, init: nameFocusable });
      for (const [name, url, words] of [
        ['regions', tab('&provider=llama'), ['Provider: llama', '3 of 3 nodes responding', 'circuit open']],
        ['metrics', `${base}/dashboard/default?tab=metrics&whose=cluster`, ['on all nodes', 'eth_getBalance']],
        ['chain', `${base}/dashboard/default?chain=one&whose=region%3Aap`, ['Figures of', '1 of 1 nodes responding']],
      ]) {
        const called = `${name}-${scheme}-${size[0]}`;
        await page.goto(url);
        await shows(page, words);
        const excess = await wide(page);
        if (excess > 0) wrong.push(`${called}: ${excess} px wider than the screen`);
        wrong.push(...(await accessible(page, called)));
        await picture(page, called);
        say(called);
        if (scheme === 'light' || name === 'chain') continue;
        const { wanted, missed, blind } = await walkByTab(page);
        if (missed.length + blind.length > 0) wrong.push(`${called}: not reached by Tab ${missed}, without an outline ${blind}`);
        say(`${called}: ${wanted} places for Tab`);
      }
      wrong.push(...missteps.map((text) => `${scheme} ${size}: ${text}`));
      await close();
    }
  }
  assert.deepEqual(wrong, []);
}

// ── a region goes ────────────────────────────────────────────────────────────────────────────────────────────────────

async function killed() {
  const { page, missteps, close } = await open();
  await page.goto(tab('&provider=llama'));
  await shows(page, ['3 of 3 nodes responding']);
  const begun = Date.now();
  console.log('kill us');
  await shows(page, ['No node of region us answers', '2 of 3 nodes responding', 'no answer', 'old figures of us-1', 'Not all is fresh: us-1 is', 'node us-1 is disconnected'], '#view', GONE_MS);
  say(`a killed region was shown so after ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  const [, , , state] = await row(page, 'Nodes', 'us-1');
  assert.match(state, /unresponsive|disconnected/);
  await shows(page, ['2 of 3 nodes, stale'], '#top', 20_000);
  assert.ok((await row(page, 'Latency and success by provider and region', 'llama'))[3].includes('old'));
  assert.match((await row(page, 'llama by region', 'us')).at(-1), /^was /);
  await picture(page, 'killed-1280');
  assert.equal(await wide(page), 0);
  const found = await accessible(page, 'killed');
  await page.setViewportSize({ width: 320, height: 700 });
  assert.equal(await wide(page), 0);
  await picture(page, 'killed-320');
  assert.deepEqual([...found, ...missteps], []);
  await close();
}

async function remembering() {
  const { page, missteps, close } = await open();
  await page.goto(tab('&provider=llama&whose=cluster'));
  await shows(page, ['Provider: llama']);
  const tabs = ['Metrics', 'Regions', 'Overview', 'Regions'];
  await memory(page, 45, (page, turn) => toTab(page, tabs[turn % tabs.length]));
  assert.deepEqual(missteps, []);
  await close();
}

try {
  mkdirSync(folder, { recursive: true });
  await rules();
  await nodesAndRegions();
  await scopes();
  await onlyWhileSeen();
  await looks();
  await remembering();
  await killed();
} finally {
  await browser.close();
}
say('regions: right');
