// The regions tab: where this node stands, which nodes share its view, and how far each provider is from here. Latency is that of
// the node's own probes, so it is known without any traffic.

import { bar } from './charts.js';
import { empty, failure, fmt, h, loading } from './dom.js';
import { act, latest, painter } from './morph.js';
import { statusGlyph, statusOf } from './status.js';

const REFRESH_MS = 5_000;

export function mount(root, app) {
  const state = { region: null, cluster: null, error: null };
  const view = h('div', { class: 'v-page' });
  root.append(view);
  const { paint, every, close } = painter(view, () => draw(state, app.store));
  const questions = latest();
  const ask = async (signal) => {
    const [region, cluster] = await Promise.all([app.api.get('/api/region', { signal }), app.api.get('/api/cluster', { signal })]);
    return { region, cluster };
  };
  every(REFRESH_MS, () => questions.ask(ask, (answer) => Object.assign(state, answer, { error: null }), (error) => Object.assign(state, { error })).then(paint));
  const stop = act(view, { provider: (value) => app.navigate({ tab: 'overview', ...JSON.parse(value) }) });
  for (const type of ['status', 'selection']) app.store.addEventListener(type, paint);
  return () => {
    for (const type of ['status', 'selection']) app.store.removeEventListener(type, paint);
    questions.close();
    stop();
    close();
    view.remove();
  };
}

function draw({ region, cluster, error }, store) {
  const title = h('h1', { class: 'v-title' }, 'Regions');
  if (!region) return h('div', {}, title, error ? failure(error) : loading('Asking the node where it is'));
  const mine = region.providers.filter(({ profile }) => profile === store.profile);
  const hinted = mine.some(({ regions }) => regions.length > 0);
  return h(
    'div',
    {},
    title,
    error && h('p', { class: 'v-note v-warn', role: 'status' }, `Not up to date: ${error.message}`),
    place(region, cluster),
    h('h2', { class: 'v-heading' }, 'Providers from here'),
    h('p', { class: 'v-note' }, hinted ? 'Latency of the node’s own probes. Providers of another region are asked after the ones of this region or of none.' : 'Latency of the node’s own probes. No provider of this profile names a region, so distance alone tells them apart: the strategies fastest and latency-weighted follow it.'),
    mine.length === 0 ? empty('This profile has no providers') : h('div', { class: 'v-cards' }, groups(mine).map(([chain, rows]) => card(chain, rows, region.region, store))),
  );
}

function place(region, cluster) {
  const { nodes = [], coverage, enabled, stale } = cluster;
  const line = (node) =>
    h('tr', { 'data-key': node.node_id }, h('th', { scope: 'row' }, node.node_id, node.self && h('span', { class: 'v-muted' }, ' this node')), h('td', { class: 'v-left' }, node.region), h('td', { class: 'v-left' }, statusGlyph(node.state === 'connected' ? 'healthy' : 'circuit_open'), ` ${node.state}`), h('td', {}, node.version), h('td', {}, fmt.duration(node.uptime_seconds)));
  const head = ['Node', 'Region', 'State', 'Version', 'Up for'].map((name, index) => h('th', { scope: 'col', class: index < 3 ? 'v-left' : null }, name));
  return h(
    'section',
    { class: 'v-place' },
    h('p', { class: 'v-lead' }, enabled ? `${coverage.responding} of ${coverage.total} nodes answer. This one, ${region.node_id}, is in region ${region.region}.` : `A single node: ${region.node_id}, in region ${region.region}. Every figure on this page is its own.`),
    !enabled && region.region === region.node_id && h('p', { class: 'v-note' }, 'The region is the node’s name because none is set: start it with --region or LASSO_REGION.'),
    stale && h('p', { class: 'v-note v-warn' }, 'Some nodes did not answer lately: their part is old.'),
    nodes.length > 0 && h('div', { class: 'v-scroll', tabindex: '0', role: 'region', 'aria-label': 'Nodes' }, h('table', { class: 'v-table' }, h('thead', {}, h('tr', {}, head)), h('tbody', {}, nodes.map(line)))),
  );
}

const groups = (rows) => {
  const chains = new Map();
  for (const row of rows) chains.set(row.chain, [...(chains.get(row.chain) ?? []), row]);
  return [...chains];
};

function card(chain, rows, here, store) {
  const near = rows.toSorted((a, b) => (a.probe_latency_ms ?? Infinity) - (b.probe_latency_ms ?? Infinity) || a.id.localeCompare(b.id));
  const most = Math.max(...rows.map(({ probe_latency_ms: ms }) => ms ?? 0), 1e-9);
  const line = ({ id, regions, probe_latency_ms: ms }) => {
    const { status, reason } = store.providerOf(chain, id) ?? {};
    const local = regions.includes(here);
    const hint = regions.length === 0 ? 'any' : local ? `${here} (here)` : regions.join(', ');
    return h(
      'tr',
      { 'data-key': id },
      h('th', { scope: 'row', class: 'v-clip' }, h('span', { title: reason || statusOf(status).label }, statusGlyph(status)), ' ', h('button', { type: 'button', class: 'v-link', 'data-act': 'provider', 'data-value': JSON.stringify({ chain, provider: id }), title: id }, id), h('span', { class: 'visually-hidden' }, ` ${statusOf(status).label}`)),
      h('td', { class: 'v-left' }, hint),
      h('td', { class: 'v-card-bar' }, bar([[(ms ?? 0) / most, 'v-bar-half']])),
      h('td', {}, ms === null ? 'not probed yet' : fmt.ms(ms)),
    );
  };
  return h('article', { class: 'v-card', 'data-key': chain }, h('h3', { class: 'v-card-title' }, chain), h('table', { class: 'v-table v-table-small' }, h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Provider'), h('th', { scope: 'col', class: 'v-left' }, 'Region'), h('td', {}), h('th', { scope: 'col' }, 'Latency'))), h('tbody', {}, near.map(line))));
}
