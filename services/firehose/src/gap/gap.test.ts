/**
 * Each row of the gap table on a firehose that reads from the simulator: nothing that a list can give back is missing,
 * and no object goes back.
 */
import { systemClock } from '@hydrant/shared/foundation/clock';
import { readEventHead } from '@hydrant/shared/messages/nomad-event';
import type { Bus } from '@hydrant/shared/bus/bus';
import type { Message } from '@hydrant/shared/messages/message';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import { startSimulator, type Simulator } from '@hydrant/simulator/simulator';
import { eventually } from '@hydrant/testing/eventually';
import { readRecording } from '@hydrant/testing/recordings';
import { recordingLog, type RecordingLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import type { Checkpoint, CheckpointStore } from '../checkpoint/checkpoint-store.ts';
import { nomadSettings, readFirehoseOptions, streamSettings } from '../config.ts';
import { createFirehose } from '../firehose.ts';
import { identityOf } from './snapshot-merge.ts';

const forever = new AbortController().signal;
const filter = 'topics=Allocation,Deployment,Evaluation,Job,Node namespace=* region=';

interface Place {
  readonly simulator: Simulator;
  readonly published: Message[];
  logged: RecordingLog['lines'];
  checkpoint: Checkpoint | undefined;
}

async function setPlace(t: Test, lists: 'played' | 'recorded' = 'played'): Promise<Place> {
  const simulator = await startSimulator({ speed: 60, paused: true, lists });
  t.teardown(() => simulator.close());
  return { simulator, published: [], logged: [], checkpoint: undefined };
}

/** Resolves with what stops it. */
async function runFirehose(
  t: Test,
  place: Place,
  env: Readonly<Record<string, string>> = {},
  publish?: Bus['publish'],
): Promise<() => Promise<void>> {
  const store: CheckpointStore = {
    description: 'a variable',
    load: () => Promise.resolve(place.checkpoint),
    save(checkpoint) {
      place.checkpoint = checkpoint;
      return Promise.resolve();
    },
  };
  const take = (message: Message): Promise<'routed'> => {
    place.published.push(message);
    return Promise.resolve('routed');
  };
  const { log, lines } = recordingLog();
  const options = readFirehoseOptions(
    loadConfig({ ...nomadSettings, ...streamSettings }, { env: { NOMAD_ADDR: place.simulator.url, ...env } }),
  );
  const firehose = createFirehose(options, {
    bus: { publish: publish ?? take, hasQueue: () => Promise.resolve(true) },
    spool: createMemorySpool({ maxBytes: 10_000_000 }),
    checkpointStore: store,
    log,
    metrics: createMetrics({ service: 'firehose', version: '0' }),
    clock: systemClock,
  });
  place.logged = lines;
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

function hasLogged({ logged }: Place, text: string): boolean {
  return logged.some(({ msg }) => msg.startsWith(text));
}

function indexOf(message: Message): number {
  return Number(message.headers['index']);
}

/** By object, the index of its last event in the recording. */
async function lastStates(): Promise<Map<string, number>> {
  const states = new Map<string, number>();
  for (const line of await readRecording('crashing-cluster')) {
    const { Events: events } = JSON.parse(line.toString()) as {
      Events?: { Topic: string; Namespace: string; Key: string; Index: number; Payload: { Deleted?: boolean } }[];
    };
    for (const { Topic, Namespace, Key, Index, Payload } of events ?? []) {
      if (!['Allocation', 'Deployment', 'Evaluation', 'Job', 'Node'].includes(Topic)) continue;
      if (Payload.Deleted === true) states.delete(identityOf(Topic, Namespace, Key));
      else states.set(identityOf(Topic, Namespace, Key), Index);
    }
  }
  return states;
}

/** The newest index at which each object was published; fails when one goes back. */
function publishedStates(t: Test, published: readonly Message[]): Map<string, number> {
  const states = new Map<string, number>();
  for (const message of published) {
    const { topic, namespace, key } = readEventHead(message.body, 0, message.body.length);
    const identity = identityOf(topic, namespace, key);
    if (indexOf(message) < (states.get(identity) ?? 0))
      t.fail(`${identity} goes from ${String(states.get(identity))} back to ${String(indexOf(message))}`);
    states.set(identity, indexOf(message));
  }
  return states;
}

/** Nodes change silently with each allocation update: their ModifyIndex stays below the event's. */
async function checkComplete(t: Test, published: readonly Message[], since = 0): Promise<void> {
  const states = publishedStates(t, published);
  const missing = [...(await lastStates())].filter(
    ([identity, index]) => index > since && !identity.startsWith('Node/') && (states.get(identity) ?? 0) < index,
  );
  t.strictSame(missing, [], 'every object was published in its last state');
  t.ok([...states.keys()].some((identity) => identity.startsWith('Node/')));
}

function gapsOf({ logged }: Place): unknown[] {
  return logged.flatMap(({ reason }) => (reason === undefined ? [] : [reason]));
}

function snapshots(place: Place): Message[] {
  return place.published.filter(({ headers }) => headers['origin'] === 'snapshot');
}

t.test('the frame of the checkpoint comes first: nothing is missing, and nothing is healed', async (t) => {
  const place = await setPlace(t);
  await runFirehose(t, place);
  await playTo(place.simulator, 100);
  await eventually(() => (place.checkpoint?.index ?? 0) > 80);
  place.simulator.control.cut();
  await playTo(place.simulator, Infinity);
  await eventually(() => place.checkpoint?.index === 355, { timeoutMs: 15_000 });

  t.strictSame(gapsOf(place), []);
  t.strictSame(snapshots(place), []);
  await checkComplete(t, place.published);
});

t.test('a server that was restarted and has replayed its log: nothing is missing', async (t) => {
  const before = await setPlace(t);
  const stop = await runFirehose(t, before);
  await playTo(before.simulator, 150);
  await eventually(() => (before.checkpoint?.index ?? 0) > 100);
  await stop();
  const after: Place = { ...(await setPlace(t)), published: before.published, checkpoint: before.checkpoint };
  await playTo(after.simulator, 150);
  await runFirehose(t, after);
  await playTo(after.simulator, Infinity);
  await eventually(() => after.checkpoint?.index === 355, { timeoutMs: 15_000 });

  t.strictSame(gapsOf(after), []);
  await checkComplete(t, after.published);
});

t.test('evicted: what changed after the checkpoint comes from the lists, between the frames', async (t) => {
  const place = await setPlace(t);
  const stop = await runFirehose(t, place);
  await playTo(place.simulator, 100);
  await eventually(() => (place.checkpoint?.index ?? 0) > 80);
  await stop();
  const checkpoint = place.checkpoint?.index ?? 0;
  await playTo(place.simulator, 220);
  place.simulator.control.evict((place.simulator.state.newestIndex ?? 0) - 5);
  const before = place.published.length;
  await runFirehose(t, place);
  await playTo(place.simulator, Infinity);
  await eventually(() => hasLogged(place, 'Healed from the lists') && place.checkpoint?.index === 355, {
    timeoutMs: 15_000,
  });

  t.ok(place.logged.some(({ reason, fromIndex }) => reason === 'evicted' && fromIndex === checkpoint));
  await checkComplete(t, place.published);
  const made = snapshots(place);
  t.ok(made.length > 5);
  t.ok(
    made.every((message) => indexOf(message) > checkpoint),
    'only what changed since',
  );
  const [first] = made;
  t.match(first, {
    type: /^nomad\.[A-Za-z]+\.Snapshot$/u,
    routingKey: /^event\.[A-Za-z]+\.Snapshot\./u,
    id: /\/snapshot$/u,
    appId: 'hydrant-firehose',
  });
  t.ok(place.published.findIndex((message) => message === first) >= before);
  t.equal(
    new Set(place.published.map(({ id }) => id)).size,
    place.published.length,
    'nothing is repeated: the frame of the checkpoint has gone',
  );
});

t.test('not in the buffer: everything comes from the lists, and the stream after it', async (t) => {
  const place = await setPlace(t);
  await playTo(place.simulator, 150);
  place.checkpoint = { index: place.simulator.state.newestIndex ?? 0, filter, source: place.simulator.url };
  place.simulator.control.restart({ indexes: 'kept' });
  await runFirehose(t, place);
  await eventually(() => hasLogged(place, 'Healed from the lists'), { timeoutMs: 15_000 });
  t.ok(place.logged.some(({ reason }) => reason === 'not-in-buffer'));
  await playTo(place.simulator, Infinity);
  await eventually(() => place.checkpoint?.index === 355);
  await checkComplete(t, place.published);
});

t.test('not in the buffer again and again: what has not changed is not published again', async (t) => {
  const place = await setPlace(t);
  await playTo(place.simulator, 150);
  place.checkpoint = { index: place.simulator.state.newestIndex ?? 0, filter, source: place.simulator.url };
  place.simulator.control.restart({ indexes: 'kept' });
  await runFirehose(t, place);
  const healings = (): number =>
    place.logged.filter(({ msg }) => String(msg).startsWith('Healed from the lists')).length;
  await eventually(() => healings() === 1, { timeoutMs: 15_000 });
  const made = snapshots(place).length;
  for (const count of [2, 3]) {
    place.simulator.control.cut();
    await eventually(() => healings() === count, { timeoutMs: 30_000 });
  }

  t.strictSame(gapsOf(place), ['not-in-buffer', 'not-in-buffer', 'not-in-buffer']);
  t.ok(made > 5);
  t.equal(snapshots(place).length, made);
  await playTo(place.simulator, Infinity);
  await eventually(() => place.checkpoint?.index === 355);
  await checkComplete(t, place.published);
});

t.test('a server that lags: what it sends up to the checkpoint is skipped', async (t) => {
  // 340 is that of a frame; 297 of none, as if it had been lost.
  for (const [index, gaps] of [
    [340, []],
    [297, ['evicted']],
  ] as const) {
    const place = await setPlace(t, 'recorded');
    await playTo(place.simulator, 150);
    // n.b. frames of other topics than ours: a stream that begins with one of them shows nothing.
    while ([233, 239, 260].includes(place.simulator.state.newestIndex ?? 0))
      await playTo(place.simulator, (place.simulator.state.newestIndex ?? 0) + 1);
    place.checkpoint = { index, filter, source: place.simulator.url };
    await runFirehose(t, place);
    await eventually(() => hasLogged(place, 'This server is behind the checkpoint'), { timeoutMs: 15_000 });
    await playTo(place.simulator, Infinity);
    await eventually(
      () => place.checkpoint?.index === 355 && hasLogged(place, 'Healed from the lists') === gaps.length > 0,
      { timeoutMs: 15_000 },
    );

    t.strictSame(gapsOf(place), gaps);
    t.strictSame(
      place.published.filter((message) => indexOf(message) < index),
      [],
    );
    await checkComplete(t, place.published, index);
  }
});

t.test('a rebuilt cluster: everything anew, and the checkpoint with it', async (t) => {
  const place = await setPlace(t);
  place.checkpoint = { index: 100_000, filter, source: place.simulator.url };
  await playTo(place.simulator, 150);
  await runFirehose(t, place);
  await playTo(place.simulator, Infinity);
  await eventually(() => hasLogged(place, 'Healed from the lists') && place.checkpoint?.index === 355, {
    timeoutMs: 15_000,
  });
  t.ok(place.logged.some(({ reason }) => reason === 'rebuilt'));
  await checkComplete(t, place.published);
});

t.test(
  'another Nomad under the name of this one: it is named, nothing is published, and the checkpoint stays',
  async (t) => {
    const place = await setPlace(t);
    const checkpoint = { index: 100_000, filter, source: 'http://nomad.other:4646' };
    place.checkpoint = checkpoint;
    await playTo(place.simulator, 150);
    await runFirehose(t, place);
    const failures = (): unknown[] => place.logged.flatMap(({ err }) => (err === undefined ? [] : [err]));
    await eventually(() => failures().length > 1);

    const [failure] = failures();
    t.match(failure, {
      code: 'nomad-foreign',
      message:
        /^Expected the Nomad at http:\/\/127\.0\.0\.1:\d+ .* http:\/\/nomad\.other:4646 up to index 100000.* end at 1\d\d: .*FIREHOSE_CLUSTER of its own.*remove the checkpoint/u,
    });
    t.strictSame([place.published, place.checkpoint, gapsOf(place)], [[], checkpoint, []]);
  },
);

t.test('a new address of the same Nomad is read as before', async (t) => {
  const place = await setPlace(t);
  await playTo(place.simulator, 150);
  place.checkpoint = { index: 120, filter, source: 'http://nomad.former:4646' };
  await runFirehose(t, place);
  await playTo(place.simulator, Infinity);
  await eventually(() => place.checkpoint?.index === 355, { timeoutMs: 15_000 });
  t.strictSame(gapsOf(place), []);
  t.equal(place.checkpoint.source, place.simulator.url);
});

t.test("other topics than the checkpoint's: what was added comes from the lists, and nothing else", async (t) => {
  const place = await setPlace(t);
  await playTo(place.simulator, Infinity);
  place.checkpoint = { index: 355, filter: 'topics=Allocation,Evaluation,Node namespace=* region=', source: '' };
  await runFirehose(t, place);
  await eventually(() => hasLogged(place, 'Healed from the lists') && place.checkpoint?.filter === filter, {
    timeoutMs: 15_000,
  });
  t.strictSame([...new Set(snapshots(place).map(({ type }) => type))].toSorted(), [
    'nomad.Deployment.Snapshot',
    'nomad.Job.Snapshot',
  ]);
});

t.test("another namespace than the checkpoint's: everything comes from the lists", async (t) => {
  const place = await setPlace(t);
  await playTo(place.simulator, 200);
  place.checkpoint = {
    index: place.simulator.state.newestIndex ?? 0,
    filter: filter.replace('*', 'payments'),
    source: '',
  };
  await runFirehose(t, place);
  await eventually(() => hasLogged(place, 'Healed from the lists') && place.checkpoint?.filter === filter, {
    timeoutMs: 15_000,
  });
  t.strictSame(gapsOf(place), ['filter-changed']);
  await playTo(place.simulator, Infinity);
  await eventually(() => place.checkpoint?.index === 355);
  await checkComplete(t, place.published);
});

t.test('FIREHOSE_START=oldest and =now: all that Nomad has, or what comes from then on', async (t) => {
  for (const start of ['oldest', 'now'] as const) {
    const place = await setPlace(t);
    await playTo(place.simulator, 200);
    const { newestIndex = 0 } = place.simulator.state;
    await runFirehose(t, place, { FIREHOSE_START: start });
    await eventually(() => hasLogged(place, 'Reading the event stream'));
    await playTo(place.simulator, Infinity);
    await eventually(() => place.checkpoint?.index === 355, { timeoutMs: 15_000 });

    t.strictSame([gapsOf(place), snapshots(place)], [[], []], start);
    t.equal(
      place.published.some((message) => indexOf(message) <= newestIndex),
      start === 'oldest',
      start,
    );
    await checkComplete(t, place.published, start === 'oldest' ? 0 : newestIndex);
  }
});

t.test('FIREHOSE_START=snapshot: what there is, then what comes', async (t) => {
  const place = await setPlace(t);
  await playTo(place.simulator, 200);
  await runFirehose(t, place, { FIREHOSE_START: 'snapshot' });
  await eventually(() => hasLogged(place, 'Healed from the lists'), { timeoutMs: 15_000 });
  t.equal(snapshots(place).length, place.published.length);
  await playTo(place.simulator, Infinity);
  await eventually(() => place.checkpoint?.index === 355);
  await checkComplete(t, place.published);
});

t.test('the checkpoint waits for the healing, over the death of the process', async (t) => {
  const place = await setPlace(t);
  await playTo(place.simulator, 150);
  place.checkpoint = { index: 20, filter, source: place.simulator.url };
  place.simulator.control.evict(140);
  const confirmed: Message[] = [];
  const stop = await runFirehose(t, place, {}, (message) => {
    if (message.headers['origin'] === 'snapshot') return new Promise(() => undefined);
    confirmed.push(message);
    return Promise.resolve('routed');
  });
  await playTo(place.simulator, Infinity);
  await eventually(() => hasLogged(place, 'Healed from the lists') && confirmed.length > 0, { timeoutMs: 15_000 });
  await stop();
  t.equal(place.checkpoint.index, 20, 'no snapshot was confirmed');

  await runFirehose(t, place);
  await eventually(() => hasLogged(place, 'Healed from the lists') && place.checkpoint?.index === 355, {
    timeoutMs: 15_000,
  });
  await checkComplete(t, place.published, 20);
});

t.test('lists that are refused hold the checkpoint, and are read when they can be', async (t) => {
  const place = await setPlace(t);
  await playTo(place.simulator, 150);
  place.checkpoint = { index: 20, filter, source: place.simulator.url };
  place.simulator.control.evict(140);
  await runFirehose(t, place);
  await eventually(() => place.published.length > 0);
  await place.simulator.control.answerError();
  place.simulator.control.evict(145);
  place.simulator.control.cut();
  await place.simulator.control.heal();
  await eventually(() => hasLogged(place, 'Healed from the lists'), { timeoutMs: 20_000 });
  await playTo(place.simulator, Infinity);
  await eventually(() => place.checkpoint?.index === 355);
  await checkComplete(t, place.published, 20);
});
