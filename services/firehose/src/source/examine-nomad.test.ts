import { systemClock } from '@hydrant/shared/foundation/clock';
import type { Finding } from '@hydrant/shared/runtime/doctor';
import { startSimulator } from '@hydrant/simulator/simulator';
import t from 'tap';
import { parseNomadAddress } from './address.ts';
import { examineNomad } from './examine-nomad.ts';

const never = new AbortController().signal;
const access = {
  token: 'right',
  tokenFile: null,
  httpAuth: null,
  caFile: null,
  caFolder: null,
  certFile: null,
  keyFile: null,
  serverName: null,
  skipVerify: false,
};

async function examine(
  url: string,
  overrides: { readonly topics?: readonly string[]; readonly namespace?: string; readonly token?: string } = {},
): Promise<readonly Finding[]> {
  const { topics = ['Allocation', 'Job', 'Node'], namespace = '*', token = 'right' } = overrides;
  const address = parseNomadAddress(url);
  const options = {
    topics,
    namespace,
    region: '',
    access: { ...access, token },
    addresses: address === undefined ? [] : [address],
  };
  return (
    await Promise.all(examineNomad(options, systemClock).map((examination) => examination.examine(never)))
  ).flat();
}

t.test('each topic and namespace that the token may read is said so, and the stream opens', async (t) => {
  const simulator = await startSimulator({ token: 'right' });
  t.teardown(() => simulator.close());

  const findings = await examine(simulator.url, { topics: ['Allocation', 'Job', 'Node', 'Variable'] });

  t.ok(findings.slice(0, -1).every(({ isWell }) => isWell));
  t.match(findings[0], { subject: `nomad ${simulator.url}` });
  t.match(findings, [{}, { subject: 'Allocation, Job in namespace default', detail: 'the token may read it' }]);
  for (const expected of [
    ['^Node$', ''],
    ['^Variable in namespace default$', 'no list shows.*variables'],
    ['^list of Job in namespace default$', 'the token may read it'],
    ['^event stream at', ''],
  ] as const)
    t.ok(
      findings.some(
        ({ subject, detail }) =>
          new RegExp(expected[0], 'u').test(subject) && new RegExp(expected[1], 'u').test(detail),
      ),
      expected[0],
    );
});

t.test('what the token lacks is named for each topic and namespace', async (t) => {
  const simulator = await startSimulator({ token: 'right' });
  t.teardown(() => simulator.close());
  simulator.control.restrict(['default/read-job', 'node-read']);

  const findings = await examine(simulator.url);

  t.match(
    findings.filter(({ isWell }) => !isWell),
    [
      { subject: 'Allocation, Job in namespace default', detail: /may not: 403 .*; give it the capability read-job/u },
      { subject: 'Node', detail: /give it the policy node/u },
      { subject: /^event stream/u, detail: /is refused \(200 and nothing\): the token may not read/u },
    ],
  );
});

t.test('a token that Nomad does not know, and a Nomad that is not there', async (t) => {
  const simulator = await startSimulator({ token: 'right' });
  t.teardown(() => simulator.close());

  t.match(await examine(simulator.url, { token: 'wrong' }), [
    { isWell: true },
    { subject: 'token', isWell: false, detail: /NOMAD_TOKEN/u },
  ]);
  await t.rejects(examine('http://127.0.0.1:1'), { code: 'nomad-unreachable' });
});

t.test('the list of jobs, which a gap is healed from, is asked for beside the stream', async (t) => {
  const simulator = await startSimulator({ token: 'right' });
  t.teardown(() => simulator.close());
  simulator.control.restrict(['default/list-jobs']);

  const findings = await examine(simulator.url);

  t.match(
    findings.filter(({ isWell }) => !isWell),
    [
      {
        subject: 'list of Job in namespace default',
        detail:
          /may not: 403 .*; give it the capability list-jobs, which healing a gap and FIREHOSE_COMPAT=jobliststubs need/u,
      },
    ],
  );
});

t.test('a namespace that does not exist is told, with those that do', async (t) => {
  const simulator = await startSimulator({ token: 'right' });
  t.teardown(() => simulator.close());

  const [wrong] = (await examine(simulator.url, { namespace: 'nosuch' })).filter(({ isWell }) => !isWell);

  t.match(wrong, {
    subject: 'namespace nosuch',
    detail: /does not exist, or the token may not see it; FIREHOSE_NAMESPACE takes one of .*default/u,
  });
  t.ok((await examine(simulator.url, { namespace: 'default' })).every(({ isWell }) => isWell));
});
