/**
 * What docs/scaling.md says of a RabbitMQ cluster of three: with one node dead everything goes on, with two the
 * firehose reads on and all is published when a majority is back.
 */
import { eventually } from '@hydrant/testing/eventually';
import type { ClusterNode } from '@hydrant/testing/private-rabbitmq';
import t from 'tap';
import { startOneRedis } from '../src/backends.ts';
import { startRabbitMqCluster } from '../src/clusters.ts';
import { readCheck } from '../src/service-process.ts';
import { startServices } from '../src/services-shape.ts';
import { setStage, type Stage } from '../src/stage.ts';

const eventsPerSecond = 200;
const electionMs = 90_000;

interface QueueState {
  readonly name: string;
  readonly leader: string;
  readonly members: readonly string[];
  readonly online: readonly string[];
}

async function queues(node: ClusterNode): Promise<readonly QueueState[]> {
  const all = JSON.parse(
    await node.ctl('list_queues', 'name', 'leader', 'members', 'online', '--formatter=json'),
  ) as readonly QueueState[];
  return all.filter(({ name }) => !name.endsWith('.dead-letter'));
}

/** Resolves when every queue has a replica that takes part on each of `nodes`. */
async function untilReplicated(nodes: readonly ClusterNode[]): Promise<readonly QueueState[]> {
  const [first] = nodes;
  if (first === undefined) throw new Error('Expected a cluster to have nodes');
  return eventually(
    async () => {
      const states = await queues(first);
      return states.length > 0 && states.every(({ online }) => nodes.every(({ nodeName }) => online.includes(nodeName)))
        ? states
        : undefined;
    },
    { timeoutMs: electionMs, message: 'every queue has all of its replicas' },
  );
}

/** Resolves when so many more events have arrived than now. */
async function whenMoreArrived(stage: Stage, count: number): Promise<void> {
  await stage.whenArrived(stage.arrived() + count);
}

void t.test('RabbitMQ as a cluster of three nodes', async (t) => {
  const [broker, stateStore] = [await startRabbitMqCluster(), await startOneRedis()];
  const stage = await setStage(t, (options) => startServices(options, { broker, stateStore }), {
    load: { eventsPerSecond },
  });
  const { nodes } = broker;
  const { source } = stage.shape;
  await stage.play();
  await whenMoreArrived(stage, eventsPerSecond);

  await t.test('every queue has a replica on each', async (t) => {
    for (const { name, members } of await untilReplicated(nodes)) t.equal(members.length, 3, name);
  });

  for (const [position, node] of nodes.entries())
    await t.test(`node ${String(position + 1)} dies: everything goes on, and it comes back`, async (t) => {
      const [witness] = nodes.filter((other) => other !== node);
      if (witness === undefined) throw new Error('Expected a cluster to have other nodes');
      await node.kill();
      await whenMoreArrived(stage, 5 * eventsPerSecond);
      t.same(
        (await queues(witness)).filter(({ leader }) => leader === node.nodeName),
        [],
        'it leads no queue',
      );
      await node.start();
      await untilReplicated(nodes);
    });

  await t.test('two die: the firehose reads on, and all goes on by itself when they are back', async () => {
    const [first, second] = nodes;
    if (first === undefined || second === undefined) throw new Error('Expected a cluster to have nodes');
    await Promise.all([first.kill(), second.kill()]);
    // Up to RabbitMQ 4.2 the node that is left pauses itself; later it takes connections and confirms nothing.
    await eventually(
      async () => {
        const { status, detail } = await readCheck(source, 'rabbitmq-publish');
        return status === 503 && /^(?:Not connected to|RabbitMQ has not confirmed|RabbitMQ has refused)/u.test(detail);
      },
      { timeoutMs: electionMs, message: 'the firehose says that it is not ready, and why' },
    );
    await eventually(async () => ((await source.metric('hydrant_firehose_spool_events')) ?? 0) > 5 * eventsPerSecond, {
      timeoutMs: 60_000,
      message: 'what is read goes into the spool',
    });
    await Promise.all([first.start(), second.start()]);
    await whenMoreArrived(stage, 5 * eventsPerSecond);
  });

  const total = stage.endLoad();
  await stage.whenArrived(total);
  t.equal(stage.arrived(), total, 'nothing is missing');
  t.same(await stage.shape.stop(), [0, 0, 0, 0], 'a clean end');
});
