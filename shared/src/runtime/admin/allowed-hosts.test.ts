import t from 'tap';
import { createHostCheck } from './allowed-hosts.ts';

void t.test('a name that somebody else could own is allowed only where it is set', (t) => {
  const isAllowed = createHostCheck(['hydrant.example.com', '*.service.consul', '192.0.2.1']);
  const allowed = [
    undefined,
    '',
    '127.0.0.1',
    '127.0.0.1:9400',
    '10.1.2.3:80',
    '[::1]',
    '[::1]:9400',
    '[fe80::1]:9400',
    '[::ffff:10.0.0.1]:1',
    'localhost',
    'LOCALHOST:9400',
    'localhost.',
    'a.localhost:1',
    'firehose:9401',
    'sink-worker',
    'sink_worker:9402',
    'hydrant.example.com',
    'Hydrant.Example.COM.:443',
    'hydrant-firehose.service.consul:9401',
    '2130706433',
  ];
  const refused = [
    'evil.example',
    'evil.example:9400',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'xhydrant.example.com',
    'a.hydrant.example.com',
    'service.consul',
    '.service.consul',
    'evilservice.consul',
    '0x7f.1',
    '[::1',
    '[evil.example]:1',
    'a:b:c',
    'evil.example:80:90',
    'evil.example/',
    'localhost evil.example',
    'user@localhost',
    '..',
    'münchen.example',
  ];

  for (const host of allowed) t.ok(isAllowed(host), String(host));
  for (const host of refused) t.notOk(isAllowed(host), host);
  t.end();
});
