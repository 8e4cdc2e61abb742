import { mkdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '@hydrant/testing/eventually';
import { testFolder } from '@hydrant/testing/test-folder';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock, type Clock } from '../../foundation/clock.ts';
import { errorCode } from '../../foundation/errors.ts';
import type { Message } from '../../messages/message.ts';
import { createFolderSpool } from '../../spool/folder-spool.ts';
import { createMemorySpool } from '../../spool/memory-spool.ts';
import { makeMessage, makeMessages } from '../../spool/spool-contract.ts';
import type { Spool } from '../../spool/spool.ts';
import { busContract } from '../bus-contract.ts';
import type { BusAdapter } from '../bus-adapter-contract.ts';
import type { Bus, Settlement, SubscriptionOptions } from '../bus.ts';
import { releaseContract } from '../release-contract.ts';
import { formatDeadLetter, parseDeadLetters } from './dead-letter-lines.ts';
import { deadLetterPath } from './dead-letter-paths.ts';
import { createInProcessBus } from './in-process-bus.ts';
import type { InProcessBusOptions } from './in-process-bus.ts';

const never = new AbortController().signal;
const ack: Settlement = { action: 'ack' };

async function startBus(
  t: Test,
  options: Pick<InProcessBusOptions, 'spool' | 'deadLetterDir'> & Partial<InProcessBusOptions>,
): Promise<Bus> {
  const bus = createInProcessBus({ log: testLog(), clock: systemClock, ...options });
  t.teardown(() => bus.stop(AbortSignal.abort()));
  await bus.start(never);
  return bus;
}

function openFolder(dir: string, maxBytes = 100_000_000): Spool {
  return createFolderSpool({ dir: join(dir, 'log'), maxBytes, log: testLog(), clock: systemClock });
}

async function readDeadLetters(dir: string, subscription: string): Promise<Message[]> {
  try {
    return parseDeadLetters(await readFile(deadLetterPath(dir, subscription), 'utf8'));
  } catch (thrown) {
    if (errorCode(thrown) === 'ENOENT') return [];
    throw thrown;
  }
}

function makeOptions(name: string, changes: Partial<SubscriptionOptions> = {}): SubscriptionOptions {
  return { name, bindings: ['event.#'], prefetch: 10, maxHeldBytes: 1_000_000, consumer: 'test', ...changes };
}

const inFolder: BusAdapter = {
  name: 'in process, log in a folder',
  create: async (t) => {
    const dir = testFolder(t);
    const first = await startBus(t, { spool: openFolder(dir), deadLetterDir: join(dir, 'dead') });
    let current = first;
    return {
      bus: first,
      restart: async () => {
        await current.stop(AbortSignal.abort());
        current = await startBus(t, { spool: openFolder(dir), deadLetterDir: join(dir, 'dead') });
        return current;
      },
      deadLetters: (subscription) => readDeadLetters(join(dir, 'dead'), subscription),
    };
  },
};

await busContract(t, inFolder);
await releaseContract(t, inFolder);

await busContract(t, {
  name: 'in process, log in memory',
  create: async (t) => {
    const dir = testFolder(t);
    const bus = await startBus(t, { spool: createMemorySpool({ maxBytes: 100_000_000 }), deadLetterDir: dir });
    return { bus, deadLetters: (subscription) => readDeadLetters(dir, subscription) };
  },
});

t.test('dead letters are lines of JSON with the body as text where it is text', async (t) => {
  const text = makeMessage(1);
  const bytes = makeMessage(2, { body: Buffer.from([0xff, 0x00]) });
  t.match(JSON.parse(formatDeadLetter(text)), {
    id: text.id,
    routingKey: text.routingKey,
    headers: { index: 1 },
    bodyEncoding: 'utf8',
    body: '{"Index":1,"Name":"größer"}',
  });
  t.match(JSON.parse(formatDeadLetter(bytes)), { bodyEncoding: 'base64', body: '/wA=' });
  t.strictSame(parseDeadLetters(`${formatDeadLetter(text)}{"id":"torn\n${formatDeadLetter(bytes)}`), [text, bytes]);
});

t.test('a dead letter that cannot be kept keeps its message in the log', async (t) => {
  const dir = testFolder(t, { dead: 'a file where the folder belongs' });
  const { log, lines } = recordingLog();
  const deadLetterDir = join(dir, 'dead');
  const bus = await startBus(t, { spool: openFolder(dir), deadLetterDir, log });
  const options = makeOptions('hydrant.sink.http');
  const subscription = await bus.subscribe(options, async () => ({ action: 'dead-letter', reason: 'no' }), never);

  await bus.publish(makeMessage(1));
  await eventually(() => lines.some(({ level }) => level === 'warn'));
  t.equal(subscription.held, 1);

  await rm(deadLetterDir);
  await mkdir(deadLetterDir);
  await writeFile(join(deadLetterDir, 'hydrant.sink.http.ndjson'), '{"id":"torn');
  await eventually(() => subscription.held === 0);
  t.match(await readDeadLetters(deadLetterDir, options.name), [
    { id: makeMessage(1).id, headers: { error: 'no', attempts: 1, sink: 'test' } },
  ]);
});

t.test('a log that is full again soon after, and stays so, is told of later', async (t) => {
  const { log, lines } = recordingLog();
  const later: (() => void)[] = [];
  const clock: Clock = {
    ...systemClock,
    after: (_, action) => {
      later.push(action);
      return {
        cancel: () => {
          later.splice(0);
        },
      };
    },
  };
  const bus = await startBus(t, {
    spool: createMemorySpool({ maxBytes: 20_000 }),
    deadLetterDir: testFolder(t),
    log,
    clock,
  });
  let open = (): void => undefined;
  let opened = Promise.resolve();
  const shut = (): void => {
    opened = new Promise<void>((resolve) => {
      open = resolve;
    });
  };
  await bus.subscribe(
    makeOptions('slow'),
    async () => {
      await opened;
      return ack;
    },
    never,
  );
  async function fill(): Promise<void> {
    const publishes: Promise<unknown>[] = [];
    for (const message of makeMessages(1, 40, { body: Buffer.alloc(1000) })) {
      publishes.push(bus.publish(message));
      // In turns of their own: a single group goes in however large it is.
      await systemClock.sleep(0);
    }
    await Promise.all(publishes);
  }
  const warnings = (): readonly unknown[] => lines.filter(({ level }) => level === 'warn');
  const [check] = bus.healthChecks;

  shut();
  const first = fill();
  await eventually(() => warnings().length === 1);
  open();
  await first;
  shut();
  const second = fill();
  await eventually(() => later.length === 1);
  t.equal(warnings().length, 1);
  later[0]?.();
  t.match(warnings()[1], { subscription: 'slow' });
  t.match(check?.check(), { status: 'fail', detail: /"slow"/ });
  open();
  await second;
  await eventually(() => check?.check().status === 'pass');
  t.match(lines.at(-1), { level: 'info' });
});

t.test('a log that stays full names the subscription that it waits for now', async (t) => {
  const { log, lines } = recordingLog();
  const later: (() => void)[] = [];
  const after: Clock['after'] = (_, action) => {
    later.push(action);
    return { cancel: () => undefined };
  };
  const spool = createMemorySpool({ maxBytes: 20_000 });
  const bus = await startBus(t, { spool, deadLetterDir: testFolder(t), log, clock: { ...systemClock, after } });
  const gates = new Map(
    ['first', 'second'].map((name) => {
      let open = (): void => undefined;
      const opened = new Promise<void>((resolve) => {
        open = resolve;
      });
      return [name, { open, opened }];
    }),
  );
  let seconds = 0;
  const [check] = bus.healthChecks;
  await bus.subscribe(
    makeOptions('first'),
    async () => {
      await gates.get('first')?.opened;
      return ack;
    },
    never,
  );
  await bus.subscribe(
    makeOptions('second'),
    async () => {
      seconds += 1;
      if (seconds > 3) await gates.get('second')?.opened;
      return ack;
    },
    never,
  );
  const publishes: Promise<unknown>[] = [];
  for (const message of makeMessages(1, 40, { body: Buffer.alloc(1000) })) {
    publishes.push(bus.publish(message));
    await systemClock.sleep(0);
  }
  const warned = (): readonly unknown[] => lines.filter(({ level }) => level === 'warn');
  await eventually(() => warned().length === 1);
  t.match(warned(), [{ subscription: 'first' }]);

  later.splice(0).at(-1)?.();
  t.equal(warned().length, 1, 'the same is told once');
  gates.get('first')?.open();
  await eventually(() => spool.cursors().every(({ name, committed }) => name === 'second' || committed > 3));
  t.match(check?.check(), { status: 'fail', detail: /"second"/ });
  later.splice(0).at(-1)?.();
  t.match(warned(), [{ subscription: 'first' }, { subscription: 'second' }]);

  gates.get('second')?.open();
  await Promise.all(publishes);
  await eventually(() => check?.check().status === 'pass');
});

t.test('a full log warns of its slowest subscription and goes on with it', async (t) => {
  const { log, lines } = recordingLog();
  const bus = await startBus(t, { spool: createMemorySpool({ maxBytes: 20_000 }), deadLetterDir: testFolder(t), log });
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  let fast = 0;
  let slow = 0;
  await bus.subscribe(
    makeOptions('fast'),
    async () => {
      fast += 1;
      return ack;
    },
    never,
  );
  await bus.subscribe(
    makeOptions('slow'),
    async () => {
      await opened;
      slow += 1;
      return ack;
    },
    never,
  );
  const [check] = bus.healthChecks;

  let kept = 0;
  const publishes = makeMessages(1, 100, { body: Buffer.alloc(1000) }).map(async (message, n) => {
    await eventually(() => kept >= n - 5);
    await bus.publish(message, n === 99 ? { evenWhenFull: true } : {});
    kept += 1;
  });
  const told = await eventually(() => lines.find(({ level }) => level === 'warn'));
  t.match(told, { subscription: 'slow', maxBytes: 20_000 });
  t.match(check?.check(), { status: 'fail', detail: /"slow"/ });
  await eventually(() => fast === kept);

  open();
  await Promise.all(publishes);
  await eventually(() => slow === 100 && fast === 100);
  t.equal(lines.filter(({ level }) => level === 'warn').length, 1);
  t.match(lines.at(-1), { level: 'info' });
  t.match(check?.check(), { status: 'pass' });
});

t.test('what a handler publishes goes above the bound', async (t) => {
  const bus = await startBus(t, { spool: createMemorySpool({ maxBytes: 5_000 }), deadLetterDir: testFolder(t) });
  let settled = 0;
  await bus.subscribe(
    makeOptions('detector', { prefetch: 1 }),
    async ({ message }) => {
      await bus.publish({ ...message, routingKey: 'crash-loop' }, { mandatory: true, evenWhenFull: true });
      settled += 1;
      return ack;
    },
    never,
  );

  await Promise.all(makeMessages(1, 50, { body: Buffer.alloc(1000) }).map((message) => bus.publish(message)));

  await eventually(() => settled === 50);
});

t.test('what was published when the process died is handed out by the next', async (t) => {
  const dir = testFolder(t);
  const first = await startBus(t, { spool: openFolder(dir), deadLetterDir: dir });
  const subscription = await first.subscribe(makeOptions('a'), async () => ack, never);
  await subscription.close(never);
  await Promise.all(makeMessages(1, 20).map((message) => first.publish(message)));
  await first.stop(never);

  const second = await startBus(t, { spool: openFolder(dir), deadLetterDir: dir });
  const seen: unknown[] = [];
  await second.subscribe(
    makeOptions('a'),
    async ({ message }) => {
      seen.push(message.headers['index']);
      return ack;
    },
    never,
  );

  await eventually(() => seen.length === 20);
  t.strictSame(
    seen,
    makeMessages(1, 20).map((_, n) => n + 1),
  );
});

t.test('a log that cannot be read is reported and tried again', async (t) => {
  const dir = testFolder(t);
  const first = await startBus(t, { spool: openFolder(dir), deadLetterDir: dir });
  const before = await first.subscribe(makeOptions('a'), async () => ack, never);
  await before.close(never);
  await first.publish(makeMessage(1));
  await first.stop(never);
  const { log, lines } = recordingLog();
  const bus = await startBus(t, { spool: openFolder(dir), deadLetterDir: dir, log });
  const path = join(dir, 'log', '0000000000000001.log');
  await rename(path, join(dir, 'aside'));
  await mkdir(path);
  let seen = 0;

  await bus.subscribe(
    makeOptions('a'),
    async () => {
      seen += 1;
      return ack;
    },
    never,
  );
  await eventually(() => lines.some(({ level }) => level === 'error'));
  t.match(bus.healthChecks[0]?.check(), { status: 'fail', detail: /"a" cannot read the log: EISDIR/ });
  await rmdir(path);
  await rename(join(dir, 'aside'), path);

  await eventually(() => seen === 1);
  t.match(bus.healthChecks[0]?.check(), { status: 'pass' });
});

t.test('publish and subscribe are refused when they cannot be served', async (t) => {
  const bus = createInProcessBus({
    spool: createMemorySpool({ maxBytes: 1_000_000 }),
    deadLetterDir: testFolder(t),
    log: testLog(),
    clock: systemClock,
  });
  await t.rejects(bus.publish(makeMessage(1)), { code: 'bus-unavailable', retryable: true });
  await t.rejects(
    bus.subscribe(makeOptions('a'), async () => ack, never),
    { code: 'bus-unavailable' },
  );
  t.match(bus.healthChecks[0]?.check(), { status: 'fail' });

  await bus.start(never);
  await bus.subscribe(makeOptions('a'), async () => ack, never);
  await t.rejects(
    bus.subscribe(makeOptions('a'), async () => ack, never),
    { code: 'bus-refused', retryable: false },
  );
  await t.rejects(
    bus.subscribe(makeOptions('b'), async () => ack, AbortSignal.abort()),
    { code: 'bus-unavailable' },
  );

  await bus.stop(never);
  await bus.stop(never);
  await t.rejects(bus.publish(makeMessage(1)), { code: 'bus-unavailable' });
});
