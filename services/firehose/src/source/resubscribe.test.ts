import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { eventually } from '@hydrant/testing/eventually';
import t, { type Test } from 'tap';
import { parseNomadAddress } from './address.ts';
import { createNamespaceWatch } from './namespaces.ts';
import { createNomadClient } from './nomad-http-client.ts';
import { createStreamOpener } from './open-stream.ts';
import { createSource, type Source, type SourceTelemetry } from './source.ts';

const query = { topics: ['Job'], namespace: '*', region: '' };
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

interface Nomad {
  readonly url: string;
  /** The indexes that streams were asked for. */
  readonly asked: (string | null)[];
  answersLists: boolean;
  send(index: number): void;
  addNamespace(name: string, createIndex: number): void;
  /** Makes one and ends all streams before anybody is told of it. */
  addNamespaceAndCut(name: string, createIndex: number): void;
}

/**
 * Sends every stream the frames from its index on, of namespaces there were when it was opened; answers lists as
 * blocking queries.
 */
async function startNomad(t: Test, answersLists: boolean): Promise<Nomad> {
  const namespaces = [{ Name: 'default', CreateIndex: 1 }];
  const frames: number[] = [];
  const asked: Nomad['asked'] = [];
  const streams = new Set<ServerResponse>();
  const waiting = new Map<ServerResponse, number>();
  const line = (index: number): string =>
    `{"Index":${String(index)},"Events":[{"Topic":"Job","Type":"JobRegistered","Key":"web","Namespace":"default","Index":${String(index)},"Payload":{}}]}\n`;
  const newest = (): number => Math.max(...namespaces.map(({ CreateIndex }) => CreateIndex));
  const list = (response: ServerResponse): void => {
    response.writeHead(200, { 'x-nomad-index': newest() }).end(JSON.stringify(namespaces));
  };
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://nomad');
    const index = Number(searchParams.get('index') ?? '0');
    if (pathname === '/v1/event/stream') {
      asked.push(searchParams.get('index'));
      response.write(['{}\n', ...frames.filter((frame) => frame >= index).map(line)].join(''));
      streams.add(response);
    } else if (!nomad.answersLists) response.writeHead(404).end();
    else if (index < newest()) list(response);
    else waiting.set(response, index);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const nomad: Nomad = {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    asked,
    answersLists,
    send(index) {
      frames.push(index);
      for (const stream of streams) stream.write(line(index));
    },
    addNamespace(name, createIndex) {
      namespaces.push({ Name: name, CreateIndex: createIndex });
      for (const response of waiting.keys()) list(response);
      waiting.clear();
    },
    addNamespaceAndCut(name, createIndex) {
      namespaces.push({ Name: name, CreateIndex: createIndex });
      for (const stream of streams) stream.end();
      streams.clear();
      waiting.clear();
    },
  };
  return nomad;
}

interface Reader {
  readonly source: Source;
  readonly indexes: number[];
  readonly told: [string, unknown][];
}

interface ReadOptions {
  readonly index?: number;
  readonly namespacesAt?: number;
  readonly retryMs?: number;
}

function read(t: Test, { url }: Nomad, { index, namespacesAt, retryMs = 60_000 }: ReadOptions = {}): Reader {
  const indexes: number[] = [];
  const told: Reader['told'] = [];
  const client = createNomadClient(access);
  const namespaceWatchFailed = (failure: unknown): void => {
    told.push(['failed', failure]);
  };
  const telemetry: SourceTelemetry = {
    bytesReceived: () => undefined,
    framesReceived: () => undefined,
    eventMalformed: () => undefined,
    streamLags: (lag) => {
      told.push(['lag', lag]);
    },
    lineMalformed: (malformed) => {
      told.push(['malformed', malformed]);
    },
    streamConnected: () => undefined,
    streamDenied: (denial) => {
      told.push(['denied', denial]);
    },
    namespacesAdded: ({ namespaces, resumeAt }) => {
      told.push(['added', { namespaces, resumeAt }]);
    },
    streamUnanswered: () => undefined,
    streamEnded: (end) => {
      told.push(['ended', end]);
    },
  };
  const address = parseNomadAddress(url);
  if (address === undefined) throw new Error('Expected an address');
  const source = createSource(
    { addresses: [address], start: 'oldest', retryMinMs: retryMs, retryMaxMs: retryMs, firstFrameMs: 50 },
    {
      clock: systemClock,
      openStream: createStreamOpener(client, query),
      probeDenial: () => Promise.reject(new Error('Expected no denial')),
      namespaces: createNamespaceWatch(
        { region: '' },
        { client, telemetry: { namespaceWatchFailed }, clock: systemClock },
      ),
      receiver: {
        streamOpened: () => undefined,
        receive: async (frames) => {
          indexes.push(...frames.map(({ index }) => index));
        },
        beginAfter: () => undefined,
        rereadFrom: async (index) => {
          told.push(['reread', index]);
        },
        gapDisproved: () => undefined,
        gapFound: (gap) => {
          told.push(['gap', gap]);
        },
      },
      leaderIndex: () => Promise.resolve(undefined),
      telemetry,
    },
  );
  source.start(index === undefined ? undefined : { index, source: '', namespacesAt });
  t.teardown(() => source.stop());
  return { source, indexes, told };
}

t.test('a new namespace opens the stream again at once, at a frame from before it was made', async (t) => {
  const nomad = await startNomad(t, true);
  const { indexes, told } = read(t, nomad);
  for (const index of [10, 12, 15]) {
    nomad.send(index);
    await eventually(() => indexes.includes(index));
  }

  nomad.addNamespace('search', 13);
  await eventually(() => indexes.length === 5);
  nomad.addNamespace('later', 30);
  await eventually(() => nomad.asked.length === 3);

  t.strictSame(nomad.asked, ['0', '12', '15']);
  t.strictSame(indexes.slice(0, 5), [10, 12, 15, 12, 15]);
  t.strictSame(
    told,
    [
      ['reread', 12],
      ['added', { namespaces: ['search'], resumeAt: 12 }],
      ['added', { namespaces: ['later'], resumeAt: 15 }],
    ],
    'no gap, no disconnect',
  );
});

t.test('a namespace made before anything that is remembered shows as a gap', async (t) => {
  const nomad = await startNomad(t, true);
  const { indexes, told } = read(t, nomad);
  nomad.send(20);
  await eventually(() => indexes.length === 1);

  nomad.addNamespace('search', 13);
  await eventually(() => indexes.length === 2);

  t.strictSame(nomad.asked, ['0', '13']);
  t.match(told, [
    ['reread', 13],
    ['added', { resumeAt: 13 }],
    ['gap', { reason: 'evicted', fromIndex: 13, toIndex: 20 }],
  ]);
});

t.test('a namespace made just before the stream ended is read from its making when it is opened again', async (t) => {
  const nomad = await startNomad(t, true);
  const { source, indexes, told } = read(t, nomad, { retryMs: 1 });
  for (const index of [10, 12, 15]) {
    nomad.send(index);
    await eventually(() => indexes.includes(index));
  }
  t.equal(source.namespacesAt, 1);

  nomad.addNamespaceAndCut('search', 13);
  await eventually(() => indexes.length === 5);

  t.strictSame(nomad.asked, ['0', '12']);
  t.strictSame(indexes, [10, 12, 15, 12, 15]);
  t.match(told, [
    ['ended', {}],
    ['reread', 12],
    ['added', { namespaces: ['search'], resumeAt: 12 }],
  ]);
  t.equal(source.namespacesAt, 13);
});

t.test('a namespace that the checkpoint does not count is read from its making', async (t) => {
  const nomad = await startNomad(t, true);
  for (const index of [10, 13, 15]) nomad.send(index);
  nomad.addNamespace('search', 13);
  nomad.addNamespace('later', 16);

  for (const { namespacesAt, asked } of [
    { namespacesAt: 1, asked: '13' },
    { namespacesAt: 13, asked: '15' },
    { asked: '15' },
  ]) {
    nomad.asked.length = 0;
    const { source, indexes, told } = read(t, nomad, {
      index: 15,
      ...(namespacesAt === undefined ? {} : { namespacesAt }),
    });
    await eventually(() => indexes.at(-1) === 15);
    await source.stop();

    t.strictSame(nomad.asked, [asked], `counted up to ${String(namespacesAt)}`);
    t.match(
      told,
      asked === '13'
        ? [
            ['reread', 13],
            ['added', { namespaces: ['search'], resumeAt: 13 }],
          ]
        : [],
    );
    t.equal(source.namespacesAt, 16);
  }
});

t.test('a Nomad without a list of namespaces is read all the same', async (t) => {
  const nomad = await startNomad(t, false);
  const { indexes, told } = read(t, nomad);
  nomad.send(20);

  await eventually(() => indexes.length === 1 && told.length === 1);

  t.match(told, [['failed', { isRepeat: false, err: { code: 'nomad-not-found', message: /404/u } }]]);
  t.strictSame(nomad.asked, ['0']);
});

t.test('with a list that comes late the stream is read again from where it was opened', async (t) => {
  const nomad = await startNomad(t, false);
  nomad.send(10);
  const { indexes, told } = read(t, nomad, { index: 10 });
  nomad.send(12);
  await eventually(() => indexes.length === 2 && told.length === 1);

  nomad.answersLists = true;
  await eventually(() => indexes.length === 4, { timeoutMs: 30_000 });

  t.strictSame(nomad.asked, ['10', '10']);
  t.match(told, [
    ['failed', {}],
    ['reread', 10],
    ['added', { namespaces: ['default'], resumeAt: 10 }],
  ]);
});
