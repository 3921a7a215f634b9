// The tester's engine: a bounded run of calls against this node, and what came of them. It draws nothing and knows no page.
//
// Paced (docs/behaviour/shown.md#the-page): a call every max(50, 1000/rate) ms of a random chain and method, left out while as
// many calls are under way as the run may have. Every run ends: by its time, or stopped; what is under way then is given up after
// CALL_TIMEOUT_MS. Unlike the simulator of old an answer with an error counts as an error, whatever its HTTP status.

import { quantile } from './histogram.js';

export const RATES = [1, 5, 15, 30];
export const CONCURRENCY = 4;
const CALL_TIMEOUT_MS = 15_000;
const [LAST_KEPT, KINDS_KEPT, BODY_KEPT] = [50, 20, 4_000];
const OTHERS = 'other kinds of errors';
// Buckets 2 % wide: close enough to the truth for a reader, and of bounded size.
const WIDTH = Math.log(1.02);

// `plan`: {chains, calls: [{method, params}], rate, seconds, transport, sockets}; `ports`: {rpc(url, body, headers, options),
// address(scheme, chain), socket(url)}, and `changed()` is called at the begin and at the end.
export class Run {
  state = 'running';
  sent = 0;
  left_out = 0;
  in_flight = 0;
  succeeded = 0;
  failed = 0;
  retries = 0;
  /** Of the calls that succeeded. */
  latencies = new Map();
  errors = new Map();
  providers = new Map();
  last = [];
  answer = null;
  heads = [];

  #plan;
  #ports;
  #abort = new AbortController();
  #timer = 0;
  #sockets = new Map();
  #subscribers = [];

  constructor(plan, ports) {
    this.#plan = plan;
    this.#ports = ports;
    this.started = performance.now();
    for (let index = 0; index < plan.sockets; index += 1) this.#subscribe(index, plan.chains[index % plan.chains.length]);
    this.#timer = setInterval(() => this.#shoot(), Math.max(50, 1000 / plan.rate));
    this.#shoot();
    this.#ports.changed();
  }

  get elapsed_s() {
    return Math.min(this.#plan.seconds, ((this.ended ?? performance.now()) - this.started) / 1000);
  }

  get buckets() {
    return [...this.latencies].sort(([a], [b]) => a - b).map(([step, count]) => [Math.exp(step * WIDTH), count]);
  }

  latency(q) {
    return quantile(this.buckets, q);
  }

  stop() {
    this.#end('stopped');
    // Or it had ended and waited for its last answers.
    if (this.state === 'ending') this.state = 'stopped';
    this.#abort.abort();
    this.#close();
  }

  #end(state) {
    if (this.state !== 'running') return;
    clearInterval(this.#timer);
    this.ended = performance.now();
    for (const socket of this.#subscribers) socket.close();
    this.state = this.in_flight > 0 && state !== 'stopped' ? 'ending' : state;
    if (this.state !== 'ending') this.#close();
    this.#ports.changed();
  }

  #close() {
    for (const { socket } of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  #shoot() {
    const { rate, seconds } = this.#plan;
    if (performance.now() - this.started >= seconds * 1000 || this.sent >= rate * seconds) return this.#end('ended');
    if (this.in_flight >= CONCURRENCY) return void (this.left_out += 1);
    const any = (list) => list[Math.floor(Math.random() * list.length)];
    this.#call(any(this.#plan.chains), any(this.#plan.calls));
  }

  async #call(chain, { method, params }) {
    const begun = performance.now();
    this.sent += 1;
    this.in_flight += 1;
    const body = { jsonrpc: '2.0', id: this.sent, method, params };
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]);
    let [answer, error] = [null, null];
    try {
      answer = await (this.#plan.transport === 'ws' ? this.#overSocket(chain, body, signal) : this.#overHttp(chain, body, signal));
      error = complaint(answer);
    } catch (cause) {
      error = cause.name === 'TimeoutError' ? `no answer within ${CALL_TIMEOUT_MS / 1000} s` : cause.message;
    }
    this.in_flight -= 1;
    // Given up with the run: neither a success nor an error of the node.
    if (this.#abort.signal.aborted) return void (this.in_flight === 0 && this.#ports.changed());
    this.#note({ chain, method, ms: performance.now() - begun, answer: answer?.body, error });
    if (this.state === 'ending' && this.in_flight === 0) {
      this.state = 'ended';
      this.#close();
      this.#ports.changed();
    }
  }

  #overHttp(chain, body, signal) {
    return this.#ports.rpc(`${this.#ports.address('http', chain)}?include_meta=body`, body, {}, { signal });
  }

  #note({ chain, method, ms, answer, error }) {
    const meta = answer?.lasso_meta;
    const provider = meta?.selected_provider?.id ?? (error ? 'none' : 'the node itself');
    const row = this.providers.get(provider) ?? { calls: 0, failed: 0, total_ms: 0 };
    row.calls += 1;
    row.failed += error ? 1 : 0;
    row.total_ms += ms;
    this.providers.set(provider, row);
    this.retries += meta?.retries ?? 0;
    if (error) {
      this.failed += 1;
      const kind = this.errors.has(error) || this.errors.size < KINDS_KEPT ? error : OTHERS;
      this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1);
    } else {
      this.succeeded += 1;
      const step = Math.ceil(Math.log(Math.max(ms, 0.01)) / WIDTH);
      this.latencies.set(step, (this.latencies.get(step) ?? 0) + 1);
    }
    this.last.unshift({ key: this.succeeded + this.failed, at: Date.now(), chain, method, provider, protocol: meta?.selected_provider?.protocol ?? null, retries: meta?.retries ?? 0, ms, error });
    this.last.length = Math.min(this.last.length, LAST_KEPT);
    if (answer) this.answer = { method, chain, text: JSON.stringify(answer, null, 2).slice(0, BODY_KEPT) };
  }

  // One socket for each chain; it is opened with the first call and again when it was closed.
  #overSocket(chain, body, signal) {
    const link = this.#sockets.get(chain) ?? this.#link(chain);
    return new Promise((done, fail) => {
      const give = (use) => (value) => {
        link.waiting.delete(body.id);
        use(value);
      };
      const [answered, broken] = [give(done), give(fail)];
      link.waiting.set(body.id, { answered, broken });
      signal.addEventListener('abort', () => broken(signal.reason), { once: true });
      const send = () => link.socket.readyState === WebSocket.OPEN && link.socket.send(JSON.stringify(body));
      if (link.socket.readyState === WebSocket.CONNECTING) link.socket.addEventListener('open', send, { once: true });
      else send();
    });
  }

  #link(chain) {
    const socket = this.#ports.socket(`${this.#ports.address('ws', chain)}?include_meta=body`);
    const link = { socket, waiting: new Map() };
    this.#sockets.set(chain, link);
    socket.addEventListener('message', ({ data }) => {
      const answer = parsed(data);
      link.waiting.get(answer?.id)?.answered({ status: 200, body: answer });
    });
    socket.addEventListener('close', ({ code }) => {
      if (this.#sockets.get(chain) === link) this.#sockets.delete(chain);
      for (const { broken } of [...link.waiting.values()]) broken(new Error(code === 1006 ? 'the WebSocket could not be opened or broke' : `the WebSocket was closed with ${code}`));
    });
    return link;
  }

  #subscribe(index, chain) {
    const head = { key: index, chain, state: 'opening', count: 0, height: null, at: null };
    const socket = this.#ports.socket(this.#ports.address('ws', chain));
    this.heads.push(head);
    this.#subscribers.push(socket);
    socket.addEventListener('open', () => socket.send('{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}'));
    socket.addEventListener('message', ({ data }) => {
      const message = parsed(data);
      if (message?.id === 1) head.state = message.error ? `refused: ${message.error.message}` : 'subscribed';
      const height = Number(message?.params?.result?.number);
      if (Number.isFinite(height)) Object.assign(head, { count: head.count + 1, height, at: Date.now() });
    });
    socket.addEventListener('close', ({ code }) => {
      if (!head.state.startsWith('refused')) head.state = this.state === 'running' ? `closed with ${code}` : 'closed';
    });
  }
}

const parsed = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};

// Why an answer is no success; null where it is one.
function complaint({ status, body }) {
  const error = body?.error;
  if (error) return `${error.code}: ${String(error.message).slice(0, 120)}`;
  if (body === null || !('result' in Object(body))) return `HTTP ${status} without an answer`;
  return null;
}

// What a person typed as parameters: {params} or {problem}.
export function readParams(text) {
  const trimmed = text.trim();
  if (trimmed === '') return { params: [] };
  try {
    const params = JSON.parse(trimmed);
    return typeof params === 'object' && params !== null ? { params } : { problem: 'Parameters are a JSON array, such as ["0x1", false]' };
  } catch (error) {
    return { problem: `This is no JSON: ${error.message}` };
  }
}
