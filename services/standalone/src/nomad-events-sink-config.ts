/**
 * nomad-events-sink's settings as Hydrant's: its config.toml and its variables `NOMAD_EVENTS_SINK_a__b`, read as its
 * library (koanf) reads them. Pure; docs/moving-from-nomad-events-sink.md tells the same in a table.
 */
import { formatDuration, parseDuration } from '@hydrant/shared/foundation/durations';
import type { Environment } from '@hydrant/shared/runtime/config/load-config';

export type Table = Readonly<Record<string, unknown>>;

/** What nomad-events-sink subscribed to: its index.json holds for that. */
export interface FormerQuery {
  readonly topics: readonly string[];
  readonly namespace: string;
  readonly region: string;
}

export interface FormerSettings {
  readonly sinkType: 'http' | 'loki';
  /** By the names of Hydrant's settings, as they would stand in CONFIG_FILE. */
  readonly values: Table;
  readonly problems: readonly string[];
  /** Keys that nomad-events-sink did not know either; it said nothing of them. */
  readonly unknown: readonly string[];
  readonly query: FormerQuery;
  /** Folder of its index.json; undefined where it is not set. */
  readonly dataDir: string | undefined;
}

/** Begins the name of each of its variables. */
export const variablePrefix = 'NOMAD_EVENTS_SINK_';
/** Names its file; not one of its variables. */
export const fileVariable = 'NOMAD_EVENTS_SINK_CONFIG';

/** Hydrant needs no such setting: docs/moving-from-nomad-events-sink.md says why, key by key. */
const needless = [
  'app.commit_index_interval',
  'stream.max_reconnect_attempts',
  'sinks.batch.queue_size',
  'sinks.http.max_idle_conns',
  'sinks.http.healthcheck.enabled',
  'sinks.http.healthcheck.url',
  'sinks.http.healthcheck.status',
];
const known = new Set([
  ...needless,
  'app.log',
  'app.data_dir',
  'stream.topics',
  'sinks.batch.workers',
  'sinks.batch.idle_timeout',
  'sinks.batch.events_count',
  'sinks.http.root_url',
  'sinks.http.timeout',
  'sinks.http.username',
  'sinks.http.password',
  'sinks.http.external_labels',
]);
const pushPath = '/loki/api/v1/push';
const shortestTimeoutMs = 1000;
const allTopics = ['Deployment', 'Allocation', 'Evaluation', 'Job', 'Node'];

/** Whether somebody speaks to nomad-events-sink: with its file or with a variable of its own. */
export function speaksToFormer(env: Environment): boolean {
  return Object.keys(env).some((name) => name.startsWith(variablePrefix) && isSet(env[name]));
}

export function translateFormerSettings(file: Table, env: Environment): FormerSettings {
  const keys = new Map([...flatten(file, ''), ...readVariables(env)]);
  const address = text(keys.get('sinks.http.root_url'));
  const isLoki = address?.endsWith(pushPath) === true;
  const topics = readTopics(keys.get('stream.topics'));
  const query = {
    topics: topics ?? allTopics,
    namespace: text(env['NOMAD_NAMESPACE']) ?? 'default',
    region: text(env['NOMAD_REGION']) ?? '',
  };
  const dataDir = text(keys.get('app.data_dir'));
  const values = {
    LOG_LEVEL: keys.get('app.log') === 'debug' ? 'debug' : 'info',
    DATA_DIR: dataDir,
    FIREHOSE_TOPICS: topics,
    FIREHOSE_NAMESPACE: query.namespace,
    FIREHOSE_REGION: query.region,
    SINK_TYPE: isLoki ? 'loki' : 'http',
    SINK_CONCURRENCY: amount(keys.get('sinks.batch.workers')) ?? 2,
    SINK_BATCH_EVENTS: amount(keys.get('sinks.batch.events_count')) ?? 5,
    SINK_BATCH_AGE: duration(keys.get('sinks.batch.idle_timeout')) ?? '5s',
    SINK_TIMEOUT: duration(keys.get('sinks.http.timeout')),
    ...(isLoki
      ? lokiSettings(address, keys)
      : { SINK_HTTP_ADDRESS: address, SINK_HTTP_FORMAT: 'array', SINK_HTTP_BASIC_AUTH: basicAuth(keys) }),
  };
  return {
    sinkType: isLoki ? 'loki' : 'http',
    values: Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)),
    problems: [
      ...shapeProblems(file, keys),
      ...addressProblems(address, env),
      ...timeoutProblems(keys.get('sinks.http.timeout')),
    ],
    unknown: [...keys.keys()].filter((key) => !known.has(key)).sort(),
    query,
    dataDir,
  };
}

/** A table within a table gives `a.b`; koanf keeps the case of a file's keys. */
function flatten(table: Table, prefix: string): readonly (readonly [string, unknown])[] {
  return Object.entries(table).flatMap(([key, value]) => {
    const isTable = typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
    return isTable ? flatten(value as Table, `${prefix}${key}.`) : [[`${prefix}${key}`, value] as const];
  });
}

function readVariables(env: Environment): readonly (readonly [string, unknown])[] {
  return Object.entries(env).flatMap(([name, value]) => {
    if (!name.startsWith(variablePrefix) || name === fileVariable || !isSet(value)) return [];
    return [[name.slice(variablePrefix.length).toLowerCase().replaceAll('__', '.'), value] as const];
  });
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '';
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/**
 * Each once: Nomad sends nothing for a topic that is asked for twice. A variable of nomad-events-sink could not hold
 * several; here commas part them.
 */
function readTopics(value: unknown): readonly string[] | undefined {
  const words: readonly unknown[] | undefined =
    typeof value === 'string' ? value.split(',') : Array.isArray(value) ? value : undefined;
  return words === undefined ? undefined : [...new Set(words.map((word) => String(word).trim()))];
}

/** 0 and nothing are the same to nomad-events-sink. What is no number is left to the setting that refuses it. */
function amount(value: unknown): unknown {
  return value === undefined || Number(value) === 0 ? undefined : value;
}

/** A whole number is nanoseconds, also as text. */
function duration(value: unknown): unknown {
  if (value === undefined || value === 0 || value === '0' || value === '') return undefined;
  return typeof value === 'number' || (typeof value === 'string' && /^\d+$/u.test(value))
    ? `${String(value)}ns`
    : value;
}

function basicAuth(keys: ReadonlyMap<string, unknown>): string | undefined {
  const user = text(keys.get('sinks.http.username'));
  return user === undefined ? undefined : `${user}:${text(keys.get('sinks.http.password')) ?? ''}`;
}

/** attachmentgenie's nomad-events-sink pushes to Loki itself, under a fixed tenant. */
function lokiSettings(address: string, keys: ReadonlyMap<string, unknown>): Table {
  return {
    SINK_LOKI_ADDRESS: address.slice(0, -pushPath.length),
    SINK_LOKI_TENANT: 'tenant-default',
    SINK_LOKI_BASIC_AUTH: basicAuth(keys),
    SINK_LOKI_LABELS: text(keys.get('sinks.http.external_labels')),
  };
}

function shapeProblems(file: Table, keys: ReadonlyMap<string, unknown>): readonly string[] {
  const names = Object.keys(file);
  if (names.length === 0 || ['app', 'stream', 'sinks'].some((name) => names.includes(name))) return [];
  const [first = ''] = keys.keys();
  return [
    `Expected \`--config\` to name nomad-events-sink's config.toml with its tables app, stream and sinks, got a file with \`${first}\`; Hydrant's own settings go into the environment or the file that \`CONFIG_FILE\` names`,
  ];
}

function addressProblems(address: string | undefined, env: Environment): readonly string[] {
  if (address !== undefined || isSet(env['SINK_HTTP_ADDRESS'])) return [];
  return ['Expected `sinks.http.root_url` to be the URL that events are posted to, it is not set'];
}

/** As nomad-events-sink: a number that was meant as seconds is caught. */
function timeoutProblems(value: unknown): readonly string[] {
  const given = duration(value);
  const ms = typeof given === 'string' ? parseDuration(given) : undefined;
  if (ms === undefined || ms >= shortestTimeoutMs) return [];
  return [
    `Expected \`sinks.http.timeout\` to be at least ${formatDuration(shortestTimeoutMs)}, such as "7s", got ${JSON.stringify(value)} (a number alone is nanoseconds)`,
  ];
}
