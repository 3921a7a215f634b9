// Beside the picture: the profile when nothing is selected, else a chain, else a provider. One skeleton each, made when the
// selection changes; after that only texts change. What needs more than the status is polled while it is shown.

import { get } from './api.js';
import { ChainPanel } from './chain_panel.js';
import { fmt, h, keyed, replace, setAttr, setText, stat } from './dom.js';
import { ProviderPanel } from './provider_panel.js';
import { gravity, statusGlyph, statusOf } from './status.js';

const TROUBLES_SHOWN = 5;

/** Asks for `path` again and again until stopped; not while the page is hidden. */
export function poll(path, everyMs, use) {
  const ending = new AbortController();
  let timer = 0;
  const ask = async () => {
    clearTimeout(timer);
    if (document.hidden) {
      timer = setTimeout(ask, everyMs);
      return;
    }
    try {
      const body = await get(path, { signal: ending.signal });
      if (!ending.signal.aborted) use(body, null);
    } catch (error) {
      if (!ending.signal.aborted) use(null, error);
    }
    if (!ending.signal.aborted) timer = setTimeout(ask, everyMs);
  };
  ask();
  return {
    soon: () => {
      clearTimeout(timer);
      if (!ending.signal.aborted) timer = setTimeout(ask, 150);
    },
    stop: () => {
      clearTimeout(timer);
      ending.abort();
    },
  };
}

/** A figure that is brought up to date by `set`. */
export function figure(label, title) {
  const value = h('span', null, '–');
  const unit = h('small');
  const el = stat(label, [value, unit], { title });
  return {
    el,
    set(text, small = '') {
      setText(value, text);
      setText(unit, small);
    },
  };
}

export class Panel {
  #app;
  #traffic;
  #feed;
  #now = null;
  #key = null;
  #showList;

  constructor({ app, traffic, feed, showList }) {
    this.#app = app;
    this.#showList = showList;
    this.#traffic = traffic;
    this.#feed = feed;
    this.element = h('aside', { class: 'card panel', 'aria-label': 'Details', tabindex: -1 });
    this.element.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && app.store.chain) app.navigate({ chain: null, provider: null });
    });
  }

  /** The selection changed. */
  selected() {
    const { store } = this.#app;
    const { profile, chain, provider } = store;
    const key = [profile, chain, provider].join('\n');
    if (key === this.#key) return;
    const isFirst = this.#key === null;
    this.#key = key;
    this.#now?.end?.();
    const parts = { app: this.#app, traffic: this.#traffic, feed: this.#feed, showList: this.#showList };
    if (!chain) this.#now = new ProfilePanel(parts);
    else if (!store.chainOf(chain)) this.#now = new Missing(parts, `There is no chain “${chain}” in this profile.`);
    else if (!provider) this.#now = new ChainPanel({ ...parts, chain });
    else if (!store.providerOf(chain, provider)) this.#now = new Missing(parts, `There is no provider “${provider}” on ${chain}.`);
    else this.#now = new ProviderPanel({ ...parts, chain, provider });
    // Who came by a link of the panel is not left on a link that is gone.
    const hadFocus = this.element.contains(document.activeElement);
    replace(this.element, chain && crumbs(this.#app, chain, provider), this.#now.element);
    this.element.classList.toggle('is-selection', Boolean(chain));
    this.element.scrollTop = 0;
    this.#now.draw();
    // In a single column the panel moves to the top: what was chosen has to come into view.
    const isColumn = getComputedStyle(this.element.parentElement ?? this.element).getPropertyValue('--columns').trim() === '1';
    if (!isFirst && chain && isColumn) this.element.scrollIntoView({ block: 'start' });
    if (hadFocus || (!isFirst && chain && isColumn)) this.element.focus({ preventScroll: true });
  }

  draw() {
    this.#now?.draw();
  }

  take(events) {
    this.#now?.take?.(events);
  }

  end() {
    this.#now?.end?.();
  }
}

function crumbs(app, chain, provider) {
  const { store, address } = app;
  const close = h('a', { class: 'icon-button', href: address({ chain: null, provider: null }), 'aria-label': 'Close, back to the profile', title: 'Back to the profile' }, '✕');
  return h('div', { class: 'crumbs' },
    h('nav', { class: 'truncate', 'aria-label': 'Where you are' },
      h('a', { href: address({ chain: null, provider: null }) }, store.scope?.name ?? store.profile), ' / ',
      provider ? [h('a', { href: address({ chain, provider: null }) }, chain), ' / ', h('span', { 'aria-current': 'true' }, provider)]
        : h('span', { 'aria-current': 'true' }, chain)),
    close);
}

class Missing {
  constructor({ app }, text) {
    this.element = h('div', { class: 'empty' }, h('p', { class: 'empty-title' }, text),
      h('a', { class: 'button', href: app.address({ chain: null, provider: null }) }, 'Show the whole profile'));
  }

  draw() {}
}

/** Nothing selected. */
class ProfilePanel {
  #app;
  #traffic;
  #rate = figure('Calls per second', 'Over the last minute, seen by this page');
  #success = figure('Success', 'Share of the last minute’s calls that got a result');
  #latency = figure('Average latency', 'From the client’s request to its answer');
  #failovers = figure('Failovers', 'Attempts beyond the first, in the last minute');
  #facts = h('p', { class: 'small muted' });
  #troubles = h('ul', { class: 'troubles' });
  #attention;
  #troublesTitle = h('h3', null, 'Needs attention');
  #more = h('button', { type: 'button', class: 'link-button small', hidden: true });
  #fine = h('p', { class: 'small muted fine' }, statusGlyph('healthy'), ' Every provider is healthy.');

  constructor({ app, traffic, feed, showList }) {
    this.#app = app;
    this.#traffic = traffic;
    this.#more.addEventListener('click', showList);
    this.element = h('div', { class: 'panel-parts' },
      h('section', { class: 'panel-part' }, h('p', { class: 'eyebrow' }, 'Routing profile'), h('h2', { class: 'panel-title' }, app.store.scope?.name ?? app.store.profile ?? ''), this.#facts,
        h('dl', { class: 'stats' }, this.#rate.el, this.#success.el, this.#latency.el, this.#failovers.el)),
      (this.#attention = h('section', { class: 'panel-part' }, this.#troublesTitle, this.#fine, this.#troubles, this.#more)),
      h('section', { class: 'panel-part is-last' }, h('h3', null, 'Recent activity'), feed.element));
  }

  draw() {
    const { store, address } = this.#app;
    const providers = store.chains.flatMap((c) => (c.providers ?? []).map((p) => ({ ...p, chain: c.chain })));
    setText(this.#facts, [`${store.chains.length} ${store.chains.length === 1 ? 'chain' : 'chains'}`, `${providers.length} providers`, store.profile].join(' · '));
    const { rate, calls, success, latency_ms, failovers, is_sampled } = this.#traffic.of();
    this.#rate.set(calls > 0 ? `${is_sampled ? '≥ ' : ''}${fmt.rate(rate)}` : '0', is_sampled ? 'sampled' : '');
    this.#success.set(fmt.percent(success), calls > 0 ? `of ${fmt.count(calls)}` : '');
    this.#latency.set(fmt.ms(latency_ms));
    this.#failovers.set(fmt.count(failovers), 'in 60 s');
    const troubles = providers.filter((p) => p.status !== 'healthy').sort((a, b) => gravity(a.status) - gravity(b.status));
    this.#attention.hidden = providers.length === 0;
    this.#fine.hidden = troubles.length > 0 || providers.length === 0;
    setText(this.#troublesTitle, troubles.length > 0 ? `Needs attention (${troubles.length})` : 'Needs attention');
    setText(this.#more, `and ${troubles.length - TROUBLES_SHOWN} more: show the list`);
    this.#more.hidden = troubles.length <= TROUBLES_SHOWN;
    keyed(this.#troubles, troubles.slice(0, TROUBLES_SHOWN), (p) => `${p.chain}\n${p.id}\n${p.status}`,
      (p) => h('li', null, h('a', { href: address({ chain: p.chain, provider: p.id }), class: 'trouble' }, statusGlyph(p.status),
        h('span', { class: 'grow' }, h('b', null, p.id), h('span', { class: 'muted' }, ` on ${p.chain}`), h('span', { class: 'trouble-why tiny muted' })))),
      (el, p) => {
        setAttr(el.firstChild, 'href', address({ chain: p.chain, provider: p.id }));
        setText(el.querySelector('.trouble-why'), `${statusOf(p.status).label}${p.reason ? `: ${p.reason}` : ''}`);
      });
  }
}
