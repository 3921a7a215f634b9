// The pictures: bars, sparklines, latency distributions as ridges (one histogram per row) and as percentile curves.
//
// Each is a function from figures to an SVG tree; colours come from classes alone. What a picture shows by colour it also shows
// by place, shape or text, and each large one has a table beside it (`percentileTable`) for those who cannot see it.
// Latency axes are logarithmic: providers differ by factors, not by differences.

import { fmt, h, svg } from './dom.js';
import { cell, table } from './parts.js';
import { binned, extent, quantile, share, ticks, total } from './histogram.js';

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const round = (value) => Math.round(value * 10) / 10;

// A horizontal bar: `parts` are [share of the full width, class], drawn over one another from 0, widest first.
export function bar(parts, label) {
  const rects = parts.map(([part, name]) =>
    svg('rect', { x: 0, y: 0, height: '100%', width: `${round(100 * clamp(part || 0, 0, 1))}%`, class: name }),
  );
  const told = label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': 'true' };
  return svg('svg', { class: 'v-bar', ...told }, ...rects);
}

// The last values of one figure; the scale starts at 0 and ends at the highest of them, or at `most` where that is more.
export function sparkline(values, label, most = 0) {
  const top = Math.max(most, ...values, 1e-9);
  const step = values.length > 1 ? 100 / (values.length - 1) : 100;
  const points = values.map((value, index) => `${round(index * step)},${round(23 - 22 * (value / top))}`);
  return svg(
    'svg',
    { class: 'v-spark', viewBox: '0 0 100 24', preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    points.length > 1 && svg('polygon', { class: 'v-spark-area', points: `0,24 ${points.join(' ')} 100,24` }),
    points.length > 1 && svg('polyline', { class: 'v-spark-line', points: points.join(' ') }),
  );
}

// Marks of p50, p95 and p99: three shapes, so that they differ without colour.
function mark(kind, x, y) {
  const shapes = {
    p50: () => svg('circle', { class: 'v-mark', cx: x, cy: y, r: 3.5 }),
    p95: () => svg('path', { class: 'v-mark v-mark-hollow', d: `M${x},${y - 4.5} l4.5,4.5 l-4.5,4.5 l-4.5,-4.5 z` }),
    p99: () => svg('path', { class: 'v-mark', d: `M${x},${y - 4.5} l4.5,8 h-9 z` }),
  };
  return shapes[kind]();
}

export function marksLegend() {
  const entry = (kind, text) =>
    h('span', { class: 'v-legend-entry' }, svg('svg', { class: 'v-key', viewBox: '0 0 12 12', 'aria-hidden': 'true' }, mark(kind, 6, 6)), text);
  return h('p', { class: 'v-legend small muted' }, entry('p50', 'p50: half of the calls'), entry('p95', 'p95'), entry('p99', 'p99: all but one in a hundred'));
}

// The axis that a chart's rows share, in pixels.
function scale([low, high], left, right) {
  const span = Math.log(high / low);
  const x = (ms) => round(left + ((right - left) * Math.log(clamp(ms, low, high) / low)) / span);
  return { x, ms: (px) => low * Math.exp((span * clamp(px - left, 0, right - left)) / (right - left)), low, high, left, right };
}

function axis(at, range, top, bottom) {
  const wide = at.right - at.left;
  const lines = ticks(range, wide < 420 ? 5 : 9).map((ms) => [
    svg('line', { class: 'v-grid', x1: at.x(ms), x2: at.x(ms), y1: top, y2: bottom }),
    svg('text', { class: 'v-tick', x: at.x(ms), y: bottom + 14, 'text-anchor': 'middle' }, fmt.ms(ms)),
  ]);
  return lines.flat();
}

// Rows of {id, name, buckets}. Returns the tree and what a pointer's place means: `read(x, y)` and `step` for arrow keys.
export function ridges(rows, width, cursor) {
  const narrow = width < 640;
  const [left, right] = narrow ? [4, width - 8] : [150, width - 150];
  const height = narrow ? 56 : rows.length > 12 ? 34 : rows.length > 6 ? 44 : 54;
  const [top, bottom] = [6, 6 + rows.length * height];
  const range = extent(rows.map((row) => row.buckets));
  const at = scale(range, left, right);
  // Not more bins than buckets, else the picture would show the buckets' bounds.
  const bins = Math.max(8, Math.min(Math.floor((right - left) / 5), Math.floor(Math.log(range[1] / range[0]) / Math.log(1.13))));
  const drawn = rows.map((row, index) => ridge(row, { at, range, bins, narrow, base: top + (index + 1) * height - 8, height: height - (narrow ? 26 : 12), width }));
  const chosen = cursor && rows.findIndex((row) => row.id === cursor.id);
  const line = cursor && chosen >= 0 && svg('line', { class: 'v-cursor', x1: at.x(cursor.ms), x2: at.x(cursor.ms), y1: top + chosen * height, y2: top + (chosen + 1) * height - 8 });
  const tree = svg(
    'svg',
    { class: 'v-chart', width, height: bottom + 20, viewBox: `0 0 ${width} ${bottom + 20}`, role: 'img', 'aria-label': `Latency histograms of ${rows.length} providers; the table below has their percentiles` },
    ...axis(at, range, top, bottom),
    ...drawn,
    line,
  );
  const read = (x, y) => {
    const row = rows[clamp(Math.floor((y - top) / height), 0, rows.length - 1)];
    return row && { id: row.id, ms: at.ms(x) };
  };
  return { tree, read, step: (range[1] / range[0]) ** (1 / 60), range };
}

function ridge(row, { at, range, bins, narrow, base, height, width }) {
  const counts = binned(row.buckets, range, bins);
  const smooth = counts.map((count, i) => (count * 2 + (counts[i - 1] ?? 0) + (counts[i + 1] ?? 0)) / 4);
  const most = Math.max(...smooth, 1e-9);
  const wide = (at.right - at.left) / bins;
  const points = smooth.map((count, i) => `${round(at.left + (i + 0.5) * wide)},${round(base - (height * count) / most)}`);
  const calls = total(row.buckets);
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((q) => quantile(row.buckets, q));
  const figures = `p50 ${fmt.ms(p50)} · p99 ${fmt.ms(p99)}`;
  return svg(
    'g',
    { class: 'v-ridge', 'data-key': row.id },
    svg('line', { class: 'v-base', x1: at.left, x2: at.right, y1: base, y2: base }),
    calls > 0 && svg('polygon', { class: 'v-area', points: `${at.left},${base} ${points.join(' ')} ${at.right},${base}` }),
    calls > 0 && svg('polyline', { class: 'v-line', points: points.join(' ') }),
    ...(calls > 0 ? [mark('p99', at.x(p99), base), mark('p95', at.x(p95), base), mark('p50', at.x(p50), base)] : []),
    svg('text', { class: 'v-name', x: narrow ? 4 : 0, y: narrow ? base - height - 6 : base - height / 2 + 5 }, cut(row.id, narrow ? 22 : 19)),
    svg(
      'text',
      { class: 'v-figures-text', x: narrow ? width - 8 : width, y: narrow ? base - height - 6 : base - height / 2 + 5, 'text-anchor': 'end' },
      calls > 0 ? figures : 'no calls',
    ),
  );
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

// Percentiles on a scale of nines: as much room from 90 to 99 % as from 99 to 99.9 %, for the tail is what matters.
const NINES = [0, 0.5, 0.9, 0.99, 0.999];
const nines = (q) => -Math.log10(1 - Math.min(q, 0.9995));

export function curves(rows, width, cursor) {
  const [left, right, top, bottom] = [48, width - 12, 8, 288];
  const range = extent(rows.map((row) => row.buckets));
  const at = scale(range, left, right);
  const y = (q) => round(bottom - ((bottom - top) * nines(q)) / nines(0.9995));
  const grid = NINES.map((q) => [
    svg('line', { class: 'v-grid', x1: left, x2: right, y1: y(q), y2: y(q) }),
    svg('text', { class: 'v-tick', x: left - 6, y: y(q) + 4, 'text-anchor': 'end' }, `${round(q * 1000) / 10} %`),
  ]);
  const paths = rows.map((row, index) => curve(row, index, { at, y, bottom, chosen: cursor?.id }));
  const tree = svg(
    'svg',
    { class: 'v-chart', width, height: bottom + 22, viewBox: `0 0 ${width} ${bottom + 22}`, role: 'img', 'aria-label': `Percentile curves of ${rows.length} providers; the table below has the figures` },
    ...grid.flat(),
    ...axis(at, range, top, bottom),
    ...paths,
    cursor && svg('line', { class: 'v-cursor', x1: at.x(cursor.ms), x2: at.x(cursor.ms), y1: top, y2: bottom }),
  );
  // The curve nearest to the pointer, at its latency.
  const read = (px, py) => {
    const ms = at.ms(px);
    const far = (row) => Math.abs(y(share(row.buckets, ms)) - py);
    const nearest = rows.reduce((best, row) => (best && far(best) <= far(row) ? best : row), null);
    return nearest && { id: nearest.id, ms };
  };
  return { tree, read, step: (range[1] / range[0]) ** (1 / 60), range };
}

function curve(row, index, { at, y, bottom, chosen }) {
  const calls = total(row.buckets);
  if (calls === 0) return null;
  let [seen, path] = [0, `M${at.x(row.buckets[0][0] * 0.94)},${bottom}`];
  for (const [le, count] of row.buckets) {
    seen += count;
    // Of n calls the slowest stands for the share above 1 - 1/n: nothing is known beyond.
    path += ` L${at.x(le)},${y(Math.min(seen / calls, 1 - 0.5 / calls))}`;
  }
  const name = `v-curve v-series-${index % 8}${chosen === row.id ? ' v-chosen' : chosen ? ' v-faint' : ''}`;
  return svg('path', { class: name, d: path, 'data-key': row.id });
}

export function seriesKey(index) {
  return svg('svg', { class: 'v-key v-key-line', viewBox: '0 0 24 12', 'aria-hidden': 'true' }, svg('path', { class: `v-curve v-series-${index % 8}`, d: 'M1,6 H23' }));
}

// What the pictures say, for those who cannot see them and those who want the number.
export function percentileTable(rows, caption) {
  const points = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1];
  const columns = [['Provider'], ['Calls', 'num'], ...points.map((q) => [q === 1 ? 'slowest' : `p${Math.round(q * 100)}`, 'num'])];
  const line = ({ id, buckets }) => h('tr', { 'data-key': id }, h('th', { scope: 'row' }, id), cell(fmt.count(total(buckets))), points.map((q) => cell(fmt.ms(quantile(buckets, q)))));
  return table(caption, columns, rows.map(line));
}

// One sentence about a place in a chart.
export function readout(rows, cursor) {
  const row = cursor && rows.find(({ id }) => id === cursor.id);
  if (!row) return '';
  const calls = total(row.buckets);
  return `${row.id}: ${fmt.percent(share(row.buckets, cursor.ms))} of ${fmt.count(calls)} calls within ${fmt.ms(cursor.ms)}`;
}
