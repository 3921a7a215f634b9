// The regions tab: where this node stands, which nodes share its view, and how far each provider is from here. Latency is that of
// the node's own probes, so it is known without any traffic.

import { bar } from './charts.js';
import { empty, failure, fmt, h, loading } from './dom.js';
import { latest, painter } from './morph.js';
import { body, cell, head, note, providerLink, smallTable, stale, table, title } from './parts.js';
import { statusGlyph } from './status.js';

const REFRESH_MS = 5_000;

export function mount(root, app) {
  const state = { region: null, cluster: null, error: null };
  const { paint, every, close } = painter(root, () => draw(state, app));
  const questions = latest();
  const ask = async (signal) => {
    const [region, cluster] = await Promise.all([app.api.get('/api/region', { signal }), app.api.get('/api/cluster', { signal })]);
    return { region, cluster };
  };
  every(REFRESH_MS, () => questions.ask(ask, (answer) => Object.assign(state, answer, { error: null }), (error) => Object.assign(state, { error })).then(paint));
  for (const type of ['status', 'selection']) app.store.addEventListener(type, paint);
  return () => {
    for (const type of ['status', 'selection']) app.store.removeEventListener(type, paint);
    questions.close();
    close();
  };
}

function draw({ region, cluster, error }, app) {
  if (!region) return h('div', {}, title('Regions'), error ? failure(error) : loading('Asking the node where it is'));
  const mine = region.providers.filter(({ profile }) => profile === app.store.profile);
  const hinted = mine.some(({ regions }) => regions.length > 0);
  const words = hinted
    ? 'Latency of the node’s own probes. Providers of another region are asked after those of this region or of none.'
    : 'Latency of the node’s own probes. No provider here names a region, so none is preferred for its place; the strategies fastest and latency-weighted go by latency alone.';
  return h(
    'div',
    {},
    h('div', { class: 'stack' }, title('Regions'), stale(error)),
    place(region, cluster),
    h(
      'section',
      { class: 'card', 'aria-labelledby': 'v-near' },
      head('v-near', 'Providers, seen from here'),
      body(note(words), mine.length === 0 ? empty('This profile has no providers') : h('div', { class: 'grid v-methods' }, groups(mine).map(([chain, rows]) => card(chain, rows, region.region, app)))),
    ),
  );
}

function place(region, { nodes = [], coverage, enabled, stale: old }) {
  const line = (node) =>
    h(
      'tr',
      { 'data-key': node.address ?? node.node_id },
      h('th', { scope: 'row' }, node.node_id ?? node.address, node.self && h('span', { class: 'faint' }, ' this node')),
      h('td', {}, node.region ?? ''),
      h('td', {}, h('span', { class: 'row' }, statusGlyph(node.self || node.state === 'responding' ? 'healthy' : 'circuit_open'), node.state)),
      h('td', {}, node.version ?? ''),
      cell(node.uptime_seconds === null ? '' : fmt.duration(node.uptime_seconds)),
    );
  const sentence = enabled
    ? `${coverage.responding} of ${coverage.total} nodes answer. This one, ${region.node_id}, is in region ${region.region}.`
    : `A single node: ${region.node_id}, in region ${region.region}. Every figure on this page is its own.`;
  const unnamed = region.region === region.node_id && ' The region is the node’s name because none is set: start it with --region or LASSO_REGION to name it.';
  return h(
    'section',
    { class: 'card', 'aria-labelledby': 'v-nodes' },
    head('v-nodes', 'This node'),
    h('div', { class: 'card-body' }, h('p', {}, sentence), unnamed && note(unnamed), old && h('p', { class: 'warn small' }, 'Some nodes did not answer lately: their part is old.')),
    nodes.length > 0 && table('Nodes', [['Node'], ['Region'], ['State'], ['Version'], ['Up for', 'num']], nodes.map(line)),
  );
}

const groups = (rows) => {
  const chains = new Map();
  for (const row of rows) chains.set(row.chain, [...(chains.get(row.chain) ?? []), row]);
  return [...chains];
};

function card(chain, rows, here, app) {
  const near = rows.toSorted((a, b) => (a.probe_latency_ms ?? Infinity) - (b.probe_latency_ms ?? Infinity) || a.id.localeCompare(b.id));
  const most = Math.max(...rows.map(({ probe_latency_ms: ms }) => ms ?? 0), 1e-9);
  const line = ({ id, regions, probe_latency_ms: ms }) =>
    h(
      'tr',
      { 'data-key': id },
      h('th', { scope: 'row', class: 'v-clip' }, providerLink(app, chain, id, { glyph: true })),
      h('td', {}, regions.length === 0 ? h('span', { class: 'faint' }, 'any') : regions.includes(here) ? h('span', { title: regions.join(', ') }, 'here') : regions.join(', ')),
      h('td', { class: 'v-card-bar' }, bar([[(ms ?? 0) / most, 'v-bar-half']])),
      cell(ms === null ? 'not probed' : fmt.ms(ms)),
    );
  return h('article', { class: 'v-method', 'data-key': chain }, h('h3', {}, chain), smallTable(`Providers of ${chain}`, [['Provider'], ['Region'], ['', 'v-card-bar'], ['Latency', 'num']], near.map(line)));
}
