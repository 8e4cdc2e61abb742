import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { startSimulator } from '@hydrant/simulator/simulator';
import { eventually } from '@hydrant/testing/eventually';
import { readRecording } from '@hydrant/testing/recordings';
import t, { type Test } from 'tap';
import { parseNomadAddress } from './address.ts';
import { createNomadClient } from './nomad-http-client.ts';
import { createStreamOpener } from './open-stream.ts';
import { createSource, type Source, type SourceOptions, type SourceTelemetry } from './source.ts';

const access = {
  token: null,
  tokenFile: null,
  httpAuth: null,
  caFile: null,
  caFolder: null,
  certFile: null,
  keyFile: null,
  serverName: null,
  skipVerify: false,
};
const closeDelimited =
  'HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: no-cache\r\nContent-Type: application/json\r\nVary: Accept-Encoding\r\n\r\n';

interface Reader {
  readonly source: Source;
  readonly lines: Buffer[];
  readonly ends: Parameters<SourceTelemetry['streamEnded']>[0][];
  readonly malformed: unknown[];
  readonly denials: unknown[];
}

function read(
  t: Test,
  url: string,
  options: Partial<SourceOptions> = {},
  hasRoom: () => Promise<unknown> = () => Promise.resolve(),
): Reader {
  const reader = {
    lines: [] as Buffer[],
    ends: [] as Reader['ends'],
    malformed: [] as unknown[],
    denials: [] as unknown[],
  };
  const address = parseNomadAddress(url);
  if (address === undefined) throw new Error('Expected an address');
  const source = createSource(
    { addresses: [address], start: 'oldest', retryMinMs: 1, retryMaxMs: 5, ...options },
    {
      clock: systemClock,
      openStream: createStreamOpener(createNomadClient(access), { topics: ['*'], namespace: '*', region: '' }),
      probeDenial: () => Promise.resolve({ cause: 'refused', reason: 'as the lists say' }),
      receiver: {
        streamOpened: () => undefined,
        beginAfter: () => undefined,
        rereadFrom: () => Promise.resolve(),
        gapDisproved: () => undefined,
        gapFound: () => undefined,
        async receive(frames) {
          await hasRoom();
          reader.lines.push(...frames.map(({ line }) => line));
        },
      },
      leaderIndex: () => Promise.resolve(undefined),
      telemetry: {
        bytesReceived: () => undefined,
        framesReceived: () => undefined,
        eventMalformed: () => undefined,
        streamLags: () => undefined,
        lineMalformed: (line) => {
          reader.malformed.push(line);
        },
        streamConnected: () => undefined,
        streamDenied: (denial) => {
          reader.denials.push(denial);
        },
        namespacesAdded: () => undefined,
        streamUnanswered: () => undefined,
        streamEnded: (end) => {
          reader.ends.push(end);
        },
      },
    },
  );
  source.start(undefined);
  t.teardown(() => source.stop());
  return { source, ...reader };
}

async function listen(t: Test, server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
  });
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

/** As Nomad up to 1.11.1. */
async function serveChunked(t: Test, body: Buffer): Promise<string> {
  const server = createHttpServer((_request, response) => {
    response.end(body);
  });
  t.teardown(() => {
    server.closeAllConnections();
  });
  return listen(t, server);
}

/** As Nomad from 1.11.3 on: where the body ends the connection does. */
async function serveCloseDelimited(t: Test, body: Buffer): Promise<string> {
  const sockets = new Set<Socket>();
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  return listen(
    t,
    createTcpServer((socket) => {
      sockets.add(socket);
      socket
        .on('error', () => undefined)
        .once('data', () => {
          socket.write(closeDelimited);
          socket.end(body);
        });
    }),
  );
}

function frame(index: number, text = ''): string {
  return `{"Index":${String(index)},"Events":[{"Topic":"Job","Type":"JobRegistered","Key":"web","Namespace":"default","FilterKeys":null,"Index":${String(index)},"Payload":{"Text":"${text}"}}]}`;
}

t.test('chunked and close-delimited answers bring the same lines, and end as clean', async (t) => {
  const recorded = await readRecording('burst');
  const body = Buffer.concat(recorded.flatMap((line) => [line, Buffer.from('\n')]));
  const frames = recorded.filter((line) => line.length > 2);

  for (const serve of [serveChunked, serveCloseDelimited]) {
    const { source, lines, ends } = read(t, await serve(t, body), { retryMinMs: 60_000, retryMaxMs: 60_000 });
    await eventually(() => ends.length > 0);
    await source.stop();

    t.ok(Buffer.concat(lines).equals(Buffer.concat(frames)), serve.name);
    t.match(ends, [{ wasOpen: true, hadLines: true, err: undefined }]);
  }
});

t.test('a line of 40 MB comes whole either way', async (t) => {
  const long = frame(6, 'x'.repeat(40 * 1024 * 1024));
  const body = Buffer.from(`{}\n${frame(5)}\n${long}\n${frame(7)}\n`);

  for (const serve of [serveChunked, serveCloseDelimited]) {
    const { source, lines, malformed } = read(t, await serve(t, body), { retryMinMs: 60_000, retryMaxMs: 60_000 });
    await eventually(() => lines.length === 3, { timeoutMs: 30_000 });
    await source.stop();

    t.ok(lines[1]?.equals(Buffer.from(long)), serve.name);
    t.strictSame(malformed, []);
  }
});

t.test('a page in the place of the stream is named, and no line of it is looked at', async (t) => {
  const simulator = await startSimulator();
  t.teardown(() => simulator.close());
  await simulator.control.answerHtml();
  const { source, lines, ends, malformed } = read(t, simulator.url);
  await eventually(() => ends.length > 0);

  t.match(ends[0], {
    wasOpen: false,
    err: { code: 'nomad-html', message: /HTML page "Sign in".*proxy or a sign-in page.*NOMAD_ADDR/u },
  });
  t.match(source.healthCheck.check(), { status: 'fail', detail: /HTML page/u });
  t.strictSame(malformed, []);
  await simulator.control.heal();
  await eventually(() => lines.length > 100);
});

t.test('a stream is not kept unread while there is no room, and nothing in hand is lost', async (t) => {
  const requests: IncomingMessage[] = [];
  let closed = 0;
  const server = createHttpServer((request, response) => {
    requests.push(request);
    response.on('close', () => {
      closed += 1;
    });
    response.write(
      `{}\n${[5, 6, 7]
        .map((index) => frame(index))
        .slice(requests.length === 1 ? 0 : 2)
        .join('\n')}\n`,
    );
  });
  t.teardown(() => {
    server.closeAllConnections();
  });
  let makeRoom: () => void = () => undefined;
  const room = new Promise<void>((resolve) => {
    makeRoom = resolve;
  });
  const { lines, ends } = read(t, await listen(t, server), { unreadMs: 50 }, () => room);

  await eventually(() => closed === 1);
  t.equal(requests.length, 1, 'not opened again as long as there is no room');
  t.strictSame(lines, []);
  makeRoom();
  await eventually(() => lines.length === 4);

  t.match(ends, [{ err: { code: 'spool-full', message: /room in the spool within 0\.05 s/u } }]);
  t.strictSame(lines.map(String), [frame(5), frame(6), frame(7), frame(7)]);
  t.match(requests[1]?.url, /index=7&/u, 'what was in hand has been taken over');
});

t.test('the lists are asked why for both forms of a refusal, and only for those', async (t) => {
  const asked = async (serve: (t: Test) => Promise<string>): Promise<unknown[]> => {
    const { source, ends, denials } = read(t, await serve(t), { retryMinMs: 60_000, retryMaxMs: 60_000 });
    await eventually(() => ends.length > 0);
    await eventually(() => denials.length > 0 || source.healthCheck.check().detail?.includes('500') === true);
    return denials;
  };
  const answer =
    (status: number) =>
    (test: Test): Promise<string> =>
      listen(
        test,
        createHttpServer((_request, response) => {
          response.writeHead(status).end('Permission denied');
        }),
      );

  t.match(
    await asked((test) => serveCloseDelimited(test, Buffer.alloc(0))),
    [{ reason: 'as the lists say' }],
    'Nomad from 1.11.3 on: 200 and nothing',
  );
  t.match(await asked(answer(403)), [{ reason: 'as the lists say' }], 'Nomad up to 1.11.1: 403');
  t.strictSame(await asked(answer(500)), []);
});

/** Of the event loop, in which what lies in a socket is read. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise(setImmediate);
}

t.test('a Nomad that ends the stream while there is no room ends that stream and nothing else', async (t) => {
  // n.b. where the client stops reading depends on sizes: one of these ends just there.
  const cases = Array.from({ length: 24 }, (_, at) =>
    Array.from({ length: 4 + at }, (_frame, index) => frame(index + 1, 'x'.repeat(8192))),
  );
  await Promise.all(
    cases.map(async (frames) => {
      let serving: Socket | undefined;
      const url = await listen(
        t,
        createTcpServer((socket) => {
          socket
            .on('error', () => undefined)
            .once('data', () => {
              serving = socket;
              socket.write(closeDelimited);
              for (const each of frames)
                setImmediate(() => {
                  socket.write(`${each}\n`);
                });
            });
        }),
      );
      const held: (() => void)[] = [];
      let isRoom = false;
      const { lines, ends } = read(t, url, { retryMinMs: 60_000, retryMaxMs: 60_000 }, () =>
        isRoom
          ? Promise.resolve()
          : new Promise<void>((resolve) => {
              held.push(resolve);
            }),
      );
      await eventually(() => held.length > 0 && serving?.writableLength === 0);
      await turns(100);
      serving?.end();
      await eventually(() => serving?.writableFinished === true);
      await turns(100);
      isRoom = true;
      for (const resolve of held) resolve();

      await eventually(() => ends.length > 0);
      t.strictSame(lines.map(String), frames);
      t.match(ends, [{ hadLines: true, err: undefined }]);
    }),
  );
});
