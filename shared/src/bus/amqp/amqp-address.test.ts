import t from 'tap';
import { amqpAddressProblems, parseAmqpAddress } from './amqp-address.ts';

function login(text: string): string {
  const { login: found } = parseAmqpAddress(text);
  return found === null ? 'by certificate' : `${found.user}|${found.password}`;
}

t.test('user, password and virtual host are those that the address means', (t) => {
  const cases = [
    ['amqp://host', 'guest|guest', '/'],
    ['amqp://host/', 'guest|guest', '/'],
    ['amqp://user@host/%2F', 'user|', '/'],
    ['amqp://user:pass@host/prod', 'user|pass', 'prod'],
    ['amqp://j%C3%B6rg:gr%C3%BC%C3%9Fe@host/b%C3%BCro', 'jörg|grüße', 'büro'],
    ['amqp://jörg:日本語@host/büro', 'jörg|日本語', 'büro'],
    ['amqp://user:100%@host/', 'user|100%', '/'],
    ['amqp://user:a%2Fb%40c%3Ad+e@host/', 'user|a/b@c:d+e', '/'],
  ] as const;
  for (const [text, expected, vhost] of cases) {
    t.equal(login(text), expected, text);
    t.equal(parseAmqpAddress(text).vhost, vhost, text);
  }
  t.end();
});

t.test('host and port are taken over, also of IPv6', (t) => {
  t.match(parseAmqpAddress('amqp://[::1]/').target, { protocol: 'amqp', hostname: '::1', port: 5672 });
  t.match(parseAmqpAddress('amqps://rabbit.example/').target, {
    protocol: 'amqps',
    hostname: 'rabbit.example',
    port: 5671,
  });
  t.match(parseAmqpAddress('amqp://host:1234/').target, { port: 1234 });
  t.equal(parseAmqpAddress('amqp://user:secret@host:1234/prod?heartbeat=5').shown, 'amqp://host:1234/prod');
  t.end();
});

t.test('parameters are honoured', (t) => {
  t.match(parseAmqpAddress('amqp://host/').target, { heartbeat: 10, channelMax: 0, frameMax: 131_072 });
  t.match(parseAmqpAddress('amqp://host/?heartbeat=30&channel_max=100&frame_max=8192').target, {
    heartbeat: 30,
    channelMax: 100,
    frameMax: 8192,
  });
  t.match(parseAmqpAddress('amqp://host/?heartbeat=0&channelMax=64&frameMax=0').target, {
    heartbeat: 0,
    channelMax: 64,
    frameMax: 0,
  });
  t.equal(parseAmqpAddress('amqp://host/?connection_timeout=2500').connectTimeoutMs, 2500);
  t.equal(login('amqps://user:secret@host/?auth_mechanism=EXTERNAL'), 'by certificate');
  t.equal(login('amqp://user:secret@host/?auth_mechanism=plain'), 'user|secret');
  t.end();
});

t.test('what can never work is refused with what to do, and no secret is repeated', (t) => {
  const cases = [
    ['secret', /such as "amqp:\/\/user:password@host:5672\/", got something that is no address/u],
    ['http://user:secret@host', /got one that starts with "http:"/u],
    [
      'amqp://user:secret@host/?heartbeet=5',
      /got `heartbeet`; supported are heartbeat, connection_timeout, channel_max, frame_max, auth_mechanism/u,
    ],
    ['amqp://user:secret@host/?constructor=5', /got `constructor`; supported are/u],
    ['amqps://user:secret@host/?cacertfile=/etc/ca.pem', /got `cacertfile`; set `AMQP_CACERT` instead/u],
    ['amqps://user:secret@host/?certfile=/etc/own.pem', /set `AMQP_CLIENT_CERT` instead/u],
    ['amqps://user:secret@host/?server_name_indication=x', /set `AMQP_TLS_SERVER_NAME` instead/u],
    [
      'amqp://user:secret@host/?heartbeat=soon',
      /`heartbeat` in `AMQP_CONNECTION` to be a whole number from 1 to 3600, or 0/u,
    ],
    ['amqp://user:secret@host/?frame_max=4096', /`frame_max` .* from 8192/u],
    ['amqp://user:secret@host/?channelMax=1', /`channelMax` .* from 32/u],
    ['amqp://user:secret@host/?connection_timeout=0', /`connection_timeout` .* from 100 to 600000, got/u],
    [
      'amqp://user:secret@host/?auth_mechanism=oauth',
      /plain \(user and password\) or external \(client certificate\)/u,
    ],
    ['amqp://user:secret@host/?auth_mechanism=external', /to begin with "amqps:" where auth_mechanism is external/u],
    ['amqp://user:secret%E9@host/', /to be UTF-8/u],
  ] as const;
  for (const [text, expected] of cases) {
    const [problem = ''] = amqpAddressProblems({ AMQP_CONNECTION: [text] }, 'AMQP');
    t.match(problem, expected, text);
    t.notMatch(problem, /secret/u, text);
  }
  t.throws(() => parseAmqpAddress('amqp://host/?x=1'), { code: 'amqp-address-invalid', retryable: false });
  t.end();
});

t.test('a login by certificate needs one', (t) => {
  const urls = ['amqps://host/?auth_mechanism=external'];
  t.match(amqpAddressProblems({ SINK_AMQP_CONNECTION: urls }, 'SINK_AMQP'), [
    /`SINK_AMQP_CLIENT_CERT` and `SINK_AMQP_CLIENT_KEY` to be set for auth_mechanism=external in `SINK_AMQP_CONNECTION`/u,
  ]);
  t.strictSame(
    amqpAddressProblems(
      { AMQP_CONNECTION: urls, AMQP_CLIENT_CERT: '/own.pem', AMQP_CLIENT_KEY: '/own-key.pem' },
      'AMQP',
    ),
    [],
  );
  t.strictSame(amqpAddressProblems({ AMQP_CONNECTION: ['amqp://host/', 'amqp://host2/?heartbeat=2'] }, 'AMQP'), []);
  t.strictSame(amqpAddressProblems({ SINK_AMQP_CONNECTION: null }, 'SINK_AMQP'), []);
  t.end();
});
