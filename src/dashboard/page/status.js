// The states of a provider: one word, one colour (a class), one shape, one sentence each. The order is of gravity.

import { h, svg } from './dom.js';

/** Paths are drawn in a box from -6 to 6. `solid` ones are filled, the others stroked. */
export const STATUSES = {
  circuit_open: {
    label: 'Circuit open',
    path: 'M-4-4L4 4M4-4L-4 4',
    hint: 'Too many failures: it gets no calls until a test call succeeds.',
  },
  wrong_chain: {
    label: 'Wrong chain',
    path: 'M-5-1.8H5M-5 1.8H5M2.5-5L-2.5 5',
    hint: 'It serves another chain than the one configured and gets no calls, or follows another fork than others and comes last.',
  },
  misconfigured: {
    label: 'Misconfigured',
    path: 'M0-5V1M0 4V4.2',
    hint: 'It refuses our key or our address: it gets no calls until that is repaired.',
  },
  rate_limited: {
    label: 'Rate limited',
    path: 'M-2.2-4.2V4.2M2.2-4.2V4.2',
    hint: 'It asked for a pause: calls go to the others until the pause is over.',
  },
  recovering: {
    label: 'Recovering',
    path: 'M0-5.2A5.2 5.2 0 0 1 0 5.2Z',
    solid: true,
    ring: true,
    hint: 'A test call is under way: it gets few calls until enough succeed.',
  },
  lagging: {
    label: 'Lagging',
    path: 'M-5-3.5H5L0 5Z',
    solid: true,
    hint: 'It is behind the other providers of its chain: calls for recent blocks go elsewhere.',
  },
  unsteady: {
    label: 'Unsteady',
    path: 'M0-5.6L5.6 0L0 5.6L-5.6 0Z',
    solid: true,
    hint: 'Some calls failed lately: it is used, with less trust.',
  },
  unknown: {
    label: 'Unknown',
    path: 'M-5 0A5 5 0 1 1 5 0A5 5 0 1 1-5 0Z',
    dashed: true,
    hint: 'Nothing was heard of it yet.',
  },
  healthy: {
    label: 'Healthy',
    path: 'M-5 0A5 5 0 1 1 5 0A5 5 0 1 1-5 0Z',
    solid: true,
    hint: 'It answers and is up to date.',
  },
};

const ORDER = Object.keys(STATUSES);

/** A word that this page does not know is shown as it is, in the shape of the unknown. */
export const statusOf = (word) =>
  STATUSES[word] ?? { ...STATUSES.unknown, label: word ? String(word).replaceAll('_', ' ') : 'Unknown', hint: '' };

export const statusClass = (word) => `s-${STATUSES[word] ? word : 'unknown'}`;

/** 0 is the gravest. */
export const gravity = (word) => (STATUSES[word] ? ORDER.indexOf(word) : ORDER.indexOf('unknown'));

/** The shape's parts, for a group whose class carries the colour. */
export function glyphParts(word) {
  const status = statusOf(word);
  const parts = [];
  if (status.ring) parts.push(svg('circle', { r: 5.2, class: 'g-line' }));
  parts.push(svg('path', { d: status.path, class: status.solid ? 'g-solid' : 'g-line', 'stroke-dasharray': status.dashed ? '2.4 2.1' : null }));
  return parts;
}

/** The shape as an inline icon. */
export const statusGlyph = (word) =>
  svg('svg', { class: `glyph ${statusClass(word)}`, viewBox: '-8 -8 16 16', 'aria-hidden': 'true' }, glyphParts(word));

/** Shape and word. */
export const statusBadge = (word) =>
  h('span', { class: `badge ${statusClass(word)}`, title: statusOf(word).hint || null }, statusGlyph(word), statusOf(word).label);
