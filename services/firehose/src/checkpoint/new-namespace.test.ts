/**
 * A firehose that is killed right after it has found a namespace of which the stream did not show what happened so far.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Bus } from '@hydrant/shared/bus/bus';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { createFolderSpool } from '@hydrant/shared/spool/folder-spool';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import { startSimulator, type Simulator } from '@hydrant/simulator/simulator';
import { eventually } from '@hydrant/testing/eventually';
import { readRecording } from '@hydrant/testing/recordings';
import { testFolder } from '@hydrant/testing/test-folder';
import { recordingLog, type RecordingLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { nomadSettings, readFirehoseOptions, streamSettings } from '../config.ts';
import { createFirehose, type FirehosePorts } from '../firehose.ts';
import { createFileSpoolNote } from '../spool/file-spool-note.ts';
import type { Checkpoint } from './checkpoint-store.ts';

const forever = new AbortController().signal;
/** Everything of the recording but its nodes lives in one namespace, which the first stream does not have. */
const hidden = 'default';
const madeAt = 60;
const newest = 355;
const away: Bus['publish'] = () =>
  Promise.reject(new HydrantError('Expected a connection', { code: 'bus-unavailable', retryable: true }));

interface Place {
  readonly simulator: Simulator;
  readonly dir: string | undefined;
  readonly taken: Set<string>;
  checkpoint: Checkpoint | undefined;
}

interface Life {
  readonly logged: RecordingLog['lines'];
  /** Nothing that happens after it is kept, as with kill -9. */
  kill(): Promise<void>;
}

function hashOf(body: Buffer | string): string {
  return createHash('sha256').update(body).digest('hex');
}

async function begin(t: Test, place: Place, publish: Bus['publish']): Promise<Life> {
  let isAlive = true;
  const { log, lines: logged } = recordingLog();
  const { dir } = place;
  const kept: Pick<FirehosePorts, 'spool' | 'spoolNote'> =
    dir === undefined
      ? { spool: createMemorySpool({ maxBytes: 10_000_000 }) }
      : {
          spool: createFolderSpool({ dir, maxBytes: 100_000_000, log, clock: systemClock }),
          spoolNote: createFileSpoolNote({ path: join(dir, 'firehose.json') }),
        };
  const options = readFirehoseOptions(
    loadConfig({ ...nomadSettings, ...streamSettings }, { env: { NOMAD_ADDR: place.simulator.url } }),
  );
  const firehose = createFirehose(options, {
    ...kept,
    log,
    metrics: createMetrics({ service: 'firehose', version: '0' }),
    clock: systemClock,
    bus: { publish, hasQueue: () => Promise.resolve(true) },
    checkpointStore: {
      description: 'a variable',
      load: () => Promise.resolve(place.checkpoint),
      save(checkpoint) {
        if (isAlive) place.checkpoint = checkpoint;
        return Promise.resolve();
      },
    },
  });
  await firehose.start(forever);
  const kill = async (): Promise<void> => {
    isAlive = false;
    await firehose.stop(AbortSignal.abort());
  };
  t.teardown(kill);
  return { logged, kill };
}

async function playTo({ simulator }: Place, index: number): Promise<void> {
  simulator.control.resume();
  await eventually(() => simulator.state.finished || (simulator.state.newestIndex ?? 0) >= index, {
    timeoutMs: 30_000,
  });
  simulator.control.pause();
}

/** The events that no stream without the namespace shows. */
async function expectedHashes(): Promise<string[]> {
  const recorded = (await readRecording('crashing-cluster'))
    .map(String)
    .filter((line) => line.startsWith('{"Events":['));
  return recorded.flatMap((line) => {
    const { Index: index, Events: events } = JSON.parse(line) as {
      Index: number;
      Events: { Namespace: string; Topic: string }[];
    };
    // n.b. the only event of its frame stands there byte for byte; of others the place in the frame is not known here.
    const [only] = events;
    return index > madeAt &&
      events.length === 1 &&
      only?.Namespace === hidden &&
      ['Allocation', 'Deployment', 'Evaluation', 'Job'].includes(only.Topic)
      ? [hashOf(line.slice('{"Events":['.length, line.lastIndexOf('],"Index":')))]
      : [];
  });
}

for (const spool of ['memory', 'folder'] as const) {
  t.test(
    `spool in ${spool}: what happened in a namespace that was found late is not lost with the process that found it`,
    async (t) => {
      const simulator = await startSimulator({ speed: 60, paused: true, lists: 'played' });
      t.teardown(() => simulator.close());
      simulator.control.removeNamespace(hidden);
      const place: Place = {
        simulator,
        dir: spool === 'folder' ? testFolder(t) : undefined,
        taken: new Set(),
        checkpoint: undefined,
      };
      const take: Bus['publish'] = ({ body }) => {
        place.taken.add(hashOf(body));
        return Promise.resolve('routed');
      };
      let isAway = false;
      const first = await begin(t, place, (message, options) => (isAway ? away : take)(message, options));
      await playTo(place, 150);
      await eventually(() => (place.checkpoint?.index ?? 0) > 100, { timeoutMs: 30_000 });
      const before = place.checkpoint?.index ?? 0;
      // With a folder there is a backlog, from beyond what was not shown.
      isAway = spool === 'folder';
      await playTo(place, 200);
      await simulator.control.stall();
      simulator.control.addNamespace(hidden, madeAt);
      await eventually(() => (place.checkpoint?.index ?? 0) <= madeAt, {
        timeoutMs: 30_000,
        message: `the checkpoint goes back from ${String(before)}`,
      });
      await eventually(
        () =>
          first.logged.some(
            ({ msg, resumeAt }) => String(msg).startsWith('There are new namespaces') && Number(resumeAt) <= madeAt,
          ),
        { timeoutMs: 30_000 },
      );
      await first.kill();

      await simulator.control.heal();
      const second = await begin(t, place, take);
      await playTo(place, Infinity);
      await eventually(() => place.checkpoint?.index === newest, { timeoutMs: 60_000 });

      const expected = await expectedHashes();
      t.ok(expected.length > 100, `${String(expected.length)} events`);
      t.strictSame(
        expected.filter((hash) => !place.taken.has(hash)),
        [],
      );
      t.notOk(
        second.logged.some(({ reason }) => reason !== undefined),
        'no gap had to be healed',
      );
    },
  );
}

t.test('the checkpoint goes forward again behind what is read a second time', async (t) => {
  const simulator = await startSimulator({ speed: 60, paused: true, lists: 'played' });
  t.teardown(() => simulator.close());
  simulator.control.removeNamespace(hidden);
  const place: Place = { simulator, dir: undefined, taken: new Set(), checkpoint: undefined };
  const { logged } = await begin(t, place, ({ body }) => {
    place.taken.add(hashOf(body));
    return Promise.resolve('routed');
  });
  await playTo(place, 150);
  await eventually(() => (place.checkpoint?.index ?? 0) > 100, { timeoutMs: 30_000 });

  simulator.control.addNamespace(hidden, madeAt);
  await playTo(place, Infinity);
  await eventually(() => place.checkpoint?.index === newest, { timeoutMs: 60_000 });

  t.strictSame(
    (await expectedHashes()).filter((hash) => !place.taken.has(hash)),
    [],
  );
  t.notOk(
    logged.some(({ reason }) => reason !== undefined),
    'no gap had to be healed',
  );
});
