// A node as large as the page has to bear: the real binary's page over interfaces made up here, in the shapes of the real ones.
// What the shapes are is checked elsewhere (tests/node/api.rs against the OpenAPI file); here only the amount matters.
import http from 'node:http';

const METHODS = ['eth_blockNumber', 'eth_getBalance', 'eth_call', 'eth_getLogs', 'eth_gasPrice', 'eth_getBlockByNumber', 'eth_getTransactionReceipt', 'eth_getCode', 'eth_estimateGas', 'eth_getTransactionByHash', 'eth_getStorageAt', 'eth_feeHistory'];
const WORDS = ['healthy', 'healthy', 'healthy', 'healthy', 'lagging', 'healthy', 'rate_limited', 'healthy', 'circuit_open', 'unsteady'];

// Figures that look measured and are the same in every run.
let seed = 7;
const random = () => ((seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648);

const two = (index) => String(index + 1).padStart(2, '0');

function histogram(p50, calls) {
  const out = [];
  for (let le = p50 / 6; le < p50 * 10; le *= 1.0625) {
    const z = Math.log(le / p50) / 0.55;
    const count = Math.round((calls * 0.045 * Math.exp((-z * z) / 2)) / 1.1);
    if (count > 0) out.push([Number(le.toFixed(3)), count]);
  }
  return out;
}

const times = (p50) => ({ avg_latency_ms: p50 * 1.2, p50_latency_ms: p50, p90_latency_ms: p50 * 2, p95_latency_ms: p50 * 2.6, p99_latency_ms: p50 * 4, max_latency_ms: p50 * 9 });
const window = (p50, calls) => ({ ...times(p50), total_calls: calls, success_rate: 0.99 });

function answers({ chains, providers }) {
  const slugs = Array.from({ length: chains }, (_, index) => `chain-${index + 1}`);
  const ids = Array.from({ length: providers }, (_, index) => `provider-${two(index)}`);
  const word = (chain, index) => WORDS[(index * 7 + chain) % WORDS.length];
  const now = () => new Date().toISOString();
  const started = now();
  const gate = (status) => (status === 'circuit_open' ? 'open' : 'closed');
  const reason = (status) => (status === 'healthy' ? '' : `it is ${status.replace('_', ' ')}, as it is made up to be`);
  const state = (chain) => (id, index) => {
    const status = word(chain, index);
    return { id, status, reason: reason(status), circuit: gate(status), circuits: { http: gate(status), ws: gate(status) } };
  };
  const height = (chain) => 20_000_000 + chain * 1_000 + Math.floor(Date.now() / 2_000) % 1_000;
  const status = () => ({
    status: 'running', timestamp: now(), started_at: started, uptime_seconds: 3600, version: '0.0.0', node_id: 'made-up', region: 'made-up',
    configuration: { version: 1, loaded_at: started, problems: [] },
    profiles: [{ slug: 'default', name: 'Made up', chains: slugs.map((chain, at) => ({ chain, chain_id: at + 1, head: height(at), providers: ids.map(state(at)) })) }],
  });
  const circuit = (status) => ({ circuit: { state: gate(status), reason: 'start', since: started, failures_in_a_row: 0, opens: 0, retry_in_ms: null, manual: null }, rate_limited_until: null, misconfigured_since: null, wrong_chain_id: null, last_failure: null, probe_latency_ms: 4.4, learnt_limits: { max_log_range: null, max_depth: null, lacking_methods: [] } });
  const minute = () => ({ calls: Math.floor(random() * 500), success_rate: 0.99, p50_latency_ms: 20 * random(), p99_latency_ms: 90 });
  const provider = (at) => (id, index) => {
    const status = word(at, index);
    const channel = (transport) => ({ ...circuit(status), transport, status, reason: reason(status), last_minute: minute() });
    return {
      id, name: `Provider ${two(index)}`, status, reason: reason(status), priority: index, url: 'http://made.up', ws_url: 'ws://made.up', instance: `${at}:${id}`, archival: true, regions: index % 3 === 0 ? ['made-up'] : [],
      height: height(at), height_at: now(), lag_blocks: 0, subscriptions: { source: 'websocket', connected: true, upstream_subscriptions: 1, heads_announced: 9, announce_delay_ms: 3 }, last_minute: minute(), ...circuit(status), channels: [channel('http'), channel('ws')],
    };
  };
  const metrics = (at) => {
    const speed = (index) => 3 + ((index * 37) % 90);
    const methods = (index) => METHODS.map((method) => ({ method, ...window(speed(index), 4_000), last_updated: now(), last_hour: window(speed(index), 900), last_minute: window(speed(index), 20), latency_histogram: histogram(speed(index), 900) }));
    return {
      profile: 'default', chain: slugs[at], chain_id: at + 1, timestamp: now(), system_metrics: { memory_mb: 50 + random(), cpu_percent: 20, process_count: 8, run_queue: 3 },
      chain_performance: { ...times(12), total_calls: 900_000, success_rate: 0.99, failovers_last_minute: 3, connected_providers: 27, total_providers: providers, rpc_calls_per_second: 60, error_rate_percent: 1, recent_activity: [] },
      providers: ids.map((id, index) => ({ id, name: `Provider ${two(index)}`, score: 1, success_rate: 0.99, total_calls: 48_000, avg_latency_ms: speed(index) * 1.2, calls_last_minute: 90, retries: 0, errors: {}, ...times(speed(index)), latency_histogram: histogram(speed(index), 9_000) })),
      rpc_methods: METHODS,
      rpc_performance_by_provider: ids.map((id, index) => ({ provider_id: id, provider_name: id, methods: methods(index) })),
      rpc_performance_by_method: METHODS.map((method) => ({ method, ...window(20, 90_000), last_updated: now(), last_hour: window(20, 27_000), last_minute: window(20, 600), latency_histogram: histogram(20, 27_000) })),
      last_updated: now(),
    };
  };
  // Two nodes in each of six regions, one of which answers no more.
  const nodes = Array.from({ length: 12 }, (_, index) => ({ node_id: `node-${two(index)}`, region: `region-${(index >> 1) + 1}`, version: '0.0.0', config_revision: 1, state: index === 11 ? 'disconnected' : 'responding', self: index === 0 }));
  const regions = [...new Set(nodes.map(({ region }) => region))];
  const circuits = (status) => ({ closed: status === 'circuit_open' ? 3 : 4, half_open: 0, open: status === 'circuit_open' ? 1 : 0 });
  const together = (at) => {
    const speed = (index, place = 0) => 3 + ((index * 37 + place * 53) % 240);
    const both = (p50) => ({ last_hour: window(p50, 27_000), last_minute: window(p50 * (0.9 + random() / 5), 600), ...times(p50) });
    return {
      profile: 'default', chain: slugs[at], chain_id: at + 1, timestamp: now(), scope: 'cluster', region: null, node_id: null, coverage: { responding: 11, total: 12 }, stale: true, oldest_ms: 21_000,
      chain_performance: { ...times(12), total_calls: 900_000, success_rate: 0.99, failovers_last_minute: 3, connected_providers: 27, total_providers: providers, rpc_calls_per_second: 720, error_rate_percent: 1 },
      nodes: nodes.map((node) => ({ ...node, age_ms: 900, stale: node.state !== 'responding', figures: null })),
      regions: regions.map((region) => ({ region, nodes: 2 })),
      providers: ids.map((id, index) => ({ id, status: word(at, index), circuits: circuits(word(at, index)), height: height(at), success_rate: 0.99, total_calls: 480_000, avg_latency_ms: speed(index), ...both(speed(index)), latency_histogram: histogram(speed(index), 90_000), regions: regions.map((region, place) => ({ region, status: word(at + place, index), circuits: circuits(word(at + place, index)), ...both(speed(index, place)) })) })),
      rpc_methods: METHODS,
      rpc_performance_by_method: METHODS.map((method) => ({ method, total_calls: 90_000, success_rate: 0.99, last_hour: window(20, 27_000), last_minute: window(20, 600) })),
    };
  };
  let calls = 0;
  const shard = (name) => ({ name, client_connections: 40, upstream_connections: 300, attempts_in_flight: 4, calls: (calls += 30), replies: calls, refusals: 0, rate_limited: 0, failovers: 9, truncated: 0, upstream_websockets: 200, stray_messages: 0, connections_taken: 90, websocket_clients: 12, subscriptions: 12, topics: 4, subscription_events: 900, slow_consumers: 0, panics: 0, stall_ms: random(), stall_max_ms: 4, epoch: 30, epoch_lag_ms: 60 * random(), late_epochs: 0, upstream_latency_ms: { count: 900, p50: 9, p90: 30, p99: 90, max: 300 } });
  const shards = () => ({ timestamp: now(), shards: [...Array.from({ length: 15 }, (_, index) => shard(`shard-${index}`)), shard('control')], total: { client_connections: 600, attempts_in_flight: 64, calls, replies: calls, refusals: 0, failovers: 9, websocket_clients: 180, subscriptions: 180, subscription_events: 9_000, slow_consumers: 0, panics: 0, merged_attempts: 0, unfiled_attempts: 0, dropped_events: 0 }, streams: { followers: 9, feeds: 300, upstream_subscriptions: 300, events: 9_000, duplicates_dropped: 20_000, leaders_lost: 0, switches: 0, blocks_filled: 0, streams_closed: 0 } });
  const evidence = (index) => ({ latency_ms: 3 + index, p50_ms: 3, p90_ms: 9, p99_ms: 30, samples: 90, successes: 90, reliability: 0.99, failures_in_a_row: 0, is_qualified: true, weight: 0.1, probe_latency_ms: 4, first_attempt_waits_ms: null });
  const explain = (at, method) => ({
    profile: 'default', chain: slugs[at], chain_id: at + 1, method, is_known_method: true, strategy: 'load-balanced', needs_archive: false, consensus_height: height(at), timestamp: now(), chosen: ids[0], chosen_transport: 'http', is_drawn: true, is_dark: false,
    providers: ids.flatMap((id, index) => ['http', 'ws'].map((transport, side) => ({ id, transport, stage: word(at, index) === 'circuit_open' ? 'circuit_open' : 'candidate', reason: 'it may be chosen', turn: index * 2 + side, odds: 1 / (2 * providers), tier: 1, priority: index, is_local: true, circuit: gate(word(at, index)), is_rate_limited: false, is_misconfigured: false, is_behind: word(at, index) === 'lagging', is_vetoed_here: false, height: height(at), lag_blocks: 0, evidence: evidence(index) }))),
  });
  const at = (path) => Math.max(0, slugs.indexOf(decodeURIComponent(path[0] ?? '')));
  const table = {
    status, shards,
    providers: (path) => ({ profile: 'default', chain: slugs[at(path)], chain_id: at(path) + 1, timestamp: now(), consensus_height: height(at(path)), block_time_ms: 2_000, max_lag_blocks: 2, providers: ids.map(provider(at(path))) }),
    metrics: (path, query) => (query.has('scope') ? together : metrics)(at(path)),
    explain: (path) => explain(at(path.slice(1)), path[2]),
    region: () => ({ region: 'made-up', node_id: 'made-up', timestamp: now(), providers: slugs.flatMap((chain) => ids.map((id, index) => ({ profile: 'default', chain, id, regions: index % 3 === 0 ? ['made-up'] : [], probe_latency_ms: 3 + ((index * 37) % 90) }))) }),
    cluster: () => ({ enabled: true, status: 'degraded', node_id: 'node-01', region: 'region-1', coverage: { responding: 11, total: 12 }, stale: true, nodes: nodes.map((node, index) => ({ ...node, address: `10.0.0.${index}:7946`, last_seen_ms: 900, clock_skew_ms: index, uptime_seconds: null, tells_events: true })) }),
  };
  let number = 0;
  const event = () => {
    const [chain, index] = [Math.floor(random() * chains), Math.floor(random() * providers)];
    number += 1;
    if (number % 30 === 0) return { event: 'chain.head', level: 'info', timestamp: now(), chain_id: chain + 1, chains: [{ profile: 'default', chain: slugs[chain] }], height: height(chain) };
    if (number % 120 === 1) return { event: 'provider.circuit', level: 'warn', timestamp: now(), chain_id: chain + 1, transport: 'http', instance: 'made-up', providers: [{ profile: 'default', chain: slugs[chain], id: ids[index] }], message: 'made up', from: 'closed', to: 'open', reason: 'failures' };
    return {
      event: 'rpc.request.completed', level: 'info', timestamp: now(), request_id: `made-up-${number}`, profile: 'default', chain: slugs[chain], chain_id: chain + 1, transport: 'http', jsonrpc_method: METHODS[number % METHODS.length], strategy: 'load_balanced',
      routing: { selected_provider: { id: ids[index], protocol: 'http' }, retries: number % 40 === 0 ? 1 : 0, circuit_breaker_state: 'closed' }, timing: { selection_latency_ms: 0.1, upstream_latency_ms: 9, end_to_end_latency_ms: 9.2, lasso_overhead_ms: 0.2 }, response: { status: number % 25 === 0 ? 'error' : 'success' },
    };
  };
  return { table, event, started };
}

// `url` of a server with the page of the node at `base` and `rate` events a second; `close` ends it.
export async function serveScale(base, size) {
  const { table, event, started } = answers(size);
  const streams = new Map();
  const server = http.createServer((request, answer) => {
    const { pathname, searchParams } = new URL(request.url, base);
    const [, root, name, ...path] = pathname.split('/');
    if (root !== 'api') return request.pipe(http.request(base + request.url, { method: request.method, headers: request.headers }, (from) => from.pipe(answer.writeHead(from.statusCode, from.headers))));
    if (name === 'events') {
      answer.writeHead(200, { 'content-type': 'text/event-stream' });
      answer.write(`event: hello\ndata: ${JSON.stringify({ node_id: 'made-up', region: 'made-up', version: '0.0.0', started_at: started, timestamp: started })}\n\n`);
      const types = searchParams.get('types')?.split(',') ?? [];
      streams.set(answer, ({ event }) => types.length === 0 || types.some((type) => event.startsWith(type)));
      return request.on('close', () => streams.delete(answer));
    }
    const known = Object.hasOwn(table, name);
    answer.writeHead(known ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(known ? table[name](path, searchParams) : { errors: { detail: 'Not found' } }));
  });
  let [due, sent] = [0, 0];
  const timer = setInterval(() => {
    due += size.rate / 20;
    const batch = Array.from({ length: Math.floor(due) }, event);
    due -= batch.length;
    sent += 1;
    for (const [stream, takes] of streams) {
      const wanted = batch.filter(takes);
      if (wanted.length > 0) stream.write(`event: batch\nid: 1-${sent}\ndata: ${JSON.stringify(wanted)}\n\n`);
    }
  }, 50);
  await new Promise((listens) => server.listen(0, '127.0.0.1', listens));
  const close = () => {
    clearInterval(timer);
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}
