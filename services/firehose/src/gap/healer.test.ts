import { systemClock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { eventually } from '@hydrant/testing/eventually';
import t, { type Test } from 'tap';
import { scanFrame, type Frame } from '../source/scan-frame.ts';
import type { ListAnswer } from '../lists/list-reading.ts';
import { Healer, type HealerOptions } from './healer.ts';
import type { Snapshot } from './list-healer.ts';
import { RestoreWatch } from './restore-watch.ts';

interface Listing {
  index: number;
  pages: readonly (readonly { readonly ID: string; readonly ModifyIndex: number }[])[];
  /** Instead of answering. */
  fails?: Error | undefined;
}

interface Rig {
  readonly healer: Healer;
  /** By topic. */
  readonly lists: Record<string, Listing>;
  /** Paths that were asked for, without what is the same in all. */
  readonly asked: string[];
  /** What got into the log. */
  readonly out: string[];
  readonly told: (readonly [string, unknown])[];
  isReading: boolean;
  /** How often it was asked whether the stream is open. */
  looks: number;
  lastPosition: number;
  appendFails: boolean;
  readonly restoreWatch: RestoreWatch;
  onRestore: () => void;
  /** Called before a list is answered. */
  beforeAnswer: (topic: string) => void | Promise<void>;
}

const topicOfPath: Readonly<Record<string, string>> = { nodes: 'Node', jobs: 'Job' };

function start(t: Test, options: Partial<HealerOptions> = {}): Rig {
  const lists: Rig['lists'] = { Node: { index: 9, pages: [[]] }, Job: { index: 9, pages: [[]] } };
  const rig: Omit<Rig, 'healer'> = {
    lists,
    asked: [],
    out: [],
    told: [],
    isReading: true,
    looks: 0,
    lastPosition: 0,
    appendFails: false,
    restoreWatch: new RestoreWatch(),
    onRestore: () => undefined,
    beforeAnswer: () => undefined,
  };
  async function fetchList(path: string, signal: AbortSignal): Promise<ListAnswer> {
    const { pathname, searchParams } = new URL(path, 'http://nomad');
    const topic = topicOfPath[pathname.slice('/v1/'.length)] ?? '';
    const page = Number(searchParams.get('next_token') ?? '0');
    rig.asked.push(`${topic} ${String(page)}`);
    await rig.beforeAnswer(topic);
    signal.throwIfAborted();
    const { index, pages, fails } = rig.lists[topic] ?? { index: 0, pages: [[]] };
    if (fails !== undefined) throw fails;
    const objects = (pages[page] ?? []).map((object) => ({
      ...object,
      Namespace: topic === 'Node' ? undefined : 'default',
    }));
    return {
      body: Buffer.from(JSON.stringify(objects)),
      index,
      nextToken: page + 1 < pages.length ? String(page + 1) : undefined,
    };
  }
  const healer = new Healer(
    { namespace: '*', region: '', settleMs: 50, retryMinMs: 1, ...options },
    {
      fetchList,
      append(choose) {
        const snapshots = choose();
        if (rig.appendFails)
          return Promise.reject(new HydrantError('Expected room', { code: 'spool-full', retryable: true }));
        rig.out.push(...describe(snapshots));
        rig.lastPosition += snapshots.length;
        return Promise.resolve();
      },
      readWhole: () => Promise.resolve(undefined),
      restoreWatch: rig.restoreWatch,
      restoreFound() {
        rig.told.push(['restored', '']);
        rig.restoreWatch.clear();
        rig.onRestore();
      },
      lastPosition: () => rig.lastPosition,
      isReading() {
        rig.looks += 1;
        return rig.isReading;
      },
      telemetry: {
        healStarted: (plan) => {
          rig.told.push(['started', Object.fromEntries(plan)]);
        },
        listFailed: ({ topic, isFirst }) => {
          rig.told.push(['failed', `${topic} ${String(isFirst)}`]);
        },
        topicsUnhealed: (topics, { isRepeat }) => {
          rig.told.push([isRepeat ? 'unhealed again' : 'unhealed', topics.join()]);
        },
        healEnded: ({ events }) => {
          rig.told.push(['ended', events]);
        },
      },
      clock: systemClock,
    },
  );
  t.teardown(() => healer.stop());
  return Object.assign(rig, { healer });
}

function describe(snapshots: readonly Snapshot[]): string[] {
  return snapshots.map(({ identity, modifyIndex }) => `${identity} ${String(modifyIndex)}`);
}

function job(ID: string, ModifyIndex: number): Listing['pages'][number][number] {
  return { ID, ModifyIndex };
}

function frame(index: number, ...keys: readonly string[]): Frame {
  const events = keys.map((Key) => ({
    Topic: 'Job',
    Type: 'JobRegistered',
    Key,
    Namespace: 'default',
    FilterKeys: null,
    Index: index,
    Payload: {},
  }));
  const scanned = scanFrame(Buffer.from(JSON.stringify({ Index: index, Events: events })));
  if (scanned === 'heartbeat') throw new Error('Expected a frame');
  return scanned;
}

function whenEnded(rig: Rig, times = 1): Promise<unknown> {
  return eventually(() => rig.told.filter(([what]) => what === 'ended').length === times);
}

t.test('what changed since goes out, page by page, each list from where it is missed', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 9, pages: [[job('a', 3), job('b', 5)], [job('c', 6)]] };
  rig.lists['Node'] = { index: 9, pages: [[job('n', 1)]] };

  rig.healer.heal(
    new Map([
      ['Job', 4],
      ['Node', 0],
    ]),
    10,
  );
  t.ok(rig.healer.isHealing);
  await whenEnded(rig);

  t.strictSame(rig.asked, ['Node 0', 'Job 0', 'Job 1']);
  t.strictSame(rig.out, ['Node//n 1', 'Job/default/b 5', 'Job/default/c 6']);
  t.strictSame(rig.told, [
    ['started', { Job: 4, Node: 0 }],
    ['ended', 3],
  ]);
  t.notOk(rig.healer.isHealing);
});

t.test('all topics are healed since the earliest that is asked for', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 9, pages: [[job('a', 3), job('b', 5)]] };

  rig.healer.heal(
    new Map([
      ['*', 2],
      ['Job', 4],
    ]),
    10,
  );
  await whenEnded(rig);

  t.strictSame(rig.out, ['Job/default/a 3', 'Job/default/b 5']);
});

t.test('nothing to heal, and a healer that is stopped, do nothing', async (t) => {
  const rig = start(t);
  await rig.healer.stop();
  rig.healer.heal(new Map(), 10);
  t.notOk(rig.healer.isHealing);

  rig.healer.heal(new Map([['Job', 0]]), 10);
  await rig.healer.stop();

  t.notOk(rig.healer.isHealing);
  t.strictSame(rig.healer.frame(frame(11, 'a')), []);
  t.strictSame(rig.told, []);
});

t.test('a healing that turns out to be needless ends without a word, and the next one reads everything', async (t) => {
  const rig = start(t);
  rig.lists['Node'] = { index: 9, pages: [[job('n', 1)]] };
  rig.lists['Job'] = { index: 9, pages: [[job('a', 3)]] };
  let answer: () => void = () => undefined;
  rig.beforeAnswer = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  rig.healer.heal(
    new Map([
      ['Job', 0],
      ['Node', 0],
    ]),
    10,
  );
  await eventually(() => rig.asked.length === 1);

  rig.healer.cancel();
  answer();
  await eventually(() => !rig.healer.isHealing);

  t.strictSame(
    { asked: rig.asked, out: rig.out, told: rig.told },
    { asked: ['Node 0'], out: [], told: [['started', { Job: 0, Node: 0 }]] },
  );
  rig.beforeAnswer = () => undefined;
  rig.healer.cancel();
  rig.healer.heal(new Map([['Job', 0]]), 10);
  await whenEnded(rig);
  t.strictSame(rig.out, ['Job/default/a 3']);
});

t.test(
  'what was listed but had not gone out when a healing turned out to be needless is read again by the next one',
  async (t) => {
    const rig = start(t, { settleMs: 600_000 });
    rig.lists['Job'] = { index: 20, pages: [[job('old', 8), job('ahead', 15)]] };
    rig.healer.heal(new Map([['Job', 0]]), 10);
    await eventually(() => rig.out.length === 1);
    rig.healer.cancel();
    await eventually(() => !rig.healer.isHealing);
    rig.healer.heal(new Map([['Job', 9]]), 15);
    await whenEnded(rig, 2);
    t.strictSame(rig.out, ['Job/default/old 8', 'Job/default/ahead 15']);
  },
);

t.test('topics of which no list tells are named', async (t) => {
  const rig = start(t);

  rig.healer.heal(
    new Map([
      ['Service', 0],
      ['Operator', 0],
      ['Job', 0],
    ]),
    10,
  );
  await whenEnded(rig);

  t.strictSame(
    rig.told.filter(([what]) => what === 'unhealed'),
    [['unhealed', 'Service,Operator']],
  );
  t.strictSame(rig.asked, ['Job 0']);
});

t.test('lists are not read before the stream is open', async (t) => {
  const rig = start(t);
  rig.isReading = false;

  rig.healer.heal(new Map([['Job', 0]]), 10);
  await eventually(() => rig.looks >= 2);
  t.strictSame(rig.asked, []);
  rig.isReading = true;
  await whenEnded(rig);

  t.strictSame(rig.asked, ['Job 0']);
});

t.test('a list that fails is tried again, and told of once', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = {
    index: 9,
    pages: [[job('a', 3)]],
    fails: new HydrantError('Expected 200', { code: 'nomad-refused', retryable: true }),
  };

  rig.healer.heal(new Map([['Job', 0]]), 10);
  await eventually(() => rig.asked.length >= 3);
  rig.lists['Job'] = { index: 9, pages: [[job('a', 3)]] };
  await whenEnded(rig);

  t.strictSame(rig.told.slice(1, 3), [
    ['failed', 'Job true'],
    ['failed', 'Job false'],
  ]);
  t.strictSame(rig.out, ['Job/default/a 3']);
});

t.test('a list that stays older than what was published means that objects went back', async (t) => {
  const rig = start(t, { olderMs: 20 });
  rig.restoreWatch.show(frame(950, 'web'));
  rig.lists['Job'] = { index: 700, pages: [[job('web', 650), job('old', 3)]] };
  rig.onRestore = () => {
    rig.healer.heal(new Map([['Job', 0]]), 960, true);
  };

  rig.healer.heal(new Map([['Job', 950]]), 960);
  await whenEnded(rig);

  t.strictSame(rig.told.filter(([what]) => what === 'restored').length, 1);
  t.strictSame(rig.out, ['Job/default/web 650', 'Job/default/old 3']);
});

t.test('what is listed ahead of the stream waits for its frames', async (t) => {
  const rig = start(t, { settleMs: 600_000 });
  rig.lists['Job'] = { index: 20, pages: [[job('old', 8), job('shown', 15), job('silent', 16), job('newer', 17)]] };
  rig.healer.heal(new Map([['Job', 0]]), 10);
  await eventually(() => rig.out.length === 1);

  t.strictSame(rig.healer.frame(frame(15, 'shown')), [], 'what a frame shows does not go out');
  const due = rig.healer.frame(frame(18, 'newer'));
  t.strictSame(describe(due), ['Job/default/silent 16', 'Job/default/newer 17'], 'before the frame that is newer');
  rig.healer.putBack(due);
  t.ok(rig.healer.isHealing, 'what was given did not get into the log');
  const again = rig.healer.frame(frame(21, 'other'));
  t.strictSame(describe(again), ['Job/default/silent 16'], 'but for what a frame has shown meanwhile');
  t.ok(rig.healer.isHealing);
  rig.healer.kept(again);
  await whenEnded(rig);

  t.strictSame(rig.out, ['Job/default/old 8'], 'nothing went out a second time');
  t.strictSame(rig.told.at(-1), ['ended', 2]);
});

t.test('frames that do not pass count when they are made known', async (t) => {
  const rig = start(t, { settleMs: 600_000 });
  rig.lists['Job'] = { index: 20, pages: [[job('a', 15)]] };
  rig.healer.known(5);
  rig.healer.heal(new Map([['Job', 0]]), 10);
  rig.healer.known(15);
  await whenEnded(rig);

  t.strictSame(rig.out, ['Job/default/a 15']);
});

t.test('what no frame shows goes out when the stream is quiet, not while it is closed', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 20, pages: [[job('a', 15)]] };
  rig.beforeAnswer = () => {
    rig.isReading = false;
  };
  rig.healer.heal(new Map([['Job', 0]]), 10);
  await eventually(() => rig.asked.length === 1);
  const looks = rig.looks;
  await eventually(() => rig.looks >= looks + 5);
  t.strictSame(rig.out, [], 'the stream may show it yet');

  rig.isReading = true;
  await whenEnded(rig);

  t.strictSame(rig.out, ['Job/default/a 15']);
});

t.test('a log that takes nothing loses nothing', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 20, pages: [[job('a', 15)]] };
  let tries = 0;
  Object.defineProperty(rig, 'appendFails', { get: () => (tries += 1) < 3 });

  rig.healer.heal(new Map([['Job', 0]]), 10);
  await whenEnded(rig);

  t.ok(tries >= 3);
  t.strictSame(rig.out, ['Job/default/a 15']);
  t.strictSame(rig.told.at(-1), ['ended', 1]);
});

t.test('a list that is longer than may wait lets the stream catch up in between', async (t) => {
  const rig = start(t);
  const many = Array.from({ length: 5_001 }, (_, n) => job(`job-${String(n)}`, 100 + n));
  rig.lists['Job'] = { index: 9_000, pages: [many, [job('last', 9_000)]] };
  const outAtSecondPage: number[] = [];
  rig.beforeAnswer = () => {
    outAtSecondPage.push(rig.out.length);
  };

  rig.healer.heal(new Map([['Job', 0]]), 10);
  await whenEnded(rig);

  t.strictSame(outAtSecondPage, [0, 5_001]);
  t.equal(rig.out.length, 5_002);
});

t.test('the checkpoint moves when what was missed is confirmed, too', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 9, pages: [[job('a', 3), job('b', 4)]] };
  t.ok(rig.healer.mayMoveCheckpoint(0));

  rig.healer.heal(new Map([['Job', 0]]), 10);
  t.notOk(rig.healer.mayMoveCheckpoint(100));
  await whenEnded(rig);

  t.notOk(rig.healer.mayMoveCheckpoint(1));
  t.ok(rig.healer.mayMoveCheckpoint(2));
});

t.test('a gap that is found meanwhile is healed with the first, since the earlier', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 9, pages: [[job('a', 3), job('b', 8)]] };
  rig.lists['Node'] = { index: 9, pages: [[job('n', 2)]] };
  let isFirst = true;
  rig.beforeAnswer = (topic) => {
    if (topic === 'Job' && isFirst)
      rig.healer.heal(
        new Map([
          ['Job', 2],
          ['Node', 5],
        ]),
        12,
      );
    if (topic === 'Job') isFirst = false;
  };

  rig.healer.heal(
    new Map([
      ['Job', 5],
      ['Node', 1],
    ]),
    10,
  );
  await whenEnded(rig);

  t.strictSame(rig.told, [
    ['started', { Job: 5, Node: 1 }],
    ['started', { Job: 2, Node: 1 }],
    ['ended', 3],
  ]);
  t.strictSame(
    rig.out,
    ['Node//n 2', 'Job/default/a 3', 'Job/default/b 8'],
    'nothing twice: what was read of the first list has not changed',
  );
});

t.test('the same gap again reads a list only as far as to see that nothing has changed', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 9, pages: [[job('a', 3)], [job('b', 5)]] };
  const everything = new Map([['Job', 0]]);
  rig.healer.heal(everything, 10);
  await whenEnded(rig);

  rig.healer.heal(everything, 10);
  await whenEnded(rig, 2);
  t.strictSame(rig.asked, ['Job 0', 'Job 1', 'Job 0']);
  t.strictSame(rig.told.at(-1), ['ended', 0]);

  rig.lists['Job'] = { index: 12, pages: [[job('a', 3)], [job('b', 12)]] };
  rig.healer.heal(everything, 10);
  await whenEnded(rig, 3);
  t.strictSame(
    rig.out.slice(2).filter((line) => line.includes('/b ')),
    ['Job/default/b 12'],
    'a change is seen',
  );
});

t.test('a list is read to its end whenever it may hold something else than before', async (t) => {
  const cases: readonly (readonly [string, number, Parameters<Healer['heal']>, number])[] = [
    ['the indexes began anew', 9, [new Map([['Job', 0]]), 0], 9],
    ['the earlier reading began later', 9, [new Map([['Job', 2]]), 10], 9],
    ['it was set back', 9, [new Map([['Job', 4]]), 10], 7],
    ['Nomad does not say its index', 0, [new Map([['Job', 4]]), 10], 0],
  ];
  for (const [name, firstIndex, again, index] of cases) {
    const rig = start(t);
    rig.lists['Job'] = { index: firstIndex, pages: [[job('a', 5)], [job('b', 6)]] };
    rig.healer.heal(new Map([['Job', 4]]), 10);
    await whenEnded(rig);
    rig.lists['Job'].index = index;

    rig.healer.heal(...again);
    await whenEnded(rig, 2);

    t.strictSame(rig.asked, ['Job 0', 'Job 1', 'Job 0', 'Job 1'], name);
  }
});

t.test('frames of indexes that began anew are not taken for those before', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 900, pages: [[job('a', 900)]] };
  // Nothing listed goes out as long as the stream is not open.
  rig.beforeAnswer = () => {
    rig.isReading = false;
  };
  rig.healer.heal(new Map([['Job', 0]]), 800);
  await eventually(() => rig.asked.length === 1);
  rig.healer.frame(frame(850, 'b'));
  rig.lists['Job'] = { index: 3, pages: [[job('b', 3)]] };
  rig.beforeAnswer = () => undefined;

  rig.healer.heal(new Map([['Job', 0]]), 0);
  rig.isReading = true;
  await whenEnded(rig);

  t.strictSame(rig.out, ['Job/default/b 3']);
});

t.test('stopping ends a healing that waits', async (t) => {
  const rig = start(t);
  rig.isReading = false;
  rig.healer.heal(new Map([['Job', 0]]), 10);

  await rig.healer.stop();

  t.ok(rig.healer.isHealing, 'the checkpoint stays');
  t.strictSame(rig.told, [['started', { Job: 0 }]]);
});
