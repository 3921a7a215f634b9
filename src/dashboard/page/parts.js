// Parts that the views share: cards, choices, tables that scroll on their own, links to what a row speaks of.

import { h } from './dom.js';
import { statusBadge, statusGlyph, statusOf } from './status.js';

export const title = (text, ...beside) => h('div', { class: 'toolbar' }, h('h1', { class: 'v-title' }, text), beside);

export const head = (id, text, ...controls) => h('div', { class: 'card-head' }, h('h2', { id }, text), controls.length > 0 && h('div', { class: 'toolbar' }, controls));

export const body = (...children) => h('div', { class: 'card-body stack' }, children);

export const note = (...children) => h('p', { class: 'muted small' }, children);

// What is shown is not of this moment.
export const stale = (error) => error && h('p', { class: 'bad small', role: 'status' }, `Not up to date: ${error.message}`);

// One of a few; `choices` are [value, text] or [value, text, hint].
export const segmented = (label, action, choices, chosen) =>
  h(
    'div',
    { class: 'segmented', role: 'group', 'aria-label': label },
    choices.map(([value, text, hint]) => h('button', { type: 'button', 'data-key': value, 'data-act': action, 'data-value': value, title: hint ?? null, 'aria-pressed': String(value === chosen) }, text)),
  );

export const select = (label, action, choices, chosen) =>
  h(
    'label',
    { class: 'check' },
    label,
    h('select', { class: 'select', 'data-act': action }, choices.map(([value, text]) => h('option', { value, selected: value === chosen }, text))),
  );

const grid = (label, columns, rows) =>
  h(
    'table',
    { class: 'table', 'aria-label': label },
    h('thead', {}, h('tr', {}, columns.map((column) => (column instanceof Node ? column : h(column[0] ? 'th' : 'td', { scope: column[0] ? 'col' : null, class: column[1] ?? null, title: column[2] ?? null }, column[0]))))),
    h('tbody', {}, rows),
  );

// `columns` are [name, class, hint]. It scrolls by itself, and by keyboard, where it is wider than its place.
export const table = (label, columns, rows, props) => h('div', { class: 'scroll-x', tabindex: '0', role: 'region', 'aria-label': label, ...props }, grid(label, columns, rows));

// One that fits everywhere: a place less for the tabulator to stop.
export const smallTable = grid;

export const cell = (...children) => h('td', { class: 'num' }, children);

// To the provider's panel on the overview; its state, where there is something to say: this node's, or another one that is `known`.
export const providerLink = (app, chain, id, { glyph = false, known = app.store.providerOf(chain, id) } = {}) => {
  const word = known?.status;
  return h(
    'span',
    { class: 'v-provider' },
    glyph && known && h('span', { title: known.reason || statusOf(word).label }, statusGlyph(word), h('span', { class: 'visually-hidden' }, `${statusOf(word).label}: `)),
    h('a', { class: 'v-plain', href: app.address({ tab: 'overview', chain, provider: id }) }, id),
    !glyph && known && word !== 'healthy' && h('span', { title: known.reason || null }, statusBadge(word)),
  );
};
