// What moves over the topology: dots along lines for calls, rings around hubs for new blocks. On a canvas of its own, because
// a moving element in an SVG of a thousand elements makes a browser paint them all again, every frame.
//
// Bounded: a pool of dots and a least gap for each line and hub; what exceeds them is not drawn. Nothing runs while there is
// nothing to draw, and nothing at all when the reader asked for less motion.

const DOTS = 40;
const DOT_MS = 620;
const DOT_GAP_MS = 140;
const DOT_R = 3.2;
const RING_MS = 800;
const RING_GAP_MS = 900;
const RING_WIDTH = 7;

const still = matchMedia('(prefers-reduced-motion: reduce)');

/** A point on a cubic curve of four points. */
function along([a, b, c, d], t) {
  const u = 1 - t;
  const [p, q, r, s] = [u * u * u, 3 * t * u * u, 3 * t * t * u, t * t * t];
  return [p * a.x + q * b.x + r * c.x + s * d.x, p * a.y + q * b.y + r * c.y + s * d.y];
}

const eased = (t) => (t < 0.5 ? 2 * t * t : 1 - 2 * (1 - t) * (1 - t));

export class Motion {
  element = Object.assign(document.createElement('canvas'), { className: 'motion', ariaHidden: 'true' });
  #context = this.element.getContext('2d');
  #view = { x: 0, y: 0, k: 1 };
  #reach = 0;
  #ratio = 1;
  #dots = [];
  #rings = [];
  /** When something last ran, by node. */
  #last = new WeakMap();
  #frame = 0;
  #colours = null;

  resize(width, height) {
    this.#ratio = Math.min(2, devicePixelRatio || 1);
    this.element.width = Math.round(width * this.#ratio);
    this.element.height = Math.round(height * this.#ratio);
  }

  /** `reach`: half the width of a hub, which grows as the view goes far; what is under it is not drawn. */
  look(view, reach) {
    this.#view = view;
    this.#reach = reach;
  }

  clear() {
    this.#dots = [];
    this.#rings = [];
  }

  end() {
    cancelAnimationFrame(this.#frame);
  }

  /** A call along a node's curve. */
  call(node, isGood) {
    if (this.#dots.length < DOTS && this.#may(node, DOT_GAP_MS)) this.#start(this.#dots, { curve: node.curve, hubX: node.hubX, isGood });
  }

  /** A new block of a hub, whose box is `width` by `height`. */
  block(hub, width, height) {
    if (this.#may(hub, RING_GAP_MS)) this.#start(this.#rings, { hub, width, height });
  }

  #may(node, gap) {
    const now = performance.now();
    if (still.matches || document.hidden || now - (this.#last.get(node) ?? -Infinity) < gap) return false;
    this.#last.set(node, now);
    return true;
  }

  #start(list, thing) {
    list.push({ ...thing, at: performance.now() });
    if (this.#frame) return;
    const style = getComputedStyle(this.element);
    this.#colours = { good: style.getPropertyValue('color'), bad: style.getPropertyValue('outline-color'), ground: getComputedStyle(document.body).getPropertyValue('background-color') };
    this.#frame = requestAnimationFrame((now) => this.#draw(now));
  }

  #draw(now) {
    const c = this.#context;
    const { x, y, k } = this.#view;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, this.element.width, this.element.height);
    this.#dots = this.#dots.filter((d) => now - d.at < DOT_MS);
    this.#rings = this.#rings.filter((r) => now - r.at < RING_MS);
    this.#frame = 0;
    if (this.#dots.length + this.#rings.length === 0) return;
    c.setTransform(this.#ratio * k, 0, 0, this.#ratio * k, this.#ratio * x, this.#ratio * y);
    c.strokeStyle = this.#colours.good;
    for (const { hub, width, height, at } of this.#rings) {
      const t = Math.max(0, (now - at) / RING_MS);
      const out = RING_WIDTH * t;
      c.globalAlpha = 0.55 * (1 - t);
      c.lineWidth = 2.5;
      c.beginPath();
      c.roundRect(hub.x - width / 2 - out, hub.y - height / 2 - out, width + 2 * out, height + 2 * out, 12 + out);
      c.stroke();
    }
    // Dots keep a size that can be seen when all of a large profile is in view.
    const radius = DOT_R * Math.min(1.6, Math.max(1, 0.75 / k));
    c.globalAlpha = 1;
    for (const { curve, hubX, isGood, at } of this.#dots) {
      const [px, py] = along(curve, eased(Math.min(1, Math.max(0, (now - at) / DOT_MS))));
      if (Math.abs(px - hubX) < this.#reach) continue;
      c.beginPath();
      c.arc(px, py, radius, 0, 2 * Math.PI);
      c.fillStyle = isGood ? this.#colours.good : this.#colours.ground;
      c.fill();
      if (isGood) continue;
      c.strokeStyle = this.#colours.bad;
      c.lineWidth = 2;
      c.stroke();
      c.strokeStyle = this.#colours.good;
    }
    this.#frame = requestAnimationFrame((at) => this.#draw(at));
  }
}
