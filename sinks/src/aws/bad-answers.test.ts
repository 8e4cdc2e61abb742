/**
 * What the sinks of AWS services make of answers that nobody hoped for: from proxies, other servers and broken
 * connections.
 */
import { makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import { describeError, errorCode } from '@hydrant/shared/foundation/errors';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { makeAuthority, makeCertificate, withoutOpenssl } from '@hydrant/testing/certificates';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { findSink } from '../registry.ts';

process.env['AWS_ACCESS_KEY_ID'] = 'test';
process.env['AWS_SECRET_ACCESS_KEY'] = 'test';

const never = new AbortController().signal;
const page = '<!DOCTYPE html><html><title>Sign in</title></html>';

function answerWith(status: string, body: string, more = ''): string {
  return `HTTP/1.1 ${status}\r\n${more}Content-Length: ${String(body.length)}\r\n\r\n${body}`;
}

/** Bytes that are sent when a request has begun to arrive, and what they mean; behind them the connection ends. */
const answers: Readonly<Record<string, readonly [bytes: string, meaning: 'sink-retryable' | 'sink-permanent']>> = {
  'closes without an answer': ['', 'sink-retryable'],
  'closes in the middle of an answer': ['HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"half', 'sink-retryable'],
  'no HTTP': ['SSH-2.0-OpenSSH_9.2\r\n', 'sink-retryable'],
  'a redirect': [answerWith('302 Found', '', 'Location: https://elsewhere.example/\r\n'), 'sink-retryable'],
  'a page with 200': [answerWith('200 OK', page, 'Content-Type: text/html\r\n'), 'sink-retryable'],
  'a page with 403': [answerWith('403 Forbidden', page, 'Content-Type: text/html\r\n'), 'sink-retryable'],
  'a page with 502': [answerWith('502 Bad Gateway', page, 'Content-Type: text/html\r\n'), 'sink-retryable'],
  'too large for a proxy': [answerWith('413 Payload Too Large', page, 'Content-Type: text/html\r\n'), 'sink-permanent'],
};

const settings: Readonly<Record<string, (url: string) => Readonly<Record<string, string>>>> = {
  s3: (url) => ({
    SINK_S3_BUCKET: 'events',
    SINK_S3_ENDPOINT: url,
    SINK_S3_REGION: 'us-east-1',
    SINK_S3_FORCE_PATH_STYLE: 'true',
  }),
  kinesis: (url) => ({
    SINK_KINESIS_STREAM_NAME: 'events',
    SINK_KINESIS_PARTITION_KEY: '{job}',
    SINK_KINESIS_ENDPOINT: url,
    SINK_KINESIS_REGION: 'us-east-1',
  }),
  sqs: (url) => ({ SINK_SQS_QUEUE_NAME: 'events', SINK_SQS_ENDPOINT: url, SINK_SQS_REGION: 'us-east-1' }),
  eventbridge: (url) => ({
    SINK_EVENT_BUS_NAME: 'events',
    SINK_EVENT_BUS_ENDPOINT: url,
    SINK_EVENT_BUS_REGION: 'us-east-1',
  }),
};

async function listen(t: Test, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** SQS asks for the address of its queue before anything is sent; that goes well. */
function isQuestion(request: string): boolean {
  return /x-amz-target: AmazonSQS\.GetQueueUrl/iu.test(request);
}

function serve(bytes: string): Server {
  return createServer((socket) => {
    socket.once('data', (request) => {
      const queueUrl = `http://127.0.0.1:${String(socket.localPort)}/1/events`;
      socket
        .resume()
        .end(
          isQuestion(request.toString('latin1'))
            ? answerWith(
                '200 OK',
                JSON.stringify({ QueueUrl: queueUrl }),
                'Content-Type: application/x-amz-json-1.0\r\nConnection: close\r\n',
              )
            : bytes,
        );
    });
  });
}

async function writeTo(type: string, url: string, more: Readonly<Record<string, string>> = {}): Promise<unknown> {
  const definition = findSink(type);
  const sink = definition?.create(loadConfig(definition.settings, { env: { ...settings[type]?.(url), ...more } }), {
    log: testLog(),
    name: type,
  });
  try {
    await sink?.connect(never);
    await sink?.write([makeSinkMessage(1)], never);
    return undefined;
  } catch (error) {
    return error;
  } finally {
    await sink?.close();
  }
}

/** Refuses CONNECT, and says what was asked for. */
async function startProxy(t: Test): Promise<{ readonly url: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createHttpServer();
  server.on('connect', (request, socket) => {
    asked.push(request.url ?? '');
    socket.on('error', () => undefined);
    socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
  });
  return { url: `http://127.0.0.1:${String(await listen(t, server))}`, asked };
}

for (const type of Object.keys(settings)) {
  void t.test(`${type}: goes through the proxy of the environment, but not to what NO_PROXY names`, async (t) => {
    const proxy = await startProxy(t);
    const port = await listen(t, serve(''));

    t.match(await writeTo(type, 'https://aws.internal.example', { HTTPS_PROXY: proxy.url }), {
      code: 'sink-retryable',
      message: /407 from the proxy of HTTPS_PROXY; put its user and password there/u,
    });
    t.match(await writeTo(type, 'http://aws.internal.example', { http_proxy: proxy.url }), {
      code: 'sink-retryable',
      message: /407 from the proxy of HTTP_PROXY/u,
    });
    t.same([...new Set(proxy.asked)], ['aws.internal.example:443', 'aws.internal.example:80']);
    await writeTo(type, `http://127.0.0.1:${String(port)}`, { HTTP_PROXY: proxy.url, NO_PROXY: '127.0.0.0/8' });
    t.same([...new Set(proxy.asked)].length, 2);
  });

  void t.test(`${type}: answers that nobody hoped for`, async (t) => {
    for (const [name, [bytes, meaning]] of Object.entries(answers)) {
      const port = await listen(t, serve(bytes));
      const error = await writeTo(type, `http://127.0.0.1:${String(port)}`);
      t.equal(error === undefined ? 'taken' : errorCode(error), meaning, `${name}: ${describeError(error)}`);
      t.match(describeError(error), /events/u, `${name} names the destination`);
    }
  });

  void t.test(
    `${type}: a certificate that nobody vouches for is named and waited for`,
    { skip: withoutOpenssl },
    async (t) => {
      const folder = testFolder(t, {});
      const { key, cert } = makeCertificate(folder, 'server', makeAuthority(folder, 'authority'), ['IP:127.0.0.1']);
      const port = await listen(
        t,
        createTlsServer({ key, cert }, (request, response) => {
          request.resume().once('end', () => {
            response.end();
          });
        }),
      );

      t.match(await writeTo(type, `https://127.0.0.1:${String(port)}`), {
        code: 'sink-retryable',
        message: /NODE_EXTRA_CA_CERTS/u,
      });
    },
  );
}
