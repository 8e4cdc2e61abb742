/** TLS of the sinks whose tests do not start a server of their own for it. */
import { findFreePorts } from '@hydrant/testing/free-ports';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import t from 'tap';
import { tlsContract } from './tls-contract.ts';

void tlsContract(t, {
  type: 'redis',
  prefix: 'SINK_REDIS',
  async start(t, { server, authority }) {
    const redis = await startPrivateRedis(t, {
      args: ['--requirepass', 'hidden-word'],
      tls: { certFile: server.certFile, keyFile: server.keyFile, caFile: authority.certFile },
    });
    return {
      env: { SINK_REDIS_URL: redis.tlsUrl.replace('rediss://', 'rediss://:hidden-word@'), SINK_REDIS_KEY: 'events' },
      secret: 'hidden-word',
    };
  },
});

void tlsContract(t, {
  type: 'amqp',
  prefix: 'SINK_AMQP',
  async start(t, { server, authority }) {
    const [port] = (await findFreePorts(1)) as [number];
    const broker = await startPrivateRabbitMq(t, {
      exclusive: true,
      config: [
        `listeners.ssl.default = 127.0.0.1:${String(port)}`,
        `ssl_options.cacertfile = ${authority.certFile}`,
        `ssl_options.certfile = ${server.certFile}`,
        `ssl_options.keyfile = ${server.keyFile}`,
        'ssl_options.verify = verify_peer',
        'ssl_options.fail_if_no_peer_cert = true',
      ],
    });
    return {
      env: { SINK_AMQP_CONNECTION: broker.urlAt(port).replace('amqp:', 'amqps:'), SINK_AMQP_EXCHANGE: 'copy' },
      secret: 'guest:guest',
    };
  },
});
