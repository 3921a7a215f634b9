// The overview: the profile's chains and providers as a picture or as a list, and beside it what is selected.

import { ActivityFeed } from './activity.js';
import { empty, frame, h, icon, keyed, replace, setAttr, setText } from './dom.js';
import { ChainList } from './listing.js';
import { Panel } from './panels.js';
import { STATUSES, gravity, statusGlyph } from './status.js';
import { Topology } from './topology.js';
import { Traffic } from './traffic.js';

const VIEW_KEY = 'lasso.overview';
/** Below this width of the stage a picture cannot be read: the list is shown unless the picture is asked for. */
const PICTURE_MIN_PX = 640;
const PLUS = 'M3 8h10M8 3v10';
const MINUS = 'M3 8h10';
const FIT = 'M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10';

const remembered = () => {
  try {
    return localStorage.getItem(VIEW_KEY);
  } catch {
    return null;
  }
};

export function mount(root, app) {
  const { store } = app;
  const traffic = new Traffic();
  traffic.take(store.events, store.profile, store.skew_ms);
  const select = (chain, provider = null) => app.navigate({ chain, provider });

  let choice = remembered();
  let isNarrow = false;

  const counts = h('ul', { class: 'legend-list' });
  const lines = [['line is-thick', 'More calls'], ['line', 'Fewer'], ['line is-dotted', 'None: not in use']].map(([look, text]) => h('li', null, h('i', { class: look, 'aria-hidden': 'true' }), text));
  const legend = h('div', { class: 'legend', 'aria-label': 'Legend', role: 'group' }, counts, h('ul', { class: 'legend-list' }, lines));

  const topology = new Topology({ store, traffic, select });
  const list = new ChainList({ store, traffic, select, address: app.address });
  const zoom = h('div', { class: 'zoom', role: 'group', 'aria-label': 'Zoom' },
    ...[['Zoom in', PLUS, () => topology.zoom(1.35)], ['Zoom out', MINUS, () => topology.zoom(1 / 1.35)], ['Show everything', FIT, () => topology.fit()]]
      .map(([label, path, act]) => h('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label, onclick: act }, icon(path))));
  const views = ['picture', 'list'].map((key) =>
    h('button', { type: 'button', dataset: { key }, onclick: () => choose(key) }, key === 'picture' ? 'Topology' : 'List'));
  const heading = h('h1', null, '');
  const summary = h('p', { class: 'small muted' });
  const stageBody = h('div', { class: 'stage-body' });
  const stage = h('section', { class: 'card stage', 'aria-label': 'Chains and providers' },
    h('div', { class: 'stage-head' }, h('div', null, heading, summary), h('div', { class: 'segmented', role: 'group', 'aria-label': 'Show as' }, views)),
    stageBody, legend);

  const feed = new ActivityFeed({ store, select });
  const panel = new Panel({ app, traffic, feed, showList: () => choose('list') });
  replace(root, stage, panel.element);

  function choose(key) {
    choice = key;
    try {
      localStorage.setItem(VIEW_KEY, key);
    } catch {
      // Forgotten at the next visit.
    }
    arrange();
  }

  function arrange() {
    const shows = store.chains.length === 0 ? 'nothing' : choice ?? (isNarrow ? 'list' : 'picture');
    for (const button of views) setAttr(button, 'aria-pressed', String(button.dataset.key === shows));
    if (stageBody.dataset.shows === shows) return;
    stageBody.dataset.shows = shows;
    if (shows === 'nothing') replace(stageBody, empty('This profile has no chains', 'Its configuration file names none. Chains appear here as soon as the node has taken them over.'));
    else replace(stageBody, shows === 'picture' ? [topology.element, zoom] : list.element);
    legend.lastChild.hidden = shows !== 'picture';
    topology.show(shows === 'picture');
    draw();
  }

  function drawCounts() {
    const tally = new Map();
    const providers = store.chains.flatMap((c) => c.providers ?? []);
    for (const p of providers) {
      const word = STATUSES[p.status] ? p.status : 'unknown';
      tally.set(word, (tally.get(word) ?? 0) + 1);
    }
    const healthy = tally.get('healthy') ?? 0;
    setText(heading, store.scope?.name ?? store.profile ?? '');
    setText(summary, store.chains.length === 0 ? 'No chains'
      : `${store.chains.length} ${store.chains.length === 1 ? 'chain' : 'chains'}, ${healthy} of ${providers.length} providers healthy`);
    const words = Object.keys(STATUSES).sort((a, b) => gravity(b) - gravity(a));
    keyed(counts, words, (word) => word,
      (word) => h('li', { title: STATUSES[word].hint }, statusGlyph(word), h('span', null, STATUSES[word].label), h('b', null, '')),
      (el, word) => {
        setText(el.lastChild, tally.get(word) || '');
        setAttr(el, 'class', tally.get(word) ? null : 'is-none');
      });
  }

  const draw = frame(() => {
    arrange();
    drawCounts();
    if (stageBody.dataset.shows === 'picture') topology.draw();
    else if (stageBody.dataset.shows === 'list') list.draw();
    panel.draw();
    feed.draw();
  });

  const on = (type, listener) => {
    store.addEventListener(type, listener);
    return () => store.removeEventListener(type, listener);
  };
  let profile = store.profile;
  const offs = [
    on('status', draw),
    on('connection', draw),
    on('selection', () => {
      if (store.profile !== profile) {
        profile = store.profile;
        traffic.clear();
        feed.clear();
      }
      panel.selected();
      topology.selected();
      draw();
    }),
    on('events', ({ detail }) => {
      traffic.take(detail, store.profile, store.skew_ms);
      feed.take(detail);
      if (stageBody.dataset.shows === 'picture') topology.take(detail);
      panel.take(detail);
    }),
  ];
  // Figures from events are for reading: twice a second is enough.
  const tick = setInterval(draw, 500);
  const watch = new ResizeObserver(([entry]) => {
    isNarrow = entry.contentRect.width < PICTURE_MIN_PX;
    arrange();
  });
  watch.observe(stage);
  arrange();
  panel.selected();

  return () => {
    clearInterval(tick);
    watch.disconnect();
    offs.forEach((off) => off());
    draw.stop();
    topology.end();
    panel.end();
  };
}
