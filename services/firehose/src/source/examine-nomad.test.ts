import { systemClock } from '@hydrant/shared/foundation/clock';
import type { Finding } from '@hydrant/shared/runtime/doctor';
import { startSimulator } from '@hydrant/simulator/simulator';
import t from 'tap';
import { parseNomadAddress } from './address.ts';
import { examineNomad } from './examine-nomad.ts';

const never = new AbortController().signal;
const access = { token: 'right', tokenFile: null, httpAuth: null, caFile: null, caFolder: null, certFile: null, keyFile: null, serverName: null, skipVerify: false };

async function examine(url: string, overrides: { readonly topics?: readonly string[]; readonly namespace?: string; readonly token?: string } = {}): Promise<readonly Finding[]> {
  const { topics = ['Allocation', 'Job', 'Node'], namespace = '*', token = 'right' } = overrides;
  const address = parseNomadAddress(url);
  const options = { topics, namespace, region: '', access: { ...access, token }, addresses: address === undefined ? [] : [address] };
  return (await Promise.all(examineNomad(options, systemClock).map((examination) => examination.examine(never)))).flat();
}

t.test('each topic and namespace that the token may read is said so, and the stream opens', async (t) => {
  const simulator = await startSimulator({ token: 'right' });
  t.teardown(() => simulator.close());

  const findings = await examine(simulator.url, { topics: ['Allocation', 'Job', 'Node', 'Variable'] });

  t.ok(findings.slice(0, -1).every(({ isWell }) => isWell));
  t.match(findings[0], { subject: `nomad ${simulator.url}` });
  t.match(findings, [
    {}, { subject: 'Allocation, Job in namespace default', detail: 'the token may read it' }, ...findings.slice(2, -3),
    { subject: 'Node' }, { subject: 'Variable', detail: /no list shows/u }, { subject: /^event stream at/u },
  ]);
});

t.test('what the token lacks is named for each topic and namespace', async (t) => {
  const simulator = await startSimulator({ token: 'right' });
  t.teardown(() => simulator.close());
  simulator.control.restrict(['default/read-job', 'node-read']);

  const findings = await examine(simulator.url);

  t.match(findings.filter(({ isWell }) => !isWell), [
    { subject: 'Allocation, Job in namespace default', detail: /may not: 403 .*; give it the capability read-job/u },
    { subject: 'Node', detail: /give it the policy node/u },
    { subject: /^event stream/u, detail: /is refused \(200 and nothing\): the token may not read/u },
  ]);
});

t.test('a token that Nomad does not know, and a Nomad that is not there', async (t) => {
  const simulator = await startSimulator({ token: 'right' });
  t.teardown(() => simulator.close());

  t.match(await examine(simulator.url, { token: 'wrong' }), [{ isWell: true }, { subject: 'token', isWell: false, detail: /NOMAD_TOKEN/u }]);
  await t.rejects(examine('http://127.0.0.1:1'), { code: 'nomad-unreachable' });
});
