import { systemClock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import type { Bus } from '@hydrant/shared/bus/bus';
import { readEventMessage } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import { startSimulator } from '@hydrant/simulator/simulator';
import { eventually } from '@hydrant/testing/eventually';
import { readRecording } from '@hydrant/testing/recordings';
import { recordingLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { readFirehoseOptions } from './config.ts';
import { createFirehose } from './firehose.ts';
import { createFakeStore, forever, hash, recordedHashes, run, schema } from './firehose-cases-contract.ts';

t.test('every event of a recording is published with its own bytes and the checkpoint follows', async (t) => {
  const expected = await recordedHashes();
  const simulator = await startSimulator();
  t.teardown(() => simulator.close());
  const published: Message[] = [];
  const store = createFakeStore();
  const { firehose, metrics, logged } = await run(
    t,
    { NOMAD_ADDR: simulator.url, FIREHOSE_CLUSTER: 'prod' },
    {
      publish(message) {
        published.push(message);
        return Promise.resolve('routed');
      },
    },
    store,
  );
  await eventually(() => published.length === expected.length);

  await firehose.stop(forever);

  t.strictSame(published.map(hash), expected);
  t.equal(new Set(published.map(({ id }) => id)).size, expected.length, 'ids are unique');
  const [first] = published;
  const last = published.at(-1);
  if (first === undefined || last === undefined) throw new Error('Expected messages');
  t.match(first, {
    id: /^prod\/8\/Node\/\/[0-9a-f-]{36}\/0$/u,
    routingKey: 'event.Node.NodeRegistration._._',
    type: 'nomad.Node.NodeRegistration',
  });
  t.strictSame(readEventMessage(first), {
    cluster: 'prod',
    region: 'default',
    index: 8,
    origin: 'stream',
    topic: 'Node',
    type: 'NodeRegistration',
  });
  t.match(store.stored, {
    index: readEventMessage(last).index,
    epoch: 0,
    topicIndexes: { Allocation: Number, Job: Number },
    filter: 'topics=Allocation,Deployment,Evaluation,Job,Node namespace=* region=',
    source: simulator.url,
    namespacesAt: 100,
  });
  t.match(
    await metrics.text(),
    new RegExp(`hydrant_firehose_events_published_total ${String(expected.length)}\n`, 'u'),
  );
  t.ok(logged.some(({ msg }) => msg === 'Published everything that was read'));
});

t.test('a bus that fails and processes that die lose nothing and repeat ids', async (t) => {
  const expected = await recordedHashes();
  const simulator = await startSimulator();
  t.teardown(() => simulator.close());
  const taken = new Map<string, string>();
  const store = createFakeStore();
  let calls = 0;
  let isHanging = false;
  const bus: Pick<Bus, 'publish'> = {
    publish(message) {
      calls += 1;
      if (calls % 97 === 0)
        return Promise.reject(new HydrantError('Expected a connection', { code: 'bus-unavailable', retryable: true }));
      const known = taken.get(message.id) ?? hash(message);
      if (known !== hash(message)) t.fail(`${message.id} stands for two events`);
      taken.set(message.id, known);
      if (calls % 150 !== 0) return Promise.resolve('routed');
      isHanging = true;
      return new Promise(() => undefined);
    },
  };
  for (let life = 0; taken.size < expected.length && life < 50; life += 1) {
    isHanging = false;
    const { firehose } = await run(t, { NOMAD_ADDR: simulator.url, FIREHOSE_SPOOL_MAX_BYTES: '200KiB' }, bus, store);
    await eventually(() => isHanging || taken.size === expected.length);
    await firehose.stop(AbortSignal.abort());
  }

  t.strictSame([...taken.values()].toSorted(), expected.toSorted());
});

t.test('copies of nodes are left out on demand, and the checkpoint goes past them', async (t) => {
  const simulator = await startSimulator({ paused: true, speed: 1000 });
  t.teardown(() => simulator.close());
  const published: Message[] = [];
  const store = createFakeStore();
  const publish: Bus['publish'] = (message) => {
    published.push(message);
    return Promise.resolve('routed');
  };
  const { firehose, metrics } = await run(
    t,
    { NOMAD_ADDR: simulator.url, FIREHOSE_TOPICS: 'Node', FIREHOSE_NODE_UPDATES: 'changes' },
    { publish },
    store,
  );
  simulator.control.resume();
  const leftOut = async (): Promise<number> =>
    Number(/node_copies_left_out_total (\d+)/u.exec(await metrics.text())?.[1]);

  await eventually(async () => (await leftOut()) === 123);
  await eventually(() => published.length === 5);
  await firehose.stop(forever);

  const recorded = (await readRecording('crashing-cluster')).map(
    (line) => JSON.parse(line.toString()) as { Index?: number; Events?: { Topic: string }[] },
  );
  const last = recorded.findLast(({ Events = [] }) => Events.some(({ Topic }) => Topic === 'Node'))?.Index;
  t.equal(store.stored?.index, last, 'which is that of a copy');
  t.not(published.at(-1)?.headers['index'], last);
});

t.test('why the stream is not there is told by the log, the metric and the health', async (t) => {
  const simulator = await startSimulator();
  t.teardown(() => simulator.close());
  await simulator.control.answerHtml();
  const { firehose, metrics, logged } = await run(
    t,
    { NOMAD_ADDR: simulator.url },
    { publish: () => Promise.resolve('routed') },
    createFakeStore(),
  );

  await eventually(() =>
    logged.some(({ level, msg }) => level === 'warn' && msg === 'The event stream cannot be opened, will retry'),
  );

  t.match(await metrics.text(), /stream_failures_total\{reason="nomad-html"\} [1-9]/u);
  t.match(firehose.healthChecks[0]?.check(), { status: 'fail', detail: /HTML page "Sign in".*Check NOMAD_ADDR/u });
  await simulator.control.heal();
  await eventually(() => firehose.healthChecks[0]?.check().status === 'pass');
});

t.test('a checkpoint made with other topics is told of', async (t) => {
  const simulator = await startSimulator();
  t.teardown(() => simulator.close());
  const store = createFakeStore({ index: 100, filter: 'topics=Job namespace=* region=', source: '' });

  const { metrics, logged } = await run(
    t,
    { NOMAD_ADDR: simulator.url },
    { publish: () => Promise.resolve('routed') },
    store,
  );

  await eventually(() =>
    logged.some(
      ({ msg, reason }) =>
        msg === 'The event stream has a gap, healing it from the lists' && reason === 'filter-changed',
    ),
  );
  t.match(await metrics.text(), /hydrant_firehose_gaps_total\{reason="filter-changed"\} 1\n/u);
});

t.test('a refusal is explained once, until its reason changes, and the stream is tried on', async (t) => {
  const simulator = await startSimulator({ token: 'right' });
  t.teardown(() => simulator.close());
  simulator.control.restrict(['payments/read-job']);
  const { firehose, metrics, logged } = await run(
    t,
    { NOMAD_ADDR: simulator.url, NOMAD_TOKEN: 'right' },
    { publish: () => Promise.resolve('routed') },
    createFakeStore(),
  );
  const told = (): (string | undefined)[] =>
    logged.filter(({ reason }) => reason !== undefined).map(({ level }) => level as string);
  const refusals = async (): Promise<number> =>
    Number(/denials_total\{cause="refused"\} (\d+)/u.exec(await metrics.text())?.[1]);

  await eventually(async () => (await refusals()) >= 2);

  t.strictSame(told(), ['error']);
  t.match(
    logged.find(({ level }) => level === 'error'),
    { msg: /refuses the event stream/u, reason: /"payments".*403 Permission denied/u },
  );
  t.match(firehose.healthChecks[0]?.check(), {
    status: 'fail',
    detail: /refused: the token may not read .*"payments"/u,
  });
  simulator.control.restrict(['payments/*']);
  await eventually(() => told().length === 2);
  t.strictSame(told(), ['error', 'warn'], 'the lists are allowed now');
  simulator.control.restrict([]);
  await eventually(() => firehose.healthChecks[0]?.check().status === 'pass');
  simulator.control.restrict(['payments/*']);
  await eventually(() => told().length === 3);
});

t.test('a checkpoint that is none ends the start, and stopping is safe at any time', async (t) => {
  const store = createFakeStore();
  store.load = () =>
    Promise.reject(new HydrantError('Expected a number', { code: 'checkpoint-invalid', retryable: false }));
  await t.rejects(run(t, {}, { publish: () => Promise.resolve('routed') }, store), { code: 'checkpoint-invalid' });

  store.load = () => Promise.reject(new HydrantError('Expected Redis', { code: 'redis-unavailable', retryable: true }));
  const { log } = recordingLog();
  const options = readFirehoseOptions(loadConfig(schema, { env: {} }));
  const ports = {
    bus: { publish: () => Promise.resolve('routed' as const), hasQueue: () => Promise.resolve(true) },
    spool: createMemorySpool({ maxBytes: 1 }),
    checkpointStore: store,
    clock: systemClock,
  };
  const firehose = createFirehose(options, {
    ...ports,
    log,
    metrics: createMetrics({ service: 'firehose', version: '0' }),
  });
  const starting = new AbortController();
  const started = firehose.start(starting.signal);
  starting.abort();
  await firehose.stop(forever);
  await started;
  await firehose.stop(forever);
});
