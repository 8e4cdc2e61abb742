import t, { type Test } from 'tap';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import { eventually } from '@hydrant/testing/eventually';
import type { Ledger, ResolvedClaim } from '../ledger/ledger.ts';
import { Resolver, type ResolverPorts } from './resolver.ts';

const end: ResolvedClaim = {
  alertId: 'a',
  token: 't',
  reason: 'ran',
  loop: 'l',
  openedAtUs: 1,
  newestUs: 2,
  intervalMs: 600_000,
  count: 1,
  lastEvent: '{}',
  crashes: [
    JSON.stringify({ allocation: 'a1', task: 'server', time: '1795231704791828627', reason: 'Restart within policy' }),
  ],
  place: { cluster: 'c', namespace: 'default', job: 'job', group: 'group', task: 'server' },
};

/** A resolver whose turns are taken one by one, 5 s apart by its clock. */
function startResolver(t: Test, parts: Partial<ResolverPorts> = {}) {
  const published: Message[] = [];
  const counts = new Map<string, number>();
  const count = (name: string) => (): void => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  };
  let ends: ResolvedClaim[] = [end];
  const ledger = {
    size: () => Promise.resolve({ lineages: 1, openLoops: 1 }),
    takeResolved: () => Promise.resolve([...ends]),
    confirmResolved: ({ token }: ResolvedClaim) =>
      Promise.resolve(void (ends = ends.filter((one) => one.token !== token))),
  } as unknown as Ledger;
  const stopping = new AbortController();
  let nowMs = 0;
  let wake: (() => void) | undefined;
  const clock = {
    ...systemClock,
    monotonic: () => nowMs,
    sleep: (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve) => {
        wake = resolve;
        signal?.addEventListener(
          'abort',
          () => {
            resolve();
          },
          { once: true },
        );
      }),
  };
  const resolver = new Resolver({
    options: { routingKey: 'crash-loop-resolved', notify: true },
    ledger,
    alertPublisher: {
      publish: (message) => {
        published.push(message);
        return Promise.resolve('routed');
      },
    },
    telemetry: {
      alertPublished: count('published'),
      alertUnrouted: count('unrouted'),
      resolvedRefused: count('refused'),
      resolvedRetried: count('retried'),
      loopSilent: count('silent'),
      ledgerSized: count('sized'),
    },
    clock,
    isConnected: () => true,
    ...parts,
  });
  const running = resolver.run(stopping.signal);
  const stop = async (): Promise<void> => {
    stopping.abort();
    await running;
  };
  t.teardown(stop);
  const turn = async (): Promise<void> => {
    const go = await eventually(() => wake);
    wake = undefined;
    nowMs += 5000;
    go();
    await eventually(() => wake);
  };
  return { resolver, turn, published, counts, stop, ends: () => ends };
}

t.test('an end is announced and confirmed, after a first look', async (t) => {
  const { turn, published, counts, ends } = startResolver(t);

  await turn();
  t.same(published, []);
  await turn();
  await turn();

  t.match(published, [{ id: 'a/resolved', type: 'crash-loop-resolved', routingKey: 'crash-loop-resolved' }]);
  t.same(ends(), []);
  t.match(Object.fromEntries(counts), { published: 1, sized: 3 });
});

t.test('while no message can arrive, and for a turn after, nothing ends', async (t) => {
  let isConnected = false;
  const { turn, published } = startResolver(t, { isConnected: () => isConnected });
  for (let turns = 0; turns < 3; turns += 1) await turn();
  isConnected = true;
  await turn();
  t.same(published, []);

  await turn();
  t.equal(published.length, 1);
});

t.test('while messages of the past arrive nothing ends', async (t) => {
  const { resolver, turn, published } = startResolver(t);
  await turn();
  // n.b. The publisher's clock is far from ours: only how fast it goes counts.
  for (const publishedMs of [1_000_000, 1_060_000, 1_120_000]) {
    resolver.messageReceived(publishedMs);
    resolver.messageReceived(publishedMs - 500_000);
    await turn();
  }
  t.same(published, []);

  resolver.messageReceived(1_125_000);
  await turn();
  t.equal(published.length, 1);
});

t.test('an end that could not be announced is kept, one that is refused for good is not', async (t) => {
  const answers = [
    new Error('The broker is away'),
    new HydrantError('Too large', { code: 'sink-permanent', retryable: false }),
  ];
  const { turn, counts, ends } = startResolver(t, {
    alertPublisher: { publish: () => Promise.reject(answers.shift() ?? new Error('unexpected')) },
  });
  await turn();

  await turn();
  t.equal(ends().length, 1);
  await turn();
  t.equal(ends().length, 0);
  t.match(Object.fromEntries(counts), { retried: 1, refused: 1 });
});

t.test('loops end in silence when nobody wants to hear of it', async (t) => {
  const { turn, published, ends } = startResolver(t, { options: { routingKey: 'crash-loop-resolved', notify: false } });
  await turn();
  await turn();

  t.same([published, ends()], [[], []]);
});
