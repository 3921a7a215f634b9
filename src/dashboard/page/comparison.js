// Providers over all nodes, and one provider by region: where it is fast, where it is not, and where it is in trouble.
//
// The chart is a table: a shade is a value that stands beside it as text, and a mark has a shape and words. It is drawn of
// figures that somebody asked the nodes for, so it says what of them is missing or old.

import { empty, failure, fmt, h, loading } from './dom.js';
import { body, cell, head, note, segmented, table } from './parts.js';
import { coverageNote } from './scopes.js';
import { statusBadge, statusGlyph, statusOf } from './status.js';
import { WINDOWS, chartOf, circuitWords, shades } from './trouble.js';

const SHADES = 5;
const POOR_SUCCESS = 0.95;
const TROUBLES_SHOWN = 8;

/** The inside of a card that is labelled by `v-compare`. `state`: chain, window, answer, error. */
export function comparison(state, app) {
  const { answer, chain, window, error } = state;
  const chains = app.store.chains.map(({ chain: key }) => [key, key]);
  const controls = [segmented('Chain', 'chain', chains, chain), segmented('Window', 'window', Object.entries(WINDOWS), window)];
  const card = (...parts) => h('div', {}, head('v-compare', 'Regions compared', ...controls), parts);
  if (!answer) return card(error ? failure(error) : loading('Asking the nodes for their figures'));
  const chart = chartOf(answer, window);
  if (chart.rows.length === 0) return card(body(coverageNote(answer), empty('No figures yet', 'They are shown as soon as a node that serves this chain has told them.')));
  return card(
    body(coverageNote(answer), error && h('p', { class: 'bad small', role: 'status' }, `Not up to date: ${error.message}`), troubles(chart, chain, app), note(`Slow end (p95) and share of successes, ${WINDOWS[window].toLowerCase()}. The stronger the colour, the slower.`)),
    heat(chart, window, chain, app),
    h('div', { class: 'card-body' }, legend(chart, window)),
    aggregate(answer, window, state, app),
    drillDown(chart, window, app),
  );
}

/** What needs attention, as sentences with links. */
function troubles({ rows, silent }, chain, app) {
  const found = [...silent].map((region) => ({ key: region, word: 'circuit_open', text: `No node of region ${region} answers: what is shown of it is old.`, weight: 0 }));
  rows.forEach(({ provider, cells }) =>
    cells.forEach(({ region, marks, isOld }) => {
      if (isOld || marks.length === 0) return;
      const [{ word }] = marks;
      found.push({ key: `${provider.id} ${region}`, word, text: `${provider.id} in ${region}: ${marks.map(({ text }) => text).join(', ')}`, provider: provider.id, weight: word === 'circuit_open' ? 1 : 2 });
    }),
  );
  if (found.length === 0) return h('p', { class: 'small muted fine', 'data-key': 'fine' }, statusGlyph('healthy'), ' No region has a problem with a provider.');
  found.sort((a, b) => a.weight - b.weight);
  const line = ({ key, word, text, provider }) =>
    h('li', { 'data-key': key, class: 'alert' }, statusGlyph(word), provider ? h('a', { class: 'v-plain', href: app.address({ tab: 'regions', chain, provider }) }, text) : h('span', {}, text));
  const more = found.length > TROUBLES_SHOWN && h('li', { class: 'muted small' }, `and ${found.length - TROUBLES_SHOWN} more, marked below`);
  return h('ul', { class: 'alerts', 'data-key': 'troubles', 'aria-label': 'Problems by region' }, found.slice(0, TROUBLES_SHOWN).map(line), more);
}

// ── the chart ────────────────────────────────────────────────────────────────────────────────────────────────────────

const scaleOf = ({ rows }, window) => shades(rows.flatMap(({ cells }) => [...cells.values()].map((found) => found[window].p95_latency_ms)), SHADES);

function heat(chart, window, chain, app) {
  const { regions, silent, rows } = chart;
  const scale = scaleOf(chart, window);
  const column = (region) => h('th', { scope: 'col', 'data-key': region }, region, silent.has(region) && h('span', { class: 'v-silent' }, statusGlyph('circuit_open'), 'no answer'));
  const line = ({ provider, cells }) =>
    h('tr', { 'data-key': provider.id }, h('th', { scope: 'row' }, h('a', { class: 'v-plain', href: app.address({ tab: 'regions', chain, provider: provider.id }) }, provider.id)), regions.map((region) => heatCell(region, cells.get(region), window, scale)));
  return table('Latency and success by provider and region', [['Provider'], ...regions.map(column)], rows.map(line), { class: 'scroll-x v-unbroken v-heat', 'data-key': 'heat' });
}

function heatCell(region, found, window, scale) {
  if (!found) return h('td', { 'data-key': region, class: 'faint' }, 'no figures');
  const { total_calls: calls, success_rate: success, p95_latency_ms: p95 } = found[window];
  const look = [`v-shade-${Number.isFinite(p95) ? scale.of(p95) : 'none'}`, found.isOld && 'v-old'].filter(Boolean).join(' ');
  return h(
    'td',
    { 'data-key': region, class: look },
    h('span', { class: 'v-heat-value' }, Number.isFinite(p95) ? fmt.ms(p95) : 'no calls'),
    calls > 0 && h('span', { class: 'v-heat-success' }, fmt.percent(success)),
    found.isOld && h('span', { class: 'v-heat-mark', 'data-key': 'old' }, 'old'),
    found.marks.map(({ word, text }) => h('span', { class: 'v-heat-mark', 'data-key': word }, statusGlyph(word), text)),
  );
}

function legend(chart, window) {
  const { bounds } = scaleOf(chart, window);
  if (bounds.length === 0) return h('p', { class: 'muted small' }, 'No calls in this window.');
  const entry = ([low, high], step) => h('li', { 'data-key': String(step) }, h('i', { class: `v-swatch v-shade-${step}`, 'aria-hidden': 'true' }), `${fmt.ms(low)} to ${fmt.ms(high)}`);
  return h('ul', { class: 'v-legend small muted', 'aria-label': 'Shades by p95' }, bounds.map(entry));
}

// ── the tables ───────────────────────────────────────────────────────────────────────────────────────────────────────

const FIGURES = [['Average', 'num'], ['p50', 'num'], ['p95', 'num'], ['p99', 'num'], ['Success', 'num'], ['Calls', 'num', 'Attempts']];

const figures = (window) => [
  cell(fmt.ms(window.avg_latency_ms)),
  cell(fmt.ms(window.p50_latency_ms)),
  cell(fmt.ms(window.p95_latency_ms)),
  cell(fmt.ms(window.p99_latency_ms)),
  h('td', { class: window.total_calls > 0 && window.success_rate < POOR_SUCCESS ? 'num bad' : 'num' }, window.total_calls > 0 ? fmt.percent(window.success_rate) : '–'),
  cell(fmt.count(window.total_calls)),
];

/** `wasSo`: nobody of the region answers, so this is how it was. */
function circuitCell(circuits, wasSo = false) {
  const [words, status] = circuitWords(circuits);
  return h('td', {}, wasSo ? h('span', { class: 'faint' }, `was ${words}`) : h('span', { class: 'row' }, statusGlyph(status), words));
}

const statusCell = (status, wasSo) => h('td', {}, wasSo ? h('span', { class: 'faint' }, `was ${statusOf(status).label.toLowerCase()}`) : statusBadge(status));

function aggregate({ providers }, window, { chain }, app) {
  const chosen = app.store.provider;
  const sorted = providers.toSorted((a, b) => (a[window].p50_latency_ms ?? Infinity) - (b[window].p50_latency_ms ?? Infinity) || a.id.localeCompare(b.id));
  const line = (provider) =>
    h(
      'tr',
      { 'data-key': provider.id, class: provider.id === chosen ? 'v-mine' : null },
      h('th', { scope: 'row' }, h('a', { class: 'v-plain', href: app.address({ tab: 'regions', chain, provider: provider.id }), 'aria-current': provider.id === chosen ? 'true' : null }, provider.id)),
      figures(provider[window]),
      circuitCell(provider.circuits),
    );
  return h(
    'div',
    { 'data-key': 'aggregate' },
    h('div', { class: 'v-open' }, h('h3', {}, 'All regions together'), note('Fastest first. Choose a provider to see it by region.')),
    table('Providers over all nodes', [['Provider'], ...FIGURES, ['Circuits']], sorted.map(line), { class: 'scroll-x v-unbroken' }),
  );
}

function drillDown({ regions, silent, rows }, window, app) {
  const found = rows.find(({ provider }) => provider.id === app.store.provider);
  if (!found) return null;
  const { provider, cells } = found;
  const fastest = [...cells.values()].filter((row) => row[window].p50_latency_ms !== null).toSorted((a, b) => a[window].p50_latency_ms - b[window].p50_latency_ms)[0];
  const line = (region) => {
    const row = cells.get(region);
    const name = h('th', { scope: 'row' }, region, region === fastest?.region && cells.size > 1 && h('span', { class: 'good' }, ' fastest'), silent.has(region) && h('span', { class: 'warn' }, ' no answer'));
    if (!row) return h('tr', { 'data-key': region }, name, h('td', { colspan: String(FIGURES.length + 2), class: 'faint' }, 'no figures'));
    return h('tr', { 'data-key': region }, name, figures(row[window]), circuitCell(row.circuits, row.isOld), statusCell(row.status, row.isOld));
  };
  return h(
    'div',
    { 'data-key': 'drill-down' },
    h('div', { class: 'v-open' }, h('h3', {}, `Provider: ${provider.id}`), note('Each node has circuits of its own: what is open in one region serves the others.')),
    table(`${provider.id} by region`, [['Region'], ...FIGURES, ['Circuits'], ['Status', '', 'The worst of the region’s nodes']], regions.map(line), { class: 'scroll-x v-unbroken' }),
  );
}
