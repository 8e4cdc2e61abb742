import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { startHttpReceiver, type ReceivedRequest, type Reply } from '@hydrant/testing/http-receiver';
import { testLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { makeNotice, type Notice } from './chat/notice.ts';
import { judgeStatus, makePagerdutyEvent, pagerdutySink } from './pagerduty.ts';

const never = new AbortController().signal;
const routingKey = '0123456789abcdef0123456789ABCDEF';

function load(env: Record<string, string>) {
  return loadConfig(pagerdutySink.settings, {
    env: { SINK_PAGERDUTY_ROUTING_KEY: routingKey, ...env },
    check: (values) => pagerdutySink.check?.(values as Parameters<NonNullable<typeof pagerdutySink.check>>[0]) ?? [],
  });
}

function createSink(address: string): Sink {
  return pagerdutySink.create(load({ SINK_PAGERDUTY_ADDRESS: `${address}/v2/enqueue` }), {
    log: testLog(),
    name: 'pagerduty',
  });
}

async function open(t: Test, address: string): Promise<Sink> {
  const sink = createSink(address);
  await sink.connect(never);
  t.teardown(() => sink.close());
  return sink;
}

/** Looks at an event as PagerDuty does. */
function takeInto(events: string[]): (request: ReceivedRequest) => Reply {
  return ({ method, path, body }) => {
    if (method !== 'POST') return { status: 405 };
    const event = JSON.parse(body.toString()) as {
      readonly routing_key: string;
      readonly event_action: string;
      readonly dedup_key: string;
      readonly payload: Readonly<Record<string, unknown>>;
    };
    const isValid =
      path === '/v2/enqueue' &&
      event.routing_key === routingKey &&
      ['trigger', 'resolve'].includes(event.event_action) &&
      event.dedup_key.length <= 255 &&
      String(event.payload['summary']).length <= 1024 &&
      typeof event.payload['source'] === 'string' &&
      ['critical', 'error', 'warning', 'info'].includes(String(event.payload['severity']));
    if (!isValid) return { status: 400, body: '{"status":"invalid event"}' };
    events.push(body.toString());
    return {
      status: 202,
      body: JSON.stringify({ status: 'success', message: 'Event processed', dedup_key: event.dedup_key }),
    };
  };
}

sinkContract(t, {
  name: 'pagerduty',
  arrivesAs: (message) =>
    JSON.stringify(makePagerdutyEvent(makeNotice(message, null), { routingKey, severity: 'error' })),
  async create(t) {
    const events: string[] = [];
    const take = takeInto(events);
    const receiver = await startHttpReceiver(t, { answer: take });
    return {
      sink: createSink(receiver.url),
      arrived: () => events,
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

const notice: Notice = {
  kind: 'opened',
  sentence: 'Task server of job web is crash-looping: 5 crashes within 10m',
  id: '0'.repeat(32),
  type: 'crash-loop',
  cluster: 'north',
  namespace: 'shop',
  job: 'web',
  task: 'server',
  time: '2026-05-06T07:08:09.000Z',
  facts: [{ label: 'Why', text: 'exit code 17' }],
  nextStep: 'nomad alloc logs -stderr a server',
  link: 'https://nomad.example/ui/allocations/a/server',
};
const options = { routingKey, severity: 'critical' };

void t.test('an alert opens an incident under its id, and its end resolves it', (t) => {
  t.same(makePagerdutyEvent(notice, options), {
    routing_key: routingKey,
    event_action: 'trigger',
    dedup_key: '0'.repeat(32),
    client: 'Hydrant',
    client_url: notice.link,
    links: [{ href: notice.link, text: 'Show it in Nomad' }],
    payload: {
      summary: notice.sentence,
      source: 'north/shop',
      severity: 'critical',
      timestamp: notice.time,
      component: 'server',
      group: 'web',
      class: 'crash-loop',
      custom_details: { Why: 'exit code 17', Next: 'nomad alloc logs -stderr a server' },
    },
  });
  t.match(makePagerdutyEvent({ ...notice, kind: 'ongoing' }, options), {
    event_action: 'trigger',
    dedup_key: notice.id,
  });
  t.match(makePagerdutyEvent({ ...notice, kind: 'resolved' }, options), {
    event_action: 'resolve',
    dedup_key: notice.id,
  });
  t.match(makePagerdutyEvent(makeNotice(makeSinkMessage(1), null), options), {
    event_action: 'trigger',
    dedup_key: makeSinkMessage(1).id,
    payload: { severity: 'info' },
  });
  t.end();
});

void t.test('nothing grows beyond what PagerDuty takes', (t) => {
  const long = 'ä'.repeat(100_000);
  const event = makePagerdutyEvent(
    {
      ...notice,
      sentence: long,
      id: long,
      cluster: long,
      job: long,
      task: long,
      facts: [{ label: long, text: long }],
      nextStep: long,
    },
    options,
  );
  t.ok(Buffer.byteLength(JSON.stringify(event)) < 16_384);
  t.match(event, { dedup_key: /^[0-9a-f]{64}$/u });
  t.equal((event['payload'] as { readonly summary: string }).summary.length, 1024);
  t.end();
});

void t.test('the status decides', (t) => {
  const verdicts: Readonly<Record<string, readonly number[]>> = {
    taken: [200, 202],
    refused: [400, 413],
    retry: [302, 401, 403, 404, 408, 429, 500, 503],
  };
  for (const [verdict, statuses] of Object.entries(verdicts))
    for (const status of statuses) t.equal(judgeStatus(status), verdict, String(status));
  t.end();
});

void t.test('Retry-After is kept, and no error shows the key', async (t) => {
  const receiver = await startHttpReceiver(t, { answer: () => ({ status: 429, headers: { 'retry-after': '12' } }) });
  const sink = await open(t, receiver.url);

  const limited = await sink.write([makeSinkMessage(1)], never).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  );
  receiver.answer(() => ({ status: 400, body: `{"errors":["no such key ${routingKey}"]}` }));
  const refused = await sink.write([makeSinkMessage(1)], never).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  );

  t.match(limited, { code: 'sink-retryable', retryAfterMs: 12_000 });
  t.match(refused, { code: 'sink-permanent', message: /no such key \*\*\*.*SINK_PAGERDUTY_ROUTING_KEY/u });
});

void t.test('a key that is none is refused before anything is sent', (t) => {
  for (const key of ['x', '', `${routingKey} `])
    t.throws(() => load({ SINK_PAGERDUTY_ROUTING_KEY: key }), { message: /`SINK_PAGERDUTY_ROUTING_KEY`/u });
  t.match(pagerdutySink, {
    defaults: { batchEvents: 1, bindings: ['crash-loop', 'crash-loop-resolved'] },
    maxConcurrency: 1,
  });
  t.end();
});
