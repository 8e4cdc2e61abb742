import type { Bus } from '@hydrant/shared/bus/bus';
import type { Message } from '@hydrant/shared/messages/message';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { startSimulator } from '@hydrant/simulator/simulator';
import { eventually } from '@hydrant/testing/eventually';
import { readRecordedList, readRecordingFile } from '@hydrant/testing/recordings';
import t from 'tap';
import { checkNomadSettings, readFirehoseOptions } from './config.ts';
import { createFakeStore, forever, hash, recordedHashes, run, schema } from './firehose-cases-contract.ts';

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
