/**
 * RabbitMQ for tests. Booting costs about 5 s, so by default the tests of a process (or of a whole run, see serve.ts)
 * share one node and each call gets a virtual host of its own. A test that stops or kills the broker asks for
 * `exclusive: true` and gets a node of its own.
 */
import { RabbitMqNode, readRabbitMqPlace, runRabbitMqCtl } from './rabbitmq-node.ts';
import type { RabbitMqNodeOptions, RabbitMqPlace } from './rabbitmq-node.ts';
import { withLevers, type ServerLevers } from './server-levers.ts';
import { readHelperArguments } from './test-like.ts';
import type { TestLike } from './test-like.ts';

/** Set by `startTestServers` for the tests it runs: the folder of the node to share. */
export const sharedRabbitMqVariable = 'HYDRANT_TEST_RABBITMQ_FOLDER';

export interface PrivateRabbitMq {
  /** With user, password and virtual host. */
  readonly url: string;
  readonly port: number;
  /** Pass it to commands that want one: `ctl('list_queues', '-p', vhost, 'name', 'messages')`. */
  readonly vhost: string;
  /** Another address of the same virtual host, for instance through a fault proxy. */
  urlAt(port: number): string;
  /** Runs rabbitmqctl (about 0.5 s) and gives its output. */
  ctl(...args: readonly string[]): Promise<string>;
  /** Safe to call twice; called by itself when a test was given. */
  close(): Promise<void>;
}

export type ExclusiveRabbitMq = PrivateRabbitMq & ServerLevers;

export interface SharedOptions {
  readonly exclusive?: false;
}

export interface ExclusiveOptions extends RabbitMqNodeOptions {
  readonly exclusive: true;
}

let ownNode: Promise<RabbitMqNode> | undefined;
let virtualHosts = 0;

export function startPrivateRabbitMq(test: TestLike, options: ExclusiveOptions): Promise<ExclusiveRabbitMq>;
export function startPrivateRabbitMq(options: ExclusiveOptions): Promise<ExclusiveRabbitMq>;
export function startPrivateRabbitMq(test?: TestLike, options?: SharedOptions): Promise<PrivateRabbitMq>;
export function startPrivateRabbitMq(options?: SharedOptions): Promise<PrivateRabbitMq>;
export async function startPrivateRabbitMq(
  first?: TestLike | SharedOptions | ExclusiveOptions,
  second?: SharedOptions | ExclusiveOptions,
): Promise<PrivateRabbitMq> {
  const { test, options } = readHelperArguments<SharedOptions | ExclusiveOptions>(first, second);
  const broker = options?.exclusive === true ? await startExclusive(options) : await startShared();
  test?.teardown(() => broker.close());
  return broker;
}

async function startExclusive(options: RabbitMqNodeOptions): Promise<ExclusiveRabbitMq> {
  return describeNode(await RabbitMqNode.boot(options));
}

function describeNode(node: RabbitMqNode): ClusterNode {
  return withLevers(node, {
    ...describePlace(node.place, '/'),
    nodeName: node.place.nodeName,
    close: () => node.close(),
  });
}

export interface PrivateRabbitMqCluster {
  /** Each can be killed, frozen and started again alone. */
  readonly nodes: readonly ClusterNode[];
  close(): Promise<void>;
}

export type ClusterNode = ExclusiveRabbitMq & { readonly nodeName: string };

/** Nodes of one cluster, each of which pauses itself when it sees no majority. Booting takes about 10 s for each. */
export async function startPrivateRabbitMqCluster(size: number): Promise<PrivateRabbitMqCluster> {
  const config = ['cluster_partition_handling = pause_minority'];
  const first = await RabbitMqNode.boot({ config });
  const nodes = [first];
  while (nodes.length < size) nodes.push(await RabbitMqNode.boot({ config, beside: first.place }));
  return {
    nodes: nodes.map(describeNode),
    async close() {
      for (const node of nodes.toReversed()) await node.close();
    },
  };
}

async function startShared(): Promise<PrivateRabbitMq> {
  const place = await findSharedPlace();
  virtualHosts += 1;
  const vhost = `test-${process.pid}-${virtualHosts}`;
  await addVirtualHost(place, vhost);
  // The virtual host goes with its node.
  return { ...describePlace(place, vhost), close: () => Promise.resolve() };
}

async function findSharedPlace(): Promise<RabbitMqPlace> {
  const folder = process.env[sharedRabbitMqVariable] ?? '';
  if (folder !== '') return readRabbitMqPlace(folder);
  // Ended by the guardian when this process ends.
  ownNode ??= RabbitMqNode.boot();
  return (await ownNode).place;
}

/** One call where `add_vhost` and `set_permissions` would be two of half a second each. */
async function addVirtualHost(place: RabbitMqPlace, vhost: string): Promise<void> {
  const all = '<<".*">>';
  await runRabbitMqCtl(place, [
    'eval',
    `rabbit_vhost:add(<<"${vhost}">>, <<"hydrant">>), rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"${vhost}">>, ${all}, ${all}, ${all}, <<"hydrant">>).`,
  ]);
}

function describePlace(place: RabbitMqPlace, vhost: string): Omit<PrivateRabbitMq, 'close'> {
  const urlAt = (port: number): string => `amqp://guest:guest@127.0.0.1:${port}/${encodeURIComponent(vhost)}`;
  return { url: urlAt(place.port), port: place.port, vhost, urlAt, ctl: (...args) => runRabbitMqCtl(place, args) };
}
