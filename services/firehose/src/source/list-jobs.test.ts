import { startSimulator } from '@hydrant/simulator/simulator';
import { readRecordedList } from '@hydrant/testing/recordings';
import t from 'tap';
import { parseNomadAddress, type NomadAddress } from './address.ts';
import { createJobLister } from './list-jobs.ts';
import type { NomadAccess } from './nomad-access.ts';
import { createNomadClient } from './nomad-http-client.ts';

const forever = new AbortController().signal;
const access: NomadAccess = {
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
const query = { topics: ['Job'], namespace: '*', region: '' };

function addressOf(url: string): NomadAddress {
  const address = parseNomadAddress(url);
  if (address === undefined) throw new Error(`Expected an address, got ${url}`);
  return address;
}

t.test('the whole list comes in pages, from the first address that answers', async (t) => {
  const simulator = await startSimulator({ token: 'right' });
  t.teardown(() => simulator.close());
  const recorded = await readRecordedList('crashing-cluster', 'jobs');
  const addresses = ['http://127.0.0.1:1', simulator.url].map(addressOf);

  const whole = await createJobLister(createNomadClient(access), addresses, query)(forever);
  const paged = await createJobLister(createNomadClient(access), addresses, query, 3)(forever);

  t.equal(whole.index, 352);
  t.equal(whole.pages.length, 1);
  t.equal(paged.pages.length, Math.ceil(recorded.length / 3));
  const ids = (pages: readonly Buffer[]): unknown[] =>
    pages.flatMap((page) => (JSON.parse(page.toString()) as { ID: string }[]).map(({ ID }) => ID)).toSorted();
  t.strictSame(ids(whole.pages), recorded.map(({ ID: id }) => id).toSorted());
  t.strictSame(ids(paged.pages), ids(whole.pages));
});

t.test('a refusal and an outage are told apart', async (t) => {
  const simulator = await startSimulator({ token: 'another' });
  t.teardown(() => simulator.close());

  await t.rejects(createJobLister(createNomadClient(access), [addressOf(simulator.url)], query)(forever), {
    code: 'nomad-denied',
    message: /capability list-jobs/u,
    cause: { message: /403/u },
  });
  await t.rejects(createJobLister(createNomadClient(access), [addressOf('http://127.0.0.1:1')], query)(forever), {
    code: 'nomad-unreachable',
    retryable: true,
  });
});
