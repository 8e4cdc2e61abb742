import { createConnection } from 'node:net';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { eventually } from './eventually.ts';
import { startFaultProxy } from './fault-proxy.ts';
import { startHttpReceiver } from './http-receiver.ts';
import { startPrivateNats, withoutNatsServer } from './private-nats.ts';
import { startPrivateRabbitMq } from './private-rabbitmq.ts';
import { startPrivateRedis } from './private-redis.ts';
import { readRecording } from './recordings.ts';
import { recordingLog } from './test-log.ts';

async function askRedis(port: number, command: string): Promise<string> {
  const socket = createConnection({ port, host: '127.0.0.1' });
  socket.write(`${command}\r\n`);
  const closed = new AbortController();
  socket.once('close', () => {
    closed.abort(new Error('Expected an answer, the connection was closed'));
  });
  const [bytes] = (await once(socket, 'data', { signal: closed.signal })) as [Buffer];
  socket.destroy();
  return bytes.toString();
}

async function greeting(port: number): Promise<string> {
  const socket = createConnection({ port, host: '127.0.0.1' });
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return bytes.toString();
}

t.test('a private Redis keeps what was written over kill and start', async (t) => {
  const redis = await startPrivateRedis(t);
  t.equal(await askRedis(redis.port, 'SET a 1'), '+OK\r\n');

  await redis.kill();
  await t.rejects(askRedis(redis.port, 'PING'));
  await redis.start();

  t.equal(await askRedis(redis.port, 'GET a'), '$1\r\n1\r\n');
});

t.test('a private nats-server has JetStream and comes back on its port', { skip: withoutNatsServer }, async (t) => {
  const nats = await startPrivateNats(t, { config: ['max_payload: 4096'] });
  t.match(
    await greeting(nats.port),
    /^INFO .*"max_payload":4096.*"jetstream":true|^INFO .*"jetstream":true.*"max_payload":4096/u,
  );

  await nats.kill();
  t.equal(nats.pid, undefined);
  await nats.start();

  t.match(await greeting(nats.port), /^INFO /u);
});

t.test('two private brokers of one process are virtual hosts of one node', async (t) => {
  const first = await startPrivateRabbitMq(t);
  const second = await startPrivateRabbitMq(t);

  t.equal(first.port, second.port);
  t.not(first.vhost, second.vhost);
  t.match(await first.ctl('list_vhosts', 'name'), second.vhost);
});

t.test('an exclusive broker is killed and started again on its port', async (t) => {
  const broker = await startPrivateRabbitMq(t, { exclusive: true });
  await broker.ctl('add_vhost', 'kept');

  await broker.kill();
  t.equal(broker.pid, undefined);
  await broker.start();

  t.match(await broker.ctl('list_vhosts', 'name'), 'kept');
});

t.test('servers and folders go when the test process is killed', async (t) => {
  const source = `
    import { startPrivateRedis } from ${JSON.stringify(new URL('./private-redis.ts', import.meta.url).href)};
    const redis = await startPrivateRedis();
    process.stdout.write(JSON.stringify({ port: redis.port, pid: redis.pid }));
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, [...process.execArgv, '--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const redis = JSON.parse(line.toString()) as { port: number; pid: number };
  t.ok(existsSync(`/proc/${redis.pid}`) || process.platform !== 'linux');

  child.kill('SIGKILL');

  await eventually(
    () =>
      askRedis(redis.port, 'PING').then(
        () => false,
        () => true,
      ),
    { message: 'Redis to be gone' },
  );
});

t.test('the fault proxy passes, holds, delays and cuts', async (t) => {
  const redis = await startPrivateRedis(t);
  const proxy = await startFaultProxy(t, { targetPort: redis.port });
  t.equal(await askRedis(proxy.port, 'PING'), '+PONG\r\n', 'passes');

  proxy.latency(40);
  const before = Date.now();
  await askRedis(proxy.port, 'PING');
  t.ok(Date.now() - before >= 75, 'delays both ways');
  proxy.latency(0);

  proxy.blackHole();
  const held = askRedis(proxy.port, 'PING');
  await eventually(() => proxy.accepted === 3);
  proxy.restore();
  t.equal(await held, '+PONG\r\n', 'goes on after a black hole');

  proxy.cut();
  await t.rejects(askRedis(proxy.port, 'PING'), 'cuts');
  proxy.restore();
  t.equal(await askRedis(proxy.port, 'PING'), '+PONG\r\n', 'passes again');
});

t.test('the HTTP receiver keeps requests, unpacks them and answers as told', async (t) => {
  const receiver = await startHttpReceiver(t, {
    answer: (request, index) =>
      index === 0 ? { status: 503, headers: { 'retry-after': '1' } } : { status: 200, body: request.path },
  });

  const first = await fetch(`${receiver.url}/a?b=1`, {
    method: 'POST',
    body: gzipSync('hello'),
    headers: { 'content-encoding': 'gzip' },
  });
  t.equal(first.status, 503);
  t.equal(first.headers.get('retry-after'), '1');
  t.equal(await (await fetch(`${receiver.url}/c`)).text(), '/c');
  receiver.answer(() => 'reset');
  await t.rejects(fetch(receiver.url));

  t.match(receiver.requests, [{ method: 'POST', path: '/a?b=1' }, { method: 'GET', path: '/c' }, {}]);
  t.equal(receiver.requests[0]?.body.toString(), 'hello');
});

t.test('eventually waits for a truthy value and names the last failure', async (t) => {
  let calls = 0;
  t.equal(await eventually(() => (calls += 1) > 3 && 'done'), 'done');
  await t.rejects(
    eventually(
      () => {
        throw new Error('no luck');
      },
      { timeoutMs: 5, message: 'luck' },
    ),
    { message: 'Expected luck within 5 ms, it last threw: no luck' },
  );
});

t.test('a recording gives its frames byte for byte', async (t) => {
  const frames = await readRecording('crashing-cluster');
  t.ok(frames.length > 100);
  t.equal(frames[0]?.at(-1), '}'.charCodeAt(0));
});

t.test('a recording log keeps lines with their level', (t) => {
  const { log, lines } = recordingLog();
  log.warn({ sink: 'http' }, 'Careful');
  t.match(lines, [{ level: 'warn', msg: 'Careful', sink: 'http' }]);
  t.end();
});
