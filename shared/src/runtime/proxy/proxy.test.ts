import t from 'tap';
import { loadConfig } from '../config/load-config.ts';
import { chooseProxy } from './choose-proxy.ts';
import { proxySettings, readProxyRules } from './proxy-settings.ts';

const proxy = 'http://proxy.example:3128';

function isDirect(noProxy: string, address: string): boolean {
  const { hostname, port, protocol } = new URL(address);
  const peer = {
    protocol: protocol === 'https:' ? ('https:' as const) : ('http:' as const),
    host: hostname,
    port: Number(port === '' ? (protocol === 'https:' ? 443 : 80) : port),
  };
  return (
    chooseProxy(
      readProxyRules(loadConfig(proxySettings, { env: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy, NO_PROXY: noProxy } })),
      peer,
    ) === undefined
  );
}

void t.test('NO_PROXY is read as by Go and curl', (t) => {
  const cases: readonly (readonly [noProxy: string, direct: readonly string[], proxied: readonly string[]])[] = [
    [
      '',
      ['http://localhost', 'http://127.9.9.9:80', 'https://[::1]/', 'http://LOCALHOST.'],
      ['http://example.com', 'http://127.example', 'http://10.0.0.1', 'http://[::2]'],
    ],
    ['*', ['http://example.com', 'https://10.0.0.1', 'http://[fd00::1]:80'], []],
    [
      'example.com',
      ['http://example.com', 'http://EXAMPLE.com', 'https://a.b.example.com', 'http://example.com.'],
      ['http://notexample.com', 'http://example.com.evil.example'],
    ],
    [
      '.example.com',
      ['http://a.example.com', 'http://a.b.example.com'],
      ['http://example.com', 'http://notexample.com'],
    ],
    ['*.example.com', ['http://a.example.com'], ['http://example.com']],
    [
      'other, Example.COM:8080 ,',
      ['http://example.com:8080', 'http://a.example.com:8080'],
      ['http://example.com', 'https://example.com'],
    ],
    ['example.com:443', ['https://example.com'], ['http://example.com']],
    [
      '10.0.0.1',
      ['http://10.0.0.1', 'https://10.0.0.1:8443', 'http://[::ffff:10.0.0.1]'],
      ['http://10.0.0.10', 'http://110.0.0.1', 'http://a.10.0.0.1.example'],
    ],
    ['10.0.0.1:80', ['http://10.0.0.1'], ['http://10.0.0.1:81']],
    ['127.0.0.0/8,10.0.0.0/8', ['http://10.255.1.2:4646', 'http://0x0a.1'], ['http://11.0.0.1', 'http://10.example']],
    ['192.168.1.128/25', ['http://192.168.1.200'], ['http://192.168.1.1']],
    ['0.0.0.0/0', ['http://8.8.8.8'], ['http://example.com', 'http://[fd00::1]']],
    ['fd00::/8', ['http://[fd12:3456::1]:9000'], ['http://[fe80::1]', 'http://10.0.0.1', 'http://fd00.example']],
    ['fd00::1', ['http://[fd00::1]', 'http://[fd00:0:0::1]:81'], ['http://[fd00::2]']],
    ['[fd00::1]:81', ['http://[fd00::1]:81'], ['http://[fd00::1]']],
    ['[fd00::1]', ['http://[fd00::1]:81'], ['http://[fd00::2]']],
    ['10.0.0.0/33,fd00::/129,.,:80,[,/8,10.0.0/8', [], ['http://10.0.0.1', 'http://example.com']],
  ];
  for (const [noProxy, direct, proxied] of cases) {
    for (const address of direct) t.ok(isDirect(noProxy, address), `NO_PROXY=${noProxy}: ${address} without`);
    for (const address of proxied) t.notOk(isDirect(noProxy, address), `NO_PROXY=${noProxy}: ${address} through it`);
  }
  t.end();
});

void t.test('which proxy it is depends on the address, and a setting of the destination comes first', (t) => {
  const peer = { host: 'collector.example', port: 443 };
  const rules = (env: Record<string, string>, own?: string) =>
    readProxyRules({ ...loadConfig(proxySettings, { env }), SINK_HTTP_PROXY: own }, 'SINK_HTTP_PROXY');
  const lower = rules({ http_proxy: 'proxy.example:3128', https_proxy: 'https://ann:secret@proxy.example' });

  t.same(chooseProxy(lower, { ...peer, protocol: 'http:' }), {
    url: 'http://proxy.example:3128',
    setting: 'HTTP_PROXY',
  });
  t.same(chooseProxy(lower, { ...peer, protocol: 'https:' }), {
    url: 'https://ann:secret@proxy.example',
    setting: 'HTTPS_PROXY',
  });
  t.equal(chooseProxy(rules({ HTTPS_PROXY: proxy }), { ...peer, protocol: 'http:' }), undefined);
  t.match(
    chooseProxy(rules({ HTTP_PROXY: proxy, http_proxy: 'http://other.example' }), { ...peer, protocol: 'http:' }),
    { url: proxy },
  );

  const own = rules({ HTTPS_PROXY: 'http://other.example', NO_PROXY: 'collector.example' }, proxy);
  t.equal(chooseProxy(own, { ...peer, protocol: 'https:' }), undefined, 'NO_PROXY holds for it too');
  t.same(chooseProxy(own, { protocol: 'https:', host: 'localhost', port: 1 }), {
    url: proxy,
    setting: 'SINK_HTTP_PROXY',
  });
  t.end();
});

void t.test('a proxy that cannot be spoken to is refused at start by its name, and its password is not shown', (t) => {
  const refused = [
    'socks5://ann:secret@proxy.example:1080',
    'socks5h://p',
    'ftp://proxy.example',
    'http://',
    'http://ann:secret@',
    'http://proxy.example:99999',
    'ann secret',
    'http://proxy.example/path',
    'http://[::1',
    ':3128',
  ];
  for (const name of ['HTTPS_PROXY', 'HTTP_PROXY', 'https_proxy'] as const) {
    for (const value of refused) {
      const error = ((): Error | undefined => {
        try {
          loadConfig(proxySettings, { env: { [name]: value } });
          return undefined;
        } catch (thrown) {
          return thrown as Error;
        }
      })();
      t.match(
        error,
        {
          code: 'config-invalid',
          message: new RegExp(
            `^Expected \`${name.toUpperCase()}\` to be the address of an HTTP proxy.*SOCKS proxy is not supported`,
            'u',
          ),
        },
        `${name}=${value}`,
      );
      t.notMatch(error?.message, /secret@|ann secret/u);
    }
  }
  for (const value of [
    'http://proxy.example:3128/',
    'HTTPS://proxy.example',
    '10.0.0.1:3128',
    'proxy',
    '[fd00::1]:3128',
    'http://ann:s%40cret@proxy.example:3128',
  ])
    t.doesNotThrow(() => loadConfig(proxySettings, { env: { HTTPS_PROXY: value } }), value);
  t.end();
});
