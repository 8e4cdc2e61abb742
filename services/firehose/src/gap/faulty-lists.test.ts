/** Lists that do not answer as they should, and objects that went back, on a firehose that reads from the simulator. */
import type { Message } from '@hydrant/shared/messages/message';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import type { ListFault } from '@hydrant/simulator/faults';
import { startSimulator, type Simulator } from '@hydrant/simulator/simulator';
import { eventually } from '@hydrant/testing/eventually';
import { recordingLog, type RecordingLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import type { Checkpoint } from '../checkpoint/checkpoint-store.ts';
import { nomadSettings, readFirehoseOptions, streamSettings } from '../config.ts';
import { createFirehose } from '../firehose.ts';

const forever = new AbortController().signal;
const filter = 'topics=Allocation,Deployment,Evaluation,Job,Node namespace=* region=';

interface Place {
  readonly simulator: Simulator;
  published: Message[];
  logged: RecordingLog['lines'];
  checkpoint: Checkpoint | undefined;
}

async function setPlace(t: Test): Promise<Place> {
  const simulator = await startSimulator({ speed: 60, paused: true, lists: 'played' });
  t.teardown(() => simulator.close());
  return { simulator, published: [], logged: [], checkpoint: undefined };
}

/** Resolves with what stops it. */
async function runFirehose(
  t: Test,
  place: Place,
  env: Readonly<Record<string, string>> = {},
): Promise<() => Promise<void>> {
  const { log, lines } = recordingLog();
  place.logged = lines;
  const firehose = createFirehose(
    readFirehoseOptions(
      loadConfig({ ...nomadSettings, ...streamSettings }, { env: { NOMAD_ADDR: place.simulator.url, ...env } }),
    ),
    {
      bus: {
        publish(message) {
          place.published.push(message);
          return Promise.resolve('routed');
        },
        hasQueue: () => Promise.resolve(true),
      },
      spool: createMemorySpool({ maxBytes: 10_000_000 }),
      checkpointStore: {
        description: 'a variable',
        load: () => Promise.resolve(place.checkpoint),
        save(checkpoint) {
          place.checkpoint = checkpoint;
          return Promise.resolve();
        },
      },
      log,
      metrics: createMetrics({ service: 'firehose', version: '0' }),
      clock: systemClock,
    },
  );
  await firehose.start(forever);
  t.teardown(() => firehose.stop(AbortSignal.abort()));
  return () => firehose.stop(forever);
}

async function playTo(simulator: Simulator, index: number): Promise<void> {
  simulator.control.resume();
  await eventually(() => simulator.state.finished || (simulator.state.newestIndex ?? 0) >= index, {
    timeoutMs: 30_000,
  });
  simulator.control.pause();
}

function linesOf({ logged }: Place, text: string): RecordingLog['lines'] {
  return logged.filter(({ msg }) => String(msg).startsWith(text));
}

function snapshotIds({ published }: Place): string[] {
  return published
    .filter(({ headers, type }) => headers['origin'] === 'snapshot' && type.startsWith('nomad.'))
    .map(({ id }) => id);
}

t.test('a list that names the same page for ever is given up, with one line and no copies', async (t) => {
  const place = await setPlace(t);
  await playTo(place.simulator, 150);
  place.checkpoint = { index: 20, filter, source: place.simulator.url };
  place.simulator.control.evict(140);
  place.simulator.control.breakList('allocations', 'same-token');
  await runFirehose(t, place);
  await eventually(() => linesOf(place, 'Healed from the lists').length === 1, { timeoutMs: 20_000 });

  t.match(linesOf(place, 'What was missed of these topics is lost'), [
    { topics: ['Allocation'], err: { code: 'list-endless' }, remedy: /upgrade/u },
  ]);
  t.equal(linesOf(place, 'A list cannot be read').length, 0);
  const ids = snapshotIds(place).filter((id) => id.includes('/Allocation/'));
  // n.b. the page was asked for twice, before anybody could know.
  t.ok(ids.length > 0 && ids.length <= 2 * new Set(ids).size);
  await eventually(() => (place.checkpoint?.index ?? 0) > 140);
});

t.test('an empty body and null are empty lists', async (t) => {
  for (const fault of ['empty', 'null'] satisfies ListFault[]) {
    const place = await setPlace(t);
    await playTo(place.simulator, 150);
    place.checkpoint = { index: 20, filter, source: place.simulator.url };
    place.simulator.control.evict(140);
    place.simulator.control.breakList('deployments', fault);
    await runFirehose(t, place);
    await eventually(
      () => linesOf(place, 'Healed from the lists').length === 1 && (place.checkpoint?.index ?? 0) > 140,
      { timeoutMs: 20_000 },
    );

    t.notOk(
      place.logged.some(({ err }) => err !== undefined),
      fault,
    );
    t.ok(snapshotIds(place).length > 5, fault);
  }
});

t.test('a topic of which no list tells does not make a lagging server a new cluster', async (t) => {
  const place = await setPlace(t);
  await playTo(place.simulator, 150);
  place.checkpoint = { index: 900, filter: 'topics=Job,Service namespace=* region=', source: place.simulator.url };
  await runFirehose(t, place, { FIREHOSE_TOPICS: 'Job,Service' });
  await playTo(place.simulator, 250);
  await eventually(() => linesOf(place, 'This server is behind the checkpoint').length === 1, { timeoutMs: 15_000 });
  await playTo(place.simulator, Infinity);

  t.strictSame(
    place.published.filter(({ headers }) => headers['origin'] === 'stream'),
    [],
  );
  t.notOk(place.logged.some(({ reason }) => reason === 'rebuilt' || reason === 'index-went-back'));
  t.equal(place.checkpoint.index, 900);
});

t.test('a cluster that is built anew under the same name gives events ids that none had before', async (t) => {
  const place = await setPlace(t);
  const stop = await runFirehose(t, place);
  await playTo(place.simulator, 150);
  await eventually(() => (place.checkpoint?.index ?? 0) > 100);
  place.simulator.control.pause();
  place.simulator.control.restart({ indexes: 'anew' });
  await playTo(place.simulator, 60);
  await eventually(() => linesOf(place, 'Healed from the lists').length === 1 && (place.checkpoint?.epoch ?? 0) === 1, {
    timeoutMs: 20_000,
  });
  await stop();
  const [before, after] = [false, true].map((isNew) =>
    place.published.filter(({ id }) => id.startsWith('default~1/') === isNew).map(({ id }) => id),
  );
  t.ok((before?.length ?? 0) > 100 && (after?.length ?? 0) > 10);
  t.ok(before?.every((id) => id.startsWith('default/')));

  place.published = [];
  await runFirehose(t, place);
  await playTo(place.simulator, 100);
  await eventually(() => place.published.length > 5);
  t.ok(
    place.published.every(({ id }) => id.startsWith('default~1/')),
    'the epoch is kept over a restart',
  );
});

t.test('a restored snapshot of Nomad is noticed, and all is published as it is now', async (t) => {
  for (const isAway of [false, true]) {
    const place = await setPlace(t);
    const stop = await runFirehose(t, place);
    await playTo(place.simulator, 120);
    place.simulator.control.saveSnapshot();
    await playTo(place.simulator, 250);
    const { newestIndex = 0 } = place.simulator.state;
    await eventually(() => (place.checkpoint?.index ?? 0) > 200, { timeoutMs: 15_000 });
    if (isAway) await stop();
    place.simulator.control.restoreSnapshot();
    // n.b. of a process that has seen nothing itself only the index of each table is known, which the next frames
    // raise.
    if (!isAway) await playTo(place.simulator, newestIndex + 3);
    if (isAway) await runFirehose(t, place);
    await eventually(
      () =>
        place.logged.some(({ reason }) => reason === 'restored') && linesOf(place, 'Healed from the lists').length > 0,
      { timeoutMs: 30_000 },
    );
    await playTo(place.simulator, newestIndex + 20);
    await eventually(() => place.checkpoint?.epoch === 1, { timeoutMs: 15_000 });

    const ids = snapshotIds(place).filter((id) => id.startsWith('default~1/'));
    t.ok(
      ids.some((id) => Number(id.split('/')[1]) <= 120),
      `what went back is published${isAway ? ', also when the firehose was away' : ''}`,
    );
    t.equal(new Set(ids).size, ids.length);
  }
});
