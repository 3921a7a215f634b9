// Whose figures a view shows: this node's, those of all nodes together, of a region, or of the nodes with one id. The choice is one
// word in the address (`?whose=region:eu`), so that it outlives a reload and can be sent to somebody.
//
// Figures of several nodes cost those nodes work, so they are asked for by the view that shows them and by nobody else.

import { fmt, h } from './dom.js';
import { segmented, select } from './parts.js';

const ALL = 'cluster';
const REGION = 'region:';
const NODE = 'node:';
/** More choices than this are a list to open: a row of buttons would fill the screen of a telephone. */
const BUTTONS_MOST = 5;
const NAMES_MOST = 3;

/** Whether other nodes are known here. */
export const hasOthers = (store) => Boolean(store.cluster?.enabled) && (store.cluster.nodes ?? []).length > 1;

/** What is shown now: null for this node. What the address says holds until the node has said that it works alone. */
export const whoseOf = (store) => (store.cluster && !hasOthers(store) ? null : store.whose);

/** As the interface wants it, behind another parameter. */
export function scopeQuery(whose) {
  if (whose === ALL) return '&scope=cluster';
  if (whose?.startsWith(REGION)) return `&region=${encodeURIComponent(whose.slice(REGION.length))}`;
  if (whose?.startsWith(NODE)) return `&node=${encodeURIComponent(whose.slice(NODE.length))}`;
  return '';
}

/** In a sentence: "on this node". */
export function whoseWords(whose) {
  if (whose === ALL) return 'on all nodes';
  if (whose?.startsWith(REGION)) return `in region ${whose.slice(REGION.length)}`;
  if (whose?.startsWith(NODE)) return `on node ${whose.slice(NODE.length)}`;
  return 'on this node';
}

export const regionsOf = (nodes) => [...new Set(nodes.map(({ region }) => region).filter(Boolean))].toSorted();
const idsIn = (nodes, region) => [...new Set(nodes.filter((node) => node.region === region).map((node) => node.node_id))].toSorted();

/** The region that a choice is about, itself or by its node. */
function regionOf(whose, nodes) {
  if (whose?.startsWith(REGION)) return whose.slice(REGION.length);
  if (!whose?.startsWith(NODE)) return null;
  return nodes.find((node) => node.node_id === whose.slice(NODE.length))?.region ?? null;
}

/** All choices in one list, for a place that has no room for rows: [value, text]. */
export function scopeChoices(store) {
  const { nodes } = store.cluster;
  const regions = regionsOf(nodes);
  return [
    ['', 'This node'],
    [ALL, 'All nodes'],
    ...regions.map((region) => [`${REGION}${region}`, `Region ${region}`]),
    ...regions.flatMap((region) => idsIn(nodes, region).map((id) => [`${NODE}${id}`, `Node ${id} (${region})`])),
  ];
}

const choose = (label, choices, chosen) => (choices.length > BUTTONS_MOST ? select : segmented)(label, 'whose', choices, chosen);

/** Rows to choose by: the whole or a region, then a node of that region. Empty where there is nobody else. */
export function scopeTabs(store) {
  if (!hasOthers(store)) return [];
  const { nodes } = store.cluster;
  const whose = whoseOf(store);
  const region = regionOf(whose, nodes);
  const wide = [['', 'This node', 'What this node alone counted'], [ALL, 'All nodes', 'What all nodes counted together'], ...regionsOf(nodes).map((name) => [`${REGION}${name}`, name])];
  const rows = [choose('Figures of', wide, region === null ? (whose ?? '') : `${REGION}${region}`)];
  const ids = region === null ? [] : idsIn(nodes, region);
  if (ids.length > 0) rows.push(choose(`Nodes of ${region}`, [[`${REGION}${region}`, `All of ${region}`], ...ids.map((id) => [`${NODE}${id}`, id])], whose));
  return rows;
}

const someOf = (names) => (names.length > NAMES_MOST ? `${names.slice(0, NAMES_MOST).join(', ')} and ${names.length - NAMES_MOST} more` : names.join(', '));

/** How much of what was asked for is in an answer about several nodes, and how old it is: [text, whether all is well]. */
export function coverageWords({ coverage, nodes, oldest_ms: oldest }) {
  const name = (node) => node.node_id ?? 'a node without a name yet';
  const missing = nodes.filter((node) => node.age_ms === null).map(name);
  const old = nodes.filter((node) => node.age_ms !== null && node.stale).map(name);
  const words = [
    `${coverage.responding} of ${coverage.total} nodes responding`,
    missing.length > 0 && `no figures of ${someOf(missing)}`,
    old.length > 0 && `old figures of ${someOf(old)}`,
    `the oldest are from ${fmt.duration(oldest / 1000)} ago`,
  ];
  return [words.filter(Boolean).join('; '), missing.length + old.length === 0];
}

/** The same as a line of text; nothing about this node alone. */
export function coverageNote(answer) {
  if (!answer?.coverage) return null;
  const [words, isWell] = coverageWords(answer);
  return h('p', { class: isWell ? 'muted small' : 'warn small' }, words);
}
