// The system tab: how the node itself is doing, shard by shard. Asked for every 2 s while somebody looks; rates are differences
// of two answers, so the first ones come with the second answer, and a restart begins anew.

import { bar, sparkline } from './charts.js';
import { empty, failure, fmt, h, loading, stat } from './dom.js';
import { latest, painter } from './morph.js';
import { paths } from './api.js';
import { body, cell, head, note, stale, table, title } from './parts.js';
import { statusClass, statusGlyph } from './status.js';

const REFRESH_MS = 2_000;
// Two minutes of past for the small pictures.
const KEPT = 60;
// Above these a shard is busy with something else for too long, or its figures reach the others late.
const [STALL_MS, LAG_MS] = [50, 1_000];

export function mount(root, app) {
  const state = { shards: null, before: null, process: null, cpu: null, error: null, past: new Map() };
  const { paint, every, close } = painter(root, () => draw(state, app.store));
  const questions = latest();
  const ask = async (signal) => {
    const { profile, chains } = app.store;
    const chain = chains[0]?.chain;
    // The process' own figures come with any chain's metrics.
    const [shards, metrics] = await Promise.all([
      app.api.get('/api/shards', { signal }),
      chain ? app.api.get(paths.metrics(profile, chain), { signal }) : null,
    ]);
    return { shards, metrics };
  };
  every(REFRESH_MS, () => questions.ask(ask, (answer) => take(state, answer, app.store), (error) => Object.assign(state, { error })).then(paint));
  app.store.addEventListener('status', paint);
  return () => {
    app.store.removeEventListener('status', paint);
    questions.close();
    close();
  };
}

function take(state, { shards, metrics }, store) {
  const seconds = state.shards ? (Date.parse(shards.timestamp) - Date.parse(state.shards.timestamp)) / 1000 : 0;
  const calls = (answer) => answer?.total.calls ?? 0;
  // Less than before: another process answers.
  const restarted = calls(shards) < calls(state.shards);
  if (restarted) state.past.clear();
  if (seconds > 0 || !state.shards) Object.assign(state, { before: restarted ? null : state.shards, shards });
  state.error = null;
  const usage = metrics?.system_metrics;
  if (usage) {
    const started = Date.parse(store.status?.started_at);
    const up = (Date.parse(metrics.timestamp) - started) / 1000;
    const used = (usage.cpu_percent / 100) * up;
    // The mean since the start, times the time since the start, is the time used: its difference is what is used now.
    const spent = state.cpu && up > state.cpu.up ? (100 * (used - state.cpu.used)) / (up - state.cpu.up) : null;
    state.cpu = { up, used };
    state.process = { ...usage, cpu_now: spent === null ? null : Math.max(0, spent) };
    keep(state, 'memory', usage.memory_mb);
    if (spent !== null) keep(state, 'cpu', Math.max(0, spent));
  }
  if (!state.before || seconds <= 0) return;
  for (const shard of shards.shards) keep(state, shard.name, rate(state, shard, 'calls'));
  keep(state, 'calls', (calls(shards) - calls(state.before)) / seconds);
  keep(state, 'flight', shards.total.attempts_in_flight);
  keep(state, 'stall', Math.max(...shards.shards.map(({ stall_ms }) => stall_ms)));
}

function keep(state, name, value) {
  const values = state.past.get(name) ?? [];
  values.push(value);
  if (values.length > KEPT) values.shift();
  state.past.set(name, values);
}

// Of one shard and counter, a second; null before the second answer.
function rate(state, shard, field) {
  const past = state.before?.shards.find(({ name }) => name === shard.name);
  const seconds = past && (Date.parse(state.shards.timestamp) - Date.parse(state.before.timestamp)) / 1000;
  return past && seconds > 0 ? Math.max(0, shard[field] - past[field]) / seconds : null;
}

const trend = (state, name, label) => sparkline(state.past.get(name) ?? [], `${label}, last two minutes`);
const figure = (label, value, picture, hint) => stat(label, [value, picture], { title: hint ?? null });

function draw(state, store) {
  const { shards, process, error } = state;
  if (!shards) return h('div', {}, title('System'), error ? failure(error) : loading('Asking the shards'));
  const { total } = shards;
  const stall = Math.max(...shards.shards.map(({ stall_ms }) => stall_ms));
  return h(
    'div',
    {},
    h('div', { class: 'stack' }, title('System'), note(about(shards, store.status)), stale(error)),
    h(
      'section',
      { class: 'card', 'aria-label': 'Process' },
      h(
        'dl',
        { class: 'card-body v-figures' },
        figure('Calls a second', fmt.rate(state.past.get('calls')?.at(-1)), trend(state, 'calls', 'Calls a second')),
        figure('Waiting for providers', fmt.count(total.attempts_in_flight), trend(state, 'flight', 'Attempts in flight'), 'Attempts that no provider has answered yet'),
        figure('Longest stall', fmt.ms(stall), trend(state, 'stall', 'Longest stall of any thread'), 'How late a thread came to its timer: it was busy with something else'),
        figure('CPU now', cpu(process?.cpu_now), trend(state, 'cpu', 'CPU'), '100 % is one busy core'),
        figure('Memory', process ? `${process.memory_mb.toFixed(1)} MB` : '–', trend(state, 'memory', 'Memory'), 'Resident memory of the process'),
        figure('CPU since start', cpu(process?.cpu_percent), null, 'Mean; 100 % is one busy core'),
        figure('Client connections', fmt.count(total.client_connections), null, 'HTTP and WebSocket'),
        figure('Threads', fmt.count(process?.process_count), null),
      ),
    ),
    h('section', { class: 'card', 'aria-labelledby': 'v-shards' }, head('v-shards', 'Shards', h('span', { class: 'muted small' }, 'a thread each; control probes providers and holds subscriptions')), threads(state)),
    h(
      'div',
      { class: 'grid v-columns' },
      h('section', { class: 'card', 'aria-labelledby': 'v-streams' }, head('v-streams', 'Streams'), streams(shards)),
      h('section', { class: 'card', 'aria-labelledby': 'v-losses' }, head('v-losses', 'Refused, repeated, left out'), losses(shards)),
    ),
  );
}

const cpu = (percent) => (typeof percent === 'number' ? `${percent.toFixed(1)}%` : '–');

function about({ shards }, status) {
  const threads = shards.filter(({ name }) => name !== 'control').length;
  return status ? `${status.node_id}, Lasso ${status.version}, ${status.status} for ${fmt.duration(status.uptime_seconds)} on ${threads} ${threads === 1 ? 'shard' : 'shards'}.` : '';
}

function health(shard) {
  if (shard.panics > 0) return ['circuit_open', 'panicked', `${shard.panics} tasks panicked since the start: please report it, with the log`];
  if (shard.epoch_lag_ms > LAG_MS) return ['unsteady', 'late', `Its last report is ${fmt.ms(shard.epoch_lag_ms)} old: it hangs or is overloaded`];
  if (shard.stall_ms > STALL_MS) return ['unsteady', 'busy', `It came ${fmt.ms(shard.stall_ms)} late to its timer`];
  return ['healthy', 'fine', 'Its timers are on time and its reports are fresh'];
}

const COLUMNS = [
  ['Thread'],
  ['State'],
  ['Calls/s', 'num', 'Calls taken, a second'],
  ['Load', null, 'Calls a second beside the busiest shard, and over the last two minutes'],
  ['In flight', 'num', 'Attempts that no provider has answered yet'],
  ['Clients', 'num', 'Client connections, of these WebSocket'],
  ['Upstream', 'num', 'Connections to providers, of these WebSocket'],
  ['Stall, worst', 'num', 'How late it came to its timer: in the last epoch, and at worst since the start'],
  ['Epoch lag', 'num', 'Age of its last report: figures and health reach the other threads with these, about ten times a second'],
  ['p50', 'num', 'Latency of providers as this thread saw it, since the start'],
  ['p99', 'num', 'Latency of providers as this thread saw it, since the start'],
];

function threads(state) {
  const rows = state.shards.shards.map((shard) => ({ ...shard, rate: rate(state, shard, 'calls') }));
  const most = Math.max(...rows.map((row) => row.rate ?? 0), 1e-9);
  const line = (row) => {
    const [word, label, why] = health(row);
    const { count, p50, p99 } = row.upstream_latency_ms;
    return h(
      'tr',
      { 'data-key': row.name },
      h('th', { scope: 'row' }, row.name),
      h('td', { title: why }, h('span', { class: `badge ${statusClass(word)}` }, statusGlyph(word), label)),
      cell(fmt.rate(row.rate)),
      h('td', { class: 'v-load' }, bar([[(row.rate ?? 0) / most, 'v-bar-half']]), trend(state, row.name, `Calls a second of ${row.name}`)),
      cell(fmt.count(row.attempts_in_flight)),
      cell(pair(row.client_connections, row.websocket_clients)),
      cell(pair(row.upstream_connections, row.upstream_websockets)),
      cell(fmt.ms(row.stall_ms), h('span', { class: 'faint' }, `, ${fmt.ms(row.stall_max_ms)}`)),
      cell(fmt.ms(row.epoch_lag_ms)),
      cell(fmt.ms(count > 0 ? p50 : null)),
      cell(fmt.ms(count > 0 ? p99 : null)),
    );
  };
  return table('Shards', COLUMNS, rows.map(line));
}

const pair = (all, sockets) => `${fmt.count(all)}${sockets > 0 ? ` (${fmt.count(sockets)} WS)` : ''}`;

// Words for every counter: [its name in the answer, what people call it, what it means].
const STREAMS = [
  ['followers', 'Followers', 'shards and their clients that listen to a stream'],
  ['feeds', 'Sources', 'providers that streams are read from'],
  ['upstream_subscriptions', 'Subscriptions at providers', 'one serves every client that asked for the same'],
  ['events', 'Events', 'received from providers'],
  ['duplicates_dropped', 'Duplicates', 'the same event from another provider, passed on once'],
  ['leaders_lost', 'Leaders lost', 'a provider that a stream was read from fell out'],
  ['switches', 'Switches', 'the stream went on with another provider'],
  ['blocks_filled', 'Blocks filled in', 'fetched to close a gap, so that clients miss none'],
  ['streams_closed', 'Streams closed', 'no provider could go on: clients were told and closed'],
];
const LOSSES = [
  ['refusals', 'Refused', 'calls that no provider answered; the client got an error from the node', true],
  ['rate_limited', 'Rate limited', 'calls over a client’s own limit', false],
  ['failovers', 'Second attempts', 'calls repeated at another provider after a failure', false],
  ['truncated', 'Broken off', 'answers that ended early at the provider while they were passed on', true],
  ['slow_consumers', 'Slow clients', 'WebSocket clients closed because they did not read their events', true],
  ['stray_messages', 'Stray messages', 'from providers’ WebSockets, answering nothing that was asked', false],
  ['late_epochs', 'Late reports', 'of a thread, sent with its next one', false],
  ['unfiled_attempts', 'Attempts in no figure', 'beyond the memory set aside for figures', true],
  ['dropped_events', 'Events not kept', 'of health, beyond what one report carries', true],
  ['panics', 'Panics', 'a task ended by a fault in Lasso: please report it', true],
];

const list = (words, of) =>
  h(
    'dl',
    { class: 'v-words' },
    words.map(([name, label, meaning, grave]) => {
      const count = of(name);
      if (typeof count !== 'number') return null;
      return h('div', { 'data-key': name }, h('dt', {}, label, h('span', { class: 'faint' }, ` ${meaning}`)), h('dd', { class: grave && count > 0 ? 'bad' : null }, fmt.count(count)));
    }),
  );

function streams({ streams: figures, total }) {
  if (!figures) return empty('No streams');
  const sentence = `${fmt.count(total.websocket_clients)} WebSocket clients hold ${fmt.count(total.subscriptions)} subscriptions and were sent ${fmt.count(total.subscription_events)} events.`;
  return body(note(sentence), list(STREAMS, (name) => figures[name]));
}

const losses = ({ shards, total }) => body(note('Since the start, all threads.'), list(LOSSES, (name) => total[name] ?? shards.reduce((sum, shard) => sum + (shard[name] ?? 0), 0)));
