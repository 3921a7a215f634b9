// The last routing decisions, newest first. While someone reads (points at it, focused it, scrolled down) it stands still
// and counts what is new.

import { fmt, h, keyed, setText } from './dom.js';

const KEPT = 100;

export class ActivityFeed {
  #store;
  #rows = [];
  #shown = [];
  #next = 0;
  #list = h('ol', { class: 'feed', tabindex: 0, 'aria-label': 'Recent routing decisions, newest first' });
  #note = h('button', { type: 'button', class: 'feed-note', hidden: true, onclick: () => this.#release() });
  #none = h('p', { class: 'empty small' }, 'No calls yet. They appear here as they are routed.');
  #pointed = false;
  #focused = false;

  constructor({ store, select }) {
    this.#store = store;
    this.element = h('div', { class: 'feed-frame' }, this.#note, this.#none, this.#list);
    this.#list.addEventListener('pointerenter', (e) => (this.#pointed = e.pointerType === 'mouse'));
    this.#list.addEventListener('pointerleave', () => (this.#pointed = false));
    this.#list.addEventListener('focusin', () => (this.#focused = true));
    this.#list.addEventListener('focusout', () => (this.#focused = false));
    this.#list.addEventListener('click', (event) => {
      const row = this.#shown.find((r) => r.key === Number(event.target.closest?.('li')?.dataset.key));
      if (row) select(row.event.chain, row.event.routing?.selected_provider?.id ?? null);
    });
    this.take(store.events);
  }

  clear() {
    this.#rows = [];
    this.#shown = [];
    this.take(this.#store.events);
  }

  take(events) {
    for (const event of events) {
      if (event.event !== 'rpc.request.completed' || (event.profile && event.profile !== this.#store.profile)) continue;
      this.#rows.unshift({ key: this.#next++, event });
    }
    if (this.#rows.length > KEPT) this.#rows.length = KEPT;
  }

  /** The last decision of a chain, or null. */
  last(chain) {
    return this.#rows.find((r) => r.event.chain === chain)?.event ?? null;
  }

  #isHeld() {
    return this.#shown.length > 0 && (this.#pointed || this.#focused || this.#list.scrollTop > 4);
  }

  #release() {
    this.#list.scrollTop = 0;
    this.#pointed = false;
    this.#focused = false;
    this.#list.blur();
    this.#shown = [];
    this.draw();
  }

  draw() {
    if (!this.element.isConnected) return;
    const isHeld = this.#isHeld();
    if (!isHeld) this.#shown = this.#rows.slice();
    const fresh = isHeld ? this.#rows.filter((r) => r.key > (this.#shown[0]?.key ?? -1)).length : 0;
    this.#note.hidden = !isHeld;
    setText(this.#note, fresh > 0 ? `Paused · ${fresh === KEPT ? `${KEPT}+` : fresh} new` : 'Paused');
    this.#none.hidden = this.#rows.length > 0;
    keyed(this.#list, this.#shown, (r) => r.key, (r) => makeRow(r));
  }
}

function makeRow({ key, event }) {
  const failed = event.response?.status !== 'success';
  const provider = event.routing?.selected_provider;
  const retries = Number(event.routing?.retries) || 0;
  const error = event.response?.error;
  const title = [event.request_id && `request ${event.request_id}`, event.strategy && `strategy ${event.strategy.replaceAll('_', '-')}`,
    error && `error ${[error.code, error.category].filter((x) => x !== undefined && x !== null).join(' ')}`].filter(Boolean).join('\n');
  return h('li', { class: failed ? 'is-failed' : null, title, dataset: { key } },
    h('time', { class: 'faint' }, fmt.time(event.timestamp)),
    h('span', { class: 'feed-what' },
      h('span', { class: 'feed-method' }, event.jsonrpc_method ?? '?'),
      h('span', { class: 'feed-where muted' }, h('span', { class: 'truncate' }, `${event.chain ?? '?'} → ${provider?.id ?? 'no provider'}`),
        provider?.protocol === 'ws' && h('span', { class: 'tag' }, 'WS'))),
    retries > 0 && h('span', { class: 'tag is-retried', title: `${retries} ${retries === 1 ? 'failover' : 'failovers'}` }, `↻ ${retries}`),
    h('span', { class: 'feed-result num' }, failed ? [h('b', { class: 'bad' }, '✕'), ` ${errorWord(error)}`] : fmt.ms(event.timing?.end_to_end_latency_ms)));
}

const errorWord = (error) => (error?.category ?? error?.code ?? 'error').toString().replaceAll('_', ' ');
