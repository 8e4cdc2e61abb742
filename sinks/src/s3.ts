/**
 * Stores batches as gzipped NDJSON objects in any S3-compatible bucket. An object is named after its first message and
 * its content, so that a retry overwrites itself. The client is loaded when the sink is used, not before.
 */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { S3Client } from '@aws-sdk/client-s3';
import { retryable, type Batch, type Sink, type SinkDefinition } from '@hydrant/shared/delivery/sink';
import { bool, oneOf, text, url } from '@hydrant/shared/runtime/config/formats';
import { maskUrl } from '@hydrant/shared/runtime/config/mask-url';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { proxySettings } from '@hydrant/shared/runtime/proxy/proxy-settings';
import { clientOptions, explainCall, loadClient, statusOf, type CallContext } from './aws/aws-client.ts';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { encodeLines } from './encoding/lines.ts';
import { isoTime } from './encoding/time.ts';

const settings = {
  SINK_S3_BUCKET: { doc: 'Bucket.', format: text, default: null, required: true, example: 'nomad-events' },
  SINK_S3_PREFIX: { doc: 'Begins every key.', format: text, default: '' },
  SINK_S3_REGION: {
    doc: 'Region; otherwise as the usual AWS chain has it.',
    format: text,
    default: null,
    example: 'eu-central-1',
  },
  SINK_S3_ENDPOINT: {
    doc: 'Address of another S3-compatible server.',
    format: url(['http:', 'https:']),
    default: null,
    example: 'http://minio:9000',
  },
  SINK_S3_FORCE_PATH_STYLE: {
    doc: 'Whether the bucket stands in the path and not in the host name.',
    format: bool,
    default: false,
  },
  SINK_S3_CHECKSUM: {
    doc: 'Whether objects are sent with a checksum (`x-amz-checksum-crc32`) beside that of the connection: `when_supported` does so, which not every S3-compatible server takes.',
    format: oneOf(['when_required', 'when_supported']),
    default: 'when_required',
  },
  SINK_S3_KEY_TEMPLATE: {
    doc: 'Key of an object behind the prefix; `{yyyy}`, `{mm}`, `{dd}`, `{hh}` are the UTC time of its first message, `{name}` is its own name.',
    format: text,
    default: '{yyyy}/{mm}/{dd}/{hh}/{name}.ndjson.gz',
  },
  ...proxySettings,
} as const satisfies Schema;

type S3Values = Values<typeof settings>;

const compress = promisify(gzip);
/**
 * What whoever runs it can do about it: a missing bucket, a wrong key or missing rights are mended there, not in the
 * batch, and splitting it would help nothing.
 */
const hints: Readonly<Record<string, string>> = {
  NoSuchBucket: 'make it or set SINK_S3_BUCKET',
  AccessDenied: 'the key needs s3:PutObject on it',
  InvalidAccessKeyId: 'the access key is not known there',
  PermanentRedirect: 'set SINK_S3_REGION to the region of the bucket',
};
const refusals = new Set(['EntityTooLarge', 'KeyTooLongError']);
const forbidden = 403;
const placeholders = ['yyyy', 'mm', 'dd', 'hh', 'name'];

/** Key of the object that holds `batch`; the same batch always has the same. */
export function makeKey(
  batch: Batch,
  content: Buffer,
  values: Pick<S3Values, 'SINK_S3_PREFIX' | 'SINK_S3_KEY_TEMPLATE'>,
): string {
  const [first] = batch;
  const time = isoTime(first?.timestampMs ?? 0) ?? new Date(0).toISOString();
  const id = (first?.id ?? '').replaceAll(/[^A-Za-z0-9._-]/gu, '_').slice(0, 150);
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 16);
  const parts: Readonly<Record<string, string>> = {
    yyyy: time.slice(0, 4),
    mm: time.slice(5, 7),
    dd: time.slice(8, 10),
    hh: time.slice(11, 13),
    name: `${id}-${hash}`,
  };
  return (
    values.SINK_S3_PREFIX +
    values.SINK_S3_KEY_TEMPLATE.replaceAll(/\{(\w+)\}/gu, (whole, name: string) => parts[name] ?? whole)
  );
}

/** Without `{name}` each object would replace the one before. */
function check({ SINK_S3_KEY_TEMPLATE: template }: S3Values): readonly string[] {
  const problems = [...template.matchAll(/\{(\w*)\}/gu)]
    .filter(([, name = '']) => !placeholders.includes(name))
    .map(
      ([whole]) =>
        `Expected \`SINK_S3_KEY_TEMPLATE\` to hold ${placeholders.map((name) => `{${name}}`).join(', ')} and no other, got ${whole}`,
    );
  if (!template.includes('{name}'))
    problems.push(`Expected \`SINK_S3_KEY_TEMPLATE\` to hold {name}, which tells objects apart, got "${template}"`);
  return problems;
}

class S3Sink implements Sink {
  readonly #values: S3Values;
  readonly #call: CallContext;
  #client: S3Client | undefined;

  constructor(values: S3Values) {
    this.#values = values;
    const { SINK_S3_BUCKET: bucket, SINK_S3_ENDPOINT: endpoint } = values;
    this.#call = {
      where: `the bucket ${bucket}${endpoint === null ? '' : ` at ${maskUrl(endpoint)}`}`,
      refusals,
      hints,
    };
  }

  async connect(): Promise<void> {
    const { S3Client: Client } = await loadClient('@aws-sdk/client-s3', 's3', () => import('@aws-sdk/client-s3'));
    const {
      SINK_S3_REGION: region,
      SINK_S3_ENDPOINT: endpoint,
      SINK_S3_FORCE_PATH_STYLE: forcePathStyle,
    } = this.#values;
    // n.b. by itself the client sends a checksum with each object and wants one back, which many an S3-compatible
    // server refuses.
    const when = this.#values.SINK_S3_CHECKSUM === 'when_supported' ? 'WHEN_SUPPORTED' : 'WHEN_REQUIRED';
    const checksums = { requestChecksumCalculation: when, responseChecksumValidation: when } as const;
    this.#client = new Client({
      forcePathStyle,
      ...checksums,
      ...clientOptions({ region, endpoint, values: this.#values }),
    });
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const { PutObjectCommand } = await import('@aws-sdk/client-s3');
    const content = encodeOrRefuse(() => encodeLines(batch));
    const key = encodeOrRefuse(() => makeKey(batch, content, this.#values));
    const put = new PutObjectCommand({
      Bucket: this.#values.SINK_S3_BUCKET,
      Key: key,
      Body: await compress(content),
      ContentType: 'application/x-ndjson',
      ContentEncoding: 'gzip',
    });
    const { ETag } = await this.#open()
      .send(put, { abortSignal: signal })
      .catch((error: unknown) => {
        throw explainCall(error, this.#call);
      });
    // n.b. the client takes any 2xx for a success, a sign-in page too.
    if (ETag === undefined)
      throw retryable(
        `Expected ${this.#call.where} to answer with the ETag of the object, got none: something else than S3 answers there, mostly a proxy`,
      );
  }

  async healthcheck(signal: AbortSignal): Promise<void> {
    const { HeadBucketCommand } = await import('@aws-sdk/client-s3');
    try {
      await this.#open().send(new HeadBucketCommand({ Bucket: this.#values.SINK_S3_BUCKET }), { abortSignal: signal });
    } catch (error) {
      // A key that may write need not be allowed to look.
      if (statusOf(error) !== forbidden) throw explainCall(error, this.#call);
    }
  }

  close(): Promise<void> {
    this.#client?.destroy();
    this.#client = undefined;
    return Promise.resolve();
  }

  #open(): S3Client {
    if (this.#client === undefined) throw retryable('Expected the S3 client to be connected, it is not yet');
    return this.#client;
  }
}

export const s3Sink: SinkDefinition<typeof settings> = {
  type: 's3',
  settings,
  defaults: { batchEvents: null, batchBytes: 16 * 1024 * 1024, batchAgeMs: 5 * 60_000 },
  check,
  create: (values) => new S3Sink(values),
};
