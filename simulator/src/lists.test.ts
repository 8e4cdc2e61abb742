/**
 * The list endpoints: the recording's content, headers, pages, namespaces, blocking queries, refusals.
 */
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import type { SimulatorOptions } from './options.ts';
import { openRaw } from './raw-client.ts';
import { startSimulator, type Simulator } from './simulator.ts';

interface Listed {
  readonly ID: string;
  readonly Name: string;
  readonly Namespace: string;
  readonly ModifyIndex: number;
}

async function start(t: Test, options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = await startSimulator(options);
  t.teardown(() => simulator.close());
  return simulator;
}

async function readDump(list: string): Promise<string> {
  return gunzipSync(
    await readFile(new URL(`../../fixtures/crashing-cluster/${list}.json.gz`, import.meta.url)),
  ).toString();
}

async function list(response: Response): Promise<readonly Listed[]> {
  return (await response.json()) as Listed[];
}

t.test('lists are the recording’s dumps with their index', async (t) => {
  const { url } = await start(t);
  const cases = {
    allocations: '354',
    evaluations: '355',
    jobs: '352',
    nodes: '352',
    deployments: '190',
    namespaces: '100',
  };

  for (const [name, index] of Object.entries(cases)) {
    const response = await fetch(`${url}/v1/${name}?namespace=*&task_states=true`);
    t.equal(response.headers.get('x-nomad-index'), index, name);
    t.equal(response.headers.get('x-nomad-knownleader'), 'true');
    t.equal(response.headers.get('x-nomad-nexttoken'), null);
    t.equal(await response.text(), await readDump(name), `${name} to the byte`);
  }
});

t.test('a recording without a dump has an empty list', async (t) => {
  const { url } = await start(t, { recording: 'burst' });

  const response = await fetch(`${url}/v1/deployments?namespace=*`);

  t.equal(await response.text(), '[]');
});

t.test('pages follow one another without loss or repeat', async (t) => {
  const { url } = await start(t);
  const tokens = {
    allocations: /^\d+\.[0-9a-f-]{36}$/,
    evaluations: /^\d+\.[0-9a-f-]{36}$/,
    jobs: /^(default|payments)\..+$/,
  };

  for (const [name, token] of Object.entries(tokens)) {
    const paged: string[] = [];
    let next: string | null = '';
    while (next !== null) {
      const response: Response = await fetch(
        `${url}/v1/${name}?namespace=*&per_page=7&next_token=${encodeURIComponent(next)}`,
      );
      const page = await list(response);
      next = response.headers.get('x-nomad-nexttoken');
      if (next !== null) {
        t.match(next, token);
        t.equal(page.length, 7);
      }
      paged.push(...page.map((object) => object.ID));
    }
    t.strictSame(
      paged,
      (JSON.parse(await readDump(name)) as Listed[]).map((object) => object.ID),
      name,
    );
  }
});

t.test('a list shows the default namespace unless it is told another', async (t) => {
  const { url } = await start(t);
  const cases = [
    { query: '', namespaces: ['default'] },
    { query: '?namespace=payments', namespaces: ['payments'] },
    { query: '?namespace=*', namespaces: ['default', 'payments'] },
    { query: '?namespace=unknown', namespaces: [] },
  ];

  for (const { query, namespaces } of cases) {
    const jobs = await list(await fetch(`${url}/v1/jobs${query}`));
    t.strictSame([...new Set(jobs.map((job) => job.Namespace))], namespaces, query);
  }
  t.equal((await list(await fetch(`${url}/v1/nodes?namespace=unknown`))).length, 1, 'nodes have none');
});

t.test('lists are compressed for those who ask', async (t) => {
  const { port } = await start(t);

  const client = openRaw(port, '/v1/nodes', { headers: { 'Accept-Encoding': 'gzip', Connection: 'close' } });
  await client.closed;

  t.match(await client.head(), /Content-Encoding: gzip/);
  t.equal(gunzipSync(client.bytes.subarray(client.bytes.indexOf('\r\n\r\n') + 4)).toString(), await readDump('nodes'));
});

t.test('a blocking query for namespaces answers when one is added', async (t) => {
  const simulator = await start(t);

  const waiting = fetch(`${simulator.url}/v1/namespaces?index=100&wait=5m`);
  const stillThere = await fetch(`${simulator.url}/v1/namespaces?index=99`);
  simulator.control.addNamespace('team-a');
  const response = await waiting;

  t.equal(stillThere.headers.get('x-nomad-index'), '100', 'an older index does not wait');
  t.equal(response.headers.get('x-nomad-index'), '356');
  t.strictSame(
    (await list(response)).map((namespace) => namespace.Name),
    ['default', 'payments', 'team-a'],
  );
});

t.test('a namespace that was removed is not there until it is added, also when it was made long before', async (t) => {
  const simulator = await start(t);
  simulator.control.removeNamespace('default');
  t.strictSame(
    (await list(await fetch(`${simulator.url}/v1/namespaces`))).map(({ Name }) => Name),
    ['payments'],
  );
  t.strictSame(await list(await fetch(`${simulator.url}/v1/jobs?namespace=default`)), []);

  simulator.control.addNamespace('default', 60);
  const response = await fetch(`${simulator.url}/v1/namespaces?index=100&wait=5m`);

  t.equal(response.headers.get('x-nomad-index'), '356');
  t.match(await list(response), [{ Name: 'default', CreateIndex: 60 }, { Name: 'payments' }]);
  t.not((await list(await fetch(`${simulator.url}/v1/jobs?namespace=default`))).length, 0);
});

t.test('a blocking query answers with the same index when its time is over', async (t) => {
  const { url } = await start(t);

  const response = await fetch(`${url}/v1/namespaces?index=100&wait=30ms`);

  t.equal(response.headers.get('x-nomad-index'), '100');
  t.equal((await list(response)).length, 2);
});

t.test(
  'played lists show what was played meanwhile, also when they were asked before, and nothing after a rebuild',
  async (t) => {
    const simulator = await start(t, { lists: 'played', load: { total: 600 }, paused: true });
    const path = '/v1/allocations?namespace=*';
    const count = async (): Promise<number> => (await list(await fetch(simulator.url + path))).length;
    t.equal(await count(), 0);
    const reader = openRaw(simulator.port, '/v1/event/stream?namespace=*&topic=Allocation');
    t.teardown(() => {
      reader.socket.destroy();
    });

    simulator.control.resume();
    await simulator.finished;

    t.equal(await count(), 600);
    const first = await fetch(`${simulator.url}${path}&per_page=400`);
    const next = await fetch(
      `${simulator.url}${path}&per_page=400&next_token=${first.headers.get('x-nomad-nexttoken') ?? ''}`,
    );
    t.equal(new Set([...(await list(first)), ...(await list(next))].map(({ ID }) => ID)).size, 600);
    simulator.control.restart({ indexes: 'anew' });
    t.equal(await count(), 0);
  },
);

t.test('with access control only the right token is accepted', async (t) => {
  const { url } = await start(t, { token: 'right' });
  const paths = ['/v1/allocations', '/v1/nodes', '/v1/namespaces', '/v1/agent/self'];

  for (const path of paths) {
    const refused = await fetch(url + path, { headers: { 'X-Nomad-Token': 'wrong' } });
    t.equal(refused.status, 403, path);
    t.equal(await refused.text(), 'Permission denied');
    t.equal((await fetch(url + path)).status, 403);
    t.equal((await fetch(url + path, { headers: { 'X-Nomad-Token': 'right' } })).status, 200);
    t.equal((await fetch(url + path, { headers: { Authorization: 'Bearer right' } })).status, 200);
  }
});

t.test('the agent tells its region and version', async (t) => {
  const { url } = await start(t);

  const agent = (await (await fetch(`${url}/v1/agent/self`)).json()) as {
    config: { Region: string; Version: { Version: string } };
  };

  t.equal(agent.config.Region, 'global');
  t.match(agent.config.Version.Version, /^\d+\.\d+\.\d+$/);
});

t.test('what is not simulated is refused, not overlooked', async (t) => {
  const { url } = await start(t);

  t.equal((await fetch(`${url}/v1/allocations?filter=x`)).status, 501);
  t.equal((await fetch(`${url}/v1/allocations?per_page=x`)).status, 400);
  t.equal((await fetch(`${url}/v1/allocations`, { method: 'POST' })).status, 405);
});
