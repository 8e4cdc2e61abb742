import { access, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '@hydrant/testing/eventually';
import { testFolder } from '@hydrant/testing/test-folder';
import { recordingLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { systemClock } from '../../foundation/clock.ts';
import { createFolderSpool } from '../../spool/folder-spool.ts';
import { lookAtCursors } from '../../spool/folder/look-at-cursors.ts';
import { makeMessage, makeMessages } from '../../spool/spool-contract.ts';
import type { Message } from '../../messages/message.ts';
import type { Bus, Settlement } from '../bus.ts';
import { deadLetterPath } from './dead-letter-paths.ts';
import { createInProcessBus } from './in-process-bus.ts';
import { askForRemoval, isAskedFor } from './queue-removals.ts';

const never = new AbortController().signal;
const ack: Settlement = { action: 'ack' };
const body = Buffer.alloc(1000);
const [kept, gone] = ['hydrant.sink.kept', 'hydrant.sink.gone'];

interface Started {
  readonly bus: Bus;
  readonly warnings: () => readonly object[];
}

async function start(t: Test, dir: string, readers: readonly string[]): Promise<Started> {
  const { log, lines } = recordingLog();
  const spool = createFolderSpool({ dir: join(dir, 'log'), maxBytes: 20_000, log, clock: systemClock });
  const bus = createInProcessBus({ spool, deadLetterDir: join(dir, 'dead'), readers, log, clock: systemClock });
  t.teardown(() => bus.stop(AbortSignal.abort()));
  await bus.start(never);
  for (const name of readers)
    await bus.subscribe(
      { name, bindings: ['event.#'], prefetch: 10, maxHeldBytes: 1_000_000, consumer: 'test' },
      async () => ack,
      never,
    );
  return { bus, warnings: () => lines.filter(({ level }) => level === 'warn') };
}

/** Each waits for the one before: many at once would go into the log as one. */
async function publishInTurn(bus: Bus, messages: readonly Message[]): Promise<void> {
  for (const message of messages) await bus.publish(message);
}

/** A log in which the queue of a sink that is gone stands at its beginning. */
async function leaveQueueBehind(t: Test, dir: string): Promise<Started> {
  const before = await start(t, dir, [kept, gone]);
  await before.bus.stop(never);
  const after = await start(t, dir, [kept]);
  await Promise.all(makeMessages(1, 5, { body }).map((message) => after.bus.publish(message)));
  return after;
}

t.test('at its start the bus names the queues that nobody reads, and what they hold', async (t) => {
  const dir = testFolder(t);
  const { bus, warnings } = await leaveQueueBehind(t, dir);
  t.match(warnings(), [{ queue: gone, messages: 0, bytes: 0 }]);
  await bus.stop(never);

  const again = await start(t, dir, [kept]);

  t.match(again.warnings(), [
    { queue: gone, messages: 5, maxBytes: 20_000, msg: /put its sink back, or remove it with `remove-queue`/u },
  ]);
  t.equal((await start(t, join(dir, 'other'), [kept])).warnings().length, 0);
});

t.test('a queue that nobody reads fills the log, and its removal lets publishing go on', async (t) => {
  const dir = testFolder(t);
  const { bus } = await leaveQueueBehind(t, dir);
  const [check] = bus.healthChecks;
  const publishing = publishInTurn(bus, makeMessages(6, 60, { body }));
  await eventually(() => check?.check().status === 'fail');
  t.match(check?.check(), {
    detail: /waits for subscription "hydrant\.sink\.gone", which no sink reads: .*`remove-queue`/u,
  });

  await askForRemoval(join(dir, 'dead'), gone);
  await publishing;

  t.match(check?.check(), { status: 'pass' });
  await eventually(async () => !(await isAskedFor(join(dir, 'dead'), gone)));
  t.same(
    (await lookAtCursors(join(dir, 'log'))).map(({ name }) => name),
    [kept],
  );
});

t.test('its dead letters go with it, and a request that no process took is taken by the next', async (t) => {
  const dir = testFolder(t);
  const dead = join(dir, 'dead');
  const { bus } = await leaveQueueBehind(t, dir);
  await bus.stop(never);
  await mkdir(dead, { recursive: true });
  for (const name of [kept, gone]) await writeFile(deadLetterPath(dead, name), '{}\n');
  await askForRemoval(dead, gone);

  await start(t, dir, [kept]);

  await eventually(async () => !(await isAskedFor(dead, gone)));
  await t.rejects(access(deadLetterPath(dead, gone)));
  await access(deadLetterPath(dead, kept));
});

t.test('a queue that has a reader is not removed', async (t) => {
  const dir = testFolder(t);
  const { bus, warnings } = await start(t, dir, [kept]);
  await askForRemoval(join(dir, 'dead'), kept);

  await eventually(async () => !(await isAskedFor(join(dir, 'dead'), kept)));

  t.match(warnings(), [{ queue: kept, msg: /take its sink out of the settings/u }]);
  await bus.publish(makeMessage(1));
  t.same(
    (await lookAtCursors(join(dir, 'log'))).map(({ name }) => name),
    [kept],
  );
});
