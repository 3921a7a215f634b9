// A page that `lasso bench --html` wrote, in a browser: node report.mjs FILE FOLDER. Exit 0 when it asks for nothing, fits every
// screen, can be read by everybody, works without a script and prints light. Screenshots and a PDF go to FOLDER.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { accessible, launch, openPage, say, wide } from './browsing.mjs';

const [file, folder] = process.argv.slice(2);
const at = pathToFileURL(resolve(file)).href;
const name = basename(file, '.html');
mkdirSync(folder, { recursive: true });
const browser = await launch();

// Perceived lightness of a colour as the browser computed it, from 0 to 255.
const lightness = (colour) => {
  const [red, green, blue] = colour.match(/[\d.]+/g).map(Number);
  return 0.299 * red + 0.587 * green + 0.114 * blue;
};
const background = (page, of) => page.evaluate((of) => getComputedStyle(document.querySelector(of)).backgroundColor, of).then(lightness);

const faults = [];
for (const size of [[380, 800], [800, 1000], [1440, 900]]) {
  for (const scheme of ['light', 'dark']) {
    const shown = `${name}-${size[0]}-${scheme}`;
    const { page, missteps, close } = await openPage(browser, { at, size, scheme });
    const asked = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.goto(at);
    await page.waitForLoadState('networkidle');
    assert.deepEqual(asked, [at], `${shown} asks for something`);
    assert.equal(await page.locator('script').count(), 0, `${shown} has a script`);
    faults.push(...missteps.map((text) => `${shown}: ${text}`));
    if ((await wide(page)) > 0) faults.push(`${shown}: ${await wide(page)} px wider than the screen`);
    const dark = (await background(page, '.card')) < 128;
    if (dark !== (scheme === 'dark')) faults.push(`${shown}: is ${dark ? 'dark' : 'light'}`);
    await page.screenshot({ path: join(folder, `${shown}.png`), fullPage: true });
    faults.push(...(await accessible(page, shown)));
    await page.emulateMedia({ media: 'print', colorScheme: scheme });
    if ((await background(page, '.card')) < 250) faults.push(`${shown}: would print a dark page`);
    if (size[0] === 1440) await page.pdf({ path: join(folder, `${shown}.pdf`), preferCSSPageSize: true, printBackground: true });
    await close();
  }
}
await browser.close();
faults.forEach((fault) => say(fault));
assert.equal(faults.length, 0, `${faults.length} faults`);
say(`${name}: right`);
