/**
 * What anybody can put into a message, pushed through the encoder of every sink: none may throw, for that would be
 * tried again for ever, and none may make what its protocol forbids.
 */
import { makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { HeaderValue, Message } from '@hydrant/shared/messages/message';
import { createRandom, fuzz } from '@hydrant/testing/fuzz';
import { BSON, Long } from 'mongodb';
import assert from 'node:assert/strict';
import { validateHeaderValue } from 'node:http';
import t from 'tap';
import { makeNotice } from './chat/notice.ts';
import { fillTemplate } from './encoding/fill-template.ts';
import { encodeLines } from './encoding/lines.ts';
import { makeEvent } from './eventbridge.ts';
import { encodeBatch, type HttpFormat } from './http-request/encode-batch.ts';
import { idempotencyKey } from './http-request/idempotency-key.ts';
import { makeRecords } from './kafka.ts';
import { makeRecord } from './kinesis.ts';
import { encodePush } from './loki.ts';
import { createDocumentParser, setId } from './mongodb/parse-document.ts';
import { makeHeaders, makeSubject } from './nats.ts';
import { encodePublish } from './nsq.ts';
import { makePagerdutyEvent } from './pagerduty.ts';
import { makeCommands } from './redis.ts';
import { sinkTypes } from './registry.ts';
import { makeKey } from './s3.ts';
import { makeSlackMessage } from './slack.ts';
import { makeEntry } from './sqs.ts';
import { countOctets, toRfc5424 } from './syslog/format.ts';

/** That of the round. */
let random = createRandom(0);

const pieces = [
  '',
  'a',
  'web',
  '.',
  '..',
  '/',
  '%',
  '%2F',
  '|',
  '<',
  '>',
  '&',
  '<!channel>',
  '@here',
  '<@U1>',
  '```',
  '`',
  '$(x)',
  '"',
  "'",
  '\\',
  '\r\n',
  '\n',
  '\0',
  '\u001b[31m',
  '\u0085',
  '\u009b',
  '\u202e',
  '\ud800',
  '\udfff',
  '😀',
  'ä',
  '\ufffe',
  '\uffff',
  '\u2028',
  ' ',
  '\t',
  '*',
  '{job}',
  '{id}',
  '$&',
  '__proto__',
  '_bsontype',
  'constructor',
  'https://evil.example/',
  'x'.repeat(300),
  '\u202e'.repeat(300),
  '😀'.repeat(200),
];

function name(): string {
  return Array.from({ length: random.below(4) }, () => random.pick(pieces)).join('');
}

function value(depth: number): unknown {
  if (depth === 0 || random.below(3) === 0)
    return random.pick([null, true, 0, -1, 1e300, 1790000000, name(), '', [], {}]);
  if (random.below(3) === 0) return Array.from({ length: random.below(4) }, () => value(depth - 1));
  // n.b. defined and not assigned: `__proto__` is a name like any other.
  return Object.fromEntries(
    Array.from({ length: random.below(5) }, () => [
      random.pick([name(), 'ID', 'JobID', 'Namespace', 'TaskStates', 'Events', '_bsontype', '__proto__', 'Status']),
      value(depth - 1),
    ]),
  );
}

function event(): unknown {
  const topic = random.pick(['Job', 'Allocation', 'Deployment', 'Node', 'Evaluation', name()]);
  return {
    Topic: topic,
    Type: random.pick(['JobRegistered', name()]),
    Key: name(),
    Index: random.below(9),
    Payload: { [topic]: random.pick([value(3), { ID: name(), JobID: name(), Namespace: name(), Name: name() }]) },
  };
}

function alert(): unknown {
  return {
    LastEvent: { AllocationID: name(), JobID: name(), TaskName: name(), NodeID: name(), Name: name() },
    EventLog: value(1),
    Id: name(),
    Cluster: name(),
    Namespace: name(),
    Reasons: [name(), value(1)],
    ExitCodes: value(1),
    NextStep: name(),
  };
}

function body(): Buffer {
  switch (random.below(12)) {
    case 0:
      return Buffer.from(name());
    case 1:
      return Buffer.concat([
        Buffer.from('{"a":"'),
        Buffer.from([0xff, 0xc0, 0x80, random.below(256)]),
        Buffer.from('"}'),
      ]);
    case 2:
      return Buffer.from(`${'{"a":'.repeat(3000)}1${'}'.repeat(3000)}`);
    case 3:
      return Buffer.from(JSON.stringify(value(4), null, 2));
    case 4:
      return Buffer.from(`{"a\\u0000b":1,"${'\\ud800'}":{"_bsontype":"Long"}}`);
    case 5:
    case 6:
    case 7:
      return Buffer.from(JSON.stringify(alert()));
    default:
      return Buffer.from(JSON.stringify(event()));
  }
}

function message(): Message {
  const key = random
    .pick(['event.Job.JobRegistered.default.web', `event.${name()}.${name()}.${name()}.${name()}`, name()])
    .slice(0, 255);
  const headers = Object.fromEntries(
    Array.from({ length: random.below(4) }, (): [string, HeaderValue] => [
      random.pick(['cluster', 'index', 'Nats-Msg-Id', name()]),
      random.pick([name(), random.below(1000), -1, 1.5, true]),
    ]),
  );
  return makeSinkMessage(1, {
    id: random.pick([name(), 'default/1/Job/default/web/0']),
    routingKey: key,
    type: random.pick([name(), 'crash-loop', `nomad.${name()}.X`]),
    contentType: name(),
    appId: name(),
    timestampMs: random.pick([0, -1, NaN, 1e300, 1.5, 1_790_000_000_000]),
    headers,
    body: body(),
  });
}

function parse(json: Buffer): unknown {
  try {
    return JSON.parse(json.toString());
  } catch {
    return undefined;
  }
}

/** Every text within, names of fields too. */
function textsOf(given: unknown): string[] {
  if (typeof given === 'string') return [given];
  return typeof given === 'object' && given !== null
    ? Object.entries(given).flatMap(([field, within]) => [field, ...textsOf(within)])
    : [];
}

function assertWellFormed(given: unknown): void {
  for (const text of textsOf(given)) assert.equal(Buffer.from(text).toString(), text, 'half of a surrogate pair');
}

const parser = createDocumentParser((digits) => Long.fromString(digits));
const ui = 'https://nomad.example/ui/';

function isObject(given: unknown): boolean {
  return typeof given === 'object' && given !== null && !Array.isArray(given);
}

function checkHttp(batch: readonly Message[]): void {
  validateHeaderValue('idempotency-key', idempotencyKey(batch));
  const whole = batch.filter((each) => isObject(parse(each.body)));
  if (whole.length === 0) return;
  const encode = (format: HttpFormat): string => Buffer.concat(encodeBatch(whole, format)).toString();
  assert.equal((JSON.parse(encode('array')) as unknown[]).length, whole.length);
  assert.equal(encode('ndjson').split('\n').length, whole.length + 1);
  assert.equal(encodeBatch(whole, 'single').length, whole.length);
  for (const { data: _data, ...attributes } of JSON.parse(encode('cloudevents')) as Record<string, string>[]) {
    for (const text of Object.values(attributes)) assert.doesNotMatch(text, /^$|[\p{Cc}\p{Cs}\uFFFE\uFFFF]/u);
    assert.doesNotMatch(attributes['source'] ?? '', /[^\w/%.!~*'()-]/u);
  }
}

function checkSlack(given: Message): void {
  const slack = makeSlackMessage(makeNotice(given, ui));
  assertWellFormed(slack);
  for (const text of textsOf(slack)) {
    assert.ok(text.length <= 3000);
    assert.doesNotMatch(text.replaceAll(/<https:\/\/nomad\.example\/ui\/[^<>|]*\|Show it in Nomad>/gu, ''), /[<>\0]/u);
  }
}

function checkPagerduty(given: Message): void {
  const sent = makePagerdutyEvent(makeNotice(given, ui), { routingKey: 'k', severity: 'error' }) as {
    readonly dedup_key: string;
    readonly client_url?: string;
    readonly payload: { readonly summary: string };
  };
  assertWellFormed(sent);
  assert.ok(sent.dedup_key.length <= 255 && sent.payload.summary.length <= 1024 && sent.payload.summary !== '');
  assert.ok(sent.client_url === undefined || new URL(sent.client_url).pathname.startsWith('/ui/'));
}

function checkLoki(batch: readonly Message[]): void {
  const { streams } = JSON.parse(encodePush(batch, { env: 'prod' }, 1).toString()) as {
    readonly streams: readonly { readonly stream: object; readonly values: readonly (readonly [string, string])[] }[];
  };
  assertWellFormed(streams);
  for (const [time] of streams.flatMap(({ values }) => values)) assert.match(time, /^\d{6,19}$/u);
}

function checkNats(given: Message): void {
  assert.match(makeSubject('nomad.{routing_key}.{job}', given), /^nomad(?:\.[^\s.*>\p{Cc}]+)+$/u);
  for (const [field, text] of makeHeaders(given, null)) {
    assert.match(field, /^[!-9;-~]+$/u);
    assert.doesNotMatch(text, /^$|\p{Cc}/u);
  }
}

function checkNsq(batch: readonly Message[]): void {
  const bytes = encodePublish(
    't',
    batch.map((each) => each.body),
  );
  const from = bytes.indexOf(0x0a) + 1;
  assert.equal(bytes.readUInt32BE(from), bytes.length - from - 4);
  assert.equal(bytes.readUInt32BE(from + 4), batch.length);
}

function checkSqs(given: Message): void {
  const { value: entry } = makeEntry(given, 0, true);
  const attributes = Object.values(entry.MessageAttributes ?? {}).map(({ StringValue = '' }) => StringValue);
  for (const text of attributes) assert.notEqual(text, '');
  // What is no JSON object is dead-lettered before it comes here.
  for (const text of [...attributes, ...(isObject(parse(given.body)) ? [entry.MessageBody ?? ''] : [])])
    assert.doesNotMatch(text, /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u);
  assert.equal(JSON.stringify(parse(Buffer.from(entry.MessageBody ?? ''))), JSON.stringify(parse(given.body)));
  assert.match(entry.MessageDeduplicationId ?? '', /^[!-~]{1,128}$/u);
  assert.match(entry.MessageGroupId ?? '', /^[!-~]{1,128}$/u);
}

function checkMongodb(given: Message): void {
  const document = parser.parse(given.body);
  if (document === undefined) return;
  setId(document, given.id);
  assert.ok(BSON.serialize(document).length > 0);
}

function checkSyslog(given: Message): void {
  const line = toRfc5424(given, { host: 'h', tag: name(), pid: 1 });
  assert.match(line.toString('latin1'), /^<13>1 \S+ h [!-~]{1,48} 1 [!-~]{1,32} - [^\n]*$/u);
  assert.ok(
    countOctets(line)
      .toString('latin1')
      .startsWith(`${String(line.length)} <13>`),
  );
}

const bus = { SINK_EVENT_BUS_NAME: 'b', SINK_EVENT_BUS_DETAIL_TYPE: '', SINK_EVENT_BUS_SOURCE: 'hydrant' };

const checks: Readonly<Record<string, (batch: readonly Message[]) => void>> = {
  http: checkHttp,
  s3(batch) {
    assert.match(
      makeKey(batch, encodeLines(batch), { SINK_S3_PREFIX: '', SINK_S3_KEY_TEMPLATE: '{yyyy}/{mm}/{name}' }),
      /^\d{4}\/\d\d\/[\w.-]{17,167}$/u,
    );
  },
  stdout(batch) {
    assert.equal(encodeLines(batch).toString('latin1').split('\n').length, batch.length + 1);
  },
  file(batch) {
    assert.equal(encodeLines(batch).toString('latin1').split('\n').length, batch.length + 1);
  },
  amqp(batch) {
    for (const each of batch) fillTemplate('nomad.{namespace}.{job}', each);
  },
  redis(batch) {
    for (const SINK_REDIS_KIND of ['list', 'stream'] as const)
      assert.ok(makeCommands(batch, { SINK_REDIS_KEY: 'k', SINK_REDIS_KIND, SINK_REDIS_MAX_LENGTH: 5 }).length > 0);
  },
  kafka(batch) {
    assert.equal(makeRecords(batch, '{namespace}.{job}').length, batch.length);
  },
  nats(batch) {
    batch.forEach(checkNats);
  },
  nsq: checkNsq,
  sqs(batch) {
    batch.forEach(checkSqs);
  },
  kinesis(batch) {
    for (const [index, each] of batch.entries()) {
      const { PartitionKey = '' } = makeRecord(each, index, '{id}{job}').value;
      assert.ok(PartitionKey.length >= 1 && PartitionKey.length <= 256);
      assertWellFormed(PartitionKey);
    }
  },
  eventbridge(batch) {
    for (const [index, each] of batch.entries()) {
      const { DetailType = '', Resources = [] } = makeEvent(each, index, bus).value;
      assert.ok(DetailType.length >= 1 && DetailType.length <= 128);
      assertWellFormed([DetailType, Resources]);
    }
  },
  mongodb(batch) {
    batch.forEach(checkMongodb);
  },
  syslog(batch) {
    batch.forEach(checkSyslog);
  },
  loki: checkLoki,
  slack(batch) {
    batch.forEach(checkSlack);
  },
  pagerduty(batch) {
    batch.forEach(checkPagerduty);
  },
};

t.test('no message makes an encoder throw or say what its protocol forbids', async (t) => {
  t.same(Object.keys(checks).sort(), [...sinkTypes].sort(), 'every sink has its encoder here');

  await fuzz(t, (ofRound) => {
    random = ofRound;
    const batch = Array.from({ length: 1 + random.below(3) }, message);
    for (const [type, check] of Object.entries(checks)) {
      try {
        check(batch);
      } catch (error) {
        const shown = batch
          .map((each) => JSON.stringify({ ...each, body: each.body.toString('latin1').slice(0, 500) }))
          .join('\n');
        throw new Error(`${type}: ${String(error)}\n${shown}`, { cause: error });
      }
    }
  });
});
