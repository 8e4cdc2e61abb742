import t from 'tap';
import { makeCrashViews, makeLoopView, newestShown } from './crash-loop-view.ts';
import { createNomadLinks } from './nomad-links.ts';
import { createOutlook } from './outlook.ts';
import { allocation, crash, makeClock, makeLoop, place, rule, start } from './page-cases-contract.ts';

const chosen = { rule, isMuted: false, position: null };

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
