import t, { type Test } from 'tap';
import { makeAuthority, makeCertificate, withoutOpenssl, type Certificate } from '@hydrant/testing/certificates';
import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { noTls, type TlsOptions } from '../runtime/tls/tls-settings.ts';
import { createRedisClient, type RedisClient } from './redis-client.ts';

const never = new AbortController().signal;
const lua = "return redis.call('INCR', KEYS[1])";
const skip = withoutOpenssl;

interface Secured {
  readonly folder: string;
  readonly authority: Certificate;
  readonly other: Certificate;
  readonly client: Certificate;
  connect(tls: Partial<TlsOptions>): Promise<RedisClient>;
  kill(): Promise<void>;
  start(): Promise<void>;
}

async function startSecured(
  t: Test,
  { days = 2, names = ['IP:127.0.0.1'] }: { readonly days?: number; readonly names?: readonly string[] } = {},
): Promise<Secured> {
  const folder = testFolder(t, {});
  const authority = makeAuthority(folder, 'authority');
  const server = makeCertificate(folder, 'server', authority, names, days);
  const redis = await startPrivateRedis(t, {
    tls: { certFile: server.certFile, keyFile: server.keyFile, caFile: authority.certFile },
  });
  return {
    folder,
    authority,
    other: makeAuthority(folder, 'other'),
    client: makeCertificate(folder, 'client', authority, ['DNS:client']),
    kill: () => redis.kill(),
    start: () => redis.start(),
    async connect(tls) {
      const client = createRedisClient({
        url: redis.tlsUrl,
        keyPrefix: '',
        log: testLog(),
        tls: { ...noTls('REDIS'), ...tls },
      });
      t.teardown(() => client.stop(never));
      await client.start(never);
      return client;
    },
  };
}

function detailOf(redis: RedisClient): string | undefined {
  return redis.healthCheck.check().detail;
}

void t.test(
  'TLS with an authority, a client certificate and a name of its own; both are read again at each connection',
  { skip },
  async (t) => {
    const { folder, authority, client, connect, kill, start } = await startSecured(t, {
      names: ['DNS:redis.internal'],
    });
    const files = {
      caFile: join(folder, 'ca-in-use.pem'),
      certFile: client.certFile,
      keyFile: client.keyFile,
      serverName: 'redis.internal',
    };
    copyFileSync(authority.certFile, files.caFile);
    const redis = await connect(files);
    const count = redis.script({ name: 'count', lua, numberOfKeys: 1 });

    t.equal(await eventually(() => count('key')), 1);

    // From now on the server is not trusted any more.
    copyFileSync(makeAuthority(folder, 'newer').certFile, files.caFile);
    await kill();
    await start();
    await eventually(() => detailOf(redis)?.includes('is not signed by an authority'));
    copyFileSync(authority.certFile, files.caFile);
    t.equal(await eventually(() => count('key')), 2);
  },
);

void t.test('what is wrong with certificates is said with the setting that mends it', { skip }, async (t) => {
  const { authority, other, client, connect } = await startSecured(t);
  const own = { certFile: client.certFile, keyFile: client.keyFile };
  const cases: readonly (readonly [Partial<TlsOptions>, RegExp])[] = [
    [own, /signed by an authority that is not trusted here: set REDIS_CACERT/u],
    [{ ...own, caFile: other.certFile }, /is not signed by an authority in .*other\.pem \(REDIS_CACERT\)/u],
    [{ ...own, caFile: authority.certFile, serverName: 'elsewhere' }, /for other names .*set REDIS_TLS_SERVER_NAME/u],
    [{ caFile: authority.certFile }, /client certificate.*REDIS_CLIENT_CERT/u],
  ];
  for (const [tls, expected] of cases) {
    const redis = await connect(tls);
    t.match(await eventually(() => (expected.test(detailOf(redis) ?? '') ? detailOf(redis) : undefined)), expected);
  }
});

void t.test('an expired certificate is named, of the server and our own', { skip }, async (t) => {
  const expired = await startSecured(t, { days: -1 });
  const good = await startSecured(t);
  const old = makeCertificate(good.folder, 'old', good.authority, ['DNS:client'], -1);

  const refusing = await expired.connect({
    caFile: expired.authority.certFile,
    certFile: expired.client.certFile,
    keyFile: expired.client.keyFile,
  });
  const refused = await good.connect({ caFile: good.authority.certFile, certFile: old.certFile, keyFile: old.keyFile });

  await eventually(() =>
    detailOf(refusing)?.includes("the server's certificate, or that of an authority above it, has expired"),
  );
  await eventually(() =>
    /our own certificate in .*old\.pem \(REDIS_CLIENT_CERT\) expired on \w{3} +\d+ .* GMT: renew it/u.test(
      detailOf(refused) ?? '',
    ),
  );
  t.pass();
});
