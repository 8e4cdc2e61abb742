import t, { type Test } from 'tap';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { createAdminServer } from '@hydrant/shared/runtime/admin/admin-server';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import type { Ledger, OpenLoop } from '../ledger/ledger.ts';
import type { Rules } from '../rules/choose-rule.ts';
import { createCrashLoopsPage } from './crash-loops-page.ts';
import { LoopsReader, type LoopsReaderOptions } from './loops-reader.ts';
import { crash, makeClock, makeLoop, never, place, rule, start } from './page-cases-contract.ts';

type OpenLoops = Pick<Ledger, 'openLoops'>;

/** A ledger that holds what the test puts into it. */
function fakeLedger(
  loops: readonly OpenLoop[],
): OpenLoops & { loops: readonly OpenLoop[]; reads: number; reading: () => Promise<void> } {
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

function openReader(changes: Partial<LoopsReaderOptions> & Pick<LoopsReaderOptions, 'ledger' | 'clock'>): LoopsReader {
  const outlook = { view: () => ({ startedAt: '', connections: [], newestEvent: null, quietAfterMs: null }) };
  const reader = new LoopsReader({
    rules: { rule, overrides: [] },
    links: null,
    outlook,
    pageVersion: 'v',
    log: testLog(),
    ...changes,
  });
  reader.isOpen = true;
  return reader;
}

interface Part {
  readonly next: string | null;
  readonly loops: readonly { readonly id: string }[];
}

async function startPage(t: Test, ledger: OpenLoops, rules: Rules = { rule, overrides: [] }, isStarted = true) {
  const page = createCrashLoopsPage({ ledger, rules, nomadUiUrl: null, log: testLog(), clock: systemClock });
  const server = createAdminServer({
    host: '127.0.0.1',
    port: 0,
    metrics: createMetrics({ service: 'test', version: '0' }),
    healthChecks: [],
    routes: [page.routes],
    log: testLog(),
  });
  await server.start(never);
  if (isStarted) await page.start(never);
  t.teardown(() => server.stop(never));
  return (path: string, headers: Record<string, string> = {}) =>
    fetch(`http://127.0.0.1:${server.address.port}${path}`, { headers });
}

t.test('however many ask, the ledger is read once a second', async (t) => {
  const ledger = fakeLedger([makeLoop()]);
  const clock = makeClock();
  const reader = openReader({ ledger, clock });

  const answers = await Promise.all(Array.from({ length: 20 }, () => reader.list()));
  clock.ms = 999;
  const cached = await reader.list();
  t.equal(ledger.reads, 1);
  clock.ms = 1000;
  const unchanged = await reader.list();
  ledger.loops = [makeLoop({ count: 6 })];
  clock.ms = 2000;
  const changed = await reader.list();

  t.equal(ledger.reads, 3);
  t.equal(new Set([...answers, cached, unchanged].map(({ etag }) => etag)).size, 1);
  t.not(changed.etag, cached.etag);
  t.match(JSON.parse(changed.body.toString()), {
    page: 'v',
    isComplete: true,
    rule: { restartCount: 5, restartInterval: '10m', notificationInterval: '10m', overrides: 0 },
    loops: [{ count: 6 }],
  });
});

t.test(
  'a list is as large as it needs to be, in parts of bounded size, and misses no loop that comes or goes meanwhile',
  async (t) => {
    const name = '\u202e'.repeat(300);
    const hostile = (at: number) =>
      makeLoop({
        alertId: `a${String(at)}`,
        openedAtUs: (start + Math.floor(at / 3)) * 1000,
        place: { cluster: name, namespace: name, job: `${String(at)}${name}`, group: name, task: name },
        crashes: Array.from({ length: 50 }, (_, second) =>
          crash(second, { task: name, reason: name, cause: name, node: name, allocation: name }),
        ),
      });
    const ledger = fakeLedger(Array.from({ length: 1000 }, (_, at) => hostile(at)));
    const clock = makeClock();
    const reader = openReader({ ledger, clock });
    const seen: string[] = [];
    let parts = 0;
    for (let token: string | null | undefined = undefined; token !== null; parts += 1) {
      const { statusCode, body } = await reader.list(token);
      const { next, loops } = JSON.parse(body.toString()) as Part;
      t.equal(statusCode, 200);
      t.ok(body.length < 600 * 1024, String(body.length));
      seen.push(...loops.map(({ id }) => id));
      token = next;
      ledger.loops = ledger.loops.filter(({ alertId }) => alertId !== seen.at(-1) && alertId !== seen[0]);
      clock.ms += 60_000;
    }

    t.ok(parts > 2 && parts < 20, `${String(parts)} parts`);
    t.same(seen.toSorted(), Array.from({ length: 1000 }, (_, at) => `a${String(at)}`).toSorted());
    t.equal((await reader.list('nonsense')).statusCode, 400);
    t.match(JSON.parse((await reader.list('9999999999999999-a')).body.toString()), { loops: [], next: null });
  },
);

t.test('the crashes of a loop are answered to whoever looks at it', async (t) => {
  const clock = makeClock();
  const reader = openReader({ ledger: fakeLedger([makeLoop()]), clock });
  const read = async (id: string): Promise<unknown> => {
    const { statusCode, body } = await reader.crashes(id);
    return [statusCode, JSON.parse(body.toString())];
  };

  t.match(await read('a1'), [
    200,
    { id: 'a1', crashes: [{ exitCode: 17 }, {}, {}, {}, { time: '2026-11-21T03:21:00.000Z' }] },
  ]);
  t.match(await read('a2'), [404, { error: /it has ended/u }]);
  reader.isOpen = false;
  t.match(await read('a1'), [503, { error: /starting or stopping/u }]);
});

t.test('a ledger that takes long to be read is read less often', async (t) => {
  const ledger = fakeLedger([makeLoop()]);
  const clock = makeClock();
  ledger.reading = () => {
    clock.ms += 500;
    return Promise.resolve();
  };
  const reader = openReader({ ledger, clock });

  for (let time = 0; time < 10; time += 1) {
    await reader.list();
    clock.ms += 1000;
  }

  t.equal(ledger.reads, 2);
});

t.test('a ledger that is away is said, logged once, and waited for no longer than the limit', async (t) => {
  const ledger = fakeLedger([]);
  const clock = makeClock();
  const { log, lines } = recordingLog();
  const reader = openReader({ ledger, log, clock });
  const next = () => {
    clock.ms += 1000;
    return reader.list();
  };

  ledger.reading = () => Promise.reject(new Error('redis://secret@host refused'));
  const away = await next();
  await next();
  t.equal(away.statusCode, 503);
  t.notMatch(away.body.toString(), 'secret');
  t.equal(lines.length, 1);

  let answer: (() => void) | undefined;
  ledger.reading = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  const slow = next();
  const other = reader.list();
  clock.wake();
  t.same([(await slow).statusCode, (await other).statusCode], [503, 503]);
  t.equal(ledger.reads, 3, 'the read that is under way is not repeated');
  answer?.();
  ledger.reading = () => Promise.resolve();
  t.equal((await next()).statusCode, 200);
});

t.test('the page and its files are served from the admin server, and nothing else', async (t) => {
  const get = await startPage(t, fakeLedger([]));
  const page = await get('/');
  const html = await page.text();

  t.match(Object.fromEntries(page.headers), {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': /^default-src 'none'; script-src 'self'; .*frame-ancestors 'none'$/u,
    'x-content-type-options': 'nosniff',
  });
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
  for (const path of ['/page/../package.json', '/page/%2e%2e/package.json', '/page/', '/page/index.html'])
    t.equal((await get(path)).status, 404, path);
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
  const strict = {
    matches: ({ task }: { readonly task: string }) => task === 'strict',
    isMuted: false,
    rule: { ...rule, count: 2 },
  };
  const loops = [
    makeLoop(),
    makeLoop({ alertId: 'a2', place: { ...place, job: 'quiet' } }),
    makeLoop({ alertId: 'a3', place: { ...place, task: 'strict' } }),
  ];
  const get = await startPage(t, fakeLedger(loops), { rule, overrides: [muted, strict] });

  const first = await get('/crashloops');
  const etag = first.headers.get('etag') ?? '';

  t.match(await first.json(), {
    rule: { overrides: 2 },
    loops: [
      { id: 'a1', restartCount: 5 },
      { id: 'a3', restartCount: 2 },
    ],
  });
  t.match(Object.fromEntries(first.headers), {
    'content-encoding': 'gzip',
    vary: 'accept-encoding',
    'cache-control': 'no-cache',
  });
  t.equal((await get('/crashloops', { 'if-none-match': `"x", ${etag}` })).status, 304);
  const plain = await get('/crashloops', { 'accept-encoding': 'identity' });
  t.equal(plain.headers.get('content-encoding'), null);
  t.same(await plain.json(), JSON.parse(await (await get('/crashloops')).text()));
});
