// The metrics tab: who answers how fast, as a table, as distributions and by method. Figures of the last hour, asked for every
// 5 s, of this node or of several; each block of the page is drawn for itself, so that a moving pointer redraws its chart and
// nothing else.

import { bar, curves, marksLegend, percentileTable, readout, ridges, seriesKey } from './charts.js';
import { empty, failure, fmt, h, loading } from './dom.js';
import { merged, quantile, steadiness, total } from './histogram.js';
import { methods } from './methods.js';
import { act, latest, painter } from './morph.js';
import { paths } from './api.js';
import { body, cell, head, note, providerLink, segmented, select, stale, table, title } from './parts.js';
import { coverageNote, scopeQuery, scopeTabs, whoseOf, whoseWords } from './scopes.js';
import { statusGlyph } from './status.js';

const REFRESH_MS = 5_000;
// Below this share of successes a figure is marked.
const POOR_SUCCESS = 0.95;

export function mount(root, app) {
  const state = { answer: null, error: null, chain: null, whose: null, sort: ['p50', 1], picture: 'ridges', method: '', cursor: null, all: false, width: 900 };
  const section = (name) => h('section', { class: 'card', 'aria-labelledby': name });
  const blocks = { head: h('div'), table: section('v-providers'), chart: section('v-distribution'), methods: section('v-methods') };
  root.append(...Object.values(blocks));

  const rows = () => providers(state, app.store);
  let reading = null;
  const painters = {
    head: painter(blocks.head, () => header(state, app.store)),
    table: painter(blocks.table, () => standings(state, rows(), app)),
    chart: painter(blocks.chart, () => {
      const [tree, reader] = distribution(state, rows());
      reading = reader;
      return tree;
    }),
    methods: painter(blocks.methods, () => methods(state)),
  };
  const paint = () => Object.values(painters).forEach(({ paint }) => paint());

  const questions = latest();
  const refresh = () => {
    const { chains, chain, profile } = app.store;
    const wanted = chain ?? chains[0]?.chain;
    const whose = whoseOf(app.store);
    if (!wanted) return;
    if (wanted !== state.chain || whose !== state.whose) Object.assign(state, { chain: wanted, whose, answer: null, error: null, method: '', cursor: null });
    const use = (answer) => Object.assign(state, { answer, error: null });
    const fail = (error) => Object.assign(state, { error });
    questions.ask((signal) => app.api.get(`${paths.metrics(profile, wanted)}&histograms=true${scopeQuery(whose)}`, { signal }), use, fail).then(paint);
    paint();
  };

  const stop = act(root, {
    chain: (key) => app.navigate({ chain: key }),
    whose: (whose) => app.navigate({ whose: whose || null }),
    sort: (column) => {
      const [by, order] = state.sort;
      state.sort = [column, by === column ? -order : 1];
      painters.table.paint();
    },
    picture: (kind) => {
      state.picture = kind;
      painters.chart.paint();
    },
    method: (name) => {
      state.method = name;
      painters.chart.paint();
    },
    all: () => {
      state.all = !state.all;
      painters.methods.paint();
    },
    retry: refresh,
  });
  const pointed = (cursor) => {
    state.cursor = cursor;
    painters.chart.paint();
  };
  blocks.chart.addEventListener('pointermove', (event) => pointed(under(event, reading)));
  blocks.chart.addEventListener('pointerleave', () => pointed(null));
  blocks.chart.addEventListener('keydown', (event) => {
    const moved = event.target.closest('.v-plot') && keyed(event, state, shownRows(state, rows()), reading);
    if (!moved) return;
    event.preventDefault();
    pointed(moved);
  });
  const sized = new ResizeObserver(([entry]) => {
    state.width = Math.max(240, Math.floor(entry.contentRect.width));
    painters.chart.paint();
  });
  sized.observe(blocks.chart);

  // Another chain or profile, or the first status: ask at once. A changed state of a provider: draw.
  const known = () => (whoseOf(app.store) !== state.whose ? refresh() : painters.head.paint());
  const turned = () => (wantedChanged(state, app.store) ? refresh() : painters.table.paint());
  app.store.addEventListener('selection', refresh);
  app.store.addEventListener('status', turned);
  app.store.addEventListener('cluster', known);
  painters.head.every(REFRESH_MS, refresh);
  return () => {
    app.store.removeEventListener('selection', refresh);
    app.store.removeEventListener('status', turned);
    app.store.removeEventListener('cluster', known);
    questions.close();
    sized.disconnect();
    stop();
    Object.values(painters).forEach((painter) => painter.close());
  };
}

const wantedChanged = (state, store) => (store.chain ?? store.chains[0]?.chain) !== state.chain;

// Each provider's figures of the last hour with its state of this moment.
function providers(state, store) {
  const { answer, chain } = state;
  if (!answer) return [];
  const methods = new Map((answer.rpc_performance_by_provider ?? []).map((entry) => [entry.provider_id, entry.methods ?? []]));
  return answer.providers.map((provider) => {
    const own = methods.get(provider.id) ?? [];
    const buckets = provider.latency_histogram ?? merged(own.map((method) => method.latency_histogram ?? []));
    const [p50, p95, p99] = [['p50', 0.5], ['p95', 0.95], ['p99', 0.99]].map(([name, q]) => provider[`${name}_latency_ms`] ?? provider[name] ?? quantile(buckets, q));
    const status = provider.circuits ? together(provider) : store.providerOf(chain, provider.id);
    return { ...provider, methods: own, buckets, p50, p95, p99, average: provider.total_calls > 0 ? provider.avg_latency_ms : null, ratio: steadiness(p50, p99), status };
  });
}

// How a provider is on several nodes: its circuit counts as open where no node's is anything else.
function together({ status, circuits: { closed, half_open: half, open } }) {
  return { status, reason: '', circuit: open > 0 && closed + half === 0 ? 'open' : 'closed' };
}

function header(state, store) {
  const { answer, error } = state;
  const figures = answer?.chain_performance;
  const choices = store.chains.map(({ chain }) => [chain, chain]);
  return h(
    'div',
    {},
    h('div', { class: 'stack' }, title('Metrics', segmented('Chain', 'chain', choices, state.chain), scopeTabs(store)), coverageNote(answer), figures &&
      note(`Last hour on ${state.chain}, ${whoseWords(state.whose)}: ${fmt.percent(figures.success_rate)} of attempts succeeded, p50 ${fmt.ms(figures.p50_latency_ms)}, p95 ${fmt.ms(figures.p95_latency_ms)}; ${fmt.rate(figures.rpc_calls_per_second)} calls/s in the last minute.`),
    answer && stale(error)),
  );
}

const COLUMNS = [
  ['average', 'Average', 'Mean latency of successes since the start'],
  ['p50', 'p50', 'Half of the calls of the last hour took at most this'],
  ['p95', 'p95', '19 of 20 calls of the last hour took at most this'],
  ['p99', 'p99', '99 of 100 calls of the last hour took at most this'],
  ['ratio', 'p99/p50', 'How far the slowest calls stray: below 2 is good, below 5 acceptable'],
  ['success_rate', 'Success', 'Share of attempts that succeeded, since the start'],
  ['total_calls', 'Calls', 'Attempts since the start'],
];
// What a column is sorted by: the best first.
const order = (row, column) => (column === 'ratio' ? row.ratio?.ratio : column === 'success_rate' || column === 'total_calls' ? -row[column] : row[column]) ?? Infinity;

function standings(state, rows, app) {
  const heading = head('v-providers', 'Providers', h('span', { class: 'muted small' }, 'percentiles: last hour; the rest: since the start'));
  if (!state.answer) return h('div', {}, heading, state.error ? failure(state.error) : loading('Asking for the figures'));
  const [by, way] = state.sort;
  const sorted = (list) => list.toSorted((a, b) => way * (order(a, by) - order(b, by)) || a.id.localeCompare(b.id));
  const open = rows.filter((row) => row.status?.circuit === 'open');
  const serving = rows.filter((row) => row.status?.circuit !== 'open');
  const ranked = serving.filter(({ p50 }) => p50 !== null).toSorted((a, b) => a.p50 - b.p50);
  const ranks = new Map(ranked.map(({ id }, index) => [id, index + 1]));
  const most = Math.max(...rows.map((row) => row.p95 ?? 0), 1e-9);
  const lines = (list) => sorted(list).map((row) => line(row, ranks.get(row.id), most, state.chain, app));
  const columns = () => [['Rank', 'num', 'By p50'], ['Provider'], ...COLUMNS.map((column) => sortable(column, state.sort)), ['', 'v-wide']];
  return h(
    'div',
    {},
    heading,
    rows.length === 0 ? empty('This chain has no providers') : table('Providers of the chain', columns(), lines(serving)),
    open.length > 0 && h('div', { class: 'v-open', 'data-key': 'open' }, h('h3', { class: 'row' }, statusGlyph('circuit_open'), 'Circuit open'), note('They get no calls at the moment; their figures are from before.')),
    open.length > 0 && table('Providers whose circuit is open', columns(), lines(open), { 'data-key': 'open-table' }),
  );
}

function sortable([name, label, hint], [by, way]) {
  const sorted = by === name;
  // What is sorted by the best first is for success and calls the highest first.
  const up = (way > 0) !== (name === 'success_rate' || name === 'total_calls');
  return h(
    'th',
    { scope: 'col', class: 'num', 'aria-sort': sorted ? (up ? 'ascending' : 'descending') : null, 'data-key': name },
    h('button', { type: 'button', 'data-act': 'sort', 'data-value': name, title: hint }, label, h('span', { class: 'v-arrow', 'aria-hidden': 'true' }, sorted ? (up ? '▲' : '▼') : '')),
  );
}

function line(row, rank, most, chain, app) {
  const { ratio } = row;
  return h(
    'tr',
    { 'data-key': row.id },
    h('td', { class: 'num faint' }, rank ?? '–'),
    h('th', { scope: 'row', title: row.name ?? null }, providerLink(app, chain, row.id, { known: row.status })),
    cell(fmt.ms(row.average)),
    cell(fmt.ms(row.p50)),
    cell(fmt.ms(row.p95)),
    cell(fmt.ms(row.p99)),
    cell(ratio ? h('span', { class: `v-steady v-${ratio.word}` }, `${ratio.ratio.toFixed(1)} ${ratio.word}`) : '–'),
    h('td', { class: row.total_calls > 0 && row.success_rate < POOR_SUCCESS ? 'num bad' : 'num' }, row.total_calls > 0 ? fmt.percent(row.success_rate) : '–'),
    cell(fmt.count(row.total_calls)),
    h('td', { class: 'v-wide' }, bar([[row.p95 / most, 'v-bar-tail'], [row.p50 / most, 'v-bar-half']])),
  );
}

// Rows of the chart: all methods, or the chosen one.
function shownRows(state, rows) {
  const of = (row) => (state.method ? (row.methods.find(({ method }) => method === state.method)?.latency_histogram ?? []) : row.buckets);
  const shown = rows.map((row) => ({ id: row.id, name: row.name, buckets: of(row) }));
  return shown.toSorted((a, b) => (quantile(a.buckets, 0.5) ?? Infinity) - (quantile(b.buckets, 0.5) ?? Infinity) || a.id.localeCompare(b.id));
}

function distribution(state, all) {
  if (!state.answer) return [h('div', {}, head('v-distribution', 'Latency distribution'), !state.error && loading('Asking for the figures')), null];
  const rows = shownRows(state, all);
  // Several nodes tell each other of methods, and of providers, but not of each provider's methods.
  const names = state.answer.rpc_performance_by_provider ? ['', ...(state.answer.rpc_methods ?? [])] : [];
  const choice = names.length > 0 && select('Method', 'method', names.map((name) => [name, name || 'all methods']), state.method);
  const heading = head('v-distribution', 'Latency distribution', choice, segmented('Picture', 'picture', [['ridges', 'Histograms'], ['curves', 'Percentile curves']], state.picture));
  if (rows.every(({ buckets }) => total(buckets) === 0)) {
    return [h('div', {}, heading, empty('No calls in the last hour', 'Send some with the tester, or wait for traffic.')), null];
  }
  const asCurves = state.picture === 'curves';
  const chart = (asCurves ? curves : ridges)(rows, state.width, state.cursor);
  const plot = { class: 'v-plot', tabindex: '0', role: 'group', 'aria-label': 'Latency by provider: left and right arrows read along the axis, up and down change the provider', 'aria-describedby': 'v-readout', 'data-key': state.picture };
  const tree = h(
    'div',
    {},
    heading,
    body(
      note(asCurves ? 'Further left is faster, steeper is steadier. The upper half of the scale is the slowest tenth of the calls.' : 'A row for each provider, fastest first. Left and narrow is good.'),
      h('div', plot, chart.tree),
      h('div', { class: 'toolbar v-under' }, h('p', { class: 'v-readout', id: 'v-readout', role: 'status' }, readout(rows, state.cursor) || 'Point at the chart, or focus it and use the arrow keys, to read it.'), asCurves ? curveLegend(rows, state.cursor) : marksLegend()),
      h('details', { 'data-key': 'numbers' }, h('summary', {}, 'The same as a table'), percentileTable(rows, 'Latency percentiles by provider')),
    ),
  );
  return [tree, chart];
}

const curveLegend = (rows, cursor) =>
  h('p', { class: 'v-legend small muted' }, rows.map(({ id, buckets }, index) => total(buckets) > 0 && h('span', { class: `v-legend-entry${cursor?.id === id ? ' v-chosen' : ''}`, 'data-key': id }, seriesKey(index), id)));

function under(event, reading) {
  const chart = event.target.closest('.v-chart');
  if (!chart || !reading) return null;
  const box = chart.getBoundingClientRect();
  return reading.read(event.clientX - box.left, event.clientY - box.top);
}

function keyed({ key }, { cursor }, rows, reading) {
  const filled = rows.filter(({ buckets }) => total(buckets) > 0);
  if (!reading || filled.length === 0) return null;
  const at = Math.max(0, filled.findIndex(({ id }) => id === cursor?.id));
  const start = { id: filled[at].id, ms: cursor?.ms ?? quantile(filled[at].buckets, 0.5) };
  const [low, high] = reading.range;
  const to = (ms) => ({ ...start, ms: Math.min(high, Math.max(low, ms)) });
  const row = (index) => ({ ...start, id: filled[Math.min(filled.length - 1, Math.max(0, index))].id });
  const moves = { ArrowLeft: () => to(start.ms / reading.step), ArrowRight: () => to(start.ms * reading.step), ArrowUp: () => row(at - 1), ArrowDown: () => row(at + 1), Home: () => to(low), End: () => to(high) };
  return moves[key]?.() ?? null;
}
