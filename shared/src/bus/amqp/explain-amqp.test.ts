import { makeAuthority, makeCertificate, withoutOpenssl } from '@hydrant/testing/certificates';
import { eventually } from '@hydrant/testing/eventually';
import { findFreePorts } from '@hydrant/testing/free-ports';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { testFolder } from '@hydrant/testing/test-folder';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { systemClock } from '../../foundation/clock.ts';
import { createAmqpBus } from './amqp-bus.ts';
import { consumerCancelled, explainChannelEnd } from './explain-amqp.ts';

const never = new AbortController().signal;

async function failureAt(t: Test, url: string): Promise<string> {
  const bus = createAmqpBus({
    urls: [url],
    exchange: 'nomad',
    connectionName: 'test',
    log: testLog(),
    clock: systemClock,
  });
  t.teardown(() => bus.stop(AbortSignal.abort()));
  await bus.start(never);
  return eventually(
    () => {
      const { status, detail = '' } = bus.healthChecks[0]?.check() ?? { status: 'pass' };
      return status === 'fail' && detail.includes(': ') && detail;
    },
    { message: 'the check to say why' },
  );
}

void t.test('a connection that RabbitMQ refuses says what to do', { skip: withoutOpenssl }, async (t) => {
  const folder = testFolder(t, {});
  const authority = makeAuthority(folder, 'authority');
  const server = makeCertificate(folder, 'server', authority, ['DNS:localhost']);
  const [tlsPort] = (await findFreePorts(1)) as [number];
  const { port, ctl } = await startPrivateRabbitMq(t, {
    exclusive: true,
    config: [
      `listeners.ssl.default = 127.0.0.1:${String(tlsPort)}`,
      `ssl_options.certfile = ${server.certFile}`,
      `ssl_options.keyfile = ${server.keyFile}`,
    ],
  });
  await ctl('add_vhost', 'full');
  await ctl('set_permissions', '-p', 'full', 'guest', '.*', '.*', '.*');
  await ctl('set_vhost_limits', '-p', 'full', '{"max-connections":0}');
  await ctl('add_user', 'stranger', 'secret');

  const vhostRefused =
    /does not exist \("rabbitmqctl add_vhost"\), or the user has no permissions in it .*, or a limit of connections is reached/u;
  const cases = [
    [
      'a virtual host that does not exist',
      `amqp://127.0.0.1:${port}/nosuch`,
      /refuses the virtual host "nosuch" to the user "guest"/u,
    ],
    ['a virtual host that does not exist', `amqp://127.0.0.1:${port}/nosuch`, vhostRefused],
    ['a limit of connections', `amqp://127.0.0.1:${port}/full`, vhostRefused],
    ['a user without permissions', `amqp://stranger:secret@127.0.0.1:${port}/`, vhostRefused],
    [
      'a wrong password',
      `amqp://guest:wr0ng@127.0.0.1:${port}/`,
      /there is no user "guest", or the password is another one; "guest" may log in from RabbitMQ's own machine only/u,
    ],
    [
      'a user that does not exist',
      `amqp://nobody:wr0ng@127.0.0.1:${port}/`,
      /there is no user "nobody", or the password is another one; see the users/u,
    ],
    [
      'no TLS where it is expected',
      `amqp://127.0.0.1:${tlsPort}/`,
      /does that port speak AMQP\? For one with TLS the address begins with "amqps:"/u,
    ],
    [
      'TLS where none is expected',
      `amqps://127.0.0.1:${port}/`,
      /does that port speak TLS\? For one that does not the address begins with "amqp:"/u,
    ],
  ] as const;
  for (const [name, url, expected] of cases) {
    const detail = await failureAt(t, url);
    t.match(detail, expected, name);
    t.notMatch(detail, /secret|wr0ng/u, name);
  }
});

void t.test('a message that is held beyond the consumer_timeout of RabbitMQ is told of, and comes again', async (t) => {
  const { url, ctl } = await startPrivateRabbitMq(t, { exclusive: true });
  await ctl(
    'eval',
    'application:set_env(rabbit, consumer_timeout, 1500), application:set_env(rabbit, channel_tick_interval, 300).',
  );
  const { log, lines } = recordingLog('warn');
  const bus = createAmqpBus({ urls: [url], exchange: 'nomad', connectionName: 'test', log, clock: systemClock });
  t.teardown(() => bus.stop(AbortSignal.abort()));
  await bus.start(never);
  const ends: (() => void)[] = [];
  t.teardown(() => {
    for (const end of ends) end();
  });
  const subscription = { name: 'held', bindings: ['held'], prefetch: 5, maxHeldBytes: 1000, consumer: 'test' };
  const lost: (AbortSignal | undefined)[] = [];
  await bus.subscribe(
    subscription,
    (delivery) =>
      new Promise((resolve) => {
        lost.push(delivery.lost);
        ends.push(() => {
          resolve({ action: 'ack' });
        });
      }),
    never,
  );

  await bus.publish({
    id: '1',
    routingKey: 'held',
    type: '',
    contentType: '',
    appId: '',
    timestampMs: 0,
    headers: {},
    body: Buffer.from('{}'),
  });

  await eventually(() => ends.length > 1, { timeoutMs: 60_000, message: 'the message to come again' });
  t.equal(lost[0]?.aborted, true, 'the handler can tell');
  t.match(lines, [
    {
      msg: /^Lost the channel/u,
      reason:
        /consumer_timeout (?:of 1\.5s|has fired, for a message in flight for \d+s): lower what holds messages \(SINK_BATCH_AGE, SINK_PAUSE_AFTER\) or raise consumer_timeout/u,
    },
  ]);
});

t.test('the end of a channel keeps its reason where nothing is to be added', (t) => {
  const foreign = new Error('Channel closed by server: 404 (NOT-FOUND)');
  t.equal(explainChannelEnd(foreign, 60_000), foreign);
  t.match(explainChannelEnd(new Error(consumerCancelled), undefined), {
    message: `${consumerCancelled}: its queue was deleted or moved`,
  });
  t.match(explainChannelEnd(new Error(consumerCancelled), 1_800_400), {
    message: /or its consumer_timeout has fired, for a message in flight for 30m: /,
  });
  t.end();
});
