/**
 * The users of deploy/nomad/rabbitmq.nomad.hcl: each can do its work, without a warning, and needs every permission
 * that it has.
 */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '@hydrant/testing/eventually';
import { findNomadTemplate, renderNomadTemplate } from '@hydrant/testing/nomad-template';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import type { PrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { testFolder } from '@hydrant/testing/test-folder';
import { recordingLog } from '@hydrant/testing/test-log';
import { connect } from 'amqplib';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock } from '../../foundation/clock.ts';
import { describeError } from '../../foundation/errors.ts';
import type { Message } from '../../messages/message.ts';
import type { Bus } from '../bus.ts';
import { createAmqpBus } from './amqp-bus.ts';

type Kind = 'configure' | 'write' | 'read';
type Permissions = Readonly<Record<Kind, string>>;

interface Definitions {
  readonly vhosts: readonly { readonly name: string }[];
  readonly users: readonly { readonly name: string }[];
  readonly permissions: readonly (Permissions & { readonly user: string; readonly vhost: string })[];
  readonly exchanges: readonly { readonly vhost: string }[];
}

const kinds = ['configure', 'write', 'read'] as const;
const template = findNomadTemplate(
  readFileSync(new URL('../../../../deploy/nomad/rabbitmq.nomad.hcl', import.meta.url), 'utf8'),
  'definitions.json',
);
const password = 'a "quoted" password';
const items = Object.fromEntries(
  ['admin', 'firehose', 'sink_worker', 'crashloop_detector'].map((user) => [`${user}_password`, password]),
);
const definitions = JSON.parse(renderNomadTemplate(template, items)) as Definitions;
const never = new AbortController().signal;
/** Above all that a machine under load may take. */
const timeoutMs = 60_000;
let messages = 0;

function makeMessage(routingKey: string): Message {
  messages += 1;
  return {
    id: `default/${String(messages)}`,
    routingKey,
    type: 'test',
    contentType: 'application/json',
    appId: 'test',
    timestampMs: 1_790_000_000_000,
    headers: {},
    body: Buffer.from('{}'),
  };
}

/** Users belong to the whole broker, which other tests share: so they get names of their own. */
function nameOf(user: string, { vhost }: PrivateRabbitMq): string {
  return `${user}@${vhost}`;
}

interface Variant {
  readonly user: string;
  readonly role: string;
  readonly permissions: Permissions;
}

/** The users of the job, and those of `variants` beside them, in one call. */
async function importDefinitions(t: Test, broker: PrivateRabbitMq, variants: readonly Variant[] = []): Promise<void> {
  const { vhost } = broker;
  const imported = {
    vhosts: [{ name: vhost }],
    users: [...definitions.users, ...variants.map(({ user }) => ({ name: user, password, tags: [] }))].map((user) => ({
      ...user,
      name: nameOf(user.name, broker),
    })),
    permissions: [
      ...definitions.permissions,
      ...variants.map(({ user, permissions }) => ({ ...permissions, user })),
    ].map((each) => ({ ...each, user: nameOf(each.user, broker), vhost })),
    exchanges: definitions.exchanges.map((exchange) => ({ ...exchange, vhost })),
  };
  const file = join(testFolder(t, {}), 'definitions.json');
  await writeFile(file, JSON.stringify(imported));
  await broker.ctl('import_definitions', file);
}

function addressOf(user: string, broker: PrivateRabbitMq): string {
  const url = new URL(broker.url);
  url.username = encodeURIComponent(nameOf(user, broker));
  url.password = encodeURIComponent(password);
  return url.href;
}

function startBus(t: Test, broker: PrivateRabbitMq, user: string) {
  const { log, lines } = recordingLog('warn');
  const bus = createAmqpBus({
    urls: [addressOf(user, broker)],
    exchange: 'nomad',
    connectionName: 'test',
    log,
    clock: systemClock,
  });
  const late = new AbortController();
  t.teardown(() => {
    late.abort();
    return bus.stop(late.signal);
  });
  return { bus, lines };
}

function isUp({ healthChecks }: Bus): boolean {
  return healthChecks.every((check) => check.check().status === 'pass');
}

/** Hands the first message on as a dead letter. */
function subscribe(bus: Bus, queue: string, onMessage: () => void): Promise<unknown> {
  let count = 0;
  const options = { name: queue, bindings: ['event.#'], prefetch: 10, maxHeldBytes: 1_000_000, consumer: 'test' };
  return bus.subscribe(
    options,
    () => {
      count += 1;
      onMessage();
      return Promise.resolve(count === 1 ? { action: 'dead-letter', reason: 'as the test wants' } : { action: 'ack' });
    },
    never,
  );
}

async function deadLetterOne(bus: Bus, broker: PrivateRabbitMq, queue: string, admin: Bus): Promise<void> {
  let seen = 0;
  await subscribe(bus, queue, () => {
    seen += 1;
  });
  await admin.publish(makeMessage('event.Allocation.x._._'));
  await eventually(() => seen > 0, { timeoutMs });
  await eventually(
    async () =>
      (await broker.ctl('list_queues', '-p', broker.vhost, 'name', 'messages')).includes(`${queue}.dead-letter\t1`),
    { timeoutMs },
  );
}

interface Role {
  readonly user: string;
  work(bus: Bus, broker: PrivateRabbitMq, admin: Bus): Promise<void>;
}

const roles: readonly Role[] = [
  {
    user: 'hydrant-firehose',
    async work(bus, _broker, admin) {
      await subscribe(admin, 'hydrant.sink.events', () => undefined);
      await eventually(() => bus.hasQueue('hydrant.sink.events'), { timeoutMs });
      await bus.publish(makeMessage('event.Job.x._._'), { mandatory: true });
    },
  },
  {
    user: 'hydrant-sink-worker',
    work: (bus, broker, admin) => deadLetterOne(bus, broker, 'hydrant.sink.events', admin),
  },
  {
    user: 'hydrant-crashloop-detector',
    async work(bus, broker, admin) {
      await deadLetterOne(bus, broker, 'hydrant.crashloop-detector', admin);
      await bus.publish(makeMessage('crash-loop'), { mandatory: true });
    },
  },
];

function partsOf(pattern: string): readonly string[] {
  const inner = /^\^\((.*)\)\$$/u.exec(pattern)?.[1];
  if (inner !== undefined) return inner.split(/\|(?=nomad|hydrant)/u);
  return pattern === '^$' ? [] : [pattern];
}

/** What lets a user ask whether a queue exists, which older versions of RabbitMQ tell everybody. */
const onlyForAsking = new Set([
  'hydrant-firehose write hydrant\\.sink\\..*',
  'hydrant-firehose write hydrant\\.crashloop-detector',
]);

/** Every way to have one permission less than a role. */
function lesserVariants(role: string): readonly Variant[] {
  const permissions = definitions.permissions.find(({ user }) => user === role);
  if (permissions === undefined) throw new Error(`Expected permissions of ${role}`);
  return kinds.flatMap((kind) => {
    const parts = partsOf(permissions[kind]);
    return parts
      .filter((part) => !onlyForAsking.has(`${role} ${kind} ${part}`))
      .map((part): Variant => {
        const rest = parts.filter((each) => each !== part);
        const lesser = rest.length === 0 ? '^$' : `^(${rest.join('|')})$`;
        return {
          role,
          user: `${role} without ${kind} ${part}`,
          permissions: {
            configure: permissions.configure,
            write: permissions.write,
            read: permissions.read,
            [kind]: lesser,
          },
        };
      });
  });
}

for (const { user, work } of roles) {
  void t.test(`${user} does its work without a warning`, async (t) => {
    const broker = await startPrivateRabbitMq(t);
    await importDefinitions(t, broker);
    const { bus, lines } = startBus(t, broker, user);
    const admin = startBus(t, broker, 'hydrant-admin').bus;
    await Promise.all([bus.start(never), admin.start(never)]);
    await eventually(() => [bus, admin].every(isUp), { timeoutMs });

    await work(bus, broker, admin);

    t.same(lines, []);
  });
}

void t.test(
  'a publisher that may do nothing but write to its exchange starts, publishes and does not wait for queues that it cannot see',
  async (t) => {
    const broker = await startPrivateRabbitMq(t);
    await importDefinitions(t, broker, [
      { user: 'writer', role: 'hydrant-firehose', permissions: { configure: '^$', write: '^nomad$', read: '^$' } },
    ]);
    const { bus, lines } = startBus(t, broker, 'writer');
    const admin = startBus(t, broker, 'hydrant-admin').bus;
    await Promise.all([bus.start(never), admin.start(never)]);
    await eventually(() => [bus, admin].every(isUp), { timeoutMs });
    await subscribe(admin, 'hydrant.sink.events', () => undefined);

    t.equal(await bus.hasQueue('hydrant.sink.events'), true);
    t.equal(await bus.hasQueue('hydrant.sink.events'), true);
    t.equal(await bus.publish(makeMessage('event.Job.x._._'), { mandatory: true }), 'routed');

    // From RabbitMQ 4.2.6 on it may not see the queue.
    t.ok(lines.length <= 1, 'said once');
    t.match(
      lines,
      lines.map(() => ({ queue: 'hydrant.sink.events', msg: /counts as there/u })),
    );
  },
);

void t.test('an exchange that is missing and may not be made is named, with what to do', async (t) => {
  const broker = await startPrivateRabbitMq(t);
  await importDefinitions(t, broker, [
    { user: 'writer', role: 'hydrant-firehose', permissions: { configure: '^$', write: '^nomad$', read: '^$' } },
  ]);
  await broker.ctl(
    'eval',
    `rabbit_exchange:delete(rabbit_misc:r(<<"${broker.vhost}">>, exchange, <<"nomad">>), false, <<"hydrant">>).`,
  );
  const { bus, lines } = startBus(t, broker, 'writer');

  await bus.start(never);

  const line = await eventually(() => lines[0], { timeoutMs });
  t.match(line, {
    reason:
      /exchange "nomad" to exist, it does not, and this user may not make it; make it, or give the user the permission "configure" on it/u,
  });
});

void t.test('without any one permission RabbitMQ refuses what a service does', async (t) => {
  const broker = await startPrivateRabbitMq(t);
  const variants = roles.flatMap(({ user }) => lesserVariants(user));
  await importDefinitions(t, broker, variants);
  const model = await connect(addressOf('hydrant-admin', broker));
  t.teardown(() => model.close());
  const channel = await model.createChannel();
  t.equal(variants.length, 14);

  for (const { user, role } of variants) {
    const { bus, lines } = startBus(t, broker, user);
    await bus.start(never);
    await eventually(() => isUp(bus), { timeoutMs });
    const failures: string[] = [];
    const publish = (): void =>
      void bus.publish(makeMessage('crash-loop')).catch((thrown: unknown) => {
        failures.push(describeError(thrown));
      });
    const [queue] =
      role === 'hydrant-firehose'
        ? []
        : [role === 'hydrant-sink-worker' ? 'hydrant.sink.events' : 'hydrant.crashloop-detector'];
    if (queue !== undefined) void subscribe(bus, queue, () => undefined).catch(() => undefined);
    if (role !== 'hydrant-sink-worker') publish();

    const refusal = await eventually(
      () =>
        [...failures, ...lines.map((line) => JSON.stringify(line))].find((text) =>
          /ACCESS.REFUSED|NOT.FOUND/u.test(text),
        ),
      { timeoutMs, message: `a refusal for ${user}` },
    );

    t.ok(refusal, user);
    const late = new AbortController();
    late.abort();
    await bus.stop(late.signal);
    if (queue !== undefined) for (const name of [queue, `${queue}.dead-letter`]) await channel.deleteQueue(name);
  }
});
