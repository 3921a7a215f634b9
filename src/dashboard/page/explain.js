// "Why this provider?": what the node would do with a call of this kind at this moment, and for every provider why or why not.
// The node's own sieve answers (/api/explain), so this cannot drift from what happens; asked for again every 3 s while shown.

import { paths } from './api.js';
import { bar } from './charts.js';
import { failure, fmt, h, loading } from './dom.js';
import { act, latest, painter } from './morph.js';
import { body, cell, head, note, providerLink, segmented, table, title } from './parts.js';
import { statusClass, statusGlyph } from './status.js';

const REFRESH_MS = 3_000;
// A pause in typing after which the node is asked.
const TYPED_MS = 350;
const METHODS = ['eth_blockNumber', 'eth_getBalance', 'eth_getBlockByNumber', 'eth_call', 'eth_getLogs', 'eth_gasPrice', 'eth_getTransactionReceipt', 'eth_sendRawTransaction', 'eth_getCode', 'debug_traceTransaction'];

// Each stage in words for people: [label, the status whose colour and shape it borrows, sentence].
const STAGES = {
  candidate: ['may be chosen', 'healthy', 'Nothing speaks against it.'],
  unreachable: ['other transport', 'unknown', 'This call goes over the other transport, or no WebSocket to it is open at the moment.'],
  not_asked: ['not asked', 'unknown', 'Another provider is pinned, or the profile names others for this method.'],
  wrong_chain: ['wrong chain', 'wrong_chain', 'Its eth_chainId is another chain’s. Correct its url, or the chain_id.'],
  unsupported: ['lacks the method', 'misconfigured', 'Its capabilities exclude this method, or it lately answered that it does not have it.'],
  held_open: ['held open by hand', 'circuit_open', 'Held open by hand: no calls until an operator ends it.'],
  circuit_open: ['circuit open', 'circuit_open', 'It is left alone until a probe of ours tries it.'],
  half_open: ['being tried', 'recovering', 'Its circuit is half open: our probes try it, and calls wait for what they find.'],
  unfit: ['would refuse', 'misconfigured', 'It would reject these parameters: by a configured limit, or by one learnt from its errors.'],
};
// What puts a candidate behind the others, gravest first.
const DEMOTIONS = [
  ['is_forked', 'other fork', 'wrong_chain', 'it follows another fork than two others that agree, so it comes last'],
  ['is_misconfigured', 'misconfigured', 'misconfigured', 'it refuses our key or address, so it comes last'],
  ['is_pruned', 'no archive', 'misconfigured', 'the state asked for is old and it is not marked archival: true, so archives come first'],
  ['is_behind', 'behind', 'lagging', 'it is behind the chain or the block asked for, so the others come first'],
  ['is_rate_limited', 'rate limited', 'rate_limited', 'it asked for a pause, so the others come first'],
  ['is_vetoed_here', 'just failed', 'unsteady', 'it failed a moment ago on this shard, so the others come first'],
];
const STRATEGIES = [['', 'Default'], ['priority', 'Priority'], ['fastest', 'Fastest'], ['load-balanced', 'Load-balanced'], ['latency-weighted', 'Latency-weighted']];
const BASIS = {
  priority: 'Priority: ascending by the priority of the configuration; equals are drawn by lot.',
  fastest: 'Fastest: by the latency of the last minute for this method, divided by reliability. Who is not measured yet follows.',
  'load-balanced': 'Load-balanced: a new lot for every call; all that nothing speaks against have equal odds.',
  'latency-weighted': 'Latency-weighted: a lot for every call, the faster the likelier.',
};

export function mount(root, app) {
  const { store } = app;
  const state = { answer: null, error: null, strategy: '', block: '', transport: '', method: store.method ?? 'eth_blockNumber', typed: 0 };
  const [asked, found] = [h('section', { class: 'card', 'aria-labelledby': 'v-ask' }), h('div', { class: 'stack', 'aria-live': 'off' })];
  root.append(h('div', {}, title('Why this provider?'), note('What the node would do with such a call now, and for each provider why or why not.')), asked, found);
  const inputs = painter(asked, () => drawInputs(state, app));
  const result = painter(found, () => drawAnswer(state, app));
  const questions = latest();
  const chain = () => store.chain ?? store.chains[0]?.chain;

  const refresh = () => {
    const key = chain();
    if (!key || state.method === '') return;
    const query = new URLSearchParams(Object.entries({ strategy: state.strategy, block: state.block, transport: state.transport }).filter(([, value]) => value !== ''));
    const question = (signal) => app.api.get(`${paths.explain(store.profile, key, state.method)}?${query}`, { signal });
    questions.ask(question, (answer) => Object.assign(state, { answer, error: null }), (error) => Object.assign(state, { error, answer: null })).then(result.paint);
  };
  const later = () => {
    clearTimeout(state.typed);
    state.typed = setTimeout(refresh, TYPED_MS);
  };
  const set = (change) => (value) => {
    change(value);
    inputs.paint();
    refresh();
  };
  const end = act(root, {
    chain: (key) => app.navigate({ chain: key, provider: null }),
    strategy: set((word) => (state.strategy = word)),
    transport: set((word) => (state.transport = word)),
    method: (name) => {
      state.method = name.trim();
      later();
    },
    block: (text) => {
      state.block = text.trim();
      later();
    },
  });
  // What was typed belongs to the address, so that it can be passed on.
  const settled = (event) => event.target.id === 'v-method' && app.navigate({ method: state.method || null }, { replace: true });
  asked.addEventListener('change', settled);
  const turned = () => {
    if (store.method && store.method !== state.method) state.method = store.method;
    inputs.paint();
    refresh();
  };
  store.addEventListener('selection', turned);
  inputs.paint();
  result.every(REFRESH_MS, refresh);
  return () => {
    store.removeEventListener('selection', turned);
    asked.removeEventListener('change', settled);
    clearTimeout(state.typed);
    questions.close();
    end();
    inputs.close();
    result.close();
  };
}

function drawInputs(state, { store }) {
  const chain = store.chain ?? store.chains[0]?.chain;
  const field = (id, label, hint, props) => h('div', { class: 'field' }, h('label', { for: id }, label), h('input', { id, class: 'input mono', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', placeholder: hint, ...props }));
  const choice = (label, content) => h('div', { class: 'field' }, h('span', { class: 'label' }, label), content);
  return h(
    'div',
    {},
    head('v-ask', 'The call'),
    h(
      'div',
      { class: 'card-body v-row' },
      choice('Chain', segmented('Chain', 'chain', store.chains.map(({ chain }) => [chain, chain]), chain)),
      field('v-method', 'Method', 'eth_blockNumber', { 'data-act': 'method', value: state.method, list: 'v-methods-known' }),
      h('datalist', { id: 'v-methods-known' }, METHODS.map((name) => h('option', { value: name }))),
      choice('Strategy', segmented('Strategy', 'strategy', STRATEGIES, state.strategy)),
      choice('Transport', segmented('Transport', 'transport', [['', 'Either'], ['http', 'HTTP'], ['ws', 'WebSocket']], state.transport)),
      field('v-block', 'Block', 'number, 0x… or latest', { 'data-act': 'block', value: state.block, size: '22' }),
    ),
  );
}

function drawAnswer(state, app) {
  const { answer, error } = state;
  if (error) return h('div', {}, h('section', { class: 'card' }, failure(error)));
  if (!answer) return h('div', {}, h('section', { class: 'card' }, loading('Asking the node')));
  const rows = answer.providers.toSorted(inOrder);
  return h('div', {}, focus(answer, app), verdict(answer, app), h('section', { class: 'card', 'aria-labelledby': 'v-order' }, head('v-order', 'In this order', h('span', { class: 'muted small' }, `at ${fmt.time(answer.timestamp)}`)), order(rows, answer, app)));
}

const inOrder = (a, b) => (a.turn ?? Infinity) - (b.turn ?? Infinity) || a.id.localeCompare(b.id) || a.transport.localeCompare(b.transport);
const name = (answer) => `${answer.method} on ${answer.chain}`;

// The provider that the address names, first: whoever comes from its panel asked about it.
function focus(answer, { store }) {
  const mine = answer.providers.filter(({ id }) => id === store.provider);
  if (mine.length === 0 || answer.chain !== (store.chain ?? answer.chain)) return null;
  const candidate = mine.some(({ stage }) => stage === 'candidate');
  const odds = mine.reduce((sum, { odds }) => sum + odds, 0);
  const known = store.providerOf(answer.chain, store.provider);
  const word = !candidate ? STAGES[mine[0].stage]?.[1] : odds > 0 ? 'healthy' : (demoted(mine[0])?.[2] ?? 'unknown');
  return h(
    'div',
    { class: `notice ${statusClass(word)}`, 'data-key': 'focus' },
    statusGlyph(word),
    h(
      'div',
      {},
      h('p', {}, h('strong', {}, `${store.provider}: `), odds > 0 ? `it is asked first in ${fmt.percent(odds)} of such calls.` : candidate ? 'it is not asked first at the moment.' : 'it gets no such calls at the moment.'),
      h('ul', {}, reasons(mine, answer).map((text) => h('li', { class: 'small' }, text))),
      known?.reason && h('p', { class: 'small muted' }, `Its state: ${known.reason}.`),
    ),
  );
}

// One sentence where both transports have the same.
function reasons(rows, answer) {
  const sentences = rows.map((row) => why(row, answer));
  if (new Set(sentences).size === 1) return [sentences[0]];
  return rows.map((row, index) => `Over ${spoken(row.transport)}: ${sentences[index]}`);
}

const spoken = (transport) => (transport === 'ws' ? 'WebSocket' : 'HTTP');

function verdict(answer, app) {
  const { chosen, chosen_transport: over } = answer;
  const firsts = answer.providers.filter(({ odds }) => odds > 0);
  // A lot between one provider's transports is none for a reader.
  const sure = firsts.length > 0 && firsts.every(({ id }) => id === chosen);
  const facts = [
    answer.needs_archive && 'The block is old: only providers with old states can answer.',
    !answer.is_known_method && 'The node does not know this method: figures of other methods do not apply to it.',
    answer.consensus_height !== null && `The chain is at ${fmt.whole(answer.consensus_height)}.`,
  ];
  const either = firsts.length > 1 ? 'HTTP or WebSocket' : spoken(over);
  return h(
    'section',
    { class: 'card', 'aria-labelledby': 'v-verdict', 'data-key': 'verdict' },
    h(
      'div',
      { class: 'card-body stack' },
      chosen
        ? h('h2', { id: 'v-verdict', class: 'v-verdict' }, sure ? 'It goes to ' : 'A lot decides; this time it would be ', providerLink(app, answer.chain, chosen, { glyph: true }), h('span', { class: 'muted' }, ` over ${sure ? either : spoken(over)}`))
        : h('h2', { id: 'v-verdict', class: 'v-verdict bad' }, `Nobody can answer ${name(answer)} now`),
      answer.is_dark && h('p', {}, 'No circuit is closed: calls go one at a time to whoever is least bad, and our probes ask every second.'),
      note([BASIS[answer.strategy] ?? `Strategy ${answer.strategy}.`, ...facts].filter(Boolean).join(' ')),
      chosen && !sure && lots(answer),
    ),
  );
}

// Who would be first how often, of all providers together.
function lots(answer) {
  const sums = new Map();
  for (const { id, odds } of answer.providers) if (odds > 0) sums.set(id, (sums.get(id) ?? 0) + odds);
  const rows = [...sums].sort(([, a], [, b]) => b - a);
  return h('ul', { class: 'v-lots' }, rows.slice(0, 12).map(([id, odds]) => h('li', { 'data-key': id }, h('span', { class: 'truncate' }, id), bar([[odds, 'v-bar-half']]), h('span', { class: 'num' }, fmt.percent(odds)))), rows.length > 12 && h('li', {}, `and ${rows.length - 12} more`));
}

const demoted = (row) => DEMOTIONS.find(([field]) => row[field]);

// One sentence, or two, about one channel.
function why(row, answer) {
  const stage = STAGES[row.stage];
  // What went wrong with a circuit, and when it is tried, only the node knows.
  if (row.circuit !== 'closed' && ['circuit_open', 'half_open', 'candidate'].includes(row.stage)) return `${row.reason[0].toUpperCase()}${row.reason.slice(1)}.`;
  if (row.stage !== 'candidate') return stage?.[2] ?? row.reason;
  const demotions = DEMOTIONS.filter(([field]) => row[field]).map(([, , , words]) => words);
  if (demotions.length > 0) return `It may be chosen, but ${demotions.join('; ')}.`;
  if (row.odds >= 0.9995) return 'It is asked first.';
  if (row.odds > 0) return `It is asked first in ${fmt.percent(row.odds)} of such calls.`;
  const { evidence } = row;
  if (!row.is_local) return 'It is asked when those before it cannot answer: it is of another region.';
  if (answer.strategy === 'priority') return `It is asked when those before it cannot answer: its priority is ${row.priority}.`;
  if (answer.strategy === 'fastest' && !evidence.is_qualified) return 'It is asked when those before it cannot answer: it is not measured enough for this method.';
  return 'It is asked when those before it cannot answer.';
}

const COLUMNS = [
  ['Turn', 'num', 'When it would be asked, in one drawing'],
  ['Provider'],
  ['Over'],
  ['State'],
  ['Why', 'v-why'],
  ['First in', 'num', 'How often it would be the first to be asked'],
  ['Priority', 'num'],
  ['Latency', 'num', 'What the strategies reckon with, for this method: measured, else by probes'],
  ['Reliable', 'num', 'Share of recent calls that succeeded'],
  ['Height', 'num', 'Its head; how far behind the chain'],
];

function order(rows, answer, app) {
  const line = (row) => {
    const demotion = row.stage === 'candidate' ? demoted(row) : null;
    const [label, word] = demotion ? demotion.slice(1, 3) : (STAGES[row.stage] ?? [row.stage, 'unknown']);
    const { latency_ms: measured, probe_latency_ms: probed, reliability, samples } = row.evidence;
    const mine = row.id === app.store.provider;
    return h(
      'tr',
      { 'data-key': `${row.id} ${row.transport}`, class: `${row.stage === 'candidate' ? '' : 'v-out'}${mine ? ' v-mine' : ''}` },
      h('td', { class: 'num' }, row.turn === null ? '–' : String(row.turn + 1)),
      h(
        'th',
        { scope: 'row' },
        h('a', { class: 'v-plain', href: app.address({ tab: 'overview', chain: answer.chain, provider: row.id }) }, row.id),
        h('div', { class: 'v-narrow small muted' }, `${spoken(row.transport)}: ${why(row, answer)}`),
      ),
      h('td', {}, h('span', { class: 'tag' }, row.transport === 'ws' ? 'WS' : 'HTTP')),
      h('td', {}, h('span', { class: `badge ${statusClass(word)}` }, statusGlyph(word), label)),
      h('td', { class: 'v-why' }, why(row, answer)),
      cell(row.stage === 'candidate' ? fmt.percent(row.odds) : '–'),
      cell(String(row.priority)),
      cell(measured !== null ? fmt.ms(measured) : fmt.ms(probed), measured === null && probed !== null ? h('span', { class: 'faint' }, ' probe') : null),
      cell(samples > 0 ? fmt.percent(reliability) : '–'),
      cell(fmt.whole(row.height), row.lag_blocks > 0 && h('span', { class: 'faint' }, ` −${fmt.whole(row.lag_blocks)}`)),
    );
  };
  return table(`Providers for ${name(answer)}, in order`, COLUMNS, rows.map(line));
}
