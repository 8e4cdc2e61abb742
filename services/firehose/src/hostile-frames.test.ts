/** Frames as only a stranger would write them go through the whole firehose, and take nothing else with them. */
import { systemClock } from '@hydrant/shared/foundation/clock';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import { eventually } from '@hydrant/testing/eventually';
import { testLog } from '@hydrant/testing/test-log';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { nomadSettings, readFirehoseOptions, spoolSettings, streamSettings } from './config.ts';
import { createFirehose } from './firehose.ts';

/** Bodies that arrive on the bus, in order, when Nomad sends these lines. */
async function publishAll(
  t: Test,
  lines: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<readonly string[]> {
  const nomad = createServer((request, response) => {
    if (request.url?.startsWith('/v1/event/stream') === true) response.write(['{}', ...lines, ''].join('\n'));
    else response.end('[]');
  });
  nomad.listen(0, '127.0.0.1');
  await once(nomad, 'listening');
  t.teardown(() => {
    nomad.closeAllConnections();
    nomad.close();
  });
  const url = `http://127.0.0.1:${String((nomad.address() as AddressInfo).port)}`;
  const published: string[] = [];
  const config = loadConfig(
    { ...nomadSettings, ...streamSettings, ...spoolSettings },
    { env: { NOMAD_ADDR: url, ...env } },
  );
  const firehose = createFirehose(readFirehoseOptions(config), {
    bus: {
      hasQueue: () => Promise.resolve(true),
      publish({ body }) {
        published.push(body.toString());
        return Promise.resolve('routed');
      },
    },
    spool: createMemorySpool({ maxBytes: config.FIREHOSE_SPOOL_MAX_BYTES }),
    checkpointStore: { description: 'nowhere', load: () => Promise.resolve(undefined), save: () => Promise.resolve() },
    log: testLog(),
    metrics: createMetrics({ service: 'firehose', version: '0' }),
    clock: systemClock,
  });
  await firehose.start(new AbortController().signal);
  t.teardown(() => firehose.stop(AbortSignal.abort()));
  return published;
}

function event(topic: string, key: string, payload = '{}'): string {
  return `{"Topic":"${topic}","Type":"T","Key":"${key}","Namespace":"default","FilterKeys":null,"Index":7,"Payload":${payload}}`;
}

function frame(index: number, events: readonly string[]): string {
  return `{"Index":${String(index)},"Events":[${events.join(',')}]}`;
}

t.test('a frame may have more events than a call takes arguments', async (t) => {
  const count = 130_000;
  const published = await publishAll(t, [frame(7, Array<string>(count).fill('{}')), frame(8, [event('Job', 'web')])]);

  await eventually(() => published.length === count + 1, { timeoutMs: 60_000 });

  t.equal(published.at(-1), event('Job', 'web'));
});

t.test('a job that is nested as deep as its author likes hides no event', async (t) => {
  for (const redact of ['none', 'tokens', 'env,templates,meta,payload,config']) {
    const deep = event(
      'Job',
      'deep',
      `{"Job":{"Odd":1,"TaskGroups":[{"Tasks":[{"Config":${redact.includes('config') ? '{}' : `{"a":${'['.repeat(600)}${']'.repeat(600)}}`}}]}]}}`,
    );
    const sent = event(
      'Job',
      'deep',
      `{"Job":{"Odd":1,"TaskGroups":[{"Tasks":[{"Config":{"a":${'['.repeat(600)}${']'.repeat(600)}}}]}]}}`,
    );
    const published = await publishAll(
      t,
      [frame(7, [event('Evaluation', 'before'), sent, event('Evaluation', 'after')])],
      { FIREHOSE_REDACT: redact, FIREHOSE_COMPAT: 'jobs' },
    );

    await eventually(() => published.length >= 3);

    t.strictSame(published.slice(0, 3), [event('Evaluation', 'before'), deep, event('Evaluation', 'after')], redact);
  }
});

t.test('identities of allocations are not published, other bytes are', async (t) => {
  const allocation = (identities: string): string =>
    event(
      'Allocation',
      'a',
      `{"Allocation":{"ID":"a","SignedIdentities":${identities},"ModifyTime":1755765238123456789}}`,
    );
  const published = await publishAll(t, [frame(7, [allocation('{"app":"eyJhbGciOi"}'), allocation('null')])]);

  await eventually(() => published.length === 2);

  t.strictSame(published, [allocation('{}'), allocation('null')]);
});
