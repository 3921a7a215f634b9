// Elements, formats and the small parts that every view shares. Text is always text: nothing here parses HTML.

const SVG = 'http://www.w3.org/2000/svg';

function fill(el, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on') && typeof value === 'function') el.addEventListener(name.slice(2), value);
    else if (name === 'style') for (const [key, text] of Object.entries(value)) el.style.setProperty(key, text);
    else if (name === 'dataset') Object.assign(el.dataset, value);
    else el.setAttribute(name === 'className' ? 'class' : name, value === true ? '' : String(value));
  }
  append(el, children);
  return el;
}

function append(el, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(el, child);
    else el.append(child instanceof Node ? child : String(child));
  }
}

/** An HTML element. `props`: attributes, `class`, `style` as an object of CSS names, `dataset`, `onclick` and its like. */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

/** The same for SVG. */
export const svg = (tag, attrs, ...children) => fill(document.createElementNS(SVG, tag), attrs, children);

/** Replaces the children of `el`. */
export function replace(el, ...children) {
  el.replaceChildren();
  append(el, children);
}

/** Writes only what differs, so that a redraw with nothing new costs no layout and loses no selection. */
export function setText(el, text) {
  const want = text === null || text === undefined ? '' : String(text);
  if (el.textContent !== want) el.textContent = want;
}

export function setAttr(el, name, value) {
  if (value === null || value === undefined || value === false) {
    if (el.hasAttribute(name)) el.removeAttribute(name);
    return;
  }
  const want = value === true ? '' : String(value);
  if (el.getAttribute(name) !== want) el.setAttribute(name, want);
}

/**
 * Children of `el` follow `items` by key: kept where the key is known, made and dropped otherwise, in order.
 * `make(item)` builds an element, `update(element, item)` brings it up to date.
 */
export function keyed(el, items, keyOf, make, update) {
  const known = el.keyedChildren ?? (el.keyedChildren = new Map());
  const seen = new Set();
  let at = el.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    if (seen.has(key)) continue;
    seen.add(key);
    let child = known.get(key);
    if (!child) known.set(key, (child = make(item)));
    if (child === at) at = at.nextSibling;
    else el.insertBefore(child, at);
    update?.(child, item);
  }
  for (const [key, child] of known) {
    if (seen.has(key)) continue;
    child.remove();
    known.delete(key);
  }
}

/** Runs `draw` at most once a frame and never while the page is hidden. Call the result to ask for a frame, `.stop()` to end. */
export function frame(draw) {
  let asked = 0;
  let stopped = false;
  const run = () => {
    asked = 0;
    if (!stopped) draw();
  };
  const ask = () => {
    if (stopped || asked) return;
    if (document.hidden) asked = -1;
    else asked = requestAnimationFrame(run);
  };
  const seen = () => {
    if (!document.hidden && asked === -1) {
      asked = 0;
      ask();
    }
  };
  document.addEventListener('visibilitychange', seen);
  ask.stop = () => {
    stopped = true;
    if (asked > 0) cancelAnimationFrame(asked);
    document.removeEventListener('visibilitychange', seen);
  };
  return ask;
}

const NONE = '–';
const isNumber = (x) => typeof x === 'number' && Number.isFinite(x);
const grouped = new Intl.NumberFormat('en-US');
const short = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** Formats. What is no number is an en dash. */
export const fmt = {
  ms(x) {
    if (!isNumber(x)) return NONE;
    if (x < 0.995) return `${x.toFixed(2)} ms`;
    if (x < 9.95) return `${x.toFixed(1)} ms`;
    if (x < 999.5) return `${Math.round(x)} ms`;
    if (x < 59_950) return `${(x / 1000).toFixed(x < 9_995 ? 2 : 1)} s`;
    return fmt.duration(x / 1000);
  },
  count: (n) => (isNumber(n) ? (Math.abs(n) < 100_000 ? grouped.format(Math.round(n)) : short.format(n)) : NONE),
  /** A whole number, never shortened: block heights. */
  whole: (n) => (isNumber(n) ? grouped.format(n) : NONE),
  /** A fraction of one. Only all is 100 %. */
  percent(x) {
    if (!isNumber(x)) return NONE;
    const value = x * 100;
    if (value === 100 || value === 0) return `${value}%`;
    return `${value > 99.9 ? (Math.floor(value * 100) / 100).toFixed(2) : value.toFixed(1)}%`;
  },
  rate: (x) => (isNumber(x) ? (x === 0 ? '0' : x < 10 ? x.toFixed(1) : fmt.count(x)) : NONE),
  duration(s) {
    if (!isNumber(s)) return NONE;
    if (s < 60) return `${Math.max(0, Math.round(s))} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min`;
    if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
    return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
  },
  ago(ts) {
    const at = typeof ts === 'number' ? ts : Date.parse(ts);
    if (!isNumber(at)) return NONE;
    const seconds = (Date.now() - at) / 1000;
    return seconds < 1.5 ? 'just now' : `${fmt.duration(seconds)} ago`;
  },
  time(ts) {
    const at = typeof ts === 'number' ? ts : Date.parse(ts);
    return isNumber(at) ? clock.format(at) : NONE;
  },
};

/** A line icon of 16 × 16. */
export const icon = (path) =>
  svg('svg', { class: 'icon', viewBox: '0 0 16 16', 'aria-hidden': 'true' }, svg('path', { d: path }));

const COPY = 'M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z';
const CHECK = 'M3 8.5l3.5 3.5L13 4.5';

/** A button that copies `text` (or what `text()` gives) and says so. */
export function copyButton(text, label = 'Copy') {
  const button = h('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label }, icon(COPY));
  const say = (path, word) => {
    button.replaceChildren(icon(path));
    button.title = word;
    button.setAttribute('aria-label', word);
  };
  button.addEventListener('click', async () => {
    const done = await copy(typeof text === 'function' ? text() : text);
    say(done ? CHECK : COPY, done ? 'Copied' : 'Copying is not allowed here: select the text');
    setTimeout(() => say(COPY, label), 1500);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS there is no clipboard interface: the old way.
    const area = h('textarea', { class: 'visually-hidden', 'aria-hidden': 'true' });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

/** What a view shows instead of data: nothing yet, nothing at all, or what went wrong. */
export const empty = (title, ...hint) => h('div', { class: 'empty' }, h('p', { class: 'empty-title' }, title), hint.length > 0 && h('p', null, ...hint));
export const loading = (what = 'Loading') => h('div', { class: 'empty', 'aria-busy': 'true' }, h('span', { class: 'spinner', 'aria-hidden': 'true' }), h('p', null, `${what} …`));
export const failure = (error, retry) =>
  h('div', { class: 'empty is-error', role: 'alert' }, h('p', { class: 'empty-title' }, error?.message ?? String(error)),
    retry && h('button', { type: 'button', class: 'button', onclick: retry }, 'Try again'));

/** A figure with its name. */
export const stat = (label, value, props) =>
  h('div', { class: 'stat', ...props }, h('dt', null, label), h('dd', null, value));
