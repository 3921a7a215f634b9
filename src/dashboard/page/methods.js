// Methods, and how fast each provider answers them: a card for each where this node's figures are shown. Nodes tell each other of methods
// without their providers, so several nodes together are one table.

import { bar } from './charts.js';
import { empty, fmt, h, loading } from './dom.js';
import { body, cell, head, note, smallTable, table } from './parts.js';

// What a screen holds; the rest is a press away.
const [METHODS_SHOWN, PROVIDERS_SHOWN] = [8, 6];
// Below this share of successes a figure is marked.
const POOR_SUCCESS = 0.95;

export function methods(state) {
  const { answer } = state;
  const heading = (...controls) => head('v-methods', 'By method', ...controls);
  if (!answer) return h('div', {}, heading(), !state.error && loading('Asking for the figures'));
  if (!answer.rpc_performance_by_provider) return h('div', {}, heading(), together(answer.rpc_performance_by_method ?? []));
  const all = (answer.rpc_performance_by_method ?? []).map((entry) => ({ ...entry, rows: ofMethod(answer, entry.method) })).filter(({ rows }) => rows.length > 0);
  all.sort((a, b) => b.last_hour.total_calls - a.last_hour.total_calls || a.method.localeCompare(b.method));
  if (all.length === 0) return h('div', {}, heading(), empty('No calls in the last hour', 'Methods appear here with their first call.'));
  const shown = state.all ? all : all.slice(0, METHODS_SHOWN);
  const more = (all.length > METHODS_SHOWN || all.some(({ rows }) => rows.length > PROVIDERS_SHOWN)) &&
    h('button', { type: 'button', class: 'button', 'data-act': 'all', 'aria-expanded': String(state.all) }, state.all ? 'Show fewer' : `Show all ${all.length} methods and every provider`);
  return h(
    'div',
    {},
    heading(),
    body(note('Last hour. The strong bar is p50, the light one p95, on one scale per method.'), h('div', { class: 'grid v-methods' }, shown.map((entry) => card(entry, state.all))), more),
  );
}

// The same of several nodes.
function together(methods) {
  const rows = methods.filter(({ last_hour: hour }) => hour.total_calls > 0).toSorted((a, b) => b.last_hour.total_calls - a.last_hour.total_calls || a.method.localeCompare(b.method));
  if (rows.length === 0) return empty('No calls in the last hour', 'Methods appear here with their first call.');
  const line = ({ method, last_hour: hour }) =>
    h(
      'tr',
      { 'data-key': method },
      h('th', { scope: 'row' }, nameOf(method)),
      cell(fmt.count(hour.total_calls)),
      cell(fmt.ms(hour.p50_latency_ms)),
      cell(fmt.ms(hour.p95_latency_ms)),
      cell(fmt.ms(hour.p99_latency_ms)),
      h('td', { class: hour.success_rate < POOR_SUCCESS ? 'num bad' : 'num' }, fmt.percent(hour.success_rate)),
    );
  return table('Methods', [['Method'], ['Calls', 'num', 'Attempts of the last hour'], ['p50', 'num'], ['p95', 'num'], ['p99', 'num'], ['Success', 'num']], rows.map(line));
}

const nameOf = (method) => (method === 'unknown' ? 'methods without a name here' : h('code', {}, method));

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
      cell(fmt.ms(row.p50_latency_ms)),
      cell(fmt.ms(row.p95_latency_ms)),
      h('td', { class: row.success_rate < POOR_SUCCESS ? 'num bad' : 'num' }, fmt.percent(row.success_rate)),
    );
  const columns = [['Provider'], ['', 'v-card-bar'], ['p50', 'num'], ['p95', 'num'], ['ok', 'num', 'Share of attempts that succeeded']];
  return h(
    'article',
    { class: 'v-method', 'data-key': method },
    h('h3', {}, nameOf(method), h('span', { class: 'faint' }, ` ${fmt.count(hour.total_calls)} ${hour.total_calls === 1 ? 'call' : 'calls'}`)),
    smallTable(`${method} by provider`, columns, shown.map(bars)),
    rows.length > shown.length && h('p', { class: 'muted tiny' }, `and ${rows.length - shown.length} slower`),
  );
}
