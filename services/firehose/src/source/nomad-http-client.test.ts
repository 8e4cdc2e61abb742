import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { describeError } from '@hydrant/shared/foundation/errors';
import { startSimulator } from '@hydrant/simulator/simulator';
import t, { type Test } from 'tap';
import { parseNomadAddress, type NomadAddress } from './address.ts';
import type { NomadAccess } from './nomad-access.ts';
import { createNomadClient } from './nomad-http-client.ts';

const forever = new AbortController().signal;
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
const client = createNomadClient(anonymous);

function addressOf(url: string): NomadAddress {
  const address = parseNomadAddress(url);
  if (address === undefined) throw new Error(`Expected an address, got ${url}`);
  return address;
}

async function listen(t: Test, server: Server): Promise<NomadAddress> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
  });
  return addressOf(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`);
}

async function serve(t: Test, handle: RequestListener): Promise<NomadAddress> {
  const server = createServer(handle);
  t.teardown(() => {
    server.closeAllConnections();
  });
  return listen(t, server);
}

async function failure(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => 'nothing thrown', describeError);
}

t.test('a list comes whole, with its index and whatever its status', async (t) => {
  const simulator = await startSimulator({ token: 'right' });
  t.teardown(() => simulator.close());
  const address = addressOf(simulator.url);
  const path = '/v1/allocations?namespace=*&per_page=2';

  const allowed = await createNomadClient({ ...anonymous, token: 'right' }).get(address, path, forever);
  const refused = await client.request(address, path, forever);

  t.equal((JSON.parse(allowed.body.toString()) as unknown[]).length, 2);
  t.match(allowed, { status: 200, headers: { 'x-nomad-index': /^\d+$/u, 'x-nomad-nexttoken': /./u } });
  t.match({ ...refused, body: refused.body.toString() }, { status: 403, body: 'Permission denied' });
  await t.rejects(client.get(address, path, forever), {
    code: 'nomad-denied',
    message: `Expected Nomad at ${address.label} to answer 200, got 403: Permission denied`,
  });
});

t.test('user and password of the address win, and the token goes with them', async (t) => {
  const seen: IncomingMessage['headers'][] = [];
  const address = await serve(t, (request, response) => {
    seen.push(request.headers);
    response.end('[]');
  });
  const access = { ...anonymous, token: 'secret', httpAuth: 'user:pa:ss' };

  await createNomadClient(access).get(address, '/v1/nodes', forever);
  await createNomadClient(access).get(addressOf(address.origin.replace('//', '//other:p%40ss@')), '/v1/nodes', forever);

  t.match(seen[0], {
    'x-nomad-token': 'secret',
    authorization: `Basic ${Buffer.from('user:pa:ss').toString('base64')}`,
  });
  t.match(seen[1], {
    'x-nomad-token': 'secret',
    authorization: `Basic ${Buffer.from('other:p@ss').toString('base64')}`,
  });
});

t.test('every failure says what to do', async (t) => {
  const nobody = addressOf('http://127.0.0.1:1');
  const page = '<!DOCTYPE html><html><head><title>Sign in</title></head></html>';
  const speaking = (text: string): Promise<NomadAddress> =>
    listen(
      t,
      createTcpServer((socket) => {
        socket.on('error', () => undefined).end(text);
      }),
    );
  const cases: readonly (readonly [string, NomadAddress, string, RegExp])[] = [
    ['nobody listens', nobody, 'nomad-unreachable', /Cannot reach Nomad at http:.*ECONNREFUSED/u],
    [
      'HTTP/0.0',
      await speaking('HTTP/0.0 200 OK\r\nConnection: close\r\n\r\n{}\n'),
      'nomad-http-version',
      /1\.11\.2.*upgrade the agent/u,
    ],
    ['no HTTP', await speaking('SSH-2.0-OpenSSH\r\n'), 'nomad-http', /got something else/u],
    [
      'an answer that is cut',
      await speaking('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[]'),
      'nomad-unreachable',
      /Cannot reach/u,
    ],
    [
      'a sign-in page',
      await serve(t, (_request, response) => response.setHeader('content-type', 'text/html; charset=utf-8').end(page)),
      'nomad-html',
      /HTML page "Sign in".*NOMAD_ADDR/u,
    ],
    [
      'a page of an error',
      await serve(t, (_request, response) => response.writeHead(502).end(page)),
      'nomad-refused',
      /got 502: an HTML page "Sign in"/u,
    ],
    [
      'a way elsewhere',
      await serve(t, (_request, response) => response.writeHead(307, { location: 'https://elsewhere/v1' }).end()),
      'nomad-refused',
      /got 307.*https:\/\/elsewhere/u,
    ],
    [
      'an agent that wants TLS',
      await serve(t, (_request, response) =>
        response.writeHead(400).end('Client sent an HTTP request to an HTTPS server.\n'),
      ),
      'nomad-refused',
      /HTTPS server\./u,
    ],
  ];
  for (const [what, address, code, message] of cases) {
    await t.rejects(client.get(address, '/v1/nodes', forever), { code, retryable: true }, what);
    t.match(await failure(client.get(address, '/v1/nodes', forever)), message, what);
    if (what === 'an answer that is cut') continue;
    await t.rejects(client.stream(address, '/v1/event/stream', forever), { code }, `${what}, stream`);
  }
});

t.test('a refusal is one line and repeats no secret', async (t) => {
  const address = await serve(t, (request, response) => {
    response
      .writeHead(403)
      .end(
        `bad token ${String(request.headers['x-nomad-token'])}\u001b[2J\n${String(request.headers.authorization)} hunter2 ${'x'.repeat(2000)}`,
      );
  });
  const careful = createNomadClient({ ...anonymous, token: 'secret-token', httpAuth: 'me:hunter2' });

  for (const call of [careful.get(address, '/', forever), careful.stream(address, '/', forever)]) {
    const text = await failure(call);
    t.match(text, /got 403: bad token \*\*\* ?\[2J Basic \*\*\* \*\*\* x+$/u);
    t.ok(text.length < 700);
  }
});

t.test('a request has an end: silence, size and the signal', async (t) => {
  const silent = await serve(t, (request, response) => {
    if (request.url === '/v1/half') response.write('[');
  });
  const endless = await serve(t, (_request, response) => {
    response.end(Buffer.alloc(2000));
  });
  const stopping = new AbortController();

  await t.rejects(client.get(silent, '/v1/none', forever, { silentMs: 50 }), { code: 'nomad-silent' });
  await t.rejects(client.get(silent, '/v1/half', forever, { silentMs: 50 }), { code: 'nomad-silent' });
  await t.rejects(client.get(endless, '/v1/nodes', forever, { maxBytes: 1000 }), {
    code: 'nomad-answer-too-large',
    message: /\/v1\/nodes with at most 1000 bytes/u,
  });
  const request = client.get(silent, '/v1/none', stopping.signal);
  stopping.abort(new Error('enough'));
  await t.rejects(request, { message: 'enough' });
});

t.test('a file that cannot be read is named with its setting', async (t) => {
  const missing = createNomadClient({ ...anonymous, tokenFile: '/nowhere/token' });

  await t.rejects(missing.get(addressOf('http://127.0.0.1:1'), '/v1/nodes', forever), {
    code: 'nomad-credentials',
    message: /`NOMAD_TOKEN_FILE` names, \/nowhere\/token.*ENOENT/u,
  });
});
