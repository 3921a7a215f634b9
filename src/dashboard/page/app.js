// The page's shell: header, tabs, profile, theme, connection, and the URL as the one place that says what is shown.
// A view is a module with `mount(root, app)` that returns `unmount()`; it is loaded when its tab is first opened.

import * as api from './api.js';
import { failure, fmt, h, icon, loading, replace, setAttr, setText } from './dom.js';
import { store } from './store.js';

const TABS = [
  { key: 'overview', title: 'Overview', load: () => import('./overview.js') },
  { key: 'metrics', title: 'Metrics', load: () => import('./metrics.js') },
  { key: 'regions', title: 'Regions', load: () => import('./regions.js') },
  { key: 'system', title: 'System', load: () => import('./system.js') },
  { key: 'tester', title: 'Tester', load: () => import('./tester.js') },
  { key: 'explain', title: 'Explain', load: () => import('./explain.js') },
];
const KEYS = ['chain', 'provider', 'method', 'whose'];
const PROFILE_KEY = 'lasso.profile';
const THEME_KEY = 'lasso.theme';

const view = document.getElementById('view');
const banner = document.getElementById('banner');
let tab = null;
let unmount = null;
let mounting = 0;

const remembered = (key) => {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
};
const remember = (key, value) => {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // A page without storage works, it only forgets.
  }
};

// ── the URL ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function read() {
  const query = new URLSearchParams(location.search);
  const segment = location.pathname.split('/')[2];
  const state = { profile: segment ? decodeURIComponent(segment) : null };
  for (const key of KEYS) state[key] = query.get(key) || null;
  state.tab = TABS.some((t) => t.key === query.get('tab')) ? query.get('tab') : 'overview';
  return state;
}

/** The address of a state; keys that are not given keep what is shown now. */
function address(next) {
  const now = { ...read(), profile: store.profile ?? read().profile };
  if ('profile' in next && next.profile !== now.profile) next = { chain: null, provider: null, ...next };
  if ('chain' in next && next.chain !== now.chain && !('provider' in next)) next = { ...next, provider: null };
  const state = { ...now, ...next };
  const query = new URLSearchParams();
  if (state.tab && state.tab !== 'overview') query.set('tab', state.tab);
  for (const key of KEYS) if (state[key]) query.set(key, state[key]);
  const text = query.toString();
  return `/dashboard${state.profile ? `/${encodeURIComponent(state.profile)}` : ''}${text ? `?${text}` : ''}`;
}

function navigate(next, { replace: replaces = false } = {}) {
  const to = address(next);
  if (to === location.pathname + location.search) return;
  history[replaces ? 'replaceState' : 'pushState'](null, '', to);
  follow();
}

const app = { store, api, navigate, address };

function follow() {
  const { tab: wanted, ...selection } = read();
  selection.profile = chosen(selection.profile);
  store.select(selection);
  drawHeader();
  if (store.status && !store.scope) settle();
  else if (wanted !== tab) show(wanted);
}

/** The profile that an address means: `default` may be another name for one that is listed as `public`. */
function chosen(asked) {
  const slugs = (store.status?.profiles ?? []).map((p) => p.slug);
  if (slugs.length === 0 || slugs.includes(asked)) return asked ?? store.profile;
  if (asked && asked !== 'default') return asked;
  return [store.profile, remembered(PROFILE_KEY), 'default', 'public', slugs[0]].find((slug) => slugs.includes(slug)) ?? null;
}

/** The first status says which profiles there are, and a later one may say otherwise. */
function settle() {
  if (!store.scope) store.select({ profile: chosen(read().profile) });
  if (!store.scope) noProfile(read().profile, (store.status?.profiles ?? []).map((p) => p.slug));
  else if (tab === null) show(read().tab);
}

function noProfile(asked, slugs) {
  const text = asked ? `There is no profile “${asked}” on this node.` : 'This node has no profiles.';
  if (tab === null && view.querySelector('.empty-title')?.textContent === text) return;
  leave();
  const links = slugs.map((slug) => h('li', null, h('a', { class: 'button', href: `/dashboard/${encodeURIComponent(slug)}` }, slug)));
  replace(view, h('div', { class: 'empty' }, h('p', { class: 'empty-title' }, text),
    links.length > 0 && [h('p', null, 'These there are:'), h('ul', { class: 'row wrap' }, links)]));
}

// ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Takes the view away, and one that is still being loaded. */
function leave() {
  tab = null;
  mounting += 1;
  try {
    unmount?.();
  } catch (error) {
    console.error(error);
  }
  unmount = null;
}

async function show(key) {
  leave();
  tab = key;
  const turn = mounting;
  replace(view, loading());
  drawHeader();
  const { title, load } = TABS.find((t) => t.key === key);
  try {
    const module = await load();
    await known();
    if (turn !== mounting) return;
    const root = h('div', { class: `view view-${key}` });
    replace(view, root);
    unmount = module.mount(root, app) ?? null;
  } catch (error) {
    if (turn !== mounting) return;
    console.error(error);
    replace(view, failure(new Error(`${title} cannot be shown: ${error.message}`), () => show(key)));
  }
}

/** Resolves when there is a status: no view has to draw before that. */
function known() {
  if (store.scope) return Promise.resolve();
  return new Promise((done) => {
    const check = () => {
      if (!store.scope) return;
      for (const type of ['status', 'selection']) store.removeEventListener(type, check);
      done();
    };
    for (const type of ['status', 'selection']) store.addEventListener(type, check);
  });
}

// ── the header ───────────────────────────────────────────────────────────────────────────────────────────────────────

const LOGO = 'M8 1.5c3.6 0 6.5 1.7 6.5 3.9S11.6 9.3 8 9.3 1.5 7.6 1.5 5.4 4.4 1.5 8 1.5M4.7 8.8c-.6 2.7.8 4 3 4.3 1.8.3 2.9.8 3.3 2';
const THEMES = {
  auto: { next: 'light', title: 'Theme: as the system', path: 'M8 2a6 6 0 1 0 0 12zM8 2a6 6 0 0 1 0 12' },
  light: { next: 'dark', title: 'Theme: light', path: 'M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1' },
  dark: { next: 'auto', title: 'Theme: dark', path: 'M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z' },
};
const CONNECTIONS = {
  live: { word: 'Live', hint: 'Events arrive as they happen' },
  connecting: { word: 'Connecting', hint: 'Waiting for the node' },
  polling: { word: 'Polling', hint: 'No live events: figures are refreshed every 2 s' },
  lost: { word: 'Offline', hint: 'The node does not answer' },
};

const parts = {};

function buildHeader() {
  parts.profile = h('select', { class: 'select', 'aria-label': 'Profile', onchange: (e) => navigate({ profile: e.target.value }) });
  parts.links = TABS.map(({ key, title }) => h('a', { class: 'tab', dataset: { tab: key } }, title));
  parts.link = h('span', { class: 'connection', role: 'status' }, h('i', { 'aria-hidden': 'true' }), h('span', null, ''));
  parts.node = h('span', { class: 'whoami', title: '' }, '');
  parts.theme = h('button', { type: 'button', class: 'icon-button', onclick: nextTheme });
  replace(
    document.getElementById('top'),
    h('a', { class: 'brand', href: '/dashboard', 'aria-label': 'Lasso: overview' }, icon(LOGO), h('span', null, 'Lasso')),
    h('div', { class: 'top-profile' }, parts.profile),
    h('nav', { class: 'tabs', 'aria-label': 'Views' }, parts.links),
    h('div', { class: 'top-state' }, parts.node, parts.link, parts.theme),
  );
  drawTheme();
}

function drawHeader() {
  const profiles = store.status?.profiles ?? [];
  const label = (p) => (p.name && p.name !== p.slug ? `${p.name} (${p.slug})` : p.slug);
  const want = profiles.map((p) => `${p.slug}\n${label(p)}`).join('\n');
  if (parts.profile.dataset.for !== want) {
    parts.profile.dataset.for = want;
    replace(parts.profile, profiles.map((p) => h('option', { value: p.slug }, label(p))));
  }
  parts.profile.disabled = profiles.length === 0;
  if (store.profile) parts.profile.value = store.profile;
  for (const link of parts.links) {
    const key = link.dataset.tab;
    setAttr(link, 'href', address({ tab: key }));
    setAttr(link, 'aria-current', key === tab ? 'page' : null);
  }
  const { word, hint } = CONNECTIONS[store.connection];
  setAttr(parts.link, 'class', `connection is-${store.connection}`);
  setAttr(parts.link, 'title', store.lost > 0 ? `${hint}; ${fmt.count(store.lost)} events were missed` : hint);
  setText(parts.link.lastChild, store.lost > 0 ? `${word}, ${fmt.count(store.lost)} missed` : word);
  const { node_id: id, region, version } = store.status ?? {};
  setText(parts.node, [id, region !== id && region, clusterWord()].filter(Boolean).join(' · '));
  setAttr(parts.node, 'title', id ? `Node ${id}, region ${region}, version ${version}` : null);
  const { title } = TABS.find((t) => t.key === tab) ?? TABS[0];
  document.title = `${title} · ${store.scope?.name ?? 'Lasso'} · Lasso`;
  drawBanner();
}

function clusterWord() {
  const { cluster } = store;
  if (!cluster || store.connection === 'lost') return '';
  const { responding, total } = cluster.coverage ?? {};
  if (!cluster.enabled || !(total > 1)) return 'standalone';
  return `${responding} of ${total} nodes${cluster.stale ? ', stale' : ''}`;
}

function drawBanner() {
  const problems = store.status?.configuration?.problems ?? [];
  const lost = store.connection === 'lost';
  const text = lost
    ? store.status
      ? `Connection lost: ${location.host} does not answer. What you see was true at ${fmt.time(store.statusAt)}; trying again.`
      : `${location.host} does not answer: is the node running? Trying again.`
    : problems.length > 0
      ? `The last configuration was not taken over: ${problems.map(problemText).join('; ')}`
      : '';
  setAttr(banner, 'class', text ? `banner ${lost ? 'is-error' : 'is-warning'}` : null);
  setText(banner, text);
}

const problemText = (problem) => (typeof problem === 'string' ? problem : problem?.message ?? JSON.stringify(problem));

// ── the theme ────────────────────────────────────────────────────────────────────────────────────────────────────────

const theme = () => document.documentElement.dataset.theme ?? 'auto';

function nextTheme() {
  const { next } = THEMES[theme()];
  if (next === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  remember(THEME_KEY, next === 'auto' ? null : next);
  drawTheme();
}

function drawTheme() {
  const { title, path } = THEMES[theme()];
  parts.theme.replaceChildren(icon(path));
  parts.theme.title = title;
  parts.theme.setAttribute('aria-label', `${title}. Change it`);
}

// ── start ────────────────────────────────────────────────────────────────────────────────────────────────────────────

document.addEventListener('click', (event) => {
  const link = event.target.closest?.('a[href^="/dashboard"]');
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.target && link.target !== '_self') return;
  event.preventDefault();
  const to = link.getAttribute('href');
  if (to !== location.pathname + location.search) history.pushState(null, '', to);
  follow();
});
window.addEventListener('popstate', follow);
store.addEventListener('status', () => {
  settle();
  drawHeader();
});
store.addEventListener('connection', drawHeader);
store.addEventListener('cluster', drawHeader);
store.addEventListener('selection', () => {
  if (store.profile && store.scope) remember(PROFILE_KEY, store.profile);
  drawHeader();
});

buildHeader();
follow();
store.start();
