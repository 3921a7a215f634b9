// What the page knows: the node's status, the live events, and what is selected. Views listen, nothing else is shared.
//
// Status is asked for every 2 s and soon after an event that changes a provider, so that a page agrees with the log within
// a second. Events come by EventSource, which resumes by itself; when it gives up (the node restarts, a proxy answers), it
// is opened anew with growing pauses. A page that is hidden for long lets go of its connection.

import { get } from './api.js';

const STATUS_EVERY_MS = 2_000;
const STATUS_SOON_MS = 120;
const STATUS_GAP_MS = 400;
const EVENTS_KEPT = 500;
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 15_000;
const HIDDEN_CLOSE_MS = 30_000;
const CLUSTER_EVERY_MS = 15_000;
/** What the address selects. */
const SELECTED = ['profile', 'chain', 'provider', 'method', 'whose'];

function keep(ring, fresh) {
  ring.push(...fresh);
  if (ring.length > EVENTS_KEPT) ring.splice(0, ring.length - EVENTS_KEPT);
}

class Store extends EventTarget {
  /** The last /api/status, or null. */
  status = null;
  /** Why there is none, or none newer. */
  statusError = null;
  /** When the last one came, by this machine's clock. */
  statusAt = 0;
  /** Slug of the selected profile, or null before the first status. */
  profile = null;
  chain = null;
  provider = null;
  method = null;
  /** Whose figures are looked at, as scopes.js writes it; null for this node's. */
  whose = null;
  /** The last /api/cluster, or null. */
  cluster = null;
  /** The last events, oldest first. */
  events = [];
  /** The last events that are no success, oldest first: calls that went well would wash them out of `events` in seconds. */
  incidents = [];
  /** Height of a chain by key, from the status and, sooner, from the events. */
  heads = new Map();
  /** Events that this page missed since it opened. */
  lost = 0;
  /** How far the node's clock is ahead of this machine's. */
  skew_ms = 0;
  /** The last `hello` of the event stream. */
  hello = null;
  /** `connecting`, `live`, `polling` (status but no events), `lost` (neither). */
  connection = 'connecting';

  #source = null;
  #live = false;
  #retryMs = RETRY_FIRST_MS;
  #retryTimer = 0;
  #statusTimer = 0;
  #asking = false;
  #askAgain = false;
  #askedAt = 0;
  #hiddenTimer = 0;
  #streamProfile = null;

  /** The selected profile's part of the status, or null. */
  get scope() {
    return this.status?.profiles?.find((p) => p.slug === this.profile) ?? null;
  }

  /** Chains of the selected profile. */
  get chains() {
    return this.scope?.chains ?? [];
  }

  chainOf(key) {
    return this.chains.find((c) => c.chain === key) ?? null;
  }

  providerOf(key, id) {
    return this.chainOf(key)?.providers?.find((p) => p.id === id) ?? null;
  }

  start() {
    document.addEventListener('visibilitychange', () => this.#visibility());
    this.refresh();
    this.#askCluster();
  }

  /** Whom this node works with changes seldom; a view that shows it asks more often, and hands it on. */
  async #askCluster() {
    if (!document.hidden) {
      try {
        this.takeCluster(await get('/api/cluster'));
      } catch {
        // The status says that the node does not answer; what was known of the others stays.
      }
    }
    setTimeout(() => this.#askCluster(), CLUSTER_EVERY_MS);
  }

  takeCluster(cluster) {
    this.cluster = cluster;
    this.#fire('cluster');
  }

  /** Takes over what the URL says; absent keys stay. */
  select(next) {
    const chosen = () => SELECTED.map((key) => this[key]).join('\n');
    const before = chosen();
    for (const key of SELECTED) if (key in next) this[key] = next[key] ?? null;
    if (this.profile && this.profile !== this.#streamProfile) this.#stream();
    if (before !== chosen()) this.#fire('selection');
  }

  /** Asks for the status now, or right after the answer that is under way. */
  async refresh() {
    clearTimeout(this.#statusTimer);
    if (this.#asking) {
      this.#askAgain = true;
      return;
    }
    this.#asking = true;
    this.#askedAt = performance.now();
    try {
      this.status = await get('/api/status');
      this.statusError = null;
      this.statusAt = Date.now();
      this.#takeHeads();
      this.#fire('status');
    } catch (error) {
      this.statusError = error;
    }
    this.#asking = false;
    this.#connection();
    const soon = this.#askAgain;
    this.#askAgain = false;
    if (soon) this.#refreshSoon();
    else if (!document.hidden) this.#statusTimer = setTimeout(() => this.refresh(), STATUS_EVERY_MS);
  }

  #refreshSoon() {
    const gap = STATUS_GAP_MS - (performance.now() - this.#askedAt);
    clearTimeout(this.#statusTimer);
    this.#statusTimer = setTimeout(() => this.refresh(), Math.max(STATUS_SOON_MS, gap));
  }

  #stream() {
    this.#close();
    this.#streamProfile = this.profile;
    this.#forget();
    this.heads.clear();
    this.#takeHeads();
    this.#open();
  }

  #open() {
    clearTimeout(this.#retryTimer);
    if (!this.profile || document.hidden) return;
    const source = new EventSource(`/api/events?profile=${encodeURIComponent(this.profile)}`);
    this.#source = source;
    const parsed = (message, use) => {
      if (source !== this.#source) return;
      try {
        use(JSON.parse(message.data));
      } catch (error) {
        console.warn('an event that cannot be read', error);
      }
    };
    source.addEventListener('hello', (m) => parsed(m, (hello) => this.#greet(hello)));
    source.addEventListener('batch', (m) => parsed(m, (batch) => this.#take(batch)));
    source.addEventListener('lost', (m) => parsed(m, (loss) => this.#miss(loss)));
    source.addEventListener('open', () => source === this.#source && this.#up());
    source.addEventListener('error', () => source === this.#source && this.#down());
  }

  #close() {
    clearTimeout(this.#retryTimer);
    this.#source?.close();
    this.#source = null;
    this.#live = false;
  }

  #up() {
    this.#live = true;
    this.#retryMs = RETRY_FIRST_MS;
    this.#connection();
  }

  #down() {
    const closed = this.#source?.readyState === EventSource.CLOSED;
    this.#live = false;
    this.#connection();
    this.#refreshSoon();
    if (!closed) return;
    this.#close();
    this.#retryTimer = setTimeout(() => this.#open(), this.#retryMs * (0.75 + Math.random() / 2));
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
  }

  #greet(hello) {
    const restarted = this.hello && this.hello.started_at !== hello?.started_at;
    this.hello = hello;
    this.skew_ms = Date.parse(hello?.timestamp) - Date.now() || 0;
    this.#up();
    if (restarted) this.#forget();
    this.refresh();
  }

  #forget() {
    this.events = [];
    this.incidents = [];
  }

  #take(batch) {
    const fresh = Array.isArray(batch) ? batch.filter((e) => e && typeof e.event === 'string') : [];
    if (fresh.length === 0) return;
    for (const event of fresh) if (event.event === 'chain.head') this.#takeHead(event);
    // Heights change several times a second and are kept as heights: the ring is for what a person reads.
    const told = fresh.filter((e) => e.event !== 'chain.head');
    keep(this.events, told);
    keep(this.incidents, told.filter((e) => e.event !== 'rpc.request.completed' || e.response?.status === 'error'));
    if (fresh.some((e) => e.event.startsWith('provider.') || e.event.startsWith('config.'))) this.#refreshSoon();
    this.#fire('events', fresh);
  }

  #takeHeads() {
    for (const chain of this.chains) if (Number.isFinite(chain.head)) this.heads.set(chain.chain, chain.head);
  }

  #takeHead(event) {
    const mine = (event.chains ?? []).filter((c) => c?.profile === this.profile);
    if (Number.isFinite(event.height)) for (const { chain } of mine) this.heads.set(chain, event.height);
  }

  #miss(loss) {
    this.lost += Number(loss?.lost) || 0;
    this.refresh();
    this.#fire('connection');
  }

  #connection() {
    const reached = this.status !== null && this.statusError === null;
    const next = this.#live && reached ? 'live' : reached ? (this.#source ? 'connecting' : 'polling') : this.statusError ? 'lost' : 'connecting';
    if (next === this.connection) return;
    this.connection = next;
    this.#fire('connection');
  }

  #visibility() {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden) {
      this.#hiddenTimer = setTimeout(() => this.#close(), HIDDEN_CLOSE_MS);
      return;
    }
    if (!this.#source) this.#open();
    this.refresh();
  }

  #fire(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

export const store = new Store();
