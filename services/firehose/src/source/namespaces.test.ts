import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock, type Clock } from '@hydrant/shared/foundation/clock';
import { startSimulator } from '@hydrant/simulator/simulator';
import { eventually } from '@hydrant/testing/eventually';
import t, { type Test } from 'tap';
import { parseNomadAddress, type NomadAddress } from './address.ts';
import { addedNamespaces, createNamespaceWatch, readNamespaceList, type NamespaceWatch } from './namespaces.ts';
import { createNomadClient } from './nomad-http-client.ts';

const forever = new AbortController().signal;
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

interface Watched {
  readonly watch: NamespaceWatch;
  readonly failures: { readonly isRepeat: boolean; readonly err: Error }[];
}

function createWatch(retryMaxMs = 5, clock = systemClock): Watched {
  const failures: Watched['failures'] = [];
  const telemetry = {
    namespaceWatchFailed: (failure: Watched['failures'][number]): void => {
      failures.push(failure);
    },
  };
  return {
    watch: createNamespaceWatch(
      { region: 'eu west', retryMinMs: 1, retryMaxMs },
      { client: createNomadClient(access), telemetry, clock },
    ),
    failures,
  };
}

function addressOf(url: string): NomadAddress {
  const address = parseNomadAddress(url);
  if (address === undefined) throw new Error(`Expected an address, got ${url}`);
  return address;
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Answers the n-th request with the n-th answer, and all that follow with the last. */
async function serve(
  t: Test,
  ...answers: readonly Answer[]
): Promise<{ readonly address: NomadAddress; readonly urls: string[] }> {
  const urls: string[] = [];
  const server = createServer((request, response) => {
    answers[Math.min(urls.length, answers.length - 1)]?.(request, response);
    urls.push(request.url ?? '');
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { address: addressOf(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`), urls };
}

function listing(index: number | undefined, ...names: readonly string[]): Answer {
  const body = JSON.stringify(names.map((Name, position) => ({ Name, CreateIndex: position + 1 })));
  return (_request, response) => {
    response.writeHead(200, index === undefined ? {} : { 'x-nomad-index': index }).end(body);
  };
}

function refusing(status: number): Answer {
  return (_request, response) => {
    response.writeHead(status).end('Permission denied');
  };
}

function holding(): void {
  // A blocking query without news.
}

t.test('a list is read for its names and indexes, whatever else it holds', (t) => {
  const list = readNamespaceList(
    Buffer.from('[{"Name":"default","CreateIndex":1},{"Name":"b","CreateIndex":"x"},7,{"Name":3},null]'),
    '12',
  );

  t.strictSame(list, {
    namespaces: [
      { name: 'default', createIndex: 1 },
      { name: 'b', createIndex: 0 },
    ],
    index: 12,
  });
  t.equal(readNamespaceList(Buffer.from('[]'), '-4').index, 0);
  for (const body of ['', 'null', ' null\n', '[]'])
    t.strictSame(readNamespaceList(Buffer.from(body), '1'), { namespaces: [], index: 1 }, body);
  for (const body of ['{}', '[', '<html>'])
    t.throws(() => readNamespaceList(Buffer.from(body), '1'), { code: 'list-malformed' }, body);
  t.strictSame(
    addedNamespaces(list, {
      namespaces: [
        { name: 'b', createIndex: 9 },
        { name: 'c', createIndex: 20 },
      ],
      index: 20,
    }),
    [{ name: 'c', createIndex: 20 }],
  );
  t.end();
});

t.test('a new namespace is noticed as it is made, and told with its index', async (t) => {
  const simulator = await startSimulator();
  t.teardown(() => simulator.close());
  const address = addressOf(simulator.url);
  const { watch, failures } = createWatch();
  const known = await watch.read(address, forever);
  t.strictSame(
    known?.namespaces.map(({ name }) => name),
    ['default', 'payments'],
  );

  const added = watch.untilAdded(address, known, forever);
  simulator.control.addNamespace('search');

  t.match(await added, [{ name: 'search', createIndex: Number }]);
  t.strictSame(failures, []);
});

t.test("the list is a blocking query of the agent's own state", async (t) => {
  const { address, urls } = await serve(t, listing(5, 'default'), listing(5, 'default'), listing(9, 'default', 'b'));
  const { watch } = createWatch();

  const added = await watch.untilAdded(address, await watch.read(address, forever), forever);

  t.strictSame(added, [{ name: 'b', createIndex: 2 }]);
  const blocking = '/v1/namespaces?stale=true&index=5&wait=120s&region=eu+west';
  t.strictSame(urls, ['/v1/namespaces?stale=true&region=eu+west', blocking, blocking]);
});

t.test('a list that cannot be read is told once and tried on', async (t) => {
  const { address } = await serve(t, refusing(403), refusing(403), refusing(404), refusing(500), listing(5, 'default'));
  const { watch, failures } = createWatch();

  const known = await watch.read(address, forever);
  const added = await watch.untilAdded(address, known, forever);

  t.equal(known, undefined);
  t.strictSame(
    failures.map(({ isRepeat }) => isRepeat),
    [false, true, true],
  );
  t.match(failures[0]?.err, { code: 'nomad-denied', message: /403: Permission denied/u });
  t.strictSame(
    added,
    [{ name: 'default', createIndex: 0 }],
    'any of them may be missing in a stream that was opened blindly',
  );
});

t.test('what was known serves when the list cannot be read before the next stream', async (t) => {
  const { address } = await serve(t, listing(5, 'default'), refusing(500), listing(6, 'default', 'b'));
  const { watch } = createWatch();
  const first = await watch.read(address, forever);

  const second = await watch.read(address, forever);

  t.strictSame(second, first);
  t.strictSame(await watch.untilAdded(address, second, forever), [{ name: 'b', createIndex: 2 }]);
});

t.test('an aborted watch ends without a word', async (t) => {
  const { address, urls } = await serve(t, listing(5, 'default'), holding);
  const { watch, failures } = createWatch();
  const stopping = new AbortController();
  const known = await watch.read(address, stopping.signal);
  const added = watch.untilAdded(address, known, stopping.signal);
  await eventually(() => urls.length === 2);

  stopping.abort(new Error('stop'));

  t.strictSame(await added, []);
  t.strictSame(failures, []);
  await t.rejects(watch.read(address, stopping.signal), { message: 'stop' });
});

t.test('an answer that does not block is not asked for in a loop', async (t) => {
  const { address, urls } = await serve(t, listing(undefined, 'default'));
  const waits: number[] = [];
  const sleep: Clock['sleep'] = (ms, signal) => {
    waits.push(ms);
    return systemClock.sleep(ms, signal);
  };
  const { watch } = createWatch(60_000, { ...systemClock, sleep });
  const stopping = new AbortController();
  const added = watch.untilAdded(address, await watch.read(address, forever), stopping.signal);
  await eventually(() => waits.length > 0);

  t.strictSame(waits, [60_000]);
  t.equal(urls.length, 2);
  stopping.abort();
  await added;
});
