// What is wrong with a provider in a region, by figures of several nodes. Rules without a page, so that a test can ask them.

// Fewer calls than these say nothing about a rate, or about the slowest twentieth.
const [CALLS_FOR_RATE, CALLS_FOR_P95] = [10, 20];
const POOR_SUCCESS = 0.95;
// As slow as this beside the other regions is no matter of distance alone.
const [FAR_TIMES, FAR_MS] = [2, 50];

export const WINDOWS = { last_hour: 'Last hour', last_minute: 'Last minute' };

function median(sorted) {
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

const channels = ({ closed, half_open, open }) => closed + half_open + open;

/** Circuits in one word with numbers, and the status whose shape goes with it. */
export function circuitWords(circuits) {
  const all = channels(circuits);
  if (all === 0) return ['not known', 'unknown'];
  if (circuits.open > 0) return [circuits.open === all ? 'open' : `open: ${circuits.open} of ${all}`, 'circuit_open'];
  if (circuits.half_open > 0) return [circuits.half_open === all ? 'half-open' : `half-open: ${circuits.half_open} of ${all}`, 'recovering'];
  return ['closed', 'healthy'];
}

/** How many times slower the slow end is here than in the middle of the other regions; null where that is no trouble. */
function farFrom(here, others) {
  const known = (window) => window.total_calls >= CALLS_FOR_P95 && window.p95_latency_ms !== null;
  const elsewhere = others.filter(known).map((window) => window.p95_latency_ms).toSorted((a, b) => a - b);
  if (elsewhere.length === 0 || !known(here)) return null;
  const usual = median(elsewhere);
  const p95 = here.p95_latency_ms;
  return p95 > usual * FAR_TIMES && p95 - usual >= FAR_MS ? p95 / Math.max(usual, 1e-9) : null;
}

/** The marks of one cell, gravest first: `{word, text}` with the status whose shape stands for it. `others`: the other regions' cells. */
export function marksOf(cell, others, window) {
  const marks = [];
  const here = cell[window];
  if (cell.circuits.open > 0) marks.push({ word: 'circuit_open', text: `circuit ${circuitWords(cell.circuits)[0]}` });
  if (here.total_calls >= CALLS_FOR_RATE && here.success_rate < POOR_SUCCESS) marks.push({ word: 'unsteady', text: `${Math.floor(here.success_rate * 100)}% succeed` });
  const times = farFrom(here, others.map((other) => other[window]));
  if (times !== null) marks.push({ word: 'lagging', text: `p95 ${times.toFixed(1)}× the others` });
  return marks;
}

/** Regions with nobody who answers now: their figures are of before, if there are any. */
export function silentRegions(nodes) {
  const answers = new Map();
  for (const { region, self, state } of nodes) if (region) answers.set(region, answers.get(region) || self || state === 'responding');
  return new Set([...answers].filter(([, does]) => !does).map(([region]) => region));
}

/** The chart: regions as columns, providers as rows of cells by region; a cell that is not known is left out. */
export function chartOf(answer, window) {
  const regions = [...new Set([...answer.nodes.map(({ region }) => region), ...answer.regions.map(({ region }) => region)].filter(Boolean))].toSorted();
  const silent = silentRegions(answer.nodes);
  const rows = answer.providers.map((provider) => {
    const cells = new Map(provider.regions.map((cell) => [cell.region, { ...cell, marks: marksOf(cell, provider.regions.filter((other) => other !== cell), window), isOld: silent.has(cell.region) }]));
    return { provider, cells };
  });
  return { regions, silent, rows };
}

/** Shades from 0 (fastest) to `steps - 1`, evenly by ratio between the fastest and the slowest value: a function, and its bounds. */
export function shades(values, steps) {
  const known = values.filter((value) => Number.isFinite(value) && value > 0);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  // Values that are nearly alike are one shade: a difference of a tenth must not look like one of the whole.
  if (known.length === 0 || high / low < 1.25) return { of: () => 0, bounds: known.length === 0 ? [] : [[low, high]] };
  const width = Math.log(high / low) / steps;
  const of = (value) => Math.min(steps - 1, Math.max(0, Math.floor(Math.log(value / low) / width)));
  return { of, bounds: Array.from({ length: steps }, (_, step) => [low * Math.exp(step * width), low * Math.exp((step + 1) * width)]) };
}
