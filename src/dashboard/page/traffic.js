// Calls of the last minute, counted from the live events: by profile as a whole, by chain and by provider.
//
// One bucket for each second; what leaves the minute is subtracted, so that a draw reads totals and loops over nothing.
// Events are sampled by the node above some 256 calls a second: then shares and averages hold, and rates are a lower bound.

const SECONDS = 60;
/** Above this the node samples. */
const SAMPLED_FROM = 200;

const blank = () => ({ calls: 0, good: 0, latency: 0, timed: 0, failovers: 0 });

function add(into, what, sign) {
  for (const key of Object.keys(into)) into[key] += sign * what[key];
}

const keyOf = (chain, provider) => `${chain}\n${provider ?? ''}`;

export class Traffic {
  #buckets = [];
  #totals = new Map([['', blank()]]);
  #since = Date.now();

  clear() {
    this.#buckets = [];
    this.#totals = new Map([['', blank()]]);
    this.#since = Date.now();
  }

  /** Counts routing decisions of `profile` among `events`. */
  take(events, profile) {
    const second = Math.floor(Date.now() / 1000);
    this.#expire(second);
    let bucket = this.#buckets.at(-1);
    if (bucket?.second !== second) this.#buckets.push((bucket = { second, parts: new Map() }));
    for (const event of events) {
      if (event.event !== 'rpc.request.completed' || (event.profile && event.profile !== profile)) continue;
      const latency = event.timing?.end_to_end_latency_ms;
      const one = {
        calls: 1,
        good: event.response?.status === 'success' ? 1 : 0,
        latency: Number.isFinite(latency) ? latency : 0,
        timed: Number.isFinite(latency) ? 1 : 0,
        failovers: Number(event.routing?.retries) || 0,
      };
      const provider = event.routing?.selected_provider?.id;
      const keys = ['', keyOf(event.chain), ...(provider ? [keyOf(event.chain, provider)] : [])];
      for (const key of keys) {
        for (const map of [bucket.parts, this.#totals]) {
          if (!map.has(key)) map.set(key, blank());
          add(map.get(key), one, 1);
        }
      }
    }
  }

  #expire(second) {
    while (this.#buckets.length > 0 && this.#buckets[0].second <= second - SECONDS) {
      for (const [key, part] of this.#buckets.shift().parts) {
        const total = this.#totals.get(key);
        add(total, part, -1);
        if (total.calls === 0 && key !== '') this.#totals.delete(key);
      }
    }
  }

  /** `{calls, rate, success, latency_ms, failovers, is_sampled, seconds}` of all, a chain, or a provider of it. */
  of(chain, provider) {
    const now = Date.now();
    this.#expire(Math.floor(now / 1000));
    const total = this.#totals.get(chain === undefined ? '' : keyOf(chain, provider)) ?? blank();
    const seconds = Math.min(SECONDS, Math.max(1, (now - this.#since) / 1000));
    const rate = total.calls / seconds;
    return {
      calls: total.calls,
      rate,
      success: total.calls > 0 ? total.good / total.calls : null,
      latency_ms: total.timed > 0 ? total.latency / total.timed : null,
      failovers: total.failovers,
      is_sampled: this.#totals.get('').calls / seconds > SAMPLED_FROM,
      seconds,
    };
  }
}
