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
  #buckets = new Map();
  #totals = new Map([['', blank()]]);
  #since = Date.now();

  clear() {
    this.#buckets.clear();
    this.#totals = new Map([['', blank()]]);
    this.#since = Date.now();
  }

  /** Counts routing decisions of `profile` among `events`, which the node may have kept for a while. `skew_ms`: how far its clock is ahead. */
  take(events, profile, skew_ms) {
    const now = Date.now();
    this.#expire(now);
    for (const event of events) {
      if (event.event !== 'rpc.request.completed' || (event.profile && event.profile !== profile)) continue;
      const at = Math.min(now, Date.parse(event.timestamp) - skew_ms || now);
      if (at <= now - SECONDS * 1000) continue;
      this.#since = Math.min(this.#since, at);
      const latency = event.timing?.end_to_end_latency_ms;
      const one = {
        calls: 1,
        good: event.response?.status === 'success' ? 1 : 0,
        latency: Number.isFinite(latency) ? latency : 0,
        timed: Number.isFinite(latency) ? 1 : 0,
        failovers: Number(event.routing?.retries) || 0,
      };
      const second = Math.floor(at / 1000);
      if (!this.#buckets.has(second)) this.#buckets.set(second, new Map());
      const provider = event.routing?.selected_provider?.id;
      for (const key of ['', keyOf(event.chain), ...(provider ? [keyOf(event.chain, provider)] : [])]) {
        for (const map of [this.#buckets.get(second), this.#totals]) {
          if (!map.has(key)) map.set(key, blank());
          add(map.get(key), one, 1);
        }
      }
    }
  }

  #expire(now) {
    const first = Math.floor(now / 1000) - SECONDS;
    for (const [second, parts] of this.#buckets) {
      if (second > first) continue;
      this.#buckets.delete(second);
      for (const [key, part] of parts) {
        const total = this.#totals.get(key);
        add(total, part, -1);
        if (total.calls === 0 && key !== '') this.#totals.delete(key);
      }
    }
  }

  /** `{calls, rate, success, latency_ms, failovers, is_sampled, seconds}` of all, a chain, or a provider of it. */
  of(chain, provider) {
    const now = Date.now();
    this.#expire(now);
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
