// A chain: how it does, where to send calls, who gets them.

import { paths } from './api.js';
import { copyButton, fmt, h, keyed, setAttr, setText } from './dom.js';
import { figure, poll } from './panels.js';
import { coverageWords, hasOthers, scopeChoices, scopeQuery, whoseOf } from './scopes.js';
import { statusClass, statusGlyph, statusOf } from './status.js';

const PROVIDERS_EVERY_MS = 2_000;
const METRICS_EVERY_MS = 5_000;
const STRATEGIES = [
  ['', 'Default', 'The strategy that the chain is configured with'],
  ['priority', 'Priority', 'The preferred provider first, the others when it fails'],
  ['load-balanced', 'Load balanced', 'Spread over all that are fit'],
  ['latency-weighted', 'Latency weighted', 'Spread, the faster the more'],
  ['fastest', 'Fastest', 'The fastest first'],
];
const STRATEGY_KEY = 'lasso.strategy';

let strategy = '';
try {
  const kept = localStorage.getItem(STRATEGY_KEY);
  if (STRATEGIES.some(([word]) => word === kept)) strategy = kept;
} catch {
  // The default does.
}

/** A URL that can be read, selected and copied. */
export function endpoint(label) {
  const text = h('code', { class: 'url', tabindex: 0 });
  const el = h('div', { class: 'endpoint' }, h('span', { class: 'tag' }, label), text, copyButton(() => text.textContent, `Copy the ${label} address`));
  return { el, set: (url) => setText(text, url) };
}

export class ChainPanel {
  #app;
  #traffic;
  #feed;
  #chain;
  #polls;
  #providers = null;
  #metrics = null;
  #whose = null;
  #error = null;
  #figuresError = null;
  #parts;

  constructor({ app, traffic, feed, chain }) {
    this.#app = app;
    this.#traffic = traffic;
    this.#feed = feed;
    this.#chain = chain;
    const { profile } = app.store;
    this.#build();
    this.#polls = [
      poll(paths.providers(profile, chain), PROVIDERS_EVERY_MS, (body, error) => {
        this.#error = error;
        if (body) this.#providers = body;
        this.draw();
      }),
      this.#askFigures(),
    ];
  }

  /** Figures of whom the address names; its first answer replaces what is shown, so that nothing flickers. */
  #askFigures() {
    const { store } = this.#app;
    this.#whose = whoseOf(store);
    return poll(`${paths.metrics(store.profile, this.#chain)}${scopeQuery(this.#whose)}`, METRICS_EVERY_MS, (body, error) => {
      this.#figuresError = error;
      if (body) this.#metrics = body;
      this.draw();
    });
  }

  /** Another choice of nodes, or the first word that there are some. */
  #follow() {
    if (whoseOf(this.#app.store) === this.#whose) return;
    this.#polls[1].stop();
    this.#polls[1] = this.#askFigures();
  }

  end() {
    this.#polls.forEach((p) => p.stop());
  }

  #build() {
    const parts = {
      facts: h('p', { class: 'small muted' }),
      height: figure('Latest block'),
      healthy: figure('Healthy providers'),
      p50: figure('p50', 'Half of the last hour’s calls were faster'),
      p95: figure('p95', 'Of twenty calls in the last hour, nineteen were faster'),
      success: figure('Success', 'Of the last hour’s calls'),
      rate: figure('Calls per second', 'Over the last minute'),
      strategies: STRATEGIES.map(([word, label, title]) =>
        h('button', { type: 'button', title, dataset: { word }, onclick: () => this.#choose(word) }, label)),
      http: endpoint('HTTP'),
      ws: endpoint('WS'),
      last: h('p', { class: 'small' }),
      shares: h('ul', { class: 'shares' }),
      noCalls: h('p', { class: 'small muted' }, 'No calls in the last minute.'),
      error: h('p', { class: 'small bad', hidden: true }),
      whose: h('select', { class: 'select', onchange: (event) => this.#app.navigate({ whose: event.target.value || null }) }),
      coverage: h('p', { class: 'tiny muted', role: 'status' }),
    };
    parts.scope = h('div', { hidden: true }, h('label', { class: 'check small' }, 'Figures of', parts.whose), parts.coverage);
    this.#parts = parts;
    this.element = h('div', { class: 'panel-parts' },
      h('section', { class: 'panel-part' }, h('h2', { class: 'panel-title' }, this.#chain), parts.facts, parts.error, parts.scope,
        h('dl', { class: 'stats' }, parts.height.el, parts.healthy.el, parts.rate.el, parts.p50.el, parts.p95.el, parts.success.el)),
      h('section', { class: 'panel-part' }, h('h3', null, 'Send calls to'),
        h('div', { class: 'segmented is-small', role: 'group', 'aria-label': 'Strategy' }, parts.strategies), parts.http.el, parts.ws.el),
      h('section', { class: 'panel-part' }, h('h3', null, 'Who got the last minute’s calls'), parts.noCalls, parts.shares),
      h('section', { class: 'panel-part is-last' }, h('h3', null, 'Last decision'), parts.last));
  }

  #choose(word) {
    strategy = word;
    try {
      localStorage.setItem(STRATEGY_KEY, word);
    } catch {
      // Forgotten at the next visit.
    }
    this.draw();
  }

  draw() {
    const { store, address } = this.#app;
    const parts = this.#parts;
    const chain = store.chainOf(this.#chain);
    if (!chain) return;
    this.#follow();
    this.#drawScope();
    const providers = chain.providers ?? [];
    const details = new Map((this.#providers?.providers ?? []).map((p) => [p.id, p]));
    const performance = this.#metrics?.chain_performance ?? {};
    const block = this.#providers?.block_time_ms;
    const lag = this.#providers?.max_lag_blocks;
    setText(parts.facts, [`chain id ${chain.chain_id ?? '–'}`, block && `a block every ${fmt.ms(block)}`,
      Number.isFinite(lag) ? `used up to ${lag} ${lag === 1 ? 'block' : 'blocks'} behind` : null].filter(Boolean).join(' · '));
    setText(parts.error, this.#error?.message ?? '');
    parts.error.hidden = !this.#error;
    parts.height.set(fmt.whole(store.heads.get(chain.chain) ?? chain.head));
    // A provider of several nodes is as it is on the node where it is worst.
    const judged = this.#several()?.providers ?? providers;
    parts.healthy.set(`${judged.filter((p) => p.status === 'healthy').length}`, `of ${judged.length}`);
    const hour = performance.total_calls > 0;
    parts.p50.set(hour ? fmt.ms(performance.p50_latency_ms) : '–');
    parts.p95.set(hour ? fmt.ms(performance.p95_latency_ms) : '–');
    parts.success.set(hour ? fmt.percent(performance.success_rate) : '–', hour ? `of ${fmt.count(performance.total_calls)}` : '');
    parts.rate.set(fmt.rate(performance.rpc_calls_per_second));
    for (const button of parts.strategies) setAttr(button, 'aria-pressed', String(button.dataset.word === strategy));
    parts.http.set(paths.endpoint('http', store.profile, chain.chain, strategy || null));
    parts.ws.set(paths.endpoint('ws', store.profile, chain.chain, strategy || null));
    parts.ws.el.hidden = !providers.some((p) => p.circuits && 'ws' in p.circuits);
    this.#drawShares(providers, details, address);
    this.#drawLast();
  }

  /** The answer about several nodes, when that is what is shown. */
  #several() {
    return this.#metrics?.coverage ? this.#metrics : null;
  }

  #drawScope() {
    const { scope, whose, coverage } = this.#parts;
    const { store } = this.#app;
    scope.hidden = !hasOthers(store);
    if (scope.hidden) return;
    keyed(whose, scopeChoices(store), ([value]) => value, ([value, text]) => h('option', { value }, text));
    const wanted = this.#whose ?? '';
    if (whose.value !== wanted && whose !== document.activeElement) whose.value = wanted;
    const several = this.#several();
    const [words, isWell] = several ? coverageWords(several) : ['', true];
    setText(coverage, this.#figuresError ? this.#figuresError.message : words);
    setAttr(coverage, 'class', `tiny ${this.#figuresError ? 'bad' : isWell ? 'muted' : 'warn'}`);
  }

  #drawShares(listed, details, address) {
    const { shares, noCalls } = this.#parts;
    const several = new Map((this.#several()?.providers ?? []).map((p) => [p.id, p]));
    const callsOf = (id) => (this.#several() ? (several.get(id)?.last_minute.total_calls ?? 0) : (details.get(id)?.last_minute?.calls ?? this.#traffic.of(this.#chain, id).calls));
    const providers = listed.map((p) => ({ ...p, status: several.get(p.id)?.status ?? p.status }));
    const all = providers.reduce((sum, p) => sum + callsOf(p.id), 0);
    noCalls.hidden = all > 0;
    const rows = providers.map((p) => ({ ...p, calls: callsOf(p.id) })).sort((a, b) => b.calls - a.calls);
    keyed(shares, rows, (p) => p.id,
      (p) => h('li', null, h('a', { class: 'share', href: address({ chain: this.#chain, provider: p.id }) },
        h('span', { class: 'share-glyph' }), h('span', { class: 'truncate' }, p.id), h('span', { class: 'num muted' }), h('span', { class: 'bar' }, h('i')))),
      (el, p) => {
        const [glyph, , figures, bar] = el.firstChild.children;
        setAttr(el.firstChild, 'href', address({ chain: this.#chain, provider: p.id }));
        if (el.word !== p.status) {
          el.word = p.status;
          glyph.replaceChildren(statusGlyph(p.status));
          setAttr(el, 'class', statusClass(p.status));
          setAttr(glyph, 'title', statusOf(p.status).label);
        }
        const share = all > 0 ? p.calls / all : 0;
        setText(figures, `${all > 0 ? fmt.percent(Math.round(share * 100) / 100).replace('.0', '') : '–'} · ${fmt.count(p.calls)}`);
        bar.style.setProperty('--value', share.toFixed(3));
      });
  }

  #drawLast() {
    const event = this.#feed.last(this.#chain);
    if (!event) {
      setText(this.#parts.last, 'None seen yet.');
      return;
    }
    const { routing, response, timing } = event;
    const failed = response?.status !== 'success';
    const retries = Number(routing?.retries) || 0;
    setText(this.#parts.last, [`${fmt.time(event.timestamp)} · ${event.jsonrpc_method} → ${routing?.selected_provider?.id ?? 'no provider'}`,
      failed ? `failed (${response?.error?.category ?? response?.error?.code ?? 'error'})` : fmt.ms(timing?.end_to_end_latency_ms),
      event.strategy?.replaceAll('_', ' '), retries > 0 ? `${retries} ${retries === 1 ? 'failover' : 'failovers'}` : null].filter(Boolean).join(' · '));
  }

  take(events) {
    if (events.some((e) => e.event.startsWith('provider.'))) this.#polls[0].soon();
  }
}
