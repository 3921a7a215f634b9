// The nodes that share one view: who they are, how each is, and what of them differs from this one.

import { fmt, h } from './dom.js';
import { cell, head, note, table } from './parts.js';
import { statusGlyph } from './status.js';

// A clock that is this far off makes times in two nodes' logs hard to compare.
const SKEW_TOLD_MS = 1_000;
const GLYPHS = { responding: 'healthy', connected: 'recovering', discovering: 'recovering', unresponsive: 'circuit_open', disconnected: 'circuit_open' };
const HINTS = {
  connected: 'It was met, and was not asked yet',
  discovering: 'It was asked who it is',
  responding: 'It answers checks',
  unresponsive: 'It does not answer, or others cannot reach it',
  disconnected: 'It is gone; it is shown here for a day',
};

const nameOf = (node) => node.node_id ?? node.address ?? 'not known yet';

/** The inside of a card that is labelled by `v-nodes`. */
export function nodesCard(cluster) {
  const { nodes, coverage, node_id: id, region } = cluster;
  const own = nodes.find((node) => node.self);
  return h(
    'div',
    {},
    head('v-nodes', 'Nodes'),
    h(
      'div',
      { class: 'card-body' },
      h('p', {}, `${coverage.responding} of ${coverage.total} nodes responding. This one, ${id}, is in region ${region}.`),
      absent(nodes),
      region === id && note('The region is the node’s name because none is set: start it with --region or LASSO_REGION to name it.'),
      note('Each node routes by its own measurements. What another one counted is asked for while a page shows it.'),
    ),
    table('Nodes', [['Node'], ['Region'], ['Address'], ['State'], ['Version'], ['Configuration', '', 'How many configurations the process has had'], ['Last seen', 'num'], ['Clock', 'num', 'Against this node’s clock']], nodes.map((node) => line(node, own)), { class: 'scroll-x v-unbroken' }),
  );
}

/** Who does not answer, in a sentence. */
function absent(nodes) {
  const gone = nodes.filter((node) => !node.self && node.state !== 'responding');
  if (gone.length === 0) return null;
  const words = gone.map((node) => `${nameOf(node)} is ${node.state}, heard ${fmt.duration(node.last_seen_ms / 1000)} ago`);
  return h('p', { class: 'warn small', role: 'status' }, `Not all is fresh: ${words.join('; ')}.`);
}

function line(node, own) {
  return h(
    'tr',
    // Several nodes may have one id: the address tells them apart.
    { 'data-key': node.self ? 'self' : `${node.address} ${node.node_id}` },
    h('th', { scope: 'row' }, nameOf(node), node.self && h('span', { class: 'faint' }, ' this node')),
    h('td', {}, node.region ?? '–'),
    h('td', { class: 'mono' }, node.address ?? '–'),
    h('td', { title: HINTS[node.state] ?? null }, h('span', { class: 'row' }, statusGlyph(GLYPHS[node.state] ?? 'unknown'), node.state)),
    differing(node.version, own?.version),
    differing(node.config_revision, own?.config_revision),
    cell(node.self ? 'now' : fmt.duration(node.last_seen_ms / 1000)),
    clock(node),
  );
}

/** A value that is marked, in words too, where it is not this node's. */
const differing = (value, own) =>
  value === null || value === undefined
    ? h('td', {}, '–')
    : h('td', {}, String(value), value !== own && h('span', { class: 'warn' }, ' differs'));

function clock({ self, clock_skew_ms: ms }) {
  if (self) return cell('–');
  if (!Number.isFinite(ms)) return cell('not known');
  if (Math.abs(ms) < SKEW_TOLD_MS) return cell(`${ms > 0 ? '+' : ''}${ms} ms`);
  return h('td', { class: 'num warn' }, `${fmt.ms(Math.abs(ms))} ${ms > 0 ? 'ahead' : 'behind'}`);
}
