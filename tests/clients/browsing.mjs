// What scripts that look at the page share: a browser, a page whose missteps are noted, and what a person needs of it (words, room,
// names, the keyboard, memory).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
// Longer than anything takes on a loaded machine; everything is waited for, nothing slept through.
export const PATIENCE_MS = 20_000;
export const SIZES = [[320, 700], [1280, 800], [1920, 1080]];

const started = Date.now();
export const say = (text) => console.log(`${((Date.now() - started) / 1000).toFixed(1)} s: ${text}`);

export async function launch() {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium-headless-shell', args: ['--no-sandbox', '--disable-gpu'] });
  say(`Chromium ${browser.version()}`);
  // Whoever waits for lines learns that this goes on; no wait in here is longer than a minute.
  setInterval(() => say('still at it'), 15_000).unref();
  return browser;
}

export const toTab = (page, name) => page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name, exact: true }).click();

// A page whose every misstep is noted: errors on its console, refusals by its policy, requests to anywhere else.
export async function openPage(browser, { at, size = [1280, 800], scheme = 'dark', init = null }) {
  const context = await browser.newContext({ viewport: { width: size[0], height: size[1] }, colorScheme: scheme, reducedMotion: 'reduce' });
  context.setDefaultTimeout(PATIENCE_MS);
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} refused ${event.blockedURI}`));
  });
  if (init) await context.addInitScript(init);
  const page = await context.newPage();
  const missteps = [];
  const { host } = new URL(at);
  const foreign = (url) => ['http:', 'https:', 'ws:', 'wss:'].includes(new URL(url).protocol) && new URL(url).host !== host;
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && missteps.push(`console ${message.type()}: ${message.text()} ${message.location().url}`));
  page.on('pageerror', (error) => missteps.push(`exception: ${error.stack}`));
  page.on('request', (request) => foreign(request.url()) && missteps.push(`a request to ${request.url()}`));
  page.on('websocket', (socket) => foreign(socket.url()) && missteps.push(`a socket to ${socket.url()}`));
  return { page, missteps, close: () => context.close() };
}

// What a reader finds in the view; hidden text and names of pictures count, for they are read too.
export const shows = (page, words, inside = '#view', timeout = PATIENCE_MS) =>
  page.waitForFunction(
    ([words, inside]) => {
      const view = document.querySelector(inside);
      const names = [...(view?.querySelectorAll('[aria-label]') ?? [])].map((part) => part.getAttribute('aria-label'));
      const text = [view?.textContent ?? '', ...names].join(' ');
      return words.every((word) => text.includes(word));
    },
    [words, inside],
    { timeout },
  ).catch(async () => {
    const text = await page.locator(inside).textContent();
    assert.fail(`${page.url()} does not show ${words.filter((word) => !text.includes(word))}, but: ${text.slice(0, 1500)}`);
  });

export const wide = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

export async function accessible(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  const told = grave.map(({ id, help, nodes }) => `${id}: ${help}\n    ${nodes.slice(0, 4).map(({ html, any }) => `${html.slice(0, 200)} ${any[0]?.message ?? ''}`).join('\n    ')}`);
  return told.map((text) => `${name}: ${text}`);
}

// What can be focused, by a name that stays when figures change.
export const nameFocusable = () => {
  globalThis.nameOf = (part) => `${part.nodeName.toLowerCase()} ${(part.getAttribute('aria-label') || part.id || part.textContent).replace(/[\d.,:]+/g, '#').trim().slice(0, 60)}`;
};

// Tab from the beginning to the end of a page opened with `nameFocusable`: how many places it has, which were not reached, and which did
// not show that they have the focus.
export async function walkByTab(page) {
  const places = () => page.evaluate(() =>
    [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
      .filter((part) => part.tabIndex >= 0 && !part.disabled && part.checkVisibility({ visibilityProperty: true }))
      .map((part) => globalThis.nameOf(part)),
  );
  const wanted = await places();
  const [reached, blind] = [new Set(), []];
  let nowhere = 0;
  await page.evaluate(() => document.activeElement?.blur());
  for (let pressed = 0; pressed < wanted.length + 30; pressed += 1) {
    await page.keyboard.press('Tab');
    const [on, seen] = await page.evaluate(() => {
      const part = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(part);
      return [part === document.body ? null : globalThis.nameOf(part), part.closest('svg') !== null || (outlineStyle !== 'none' && outlineWidth !== '0px')];
    });
    if (on === null) {
      // The end of the page, or what had the focus went: then the next is where it was.
      nowhere += 1;
      if (nowhere === 2) break;
      continue;
    }
    reached.add(on);
    if (!seen) blind.push(on);
  }
  // What went while Tab was on its way (an attention that was over) could not be reached.
  const left = new Set(await places());
  const missed = [...new Set(wanted)].filter((part) => left.has(part) && !reached.has(part));
  return { wanted: new Set(wanted).size, missed, blind };
}

// Goes through views for so long, and judges what the page keeps of it. `visit(page, turn)` shows the next one.
export async function memory(page, seconds, visit) {
  const client = await page.context().newCDPSession(page);
  const heap = async () => {
    // Twice: what the first finds unreachable may hold more.
    for (let round = 0; round < 2; round += 1) await client.send('HeapProfiler.collectGarbage');
    const [{ usedSize }, { nodes, jsEventListeners }] = [await client.send('Runtime.getHeapUsage'), await client.send('Memory.getDOMCounters')];
    return { kb: usedSize / 1024, nodes, listeners: jsEventListeners };
  };
  const samples = [];
  const begun = Date.now();
  // The ring of events, caches and compiled code fill in the first round through the tabs and the first fifth of the time.
  const warm = Math.max(15, seconds / 5);
  for (let turn = 0; (Date.now() - begun) / 1000 < seconds; turn += 1) {
    await visit(page, turn);
    await page.waitForTimeout(2_000);
    if (turn % 2 === 0) continue;
    const sample = { at: (Date.now() - begun) / 1000, ...(await heap()) };
    if (sample.at >= warm) samples.push(sample);
    if (turn % 4 === 1) say(`heap ${sample.kb.toFixed(0)} KB, ${sample.nodes} nodes, ${sample.listeners} listeners`);
  }
  const median = (list, field) => list.map((sample) => sample[field]).sort((a, b) => a - b)[Math.floor(list.length / 2)];
  const third = Math.max(1, Math.floor(samples.length / 3));
  const [early, late] = [samples.slice(0, third), samples.slice(-third)];
  const grown = median(late, 'kb') - median(early, 'kb');
  const nodes = median(late, 'nodes') - median(early, 'nodes');
  say(`from ${warm.toFixed(0)} s to ${seconds} s: heap ${median(early, 'kb').toFixed(0)} KB, then ${median(late, 'kb').toFixed(0)} KB (${grown.toFixed(0)} KB more); ${nodes} nodes more`);
  assert.ok(grown < 512, `the heap grew by ${grown.toFixed(0)} KB`);
  assert.ok(nodes < 1_000, `${nodes} nodes more than before`);
}
