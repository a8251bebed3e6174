// SPDX-License-Identifier: Apache-2.0
// Looks at a dashboard as a person does (dashboard_test.py says what is looked for).
//   browse.mjs PLAYWRIGHT CHROMIUM URL UNDERSTUDY SCREENSHOTS
import { strict as assert } from 'node:assert';
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';

const [playwright, executablePath, url, understudy, screenshots] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(playwright);
const LIMIT_MS = 15000;
const DATABASES = 500;
const MARKUP = '<img src=x onerror=alert(1)>';

const command = (...words) => promisify(execFile)(understudy, words, { timeout: 30000 });
const browser = await chromium.launch({
  executablePath,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// What the browser complained about, but for the answers that a step expects to be missing.
const complaints = [];
let mayBeAway = false;

async function open(options, prepare = async () => {}) {
  const page = await (await browser.newContext(options)).newPage();
  await prepare(page);
  page.setDefaultTimeout(LIMIT_MS);
  page.on('console', (message) => {
    if (message.type() === 'error' && !mayBeAway) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.asked = 0; // for the whole state
  page.on('request', (request) => {
    if (request.url().endsWith('/api/v1/state')) page.asked += 1;
    if (!request.url().startsWith(url)) complaints.push(`it asked ${request.url()}`);
  });
  await page.goto(url);
  return page;
}

const shoot = (page, name) => page.screenshot({ path: `${screenshots}/${name}.png` });
const verdict = async (page, tone) => {
  try {
    await page.locator(`#verdict.${tone}`).waitFor();
  } catch (error) {
    throw new Error(`not ${tone}, but: ${await page.locator("#verdict").textContent()} ${complaints}`, { cause: error });
  }
};
const database = (page, name) => page.locator('.database').filter({ has: page.locator('summary .name', { hasText: name }) });

async function showsTheGroup() {
  const page = await open({ viewport: { width: 1200, height: 800 }, colorScheme: 'light' });
  await verdict(page, 'good');
  assert.equal(await page.locator('.card').count(), 3);
  assert.equal(await page.locator('.database').count(), 2);
  assert.match(await page.title(), /^s2 /);
  // By keyboard: from the search to the first database, which opens.
  await page.locator('#find').focus();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('.database[open]').count(), 1);
  await database(page, 'orders').locator('summary').click();
  await page.locator('.database[open] .copy .plot path[d*="L"]').first().waitFor({ state: 'attached' });
  await shoot(page, 'light');
  return page;
}

async function followsWhatHappens(page) {
  await command('copy', 'suspend', 'orders', 's3', '--reason', 'disk is being replaced');
  await database(page, 'orders').locator('.chip', { hasText: 's3 suspended' }).waitFor();
  await verdict(page, 'busy');
  const dark = await open({ viewport: { width: 1200, height: 800 }, colorScheme: 'dark' });
  await database(dark, 'orders').locator('summary').click();
  await dark.locator('.copy .plot path[d*="L"]').first().waitFor({ state: 'attached' });
  await shoot(dark, 'dark');
  await dark.close();
  await command('copy', 'resume', 'orders', 's3');
  await verdict(page, 'good');
  await command('switchover', 'orders', '--to', 's2');
  await database(page, 'orders').locator('.where', { hasText: 'active on s2' }).waitFor();
  await verdict(page, 'good');
  assert.equal(page.asked, 0, 'the stream tells, and the page asked');
}

async function fitsATelephone() {
  const page = await open({ viewport: { width: 390, height: 844 }, colorScheme: 'dark', isMobile: true });
  await verdict(page, 'good');
  await database(page, 'orders').locator('summary').click();
  await page.locator('.copy .plot path[d*="L"]').first().waitFor({ state: 'attached' });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `it is ${wide} pixels wider than a telephone`);
  await shoot(page, 'phone');
  await page.close();
}

// The group's own state with its database "orders" many times, one with a copy that failed.
function many(state) {
  const first = state.databases.find((record) => record.name === 'orders');
  state.copies = [];
  state.databases = Array.from({ length: DATABASES }, (_, i) => ({
    ...structuredClone(first), name: i === 7 ? MARKUP : `shop-${String(i).padStart(3, '0')}`,
  }));
  state.databases[321].members.find((member) => member.role === 'passive').state = 'Failed';
  return state;
}

async function showsManyDatabases() {
  // The stream is the test's: what it tells is a real state with more databases, and how long the page takes for it is
  // measured, up to the layout.
  const page = await open({ viewport: { width: 1200, height: 800 }, colorScheme: 'light' }, (fresh) => fresh.addInitScript(() => {
    window.EventSource = class extends EventTarget {
      constructor() {
        super();
        window.tell = (kind, told) => {
          const data = JSON.stringify(told);
          const began = performance.now();
          this.dispatchEvent(new MessageEvent(kind, { data }));
          void document.body.offsetHeight;
          return { took: performance.now() - began, bytes: data.length };
        };
      }
      close() {}
    };
  }));
  const state = many(await (await page.request.get(`${url}api/v1/state`)).json());
  const byName = (rows, key) => Object.fromEntries(rows.map((row) => [row[key], row]));
  const { servers, databases, copies, ...set } = state;
  const whole = { set, servers: byName(servers, 'name'), databases: byName(databases, 'name'), copies: byName(copies, 'database') };
  const render = await page.evaluate((told) => window.tell('state', told), whole);
  const one = structuredClone(databases[10]);
  one.dial = 'best';
  const update = await page.evaluate((told) => window.tell('change', told), { set: {}, databases: { [one.name]: one } });
  const everything = await page.evaluate((told) => window.tell('change', told), { set: {}, databases: whole.databases });
  for (const [what, { took, bytes }] of Object.entries({ render, update, everything })) {
    console.log(`${what} of ${DATABASES} databases took ${took.toFixed(1)} ms (${bytes} bytes)`);
    assert.ok(took < 1000, `${what} took ${took} ms`);
  }
  const beating = setInterval(() => page.evaluate(() => window.tell('beat', { set: {} })).catch(() => {}), 1000);
  await page.locator('#count', { hasText: `50 of ${DATABASES}` }).waitFor();
  assert.equal(await page.locator('summary .name').first().textContent(), 'shop-321'); // what failed comes first
  await verdict(page, 'bad');
  await shoot(page, 'many');
  await page.locator('#more').click();
  assert.equal(await page.locator('.database').count(), 100);
  const took = await page.evaluate(() => {
    const began = performance.now();
    const find = document.getElementById('find');
    find.value = 'shop-499';
    find.dispatchEvent(new Event('input'));
    return performance.now() - began;
  });
  assert.equal(await page.locator('.database').count(), 1);
  assert.ok(took < 500, `a search among ${DATABASES} databases took ${took} ms`);
  await page.locator('#find').fill('onerror');
  assert.equal(await page.locator('summary .name').textContent(), MARKUP);
  await page.locator('#find').fill('');
  await page.locator('#only').check();
  assert.equal(await page.locator('.database').count(), 1);
  console.log(`a search among ${DATABASES} databases took ${took.toFixed(1)} ms`);
  clearInterval(beating);
  await page.close();
}

async function saysThatTheServerIsAwayAndGoesOn(page) {
  mayBeAway = true;
  await command('lab', 'stop', 's2');
  await page.locator('#verdict.bad', { hasText: 'has not answered' }).waitFor();
  await page.locator('#away a', { hasText: 's1' }).waitFor();
  await shoot(page, 'away');
  await command('lab', 'start', 's2');
  await verdict(page, 'good');
  assert.equal(await page.locator('#away').isVisible(), false);
  mayBeAway = false;
}

try {
  const page = await showsTheGroup();
  await followsWhatHappens(page);
  await fitsATelephone();
  await showsManyDatabases();
  await saysThatTheServerIsAwayAndGoesOn(page);
  assert.deepEqual(complaints, []);
  console.log('the dashboard shows what happens');
} finally {
  await browser.close();
}
