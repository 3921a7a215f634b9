// Makes what is on the page equal to a freshly built tree, by changing only what differs: focus, scroll positions, open details
// and half-typed fields survive a refresh, and a view is one function from its data to a tree.
//
// Children are matched by `data-key` where they have one, else by place and tag. Listeners are not copied: a view listens
// once at its root (`act`) and its elements say what they do in `data-act`. Styles are classes: no tree here has one of its
// own. Rejected: a framework (a build step), and updating each element by hand (each view would hold its shape twice).

import { frame } from './dom.js';

// Inside an element with `data-own` its maker rules: a chart's readout, a field that a person types into.
const owned = (node) => node.nodeType === Node.ELEMENT_NODE && node.hasAttribute('data-own');
const key = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute('data-key') : null);
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b);

function attributes(old, next) {
  for (const { name } of [...old.attributes]) {
    // `open` of details is the reader's.
    if (!next.hasAttribute(name) && !(name === 'open' && old.nodeName === 'DETAILS')) old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.nodeName === 'INPUT' && old !== document.activeElement) {
    if (old.checked !== next.checked) old.checked = next.checked;
    if (old.value !== next.value) old.value = next.value;
  }
}

function children(old, next) {
  const keyed = new Map();
  for (const child of old.childNodes) if (key(child) !== null) keyed.set(key(child), child);
  let place = old.firstChild;
  for (const wanted of [...next.childNodes]) {
    const known = key(wanted) === null ? null : keyed.get(key(wanted));
    if (known && alike(known, wanted)) {
      if (known === place) place = place.nextSibling;
      else old.insertBefore(known, place);
      node(known, wanted);
    } else if (place && alike(place, wanted)) {
      const at = place;
      place = place.nextSibling;
      node(at, wanted);
    } else {
      old.insertBefore(wanted, place);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

function node(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return;
  }
  attributes(old, next);
  if (!owned(old)) children(old, next);
  // After its options are there.
  if (old.nodeName === 'SELECT' && old !== document.activeElement && old.value !== next.value) old.value = next.value;
}

// The children of `root` become those of `tree`, which is used up.
export function morph(root, tree) {
  children(root, tree);
}

// One listener per kind of event at a view's root: `actions[data-act](value, element, event)`. Returns what ends them.
export function act(root, actions) {
  const heard = (event) => {
    const element = event.target.closest?.('[data-act]');
    if (!element || !root.contains(element)) return;
    // Fields speak when they change, everything else when it is pressed.
    const field = ['INPUT', 'SELECT', 'TEXTAREA'].includes(element.nodeName);
    if (field !== (event.type === 'input')) return;
    actions[element.dataset.act]?.(element.dataset.value ?? element.value, element, event);
  };
  root.addEventListener('click', heard);
  root.addEventListener('input', heard);
  return () => {
    root.removeEventListener('click', heard);
    root.removeEventListener('input', heard);
  };
}

// Draws `tree()` into `root` at most once a frame and never while the page is hidden; `every` asks for data by the clock, and at
// once when the page is shown again. `close` ends it all.
export function painter(root, tree) {
  const paint = frame(() => morph(root, tree()));
  const clocks = [];
  const shown = () => document.hidden || clocks.forEach(({ refresh }) => refresh());
  document.addEventListener('visibilitychange', shown);
  return {
    paint,
    every(ms, refresh) {
      clocks.push({ refresh, id: setInterval(() => document.hidden || refresh(), ms) });
      refresh();
    },
    close() {
      paint.stop();
      document.removeEventListener('visibilitychange', shown);
      for (const { id } of clocks) clearInterval(id);
    },
  };
}

// What a refresh that may be overtaken needs: `latest(ask, use, fail)` drops the answers of earlier questions.
export function latest() {
  let [turn, going] = [0, null];
  return {
    async ask(question, use, fail) {
      going?.abort();
      const [mine, control] = [(turn += 1), new AbortController()];
      going = control;
      try {
        const answer = await question(control.signal);
        if (mine === turn) use(answer);
      } catch (error) {
        if (mine === turn && error.name !== 'AbortError') fail(error);
      }
    },
    close() {
      turn += 1;
      going?.abort();
    },
  };
}
