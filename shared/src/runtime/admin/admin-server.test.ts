import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import { createMetrics } from '../telemetry/metrics.ts';
import { createAdminServer, type AdminServer, type AdminServerOptions } from './admin-server.ts';
import type { Health } from './health.ts';

const neverAborted = new AbortController().signal;

interface Test {
  teardown(action: () => unknown): void;
}

async function startServer(
  t: Test,
  overrides: Partial<AdminServerOptions> = {},
): Promise<{ server: AdminServer; get(path: string): Promise<Response> }> {
  const metrics = createMetrics({ service: 'test', version: '1.2.3' });
  const server = createAdminServer({
    host: '127.0.0.1',
    port: 0,
    metrics,
    healthChecks: [],
    log: testLog(),
    ...overrides,
  });
  t.teardown(() => server.stop(neverAborted));
  await server.start(neverAborted);
  return { server, get: (path) => fetch(`http://127.0.0.1:${String(server.address.port)}${path}`) };
}

void t.test('readiness names each dependency and fails with one of them', async (t) => {
  const health: { nomad: Health; redis: Health } = {
    nomad: { status: 'pass', detail: 'index 7' },
    redis: { status: 'pass' },
  };
  const { server, get } = await startServer(t, {
    healthChecks: [
      { name: 'nomad', check: () => health.nomad },
      { name: 'redis', check: () => health.redis },
    ],
  });
  const read = async (path: string): Promise<unknown> => {
    const response = await get(path);
    return [response.status, await response.json()];
  };

  t.same(await read('/readyz'), [
    200,
    { status: 'pass', checks: { nomad: { status: 'pass' }, redis: { status: 'pass' } } },
  ]);
  t.same(await read('/readyz?verbose'), [
    200,
    { status: 'pass', checks: { nomad: { status: 'pass', detail: 'index 7' }, redis: { status: 'pass' } } },
  ]);
  health.redis = { status: 'fail', detail: 'redis://127.0.0.1:1: ECONNREFUSED' };
  t.same(await read('/readyz'), [
    503,
    {
      status: 'fail',
      checks: { nomad: { status: 'pass' }, redis: { status: 'fail', detail: 'redis://127.0.0.1:1: ECONNREFUSED' } },
    },
  ]);
  t.equal((await get('/livez')).status, 200, 'the process lives without its dependencies');
  health.redis = { status: 'pass' };
  server.setDraining();
  t.match(await read('/readyz'), [503, { checks: { process: { status: 'fail', detail: 'is shutting down' } } }]);
});

void t.test('a check that throws fails and leaves the others', async (t) => {
  const { get } = await startServer(t, {
    healthChecks: [
      {
        name: 'odd',
        check: () => {
          throw new Error('no idea');
        },
      },
      { name: 'redis', check: () => ({ status: 'pass' }) },
    ],
  });

  t.same(await (await get('/readyz')).json(), {
    status: 'fail',
    checks: { odd: { status: 'fail', detail: 'its check failed: no idea' }, redis: { status: 'pass' } },
  });
});

void t.test('metrics are served in the text format', async (t) => {
  const metrics = createMetrics({ service: 'test', version: '1.2.3' });
  const counter = metrics.counter({ name: 'hydrant_test_events_total', help: 'Events.', labels: ['topic'] });
  metrics.counter({ name: 'hydrant_test_events_total', help: 'Events.', labels: ['topic'] }).inc(2, { topic: 'Job' });
  metrics.gauge({ name: 'hydrant_test_depth', help: 'Depth.', read: () => 6 });
  metrics.gauge({ name: 'hydrant_test_depth', help: 'Depth.', read: () => 7 });
  metrics.gauge({ name: 'hydrant_test_index', help: 'Index.' }).set(9);
  metrics.histogram({ name: 'hydrant_test_write_seconds', help: 'Time.', buckets: [0.1, 1] }).observe(0.5);
  counter.inc(0, { topic: 'Node' });
  const { get } = await startServer(t, { metrics });

  const response = await get('/metrics');
  const answer = await response.text();

  t.match(response.headers.get('content-type'), 'text/plain; version=0.0.4');
  for (const line of [
    'hydrant_build_info{service="test",version="1.2.3"} 1',
    'hydrant_test_events_total{topic="Job"} 2',
    'hydrant_test_events_total{topic="Node"} 0',
    'hydrant_test_depth 7',
    'hydrant_test_index 9',
    'hydrant_test_write_seconds_bucket{le="0.1"} 0',
    'hydrant_test_write_seconds_bucket{le="1"} 1',
    'process_cpu_seconds_total',
  ])
    t.match(answer, line);
});

void t.test('metrics tell of each dependency what readiness says', async (t) => {
  const health: { redis: Health } = { redis: { status: 'pass' } };
  const { server, get } = await startServer(t, {
    healthChecks: [
      { name: 'nomad', check: () => ({ status: 'fail' }) },
      { name: 'redis', check: () => health.redis },
    ],
  });
  const read = async (): Promise<string[]> =>
    [...(await (await get('/metrics')).text()).matchAll(/^hydrant_dependency_ready.*$/gmu)].map(([line]) => line);

  t.same(await read(), [
    'hydrant_dependency_ready{dependency="nomad"} 0',
    'hydrant_dependency_ready{dependency="redis"} 1',
  ]);
  health.redis = { status: 'fail' };
  server.setDraining();
  t.same(await read(), [
    'hydrant_dependency_ready{dependency="nomad"} 0',
    'hydrant_dependency_ready{dependency="redis"} 0',
    'hydrant_dependency_ready{dependency="process"} 0',
  ]);
});

/** The answer to these bytes, whole. */
async function speak(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.end(bytes);
  return text(socket);
}

void t.test('a name that is not its own is refused, whatever the path', async (t) => {
  const { server } = await startServer(t, { allowedHosts: ['hydrant.example.com'] });
  const ask = (host: string, path = '/livez'): Promise<string> =>
    speak(server.address.port, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);

  for (const path of ['/', '/livez', '/metrics', '/nothing', '/%', 'http://localhost/livez'])
    t.match(await ask('evil.example', path), /^HTTP\/1\.1 421 [\s\S]*HTTP_ALLOWED_HOSTS/u, path);
  for (const host of ['127.0.0.1', 'localhost:9400', '[::1]', 'firehose:9401', 'hydrant.example.com'])
    t.match(await ask(host), /^HTTP\/1\.1 200 /u, host);
  t.match(await speak(server.address.port, 'GET /livez HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /u);
});

void t.test('no answer is taken for anything but what it says it is', async (t) => {
  const { server } = await startServer(t, {
    routes: [
      (app) =>
        app.get('/broken', () => {
          throw new Error('broken');
        }),
    ],
  });
  const requests = ['/livez', '/readyz', '/metrics', '/nothing', '/broken', '/%', `/${'x'.repeat(20_000)}`].map(
    (path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
  );

  for (const bytes of [
    ...requests,
    'GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n',
    'POST /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: x/y\r\nContent-Length: 1\r\n\r\n1',
    'nonsense\r\n\r\n',
  ]) {
    t.match(
      await speak(server.address.port, bytes),
      /^HTTP\/1\.1 \d{3} [\s\S]*\r\nx-content-type-options: nosniff\r\n/iu,
      bytes.slice(0, 40),
    );
  }
});

void t.test('a request that cannot be answered is logged', async (t) => {
  const { log, lines } = recordingLog('warn');
  const metrics = createMetrics({ service: 'test', version: '1.2.3' });
  metrics.gauge({
    name: 'hydrant_test_depth',
    help: 'Depth.',
    read: () => {
      throw new Error('no depth');
    },
  });
  const { get } = await startServer(t, { metrics, log });

  t.equal((await get('/metrics')).status, 500);
  t.equal((await get('/nothing')).status, 404);

  t.match(lines, [{ level: 'error', path: '/metrics', err: { message: 'no depth' } }]);
  t.equal(lines.length, 1);
});

void t.test('a port that is taken is an error that says what to do', async (t) => {
  const { server } = await startServer(t);
  const { port } = server.address;

  await t.rejects(startServer(t, { port }), {
    code: 'admin-listen',
    message: `Expected to listen on 127.0.0.1:${String(port)}, could not: another program has that port; set HTTP_PORT to a free one, or to 0 for any`,
  });
});

void t.test('stop ends open connections, and is safe twice and without start', async (t) => {
  const { server, get } = await startServer(t);
  await (await get('/livez')).text();

  await server.stop(neverAborted);
  await server.stop(neverAborted);

  await t.rejects(get('/livez'));
  const metrics = createMetrics({ service: 'test', version: '1.2.3' });
  await t.resolves(
    createAdminServer({ host: '127.0.0.1', port: 0, metrics, healthChecks: [], log: testLog() }).stop(neverAborted),
  );
});
