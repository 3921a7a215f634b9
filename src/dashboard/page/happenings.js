// What happens on all nodes, newest first. The other nodes are asked for it while somebody listens, so this listens while it is shown
// and no longer; it begins with the newest that each node kept.

import { fmt, h } from './dom.js';
import { body, head, note } from './parts.js';

const KEPT = 60;
// Calls and heights are figures, and are shown as such.
const TYPES = 'provider,stream,client,node,config,cluster';

export class Happenings {
  #changed;
  #source = null;
  #profile = null;
  #numbers = 0;
  /** Newest first, each with a key of its own. */
  list = [];

  constructor(changed) {
    this.#changed = changed;
  }

  /** Listens for a profile's events, if it does not yet; called again and again, which also replaces a stream that was given up. */
  listen(profile) {
    const isOpen = this.#source && this.#source.readyState !== EventSource.CLOSED;
    if (!profile || (isOpen && profile === this.#profile)) return;
    this.close();
    this.#profile = profile;
    this.list = [];
    const source = new EventSource(`/api/events?scope=cluster&types=${TYPES}&profile=${encodeURIComponent(profile)}`);
    this.#source = source;
    source.addEventListener('batch', (message) => source === this.#source && this.#take(message.data));
  }

  #take(text) {
    let batch;
    try {
      batch = JSON.parse(text);
    } catch (error) {
      console.warn('events that cannot be read', error);
      return;
    }
    for (const event of Array.isArray(batch) ? batch : []) this.list.unshift({ key: (this.#numbers += 1), event });
    // What another node tells is some time old when it comes.
    this.list.sort((a, b) => String(b.event.timestamp).localeCompare(String(a.event.timestamp)));
    if (this.list.length > KEPT) this.list.length = KEPT;
    this.#changed();
  }

  close() {
    this.#source?.close();
    this.#source = null;
  }
}

/** The inside of a card that is labelled by `v-happenings`. */
export function happeningsCard({ list }, { nodes }) {
  const silent = nodes.filter((node) => node.tells_events === false).map((node) => node.node_id);
  return h(
    'div',
    {},
    head('v-happenings', 'What happens on the nodes'),
    body(
      silent.length > 0 && note(`Of ${silent.join(', ')} nothing is told here: it is an older version.`),
      list.length === 0 ? note('Nothing yet.') : h('ol', { class: 'events v-happenings', tabindex: '0', 'aria-label': 'Events of all nodes, newest first' }, list.map(line)),
    ),
  );
}

function line({ key, event }) {
  const { node_id: id, region, level, timestamp } = event;
  const where = region && region !== id ? `${id} (${region})` : id;
  return h('li', { class: `event is-${level ?? 'info'}`, 'data-key': String(key) }, h('time', { class: 'faint' }, fmt.time(timestamp)), h('span', {}, h('b', {}, where ?? 'this node'), ` ${words(event)}`));
}

function words({ event, providers = [], transport, message, count }) {
  const [about] = providers;
  const whom = about ? `${about.id} on ${about.chain}${transport ? ` over ${transport}` : ''}: ` : '';
  const text = message ?? event.replaceAll('.', ' ').replaceAll('_', ' ');
  return `${whom}${text}${event === 'cluster.events_lost' ? ` (${count} events)` : ''}`;
}
