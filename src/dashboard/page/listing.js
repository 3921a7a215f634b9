// The same chains and providers as a list: for narrow screens, for screen readers, and for who prefers reading.

import { fmt, h, keyed, setAttr, setText } from './dom.js';
import { statusBadge } from './status.js';

export class ChainList {
  #store;
  #traffic;
  #select;
  #address;

  constructor({ store, traffic, select, address }) {
    this.#store = store;
    this.#traffic = traffic;
    this.#select = select;
    this.#address = address;
    this.element = h('div', { class: 'chain-list' });
  }

  draw() {
    keyed(this.element, this.#store.chains, (c) => c.chain, (c) => this.#makeChain(c), (el, c) => this.#drawChain(el, c));
  }

  #makeChain(chain) {
    const parts = {
      link: h('a', { class: 'chain-link', href: '#' }, chain.chain),
      height: h('span', { class: 'mono small muted' }),
      good: h('span', { class: 'small muted' }),
      list: h('ul', { class: 'provider-list' }),
    };
    const el = h('section', { class: 'chain-block' }, h('h2', null, parts.link), h('div', { class: 'row apart' }, parts.height, parts.good), parts.list);
    return Object.assign(el, { parts });
  }

  #drawChain(el, chain) {
    const { parts } = el;
    const providers = chain.providers ?? [];
    const { chain: selectedChain, provider: selectedProvider } = this.#store;
    const head = this.#store.heads.get(chain.chain) ?? chain.head;
    const isHere = selectedChain === chain.chain;
    setAttr(parts.link, 'href', this.#address({ chain: chain.chain, provider: null }));
    setAttr(parts.link, 'aria-current', isHere && !selectedProvider ? 'true' : null);
    setText(parts.height, Number.isFinite(head) ? `block ${fmt.whole(head)}` : 'no block yet');
    setText(parts.good, `${providers.filter((p) => p.status === 'healthy').length}/${providers.length} healthy`);
    const all = this.#traffic.of(chain.chain).calls;
    keyed(parts.list, providers, (p) => p.id, () => this.#makeProvider(), (item, p) => {
      const { link, badge, ws, share, reason } = item.parts;
      setText(link, p.id);
      setAttr(link, 'href', this.#address({ chain: chain.chain, provider: p.id }));
      setAttr(link, 'aria-current', isHere && selectedProvider === p.id ? 'true' : null);
      if (item.word !== p.status) {
        item.word = p.status;
        badge.replaceChildren(statusBadge(p.status));
      }
      ws.hidden = !(p.circuits && 'ws' in p.circuits);
      const calls = this.#traffic.of(chain.chain, p.id).calls;
      setText(share, all > 0 ? fmt.percent(Math.round((calls / all) * 100) / 100).replace('.0', '') : '');
      setText(reason, p.reason || '');
      reason.hidden = !p.reason;
    });
  }

  #makeProvider() {
    const parts = {
      link: h('a', { class: 'provider-link truncate', href: '#' }),
      badge: h('span'),
      ws: h('span', { class: 'tag' }, 'WS'),
      share: h('span', { class: 'num small muted', title: 'Share of the chain’s calls in the last minute' }),
      reason: h('p', { class: 'tiny muted reason' }),
    };
    const el = h('li', null, h('div', { class: 'row' }, parts.link, parts.ws, h('span', { class: 'grow' }), parts.share, parts.badge), parts.reason);
    return Object.assign(el, { parts, word: null });
  }
}
