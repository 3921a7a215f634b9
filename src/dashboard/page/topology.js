// Chains as hubs with their providers around them. The picture lays itself out: clusters in a grid that uses the stage best,
// the providers of a chain on two arcs in configured order, so that names stand beside each other and never on each other.
//
// Drawn by difference: elements are made when the set of chains and providers changes, and only attributes after that. What
// moves is drawn over it (`motion.js`). One element is in the tab order; arrow keys go to the neighbour in that direction.

import { fmt, h, setAttr, setText, svg } from './dom.js';
import { Motion } from './motion.js';
import { glyphParts, gravity, statusClass, statusOf } from './status.js';

const HUB_W = 164;
const HUB_H = 66;
const REACH_MIN = 58;
const REACH_ARC = 40;
const LABEL_MAX = 150;
const LABEL_GAP = 13;
const WS_W = 22;
const CELL_GAP_X = 36;
const CELL_GAP_Y = 44;
const SPARE_MAX = 90;
/** More would be large letters, not more to read. */
const FIT_MAX = 1.2;
const PITCHES = [40, 34, 29, 25, 21, 18];
/** Names of providers are hidden below this scale, unless selected or pointed at. */
const FAR = 0.72;
/** Where names have no room of their own, a selected chain is brought this near. */
const NEAR = 0.95;
const ZOOM_MAX = 3;
const DRAG_PX = 4;
/** What the node kept and tells at once when a page opens is no news. */
const NEWS_MS = 2_500;
const HEIGHT_GAP_MS = 240;
/** These get no call of their own accord. */
const IDLE = new Set(['circuit_open', 'wrong_chain', 'misconfigured', 'rate_limited']);

const still = matchMedia('(prefers-reduced-motion: reduce)');
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const key = (chain, provider) => (provider ? `${chain}\n${provider}` : chain);

const ruler = document.createElement('canvas').getContext('2d');
const widths = new Map();

function widthOf(text, font) {
  const id = `${font}\n${text}`;
  if (!widths.has(id)) {
    if (widths.size > 2000) widths.clear();
    ruler.font = font;
    widths.set(id, ruler.measureText(text).width);
  }
  return widths.get(id);
}

/** `text` cut to `width`, with its width. */
function fitted(text, width, font) {
  if (widthOf(text, font) <= width) return { text, width: widthOf(text, font) };
  let cut = text;
  while (cut.length > 1 && widthOf(`${cut}…`, font) > width) cut = cut.slice(0, -1);
  return { text: `${cut}…`, width: widthOf(`${cut}…`, font) };
}

/**
 * Where everything goes: `{width, height, scale, cellW, clusters: [{chain, x, y, places: [{provider, dx, dy, side}]}]}`.
 * Where names could not be read anyhow, they get no room: call it again with a `labelWidth` of 0.
 */
export function layOut(chains, labelWidth, width, height) {
  const rows = chains.map((c) => Math.max(1, Math.ceil((c.providers?.length ?? 0) / 2)));
  const cellW = HUB_W + 2 * (REACH_MIN + REACH_ARC + LABEL_GAP + labelWidth) + CELL_GAP_X;
  let best = null;
  for (const pitch of PITCHES) {
    const heights = rows.map((n) => Math.max(HUB_H, (n - 1) * pitch + 24) + CELL_GAP_Y);
    for (let columns = 1; columns <= Math.max(1, chains.length); columns++) {
      const lines = [];
      for (let at = 0; at < chains.length; at += columns) lines.push(Math.max(...heights.slice(at, at + columns)));
      const full = { w: columns * cellW, h: lines.reduce((a, b) => a + b, 0) };
      const scale = Math.min(width / full.w, height / full.h, FIT_MAX);
      // Readable first, roomy second.
      const worth = scale + pitch / 400;
      if (!best || worth > best.worth + 1e-6) best = { worth, pitch, columns, lines, ...full };
    }
  }
  if (!best) return { width: 1, height: 1, scale: 1, cellW: 1, clusters: [] };
  // Height that is left goes between the rows.
  const scale = Math.min(width / best.w, height / best.h, FIT_MAX);
  const spare = clamp((height / scale - best.h) / best.lines.length, 0, SPARE_MAX);
  const clusters = [];
  let top = 0;
  for (const [line, lineH] of best.lines.entries()) {
    const tall = lineH + spare;
    const part = chains.slice(line * best.columns, (line + 1) * best.columns);
    const left = ((best.columns - part.length) * cellW) / 2;
    part.forEach((chain, column) => clusters.push({ chain, x: left + (column + 0.5) * cellW, y: top + tall / 2, places: places(chain, best.pitch) }));
    top += tall;
  }
  return { width: best.w, height: top, scale, cellW, clusters };
}

function places(chain, pitch) {
  const providers = chain.providers ?? [];
  const perSide = [Math.ceil(providers.length / 2), Math.floor(providers.length / 2)];
  return providers.map((provider, at) => {
    const side = at % 2 === 0 ? -1 : 1;
    const count = side < 0 ? perSide[0] : perSide[1];
    const row = Math.floor(at / 2) - (count - 1) / 2;
    const bend = count > 1 ? row / (count / 2) : 0;
    const dx = side * (HUB_W / 2 + REACH_MIN + REACH_ARC * Math.sqrt(1 - bend * bend));
    return { provider, dx, dy: row * pitch, side };
  });
}

export class Topology {
  #store;
  #traffic;
  #select;
  #svg;
  #space;
  #motion = new Motion();
  #nodes = new Map();
  #order = [];
  #layout = null;
  /** What the names of a selected chain need beyond its cell. */
  #labelRoom = 0;
  #shape = '';
  #size = { w: 0, h: 0 };
  #view = { x: 0, y: 0, k: 1 };
  #fitK = 1;
  #moved = false;
  #active = null;
  #hubScale = 1;
  #viewFrame = 0;
  #shown = false;
  #watch;

  constructor({ store, traffic, select }) {
    this.#store = store;
    this.#traffic = traffic;
    this.#select = select;
    this.#space = svg('g', { class: 'space' });
    this.#svg = svg('svg', { class: 'topology-svg', role: 'group', 'aria-label': 'Topology. Arrow keys go from one to the next, Enter selects, Escape lets go.' }, this.#space);
    this.element = h('div', { class: 'topology' }, this.#svg, this.#motion.element);
    this.#listen();
    this.#watch = new ResizeObserver(([entry]) => this.#resized(entry.contentRect));
    this.#watch.observe(this.element);
  }

  show(is) {
    this.#shown = is;
  }

  end() {
    this.#watch.disconnect();
    this.#motion.end();
    cancelAnimationFrame(this.#viewFrame);
  }

  // ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────────

  draw() {
    if (!this.#shown || this.#size.w < 2) return;
    const chains = this.#store.chains;
    const shape = JSON.stringify(chains.map((c) => [c.chain, (c.providers ?? []).map((p) => p.id)])) + `${this.#size.w}x${this.#size.h}`;
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#build(chains);
    }
    const traffic = this.#traffic;
    for (const chain of chains) {
      const hub = this.#nodes.get(key(chain.chain));
      if (!hub) continue;
      this.#drawHub(hub, chain);
      const all = traffic.of(chain.chain).calls;
      for (const provider of chain.providers ?? []) {
        const node = this.#nodes.get(key(chain.chain, provider.id));
        if (node) this.#drawProvider(node, chain, provider, all > 0 ? traffic.of(chain.chain, provider.id).calls / all : 0);
      }
    }
  }

  #build(chains) {
    const font = getComputedStyle(this.element);
    this.label = `500 12px ${font.fontFamily}`;
    this.hubFont = `650 13px ${font.fontFamily}`;
    const names = chains.flatMap((c) => (c.providers ?? []).map((p) => widthOf(p.id, this.label) + (p.circuits && 'ws' in p.circuits ? WS_W + 5 : 0)));
    const labelWidth = clamp(Math.max(40, ...names), 40, LABEL_MAX);
    const [w, tall] = [this.#size.w - 24, this.#size.h - 24];
    this.#layout = layOut(chains, labelWidth, w, tall);
    this.#labelRoom = 0;
    if (this.#layout.scale < FAR) {
      this.#layout = layOut(chains, 0, w, tall);
      this.#labelRoom = labelWidth;
    }
    this.#svg.classList.toggle('is-dense', this.#labelRoom > 0);
    this.#nodes.clear();
    this.#order = [];
    const edges = svg('g', { class: 'edges', 'aria-hidden': 'true' });
    const nodes = svg('g', { class: 'nodes' });
    for (const cluster of this.#layout.clusters) {
      const hub = this.#makeHub(cluster);
      this.#nodes.set(hub.id, hub);
      this.#order.push(hub);
      nodes.append(hub.el);
      for (const place of cluster.places) {
        const node = this.#makeProvider(cluster, place, labelWidth);
        this.#nodes.set(node.id, node);
        this.#order.push(node);
        edges.append(node.edge);
        nodes.append(node.el);
      }
    }
    this.#space.replaceChildren(edges, nodes);
    this.#motion.clear();
    this.#activate(this.#nodes.get(this.#active) ? this.#active : this.#order[0]?.id);
    this.#moved = false;
    this.#apply(this.#fitted());
    this.selected();
  }

  #makeHub({ chain, x, y }) {
    const id = key(chain.chain);
    const name = svg('text', { class: 'hub-name', y: -10 });
    const height = svg('text', { class: 'hub-height', y: 8 });
    const mix = svg('g', { class: 'hub-mix', transform: `translate(${-HUB_W / 2 + 14} 19)` });
    const title = svg('title');
    const inner = svg('g', { class: 'hub-inner' },
      svg('rect', { class: 'hub-box', x: -HUB_W / 2, y: -HUB_H / 2, width: HUB_W, height: HUB_H, rx: 12 }), name, height, mix);
    const el = svg('g', { class: 'hub', transform: `translate(${x} ${y})`, role: 'button', tabindex: -1, 'data-node': id }, title, inner);
    setText(name, fitted(chain.chain, HUB_W - 24, this.hubFont).text);
    return { id, el, x, y, height, mix, title, chain: chain.chain, toldAt: 0 };
  }

  #makeProvider(cluster, { provider, dx, dy, side }, labelWidth) {
    const id = key(cluster.chain.chain, provider.id);
    const [x, y] = [cluster.x + dx, cluster.y + dy];
    const from = { x: cluster.x + (side * HUB_W) / 2, y: cluster.y + clamp(dy, -HUB_H / 4, HUB_H / 4) };
    const to = { x: x - side * 8, y };
    const middle = (to.x - from.x) * 0.55;
    const curve = [from, { x: from.x + middle, y: from.y }, { x: to.x - middle, y: to.y }, to];
    const hasWs = Boolean(provider.circuits && 'ws' in provider.circuits);
    const label = fitted(provider.id, labelWidth - (hasWs ? WS_W + 5 : 0), this.label);
    const anchor = side < 0 ? 'end' : 'start';
    const glyph = svg('g', { class: 'node-glyph' });
    const ws = hasWs
      ? svg('g', { class: 'ws', transform: `translate(${side * (LABEL_GAP + label.width + 6) - (side < 0 ? WS_W : 0)} -7)` },
          svg('rect', { width: WS_W, height: 14, rx: 4 }), svg('text', { x: WS_W / 2, y: 10.5 }, 'WS'))
      : null;
    const reach = LABEL_GAP + label.width + (hasWs ? WS_W + 8 : 2);
    const title = svg('title');
    const el = svg('g', { class: 'node', transform: `translate(${x} ${y})`, role: 'button', tabindex: -1, 'data-node': id }, title,
      svg('rect', { class: 'node-hit', x: side < 0 ? -reach : -11, y: -10, width: reach + 11, height: 20, rx: 6 }),
      svg('circle', { class: 'node-ring', r: 10 }), glyph,
      svg('g', { class: 'node-label' }, svg('text', { x: side * LABEL_GAP, y: 4, 'text-anchor': anchor }, label.text), ws));
    const edge = svg('path', { class: 'edge', d: `M${curve[0].x} ${curve[0].y}C${curve.slice(1).map((p) => `${p.x} ${p.y}`).join(' ')}` });
    return { id, el, title, edge, glyph, ws, x, y, curve, hubX: cluster.x, chain: cluster.chain.chain, provider: provider.id, word: null, width: null };
  }

  #drawHub(hub, chain) {
    const head = this.#store.heads.get(chain.chain) ?? chain.head;
    setText(hub.height, Number.isFinite(head) ? fmt.whole(head) : 'no block yet');
    const providers = [...(chain.providers ?? [])].sort((a, b) => gravity(b.status) - gravity(a.status));
    const mix = providers.map((p) => statusClass(p.status)).join(' ');
    if (hub.mixShown !== mix) {
      hub.mixShown = mix;
      const width = HUB_W - 28;
      const gap = providers.length > 20 ? 0.5 : 2;
      const each = providers.length > 0 ? (width - gap * (providers.length - 1)) / providers.length : 0;
      hub.mix.replaceChildren(...providers.map((p, at) => svg('rect', { class: `mix ${statusClass(p.status)}`, x: at * (each + gap), width: Math.max(0.5, each), height: 4, rx: Math.min(2, each / 2) })));
      const good = providers.filter((p) => p.status === 'healthy').length;
      setText(hub.title, `${chain.chain}: ${good} of ${providers.length} providers healthy`);
    }
  }

  #drawProvider(node, chain, provider, share) {
    const word = provider.status;
    if (node.word !== word) {
      node.word = word;
      node.glyph.replaceChildren(...glyphParts(word));
      const isKin = node.chain === this.#store.chain ? ' is-kin' : '';
      const isSelected = isKin && node.provider === this.#store.provider ? ' is-selected' : '';
      node.el.setAttribute('class', `node ${statusClass(word)}${isKin}${isSelected}`);
      node.edge.setAttribute('class', `edge ${statusClass(word)}${word === 'healthy' ? '' : IDLE.has(word) ? ' is-idle' : ' is-troubled'}${isKin}${node.width ? ' has-calls' : ''}`);
    }
    setText(node.title, `${provider.id} on ${chain.chain}: ${statusOf(word).label}${provider.reason ? `, ${provider.reason}` : ''}`);
    const ws = provider.circuits?.ws;
    if (node.ws) setAttr(node.ws, 'class', `ws${ws && ws !== 'closed' ? ' is-open' : ''}`);
    // In steps, so that most redraws change nothing.
    const width = share > 0 ? String(1.5 + Math.round(9 * Math.sqrt(share)) / 2) : null;
    if (node.width !== width) {
      node.width = width;
      if (width) node.edge.style.setProperty('stroke-width', width);
      else node.edge.style.removeProperty('stroke-width');
      node.edge.classList.toggle('has-calls', Boolean(width));
    }
  }

  selected() {
    const { chain, provider } = this.#store;
    const wanted = chain ? key(chain, provider) : null;
    for (const [id, node] of this.#nodes) {
      setAttr(node.el, 'aria-pressed', String(id === wanted));
      node.el.classList.toggle('is-selected', id === wanted);
      const isKin = node.chain === chain;
      node.el.classList.toggle('is-kin', isKin);
      node.edge?.classList.toggle('is-kin', isKin);
    }
    this.#svg.classList.toggle('has-selection', Boolean(wanted));
    const node = wanted && this.#nodes.get(wanted);
    if (!node || wanted === this.#reached) {
      if (!wanted && this.#reached && !this.#moved) this.#go(this.#fitted());
      this.#reached = wanted;
      return;
    }
    this.#reached = wanted;
    this.#activate(wanted);
    // What is readable already stays where it is.
    const hub = this.#nodes.get(key(chain));
    const readable = this.#labelRoom > 0 ? NEAR : FAR;
    if (hub && (this.#view.k < readable || !this.#isVisible(hub) || !this.#isVisible(node))) this.#centre(hub);
  }

  #reached = null;

  // ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────

  take(events) {
    if (document.hidden || !this.#shown) return;
    const { profile, chain, skew_ms: skew } = this.#store;
    // What is dimmed does not move.
    const quiet = this.#labelRoom > 0 && Boolean(chain) && this.#view.k >= FAR;
    const oldest = Date.now() + skew - NEWS_MS;
    for (const event of events) {
      if (Date.parse(event.timestamp) < oldest) continue;
      if (event.event === 'chain.head') {
        for (const c of event.chains ?? []) if (c?.profile === profile) this.#block(c.chain, quiet);
      } else if (event.event === 'rpc.request.completed' && (!event.profile || event.profile === profile)) {
        const node = this.#nodes.get(key(event.chain, event.routing?.selected_provider?.id));
        if (node?.curve && !(quiet && node.chain !== chain)) this.#motion.call(node, event.response?.status === 'success');
      }
    }
  }

  #block(chain, quiet) {
    const hub = this.#nodes.get(key(chain));
    if (!hub) return;
    const now = performance.now();
    // Some chains have ten blocks a second: nobody reads that.
    if (now - hub.toldAt > HEIGHT_GAP_MS) {
      hub.toldAt = now;
      setText(hub.height, fmt.whole(this.#store.heads.get(chain)));
    }
    if (quiet && chain !== this.#store.chain) return;
    const scale = this.#hubScale;
    this.#motion.block(hub, HUB_W * scale, HUB_H * scale);
  }

  // ── the viewport ─────────────────────────────────────────────────────────────────────────────────────────────────

  #resized({ width, height }) {
    const [w, h2] = [Math.round(width), Math.round(height)];
    if (w === this.#size.w && h2 === this.#size.h) return;
    this.#size = { w, h: h2 };
    this.#svg.setAttribute('viewBox', `0 0 ${w} ${h2}`);
    this.#motion.resize(w, h2);
    this.draw();
  }

  #fitted() {
    const { w, h: height } = this.#size;
    const { width, height: tall } = this.#layout ?? { width: 1, height: 1 };
    const k = Math.min((w - 24) / width, (height - 24) / tall, FIT_MAX);
    this.#fitK = k;
    return { k, x: (w - width * k) / 2, y: (height - tall * k) / 2 };
  }

  #centre(hub) {
    const k = clamp(Math.min((this.#size.w - 40) / (this.#layout.cellW + 2 * this.#labelRoom), (this.#size.h - 40) / this.#tall(hub.chain), FIT_MAX), this.#fitK, ZOOM_MAX);
    this.#go({ k, x: this.#size.w / 2 - hub.x * k, y: this.#size.h / 2 - hub.y * k });
  }

  /** Height of a chain's cluster. */
  #tall(chain) {
    const rows = this.#order.filter((n) => n.chain === chain).map((n) => n.y);
    return Math.max(...rows) - Math.min(...rows) + HUB_H;
  }

  #isVisible({ x, y }) {
    const { x: left, y: top, k } = this.#view;
    const [px, py] = [x * k + left, y * k + top];
    return px > 30 && py > 20 && px < this.#size.w - 30 && py < this.#size.h - 20;
  }

  fit() {
    this.#moved = false;
    this.#go(this.#fitted());
  }

  zoom(factor, at = { x: this.#size.w / 2, y: this.#size.h / 2 }, smooth = true) {
    const { x, y, k } = this.#view;
    const next = clamp(k * factor, this.#fitK * 0.8, ZOOM_MAX);
    const ratio = next / k;
    this.#moved = true;
    const view = { k: next, x: at.x - (at.x - x) * ratio, y: at.y - (at.y - y) * ratio };
    if (smooth) this.#go(view);
    else this.#apply(view);
  }

  /** Glides to a view. */
  #go(to) {
    cancelAnimationFrame(this.#viewFrame);
    if (still.matches || document.hidden) return this.#apply(to);
    const from = { ...this.#view };
    const start = performance.now();
    const step = (now) => {
      const t = clamp((now - start) / 320, 0, 1);
      const e = 1 - (1 - t) ** 3;
      this.#apply({ x: from.x + (to.x - from.x) * e, y: from.y + (to.y - from.y) * e, k: from.k + (to.k - from.k) * e });
      if (t < 1) this.#viewFrame = requestAnimationFrame(step);
    };
    this.#viewFrame = requestAnimationFrame(step);
  }

  #apply(view) {
    this.#view = view;
    this.#space.setAttribute('transform', `translate(${view.x.toFixed(2)} ${view.y.toFixed(2)}) scale(${view.k.toFixed(4)})`);
    this.#svg.classList.toggle('is-far', view.k < FAR);
    // Hubs and shapes keep a readable size when all of a large profile is in view.
    this.#hubScale = clamp(0.86 / view.k, 1, 1.6);
    this.#motion.look(view, (HUB_W / 2) * this.#hubScale);
    this.#svg.style.setProperty('--hub-scale', this.#hubScale.toFixed(3));
    this.#svg.style.setProperty('--node-scale', clamp(0.8 / view.k, 1, 1.5).toFixed(3));
    this.#svg.style.setProperty('--label-scale', clamp(0.92 / view.k, 1, 2).toFixed(3));
  }

  // ── pointer and keys ─────────────────────────────────────────────────────────────────────────────────────────────

  #listen() {
    const area = this.#svg;
    const at = (event) => {
      const box = area.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    this.#listenPointers(area, at);
    area.addEventListener('click', (event) => {
      if (performance.now() - this.#dragged < 50) return;
      const node = this.#nodes.get(event.target.closest?.('[data-node]')?.dataset.node);
      if (node) this.#select(node.chain, node.provider ?? null);
      else this.#select(null);
    });
    area.addEventListener('wheel', (event) => {
      // In a single column the wheel is the page's, unless it is asked for.
      const isPage = getComputedStyle(area).touchAction !== 'none';
      if (isPage && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(Math.exp(-clamp(event.deltaY, -80, 80) * (event.deltaMode === 1 ? 0.03 : 0.0022)), at(event), false);
    }, { passive: false });
    area.addEventListener('keydown', (event) => this.#key(event));
    area.addEventListener('focusin', (event) => {
      const id = event.target.closest?.('[data-node]')?.dataset.node;
      if (id !== undefined) this.#activate(id);
    });
  }

  /** One pointer pans, two zoom. */
  #listenPointers(area, at) {
    const down = new Map();
    let from = null;
    const begin = () => {
      const [a, b] = [...down.values()];
      from = a ? { view: { ...this.#view }, at: b ? { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 } : { ...a }, span: b ? Math.hypot(a.x - b.x, a.y - b.y) : 0 } : null;
    };
    area.addEventListener('pointerdown', (event) => {
      if (event.button !== 0 || down.size >= 2) return;
      down.set(event.pointerId, at(event));
      begin();
    });
    area.addEventListener('pointermove', (event) => {
      if (!down.has(event.pointerId)) return;
      down.set(event.pointerId, at(event));
      const [a, b] = [...down.values()];
      const now = b ? { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 } : a;
      const isDragged = area.classList.contains('is-dragged');
      if (!isDragged && !b && Math.hypot(now.x - from.at.x, now.y - from.at.y) < DRAG_PX) return;
      if (!isDragged) {
        area.setPointerCapture(event.pointerId);
        area.classList.add('is-dragged');
      }
      cancelAnimationFrame(this.#viewFrame);
      this.#moved = true;
      const { view } = from;
      const k = b && from.span > 0 ? clamp((view.k * Math.hypot(a.x - b.x, a.y - b.y)) / from.span, this.#fitK * 0.8, ZOOM_MAX) : view.k;
      this.#apply({ k, x: now.x - ((from.at.x - view.x) * k) / view.k, y: now.y - ((from.at.y - view.y) * k) / view.k });
    });
    const drop = (event) => {
      if (!down.delete(event.pointerId)) return;
      if (down.size === 0 && area.classList.contains('is-dragged')) {
        area.classList.remove('is-dragged');
        this.#dragged = performance.now();
      }
      begin();
    };
    area.addEventListener('pointerup', drop);
    area.addEventListener('pointercancel', drop);
  }

  #dragged = 0;

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const node = this.#nodes.get(this.#active);
    if (arrows[event.key] && node) this.#stepTo(node, ...arrows[event.key]);
    else if ((event.key === 'Enter' || event.key === ' ') && node) this.#select(node.chain, node.provider ?? null);
    else if (event.key === 'Escape') this.#select(null);
    else if (event.key === 'Home') this.#focus(this.#order[0]);
    else if (event.key === 'End') this.#focus(this.#order.at(-1));
    else if (event.key === '+' || event.key === '=') this.zoom(1.35);
    else if (event.key === '-') this.zoom(1 / 1.35);
    else if (event.key === '0') this.fit();
    else return;
    event.preventDefault();
  }

  /** The nearest node in a direction: what lies off the direction counts thrice. */
  #stepTo(from, dx, dy) {
    let best = null;
    for (const node of this.#order) {
      const [x, y] = [node.x - from.x, node.y - from.y];
      const along = x * dx + y * dy;
      const off = Math.abs(x * dy) + Math.abs(y * dx);
      if (along <= 2) continue;
      const cost = along + 3 * off;
      if (!best || cost < best.cost) best = { node, cost };
    }
    if (best) this.#focus(best.node);
  }

  #focus(node) {
    if (!node) return;
    this.#activate(node.id);
    node.el.focus({ preventScroll: true });
    if (!this.#isVisible(node)) {
      this.#moved = true;
      this.#go({ ...this.#view, x: this.#size.w / 2 - node.x * this.#view.k, y: this.#size.h / 2 - node.y * this.#view.k });
    }
  }

  #activate(id) {
    if (this.#active !== id) this.#nodes.get(this.#active)?.el.setAttribute('tabindex', '-1');
    this.#active = id;
    this.#nodes.get(id)?.el.setAttribute('tabindex', '0');
  }
}
