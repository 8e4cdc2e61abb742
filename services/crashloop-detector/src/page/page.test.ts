import t, { type Test } from 'tap';
import { systemClock, type Clock } from '@hydrant/shared/foundation/clock';
import { createAdminServer } from '@hydrant/shared/runtime/admin/admin-server';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import type { CrashDetail } from '../crashes/extract-crashes.ts';
import type { Ledger, OpenLoop } from '../ledger/ledger.ts';
import type { Rules } from '../rules/choose-rule.ts';
import { makeCrashViews, makeLoopView, newestShown } from './crash-loop-view.ts';
import { createCrashLoopsPage } from './crash-loops-page.ts';
import { LoopsReader, type LoopsReaderOptions } from './loops-reader.ts';
import { createNomadLinks } from './nomad-links.ts';
import { createOutlook } from './outlook.ts';

type OpenLoops = Pick<Ledger, 'openLoops'>;

const never = new AbortController().signal;
const start = Date.parse('2026-11-21T03:20:00.000Z');
const rule = { count: 5, intervalMs: 600_000, notificationIntervalMs: 600_000 };
const chosen = { rule, isMuted: false, position: null };
const place = { cluster: 'eu', namespace: 'default', job: 'checkout-api', group: 'app', task: 'server' };
const allocation = 'b026f72d-5064-1ded-a45e-1eb7d3346510';

function crash(seconds: number, changes: Partial<CrashDetail> = {}): string {
  return JSON.stringify({
    allocation,
    task: 'server',
    time: `${start + seconds * 1000}123456`,
    reason: 'Restart within policy',
    exitCode: 17,
    ...changes,
  });
}

function makeLoop(changes: Partial<OpenLoop> = {}): OpenLoop {
  const crashes = changes.crashes ?? [0, 10, 20, 30, 60].map((seconds) => crash(seconds));
  return {
    alertId: 'a1',
    loop: 'key',
    openedAtUs: (start + 60_000) * 1000,
    newestUs: (start + 60_000) * 1000 + 123,
    count: crashes.length,
    crashes,
    lastEvent: '{}',
    place,
    ...changes,
  };
}

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

t.test('a loop is shown with what a person needs to act', async (t) => {
  const crashes = [
    crash(0),
    crash(10),
    crash(20),
    crash(30),
    crash(60, { exitCode: 137, signal: 9, oomKilled: true, cause: 'OOM Killed', node: 'worker-3' }),
  ];

  const view = makeLoopView(
    makeLoop({ crashes }),
    { ...chosen, rule: { ...rule, count: 3 } },
    createNomadLinks('https://nomad.example.com'),
  );

  t.match(view, {
    id: 'a1',
    cluster: 'eu',
    namespace: 'default',
    job: 'checkout-api',
    group: 'app',
    task: 'server',
    allocation,
    node: 'worker-3',
    count: 5,
    allocations: 1,
    openedAt: '2026-11-21T03:21:00.000Z',
    firstCrash: '2026-11-21T03:20:00.000Z',
    newestCrash: '2026-11-21T03:21:00.000Z',
    restartCount: 3,
    restartInterval: '10m',
    intervalMs: 600_000,
    nextStep: `nomad alloc logs -stderr ${allocation} server`,
    jobUrl: 'https://nomad.example.com/ui/jobs/checkout-api@default',
    taskUrl: `https://nomad.example.com/ui/allocations/${allocation}/server`,
  });
  t.same(makeCrashViews(crashes).at(-1), view.newest);
  t.same(view.newest, {
    time: '2026-11-21T03:21:00.000Z',
    allocation,
    node: 'worker-3',
    reason: 'Restart within policy',
    cause: 'OOM Killed',
    exitCode: 137,
    signal: 9,
    oomKilled: true,
  });
  t.equal(view.timeline.spanMs, 10_000);
  t.equal(view.timeline.start, '2026-11-21T03:11:00.000Z');
  t.same(view.timeline.counts.slice(-7), [1, 1, 1, 1, 0, 0, 1], 'crashes in each ten seconds');
});

t.test('the timeline holds every crash though only the newest are listed', async (t) => {
  const crashes = Array.from({ length: 1000 }, (_, at) => crash(at / 20));

  const view = makeLoopView(makeLoop({ crashes }), chosen, null);

  t.equal(newestShown(crashes).length, 50);
  t.equal(newestShown(crashes).at(-1), crashes.at(-1));
  t.equal(
    view.timeline.counts.reduce((sum, count) => sum + count, 0),
    1000,
  );
  t.match(view, { count: 1000, jobUrl: null, taskUrl: null });
});

t.test('what the cluster says is of bounded length and cannot hide anything', async (t) => {
  const long = 'x'.repeat(10_000);
  const odd = 'a\u202Eb\nc\ud800';
  const links = createNomadLinks('https://nomad.example.com');
  const hostile = (name: string) =>
    makeLoopView(
      makeLoop({
        place: { ...place, job: name, namespace: name },
        crashes: [crash(0, { task: name, reason: name, cause: name, allocation: name })],
      }),
      chosen,
      links,
    );

  t.equal(hostile(odd).job, String.raw`a\u202eb c\ud800`);
  t.match(hostile(odd).jobUrl, /^https:\/\/nomad\.example\.com\/ui\/jobs\/a%E2%80%AEb%0Ac%EF%BF%BD@/u);
  t.match(hostile(long), { job: `${'x'.repeat(300)}…`, nextStep: null, jobUrl: null, taskUrl: null });
  for (const name of [long, '\u202e'.repeat(300), '\u{e0001}'.repeat(300), '支'.repeat(300)])
    t.ok(JSON.stringify(hostile(name)).length < 6000, name.slice(0, 2));
  const huge = Array.from({ length: 50 }, (_, at) => crash(at, { reason: `${String(at)}${'x'.repeat(10_000)}` }));
  t.ok(newestShown(huge).length < 5);
  t.same(newestShown([crash(0, { reason: 'x'.repeat(100_000) })]).length, 1, 'the newest is always there');
  t.same(newestShown([]), []);
});

t.test('crashes that the ledger holds in another form are left out', async (t) => {
  const view = makeLoopView(
    makeLoop({ crashes: ['no JSON', '{}', 'null', '{"time":"soon"}', crash(60)], lastEvent: 'no JSON' }),
    chosen,
    null,
  );

  t.equal(
    makeCrashViews(view.newest === null ? [] : ['no JSON', '{}', 'null', '{"time":"soon"}', crash(60)]).length,
    1,
  );
  t.match(makeLoopView(makeLoop({ crashes: ['{}'], lastEvent: '{"NodeName":"worker-1"}' }), chosen, null), {
    nextStep: null,
    allocation: null,
    node: 'worker-1',
    count: 1,
  });
});

t.test('links lead to the UI wherever it is', async (t) => {
  for (const url of [
    'https://n.example.com',
    'https://n.example.com/',
    'https://n.example.com/ui',
    'https://n.example.com/ui/?region=eu#top',
    'https://me:secret@n.example.com',
  ]) {
    t.equal(
      createNomadLinks(url).job('a b', 'import/dispatch-1'),
      'https://n.example.com/ui/jobs/import%2Fdispatch-1@a%20b',
      url,
    );
  }
  t.equal(
    createNomadLinks('http://n.example.com/nomad/').task('id', 'a/../b'),
    'http://n.example.com/nomad/ui/allocations/id/a%2F..%2Fb',
  );
});

/** Time stands still until the test moves it. */
function makeClock(): Clock & { ms: number; wake(): void } {
  const sleepers: (() => void)[] = [];
  return {
    ...systemClock,
    ms: 0,
    monotonic() {
      return this.ms;
    },
    sleep: (_ms, signal) =>
      new Promise((resolve) => {
        sleepers.push(resolve);
        signal?.addEventListener('abort', () => {
          resolve();
        });
      }),
    wake() {
      for (const wake of sleepers) wake();
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

interface Part {
  readonly next: string | null;
  readonly loops: readonly { readonly id: string }[];
}

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

t.test('what the detector is connected to is told with the time since when, and how old the newest event is', (t) => {
  const clock = {
    ...makeClock(),
    wall: start,
    now() {
      return this.wall;
    },
  };
  let isConnected = false;
  const check = {
    name: 'nomad',
    check: () =>
      isConnected
        ? { status: 'pass' as const }
        : { status: 'fail' as const, detail: 'http://nomad: ECONNREFUSED\u009b' },
  };
  const outlook = createOutlook({ connections: [{ name: 'Nomad', checks: [check] }], quietAfterMs: 600_000, clock });
  const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();
  const viewAt = (seconds: number) => {
    clock.wall = start + seconds * 1000;
    return outlook.view();
  };

  t.match(viewAt(2), {
    startedAt: at(0),
    newestEvent: null,
    quietAfterMs: 600_000,
    connections: [{ name: 'Nomad', isConnected: false, since: at(0), detail: 'http://nomad: ECONNREFUSED\\u009b' }],
  });
  isConnected = true;
  t.match(viewAt(3).connections, [{ isConnected: true, since: at(3), detail: null }]);
  isConnected = false;
  t.match(viewAt(10).connections, [{ isConnected: true, since: at(3) }], 'what is there again at once was never away');
  t.match(viewAt(15).connections, [{ isConnected: false, since: at(10), detail: /ECONNREFUSED/u }]);
  t.match(viewAt(100).connections, [{ isConnected: false, since: at(10) }]);
  isConnected = true;
  t.match(viewAt(101).connections, [{ isConnected: true, since: at(101) }]);

  outlook.eventReceived(start + 95_000);
  outlook.eventReceived(start + 42_000);
  t.equal(viewAt(102).newestEvent, at(90), 'to ten seconds, so that the answer stays the same for a while');
  outlook.eventReceived(start + 3_600_000);
  t.equal(viewAt(104).newestEvent, at(100), 'a clock that runs ahead makes no event of the future');
  t.end();
});

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
