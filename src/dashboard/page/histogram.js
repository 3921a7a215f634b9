// Arithmetic on latency histograms as `/api/metrics/:chain?histograms=true` gives them: `[[le_ms, count], …]`, ascending, empty
// buckets left out. Buckets are evenly spaced on a logarithmic scale, about 6 % wide, so counts of neighbours compare.
// No page in here: tests/clients checks it with Node.js alone.

export const total = (buckets) => buckets.reduce((sum, [, count]) => sum + count, 0);

// Several histograms of the same buckets as one.
export function merged(histograms) {
  const sums = new Map();
  for (const buckets of histograms) for (const [le, count] of buckets) sums.set(le, (sums.get(le) ?? 0) + count);
  return [...sums].sort(([a], [b]) => a - b);
}

// The least upper bound below which a share `q` of the calls lies; null without calls.
export function quantile(buckets, q) {
  const rank = Math.max(1, Math.ceil(q * total(buckets)));
  let seen = 0;
  for (const [le, count] of buckets) {
    seen += count;
    if (seen >= rank) return le;
  }
  return null;
}

// The share of calls that took at most `ms`.
export function share(buckets, ms) {
  const all = total(buckets);
  if (all === 0) return 0;
  return buckets.reduce((sum, [le, count]) => (le <= ms ? sum + count : sum), 0) / all;
}

// A logarithmic axis over all of these, a little wider than the data: whole steps of 1, 2 and 5 times a power of ten.
export function extent(histograms) {
  const bounds = histograms.flatMap((buckets) => (buckets.length ? [buckets[0][0], buckets[buckets.length - 1][0]] : []));
  if (bounds.length === 0) return [1, 1000];
  const [low, high] = [Math.min(...bounds) * 0.85, Math.max(...bounds) * 1.08];
  return [Math.max(low, 0.01), Math.max(high, low * 10)];
}

// 1, 2 and 5 times powers of ten within an extent; only the powers where there are many.
export function ticks([low, high], most = 9) {
  const out = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const step of [1, 2, 5]) {
      const value = Number((step * 10 ** power).toPrecision(3));
      if (value >= low && value <= high) out.push(value);
    }
  }
  if (out.length <= most) return out;
  const powers = out.filter((value) => Number.isInteger(Number(Math.log10(value).toFixed(6))));
  return powers.length >= 2 ? powers : out.filter((_, index) => index % Math.ceil(out.length / most) === 0);
}

// Counts over `bins` equal steps of a logarithmic axis: what a picture some hundred pixels wide can show.
export function binned(buckets, [low, high], bins) {
  const out = new Array(bins).fill(0);
  const span = Math.log(high / low);
  for (const [le, count] of buckets) {
    // A bucket's middle: its bounds are about 6 % apart.
    const place = Math.floor((Math.log((le * 0.97) / low) / span) * bins);
    out[Math.min(bins - 1, Math.max(0, place))] += count;
  }
  return out;
}

// How far the slowest calls stray from the usual one (docs/behaviour/shown.md#the-page).
export function steadiness(p50, p99) {
  if (p50 === null || p50 === undefined || p99 === null || p99 === undefined || p50 <= 0) return null;
  const ratio = p99 / p50;
  return { ratio, word: ratio < 2 ? 'good' : ratio < 5 ? 'acceptable' : 'poor' };
}
