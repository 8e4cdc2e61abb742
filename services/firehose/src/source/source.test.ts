import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { describeError } from '@hydrant/shared/foundation/errors';
import { startSimulator } from '@hydrant/simulator/simulator';
import { eventually } from '@hydrant/testing/eventually';
import { readRecording } from '@hydrant/testing/recordings';
import t, { type Test } from 'tap';
import { parseNomadAddress } from './address.ts';
import { createDenialProbe } from './denial.ts';
import type { NomadAccess } from './nomad-access.ts';
import { createNomadClient } from './nomad-http-client.ts';
import { createStreamOpener } from './open-stream.ts';
import type { FoundGap } from './frame-receiver.ts';
import type { StreamReaderTelemetry } from './read-stream.ts';
import { createSource, type Source, type SourceOptions, type SourceTelemetry } from './source.ts';

const anonymous: NomadAccess = {
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
const query = { topics: ['*'], namespace: '*', region: '' };

interface Reader {
  readonly source: Source;
  /** Lines handed over, in order, repeats included. */
  readonly lines: string[];
  readonly gaps: FoundGap[];
  readonly lags: Parameters<StreamReaderTelemetry['streamLags']>[0][];
  readonly malformed: Parameters<StreamReaderTelemetry['lineMalformed']>[0][];
  readonly connected: (number | undefined)[];
  readonly ends: Parameters<SourceTelemetry['streamEnded']>[0][];
}

interface ReadOptions {
  readonly access?: Partial<NomadAccess>;
  readonly checkpoint?: number;
  /** What the lists tell. */
  readonly leaderIndex?: number;
  readonly options?: Partial<SourceOptions>;
}

function read(t: Test, urls: string, { access = {}, checkpoint, leaderIndex, options = {} }: ReadOptions = {}): Reader {
  const lines: string[] = [];
  const gaps: Reader['gaps'] = [];
  const lags: Reader['lags'] = [];
  const malformed: Reader['malformed'] = [];
  const connected: Reader['connected'] = [];
  const ends: Reader['ends'] = [];
  const addresses = urls.split(',').flatMap((url) => parseNomadAddress(url) ?? []);
  const client = createNomadClient({ ...anonymous, ...access });
  const source = createSource(
    { addresses, start: 'oldest', retryMinMs: 1, retryMaxMs: 20, firstFrameMs: 100, silenceMs: 100, ...options },
    {
      clock: systemClock,
      openStream: createStreamOpener(client, query),
      probeDenial: createDenialProbe(client, query, systemClock),
      receiver: {
        streamOpened: () => undefined,
        receive: async (frames) => {
          lines.push(...frames.map(({ line }) => line.toString()));
        },
        beginAfter: () => undefined,
        rereadFrom: () => Promise.resolve(),
        gapDisproved: () => undefined,
        gapFound: (gap) => {
          gaps.push(gap);
        },
      },
      leaderIndex: () =>
        Promise.resolve(leaderIndex === undefined ? undefined : { index: leaderIndex, isComplete: true }),
      telemetry: {
        bytesReceived: () => undefined,
        framesReceived: () => undefined,
        eventMalformed: () => undefined,
        streamLags: (lag) => {
          lags.push(lag);
        },
        lineMalformed: (line) => {
          malformed.push(line);
        },
        streamConnected: ({ resumedAt }) => {
          connected.push(resumedAt);
        },
        streamDenied: () => undefined,
        namespacesAdded: () => undefined,
        streamUnanswered: () => undefined,
        streamEnded: (end) => {
          ends.push(end);
        },
      },
    },
  );
  source.start(checkpoint === undefined ? undefined : { index: checkpoint, source: '' });
  t.teardown(() => source.stop());
  return { source, lines, gaps, lags, malformed, connected, ends };
}

async function listen(t: Test, server: Server, at: number | string = 0): Promise<string> {
  if (typeof at === 'string') server.listen(at);
  else server.listen(at, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
  });
  return typeof at === 'string' ? `unix://${at}` : `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

interface ScriptOptions {
  readonly at?: string;
  readonly onRequest?: () => void;
}

/**
 * A Nomad that answers the n-th request with the n-th text and then ends; the last one stays open. Chunked, as up to
 * 1.11.1.
 */
async function startScript(
  t: Test,
  answers: readonly string[],
  { at, onRequest }: ScriptOptions = {},
): Promise<{ readonly url: string; readonly requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const answerNext = (request: IncomingMessage, response: ServerResponse): void => {
    const answer = answers[Math.min(requests.length, answers.length - 1)] ?? '';
    requests.push(request);
    onRequest?.();
    if (requests.length >= answers.length) response.write(answer);
    else response.end(answer);
  };
  const server = createHttpServer(answerNext);
  t.teardown(() => {
    server.closeAllConnections();
  });
  return { url: await listen(t, server, at), requests };
}

function indexesAsked(requests: readonly IncomingMessage[]): (string | null)[] {
  return requests.map(({ url }) => new URL(url ?? '', 'http://nomad').searchParams.get('index'));
}

function frame(index: number, key = 'web'): string {
  return `{"Index":${String(index)},"Events":[{"Topic":"Job","Type":"JobRegistered","Key":"${key}","Namespace":"default","FilterKeys":null,"Index":${String(index)},"Payload":{}}]}`;
}

function stream(...lines: readonly string[]): string {
  return ['{}', ...lines, ''].join('\n');
}

t.test('a recording comes through cuts byte for byte', async (t) => {
  const recorded = (await readRecording('crashing-cluster')).map(String).filter((line) => line !== '{}');
  const simulator = await startSimulator({ recording: 'crashing-cluster', speed: 200, paused: true });
  t.teardown(() => simulator.close());
  const { lines, gaps, connected } = read(t, simulator.url);
  await eventually(() => connected.length === 1);
  simulator.control.resume();

  for (const [share, cut] of [
    [0.2, 'middle of a line'],
    [0.4, 'end'],
    [0.6, 'reset'],
    [0.8, 'middle of a line'],
  ] as const) {
    await eventually(() => lines.length > recorded.length * share);
    const before = connected.length;
    if (cut === 'middle of a line') simulator.control.cutMidLine();
    else simulator.control.cut(cut);
    await eventually(() => connected.length > before);
  }

  await eventually(() => lines.at(-1) === recorded.at(-1), { timeoutMs: 20_000 });
  t.strictSame([...new Set(lines)], [...new Set(recorded)], 'each frame came, in order');
  t.strictSame(gaps, []);
  t.ok(connected.length >= 5);
});

t.test('a stream cut between two frames of one index resumes with that index', async (t) => {
  const { url, requests } = await startScript(t, [
    stream(frame(12, 'first')),
    stream(frame(12, 'first'), frame(12, 'second'), frame(13)),
  ]);
  const { lines, gaps } = read(t, url, { checkpoint: 11 });

  await eventually(() => lines.length === 4);

  t.strictSame(lines, [frame(12, 'first'), frame(12, 'first'), frame(12, 'second'), frame(13)]);
  t.strictSame(indexesAsked(requests), ['11', '12']);
  t.strictSame(gaps, [{ reason: 'evicted', since: 11, fromIndex: 11, toIndex: 12 }]);
});

t.test('half a line is never taken for a frame', async (t) => {
  const { url, requests } = await startScript(t, [
    stream(frame(5)) + frame(6).slice(0, -1),
    stream(frame(5)) + frame(6),
    stream(frame(5), frame(6)),
  ]);
  const { lines, malformed } = read(t, url);

  await eventually(() => requests.length === 3 && lines.length === 4);

  t.strictSame(lines, [frame(5), frame(5), frame(5), frame(6)]);
  t.strictSame(malformed, []);
});

t.test('a garbled line is read again, and skipped when it stays garbled', async (t) => {
  const { url, requests } = await startScript(t, [
    stream(frame(5), '{"Index":6,"Ev', frame(7)),
    stream(frame(5), frame(6), '{"no":"frame"}', frame(7)),
    stream(frame(6), '{"no":"frame"}', frame(7)),
  ]);
  const { lines, malformed, gaps } = read(t, url);

  await eventually(() => lines.at(-1) === frame(7));

  t.strictSame([...new Set(lines)], [frame(5), frame(6), frame(7)]);
  t.strictSame(indexesAsked(requests), ['0', '5', '6']);
  t.match(malformed, [
    { kind: 'json', afterIndex: 5, willReread: true },
    { kind: 'frame', afterIndex: 6, willReread: true },
    { kind: 'frame', willReread: false },
  ]);
  t.strictSame(gaps, [{ reason: 'malformed-line', since: 6, fromIndex: 6, toIndex: undefined }]);
});

t.test('a line beyond the limit is named, skipped and survived', async (t) => {
  const { url } = await startScript(t, [
    stream(frame(5), frame(6, 'x'.repeat(1000)), frame(7)),
    stream(frame(5), frame(6, 'x'.repeat(1000)), frame(7)),
  ]);
  const { lines, malformed } = read(t, url, { options: { maxLineBytes: 500 } });

  await eventually(() => lines.at(-1) === frame(7));

  t.match(malformed, [
    { kind: 'too-long', err: /at most 500 bytes \(FIREHOSE_MAX_FRAME_BYTES\), got more/u },
    { kind: 'too-long', willReread: false },
  ]);
});

t.test('a page of a proxy is no stream with lines to skip', async (t) => {
  const page = '<html>\n<body>Bad gateway</body>\n</html>\n';
  const { url } = await startScript(t, [page, page, stream(frame(5))]);
  const { lines, malformed, gaps } = read(t, url, { checkpoint: 5 });

  await eventually(() => lines.length === 1);

  t.equal(malformed.length, 2);
  t.strictSame(gaps, []);
});

t.test('silence ends the connection', async (t) => {
  const { url, requests } = await startScript(t, [stream(frame(5))]);
  const { ends, source } = read(t, url, { options: { livenessMs: 150 } });

  await eventually(() => requests.length >= 2);

  t.match(ends[0]?.err, { code: 'nomad-silent', message: /within 0.15 s, got none/u });
  t.equal(source.healthCheck.check().status, 'pass', 'and it reads again');
});

t.test('the beginning of a resumed stream tells of gaps', async (t) => {
  interface Case {
    readonly answer: string;
    readonly leaderIndex?: number;
    readonly gap?: FoundGap;
    readonly lines: readonly string[];
  }
  const cases: Readonly<Record<string, Case>> = {
    'the frame asked for': { answer: stream(frame(10), frame(11)), lines: [frame(10), frame(11)] },
    'a later one': {
      answer: stream(frame(11)),
      gap: { reason: 'evicted', since: 10, fromIndex: 10, toIndex: 11 },
      lines: [frame(11)],
    },
    none: {
      answer: stream(),
      gap: { reason: 'not-in-buffer', since: 0, fromIndex: 10, toIndex: undefined },
      lines: [],
    },
    'a server that lags': {
      answer: stream(frame(3), frame(9), frame(10), frame(11)),
      leaderIndex: 11,
      lines: [frame(10), frame(11)],
    },
    'a server that lags and lost the frame': {
      answer: stream(frame(3), frame(11)),
      leaderIndex: 11,
      gap: { reason: 'evicted', since: 10, fromIndex: 10, toIndex: 11 },
      lines: [frame(11)],
    },
    'a cluster that was rebuilt': {
      answer: stream(frame(3), frame(4)),
      leaderIndex: 4,
      gap: { reason: 'rebuilt', since: 0, fromIndex: 10, toIndex: 3 },
      lines: [frame(3), frame(4)],
    },
    'a server that lags as far as anybody can tell': {
      answer: stream(frame(3), frame(10), frame(11)),
      lines: [frame(10), frame(11)],
    },
  };
  for (const [name, { answer, leaderIndex, gap, lines: expected }] of Object.entries(cases)) {
    const { url } = await startScript(t, [answer]);
    const { gaps, lags, lines, connected } = read(t, url, {
      checkpoint: 10,
      ...(leaderIndex === undefined ? {} : { leaderIndex }),
    });
    await eventually(
      () => connected.length === 1 && lines.length === expected.length && (gap === undefined || gaps.length > 0),
    );
    t.strictSame(lines, expected, name);
    t.strictSame(gaps, gap === undefined ? [] : [gap], name);
    t.strictSame(lags, name.startsWith('a server that lags') ? [{ resumedAt: 10, firstIndex: 3 }] : [], name);
  }
});

t.test('a stream that stays behind is read from its beginning when no list says that it lags', async (t) => {
  const { url, requests } = await startScript(t, [
    stream(frame(3), frame(4), frame(5)),
    stream(frame(3), frame(4), frame(5)),
  ]);
  const { gaps, lines } = read(t, url, { checkpoint: 10, options: { catchUpMs: 0 } });

  await eventually(() => lines.length === 3);

  t.strictSame(lines, [frame(3), frame(4), frame(5)]);
  t.strictSame(gaps, [{ reason: 'index-went-back', since: 0, fromIndex: 10, toIndex: 3 }]);
  t.match(requests[1]?.url, /index=3/u);
});

t.test('"now" leaves out the newest old frame and only that', async (t) => {
  const { url, requests } = await startScript(t, [stream(frame(5)), stream(frame(5), frame(6))]);
  const { lines, gaps } = read(t, url, { options: { start: 'now' } });

  await eventually(() => lines.length === 2);

  t.strictSame(indexesAsked(requests), ['9223372036854775807', '5']);
  t.strictSame(lines, [frame(5), frame(6)]);
  t.strictSame(gaps, []);
});

t.test('a refusal without a word is told from a reachable Nomad', async (t) => {
  const simulator = await startSimulator({ token: 'right' });
  t.teardown(() => simulator.close());
  const { ends, lines } = read(t, simulator.url, { access: { token: 'wrong' } });
  await eventually(() => ends.length > 1);
  t.match(ends[0], { wasOpen: true, hadLines: false, err: undefined });
  t.strictSame(lines, []);

  const right = read(t, simulator.url, { access: { token: 'right' } });
  await eventually(() => right.lines.length > 100);
});

t.test('a refused stream that is left open is not waited for', async (t) => {
  const server = createHttpServer((_request, response) => {
    response.writeHead(200).flushHeaders();
  });
  t.teardown(() => {
    server.closeAllConnections();
  });
  const { ends } = read(t, await listen(t, server), { options: { firstLineMs: 50 } });

  await eventually(() => ends.length > 0);

  t.match(ends[0], {
    wasOpen: true,
    hadLines: false,
    err: { code: 'nomad-silent', message: /a line from .* within 0\.05 s of its answer, got none: closed/u },
  });
});

t.test('addresses are tried in turn', async (t) => {
  const broken = createHttpServer((_request, response) => {
    response.writeHead(500).end('no cluster leader');
  });
  const closed = createTcpServer();
  const urls = [await listen(t, closed), await listen(t, broken), (await startScript(t, [stream(frame(5))])).url];
  closed.close();
  const { ends, lines, source } = read(t, urls.join(','));

  await eventually(() => lines.length === 1);

  t.strictSame(
    ends.map(({ address }) => address),
    urls.slice(0, 2),
  );
  t.match(describeError(ends[0]?.err), /ECONNREFUSED/u);
  t.match(describeError(ends[1]?.err), /answer 200, got 500: no cluster leader/u);
  t.strictSame(source.healthCheck.check(), { status: 'pass', detail: `reading from ${urls[2] ?? ''}` });
});

t.test('an answer of HTTP/0.0 is explained', async (t) => {
  const server = createTcpServer((socket) => {
    socket.on('error', () => undefined).end('HTTP/0.0 200 OK\r\nConnection: close\r\n\r\n{}\n');
  });
  const { ends } = read(t, await listen(t, server));

  await eventually(() => ends.length > 0);

  t.match(ends[0]?.err, { code: 'nomad-http-version', message: /HTTP\/0\.0.*1\.11\.2.*upgrade the agent/u });
});

t.test('a unix socket is read, with the token of a file as it is at each connect', async (t) => {
  // A socket's path is short by law: a folder below the checkout may be too long.
  const dir = mkdtempSync(join(tmpdir(), 'hydrant-'));
  t.teardown(() => {
    rmSync(dir, { recursive: true });
  });
  writeFileSync(`${dir}/token`, 'one\n');
  const onRequest = (): void => {
    writeFileSync(`${dir}/token`, 'two');
  };
  const { url, requests } = await startScript(t, [stream(frame(5)), stream(frame(5), frame(6))], {
    at: `${dir}/api.sock`,
    onRequest,
  });
  const { lines } = read(t, url, { access: { tokenFile: `${dir}/token`, httpAuth: 'user' } });

  await eventually(() => lines.at(-1) === frame(6));

  t.strictSame(
    requests.map(({ headers }) => headers['x-nomad-token']),
    ['one', 'two'],
  );
  t.equal(requests[0]?.headers.authorization, `Basic ${Buffer.from('user:').toString('base64')}`);
  t.equal(requests[0]?.headers['accept-encoding'], 'identity');
});

t.test('stopping ends a reader that is in the middle', async (t) => {
  const { url } = await startScript(t, [stream(frame(5))]);
  const { source, lines } = read(t, url);
  await eventually(() => lines.length === 1);

  await source.stop();
  await source.stop();

  t.strictSame(source.healthCheck.check(), { status: 'fail', detail: 'stopped' });
});
