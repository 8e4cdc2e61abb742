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
import { readRecordingFile } from '@hydrant/testing/recordings';
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

async function run(t: Test, env: Record<string, string>, bus: Pick<Bus, 'publish'>, checkpointStore: CheckpointStore): Promise<Run> {
  const config = loadConfig(schema, { env, check: checkNomadSettings });
  const metrics = createMetrics({ service: 'firehose', version: '0' });
  const { log, lines: logged } = recordingLog();
  const spool = createMemorySpool({ maxBytes: config.FIREHOSE_SPOOL_MAX_BYTES });
  const firehose = createFirehose(readFirehoseOptions(config), { bus, spool, checkpointStore, log, metrics, clock: systemClock });
  await firehose.start(forever);
  t.teardown(() => firehose.stop(AbortSignal.abort()));
  return { firehose, metrics, logged };
}

async function recordedHashes(): Promise<string[]> {
  const text = (await readRecordingFile('crashing-cluster', 'event-hashes.ndjson.gz')).toString();
  return text.trim().split('\n').map((line) => (JSON.parse(line) as { sha256: string }).sha256);
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
  const { firehose, metrics, logged } = await run(t, { NOMAD_ADDR: simulator.url, FIREHOSE_CLUSTER: 'prod' }, {
    publish(message) {
      published.push(message);
      return Promise.resolve('routed');
    },
  }, store);
  await eventually(() => published.length === expected.length);

  await firehose.stop(forever);

  t.strictSame(published.map(hash), expected);
  t.equal(new Set(published.map(({ id }) => id)).size, expected.length, 'ids are unique');
  const [first] = published;
  const last = published.at(-1);
  if (first === undefined || last === undefined) throw new Error('Expected messages');
  t.match(first, { id: /^prod\/8\/Node\/\/[0-9a-f-]{36}\/0$/u, routingKey: 'event.Node.NodeRegistration._._', type: 'nomad.Node.NodeRegistration' });
  t.strictSame(readEventMessage(first), { cluster: 'prod', region: 'default', index: 8, origin: 'stream', topic: 'Node', type: 'NodeRegistration' });
  t.strictSame(store.stored, { index: readEventMessage(last).index, filter: 'topics=Allocation,Deployment,Evaluation,Job,Node namespace=* region=', source: simulator.url });
  t.match(await metrics.text(), new RegExp(`hydrant_firehose_events_published_total ${String(expected.length)}\n`, 'u'));
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
      if (calls % 97 === 0) return Promise.reject(new HydrantError('Expected a connection', { code: 'bus-unavailable', retryable: true }));
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

t.test('a checkpoint made with other topics is told of', async (t) => {
  const simulator = await startSimulator();
  t.teardown(() => simulator.close());
  const store = createFakeStore({ index: 100, filter: 'topics=Job namespace=* region=', source: '' });

  const { metrics, logged } = await run(t, { NOMAD_ADDR: simulator.url }, { publish: () => Promise.resolve('routed') }, store);

  await eventually(() => logged.some(({ msg, reason }) => msg === 'Frames of the event stream may be missing' && reason === 'filter-changed'));
  t.match(await metrics.text(), /hydrant_firehose_gaps_total\{reason="filter-changed"\} 1\n/u);
});

t.test('a checkpoint that is none ends the start, and stopping is safe at any time', async (t) => {
  const store = createFakeStore();
  store.load = () => Promise.reject(new HydrantError('Expected a number', { code: 'checkpoint-invalid', retryable: false }));
  await t.rejects(run(t, {}, { publish: () => Promise.resolve('routed') }, store), { code: 'checkpoint-invalid' });

  store.load = () => Promise.reject(new HydrantError('Expected Redis', { code: 'redis-unavailable', retryable: true }));
  const { log } = recordingLog();
  const options = readFirehoseOptions(loadConfig(schema, { env: {} }));
  const ports = { bus: { publish: () => Promise.resolve('routed' as const) }, spool: createMemorySpool({ maxBytes: 1 }), checkpointStore: store, clock: systemClock };
  const firehose = createFirehose(options, { ...ports, log, metrics: createMetrics({ service: 'firehose', version: '0' }) });
  const starting = new AbortController();
  const started = firehose.start(starting.signal);
  starting.abort();
  await firehose.stop(forever);
  await started;
  await firehose.stop(forever);
});

t.test('settings are read as documented, all problems at once', (t) => {
  const config = loadConfig(schema, { env: { NOMAD_ADDR: 'https://a:4646, unix:///secrets/api.sock', NOMAD_SKIP_VERIFY: 'true', FIREHOSE_TOPICS: 'Job, Node' } });
  t.match(readFirehoseOptions(config), {
    cluster: 'default',
    topics: ['Job', 'Node'],
    namespace: '*',
    start: 'oldest',
    addresses: [{ label: 'https://a:4646' }, { socketPath: '/secrets/api.sock' }],
    access: { token: null, skipVerify: true },
  });
  const wrong = { NOMAD_ADDR: 'localhost:4646', FIREHOSE_TOPICS: 'Job,Job', FIREHOSE_START: 'snapshot', FIREHOSE_SPOOL_MAX_BYTES: 'much' };
  for (const name of Object.keys(wrong)) {
    t.throws(() => loadConfig(schema, { env: wrong }), { code: 'config-invalid', message: new RegExp(`Expected \`${name}\``, 'u') }, name);
  }
  t.throws(() => loadConfig(schema, { env: { NOMAD_CLIENT_CERT: 'cert.pem' }, check: checkNomadSettings }), { message: /both or not at all/u });
  t.end();
});
