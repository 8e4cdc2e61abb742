/**
 * Pushes events to Grafana Loki as log lines. The labels are few and from fixed lists: what tells jobs and allocations
 * apart stays in the line, where LogQL's `json` finds it.
 */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import {
  partial,
  type Batch,
  type PartialFailure,
  type Sink,
  type SinkContext,
  type SinkDefinition,
} from '@hydrant/shared/delivery/sink';
import { systemClock } from '@hydrant/shared/foundation/clock';
import type { Message } from '@hydrant/shared/messages/message';
import { list, size, text, url } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { fillTemplate } from './encoding/fill-template.ts';
import { wellFormed } from './encoding/foreign-text.ts';
import { isoTime } from './encoding/time.ts';
import { accessProblems, accessSettings, readAccess } from './http-request/http-access.ts';
import { expectAnybody, explainAnswer, HttpClient, judgeAnswer, type HttpVerdict } from './http-request/http-client.ts';
import {
  makeTarget,
  targetProblems,
  type RequestTarget,
  type TargetOptions,
  type TargetSettings,
} from './http-request/request-target.ts';

const settings = {
  SINK_LOKI_ADDRESS: {
    doc: 'Loki, or a gateway in front of it; `/loki/api/v1/push` is put behind it. May hold user and password.',
    format: url(['http:', 'https:']),
    default: null,
    required: true,
    example: 'http://loki.example:3100',
  },
  SINK_LOKI_TENANT: {
    doc: 'Tenant (`X-Scope-OrgID`) of a Loki with several.',
    format: text,
    default: null,
    example: 'team-a',
  },
  SINK_LOKI_BEARER_TOKEN: { doc: 'Token of the Authorization header.', format: text, default: null, sensitive: true },
  SINK_LOKI_BASIC_AUTH: {
    doc: 'User and password of the Authorization header, `user:password`.',
    format: text,
    default: null,
    sensitive: true,
  },
  ...accessSettings('SINK_LOKI', 'Loki'),
  SINK_LOKI_LABELS: {
    doc: 'Labels of every line beside `service_name`, `cluster` and `topic`: `name=value`, separated by commas. `{namespace}`, `{topic}`, `{cluster}` and `{job}` may stand in a value; mind that each job is a stream then.',
    format: list,
    default: null,
    example: 'env=prod, namespace={namespace}',
  },
  SINK_LOKI_MAX_LINE: {
    doc: "Longest line; what is longer is dead-lettered and not sent. As Loki's own `max_line_size`; 0: Loki is asked.",
    format: size,
    default: '256KiB',
  },
} as const satisfies Schema;

type LokiValues = Values<typeof settings>;
type Labels = Readonly<Record<string, string>>;

const compress = promisify(gzip);
const names: TargetSettings = {
  address: 'SINK_LOKI_ADDRESS',
  headers: 'SINK_LOKI_TENANT',
  bearerToken: 'SINK_LOKI_BEARER_TOKEN',
  basicAuth: 'SINK_LOKI_BASIC_AUTH',
};
const pushPath = '/loki/api/v1/push';
const ownLabels = ['service_name', 'cluster', 'topic'];
/** Each other one is `other`: what comes from the network must not make labels. */
const topics = new Set([
  'Deployment',
  'Allocation',
  'Evaluation',
  'Job',
  'Node',
  'NodePool',
  'NodeDrain',
  'Service',
  'Operator',
  'HostVolume',
  'CSIVolume',
  'CSIPlugin',
  'ACLToken',
  'ACLPolicy',
  'ACLRole',
  'ACLAuthMethod',
  'ACLBindingRule',
  'Variable',
  'crash-loop',
  'crash-loop-resolved',
]);
const longestLabel = 128;
const dayMs = 86_400_000;
const nanosPerMs = 1_000_000n;

/** What one line adds to a request beside itself, nearly. */
const lineOverhead = 40;

export function labelsOf(message: Message): Labels {
  const topic = /^nomad\.([^.]+)\./u.exec(message.type)?.[1] ?? message.type;
  return {
    service_name: 'nomad',
    cluster: wellFormed(String(message.headers['cluster'] ?? 'default').slice(0, longestLabel)),
    topic: topics.has(topic) ? topic : 'other',
  };
}

/**
 * Nanoseconds since 1970: the millisecond in which the message was published, and within it its index, so that lines of
 * one time keep their order and a repeat has the time of the original, by which Loki drops it.
 */
export function lineTime(message: Message, nowMs: number): string {
  // A clock may be ahead, but not by a day: no Loki would ever take that line.
  const ms =
    isoTime(message.timestampMs) === undefined || message.timestampMs > nowMs + dayMs ? nowMs : message.timestampMs;
  const index = message.headers['index'];
  const within =
    typeof index === 'number' && Number.isSafeInteger(index) && index >= 0 ? BigInt(index) % nanosPerMs : 0n;
  return String(BigInt(Math.trunc(ms)) * nanosPerMs + within);
}

/**
 * By which placeholder of SINK_LOKI_LABELS; of a topic that is none of Nomad's `other`, as in the label of that name.
 */
const placeholders: Readonly<Record<string, (message: Message) => string>> = {
  cluster: (message) => labelsOf(message)['cluster'] ?? '',
  topic: (message) => labelsOf(message)['topic'] ?? '',
  namespace: (message) => fillTemplate('{namespace}', message),
  job: (message) => fillTemplate('{job}', message),
};
/** A stream for each job is more than Loki likes. */
const manyValues = ['job'];

function fillLabels(templates: Labels, message: Message): Labels {
  return Object.fromEntries(
    Object.entries(templates).map(([name, template]) => {
      if (!template.includes('{')) return [name, template];
      const filled = template.replaceAll(
        /\{(\w+)\}/gu,
        (whole, placeholder: string) =>
          (Object.hasOwn(placeholders, placeholder) ? placeholders[placeholder]?.(message) : undefined) ?? whole,
      );
      return [name, wellFormed(filled.slice(0, longestLabel))];
    }),
  );
}

/** The body of a push: a stream for each set of labels, lines in the order of the batch. */
export function encodePush(batch: Batch, templates: Labels, nowMs: number): Buffer {
  const streams = new Map<string, { readonly stream: Labels; readonly values: (readonly [string, string])[] }>();
  for (const message of batch) {
    const stream = { ...fillLabels(templates, message), ...labelsOf(message) };
    const key = JSON.stringify(stream);
    const values = streams.get(key)?.values ?? [];
    values.push([lineTime(message, nowMs), message.body.toString('utf8')]);
    streams.set(key, { stream, values });
  }
  return Buffer.from(JSON.stringify({ streams: [...streams.values()] }));
}

const hints: Readonly<Record<number, string>> = {
  401: 'set SINK_LOKI_BASIC_AUTH, SINK_LOKI_BEARER_TOKEN or SINK_LOKI_TENANT',
  403: 'the user may not push there',
  404: 'SINK_LOKI_ADDRESS is that of another server, or of a part of Loki that takes no lines',
  429: "Loki's ingestion limits are reached",
};

/**
 * Loki's words for a line more than `creation_grace_period` ahead of its clock. It comes right by waiting, when the
 * clock does not do so before.
 */
const tooNew = /timestamp too new|too far in (?:the )?future/iu;
const clockHint = 'a clock is ahead: compare that of the firehose and that of Loki';

/**
 * What is wrong with the lines (400, 413, 422) is refused; who may push, where and how much is mended at Loki and
 * waits.
 */
export function judgeStatus(status: number): HttpVerdict {
  if (status >= 200 && status < 300) return 'taken';
  return [400, 413, 415, 422].includes(status) ? 'refused' : 'retry';
}

class LokiSink implements Sink {
  readonly #values: LokiValues;
  readonly #labels: Labels;
  readonly #target: RequestTarget;
  readonly #client: HttpClient;
  readonly #context: SinkContext;

  constructor(values: LokiValues, context: SinkContext) {
    this.#context = context;
    this.#values = values;
    this.#labels = Object.fromEntries((values.SINK_LOKI_LABELS ?? []).map(splitLabel));
    this.#target = makeTarget(targetOptions(values));
    this.#client = new HttpClient(this.#target, readAccess(values, 'SINK_LOKI'), context);
  }

  connect(): Promise<void> {
    const labels = Object.entries(this.#labels)
      .filter(([, template]) => manyValues.some((placeholder) => template.includes(`{${placeholder}}`)))
      .map(([name]) => name);
    if (labels.length > 0)
      this.#context.log.warn(
        { sink: this.#context.name, labels },
        'SINK_LOKI_LABELS makes a stream of Loki for each job, which many Lokis cannot bear; what stands in the line is found by `| json` too',
      );
    return this.#client.open();
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const limit = this.#values.SINK_LOKI_MAX_LINE;
    const tooLong = batch.flatMap(({ body }, index): PartialFailure[] => {
      if (limit === 0 || body.length <= limit) return [];
      return [
        {
          index,
          reason: `Expected a line of at most ${String(limit)} bytes (SINK_LOKI_MAX_LINE), got ${String(body.length)}`,
          retryable: false,
        },
      ];
    });
    const rest =
      tooLong.length === 0
        ? batch
        : batch.filter((_message, index) => !tooLong.some((failure) => failure.index === index));
    if (rest.length > 0) await this.#push(rest, signal);
    if (tooLong.length > 0)
      throw partial(`${String(tooLong.length)} of ${String(batch.length)} messages are too long for Loki`, tooLong);
  }

  /** Whether somebody answers: a gateway may have nothing but the push itself. */
  async healthcheck(signal: AbortSignal): Promise<void> {
    const answer = await this.#client.send({ method: 'GET', url: new URL('/ready', this.#target.url).href, signal });
    expectAnybody(answer, { target: this.#target, what: 'lines' });
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  async #push(batch: Batch, signal: AbortSignal): Promise<void> {
    const body = await compress(encodeOrRefuse(() => encodePush(batch, this.#labels, systemClock.now())));
    const answer = await this.#client.send({
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      body,
      signal,
    });
    const isAhead = tooNew.test(answer.text);
    const failure = explainAnswer(isAhead ? 'retry' : judgeAnswer(answer, judgeStatus), answer, {
      target: this.#target,
      what: batch.length === 1 ? 'a line' : `${String(batch.length)} lines`,
      hint: isAhead ? clockHint : hints[answer.status],
    });
    if (failure !== undefined) throw failure;
  }
}

function targetOptions(values: LokiValues): TargetOptions {
  const address = new URL(values.SINK_LOKI_ADDRESS);
  if (!address.pathname.endsWith(pushPath)) address.pathname = address.pathname.replace(/\/*$/u, pushPath);
  const tenant = values.SINK_LOKI_TENANT;
  return {
    address: address.href,
    headers: tenant === null ? null : [`X-Scope-OrgID: ${tenant}`],
    bearerToken: values.SINK_LOKI_BEARER_TOKEN,
    basicAuth: values.SINK_LOKI_BASIC_AUTH,
  };
}

function splitLabel(label: string): readonly [string, string] {
  const at = label.indexOf('=');
  return at < 0 ? ['', label] : [label.slice(0, at).trim(), label.slice(at + 1).trim()];
}

function check(values: LokiValues): readonly string[] {
  const wrong = (values.SINK_LOKI_LABELS ?? []).filter((label) => {
    const [name, value] = splitLabel(label);
    return !/^[a-zA-Z_][a-zA-Z0-9_]*$/u.test(name) || name.startsWith('__') || value === '' || ownLabels.includes(name);
  });
  const unknown = (values.SINK_LOKI_LABELS ?? []).filter((label) =>
    /[{}]/u.test(
      label.replaceAll(/\{(\w+)\}/gu, (whole, name: string) => (Object.hasOwn(placeholders, name) ? '' : whole)),
    ),
  );
  return [
    ...targetProblems(targetOptions(values), names),
    ...accessProblems(values, 'SINK_LOKI'),
    ...wrong.map(
      (label) =>
        `Expected \`SINK_LOKI_LABELS\` to hold labels as \`name=value\` other than ${ownLabels.join(', ')}, got "${label}"`,
    ),
    ...unknown.map(
      (label) =>
        `Expected \`SINK_LOKI_LABELS\` to hold ${Object.keys(placeholders)
          .map((name) => `{${name}}`)
          .join(', ')} and no other in braces, got "${label}"`,
    ),
  ];
}

export const lokiSink: SinkDefinition<typeof settings> = {
  type: 'loki',
  settings,
  defaults: { batchEvents: 1000, batchBytes: 1024 * 1024, batchAgeMs: 1000 },
  encodedBytes: (message) => message.body.length + lineOverhead,
  check,
  create: (values, context) => new LokiSink(values, context),
};
