import { systemClock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { eventually } from '@hydrant/testing/eventually';
import t from 'tap';
import type { ListAnswer } from '../lists/list-reading.ts';
import { ListHealer, type ListHealerOptions } from './list-healer.ts';
import { RestoreWatch } from './restore-watch.ts';

interface Listing {
  readonly pages: readonly (readonly { readonly ID: string; readonly ModifyIndex: number }[])[];
  readonly index?: number;
  readonly fails?: Error | undefined;
}

interface Rig {
  /** By topic. */
  readonly lists: Record<string, Listing>;
  readonly asked: string[];
  readonly out: string[];
  readonly told: string[];
  readonly restoreWatch: RestoreWatch;
  beforeAnswer: () => void;
  readonly read: () => Promise<void>;
}

const plan = new Map([
  ['Job', 0],
  ['Node', 0],
]);

function start(options: Partial<ListHealerOptions> = {}): Rig {
  const lists: Rig['lists'] = {
    Node: { pages: [[{ ID: 'n', ModifyIndex: 2 }]] },
    Job: { pages: [[{ ID: 'a', ModifyIndex: 3 }]] },
  };
  const rig: Omit<Rig, 'read'> = {
    lists,
    asked: [],
    out: [],
    told: [],
    restoreWatch: new RestoreWatch(),
    beforeAnswer: () => undefined,
  };
  const aborted = new AbortController();
  async function fetchList(path: string): Promise<ListAnswer> {
    const { pathname, searchParams } = new URL(path, 'http://nomad');
    const topic = pathname === '/v1/nodes' ? 'Node' : 'Job';
    const page = Number(searchParams.get('next_token') ?? '0');
    rig.asked.push(`${topic} ${String(page)}`);
    rig.beforeAnswer();
    const { pages, index = 9, fails } = rig.lists[topic] ?? { pages: [] };
    if (fails !== undefined) throw fails;
    return Promise.resolve({
      body: Buffer.from(JSON.stringify(pages[page] ?? [])),
      index,
      nextToken: page + 1 < pages.length ? String(page + 1) : undefined,
    });
  }
  const healer = new ListHealer(
    { namespace: '*', region: '', retryMinMs: 1, ...options },
    {
      fetchList,
      readWhole: () => Promise.resolve(undefined),
      restoreWatch: rig.restoreWatch,
      restoreFound() {
        rig.told.push('restored');
        aborted.abort();
      },
      telemetry: {
        listFailed: ({ topic, isFirst }) => {
          rig.told.push(`${topic} failed${isFirst ? '' : ' again'}`);
        },
        topicsUnhealed: (topics, { isRepeat }) => {
          rig.told.push(`${topics.join()} unhealed${isRepeat ? ' again' : ''}`);
        },
      },
      clock: systemClock,
    },
  );
  const read = (): Promise<void> =>
    healer.read(
      plan,
      (snapshots) => {
        rig.out.push(...snapshots.map(({ identity, modifyIndex }) => `${identity} ${String(modifyIndex)}`));
        return Promise.resolve(undefined);
      },
      aborted.signal,
    );
  return Object.assign(rig, { read });
}

function failing(code: string): Listing {
  return { pages: [[]], fails: new HydrantError('Expected 200', { code, retryable: true }) };
}

function unhealed({ told }: Rig): string[] {
  return told.filter((line) => line.includes('unhealed'));
}

t.test('a list that fails for good is given up, at once or after a while, and holds up no other', async (t) => {
  const cases: readonly (readonly [code: string, answeredMs: number, tries: number])[] = [
    ['nomad-not-found', 60_000, 1],
    ['list-endless', 60_000, 1],
    ['nomad-denied', 0, 1],
    ['nomad-denied', 300, 2],
    ['list-malformed', 300, 2],
    ['nomad-html', 300, 2],
    ['nomad-answer-too-large', 300, 2],
  ];
  for (const [code, answeredMs, tries] of cases) {
    const rig = start({ patience: { answeredMs, passingMs: 600_000 } });
    rig.lists['Node'] = failing(code);
    const outBefore: number[] = [];
    rig.beforeAnswer = () => {
      outBefore.push(rig.out.length);
    };

    await rig.read();

    t.strictSame(unhealed(rig), ['Node unhealed'], code);
    t.ok(rig.asked.filter((path) => path === 'Node 0').length >= tries, code);
    t.strictSame(rig.out, ['Job//a 3'], code);
    if (tries > 1) t.equal(outBefore[2], 1, `${code}: the other list is read before it is tried again`);
  }
});

t.test('a list that was given up is not waited for again, until it can be read', async (t) => {
  const rig = start({ patience: { answeredMs: 100, passingMs: 600_000 } });
  const asked = (): number => rig.asked.filter((path) => path === 'Job 0').length;
  rig.lists['Job'] = failing('nomad-denied');
  await rig.read();
  const tries = asked();
  await rig.read();
  t.equal(asked(), tries + 1);
  t.strictSame(unhealed(rig), ['Job unhealed', 'Job unhealed again']);

  rig.lists['Job'] = { index: 10, pages: [[]] };
  await rig.read();
  rig.lists['Job'] = failing('nomad-denied');
  await rig.read();

  t.equal(unhealed(rig).at(-1), 'Job unhealed');
  t.ok(asked() > tries + 3);
});

t.test('what passes is waited for, unless Nomad answers the other lists all the while', async (t) => {
  const rig = start({ patience: { answeredMs: 60_000, passingMs: 0 } });
  rig.lists['Job'] = failing('nomad-unreachable');
  rig.lists['Node'] = failing('nomad-unreachable');
  const reading = rig.read();
  await eventually(() => rig.told.length >= 6);
  t.strictSame(unhealed(rig), []);

  rig.lists['Node'] = { pages: [[{ ID: 'n', ModifyIndex: 2 }]] };
  await reading;

  t.strictSame(unhealed(rig), ['Job unhealed']);
  t.strictSame(rig.out, ['Node//n 2']);
});

t.test('a page that fails is asked for again, and none before it', async (t) => {
  const rig = start();
  const pages = ['a', 'b', 'c'].map((ID) => [{ ID, ModifyIndex: 3 }]);
  rig.beforeAnswer = () => {
    const tries = rig.asked.filter((path) => path === 'Job 1').length;
    rig.lists['Job'] = {
      pages,
      fails: rig.asked.at(-1) === 'Job 1' && tries < 3 ? failing('nomad-silent').fails : undefined,
    };
  };

  await rig.read();

  t.strictSame(rig.asked, ['Node 0', 'Job 0', 'Job 1', 'Job 1', 'Job 1', 'Job 2']);
  t.strictSame(rig.out, ['Node//n 2', 'Job//a 3', 'Job//b 3', 'Job//c 3']);
  t.strictSame(rig.told, ['Job failed', 'Job failed again']);
});

t.test('a list that is older for a moment is read again, one that stays so means that objects went back', async (t) => {
  for (const olderMs of [60_000, 20]) {
    const rig = start({ olderMs });
    rig.restoreWatch.show({
      index: 950,
      events: [
        {
          start: 0,
          end: 0,
          head: { topic: 'Job', type: 'JobRegistered', namespace: '', key: 'a', filterKeys: [], index: 950 },
        },
      ],
    });
    rig.lists['Job'] = { index: 949, pages: [[{ ID: 'a', ModifyIndex: 940 }]] };
    const reading = rig.read();
    await eventually(() => rig.told.length > 1);
    if (olderMs > 1_000) rig.lists['Job'] = { index: 950, pages: [[{ ID: 'a', ModifyIndex: 950 }]] };
    await reading;

    t.strictSame(rig.out, olderMs > 1_000 ? ['Node//n 2', 'Job//a 950'] : ['Node//n 2']);
    t.equal(rig.told.includes('restored'), olderMs < 1_000);
  }
});
