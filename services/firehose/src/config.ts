/** The firehose's own settings and what they mean to it. Those of RabbitMQ, Redis and the process come from shared. */
import { bool, list, listOf, oneOf, path, size, text, type Format } from '@hydrant/shared/runtime/config/formats';
import { maskUrl } from '@hydrant/shared/runtime/config/mask-url';
import { proxySettings, readProxyRules } from '@hydrant/shared/runtime/proxy/proxy-settings';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { topics } from '@hydrant/shared/runtime/config/topic-formats';
import type { FirehoseOptions } from './firehose.ts';
import { redactKinds, type RedactKind } from './message/redact.ts';
import { compatResources, topicOfResource } from './nomad-firehose/compat-messages.ts';
import { parseNomadAddress } from './source/address.ts';

const address: Format<string> = {
  name: 'address',
  expected: 'an address such as "https://nomad.example:4646"',
  parse: (raw) => (typeof raw === 'string' && parseNomadAddress(raw) !== undefined ? raw : undefined),
  show: maskUrl,
  isUrl: true,
};
const addresses = listOf(address, {
  name: 'addresses',
  expected:
    'addresses such as "https://nomad.example:4646" or "unix:///secrets/api.sock", separated by commas; "%" and "@" in a password are written as %25 and %40',
});

/** As Nomad names them; any other word would be a namespace without events. */
const namespace: Format<string> = {
  name: 'text',
  expected: 'the name of one namespace (letters, digits and "-"), or "*" for all',
  parse: (raw) => (typeof raw === 'string' && /^(?:\*|[a-zA-Z0-9-]{1,128})$/u.test(raw) ? raw : undefined),
};

/** The words that Nomad's own client takes. It reads any other as "verify" and says nothing. */
const goBooleans = new Map([
  ...['1', 't', 'T', 'true', 'TRUE', 'True'].map((word) => [word, true] as const),
  ...['0', 'f', 'F', 'false', 'FALSE', 'False'].map((word) => [word, false] as const),
]);

const goBoolean: Format<boolean> = {
  name: 'true or false',
  expected: '"true" or "false" (or 1, t, 0, f)',
  parse: (raw) => (typeof raw === 'boolean' ? raw : goBooleans.get(typeof raw === 'string' ? raw.trim() : '')),
};

/** The line end of whoever filled the variable from a file is no part of it. */
const token: Format<string> = {
  name: 'text',
  expected: 'a token of ASCII characters on one line',
  parse: (raw) => (typeof raw === 'string' && /^[\t\u0020-\u007e]*$/u.test(raw.trim()) ? raw.trim() : undefined),
};

const redactList = { name: 'list', expected: `any of ${redactKinds.join(', ')}, separated by commas, or "none" alone` };
const redactWords = listOf(oneOf([...redactKinds, 'none']), redactList);
const redacted: typeof redactWords = {
  ...redactWords,
  parse(raw) {
    const words = redactWords.parse(raw);
    return words?.includes('none') === true && words.length > 1 ? undefined : words;
  },
};
const compat = listOf(oneOf(compatResources), {
  name: 'list',
  expected: `any of ${compatResources.join(', ')}, separated by commas`,
});

/**
 * How Nomad is reached, named as Nomad's own client names it. Not read: NOMAD_NAMESPACE and NOMAD_REGION, which Nomad
 * sets in every task to the task's own.
 */
export const nomadSettings = {
  NOMAD_ADDR: {
    doc: 'Nomad, as one address (`http://`, `https://`, `unix://`) or several separated by commas that are tried in turn.',
    format: addresses,
    default: 'http://127.0.0.1:4646',
  },
  NOMAD_TOKEN: { doc: 'ACL token.', format: token, default: null, sensitive: true },
  NOMAD_TOKEN_FILE: {
    doc: 'File that holds the ACL token; read again at each connect, because workload identities are renewed.',
    format: path,
    default: null,
  },
  NOMAD_HTTP_AUTH: {
    doc: 'Basic authentication, `user:password`, for a proxy in front of Nomad.',
    format: text,
    default: null,
    sensitive: true,
  },
  NOMAD_CACERT: {
    doc: "PEM file of the authorities that may have signed Nomad's certificate; they alone are trusted. Neither this nor `NOMAD_CAPATH`: those that Node.js knows.",
    format: path,
    default: null,
  },
  NOMAD_CAPATH: {
    doc: 'Folder of such PEM files, with all below it; read when `NOMAD_CACERT` is not set.',
    format: path,
    default: null,
  },
  NOMAD_CLIENT_CERT: {
    doc: 'PEM file of the client certificate; goes with `NOMAD_CLIENT_KEY`.',
    format: path,
    default: null,
  },
  NOMAD_CLIENT_KEY: { doc: "PEM file of the client certificate's key.", format: path, default: null },
  NOMAD_TLS_SERVER_NAME: {
    doc: "Name that Nomad's certificate must carry, when it is not that of the address.",
    format: text,
    default: null,
    example: 'server.global.nomad',
  },
  NOMAD_SKIP_VERIFY: { doc: 'Accept any certificate.', format: goBoolean, default: false },
  ...proxySettings,
} as const satisfies Schema;

export const streamSettings = {
  FIREHOSE_TOPICS: {
    doc: 'Topics to read, separated by commas; `*`: all of them, which takes a management token.',
    format: topics,
    default: 'Deployment,Allocation,Evaluation,Job,Node',
  },
  FIREHOSE_NAMESPACE: { doc: 'Namespace to read; `*`: all.', format: namespace, default: '*' },
  FIREHOSE_REGION: { doc: 'Region to read; empty: that of the agent.', format: text, default: '' },
  FIREHOSE_CLUSTER: {
    doc: "Name of this Nomad, in message ids, headers and the checkpoint's key.",
    format: text,
    default: 'default',
  },
  FIREHOSE_MAX_FRAME_BYTES: {
    doc: 'Most bytes of one frame of the stream, which is held in memory. A longer one is skipped: what was missed is read from the lists.',
    format: size,
    default: '64MiB',
  },
  FIREHOSE_START: {
    doc: 'Where to begin without a checkpoint: with all that Nomad still has, with what comes from now on, or with a snapshot of what there is and then what comes.',
    format: oneOf(['oldest', 'now', 'snapshot']),
    default: 'oldest',
  },
  FIREHOSE_NODE_UPDATES: {
    doc: 'Which Node events to publish: `all`, or `changes`, without the copies of a node that Nomad sends whenever the node reports on its allocations.',
    format: oneOf(['all', 'changes']),
    default: 'all',
  },
  FIREHOSE_REDACT: {
    doc: 'What is replaced in events by `{}`, `[]` or `"redacted"`: always `tokens`, which Nomad itself puts there (identities of allocations, secret ids of nodes and tokens, client secrets of auth methods, ids of locks), unless it is `none`; and in the jobs that they carry any of `env`, `templates`, `meta` (of jobs, groups, tasks and services), `payload` (of dispatched jobs) and `config` (of drivers and proxies, artifacts\' options and headers, checks\' headers and bodies).',
    format: redacted,
    default: 'tokens',
    example: 'env,templates,payload',
  },
  FIREHOSE_COMPAT: {
    doc: `What is also published as nomad-firehose published it, with the resource as routing key: any of ${compatResources.map((resource) => `\`${resource}\``).join(', ')}. The resource\'s topic has to be among \`FIREHOSE_TOPICS\`.`,
    format: compat,
    default: null,
    example: 'allocations,jobs',
  },
  FIREHOSE_WAIT_FOR_QUEUES: {
    doc: 'Queues that must exist before anything is published, separated by commas; the stream is read meanwhile. What is published before a queue exists never reaches it.',
    format: list,
    default: null,
    example: 'hydrant.sink.http,hydrant.crashloop-detector',
  },
} as const satisfies Schema;

/** Of the firehose as a process of its own. */
export const leaseSettings = {
  FIREHOSE_HA: {
    doc: 'Run as one of several firehoses of which one leads: the others stand by and take over within five seconds. It is to be set on all of them, and they share Redis.',
    format: bool,
    default: false,
  },
} as const satisfies Schema;

export const spoolSettings = {
  FIREHOSE_SPOOL_MAX_BYTES: {
    doc: 'Most bytes of the log on disk; at the limit the stream is not read on.',
    format: size,
    default: '1GiB',
  },
} as const satisfies Schema;

/** Of the firehose as a service; standalone keeps its log in DATA_DIR. */
export const spoolFolderSettings = {
  FIREHOSE_SPOOL_DIR: {
    doc: 'Folder that keeps what was read and not yet confirmed by RabbitMQ, over restarts too; of this firehose alone. None: 12 MiB in memory.',
    format: path,
    default: null,
    example: '/var/lib/hydrant/spool',
  },
} as const satisfies Schema;

type SourceConfig = Values<typeof nomadSettings & typeof streamSettings>;

/** Problems that concern several settings at once. */
export function checkNomadSettings(config: Readonly<Record<string, unknown>>): string[] {
  const problems = compatProblems(config['FIREHOSE_COMPAT'], config['FIREHOSE_TOPICS']);
  if ((config['NOMAD_CLIENT_CERT'] === null) === (config['NOMAD_CLIENT_KEY'] === null)) return problems;
  return [
    ...problems,
    'Expected `NOMAD_CLIENT_CERT` and `NOMAD_CLIENT_KEY` to be set both or not at all, got one of them',
  ];
}

function compatProblems(resources: unknown, topics: unknown): string[] {
  if (!Array.isArray(resources) || !Array.isArray(topics) || topics.includes('*')) return [];
  return compatResources
    .filter((resource) => resources.includes(resource) && !topics.includes(topicOfResource[resource]))
    .map(
      (resource) =>
        `Expected \`FIREHOSE_TOPICS\` to have ${topicOfResource[resource]}, which \`FIREHOSE_COMPAT\` makes ${resource} of`,
    );
}

/** n.b. who chose kinds of values in jobs did not choose to let tokens out. */
function readRedactKinds(words: readonly (RedactKind | 'none')[]): readonly RedactKind[] {
  return words.includes('none') ? [] : redactKinds.filter((kind) => kind === 'tokens' || words.includes(kind));
}

export function readFirehoseOptions(config: SourceConfig): FirehoseOptions {
  return {
    cluster: config.FIREHOSE_CLUSTER,
    topics: config.FIREHOSE_TOPICS,
    namespace: config.FIREHOSE_NAMESPACE,
    region: config.FIREHOSE_REGION,
    start: config.FIREHOSE_START,
    maxLineBytes: config.FIREHOSE_MAX_FRAME_BYTES,
    nodeUpdates: config.FIREHOSE_NODE_UPDATES,
    redact: readRedactKinds(config.FIREHOSE_REDACT),
    compat: config.FIREHOSE_COMPAT ?? [],
    waitForQueues: config.FIREHOSE_WAIT_FOR_QUEUES ?? [],
    addresses: config.NOMAD_ADDR.flatMap((address) => parseNomadAddress(address) ?? []),
    access: {
      token: config.NOMAD_TOKEN,
      tokenFile: config.NOMAD_TOKEN_FILE,
      httpAuth: config.NOMAD_HTTP_AUTH,
      caFile: config.NOMAD_CACERT,
      caFolder: config.NOMAD_CAPATH,
      certFile: config.NOMAD_CLIENT_CERT,
      keyFile: config.NOMAD_CLIENT_KEY,
      serverName: config.NOMAD_TLS_SERVER_NAME,
      skipVerify: config.NOMAD_SKIP_VERIFY,
      proxies: readProxyRules(config),
    },
  };
}
