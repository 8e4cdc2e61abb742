import { appendFileSync, renameSync } from 'node:fs';
import { appendFile, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { eventually } from '@hydrant/testing/eventually';
import { findOpenToOthers } from '@hydrant/testing/open-to-others';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { systemClock } from '../../foundation/clock.ts';
import { createFolderSpool } from '../../spool/folder-spool.ts';
import { makeMessage } from '../../spool/spool-contract.ts';
import type { Bus, Delivery, Settlement } from '../bus.ts';
import type { DeadLetterStore } from '../dead-letter-store.ts';
import { deadLetterPath, listDeadLetterSubscriptions, removalPath, replayPath } from './dead-letter-paths.ts';
import { createFileDeadLetters } from './file-dead-letters.ts';
import { createInProcessBus } from './in-process-bus.ts';
import { askForRemoval } from './queue-removals.ts';

const never = new AbortController().signal;
const ack: Settlement = { action: 'ack' };
const subscription = 'hydrant.sink.here';
const ten = Array.from({ length: 10 }, (_, n) => makeMessage(n + 1).id);

interface Stage {
  readonly dir: string;
  readonly store: DeadLetterStore;
  readonly seen: Delivery[];
  readonly elsewhere: Delivery[];
  accept(): void;
  restart(): Promise<void>;
  stop(): Promise<void>;
  ids(): Promise<readonly string[]>;
}

/** Ten messages whose subscription has refused them all; another one has taken them. */
async function setStage(t: Test): Promise<Stage> {
  const dir = testFolder(t);
  const deadLetterDir = join(dir, 'dead');
  const seen: Delivery[] = [];
  const elsewhere: Delivery[] = [];
  let isRefusing = true;
  let bus: Bus;

  async function start(): Promise<void> {
    const started = createInProcessBus({
      spool: createFolderSpool({ dir: join(dir, 'log'), maxBytes: 100_000_000, log: testLog(), clock: systemClock }),
      deadLetterDir,
      log: testLog(),
      clock: systemClock,
    });
    t.teardown(() => started.stop(AbortSignal.abort()));
    bus = started;
    await bus.start(never);
    const base = { bindings: ['#'], prefetch: 10, maxHeldBytes: 1_000_000, consumer: 'here' };
    await bus.subscribe(
      { ...base, name: subscription },
      async (delivery) => {
        seen.push(delivery);
        return isRefusing ? { action: 'dead-letter', reason: 'no' } : ack;
      },
      never,
    );
    await bus.subscribe(
      { ...base, name: 'elsewhere' },
      async (delivery) => {
        elsewhere.push(delivery);
        return ack;
      },
      never,
    );
  }

  const store = createFileDeadLetters({ deadLetterDir, subscription, clock: systemClock });
  async function ids(): Promise<readonly string[]> {
    const found: string[] = [];
    await store.sweep(({ message }) => {
      found.push(message.id);
      return 'keep';
    }, never);
    return found;
  }
  await start();
  for (let n = 1; n <= 10; n += 1) await bus!.publish(makeMessage(n));
  await eventually(async () => (await ids()).length === 10 && elsewhere.length === 10);
  return {
    dir: deadLetterDir,
    store,
    seen,
    elsewhere,
    ids,
    accept() {
      isRefusing = false;
    },
    async restart() {
      await bus.stop(never);
      await start();
    },
    stop: () => bus.stop(never),
  };
}

t.test('what is replayed beside the running bus reaches its own subscription as it was, and no other', async (t) => {
  const { store, seen, elsewhere, accept, ids, dir } = await setStage(t);
  accept();

  t.same(
    await store.sweep(({ message }) => (message.id === ten[2] || message.id === ten[4] ? 'replay' : 'keep'), never),
    { replayed: 2, dropped: 0 },
  );

  await eventually(() => seen.length === 12);
  t.same(
    seen.slice(10).map(({ message }) => message),
    [makeMessage(3), makeMessage(5)],
  );
  t.same(
    await ids(),
    ten.filter((id) => id !== ten[2] && id !== ten[4]),
  );
  t.equal(elsewhere.length, 10);
  await eventually(async () => (await readdir(dir)).join() === `${subscription}.ndjson`, {
    message: 'nothing to be left over',
  });
  t.same(await listDeadLetterSubscriptions(dir), [subscription]);
});

t.test('what is replayed while nothing runs is handed out at the next start', async (t) => {
  const { store, seen, accept, restart, stop, ids } = await setStage(t);
  await stop();

  await store.sweep(() => 'replay', never);
  t.same(await ids(), []);
  accept();
  await restart();

  await eventually(() => seen.length === 20);
  t.same(
    seen.slice(10).map(({ message }) => message.id),
    ten,
  );
});

t.test('a crash while replays are taken in repeats them', async (t) => {
  const { store, dir, seen, accept, restart, stop } = await setStage(t);
  await stop();
  await store.sweep(() => 'replay', never);
  await rename(replayPath(dir, subscription), `${replayPath(dir, subscription)}ing`);
  accept();

  await restart();

  await eventually(() => seen.length === 20);
});

t.test('letters that come while some are taken away are kept', async (t) => {
  const { store, dir, ids } = await setStage(t);
  const file = deadLetterPath(dir, subscription);
  const [line = ''] = (await readFile(file, 'utf8')).split('\n');
  await appendFile(file, '{"id":"torn');

  t.same(
    await store.sweep(({ message }) => {
      if (message.id !== ten[9]) return 'keep';
      // Between the look at the letters and the change of the file.
      appendFileSync(file, `\n${line}\n`);
      return 'drop';
    }, never),
    { replayed: 0, dropped: 1 },
  );

  t.same(await ids(), [...ten.slice(0, 9), ten[0]]);
});

t.test('a file that another command has changed meanwhile is left alone', async (t) => {
  const { store, dir, ids } = await setStage(t);
  const file = deadLetterPath(dir, subscription);
  const text = await readFile(file, 'utf8');
  await writeFile(`${file}.other`, text);
  let isFirst = true;
  await t.rejects(
    store.sweep(() => {
      if (isFirst) renameSync(`${file}.other`, file);
      isFirst = false;
      return 'drop';
    }, never),
    { code: 'dead-letters-changed' },
  );

  t.same(await ids(), ten);
});

t.test('without a file there is nothing to sweep', async (t) => {
  const store = createFileDeadLetters({ deadLetterDir: join(testFolder(t), 'none'), subscription, clock: systemClock });
  t.same(await store.sweep(() => 'drop', never), { replayed: 0, dropped: 0 });
  t.same(await listDeadLetterSubscriptions(join(testFolder(t), 'none')), []);
});

t.test('nobody but the owner can read dead letters, those to replay, nor the requests of commands', async (t) => {
  const { dir, store, stop } = await setStage(t);
  await stop();

  await store.sweep(({ message }) => (message.id === ten[0] ? 'replay' : 'keep'), never);
  await askForRemoval(dir, subscription);
  const { open, seen } = await findOpenToOthers(dir);

  t.strictSame(open, []);
  for (const path of [deadLetterPath(dir, subscription), replayPath(dir, subscription), removalPath(dir, subscription)])
    t.ok(seen.includes(basename(path)), path);
});
