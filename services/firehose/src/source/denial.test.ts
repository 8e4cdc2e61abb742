import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { startSimulator } from '@hydrant/simulator/simulator';
import t, { type Test } from 'tap';
import { parseNomadAddress, type NomadAddress } from './address.ts';
import {
  createDenialProbe,
  explainDenial,
  planListProbes,
  planProbes,
  type Denial,
  type ProbeResult,
} from './denial.ts';
import { createNomadClient } from './nomad-http-client.ts';
import type { StreamQuery } from './open-stream.ts';

const forever = new AbortController().signal;
const query: StreamQuery = { topics: ['Deployment', 'Allocation', 'Node'], namespace: '*', region: '' };

function addressOf(url: string): NomadAddress {
  const address = parseNomadAddress(url);
  if (address === undefined) throw new Error(`Expected an address, got ${url}`);
  return address;
}

function probe(
  url: string,
  overrides: Partial<StreamQuery> = {},
  token: string | null = 'right',
  signal = forever,
): Promise<Denial> {
  const access = {
    token,
    tokenFile: null,
    httpAuth: null,
    caFile: null,
    caFolder: null,
    certFile: null,
    keyFile: null,
    serverName: null,
    skipVerify: false,
  };
  return createDenialProbe(createNomadClient(access), { ...query, ...overrides }, systemClock)(addressOf(url), signal);
}

async function serve(t: Test, handle: RequestListener): Promise<string> {
  const server = createServer(handle);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

t.test('one list is asked for each permission, in each namespace where it is bound to one', (t) => {
  const cases: readonly (readonly [readonly string[], readonly string[]])[] = [
    [
      ['Job', 'Allocation', 'Evaluation'],
      ['/v1/allocations?per_page=1&namespace=a', '/v1/allocations?per_page=1&namespace=b+'],
    ],
    [['Node'], ['/v1/nodes?per_page=1']],
    [['*'], ['/v1/acl/tokens?per_page=1']],
    [['NodePool', 'ACLToken', 'NewOne'], ['/v1/acl/tokens?per_page=1']],
    [['HostVolume'], ['/v1/volumes?type=host&per_page=1&namespace=a', '/v1/volumes?type=host&per_page=1&namespace=b+']],
    [['CSIVolume'], ['/v1/volumes?type=csi&per_page=1&namespace=a', '/v1/volumes?type=csi&per_page=1&namespace=b+']],
    [['Variable'], ['/v1/vars?per_page=1&namespace=a', '/v1/vars?per_page=1&namespace=b+']],
    [['Operator'], ['/v1/operator/scheduler/configuration']],
  ];
  for (const [topics, expected] of cases) {
    t.strictSame(
      planProbes({ topics, region: '' }, ['a', 'b ']).map(({ path }) => path),
      expected.map((path) => path.replace('+', '%20')),
      topics.join(),
    );
  }
  t.strictSame(
    planProbes({ topics: ['Node'], region: 'eu west' }, ['a']).map(({ path }) => path),
    ['/v1/nodes?per_page=1&region=eu%20west'],
  );
  t.end();
});

t.test('answers become one reason, the same for the same answers', (t) => {
  const make = (namespace: string, outcome: ProbeResult['outcome'], words: string): ProbeResult => ({
    probe: { permission: 'x', topics: ['Job', 'Service'], namespace, path: '' },
    outcome,
    words,
  });
  const namespaces = Array.from({ length: 12 }, (_, number) => `n${String(number)}`);
  const cases: readonly (readonly [string, readonly ProbeResult[], Denial['cause'], RegExp])[] = [
    [
      'one refused',
      [make('a', 'allowed', ''), make('b', 'refused', '403 no')],
      'refused',
      /^the token may not read Job, Service in namespace "b" \(needs x\): 403 no$/u,
    ],
    [
      'many refused',
      namespaces.map((name) => make(name, 'refused', '403 no')),
      'refused',
      /in namespaces "n0", "n1",.* "n9" and 2 more \(needs x\)/u,
    ],
    [
      'a refusal outweighs a failure',
      [make('a', 'failed', '500 oh'), make('b', 'refused', '403 no')],
      'refused',
      /^[^5]*403 no$/u,
    ],
    [
      'nothing but failures',
      [make('a', 'failed', '500 No path to region'), make('b', 'allowed', '')],
      'unknown',
      /do not tell why: .*500 No path to region/u,
    ],
    [
      'all allowed',
      [make('a', 'allowed', '')],
      'lists-allowed',
      /one namespace that the token cannot see lacks read-job.*enable_event_broker/u,
    ],
    [
      'one that no list shows',
      [make('a', 'allowed', ''), make('b', 'unproven', '')],
      'lists-allowed',
      /^no list is refused; likely the token lacks x, which Job, Service needs and no list shows, or one namespace/u,
    ],
  ];
  for (const [what, results, cause, reason] of cases) t.match(explainDenial(query, results), { cause, reason }, what);
  t.notMatch(explainDenial({ ...query, namespace: 'default' }, []).reason, /cannot see/u);
  t.match(explainDenial({ ...query, topics: ['NodePool'] }, []).reason, /management token/u);
  t.notMatch(explainDenial(query, []).reason, /management token/u);
  t.end();
});

t.test('what Nomad refuses is named with its own words', async (t) => {
  const simulator = await startSimulator({ token: 'right' });
  t.teardown(() => simulator.close());
  const { control, url } = simulator;

  t.strictSame(await probe(url, {}, 'wrong'), {
    cause: 'refused',
    reason: 'the token itself is refused: 403 Permission denied',
  });
  control.restrict(['payments/read-job']);
  t.strictSame(await probe(url), {
    cause: 'refused',
    reason:
      'the token may not read Deployment, Allocation in namespace "payments" (needs the capability read-job): 403 Permission denied',
  });
  control.restrict(['node-read', 'default/read-job']);
  t.match(
    (await probe(url)).reason,
    /^the token may not read Deployment, Allocation in namespace "default" .*; Node \(needs the policy node \{ policy = "read" \}\): 403 Permission denied$/u,
  );
  control.restrict(['payments/*']);
  t.match(
    await probe(url),
    { cause: 'lists-allowed', reason: /namespace that the token cannot see/u },
    'it is not even listed',
  );
  t.match(await probe(url, { namespace: 'payments' }), { cause: 'refused', reason: /in namespace "payments"/u });
  t.match(await probe(url, { topics: ['*'] }), {
    cause: 'refused',
    reason: /^the token may not read \* \(needs a management token\)/u,
  });
});

t.test('a Nomad that gives no answers is told from one that refuses', async (t) => {
  const failing = await serve(t, (_request, response) => {
    response.writeHead(500).end('No cluster leader');
  });
  const odd = await serve(t, (_request, response) => {
    response.end('{"not":"a list"');
  });
  const stopping = new AbortController();
  const silent = await serve(t, () => {
    stopping.abort(new Error('stop'));
  });

  t.match(await probe(failing), { cause: 'unknown', reason: /500 No cluster leader/u });
  t.match(await probe('http://127.0.0.1:1'), { cause: 'unknown', reason: /ECONNREFUSED/u });
  t.match(await probe(odd), { cause: 'lists-allowed' });
  await t.rejects(probe(silent, {}, null, stopping.signal), { message: 'stop' });
});

t.test('of the lists that are read beside the stream those are asked that need more', (t) => {
  const pathsOf = (topics: readonly string[]): readonly string[] =>
    planListProbes({ topics, region: '' }, ['a']).map(({ path }) => path);
  t.strictSame(pathsOf(['Job', 'Allocation', 'Node']), ['/v1/jobs?per_page=1&namespace=a']);
  t.strictSame(pathsOf(['CSIPlugin']), ['/v1/plugins?type=csi&per_page=1']);
  t.strictSame(pathsOf(['*']), ['/v1/jobs?per_page=1&namespace=a', '/v1/plugins?type=csi&per_page=1']);
  t.strictSame(pathsOf(['Allocation']), []);
  t.end();
});

t.test('a list that shows nothing to a token without the permission proves nothing', async (t) => {
  const answers: Record<string, string> = {
    '/v1/volumes?type=host': '[]',
    '/v1/volumes?type=csi': '[{"ID":"v"}]',
    '/v1/vars': '[]',
    '/v1/namespaces': '[{"Name":"default"}]',
  };
  const url = await serve(t, (request, response) => {
    const found = Object.entries(answers).find(([path]) => request.url?.startsWith(path) === true);
    response.writeHead(found === undefined ? 403 : 200).end(found?.[1] ?? 'Permission denied');
  });
  const lacking = async (topic: string): Promise<string> => (await probe(url, { topics: [topic] })).reason;

  t.match(await lacking('HostVolume'), /lacks the capability host-volume-read, which HostVolume needs/u);
  t.match(
    await lacking('CSIVolume'),
    /lacks the capability csi-read-volume, which CSIVolume needs/u,
    'list-jobs opens the list, too',
  );
  t.match(await lacking('Variable'), /lacks a rule variables/u);
  t.match(await lacking('Operator'), /may not read Operator \(needs the policy operator \{ policy = "read" \}\): 403/u);
  answers['/v1/volumes?type=host'] = '[{"ID":"v"}]';
  t.notMatch(await lacking('HostVolume'), /host-volume-read/u);
});
