// The node's own interfaces. Errors carry the sentence that the node gave, not a status number.

const TIMEOUT_MS = 10_000;

/** What an answer that is no success says of itself: ours are `{error, hint}`, `{errors: {detail, hint}}` or JSON-RPC's. */
function sentence(status, body) {
  const error = body?.error;
  const said = [body?.errors?.detail ?? (typeof error === 'string' ? error : error?.message), body?.errors?.hint ?? body?.hint];
  return said.filter(Boolean).join(': ') || `The node answered with HTTP ${status}`;
}

/** GET, parsed. `signal` ends it early. */
export async function get(path, { signal } = {}) {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  let answer;
  try {
    answer = await fetch(path, { signal: signal ? AbortSignal.any([signal, limit]) : limit, headers: { accept: 'application/json' } });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Error(error.name === 'TimeoutError' ? 'The node did not answer within 10 s' : 'The node does not answer', { cause: error });
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw Object.assign(new Error(sentence(answer.status, body)), { status: answer.status });
  if (body === null) throw new Error('The node answered with something that is no JSON');
  return body;
}

/** One JSON-RPC call (or a batch): `{status, body, headers, elapsed_ms}`; `body` is null when it is no JSON. Throws when nothing answers. */
export async function rpc(url, body, headers = {}, { signal } = {}) {
  const started = performance.now();
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    signal,
  });
  const text = await answer.text();
  const elapsed_ms = performance.now() - started;
  let parsed = null;
  try {
    parsed = JSON.parse(text);
  } catch {
    // An empty or foreign body: the status says enough.
  }
  return { status: answer.status, body: parsed, headers: answer.headers, elapsed_ms };
}

/** Path parts of ours. */
export const paths = {
  providers: (profile, chain) => `/api/providers/${encodeURIComponent(chain)}?profile=${encodeURIComponent(profile)}`,
  metrics: (profile, chain) => `/api/metrics/${encodeURIComponent(chain)}?profile=${encodeURIComponent(profile)}`,
  explain: (profile, chain, method) => `/api/explain/${[profile, chain, method].map(encodeURIComponent).join('/')}`,
  /** Where clients send calls; `scheme` is http or ws. */
  endpoint(scheme, profile, chain, strategy) {
    const secure = location.protocol === 'https:' ? 's' : '';
    const root = scheme === 'ws' ? `ws${secure}://${location.host}/ws/rpc` : `http${secure}://${location.host}/rpc`;
    const parts = [profile === 'default' ? [] : ['profile', profile], strategy ?? [], chain].flat();
    return [root, ...parts.map(encodeURIComponent)].join('/');
  },
};
