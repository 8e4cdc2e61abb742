import { systemClock, type Clock } from '@hydrant/shared/foundation/clock';
import { eventually } from '@hydrant/testing/eventually';
import t, { type Test } from 'tap';
import type { Firehose } from '../firehose.ts';
import { createFailover } from './failover.ts';
import type { LeaseReply, LeaseStore } from './lease-store.ts';
import { Lease } from './lease.ts';

const forever = new AbortController().signal;

interface Rig {
  readonly firehose: Firehose;
  /** What happened, in order. */
  readonly told: string[];
  holder: 'a' | 'b';
  startFails: boolean;
  stopFails: boolean;
}

function silentTelemetry(told: string[]): ConstructorParameters<typeof Lease>[1]['telemetry'] {
  const nothing = (): void => undefined;
  return {
    leaseGranted: nothing,
    leaseFollowed: nothing,
    leaseEnded: nothing,
    leaseLost: nothing,
    leaseUnknown: nothing,
    leaseReleased: () => {
      told.push('released');
    },
    watchLease: nothing,
  };
}

async function start(t: Test, options: { readonly startFails?: boolean } = {}): Promise<Rig> {
  const told: string[] = [];
  const clock: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 5), signal) };
  const store: LeaseStore = {
    description: 'a fake',
    take: (): Promise<LeaseReply> =>
      Promise.resolve(rig.holder === 'a' ? { outcome: 'granted', token: '1' } : { outcome: 'held', by: 'b' }),
    release: () => Promise.resolve(),
  };
  let terms = 0;
  function makeTerm(): Firehose {
    terms += 1;
    const name = `term ${String(terms)}`;
    return {
      name,
      healthChecks: [{ name: 'nomad', check: () => ({ status: 'pass', detail: name }) }],
      start() {
        if (rig.startFails) return Promise.reject(new Error('no number'));
        told.push(`${name} begins`);
        return Promise.resolve();
      },
      stop(deadline) {
        told.push(`${name} ends${deadline.aborted ? ' at once' : ''}`);
        return rig.stopFails && deadline.aborted ? Promise.reject(new Error('disk full')) : Promise.resolve();
      },
    };
  }
  const lease = new Lease({ holder: 'a', lastsMs: 600_000 }, { store, telemetry: silentTelemetry(told), clock });
  const telemetry = {
    leaderCannotBegin: ({ message }: Error) => {
      told.push(`cannot begin: ${message}`);
    },
    termNotEnded: ({ message }: Error) => {
      told.push(`not ended: ${message}`);
    },
  };
  const rig: Rig = {
    firehose: createFailover({ lease, makeTerm, telemetry, clock }),
    told,
    holder: 'b',
    startFails: options.startFails ?? false,
    stopFails: false,
  };
  await rig.firehose.start(forever);
  t.teardown(() => rig.firehose.stop(AbortSignal.abort()));
  return rig;
}

function describeHealth({ firehose }: Rig): Record<string, string> {
  return Object.fromEntries(
    firehose.healthChecks.map(({ name, check }) => {
      const { status, detail = '' } = check();
      return [name, `${status} ${detail}`];
    }),
  );
}

t.test('a term runs while it leads, is thrown away when another one leads, and the next one is new', async (t) => {
  const rig = await start(t);
  await eventually(() => describeHealth(rig)['lease'] === 'pass standby: a, the leader is b');
  t.equal(describeHealth(rig)['nomad'], 'pass standby: left to the leader');

  rig.holder = 'a';
  await eventually(() => rig.told.includes('term 1 begins'));
  t.strictSame(describeHealth(rig), { lease: 'pass leader: a', nomad: 'pass term 1' });
  rig.holder = 'b';
  await eventually(() => rig.told.includes('term 1 ends at once'));
  rig.holder = 'a';
  await eventually(() => rig.told.includes('term 2 begins'));

  await rig.firehose.stop(forever);
  t.strictSame(
    rig.told,
    ['term 1 begins', 'term 1 ends at once', 'term 2 begins', 'term 2 ends', 'released'],
    'the lease is kept until the term has drained',
  );
});

t.test('a leader that cannot begin says why, and tries again', async (t) => {
  const rig = await start(t, { startFails: true });
  rig.holder = 'a';

  await eventually(() => rig.told.filter((line) => line === 'cannot begin: no number').length >= 2);
  t.match(describeHealth(rig)['lease'], /^fail leader: a; it cannot begin: no number/u);
  rig.startFails = false;
  await eventually(() => rig.told.at(-1)?.endsWith('begins'));

  t.equal(describeHealth(rig)['lease'], 'pass leader: a');
});

t.test('a term that does not end well is told of, and the next one begins', async (t) => {
  const rig = await start(t);
  rig.holder = 'a';
  rig.stopFails = true;
  await eventually(() => rig.told.includes('term 1 begins'));
  rig.holder = 'b';
  await eventually(() => rig.told.includes('not ended: disk full'));
  rig.holder = 'a';

  await eventually(() => rig.told.includes('term 2 begins'));
  rig.stopFails = false;
});

t.test('a standby stops at once', async (t) => {
  const rig = await start(t);

  await rig.firehose.stop(forever);

  t.strictSame(
    rig.told.filter((line) => line.includes('begins')),
    [],
  );
});
