// The request tester: sends real calls through this node from the browser and shows who answered, how fast and how often not.
// The engine is runner.js; a run ends by itself, with its time, and with the tab.

import { paths } from './api.js';
import { bar, sparkline } from './charts.js';
import { copyButton, empty, fmt, h, stat } from './dom.js';
import { act, painter } from './morph.js';
import { body, cell, head, note, providerLink, segmented, table, title } from './parts.js';
import { CONCURRENCY, RATES, Run, readParams } from './runner.js';

const REDRAW_MS = 250;
const ZERO = '0x0000000000000000000000000000000000000000';
const PRESETS = [
  { method: 'eth_blockNumber', params: [] },
  { method: 'eth_getBalance', params: [ZERO, 'latest'] },
  { method: 'eth_getBlockByNumber', params: ['latest', false] },
  { method: 'eth_gasPrice', params: [] },
  { method: 'eth_chainId', params: [], hint: 'answered by the node itself' },
];
const STRATEGIES = [
  ['load-balanced', 'Load-balanced', 'Any of the fit providers, at random'],
  ['priority', 'Priority', 'In the order of the configuration'],
  ['fastest', 'Fastest', 'The one with the least latency lately'],
  ['latency-weighted', 'Latency-weighted', 'At random, the faster the likelier'],
];
const SECONDS = [[10, '10 s'], [30, '30 s'], [60, '1 min'], [300, '5 min']];
const SOCKETS = [[0, 'none'], [1, '1'], [2, '2'], [5, '5']];
const numbers = (choices) => choices.map(([value, text]) => [String(value), text]);

export function mount(root, app) {
  const { store } = app;
  const known = store.chains.map(({ chain }) => chain);
  const form = {
    chains: new Set(store.chain ? [store.chain] : known.slice(0, 3)),
    strategy: 'load-balanced',
    transport: 'http',
    methods: new Set(['eth_blockNumber', 'eth_getBalance']),
    own: { on: false, method: store.method ?? 'eth_getCode', params: `["${ZERO}", "latest"]` },
    rate: 5,
    seconds: 30,
    sockets: 0,
  };
  const page = { run: null, beats: [], ticker: 0, said: '' };
  const settings = h('section', { class: 'card', 'aria-labelledby': 'v-plan' });
  const results = h('section', { class: 'card', 'aria-labelledby': 'v-results' });
  // Said once at the begin and once at the end, not with every figure.
  const announced = h('p', { class: 'visually-hidden', role: 'status' });
  root.append(h('div', {}, title('Request tester'), note('Real calls through this node, from this browser. They count in the node’s figures and use up providers’ limits.')), h('div', { class: 'v-tester' }, settings, results), announced);

  const address = (scheme, chain) => paths.endpoint(scheme, store.profile, chain, form.strategy);
  const plan = painter(settings, () => drawPlan(form, page, store, address));
  const outcome = painter(results, () => drawResults(page, form, app));

  const tick = () => {
    const { run } = page;
    page.beats.push(run.succeeded + run.failed);
    if (page.beats.length > 240) page.beats = page.beats.filter((_, index) => index % 2 === 1);
    outcome.paint();
  };
  const finish = () => {
    clearInterval(page.ticker);
    page.ticker = 0;
  };
  const changed = () => {
    const { run } = page;
    if (!run) return;
    const over = run.state === 'ended' || run.state === 'stopped';
    if (over) finish();
    announced.textContent = over ? `The run has ${run.state}: ${run.succeeded} of ${run.succeeded + run.failed} calls succeeded` : 'The run has begun';
    plan.paint();
    outcome.paint();
  };
  const start = () => {
    const calls = chosen(form);
    if (problem(form) || calls.length === 0) return;
    page.run?.stop();
    finish();
    Object.assign(page, { run: null, beats: [] });
    const fixed = form.strategy;
    const ports = { rpc: app.api.rpc, address: (scheme, chain) => paths.endpoint(scheme, store.profile, chain, fixed), socket: (to) => new WebSocket(to), changed };
    page.run = new Run({ chains: [...form.chains], calls, rate: form.rate, seconds: form.seconds, transport: form.transport, sockets: form.sockets }, ports);
    page.ticker = setInterval(tick, REDRAW_MS);
    changed();
  };
  const toggle = (set, value) => (set.has(value) ? set.delete(value) : set.add(value));
  const set = (change) => (value) => {
    change(value);
    plan.paint();
  };
  const end = act(root, {
    chain: set((key) => toggle(form.chains, key)),
    method: set((name) => toggle(form.methods, name)),
    own: set(() => (form.own.on = !form.own.on)),
    'own-method': set((name) => (form.own.method = name.trim())),
    'own-params': set((text) => (form.own.params = text)),
    strategy: set((word) => (form.strategy = word)),
    transport: set((word) => (form.transport = word)),
    rate: set((rate) => (form.rate = Number(rate))),
    seconds: set((seconds) => (form.seconds = Number(seconds))),
    sockets: set((count) => (form.sockets = Number(count))),
    start,
    stop: () => page.run?.stop(),
  });
  // Another profile has other chains.
  let profile = store.profile;
  const turned = () => {
    if (store.profile === profile) return;
    profile = store.profile;
    page.run?.stop();
    form.chains = new Set(store.chains.map(({ chain }) => chain).slice(0, 3));
    plan.paint();
  };
  store.addEventListener('selection', turned);
  plan.paint();
  outcome.paint();
  return () => {
    store.removeEventListener('selection', turned);
    page.run?.stop();
    finish();
    end();
    plan.close();
    outcome.close();
  };
}

function chosen(form) {
  const presets = PRESETS.filter(({ method }) => form.methods.has(method));
  return form.own.on ? [...presets, { method: form.own.method, params: readParams(form.own.params).params }] : presets;
}

// Why a run cannot begin.
function problem(form) {
  if (form.chains.size === 0) return 'Choose a chain';
  if (form.methods.size === 0 && !form.own.on) return 'Choose a method';
  if (!form.own.on) return null;
  return form.own.method === '' ? 'Name your method' : (readParams(form.own.params).problem ?? null);
}

const group = (legend, ...content) => h('fieldset', { class: 'field' }, h('legend', { class: 'v-label' }, legend), content);
const check = (action, value, on, label, hint) =>
  h('label', { class: 'check', 'data-key': value }, h('input', { type: 'checkbox', 'data-act': action, 'data-value': value, checked: on }), label, hint && h('span', { class: 'faint tiny' }, hint));

function drawPlan(form, page, store, address) {
  const running = page.run?.state === 'running';
  const wrong = problem(form);
  const first = [...form.chains][0];
  const shown = first && address(form.transport, first);
  return h(
    'div',
    {},
    head('v-plan', 'What to send'),
    body(
      group('Chains', h('div', { class: 'v-checks' }, store.chains.map(({ chain }) => check('chain', chain, form.chains.has(chain), chain)))),
      group('Methods', h('div', { class: 'v-checks v-list' }, PRESETS.map(({ method, hint }) => check('method', method, form.methods.has(method), h('code', {}, method), hint)), check('own', 'own', form.own.on, 'another one'))),
      form.own.on && own(form.own),
      group('Strategy', segmented('Strategy', 'strategy', STRATEGIES, form.strategy), note(STRATEGIES.find(([word]) => word === form.strategy)[2])),
      h(
        'div',
        { class: 'v-row' },
        group('Over', segmented('Transport', 'transport', [['http', 'HTTP'], ['ws', 'WebSocket']], form.transport)),
        group('Calls a second', segmented('Calls a second', 'rate', RATES.map((rate) => [String(rate), String(rate)]), String(form.rate))),
        group('For', segmented('Run time', 'seconds', numbers(SECONDS), String(form.seconds))),
        group('Sockets that follow newHeads', segmented('Sockets that follow newHeads', 'sockets', numbers(SOCKETS), String(form.sockets))),
      ),
      shown && h('div', { class: 'v-url', 'data-key': shown }, h('code', {}, shown), copyButton(shown, 'Copy this URL')),
      h(
        'div',
        { class: 'toolbar' },
        running
          ? h('button', { type: 'button', class: 'button danger', 'data-act': 'stop', 'data-key': 'stop' }, 'Stop')
          : h('button', { type: 'button', class: 'button primary', 'data-act': 'start', 'data-key': 'start', disabled: wrong !== null }, page.run ? 'Start again' : 'Start'),
        h('p', { class: wrong ? 'bad small' : 'muted small' }, wrong ?? `At most ${form.rate * form.seconds} calls, ${CONCURRENCY} at a time.`),
      ),
    ),
  );
}

const own = ({ method, params }) =>
  h(
    'div',
    { class: 'stack', 'data-key': 'own-fields' },
    h('div', { class: 'field' }, h('label', { for: 'v-own-method' }, 'Method'), h('input', { id: 'v-own-method', class: 'input mono', 'data-act': 'own-method', value: method, spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off' })),
    h('div', { class: 'field' }, h('label', { for: 'v-own-params' }, 'Parameters, as JSON'), h('textarea', { id: 'v-own-params', class: 'textarea', rows: '3', 'data-act': 'own-params', 'data-own': '', spellcheck: 'false' }, params)),
  );

const WORDS = { running: 'running', ending: 'waiting for the last answers', ended: 'ended', stopped: 'stopped' };

function drawResults(page, form, app) {
  const { run } = page;
  if (!run) return h('div', {}, head('v-results', 'Results'), empty('Nothing sent yet', 'Choose what to send and press Start. Five calls a second for half a minute is the usual quick look.'));
  const done = run.succeeded + run.failed;
  const beats = page.beats.map((count, index) => count - (page.beats[index - 1] ?? 0));
  return h(
    'div',
    {},
    head('v-results', 'Results', h('span', { class: 'muted small' }, `${WORDS[run.state]}, ${fmt.duration(run.elapsed_s)}`)),
    body(
      h(
        'dl',
        { class: 'stats v-stats' },
        stat('Succeeded', fmt.count(run.succeeded)),
        stat('Errors', h('span', { class: run.failed > 0 ? 'bad' : null }, fmt.count(run.failed))),
        stat('Success', fmt.percent(done > 0 ? run.succeeded / done : null)),
        stat('p50', fmt.ms(run.latency(0.5))),
        stat('p95', fmt.ms(run.latency(0.95))),
        stat('In flight', fmt.count(run.in_flight)),
        stat('Repeated', fmt.count(run.retries), { title: 'Calls that the node repeated at another provider' }),
        stat('Left out', fmt.count(run.left_out), { title: `Not sent because ${CONCURRENCY} calls were under way` }),
      ),
      sparkline(beats, 'Answers over the run'),
      run.errors.size > 0 && failures(run),
      distribution(run, form, app),
      run.heads.length > 0 && heads(run),
      calls(run),
      run.answer && h('details', { 'data-key': 'answer' }, h('summary', {}, `The last answer, with what the node says of it: ${run.answer.method} on ${run.answer.chain}`), h('pre', { class: 'v-pre', tabindex: '0', 'aria-label': 'The last answer' }, run.answer.text)),
    ),
  );
}

const failures = (run) =>
  h('div', { 'data-key': 'errors' }, h('h3', {}, 'Errors by kind'), table('Errors by kind', [['Error'], ['Calls', 'num']], [...run.errors].sort(([, a], [, b]) => b - a).map(([kind, count]) => h('tr', { 'data-key': kind }, h('td', { class: 'bad' }, kind), cell(fmt.count(count))))));

// Names that are no provider: the answer came from elsewhere, or not at all.
const NOBODY = ['the node itself', 'none'];

function distribution(run, form, app) {
  const rows = [...run.providers].sort(([, a], [, b]) => b.calls - a.calls);
  const done = run.succeeded + run.failed;
  if (rows.length === 0) return null;
  const chain = form.chains.size === 1 ? [...form.chains][0] : null;
  const line = ([id, { calls, failed, total_ms: total }]) =>
    h(
      'tr',
      { 'data-key': id },
      h('th', { scope: 'row', class: 'v-clip' }, chain && !NOBODY.includes(id) ? providerLink(app, chain, id, { glyph: true }) : id),
      h('td', { class: 'v-card-bar' }, bar([[calls / done, 'v-bar-half'], [failed / done, 'v-bar-bad']])),
      cell(fmt.percent(calls / done)),
      cell(fmt.count(calls)),
      h('td', { class: failed > 0 ? 'num bad' : 'num' }, fmt.count(failed)),
      cell(fmt.ms(total / calls)),
    );
  return h('div', { 'data-key': 'providers' }, h('h3', {}, 'Who answered'), table('Who answered', [['Provider'], ['', 'v-card-bar'], ['Share', 'num'], ['Calls', 'num'], ['Errors', 'num'], ['Mean', 'num']], rows.map(line)));
}

const heads = (run) =>
  h(
    'div',
    { 'data-key': 'heads' },
    h('h3', {}, 'Sockets that follow newHeads'),
    table('Sockets that follow newHeads', [['Chain'], ['State'], ['Heads', 'num'], ['Height', 'num'], ['Last', 'num']], run.heads.map(({ key, chain, state, count, height, at }) => h('tr', { 'data-key': key }, h('th', { scope: 'row' }, chain), h('td', { class: 'v-whole' }, state), cell(fmt.count(count)), cell(fmt.whole(height)), cell(at ? fmt.ago(at) : '–')))),
  );

const calls = (run) =>
  run.last.length > 0 &&
  h(
    'div',
    { 'data-key': 'calls' },
    h('h3', {}, 'Last calls'),
    table(
      'Last calls',
      [['Time'], ['Chain'], ['Method'], ['Provider'], ['Took', 'num'], ['Result']],
      run.last.slice(0, 20).map(({ key, at, chain, method, provider, protocol, retries, ms, error }) =>
        h(
          'tr',
          { 'data-key': key },
          h('td', { class: 'faint v-whole' }, fmt.time(at)),
          h('td', { class: 'v-whole' }, chain),
          h('td', { class: 'v-whole' }, h('code', {}, method)),
          h('td', { class: 'v-whole' }, provider, protocol && h('span', { class: 'faint' }, ` ${protocol}`), retries > 0 && h('span', { class: 'warn' }, ` after ${retries} ${retries === 1 ? 'other' : 'others'}`)),
          cell(fmt.ms(ms)),
          h('td', { class: error ? 'bad v-said' : 'good v-said', title: error }, error ?? 'ok'),
        ),
      ),
      { class: 'scroll-x v-last' },
    ),
  );
