/** What destinations that speak HTTP make of answers that nobody hoped for. */
import { makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import { describeError, errorCode } from '@hydrant/shared/foundation/errors';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { eventually } from '@hydrant/testing/eventually';
import { testLog } from '@hydrant/testing/test-log';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { findSink } from '../registry.ts';

const page = '<!DOCTYPE html><html><title>Sign in</title></html>';

function head(status: string, length: number, more = ''): string {
  return `HTTP/1.1 ${status}\r\n${more}Content-Length: ${String(length)}\r\n\r\n`;
}

/** Bytes that are sent when a request has begun to arrive; what follows them is the end of the connection. */
const answers = {
  'closes without an answer': '',
  'closes in the middle of an answer': `${head('200 OK', 100)}{"half`,
  'no HTTP': 'SSH-2.0-OpenSSH_9.2\r\n',
  'a redirect': head('302 Found', 0, 'Location: https://elsewhere.example/\r\n'),
  'a page with 200': `${head('200 OK', page.length, 'Content-Type: text/html\r\n')}${page}`,
  'a page with 502': `${head('502 Bad Gateway', page.length)}${page}`,
  'too large': head('413 Payload Too Large', 0),
  'a 100 that nobody asked for': `HTTP/1.1 100 Continue\r\n\r\n${head('202 Accepted', 0)}`,
  'three 1xx before the answer': `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n${head('200 OK', 2)}ok`,
  'a 100 before a server error': `HTTP/1.1 100 Continue\r\n\r\n${head('503 Service Unavailable', 0)}`,
  'a 100 and nothing more': 'HTTP/1.1 100 Continue\r\n\r\n',
  'a switch of protocols': 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
  'a 204 with a length': head('204 No Content', 5),
  'a 204 with a body': `${head('204 No Content', 5)}hello`,
  'a 204 with a body in chunks': 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'a 205 with a body': `${head('205 Reset Content', 5)}hello`,
  'a 202 that ends with the connection': 'HTTP/1.1 202 Accepted\r\n\r\nfine',
  'a 200 with bytes behind it': `${head('200 OK', 2)}ok and more`,
  'a 200 and another answer': `${head('200 OK', 2)}ok${head('500 Internal Server Error', 0)}`,
} as const;

type Answer = keyof typeof answers;
type Outcome = 'taken' | 'sink-retryable' | 'sink-permanent';

const settings: Readonly<Record<string, (url: string) => Readonly<Record<string, string>>>> = {
  http: (url) => ({ SINK_HTTP_ADDRESS: url }),
  loki: (url) => ({ SINK_LOKI_ADDRESS: url }),
  slack: (url) => ({ SINK_SLACK_WEBHOOK_URL: `${url}/services/x` }),
  pagerduty: (url) => ({ SINK_PAGERDUTY_ADDRESS: url, SINK_PAGERDUTY_ROUTING_KEY: 'a'.repeat(32) }),
};

const expected: Readonly<Record<Answer, Outcome>> = {
  'closes without an answer': 'sink-retryable',
  'closes in the middle of an answer': 'sink-retryable',
  'no HTTP': 'sink-retryable',
  'a redirect': 'sink-retryable',
  'a page with 200': 'sink-retryable',
  'a page with 502': 'sink-retryable',
  'too large': 'sink-permanent',
  'a 100 that nobody asked for': 'taken',
  'three 1xx before the answer': 'taken',
  'a 100 before a server error': 'sink-retryable',
  'a 100 and nothing more': 'sink-retryable',
  'a switch of protocols': 'sink-retryable',
  'a 204 with a length': 'taken',
  'a 204 with a body': 'taken',
  'a 204 with a body in chunks': 'taken',
  'a 205 with a body': 'taken',
  'a 202 that ends with the connection': 'taken',
  'a 200 with bytes behind it': 'taken',
  'a 200 and another answer': 'taken',
};

/** Where `http` differs: its users say which statuses are tried again, and any 2xx is theirs to give. */
const ofHttp: Partial<Readonly<Record<Answer, Outcome>>> = {
  'a redirect': 'sink-permanent',
  'a page with 200': 'taken',
};

async function listen(t: Test, bytes: string): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => {
      socket.resume().end(bytes);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

void t.test('what comes late over a connection is not taken for the answer to the next request', async (t) => {
  let asked = 0;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => {
      asked += 1;
      socket.write(head('204 No Content', 0));
      setImmediate(() => {
        socket.write(head('200 OK', 0));
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
  });
  const definition = findSink('http');
  const values = loadConfig(definition?.settings ?? {}, {
    env: { SINK_HTTP_ADDRESS: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}` },
  });
  const sink = definition?.create(values, { log: testLog(), name: 'http' });
  await sink?.connect(new AbortController().signal);
  t.teardown(() => sink?.close());

  for (let n = 1; n <= 5; n += 1) {
    await eventually(() => sink?.write([makeSinkMessage(n)], new AbortController().signal).then(() => true));
    t.ok(asked >= n, 'each request has reached the server when it counts as taken');
  }
});

for (const [type, makeEnv] of Object.entries(settings)) {
  void t.test(`${type}: answers that nobody hoped for`, async (t) => {
    for (const [name, bytes] of Object.entries(answers) as [Answer, string][]) {
      const definition = findSink(type);
      const values = loadConfig(definition?.settings ?? {}, { env: makeEnv(await listen(t, bytes)) });
      const sink = definition?.create(values, { log: testLog(), name: type });
      await sink?.connect(new AbortController().signal);

      const error = await sink?.write([makeSinkMessage(1)], new AbortController().signal).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );

      const wanted = (type === 'http' ? ofHttp[name] : undefined) ?? expected[name];
      t.equal(error === undefined ? 'taken' : errorCode(error), wanted, `${name}: ${describeError(error)}`);
      await sink?.close();
    }
  });
}
