import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { PartialFailure, Sink } from '@hydrant/shared/delivery/sink';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { startHttpReceiver, type HttpReceiver, type ReceivedRequest, type Reply } from '@hydrant/testing/http-receiver';
import { testLog } from '@hydrant/testing/test-log';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { httpSink, judgeProbe } from './http.ts';
import { retryAfterMs } from './http-request/retry-after.ts';

const never = new AbortController().signal;

function load(env: Record<string, string>) {
  // `check` is given what the schema made.
  return loadConfig(httpSink.settings, {
    env,
    check: (values) => httpSink.check?.(values as Parameters<NonNullable<typeof httpSink.check>>[0]) ?? [],
  });
}

async function open(t: Test, address: string, env: Record<string, string> = {}): Promise<Sink> {
  const sink = httpSink.create(load({ SINK_HTTP_ADDRESS: address, ...env }), { log: testLog(), name: 'http' });
  await sink.connect(never);
  t.teardown(() => sink.close());
  return sink;
}

const readers: Readonly<Record<string, (request: ReceivedRequest) => readonly string[]>> = {
  // Bodies lie between known bytes, so that they can be compared as bytes.
  array: ({ body }) =>
    body
      .toString()
      .slice(1, -1)
      .split(/(?<=\}),(?=\{)/u),
  ndjson: ({ body }) => body.toString().trimEnd().split('\n'),
  single: ({ body }) => [body.toString()],
  cloudevents: ({ body }) =>
    body
      .toString()
      .slice(1, -2)
      .split(/\},(?=\{"specversion")/u)
      .map((event) => event.slice(event.indexOf('"data":') + 7)),
};

for (const [format, read] of Object.entries(readers)) {
  sinkContract(t, {
    name: `http ${format}`,
    without: format === 'single' ? {} : { refuseOne: 'an answer speaks for the whole request' },
    async create(t) {
      const taken: ReceivedRequest[] = [];
      const take = (request: ReceivedRequest): Reply => {
        taken.push(request);
        return { status: 200 };
      };
      const receiver = await startHttpReceiver(t, { answer: take });
      const sink = httpSink.create(
        load({
          SINK_HTTP_ADDRESS: receiver.url,
          SINK_HTTP_FORMAT: format,
          SINK_HTTP_GZIP: String(format === 'ndjson'),
        }),
        { log: testLog(), name: 'http' },
      );
      return {
        sink,
        arrived: () => taken.flatMap(read),
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
          receiver.answer(() => ({ status: 400 }));
        },
        refuseOne: (body) => {
          receiver.answer((request) => (request.body.toString() === body ? { status: 400 } : take(request)));
        },
      };
    },
  });
}

void t.test('a request says what it is', async (t) => {
  const receiver = await startHttpReceiver(t);
  const { host } = new URL(receiver.url);
  const batch = [makeSinkMessage(1), makeSinkMessage(2)];
  const cases: readonly (readonly [Record<string, string>, Record<string, string | undefined>])[] = [
    [
      {},
      {
        'content-type': 'application/json',
        authorization: undefined,
        'content-encoding': undefined,
        'user-agent': 'hydrant',
      },
    ],
    [
      { SINK_HTTP_FORMAT: 'ndjson', SINK_HTTP_GZIP: 'true' },
      { 'content-type': 'application/x-ndjson', 'content-encoding': 'gzip' },
    ],
    [{ SINK_HTTP_FORMAT: 'cloudevents' }, { 'content-type': 'application/cloudevents-batch+json; charset=utf-8' }],
    [{ SINK_HTTP_HEADERS: 'X-Tenant: team-a, X-Zone: b:1' }, { 'x-tenant': 'team-a', 'x-zone': 'b:1' }],
    [
      { SINK_HTTP_HEADERS: 'content-TYPE: application/vnd.events+json' },
      { 'content-type': 'application/vnd.events+json' },
    ],
    [{ SINK_HTTP_BEARER_TOKEN: 's3cret' }, { authorization: 'Bearer s3cret' }],
    [{ SINK_HTTP_BASIC_AUTH: 'ann:p:w' }, { authorization: `Basic ${Buffer.from('ann:p:w').toString('base64')}` }],
    [
      { SINK_HTTP_ADDRESS: `http://ann:p%40w@${host}/in?a=b` },
      { authorization: `Basic ${Buffer.from('ann:p@w').toString('base64')}` },
    ],
  ];
  for (const [env, headers] of cases) {
    receiver.clear();
    const sink = await open(t, receiver.url, env);
    await sink.write(batch, never);
    const [request] = receiver.requests;
    t.equal(request?.method, 'POST');
    for (const [name, value] of Object.entries(headers))
      t.equal(request?.headers[name], value, `${name} with ${JSON.stringify(env)}`);
  }
  t.equal(receiver.requests[0]?.path, '/in?a=b');
});

void t.test('a CloudEvent carries what stands beside the event', async (t) => {
  const receiver = await startHttpReceiver(t);
  const sink = await open(t, receiver.url, { SINK_HTTP_FORMAT: 'cloudevents' });

  await sink.write([makeSinkMessage(1), makeSinkMessage(2, { timestampMs: 1e300 })], never);

  const events = JSON.parse(receiver.requests[0]?.body.toString() ?? '') as readonly unknown[];
  t.match(events, [
    {
      specversion: '1.0',
      id: 'default/1/Allocation/default/0b3b2f4e/0',
      source: '/nomad/default',
      type: 'nomad.Allocation.AllocationUpdated',
      subject: 'event.Allocation.AllocationUpdated.default.web',
      time: '2026-05-06T07:08:09.000Z',
      datacontenttype: 'application/json',
      data: { Index: 1 },
    },
    { data: { Index: 2 } },
  ]);
  t.notOk('time' in (events[1] as object));
});

void t.test('a repeat carries the same Idempotency-Key, other messages another', async (t) => {
  const receiver = await startHttpReceiver(t);
  const sink = await open(t, receiver.url);
  const nameless = { id: '', routingKey: 'other' };
  const batches = [
    [makeSinkMessage(1), makeSinkMessage(2)],
    [makeSinkMessage(1), makeSinkMessage(2)],
    [makeSinkMessage(1)],
    [makeSinkMessage(1, { id: 'jöb 1' })],
    [makeSinkMessage(3, nameless)],
    [makeSinkMessage(4, nameless)],
  ];

  for (const batch of batches) await sink.write(batch, never);

  const keys = receiver.requests.map((request) => String(request.headers['idempotency-key']));
  t.match(keys[0], /^default\/1\/Allocation\/default\/0b3b2f4e\/0-[0-9a-f]{16}$/u);
  t.equal(keys[1], keys[0]);
  t.equal(new Set(keys).size, 5);
});

void t.test('the status decides: taken, tried again, or refused for good', async (t) => {
  const receiver = await startHttpReceiver(t);
  const cases: readonly (readonly [Reply, string | undefined, Record<string, string>?])[] = [
    ...[200, 201, 202, 204, 299].map((status) => [{ status }, undefined] as const),
    ...[408, 425, 429, 500, 502, 503, 504, 599].map((status) => [{ status }, 'sink-retryable'] as const),
    ...[400, 401, 403, 404, 409, 413, 422].map((status) => [{ status }, 'sink-permanent'] as const),
    ...[301, 302, 307, 308].map(
      (status) => [{ status, headers: { location: 'https://elsewhere.example/?key=1' } }, 'sink-permanent'] as const,
    ),
    [{ status: 404 }, 'sink-retryable', { SINK_HTTP_RETRY_STATUSES: '404' }],
    [{ status: 503 }, 'sink-permanent', { SINK_HTTP_RETRY_STATUSES: '404' }],
    [{ status: 418 }, 'sink-retryable', { SINK_HTTP_RETRY_STATUSES: '4xx,5xx' }],
  ];
  for (const [reply, code, env] of cases) {
    receiver.answer(() => reply);
    const sink = await open(t, receiver.url, env);
    const writing = sink.write([makeSinkMessage(1)], never);
    if (code === undefined) await t.resolves(writing, String(reply.status));
    else await t.rejects(writing, { code, message: new RegExp(`, got ${String(reply.status)}`, 'u') });
  }
});

void t.test(
  'server errors may be the fault of a message, an endpoint that says when to come again speaks of itself',
  async (t) => {
    const cases: readonly (readonly [Reply, boolean])[] = [
      [{ status: 500 }, true],
      [{ status: 502 }, true],
      [{ status: 503 }, true],
      [{ status: 503, headers: { 'retry-after': '7' } }, false],
      [{ status: 429 }, false],
    ];
    const receiver = await startHttpReceiver(t);
    const whole = await open(t, receiver.url);
    const each = await open(t, receiver.url, { SINK_HTTP_FORMAT: 'single' });
    for (const [reply, isDoubtful] of cases) {
      receiver.answer(() => reply);
      await t.rejects(whole.write([makeSinkMessage(1)], never), { code: 'sink-retryable', isDoubtful });
      const [first] = await failuresOf(each, 2, never);
      t.equal(first?.isDoubtful === true, isDoubtful, String(reply.status));
    }
  },
);

void t.test(
  'a look by OPTIONS says what is wrong with address, credentials or endpoint, and nothing of endpoints that do not know OPTIONS',
  async (t) => {
    const cases: readonly (readonly [number, RegExp | undefined])[] = [
      ...[200, 204, 400, 405, 415, 422, 501].map((status) => [status, undefined] as const),
      [301, /set SINK_HTTP_ADDRESS to the final address/u],
      [308, /final address/u],
      [401, /token, user and password/u],
      [403, /token/u],
      [404, /path of SINK_HTTP_ADDRESS/u],
      [410, /path/u],
      [408, /busy/u],
      [429, /busy/u],
      [500, /it is ill/u],
      [502, /ill/u],
      [503, /ill/u],
    ];
    const receiver = await startHttpReceiver(t);
    const sink = await open(t, receiver.url);
    for (const [status, message] of cases) {
      receiver.answer(({ method }) => ({ status: method === 'OPTIONS' ? status : 204 }));
      if (message === undefined) {
        t.equal(judgeProbe(status), undefined, String(status));
        await t.resolves(sink.healthcheck(never), String(status));
      } else {
        await t.rejects(
          sink.healthcheck(never),
          {
            code: 'sink-retryable',
            message: new RegExp(`to take OPTIONS, got ${String(status)} \\(.*${message.source}`, 'u'),
          },
          String(status),
        );
      }
      await t.resolves(sink.write([makeSinkMessage(1)], never), 'it stops no delivery');
    }
  },
);

void t.test('an error tells the beginning of the answer and no secret', async (t) => {
  const receiver = await startHttpReceiver(t);
  const { url } = receiver;
  const token = 'tok-1234567890';
  receiver.answer(() => ({ status: 401, body: `unknown token ${token} ${'x'.repeat(100_000)}` }));
  const sink = await open(t, `${receiver.url}/in?key=query-secret`, { SINK_HTTP_BEARER_TOKEN: token });

  const error = await sink.write([makeSinkMessage(1), makeSinkMessage(2)], never).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  );
  await receiver.close();
  const refused = await sink.write([makeSinkMessage(1)], never).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  );

  t.match(error?.message, `Expected ${url}/in to take 2 messages, got 401: unknown token *** xxx`);
  t.ok((error?.message.length ?? Infinity) < 300);
  t.match(refused?.message, /\/in to answer, got ECONNREFUSED$/u);
  for (const text of [error?.message, refused?.message]) t.notMatch(text, /tok-|query-secret/u);
});

void t.test('Retry-After is read as seconds or as a date', async (t) => {
  const nowMs = Date.parse('Wed, 06 May 2026 07:00:00 GMT');
  const cases: readonly (readonly [string | string[] | undefined, number | undefined])[] = [
    ['7', 7000],
    ['0', 0],
    [['3', '4'], 3000],
    ['Wed, 06 May 2026 07:00:30 GMT', 30_000],
    ['Wed, 06 May 2026 06:00:00 GMT', 0],
    [undefined, undefined],
    ['', undefined],
    ['soon', undefined],
    ['-5', undefined],
  ];
  for (const [header, expected] of cases) t.equal(retryAfterMs(header, nowMs), expected, String(header));

  const receiver = await startHttpReceiver(t, { answer: () => ({ status: 429, headers: { 'retry-after': '7' } }) });
  for (const format of ['array', 'single']) {
    const sink = await open(t, receiver.url, { SINK_HTTP_FORMAT: format });
    const error: unknown = await sink.write([makeSinkMessage(1), makeSinkMessage(2)], never).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    t.match(error, { retryAfterMs: 7000 });
  }
});

async function failuresOf(sink: Sink, count: number, signal: AbortSignal): Promise<readonly PartialFailure[]> {
  const error = await sink
    .write(
      Array.from({ length: count }, (_, n) => makeSinkMessage(n)),
      signal,
    )
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  return (error as { readonly failures?: readonly PartialFailure[] } | undefined)?.failures ?? [];
}

void t.test(
  'one request per message: those refused are named, the first to be tried again ends the round',
  async (t) => {
    const receiver: HttpReceiver = await startHttpReceiver(t);
    const sink = await open(t, receiver.url, { SINK_HTTP_FORMAT: 'single' });
    const cases: readonly (readonly [readonly number[], readonly (readonly [number, boolean])[], number])[] = [
      [[200, 200, 200, 200], [], 4],
      [
        [200, 400, 200, 404],
        [
          [1, false],
          [3, false],
        ],
        4,
      ],
      [
        [200, 400, 503, 200],
        [
          [1, false],
          [2, true],
          [3, true],
        ],
        3,
      ],
    ];
    for (const [statuses, expected, requests] of cases) {
      receiver.clear();
      receiver.answer(() => ({ status: statuses[receiver.requests.length - 1] ?? 500 }));
      const failures = await failuresOf(sink, statuses.length, never);
      t.same(
        failures.map(({ index, retryable }) => [index, retryable]),
        expected,
      );
      t.equal(receiver.requests.length, requests);
    }
  },
);

void t.test('one request per message: what was taken in time is not named', async (t) => {
  const receiver = await startHttpReceiver(t);
  const limit = new AbortController();
  receiver.answer((_request, index) => {
    if (index < 2) return { status: 204 };
    limit.abort();
    return 'hang';
  });
  const sink = await open(t, receiver.url, { SINK_HTTP_FORMAT: 'single' });

  const failures = await failuresOf(sink, 4, limit.signal);

  t.same(
    failures.map(({ index, retryable }) => [index, retryable]),
    [
      [2, true],
      [3, true],
    ],
  );
});

void t.test('an endless answer is cut off', async (t) => {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200);
    const more = (): void => {
      while (response.write(Buffer.alloc(16_384, 'x')));
    };
    response.on('drain', more);
    more();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const sink = await open(t, `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`);

  await t.resolves(sink.write([makeSinkMessage(1)], never));
});

void t.test('settings that cannot work are refused', (t) => {
  const cases: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{}, /`SINK_HTTP_ADDRESS`/u],
    [{ SINK_HTTP_ADDRESS: 'ftp://x' }, /`SINK_HTTP_ADDRESS` to be a URL/u],
    [{ SINK_HTTP_FORMAT: 'xml' }, /`SINK_HTTP_FORMAT`/u],
    [{ SINK_HTTP_HEADERS: 'no-colon' }, /`SINK_HTTP_HEADERS`/u],
    [{ SINK_HTTP_HEADERS: 'bad name: x' }, /`SINK_HTTP_HEADERS`/u],
    ...[
      'Expect',
      'Transfer-Encoding',
      'UPGRADE',
      'connection',
      'Keep-Alive',
      'TE',
      'Trailer',
      'Content-Length',
      'Host',
      'Proxy-Authorization',
      'Idempotency-Key',
      'Content-Encoding',
      'webhook-id',
    ].map(
      (name) =>
        [
          { SINK_HTTP_HEADERS: `X-A: b, ${name}: x` },
          new RegExp(`\`SINK_HTTP_HEADERS\` to hold headers that are free, got ${name.toLowerCase()}: `, 'u'),
        ] as const,
    ),
    [{ SINK_HTTP_HEADERS: 'X-A: b, x-a: c' }, /got x-a: it is there twice/u],
    [
      { SINK_HTTP_HEADERS: 'Authorization: Basic abc', SINK_HTTP_BEARER_TOKEN: 'x' },
      /one way to authenticate, got `SINK_HTTP_BEARER_TOKEN` and Authorization in `SINK_HTTP_HEADERS`/u,
    ],
    [{ SINK_HTTP_BEARER_TOKEN: 'two\nlines' }, /`SINK_HTTP_BEARER_TOKEN`/u],
    [
      { SINK_HTTP_BEARER_TOKEN: 'a', SINK_HTTP_BASIC_AUTH: 'b:c' },
      /got `SINK_HTTP_BEARER_TOKEN` and `SINK_HTTP_BASIC_AUTH`/u,
    ],
    [{ SINK_HTTP_ADDRESS: 'http://a:b@x/', SINK_HTTP_BEARER_TOKEN: 'a' }, /user and password in `SINK_HTTP_ADDRESS`/u],
    [{ SINK_HTTP_RETRY_STATUSES: '429,6xx' }, /`SINK_HTTP_RETRY_STATUSES`.*"6xx"/u],
  ];
  for (const [env, message] of cases)
    t.throws(
      () => load({ ...(Object.keys(env).length === 0 ? {} : { SINK_HTTP_ADDRESS: 'http://x/' }), ...env }),
      { message },
      JSON.stringify(env),
    );
  t.equal(
    httpSink.encodedBytes?.(makeSinkMessage(1), load({ SINK_HTTP_ADDRESS: 'http://x/' })),
    makeSinkMessage(1).body.length + 1,
  );
  t.end();
});
