import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { startHttpReceiver, type ReceivedRequest, type Reply } from '@hydrant/testing/http-receiver';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { encodePush, judgeStatus, labelsOf, lineTime, lokiSink } from './loki.ts';

interface Push {
  readonly streams: readonly {
    readonly stream: Readonly<Record<string, string>>;
    readonly values: readonly (readonly [string, string])[];
  }[];
}

const never = new AbortController().signal;

function load(env: Record<string, string>) {
  return loadConfig(lokiSink.settings, {
    env,
    check: (values) => lokiSink.check?.(values as Parameters<NonNullable<typeof lokiSink.check>>[0]) ?? [],
  });
}

function createSink(address: string, env: Record<string, string> = {}): Sink {
  return lokiSink.create(load({ SINK_LOKI_ADDRESS: address, ...env }), { log: testLog(), name: 'loki' });
}

async function open(t: Test, address: string, env: Record<string, string> = {}): Promise<Sink> {
  const sink = createSink(address, env);
  await sink.connect(never);
  t.teardown(() => sink.close());
  return sink;
}

/** Takes a push as Loki does: 204, or 400 for what it cannot read. */
function takeInto(lines: string[]): (request: ReceivedRequest) => Reply {
  return (request) => {
    if (request.path === '/ready') return { status: 200, body: 'ready' };
    if (request.path !== '/loki/api/v1/push') return { status: 404 };
    if (request.headers['content-type'] !== 'application/json') return { status: 415 };
    const { streams } = JSON.parse(request.body.toString()) as Push;
    const isReadable = streams.every(
      ({ stream, values }) =>
        Object.keys(stream).length > 0 &&
        values.every(([time, line]) => /^\d{19}$/u.test(time) && typeof line === 'string'),
    );
    if (!isReadable) return { status: 400, body: 'unreadable push' };
    lines.push(...streams.flatMap(({ values }) => values.map(([, line]) => line)));
    return { status: 204 };
  };
}

sinkContract(t, {
  name: 'loki',
  without: { refuseOne: 'an answer speaks for the whole request; lines that are too long have a test of their own' },
  async create(t) {
    const lines: string[] = [];
    const take = takeInto(lines);
    const receiver = await startHttpReceiver(t, { answer: take });
    return {
      sink: createSink(receiver.url),
      arrived: () => lines,
      breakDown: () => {
        receiver.answer(() => 'reset');
      },
      mend: () => {
        receiver.answer(take);
      },
      stall: () => {
        receiver.answer(() => 'hang');
      },
      refuse: () => {
        receiver.answer(() => ({ status: 400, body: 'entry too far behind' }));
      },
    };
  },
});

void t.test('labels are few and from fixed lists', (t) => {
  const cases: readonly (readonly [Parameters<typeof makeSinkMessage>[1], Record<string, string>])[] = [
    [{}, { service_name: 'nomad', cluster: 'default', topic: 'Allocation' }],
    [
      { type: 'nomad.Job.JobRegistered', headers: { cluster: 'north' } },
      { service_name: 'nomad', cluster: 'north', topic: 'Job' },
    ],
    [
      { type: 'crash-loop', headers: {} },
      { service_name: 'nomad', cluster: 'default', topic: 'crash-loop' },
    ],
    [{ type: 'nomad.Anything you like.x' }, { service_name: 'nomad', cluster: 'default', topic: 'other' }],
    [
      { type: '', headers: { cluster: 'x'.repeat(1000) } },
      { service_name: 'nomad', cluster: 'x'.repeat(128), topic: 'other' },
    ],
  ];
  for (const [changes, labels] of cases) t.same(labelsOf(makeSinkMessage(1, changes)), labels);
  t.end();
});

void t.test('a line has the time of its message and keeps its order within it', (t) => {
  const nowMs = 1_800_000_000_000;
  const cases: readonly (readonly [Parameters<typeof makeSinkMessage>[1], string])[] = [
    [{ timestampMs: 1_790_000_000_000, headers: { index: 42 } }, '1790000000000000042'],
    [{ timestampMs: 1_790_000_000_000, headers: { index: 3_000_043 } }, '1790000000000000043'],
    [{ timestampMs: 1_790_000_000_000, headers: {} }, '1790000000000000000'],
    [{ timestampMs: 1_790_000_000_000, headers: { index: -1 } }, '1790000000000000000'],
    [{ timestampMs: 0, headers: { index: 1 } }, '1800000000000000001'],
    [{ timestampMs: 1e300, headers: { index: 1.5 } }, '1800000000000000000'],
  ];
  for (const [changes, time] of cases) t.equal(lineTime(makeSinkMessage(1, changes), nowMs), time);
  t.end();
});

void t.test('a push has a stream for each set of labels', (t) => {
  const batch = [makeSinkMessage(1), makeSinkMessage(2, { type: 'nomad.Job.JobRegistered' }), makeSinkMessage(3)];
  const { streams } = JSON.parse(encodePush(batch, { env: 'prod' }, 0).toString()) as Push;
  t.match(streams, [
    {
      stream: { env: 'prod', topic: 'Allocation' },
      values: [
        [/1$/u, batch[0]?.body.toString()],
        [/3$/u, batch[2]?.body.toString()],
      ],
    },
    { stream: { env: 'prod', topic: 'Job' }, values: [[/2$/u, batch[1]?.body.toString()]] },
  ]);
  t.end();
});

void t.test('labels of the settings are filled in from the event, and what no event has is refused', async (t) => {
  const message = makeSinkMessage(1, {
    type: 'nomad.Job.JobRegistered',
    routingKey: 'event.Job.JobRegistered.shop.web',
    headers: { cluster: 'north' },
  });
  const { streams } = JSON.parse(
    encodePush(
      [message, makeSinkMessage(2, { type: 'x', routingKey: 'x' })],
      { place: '{cluster}/{namespace}', what: '{topic}', job: 'j-{job}', env: 'prod' },
      0,
    ).toString(),
  ) as Push;
  t.match(
    streams.map(({ stream }) => stream),
    [
      { place: 'north/shop', what: 'Job', job: 'j-web', env: 'prod', topic: 'Job' },
      { place: 'default/_', what: 'other', job: 'j-_', env: 'prod', topic: 'other' },
    ],
  );

  const load = (labels: string) =>
    loadConfig(lokiSink.settings, {
      env: { SINK_LOKI_ADDRESS: 'http://x', SINK_LOKI_LABELS: labels },
      check: (values) => lokiSink.check?.(values as Parameters<NonNullable<typeof lokiSink.check>>[0]) ?? [],
    });
  for (const labels of ['a={allocation}', 'a={job', 'a=}', 'a={}', 'a={__proto__}', 'a={constructor}'])
    t.throws(
      () => load(labels),
      { message: /`SINK_LOKI_LABELS` to hold \{cluster\}, \{topic\}, \{namespace\}, \{job\} and no other in braces/u },
      labels,
    );
  t.throws(() => load('__name=x'), { message: /`name=value`/u });
  for (const [labels, warnings] of [
    ['a={namespace},b=c', 0],
    ['a={job}', 1],
  ] as const) {
    const { log, lines } = recordingLog('warn');
    const sink = lokiSink.create(load(labels), { log, name: 'loki' });
    await sink.connect(never);
    await sink.close();
    t.equal(lines.length, warnings, labels);
  }
});

void t.test('lines ahead of the clock of Loki wait', async (t) => {
  const text = 'entry for stream \'{service_name="nomad"}\' has timestamp too new: 2026-11-27T12:11:00Z';
  const receiver = await startHttpReceiver(t, { answer: () => ({ status: 400, body: text }) });
  const sink = await open(t, receiver.url);

  await t.rejects(sink.write([makeSinkMessage(1), makeSinkMessage(2)], never), {
    code: 'sink-retryable',
    message: /timestamp too new.*a clock is ahead/u,
  });
  receiver.answer(() => ({ status: 400, body: text.replace('new', 'old') }));
  await t.rejects(sink.write([makeSinkMessage(1)], never), { code: 'sink-permanent' });
  t.equal(
    lineTime(makeSinkMessage(1, { timestampMs: Date.UTC(2099, 1) }), 1_800_000_000_000),
    '1800000000000000001',
    'no clock is a year ahead',
  );
});

void t.test('a request goes to the push path, packed, as the tenant', async (t) => {
  const receiver = await startHttpReceiver(t, { answer: () => ({ status: 204 }) });
  const cases: readonly (readonly [string, Record<string, string>, string, Record<string, string>])[] = [
    ['', {}, '/loki/api/v1/push', { 'content-encoding': 'gzip' }],
    ['/', { SINK_LOKI_TENANT: 'team-a' }, '/loki/api/v1/push', { 'x-scope-orgid': 'team-a' }],
    [
      '/gateway/',
      { SINK_LOKI_BEARER_TOKEN: 's3cret' },
      '/gateway/loki/api/v1/push',
      { authorization: 'Bearer s3cret' },
    ],
    ['/loki/api/v1/push', { SINK_LOKI_BASIC_AUTH: 'a:b' }, '/loki/api/v1/push', { authorization: 'Basic YTpi' }],
  ];
  for (const [path, env, expectedPath, headers] of cases) {
    receiver.clear();
    const sink = await open(t, `${receiver.url}${path}`, env);
    await sink.write([makeSinkMessage(1)], never);
    t.match(receiver.requests[0], { path: expectedPath, headers });
  }
});

void t.test('a line that is too long is named and not sent, the others are taken', async (t) => {
  const lines: string[] = [];
  const receiver = await startHttpReceiver(t, { answer: takeInto(lines) });
  const long = makeSinkMessage(2, { body: Buffer.from(JSON.stringify({ text: 'x'.repeat(1024) })) });
  const limited = await open(t, receiver.url, { SINK_LOKI_MAX_LINE: '1KiB' });
  const unlimited = await open(t, receiver.url, { SINK_LOKI_MAX_LINE: '0' });

  await t.rejects(limited.write([makeSinkMessage(1), long, makeSinkMessage(3)], never), {
    code: 'sink-partial',
    failures: [{ index: 1, retryable: false, reason: /SINK_LOKI_MAX_LINE/u }],
  });
  t.equal(lines.length, 2);
  await t.rejects(limited.write([long], never), { code: 'sink-partial' });
  t.equal(receiver.requests.length, 1);
  await unlimited.write([long], never);
  t.equal(lines.length, 3);
});

void t.test('the status decides, and the error says what to do', async (t) => {
  const verdicts: Readonly<Record<string, readonly number[]>> = {
    taken: [200, 204],
    refused: [400, 413, 415, 422],
    retry: [301, 401, 403, 404, 408, 429, 500, 502, 503, 504],
  };
  for (const [verdict, statuses] of Object.entries(verdicts))
    for (const status of statuses) t.equal(judgeStatus(status), verdict, String(status));

  const receiver = await startHttpReceiver(t, {
    answer: () => ({ status: 429, headers: { 'retry-after': '3' }, body: 'Ingestion rate limit exceeded' }),
  });
  const sink = await open(t, receiver.url);
  await t.rejects(sink.write([makeSinkMessage(1)], never), {
    code: 'sink-retryable',
    retryAfterMs: 3000,
    message: /got 429: Ingestion rate limit exceeded \(/u,
  });
  receiver.answer(() => ({ status: 503 }));
  await t.rejects(sink.healthcheck(never), { code: 'sink-retryable' });
});

void t.test('settings that cannot work are refused', (t) => {
  const cases: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{ SINK_LOKI_LABELS: 'no-value' }, /`SINK_LOKI_LABELS`.*"no-value"/u],
    [{ SINK_LOKI_LABELS: 'a-b=c' }, /"a-b=c"/u],
    [{ SINK_LOKI_LABELS: 'topic=c' }, /other than service_name, cluster, topic/u],
    [{ SINK_LOKI_BEARER_TOKEN: 'a', SINK_LOKI_BASIC_AUTH: 'b:c' }, /one way to authenticate/u],
    [{ SINK_LOKI_TENANT: 'a\nb' }, /`SINK_LOKI_TENANT`/u],
  ];
  for (const [env, message] of cases)
    t.throws(() => load({ SINK_LOKI_ADDRESS: 'http://x/', ...env }), { message }, JSON.stringify(env));
  t.doesNotThrow(() => load({ SINK_LOKI_ADDRESS: 'http://x/', SINK_LOKI_LABELS: 'env=prod, team=a' }));
  t.end();
});
