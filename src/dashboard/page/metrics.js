// The metrics tab: who answers how fast, as a table, as distributions and by method. Figures of the last hour, asked for every
// 5 s; each block of the page is drawn for itself, so that a moving pointer redraws its chart and nothing else.

import { bar, curves, marksLegend, percentileTable, readout, ridges, seriesKey } from './charts.js';
import { empty, failure, fmt, h, loading } from './dom.js';
import { merged, quantile, steadiness, total } from './histogram.js';
import { act, latest, painter } from './morph.js';
import { paths } from './api.js';
import { statusBadge, statusGlyph } from './status.js';

const REFRESH_MS = 5_000;
// What a screen holds; the rest is a press away.
const [METHODS_SHOWN, PROVIDERS_SHOWN] = [8, 6];

export function mount(root, app) {
  const state = { answer: null, error: null, chain: null, sort: ['p50', 1], picture: 'ridges', method: '', cursor: null, all: false, width: 900 };
  const blocks = { head: h('div', { class: 'v-head' }), table: h('section', { class: 'v-block', 'aria-labelledby': 'v-providers' }), chart: h('section', { class: 'v-block', 'aria-labelledby': 'v-distribution' }), methods: h('section', { class: 'v-block', 'aria-labelledby': 'v-methods' }) };
  const view = h('div', { class: 'v-page' }, Object.values(blocks));
  root.append(view);

  const rows = () => providers(state, app.store);
  let reading = null;
  const painters = {
    head: painter(blocks.head, () => head(state, app.store)),
    table: painter(blocks.table, () => table(state, rows())),
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
    if (!wanted) return;
    if (wanted !== state.chain) Object.assign(state, { chain: wanted, answer: null, error: null, method: '', cursor: null });
    const use = (answer) => Object.assign(state, { answer, error: null });
    const fail = (error) => Object.assign(state, { error });
    questions.ask((signal) => app.api.get(`${paths.metrics(profile, wanted)}&histograms=true`, { signal }), use, fail).then(paint);
    paint();
  };

  const stop = act(view, {
    chain: (key) => app.navigate({ tab: 'metrics', chain: key }),
    sort: (column) => {
      const [by, order] = state.sort;
      state.sort = [column, by === column ? -order : 1];
      painters.table.paint();
    },
    provider: (id) => app.navigate({ tab: 'overview', chain: state.chain, provider: id }),
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
  const turned = () => (wantedChanged(state, app.store) ? refresh() : painters.table.paint());
  app.store.addEventListener('selection', refresh);
  app.store.addEventListener('status', turned);
  painters.head.every(REFRESH_MS, refresh);
  return () => {
    app.store.removeEventListener('selection', refresh);
    app.store.removeEventListener('status', turned);
    questions.close();
    sized.disconnect();
    stop();
    Object.values(painters).forEach((painter) => painter.close());
    view.remove();
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
    const status = store.providerOf(chain, provider.id);
    return { ...provider, methods: own, buckets, p50, p95, p99, average: provider.total_calls > 0 ? provider.avg_latency_ms : null, ratio: steadiness(p50, p99), status };
  });
}

function head(state, store) {
  const button = ({ chain }) =>
    h('button', { type: 'button', class: 'v-chip', 'data-key': chain, 'data-act': 'chain', 'data-value': chain, 'aria-pressed': String(chain === state.chain) }, chain);
  const { answer, error } = state;
  const figures = answer?.chain_performance;
  return h(
    'div',
    {},
    h('h1', { class: 'v-title' }, 'Metrics'),
    h('div', { class: 'v-chips', role: 'group', 'aria-label': 'Chain' }, store.chains.map(button)),
    figures &&
      h('p', { class: 'v-note' }, `Last hour on ${state.chain}: ${fmt.percent(figures.success_rate)} of attempts succeeded, p50 ${fmt.ms(figures.p50_latency_ms)}, p95 ${fmt.ms(figures.p95_latency_ms)}, ${fmt.rate(figures.rpc_calls_per_second)} calls/s in the last minute. Asked for every 5 s.`),
    error && answer && h('p', { class: 'v-note v-warn', role: 'status' }, `Not up to date: ${error.message}`),
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
const value = (row, column) => (column === 'ratio' ? row.ratio?.ratio : column === 'success_rate' || column === 'total_calls' ? -row[column] : row[column]) ?? Infinity;

function table(state, rows) {
  const title = h('h2', { id: 'v-providers', class: 'v-heading' }, 'Providers');
  if (!state.answer) return h('div', {}, title, state.error ? failure(state.error) : loading('Asking for the figures'));
  const [by, order] = state.sort;
  const sorted = (list) => list.toSorted((a, b) => order * (value(a, by) - value(b, by)) || a.id.localeCompare(b.id));
  const open = rows.filter((row) => row.status?.circuit === 'open');
  const serving = rows.filter((row) => row.status?.circuit !== 'open');
  const ranks = new Map(serving.toSorted((a, b) => value(a, 'p50') - value(b, 'p50')).map((row, index) => [row.id, row.p50 === null ? null : index + 1]));
  const most = Math.max(...rows.map((row) => row.p95 ?? 0), 1e-9);
  const column = ([name, label, hint]) =>
    h(
      'th',
      { scope: 'col', 'aria-sort': by === name ? (order > 0 ? 'ascending' : 'descending') : null, 'data-key': name },
      h('button', { type: 'button', class: 'v-sort', 'data-act': 'sort', 'data-value': name, title: hint }, label, h('span', { class: 'v-arrow', 'aria-hidden': 'true' }, by === name ? (order > 0 ? ' ▲' : ' ▼') : '')),
    );
  const header = h('tr', {}, h('th', { scope: 'col' }, 'Rank'), h('th', { scope: 'col' }, 'Provider'), COLUMNS.map(column), h('th', { scope: 'col', class: 'v-wide' }, 'p50 and p95'));
  const grid = (list, label, ranked) =>
    h('div', { class: 'v-scroll', tabindex: '0', role: 'region', 'aria-label': label }, h('table', { class: 'v-table' }, h('thead', {}, header.cloneNode(true)), h('tbody', {}, sorted(list).map((row) => line(row, ranked ? ranks.get(row.id) : null, most)))));
  return h(
    'div',
    {},
    title,
    rows.length === 0 ? empty('This chain has no providers') : grid(serving, 'Providers of the chain', true),
    open.length > 0 && h('h3', { class: 'v-subheading', 'data-key': 'open' }, statusGlyph('circuit_open'), ' Circuit open'),
    open.length > 0 && h('p', { class: 'v-note', 'data-key': 'open-note' }, 'These get no calls at the moment. Their figures are from before.'),
    open.length > 0 && grid(open, 'Providers whose circuit is open', false),
  );
}

function line(row, rank, most) {
  const { ratio, status } = row;
  const steady = ratio && h('span', { class: `v-steady v-${ratio.word}` }, `${ratio.ratio.toFixed(1)} ${ratio.word}`);
  return h(
    'tr',
    { 'data-key': row.id },
    h('td', { class: 'v-rank' }, rank ?? '–'),
    h('th', { scope: 'row' }, h('button', { type: 'button', class: 'v-link', 'data-act': 'provider', 'data-value': row.id, title: row.name ?? row.id }, row.id), status && status.status !== 'healthy' && h('span', { class: 'v-state', title: status.reason || null }, ' ', statusBadge(status.status))),
    h('td', {}, fmt.ms(row.average)),
    h('td', {}, fmt.ms(row.p50)),
    h('td', {}, fmt.ms(row.p95)),
    h('td', {}, fmt.ms(row.p99)),
    h('td', {}, steady || '–'),
    h('td', {}, row.total_calls > 0 ? fmt.percent(row.success_rate) : '–'),
    h('td', {}, fmt.count(row.total_calls)),
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
  const title = h('h2', { id: 'v-distribution', class: 'v-heading' }, 'Latency distribution');
  if (!state.answer) return [h('div', {}, title, !state.error && loading('Asking for the figures')), null];
  const rows = shownRows(state, all);
  const choice = (kind, label) => h('button', { type: 'button', class: 'v-chip', 'data-act': 'picture', 'data-value': kind, 'aria-pressed': String(state.picture === kind) }, label);
  const option = (name) => h('option', { value: name, selected: name === state.method }, name || 'all methods');
  const controls = h(
    'div',
    { class: 'v-controls' },
    h('div', { class: 'v-chips', role: 'group', 'aria-label': 'Picture' }, choice('ridges', 'Histograms'), choice('curves', 'Percentile curves')),
    h('label', { class: 'v-field' }, 'Method ', h('select', { 'data-act': 'method' }, ['', ...(state.answer.rpc_methods ?? [])].map(option))),
  );
  if (rows.every(({ buckets }) => total(buckets) === 0)) {
    return [h('div', {}, title, controls, empty('No calls in the last hour', 'Send some with the tester, or wait for traffic.')), null];
  }
  const chart = state.picture === 'curves' ? curves(rows, state.width, state.cursor) : ridges(rows, state.width, state.cursor);
  const said = readout(rows, state.cursor);
  const legend = state.picture === 'curves' ? curveLegend(rows, state.cursor) : marksLegend();
  const plot = { class: 'v-plot', tabindex: '0', role: 'group', 'aria-label': 'Latency by provider: left and right arrows read along the axis, up and down change the provider', 'aria-describedby': 'v-readout', 'data-key': state.picture };
  const tree = h(
    'div',
    {},
    title,
    controls,
    h('p', { class: 'v-note' }, state.picture === 'curves' ? 'Further left is faster; a steeper curve is steadier. The upper half of the scale is the slowest tenth of the calls.' : 'One row per provider, fastest first; the height is the share of calls at that latency. Left and narrow is good.'),
    h('div', plot, chart.tree),
    h('p', { class: 'v-readout', id: 'v-readout', role: 'status', 'aria-live': 'polite' }, said || 'Point at the chart, or focus it and use the arrow keys, to read it.'),
    legend,
    h('details', { class: 'v-details', 'data-key': 'numbers' }, h('summary', {}, 'The same as a table'), percentileTable(rows, 'Latency percentiles by provider')),
  );
  return [tree, chart];
}

const curveLegend = (rows, cursor) =>
  h('p', { class: 'v-legend' }, rows.map(({ id, buckets }, index) => total(buckets) > 0 && h('span', { class: `v-legend-entry${cursor?.id === id ? ' v-chosen' : ''}`, 'data-key': id }, seriesKey(index), id)));

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

function methods(state) {
  const title = h('h2', { id: 'v-methods', class: 'v-heading' }, 'By method');
  const { answer } = state;
  if (!answer) return h('div', {}, title, !state.error && loading('Asking for the figures'));
  const cards = (answer.rpc_performance_by_method ?? []).map((all) => ({ ...all, rows: ofMethod(answer, all.method) })).toSorted((a, b) => b.total_calls - a.total_calls || a.method.localeCompare(b.method));
  if (cards.length === 0) return h('div', {}, title, empty('No calls yet', 'Methods appear here with their first call.'));
  const shown = state.all ? cards : cards.slice(0, METHODS_SHOWN);
  return h(
    'div',
    {},
    title,
    h('p', { class: 'v-note' }, 'The strong bar is p50, the light one p95, both of the last hour, on one scale per method.'),
    h('div', { class: 'v-cards' }, shown.map((entry) => card(entry, state.all))),
    (cards.length > METHODS_SHOWN || cards.some(({ rows }) => rows.length > PROVIDERS_SHOWN)) &&
      h('button', { type: 'button', class: 'button', 'data-act': 'all', 'aria-expanded': String(state.all) }, state.all ? 'Show fewer' : `Show all ${cards.length} methods and all providers`),
  );
}

function ofMethod(answer, name) {
  const rows = (answer.rpc_performance_by_provider ?? []).flatMap(({ provider_id, methods }) => (methods ?? []).filter(({ method }) => method === name).map((found) => ({ id: provider_id, ...found.last_hour })));
  return rows.filter(({ total_calls }) => total_calls > 0).toSorted((a, b) => (a.p50_latency_ms ?? Infinity) - (b.p50_latency_ms ?? Infinity) || a.id.localeCompare(b.id));
}

function card({ method, rows, last_hour: hour }, whole) {
  const most = Math.max(...rows.map((row) => row.p95_latency_ms ?? 0), 1e-9);
  const shown = whole ? rows : rows.slice(0, PROVIDERS_SHOWN);
  const bars = (row) =>
    h(
      'tr',
      { 'data-key': row.id },
      h('th', { scope: 'row', class: 'v-clip', title: row.id }, row.id),
      h('td', { class: 'v-card-bar' }, bar([[row.p95_latency_ms / most, 'v-bar-tail'], [row.p50_latency_ms / most, 'v-bar-half']])),
      h('td', {}, fmt.ms(row.p50_latency_ms)),
      h('td', {}, fmt.ms(row.p95_latency_ms)),
      h('td', { class: row.success_rate < 0.95 ? 'v-poor' : null }, fmt.percent(row.success_rate)),
      h('td', {}, fmt.count(row.total_calls)),
    );
  const columns = ['p50', 'p95', 'ok', 'calls'].map((name) => h('th', { scope: 'col' }, name));
  return h(
    'article',
    { class: 'v-card', 'data-key': method },
    h('h3', { class: 'v-card-title' }, h('code', {}, method), h('span', { class: 'v-muted' }, ` ${fmt.count(hour?.total_calls)} calls`)),
    h('table', { class: 'v-table v-table-small' }, h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Provider'), h('td', {}), columns)), h('tbody', {}, shown.map(bars))),
    rows.length > shown.length && h('p', { class: 'v-note' }, `and ${rows.length - shown.length} slower ones`),
  );
}
