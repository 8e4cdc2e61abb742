import { createHash } from 'node:crypto';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import type { Bus } from '@hydrant/shared/bus/bus';
import { readEventMessage } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { createMetrics, type Metrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import { startSimulator } from '@hydrant/simulator/simulator';
import { eventually } from '@hydrant/testing/eventually';
import { readRecordedList, readRecording, readRecordingFile } from '@hydrant/testing/recordings';
import { recordingLog, type RecordingLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import type { Checkpoint, CheckpointStore } from './checkpoint/checkpoint-store.ts';
import { checkNomadSettings, nomadSettings, readFirehoseOptions, spoolSettings, streamSettings } from './config.ts';
import { createFirehose, type Firehose } from './firehose.ts';

const forever = new AbortController().signal;
const schema = { ...nomadSettings, ...streamSettings, ...spoolSettings };

function createFakeStore(initial?: Checkpoint): CheckpointStore & { stored: Checkpoint | undefined } {
  return {
    description: 'a fake',
    stored: initial,
    load() {
      return Promise.resolve(this.stored);
    },
    save(checkpoint) {
      this.stored = checkpoint;
      return Promise.resolve();
    },
  };
}

interface Run {
  readonly firehose: Firehose;
  readonly metrics: Metrics;
  readonly logged: RecordingLog['lines'];
}

async function run(
  t: Test,
  env: Record<string, string>,
  bus: Pick<Bus, 'publish'> & Partial<Bus>,
  checkpointStore: CheckpointStore,
): Promise<Run> {
  const config = loadConfig(schema, { env, check: checkNomadSettings });
  const metrics = createMetrics({ service: 'firehose', version: '0' });
  const { log, lines: logged } = recordingLog();
  const spool = createMemorySpool({ maxBytes: config.FIREHOSE_SPOOL_MAX_BYTES });
  const firehose = createFirehose(readFirehoseOptions(config), {
    bus: { hasQueue: () => Promise.resolve(true), ...bus },
    spool,
    checkpointStore,
    log,
    metrics,
    clock: systemClock,
  });
  await firehose.start(forever);
  t.teardown(() => firehose.stop(AbortSignal.abort()));
  return { firehose, metrics, logged };
}

async function recordedHashes(): Promise<string[]> {
  const text = (await readRecordingFile('crashing-cluster', 'event-hashes.ndjson.gz')).toString();
  return text
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { sha256: string }).sha256);
}

function hash({ body }: Message): string {
  return createHash('sha256').update(body).digest('hex');
}

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

t.test('messages in the form of nomad-firehose hold the checkpoint back like events', async (t) => {
  const simulator = await startSimulator({ recording: 'nomad-firehose-parity' });
  t.teardown(() => simulator.close());
  const taken = new Map<string, string>();
  const store = createFakeStore();
  let isHanging = false;
  let held: number | undefined;
  const bus: Pick<Bus, 'publish'> = {
    publish(message) {
      if (message.routingKey === 'allocations' && (taken.size + 1) % 400 === 0 && !taken.has(message.id)) {
        isHanging = true;
        held = Number(message.headers['index']);
        taken.set(message.id, '');
        return new Promise(() => undefined);
      }
      if (message.routingKey === 'allocations') taken.set(message.id, message.body.toString());
      return Promise.resolve('routed');
    },
  };
  let lives = 0;
  for (; (taken.size < 1_204 || [...taken.values()].includes('')) && lives < 20; lives += 1) {
    isHanging = false;
    const { firehose } = await run(t, { NOMAD_ADDR: simulator.url, FIREHOSE_COMPAT: 'allocations' }, bus, store);
    await eventually(() => isHanging || (taken.size === 1_204 && ![...taken.values()].includes('')));
    await firehose.stop(AbortSignal.abort());
    if (isHanging)
      t.ok(
        (store.stored?.index ?? 0) < (held ?? 0),
        `checkpoint ${String(store.stored?.index)} is before ${String(held)}`,
      );
  }

  const printed = (await readRecordingFile('nomad-firehose-parity', 'allocations.out.ndjson.gz'))
    .toString()
    .split('\n');
  t.ok(lives > 2, `${String(lives)} processes`);
  t.equal(taken.size, 1_204);
  t.equal([...taken.values()].filter((body) => body === '').length, 0);
  const tell = (body: string): string =>
    /"AllocationID":"[^"]*"|"TaskName":"[^"]*"|"TaskEvent":.*/gu[Symbol.match](body)?.join() ?? '';
  const told = new Set(printed.map(tell));
  t.equal([...taken.values()].filter((body) => !told.has(tell(body))).length, 0);
});

t.test('job stubs come from the list, and the checkpoint comes to the end behind them', async (t) => {
  const simulator = await startSimulator();
  t.teardown(() => simulator.close());
  const published: Message[] = [];
  const store = createFakeStore();
  const env = { NOMAD_ADDR: simulator.url, FIREHOSE_COMPAT: 'jobliststubs', FIREHOSE_TOPICS: 'Job' };
  const { firehose } = await run(
    t,
    env,
    {
      publish(message) {
        published.push(message);
        return Promise.resolve('routed');
      },
    },
    store,
  );
  await eventually(() => store.stored?.index === 352);

  const stubs = published.filter(({ routingKey }) => routingKey === 'jobliststubs');
  const firstChange = Math.min(...published.map(({ headers }) => Number(headers['index'])));
  const listed = (await readRecordedList('crashing-cluster', 'jobs')).filter(
    ({ ModifyIndex: index }) => Number(index) >= firstChange,
  );
  t.strictSame(
    stubs.map(({ id }) => id).toSorted(),
    listed
      .map(
        (job) => `default/jobliststubs/${String(job['Namespace'])}/${String(job['ID'])}/${String(job['ModifyIndex'])}`,
      )
      .toSorted(),
  );
  t.match(stubs[0], { type: 'nomad-firehose.jobliststubs', headers: { origin: 'stream' } });
  t.match(firehose.healthChecks.find(({ name }) => name === 'job-list')?.check(), { status: 'pass' });
});

t.test('nothing is published before the queues exist, and nothing of what was read meanwhile is lost', async (t) => {
  const expected = await recordedHashes();
  const simulator = await startSimulator();
  t.teardown(() => simulator.close());
  const published: Message[] = [];
  const queues = new Set(['hydrant.sink.http']);
  const bus: Partial<Bus> & Pick<Bus, 'publish'> = {
    hasQueue: (name) => Promise.resolve(queues.has(name)),
    publish(message) {
      published.push(message);
      return Promise.resolve('routed');
    },
  };
  const { firehose, metrics, logged } = await run(
    t,
    { NOMAD_ADDR: simulator.url, FIREHOSE_WAIT_FOR_QUEUES: 'hydrant.sink.http,late' },
    bus,
    createFakeStore(),
  );
  const check = firehose.healthChecks.find(({ name }) => name === 'queues');

  await eventually(async () =>
    (await metrics.text()).includes(`hydrant_firehose_spool_events ${String(expected.length)}\n`),
  );
  t.equal(published.length, 0);
  t.match(check?.check(), { status: 'fail', detail: 'waiting with publishing for "late"' });
  t.strictSame(
    logged.filter(({ msg }) => String(msg).includes('FIREHOSE_WAIT_FOR_QUEUES')).map(({ queues: named }) => named),
    [['late']],
  );
  queues.add('late');
  await eventually(() => published.length === expected.length);

  t.strictSame(published.map(hash), expected);
  t.match(check?.check(), { status: 'pass' });
});

t.test('a firehose that waits for queues stops at once, and leaves the checkpoint', async (t) => {
  const simulator = await startSimulator();
  t.teardown(() => simulator.close());
  const store = createFakeStore();
  const bus: Partial<Bus> & Pick<Bus, 'publish'> = {
    hasQueue: () => new Promise(() => undefined),
    publish: () => Promise.reject(new Error('Expected no publish')),
  };
  const { firehose, metrics, logged } = await run(
    t,
    { NOMAD_ADDR: simulator.url, FIREHOSE_WAIT_FOR_QUEUES: 'late' },
    bus,
    store,
  );
  await eventually(async () => /hydrant_firehose_spool_events [1-9]/u.test(await metrics.text()));

  await firehose.stop(forever);

  t.equal(store.stored, undefined);
  t.ok(logged.some(({ msg }) => String(msg).startsWith('Stopping with events that are not confirmed')));
});

t.test('what is read unredacted is warned of once', async (t) => {
  const simulator = await startSimulator();
  t.teardown(() => simulator.close());
  const cases: readonly (readonly [Record<string, string>, number])[] = [
    [{}, 1],
    [{ FIREHOSE_TOPICS: '*' }, 1],
    [{ FIREHOSE_REDACT: 'tokens' }, 1],
    [{ FIREHOSE_REDACT: 'none' }, 2],
    [{ FIREHOSE_REDACT: 'config' }, 0],
    [{ FIREHOSE_TOPICS: 'Node' }, 0],
  ];
  for (const [env, warnings] of cases) {
    const published: Message[] = [];
    const { firehose, logged } = await run(
      t,
      { NOMAD_ADDR: simulator.url, ...env },
      {
        publish(message) {
          published.push(message);
          return Promise.resolve('routed');
        },
      },
      createFakeStore(),
    );
    await eventually(() => published.length > 100 || (env['FIREHOSE_TOPICS'] === 'Node' && published.length > 50));
    await firehose.stop(forever);
    t.equal(logged.filter(({ msg }) => String(msg).includes('FIREHOSE_REDACT')).length, warnings, JSON.stringify(env));
    t.equal(
      published.some(({ body }) => /"Config":\{"/u.test(body.toString())),
      env['FIREHOSE_TOPICS'] !== 'Node' && env['FIREHOSE_REDACT'] !== 'config',
    );
  }
});

t.test('settings are read as documented, all problems at once', (t) => {
  const config = loadConfig(schema, {
    env: {
      NOMAD_ADDR: 'https://a:4646, unix:///secrets/api.sock',
      NOMAD_SKIP_VERIFY: 'true',
      FIREHOSE_TOPICS: 'Job, Node',
    },
  });
  t.match(readFirehoseOptions(config), {
    cluster: 'default',
    topics: ['Job', 'Node'],
    namespace: '*',
    start: 'oldest',
    redact: ['tokens'],
    compat: [],
    waitForQueues: [],
    addresses: [{ label: 'https://a:4646' }, { socketPath: '/secrets/api.sock' }],
    access: { token: null, skipVerify: true },
  });
  const redacts = ['tokens', 'none', 'env,config', 'config, env'].map(
    (words) => readFirehoseOptions(loadConfig(schema, { env: { FIREHOSE_REDACT: words } })).redact,
  );
  t.strictSame(redacts, [['tokens'], [], ['tokens', 'env', 'config'], ['tokens', 'env', 'config']]);
  const { access } = readFirehoseOptions(
    loadConfig(schema, { env: { NOMAD_TOKEN: 'abc\n', NOMAD_HTTP_AUTH: 'user:password\r\n' } }),
  );
  t.match(access, { token: 'abc', httpAuth: 'user:password' }, 'the end of a line is no part of a secret');
  t.throws(() => loadConfig(schema, { env: { NOMAD_TOKEN: 'canary\nx' } }), {
    message: /`NOMAD_TOKEN` to be a token .* not shown/u,
  });
  t.throws(() => loadConfig(schema, { env: { FIREHOSE_REDACT: 'none,env' } }), { message: /"none" alone/u });
  const verified = ['1', 't', 'True', 'TRUE', '0', 'F', 'false'].map(
    (word) => loadConfig(schema, { env: { NOMAD_SKIP_VERIFY: word } }).NOMAD_SKIP_VERIFY,
  );
  t.strictSame(verified, [true, true, true, true, false, false, false], 'as Go reads them');
  const wrong = {
    NOMAD_SKIP_VERIFY: 'yes',
    NOMAD_ADDR: 'localhost:4646',
    FIREHOSE_TOPICS: 'Job,Job',
    FIREHOSE_START: 'yesterday',
    FIREHOSE_REDACT: 'env,secrets',
    FIREHOSE_COMPAT: 'allocation',
    FIREHOSE_SPOOL_MAX_BYTES: 'much',
  };
  for (const name of Object.keys(wrong)) {
    t.throws(
      () => loadConfig(schema, { env: wrong }),
      { code: 'config-invalid', message: new RegExp(`Expected \`${name}\``, 'u') },
      name,
    );
  }
  t.throws(
    () =>
      loadConfig(schema, {
        env: { FIREHOSE_TOPICS: 'Job', FIREHOSE_COMPAT: 'jobs,allocations' },
        check: checkNomadSettings,
      }),
    { message: /to have Allocation, which/u },
  );
  t.throws(() => loadConfig(schema, { env: { NOMAD_CLIENT_CERT: 'cert.pem' }, check: checkNomadSettings }), {
    message: /both or not at all/u,
  });
  t.end();
});
