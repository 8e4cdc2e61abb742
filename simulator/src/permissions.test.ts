/**
 * What a token may read, over HTTP: Nomad refuses a stream as a whole and filters a list of all namespaces.
 */
import t, { type Test } from 'tap';
import { openRaw } from './raw-client.ts';
import { startSimulator, type Simulator } from './simulator.ts';

async function start(t: Test): Promise<Simulator> {
  const simulator = await startSimulator({ token: 'right' });
  t.teardown(() => simulator.close());
  return simulator;
}

const headers = { 'X-Nomad-Token': 'right' };

async function opens(simulator: Simulator, query: string): Promise<boolean> {
  const stream = openRaw(simulator.port, `/v1/event/stream?${query}`, { headers });
  return stream
    .lines(1)
    .then(
      () => true,
      () => false,
    )
    .finally(() => {
      stream.socket.destroy();
    });
}

async function ask(simulator: Simulator, path: string): Promise<string> {
  const response = await fetch(`${simulator.url}/v1/${path}`, { headers });
  const text = await response.text();
  return response.status === 200
    ? [...new Set(text.match(/"(?:Namespace|Name)":"(?:default|payments)"/gu))].toSorted().join()
    : `${String(response.status)} ${text}`;
}

t.test('one refused namespace refuses the stream of all, and leaves the lists', async (t) => {
  const simulator = await start(t);

  simulator.control.restrict(['payments/read-job']);

  t.equal(await opens(simulator, 'namespace=*&topic=Job'), false);
  t.equal(await opens(simulator, 'namespace=payments&topic=Allocation'), false);
  t.equal(await opens(simulator, 'namespace=default&topic=Job&topic=Node'), true);
  t.equal(await ask(simulator, 'allocations?namespace=payments'), '403 Permission denied');
  t.equal(await ask(simulator, 'allocations?namespace=*'), '"Namespace":"default"');
  t.equal(
    await ask(simulator, 'jobs?namespace=*'),
    '"Namespace":"default","Namespace":"payments"',
    'for this it is list-jobs',
  );
  simulator.control.restrict(['*/read-job']);
  t.equal(await ask(simulator, 'evaluations?namespace=*'), '403 Permission denied', 'nothing is left');
});

t.test('a namespace without any capability is not listed', async (t) => {
  const simulator = await start(t);
  simulator.control.restrict(['payments/*']);

  t.equal(await ask(simulator, 'namespaces'), '"Name":"default"');
  t.equal(await opens(simulator, 'namespace=*&topic=Job'), false);
});

t.test('nodes and topics for management are refused by themselves', async (t) => {
  const simulator = await start(t);

  t.equal(await opens(simulator, 'namespace=*&topic=NodePool&topic=*'), true);
  t.equal(await ask(simulator, 'acl/tokens'), '');
  simulator.control.restrict(['management']);
  t.equal(await opens(simulator, 'namespace=*&topic=NodePool'), false);
  t.equal(await opens(simulator, 'namespace=*'), false, 'no topic is every topic');
  t.equal(await opens(simulator, 'namespace=*&topic=Node'), true);
  t.equal(await ask(simulator, 'acl/tokens'), '403 Permission denied');
  simulator.control.restrict(['node-read']);
  t.equal(await opens(simulator, 'namespace=*&topic=Job&topic=Node'), false);
  t.equal(await ask(simulator, 'nodes'), '403 Permission denied');
});

t.test('a permission taken away ends the streams that need it', async (t) => {
  const simulator = await startSimulator({ controlPort: 0 });
  t.teardown(() => simulator.close());
  const nodes = openRaw(simulator.port, '/v1/event/stream?namespace=*&topic=Node');
  const jobs = openRaw(simulator.port, '/v1/event/stream?namespace=*&topic=Job');
  await Promise.all([nodes.lines(1), jobs.lines(1)]);

  const restrict = (query: string): Promise<Response> =>
    fetch(`${simulator.controlUrl ?? ''}/control/restrict${query}`, { method: 'POST' });
  const response = await restrict('?refuse=default/read-job&refuse=management');
  await jobs.closed;

  t.equal(response.status, 200);
  t.equal(simulator.state.clients, 1);
  t.equal((await restrict('?refuse=everything')).status, 400);
  await restrict('');
  t.equal(await opens(simulator, 'namespace=*'), true);
  t.equal((await fetch(`${simulator.url}/v1/acl/tokens`)).status, 400, 'without access control there are no tokens');
  nodes.socket.destroy();
});
