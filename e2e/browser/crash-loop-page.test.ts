/**
 * The page of crash loops in a real browser: on the real standalone process, which reads the simulator, and with a
 * thousand loops on the page's own routes. HYDRANT_TEST_CHROMIUM names another Chromium; without any, these tests are
 * skipped.
 */
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import { chromium, type Browser, type Page } from 'playwright-core';
import { createCrashLoopsPage, type CrashLoopsPageOptions } from '@hydrant/crashloop-detector/page/crash-loops-page';
import type { OutlookView } from '@hydrant/crashloop-detector/page/outlook';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { createAdminServer } from '@hydrant/shared/runtime/admin/admin-server';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { eventually } from '@hydrant/testing/eventually';
import { testLog } from '@hydrant/testing/test-log';
import { setStage } from '../src/stage.ts';

const executablePath = [
  process.env['HYDRANT_TEST_CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((file) => existsSync(file));
const skip =
  executablePath === undefined
    ? 'needs Chromium: install it with "apt-get install chromium", or set HYDRANT_TEST_CHROMIUM to its path'
    : false;
const quietly = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const never = new AbortController().signal;
/** What crashes five times in each half minute of the recording. */
const looping = ['billing-sync', 'geo-index', 'node-agent', 'thumbnailer'];

interface Opened {
  readonly page: Page;
  /** What the page did wrong: errors in it, requests to elsewhere, a load too many. */
  readonly wrongs: readonly string[];
}

async function startBrowser(t: Test): Promise<Browser> {
  const browser = await chromium.launch({ ...(executablePath === undefined ? {} : { executablePath }), args: quietly });
  t.teardown(() => browser.close());
  return browser;
}

async function open(
  browser: Browser,
  url: string,
  options: Parameters<Browser['newContext']>[0] = {},
): Promise<Opened> {
  const page = await (await browser.newContext(options)).newPage();
  const wrongs: string[] = [];
  let loads = 0;
  page.on('pageerror', (error) => wrongs.push(error.message));
  page.on('console', (message) => {
    if (/Content Security Policy/u.test(message.text())) wrongs.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) wrongs.push(`asked for ${request.url()}`);
  });
  page.on('load', () => {
    loads += 1;
    if (loads > 1) wrongs.push('it was loaded again');
  });
  await page.goto(url);
  return { page, wrongs };
}

function jobs(page: Page): Promise<string[]> {
  return page.locator('.card b').allTextContents();
}

function seesJobs(page: Page, expected: readonly string[]): Promise<unknown> {
  return eventually(async () => (await jobs(page)).sort().join() === expected.join(), {
    timeoutMs: 30_000,
    message: `the page shows ${expected.join(', ')}`,
  });
}

function seesState(page: Page, state: 'live' | 'away'): Promise<unknown> {
  return page.waitForSelector(`#connection[data-state=${state}]`, { timeout: 30_000 });
}

void t.test(
  'standalone: loops appear as they are announced, and stay over a restart and while nobody has seen their tasks run',
  { skip },
  async (t) => {
    const stage = await setStage(t, 'standalone', {
      shiftToNow: true,
      speed: 6,
      detector: { RESTART_INTERVAL: '30s', NOMAD_UI_URL: 'https://nomad.example.com' },
    });
    const standalone = stage.shape.source;
    await stage.shape.start();
    const { page, wrongs } = await open(await startBrowser(t), `http://127.0.0.1:${String(standalone.port)}/`);
    await page.waitForSelector('#well:not([hidden])');
    t.match(await page.textContent('#well'), /All is well.*crashes 5 times within 30s/su);

    stage.simulator.control.resume();
    await stage.simulator.finished;
    await seesJobs(page, looping);

    const card = page.locator('.card', { hasText: 'billing-sync' });
    t.match(await card.textContent(), /sync\/sync.*default.*exit 3.*nomad alloc logs -stderr [0-9a-f-]{36} sync/su);
    t.equal(
      await card.locator('[data-link=job]').getAttribute('href'),
      'https://nomad.example.com/ui/jobs/billing-sync@default',
    );
    t.match(await card.locator('.bars').getAttribute('d'), /^M[\d.]+ 40v-\d+h/u);
    t.match(await page.title(), /^\(4\)/u);
    t.match(await page.textContent('#newest-event'), /^The newest event came .*(?:just now|ago)\.$/u);
    await card.locator('summary').click();
    await card.locator('tbody tr').first().waitFor();
    t.ok((await card.locator('tbody tr').count()) >= 5, 'the crashes are asked for when somebody looks');

    await standalone.kill();
    await seesState(page, 'away');
    t.match(await page.textContent('#connection'), /^Not connected since \d\d:\d\d:\d\d/u);
    t.same((await jobs(page)).sort(), looping, 'what was known stays on the page');
    await standalone.start();
    await seesState(page, 'live');
    t.same((await jobs(page)).sort(), looping, 'and so does what the ledger kept');

    await stage.simulator.close();
    await page.waitForSelector('#unseen[data-kind=blind]:not([hidden])', { timeout: 60_000 });
    t.match(await page.textContent('#unseen'), /Not connected to Nomad.*Since \d\d:\d\d:\d\d \(.*\): http/su);
    t.notOk(await page.isVisible('#well'), 'nobody says that all is well');
    t.equal(await page.textContent('#connection'), 'Not connected to Nomad');
    t.same(wrongs, []);
  },
);

/** The page of a detector that has nothing to it but these ports. */
async function servePage(
  t: Test,
  changes: Pick<CrashLoopsPageOptions, 'ledger'> & Partial<CrashLoopsPageOptions>,
): Promise<string> {
  const rules = { rule: { count: 5, intervalMs: 600_000, notificationIntervalMs: 600_000 }, overrides: [] };
  const crashLoops = createCrashLoopsPage({ rules, nomadUiUrl: null, log: testLog(), clock: systemClock, ...changes });
  await crashLoops.start(never);
  const server = createAdminServer({
    host: '127.0.0.1',
    port: 0,
    metrics: createMetrics({ service: 'test', version: '0' }),
    healthChecks: [],
    routes: [crashLoops.routes],
    log: testLog(),
  });
  await server.start(never);
  t.teardown(() => server.stop(never));
  return `http://127.0.0.1:${String(server.address.port)}/`;
}

void t.test('all is well only while the detector sees something', { skip }, async (t) => {
  const ago = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString();
  const stands = { name: 'RabbitMQ', isConnected: true, since: ago(90), detail: null };
  const shown: { view: OutlookView } = {
    view: { startedAt: ago(90), connections: [stands], newestEvent: ago(3), quietAfterMs: 600_000 },
  };
  const { page, wrongs } = await open(
    await startBrowser(t),
    await servePage(t, { ledger: { openLoops: () => Promise.resolve([]) }, outlook: { view: () => shown.view } }),
  );
  await page.waitForSelector('#well:not([hidden])');
  t.equal(await page.textContent('#connection'), 'Live');
  t.equal(await page.textContent('#newest-event'), 'The newest event came 3 min ago.');

  shown.view = { ...shown.view, newestEvent: null };
  await page.waitForSelector('#unseen[data-kind=quiet]:not([hidden])');
  t.match(await page.textContent('#unseen'), /No event for 90 min.*readyz/su);
  t.notOk(await page.isVisible('#well'));

  shown.view = {
    ...shown.view,
    connections: [{ ...stands, isConnected: false, since: ago(2), detail: 'amqp://<img src=x onerror=alert(1)>' }],
  };
  await page.waitForSelector('#unseen[data-kind=blind]:not([hidden])');
  t.match(await page.textContent('#unseen'), /Not connected to RabbitMQ.*\(2 min ago\): amqp:\/\/<img/su);
  t.match(await page.title(), /^⚠ /u);

  shown.view = { ...shown.view, connections: [stands], newestEvent: ago(0) };
  await page.waitForSelector('#well:not([hidden])');
  t.notOk(await page.isVisible('#unseen'));
  t.same(wrongs, []);
});

/** What a ledger would say of `count` loops, half of them of one job; every name tries to be markup. */
function makeLoops(count: number) {
  const nowUs = Date.now() * 1000;
  return Array.from({ length: count }, (_, at) => {
    const job = at % 2 === 0 ? 'everywhere' : `svc-${String(at)}<img src=x onerror=alert(1)>`;
    const crashes = Array.from({ length: 5 + (at % 60) }, (_crash, back) =>
      JSON.stringify({
        allocation: `b026f72d-5064-1ded-a45e-${String(at).padStart(12, '0')}`,
        task: 'server',
        time: `${String(nowUs - (at + (100 - back) * 4) * 1_000_000)}000`,
        reason: 'Restart within policy',
        exitCode: at % 200,
      }),
    );
    const newestUs = nowUs - at * 1_000_000;
    return {
      alertId: `a${String(at)}`,
      loop: `l${String(at)}`,
      openedAtUs: newestUs,
      newestUs,
      count: crashes.length,
      crashes,
      lastEvent: '{}',
      place: { cluster: 'eu', namespace: 'default', job, group: 'app', task: 'server' },
    };
  });
}

/** Runs in the page: text, because the types of a browser are none of this project. */
const typeIntoFilter = `(() => {
  const filter = document.getElementById('filter');
  const began = performance.now();
  for (const text of ['s', 'sv', 'svc-7 exit', 'svc-777']) {
    filter.value = text;
    filter.dispatchEvent(new Event('input'));
    document.body.getBoundingClientRect();
  }
  return performance.now() - began;
})()`;

void t.test('a thousand loops stay usable, on a desktop and on a phone in the dark', { skip }, async (t) => {
  const loops = makeLoops(1000);
  const url = await servePage(t, { ledger: { openLoops: () => Promise.resolve(loops) } });
  const browser = await startBrowser(t);

  for (const options of [
    { viewport: { width: 1280, height: 900 } },
    { viewport: { width: 390, height: 844 }, colorScheme: 'dark' as const },
  ]) {
    const { page, wrongs } = await open(browser, url, options);
    await seesState(page, 'live');
    const name = `${String(options.viewport.width)} pixels wide`;
    t.match(await page.textContent('#looping'), 'At least 1,000 tasks', name);
    t.ok(
      await page.evaluate<boolean>('document.documentElement.scrollWidth <= innerWidth'),
      `nothing stands out at the side, ${name}`,
    );
    t.ok(
      (await page.evaluate<number>('document.querySelectorAll("*").length')) < 10_000,
      'only what is shown is in the document',
    );

    const tookMs = await page.evaluate<number>(typeIntoFilter);
    t.ok(tookMs < 2000, `typing into the filter four times took ${tookMs.toFixed(0)} ms`);
    t.same(await jobs(page), ['svc-777<img src=x onerror=alert(1)>']);
    await page.fill('#filter', '');
    await page.click('.group button');
    await page.click('#more');
    t.ok((await jobs(page)).length > 100);
    await page.selectOption('#order', 'count');
    t.equal(await page.locator('.card [data-text=count]').first().textContent(), '64');
    t.same(wrongs, [], name);
    await page.context().close();
  }
});
