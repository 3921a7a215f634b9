// The regions tab: where this node stands, which nodes share its view, how providers do in each region, and how far each provider is
// from here. The last is by the node's own probes, so it is known without any traffic; the others' figures are asked for while this
// tab is open, because they cost the nodes work.

import { bar } from './charts.js';
import { paths } from './api.js';
import { comparison } from './comparison.js';
import { empty, failure, fmt, h, loading } from './dom.js';
import { Happenings, happeningsCard } from './happenings.js';
import { act, latest, painter } from './morph.js';
import { nodesCard } from './nodes.js';
import { body, cell, head, note, providerLink, smallTable, stale, table, title } from './parts.js';
import { hasOthers } from './scopes.js';
import { statusGlyph } from './status.js';

const REFRESH_MS = 5_000;

export function mount(root, app) {
  const { api, navigate, store } = app;
  const state = { region: null, cluster: null, error: null };
  const compared = { chain: null, window: 'last_hour', answer: null, error: null };
  // Each block is drawn for itself: an event redraws the list of events and nothing else.
  const section = (name) => h('section', { class: 'card', 'aria-labelledby': name, hidden: true });
  const blocks = { head: h('div', { class: 'stack' }), nodes: section('v-nodes'), compare: section('v-compare'), happenings: section('v-happenings'), near: section('v-near') };
  root.append(...Object.values(blocks));
  const happenings = new Happenings(() => painters.happenings.paint());
  const others = (draw) => () => (hasOthers(store) ? draw() : h('div'));
  const painters = {
    head: painter(blocks.head, () => heading(state)),
    nodes: painter(blocks.nodes, () => (hasOthers(store) ? nodesCard(store.cluster) : place(state.region, state.cluster))),
    compare: painter(blocks.compare, others(() => comparison(compared, app))),
    happenings: painter(blocks.happenings, others(() => happeningsCard(happenings, store.cluster))),
    near: painter(blocks.near, () => nearby(state.region, app)),
  };
  const paint = () => {
    painters.head.paint();
    if (!state.region) return;
    for (const [name, block] of Object.entries(blocks)) block.hidden = ['compare', 'happenings'].includes(name) && !hasOthers(store);
    Object.values(painters).forEach((each) => each.paint());
  };

  const [questions, figures] = [latest(), latest()];
  const ask = async (signal) => {
    const [region, cluster] = await Promise.all([api.get('/api/region', { signal }), api.get('/api/cluster', { signal })]);
    return { region, cluster };
  };
  const take = (answer) => {
    Object.assign(state, answer, { error: null });
    store.takeCluster(answer.cluster);
  };
  const compare = () => {
    const chain = store.chainOf(store.chain)?.chain ?? store.chains[0]?.chain;
    if (!chain || !hasOthers(store)) return;
    happenings.listen(store.profile);
    const key = `${store.profile} ${chain}`;
    if (key !== compared.key) Object.assign(compared, { key, chain, answer: null, error: null });
    const path = `${paths.metrics(store.profile, chain)}&scope=cluster`;
    figures.ask((signal) => api.get(path, { signal }), (answer) => Object.assign(compared, { answer, error: null }), (error) => Object.assign(compared, { error })).then(painters.compare.paint);
  };
  const selected = () => {
    compare();
    paint();
  };
  // The first answer says whether there is anybody to compare with.
  const refresh = async () => {
    if (hasOthers(store)) compare();
    await questions.ask(ask, take, (error) => Object.assign(state, { error }));
    if (!compared.key) compare();
    paint();
  };
  const stop = act(root, {
    chain: (chain) => navigate({ chain }),
    window: (window) => {
      compared.window = window;
      painters.compare.paint();
    },
  });
  const turned = () => state.region && painters.near.paint();
  // A page that nobody sees does not listen either; the refresh that follows its return does.
  const hidden = () => document.hidden && happenings.close();
  document.addEventListener('visibilitychange', hidden);
  painters.head.every(REFRESH_MS, refresh);
  store.addEventListener('status', turned);
  store.addEventListener('selection', selected);
  return () => {
    store.removeEventListener('status', turned);
    store.removeEventListener('selection', selected);
    document.removeEventListener('visibilitychange', hidden);
    happenings.close();
    questions.close();
    figures.close();
    stop();
    Object.values(painters).forEach((each) => each.close());
  };
}

function heading({ region, error }) {
  const first = !region && (error ? failure(error) : loading('Asking the node where it is'));
  return h('div', {}, title('Regions'), region && stale(error), first);
}

function nearby(region, app) {
  const mine = region.providers.filter(({ profile }) => profile === app.store.profile);
  const hinted = mine.some(({ regions }) => regions.length > 0);
  const words = hinted
    ? 'Latency of the node’s own probes. Providers of another region are asked after those of this region or of none.'
    : 'Latency of the node’s own probes. No provider here names a region, so none is preferred for its place; the strategies fastest and latency-weighted go by latency alone.';
  return h(
    'div',
    {},
    head('v-near', 'Providers, seen from here'),
    body(note(words), mine.length === 0 ? empty('This profile has no providers') : h('div', { class: 'grid v-methods' }, groups(mine).map(([chain, rows]) => card(chain, rows, region.region, app)))),
  );
}

/** A node that works alone, or has found nobody yet. */
function place(region, { nodes = [], coverage, enabled }) {
  const line = (node) =>
    h(
      'tr',
      { 'data-key': node.address ?? node.node_id },
      h('th', { scope: 'row' }, node.node_id ?? node.address, node.self && h('span', { class: 'faint' }, ' this node')),
      h('td', {}, node.region ?? ''),
      h('td', {}, h('span', { class: 'row' }, statusGlyph('healthy'), node.state)),
      h('td', {}, node.version ?? ''),
      cell(node.uptime_seconds === null ? '' : fmt.duration(node.uptime_seconds)),
    );
  const sentence = enabled
    ? `${coverage.responding} of ${coverage.total} nodes answer. This one, ${region.node_id}, is in region ${region.region}.`
    : `A single node: ${region.node_id}, in region ${region.region}. Every figure on this page is its own.`;
  const unnamed = region.region === region.node_id && ' The region is the node’s name because none is set: start it with --region or LASSO_REGION to name it.';
  return h(
    'div',
    {},
    head('v-nodes', 'This node'),
    h('div', { class: 'card-body' }, h('p', {}, sentence), unnamed && note(unnamed)),
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
