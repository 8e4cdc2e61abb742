import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { systemClock } from '../../foundation/clock.ts';
import { createAmqpBus } from './amqp-bus.ts';

const never = new AbortController().signal;

void t.test('user, password and virtual host need not be ASCII, and RabbitMQ sees who is connected', async (t) => {
  const { ctl, port } = await startPrivateRabbitMq(t);
  const [user, password, vhost] = ['jörg', 'grüße 100% 日本', 'büro'];
  await ctl('add_vhost', vhost);
  await ctl('add_user', user, password);
  await ctl('set_permissions', '-p', vhost, user, '.*', '.*', '.*');
  const [escapedUser = '', escapedPassword = '', escapedVhost = ''] = [user, password, vhost].map(encodeURIComponent);

  for (const [name, start] of [
    ['as it is', `${user}:grüße 100%25 日本@`],
    ['in percent codes', `${escapedUser}:${escapedPassword}@`],
  ] as const) {
    const url = `amqp://${start}127.0.0.1:${port}/${name === 'as it is' ? vhost : escapedVhost}`;
    const bus = createAmqpBus({
      urls: [url],
      exchange: 'nomad',
      connectionName: name,
      log: testLog(),
      clock: systemClock,
    });
    t.teardown(() => bus.stop(AbortSignal.abort()));
    await bus.start(never);
    await eventually(() => bus.healthChecks[0]?.check().status === 'pass', {
      message: `the bus to be connected, ${name}`,
    });
  }

  const connections = (await ctl('list_connections', 'vhost', 'client_properties'))
    .split('\n')
    .filter((line) => line.startsWith(vhost));
  t.equal(connections.length, 2);
  for (const part of ['"product","Hydrant"', '"connection_name","as it is publish"', '"platform","Node.js '])
    t.ok(
      connections.some((line) => line.includes(part)),
      part,
    );
  t.notMatch(connections.join(), /amqplib/u);
});
