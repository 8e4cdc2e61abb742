import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { isRetryable } from '@hydrant/shared/foundation/errors';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { startFaultProxy } from '@hydrant/testing/fault-proxy';
import { makePrivateFolder, removePrivateFolder } from '@hydrant/testing/private-folder';
import { PrivateProcess } from '@hydrant/testing/private-process';
import { testLog } from '@hydrant/testing/test-log';
import { execFile, spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { judgeFailure, kafkaSink } from './kafka.ts';

const never = new AbortController().signal;
const topic = 'nomad-events';
const hasKcat = spawnSync('kcat', ['-V']).status === 0;

function load(env: Record<string, string>) {
  return loadConfig(kafkaSink.settings, {
    env: { SINK_KAFKA_TOPIC: topic, ...env },
    check: (values) => kafkaSink.check?.(values as Parameters<NonNullable<typeof kafkaSink.check>>[0]) ?? [],
  });
}

function createSink(port: number, env: Record<string, string> = {}): Sink {
  return kafkaSink.create(load({ SINK_KAFKA_BROKERS: `127.0.0.1:${String(port)}`, ...env }), {
    log: testLog(),
    name: 'kafka',
  });
}

/**
 * Speaks Kafka's protocol and keeps what it is given: the mock cluster of librdkafka, in a kcat that waits for its
 * input. Each start is another cluster, on another port.
 */
async function startMockCluster(t: Test) {
  const folder = await makePrivateFolder('kafka');
  const logFile = join(folder, 'cluster.log');
  const find = (output: string): number =>
    Number([...output.matchAll(/bootstrap\.servers=127\.0\.0\.1:(\d+)/gu)].at(-1)?.[1] ?? 0);
  const cluster = new PrivateProcess({
    name: "kcat's mock cluster",
    command: 'sh',
    args: ['-c', 'sleep 86400 | kcat -P -b none -t none -X test.mock.num.brokers=1 -d mock'],
    env: { PATH: process.env['PATH'] ?? '' },
    folder,
    logFile,
    isReady: async (readOutput) => find(await readOutput()) > 0,
    readyTimeoutMs: 10_000,
    pollMs: 20,
  });
  await cluster.start();
  t.teardown(async () => {
    await cluster.kill();
    await removePrivateFolder(folder);
  });
  let port = find(await readFile(logFile, 'utf8'));
  return {
    cluster,
    get targetPort() {
      return port;
    },
    async start() {
      await cluster.start();
      port = find(await readFile(logFile, 'utf8'));
    },
    /** What lies in the topic, each as kcat's `format` has it. */
    async read(format: string): Promise<readonly string[]> {
      const { stdout } = await promisify(execFile)(
        'kcat',
        ['-C', '-q', '-e', '-o', 'beginning', '-b', `127.0.0.1:${String(port)}`, '-t', topic, '-f', `${format}\\x1e`],
        { maxBuffer: 1e8 },
      );
      return stdout.split('\x1e').slice(0, -1);
    },
  };
}

if (hasKcat) {
  sinkContract(t, {
    name: 'kafka',
    without: {
      refuse: 'the mock cluster takes everything; the table below has what Kafka refuses',
      refuseOne: 'a set of records is taken whole or not at all',
    },
    async create(t) {
      const server = await startMockCluster(t);
      const proxy = await startFaultProxy(t, server);
      return {
        sink: createSink(proxy.port, { SINK_KAFKA_KEY: '{namespace}.{job}' }),
        arrived: () => server.read('%s'),
        breakDown: () => server.cluster.kill(),
        mend: () => server.start(),
        stall: () => {
          server.cluster.freeze();
        },
      };
    },
  });

  void t.test('a record has the id and type of its message, and the key that was set', async (t) => {
    const server = await startMockCluster(t);
    for (const env of [{}, { SINK_KAFKA_KEY: '{namespace}.{job}' }]) {
      const sink = createSink(server.targetPort, env);
      await sink.connect(never);
      t.teardown(() => sink.close());
      await sink.write([makeSinkMessage(1)], never);
    }
    const headers = `id=${makeSinkMessage(1).id},type=nomad.Allocation.AllocationUpdated`;
    t.same([...(await server.read('%k|%h'))].sort(), [`default.web|${headers}`, `|${headers}`].sort());
  });

  void t.test('brokers that cannot be reached are named as such, and connecting is tried again', async (t) => {
    const server = await startMockCluster(t);
    await server.cluster.kill();
    const sink = createSink(server.targetPort);
    t.teardown(() => sink.close());
    await t.rejects(sink.connect(never), { code: 'sink-retryable', message: /ECONNREFUSED/u });
    await t.rejects(sink.healthcheck(never), { code: 'sink-retryable' });
  });
} else {
  void t.test('messages arrive in a topic', { skip: 'kcat is not installed' }, () => undefined);
}

void t.test('what Kafka says of the records is refused, the rest waits and says what to do', (t) => {
  const say = (type: string, depth: number): Error => {
    const error = Object.assign(new Error(`it says ${type}`), { type });
    return depth === 0 ? error : new Error('gave up', { cause: say(type, depth - 1) });
  };
  const cases: readonly (readonly [string, boolean, RegExp])[] = [
    ['MESSAGE_TOO_LARGE', false, /max\.message\.bytes/u],
    ['RECORD_LIST_TOO_LARGE', false, /RECORD_LIST/u],
    ['INVALID_RECORD', false, /INVALID_RECORD/u],
    ['UNKNOWN_TOPIC_OR_PARTITION', true, /make the topic/u],
    ['TOPIC_AUTHORIZATION_FAILED', true, /right to write/u],
    ['SASL_AUTHENTICATION_FAILED', true, /SINK_KAFKA_PASSWORD/u],
    ['NOT_LEADER_FOR_PARTITION', true, /NOT_LEADER/u],
    ['NOT_ENOUGH_REPLICAS', true, /NOT_ENOUGH/u],
    ['REQUEST_TIMED_OUT', true, /TIMED_OUT/u],
    ['SOMETHING_NEW', true, /SOMETHING_NEW/u],
  ];
  for (const [type, retryable, message] of cases) {
    for (const depth of [0, 2]) {
      const failure = judgeFailure(say(type, depth), topic);
      t.equal(isRetryable(failure), retryable, type);
      t.match(failure.message, message);
    }
  }
  t.match(judgeFailure(new Error('connect ECONNREFUSED'), topic), {
    code: 'sink-retryable',
    message: /ECONNREFUSED$/u,
  });
  t.match(judgeFailure('thrown', topic), { code: 'sink-retryable', message: /thrown$/u });
  t.end();
});

void t.test('settings that cannot work are refused', (t) => {
  const cases: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{ SINK_KAFKA_BROKERS: 'kafka' }, /`SINK_KAFKA_BROKERS`.*"kafka"/u],
    [{ SINK_KAFKA_BROKERS: ',' }, /at least one broker/u],
    [{ SINK_KAFKA_BROKERS: 'k:9092', SINK_KAFKA_USER: 'a' }, /set together/u],
  ];
  for (const [env, message] of cases) t.throws(() => load(env), { message });
  t.end();
});
