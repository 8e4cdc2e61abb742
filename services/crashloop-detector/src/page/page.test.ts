import t, { type Test } from 'tap';
import { systemClock, type Clock } from '@hydrant/shared/foundation/clock';
import { createAdminServer } from '@hydrant/shared/runtime/admin/admin-server';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import type { CrashDetail } from '../crashes/extract-crashes.ts';
import type { Ledger, OpenLoop } from '../ledger/ledger.ts';
import type { Rules } from '../rules/choose-rule.ts';
import { makeLoopView, mostCrashesShown } from './crash-loop-view.ts';
import { createCrashLoopsPage } from './crash-loops-page.ts';
import { LoopsReader } from './loops-reader.ts';
import { createNomadLinks } from './nomad-links.ts';

type OpenLoops = Pick<Ledger, 'openLoops'>;

const never = new AbortController().signal;
const start = Date.parse('2026-11-21T03:20:00.000Z');
const rule = { count: 5, intervalMs: 600_000, notificationIntervalMs: 600_000 };
const chosen = { rule, isMuted: false, position: null };
const place = { cluster: 'eu', namespace: 'default', job: 'checkout-api', group: 'app', task: 'server' };
const allocation = 'b026f72d-5064-1ded-a45e-1eb7d3346510';

function crash(seconds: number, changes: Partial<CrashDetail> = {}): string {
  return JSON.stringify({ allocation, task: 'server', time: `${start + seconds * 1000}123456`, reason: 'Restart within policy', exitCode: 17, ...changes });
}

function makeLoop(changes: Partial<OpenLoop> = {}): OpenLoop {
  const crashes = changes.crashes ?? [0, 10, 20, 30, 60].map((seconds) => crash(seconds));
  return { alertId: 'a1', loop: 'key', openedAtUs: (start + 60_000) * 1000, newestUs: (start + 60_000) * 1000 + 123, count: crashes.length, crashes, lastEvent: '{}', place, ...changes };
}

/** A ledger that holds what the test puts into it. */
function fakeLedger(loops: readonly OpenLoop[]): OpenLoops & { loops: readonly OpenLoop[]; reads: number; reading: () => Promise<void> } {
  return {
    loops,
    reads: 0,
    reading: () => Promise.resolve(),
    async openLoops() {
      this.reads += 1;
      await this.reading();
      return this.loops;
    },
  };
}

t.test('a loop is shown with what a person needs to act', async (t) => {
  const crashes = [crash(0), crash(10), crash(20), crash(30), crash(60, { exitCode: 137, signal: 9, oomKilled: true, cause: 'OOM Killed', node: 'worker-3' })];

  const view = makeLoopView(makeLoop({ crashes }), { ...chosen, rule: { ...rule, count: 3 } }, createNomadLinks('https://nomad.example.com'));

  t.match(view, {
    id: 'a1', cluster: 'eu', namespace: 'default', job: 'checkout-api', group: 'app', task: 'server', allocation, node: 'worker-3', count: 5, allocations: 1,
    openedAt: '2026-11-21T03:21:00.000Z', firstCrash: '2026-11-21T03:20:00.000Z', newestCrash: '2026-11-21T03:21:00.000Z', restartCount: 3, restartInterval: '10m', intervalMs: 600_000,
    nextStep: `nomad alloc logs -stderr ${allocation} server`,
    jobUrl: 'https://nomad.example.com/ui/jobs/checkout-api@default', taskUrl: `https://nomad.example.com/ui/allocations/${allocation}/server`,
  });
  t.same(view.crashes.at(-1), {
    time: '2026-11-21T03:21:00.000Z', allocation, node: 'worker-3', reason: 'Restart within policy', cause: 'OOM Killed', exitCode: 137, signal: 9, oomKilled: true,
  });
  t.equal(view.timeline.spanMs, 10_000);
  t.equal(view.timeline.start, '2026-11-21T03:11:00.000Z');
  t.same(view.timeline.counts.slice(-7), [1, 1, 1, 1, 0, 0, 1], 'crashes in each ten seconds');
});

t.test('the timeline holds every crash though only the newest are listed', async (t) => {
  const crashes = Array.from({ length: 1000 }, (_, at) => crash(at / 20));

  const view = makeLoopView(makeLoop({ crashes }), chosen, null);

  t.equal(view.crashes.length, mostCrashesShown);
  t.equal(view.timeline.counts.reduce((sum, count) => sum + count, 0), 1000);
  t.match(view, { count: 1000, jobUrl: null, taskUrl: null });
});

t.test('what the cluster says is of bounded length and cannot hide anything', async (t) => {
  const long = 'x'.repeat(10_000);
  const odd = 'a\u202Eb\nc\ud800';
  const links = createNomadLinks('https://nomad.example.com');
  const hostile = (name: string) => makeLoopView(makeLoop({ place: { ...place, job: name, namespace: name }, crashes: [crash(0, { task: name, reason: name, cause: name, allocation: name })] }), chosen, links);

  t.equal(hostile(odd).job, String.raw`a\u202eb c\ud800`);
  t.match(hostile(odd).jobUrl, /^https:\/\/nomad\.example\.com\/ui\/jobs\/a%E2%80%AEb%0Ac%EF%BF%BD@/u);
  t.match(hostile(long), { job: `${'x'.repeat(300)}…`, nextStep: null, jobUrl: null, taskUrl: null });
  t.ok(JSON.stringify(hostile(long)).length < 4000);
});

t.test('crashes that the ledger holds in another form are left out', async (t) => {
  const view = makeLoopView(makeLoop({ crashes: ['no JSON', '{}', 'null', '{"time":"soon"}', crash(60)], lastEvent: 'no JSON' }), chosen, null);

  t.equal(view.crashes.length, 1);
  t.match(makeLoopView(makeLoop({ crashes: ['{}'], lastEvent: '{"NodeName":"worker-1"}' }), chosen, null), { nextStep: null, allocation: null, node: 'worker-1', count: 1 });
});

t.test('links lead to the UI wherever it is', async (t) => {
  for (const url of ['https://n.example.com', 'https://n.example.com/', 'https://n.example.com/ui', 'https://n.example.com/ui/?region=eu#top', 'https://me:secret@n.example.com']) {
    t.equal(createNomadLinks(url).job('a b', 'import/dispatch-1'), 'https://n.example.com/ui/jobs/import%2Fdispatch-1@a%20b', url);
  }
  t.equal(createNomadLinks('http://n.example.com/nomad/').task('id', 'a/../b'), 'http://n.example.com/nomad/ui/allocations/id/a%2F..%2Fb');
});

/** Time stands still until the test moves it. */
function makeClock(): Clock & { ms: number; wake(): void } {
  const sleepers: (() => void)[] = [];
  return {
    ...systemClock,
    ms: 0,
    monotonic() { return this.ms; },
    sleep: (_ms, signal) => new Promise((resolve) => {
      sleepers.push(resolve);
      signal?.addEventListener('abort', () => { resolve(); });
    }),
    wake() { for (const wake of sleepers) wake(); },
  };
}

t.test('however many ask, the ledger is read once a second', async (t) => {
  const ledger = fakeLedger([makeLoop()]);
  const clock = makeClock();
  const reader = new LoopsReader({ ledger, rules: { rule, overrides: [] }, links: null, pageVersion: 'v', log: testLog(), clock });
  reader.isOpen = true;

  const answers = await Promise.all(Array.from({ length: 20 }, () => reader.read()));
  clock.ms = 999;
  const cached = await reader.read();
  t.equal(ledger.reads, 1);
  clock.ms = 1000;
  const unchanged = await reader.read();
  ledger.loops = [makeLoop({ count: 6 })];
  clock.ms = 2000;
  const changed = await reader.read();

  t.equal(ledger.reads, 3);
  t.same(new Set([...answers, cached, unchanged].map(({ etag }) => etag)).size, 1);
  t.not(changed.etag, cached.etag);
  t.match(JSON.parse(changed.body.toString()), { page: 'v', isComplete: true, rule: { restartCount: 5, restartInterval: '10m', notificationInterval: '10m', overrides: 0 }, loops: [{ count: 6 }] });
});

t.test('a ledger that is away is said, logged once, and waited for no longer than the limit', async (t) => {
  const ledger = fakeLedger([]);
  const clock = makeClock();
  const { log, lines } = recordingLog();
  const reader = new LoopsReader({ ledger, rules: { rule, overrides: [] }, links: null, pageVersion: 'v', log, clock });
  reader.isOpen = true;
  const next = () => {
    clock.ms += 1000;
    return reader.read();
  };

  ledger.reading = () => Promise.reject(new Error('redis://secret@host refused'));
  const away = await next();
  await next();
  t.equal(away.statusCode, 503);
  t.notMatch(away.body.toString(), 'secret');
  t.equal(lines.length, 1);

  let answer: (() => void) | undefined;
  ledger.reading = () => new Promise((resolve) => { answer = resolve; });
  const slow = next();
  const other = reader.read();
  clock.wake();
  t.same([(await slow).statusCode, (await other).statusCode], [503, 503]);
  t.equal(ledger.reads, 3, 'the read that is under way is not repeated');
  answer?.();
  ledger.reading = () => Promise.resolve();
  t.equal((await next()).statusCode, 200);
});

async function startPage(t: Test, ledger: OpenLoops, rules: Rules = { rule, overrides: [] }, isStarted = true) {
  const page = createCrashLoopsPage({ ledger, rules, nomadUiUrl: null, log: testLog(), clock: systemClock });
  const server = createAdminServer({ host: '127.0.0.1', port: 0, metrics: createMetrics({ service: 'test', version: '0' }), healthChecks: [], routes: [page.routes], log: testLog() });
  await server.start(never);
  if (isStarted) await page.start(never);
  t.teardown(() => server.stop(never));
  return (path: string, headers: Record<string, string> = {}) => fetch(`http://127.0.0.1:${server.address.port}${path}`, { headers });
}

t.test('the page and its files are served from the admin server, and nothing else', async (t) => {
  const get = await startPage(t, fakeLedger([]));
  const page = await get('/');
  const html = await page.text();

  t.match(Object.fromEntries(page.headers), { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': /^default-src 'none'; script-src 'self'; .*frame-ancestors 'none'$/u, 'x-content-type-options': 'nosniff' });
  t.notMatch(html, /<script(?! type="module" src="page\/)|<style|style=|\son[a-z]+=|https?:\/\//u);
  const files = [...html.matchAll(/(?:src|href)="(page\/[^"]+)"/gu)].map(([, file]) => file ?? '');
  const scripts: string[] = [];
  for (const file of files) {
    const response = await get(`/${file}`);
    t.equal(response.status, 200, file);
    const text = await response.text();
    scripts.push(...[...text.matchAll(/from '\.\/([^']+)'/gu)].map(([, name]) => `page/${name ?? ''}`));
    t.equal((await get(`/${file}`, { 'if-none-match': response.headers.get('etag') ?? '' })).status, 304, file);
  }
  for (const file of scripts) t.equal((await get(`/${file}`)).status, 200, file);
  t.equal((await get('/livez')).status, 200);
  for (const path of ['/page/../package.json', '/page/%2e%2e/package.json', '/page/', '/page/index.html']) t.equal((await get(path)).status, 404, path);
});

t.test('before the ledger has started nothing is said to be well', async (t) => {
  const ledger = fakeLedger([]);
  const get = await startPage(t, ledger, { rule, overrides: [] }, false);

  const response = await get('/crashloops');
  t.equal(response.status, 503);
  t.match(await response.json(), { error: 'The detector is starting or stopping' });
  t.equal(ledger.reads, 0);
});

t.test('what loops is answered once and then only when it changed', async (t) => {
  const muted = { matches: ({ job }: { readonly job: string }) => job === 'quiet', isMuted: true, rule };
  const strict = { matches: ({ task }: { readonly task: string }) => task === 'strict', isMuted: false, rule: { ...rule, count: 2 } };
  const loops = [makeLoop(), makeLoop({ alertId: 'a2', place: { ...place, job: 'quiet' } }), makeLoop({ alertId: 'a3', place: { ...place, task: 'strict' } })];
  const get = await startPage(t, fakeLedger(loops), { rule, overrides: [muted, strict] });

  const first = await get('/crashloops');
  const etag = first.headers.get('etag') ?? '';

  t.match(await first.json(), { rule: { overrides: 2 }, loops: [{ id: 'a1', restartCount: 5 }, { id: 'a3', restartCount: 2 }] });
  t.match(Object.fromEntries(first.headers), { 'content-encoding': 'gzip', 'vary': 'accept-encoding', 'cache-control': 'no-cache' });
  t.equal((await get('/crashloops', { 'if-none-match': `"x", ${etag}` })).status, 304);
  const plain = await get('/crashloops', { 'accept-encoding': 'identity' });
  t.equal(plain.headers.get('content-encoding'), null);
  t.same(await plain.json(), JSON.parse(await (await get('/crashloops')).text()));
});
