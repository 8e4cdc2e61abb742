/** The firehose's own settings and what they mean to it. Those of RabbitMQ, Redis and the process come from shared. */
import { bool, list, oneOf, path, size, text, type Format } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import type { FirehoseOptions } from './firehose.ts';
import { parseNomadAddress } from './source/address.ts';

function listOf(format: { readonly name: string; readonly expected: string; readonly accepts: (words: readonly string[]) => boolean }): Format<readonly string[]> {
  return {
    name: format.name,
    expected: format.expected,
    parse(raw) {
      const words = list.parse(raw);
      return words !== undefined && words.length > 0 && format.accepts(words) ? words : undefined;
    },
  };
}

const addresses = listOf({
  name: 'addresses',
  expected: 'addresses such as "https://nomad.example:4646" or "unix:///secrets/api.sock", separated by commas',
  accepts: (words) => words.every((word) => parseNomadAddress(word) !== undefined),
});

const topics = listOf({
  name: 'topics',
  expected: 'topics such as "Allocation,Job", separated by commas, each once (Nomad sends nothing for a topic that is named twice)',
  accepts: (words) => new Set(words).size === words.length && words.every((word) => /^(?:\*|[A-Za-z]+)$/u.test(word)),
});

/** How Nomad is reached, named as Nomad's own client names it. Not read: NOMAD_NAMESPACE and NOMAD_REGION, which Nomad sets in every task to the task's own. */
export const nomadSettings = {
  NOMAD_ADDR: {
    doc: 'Nomad, as one address (`http://`, `https://`, `unix://`) or several separated by commas that are tried in turn.',
    format: addresses,
    default: 'http://127.0.0.1:4646',
  },
  NOMAD_TOKEN: { doc: 'ACL token.', format: text, default: null, sensitive: true },
  NOMAD_TOKEN_FILE: { doc: 'File that holds the ACL token; read again at each connect, because workload identities are renewed.', format: path, default: null },
  NOMAD_HTTP_AUTH: { doc: 'Basic authentication, `user:password`, for a proxy in front of Nomad.', format: text, default: null, sensitive: true },
  NOMAD_CACERT: { doc: 'PEM file of the authority that signed Nomad\'s certificate; none: those that Node.js knows.', format: path, default: null },
  NOMAD_CLIENT_CERT: { doc: 'PEM file of the client certificate; goes with `NOMAD_CLIENT_KEY`.', format: path, default: null },
  NOMAD_CLIENT_KEY: { doc: 'PEM file of the client certificate\'s key.', format: path, default: null },
  NOMAD_TLS_SERVER_NAME: { doc: 'Name that Nomad\'s certificate must carry, when it is not that of the address.', format: text, default: null, example: 'server.global.nomad' },
  NOMAD_SKIP_VERIFY: { doc: 'Accept any certificate.', format: bool, default: false },
} as const satisfies Schema;

export const streamSettings = {
  FIREHOSE_TOPICS: { doc: 'Topics to read, separated by commas.', format: topics, default: 'Deployment,Allocation,Evaluation,Job,Node' },
  FIREHOSE_NAMESPACE: { doc: 'Namespace to read; `*`: all.', format: text, default: '*' },
  FIREHOSE_REGION: { doc: 'Region to read; empty: that of the agent.', format: text, default: '' },
  FIREHOSE_CLUSTER: { doc: 'Name of this Nomad, in message ids, headers and the checkpoint\'s key.', format: text, default: 'default' },
  FIREHOSE_START: { doc: 'Where to begin without a checkpoint: with all that Nomad still has, or with what comes from now on.', format: oneOf(['oldest', 'now']), default: 'oldest' },
} as const satisfies Schema;

export const spoolSettings = {
  FIREHOSE_SPOOL_MAX_BYTES: { doc: 'Most bytes of the log on disk; at the limit the stream is not read on.', format: size, default: '1GiB' },
} as const satisfies Schema;

type SourceConfig = Values<typeof nomadSettings & typeof streamSettings>;

/** Problems that concern several settings at once. */
export function checkNomadSettings(config: Readonly<Record<string, unknown>>): string[] {
  if ((config['NOMAD_CLIENT_CERT'] === null) === (config['NOMAD_CLIENT_KEY'] === null)) return [];
  return ['Expected `NOMAD_CLIENT_CERT` and `NOMAD_CLIENT_KEY` to be set both or not at all, got one of them'];
}

export function readFirehoseOptions(config: SourceConfig): FirehoseOptions {
  return {
    cluster: config.FIREHOSE_CLUSTER,
    topics: config.FIREHOSE_TOPICS,
    namespace: config.FIREHOSE_NAMESPACE,
    region: config.FIREHOSE_REGION,
    start: config.FIREHOSE_START,
    addresses: config.NOMAD_ADDR.flatMap((address) => parseNomadAddress(address) ?? []),
    access: {
      token: config.NOMAD_TOKEN,
      tokenFile: config.NOMAD_TOKEN_FILE,
      httpAuth: config.NOMAD_HTTP_AUTH,
      caFile: config.NOMAD_CACERT,
      certFile: config.NOMAD_CLIENT_CERT,
      keyFile: config.NOMAD_CLIENT_KEY,
      serverName: config.NOMAD_TLS_SERVER_NAME,
      skipVerify: config.NOMAD_SKIP_VERIFY,
    },
  };
}
