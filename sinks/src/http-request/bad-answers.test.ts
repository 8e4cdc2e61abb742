/** What destinations that speak HTTP make of answers that nobody hoped for. */
import { makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import { describeError, errorCode } from '@hydrant/shared/foundation/errors';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
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
};

/** Where `http` differs: its users say which statuses are tried again, and any 2xx is theirs to give. */
const ofHttp: Partial<Readonly<Record<Answer, Outcome>>> = { 'a redirect': 'sink-permanent', 'a page with 200': 'taken' };

async function listen(t: Test, bytes: string): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => { socket.resume().end(bytes); });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

for (const [type, makeEnv] of Object.entries(settings)) {
  void t.test(`${type}: answers that nobody hoped for`, async (t) => {
    for (const [name, bytes] of Object.entries(answers) as [Answer, string][]) {
      const definition = findSink(type);
      const values = loadConfig(definition?.settings ?? {}, { env: makeEnv(await listen(t, bytes)) });
      const sink = definition?.create(values, { log: testLog(), name: type });
      await sink?.connect(new AbortController().signal);

      const error = await sink?.write([makeSinkMessage(1)], new AbortController().signal).then(() => undefined, (thrown: unknown) => thrown);

      const wanted = (type === 'http' ? ofHttp[name] : undefined) ?? expected[name];
      t.equal(error === undefined ? 'taken' : errorCode(error), wanted, `${name}: ${describeError(error)}`);
      await sink?.close();
    }
  });
}
