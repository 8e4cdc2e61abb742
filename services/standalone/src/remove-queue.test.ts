import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { deadLetterPath } from '@hydrant/shared/bus/in-process/dead-letter-paths';
import { createInProcessBus } from '@hydrant/shared/bus/in-process/in-process-bus';
import type { Bus } from '@hydrant/shared/bus/bus';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { makeExampleEvent } from '@hydrant/shared/messages/example-messages';
import { createLineWriter } from '@hydrant/shared/runtime/line-writer';
import { createFolderSpool } from '@hydrant/shared/spool/folder-spool';
import { readRemovalRequest } from '@hydrant/sink-worker/remove-queue';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { removeLogQueue, type LogPlaces } from './remove-queue.ts';

const never = new AbortController().signal;
const [detector, http, stdout] = ['hydrant.crashloop-detector', 'hydrant.sink.http', 'hydrant.sink.stdout'];

function placesIn(dir: string, readers: readonly string[] = [detector, http]): LogPlaces {
  return { logDir: join(dir, 'log'), deadLetterDir: join(dir, 'dead-letters'), readers };
}

async function startBus(t: Test, { logDir, deadLetterDir, readers }: LogPlaces): Promise<Bus> {
  const spool = createFolderSpool({ dir: logDir, maxBytes: 1_000_000, log: testLog(), clock: systemClock });
  const bus = createInProcessBus({ spool, deadLetterDir, readers, log: testLog(), clock: systemClock });
  t.teardown(() => bus.stop(AbortSignal.abort()));
  await bus.start(never);
  for (const name of readers)
    await bus.subscribe(
      { name, bindings: ['event.#'], prefetch: 10, maxHeldBytes: 1_000_000, consumer: 'test' },
      async () => ({ action: 'ack' }),
      never,
    );
  return bus;
}

/** Who tried with `SINK_TYPE=stdout` and went on with `http`. */
async function changeSink(t: Test, dir: string): Promise<Bus> {
  const before = await startBus(t, placesIn(dir, [detector, stdout]));
  await before.stop(never);
  const bus = await startBus(t, placesIn(dir));
  await bus.publish(makeExampleEvent(0));
  return bus;
}

async function run(
  places: LogPlaces,
  ...args: readonly string[]
): Promise<{ readonly said: string; readonly error: unknown }> {
  const output = new PassThrough();
  let said = '';
  output.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const error: unknown = await removeLogQueue(readRemovalRequest(args), places, {
    out: createLineWriter(output),
    clock: systemClock,
    signal: never,
  }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return { said, error };
}

t.test('the running process removes the queue of a sink that is gone, by force when it is not empty', async (t) => {
  const dir = testFolder(t);
  await changeSink(t, dir);
  const places = placesIn(dir);
  await mkdir(places.deadLetterDir, { recursive: true });
  await writeFile(deadLetterPath(places.deadLetterDir, stdout), '{}\n{}\n');

  const unforced = await run(places, '--queue', stdout);
  t.match(unforced, {
    said: /^hydrant\.sink\.stdout holds 1 unread message \(0\.0 MB of the log\) and 2 dead letters\n$/u,
    error: { code: 'queue-in-use', message: /holds 1 unread message.*`--force`/u },
  });
  const forced = await run(places, '--queue', stdout, '--force');
  t.same(forced.error, undefined);
  t.match(forced.said, /hydrant\.sink\.stdout is removed\n$/u);
  t.match(await run(places, '--queue', stdout), { error: { code: 'queue-missing', message: /there is none/u } });
});

t.test('without a running process the next one removes it', async (t) => {
  const dir = testFolder(t);
  const bus = await changeSink(t, dir);
  await bus.stop(never);

  t.match(await run(placesIn(dir), '--queue', stdout, '--force'), {
    said: /is removed when it starts\n$/u,
    error: undefined,
  });
});

t.test('what is read is not removed, whoever knows of it', async (t) => {
  const dir = testFolder(t);
  await changeSink(t, dir);

  for (const queue of [http, detector])
    t.match(await run(placesIn(dir), '--queue', queue, '--force'), {
      error: { code: 'queue-in-use', message: /these settings have a reader/u },
    });
  const others = placesIn(dir, [detector]);
  t.match(await run(others, '--queue', http, '--force'), {
    error: { code: 'queue-in-use', message: /the running Hydrant.*restart it/u },
  });
});

t.test('without a name the queues are named among which to choose', async (t) => {
  const dir = testFolder(t);
  await changeSink(t, dir);

  t.match(await run(placesIn(dir)), { error: { code: 'arguments-invalid', message: /\(hydrant\.sink\.stdout\)/u } });
});
