/** Settings that several services have. */
import { durationBetween, hostNames, hostPorts, oneOf, path, port, size, text, url, urls } from './formats.ts';
import { tlsProblems } from '../tls/read-tls.ts';
import { readTlsOptions, tlsSettings } from '../tls/tls-settings.ts';
import type { Schema } from './setting.ts';
import { bindings } from './topic-formats.ts';

/** Timers of Node.js hold at most 24 days. */
const shutdownTimeout = durationBetween({ minMs: 100, maxMs: 86_400_000 });

/** Of every service. `httpPort` is the default of its admin server. */
export function commonSettings({ httpPort }: { readonly httpPort: number }) {
  return {
    LOG_LEVEL: {
      doc: 'Least severe log lines that are written.',
      format: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal']),
      default: 'info',
    },
    LOG_FORMAT: {
      doc: 'Form of log lines on stderr: `json` for machines, `text` or `pretty` for people.',
      format: oneOf(['json', 'text', 'pretty']),
      default: 'json',
    },
    HTTP_HOST: {
      doc: 'Address of the admin server (`/livez`, `/readyz`, `/metrics`).',
      format: text,
      default: '127.0.0.1',
    },
    HTTP_PORT: { doc: 'Port of the admin server; 0 takes any free one.', format: port, default: httpPort },
    HTTP_ALLOWED_HOSTS: {
      doc: 'Names under which the admin server may be asked, separated by commas; `*.name` is all below a name. IP addresses, `localhost`, names without a dot and `HTTP_HOST` always may.',
      format: hostNames,
      default: null,
      example: 'hydrant.example.com',
    },
    SHUTDOWN_TIMEOUT: {
      doc: 'Longest time from SIGTERM to the end of the process.',
      format: shutdownTimeout,
      default: '25s',
    },
    CONFIG_FILE: {
      doc: 'TOML or JSON file with settings, read behind the environment.',
      format: path,
      default: null,
      example: 'hydrant.toml',
    },
  } as const satisfies Schema;
}

export const amqpSettings = {
  AMQP_CONNECTION: {
    doc: 'RabbitMQ, as one URL or several separated by commas that are tried in turn. Parameters of a URL: `heartbeat`, `connection_timeout`, `channel_max`, `frame_max`, `auth_mechanism`.',
    format: urls(['amqp:', 'amqps:']),
    default: 'amqp://guest:guest@127.0.0.1:5672/',
    sensitive: true,
  },
  ...tlsSettings('AMQP', 'RabbitMQ (`amqps://`)'),
  AMQP_EXCHANGE: { doc: 'Topic exchange that events and alerts go through.', format: text, default: 'nomad' },
  AMQP_QUEUE_MAX_BYTES: {
    doc: 'Most bytes in a queue that Hydrant makes; at the limit the firehose waits. None: no limit.',
    format: size,
    default: null,
    example: '10GiB',
  },
} as const satisfies Schema;

/** Of services that consume a queue. */
export const consumerSettings = {
  AMQP_QUEUE: {
    doc: 'Queue to consume; made when it does not exist.',
    format: text,
    default: null,
    example: 'hydrant.sink.http',
  },
  AMQP_BINDINGS: {
    doc: 'Patterns of routing keys that are bound to the queue, separated by commas.',
    format: bindings,
    default: null,
    example: 'event.Job.#,event.Deployment.#',
  },
} as const satisfies Schema;

export const redisSettings = {
  REDIS_URL: {
    doc: 'Redis; `rediss://` for TLS. With `REDIS_SENTINELS` its host does not count, but its user, password and database do.',
    format: url(['redis:', 'rediss:']),
    default: 'redis://127.0.0.1:6379/0',
    sensitive: true,
  },
  ...tlsSettings('REDIS', 'Redis (`rediss://`)'),
  REDIS_SENTINELS: {
    doc: 'Sentinels that know which Redis is the master, `host:port` separated by commas; with `rediss://` they are reached by TLS too.',
    format: hostPorts,
    default: null,
    example: 'sentinel-1:26379,sentinel-2:26379',
  },
  REDIS_SENTINEL_MASTER: { doc: 'Name under which the Sentinels know the master.', format: text, default: 'mymaster' },
  REDIS_SENTINEL_PASSWORD: {
    doc: 'Password of the Sentinels themselves.',
    format: text,
    default: null,
    sensitive: true,
  },
  REDIS_KEY_PREFIX: { doc: 'Begins every key in Redis.', format: text, default: 'hydrant:' },
} as const satisfies Schema;

/** For `check` of a service: what is wrong with the connections to RabbitMQ and Redis beyond single settings. */
export function connectionProblems(values: Readonly<Record<string, unknown>>): readonly string[] {
  return ['AMQP', 'REDIS'].flatMap((prefix) => tlsProblems(readTlsOptions(values, prefix)));
}

/** Of the files that a service keeps. */
export const dataSettings = {
  DATA_DIR: { doc: 'Folder of everything that is kept on disk.', format: path, default: './data' },
} as const satisfies Schema;
