// A provider on a chain: what state it is in and why, what follows from that, and what it did.

import { paths } from './api.js';
import { fmt, h, keyed, replace, setAttr, setText } from './dom.js';
import { endpoint } from './chain_panel.js';
import { figure, poll } from './panels.js';
import { hasOthers } from './scopes.js';
import { statusBadge, statusClass, statusGlyph, statusOf } from './status.js';

const PROVIDERS_EVERY_MS = 2_000;
const METRICS_EVERY_MS = 5_000;
const EVENTS_SHOWN = 15;
const METHODS_SHOWN = 6;
const CIRCUITS = { closed: ['Closed', 'healthy'], half_open: ['Half open', 'recovering'], open: ['Open', 'circuit_open'] };
const words = (text) => (text ? String(text).replaceAll('_', ' ') : '');
const plural = (n, one, many = `${one}s`) => `${fmt.whole(n)} ${n === 1 ? one : many}`;

export class ProviderPanel {
  #app;
  #traffic;
  #chain;
  #id;
  #polls;
  #body = null;
  #metrics = null;
  #error = null;
  #gotAt = 0;
  #parts;

  constructor({ app, traffic, chain, provider }) {
    this.#app = app;
    this.#traffic = traffic;
    this.#chain = chain;
    this.#id = provider;
    const { profile } = app.store;
    this.#build();
    this.#polls = [
      poll(paths.providers(profile, chain), PROVIDERS_EVERY_MS, (body, error) => {
        this.#error = error;
        if (body) {
          this.#body = body;
          this.#gotAt = Date.now();
        }
        this.draw();
      }),
      poll(paths.metrics(profile, chain), METRICS_EVERY_MS, (body) => {
        if (body) this.#metrics = body;
        this.draw();
      }),
    ];
  }

  end() {
    this.#polls.forEach((p) => p.stop());
  }

  take(events) {
    if (events.some((e) => this.#isMine(e))) this.#polls[0].soon();
  }

  #isMine(event) {
    const { profile } = this.#app.store;
    return (event.providers ?? []).some((p) => p?.profile === profile && p.chain === this.#chain && p.id === this.#id);
  }

  #build() {
    const { address } = this.#app;
    const parts = {
      name: h('p', { class: 'small muted' }),
      badge: h('span'),
      verdict: h('div', { class: 'verdict' }, h('p', { class: 'verdict-why' }), h('p', { class: 'small verdict-what' }), h('p', { class: 'tiny faint' })),
      why: h('a', { class: 'button', href: address({ tab: 'explain', chain: this.#chain, provider: this.#id }) }, 'Why does it get calls?'),
      regions: h('a', { class: 'button', hidden: true, href: address({ tab: 'regions', chain: this.#chain, provider: this.#id }) }, 'Compare regions'),
      error: h('p', { class: 'small bad', hidden: true }),
      p50: figure('p50', 'Half of the last minute’s calls were faster'),
      p99: figure('p99', 'Of a hundred calls in the last minute, ninety-nine were faster'),
      success: figure('Success', 'Of the last minute’s calls'),
      share: figure('Share of calls', 'Of the chain’s calls in the last minute'),
      height: figure('Its block'),
      consensus: figure('The chain’s block', 'What most providers of the chain agree on'),
      lag: figure('Behind'),
      lagBar: h('span', { class: 'bar lag-bar' }, h('i')),
      sync: h('p', { class: 'tiny faint' }),
      circuits: h('ul', { class: 'circuits' }),
      alerts: h('ul', { class: 'alerts' }),
      noAlerts: h('p', { class: 'small muted fine' }, statusGlyph('healthy'), ' None now.'),
      events: h('ol', { class: 'events' }),
      noEvents: h('p', { class: 'small muted' }, 'Nothing happened to it since this page was opened.'),
      eventsTitle: h('summary', null, 'Events'),
      methods: h('tbody'),
      noMethods: h('p', { class: 'small muted' }, 'No calls in the last hour.'),
      endpoint: endpoint('HTTP'),
      facts: h('dl', { class: 'kv' }),
    };
    parts.table = h('table', { class: 'table is-tight' },
      h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Method'), ...['p50', 'p95', 'Success', 'Calls'].map((t) => h('th', { scope: 'col', class: 'num' }, t)))), parts.methods);
    this.#parts = parts;
    this.element = h('div', { class: 'panel-parts' },
      h('section', { class: 'panel-part' },
        h('div', { class: 'row apart' }, h('h2', { class: 'panel-title' }, this.#id), parts.badge), parts.name, parts.verdict, parts.error,
        h('div', { class: 'row wrap' }, parts.why, parts.regions),
        h('dl', { class: 'stats' }, parts.share.el, parts.success.el, parts.p50.el, parts.p99.el)),
      h('section', { class: 'panel-part' }, h('h3', null, 'Sync'), h('dl', { class: 'stats is-3' }, parts.height.el, parts.consensus.el, parts.lag.el), parts.lagBar, parts.sync),
      h('section', { class: 'panel-part' }, h('h3', null, 'Circuits'), parts.circuits),
      h('section', { class: 'panel-part' }, h('h3', null, 'Issues'), parts.noAlerts, parts.alerts,
        h('details', { class: 'fold', open: true }, parts.eventsTitle, parts.noEvents, parts.events)),
      h('section', { class: 'panel-part' }, h('h3', null, 'Methods in the last hour'), parts.noMethods,
        h('div', { class: 'scroll-x', tabindex: '0', role: 'region', 'aria-label': 'Methods in the last hour' }, parts.table)),
      h('section', { class: 'panel-part is-last' }, h('h3', null, 'Send calls to this provider only'), parts.endpoint.el, parts.facts));
  }

  draw() {
    const { store } = this.#app;
    const parts = this.#parts;
    const short = store.providerOf(this.#chain, this.#id);
    const full = this.#body?.providers?.find((p) => p.id === this.#id) ?? null;
    if (!short && !full) return;
    // Both are asked for in turn: the newer one knows.
    const { status: word, reason } = short && (!full || store.statusAt > this.#gotAt) ? short : full;
    if (this.word !== word) {
      this.word = word;
      replace(parts.badge, statusBadge(word));
      setAttr(parts.verdict, 'class', `verdict ${statusClass(word)}`);
    }
    parts.regions.hidden = !hasOthers(store);
    setText(parts.error, this.#error?.message ?? '');
    parts.error.hidden = !this.#error;
    const transports = Object.keys(short?.circuits ?? {}).map((t) => (t === 'ws' ? 'WebSocket' : t.toUpperCase()));
    setText(parts.name, [full?.name !== this.#id && full?.name, `chain id ${this.#body?.chain_id ?? store.chainOf(this.#chain)?.chain_id ?? '–'}`, transports.join(' and ')].filter(Boolean).join(' · '));
    const calls = full?.last_minute?.calls ?? 0;
    const all = (this.#body?.providers ?? []).reduce((sum, p) => sum + (p.last_minute?.calls ?? 0), 0);
    const [why, what, since] = parts.verdict.children;
    setText(why, reason ? reason[0].toUpperCase() + reason.slice(1) : statusOf(word).label);
    setText(what, this.#whatFollows(word, calls, all, full?.last_minute?.success_rate));
    setText(since, this.#since(word, full));
    setText(parts.why, calls > 0 ? 'Why does it get these calls?' : 'Why does it get no calls?');
    parts.share.set(all > 0 ? fmt.percent(Math.round((calls / all) * 100) / 100).replace('.0', '') : '–', `${fmt.count(calls)} in 60 s`);
    parts.success.set(calls > 0 ? fmt.percent(full.last_minute.success_rate) : '–');
    parts.p50.set(calls > 0 ? fmt.ms(full.last_minute.p50_latency_ms) : '–');
    parts.p99.set(calls > 0 ? fmt.ms(full.last_minute.p99_latency_ms) : '–');
    this.#drawSync(full);
    this.#drawCircuits(full, short);
    this.#drawIssues(full);
    this.#drawMethods();
    this.#drawFacts(full);
  }

  #whatFollows(word, calls, all, success) {
    if (word !== 'healthy') return statusOf(word).hint;
    if (calls > 0 && success < 0.9) return `It gets calls, but ${fmt.percent(1 - success)} of the last minute’s failed.`;
    if (calls > 0) return 'It answers, is up to date, and gets calls.';
    if (all > 0) return 'It answers and is up to date. No call of the last minute went to it: the strategy put others first.';
    return 'It answers and is up to date. The chain had no calls in the last minute.';
  }

  #since(word, full) {
    const events = this.#app.store.incidents.filter((e) => this.#isMine(e));
    const channels = full?.channels ?? [];
    const open = channels.filter((c) => c.circuit?.state && c.circuit.state !== 'closed').map((c) => c.circuit.since).sort()[0];
    const at = { circuit_open: open, recovering: open, misconfigured: full?.misconfigured_since, lagging: events.findLast((e) => e.event === 'provider.lag')?.timestamp }[word];
    if (word === 'rate_limited' && full?.rate_limited_until) return `Until ${fmt.time(full.rate_limited_until)}`;
    return at ? `Since ${fmt.time(at)} (${fmt.ago(at)})` : '';
  }

  #drawSync(full) {
    const { height, consensus, lag, lagBar, sync } = this.#parts;
    const head = this.#body?.consensus_height;
    const behind = full?.lag_blocks;
    const limit = this.#body?.max_lag_blocks;
    height.set(fmt.whole(full?.height));
    consensus.set(fmt.whole(head));
    lag.set(Number.isFinite(behind) ? fmt.whole(behind) : '–', Number.isFinite(behind) ? (behind === 1 ? 'block' : 'blocks') : '');
    const most = Number.isFinite(limit) && limit > 0 ? limit : 10;
    lagBar.style.setProperty('--value', Number.isFinite(behind) ? (1 - Math.min(1, Math.max(0, behind) / (most * 2))).toFixed(3) : '0');
    setAttr(lagBar, 'class', `bar lag-bar ${!Number.isFinite(behind) ? '' : behind <= most / 2 ? 's-healthy' : behind <= most ? 's-recovering' : 's-lagging'}`);
    const source = full?.subscriptions?.source;
    setText(sync, [Number.isFinite(limit) ? `used up to ${plural(limit, 'block')} behind` : 'lag is not held against it', full?.height_at && `heard ${fmt.ago(full.height_at)}`,
      source && `by ${source}`].filter(Boolean).join(' · '));
  }

  #drawCircuits(full, short) {
    const channels = full?.channels ?? Object.entries(short?.circuits ?? {}).map(([transport, state]) => ({ transport, circuit: { state } }));
    const passed = Date.now() - this.#gotAt;
    keyed(this.#parts.circuits, channels, (c) => c.transport,
      () => h('li', { class: 'circuit' }, h('span', { class: 'tag' }), h('span'), h('span', { class: 'small muted' })),
      (el, channel) => {
        const { state, reason, failures_in_a_row: failures, retry_in_ms: retry, since, opens, manual } = channel.circuit ?? {};
        const [label, look] = CIRCUITS[state] ?? [words(state) || 'Unknown', 'unknown'];
        const [tag, badge, text] = el.children;
        setText(tag, channel.transport === 'ws' ? 'WS' : 'HTTP');
        if (el.state !== state) {
          el.state = state;
          replace(badge, h('span', { class: `badge ${statusClass(look)}` }, statusGlyph(look), label));
        }
        setText(text, [state !== 'closed' && reason && words(reason), failures > 0 && `${plural(failures, 'failure')} in a row`,
          Number.isFinite(retry) && `tried again in ${fmt.duration(Math.max(0, retry - passed) / 1000)}`,
          manual && `held ${words(typeof manual === 'string' ? manual : 'by hand')} by an operator`,
          state !== 'closed' && since && `since ${fmt.time(since)}`, opens > 0 && `opened ${opens === 1 ? 'once' : `${opens} times`}`].filter(Boolean).join(' · ') || 'no failures');
      });
  }

  #drawIssues(full) {
    const alerts = [];
    for (const c of full?.channels ?? []) {
      const on = c.transport === 'ws' ? 'WebSocket' : 'HTTP';
      if (c.status && c.status !== 'healthy') alerts.push({ key: `${on}-status`, word: c.status, text: `${on}: ${c.reason || statusOf(c.status).label}` });
      if (c.wrong_chain_id) alerts.push({ key: `${on}-chain`, word: 'wrong_chain', text: `${on}: it serves chain ${c.wrong_chain_id}` });
      const limits = c.learnt_limits ?? {};
      if (limits.lacking_methods?.length > 0) alerts.push({ key: `${on}-methods`, word: 'unsteady', text: `${on}: it does not serve ${limits.lacking_methods.join(', ')}` });
      if (Number.isFinite(limits.max_log_range)) alerts.push({ key: `${on}-range`, word: 'unsteady', text: `${on}: eth_getLogs over at most ${plural(limits.max_log_range, 'block')}` });
      if (Number.isFinite(limits.max_depth)) alerts.push({ key: `${on}-depth`, word: 'unsteady', text: `${on}: state of the last ${plural(limits.max_depth, 'block')} only` });
    }
    if (full?.subscriptions && full.subscriptions.source === 'websocket' && full.subscriptions.connected === false) alerts.push({ key: 'socket', word: 'recovering', text: 'Its connection for subscriptions is closed; it is dialled again' });
    const { alerts: list, noAlerts, events, eventsTitle, noEvents } = this.#parts;
    noAlerts.hidden = alerts.length > 0 || !full;
    keyed(list, alerts, (a) => `${a.key}${a.word}`, (a) => h('li', { class: 'alert' }, statusGlyph(a.word), h('span')), (el, a) => setText(el.lastChild, a.text));
    const failures = (e) => e.event === 'rpc.request.completed' && e.response?.status === 'error' && e.chain === this.#chain && e.routing?.selected_provider?.id === this.#id;
    const last = this.#app.store.incidents.filter((e) => this.#isMine(e) || failures(e)).slice(-EVENTS_SHOWN).reverse();
    noEvents.hidden = last.length > 0;
    setText(eventsTitle, last.length > 0 ? `Last events (${last.length})` : 'Last events');
    let same = 0;
    keyed(events, last, (e) => (e.key ??= `${e.event}${e.timestamp}${e.request_id ?? ''}${e.transport ?? ''}${same++}`), (e) =>
      h('li', { class: `event is-${e.level ?? 'info'}` }, h('time', { class: 'faint' }, fmt.time(e.timestamp)), h('span', null, eventText(e))));
  }

  #drawMethods() {
    const { methods, noMethods, table } = this.#parts;
    const mine = this.#metrics?.rpc_performance_by_provider?.find((p) => p.provider_id === this.#id)?.methods ?? [];
    const rows = [...mine].sort((a, b) => (b.total_calls ?? 0) - (a.total_calls ?? 0)).slice(0, METHODS_SHOWN);
    noMethods.hidden = rows.length > 0;
    table.hidden = rows.length === 0;
    keyed(methods, rows, (m) => m.method,
      (m) => h('tr', null, h('th', { scope: 'row', class: 'mono' }, m.method), ...Array.from({ length: 4 }, () => h('td', { class: 'num' }))),
      (el, m) => {
        const cells = [fmt.ms(m.p50_latency_ms), fmt.ms(m.p95_latency_ms), fmt.percent(m.success_rate), fmt.count(m.total_calls)];
        cells.forEach((text, at) => setText(el.children[at + 1], text));
        setAttr(el.children[3], 'class', `num${m.success_rate < 0.9 ? ' bad' : m.success_rate < 0.99 ? ' warn' : ''}`);
      });
  }

  #drawFacts(full) {
    const { store } = this.#app;
    this.#parts.endpoint.set(`${paths.endpoint('http', store.profile, this.#chain, null)}/${encodeURIComponent(this.#id)}`);
    const facts = full ? [['Priority', full.priority], ['History', full.archival ? 'archive' : 'recent blocks only'], ['Regions', full.regions?.join(', ') || 'any'],
      ['Probe', fmt.ms(full.probe_latency_ms)], ['Last failure', full.last_failure ? `${words(full.last_failure.category)}, ${fmt.ago(full.last_failure.at)}` : 'none'], ['Upstream', full.url ?? full.ws_url ?? '–']] : [];
    keyed(this.#parts.facts, facts.flatMap(([name, value]) => [{ key: `${name}?`, name }, { key: name, value }]), (f) => f.key,
      (f) => h(f.name ? 'dt' : 'dd'), (el, f) => setText(el, f.name ?? f.value));
  }
}

function eventText(event) {
  if (event.event === 'rpc.request.completed') {
    const { code, category } = event.response?.error ?? {};
    return `${event.jsonrpc_method} failed: ${[words(category), code].filter((x) => x !== undefined && x !== null && x !== '').join(', ')}`;
  }
  const on = event.transport ? ` (${event.transport})` : '';
  const change = event.from && event.to ? `${words(event.from)} → ${words(event.to)}` : '';
  // Messages begin with the instance's label, which this panel's title says better.
  const message = event.message?.replace(/^\S+ over \S+: /, '');
  return `${event.event.replace(/^provider\./, '').replaceAll('_', ' ')}${on}: ${[change, message].filter(Boolean).join(', ')}`;
}
