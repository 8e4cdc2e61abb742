import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import t from 'tap';
import { parseNomadAddress } from '../source/address.ts';
import { createNomadClient } from '../source/nomad-http-client.ts';
import { classifyListFailure, judgeListFailure } from './patience.ts';

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

t.test('an answer that stays the same is told from one that passes', async (t) => {
  const server = createServer((request, response) => {
    response.writeHead(Number(request.url?.slice('/v1/'.length))).end('no');
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    server.close();
  });
  const address = parseNomadAddress(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`);
  if (address === undefined) throw new Error('Expected an address');
  const cases = {
    301: 'answered',
    400: 'answered',
    401: 'answered',
    403: 'answered',
    404: 'permanent',
    405: 'answered',
    408: 'passing',
    429: 'passing',
    500: 'passing',
    501: 'answered',
    502: 'passing',
    503: 'passing',
  };
  for (const [status, expected] of Object.entries(cases)) {
    const thrown: unknown = await createNomadClient(access)
      .get(address, `/v1/${status}`, new AbortController().signal)
      .catch((error: unknown) => error);
    t.equal(classifyListFailure(thrown), expected, status);
  }
  const codes = {
    'list-endless': 'permanent',
    'list-malformed': 'answered',
    'nomad-html': 'answered',
    'nomad-answer-too-large': 'answered',
    'nomad-silent': 'passing',
    'nomad-unreachable': 'passing',
    'list-older': 'passing',
  };
  for (const [code, expected] of Object.entries(codes))
    t.equal(classifyListFailure(new HydrantError('no', { code, retryable: true })), expected, code);
});

t.test('what stays the same is given up after a while, what passes only where Nomad answers otherwise', (t) => {
  const patience = { answeredMs: 60, passingMs: 600 };
  const cases = [
    ['permanent', 0, 'give-up'],
    ['answered', 0, 'retry'],
    ['answered', 59, 'retry'],
    ['answered', 60, 'give-up'],
    ['passing', 599, 'retry'],
    ['passing', 600, 'give-up-alone'],
  ] as const;
  for (const [failure, triedMs, verdict] of cases)
    t.equal(judgeListFailure(failure, triedMs, patience), verdict, `${failure} ${String(triedMs)}`);
  t.end();
});
