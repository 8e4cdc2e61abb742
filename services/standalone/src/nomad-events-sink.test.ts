import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckpointStore } from '@hydrant/firehose/checkpoint/checkpoint-store';
import { createFileCheckpointStore } from '@hydrant/firehose/checkpoint/file-checkpoint-store';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { loadServiceConfig } from '@hydrant/shared/runtime/run-service';
import { testFolder } from '@hydrant/testing/test-folder';
import t from 'tap';
import { readParts, standaloneInput, standaloneSchema } from './config.ts';
import { translateFormerSettings } from './nomad-events-sink-config.ts';
import { readFormerIndex, withFormerIndex } from './nomad-events-sink-index.ts';

const forever = new AbortController().signal;
const root = { sinks: { http: { root_url: 'http://collector:3333' } } };
const query = { topics: ['Deployment', 'Allocation', 'Job'], namespace: 'default', region: '' };

const sample = `
[app]
log = "debug"
data_dir = "./data/events"
commit_index_interval = "30s"
[stream]
topics = ["Deployment", "Allocation", "Evaluation", "Job", "Node"]
max_reconnect_attempts = 5
[sinks]
[sinks.batch]
workers = 10
queue_size = 100
idle_timeout = "5s"
events_count = 5
[sinks.http]
root_url = "http://localhost:3333"
timeout = "7s"
max_idle_conns = 100
[sinks.http.healthcheck]
enabled = false
url = "http://localhost:3333"
status = 405
`;

/** As main does it. */
function load(env: Record<string, string>) {
  const { config } = loadServiceConfig(
    { schema: (lookup, given) => standaloneSchema(given, lookup), input: standaloneInput },
    env,
  );
  return { config, parts: readParts(env, config) };
}

t.test('each key of nomad-events-sink becomes a setting', async (t) => {
  const cases: readonly (readonly [keys: Record<string, unknown>, settings: Record<string, unknown>])[] = [
    [
      {},
      {
        LOG_LEVEL: 'info',
        SINK_TYPE: 'http',
        SINK_CONCURRENCY: 2,
        SINK_BATCH_EVENTS: 5,
        SINK_BATCH_AGE: '5s',
        FIREHOSE_NAMESPACE: 'default',
        FIREHOSE_REGION: '',
        SINK_HTTP_FORMAT: 'array',
      },
    ],
    [
      { app: { log: 'debug', data_dir: '/var/lib/nes', commit_index_interval: '30s' } },
      { LOG_LEVEL: 'debug', DATA_DIR: '/var/lib/nes' },
    ],
    [{ app: { log: 'trace' } }, { LOG_LEVEL: 'info' }],
    [{ stream: { topics: ['Job', 'Node', 'Job'], max_reconnect_attempts: 5 } }, { FIREHOSE_TOPICS: ['Job', 'Node'] }],
    [{ stream: { topics: ['*'] } }, { FIREHOSE_TOPICS: ['*'] }],
    [
      { sinks: { batch: { workers: 10, queue_size: 100, idle_timeout: '1m', events_count: 50 } } },
      { SINK_CONCURRENCY: 10, SINK_BATCH_AGE: '1m', SINK_BATCH_EVENTS: 50 },
    ],
    [
      { sinks: { batch: { workers: 0, idle_timeout: 0, events_count: 0 } } },
      { SINK_CONCURRENCY: 2, SINK_BATCH_AGE: '5s', SINK_BATCH_EVENTS: 5 },
    ],
    [{ sinks: { batch: { idle_timeout: 2_000_000_000 } } }, { SINK_BATCH_AGE: '2000000000ns' }],
    [
      { sinks: { http: { root_url: 'http://a/', timeout: '7s', max_idle_conns: 9 } } },
      { SINK_HTTP_ADDRESS: 'http://a/', SINK_TIMEOUT: '7s' },
    ],
    [{ sinks: { http: { root_url: 'http://a/', username: 'u', password: 'p' } } }, { SINK_HTTP_BASIC_AUTH: 'u:p' }],
    [
      {
        sinks: {
          http: {
            root_url: 'http://loki:3100/loki/api/v1/push',
            username: 'u',
            password: 'p',
            external_labels: 'foo=bar,bbq=bla',
          },
        },
      },
      {
        SINK_TYPE: 'loki',
        SINK_LOKI_ADDRESS: 'http://loki:3100',
        SINK_LOKI_TENANT: 'tenant-default',
        SINK_LOKI_BASIC_AUTH: 'u:p',
        SINK_LOKI_LABELS: 'foo=bar,bbq=bla',
      },
    ],
  ];

  for (const [keys, settings] of cases)
    t.match(translateFormerSettings(keys, {}).values, settings, JSON.stringify(keys));
});

t.test('variables come before the file, in any case, and name keys as they do', async (t) => {
  const env = {
    NOMAD_EVENTS_SINK_app__data_dir: '/from/env',
    NOMAD_EVENTS_SINK_SINKS__HTTP__ROOT_URL: 'http://env/',
    NOMAD_EVENTS_SINK_sinks__batch__events_count: '7',
    NOMAD_EVENTS_SINK_sinks__batch__idle_timeout: '3000000000',
    NOMAD_EVENTS_SINK_stream__topics: 'Job, Node',
    NOMAD_EVENTS_SINK_CONFIG: 'x.toml',
    NOMAD_NAMESPACE: 'payments',
    NOMAD_REGION: 'eu',
  };
  const {
    values,
    unknown,
    query: read,
  } = translateFormerSettings({ app: { data_dir: '/from/file', lgo: 1 }, ...root }, env);

  t.match(values, {
    DATA_DIR: '/from/env',
    SINK_HTTP_ADDRESS: 'http://env/',
    SINK_BATCH_EVENTS: '7',
    SINK_BATCH_AGE: '3000000000ns',
    FIREHOSE_TOPICS: ['Job', 'Node'],
    FIREHOSE_NAMESPACE: 'payments',
    FIREHOSE_REGION: 'eu',
  });
  t.same(unknown, ['app.lgo']);
  t.same(read, { topics: ['Job', 'Node'], namespace: 'payments', region: 'eu' });
});

t.test('the sample starts as it is, and settings of ours come before it', async (t) => {
  const folder = testFolder(t, { 'config.toml': sample });
  const env = { NOMAD_EVENTS_SINK_CONFIG: join(folder, 'config.toml') };

  const { config, parts } = load(env);
  t.match(config, {
    LOG_LEVEL: 'debug',
    DATA_DIR: './data/events',
    FIREHOSE_TOPICS: ['Deployment', 'Allocation', 'Evaluation', 'Job', 'Node'],
    FIREHOSE_NAMESPACE: 'default',
  });
  t.match(parts, {
    sinks: [
      {
        definition: { type: 'http' },
        worker: { delivery: { batchEvents: 5, batchAgeMs: 5000, concurrency: 10, timeoutMs: 7000 } },
      },
    ],
    unknownKeys: [],
    formerIndex: { path: join('data/events', 'index.json') },
  });
  t.match(load({ ...env, DATA_DIR: '/elsewhere', FIREHOSE_NAMESPACE: '*', RESTART_COUNT: '3' }).config, {
    DATA_DIR: '/elsewhere',
    FIREHOSE_NAMESPACE: '*',
    RESTART_COUNT: 3,
  });
  t.match(
    load({ NOMAD_EVENTS_SINK_sinks__http__root_url: 'http://env/', NOMAD_EVENTS_SINK_app__data_dir: '/d' }).config,
    { DATA_DIR: '/d', SINK_HTTP_ADDRESS: 'http://env/' },
  );
});

t.test('what cannot be meant is refused, all at once', async (t) => {
  const folder = testFolder(t, {
    'short.toml': '[sinks.http]\nroot_url = "http://a/"\ntimeout = 7\n[stream]\ntopics = ["Job:web"]\n',
    'without-url.toml': '[app]\nlog = "info"\n',
    'hydrant.toml': 'sink_type = "stdout"\n',
    'broken.toml': '[app\n',
  });
  const at = (name: string) => ({ NOMAD_EVENTS_SINK_CONFIG: join(folder, name) });
  const cases: readonly (readonly [env: Record<string, string>, problems: readonly string[]])[] = [
    [
      at('short.toml'),
      [
        '`sinks.http.timeout` to be at least 1s, such as "7s", got 7 (a number alone is nanoseconds)',
        '`FIREHOSE_TOPICS`',
      ],
    ],
    [at('without-url.toml'), ['`sinks.http.root_url` to be the URL']],
    [at('hydrant.toml'), ['with its tables app, stream and sinks, got a file with `sink_type`']],
    [at('broken.toml'), ['`--config` to hold TOML']],
    [at('missing.toml'), ['`--config` to name a TOML or JSON file']],
    [
      { ...at('without-url.toml'), CONFIG_FILE: join(folder, 'hydrant.toml'), SINK_TYPE: 'stdout' },
      ['either `CONFIG_FILE` or', 'either `SINK_TYPE` or'],
    ],
  ];
  for (const [env, problems] of cases) {
    let message = '';
    try {
      load(env);
    } catch (error) {
      message = error instanceof Error ? error.message : '';
    }
    for (const problem of problems) t.ok(message.includes(problem), `${problem} in: ${message}`);
  }
});

t.test('the index is the least of the topics that were read', async (t) => {
  const filter = (topics: string) => `topics=${topics} namespace=default region=`;
  const cases: readonly (readonly [json: string | undefined, checkpoint: object | undefined])[] = [
    [
      '{"Allocation":90,"Deployment":40,"Job":70,"Node":10}',
      { index: 40, filter: filter('Allocation,Deployment,Job') },
    ],
    ['{"Allocation":90,"Deployment":0,"Job":70}', { index: 70, filter: filter('Allocation,Job') }],
    ['{"Job":70}', { index: 70, filter: filter('Job') }],
    ['{"Node":10}', undefined],
    ['{}', undefined],
    [undefined, undefined],
  ];
  for (const [json, checkpoint] of cases)
    t.match(readFormerIndex(json, 'index.json', query), checkpoint, json ?? 'no file');
  t.match(readFormerIndex('{"Allocation":90,"Node":10}', 'index.json', { ...query, topics: ['*'] }), {
    index: 10,
    filter: filter('*'),
  });
  for (const json of ['{"Job":', '[]', '5', '', '{"Job":"x"}', '{"Job":-1}', '{"Job":1.5}'])
    t.throws(
      () => readFormerIndex(json, 'index.json', query),
      { code: 'checkpoint-invalid', message: /move the file away/u },
      json,
    );
});

function openStore(folder: string, region = ''): CheckpointStore {
  const checkpoints = createFileCheckpointStore({
    path: join(folder, 'checkpoint.json'),
    cluster: 'default',
    region,
    clock: systemClock,
  });
  return withFormerIndex(checkpoints, { path: join(folder, 'index.json'), query }, region);
}

t.test('the index of one region is none of another', async (t) => {
  t.equal(await openStore(testFolder(t, { 'index.json': '{"Job":70}' }), 'eu').load(forever), undefined);
});

t.test('the index stands in for a checkpoint only until there is one', async (t) => {
  const folder = testFolder(t, { 'index.json': '{"Allocation":90,"Deployment":40,"Job":70}' });
  const path = join(folder, 'index.json');
  const store = openStore(folder);

  t.match(await store.load(forever), { index: 40 });
  await store.save({ index: 95, filter: 'f', source: 's' });
  t.match(await store.load(forever), { index: 95 });

  writeFileSync(path, 'cut sho');
  t.match(await store.load(forever), { index: 95 }, 'and then it is not even read');
});
